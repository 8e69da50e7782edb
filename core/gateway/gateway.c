/* Start and end of a worker, and what it hears from the manager. */
#include "core/gateway/gateway.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/gateway/gateway_priv.h"

enum {
    HEAD_MAX = 64 << 10,
    POLICY_MEMORY_MAX = 16 << 20,
    QUEUED_MAX = 256 << 10,
    READ_MS = 60 * 1000,
    WRITE_MS = 120 * 1000,
    CONNECTIONS_MAX = 16384,
    METRICS_EVERY_MS = 500
};

/* --- configuration --- */

static void stage(void *arg, const char *file)
{
    struct pm_gateway *g = arg;
    pm_channel_send_text(g->channel, PM_MSG_STAGE, 0, file);
    /* It must be on its way before the foreign code runs: that may end this process. */
    event_base_loop(pm_loop_base(g->loop), EVLOOP_NONBLOCK);
}

static void policy_metric(void *arg, const char *policy, const char *name, double add)
{
    struct pm_gateway *g = arg;
    char full[128];
    struct pm_buf labels;
    snprintf(full, sizeof(full), "pointsman_policy_%s", name);
    pm_buf_init(&labels, 256);
    pm_metrics_label(&labels, "policy", policy);
    pm_metrics_add(g->metrics, full, labels.data, add);
    pm_buf_release(&labels);
}

static void *policy_shared(void *arg, const char *policy, const char *route, size_t size)
{
    struct pm_gateway *g = arg;
    struct pm_mapped_kind kind = {.name = "pmpol", .format = 1, .size = (uint32_t)size};
    struct pm_mapped file;
    struct pm_error err = {0};
    if (!size || size > POLICY_MEMORY_MAX)
        return NULL;
    char *name = pm_asprintf("policy-%s.%s", policy, route);
    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '_';
    int rc = pm_mapped_open(g->state_fd, name, &kind, &file, &err);
    free(name);
    if (rc < 0) {
        pm_log(PM_LOG_WARN, "%s: policy %s keeps nothing for route %s", err.msg, policy, route);
        return NULL;
    }
    g->policy_memory = pm_realloc(g->policy_memory, g->n_policy_memory + 1, sizeof(*g->policy_memory));
    g->policy_memory[g->n_policy_memory++] = file;
    return file.at;
}

static const char *policy_file(void *arg, const char *path)
{
    struct pm_gateway *g = arg;
    int fd = pm_bundle_data(g->bundle, path);
    if (fd < 0)
        return NULL;
    snprintf(g->file_path, sizeof(g->file_path), "/proc/self/fd/%d", fd);
    return g->file_path;
}

static int cannot_start(struct pm_gateway *g, const char *plugin, const char *why)
{
    cJSON *root = cJSON_CreateObject();
    if (plugin)
        cJSON_AddStringToObject(root, "plugin", plugin);
    cJSON_AddStringToObject(root, "error", why);
    char *text = pm_json_text(root);
    pm_channel_send_text(g->channel, PM_MSG_FAILED, 0, text);
    free(text);
    cJSON_Delete(root);
    return PM_EINVAL;
}

static int load_policies(struct pm_gateway *g)
{
    static const struct pm_policies_events events = {
        .stage = stage, .metric = policy_metric, .shared = policy_shared, .file = policy_file};
    struct pm_error err = {0};
    g->policies = pm_policies_new(&events, g);
    for (size_t i = 0; i < g->bundle->n_plugins; i++) {
        const struct pm_bundle_plugin *p = &g->bundle->plugins[i];
        if (pm_policies_load(g->policies, p->path, p->fd, &err) < 0)
            return cannot_start(g, p->path, err.msg);
        close(g->bundle->plugins[i].fd);
        g->bundle->plugins[i].fd = -1;
    }
    for (size_t i = 0; i < g->conf->n_routes; i++) {
        const char *culprit;
        if (pm_policies_bind(g->policies, &g->conf->routes[i], &culprit, &err) < 0)
            return cannot_start(g, culprit, err.msg);
    }
    return PM_OK;
}

static char *read_key(const struct pm_target *t)
{
    if (t->api_key_env) {
        const char *key = getenv(t->api_key_env);
        return key && *key ? pm_strdup(key) : NULL;
    }
    char *text;
    size_t len;
    struct pm_error err = {0};
    if (!t->api_key_file)
        return NULL;
    if (pm_file_read(t->api_key_file, 4096, &text, &len, &err) < 0) {
        pm_log(PM_LOG_WARN, "%s", err.msg);
        return NULL;
    }
    text[strcspn(text, "\r\n")] = 0;
    return text;
}

static void init_targets(struct pm_gateway *g)
{
    g->shares = pm_calloc(g->conf->n_routes + 1, sizeof(*g->shares));
    g->states = pm_calloc(g->conf->n_targets, sizeof(*g->states));
    g->direct = pm_calloc(g->conf->n_targets, sizeof(*g->direct));
    for (size_t i = 0; i < g->conf->n_targets; i++) {
        const struct pm_target *t = &g->conf->targets[i];
        size_t *self = pm_calloc(1, sizeof(*self));
        *self = i;
        g->direct[i] = (struct pm_route){
            .id = t->id, .file = t->file, .targets = self, .n_targets = 1, .fallback = -1, .resume = true};
        struct pm_target_state *s = &g->states[i];
        s->key = read_key(t);
        if (t->kind == PM_TARGET_LOCAL) {
            s->prefixes = pm_prefix_memory_new();
            continue;
        }
        s->ready = true;
        if (!s->key && (t->api_key_env || t->api_key_file))
            s->down = pm_asprintf("its key is missing: %s", t->api_key_env ? t->api_key_env : t->api_key_file);
        s->caps = t->caps;
        s->caps_known = t->caps_given;
        s->context = t->ctx_size;
    }
}

static int configure(struct pm_gateway *g, int bundle_fd)
{
    struct pm_error err = {0};
    struct pm_diags diags = {0};
    g->bundle = pm_bundle_import(bundle_fd, &err);
    if (!g->bundle)
        return cannot_start(g, NULL, err.msg);
    g->conf = pm_conf_parse(g->bundle, &diags);
    if (!g->conf) {
        int rc = cannot_start(g, NULL, diags.errors.n ? diags.errors.items[0] : "the configuration is empty");
        pm_diags_release(&diags);
        return rc;
    }
    pm_diags_release(&diags);
    enum pm_log_level level;
    if (g->conf->gateway.log_level && pm_log_level_parse(g->conf->gateway.log_level, &level) == PM_OK)
        pm_log_init("worker", level);
    init_targets(g);
    g->records_prompts = g->conf->gateway.record && strcmp(g->conf->gateway.record, "prompts") == 0;
    if (g->conf->gateway.cache_max)
        g->cache = pm_cache_new((size_t)g->conf->gateway.cache_max << 20);
    return load_policies(g);
}

/* --- the manager's word --- */

const char *pm_target_down(const struct pm_target_state *s)
{
    return s->down_until_ms && pm_clock_ms() >= s->down_until_ms ? NULL : s->down;
}

static void set_state(struct pm_gateway *g, const cJSON *item)
{
    const char *id = pm_json_str(item, "id");
    const struct pm_target *t = id ? pm_conf_target(g->conf, id) : NULL;
    if (!t || t->kind != PM_TARGET_LOCAL)
        return;
    struct pm_target_state *s = &g->states[t->index];
    const char *state = pm_json_str(item, "state");
    double progress = pm_json_num(item, "progress", 0);
    bool news =
        !s->state || !state || strcmp(state, s->state) != 0 || progress < s->progress || progress > s->progress;
    s->progress = progress;
    free(s->down);
    free(s->address);
    free(s->state);
    s->state = pm_strdup(pm_json_str(item, "state"));
    s->down = pm_strdup(pm_json_str(item, "down"));
    s->down_until_ms = (uint64_t)pm_json_num(item, "down_until_ms", 0);
    s->address = pm_strdup(pm_json_str(item, "address"));
    s->ready = s->state && strcmp(s->state, "ready") == 0;
    s->wait_s = pm_json_num(item, "wait_s", 0);
    s->prompt_tps = pm_json_num(item, "prompt_tps", 0);
    s->context = (long long)pm_json_num(item, "context", 0);
    s->caps = (unsigned)pm_json_num(item, "caps", 0);
    s->caps_known = pm_json_true(item, "caps_known");
    if (!s->down && !s->key && (t->api_key_env || t->api_key_file))
        s->down = pm_asprintf("its key is missing: %s", t->api_key_env ? t->api_key_env : t->api_key_file);
    if (news)
        pm_listeners_tell(g, t->index);
}

void pm_gateway_state(struct pm_gateway *g, const char *json)
{
    cJSON *root = cJSON_Parse(json);
    const cJSON *item;
    cJSON_ArrayForEach (item, root)
        set_state(g, item);
    cJSON_Delete(root);
    if (!g->accepting && !g->draining) {
        g->accepting = true;
        pm_http_server_listen(g->http, g->listen_fd);
        pm_log(PM_LOG_INFO, "accepting requests");
    }
}

static void drain(struct pm_gateway *g, bool now)
{
    g->draining = true;
    /* Their connections are to be closed: who listens on must do so at a worker that stays. */
    pm_http_server_drain(g->http, now);
    pm_listeners_end(g);
}

static void message(void *arg, const struct pm_msg *msg)
{
    struct pm_gateway *g = arg;
    uint32_t now = 0, kinds = 0;
    switch (msg->type) {
    case PM_MSG_STATE:
        pm_gateway_state(g, msg->data);
        break;
    case PM_MSG_DRAIN:
        drain(g, pm_msg_struct(msg, &now, sizeof(now)) && now);
        break;
    case PM_MSG_LEASE_GRANT:
    case PM_MSG_LEASE_DENY:
        pm_lease_message(g, msg);
        break;
    case PM_MSG_FEEDBACK:
        pm_feedback_message(g, msg);
        break;
    case PM_MSG_REPLY:
        pm_question_answered(g, msg);
        break;
    case PM_MSG_WATCH:
        if (pm_msg_struct(msg, &kinds, sizeof(kinds)))
            pm_journal_watched(g, kinds);
        break;
    case PM_MSG_EVENT:
        pm_listeners_event(g, msg);
        break;
    default:
        pm_log(PM_LOG_WARN, "the manager sent an unknown message %d", (int)msg->type);
    }
}

static void manager_gone(void *arg, const char *why)
{
    struct pm_gateway *g = arg;
    pm_log(PM_LOG_WARN, "manager: %s; finishing what is under way", why);
    pm_channel_free(g->channel);
    g->channel = NULL;
    if (!g->accepting) {
        g->exit_code = 1;
        pm_loop_stop(g->loop);
        return;
    }
    pm_calls_without_manager(g);
    drain(g, true);
    /* The next manager wants this address before our last stream has ended. */
    close(g->listen_fd);
    g->listen_fd = -1;
}

static void drained(void *arg)
{
    struct pm_gateway *g = arg;
    pm_loop_stop(g->loop);
}

static void on_terminate(evutil_socket_t signo, short what, void *arg)
{
    (void)signo;
    (void)what;
    drain(arg, true);
}

static void flush_metrics(void *arg)
{
    struct pm_gateway *g = arg;
    struct pm_buf lines;
    pm_buf_init(&lines, PM_BUF_OWN_LIMIT);
    if (g->channel && pm_metrics_drain(g->metrics, &lines))
        pm_channel_send(g->channel, PM_MSG_METRICS, 0, lines.data, lines.len);
    pm_buf_release(&lines);
    pm_timer_set(&g->flush_metrics, METRICS_EVERY_MS);
}

/* --- start and end --- */

static void request(void *arg, struct pm_exchange *x)
{
    pm_endpoints_request(arg, x);
}

static void refused(void *arg, struct pm_exchange *x, int status, const char *why)
{
    if (status == 401)
        pm_reply_header(x, "WWW-Authenticate", "Bearer");
    pm_reply_error(arg, x, status, status == 401 ? "invalid_api_key" : NULL, "%s", why);
}

/* Nothing is read for somebody who may not come in. */
static int head(void *arg, struct pm_exchange *x, const char **why)
{
    struct pm_gateway *g = arg;
    if (pm_endpoints_access(pm_exchange_head(x)) == PM_ACCESS_ALL || pm_admit_head(g, x, why))
        return 0;
    return 401;
}

static const struct pm_http_server_events http_events = {
    .request = request, .head = head, .refused = refused, .drained = drained};

static void open_http(struct pm_gateway *g)
{
    struct pm_http_limits limits = {.head = HEAD_MAX,
                                    .body = (size_t)g->conf->gateway.max_body << 20,
                                    .queued = QUEUED_MAX,
                                    .keep_alive_ms = g->conf->gateway.keep_alive_ms,
                                    .read_ms = READ_MS,
                                    .write_ms = WRITE_MS,
                                    .connections = CONNECTIONS_MAX};
    g->http = pm_http_server_new(g->loop, &limits, &http_events, g);
}

static void release_targets(struct pm_gateway *g)
{
    for (size_t i = 0; g->conf && g->states && i < g->conf->n_targets; i++) {
        struct pm_target_state *s = &g->states[i];
        free(s->key);
        free(s->down);
        free(s->address);
        free(s->state);
        pm_prefix_memory_free(s->prefixes);
        free(g->direct[i].targets);
    }
    free(g->states);
    free(g->direct);
}

static void release(struct pm_gateway *g)
{
    pm_shared_end(g);
    flush_metrics(g);
    while (g->calls)
        pm_call_free(g->calls);
    pm_http_server_free(g->http);
    pm_channel_free(g->channel);
    pm_policies_free(g->policies);
    for (size_t i = 0; i < g->n_policy_memory; i++)
        pm_mapped_close(&g->policy_memory[i]);
    free(g->policy_memory);
    free(g->shares);
    free(g->rated);
    pm_loop_settle(g->loop);
    pm_upstream_free(g->up);
    pm_timer_release(&g->flush_metrics);
    pm_timer_release(&g->live);
    free(g->last_status);
    free(g->last_live);
    pm_metrics_free(g->metrics);
    release_targets(g);
    pm_sessions_free(g->sessions);
    pm_cache_free(g->cache);
    pm_limits_free(g->limits);
    pm_conf_free(g->conf);
    pm_bundle_free(g->bundle);
    pm_loop_free(g->loop);
}

int pm_gateway_run(int channel_fd, int bundle_fd, int listen_fd, int state_fd)
{
    static const struct pm_channel_events events = {.message = message, .closed = manager_gone};
    struct pm_gateway g = {.listen_fd = listen_fd, .state_fd = state_fd, .started_s = pm_clock_wall_s()};
    signal(SIGPIPE, SIG_IGN);
    pm_log_init("worker", PM_LOG_INFO);
    g.loop = pm_loop_new();
    g.channel = pm_channel_new(g.loop, channel_fd, &events, &g);
    g.metrics = pm_metrics_new();
    pm_timer_init(&g.flush_metrics, g.loop, flush_metrics, &g);
    pm_journal_init(&g);
    if (getrandom(&g.request_base, sizeof(g.request_base), 0) < 0)
        g.request_base = pm_clock_us();
    struct pm_error err = {0};
    g.limits = pm_limits_open(state_fd, "limits", &err);
    if (!g.limits)
        pm_log(PM_LOG_WARN, "%s: keys are not limited", err.msg);
    g.sessions = pm_sessions_open(state_fd, "sessions", &err);
    if (!g.sessions)
        pm_log(PM_LOG_WARN, "%s: conversations are not kept together", err.msg);
    if (configure(&g, bundle_fd) < 0) {
        g.exit_code = 1;
    } else {
        g.up = pm_upstream_new(g.loop);
        pm_shared_start(&g);
        open_http(&g);
        pm_loop_on_signal(g.loop, SIGTERM, on_terminate, &g);
        pm_timer_set(&g.flush_metrics, METRICS_EVERY_MS);
        pm_channel_send(g.channel, PM_MSG_READY, 0, NULL, 0);
        pm_loop_run(g.loop);
    }
    release(&g);
    return g.exit_code;
}
