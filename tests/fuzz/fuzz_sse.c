/* Streams of events: however the bytes are cut, the events are the same. What the relay makes of them is JSON, in
 * every protocol, and its looks at an event bear any bytes. */
#include "core/api/assemble.h"
#include "core/api/stream.h"
#include "core/base/text.h"
#include "core/http/sse.h"
#include "tests/fuzz/fuzz.h"

struct seen {
    uint64_t hash;
    size_t events, raw_bytes;
    struct pm_assembly *assemblies[PM_PROTO_NATIVE + 1];
};

static void look(struct seen *s, const struct pm_sse_event *e)
{
    for (int p = PM_PROTO_CHAT; p <= PM_PROTO_NATIVE; p++) {
        struct pm_usage usage = PM_USAGE_UNKNOWN;
        enum pm_event_kind kind = pm_api_event((enum pm_protocol)p, e->name, e->data, e->data_len, &usage);
        CHECK(kind >= PM_EVENT_LIFECYCLE && kind <= PM_EVENT_ERROR, "an event of no kind");
        CHECK(usage.prompt >= -1 && usage.output >= -1 && usage.cached >= -1, "negative usage");
        pm_api_event_is_plain((enum pm_protocol)p, e->name, e->data, e->data_len);
        if (s->assemblies[p])
            pm_assembly_event(s->assemblies[p], e->name, e->data, e->data_len);
    }
    pm_api_event_is_progress(e->data, e->data_len);
    pm_api_is_context_overflow(e->data, e->data_len);
}

static void note(void *arg, const struct pm_sse_event *e)
{
    struct seen *s = arg;
    CHECK(e->raw_len && e->name && e->data && e->data[e->data_len] == 0, "an event without its parts");
    CHECK(e->data_len <= e->raw_len && strlen(e->name) <= e->raw_len, "an event is longer than its bytes");
    s->events++;
    s->raw_bytes += e->raw_len;
    s->hash = pm_hash(e->raw, e->raw_len, s->hash);
    s->hash = pm_hash(e->name, strlen(e->name) + 1, s->hash);
    s->hash = pm_hash(e->data, e->data_len, s->hash);
    if (s->assemblies[PM_PROTO_CHAT])
        look(s, e);
}

static void feed(struct seen *s, const char *bytes, size_t size, size_t piece)
{
    struct pm_sse_reader reader;
    uint32_t seed = (uint32_t)size;
    s->hash = PM_HASH_SEED;
    pm_sse_reader_init(&reader);
    for (size_t at = 0, n; at < size; at += n) {
        n = fuzz_piece(&seed, size - at, piece);
        char *part = fuzz_copy(bytes + at, n, 0);
        CHECK(pm_sse_feed(&reader, part, n, note, s) == PM_OK, "an event is refused below its limit");
        free(part);
    }
    CHECK(s->raw_bytes <= size, "more bytes of events than came");
    pm_sse_reader_release(&reader);
}

static void check_answer(struct pm_assembly *a, int p)
{
    char *body = pm_assembly_body(a);
    /* Bytes that are no UTF-8 come from the server and go on as they are. */
    if (body && pm_utf8_bad(body, strlen(body)) < 0)
        CHECK(pm_json_scan(body, strlen(body), NULL, NULL) == PM_OK, "the %s answer is no JSON: %s",
              pm_protocol_name((enum pm_protocol)p), body);
    free(body);
    pm_assembly_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    static const size_t pieces[] = {1, 2, 7, 60};
    struct seen whole = {0};
    for (int p = PM_PROTO_CHAT; p <= PM_PROTO_NATIVE; p++)
        whole.assemblies[p] = pm_assembly_new((enum pm_protocol)p);
    feed(&whole, bytes, size, size ? size : 1);
    for (int p = PM_PROTO_CHAT; p <= PM_PROTO_NATIVE; p++)
        check_answer(whole.assemblies[p], p);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
        struct seen s = {0};
        feed(&s, bytes, size, pieces[i]);
        CHECK(s.events == whole.events && s.hash == whole.hash, "%zu events, in pieces of up to %zu bytes %zu",
              whole.events, pieces[i], s.events);
    }
    struct pm_usage usage = PM_USAGE_UNKNOWN;
    pm_api_usage(bytes, size, &usage);
    return 0;
}
