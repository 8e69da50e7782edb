#include "core/manager/sched.h"

#include <stdlib.h>

#include "core/base/alloc.h"

struct sched {
    const struct pm_capacity *cap;
    const struct pm_sched_profile *p;
    size_t n;
    uint64_t now;
    uint64_t look_again;
};

static bool is_resident(const struct pm_sched_profile *p)
{
    return p->state != PM_SCHED_OFF;
}

/* The profile whose waiter has waited longest among those that could be loaded; n when there is none. */
static size_t oldest_wanted(const struct sched *s)
{
    size_t best = s->n;
    for (size_t i = 0; i < s->n; i++)
        if (s->p[i].state == PM_SCHED_OFF && s->p[i].waiting && !s->p[i].blocked &&
            (best == s->n || s->p[i].oldest_ms < s->p[best].oldest_ms))
            best = i;
    return best;
}

/* Does `want` fit beside what is resident, leaving out those marked as gone? */
static bool fits(const struct sched *s, size_t want, const bool *gone)
{
    const struct pm_need **needs = pm_calloc(s->n + 1, sizeof(*needs));
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (is_resident(&s->p[i]) && !gone[i])
            needs[n++] = s->p[i].need;
    needs[n++] = s->p[want].need;
    bool ok = pm_fits(s->cap, needs, n);
    free(needs);
    return ok;
}

/* What is pinned never goes: if there is no room beside it, there never will be. */
static bool fits_beside_pinned(const struct sched *s, size_t want)
{
    bool *gone = pm_calloc(s->n, sizeof(*gone));
    for (size_t i = 0; i < s->n; i++)
        gone[i] = !s->p[i].pinned || s->p[i].state == PM_SCHED_DRAINING;
    bool ok = fits(s, want, gone);
    free(gone);
    return ok;
}

static bool is_idle(const struct pm_sched_profile *p)
{
    return !p->leases && !p->waiting;
}

/* May `victim` be sent away for `want` now? */
static bool may_go(struct sched *s, const struct pm_sched_profile *victim, const struct pm_sched_profile *want)
{
    if (victim->state == PM_SCHED_DRAINING)
        return true;
    if (victim->pinned || victim->state != PM_SCHED_READY)
        return false;
    if (is_idle(victim))
        return true;
    uint64_t stays_until = victim->ready_since_ms + victim->residency_ms;
    if (s->now < stays_until) {
        if (!s->look_again || stays_until < s->look_again)
            s->look_again = stays_until;
        return false;
    }
    /* Its own waiters that came first are served first. */
    return !victim->waiting || victim->oldest_ms > want->oldest_ms;
}

/* The better victim: what is going anyway, idle before busy, then the one whose last use is longest ago. */
static bool is_better(const struct pm_sched_profile *a, const struct pm_sched_profile *b)
{
    bool a_goes = a->state == PM_SCHED_DRAINING, b_goes = b->state == PM_SCHED_DRAINING;
    if (a_goes != b_goes)
        return a_goes;
    if (is_idle(a) != is_idle(b))
        return is_idle(a);
    return a->last_used_ms < b->last_used_ms;
}

/* Marks victims until `want` fits. False when it cannot, for now. */
static bool choose_victims(struct sched *s, size_t want, bool *gone)
{
    while (!fits(s, want, gone)) {
        size_t best = s->n;
        for (size_t i = 0; i < s->n; i++)
            if (!gone[i] && may_go(s, &s->p[i], &s->p[want]) && (best == s->n || is_better(&s->p[i], &s->p[best])))
                best = i;
        if (best == s->n)
            return false;
        gone[best] = true;
    }
    /* A victim that turned out to be in excess stays. */
    for (size_t i = 0; i < s->n; i++) {
        if (!gone[i])
            continue;
        gone[i] = false;
        if (!fits(s, want, gone))
            gone[i] = true;
    }
    return true;
}

struct pm_sched_step pm_sched_next(const struct pm_capacity *cap, const struct pm_sched_profile *profiles, size_t n,
                                   uint64_t now_ms)
{
    struct sched s = {.cap = cap, .p = profiles, .n = n, .now = now_ms};
    struct pm_sched_step step = {.what = PM_SCHED_NOTHING};
    for (size_t i = 0; i < n; i++)
        if (profiles[i].state == PM_SCHED_READY && profiles[i].stale)
            return (struct pm_sched_step){.what = PM_SCHED_DRAIN, .profile = i};
    for (size_t i = 0; i < n; i++)
        if (profiles[i].state == PM_SCHED_MOVING)
            return step;
    size_t want = oldest_wanted(&s);
    if (want == n)
        return step;
    if (!fits_beside_pinned(&s, want))
        return (struct pm_sched_step){.what = PM_SCHED_NEVER_FITS, .profile = want};
    bool *gone = pm_calloc(n, sizeof(*gone));
    if (choose_victims(&s, want, gone)) {
        size_t victim = 0;
        while (victim < n && !gone[victim])
            victim++;
        if (victim == n)
            step = (struct pm_sched_step){.what = PM_SCHED_LOAD, .profile = want};
        for (; victim < n; victim++) {
            if (gone[victim] && profiles[victim].state == PM_SCHED_READY) {
                step = (struct pm_sched_step){.what = PM_SCHED_DRAIN, .profile = victim};
                break;
            }
        }
    }
    step.look_again_ms = s.look_again;
    free(gone);
    return step;
}
