/* What every fuzz target includes. A target is one function: bytes in, nothing out; what must hold whatever the
 * bytes are is checked in it, and a breach ends the process. libFuzzer calls it (tools/fuzz.sh), or replay.c. */
#ifndef PM_TESTS_FUZZ_FUZZ_H
#define PM_TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition, ...)                                                                                         \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                                           \
            fprintf(stderr, __VA_ARGS__);                                                                             \
            fprintf(stderr, " (broken: %s)\n", #condition);                                                           \
            abort();                                                                                                  \
        }                                                                                                             \
    } while (0)

/* A copy that ends where its block ends, so that a read beyond it is seen; with `zero` a NUL follows. */
static inline char *fuzz_copy(const void *data, size_t size, int zero)
{
    char *copy = malloc(size + (zero || !size));
    CHECK(copy, "out of memory");
    memcpy(copy, data, size);
    if (zero)
        copy[size] = 0;
    return copy;
}

/* Lengths of pieces that depend on the bytes alone, so that a crash can be repeated. */
static inline size_t fuzz_piece(uint32_t *state, size_t left, size_t most)
{
    *state = *state * 1664525u + 1013904223u;
    size_t n = 1 + (*state >> 16) % most;
    return n < left ? n : left;
}

#endif
