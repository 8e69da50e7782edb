/* What weights say of a prompt. Pure; nothing is allocated. */
#ifndef PM_LEARN_SCORE_H
#define PM_LEARN_SCORE_H

#include "core/learn/text.h"
#include "core/learn/weights.h"

/* Probabilities of the classes, and the surest but the outside one; returns how certain that is: its probability, or,
 * where there is an outside class, ln P(class) - ln P(outside) / 2. `features` are of the classes' recipe. */
double pm_classes_score(const struct pm_classes *c, const struct pm_features *features, float *p, unsigned *best);

/* The higher, the more the prompt needs the strong model. `features` are PM_RECIPE_GRAMS. */
double pm_head_score(const struct pm_head *h, const struct pm_features *features, size_t bytes);

/* Where a value lies among PM_QUANTILES quantiles: strictly rising, within (0, 1). */
double pm_quantile(const float *quantiles, double value);

/* Qualities of the models, which are added to what stands in `quality`. `p` are the topics' probabilities, `features`
 * are PM_RECIPE_NARROW. */
void pm_table_score(const struct pm_table *t, const float *p, const struct pm_features *features, double *quality);

/* A score for a prompt that nobody has taught: its length, and of a mathematical one what has to be brought together.
 * `math` is the probability that it is one. In (0, 1), spread evenly over prompts of all kinds. */
double pm_size_score(const struct pm_sizes *s, const struct pm_effort *effort, size_t bytes, double math);

#endif
