/* What is told as it happens: to those who asked to `watch` on the control socket, and to the workers for the
 * listeners of their event streams. Nothing is gathered while nobody watches, and nobody who reads slowly holds up
 * another: what does not fit his queue is left out for him.
 *
 * An event is a JSON object with its `type`, a line each where several are told at once: `status`, `live`, `request`,
 * `notice` (docs/reference.md, Events). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/manager/machine.h"
#include "core/manager/manager_priv.h"

enum {
    TICK_MS = 500,  /* between two events of one kind */
    BATCH_MS = 100, /* requests that ended are told together */
    BATCH_MAX = 1 << 20,
    ALIVE_MS = 10 * 1000,     /* something is told so often: whoever hears nothing has lost us */
    SOON_MS = 40,             /* after a change of state: more may follow */
    QUEUED_MAX = 1 << 20,     /* bytes that a slow watcher may have waiting */
    LIVE_MAX = 1 << 20,       /* bytes of a worker's requests under way */
    LOG_LINES_MAX = 64 << 10, /* bytes of log lines between two ticks */
    LOG_HISTORY = 200
};

struct pm_watches {
    struct pm_manager *m;
    struct pm_timer tick, told;
    uint32_t wanted; /* by anybody: enum pm_watch bits */
    struct pm_machine machine;
    struct pm_buf log, requests; /* not yet told */
    size_t log_left_out;
    bool live_changed;
    char *status;     /* as it was told last */
    uint64_t told_ms; /* when */
};

static void send_event(struct pm_channel *ch, enum pm_watch kind, const char *text, size_t len)
{
    if (ch && pm_channel_queued(ch) < QUEUED_MAX)
        pm_channel_send(ch, PM_MSG_EVENT, kind, text, len);
}

static void tell_all(struct pm_manager *m, enum pm_watch kind, const char *text, size_t len)
{
    for (struct pm_worker *w = m->workers; w; w = w->next)
        if (w->watches & kind)
            send_event(w->channel, kind, text, len);
    for (struct pm_client *c = m->clients; c; c = c->next)
        if (c->watches & kind)
            send_event(c->channel, kind, text, len);
}

static char *status_event(struct pm_watches *w)
{
    cJSON *status = pm_status_json(w->m);
    cJSON *machine = cJSON_AddObjectToObject(status, "machine");
    const struct pm_machine *now = &w->machine;
    cJSON_AddStringToObject(status, "type", "status");
    cJSON_AddNumberToObject(machine, "cpu", now->cpu < 0 ? 0 : (double)(long)(now->cpu * 1000) / 1000);
    cJSON_AddNumberToObject(machine, "load1", now->load1);
    cJSON_AddNumberToObject(machine, "cores", (double)now->cores);
    cJSON_AddNumberToObject(machine, "ram_mib", (double)now->ram_mib);
    cJSON_AddNumberToObject(machine, "ram_available_mib", (double)now->ram_available_mib);
    cJSON_AddNumberToObject(machine, "swap_mib", (double)now->swap_mib);
    cJSON_AddNumberToObject(machine, "swap_free_mib", (double)now->swap_free_mib);
    char *text = pm_json_text(status);
    cJSON_Delete(status);
    return text;
}

/* The workers' lists put together; each is the inside of an array. */
static void live_event(const struct pm_manager *m, struct pm_buf *out)
{
    bool any = false;
    pm_buf_add(out, "{\"type\":\"live\",\"requests\":[");
    for (const struct pm_worker *w = m->workers; w; w = w->next) {
        size_t n = w->live ? strlen(w->live) : 0;
        if (n <= 2)
            continue;
        pm_buf_add(out, any ? "," : "");
        pm_buf_addn(out, w->live + 1, n - 2);
        any = true;
    }
    pm_buf_add(out, "]}");
}

static void tell_live(struct pm_watches *w)
{
    struct pm_buf text;
    pm_buf_init(&text, PM_CHANNEL_MESSAGE_MAX);
    live_event(w->m, &text);
    tell_all(w->m, PM_WATCH_EVENTS, text.data, text.len);
    pm_buf_release(&text);
    w->live_changed = false;
}

static void tell_log(struct pm_watches *w)
{
    if (w->log_left_out)
        pm_buf_addf(&w->log, "-\t(%zu lines left out here: they came too fast)\n", w->log_left_out);
    w->log_left_out = 0;
    if (w->log.len)
        tell_all(w->m, PM_WATCH_LOGS, w->log.data, w->log.len);
    pm_buf_clear(&w->log);
}

static void tick(void *arg)
{
    struct pm_watches *w = arg;
    if (!w->wanted)
        return;
    if (w->wanted & PM_WATCH_EVENTS) {
        pm_machine_read(&w->machine);
        char *status = status_event(w);
        uint64_t now = pm_clock_ms();
        if (!w->status || strcmp(status, w->status) != 0 || now - w->told_ms >= ALIVE_MS) {
            tell_all(w->m, PM_WATCH_EVENTS, status, strlen(status));
            w->told_ms = now;
        }
        free(w->status);
        w->status = status;
        if (w->live_changed)
            tell_live(w);
    }
    tell_log(w);
    pm_timer_set(&w->tick, TICK_MS);
}

/* What a server tells its manager is not for people. */
static bool is_for_people(const char *line)
{
    static const char order[] = "cmd_child_to_router:";
    return strncmp(line, order, sizeof(order) - 1) != 0;
}

/* What it has missed: all there is to know now. */
static void tell_first(struct pm_watches *w, struct pm_channel *ch, uint32_t kinds)
{
    if (kinds & PM_WATCH_EVENTS) {
        struct pm_buf live;
        pm_machine_read(&w->machine);
        char *status = status_event(w);
        send_event(ch, PM_WATCH_EVENTS, status, strlen(status));
        free(status);
        pm_buf_init(&live, PM_CHANNEL_MESSAGE_MAX);
        live_event(w->m, &live);
        send_event(ch, PM_WATCH_EVENTS, live.data, live.len);
        pm_buf_release(&live);
    }
    if (!(kinds & PM_WATCH_LOGS))
        return;
    /* What others are about to hear stands in the history, too. */
    struct pm_buf lines, tagged;
    pm_buf_init(&lines, 1 << 20);
    pm_buf_init(&tagged, 2 << 20);
    for (const struct pm_profile *p = w->m->profiles; p; p = p->next) {
        pm_buf_clear(&lines);
        if (p->server)
            pm_server_log_last(p->server, LOG_HISTORY, &lines);
        for (const char *at = lines.data, *end; (end = strchr(at, '\n')) != NULL; at = end + 1)
            if (is_for_people(at))
                pm_buf_addf(&tagged, "%s\t%.*s\n", p->id, (int)(end - at), at);
    }
    if (tagged.len)
        send_event(ch, PM_WATCH_LOGS, tagged.data, tagged.len);
    pm_buf_release(&lines);
    pm_buf_release(&tagged);
}

static void count_wanted(struct pm_watches *w)
{
    uint32_t wanted = 0;
    for (const struct pm_worker *o = w->m->workers; o; o = o->next)
        wanted |= o->channel ? o->watches : 0;
    for (const struct pm_client *c = w->m->clients; c; c = c->next)
        wanted |= c->watches;
    bool news = (wanted ^ w->wanted) & PM_WATCH_EVENTS;
    w->wanted = wanted;
    for (struct pm_worker *o = w->m->workers; news && o; o = o->next)
        pm_watch_worker(o);
    if (wanted && !pm_timer_is_set(&w->tick))
        pm_timer_set(&w->tick, TICK_MS);
}

void pm_watch_worker(struct pm_worker *w)
{
    const struct pm_watches *watches = w->m->watches;
    if (w->channel && w->state >= PM_WORKER_READY)
        pm_channel_send(w->channel, PM_MSG_WATCH, 0, &watches->wanted, sizeof(watches->wanted));
}

static struct pm_watches *watches_of(struct pm_manager *m)
{
    return m->watches;
}

void pm_watch_client(struct pm_client *c, uint32_t kinds)
{
    uint32_t more = kinds & ~c->watches;
    tell_log(watches_of(c->m));
    c->watches = kinds;
    count_wanted(watches_of(c->m));
    tell_first(watches_of(c->m), c->channel, more);
}

void pm_watch_by_worker(struct pm_worker *w, uint32_t kinds)
{
    uint32_t more = kinds & ~w->watches;
    tell_log(watches_of(w->m));
    w->watches = kinds;
    count_wanted(watches_of(w->m));
    /* Its listeners get the history of logs with their own question. */
    tell_first(watches_of(w->m), w->channel, more & PM_WATCH_EVENTS);
}

void pm_watch_gone(struct pm_manager *m)
{
    count_wanted(watches_of(m));
    watches_of(m)->live_changed = true;
}

void pm_watch_live(struct pm_worker *w, const char *list, size_t len)
{
    free(w->live);
    w->live = len <= LIVE_MAX ? pm_strndup(list, len) : NULL;
    watches_of(w->m)->live_changed = true;
}

static void tell_requests(void *arg)
{
    struct pm_watches *w = arg;
    if (w->requests.len)
        tell_all(w->m, PM_WATCH_EVENTS, w->requests.data, w->requests.len);
    pm_buf_clear(&w->requests);
}

void pm_watch_record(struct pm_manager *m, const char *record, size_t len)
{
    struct pm_watches *w = watches_of(m);
    if (!(w->wanted & PM_WATCH_EVENTS))
        return;
    if (w->requests.len + len > BATCH_MAX)
        tell_requests(w);
    pm_buf_add(&w->requests, w->requests.len ? "\n" : "");
    pm_buf_add(&w->requests, "{\"type\":\"request\",\"request\":");
    pm_buf_addn(&w->requests, record, len);
    pm_buf_add(&w->requests, "}");
    if (!pm_timer_is_set(&w->told))
        pm_timer_set(&w->told, BATCH_MS);
}

void pm_watch_flush_log(struct pm_manager *m)
{
    tell_log(watches_of(m));
}

void pm_watch_log(const struct pm_profile *p, const char *line)
{
    struct pm_watches *w = watches_of(p->m);
    if (!(w->wanted & PM_WATCH_LOGS) || !is_for_people(line))
        return;
    if (w->log.len > LOG_LINES_MAX)
        w->log_left_out++;
    else
        pm_buf_addf(&w->log, "%s\t%s\n", p->id, line);
}

void pm_watch_state(const struct pm_profile *p, const char *from, const char *to, const char *why)
{
    struct pm_watches *w = watches_of(p->m);
    if (w->wanted & PM_WATCH_EVENTS) {
        cJSON *event = cJSON_CreateObject();
        cJSON_AddStringToObject(event, "type", "notice");
        cJSON_AddNumberToObject(event, "at", (double)pm_clock_wall_ms());
        cJSON_AddStringToObject(event, "profile", p->id);
        cJSON_AddStringToObject(event, "from", from);
        cJSON_AddStringToObject(event, "to", to);
        cJSON_AddStringToObject(event, "why", why ? why : "");
        char *text = pm_json_text(event);
        tell_all(p->m, PM_WATCH_EVENTS, text, strlen(text));
        free(text);
        cJSON_Delete(event);
    }
    if (w->wanted & PM_WATCH_LOGS)
        pm_buf_addf(&w->log, "%s\t--- %s%s%s ---\n", p->id, to, why && *why ? ": " : "", why ? why : "");
    if (w->wanted)
        pm_timer_set(&w->tick, SOON_MS);
}

void pm_watches_init(struct pm_manager *m)
{
    struct pm_watches *w = m->watches = pm_calloc(1, sizeof(*w));
    w->m = m;
    pm_timer_init(&w->tick, m->loop, tick, w);
    pm_timer_init(&w->told, m->loop, tell_requests, w);
    pm_buf_init(&w->requests, PM_CHANNEL_MESSAGE_MAX);
    pm_buf_init(&w->log, 4 << 20);
}

void pm_watches_free(struct pm_manager *m)
{
    struct pm_watches *w = m->watches;
    pm_timer_release(&w->tick);
    pm_timer_release(&w->told);
    pm_buf_release(&w->log);
    pm_buf_release(&w->requests);
    free(w->status);
    free(w);
    m->watches = NULL;
}
