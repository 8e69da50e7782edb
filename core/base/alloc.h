/* Memory that never fails.
 *
 * Small objects only: out of memory ends the process here, in one place. What a client can make grow goes
 * into a struct pm_buf (core/base/buf.h), which has a limit. The only file that may call malloc and friends.
 */
#ifndef PM_BASE_ALLOC_H
#define PM_BASE_ALLOC_H

#include <stddef.h>

/* `n` zeroed elements of `size` bytes; the caller frees with free(). Never NULL. */
void *pm_calloc(size_t n, size_t size);

/* realloc() to `n` elements of `size` bytes; new bytes are not zeroed. Never NULL. */
void *pm_realloc(void *ptr, size_t n, size_t size);

/* A copy of the string; NULL stays NULL. */
char *pm_strdup(const char *s);

/* A NUL-terminated copy of `len` bytes. */
char *pm_strndup(const char *s, size_t len);

/* A formatted string of any length; the caller frees it. */
char *pm_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Frees `*p` and makes it NULL, so that a stale pointer cannot be used. */
#define PM_FREE_AND_NULL(p)                                                                                           \
    do {                                                                                                              \
        free(p);                                                                                                      \
        (p) = NULL;                                                                                                   \
    } while (0)

#endif
