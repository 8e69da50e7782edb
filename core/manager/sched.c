#include "core/manager/sched.h"

#include <stdlib.h>

#include "core/base/alloc.h"

enum { RESIDENCY_LOADS = 4 };

/* So many times its residency it stays at most for those who still wait for it: a queue that is served to its end does
 * not need a load of its own later. */
enum { STAY_MOST = 2 };

/* Estimates of loads and drains are not exact: a switch for a bound begins this share of a load earlier, and a bit. */
enum { EARLY_DIVISOR = 4, EARLY_MS = 20 };

struct sched {
    const struct pm_capacity *cap;
    const struct pm_sched_profile *p;
    size_t n;
    uint64_t now;
    uint64_t look_again;
};

uint64_t pm_sched_residency(uint64_t load_ms)
{
    return RESIDENCY_LOADS * load_ms;
}

uint64_t pm_sched_linger(double gap_ms, uint64_t load_ms)
{
    if (gap_ms <= 0 || gap_ms >= (double)load_ms)
        return 0;
    uint64_t twice = (uint64_t)(2 * gap_ms);
    return twice < load_ms ? twice : load_ms;
}

uint64_t pm_sched_due(const struct pm_sched_queue *q, uint64_t load_ms, uint64_t now_ms)
{
    uint64_t due = PM_SCHED_NEVER_DUE;
    for (size_t i = 0; i < q->n; i++) {
        uint64_t before = i / (q->slots ? q->slots : 1) * q->request_ms, bound = q->asked_ms[i] + q->max_wait_ms;
        if (bound < before + now_ms + load_ms)
            continue;
        if (bound - before < due)
            due = bound - before;
    }
    return due;
}

static bool is_resident(const struct pm_sched_profile *p)
{
    return p->state != PM_SCHED_OFF;
}

static bool is_idle(const struct pm_sched_profile *p)
{
    return !p->leases && !p->waiting;
}

static void look_again_at(struct sched *s, uint64_t at)
{
    if (at > s->now && (!s->look_again || at < s->look_again))
        s->look_again = at;
}

/* When the switch to `p` must begin for its waiters' bound. */
static uint64_t begins_by(const struct sched *s, const struct pm_sched_profile *p)
{
    uint64_t drain = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->p[i].state == PM_SCHED_READY && s->p[i].drain_ms > drain)
            drain = s->p[i].drain_ms;
    uint64_t takes = p->load_ms + p->load_ms / EARLY_DIVISOR + drain + EARLY_MS;
    return p->due_ms > takes ? p->due_ms - takes : 0;
}

/* Would `p` miss its bound if `first` were loaded before it, and kept until its first requests have ended? */
static bool can_not_wait_for(const struct sched *s, const struct pm_sched_profile *p,
                             const struct pm_sched_profile *first)
{
    uint64_t takes = first->load_ms + first->load_ms / EARLY_DIVISOR + first->drain_ms + EARLY_MS;
    return p->waiting && p->due_ms != PM_SCHED_NEVER_DUE && begins_by(s, p) <= s->now + takes;
}

static bool is_urgent(struct sched *s, const struct pm_sched_profile *p)
{
    if (!p->waiting || p->due_ms == PM_SCHED_NEVER_DUE)
        return false;
    uint64_t at = begins_by(s, p);
    look_again_at(s, at);
    return at <= s->now;
}

/* Whose waiter goes first: a bound that would be missed, then the class, then the time of asking. */
static bool goes_before(struct sched *s, const struct pm_sched_profile *a, const struct pm_sched_profile *b)
{
    bool a_urgent = is_urgent(s, a), b_urgent = is_urgent(s, b);
    if (!a_urgent && !b_urgent) {
        a_urgent = can_not_wait_for(s, a, b);
        b_urgent = can_not_wait_for(s, b, a);
    }
    if (a_urgent != b_urgent)
        return a_urgent;
    if (a_urgent && a->due_ms != b->due_ms)
        return a->due_ms < b->due_ms;
    if (a->rank != b->rank)
        return a->rank < b->rank;
    return a->oldest_ms < b->oldest_ms;
}

/* The profile that is to be loaded next; n when none is wanted. */
static size_t next_wanted(struct sched *s)
{
    size_t best = s->n;
    for (size_t i = 0; i < s->n; i++)
        if (s->p[i].state == PM_SCHED_OFF && s->p[i].waiting && !s->p[i].blocked &&
            (best == s->n || goes_before(s, &s->p[i], &s->p[best])))
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

/* A bound ends a stay at once, but not where that would cost `victim` its own waiters' bound: then each load would
 * serve one request, and with more to do than can be done most of the time would go into loading. */
static bool ends_stay(struct sched *s, const struct pm_sched_profile *victim, const struct pm_sched_profile *want)
{
    uint64_t stays_until = victim->ready_since_ms + victim->residency_ms;
    if (!is_urgent(s, want))
        return false;
    if (s->now >= stays_until || victim->rank > want->rank || !can_not_wait_for(s, victim, want))
        return true;
    look_again_at(s, stays_until);
    return false;
}

/* May `victim` be sent away for `want` now? */
static bool may_go(struct sched *s, const struct pm_sched_profile *victim, const struct pm_sched_profile *want)
{
    if (victim->state == PM_SCHED_DRAINING)
        return true;
    if (victim->pinned || victim->state != PM_SCHED_READY)
        return false;
    if (ends_stay(s, victim, want))
        return true;
    uint64_t stays_until = victim->ready_since_ms + victim->residency_ms;
    if (is_idle(victim)) {
        uint64_t lingers_until = victim->last_used_ms + victim->linger_ms;
        uint64_t until = lingers_until < stays_until ? lingers_until : stays_until;
        if (s->now < until)
            look_again_at(s, until);
        return s->now >= until;
    }
    if (victim->waiting && want->rank != victim->rank)
        return want->rank < victim->rank;
    if (victim->waiting)
        stays_until += (STAY_MOST - 1) * victim->residency_ms;
    if (s->now < stays_until) {
        look_again_at(s, stays_until);
        return false;
    }
    /* Its own waiters that came first are served first. */
    return !victim->waiting || victim->oldest_ms > want->oldest_ms;
}

/* The better victim: what is going anyway, idle before busy, then the one whose next load is worth least. */
static bool is_better(const struct pm_sched_profile *a, const struct pm_sched_profile *b)
{
    bool a_goes = a->state == PM_SCHED_DRAINING, b_goes = b->state == PM_SCHED_DRAINING;
    if (a_goes != b_goes)
        return a_goes;
    if (is_idle(a) != is_idle(b))
        return is_idle(a);
    double a_cost = (double)a->load_ms * a->uses, b_cost = (double)b->load_ms * b->uses;
    return a_cost < b_cost || (a_cost <= b_cost && a->last_used_ms < b->last_used_ms);
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

/* What `want` needs first: a drain, or nothing more than its load. */
static struct pm_sched_step make_room(struct sched *s, size_t want)
{
    struct pm_sched_step step = {.what = PM_SCHED_NOTHING};
    bool *gone = pm_calloc(s->n, sizeof(*gone));
    if (choose_victims(s, want, gone)) {
        size_t victims = 0;
        for (size_t i = 0; i < s->n; i++) {
            victims += gone[i];
            if (gone[i] && s->p[i].state == PM_SCHED_READY && step.what == PM_SCHED_NOTHING)
                step = (struct pm_sched_step){.what = PM_SCHED_DRAIN, .profile = i};
        }
        if (!victims)
            step = (struct pm_sched_step){.what = PM_SCHED_LOAD, .profile = want};
    }
    free(gone);
    return step;
}

struct pm_sched_step pm_sched_next(const struct pm_capacity *cap, const struct pm_sched_profile *profiles, size_t n,
                                   uint64_t now_ms)
{
    struct sched s = {.cap = cap, .p = profiles, .n = n, .now = now_ms};
    struct pm_sched_step step = {.what = PM_SCHED_NOTHING};
    for (size_t i = 0; i < n; i++)
        if (profiles[i].state == PM_SCHED_READY && profiles[i].stale)
            return (struct pm_sched_step){.what = PM_SCHED_DRAIN, .profile = i};
    size_t want = next_wanted(&s), loading = n;
    bool stopping = false;
    for (size_t i = 0; i < n; i++) {
        stopping |= profiles[i].state == PM_SCHED_STOPPING;
        if (profiles[i].state == PM_SCHED_LOADING)
            loading = i;
    }
    if (stopping || want == n)
        return step;
    if (loading < n) {
        if (!profiles[loading].waiting)
            step = (struct pm_sched_step){.what = PM_SCHED_CANCEL, .profile = loading};
        return step;
    }
    if (!fits_beside_pinned(&s, want))
        return (struct pm_sched_step){.what = PM_SCHED_NEVER_FITS, .profile = want};
    step = make_room(&s, want);
    step.look_again_ms = s.look_again;
    return step;
}
