#include "core/api/mend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/assemble.h"
#include "core/base/alloc.h"

enum { ITEMS_MAX = 64, BLOCKS_MAX = 256 };

struct pm_mend {
    enum pm_protocol protocol;
    char *model;
    long long prompt_tokens;
    bool drops_progress;
    unsigned mended;
    bool done;     /* the mark of the end has passed */
    bool finished; /* the reason why the answer ends has */
    bool started;  /* the first event of an answer has been seen */
    /* responses */
    unsigned sequence;
    char *items[ITEMS_MAX];
    unsigned n_items;
    bool in_progress;
    /* messages */
    int open;
    bool closed[BLOCKS_MAX];
};

struct pm_mend *pm_mend_new(enum pm_protocol p, const char *model, long long prompt_tokens, bool drops_progress)
{
    struct pm_mend *m = pm_calloc(1, sizeof(*m));
    m->protocol = p;
    m->model = pm_strdup(model);
    m->prompt_tokens = prompt_tokens > 0 ? prompt_tokens : 1;
    m->drops_progress = drops_progress;
    m->open = -1;
    return m;
}

void pm_mend_free(struct pm_mend *m)
{
    if (!m)
        return;
    for (unsigned i = 0; i < m->n_items; i++)
        free(m->items[i]);
    free(m->model);
    free(m);
}

unsigned pm_mend_count(const struct pm_mend *m)
{
    return m->mended;
}

static void emit(struct pm_mend *m, const char *name, const cJSON *root, struct pm_buf *out)
{
    char *text = pm_json_text(root);
    if (name)
        pm_buf_addf(out, "event: %s\n", name);
    pm_buf_add(out, "data: ");
    pm_buf_add(out, text);
    pm_buf_add(out, "\n\n");
    free(text);
    m->mended++;
}

/* Adds a number where it is missing. */
static bool need_number(cJSON *root, const char *key, double value)
{
    if (pm_json_get(root, key))
        return false;
    cJSON_AddNumberToObject(root, key, value);
    return true;
}

/* --- responses (OpenAI API reference, "Streaming events") --- */

static unsigned item_index(struct pm_mend *m, const char *id)
{
    for (unsigned i = 0; i < m->n_items; i++)
        if (strcmp(m->items[i], id) == 0)
            return i;
    if (m->n_items == ITEMS_MAX)
        return ITEMS_MAX - 1;
    m->items[m->n_items] = pm_strdup(id);
    return m->n_items++;
}

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool mend_item(struct pm_mend *m, const char *type, cJSON *root)
{
    bool changed = false;
    const char *id = pm_json_str(root, "item_id");
    if (!id)
        id = pm_json_str(pm_json_get(root, "item"), "id");
    if (!id)
        return false;
    changed |= need_number(root, "output_index", item_index(m, id));
    if (starts(type, "response.content_part.") || starts(type, "response.output_text.") ||
        starts(type, "response.refusal.") || starts(type, "response.reasoning_text."))
        changed |= need_number(root, "content_index", 0);
    if (starts(type, "response.reasoning_summary"))
        changed |= need_number(root, "summary_index", 0);
    return changed;
}

static void mend_response(struct pm_mend *m, const char *type, cJSON *root, const char *raw, size_t raw_len,
                          struct pm_buf *out)
{
    bool is_progress = strcmp(type, "response.in_progress") == 0, changed = false;
    if (is_progress && m->in_progress && m->drops_progress)
        return;
    m->in_progress |= is_progress;
    if (is_progress && m->drops_progress && pm_json_get(root, "prompt_progress")) {
        cJSON_DeleteItemFromObjectCaseSensitive(root, "prompt_progress");
        changed = true;
    }
    cJSON *response = cJSON_GetObjectItemCaseSensitive(root, "response");
    if (cJSON_IsObject(response) && !pm_json_get(response, "output")) {
        cJSON_AddArrayToObject(response, "output");
        changed = true;
    }
    changed |= mend_item(m, type, root);
    changed |= need_number(root, "sequence_number", m->sequence);
    m->sequence = (unsigned)pm_json_num(root, "sequence_number", m->sequence) + 1;
    if (changed)
        emit(m, type, root, out);
    else
        pm_buf_addn(out, raw, raw_len);
}

/* --- messages (Anthropic API reference, "Streaming messages") --- */

static void start_message(struct pm_mend *m, struct pm_buf *out)
{
    cJSON *root = cJSON_CreateObject(), *message = cJSON_CreateObject(), *usage = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "type", "message_start");
    cJSON_AddItemToObject(root, "message", message);
    cJSON_AddStringToObject(message, "id", "msg_mended");
    cJSON_AddStringToObject(message, "type", "message");
    cJSON_AddStringToObject(message, "role", "assistant");
    cJSON_AddArrayToObject(message, "content");
    cJSON_AddStringToObject(message, "model", m->model);
    cJSON_AddNullToObject(message, "stop_reason");
    cJSON_AddNullToObject(message, "stop_sequence");
    cJSON_AddItemToObject(message, "usage", usage);
    cJSON_AddNumberToObject(usage, "input_tokens", (double)m->prompt_tokens);
    cJSON_AddNumberToObject(usage, "output_tokens", 0);
    emit(m, "message_start", root, out);
    cJSON_Delete(root);
}

static void close_block(struct pm_mend *m, struct pm_buf *out)
{
    pm_buf_addf(out, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":%d}\n\n", m->open);
    m->closed[m->open] = true;
    m->open = -1;
    m->mended++;
}

/* True when the start itself had to be changed. */
static bool open_block(struct pm_mend *m, int index, const cJSON *root, struct pm_buf *out)
{
    cJSON *block = cJSON_GetObjectItemCaseSensitive(root, "content_block");
    const char *type = pm_json_str(block, "type");
    if (m->open >= 0)
        close_block(m, out);
    m->open = index;
    if (!type || strcmp(type, "tool_use") != 0 || pm_json_get(block, "input"))
        return false;
    cJSON_AddItemToObject(block, "input", cJSON_CreateObject());
    return true;
}

static void mend_message(struct pm_mend *m, const char *type, const cJSON *root, const char *raw, size_t raw_len,
                         struct pm_buf *out)
{
    double at = pm_json_num(root, "index", -1);
    int index = at >= 0 && at < BLOCKS_MAX ? (int)at : -1;
    bool changed = false;
    if (strcmp(type, "message_start") == 0)
        m->started = true;
    m->done |= strcmp(type, "message_stop") == 0;
    m->finished |= pm_json_str(pm_json_get(root, "delta"), "stop_reason") != NULL;
    if (!m->started && strcmp(type, "ping") != 0 && strcmp(type, "error") != 0) {
        start_message(m, out);
        m->started = true;
    }
    if (strcmp(type, "content_block_start") == 0 && index >= 0) {
        changed = open_block(m, index, root, out);
    } else if (strcmp(type, "content_block_stop") == 0 && index >= 0) {
        if (m->closed[index]) {
            m->mended++;
            return;
        }
        m->closed[index] = true;
        m->open = m->open == index ? -1 : m->open;
    }
    if (changed)
        emit(m, type, root, out);
    else
        pm_buf_addn(out, raw, raw_len);
}

/* --- chat: the first delta names the role --- */

static void mend_chat(struct pm_mend *m, const cJSON *root, const char *raw, size_t raw_len, struct pm_buf *out)
{
    const cJSON *choice = cJSON_GetArrayItem(pm_json_get(root, "choices"), 0);
    cJSON *delta = cJSON_GetObjectItemCaseSensitive(choice, "delta");
    bool first = cJSON_IsObject(delta) && !m->started;
    m->started |= first;
    if (first && !pm_json_get(delta, "role")) {
        cJSON_AddStringToObject(delta, "role", "assistant");
        emit(m, NULL, root, out);
        return;
    }
    pm_buf_addn(out, raw, raw_len);
}

/* A quote inside a JSON string is escaped, so this is the key and nothing else. */
static bool says_finish(const char *data, size_t len)
{
    static const char key[] = "\"finish_reason\":";
    const char *at = memmem(data, len, key, sizeof(key) - 1);
    return at && (at += sizeof(key) - 1) < data + len && at[*at == ' '] == '"';
}

void pm_mend_event(struct pm_mend *m, const char *name, const char *data, size_t len, const char *raw, size_t raw_len,
                   struct pm_buf *out)
{
    bool done = m->protocol == PM_PROTO_CHAT && m->started;
    bool is_end = len == 6 && memcmp(data, "[DONE]", 6) == 0;
    m->done |= is_end;
    if (len && !is_end && pm_json_scan(data, len, NULL, NULL) < 0) {
        m->mended++;
        return;
    }
    bool is_progress = m->drops_progress && pm_api_event_is_progress(data, len);
    if (is_progress && m->protocol != PM_PROTO_RESPONSES)
        return;
    if (m->protocol == PM_PROTO_CHAT || m->protocol == PM_PROTO_COMPLETIONS)
        m->finished |= says_finish(data, len);
    cJSON *root = len && *data == '{' && !done ? cJSON_ParseWithLength(data, len) : NULL;
    const char *type = pm_json_str(root, "type");
    if (!type)
        type = name;
    if (!root)
        pm_buf_addn(out, raw, raw_len);
    else if (m->protocol == PM_PROTO_RESPONSES)
        mend_response(m, type, root, raw, raw_len, out);
    else if (m->protocol == PM_PROTO_MESSAGES)
        mend_message(m, type, root, raw, raw_len, out);
    else
        mend_chat(m, root, raw, raw_len, out);
    cJSON_Delete(root);
}

bool pm_mend_end(struct pm_mend *m, struct pm_buf *out)
{
    if (m->done || !m->finished)
        return m->done;
    if (m->protocol == PM_PROTO_MESSAGES)
        pm_buf_add(out, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    else
        pm_buf_add(out, "data: [DONE]\n\n");
    m->mended++;
    m->done = true;
    return true;
}
