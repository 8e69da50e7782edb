/* The policy host: loads the shared objects, starts one instance for each route that uses one, asks them. */
#ifndef PM_ROUTE_POLICIES_H
#define PM_ROUTE_POLICIES_H

#include "core/route/view.h"

struct pm_policies;

/* What the host tells its owner. Each may be NULL. */
struct pm_policies_events {
    /* About to run foreign code of this file: if the process dies, that is why. */
    void (*stage)(void *arg, const char *file);
    void (*metric)(void *arg, const char *policy, const char *name, double add);
    /* Memory that all workers share, for this policy in this route; NULL when there is none. */
    void *(*shared)(void *arg, const char *policy, const char *route, size_t size);
    /* Where the copy of a file is that came with the configuration, or NULL; valid until the next call. */
    const char *(*file)(void *arg, const char *path);
};

struct pm_policies *pm_policies_new(const struct pm_policies_events *events, void *arg);

/* Stops all instances. The objects stay mapped: code may still be referenced by what they left behind. */
void pm_policies_free(struct pm_policies *ps);

/* Loads the object behind `fd` (which stays the caller's); `path` is for messages. The error names file, symbol and
 * likely cause. */
int pm_policies_load(struct pm_policies *ps, const char *path, int fd, struct pm_error *err) PM_MUST;

/* Starts the policies of a route. `culprit` gets the path of the object that failed, or NULL when the fault is in the
 * route's file. */
int pm_policies_bind(struct pm_policies *ps, const struct pm_route *route, const char **culprit,
                     struct pm_error *err) PM_MUST;

/* Asks the route's policies in order. Fills at most `most` verdicts and returns how many; release them. */
size_t pm_policies_judge(struct pm_policies *ps, const struct pm_route_input *in, struct pm_verdict *verdicts,
                         size_t most);
void pm_verdict_release(struct pm_verdict *v);

enum pm_outcome_kind { PM_OUTCOME_ANSWERED, PM_OUTCOME_FEEDBACK, PM_OUTCOME_REVIEWED };

/* Tells the route's policies what became of a request; each gets its own note back from its verdict. */
struct pm_outcome {
    enum pm_outcome_kind kind;
    const char *target;
    int status, attempts;
    double total_ms, first_byte_ms;
    long long prompt_tokens, output_tokens;
    double score; /* 0..1, or -1 */
};
void pm_policies_outcome(struct pm_policies *ps, const struct pm_route *route, const struct pm_verdict *verdicts,
                         size_t n, const struct pm_outcome *outcome);

/* An answer that a policy has asked to see before the caller does. */
struct pm_review {
    const char *target, *text, *finish;
    size_t text_len;
    unsigned tool_calls, round;
    bool has_logprobs;
    double mean_logprob, least_logprob;
    long long output_tokens;
    const char *said; /* by the target of its question, or NULL */
    size_t said_len;
};

enum pm_review_end { PM_REVIEW_ACCEPT, PM_REVIEW_REJECT, PM_REVIEW_ASK };

/* A question to a target of the route. The texts are to be freed. */
struct pm_review_question {
    char *target, *system, *text;
    long long max_tokens;
};

/* Asks the policy of that name; `question` is filled for PM_REVIEW_ASK. */
enum pm_review_end pm_policies_review(struct pm_policies *ps, const struct pm_route_input *in, const char *policy,
                                      const struct pm_review *review, struct pm_review_question *question);

/* What is loaded, one after the other; false after the last. */
struct pm_policy_info {
    const char *name, *summary, *path;
    unsigned abi;
};
bool pm_policies_info(const struct pm_policies *ps, size_t i, struct pm_policy_info *out);

/* Options of a loaded policy as text for people, into `out`. */
void pm_policies_options_text(const struct pm_policies *ps, size_t i, struct pm_buf *out);

#endif
