/* Random lives of a machine in virtual time, and what must hold in each. The seed of a trace is its number. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "core/manager/sched.h"

enum { TRACES = 25000, PROFILES = 6, REQUESTS = 24, STEPS_MAX = 64, ROUNDS_MAX = 5000 };

enum promise { CAPACITY, PINNED, RESIDENCY, OLDER, NEEDLESS, OLDEST, ALONE, NEVER, SETTLES, SERVED, PROMISES };

/* How often each promise was broken, and the first trace in which it was. */
static struct {
    unsigned times;
    uint64_t trace;
} broken[PROMISES];
static unsigned loads, drains, served, denied;

enum request_state { TO_COME, WAITING, GRANTED, OVER };

struct request {
    enum request_state state;
    size_t profile;
    uint64_t at, gives_up, takes, ends;
};

struct profile {
    struct pm_sched_profile s;
    struct pm_need need;
    bool loading;
    bool fails; /* its next load */
    unsigned slots;
    uint64_t load_ms, moved_at, blocked_until, stale_at;
};

struct trace {
    uint64_t seed, random, now, look_again;
    struct pm_capacity cap;
    struct profile p[PROFILES];
    size_t n;
    struct request r[REQUESTS];
};

static uint64_t draw(struct trace *t, uint64_t below)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return t->random % below;
}

static void promise(const struct trace *t, enum promise which, bool kept)
{
    if (!kept && !broken[which].times++)
        broken[which].trace = t->seed;
}

static void make_profile(struct trace *t, struct profile *p)
{
    *p = (struct profile){.slots = 1 + (unsigned)draw(t, 3),
                          .load_ms = 1 + draw(t, 50),
                          .fails = !draw(t, 12),
                          .stale_at = draw(t, 8) ? UINT64_MAX : draw(t, 1500)};
    p->s.pinned = !draw(t, 8);
    p->s.residency_ms = draw(t, 3) * 150;
    for (size_t d = 0; d < 2; d++)
        p->need.device[d] = draw(t, 2) ? (long long)(10 * draw(t, 11)) : 0;
    p->need.ram = draw(t, 2) ? (long long)(10 * draw(t, 11)) : 0;
}

static void make_trace(struct trace *t, uint64_t seed)
{
    *t = (struct trace){.seed = seed, .random = (seed + 1) * 0x9e3779b97f4a7c15ULL, .now = 1};
    t->cap = (struct pm_capacity){.device = {100, 60}, .n_devices = draw(t, 3), .ram = 150};
    t->cap.has_unknown_device = !t->cap.n_devices;
    if (t->cap.n_devices < 2)
        t->cap.device[1] = 0;
    t->n = 2 + draw(t, PROFILES - 1);
    for (size_t i = 0; i < t->n; i++)
        make_profile(t, &t->p[i]);
    uint64_t span = 100 + draw(t, 1500);
    for (size_t i = 0; i < REQUESTS; i++)
        t->r[i] = (struct request){.profile = draw(t, 2) ? draw(t, t->n) : draw(t, 2),
                                   .at = 1 + draw(t, span),
                                   .takes = 1 + draw(t, 100),
                                   .gives_up = draw(t, 10) ? UINT64_MAX : draw(t, span)};
}

/* Our own sum, apart from the ledger's. */
static bool room(const struct trace *t, size_t want, bool (*counts)(const struct profile *p))
{
    long long ram = t->p[want].need.ram;
    if (ram > t->cap.ram)
        return false;
    for (size_t i = 0; i < t->n; i++)
        ram += i != want && counts(&t->p[i]) ? t->p[i].need.ram : 0;
    for (size_t d = 0; d < 2; d++) {
        long long sum = t->p[want].need.device[d];
        int users = sum > 0;
        for (size_t i = 0; i < t->n; i++) {
            if (i == want || !counts(&t->p[i]))
                continue;
            sum += t->p[i].need.device[d];
            users += t->p[i].need.device[d] > 0;
        }
        if (t->cap.n_devices ? sum > t->cap.device[d] : users > 1)
            return false;
    }
    return ram <= t->cap.ram;
}

static bool is_resident(const struct profile *p)
{
    return p->s.state != PM_SCHED_OFF;
}

static bool is_pinned_and_stays(const struct profile *p)
{
    return p->s.pinned && p->s.state == PM_SCHED_READY;
}

/* Resident, and neither idle nor leaving. */
static bool is_in_use(const struct profile *p)
{
    return is_resident(p) && p->s.state != PM_SCHED_DRAINING && (p->s.pinned || p->s.leases || p->s.waiting);
}

static size_t oldest_wanted(const struct trace *t)
{
    size_t best = t->n;
    for (size_t i = 0; i < t->n; i++)
        if (t->p[i].s.state == PM_SCHED_OFF && t->p[i].s.waiting && !t->p[i].s.blocked &&
            (best == t->n || t->p[i].s.oldest_ms < t->p[best].s.oldest_ms))
            best = i;
    return best;
}

static void deny_all(struct trace *t, size_t profile)
{
    t->p[profile].s.blocked = true;
    t->p[profile].blocked_until = t->now + 100;
    for (size_t i = 0; i < REQUESTS; i++) {
        if (t->r[i].profile == profile && t->r[i].state == WAITING) {
            t->r[i].state = OVER;
            denied++;
        }
    }
}

/* Everything whose time has come. */
static void happen(struct trace *t)
{
    for (size_t i = 0; i < t->n; i++) {
        struct profile *p = &t->p[i];
        if (p->blocked_until <= t->now)
            p->s.blocked = false;
        if (p->stale_at <= t->now && p->s.state == PM_SCHED_READY) {
            p->s.stale = true;
            p->stale_at = UINT64_MAX;
        }
        if (p->s.state != PM_SCHED_MOVING || p->moved_at > t->now)
            continue;
        p->s.stale = false;
        p->s.state = p->loading && !p->fails ? PM_SCHED_READY : PM_SCHED_OFF;
        p->s.ready_since_ms = p->s.last_used_ms = t->now;
        if (p->loading && p->fails)
            deny_all(t, i);
        p->fails = false;
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        struct request *r = &t->r[i];
        if (r->state == TO_COME && r->at <= t->now)
            r->state = WAITING;
        if (r->state == WAITING && r->gives_up <= t->now)
            r->state = OVER;
        if (r->state == GRANTED && r->ends <= t->now) {
            r->state = OVER;
            t->p[r->profile].s.leases--;
            t->p[r->profile].s.last_used_ms = t->now;
        }
    }
}

/* In the order of asking, as far as there are slots; and what the scheduler is to know of who still waits. */
static void grant(struct trace *t)
{
    for (size_t i = 0; i < t->n; i++) {
        struct profile *p = &t->p[i];
        p->s.need = &p->need;
        for (;;) {
            struct request *first = NULL;
            p->s.waiting = 0;
            for (size_t k = 0; k < REQUESTS; k++) {
                struct request *r = &t->r[k];
                if (r->state != WAITING || r->profile != i)
                    continue;
                p->s.waiting++;
                if (!first || r->at < first->at)
                    first = r;
            }
            p->s.oldest_ms = first ? first->at : 0;
            if (!first || p->s.state != PM_SCHED_READY || p->s.leases == p->slots)
                break;
            first->state = GRANTED;
            first->ends = t->now + first->takes;
            p->s.leases++;
            p->s.last_used_ms = t->now;
            served++;
        }
        if (p->s.state == PM_SCHED_DRAINING && !p->s.leases) {
            p->s.state = PM_SCHED_MOVING;
            p->loading = false;
            p->moved_at = t->now + 1 + draw(t, 5);
        }
    }
}

static void check_drain(const struct trace *t, size_t i)
{
    const struct pm_sched_profile *p = &t->p[i].s;
    size_t want = oldest_wanted(t);
    promise(t, ALONE, p->state == PM_SCHED_READY);
    if (p->stale)
        return;
    promise(t, PINNED, !p->pinned);
    promise(t, OLDEST, want < t->n);
    if (!p->leases && !p->waiting)
        return;
    promise(t, RESIDENCY, t->now >= p->ready_since_ms + p->residency_ms);
    promise(t, OLDER, want == t->n || !p->waiting || p->oldest_ms >= t->p[want].s.oldest_ms);
    promise(t, NEEDLESS, want == t->n || !room(t, want, is_in_use));
}

static void check_load(const struct trace *t, size_t i)
{
    const struct pm_sched_profile *p = &t->p[i].s;
    size_t want = oldest_wanted(t);
    promise(t, ALONE, p->state == PM_SCHED_OFF && !p->blocked && p->waiting);
    promise(t, OLDEST, want < t->n && t->p[want].s.oldest_ms == p->oldest_ms);
    promise(t, CAPACITY, room(t, i, is_resident));
    for (size_t k = 0; k < t->n; k++)
        promise(t, ALONE, t->p[k].s.state != PM_SCHED_MOVING);
}

/* One order of the scheduler, checked and carried out; false when there was none. */
static bool obey(struct trace *t)
{
    struct pm_sched_profile states[PROFILES];
    for (size_t i = 0; i < t->n; i++)
        states[i] = t->p[i].s;
    struct pm_sched_step step = pm_sched_next(&t->cap, states, t->n, t->now);
    struct profile *p = &t->p[step.profile];
    t->look_again = step.look_again_ms;
    switch (step.what) {
    case PM_SCHED_NOTHING:
        return false;
    case PM_SCHED_LOAD:
        check_load(t, step.profile);
        p->s.state = PM_SCHED_MOVING;
        p->loading = true;
        p->moved_at = t->now + p->load_ms;
        loads++;
        break;
    case PM_SCHED_DRAIN:
        check_drain(t, step.profile);
        p->s.state = PM_SCHED_DRAINING;
        drains++;
        break;
    case PM_SCHED_NEVER_FITS:
        promise(t, NEVER, !room(t, step.profile, is_pinned_and_stays));
        deny_all(t, step.profile);
        break;
    }
    return true;
}

static void sooner(const struct trace *t, uint64_t *next, uint64_t at)
{
    if (at > t->now && at < *next)
        *next = at;
}

static uint64_t next_event(const struct trace *t)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < t->n; i++) {
        const struct profile *p = &t->p[i];
        if (p->s.state == PM_SCHED_MOVING)
            sooner(t, &next, p->moved_at);
        if (p->s.blocked)
            sooner(t, &next, p->blocked_until);
        if (p->s.state == PM_SCHED_READY)
            sooner(t, &next, p->stale_at);
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        const struct request *r = &t->r[i];
        if (r->state == TO_COME)
            sooner(t, &next, r->at);
        if (r->state == WAITING && r->gives_up > t->now)
            sooner(t, &next, r->gives_up);
        if (r->state == GRANTED)
            sooner(t, &next, r->ends);
    }
    if (t->look_again)
        sooner(t, &next, t->look_again);
    return next;
}

static void live(struct trace *t)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        int steps = 0;
        happen(t);
        do
            grant(t);
        while (obey(t) && ++steps < STEPS_MAX);
        promise(t, SETTLES, steps < STEPS_MAX);
        uint64_t next = next_event(t);
        if (next == UINT64_MAX)
            break;
        t->now = next;
    }
    for (size_t i = 0; i < REQUESTS; i++)
        promise(t, SERVED, t->r[i].state == OVER);
}

static int live_all(void **state)
{
    static struct trace t;
    (void)state;
    for (uint64_t seed = 0; seed < TRACES; seed++) {
        make_trace(&t, seed);
        live(&t);
    }
    print_message("%d traces: %u loads, %u drains, %u served, %u denied\n", TRACES, loads, drains, served, denied);
    return 0;
}

static void expect_kept(enum promise which)
{
    expect(!broken[which].times, "broken %u times, first in trace %llu\n", broken[which].times,
           (unsigned long long)broken[which].trace);
}

static void the_traces_are_lively(void **state)
{
    (void)state;
    assert_true(loads > TRACES && drains > TRACES && served > 5 * TRACES && denied > TRACES / 10);
}

#define KEPT(name, which)                                                                                             \
    static void name(void **state)                                                                                    \
    {                                                                                                                 \
        (void)state;                                                                                                  \
        expect_kept(which);                                                                                           \
    }

KEPT(capacity_is_never_exceeded, CAPACITY)
KEPT(no_pinned_profile_is_sent_away, PINNED)
KEPT(no_busy_profile_is_sent_away_within_its_residency, RESIDENCY)
KEPT(nobody_is_sent_away_before_its_older_waiters_are_served, OLDER)
KEPT(no_busy_profile_is_sent_away_where_idle_and_leaving_ones_make_room, NEEDLESS)
KEPT(the_oldest_waiter_decides_what_is_loaded, OLDEST)
KEPT(orders_are_possible_and_one_at_a_time, ALONE)
KEPT(only_what_has_no_room_beside_the_pinned_is_said_never_to_fit, NEVER)
KEPT(the_orders_of_one_moment_come_to_an_end, SETTLES)
KEPT(every_waiter_is_served_or_told_why_not, SERVED)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_traces_are_lively),
        cmocka_unit_test(capacity_is_never_exceeded),
        cmocka_unit_test(no_pinned_profile_is_sent_away),
        cmocka_unit_test(no_busy_profile_is_sent_away_within_its_residency),
        cmocka_unit_test(nobody_is_sent_away_before_its_older_waiters_are_served),
        cmocka_unit_test(no_busy_profile_is_sent_away_where_idle_and_leaving_ones_make_room),
        cmocka_unit_test(the_oldest_waiter_decides_what_is_loaded),
        cmocka_unit_test(orders_are_possible_and_one_at_a_time),
        cmocka_unit_test(only_what_has_no_room_beside_the_pinned_is_said_never_to_fit),
        cmocka_unit_test(the_orders_of_one_moment_come_to_an_end),
        cmocka_unit_test(every_waiter_is_served_or_told_why_not),
    };
    return cmocka_run_group_tests_name("sched traces", tests, live_all, NULL);
}
