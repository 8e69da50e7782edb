/* Leases: a worker's permission to use one slot of a ready profile, in the order of asking. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/manager/manager_priv.h"

enum { SUSPECT_MS = 200 };

static void remove_lease(struct pm_manager *m, struct pm_lease *lease)
{
    struct pm_lease **at = &m->leases;
    while (*at && *at != lease)
        at = &(*at)->next;
    if (*at)
        *at = lease->next;
    if (lease->granted) {
        if (lease->run == lease->profile->run && lease->profile->leases)
            lease->profile->leases--;
        lease->profile->last_used_ms = pm_clock_ms();
    } else {
        lease->profile->waiting--;
    }
    free(lease);
}

static void deny(struct pm_worker *w, uint32_t id, enum pm_deny why, unsigned retry_after_s, const char *reason)
{
    /* A client burns all its tries at once on a Retry-After of 0. */
    struct pm_msg_deny msg = {.why = why, .retry_after_s = retry_after_s ? retry_after_s : 1};
    snprintf(msg.reason, sizeof(msg.reason), "%s", reason);
    if (w->channel)
        pm_channel_send(w->channel, PM_MSG_LEASE_DENY, id, &msg, sizeof(msg));
}

static unsigned seconds_until(uint64_t at_ms)
{
    uint64_t now = pm_clock_ms();
    return at_ms > now ? (unsigned)((at_ms - now + 999) / 1000) : 1;
}

void pm_lease_ask(struct pm_worker *w, const struct pm_msg *msg)
{
    struct pm_manager *m = w->m;
    struct pm_msg_lease ask;
    if (!pm_msg_struct(msg, &ask, sizeof(ask)))
        return;
    ask.profile[sizeof(ask.profile) - 1] = 0;
    struct pm_profile *p = pm_profile_find(m, ask.profile);
    if (!p || !p->conf) {
        deny(w, msg->id, PM_DENY_UNKNOWN, 1, "the profile has been removed from models.conf");
        return;
    }
    if (m->stopping) {
        deny(w, msg->id, PM_DENY_STOPPING, 5, "the gateway is shutting down");
        return;
    }
    if (p->state == PM_FAILED && pm_clock_ms() < p->retry_at_ms) {
        deny(w, msg->id, PM_DENY_FAILED, seconds_until(p->retry_at_ms), p->reason);
        return;
    }
    if ((long long)p->waiting >= p->conf->queue && (p->state != PM_READY || p->leases >= (unsigned)p->slots)) {
        deny(w, msg->id, PM_DENY_BUSY, 5, "the profile's queue is full (QUEUE)");
        return;
    }
    struct pm_lease *lease = pm_calloc(1, sizeof(*lease)), **last = &m->leases;
    lease->worker = w;
    lease->id = msg->id;
    lease->profile = p;
    lease->asked_ms = pm_clock_ms();
    while (*last)
        last = &(*last)->next;
    *last = lease;
    p->waiting++;
    if (p->state == PM_OFF || p->state == PM_FAILED)
        p->cause = "request";
    pm_status_publish(m, false);
    pm_profiles_schedule(m);
}

static struct pm_lease *find(const struct pm_manager *m, const struct pm_worker *w, uint32_t id)
{
    for (struct pm_lease *l = m->leases; l; l = l->next)
        if (l->worker == w && l->id == id)
            return l;
    return NULL;
}

static void end(struct pm_worker *w, uint32_t id)
{
    struct pm_lease *lease = find(w->m, w, id);
    if (!lease)
        return;
    remove_lease(w->m, lease);
    pm_status_publish(w->m, false);
    pm_profiles_schedule(w->m);
}

void pm_lease_cancel(struct pm_worker *w, uint32_t id)
{
    end(w, id);
}

/* Speeds are smoothed: one odd request does not turn the picture. */
static void learn_speed(double *tps, double tokens, double ms)
{
    if (tokens < 8 || ms <= 0)
        return;
    double seen = tokens / ms * 1000;
    *tps = *tps > 0 ? *tps * 0.7 + seen * 0.3 : seen;
}

void pm_lease_done(struct pm_worker *w, const struct pm_msg *msg)
{
    struct pm_msg_done done;
    struct pm_lease *lease = find(w->m, w, msg->id);
    if (!lease || !pm_msg_struct(msg, &done, sizeof(done)))
        return;
    /* Its death may be known to a worker before it is to us; that news is on its way. */
    if (done.how == PM_DONE_UNREACHABLE && lease->run == lease->profile->run)
        lease->profile->suspect_until_ms = pm_clock_ms() + SUSPECT_MS;
    learn_speed(&lease->profile->prompt_tps, done.prompt_tokens, done.prompt_ms);
    learn_speed(&lease->profile->output_tps, done.output_tokens, done.output_ms);
    end(w, msg->id);
}

void pm_leases_of_worker_end(struct pm_worker *w)
{
    for (struct pm_lease *l = w->m->leases, *next; l; l = next) {
        next = l->next;
        if (l->worker == w)
            remove_lease(w->m, l);
    }
    pm_status_publish(w->m, false);
    pm_profiles_schedule(w->m);
}

void pm_leases_grant(struct pm_profile *p)
{
    uint64_t now = pm_clock_ms();
    if (now < p->suspect_until_ms) {
        pm_timer_set(&p->m->look_again, p->suspect_until_ms - now);
        return;
    }
    for (struct pm_lease *l = p->m->leases; l && p->leases < (unsigned)p->slots; l = l->next) {
        if (l->profile != p || l->granted || !l->worker->channel)
            continue;
        struct pm_msg_grant grant = {0};
        char labels[300];
        l->granted = true;
        l->run = p->run;
        l->granted_ms = pm_clock_ms();
        p->waiting--;
        p->leases++;
        p->last_used_ms = l->granted_ms;
        grant.waited_us = (l->granted_ms - l->asked_ms) * 1000;
        snprintf(grant.socket, sizeof(grant.socket), "%s", p->paths.socket);
        snprintf(labels, sizeof(labels), "profile=\"%s\"", p->id);
        pm_metrics_observe(p->m->metrics, "pointsman_queue_wait_seconds", labels,
                           (double)(l->granted_ms - l->asked_ms) / 1000);
        pm_channel_send(l->worker->channel, PM_MSG_LEASE_GRANT, l->id, &grant, sizeof(grant));
        pm_status_publish(p->m, false);
    }
}

void pm_leases_deny(struct pm_profile *p, enum pm_deny why, unsigned retry_after_s, const char *reason)
{
    for (struct pm_lease *l = p->m->leases, *next; l; l = next) {
        next = l->next;
        if (l->profile != p || l->granted)
            continue;
        deny(l->worker, l->id, why, retry_after_s, reason);
        remove_lease(p->m, l);
    }
}

void pm_leases_expire(struct pm_manager *m, uint64_t max_wait_ms)
{
    uint64_t now = pm_clock_ms();
    for (struct pm_lease *l = m->leases, *next; l; l = next) {
        next = l->next;
        if (l->granted || now - l->asked_ms < max_wait_ms)
            continue;
        deny(l->worker, l->id, PM_DENY_BUSY, 5, "it was not to be had within MAX_WAIT");
        remove_lease(m, l);
    }
}

uint64_t pm_leases_oldest_ms(const struct pm_profile *p)
{
    for (const struct pm_lease *l = p->m->leases; l; l = l->next)
        if (l->profile == p && !l->granted)
            return l->asked_ms;
    return 0;
}
