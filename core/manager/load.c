/* The steps of a load and of an unload:
 *
 *   load:    ON_LOAD -> wait until memory is free -> start the server
 *   unload:  save what its slots hold -> stop the server -> ON_UNLOAD
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/manager/manager_priv.h"

/* Drivers give memory back a while after the process has gone. */
enum { MEMORY_LOOK_MS = 10, MEMORY_MOST_MS = 5000 };

/* Asked more often, a llama-server does not notice that a client has left. */
enum { STRANGERS_LOOK_MS = 2000, STRANGERS_LIMIT_MS = 2000 };

/* Variables with keys in them are not for commands. */
static const struct pm_strv *hidden(const struct pm_profile *p)
{
    return p->m->current ? &p->m->current->conf->hidden_env : NULL;
}

static uint64_t hook_limit(const struct pm_profile *p)
{
    return p->conf && p->conf->hook_ms ? p->conf->hook_ms : PM_HOOK_LIMIT_MS;
}

static void start_server(struct pm_profile *p)
{
    struct pm_error err = {0};
    struct pm_server_spec spec = pm_profile_server_spec(p);
    p->step = PM_STEP_SERVER;
    p->measure = (struct pm_measure){0};
    p->load_start_us = pm_clock_us();
    p->has_spoken = false;
    p->server = pm_server_start(&spec, &err);
    if (p->server)
        p->loads++;
    else
        pm_profile_load_failed(p, err.msg);
}

/* What a server of ours held comes back late: a load that began at once would find too little. What never comes back
 * is somebody else's, and then the server itself must find out. */
static void wait_for_memory(struct pm_profile *p)
{
    struct pm_manager *m = p->m;
    uint64_t now = pm_clock_ms();
    p->step = PM_STEP_MEMORY;
    if (!m->freed_ms || now - m->freed_ms >= MEMORY_MOST_MS || pm_memory_is_free(m, p)) {
        pm_profile_observe(p, "pointsman_memory_wait_seconds", (double)(now - p->step_since_ms) / 1000);
        start_server(p);
        return;
    }
    pm_timer_set(&p->step_timer, MEMORY_LOOK_MS);
}

static void look_for_strangers(struct pm_profile *p);

static void look_again(void *arg)
{
    struct pm_profile *p = arg;
    if (p->step == PM_STEP_STRANGERS)
        look_for_strangers(p);
    else if (p->step == PM_STEP_MEMORY)
        wait_for_memory(p);
}

static void init_timer(struct pm_profile *p)
{
    if (!p->step_timer.event)
        pm_timer_init(&p->step_timer, p->m->loop, look_again, p);
}

static void on_load_done(void *arg)
{
    struct pm_profile *p = arg;
    p->hook = NULL;
    p->step_since_ms = pm_clock_ms();
    wait_for_memory(p);
}

void pm_load_owe(struct pm_profile *p)
{
    free(p->on_unload);
    p->on_unload = pm_strdup(p->conf->on_unload);
}

void pm_load_begin(struct pm_profile *p)
{
    init_timer(p);
    pm_warm_stop(p->m);
    p->has_strangers = p->is_warm = false;
    p->progress = 0;
    pm_load_owe(p);
    if (!p->conf->on_load) {
        on_load_done(p);
        return;
    }
    p->step = PM_STEP_ON_LOAD;
    p->hook = pm_hook_run(p->m->loop, p->conf->on_load, p->id, "ON_LOAD", hidden(p), hook_limit(p), on_load_done, p);
}

static void on_unload_done(void *arg)
{
    struct pm_profile *p = arg;
    p->hook = NULL;
    p->step = PM_STEP_NONE;
    pm_profile_off(p);
}

static void undone(void *arg)
{
    struct pm_profile *p = arg;
    p->hook = NULL;
    pm_profiles_schedule(p->m);
    pm_manager_maybe_end(p->m);
}

void pm_load_undo(struct pm_profile *p)
{
    if (p->on_unload && !p->hook)
        p->hook = pm_hook_run(p->m->loop, p->on_unload, p->id, "ON_UNLOAD", hidden(p), hook_limit(p), undone, p);
    PM_FREE_AND_NULL(p->on_unload);
}

void pm_unload_end(struct pm_profile *p)
{
    if (!p->on_unload) {
        on_unload_done(p);
        return;
    }
    p->step = PM_STEP_ON_UNLOAD;
    p->hook = pm_hook_run(p->m->loop, p->on_unload, p->id, "ON_UNLOAD", hidden(p), hook_limit(p), on_unload_done, p);
    PM_FREE_AND_NULL(p->on_unload);
}

static void stop_server(struct pm_profile *p)
{
    p->step = PM_STEP_SERVER;
    pm_profile_stopping(p);
    pm_server_stop(p->server);
}

/* Workers of a manager that died finish their streams without leases of ours. */
static void looked_for_strangers(void *arg, int status, const char *body, size_t len)
{
    struct pm_profile *p = arg;
    const cJSON *slot;
    bool busy = false;
    if (p->step != PM_STEP_STRANGERS)
        return;
    cJSON *list = status == 200 ? cJSON_ParseWithLength(body, len) : NULL;
    cJSON_ArrayForEach (slot, list)
        busy |= pm_json_true(slot, "is_processing");
    cJSON_Delete(list);
    if (busy) {
        pm_timer_set(&p->step_timer, STRANGERS_LOOK_MS);
        return;
    }
    p->has_strangers = false;
    p->step = PM_STEP_NONE;
    pm_unload_begin(p);
}

static void look_for_strangers(struct pm_profile *p)
{
    p->step = PM_STEP_STRANGERS;
    pm_server_ask(p->server, "GET", "/slots", NULL, STRANGERS_LIMIT_MS, looked_for_strangers, p);
}

static void saved(void *arg)
{
    struct pm_profile *p = arg;
    char *root = pm_asprintf("%s/kv", p->m->state_dir);
    pm_kv_trim(root, p->m->current->conf->manager.kv_max);
    free(root);
    if (p->server && p->step == PM_STEP_SAVE)
        stop_server(p);
}

void pm_unload_begin(struct pm_profile *p)
{
    bool in_time = p->state == PM_DRAINING && !p->m->stopping &&
                   pm_clock_ms() - p->drain_start_ms < p->m->current->conf->manager.drain_ms;
    if (p->step == PM_STEP_SAVE || p->step == PM_STEP_ON_UNLOAD || (p->step == PM_STEP_STRANGERS && in_time))
        return;
    init_timer(p);
    if (!p->server) {
        /* Before the server was started: there is nothing to stop. */
        pm_timer_clear(&p->step_timer);
        pm_hook_cancel(p->hook);
        p->hook = NULL;
        pm_profile_stopping(p);
        pm_unload_end(p);
    } else if (p->has_strangers && in_time && !p->leases) {
        look_for_strangers(p);
    } else if (p->state == PM_DRAINING && !p->leases && p->m->current->conf->manager.kv_max &&
               pm_kv_should_save(p->kv)) {
        p->step = PM_STEP_SAVE;
        pm_kv_save(p->kv, saved, p);
    } else {
        stop_server(p);
    }
}

void pm_load_release(struct pm_profile *p)
{
    pm_hook_cancel(p->hook);
    p->hook = NULL;
    pm_timer_release(&p->step_timer);
    PM_FREE_AND_NULL(p->on_unload);
}
