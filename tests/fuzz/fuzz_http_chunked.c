/* Chunked bodies: however the bytes are cut, the body, its end and the refusal are the same. */
#include "core/http/parse.h"
#include "tests/fuzz/fuzz.h"

enum { BODY_MAX = 4096 };

struct result {
    int rc;
    size_t used;
    struct pm_buf body;
};

static struct result decode(const char *bytes, size_t size, size_t piece)
{
    struct pm_chunked state = {0};
    struct result r = {0};
    uint32_t seed = (uint32_t)size;
    pm_buf_init(&r.body, BODY_MAX);
    while (r.used < size && r.rc == 0) {
        size_t used = 0, n = fuzz_piece(&seed, size - r.used, piece);
        char *part = fuzz_copy(bytes + r.used, n, 0);
        r.rc = pm_chunked_feed(&state, part, n, &used, &r.body);
        free(part);
        CHECK(used <= n, "%zu bytes used of %zu", used, n);
        CHECK(r.rc != 0 || used == n, "more is wanted, but %zu of %zu bytes are left", n - used, n);
        CHECK(r.rc <= 1 && (r.rc >= 0 || (r.rc <= -400 && r.rc > -600)), "the decoder says %d", r.rc);
        r.used += used;
    }
    return r;
}

static void write_chunks(const struct pm_buf *body, struct pm_buf *out)
{
    uint32_t seed = (uint32_t)body->len;
    for (size_t at = 0; at < body->len;) {
        size_t n = fuzz_piece(&seed, body->len - at, 100);
        pm_buf_addf(out, "%zx\r\n", n);
        pm_buf_addn(out, body->data + at, n);
        pm_buf_add(out, "\r\n");
        at += n;
    }
    pm_buf_add(out, "0\r\n\r\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    struct result whole = decode(bytes, size, size ? size : 1);
    static const size_t pieces[] = {1, 3, 17};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
        struct result r = decode(bytes, size, pieces[i]);
        CHECK(r.rc == whole.rc, "%d in one piece, %d in pieces of up to %zu", whole.rc, r.rc, pieces[i]);
        if (r.rc >= 0) {
            CHECK(r.used == whole.used, "the body ends at %zu, in pieces at %zu", whole.used, r.used);
            CHECK(r.body.len == whole.body.len && memcmp(r.body.data, whole.body.data, r.body.len) == 0,
                  "another body");
        }
        pm_buf_release(&r.body);
    }
    if (whole.rc == 1) {
        struct pm_buf again;
        pm_buf_init(&again, PM_BUF_OWN_LIMIT);
        write_chunks(&whole.body, &again);
        struct result r = decode(again.data, again.len, 50);
        CHECK(r.rc == 1 && r.used == again.len, "our own chunks are not read: %d", r.rc);
        CHECK(r.body.len == whole.body.len && memcmp(r.body.data, whole.body.data, r.body.len) == 0, "another body");
        pm_buf_release(&r.body);
        pm_buf_release(&again);
    }
    pm_buf_release(&whole.body);
    return 0;
}
