#include "core/store/cache.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"

enum { BUCKETS = 4096, ENTRY_PART = 2 };

struct entry {
    struct entry *chain;         /* of its bucket */
    struct entry *newer, *older; /* by use */
    char *key;
    struct pm_cached what;
    uint64_t until_ms;
};

struct pm_cache {
    struct entry *buckets[BUCKETS];
    struct entry *newest, *oldest;
    size_t bytes, max_bytes;
};

static struct entry **bucket_of(struct pm_cache *c, const char *key)
{
    return &c->buckets[pm_hash(key, strlen(key), PM_HASH_SEED) % BUCKETS];
}

static size_t size_of(const struct entry *e)
{
    return sizeof(*e) + e->what.len + strlen(e->key) + strlen(e->what.target);
}

static void unlink_use(struct pm_cache *c, struct entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct pm_cache *c, struct entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void drop(struct pm_cache *c, struct entry *e)
{
    struct entry **at = bucket_of(c, e->key);
    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    unlink_use(c, e);
    c->bytes -= size_of(e);
    free((char *)e->what.body);
    free((char *)e->what.target);
    free(e->key);
    free(e);
}

struct pm_cache *pm_cache_new(size_t max_bytes)
{
    struct pm_cache *c = pm_calloc(1, sizeof(*c));
    c->max_bytes = max_bytes;
    return c;
}

void pm_cache_free(struct pm_cache *c)
{
    while (c && c->oldest)
        drop(c, c->oldest);
    free(c);
}

static struct entry *find(struct pm_cache *c, const char *key)
{
    struct entry *e = *bucket_of(c, key);
    while (e && strcmp(e->key, key) != 0)
        e = e->chain;
    return e;
}

const struct pm_cached *pm_cache_get(struct pm_cache *c, const char *key, uint64_t now_ms)
{
    struct entry *e = find(c, key);
    if (!e)
        return NULL;
    if (now_ms >= e->until_ms) {
        drop(c, e);
        return NULL;
    }
    unlink_use(c, e);
    link_newest(c, e);
    return &e->what;
}

void pm_cache_put(struct pm_cache *c, const char *key, const struct pm_cached *what, uint64_t ttl_ms)
{
    struct entry *e = find(c, key);
    if (e)
        drop(c, e);
    if (what->len > c->max_bytes / ENTRY_PART)
        return;
    e = pm_calloc(1, sizeof(*e));
    e->key = pm_strdup(key);
    e->what = *what;
    e->what.body = pm_strndup(what->body, what->len);
    e->what.target = pm_strdup(what->target);
    e->until_ms = what->at_ms + ttl_ms;
    e->chain = *bucket_of(c, key);
    *bucket_of(c, key) = e;
    link_newest(c, e);
    c->bytes += size_of(e);
    while (c->bytes > c->max_bytes && c->oldest)
        drop(c, c->oldest);
}
