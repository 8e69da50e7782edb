#include "core/http/sse.h"

#include <stdbool.h>
#include <string.h>

void pm_sse_reader_init(struct pm_sse_reader *r)
{
    pm_buf_init(&r->pending, PM_SSE_EVENT_MAX);
    r->scanned = 0;
}

void pm_sse_reader_release(struct pm_sse_reader *r)
{
    pm_buf_release(&r->pending);
}

/* Length of the line at `s` with its end (LF, CR LF or CR), 0 when it is not whole. A CR that is last may be half a
 * CR LF. */
static size_t line_length(const char *s, size_t len, size_t *text)
{
    size_t i = 0;
    while (i < len && s[i] != '\n' && s[i] != '\r')
        i++;
    *text = i;
    if (i == len || (s[i] == '\r' && i + 1 == len))
        return 0;
    return s[i] == '\r' && s[i + 1] == '\n' ? i + 2 : i + 1;
}

static bool field(const char *line, size_t len, const char *name, struct pm_buf *out, bool join)
{
    size_t n = strlen(name);
    if (len < n || memcmp(line, name, n) != 0 || (len > n && line[n] != ':'))
        return false;
    const char *value = line + n + (len > n);
    size_t value_len = len - n - (len > n);
    if (value_len && *value == ' ') {
        value++;
        value_len--;
    }
    if (join)
        pm_buf_addn(out, "\n", 1);
    else
        pm_buf_clear(out);
    pm_buf_addn(out, value, value_len);
    return true;
}

static void deliver(const char *raw, size_t raw_len, void (*fn)(void *arg, const struct pm_sse_event *event),
                    void *arg)
{
    struct pm_buf name, data;
    bool has_data = false;
    pm_buf_init(&name, 256);
    pm_buf_init(&data, PM_SSE_EVENT_MAX);
    for (size_t at = 0, n, text; at < raw_len; at += n) {
        n = line_length(raw + at, raw_len - at, &text);
        if (!n)
            n = raw_len - at;
        field(raw + at, text, "event", &name, false);
        has_data |= field(raw + at, text, "data", &data, has_data);
    }
    struct pm_sse_event event = {
        .raw = raw, .raw_len = raw_len, .name = name.data, .data = data.data, .data_len = data.len};
    fn(arg, &event);
    pm_buf_release(&name);
    pm_buf_release(&data);
}

int pm_sse_feed(struct pm_sse_reader *r, const char *bytes, size_t len,
                void (*fn)(void *arg, const struct pm_sse_event *event), void *arg)
{
    if (pm_buf_append(&r->pending, bytes, len) < 0)
        return PM_ETOOBIG;
    size_t start = 0, at = r->scanned, n, text;
    while ((n = line_length(r->pending.data + at, r->pending.len - at, &text))) {
        at += n;
        if (text)
            continue;
        deliver(r->pending.data + start, at - start, fn, arg);
        start = at;
    }
    pm_buf_consume(&r->pending, start);
    r->scanned = at - start;
    return PM_OK;
}

void pm_sse_write(struct pm_buf *out, const char *name, const char *data, size_t len)
{
    if (*name)
        pm_buf_addf(out, "event: %s\n", name);
    pm_buf_add(out, "data: ");
    pm_buf_addn(out, data, len);
    pm_buf_add(out, "\n\n");
}
