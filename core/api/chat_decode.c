/* Answers of OpenAI's chat completions, and of the older completions. */
#include "core/api/decode.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

enum { CALLS_MAX = 128, ARGUMENTS_MAX = 16 << 20 };

static void read_usage(struct pm_decoder *d, const cJSON *usage)
{
    pm_decoded_count(&d->usage.prompt, usage, "prompt_tokens");
    pm_decoded_count(&d->usage.output, usage, "completion_tokens");
    pm_decoded_count(&d->usage.cached, pm_json_get(usage, "prompt_tokens_details"), "cached_tokens");
    pm_decoded_count(&d->usage.reasoning, pm_json_get(usage, "completion_tokens_details"), "reasoning_tokens");
}

static enum pm_stop stop_of(const char *word)
{
    return strcmp(word, "length") == 0                                         ? PM_STOP_LENGTH
           : strcmp(word, "tool_calls") == 0 || !strcmp(word, "function_call") ? PM_STOP_CALLS
           : strcmp(word, "content_filter") == 0                               ? PM_STOP_FILTER
                                                                               : PM_STOP_END;
}

/* --- calls --- */

static struct pm_decoded_call *call_at(struct pm_decoder *d, const cJSON *said, size_t position)
{
    double index = pm_json_num(said, "index", (double)position);
    if (index < 0 || index >= CALLS_MAX)
        return NULL;
    while (d->n_calls <= (size_t)index) {
        d->calls = pm_realloc(d->calls, d->n_calls + 1, sizeof(*d->calls));
        d->calls[d->n_calls] = (struct pm_decoded_call){0};
        pm_buf_init(&d->calls[d->n_calls++].arguments, ARGUMENTS_MAX);
    }
    return &d->calls[(size_t)index];
}

static void open_call(struct pm_decoder *d, struct pm_decoded_call *call)
{
    call->opened = true;
    pm_decoded_open(d, PM_BLOCK_CALL, NULL, call->id, call->name);
    pm_decoded_delta(d, call->arguments.data);
}

static struct pm_decoded_call *open_one(struct pm_decoder *d)
{
    for (size_t i = 0; i < d->n_calls; i++)
        if (d->calls[i].opened && !d->calls[i].closed)
            return &d->calls[i];
    return NULL;
}

static bool is_whole(const struct pm_decoded_call *call)
{
    return call->arguments.len && pm_json_scan(call->arguments.data, call->arguments.len, NULL, NULL) == PM_OK;
}

/* Opens the next call in order, once the one before has said all that it has to. */
static void advance(struct pm_decoder *d, bool all)
{
    for (;;) {
        struct pm_decoded_call *open = open_one(d);
        size_t next = 0;
        while (next < d->n_calls && (d->calls[next].opened || !d->calls[next].name))
            next++;
        if (open && !all && (next == d->n_calls || !is_whole(open)))
            return;
        if (open)
            open->closed = true;
        if (next == d->n_calls)
            return;
        open_call(d, &d->calls[next]);
        if (!all)
            return;
    }
}

static void take_call(struct pm_decoder *d, const cJSON *said, size_t position)
{
    struct pm_decoded_call *call = call_at(d, said, position);
    const cJSON *function = pm_json_get(said, "function");
    const char *id = pm_json_str(said, "id"), *name = pm_json_str(function, "name");
    const char *piece = pm_json_str(function, "arguments");
    if (!call)
        return;
    if (id && *id && !call->id)
        call->id = pm_strdup(id);
    if (name && *name && !call->name)
        call->name = pm_strdup(name);
    pm_buf_add(&call->arguments, piece ? piece : "");
    if (call->opened && !call->closed && d->block == PM_BLOCK_CALL)
        pm_decoded_delta(d, piece);
    else if (!call->opened)
        advance(d, false);
}

/* --- chunks --- */

static void take_delta(struct pm_decoder *d, const cJSON *delta)
{
    const cJSON *call;
    size_t i = 0;
    const char *thoughts = pm_json_str(delta, "reasoning_content");
    pm_decoded_piece(d, PM_BLOCK_THINKING, NULL, thoughts ? thoughts : pm_json_str(delta, "reasoning"));
    pm_decoded_piece(d, PM_BLOCK_TEXT, NULL, pm_json_str(delta, "content"));
    pm_decoded_piece(d, PM_BLOCK_TEXT, NULL, pm_json_str(delta, "refusal"));
    cJSON_ArrayForEach (call, pm_json_get(delta, "tool_calls"))
        take_call(d, call, i++);
}

static void take_choice(struct pm_decoder *d, const cJSON *choice, const char *key)
{
    const char *finish = pm_json_str(choice, "finish_reason");
    take_delta(d, pm_json_get(choice, key));
    pm_decoded_piece(d, PM_BLOCK_TEXT, NULL, pm_json_str(choice, "text"));
    if (!finish)
        return;
    advance(d, true);
    d->stop = stop_of(finish);
    d->has_stop = true;
}

void pm_chat_decode(struct pm_decoder *d, const cJSON *root)
{
    const cJSON *error = pm_json_get(root, "error"), *usage = pm_json_get(root, "usage");
    const cJSON *choice = cJSON_GetArrayItem(pm_json_get(root, "choices"), 0);
    if (error && !cJSON_IsNull(error)) {
        pm_decoded_error(d, error);
        return;
    }
    if (cJSON_IsObject(usage))
        read_usage(d, usage);
    if (choice)
        pm_decoded_start(d, pm_json_str(root, "id"), pm_json_str(root, "model"));
    take_choice(d, choice, "delta");
    /* Usage comes with the last choice, or after it. */
    if (d->has_stop && cJSON_IsObject(usage))
        pm_decoded_stop(d);
}

void pm_chat_decode_end(struct pm_decoder *d)
{
    if (!d->stopped && d->has_stop)
        advance(d, true);
}

bool pm_chat_decode_whole(struct pm_decoder *d, const cJSON *root)
{
    const cJSON *choice = cJSON_GetArrayItem(pm_json_get(root, "choices"), 0);
    if (!choice)
        return false;
    read_usage(d, pm_json_get(root, "usage"));
    pm_decoded_start(d, pm_json_str(root, "id"), pm_json_str(root, "model"));
    take_choice(d, choice, "message");
    d->has_stop = true;
    return true;
}
