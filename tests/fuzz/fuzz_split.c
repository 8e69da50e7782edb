/* Translated streams: wherever the bytes are cut, the events are the same, and so is what each protocol's decoder and
 * encoder make of them. */
#include "tests/fuzz/wire_events.h"

enum { PAIRS = FUZZ_WIRES * FUZZ_WIRES, CUTS = 4 };

struct lane {
    struct pm_decoder *decoder;
    struct pm_encoder *encoder;
    uint64_t hash;
    size_t events;
};

struct run {
    struct lane lanes[PAIRS];
    uint64_t hash;
    size_t events;
};

static void sent(void *arg, const char *name, const char *data, size_t len)
{
    struct lane *lane = arg;
    lane->hash = pm_hash(name, strlen(name) + 1, lane->hash);
    lane->hash = pm_hash(data, len, lane->hash);
    lane->events++;
}

static void to_encoder(void *arg, const struct pm_canon_event *e)
{
    struct lane *lane = arg;
    pm_encoder_event(lane->encoder, e);
}

static void read_event(void *arg, const struct pm_sse_event *e)
{
    struct run *run = arg;
    run->events++;
    run->hash = pm_hash(e->raw, e->raw_len, run->hash);
    run->hash = pm_hash(e->name, strlen(e->name) + 1, run->hash);
    run->hash = pm_hash(e->data, e->data_len, run->hash);
    for (size_t i = 0; i < PAIRS; i++)
        pm_decoder_event(run->lanes[i].decoder, e->name, e->data, e->data_len);
}

static void begin(struct run *run)
{
    struct pm_encoder_spec spec = {.model = "demo", .created = 1700000000, .prompt_tokens = 7, .wants_usage = true};
    *run = (struct run){.hash = PM_HASH_SEED};
    for (size_t i = 0; i < PAIRS; i++) {
        struct lane *lane = &run->lanes[i];
        lane->hash = PM_HASH_SEED;
        lane->encoder = pm_encoder_new(fuzz_wires[i % FUZZ_WIRES], &spec, sent, lane);
        lane->decoder = pm_decoder_new(fuzz_wires[i / FUZZ_WIRES], to_encoder, lane);
    }
}

static void end(struct run *run)
{
    for (size_t i = 0; i < PAIRS; i++) {
        pm_decoder_end(run->lanes[i].decoder);
        pm_decoder_free(run->lanes[i].decoder);
        pm_encoder_free(run->lanes[i].encoder);
    }
}

/* Two pieces with `cut` bytes in the first; or with a seed pieces of up to `cut` bytes. */
static void feed(struct run *run, const char *bytes, size_t size, size_t cut, uint32_t seed)
{
    struct pm_sse_reader reader;
    begin(run);
    pm_sse_reader_init(&reader);
    for (size_t at = 0, n; at < size; at += n) {
        n = seed ? fuzz_piece(&seed, size - at, cut) : at == 0 && cut ? cut : size - at;
        char *part = fuzz_copy(bytes + at, n, 0);
        CHECK(pm_sse_feed(&reader, part, n, read_event, run) == PM_OK, "an event is refused below its limit");
        free(part);
    }
    pm_sse_reader_release(&reader);
    end(run);
}

static void check(const struct run *whole, const char *bytes, size_t size, size_t cut, uint32_t seed)
{
    struct run run;
    feed(&run, bytes, size, cut, seed);
    CHECK(run.events == whole->events && run.hash == whole->hash, "cut at %zu (%u): %zu events, not %zu", cut, seed,
          run.events, whole->events);
    for (size_t i = 0; i < PAIRS; i++)
        CHECK(run.lanes[i].events == whole->lanes[i].events && run.lanes[i].hash == whole->lanes[i].hash,
              "%s to %s, cut at %zu (%u): another answer", pm_protocol_name(fuzz_wires[i / FUZZ_WIRES]),
              pm_protocol_name(fuzz_wires[i % FUZZ_WIRES]), cut, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 7};
    const char *bytes = (const char *)data;
    struct run whole;
    feed(&whole, bytes, size, size, 0);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
        check(&whole, bytes, size, pieces[i], 1 + (uint32_t)size);
    /* All places come about, since the next input is of another length. */
    for (size_t step = 1 + size / CUTS, cut = 1 + size % step; cut < size; cut += step)
        check(&whole, bytes, size, cut, 0);
    return 0;
}
