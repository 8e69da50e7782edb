#include "core/api/request.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"

static const char *const names[] = {"chat", "completions", "responses", "embeddings", "messages", "count_tokens",
                                    "native"};

const char *pm_protocol_name(enum pm_protocol p)
{
    return names[p];
}

bool pm_protocol_is_anthropic(enum pm_protocol p)
{
    return p == PM_PROTO_MESSAGES || p == PM_PROTO_COUNT_TOKENS;
}

/* What is gathered while the messages are walked. */
struct walk {
    struct pm_api_request *r;
    struct pm_buf system, user, tool;
    size_t blob_bytes; /* of images and other binary parts: not prompt text */
    uint64_t hash;     /* of what all turns of a conversation share: its system text and its first user message */
};

static void add_text(struct pm_buf *out, const char *text)
{
    if (out->len)
        pm_buf_add(out, "\n");
    pm_buf_add(out, text);
}

static bool type_is(const char *type, const char *a, const char *b)
{
    return type && (strcmp(type, a) == 0 || (b && strcmp(type, b) == 0));
}

static size_t string_bytes(const cJSON *item)
{
    size_t n = 0;
    const cJSON *child;
    if (cJSON_IsString(item))
        return strlen(item->valuestring);
    cJSON_ArrayForEach(child, item) n += string_bytes(child);
    return n;
}

static void walk_content(struct walk *w, const cJSON *content, struct pm_buf *text);

static void walk_part(struct walk *w, const cJSON *part, struct pm_buf *text)
{
    const char *type = pm_json_str(part, "type");
    if (cJSON_IsString(part)) {
        add_text(text, part->valuestring);
    } else if (type_is(type, "image_url", "image") || type_is(type, "input_image", NULL)) {
        w->r->images++;
        w->blob_bytes += string_bytes(part);
    } else if (type_is(type, "input_audio", "audio")) {
        w->r->audio++;
        w->blob_bytes += string_bytes(part);
    } else if (type_is(type, "tool_result", NULL)) {
        w->r->tool_results++;
        pm_buf_clear(&w->tool);
        walk_content(w, pm_json_get(part, "content"), &w->tool);
    } else if (pm_json_str(part, "text")) {
        add_text(text, pm_json_str(part, "text"));
    }
}

static void walk_content(struct walk *w, const cJSON *content, struct pm_buf *text)
{
    const cJSON *part;
    if (cJSON_IsString(content))
        add_text(text, content->valuestring);
    else
        cJSON_ArrayForEach(part, content) walk_part(w, part, text);
}

static void walk_user(struct walk *w, const cJSON *content)
{
    struct pm_buf text;
    pm_buf_init(&text, PM_BUF_OWN_LIMIT);
    unsigned results = w->r->tool_results;
    walk_content(w, content, &text);
    if (text.len) {
        if (!w->r->user_turns)
            w->hash = pm_hash(text.data, text.len, w->hash);
        /* A turn of the user, not the harness handing back a tool's result with a remark. */
        w->r->user_turns += w->r->tool_results == results;
        pm_buf_release(&w->user);
        w->user = text;
    } else {
        pm_buf_release(&text);
    }
}

static void walk_message(struct walk *w, const cJSON *m)
{
    const char *role = pm_json_str(m, "role"), *type = pm_json_str(m, "type");
    const cJSON *content = pm_json_get(m, "content");
    w->r->messages++;
    if (type_is(role, "system", "developer")) {
        walk_content(w, content, &w->system);
    } else if (type_is(role, "tool", "function")) {
        w->r->tool_results++;
        pm_buf_clear(&w->tool);
        walk_content(w, content, &w->tool);
    } else if (type_is(type, "function_call_output", "custom_tool_call_output")) {
        w->r->tool_results++;
        pm_buf_clear(&w->tool);
        walk_content(w, pm_json_get(m, "output"), &w->tool);
    } else if (type_is(role, "user", NULL)) {
        walk_user(w, content);
    }
}

static int need_messages(const struct pm_api_request *r, const char *key, struct pm_error *err)
{
    const cJSON *list = pm_json_get(r->root, key), *m;
    int i = 0;
    if (!list)
        return pm_error_set(err, PM_EINVAL, "`%s` is missing: an array of {\"role\", \"content\"} is expected", key);
    if (!cJSON_IsArray(list))
        return pm_error_set(err, PM_EINVAL, "`%s` must be an array of {\"role\", \"content\"}", key);
    if (!list->child)
        return pm_error_set(err, PM_EINVAL, "`%s` is empty: at least one message is needed", key);
    cJSON_ArrayForEach(m, list)
    {
        if (!cJSON_IsObject(m))
            return pm_error_set(err, PM_EINVAL, "`%s[%d]` must be an object with \"role\" and \"content\"", key, i);
        if (!pm_json_str(m, "role"))
            return pm_error_set(err, PM_EINVAL, "`%s[%d].role` must be a string such as \"user\"", key, i);
        i++;
    }
    return PM_OK;
}

static int need_input(const struct pm_api_request *r, const char *key, struct pm_error *err)
{
    const cJSON *input = pm_json_get(r->root, key);
    if (!input)
        return pm_error_set(err, PM_EINVAL, "`%s` is missing: a string or an array is expected", key);
    if (!cJSON_IsString(input) && !cJSON_IsArray(input))
        return pm_error_set(err, PM_EINVAL, "`%s` must be a string or an array", key);
    if (cJSON_IsArray(input) && !input->child)
        return pm_error_set(err, PM_EINVAL, "`%s` is empty", key);
    return PM_OK;
}

static int check_shape(const struct pm_api_request *r, struct pm_error *err)
{
    const cJSON *model = pm_json_get(r->root, "model"), *stream = pm_json_get(r->root, "stream");
    const cJSON *tools = pm_json_get(r->root, "tools");
    if (!cJSON_IsObject(r->root))
        return pm_error_set(err, PM_EINVAL, "the body must be a JSON object");
    if (model && !cJSON_IsString(model))
        return pm_error_set(err, PM_EINVAL, "`model` must be a string");
    if (stream && !cJSON_IsBool(stream) && !cJSON_IsNull(stream))
        return pm_error_set(err, PM_EINVAL, "`stream` must be true or false");
    if (tools && !cJSON_IsArray(tools) && !cJSON_IsNull(tools) && r->protocol != PM_PROTO_NATIVE)
        return pm_error_set(err, PM_EINVAL, "`tools` must be an array");
    switch (r->protocol) {
    case PM_PROTO_CHAT:
    case PM_PROTO_MESSAGES:
    case PM_PROTO_COUNT_TOKENS:
        return need_messages(r, "messages", err);
    case PM_PROTO_RESPONSES:
        return need_input(r, "input", err);
    case PM_PROTO_EMBEDDINGS:
        return need_input(r, "input", err);
    case PM_PROTO_COMPLETIONS:
        return need_input(r, "prompt", err);
    case PM_PROTO_NATIVE:
        break;
    }
    return PM_OK;
}

static void walk_body(struct walk *w)
{
    const struct pm_api_request *r = w->r;
    const cJSON *list = pm_json_get(r->root, r->protocol == PM_PROTO_RESPONSES ? "input" : "messages"), *m;
    if (r->protocol == PM_PROTO_RESPONSES)
        walk_content(w, pm_json_get(r->root, "instructions"), &w->system);
    else if (pm_protocol_is_anthropic(r->protocol))
        walk_content(w, pm_json_get(r->root, "system"), &w->system);
    if (cJSON_IsArray(list)) {
        cJSON_ArrayForEach(m, list) walk_message(w, m);
    } else {
        const char *key = r->protocol == PM_PROTO_RESPONSES || r->protocol == PM_PROTO_EMBEDDINGS ? "input" : "prompt";
        const cJSON *input = pm_json_get(r->root, key);
        if (input)
            walk_user(w, input);
    }
    w->hash = pm_hash(w->system.data, w->system.len, w->hash);
}

static bool wants_json_schema(const cJSON *root)
{
    const char *type = pm_json_str(pm_json_get(root, "response_format"), "type");
    if (!type)
        type = pm_json_str(pm_json_get(pm_json_get(root, "text"), "format"), "type");
    if (!type)
        type = pm_json_str(pm_json_get(pm_json_get(root, "output_config"), "format"), "type");
    return type_is(type, "json_schema", NULL) || pm_json_get(root, "json_schema");
}

static void read_numbers(struct pm_api_request *r, size_t blob_bytes)
{
    static const char *const keys[] = {"max_completion_tokens", "max_tokens", "max_output_tokens", "n_predict"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys) && !r->max_tokens; i++) {
        double n = pm_json_num(r->root, keys[i], 0);
        r->max_tokens = n > 0 && n < 1e12 ? (long long)n : 0;
    }
    r->tools = (unsigned)cJSON_GetArraySize(pm_json_get(r->root, "tools"));
    /* Four bytes a token holds for English and code in today's vocabularies; an image is about a thousand. */
    size_t text = r->len > blob_bytes ? r->len - blob_bytes : 0;
    r->prompt_tokens = (long long)(text / 4) + (long long)r->images * 1000;
}

static void take_texts(struct pm_api_request *r, struct walk *w)
{
    r->system_len = w->system.len;
    r->system = pm_buf_take(&w->system);
    r->last_user_len = w->user.len;
    r->last_user = pm_buf_take(&w->user);
    r->last_tool_result_len = w->tool.len;
    r->last_tool_result = pm_buf_take(&w->tool);
    r->conversation = w->hash;
}

int pm_api_read(enum pm_protocol p, const char *body, size_t len, struct pm_api_request *out, struct pm_error *err)
{
    struct pm_error why = {0};
    *out = (struct pm_api_request){.protocol = p, .body = body, .len = len, .model = ""};
    int rc = len ? pm_json_scan(body, len, &out->spans, &why)
                 : pm_error_set(&why, PM_EINVAL, "the body is empty: a JSON object is expected");
    if (rc < 0)
        return pm_error_set(err, (enum pm_err)rc, "the body is not valid JSON: %s", why.msg);
    out->root = cJSON_ParseWithLength(body, len);
    if (!out->root)
        return pm_error_set(err, PM_EINVAL, "the body is not valid JSON: a string has a lone surrogate");
    if ((rc = check_shape(out, err)) < 0) {
        cJSON_Delete(out->root);
        return rc;
    }
    const char *model = pm_json_str(out->root, "model");
    out->model = model ? model : "";
    out->stream = pm_json_true(out->root, "stream");
    out->json_schema = wants_json_schema(out->root);
    struct walk w = {.r = out, .hash = PM_HASH_SEED};
    pm_buf_init(&w.system, PM_BUF_OWN_LIMIT);
    pm_buf_init(&w.user, PM_BUF_OWN_LIMIT);
    pm_buf_init(&w.tool, PM_BUF_OWN_LIMIT);
    walk_body(&w);
    read_numbers(out, w.blob_bytes);
    take_texts(out, &w);
    return PM_OK;
}

void pm_api_request_shrink(struct pm_api_request *r)
{
    PM_FREE_AND_NULL(r->system);
    PM_FREE_AND_NULL(r->last_user);
    PM_FREE_AND_NULL(r->last_tool_result);
    cJSON_Delete(r->root);
    r->root = NULL;
    r->model = "";
}

void pm_api_request_release(struct pm_api_request *r)
{
    pm_api_request_shrink(r);
}

/* Anthropic: docs "Errors"; OpenAI: error codes guide and llama-server's own types. */
static const char *error_type(bool anthropic, int status)
{
    static const struct {
        int status;
        const char *openai, *anthropic;
    } types[] = {{400, "invalid_request_error", "invalid_request_error"},
                 {401, "authentication_error", "authentication_error"},
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
