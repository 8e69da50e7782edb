/* `pointsman serve`: start, configuration, signals, end. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/loop/notify.h"
#include "core/manager/manager_priv.h"
#include "core/store/limits.h"

enum { QUIET_MS = 100, BACKLOG = 1024 };

/* --- configuration --- */

void pm_generation_release(struct pm_generation *g)
{
    if (!g || --g->users)
        return;
    pm_conf_free(g->conf);
    pm_bundle_free(g->bundle);
    free(g);
}

static void set_config_error(struct pm_manager *m, const char *text)
{
    free(m->config_error);
    m->config_error = pm_strdup(text);
    if (text)
        pm_log(PM_LOG_ERROR, "configuration: %s", text);
}

static void log_all(const struct pm_strv *list, enum pm_log_level level)
{
    for (size_t i = 0; i < list->n; i++)
        pm_log(level, "configuration: %s", list->items[i]);
}

/* The configuration as the files have it now, or NULL with the reason noted. At the first start a route file with a
 * fault is left out; later any fault keeps the last good configuration. */
static struct pm_generation *read_generation(struct pm_manager *m)
{
    const struct pm_serve_options *o = m->options;
    struct pm_error err = {0};
    struct pm_diags diags = {0};
    struct pm_bundle *bundle = pm_bundle_read(o->models, o->routes_dir, o->plugins_dir, m->keys_path, &err);
    if (!bundle) {
        set_config_error(m, err.msg);
        return NULL;
    }
    struct pm_generation *g = NULL;
    if (m->current && m->current->conf->needs_key && !bundle->clients.text) {
        /* It may be on its way to its place: nobody is to be let in meanwhile. */
        set_config_error(m, "the keys file has gone: its keys stay in force until it is back, or until a restart");
        pm_bundle_free(bundle);
        return NULL;
    }
    struct pm_conf *conf = pm_conf_parse(bundle, &diags);
    log_all(&diags.warnings, PM_LOG_WARN);
    log_all(&diags.notes, PM_LOG_WARN);
    if (diags.errors.n > 1)
        log_all(&diags.errors, PM_LOG_ERROR);
    if (diags.errors.n)
        set_config_error(m, diags.errors.items[0]);
    if (!conf || (diags.errors.n && m->current)) {
        pm_conf_free(conf);
        pm_bundle_free(bundle);
        goto out;
    }
    g = pm_calloc(1, sizeof(*g));
    g->bundle = bundle;
    g->conf = conf;
    g->users = 1;
    g->number = ++m->generations;
out:
    pm_diags_release(&diags);
    return g;
}

static void start_candidate(struct pm_manager *m, struct pm_generation *g)
{
    struct pm_error err = {0};
    m->candidate = g;
    if (pm_workers_start(m, g, &err) < 0)
        pm_manager_candidate_failed(m, NULL, err.msg);
}

void pm_manager_reload(struct pm_manager *m)
{
    if (m->stopping)
        return;
    if (m->candidate) {
        m->reload_pending = true;
        return;
    }
    struct pm_generation *g = read_generation(m);
    if (!g)
        return;
    bool forced = m->forced_reload;
    m->forced_reload = false;
    if (m->current && !forced && pm_bundle_equal(g->bundle, m->current->bundle)) {
        /* A fault that was mended by going back. */
        set_config_error(m, NULL);
        pm_generation_release(g);
        return;
    }
    start_candidate(m, g);
}

static void drop_candidate(struct pm_manager *m)
{
    struct pm_generation *g = m->candidate;
    m->candidate = NULL;
    for (struct pm_worker *w = m->workers; w; w = w->next) {
        if (w->generation == g) {
            w->state = PM_WORKER_DRAINING;
            kill(w->pid, SIGKILL);
        }
    }
    pm_generation_release(g);
}

static bool mark_broken(struct pm_bundle *b, const char *path)
{
    for (size_t i = 0; path && i < b->n_plugins; i++) {
        if (strcmp(b->plugins[i].path, path) == 0 && !b->plugins[i].broken) {
            b->plugins[i].broken = true;
            return true;
        }
    }
    return false;
}

/* Does a route ask for the policy of this file? Policies are named like their files. */
static bool is_named(const struct pm_generation *g, const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!slash)
        return true;
    char *name = pm_strndup(slash + 1, strcspn(slash + 1, "."));
    bool named = false;
    for (size_t i = 0; i < g->conf->n_routes; i++)
        named |= pm_strv_has(&g->conf->routes[i].policies, name);
    free(name);
    return named;
}

void pm_manager_candidate_failed(struct pm_manager *m, const char *plugin, const char *why)
{
    if (!m->candidate)
        return;
    set_config_error(m, why);
    /* Better without this policy than not at all, where nothing runs yet; and where no route needs it, what else has
     * changed goes ahead. */
    bool dispensable = !m->current || !is_named(m->candidate, plugin);
    if (dispensable && mark_broken(m->candidate->bundle, plugin) &&
        !(m->current && pm_bundle_equal(m->candidate->bundle, m->current->bundle))) {
        struct pm_generation *again = m->candidate;
        again->users++;
        drop_candidate(m);
        start_candidate(m, again);
        return;
    }
    drop_candidate(m);
    if (!m->current) {
        fprintf(stderr, "pointsman: cannot start: %s\n", why);
        m->exit_code = 1;
        pm_manager_stop(m, true);
        return;
    }
    pm_notify(m->notify_fd, "READY=1");
    if (m->reload_pending) {
        m->reload_pending = false;
        pm_manager_reload(m);
    }
}

void pm_manager_commit(struct pm_manager *m, struct pm_generation *g)
{
    struct pm_generation *old = m->current;
    bool faultless = true;
    for (size_t i = 0; i < g->bundle->n_plugins; i++)
        faultless &= !g->bundle->plugins[i].broken;
    m->current = g;
    m->candidate = NULL;
    /* At the first start the configuration may be in use with a part left out: that stays told. */
    if (old && faultless)
        set_config_error(m, NULL);
    pm_log(PM_LOG_INFO, "configuration %u is in use", g->number);
    if (old)
        pm_notify(m->notify_fd, "READY=1");
    pm_profiles_sync(m);
    pm_recording_configure(m);
    if (old) {
        pm_workers_drain(m, old, false);
        pm_generation_release(old);
    }
    if (m->reload_pending) {
        m->reload_pending = false;
        pm_manager_reload(m);
    }
}

static void files_changed(void *arg)
{
    pm_manager_reload(arg);
}

static void watch_files(struct pm_manager *m, const struct pm_generation *g)
{
    const struct pm_serve_options *o = m->options;
    const char *slash = strrchr(o->models, '/');
    char *dir = slash ? pm_strndup(o->models, (size_t)(slash - o->models)) : pm_strdup(".");
    const char *folders[] = {*dir ? dir : "/", o->routes_dir, o->plugins_dir};
    m->files = pm_files_new(m->loop, QUIET_MS, files_changed, m);
    for (size_t i = 0; i < 3; i++) {
        struct pm_error err = {0};
        if (pm_files_add_folder(m->files, folders[i], &err) < 0)
            pm_log(PM_LOG_WARN, "%s (SIGHUP reloads by hand)", err.msg);
    }
    struct pm_error err = {0};
    const char *keys = g->bundle->clients.path;
    if (keys && pm_files_add_file(m->files, keys, &err) < 0)
        pm_log(PM_LOG_WARN, "%s (SIGHUP reloads by hand)", err.msg);
    free(dir);
}

/* --- listening --- */

static bool is_loopback(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)addr)->sin_addr.s_addr) >> 24) == 127;
    return addr->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr);
}

static int bind_to(struct pm_manager *m, const struct addrinfo *a, const char *text, struct pm_error *err)
{
    int one = 1;
    if (!is_loopback(a->ai_addr) && !m->options->listen_anywhere && !m->has_keys)
        return pm_error_set(
            err, PM_EINVAL,
            "%s is not a loopback address: anybody who reaches it could use your models and your "
            "cloud keys. Make keys for them (`pointsman key add NAME`), or say --insecure-listen if that is what "
            "you want",
            text);
    m->listen_fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (m->listen_fd >= 0)
        setsockopt(m->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (m->listen_fd < 0 || bind(m->listen_fd, a->ai_addr, a->ai_addrlen) < 0 || listen(m->listen_fd, BACKLOG) < 0)
        return pm_error_errno(err, "%s: cannot listen there", text);
    return PM_OK;
}

static void name_listener(struct pm_manager *m)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    char host[80], port[16];
    if (getsockname(m->listen_fd, (struct sockaddr *)&addr, &len) < 0)
        addr.ss_family = AF_INET;
    getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    m->listen_text = pm_asprintf(addr.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static int open_listener(struct pm_manager *m, const char *text, struct pm_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    const char *colon = strrchr(text, ':');
    if (!colon || !colon[1])
        return pm_error_set(err, PM_EINVAL, "%s: an address is HOST:PORT", text);
    char *host = pm_strndup(text, (size_t)(colon - text));
    size_t n = strlen(host);
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        memmove(host, host + 1, n - 2);
        host[n - 2] = 0;
    }
    int rc = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
    if (rc)
        rc = pm_error_set(err, PM_EINVAL, "%s: %s", text, gai_strerror(rc));
    else
        rc = bind_to(m, found, text, err);
    if (found)
        freeaddrinfo(found);
    free(host);
    if (rc == PM_OK)
        name_listener(m);
    return rc;
}

/* --- start and end --- */

static int make_folder(const char *path, struct pm_error *err)
{
    char *part = pm_strdup(path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        mkdir(part, 0700);
        *p = '/';
    }
    struct stat st;
    int rc = mkdir(part, 0700) < 0 && errno != EEXIST ? pm_error_errno(err, "%s: cannot be made", path) : PM_OK;
    /* Whoever else can write to it could put a socket of his own in it. */
    if (rc == PM_OK && (stat(part, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022)))
        rc = pm_error_set(err, PM_EINVAL, "%s: must be a folder of your own that nobody else may write to", path);
    free(part);
    return rc;
}

static int open_state(struct pm_manager *m, struct pm_error *err)
{
    static const char *const parts[] = {"", "/run", "/log", "/kv"};
    int rc = PM_OK;
    for (size_t i = 0; i < 4 && rc == PM_OK; i++) {
        char *path = pm_asprintf("%s%s", m->options->state_dir, parts[i]);
        rc = make_folder(path, err);
        free(path);
    }
    if (rc < 0)
        return rc;
    char *real = realpath(m->options->state_dir, NULL);
    m->state_dir = real ? real : pm_strdup(m->options->state_dir);
    if (strlen(m->state_dir) > 60)
        return pm_error_set(err, PM_EINVAL,
                            "%s: too long a path: sockets in it may have 107 bytes; use another --state",
                            m->state_dir);
    m->keys_path = pm_asprintf("%s/keys.conf", m->state_dir);
    m->state_fd = open(m->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->state_fd < 0)
        return pm_error_errno(err, "%s", m->state_dir);
    /* What the workers will write is tried before anything else is begun. */
    struct pm_limits *limits = pm_limits_open(m->state_fd, "limits", err);
    if (!limits)
        return PM_EIO;
    pm_limits_free(limits);
    char *lock = pm_asprintf("%s/lock", m->state_dir);
    m->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (m->lock_fd < 0 || flock(m->lock_fd, LOCK_EX | LOCK_NB) < 0)
        rc = pm_error_set(err, PM_EBUSY,
                          "%s: another pointsman serve runs with this state folder: `pointsman stop` it, "
                          "or give another --state",
                          m->state_dir);
    free(lock);
    return rc;
}

void pm_manager_maybe_end(struct pm_manager *m)
{
    if (!m->stopping || m->workers)
        return;
    pm_profiles_stop_all(m);
    bool recorded = pm_recording_end(m);
    if (pm_profiles_all_off(m) && recorded)
        pm_loop_stop(m->loop);
}

static void end_workers_hard(void *arg)
{
    struct pm_manager *m = arg;
    for (struct pm_worker *w = m->workers; w; w = w->next)
        kill(w->pid, SIGKILL);
}

void pm_manager_stop(struct pm_manager *m, bool keep_servers)
{
    enum { DRAIN_MS = 30000 };
    if (m->stopping) {
        /* Asked twice: now. */
        end_workers_hard(m);
        return;
    }
    m->stopping = true;
    m->keep_servers = keep_servers;
    pm_notify(m->notify_fd, "STOPPING=1");
    pm_log(PM_LOG_INFO, "stopping%s", keep_servers ? ", the model servers stay" : "");
    for (struct pm_profile *p = m->profiles; p; p = p->next)
        pm_leases_deny(p, PM_DENY_STOPPING, 5, "the gateway is shutting down");
    pm_workers_drain(m, NULL, true);
    pm_timer_release(&m->respawn);
    pm_timer_init(&m->respawn, m->loop, end_workers_hard, m);
    pm_timer_set(&m->respawn, DRAIN_MS);
    /* Model servers end after the last worker: their last requests are finished. */
    pm_manager_maybe_end(m);
}

static void tell_alive(void *arg)
{
    struct pm_manager *m = arg;
    pm_notify(m->notify_fd, "WATCHDOG=1");
    pm_timer_set(&m->alive, m->alive_ms);
}

/* RELOADING=1 wants the time at which it began; READY=1 ends it (sd_notify(3)). */
static void tell_reloading(struct pm_manager *m)
{
    char text[80];
    if (!m->announced)
        return;
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)pm_clock_us());
    pm_notify(m->notify_fd, text);
}

static void on_terminate(evutil_socket_t signo, short what, void *arg)
{
    (void)signo;
    (void)what;
    pm_manager_stop(arg, false);
}

static void on_hangup(evutil_socket_t signo, short what, void *arg)
{
    struct pm_manager *m = arg;
    (void)signo;
    (void)what;
    /* By hand: keys in files may have changed where the configuration has not. */
    m->forced_reload = true;
    tell_reloading(m);
    pm_manager_reload(m);
    /* Nothing to do, or a fault: over at once. */
    if (!m->candidate)
        pm_notify(m->notify_fd, "READY=1");
}

static void look_again(void *arg)
{
    struct pm_manager *m = arg;
    m->look_again_at_ms = 0;
    pm_profiles_schedule(m);
}

static int start(struct pm_manager *m, struct pm_error *err)
{
    int rc = open_state(m, err);
    if (rc < 0)
        return rc;
    struct pm_generation *g = read_generation(m);
    if (!g)
        return pm_error_set(err, PM_EINVAL, "%s", m->config_error);
    const char *listen = m->options->listen;
    if (!listen)
        listen = g->conf->gateway.listen ? g->conf->gateway.listen : "127.0.0.1:8484";
    m->has_keys = g->conf->needs_key;
    if ((rc = open_listener(m, listen, err)) < 0 || (rc = pm_control_open(m, err)) < 0) {
        pm_generation_release(g);
        return rc;
    }
    m->up = pm_upstream_new(m->loop);
    pm_memory_init(m);
    pm_loop_on_signal(m->loop, SIGTERM, on_terminate, m);
    pm_loop_on_signal(m->loop, SIGINT, on_terminate, m);
    pm_loop_on_signal(m->loop, SIGHUP, on_hangup, m);
    watch_files(m, g);
    pm_timer_set(&m->tick, 1000);
    start_candidate(m, g);
    return PM_OK;
}

static void release(struct pm_manager *m)
{
    while (m->workers)
        pm_worker_free(m->workers);
    pm_control_close(m);
    pm_recording_free(m);
    pm_profiles_free(m);
    pm_watches_free(m);
    pm_generation_release(m->candidate);
    pm_generation_release(m->current);
    pm_files_free(m->files);
    pm_timer_release(&m->respawn);
    pm_timer_release(&m->look_again);
    pm_timer_release(&m->tick);
    pm_timer_release(&m->publish);
    pm_timer_release(&m->alive);
    pm_metrics_free(m->metrics);
    pm_warm_stop(m);
    pm_fit_stop(m);
    pm_memory_release(m);
    pm_loop_settle(m->loop);
    pm_upstream_free(m->up);
    pm_loop_free(m->loop);
    if (m->listen_fd >= 0)
        close(m->listen_fd);
    if (m->lock_fd >= 0)
        close(m->lock_fd);
    if (m->state_fd >= 0)
        close(m->state_fd);
    if (m->notify_fd >= 0)
        close(m->notify_fd);
    free(m->keys_path);
    free(m->config_error);
    free(m->listen_text);
    free(m->state_dir);
}

int pm_manager_run(const struct pm_serve_options *options)
{
    struct pm_manager m = {.options = options, .listen_fd = -1, .control_fd = -1, .lock_fd = -1, .state_fd = -1};
    struct pm_error err = {0};
    signal(SIGPIPE, SIG_IGN);
    pm_log_init("manager", PM_LOG_INFO);
    m.loop = pm_loop_new();
    m.metrics = pm_metrics_new();
    pm_watches_init(&m);
    pm_timer_init(&m.respawn, m.loop, pm_workers_respawn, &m);
    pm_timer_init(&m.look_again, m.loop, look_again, &m);
    pm_timer_init(&m.tick, m.loop, pm_profiles_tick, &m);
    pm_timer_init(&m.publish, m.loop, pm_status_publish_due, &m);
    pm_timer_init(&m.alive, m.loop, tell_alive, &m);
    m.notify_fd = pm_notify_open(&m.alive_ms);
    if (m.alive_ms)
        pm_timer_set(&m.alive, m.alive_ms);
    if (start(&m, &err) < 0) {
        fprintf(stderr, "pointsman: cannot start: %s\n", err.msg);
        m.exit_code = 1;
    } else {
        pm_loop_run(m.loop);
    }
    release(&m);
    return m.exit_code;
}
