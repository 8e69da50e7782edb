/* What the drivers of model servers share with server.c.
 *
 *   process.c  a llama-server of this machine, on a unix socket
 *   docker.c   a container, through the Docker Engine API
 *   remote.c   a server that somebody else looks after, at a URL
 */
#ifndef PM_MANAGER_DRIVER_H
#define PM_MANAGER_DRIVER_H

#include "core/manager/server.h"

struct pm_driver {
    const char *name;
    /* Starts; what fails later is told by pm_driver_ended. */
    int (*start)(struct pm_server *s, struct pm_error *err);
    /* Looks for a running one; false when there is surely none. */
    bool (*adopt)(struct pm_server *s);
    void (*stop)(struct pm_server *s);
    void (*kill)(struct pm_server *s);
    void (*leave)(struct pm_server *s);
    /* Frees `own`; no event may come any more. */
    void (*release)(struct pm_server *s);
};

extern const struct pm_driver pm_process_driver, pm_docker_driver, pm_remote_driver;

struct pm_server {
    const struct pm_driver *driver;
    struct pm_server_spec spec; /* its `conf` is there during start and adopt only: configurations come and go */
    struct pm_server_paths paths;
    char *ca_file, *docker_socket;
    char address[256];
    char container[80];
    pid_t pid;
    uint64_t command;
    struct pm_logtail *tail;
    struct pm_fetch *health, *question, *probe;
    void (*answered)(void *arg, int status, const char *body, size_t len);
    void (*probed)(void *arg, int status, const char *body, size_t len);
    void *asker, *prober;
    struct pm_timer poll;
    uint64_t poll_ms, last_line_ms;
    bool ready, says_state, stopping;
    char *killed_for; /* why, when we killed it */
    void *own;        /* the driver's */
};

/* For drivers: its log is at paths.log from now on; its address is set; it has ended (`end` NULL: not known how). */
void pm_driver_follow_log(struct pm_server *s, bool from_end);
void pm_driver_poll_health(struct pm_server *s, uint64_t after_ms);
void pm_driver_ended(struct pm_server *s, const struct pm_child_end *end, const char *text);
void pm_driver_absent(struct pm_server *s);
/* Does the server answer to requests with this status? */
void pm_driver_is_ready(struct pm_server *s);

/* docker.c: removes containers of this state folder that belong to none of `ids`. */
void pm_docker_reap(const struct pm_server_spec *any, const char *state_dir, const struct pm_strv *ids);

#endif
