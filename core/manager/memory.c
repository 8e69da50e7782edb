/* What the devices have and what the profiles need. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/manager/manager_priv.h"

void pm_memory_init(struct pm_manager *m)
{
    char *path = pm_asprintf("%s/measured.json", m->state_dir);
    m->measured = pm_measured_new(path);
    m->devices = pm_devices_open("/sys");
    free(path);
}

void pm_memory_release(struct pm_manager *m)
{
    pm_measured_free(m->measured);
    pm_devices_free(m->devices);
}

size_t pm_memory_read(const struct pm_manager *m, struct pm_device seen[PM_DEVICES_MAX])
{
    bool declared = m->current && m->current->conf->manager.devices.n > 0;
    return declared || !m->devices ? 0 : pm_devices_read(m->devices, seen, PM_DEVICES_MAX);
}

/* What our servers hold there, as far as it is known. */
static long long ours(const struct pm_manager *m, size_t d)
{
    long long sum = 0;
    for (const struct pm_profile *p = m->profiles; p; p = p->next)
        if (p->server)
            sum += p->need.device[d];
    return sum;
}

/* While a server comes or goes, what it holds cannot be told from what strangers hold. */
static bool is_quiet(const struct pm_manager *m)
{
    enum { SETTLED_MS = 5000 };
    for (const struct pm_profile *p = m->profiles; p; p = p->next)
        if (p->state == PM_LOADING || p->state == PM_STOPPING)
            return false;
    return !m->freed_ms || pm_clock_ms() - m->freed_ms > SETTLED_MS;
}

void pm_memory_refresh(struct pm_manager *m)
{
    struct pm_device seen[PM_DEVICES_MAX];
    pm_capacity_read(&m->current->conf->manager, &m->capacity);
    size_t n = pm_memory_read(m, seen);
    if (!n)
        return;
    bool quiet = is_quiet(m);
    m->capacity.n_devices = n;
    m->capacity.has_unknown_device = false;
    for (size_t d = 0; d < n; d++) {
        /* A desktop, a game, a training: what is used and not by us is not ours to plan with. */
        long long strangers = seen[d].total_mib - seen[d].free_mib - ours(m, d);
        if (quiet)
            m->strangers[d] = strangers > 0 ? strangers : 0;
        m->capacity.device[d] = seen[d].total_mib - m->strangers[d];
    }
}

bool pm_memory_is_free(const struct pm_manager *m, const struct pm_profile *p)
{
    struct pm_device seen[PM_DEVICES_MAX];
    size_t n = pm_memory_read(m, seen);
    for (size_t d = 0; d < n; d++)
        if (p->need.device[d] > seen[d].free_mib)
            return false;
    return true;
}

/* All that those do not hold which cannot go. */
static void claim_all(struct pm_profile *p)
{
    struct pm_need all = {.ram = p->m->capacity.ram};
    memcpy(all.device, p->m->capacity.device, sizeof(all.device));
    for (const struct pm_profile *o = p->m->profiles; o; o = o->next) {
        if (o == p || !o->server || !pm_profile_is_pinned(o))
            continue;
        all.ram -= o->need.ram;
        for (size_t d = 0; d < PM_DEVICES_MAX; d++)
            all.device[d] -= o->need.device[d];
    }
    for (size_t d = 0; d < PM_DEVICES_MAX; d++)
        if (p->need.device[d] && all.device[d] > p->need.device[d])
            p->need.device[d] = all.device[d];
    if (!p->m->capacity.n_devices && all.ram > p->need.ram)
        p->need.ram = all.ram;
}

void pm_memory_need(struct pm_profile *p)
{
    const struct pm_target *t = p->conf;
    const struct pm_need *known = NULL;
    if (pm_target_is_remote(t)) {
        p->need = (struct pm_need){0};
        return;
    }
    if (!t->vram.n && !t->ram.n)
        known = pm_measured_get(p->m->measured, p->conf_command);
    if (known)
        p->need = *known;
    else
        pm_need_of(t, &p->m->capacity, &p->need);
    /* After a load that ran out of memory beside others: all that there is. */
    if (p->alone)
        claim_all(p);
}

void pm_memory_measured(struct pm_profile *p)
{
    struct pm_need need;
    if (!pm_measure_need(&p->measure, &need))
        return;
    pm_measured_put(p->m->measured, p->command, &need);
    if (p->conf && !p->conf->vram.n && !p->conf->ram.n)
        pm_memory_need(p);
}
