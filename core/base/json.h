/* JSON: a strict, bounded check of the bytes, and small helpers over cJSON.
 *
 * cJSON is lenient (trailing garbage, control characters, repeated keys) and keeps no offsets. So bytes from
 * outside pass pm_json_scan first, which also tells where the top-level members stand: a relay that must
 * change one value edits the bytes there and leaves every other byte as it came.
 */
#ifndef PM_BASE_JSON_H
#define PM_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"

enum { PM_JSON_DEPTH = 200, PM_JSON_MEMBERS = 64 };

/* A member of the top-level object; offsets into the scanned text. The key is without its quotes. */
struct pm_json_member {
    size_t key, key_len;
    size_t value, value_len;
};

struct pm_json_spans {
    struct pm_json_member members[PM_JSON_MEMBERS];
    size_t n;
};

/* Checks that `text` is one JSON value as RFC 8259 has it, in UTF-8, nested at most PM_JSON_DEPTH deep, and
 * notes the members when it is an object (`spans` may be NULL). A key that stands twice at the top is
 * refused, since two readers would read two different values, and so is one spelled with escapes. The error names the
 * offset. */
int pm_json_scan(const char *text, size_t len, struct pm_json_spans *spans, struct pm_error *err) PM_MUST;

/* The member called `key`, or NULL. */
const struct pm_json_member *pm_json_span(const struct pm_json_spans *spans, const char *text, const char *key);

/* A value inside a text; `text` is NULL when there is none. */
struct pm_json_value {
    const char *text;
    size_t len;
};

enum { PM_JSON_KEYS = 12 };

/* Of an array's text that has passed pm_json_scan: calls fn for each element with its first character, and the values
 * of the members called `keys` (at most PM_JSON_KEYS, the first of each name, compared without their escapes) when it
 * is an object. One pass, nothing is copied. */
void pm_json_each(const char *text, size_t len, const char *const *keys, size_t n,
                  void (*fn)(void *arg, char first, const struct pm_json_value *values), void *arg);

/* The same of one object's text: the values of its members called `keys`, into `values`, which are zero. */
void pm_json_members(const char *text, size_t len, const char *const *keys, size_t n, struct pm_json_value *values);

/* The texts of an array's elements, or of an object's members with their keys: at most `max`; how many there are. The
 * text has passed pm_json_scan. */
size_t pm_json_elements(const char *text, size_t len, struct pm_json_value *out, size_t max);

/* For qsort: by their bytes, the shorter first. */
int pm_json_value_order(const void *a, const void *b);

/* Is the value a string of that word, which has nothing to escape? */
bool pm_json_is(const struct pm_json_value *v, const char *word);

/* Scan and parse; the caller frees with cJSON_Delete. NULL with `err` filled. */
cJSON *pm_json_parse(const char *text, size_t len, struct pm_error *err);

/* Member access that forgives what is missing: NULL, `fallback`. */
const char *pm_json_str(const cJSON *object, const char *key);
double pm_json_num(const cJSON *object, const char *key, double fallback);
bool pm_json_true(const cJSON *object, const char *key);
const cJSON *pm_json_get(const cJSON *object, const char *key);

/* Appends `text` as a JSON string with its quotes. What is not UTF-8 becomes U+FFFD. */
void pm_json_quote(struct pm_buf *out, const char *text, size_t len);

/* The document as text, which the caller frees. */
char *pm_json_text(const cJSON *item);

#endif
