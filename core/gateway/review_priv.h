/* Answers that a policy sees before the caller does, and its questions to other models about them. */
#ifndef PM_GATEWAY_REVIEW_PRIV_H
#define PM_GATEWAY_REVIEW_PRIV_H

#include "core/gateway/call_priv.h"

/* review.c */
void pm_review_init(struct pm_call *c);
/* An attempt begins: is its answer one to be held back? */
void pm_review_attempt(struct pm_call *c);
void pm_review_release(struct pm_call *c);
/* Is the target of this attempt to be asked for the probabilities of its tokens? */
bool pm_review_wants_logprobs(const struct pm_call *c);
/* The answer is complete: `body` is a whole one (NULL: a stream, which stands in c->held). The call goes on when the
 * policy has decided. */
void pm_review_begin(struct pm_call *c, const char *body);
/* Nothing else could answer: true when an answer that was turned down goes out after all. */
bool pm_review_restore(struct pm_call *c);

/* side.c: a question to a model beside the call */
struct pm_side;
/* Asks a target that speaks chat; NULL when it cannot be asked. `answered` is called once, with NULL when it failed.
 */
struct pm_side *pm_side_ask(struct pm_call *c, const struct pm_target *t, const struct pm_review_question *q,
                            void (*answered)(struct pm_call *c, const char *text));
void pm_side_cancel(struct pm_side *s);

#endif
