#include "core/store/limits.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/alloc.h"
#include "core/store/mapped.h"

/* Seconds are whole: 61 of them hold any 60. */
enum { WINDOW_S = 61, SLOTS = 8192, ID_SIZE = 32, FORMAT = 2 };

/* What was used in one second. */
struct bucket {
    int64_t second;
    uint64_t requests, tokens;
};

struct slot {
    char id[ID_SIZE]; /* the first digits of the fingerprint; all 0: free */
    struct bucket buckets[WINDOW_S];
    uint32_t month;
    int64_t used_s; /* when last */
    double spent;
};

struct table {
    struct slot slots[SLOTS];
};

struct pm_limits {
    struct pm_mapped file;
    struct table *table;
};

struct pm_limits *pm_limits_open(int dir, const char *path, struct pm_error *err)
{
    static const struct pm_mapped_kind kind = {.name = "pmlimit", .format = FORMAT, .size = sizeof(struct table)};
    struct pm_mapped file;
    if (pm_mapped_open(dir, path, &kind, &file, err) < 0)
        return NULL;
    struct pm_limits *l = pm_calloc(1, sizeof(*l));
    l->file = file;
    l->table = file.at;
    return l;
}

void pm_limits_free(struct pm_limits *l)
{
    if (l)
        pm_mapped_close(&l->file);
    free(l);
}

unsigned pm_limits_month(int64_t now_s)
{
    time_t t = (time_t)now_s;
    struct tm tm;
    gmtime_r(&t, &tm);
    return (unsigned)(tm.tm_year * 12 + tm.tm_mon);
}

static size_t first_place(const char *hash)
{
    char digits[9] = {0};
    memcpy(digits, hash, 8);
    return strtoul(digits, NULL, 16) % SLOTS;
}

/* The key's slot; when it has none, a free one or the one that was unused longest. */
static struct slot *slot_of(struct pm_limits *l, const char *hash, int64_t now_s)
{
    size_t first = first_place(hash);
    struct slot *best = &l->table->slots[first], *s = best;
    for (size_t i = 0; i < SLOTS; i++) {
        s = &l->table->slots[(first + i) % SLOTS];
        if (memcmp(s->id, hash, ID_SIZE) == 0)
            goto found;
        if (!s->id[0]) {
            best = s;
            break;
        }
        if (s->used_s < best->used_s)
            best = s;
    }
    s = best;
    memset(s, 0, sizeof(*s));
    memcpy(s->id, hash, ID_SIZE);
found:
    if (s->month != pm_limits_month(now_s)) {
        s->month = pm_limits_month(now_s);
        s->spent = 0;
    }
    return s;
}

static bool is_recent(const struct bucket *b, int64_t now_s)
{
    return b->second > now_s - WINDOW_S && b->second <= now_s;
}

static void sum(const struct slot *s, int64_t now_s, struct pm_limit_use *use)
{
    *use = (struct pm_limit_use){.spent = s->spent};
    for (size_t i = 0; i < WINDOW_S; i++) {
        if (!is_recent(&s->buckets[i], now_s))
            continue;
        use->requests += (long long)s->buckets[i].requests;
        use->tokens += (long long)s->buckets[i].tokens;
    }
}

static struct bucket *bucket_of(struct slot *s, int64_t now_s)
{
    struct bucket *b = &s->buckets[now_s % WINDOW_S];
    if (b->second != now_s)
        *b = (struct bucket){.second = now_s};
    s->used_s = now_s;
    return b;
}

/* Seconds until enough of the window has passed for its sum to be below `limit`. */
static unsigned until_below(const struct slot *s, int64_t now_s, bool tokens, long long used, long long limit)
{
    for (int64_t second = now_s - WINDOW_S + 1; second <= now_s; second++) {
        const struct bucket *b = &s->buckets[second % WINDOW_S];
        if (b->second != second)
            continue;
        used -= (long long)(tokens ? b->tokens : b->requests);
        if (used < limit)
            return (unsigned)(second + WINDOW_S - now_s);
    }
    return WINDOW_S;
}

enum pm_limit pm_limits_take(struct pm_limits *l, const char *hash, const struct pm_limit_rules *rules, int64_t now_s,
                             struct pm_limit_use *use)
{
    enum pm_limit met = PM_LIMIT_NONE;
    pm_mapped_lock(&l->file);
    struct slot *s = slot_of(l, hash, now_s);
    sum(s, now_s, use);
    if (rules->budget > 0 && use->spent >= rules->budget) {
        met = PM_LIMIT_BUDGET;
    } else if (rules->rpm && use->requests >= rules->rpm) {
        met = PM_LIMIT_REQUESTS;
        use->retry_after_s = until_below(s, now_s, false, use->requests, rules->rpm);
    } else if (rules->tpm && use->tokens >= rules->tpm) {
        met = PM_LIMIT_TOKENS;
        use->retry_after_s = until_below(s, now_s, true, use->tokens, rules->tpm);
    } else {
        bucket_of(s, now_s)->requests++;
        use->requests++;
    }
    pm_mapped_unlock(&l->file);
    return met;
}

void pm_limits_charge(struct pm_limits *l, const char *hash, int64_t now_s, long long tokens, double cost)
{
    pm_mapped_lock(&l->file);
    struct slot *s = slot_of(l, hash, now_s);
    bucket_of(s, now_s)->tokens += tokens > 0 ? (uint64_t)tokens : 0;
    s->spent += cost > 0 ? cost : 0;
    pm_mapped_unlock(&l->file);
}

void pm_limits_look(struct pm_limits *l, const char *hash, int64_t now_s, struct pm_limit_use *use)
{
    pm_mapped_lock(&l->file);
    sum(slot_of(l, hash, now_s), now_s, use);
    pm_mapped_unlock(&l->file);
}
