/* Which endpoint a request is for. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/gateway/gateway_priv.h"

#define GET  (1u << PM_HTTP_GET | 1u << PM_HTTP_HEAD)
#define POST (1u << PM_HTTP_POST)
#define ANY  0x7fu

static void answer_health(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "status", "ok");
    pm_reply_json(g, x, 200, root);
}

static void answer_hello(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    pm_reply_text(g, x, "text/plain; charset=utf-8",
                  "Pointsman answers here. Models: GET /v1/models. State: GET /api/status. Metrics: GET /metrics.\n");
}

/* Codex tries a WebSocket first; this status makes it go on with POST at once. */
static void answer_websocket(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    if (pm_http_header(pm_exchange_head(x), "upgrade")) {
        pm_reply_error(g, x, 426, NULL, "WebSockets are not spoken here: send POST");
        return;
    }
    pm_reply_header(x, "Allow", "POST");
    pm_reply_error(g, x, 405, NULL, "only POST is known for this path");
}

static void metrics_answered(struct pm_gateway *g, struct pm_exchange *x, const cJSON *reply)
{
    const char *text = pm_json_str(reply, "text");
    pm_reply_text(g, x, "text/plain; version=0.0.4; charset=utf-8", text ? text : "");
}

static void answer_metrics(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    struct pm_buf lines;
    (void)rest;
    /* This worker's own counts first, so that a scrape after a request sees the request. */
    pm_buf_init(&lines, PM_BUF_OWN_LIMIT);
    if (g->channel && pm_metrics_drain(g->metrics, &lines))
        pm_channel_send(g->channel, PM_MSG_METRICS, 0, lines.data, lines.len);
    pm_buf_release(&lines);
    cJSON *question = cJSON_CreateObject();
    cJSON_AddStringToObject(question, "op", "metrics");
    pm_ask_manager(g, x, question, metrics_answered);
}

static void status_answered(struct pm_gateway *g, struct pm_exchange *x, const cJSON *reply)
{
    pm_reply_json(g, x, 200, cJSON_Duplicate(pm_json_get(reply, "status"), true));
}

static void answer_status(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    cJSON *question = cJSON_CreateObject();
    cJSON_AddStringToObject(question, "op", "status");
    pm_ask_manager(g, x, question, status_answered);
}

static void answer_logs(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    cJSON *question = cJSON_CreateObject();
    cJSON_AddStringToObject(question, "op", "logs");
    pm_ask_manager(g, x, question, metrics_answered);
}

static const struct pm_endpoint endpoints[] = {
    {"/chat/completions", POST, PM_ENDPOINT_MODEL, PM_PROTO_CHAT, "/v1/chat/completions", NULL, PM_ACCESS_KEY},
    {"/completions", POST, PM_ENDPOINT_MODEL, PM_PROTO_COMPLETIONS, "/v1/completions", NULL, PM_ACCESS_KEY},
    {"/responses", POST, PM_ENDPOINT_MODEL, PM_PROTO_RESPONSES, "/v1/responses", NULL, PM_ACCESS_KEY},
    {"/responses", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, answer_websocket, PM_ACCESS_KEY},
    {"/embeddings", POST, PM_ENDPOINT_MODEL, PM_PROTO_EMBEDDINGS, "/v1/embeddings", NULL, PM_ACCESS_KEY},
    {"/messages", POST, PM_ENDPOINT_MODEL, PM_PROTO_MESSAGES, "/v1/messages", NULL, PM_ACCESS_KEY},
    {"/messages/count_tokens", POST, PM_ENDPOINT_LIGHT, PM_PROTO_COUNT_TOKENS, "/v1/messages/count_tokens", NULL,
     PM_ACCESS_KEY},
    {"/infill", POST, PM_ENDPOINT_MODEL, PM_PROTO_NATIVE, "/infill", NULL, PM_ACCESS_KEY},
    {"/completion", POST, PM_ENDPOINT_MODEL, PM_PROTO_NATIVE, "/completion", NULL, PM_ACCESS_KEY},
    {"/rerank", POST, PM_ENDPOINT_MODEL, PM_PROTO_NATIVE, "/v1/rerank", NULL, PM_ACCESS_KEY},
    {"/reranking", POST, PM_ENDPOINT_MODEL, PM_PROTO_NATIVE, "/v1/rerank", NULL, PM_ACCESS_KEY},
    {"/tokenize", POST, PM_ENDPOINT_LIGHT, PM_PROTO_NATIVE, "/tokenize", NULL, PM_ACCESS_KEY},
    {"/detokenize", POST, PM_ENDPOINT_LIGHT, PM_PROTO_NATIVE, "/detokenize", NULL, PM_ACCESS_KEY},
    {"/apply-template", POST, PM_ENDPOINT_LIGHT, PM_PROTO_NATIVE, "/apply-template", NULL, PM_ACCESS_KEY},
    {"/props", GET, PM_ENDPOINT_LIGHT, PM_PROTO_NATIVE, "/props", NULL, PM_ACCESS_KEY},
    {"/slots", GET, PM_ENDPOINT_LIGHT, PM_PROTO_NATIVE, "/slots", NULL, PM_ACCESS_ADMIN},
    {"/upstream/*", ANY, PM_ENDPOINT_MODEL, PM_PROTO_NATIVE, NULL, NULL, PM_ACCESS_ADMIN},
    {"/models", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_models, PM_ACCESS_KEY},
    {"/models/load", POST, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_load, PM_ACCESS_ADMIN},
    {"/models/unload", POST, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_unload, PM_ACCESS_ADMIN},
    {"/models/sse", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_models_sse, PM_ACCESS_KEY},
    {"/models/*", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_model, PM_ACCESS_KEY},
    {"/route", POST, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_route, PM_ACCESS_KEY},
    {"/feedback", POST, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_feedback, PM_ACCESS_KEY},
    {"/running", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_running, PM_ACCESS_KEY},
    {"/unload", GET | POST, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_unload_all, PM_ACCESS_ADMIN},
    {"/logs", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, answer_logs, PM_ACCESS_ADMIN},
    {"/logs/stream", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_log_stream, PM_ACCESS_ADMIN},
    {"/health", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, answer_health, PM_ACCESS_ALL},
    {"/metrics", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, answer_metrics, PM_ACCESS_ADMIN},
    {"/api/status", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, answer_status, PM_ACCESS_KEY},
    {"/api/events", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_event_stream, PM_ACCESS_ADMIN},
    {"/api/usage", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_usage, PM_ACCESS_ADMIN},
    {"/api/requests", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_requests, PM_ACCESS_ADMIN},
    {"/api/requests/*", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_requests, PM_ACCESS_ADMIN},
    {"/api/hello", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, answer_hello, PM_ACCESS_ALL},
    {"/api/pin", POST, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_pin, PM_ACCESS_ADMIN},
    {"/", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_page, PM_ACCESS_ALL},
    {"/web/*", GET, PM_ENDPOINT_LOCAL, PM_PROTO_NATIVE, NULL, pm_answer_page_file, PM_ACCESS_ALL},
};

enum { ENDPOINTS = sizeof(endpoints) / sizeof(*endpoints) };

/* What follows the pattern's `*` in the path, "" where there is none; NULL when it does not match. */
static const char *match(const char *pattern, const char *path)
{
    size_t n = strlen(pattern);
    if (pattern[n - 1] != '*')
        return strcmp(pattern, path) == 0 ? path + strlen(path) : NULL;
    return strncmp(pattern, path, n - 1) == 0 && path[n - 1] ? path + n - 1 : NULL;
}

/* A name from elsewhere that leads to this machine (DNS rebinding) has a dot; local names and addresses do not look
 * like that. */
static bool is_local_host(const char *host)
{
    char name[256];
    size_t n = strcspn(host, ":");
    if (host[0] == '[' || n >= sizeof(name))
        return host[0] == '[';
    memcpy(name, host, n);
    name[n] = 0;
    if (strspn(name, "0123456789.") == n || !strchr(name, '.'))
        return true;
    static const char *const suffixes[] = {".localhost", ".local", ".lan", ".internal", ".home.arpa", ".test"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
        size_t m = strlen(suffixes[i]);
        if (n > m && strcasecmp(name + n - m, suffixes[i]) == 0)
            return true;
    }
    return false;
}

/* Web pages of other origins may not use the gateway through their reader's browser. */
static const char *foreign(const struct pm_http_head *head)
{
    const char *host = pm_http_header(head, "host"), *origin = pm_http_header(head, "origin");
    if (host && !is_local_host(host))
        return "Host names another site: use localhost or an address";
    if (!origin || strcmp(origin, "null") == 0)
        return origin ? "requests of pages without an origin are not answered" : NULL;
    const char *slashes = strstr(origin, "://");
    return slashes && is_local_host(slashes + 3) ? NULL : "requests of other sites' pages are not answered";
}

static void method_not_allowed(struct pm_gateway *g, struct pm_exchange *x, unsigned allowed)
{
    struct pm_buf list;
    pm_buf_init(&list, 128);
    for (int m = PM_HTTP_GET; m <= PM_HTTP_PATCH; m++)
        if (allowed & (1u << m))
            pm_buf_addf(&list, "%s%s", list.len ? ", " : "", pm_http_method_name((enum pm_http_method)m));
    pm_reply_header(x, "Allow", list.data);
    pm_reply_error(g, x, 405, NULL, "%s is not known for %.200s: use %s",
                   pm_http_method_name(pm_exchange_head(x)->method), pm_exchange_head(x)->path, list.data);
    pm_buf_release(&list);
}

static void not_found(struct pm_gateway *g, struct pm_exchange *x, const char *path)
{
    const char *paths[ENDPOINTS], *near;
    for (size_t i = 0; i < ENDPOINTS; i++)
        paths[i] = endpoints[i].path;
    near = pm_nearest(path, paths, ENDPOINTS);
    pm_reply_error(g, x, 404, NULL, "there is no %.200s here%s%s%s", pm_exchange_head(x)->path,
                   near ? ": did you mean /v1" : "", near ? near : "", near ? "?" : "");
}

enum pm_access pm_endpoints_access(const struct pm_http_head *head)
{
    const char *path = pm_path_rest(head->path);
    for (size_t i = 0; i < ENDPOINTS; i++)
        if (match(endpoints[i].path, path) && (endpoints[i].methods & (1u << head->method)))
            return endpoints[i].access;
    return PM_ACCESS_KEY;
}

void pm_endpoints_request(struct pm_gateway *g, struct pm_exchange *x)
{
    const struct pm_http_head *head = pm_exchange_head(x);
    const char *path = pm_path_rest(head->path), *why = foreign(head);
    unsigned allowed = 0;
    if (why) {
        pm_reply_error(g, x, 403, NULL, "%s", why);
        return;
    }
    for (size_t i = 0; i < ENDPOINTS; i++) {
        const struct pm_endpoint *e = &endpoints[i];
        const char *rest = match(e->path, path);
        if (!rest)
            continue;
        allowed |= e->methods;
        if (!(e->methods & (1u << head->method)))
            continue;
        if (!pm_admit(g, x, e->access))
            return;
        if (e->kind == PM_ENDPOINT_LOCAL)
            e->answer(g, x, rest);
        else
            pm_call_start(g, x, e, rest);
        return;
    }
    if (!pm_admit(g, x, PM_ACCESS_KEY))
        return;
    if (allowed)
        method_not_allowed(g, x, allowed);
    else
        not_found(g, x, path);
}

/* --- questions to the manager --- */

static void asker_gone(void *arg)
{
    struct pm_question *q = arg;
    q->x = NULL;
}

void pm_ask_manager(struct pm_gateway *g, struct pm_exchange *x, cJSON *question,
                    void (*answered)(struct pm_gateway *g, struct pm_exchange *x, const cJSON *reply))
{
    static const struct pm_exchange_events events = {.gone = asker_gone};
    if (!g->channel) {
        cJSON_Delete(question);
        pm_reply_error(g, x, 503, NULL, "the backend manager has gone: it is being restarted, or must be");
        return;
    }
    struct pm_question *q = pm_calloc(1, sizeof(*q));
    q->g = g;
    q->x = x;
    q->id = ++g->next_id;
    q->answered = answered;
    q->next = g->questions;
    g->questions = q;
    pm_exchange_watch(x, &events, q);
    char *text = pm_json_text(question);
    pm_channel_send_text(g->channel, PM_MSG_CONTROL, q->id, text);
    free(text);
    cJSON_Delete(question);
}

void pm_question_answered(struct pm_gateway *g, const struct pm_msg *msg)
{
    struct pm_question **at = &g->questions;
    while (*at && (*at)->id != msg->id)
        at = &(*at)->next;
    struct pm_question *q = *at;
    if (!q)
        return;
    *at = q->next;
    cJSON *reply = cJSON_ParseWithLength(msg->data, msg->len);
    if (q->x) {
        const char *error = pm_json_str(reply, "error");
        pm_exchange_watch(q->x, NULL, NULL);
        if (pm_json_true(reply, "ok"))
            q->answered(g, q->x, reply);
        else
            pm_reply_error(g, q->x, pm_json_true(reply, "unable") ? 503 : 400, NULL, "%s",
                           error ? error : "the manager gave no answer");
    }
    cJSON_Delete(reply);
    free(q);
}
