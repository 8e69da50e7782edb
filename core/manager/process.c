/* A llama-server as a process of this machine.
 *
 * Its address is a unix socket and its log a file in the state folder, its stdin a FIFO that it holds open itself, and
 * a record there says which process it is: so it lives on when the manager dies, and the next one adopts it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/manager/driver.h"
#include "core/manager/record.h"

enum { POLL_FIRST_MS = 5, KILL_GRACE_MS = 2000 };

struct process {
    struct pm_child *child;
    struct pm_timer kill;
};

static void child_ended(void *arg, const struct pm_child_end *end)
{
    struct pm_server *s = arg;
    struct process *p = s->own;
    pm_timer_clear(&p->kill);
    unlink(s->paths.record);
    unlink(s->paths.socket);
    unlink(s->paths.fifo);
    pm_driver_ended(s, end, NULL);
}

static void kill_now(void *arg)
{
    struct pm_server *s = arg;
    struct process *p = s->own;
    pm_log(PM_LOG_WARN, "server %d does not end by itself: killed", (int)s->pid);
    pm_child_signal(p->child, SIGKILL);
}

static int watch(struct pm_server *s, pid_t pid, bool adopted, struct pm_error *err)
{
    struct process *p = s->own = pm_calloc(1, sizeof(*p));
    s->pid = pid;
    snprintf(s->address, sizeof(s->address), "unix:%s", s->paths.socket);
    pm_timer_init(&p->kill, s->spec.loop, kill_now, s);
    pm_driver_follow_log(s, adopted);
    p->child = pm_child_watch(s->spec.loop, pid, child_ended, s, err);
    return p->child ? PM_OK : PM_EIO;
}

static int spawn(struct pm_server *s, pid_t *pid, struct pm_error *err)
{
    const struct pm_target *t = s->spec.conf;
    struct pm_argv_place place = {.host = s->paths.socket, .slots_dir = s->paths.kv};
    struct pm_strv argv = {0}, env = {0};
    char *server = pm_conf_server_path(t);
    int rc;
    pm_conf_argv(t, &place, &argv);
    pm_conf_server_env(t, s->spec.tells_memory, &env);
    if (server)
        rc = pm_record_spawn(&argv, &env, s->paths.fifo, s->paths.log, pid, err);
    else
        rc = pm_error_set(err, PM_ENOTFOUND,
                          "there is no llama-server: install llama.cpp, or set LLAMA_SERVER=/path in models.conf");
    pm_strv_release(&argv);
    pm_strv_release(&env);
    free(server);
    return rc;
}

static int process_start(struct pm_server *s, struct pm_error *err)
{
    pid_t pid;
    /* A socket file that a dead server left makes the bind of the next one fail. */
    unlink(s->paths.socket);
    unlink(s->paths.fifo);
    unlink(s->paths.log);
    if (s->spec.conf->keep_kv)
        mkdir(s->paths.kv, 0700);
    if (mkfifo(s->paths.fifo, 0600) < 0)
        return pm_error_errno(err, "%s: cannot be made", s->paths.fifo);
    if (spawn(s, &pid, err) < 0)
        return PM_EIO;
    if (watch(s, pid, false, err) < 0) {
        kill(pid, SIGKILL);
        return PM_EIO;
    }
    pm_record_write(s->paths.record, pid, s->command);
    pm_driver_poll_health(s, POLL_FIRST_MS);
    return PM_OK;
}

static bool process_adopt(struct pm_server *s)
{
    struct pm_error err = {0};
    pid_t pid = pm_record_alive(s->paths.record, s->command);
    if (!pid)
        return false;
    if (watch(s, pid, true, &err) < 0) {
        pm_log(PM_LOG_WARN, "%s", err.msg);
        return false;
    }
    /* Ready or still loading: it tells when it is asked. */
    pm_driver_poll_health(s, 0);
    return true;
}

static void process_stop(struct pm_server *s)
{
    static const char bye[] = "cmd_router_to_child:exit\n";
    struct process *p = s->own;
    int fd = open(s->paths.fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t ignored = write(fd, bye, sizeof(bye) - 1);
        (void)ignored;
        close(fd);
    }
    /* The line ends a server that is up; the signal one that is still loading or knows no such line. */
    pm_child_signal(p->child, SIGTERM);
    pm_timer_set(&p->kill, KILL_GRACE_MS);
}

static void process_kill(struct pm_server *s)
{
    struct process *p = s->own;
    pm_child_signal(p->child, SIGKILL);
}

static void process_leave(struct pm_server *s)
{
    struct process *p = s->own;
    if (!p)
        return;
    pm_child_free(p->child);
    p->child = NULL;
    pm_timer_clear(&p->kill);
}

static void process_release(struct pm_server *s)
{
    struct process *p = s->own;
    pm_timer_release(&p->kill);
    free(p);
}

const struct pm_driver pm_process_driver = {.name = "process",
                                            .start = process_start,
                                            .adopt = process_adopt,
                                            .stop = process_stop,
                                            .kill = process_kill,
                                            .leave = process_leave,
                                            .release = process_release};
