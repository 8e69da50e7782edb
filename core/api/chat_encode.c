/* Answers in OpenAI's chat completions, and in the older completions. */
#include "core/api/encode.h"

#include <stdio.h>
#include <string.h>

static bool is_chat(const struct pm_encoder *e)
{
    return e->protocol == PM_PROTO_CHAT;
}

static void begin(struct pm_encoder *e)
{
    pm_buf_add(&e->line, "{");
    pm_encoder_member(e, "id", e->id);
    pm_buf_addf(&e->line, ",\"object\":\"%s\",\"created\":%lld,",
                is_chat(e) ? "chat.completion.chunk" : "text_completion", e->spec.created);
    pm_encoder_member(e, "model", e->model);
}

static void begin_choice(struct pm_encoder *e)
{
    begin(e);
    pm_buf_add(&e->line, ",\"choices\":[{\"index\":0,");
    pm_buf_add(&e->line, is_chat(e) ? "\"delta\":{" : "\"logprobs\":null,");
}

static void end_choice(struct pm_encoder *e, const char *finish)
{
    pm_buf_add(&e->line, is_chat(e) ? "}," : ",");
    if (finish)
        pm_encoder_member(e, "finish_reason", finish);
    else
        pm_buf_add(&e->line, "\"finish_reason\":null");
    pm_buf_add(&e->line, "}]}");
    pm_encoder_send(e, "");
}

static void open_call(struct pm_encoder *e, const struct pm_canon_event *event)
{
    char made_up[32];
    snprintf(made_up, sizeof(made_up), "call_%zu", e->calls);
    begin_choice(e);
    pm_buf_addf(&e->line, "\"tool_calls\":[{\"index\":%zu,", e->calls++);
    pm_encoder_member(e, "id", pm_encoder_call_id(e, event->call_id, made_up));
    pm_buf_add(&e->line, ",\"type\":\"function\",\"function\":{");
    pm_encoder_member(e, "name", pm_encoder_tool_name(e, event->name));
    pm_buf_add(&e->line, ",\"arguments\":\"\"}}]");
    end_choice(e, NULL);
}

static void delta(struct pm_encoder *e, const char *text)
{
    begin_choice(e);
    if (e->block == PM_BLOCK_CALL) {
        pm_buf_addf(&e->line, "\"tool_calls\":[{\"index\":%zu,\"function\":{", e->calls ? e->calls - 1 : 0);
        pm_encoder_member(e, "arguments", text);
        pm_buf_add(&e->line, "}}]");
    } else {
        pm_encoder_member(e,
                          !is_chat(e)                     ? "text"
                          : e->block == PM_BLOCK_THINKING ? "reasoning_content"
                                                          : "content",
                          text);
    }
    end_choice(e, NULL);
}

static void usage(struct pm_encoder *e, const struct pm_canon_usage *u)
{
    long long prompt = PM_KNOWN(u->prompt), output = PM_KNOWN(u->output);
    begin(e);
    pm_buf_addf(&e->line,
                ",\"choices\":[],\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld,"
                "\"prompt_tokens_details\":{\"cached_tokens\":%lld},"
                "\"completion_tokens_details\":{\"reasoning_tokens\":%lld}}}",
                prompt, output, prompt + output, PM_KNOWN(u->cached), PM_KNOWN(u->reasoning));
    pm_encoder_send(e, "");
}

static void stop(struct pm_encoder *e, const struct pm_canon_event *event)
{
    static const char *const words[] = {[PM_STOP_END] = "stop",
                                        [PM_STOP_SEQUENCE] = "stop",
                                        [PM_STOP_LENGTH] = "length",
                                        [PM_STOP_CALLS] = "tool_calls",
                                        [PM_STOP_FILTER] = "content_filter"};
    begin_choice(e);
    if (!is_chat(e))
        pm_encoder_member(e, "text", "");
    end_choice(e, words[event->stop]);
    if (e->spec.wants_usage)
        usage(e, &event->usage);
    pm_buf_add(&e->line, "[DONE]");
    pm_encoder_send(e, "");
}

static void error(struct pm_encoder *e, const char *text)
{
    pm_buf_add(&e->line, "{\"error\":{");
    pm_encoder_member(e, "message", text);
    pm_buf_add(&e->line, ",\"type\":\"server_error\",\"param\":null,\"code\":null}}");
    pm_encoder_send(e, "");
}

void pm_chat_encode(struct pm_encoder *e, const struct pm_canon_event *event)
{
    switch (event->kind) {
    case PM_CANON_START:
        if (!is_chat(e))
            break;
        begin_choice(e);
        pm_buf_add(&e->line, "\"role\":\"assistant\",\"content\":\"\"");
        end_choice(e, NULL);
        break;
    case PM_CANON_OPEN:
        e->block = event->block;
        if (event->block == PM_BLOCK_CALL && is_chat(e))
            open_call(e, event);
        break;
    case PM_CANON_DELTA:
        delta(e, event->text);
        break;
    case PM_CANON_CLOSE:
        break;
    case PM_CANON_STOP:
        stop(e, event);
        break;
    case PM_CANON_ERROR:
        error(e, event->text);
        break;
    }
}
