/* Answers of Anthropic's messages. */
#include "core/api/decode.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

/* What is counted as input leaves out what the cache had: the sum is what the others mean. A later count replaces an
 * earlier one. */
static void read_usage(struct pm_decoder *d, const cJSON *usage)
{
    long long fresh = -1, cached = d->usage.cached, created = d->usage.created;
    long long before = (cached > 0 ? cached : 0) + (created > 0 ? created : 0);
    if (!cJSON_IsObject(usage))
        return;
    if (d->usage.prompt >= 0)
        fresh = d->usage.prompt - before;
    pm_decoded_count(&fresh, usage, "input_tokens");
    pm_decoded_count(&cached, usage, "cache_read_input_tokens");
    pm_decoded_count(&created, usage, "cache_creation_input_tokens");
    pm_decoded_count(&d->usage.output, usage, "output_tokens");
    d->usage.cached = cached;
    d->usage.created = created;
    if (fresh >= 0)
        d->usage.prompt = fresh + (cached > 0 ? cached : 0) + (created > 0 ? created : 0);
}

static enum pm_stop stop_of(const char *word)
{
    return strcmp(word, "stop_sequence") == 0                                                  ? PM_STOP_SEQUENCE
           : strcmp(word, "max_tokens") == 0 || !strcmp(word, "model_context_window_exceeded") ? PM_STOP_LENGTH
           : strcmp(word, "tool_use") == 0                                                     ? PM_STOP_CALLS
           : strcmp(word, "refusal") == 0                                                      ? PM_STOP_FILTER
                                                                                               : PM_STOP_END;
}

static void read_stop(struct pm_decoder *d, const cJSON *from)
{
    const char *why = pm_json_str(from, "stop_reason"), *sequence = pm_json_str(from, "stop_sequence");
    if (!why)
        return;
    d->has_stop = true;
    d->stop = stop_of(why);
    if (sequence && !d->stop_text)
        d->stop_text = pm_strdup(sequence);
}

static void keep_signature(struct pm_decoder *d, const char *signature)
{
    if (!signature || !*signature)
        return;
    free(d->signature);
    d->signature = pm_strdup(signature);
}

/* The arguments of a call come as pieces, or at once with its start. */
static void open_block(struct pm_decoder *d, const cJSON *block)
{
    const char *type = pm_json_str(block, "type");
    if (!type)
        return;
    if (strcmp(type, "text") == 0) {
        pm_decoded_open(d, PM_BLOCK_TEXT, NULL, NULL, NULL);
        pm_decoded_delta(d, pm_json_str(block, "text"));
    } else if (strcmp(type, "thinking") == 0) {
        pm_decoded_open(d, PM_BLOCK_THINKING, NULL, NULL, NULL);
        pm_decoded_delta(d, pm_json_str(block, "thinking"));
        keep_signature(d, pm_json_str(block, "signature"));
    } else if (strcmp(type, "tool_use") == 0) {
        const cJSON *input = pm_json_get(block, "input");
        pm_decoded_open(d, PM_BLOCK_CALL, NULL, pm_json_str(block, "id"), pm_json_str(block, "name"));
        if (input && input->child) {
            char *text = pm_json_text(input);
            pm_decoded_delta(d, text);
            free(text);
        }
    } else {
        /* What cannot be said elsewhere (redacted thoughts, the provider's own tools): its pieces go nowhere. */
        pm_decoded_close(d);
    }
}

static void take_delta(struct pm_decoder *d, const cJSON *delta)
{
    static const struct {
        const char *key;
        enum pm_block block;
    } keys[] = {{"text", PM_BLOCK_TEXT}, {"thinking", PM_BLOCK_THINKING}, {"partial_json", PM_BLOCK_CALL}};
    for (size_t i = 0; i < 3; i++) {
        const char *text = pm_json_str(delta, keys[i].key);
        if (text && d->open && d->block == keys[i].block)
            pm_decoded_delta(d, text);
    }
    if (d->open && d->block == PM_BLOCK_THINKING)
        keep_signature(d, pm_json_str(delta, "signature"));
}

void pm_messages_decode(struct pm_decoder *d, const char *type, const cJSON *root)
{
    if (strcmp(type, "message_start") == 0) {
        const cJSON *message = pm_json_get(root, "message");
        read_usage(d, pm_json_get(message, "usage"));
        pm_decoded_start(d, pm_json_str(message, "id"), pm_json_str(message, "model"));
    } else if (strcmp(type, "content_block_start") == 0) {
        open_block(d, pm_json_get(root, "content_block"));
    } else if (strcmp(type, "content_block_delta") == 0) {
        take_delta(d, pm_json_get(root, "delta"));
    } else if (strcmp(type, "content_block_stop") == 0) {
        pm_decoded_close(d);
    } else if (strcmp(type, "message_delta") == 0) {
        read_usage(d, pm_json_get(root, "usage"));
        read_stop(d, pm_json_get(root, "delta"));
    } else if (strcmp(type, "message_stop") == 0) {
        d->has_stop = true;
        pm_decoded_stop(d);
    } else if (strcmp(type, "error") == 0) {
        pm_decoded_error(d, pm_json_get(root, "error"));
    }
}

bool pm_messages_decode_whole(struct pm_decoder *d, const cJSON *root)
{
    const cJSON *content = pm_json_get(root, "content"), *block;
    if (!cJSON_IsArray(content))
        return false;
    read_usage(d, pm_json_get(root, "usage"));
    pm_decoded_start(d, pm_json_str(root, "id"), pm_json_str(root, "model"));
    cJSON_ArrayForEach (block, content) {
        open_block(d, block);
        pm_decoded_close(d);
    }
    read_stop(d, root);
    d->has_stop = true;
    return true;
}
