/* What the decoders of the three protocols share. */
#include "core/api/decode.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"

struct pm_decoder *pm_decoder_new(enum pm_protocol p, pm_canon_sink sink, void *arg)
{
    struct pm_decoder *d = pm_calloc(1, sizeof(*d));
    d->protocol = p;
    d->sink = sink;
    d->arg = arg;
    d->usage = PM_CANON_USAGE_UNKNOWN;
    return d;
}

void pm_decoder_free(struct pm_decoder *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_calls; i++) {
        free(d->calls[i].id);
        free(d->calls[i].name);
        pm_buf_release(&d->calls[i].arguments);
    }
    free(d->calls);
    free(d->stop_text);
    free(d->signature);
    free(d->item);
    free(d);
}

void pm_decoded_start(struct pm_decoder *d, const char *id, const char *model)
{
    struct pm_canon_event e = {.kind = PM_CANON_START, .id = id, .model = model, .usage = d->usage};
    if (d->started)
        return;
    d->started = true;
    d->sink(d->arg, &e);
}

void pm_decoded_close(struct pm_decoder *d)
{
    struct pm_canon_event e = {.kind = PM_CANON_CLOSE, .block = d->block, .signature = d->signature};
    if (!d->open)
        return;
    /* A call without arguments: clients parse what they get. */
    if (d->block == PM_BLOCK_CALL && !d->block_bytes)
        pm_decoded_delta(d, "{}");
    d->open = false;
    d->sink(d->arg, &e);
    PM_FREE_AND_NULL(d->signature);
}

void pm_decoded_open(struct pm_decoder *d, enum pm_block block, const char *id, const char *call_id, const char *name)
{
    struct pm_canon_event e = {.kind = PM_CANON_OPEN, .block = block, .id = id, .call_id = call_id, .name = name};
    pm_decoded_start(d, NULL, NULL);
    pm_decoded_close(d);
    d->open = true;
    d->block = block;
    d->block_bytes = 0;
    d->has_calls |= block == PM_BLOCK_CALL;
    d->sink(d->arg, &e);
}

void pm_decoded_delta(struct pm_decoder *d, const char *text)
{
    struct pm_canon_event e = {.kind = PM_CANON_DELTA, .block = d->block, .text = text};
    if (!d->open || !text || !*text)
        return;
    d->block_bytes += strlen(text);
    d->sink(d->arg, &e);
}

void pm_decoded_piece(struct pm_decoder *d, enum pm_block block, const char *id, const char *text)
{
    if (!text || !*text)
        return;
    if (!d->open || d->block != block)
        pm_decoded_open(d, block, id, NULL, NULL);
    pm_decoded_delta(d, text);
}

/* Some servers say `stop` after calls. */
static enum pm_stop stop_of(const struct pm_decoder *d)
{
    return d->has_calls && (d->stop == PM_STOP_END || d->stop == PM_STOP_SEQUENCE) ? PM_STOP_CALLS : d->stop;
}

void pm_decoded_stop(struct pm_decoder *d)
{
    if (d->stopped)
        return;
    pm_decoded_start(d, NULL, NULL);
    pm_decoded_close(d);
    d->stopped = true;
    struct pm_canon_event e = {.kind = PM_CANON_STOP, .stop = stop_of(d), .text = d->stop_text, .usage = d->usage};
    d->sink(d->arg, &e);
}

void pm_decoded_error(struct pm_decoder *d, const cJSON *error)
{
    const char *message = cJSON_IsString(error) ? error->valuestring : pm_json_str(error, "message");
    struct pm_canon_event e = {.kind = PM_CANON_ERROR,
                               .text = message ? message : "the model's server reported an error"};
    if (d->stopped)
        return;
    d->stopped = true;
    d->has_stop = false;
    d->sink(d->arg, &e);
}

void pm_decoded_count(long long *field, const cJSON *object, const char *key)
{
    double n = pm_json_num(object, key, -1);
    if (n >= 0 && n < 1e15)
        *field = (long long)n;
}

/* Parses what a server sent. Bytes that are no UTF-8 become U+FFFD, since what is made of them must be JSON. */
static cJSON *parse(const char *data, size_t len)
{
    if (!len || pm_utf8_bad(data, len) < 0)
        return len ? cJSON_ParseWithLength(data, len) : NULL;
    struct pm_buf clean;
    pm_buf_init(&clean, PM_BUF_OWN_LIMIT);
    for (size_t at = 0; at < len;) {
        long bad = pm_utf8_bad(data + at, len - at);
        size_t good = bad < 0 ? len - at : (size_t)bad;
        pm_buf_addn(&clean, data + at, good);
        at += good;
        if (at < len) {
            pm_buf_add(&clean, "\xef\xbf\xbd");
            at++;
        }
    }
    cJSON *root = cJSON_ParseWithLength(clean.data, clean.len);
    pm_buf_release(&clean);
    return root;
}

void pm_decoder_event(struct pm_decoder *d, const char *name, const char *data, size_t len)
{
    if (d->stopped)
        return;
    if (len == 6 && memcmp(data, "[DONE]", 6) == 0) {
        if (d->has_stop)
            pm_decoded_stop(d);
        return;
    }
    cJSON *root = parse(data, len);
    const char *type = pm_json_str(root, "type");
    if (!type)
        type = name;
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return;
    }
    if (d->protocol == PM_PROTO_MESSAGES)
        pm_messages_decode(d, type, root);
    else if (d->protocol == PM_PROTO_RESPONSES)
        pm_responses_decode(d, type, root);
    else
        pm_chat_decode(d, root);
    cJSON_Delete(root);
}

bool pm_decoder_whole(struct pm_decoder *d, const char *body, size_t len)
{
    cJSON *root = parse(body, len);
    bool good = d->protocol == PM_PROTO_MESSAGES    ? pm_messages_decode_whole(d, root)
                : d->protocol == PM_PROTO_RESPONSES ? pm_responses_decode_whole(d, root)
                                                    : pm_chat_decode_whole(d, root);
    cJSON_Delete(root);
    return good && pm_decoder_end(d);
}

bool pm_decoder_end(struct pm_decoder *d)
{
    pm_chat_decode_end(d);
    if (d->has_stop)
        pm_decoded_stop(d);
    return d->stopped && d->has_stop;
}
