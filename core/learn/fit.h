/* Fitting linear models to rows of features. Deterministic for a seed. */
#ifndef PM_LEARN_FIT_H
#define PM_LEARN_FIT_H

#include <stddef.h>
#include <stdint.h>

#include "core/learn/text.h"

/* Rows of features, sparse: row i has columns column[start[i]] to column[start[i + 1] - 1]. */
struct pm_sparse {
    size_t n;
    size_t *start;
    uint32_t *column;
    float *value;
    unsigned bits; /* columns are below 1 << bits */
};

/* The features of texts. `norm`: each row is divided by its length to that power; 0 leaves it. What fewer than
 * `least_rows` rows have is left out. */
void pm_sparse_of(const struct pm_text_tables *t, enum pm_recipe recipe, unsigned bits, double norm,
                  unsigned least_rows, const char *const *texts, size_t n, struct pm_sparse *out);
void pm_sparse_release(struct pm_sparse *x);

/* Softmax regression by AdaGrad (Duchi, Hazan, Singer 2011), rows drawn by weight, features dropped at random. */
struct pm_softmax_spec {
    unsigned classes, steps, runs; /* the weights are the mean of that many runs */
    double rate, drop, smooth;     /* learning rate; share of features left out in a step; label smoothing */
    double pull;                   /* towards what the weights were before */
    uint64_t seed;
};

/* `weights` is [1 << bits][classes], `bias` [classes]: what to begin with, then what was learnt. */
void pm_fit_softmax(const struct pm_sparse *x, const unsigned *label, const double *weight,
                    const struct pm_softmax_spec *spec, float *weights, float *bias);

/* Ridge regression: least |y - Xw|^2 + lambda |w|^2, by conjugate gradients on the rows' side. `w` is [1 << bits]. */
void pm_fit_ridge(const struct pm_sparse *x, const size_t *rows, size_t n, const double *y, double lambda,
                  unsigned iterations, float *w);

/* To int8 with one scale. */
float pm_quantise(const float *w, size_t n, size_t stride, int8_t *out);

#endif
