/* A request and the state of the targets, put before the policies. */
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/gateway/call_priv.h"

/* Prompt speed assumed where none was measured, tokens a second. */
static const double ASSUMED_PROMPT_TPS = 500;

static struct pm_session_key session_key(const struct pm_call *c)
{
    return (struct pm_session_key){.chain = c->api.chain, .n = c->api.n_chain, .opening = c->api.opening};
}

void pm_call_find_session(struct pm_call *c, bool claim)
{
    struct pm_session_key key = session_key(c);
    pm_sessions_find(c->g->sessions, &key, claim, &c->session);
    c->api.conversation = c->session.conversation;
}

void pm_call_keep_session(struct pm_call *c, bool answered)
{
    struct pm_session_key key = session_key(c);
    if (answered)
        pm_sessions_note(c->g->sessions, &key, c->api.conversation, pm_session_target(c->target->id),
                         pm_clock_wall_ms());
    else
        pm_sessions_drop(c->g->sessions, &key);
}

/* The target that has this conversation's prompt in its cache, or -1. */
static long stuck_to(const struct pm_call *c, const struct pm_route *route)
{
    const struct pm_session *s = &c->session;
    if (!s->target || pm_clock_wall_ms() - s->at_ms > route->stick_ms)
        return -1;
    for (size_t i = 0; i < c->g->conf->n_targets; i++)
        if (pm_session_target(c->g->conf->targets[i].id) == s->target)
            return (long)i;
    return -1;
}

static void add_view(struct pm_call *c, size_t index, bool fallback, long stuck)
{
    struct pm_gateway *g = c->g;
    const struct pm_target *t = &g->conf->targets[index];
    const struct pm_target_state *s = &g->states[index];
    if (c->input.n_targets == PM_ROUTE_TARGETS_MAX || !pm_user_may_use(c->client, t))
        return;
    if (stuck >= 0 && (size_t)stuck == index)
        c->input.place = (long)c->input.n_targets;
    struct pm_target_view *view = &c->views[c->input.n_targets++];
    *view = (struct pm_target_view){.conf = t,
                                    .caps = s->caps,
                                    .caps_known = s->caps_known,
                                    .context = s->context ? s->context : t->ctx_size,
                                    .speaks = pm_wire_speaks(t, c->api.protocol),
                                    .fallback = fallback,
                                    .wait_s = s->wait_s,
                                    .output = s->output,
                                    .down = pm_target_down(s)};
    if (pm_breaker_wait_ms(&s->breaker, pm_clock_ms()))
        view->down = "it failed too often a moment ago";
    /* A cloud has no cache of ours to lose; the move there is priced, not timed. */
    if (stuck >= 0 && (size_t)stuck != index && t->kind == PM_TARGET_LOCAL)
        view->leaving_s = (double)c->api.prompt_tokens / (s->prompt_tps > 0 ? s->prompt_tps : ASSUMED_PROMPT_TPS);
}

static const char *header(void *arg, const char *name)
{
    const struct pm_call *c = arg;
    return c->x ? pm_http_header(pm_exchange_head(c->x), name) : NULL;
}

const struct pm_route *pm_route_of(struct pm_gateway *g, const char *model)
{
    const struct pm_target *t = pm_conf_target(g->conf, model);
    return t ? &g->direct[t->index] : pm_conf_route(g->conf, model);
}

static struct pm_share *share_of(struct pm_gateway *g, const struct pm_route *r)
{
    bool listed = r >= g->conf->routes && r < g->conf->routes + g->conf->n_routes;
    return listed && r->strong_share >= 0 ? &g->shares[r - g->conf->routes] : NULL;
}

bool pm_call_decide(struct pm_call *c, const char *model)
{
    const struct pm_route *r = pm_route_of(c->g, model);
    if (!r)
        return false;
    long stuck = stuck_to(c, r);
    c->views = pm_calloc(r->n_targets + 1, sizeof(*c->views));
    c->input = (struct pm_route_input){.route = r,
                                       .request = &c->api,
                                       .targets = c->views,
                                       .header = header,
                                       .header_arg = c,
                                       .id = c->endpoint ? c->id : "",
                                       .share = share_of(c->g, r),
                                       .place = -1};
    for (size_t i = 0; i < r->n_targets; i++)
        add_view(c, r->targets[i], false, stuck);
    bool listed = false;
    for (size_t i = 0; i < r->n_targets; i++)
        listed |= (long)r->targets[i] == r->fallback;
    if (r->fallback >= 0 && !listed)
        add_view(c, (size_t)r->fallback, true, stuck);
    struct pm_verdict *verdicts = pm_calloc(r->policies.n, sizeof(*verdicts));
    size_t n = pm_policies_judge(c->g->policies, &c->input, verdicts, r->policies.n);
    c->decision = pm_calloc(1, sizeof(*c->decision));
    pm_decide(&c->input, verdicts, n, c->decision);
    if (c->endpoint && c->decision->has_complexity && !c->api.tool_loop && c->input.share)
        pm_share_note(c->input.share, c->decision->complexity);
    return true;
}

/* --- POST /v1/route --- */

static enum pm_protocol guess_protocol(const struct pm_http_head *head, const cJSON *body)
{
    if (pm_json_get(body, "input"))
        return PM_PROTO_RESPONSES;
    if (pm_json_get(body, "prompt") && !pm_json_get(body, "messages"))
        return PM_PROTO_COMPLETIONS;
    return pm_http_header(head, "anthropic-version") ? PM_PROTO_MESSAGES : PM_PROTO_CHAT;
}

/* The decision for one body as JSON, or NULL with `err` and the status to answer. */
static cJSON *decide_one(struct pm_gateway *g, struct pm_exchange *x, const char *text, size_t len, const cJSON *body,
                         int *status, struct pm_error *err)
{
    struct pm_call *c = pm_call_new(g, x, NULL);
    cJSON *trace = NULL;
    *status = 400;
    c->client = pm_user_of(g, pm_exchange_head(x));
    if (pm_api_read(guess_protocol(pm_exchange_head(x), body), text, len, &c->api, err) < 0)
        goto out;
    c->has_api = true;
    pm_call_find_session(c, false);
    const char *model = c->api.model;
    if (!*model && g->conf->n_routes)
        model = g->conf->routes[0].models.items[0];
    if (pm_call_decide(c, model)) {
        trace = pm_decision_json(c->decision);
    } else {
        struct pm_buf why;
        pm_buf_init(&why, sizeof(err->msg) - 1);
        pm_unknown_model_text(g, model, &why);
        pm_error_set(err, PM_ENOTFOUND, "%s", why.data);
        pm_buf_release(&why);
        *status = 404;
    }
out:
    pm_call_free(c);
    return trace;
}

void pm_answer_route(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    const struct pm_buf *body = pm_exchange_body(x);
    struct pm_error err = {0};
    cJSON *root = pm_json_parse(body->data, body->len, &err), *answer = NULL;
    int status = 400;
    (void)rest;
    if (!root) {
        pm_reply_error(g, x, 400, NULL, "the body is not valid JSON: %s", err.msg);
        return;
    }
    if (!cJSON_IsArray(root)) {
        answer = decide_one(g, x, body->data, body->len, root, &status, &err);
    } else {
        const cJSON *item;
        int i = 0;
        answer = cJSON_CreateArray();
        cJSON_ArrayForEach (item, root) {
            char *text = pm_json_text(item);
            struct pm_error why = {0};
            cJSON *one = decide_one(g, x, text, strlen(text), item, &status, &why);
            free(text);
            if (!one) {
                pm_error_set(&err, why.code, "[%d]: %.480s", i, why.msg);
                cJSON_Delete(answer);
                answer = NULL;
                break;
            }
            cJSON_AddItemToArray(answer, one);
            i++;
        }
    }
    cJSON_Delete(root);
    if (answer)
        pm_reply_json(g, x, 200, answer);
    else
        pm_reply_error(g, x, status, NULL, "%s", err.msg);
}
