/* What the gateway itself says in a caller's stream: signs of life, and ends that nobody takes for complete. Pure. */
#ifndef PM_API_VOICE_H
#define PM_API_VOICE_H

#include "core/api/request.h"

/* Who the stream says that it is; in the responses API every event of the life cycle must say the same. */
struct pm_api_identity {
    const char *response_id; /* or the answer's, in the other protocols */
    const char *model;
    long long created;
    unsigned sequence; /* of the next event */
};

/* Something that real clients count as life, for a stream whose answer has not begun: comments do not stop several of
 * them from giving up. chat and completions: a chunk without choices; responses: response.created, then
 * response.in_progress; messages: ping. `n` is 0 for the first. NULL for what has no streams. The caller frees. */
char *pm_api_ping_event(enum pm_protocol p, const struct pm_api_identity *who, unsigned n);

/* How a stream that broke off ends, so that nobody takes it for complete: an event to send, or NULL where the protocol
 * has none (chat, completions) and the connection must end abnormally. The caller frees. */
char *pm_api_cut_event(enum pm_protocol p, const struct pm_api_identity *who, const char *message);

/* How a chat stream may end that has failed, where its route wants the reason to be seen. The caller frees. */
char *pm_api_error_chunk(const char *message);

/* Takes out of a responses stream's events those that say again what pings have said: its openings. */
void pm_api_drop_openings(struct pm_buf *events);

/* The response's id in an event of the life cycle into `out`; false where it has none. */
bool pm_api_response_id(const char *data, size_t len, char *out, size_t size);

/* Puts one id in the place of another, from that offset on. */
void pm_api_rename_response(struct pm_buf *events, size_t from, const char *old, const char *fresh);

#endif
