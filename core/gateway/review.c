/* An answer that a policy sees before the caller does: taken, turned down for the next attempt's, or first shown to
 * another model. What was turned down is kept: where nothing else can answer, it is better than nothing. */
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/gateway/call_priv.h"
#include "core/gateway/review_priv.h"

/* Questions about one answer. */
enum { ROUNDS_MAX = 3 };

struct pm_review_state {
    struct pm_buf text; /* what was said, for the policy */
    bool in_text;
    unsigned tool_calls, round;
    enum pm_stop stop;
    char *body;         /* the whole answer, or NULL: */
    struct pm_buf held; /* the stream */
    int status;
    const struct pm_target *target;
    struct pm_usage usage;
    struct pm_logprobs logprobs;
    char response_id[128];
    struct pm_side *side;
    const char *policy;
    bool rejected;
};

static const struct pm_verdict *holder(const struct pm_decision *d)
{
    for (size_t i = 0; i < d->n_verdicts; i++)
        if (d->verdicts[i].holds && !d->verdicts[i].failed)
            return &d->verdicts[i];
    return NULL;
}

void pm_review_init(struct pm_call *c)
{
    const struct pm_verdict *v = c->has_api && pm_api_translates(c->api.protocol) ? holder(c->decision) : NULL;
    c->may_review = v && !c->decision->stays;
}

/* There must be another one to go to. */
void pm_review_attempt(struct pm_call *c)
{
    c->under_review = c->may_review && c->attempt < c->decision->n_attempts;
    c->strips_logprobs = false;
}

bool pm_review_wants_logprobs(const struct pm_call *c)
{
    return c->under_review && c->target->kind == PM_TARGET_LOCAL && c->wire == PM_PROTO_CHAT &&
           c->api.protocol == PM_PROTO_CHAT && holder(c->decision)->wants_logprobs && pm_api_is_plain(&c->api) &&
           /* llama-server: "logprobs is not supported with tools + stream" */
           !c->api.tools && !pm_json_span(&c->api.spans, c->api.body, "logprobs");
}

void pm_review_release(struct pm_call *c)
{
    struct pm_review_state *r = c->review;
    if (!r)
        return;
    pm_side_cancel(r->side);
    pm_buf_release(&r->text);
    pm_buf_release(&r->held);
    free(r->body);
    free(r);
    c->review = NULL;
}

/* --- what the answer says --- */

static void read_event(void *arg, const struct pm_canon_event *event)
{
    struct pm_review_state *r = arg;
    if (event->kind == PM_CANON_OPEN) {
        r->in_text = event->block == PM_BLOCK_TEXT;
        r->tool_calls += event->block == PM_BLOCK_CALL;
    } else if (event->kind == PM_CANON_DELTA && r->in_text) {
        pm_buf_add(&r->text, event->text);
    } else if (event->kind == PM_CANON_STOP) {
        r->stop = event->stop;
    }
}

static void read_sse(void *decoder, const struct pm_sse_event *event)
{
    pm_decoder_event(decoder, event->name, event->data, event->data_len);
}

static void read_answer(struct pm_call *c, struct pm_review_state *r)
{
    struct pm_decoder *decoder = pm_decoder_new(c->api.protocol, read_event, r);
    struct pm_sse_reader sse;
    if (r->body) {
        (void)pm_decoder_whole(decoder, r->body, strlen(r->body));
    } else {
        pm_sse_reader_init(&sse);
        if (pm_sse_feed(&sse, r->held.data, r->held.len, read_sse, decoder) == 0)
            (void)pm_decoder_end(decoder);
        pm_sse_reader_release(&sse);
    }
    pm_decoder_free(decoder);
}

/* --- what becomes of it --- */

static void count(const struct pm_call *c, const char *end)
{
    struct pm_buf labels;
    pm_buf_init(&labels, 512);
    pm_metrics_label(&labels, "target", c->review->target->id);
    pm_metrics_label(&labels, "end", end);
    pm_metrics_add(c->g->metrics, "pointsman_reviews_total", labels.data, 1);
    pm_buf_release(&labels);
}

static void tell_policies(const struct pm_call *c, double score)
{
    const struct pm_review_state *r = c->review;
    struct pm_outcome outcome = {.kind = PM_OUTCOME_REVIEWED,
                                 .target = r->target->id,
                                 .status = r->status,
                                 .attempts = (int)c->attempts,
                                 .prompt_tokens = r->usage.prompt > 0 ? r->usage.prompt : 0,
                                 .output_tokens = r->usage.output > 0 ? r->usage.output : 0,
                                 .score = score};
    pm_policies_outcome(c->g->policies, c->input.route, c->decision->verdicts, c->decision->n_verdicts, &outcome);
}

/* The caller gets it. */
static void deliver(struct pm_call *c)
{
    struct pm_review_state *r = c->review;
    char *body = r->body;
    r->body = NULL;
    pm_buf_release(&c->held);
    c->held = r->held;
    pm_buf_init(&r->held, PM_BUF_OWN_LIMIT);
    c->status = r->status;
    c->target = r->target;
    c->usage = r->usage;
    c->is_sse = !body;
    memcpy(c->response_id, r->response_id, sizeof(c->response_id));
    c->said_end = c->said_content = true;
    pm_review_release(c);
    /* Asked for a stream, its model answered at once; the caller has a stream by now, or expects one. */
    if (body && c->api.stream && pm_cached_to_stream(c, body, strlen(body))) {
        c->is_sse = true;
        PM_FREE_AND_NULL(body);
    }
    pm_answer_deliver(c, body);
    free(body);
}

static void take(struct pm_call *c)
{
    count(c, "accepted");
    tell_policies(c, 1);
    deliver(c);
}

static void ask_policy(struct pm_call *c, const char *said);

static void side_answered(struct pm_call *c, const char *text)
{
    c->review->side = NULL;
    c->wait_us += pm_clock_us() - c->wait_start_us;
    ask_policy(c, text);
}

static const struct pm_target *target_called(const struct pm_call *c, const char *id)
{
    for (size_t i = 0; i < c->input.n_targets; i++)
        if (strcmp(c->views[i].conf->id, id) == 0 && !c->decision->vetoes[i])
            return c->views[i].conf;
    return NULL;
}

static void put_question(struct pm_call *c, struct pm_review_question *q)
{
    struct pm_review_state *r = c->review;
    const struct pm_target *t = target_called(c, q->target);
    r->round++;
    c->wait_start_us = pm_clock_us();
    r->side = t && r->round <= ROUNDS_MAX ? pm_side_ask(c, t, q, side_answered) : NULL;
    free(q->target);
    free(q->system);
    free(q->text);
    if (!r->side && r->round <= ROUNDS_MAX)
        ask_policy(c, NULL);
    else if (!r->side)
        take(c);
}

static void turn_down(struct pm_call *c)
{
    struct pm_review_state *r = c->review;
    count(c, "rejected");
    tell_policies(c, 0);
    r->rejected = true;
    pm_buf_addf(&c->failures, "%s%s: its answer was turned down by the policy %s", c->failures.len ? "; " : "",
                r->target->id, r->policy);
    pm_log(PM_LOG_DEBUG, "request %s: the answer of %s was turned down", c->id, r->target->id);
    pm_attempt_next(c);
}

static void ask_policy(struct pm_call *c, const char *said)
{
    static const char *const stops[] = {[PM_STOP_END] = "stop",
                                        [PM_STOP_SEQUENCE] = "stop",
                                        [PM_STOP_LENGTH] = "length",
                                        [PM_STOP_CALLS] = "tool_calls",
                                        [PM_STOP_FILTER] = "content_filter"};
    struct pm_review_state *r = c->review;
    struct pm_review_question question = {0};
    struct pm_review review = {.target = r->target->id,
                               .text = r->text.len ? r->text.data : "",
                               .text_len = r->text.len,
                               .finish = stops[r->stop],
                               .tool_calls = r->tool_calls,
                               .has_logprobs = r->logprobs.n > 0,
                               .mean_logprob = r->logprobs.n ? r->logprobs.sum / r->logprobs.n : 0,
                               .least_logprob = r->logprobs.least,
                               .output_tokens = r->usage.output > 0 ? r->usage.output : 0,
                               .round = r->round,
                               .said = said,
                               .said_len = said ? strlen(said) : 0};
    switch (pm_policies_review(c->g->policies, &c->input, r->policy, &review, &question)) {
    case PM_REVIEW_ASK:
        put_question(c, &question);
        break;
    case PM_REVIEW_REJECT:
        turn_down(c);
        break;
    case PM_REVIEW_ACCEPT:
        take(c);
    }
}

void pm_review_begin(struct pm_call *c, const char *body)
{
    struct pm_review_state *r = pm_calloc(1, sizeof(*r));
    c->under_review = c->may_review = false;
    c->review = r;
    pm_buf_init(&r->text, PM_BUF_OWN_LIMIT);
    pm_buf_init(&r->held, PM_BUF_OWN_LIMIT);
    r->policy = holder(c->decision)->policy;
    r->status = c->status;
    r->target = c->target;
    r->usage = c->usage;
    r->logprobs = c->logprobs;
    memcpy(r->response_id, c->response_id, sizeof(r->response_id));
    if (body) {
        r->body = pm_strdup(body);
    } else {
        r->held = c->held;
        pm_buf_init(&c->held, PM_BUF_OWN_LIMIT);
    }
    c->wait_us += pm_clock_us() - c->sent_us;
    c->sent_us = 0;
    pm_call_target_answered(c);
    /* Its slot is free for whoever is asked next. */
    pm_attempt_end(c, PM_DONE_OK);
    read_answer(c, r);
    ask_policy(c, NULL);
}

bool pm_review_restore(struct pm_call *c)
{
    if (!c->review || !c->review->rejected)
        return false;
    deliver(c);
    return true;
}
