/* A question of a policy to a model, beside the call that it is about: a judge's. Bounded in time; it holds nothing of
 * the caller's, who only waits for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/gateway/call_priv.h"
#include "core/gateway/review_priv.h"

enum { SIDE_MS = 30000, CONNECT_MS = 2000, ANSWER_MAX = 256 << 10, OUTPUT_TOKENS = 64 };

struct pm_side {
    struct pm_side *next, **where;
    struct pm_gateway *g;
    struct pm_call *call;
    const struct pm_target *target;
    uint32_t lease;
    bool granted;
    struct pm_transfer *transfer;
    struct pm_strv headers;
    struct pm_buf body, answer;
    struct pm_timer deadline;
    int status;
    void (*answered)(struct pm_call *c, const char *text);
};

static void release(void *arg)
{
    struct pm_side *s = arg;
    pm_timer_release(&s->deadline);
    pm_strv_release(&s->headers);
    pm_buf_release(&s->body);
    pm_buf_release(&s->answer);
    free(s);
}

static void give_back(struct pm_side *s, enum pm_done how)
{
    if (s->lease && s->g->channel) {
        struct pm_msg_done done = {.how = how};
        if (s->granted)
            pm_channel_send(s->g->channel, PM_MSG_LEASE_DONE, s->lease, &done, sizeof(done));
        else
            pm_channel_send(s->g->channel, PM_MSG_LEASE_CANCEL, s->lease, NULL, 0);
    }
    s->lease = 0;
}

static void end(struct pm_side *s, enum pm_done how)
{
    if (s->transfer)
        pm_transfer_cancel(s->transfer);
    give_back(s, how);
    pm_timer_clear(&s->deadline);
    *s->where = s->next;
    if (s->next)
        s->next->where = s->where;
    pm_loop_defer(s->g->loop, release, s);
}

void pm_side_cancel(struct pm_side *s)
{
    if (s)
        end(s, PM_DONE_ABANDONED);
}

static void tell(struct pm_side *s, const char *text)
{
    struct pm_call *c = s->call;
    void (*answered)(struct pm_call * c, const char *text) = s->answered;
    end(s, text ? PM_DONE_OK : PM_DONE_ABANDONED);
    answered(c, text);
}

static void late(void *arg)
{
    struct pm_side *s = arg;
    pm_metrics_add(s->g->metrics, "pointsman_review_questions_failed_total", "", 1);
    tell(s, NULL);
}

/* --- the request --- */

static void head(void *arg, struct pm_transfer *t, int status)
{
    struct pm_side *s = arg;
    (void)t;
    s->status = status;
}

static bool data(void *arg, const char *bytes, size_t len)
{
    struct pm_side *s = arg;
    if (s->answer.len + len <= ANSWER_MAX)
        pm_buf_addn(&s->answer, bytes, len);
    return true;
}

static void done(void *arg, const struct pm_transfer_result *result)
{
    struct pm_side *s = arg;
    cJSON *root = s->status == 200 && result->end == PM_TRANSFER_OK
                      ? cJSON_ParseWithLength(s->answer.data, s->answer.len)
                      : NULL;
    const cJSON *choice = cJSON_GetArrayItem(pm_json_get(root, "choices"), 0);
    const char *text = pm_json_str(pm_json_get(choice, "message"), "content");
    if (!text)
        pm_metrics_add(s->g->metrics, "pointsman_review_questions_failed_total", "", 1);
    tell(s, text);
    cJSON_Delete(root);
}

static const struct pm_transfer_events transfer_events = {.head = head, .data = data, .done = done};

/* `address` is a local profile's. */
static void send_question(struct pm_side *s, const char *address)
{
    const char *key = s->g->states[s->target->index].key;
    char *url = pm_target_url(s->target, address, "/v1/chat/completions");
    pm_target_header(&s->headers, "Content-Type", "", "application/json");
    if (key)
        pm_target_header(&s->headers, "Authorization", "Bearer ", key);
    struct pm_transfer_spec spec = {.method = "POST",
                                    .url = url,
                                    .unix_socket = pm_target_socket(s->target, address),
                                    .ca_file = s->target->ca_file,
                                    .headers = &s->headers,
                                    .body = s->body.data,
                                    .len = s->body.len,
                                    .connect_ms = CONNECT_MS};
    s->transfer = pm_transfer_start(s->g->up, &spec, &transfer_events, s);
    free(url);
}

static void set_body(struct pm_side *s, const struct pm_review_question *q)
{
    const char *model = pm_wire_model(s->target, s->target->id);
    pm_buf_add(&s->body, "{\"model\":");
    pm_json_quote(&s->body, model, strlen(model));
    pm_buf_add(&s->body, ",\"messages\":[");
    if (q->system) {
        pm_buf_add(&s->body, "{\"role\":\"system\",\"content\":");
        pm_json_quote(&s->body, q->system, strlen(q->system));
        pm_buf_add(&s->body, "},");
    }
    pm_buf_add(&s->body, "{\"role\":\"user\",\"content\":");
    pm_json_quote(&s->body, q->text, strlen(q->text));
    pm_buf_addf(&s->body, "}],\"max_tokens\":%lld,\"temperature\":0,\"stream\":false}",
                q->max_tokens > 0 ? q->max_tokens : OUTPUT_TOKENS);
}

struct pm_side *pm_side_ask(struct pm_call *c, const struct pm_target *t, const struct pm_review_question *q,
                            void (*answered)(struct pm_call *c, const char *text))
{
    struct pm_gateway *g = c->g;
    if (pm_wire_of(t, PM_PROTO_CHAT) != PM_PROTO_CHAT || !pm_user_may_use(c->client, t) || !g->channel)
        return NULL;
    struct pm_side *s = pm_calloc(1, sizeof(*s));
    *s = (struct pm_side){.g = g, .call = c, .target = t, .answered = answered};
    pm_buf_init(&s->body, PM_BUF_OWN_LIMIT);
    pm_buf_init(&s->answer, 2 * ANSWER_MAX);
    pm_timer_init(&s->deadline, g->loop, late, s);
    set_body(s, q);
    s->next = g->sides;
    s->where = &g->sides;
    if (s->next)
        s->next->where = &s->next;
    g->sides = s;
    pm_timer_set(&s->deadline, SIDE_MS);
    if (t->kind != PM_TARGET_LOCAL) {
        send_question(s, NULL);
        return s;
    }
    struct pm_msg_lease ask = {.rank = c->rank};
    snprintf(ask.profile, sizeof(ask.profile), "%s", t->id);
    s->lease = ++g->next_id;
    pm_channel_send(g->channel, PM_MSG_LEASE, s->lease, &ask, sizeof(ask));
    return s;
}

bool pm_side_lease(struct pm_gateway *g, const struct pm_msg *msg)
{
    struct pm_side *s = g->sides;
    struct pm_msg_grant grant;
    while (s && (s->lease != msg->id || s->granted))
        s = s->next;
    if (!s)
        return false;
    if (msg->type == PM_MSG_LEASE_GRANT && pm_msg_struct(msg, &grant, sizeof(grant))) {
        grant.address[sizeof(grant.address) - 1] = 0;
        s->granted = true;
        send_question(s, grant.address);
        return true;
    }
    s->lease = 0;
    late(s);
    return true;
}

void pm_sides_without_manager(struct pm_gateway *g)
{
    for (struct pm_side *s = g->sides, *next; s; s = next) {
        next = s->next;
        if (s->lease && !s->granted)
            late(s);
    }
}
