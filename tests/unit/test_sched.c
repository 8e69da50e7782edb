#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "core/manager/sched.h"

/* A device of 100 MiB; a profile of the size that each row says. Times in ms, now is 1000. */
enum { NOW = 1000 };

struct p {
    enum pm_sched_state state;
    long long mib;
    unsigned waiting, leases;
    uint64_t oldest, ready_since, last_used, residency;
    bool pinned, stale, blocked;
};

#define OFF      PM_SCHED_OFF
#define MOVING   PM_SCHED_MOVING
#define READY    PM_SCHED_READY
#define DRAINING PM_SCHED_DRAINING

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
                                                .oldest_ms = rows[i].oldest,
                                                .ready_since_ms = rows[i].ready_since,
                                                .last_used_ms = rows[i].last_used,
                                                .residency_ms = rows[i].residency,
                                                .need = &needs[i]};
    }
    return pm_sched_next(&cap, profiles, n, NOW);
}

static const char *const names[] = {"nothing", "load", "drain", "never fits"};

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
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {MOVING, .mib = 10}, {OFF, .mib = 10, .waiting = 1});
}

static void what_failed_a_moment_ago_does_not_hold_up_the_others(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_LOAD, 1, {OFF, .mib = 50, .waiting = 1, .oldest = 1, .blocked = true},
                {OFF, .mib = 50, .waiting = 1, .oldest = 2});
    EXPECT_STEP(PM_SCHED_NOTHING, 0, {OFF, .mib = 50, .waiting = 1, .blocked = true});
}

static void the_least_recently_used_idle_profile_makes_room(void **state)
{
    (void)state;
    EXPECT_STEP(PM_SCHED_DRAIN, 1, {READY, .mib = 50, .last_used = 9}, {READY, .mib = 50, .last_used = 5},
                {OFF, .mib = 50, .waiting = 1});
    EXPECT_STEP(PM_SCHED_DRAIN, 0, {READY, .mib = 50, .last_used = 9}, {READY, .mib = 50, .last_used = 5, .leases = 1},
                {OFF, .mib = 50, .waiting = 1});
}

static void an_idle_profile_goes_even_within_its_residency(void **state)
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
                             {READY, .mib = 50, .waiting = 1, .ready_since = 800, .residency = 500},
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
    EXPECT_STEP(PM_SCHED_DRAIN, 1, {MOVING, .mib = 10}, {READY, .mib = 50, .stale = true});
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_waiters_nothing_happens),
        cmocka_unit_test(what_is_wanted_and_fits_is_loaded_beside_the_others),
        cmocka_unit_test(one_switch_is_made_at_a_time),
        cmocka_unit_test(what_failed_a_moment_ago_does_not_hold_up_the_others),
        cmocka_unit_test(the_least_recently_used_idle_profile_makes_room),
        cmocka_unit_test(an_idle_profile_goes_even_within_its_residency),
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
    };
    return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
