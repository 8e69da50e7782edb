#include "core/manager/profile.h"

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

/* A profile that does not fit is not tried again by itself for this long. */
enum { OOM_PAUSE_MS = 10 * 60 * 1000 };

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

bool pm_profile_is_pinned(const struct pm_profile *p)
{
    return p->conf && (p->pin_by_hand ? p->pin_by_hand > 0 : p->conf->pin);
}

void pm_profile_pin(struct pm_profile *p, bool on)
{
    p->pin_by_hand = on ? 1 : -1;
    pm_status_publish(p->m, false);
    pm_profiles_schedule(p->m);
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
    uint64_t now = pm_clock_ms();
    if (p->state == PM_DRAINING)
        pm_profile_observe(p, "pointsman_profile_drain_seconds", (double)(now - p->state_since_ms) / 1000);
    if (p->state == PM_STOPPING)
        pm_profile_observe(p, "pointsman_profile_stop_seconds", (double)(now - p->state_since_ms) / 1000);
    if (p->state != state)
        p->state_since_ms = now;
    pm_watch_state(p, state_names[p->state], state_names[state], why);
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

static double assumed_load_ms(const struct pm_target *t)
{
    struct stat st;
    double mib = t->model && stat(t->model, &st) == 0 ? (double)st.st_size / (1 << 20) : 0;
    return ASSUMED_START_MS + mib / ASSUMED_MIB_PER_S * 1000;
}

double pm_profile_expected_load_ms(const struct pm_profile *p)
{
    return p->load_ms > 0 ? p->load_ms : p->assumed_load_ms;
}

void pm_profile_observe(const struct pm_profile *p, const char *metric, double seconds)
{
    char labels[300];
    snprintf(labels, sizeof(labels), "profile=\"%s\"", p->id);
    pm_metrics_observe(p->m->metrics, metric, labels, seconds);
}

struct pm_server_spec pm_profile_server_spec(struct pm_profile *p)
{
    return (struct pm_server_spec){.loop = p->m->loop,
                                   .up = p->m->up,
                                   .conf = p->conf,
                                   .paths = &p->paths,
                                   /* On devices it depends on what is free at the time. */
                                   .tells_memory = p->m->devices || !pm_measured_is_sure(p->m->measured, p->command),
                                   .events = &pm_profile_server_events,
                                   .arg = p};
}

static unsigned slots_of(const struct pm_target *t)
{
    /* How many a remote server has is not known: it queues what is too much for it. */
    enum { REMOTE_SLOTS = 16 };
    if (t->slots)
        return (unsigned)t->slots;
    return pm_target_is_remote(t) ? REMOTE_SLOTS : 1;
}

static void server_ready(void *arg)
{
    struct pm_profile *p = arg;
    char text[64];
    uint64_t now = pm_clock_us();
    if (p->load_start_us) {
        p->load_ms = (double)(now - p->load_start_us) / 1000;
        pm_profile_observe(p, "pointsman_profile_load_seconds", p->load_ms / 1000);
        snprintf(text, sizeof(text), "loaded in %.0f ms", p->load_ms);
    } else {
        snprintf(text, sizeof(text), "adopted");
    }
    p->failures = 0;
    p->wanted = false;
    p->step = PM_STEP_NONE;
    p->progress = 1;
    pm_memory_measured(p);
    if (p->conf)
        pm_kv_server_up(p->kv, p->server, p->conf, p->command, !p->load_start_us);
    pm_kv_set_slots(p->kv, (unsigned)p->slots);
    p->ready_since_ms = p->last_used_ms = now / 1000;
    if (p->state == PM_LOADING)
        enter(p, PM_READY, text);
    pm_warm_look(p->m);
    pm_profiles_schedule(p->m);
}

static void server_props(void *arg, const struct pm_server_props *props)
{
    struct pm_profile *p = arg;
    p->props = *props;
    p->has_props = true;
    if (props->slots > 0) {
        p->slots = props->slots;
        pm_kv_set_slots(p->kv, (unsigned)p->slots);
    }
    pm_status_publish(p->m, true);
    pm_profiles_schedule(p->m);
}

static void fail_for(struct pm_profile *p, uint64_t pause, const char *why)
{
    p->retry_at_ms = pm_clock_ms() + pause;
    pm_profiles_look_again(p->m, p->retry_at_ms);
    p->wanted = false;
    pm_load_undo(p);
    enter(p, PM_FAILED, why);
    /* Who waits for a load that failed is told now: the gateway has other targets. */
    if (pause)
        pm_leases_deny(p, PM_DENY_FAILED, (unsigned)(pause / 1000), p->reason);
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
    fail_for(p, pause, why);
}

static void server_line(void *arg, const char *line)
{
    struct pm_profile *p = arg;
    if (!p->has_spoken && p->load_start_us)
        pm_profile_observe(p, "pointsman_profile_spawn_seconds", (double)(pm_clock_us() - p->load_start_us) / 1e6);
    p->has_spoken = true;
    pm_measure_line(&p->measure, line);
    pm_watch_log(p, line);
}

static void server_progress(void *arg, double share)
{
    struct pm_profile *p = arg;
    p->progress = share;
    pm_status_publish(p->m, false);
}

/* A load that failed for want of memory, with its numbers. */
static void out_of_memory(struct pm_profile *p, const char *said)
{
    char why[512];
    if (pm_health_out_of_memory(p, said, why, sizeof(why))) {
        pm_memory_need(p);
        pm_load_undo(p);
        enter(p, PM_OFF, "out of memory: tried again without others");
        return;
    }
    /* It would be the same the next time: until the configuration changes or somebody asks for it by hand. */
    fail_for(p, OOM_PAUSE_MS, why);
}

static void server_ended(void *arg, const struct pm_server_end *end)
{
    struct pm_profile *p = arg;
    enum pm_profile_state was = p->state;
    pm_server_free(p->server);
    pm_kv_server_down(p->kv);
    p->server = NULL;
    p->leases = 0;
    p->is_probed = false;
    p->step = PM_STEP_NONE;
    p->run++;
    p->m->freed_ms = pm_clock_ms();
    if (was == PM_STOPPING) {
        count_switch(p, "unload");
        pm_unload_end(p);
        return;
    }
    if (end->absent || (was == PM_LOADING && !p->load_start_us)) {
        /* What was to be adopted is not there, or was about to end. */
        p->wanted = p->conf && p->conf->preload;
        PM_FREE_AND_NULL(p->on_unload);
        enter(p, PM_OFF, NULL);
    } else if (end->out_of_memory && was == PM_LOADING) {
        count_switch(p, "crash");
        out_of_memory(p, end->why);
    } else {
        char text[512];
        snprintf(text, sizeof(text), "%s: %s", was == PM_LOADING ? "the load failed" : "the server died", end->why);
        count_switch(p, "crash");
        note_failure(p, was == PM_READY || was == PM_DRAINING, text);
    }
    pm_profiles_schedule(p->m);
    pm_manager_maybe_end(p->m);
}

void pm_profile_off(struct pm_profile *p)
{
    enter(p, PM_OFF, p->cause);
    pm_profiles_schedule(p->m);
    pm_manager_maybe_end(p->m);
}

void pm_profile_stopping(struct pm_profile *p)
{
    enter(p, PM_STOPPING, p->cause);
}

void pm_profile_load_failed(struct pm_profile *p, const char *why)
{
    p->step = PM_STEP_NONE;
    note_failure(p, false, why);
    pm_profiles_schedule(p->m);
}

const struct pm_server_events pm_profile_server_events = {.ready = server_ready,
                                                          .props = server_props,
                                                          .line = server_line,
                                                          .progress = server_progress,
                                                          .ended = server_ended};

static void load(struct pm_profile *p)
{
    p->run++;
    p->leases = 0;
    p->suspect_until_ms = 0;
    p->slots = slots_of(p->conf);
    /* Anew: the server may have been installed since the configuration was read. */
    p->conf_command = pm_server_command(p->conf, &p->paths);
    p->has_props = p->has_props && p->conf_command == p->command;
    p->command = p->conf_command;
    p->load_start_us = pm_clock_us();
    if (!p->cause)
        p->cause = "request";
    enter(p, PM_LOADING, NULL);
    count_switch(p, "load");
    pm_load_begin(p);
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
        pm_unload_begin(p);
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
    p->alone = false;
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
    case PM_LOADING:
        return PM_SCHED_LOADING;
    default:
        return PM_SCHED_STOPPING;
    }
}

static void describe(const struct pm_profile *p, uint64_t now, struct pm_sched_profile *out)
{
    struct pm_waiters w = pm_leases_waiters(p, now);
    uint64_t load_ms = (uint64_t)pm_profile_expected_load_ms(p);
    uint64_t residency = p->m->current->conf->manager.min_residency_ms;
    if (!p->waiting && p->wanted)
        w = (struct pm_waiters){.oldest_ms = p->wanted_since_ms, .rank = PM_RANK_NORMAL, .due_ms = PM_SCHED_NEVER_DUE};
    *out = (struct pm_sched_profile){.state = sched_state(p),
                                     .pinned = pm_profile_is_pinned(p),
                                     .stale = p->state == PM_READY && (!p->conf || p->conf_command != p->command),
                                     .blocked = !p->conf || now < p->retry_at_ms || p->m->stopping || p->hook,
                                     .waiting = p->waiting + p->wanted,
                                     .leases = p->leases,
                                     .rank = w.rank,
                                     .oldest_ms = w.oldest_ms,
                                     .due_ms = w.due_ms,
                                     .load_ms = load_ms,
                                     .drain_ms = (uint64_t)pm_lease_usual_ms(p),
                                     .ready_since_ms = p->ready_since_ms,
                                     .last_used_ms = p->last_used_ms,
                                     .residency_ms = residency ? residency : pm_sched_residency(load_ms),
                                     .linger_ms = pm_sched_linger(p->gap_ms, load_ms),
                                     .uses = p->uses,
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
            pm_unload_begin(p);
        else
            pm_profiles_look_again(m, p->drain_start_ms + limit);
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
        pm_profiles_look_again(m, step.look_again_ms);
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
    case PM_SCHED_CANCEL:
        pm_profile_unload(p, "unwanted");
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
        pm_leases_expire(m, m->current->conf->manager.max_wait_ms);
        if (one_step(m))
            m->schedule_again = true;
    }
    m->scheduling = false;
}

void pm_profiles_look_again(struct pm_manager *m, uint64_t at_ms)
{
    uint64_t now = pm_clock_ms();
    if (m->look_again_at_ms > now && m->look_again_at_ms <= at_ms)
        return;
    m->look_again_at_ms = at_ms;
    pm_timer_set(&m->look_again, at_ms > now ? at_ms - now : 1);
}

static void free_profile(void *arg)
{
    struct pm_profile *p = arg;
    pm_load_release(p);
    pm_kv_free(p->kv);
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
        pm_memory_refresh(m);
    for (struct pm_profile **at = &m->profiles; *at;) {
        struct pm_profile *p = *at;
        uint64_t ttl = p->conf && !pm_profile_is_pinned(p) ? p->conf->ttl_ms : 0;
        if (p->state == PM_LOADING && p->server && p->step == PM_STEP_SERVER &&
            now - pm_server_last_line_ms(p->server) > LOAD_STALL_MS) {
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
    p->slots = slots_of(t);
    pm_server_paths_init(&p->paths, m->state_dir, t->id);
    p->kv = pm_kv_new(m->metrics, t->id, p->paths.kv);
    p->wanted = t->preload || pm_strv_has(&m->current->conf->manager.preload, t->id);
    p->wanted_since_ms = pm_clock_ms();
    while (*last)
        last = &(*last)->next;
    *last = p;
}

/* Servers that an earlier manager left running. Before anything is started. */
static void adopt(struct pm_manager *m)
{
    struct pm_strv ids = {0};
    struct pm_server_spec docker = {0};
    for (struct pm_profile *p = m->profiles; p; p = p->next) {
        struct pm_server_spec spec = pm_profile_server_spec(p);
        pm_strv_add(&ids, p->id, strlen(p->id));
        p->command = p->conf_command;
        p->server = pm_server_adopt(&spec);
        if (p->server) {
            /* Nobody may wait for it now; it stays until it is known to be up. */
            p->wanted = true;
            p->wanted_since_ms = pm_clock_ms();
            p->has_strangers = true;
            pm_load_owe(p);
            enter(p, PM_LOADING, "adopted");
        }
        if (pm_target_is_docker(p->conf))
            docker = spec;
    }
    pm_server_reap_strangers(docker.conf ? &docker : NULL, m->state_dir, &ids);
    pm_strv_release(&ids);
}

/* What is kept on disk follows the configuration. */
static void sync_kv(struct pm_manager *m)
{
    char *root = pm_asprintf("%s/kv", m->state_dir);
    struct pm_strv keep = {0};
    for (struct pm_profile *p = m->profiles; p; p = p->next) {
        /* A llama-server refuses its option when the folder is not there: whoever copies its command line needs it. */
        if (p->conf && p->conf->keep_kv)
            mkdir(p->paths.kv, 0700);
        if (p->server || (p->conf && p->conf->keep_kv))
            pm_strv_add(&keep, p->paths.kv, strlen(p->paths.kv));
        else
            pm_kv_clear(p->kv);
    }
    pm_kv_remove_strangers(root, &keep);
    pm_kv_trim(root, m->current->conf->manager.kv_max);
    pm_strv_release(&keep);
    free(root);
}

void pm_profiles_sync(struct pm_manager *m)
{
    const struct pm_conf *conf = m->current->conf;
    struct pm_capacity had = m->capacity;
    pm_memory_refresh(m);
    bool more_room = memcmp(&had, &m->capacity, sizeof(had)) != 0;
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
        if (!p->conf) {
            pm_leases_deny(p, PM_DENY_UNKNOWN, 1, "the profile has been removed from models.conf");
            p->wanted = false;
            continue;
        }
        p->conf_command = pm_server_command(p->conf, &p->paths);
        p->assumed_load_ms = assumed_load_ms(p->conf);
        if (p->server)
            pm_load_owe(p);
        /* An edited profile gets a new chance at once, and so does one that is to need less, or is to have more. */
        struct pm_need before = p->need;
        pm_memory_need(p);
        if (p->state == PM_FAILED &&
            (more_room || memcmp(&before, &p->need, sizeof(before)) != 0 || p->conf_command != p->command)) {
            p->retry_at_ms = 0;
            p->failures = 0;
            p->alone = false;
            pm_memory_need(p);
        }
    }
    if (!m->adopted)
        adopt(m);
    m->adopted = true;
    sync_kv(m);
    pm_fit_look(m);
    pm_profiles_schedule(m);
}

void pm_profiles_stop_all(struct pm_manager *m)
{
    for (struct pm_profile *p = m->profiles; p; p = p->next) {
        if (p->state == PM_OFF || p->state == PM_FAILED || p->state == PM_STOPPING)
            continue;
        if (m->keep_servers) {
            pm_load_release(p);
            pm_server_free(p->server);
            p->server = NULL;
            p->state = PM_OFF;
            continue;
        }
        p->cause = "stop";
        if (p->state == PM_READY) {
            p->drain_start_ms = pm_clock_ms();
            enter(p, PM_DRAINING, "stop");
        }
        pm_unload_begin(p);
    }
}

bool pm_profiles_all_off(const struct pm_manager *m)
{
    for (const struct pm_profile *p = m->profiles; p; p = p->next)
        if ((p->state != PM_OFF && p->state != PM_FAILED) || p->hook)
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
