/* Switch scheduler: which profile to load, and what must go for it.
 *
 * A pure function of what is resident, who waits and what time it is; no I/O, so that it can be simulated. One switch
 * at a time. Requests for one profile are served as a batch: a profile that came up and is still wanted stays for
 * its residency, so that a fifth of the time at most goes into loading; then the oldest waiter has its way. What ends
 * a stay early is a waiter that would otherwise miss its bound (`due_ms`), or one of a more urgent class.
 */
#ifndef PM_MANAGER_SCHED_H
#define PM_MANAGER_SCHED_H

#include "core/manager/ledger.h"

enum pm_sched_state { PM_SCHED_OFF, PM_SCHED_LOADING, PM_SCHED_READY, PM_SCHED_DRAINING, PM_SCHED_STOPPING };

/* No waiter has a bound that could still be kept. */
#define PM_SCHED_NEVER_DUE UINT64_MAX

struct pm_sched_profile {
    enum pm_sched_state state;
    bool pinned;
    bool stale;   /* runs with an older configuration */
    bool blocked; /* off, and must not be loaded now (it failed a moment ago) */
    unsigned waiting, leases;
    unsigned rank;      /* class of its most urgent waiter, 0 goes first; meaningless when none waits */
    uint64_t oldest_ms; /* since when the oldest waits; meaningless when none does */
    uint64_t due_ms;    /* pm_sched_due of its waiters */
    uint64_t load_ms;   /* what a load takes */
    /* What its running requests will take yet, and one that is granted at the last moment; of one that is off: what
     * its first request would take. */
    uint64_t drain_ms;
    uint64_t ready_since_ms, last_used_ms;
    uint64_t residency_ms; /* stays at least this long while it is wanted, twice as long while others wait for it */
    uint64_t linger_ms;    /* its next request is likely within this time after the last one */
    double uses;           /* requests of late: what its next load would be worth */
    const struct pm_need *need;
};

enum pm_sched_what {
    PM_SCHED_NOTHING,
    PM_SCHED_LOAD,
    PM_SCHED_DRAIN,
    PM_SCHED_CANCEL, /* a load that nobody waits for any more, while somebody waits for another */
    PM_SCHED_NEVER_FITS
};

struct pm_sched_step {
    enum pm_sched_what what;
    size_t profile;
    uint64_t look_again_ms; /* a time at which the answer may change by itself, 0 for none */
};

/* The next step; called again after each. */
struct pm_sched_step pm_sched_next(const struct pm_capacity *cap, const struct pm_sched_profile *profiles, size_t n,
                                   uint64_t now_ms);

/* How long a profile whose load took `load_ms` stays while it is wanted: four loads, so that no more than a fifth of
 * the time goes into loading, whatever is asked for in whatever order. */
uint64_t pm_sched_residency(uint64_t load_ms);

/* How long an idle profile is worth waiting for, when its next request usually comes `gap_ms` after the last one
 * ended: as long as that costs less than loading it again. */
uint64_t pm_sched_linger(double gap_ms, uint64_t load_ms);

struct pm_sched_queue {
    const uint64_t *asked_ms; /* of each waiter, in the order of being served */
    size_t n;
    unsigned slots;
    uint64_t request_ms; /* what a request usually takes */
    uint64_t max_wait_ms;
};

/* The time at which a profile must be ready so that none of its waiters waits longer than the bound. Those that can
 * not be served in time any more do not count: a switch for them would be for nothing. */
uint64_t pm_sched_due(const struct pm_sched_queue *q, uint64_t load_ms, uint64_t now_ms);

#endif
