/* What stands in a file of weights, for the reader and the writer. */
#ifndef PM_LEARN_WEIGHTS_PRIV_H
#define PM_LEARN_WEIGHTS_PRIV_H

#include "core/learn/weights.h"

enum { PM_FILE_ALIGN = 64, PM_FILE_SECTIONS = 64, PM_FILE_TITLE = 112 };

extern const char pm_file_magic[8];

struct pm_file_head {
    char magic[8];
    uint32_t format, sections;
    uint64_t size, sum;
};

struct pm_file_entry {
    uint32_t kind, unused;
    char name[PM_FILE_TITLE];
    uint64_t at, len;
};

/* What each content begins with; which number means what is the section's own affair. */
struct pm_file_fixed {
    uint32_t a, b, c, d;
    float e, f;
    uint32_t g, h;
};

/* Fletcher's idea with 64 bits: a sum, and a sum of the sums. Finds damage, not malice. */
uint64_t pm_weights_checksum(const void *data, size_t n);

#endif
