#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/request.h"

#define SYSTEM   "{\"role\":\"system\",\"content\":\"be good\"}"
#define USER(t)  "{\"role\":\"user\",\"content\":\"" t "\"}"
#define SAID(t)  "{\"role\":\"assistant\",\"content\":\"" t "\"}"
#define BODY(m)  "{\"messages\":[" m "]}"
#define INPUT(m) "{\"instructions\":\"be good\",\"input\":[" m "]}"

static struct pm_api_request read_ok(enum pm_protocol p, const char *body)
{
    struct pm_api_request r;
    struct pm_error err = {0};
    int rc = pm_api_read(p, body, strlen(body), &r, &err);
    expect(rc == PM_OK, "%s: %s\n", body, err.msg);
    return r;
}

/* --- what the tools came to --- */

static void expect_progress(enum pm_protocol p, const char *body, const char *facts)
{
    struct pm_api_request r = read_ok(p, body);
    const struct pm_progress *g = &r.progress;
    char got[200];
    snprintf(got, sizeof(got),
             "steps=%u refused=%u passing=%u failed=%u critical=%u read=%u edit=%u run=%u repeats=%u streak=%u "
             "edits=%u loop=%d",
             g->steps, g->errors[PM_STEP_REFUSED], g->errors[PM_STEP_PASSING], g->errors[PM_STEP_FAILED],
             g->errors[PM_STEP_CRITICAL], g->kinds[PM_STEP_READ], g->kinds[PM_STEP_EDIT], g->kinds[PM_STEP_RUN],
             g->repeats, g->streak, g->last_edits, r.tool_loop);
    expect(strcmp(got, facts) == 0, "%s\n  gives %s\n  instead of %s\n", body, got, facts);
    pm_api_request_release(&r);
}

#define CHAT_CALL(id, name, args)                                                                                     \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"arguments\":\"" args "\"}}"
#define CHAT_CALLS(calls)     "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" calls "]}"
#define CHAT_RESULT(id, text) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"" text "\"}"

#define EDITS_AND_RUNS CHAT_CALLS(CHAT_CALL("1", "edit", "{}") "," CHAT_CALL("2", "bash", "{}"))
#define READS          CHAT_CALLS(CHAT_CALL("1", "read", "{}"))
#define HAS_READ       CHAT_RESULT("1", "a")

/* No ids, and a text in parts. */
#define OF_OLD "{\"role\":\"function\",\"name\":\"read\",\"content\":[{\"type\":\"text\",\"text\":\"no such file\"}]}"

static void chat_tells_of_its_tools(void **state)
{
    (void)state;
    expect_progress(PM_PROTO_CHAT, BODY(SYSTEM "," USER("go")),
                    "steps=0 refused=0 passing=0 failed=0 critical=0 read=0 edit=0 run=0 repeats=0 streak=0 edits=0 "
                    "loop=0");
    expect_progress(PM_PROTO_CHAT,
                    BODY(USER("go") "," EDITS_AND_RUNS "," CHAT_RESULT("2", "2 failed") "," CHAT_RESULT("1", "done")),
                    "steps=2 refused=0 passing=0 failed=1 critical=0 read=0 edit=1 run=1 repeats=0 streak=1 edits=1 "
                    "loop=1");
    expect_progress(PM_PROTO_CHAT, BODY(USER("go") "," READS "," OF_OLD),
                    "steps=1 refused=1 passing=0 failed=0 critical=0 read=1 edit=0 run=0 repeats=0 streak=1 edits=0 "
                    "loop=1");
    expect_progress(PM_PROTO_CHAT, BODY(USER("go") "," READS "," HAS_READ "," READS "," HAS_READ "," SAID("so")),
                    "steps=2 refused=0 passing=0 failed=0 critical=0 read=2 edit=0 run=0 repeats=1 streak=0 edits=0 "
                    "loop=0");
}

#define USE(id, name, input)                                                                                          \
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name                  \
    "\",\"input\":" input "}]}"
#define USED(id, more)                                                                                                \
    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\"" more "}]}"

#define EDITS(id) USE(id, "Edit", "{\"a\":1}")
#define EDITED    USED("1", ",\"content\":\"done\"")
#define REFUSED   USED("2", ",\"is_error\":true,\"content\":\"it was not wanted\"")
#define CRASHED   USED("1", ",\"is_error\":false,\"content\":[{\"type\":\"text\",\"text\":\"Segmentation fault\"}]")

static void messages_tell_of_their_tools(void **state)
{
    static const enum pm_protocol both[] = {PM_PROTO_MESSAGES, PM_PROTO_COUNT_TOKENS};
    (void)state;
    for (size_t i = 0; i < COUNT(both); i++) {
        expect_progress(both[i], BODY(USER("go") "," EDITS("1") "," EDITED "," EDITS("2") "," REFUSED),
                        "steps=2 refused=1 passing=0 failed=0 critical=0 read=0 edit=2 run=0 repeats=1 streak=1 "
                        "edits=1 loop=1");
        expect_progress(both[i], BODY(USER("go") "," USE("1", "Bash", "{}") "," CRASHED),
                        "steps=1 refused=0 passing=0 failed=0 critical=1 read=0 edit=0 run=1 repeats=0 streak=1 "
                        "edits=0 loop=1");
        /* a result without a content is one */
        expect_progress(both[i], BODY(USER("go") "," USE("1", "Edit", "{}") "," USED("1", "")),
                        "steps=1 refused=0 passing=0 failed=0 critical=0 read=0 edit=1 run=0 repeats=0 streak=0 "
                        "edits=1 loop=1");
    }
}

#define FUNCTION(id, name, args)                                                                                      \
    "{\"type\":\"function_call\",\"call_id\":\"" id "\",\"name\":\"" name "\",\"arguments\":\"" args "\"}"
#define OUTPUT(id, text) "{\"type\":\"function_call_output\",\"call_id\":\"" id "\",\"output\":\"" text "\"}"

#define REASONED "{\"type\":\"reasoning\",\"summary\":[]}"
#define LISTS    FUNCTION("1", "exec_command", "{\\\"cmd\\\":\\\"ls\\\"}")
#define MAKES    FUNCTION("2", "exec_command", "{\\\"cmd\\\":\\\"make\\\"}")
#define MADE_NOT OUTPUT("2", "Process exited with code 2")
#define LISTED   OUTPUT("1", "a.c")
#define PATCHES                                                                                                       \
    "{\"type\":\"custom_tool_call\",\"call_id\":\"c\",\"name\":\"apply_patch\",\"input\":\"*** Begin Patch\"}"
#define PATCHED "{\"type\":\"custom_tool_call_output\",\"call_id\":\"c\",\"output\":\"Success\"}"

static void responses_tell_of_their_tools(void **state)
{
    (void)state;
    expect_progress(PM_PROTO_RESPONSES, INPUT(USER("go") "," REASONED "," LISTS "," MAKES "," MADE_NOT "," LISTED),
                    "steps=2 refused=0 passing=0 failed=1 critical=0 read=1 edit=0 run=1 repeats=0 streak=1 edits=0 "
                    "loop=1");
    expect_progress(PM_PROTO_RESPONSES, INPUT(USER("go") "," PATCHES "," PATCHED),
                    "steps=1 refused=0 passing=0 failed=0 critical=0 read=0 edit=1 run=0 repeats=0 streak=0 edits=1 "
                    "loop=1");
    expect_progress(PM_PROTO_RESPONSES,
                    INPUT(USER("go") "," FUNCTION("1", "read", "{}") "," OUTPUT("1", "a") "," SAID("so")),
                    "steps=1 refused=0 passing=0 failed=0 critical=0 read=1 edit=0 run=0 repeats=0 streak=0 edits=0 "
                    "loop=0");
}

static void a_tool_loop_ends_with_words_of_the_user(void **state)
{
    static const struct {
        const char *body;
        bool loop;
    } rows[] = {
        {BODY(USER("go")), false},
        {BODY(USER("go") "," USE("1", "Edit", "{}") "," USED("1", "")), true},
        {BODY(USER("go") "," USE("1", "Edit", "{}") "," USED("1", "") "," SAID("done")), false},
        {BODY(USER("go") "," USE("1", "Edit", "{}") "," USED("1", "") "," SAID("done") "," USER("more")), false},
        /* a harness hands back the result with a remark */
        {BODY(USER("go") "," USE("1", "Edit", "{}") ",{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
                                                    "\"tool_use_id\":\"1\"},{\"type\":\"text\",\"text\":"
                                                    "\"<system-reminder>x</system-reminder>\"}]}"),
         true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_api_request r = read_ok(PM_PROTO_MESSAGES, rows[i].body);
        expect(r.tool_loop == rows[i].loop, "%s: %d\n", rows[i].body, r.tool_loop);
        pm_api_request_release(&r);
    }
}

static void fences_are_of_the_last_words(void **state)
{
    static const struct {
        const char *body;
        unsigned fences;
    } rows[] = {
        {BODY(USER("no code")), 0},
        {BODY(USER("a ```c\\nint a;\\n``` b")), 1},
        {BODY(USER("```\\na\\n```\\n```\\nb\\n```")), 2},
        {BODY(USER("```\\nnever closed")), 1},
        {BODY(USER("`a` ``b``")), 0},
        {BODY(USER("```a```") "," SAID("```b``` ```c```") "," USER("so")), 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_api_request r = read_ok(PM_PROTO_CHAT, rows[i].body);
        expect(r.fences == rows[i].fences, "%s: %u\n", rows[i].body, r.fences);
        pm_api_request_release(&r);
    }
}

static void images_are_counted_once(void **state)
{
    static const char image[] = BODY("{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{}},"
                                     "{\"type\":\"text\",\"text\":\"look\"}]}");
    static const char in_a_result[] =
        BODY(USER("go") "," USE("1", "Read", "{}") "," USED("1", ",\"content\":[{\"type\":\"image\",\"source\":{}},"
                                                                 "{\"type\":\"image\",\"source\":{}}]"));
    static const char in_an_output[] =
        INPUT(USER("go") "," FUNCTION("1", "view_image", "{}") ",{\"type\":\"function_call_output\",\"call_id\":"
                                                               "\"1\",\"output\":[{\"type\":\"input_image\","
                                                               "\"image_url\":\"data:\"}]}");
    (void)state;
    struct pm_api_request r = read_ok(PM_PROTO_MESSAGES, image);
    assert_int_equal(r.images, 1);
    pm_api_request_release(&r);
    r = read_ok(PM_PROTO_MESSAGES, in_a_result);
    assert_int_equal(r.images, 2);
    pm_api_request_release(&r);
    r = read_ok(PM_PROTO_RESPONSES, in_an_output);
    assert_int_equal(r.images, 1);
    pm_api_request_release(&r);
}

/* --- fingerprints --- */

static bool goes_on(enum pm_protocol p, const char *before, const char *after)
{
    struct pm_api_request a = read_ok(p, before), b = read_ok(p, after);
    bool found = false;
    for (unsigned i = 1; i < b.n_chain; i++)
        found |= b.chain[i] == a.chain[0];
    expect(b.chain[0] != a.chain[0], "%s\n%s\n  have one fingerprint\n", before, after);
    pm_api_request_release(&a);
    pm_api_request_release(&b);
    return found;
}

struct turns {
    enum pm_protocol protocol;
    const char *what, *before, *after;
};

#define CACHED             ",\"cache_control\":{\"type\":\"ephemeral\"}"
#define TEXT(t, more)      "{\"type\":\"text\",\"text\":\"" t "\"" more "}"
#define PARTS(role, parts) "{\"role\":\"" role "\",\"content\":[" parts "]}"
#define REMINDER           TEXT("<system-reminder>be brief</system-reminder>", "")

#define IMAGE(data) "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64," data "\"}}"

static const struct turns turns[] = {
    {PM_PROTO_CHAT, "a turn more", BODY(SYSTEM "," USER("a")), BODY(SYSTEM "," USER("a") "," SAID("b") "," USER("c"))},
    {PM_PROTO_CHAT, "a tool's result", BODY(USER("a")),
     BODY(USER("a") "," CHAT_CALLS(CHAT_CALL("1", "f", "{}")) "," CHAT_RESULT("1", "r"))},
    {PM_PROTO_CHAT, "a result after a result",
     BODY(USER("a") "," CHAT_CALLS(CHAT_CALL("1", "f", "{}")) "," CHAT_RESULT("1", "r")),
     BODY(USER("a") "," CHAT_CALLS(CHAT_CALL("1", "f", "{}")) "," CHAT_RESULT("1", "r") "," CHAT_CALLS(
         CHAT_CALL("2", "f", "{}")) "," CHAT_RESULT("2", "s"))},
    {PM_PROTO_CHAT, "two messages of the user", BODY(USER("a") "," USER("b")),
     BODY(USER("a") "," USER("b") "," SAID("c") "," USER("d"))},
    {PM_PROTO_CHAT, "a string becomes a part", BODY(SYSTEM "," USER("a")),
     BODY(SYSTEM "," PARTS("user", TEXT("a", "")) "," SAID("b") "," USER("c"))},
    {PM_PROTO_CHAT, "a part becomes a string", BODY(SYSTEM "," PARTS("user", TEXT("a", CACHED))),
     BODY(SYSTEM "," USER("a") "," SAID("b") "," USER("c"))},
    {PM_PROTO_CHAT, "the system becomes a part", BODY(SYSTEM "," USER("a")),
     BODY(PARTS("system", TEXT("be good", CACHED)) "," USER("a") "," SAID("b") "," USER("c"))},
    {PM_PROTO_CHAT, "a result becomes a string",
     BODY(USER("a") "," CHAT_CALLS(
         CHAT_CALL("1", "f", "{}")) ",{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":[" TEXT("r", CACHED) "]}"),
     BODY(USER("a") "," CHAT_CALLS(CHAT_CALL("1", "f", "{}")) "," CHAT_RESULT("1", "r") "," CHAT_CALLS(
         CHAT_CALL("2", "f", "{}")) "," CHAT_RESULT("2", "s"))},
    {PM_PROTO_CHAT, "a question after a result",
     BODY(USER("a") "," CHAT_CALLS(CHAT_CALL("1", "f", "{}")) "," CHAT_RESULT("1", "r")),
     BODY(USER("a") "," CHAT_CALLS(CHAT_CALL("1", "f", "{}")) "," CHAT_RESULT("1", "r") "," SAID("b") "," USER("c"))},
    {PM_PROTO_MESSAGES, "a turn more", "{\"system\":\"s\",\"messages\":[" USER("a") "]}",
     "{\"system\":\"s\",\"messages\":[" USER("a") "," SAID("b") "," USER("c") "]}"},
    {PM_PROTO_MESSAGES, "a system in the middle", BODY(USER("a") "," PARTS("system", TEXT("x", CACHED))),
     BODY(USER("a") ",{\"role\":\"system\",\"content\":\"x\"}," SAID("b") "," USER("c"))},
    {PM_PROTO_MESSAGES, "cache_control moves", BODY(PARTS("user", TEXT("a", CACHED))),
     BODY(PARTS("user", TEXT("a", "")) "," PARTS("assistant", TEXT("b", "")) "," PARTS("user", TEXT("c", CACHED)))},
    {PM_PROTO_MESSAGES, "cache_control moves from a result",
     BODY(USER("a") "," USE("1", "f", "{}") "," USED("1", ",\"content\":\"r\"" CACHED)),
     BODY(USER("a") "," USE("1", "f", "{}") "," USED("1", ",\"content\":\"r\"") "," USE("2", "f", "{}") "," USED(
         "2", ",\"content\":\"s\"" CACHED))},
    {PM_PROTO_MESSAGES, "cache_control moves from a result's part",
     BODY(USER("a") "," USE("1", "f", "{}") "," USED("1", ",\"content\":[" TEXT("r", CACHED) "]")),
     BODY(USER("a") "," USE("1", "f", "{}") "," USED("1", ",\"content\":[" TEXT("r", "") "]") "," USE(
         "2", "f", "{}") "," USED("2", ",\"content\":\"s\""))},
    {PM_PROTO_MESSAGES, "the system's cache_control moves",
     "{\"system\":[" TEXT("s", CACHED) "],\"messages\":[" USER("a") "]}",
     "{\"system\":[" TEXT("s", "") "],\"messages\":[" USER("a") "," SAID("b") "," USER("c") "]}"},
    {PM_PROTO_MESSAGES, "a reminder goes", BODY(USER("a") "," SAID("b") "," PARTS("user", TEXT("c", "") "," REMINDER)),
     BODY(USER("a") "," SAID("b") "," USER("c") "," SAID("d") "," USER("e"))},
    {PM_PROTO_MESSAGES, "a reminder comes", BODY(USER("a") "," SAID("b") "," USER("c")),
     BODY(USER("a") "," SAID("b") "," PARTS("user", REMINDER "," TEXT("c", "")) "," SAID("d") "," USER("e"))},
    {PM_PROTO_MESSAGES, "a reminder goes from the first message", BODY(PARTS("user", REMINDER "," TEXT("a", ""))),
     BODY(PARTS("user", TEXT("a", "")) "," SAID("b") "," USER("c"))},
    {PM_PROTO_MESSAGES, "a reminder goes from beside a result",
     BODY(USER("a") "," USE("1", "f", "{}") ",{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
                                            "\"tool_use_id\":\"1\",\"content\":\"r\"}," REMINDER "]}"),
     BODY(USER("a") "," USE("1", "f", "{}") "," USED("1", ",\"content\":\"r\"") "," SAID("d") "," USER("e"))},
    {PM_PROTO_RESPONSES, "a turn more", INPUT(USER("a")), INPUT(USER("a") "," SAID("b") "," USER("c"))},
    {PM_PROTO_RESPONSES, "a string becomes a message", "{\"instructions\":\"be good\",\"input\":\"a\"}",
     INPUT(USER("a") "," SAID("b") "," USER("c"))},
    {PM_PROTO_RESPONSES, "a tool's result", INPUT(USER("a")),
     INPUT(USER("a") ",{\"type\":\"reasoning\",\"summary\":[]}," FUNCTION("1", "f", "{}") "," OUTPUT("1", "r"))},
    {PM_PROTO_RESPONSES, "a message with an id", INPUT(USER("a") "," FUNCTION("1", "f", "{}") "," OUTPUT("1", "r")),
     INPUT("{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":"
           "\"a\"}]}," FUNCTION("1", "f", "{}") "," OUTPUT("1", "r") "," SAID("b") "," USER("c"))},
};

static void a_later_turn_knows_the_earlier_one(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(turns); i++) {
        if (goes_on(turns[i].protocol, turns[i].before, turns[i].after))
            continue;
        print_error("%s: %s\n  %s\n  %s\n", pm_protocol_name(turns[i].protocol), turns[i].what, turns[i].before,
                    turns[i].after);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static const struct turns others[] = {
    {PM_PROTO_CHAT, "another question", BODY(USER("a")), BODY(USER("x") "," SAID("b") "," USER("c"))},
    {PM_PROTO_CHAT, "another system", BODY(SYSTEM "," USER("a")), BODY(USER("a") "," SAID("b") "," USER("c"))},
    {PM_PROTO_CHAT, "another answer", BODY(USER("a") "," SAID("b") "," USER("c")),
     BODY(USER("a") "," SAID("x") "," USER("c") "," SAID("d") "," USER("e"))},
    {PM_PROTO_CHAT, "another call", BODY(USER("a") "," CHAT_CALLS(CHAT_CALL("1", "f", "1")) "," CHAT_RESULT("1", "r")),
     BODY(USER("a") "," CHAT_CALLS(CHAT_CALL("1", "f", "2")) "," CHAT_RESULT("1", "r") "," SAID("d") "," USER("e"))},
    {PM_PROTO_CHAT, "another result",
     BODY(USER("a") "," CHAT_CALLS(CHAT_CALL("1", "f", "1")) "," CHAT_RESULT("1", "r")),
     BODY(USER("a") "," CHAT_CALLS(CHAT_CALL("1", "f", "1")) "," CHAT_RESULT("1", "x") "," SAID("d") "," USER("e"))},
    {PM_PROTO_CHAT, "another image", BODY(PARTS("user", IMAGE("AAAA") "," TEXT("a", ""))),
     BODY(PARTS("user", IMAGE("BBBB") "," TEXT("a", "")) "," SAID("b") "," USER("c"))},
    {PM_PROTO_MESSAGES, "another tool", BODY(USER("a") "," USE("1", "f", "{}") "," USED("1", ",\"content\":\"r\"")),
     BODY(USER("a") "," USE("1", "g", "{}") "," USED("1", ",\"content\":\"r\"") "," SAID("d") "," USER("e"))},
    {PM_PROTO_MESSAGES, "another input", BODY(USER("a") "," USE("1", "f", "{}") "," USED("1", ",\"content\":\"r\"")),
     BODY(USER("a") "," USE("1", "f", "{\"a\":1}") "," USED("1", ",\"content\":\"r\"") "," SAID("d") "," USER("e"))},
    {PM_PROTO_RESPONSES, "another output", INPUT(USER("a") "," FUNCTION("1", "f", "{}") "," OUTPUT("1", "r")),
     INPUT(USER("a") "," FUNCTION("1", "f", "{}") "," OUTPUT("1", "x") "," SAID("b") "," USER("c"))},
};

static void another_conversation_is_not_taken_for_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(others); i++)
        expect(!goes_on(others[i].protocol, others[i].before, others[i].after), "%s\n", others[i].what);
}

static void the_chain_goes_from_the_last_to_the_first(void **state)
{
    static const char *const bodies[] = {
        BODY(USER("a")),
        BODY(USER("a") "," SAID("b") "," USER("c")),
        BODY(USER("a") "," SAID("b") "," USER("c") "," SAID("d") "," USER("e")),
    };
    struct pm_api_request r[3];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        r[i] = read_ok(PM_PROTO_CHAT, bodies[i]);
        assert_int_equal(r[i].n_chain, i + 1);
        assert_true(r[i].opening == r[0].chain[0]);
        assert_true(r[i].conversation == r[i].opening);
    }
    assert_true(r[2].chain[1] == r[1].chain[0] && r[2].chain[2] == r[0].chain[0]);
    for (size_t i = 0; i < 3; i++)
        pm_api_request_release(&r[i]);
}

/* Agents put a message of their own before their user's, the same for all that work in one folder on one day. */
static void the_opening_is_all_that_was_before_the_first_answer(void **state)
{
    static const char *const bodies[] = {
        INPUT(USER("a folder") "," USER("mend it")),
        INPUT(USER("a folder") "," USER("mend it") "," FUNCTION("1", "f", "{}") "," OUTPUT("1", "r")),
        INPUT(USER("a folder") "," USER("tell me")),
    };
    uint64_t openings[COUNT(bodies)];
    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct pm_api_request r = read_ok(PM_PROTO_RESPONSES, bodies[i]);
        openings[i] = r.opening;
        pm_api_request_release(&r);
    }
    assert_true(openings[0] == openings[1]);
    assert_true(openings[0] != openings[2]);
}

static void of_a_long_conversation_the_last_answers_are_kept(void **state)
{
    struct pm_buf b;
    struct pm_api_request before = {0};
    uint64_t opening = 0;
    (void)state;
    pm_buf_init(&b, PM_BUF_OWN_LIMIT);
    pm_buf_add(&b, "{\"messages\":[" USER("a"));
    for (unsigned i = 0; i < 3 * PM_CHAIN_MAX; i++) {
        size_t len = b.len;
        pm_buf_add(&b, "]}");
        struct pm_api_request r = read_ok(PM_PROTO_CHAT, b.data);
        assert_int_equal(r.n_chain, i + 1 < PM_CHAIN_MAX ? i + 1 : PM_CHAIN_MAX);
        if (i) {
            assert_true(r.opening == opening);
            assert_memory_equal(r.chain + 1, before.chain, (r.n_chain - 1) * sizeof(*r.chain));
        }
        opening = r.opening;
        pm_api_request_release(&r);
        before = r;
        b.len = len;
        b.data[len] = '\0';
        pm_buf_addf(&b, "," SAID("b%u") "," USER("c%u"), i, i);
    }
    pm_buf_release(&b);
}

static void without_a_user_there_is_a_fingerprint_too(void **state)
{
    static const char *const bodies[] = {BODY(SYSTEM), BODY(SAID("a")), BODY(USER("")), BODY(SYSTEM "," SAID("x"))};
    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct pm_api_request r = read_ok(PM_PROTO_CHAT, bodies[i]);
        expect(r.n_chain >= 1 && r.chain[0], "%s: %u\n", bodies[i], r.n_chain);
        pm_api_request_release(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat_tells_of_its_tools),
        cmocka_unit_test(messages_tell_of_their_tools),
        cmocka_unit_test(responses_tell_of_their_tools),
        cmocka_unit_test(a_tool_loop_ends_with_words_of_the_user),
        cmocka_unit_test(fences_are_of_the_last_words),
        cmocka_unit_test(images_are_counted_once),
        cmocka_unit_test(a_later_turn_knows_the_earlier_one),
        cmocka_unit_test(another_conversation_is_not_taken_for_it),
        cmocka_unit_test(the_chain_goes_from_the_last_to_the_first),
        cmocka_unit_test(the_opening_is_all_that_was_before_the_first_answer),
        cmocka_unit_test(of_a_long_conversation_the_last_answers_are_kept),
        cmocka_unit_test(without_a_user_there_is_a_fingerprint_too),
    };
    return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
