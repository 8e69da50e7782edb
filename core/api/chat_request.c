/* Requests of OpenAI's chat completions. */
#include "core/api/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"

static const struct pm_field fields[] = {
    {"model", PM_FIELD_READ},
    {"messages", PM_FIELD_READ},
    {"stream", PM_FIELD_READ},
    {"tools", PM_FIELD_READ},
    {"tool_choice", PM_FIELD_READ},
    {"parallel_tool_calls", PM_FIELD_READ},
    {"max_tokens", PM_FIELD_READ},
    {"max_completion_tokens", PM_FIELD_READ},
    {"temperature", PM_FIELD_READ},
    {"top_p", PM_FIELD_READ},
    {"top_k", PM_FIELD_READ},
    {"seed", PM_FIELD_READ},
    {"presence_penalty", PM_FIELD_READ},
    {"frequency_penalty", PM_FIELD_READ},
    {"logit_bias", PM_FIELD_READ},
    {"stop", PM_FIELD_READ},
    {"response_format", PM_FIELD_READ},
    {"reasoning_effort", PM_FIELD_READ},
    {"user", PM_FIELD_READ},
    {"stream_options", PM_FIELD_IDLE},
    {"store", PM_FIELD_IDLE},
    {"n", PM_FIELD_REFUSED},
    {"logprobs", PM_FIELD_REFUSED},
    {"top_logprobs", PM_FIELD_REFUSED},
    {"functions", PM_FIELD_REFUSED},
    {"function_call", PM_FIELD_REFUSED},
    {"audio", PM_FIELD_REFUSED},
};

/* --- reading --- */

static int read_file(struct pm_canon *c, const cJSON *file, struct pm_part *p, const char *where, size_t i,
                     struct pm_error *err)
{
    const char *data = pm_json_str(file, "file_data");
    if (!data)
        return pm_error_set(err, PM_EINVAL,
                            "`%s[%zu].file`: a file of one provider is not known to another: "
                            "send it as file_data",
                            where, i);
    p->where = pm_canon_path(c, where, i);
    p->name = pm_json_str(file, "filename");
    pm_part_set_url(c, p, data);
    if (p->url) {
        /* Bare base64, which some clients send. */
        p->data = p->url;
        p->url = NULL;
        p->media = "application/pdf";
    }
    return PM_OK;
}

static int read_part(struct pm_canon *c, const cJSON *part, struct pm_parts *to, const char *where, size_t i,
                     struct pm_error *err)
{
    const char *type = pm_json_str(part, "type");
    if (!type)
        type = "(none)";
    if (strcmp(type, "text") == 0 || strcmp(type, "refusal") == 0) {
        pm_parts_add(to, PM_PART_TEXT)->text = pm_json_str(part, type);
        return PM_OK;
    }
    if (strcmp(type, "image_url") == 0) {
        const cJSON *image = pm_json_get(part, "image_url");
        const char *url = cJSON_IsString(image) ? image->valuestring : pm_json_str(image, "url");
        if (!url)
            return pm_error_set(err, PM_EINVAL, "`%s[%zu].image_url.url` must be a string", where, i);
        pm_part_set_url(c, pm_parts_add(to, PM_PART_IMAGE), url);
        return PM_OK;
    }
    if (strcmp(type, "file") == 0)
        return read_file(c, pm_json_get(part, "file"), pm_parts_add(to, PM_PART_DOCUMENT), where, i, err);
    if (strcmp(type, "input_audio") == 0) {
        struct pm_part *p = pm_parts_add(to, PM_PART_AUDIO);
        p->where = pm_canon_path(c, where, i);
        p->data = pm_json_str(pm_json_get(part, "input_audio"), "data");
        p->media = pm_json_str(pm_json_get(part, "input_audio"), "format");
        return PM_OK;
    }
    return pm_error_set(err, PM_EINVAL, "`%s[%zu].type`: parts of type %.60s cannot be translated", where, i, type);
}

static int read_content(struct pm_canon *c, const cJSON *content, struct pm_parts *to, const char *message,
                        struct pm_error *err)
{
    char where[48];
    snprintf(where, sizeof(where), "%.30s.content", message);
    return pm_codec_read_content(c, content, to, where, read_part, err);
}

static int read_assistant(struct pm_canon *c, const cJSON *message, const char *where, struct pm_error *err)
{
    struct pm_parts *to = &pm_canon_same_turn(c, PM_ROLE_ASSISTANT)->parts;
    const char *thoughts = pm_json_str(message, "reasoning_content");
    const cJSON *call;
    if (thoughts && *thoughts)
        pm_parts_add(to, PM_PART_THINKING)->text = thoughts;
    int rc = read_content(c, pm_json_get(message, "content"), to, where, err);
    cJSON_ArrayForEach (call, pm_json_get(message, "tool_calls")) {
        const char *type = pm_json_str(call, "type");
        bool custom = type && strcmp(type, "custom") == 0;
        const cJSON *said = pm_json_get(call, custom ? "custom" : "function");
        struct pm_part *p = pm_parts_add(to, PM_PART_CALL);
        p->is_custom = custom;
        p->id = pm_json_str(call, "id");
        p->name = pm_json_str(said, "name");
        p->text = pm_json_str(said, custom ? "input" : "arguments");
        if (!p->name || !p->id)
            return pm_error_set(err, PM_EINVAL, "`%s.tool_calls`: a call needs an id and a name", where);
    }
    return rc;
}

static int read_message(struct pm_canon *c, const cJSON *message, size_t index, struct pm_error *err)
{
    char where[40];
    snprintf(where, sizeof(where), "messages[%zu]", index);
    const char *role = pm_json_str(message, "role");
    const cJSON *content = pm_json_get(message, "content");
    if (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0)
        return read_content(c, content, &pm_canon_turn(c, PM_ROLE_SYSTEM)->parts, where, err);
    if (strcmp(role, "assistant") == 0)
        return read_assistant(c, message, where, err);
    if (strcmp(role, "tool") == 0) {
        struct pm_part *p = pm_parts_add(&pm_canon_same_turn(c, PM_ROLE_USER)->parts, PM_PART_RESULT);
        p->id = pm_json_str(message, "tool_call_id");
        return read_content(c, content, &p->content, where, err);
    }
    if (strcmp(role, "user") == 0)
        return read_content(c, content, &pm_canon_same_turn(c, PM_ROLE_USER)->parts, where, err);
    return pm_error_set(err, PM_EINVAL, "`%s.role`: %.60s cannot be translated", where, role);
}

static void read_tools(struct pm_canon *c)
{
    const cJSON *tool;
    cJSON_ArrayForEach (tool, pm_json_get(c->tree, "tools")) {
        const char *type = pm_json_str(tool, "type");
        bool custom = type && strcmp(type, "custom") == 0;
        const cJSON *said = pm_json_get(tool, custom ? "custom" : "function");
        const char *name = pm_json_str(said, "name");
        if (!name) {
            pm_canon_drop(c, "tools");
            continue;
        }
        struct pm_tool *t = pm_canon_tool(c, name);
        t->description = pm_json_str(said, "description");
        t->schema = pm_json_get(said, "parameters");
        t->strict = pm_json_get(said, "strict");
        t->is_custom = custom;
    }
}

int pm_chat_read(struct pm_canon *c, struct pm_error *err)
{
    const cJSON *message;
    size_t i = 0;
    int rc = pm_canon_check_fields(c, fields, sizeof(fields) / sizeof(*fields), err);
    cJSON_ArrayForEach (message, pm_json_get(c->tree, "messages"))
        if (rc < 0 || (rc = read_message(c, message, i++, err)) < 0)
            return rc;
    read_tools(c);
    const cJSON *choice = pm_json_get(c->tree, "tool_choice");
    const char *name = pm_json_str(pm_json_get(choice, "function"), "name");
    pm_codec_read_choice(c, name ? name : pm_json_str(pm_json_get(choice, "custom"), "name"));
    c->max_tokens = pm_codec_count(c->tree, "max_completion_tokens");
    if (!c->max_tokens)
        c->max_tokens = pm_codec_count(c->tree, "max_tokens");
    c->temperature = pm_json_get(c->tree, "temperature");
    c->top_p = pm_json_get(c->tree, "top_p");
    c->top_k = pm_json_get(c->tree, "top_k");
    c->seed = pm_json_get(c->tree, "seed");
    c->presence = pm_json_get(c->tree, "presence_penalty");
    c->frequency = pm_json_get(c->tree, "frequency_penalty");
    c->logit_bias = pm_json_get(c->tree, "logit_bias");
    pm_codec_read_stops(c, "stop");
    const cJSON *format = pm_json_get(c->tree, "response_format");
    pm_codec_read_format(c, format, pm_json_get(format, "json_schema"));
    c->effort = pm_effort_of_word(pm_json_str(c->tree, "reasoning_effort"));
    c->user = pm_json_str(c->tree, "user");
    return rc;
}

/* --- writing --- */

static void add_text_part(cJSON *list, const char *text)
{
    cJSON *part = cJSON_CreateObject();
    pm_codec_text(part, "type", "text");
    pm_codec_text(part, "text", text);
    cJSON_AddItemToArray(list, part);
}

static int add_part(struct pm_canon *c, const struct pm_part *p, cJSON *list, struct pm_error *err)
{
    cJSON *part = cJSON_CreateObject();
    cJSON_AddItemToArray(list, part);
    if (p->kind == PM_PART_TEXT) {
        pm_codec_text(part, "type", "text");
        pm_codec_text(part, "text", p->text ? p->text : "");
    } else if (p->kind == PM_PART_IMAGE) {
        pm_codec_text(part, "type", "image_url");
        pm_codec_text(cJSON_AddObjectToObject(part, "image_url"), "url", pm_canon_own(c, pm_part_data_url(p)));
    } else if (p->kind == PM_PART_DOCUMENT && p->data) {
        pm_codec_text(part, "type", "file");
        cJSON *file = cJSON_AddObjectToObject(part, "file");
        pm_codec_text(file, "filename", p->name ? p->name : "document.pdf");
        pm_codec_text(file, "file_data", pm_canon_own(c, pm_part_data_url(p)));
    } else if (p->kind == PM_PART_AUDIO) {
        pm_codec_text(part, "type", "input_audio");
        cJSON *audio = cJSON_AddObjectToObject(part, "input_audio");
        pm_codec_text(audio, "data", p->data);
        pm_codec_text(audio, "format", p->media);
    } else {
        return pm_error_set(err, PM_EINVAL,
                            "`%s`: a document by its address cannot be said in chat completions: send its data",
                            p->where);
    }
    return PM_OK;
}

/* A plain text stays one: the servers of this protocol differ in what they make of arrays. */
static int add_content(struct pm_canon *c, const struct pm_parts *parts, cJSON *message, struct pm_error *err)
{
    int rc = PM_OK;
    if (pm_parts_are_text(parts)) {
        pm_codec_text(message, "content", pm_canon_own(c, pm_parts_text(parts, "\n")));
        return rc;
    }
    cJSON *list = cJSON_AddArrayToObject(message, "content");
    for (size_t i = 0; i < parts->n && rc == PM_OK; i++)
        rc = add_part(c, &parts->items[i], list, err);
    return rc;
}

static cJSON *add_message(cJSON *messages, const char *role)
{
    cJSON *message = cJSON_CreateObject();
    pm_codec_text(message, "role", role);
    cJSON_AddItemToArray(messages, message);
    return message;
}

/* The tool's message is text; what else a result has follows in the user's name. */
static int write_results(struct pm_canon *c, const struct pm_parts *parts, cJSON *messages, cJSON *extra,
                         struct pm_error *err)
{
    int rc = PM_OK;
    for (size_t i = 0; i < parts->n; i++) {
        const struct pm_part *p = &parts->items[i];
        if (p->kind != PM_PART_RESULT)
            continue;
        cJSON *message = add_message(messages, "tool");
        pm_codec_text(message, "tool_call_id", p->id);
        pm_codec_text(message, "content", pm_codec_result_text(c, p));
        bool labelled = false;
        for (size_t k = 0; k < p->content.n && rc == PM_OK; k++) {
            if (p->content.items[k].kind == PM_PART_TEXT)
                continue;
            if (!labelled)
                add_text_part(extra, pm_canon_own(c, pm_asprintf("Attached to the result of tool call %s:", p->id)));
            labelled = true;
            rc = add_part(c, &p->content.items[k], extra, err);
        }
    }
    return rc;
}

static int write_user(struct pm_canon *c, const struct pm_turn *turn, cJSON *messages, struct pm_error *err)
{
    cJSON *extra = cJSON_CreateArray();
    struct pm_parts rest = {0};
    int rc = write_results(c, &turn->parts, messages, extra, err);
    for (size_t i = 0; i < turn->parts.n; i++)
        if (turn->parts.items[i].kind != PM_PART_RESULT)
            *pm_parts_add(&rest, PM_PART_TEXT) = turn->parts.items[i];
    if (extra->child && rc == PM_OK) {
        for (size_t i = 0; i < rest.n && rc == PM_OK; i++)
            rc = add_part(c, &rest.items[i], extra, err);
        cJSON_AddItemToObject(add_message(messages, "user"), "content", extra);
        extra = NULL;
    } else if (rest.n && rc == PM_OK) {
        rc = add_content(c, &rest, add_message(messages, "user"), err);
    }
    free(rest.items);
    cJSON_Delete(extra);
    return rc;
}

static void write_call(struct pm_canon *c, const struct pm_part *p, cJSON *calls)
{
    cJSON *call = cJSON_CreateObject(), *function;
    char name[PM_WIRE_NAME_SIZE];
    pm_wire_name(p->space, p->name, name);
    pm_codec_text(call, "id", p->id);
    pm_codec_text(call, "type", "function");
    function = cJSON_AddObjectToObject(call, "function");
    cJSON_AddStringToObject(function, "name", name);
    pm_codec_text(function, "arguments", pm_codec_arguments(c, p));
    cJSON_AddItemToArray(calls, call);
}

static int write_assistant(struct pm_canon *c, const struct pm_turn *turn, const struct pm_codec_target *t,
                           cJSON *messages, struct pm_error *err)
{
    struct pm_parts said = {0};
    struct pm_buf thoughts;
    cJSON *message = add_message(messages, "assistant"), *calls = cJSON_CreateArray();
    pm_buf_init(&thoughts, PM_BUF_OWN_LIMIT);
    for (size_t i = 0; i < turn->parts.n; i++) {
        const struct pm_part *p = &turn->parts.items[i];
        if (p->kind == PM_PART_CALL)
            write_call(c, p, calls);
        else if (p->kind == PM_PART_THINKING)
            pm_buf_add(&thoughts, p->text ? p->text : "");
        else
            *pm_parts_add(&said, PM_PART_TEXT) = *p;
    }
    int rc = PM_OK;
    if (said.n || !calls->child)
        rc = add_content(c, &said, message, err);
    else
        cJSON_AddNullToObject(message, "content");
    if (thoughts.len && t->reasoning)
        cJSON_AddStringToObject(message, "reasoning_content", thoughts.data);
    else if (thoughts.len)
        pm_canon_drop(c, "thinking");
    if (calls->child)
        cJSON_AddItemToObject(message, "tool_calls", calls);
    else
        cJSON_Delete(calls);
    pm_buf_release(&thoughts);
    free(said.items);
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
        cJSON *tool = cJSON_CreateObject(), *function;
        pm_codec_text(tool, "type", "function");
        function = cJSON_AddObjectToObject(tool, "function");
        pm_codec_tool(&c->tools[i], function, "parameters");
        pm_codec_copy(function, "strict", c->tools[i].strict);
        cJSON_AddItemToArray(tools, tool);
    }
    if (c->choice == PM_CHOICE_NAMED) {
        cJSON *choice = cJSON_AddObjectToObject(body, "tool_choice");
        pm_codec_text(choice, "type", "function");
        pm_codec_text(cJSON_AddObjectToObject(choice, "function"), "name", pm_codec_choice_name(c));
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
    cJSON *format = cJSON_AddObjectToObject(body, "response_format");
    pm_codec_text(format, "type", c->schema ? "json_schema" : "json_object");
    if (!c->schema)
        return;
    cJSON *schema = cJSON_AddObjectToObject(format, "json_schema");
    pm_codec_text(schema, "name", c->schema_name ? c->schema_name : "answer");
    pm_codec_copy(schema, "schema", c->schema);
    pm_codec_copy(schema, "strict", c->schema_strict);
}

cJSON *pm_chat_write(struct pm_canon *c, const struct pm_codec_target *t, struct pm_error *err)
{
    cJSON *body = cJSON_CreateObject();
    int rc = PM_OK;
    pm_codec_text(body, "model", t->model);
    cJSON *messages = cJSON_AddArrayToObject(body, "messages");
    const char *system = pm_canon_own(c, pm_canon_system(c));
    if (system)
        pm_codec_text(add_message(messages, "system"), "content", system);
    for (size_t i = 0; i < c->n_turns && rc == PM_OK; i++) {
        if (c->turns[i].role == PM_ROLE_USER)
            rc = write_user(c, &c->turns[i], messages, err);
        else if (c->turns[i].role == PM_ROLE_ASSISTANT)
            rc = write_assistant(c, &c->turns[i], t, messages, err);
    }
    if (rc == PM_OK && !messages->child)
        rc = pm_error_set(err, PM_EINVAL, "nothing was said that could be answered");
    if (rc < 0) {
        cJSON_Delete(body);
        return NULL;
    }
    cJSON_AddTrueToObject(body, "stream");
    cJSON_AddTrueToObject(cJSON_AddObjectToObject(body, "stream_options"), "include_usage");
    write_tools(c, body);
    if (pm_codec_limit(c, t))
        cJSON_AddNumberToObject(body, t->is_openai ? "max_completion_tokens" : "max_tokens",
                                (double)pm_codec_limit(c, t));
    pm_codec_copy(body, "temperature", c->temperature);
    pm_codec_copy(body, "top_p", c->top_p);
    pm_codec_copy(body, "seed", c->seed);
    pm_codec_copy(body, "presence_penalty", c->presence);
    pm_codec_copy(body, "frequency_penalty", c->frequency);
    pm_codec_copy(body, "logit_bias", c->logit_bias);
    if (t->is_llama)
        pm_codec_copy(body, "top_k", c->top_k);
    else
        pm_codec_drop_sampling(c, PM_SAMPLING_TOP_K);
    pm_codec_write_stops(c, body, "stop");
    write_format(c, body);
    /* Models that do not reason refuse to be told not to; llama-server's templates want it said. */
    if (c->effort != PM_EFFORT_NONE || t->is_llama)
        pm_codec_text(body, "reasoning_effort", pm_effort_word(c->effort));
    pm_codec_text(body, "user", c->user);
    return body;
}
