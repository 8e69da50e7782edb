#include "core/learn/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

enum { SAMPLES = 1000 };

const int pm_coverages[5] = {100, 90, 80, 70, 50};

uint64_t pm_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

/* How often each row stands in a sample drawn with replacement. */
static void draw(unsigned *count, size_t n, uint64_t *random)
{
    memset(count, 0, n * sizeof(*count));
    for (size_t i = 0; i < n; i++)
        count[pm_random(random) % n]++;
}

int pm_measure_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void interval(double *values, struct pm_figure *out)
{
    qsort(values, SAMPLES, sizeof(*values), pm_measure_order);
    out->low = values[SAMPLES / 40];
    out->high = values[SAMPLES - 1 - SAMPLES / 40];
}

/* --- weak and strong --- */

struct ranked {
    double score, weak, gap;
    size_t row;
};

static int by_score(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

struct curve {
    double apgr, cpt50, cpt80;
};

/* A straight piece of PGR from (c0, g0) to (c1, g1). */
static void crossing(double *cpt, double x, double c0, double g0, double c1, double g1)
{
    if (*cpt < 0 && g1 >= x)
        *cpt = g1 > g0 && g0 < x ? c0 + (c1 - c0) * (x - g0) / (g1 - g0) : c0;
}

/* `count` says how often each row counts, NULL for once. */
static void measure_curve(const struct ranked *r, const unsigned *count, size_t n, struct curve *out)
{
    double total = 0, gap = 0, c = 0, g = 0;
    *out = (struct curve){0, -1, -1};
    for (size_t i = 0; i < n; i++) {
        double k = count ? count[r[i].row] : 1;
        total += k;
        gap += k * r[i].gap;
    }
    for (size_t i = 0; i < n && total > 0 && gap != 0;) {
        double k = 0, sum = 0;
        size_t j = i;
        for (; j < n && r[j].score == r[i].score; j++) {
            double times = count ? count[r[j].row] : 1;
            k += times;
            sum += times * r[j].gap;
        }
        double c1 = c + k / total, g1 = g + sum / gap;
        out->apgr += (c1 - c) * (g + g1) / 2;
        crossing(&out->cpt50, 0.5, c, g, c1, g1);
        crossing(&out->cpt80, 0.8, c, g, c1, g1);
        c = c1;
        g = g1;
        i = j;
    }
    if (out->cpt50 < 0)
        out->cpt50 = 1;
    if (out->cpt80 < 0)
        out->cpt80 = 1;
}

void pm_measure_pair(const double *score, const double *weak, const double *strong, size_t n, uint64_t seed,
                     struct pm_pair_measure *out)
{
    struct ranked *r = pm_calloc(n + 1, sizeof(*r));
    unsigned *count = pm_calloc(n + 1, sizeof(*count));
    double *samples = pm_calloc(3 * SAMPLES, sizeof(*samples));
    struct curve curve;
    *out = (struct pm_pair_measure){0};
    for (size_t i = 0; i < n; i++) {
        r[i] = (struct ranked){score[i], weak[i], strong[i] - weak[i], i};
        out->weak += weak[i] / (double)n;
        out->strong += strong[i] / (double)n;
    }
    qsort(r, n, sizeof(*r), by_score);
    measure_curve(r, NULL, n, &curve);
    out->apgr.value = curve.apgr;
    out->cpt50.value = curve.cpt50;
    out->cpt80.value = curve.cpt80;
    for (size_t s = 0; s < SAMPLES && n; s++) {
        draw(count, n, &seed);
        measure_curve(r, count, n, &curve);
        samples[s] = curve.apgr;
        samples[SAMPLES + s] = curve.cpt50;
        samples[2 * SAMPLES + s] = curve.cpt80;
    }
    interval(samples, &out->apgr);
    interval(samples + SAMPLES, &out->cpt50);
    interval(samples + (size_t)2 * SAMPLES, &out->cpt80);
    free(samples);
    free(count);
    free(r);
}

/* --- one of several --- */

struct choice {
    double value, best_single, oracle;
    size_t best;
};

static void measure_once(const size_t *chosen, const double *quality, const unsigned *count, size_t n, size_t models,
                         double *sums, struct choice *out)
{
    double total = 0;
    *out = (struct choice){0};
    memset(sums, 0, models * sizeof(*sums));
    for (size_t i = 0; i < n; i++) {
        double k = count ? count[i] : 1, best = 0;
        const double *q = quality + i * models;
        for (size_t m = 0; m < models; m++) {
            sums[m] += k * q[m];
            best = q[m] > best ? q[m] : best;
        }
        total += k;
        out->value += k * q[chosen[i]];
        out->oracle += k * best;
    }
    for (size_t m = 1; m < models; m++)
        if (sums[m] > sums[out->best])
            out->best = m;
    out->value /= total;
    out->oracle /= total;
    out->best_single = sums[out->best] / total;
}

static double gap_closed(const struct choice *c)
{
    return c->oracle > c->best_single ? (c->value - c->best_single) / (c->oracle - c->best_single) : 0;
}

static double gain(const struct choice *c)
{
    return c->best_single > 0 ? c->value / c->best_single - 1 : 0;
}

void pm_measure_choice(const size_t *chosen, const double *quality, size_t n, size_t models, uint64_t seed,
                       struct pm_choice_measure *out)
{
    unsigned *count = pm_calloc(n + 1, sizeof(*count));
    double *sums = pm_calloc(models + 1, sizeof(*sums)), *samples = pm_calloc(3 * SAMPLES, sizeof(*samples));
    struct choice c = {0};
    *out = (struct pm_choice_measure){0};
    if (n && models) {
        measure_once(chosen, quality, NULL, n, models, sums, &c);
        out->best_single = c.best_single;
        out->best = c.best;
        out->oracle = c.oracle;
        out->value.value = c.value;
        out->gain.value = gain(&c);
        out->gap_closed.value = gap_closed(&c);
        for (size_t s = 0; s < SAMPLES; s++) {
            draw(count, n, &seed);
            measure_once(chosen, quality, count, n, models, sums, &c);
            samples[s] = c.value;
            samples[SAMPLES + s] = gain(&c);
            samples[2 * SAMPLES + s] = gap_closed(&c);
        }
        interval(samples, &out->value);
        interval(samples + SAMPLES, &out->gain);
        interval(samples + (size_t)2 * SAMPLES, &out->gap_closed);
    }
    free(samples);
    free(sums);
    free(count);
}

/* --- classes --- */

struct tally {
    double truth, said, both;
};

static void measure_tally(const size_t *truth, const size_t *said, const unsigned *count, size_t n, size_t classes,
                          struct tally *t, double *accuracy, double *macro_f1)
{
    double right = 0, total = 0, f1 = 0, present = 0;
    memset(t, 0, (classes + 1) * sizeof(*t));
    for (size_t i = 0; i < n; i++) {
        double k = count ? count[i] : 1;
        total += k;
        t[truth[i]].truth += k;
        t[said[i]].said += k;
        if (truth[i] == said[i]) {
            t[truth[i]].both += k;
            right += k;
        }
    }
    for (size_t c = 0; c < classes; c++) {
        if (t[c].truth <= 0)
            continue;
        present++;
        f1 += 2 * t[c].both / (t[c].truth + t[c].said);
    }
    *accuracy = total > 0 ? right / total : 0;
    *macro_f1 = present > 0 ? f1 / present : 0;
}

static void measure_coverage(const size_t *truth, const size_t *said, const double *confidence, size_t n, double *out)
{
    struct ranked *r = pm_calloc(n + 1, sizeof(*r));
    double right = 0;
    size_t at = 5;
    for (size_t i = 0; i < n; i++)
        r[i] = (struct ranked){.score = confidence[i], .gap = truth[i] == said[i], .row = i};
    qsort(r, n, sizeof(*r), by_score);
    for (size_t i = 0; i < n && at; i++) {
        right += r[i].gap;
        while (at && (i + 1) * 100 >= n * (size_t)pm_coverages[at - 1])
            out[--at] = right / (double)(i + 1);
    }
    free(r);
}

void pm_measure_classes(const size_t *truth, const size_t *said, const double *confidence, size_t n, size_t classes,
                        uint64_t seed, struct pm_class_measure *out)
{
    unsigned *count = pm_calloc(n + 1, sizeof(*count));
    struct tally *t = pm_calloc(classes + 1, sizeof(*t));
    double *samples = pm_calloc(2 * SAMPLES, sizeof(*samples));
    *out = (struct pm_class_measure){0};
    measure_tally(truth, said, NULL, n, classes, t, &out->accuracy.value, &out->macro_f1.value);
    for (size_t s = 0; s < SAMPLES && n; s++) {
        draw(count, n, &seed);
        measure_tally(truth, said, count, n, classes, t, &samples[s], &samples[SAMPLES + s]);
    }
    interval(samples, &out->accuracy);
    interval(samples + SAMPLES, &out->macro_f1);
    measure_coverage(truth, said, confidence, n, out->at_coverage);
    free(samples);
    free(t);
    free(count);
}
