#include "core/api/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

/* A quote inside a JSON string is escaped, so a quoted word with a colon is a key and nothing else. */
static bool has(const char *data, size_t len, const char *needle)
{
    return memmem(data, len, needle, strlen(needle)) != NULL;
}

static void set_count(long long *field, const cJSON *object, const char *key)
{
    double n = pm_json_num(object, key, -1);
    if (n >= 0 && n < 1e15)
        *field = (long long)n;
}

static void read_usage(const cJSON *root, struct pm_usage *u)
{
    const cJSON *usage = pm_json_get(root, "usage"), *timings = pm_json_get(root, "timings");
    if (!usage)
        usage = pm_json_get(pm_json_get(root, "message"), "usage");
    if (!usage)
        usage = pm_json_get(pm_json_get(root, "response"), "usage");
    set_count(&u->prompt, usage, "prompt_tokens");
    set_count(&u->prompt, usage, "input_tokens");
    set_count(&u->output, usage, "completion_tokens");
    set_count(&u->output, usage, "output_tokens");
    set_count(&u->cached, usage, "cache_read_input_tokens");
    set_count(&u->cached, pm_json_get(usage, "prompt_tokens_details"), "cached_tokens");
    set_count(&u->cached, pm_json_get(usage, "input_tokens_details"), "cached_tokens");
    if (timings) {
        set_count(&u->prompt_processed, timings, "prompt_n");
        set_count(&u->cached, timings, "cache_n");
        set_count(&u->output, timings, "predicted_n");
        u->prompt_ms = pm_json_num(timings, "prompt_ms", 0);
        u->output_ms = pm_json_num(timings, "predicted_ms", 0);
    }
}

void pm_api_usage(const char *body, size_t len, struct pm_usage *usage)
{
    if (!has(body, len, "\"usage\"") && !has(body, len, "\"timings\""))
        return;
    /* Only these two of what may be a long body become a tree. */
    static const char *const keys[] = {"usage", "timings"};
    struct pm_json_spans spans;
    cJSON *root = cJSON_CreateObject();
    if (pm_json_scan(body, len, &spans, NULL) == PM_OK) {
        for (size_t i = 0; i < 2; i++) {
            const struct pm_json_member *m = pm_json_span(&spans, body, keys[i]);
            if (m)
                cJSON_AddItemToObject(root, keys[i], cJSON_ParseWithLength(body + m->value, m->value_len));
        }
    }
    read_usage(root, usage);
    cJSON_Delete(root);
}

static bool is_filled(const cJSON *item)
{
    return item && !cJSON_IsNull(item) && !(cJSON_IsString(item) && !item->valuestring[0]) &&
           !(cJSON_IsArray(item) && !item->child);
}

static enum pm_event_kind chat_event(const cJSON *root)
{
    const cJSON *choice;
    if (is_filled(pm_json_get(root, "error")))
        return PM_EVENT_ERROR;
    cJSON_ArrayForEach (choice, pm_json_get(root, "choices")) {
        const cJSON *delta = pm_json_get(choice, "delta");
        if (is_filled(pm_json_get(choice, "finish_reason")))
            return PM_EVENT_END;
        if (is_filled(pm_json_get(delta, "content")) || is_filled(pm_json_get(delta, "tool_calls")) ||
            is_filled(pm_json_get(delta, "reasoning_content")) || is_filled(pm_json_get(delta, "reasoning")) ||
            is_filled(pm_json_get(delta, "refusal")) || is_filled(pm_json_get(choice, "text")))
            return PM_EVENT_CONTENT;
    }
    return PM_EVENT_LIFECYCLE;
}

static enum pm_event_kind messages_event(const char *type)
{
    if (strcmp(type, "error") == 0)
        return PM_EVENT_ERROR;
    if (strcmp(type, "message_stop") == 0)
        return PM_EVENT_END;
    if (strcmp(type, "content_block_delta") == 0 || strcmp(type, "message_delta") == 0)
        return PM_EVENT_CONTENT;
    return PM_EVENT_LIFECYCLE;
}

static enum pm_event_kind responses_event(const char *type)
{
    static const char *const lifecycle[] = {"response.created", "response.in_progress", "response.queued",
                                            "response.output_item.added", "response.content_part.added"};
    if (strcmp(type, "response.completed") == 0 || strcmp(type, "response.incomplete") == 0)
        return PM_EVENT_END;
    if (strcmp(type, "response.failed") == 0 || strcmp(type, "error") == 0)
        return PM_EVENT_ERROR;
    for (size_t i = 0; i < sizeof(lifecycle) / sizeof(*lifecycle); i++)
        if (strcmp(type, lifecycle[i]) == 0)
            return PM_EVENT_LIFECYCLE;
    return PM_EVENT_CONTENT;
}

static enum pm_event_kind native_event(const cJSON *root)
{
    if (is_filled(pm_json_get(root, "error")))
        return PM_EVENT_ERROR;
    if (pm_json_true(root, "stop"))
        return PM_EVENT_END;
    return is_filled(pm_json_get(root, "content")) ? PM_EVENT_CONTENT : PM_EVENT_LIFECYCLE;
}

enum pm_event_kind pm_api_event(enum pm_protocol p, const char *name, const char *data, size_t len,
                                struct pm_usage *usage)
{
    if (!len)
        return PM_EVENT_LIFECYCLE;
    if (len == 6 && memcmp(data, "[DONE]", 6) == 0)
        return PM_EVENT_END;
    cJSON *root = cJSON_ParseWithLength(data, len);
    const char *type = pm_json_str(root, "type");
    enum pm_event_kind kind;
    if (!type)
        type = name;
    if (p == PM_PROTO_MESSAGES)
        kind = messages_event(type);
    else if (p == PM_PROTO_RESPONSES)
        kind = responses_event(type);
    else if (p == PM_PROTO_NATIVE)
        kind = native_event(root);
    else
        kind = chat_event(root);
    read_usage(root, usage);
    cJSON_Delete(root);
    return kind;
}

bool pm_api_event_is_plain(enum pm_protocol p, const char *name, const char *data, size_t len)
{
    static const char *const telling[] = {"\"usage\"", "\"error\"", "\"stop\":", "\"timings\""};
    size_t n = strlen(name);
    if (p == PM_PROTO_MESSAGES && n)
        return strcmp(name, "content_block_delta") == 0;
    if (p == PM_PROTO_RESPONSES && n)
        return n > 6 && strcmp(name + n - 6, ".delta") == 0;
    if (!len || *data != '{' || (p != PM_PROTO_CHAT && p != PM_PROTO_COMPLETIONS && p != PM_PROTO_NATIVE))
        return false;
    for (size_t i = 0; i < sizeof(telling) / sizeof(*telling); i++)
        if (has(data, len, telling[i]))
            return false;
    return !has(data, len, "\"finish_reason\"") || has(data, len, "\"finish_reason\":null");
}

char *pm_api_cut_event(enum pm_protocol p, const char *message)
{
    struct pm_buf out;
    if (p != PM_PROTO_MESSAGES && p != PM_PROTO_RESPONSES)
        return NULL;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    if (p == PM_PROTO_MESSAGES) {
        pm_buf_add(&out, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":");
        pm_json_quote(&out, message, strlen(message));
        pm_buf_add(&out, "}}\n\n");
    } else {
        pm_buf_add(&out, "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"object\":"
                         "\"response\",\"status\":\"failed\",\"output\":[],\"error\":{\"code\":\"server_error\","
                         "\"message\":");
        pm_json_quote(&out, message, strlen(message));
        pm_buf_add(&out, "}}}\n\n");
    }
    return pm_buf_take(&out);
}

bool pm_api_is_context_overflow(const char *body, size_t len)
{
    static const char *const signs[] = {"exceed_context_size_error", "context_length_exceeded", "prompt is too long",
                                        "maximum context length", "exceeds the available context size"};
    for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++)
        if (has(body, len, signs[i]))
            return true;
    return false;
}

static void add_response_event(struct pm_buf *out, const char *type, unsigned sequence, const char *id,
                               const char *model, long long created)
{
    pm_buf_addf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%u,\"response\":{\"id\":\"resp_", type,
                type, sequence);
    pm_buf_addf(out, "%s\",\"object\":\"response\",\"created_at\":%lld,\"status\":\"in_progress\",\"model\":", id,
                created);
    pm_json_quote(out, model, strlen(model));
    pm_buf_add(out, ",\"output\":[],\"error\":null,\"incomplete_details\":null,\"usage\":null}}\n\n");
}

static void add_chunk(struct pm_buf *out, const char *prefix, const char *object, const char *id, const char *model,
                      long long created)
{
    pm_buf_addf(out, "data: {\"id\":\"%s-%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", prefix, id, object,
                created);
    pm_json_quote(out, model, strlen(model));
    pm_buf_add(out, ",\"choices\":[]}\n\n");
}

char *pm_api_ping_event(enum pm_protocol p, const char *id, const char *model, long long created, unsigned n)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    switch (p) {
    case PM_PROTO_CHAT:
        add_chunk(&out, "chatcmpl", "chat.completion.chunk", id, model, created);
        break;
    case PM_PROTO_COMPLETIONS:
        add_chunk(&out, "cmpl", "text_completion", id, model, created);
        break;
    case PM_PROTO_RESPONSES:
        /* The answerer's own numbers go on from 2: it says these two as well, and they are taken out. */
        if (!n)
            add_response_event(&out, "response.created", 0, id, model, created);
        add_response_event(&out, "response.in_progress", 1, id, model, created);
        break;
    case PM_PROTO_MESSAGES:
        pm_buf_add(&out, "event: ping\ndata: {\"type\": \"ping\"}\n\n");
        break;
    default:
        return NULL;
    }
    return pm_buf_take(&out);
}

static bool is_opening(const char *event, size_t len)
{
    static const char *const types[] = {"event: response.created\n", "event: response.in_progress\n"};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (len > strlen(types[i]) && strncmp(event, types[i], strlen(types[i])) == 0)
            return true;
    return false;
}

void pm_api_drop_openings(enum pm_protocol p, struct pm_buf *events)
{
    struct pm_buf kept;
    if (p != PM_PROTO_RESPONSES)
        return;
    pm_buf_init(&kept, events->limit);
    for (const char *at = events->data, *end = at + events->len; at < end;) {
        const char *blank = strstr(at, "\n\n");
        size_t len = blank ? (size_t)(blank + 2 - at) : (size_t)(end - at);
        if (!is_opening(at, len))
            pm_buf_addn(&kept, at, len);
        at += len;
    }
    pm_buf_release(events);
    *events = kept;
}

char *pm_api_error_chunk(const char *message)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    pm_buf_add(&out, "data: {\"error\":{\"message\":");
    pm_json_quote(&out, message, strlen(message));
    pm_buf_add(&out, ",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n");
    return pm_buf_take(&out);
}
