/* What the files of the manager share.
 *
 *   serve.c    start, configuration, signals, end
 *   workers.c  worker processes and generations of configuration
 *   profile.c  states of the profiles; runs the scheduler
 *   lease.c    requests for slots
 *   control.c  the control socket, and questions that workers hand on
 *   status.c   what is told about all of it
 */
#ifndef PM_MANAGER_MANAGER_PRIV_H
#define PM_MANAGER_MANAGER_PRIV_H

#include "core/base/json.h"
#include "core/base/metrics.h"
#include "core/channel/channel.h"
#include "core/conf/conf.h"
#include "core/loop/files.h"
#include "core/manager/ledger.h"
#include "core/manager/manager.h"
#include "core/manager/server.h"

/* off -> loading -> ready -> draining -> stopping -> off
 *           \________\_________\___________> failed -> loading ...   (pm_profile_enter is the only door) */
enum pm_profile_state { PM_OFF, PM_LOADING, PM_READY, PM_DRAINING, PM_STOPPING, PM_FAILED };

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
    bool wanted; /* asked for by hand or PRELOAD; counts as a waiter */
    uint64_t wanted_since_ms;
    uint64_t load_start_us, ready_since_ms, last_used_ms, retry_at_ms, drain_start_ms;
    uint64_t suspect_until_ms; /* a worker could not reach it: no slot is given until it is known whether it lives */
    double load_ms;            /* of the last load, 0 not known */
    double prompt_tps, output_tps; /* measured, 0 not known */
    unsigned loads, failures;      /* failures in a row */
    char reason[512];              /* of the last failure or state */
    const char *cause;             /* of the switch under way, for the metric */
};

struct pm_lease {
    struct pm_lease *next; /* in the manager's list, oldest first */
    struct pm_worker *worker;
    uint32_t id;
    struct pm_profile *profile;
    bool granted;
    unsigned run;
    uint64_t asked_ms, granted_ms;
};

struct pm_generation {
    unsigned number;
    unsigned users;
    struct pm_bundle *bundle;
    struct pm_conf *conf;
};

enum pm_worker_state { PM_WORKER_STARTING, PM_WORKER_LOADED, PM_WORKER_READY, PM_WORKER_DRAINING };

struct pm_worker {
    struct pm_manager *m;
    struct pm_worker *next;
    struct pm_generation *generation;
    enum pm_worker_state state;
    pid_t pid;
    struct pm_child *child;
    struct pm_channel *channel;
    char *stage; /* the file whose code it was about to run */
    char *failed_plugin, *failure;
};

/* A command line or other asker on the control socket. */
struct pm_client {
    struct pm_manager *m;
    struct pm_client *next;
    struct pm_channel *channel;
};

/* `switch --wait`: answered when the profile is up or has failed. */
struct pm_waiting_reply {
    struct pm_waiting_reply *next;
    struct pm_channel *channel;
    uint32_t id;
    char *profile;
};

enum { PM_LISTEN_MAX = 4 };

struct pm_manager {
    const struct pm_serve_options *options;
    struct pm_loop *loop;
    struct pm_upstream *up;
    char *state_dir;
    char *listen_text;
    int listen_fd, control_fd, lock_fd;
    struct event *control_event;
    struct pm_files *files;

    struct pm_generation *current, *candidate;
    unsigned generations;
    char *config_error; /* why the newest configuration is not in use, or NULL */
    bool reload_pending, forced_reload;

    struct pm_worker *workers;
    struct pm_timer respawn;
    unsigned worker_deaths; /* in a row, for the backoff */
    bool announced, adopted;

    struct pm_profile *profiles;
    struct pm_lease *leases;
    struct pm_capacity capacity;
    struct pm_timer look_again, tick, publish;
    bool scheduling, schedule_again;

    struct pm_client *clients;
    struct pm_waiting_reply *waiting_replies;
    struct pm_metrics *metrics;

    bool stopping, keep_servers;
    int exit_code;
};

/* workers.c */
int pm_workers_start(struct pm_manager *m, struct pm_generation *g, struct pm_error *err) PM_MUST;
void pm_workers_drain(struct pm_manager *m, const struct pm_generation *g, bool now);
void pm_workers_broadcast(struct pm_manager *m, const char *state_json);
void pm_worker_free(struct pm_worker *w);
unsigned pm_workers_wanted(const struct pm_manager *m, const struct pm_generation *g);
void pm_workers_respawn(void *manager);

/* serve.c */
void pm_manager_reload(struct pm_manager *m);
void pm_manager_commit(struct pm_manager *m, struct pm_generation *g);
void pm_manager_candidate_failed(struct pm_manager *m, const char *plugin, const char *why);
void pm_manager_stop(struct pm_manager *m, bool keep_servers);
void pm_manager_maybe_end(struct pm_manager *m);
void pm_generation_release(struct pm_generation *g);

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
double pm_profile_expected_load_ms(const struct pm_profile *p);

/* lease.c */
void pm_lease_ask(struct pm_worker *w, const struct pm_msg *msg);
void pm_lease_cancel(struct pm_worker *w, uint32_t id);
void pm_lease_done(struct pm_worker *w, const struct pm_msg *msg);
void pm_leases_of_worker_end(struct pm_worker *w);
void pm_leases_grant(struct pm_profile *p);
void pm_leases_deny(struct pm_profile *p, enum pm_deny why, unsigned retry_after_s, const char *reason);
/* Denies what has waited longer than that. */
void pm_leases_expire(struct pm_manager *m, uint64_t max_wait_ms);
uint64_t pm_leases_oldest_ms(const struct pm_profile *p);

/* control.c */
int pm_control_open(struct pm_manager *m, struct pm_error *err) PM_MUST;
void pm_control_close(struct pm_manager *m);
void pm_control_message(struct pm_manager *m, struct pm_channel *ch, const struct pm_msg *msg);
void pm_control_profile_changed(struct pm_profile *p);
void pm_control_forget(struct pm_manager *m, const struct pm_channel *ch);

/* status.c */
cJSON *pm_status_json(const struct pm_manager *m);
cJSON *pm_models_json(const struct pm_manager *m);
void pm_status_metrics(struct pm_manager *m, struct pm_buf *out);
/* Tells the workers, soon: many changes become one message. `now` when the decision of the next request depends on it.
 */
void pm_status_publish(struct pm_manager *m, bool now);
void pm_status_publish_due(void *manager);
char *pm_status_for_workers(const struct pm_manager *m);

#endif
