/* Reading ahead: while one profile works, the file of the one that is likely to be loaded next is brought into the
 * machine's page cache, so that its load reads from memory. A child process does it, at idle priority: reading may
 * block, and the manager never does. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/manager/devices.h"
#include "core/manager/manager_priv.h"

struct pm_warm {
    struct pm_manager *m;
    struct pm_child *child;
    char *profile;
    uint64_t began_ms;
};

/* A profile that nobody has asked for of late is not worth the reading. */
static const double USES_LEAST = 0.2;

enum { PIECE = 8 << 20 };

static off_t size_of(const struct pm_profile *p)
{
    struct stat st;
    return p->conf->model && stat(p->conf->model, &st) == 0 ? st.st_size : 0;
}

/* The one whose next load would gain most: how often it is asked for, times what a load takes. */
static struct pm_profile *likely_next(struct pm_manager *m)
{
    long long total, available, budget = m->current->conf->manager.readahead;
    struct pm_profile *best = NULL;
    double best_gain = 0;
    pm_machine_memory(&total, &available);
    /* Half of what is free: the cache must not push out what others use. */
    if (budget > available / 2)
        budget = available / 2;
    for (struct pm_profile *p = m->profiles; p; p = p->next) {
        if (!p->conf || p->state != PM_OFF || p->is_warm || p->uses < USES_LEAST || pm_target_is_remote(p->conf))
            continue;
        off_t size = size_of(p);
        double gain = p->uses * pm_profile_expected_load_ms(p);
        if (!size || (long long)((size + (1 << 20) - 1) >> 20) > budget || gain <= best_gain)
            continue;
        best = p;
        best_gain = gain;
    }
    return best;
}

static void release(void *arg)
{
    struct pm_warm *w = arg;
    free(w->profile);
    free(w);
}

static void ended(void *arg, const struct pm_child_end *end)
{
    struct pm_warm *w = arg;
    struct pm_manager *m = w->m;
    struct pm_profile *p = pm_profile_find(m, w->profile);
    if (p && end->known && !end->signo && !end->code) {
        p->is_warm = true;
        pm_log(PM_LOG_INFO, "profile %s: its file was read ahead in %llu ms", w->profile,
               (unsigned long long)(pm_clock_ms() - w->began_ms));
    }
    m->warm = NULL;
    pm_child_free(w->child);
    pm_loop_defer(m->loop, release, w);
}

static void read_file(const char *path)
{
    /* ioprio_set(2): IOPRIO_WHO_PROCESS, ourselves, class idle. */
    syscall(SYS_ioprio_set, 1, 0, 3 << 13);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        _exit(1);
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (off_t at = 0; at < st.st_size; at += PIECE) {
        posix_fadvise(fd, at, PIECE, POSIX_FADV_WILLNEED);
        readahead(fd, at, PIECE);
    }
    _exit(0);
}

void pm_warm_look(struct pm_manager *m)
{
    struct pm_error err = {0};
    if (m->warm || m->stopping || !m->current->conf->manager.readahead)
        return;
    struct pm_profile *p = likely_next(m);
    if (!p)
        return;
    pid_t pid = pm_child_fork();
    if (pid == 0)
        read_file(p->conf->model);
    if (pid < 0)
        return;
    struct pm_warm *w = pm_calloc(1, sizeof(*w));
    w->m = m;
    w->profile = pm_strdup(p->id);
    w->began_ms = pm_clock_ms();
    w->child = pm_child_watch(m->loop, pid, ended, w, &err);
    if (w->child)
        m->warm = w;
    else
        release(w);
}

/* A load reads for itself, and what is read then is worth more. */
void pm_warm_stop(struct pm_manager *m)
{
    struct pm_warm *w = m->warm;
    if (!w)
        return;
    pm_child_signal(w->child, SIGKILL);
    if (!m->stopping)
        return;
    /* At the end nobody waits for its last event. */
    pm_child_free(w->child);
    pm_loop_defer(m->loop, release, w);
    m->warm = NULL;
}
