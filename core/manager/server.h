/* One model server: start, adopt, ready, stop, end. Knows nothing of requests or memory.
 *
 *   starting -> ready -> (stopping) -> ended
 *
 * How it runs is its driver's: a process of this machine, a container, or somebody else's server at a URL. It outlives
 * the manager: what must be known to find it again stands in the state folder or in the container's labels.
 */
#ifndef PM_MANAGER_SERVER_H
#define PM_MANAGER_SERVER_H

#include "core/conf/conf.h"
#include "core/loop/child.h"
#include "core/manager/logtail.h"
#include "core/upstream/transfer.h"

struct pm_server;

/* What the server says of itself (GET /props). */
struct pm_server_props {
    long long context; /* tokens of one slot */
    long long slots;
    bool vision, audio;
};

struct pm_server_end {
    bool absent;        /* there was none to adopt */
    bool out_of_memory; /* by its log */
    const char *why;    /* how, with the log's word on it */
};

struct pm_server_events {
    void (*ready)(void *arg);
    void (*props)(void *arg, const struct pm_server_props *props);
    /* So much of the load is done, 0 to 1. */
    void (*progress)(void *arg, double share);
    /* A line of its log. */
    void (*line)(void *arg, const char *line);
    /* It is gone. The owner frees the server. */
    void (*ended)(void *arg, const struct pm_server_end *end);
};

/* Paths of a profile's files in the state folder; the caller frees with pm_server_paths_release. */
struct pm_server_paths {
    char *socket, *fifo, *log, *record;
    char *kv; /* folder of kept KV, ends with a slash */
    char *state_dir;
};

void pm_server_paths_init(struct pm_server_paths *p, const char *state_dir, const char *id);
void pm_server_paths_release(struct pm_server_paths *p);

/* What a server is started with; all of it outlives the server. */
struct pm_server_spec {
    struct pm_loop *loop;
    struct pm_upstream *up;
    const struct pm_target *conf;
    const struct pm_server_paths *paths;
    bool tells_memory; /* its log is to say what memory it takes: that is not known yet */
    const struct pm_server_events *events;
    void *arg;
};

struct pm_server *pm_server_start(const struct pm_server_spec *spec, struct pm_error *err);

/* Takes over the server that an earlier manager left, if it runs with exactly this command; it is then ready and says
 * `props` soon, or `ended` with `absent`. NULL when there is surely none. What runs and does not match is ended. */
struct pm_server *pm_server_adopt(const struct pm_server_spec *spec);

/* Fingerprint of all that a change of which asks for a restart. */
uint64_t pm_server_command(const struct pm_target *t, const struct pm_server_paths *paths);

/* Ends what runs in the name of profiles that are not in `ids`, and removes what it left. */
void pm_server_reap_strangers(const struct pm_server_spec *any, const char *state_dir, const struct pm_strv *ids);

/* Asks it to end, and kills it when it has not after a grace. `ended` follows. */
void pm_server_stop(struct pm_server *s);

/* Kills it, for that reason. `ended` follows. */
void pm_server_kill(struct pm_server *s, const char *why);

/* Leaves it running without us. */
void pm_server_leave(struct pm_server *s);

/* Frees; the server must have ended or been left. NULL is fine. */
void pm_server_free(struct pm_server *s);

/* One small question over HTTP; fn is called once, with status 0 when no answer came within `limit_ms`. One at a time:
 * a question before the answer takes the place of the first. */
void pm_server_ask(struct pm_server *s, const char *method, const char *path, const char *body, uint64_t limit_ms,
                   void (*fn)(void *arg, int status, const char *body, size_t len), void *arg);

/* The same, beside whatever else is being asked: is it alive? */
void pm_server_probe(struct pm_server *s, const char *path, uint64_t limit_ms,
                     void (*fn)(void *arg, int status, const char *body, size_t len), void *arg);

const char *pm_server_driver(const struct pm_server *s);

/* "unix:/path" or the beginning of a URL. */
const char *pm_server_address(const struct pm_server *s);

/* Process id, 0 when it is not a process of this machine; the container's id or "". */
pid_t pm_server_pid(const struct pm_server *s);
const char *pm_server_container(const struct pm_server *s);

/* When it last wrote a line, monotonic ms: the sign that a load makes progress. */
uint64_t pm_server_last_line_ms(const struct pm_server *s);
void pm_server_log_last(const struct pm_server *s, size_t lines, struct pm_buf *out);

#endif
