#include "core/loop/child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/alloc.h"

struct pm_child {
    struct pm_loop *loop;
    pid_t pid;
    int pidfd;
    struct event *event;
    void (*fn)(void *arg, const struct pm_child_end *end);
    void *arg;
};

static void ended(evutil_socket_t fd, short what, void *arg)
{
    struct pm_child *child = arg;
    struct pm_child_end end = {0};
    int status;
    (void)fd;
    (void)what;
    if (waitpid(child->pid, &status, WNOHANG) == child->pid) {
        end.known = true;
        end.signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        end.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    }
    event_del(child->event);
    child->fn(child->arg, &end);
}

struct pm_child *pm_child_watch(struct pm_loop *loop, pid_t pid,
                                void (*fn)(void *arg, const struct pm_child_end *end), void *arg,
                                struct pm_error *err)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        pm_error_errno(err, "process %d cannot be watched", (int)pid);
        return NULL;
    }
    struct pm_child *child = pm_calloc(1, sizeof(*child));
    child->loop = loop;
    child->pid = pid;
    child->pidfd = pidfd;
    child->fn = fn;
    child->arg = arg;
    child->event = pm_loop_on_readable(loop, pidfd, ended, child);
    return child;
}

static void release(void *arg)
{
    struct pm_child *child = arg;
    event_free(child->event);
    close(child->pidfd);
    free(child);
}

void pm_child_free(struct pm_child *child)
{
    if (!child)
        return;
    event_del(child->event);
    pm_loop_defer(child->loop, release, child);
}

void pm_child_signal(struct pm_child *child, int signo)
{
    syscall(SYS_pidfd_send_signal, child->pidfd, signo, NULL, 0);
}

unsigned long long pm_child_start_time(pid_t pid)
{
    char path[64], line[1024];
    unsigned long long start = 0;
    char state = 'Z';
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    if (fgets(line, sizeof(line), f)) {
        /* The name in parentheses may hold anything, a parenthesis too: count from the last one. */
        char *rest = strrchr(line, ')');
        if (!rest || sscanf(rest + 1,
                            " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                            &state, &start) != 2)
            start = 0;
    }
    fclose(f);
    return state == 'Z' || state == 'X' ? 0 : start;
}

const char *pm_child_end_text(const struct pm_child_end *end, char *out, size_t size)
{
    if (!end->known)
        snprintf(out, size, "ended");
    else if (end->signo)
        snprintf(out, size, "killed by signal %d (%s)", end->signo, strsignal(end->signo));
    else
        snprintf(out, size, "exit code %d", end->code);
    return out;
}
