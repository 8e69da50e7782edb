/* One question, one answer: each rule of the scheduler on its own. test_sched_traces.c has what holds over time. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "core/manager/sched.h"

/* A device of 100 MiB; a profile of the size that each row says. Times in ms, now is 1000. No bound: due 0. */
enum { NOW = 1000 };

struct p {
    enum pm_sched_state state;
    long long mib;
    unsigned waiting, leases, rank;
    uint64_t oldest, due, load, drain, ready_since, last_used, residency, linger;
    double uses;
    bool pinned, stale, blocked;
};

#define OFF      PM_SCHED_OFF
#define LOADING  PM_SCHED_LOADING
#define READY    PM_SCHED_READY
#define DRAINING PM_SCHED_DRAINING
#define STOPPING PM_SCHED_STOPPING

static struct pm_sched_step next(const struct p *rows, size_t n)
{
    static const struct pm_capacity cap = {.device = {100}, .n_devices = 1, .ram = 1000};
    struct pm_need needs[8];
    struct pm_sched_profile profiles[8];
    for (size_t i = 0; i < n; i++) {
        needs[i] = (struct pm_need){.device = {rows[i].mib}};
        profiles[i] = (struct pm_sched_profile){.state = rows[i].state,
                                                .pinned = rows[i].pinned,
                                                .stale = rows[i].stale,
                                                .blocked = rows[i].blocked,
                                                .waiting = rows[i].waiting,
                                                .leases = rows[i].leases,
                                                .rank = rows[i].rank,
                                                .oldest_ms = rows[i].oldest,
                                                .due_ms = rows[i].due ? rows[i].due : PM_SCHED_NEVER_DUE,
                                                .load_ms = rows[i].load,
                                                .drain_ms = rows[i].drain,
                                                .ready_since_ms = rows[i].ready_since,
                                                .last_used_ms = rows[i].last_used,
                                                .residency_ms = rows[i].residency,
                                                .linger_ms = rows[i].linger,
                                                .uses = rows[i].uses,
                                                .need = &needs[i]};
    }
    return pm_sched_next(&cap, profiles, n, NOW);
}

static const char *const names[] = {"nothing", "load", "drain", "cancel", "never fits"};

#define EXPECT_STEP(expected, index, ...)                                                                             \
    do {                                                                                                              \
        const struct p profiles_[] = {__VA_ARGS__};                                                                   \
        struct pm_sched_step step_ = next(profiles_, COUNT(profiles_));                                               \
        size_t which_ = step_.what == PM_SCHED_NOTHING ? 0 : step_.profile;                                           \
        expect(step_.what == (expected) && which_ == (index), "%s %zu instead of %s %d\n", names[step_.what], which_, \
               names[expected], index);                                                                               \
    } while (0)

static void without_waiters_nothing_happens(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {OFF, .mib = 50}, {READY, .mib = 50}, {DRAINING, .mib = 50});
    struct pm_sched_step step = next(NULL, 0);
    assert_int_equal(step.what, PM_SCHED_NOTHING);
    assert_int_equal(step.look_again_ms, 0);
}

static void what_is_wanted_and_fits_is_loaded_beside_the_others(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_LOAD, 0, {OFF, .mib = 100, .waiting = 1});
    EXPECT_STEP(PM_SCHED_LOAD, 1, {READY, .mib = 50, .leases = 1}, {OFF, .mib = 50, .waiting = 1});
    EXPECT_STEP(PM_SCHED_LOAD, 1, {OFF, .mib = 50, .waiting = 1, .oldest = 7},
                {OFF, .mib = 50, .waiting = 1, .oldest = 5});
}

static void one_switch_is_made_at_a_time(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {LOADING, .mib = 10, .waiting = 1}, {OFF, .mib = 10, .waiting = 1});
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {STOPPING, .mib = 10}, {OFF, .mib = 10, .waiting = 1});
}

static void what_failed_a_moment_ago_does_not_hold_up_the_others(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_LOAD, 1, {OFF, .mib = 50, .waiting = 1, .oldest = 1, .blocked = true},
                {OFF, .mib = 50, .waiting = 1, .oldest = 2});
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {OFF, .mib = 50, .waiting = 1, .blocked = true});
}

static void of_two_idle_ones_the_least_recently_used_makes_room(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_DRAIN, 1, {READY, .mib = 50, .last_used = 9}, {READY, .mib = 50, .last_used = 5},
                {OFF, .mib = 50, .waiting = 1});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {READY, .mib = 50, .last_used = 9}, {READY, .mib = 50, .last_used = 5, .leases = 1},
                {OFF, .mib = 50, .waiting = 1});
}

static void an_idle_profile_without_a_likely_next_request_goes_within_its_residency(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {READY, .mib = 100, .ready_since = NOW, .residency = 500},
                {OFF, .mib = 100, .waiting = 1});
}

static void no_more_is_sent_away_than_is_needed(void **state)
{
    (void)state;
    /* The small one has been idle for longest, but does not help. */
    EXPECT_STEP(PM_SCHED_DRAIN, 1, {READY, .mib = 10, .last_used = 1}, {READY, .mib = 90, .last_used = 5},
                {OFF, .mib = 90, .waiting = 1});
}

static void several_go_where_one_is_not_enough(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {READY, .mib = 50}, {READY, .mib = 50}, {OFF, .mib = 100, .waiting = 1});
    EXPECT_STEP(PM_SCHED_DRAIN, 1, {DRAINING, .mib = 50}, {READY, .mib = 50}, {OFF, .mib = 100, .waiting = 1});
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {DRAINING, .mib = 50}, {DRAINING, .mib = 50}, {OFF, .mib = 100, .waiting = 1});
}

static void a_busy_profile_stays_for_its_residency_and_says_until_when(void **state)
{
    const struct p rows[] = {{READY, .mib = 100, .leases = 1, .ready_since = 800, .residency = 500},
                             {OFF, .mib = 100, .waiting = 1, .oldest = 900}};
    struct pm_sched_step step = next(rows, 2);
    (void)state;
    assert_int_equal(step.what, PM_SCHED_NOTHING);
    assert_int_equal(step.look_again_ms, 1300);
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {READY, .mib = 100, .leases = 1, .ready_since = 500, .residency = 500},
                {OFF, .mib = 100, .waiting = 1, .oldest = 900});
}

static void the_time_to_look_again_is_the_earliest(void **state)
{
    const struct p rows[] = {{READY, .mib = 50, .leases = 1, .ready_since = 900, .residency = 500},
                             {READY, .mib = 50, .leases = 1, .ready_since = 800, .residency = 500},
                             {OFF, .mib = 50, .waiting = 1, .oldest = 900}};
    (void)state;
    assert_int_equal(next(rows, 3).look_again_ms, 1300);
}

static void who_waited_longer_is_served_first(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {READY, .mib = 100, .waiting = 1, .leases = 1, .oldest = 5},
                {OFF, .mib = 100, .waiting = 1, .oldest = 6});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {READY, .mib = 100, .waiting = 9, .leases = 1, .oldest = 7},
                {OFF, .mib = 100, .waiting = 1, .oldest = 6});
}

static void pinned_profiles_stay(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_DRAIN, 1, {READY, .mib = 50, .pinned = true, .last_used = 1},
                {READY, .mib = 50, .last_used = 9}, {OFF, .mib = 50, .waiting = 1});
}

static void what_has_no_room_of_its_own_or_beside_the_pinned_never_fits(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_NEVER_FITS, 0, {OFF, .mib = 101, .waiting = 1});
    EXPECT_STEP(PM_SCHED_NEVER_FITS, 1, {READY, .mib = 60, .pinned = true}, {OFF, .mib = 50, .waiting = 1});
    EXPECT_STEP(PM_SCHED_LOAD, 1, {OFF, .mib = 60, .pinned = true}, {OFF, .mib = 50, .waiting = 1});
}

/* Its configuration has changed, or somebody has unloaded it: there will be room. */
static void a_pinned_profile_that_is_leaving_is_waited_for(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {DRAINING, .mib = 60, .pinned = true, .leases = 1},
                {OFF, .mib = 50, .waiting = 1});
}

static void an_outdated_profile_is_drained_even_if_pinned_or_busy(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {READY, .mib = 50, .stale = true, .pinned = true, .leases = 1, .residency = 9999});
    EXPECT_STEP(PM_SCHED_DRAIN, 1, {LOADING, .mib = 10, .waiting = 1}, {READY, .mib = 50, .stale = true});
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {DRAINING, .mib = 50, .stale = true});
}

static void what_drains_is_waited_for(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {DRAINING, .mib = 100, .leases = 1}, {OFF, .mib = 100, .waiting = 1});
    EXPECT_STEP(PM_SCHED_LOAD, 1, {DRAINING, .mib = 50, .leases = 1}, {OFF, .mib = 50, .waiting = 1});
}

/* One of its requests has just ended, so its last use is newer than that of the other. */
static void a_drain_under_way_that_makes_room_is_enough(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {DRAINING, .mib = 50, .leases = 1, .last_used = 900},
                {READY, .mib = 50, .leases = 1, .last_used = 800}, {OFF, .mib = 50, .waiting = 1, .oldest = 850});
}

/* A load of 100 takes 145 with its margin, so one for a bound at 1145 begins at 1000. */
static void a_bound_about_to_be_missed_ends_residency_and_lingering(void **state)
{
    (void)state;
#define STAYS(size, stay)   READY, .mib = (size), .ready_since = 900, .residency = (stay), .last_used = 900
#define WANTED(size, since) OFF, .mib = (size), .waiting = 1, .oldest = (since), .load = 100
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {STAYS(100, 5000), .leases = 1}, {WANTED(100, 900), .due = 1146});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {STAYS(100, 5000), .leases = 1}, {WANTED(100, 900), .due = 1145});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {STAYS(100, 5000), .leases = 1, .waiting = 3, .oldest = 1},
                {WANTED(100, 900), .due = 1145});
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {STAYS(100, 5000), .linger = 400}, {WANTED(100, 900), .due = 1146});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {STAYS(100, 5000), .linger = 400}, {WANTED(100, 900), .due = 1145});
    /* Even of a less urgent class, and even when the bound is past by a moment. */
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {STAYS(100, 5000), .leases = 1, .waiting = 1, .oldest = 1},
                {WANTED(100, 900), .rank = 2, .due = 1145});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {STAYS(100, 5000), .leases = 1}, {WANTED(100, 900), .due = 1});
}

static void running_requests_are_reckoned_with(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {STAYS(100, 5000), .leases = 1, .drain = 200}, {WANTED(100, 900), .due = 1346});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {STAYS(100, 5000), .leases = 1, .drain = 200}, {WANTED(100, 900), .due = 1345});
}

static void a_bound_does_not_send_a_pinned_profile_away(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {STAYS(50, 5000), .pinned = true}, {STAYS(50, 5000), .leases = 1},
                {WANTED(50, 900), .due = 1146});
    EXPECT_STEP(PM_SCHED_DRAIN, 1, {STAYS(50, 5000), .pinned = true}, {STAYS(50, 5000), .leases = 1},
                {WANTED(50, 900), .due = 1145});
}

static void a_bound_that_can_not_be_kept_ends_nothing(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {STAYS(100, 5000), .leases = 1}, {WANTED(100, 900), .due = PM_SCHED_NEVER_DUE});
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {STAYS(100, 5000), .linger = 400}, {WANTED(100, 900), .due = PM_SCHED_NEVER_DUE});
}

static void the_time_to_look_again_is_that_of_the_bound_when_it_comes_first(void **state)
{
    const struct p bound[] = {{STAYS(100, 5000), .leases = 1}, {WANTED(100, 900), .due = 1500}};
    const struct p stay[] = {{STAYS(100, 5000), .leases = 1}, {WANTED(100, 900), .due = 9000}};
    const struct p lost[] = {{STAYS(100, 5000), .leases = 1}, {WANTED(100, 900), .due = PM_SCHED_NEVER_DUE}};
    (void)state;
    assert_int_equal(next(bound, 2).look_again_ms, 1500 - 145);
    assert_int_equal(next(stay, 2).look_again_ms, 5900);
    assert_int_equal(next(lost, 2).look_again_ms, 5900);
}

static void what_is_loaded_next_is_by_bound_then_class_then_time(void **state)
{
    (void)state;
#define ASKS OFF, .mib = 50, .waiting = 1, .load = 100
    EXPECT_STEP(PM_SCHED_LOAD, 1, {ASKS, .oldest = 5, .rank = 1}, {ASKS, .oldest = 9, .rank = 0});
    EXPECT_STEP(PM_SCHED_LOAD, 0, {ASKS, .oldest = 5, .rank = 1}, {ASKS, .oldest = 9, .rank = 1});
    EXPECT_STEP(PM_SCHED_LOAD, 1, {ASKS, .oldest = 5}, {ASKS, .oldest = 9, .rank = 3, .due = 1145});
    EXPECT_STEP(PM_SCHED_LOAD, 0, {ASKS, .oldest = 5}, {ASKS, .oldest = 9, .rank = 3, .due = 1400});
    EXPECT_STEP(PM_SCHED_LOAD, 1, {ASKS, .oldest = 5, .due = 1145}, {ASKS, .oldest = 9, .rank = 3, .due = 1144});
    EXPECT_STEP(PM_SCHED_LOAD, 1, {ASKS, .oldest = 9, .due = 1100, .rank = 1}, {ASKS, .oldest = 9, .due = 1100});
    EXPECT_STEP(PM_SCHED_LOAD, 1, {ASKS, .oldest = 9, .due = 1100}, {ASKS, .oldest = 5, .due = 1100});
    /* Nobody waits there: its figures say nothing. */
    EXPECT_STEP(PM_SCHED_LOAD, 1, {OFF, .mib = 50, .due = 1}, {ASKS, .oldest = 9, .rank = 9});
}

static void a_more_urgent_class_ends_a_stay_and_a_less_urgent_one_waits(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {STAYS(100, 5000), .waiting = 2, .rank = 1, .oldest = 5},
                {WANTED(100, 900), .rank = 0});
    /* After its residency too, and although it asked first. */
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {STAYS(100, 10), .waiting = 2, .oldest = 950}, {WANTED(100, 1), .rank = 1});
    /* One class: the residency, then the time of asking. */
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {STAYS(100, 5000), .waiting = 2, .rank = 1, .oldest = 950},
                {WANTED(100, 900), .rank = 1});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {STAYS(100, 10), .waiting = 2, .rank = 1, .oldest = 950},
                {WANTED(100, 900), .rank = 1});
}

static void a_load_that_nobody_waits_for_is_given_up_for_another(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_CANCEL, 0, {LOADING, .mib = 100}, {OFF, .mib = 100, .waiting = 1});
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {LOADING, .mib = 100, .waiting = 1}, {OFF, .mib = 100, .waiting = 1, .due = 1});
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {LOADING, .mib = 100}, {OFF, .mib = 100});
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {LOADING, .mib = 100}, {READY, .mib = 100, .waiting = 1});
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {LOADING, .mib = 100}, {OFF, .mib = 100, .waiting = 1, .blocked = true});
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {LOADING, .mib = 100}, {STOPPING, .mib = 10}, {OFF, .mib = 50, .waiting = 1});
}

static void the_victim_is_the_one_whose_next_load_is_worth_least(void **state)
{
    (void)state;
#define HALF READY, .mib = 50
    EXPECT_STEP(PM_SCHED_DRAIN, 1, {HALF, .load = 100, .uses = 3, .last_used = 1},
                {HALF, .load = 40, .uses = 7, .last_used = 9}, {OFF, .mib = 50, .waiting = 1});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {HALF, .load = 100, .uses = 3, .last_used = 9},
                {HALF, .load = 60, .uses = 7, .last_used = 1}, {OFF, .mib = 50, .waiting = 1});
    /* The dear one that is idle before the cheap one that is at work. */
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {HALF, .load = 900, .uses = 9}, {HALF, .load = 1, .uses = 1, .leases = 1},
                {OFF, .mib = 50, .waiting = 1});
    /* What is never used costs nothing, however long its load. */
    EXPECT_STEP(PM_SCHED_DRAIN, 1, {HALF, .load = 10, .uses = 0.1}, {HALF, .load = 9000},
                {OFF, .mib = 50, .waiting = 1});
}

static void an_idle_profile_whose_next_request_is_near_stays_a_while(void **state)
{
    const struct p rows[] = {{READY, .mib = 100, .ready_since = 700, .residency = 600, .last_used = 950, .linger = 80},
                             {OFF, .mib = 100, .waiting = 1, .oldest = 900}};
    (void)state;
    assert_int_equal(next(rows, 2).what, PM_SCHED_NOTHING);
    assert_int_equal(next(rows, 2).look_again_ms, 1030);
    EXPECT_STEP(PM_SCHED_DRAIN, 0,
                {READY, .mib = 100, .ready_since = 700, .residency = 600, .last_used = 920, .linger = 80},
                {OFF, .mib = 100, .waiting = 1, .oldest = 900});
    /* Its residency ends that. */
    EXPECT_STEP(PM_SCHED_DRAIN, 0,
                {READY, .mib = 100, .ready_since = 700, .residency = 300, .last_used = 950, .linger = 80},
                {OFF, .mib = 100, .waiting = 1, .oldest = 900});
    /* Another one that is idle goes instead. */
    EXPECT_STEP(PM_SCHED_DRAIN, 1,
                {READY, .mib = 50, .ready_since = 700, .residency = 600, .last_used = 950, .linger = 80},
                {READY, .mib = 50, .last_used = 990, .load = 9, .uses = 9}, {OFF, .mib = 50, .waiting = 1});
}

static void a_stay_is_four_loads(void **state)
{
    (void)state;
    assert_int_equal(pm_sched_residency(0), 0);
    assert_int_equal(pm_sched_residency(5000), 20000);
}

static void waiting_for_the_next_request_never_costs_more_than_a_load(void **state)
{
    (void)state;
    assert_int_equal(pm_sched_linger(300, 1000), 600);
    assert_int_equal(pm_sched_linger(500, 1000), 1000);
    assert_int_equal(pm_sched_linger(999, 1000), 1000);
    assert_int_equal(pm_sched_linger(1000, 1000), 0);
    assert_int_equal(pm_sched_linger(60000, 1000), 0);
    /* Nobody has used it twice. */
    assert_int_equal(pm_sched_linger(0, 1000), 0);
    assert_int_equal(pm_sched_linger(-1, 1000), 0);
    assert_int_equal(pm_sched_linger(5, 0), 0);
}

static uint64_t due(unsigned slots, uint64_t request, uint64_t max_wait, uint64_t load, size_t n,
                    const uint64_t *asked)
{
    struct pm_sched_queue q = {asked, n, slots, request, max_wait};
    return pm_sched_due(&q, load, NOW);
}

#define DUE(slots, request, max_wait, load, ...)                                                                      \
    due(slots, request, max_wait, load, COUNT(((const uint64_t[]){__VA_ARGS__})), (const uint64_t[]){__VA_ARGS__})

static void a_queue_is_due_when_its_most_pressing_waiter_is(void **state)
{
    (void)state;
    assert_true(due(1, 10, 500, 0, 0, NULL) == PM_SCHED_NEVER_DUE);
    assert_int_equal(DUE(1, 10, 500, 0, 900), 1400);
    /* Each one waits for those before it: 1400, 1405 - 10, 1406 - 20. */
    assert_int_equal(DUE(1, 10, 500, 0, 900, 905, 906), 1386);
    assert_int_equal(DUE(1, 10, 500, 0, 900, 950, 990), 1400);
    /* Two at a time: the third one waits for one request, the fifth for two. */
    assert_int_equal(DUE(2, 10, 500, 0, 900, 900), 1400);
    assert_int_equal(DUE(2, 10, 500, 0, 900, 900, 900), 1390);
    assert_int_equal(DUE(2, 10, 500, 0, 900, 900, 900, 900), 1390);
    assert_int_equal(DUE(2, 10, 500, 0, 900, 900, 900, 900, 900), 1380);
    assert_int_equal(DUE(0, 10, 500, 0, 900, 900), 1390);
}

static void who_can_not_be_served_in_time_any_more_is_left_out(void **state)
{
    (void)state;
    /* A load takes 300: 1300 is the earliest. */
    assert_int_equal(DUE(1, 10, 500, 300, 800), 1300);
    assert_true(DUE(1, 10, 500, 300, 799) == PM_SCHED_NEVER_DUE);
    assert_int_equal(DUE(1, 10, 500, 300, 799, 900), 1390);
    /* The first one can be, the one behind it not. */
    assert_int_equal(DUE(1, 10, 500, 300, 800, 805), 1300);
}

/* The load of the other one takes 145 and its first request 200: what begins by 1345 would be too late after that. */
static void who_can_not_wait_for_another_load_goes_before_it(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_LOAD, 0, {ASKS, .oldest = 5, .drain = 200}, {ASKS, .oldest = 9, .rank = 3, .due = 1491});
    EXPECT_STEP(PM_SCHED_LOAD, 1, {ASKS, .oldest = 5, .drain = 200}, {ASKS, .oldest = 9, .rank = 3, .due = 1490});
    /* Neither can: the one that is due first. */
    EXPECT_STEP(PM_SCHED_LOAD, 1, {ASKS, .oldest = 5, .due = 1250}, {ASKS, .oldest = 9, .rank = 3, .due = 1249});
}

/* Its own waiter is due at 1400; after a load of 145 for the other one and its request of 200 that is too late. */
static void a_bound_does_not_end_a_stay_that_another_bound_needs(void **state)
{
    (void)state;
#define NEEDED(stay, when) STAYS(100, stay), .waiting = 1, .leases = 1, .oldest = 950, .load = 100, .due = (when)
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {NEEDED(500, 1400)}, {WANTED(100, 900), .due = 1100, .drain = 200});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {NEEDED(500, 1800)}, {WANTED(100, 900), .due = 1100, .drain = 200});
    /* But no longer than its residency, and not when it is of a less urgent class. */
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {NEEDED(100, 1400)}, {WANTED(100, 900), .due = 1100, .drain = 200});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {NEEDED(500, 1400), .rank = 1}, {WANTED(100, 900), .due = 1100, .drain = 200});
    const struct p rows[] = {{NEEDED(500, 1400)}, {WANTED(100, 900), .due = 1100, .drain = 200}};
    assert_int_equal(next(rows, 2).look_again_ms, 1400);
}

static void a_queue_is_served_on_for_as_long_again(void **state)
{
    const struct p rows[] = {{STAYS(100, 80), .waiting = 1, .oldest = 950}, {WANTED(100, 920)}};
    (void)state;
    assert_int_equal(next(rows, 2).what, PM_SCHED_NOTHING);
    assert_int_equal(next(rows, 2).look_again_ms, 1060);
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {STAYS(100, 80), .leases = 1}, {WANTED(100, 920)});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {STAYS(100, 50), .waiting = 1, .oldest = 950}, {WANTED(100, 920)});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_waiters_nothing_happens),
        cmocka_unit_test(what_is_wanted_and_fits_is_loaded_beside_the_others),
        cmocka_unit_test(one_switch_is_made_at_a_time),
        cmocka_unit_test(what_failed_a_moment_ago_does_not_hold_up_the_others),
        cmocka_unit_test(of_two_idle_ones_the_least_recently_used_makes_room),
        cmocka_unit_test(an_idle_profile_without_a_likely_next_request_goes_within_its_residency),
        cmocka_unit_test(no_more_is_sent_away_than_is_needed),
        cmocka_unit_test(several_go_where_one_is_not_enough),
        cmocka_unit_test(a_busy_profile_stays_for_its_residency_and_says_until_when),
        cmocka_unit_test(the_time_to_look_again_is_the_earliest),
        cmocka_unit_test(who_waited_longer_is_served_first),
        cmocka_unit_test(pinned_profiles_stay),
        cmocka_unit_test(what_has_no_room_of_its_own_or_beside_the_pinned_never_fits),
        cmocka_unit_test(a_pinned_profile_that_is_leaving_is_waited_for),
        cmocka_unit_test(an_outdated_profile_is_drained_even_if_pinned_or_busy),
        cmocka_unit_test(what_drains_is_waited_for),
        cmocka_unit_test(a_drain_under_way_that_makes_room_is_enough),
        cmocka_unit_test(a_bound_about_to_be_missed_ends_residency_and_lingering),
        cmocka_unit_test(running_requests_are_reckoned_with),
        cmocka_unit_test(a_bound_does_not_send_a_pinned_profile_away),
        cmocka_unit_test(a_bound_that_can_not_be_kept_ends_nothing),
        cmocka_unit_test(the_time_to_look_again_is_that_of_the_bound_when_it_comes_first),
        cmocka_unit_test(what_is_loaded_next_is_by_bound_then_class_then_time),
        cmocka_unit_test(who_can_not_wait_for_another_load_goes_before_it),
        cmocka_unit_test(a_bound_does_not_end_a_stay_that_another_bound_needs),
        cmocka_unit_test(a_queue_is_served_on_for_as_long_again),
        cmocka_unit_test(a_more_urgent_class_ends_a_stay_and_a_less_urgent_one_waits),
        cmocka_unit_test(a_load_that_nobody_waits_for_is_given_up_for_another),
        cmocka_unit_test(the_victim_is_the_one_whose_next_load_is_worth_least),
        cmocka_unit_test(an_idle_profile_whose_next_request_is_near_stays_a_while),
        cmocka_unit_test(a_stay_is_four_loads),
        cmocka_unit_test(waiting_for_the_next_request_never_costs_more_than_a_load),
        cmocka_unit_test(a_queue_is_due_when_its_most_pressing_waiter_is),
        cmocka_unit_test(who_can_not_be_served_in_time_any_more_is_left_out),
    };
    return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
