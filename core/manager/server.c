#include "core/manager/server.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/manager/record.h"
#include "core/upstream/fetch.h"

/* A load is polled from here, doubling, unless the server prints its state. */
enum { POLL_FIRST_MS = 5, POLL_MOST_MS = 250, ASK_LIMIT_MS = 5000, KILL_GRACE_MS = 2000 };

struct pm_server {
    struct pm_loop *loop;
    struct pm_upstream *up;
    struct pm_server_paths paths;
    const struct pm_server_events *events;
    void *arg;
    pid_t pid;
    struct pm_child *child;
    struct pm_logtail *tail;
    struct pm_fetch *ask;
    struct pm_timer poll, kill;
    uint64_t poll_ms, last_line_ms;
    bool ready, says_state, stopping;
};

static void ask(struct pm_server *s, const char *url, void (*fn)(void *arg, int status, const char *body, size_t len))
{
    struct pm_transfer_spec spec = {
        .method = "GET", .url = url, .unix_socket = s->paths.socket, .connect_ms = ASK_LIMIT_MS};
    pm_fetch_cancel(s->ask);
    s->ask = pm_fetch_start(s->up, s->loop, &spec, ASK_LIMIT_MS, fn, s);
}

static void got_props(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct pm_server_props props = {0};
    s->ask = NULL;
    cJSON *root = status == 200 ? cJSON_ParseWithLength(body, len) : NULL;
    if (!root)
        return;
    props.context = (long long)pm_json_num(pm_json_get(root, "default_generation_settings"), "n_ctx", 0);
    props.slots = (long long)pm_json_num(root, "total_slots", 1);
    props.vision = pm_json_true(pm_json_get(root, "modalities"), "vision");
    props.audio = pm_json_true(pm_json_get(root, "modalities"), "audio");
    cJSON_Delete(root);
    s->events->props(s->arg, &props);
}

static void become_ready(struct pm_server *s)
{
    if (s->ready || s->stopping)
        return;
    s->ready = true;
    pm_timer_clear(&s->poll);
    s->events->ready(s->arg);
    ask(s, "http://localhost/props", got_props);
}

static void got_health(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    (void)body;
    (void)len;
    s->ask = NULL;
    if (status == 200)
        become_ready(s);
    else if (!s->says_state && !s->stopping)
        pm_timer_set(&s->poll, s->poll_ms);
}

static void poll_health(void *arg)
{
    struct pm_server *s = arg;
    s->poll_ms = s->poll_ms * 2 < POLL_MOST_MS ? s->poll_ms * 2 : POLL_MOST_MS;
    if (!s->says_state)
        ask(s, "http://localhost/health", got_health);
}

/* With LLAMA_SERVER_ROUTER_PORT set, a llama-server prints its state (llama.cpp, tools/server, server_child). */
static void log_line(void *arg, const char *line)
{
    static const char prefix[] = "cmd_child_to_router:state:";
    struct pm_server *s = arg;
    s->last_line_ms = pm_clock_ms();
    const char *at = strstr(line, prefix);
    if (!at)
        return;
    s->says_state = true;
    cJSON *root = cJSON_Parse(at + sizeof(prefix) - 1);
    const char *state = pm_json_str(root, "state");
    if (state && strcmp(state, "ready") == 0)
        become_ready(s);
    cJSON_Delete(root);
}

static void child_ended(void *arg, const struct pm_child_end *end)
{
    struct pm_server *s = arg;
    char how[80], why[512];
    pm_logtail_catch_up(s->tail);
    pm_fetch_cancel(s->ask);
    s->ask = NULL;
    pm_timer_clear(&s->poll);
    pm_timer_clear(&s->kill);
    unlink(s->paths.record);
    unlink(s->paths.socket);
    unlink(s->paths.fifo);
    const char *cause = s->stopping ? NULL : pm_logtail_cause(s->tail, !end->signo);
    snprintf(why, sizeof(why), "%s%s%.400s", pm_child_end_text(end, how, sizeof(how)), cause ? ": " : "",
             cause ? cause : "");
    s->events->ended(s->arg, why);
}

static void kill_now(void *arg)
{
    struct pm_server *s = arg;
    pm_log(PM_LOG_WARN, "server %d does not end by itself: killed", (int)s->pid);
    pm_child_signal(s->child, SIGKILL);
}

static struct pm_server *new_server(struct pm_loop *loop, struct pm_upstream *up, const struct pm_server_paths *paths,
                                    const struct pm_server_events *events, void *arg)
{
    struct pm_server *s = pm_calloc(1, sizeof(*s));
    s->loop = loop;
    s->up = up;
    s->events = events;
    s->arg = arg;
    s->paths = (struct pm_server_paths){.socket = pm_strdup(paths->socket),
                                        .fifo = pm_strdup(paths->fifo),
                                        .log = pm_strdup(paths->log),
                                        .record = pm_strdup(paths->record)};
    s->poll_ms = POLL_FIRST_MS;
    s->last_line_ms = pm_clock_ms();
    pm_timer_init(&s->poll, loop, poll_health, s);
    pm_timer_init(&s->kill, loop, kill_now, s);
    return s;
}

static int watch(struct pm_server *s, pid_t pid, bool adopted, struct pm_error *err)
{
    s->pid = pid;
    s->tail = pm_logtail_new(s->loop, s->paths.log, adopted, log_line, s);
    s->child = pm_child_watch(s->loop, pid, child_ended, s, err);
    return s->child ? PM_OK : PM_EIO;
}

struct pm_server *pm_server_start(struct pm_loop *loop, struct pm_upstream *up, const struct pm_server_paths *paths,
                                  const struct pm_strv *argv, const struct pm_strv *env,
                                  const struct pm_server_events *events, void *arg, struct pm_error *err)
{
    struct pm_server *s = new_server(loop, up, paths, events, arg);
    pid_t pid;
    /* A socket file that a dead server left makes the bind of the next one fail. */
    unlink(s->paths.socket);
    unlink(s->paths.fifo);
    unlink(s->paths.log);
    if (mkfifo(s->paths.fifo, 0600) < 0) {
        pm_error_errno(err, "%s: cannot be made", s->paths.fifo);
        goto fail;
    }
    if (pm_record_spawn(argv, env, s->paths.fifo, s->paths.log, &pid, err) < 0)
        goto fail;
    if (watch(s, pid, false, err) < 0) {
        kill(pid, SIGKILL);
        goto fail;
    }
    pm_record_write(s->paths.record, pid, argv, env);
    pm_timer_set(&s->poll, s->poll_ms);
    return s;
fail:
    pm_server_free(s);
    return NULL;
}

struct pm_server *pm_server_adopt(struct pm_loop *loop, struct pm_upstream *up, const struct pm_server_paths *paths,
                                  const struct pm_strv *argv, const struct pm_strv *env,
                                  const struct pm_server_events *events, void *arg)
{
    pid_t pid = pm_record_alive(paths->record, argv, env);
    if (!pid)
        return NULL;
    struct pm_server *s = new_server(loop, up, paths, events, arg);
    struct pm_error err = {0};
    if (watch(s, pid, true, &err) < 0) {
        pm_log(PM_LOG_WARN, "%s", err.msg);
        pm_server_free(s);
        return NULL;
    }
    /* Ready or still loading: it tells when it is asked. */
    poll_health(s);
    return s;
}

void pm_server_stop(struct pm_server *s)
{
    static const char bye[] = "cmd_router_to_child:exit\n";
    if (s->stopping)
        return;
    s->stopping = true;
    pm_timer_clear(&s->poll);
    int fd = open(s->paths.fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t ignored = write(fd, bye, sizeof(bye) - 1);
        (void)ignored;
        close(fd);
    }
    /* The line ends a server that is up; the signal one that is still loading or knows no such line. */
    pm_child_signal(s->child, SIGTERM);
    pm_timer_set(&s->kill, KILL_GRACE_MS);
}

void pm_server_leave(struct pm_server *s)
{
    pm_child_free(s->child);
    s->child = NULL;
}

static void release(void *arg)
{
    struct pm_server *s = arg;
    pm_logtail_free(s->tail);
    pm_timer_release(&s->poll);
    pm_timer_release(&s->kill);
    pm_server_paths_release(&s->paths);
    free(s);
}

void pm_server_free(struct pm_server *s)
{
    if (!s)
        return;
    pm_fetch_cancel(s->ask);
    pm_child_free(s->child);
    pm_timer_clear(&s->poll);
    pm_timer_clear(&s->kill);
    pm_loop_defer(s->loop, release, s);
}

pid_t pm_server_pid(const struct pm_server *s)
{
    return s->pid;
}

uint64_t pm_server_last_line_ms(const struct pm_server *s)
{
    return s->last_line_ms;
}

void pm_server_log_last(const struct pm_server *s, size_t lines, struct pm_buf *out)
{
    pm_logtail_last(s->tail, lines, out);
}

void pm_server_paths_init(struct pm_server_paths *p, const char *state_dir, const char *id)
{
    struct pm_buf name;
    pm_buf_init(&name, PM_BUF_OWN_LIMIT);
    for (const char *c = id; *c; c++) {
        if (isalnum((unsigned char)*c) || strchr("._-", *c))
            pm_buf_addn(&name, c, 1);
        else
            pm_buf_addf(&name, "%%%02x", (unsigned char)*c);
    }
    p->socket = pm_asprintf("%s/run/%s.sock", state_dir, name.data);
    p->fifo = pm_asprintf("%s/run/%s.in", state_dir, name.data);
    p->log = pm_asprintf("%s/log/%s.log", state_dir, name.data);
    p->record = pm_asprintf("%s/run/%s.json", state_dir, name.data);
    pm_buf_release(&name);
}

void pm_server_paths_release(struct pm_server_paths *p)
{
    free(p->socket);
    free(p->fifo);
    free(p->log);
    free(p->record);
    *p = (struct pm_server_paths){0};
}

static bool is_owned(const char *state_dir, const char *record, const struct pm_strv *ids)
{
    bool owned = false;
    for (size_t i = 0; i < ids->n && !owned; i++) {
        struct pm_server_paths p;
        pm_server_paths_init(&p, state_dir, ids->items[i]);
        owned = strcmp(p.record, record) == 0;
        pm_server_paths_release(&p);
    }
    return owned;
}

void pm_server_reap_strangers(const char *state_dir, const struct pm_strv *ids)
{
    char *dir = pm_asprintf("%s/run", state_dir);
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        size_t n = strlen(e->d_name);
        if (n < 6 || strcmp(e->d_name + n - 5, ".json") != 0)
            continue;
        char *path = pm_asprintf("%s/%s", dir, e->d_name);
        if (!is_owned(state_dir, path, ids))
            pm_record_end(path);
        free(path);
    }
    if (d)
        closedir(d);
    free(dir);
}
