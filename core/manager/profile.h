/* Profiles and their leases: what the files that move them share.
 *
 *   profile.c  states; runs the scheduler
 *   load.c     the steps of a load and of an unload
 *   lease.c    requests for slots
 *   health.c   servers that hang, servers that had not enough memory
 *   memory.c   what the devices have and what the profiles need
 *   fit.c      what llama.cpp itself says that they need
 *   warm.c     reading ahead what is likely to be loaded next
 */
#ifndef PM_MANAGER_PROFILE_H
#define PM_MANAGER_PROFILE_H

#include "core/channel/channel.h"
#include "core/conf/conf.h"
#include "core/manager/devices.h"
#include "core/manager/hook.h"
#include "core/manager/kv.h"
#include "core/manager/ledger.h"
#include "core/manager/measure.h"
#include "core/manager/server.h"

struct pm_manager;
struct pm_worker;

/* off -> loading -> ready -> draining -> stopping -> off
 *           \________\_________\___________> failed -> loading ...   (pm_profile_enter is the only door) */
enum pm_profile_state { PM_OFF, PM_LOADING, PM_READY, PM_DRAINING, PM_STOPPING, PM_FAILED };

/* Where a load or an unload is. */
enum pm_step {
    PM_STEP_NONE,
    PM_STEP_ON_LOAD,
    PM_STEP_MEMORY,
    PM_STEP_SERVER,
    PM_STEP_STRANGERS,
    PM_STEP_SAVE,
    PM_STEP_ON_UNLOAD
};

struct pm_profile {
    struct pm_manager *m;
    struct pm_profile *next;
    char *id;
    const struct pm_target *conf; /* in the manager's configuration; NULL once it has been removed from there */
    enum pm_profile_state state;
    struct pm_server *server;
    struct pm_server_paths paths;
    struct pm_need need;
    uint64_t command; /* fingerprint of what runs */
    unsigned run;     /* number of the current server process, so that leases of an older one are known */
    unsigned leases, waiting;
    long long slots;
    struct pm_server_props props;
    bool has_props;
    bool has_spoken; /* its present server has written a line */
    uint64_t state_since_ms;
    int pin_by_hand; /* 1 and -1: until the next start, whatever the configuration says */
    bool wanted;     /* asked for by hand or PRELOAD; counts as a waiter */
    uint64_t wanted_since_ms;
    uint64_t load_start_us, ready_since_ms, last_used_ms, retry_at_ms, drain_start_ms;
    uint64_t suspect_until_ms; /* a worker could not reach it: no slot is given until it is known whether it lives */
    double load_ms;            /* of the last load, 0 not known */
    double prompt_tps, output_tps; /* measured, 0 not known */
    unsigned loads, failures;      /* failures in a row */
    double request_ms;             /* what a request holds its slot for, usually; 0 not known */
    double gap_ms;                 /* between the end of the last request and the next, usually; 0 not known */
    double uses;                   /* requests of late, decayed */
    uint64_t uses_at_ms;
    struct pm_kv *kv;
    uint64_t conf_command;     /* fingerprint of what the configuration wants to run */
    double assumed_load_ms;    /* of a load that was never measured */
    uint64_t fit_asked;        /* the command for which llama-fit-params has been asked */
    struct pm_measure measure; /* what the log of the present server tells of its memory */
    enum pm_step step;
    struct pm_hook *hook;
    struct pm_timer step_timer;
    uint64_t step_since_ms;
    double progress;    /* of the load, 0 to 1, where it can be told */
    bool alone;         /* it ran out of memory beside others: next time without them */
    char *on_unload;    /* to be run once it is unloaded: as it was configured when it was loaded */
    bool is_warm;       /* its file was read ahead since its last load */
    bool has_strangers; /* an earlier manager's workers may still be streaming from it */
    bool is_probed;     /* it is being asked for a sign of life */
    char reason[512];   /* of the last failure or state */
    const char *cause;  /* of the switch under way, for the metric */
};

struct pm_lease {
    struct pm_lease *next; /* in the manager's list, oldest first */
    struct pm_worker *worker;
    uint32_t id;
    struct pm_profile *profile;
    bool granted;
    unsigned run;
    unsigned rank; /* enum pm_rank */
    uint64_t conversation;
    uint64_t asked_ms, granted_ms;
};

/* profile.c */
void pm_profiles_sync(struct pm_manager *m);
void pm_profiles_schedule(struct pm_manager *m);
void pm_profiles_tick(void *manager);
void pm_profiles_stop_all(struct pm_manager *m);
bool pm_profiles_all_off(const struct pm_manager *m);
void pm_profiles_free(struct pm_manager *m);
struct pm_profile *pm_profile_find(const struct pm_manager *m, const char *id);
const char *pm_profile_state_name(enum pm_profile_state s);
void pm_profile_want(struct pm_profile *p);
/* Lets its requests finish and stops it. */
void pm_profile_unload(struct pm_profile *p, const char *cause);
/* It never has to make room for another, and its time does not run out. */
bool pm_profile_is_pinned(const struct pm_profile *p);
void pm_profile_pin(struct pm_profile *p, bool on);
double pm_profile_expected_load_ms(const struct pm_profile *p);
void pm_profile_observe(const struct pm_profile *p, const char *metric, double seconds);
/* Steps of load.c report here. */
void pm_profile_load_failed(struct pm_profile *p, const char *why);
void pm_profile_off(struct pm_profile *p);
void pm_profile_stopping(struct pm_profile *p);
extern const struct pm_server_events pm_profile_server_events;
struct pm_server_spec pm_profile_server_spec(struct pm_profile *p);
/* The scheduler is to look again then at the latest. */
void pm_profiles_look_again(struct pm_manager *m, uint64_t at_ms);

/* load.c */
void pm_load_begin(struct pm_profile *p);
/* ON_UNLOAD is to follow. */
void pm_load_owe(struct pm_profile *p);
/* Ends a load or stops the server, whatever the step; pm_profile_off follows. */
void pm_unload_begin(struct pm_profile *p);
/* The server has ended as it should: what comes after that. */
void pm_unload_end(struct pm_profile *p);
/* It has failed: ON_UNLOAD follows on every ON_LOAD. The next load waits for it. */
void pm_load_undo(struct pm_profile *p);
void pm_load_release(struct pm_profile *p);

/* fit.c */
void pm_fit_look(struct pm_manager *m);
void pm_fit_stop(struct pm_manager *m);

/* warm.c */
void pm_warm_look(struct pm_manager *m);
void pm_warm_stop(struct pm_manager *m);

/* health.c */
void pm_health_stalled(struct pm_worker *w, const struct pm_msg *msg);
/* A worker could not reach its server: no slot is given until it is known whether it lives. */
void pm_health_suspect(struct pm_profile *p);
/* A load ran out of memory. True: it is worth another try, which the caller begins; false with the reason in `why`. */
bool pm_health_out_of_memory(struct pm_profile *p, const char *said, char *why, size_t size);

/* memory.c */
void pm_memory_init(struct pm_manager *m);
void pm_memory_release(struct pm_manager *m);
/* Capacity as it is now: what there is, without what strangers hold. */
void pm_memory_refresh(struct pm_manager *m);
void pm_memory_need(struct pm_profile *p);
/* Is as much free as the profile needs, as far as that can be measured? */
bool pm_memory_is_free(const struct pm_manager *m, const struct pm_profile *p);
void pm_memory_measured(struct pm_profile *p);
/* The devices as they are now; none where that is not measured, or [manager] DEVICES says what there is. */
size_t pm_memory_read(const struct pm_manager *m, struct pm_device seen[PM_DEVICES_MAX]);

/* lease.c */
void pm_lease_ask(struct pm_worker *w, const struct pm_msg *msg);
void pm_lease_cancel(struct pm_worker *w, uint32_t id);
void pm_lease_done(struct pm_worker *w, const struct pm_msg *msg);
void pm_leases_of_worker_end(struct pm_worker *w);
void pm_leases_grant(struct pm_profile *p);
struct pm_lease *pm_lease_find(const struct pm_manager *m, const struct pm_worker *w, uint32_t id);
void pm_leases_deny(struct pm_profile *p, enum pm_deny why, unsigned retry_after_s, const char *reason);
/* Denies what has waited longer than that. */
void pm_leases_expire(struct pm_manager *m, uint64_t max_wait_ms);

struct pm_waiters {
    uint64_t oldest_ms;
    unsigned rank;
    uint64_t due_ms; /* pm_sched_due */
};

/* What a request usually holds its slot for. */
double pm_lease_usual_ms(const struct pm_profile *p);

/* Meaningless when nobody waits. */
struct pm_waiters pm_leases_waiters(const struct pm_profile *p, uint64_t now_ms);

#endif
