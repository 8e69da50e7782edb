/* A prompt as features of a linear model: presence of words, of neighbours, of what the first words are, of marks such
 * as code and formulas have, hashed. Pure; nothing is allocated.
 *
 * What a feature is decides what weights mean: a change here is a new PM_TEXT_VERSION, and weights of another are
 * refused.
 */
#ifndef PM_LEARN_TEXT_H
#define PM_LEARN_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum { PM_TEXT_VERSION = 2, PM_TEXT_BYTES = 4000, PM_TEXT_HEAD = 400, PM_TEXT_TAIL = 150, PM_FEATURES_MAX = 4096 };

/* Which features: for a few broad classes; for many narrow ones; for difficulty. */
enum pm_recipe { PM_RECIPE_BROAD = 1, PM_RECIPE_NARROW, PM_RECIPE_GRAMS };

/* All zero before its first use. */
struct pm_features {
    unsigned n;
    uint64_t hash[PM_FEATURES_MAX];
    float value[PM_FEATURES_MAX];
    uint32_t places[2 * PM_FEATURES_MAX], round; /* where each hash is; of earlier rounds nothing counts */
};

/* Tables that the features are looked up in; made once, then constant. */
struct pm_text_tables {
    uint64_t words[1024]; /* of the word lists: hashes, open addressing */
    uint16_t lists[1024]; /* a bit for each list */
    uint64_t hints[64];   /* a bit for each hash in `words`: most words are in no list */
    uint8_t first[256];   /* longer marks that begin with that byte: index of the first, 0 none */
    uint8_t next[96];     /* and of the next one */
    uint8_t mark_len[96];
    uint8_t single[256];  /* marks of one byte */
    uint64_t pairs[1024]; /* a bit for each two bytes that a longer mark begins with */
    uint8_t plain[128];   /* of ASCII: the lower case letter or the digit, 0 for others */
};

void pm_text_tables_init(struct pm_text_tables *t);

/* The features of the first PM_TEXT_BYTES of a text; for the broad classes of its first PM_TEXT_HEAD and its last
 * PM_TEXT_TAIL bytes, where it has more. What is not UTF-8 is taken byte by byte. */
void pm_features_of(const struct pm_text_tables *t, enum pm_recipe recipe, const char *text, size_t len,
                    struct pm_features *out);

/* What makes word problems hard, as far as can be counted: numbers, words that relate them, sentences. */
struct pm_effort {
    unsigned numbers, relations, sentences;
    int has_choices; /* "A." and "B." at the beginning of lines: knowledge is asked for, not work */
};

void pm_effort_of(const struct pm_text_tables *t, const char *text, size_t len, struct pm_effort *out);

#endif
