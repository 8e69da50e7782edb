#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/api/stream.h"
#include "core/api/voice.h"

enum { LIFE = PM_EVENT_LIFECYCLE, CONTENT = PM_EVENT_CONTENT, END = PM_EVENT_END, ERROR = PM_EVENT_ERROR };

#define CHOICE(x) "{\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0," x "}]}"

struct row {
    enum pm_protocol p;
    const char *name, *data;
    int kind;
};

static void expect_kinds(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pm_usage usage = PM_USAGE_UNKNOWN;
        int kind = pm_api_event(rows[i].p, rows[i].name, rows[i].data, strlen(rows[i].data), &usage);
        expect(kind == rows[i].kind, "row %zu: %d instead of %d of %s %s\n", i, kind, rows[i].kind, rows[i].name,
               rows[i].data);
        /* The quick look may only say yes where the whole look sees nothing but content or nothing at all. */
        if (pm_api_event_is_plain(rows[i].p, rows[i].name, rows[i].data, strlen(rows[i].data)))
            expect(kind == CONTENT || kind == LIFE, "row %zu is called plain: %s\n", i, rows[i].data);
    }
}

static void chat_events_are_told_apart(void **state)
{
    static const struct row rows[] = {
        {PM_PROTO_CHAT, "", "", LIFE},
        {PM_PROTO_CHAT, "", "[DONE]", END},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{\"role\":\"assistant\",\"content\":null},\"finish_reason\":null"),
         LIFE},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null"),
         LIFE},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{\"content\":\"a\"},\"finish_reason\":null"), CONTENT},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{\"content\":\" \"}"), CONTENT},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{\"reasoning_content\":\"hm\"}"), CONTENT},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{\"reasoning\":\"hm\"}"), CONTENT},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{\"refusal\":\"no\"}"), CONTENT},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{\"tool_calls\":[{\"index\":0}]}"), CONTENT},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{\"tool_calls\":[]}"), LIFE},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{},\"finish_reason\":\"stop\""), END},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{\"content\":\"z\"},\"finish_reason\":\"length\""), END},
        {PM_PROTO_CHAT, "", "{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}", LIFE},
        {PM_PROTO_CHAT, "", "{\"error\":{\"message\":\"x\"}}", ERROR},
        {PM_PROTO_CHAT, "", "{\"error\":\"x\"}", ERROR},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{\"content\":\"the \\\"error\\\": x\"}"), CONTENT},
        {PM_PROTO_CHAT, "", "{not json", LIFE},
        {PM_PROTO_COMPLETIONS, "", CHOICE("\"text\":\"a\",\"finish_reason\":null"), CONTENT},
        {PM_PROTO_COMPLETIONS, "", CHOICE("\"text\":\"\",\"finish_reason\":null"), LIFE},
        {PM_PROTO_COMPLETIONS, "", CHOICE("\"text\":\"\",\"finish_reason\":\"stop\""), END},
        {PM_PROTO_COMPLETIONS, "", "[DONE]", END},
    };
    (void)state;
    expect_kinds(rows, COUNT(rows));
}

/* As some servers send it with every chunk. */
static void an_error_of_null_is_no_error(void **state)
{
    static const struct row rows[] = {
        {PM_PROTO_CHAT, "", "{\"error\":null,\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", CONTENT},
        {PM_PROTO_NATIVE, "", "{\"error\":null,\"content\":\"a\",\"stop\":false}", CONTENT},
    };
    (void)state;
    expect_kinds(rows, COUNT(rows));
}

static void messages_events_are_told_apart(void **state)
{
    static const struct row rows[] = {
        {PM_PROTO_MESSAGES, "message_start", "{\"type\":\"message_start\",\"message\":{\"content\":[]}}", LIFE},
        {PM_PROTO_MESSAGES, "ping", "{\"type\":\"ping\"}", LIFE},
        {PM_PROTO_MESSAGES, "content_block_start",
         "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}", LIFE},
        {PM_PROTO_MESSAGES, "content_block_delta",
         "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}", CONTENT},
        {PM_PROTO_MESSAGES, "", "{\"type\":\"content_block_delta\",\"delta\":{}}", CONTENT},
        {PM_PROTO_MESSAGES, "content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}", LIFE},
        {PM_PROTO_MESSAGES, "message_delta",
         "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}",
         CONTENT},
        {PM_PROTO_MESSAGES, "message_stop", "{\"type\":\"message_stop\"}", END},
        {PM_PROTO_MESSAGES, "error", "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}", ERROR},
        {PM_PROTO_MESSAGES, "", "", LIFE},
    };
    (void)state;
    expect_kinds(rows, COUNT(rows));
}

static void responses_events_are_told_apart(void **state)
{
#define TYPE(t) t, "{\"type\":\"" t "\"}"
    static const struct row rows[] = {
        {PM_PROTO_RESPONSES, TYPE("response.created"), LIFE},
        {PM_PROTO_RESPONSES, TYPE("response.in_progress"), LIFE},
        {PM_PROTO_RESPONSES, TYPE("response.queued"), LIFE},
        {PM_PROTO_RESPONSES, TYPE("response.output_item.added"), LIFE},
        {PM_PROTO_RESPONSES, TYPE("response.content_part.added"), LIFE},
        {PM_PROTO_RESPONSES, TYPE("response.output_text.delta"), CONTENT},
        {PM_PROTO_RESPONSES, TYPE("response.reasoning_text.delta"), CONTENT},
        {PM_PROTO_RESPONSES, TYPE("response.function_call_arguments.delta"), CONTENT},
        {PM_PROTO_RESPONSES, TYPE("response.output_item.done"), CONTENT},
        {PM_PROTO_RESPONSES, TYPE("response.completed"), END},
        {PM_PROTO_RESPONSES, TYPE("response.incomplete"), END},
        {PM_PROTO_RESPONSES, TYPE("response.failed"), ERROR},
        {PM_PROTO_RESPONSES, TYPE("error"), ERROR},
    };
    (void)state;
    expect_kinds(rows, COUNT(rows));
}

static void native_events_are_told_apart(void **state)
{
    static const struct row rows[] = {
        {PM_PROTO_NATIVE, "", "{\"content\":\"a\",\"stop\":false}", CONTENT},
        {PM_PROTO_NATIVE, "", "{\"content\":\"\",\"stop\":false}", LIFE},
        {PM_PROTO_NATIVE, "", "{\"content\":\"\",\"stop\":true}", END},
        {PM_PROTO_NATIVE, "", "{\"error\":{\"code\":500}}", ERROR},
    };
    (void)state;
    expect_kinds(rows, COUNT(rows));
}

static void the_usual_content_event_is_plain(void **state)
{
    static const struct row rows[] = {
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{\"content\":\"a\"},\"finish_reason\":null"), 1},
        {PM_PROTO_MESSAGES, "content_block_delta", "{\"type\":\"content_block_delta\"}", 1},
        {PM_PROTO_RESPONSES, "response.output_text.delta", "{\"type\":\"response.output_text.delta\"}", 1},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{},\"usage\":{\"prompt_tokens\":1}"), 0},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{},\"timings\":{}"), 0},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{},\"finish_reason\":\"stop\""), 0},
        {PM_PROTO_CHAT, "", CHOICE("\"delta\":{},\"finish_reason\": \"stop\""), 0},
        {PM_PROTO_CHAT, "", "[DONE]", 0},
        {PM_PROTO_MESSAGES, "message_delta", "{\"type\":\"message_delta\"}", 0},
        {PM_PROTO_RESPONSES, "response.completed", "{\"type\":\"response.completed\"}", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect(pm_api_event_is_plain(rows[i].p, rows[i].name, rows[i].data, strlen(rows[i].data)) == rows[i].kind,
               "row %zu: %s\n", i, rows[i].data);
}

static void usage_is_read_in_every_dialect(void **state)
{
    static const struct {
        const char *data;
        long long prompt, cached, output, processed;
    } rows[] = {
        {"{\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":3,\"total_tokens\":13}}", 10, -1, 3, -1},
        {"{\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":4}}}",
         10, 4, 3, -1},
        {"{\"usage\":{\"input_tokens\":5,\"output_tokens\":6,\"cache_read_input_tokens\":7}}", 5, 7, 6, -1},
        {"{\"usage\":{\"input_tokens\":5,\"input_tokens_details\":{\"cached_tokens\":2},\"output_tokens\":0}}", 5, 2,
         0, -1},
        {"{\"timings\":{\"prompt_n\":8,\"cache_n\":90,\"predicted_n\":2,\"prompt_ms\":1.5,\"predicted_ms\":2.5}}", -1,
         90, 2, 8},
        {"{\"usage\":null}", -1, -1, -1, -1},
        {"{\"usage\":{\"prompt_tokens\":\"10\",\"completion_tokens\":-1}}", -1, -1, -1, -1},
        {"{}", -1, -1, -1, -1},
        {"{\"usage\":{\"prompt_tokens\":1}", -1, -1, -1, -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_usage u = PM_USAGE_UNKNOWN;
        pm_api_usage(rows[i].data, strlen(rows[i].data), &u);
        expect(u.prompt == rows[i].prompt && u.cached == rows[i].cached && u.output == rows[i].output &&
                   u.prompt_processed == rows[i].processed,
               "row %zu: %lld %lld %lld %lld\n", i, u.prompt, u.cached, u.output, u.prompt_processed);
    }
}

static void usage_is_gathered_over_the_events_of_a_stream(void **state)
{
    static const struct row rows[] = {
        {PM_PROTO_MESSAGES, "message_start",
         "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,\"cache_read_input_tokens\":4,"
         "\"output_tokens\":1}}}",
         0},
        {PM_PROTO_MESSAGES, "message_delta", "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":12}}", 0},
        {PM_PROTO_MESSAGES, "message_stop", "{\"type\":\"message_stop\"}", 0},
    };
    static const char completed[] = "{\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":3,"
                                    "\"output_tokens\":4,\"input_tokens_details\":{\"cached_tokens\":1}}}}";
    struct pm_usage u = PM_USAGE_UNKNOWN;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        (void)pm_api_event(rows[i].p, rows[i].name, rows[i].data, strlen(rows[i].data), &u);
    assert_int_equal(u.prompt, 9);
    assert_int_equal(u.cached, 4);
    assert_int_equal(u.output, 12);
    u = PM_USAGE_UNKNOWN;
    (void)pm_api_event(PM_PROTO_RESPONSES, "response.completed", completed, sizeof(completed) - 1, &u);
    assert_int_equal(u.prompt, 3);
    assert_int_equal(u.cached, 1);
    assert_int_equal(u.output, 4);
}

static void a_cut_stream_ends_in_an_error_where_the_protocol_has_one(void **state)
{
    static const enum pm_protocol with[] = {PM_PROTO_MESSAGES, PM_PROTO_RESPONSES};
    static const enum pm_protocol without[] = {PM_PROTO_CHAT, PM_PROTO_COMPLETIONS, PM_PROTO_NATIVE,
                                               PM_PROTO_EMBEDDINGS};
    const struct pm_api_identity who = {.response_id = "resp_1", .model = "m", .created = 1, .sequence = 7};
    (void)state;
    for (size_t i = 0; i < COUNT(without); i++)
        assert_null(pm_api_cut_event(without[i], &who, "x"));
    for (size_t i = 0; i < COUNT(with); i++) {
        struct pm_usage u = PM_USAGE_UNKNOWN;
        char *event = pm_api_cut_event(with[i], &who, "it \"broke\"\noff");
        assert_non_null(event);
        char *data = strstr(event, "\ndata: ");
        assert_int_equal(strncmp(event, "event: ", 7), 0);
        assert_non_null(data);
        size_t len = strlen(data);
        assert_string_equal(data + len - 2, "\n\n");
        data[len - 2] = 0;
        data += strlen("\ndata: ");
        assert_null(strchr(data, '\n'));
        assert_int_equal(pm_api_event(with[i], "", data, strlen(data), &u), PM_EVENT_ERROR);
        cJSON *root = pm_json_parse(data, strlen(data), NULL);
        assert_non_null(root);
        assert_non_null(strstr(data, "it \\\"broke\\\"\\noff"));
        cJSON_Delete(root);
        free(event);
    }
}

static void a_prompt_that_is_too_long_is_seen_in_every_dialect(void **state)
{
    static const struct {
        const char *body;
        bool overflow;
    } rows[] = {
        {"{\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size. try increasing the "
         "context size or enable context shift\",\"type\":\"exceed_context_size_error\",\"n_ctx\":512}}",
         true},
        {"{\"error\":{\"message\":\"This model's maximum context length is 8192 tokens. However, ...\",\"code\":"
         "\"context_length_exceeded\"}}",
         true},
        {"{\"error\":{\"code\":\"context_length_exceeded\"}}", true},
        {"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: 210000 "
         "tokens > 200000 maximum\"}}",
         true},
        {"{\"error\":{\"message\":\"messages is missing\"}}", false},
        {"{\"error\":{\"message\":\"rate limit\",\"code\":\"rate_limit_exceeded\"}}", false},
        {"", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect(pm_api_is_context_overflow(rows[i].body, strlen(rows[i].body)) == rows[i].overflow, "row %zu\n", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat_events_are_told_apart),
        cmocka_unit_test(an_error_of_null_is_no_error),
        cmocka_unit_test(messages_events_are_told_apart),
        cmocka_unit_test(responses_events_are_told_apart),
        cmocka_unit_test(native_events_are_told_apart),
        cmocka_unit_test(the_usual_content_event_is_plain),
        cmocka_unit_test(usage_is_read_in_every_dialect),
        cmocka_unit_test(usage_is_gathered_over_the_events_of_a_stream),
        cmocka_unit_test(a_cut_stream_ends_in_an_error_where_the_protocol_has_one),
        cmocka_unit_test(a_prompt_that_is_too_long_is_seen_in_every_dialect),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
