#include "core/api/walk.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"

/* What a harness puts beside the user's own words begins so; it comes, moves and goes from turn to turn. */
static const char *const remarks[] = {"\"<system-reminder>", "\"<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>"};

static bool is_remark(const struct pm_json_value *v)
{
    for (size_t i = 0; i < sizeof(remarks) / sizeof(*remarks); i++)
        if (v->len > strlen(remarks[i]) && strncmp(v->text, remarks[i], strlen(remarks[i])) == 0)
            return true;
    return false;
}

static void add_text(struct pm_buf *out, const char *text, size_t len)
{
    if (out->len)
        pm_buf_add(out, "\n");
    pm_buf_addn(out, text, len);
}

static cJSON *parse(const struct pm_json_value *v)
{
    return v->text ? cJSON_ParseWithLength(v->text, v->len) : NULL;
}

static void add_string(struct pm_buf *out, const struct pm_json_value *v)
{
    if (v->len < 2 || v->text[0] != '"')
        return;
    if (!memchr(v->text, '\\', v->len)) {
        add_text(out, v->text + 1, v->len - 2);
        return;
    }
    cJSON *string = parse(v);
    if (string)
        add_text(out, string->valuestring, strlen(string->valuestring));
    cJSON_Delete(string);
}

static bool is_either(const struct pm_json_value *v, const char *a, const char *b)
{
    return pm_json_is(v, a) || pm_json_is(v, b);
}

static void mix(struct pm_walk *w, const struct pm_json_value *v)
{
    if (v->len)
        w->chain = pm_hash_long(v->text, v->len, w->chain);
}

/* A text as it reads, however it is written, and whether it stands alone or is a part. */
static void mix_text(struct pm_walk *w, const struct pm_json_value *v, const struct pm_buf *text, size_t from)
{
    if (!text)
        mix(w, v);
    else if (text->len > from)
        w->chain = pm_hash_long(text->data + from + (from > 0), text->len - from - (from > 0), w->chain);
}

/* --- parts of a content --- */

enum { P_TYPE, P_TEXT, P_CONTENT, P_USE_ID, P_IS_ERROR, P_ID, P_NAME, P_INPUT, P_IMAGE, P_SOURCE, P_AUDIO };
static const char *const part_keys[] = {"type", "text",  "content",   "tool_use_id", "is_error",   "id",
                                        "name", "input", "image_url", "source",      "input_audio"};

struct parts {
    struct pm_walk *w;   /* NULL: nothing is counted */
    struct pm_buf *text; /* NULL: texts are not wanted */
};

static void walk_parts(struct pm_walk *w, const struct pm_json_value *content, struct pm_buf *text);

static void walk_result_content(struct pm_walk *w, const struct pm_json_value *content)
{
    if (content->len && content->text[0] == '"')
        mix(w, content);
    else
        walk_parts(w, content, NULL);
}

static void walk_part(void *arg, char first, const struct pm_json_value *v)
{
    struct parts *p = arg;
    struct pm_walk *w = p->w;
    (void)first;
    if (!w) {
        add_string(p->text, &v[P_TEXT]);
    } else if (is_either(&v[P_TYPE], "image_url", "image") || pm_json_is(&v[P_TYPE], "input_image")) {
        w->r->images++;
        w->blob_bytes += v[P_IMAGE].len + v[P_SOURCE].len;
        mix(w, &v[P_IMAGE]);
        mix(w, &v[P_SOURCE]);
    } else if (is_either(&v[P_TYPE], "input_audio", "audio")) {
        w->r->audio++;
        w->blob_bytes += v[P_AUDIO].len + v[P_SOURCE].len;
    } else if (pm_json_is(&v[P_TYPE], "tool_result")) {
        w->r->tool_results++;
        w->has_results = true;
        w->last_result = v[P_CONTENT];
        pm_history_result(&w->history, &v[P_USE_ID], &v[P_CONTENT],
                          v[P_IS_ERROR].len == 4 && memcmp(v[P_IS_ERROR].text, "true", 4) == 0);
        walk_result_content(w, &v[P_CONTENT]);
    } else if (pm_json_is(&v[P_TYPE], "tool_use")) {
        pm_history_call(&w->history, &v[P_ID], &v[P_NAME], &v[P_INPUT]);
        mix(w, &v[P_NAME]);
        mix(w, &v[P_INPUT]);
    } else if (v[P_TEXT].len && !is_remark(&v[P_TEXT])) {
        size_t from = p->text ? p->text->len : 0;
        if (p->text)
            add_string(p->text, &v[P_TEXT]);
        mix_text(w, &v[P_TEXT], p->text, from);
        w->has_words = true;
    }
}

static void walk_parts(struct pm_walk *w, const struct pm_json_value *content, struct pm_buf *text)
{
    struct parts parts = {.w = w, .text = text};
    if (content->len && content->text[0] == '[')
        pm_json_each(content->text, content->len, part_keys, sizeof(part_keys) / sizeof(*part_keys), walk_part,
                     &parts);
}

/* A prompt may be an array of texts. */
static void walk_strings(const struct pm_json_value *array, struct pm_buf *text)
{
    cJSON *strings = parse(array);
    const cJSON *item;
    cJSON_ArrayForEach (item, strings)
        if (cJSON_IsString(item))
            add_text(text, item->valuestring, strlen(item->valuestring));
    cJSON_Delete(strings);
}

/* Not texts, and not numbers of tokens. */
static bool holds_objects(const struct pm_json_value *v)
{
    size_t at = 1;
    while (at < v->len && strchr(" \t\r\n", v->text[at]))
        at++;
    return at < v->len && v->text[0] == '[' && (v->text[at] == '{' || v->text[at] == ']');
}

void pm_walk_text(const struct pm_json_value *content, struct pm_buf *text)
{
    if (content->len && content->text[0] == '"')
        add_string(text, content);
    else
        walk_parts(NULL, content, text);
}

static void walk_content(struct pm_walk *w, const struct pm_json_value *content, struct pm_buf *text)
{
    if (!content->len || is_remark(content))
        return;
    if (content->text[0] == '"') {
        size_t from = text->len;
        add_string(text, content);
        mix_text(w, content, text, from);
        w->has_words = true;
    } else if (holds_objects(content)) {
        walk_parts(w, content, text);
    } else {
        walk_strings(content, text);
        mix(w, content);
        w->has_words |= text->len > 0;
    }
}

/* --- messages --- */

/* The chain begins with the system text as it stood before the first words of the user. */
static void begin_chain(struct pm_walk *w)
{
    if (!w->begun)
        w->chain = pm_hash_long(w->system.data, w->system.len, w->chain);
    w->begun = true;
}

/* What comes now is not of all turns any more. */
static void note_opening(struct pm_walk *w)
{
    if (w->begun && !w->opening)
        w->opening = w->chain;
}

static void walk_user(struct pm_walk *w, const struct pm_json_value *content)
{
    struct pm_buf text;
    pm_buf_init(&text, PM_BUF_OWN_LIMIT);
    begin_chain(w);
    bool was_loop = w->r->tool_loop;
    w->has_results = w->has_words = false;
    walk_content(w, content, &text);
    /* A turn of the user, not the harness handing back a tool's result, or a remark of its own. */
    w->r->tool_loop = w->has_results || (was_loop && !w->has_words);
    w->r->user_turns += w->has_words && !w->has_results;
    if (text.len) {
        pm_buf_release(&w->user);
        w->user = text;
    } else {
        pm_buf_release(&text);
    }
}

enum { ROLE, CONTENT, TYPE, OUTPUT, CALLS, NAME, ARGUMENTS, CALL_ID, TOOL_CALL_ID, INPUT };
static const char *const message_keys[] = {"role", "content",   "type",    "output",       "tool_calls",
                                           "name", "arguments", "call_id", "tool_call_id", "input"};

static void walk_result(struct pm_walk *w, const struct pm_json_value *id, const struct pm_json_value *value)
{
    w->r->tool_results++;
    w->r->tool_loop = true;
    note_opening(w);
    w->last_result = *value;
    pm_history_result(&w->history, id, value, false);
    walk_result_content(w, value);
}

static void walk_call(void *arg, char first, const struct pm_json_value *v)
{
    static const char *const keys[] = {"name", "arguments"};
    struct pm_walk *w = arg;
    struct pm_json_value function[2] = {{0}};
    (void)first;
    if (v[1].len)
        pm_json_members(v[1].text, v[1].len, keys, 2, function);
    pm_history_call(&w->history, &v[0], &function[0], &function[1]);
    mix(w, &v[1]);
}

/* The fingerprint of everything so far, in front of the earlier ones. */
static void push_chain(struct pm_walk *w)
{
    struct pm_api_request *r = w->r;
    memmove(r->chain + 1, r->chain, (PM_CHAIN_MAX - 1) * sizeof(*r->chain));
    r->chain[0] = w->chain;
    r->n_chain += r->n_chain < PM_CHAIN_MAX;
}

/* What the model has said and called. Its texts count for the fingerprint only. */
static void walk_answer(struct pm_walk *w, const struct pm_json_value *v)
{
    static const char *const call_keys[] = {"id", "function"};
    struct pm_api_request *r = w->r;
    note_opening(w);
    if (w->begun && !w->answered) {
        push_chain(w);
    }
    w->answered = true;
    r->tool_loop = false;
    if (is_either(&v[TYPE], "function_call", "custom_tool_call")) {
        const struct pm_json_value *args = v[ARGUMENTS].len ? &v[ARGUMENTS] : &v[INPUT];
        pm_history_call(&w->history, &v[CALL_ID], &v[NAME], args);
        mix(w, &v[NAME]);
        mix(w, args);
        return;
    }
    if (v[CONTENT].len && v[CONTENT].text[0] == '"')
        mix(w, &v[CONTENT]);
    else
        walk_parts(w, &v[CONTENT], NULL);
    if (v[CALLS].len && v[CALLS].text[0] == '[')
        pm_json_each(v[CALLS].text, v[CALLS].len, call_keys, 2, walk_call, w);
}

static int check_message(const struct pm_walk *w, char first, const struct pm_json_value *v, int index)
{
    if (first != '{')
        return pm_error_set(w->err, PM_EINVAL, "`%s[%d]` must be an object with \"role\" and \"content\"", w->key,
                            index);
    if (w->r->protocol != PM_PROTO_RESPONSES && (!v[ROLE].text || v[ROLE].text[0] != '"'))
        return pm_error_set(w->err, PM_EINVAL, "`%s[%d].role` must be a string such as \"user\"", w->key, index);
    return PM_OK;
}

static bool is_answer(const struct pm_json_value *v)
{
    return pm_json_is(&v[ROLE], "assistant") || is_either(&v[TYPE], "function_call", "custom_tool_call") ||
           pm_json_is(&v[TYPE], "reasoning");
}

static void walk_message(void *arg, char first, const struct pm_json_value *v)
{
    struct pm_walk *w = arg;
    int index = w->index++;
    if (w->rc < 0 || (w->rc = check_message(w, first, v, index)) < 0)
        return;
    w->r->messages++;
    if (is_answer(v)) {
        walk_answer(w, v);
        return;
    }
    w->answered = false;
    if (w->r->protocol == PM_PROTO_RESPONSES && is_either(&v[TYPE], "function_call_output", "custom_tool_call_output"))
        walk_result(w, &v[CALL_ID], &v[OUTPUT]);
    else if (is_either(&v[ROLE], "tool", "function"))
        walk_result(w, &v[TOOL_CALL_ID], &v[CONTENT]);
    else if (pm_json_is(&v[ROLE], "user"))
        walk_user(w, &v[CONTENT]);
    else if (is_either(&v[ROLE], "system", "developer"))
        pm_walk_text(&v[CONTENT], &w->system);
}

static struct pm_json_value member(const struct pm_walk *w, const char *key)
{
    const struct pm_json_member *m = pm_json_span(&w->r->spans, w->r->body, key);
    return m ? (struct pm_json_value){w->r->body + m->value, m->value_len} : (struct pm_json_value){0};
}

static int walk_messages(struct pm_walk *w, const char *key)
{
    struct pm_json_value messages = member(w, key);
    if (!messages.text)
        return pm_error_set(w->err, PM_EINVAL, "`%s` is missing: an array of {\"role\", \"content\"} is expected",
                            key);
    if (messages.text[0] != '[')
        return pm_error_set(w->err, PM_EINVAL, "`%s` must be an array of {\"role\", \"content\"}", key);
    w->key = key;
    pm_json_each(messages.text, messages.len, message_keys, sizeof(message_keys) / sizeof(*message_keys), walk_message,
                 w);
    if (w->rc == PM_OK && !w->index)
        return pm_error_set(w->err, PM_EINVAL, "`%s` is empty: at least one message is needed", key);
    return w->rc;
}

/* `input` or `prompt`: a text, or texts, or (responses) messages. */
static int walk_input(struct pm_walk *w, const char *key)
{
    struct pm_json_value input = member(w, key);
    if (!input.text)
        return pm_error_set(w->err, PM_EINVAL, "`%s` is missing: a string or an array is expected", key);
    if (input.text[0] != '"' && input.text[0] != '[')
        return pm_error_set(w->err, PM_EINVAL, "`%s` must be a string or an array", key);
    if (input.text[0] == '[' && w->r->protocol == PM_PROTO_RESPONSES)
        return walk_messages(w, key);
    if (input.text[0] == '[' && input.text[1 + strspn(input.text + 1, " \t\r\n")] == ']')
        return pm_error_set(w->err, PM_EINVAL, "`%s` is empty", key);
    walk_user(w, &input);
    return PM_OK;
}

static void walk_system(struct pm_walk *w, const char *key)
{
    struct pm_json_value system = member(w, key);
    pm_walk_text(&system, &w->system);
}

static int walk_member(struct pm_walk *w)
{
    switch (w->r->protocol) {
    case PM_PROTO_MESSAGES:
    case PM_PROTO_COUNT_TOKENS:
        walk_system(w, "system");
        return walk_messages(w, "messages");
    case PM_PROTO_CHAT:
        return walk_messages(w, "messages");
    case PM_PROTO_RESPONSES:
        walk_system(w, "instructions");
        return walk_input(w, "input");
    case PM_PROTO_EMBEDDINGS:
        return walk_input(w, "input");
    case PM_PROTO_COMPLETIONS:
        return walk_input(w, "prompt");
    case PM_PROTO_NATIVE:
        break;
    }
    struct pm_json_value prompt = member(w, "prompt");
    if (prompt.text)
        walk_user(w, &prompt);
    return PM_OK;
}

int pm_walk_body(struct pm_walk *w)
{
    int rc = walk_member(w);
    begin_chain(w);
    note_opening(w);
    push_chain(w);
    return rc;
}
