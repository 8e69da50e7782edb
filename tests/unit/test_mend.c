/* Mended streams: what is well formed passes byte for byte. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/mend.h"

struct event {
    const char *name, *data;
};

static char *run(enum pm_protocol p, bool drops, const struct event *events, size_t n, unsigned *mended)
{
    struct pm_mend *m = pm_mend_new(p, "demo", 9, drops);
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    for (size_t i = 0; i < n; i++) {
        char raw[1024];
        int len = snprintf(raw, sizeof(raw), *events[i].name ? "event: %s\ndata: %s\n\n" : "%sdata: %s\n\n",
                           events[i].name, events[i].data);
        pm_mend_event(m, events[i].name, events[i].data, strlen(events[i].data), raw, (size_t)len, &out);
    }
    *mended = pm_mend_count(m);
    pm_mend_free(m);
    return pm_buf_take(&out);
}

#define RUN(p, drops, events, mended) run(p, drops, events, sizeof(events) / sizeof((events)[0]), mended)

static void a_well_formed_stream_passes_byte_for_byte(void **state)
{
    static const struct event events[] = {
        {"message_start", "{\"type\":\"message_start\",\"message\":{}}"},
        {"ping", "{\"type\": \"ping\"}"},
        {"content_block_start",
         "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\"}}"},
        {"content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}"},
        {"message_stop", "{\"type\":\"message_stop\"}"},
    };
    unsigned mended;
    (void)state;
    char *out = RUN(PM_PROTO_MESSAGES, false, events, &mended);
    assert_int_equal(mended, 0);
    assert_non_null(strstr(out, "data: {\"type\": \"ping\"}\n\n"));
    free(out);
}

static void a_message_without_a_start_gets_one(void **state)
{
    static const struct event events[] = {{"content_block_start", "{\"type\":\"content_block_start\",\"index\":0,"
                                                                  "\"content_block\":{\"type\":\"text\"}}"}};
    unsigned mended;
    (void)state;
    char *out = RUN(PM_PROTO_MESSAGES, false, events, &mended);
    assert_int_equal(strncmp(out, "event: message_start\n", 21), 0);
    assert_non_null(strstr(out, "\"input_tokens\":9"));
    free(out);
}

static void a_second_block_closes_the_first_and_it_is_closed_once(void **state)
{
    static const struct event events[] = {
        {"message_start", "{\"type\":\"message_start\",\"message\":{}}"},
        {"content_block_start",
         "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\"}}"},
        {"content_block_start",
         "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\"}}"},
        {"content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}"},
        {"content_block_stop", "{\"type\":\"content_block_stop\",\"index\":1}"},
    };
    unsigned mended, stops = 0;
    (void)state;
    char *out = RUN(PM_PROTO_MESSAGES, false, events, &mended);
    for (const char *p = out; (p = strstr(p, "event: content_block_stop")); p++)
        stops++;
    assert_int_equal(stops, 2);
    assert_non_null(strstr(out, "\"input\":{}"));
    assert_true(strstr(out, "event: content_block_stop") < strstr(out, "tool_use"));
    free(out);
}

static void responses_are_numbered_and_reports_of_progress_go(void **state)
{
    static const struct event events[] = {
        {"response.created", "{\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}"},
        {"response.in_progress", "{\"type\":\"response.in_progress\",\"prompt_progress\":{\"total\":1}}"},
        {"response.in_progress", "{\"type\":\"response.in_progress\",\"prompt_progress\":{\"total\":1}}"},
        {"response.output_item.added", "{\"type\":\"response.output_item.added\",\"item\":{\"id\":\"a\"}}"},
        {"response.output_text.delta", "{\"type\":\"response.output_text.delta\",\"item_id\":\"a\",\"delta\":\"x\"}"},
        {"response.output_item.added", "{\"type\":\"response.output_item.added\",\"item\":{\"id\":\"b\"}}"},
    };
    unsigned mended;
    (void)state;
    char *out = RUN(PM_PROTO_RESPONSES, true, events, &mended);
    assert_null(strstr(out, "prompt_progress"));
    assert_non_null(strstr(out, "\"output\":[]"));
    assert_non_null(strstr(out, "\"delta\":\"x\",\"output_index\":0,\"content_index\":0,\"sequence_number\":3"));
    assert_non_null(strstr(out, "{\"id\":\"b\"},\"output_index\":1,\"sequence_number\":4"));
    free(out);
}

static void the_first_delta_of_a_chat_names_the_role(void **state)
{
    static const struct event events[] = {
        {"", "{\"choices\":[],\"prompt_progress\":{\"total\":1}}"},
        {"", "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}"},
        {"", "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}]}"},
        {"", "[DONE]"},
    };
    unsigned mended;
    (void)state;
    char *out = RUN(PM_PROTO_CHAT, true, events, &mended);
    assert_string_equal(out,
                        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\",\"role\":\"assistant\"}}]}\n\n"
                        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}]}\n\ndata: [DONE]\n\n");
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_well_formed_stream_passes_byte_for_byte),
        cmocka_unit_test(a_message_without_a_start_gets_one),
        cmocka_unit_test(a_second_block_closes_the_first_and_it_is_closed_once),
        cmocka_unit_test(responses_are_numbered_and_reports_of_progress_go),
        cmocka_unit_test(the_first_delta_of_a_chat_names_the_role),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
