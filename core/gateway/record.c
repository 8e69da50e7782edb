/* What is kept of a request when it is over. */
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/gateway/call_priv.h"

/* Integers only: this runs for every request. */
static void field_ms(struct pm_buf *fields, const char *key, uint64_t us)
{
    pm_buf_addf(fields, " %s=%llu.%llu", key, (unsigned long long)(us / 1000), (unsigned long long)(us % 1000 / 100));
}

static void field_count(struct pm_buf *fields, const char *key, long long n)
{
    if (n >= 0)
        pm_buf_addf(fields, " %s=%lld", key, n);
}

static void log_call(const struct pm_call *c, int status, uint64_t now)
{
    struct pm_buf f;
    pm_buf_init(&f, 8192);
    pm_log_field(&f, "id", c->id);
    pm_log_field(&f, "path", c->endpoint->path);
    pm_log_field(&f, "model", c->model ? c->model : "");
    pm_log_field(&f, "route", c->input.route ? c->input.route->id : "-");
    pm_log_field(&f, "target", c->target ? c->target->id : "-");
    pm_buf_addf(&f, " status=%d attempts=%u stream=%s", status, c->attempts, c->is_sse || c->opened ? "yes" : "no");
    if (c->decision)
        pm_log_field(&f, "verdicts", c->decision->reason);
    field_ms(&f, "total_ms", now - c->start_us);
    field_ms(&f, "wait_ms", c->wait_us);
    if (c->first_us)
        field_ms(&f, "first_ms", c->first_us - c->start_us);
    field_count(&f, "prompt_tokens", pm_call_used(c).prompt);
    field_count(&f, "cached_tokens", c->usage.cached);
    field_count(&f, "output_tokens", c->usage.output);
    if (c->prefix_break >= 0)
        field_count(&f, "prefix_break", c->prefix_break);
    if (c->failures.len)
        pm_log_field(&f, "failures", c->failures.data);
    pm_log_fields(status >= 500 ? PM_LOG_WARN : PM_LOG_INFO, status ? "request" : "client left", &f);
    pm_buf_release(&f);
}

/* OpenTelemetry, GenAI semantic conventions. */
static const char *operation(enum pm_protocol p)
{
    switch (p) {
    case PM_PROTO_CHAT:
    case PM_PROTO_MESSAGES:
    case PM_PROTO_RESPONSES:
        return "chat";
    case PM_PROTO_COMPLETIONS:
        return "text_completion";
    case PM_PROTO_EMBEDDINGS:
        return "embeddings";
    default:
        return "other";
    }
}

static void count_tokens(struct pm_gateway *g, const char *labels, const char *type, long long n)
{
    char full[400];
    if (n < 0)
        return;
    snprintf(full, sizeof(full), "%s,gen_ai_token_type=\"%s\"", labels, type);
    pm_metrics_observe(g->metrics, "gen_ai_client_token_usage", full, (double)n);
}

static void count_cost(const struct pm_call *c, const struct pm_used *used)
{
    struct pm_buf labels;
    pm_buf_init(&labels, 320);
    pm_metrics_label(&labels, "target", c->target->id);
    pm_metrics_label(&labels, "route", c->input.route->id);
    double cost = c->cache_hit ? 0 : pm_call_cost(c->target, used->prompt, used->output);
    if (cost > 0)
        pm_metrics_add(c->g->metrics, "pointsman_cost_total", labels.data, cost);
    if (used->cached > 0)
        pm_metrics_add(c->g->metrics, "pointsman_cached_tokens_total", labels.data, (double)used->cached);
    pm_buf_release(&labels);
}

static void count_call(struct pm_call *c, int status, uint64_t now)
{
    struct pm_gateway *g = c->g;
    struct pm_buf labels;
    char line[256];
    snprintf(line, sizeof(line), "path=\"%s\",status=\"%d\"", c->endpoint->path, status);
    pm_metrics_add(g->metrics, "pointsman_http_requests_total", line, 1);
    if (!status)
        pm_metrics_add(g->metrics, "pointsman_cancelled_total", "", 1);
    if (!c->target)
        return;
    pm_buf_init(&labels, 320);
    pm_metrics_label(&labels, "gen_ai_operation_name", operation(c->endpoint->protocol));
    pm_metrics_label(&labels, "gen_ai_provider_name",
                     c->target->kind == PM_TARGET_LOCAL    ? "llama.cpp"
                     : c->target->kind == PM_TARGET_OPENAI ? "openai"
                                                           : "anthropic");
    pm_metrics_label(&labels, "gen_ai_response_model", c->target->id);
    pm_metrics_label(&labels, "route", c->input.route->id);
    pm_metrics_observe(g->metrics, "gen_ai_server_request_duration_seconds", labels.data,
                       (double)(now - c->start_us) / 1e6);
    if (c->first_us)
        pm_metrics_observe(g->metrics, "gen_ai_server_time_to_first_token_seconds", labels.data,
                           (double)(c->first_us - c->start_us) / 1e6);
    struct pm_used used = pm_call_used(c);
    count_tokens(g, labels.data, "input", used.prompt);
    count_tokens(g, labels.data, "output", used.output);
    count_cost(c, &used);
    pm_buf_release(&labels);
}

static void count_mended(const struct pm_call *c)
{
    char labels[64];
    if (!c->mend || !pm_mend_count(c->mend))
        return;
    snprintf(labels, sizeof(labels), "protocol=\"%s\"", pm_protocol_name(c->endpoint->protocol));
    pm_metrics_add(c->g->metrics, "pointsman_mended_events_total", labels, pm_mend_count(c->mend));
}

static void count_policies(struct pm_call *c)
{
    char labels[128];
    for (size_t i = 0; c->decision && i < c->decision->n_verdicts; i++) {
        snprintf(labels, sizeof(labels), "policy=\"%s\"", c->decision->verdicts[i].policy);
        pm_metrics_observe(c->g->metrics, "pointsman_policy_seconds", labels, c->decision->verdicts[i].us / 1e6);
    }
}

static void tell_policies(struct pm_call *c, int status, uint64_t now)
{
    struct pm_outcome outcome = {.target = c->target ? c->target->id : NULL,
                                 .status = status,
                                 .attempts = (int)c->attempts,
                                 .total_ms = (double)(now - c->start_us) / 1e3,
                                 .first_byte_ms = c->first_us ? (double)(c->first_us - c->start_us) / 1e3 : 0,
                                 .prompt_tokens = c->usage.prompt > 0 ? c->usage.prompt : 0,
                                 .output_tokens = c->usage.output > 0 ? c->usage.output : 0,
                                 .score = -1};
    pm_policies_outcome(c->g->policies, c->input.route, c->decision ? c->decision->verdicts : NULL,
                        c->decision ? c->decision->n_verdicts : 0, &outcome);
}

/* How much of a prompt its server had in its cache, and where it broke with what it had. */
static void count_prefix(const struct pm_call *c)
{
    struct pm_buf labels;
    struct pm_used used = pm_call_used(c);
    if (!c->target || c->target->kind != PM_TARGET_LOCAL || c->cache_hit || used.prompt <= 0)
        return;
    pm_buf_init(&labels, 512);
    pm_metrics_label(&labels, "target", c->target->id);
    pm_metrics_observe(c->g->metrics, "pointsman_prefix_reuse_ratio", labels.data,
                       (double)(used.cached > 0 ? used.cached : 0) / (double)used.prompt);
    if (c->prefix_break >= 0)
        pm_metrics_observe(c->g->metrics, "pointsman_prefix_break_bytes", labels.data, (double)c->prefix_break);
    pm_buf_release(&labels);
}

void pm_call_target_answered(struct pm_call *c)
{
    if (c->target->kind == PM_TARGET_LOCAL)
        return;
    pm_breaker_success(&c->g->states[c->target->index].breaker);
    pm_journal_breaker(c->g, c->target);
}

/* How long its answers are, for the price of the next ones. */
static void note_output(const struct pm_call *c)
{
    static const double weight = 0.1;
    double *mean = &c->g->states[c->target->index].output;
    if (c->usage.output > 0)
        *mean += (*mean > 0 ? weight : 1) * ((double)c->usage.output - *mean);
}

void pm_call_end(struct pm_call *c, int status)
{
    uint64_t now = pm_clock_us();
    if (c->ended)
        return;
    c->ended = true;
    bool good = status >= 200 && status < 300;
    log_call(c, status, now);
    count_call(c, status, now);
    pm_journal_record(c, status, now);
    count_policies(c);
    count_mended(c);
    if (good)
        count_prefix(c);
    pm_admit_charge(c);
    if (c->input.route && !c->cache_hit) {
        tell_policies(c, status, now);
        pm_feedback_note(c, status, (double)(now - c->start_us) / 1e3);
    }
    if (good && !c->cache_hit && c->target)
        pm_call_target_answered(c);
    bool answered = good && !c->cache_hit && c->target;
    if (c->has_api && !c->cache_hit)
        pm_call_keep_session(c, answered);
    if (c->has_api && answered) {
        note_output(c);
        pm_shared_place(c);
    }
    pm_attempt_end(c, good ? PM_DONE_OK : PM_DONE_ABANDONED);
    pm_call_free(c);
}

void pm_record_local(struct pm_gateway *g, struct pm_exchange *x, int status)
{
    char labels[128];
    /* Unknown paths are the client's words: they do not become labels. */
    snprintf(labels, sizeof(labels), "path=\"other\",status=\"%d\"", status);
    pm_metrics_add(g->metrics, "pointsman_http_requests_total", labels, 1);
    pm_log(PM_LOG_DEBUG, "%s %.200s: %d", pm_http_method_name(pm_exchange_head(x)->method), pm_exchange_head(x)->path,
           status);
}
