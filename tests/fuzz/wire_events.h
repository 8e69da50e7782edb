/* A stream as it stands on the wire: events of one protocol, kept and read again. */
#ifndef PM_TESTS_FUZZ_WIRE_EVENTS_H
#define PM_TESTS_FUZZ_WIRE_EVENTS_H

#include "core/http/sse.h"
#include "tests/fuzz/answers.h"

struct wire_event {
    char *name, *data;
    size_t len;
};

struct wire {
    enum pm_protocol protocol;
    struct wire_event *events;
    size_t n;
};

static inline void wire_keep(struct wire *w, const char *name, const char *data, size_t len)
{
    w->events = realloc(w->events, (w->n + 1) * sizeof(*w->events));
    CHECK(w->events, "out of memory");
    w->events[w->n++] = (struct wire_event){fuzz_dup(name), fuzz_copy(data, len, 1), len};
}

/* A pm_wire_sink. */
static inline void wire_event(void *arg, const char *name, const char *data, size_t len)
{
    struct wire *w = arg;
    const char *protocol = pm_protocol_name(w->protocol);
    struct pm_error err = {0};
    wire_keep(w, name, data, len);
    CHECK(memchr(data, '\n', len) == NULL, "%s: an event of two lines", protocol);
    if (w->protocol == PM_PROTO_CHAT) {
        CHECK(!*name, "a name in chat");
        if (strcmp(data, "[DONE]") == 0)
            return;
    }
    CHECK(pm_json_scan(data, len, NULL, &err) == PM_OK, "%s: no JSON, %s: %s", protocol, err.msg, data);
    if (w->protocol == PM_PROTO_CHAT)
        return;
    cJSON *root = cJSON_ParseWithLength(data, len);
    const char *type = pm_json_str(root, "type");
    CHECK(type && strcmp(type, name) == 0, "%s: an event called %s: %s", protocol, name, data);
    cJSON_Delete(root);
}

static inline void wire_release(struct wire *w)
{
    for (size_t i = 0; i < w->n; i++) {
        free(w->events[i].name);
        free(w->events[i].data);
    }
    free(w->events);
    *w = (struct wire){.protocol = w->protocol};
}

static inline void wire_decode(const struct wire *w, size_t from, size_t to, struct pm_decoder *d)
{
    for (size_t i = from; i < to && i < w->n; i++)
        pm_decoder_event(d, w->events[i].name, w->events[i].data, w->events[i].len);
}

/* A pm_sse_reader's events into a wire, as they come from outside. */
static inline void wire_take(void *arg, const struct pm_sse_event *e)
{
    if (e->data_len)
        wire_keep(arg, e->name, e->data, e->data_len);
}

static inline void wire_read(struct wire *w, const char *bytes, size_t size)
{
    struct pm_sse_reader reader;
    pm_sse_reader_init(&reader);
    CHECK(pm_sse_feed(&reader, bytes, size, wire_take, w) == PM_OK, "an event is refused below its limit");
    pm_sse_reader_release(&reader);
}

static inline struct pm_encoder *fuzz_encoder(enum pm_protocol p, struct wire *to)
{
    struct pm_encoder_spec spec = {
        .model = "demo", .created = 1700000000, .prompt_tokens = FUZZ_PROMPT_TOKENS, .wants_usage = true};
    to->protocol = p;
    return pm_encoder_new(p, &spec, wire_event, to);
}

#endif
