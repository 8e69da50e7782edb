#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/alloc.h"
#include "core/route/share.h"

/* Multiplication with an odd number mod 2^n goes through all values in no order. */
static double spread(unsigned i, unsigned n)
{
    return (double)((i * 2654435761u) % n) / (double)n;
}

static unsigned at_or_above(const struct pm_share *s, double limit)
{
    unsigned n = s->n < PM_SHARE_SCORES ? (unsigned)s->n : PM_SHARE_SCORES, above = 0;
    for (unsigned i = 0; i < n; i++)
        above += (double)s->scores[i] >= limit;
    return above;
}

static void before_there_are_scores_they_are_taken_for_even(void **state)
{
    static const double shares[] = {0, 0.1, 0.5, 1};
    struct pm_share *s = pm_calloc(1, sizeof(*s));
    (void)state;
    for (unsigned noted = 0; noted < 50; noted++) {
        for (size_t i = 0; i < COUNT(shares); i++)
            assert_true(pm_share_limit(s, shares[i]) == 1 - shares[i]);
        pm_share_note(s, 0.01);
    }
    free(s);
}

static void the_limit_is_the_quantile_whatever_scores_mean(void **state)
{
    static const double shares[] = {0.05, 0.1, 0.25, 0.5, 0.75, 0.9};
    static const double scales[][2] = {{0, 1}, {0.4, 0.01}, {0, 0.1}, {0.9, 0.1}};
    (void)state;
    for (size_t k = 0; k < COUNT(scales); k++) {
        for (size_t i = 0; i < COUNT(shares); i++) {
            struct pm_share *s = pm_calloc(1, sizeof(*s));
            for (unsigned n = 0; n < 1024; n++)
                pm_share_note(s, scales[k][0] + scales[k][1] * spread(n, 1024));
            double limit = pm_share_limit(s, shares[i]), got = (double)at_or_above(s, limit) / PM_SHARE_SCORES;
            expect(got > shares[i] - 0.01 && got < shares[i] + 0.01, "share %.2f of scale %zu: %.3f at %f\n",
                   shares[i], k, got, limit);
            free(s);
        }
    }
}

static void none_and_all_are_none_and_all(void **state)
{
    struct pm_share *s = pm_calloc(1, sizeof(*s));
    (void)state;
    for (unsigned n = 0; n < 512; n++)
        pm_share_note(s, n % 2 ? 0 : 1);
    assert_true(pm_share_limit(s, 0) > 1);
    assert_true(pm_share_limit(s, 1) <= 0);
    free(s);
}

static void the_last_scores_count_and_older_ones_do_not(void **state)
{
    struct pm_share *s = pm_calloc(1, sizeof(*s));
    (void)state;
    for (unsigned n = 0; n < PM_SHARE_SCORES; n++)
        pm_share_note(s, 0.8 + 0.1 * spread(n, PM_SHARE_SCORES));
    double after = pm_share_limit(s, 0.5);
    assert_true(after > 0.2 + 1e-6 && after <= 0.9 + 1e-6);
    for (unsigned n = 0; n < PM_SHARE_SCORES; n++)
        pm_share_note(s, 0.1 * spread(n, PM_SHARE_SCORES));
    assert_true(pm_share_limit(s, 0.5) < 0.1);
    assert_int_equal(s->n, 2 * PM_SHARE_SCORES);
    free(s);
}

static void another_share_is_worked_out_at_once(void **state)
{
    struct pm_share *s = pm_calloc(1, sizeof(*s));
    (void)state;
    for (unsigned n = 0; n < 512; n++)
        pm_share_note(s, spread(n, 512));
    double strong = pm_share_limit(s, 0.1), half = pm_share_limit(s, 0.5), weak = pm_share_limit(s, 0.9);
    assert_true(strong > half && half > weak);
    assert_true(pm_share_limit(s, 0.1) == strong);
    free(s);
}

static void a_limit_follows_its_scores_soon(void **state)
{
    struct pm_share *s = pm_calloc(1, sizeof(*s));
    (void)state;
    for (unsigned n = 0; n < 200; n++)
        pm_share_note(s, 0.2);
    double before = pm_share_limit(s, 0.5);
    for (unsigned n = 0; n < 300; n++) {
        pm_share_note(s, 0.9);
        pm_share_limit(s, 0.5);
    }
    assert_true(before <= 0.2 + 1e-6);
    double after = pm_share_limit(s, 0.5);
    assert_true(after > 0.2 + 1e-6 && after <= 0.9 + 1e-6);
    free(s);
}

/* Where all requests score the same there is no strongest part: they go one way, all of them. */
static void equal_scores_fall_on_one_side(void **state)
{
    static const double shares[] = {0.01, 0.5, 0.99};
    (void)state;
    for (size_t i = 0; i < COUNT(shares); i++) {
        struct pm_share *s = pm_calloc(1, sizeof(*s));
        for (unsigned n = 0; n < 500; n++)
            pm_share_note(s, 0.3);
        unsigned above = at_or_above(s, pm_share_limit(s, shares[i]));
        assert_true(above == 0 || above == 500);
        free(s);
    }
}

/* A policy that gives most requests the same score, such as 0, leaves the strong side to the few that stand out. */
static void a_score_that_most_have_is_not_among_the_strongest(void **state)
{
    static const double usual[] = {0, 0.25, 0.3};
    (void)state;
    for (size_t i = 0; i < COUNT(usual); i++) {
        struct pm_share *s = pm_calloc(1, sizeof(*s));
        for (unsigned n = 0; n < PM_SHARE_SCORES; n++)
            pm_share_note(s, n % 20 ? usual[i] : 0.9);
        unsigned above = at_or_above(s, pm_share_limit(s, 0.1));
        expect(above == PM_SHARE_SCORES / 20, "%u of %d are the strongest tenth\n", above, PM_SHARE_SCORES);
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_there_are_scores_they_are_taken_for_even),
        cmocka_unit_test(the_limit_is_the_quantile_whatever_scores_mean),
        cmocka_unit_test(none_and_all_are_none_and_all),
        cmocka_unit_test(the_last_scores_count_and_older_ones_do_not),
        cmocka_unit_test(another_share_is_worked_out_at_once),
        cmocka_unit_test(a_limit_follows_its_scores_soon),
        cmocka_unit_test(equal_scores_fall_on_one_side),
        cmocka_unit_test(a_score_that_most_have_is_not_among_the_strongest),
    };
    return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
