#include "tests/unit/unit.h"

#include <string.h>

#include "core/http/parse.h"

/* A body of all kinds of line, with what follows it on the connection. */
static const char body[] = "5\r\nhello\r\n"
                           "A;name=\"a;b\";x\r\n\r\n6789\r\n01\r\n"
                           "0001\r\n!\r\n"
                           "000;last\r\n"
                           "Trailer: x: y\r\nB:\r\n"
                           "\r\n";
static const char next[] = "GET / HTTP/1.1\r\n";
static const char decoded[] = "hello\r\n6789\r\n01!";

struct result {
    int rc;
    size_t used;
    struct pm_buf out;
};

/* Feeds the text in pieces that end at the given places. */
static struct result feed(const char *text, size_t len, const size_t *ends, size_t n, size_t limit)
{
    struct pm_chunked c = {0};
    struct result r = {0};
    size_t at = 0;
    pm_buf_init(&r.out, limit);
    for (size_t i = 0; i <= n && r.rc == 0; i++) {
        size_t end = i < n ? ends[i] : len, used = 0;
        r.rc = pm_chunked_feed(&c, text + at, end - at, &used, &r.out);
        expect(used <= end - at, "used %zu of %zu\n", used, end - at);
        expect(r.rc || used == end - at, "asks for more and leaves bytes\n");
        r.used += used;
        at = end;
    }
    return r;
}

static void expect_body(struct result *r)
{
    assert_int_equal(r->rc, 1);
    assert_int_equal(r->used, sizeof(body) - 1);
    assert_int_equal(r->out.len, sizeof(decoded) - 1);
    assert_memory_equal(r->out.data, decoded, sizeof(decoded) - 1);
    pm_buf_release(&r->out);
}

static void a_body_decodes_the_same_at_every_two_splits(void **state)
{
    char text[sizeof(body) + sizeof(next)];
    size_t len = sizeof(body) - 1;
    (void)state;
    memcpy(text, body, sizeof(body));
    strcat(text, next);
    for (size_t a = 0; a <= len; a++) {
        for (size_t b = a; b <= len; b++) {
            size_t ends[] = {a, b};
            struct result r = feed(text, strlen(text), ends, 2, 1000);
            expect_body(&r);
        }
    }
}

static void a_body_decodes_the_same_byte_by_byte(void **state)
{
    size_t ends[sizeof(body)];
    (void)state;
    for (size_t i = 0; i < sizeof(body) - 1; i++)
        ends[i] = i + 1;
    struct result r = feed(body, sizeof(body) - 1, ends, sizeof(body) - 2, 1000);
    expect_body(&r);
}

static void every_beginning_of_a_body_asks_for_more(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(body) - 1; len++) {
        struct result r = feed(body, len, NULL, 0, 1000);
        expect(r.rc == 0 && r.used == len, "the first %zu bytes give %d\n", len, r.rc);
        pm_buf_release(&r.out);
    }
}

static void after_the_end_nothing_is_taken(void **state)
{
    struct pm_chunked c = {0};
    struct pm_buf out;
    size_t used = 9;
    (void)state;
    pm_buf_init(&out, 100);
    assert_int_equal(pm_chunked_feed(&c, "0\r\n\r\n", 5, &used, &out), 1);
    assert_int_equal(used, 5);
    assert_int_equal(pm_chunked_feed(&c, next, sizeof(next) - 1, &used, &out), 1);
    assert_int_equal(used, 0);
    pm_buf_release(&out);
}

#define TEXT(s) s, sizeof(s) - 1

static void what_is_not_chunked_is_refused_at_every_split(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        int rc;
    } rows[] = {
        {TEXT("\r\n"), -400},
        {TEXT("x\r\n"), -400},
        {TEXT("0x5\r\nhello\r\n"), -400},
        {TEXT("+5\r\nhello\r\n"), -400},
        {TEXT("-5\r\nhello\r\n"), -400},
        {TEXT(" 5\r\nhello\r\n"), -400},
        {TEXT("5 \r\nhello\r\n"), -400},
        {TEXT("5\nhello\r\n"), -400},
        {TEXT("5\r\rhello\r\n"), -400},
        {TEXT("5\rhello\r\n"), -400},
        {TEXT("5;a\nb\r\nhello\r\n"), -400},
        {TEXT("5;a\0b\r\nhello\r\n"), -400},
        {TEXT(";a\r\nhello\r\n"), -400},
        {TEXT("5\r\nhelloX\r\n"), -400},
        {TEXT("5\r\nhello\n"), -400},
        {TEXT("5\r\nhello\rX"), -400},
        {TEXT("5\r\nhello0\r\n\r\n"), -400},
        {TEXT("fffffffffffffffff\r\n"), -413},
        {TEXT("10000000000000000\r\n"), -413},
        {TEXT("0\r\nnocolon\r\n\r\n"), -400},
        {TEXT("0\r\n folded: x\r\n\r\n"), -400},
        {TEXT("0\r\n: x\r\n\r\n"), -400},
        {TEXT("0\r\na b: x\r\n\r\n"), -400},
        {TEXT("0\r\na: x\ny\r\n\r\n"), -400},
        {TEXT("0\r\na: \x01\r\n\r\n"), -400},
        {TEXT("0\r\n\rX"), -400},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t split = 0; split <= rows[i].len; split++) {
            struct result r = feed(rows[i].text, rows[i].len, &split, 1, 1000);
            expect(r.rc == rows[i].rc, "row %zu split at %zu: %d instead of %d\n", i, split, r.rc, rows[i].rc);
            pm_buf_release(&r.out);
        }
    }
}

static void the_limit_of_the_body_is_exact(void **state)
{
    static const char text[] = "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    (void)state;
    for (size_t limit = 0; limit < 7; limit++) {
        struct result r = feed(TEXT(text), NULL, 0, limit);
        assert_int_equal(r.rc, limit < 5 ? -413 : 1);
        assert_true(r.out.len <= limit);
        pm_buf_release(&r.out);
    }
}

static void a_chunk_that_cannot_fit_is_refused_before_its_bytes_come(void **state)
{
    static const char *const rows[] = {"65\r\n", "7fffffff\r\n", "fffffffffffffff\r\n"};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct result r = feed(rows[i], strlen(rows[i]), NULL, 0, 100);
        assert_int_equal(r.rc, -413);
        pm_buf_release(&r.out);
    }
}

/* Text, then `n` times a byte. Feeds until it is refused. */
static int feed_endless(const char *start, char byte, size_t n)
{
    struct pm_chunked c = {0};
    struct pm_buf out;
    size_t used;
    pm_buf_init(&out, 100);
    int rc = pm_chunked_feed(&c, start, strlen(start), &used, &out);
    for (size_t i = 0; i < n && !rc; i++)
        rc = pm_chunked_feed(&c, &byte, 1, &used, &out);
    pm_buf_release(&out);
    return rc;
}

static void extensions_and_trailers_are_bounded(void **state)
{
    (void)state;
    assert_true(feed_endless("5;", 'x', 1 << 20) < 0);
    assert_true(feed_endless("0\r\n", 'x', 1 << 20) < 0);
    assert_true(feed_endless("0\r\nx: ", 'y', 1 << 20) < 0);
    assert_true(feed_endless("", '0', 1 << 20) < 0);
}

static void many_small_trailers_are_bounded_too(void **state)
{
    struct pm_chunked c = {0};
    struct pm_buf out;
    size_t used;
    (void)state;
    pm_buf_init(&out, 100);
    int rc = pm_chunked_feed(&c, "0\r\n", 3, &used, &out);
    for (int i = 0; i < 1 << 20 && !rc; i++)
        rc = pm_chunked_feed(&c, "a: b\r\n", 6, &used, &out);
    assert_true(rc < 0);
    pm_buf_release(&out);
}

static void extensions_of_many_chunks_are_not_added_up_into_a_refusal(void **state)
{
    struct pm_chunked c = {0};
    struct pm_buf out;
    size_t used;
    (void)state;
    pm_buf_init(&out, 100000);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(pm_chunked_feed(&c, "1;name=value\r\nx\r\n", 17, &used, &out), 0);
    assert_int_equal(pm_chunked_feed(&c, "0\r\n\r\n", 5, &used, &out), 1);
    assert_int_equal(out.len, 2000);
    pm_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_decodes_the_same_at_every_two_splits),
        cmocka_unit_test(a_body_decodes_the_same_byte_by_byte),
        cmocka_unit_test(every_beginning_of_a_body_asks_for_more),
        cmocka_unit_test(after_the_end_nothing_is_taken),
        cmocka_unit_test(what_is_not_chunked_is_refused_at_every_split),
        cmocka_unit_test(the_limit_of_the_body_is_exact),
        cmocka_unit_test(a_chunk_that_cannot_fit_is_refused_before_its_bytes_come),
        cmocka_unit_test(extensions_and_trailers_are_bounded),
        cmocka_unit_test(many_small_trailers_are_bounded_too),
        cmocka_unit_test(extensions_of_many_chunks_are_not_added_up_into_a_refusal),
    };
    return cmocka_run_group_tests_name("chunked", tests, NULL, NULL);
}
