#include "core/store/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/alloc.h"

/* Seconds are whole: 61 of them hold any 60. */
enum { WINDOW_S = 61, SLOTS = 8192, ID_SIZE = 32, FORMAT = 1 };

static const char magic[8] = "pmlimit";

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

struct head {
    char magic[8];
    uint32_t format, size;
};

struct table {
    struct head head;
    struct slot slots[SLOTS];
};

struct pm_limits {
    int fd;
    struct table *table;
};

int pm_limits_create(const char *path, struct pm_error *err)
{
    struct head want = {.format = FORMAT, .size = sizeof(struct table)}, old = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        pm_error_errno(err, "%s", path);
        return -1;
    }
    memcpy(want.magic, magic, sizeof(magic));
    bool same = pread(fd, &old, sizeof(old), 0) == sizeof(old) && memcmp(&old, &want, sizeof(old)) == 0;
    if ((!same && ftruncate(fd, 0) < 0) || ftruncate(fd, sizeof(struct table)) < 0 ||
        pwrite(fd, &want, sizeof(want), 0) != sizeof(want)) {
        pm_error_errno(err, "%s", path);
        close(fd);
        return -1;
    }
    return fd;
}

struct pm_limits *pm_limits_open(int fd, struct pm_error *err)
{
    void *at = mmap(NULL, sizeof(struct table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        pm_error_errno(err, "the table of limits");
        return NULL;
    }
    struct pm_limits *l = pm_calloc(1, sizeof(*l));
    l->fd = fd;
    l->table = at;
    return l;
}

void pm_limits_free(struct pm_limits *l)
{
    if (!l)
        return;
    munmap(l->table, sizeof(struct table));
    close(l->fd);
    free(l);
}

static void lock(struct pm_limits *l, short type)
{
    struct flock what = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
    while (fcntl(l->fd, F_SETLKW, &what) < 0 && errno == EINTR)
        continue;
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
    lock(l, F_WRLCK);
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
    lock(l, F_UNLCK);
    return met;
}

void pm_limits_charge(struct pm_limits *l, const char *hash, int64_t now_s, long long tokens, double cost)
{
    lock(l, F_WRLCK);
    struct slot *s = slot_of(l, hash, now_s);
    bucket_of(s, now_s)->tokens += tokens > 0 ? (uint64_t)tokens : 0;
    s->spent += cost > 0 ? cost : 0;
    lock(l, F_UNLCK);
}

void pm_limits_look(struct pm_limits *l, const char *hash, int64_t now_s, struct pm_limit_use *use)
{
    lock(l, F_WRLCK);
    sum(slot_of(l, hash, now_s), now_s, use);
    lock(l, F_UNLCK);
}
