/* What the relay must know of a stream's events, without changing them. Pure. */
#ifndef PM_API_STREAM_H
#define PM_API_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "core/api/request.h"

/* Tokens as the answerer counted them; -1 where it did not say. */
struct pm_usage {
    long long prompt, cached, output;
    /* llama-server's `timings`. */
    long long prompt_processed;
    double prompt_ms, output_ms;
};

#define PM_USAGE_UNKNOWN ((struct pm_usage){-1, -1, -1, -1, 0, 0})

enum pm_event_kind {
    PM_EVENT_LIFECYCLE, /* says nothing yet: may be held back while another target could still answer */
    PM_EVENT_CONTENT,   /* the caller gets something that cannot be taken back */
    PM_EVENT_END,       /* the protocol's mark of a complete answer */
    PM_EVENT_ERROR      /* an error in place of an answer */
};

/* Judges one event of a streamed answer: its name (or "") and data. Usage found in it is put into `usage`. */
enum pm_event_kind pm_api_event(enum pm_protocol p, const char *name, const char *data, size_t len,
                                struct pm_usage *usage);

/* True of an event that, by a quick look, says nothing but content: no usage, no end, no error. */
bool pm_api_event_is_plain(enum pm_protocol p, const char *name, const char *data, size_t len);

/* Usage of a whole answer's body. */
void pm_api_usage(const char *body, size_t len, struct pm_usage *usage);

/* The words of an error's event or body, for people. The caller frees. */
char *pm_api_error_message(const char *data, size_t len);

/* Does an error's body say that the prompt is too long for the model's context? */
bool pm_api_is_context_overflow(const char *body, size_t len);

#endif
