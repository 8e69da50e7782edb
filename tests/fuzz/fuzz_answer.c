/* Answers: a stream of any events is read in each protocol and written in each; what was written reads back as the
 * same answer, is JSON in the right order, needs no mending, and put together as a whole says the same too. */
#include "core/api/assemble.h"
#include "core/api/mend.h"
#include "tests/fuzz/wire_events.h"

/* The order that clients insist on: numbers count up, blocks close before others open. */
static void check_mended(const struct wire *w)
{
    struct pm_mend *mend = pm_mend_new(w->protocol, "demo", FUZZ_PROMPT_TOKENS, false);
    struct pm_buf out, raw;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    pm_buf_init(&raw, PM_BUF_OWN_LIMIT);
    for (size_t i = 0; i < w->n; i++) {
        const struct wire_event *e = &w->events[i];
        pm_buf_clear(&raw);
        if (*e->name)
            pm_buf_addf(&raw, "event: %s\n", e->name);
        pm_buf_add(&raw, "data: ");
        pm_buf_addn(&raw, e->data, e->len);
        pm_buf_add(&raw, "\n\n");
        pm_mend_event(mend, e->name, e->data, e->len, raw.data, raw.len, &out);
        CHECK(pm_mend_count(mend) == 0, "%s: event %zu needs mending: %s", pm_protocol_name(w->protocol), i, e->data);
    }
    pm_buf_release(&out);
    pm_buf_release(&raw);
    pm_mend_free(mend);
}

static void check_numbers(const struct wire *w)
{
    for (size_t i = 0; i < w->n && w->protocol == PM_PROTO_RESPONSES; i++) {
        cJSON *root = cJSON_ParseWithLength(w->events[i].data, w->events[i].len);
        CHECK(pm_json_num(root, "sequence_number", -1) == (double)i, "event %zu is numbered wrongly", i);
        cJSON_Delete(root);
    }
}

/* For callers that asked for no stream. Arguments that are no object are not kept there by all protocols. */
static void check_whole(const struct wire *w, const struct answer *said)
{
    struct pm_assembly *assembly = pm_assembly_new(w->protocol);
    for (size_t i = 0; i < w->n; i++)
        pm_assembly_event(assembly, w->events[i].name, w->events[i].data, w->events[i].len);
    char *body = pm_assembly_body(assembly);
    CHECK(said->stopped == (body != NULL), "%s: an answer that ended is not whole", pm_protocol_name(w->protocol));
    if (body) {
        struct answer whole;
        answer_init(&whole, NULL);
        struct pm_decoder *d = pm_decoder_new(w->protocol, answer_event, &whole);
        CHECK(pm_json_scan(body, strlen(body), NULL, NULL) == PM_OK, "the whole answer is no JSON: %s", body);
        CHECK(pm_decoder_whole(d, body, strlen(body)), "the whole answer is not understood: %s", body);
        if (!said->odd_arguments && w->protocol == PM_PROTO_RESPONSES)
            answers_agree(said, &whole, w->protocol, "put together");
        pm_decoder_free(d);
        answer_release(&whole);
    }
    free(body);
    pm_assembly_free(assembly);
}

static void check_written(const struct answer *said, const struct wire *w)
{
    struct answer again;
    answer_init(&again, NULL);
    struct pm_decoder *d = pm_decoder_new(w->protocol, answer_event, &again);
    wire_decode(w, 0, w->n, d);
    CHECK(pm_decoder_end(d) == said->stopped, "%s: an end is lost or made up", pm_protocol_name(w->protocol));
    if (said->stopped || said->failed)
        answers_agree(said, &again, w->protocol, "read again");
    check_mended(w);
    check_numbers(w);
    check_whole(w, &again);
    pm_decoder_free(d);
    answer_release(&again);
}

static void check_pair(const struct wire *in, const char *body, size_t size, enum pm_protocol from,
                       enum pm_protocol to)
{
    for (int whole = 0; whole < 2; whole++) {
        struct wire out = {0};
        struct answer said;
        struct pm_encoder *e = fuzz_encoder(to, &out);
        answer_init(&said, e);
        struct pm_decoder *d = pm_decoder_new(from, answer_event, &said);
        bool good;
        if (whole) {
            good = pm_decoder_whole(d, body, size);
        } else {
            wire_decode(in, 0, in->n, d);
            good = pm_decoder_end(d);
        }
        CHECK(good == said.stopped, "%s: whether the answer is complete is not what was said", pm_protocol_name(from));
        check_written(&said, &out);
        pm_decoder_free(d);
        pm_encoder_free(e);
        answer_release(&said);
        wire_release(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = fuzz_copy(data, size, 1);
    struct wire in = {0};
    wire_read(&in, bytes, size);
    for (int from = 0; from < FUZZ_WIRES; from++)
        for (int to = 0; to < FUZZ_WIRES; to++)
            check_pair(&in, bytes, size, fuzz_wires[from], fuzz_wires[to]);
    wire_release(&in);
    free(bytes);
    return 0;
}
