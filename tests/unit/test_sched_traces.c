/* Random lives of a machine in virtual time, and what must hold in each. The seed of a trace is its number. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "core/manager/sched.h"

enum { TRACES = 100000, PROFILES = 5, REQUESTS = 20, STEPS_MAX = 64, ROUNDS_MAX = 5000 };

/* The longest of each in a trace. */
enum { LOAD_MAX = 50, STOP_MAX = 5, TAKES_MAX = 100, BLOCKED_MS = 100 };

/* The scheduler's own margin: a load and a quarter of it, and 20 ms. */
enum { MARGIN_DIVISOR = 4, MARGIN_MS = 20 };

/* TIGHT: many bounds are missed. AMPLE: all the work there is fits into the bound. FLOOD: a profile that is kept busy
 * by others, and one request of the least urgent class for another profile. */
enum kind { TIGHT, AMPLE, FLOOD, KINDS };

enum promise {
    CAPACITY,
    PINNED,
    RESIDENCY,
    LINGER,
    OLDER,
    CLASS,
    NEEDLESS,
    FIRST,
    POSSIBLE,
    CANCELLED,
    NEVER,
    URGENT,
    LOOKS,
    SETTLES,
    BOUND,
    AMPLE_SERVED,
    FLOOD_SERVED,
    LOADS,
    ENDS,
    PROMISES
};

/* How often each promise was broken, and the first trace in which it was. */
static struct {
    unsigned times;
    uint64_t trace;
} broken[PROMISES];

enum event { LOADED, DRAINED, CANCELS, SERVED, FAILED, EXPIRED, FOR_A_BOUND, FOR_A_CLASS, EVENTS };

static unsigned seen[EVENTS];
static const char *const event_names[] = {"loads",       "drains",  "cancels",     "served",
                                          "load failed", "expired", "for a bound", "for a class"};

enum request_state { TO_COME, WAITING, GRANTED, OVER };

struct request {
    enum request_state state;
    size_t profile;
    unsigned rank;
    uint64_t at, gives_up, takes, ends;
};

struct profile {
    struct pm_sched_profile s;
    struct pm_need need;
    bool fails; /* its next load */
    unsigned slots;
    uint64_t load_ms, moved_at, blocked_until;
    uint64_t stale_at, dies_at, unloaded_at;
};

struct trace {
    uint64_t seed, random, now, look_again, max_wait;
    enum kind kind;
    bool guesses; /* estimates are wrong by up to a quarter */
    unsigned loads;
    struct pm_capacity cap;
    struct profile p[PROFILES];
    size_t n, n_requests;
    struct request r[REQUESTS]; /* in the order of being served: class, then time */
};

static uint64_t draw(struct trace *t, uint64_t below)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return t->random % below;
}

static uint64_t seldom(struct trace *t, uint64_t one_in, uint64_t below)
{
    return draw(t, one_in) ? UINT64_MAX : draw(t, below);
}

static void promise(const struct trace *t, enum promise which, bool kept)
{
    if (!kept && !broken[which].times++)
        broken[which].trace = t->seed;
}

static uint64_t guess(struct trace *t, uint64_t ms)
{
    return t->guesses ? ms * (75 + draw(t, 51)) / 100 : ms;
}

static void make_profile(struct trace *t, struct profile *p)
{
    bool calm = t->kind == FLOOD;
    *p = (struct profile){.slots = 1 + (unsigned)draw(t, 3),
                          .load_ms = 1 + draw(t, LOAD_MAX),
                          .fails = !calm && !draw(t, 12),
                          .stale_at = calm ? UINT64_MAX : seldom(t, 8, 1500),
                          .dies_at = calm ? UINT64_MAX : seldom(t, 16, 1500),
                          .unloaded_at = calm ? UINT64_MAX : seldom(t, 16, 1500)};
    p->s.pinned = !calm && !draw(t, 8);
    p->s.load_ms = guess(t, p->load_ms);
    p->s.residency_ms = draw(t, 2) ? pm_sched_residency(p->s.load_ms) : draw(t, 3) * 150;
    p->s.linger_ms = pm_sched_linger((double)draw(t, 2 * LOAD_MAX), p->s.load_ms);
    p->s.uses = (double)draw(t, 10);
    for (size_t d = 0; d < 2; d++)
        p->need.device[d] = draw(t, 2) ? (long long)(10 * draw(t, 11)) : 0;
    p->need.ram = draw(t, 2) ? (long long)(10 * draw(t, 11)) : 0;
    if (calm)
        p->need = (struct pm_need){.device = {60}};
}

static bool goes_before(const struct request *a, const struct request *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void add_request(struct trace *t, struct request r)
{
    size_t i = t->n_requests++;
    for (; i && goes_before(&r, &t->r[i - 1]); i--)
        t->r[i] = t->r[i - 1];
    t->r[i] = r;
}

static void make_requests(struct trace *t)
{
    uint64_t span = 100 + draw(t, 1500), ranks = 1 + draw(t, 3);
    size_t n = 4 + draw(t, REQUESTS - 3);
    for (size_t i = 0; i < n; i++)
        add_request(t, (struct request){.profile = draw(t, 2) ? draw(t, t->n) : draw(t, 2),
                                        .rank = (unsigned)draw(t, ranks),
                                        .at = 1 + draw(t, span),
                                        .takes = 1 + draw(t, TAKES_MAX),
                                        .gives_up = draw(t, 10) ? UINT64_MAX : draw(t, span)});
}

/* One after the other for profile 0, hardly a pause; profile 1 is asked for once. */
static void make_flood(struct trace *t)
{
    uint64_t at = 1;
    for (size_t i = 0; i + 1 < REQUESTS; i++) {
        uint64_t takes = 1 + draw(t, TAKES_MAX);
        add_request(t, (struct request){.at = at, .takes = takes, .gives_up = UINT64_MAX});
        at += takes * 3 / 2 / t->p[0].slots;
    }
    add_request(
        t,
        (struct request){
            .profile = 1, .rank = 2, .at = 1 + draw(t, at), .takes = 1 + draw(t, TAKES_MAX), .gives_up = UINT64_MAX});
    /* A switch that has just begun, one more that was for a bound too, and the switch with its margin. */
    t->max_wait = 2 * (LOAD_MAX + TAKES_MAX + STOP_MAX) + LOAD_MAX + LOAD_MAX / MARGIN_DIVISOR + MARGIN_MS;
}

/* All of it one after the other, with a switch for each, waiting twice for an idle one, and every pause after a
 * failure: nobody ever waits longer when something useful is always done. */
static uint64_t all_the_work(const struct trace *t)
{
    uint64_t sum = t->n * BLOCKED_MS;
    for (size_t i = 0; i < t->n_requests; i++)
        sum += t->r[i].takes + 3 * LOAD_MAX + 2 * LOAD_MAX / MARGIN_DIVISOR + STOP_MAX;
    return sum;
}

static void make_trace(struct trace *t, uint64_t seed)
{
    *t = (struct trace){.seed = seed, .random = (seed + 1) * 0x9e3779b97f4a7c15ULL, .now = 1};
    draw(t, 2);
    t->kind = seed % 16 == 0 ? FLOOD : draw(t, 2) ? TIGHT : AMPLE;
    t->guesses = t->kind != FLOOD && draw(t, 2);
    t->cap = (struct pm_capacity){.device = {100, 60}, .n_devices = t->kind == FLOOD ? 1 : draw(t, 3), .ram = 150};
    t->cap.has_unknown_device = !t->cap.n_devices;
    if (t->cap.n_devices < 2)
        t->cap.device[1] = 0;
    t->n = t->kind == FLOOD ? 2 : 2 + draw(t, PROFILES - 1);
    for (size_t i = 0; i < t->n; i++)
        make_profile(t, &t->p[i]);
    for (size_t i = 0; i < t->n; i++)
        t->p[i].s.need = &t->p[i].need;
    if (t->kind == FLOOD) {
        make_flood(t);
        return;
    }
    make_requests(t);
    t->max_wait = t->kind == AMPLE ? all_the_work(t) : 20 + draw(t, 600);
}

/* Our own sum, apart from the ledger's. */
static bool room(const struct trace *t, size_t want, bool (*counts)(const struct trace *t, const struct profile *p))
{
    long long ram = t->p[want].need.ram;
    if (ram > t->cap.ram)
        return false;
    for (size_t i = 0; i < t->n; i++)
        ram += i != want && counts(t, &t->p[i]) ? t->p[i].need.ram : 0;
    for (size_t d = 0; d < 2; d++) {
        long long sum = t->p[want].need.device[d];
        int users = sum > 0;
        for (size_t i = 0; i < t->n; i++) {
            if (i == want || !counts(t, &t->p[i]))
                continue;
            sum += t->p[i].need.device[d];
            users += t->p[i].need.device[d] > 0;
        }
        if (t->cap.n_devices ? sum > t->cap.device[d] : users > 1)
            return false;
    }
    return ram <= t->cap.ram;
}

static bool is_resident(const struct trace *t, const struct profile *p)
{
    (void)t;
    return p->s.state != PM_SCHED_OFF;
}

static bool is_pinned_and_stays(const struct trace *t, const struct profile *p)
{
    return p->s.pinned && is_resident(t, p) && p->s.state != PM_SCHED_DRAINING;
}

static bool lingers(const struct trace *t, const struct profile *p)
{
    return t->now < p->s.last_used_ms + p->s.linger_ms && t->now < p->s.ready_since_ms + p->s.residency_ms;
}

/* Resident, and neither idle nor leaving. */
static bool is_in_use(const struct trace *t, const struct profile *p)
{
    return is_resident(t, p) && p->s.state != PM_SCHED_DRAINING &&
           (p->s.pinned || p->s.leases || p->s.waiting || lingers(t, p));
}

static bool is_wanted(const struct profile *p)
{
    return p->s.state == PM_SCHED_OFF && p->s.waiting && !p->s.blocked;
}

/* The latest time at which a switch for its waiters' bound must begin. */
static uint64_t begins_by(const struct trace *t, const struct profile *p)
{
    uint64_t drain = 0;
    if (p->s.due_ms == PM_SCHED_NEVER_DUE)
        return UINT64_MAX;
    for (size_t i = 0; i < t->n; i++)
        if (t->p[i].s.state == PM_SCHED_READY && t->p[i].s.drain_ms > drain)
            drain = t->p[i].s.drain_ms;
    uint64_t takes = p->s.load_ms + p->s.load_ms / MARGIN_DIVISOR + drain + MARGIN_MS;
    return p->s.due_ms > takes ? p->s.due_ms - takes : 0;
}

static bool is_urgent(const struct trace *t, const struct profile *p)
{
    return begins_by(t, p) <= t->now;
}

/* Would it miss its bound if the other one were loaded first, and served a request? */
static bool can_not_wait_for(const struct trace *t, const struct profile *p, const struct profile *other)
{
    uint64_t by = begins_by(t, p), load = other->s.load_ms;
    return by != UINT64_MAX && by <= t->now + load + load / MARGIN_DIVISOR + MARGIN_MS + other->s.drain_ms;
}

/* Is it a's turn before b's: a bound about to be missed, or by letting the other go first; the class; the time. */
static bool is_before(const struct trace *t, const struct profile *a, const struct profile *b)
{
    bool a_late = is_urgent(t, a), b_late = is_urgent(t, b);
    if (!a_late && !b_late) {
        a_late = can_not_wait_for(t, a, b);
        b_late = can_not_wait_for(t, b, a);
    }
    if (a_late != b_late)
        return a_late;
    if (a_late && a->s.due_ms != b->s.due_ms)
        return a->s.due_ms < b->s.due_ms;
    return a->s.rank != b->s.rank ? a->s.rank < b->s.rank : a->s.oldest_ms < b->s.oldest_ms;
}

static size_t first_wanted(const struct trace *t)
{
    size_t best = t->n;
    for (size_t i = 0; i < t->n; i++)
        if (is_wanted(&t->p[i]) && (best == t->n || is_before(t, &t->p[i], &t->p[best])))
            best = i;
    return best;
}

static void deny_all(struct trace *t, size_t profile)
{
    t->p[profile].s.blocked = true;
    t->p[profile].blocked_until = t->now + BLOCKED_MS;
    for (size_t i = 0; i < t->n_requests; i++) {
        if (t->r[i].profile == profile && t->r[i].state == WAITING) {
            t->r[i].state = OVER;
            seen[FAILED]++;
        }
    }
}

static void die(struct trace *t, size_t profile)
{
    t->p[profile].s.state = PM_SCHED_OFF;
    t->p[profile].s.leases = 0;
    t->p[profile].s.stale = false;
    for (size_t i = 0; i < t->n_requests; i++)
        if (t->r[i].profile == profile && t->r[i].state == GRANTED)
            t->r[i].state = OVER;
}

static void loaded(struct trace *t, size_t i)
{
    struct profile *p = &t->p[i];
    p->s.state = p->fails ? PM_SCHED_OFF : PM_SCHED_READY;
    p->s.stale = false;
    p->s.ready_since_ms = p->s.last_used_ms = t->now;
    if (p->fails)
        deny_all(t, i);
    p->fails = false;
}

static void happen_to_profile(struct trace *t, size_t i)
{
    struct profile *p = &t->p[i];
    if (p->blocked_until <= t->now)
        p->s.blocked = false;
    if (p->s.state == PM_SCHED_STOPPING && p->moved_at <= t->now)
        p->s.state = PM_SCHED_OFF;
    /* What has just come up is granted first, whatever else happens to it. */
    if (p->s.state == PM_SCHED_LOADING && p->moved_at <= t->now) {
        loaded(t, i);
        return;
    }
    if (p->s.state != PM_SCHED_READY)
        return;
    if (p->stale_at <= t->now) {
        p->s.stale = true;
        p->stale_at = UINT64_MAX;
    }
    if (p->unloaded_at <= t->now) {
        p->s.state = PM_SCHED_DRAINING;
        p->unloaded_at = UINT64_MAX;
    }
    if (p->dies_at <= t->now) {
        die(t, i);
        p->dies_at = UINT64_MAX;
    }
}

static void not_served_in_time(struct trace *t, struct request *r)
{
    r->state = OVER;
    seen[EXPIRED]++;
    promise(t, AMPLE_SERVED, t->kind != AMPLE);
    promise(t, FLOOD_SERVED, t->kind != FLOOD || r->profile == 0);
}

/* Everything whose time has come. */
static void happen(struct trace *t)
{
    for (size_t i = 0; i < t->n_requests; i++) {
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
    for (size_t i = 0; i < t->n; i++)
        happen_to_profile(t, i);
}

/* After the grants of that moment: who could be granted on the last millisecond was. */
static void expire(struct trace *t)
{
    for (size_t i = 0; i < t->n_requests; i++)
        if (t->r[i].state == WAITING && t->now >= t->r[i].at + t->max_wait)
            not_served_in_time(t, &t->r[i]);
}

static void grant(struct trace *t)
{
    for (size_t i = 0; i < t->n_requests; i++) {
        struct request *r = &t->r[i];
        struct profile *p = &t->p[r->profile];
        if (r->state != WAITING || p->s.state != PM_SCHED_READY || p->s.leases == p->slots)
            continue;
        promise(t, BOUND, t->now <= r->at + t->max_wait);
        r->state = GRANTED;
        r->ends = t->now + r->takes;
        p->s.leases++;
        p->s.uses++;
        p->s.last_used_ms = t->now;
        seen[SERVED]++;
    }
}

/* What the scheduler is to know of those who wait and those who are served. */
static void describe(struct trace *t)
{
    uint64_t asked[PROFILES][REQUESTS];
    for (size_t i = 0; i < t->n; i++) {
        struct pm_sched_profile *p = &t->p[i].s;
        p->waiting = 0;
        /* Of what is off: what it would take once it is on. */
        p->drain_ms = p->state == PM_SCHED_OFF ? TAKES_MAX : 0;
        p->oldest_ms = UINT64_MAX;
        p->rank = UINT32_MAX;
    }
    for (size_t i = 0; i < t->n_requests; i++) {
        const struct request *r = &t->r[i];
        struct pm_sched_profile *p = &t->p[r->profile].s;
        /* A request that is granted at the last moment holds up a switch as well as those that run. */
        uint64_t left = t->guesses ? r->ends - t->now : TAKES_MAX;
        if (r->state == GRANTED && left > p->drain_ms)
            p->drain_ms = left;
        if (r->state != WAITING)
            continue;
        asked[r->profile][p->waiting++] = r->at;
        if (r->at < p->oldest_ms)
            p->oldest_ms = r->at;
        if (r->rank < p->rank)
            p->rank = r->rank;
    }
    for (size_t i = 0; i < t->n; i++) {
        struct pm_sched_profile *p = &t->p[i].s;
        struct pm_sched_queue q = {asked[i], p->waiting, t->p[i].slots, TAKES_MAX / 2, t->max_wait};
        p->due_ms = pm_sched_due(&q, p->load_ms, t->now);
    }
}

/* What has drained is stopped; never with a request still running. */
static void finish_drains(struct trace *t)
{
    for (size_t i = 0; i < t->n; i++) {
        struct profile *p = &t->p[i];
        if (p->s.state != PM_SCHED_DRAINING || p->s.leases)
            continue;
        p->s.state = PM_SCHED_STOPPING;
        p->moved_at = t->now + 1 + draw(t, STOP_MAX);
    }
}

static void check_drain(const struct trace *t, size_t i)
{
    const struct pm_sched_profile *p = &t->p[i].s, *other;
    size_t want = first_wanted(t);
    promise(t, POSSIBLE, p->state == PM_SCHED_READY);
    if (p->stale)
        return;
    promise(t, PINNED, !p->pinned);
    promise(t, FIRST, want < t->n);
    promise(t, NEEDLESS, want < t->n && !room(t, want, is_resident));
    if (want == t->n)
        return;
    other = &t->p[want].s;
    bool stays = t->now < p->ready_since_ms + p->residency_ms, urgent = is_urgent(t, &t->p[want]);
    if (!p->leases && !p->waiting) {
        promise(t, LINGER, urgent || !lingers(t, &t->p[i]));
        return;
    }
    bool first_class = p->waiting && other->rank < p->rank;
    seen[FOR_A_BOUND] += urgent && stays;
    seen[FOR_A_CLASS] += first_class && stays && !urgent;
    promise(t, RESIDENCY, urgent || first_class || !stays);
    promise(t, CLASS, urgent || !p->waiting || other->rank <= p->rank);
    promise(t, OLDER, urgent || first_class || !p->waiting || p->oldest_ms >= other->oldest_ms);
    if (!urgent)
        promise(t, NEEDLESS, !room(t, want, is_in_use));
}

static void check_load(const struct trace *t, size_t i)
{
    promise(t, POSSIBLE, is_wanted(&t->p[i]) && !t->p[i].s.leases);
    promise(t, FIRST, first_wanted(t) == i);
    promise(t, CAPACITY, room(t, i, is_resident));
    for (size_t k = 0; k < t->n; k++)
        promise(t, POSSIBLE, t->p[k].s.state != PM_SCHED_LOADING && t->p[k].s.state != PM_SCHED_STOPPING);
}

/* A bound does not end a stay in which others would miss theirs by that. */
static bool is_held_up(const struct trace *t, const struct profile *want)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct pm_sched_profile *p = &t->p[i].s;
        if (p->state == PM_SCHED_READY && p->waiting && p->rank <= want->s.rank &&
            t->now < p->ready_since_ms + p->residency_ms && can_not_wait_for(t, &t->p[i], want))
            return true;
    }
    return false;
}

/* Nothing was ordered although somebody waits: it must be known what is waited for. */
static void check_rest(const struct trace *t)
{
    bool moves = false, stops = false;
    size_t first = first_wanted(t);
    for (size_t i = 0; i < t->n; i++)
        stops |= t->p[i].s.state == PM_SCHED_STOPPING;
    for (size_t i = 0; i < t->n; i++) {
        enum pm_sched_state s = t->p[i].s.state;
        moves |= stops || s == PM_SCHED_LOADING || s == PM_SCHED_DRAINING;
        promise(t, CANCELLED, stops || s != PM_SCHED_LOADING || t->p[i].s.waiting || first == t->n);
    }
    for (size_t i = 0; i < t->n && !moves; i++) {
        uint64_t by = is_wanted(&t->p[i]) ? begins_by(t, &t->p[i]) : UINT64_MAX;
        promise(t, URGENT, by > t->now || i != first || is_held_up(t, &t->p[i]));
        promise(t, LOOKS, by == UINT64_MAX || (t->look_again && (t->look_again <= by || by <= t->now)));
    }
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
        check_rest(t);
        return false;
    case PM_SCHED_LOAD:
        check_load(t, step.profile);
        p->s.state = PM_SCHED_LOADING;
        p->moved_at = t->now + p->load_ms;
        t->loads++;
        seen[LOADED]++;
        break;
    case PM_SCHED_DRAIN:
        check_drain(t, step.profile);
        p->s.state = PM_SCHED_DRAINING;
        seen[DRAINED]++;
        break;
    case PM_SCHED_CANCEL:
        promise(t, POSSIBLE, p->s.state == PM_SCHED_LOADING && !p->s.leases);
        promise(t, CANCELLED, !p->s.waiting && first_wanted(t) < t->n);
        p->s.state = PM_SCHED_STOPPING;
        p->moved_at = t->now + 1 + draw(t, STOP_MAX);
        seen[CANCELS]++;
        break;
    case PM_SCHED_NEVER_FITS:
        promise(t, NEVER, first_wanted(t) == step.profile && !room(t, step.profile, is_pinned_and_stays));
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
        if (p->s.state == PM_SCHED_LOADING || p->s.state == PM_SCHED_STOPPING)
            sooner(t, &next, p->moved_at);
        if (p->s.blocked)
            sooner(t, &next, p->blocked_until);
        if (p->s.state != PM_SCHED_READY)
            continue;
        sooner(t, &next, p->stale_at);
        sooner(t, &next, p->dies_at);
        sooner(t, &next, p->unloaded_at);
    }
    for (size_t i = 0; i < t->n_requests; i++) {
        const struct request *r = &t->r[i];
        if (r->state == TO_COME)
            sooner(t, &next, r->at);
        if (r->state == WAITING) {
            sooner(t, &next, r->gives_up);
            sooner(t, &next, r->at + t->max_wait);
        }
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
        grant(t);
        expire(t);
        do {
            grant(t);
            finish_drains(t);
            describe(t);
        } while (obey(t) && ++steps < STEPS_MAX);
        promise(t, SETTLES, steps < STEPS_MAX);
        uint64_t next = next_event(t);
        if (next == UINT64_MAX)
            break;
        t->now = next;
    }
    promise(t, LOADS, t->loads <= t->n_requests);
    for (size_t i = 0; i < t->n_requests; i++)
        promise(t, ENDS, t->r[i].state == OVER);
}

static int live_all(void **state)
{
    static struct trace t;
    (void)state;
    for (uint64_t seed = 0; seed < TRACES; seed++) {
        make_trace(&t, seed);
        live(&t);
    }
    print_message("%d traces:", TRACES);
    for (size_t i = 0; i < EVENTS; i++)
        print_message(" %s %u", event_names[i], seen[i]);
    print_message("\n");
    return 0;
}

static void expect_kept(enum promise which)
{
    expect(!broken[which].times, "broken %u times, first in trace %llu\n", broken[which].times,
           (unsigned long long)broken[which].trace);
}

/* Promises about what never happens would say nothing. */
static void the_traces_are_lively(void **state)
{
    (void)state;
    assert_true(seen[LOADED] > TRACES && seen[DRAINED] > TRACES && seen[SERVED] > 5 * TRACES);
    assert_true(seen[FAILED] > TRACES / 10 && seen[EXPIRED] > TRACES / 10 && seen[CANCELS] > TRACES / 100);
    assert_true(seen[FOR_A_BOUND] > TRACES / 100 && seen[FOR_A_CLASS] > TRACES / 100);
}

#define KEPT(name, which)                                                                                             \
    static void name(void **state)                                                                                    \
    {                                                                                                                 \
        (void)state;                                                                                                  \
        expect_kept(which);                                                                                           \
    }

KEPT(capacity_is_never_exceeded, CAPACITY)
KEPT(no_pinned_profile_is_sent_away, PINNED)
KEPT(a_residency_is_ended_by_a_bound_or_a_more_urgent_class_only, RESIDENCY)
KEPT(an_idle_profile_lingers_unless_a_bound_is_at_stake, LINGER)
KEPT(nobody_is_sent_away_before_its_older_waiters_are_served, OLDER)
KEPT(a_less_urgent_class_sends_nobody_away_but_for_a_bound, CLASS)
KEPT(nobody_is_sent_away_where_there_is_room_without, NEEDLESS)
KEPT(what_is_loaded_is_whose_turn_it_is, FIRST)
KEPT(orders_are_possible_and_one_at_a_time, POSSIBLE)
KEPT(a_load_is_given_up_when_nobody_waits_for_it_and_only_then, CANCELLED)
KEPT(only_what_has_no_room_beside_the_pinned_is_said_never_to_fit, NEVER)
KEPT(a_switch_for_a_bound_begins_at_once, URGENT)
KEPT(the_time_to_look_again_is_no_later_than_a_bound, LOOKS)
KEPT(the_orders_of_one_moment_come_to_an_end, SETTLES)
KEPT(nobody_waits_longer_than_the_bound, BOUND)
KEPT(with_an_ample_bound_nobody_misses_it, AMPLE_SERVED)
KEPT(a_single_request_is_served_within_the_bound_whatever_the_others_do, FLOOD_SERVED)
KEPT(there_are_no_more_loads_than_requests, LOADS)
KEPT(every_waiter_is_served_or_told_why_not, ENDS)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_traces_are_lively),
        cmocka_unit_test(capacity_is_never_exceeded),
        cmocka_unit_test(no_pinned_profile_is_sent_away),
        cmocka_unit_test(a_residency_is_ended_by_a_bound_or_a_more_urgent_class_only),
        cmocka_unit_test(an_idle_profile_lingers_unless_a_bound_is_at_stake),
        cmocka_unit_test(nobody_is_sent_away_before_its_older_waiters_are_served),
        cmocka_unit_test(a_less_urgent_class_sends_nobody_away_but_for_a_bound),
        cmocka_unit_test(nobody_is_sent_away_where_there_is_room_without),
        cmocka_unit_test(what_is_loaded_is_whose_turn_it_is),
        cmocka_unit_test(orders_are_possible_and_one_at_a_time),
        cmocka_unit_test(a_load_is_given_up_when_nobody_waits_for_it_and_only_then),
        cmocka_unit_test(only_what_has_no_room_beside_the_pinned_is_said_never_to_fit),
        cmocka_unit_test(a_switch_for_a_bound_begins_at_once),
        cmocka_unit_test(the_time_to_look_again_is_no_later_than_a_bound),
        cmocka_unit_test(the_orders_of_one_moment_come_to_an_end),
        cmocka_unit_test(nobody_waits_longer_than_the_bound),
        cmocka_unit_test(with_an_ample_bound_nobody_misses_it),
        cmocka_unit_test(a_single_request_is_served_within_the_bound_whatever_the_others_do),
        cmocka_unit_test(there_are_no_more_loads_than_requests),
        cmocka_unit_test(every_waiter_is_served_or_told_why_not),
    };
    return cmocka_run_group_tests_name("sched traces", tests, live_all, NULL);
}
