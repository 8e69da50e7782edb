/* A file of learnt weights: sections of numbers behind a checked header, read in place from a copy in memory.
 *
 *   8 bytes "PMWEIGHT", u32 format, u32 sections, u64 bytes of the file, u64 checksum of all that follows the header
 *   a section: u32 kind, u32 n, char name[112], u64 offset, u64 bytes     (136-byte entries, one after the other)
 *   the sections' contents, each at a multiple of 64
 *
 * Numbers are little-endian, as the machines are that this runs on; a file from another one fails its checksum. A
 * content is what the structs below say, one array after the other, each at a multiple of 8.
 */
#ifndef PM_LEARN_WEIGHTS_H
#define PM_LEARN_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PM_WEIGHTS_FORMAT = 1, PM_WEIGHTS_MAX = 8 << 20, PM_NAME = 48, PM_LEARN_CLASSES_MAX = 256 };

enum pm_section_kind {
    PM_SECTION_CLASSES = 1, /* what a prompt asks for */
    PM_SECTION_HEAD,        /* which of two models it needs: NAME is "weak strong" */
    PM_SECTION_TABLE,       /* how good models are at topics */
    PM_SECTION_SIZES        /* how long prompts are */
};

/* Classes: with features x divided by |x| to the power of `norm`, the logit of class c is
 * bias[c] + scale[c] * sum of x * weight[bucket][c]. */
struct pm_classes {
    uint32_t n, bits, recipe; /* 1 << bits buckets; enum pm_recipe */
    int32_t outside;          /* the class that means "none of the others", or -1 */
    float norm;
    float sure; /* below this certainty it is not to be relied on */
    const char (*names)[PM_NAME];
    const float *bias, *scale;
    const int8_t *weights; /* [bucket][class] */
};

/* A head: score = slope * (ln(1 + bytes) - 5) + scale * sum of weight[bucket]. */
struct pm_head {
    uint32_t bits, labels; /* labels: how many rows it was learnt from */
    float slope, scale;
    uint32_t trusted, unused; /* trusted 0: it did not beat prompt length where it was tried */
    const float *quantiles;   /* PM_QUANTILES of the scores of its rows */
    const int8_t *weights;
};

enum { PM_QUANTILES = 101 };

/* A table: the quality of model m for a prompt is the sum over topics t of P(t) * (mean[t][m] + head), where the head,
 * with features x divided by |x|, is scale[t][m] * sum of x * weight[t][bucket][m]. P are the probabilities of the
 * classes of the same name. */
struct pm_table {
    uint32_t topics, models, bits, unused; /* bits 0: no heads */
    const char (*names)[PM_NAME];          /* of the models */
    const float *mean, *scale;             /* [topic][model] */
    const int8_t *weights;                 /* [topic][bucket][model] */
};

/* Sizes of prompts, for a difficulty that nobody has taught: of all prompts, and of those of `math`. */
struct pm_sizes {
    float log_bytes[PM_QUANTILES]; /* quantiles of ln(1 + bytes) */
    float mean[4], sd[4];          /* of math: ln(1 + bytes), ln(1 + numbers), ln(1 + relations), ln(1 + sentences) */
};

struct pm_weights;

/* Reads the file. NULL with a sentence in `why`: what is wrong with it. */
struct pm_weights *pm_weights_open(const char *path, char *why, size_t size);
void pm_weights_close(struct pm_weights *w);

/* The section of that kind and name (NULL: the first of the kind); false when there is none. What it points to is
 * valid while the weights are open. */
bool pm_weights_classes(const struct pm_weights *w, const char *name, struct pm_classes *out);
bool pm_weights_head(const struct pm_weights *w, const char *name, struct pm_head *out);
bool pm_weights_table(const struct pm_weights *w, const char *name, struct pm_table *out);
/* NULL when there is none. */
const struct pm_sizes *pm_weights_sizes(const struct pm_weights *w);

/* Its sections, one after the other; false after the last. */
bool pm_weights_section(const struct pm_weights *w, size_t i, enum pm_section_kind *kind, const char **name,
                        const void **data, size_t *len);

#endif
