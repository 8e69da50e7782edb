/* Mended streams: what comes out is whole events, JSON where JSON went in; and where the shapes are those of the
 * protocols, mending again changes nothing, since what is well formed passes byte for byte. */
#include <stdbool.h>

#include "core/api/mend.h"
#include "core/http/sse.h"
#include "tests/fuzz/fuzz.h"

struct pass {
    struct pm_mend *mend;
    struct pm_buf out;
    size_t events, raw_bytes, broken;
    bool odd;
};

static bool is_object_if_there(const cJSON *root, const char *key)
{
    return !pm_json_get(root, key) || cJSON_IsObject(pm_json_get(root, key));
}

static bool is_odd(const cJSON *root)
{
    static const char *const objects[] = {"response", "message", "content_block", "item", "part"};
    const cJSON *choice, *choices = pm_json_get(root, "choices");
    for (size_t i = 0; i < sizeof(objects) / sizeof(*objects); i++)
        if (!is_object_if_there(root, objects[i]))
            return true;
    if (choices && !cJSON_IsArray(choices))
        return true;
    cJSON_ArrayForEach (choice, choices)
        if (!cJSON_IsObject(pm_json_get(choice, "delta")))
            return true;
    return !cJSON_IsObject(root);
}

static void mend_one(void *arg, const struct pm_sse_event *e)
{
    struct pass *p = arg;
    cJSON *root = cJSON_ParseWithLength(e->data, e->data_len);
    p->events++;
    p->raw_bytes += e->raw_len;
    p->broken += !root && e->data_len && strcmp(e->data, "[DONE]") != 0;
    p->odd |= root && is_odd(root);
    cJSON_Delete(root);
    pm_mend_event(p->mend, e->name, e->data, e->data_len, e->raw, e->raw_len, &p->out);
}

static struct pass mend(enum pm_protocol protocol, const char *bytes, size_t size, bool drops_progress)
{
    struct pass p = {.mend = pm_mend_new(protocol, "demo \"chat\"", 12, drops_progress)};
    struct pm_sse_reader reader;
    pm_buf_init(&p.out, PM_BUF_OWN_LIMIT);
    pm_sse_reader_init(&reader);
    CHECK(pm_sse_feed(&reader, bytes, size, mend_one, &p) == PM_OK, "an event is refused below its limit");
    pm_sse_reader_release(&reader);
    return p;
}

static void check(enum pm_protocol protocol, const char *bytes, size_t size)
{
    struct pass once = mend(protocol, bytes, size, size % 2 == 0);
    struct pass twice = mend(protocol, once.out.data, once.out.len, size % 2 == 0);
    const char *name = pm_protocol_name(protocol), *a = once.out.data, *b = twice.out.data;
    /* A carriage return that is last may be half of a line's end: its event is still open. */
    bool open = once.out.len && a[once.out.len - 1] == '\r';
    CHECK(pm_mend_count(once.mend) || once.out.len <= size, "nothing mended, but bytes were added");
    CHECK(open || twice.raw_bytes == once.out.len, "%s: %zu bytes are no whole events:\n%s", name, once.out.len, a);
    CHECK(twice.broken <= once.broken, "%s: JSON went in, none came out:\n%s", name, a);
    if (!once.odd && !once.broken && !open)
        CHECK(twice.out.len == once.out.len && memcmp(a, b, twice.out.len) == 0,
              "%s: a mended stream is changed again:\n%s---\n%s", name, a, b);
    pm_mend_free(once.mend);
    pm_mend_free(twice.mend);
    pm_buf_release(&once.out);
    pm_buf_release(&twice.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int i = PM_PROTO_CHAT; i <= PM_PROTO_NATIVE; i++)
        check((enum pm_protocol)i, (const char *)data, size);
    return 0;
}
