/* One llama-server process: start, adopt, ready, stop, end. Knows nothing of requests or memory.
 *
 *   starting -> ready -> (stopping) -> ended
 *
 * The process outlives the manager: its address is a unix socket and its log a file in the state folder, its stdin
 * a FIFO that it holds open itself, and a record there says which process it is, so that the next manager adopts it.
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

struct pm_server_events {
    void (*ready)(void *arg);
    void (*props)(void *arg, const struct pm_server_props *props);
    /* The process is gone. `why` tells how, with the log's word on it. The owner frees the server. */
    void (*ended)(void *arg, const char *why);
};

/* Paths of a profile's files in the state folder; the caller frees with pm_server_paths_release. */
struct pm_server_paths {
    char *socket, *fifo, *log, *record;
};

void pm_server_paths_init(struct pm_server_paths *p, const char *state_dir, const char *id);
void pm_server_paths_release(struct pm_server_paths *p);

/* Starts `argv` (its last word is followed by NULL) with `env` added to the environment. */
struct pm_server *pm_server_start(struct pm_loop *loop, struct pm_upstream *up, const struct pm_server_paths *paths,
                                  const struct pm_strv *argv, const struct pm_strv *env,
                                  const struct pm_server_events *events, void *arg, struct pm_error *err);

/* Takes over the process that the record names, if it lives and runs exactly this command line; it is then ready, and
 * says `props` soon. NULL when there is none; what runs and does not match is ended. */
struct pm_server *pm_server_adopt(struct pm_loop *loop, struct pm_upstream *up, const struct pm_server_paths *paths,
                                  const struct pm_strv *argv, const struct pm_strv *env,
                                  const struct pm_server_events *events, void *arg);

/* Ends the processes of records that no profile of `ids` owns, and removes what they left. */
void pm_server_reap_strangers(const char *state_dir, const struct pm_strv *ids);

/* Asks it to end, and kills it when it has not after a grace. `ended` follows. */
void pm_server_stop(struct pm_server *s);

/* Leaves it running without us. */
void pm_server_leave(struct pm_server *s);

/* Frees; the process must have ended or been left. NULL is fine. */
void pm_server_free(struct pm_server *s);

pid_t pm_server_pid(const struct pm_server *s);

/* When it last wrote a line, monotonic ms: the sign that a load makes progress. */
uint64_t pm_server_last_line_ms(const struct pm_server *s);
void pm_server_log_last(const struct pm_server *s, size_t lines, struct pm_buf *out);

#endif
