/* What the tests of answers share: texts of streams that can be read. In them ' stands for a quote, ` for one with its
 * backslash, and what each event of a protocol says alike is shortened (`shorts`). */
#ifndef PM_TESTS_UNIT_STREAM_TEXT_H
#define PM_TESTS_UNIT_STREAM_TEXT_H

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/api/canon_events.h"

/* Of each protocol: what is long and says nothing here, and the sign that the rows have for it. */
static const struct {
    enum pm_protocol protocol;
    const char *text, *sign;
} shorts[] = {
    {PM_PROTO_CHAT, ",'object':'chat.completion.chunk','created':1,'model':'up'", ""},
    {PM_PROTO_CHAT, "'choices':[{'index':0,'delta':", "~"},
    {PM_PROTO_CHAT, ",'finish_reason':null}]}", ""},
    {PM_PROTO_MESSAGES, "'type':'content_block_", "'~"},
    {PM_PROTO_RESPONSES, ",'object':'response','created_at':1,'status':", "~"},
    {PM_PROTO_RESPONSES, ",'background':false,'error':null,'incomplete_details':null", ""},
    {PM_PROTO_RESPONSES, ",'instructions':null,'max_output_tokens':null,'model':'up'", ""},
    {PM_PROTO_RESPONSES,
     ",'parallel_tool_calls':true,'previous_response_id':null,'reasoning':null,'store':false,'temperature':null,'text'"
     ":{'format':{'type':'text'}},'tool_choice':'auto','tools':[],'top_p':null,'truncation':'disabled','user':null,'"
     "metadata':{}",
     ""},
    {PM_PROTO_RESPONSES, "'type':'response.", "'~"},
    {PM_PROTO_RESPONSES, "'annotations':[],'logprobs':[]", "^"},
    {PM_PROTO_RESPONSES, "'sequence_number':", "#"},
};

static inline char *unquoted(const char *text)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    for (; *text; text++)
        pm_buf_add(&out, *text == '\'' ? "\"" : *text == '`' ? "\\\"" : (char[]){*text, 0});
    return pm_buf_take(&out);
}

static inline char *replaced(char *text, const char *what, const char *sign)
{
    struct pm_buf out;
    char *from = text;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    for (char *at; (at = strstr(from, what)); from = at + strlen(what)) {
        pm_buf_addn(&out, from, (size_t)(at - from));
        pm_buf_add(&out, sign);
    }
    pm_buf_add(&out, from);
    free(text);
    return pm_buf_take(&out);
}

static inline char *shortened(struct pm_buf *lines, enum pm_protocol p)
{
    char *text = pm_buf_take(lines);
    for (size_t i = 0; i < COUNT(shorts); i++) {
        char *what = unquoted(shorts[i].text), *sign = unquoted(shorts[i].sign);
        if (shorts[i].protocol == p)
            text = replaced(text, what, sign);
        free(what);
        free(sign);
    }
    return text;
}

/* Lines of JSON, or [DONE], each an event's data; its name is its type. */
static inline void each_event(const char *lines, void (*fn)(void *arg, const char *name, const char *data, size_t len),
                              void *arg)
{
    char *text = unquoted(lines), *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        cJSON *root = cJSON_Parse(line);
        const char *type = pm_json_str(root, "type");
        if (*line)
            fn(arg, type ? type : "", line, strlen(line));
        cJSON_Delete(root);
    }
    free(text);
}

static inline void decode(void *arg, const char *name, const char *data, size_t len)
{
    pm_decoder_event(arg, name, data, len);
}

static inline void encode(void *arg, const struct pm_canon_event *event)
{
    pm_encoder_event(arg, event);
}

static inline void collect(void *arg, const char *name, const char *data, size_t len)
{
    cJSON *root = cJSON_ParseWithLength(data, len);
    const char *type = pm_json_str(root, "type");
    assert_string_equal(name, type ? type : "");
    cJSON_Delete(root);
    pm_buf_addn(arg, data, len);
    pm_buf_add(arg, "\n");
}

static inline struct pm_encoder *new_encoder(enum pm_protocol p, const struct pm_canon *request, struct pm_buf *out)
{
    struct pm_encoder_spec spec = {
        .model = "demo", .created = 1, .prompt_tokens = 7, .wants_usage = true, .request = request};
    pm_buf_init(out, PM_BUF_OWN_LIMIT);
    return pm_encoder_new(p, &spec, collect, out);
}

static inline void same_lines(const char *row, struct pm_buf *lines, enum pm_protocol p, const char *quoted)
{
    char *text = shortened(lines, p), *wanted = unquoted(quoted);
    expect(strcmp(text, wanted) == 0, "%s, to %s:\n%sis wanted, but\n%s", row, pm_protocol_name(p), wanted, text);
    free(text);
    free(wanted);
}

#endif
