/* Bodies of requests, in every protocol: what is read can be sent on under another model name, which any JSON reader
 * then finds once and nothing else in its place; what is refused gives an error body that is JSON. */
#include <stdbool.h>

#include "core/api/assemble.h"
#include "core/api/request.h"
#include "tests/fuzz/fuzz.h"

static const char model[] = "other \"model\"";

static void check_sent(const struct pm_api_request *r, bool as_stream, bool progress)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    pm_api_body_for_server(r, model, &(struct pm_api_wishes){.as_stream = as_stream, .progress = progress}, &out);
    struct pm_error err = {0};
    CHECK(pm_json_scan(out.data, out.len, NULL, &err) == PM_OK, "the body to send is refused: %s\n%s", err.msg,
          out.data);
    cJSON *root = cJSON_ParseWithLength(out.data, out.len), *item;
    int models = 0, streams = 0;
    cJSON_ArrayForEach (item, root) {
        /* Readers differ in which of two they take, and read escapes in keys: so there must be one. */
        if (strcmp(item->string, "model") == 0) {
            models++;
            CHECK(cJSON_IsString(item) && strcmp(item->valuestring, model) == 0, "another model is asked for:\n%s",
                  out.data);
        }
        streams += strcmp(item->string, "stream") == 0;
        CHECK(!as_stream || strcmp(item->string, "stream") != 0 || cJSON_IsTrue(item), "no stream is asked for");
    }
    CHECK(!root || models == 1, "the model's name stands %d times:\n%s", models, out.data);
    CHECK(!root || streams <= 1, "the key stream stands %d times:\n%s", streams, out.data);
    cJSON_Delete(root);
    pm_buf_release(&out);
}

static void check_read(struct pm_api_request *r)
{
    CHECK(r->system && r->last_user && r->last_tool_result && r->model, "a text is missing");
    CHECK(strlen(r->system) == r->system_len && strlen(r->last_user) == r->last_user_len &&
              strlen(r->last_tool_result) == r->last_tool_result_len,
          "a text's length is wrong");
    CHECK(r->prompt_tokens >= 0 && r->max_tokens >= 0, "negative counts");
    CHECK(r->user_turns <= r->messages || !r->messages, "%u user turns in %u messages", r->user_turns, r->messages);
    check_sent(r, false, false);
    check_sent(r, true, true);
    check_sent(r, pm_api_can_assemble(r), false);
}

static void check_refused(enum pm_protocol p, const struct pm_error *err)
{
    CHECK(err->code < 0 && *err->msg, "refused without a word");
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    pm_api_error_body(pm_protocol_is_anthropic(p), 400, NULL, err->msg, "req_1", &out);
    CHECK(pm_json_scan(out.data, out.len, NULL, NULL) == PM_OK, "the error's body is no JSON: %s", out.data);
    pm_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int p = PM_PROTO_CHAT; p <= PM_PROTO_NATIVE; p++) {
        static struct pm_api_request r;
        struct pm_error err = {0};
        /* As the gateway has it: a body is followed by a NUL that is not part of it. */
        char *body = fuzz_copy(data, size, 1);
        if (pm_api_read((enum pm_protocol)p, body, size, &r, &err) == PM_OK) {
            check_read(&r);
            pm_api_request_shrink(&r);
            pm_api_request_release(&r);
        } else {
            check_refused((enum pm_protocol)p, &err);
        }
        free(body);
    }
    return 0;
}
