/* Answers of OpenAI's responses. */
#include "core/api/decode.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

static bool is(const char *type, const char *word)
{
    return strcmp(type, word) == 0;
}

static void read_usage(struct pm_decoder *d, const cJSON *usage)
{
    pm_decoded_count(&d->usage.prompt, usage, "input_tokens");
    pm_decoded_count(&d->usage.output, usage, "output_tokens");
    pm_decoded_count(&d->usage.cached, pm_json_get(usage, "input_tokens_details"), "cached_tokens");
    pm_decoded_count(&d->usage.reasoning, pm_json_get(usage, "output_tokens_details"), "reasoning_tokens");
}

static void keep_item(struct pm_decoder *d, const char *id)
{
    free(d->item);
    d->item = pm_strdup(id);
}

/* Another item of the same kind is a block of its own. */
static void same_item(struct pm_decoder *d, const char *id)
{
    if (id && d->open && d->item && strcmp(d->item, id) != 0)
        pm_decoded_close(d);
    if (id)
        keep_item(d, id);
}

static void open_call(struct pm_decoder *d, const cJSON *item)
{
    keep_item(d, pm_json_str(item, "id"));
    pm_decoded_open(d, PM_BLOCK_CALL, pm_json_str(item, "id"), pm_json_str(item, "call_id"),
                    pm_json_str(item, "name"));
}

static void take_texts(struct pm_decoder *d, enum pm_block block, const cJSON *item, const char *key)
{
    const cJSON *part;
    bool first = true;
    cJSON_ArrayForEach (part, pm_json_get(item, key)) {
        const char *text = pm_json_str(part, "text");
        if (!text)
            text = pm_json_str(part, "refusal");
        if (block == PM_BLOCK_THINKING && !first)
            pm_decoded_delta(d, "\n\n");
        pm_decoded_piece(d, block, pm_json_str(item, "id"), text);
        first = false;
    }
}

/* An item whole: what of it has not come in pieces. */
static void take_item(struct pm_decoder *d, const cJSON *item)
{
    const char *type = pm_json_str(item, "type"), *id = pm_json_str(item, "id");
    if (!type)
        return;
    bool begun = d->open && (!d->item || !id || is(d->item, id));
    bool said = begun && d->block_bytes;
    if (is(type, "function_call") || is(type, "custom_tool_call")) {
        if (!begun)
            open_call(d, item);
        if (!said)
            pm_decoded_delta(d, pm_json_str(item, is(type, "function_call") ? "arguments" : "input"));
    } else if (is(type, "message") && !said) {
        keep_item(d, id);
        take_texts(d, PM_BLOCK_TEXT, item, "content");
    } else if (is(type, "reasoning") && !said) {
        bool full = cJSON_GetArraySize(pm_json_get(item, "content")) > 0;
        keep_item(d, id);
        take_texts(d, PM_BLOCK_THINKING, item, full ? "content" : "summary");
    }
    pm_decoded_close(d);
}

static void take_stop(struct pm_decoder *d, const cJSON *response)
{
    const char *why = pm_json_str(pm_json_get(response, "incomplete_details"), "reason");
    read_usage(d, pm_json_get(response, "usage"));
    d->has_stop = true;
    if (why)
        d->stop = is(why, "content_filter") ? PM_STOP_FILTER : PM_STOP_LENGTH;
    else if (d->stop != PM_STOP_FILTER)
        d->stop = PM_STOP_END;
}

static void take_end(struct pm_decoder *d, const cJSON *response)
{
    const cJSON *item;
    bool nothing = !d->open && !d->has_calls && !d->block_bytes;
    if (nothing)
        cJSON_ArrayForEach (item, pm_json_get(response, "output"))
            take_item(d, item);
    take_stop(d, response);
    pm_decoded_stop(d);
}

static void take_piece(struct pm_decoder *d, const char *type, const cJSON *root)
{
    const char *id = pm_json_str(root, "item_id"), *delta = pm_json_str(root, "delta");
    if (is(type, "response.output_text.delta") || is(type, "response.refusal.delta")) {
        if (is(type, "response.refusal.delta"))
            d->stop = PM_STOP_FILTER;
        same_item(d, id);
        pm_decoded_piece(d, PM_BLOCK_TEXT, id, delta);
    } else if (is(type, "response.reasoning_text.delta") || is(type, "response.reasoning_summary_text.delta")) {
        same_item(d, id);
        pm_decoded_piece(d, PM_BLOCK_THINKING, id, delta);
    } else if (is(type, "response.reasoning_summary_part.added")) {
        if (d->open && d->block == PM_BLOCK_THINKING && d->block_bytes)
            pm_decoded_delta(d, "\n\n");
    } else if (is(type, "response.function_call_arguments.delta") ||
               is(type, "response.custom_tool_call_input.delta")) {
        if (d->open && d->block == PM_BLOCK_CALL)
            pm_decoded_delta(d, delta);
    }
}

void pm_responses_decode(struct pm_decoder *d, const char *type, const cJSON *root)
{
    const cJSON *response = pm_json_get(root, "response"), *item = pm_json_get(root, "item");
    const char *kind = pm_json_str(item, "type");
    if (is(type, "response.created")) {
        pm_decoded_start(d, pm_json_str(response, "id"), pm_json_str(response, "model"));
    } else if (is(type, "response.output_item.added")) {
        pm_decoded_close(d);
        if (kind && (is(kind, "function_call") || is(kind, "custom_tool_call")))
            open_call(d, item);
    } else if (is(type, "response.output_item.done")) {
        take_item(d, item);
    } else if (is(type, "response.completed") || is(type, "response.incomplete")) {
        take_end(d, response);
    } else if (is(type, "response.failed")) {
        pm_decoded_error(d, pm_json_get(response, "error"));
    } else if (is(type, "error")) {
        pm_decoded_error(d, pm_json_get(root, "error") ? pm_json_get(root, "error") : root);
    } else {
        take_piece(d, type, root);
    }
}

bool pm_responses_decode_whole(struct pm_decoder *d, const cJSON *root)
{
    const cJSON *item, *output = pm_json_get(root, "output");
    if (!cJSON_IsArray(output))
        return false;
    pm_decoded_start(d, pm_json_str(root, "id"), pm_json_str(root, "model"));
    cJSON_ArrayForEach (item, output)
        take_item(d, item);
    take_stop(d, root);
    return true;
}
