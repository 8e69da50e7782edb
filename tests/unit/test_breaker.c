/* Circuit breaker: the clock is a number. */
#include "tests/unit/unit.h"

#include "core/upstream/breaker.h"

static void a_run_of_failures_opens_it_and_one_probe_gets_through(void **state)
{
    struct pm_breaker b = {0};
    (void)state;
    for (int i = 0; i < 4; i++)
        pm_breaker_failure(&b, 100, true);
    assert_true(pm_breaker_allow(&b, 100));
    pm_breaker_failure(&b, 100, true);
    assert_false(pm_breaker_allow(&b, 10099));
    assert_int_equal(pm_breaker_wait_ms(&b, 10000), 100);
    assert_true(pm_breaker_allow(&b, 10100));  /* the probe */
    assert_false(pm_breaker_allow(&b, 10101)); /* and nothing beside it */
}

static void a_success_between_failures_starts_the_count_anew(void **state)
{
    struct pm_breaker b = {0};
    (void)state;
    for (int i = 0; i < 4; i++)
        pm_breaker_failure(&b, 0, true);
    pm_breaker_success(&b);
    pm_breaker_failure(&b, 40000, true);
    assert_true(pm_breaker_allow(&b, 40000));
}

static void half_of_a_full_window_opens_it(void **state)
{
    struct pm_breaker b = {0};
    (void)state;
    pm_breaker_failure(&b, 0, true);
    for (int i = 0; i < 4; i++) {
        pm_breaker_success(&b);
        pm_breaker_failure(&b, 10, true);
    }
    assert_true(pm_breaker_allow(&b, 10));
    pm_breaker_success(&b);
    pm_breaker_failure(&b, 20, true);
    assert_false(pm_breaker_allow(&b, 20));
}

static void the_pause_doubles_up_to_its_cap_and_a_success_closes(void **state)
{
    struct pm_breaker b = {0};
    uint64_t now = 0, pauses[] = {10000, 20000, 40000, 80000, 120000, 120000};
    (void)state;
    for (int i = 0; i < 5; i++)
        pm_breaker_failure(&b, now, true);
    for (size_t i = 0; i < sizeof(pauses) / sizeof(*pauses); i++) {
        assert_int_equal(pm_breaker_wait_ms(&b, now), pauses[i]);
        now += pauses[i];
        assert_true(pm_breaker_allow(&b, now));
        pm_breaker_failure(&b, now, true);
    }
    now += 120000;
    assert_true(pm_breaker_allow(&b, now));
    pm_breaker_success(&b);
    assert_true(pm_breaker_allow(&b, now));
    assert_int_equal(pm_breaker_wait_ms(&b, now), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_of_failures_opens_it_and_one_probe_gets_through),
        cmocka_unit_test(a_success_between_failures_starts_the_count_anew),
        cmocka_unit_test(half_of_a_full_window_opens_it),
        cmocka_unit_test(the_pause_doubles_up_to_its_cap_and_a_success_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
