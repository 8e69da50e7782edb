/* Requests of OpenAI's responses. */
#include "core/api/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

/* OpenAI refuses a smaller limit. */
enum { LEAST_OUTPUT_TOKENS = 16 };

static const struct pm_field fields[] = {
    {"model", PM_FIELD_READ},
    {"input", PM_FIELD_READ},
    {"instructions", PM_FIELD_READ},
    {"stream", PM_FIELD_READ},
    {"tools", PM_FIELD_READ},
    {"tool_choice", PM_FIELD_READ},
    {"parallel_tool_calls", PM_FIELD_READ},
    {"max_output_tokens", PM_FIELD_READ},
    {"temperature", PM_FIELD_READ},
    {"top_p", PM_FIELD_READ},
    {"reasoning", PM_FIELD_READ},
    {"text", PM_FIELD_READ},
    {"user", PM_FIELD_READ},
    {"store", PM_FIELD_IDLE},
    {"include", PM_FIELD_IDLE},
    {"client_metadata", PM_FIELD_IDLE},
    {"truncation", PM_FIELD_IDLE},
    {"stream_options", PM_FIELD_IDLE},
    {"prompt_cache_key", PM_FIELD_IDLE},
    {"previous_response_id", PM_FIELD_REFUSED},
    {"conversation", PM_FIELD_REFUSED},
    {"background", PM_FIELD_REFUSED},
    {"prompt", PM_FIELD_REFUSED},
    {"top_logprobs", PM_FIELD_REFUSED},
};

static bool is(const char *type, const char *word)
{
    return strcmp(type, word) == 0;
}

/* --- reading --- */

static int read_part(struct pm_canon *c, const cJSON *part, struct pm_parts *to, const char *where, size_t i,
                     struct pm_error *err)
{
    const char *type = pm_json_str(part, "type");
    if (!type)
        type = "(none)";
    if (is(type, "input_text") || is(type, "output_text") || is(type, "text")) {
        pm_parts_add(to, PM_PART_TEXT)->text = pm_json_str(part, "text");
        return PM_OK;
    }
    if (is(type, "refusal")) {
        pm_parts_add(to, PM_PART_TEXT)->text = pm_json_str(part, "refusal");
        return PM_OK;
    }
    const char *url = is(type, "input_image")  ? pm_json_str(part, "image_url")
                      : is(type, "input_file") ? pm_json_str(part, "file_data")
                                               : NULL;
    if (!url && is(type, "input_file"))
        url = pm_json_str(part, "file_url");
    if (url) {
        struct pm_part *p = pm_parts_add(to, is(type, "input_image") ? PM_PART_IMAGE : PM_PART_DOCUMENT);
        p->where = pm_canon_path(c, where, i);
        p->name = pm_json_str(part, "filename");
        pm_part_set_url(c, p, url);
        return PM_OK;
    }
    if (is(type, "input_image") || is(type, "input_file"))
        return pm_error_set(err, PM_EINVAL, "`%s[%zu]`: a file of one provider is not known to another: send its data",
                            where, i);
    return pm_error_set(err, PM_EINVAL, "`%s[%zu].type`: parts of type %.60s cannot be translated", where, i, type);
}

/* Thoughts as they are, or their summary, where the provider shows no more. */
static void read_reasoning(struct pm_canon *c, const cJSON *item)
{
    const char *keys[] = {"content", "summary"};
    struct pm_buf text;
    const cJSON *part;
    pm_buf_init(&text, PM_BUF_OWN_LIMIT);
    for (size_t k = 0; k < 2 && !text.len; k++)
        cJSON_ArrayForEach (part, pm_json_get(item, keys[k])) {
            if (text.len)
                pm_buf_add(&text, "\n\n");
            pm_buf_add(&text, pm_json_str(part, "text") ? pm_json_str(part, "text") : "");
        }
    if (text.len)
        pm_parts_add(&pm_canon_same_turn(c, PM_ROLE_ASSISTANT)->parts, PM_PART_THINKING)->text =
            pm_canon_own(c, pm_buf_take(&text));
    else
        pm_buf_release(&text);
}

static int read_call(struct pm_canon *c, const cJSON *item, bool custom, const char *where, struct pm_error *err)
{
    struct pm_part *p = pm_parts_add(&pm_canon_same_turn(c, PM_ROLE_ASSISTANT)->parts, PM_PART_CALL);
    p->id = pm_json_str(item, "call_id");
    p->name = pm_json_str(item, "name");
    p->space = pm_json_str(item, "namespace");
    p->text = pm_json_str(item, custom ? "input" : "arguments");
    p->is_custom = custom;
    if (!p->id || !p->name)
        return pm_error_set(err, PM_EINVAL, "`%s`: a call needs a call_id and a name", where);
    return PM_OK;
}

static int read_message(struct pm_canon *c, const cJSON *item, const char *where, struct pm_error *err)
{
    const char *role = pm_json_str(item, "role");
    char inner[48];
    snprintf(inner, sizeof(inner), "%.30s.content", where);
    if (!role)
        return pm_error_set(err, PM_EINVAL, "`%s.role` is missing", where);
    struct pm_turn *turn = is(role, "assistant")                         ? pm_canon_same_turn(c, PM_ROLE_ASSISTANT)
                           : is(role, "system") || is(role, "developer") ? pm_canon_turn(c, PM_ROLE_SYSTEM)
                                                                         : pm_canon_same_turn(c, PM_ROLE_USER);
    return pm_codec_read_content(c, pm_json_get(item, "content"), &turn->parts, inner, read_part, err);
}

static void add_tool(struct pm_canon *c, const cJSON *tool, const char *space);

static int read_item(struct pm_canon *c, const cJSON *item, size_t index, struct pm_error *err)
{
    char where[32];
    const char *type = pm_json_str(item, "type");
    const cJSON *tool;
    snprintf(where, sizeof(where), "input[%zu]", index);
    if (!type || is(type, "message"))
        return read_message(c, item, where, err);
    if (is(type, "function_call") || is(type, "custom_tool_call"))
        return read_call(c, item, *type == 'c', where, err);
    if (is(type, "function_call_output") || is(type, "custom_tool_call_output")) {
        struct pm_part *p = pm_parts_add(&pm_canon_same_turn(c, PM_ROLE_USER)->parts, PM_PART_RESULT);
        char inner[48];
        snprintf(inner, sizeof(inner), "%s.output", where);
        p->id = pm_json_str(item, "call_id");
        return pm_codec_read_content(c, pm_json_get(item, "output"), &p->content, inner, read_part, err);
    }
    if (is(type, "reasoning")) {
        read_reasoning(c, item);
        return PM_OK;
    }
    if (is(type, "additional_tools")) {
        cJSON_ArrayForEach (tool, pm_json_get(item, "tools"))
            add_tool(c, tool, NULL);
        return PM_OK;
    }
    if (is(type, "configuration_update"))
        return PM_OK;
    return pm_error_set(err, PM_EINVAL, "`%s.type`: items of type %.60s cannot be translated", where, type);
}

static void add_tool(struct pm_canon *c, const cJSON *tool, const char *space)
{
    const char *type = pm_json_str(tool, "type"), *name = pm_json_str(tool, "name");
    const cJSON *inner;
    if (type && is(type, "namespace") && name) {
        cJSON_ArrayForEach (inner, pm_json_get(tool, "tools"))
            add_tool(c, inner, name);
        return;
    }
    bool custom = type && is(type, "custom");
    if (!name || !type || (!is(type, "function") && !custom)) {
        char what[80];
        snprintf(what, sizeof(what), "tools.%.60s", type ? type : "(none)");
        pm_canon_drop(c, what);
        return;
    }
    struct pm_tool *t = pm_canon_tool(c, name);
    t->space = space;
    t->description = pm_json_str(tool, "description");
    t->schema = pm_json_get(tool, "parameters");
    t->strict = pm_json_get(tool, "strict");
    t->is_custom = custom;
}

int pm_responses_read(struct pm_canon *c, struct pm_error *err)
{
    const cJSON *item, *input = pm_json_get(c->tree, "input"), *tool;
    const char *instructions = pm_json_str(c->tree, "instructions");
    size_t i = 0;
    int rc = pm_canon_check_fields(c, fields, sizeof(fields) / sizeof(*fields), err);
    if (instructions && *instructions)
        pm_parts_add(&pm_canon_turn(c, PM_ROLE_SYSTEM)->parts, PM_PART_TEXT)->text = instructions;
    if (cJSON_IsString(input))
        pm_parts_add(&pm_canon_turn(c, PM_ROLE_USER)->parts, PM_PART_TEXT)->text = input->valuestring;
    else
        cJSON_ArrayForEach (item, input)
            if (rc < 0 || (rc = read_item(c, item, i++, err)) < 0)
                return rc;
    cJSON_ArrayForEach (tool, pm_json_get(c->tree, "tools"))
        add_tool(c, tool, NULL);
    pm_codec_read_choice(c, pm_json_str(pm_json_get(c->tree, "tool_choice"), "name"));
    c->max_tokens = pm_codec_count(c->tree, "max_output_tokens");
    c->temperature = pm_json_get(c->tree, "temperature");
    c->top_p = pm_json_get(c->tree, "top_p");
    const cJSON *format = pm_json_get(pm_json_get(c->tree, "text"), "format");
    pm_codec_read_format(c, format, format);
    c->effort = pm_effort_of_word(pm_json_str(pm_json_get(c->tree, "reasoning"), "effort"));
    c->user = pm_json_str(c->tree, "user");
    return rc;
}

/* --- writing --- */

static cJSON *add_item(cJSON *list, const char *type)
{
    cJSON *item = cJSON_CreateObject();
    pm_codec_text(item, "type", type);
    cJSON_AddItemToArray(list, item);
    return item;
}

static int write_parts(struct pm_canon *c, const struct pm_parts *parts, bool output, cJSON *list,
                       struct pm_error *err)
{
    for (size_t i = 0; i < parts->n; i++) {
        const struct pm_part *p = &parts->items[i];
        cJSON *part;
        switch (p->kind) {
        case PM_PART_TEXT:
            part = add_item(list, output ? "output_text" : "input_text");
            pm_codec_text(part, "text", p->text ? p->text : "");
            if (output)
                cJSON_AddArrayToObject(part, "annotations");
            break;
        case PM_PART_IMAGE:
            part = add_item(list, "input_image");
            pm_codec_text(part, "image_url", pm_canon_own(c, pm_part_data_url(p)));
            pm_codec_text(part, "detail", "auto");
            break;
        case PM_PART_DOCUMENT:
            part = add_item(list, "input_file");
            if (p->url) {
                pm_codec_text(part, "file_url", p->url);
            } else {
                pm_codec_text(part, "filename", p->name ? p->name : "document.pdf");
                pm_codec_text(part, "file_data", pm_canon_own(c, pm_part_data_url(p)));
            }
            break;
        case PM_PART_AUDIO:
            return pm_error_set(err, PM_EINVAL, "`%s`: audio cannot be said in the responses API", p->where);
        default:
            break;
        }
    }
    return PM_OK;
}

static int write_result(struct pm_canon *c, const struct pm_part *p, cJSON *input, struct pm_error *err)
{
    cJSON *item = add_item(input, "function_call_output");
    pm_codec_text(item, "call_id", p->id);
    if (!pm_parts_are_text(&p->content)) {
        cJSON *output = cJSON_AddArrayToObject(item, "output");
        if (p->is_error)
            pm_codec_text(add_item(output, "input_text"), "text", "Error:");
        return write_parts(c, &p->content, false, output, err);
    }
    pm_codec_text(item, "output", pm_codec_result_text(c, p));
    return PM_OK;
}

static void write_call(struct pm_canon *c, const struct pm_part *p, cJSON *input)
{
    cJSON *item = add_item(input, "function_call");
    char name[PM_WIRE_NAME_SIZE];
    pm_wire_name(p->space, p->name, name);
    pm_codec_text(item, "call_id", p->id);
    cJSON_AddStringToObject(item, "name", name);
    pm_codec_text(item, "arguments", pm_codec_arguments(c, p));
}

/* Calls, results and thoughts are items of their own; what stands between them becomes messages. */
static int write_turn(struct pm_canon *c, const struct pm_turn *turn, cJSON *input, struct pm_error *err)
{
    bool output = turn->role == PM_ROLE_ASSISTANT;
    struct pm_parts run = {0};
    int rc = PM_OK;
    for (size_t i = 0; i <= turn->parts.n && rc == PM_OK; i++) {
        const struct pm_part *p = i < turn->parts.n ? &turn->parts.items[i] : NULL;
        bool item = p && (p->kind == PM_PART_CALL || p->kind == PM_PART_RESULT || p->kind == PM_PART_THINKING);
        if (p && !item) {
            *pm_parts_add(&run, PM_PART_TEXT) = *p;
            continue;
        }
        if (run.n) {
            cJSON *message = add_item(input, "message");
            pm_codec_text(message, "role", output ? "assistant" : "user");
            rc = write_parts(c, &run, output, cJSON_AddArrayToObject(message, "content"), err);
            run.n = 0;
        }
        if (rc < 0 || !p)
            break;
        if (p->kind == PM_PART_CALL)
            write_call(c, p, input);
        else if (p->kind == PM_PART_RESULT)
            rc = write_result(c, p, input, err);
        else
            pm_canon_drop(c, "thinking");
    }
    free(run.items);
    return rc;
}

static void write_tools(struct pm_canon *c, cJSON *body)
{
    static const char *const words[] = {
        [PM_CHOICE_AUTO] = "auto", [PM_CHOICE_REQUIRED] = "required", [PM_CHOICE_NONE] = "none"};
    if (!c->n_tools)
        return;
    cJSON *tools = cJSON_AddArrayToObject(body, "tools");
    for (size_t i = 0; i < c->n_tools; i++) {
        cJSON *tool = add_item(tools, "function");
        pm_codec_tool(&c->tools[i], tool, "parameters");
        /* Absent means true here, and would refuse schemas that are not strict. */
        if (c->tools[i].strict && !c->tools[i].is_custom)
            pm_codec_copy(tool, "strict", c->tools[i].strict);
        else
            cJSON_AddFalseToObject(tool, "strict");
    }
    if (c->choice == PM_CHOICE_NAMED) {
        cJSON *choice = cJSON_AddObjectToObject(body, "tool_choice");
        pm_codec_text(choice, "type", "function");
        pm_codec_text(choice, "name", pm_codec_choice_name(c));
    } else if (c->choice != PM_CHOICE_UNSAID) {
        pm_codec_text(body, "tool_choice", words[c->choice]);
    }
    if (c->parallel >= 0)
        cJSON_AddBoolToObject(body, "parallel_tool_calls", c->parallel);
}

static void write_format(const struct pm_canon *c, cJSON *body)
{
    if (!c->schema && !c->json_object)
        return;
    cJSON *format = cJSON_AddObjectToObject(cJSON_AddObjectToObject(body, "text"), "format");
    pm_codec_text(format, "type", c->schema ? "json_schema" : "json_object");
    if (!c->schema)
        return;
    pm_codec_text(format, "name", c->schema_name ? c->schema_name : "answer");
    pm_codec_copy(format, "schema", c->schema);
    pm_codec_copy(format, "strict", c->schema_strict);
}

cJSON *pm_responses_write(struct pm_canon *c, const struct pm_codec_target *t, struct pm_error *err)
{
    int rc = PM_OK;
    if (c->stops.n) {
        pm_error_set(err, PM_EINVAL, "`%s`: stop sequences cannot be said in the responses API", c->stops_key);
        return NULL;
    }
    cJSON *body = cJSON_CreateObject();
    pm_codec_text(body, "model", t->model);
    pm_codec_text(body, "instructions", pm_canon_own(c, pm_canon_system(c)));
    cJSON *input = cJSON_AddArrayToObject(body, "input");
    for (size_t i = 0; i < c->n_turns && rc == PM_OK; i++)
        if (c->turns[i].role != PM_ROLE_SYSTEM)
            rc = write_turn(c, &c->turns[i], input, err);
    if (rc == PM_OK && !input->child) {
        const char *system = pm_json_str(body, "instructions");
        if (pm_codec_says(system)) {
            cJSON *message = add_item(input, "message");
            pm_codec_text(message, "role", "user");
            pm_codec_text(add_item(cJSON_AddArrayToObject(message, "content"), "input_text"), "text", system);
            cJSON_DeleteItemFromObjectCaseSensitive(body, "instructions");
        } else {
            rc = pm_error_set(err, PM_EINVAL, "nothing was said that could be answered");
        }
    }
    if (rc < 0) {
        cJSON_Delete(body);
        return NULL;
    }
    cJSON_AddTrueToObject(body, "stream");
    cJSON_AddFalseToObject(body, "store");
    write_tools(c, body);
    long long limit = pm_codec_limit(c, t);
    if (limit && limit < LEAST_OUTPUT_TOKENS && !t->is_llama)
        limit = LEAST_OUTPUT_TOKENS;
    if (limit)
        cJSON_AddNumberToObject(body, "max_output_tokens", (double)limit);
    pm_codec_copy(body, "temperature", c->temperature);
    pm_codec_copy(body, "top_p", c->top_p);
    pm_codec_drop_sampling(c, PM_SAMPLING_TOP_K | PM_SAMPLING_SEED | PM_SAMPLING_PENALTIES);
    write_format(c, body);
    if (c->effort > PM_EFFORT_NONE)
        pm_codec_text(cJSON_AddObjectToObject(body, "reasoning"), "effort", pm_effort_word(c->effort));
    pm_codec_text(body, "user", c->user);
    return body;
}
