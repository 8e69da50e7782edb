/* The decision: verdicts and the state of the targets become an ordered list of attempts, and why.
 *
 *   score = benefit(verdicts, GOOD_AT, STRENGTH) - waiting - price - leaving
 *
 * Pure; the numbers and what they were made of stay in the result, for /v1/route.
 */
#ifndef PM_ROUTE_DECIDE_H
#define PM_ROUTE_DECIDE_H

#include "core/route/policies.h"

struct pm_candidate {
    size_t target;                                  /* index into the input's targets */
    double score, benefit, waiting, leaving, price; /* the last three as positive costs */
};

struct pm_decision {
    const struct pm_route_input *in; /* valid while the input is */
    struct pm_verdict *verdicts;     /* owned */
    size_t n_verdicts;
    struct pm_candidate attempts[PM_ROUTE_TARGETS_MAX]; /* in the order to be tried */
    size_t n_attempts;
    char *vetoes[PM_ROUTE_TARGETS_MAX]; /* by target; NULL: not vetoed */
    struct pm_intent intents[PM_INTENTS_MAX];
    size_t n_intents;
    double complexity;
    double demand; /* the strength that it asks for: the complexity, or by the route's STRONG_SHARE all there is or
                      none */
    double limit;  /* of the complexity, from where on that is all; below 0 without STRONG_SHARE */
    bool has_complexity, abstained;
    bool stays;   /* the first attempt is where the conversation is, whatever the scores say */
    bool refused; /* a policy failed and the route says ON_POLICY_ERROR=refuse */
    char reason[256];
};

/* Takes the verdicts (an array from malloc, may be NULL). `in` must outlive the decision. */
void pm_decide(const struct pm_route_input *in, struct pm_verdict *verdicts, size_t n, struct pm_decision *out);
void pm_decision_release(struct pm_decision *d);

/* The trace, as POST /v1/route answers it. The caller deletes it. */
cJSON *pm_decision_json(const struct pm_decision *d);

/* Why nothing is left to try: each target with its veto, in one sentence. */
void pm_decision_vetoes_text(const struct pm_decision *d, struct pm_buf *out);

#endif
