/* What is told of requests: a record of each that is over, for the recorder and for those who watch, and while
 * somebody watches the list of those under way. docs/reference.md, "Records" and "Events", say what is in them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/gateway/call_priv.h"

enum {
    LIVE_EVERY_MS = 400,
    RECORD_MAX = 64 << 10,
    PROMPT_MAX = 16 << 10,
    TOLD_ATTEMPTS = 4,
    LIVE_CALLS_MAX = 500,
    WORD_MAX = 200
};

static void add_text(struct pm_buf *out, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    pm_buf_addf(out, ",\"%s\":", key);
    pm_json_quote(out, value, strlen(value));
}

/* As much of a text as fits in `most` bytes, up to a whole character of UTF-8. */
static size_t cut(const char *text, size_t len, size_t most)
{
    if (len <= most)
        return len;
    for (len = most; len && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
        continue;
    return len;
}

/* What a client says may be of any length. */
static void add_word(struct pm_buf *out, const char *key, const char *value)
{
    size_t len = value ? cut(value, strlen(value), WORD_MAX) : 0;
    if (!len)
        return;
    pm_buf_addf(out, ",\"%s\":", key);
    pm_json_quote(out, value, len);
}

static void add_count(struct pm_buf *out, const char *key, long long n)
{
    if (n >= 0)
        pm_buf_addf(out, ",\"%s\":%lld", key, n);
}

/* Three digits after the point, without the slow way of printing a double. */
static void add_number(struct pm_buf *out, double x)
{
    long long n = (long long)(x * 1000 + (x < 0 ? -0.5 : 0.5)), size = n < 0 ? -n : n;
    pm_buf_addf(out, "%s%lld.%03lld", n < 0 ? "-" : "", size / 1000, size % 1000);
}

static void add_milli(struct pm_buf *out, const char *key, double x)
{
    pm_buf_addf(out, ",\"%s\":", key);
    add_number(out, x);
}

static void add_since(struct pm_buf *out, const char *key, uint64_t start, uint64_t at)
{
    if (at >= start)
        pm_buf_addf(out, ",\"%s\":%llu", key, (unsigned long long)(at - start));
}

static const char *outcome(const struct pm_call *c, int status)
{
    if (!status)
        return "cancelled";
    if (status >= 500)
        return "error";
    return status >= 400 ? "refused" : c->cache_hit ? "cached" : "ok";
}

struct pm_used pm_call_used(const struct pm_call *c)
{
    const struct pm_usage *u = &c->usage;
    struct pm_used used = {.prompt = u->prompt, .cached = u->cached, .output = u->output};
    /* llama-server's `timings` stand in every stream's last event, also where nobody asked for usage. */
    if (used.prompt < 0 && u->prompt_processed >= 0)
        used.prompt = u->prompt_processed + (u->cached > 0 ? u->cached : 0);
    /* Anthropic's count leaves out what came from the cache. */
    else if (used.prompt >= 0 && u->cached > 0 && pm_protocol_is_anthropic(c->wire))
        used.prompt += u->cached;
    if (used.prompt <= 0 && used.output <= 0 && c->committed && c->has_api && !c->cache_hit) {
        used.prompt = c->api.prompt_tokens;
        used.output = c->events;
        used.estimated = true;
    }
    return used;
}

double pm_call_cost(const struct pm_target *t, long long prompt, long long output)
{
    double in = prompt > 0 ? (double)prompt : 0, out = output > 0 ? (double)output : 0;
    return (in * t->price_in + out * t->price_out) / 1e6;
}

static void add_tokens(const struct pm_call *c, struct pm_buf *out)
{
    struct pm_used used = pm_call_used(c);
    add_count(out, "prompt", used.prompt);
    add_count(out, "cached", used.cached);
    add_count(out, "output", used.output);
    if (used.estimated)
        pm_buf_add(out, ",\"estimated\":true");
    if (!c->target || c->cache_hit)
        return;
    double cost = pm_call_cost(c->target, used.prompt, used.output);
    if (cost > 0)
        pm_buf_addf(out, ",\"cost\":%.8f", cost);
}

static void add_candidate(struct pm_buf *out, const struct pm_decision *d, const struct pm_candidate *a)
{
    pm_buf_add(out, "{\"target\":");
    const char *id = d->in->targets[a->target].conf->id;
    pm_json_quote(out, id, strlen(id));
    add_milli(out, "score", a->score);
    add_milli(out, "benefit", a->benefit);
    add_milli(out, "waiting", -a->waiting);
    add_milli(out, "leaving", -a->leaving);
    add_milli(out, "price", -a->price);
    pm_buf_add(out, "}");
}

/* The decision in short: what each policy said, what was to be tried and why, what was ruled out. */
static void add_decision(const struct pm_decision *d, struct pm_buf *out)
{
    size_t told = d->n_attempts < TOLD_ATTEMPTS ? d->n_attempts : TOLD_ATTEMPTS;
    const char *comma = "";
    add_text(out, "reason", d->reason);
    if (d->has_complexity)
        add_milli(out, "complexity", d->complexity);
    size_t surest = 0;
    for (size_t i = 1; i < d->n_intents; i++)
        surest = d->intents[i].confidence > d->intents[surest].confidence ? i : surest;
    if (d->n_intents && !d->abstained)
        add_text(out, "intent", d->intents[surest].name);
    if (d->n_intents) {
        pm_buf_add(out, ",\"intents\":{");
        for (size_t i = 0; i < d->n_intents; i++) {
            pm_buf_add(out, i ? "," : "");
            pm_json_quote(out, d->intents[i].name, strlen(d->intents[i].name));
            pm_buf_add(out, ":");
            add_number(out, d->intents[i].confidence);
        }
        pm_buf_add(out, "}");
    }
    if (!d->n_verdicts)
        return;
    pm_buf_add(out, ",\"plan\":[");
    for (size_t i = 0; i < told; i++, comma = ",") {
        pm_buf_add(out, comma);
        add_candidate(out, d, &d->attempts[i]);
    }
    pm_buf_add(out, "],\"policies\":[");
    for (size_t i = 0; i < d->n_verdicts; i++) {
        pm_buf_addf(out, "%s{\"name\":\"%s\"", i ? "," : "", d->verdicts[i].policy);
        add_milli(out, "us", d->verdicts[i].us);
        add_text(out, "reason", d->verdicts[i].reason);
        pm_buf_add(out, "}");
    }
    pm_buf_add(out, "],\"vetoes\":{");
    comma = "";
    for (size_t t = 0; t < d->in->n_targets; t++) {
        if (!d->vetoes[t])
            continue;
        const char *id = d->in->targets[t].conf->id;
        pm_buf_add(out, comma);
        pm_json_quote(out, id, strlen(id));
        pm_buf_add(out, ":");
        pm_json_quote(out, d->vetoes[t], strlen(d->vetoes[t]));
        comma = ",";
    }
    pm_buf_add(out, "}");
}

void pm_journal_keep_prompt(struct pm_call *c)
{
    if (c->g->records_prompts && c->has_api && c->api.last_user_len && !c->prompt)
        c->prompt = pm_strndup(c->api.last_user, cut(c->api.last_user, c->api.last_user_len, PROMPT_MAX));
}

static void add_head(const struct pm_call *c, uint64_t now, struct pm_buf *out)
{
    pm_buf_addf(out, "{\"id\":\"%s\",\"at\":%llu,\"path\":\"%s\"", c->id,
                (unsigned long long)(pm_clock_wall_ms() - (now - c->start_us) / 1000), c->endpoint->path);
    add_text(out, "key", c->client ? c->client->id : NULL);
    add_word(out, "model", c->model);
    add_text(out, "route", c->input.route ? c->input.route->id : NULL);
    add_text(out, "target", c->target ? c->target->id : NULL);
    pm_buf_addf(out, ",\"stream\":%s,\"attempts\":%u", (c->has_api ? c->api.stream : c->is_sse) ? "true" : "false",
                c->attempts);
}

/* With the wait that it is in. */
static uint64_t queued_us(const struct pm_call *c, uint64_t now)
{
    return c->queued_us + (c->lease && !c->granted ? now - c->wait_start_us : 0);
}

void pm_journal_record(struct pm_call *c, int status, uint64_t now)
{
    struct pm_gateway *g = c->g;
    struct pm_buf out;
    if (!g->channel || (!g->conf->gateway.usage && !(g->watched & PM_WATCH_EVENTS)))
        return;
    pm_buf_init(&out, RECORD_MAX + 6 * PROMPT_MAX);
    add_head(c, now, &out);
    add_text(&out, "kind", c->target ? pm_target_kind_name(c->target->kind) : NULL);
    pm_buf_addf(&out, ",\"status\":%d,\"outcome\":\"%s\",\"cache_hit\":%s,\"total_us\":%llu", status,
                outcome(c, status), c->cache_hit ? "true" : "false", (unsigned long long)(now - c->start_us));
    add_count(&out, "queue_us", (long long)queued_us(c, now));
    add_count(&out, "load_us", (long long)c->loading_us);
    add_since(&out, "sent_us", c->start_us, c->sent_us);
    add_since(&out, "first_us", c->start_us, c->first_us);
    add_tokens(c, &out);
    if (c->usage.output_ms > 0) {
        add_milli(&out, "prompt_ms", c->usage.prompt_ms);
        add_milli(&out, "output_ms", c->usage.output_ms);
    }
    if (c->decision)
        add_decision(c->decision, &out);
    add_text(&out, "failures", c->failures.data);
    pm_journal_keep_prompt(c);
    add_text(&out, "prompt_text", c->prompt);
    pm_buf_add(&out, "}");
    pm_channel_send(g->channel, PM_MSG_RECORD, 0, out.data, out.len);
    pm_buf_release(&out);
}

void pm_journal_said(struct pm_gateway *g, const char *id, double score, const char *label,
                     const struct pm_user *client)
{
    struct pm_buf out;
    if (!g->channel || !g->conf->gateway.usage)
        return;
    pm_buf_init(&out, RECORD_MAX);
    pm_buf_add(&out, "{\"id\":");
    pm_json_quote(&out, id, strlen(id));
    add_milli(&out, "score", score);
    add_text(&out, "label", label);
    add_text(&out, "key", client ? client->id : NULL);
    pm_buf_addf(&out, ",\"admin\":%s}", client && client->admin ? "true" : "false");
    pm_channel_send(g->channel, PM_MSG_RECORD, 0, out.data, out.len);
    pm_buf_release(&out);
}

void pm_journal_breaker(struct pm_gateway *g, const struct pm_target *t)
{
    struct pm_target_state *changed = &g->states[t->index];
    pm_shared_breaker(g, t);
    if (changed->journal_open == changed->breaker.open || !g->channel)
        return;
    changed->journal_open = changed->breaker.open;
    cJSON *open = cJSON_CreateArray();
    for (size_t i = 0; i < g->conf->n_targets; i++)
        if (g->states[i].breaker.open)
            cJSON_AddItemToArray(open, cJSON_CreateString(g->conf->targets[i].id));
    char *text = pm_json_text(open);
    pm_channel_send_text(g->channel, PM_MSG_BREAKERS, 0, text);
    free(text);
    cJSON_Delete(open);
}

/* --- those under way --- */

static const char *phase(const struct pm_call *c)
{
    const struct pm_target_state *s = c->target ? &c->g->states[c->target->index] : NULL;
    if (c->review)
        return "reviewing";
    if (c->first_us)
        return "answering";
    if (c->lease && !c->granted)
        return s && s->state && strcmp(s->state, "ready") == 0     ? "queued"
               : s && s->state && strcmp(s->state, "loading") == 0 ? "loading"
                                                                   : "waiting";
    return c->sent_us ? "prompt" : "deciding";
}

static void add_live(const struct pm_call *c, uint64_t now, struct pm_buf *out)
{
    const struct pm_target_state *s = c->target ? &c->g->states[c->target->index] : NULL;
    bool waits = c->lease && !c->granted;
    add_head(c, now, out);
    pm_buf_addf(out, ",\"phase\":\"%s\",\"elapsed_us\":%llu", phase(c), (unsigned long long)(now - c->start_us));
    add_count(out, "queue_us", (long long)queued_us(c, now));
    add_since(out, "sent_us", c->start_us, c->sent_us);
    add_since(out, "first_us", c->start_us, c->first_us);
    if (waits && s)
        add_milli(out, "wait_s", s->wait_s);
    if (c->first_us && c->events) {
        /* A stream's events are about its tokens; the true count comes at its end. */
        add_count(out, "output", c->events);
        if (now > c->first_us)
            add_milli(out, "tps", c->events * 1e6 / (double)(now - c->first_us));
    }
    add_text(out, "reason", c->decision ? c->decision->reason : NULL);
    pm_buf_add(out, "}");
}

static void tell_live(void *arg)
{
    struct pm_gateway *g = arg;
    struct pm_buf out;
    uint64_t now = pm_clock_us();
    size_t n = 0;
    if (!(g->watched & PM_WATCH_EVENTS) || !g->channel)
        return;
    if (g->calls || g->told_live) {
        pm_buf_init(&out, 1 << 20);
        pm_buf_add(&out, "[");
        for (const struct pm_call *c = g->calls; c && n < LIVE_CALLS_MAX; c = c->next) {
            if (c->ended)
                continue;
            pm_buf_add(&out, n++ ? "," : "");
            add_live(c, now, &out);
        }
        pm_buf_add(&out, "]");
        pm_channel_send(g->channel, PM_MSG_LIVE, 0, out.data, out.len);
        pm_buf_release(&out);
    }
    g->told_live = n > 0;
    pm_timer_set(&g->live, LIVE_EVERY_MS);
}

void pm_journal_init(struct pm_gateway *g)
{
    pm_timer_init(&g->live, g->loop, tell_live, g);
}

void pm_journal_watched(struct pm_gateway *g, uint32_t kinds)
{
    g->watched = kinds;
    if (kinds & PM_WATCH_EVENTS)
        tell_live(g);
    else
        pm_timer_clear(&g->live);
}
