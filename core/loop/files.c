#include "core/loop/files.h"

#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "core/base/alloc.h"

struct pm_files {
    int fd;
    struct event *event;
    struct pm_timer quiet;
    uint64_t quiet_ms;
    void (*fn)(void *arg);
    void *arg;
};

static void changed(evutil_socket_t fd, short what, void *arg)
{
    struct pm_files *files = arg;
    char drop[4096] __attribute__((aligned(8)));
    (void)what;
    while (read(fd, drop, sizeof(drop)) > 0)
        continue;
    if (files->quiet_ms)
        pm_timer_set(&files->quiet, files->quiet_ms);
    else
        files->fn(files->arg);
}

static void is_quiet(void *arg)
{
    struct pm_files *files = arg;
    files->fn(files->arg);
}

struct pm_files *pm_files_new(struct pm_loop *loop, uint64_t quiet_ms, void (*fn)(void *arg), void *arg)
{
    struct pm_files *files = pm_calloc(1, sizeof(*files));
    files->fn = fn;
    files->arg = arg;
    files->quiet_ms = quiet_ms;
    pm_timer_init(&files->quiet, loop, is_quiet, files);
    files->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (files->fd >= 0)
        files->event = pm_loop_on_readable(loop, files->fd, changed, files);
    return files;
}

void pm_files_free(struct pm_files *files)
{
    if (!files)
        return;
    pm_timer_release(&files->quiet);
    if (files->event)
        event_free(files->event);
    if (files->fd >= 0)
        close(files->fd);
    free(files);
}

static int add(struct pm_files *files, const char *path, uint32_t mask, struct pm_error *err)
{
    if (inotify_add_watch(files->fd, path, mask) < 0)
        return pm_error_errno(err, "%s: changes cannot be watched", path);
    return PM_OK;
}

int pm_files_add_folder(struct pm_files *files, const char *path, struct pm_error *err)
{
    return add(files, path,
               IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_ONLYDIR, err);
}

int pm_files_add_growing(struct pm_files *files, const char *path, struct pm_error *err)
{
    return add(files, path, IN_MODIFY, err);
}
