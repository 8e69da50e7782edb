/* Mends streams where they break their own protocol. Pure.
 *
 * Seen on llama-server b11669: events of the responses API without sequence_number, output_index and content_index;
 * no message_start or role when the first token is half a character; a second block opened before the first is closed;
 * `input` missing from the start of a tool_use. Seen elsewhere: events whose data is no JSON, no [DONE]. SDKs stumble
 * on each. What is well formed passes byte for byte.
 */
#ifndef PM_API_MEND_H
#define PM_API_MEND_H

#include "core/api/request.h"

struct pm_mend;

/* `model` is what the answer names itself where it has to be made up; `drops_progress`: reports of progress were our
 * own wish and are taken out. */
struct pm_mend *pm_mend_new(enum pm_protocol p, const char *model, long long prompt_tokens, bool drops_progress);
void pm_mend_free(struct pm_mend *m);

/* Appends what is to be sent for one event: the event as it came, mended, with others around it, or nothing. `raw` is
 * the event's bytes. */
void pm_mend_event(struct pm_mend *m, const char *name, const char *data, size_t len, const char *raw, size_t raw_len,
                   struct pm_buf *out);

/* The stream has ended: appends the mark of the end where only that is missing. True when the answer is complete. */
bool pm_mend_end(struct pm_mend *m, struct pm_buf *out);

/* How many events were changed, added or dropped so far. */
unsigned pm_mend_count(const struct pm_mend *m);

#endif
