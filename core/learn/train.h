/* Weights from labelled rows. Deterministic: the same rows and the same seed give the same bytes. */
#ifndef PM_LEARN_TRAIN_H
#define PM_LEARN_TRAIN_H

#include "core/learn/rows.h"

struct pm_train_options {
    uint64_t seed;
    const char *weak, *strong; /* the targets that `weak` and `strong` of the rows stand for */
    const char *base;          /* weights to begin with, NULL for none: what the rows do not teach stays theirs */
    bool (*used)(const void *arg, const struct pm_row *row, size_t i); /* NULL: all */
    const void *arg;
};

/* What was learnt, for people. */
struct pm_train_report {
    size_t labelled, labels, pairs, scored, models, topics;
    bool trusted; /* the head of the pair beat prompt length */
    size_t bytes;
};

/* Writes the file `out` (weights.h) as a whole or not at all. */
int pm_train(const struct pm_rows *rows, const struct pm_train_options *options, const char *out,
             struct pm_train_report *report, struct pm_error *err) PM_MUST;

#endif
