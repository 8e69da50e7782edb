#include "core/upstream/breaker.h"

enum {
    RUN_MAX = 5,
    WINDOW_CALLS = 10,
    WINDOW_PERCENT = 50,
    WINDOW_MS = 30000,
    PAUSE_FIRST_MS = 10000,
    PAUSE_MAX_MS = 20000,      /* a probe of one that fails at once costs little: it is soon found when it is back */
    PAUSE_MAX_SLOW_MS = 120000 /* one that is silent costs its caller the whole deadline */
};

uint64_t pm_breaker_wait_ms(const struct pm_breaker *b, uint64_t now_ms)
{
    return b->open && now_ms < b->probe_at_ms ? b->probe_at_ms - now_ms : 0;
}

bool pm_breaker_allow(struct pm_breaker *b, uint64_t now_ms)
{
    if (pm_breaker_wait_ms(b, now_ms))
        return false;
    /* A probe whose caller leaves reports nothing: the next may go a pause later. */
    if (b->open)
        b->probe_at_ms = now_ms + b->pause_ms;
    return true;
}

static void count_failure(struct pm_breaker *b, uint64_t now_ms)
{
    if (now_ms - b->window_ms > WINDOW_MS) {
        b->window_ms = now_ms;
        b->calls = b->failed = 0;
    }
    b->calls++;
    b->failed++;
}

void pm_breaker_open(struct pm_breaker *b, uint64_t now_ms, uint64_t wait_ms)
{
    b->open = true;
    b->pause_ms = wait_ms > PAUSE_FIRST_MS ? wait_ms : PAUSE_FIRST_MS;
    b->probe_at_ms = now_ms + wait_ms;
}

void pm_breaker_success(struct pm_breaker *b)
{
    if (b->open) {
        *b = (struct pm_breaker){0};
        return;
    }
    b->run = 0;
    b->calls++;
}

void pm_breaker_failure(struct pm_breaker *b, uint64_t now_ms, bool slow)
{
    count_failure(b, now_ms);
    b->run++;
    uint64_t most = slow ? PAUSE_MAX_SLOW_MS : PAUSE_MAX_MS;
    bool too_many = b->run >= RUN_MAX || (b->calls >= WINDOW_CALLS && b->failed * 100 >= b->calls * WINDOW_PERCENT);
    if (!b->open && !too_many)
        return;
    if (!b->open)
        b->pause_ms = PAUSE_FIRST_MS;
    else
        b->pause_ms = b->pause_ms * 2 < most ? b->pause_ms * 2 : most;
    b->open = true;
    b->probe_at_ms = now_ms + b->pause_ms;
}
