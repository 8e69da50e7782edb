/* A request to a model: read, judge, decide; the attempts follow in attempt.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/gateway/call_priv.h"
#include "core/gateway/review_priv.h"
#include "core/store/redis.h"

enum { REFUSAL_MAX = 512 << 10 };

struct pm_call *pm_call_new(struct pm_gateway *g, struct pm_exchange *x, const struct pm_endpoint *e)
{
    struct pm_call *c = pm_calloc(1, sizeof(*c));
    c->g = g;
    c->x = x;
    c->endpoint = e;
    c->start_us = pm_exchange_start_us(x);
    c->usage = PM_USAGE_UNKNOWN;
    c->prefix_break = -1;
    c->method = pm_http_method_name(pm_exchange_head(x)->method);
    c->anthropic = pm_path_is_anthropic(pm_exchange_head(x));
    pm_new_request_id(g, c->id, sizeof(c->id));
    pm_buf_init(&c->body, PM_BUF_OWN_LIMIT + g->conf->gateway.max_body * (1 << 20));
    pm_buf_init(&c->held, PM_BUF_OWN_LIMIT);
    pm_buf_init(&c->failures, 8192);
    pm_buf_init(&c->fail_body, REFUSAL_MAX);
    pm_sse_reader_init(&c->sse);
    pm_sse_reader_init(&c->sent_sse);
    pm_sse_reader_init(&c->kept_sse);
    pm_buf_init(&c->sent, PM_BUF_OWN_LIMIT);
    pm_timer_init(&c->pause, g->loop, pm_attempt_again, c);
    pm_wait_init(c);
    c->next = g->calls;
    if (c->next)
        c->next->prev = c;
    g->calls = c;
    return c;
}

static void release(void *arg)
{
    struct pm_call *c = arg;
    if (c->decision)
        pm_decision_release(c->decision);
    if (c->has_api)
        pm_api_request_release(&c->api);
    free(c->decision);
    free(c->views);
    free(c->upstream_path);
    free(c->model);
    free(c->prompt);
    free(c->fail_type);
    pm_strv_release(&c->headers);
    free(c->error_text);
    pm_wire_reset(c);
    pm_resume_release(c);
    pm_assembly_free(c->kept);
    pm_sse_reader_release(&c->kept_sse);
    pm_buf_release(&c->body);
    pm_buf_release(&c->held);
    pm_buf_release(&c->failures);
    pm_buf_release(&c->fail_body);
    pm_sse_reader_release(&c->sse);
    pm_timer_release(&c->deadline);
    pm_timer_release(&c->pause);
    pm_timer_release(&c->ping);
    free(c);
}

void pm_call_free(struct pm_call *c)
{
    pm_attempt_end(c, PM_DONE_ABANDONED);
    pm_redis_cancel(c->ask);
    pm_review_release(c);
    pm_timer_clear(&c->deadline);
    pm_timer_clear(&c->pause);
    pm_timer_clear(&c->ping);
    if (c->prev)
        c->prev->next = c->next;
    else
        c->g->calls = c->next;
    if (c->next)
        c->next->prev = c->prev;
    pm_loop_defer(c->g->loop, release, c);
}

void pm_call_refuse(struct pm_call *c, int status, const char *code, const char *message)
{
    struct pm_buf body;
    pm_buf_init(&body, 32768);
    pm_api_error_body(c->anthropic, status, code, message, c->id, &body);
    pm_answer_refuse(c, status, "application/json", body.data, body.len);
    pm_buf_release(&body);
}

/* Requests without a body of a known protocol: the model stands in the path or the query. */
static void read_native(struct pm_call *c, const char *rest)
{
    const struct pm_http_head *head = pm_exchange_head(c->x);
    c->api = (struct pm_api_request){.protocol = PM_PROTO_NATIVE, .body = "", .model = ""};
    if (c->endpoint->upstream) {
        c->model = pm_query_value(head, "model");
        c->upstream_path = pm_strdup(c->endpoint->upstream);
    } else {
        /* /upstream/{profile}/path?query: the longest id that the path begins with, since ids may hold a slash. */
        size_t best = strcspn(rest, "/");
        for (size_t i = 0; i < c->g->conf->n_targets; i++) {
            size_t n = strlen(c->g->conf->targets[i].id);
            if (n > best && strncmp(rest, c->g->conf->targets[i].id, n) == 0 && (rest[n] == '/' || !rest[n]))
                best = n;
        }
        c->model = pm_strndup(rest, best);
        const char *path = rest[best] ? rest + best : "/";
        c->upstream_path = pm_asprintf("%s%s%s", path, *head->query ? "?" : "", head->query);
    }
    c->raw_body = pm_exchange_body(c->x)->data;
    c->raw_len = pm_exchange_body(c->x)->len;
}

static bool has_json_body(const struct pm_call *c)
{
    return c->endpoint->upstream && strcmp(c->method, "POST") == 0;
}

static void set_own_id(struct pm_call *c)
{
    static const char *const prefixes[] = {[PM_PROTO_CHAT] = "chatcmpl-",
                                           [PM_PROTO_COMPLETIONS] = "cmpl-",
                                           [PM_PROTO_RESPONSES] = "resp_",
                                           [PM_PROTO_MESSAGES] = "msg_",
                                           [PM_PROTO_NATIVE] = NULL};
    const char *prefix = prefixes[c->api.protocol];
    snprintf(c->own_id, sizeof(c->own_id), "%s%s", prefix ? prefix : "", c->id);
}

/* False when the request was refused. */
static bool read_request(struct pm_call *c, const char *rest)
{
    struct pm_error err = {0};
    const struct pm_buf *body = pm_exchange_body(c->x);
    if (!has_json_body(c)) {
        read_native(c, rest);
        return true;
    }
    const char *encoding = pm_http_header(pm_exchange_head(c->x), "content-encoding");
    if (encoding && strcmp(encoding, "identity") != 0) {
        pm_call_refuse(c, 415, NULL, "a compressed body is not read here: send it without Content-Encoding");
        return false;
    }
    if (pm_api_read(c->endpoint->protocol, body->data, body->len, &c->api, &err) < 0) {
        pm_call_refuse(c, 400, NULL, err.msg);
        return false;
    }
    c->has_api = true;
    c->model = pm_strdup(c->api.model);
    c->upstream_path = pm_strdup(c->endpoint->upstream);
    set_own_id(c);
    pm_call_find_session(c, pm_protocol_streams(c->api.protocol) && c->endpoint->kind == PM_ENDPOINT_MODEL);
    return true;
}

static bool choose(struct pm_call *c)
{
    struct pm_buf why;
    pm_buf_init(&why, 4096);
    if (!pm_call_decide(c, c->model)) {
        pm_unknown_model_text(c->g, c->model, &why);
        pm_call_refuse(c, *c->model ? 404 : 400, "model_not_found", why.data);
    } else if (!c->input.n_targets) {
        pm_buf_addf(&why, "the key %s may use no target of %s", c->client ? c->client->id : "-", c->model);
        pm_call_refuse(c, 403, NULL, why.data);
    } else if (!c->decision->n_attempts) {
        pm_buf_add(&why, "no target of this route can take the request: ");
        pm_decision_vetoes_text(c->decision, &why);
        bool down = c->decision->refused;
        for (size_t i = 0; i < c->input.n_targets; i++)
            down |= c->views[i].down && c->decision->vetoes[i] && !strcmp(c->views[i].down, c->decision->vetoes[i]);
        c->fail_retry_after = 5;
        /* A client that hears 404 counts by itself. */
        bool counts = c->api.protocol == PM_PROTO_COUNT_TOKENS;
        pm_call_refuse(c, down ? 503 : counts ? 404 : 400, NULL, why.data);
    } else {
        pm_buf_release(&why);
        return true;
    }
    pm_buf_release(&why);
    return false;
}

/* What needs no generation slot goes first to a target that is up. */
static void prefer_ready(struct pm_call *c)
{
    struct pm_decision *d = c->decision;
    for (size_t i = 1; i < d->n_attempts; i++) {
        if (!c->g->states[c->views[d->attempts[i].target].conf->index].ready)
            continue;
        if (c->g->states[c->views[d->attempts[0].target].conf->index].ready)
            return;
        struct pm_candidate first = d->attempts[0];
        d->attempts[0] = d->attempts[i];
        d->attempts[i] = first;
        return;
    }
}

/* The key's class, else the caller's word, else the route's. With a key the caller can only ask for less. */
static unsigned rank_of(const struct pm_call *c)
{
    static const char *const names[] = {[PM_RANK_HIGH] = "high", [PM_RANK_NORMAL] = "normal", [PM_RANK_LOW] = "low"};
    const char *asked = pm_http_header(pm_exchange_head(c->x), "x-pointsman-priority");
    const char *words[] = {asked, c->input.route ? c->input.route->priority : NULL};
    unsigned best = PM_RANK_HIGH;
    for (unsigned i = 0; c->client && i < 3; i++)
        if (strcmp(c->client->priority ? c->client->priority : "normal", names[i]) == 0)
            best = i;
    for (size_t w = 0; w < 2; w++)
        for (unsigned i = 0; words[w] && i < 3; i++)
            if (strcasecmp(words[w], names[i]) == 0)
                return i > best ? i : best;
    return best > PM_RANK_NORMAL || c->client ? best : PM_RANK_NORMAL;
}

void pm_call_start(struct pm_gateway *g, struct pm_exchange *x, const struct pm_endpoint *e, const char *rest)
{
    struct pm_call *c = pm_call_new(g, x, e);
    c->read_us = pm_clock_us();
    pm_exchange_watch(x, &pm_answer_exchange_events, c);
    c->client = pm_user_of(g, pm_exchange_head(x));
    if (read_request(c, rest))
        pm_admit_call(c);
}

void pm_call_go_on(struct pm_call *c)
{
    if (!choose(c))
        return;
    if (c->endpoint->kind == PM_ENDPOINT_LIGHT)
        prefer_ready(c);
    c->rank = rank_of(c);
    pm_resume_init(c);
    pm_review_init(c);
    pm_wait_begin(c);
    pm_attempt_next(c);
}
