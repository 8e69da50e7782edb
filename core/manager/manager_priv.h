/* What the files of the manager share.
 *
 *   serve.c    start, configuration, signals, end
 *   workers.c  worker processes and generations of configuration
 *   profile.h  profiles and their leases
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
#include "core/manager/manager.h"
#include "core/manager/profile.h"

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
    uint32_t shared;  /* 1: it has its connection to Redis */
    cJSON *broken;    /* ids of the targets that it leaves alone, NULL none */
    uint32_t watches; /* enum pm_watch bits: what its listeners want */
    char *live;       /* its requests under way, a JSON array; NULL none */
    char *stage;      /* the file whose code it was about to run */
    char *failed_plugin, *failure;
};

/* A command line or other asker on the control socket. */
struct pm_client {
    struct pm_manager *m;
    struct pm_client *next;
    struct pm_channel *channel;
    uint32_t watches; /* enum pm_watch bits */
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
    int listen_fd, control_fd, lock_fd, state_fd, notify_fd;
    char *keys_path;
    bool has_keys; /* when it began to listen */
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
    long long strangers[PM_DEVICES_MAX]; /* MiB of each device that others hold */
    struct pm_devices *devices;          /* NULL where [manager] DEVICES says what there is */
    struct pm_measured *measured;        /* by command, kept in the state folder */
    struct pm_fit *fit;                  /* a question to llama-fit-params, NULL for none */
    struct pm_warm *warm;                /* a file that is being read ahead, NULL for none */
    uint64_t freed_ms;                   /* when a server of ours ended last: its memory may come back late */
    uint64_t look_again_at_ms;           /* when the timer of that name fires, 0 never */
    struct pm_timer look_again, tick, publish, alive;
    uint64_t alive_ms; /* how often the service manager wants a sign of life, 0 never */
    bool scheduling, schedule_again;

    struct pm_client *clients;
    struct pm_watches *watches;
    struct pm_recording *recording; /* NULL before the first configuration */
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

/* control.c */
int pm_control_open(struct pm_manager *m, struct pm_error *err) PM_MUST;
void pm_control_close(struct pm_manager *m);
void pm_control_message(struct pm_manager *m, struct pm_channel *ch, const struct pm_msg *msg);
void pm_control_profile_changed(struct pm_profile *p);
void pm_control_refuse(struct pm_channel *ch, uint32_t id, const char *error);
/* Not the asker's fault: it may work later. */
void pm_control_unable(struct pm_channel *ch, uint32_t id, const char *why);
void pm_control_forget(struct pm_manager *m, const struct pm_channel *ch);

/* watch.c */
void pm_watches_init(struct pm_manager *m);
void pm_watches_free(struct pm_manager *m);
/* They want to hear that from now on (enum pm_watch bits), and all there is to know at once. */
void pm_watch_client(struct pm_client *c, uint32_t kinds);
void pm_watch_by_worker(struct pm_worker *w, uint32_t kinds);
/* Somebody has gone who may have watched. */
void pm_watch_gone(struct pm_manager *m);
/* Tells a worker whether anybody watches. */
void pm_watch_worker(struct pm_worker *w);
void pm_watch_live(struct pm_worker *w, const char *list, size_t len);
void pm_watch_record(struct pm_manager *m, const char *record, size_t len);
void pm_watch_log(const struct pm_profile *p, const char *line);
/* Lines that wait to be told are told now: before a history that has them is given. */
void pm_watch_flush_log(struct pm_manager *m);
void pm_watch_state(const struct pm_profile *p, const char *from, const char *to, const char *why);

/* recording.c */
/* As the configuration has it now. */
void pm_recording_configure(struct pm_manager *m);
void pm_recording_add(struct pm_manager *m, const char *text, size_t len);
/* Hands a question on (pm_records_ask); the answer goes to the asker. */
void pm_recording_ask(struct pm_manager *m, struct pm_channel *ch, uint32_t id, const cJSON *question);
/* The asker has gone. */
void pm_recording_forget(struct pm_manager *m, const struct pm_channel *ch);
bool pm_recording_is_on(const struct pm_manager *m);
cJSON *pm_recording_json(const struct pm_manager *m);
/* Has it ended? Asks it to; pm_manager_maybe_end follows. */
bool pm_recording_end(struct pm_manager *m);
void pm_recording_free(struct pm_manager *m);

/* status.c */
cJSON *pm_status_json(const struct pm_manager *m);
cJSON *pm_models_json(const struct pm_manager *m);
cJSON *pm_routes_json(const struct pm_manager *m);
void pm_status_metrics(struct pm_manager *m, struct pm_buf *out);
/* Tells the workers, soon: many changes become one message. `now` when the decision of the next request depends on it.
 */
void pm_status_publish(struct pm_manager *m, bool now);
void pm_status_publish_due(void *manager);
char *pm_status_for_workers(const struct pm_manager *m);

#endif
