/* Switch scheduler: which profile to load, and what must go for it.
 *
 * A pure function of what is resident, who waits and what time it is; no I/O. One switch at a time; the oldest waiter
 * decides what is loaded next; a profile that is busy is drained, not cut; one that came up a moment ago and is
 * still wanted stays for its minimum residency, so that two agents on two models do not thrash.
 */
#ifndef PM_MANAGER_SCHED_H
#define PM_MANAGER_SCHED_H

#include "core/manager/ledger.h"

enum pm_sched_state { PM_SCHED_OFF, PM_SCHED_MOVING, PM_SCHED_READY, PM_SCHED_DRAINING };

struct pm_sched_profile {
    enum pm_sched_state state; /* MOVING: loading or stopping */
    bool pinned;
    bool stale;   /* runs with an older configuration */
    bool blocked; /* off, and must not be loaded now (it failed a moment ago) */
    unsigned waiting, leases;
    uint64_t oldest_ms; /* since when the oldest waits; meaningless when none does */
    uint64_t ready_since_ms, last_used_ms;
    uint64_t residency_ms; /* stays at least this long while it is wanted */
    const struct pm_need *need;
};

enum pm_sched_what { PM_SCHED_NOTHING, PM_SCHED_LOAD, PM_SCHED_DRAIN, PM_SCHED_NEVER_FITS };

struct pm_sched_step {
    enum pm_sched_what what;
    size_t profile;
    uint64_t look_again_ms; /* a time at which the answer may change by itself, 0 for none */
};

/* The next step; called again after each. */
struct pm_sched_step pm_sched_next(const struct pm_capacity *cap, const struct pm_sched_profile *profiles, size_t n,
                                   uint64_t now_ms);

#endif
