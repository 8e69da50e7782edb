#include "core/manager/logtail.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/loop/files.h"

enum { HISTORY_BYTES = 64 << 10, LINES_KEPT = 500, LINE_MAX_BYTES = 8192, FILE_MAX_BYTES = 32 << 20 };

struct pm_logtail {
    int fd;
    struct pm_files *watch;
    struct pm_buf partial;
    off_t at;
    bool is_history; /* what is read was written before we came */
    char *lines[LINES_KEPT];
    size_t next; /* where the next line goes */
    void (*fn)(void *arg, const char *line);
    void *arg;
};

static void add_line(struct pm_logtail *tail)
{
    free(tail->lines[tail->next]);
    tail->lines[tail->next] = pm_strndup(tail->partial.data, tail->partial.len);
    const char *line = tail->lines[tail->next];
    tail->next = (tail->next + 1) % LINES_KEPT;
    pm_buf_clear(&tail->partial);
    if (!tail->is_history)
        tail->fn(tail->arg, line);
}

void pm_logtail_catch_up(struct pm_logtail *tail)
{
    char piece[16384];
    ssize_t n;
    while ((n = pread(tail->fd, piece, sizeof(piece), tail->at)) > 0) {
        tail->at += n;
        for (const char *p = piece, *end = piece + n; p < end;) {
            const char *lf = memchr(p, '\n', (size_t)(end - p));
            pm_buf_addn(&tail->partial, p, (size_t)((lf ? lf : end) - p));
            if (!lf)
                break;
            add_line(tail);
            p = lf + 1;
        }
    }
    /* The server appends (O_APPEND): after this it goes on at the start. */
    if (tail->at > FILE_MAX_BYTES && ftruncate(tail->fd, 0) == 0)
        tail->at = 0;
}

/* The last lines of a server that is taken over, for people. */
static void read_history(struct pm_logtail *tail)
{
    off_t end = lseek(tail->fd, 0, SEEK_END);
    tail->at = end > HISTORY_BYTES ? end - HISTORY_BYTES : 0;
    tail->is_history = true;
    pm_logtail_catch_up(tail);
    tail->is_history = false;
}

static void grown(void *arg)
{
    pm_logtail_catch_up(arg);
}

struct pm_logtail *pm_logtail_new(struct pm_loop *loop, const char *path, bool from_end,
                                  void (*fn)(void *arg, const char *line), void *arg)
{
    struct pm_logtail *tail = pm_calloc(1, sizeof(*tail));
    struct pm_error err = {0};
    tail->fn = fn;
    tail->arg = arg;
    pm_buf_init(&tail->partial, LINE_MAX_BYTES);
    tail->fd = open(path, O_RDWR | O_CLOEXEC);
    if (from_end && tail->fd >= 0)
        read_history(tail);
    tail->watch = pm_files_new(loop, 0, grown, tail);
    if (pm_files_add_growing(tail->watch, path, &err) < 0)
        pm_log(PM_LOG_WARN, "%s", err.msg);
    return tail;
}

void pm_logtail_free(struct pm_logtail *tail)
{
    if (!tail)
        return;
    pm_files_free(tail->watch);
    if (tail->fd >= 0)
        close(tail->fd);
    pm_buf_release(&tail->partial);
    for (size_t i = 0; i < LINES_KEPT; i++)
        free(tail->lines[i]);
    free(tail);
}

/* The line `back` lines before the end (0 is the last), or NULL. */
static const char *line_back(const struct pm_logtail *tail, size_t back)
{
    return back < LINES_KEPT ? tail->lines[(tail->next + LINES_KEPT - 1 - back) % LINES_KEPT] : NULL;
}

void pm_logtail_last(const struct pm_logtail *tail, size_t n, struct pm_buf *out)
{
    if (n > LINES_KEPT)
        n = LINES_KEPT;
    while (n--) {
        const char *line = line_back(tail, n);
        if (line)
            pm_buf_addf(out, "%s\n", line);
    }
}

const char *pm_logtail_cause(const struct pm_logtail *tail, bool any)
{
    static const char *const words[] = {"out of memory", "failed to", "error",  "unable to",
                                        "couldn't",      "cannot",    "invalid"};
    /* The first complaint of the last lines is the cause, those after it are its consequences. */
    for (size_t w = 0; w < sizeof(words) / sizeof(*words); w++)
        for (size_t back = 40; back-- > 0;) {
            const char *line = line_back(tail, back);
            if (line && strcasestr(line, words[w]))
                return line;
        }
    return any ? line_back(tail, 0) : NULL;
}

bool pm_log_line_says_oom(const char *line)
{
    static const char *const words[] = {
        "out of memory",      "out of device memory", "cudamalloc failed", "hipmalloc failed",
        "failed to allocate", "allocation failed",    "not enough memory", "insufficient memory",
        "outofdevicememory",  "erroroutofmemory",     "bad_alloc",         "unable to allocate"};
    /* The server goes on with a smaller buffer. */
    if (strcasestr(line, "retrying without pipeline parallelism"))
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strcasestr(line, words[i]))
            return true;
    return false;
}

bool pm_logtail_says_oom(const struct pm_logtail *tail)
{
    for (size_t back = 0; back < 40; back++) {
        const char *line = line_back(tail, back);
        if (line && pm_log_line_says_oom(line))
            return true;
    }
    return false;
}
