/* Small questions about texts. */
#ifndef PM_BASE_TEXT_H
#define PM_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

/* A list of owned strings. Zero-initialised is empty. */
struct pm_strv {
    char **items;
    size_t n;
};

void pm_strv_add(struct pm_strv *v, const char *s, size_t len);
void pm_strv_release(struct pm_strv *v);
bool pm_strv_has(const struct pm_strv *v, const char *s);

/* Splits at commas, trims blanks, leaves out what is empty. */
void pm_strv_split(struct pm_strv *v, const char *list);

/* The offset of the first byte that is not well-formed UTF-8 (RFC 3629), or -1. */
long pm_utf8_bad(const char *s, size_t len);

/* The word of `words` nearest to `word`, or NULL when none is near enough to be what was meant. */
const char *pm_nearest(const char *word, const char *const *words, size_t n);

/* `500ms`, `2s`, `30m`, `1h`, a bare number is seconds. */
int pm_duration_parse(const char *text, uint64_t *ms) PM_MUST;

/* A whole number or a decimal one within [least, most], nothing after it. */
int pm_int_parse(const char *text, long long least, long long most, long long *out) PM_MUST;
int pm_real_parse(const char *text, double least, double most, double *out) PM_MUST;

/* Does `text` match `pattern`, where `*` stands for any run of characters? Linear in both. */
bool pm_wildcard(const char *pattern, const char *text);

/* FNV-1a, 64 bit. For fingerprints, not for secrets. */
uint64_t pm_hash(const void *data, size_t len, uint64_t seed);
#define PM_HASH_SEED 14695981039346656037ULL

/* The same for long texts on one machine: eight bytes at a time, in its own byte order, and of the whole only. */
uint64_t pm_hash_long(const void *data, size_t len, uint64_t seed);

/* Whole file into `*out` (the caller frees), at most `limit` bytes. */
int pm_file_read(const char *path, size_t limit, char **out, size_t *len, struct pm_error *err) PM_MUST;

/* Writes beside the file and renames, so that a reader sees the old or the new content, mode 0600. */
int pm_file_write(const char *path, const char *data, size_t len, struct pm_error *err) PM_MUST;

#endif
