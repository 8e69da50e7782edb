/* escalate: the small model answers first, and only what does not hold goes up.
 *
 * The weakest target is asked; its answer is held back until it is judged. What says that it does not hold:
 *
 *   - it is empty, or broke off at its limit of tokens, or a filter stopped it,
 *   - it begins like a refusal or says that it does not know,
 *   - its tokens were improbable (MIN_LOGPROB; where the server tells that),
 *   - a judge, another model of the route, rates it below PASS (JUDGE, a target's id).
 *
 * Then the next target answers. BUDGET bounds what that may cost: so many extra calls (questions to the judge, and
 * second answers) for a hundred requests; beyond it answers are taken as they come. Requests that carry tools are left
 * alone unless TOOLS=yes: an agent's step is short, and waiting for its end costs more than it brings.
 */
#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pointsman.h"

enum { QUESTION_BYTES = 12000, PROMPT_BYTES = 6000, RATING_TOKENS = 8 };

struct conf {
    const char *judge;
    double min_logprob, pass;
    int64_t budget;
    int tools;
};

/* Shared by all workers: extra calls that may be made, in hundredths. */
struct purse {
    _Atomic int64_t hundredths;
};

struct state {
    const struct pmp_host *host;
    const struct conf *conf;
    struct purse *purse, own;
    char question[QUESTION_BYTES];
};

static const struct pmp_option options[] = {
    {PMP_STRING, "JUDGE", NULL, offsetof(struct conf, judge), 0, 0,
     "the target that rates answers; without one, rules do"},
    {PMP_REAL, "PASS", "6", offsetof(struct conf, pass), 0, 10,
     "the judge's rating, 0 to 10, from which an answer holds"},
    {PMP_REAL, "MIN_LOGPROB", "-1.0", offsetof(struct conf, min_logprob), -20, 0,
     "mean log-probability of its tokens below which an answer does not hold"},
    {PMP_INT, "BUDGET", "40", offsetof(struct conf, budget), 0, 200, "extra calls for a hundred requests"},
    {PMP_BOOL, "TOOLS", "no", offsetof(struct conf, tools), 0, 0, "requests that carry tools, too"},
    {0},
};

/* How answers begin that are none. Lower case. */
static const char *const refusals[] = {
    "i can't",
    "i cannot",
    "i can not",
    "i'm sorry",
    "i am sorry",
    "sorry,",
    "i'm unable",
    "i am unable",
    "i don't know",
    "i do not know",
    "i'm not able",
    "i am not able",
    "as an ai",
    "unfortunately, i",
    "i'm not sure",
    "i don't have access",
    "i don't have enough",
    "es tut mir leid",
    "ich kann nicht",
    "je suis désolé",
    "lo siento",
};

/* Unused calls are saved up to this many hundredths. */
enum { PURSE_MOST = 2000 };

static int start(const struct pmp_host *host, const void *conf, void **state)
{
    if (!PMP_HAS(host, hold)) {
        host->fail(host, NULL, "this gateway cannot hold answers back: it is older than the policy");
        return -1;
    }
    struct state *s = host->alloc(1, sizeof(*s));
    s->host = host;
    s->conf = conf;
    s->purse = PMP_HAS(host, shared) ? host->shared(host, sizeof(*s->purse)) : NULL;
    if (!s->purse)
        s->purse = &s->own;
    *state = s;
    return 0;
}

static void stop(void *state)
{
    struct state *s = state;
    s->host->free(s);
}

static int may_spend(struct state *s)
{
    if (atomic_load(&s->purse->hundredths) < 100)
        return 0;
    atomic_fetch_sub(&s->purse->hundredths, 100);
    return 1;
}

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    struct state *s = state;
    const struct pmp_host *h = s->host;
    size_t n = h->targets(req), weakest = n;
    double least = 2;
    if (n < 2 || (h->number(req, PMP_NUM_TOOLS) && !s->conf->tools)) {
        h->abstain(v);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        struct pmp_target t = {.size = sizeof(t)};
        if (h->target(req, i, &t) != 0 || t.is_fallback || t.strength >= least)
            continue;
        if (s->conf->judge && strcmp(s->conf->judge, t.id) == 0)
            continue;
        least = t.strength;
        weakest = i;
    }
    if (weakest == n) {
        h->abstain(v);
        return 0;
    }
    if (*h->text(req, PMP_TEXT_REQUEST, NULL) && atomic_load(&s->purse->hundredths) < PURSE_MOST)
        atomic_fetch_add(&s->purse->hundredths, s->conf->budget);
    h->prefer(v, weakest, 1);
    h->hold(v, 1);
    h->reason(v, "small first");
    return 0;
}

/* --- the rules --- */

static int is_refusal(const char *text)
{
    char head[64];
    size_t n = 0;
    while (isspace((unsigned char)*text) || *text == '"')
        text++;
    /* Typeset apostrophes are apostrophes. */
    for (; *text && n + 1 < sizeof(head); n++) {
        int curly = strncmp(text, "\xe2\x80\x99", 3) == 0;
        head[n] = curly ? '\'' : *text;
        text += curly ? 3 : 1;
    }
    head[n] = 0;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++)
        if (strncasecmp(head, refusals[i], strlen(refusals[i])) == 0)
            return 1;
    return 0;
}

/* Why it does not hold, or NULL. */
static const char *fault(const struct state *s, const struct pmp_request *req, const struct pmp_answer *a)
{
    if (!a->text_len && !a->tool_calls)
        return "empty";
    /* Where the caller has set the limit, the next model will meet it too. */
    if (strcmp(a->finish, "length") == 0 && !s->host->number(req, PMP_NUM_MAX_TOKENS))
        return "cut";
    if (strcmp(a->finish, "content_filter") == 0)
        return "filtered";
    if (!a->tool_calls && is_refusal(a->text))
        return "refusal";
    if (a->has_logprobs && a->mean_logprob < s->conf->min_logprob)
        return "improbable";
    return NULL;
}

/* --- the judge --- */

/* A text may be cut, but not in the middle of a character. */
static int cut(const char *text, size_t len, size_t most)
{
    if (len > most)
        for (len = most; len && ((unsigned char)text[len] & 0xc0) == 0x80;)
            len--;
    return (int)len;
}

static enum pmp_review ask(struct state *s, const struct pmp_request *req, const struct pmp_answer *a,
                           struct pmp_question *q)
{
    size_t len;
    const char *prompt = s->host->text(req, PMP_TEXT_LAST_USER, &len);
    snprintf(s->question, sizeof(s->question),
             "A user asked:\n<question>\n%.*s\n</question>\n\nAn assistant answered:\n<answer>\n%.*s\n</answer>\n\n"
             "How correct, complete and to the point is the answer? Reply with one number from 0 (useless) to 10 "
             "(perfect) and nothing else.",
             cut(prompt, len, PROMPT_BYTES), prompt, cut(a->text, a->text_len, QUESTION_BYTES - PROMPT_BYTES - 500),
             a->text);
    q->target = s->conf->judge;
    q->system = "You rate answers strictly. You reply with one number.";
    q->text = s->question;
    q->max_tokens = RATING_TOKENS;
    return PMP_ASK;
}

/* The last number of the reply that is not what it is out of ("8/10"); -1 when there is none within 0 to 10. */
static double rating(const char *said)
{
    double found = -1;
    for (const char *p = said; *p;) {
        char *end;
        if (!isdigit((unsigned char)*p)) {
            p++;
            continue;
        }
        double r = strtod(p, &end);
        if (p == said || p[-1] != '/')
            found = r <= 10 ? r : -1;
        p = end > p ? end : p + 1;
    }
    return found;
}

static enum pmp_review up(struct state *s, const char *why)
{
    char name[48];
    if (!may_spend(s)) {
        s->host->metric(s->host, "over_budget_answers_total", 1);
        return PMP_ACCEPT;
    }
    snprintf(name, sizeof(name), "escalated_%s_total", why);
    s->host->metric(s->host, name, 1);
    return PMP_REJECT;
}

static enum pmp_review review(void *state, const struct pmp_request *req, const struct pmp_answer *a,
                              struct pmp_question *q)
{
    struct state *s = state;
    if (a->round == 0) {
        const char *why = fault(s, req, a);
        if (why)
            return up(s, why);
        if (!s->conf->judge || strcmp(s->conf->judge, a->target) == 0 || a->tool_calls || !may_spend(s))
            return PMP_ACCEPT;
        return ask(s, req, a, q);
    }
    double rated = a->said ? rating(a->said) : -1;
    /* A judge that cannot be understood does not make an answer bad. */
    if (rated < 0) {
        s->host->metric(s->host, "judge_without_rating_total", 1);
        return PMP_ACCEPT;
    }
    return rated < s->conf->pass ? up(s, "rated_low") : PMP_ACCEPT;
}

PMP_EXPORT const struct pmp_policy pmp_policy = {
    .abi = PMP_ABI,
    .size = sizeof(struct pmp_policy),
    .name = "escalate",
    .summary = "the small model answers first; what a judge or a rule turns down goes to the next",
    .options = options,
    .conf_size = sizeof(struct conf),
    .start = start,
    .judge = judge,
    .stop = stop,
    .review = review,
};
