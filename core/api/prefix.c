#include "core/api/prefix.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"

/* So many prompts of a target, of so many steps each: a mebibyte. */
enum { PROMPTS = 8, STEPS_MAX = 4096, PARTS = 3 };

/* Less in common than this is chance: the first words of two different agents. */
enum { STEPS_LEAST = 2 };

struct prompt {
    uint64_t *steps;  /* fingerprints of all up to the end of each step */
    size_t n, shared; /* steps in all, and of tools and system text */
    uint64_t conversation, used;
};

struct pm_prefix_memory {
    struct prompt prompts[PROMPTS];
    uint64_t clock;
};

struct pm_prefix_memory *pm_prefix_memory_new(void)
{
    return pm_calloc(1, sizeof(struct pm_prefix_memory));
}

void pm_prefix_memory_free(struct pm_prefix_memory *m)
{
    for (size_t i = 0; m && i < PROMPTS; i++)
        free(m->prompts[i].steps);
    free(m);
}

/* The parts of a body in the order in which chat templates render them. */
static const char *const keys[PARTS][2] = {{"tools", NULL}, {"system", "instructions"}, {"messages", "input"}};

struct part {
    const char *text;
    size_t len;
};

static void find_parts(const char *body, size_t len, struct part parts[PARTS])
{
    struct pm_json_spans spans;
    memset(parts, 0, PARTS * sizeof(*parts));
    if (pm_json_scan(body, len, &spans, NULL) < 0)
        return;
    for (size_t i = 0; i < PARTS; i++)
        for (size_t k = 0; k < 2 && keys[i][k] && !parts[i].text; k++) {
            const struct pm_json_member *m = pm_json_span(&spans, body, keys[i][k]);
            /* Without the closing bracket, in whose place the next turn has a comma. */
            if (m && m->value_len > 1)
                parts[i] = (struct part){body + m->value, m->value_len - 1};
        }
}

/* Eight bytes at a time: this is done for every prompt. */
static uint64_t mix(uint64_t hash, const char *text, size_t len)
{
    uint64_t word = 0;
    for (; len >= sizeof(word); text += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, text, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
        hash ^= hash >> 29;
    }
    word = 0;
    memcpy(&word, text, len);
    return (hash ^ word ^ len) * 0x9e3779b97f4a7c15ULL;
}

/* Steps begin anew with each part, so that an offset can be told; the rest of a part is one step, if it is not the
 * last: what follows there is still growing. */
static void fingerprint(const struct part parts[PARTS], struct prompt *p)
{
    uint64_t hash = PM_HASH_SEED;
    p->steps = pm_calloc(STEPS_MAX, sizeof(*p->steps));
    for (size_t i = 0; i < PARTS; i++) {
        bool last = i == PARTS - 1;
        for (size_t at = 0; at < parts[i].len && p->n < STEPS_MAX;) {
            size_t left = parts[i].len - at, step = left < PM_PREFIX_STEP ? left : PM_PREFIX_STEP;
            if (last && step < PM_PREFIX_STEP)
                break;
            hash = mix(hash, parts[i].text + at, step);
            p->steps[p->n++] = hash;
            at += step;
        }
        if (i == PARTS - 2)
            p->shared = p->n;
    }
}

static long long offset_of(const char *body, const struct part parts[PARTS], size_t steps)
{
    for (size_t i = 0; i < PARTS; i++) {
        size_t own = (parts[i].len + PM_PREFIX_STEP - 1) / PM_PREFIX_STEP;
        if (steps < own)
            return parts[i].text - body + (long long)(steps * PM_PREFIX_STEP);
        steps -= own;
    }
    return -1;
}

static size_t in_common(const struct prompt *a, const struct prompt *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->steps[n] == b->steps[n])
        n++;
    return n;
}

/* Is it a fault that they part there? Conversations may differ in what is said, not in what they begin with. */
static bool is_break(const struct prompt *old, const struct prompt *fresh, size_t common)
{
    if (old->conversation == fresh->conversation && common < old->n)
        return true;
    return common >= STEPS_LEAST && common < old->shared && common < fresh->shared;
}

long long pm_prefix_note(struct pm_prefix_memory *m, const char *body, size_t len, uint64_t conversation)
{
    struct prompt fresh = {.conversation = conversation, .used = ++m->clock};
    struct part parts[PARTS];
    size_t best = 0, best_common = 0, oldest = 0, own = PROMPTS;
    find_parts(body, len, parts);
    fingerprint(parts, &fresh);
    for (size_t i = 0; i < PROMPTS; i++) {
        size_t common = m->prompts[i].steps ? in_common(&m->prompts[i], &fresh) : 0;
        if (common > best_common) {
            best = i;
            best_common = common;
        }
        if (m->prompts[i].used < m->prompts[oldest].used)
            oldest = i;
        if (m->prompts[i].steps && m->prompts[i].conversation == conversation)
            own = i;
    }
    if (own < PROMPTS)
        best = own;
    const struct prompt *before = &m->prompts[best];
    size_t common = before->steps ? in_common(before, &fresh) : 0;
    long long offset = before->steps && is_break(before, &fresh, common) ? offset_of(body, parts, common) : -1;
    struct prompt *place = &m->prompts[own < PROMPTS ? own : oldest];
    free(place->steps);
    *place = fresh;
    return offset;
}
