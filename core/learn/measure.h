/* How good routing is, measured on rows whose outcome is known. Pure.
 *
 * Between a weak and a strong model: RouteLLM's measures (Ong et al., arXiv 2406.18665, section 3). Rows go to the
 * strong model in the order of their scores; PGR(c) is the part of the gap between the models' qualities that is
 * closed when a share c has gone there, APGR its mean over all c, CPT(x) the least c with PGR(c) >= x. Rows with equal
 * scores go together, as the mean over all their orders.
 */
#ifndef PM_LEARN_MEASURE_H
#define PM_LEARN_MEASURE_H

#include <stddef.h>
#include <stdint.h>

/* A figure and its 95 % interval. */
struct pm_figure {
    double value, low, high;
};

struct pm_pair_measure {
    struct pm_figure apgr, cpt50, cpt80; /* CPTs are shares; 1 where never reached */
    double weak, strong;                 /* mean qualities */
};

/* Of n rows; `weak` and `strong` are qualities, 0..1. Intervals by 1,000 bootstrap samples from `seed`. */
void pm_measure_pair(const double *score, const double *weak, const double *strong, size_t n, uint64_t seed,
                     struct pm_pair_measure *out);

/* One of several models for each row. */
struct pm_choice_measure {
    double best_single;          /* mean quality of the model that is best for all rows */
    size_t best;                 /* which */
    double oracle;               /* of the best model for each row */
    struct pm_figure value;      /* of the models chosen */
    struct pm_figure gain;       /* over the best single one, relative */
    struct pm_figure gap_closed; /* share of the way from the best single one to the oracle */
};

/* quality[i * models + m]; chosen[i] < models. */
void pm_measure_choice(const size_t *chosen, const double *quality, size_t n, size_t models, uint64_t seed,
                       struct pm_choice_measure *out);

/* Classes. */
struct pm_class_measure {
    struct pm_figure accuracy, macro_f1;
    double at_coverage[5]; /* accuracy of the surest 100, 90, 80, 70 and 50 % */
};

extern const int pm_coverages[5];

/* truth[i] and said[i] are below `classes`; said[i] may be `classes` for none. F1 counts the classes that the truth
 * has. */
void pm_measure_classes(const size_t *truth, const size_t *said, const double *confidence, size_t n, size_t classes,
                        uint64_t seed, struct pm_class_measure *out);

/* For qsort: doubles by their value. */
int pm_measure_order(const void *a, const void *b);

/* The generator that everything random here and in the training comes from: splitmix64 (Steele, Lea, Flood 2014). */
uint64_t pm_random(uint64_t *state);

#endif
