/* Lists of models, and loading and unloading by request. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/gateway/gateway_priv.h"

/* One record serves all readers: OpenAI's list, Anthropic's, llama-server's router mode, llama-swap's tools. */
static cJSON *record(const struct pm_gateway *g, const char *id, const char *name, const char *owner)
{
    char created[32];
    time_t at = (time_t)g->started_s;
    struct tm tm;
    gmtime_r(&at, &tm);
    strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm);
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "id", id);
    cJSON_AddStringToObject(item, "object", "model");
    cJSON_AddStringToObject(item, "type", "model");
    cJSON_AddStringToObject(item, "display_name", name ? name : id);
    cJSON_AddNumberToObject(item, "created", (double)g->started_s);
    cJSON_AddStringToObject(item, "created_at", created);
    cJSON_AddStringToObject(item, "owned_by", owner);
    return item;
}

static void add_context(cJSON *item, long long context)
{
    if (!context)
        return;
    cJSON_AddNumberToObject(item, "context_length", (double)context);
    cJSON_AddNumberToObject(item, "max_input_tokens", (double)context);
    cJSON *meta = cJSON_AddObjectToObject(item, "meta");
    cJSON_AddNumberToObject(meta, "n_ctx", (double)context);
}

static void add_caps(cJSON *item, unsigned caps)
{
    cJSON *list = cJSON_AddArrayToObject(item, "capabilities");
    for (unsigned bit = 1; bit <= PM_CAP_AUDIO; bit <<= 1)
        if (caps & bit)
            cJSON_AddItemToArray(list, cJSON_CreateString(pm_cap_name((enum pm_cap)bit)));
}

/* llama-server's router mode has these words for states. */
static const char *router_state(const struct pm_target_state *s)
{
    if (!s->state || strcmp(s->state, "off") == 0 || strcmp(s->state, "failed") == 0)
        return "unloaded";
    if (strcmp(s->state, "loading") == 0)
        return "loading";
    return "loaded";
}

static cJSON *target_record(const struct pm_gateway *g, const struct pm_target *t)
{
    const struct pm_target_state *s = &g->states[t->index];
    bool local = t->kind == PM_TARGET_LOCAL;
    cJSON *item = record(g, t->id, t->name, pm_target_kind_name(t->kind));
    if (t->description)
        cJSON_AddStringToObject(item, "description", t->description);
    add_context(item, s->context ? s->context : t->ctx_size);
    add_caps(item, s->caps);
    cJSON *status = cJSON_AddObjectToObject(item, "status");
    cJSON_AddStringToObject(status, "value", local ? router_state(s) : "loaded");
    cJSON_AddBoolToObject(status, "failed", s->state && strcmp(s->state, "failed") == 0);
    return item;
}

/* A route's name can do what any of its targets can, as far as the largest context. */
static cJSON *route_record(const struct pm_gateway *g, const struct pm_user *user, const struct pm_route *r,
                           const char *name)
{
    long long context = 0;
    unsigned caps = 0;
    cJSON *item = record(g, name, NULL, "route");
    cJSON *targets = cJSON_AddArrayToObject(item, "targets");
    for (size_t i = 0; i < r->n_targets; i++) {
        const struct pm_target *t = &g->conf->targets[r->targets[i]];
        const struct pm_target_state *s = &g->states[t->index];
        if (!pm_user_may_use(user, t))
            continue;
        long long own = s->context ? s->context : t->ctx_size;
        context = own > context ? own : context;
        caps |= s->caps;
        cJSON_AddItemToArray(targets, cJSON_CreateString(t->id));
    }
    add_context(item, context);
    add_caps(item, caps);
    cJSON_AddStringToObject(cJSON_AddObjectToObject(item, "status"), "value", "loaded");
    return item;
}

static bool may_use_any(const struct pm_gateway *g, const struct pm_user *user, const struct pm_route *r)
{
    for (size_t i = 0; i < r->n_targets; i++)
        if (pm_user_may_use(user, &g->conf->targets[r->targets[i]]))
            return true;
    return r->fallback >= 0 && pm_user_may_use(user, &g->conf->targets[r->fallback]);
}

/* What this client may use. */
static cJSON *all_records(const struct pm_gateway *g, const struct pm_user *user)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < g->conf->n_routes; i++) {
        const struct pm_route *r = &g->conf->routes[i];
        if (!may_use_any(g, user, r))
            continue;
        for (size_t j = 0; j < r->models.n; j++)
            if (!strchr(r->models.items[j], '*') && !pm_conf_target(g->conf, r->models.items[j]))
                cJSON_AddItemToArray(list, route_record(g, user, r, r->models.items[j]));
    }
    for (size_t i = 0; i < g->conf->n_targets; i++)
        if (pm_user_may_use(user, &g->conf->targets[i]))
            cJSON_AddItemToArray(list, target_record(g, &g->conf->targets[i]));
    return list;
}

void pm_answer_models(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    cJSON *root = cJSON_CreateObject(), *list = all_records(g, pm_user_of(g, pm_exchange_head(x)));
    int n = cJSON_GetArraySize(list);
    cJSON_AddStringToObject(root, "object", "list");
    cJSON_AddItemToObject(root, "data", list);
    cJSON_AddBoolToObject(root, "has_more", false);
    if (n) {
        cJSON_AddStringToObject(root, "first_id", pm_json_str(cJSON_GetArrayItem(list, 0), "id"));
        cJSON_AddStringToObject(root, "last_id", pm_json_str(cJSON_GetArrayItem(list, n - 1), "id"));
    } else {
        cJSON_AddNullToObject(root, "first_id");
        cJSON_AddNullToObject(root, "last_id");
    }
    pm_reply_json(g, x, 200, root);
}

char *pm_percent_decoded(const char *text, size_t len)
{
    char *in = pm_strndup(text, len), *out = pm_strndup(text, len), *to = out;
    for (const char *p = in; *p; p++) {
        unsigned byte;
        if (*p == '%' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2]) &&
            sscanf(p + 1, "%2x", &byte) == 1 && byte) {
            *to++ = (char)byte;
            p += 2;
        } else {
            *to++ = *p;
        }
    }
    *to = 0;
    free(in);
    return out;
}

char *pm_query_value(const struct pm_http_head *head, const char *name)
{
    const char *query = head->query;
    size_t n = strlen(name);
    while (*query) {
        size_t len = strcspn(query, "&");
        if (strncmp(query, name, n) == 0 && query[n] == '=')
            return pm_percent_decoded(query + n + 1, len - n - 1);
        query += len + (query[len] == '&');
    }
    return NULL;
}

void pm_unknown_model_text(const struct pm_gateway *g, const char *model, struct pm_buf *out)
{
    struct pm_strv names = {0};
    for (size_t i = 0; i < g->conf->n_routes; i++)
        for (size_t j = 0; j < g->conf->routes[i].models.n; j++)
            pm_strv_add(&names, g->conf->routes[i].models.items[j], strlen(g->conf->routes[i].models.items[j]));
    for (size_t i = 0; i < g->conf->n_targets; i++)
        pm_strv_add(&names, g->conf->targets[i].id, strlen(g->conf->targets[i].id));
    const char *near = *model ? pm_nearest(model, (const char *const *)names.items, names.n) : NULL;
    if (*model)
        pm_buf_addf(out, "unknown model `%.200s`", model);
    else
        pm_buf_add(out, "`model` is missing");
    if (near)
        pm_buf_addf(out, ": did you mean `%s`?", near);
    pm_buf_add(out, near ? " Known are" : ": known are");
    for (size_t i = 0; i < names.n && i < 20; i++)
        pm_buf_addf(out, "%s %s", i ? "," : "", names.items[i]);
    pm_strv_release(&names);
}

static void no_such_model(struct pm_gateway *g, struct pm_exchange *x, const char *id)
{
    struct pm_buf text;
    pm_buf_init(&text, 4096);
    pm_unknown_model_text(g, id, &text);
    pm_reply_error(g, x, 404, "model_not_found", "%s", text.data);
    pm_buf_release(&text);
}

void pm_answer_model(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    char *id = pm_percent_decoded(rest, strlen(rest));
    const struct pm_target *t = pm_conf_target(g->conf, id);
    const struct pm_route *r = t ? NULL : pm_conf_route(g->conf, id);
    const struct pm_user *user = pm_user_of(g, pm_exchange_head(x));
    if (t && pm_user_may_use(user, t))
        pm_reply_json(g, x, 200, target_record(g, t));
    else if (r && may_use_any(g, user, r))
        pm_reply_json(g, x, 200, route_record(g, user, r, id));
    else
        no_such_model(g, x, id);
    free(id);
}

/* llama-swap's shape; its states are those of a process. */
void pm_answer_running(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "running");
    for (size_t i = 0; i < g->conf->n_targets; i++) {
        const struct pm_target *t = &g->conf->targets[i];
        const struct pm_target_state *s = &g->states[i];
        if (t->kind != PM_TARGET_LOCAL || !s->state || strcmp(s->state, "off") == 0 || strcmp(s->state, "failed") == 0)
            continue;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "model", t->id);
        cJSON_AddStringToObject(item, "state",
                                strcmp(s->state, "loading") == 0 ? "starting"
                                : strcmp(s->state, "ready") == 0 ? "ready"
                                                                 : "stopping");
        cJSON_AddStringToObject(item, "name", t->name ? t->name : t->id);
        cJSON_AddStringToObject(item, "description", t->description ? t->description : "");
        cJSON_AddStringToObject(item, "proxy", s->address ? s->address : "");
        cJSON_AddNumberToObject(item, "ttl", (double)t->ttl_ms / 1000);
        cJSON_AddItemToArray(list, item);
    }
    pm_reply_json(g, x, 200, root);
}

static void done(struct pm_gateway *g, struct pm_exchange *x, const cJSON *reply)
{
    (void)reply;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddBoolToObject(root, "success", true);
    pm_reply_json(g, x, 200, root);
}

/* {"model": id} of a local profile, or a reply that says what is wrong. */
static cJSON *profile_question(struct pm_gateway *g, struct pm_exchange *x, const char *op)
{
    struct pm_error err = {0};
    const struct pm_buf *body = pm_exchange_body(x);
    cJSON *root = pm_json_parse(body->data, body->len, &err);
    const char *id = pm_json_str(root, "model");
    const struct pm_target *t = id ? pm_conf_target(g->conf, id) : NULL;
    cJSON *question = NULL;
    if (!root) {
        pm_reply_error(g, x, 400, NULL, "the body is not valid JSON: %s", err.msg);
    } else if (!id) {
        pm_reply_error(g, x, 400, NULL, "`model` is missing: the id of a profile is expected");
    } else if (!t) {
        no_such_model(g, x, id);
    } else if (t->kind != PM_TARGET_LOCAL) {
        pm_reply_error(g, x, 400, NULL, "`%s` is a cloud model: there is nothing to load", id);
    } else {
        question = cJSON_CreateObject();
        cJSON_AddStringToObject(question, "op", op);
        cJSON_AddStringToObject(question, "id", id);
        cJSON_AddBoolToObject(question, "on", pm_json_true(root, "on"));
    }
    cJSON_Delete(root);
    return question;
}

void pm_answer_load(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    cJSON *question = profile_question(g, x, "switch");
    if (!question)
        return;
    if (g->states[pm_conf_target(g->conf, pm_json_str(question, "id"))->index].ready) {
        cJSON_Delete(question);
        pm_reply_error(g, x, 400, NULL, "model is already running");
        return;
    }
    pm_ask_manager(g, x, question, done);
}

void pm_answer_unload(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    cJSON *question = profile_question(g, x, "unload");
    if (question)
        pm_ask_manager(g, x, question, done);
}

/* {"model": id, "on": true or false} */
void pm_answer_pin(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    cJSON *question = profile_question(g, x, "pin");
    if (question)
        pm_ask_manager(g, x, question, done);
}

static void unloaded_all(struct pm_gateway *g, struct pm_exchange *x, const cJSON *reply)
{
    (void)reply;
    pm_reply_text(g, x, "text/plain; charset=utf-8", "OK\n");
}

void pm_answer_unload_all(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    cJSON *question = cJSON_CreateObject();
    cJSON_AddStringToObject(question, "op", "unload");
    pm_ask_manager(g, x, question, unloaded_all);
}
