/* complexity: how hard is the user's last message? A score in [0,1]:
 *
 *     length/1000 + 0.3 x code blocks + 0.1 x technical terms + 0.2 x nested questions
 *
 * At HIGH or above, strong targets are preferred; at LOW or below, quick ones. In between nothing is said.
 */
#include <ctype.h>
#include <string.h>

#include "pointsman.h"

/* What a preference for the strong or the quick weighs against GOOD_AT and the other terms. */
static const double PREFERENCE = 0.3;

struct conf {
    double low, high;
};

struct state {
    const struct pmp_host *host;
    const struct conf *conf;
};

static const struct pmp_option options[] = {
    {PMP_REAL, "LOW", "0.4", offsetof(struct conf, low), 0, 1, "at or below: the quick targets"},
    {PMP_REAL, "HIGH", "0.7", offsetof(struct conf, high), 0, 1, "at or above: the strong targets"},
    {0},
};

static const char *const terms[] = {
    "algorithm",  "api",         "architecture", "async",      "benchmark",  "cache",       "compiler",
    "concurren",  "database",    "deadlock",     "dependency", "deploy",     "distributed", "docker",
    "encryption", "framework",   "function",     "inference",  "interface",  "kernel",      "kubernetes",
    "latency",    "memory leak", "microservice", "mutex",      "optimi",     "parser",      "pointer",
    "protocol",   "query",       "recursi",      "refactor",   "regression", "scalab",      "schema",
    "segfault",   "stack trace", "tensor",       "thread",     "throughput", "transaction", "unit test",
};

static int start(const struct pmp_host *host, const void *conf, void **state)
{
    const struct conf *c = conf;
    if (c->low > c->high) {
        host->fail(host, NULL, "LOW is above HIGH");
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

/* Fenced blocks: a pair of ``` each. */
static unsigned code_blocks(const char *text)
{
    unsigned fences = 0;
    for (const char *p = text; (p = strstr(p, "```")); p += 3)
        fences++;
    return fences / 2;
}

static int term_at(const char *p, const char *term)
{
    while (*term && tolower((unsigned char)*p) == *term) {
        p++;
        term++;
    }
    return !*term;
}

/* Different terms, each counted once, found at the start of a word. */
static unsigned technical_terms(const char *text, size_t len)
{
    enum { N = sizeof(terms) / sizeof(*terms) };
    unsigned char seen[N] = {0};
    unsigned n = 0;
    for (size_t i = 0; i < len; i++) {
        if (!isalpha((unsigned char)text[i]) || (i && isalnum((unsigned char)text[i - 1])))
            continue;
        for (size_t t = 0; t < N; t++) {
            if (!seen[t] && term_at(text + i, terms[t])) {
                seen[t] = 1;
                n++;
            }
        }
    }
    return n;
}

/* Questions beyond the first: one that asks in several steps. */
static unsigned nested_questions(const char *text)
{
    unsigned marks = 0;
    for (const char *p = text; (p = strchr(p, '?')); p++)
        marks += p[1] != '?';
    return marks > 1 ? marks - 1 : 0;
}

static void prefer(const struct state *s, const struct pmp_request *req, struct pmp_verdict *v, double weight)
{
    for (size_t i = 0; i < s->host->targets(req); i++) {
        struct pmp_target t = {.size = sizeof(t)};
        if (s->host->target(req, i, &t) == 0)
            s->host->prefer(v, i, weight * (t.strength - 0.5));
    }
}

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    struct state *s = state;
    size_t len;
    const char *text = s->host->text(req, PMP_TEXT_LAST_USER, &len);
    double score = (double)len / 1000;
    /* A long message has the full score already: do not search megabytes for more. */
    if (score < 1)
        score += 0.3 * code_blocks(text) + 0.1 * technical_terms(text, len) + 0.2 * nested_questions(text);
    if (score > 1)
        score = 1;
    s->host->complexity(v, score);
    if (score >= s->conf->high) {
        s->host->reason(v, "complexity %.2f >= %.12g", score, s->conf->high);
        prefer(s, req, v, PREFERENCE);
    } else if (score <= s->conf->low) {
        s->host->reason(v, "complexity %.2f <= %.12g", score, s->conf->low);
        prefer(s, req, v, -PREFERENCE);
    } else {
        s->host->reason(v, "complexity %.2f", score);
    }
    return 0;
}

PMP_EXPORT const struct pmp_policy pmp_policy = {
    .abi = PMP_ABI,
    .size = sizeof(struct pmp_policy),
    .name = "complexity",
    .summary = "a score of how hard the user's last message is; hard ones prefer strong targets, easy ones quick ones",
    .options = options,
    .conf_size = sizeof(struct conf),
    .start = start,
    .judge = judge,
    .stop = stop,
};
