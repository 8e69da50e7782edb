/* KV kept across switches: what the slots of a server hold is saved before it is stopped, and restored before the next
 * request of that conversation, so that its prompt need not be processed again.
 *
 * The server knows tokens, not conversations: which slot held which is told by the number of tokens. A mistake there
 * costs time and never correctness, since the server compares the tokens themselves. Files are named by a key of all
 * that they depend on (model file, binary, command line), so that none of another key is ever restored. Whether it
 * works for a model is seen from what the first request after a restore took from the cache.
 */
#ifndef PM_MANAGER_KV_H
#define PM_MANAGER_KV_H

#include "core/base/metrics.h"
#include "core/manager/server.h"

struct pm_kv;

struct pm_kv *pm_kv_new(struct pm_metrics *metrics, const char *profile, const char *folder);
void pm_kv_free(struct pm_kv *kv);

/* A server runs from now on; `command` and the files of `t` make the key. One that was `adopted` has in its slots what
 * nobody knows: nothing is restored into it. */
void pm_kv_server_up(struct pm_kv *kv, struct pm_server *s, const struct pm_target *t, uint64_t command, bool adopted);

/* How many it has. */
void pm_kv_set_slots(struct pm_kv *kv, unsigned slots);
/* Removes all that is kept. */
void pm_kv_clear(struct pm_kv *kv);

void pm_kv_server_down(struct pm_kv *kv);

/* A request of that conversation has ended: so many tokens stand in its slot, so many came from the cache. No tokens:
 * it broke off, and how many there are is not known. */
void pm_kv_used(struct pm_kv *kv, uint64_t conversation, unsigned tokens, unsigned cached);

/* Is there something on disk that the server does not hold? */
bool pm_kv_can_restore(const struct pm_kv *kv, uint64_t conversation);

/* Restores; `done` is called later, whether it worked or not. One order at a time. */
void pm_kv_restore(struct pm_kv *kv, uint64_t conversation, void (*done)(void *arg), void *arg);

/* Is there something worth saving? */
bool pm_kv_should_save(const struct pm_kv *kv);

/* Saves what the slots hold, then calls `done`. No request may be running. */
void pm_kv_save(struct pm_kv *kv, void (*done)(void *arg), void *arg);

bool pm_kv_is_busy(const struct pm_kv *kv);

/* Why nothing is kept for this profile, or NULL. */
const char *pm_kv_off(const struct pm_kv *kv);

/* Removes the folders below `root` that are not among `keep`. */
void pm_kv_remove_strangers(const char *root, const struct pm_strv *keep);

/* Removes the files used longest ago until those of all profiles together take no more than `limit` MiB. */
void pm_kv_trim(const char *root, long long limit_mib);

#endif
