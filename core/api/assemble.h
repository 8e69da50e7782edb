/* A streamed answer put together into the whole answer that a caller without `stream` expects. Pure.
 *
 * A llama-server notices that its client has left only while it writes; so local profiles are always asked for a
 * stream. The result has the shape that the server itself gives for a request without `stream`.
 */
#ifndef PM_API_ASSEMBLE_H
#define PM_API_ASSEMBLE_H

#include "core/api/request.h"

struct pm_assembly;

/* Is one answer asked for, and nothing about its tokens? */
bool pm_api_is_plain(const struct pm_api_request *r);

/* Can this request's whole answer be put together from a stream? Not with several choices, several prompts or
 * log-probabilities. */
bool pm_api_can_assemble(const struct pm_api_request *r);

/* What the gateway asks for beyond the caller's words. */
struct pm_api_wishes {
    bool as_stream;       /* a stream, with usage */
    bool progress;        /* reports of progress while a prompt is read, unless the caller has an opinion on that */
    bool logprobs;        /* of an answer of chat: the logarithms of its tokens' probabilities */
    bool usage;           /* a stream of chat or completions is to tell its usage */
    bool same_prefix;     /* what differs from session to session is taken out, what has no order gets one */
    long long max_tokens; /* at most so many, 0 for no limit */
};

/* The body with another model name and these wishes; every other byte is kept. */
void pm_api_body_for_server(const struct pm_api_request *r, const char *model, const struct pm_api_wishes *wishes,
                            struct pm_buf *out);

/* Is it the chunk that tells usage and nothing else? */
bool pm_api_event_is_usage(const char *data, size_t len);

/* Is it a report of progress that only pm_api_body_for_server asked for? */
bool pm_api_event_is_progress(const char *data, size_t len);

/* Of the tokens of an answer of chat. Zero-initialised is none. */
struct pm_logprobs {
    double sum, least;
    unsigned n;
};

/* Adds those that an event tells. */
void pm_api_event_logprobs(const char *data, size_t len, struct pm_logprobs *to);

struct pm_assembly *pm_assembly_new(enum pm_protocol p);
void pm_assembly_free(struct pm_assembly *a);

/* Takes one event. What is not understood is passed over. */
void pm_assembly_event(struct pm_assembly *a, const char *name, const char *data, size_t len);

/* The whole answer as text, which the caller frees; NULL when the stream did not come to an end. */
char *pm_assembly_body(struct pm_assembly *a);

#endif
