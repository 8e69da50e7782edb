/* Server-sent events (WHATWG HTML, 9.2): a reader that works at any byte split, and a writer. Pure. */
#ifndef PM_HTTP_SSE_H
#define PM_HTTP_SSE_H

#include "core/base/buf.h"

enum { PM_SSE_EVENT_MAX = 16 << 20 };

/* One event as it came: `raw` with its empty line, `name` of the `event:` field or "", `data` of the `data:` fields
 * joined by line feeds. Valid only during the call. */
struct pm_sse_event {
    const char *raw;
    size_t raw_len;
    const char *name;
    const char *data;
    size_t data_len;
};

struct pm_sse_reader {
    struct pm_buf pending; /* bytes of the event that is not yet whole */
    size_t scanned;
};

void pm_sse_reader_init(struct pm_sse_reader *r);
void pm_sse_reader_release(struct pm_sse_reader *r);

/* Calls fn for each event that is whole now. Comments come as events without data. PM_ETOOBIG when one event passes
 * PM_SSE_EVENT_MAX. */
int pm_sse_feed(struct pm_sse_reader *r, const char *bytes, size_t len,
                void (*fn)(void *arg, const struct pm_sse_event *event), void *arg) PM_MUST;

/* Appends an event; no name for "". `data` is one line. */
void pm_sse_write(struct pm_buf *out, const char *name, const char *data, size_t len);

#endif
