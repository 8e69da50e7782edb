#include "core/api/request.h"

#include <stdlib.h>
#include <string.h>

#include "core/api/walk.h"
#include "core/base/alloc.h"
#include "core/base/text.h"

static const char *const names[] = {"chat",     "completions",  "responses", "embeddings",
                                    "messages", "count_tokens", "native"};

const char *pm_protocol_name(enum pm_protocol p)
{
    return names[p];
}

bool pm_protocol_is_anthropic(enum pm_protocol p)
{
    return p == PM_PROTO_MESSAGES || p == PM_PROTO_COUNT_TOKENS;
}

bool pm_protocol_streams(enum pm_protocol p)
{
    return p == PM_PROTO_CHAT || p == PM_PROTO_COMPLETIONS || p == PM_PROTO_RESPONSES || p == PM_PROTO_MESSAGES;
}

static int check_types(const struct pm_api_request *r, struct pm_error *err)
{
    const cJSON *model = pm_json_get(r->root, "model"), *stream = pm_json_get(r->root, "stream");
    const struct pm_json_member *tools = pm_json_span(&r->spans, r->body, "tools");
    if (model && !cJSON_IsString(model))
        return pm_error_set(err, PM_EINVAL, "`model` must be a string");
    if (stream && !cJSON_IsBool(stream) && !cJSON_IsNull(stream))
        return pm_error_set(err, PM_EINVAL, "`stream` must be true or false");
    if (tools && r->protocol != PM_PROTO_NATIVE && r->body[tools->value] != '[' && r->body[tools->value] != 'n')
        return pm_error_set(err, PM_EINVAL, "`tools` must be an array");
    return PM_OK;
}

/* All members but the long ones, which are walked as text. */
static int build_root(struct pm_api_request *r, struct pm_error *err)
{
    static const char *const walked[] = {"messages", "tools", "input"};
    r->root = cJSON_CreateObject();
    for (size_t i = 0; i < r->spans.n; i++) {
        const struct pm_json_member *m = &r->spans.members[i];
        bool skip = false;
        for (size_t k = 0; k < 3; k++)
            skip |= strlen(walked[k]) == m->key_len && memcmp(walked[k], r->body + m->key, m->key_len) == 0;
        if (skip)
            continue;
        cJSON *value = cJSON_ParseWithLength(r->body + m->value, m->value_len);
        if (!value)
            return pm_error_set(err, PM_EINVAL, "`%.*s` has a string with a lone surrogate",
                                (int)(m->key_len < 60 ? m->key_len : 60), r->body + m->key);
        char *key = pm_strndup(r->body + m->key, m->key_len);
        cJSON_AddItemToObject(r->root, key, value);
        free(key);
    }
    return PM_OK;
}

static bool wants_json_schema(const cJSON *root)
{
    const char *type = pm_json_str(pm_json_get(root, "response_format"), "type");
    if (!type)
        type = pm_json_str(pm_json_get(pm_json_get(root, "text"), "format"), "type");
    if (!type)
        type = pm_json_str(pm_json_get(pm_json_get(root, "output_config"), "format"), "type");
    return (type && strcmp(type, "json_schema") == 0) || pm_json_get(root, "json_schema");
}

static void count_one(void *arg, char first, const struct pm_json_value *values)
{
    (void)first;
    (void)values;
    ++*(unsigned *)arg;
}

static void read_numbers(struct pm_api_request *r, size_t blob_bytes)
{
    static const char *const keys[] = {"max_completion_tokens", "max_tokens", "max_output_tokens", "n_predict"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys) && !r->max_tokens; i++) {
        double n = pm_json_num(r->root, keys[i], 0);
        r->max_tokens = n > 0 && n < 1e12 ? (long long)n : 0;
    }
    const struct pm_json_member *tools = pm_json_span(&r->spans, r->body, "tools");
    if (tools)
        pm_json_each(r->body + tools->value, tools->value_len, NULL, 0, count_one, &r->tools);
    /* Four bytes a token holds for English and code in today's vocabularies; an image is about a thousand. */
    size_t text = r->len > blob_bytes ? r->len - blob_bytes : 0;
    r->prompt_tokens = (long long)(text / 4) + (long long)r->images * 1000;
}

static unsigned count_fences(const char *text)
{
    unsigned n = 0;
    while ((text = strstr(text, "```")) != NULL) {
        text += 3;
        n++;
    }
    return (n + 1) / 2;
}

static void take_texts(struct pm_api_request *r, struct pm_walk *w)
{
    if (w->last_result.text)
        pm_walk_text(&w->last_result, &w->tool);
    r->system_len = w->system.len;
    r->system = pm_buf_take(&w->system);
    r->last_user_len = w->user.len;
    r->last_user = pm_buf_take(&w->user);
    r->last_tool_result_len = w->tool.len;
    r->last_tool_result = pm_buf_take(&w->tool);
}

static int read_body(struct pm_api_request *r, struct pm_error *err)
{
    struct pm_error why = {0};
    int rc = r->len ? pm_json_scan(r->body, r->len, &r->spans, &why)
                    : pm_error_set(&why, PM_EINVAL, "the body is empty: a JSON object is expected");
    if (rc < 0)
        return pm_error_set(err, (enum pm_err)rc, "the body is not valid JSON: %s", why.msg);
    if (r->body[strspn(r->body, " \t\r\n")] != '{')
        return pm_error_set(err, PM_EINVAL, "the body must be a JSON object");
    if ((rc = build_root(r, err)) < 0 || (rc = check_types(r, err)) < 0)
        return rc;
    struct pm_walk w = {.r = r, .chain = PM_HASH_SEED, .err = err};
    pm_buf_init(&w.system, PM_BUF_OWN_LIMIT);
    pm_buf_init(&w.user, PM_BUF_OWN_LIMIT);
    pm_buf_init(&w.tool, PM_BUF_OWN_LIMIT);
    rc = pm_walk_body(&w);
    read_numbers(r, w.blob_bytes);
    r->opening = r->conversation = w.opening;
    take_texts(r, &w);
    if (rc < 0)
        return rc;
    r->fences = count_fences(r->last_user);
    r->system_hash = pm_hash_long(r->system, r->system_len, PM_HASH_SEED);
    pm_language_of(r->last_user, r->last_user_len, &r->language);
    pm_history_progress(&w.history, &r->progress);
    return PM_OK;
}

int pm_api_read(enum pm_protocol p, const char *body, size_t len, struct pm_api_request *out, struct pm_error *err)
{
    *out = (struct pm_api_request){.protocol = p, .body = body, .len = len, .model = ""};
    int rc = read_body(out, err);
    if (rc < 0) {
        pm_api_request_release(out);
        return rc;
    }
    const char *model = pm_json_str(out->root, "model");
    out->model = model ? model : "";
    out->stream = pm_json_true(out->root, "stream");
    out->json_schema = wants_json_schema(out->root);
    return PM_OK;
}

bool pm_api_is_nonce(const char *text)
{
    static const char sign[] = "x-anthropic-billing-header:";
    return strncmp(text, sign, sizeof(sign) - 1) == 0;
}

void pm_api_request_shrink(struct pm_api_request *r)
{
    PM_FREE_AND_NULL(r->system);
    PM_FREE_AND_NULL(r->last_user);
    PM_FREE_AND_NULL(r->last_tool_result);
    r->system_len = r->last_user_len = r->last_tool_result_len = 0;
}

void pm_api_request_release(struct pm_api_request *r)
{
    pm_api_request_shrink(r);
    cJSON_Delete(r->root);
    r->root = NULL;
    r->model = "";
}

/* Anthropic: docs "Errors"; OpenAI: error codes guide and llama-server's own types. */
static const char *error_type(bool anthropic, int status)
{
    static const struct {
        int status;
        const char *openai, *anthropic;
    } types[] = {{400, "invalid_request_error", "invalid_request_error"},
                 {401, "invalid_request_error", "authentication_error"},
                 {403, "permission_error", "permission_error"},
                 {404, "not_found_error", "not_found_error"},
                 {405, "invalid_request_error", "invalid_request_error"},
                 {413, "invalid_request_error", "request_too_large"},
                 {426, "invalid_request_error", "invalid_request_error"},
                 {429, "rate_limit_error", "rate_limit_error"},
                 {501, "not_supported_error", "invalid_request_error"},
                 {503, "unavailable_error", "overloaded_error"},
                 {529, "unavailable_error", "overloaded_error"}};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (types[i].status == status)
            return anthropic ? types[i].anthropic : types[i].openai;
    if (status < 500)
        return "invalid_request_error";
    return anthropic ? "api_error" : "server_error";
}

static void add_member(struct pm_buf *out, const char *key, const char *value)
{
    pm_buf_addf(out, "\"%s\":", key);
    if (value)
        pm_json_quote(out, value, strlen(value));
    else
        pm_buf_add(out, "null");
}

void pm_api_error_body(bool anthropic, int status, const char *code, const char *message, const char *request_id,
                       struct pm_buf *out)
{
    pm_buf_add(out, anthropic ? "{\"type\":\"error\",\"error\":{" : "{\"error\":{");
    add_member(out, "type", error_type(anthropic, status));
    pm_buf_add(out, ",");
    add_member(out, "message", message);
    if (anthropic) {
        pm_buf_add(out, "},");
        add_member(out, "request_id", request_id);
        pm_buf_add(out, "}");
        return;
    }
    pm_buf_add(out, ",\"param\":null,");
    add_member(out, "code", code);
    pm_buf_add(out, "}}");
}

bool pm_api_wants_thread(const struct pm_api_request *r)
{
    return r->protocol == PM_PROTO_MESSAGES && cJSON_IsObject(pm_json_get(r->root, "thread"));
}

void pm_api_refuse_thread(struct pm_buf *out)
{
    pm_buf_add(
        out, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"`thread`: this model's "
             "server keeps no conversations: send all messages\",\"details\":{\"error_code\":"
             "\"thread_unsupported_request\",\"unsupported\":[\"thread\"]}}}");
}
