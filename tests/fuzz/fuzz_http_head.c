/* Request heads: what is accepted reads the same when it is written out again, so that no other parser can be given a
 * different request; what is refused has a status and a reason. */
#include <stdbool.h>

#include "core/http/parse.h"
#include "tests/fuzz/fuzz.h"

static void check_length(const char *text, size_t size, size_t whole)
{
    uint32_t seed = (uint32_t)size;
    for (size_t len = 0, from = 0; len < size;) {
        len += fuzz_piece(&seed, size - len, 40);
        size_t found = pm_http_head_length(text, len, from);
        from = len;
        /* Pieces may show a bare line feed before the end that lies beyond it is there. */
        CHECK(found <= len, "a head of %zu bytes in %zu", found, len);
        if (found) {
            CHECK(found <= whole, "the head ends at %zu, in pieces at %zu", whole, found);
            return;
        }
    }
    CHECK(!whole, "the end of the head is not seen in pieces");
}

static void check_strings(const struct pm_http_head *head)
{
    CHECK(*head->path == '/', "the path is %s", head->path);
    CHECK(strlen(head->path) + strlen(head->query) <= PM_HTTP_TARGET_MAX, "a long target");
    CHECK(!strchr(head->path, '?'), "a query in the path %s", head->path);
    CHECK(head->minor == 0 || head->minor == 1, "HTTP/1.%d", head->minor);
    CHECK(!(head->chunked && head->has_length), "two lengths");
    CHECK(!(head->chunked && head->minor == 0), "chunked in HTTP/1.0");
    CHECK(!(head->says_close && head->keep_alive), "close and keep-alive");
    for (size_t i = 0; i < head->n_headers; i++) {
        const struct pm_http_header *h = &head->headers[i];
        CHECK(*h->name, "a header without a name");
        for (const char *p = h->name; *p; p++)
            CHECK(pm_http_is_token((unsigned char)*p), "a header's name is %s", h->name);
        for (const char *p = h->value; *p; p++)
            CHECK(pm_http_is_value((unsigned char)*p), "a header's value is %s", h->value);
        CHECK(pm_http_header(head, h->name), "the header %s cannot be found", h->name);
    }
}

static void write_head(const struct pm_http_head *head, const char *mark, struct pm_buf *out)
{
    pm_buf_addf(out, "%s %s%s%s HTTP/1.%d\r\n", pm_http_method_name(head->method), head->path, mark, head->query,
                head->minor);
    for (size_t i = 0; i < head->n_headers; i++)
        pm_buf_addf(out, "%s: %s\r\n", head->headers[i].name, head->headers[i].value);
    pm_buf_add(out, "\r\n");
}

static void check_same(const struct pm_http_head *a, const struct pm_http_head *b)
{
    CHECK(a->method == b->method && a->minor == b->minor && a->n_headers == b->n_headers, "another request");
    CHECK(strcmp(a->path, b->path) == 0 && strcmp(a->query, b->query) == 0, "another target");
    CHECK(a->has_length == b->has_length && a->length == b->length && a->chunked == b->chunked, "another body");
    CHECK(a->keep_alive == b->keep_alive && a->expect_continue == b->expect_continue, "another connection");
    for (size_t i = 0; i < a->n_headers; i++)
        CHECK(strcmp(a->headers[i].name, b->headers[i].name) == 0 &&
                  strcmp(a->headers[i].value, b->headers[i].value) == 0,
              "another header %s", a->headers[i].name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    size_t len = pm_http_head_length(bytes, size, 0);
    CHECK(len <= size, "a head of %zu bytes in %zu", len, size);
    check_length(bytes, size, len);
    if (!len)
        return 0;
    static struct pm_http_head head, again;
    const char *why = NULL;
    char *text = fuzz_copy(bytes, len, 0);
    bool had_query = memchr(text, '?', len) != NULL;
    int status = pm_http_parse_head(text, len, &head, &why);
    if (status) {
        CHECK(status >= 400 && status < 600 && why && *why, "refused with %d and no reason", status);
        CHECK(strcmp(pm_http_status_text(status), "Status") != 0, "no words for the status %d", status);
    } else {
        check_strings(&head);
        struct pm_buf out;
        pm_buf_init(&out, PM_BUF_OWN_LIMIT);
        write_head(&head, *head.query || (had_query && size % 2) ? "?" : "", &out);
        CHECK(pm_http_head_length(out.data, out.len, 0) == out.len, "written again, the head has another length");
        status = pm_http_parse_head(out.data, out.len, &again, &why);
        CHECK(status == 0 || status == 414, "written again, the head is refused: %s", why);
        if (!status)
            check_same(&head, &again);
        pm_buf_release(&out);
    }
    free(text);
    return 0;
}
