/* Translated requests: a body of any bytes, read in each protocol and written for each. What is written is JSON, holds
 * what the target wants and nothing that it does not know, reads back, and written again says the same. */
#include "core/api/translate.h"
#include "core/base/text.h"
#include "tests/fuzz/fuzz.h"

enum { WIRES = 3 };

static const enum pm_protocol wires[WIRES] = {PM_PROTO_CHAT, PM_PROTO_RESPONSES, PM_PROTO_MESSAGES};

/* What a body for a target may say at its top. */
static const char *const fields[WIRES][24] = {
    {"model",
     "messages",
     "stream",
     "stream_options",
     "tools",
     "tool_choice",
     "parallel_tool_calls",
     "max_tokens",
     "max_completion_tokens",
     "temperature",
     "top_p",
     "top_k",
     "seed",
     "presence_penalty",
     "frequency_penalty",
     "logit_bias",
     "stop",
     "response_format",
     "reasoning_effort",
     "user"},
    {"model", "instructions", "input", "stream", "store", "tools", "tool_choice", "parallel_tool_calls",
     "max_output_tokens", "temperature", "top_p", "text", "reasoning", "user"},
    {"model", "system", "messages", "stream", "tools", "tool_choice", "thinking", "max_tokens", "temperature", "top_p",
     "top_k", "stop_sequences", "output_config", "metadata"},
};

static void check_fields(const cJSON *root, int to)
{
    const cJSON *item, *before;
    cJSON_ArrayForEach (item, root) {
        size_t i = 0;
        while (fields[to][i] && strcmp(fields[to][i], item->string) != 0)
            i++;
        CHECK(fields[to][i], "%s: the field %s leaks", pm_protocol_name(wires[to]), item->string);
        for (before = root->child; before != item; before = before->next)
            CHECK(strcmp(before->string, item->string) != 0, "%s stands twice", item->string);
    }
    CHECK(strcmp(pm_json_str(root, "model"), "target") == 0 && pm_json_true(root, "stream"),
          "model or stream is lost");
}

static void check_name(const char *name)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    CHECK(name && *name && strlen(name) <= 64 && strspn(name, good) == strlen(name), "a tool is called %s",
          name ? name : "nothing");
}

static void check_id(const char *id)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    CHECK(id && *id && strlen(id) <= 64 && strspn(id, good) == strlen(id), "the id of a call is %s",
          id ? id : "missing");
}

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

/* Each call is followed by its result before anything else is said, in the same order. */
static void check_chat(const cJSON *root)
{
    const cJSON *message, *call, *next, *tool;
    cJSON_ArrayForEach (message, pm_json_get(root, "messages")) {
        const char *role = pm_json_str(message, "role");
        CHECK(pm_json_get(message, "content"), "a message without content");
        CHECK(!is(role, "system") || message == pm_json_get(root, "messages")->child, "a late system message");
        next = message->next;
        cJSON_ArrayForEach (call, pm_json_get(message, "tool_calls")) {
            check_id(pm_json_str(call, "id"));
            check_name(pm_json_str(pm_json_get(call, "function"), "name"));
            CHECK(is(pm_json_str(next, "role"), "tool") &&
                      is(pm_json_str(next, "tool_call_id"), pm_json_str(call, "id")),
                  "the result of call %s is missing", pm_json_str(call, "id"));
            CHECK(cJSON_IsString(pm_json_get(next, "content")), "a result that is no text");
            next = next->next;
        }
        CHECK(!pm_json_get(message, "tool_calls") || !is(pm_json_str(next, "role"), "tool"), "an orphan result");
    }
    cJSON_ArrayForEach (tool, pm_json_get(root, "tools"))
        check_name(pm_json_str(pm_json_get(tool, "function"), "name"));
}

static const cJSON *first_block(const cJSON *message)
{
    const cJSON *content = pm_json_get(message, "content");
    return cJSON_IsArray(content) ? content->child : NULL;
}

static void check_messages(const cJSON *root)
{
    const cJSON *message, *block, *result, *tool, *before = NULL;
    cJSON_ArrayForEach (message, pm_json_get(root, "messages")) {
        CHECK(!before || !is(pm_json_str(message, "role"), pm_json_str(before, "role")), "roles do not alternate");
        CHECK(cJSON_IsString(pm_json_get(message, "content")) || first_block(message), "an empty message");
        before = message;
        result = first_block(message->next);
        for (block = first_block(message); block; block = block->next) {
            const char *type = pm_json_str(block, "type"), *id = pm_json_str(block, "id");
            CHECK(!is(type, "thinking") || *pm_json_str(block, "signature"), "thoughts without a signature");
            CHECK(!is(type, "text") || pm_json_str(block, "text")[strspn(pm_json_str(block, "text"), " \t\r\n\f\v")],
                  "a blank text");
            if (!is(type, "tool_use"))
                continue;
            check_id(id);
            check_name(pm_json_str(block, "name"));
            CHECK(cJSON_IsObject(pm_json_get(block, "input")), "arguments that are no object");
            CHECK(is(pm_json_str(result, "type"), "tool_result") && is(pm_json_str(result, "tool_use_id"), id),
                  "the result of call %s is missing", id);
            result = result->next;
        }
    }
    CHECK(pm_json_num(root, "max_tokens", 0) >= 1, "max_tokens is %f", pm_json_num(root, "max_tokens", 0));
    CHECK(pm_json_num(root, "max_tokens", 0) > pm_json_num(pm_json_get(root, "thinking"), "budget_tokens", 0),
          "the budget is not below max_tokens");
    cJSON_ArrayForEach (tool, pm_json_get(root, "tools"))
        check_name(pm_json_str(tool, "name"));
}

static void check_responses(const cJSON *root)
{
    const cJSON *item, *tool;
    cJSON_ArrayForEach (item, pm_json_get(root, "input")) {
        const char *type = pm_json_str(item, "type");
        CHECK(is(type, "message") || is(type, "function_call") || is(type, "function_call_output"),
              "an item of type %s", type);
        if (!is(type, "message"))
            check_id(pm_json_str(item, "call_id"));
        if (is(type, "function_call"))
            check_name(pm_json_str(item, "name"));
    }
    cJSON_ArrayForEach (tool, pm_json_get(root, "tools"))
        check_name(pm_json_str(tool, "name"));
}

static const struct pm_codec_target targets[] = {
    {.model = "target", .max_tokens = 0, .reasoning = true, .is_llama = true},
    {.model = "target", .max_tokens = 100, .is_openai = true},
};

/* Reads what was written and writes it once more in its own protocol. */
static void rewrite(const struct pm_buf *body, int to, const struct pm_codec_target *t, struct pm_buf *out)
{
    static struct pm_api_request r;
    struct pm_error err = {0};
    struct pm_canon *c;
    const char *name = pm_protocol_name(wires[to]);
    pm_buf_init(out, PM_BUF_OWN_LIMIT);
    CHECK(pm_api_read(wires[to], body->data, body->len, &r, &err) == PM_OK, "%s: not read again: %s\n%s", name,
          err.msg, body->data);
    CHECK(pm_translate_request(&r, wires[to], t, out, &c, &err) == PM_OK, "%s: not translated again: %s\n%s", name,
          err.msg, body->data);
    pm_canon_free(c);
    pm_api_request_release(&r);
}

/* Neighbours of one role may still become one message; then nothing is left to change. */
static void check_again(const struct pm_buf *body, int to, struct pm_codec_target t)
{
    struct pm_buf second, third;
    t.max_tokens = 0; /* the budget for thinking may pass it */
    rewrite(body, to, &t, &second);
    rewrite(&second, to, &t, &third);
    CHECK(strcmp(second.data, third.data) == 0, "%s, written again:\n%s\n%s", pm_protocol_name(wires[to]), second.data,
          third.data);
    pm_buf_release(&second);
    pm_buf_release(&third);
}

static void check_translation(const struct pm_api_request *r, int to, const struct pm_codec_target *t)
{
    struct pm_error err = {0};
    struct pm_canon *c;
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    if (pm_translate_request(r, wires[to], t, &out, &c, &err) == PM_OK) {
        CHECK(pm_json_scan(out.data, out.len, NULL, &err) == PM_OK, "%s: no JSON, %s:\n%s",
              pm_protocol_name(wires[to]), err.msg, out.data);
        cJSON *root = cJSON_ParseWithLength(out.data, out.len);
        CHECK(root, "%s: not parsed: %s", pm_protocol_name(wires[to]), out.data);
        check_fields(root, to);
        if (to == 0)
            check_chat(root);
        else if (to == 1)
            check_responses(root);
        else
            check_messages(root);
        cJSON_Delete(root);
        check_again(&out, to, *t);
    } else {
        CHECK(err.code < 0 && *err.msg, "refused without a word");
        CHECK(pm_utf8_bad(err.msg, strlen(err.msg)) < 0, "refused with half a character: %s", err.msg);
    }
    pm_canon_free(c);
    pm_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int from = 0; from < WIRES; from++) {
        static struct pm_api_request r;
        char *body = fuzz_copy(data, size, 1);
        if (pm_api_read(wires[from], body, size, &r, NULL) == PM_OK) {
            for (int to = 0; to < WIRES; to++)
                for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++)
                    check_translation(&r, to, &targets[i]);
            pm_api_request_release(&r);
        }
        free(body);
    }
    return 0;
}
