/* GET /models/sse: what becomes of the models, as it happens, in the shape of llama-server's router mode (llama.cpp,
 * tools/server/README.md). A slow listener is closed: it can come back and is told everything anew. */
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/gateway/gateway_priv.h"

struct pm_listener {
    struct pm_listener *next;
    struct pm_gateway *g;
    struct pm_exchange *x;
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

static void remove_listener(struct pm_listener *l)
{
    struct pm_listener **at = &l->g->listeners;
    while (*at && *at != l)
        at = &(*at)->next;
    if (*at)
        *at = l->next;
    pm_loop_defer(l->g->loop, free, l);
}

static void gone(void *arg)
{
    remove_listener(arg);
}

static void writable(void *arg)
{
    (void)arg;
}

static void send_to(struct pm_listener *l, const char *event)
{
    if (pm_reply_is_full(l->x)) {
        struct pm_exchange *x = l->x;
        remove_listener(l);
        pm_reply_abort(x);
        return;
    }
    pm_reply_send(l->x, event, strlen(event));
}

void pm_answer_models_sse(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    static const struct pm_exchange_events events = {.gone = gone, .writable = writable};
    struct pm_listener *l = pm_calloc(1, sizeof(*l));
    char id[32];
    (void)rest;
    l->g = g;
    l->x = x;
    l->next = g->listeners;
    g->listeners = l;
    pm_new_request_id(g, id, sizeof(id));
    pm_exchange_watch(x, &events, l);
    pm_reply_standard_headers(x, id);
    pm_reply_header(x, "Cache-Control", "no-cache");
    pm_reply_begin(x, 200, "text/event-stream");
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
    if (!g->listeners)
        return;
    char *event = event_of(&g->conf->targets[target], &g->states[target]);
    for (struct pm_listener *l = g->listeners, *next; l; l = next) {
        next = l->next;
        send_to(l, event);
    }
    free(event);
}

void pm_listeners_end(struct pm_gateway *g)
{
    while (g->listeners) {
        struct pm_exchange *x = g->listeners->x;
        remove_listener(g->listeners);
        pm_reply_end(x);
    }
}
