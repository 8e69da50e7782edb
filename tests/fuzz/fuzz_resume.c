/* Answers that break off: the stream of a caller is cut at any event, and the same answer or another one takes its
 * place. It goes on only where the new answer begins with what was said, and then the whole is the new answer; the
 * same answer always goes on. The two answers are parted by a line of equal signs in the input. */
#include "core/api/resume.h"
#include "tests/fuzz/wire_events.h"

/* Each cut is a run of its own. */
enum { CUTS = 8 };

static const char mark[] = "\n====\n";

static void read_answer(const struct wire *in, enum pm_protocol from, struct answer *a, struct pm_encoder *to)
{
    answer_init(a, to);
    struct pm_decoder *d = pm_decoder_new(from, answer_event, a);
    wire_decode(in, 0, in->n, d);
    pm_decoder_end(d);
    pm_decoder_free(d);
}

/* What the caller has in the end: the beginning of one stream, the rest that a resume wrote. */
static void check_joined(const struct wire *begun, size_t cut, const struct wire *rest, const struct answer *whole)
{
    struct answer joined;
    answer_init(&joined, NULL);
    struct pm_decoder *d = pm_decoder_new(begun->protocol, answer_event, &joined);
    wire_decode(begun, 0, cut, d);
    wire_decode(rest, 0, rest->n, d);
    pm_decoder_end(d);
    CHECK(joined.stopped == whole->stopped, "the end is lost or made up");
    if (whole->stopped)
        answers_agree(whole, &joined, begun->protocol, "resumed");
    pm_decoder_free(d);
    answer_release(&joined);
}

/* Numbers go on where the stream stood. */
static void check_numbers(const struct wire *rest, unsigned next)
{
    for (size_t i = 0; i < rest->n && rest->protocol == PM_PROTO_RESPONSES; i++) {
        cJSON *root = cJSON_ParseWithLength(rest->events[i].data, rest->events[i].len);
        CHECK(pm_json_num(root, "sequence_number", -1) == (double)next, "event %zu of the rest is not number %u", i,
              next);
        next++;
        cJSON_Delete(root);
    }
}

/* `same`: the new answer is the one that broke off. */
static void check_cut(const struct wire *begun, size_t cut, const struct wire *in, enum pm_protocol from, bool same)
{
    struct pm_said *said = pm_said_new(begun->protocol);
    for (size_t i = 0; i < cut; i++)
        pm_said_event(said, begun->events[i].name, begun->events[i].data, begun->events[i].len);
    if (pm_said_can_go_on(said)) {
        struct wire rest = {0};
        struct answer whole;
        struct pm_encoder *encoder = fuzz_encoder(begun->protocol, &rest);
        struct pm_resume *resume = pm_resume_new(said, encoder);
        CHECK(rest.n == 0, "what was said is said again");
        answer_init(&whole, NULL);
        struct pm_decoder *look = pm_decoder_new(from, answer_event, &whole);
        wire_decode(in, 0, in->n, look);
        bool complete = pm_decoder_end(look);
        struct pm_decoder *d = pm_decoder_new(from, pm_resume_event, resume);
        wire_decode(in, 0, in->n, d);
        pm_decoder_end(d);
        enum pm_resume_state state = pm_resume_state(resume);
        /* Chat does not tell where one text ends and the next begins; blocks that are empty only messages has. */
        bool lossy = (begun->protocol == PM_PROTO_CHAT && strcmp(whole.texts.data, whole.blocks.data) != 0) ||
                     (begun->protocol != PM_PROTO_MESSAGES && whole.has_empty);
        if (complete && same && !lossy)
            CHECK(state == PM_RESUME_GOES_ON, "%s to %s: the same answer does not go on after %zu of %zu events",
                  pm_protocol_name(from), pm_protocol_name(begun->protocol), cut, begun->n);
        CHECK((state != PM_RESUME_DIFFERS && state != PM_RESUME_CATCHING_UP) || rest.n == 0,
              "%zu events of an answer that differs", rest.n);
        if (complete && state == PM_RESUME_GOES_ON)
            check_joined(begun, cut, &rest, &whole);
        check_numbers(&rest, pm_said_sequence(said));
        pm_decoder_free(look);
        pm_decoder_free(d);
        pm_resume_free(resume);
        pm_encoder_free(encoder);
        answer_release(&whole);
        wire_release(&rest);
    }
    pm_said_free(said);
}

static void check_pair(const struct wire *first, const struct wire *second, enum pm_protocol from, enum pm_protocol to)
{
    struct wire begun = {0};
    struct answer said;
    struct pm_encoder *encoder = fuzz_encoder(to, &begun);
    read_answer(first, from, &said, encoder);
    size_t step = 1 + begun.n / CUTS;
    for (size_t cut = begun.n % step; cut < begun.n; cut += step) {
        check_cut(&begun, cut, first, from, true);
        if (second->n)
            check_cut(&begun, cut, second, from, false);
    }
    pm_encoder_free(encoder);
    answer_release(&said);
    wire_release(&begun);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = fuzz_copy(data, size, 1);
    const char *other = size >= sizeof(mark) ? memmem(bytes, size, mark, sizeof(mark) - 1) : NULL;
    size_t half = other ? (size_t)(other - bytes) + 1 : size;
    struct wire first = {0}, second = {0};
    wire_read(&first, bytes, half);
    if (other)
        wire_read(&second, bytes + half + sizeof(mark) - 2, size - half - (sizeof(mark) - 2));
    for (int from = 0; from < FUZZ_WIRES; from++)
        for (int to = 0; to < FUZZ_WIRES; to++)
            check_pair(&first, &second, fuzz_wires[from], fuzz_wires[to]);
    wire_release(&first);
    wire_release(&second);
    free(bytes);
    return 0;
}
