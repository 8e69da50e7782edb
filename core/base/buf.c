#include "core/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

static char empty[1];

void pm_buf_init(struct pm_buf *b, size_t limit)
{
    *b = (struct pm_buf){.data = empty, .limit = limit};
}

void pm_buf_release(struct pm_buf *b)
{
    if (b->data != empty)
        free(b->data);
    pm_buf_init(b, b->limit);
}

void pm_buf_clear(struct pm_buf *b)
{
    b->len = 0;
    if (b->data != empty)
        b->data[0] = 0;
}

static void reserve(struct pm_buf *b, size_t need)
{
    if (b->cap > need)
        return;
    size_t cap = b->cap ? b->cap : 64;
    while (cap <= need)
        cap *= 2;
    b->data = pm_realloc(b->data == empty ? NULL : b->data, cap, 1);
    b->cap = cap;
}

void pm_buf_reserve(struct pm_buf *b, size_t len)
{
    len = len < b->limit ? len : b->limit;
    if (b->cap > len)
        return;
    b->data = pm_realloc(b->data == empty ? NULL : b->data, len + 1, 1);
    b->cap = len + 1;
    b->data[b->len] = 0;
}

int pm_buf_append(struct pm_buf *b, const void *data, size_t len)
{
    if (len > b->limit - b->len)
        return PM_ETOOBIG;
    if (!len)
        return PM_OK;
    reserve(b, b->len + len);
    memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
    return PM_OK;
}

void pm_buf_addn(struct pm_buf *b, const char *text, size_t len)
{
    size_t room = b->limit - b->len;
    if (pm_buf_append(b, text, len < room ? len : room) < 0)
        abort();
}

void pm_buf_add(struct pm_buf *b, const char *text)
{
    pm_buf_addn(b, text, strlen(text));
}

void pm_buf_addf(struct pm_buf *b, const char *fmt, ...)
{
    char small[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    if ((size_t)n < sizeof(small)) {
        pm_buf_addn(b, small, (size_t)n);
        return;
    }
    char *large = pm_calloc((size_t)n + 1, 1);
    va_start(ap, fmt);
    vsnprintf(large, (size_t)n + 1, fmt, ap);
    va_end(ap);
    pm_buf_addn(b, large, (size_t)n);
    free(large);
}

void pm_buf_cut(struct pm_buf *b, size_t len)
{
    if (len >= b->len)
        return;
    b->len = len;
    b->data[len] = 0;
}

void pm_buf_consume(struct pm_buf *b, size_t len)
{
    if (!len)
        return;
    if (len > b->len)
        abort();
    memmove(b->data, b->data + len, b->len - len);
    b->len -= len;
    b->data[b->len] = 0;
}

char *pm_buf_take(struct pm_buf *b)
{
    char *data = b->data == empty ? pm_calloc(1, 1) : b->data;
    b->data = empty;
    pm_buf_init(b, b->limit);
    return data;
}
