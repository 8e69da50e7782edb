/* Leases: a worker's permission to use one slot of a ready profile, in the order of class and of asking. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/manager/manager_priv.h"
#include "core/manager/sched.h"

/* Of a request's time until one has been measured. */
static const double REQUEST_MS_ASSUMED = 5000;

/* What was asked for so long ago counts half. */
static const double USES_HALF_LIFE_MS = 10 * 60 * 1000;

/* Waiters that are looked at for the bound; those behind them wait for these anyway. */
enum { WAITERS_MAX = 512 };

static void smooth(double *mean, double seen)
{
    *mean = *mean > 0 ? *mean * 0.7 + seen * 0.3 : seen;
}

static void remove_lease(struct pm_manager *m, struct pm_lease *lease)
{
    struct pm_lease **at = &m->leases;
    struct pm_profile *p = lease->profile;
    while (*at && *at != lease)
        at = &(*at)->next;
    if (*at)
        *at = lease->next;
    if (lease->granted) {
        if (lease->run == p->run && p->leases)
            p->leases--;
        p->last_used_ms = pm_clock_ms();
    } else {
        p->waiting--;
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

double pm_lease_usual_ms(const struct pm_profile *p)
{
    return p->request_ms > 0 ? p->request_ms : REQUEST_MS_ASSUMED;
}

/* When a place in the queue will be free: a slot's worth of those who wait must have been served. */
static unsigned queue_retry_s(const struct pm_profile *p)
{
    double ms = pm_lease_usual_ms(p) / (double)(p->slots > 0 ? p->slots : 1);
    if (p->state != PM_READY)
        ms += pm_profile_expected_load_ms(p);
    return (unsigned)(ms / 1000) + 1;
}

/* How soon after its last request the next one comes, and how often: what the scheduler weighs. */
static void note_asking(struct pm_profile *p, uint64_t now)
{
    if (!p->leases && !p->waiting && p->last_used_ms && p->loads)
        smooth(&p->gap_ms, (double)(now - p->last_used_ms) + 0.1);
    p->uses = p->uses * exp2(-(double)(now - p->uses_at_ms) / USES_HALF_LIFE_MS) + 1;
    p->uses_at_ms = now;
}

static struct pm_lease *add_lease(struct pm_worker *w, struct pm_profile *p, uint32_t id,
                                  const struct pm_msg_lease *ask)
{
    struct pm_lease *lease = pm_calloc(1, sizeof(*lease)), **last = &w->m->leases;
    lease->worker = w;
    lease->id = id;
    lease->profile = p;
    uint64_t now = pm_clock_ms();
    lease->asked_ms = ask->waited_ms < now ? now - ask->waited_ms : now;
    lease->rank = ask->rank <= PM_RANK_LOW ? ask->rank : PM_RANK_NORMAL;
    lease->conversation = ask->conversation;
    note_asking(p, now);
    while (*last && (*last)->asked_ms <= lease->asked_ms)
        last = &(*last)->next;
    lease->next = *last;
    *last = lease;
    p->waiting++;
    return lease;
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
    /* Those who will have a slot at once, or as soon as it is loaded, do not queue. */
    long long unused = p->state == PM_READY ? p->slots - (long long)p->leases : p->slots;
    if ((long long)p->waiting >= p->conf->queue + (unused > 0 ? unused : 0)) {
        deny(w, msg->id, PM_DENY_BUSY, queue_retry_s(p), "the profile's queue is full (QUEUE)");
        return;
    }
    struct pm_lease *lease = add_lease(w, p, msg->id, &ask);
    if (p->state == PM_OFF || p->state == PM_FAILED)
        p->cause = "request";
    pm_profiles_look_again(m, lease->asked_ms + m->current->conf->manager.max_wait_ms);
    pm_status_publish(m, false);
    pm_profiles_schedule(m);
}

struct pm_lease *pm_lease_find(const struct pm_manager *m, const struct pm_worker *w, uint32_t id)
{
    for (struct pm_lease *l = m->leases; l; l = l->next)
        if (l->worker == w && l->id == id)
            return l;
    return NULL;
}

static void end(struct pm_worker *w, struct pm_lease *lease)
{
    remove_lease(w->m, lease);
    pm_status_publish(w->m, false);
    pm_profiles_schedule(w->m);
}

void pm_lease_cancel(struct pm_worker *w, uint32_t id)
{
    struct pm_lease *lease = pm_lease_find(w->m, w, id);
    if (lease)
        end(w, lease);
}

/* Speeds are smoothed: one odd request does not turn the picture. */
static void learn_speed(double *tps, double tokens, double ms)
{
    if (tokens >= 8 && ms > 0)
        smooth(tps, tokens / ms * 1000);
}

static void learn(struct pm_lease *lease, const struct pm_msg_done *done)
{
    struct pm_profile *p = lease->profile;
    if (!lease->granted || lease->run != p->run)
        return;
    /* Its death may be known to a worker before it is to us; that news is on its way. */
    if (done->how == PM_DONE_UNREACHABLE)
        pm_health_suspect(p);
    learn_speed(&p->prompt_tps, done->prompt_tokens, done->prompt_ms);
    learn_speed(&p->output_tps, done->output_tokens, done->output_ms);
    if (done->how != PM_DONE_OK) {
        pm_kv_used(p->kv, lease->conversation, 0, 0);
        return;
    }
    smooth(&p->request_ms, (double)(pm_clock_ms() - lease->granted_ms) + 0.1);
    if (done->prompt_tokens)
        pm_kv_used(p->kv, lease->conversation, done->prompt_tokens + done->cached_tokens + done->output_tokens,
                   done->cached_tokens);
}

void pm_lease_done(struct pm_worker *w, const struct pm_msg *msg)
{
    struct pm_msg_done done;
    struct pm_lease *lease = pm_lease_find(w->m, w, msg->id);
    if (!lease || !pm_msg_struct(msg, &done, sizeof(done)))
        return;
    learn(lease, &done);
    end(w, lease);
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

/* Half of the bound makes any request urgent: no class may starve another. */
static unsigned rank_now(const struct pm_lease *l, uint64_t now)
{
    uint64_t half = l->profile->m->current->conf->manager.max_wait_ms / 2;
    return now - l->asked_ms >= half ? PM_RANK_HIGH : l->rank;
}

/* Who is served next: the most urgent class, in it who asked first. */
static struct pm_lease *next_waiter(const struct pm_profile *p, uint64_t now)
{
    struct pm_lease *best = NULL;
    for (struct pm_lease *l = p->m->leases; l; l = l->next)
        if (l->profile == p && !l->granted && l->worker->channel && (!best || rank_now(l, now) < rank_now(best, now)))
            best = l;
    return best;
}

/* The part of its wait in which its profile was being loaded. */
static uint64_t loaded_while(const struct pm_profile *p, const struct pm_lease *l, uint64_t now)
{
    uint64_t from = p->load_start_us / 1000, to = p->ready_since_ms;
    from = from > l->asked_ms ? from : l->asked_ms;
    return from && to > from && to <= now ? to - from : 0;
}

static void grant_one(struct pm_profile *p, struct pm_lease *l, uint64_t now)
{
    struct pm_msg_grant grant = {0};
    l->granted = true;
    l->run = p->run;
    l->granted_ms = now;
    p->waiting--;
    p->leases++;
    p->last_used_ms = now;
    grant.waited_us = (now - l->asked_ms) * 1000;
    grant.loading_us = loaded_while(p, l, now) * 1000;
    snprintf(grant.address, sizeof(grant.address), "%s", pm_server_address(p->server));
    pm_profile_observe(p, "pointsman_queue_wait_seconds", (double)(now - l->asked_ms) / 1000);
    pm_channel_send(l->worker->channel, PM_MSG_LEASE_GRANT, l->id, &grant, sizeof(grant));
    pm_status_publish(p->m, false);
}

static void restored(void *arg)
{
    struct pm_profile *p = arg;
    pm_profiles_schedule(p->m);
}

void pm_leases_grant(struct pm_profile *p)
{
    uint64_t now = pm_clock_ms();
    if (now < p->suspect_until_ms) {
        pm_profiles_look_again(p->m, p->suspect_until_ms);
        return;
    }
    while (p->leases < (unsigned)p->slots && !pm_kv_is_busy(p->kv)) {
        struct pm_lease *l = next_waiter(p, now);
        if (!l)
            return;
        /* Its tokens are brought back first; meanwhile nobody may take the slot. */
        if (pm_kv_can_restore(p->kv, l->conversation))
            pm_kv_restore(p->kv, l->conversation, restored, p);
        else
            grant_one(p, l, now);
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
        if (l->granted)
            continue;
        if (now - l->asked_ms < max_wait_ms) {
            pm_profiles_look_again(m, l->asked_ms + max_wait_ms);
            continue;
        }
        deny(l->worker, l->id, PM_DENY_BUSY, queue_retry_s(l->profile), "it was not to be had within MAX_WAIT");
        remove_lease(m, l);
    }
}

struct pm_waiters pm_leases_waiters(const struct pm_profile *p, uint64_t now_ms)
{
    uint64_t asked[WAITERS_MAX];
    struct pm_waiters w = {.rank = PM_RANK_LOW};
    struct pm_sched_queue q = {.asked_ms = asked,
                               .slots = (unsigned)(p->slots > 0 ? p->slots : 1),
                               .request_ms = (uint64_t)p->request_ms,
                               .max_wait_ms = p->m->current->conf->manager.max_wait_ms};
    for (const struct pm_lease *l = p->m->leases; l; l = l->next) {
        if (l->profile != p || l->granted)
            continue;
        unsigned rank = rank_now(l, now_ms);
        if (!q.n)
            w.oldest_ms = l->asked_ms;
        if (q.n < WAITERS_MAX)
            asked[q.n++] = l->asked_ms;
        if (rank < w.rank)
            w.rank = rank;
    }
    w.due_ms = pm_sched_due(&q, (uint64_t)pm_profile_expected_load_ms(p), now_ms);
    return w;
}
