#include "core/api/assemble.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

enum { TEXT_MAX = 16 << 20, CALLS_MAX = 128, BLOCKS_MAX = 256 };

struct call {
    char *id, *name;
    struct pm_buf arguments;
};

struct block {
    cJSON *start; /* the content_block of its start event */
    struct pm_buf text;
    char *signature;
};

struct pm_assembly {
    enum pm_protocol protocol;
    bool ended;
    cJSON *base; /* the first chunk, or the message of message_start, or the finished response */
    /* chat and completions */
    struct pm_buf content, reasoning;
    char *finish;
    cJSON *usage, *timings;
    struct call *calls;
    size_t n_calls;
    /* messages */
    struct block *blocks;
    size_t n_blocks;
};

/* --- asking --- */

static bool is_one(const cJSON *item)
{
    return !item || cJSON_IsNull(item) || (cJSON_IsNumber(item) && item->valuedouble <= 1);
}

static bool is_off(const cJSON *item)
{
    return !item || cJSON_IsNull(item) || cJSON_IsFalse(item) || (cJSON_IsNumber(item) && item->valuedouble == 0);
}

bool pm_api_is_plain(const struct pm_api_request *r)
{
    return r->root && is_one(pm_json_get(r->root, "n")) && is_one(pm_json_get(r->root, "n_cmpl")) &&
           is_off(pm_json_get(r->root, "logprobs")) && is_off(pm_json_get(r->root, "n_probs")) &&
           is_off(pm_json_get(r->root, "echo"));
}

bool pm_api_can_assemble(const struct pm_api_request *r)
{
    if (r->stream || !pm_api_is_plain(r))
        return false;
    switch (r->protocol) {
    case PM_PROTO_CHAT:
    case PM_PROTO_RESPONSES:
    case PM_PROTO_MESSAGES:
        return true;
    case PM_PROTO_COMPLETIONS:
        return cJSON_IsString(pm_json_get(r->root, "prompt"));
    default:
        return false;
    }
}

struct edit {
    const char *key;
    char *value;
};

static int by_place(const void *a, const void *b)
{
    const struct pm_json_member *x = *(const struct pm_json_member *const *)a;
    const struct pm_json_member *y = *(const struct pm_json_member *const *)b;
    return x->value < y->value ? -1 : x->value > y->value;
}

static const char *edited(const struct pm_api_request *r, const struct pm_json_member *m, const struct edit *edits,
                          size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(edits[i].key) == m->key_len && memcmp(edits[i].key, r->body + m->key, m->key_len) == 0)
            return edits[i].value;
    return NULL;
}

/* Members that stand there change their value in place, those that do not are put in front; all other bytes stay. */
static void apply(const struct pm_api_request *r, const struct edit *edits, size_t n, struct pm_buf *out)
{
    const struct pm_json_member *found[8];
    size_t n_found = 0, at = 0;
    const char *brace = memchr(r->body, '{', r->len);
    if (!brace)
        return;
    at = (size_t)(brace - r->body) + 1;
    pm_buf_addn(out, r->body, at);
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        const struct pm_json_member *m = pm_json_span(&r->spans, r->body, edits[i].key);
        if (m) {
            found[n_found++] = m;
        } else {
            pm_buf_addf(out, "%s\"%s\":%s", first ? "" : ",", edits[i].key, edits[i].value);
            first = false;
        }
    }
    if (!first && r->spans.n)
        pm_buf_add(out, ",");
    qsort(found, n_found, sizeof(*found), by_place);
    for (size_t i = 0; i < n_found; i++) {
        pm_buf_addn(out, r->body + at, found[i]->value - at);
        pm_buf_add(out, edited(r, found[i], edits, n));
        at = found[i]->value + found[i]->value_len;
    }
    pm_buf_addn(out, r->body + at, r->len - at);
}

/* The key that limits an answer: the one that stands there, else the protocol's. NULL where there is none. */
static const char *limit_key(const struct pm_api_request *r)
{
    static const char *const keys[] = {"max_completion_tokens", "max_tokens", "max_output_tokens", "n_predict"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (pm_json_span(&r->spans, r->body, keys[i]))
            return keys[i];
    switch (r->protocol) {
    case PM_PROTO_CHAT:
    case PM_PROTO_COMPLETIONS:
    case PM_PROTO_MESSAGES:
        return "max_tokens";
    case PM_PROTO_RESPONSES:
        return "max_output_tokens";
    default:
        return NULL;
    }
}

/* The system prompt without the line that differs from session to session; NULL when it has none. */
static char *system_without_nonce(const struct pm_api_request *r)
{
    const cJSON *system = pm_json_get(r->root, "system");
    const char *first = cJSON_IsArray(system) ? pm_json_str(system->child, "text") : NULL;
    if (!pm_protocol_is_anthropic(r->protocol) || !first || !pm_api_is_nonce(first))
        return NULL;
    cJSON *rest = cJSON_Duplicate(system, true);
    cJSON_DeleteItemFromArray(rest, 0);
    char *text = pm_json_text(rest);
    cJSON_Delete(rest);
    return text;
}

enum { TOOLS_MAX = 512 };

/* The tools in an order that depends on nothing but themselves: agents gather them from servers that come up in any
 * order, and what stands behind them in the prompt would be read anew. NULL when they stand in it already. */
static char *tools_in_order(const struct pm_api_request *r)
{
    struct pm_json_value tools[TOOLS_MAX];
    const struct pm_json_member *m = pm_json_span(&r->spans, r->body, "tools");
    size_t n = m ? pm_json_elements(r->body + m->value, m->value_len, tools, TOOLS_MAX) : 0;
    bool in_order = n < TOOLS_MAX;
    for (size_t i = 1; i < n; i++)
        in_order &= pm_json_value_order(&tools[i - 1], &tools[i]) <= 0;
    if (n < 2 || n == TOOLS_MAX || in_order)
        return NULL;
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    qsort(tools, n, sizeof(*tools), pm_json_value_order);
    for (size_t i = 0; i < n; i++) {
        pm_buf_add(&out, i ? "," : "[");
        pm_buf_addn(&out, tools[i].text, tools[i].len);
    }
    pm_buf_add(&out, "]");
    return pm_buf_take(&out);
}

void pm_api_body_for_server(const struct pm_api_request *r, const char *model, const struct pm_api_wishes *wishes,
                            struct pm_buf *out)
{
    struct edit edits[8];
    struct pm_buf name;
    char *system = NULL, *tools = NULL;
    size_t n = 0;
    bool chat = r->protocol == PM_PROTO_CHAT || r->protocol == PM_PROTO_COMPLETIONS;
    pm_buf_init(&name, PM_BUF_OWN_LIMIT);
    pm_json_quote(&name, model, strlen(model));
    edits[n++] = (struct edit){"model", name.data};
    char yes[] = "true", usage[] = "{\"include_usage\":true}", most[32];
    if (wishes->as_stream) {
        edits[n++] = (struct edit){"stream", yes};
    }
    if (chat && (wishes->as_stream || wishes->usage))
        edits[n++] = (struct edit){"stream_options", usage};
    if (wishes->progress && (chat || r->protocol == PM_PROTO_RESPONSES) &&
        !pm_json_span(&r->spans, r->body, "return_progress"))
        edits[n++] = (struct edit){"return_progress", yes};
    const char *limit = limit_key(r);
    if (wishes->logprobs && r->protocol == PM_PROTO_CHAT && !pm_json_span(&r->spans, r->body, "logprobs"))
        edits[n++] = (struct edit){"logprobs", yes};
    if (wishes->max_tokens && limit && (!r->max_tokens || r->max_tokens > wishes->max_tokens)) {
        snprintf(most, sizeof(most), "%lld", wishes->max_tokens);
        edits[n++] = (struct edit){limit, most};
    }
    if (wishes->same_prefix && (system = system_without_nonce(r)))
        edits[n++] = (struct edit){"system", system};
    if (wishes->same_prefix && (tools = tools_in_order(r)))
        edits[n++] = (struct edit){"tools", tools};
    pm_buf_reserve(out, r->len + name.len + 192);
    apply(r, edits, n, out);
    free(system);
    free(tools);
    pm_buf_release(&name);
}

bool pm_api_event_is_usage(const char *data, size_t len)
{
    cJSON *root = memmem(data, len, "\"usage\"", 7) ? cJSON_ParseWithLength(data, len) : NULL;
    const cJSON *choices = pm_json_get(root, "choices");
    bool is = cJSON_IsArray(choices) && !choices->child && cJSON_IsObject(pm_json_get(root, "usage"));
    cJSON_Delete(root);
    return is;
}

bool pm_api_event_is_progress(const char *data, size_t len)
{
    static const char key[] = "\"prompt_progress\":";
    return memmem(data, len, key, sizeof(key) - 1) != NULL;
}

void pm_api_event_logprobs(const char *data, size_t len, struct pm_logprobs *to)
{
    cJSON *root = memmem(data, len, "\"logprobs\":{", 12) ? cJSON_ParseWithLength(data, len) : NULL;
    const cJSON *choice = cJSON_GetArrayItem(pm_json_get(root, "choices"), 0), *token;
    cJSON_ArrayForEach (token, pm_json_get(pm_json_get(choice, "logprobs"), "content")) {
        double p = pm_json_num(token, "logprob", 0);
        to->least = !to->n || p < to->least ? p : to->least;
        to->sum += p;
        to->n++;
    }
    cJSON_Delete(root);
}

/* --- putting together --- */

struct pm_assembly *pm_assembly_new(enum pm_protocol p)
{
    struct pm_assembly *a = pm_calloc(1, sizeof(*a));
    a->protocol = p;
    pm_buf_init(&a->content, TEXT_MAX);
    pm_buf_init(&a->reasoning, TEXT_MAX);
    return a;
}

void pm_assembly_free(struct pm_assembly *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n_calls; i++) {
        free(a->calls[i].id);
        free(a->calls[i].name);
        pm_buf_release(&a->calls[i].arguments);
    }
    for (size_t i = 0; i < a->n_blocks; i++) {
        cJSON_Delete(a->blocks[i].start);
        pm_buf_release(&a->blocks[i].text);
        free(a->blocks[i].signature);
    }
    cJSON_Delete(a->base);
    cJSON_Delete(a->usage);
    cJSON_Delete(a->timings);
    pm_buf_release(&a->content);
    pm_buf_release(&a->reasoning);
    free(a->calls);
    free(a->blocks);
    free(a->finish);
    free(a);
}

static void add_string(struct pm_buf *out, const cJSON *object, const char *key)
{
    const char *text = pm_json_str(object, key);
    if (text)
        pm_buf_add(out, text);
}

static void keep(cJSON **field, const cJSON *root, const char *key)
{
    const cJSON *item = pm_json_get(root, key);
    if (!item || cJSON_IsNull(item))
        return;
    cJSON_Delete(*field);
    *field = cJSON_Duplicate(item, true);
}

static void keep_text(char **field, const char *text)
{
    if (!text)
        return;
    free(*field);
    *field = pm_strdup(text);
}

static void take_call(struct pm_assembly *a, const cJSON *delta)
{
    double index = pm_json_num(delta, "index", 0);
    if (index < 0 || index >= CALLS_MAX)
        return;
    while (a->n_calls <= (size_t)index) {
        a->calls = pm_realloc(a->calls, a->n_calls + 1, sizeof(*a->calls));
        a->calls[a->n_calls] = (struct call){0};
        pm_buf_init(&a->calls[a->n_calls++].arguments, TEXT_MAX);
    }
    struct call *call = &a->calls[(size_t)index];
    const cJSON *function = pm_json_get(delta, "function");
    keep_text(&call->id, pm_json_str(delta, "id"));
    keep_text(&call->name, pm_json_str(function, "name"));
    add_string(&call->arguments, function, "arguments");
}

static void take_chat(struct pm_assembly *a, cJSON *root)
{
    const cJSON *choice = cJSON_GetArrayItem(pm_json_get(root, "choices"), 0), *call;
    const cJSON *delta = pm_json_get(choice, "delta");
    add_string(&a->content, delta, "content");
    add_string(&a->content, choice, "text");
    add_string(&a->reasoning, delta, "reasoning_content");
    cJSON_ArrayForEach (call, pm_json_get(delta, "tool_calls"))
        take_call(a, call);
    keep_text(&a->finish, pm_json_str(choice, "finish_reason"));
    keep(&a->usage, root, "usage");
    keep(&a->timings, root, "timings");
    a->ended |= a->finish != NULL;
    if (!a->base)
        a->base = cJSON_Duplicate(root, true);
}

static struct block *block_at(struct pm_assembly *a, const cJSON *root)
{
    double index = pm_json_num(root, "index", -1);
    return index >= 0 && index < (double)a->n_blocks ? &a->blocks[(size_t)index] : NULL;
}

static void start_block(struct pm_assembly *a, const cJSON *root)
{
    double index = pm_json_num(root, "index", -1);
    if (index != (double)a->n_blocks || a->n_blocks == BLOCKS_MAX)
        return;
    a->blocks = pm_realloc(a->blocks, a->n_blocks + 1, sizeof(*a->blocks));
    struct block *b = &a->blocks[a->n_blocks++];
    *b = (struct block){.start = cJSON_Duplicate(pm_json_get(root, "content_block"), true)};
    pm_buf_init(&b->text, TEXT_MAX);
}

static void take_delta(struct pm_assembly *a, const cJSON *root)
{
    struct block *b = block_at(a, root);
    const cJSON *delta = pm_json_get(root, "delta");
    if (!b)
        return;
    add_string(&b->text, delta, "text");
    add_string(&b->text, delta, "thinking");
    add_string(&b->text, delta, "partial_json");
    keep_text(&b->signature, pm_json_str(delta, "signature"));
}

static void replace(cJSON *object, const char *key, cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    cJSON_AddItemToObject(object, key, value);
}

/* Members of `from` replace those of `to`. */
static void merge(cJSON *to, const cJSON *from)
{
    const cJSON *item;
    if (!cJSON_IsObject(to) || !cJSON_IsObject(from))
        return;
    cJSON_ArrayForEach (item, from)
        replace(to, item->string, cJSON_Duplicate(item, true));
}

/* message_delta: the end's fields replace those of the start, its usage is cumulative. */
static void take_message_delta(struct pm_assembly *a, const cJSON *root)
{
    const cJSON *usage = pm_json_get(root, "usage");
    merge(a->base, pm_json_get(root, "delta"));
    if (!cJSON_IsObject(pm_json_get(a->base, "usage")) && cJSON_IsObject(usage))
        replace(a->base, "usage", cJSON_CreateObject());
    merge(cJSON_GetObjectItemCaseSensitive(a->base, "usage"), usage);
}

static void take_message(struct pm_assembly *a, const char *type, const cJSON *root)
{
    if (strcmp(type, "message_start") == 0 && !a->base && cJSON_IsObject(pm_json_get(root, "message")))
        a->base = cJSON_Duplicate(pm_json_get(root, "message"), true);
    else if (strcmp(type, "content_block_start") == 0)
        start_block(a, root);
    else if (strcmp(type, "content_block_delta") == 0)
        take_delta(a, root);
    else if (strcmp(type, "message_delta") == 0 && a->base)
        take_message_delta(a, root);
    else if (strcmp(type, "message_stop") == 0)
        a->ended = a->base != NULL;
}

static void take_response(struct pm_assembly *a, const char *type, const cJSON *root)
{
    if (strcmp(type, "response.completed") != 0 && strcmp(type, "response.incomplete") != 0)
        return;
    if (cJSON_IsObject(pm_json_get(root, "response")))
        keep(&a->base, root, "response");
    a->ended = a->base != NULL;
}

void pm_assembly_event(struct pm_assembly *a, const char *name, const char *data, size_t len)
{
    cJSON *root = len ? cJSON_ParseWithLength(data, len) : NULL;
    const char *type = pm_json_str(root, "type");
    if (!type)
        type = name;
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return;
    }
    if (a->protocol == PM_PROTO_MESSAGES)
        take_message(a, type, root);
    else if (a->protocol == PM_PROTO_RESPONSES)
        take_response(a, type, root);
    else
        take_chat(a, root);
    cJSON_Delete(root);
}

static cJSON *calls_json(const struct pm_assembly *a)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < a->n_calls; i++) {
        const struct call *c = &a->calls[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "type", "function");
        cJSON *function = cJSON_AddObjectToObject(item, "function");
        cJSON_AddStringToObject(function, "name", c->name ? c->name : "");
        cJSON_AddStringToObject(function, "arguments", c->arguments.data);
        cJSON_AddStringToObject(item, "id", c->id ? c->id : "");
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

static cJSON *chat_choice(const struct pm_assembly *a)
{
    cJSON *choice = cJSON_CreateObject();
    cJSON_AddStringToObject(choice, "finish_reason", a->finish);
    cJSON_AddNumberToObject(choice, "index", 0);
    if (a->protocol == PM_PROTO_COMPLETIONS) {
        cJSON_AddStringToObject(choice, "text", a->content.data);
        cJSON_AddNullToObject(choice, "logprobs");
        return choice;
    }
    cJSON *message = cJSON_AddObjectToObject(choice, "message");
    cJSON_AddStringToObject(message, "role", "assistant");
    if (a->content.len || !a->n_calls)
        cJSON_AddStringToObject(message, "content", a->content.data);
    else
        cJSON_AddNullToObject(message, "content");
    if (a->reasoning.len)
        cJSON_AddStringToObject(message, "reasoning_content", a->reasoning.data);
    if (a->n_calls)
        cJSON_AddItemToObject(message, "tool_calls", calls_json(a));
    return choice;
}

static void finish_chat(struct pm_assembly *a)
{
    cJSON *choices = cJSON_CreateArray();
    cJSON_AddItemToArray(choices, chat_choice(a));
    cJSON_DeleteItemFromObjectCaseSensitive(a->base, "prompt_progress");
    replace(a->base, "choices", choices);
    replace(a->base, "object",
            cJSON_CreateString(a->protocol == PM_PROTO_CHAT ? "chat.completion" : "text_completion"));
    struct {
        const char *key;
        cJSON **value;
    } ends[] = {{"usage", &a->usage}, {"timings", &a->timings}};
    for (size_t i = 0; i < 2; i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(a->base, ends[i].key);
        if (*ends[i].value)
            cJSON_AddItemToObject(a->base, ends[i].key, *ends[i].value);
        *ends[i].value = NULL;
    }
}

static void finish_messages(struct pm_assembly *a)
{
    cJSON *content = cJSON_CreateArray();
    for (size_t i = 0; i < a->n_blocks; i++) {
        struct block *b = &a->blocks[i];
        const char *type = pm_json_str(b->start, "type");
        if (type && strcmp(type, "tool_use") == 0) {
            cJSON *input = cJSON_Parse(b->text.data);
            replace(b->start, "input", input ? input : cJSON_CreateObject());
        } else if (type && strcmp(type, "thinking") == 0) {
            replace(b->start, "thinking", cJSON_CreateString(b->text.data));
            replace(b->start, "signature", cJSON_CreateString(b->signature ? b->signature : ""));
        } else if (type) {
            replace(b->start, "text", cJSON_CreateString(b->text.data));
        }
        if (b->start)
            cJSON_AddItemToArray(content, b->start);
        b->start = NULL;
    }
    replace(a->base, "content", content);
}

char *pm_assembly_body(struct pm_assembly *a)
{
    if (!a->ended || !a->base)
        return NULL;
    if (a->protocol == PM_PROTO_MESSAGES)
        finish_messages(a);
    else if (a->protocol != PM_PROTO_RESPONSES)
        finish_chat(a);
    return pm_json_text(a->base);
}
