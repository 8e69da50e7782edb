/* What is told of profiles and workers: to people, to workers, to Prometheus. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/manager/manager_priv.h"

/* Counts of leases change with every request; workers are told of them this often at most. */
enum { PUBLISH_EVERY_MS = 50 };

static const char *worker_state_name(const struct pm_worker *w)
{
    return w->state == PM_WORKER_READY ? "ready" : w->state == PM_WORKER_DRAINING ? "draining" : "starting";
}

/* Seconds until a new asker would have a slot: the load, what waits already, what runs. */
static double expected_wait_s(const struct pm_profile *p)
{
    double request_s = pm_lease_usual_ms(p) / 1000;
    double slots = p->slots > 0 ? (double)p->slots : 1;
    double queue_s = (double)p->waiting / slots * request_s;
    switch (p->state) {
    case PM_READY:
        return (double)p->leases < slots ? 0 : queue_s + request_s;
    case PM_LOADING: {
        double done = p->load_start_us ? (double)(pm_clock_us() - p->load_start_us) / 1e6 : 0;
        double left = pm_profile_expected_load_ms(p) / 1000 - done;
        return (left > 0 ? left : 0.1) + queue_s;
    }
    default:
        return pm_profile_expected_load_ms(p) / 1000 + queue_s;
    }
}

/* Tokens of one slot: as the server said when it last ran so, else what a slot's share of CTX_SIZE will be. */
static long long context_of(const struct pm_profile *p)
{
    if (p->has_props && p->props.context)
        return p->props.context;
    return p->conf->slots ? p->conf->ctx_size / p->conf->slots : p->conf->ctx_size;
}

static unsigned caps_of(const struct pm_profile *p)
{
    if (p->conf->caps_given)
        return p->conf->caps;
    /* llama-server calls tools with any chat template; images and sound need a projector. */
    unsigned caps = PM_CAP_TOOLS | PM_CAP_EMBEDDINGS;
    caps |= p->props.vision ? PM_CAP_VISION : 0;
    caps |= p->props.audio ? PM_CAP_AUDIO : 0;
    return caps;
}

static bool is_refused_now(const struct pm_profile *p)
{
    return p->state == PM_FAILED && pm_clock_ms() < p->retry_at_ms;
}

char *pm_status_for_workers(const struct pm_manager *m)
{
    cJSON *root = cJSON_CreateArray();
    for (const struct pm_profile *p = m->profiles; p; p = p->next) {
        if (!p->conf)
            continue;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "id", p->id);
        cJSON_AddStringToObject(item, "state", pm_profile_state_name(p->state));
        cJSON_AddNumberToObject(item, "progress", p->progress);
        cJSON_AddNumberToObject(item, "wait_s", expected_wait_s(p));
        cJSON_AddNumberToObject(item, "prompt_tps", p->prompt_tps);
        cJSON_AddNumberToObject(item, "context", (double)context_of(p));
        cJSON_AddNumberToObject(item, "caps", caps_of(p));
        cJSON_AddBoolToObject(item, "caps_known", p->conf->caps_given || p->has_props);
        cJSON_AddStringToObject(item, "address", p->server ? pm_server_address(p->server) : "");
        if (is_refused_now(p)) {
            cJSON_AddStringToObject(item, "down", p->reason);
            /* The workers' clock is ours (CLOCK_MONOTONIC): they need no word when the time has come. */
            cJSON_AddNumberToObject(item, "down_until_ms", (double)p->retry_at_ms);
        }
        cJSON_AddItemToArray(root, item);
    }
    char *text = pm_json_text(root);
    cJSON_Delete(root);
    return text;
}

void pm_status_publish_due(void *manager)
{
    struct pm_manager *m = manager;
    char *text = pm_status_for_workers(m);
    pm_workers_broadcast(m, text);
    free(text);
}

void pm_status_publish(struct pm_manager *m, bool now)
{
    if (now)
        pm_timer_set(&m->publish, 0);
    else if (!pm_timer_is_set(&m->publish))
        pm_timer_set(&m->publish, PUBLISH_EVERY_MS);
}

static void add_text(cJSON *item, const char *key, const char *value)
{
    if (value)
        cJSON_AddStringToObject(item, key, value);
}

/* Would it fit as things are; if others went; not at all? */
static const char *fit_of(const struct pm_profile *p)
{
    const struct pm_manager *m = p->m;
    const struct pm_need *needs[256] = {&p->need};
    size_t n = 1;
    if (!p->conf || pm_target_is_remote(p->conf))
        return "";
    if (!pm_fits(&m->capacity, needs, 1))
        return "too large";
    for (const struct pm_profile *o = m->profiles; o && n < 256; o = o->next)
        if (o != p && o->server)
            needs[n++] = &o->need;
    return pm_fits(&m->capacity, needs, n) ? "fits" : "in place of others";
}

static cJSON *profile_json(const struct pm_profile *p)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "id", p->id);
    add_text(item, "name", p->conf ? p->conf->name : NULL);
    add_text(item, "description", p->conf ? p->conf->description : NULL);
    add_text(item, "speed", p->conf ? p->conf->speed : NULL);
    cJSON_AddStringToObject(item, "state", pm_profile_state_name(p->state));
    cJSON_AddNumberToObject(item, "pid", p->server ? (double)pm_server_pid(p->server) : 0);
    cJSON_AddStringToObject(item, "driver", p->server ? pm_server_driver(p->server) : "");
    cJSON_AddStringToObject(item, "container", p->server ? pm_server_container(p->server) : "");
    cJSON_AddStringToObject(item, "address", p->server ? pm_server_address(p->server) : "");
    cJSON_AddStringToObject(item, "socket", p->paths.socket);
    cJSON_AddStringToObject(item, "log", p->paths.log);
    cJSON_AddNumberToObject(item, "slots", (double)p->slots);
    cJSON_AddNumberToObject(item, "leases", p->leases);
    cJSON_AddNumberToObject(item, "waiting", p->waiting);
    cJSON_AddNumberToObject(item, "loads", p->loads);
    cJSON_AddNumberToObject(item, "load_ms", p->load_ms);
    cJSON_AddNumberToObject(item, "prompt_tps", p->prompt_tps);
    cJSON_AddNumberToObject(item, "output_tps", p->output_tps);
    cJSON_AddNumberToObject(item, "context", p->conf ? (double)context_of(p) : 0);
    cJSON_AddStringToObject(item, "reason", p->reason);
    cJSON_AddNumberToObject(item, "progress", p->progress);
    cJSON_AddNumberToObject(item, "failures", p->failures);
    cJSON_AddNumberToObject(item, "wait_s", expected_wait_s(p));
    cJSON_AddNumberToObject(item, "expected_load_ms", pm_profile_expected_load_ms(p));
    cJSON_AddBoolToObject(item, "pinned", pm_profile_is_pinned(p));
    cJSON_AddBoolToObject(item, "bench", p->conf && p->conf->bench);
    cJSON_AddStringToObject(item, "fit", fit_of(p));
    cJSON_AddNumberToObject(item, "retry_in_s",
                            is_refused_now(p) ? (double)(p->retry_at_ms - pm_clock_ms()) / 1000 : 0);
    if (pm_kv_off(p->kv))
        cJSON_AddStringToObject(item, "kv_off", pm_kv_off(p->kv));
    cJSON *need = cJSON_AddObjectToObject(item, "need_mib");
    cJSON_AddNumberToObject(need, "ram", (double)p->need.ram);
    cJSON *devices = cJSON_AddArrayToObject(need, "devices");
    for (size_t d = 0; d < p->m->capacity.n_devices; d++)
        cJSON_AddItemToArray(devices, cJSON_CreateNumber((double)p->need.device[d]));
    cJSON_AddBoolToObject(need, "estimated", p->need.estimated);
    return item;
}

static void add_known(cJSON *item, const char *key, int value)
{
    if (value >= 0)
        cJSON_AddNumberToObject(item, key, value);
}

static cJSON *device_json(const struct pm_device *d)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", d->name);
    cJSON_AddNumberToObject(item, "total_mib", (double)d->total_mib);
    cJSON_AddNumberToObject(item, "free_mib", (double)d->free_mib);
    add_known(item, "use_percent", d->use_percent);
    add_known(item, "power_w", d->power_w);
    add_known(item, "temperature_c", d->temperature_c);
    return item;
}

/* Those whose breaker of a cloud model is open. */
static unsigned workers_that_avoid(const struct pm_manager *m, const char *id)
{
    unsigned n = 0;
    const cJSON *broken;
    for (const struct pm_worker *w = m->workers; w; w = w->next)
        cJSON_ArrayForEach (broken, w->broken)
            n += cJSON_IsString(broken) && strcmp(broken->valuestring, id) == 0;
    return n;
}

cJSON *pm_status_json(const struct pm_manager *m)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "version", PACKAGE_VERSION);
    cJSON_AddNumberToObject(root, "pid", getpid());
    cJSON *listen = cJSON_AddArrayToObject(root, "listen");
    cJSON_AddItemToArray(listen, cJSON_CreateString(m->listen_text));
    cJSON_AddBoolToObject(root, "needs_key", m->current && m->current->conf->needs_key);
    cJSON_AddNumberToObject(root, "generation", m->current ? m->current->number : 0);
    if (m->config_error)
        cJSON_AddStringToObject(root, "config_error", m->config_error);
    else
        cJSON_AddNullToObject(root, "config_error");
    cJSON *memory = cJSON_AddObjectToObject(root, "memory_mib");
    cJSON_AddNumberToObject(memory, "ram", (double)m->capacity.ram);
    cJSON *devices = cJSON_AddArrayToObject(memory, "devices");
    for (size_t d = 0; d < m->capacity.n_devices; d++)
        cJSON_AddItemToArray(devices, cJSON_CreateNumber((double)m->capacity.device[d]));
    cJSON *free_now = cJSON_AddArrayToObject(memory, "devices_free");
    struct pm_device seen[PM_DEVICES_MAX];
    size_t n_seen = pm_memory_read(m, seen);
    for (size_t d = 0; d < n_seen; d++)
        cJSON_AddItemToArray(free_now, cJSON_CreateNumber((double)seen[d].free_mib));
    cJSON *gpus = cJSON_AddArrayToObject(root, "gpus");
    for (size_t d = 0; d < n_seen; d++)
        cJSON_AddItemToArray(gpus, device_json(&seen[d]));
    cJSON_AddItemToObject(root, "usage", pm_recording_json(m));
    cJSON *workers = cJSON_AddArrayToObject(root, "workers");
    for (const struct pm_worker *w = m->workers; w; w = w->next) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "pid", w->pid);
        cJSON_AddStringToObject(item, "state", worker_state_name(w));
        cJSON_AddNumberToObject(item, "generation", w->generation->number);
        cJSON_AddItemToArray(workers, item);
    }
    cJSON *profiles = cJSON_AddArrayToObject(root, "profiles");
    for (const struct pm_profile *p = m->profiles; p; p = p->next)
        cJSON_AddItemToArray(profiles, profile_json(p));
    cJSON *clouds = cJSON_AddArrayToObject(root, "clouds");
    for (size_t i = 0; m->current && i < m->current->conf->n_targets; i++) {
        const struct pm_target *t = &m->current->conf->targets[i];
        if (t->kind == PM_TARGET_LOCAL)
            continue;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "id", t->id);
        add_text(item, "name", t->name);
        add_text(item, "description", t->description);
        cJSON_AddBoolToObject(item, "left_alone", workers_that_avoid(m, t->id) > 0);
        cJSON_AddItemToArray(clouds, item);
    }
    return root;
}

cJSON *pm_models_json(const struct pm_manager *m)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < m->current->conf->n_targets; i++) {
        const struct pm_target *t = &m->current->conf->targets[i];
        const struct pm_profile *p = pm_profile_find(m, t->id);
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "id", t->id);
        cJSON_AddStringToObject(item, "kind", pm_target_kind_name(t->kind));
        add_text(item, "name", t->name);
        add_text(item, "description", t->description);
        add_text(item, "speed", t->speed);
        cJSON_AddBoolToObject(item, "bench", t->bench);
        cJSON_AddNumberToObject(item, "context", (double)t->ctx_size);
        cJSON_AddNumberToObject(item, "strength", t->strength);
        cJSON *good_at = cJSON_AddArrayToObject(item, "good_at");
        for (size_t j = 0; j < t->good_at.n; j++)
            cJSON_AddItemToArray(good_at, cJSON_CreateString(t->good_at.items[j]));
        if (p) {
            cJSON_AddStringToObject(item, "state", pm_profile_state_name(p->state));
            struct pm_strv argv = {0};
            cJSON *words = cJSON_AddArrayToObject(item, "argv");
            struct pm_argv_place place = {.host = p->paths.socket, .slots_dir = p->paths.kv};
            pm_conf_argv(t, &place, &argv);
            for (size_t j = 0; j < argv.n; j++)
                cJSON_AddItemToArray(words, cJSON_CreateString(argv.items[j]));
            pm_strv_release(&argv);
        }
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

cJSON *pm_routes_json(const struct pm_manager *m)
{
    const struct pm_conf *conf = m->current->conf;
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < conf->n_routes; i++) {
        const struct pm_route *r = &conf->routes[i];
        cJSON *item = cJSON_CreateObject(), *names, *targets;
        cJSON_AddStringToObject(item, "id", r->id);
        names = cJSON_AddArrayToObject(item, "models");
        for (size_t j = 0; j < r->models.n; j++)
            cJSON_AddItemToArray(names, cJSON_CreateString(r->models.items[j]));
        targets = cJSON_AddArrayToObject(item, "targets");
        for (size_t j = 0; j < r->n_targets; j++)
            cJSON_AddItemToArray(targets, cJSON_CreateString(conf->targets[r->targets[j]].id));
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

static void device_metrics(struct pm_manager *m)
{
    struct pm_device seen[PM_DEVICES_MAX];
    size_t n = pm_memory_read(m, seen);
    for (size_t d = 0; d < n; d++) {
        char labels[160];
        snprintf(labels, sizeof(labels), "gpu=\"%zu\"", d);
        pm_metrics_set(m->metrics, "pointsman_gpu_memory_bytes", labels, (double)seen[d].total_mib * (1 << 20));
        pm_metrics_set(m->metrics, "pointsman_gpu_memory_free_bytes", labels, (double)seen[d].free_mib * (1 << 20));
        if (seen[d].use_percent >= 0)
            pm_metrics_set(m->metrics, "pointsman_gpu_use_ratio", labels, seen[d].use_percent / 100.0);
        if (seen[d].power_w >= 0)
            pm_metrics_set(m->metrics, "pointsman_gpu_power_watts", labels, seen[d].power_w);
        if (seen[d].temperature_c >= 0)
            pm_metrics_set(m->metrics, "pointsman_gpu_temperature_celsius", labels, seen[d].temperature_c);
    }
}

/* A counter that appears with its first event has not risen, as Prometheus sees it. */
static void begin_counters(struct pm_manager *m)
{
    static const char *const bare[] = {"pointsman_cancelled_total",     "pointsman_feedback_total",
                                       "pointsman_resumes_total",       "pointsman_review_questions_failed_total",
                                       "pointsman_usage_dropped_total", "pointsman_worker_restarts_total"};
    static const char *const switches[] = {"what=\"load\",cause=\"request\"",  "what=\"load\",cause=\"manual\"",
                                           "what=\"unload\",cause=\"switch\"", "what=\"unload\",cause=\"manual\"",
                                           "what=\"unload\",cause=\"ttl\"",    "what=\"unload\",cause=\"stalled\"",
                                           "what=\"crash\",cause=\"request\""};
    char labels[400];
    for (size_t i = 0; i < sizeof(bare) / sizeof(*bare); i++)
        pm_metrics_add(m->metrics, bare[i], "", 0);
    for (const struct pm_profile *p = m->profiles; p; p = p->next)
        for (size_t i = 0; i < sizeof(switches) / sizeof(*switches); i++) {
            snprintf(labels, sizeof(labels), "profile=\"%s\",%s", p->id, switches[i]);
            pm_metrics_add(m->metrics, "pointsman_switches_total", labels, 0);
        }
    for (size_t i = 0; m->current && i < m->current->conf->n_targets; i++) {
        snprintf(labels, sizeof(labels), "target=\"%s\"", m->current->conf->targets[i].id);
        pm_metrics_add(m->metrics, "pointsman_attempt_failures_total", labels, 0);
    }
}

void pm_status_metrics(struct pm_manager *m, struct pm_buf *out)
{
    begin_counters(m);
    char labels[400];
    pm_metrics_set(m->metrics, "pointsman_config_generation", "", m->current ? m->current->number : 0);
    pm_metrics_set(m->metrics, "pointsman_config_error", "", m->config_error != NULL);
    for (const struct pm_profile *p = m->profiles; p; p = p->next) {
        snprintf(labels, sizeof(labels), "profile=\"%s\"", p->id);
        pm_metrics_set(m->metrics, "pointsman_profile_leases", labels, p->leases);
        pm_metrics_set(m->metrics, "pointsman_profile_waiting", labels, p->waiting);
        for (int s = PM_OFF; s <= PM_FAILED; s++) {
            snprintf(labels, sizeof(labels), "profile=\"%s\",state=\"%s\"", p->id,
                     pm_profile_state_name((enum pm_profile_state)s));
            pm_metrics_set(m->metrics, "pointsman_profile_state", labels, (int)p->state == s);
        }
    }
    double shared = 0;
    for (const struct pm_worker *w = m->workers; w; w = w->next)
        shared += w->shared;
    if (m->current && m->current->conf->gateway.redis)
        pm_metrics_set(m->metrics, "pointsman_redis_up", "", shared);
    device_metrics(m);
    for (size_t i = 0; m->current && i < m->current->conf->n_targets; i++) {
        const struct pm_target *t = &m->current->conf->targets[i];
        snprintf(labels, sizeof(labels), "target=\"%s\"", t->id);
        if (t->kind != PM_TARGET_LOCAL)
            pm_metrics_set(m->metrics, "pointsman_breaker_open", labels, workers_that_avoid(m, t->id));
    }
    pm_metrics_set(m->metrics, "pointsman_build_info", "version=\"" PACKAGE_VERSION "\"", 1);
    pm_metrics_set(m->metrics, "pointsman_usage_recording", "", pm_recording_is_on(m));
    pm_metrics_text(m->metrics, out);
}
