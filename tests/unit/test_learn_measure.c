/* The measures of `pointsman eval` (core/learn/measure.c) against figures worked out by hand. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/learn/measure.h"

enum { MANY = 400 };

static bool is_near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

static void contains(const struct pm_figure *f, const char *what)
{
    expect(f->low <= f->value && f->value <= f->high, "%s: %g is not within [%g, %g]\n", what, f->value, f->low,
           f->high);
}

static void pairs_are_measured_as_the_paper_has_it(void **state)
{
    /* Four rows, the strong model better by 1 on two of them. */
    static const double weak[4] = {0, 0, 1, 1}, strong[4] = {1, 1, 1, 1};
    static const struct {
        const char *what;
        double score[4], apgr, cpt50, cpt80;
    } rows[] = {
        /* PGR rises to 1 at c = 1/2 and stays: area 1/4 + 1/2; straight, so .5 at .25 and .8 at .4 */
        {"oracle", {4, 3, 2, 1}, 0.75, 0.25, 0.4},
        /* nothing until c = 1/2: .5 at .75, .8 at .9 */
        {"turned round", {1, 2, 3, 4}, 0.25, 0.75, 0.9},
        /* all equal: a straight line */
        {"ties", {7, 7, 7, 7}, 0.5, 0.5, 0.8},
        /* one right (PGR .5 at 1/4), then nothing until 3/4, then the other */
        {"half", {4, 1, 3, 2}, 0.25 * 0.25 + 0.5 * 0.5 + 0.25 * 0.75, 0.25, 0.9},
        /* a tie of a right and a wrong one, then the same: pieces of one line */
        {"pairs of ties", {2, 1, 2, 1}, 0.5, 0.5, 0.8},
    };
    struct pm_pair_measure m;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        pm_measure_pair(rows[i].score, weak, strong, 4, 1, &m);
        expect(is_near(m.apgr.value, rows[i].apgr) && is_near(m.cpt50.value, rows[i].cpt50) &&
                   is_near(m.cpt80.value, rows[i].cpt80),
               "%s: APGR %g, CPT50 %g, CPT80 %g\n", rows[i].what, m.apgr.value, m.cpt50.value, m.cpt80.value);
        assert_true(is_near(m.weak, 0.5) && is_near(m.strong, 1));
    }
}

static void a_weak_model_may_be_better_on_a_row(void **state)
{
    /* gaps +1, -1, +1: after the first all of the gap is closed, after the second nothing, after the third all */
    static const double score[3] = {3, 2, 1}, weak[3] = {0, 1, 0}, strong[3] = {1, 0, 1};
    struct pm_pair_measure m;
    (void)state;
    pm_measure_pair(score, weak, strong, 3, 1, &m);
    assert_true(is_near(m.apgr.value, 0.5));
    assert_true(is_near(m.cpt50.value, 0.5 / 3));
    assert_true(is_near(m.cpt80.value, 0.8 / 3));
    /* better than the strong model alone in between: +1 +1 -1 */
    static const double best[3] = {3, 1, 2};
    pm_measure_pair(best, weak, strong, 3, 1, &m);
    assert_true(is_near(m.apgr.value, (0.5 + 1.5 + 1.5) / 3));
}

static void qualities_between_count_by_their_gap(void **state)
{
    static const double score[2] = {2, 1}, weak[2] = {0.2, 0.5}, strong[2] = {0.8, 0.7};
    struct pm_pair_measure m;
    (void)state;
    pm_measure_pair(score, weak, strong, 2, 1, &m);
    assert_true(is_near(m.apgr.value, 0.5 * 0.75 / 2 + 0.5 * (0.75 + 1) / 2));
    assert_true(is_near(m.cpt50.value, 0.5 * 0.5 / 0.75));
    assert_true(is_near(m.cpt80.value, 0.5 + 0.5 * 0.05 / 0.25));
}

static void without_a_gap_there_is_nothing_to_close(void **state)
{
    static const double score[2] = {2, 1}, same[2] = {1, 0};
    struct pm_pair_measure m;
    (void)state;
    pm_measure_pair(score, same, same, 2, 1, &m);
    assert_true(is_near(m.apgr.value, 0) && is_near(m.cpt50.value, 1) && is_near(m.cpt80.value, 1));
    pm_measure_pair(score, same, same, 0, 1, &m);
    assert_true(is_near(m.apgr.value, 0) && is_near(m.weak, 0) && is_near(m.strong, 0));
}

/* A score that tells the gap, with noise. */
static void make_pairs(double *score, double *weak, double *strong, uint64_t seed)
{
    for (size_t i = 0; i < MANY; i++) {
        double noise = (double)(pm_random(&seed) >> 11) * 0x1p-53;
        weak[i] = (double)(pm_random(&seed) % 2);
        strong[i] = (double)(pm_random(&seed) % 8 > 0);
        score[i] = strong[i] - weak[i] + 2 * noise;
    }
}

static void intervals_hold_the_value_and_are_repeatable(void **state)
{
    static double score[MANY], weak[MANY], strong[MANY];
    struct pm_pair_measure a, b;
    (void)state;
    for (uint64_t seed = 1; seed < 6; seed++) {
        make_pairs(score, weak, strong, seed);
        pm_measure_pair(score, weak, strong, MANY, seed, &a);
        pm_measure_pair(score, weak, strong, MANY, seed, &b);
        assert_memory_equal(&a, &b, sizeof(a));
        contains(&a.apgr, "APGR");
        contains(&a.cpt50, "CPT50");
        contains(&a.cpt80, "CPT80");
        assert_true(a.apgr.high - a.apgr.low > 0.01 && a.apgr.high - a.apgr.low < 0.3);
        pm_measure_pair(score, weak, strong, MANY, seed + 100, &b);
        assert_true(is_near(a.apgr.value, b.apgr.value));
        assert_true(a.apgr.low != b.apgr.low || a.apgr.high != b.apgr.high);
    }
}

static void the_order_of_rows_does_not_matter(void **state)
{
    static double score[MANY], weak[MANY], strong[MANY], other[3][MANY];
    struct pm_pair_measure a, b;
    (void)state;
    make_pairs(score, weak, strong, 9);
    for (size_t i = 0; i < MANY; i++) {
        score[i] = floor(score[i] * 4); /* many ties */
        other[0][MANY - 1 - i] = score[i];
        other[1][MANY - 1 - i] = weak[i];
        other[2][MANY - 1 - i] = strong[i];
    }
    pm_measure_pair(score, weak, strong, MANY, 1, &a);
    pm_measure_pair(other[0], other[1], other[2], MANY, 1, &b);
    assert_true(is_near(a.apgr.value, b.apgr.value) && is_near(a.cpt50.value, b.cpt50.value));
}

static void a_choice_lies_between_the_best_single_one_and_the_oracle(void **state)
{
    static const double quality[] = {1, 0, 0.5, 0, 1, 0.5, 1, 0, 0.5, 0, 0, 0.5};
    static const struct {
        const char *what;
        size_t chosen[4];
        double value, gain, closed;
    } rows[] = {
        {"oracle", {0, 1, 0, 2}, 3.5 / 4, 3.5 / 2 - 1, 1},
        {"best single", {0, 0, 0, 0}, 0.5, 0, 0},
        {"the worst", {1, 0, 1, 0}, 0, -1, -0.5 / 0.375},
        {"half way", {0, 1, 0, 0}, 0.75, 0.5, 0.25 / 0.375},
    };
    struct pm_choice_measure m;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        pm_measure_choice(rows[i].chosen, quality, 4, 3, 1, &m);
        assert_int_equal(m.best, 0); /* the first of two that are as good */
        assert_true(is_near(m.best_single, 0.5) && is_near(m.oracle, 3.5 / 4));
        expect(is_near(m.value.value, rows[i].value) && is_near(m.gain.value, rows[i].gain) &&
                   is_near(m.gap_closed.value, rows[i].closed),
               "%s: %g, gain %g, closed %g\n", rows[i].what, m.value.value, m.gain.value, m.gap_closed.value);
    }
}

static void a_choice_of_nothing_is_nothing(void **state)
{
    static const double zero[4] = {0}, one[2] = {1, 1};
    static const size_t chosen[2] = {0, 0};
    struct pm_choice_measure m;
    (void)state;
    pm_measure_choice(chosen, zero, 2, 2, 1, &m);
    assert_true(is_near(m.gain.value, 0) && is_near(m.gap_closed.value, 0));
    pm_measure_choice(chosen, one, 2, 1, 1, &m);
    assert_true(is_near(m.value.value, 1) && is_near(m.gap_closed.value, 0));
    pm_measure_choice(chosen, one, 0, 1, 1, &m);
    assert_true(is_near(m.value.value, 0));
}

static void choices_have_intervals(void **state)
{
    static double quality[MANY * 3];
    static size_t chosen[MANY];
    struct pm_choice_measure m;
    uint64_t random = 4;
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        for (size_t k = 0; k < 3; k++)
            quality[i * 3 + k] = (double)(pm_random(&random) % 2);
        chosen[i] = pm_random(&random) % 4 ? (quality[i * 3 + 1] > quality[i * 3]) : 2;
    }
    pm_measure_choice(chosen, quality, MANY, 3, 1, &m);
    contains(&m.value, "quality");
    contains(&m.gap_closed, "gap closed");
    assert_true(m.value.high - m.value.low > 0.02);
}

static void classes_are_counted(void **state)
{
    /* class 0: 2 of 3 found, 1 false: F1 = 4/6; class 1: 1 of 2, 1 false: 2/4; class 2: none of 1: 0; 3 is never true
     */
    static const size_t truth[] = {0, 0, 0, 1, 1, 2}, said[] = {0, 0, 1, 1, 4, 0};
    static const double sure[] = {0.9, 0.8, 0.3, 0.7, 0.2, 0.6};
    struct pm_class_measure m;
    (void)state;
    pm_measure_classes(truth, said, sure, 6, 4, 1, &m);
    assert_true(is_near(m.accuracy.value, 3.0 / 6));
    assert_true(is_near(m.macro_f1.value, (4.0 / 6 + 2.0 / 4 + 0) / 3));
    contains(&m.accuracy, "accuracy");
    contains(&m.macro_f1, "macro F1");
    /* surest first: right right right wrong wrong wrong; 90 % of 6 are 6, 80 % 5, 70 % 5, 50 % 3 */
    static const double at[5] = {3.0 / 6, 3.0 / 6, 3.0 / 5, 3.0 / 5, 1};
    for (size_t i = 0; i < 5; i++)
        expect(is_near(m.at_coverage[i], at[i]), "at %d %%: %g\n", pm_coverages[i], m.at_coverage[i]);
}

static void coverage_of_hundred_rows(void **state)
{
    static size_t truth[100], said[100];
    static double sure[100];
    struct pm_class_measure m;
    (void)state;
    for (size_t i = 0; i < 100; i++) {
        said[i] = i >= 60; /* the 60 surest are right */
        sure[i] = 1 - (double)i / 100;
    }
    pm_measure_classes(truth, said, sure, 100, 2, 1, &m);
    assert_true(is_near(m.at_coverage[0], 0.6) && is_near(m.at_coverage[1], 60.0 / 90));
    assert_true(is_near(m.at_coverage[2], 60.0 / 80) && is_near(m.at_coverage[3], 60.0 / 70));
    assert_true(is_near(m.at_coverage[4], 1));
    contains(&m.accuracy, "accuracy");
}

static void all_right_all_wrong_and_none(void **state)
{
    static const size_t truth[] = {0, 1, 1}, wrong[] = {1, 0, 2};
    static const double sure[] = {1, 1, 1};
    struct pm_class_measure m;
    (void)state;
    pm_measure_classes(truth, truth, sure, 3, 2, 1, &m);
    assert_true(is_near(m.accuracy.value, 1) && is_near(m.macro_f1.value, 1) && is_near(m.accuracy.low, 1));
    pm_measure_classes(truth, wrong, sure, 3, 2, 1, &m);
    assert_true(is_near(m.accuracy.value, 0) && is_near(m.macro_f1.value, 0) && is_near(m.accuracy.high, 0));
    pm_measure_classes(truth, wrong, sure, 0, 2, 1, &m);
    assert_true(is_near(m.accuracy.value, 0) && is_near(m.at_coverage[4], 0));
}

static void the_generator_is_splitmix64(void **state)
{
    /* the first numbers for the seed 1234567, as its authors publish them */
    static const uint64_t known[] = {6457827717110365317ULL, 3203168211198807973ULL, 9817491932198370423ULL};
    uint64_t seed = 1234567;
    (void)state;
    for (size_t i = 0; i < COUNT(known); i++)
        assert_true(pm_random(&seed) == known[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_measured_as_the_paper_has_it),
        cmocka_unit_test(a_weak_model_may_be_better_on_a_row),
        cmocka_unit_test(qualities_between_count_by_their_gap),
        cmocka_unit_test(without_a_gap_there_is_nothing_to_close),
        cmocka_unit_test(intervals_hold_the_value_and_are_repeatable),
        cmocka_unit_test(the_order_of_rows_does_not_matter),
        cmocka_unit_test(a_choice_lies_between_the_best_single_one_and_the_oracle),
        cmocka_unit_test(a_choice_of_nothing_is_nothing),
        cmocka_unit_test(choices_have_intervals),
        cmocka_unit_test(classes_are_counted),
        cmocka_unit_test(coverage_of_hundred_rows),
        cmocka_unit_test(all_right_all_wrong_and_none),
        cmocka_unit_test(the_generator_is_splitmix64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
