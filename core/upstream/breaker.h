/* Circuit breaker of a target: after repeated failure it is left alone for a while.
 *
 * Pure: the caller brings the time. Defaults are in breaker.c.
 *
 *   closed --run of failures, or half of a window--> open --pause over--> probing --success--> closed
 *                                                      ^                     |
 *                                                      +------ failure ------+   the pause doubles, up to a cap
 */
#ifndef PM_UPSTREAM_BREAKER_H
#define PM_UPSTREAM_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

/* Lives in its owner; zero is a closed breaker. */
struct pm_breaker {
    bool open;
    unsigned run;           /* failures in a row */
    unsigned calls, failed; /* of the window */
    uint64_t window_ms;     /* its start */
    uint64_t pause_ms;      /* of this or the next opening */
    uint64_t probe_at_ms;   /* while open: when one call may try */
};

/* Milliseconds until a call may go; 0 now. Changes nothing. */
uint64_t pm_breaker_wait_ms(const struct pm_breaker *b, uint64_t now_ms);

/* Asks for leave for one call. While open, one call a pause gets it, as the probe. */
bool pm_breaker_allow(struct pm_breaker *b, uint64_t now_ms);

/* Somebody else has found it failing: left alone for `wait_ms`. */
void pm_breaker_open(struct pm_breaker *b, uint64_t now_ms, uint64_t wait_ms);

void pm_breaker_success(struct pm_breaker *b);

/* The target's fault: a refused malformed request is none. `slow`: the failure took its caller long. */
void pm_breaker_failure(struct pm_breaker *b, uint64_t now_ms, bool slow);

#endif
