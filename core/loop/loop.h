/* The event loop: libevent's base, and the rules that every callback lives by.
 *
 * One loop a process, one thread. Callbacks are short, never block and never free the object that called
 * them: what must go is handed to pm_loop_defer, which runs it at the end of the turn, when no callback of it
 * can be pending any more.
 */
#ifndef PM_LOOP_LOOP_H
#define PM_LOOP_LOOP_H

#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct pm_loop;

/* Never NULL: a process without a loop has nothing to do and ends. */
struct pm_loop *pm_loop_new(void);
void pm_loop_free(struct pm_loop *loop);

/* For libevent's own objects: listeners and bufferevents. */
struct event_base *pm_loop_base(struct pm_loop *loop);

/* Turns until pm_loop_stop; may be run again after that. */
void pm_loop_run(struct pm_loop *loop);
void pm_loop_stop(struct pm_loop *loop);

/* Calls fn(arg) at the end of this turn. */
void pm_loop_defer(struct pm_loop *loop, void (*fn)(void *arg), void *arg);

/* Runs what has been deferred now: for an orderly end, outside the loop. */
void pm_loop_settle(struct pm_loop *loop);

/* A timer that fires once each time it is set. Lives in its owner; a timer that is pending is not freed. */
struct pm_timer {
    struct event *event;
    void (*fn)(void *arg);
    void *arg;
};

void pm_timer_init(struct pm_timer *t, struct pm_loop *loop, void (*fn)(void *arg), void *arg);
void pm_timer_set(struct pm_timer *t, uint64_t ms);
void pm_timer_clear(struct pm_timer *t);
bool pm_timer_is_set(const struct pm_timer *t);
void pm_timer_release(struct pm_timer *t);

/* Calls fn(arg) when the descriptor is readable. The descriptor stays the caller's. */
struct event *pm_loop_on_readable(struct pm_loop *loop, int fd, event_callback_fn fn, void *arg);

/* Calls fn on the signal, on the loop. Freed with the loop. */
void pm_loop_on_signal(struct pm_loop *loop, int signo, event_callback_fn fn, void *arg);

#endif
