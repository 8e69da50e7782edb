/* regex: intents by regular expressions over the user's last message.
 *
 *     [policy regex]
 *     code=\b(code|debug|refactor)\b
 *
 * Each line is an intent and a PCRE2 pattern, caseless, UTF-8. A match gives the intent with confidence 1. Patterns
 * are compiled to machine code; match and depth limits keep a hostile prompt from running one for ever.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "pointsman.h"

enum { MATCH_LIMIT = 100000, DEPTH_LIMIT = 1000 };

struct conf {
    int64_t most;
    struct pmp_pairs patterns;
};

struct pattern {
    const char *intent;
    pcre2_code *code;
    int gave_up; /* told once */
};

struct state {
    const struct pmp_host *host;
    const struct conf *conf;
    struct pattern *patterns;
    size_t n;
    pcre2_match_data *match;
    pcre2_match_context *limits;
};

static const struct pmp_option options[] = {
    {PMP_INT, "MOST_BYTES", "65536", offsetof(struct conf, most), 1, 1e8,
     "of the message that are looked at, from its start"},
    {PMP_PAIRS, "*", NULL, offsetof(struct conf, patterns), 0, 0, "intent=pattern, any number"},
    {0},
};

static void stop(void *state)
{
    struct state *s = state;
    for (size_t i = 0; i < s->n; i++)
        pcre2_code_free(s->patterns[i].code);
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->limits);
    s->host->free(s->patterns);
    s->host->free(s);
}

static int compile(struct state *s, const struct pmp_pair *pair)
{
    int error;
    PCRE2_SIZE offset;
    struct pattern *p = &s->patterns[s->n];
    p->intent = pair->key;
    p->code = pcre2_compile((PCRE2_SPTR)pair->value, PCRE2_ZERO_TERMINATED, PCRE2_CASELESS | PCRE2_UTF | PCRE2_UCP,
                            &error, &offset, NULL);
    if (!p->code) {
        PCRE2_UCHAR text[160];
        pcre2_get_error_message(error, text, sizeof(text));
        s->host->fail(s->host, pair->where, "%s=%s: not a regular expression at character %zu: %s", pair->key,
                      pair->value, (size_t)offset + 1, (const char *)text);
        return -1;
    }
    s->n++;
    /* Without JIT (not on every processor) the interpreter does the same, slower. */
    pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    return 0;
}

static int start(const struct pmp_host *host, const void *conf, void **state)
{
    struct state *s = host->alloc(1, sizeof(*s));
    s->host = host;
    s->conf = conf;
    s->patterns = host->alloc(s->conf->patterns.n, sizeof(*s->patterns));
    s->match = pcre2_match_data_create(1, NULL);
    s->limits = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(s->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(s->limits, DEPTH_LIMIT);
    for (size_t i = 0; i < s->conf->patterns.n; i++) {
        if (compile(s, &s->conf->patterns.items[i]) != 0) {
            stop(s);
            return -1;
        }
    }
    *state = s;
    return 0;
}

static int matches(struct state *s, struct pattern *p, const char *text, size_t len)
{
    int rc = pcre2_match(p->code, (PCRE2_SPTR)text, len, 0, PCRE2_NO_UTF_CHECK, s->match, s->limits);
    if (rc >= 0)
        return 1;
    if (rc != PCRE2_ERROR_NOMATCH && !p->gave_up) {
        p->gave_up = 1;
        s->host->log(s->host, PMP_LOG_WARN, "pattern %s gave up on a message (PCRE2 error %d): simplify it", p->intent,
                     rc);
        s->host->metric(s->host, "gave_up_total", 1);
    }
    return 0;
}

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    struct state *s = state;
    size_t len;
    const char *text = s->host->text(req, PMP_TEXT_LAST_USER, &len);
    char found[128] = "";
    if (len > (size_t)s->conf->most) {
        len = (size_t)s->conf->most;
        /* Not in the middle of a character. */
        while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (!matches(s, &s->patterns[i], text, len))
            continue;
        s->host->intent(v, s->patterns[i].intent, 1);
        size_t used = strlen(found);
        snprintf(found + used, sizeof(found) - used, "%s%s 1.00", used ? ", " : "", s->patterns[i].intent);
    }
    if (found[0])
        s->host->reason(v, "%s", found);
    else
        s->host->abstain(v);
    return 0;
}

PMP_EXPORT const struct pmp_policy pmp_policy = {
    .abi = PMP_ABI,
    .size = sizeof(struct pmp_policy),
    .name = "regex",
    .summary = "intents by regular expressions over the user's last message",
    .options = options,
    .conf_size = sizeof(struct conf),
    .start = start,
    .judge = judge,
    .stop = stop,
};
