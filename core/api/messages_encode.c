/* Answers in Anthropic's messages. */
#include "core/api/encode.h"

#include <stdio.h>
#include <string.h>

/* The input that was not in the cache is what counts as input here. It is never 0: clients take that for broken. */
static void add_input(struct pm_encoder *e, const struct pm_canon_usage *u)
{
    long long cached = PM_KNOWN(u->cached), created = PM_KNOWN(u->created);
    long long prompt = u->prompt >= 0 ? u->prompt : e->spec.prompt_tokens, fresh = prompt - cached - created;
    pm_buf_addf(&e->line,
                "\"input_tokens\":%lld,\"cache_creation_input_tokens\":%lld,\"cache_read_input_tokens\":%lld,",
                fresh > 0           ? fresh
                : cached || created ? 0
                                    : 1,
                created, cached);
}

static void start(struct pm_encoder *e, const struct pm_canon_event *event)
{
    pm_buf_add(&e->line, "{\"type\":\"message_start\",\"message\":{");
    pm_encoder_member(e, "id", e->id);
    pm_buf_add(&e->line, ",\"type\":\"message\",\"role\":\"assistant\",");
    pm_encoder_member(e, "model", e->model);
    pm_buf_add(&e->line, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{");
    add_input(e, &event->usage);
    pm_buf_addf(&e->line, "\"output_tokens\":%lld}}}", PM_KNOWN(event->usage.output));
    pm_encoder_send(e, "message_start");
}

static void open(struct pm_encoder *e, const struct pm_canon_event *event)
{
    char made_up[40];
    e->block = event->block;
    pm_buf_addf(&e->line, "{\"type\":\"content_block_start\",\"index\":%zu,\"content_block\":{", e->index);
    if (event->block == PM_BLOCK_TEXT) {
        pm_buf_add(&e->line, "\"type\":\"text\",\"text\":\"\"}}");
    } else if (event->block == PM_BLOCK_THINKING) {
        pm_buf_add(&e->line, "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}");
    } else {
        snprintf(made_up, sizeof(made_up), "toolu_%zu", e->index);
        pm_buf_add(&e->line, "\"type\":\"tool_use\",");
        pm_encoder_member(e, "id", pm_encoder_call_id(e, event->call_id, made_up));
        pm_buf_add(&e->line, ",");
        pm_encoder_member(e, "name", pm_encoder_tool_name(e, event->name));
        pm_buf_add(&e->line, ",\"input\":{}}}");
    }
    pm_encoder_send(e, "content_block_start");
}

static void delta(struct pm_encoder *e, const char *type, const char *key, const char *text)
{
    pm_buf_addf(&e->line, "{\"type\":\"content_block_delta\",\"index\":%zu,\"delta\":{\"type\":\"%s\",", e->index,
                type);
    pm_encoder_member(e, key, text);
    pm_buf_add(&e->line, "}}");
    pm_encoder_send(e, "content_block_delta");
}

static void more(struct pm_encoder *e, const char *text)
{
    if (e->block == PM_BLOCK_TEXT)
        delta(e, "text_delta", "text", text);
    else if (e->block == PM_BLOCK_THINKING)
        delta(e, "thinking_delta", "thinking", text);
    else
        delta(e, "input_json_delta", "partial_json", text);
}

/* A signature is handed on where the target gave one, and never made up. */
static void close(struct pm_encoder *e, const struct pm_canon_event *event)
{
    if (event->signature && *event->signature)
        delta(e, "signature_delta", "signature", event->signature);
    pm_buf_addf(&e->line, "{\"type\":\"content_block_stop\",\"index\":%zu}", e->index++);
    pm_encoder_send(e, "content_block_stop");
}

static void stop(struct pm_encoder *e, const struct pm_canon_event *event)
{
    static const char *const words[] = {[PM_STOP_END] = "end_turn",
                                        [PM_STOP_SEQUENCE] = "stop_sequence",
                                        [PM_STOP_LENGTH] = "max_tokens",
                                        [PM_STOP_CALLS] = "tool_use",
                                        [PM_STOP_FILTER] = "refusal"};
    pm_buf_add(&e->line, "{\"type\":\"message_delta\",\"delta\":{");
    pm_encoder_member(e, "stop_reason", words[event->stop]);
    pm_buf_add(&e->line, ",");
    if (event->stop == PM_STOP_SEQUENCE && event->text)
        pm_encoder_member(e, "stop_sequence", event->text);
    else
        pm_buf_add(&e->line, "\"stop_sequence\":null");
    pm_buf_add(&e->line, "},\"usage\":{");
    add_input(e, &event->usage);
    pm_buf_addf(&e->line, "\"output_tokens\":%lld}}", PM_KNOWN(event->usage.output));
    pm_encoder_send(e, "message_delta");
    pm_buf_add(&e->line, "{\"type\":\"message_stop\"}");
    pm_encoder_send(e, "message_stop");
}

static void error(struct pm_encoder *e, const char *text)
{
    pm_buf_add(&e->line, "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",");
    pm_encoder_member(e, "message", text);
    pm_buf_add(&e->line, "}}");
    pm_encoder_send(e, "error");
}

void pm_messages_encode(struct pm_encoder *e, const struct pm_canon_event *event)
{
    switch (event->kind) {
    case PM_CANON_START:
        start(e, event);
        break;
    case PM_CANON_OPEN:
        open(e, event);
        break;
    case PM_CANON_DELTA:
        more(e, event->text);
        break;
    case PM_CANON_CLOSE:
        close(e, event);
        break;
    case PM_CANON_STOP:
        stop(e, event);
        break;
    case PM_CANON_ERROR:
        error(e, event->text);
        break;
    }
}
