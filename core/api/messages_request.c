/* Requests of Anthropic's messages. */
#include "core/api/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

/* The API demands a limit; this one every current model allows. */
enum { MAX_TOKENS_UNSAID = 32000 };

static const struct pm_field fields[] = {
    {"model", PM_FIELD_READ},         {"messages", PM_FIELD_READ},       {"system", PM_FIELD_READ},
    {"stream", PM_FIELD_READ},        {"max_tokens", PM_FIELD_READ},     {"tools", PM_FIELD_READ},
    {"tool_choice", PM_FIELD_READ},   {"temperature", PM_FIELD_READ},    {"top_p", PM_FIELD_READ},
    {"top_k", PM_FIELD_READ},         {"stop_sequences", PM_FIELD_READ}, {"thinking", PM_FIELD_READ},
    {"output_config", PM_FIELD_READ}, {"output_format", PM_FIELD_READ},  {"metadata", PM_FIELD_READ},
    {"cache_control", PM_FIELD_READ}, {"container", PM_FIELD_REFUSED},   {"mcp_servers", PM_FIELD_REFUSED},
};

/* --- reading --- */

static int read_source(struct pm_canon *c, const cJSON *block, struct pm_part *p, const char *where, size_t i,
                       struct pm_error *err)
{
    const cJSON *source = pm_json_get(block, "source");
    const char *type = pm_json_str(source, "type");
    if (!type)
        type = "(none)";
    p->name = pm_json_str(block, "title");
    p->where = pm_canon_path(c, where, i);
    if (strcmp(type, "base64") == 0) {
        p->media = pm_json_str(source, "media_type");
        p->data = pm_json_str(source, "data");
    } else if (strcmp(type, "url") == 0) {
        p->url = pm_json_str(source, "url");
    } else if (strcmp(type, "text") == 0) {
        *p = (struct pm_part){.kind = PM_PART_TEXT, .text = pm_json_str(source, "data")};
        return PM_OK;
    }
    if (!p->data && !p->url)
        return pm_error_set(err, PM_EINVAL,
                            "`%s[%zu].source`: a source of type %.60s is not known to another provider", where, i,
                            type);
    return PM_OK;
}

static int read_blocks(struct pm_canon *c, const cJSON *content, struct pm_parts *to, const char *where,
                       struct pm_error *err);

static int read_result(struct pm_canon *c, const cJSON *block, struct pm_parts *to, const char *where, size_t i,
                       struct pm_error *err)
{
    char inner[96];
    struct pm_part *p = pm_parts_add(to, PM_PART_RESULT);
    snprintf(inner, sizeof(inner), "%.60s[%zu].content", where, i);
    p->id = pm_json_str(block, "tool_use_id");
    p->is_error = pm_json_true(block, "is_error");
    return read_blocks(c, pm_json_get(block, "content"), &p->content, inner, err);
}

static int read_block(struct pm_canon *c, const cJSON *block, struct pm_parts *to, const char *where, size_t i,
                      struct pm_error *err)
{
    const char *type = pm_json_str(block, "type");
    if (!type)
        type = "(none)";
    if (strcmp(type, "text") == 0) {
        pm_parts_add(to, PM_PART_TEXT)->text = pm_json_str(block, "text");
    } else if (strcmp(type, "image") == 0 || strcmp(type, "document") == 0) {
        return read_source(c, block, pm_parts_add(to, *type == 'i' ? PM_PART_IMAGE : PM_PART_DOCUMENT), where, i, err);
    } else if (strcmp(type, "thinking") == 0) {
        struct pm_part *p = pm_parts_add(to, PM_PART_THINKING);
        p->text = pm_json_str(block, "thinking");
        p->signature = pm_json_str(block, "signature");
    } else if (strcmp(type, "redacted_thinking") == 0) {
        pm_canon_drop(c, "thinking");
    } else if (strcmp(type, "tool_use") == 0) {
        struct pm_part *p = pm_parts_add(to, PM_PART_CALL);
        p->id = pm_json_str(block, "id");
        p->name = pm_json_str(block, "name");
        p->text = pm_canon_own(c, pm_json_text(pm_json_get(block, "input")));
        if (!p->id || !p->name)
            return pm_error_set(err, PM_EINVAL, "`%s[%zu]`: a tool_use needs an id and a name", where, i);
    } else if (strcmp(type, "tool_result") == 0) {
        return read_result(c, block, to, where, i, err);
    } else {
        return pm_error_set(err, PM_EINVAL, "`%s[%zu].type`: blocks of type %.60s cannot be translated", where, i,
                            type);
    }
    return PM_OK;
}

static int read_blocks(struct pm_canon *c, const cJSON *content, struct pm_parts *to, const char *where,
                       struct pm_error *err)
{
    c->has_cache_marks |= pm_json_has_cache_mark(content);
    return pm_codec_read_content(c, content, to, where, read_block, err);
}

/* Calls and thoughts are the assistant's, results the user's. */
static int check_parts(const struct pm_parts *parts, bool assistant, bool inner, const char *where,
                       struct pm_error *err)
{
    for (size_t i = 0; i < parts->n; i++) {
        const struct pm_part *p = &parts->items[i];
        bool its = p->kind == PM_PART_CALL || p->kind == PM_PART_THINKING;
        if ((its && !assistant) || (p->kind == PM_PART_RESULT && (assistant || inner)))
            return pm_error_set(err, PM_EINVAL, "`%s[%zu].type`: a block of that type cannot stand there", where, i);
        if (check_parts(&p->content, false, true, where, err) < 0)
            return PM_EINVAL;
    }
    return PM_OK;
}

static int read_messages(struct pm_canon *c, struct pm_error *err)
{
    const cJSON *message;
    size_t i = 0;
    int rc = PM_OK;
    cJSON_ArrayForEach (message, pm_json_get(c->tree, "messages")) {
        char where[48];
        const char *role = pm_json_str(message, "role");
        enum pm_role r = strcmp(role, "assistant") == 0                                  ? PM_ROLE_ASSISTANT
                         : strcmp(role, "system") == 0 || strcmp(role, "developer") == 0 ? PM_ROLE_SYSTEM
                                                                                         : PM_ROLE_USER;
        struct pm_turn *turn = r == PM_ROLE_SYSTEM ? pm_canon_turn(c, r) : pm_canon_same_turn(c, r);
        snprintf(where, sizeof(where), "messages[%zu].content", i++);
        if ((rc = read_blocks(c, pm_json_get(message, "content"), &turn->parts, where, err)) < 0 ||
            (rc = check_parts(&turn->parts, r == PM_ROLE_ASSISTANT, false, where, err)) < 0)
            return rc;
    }
    return rc;
}

static int read_system(struct pm_canon *c, struct pm_error *err)
{
    const cJSON *system = pm_json_get(c->tree, "system");
    struct pm_turn *turn;
    if (!system || cJSON_IsNull(system))
        return PM_OK;
    turn = pm_canon_turn(c, PM_ROLE_SYSTEM);
    int rc = read_blocks(c, system, &turn->parts, "system", err);
    if (rc == PM_OK && turn->parts.n && turn->parts.items[0].text && pm_api_is_nonce(turn->parts.items[0].text)) {
        memmove(turn->parts.items, turn->parts.items + 1, (turn->parts.n - 1) * sizeof(*turn->parts.items));
        turn->parts.n--;
    }
    return rc;
}

static void read_tools(struct pm_canon *c)
{
    const cJSON *tool;
    c->has_cache_marks |= pm_json_has_cache_mark(pm_json_get(c->tree, "tools"));
    cJSON_ArrayForEach (tool, pm_json_get(c->tree, "tools")) {
        const char *name = pm_json_str(tool, "name"), *type = pm_json_str(tool, "type");
        const cJSON *schema = pm_json_get(tool, "input_schema");
        if (!name || (type && strcmp(type, "custom") != 0)) {
            char what[80];
            snprintf(what, sizeof(what), "tools.%.60s", name ? name : "(nameless)");
            pm_canon_drop(c, what);
            continue;
        }
        struct pm_tool *t = pm_canon_tool(c, name);
        t->description = pm_json_str(tool, "description");
        t->schema = schema;
    }
    const cJSON *choice = pm_json_get(c->tree, "tool_choice"),
                *single = pm_json_get(choice, "disable_parallel_tool_use");
    const char *word = pm_json_str(choice, "type");
    if (!word)
        word = "";
    c->choice = strcmp(word, "auto") == 0   ? PM_CHOICE_AUTO
                : strcmp(word, "any") == 0  ? PM_CHOICE_REQUIRED
                : strcmp(word, "none") == 0 ? PM_CHOICE_NONE
                : strcmp(word, "tool") == 0 ? PM_CHOICE_NAMED
                                            : PM_CHOICE_UNSAID;
    c->choice_name = pm_json_str(choice, "name");
    if (c->choice == PM_CHOICE_NAMED && !c->choice_name)
        c->choice = PM_CHOICE_REQUIRED;
    if (cJSON_IsBool(single))
        c->parallel = !cJSON_IsTrue(single);
}

static void read_thinking(struct pm_canon *c)
{
    const cJSON *thinking = pm_json_get(c->tree, "thinking"), *config = pm_json_get(c->tree, "output_config");
    const char *type = pm_json_str(thinking, "type");
    enum pm_effort said = pm_effort_of_word(pm_json_str(config, "effort"));
    if (!type)
        return;
    if (strcmp(type, "enabled") == 0) {
        c->budget = pm_codec_count(thinking, "budget_tokens");
        c->effort = pm_effort_of_budget((double)c->budget);
    } else if (strcmp(type, "adaptive") == 0) {
        c->effort = said ? said : PM_EFFORT_MEDIUM;
    } else if (strcmp(type, "disabled") == 0) {
        c->effort = PM_EFFORT_NONE;
    }
}

int pm_messages_read(struct pm_canon *c, struct pm_error *err)
{
    int rc = pm_canon_check_fields(c, fields, sizeof(fields) / sizeof(*fields), err);
    if (rc < 0 || (rc = read_system(c, err)) < 0 || (rc = read_messages(c, err)) < 0)
        return rc;
    read_tools(c);
    read_thinking(c);
    c->max_tokens = pm_codec_count(c->tree, "max_tokens");
    c->temperature = pm_json_get(c->tree, "temperature");
    c->top_p = pm_json_get(c->tree, "top_p");
    c->top_k = pm_json_get(c->tree, "top_k");
    pm_codec_read_stops(c, "stop_sequences");
    const cJSON *format = pm_json_get(pm_json_get(c->tree, "output_config"), "format");
    if (!format)
        format = pm_json_get(c->tree, "output_format");
    pm_codec_read_format(c, format, format);
    c->user = pm_json_str(pm_json_get(c->tree, "metadata"), "user_id");
    if (c->has_cache_marks || pm_json_get(c->tree, "cache_control"))
        pm_canon_drop(c, "cache_control");
    return rc;
}

/* --- writing --- */

static void write_source(const struct pm_part *p, cJSON *block, const char *fallback_media)
{
    cJSON *source = cJSON_AddObjectToObject(block, "source");
    pm_codec_text(source, "type", p->url ? "url" : "base64");
    if (p->url) {
        pm_codec_text(source, "url", p->url);
        return;
    }
    pm_codec_text(source, "media_type", p->media ? p->media : fallback_media);
    pm_codec_text(source, "data", p->data);
}

static int write_parts(struct pm_canon *c, const struct pm_parts *parts, cJSON *list, struct pm_error *err);

static int write_result(struct pm_canon *c, const struct pm_part *p, cJSON *block, struct pm_error *err)
{
    pm_codec_text(block, "type", "tool_result");
    pm_codec_text(block, "tool_use_id", p->id);
    if (p->is_error)
        cJSON_AddTrueToObject(block, "is_error");
    return write_parts(c, &p->content, cJSON_AddArrayToObject(block, "content"), err);
}

static void write_call(struct pm_canon *c, const struct pm_part *p, cJSON *block)
{
    char name[PM_WIRE_NAME_SIZE];
    cJSON *input = cJSON_Parse(pm_codec_arguments(c, p));
    pm_wire_name(p->space, p->name, name);
    pm_codec_text(block, "type", "tool_use");
    pm_codec_text(block, "id", p->id);
    cJSON_AddStringToObject(block, "name", name);
    if (!cJSON_IsObject(input)) {
        /* Not an object, or not JSON at all: the model's own words are kept. */
        cJSON_Delete(input);
        input = cJSON_CreateObject();
        pm_codec_text(input, "input", p->text ? p->text : "");
    }
    cJSON_AddItemToObject(block, "input", input);
}

static int write_parts(struct pm_canon *c, const struct pm_parts *parts, cJSON *list, struct pm_error *err)
{
    int rc = PM_OK;
    for (size_t i = 0; i < parts->n && rc == PM_OK; i++) {
        const struct pm_part *p = &parts->items[i];
        cJSON *block = cJSON_CreateObject();
        switch (p->kind) {
        case PM_PART_TEXT:
            /* A text block in which nothing can be seen is refused there. */
            if (pm_codec_says(p->text)) {
                pm_codec_text(block, "type", "text");
                pm_codec_text(block, "text", p->text);
            }
            break;
        case PM_PART_IMAGE:
        case PM_PART_DOCUMENT:
            pm_codec_text(block, "type", p->kind == PM_PART_IMAGE ? "image" : "document");
            write_source(p, block, p->kind == PM_PART_IMAGE ? "image/png" : "application/pdf");
            pm_codec_text(block, "title", p->name);
            break;
        case PM_PART_AUDIO:
            rc = pm_error_set(err, PM_EINVAL, "`%s`: audio cannot be said in the messages API", p->where);
            break;
        case PM_PART_THINKING:
            if (p->signature && *p->signature) {
                pm_codec_text(block, "type", "thinking");
                pm_codec_text(block, "thinking", p->text);
                pm_codec_text(block, "signature", p->signature);
            } else {
                pm_canon_drop(c, "thinking");
            }
            break;
        case PM_PART_CALL:
            write_call(c, p, block);
            break;
        case PM_PART_RESULT:
            rc = write_result(c, p, block, err);
            break;
        }
        if (block->child)
            cJSON_AddItemToArray(list, block);
        else
            cJSON_Delete(block);
    }
    return rc;
}

/* Neighbours of one role become one message, since roles must alternate. */
static int write_messages(struct pm_canon *c, cJSON *body, struct pm_error *err)
{
    cJSON *messages = cJSON_AddArrayToObject(body, "messages"), *content = NULL;
    enum pm_role last = PM_ROLE_SYSTEM;
    int rc = PM_OK;
    for (size_t i = 0; i < c->n_turns && rc == PM_OK; i++) {
        const struct pm_turn *turn = &c->turns[i];
        if (turn->role == PM_ROLE_SYSTEM)
            continue;
        if (turn->role != last || !content) {
            cJSON *message = cJSON_CreateObject();
            pm_codec_text(message, "role", turn->role == PM_ROLE_USER ? "user" : "assistant");
            content = cJSON_AddArrayToObject(message, "content");
            cJSON_AddItemToArray(messages, message);
            last = turn->role;
        }
        rc = write_parts(c, &turn->parts, content, err);
    }
    /* One whose only blocks could not be carried over. */
    for (cJSON *m = messages->child, *before = NULL, *next; m; m = next) {
        cJSON *blocks = cJSON_GetObjectItemCaseSensitive(m, "content");
        next = m->next;
        if (before && strcmp(pm_json_str(before, "role"), pm_json_str(m, "role")) == 0)
            while (blocks->child)
                cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(before, "content"),
                                     cJSON_DetachItemFromArray(blocks, 0));
        if (blocks->child)
            before = m;
        else
            cJSON_Delete(cJSON_DetachItemViaPointer(messages, m));
    }
    return rc;
}

static void write_tools(struct pm_canon *c, cJSON *body)
{
    static const char *const words[] = {[PM_CHOICE_UNSAID] = "auto",
                                        [PM_CHOICE_AUTO] = "auto",
                                        [PM_CHOICE_REQUIRED] = "any",
                                        [PM_CHOICE_NONE] = "none",
                                        [PM_CHOICE_NAMED] = "tool"};
    if (!c->n_tools)
        return;
    cJSON *tools = cJSON_AddArrayToObject(body, "tools");
    for (size_t i = 0; i < c->n_tools; i++) {
        cJSON *tool = cJSON_CreateObject();
        pm_codec_tool(&c->tools[i], tool, "input_schema");
        cJSON *schema = cJSON_GetObjectItemCaseSensitive(tool, "input_schema");
        if (!pm_json_get(schema, "type"))
            pm_codec_text(schema, "type", "object");
        cJSON_AddItemToArray(tools, tool);
    }
    if (c->choice == PM_CHOICE_UNSAID && c->parallel != 0)
        return;
    cJSON *choice = cJSON_AddObjectToObject(body, "tool_choice");
    pm_codec_text(choice, "type", words[c->choice]);
    if (c->choice == PM_CHOICE_NAMED)
        pm_codec_text(choice, "name", pm_codec_choice_name(c));
    if (c->parallel >= 0 && c->choice != PM_CHOICE_NONE)
        cJSON_AddBoolToObject(choice, "disable_parallel_tool_use", !c->parallel);
}

/* In the middle of a tool loop the API wants the thoughts that led to the calls, with their signature. */
static bool calls_without_thoughts(const struct pm_canon *c)
{
    for (size_t i = c->n_turns; i-- > 0;) {
        const struct pm_turn *turn = &c->turns[i];
        if (turn->role != PM_ROLE_ASSISTANT)
            continue;
        bool is_signed = false;
        for (size_t k = 0; k < turn->parts.n; k++)
            is_signed |= turn->parts.items[k].kind == PM_PART_THINKING && turn->parts.items[k].signature &&
                         *turn->parts.items[k].signature;
        return pm_parts_have(&turn->parts, PM_PART_CALL) && !is_signed;
    }
    return false;
}

/* Returns the budget, 0 for no thinking. Within the target's limit half is for thinking at most. */
static long long write_thinking(struct pm_canon *c, const struct pm_codec_target *t, cJSON *body)
{
    long long budget = c->budget >= 1024 ? c->budget : pm_effort_budget(c->effort);
    if (c->effort < PM_EFFORT_MINIMAL)
        return 0;
    if (t->max_tokens && budget > t->max_tokens / 2)
        budget = t->max_tokens / 2;
    if (budget < 1024 || c->choice == PM_CHOICE_REQUIRED || c->choice == PM_CHOICE_NAMED ||
        calls_without_thoughts(c)) {
        pm_canon_drop(c, "reasoning_effort");
        return 0;
    }
    cJSON *thinking = cJSON_AddObjectToObject(body, "thinking");
    pm_codec_text(thinking, "type", "enabled");
    cJSON_AddNumberToObject(thinking, "budget_tokens", (double)budget);
    return budget;
}

static void write_sampling(struct pm_canon *c, cJSON *body, bool thinks)
{
    const cJSON *t = c->temperature;
    if (thinks) {
        /* Thinking wants the default temperature. */
        if (t && !cJSON_IsNull(t))
            pm_canon_drop(c, "temperature");
    } else if (cJSON_IsNumber(t) && t->valuedouble > 1) {
        cJSON_AddNumberToObject(body, "temperature", 1);
        pm_canon_drop(c, "temperature");
    } else if (cJSON_IsNumber(t)) {
        pm_codec_copy(body, "temperature", t);
    }
    /* One of the two is what newer models take. */
    if (cJSON_IsNumber(c->top_p) && !thinks && !cJSON_IsNumber(t))
        pm_codec_copy(body, "top_p", c->top_p);
    else if (cJSON_IsNumber(c->top_p))
        pm_canon_drop(c, "top_p");
    if (cJSON_IsNumber(c->top_k) && !thinks)
        pm_codec_copy(body, "top_k", c->top_k);
    else if (cJSON_IsNumber(c->top_k))
        pm_canon_drop(c, "top_k");
    pm_codec_drop_sampling(c, PM_SAMPLING_SEED | PM_SAMPLING_PENALTIES);
}

/* The API takes only schemas whose objects have no members but those named. False where one says that it may. */
static bool close_objects(cJSON *schema)
{
    bool good = true;
    cJSON *child;
    const char *type = cJSON_IsObject(schema) ? pm_json_str(schema, "type") : NULL;
    if (type && strcmp(type, "object") == 0) {
        const cJSON *more = pm_json_get(schema, "additionalProperties");
        if (!more)
            cJSON_AddFalseToObject(schema, "additionalProperties");
        else if (!cJSON_IsFalse(more))
            return false;
    }
    cJSON_ArrayForEach (child, schema)
        good &= close_objects(child);
    return good;
}

static void write_format(struct pm_canon *c, cJSON *body)
{
    cJSON *schema = c->schema ? cJSON_Duplicate(c->schema, true) : NULL;
    if (schema && close_objects(schema)) {
        cJSON *format = cJSON_AddObjectToObject(cJSON_AddObjectToObject(body, "output_config"), "format");
        pm_codec_text(format, "type", "json_schema");
        cJSON_AddItemToObject(format, "schema", schema);
        return;
    }
    cJSON_Delete(schema);
    if (c->schema || c->json_object)
        pm_canon_drop(c, "response_format");
}

/* Somebody must have spoken: where there is only a system text, it is the user's. */
static int need_messages(cJSON *body, const char *system, struct pm_error *err)
{
    cJSON *messages = cJSON_GetObjectItemCaseSensitive(body, "messages");
    if (messages->child)
        return PM_OK;
    if (!pm_codec_says(system))
        return pm_error_set(err, PM_EINVAL, "nothing was said that could be answered");
    cJSON *message = cJSON_CreateObject();
    pm_codec_text(message, "role", "user");
    pm_codec_text(message, "content", system);
    cJSON_AddItemToArray(messages, message);
    cJSON_DeleteItemFromObjectCaseSensitive(body, "system");
    return PM_OK;
}

cJSON *pm_messages_write(struct pm_canon *c, const struct pm_codec_target *t, struct pm_error *err)
{
    cJSON *body = cJSON_CreateObject();
    pm_codec_text(body, "model", t->model);
    const char *system = pm_canon_own(c, pm_canon_system(c));
    pm_codec_text(body, "system", system);
    if (write_messages(c, body, err) < 0 || need_messages(body, system, err) < 0) {
        cJSON_Delete(body);
        return NULL;
    }
    cJSON_AddTrueToObject(body, "stream");
    write_tools(c, body);
    long long budget = write_thinking(c, t, body), limit = pm_codec_limit(c, t);
    if (!limit)
        limit = MAX_TOKENS_UNSAID;
    if (limit <= budget)
        limit += budget;
    if (t->max_tokens && limit > t->max_tokens)
        limit = t->max_tokens;
    cJSON_AddNumberToObject(body, "max_tokens", (double)limit);
    write_sampling(c, body, budget > 0);
    pm_codec_write_stops(c, body, "stop_sequences");
    write_format(c, body);
    if (c->user)
        pm_codec_text(cJSON_AddObjectToObject(body, "metadata"), "user_id", c->user);
    return body;
}
