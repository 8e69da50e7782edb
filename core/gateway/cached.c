/* Answers that were given before: found, kept, and told as a stream where one is wanted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/secret.h"
#include "core/gateway/call_priv.h"

static bool is_cacheable(const struct pm_call *c)
{
    const struct pm_route *r = c->input.route;
    if (!r || !r->cache_ms || !c->g->cache || !c->has_api || (c->api.stream && !pm_api_is_plain(&c->api)))
        return false;
    bool known = pm_protocol_streams(c->api.protocol) || (c->api.protocol == PM_PROTO_EMBEDDINGS && !c->api.stream);
    return known && (r->cache_sampled || pm_api_is_deterministic(&c->api));
}

static void add_target(const struct pm_call *c, size_t index, struct pm_buf *text)
{
    const struct pm_target *t = &c->g->conf->targets[index];
    const char *where = t->base_url ? t->base_url : t->url ? t->url : "";
    if (pm_user_may_use(c->client, t))
        pm_buf_addf(text, "%s\t%s\t%s\n", t->id, t->model ? t->model : "", where);
}

/* What decides the answer: the request, the route, and which targets may give it. */
static void set_key(struct pm_call *c)
{
    struct pm_buf text;
    pm_buf_init(&text, PM_BUF_OWN_LIMIT);
    pm_buf_addf(&text, "%s\n%s\n", pm_protocol_name(c->api.protocol), c->input.route->id);
    const struct pm_route *r = c->input.route;
    for (size_t i = 0; i < r->n_targets; i++)
        add_target(c, r->targets[i], &text);
    if (r->fallback >= 0)
        add_target(c, (size_t)r->fallback, &text);
    static const char *const headers[] = {"anthropic-version", "anthropic-beta", "openai-beta"};
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
        const char *value = pm_http_header(pm_exchange_head(c->x), headers[i]);
        pm_buf_addf(&text, "%s\n", value ? value : "");
    }
    pm_api_canonical(&c->api, &text);
    pm_sha256_hex(text.data, text.len, c->cache_key);
    pm_buf_release(&text);
}

static void count(struct pm_call *c, const char *result)
{
    char labels[32];
    snprintf(labels, sizeof(labels), "result=\"%s\"", result);
    pm_metrics_add(c->g->metrics, "pointsman_cache_total", labels, 1);
}

/* --- giving --- */

static void to_caller(void *arg, const char *name, const char *data, size_t len)
{
    struct pm_call *c = arg;
    pm_sse_write(&c->held, name, data, len);
}

static void to_encoder(void *encoder, const struct pm_canon_event *event)
{
    pm_encoder_event(encoder, event);
}

bool pm_cached_to_stream(struct pm_call *c, const char *body, size_t len)
{
    struct pm_encoder_spec spec = {.model = c->model,
                                   .created = (long long)time(NULL),
                                   .prompt_tokens = 1,
                                   .wants_usage = pm_wire_wants_usage(c)};
    struct pm_encoder *encoder = pm_encoder_new(c->api.protocol, &spec, to_caller, c);
    struct pm_decoder *decoder = pm_decoder_new(c->api.protocol, to_encoder, encoder);
    bool good = pm_decoder_whole(decoder, body, len);
    pm_decoder_free(decoder);
    pm_encoder_free(encoder);
    return good;
}

static bool answer(struct pm_call *c, const struct pm_cached *kept)
{
    char age[24];
    struct pm_exchange *x = c->x;
    if (c->api.stream && !pm_cached_to_stream(c, kept->body, kept->len))
        return false;
    snprintf(age, sizeof(age), "%llu", (unsigned long long)((pm_clock_ms() - kept->at_ms) / 1000));
    c->cache_hit = true;
    c->target = pm_conf_target(c->g->conf, kept->target);
    c->first_us = pm_clock_us();
    pm_answer_headers(c);
    pm_reply_header(x, "age", age);
    c->x = NULL;
    if (c->api.stream)
        pm_reply(x, 200, "text/event-stream", c->held.data, c->held.len);
    else
        pm_reply(x, 200, "application/json", kept->body, kept->len);
    count(c, "hit");
    pm_call_end(c, 200);
    return true;
}

void pm_cached_look(struct pm_call *c)
{
    c->input.route = pm_route_of(c->g, c->model);
    if (is_cacheable(c))
        set_key(c);
    bool here = *c->cache_key && pm_cache_get(c->g->cache, c->cache_key, pm_clock_ms());
    if (here || !pm_shared_look(c))
        pm_cached_look_here(c);
}

void pm_cached_look_here(struct pm_call *c)
{
    const struct pm_cached *kept = *c->cache_key ? pm_cache_get(c->g->cache, c->cache_key, pm_clock_ms()) : NULL;
    if (kept && answer(c, kept))
        return;
    if (*c->cache_key) {
        count(c, "miss");
        if (c->api.stream)
            c->kept = pm_assembly_new(c->api.protocol);
    }
    pm_call_go_on(c);
}

/* --- keeping --- */

static void told(void *arg, const struct pm_sse_event *event)
{
    struct pm_call *c = arg;
    pm_assembly_event(c->kept, event->name, event->data, event->data_len);
}

void pm_cached_note(struct pm_call *c, const char *data, size_t len)
{
    if (c->kept && pm_sse_feed(&c->kept_sse, data, len, told, c) < 0) {
        pm_assembly_free(c->kept);
        c->kept = NULL;
    }
}

void pm_cached_keep(struct pm_call *c, const char *body, size_t len)
{
    if (!*c->cache_key || c->cache_hit || c->status != 200)
        return;
    struct pm_cached what = {.body = body, .len = len, .target = c->target->id, .at_ms = pm_clock_ms()};
    pm_cache_put(c->g->cache, c->cache_key, &what, c->input.route->cache_ms);
    pm_shared_keep(c, &what);
}

void pm_cached_keep_stream(struct pm_call *c)
{
    char *body = c->kept ? pm_assembly_body(c->kept) : NULL;
    if (body)
        pm_cached_keep(c, body, strlen(body));
    free(body);
}

void pm_cached_headers(struct pm_call *c)
{
    if (*c->cache_key)
        pm_reply_header(c->x, "x-pointsman-cache", c->cache_hit ? "hit" : "miss");
}
