#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/assemble.h"
#include "core/api/request.h"

static struct pm_api_request read_ok(enum pm_protocol p, const char *body)
{
    struct pm_api_request r;
    struct pm_error err = {0};
    int rc = pm_api_read(p, body, strlen(body), &r, &err);
    expect(rc == PM_OK, "%s: %s\n", body, err.msg);
    return r;
}

/* What routing sees, in one line. */
static void expect_facts(enum pm_protocol p, const char *body, const char *facts)
{
    struct pm_api_request r = read_ok(p, body);
    struct pm_buf b;
    pm_buf_init(&b, PM_BUF_OWN_LIMIT);
    pm_buf_addf(&b, "model=%s system=%s user=%s result=%s msgs=%u turns=%u tools=%u results=%u images=%u audio=%u",
                r.model, r.system, r.last_user, r.last_tool_result, r.messages, r.user_turns, r.tools, r.tool_results,
                r.images, r.audio);
    pm_buf_addf(&b, " max=%lld%s%s", r.max_tokens, r.stream ? " stream" : "", r.json_schema ? " schema" : "");
    expect(strcmp(b.data, facts) == 0, "%s\n  gives %s\n  instead of %s\n", body, b.data, facts);
    assert_int_equal(strlen(r.system), r.system_len);
    assert_int_equal(strlen(r.last_user), r.last_user_len);
    assert_int_equal(strlen(r.last_tool_result), r.last_tool_result_len);
    pm_buf_release(&b);
    pm_api_request_release(&r);
}

#define USER "{\"role\":\"user\",\"content\":\"hi\"}"

static void chat_requests_are_read(void **state)
{
    (void)state;
    expect_facts(PM_PROTO_CHAT, "{\"model\":\"m\",\"messages\":[" USER "]}",
                 "model=m system= user=hi result= msgs=1 turns=1 tools=0 results=0 images=0 audio=0 max=0");
    expect_facts(PM_PROTO_CHAT,
                 "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"developer\",\"content\":[{"
                 "\"type\":\"text\",\"text\":\"d\"}]}," USER ",{\"role\":\"assistant\",\"content\":null,"
                 "\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
                 "\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"one\"},{\"role\":\"tool\","
                 "\"tool_call_id\":\"2\",\"content\":[{\"type\":\"text\",\"text\":\"two\"}]},"
                 "{\"role\":\"user\",\"content\":\"go \\u00e9\"}],\"tools\":[{\"type\":\"function\"},{}],"
                 "\"stream\":true,\"max_tokens\":7,\"max_completion_tokens\":9}",
                 "model= system=s\nd user=go \xc3\xa9 result=two msgs=7 turns=2 tools=2 results=2 images=0 audio=0"
                 " max=9 stream");
    expect_facts(PM_PROTO_CHAT,
                 "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what\"},{\"type\":"
                 "\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}},{\"type\":\"input_audio\","
                 "\"input_audio\":{\"data\":\"BBBB\",\"format\":\"wav\"}},{\"type\":\"text\",\"text\":\"is it\"}]}],"
                 "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}},\"stream\":null,\"tools\":null}",
                 "model= system= user=what\nis it result= msgs=1 turns=1 tools=0 results=0 images=1 audio=1 max=0"
                 " schema");
}

static void messages_requests_are_read(void **state)
{
    static const enum pm_protocol both[] = {PM_PROTO_MESSAGES, PM_PROTO_COUNT_TOKENS};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        expect_facts(both[i], "{\"model\":\"c\",\"max_tokens\":5,\"system\":\"s\",\"messages\":[" USER "]}",
                     "model=c system=s user=hi result= msgs=1 turns=1 tools=0 results=0 images=0 audio=0 max=5");
        expect_facts(both[i],
                     "{\"system\":[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\"}},"
                     "{\"type\":\"text\",\"text\":\"b\"}],\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":"
                     "[{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\",\"input\":{}}]},{\"role\":\"user\","
                     "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"1\",\"content\":[{\"type\":\"text\","
                     "\"text\":\"out\"},{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":\"AA\"}}]},"
                     "{\"type\":\"text\",\"text\":\"a remark\"}]}],\"tools\":[{\"name\":\"f\"}],\"stream\":false}",
                     "model= system=a\nb user=a remark result=out msgs=3 turns=1 tools=1 results=1 images=1 audio=0"
                     " max=0");
        expect_facts(both[i],
                     "{\"messages\":[" USER ",{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
                     "\"tool_use_id\":\"1\",\"content\":\"plain\"}]}]}",
                     "model= system= user=hi result=plain msgs=2 turns=1 tools=0 results=1 images=0 audio=0 max=0");
    }
}

static void responses_requests_are_read(void **state)
{
    (void)state;
    expect_facts(PM_PROTO_RESPONSES,
                 "{\"model\":\"r\",\"input\":\"hello\",\"instructions\":\"be kind\",\"max_output_tokens\":3}",
                 "model=r system=be kind user=hello result= msgs=0 turns=1 tools=0 results=0 images=0 audio=0 max=3");
    expect_facts(
        PM_PROTO_RESPONSES,
        "{\"input\":[{\"type\":\"message\",\"role\":\"developer\",\"content\":[{\"type\":\"input_text\","
        "\"text\":\"d\"}]},{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"u\"},{\"type\":"
        "\"input_image\",\"image_url\":\"data:x\"}]},{\"type\":\"reasoning\",\"summary\":[]},{\"type\":"
        "\"function_call\",\"call_id\":\"1\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":"
        "\"function_call_output\",\"call_id\":\"1\",\"output\":\"done\"}],\"tools\":[{},{},{}],\"text\":{"
        "\"format\":{\"type\":\"json_schema\"}},\"stream\":true}",
        "model= system=d user=u result=done msgs=5 turns=1 tools=3 results=1 images=1 audio=0 max=0 stream"
        " schema");
}

static void completions_embeddings_and_native_requests_are_read(void **state)
{
    (void)state;
    expect_facts(PM_PROTO_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"once\",\"max_tokens\":4}",
                 "model=m system= user=once result= msgs=0 turns=1 tools=0 results=0 images=0 audio=0 max=4");
    expect_facts(PM_PROTO_COMPLETIONS, "{\"prompt\":[\"a\",\"b\"]}",
                 "model= system= user=a\nb result= msgs=0 turns=1 tools=0 results=0 images=0 audio=0 max=0");
    expect_facts(PM_PROTO_EMBEDDINGS, "{\"model\":\"e\",\"input\":[\"x\",\"y\"]}",
                 "model=e system= user=x\ny result= msgs=0 turns=1 tools=0 results=0 images=0 audio=0 max=0");
    expect_facts(PM_PROTO_EMBEDDINGS, "{\"input\":[1,2,3]}",
                 "model= system= user= result= msgs=0 turns=0 tools=0 results=0 images=0 audio=0 max=0");
    expect_facts(PM_PROTO_NATIVE, "{\"prompt\":\"p\",\"n_predict\":6,\"json_schema\":{}}",
                 "model= system= user=p result= msgs=0 turns=1 tools=0 results=0 images=0 audio=0 max=6 schema");
    expect_facts(PM_PROTO_NATIVE, "{\"content\":\"tokenize me\"}",
                 "model= system= user= result= msgs=0 turns=0 tools=0 results=0 images=0 audio=0 max=0");
}

static void errors_name_the_path_and_what_is_expected(void **state)
{
    static const struct {
        enum pm_protocol p;
        const char *body;
        int rc;
        const char *a, *b;
    } rows[] = {
        {PM_PROTO_CHAT, "", PM_EINVAL, "empty", "JSON object"},
        {PM_PROTO_CHAT, "{", PM_EINVAL, "not valid JSON", "byte 1"},
        {PM_PROTO_CHAT, "[]", PM_EINVAL, "must be a JSON object", ""},
        {PM_PROTO_CHAT, "\"x\"", PM_EINVAL, "must be a JSON object", ""},
        {PM_PROTO_CHAT, "{} {}", PM_EINVAL, "not valid JSON", "byte 3"},
        {PM_PROTO_CHAT, "{}", PM_EINVAL, "`messages` is missing", "array"},
        {PM_PROTO_CHAT, "{\"messages\":\"hi\"}", PM_EINVAL, "`messages` must be an array", "role"},
        {PM_PROTO_CHAT, "{\"messages\":null}", PM_EINVAL, "`messages`", "array"},
        {PM_PROTO_CHAT, "{\"messages\":[]}", PM_EINVAL, "`messages` is empty", "at least one"},
        {PM_PROTO_CHAT, "{\"messages\":[" USER ",7]}", PM_EINVAL, "`messages[1]`", "object"},
        {PM_PROTO_CHAT, "{\"messages\":[" USER ",{}]}", PM_EINVAL, "`messages[1].role`", "string"},
        {PM_PROTO_CHAT, "{\"messages\":[{\"role\":1}]}", PM_EINVAL, "`messages[0].role`", "string"},
        {PM_PROTO_CHAT, "{\"model\":5,\"messages\":[" USER "]}", PM_EINVAL, "`model`", "string"},
        {PM_PROTO_CHAT, "{\"stream\":\"yes\",\"messages\":[" USER "]}", PM_EINVAL, "`stream`", "true or false"},
        {PM_PROTO_CHAT, "{\"tools\":{},\"messages\":[" USER "]}", PM_EINVAL, "`tools`", "array"},
        {PM_PROTO_CHAT, "{\"model\":\"a\",\"messages\":[],\"model\":\"b\"}", PM_EINVAL, "model", "twice"},
        {PM_PROTO_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}", PM_EINVAL, "UTF-8", "byte"},
        {PM_PROTO_CHAT, "{\"user\":\"\\ud800\",\"messages\":[" USER "]}", PM_EINVAL, "surrogate", ""},
        {PM_PROTO_MESSAGES, "{\"system\":\"s\"}", PM_EINVAL, "`messages` is missing", "array"},
        {PM_PROTO_COUNT_TOKENS, "{\"messages\":{}}", PM_EINVAL, "`messages` must be an array", ""},
        {PM_PROTO_RESPONSES, "{}", PM_EINVAL, "`input` is missing", "string or an array"},
        {PM_PROTO_RESPONSES, "{\"input\":5}", PM_EINVAL, "`input` must be", "string or an array"},
        {PM_PROTO_RESPONSES, "{\"input\":[]}", PM_EINVAL, "`input` is empty", ""},
        {PM_PROTO_RESPONSES, "{\"input\":[5]}", PM_EINVAL, "`input[0]`", "object"},
        {PM_PROTO_EMBEDDINGS, "{\"input\":[]}", PM_EINVAL, "`input` is empty", ""},
        {PM_PROTO_EMBEDDINGS, "{}", PM_EINVAL, "`input` is missing", ""},
        {PM_PROTO_COMPLETIONS, "{}", PM_EINVAL, "`prompt` is missing", ""},
        {PM_PROTO_COMPLETIONS, "{\"prompt\":true}", PM_EINVAL, "`prompt` must be", "string or an array"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_api_request r;
        struct pm_error err = {0};
        int rc = pm_api_read(rows[i].p, rows[i].body, strlen(rows[i].body), &r, &err);
        expect(rc == rows[i].rc, "%s: %d\n", rows[i].body, rc);
        expect(strstr(err.msg, rows[i].a) && strstr(err.msg, rows[i].b), "%s: %s\n", rows[i].body, err.msg);
    }
}

static void too_deep_is_told_apart_from_malformed(void **state)
{
    char body[3000] = "{\"messages\":";
    struct pm_api_request r;
    struct pm_error err = {0};
    (void)state;
    for (int i = 0; i < PM_JSON_DEPTH; i++)
        strcat(body, "[");
    for (int i = 0; i < PM_JSON_DEPTH; i++)
        strcat(body, "]");
    strcat(body, "}");
    assert_int_equal(pm_api_read(PM_PROTO_CHAT, body, strlen(body), &r, &err), PM_ETOOBIG);
    assert_non_null(strstr(err.msg, "nested"));
}

static uint64_t conversation(enum pm_protocol p, const char *body)
{
    struct pm_api_request r = read_ok(p, body);
    uint64_t key = r.conversation;
    pm_api_request_release(&r);
    return key;
}

#define SYS  "{\"role\":\"system\",\"content\":\"s\"},"
#define MORE ",{\"role\":\"assistant\",\"content\":\"yes\"},{\"role\":\"user\",\"content\":\"more\"}"

static void all_turns_of_a_conversation_have_one_key(void **state)
{
    static const struct {
        enum pm_protocol p;
        const char *first, *later;
    } rows[] = {
        {PM_PROTO_CHAT, "{\"messages\":[" SYS USER "]}", "{\"messages\":[" SYS USER MORE "],\"stream\":true}"},
        {PM_PROTO_CHAT, "{\"messages\":[" USER "]}",
         "{\"messages\":[" USER ",{\"role\":\"tool\",\"content\":\"r\"}" MORE "]}"},
        {PM_PROTO_MESSAGES, "{\"system\":\"s\",\"messages\":[" USER "]}",
         "{\"messages\":[" USER MORE "],\"system\":[{\"type\":\"text\",\"text\":\"s\"}]}"},
        {PM_PROTO_RESPONSES, "{\"instructions\":\"s\",\"input\":[" USER "]}",
         "{\"instructions\":\"s\",\"input\":[" USER MORE "]}"},
        {PM_PROTO_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"h\\u0069\"}]}", "{\"messages\":[" USER "]}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect(conversation(rows[i].p, rows[i].first) == conversation(rows[i].p, rows[i].later), "row %zu\n", i);
}

/* As agents do that tell the model of a change of the plan or of the sandbox. */
static void an_instruction_in_the_middle_keeps_the_key(void **state)
{
    static const char note[] = ",{\"role\":\"developer\",\"content\":\"the plan has changed\"}";
    char later[500];
    (void)state;
    snprintf(later, sizeof(later), "{\"input\":[" SYS USER "%s" MORE "]}", note);
    assert_true(conversation(PM_PROTO_RESPONSES, "{\"input\":[" SYS USER "]}") ==
                conversation(PM_PROTO_RESPONSES, later));
}

static void other_conversations_have_other_keys(void **state)
{
    static const char *const rows[] = {
        "{\"messages\":[" USER "]}",
        "{\"messages\":[" SYS USER "]}",
        "{\"messages\":[{\"role\":\"system\",\"content\":\"t\"}," USER "]}",
        "{\"messages\":[" SYS "{\"role\":\"user\",\"content\":\"ho\"}]}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t k = 0; k < i; k++)
            expect(conversation(PM_PROTO_CHAT, rows[i]) != conversation(PM_PROTO_CHAT, rows[k]), "%zu, %zu\n", i, k);
}

static void an_image_is_not_counted_as_text(void **state)
{
    struct pm_buf body;
    (void)state;
    pm_buf_init(&body, PM_BUF_OWN_LIMIT);
    pm_buf_add(&body,
               "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"");
    for (int i = 0; i < 10000; i++)
        pm_buf_add(&body, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    pm_buf_add(&body, "\"}}]}]}");
    struct pm_api_request r = read_ok(PM_PROTO_CHAT, body.data);
    assert_in_range(r.prompt_tokens, 100, 3000);
    pm_api_request_release(&r);
    pm_buf_release(&body);
}

static void a_shrunk_request_can_still_be_sent(void **state)
{
    struct pm_api_request r = read_ok(PM_PROTO_CHAT, "{\"model\":\"a\",\"messages\":[" USER "]}");
    struct pm_buf out;
    (void)state;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    pm_api_request_shrink(&r);
    pm_api_body_for_server(&r, "b", &(struct pm_api_wishes){.as_stream = false, .progress = false}, &out);
    assert_string_equal(out.data, "{\"model\":\"b\",\"messages\":[" USER "]}");
    pm_buf_release(&out);
    pm_api_request_release(&r);
}

static void errors_have_the_shape_of_the_callers_protocol(void **state)
{
    static const struct {
        bool anthropic;
        int status;
        const char *code, *body;
    } rows[] = {
        {false, 400, NULL,
         "{\"error\":{\"type\":\"invalid_request_error\","
         "\"message\":\"no \\\"x\\\"\",\"param\":null,\"code\":null}}"},
        {false, 429, "busy",
         "{\"error\":{\"type\":\"rate_limit_error\","
         "\"message\":\"no \\\"x\\\"\",\"param\":null,\"code\":\"busy\"}}"},
        {true, 413, "busy",
         "{\"type\":\"error\",\"error\":{\"type\":\"request_too_large\","
         "\"message\":\"no \\\"x\\\"\"},\"request_id\":\"id\"}"},
        {true, 529, NULL,
         "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
         "\"message\":\"no \\\"x\\\"\"},\"request_id\":\"id\"}"},
        {true, 500, NULL,
         "{\"type\":\"error\",\"error\":{\"type\":\"api_error\","
         "\"message\":\"no \\\"x\\\"\"},\"request_id\":\"id\"}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_buf out;
        pm_buf_init(&out, PM_BUF_OWN_LIMIT);
        pm_api_error_body(rows[i].anthropic, rows[i].status, rows[i].code, "no \"x\"", "id", &out);
        assert_string_equal(out.data, rows[i].body);
        pm_buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat_requests_are_read),
        cmocka_unit_test(messages_requests_are_read),
        cmocka_unit_test(responses_requests_are_read),
        cmocka_unit_test(completions_embeddings_and_native_requests_are_read),
        cmocka_unit_test(errors_name_the_path_and_what_is_expected),
        cmocka_unit_test(too_deep_is_told_apart_from_malformed),
        cmocka_unit_test(all_turns_of_a_conversation_have_one_key),
        cmocka_unit_test(an_instruction_in_the_middle_keeps_the_key),
        cmocka_unit_test(other_conversations_have_other_keys),
        cmocka_unit_test(an_image_is_not_counted_as_text),
        cmocka_unit_test(a_shrunk_request_can_still_be_sent),
        cmocka_unit_test(errors_have_the_shape_of_the_callers_protocol),
    };
    return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
