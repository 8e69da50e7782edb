/* An answer that broke off, and another one to the same request that must begin with it. Pure.
 *
 * `pm_said` is what a caller has been told, read back from the stream that it was sent. A resume takes the events of
 * the new answer, swallows what the caller has, and hands the rest to an encoder that goes on where the stream stands.
 */
#ifndef PM_API_RESUME_H
#define PM_API_RESUME_H

#include "core/api/canon_events.h"

struct pm_said;

struct pm_said *pm_said_new(enum pm_protocol p);
void pm_said_free(struct pm_said *s);

/* An event of the caller's stream. */
void pm_said_event(struct pm_said *s, const char *name, const char *data, size_t len);

/* Not when a call is under way, when the answer has ended, or when nothing was said. */
bool pm_said_can_go_on(const struct pm_said *s);
const char *pm_said_id(const struct pm_said *s);    /* of the answer, or NULL */
unsigned pm_said_sequence(const struct pm_said *s); /* of the next event, responses */

enum pm_resume_state {
    PM_RESUME_CATCHING_UP,
    PM_RESUME_GOES_ON,
    PM_RESUME_DIFFERS,
    PM_RESUME_FAILED /* the new answer is an error */
};

struct pm_resume;

/* `said` and the encoder are borrowed; the encoder is brought to where the stream stands. */
struct pm_resume *pm_resume_new(const struct pm_said *said, struct pm_encoder *encoder);
void pm_resume_free(struct pm_resume *r);

/* A pm_canon_sink; `arg` is the resume. */
void pm_resume_event(void *arg, const struct pm_canon_event *event);
enum pm_resume_state pm_resume_state(const struct pm_resume *r);

#endif
