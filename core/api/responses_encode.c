/* Answers in OpenAI's responses: each item is announced, grown, and said again whole; the last event holds them all.
 */
#include "core/api/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

static void begin(struct pm_encoder *e, const char *type)
{
    pm_buf_addf(&e->line, "{\"type\":\"%s\",\"sequence_number\":%u", type, e->sequence++);
}

static void end(struct pm_encoder *e, const char *type)
{
    pm_buf_add(&e->line, "}");
    pm_encoder_send(e, type);
}

static void add_json(struct pm_encoder *e, const char *key, const cJSON *json)
{
    char *text = pm_json_text(json);
    pm_buf_addf(&e->line, ",\"%s\":", key);
    pm_buf_add(&e->line, text);
    free(text);
}

/* --- the life of the response --- */

static void add_usage(struct pm_encoder *e, const struct pm_canon_usage *u)
{
    long long prompt = PM_KNOWN(u->prompt), output = PM_KNOWN(u->output);
    pm_buf_addf(&e->line,
                "\"usage\":{\"input_tokens\":%lld,\"input_tokens_details\":{\"cached_tokens\":%lld},"
                "\"output_tokens\":%lld,\"output_tokens_details\":{\"reasoning_tokens\":%lld},\"total_tokens\":%lld}",
                prompt, PM_KNOWN(u->cached), output, PM_KNOWN(u->reasoning), prompt + output);
}

static void add_response(struct pm_encoder *e, const char *status, const struct pm_canon_event *event)
{
    pm_buf_add(&e->line, ",\"response\":{");
    pm_encoder_member(e, "id", e->id);
    pm_buf_addf(&e->line, ",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\",\"background\":false,",
                e->spec.created, status);
    if (event->kind == PM_CANON_ERROR) {
        pm_buf_add(&e->line, "\"error\":{\"code\":\"server_error\",");
        pm_encoder_member(e, "message", event->text);
        pm_buf_add(&e->line, "},");
    } else {
        pm_buf_add(&e->line, "\"error\":null,");
    }
    if (strcmp(status, "incomplete") == 0)
        pm_buf_addf(&e->line, "\"incomplete_details\":{\"reason\":\"%s\"},",
                    event->stop == PM_STOP_FILTER ? "content_filter" : "max_output_tokens");
    else
        pm_buf_add(&e->line, "\"incomplete_details\":null,");
    pm_buf_add(&e->line, "\"instructions\":null,\"max_output_tokens\":null,");
    pm_encoder_member(e, "model", e->model);
    add_json(e, "output", e->output);
    pm_buf_add(&e->line, ",\"parallel_tool_calls\":true,\"previous_response_id\":null,\"reasoning\":null,"
                         "\"store\":false,\"temperature\":null,\"text\":{\"format\":{\"type\":\"text\"}},"
                         "\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null,\"truncation\":\"disabled\","
                         "\"user\":null,\"metadata\":{},");
    if (event->kind == PM_CANON_STOP)
        add_usage(e, &event->usage);
    else
        pm_buf_add(&e->line, "\"usage\":null");
    pm_buf_add(&e->line, "}");
}

static void life(struct pm_encoder *e, const char *type, const char *status, const struct pm_canon_event *event)
{
    begin(e, type);
    add_response(e, status, event);
    end(e, type);
}

/* --- items --- */

static bool is_custom(const struct pm_encoder *e)
{
    return e->block == PM_BLOCK_CALL && e->tool && e->tool->is_custom;
}

/* What a custom tool is called with: the one argument that it was offered with. */
static char *custom_input(const char *arguments)
{
    cJSON *root = cJSON_Parse(arguments);
    const char *input = pm_json_str(root, "input");
    char *text = pm_strdup(input ? input : arguments);
    cJSON_Delete(root);
    return text;
}

static cJSON *item_json(const struct pm_encoder *e, const char *status, const char *text)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "id", e->item);
    if (e->block == PM_BLOCK_TEXT) {
        cJSON_AddStringToObject(item, "type", "message");
        cJSON_AddStringToObject(item, "status", status);
        cJSON_AddStringToObject(item, "role", "assistant");
    } else if (e->block == PM_BLOCK_THINKING) {
        cJSON_AddStringToObject(item, "type", "reasoning");
        cJSON_AddArrayToObject(item, "summary");
    } else {
        cJSON_AddStringToObject(item, "type", is_custom(e) ? "custom_tool_call" : "function_call");
        cJSON_AddStringToObject(item, "status", status);
        cJSON_AddStringToObject(item, "call_id", e->call_id);
        cJSON_AddStringToObject(item, "name", e->name);
        if (e->tool && e->tool->space)
            cJSON_AddStringToObject(item, "namespace", e->tool->space);
        cJSON_AddStringToObject(item, is_custom(e) ? "input" : "arguments", text ? text : "");
        return item;
    }
    cJSON *content = cJSON_AddArrayToObject(item, "content");
    if (text) {
        cJSON *part = cJSON_CreateObject();
        cJSON_AddStringToObject(part, "type", e->block == PM_BLOCK_TEXT ? "output_text" : "reasoning_text");
        cJSON_AddStringToObject(part, "text", text);
        if (e->block == PM_BLOCK_TEXT) {
            cJSON_AddArrayToObject(part, "annotations");
            cJSON_AddArrayToObject(part, "logprobs");
        }
        cJSON_AddItemToArray(content, part);
    }
    return item;
}

static void item_event(struct pm_encoder *e, const char *type, const cJSON *item)
{
    begin(e, type);
    pm_buf_addf(&e->line, ",\"output_index\":%zu", e->index);
    add_json(e, "item", item);
    end(e, type);
}

static void begin_part(struct pm_encoder *e, const char *type)
{
    begin(e, type);
    pm_buf_addf(&e->line, ",\"output_index\":%zu,", e->index);
    pm_encoder_member(e, "item_id", e->item);
    if (e->block != PM_BLOCK_CALL)
        pm_buf_add(&e->line, ",\"content_index\":0");
}

static void part_event(struct pm_encoder *e, const char *type, const char *text)
{
    begin_part(e, type);
    pm_buf_addf(&e->line, ",\"part\":{\"type\":\"%s\",", e->block == PM_BLOCK_TEXT ? "output_text" : "reasoning_text");
    pm_encoder_member(e, "text", text);
    pm_buf_add(&e->line, e->block == PM_BLOCK_TEXT ? ",\"annotations\":[],\"logprobs\":[]}" : "}");
    end(e, type);
}

static void text_event(struct pm_encoder *e, const char *type, const char *key, const char *text)
{
    begin_part(e, type);
    pm_buf_add(&e->line, ",");
    pm_encoder_member(e, key, text);
    if (e->block == PM_BLOCK_TEXT)
        pm_buf_add(&e->line, ",\"logprobs\":[]");
    end(e, type);
}

static void open(struct pm_encoder *e, const struct pm_canon_event *event)
{
    static const char *const prefixes[] = {
        [PM_BLOCK_TEXT] = "msg", [PM_BLOCK_THINKING] = "rs", [PM_BLOCK_CALL] = "fc"};
    char made_up[32];
    e->block = event->block;
    pm_buf_clear(&e->text);
    free(e->item);
    free(e->call_id);
    free(e->name);
    /* An id that the caller has seen already is kept; another provider's means nothing here. */
    e->item = e->spec.id || !event->id ? pm_asprintf("%s_%s_%zu", prefixes[e->block], e->id, e->index)
                                       : pm_strdup(event->id);
    snprintf(made_up, sizeof(made_up), "call_%zu", e->index);
    e->call_id = pm_strdup(pm_encoder_call_id(e, event->call_id, made_up));
    e->name = pm_strdup(pm_encoder_tool_name(e, event->block == PM_BLOCK_CALL ? event->name : NULL));
    cJSON *item = item_json(e, "in_progress", NULL);
    item_event(e, "response.output_item.added", item);
    cJSON_Delete(item);
    if (e->block != PM_BLOCK_CALL)
        part_event(e, "response.content_part.added", "");
}

static void delta(struct pm_encoder *e, const char *text)
{
    pm_buf_add(&e->text, text);
    if (e->block == PM_BLOCK_TEXT)
        text_event(e, "response.output_text.delta", "delta", text);
    else if (e->block == PM_BLOCK_THINKING)
        text_event(e, "response.reasoning_text.delta", "delta", text);
    else if (!is_custom(e))
        text_event(e, "response.function_call_arguments.delta", "delta", text);
}

/* Has this closing event been sent before the stream broke off? */
static bool was_sent(struct pm_encoder *e)
{
    if (!e->closings)
        return false;
    e->closings--;
    return true;
}

static void close(struct pm_encoder *e)
{
    char *custom = is_custom(e) ? custom_input(e->text.data) : NULL;
    const char *text = custom ? custom : e->text.data;
    if (custom) {
        if (!was_sent(e)) {
            text_event(e, "response.custom_tool_call_input.delta", "delta", text);
            text_event(e, "response.custom_tool_call_input.done", "input", text);
        }
    } else if (e->block == PM_BLOCK_CALL) {
        if (!was_sent(e))
            text_event(e, "response.function_call_arguments.done", "arguments", text);
    } else {
        bool said = e->block == PM_BLOCK_TEXT;
        if (!was_sent(e))
            text_event(e, said ? "response.output_text.done" : "response.reasoning_text.done", "text", text);
        if (!was_sent(e))
            part_event(e, "response.content_part.done", text);
    }
    cJSON *item = item_json(e, "completed", text);
    item_event(e, "response.output_item.done", item);
    cJSON_AddItemToArray(e->output, item);
    e->index++;
    free(custom);
}

void pm_responses_encode(struct pm_encoder *e, const struct pm_canon_event *event)
{
    bool cut_short = event->stop == PM_STOP_LENGTH || event->stop == PM_STOP_FILTER;
    if (!e->output)
        e->output = cJSON_CreateArray();
    switch (event->kind) {
    case PM_CANON_START:
        life(e, "response.created", "in_progress", event);
        life(e, "response.in_progress", "in_progress", event);
        break;
    case PM_CANON_OPEN:
        open(e, event);
        break;
    case PM_CANON_DELTA:
        delta(e, event->text);
        break;
    case PM_CANON_CLOSE:
        close(e);
        break;
    case PM_CANON_STOP:
        life(e, cut_short ? "response.incomplete" : "response.completed", cut_short ? "incomplete" : "completed",
             event);
        break;
    case PM_CANON_ERROR:
        life(e, "response.failed", "failed", event);
        break;
    }
}
