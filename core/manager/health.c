/* Servers that hang, and servers that had not enough memory. */
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/manager/manager_priv.h"

enum { PROBE_LEAST_MS = 500, SUSPECT_MS = 200, SUSPECT_OTHERS_MS = 5000 };

/* --- hanging ---
 *
 * A hung server may still answer /health, so what counts is progress: a worker that has seen nothing of its answer for
 * most of the idle deadline says so. Then the server is asked for its slots, a question that goes through the queue
 * of its work. One that is only slow answers between two batches; one that hangs is killed and started again. */

static void probed(void *arg, int status, const char *body, size_t len)
{
    struct pm_profile *p = arg;
    char why[128];
    (void)body;
    (void)len;
    p->is_probed = false;
    if (status || !p->server)
        return;
    snprintf(why, sizeof(why), "it hung: a request made no progress and the server does not answer");
    pm_log(PM_LOG_WARN, "profile %s: %s: killed", p->id, why);
    pm_server_kill(p->server, why);
}

void pm_health_stalled(struct pm_worker *w, const struct pm_msg *msg)
{
    struct pm_msg_stall stall;
    struct pm_lease *lease = pm_lease_find(w->m, w, msg->id);
    if (!lease || !lease->granted || !pm_msg_struct(msg, &stall, sizeof(stall)))
        return;
    struct pm_profile *p = lease->profile;
    if (lease->run != p->run || !p->server || p->is_probed)
        return;
    pm_log(PM_LOG_INFO, "profile %s: nothing has come for %u ms: is it alive?", p->id, stall.silent_ms);
    p->is_probed = true;
    uint64_t limit = stall.limit_ms > PROBE_LEAST_MS ? stall.limit_ms : PROBE_LEAST_MS;
    pm_server_probe(p->server, "/slots", limit, probed, p);
}

/* --- out of reach ---
 *
 * The death of a server may be known to a worker before it is to us: that of a process comes in no time, that of a
 * container when its engine has said so. */

static void found_alive(void *arg, int status, const char *body, size_t len)
{
    struct pm_profile *p = arg;
    (void)body;
    (void)len;
    p->is_probed = false;
    if (!status)
        return;
    p->suspect_until_ms = 0;
    pm_profiles_schedule(p->m);
}

void pm_health_suspect(struct pm_profile *p)
{
    bool is_process = p->server && pm_server_pid(p->server) && !*pm_server_container(p->server);
    p->suspect_until_ms = pm_clock_ms() + (is_process ? SUSPECT_MS : SUSPECT_OTHERS_MS);
    if (!p->server || p->is_probed)
        return;
    p->is_probed = true;
    pm_server_probe(p->server, "/health", SUSPECT_OTHERS_MS, found_alive, p);
}

/* --- memory --- */

bool pm_health_out_of_memory(struct pm_profile *p, const char *said, char *why, size_t size)
{
    struct pm_buf text;
    char needs[160];
    bool beside_others = false;
    for (const struct pm_profile *o = p->m->profiles; o; o = o->next)
        beside_others |= o != p && o->server && !pm_profile_is_pinned(o);
    /* Once more with all that can go gone: what was thought to fit together may not. */
    if (beside_others && !p->alone) {
        p->alone = true;
        pm_log(PM_LOG_WARN, "profile %s: out of memory beside others: tried again without them", p->id);
        return true;
    }
    pm_buf_init(&text, 4096);
    pm_need_text(p->conf, needs, sizeof(needs));
    pm_buf_addf(&text, "out of memory: it needs about %s", *needs ? needs : "more than there is");
    for (size_t d = 0; d < p->m->capacity.n_devices; d++)
        pm_buf_addf(&text, "; device %zu has %lld MiB", d, p->m->capacity.device[d]);
    pm_buf_addf(&text,
                "; the machine has %lld MiB. Lower CTX_SIZE or N_GPU_LAYERS, set KV_CACHE_TYPE_K/V=q8_0, or take a "
                "smaller model. %s",
                p->m->capacity.ram, said);
    snprintf(why, size, "%.*s", (int)size - 1, text.data);
    pm_buf_release(&text);
    return false;
}
