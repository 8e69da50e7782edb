#include "core/loop/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/alloc.h"

enum { LOOK_EVERY_MS = 20 };

struct pm_child {
    struct pm_loop *loop;
    pid_t pid;
    int pidfd;           /* -1 where the kernel (or valgrind) has none: then it is looked for now and then */
    struct event *event; /* of the pidfd */
    struct pm_timer look;
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
    if (child->event)
        event_del(child->event);
    child->fn(child->arg, &end);
}

static bool is_running(pid_t pid)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
        return info.si_pid == 0;
    return pm_child_start_time(pid) != 0;
}

static void look(void *arg)
{
    struct pm_child *child = arg;
    if (is_running(child->pid))
        pm_timer_set(&child->look, LOOK_EVERY_MS);
    else
        ended(-1, 0, child);
}

pid_t pm_child_fork(void)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        for (int signo = 1; signo < NSIG; signo++)
            signal(signo, SIG_DFL);
        sigemptyset(&before);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

struct pm_child *pm_child_watch(struct pm_loop *loop, pid_t pid, void (*fn)(void *arg, const struct pm_child_end *end),
                                void *arg, struct pm_error *err)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0 && errno != ENOSYS) {
        pm_error_errno(err, "process %d cannot be watched", (int)pid);
        return NULL;
    }
    struct pm_child *child = pm_calloc(1, sizeof(*child));
    child->loop = loop;
    child->pid = pid;
    child->pidfd = pidfd;
    child->fn = fn;
    child->arg = arg;
    pm_timer_init(&child->look, loop, look, child);
    if (pidfd >= 0)
        child->event = pm_loop_on_readable(loop, pidfd, ended, child);
    else
        pm_timer_set(&child->look, LOOK_EVERY_MS);
    return child;
}

static void release(void *arg)
{
    struct pm_child *child = arg;
    if (child->event)
        event_free(child->event);
    if (child->pidfd >= 0)
        close(child->pidfd);
    pm_timer_release(&child->look);
    free(child);
}

void pm_child_free(struct pm_child *child)
{
    if (!child)
        return;
    if (child->event)
        event_del(child->event);
    pm_timer_clear(&child->look);
    pm_loop_defer(child->loop, release, child);
}

void pm_child_signal(struct pm_child *child, int signo)
{
    if (child->pidfd < 0)
        kill(child->pid, signo);
    else
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
        if (!rest ||
            sscanf(rest + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
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
