/* The target's answer on its way to the client: held back until it says something, then streamed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/gateway/call_priv.h"
#include "core/gateway/review_priv.h"

/* A stream is held back no longer than this, content or not. */
enum { HELD_BYTES_MAX = 64 << 10, HELD_EVENTS_MAX = 64 };

/* A whole answer is held until it is complete up to this size; a refusal is cut there. One that is translated or kept
 * is held up to the second. */
enum { WHOLE_BYTES_MAX = 256 << 10, KEPT_BYTES_MAX = 16 << 20 };

/* A 5xx within this is worth a second try at the same target. */
enum { FAST_FAILURE_US = 1000000 };

/* A Retry-After up to this is waited for, where no other target is left. */
enum { SHORT_WAIT_S = 5, COOL_MAX_S = 60 };

void pm_answer_reset(struct pm_call *c)
{
    c->status = 0;
    c->is_sse = c->said_end = c->said_error = false;
    c->held_events = 0;
    c->said_content = false;
    c->events = 0;
    c->response_id[0] = 0;
    c->usage = PM_USAGE_UNKNOWN;
    c->strips_progress = c->strips_usage = false;
    c->logprobs = (struct pm_logprobs){0};
    PM_FREE_AND_NULL(c->error_text);
    pm_wire_reset(c);
    pm_buf_clear(&c->held);
    pm_sse_reader_release(&c->sse);
    pm_sse_reader_init(&c->sse);
}

void pm_answer_headers(struct pm_call *c)
{
    char number[32];
    struct pm_exchange *x = c->x;
    uint64_t now = pm_clock_us(), outside = c->wait_us;
    if (c->sent_us)
        outside += (c->head_us > c->sent_us ? c->head_us : now) - c->sent_us;
    else if (c->lease && !c->granted)
        outside += now - c->wait_start_us;
    uint64_t ours = now - c->read_us > outside ? now - c->read_us - outside : 0;
    pm_reply_header(x, "x-pointsman-request", c->id);
    pm_reply_header(x, "x-pointsman-route", c->input.route ? c->input.route->id : "-");
    pm_reply_header(x, "x-pointsman-target", c->target ? c->target->id : "-");
    pm_reply_header(x, "x-pointsman-reason", c->decision ? c->decision->reason : "-");
    snprintf(number, sizeof(number), "%u", c->attempts);
    pm_reply_header(x, "x-pointsman-attempts", number);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)ours);
    pm_reply_header(x, "x-pointsman-overhead-us", number);
    pm_admit_headers(c);
    pm_cached_headers(c);
    if (c->canon && c->canon->dropped.n)
        pm_reply_list_header(x, "x-pointsman-dropped", &c->canon->dropped);
    pm_metrics_observe(c->g->metrics, "pointsman_overhead_seconds", "", (double)ours / 1e6);
}

void pm_answer_retry_after(struct pm_call *c, int status)
{
    char seconds[16];
    if (status != 429 && status != 503 && status != 529)
        return;
    snprintf(seconds, sizeof(seconds), "%d", c->fail_retry_after > 0 ? c->fail_retry_after : 1);
    pm_reply_header(c->x, "Retry-After", seconds);
}

/* What clients act upon or people look up; nothing that is about the hop between us and the target. */
static void forward_headers(struct pm_call *c)
{
    static const char *const names[] = {"retry-after", "request-id", "x-request-id", "x-ratelimit-",
                                        "anthropic-ratelimit-"};
    if (!c->transfer)
        return;
    for (const char *line = pm_transfer_headers(c->transfer); *line;) {
        size_t len = strcspn(line, "\r\n"), colon = strcspn(line, ":");
        for (size_t i = 0; i < sizeof(names) / sizeof(*names) && colon < len && colon < 80; i++) {
            size_t n = strlen(names[i]);
            bool prefix = names[i][n - 1] == '-';
            if (strncasecmp(line, names[i], n) != 0 || (!prefix && colon != n))
                continue;
            /* The provider's limits are not those of the key that asks. */
            if (prefix && c->client)
                continue;
            char name[80];
            char *value = pm_strndup(line + colon + 1, len - colon - 1);
            memcpy(name, line, colon);
            name[colon] = 0;
            pm_reply_header(c->x, name, value + strspn(value, " \t"));
            free(value);
        }
        line += len;
        line += strspn(line, "\r\n");
    }
}

static const char *content_type(struct pm_call *c)
{
    if (c->decoder && c->api.stream)
        return "text/event-stream";
    const char *type = c->transfer ? pm_transfer_header(c->transfer, "content-type") : NULL;
    return type ? type : c->is_sse ? "text/event-stream" : "application/json";
}

static void say(struct pm_call *c, const char *data, size_t len)
{
    pm_resume_note(c, data, len);
    pm_cached_note(c, data, len);
    pm_reply_send(c->x, data, len);
}

/* From here on the client has this answer, and no other can take its place. */
static void commit(struct pm_call *c)
{
    c->committed = true;
    if (!c->first_us)
        c->first_us = pm_clock_us();
    pm_timer_clear(&c->ping);
    if (c->opened) {
        if (c->api.protocol == PM_PROTO_RESPONSES && !c->resuming) {
            pm_api_drop_openings(&c->held);
            if (*c->response_id)
                pm_api_rename_response(&c->held, 0, c->response_id, c->own_id);
        }
    } else {
        pm_answer_headers(c);
        forward_headers(c);
        if (c->is_sse)
            pm_reply_header(c->x, "Cache-Control", "no-cache");
        pm_reply_begin(c->x, c->status, content_type(c));
    }
    say(c, c->held.data, c->held.len);
    pm_buf_release(&c->held);
    /* A stream may be open for long: what only routing needed goes now. The body stays while the same request may have
     * to go out again. */
    if (c->has_api) {
        pm_journal_keep_prompt(c);
        pm_api_request_shrink(&c->api);
        if (!c->can_resume)
            pm_buf_release(pm_exchange_body(c->x));
        if (!c->transfer || pm_transfer_has_sent(c->transfer, c->body.len))
            pm_buf_release(&c->body);
    }
}

struct pm_api_identity pm_answer_identity(const struct pm_call *c)
{
    unsigned told = c->opened ? 2 : 0;
    const char *id = c->opened || c->encoder || !*c->response_id ? c->own_id : c->response_id;
    unsigned sequence = c->encoder    ? pm_encoder_sequence(c->encoder)
                        : c->resuming ? pm_said_sequence(c->said)
                                      : c->events;
    return (struct pm_api_identity){.response_id = id,
                                    .model = c->model,
                                    .created = (long long)time(NULL),
                                    .sequence = sequence > told ? sequence : told};
}

/* Ends a stream so that nobody takes it for complete. */
static void end_stream(struct pm_call *c, const char *text)
{
    bool wants_error = c->input.route && c->input.route->on_cut && strcmp(c->input.route->on_cut, "error") == 0;
    struct pm_api_identity who = pm_answer_identity(c);
    char *event = pm_api_cut_event(c->api.protocol, &who, text);
    struct pm_exchange *x = c->x;
    bool is_complete = event != NULL;
    c->x = NULL;
    if (!event && wants_error)
        event = pm_api_error_chunk(text);
    if (event)
        pm_reply_send(x, event, strlen(event));
    if (is_complete)
        pm_reply_end(x);
    else
        pm_reply_abort(x);
    free(event);
}

static void end_cut(struct pm_call *c, const char *why)
{
    char *text = pm_asprintf("the answer of %s broke off: %s", c->target->id, why);
    pm_buf_addf(&c->failures, "%s%s", c->failures.len ? "; " : "", text);
    if (c->is_sse || c->opened) {
        end_stream(c, text);
    } else {
        struct pm_exchange *x = c->x;
        c->x = NULL;
        pm_reply_abort(x);
    }
    free(text);
    pm_call_end(c, 502);
}

static void finish_cut(struct pm_call *c, const char *why)
{
    if (!pm_resume_start(c, why, false))
        end_cut(c, why);
}

void pm_answer_refuse(struct pm_call *c, int status, const char *type, const char *body, size_t len)
{
    if (c->opened) {
        cJSON *root = cJSON_ParseWithLength(body, len);
        const char *message = pm_json_str(pm_json_get(root, "error"), "message");
        end_stream(c, message ? message : "no target could answer");
        cJSON_Delete(root);
    } else {
        struct pm_exchange *x = c->x;
        pm_answer_headers(c);
        pm_answer_retry_after(c, status);
        c->x = NULL;
        pm_reply(x, status, type, body, len);
    }
    pm_call_end(c, status);
}

/* --- streams --- */

/* An event of the life cycle says which response it is of: the one that the caller has been told of. */
static void same_identity(struct pm_call *c, const struct pm_sse_event *event, size_t before)
{
    if (!*c->response_id)
        pm_api_response_id(event->data, event->data_len, c->response_id, sizeof(c->response_id));
    if (c->opened && *c->response_id)
        pm_api_rename_response(&c->held, before, c->response_id, c->own_id);
}

/* Usage, and what the event means for the answer. */
static enum pm_event_kind weigh(struct pm_call *c, const struct pm_sse_event *event)
{
    enum pm_event_kind kind = pm_api_event(c->wire, event->name, event->data, event->data_len, &c->usage);
    c->held_events++;
    if (kind == PM_EVENT_END)
        c->said_end = true;
    /* After its end an answer is whole, whatever else goes wrong. */
    if (kind == PM_EVENT_ERROR && !c->said_end) {
        c->said_error = true;
        c->error_text = pm_api_error_message(event->data, event->data_len);
    }
    if (kind == PM_EVENT_CONTENT || kind == PM_EVENT_END)
        c->said_content = true;
    return kind;
}

static void on_event(void *arg, const struct pm_sse_event *event)
{
    struct pm_call *c = arg;
    size_t before = c->held.len;
    if (c->said_error)
        return;
    c->events++;
    if (c->strips_logprobs)
        pm_api_event_logprobs(event->data, event->data_len, &c->logprobs);
    if (c->strips_progress && c->decoder && pm_api_event_is_progress(event->data, event->data_len))
        return;
    if (c->decoder) {
        if (weigh(c, event) != PM_EVENT_ERROR)
            pm_decoder_event(c->decoder, event->name, event->data, event->data_len);
        return;
    }
    if (c->mend)
        pm_mend_event(c->mend, event->name, event->data, event->data_len, event->raw, event->raw_len, &c->held);
    if (c->strips_progress && pm_api_event_is_progress(event->data, event->data_len))
        return;
    if (c->assembly)
        pm_assembly_event(c->assembly, event->name, event->data, event->data_len);
    else if (!c->mend)
        pm_buf_addn(&c->held, event->raw, event->raw_len);
    if (c->committed && pm_api_event_is_plain(c->wire, event->name, event->data, event->data_len))
        return;
    if (c->api.protocol == PM_PROTO_RESPONSES)
        same_identity(c, event, before);
    /* An error is told by whoever ends the stream, once it is clear that the answer does not come from elsewhere. */
    bool own_usage = c->strips_usage && pm_api_event_is_usage(event->data, event->data_len);
    if (own_usage && !c->under_review)
        pm_cached_note(c, event->raw, event->raw_len);
    if (weigh(c, event) == PM_EVENT_ERROR || own_usage)
        pm_buf_cut(&c->held, before);
}

/* The new answer is another one: nobody is to take the two for one. */
static void differs(struct pm_call *c)
{
    end_cut(c, "asked again, it answered differently");
}

static bool stream_data(struct pm_call *c, const char *data, size_t len)
{
    if (pm_sse_feed(&c->sse, data, len, on_event, c) < 0) {
        if (c->committed)
            finish_cut(c, "an event larger than the limit");
        else
            pm_attempt_failed(c, 502, "an event larger than the limit", false);
        return true;
    }
    enum pm_resume_state resumed = c->resume ? pm_resume_state(c->resume) : PM_RESUME_GOES_ON;
    if (resumed == PM_RESUME_DIFFERS) {
        differs(c);
        return true;
    }
    if (c->committed) {
        say(c, c->held.data, c->held.len);
        pm_buf_clear(&c->held);
        if (c->said_error) {
            finish_cut(c, c->error_text);
            return true;
        }
        return !pm_reply_is_full(c->x);
    }
    if (c->said_error && (!c->said_content || c->resume || c->assembly)) {
        char *why = pm_asprintf("it reported an error in place of an answer: %s", c->error_text);
        pm_attempt_failed(c, 502, why, false);
        free(why);
        return true;
    }
    bool speaks = c->said_content && resumed == PM_RESUME_GOES_ON;
    if (c->under_review && c->held.len > KEPT_BYTES_MAX)
        c->under_review = false;
    if (c->assembly || c->under_review || (c->resume && !speaks) ||
        (!speaks && c->held.len < HELD_BYTES_MAX && c->held_events < HELD_EVENTS_MAX))
        return true;
    commit(c);
    if (c->said_error) {
        finish_cut(c, c->error_text);
        return true;
    }
    return !pm_reply_is_full(c->x);
}

static void say_whole(struct pm_call *c, const char *body)
{
    struct pm_exchange *x = c->x;
    c->first_us = pm_clock_us();
    c->is_sse = false;
    pm_admit_charge(c);
    pm_answer_headers(c);
    forward_headers(c);
    pm_cached_keep(c, body, strlen(body));
    c->x = NULL;
    pm_reply(x, 200, "application/json; charset=utf-8", body, strlen(body));
    pm_call_end(c, 200);
}

/* Nothing has gone to the caller yet, so a stream that broke off may be asked for again. */
static void assembled(struct pm_call *c, const struct pm_transfer_result *result)
{
    char *body = c->said_end ? pm_assembly_body(c->assembly) : NULL;
    if (!body) {
        pm_attempt_failed(c, 502, *result->text ? result->text : "the answer ended too early",
                          result->end == PM_TRANSFER_CUT);
        return;
    }
    if (c->under_review)
        pm_review_begin(c, body);
    else
        pm_answer_deliver(c, body);
    free(body);
}

/* The stream has its end mark, and nothing is missing. */
static void complete(struct pm_call *c)
{
    struct pm_exchange *x = c->x;
    int status = c->status;
    pm_admit_charge(c);
    say(c, c->held.data, c->held.len);
    pm_cached_keep_stream(c);
    c->x = NULL;
    pm_reply_end(x);
    pm_call_end(c, status);
}

void pm_answer_deliver(struct pm_call *c, const char *body)
{
    if (body) {
        say_whole(c, body);
        return;
    }
    commit(c);
    complete(c);
}

/* A mark of the end is what makes a stream complete; a closed connection alone does not. */
static void stream_done(struct pm_call *c, const struct pm_transfer_result *result)
{
    bool knows_end = c->api.protocol != PM_PROTO_NATIVE || c->has_api;
    const char *why = *result->text ? result->text : "the stream ended without its end mark";
    if (!c->said_error && c->decoder)
        c->said_end |= pm_decoder_end(c->decoder);
    if (!c->said_error && c->mend)
        c->said_end |= pm_mend_end(c->mend, &c->held);
    if (c->assembly) {
        assembled(c, result);
        return;
    }
    if (c->resume && c->said_end && pm_resume_state(c->resume) != PM_RESUME_GOES_ON) {
        differs(c);
        return;
    }
    if (!c->committed) {
        if (!c->said_end) {
            pm_attempt_failed(c, 502, *result->text ? result->text : "the stream ended without an answer",
                              result->end == PM_TRANSFER_CUT);
            return;
        }
        if (c->under_review) {
            pm_review_begin(c, NULL);
            return;
        }
        commit(c);
    }
    if (c->said_end || (!knows_end && result->end == PM_TRANSFER_OK))
        complete(c);
    else
        finish_cut(c, why);
}

/* --- whole answers --- */

static bool whole_data(struct pm_call *c, const char *data, size_t len)
{
    size_t most = c->decoder || c->under_review || *c->cache_key ? KEPT_BYTES_MAX : WHOLE_BYTES_MAX,
           room = most - c->held.len;
    if (c->decoder && len > room && c->status < 400) {
        pm_attempt_failed(c, 502, "its answer is larger than the limit", false);
        return true;
    }
    if (!c->committed && (len <= room || c->status >= 400)) {
        pm_buf_addn(&c->held, data, len < room ? len : room);
        return true;
    }
    if (!c->committed)
        commit(c);
    pm_reply_send(c->x, data, len);
    return !pm_reply_is_full(c->x);
}

/* Asked for a stream, it answered at once. */
static void send_translated(struct pm_call *c, const struct pm_transfer_result *result)
{
    struct pm_buf body = c->held;
    pm_buf_init(&c->held, PM_BUF_OWN_LIMIT);
    pm_api_usage(body.data, body.len, &c->usage);
    c->said_end = c->said_content = pm_decoder_whole(c->decoder, body.data, body.len);
    pm_buf_release(&body);
    c->is_sse = true;
    if (c->said_end)
        stream_done(c, result);
    else
        pm_attempt_failed(c, 502, "its answer cannot be read", false);
}

static void send_whole(struct pm_call *c)
{
    struct pm_exchange *x = c->x;
    int status = c->status;
    c->first_us = pm_clock_us();
    if (c->opened) {
        /* The caller has a stream already, and this is none. */
        pm_attempt_failed(c, 502, "it answered without a stream", false);
        return;
    }
    pm_api_usage(c->held.data, c->held.len, &c->usage);
    if (c->under_review && status == 200) {
        pm_review_begin(c, c->held.data);
        return;
    }
    pm_admit_charge(c);
    pm_answer_headers(c);
    forward_headers(c);
    pm_cached_keep(c, c->held.data, c->held.len);
    c->x = NULL;
    pm_reply(x, status, content_type(c), c->held.data, c->held.len);
    pm_call_end(c, status);
}

static void whole_done(struct pm_call *c, const struct pm_transfer_result *result)
{
    if (result->end != PM_TRANSFER_OK) {
        if (c->committed)
            finish_cut(c, result->text);
        else
            pm_attempt_failed(c, 502, result->text, result->end == PM_TRANSFER_CUT);
        return;
    }
    if (!c->committed && c->decoder) {
        send_translated(c, result);
        return;
    }
    if (!c->committed) {
        send_whole(c);
        return;
    }
    struct pm_exchange *x = c->x;
    pm_admit_charge(c);
    c->x = NULL;
    pm_reply_end(x);
    pm_call_end(c, c->status);
}

/* --- refusals --- */

static bool moves_on(int status)
{
    static const int statuses[] = {401, 403, 408, 409, 425, 429};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++)
        if (statuses[i] == status)
            return true;
    return status >= 500;
}

/* llama-server answers in OpenAI's shape on every path: Anthropic's clients read another one. */
static void set_refusal(struct pm_call *c, int status)
{
    cJSON *root = cJSON_ParseWithLength(c->held.data, c->held.len);
    const cJSON *error = pm_json_get(root, "error");
    const char *message = pm_json_str(error, "message");
    char *overflow = NULL;
    pm_buf_clear(&c->fail_body);
    free(c->fail_type);
    if (c->overflow_of && c->anthropic) {
        overflow = pm_asprintf("prompt is too long: %.0f tokens > %.0f maximum",
                               pm_json_num(error, "n_prompt_tokens", (double)c->api.prompt_tokens),
                               pm_json_num(error, "n_ctx", (double)c->overflow_of));
        message = overflow;
    }
    bool own_shape = !c->canon && (c->target->kind != PM_TARGET_LOCAL || !c->anthropic);
    if (error && own_shape) {
        c->fail_type = pm_strdup(content_type(c));
        pm_buf_addn(&c->fail_body, c->held.data, c->held.len);
    } else {
        c->fail_type = pm_strdup("application/json");
        char *plain = pm_asprintf("%s answered %d: %.*s", c->target->id, status,
                                  (int)(c->held.len > 300 ? 300 : c->held.len), c->held.data);
        pm_api_error_body(c->anthropic, status, pm_json_str(error, "code"), message ? message : plain, c->id,
                          &c->fail_body);
        free(plain);
    }
    free(overflow);
    cJSON_Delete(root);
}

/* 529 is what one family says where the other says 503. */
static int status_for_caller(const struct pm_call *c)
{
    if (!c->canon)
        return c->status;
    return c->anthropic && c->status == 503 ? 529 : !c->anthropic && c->status == 529 ? 503 : c->status;
}

/* Signatures of thoughts are bound to the model and the conversation that they came from. */
static bool refuses_thoughts(const struct pm_call *c)
{
    return c->status == 400 && c->target->kind == PM_TARGET_ANTHROPIC && c->wire == PM_PROTO_MESSAGES && !c->canon &&
           !c->without_thoughts && (strstr(c->held.data, "signature") || strstr(c->held.data, "`thinking`"));
}

/* It says itself when it wants to be asked again: until then the next callers go to others at once. */
static void let_cool(struct pm_call *c)
{
    struct pm_target_state *s = &c->g->states[c->target->index];
    int seconds = c->fail_retry_after < COOL_MAX_S ? c->fail_retry_after : COOL_MAX_S;
    if (c->status != 429 || seconds <= 0 || c->target->kind == PM_TARGET_LOCAL || s->breaker.open)
        return;
    pm_breaker_open(&s->breaker, pm_clock_ms(), (uint64_t)seconds * 1000);
    pm_journal_breaker(c->g, c->target);
}

static void refusal_done(struct pm_call *c, const struct pm_transfer_result *result)
{
    char why[128];
    int status = status_for_caller(c);
    const char *wait = c->transfer ? pm_transfer_header(c->transfer, "retry-after") : NULL;
    (void)result;
    c->fail_retry_after = wait ? (int)strtol(wait, NULL, 10) : 0;
    bool overflow = status < 500 && pm_api_is_context_overflow(c->held.data, c->held.len);
    if (overflow) {
        long long context = c->g->states[c->target->index].context;
        c->overflow_of = context ? context : c->target->ctx_size ? c->target->ctx_size : 1;
    }
    set_refusal(c, status);
    if (refuses_thoughts(c)) {
        c->without_thoughts = true;
        c->retried = false;
        pm_attempt_failed(c, status, "it refused the thoughts of earlier turns", true);
        return;
    }
    if (!overflow && !moves_on(status)) {
        if (!c->opened)
            forward_headers(c);
        pm_answer_refuse(c, status, c->fail_type, c->fail_body.data, c->fail_body.len);
        return;
    }
    if (status == 401 || status == 403) {
        /* It is our key that was refused, not the caller's. */
        PM_FREE_AND_NULL(c->fail_type);
        snprintf(why, sizeof(why), "it refused the gateway's key (%d): see API_KEY_ENV", status);
        status = 502;
    } else {
        snprintf(why, sizeof(why), overflow ? "the prompt is too long for it (%d)" : "it answered %d", status);
    }
    bool last = c->attempt >= c->decision->n_attempts;
    if (last && !c->retried && c->fail_retry_after > 0 && c->fail_retry_after <= SHORT_WAIT_S) {
        pm_attempt_later(c, (unsigned)c->fail_retry_after);
        return;
    }
    if (!last)
        let_cool(c);
    /* What fails fast may have hiccuped; what fails slowly would only double the wait. */
    bool fast = pm_clock_us() - c->sent_us < FAST_FAILURE_US;
    pm_attempt_failed(c, status, why, status >= 500 && c->status >= 500 && fast);
}

/* --- the transfer's events --- */

static void head(void *arg, struct pm_transfer *t, int status)
{
    struct pm_call *c = arg;
    const char *type = pm_transfer_header(t, "content-type");
    c->head_us = pm_clock_us();
    c->status = status;
    c->is_sse = status < 300 && type && strncasecmp(type, "text/event-stream", 17) == 0;
}

static bool data(void *arg, const char *bytes, size_t len)
{
    struct pm_call *c = arg;
    pm_wait_heard(c);
    if (!c->committed)
        c->head_us = pm_clock_us();
    return c->is_sse ? stream_data(c, bytes, len) : whole_data(c, bytes, len);
}

static void done(void *arg, const struct pm_transfer_result *result)
{
    struct pm_call *c = arg;
    pm_timer_clear(&c->deadline);
    if (!c->status) {
        /* Nothing came at all: the same request may go again, nobody has seen an answer. */
        c->transfer = NULL;
        pm_attempt_failed(c, 502, *result->text ? result->text : "it closed the connection", !result->timed_out);
        return;
    }
    if (c->status >= 400)
        refusal_done(c, result);
    else if (c->is_sse)
        stream_done(c, result);
    else
        whole_done(c, result);
}

const struct pm_transfer_events pm_answer_events = {.head = head, .data = data, .done = done};

void pm_answer_deadline(struct pm_call *c)
{
    const char *why = "nothing came for too long";
    if (!c->committed)
        pm_attempt_failed(c, 504, "it did not answer in time", false);
    else if (!pm_resume_start(c, why, true))
        end_cut(c, why);
}

/* --- the client's events --- */

static void gone(void *arg)
{
    struct pm_call *c = arg;
    c->x = NULL;
    pm_call_end(c, 0);
}

static void writable(void *arg)
{
    struct pm_call *c = arg;
    if (c->transfer)
        pm_transfer_resume(c->transfer);
}

const struct pm_exchange_events pm_answer_exchange_events = {.gone = gone, .writable = writable};
