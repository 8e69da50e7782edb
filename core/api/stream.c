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

char *pm_api_error_message(const char *data, size_t len)
{
    cJSON *root = cJSON_ParseWithLength(data, len);
    const cJSON *error = pm_json_get(root, "error");
    if (!error)
        error = pm_json_get(pm_json_get(root, "response"), "error");
    const char *message = pm_json_str(error, "message");
    if (!message)
        message = cJSON_IsString(error) ? error->valuestring : pm_json_str(root, "message");
    char *text = pm_strdup(message ? message : "it reported an error");
    cJSON_Delete(root);
    return text;
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
