/* Worker processes and the generations of configuration that they run. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/loop/notify.h"
#include "core/manager/manager_priv.h"

enum { RESPAWN_MOST_MS = 5000 };

void pm_worker_free(struct pm_worker *w)
{
    struct pm_worker **at = &w->m->workers;
    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
    pm_channel_free(w->channel);
    pm_child_free(w->child);
    pm_generation_release(w->generation);
    free(w->stage);
    free(w->failed_plugin);
    free(w->failure);
    free(w->live);
    cJSON_Delete(w->broken);
    pm_loop_defer(w->m->loop, free, w);
}

unsigned pm_workers_wanted(const struct pm_manager *m, const struct pm_generation *g)
{
    return m->options->workers ? (unsigned)m->options->workers : (unsigned)g->conf->gateway.workers;
}

static unsigned count(const struct pm_manager *m, const struct pm_generation *g, enum pm_worker_state least)
{
    unsigned n = 0;
    for (const struct pm_worker *w = m->workers; w; w = w->next)
        n += w->generation == g && w->state >= least && w->state != PM_WORKER_DRAINING;
    return n;
}

/* Loaded workers of the candidate go to work together, when the last of them is up. */
static void loaded(struct pm_worker *w)
{
    struct pm_manager *m = w->m;
    w->state = PM_WORKER_LOADED;
    if (w->generation == m->candidate) {
        if (count(m, m->candidate, PM_WORKER_LOADED) < pm_workers_wanted(m, m->candidate))
            return;
        pm_manager_commit(m, m->candidate);
    }
    char *state = pm_status_for_workers(m);
    for (struct pm_worker *o = m->workers; o; o = o->next) {
        if (o->generation != m->current || o->state != PM_WORKER_LOADED)
            continue;
        o->state = PM_WORKER_READY;
        /* The first state is also the order to accept. */
        pm_channel_send_text(o->channel, PM_MSG_STATE, 0, state);
        pm_watch_worker(o);
    }
    free(state);
    m->worker_deaths = 0;
    if (!m->announced) {
        m->announced = true;
        printf("pointsman: listening on http://%s\n", m->listen_text);
        fflush(stdout);
        pm_notify(m->notify_fd, "READY=1\nSTATUS=answering requests");
    }
}

static void failed(struct pm_worker *w, const struct pm_msg *msg)
{
    cJSON *root = cJSON_ParseWithLength(msg->data, msg->len);
    const char *plugin = pm_json_str(root, "plugin"), *error = pm_json_str(root, "error");
    free(w->failed_plugin);
    free(w->failure);
    w->failed_plugin = pm_strdup(plugin);
    w->failure = pm_strdup(error ? error : "unknown");
    cJSON_Delete(root);
}

/* It does not know the request: one of the others may. */
static void pass_feedback(const struct pm_worker *from, const struct pm_msg *msg)
{
    for (struct pm_worker *w = from->m->workers; w; w = w->next)
        if (w != from && w->channel)
            pm_channel_send(w->channel, PM_MSG_FEEDBACK, 0, msg->data, msg->len);
}

static void message(void *arg, const struct pm_msg *msg)
{
    struct pm_worker *w = arg;
    uint32_t watching;
    switch (msg->type) {
    case PM_MSG_STAGE:
        free(w->stage);
        w->stage = pm_strndup(msg->data, msg->len);
        break;
    case PM_MSG_READY:
        PM_FREE_AND_NULL(w->stage);
        loaded(w);
        break;
    case PM_MSG_FAILED:
        failed(w, msg);
        break;
    case PM_MSG_LEASE:
        pm_lease_ask(w, msg);
        break;
    case PM_MSG_LEASE_CANCEL:
        pm_lease_cancel(w, msg->id);
        break;
    case PM_MSG_STALL:
        pm_health_stalled(w, msg);
        break;
    case PM_MSG_LEASE_DONE:
        pm_lease_done(w, msg);
        break;
    case PM_MSG_METRICS:
        pm_metrics_merge(w->m->metrics, msg->data);
        break;
    case PM_MSG_SHARED:
        if (!pm_msg_struct(msg, &w->shared, sizeof(w->shared)))
            w->shared = 0;
        break;
    case PM_MSG_FEEDBACK:
        pass_feedback(w, msg);
        break;
    case PM_MSG_RECORD:
        pm_recording_add(w->m, msg->data, msg->len);
        pm_watch_record(w->m, msg->data, msg->len);
        break;
    case PM_MSG_LIVE:
        pm_watch_live(w, msg->data, msg->len);
        break;
    case PM_MSG_BREAKERS:
        cJSON_Delete(w->broken);
        w->broken = cJSON_ParseWithLength(msg->data, msg->len);
        pm_status_publish(w->m, false);
        break;
    case PM_MSG_WATCHING:
        if (pm_msg_struct(msg, &watching, sizeof(watching)))
            pm_watch_by_worker(w, watching);
        break;
    case PM_MSG_CONTROL:
        pm_control_message(w->m, w->channel, msg);
        break;
    default:
        pm_log(PM_LOG_WARN, "worker %d sent an unknown message %d", (int)w->pid, (int)msg->type);
    }
}

static void closed(void *arg, const char *why)
{
    struct pm_worker *w = arg;
    (void)why;
    /* Its process ends, or has: child_ended says how. */
    pm_control_forget(w->m, w->channel);
    pm_recording_forget(w->m, w->channel);
    pm_channel_free(w->channel);
    w->channel = NULL;
    pm_leases_of_worker_end(w);
}

static const struct pm_channel_events channel_events = {.message = message, .closed = closed};

static void schedule_respawn(struct pm_manager *m)
{
    uint64_t pause = 0;
    if (m->worker_deaths > 1) {
        pause = 50;
        for (unsigned i = 2; i < m->worker_deaths && pause < RESPAWN_MOST_MS; i++)
            pause *= 2;
    }
    pm_timer_set(&m->respawn, pause < RESPAWN_MOST_MS ? pause : RESPAWN_MOST_MS);
}

static void child_ended(void *arg, const struct pm_child_end *end)
{
    struct pm_worker *w = arg;
    struct pm_manager *m = w->m;
    char how[80], why[700];
    bool is_candidate = w->generation == m->candidate, is_current = w->generation == m->current;
    bool was_draining = w->state == PM_WORKER_DRAINING;
    if (w->channel)
        pm_channel_read_rest(w->channel);
    pm_child_end_text(end, how, sizeof(how));
    if (w->failure)
        snprintf(why, sizeof(why), "%s", w->failure);
    else if (w->stage)
        snprintf(why, sizeof(why), "%s: loading it ended the worker: %s", w->stage, how);
    else
        snprintf(why, sizeof(why), "the worker ended: %s", how);
    char *plugin = pm_strdup(w->failure ? w->failed_plugin : w->stage);
    if (w->channel) {
        pm_control_forget(m, w->channel);
        pm_recording_forget(m, w->channel);
        pm_channel_free(w->channel);
        w->channel = NULL;
    }
    pm_leases_of_worker_end(w);
    pid_t pid = w->pid;
    pm_worker_free(w);
    pm_watch_gone(m);
    if (is_candidate && !was_draining) {
        pm_manager_candidate_failed(m, plugin, why);
    } else if (is_current && !was_draining && !m->stopping) {
        pm_log(PM_LOG_ERROR, "worker %d died: %s", (int)pid, why);
        pm_metrics_add(m->metrics, "pointsman_worker_restarts_total", "", 1);
        m->worker_deaths++;
        schedule_respawn(m);
    }
    free(plugin);
    pm_manager_maybe_end(m);
}

static void keep_open(int fd)
{
    fcntl(fd, F_SETFD, 0);
}

/* In the child: only what the worker needs stays open. */
static void become_worker(const struct pm_manager *m, const struct pm_generation *g, int channel, int bundle)
{
    char channel_text[16], bundle_text[16], listen_text[16], state_text[16];
    char command[] = "_worker";
    char *argv[] = {(char *)m->options->self, command, channel_text, bundle_text, listen_text, state_text, NULL};
    snprintf(channel_text, sizeof(channel_text), "%d", channel);
    snprintf(bundle_text, sizeof(bundle_text), "%d", bundle);
    snprintf(listen_text, sizeof(listen_text), "%d", m->listen_fd);
    snprintf(state_text, sizeof(state_text), "%d", m->state_fd);
    keep_open(channel);
    keep_open(m->state_fd);
    keep_open(bundle);
    keep_open(m->listen_fd);
    for (size_t i = 0; i < g->bundle->n_plugins; i++)
        keep_open(g->bundle->plugins[i].fd);
    for (size_t i = 0; i < g->bundle->n_data; i++)
        keep_open(g->bundle->data[i].fd);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* Ctrl-C in a terminal is for the manager, which then drains its workers. */
    setpgid(0, 0);
    execv(argv[0], argv);
    dprintf(2, "pointsman: %s cannot be started: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static int spawn(struct pm_manager *m, struct pm_generation *g, struct pm_error *err)
{
    int pair[2];
    int bundle = pm_bundle_export(g->bundle, err);
    if (bundle < 0)
        return PM_EIO;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        close(bundle);
        return pm_error_errno(err, "no channel to a worker can be made");
    }
    pid_t pid = pm_child_fork();
    if (pid == 0)
        become_worker(m, g, pair[1], bundle);
    close(pair[1]);
    close(bundle);
    if (pid < 0) {
        close(pair[0]);
        return pm_error_errno(err, "no worker process can be made");
    }
    struct pm_worker *w = pm_calloc(1, sizeof(*w));
    w->m = m;
    w->pid = pid;
    w->generation = g;
    g->users++;
    w->child = pm_child_watch(m->loop, pid, child_ended, w, err);
    w->channel = pm_channel_new(m->loop, pair[0], &channel_events, w);
    w->next = m->workers;
    m->workers = w;
    return w->child ? PM_OK : PM_EIO;
}

int pm_workers_start(struct pm_manager *m, struct pm_generation *g, struct pm_error *err)
{
    while (count(m, g, PM_WORKER_STARTING) < pm_workers_wanted(m, g)) {
        int rc = spawn(m, g, err);
        if (rc < 0)
            return rc;
    }
    return PM_OK;
}

void pm_workers_respawn(void *manager)
{
    struct pm_manager *m = manager;
    struct pm_error err = {0};
    if (m->stopping || !m->current)
        return;
    if (pm_workers_start(m, m->current, &err) < 0) {
        pm_log(PM_LOG_ERROR, "%s", err.msg);
        m->worker_deaths++;
        schedule_respawn(m);
    }
}

void pm_workers_drain(struct pm_manager *m, const struct pm_generation *g, bool now)
{
    uint32_t at_once = now;
    for (struct pm_worker *w = m->workers; w; w = w->next) {
        if (g && w->generation != g)
            continue;
        w->state = PM_WORKER_DRAINING;
        if (w->channel)
            pm_channel_send(w->channel, PM_MSG_DRAIN, 0, &at_once, sizeof(at_once));
    }
}

void pm_workers_broadcast(struct pm_manager *m, const char *state_json)
{
    for (struct pm_worker *w = m->workers; w; w = w->next)
        if (w->channel && (w->state == PM_WORKER_READY || w->state == PM_WORKER_DRAINING))
            pm_channel_send_text(w->channel, PM_MSG_STATE, 0, state_json);
}
