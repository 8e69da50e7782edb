/* A policy for the tests that holds every answer back and does with it what the user's last words say:
 *
 *   [accept]  [reject]  [crash]  [slow]  [logprobs]  [free]: it does not hold at all
 *   [ask TARGET]      one question; a reply with "down" in it turns the answer down
 *   [long TARGET]     the same, and the reply may be very long
 *   [forever TARGET]  question after question
 *
 * The weakest target is asked first. All that it sees goes to the gateway's log. NO_REVIEW: it holds, and reviews
 * nothing. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "pointsman.h"

enum { LONG_TOKENS = 30000, SLOW_MS = 30 };

static const struct pmp_host *host;

static int start(const struct pmp_host *h, const void *conf, void **state)
{
    (void)conf;
    (void)state;
    host = h;
    return 0;
}

static int is_told(const struct pmp_request *req, const char *word)
{
    return strstr(host->text(req, PMP_TEXT_LAST_USER, NULL), word) != NULL;
}

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    size_t weakest = 0;
    double least = 2;
    (void)state;
    for (size_t i = 0; i < host->targets(req); i++) {
        struct pmp_target t = {.size = sizeof(t)};
        if (host->target(req, i, &t) == 0 && !t.is_fallback && t.strength < least) {
            least = t.strength;
            weakest = i;
        }
    }
    host->prefer(v, weakest, 1);
    host->reason(v, "held for review");
    host->note(v, "a note", 6);
    if (!is_told(req, "[free]"))
        host->hold(v, is_told(req, "[logprobs]"));
    return 0;
}

static void outcome(void *state, const struct pmp_outcome *o)
{
    (void)state;
    host->log(host, PMP_LOG_WARN, "outcome kind=%d target=%s status=%d score=%g note=<%.*s> output=%lld", (int)o->kind,
              o->target, o->status, o->score, (int)o->note_len, o->note ? o->note : "", (long long)o->output_tokens);
}

#ifndef NO_REVIEW
static void spend(int ms)
{
    struct timespec now, began;
    clock_gettime(CLOCK_MONOTONIC, &began);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - began.tv_sec) * 1000 + (now.tv_nsec - began.tv_nsec) / 1000000 < ms);
}

/* The target named after the word. */
static const char *target_of(const struct pmp_request *req, const char *word)
{
    static char name[64];
    const char *at = strstr(host->text(req, PMP_TEXT_LAST_USER, NULL), word);
    name[0] = 0;
    if (at)
        (void)sscanf(at + strlen(word), " %63[^] ]", name);
    return at ? name : NULL;
}

static enum pmp_review put(struct pmp_question *q, const char *target, int64_t tokens)
{
    q->target = target;
    q->system = "You say yes or no.";
    q->text = "Is it any good?";
    q->max_tokens = tokens;
    return PMP_ASK;
}

static enum pmp_review review(void *state, const struct pmp_request *req, const struct pmp_answer *a,
                              struct pmp_question *q)
{
    volatile int *nowhere = NULL;
    const char *target;
    (void)state;
    host->log(host, PMP_LOG_WARN,
              "review round=%u target=%s finish=%s len=%zu calls=%u logprobs=%d mean=%.3f said=<%s>", a->round,
              a->target, a->finish, a->text_len, a->tool_calls, a->has_logprobs, a->mean_logprob,
              a->said ? a->said : "nothing");
    host->metric(host, "seen_total", 1);
    if (is_told(req, "[crash]"))
        *nowhere = 1;
    if (is_told(req, "[slow]"))
        spend(SLOW_MS);
    if ((target = target_of(req, "[forever")))
        return put(q, target, 4);
    if (a->round == 0 && (target = target_of(req, "[ask")))
        return put(q, target, 4);
    if (a->round == 0 && (target = target_of(req, "[long")))
        return put(q, target, LONG_TOKENS);
    if (a->round)
        return a->said && strstr(a->said, "down") ? PMP_REJECT : PMP_ACCEPT;
    return is_told(req, "[reject]") ? PMP_REJECT : PMP_ACCEPT;
}
#endif

PMP_EXPORT const struct pmp_policy pmp_policy = {
    .abi = PMP_ABI,
    .size = sizeof(struct pmp_policy),
    .name = "reviewer",
    .summary = "does with an answer what its request says",
    .start = start,
    .judge = judge,
    .outcome = outcome,
#ifndef NO_REVIEW
    .review = review,
#endif
};
