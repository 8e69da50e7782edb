#include "core/upstream/fetch.h"

#include <stdlib.h>

#include "core/base/alloc.h"
#include "core/base/buf.h"

enum { BODY_MAX = 1 << 20 };

struct pm_fetch {
    struct pm_loop *loop;
    struct pm_transfer *transfer;
    struct pm_timer limit;
    struct pm_buf body;
    char *question; /* the request's body */
    int status;
    void (*fn)(void *arg, int status, const char *body, size_t len);
    void *arg;
};

static void release(void *arg)
{
    struct pm_fetch *f = arg;
    pm_timer_release(&f->limit);
    pm_buf_release(&f->body);
    free(f->question);
    free(f);
}

static void head(void *arg, struct pm_transfer *t, int status)
{
    struct pm_fetch *f = arg;
    (void)t;
    f->status = status;
}

static bool data(void *arg, const char *bytes, size_t len)
{
    struct pm_fetch *f = arg;
    pm_buf_addn(&f->body, bytes, len);
    return true;
}

static void finish(struct pm_fetch *f, int status)
{
    f->transfer = NULL;
    pm_timer_clear(&f->limit);
    f->fn(f->arg, status, f->body.data, f->body.len);
    pm_loop_defer(f->loop, release, f);
}

static void done(void *arg, const struct pm_transfer_result *result)
{
    struct pm_fetch *f = arg;
    finish(f, result->end == PM_TRANSFER_OK ? f->status : 0);
}

static void too_late(void *arg)
{
    struct pm_fetch *f = arg;
    pm_transfer_cancel(f->transfer);
    finish(f, 0);
}

struct pm_fetch *pm_fetch_start(struct pm_upstream *up, struct pm_loop *loop, const struct pm_transfer_spec *spec,
                                uint64_t limit_ms, void (*fn)(void *arg, int status, const char *body, size_t len),
                                void *arg)
{
    static const struct pm_transfer_events events = {.head = head, .data = data, .done = done};
    struct pm_fetch *f = pm_calloc(1, sizeof(*f));
    f->loop = loop;
    f->fn = fn;
    f->arg = arg;
    pm_buf_init(&f->body, BODY_MAX);
    pm_timer_init(&f->limit, loop, too_late, f);
    pm_timer_set(&f->limit, limit_ms);
    struct pm_transfer_spec own = *spec;
    f->question = spec->body ? pm_strndup(spec->body, spec->len) : NULL;
    own.body = f->question;
    f->transfer = pm_transfer_start(up, &own, &events, f);
    return f;
}

void pm_fetch_cancel(struct pm_fetch *f)
{
    if (!f)
        return;
    pm_transfer_cancel(f->transfer);
    pm_timer_clear(&f->limit);
    pm_loop_defer(f->loop, release, f);
}
