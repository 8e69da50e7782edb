/* Attempts, in the order of the decision: a slot for a local profile, then the request to the target. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/gateway/call_priv.h"
#include "core/gateway/review_priv.h"

enum { CONNECT_LOCAL_MS = 2000, CONNECT_CLOUD_MS = 5000 };

enum { SLOW_FAILURE_US = 5000000 };

/* The one retry at a cloud comes after up to this, by chance. */
enum { BACKOFF_MS = 250 };

static void add_header(struct pm_call *c, const char *name, const char *value)
{
    pm_target_header(&c->headers, name, "", value);
}

static const char *asked(const struct pm_call *c, const char *name)
{
    return c->x ? pm_http_header(pm_exchange_head(c->x), name) : NULL;
}

/* Nothing of the caller goes out but what the protocol means for the model's side. */
static void set_headers(struct pm_call *c)
{
    const struct pm_target *t = c->target;
    const char *key = c->g->states[t->index].key;
    pm_strv_release(&c->headers);
    const char *type = asked(c, "content-type");
    if (c->body.len || c->raw_len)
        add_header(c, "Content-Type", c->has_api || !type ? "application/json" : type);
    if (t->kind == PM_TARGET_LOCAL && key) {
        pm_target_header(&c->headers, "Authorization", "Bearer ", key);
    } else if (t->kind == PM_TARGET_OPENAI) {
        static const char *const kept[] = {"openai-beta"};
        for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
            if (asked(c, kept[i]))
                add_header(c, kept[i], asked(c, kept[i]));
        if (key)
            pm_target_header(&c->headers, "Authorization", "Bearer ", key);
    } else if (t->kind == PM_TARGET_ANTHROPIC) {
        const char *version = asked(c, "anthropic-version"), *beta = asked(c, "anthropic-beta");
        bool first = !version || strcmp(version, "2023-06-01") == 0;
        add_header(c, "anthropic-version", version ? version : "2023-06-01");
        if (beta)
            add_header(c, "anthropic-beta", beta);
        /* The first version of the API has its own header for the key, later ones take a bearer token. */
        if (key)
            pm_target_header(&c->headers, first ? "x-api-key" : "Authorization", first ? "" : "Bearer ", key);
    }
}

static void send_request(struct pm_call *c, const char *address)
{
    const struct pm_target *t = c->target;
    bool local = t->kind == PM_TARGET_LOCAL;
    struct pm_error err = {0};
    pm_answer_reset(c);
    if (t->kind != PM_TARGET_ANTHROPIC && c->has_api && pm_api_wants_thread(&c->api)) {
        pm_buf_clear(&c->fail_body);
        pm_api_refuse_thread(&c->fail_body);
        free(c->fail_type);
        c->fail_type = pm_strdup("application/json");
        pm_attempt_failed(c, 400, "it keeps no conversations", false);
        return;
    }
    if (pm_wire_set_body(c, &err) < 0) {
        pm_attempt_failed(c, 400, err.msg, false);
        return;
    }
    pm_wire_expect(c);
    set_headers(c);
    char *url = pm_target_url(t, address, pm_wire_path(c));
    bool has_body = c->has_api || c->raw_len;
    struct pm_transfer_spec spec = {.method = c->method,
                                    .url = url,
                                    .unix_socket = pm_target_socket(t, address),
                                    .ca_file = t->ca_file,
                                    .headers = &c->headers,
                                    .body = !has_body    ? NULL
                                            : c->has_api ? c->body.data
                                                         : c->raw_body,
                                    .len = c->has_api ? c->body.len : c->raw_len,
                                    .connect_ms = local ? CONNECT_LOCAL_MS : CONNECT_CLOUD_MS};
    c->attempts++;
    c->sent_us = pm_clock_us();
    c->transfer = pm_transfer_start(c->g->up, &spec, &pm_answer_events, c);
    pm_wait_sent(c);
    free(url);
}

static void ask_for_lease(struct pm_call *c)
{
    struct pm_msg_lease ask = {0};
    if (!c->g->channel) {
        pm_attempt_failed(c, 503, "the backend manager has gone", false);
        return;
    }
    snprintf(ask.profile, sizeof(ask.profile), "%s", c->target->id);
    ask.conversation = c->has_api ? c->api.conversation : 0;
    ask.rank = c->rank;
    ask.waited_ms = (uint32_t)(c->queued_us / 1000);
    c->lease = ++c->g->next_id;
    c->granted = false;
    c->wait_start_us = pm_clock_us();
    pm_channel_send(c->g->channel, PM_MSG_LEASE, c->lease, &ask, sizeof(ask));
}

static void start_attempt(struct pm_call *c)
{
    struct pm_target_state *s = &c->g->states[c->target->index];
    if (c->target->kind != PM_TARGET_LOCAL && !pm_breaker_allow(&s->breaker, pm_clock_ms()))
        pm_attempt_failed(c, 503, "it failed too often a moment ago", false);
    else if (c->target->kind != PM_TARGET_LOCAL)
        send_request(c, NULL);
    else if (c->endpoint->kind == PM_ENDPOINT_LIGHT && s->ready && !c->retried)
        send_request(c, s->address);
    else
        ask_for_lease(c);
}

static void nothing_left(struct pm_call *c)
{
    if (pm_review_restore(c))
        return;
    if (c->fail_type && c->fail_status >= 400) {
        pm_answer_refuse(c, c->fail_status, c->fail_type, c->fail_body.data, c->fail_body.len);
        return;
    }
    struct pm_buf text;
    pm_buf_init(&text, 16384);
    pm_buf_addf(&text, "no target could answer: %s", c->failures.data);
    pm_call_refuse(c, c->fail_status ? c->fail_status : 502, NULL, text.data);
    pm_buf_release(&text);
}

void pm_attempt_next(struct pm_call *c)
{
    c->retried = false;
    while (c->attempt < c->decision->n_attempts) {
        const struct pm_target_view *view = &c->views[c->decision->attempts[c->attempt++].target];
        if (c->overflow_of && view->context && view->context <= c->overflow_of)
            continue;
        c->target = view->conf;
        pm_review_attempt(c);
        start_attempt(c);
        return;
    }
    nothing_left(c);
}

void pm_attempt_again(void *call)
{
    start_attempt(call);
}

void pm_attempt_later(struct pm_call *c, unsigned seconds)
{
    pm_attempt_end(c, PM_DONE_ABANDONED);
    c->retried = true;
    c->wait_us += seconds * 1000000ULL;
    c->sent_us = 0;
    pm_timer_set(&c->pause, seconds * 1000ULL);
}

/* The target's own failures count for its breaker; that it was never asked does not. */
static void count_failure(struct pm_call *c)
{
    bool refused = c->status >= 400 && c->status < 500;
    if (c->target->kind != PM_TARGET_LOCAL && c->sent_us && !refused) {
        pm_breaker_failure(&c->g->states[c->target->index].breaker, pm_clock_ms(),
                           pm_clock_us() - c->sent_us > SLOW_FAILURE_US);
        pm_journal_breaker(c->g, c->target);
    }
}

/* A local server is there again, or is not; many callers of a cloud that hiccuped come back spread out. */
static void try_again(struct pm_call *c)
{
    uint8_t dice = 0;
    if (c->target->kind == PM_TARGET_LOCAL || getrandom(&dice, sizeof(dice), 0) < 0) {
        start_attempt(c);
        return;
    }
    uint64_t pause = (uint64_t)dice * BACKOFF_MS / UINT8_MAX;
    c->wait_us += pause * 1000;
    pm_timer_set(&c->pause, pause);
}

void pm_attempt_failed(struct pm_call *c, int status, const char *why, bool again)
{
    struct pm_buf labels;
    count_failure(c);
    if (c->sent_us)
        c->wait_us += pm_clock_us() - c->sent_us;
    c->sent_us = 0;
    pm_attempt_end(c, again ? PM_DONE_UNREACHABLE : PM_DONE_ABANDONED);
    pm_buf_addf(&c->failures, "%s%s: %s", c->failures.len ? "; " : "", c->target->id, why);
    c->fail_status = status;
    pm_buf_init(&labels, 512);
    pm_metrics_label(&labels, "target", c->target->id);
    pm_metrics_add(c->g->metrics, "pointsman_attempt_failures_total", labels.data, 1);
    pm_buf_release(&labels);
    pm_log(PM_LOG_DEBUG, "request %s: %s: %s", c->id, c->target->id, why);
    if (again && !c->retried) {
        c->retried = true;
        try_again(c);
        return;
    }
    pm_attempt_next(c);
}

/* Anthropic's count leaves out what came from the cache, OpenAI's has it in; llama-server says it by itself except in
 * the messages API. */
static long long processed_tokens(const struct pm_call *c)
{
    const struct pm_usage *u = &c->usage;
    if (u->prompt_processed > 0 || u->prompt <= 0)
        return u->prompt_processed;
    return pm_protocol_is_anthropic(c->wire) ? u->prompt : u->prompt - (u->cached > 0 ? u->cached : 0);
}

void pm_attempt_end(struct pm_call *c, enum pm_done how)
{
    pm_timer_clear(&c->deadline);
    if (c->transfer) {
        pm_transfer_cancel(c->transfer);
        c->transfer = NULL;
    }
    if (!c->lease)
        return;
    if (c->g->channel && c->granted) {
        struct pm_msg_done done = {.how = how};
        long long processed = processed_tokens(c);
        if (processed > 0 && how == PM_DONE_OK) {
            done.prompt_tokens = (uint32_t)processed;
            done.cached_tokens = c->usage.cached > 0 ? (uint32_t)c->usage.cached : 0;
            done.prompt_ms = (float)c->usage.prompt_ms;
            done.output_tokens = c->usage.output > 0 ? (uint32_t)c->usage.output : 0;
            done.output_ms = (float)c->usage.output_ms;
        }
        pm_channel_send(c->g->channel, PM_MSG_LEASE_DONE, c->lease, &done, sizeof(done));
    } else if (c->g->channel) {
        pm_channel_send(c->g->channel, PM_MSG_LEASE_CANCEL, c->lease, NULL, 0);
    }
    c->lease = 0;
    c->granted = false;
}

static void waited(struct pm_call *c)
{
    uint64_t us = pm_clock_us() - c->wait_start_us;
    c->wait_us += us;
    c->queued_us += us;
}

static void granted(struct pm_call *c, const struct pm_msg *msg)
{
    struct pm_msg_grant grant;
    c->granted = true;
    waited(c);
    if (!pm_msg_struct(msg, &grant, sizeof(grant))) {
        pm_attempt_failed(c, 502, "the backend manager spoke in riddles", false);
        return;
    }
    grant.address[sizeof(grant.address) - 1] = 0;
    c->loading_us += grant.loading_us;
    send_request(c, grant.address);
}

static void denied(struct pm_call *c, const struct pm_msg *msg)
{
    struct pm_msg_deny deny;
    c->lease = 0;
    waited(c);
    if (!pm_msg_struct(msg, &deny, sizeof(deny))) {
        pm_attempt_failed(c, 502, "the backend manager spoke in riddles", false);
        return;
    }
    deny.reason[sizeof(deny.reason) - 1] = 0;
    c->fail_retry_after = (int)deny.retry_after_s;
    pm_attempt_failed(c, deny.why == PM_DENY_BUSY ? 429 : 503, deny.reason, false);
}

void pm_lease_message(struct pm_gateway *g, const struct pm_msg *msg)
{
    struct pm_call *c = g->calls;
    if (pm_side_lease(g, msg))
        return;
    while (c && (c->lease != msg->id || c->granted))
        c = c->next;
    /* None: it was cancelled while the answer was on its way; the manager hears that too. */
    if (!c)
        return;
    if (msg->type == PM_MSG_LEASE_GRANT)
        granted(c, msg);
    else
        denied(c, msg);
}

void pm_calls_without_manager(struct pm_gateway *g)
{
    pm_sides_without_manager(g);
    for (struct pm_call *c = g->calls, *next; c; c = next) {
        next = c->next;
        if (c->lease && !c->granted)
            pm_attempt_failed(c, 503, "the backend manager has gone", false);
    }
}
