/* stage: how is an agent getting on? Read from the results of its tools, no model is asked.
 *
 * Errors, the same call again and again, and much reading without an edit ask for the strong model; edits that go well
 * ask for the quick one:
 *
 *     0.6 x bad + 0.4 x streak + 0.5 x spinning + 0.25 x exploring - 0.4 x steady        within [0,1]
 *
 *     bad        failed steps, refused ones half, passing ones a quarter, of the last steps
 *     streak     failed steps at the end, of three
 *     spinning   repeated calls, of three
 *     exploring  reads among the steps, where none was an edit and there were four
 *     steady     edits that went well among the last six steps, of three
 *
 * At THRESHOLD or above the conversation may leave its model in the middle of its work. A critical error (a crash, no
 * memory, no disk) sends it to the strongest target whatever the rest says.
 */
#include "pointsman.h"

static const double BAD = 0.6, STREAK = 0.4, SPINNING = 0.5, EXPLORING = 0.25, STEADY = 0.4;

/* Steps before which nothing can be told of a tendency. */
enum { ENOUGH_STEPS = 3, EXPLORING_STEPS = 4 };

struct conf {
    double threshold, calm;
    int on_critical;
};

struct state {
    const struct pmp_host *host;
    const struct conf *conf;
};

static const struct pmp_option options[] = {
    {PMP_REAL, "THRESHOLD", "0.5", offsetof(struct conf, threshold), 0, 1, "at or above: the strong targets"},
    {PMP_REAL, "CALM", "0.1", offsetof(struct conf, calm), 0, 1,
     "at or below, while edits go well: the quick targets"},
    {PMP_BOOL, "ON_CRITICAL", "yes", offsetof(struct conf, on_critical), 0, 0,
     "a critical error sends the work to the strongest target"},
    {0},
};

static int start(const struct pmp_host *host, const void *conf, void **state)
{
    const struct conf *c = conf;
    if (c->calm >= c->threshold) {
        host->fail(host, NULL, "CALM must be below THRESHOLD");
        return -1;
    }
    struct state *s = host->alloc(1, sizeof(*s));
    s->host = host;
    s->conf = conf;
    *state = s;
    return 0;
}

static void stop(void *state)
{
    struct state *s = state;
    s->host->free(s);
}

static double share(int64_t n, int64_t of)
{
    return n >= of ? 1 : (double)n / (double)of;
}

static double score_of(const struct pmp_host *h, const struct pmp_request *req)
{
    int64_t steps = h->number(req, PMP_NUM_STEPS), reads = h->number(req, PMP_NUM_STEPS_READ);
    int64_t edits = h->number(req, PMP_NUM_STEPS_EDIT);
    double bad = (double)h->number(req, PMP_NUM_STEPS_FAILED) + (double)h->number(req, PMP_NUM_STEPS_CRITICAL) +
                 0.5 * (double)h->number(req, PMP_NUM_STEPS_REFUSED) +
                 0.25 * (double)h->number(req, PMP_NUM_STEPS_PASSING);
    double score = BAD * bad / (double)(steps > ENOUGH_STEPS ? steps : ENOUGH_STEPS);
    score += STREAK * share(h->number(req, PMP_NUM_ERROR_STREAK), 3);
    score += SPINNING * share(h->number(req, PMP_NUM_STEPS_REPEATED), 3);
    if (steps >= EXPLORING_STEPS && !edits)
        score += EXPLORING * (double)reads / (double)steps;
    score -= STEADY * share(h->number(req, PMP_NUM_RECENT_EDITS), 3);
    return score < 0 ? 0 : score > 1 ? 1 : score;
}

/* All that are as strong as the strongest. */
static void prefer_strongest(const struct pmp_host *h, const struct pmp_request *req, struct pmp_verdict *v)
{
    double most = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < h->targets(req); i++) {
            struct pmp_target t = {.size = sizeof(t)};
            if (h->target(req, i, &t) != 0)
                continue;
            if (!pass && t.strength > most)
                most = t.strength;
            if (pass && t.strength >= most)
                h->prefer(v, i, 1);
        }
    }
}

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    const struct state *s = state;
    const struct pmp_host *h = s->host;
    int64_t steps = h->number(req, PMP_NUM_STEPS), edits = h->number(req, PMP_NUM_RECENT_EDITS);
    if (!steps || !h->number(req, PMP_NUM_TOOL_LOOP)) {
        h->abstain(v);
        return 0;
    }
    if (s->conf->on_critical && h->number(req, PMP_NUM_RECENT_CRITICAL)) {
        h->complexity(v, 1);
        h->insist(v);
        prefer_strongest(h, req, v);
        h->reason(v, "a critical error");
        return 0;
    }
    double score = score_of(h, req);
    h->complexity(v, score);
    h->reason(v, "stage %.2f (%d steps, %d failed in a row, %d repeated, %d good edits)", score, (int)steps,
              (int)h->number(req, PMP_NUM_ERROR_STREAK), (int)h->number(req, PMP_NUM_STEPS_REPEATED), (int)edits);
    if (score >= s->conf->threshold) {
        h->insist(v);
        prefer_strongest(h, req, v);
    } else if (score <= s->conf->calm && edits >= 3) {
        h->insist(v);
    }
    return 0;
}

PMP_EXPORT const struct pmp_policy pmp_policy = {
    .abi = PMP_ABI,
    .size = sizeof(struct pmp_policy),
    .name = "stage",
    .summary = "an agent's progress by the results of its tools: trouble asks for strong targets, steady edits for "
               "quick ones",
    .options = options,
    .conf_size = sizeof(struct conf),
    .start = start,
    .judge = judge,
    .stop = stop,
};
