/* Fitting (core/learn/fit.c): it learns what can be learnt, repeatably, and ridge is what algebra says. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/learn/fit.h"
#include "core/learn/measure.h"

enum { BITS = 10, ROWS = 60, CLASSES = 3 };

static struct pm_text_tables tables;

static int set_up(void **state)
{
    (void)state;
    pm_text_tables_init(&tables);
    return 0;
}

/* Each row has a word of its class and words that mean nothing. */
static void make_toy(struct pm_sparse *x, unsigned *label, double *weight)
{
    static const char *const words[CLASSES] = {"oven", "airport", "guitar"};
    static char room[ROWS][64];
    const char *texts[ROWS];
    uint64_t random = 2;
    for (unsigned i = 0; i < ROWS; i++) {
        label[i] = i % CLASSES;
        weight[i] = 1;
        snprintf(room[i], sizeof(room[i]), "thing%u %s other%u", (unsigned)(pm_random(&random) % 9), words[label[i]],
                 (unsigned)(pm_random(&random) % 9));
        texts[i] = room[i];
    }
    pm_sparse_of(&tables, PM_RECIPE_GRAMS, BITS, 0.5, 1, texts, ROWS, x);
}

static unsigned best_class(const struct pm_sparse *x, size_t row, const float *w, const float *b)
{
    float z[CLASSES];
    unsigned best = 0;
    memcpy(z, b, sizeof(z));
    for (size_t i = x->start[row]; i < x->start[row + 1]; i++)
        for (unsigned c = 0; c < CLASSES; c++)
            z[c] += x->value[i] * w[(size_t)x->column[i] * CLASSES + c];
    for (unsigned c = 1; c < CLASSES; c++)
        best = z[c] > z[best] ? c : best;
    return best;
}

static const struct pm_softmax_spec toy_spec = {
    .classes = CLASSES, .steps = 2000, .runs = 2, .rate = 0.1, .drop = 0.3, .smooth = 0.1, .seed = 1};

static float *fitted(const struct pm_sparse *x, const unsigned *label, const double *weight, uint64_t seed,
                     float *bias)
{
    struct pm_softmax_spec spec = toy_spec;
    float *w = calloc((size_t)CLASSES << BITS, sizeof(*w));
    assert_non_null(w);
    memset(bias, 0, CLASSES * sizeof(*bias));
    spec.seed = seed;
    pm_fit_softmax(x, label, weight, &spec, w, bias);
    return w;
}

static void softmax_learns_what_can_be_told_apart(void **state)
{
    struct pm_sparse x;
    unsigned label[ROWS];
    double weight[ROWS];
    float bias[CLASSES];
    (void)state;
    make_toy(&x, label, weight);
    float *w = fitted(&x, label, weight, 1, bias);
    for (size_t i = 0; i < ROWS; i++)
        expect(best_class(&x, i, w, bias) == label[i], "row %zu is not learnt\n", i);
    for (size_t i = 0; i < (size_t)CLASSES << BITS; i++)
        assert_true(isfinite(w[i]));
    free(w);
    pm_sparse_release(&x);
}

static void the_same_seed_gives_the_same_bytes(void **state)
{
    struct pm_sparse x;
    unsigned label[ROWS];
    double weight[ROWS];
    float bias[3][CLASSES];
    size_t size = sizeof(float) * CLASSES << BITS;
    (void)state;
    make_toy(&x, label, weight);
    float *a = fitted(&x, label, weight, 5, bias[0]), *b = fitted(&x, label, weight, 5, bias[1]);
    float *c = fitted(&x, label, weight, 6, bias[2]);
    assert_memory_equal(a, b, size);
    assert_memory_equal(bias[0], bias[1], sizeof(bias[0]));
    assert_memory_not_equal(a, c, size);
    free(a);
    free(b);
    free(c);
    pm_sparse_release(&x);
}

static void rows_without_weight_teach_nothing(void **state)
{
    struct pm_sparse x;
    unsigned label[ROWS], wrong[ROWS];
    double weight[ROWS];
    float bias[2][CLASSES];
    (void)state;
    make_toy(&x, label, weight);
    memcpy(wrong, label, sizeof(wrong));
    for (size_t i = 0; i < ROWS; i += 4) {
        weight[i] = 0;
        wrong[i] = (label[i] + 1) % CLASSES;
    }
    float *a = fitted(&x, label, weight, 1, bias[0]), *b = fitted(&x, wrong, weight, 1, bias[1]);
    assert_memory_equal(a, b, sizeof(float) * CLASSES << BITS);
    free(a);
    free(b);
    pm_sparse_release(&x);
}

static void it_goes_on_from_what_was_there(void **state)
{
    struct pm_sparse x;
    unsigned label[ROWS];
    double weight[ROWS];
    float bias[CLASSES];
    struct pm_softmax_spec spec = toy_spec;
    (void)state;
    make_toy(&x, label, weight);
    float *w = fitted(&x, label, weight, 1, bias);
    spec.steps = 5;
    spec.rate = 1e-6;
    pm_fit_softmax(&x, label, weight, &spec, w, bias);
    for (size_t i = 0; i < ROWS; i++)
        assert_int_equal(best_class(&x, i, w, bias), label[i]);
    free(w);
    pm_sparse_release(&x);
}

static void no_rows_are_no_fault(void **state)
{
    struct pm_sparse x;
    float bias[CLASSES] = {0}, w[CLASSES << 2];
    (void)state;
    memset(w, 0, sizeof(w));
    pm_sparse_of(&tables, PM_RECIPE_GRAMS, 2, 1, 1, NULL, 0, &x);
    pm_fit_softmax(&x, NULL, NULL, &toy_spec, w, bias);
    for (size_t i = 0; i < COUNT(w); i++)
        assert_true(isfinite(w[i]));
    pm_fit_ridge(&x, NULL, 0, (double[1]){0}, 1, 10, w);
    pm_sparse_release(&x);
}

/* Three rows over four columns. */
static struct pm_sparse small_rows(void)
{
    static size_t start[] = {0, 2, 3, 5};
    static uint32_t column[] = {0, 1, 1, 0, 3};
    static float value[] = {1, 2, 1, 1, 1};
    return (struct pm_sparse){.n = 3, .start = start, .column = column, .value = value, .bits = 2};
}

static void ridge_is_the_closed_form(void **state)
{
    /* (X'X + I) w = X'y over columns 0, 1, 3 with y = (1, 2, 3):
     *   3 w0 + 2 w1 + w3 = 4,  2 w0 + 6 w1 = 4,  w0 + 2 w3 = 3
     * so w0 = (4 - 4/3 - 3/2) / (3 - 2/3 - 1/2) = (7/6) / (11/6) = 7/11, w1 = 2/3 - w0/3, w3 = (3 - w0) / 2. */
    static const double w0 = 7.0 / 11;
    static const size_t rows[] = {0, 1, 2};
    static const double y[] = {1, 2, 3};
    struct pm_sparse x = small_rows();
    float w[4] = {9, 9, 9, 9};
    (void)state;
    pm_fit_ridge(&x, rows, 3, y, 1, 20, w);
    assert_float_equal(w[0], (float)w0, 1e-5F);
    assert_float_equal(w[1], (float)(2.0 / 3 - w0 / 3), 1e-5F);
    assert_float_equal(w[2], 0, 1e-9F);
    assert_float_equal(w[3], (float)((3 - w0) / 2), 1e-5F);
}

static void ridge_takes_the_rows_it_is_given(void **state)
{
    static const size_t rows[] = {1};
    static const double y[] = {4};
    struct pm_sparse x = small_rows();
    float w[4];
    (void)state;
    pm_fit_ridge(&x, rows, 1, y, 3, 20, w);
    assert_float_equal(w[0], 0, 1e-9F);
    assert_float_equal(w[1], 1, 1e-5F); /* 4 / (1 + 3) */
    pm_fit_ridge(&x, rows, 1, (double[1]){0}, 3, 20, w);
    for (size_t i = 0; i < 4; i++)
        assert_float_equal(w[i], 0, 1e-9F);
}

static void quantised_weights_are_near(void **state)
{
    static const float w[] = {0.5F, -1, 0.001F, 0.25F, 1, 0, -0.7F, 0.3F};
    int8_t q[COUNT(w)] = {0};
    (void)state;
    float scale = pm_quantise(w, COUNT(w), 1, q);
    assert_int_equal(q[1], -127);
    assert_int_equal(q[4], 127);
    assert_int_equal(q[5], 0);
    for (size_t i = 0; i < COUNT(w); i++)
        assert_float_equal((float)q[i] * scale, w[i], scale / 2 + 1e-6F);
    /* every other one */
    int8_t apart[COUNT(w)] = {1, 2, 3, 4, 5, 6, 7, 8};
    scale = pm_quantise(w, COUNT(w) / 2, 2, apart);
    assert_float_equal(scale, 1 / 127.0F, 1e-6F);
    assert_true(apart[4] == 127 && apart[1] == 2 && apart[7] == 8);
    /* nothing but zeros */
    memset(q, 5, sizeof(q));
    static const float zeros[COUNT(w)] = {0};
    scale = pm_quantise(zeros, COUNT(w), 1, q);
    assert_true(isfinite(scale) && scale > 0);
    for (size_t i = 0; i < COUNT(w); i++)
        assert_int_equal(q[i], 0);
}

static void sparse_rows_are_normed_and_thinned(void **state)
{
    static const char *const texts[] = {"one two three", "one two", "", "one"};
    struct pm_sparse x;
    (void)state;
    pm_sparse_of(&tables, PM_RECIPE_GRAMS, 20, 1, 1, texts, 4, &x);
    assert_int_equal(x.n, 4);
    assert_int_equal(x.start[1], 6); /* three words, two pairs, one run of three */
    assert_int_equal(x.start[3], x.start[2]);
    for (size_t r = 0; r < 4; r++) {
        double sum = 0;
        for (size_t i = x.start[r]; i < x.start[r + 1]; i++) {
            sum += (double)x.value[i] * x.value[i];
            assert_true(x.column[i] < 1U << 20);
            assert_true(i == x.start[r] || x.column[i - 1] < x.column[i]);
        }
        assert_true(r == 2 ? sum == 0 : fabs(sum - 1) < 1e-5);
    }
    pm_sparse_release(&x);
    pm_sparse_of(&tables, PM_RECIPE_GRAMS, 20, 0, 2, texts, 4, &x);
    assert_int_equal(x.start[1], 3); /* one, two, and both */
    assert_int_equal(x.start[4] - x.start[3], 1);
    pm_sparse_release(&x);
    /* all in two buckets: they add up */
    pm_sparse_of(&tables, PM_RECIPE_GRAMS, 1, 0, 1, texts, 1, &x);
    assert_true(x.start[1] <= 2);
    assert_float_equal(x.value[0] + (x.start[1] > 1 ? x.value[1] : 0), 6, 1e-6F);
    pm_sparse_release(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_learns_what_can_be_told_apart),
        cmocka_unit_test(the_same_seed_gives_the_same_bytes),
        cmocka_unit_test(rows_without_weight_teach_nothing),
        cmocka_unit_test(it_goes_on_from_what_was_there),
        cmocka_unit_test(no_rows_are_no_fault),
        cmocka_unit_test(ridge_is_the_closed_form),
        cmocka_unit_test(ridge_takes_the_rows_it_is_given),
        cmocka_unit_test(quantised_weights_are_near),
        cmocka_unit_test(sparse_rows_are_normed_and_thinned),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
