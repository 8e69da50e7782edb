/* Streams of what happens, as it happens: GET /models/sse in the shape of llama-server's router mode (llama.cpp,
 * tools/server/README.md), GET /api/events (docs/reference.md), GET /logs/stream in llama-swap's. A slow listener is
 * closed: it can come back, and is told everything anew. */
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/gateway/gateway_priv.h"

/* What it hears. */
enum {
    HEARS_MODELS = 1,
    HEARS_EVENTS = 2,
    HEARS_LOGS = 4, /* as events */
    HEARS_LINES = 8 /* of logs, as text */
};

enum { EVENT_MAX = 16 << 20 };

struct pm_listener {
    struct pm_listener *next;
    struct pm_gateway *g;
    struct pm_exchange *x;
    unsigned hears;
    char *profile; /* the one whose lines it wants, NULL all */
};

/* Router mode's words for our states. */
static const char *router_word(const char *state)
{
    static const struct {
        const char *ours, *theirs;
    } words[] = {{"loading", "loading"}, {"ready", "loaded"}, {"draining", "loaded"}, {"stopping", "loaded"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (state && strcmp(words[i].ours, state) == 0)
            return words[i].theirs;
    return "unloaded";
}

static char *event_of(const struct pm_target *t, const struct pm_target_state *s)
{
    struct pm_buf out;
    pm_buf_init(&out, 65536);
    pm_buf_add(&out, "data: {\"model\":");
    pm_json_quote(&out, t->id, strlen(t->id));
    pm_buf_addf(&out, ",\"event\":\"model_status\",\"data\":{\"status\":\"%s\",\"state\":\"%s\"",
                router_word(s->state), s->state ? s->state : "off");
    if (s->state && strcmp(s->state, "loading") == 0)
        pm_buf_addf(&out, ",\"progress\":{\"stages\":[\"text_model\"],\"current\":\"text_model\",\"value\":%.3f}",
                    s->progress);
    if (s->down) {
        pm_buf_add(&out, ",\"failed\":true,\"reason\":");
        pm_json_quote(&out, s->down, strlen(s->down));
    }
    pm_buf_add(&out, "}}\n\n");
    return pm_buf_take(&out);
}

/* Tells the manager what is wanted here, when that has changed. */
static void count_wanted(struct pm_gateway *g)
{
    uint32_t wanted = 0;
    for (const struct pm_listener *l = g->listeners; l; l = l->next) {
        wanted |= l->hears & HEARS_EVENTS ? PM_WATCH_EVENTS : 0;
        wanted |= l->hears & (HEARS_LOGS | HEARS_LINES) ? PM_WATCH_LOGS : 0;
    }
    if (!(wanted & PM_WATCH_EVENTS)) {
        PM_FREE_AND_NULL(g->last_status);
        PM_FREE_AND_NULL(g->last_live);
    }
    if (wanted != g->wanted && g->channel)
        pm_channel_send(g->channel, PM_MSG_WATCHING, 0, &wanted, sizeof(wanted));
    g->wanted = wanted;
}

static void free_listener(void *arg)
{
    struct pm_listener *l = arg;
    free(l->profile);
    free(l);
}

static void remove_listener(struct pm_listener *l)
{
    struct pm_listener **at = &l->g->listeners;
    while (*at && *at != l)
        at = &(*at)->next;
    if (*at)
        *at = l->next;
    count_wanted(l->g);
    pm_loop_defer(l->g->loop, free_listener, l);
}

static void gone(void *arg)
{
    remove_listener(arg);
}

static void writable(void *arg)
{
    (void)arg;
}

static void send_to(struct pm_listener *l, const char *text, size_t len)
{
    if (pm_reply_is_full(l->x)) {
        struct pm_exchange *x = l->x;
        remove_listener(l);
        pm_reply_abort(x);
        return;
    }
    pm_reply_send(l->x, text, len);
}

static void send_all(struct pm_gateway *g, unsigned hears, const struct pm_buf *text)
{
    for (struct pm_listener *l = g->listeners, *next; l; l = next) {
        next = l->next;
        if (l->hears & hears)
            send_to(l, text->data, text->len);
    }
}

/* Begins its stream; what it hears of from the manager is asked for. */
static struct pm_listener *add_listener(struct pm_gateway *g, struct pm_exchange *x, unsigned hears, const char *type)
{
    static const struct pm_exchange_events events = {.gone = gone, .writable = writable};
    struct pm_listener *l = pm_calloc(1, sizeof(*l));
    char id[32];
    l->g = g;
    l->x = x;
    l->hears = hears;
    l->next = g->listeners;
    g->listeners = l;
    pm_new_request_id(g, id, sizeof(id));
    pm_exchange_watch(x, &events, l);
    pm_reply_standard_headers(x, id);
    pm_reply_header(x, "Cache-Control", "no-cache");
    pm_reply_header(x, "X-Accel-Buffering", "no");
    pm_reply_begin(x, 200, type);
    return l;
}

void pm_answer_models_sse(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    add_listener(g, x, HEARS_MODELS, "text/event-stream");
    for (size_t i = 0; i < g->conf->n_targets; i++) {
        const struct pm_target *t = &g->conf->targets[i];
        if (t->kind != PM_TARGET_LOCAL)
            continue;
        char *event = event_of(t, &g->states[i]);
        pm_reply_send(x, event, strlen(event));
        free(event);
    }
}

void pm_listeners_tell(struct pm_gateway *g, size_t target)
{
    struct pm_buf text;
    if (!g->listeners)
        return;
    char *event = event_of(&g->conf->targets[target], &g->states[target]);
    pm_buf_init(&text, 1 << 20);
    pm_buf_add(&text, event);
    send_all(g, HEARS_MODELS, &text);
    pm_buf_release(&text);
    free(event);
}

/* --- /api/events and /logs/stream --- */

/* A line is an event. */
static void as_event(const char *json, size_t len, struct pm_buf *out)
{
    for (const char *end = json + len, *line = json; line < end;) {
        const char *feed = memchr(line, '\n', (size_t)(end - line));
        size_t n = (size_t)((feed ? feed : end) - line);
        pm_buf_add(out, "data: ");
        pm_buf_addn(out, line, n);
        pm_buf_add(out, "\n\n");
        line += n + 1;
    }
}

void pm_answer_event_stream(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    char *logs = pm_query_value(pm_exchange_head(x), "logs");
    const char *const last[] = {g->last_status, g->last_live};
    struct pm_buf text;
    (void)rest;
    if (!g->channel || g->draining) {
        pm_reply_error(g, x, 503, NULL, "the backend manager has gone: it is being restarted, or must be");
        free(logs);
        return;
    }
    pm_buf_init(&text, EVENT_MAX);
    /* Clients wait so long before they come back (HTML standard, server-sent events). */
    pm_buf_add(&text, "retry: 1000\n\n");
    for (size_t i = 0; i < 2; i++)
        if (last[i])
            as_event(last[i], strlen(last[i]), &text);
    struct pm_listener *l =
        add_listener(g, x, HEARS_EVENTS | (logs && strcmp(logs, "yes") == 0 ? HEARS_LOGS : 0), "text/event-stream");
    pm_reply_send(l->x, text.data, text.len);
    count_wanted(g);
    pm_buf_release(&text);
    free(logs);
}

/* The lines that came before, then each as it comes. */
static void history_answered(struct pm_gateway *g, struct pm_exchange *x, const cJSON *reply)
{
    const char *text = pm_json_str(reply, "text");
    struct pm_listener *l = add_listener(g, x, HEARS_LINES, "text/plain; charset=utf-8");
    char *id = pm_query_value(pm_exchange_head(x), "id");
    l->profile = id;
    if (text && *text)
        pm_reply_send(x, text, strlen(text));
    count_wanted(g);
}

void pm_answer_log_stream(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    char *id = pm_query_value(pm_exchange_head(x), "id");
    cJSON *question = cJSON_CreateObject();
    (void)rest;
    cJSON_AddStringToObject(question, "op", "logs");
    if (id)
        cJSON_AddStringToObject(question, "id", id);
    pm_ask_manager(g, x, question, history_answered);
    free(id);
}

/* One line `PROFILE\tTEXT` of the manager's; false after the last. */
static bool next_line(const char **at, struct pm_json_value *profile, struct pm_json_value *text)
{
    const char *tab = strchr(*at, '\t'), *end = tab ? strchr(tab, '\n') : NULL;
    if (!end)
        return false;
    *profile = (struct pm_json_value){*at, (size_t)(tab - *at)};
    *text = (struct pm_json_value){tab + 1, (size_t)(end - tab - 1)};
    *at = end + 1;
    return true;
}

static void logs_as_event(const char *lines, struct pm_buf *out)
{
    struct pm_json_value profile, text;
    const char *comma = "";
    pm_buf_add(out, "data: {\"type\":\"log\",\"lines\":[");
    while (next_line(&lines, &profile, &text)) {
        pm_buf_addf(out, "%s[", comma);
        pm_json_quote(out, profile.text, profile.len);
        pm_buf_add(out, ",");
        pm_json_quote(out, text.text, text.len);
        pm_buf_add(out, "]");
        comma = ",";
    }
    pm_buf_add(out, "]}\n\n");
}

/* `-` is of none: lines that were left out are told to all. */
static bool is_for(const char *wanted, const struct pm_json_value *profile)
{
    return !wanted || (profile->len == 1 && *profile->text == '-') ||
           (strlen(wanted) == profile->len && memcmp(wanted, profile->text, profile->len) == 0);
}

static void tell_lines(struct pm_gateway *g, const char *lines)
{
    for (struct pm_listener *l = g->listeners, *next; l; l = next) {
        struct pm_json_value profile, text;
        struct pm_buf out;
        const char *at = lines;
        next = l->next;
        if (!(l->hears & HEARS_LINES))
            continue;
        pm_buf_init(&out, EVENT_MAX);
        while (next_line(&at, &profile, &text)) {
            if (!is_for(l->profile, &profile))
                continue;
            pm_buf_addn(&out, text.text, text.len);
            pm_buf_add(&out, "\n");
        }
        if (out.len)
            send_to(l, out.data, out.len);
        pm_buf_release(&out);
    }
}

static void keep_last(struct pm_gateway *g, const struct pm_msg *msg)
{
    static const char status[] = "\"type\":\"status\"", live[] = "{\"type\":\"live\"";
    char **last = strncmp(msg->data, live, sizeof(live) - 1) == 0 ? &g->last_live
                  : strstr(msg->data, status)                     ? &g->last_status
                                                                  : NULL;
    if (!last)
        return;
    free(*last);
    *last = pm_strndup(msg->data, msg->len);
}

void pm_listeners_event(struct pm_gateway *g, const struct pm_msg *msg)
{
    struct pm_buf text;
    pm_buf_init(&text, EVENT_MAX);
    if (msg->id == PM_WATCH_LOGS) {
        logs_as_event(msg->data, &text);
        send_all(g, HEARS_LOGS, &text);
        tell_lines(g, msg->data);
    } else {
        keep_last(g, msg);
        as_event(msg->data, msg->len, &text);
        send_all(g, HEARS_EVENTS, &text);
    }
    pm_buf_release(&text);
}

void pm_listeners_end(struct pm_gateway *g)
{
    while (g->listeners) {
        struct pm_exchange *x = g->listeners->x;
        remove_listener(g->listeners);
        pm_reply_end(x);
    }
}
