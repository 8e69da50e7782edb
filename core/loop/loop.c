#include "core/loop/loop.h"

#include <stdlib.h>

#include "core/base/alloc.h"
#include "core/base/log.h"

struct deferred {
    struct deferred *next;
    void (*fn)(void *arg);
    void *arg;
};

enum { SIGNALS_MAX = 8 };

struct pm_loop {
    struct event_base *base;
    struct deferred *first, **last;
    struct event *signals[SIGNALS_MAX];
    unsigned n_signals;
    bool stop;
};

struct pm_loop *pm_loop_new(void)
{
    struct pm_loop *loop = pm_calloc(1, sizeof(*loop));
    struct event_config *config = event_config_new();
    /* Turns are cheap: the cached time would make a timer that is set late in a turn fire too early. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!loop->base) {
        pm_log(PM_LOG_ERROR, "no event loop can be made");
        abort();
    }
    loop->last = &loop->first;
    return loop;
}

void pm_loop_settle(struct pm_loop *loop)
{
    while (loop->first) {
        struct deferred *d = loop->first;
        loop->first = d->next;
        if (!loop->first)
            loop->last = &loop->first;
        d->fn(d->arg);
        free(d);
    }
}

void pm_loop_free(struct pm_loop *loop)
{
    if (!loop)
        return;
    pm_loop_settle(loop);
    for (unsigned i = 0; i < loop->n_signals; i++)
        event_free(loop->signals[i]);
    event_base_free(loop->base);
    free(loop);
}

struct event_base *pm_loop_base(struct pm_loop *loop)
{
    return loop->base;
}

void pm_loop_run(struct pm_loop *loop)
{
    pm_loop_settle(loop);
    while (!loop->stop) {
        if (event_base_loop(loop->base, EVLOOP_ONCE) < 0)
            break;
        pm_loop_settle(loop);
    }
    loop->stop = false;
}

void pm_loop_stop(struct pm_loop *loop)
{
    loop->stop = true;
    event_base_loopbreak(loop->base);
}

void pm_loop_defer(struct pm_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct deferred *d = pm_calloc(1, sizeof(*d));
    d->fn = fn;
    d->arg = arg;
    *loop->last = d;
    loop->last = &d->next;
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
    struct pm_timer *t = arg;
    (void)fd;
    (void)what;
    t->fn(t->arg);
}

void pm_timer_init(struct pm_timer *t, struct pm_loop *loop, void (*fn)(void *arg), void *arg)
{
    t->fn = fn;
    t->arg = arg;
    t->event = event_new(loop->base, -1, 0, timer_fired, t);
    if (!t->event)
        abort();
}

void pm_timer_set(struct pm_timer *t, uint64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(t->event, &tv);
}

void pm_timer_clear(struct pm_timer *t)
{
    if (t->event)
        event_del(t->event);
}

bool pm_timer_is_set(const struct pm_timer *t)
{
    return t->event && event_pending(t->event, EV_TIMEOUT, NULL);
}

void pm_timer_release(struct pm_timer *t)
{
    if (t->event)
        event_free(t->event);
    t->event = NULL;
}

struct event *pm_loop_on_readable(struct pm_loop *loop, int fd, event_callback_fn fn, void *arg)
{
    struct event *ev = event_new(loop->base, fd, EV_READ | EV_PERSIST, fn, arg);
    if (!ev || event_add(ev, NULL) < 0)
        abort();
    return ev;
}

void pm_loop_on_signal(struct pm_loop *loop, int signo, event_callback_fn fn, void *arg)
{
    if (loop->n_signals == SIGNALS_MAX)
        abort();
    struct event *ev = evsignal_new(loop->base, signo, fn, arg);
    if (!ev || event_add(ev, NULL) < 0)
        abort();
    loop->signals[loop->n_signals++] = ev;
}
