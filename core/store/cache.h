/* Whole answers in memory, found by the fingerprint of what was asked. The least recently used go first. */
#ifndef PM_STORE_CACHE_H
#define PM_STORE_CACHE_H

#include <stddef.h>
#include <stdint.h>

struct pm_cache;

/* What was kept; valid until the next call for the cache. */
struct pm_cached {
    const char *body;
    size_t len;
    const char *target; /* who answered */
    uint64_t at_ms;     /* when */
};

struct pm_cache *pm_cache_new(size_t max_bytes);
void pm_cache_free(struct pm_cache *c);

/* NULL when there is none, or it is older than its time. `key` is a fingerprint, hexadecimal. */
const struct pm_cached *pm_cache_get(struct pm_cache *c, const char *key, uint64_t now_ms);

/* Copies. An answer of more than half of all room is not kept. */
void pm_cache_put(struct pm_cache *c, const char *key, const struct pm_cached *what, uint64_t ttl_ms);

#endif
