#include "core/manager/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/conf/conf.h"
#include "core/loop/child.h"

struct pm_hook {
    struct pm_loop *loop;
    char *what; /* "ON_LOAD of profile x" */
    pid_t pid;
    struct pm_child *child;
    struct pm_timer limit;
    bool timed_out;
    void (*done)(void *arg);
    void *arg;
};

static void release(void *arg)
{
    struct pm_hook *h = arg;
    pm_timer_release(&h->limit);
    free(h->what);
    free(h);
}

static void finish(struct pm_hook *h)
{
    void (*done)(void *arg) = h->done;
    pm_timer_clear(&h->limit);
    pm_child_free(h->child);
    h->child = NULL;
    pm_loop_defer(h->loop, release, h);
    if (done)
        done(h->arg);
}

static void ended(void *arg, const struct pm_child_end *end)
{
    struct pm_hook *h = arg;
    char how[80];
    if (h->timed_out)
        pm_log(PM_LOG_WARN, "%s took longer than HOOK_TIMEOUT: killed", h->what);
    else if (end->signo || end->code)
        pm_log(PM_LOG_WARN, "%s: %s", h->what, pm_child_end_text(end, how, sizeof(how)));
    finish(h);
}

static void kill_group(struct pm_hook *h)
{
    if (h->pid > 0)
        kill(-h->pid, SIGKILL);
}

static void too_long(void *arg)
{
    struct pm_hook *h = arg;
    /* Without a process it was the start that failed: that is told on the next turn, as the rest is. */
    if (!h->child) {
        finish(h);
        return;
    }
    h->timed_out = true;
    kill_group(h);
}

static pid_t spawn(struct pm_strv *words, const char *profile, const char *event, const struct pm_strv *hidden)
{
    char **argv = pm_calloc(words->n + 1, sizeof(*argv));
    memcpy(argv, words->items, words->n * sizeof(*argv));
    pid_t pid = pm_child_fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        setpgid(0, 0);
        dup2(null, 0);
        dup2(2, 1);
        for (size_t i = 0; hidden && i < hidden->n; i++)
            unsetenv(hidden->items[i]);
        setenv("POINTSMAN_PROFILE", profile, 1);
        setenv("POINTSMAN_EVENT", event, 1);
        execvp(argv[0], argv);
        dprintf(2, "pointsman: %s cannot be started: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    /* In both processes, so that it is so whoever comes first. */
    if (pid > 0)
        setpgid(pid, pid);
    free(argv);
    return pid;
}

struct pm_hook *pm_hook_run(struct pm_loop *loop, const char *command, const char *profile, const char *event,
                            const struct pm_strv *hidden, uint64_t limit_ms, void (*done)(void *arg), void *arg)
{
    struct pm_hook *h = pm_calloc(1, sizeof(*h));
    struct pm_strv words = {0};
    struct pm_error err = {0};
    h->loop = loop;
    h->what = pm_asprintf("%s of profile %s", event, profile);
    h->done = done;
    h->arg = arg;
    pm_timer_init(&h->limit, loop, too_long, h);
    /* An open quote was told by the reader of models.conf. */
    if (pm_conf_split_words(command, &words) == PM_OK && words.n)
        h->pid = spawn(&words, profile, event, hidden);
    h->child = h->pid > 0 ? pm_child_watch(loop, h->pid, ended, h, &err) : NULL;
    pm_timer_set(&h->limit, h->child ? limit_ms : 0);
    pm_strv_release(&words);
    return h;
}

void pm_hook_cancel(struct pm_hook *h)
{
    if (!h)
        return;
    h->done = NULL;
    if (h->child)
        kill_group(h);
    else
        finish(h);
}
