/* States of the profiles, and the scheduler's orders carried out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/manager/manager_priv.h"
#include "core/manager/sched.h"

/* A load without a new line in the log for this long has hung. */
enum { LOAD_STALL_MS = 5 * 60 * 1000 };

/* Pause after a failure, doubling; a server that ran well and died is started again at once. */
enum { RETRY_FIRST_MS = 1000, RETRY_MOST_MS = 120000 };

/* Disk speed assumed for a load that was never measured. */
static const double ASSUMED_MIB_PER_S = 1000, ASSUMED_START_MS = 500;

static const char *const state_names[] = {"off", "loading", "ready", "draining", "stopping", "failed"};

const char *pm_profile_state_name(enum pm_profile_state s)
{
    return state_names[s];
}

struct pm_profile *pm_profile_find(const struct pm_manager *m, const char *id)
{
    for (struct pm_profile *p = m->profiles; p; p = p->next)
        if (strcmp(p->id, id) == 0)
            return p;
    return NULL;
}

/* The only place where a state changes. */
static void enter(struct pm_profile *p, enum pm_profile_state state, const char *why)
{
    struct pm_buf fields;
    pm_buf_init(&fields, 4096);
    pm_log_field(&fields, "profile", p->id);
    pm_log_field(&fields, "from", state_names[p->state]);
    pm_log_field(&fields, "to", state_names[state]);
    if (why && *why)
        pm_log_field(&fields, "why", why);
    pm_log_fields(state == PM_FAILED ? PM_LOG_WARN : PM_LOG_INFO, "profile", &fields);
    pm_buf_release(&fields);
    p->state = state;
    if (why && why != p->reason)
        snprintf(p->reason, sizeof(p->reason), "%s", why);
    pm_status_publish(p->m, true);
    pm_control_profile_changed(p);
}

static void count_switch(struct pm_profile *p, const char *what)
{
    struct pm_buf labels;
    pm_buf_init(&labels, 512);
    pm_metrics_label(&labels, "profile", p->id);
    pm_metrics_label(&labels, "what", what);
    pm_metrics_label(&labels, "cause", p->cause ? p->cause : "request");
    pm_metrics_add(p->m->metrics, "pointsman_switches_total", labels.data, 1);
    pm_buf_release(&labels);
}

double pm_profile_expected_load_ms(const struct pm_profile *p)
{
    struct stat st;
    if (p->load_ms > 0)
        return p->load_ms;
    double mib = p->conf && p->conf->model && stat(p->conf->model, &st) == 0 ? (double)st.st_size / (1 << 20) : 0;
    return ASSUMED_START_MS + mib / ASSUMED_MIB_PER_S * 1000;
}

static uint64_t command_of(const struct pm_target *t, const char *socket)
{
    struct pm_strv argv = {0};
    uint64_t h = PM_HASH_SEED;
    pm_conf_argv(t, socket, &argv);
    for (size_t i = 0; i < argv.n; i++)
        h = pm_hash(argv.items[i], strlen(argv.items[i]) + 1, h);
    for (size_t i = 0; i < t->env.n; i++)
        h = pm_hash(t->env.items[i], strlen(t->env.items[i]) + 1, h);
    pm_strv_release(&argv);
    return h;
}

static void server_ready(void *arg)
{
    struct pm_profile *p = arg;
    char labels[300], text[64];
    uint64_t now = pm_clock_us();
    if (p->load_start_us) {
        p->load_ms = (double)(now - p->load_start_us) / 1000;
        snprintf(labels, sizeof(labels), "profile=\"%s\"", p->id);
        pm_metrics_observe(p->m->metrics, "pointsman_profile_load_seconds", labels, p->load_ms / 1000);
        snprintf(text, sizeof(text), "loaded in %.0f ms", p->load_ms);
    } else {
        snprintf(text, sizeof(text), "adopted");
    }
    p->failures = 0;
    p->wanted = false;
    p->ready_since_ms = p->last_used_ms = now / 1000;
    if (p->state == PM_LOADING)
        enter(p, PM_READY, text);
    pm_profiles_schedule(p->m);
}

static void server_props(void *arg, const struct pm_server_props *props)
{
    struct pm_profile *p = arg;
    p->props = *props;
    p->has_props = true;
    if (props->slots > 0)
        p->slots = props->slots;
    pm_status_publish(p->m, true);
    pm_profiles_schedule(p->m);
}

static void note_failure(struct pm_profile *p, bool was_up, const char *why)
{
    uint64_t pause = 0;
    p->failures++;
    if (!was_up || p->failures > 1) {
        pause = RETRY_FIRST_MS;
        for (unsigned i = 1; i < p->failures && pause < RETRY_MOST_MS; i++)
            pause *= 2;
    }
    p->retry_at_ms = pm_clock_ms() + pause;
    p->wanted = false;
    enter(p, PM_FAILED, why);
    /* Who waits for a load that failed is told now: the gateway has other targets. */
    if (pause)
        pm_leases_deny(p, PM_DENY_FAILED, (unsigned)(pause / 1000), p->reason);
}

static void server_ended(void *arg, const char *why)
{
    struct pm_profile *p = arg;
    enum pm_profile_state was = p->state;
    pm_server_free(p->server);
    p->server = NULL;
    p->leases = 0;
    p->run++;
    if (was == PM_STOPPING) {
        count_switch(p, "unload");
        enter(p, PM_OFF, p->cause);
    } else {
        char text[512];
        snprintf(text, sizeof(text), "%s: %s", was == PM_LOADING ? "the load failed" : "the server died", why);
        count_switch(p, "crash");
        note_failure(p, was == PM_READY || was == PM_DRAINING, text);
    }
    pm_profiles_schedule(p->m);
    pm_manager_maybe_end(p->m);
}

static const struct pm_server_events server_events = {
    .ready = server_ready, .props = server_props, .ended = server_ended};

static void load(struct pm_profile *p)
{
    struct pm_strv argv = {0};
    struct pm_error err = {0};
    char *server = pm_conf_server_path(p->conf);
    p->run++;
    p->leases = 0;
    p->suspect_until_ms = 0;
    p->slots = p->conf->slots ? p->conf->slots : 1;
    uint64_t command = command_of(p->conf, p->paths.socket);
    p->has_props = p->has_props && command == p->command;
    p->command = command;
    p->load_start_us = pm_clock_us();
    if (!p->cause)
        p->cause = "request";
    enter(p, PM_LOADING, NULL);
    pm_conf_argv(p->conf, p->paths.socket, &argv);
    if (!server)
        pm_error_set(&err, PM_ENOTFOUND,
                     "there is no llama-server: install llama.cpp, or set LLAMA_SERVER=/path in models.conf");
    else
        p->server = pm_server_start(p->m->loop, p->m->up, &p->paths, &argv, &p->conf->env, &server_events, p, &err);
    if (p->server) {
        p->loads++;
        count_switch(p, "load");
    } else {
        note_failure(p, false, err.msg);
    }
    pm_strv_release(&argv);
    free(server);
}

static void stop_server(struct pm_profile *p)
{
    enter(p, PM_STOPPING, p->cause);
    pm_server_stop(p->server);
}

void pm_profile_unload(struct pm_profile *p, const char *cause)
{
    p->wanted = false;
    if (p->state == PM_READY) {
        p->cause = cause;
        p->drain_start_ms = pm_clock_ms();
        enter(p, PM_DRAINING, cause);
    } else if (p->state == PM_LOADING) {
        p->cause = cause;
        stop_server(p);
    } else if (p->state == PM_FAILED) {
        p->failures = 0;
        enter(p, PM_OFF, cause);
    }
    pm_profiles_schedule(p->m);
}

void pm_profile_want(struct pm_profile *p)
{
    if (!p->wanted)
        p->wanted_since_ms = pm_clock_ms();
    p->wanted = true;
    p->retry_at_ms = 0;
    p->cause = "manual";
    pm_profiles_schedule(p->m);
}

static enum pm_sched_state sched_state(const struct pm_profile *p)
{
    switch (p->state) {
    case PM_OFF:
    case PM_FAILED:
        return PM_SCHED_OFF;
    case PM_READY:
        return PM_SCHED_READY;
    case PM_DRAINING:
        return PM_SCHED_DRAINING;
    default:
        return PM_SCHED_MOVING;
    }
}

/* Three loads' time: below that, switching to and fro costs more than it brings. */
static uint64_t residency(const struct pm_profile *p)
{
    uint64_t ms = p->m->current->conf->manager.min_residency_ms;
    uint64_t most = p->m->current->conf->manager.max_wait_ms / 4;
    if (!ms)
        ms = (uint64_t)(3 * p->load_ms);
    return ms < most ? ms : most;
}

static void describe(const struct pm_profile *p, uint64_t now, struct pm_sched_profile *out)
{
    uint64_t oldest = pm_leases_oldest_ms(p);
    *out = (struct pm_sched_profile){.state = sched_state(p),
                                     .pinned = p->conf && p->conf->pin,
                                     .stale = p->state == PM_READY &&
                                              (!p->conf || command_of(p->conf, p->paths.socket) != p->command),
                                     .blocked = !p->conf || now < p->retry_at_ms || p->m->stopping,
                                     .waiting = p->waiting + p->wanted,
                                     .leases = p->leases,
                                     .oldest_ms = p->waiting ? oldest : p->wanted_since_ms,
                                     .ready_since_ms = p->ready_since_ms,
                                     .last_used_ms = p->last_used_ms,
                                     .residency_ms = residency(p),
                                     .need = &p->need};
}

/* A drained profile whose last request has ended, or that has been drained for too long, is stopped. */
static void finish_drains(struct pm_manager *m, uint64_t now)
{
    for (struct pm_profile *p = m->profiles; p; p = p->next) {
        if (p->state != PM_DRAINING)
            continue;
        uint64_t limit = m->current->conf->manager.drain_ms;
        if (!p->leases || m->stopping || now - p->drain_start_ms >= limit)
            stop_server(p);
    }
}

static bool one_step(struct pm_manager *m)
{
    struct pm_sched_profile states[256];
    struct pm_profile *list[256];
    size_t n = 0;
    uint64_t now = pm_clock_ms();
    finish_drains(m, now);
    for (struct pm_profile *p = m->profiles; p && n < 256; p = p->next) {
        describe(p, now, &states[n]);
        list[n++] = p;
    }
    struct pm_sched_step step = pm_sched_next(&m->capacity, states, n, now);
    if (step.look_again_ms)
        pm_timer_set(&m->look_again, step.look_again_ms > now ? step.look_again_ms - now : 1);
    struct pm_profile *p = n ? list[step.profile] : NULL;
    switch (step.what) {
    case PM_SCHED_NOTHING:
        return false;
    case PM_SCHED_LOAD:
        load(p);
        break;
    case PM_SCHED_DRAIN:
        p->cause = states[step.profile].stale ? "changed" : "switch";
        p->drain_start_ms = now;
        enter(p, PM_DRAINING, p->cause);
        break;
    case PM_SCHED_NEVER_FITS: {
        char why[256];
        pm_need_explain(&m->capacity, &p->need, why, sizeof(why));
        if (!why[0])
            snprintf(why, sizeof(why), "it does not fit beside the profiles with PIN=yes that are loaded");
        note_failure(p, false, why);
        break;
    }
    }
    return true;
}

void pm_profiles_schedule(struct pm_manager *m)
{
    /* What a step does may ask for another look; one loop does it all. */
    m->schedule_again = true;
    if (m->scheduling || !m->current)
        return;
    m->scheduling = true;
    while (m->schedule_again) {
        m->schedule_again = false;
        for (struct pm_profile *p = m->profiles; p; p = p->next)
            if (p->state == PM_READY)
                pm_leases_grant(p);
        if (one_step(m))
            m->schedule_again = true;
    }
    m->scheduling = false;
}

static void free_profile(void *arg)
{
    struct pm_profile *p = arg;
    pm_server_free(p->server);
    pm_server_paths_release(&p->paths);
    free(p->id);
    free(p);
}

void pm_profiles_tick(void *manager)
{
    struct pm_manager *m = manager;
    uint64_t now = pm_clock_ms();
    if (m->current)
        pm_leases_expire(m, m->current->conf->manager.max_wait_ms);
    for (struct pm_profile **at = &m->profiles; *at;) {
        struct pm_profile *p = *at;
        uint64_t ttl = p->conf && !p->conf->pin ? p->conf->ttl_ms : 0;
        if (p->state == PM_LOADING && now - pm_server_last_line_ms(p->server) > LOAD_STALL_MS) {
            pm_log(PM_LOG_WARN, "profile %s: no progress for %d s: stopped", p->id, LOAD_STALL_MS / 1000);
            pm_profile_unload(p, "stalled");
        }
        if (ttl && p->state == PM_READY && !p->leases && !p->waiting && now - p->last_used_ms >= ttl)
            pm_profile_unload(p, "ttl");
        if (!p->conf && (p->state == PM_OFF || p->state == PM_FAILED) && !p->waiting) {
            *at = p->next;
            pm_loop_defer(m->loop, free_profile, p);
        } else {
            at = &p->next;
        }
    }
    pm_profiles_schedule(m);
    pm_timer_set(&m->tick, 1000);
}

static void add_profile(struct pm_manager *m, const struct pm_target *t)
{
    struct pm_profile *p = pm_calloc(1, sizeof(*p)), **last = &m->profiles;
    p->m = m;
    p->id = pm_strdup(t->id);
    p->conf = t;
    p->slots = t->slots ? t->slots : 1;
    pm_server_paths_init(&p->paths, m->state_dir, t->id);
    p->wanted = t->preload;
    p->wanted_since_ms = pm_clock_ms();
    while (*last)
        last = &(*last)->next;
    *last = p;
}

/* Servers that an earlier manager left running. Before anything is started. */
static void adopt(struct pm_manager *m)
{
    struct pm_strv ids = {0};
    for (struct pm_profile *p = m->profiles; p; p = p->next) {
        struct pm_strv argv = {0};
        pm_strv_add(&ids, p->id, strlen(p->id));
        pm_conf_argv(p->conf, p->paths.socket, &argv);
        p->server = pm_server_adopt(m->loop, m->up, &p->paths, &argv, &p->conf->env, &server_events, p);
        if (p->server) {
            p->command = command_of(p->conf, p->paths.socket);
            enter(p, PM_LOADING, "adopted");
        }
        pm_strv_release(&argv);
    }
    pm_server_reap_strangers(m->state_dir, &ids);
    pm_strv_release(&ids);
}

void pm_profiles_sync(struct pm_manager *m)
{
    const struct pm_conf *conf = m->current->conf;
    pm_capacity_read(&conf->manager, &m->capacity);
    for (struct pm_profile *p = m->profiles; p; p = p->next)
        p->conf = NULL;
    for (size_t i = 0; i < conf->n_targets; i++) {
        const struct pm_target *t = &conf->targets[i];
        struct pm_profile *p = pm_profile_find(m, t->id);
        if (t->kind != PM_TARGET_LOCAL)
            continue;
        if (!p)
            add_profile(m, t);
        else
            p->conf = t;
    }
    for (struct pm_profile *p = m->profiles; p; p = p->next) {
        if (!p->conf)
            continue;
        pm_need_of(p->conf, &m->capacity, &p->need);
        /* An edited profile gets a new chance at once. */
        if (p->state == PM_FAILED && command_of(p->conf, p->paths.socket) != p->command) {
            p->retry_at_ms = 0;
            p->failures = 0;
        }
    }
    if (!m->adopted)
        adopt(m);
    m->adopted = true;
    pm_profiles_schedule(m);
}

void pm_profiles_stop_all(struct pm_manager *m)
{
    for (struct pm_profile *p = m->profiles; p; p = p->next) {
        if (!p->server)
            continue;
        if (m->keep_servers) {
            pm_server_leave(p->server);
            pm_server_free(p->server);
            p->server = NULL;
            p->state = PM_OFF;
        } else if (p->state != PM_STOPPING) {
            p->cause = "stop";
            stop_server(p);
        }
    }
}

bool pm_profiles_all_off(const struct pm_manager *m)
{
    for (const struct pm_profile *p = m->profiles; p; p = p->next)
        if (p->server)
            return false;
    return true;
}

void pm_profiles_free(struct pm_manager *m)
{
    while (m->profiles) {
        struct pm_profile *p = m->profiles;
        m->profiles = p->next;
        free_profile(p);
    }
}
