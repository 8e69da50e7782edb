/* Growable bytes with a limit, always NUL-terminated.
 *
 * `data` is never NULL and data[len] is 0, so that a buffer of text can be used as a C string. The limit is
 * given at birth: an append that would pass it changes nothing and fails.
 */
#ifndef PM_BASE_BUF_H
#define PM_BASE_BUF_H

#include <stddef.h>

#include "core/base/error.h"

struct pm_buf {
    char *data;
    size_t len;
    size_t cap;
    size_t limit;
};

/* For texts whose size only our own configuration decides. */
#define PM_BUF_OWN_LIMIT ((size_t)64 << 20)

void pm_buf_init(struct pm_buf *b, size_t limit);

/* Frees the bytes; the buffer is as after pm_buf_init. */
void pm_buf_release(struct pm_buf *b);

/* Forgets the content, keeps the memory. */
void pm_buf_clear(struct pm_buf *b);

/* PM_ETOOBIG when the limit would be passed; the buffer is then unchanged. */
int pm_buf_append(struct pm_buf *b, const void *data, size_t len) PM_MUST;

/* Makes room for `len` bytes in all, within the limit, so that growing there copies nothing. */
void pm_buf_reserve(struct pm_buf *b, size_t len);

/* For texts of our own making, within PM_BUF_OWN_LIMIT: passing the limit cuts the text short. */
void pm_buf_add(struct pm_buf *b, const char *text);
void pm_buf_addn(struct pm_buf *b, const char *text, size_t len);
void pm_buf_addf(struct pm_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Keeps the first `len` bytes. */
void pm_buf_cut(struct pm_buf *b, size_t len);

/* Removes the first `len` bytes. */
void pm_buf_consume(struct pm_buf *b, size_t len);

/* The bytes, which the caller now owns and frees; the buffer is empty. */
char *pm_buf_take(struct pm_buf *b);

#endif
