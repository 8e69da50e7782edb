#include "core/loop/files.h"

#include <stdlib.h>
#include <string.h>
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
    int only_folder; /* in this one only a file of this name counts; -1 none */
    char *only_name;
};

static bool counts(const struct pm_files *files, const struct inotify_event *e)
{
    return e->wd != files->only_folder || (e->len && strcmp(e->name, files->only_name) == 0);
}

static void changed(evutil_socket_t fd, short what, void *arg)
{
    struct pm_files *files = arg;
    char events[4096] __attribute__((aligned(8)));
    bool news = false;
    (void)what;
    for (ssize_t len; (len = read(fd, events, sizeof(events))) > 0;)
        for (ssize_t at = 0; at < len;) {
            const struct inotify_event *e = (const void *)(events + at);
            news |= counts(files, e);
            at += (ssize_t)(sizeof(*e) + e->len);
        }
    if (!news)
        return;
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
    files->only_folder = -1;
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
    free(files->only_name);
    free(files);
}

/* The watch's number, or a negative code. */
static int add(struct pm_files *files, const char *path, uint32_t mask, struct pm_error *err)
{
    int wd = inotify_add_watch(files->fd, path, mask);
    return wd < 0 ? pm_error_errno(err, "%s: changes cannot be watched", path) : wd;
}

enum { IN_FOLDER = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_ONLYDIR };

int pm_files_add_folder(struct pm_files *files, const char *path, struct pm_error *err)
{
    int wd = add(files, path, IN_FOLDER, err);
    return wd < 0 ? wd : PM_OK;
}

int pm_files_add_file(struct pm_files *files, const char *path, struct pm_error *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? pm_strndup(path, (size_t)(slash - path)) : pm_strdup(".");
    int wd = add(files, *folder ? folder : "/", IN_FOLDER, err);
    free(folder);
    if (wd < 0)
        return wd;
    files->only_folder = wd;
    files->only_name = pm_strdup(slash ? slash + 1 : path);
    return PM_OK;
}

int pm_files_add_growing(struct pm_files *files, const char *path, struct pm_error *err)
{
    int wd = add(files, path, IN_MODIFY, err);
    return wd < 0 ? wd : PM_OK;
}
