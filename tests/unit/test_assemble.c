#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/api/assemble.h"

#define TAIL "\"messages\":[{\"role\":\"user\",\"content\":\"the \\\"model\\\":\\\"x\\\" \\u00e9 \xc3\xa9\"}]"

static struct pm_api_request read_ok(enum pm_protocol p, const char *body)
{
    struct pm_api_request r;
    struct pm_error err = {0};
    int rc = pm_api_read(p, body, strlen(body), &r, &err);
    expect(rc == PM_OK, "%s: %s\n", body, err.msg);
    return r;
}

static void expect_body(enum pm_protocol p, const char *body, const char *model, bool stream, bool progress,
                        const char *expected)
{
    struct pm_api_request r = read_ok(p, body);
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    pm_api_body_for_server(&r, model, &(struct pm_api_wishes){.as_stream = stream, .progress = progress}, &out);
    expect(strcmp(out.data, expected) == 0, "%s\n  became %s\n  instead of %s\n", body, out.data, expected);
    assert_int_equal(pm_json_scan(out.data, out.len, NULL, NULL), PM_OK);
    pm_buf_release(&out);
    pm_api_request_release(&r);
}

static void the_model_is_exchanged_and_every_other_byte_is_kept(void **state)
{
    static const struct {
        const char *body, *expected;
    } rows[] = {
        {"{\"model\":\"a\"," TAIL "}", "{\"model\":\"b \\\"q\\\"\"," TAIL "}"},
        {" {\t\"temperature\" : 1.0e0 ,\n \"model\" : \"a\\u0062\" , " TAIL " }\r\n",
         " {\t\"temperature\" : 1.0e0 ,\n \"model\" : \"b \\\"q\\\"\" , " TAIL " }\r\n"},
        {"{" TAIL ",\"metadata\":{\"model\":\"a\"},\"model\":\"\"}",
         "{" TAIL ",\"metadata\":{\"model\":\"a\"},\"model\":\"b \\\"q\\\"\"}"},
        {"{" TAIL "}", "{\"model\":\"b \\\"q\\\"\"," TAIL "}"},
        {"{" TAIL ",\"big\":123456789012345678901234567890,\"e\":1E+5}",
         "{\"model\":\"b \\\"q\\\"\"," TAIL ",\"big\":123456789012345678901234567890,\"e\":1E+5}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_body(PM_PROTO_CHAT, rows[i].body, "b \"q\"", false, false, rows[i].expected);
    expect_body(PM_PROTO_NATIVE, "{}", "b", false, false, "{\"model\":\"b\"}");
    expect_body(PM_PROTO_NATIVE, " { } ", "b", false, false, " {\"model\":\"b\" } ");
}

/* Another reader decodes it: the name must not stand there under a second spelling. */
static void a_model_that_is_spelled_with_an_escape_is_exchanged_or_refused(void **state)
{
    static const char body[] = "{\"\\u006dodel\":\"a\"," TAIL "}";
    struct pm_api_request r;
    (void)state;
    if (pm_api_read(PM_PROTO_CHAT, body, sizeof(body) - 1, &r, NULL) != PM_OK)
        return;
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    assert_string_equal(r.model, "a");
    pm_api_body_for_server(&r, "b", &(struct pm_api_wishes){.as_stream = false, .progress = false}, &out);
    assert_null(strstr(out.data, "\"a\""));
    pm_buf_release(&out);
    pm_api_request_release(&r);
}

static void a_stream_is_asked_for_with_usage(void **state)
{
    (void)state;
    expect_body(PM_PROTO_CHAT, "{\"model\":\"a\"," TAIL "}", "b", true, false,
                "{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"b\"," TAIL "}");
    expect_body(PM_PROTO_CHAT, "{\"stream\":false,\"stream_options\":null," TAIL ",\"model\":\"a\"}", "b", true, false,
                "{\"stream\":true,\"stream_options\":{\"include_usage\":true}," TAIL ",\"model\":\"b\"}");
    expect_body(PM_PROTO_MESSAGES, "{\"stream\":false,\"model\":\"a\"," TAIL "}", "b", true, true,
                "{\"stream\":true,\"model\":\"b\"," TAIL "}");
}

static void progress_is_asked_for_unless_the_caller_has_an_opinion(void **state)
{
    (void)state;
    expect_body(PM_PROTO_CHAT, "{\"model\":\"a\"," TAIL "}", "b", false, true,
                "{\"return_progress\":true,\"model\":\"b\"," TAIL "}");
    expect_body(PM_PROTO_CHAT, "{\"model\":\"a\",\"return_progress\":false," TAIL "}", "b", false, true,
                "{\"model\":\"b\",\"return_progress\":false," TAIL "}");
    assert_true(pm_api_event_is_progress("{\"prompt_progress\":{}}", 22));
    static const char quoted[] = "{\"content\":\"\\\"prompt_progress\\\":\"}";
    assert_false(pm_api_event_is_progress(quoted, sizeof(quoted) - 1));
}

static void only_one_plain_answer_can_be_assembled(void **state)
{
    static const struct {
        enum pm_protocol p;
        const char *body;
        bool can;
    } rows[] = {
        {PM_PROTO_CHAT, "{" TAIL "}", true},
        {PM_PROTO_CHAT, "{\"n\":1,\"logprobs\":false," TAIL "}", true},
        {PM_PROTO_CHAT, "{\"n\":2," TAIL "}", false},
        {PM_PROTO_CHAT, "{\"logprobs\":true," TAIL "}", false},
        {PM_PROTO_CHAT, "{\"stream\":true," TAIL "}", false},
        {PM_PROTO_MESSAGES, "{" TAIL "}", true},
        {PM_PROTO_COUNT_TOKENS, "{" TAIL "}", false},
        {PM_PROTO_RESPONSES, "{\"input\":\"x\"}", true},
        {PM_PROTO_COMPLETIONS, "{\"prompt\":\"x\"}", true},
        {PM_PROTO_COMPLETIONS, "{\"prompt\":[\"x\",\"y\"]}", false},
        {PM_PROTO_COMPLETIONS, "{\"prompt\":\"x\",\"echo\":true}", false},
        {PM_PROTO_EMBEDDINGS, "{\"input\":\"x\"}", false},
        {PM_PROTO_NATIVE, "{\"prompt\":\"x\"}", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_api_request r = read_ok(rows[i].p, rows[i].body);
        expect(pm_api_can_assemble(&r) == rows[i].can, "row %zu: %s\n", i, rows[i].body);
        pm_api_request_release(&r);
    }
}

/* Feeds the events up to `n`, and gives the body. */
static char *assemble(enum pm_protocol p, const char *const *events, size_t n)
{
    struct pm_assembly *a = pm_assembly_new(p);
    for (size_t i = 0; i < n; i++)
        pm_assembly_event(a, "", events[i], strlen(events[i]));
    char *body = pm_assembly_body(a);
    pm_assembly_free(a);
    return body;
}

static void expect_assembled(enum pm_protocol p, const char *const *events, size_t n, size_t ended,
                             const char *expected)
{
    for (size_t k = 0; k < ended; k++)
        assert_null(assemble(p, events, k)); /* not come to its end */
    char *body = assemble(p, events, n);
    assert_non_null(body);
    cJSON *got = cJSON_Parse(body), *want = cJSON_Parse(expected);
    assert_non_null(want);
    expect(cJSON_Compare(got, want, true), "%s\n  instead of\n%s\n", body, expected);
    cJSON_Delete(got);
    cJSON_Delete(want);
    free(body);
}

#define CHUNK "{\"id\":\"i\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m\","

static void a_chat_answer_is_put_together(void **state)
{
    static const char *const events[] = {
        CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}]}",
        CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}]}",
        CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}",
        "not JSON",
        CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo \\\"x\\\"\"}}]}",
        CHUNK "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}",
        CHUNK "\"choices\":[],\"usage\":{\"prompt_tokens\":3},\"timings\":{\"prompt_n\":2}}",
        "[DONE]",
    };
    (void)state;
    expect_assembled(PM_PROTO_CHAT, events, COUNT(events), 6,
                     "{\"id\":\"i\",\"object\":\"chat.completion\",\"created\":5,\"model\":\"m\",\"choices\":[{"
                     "\"finish_reason\":\"stop\",\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
                     "\"Hello \\\"x\\\"\",\"reasoning_content\":\"hm\"}}],\"usage\":{\"prompt_tokens\":3},"
                     "\"timings\":{\"prompt_n\":2}}");
}

static void tool_calls_are_put_together_by_their_index(void **state)
{
#define CALL(x) CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[" x "]}}]}"
    static const char *const events[] = {
        CALL(
            "{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\"}}"),
        CALL("{\"index\":1,\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}"),
        CALL("{\"index\":0,\"function\":{\"arguments\":\"\\\":1}\"}},{\"index\":1,\"function\":{\"arguments\":\"{}\"}"
             "}"),
        CALL("{\"index\":100000,\"id\":\"z\"},{\"index\":-1,\"id\":\"z\"}"),
        CHUNK "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}",
    };
    (void)state;
    expect_assembled(
        PM_PROTO_CHAT, events, COUNT(events), 5,
        "{\"id\":\"i\",\"object\":\"chat.completion\",\"created\":5,\"model\":\"m\",\"choices\":[{"
        "\"finish_reason\":\"tool_calls\",\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,"
        "\"tool_calls\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
        "\"{\\\"x\\\":1}\"},\"id\":\"a\"},{\"type\":\"function\",\"function\":{\"name\":\"g\","
        "\"arguments\":\"{}\"},\"id\":\"b\"}]}}]}");
}

static void a_messages_answer_is_put_together(void **state)
{
#define DELTA(i, x) "{\"type\":\"content_block_delta\",\"index\":" i ",\"delta\":{" x "}}"
#define START(i, x) "{\"type\":\"content_block_start\",\"index\":" i ",\"content_block\":{" x "}}"
    static const char *const events[] = {
        "{\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"type\":\"message\",\"content\":[],\"stop_reason\":"
        "null,"
        "\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}",
        START("0", "\"type\":\"thinking\",\"thinking\":\"\""),
        DELTA("0", "\"type\":\"thinking_delta\",\"thinking\":\"hm\""),
        DELTA("0", "\"type\":\"signature_delta\",\"signature\":\"sig\""),
        START("1", "\"type\":\"text\",\"text\":\"\""),
        DELTA("1", "\"type\":\"text_delta\",\"text\":\"Hel\""),
        DELTA("1", "\"type\":\"text_delta\",\"text\":\"lo\""),
        START("2", "\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}"),
        DELTA("2", "\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"x\\\"\""),
        DELTA("2", "\"type\":\"input_json_delta\",\"partial_json\":\":1}\""),
        DELTA("7", "\"text\":\"lost\""),
        "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":12}}",
        "{\"type\":\"message_stop\"}",
    };
    (void)state;
    expect_assembled(
        PM_PROTO_MESSAGES, events, COUNT(events), COUNT(events),
        "{\"id\":\"i\",\"type\":\"message\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\","
        "\"signature\":\"sig\"},{\"type\":\"text\",\"text\":\"Hello\"},{\"type\":\"tool_use\",\"id\":\"t\","
        "\"name\":\"f\",\"input\":{\"x\":1}}],\"stop_reason\":\"tool_use\",\"usage\":{\"input_tokens\":9,"
        "\"output_tokens\":12}}");
}

static void a_response_and_a_completion_are_put_together(void **state)
{
    static const char *const response[] = {
        "{\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\"}}",
        "{\"type\":\"response.output_text.delta\",\"delta\":\"x\"}",
        "{\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[1]}}",
    };
    static const char *const completion[] = {
        "{\"object\":\"text_completion\",\"choices\":[{\"text\":\"a\",\"index\":0,\"finish_reason\":null}]}",
        "{\"object\":\"text_completion\",\"choices\":[{\"text\":\"b\",\"index\":0,\"finish_reason\":\"length\"}]}",
    };
    (void)state;
    expect_assembled(PM_PROTO_RESPONSES, response, 3, 3, "{\"status\":\"completed\",\"output\":[1]}");
    expect_assembled(PM_PROTO_COMPLETIONS, completion, 2, 2,
                     "{\"object\":\"text_completion\",\"choices\":[{\"finish_reason\":\"length\",\"index\":0,\"text\":"
                     "\"ab\",\"logprobs\":null}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_is_exchanged_and_every_other_byte_is_kept),
        cmocka_unit_test(a_model_that_is_spelled_with_an_escape_is_exchanged_or_refused),
        cmocka_unit_test(a_stream_is_asked_for_with_usage),
        cmocka_unit_test(progress_is_asked_for_unless_the_caller_has_an_opinion),
        cmocka_unit_test(only_one_plain_answer_can_be_assembled),
        cmocka_unit_test(a_chat_answer_is_put_together),
        cmocka_unit_test(tool_calls_are_put_together_by_their_index),
        cmocka_unit_test(a_messages_answer_is_put_together),
        cmocka_unit_test(a_response_and_a_completion_are_put_together),
    };
    return cmocka_run_group_tests_name("assemble", tests, NULL, NULL);
}
