#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/http/parse.h"

#define TEXT(s) s, sizeof(s) - 1
#define HOST    "Host: h\r\n"

/* The status of the head, in memory of just its size, so that a sanitizer sees every byte read beyond it. */
static int parse(const char *text, size_t len, struct pm_http_head *head, char **memory)
{
    const char *why = NULL;
    *memory = malloc(len);
    assert_non_null(*memory);
    memcpy(*memory, text, len);
    int status = pm_http_parse_head(*memory, len, head, &why);
    expect(!status || why, "%s: %d without a reason\n", text, status);
    return status;
}

struct row {
    const char *text;
    size_t len;
    int status;
};

static void expect_statuses(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pm_http_head head;
        char *memory;
        int status = parse(rows[i].text, rows[i].len, &head, &memory);
        expect(status == rows[i].status, "row %zu: %d instead of %d of\n%s\n", i, status, rows[i].status,
               rows[i].text);
        free(memory);
    }
}

static void a_request_line_is_method_path_version_and_nothing_else(void **state)
{
    static const struct row rows[] = {
        {TEXT("GET / HTTP/1.1\r\n" HOST "\r\n"), 0},
        {TEXT("POST /v1/chat/completions?x=1 HTTP/1.1\r\n" HOST "\r\n"), 0},
        {TEXT("GET / HTTP/1.0\r\n\r\n"), 0},
        {TEXT("OPTIONS /%20*'!~ HTTP/1.1\r\n" HOST "\r\n"), 0},
        {TEXT("get / HTTP/1.1\r\n" HOST "\r\n"), 501},
        {TEXT("BREW / HTTP/1.1\r\n" HOST "\r\n"), 501},
        {TEXT("CONNECT h:1 HTTP/1.1\r\n" HOST "\r\n"), 501},
        {TEXT("G(T / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {TEXT(" GET / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {TEXT("GET  / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {TEXT("GET /  HTTP/1.1\r\n" HOST "\r\n"), 400},
        {TEXT("GET / HTTP/1.1 \r\n" HOST "\r\n"), 400},
        {TEXT("GET\t/\tHTTP/1.1\r\n" HOST "\r\n"), 400},
        {TEXT("GET /\r\n" HOST "\r\n"), 400},
        {TEXT("GET\r\n\r\n"), 400},
        {TEXT("\r\n"), 400},
        {TEXT("GET / http/1.1\r\n" HOST "\r\n"), 400},
        {TEXT("GET / HTTP/1.10\r\n" HOST "\r\n"), 400},
        {TEXT("GET / HTTP/11\r\n" HOST "\r\n"), 400},
        {TEXT("GET / HTTP/1.2\r\n" HOST "\r\n"), 505},
        {TEXT("GET / HTTP/2.0\r\n" HOST "\r\n"), 505},
        {TEXT("PRI * HTTP/2.0\r\n\r\n"), 501},
        {TEXT("GET http://h/ HTTP/1.1\r\n" HOST "\r\n"), 400},
        {TEXT("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), 400},
        {TEXT("GET h/ HTTP/1.1\r\n" HOST "\r\n"), 400},
        {TEXT("GET /a b HTTP/1.1\r\n" HOST "\r\n"), 400},
        {TEXT("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"), 400},
        {TEXT("GET /\x01 HTTP/1.1\r\n" HOST "\r\n"), 400},
        {TEXT("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), 400},
        {TEXT("GET /\x7f HTTP/1.1\r\n" HOST "\r\n"), 400},
    };
    (void)state;
    expect_statuses(rows, COUNT(rows));
}

static void header_lines_are_strict(void **state)
{
    static const struct row rows[] = {
        {TEXT("GET / HTTP/1.1\r\nHost:h\r\nA:\r\nB:  x  \r\nC: \xc3\xa9\ty\r\n\r\n"), 0},
        {TEXT("GET / HTTP/1.1\r\n" HOST "X y: 1\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "X : 1\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST " X: 1\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "\tX: 1\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "A: 1\r\n folded\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST ": 1\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "nocolon\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "X\0Y: 1\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "X: a\x0b\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "\xc3\xa9: 1\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\n" HOST "\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\nHost: h\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "X: 1\r\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n\r\n"), 0},
        {TEXT("GET / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n"), 417},
    };
    (void)state;
    expect_statuses(rows, COUNT(rows));
}

static void host_stands_exactly_once_and_is_an_authority(void **state)
{
    static const struct row rows[] = {
        {TEXT("GET / HTTP/1.1\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\n" HOST "hOST: h\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 0},
        {TEXT("GET / HTTP/1.1\r\nHost: localhost:8484\r\n\r\n"), 0},
        {TEXT("GET / HTTP/1.1\r\nHost: [::1]:8484\r\n\r\n"), 0},
        {TEXT("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n"), 400},
        {TEXT("GET / HTTP/1.1\r\nHost: h:80x\r\n\r\n"), 400},
    };
    (void)state;
    expect_statuses(rows, COUNT(rows));
}

#define POST "POST / HTTP/1.1\r\n" HOST

/* What has let two parsers see two different ends of one request. */
static void no_head_leaves_in_doubt_where_its_body_ends(void **state)
{
    static const struct row rows[] = {
        {TEXT(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
        {TEXT(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"), 400},
        {TEXT(POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: 5\r\ncontent-length: 6\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: 5, 5\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: +5\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: -5\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: 0x5\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: 5 5\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: 5.0\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: 5e0\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: \"5\"\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: \r\n\r\n"), 400},
        {TEXT(POST "Content-Length: 5\x0b\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: 99999999999999999999999\r\n\r\n"), 413},
        {TEXT(POST "Content-Length : 5\r\n\r\n"), 400},
        {TEXT(POST " Content-Length: 5\r\n\r\n"), 400},
        {TEXT(POST "X: 1\nContent-Length: 5\r\n\r\n"), 400},
        {TEXT(POST "X: 1\rContent-Length: 5\r\n\r\n"), 400},
        {TEXT(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), 501},
        {TEXT(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"), 501},
        {TEXT(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501},
        {TEXT(POST "Transfer-Encoding: chunked, identity\r\n\r\n"), 501},
        {TEXT(POST "Transfer-Encoding: identity\r\n\r\n"), 501},
        {TEXT(POST "Transfer-Encoding: xchunked\r\n\r\n"), 501},
        {TEXT(POST "Transfer-Encoding: chunked;q=1\r\n\r\n"), 501},
        {TEXT(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"), 501},
        {TEXT(POST "Transfer-Encoding:\r\n\r\n"), 501},
        {TEXT(POST "Transfer-Encoding: chunked\x0b\r\n\r\n"), 400},
        {TEXT(POST "Transfer-Encoding : chunked\r\n\r\n"), 400},
        {TEXT(POST "Transfer-Encoding:\r\n chunked\r\n\r\n"), 400},
        {TEXT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
        {TEXT(POST "Content-Length: 18446744073709551615\r\n\r\n"), 413},
    };
    (void)state;
    expect_statuses(rows, COUNT(rows) - 1);
    struct pm_http_head head;
    char *memory;
    /* The largest number is either kept whole or refused, never wrapped. */
    int status = parse(rows[COUNT(rows) - 1].text, rows[COUNT(rows) - 1].len, &head, &memory);
    assert_true(status == 413 || (!status && head.length == UINT64_MAX));
    free(memory);
}

static void the_parts_of_a_head_are_found(void **state)
{
    static const char text[] = "POST /v1/messages?beta=true&x=%20? HTTP/1.1\r\nHost: h:1\r\nX-Empty:\r\n"
                               "x-Two: \t a  b \t\r\nX-TWO: second\r\nContent-Length: 0042\r\n\r\n";
    struct pm_http_head head;
    char *memory;
    (void)state;
    assert_int_equal(parse(TEXT(text), &head, &memory), 0);
    assert_int_equal(head.method, PM_HTTP_POST);
    assert_string_equal(pm_http_method_name(head.method), "POST");
    assert_int_equal(head.minor, 1);
    assert_string_equal(head.path, "/v1/messages");
    assert_string_equal(head.query, "beta=true&x=%20?");
    assert_int_equal(head.n_headers, 5);
    assert_string_equal(pm_http_header(&head, "X-two"), "a  b");
    assert_string_equal(pm_http_header(&head, "x-empty"), "");
    assert_null(pm_http_header(&head, "x-tw"));
    assert_true(head.has_length && !head.chunked && head.keep_alive && !head.expect_continue);
    assert_int_equal(head.length, 42);
    free(memory);
}

static void connections_stay_as_the_version_and_the_client_say(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        bool keep;
    } rows[] = {
        {TEXT("GET / HTTP/1.1\r\n" HOST "\r\n"), true},
        {TEXT("GET / HTTP/1.0\r\n\r\n"), false},
        {TEXT("GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), false},
        {TEXT("GET / HTTP/1.1\r\n" HOST "Connection: Upgrade, CLOSE\r\n\r\n"), false},
        {TEXT("GET / HTTP/1.1\r\n" HOST "Connection: close\r\nConnection: keep-alive\r\n\r\n"), false},
        {TEXT("GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nConnection: close\r\n\r\n"), false},
        {TEXT("GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n"), true},
        {TEXT("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), true},
        {TEXT("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"), false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_http_head head;
        char *memory;
        assert_int_equal(parse(rows[i].text, rows[i].len, &head, &memory), 0);
        expect(head.keep_alive == rows[i].keep, "row %zu\n", i);
        free(memory);
    }
}

static void limits_are_held(void **state)
{
    static char text[PM_HTTP_TARGET_MAX + 2000];
    struct pm_http_head head;
    char *memory;
    (void)state;
    for (int n = PM_HTTP_HEADERS_MAX; n <= PM_HTTP_HEADERS_MAX + 1; n++) {
        strcpy(text, "GET / HTTP/1.1\r\n" HOST);
        for (int i = 1; i < n; i++)
            strcat(text, "a: b\r\n");
        strcat(text, "\r\n");
        assert_int_equal(parse(text, strlen(text), &head, &memory), n > PM_HTTP_HEADERS_MAX ? 431 : 0);
        free(memory);
    }
    for (size_t n = PM_HTTP_TARGET_MAX; n <= PM_HTTP_TARGET_MAX + 1; n++) {
        strcpy(text, "GET /");
        memset(text + 5, 'x', n - 1);
        strcpy(text + 4 + n, " HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(parse(text, strlen(text), &head, &memory), n > PM_HTTP_TARGET_MAX ? 414 : 0);
        free(memory);
    }
}

static void every_cut_of_a_head_is_survived(void **state)
{
    static const char text[] = "POST /a?b HTTP/1.1\r\n" HOST "Content-Length: 5\r\nX: y\r\n\r\n";
    (void)state;
    for (size_t len = 1; len < sizeof(text); len++) {
        struct pm_http_head head;
        char *memory;
        (void)parse(text, len, &head, &memory);
        assert_non_null(head.path);
        assert_non_null(head.query);
        free(memory);
    }
}

static void the_end_of_a_head_is_found_wherever_the_bytes_are_split(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\n" HOST "A: \r\n\r\nGET /second";
    size_t whole = strstr(text, "\r\n\r\n") - text + 4;
    (void)state;
    for (size_t split = 0; split < whole; split++) {
        assert_int_equal(pm_http_head_length(text, split, 0), 0);
        assert_int_equal(pm_http_head_length(text, sizeof(text) - 1, split), whole);
    }
    for (size_t len = 1; len < whole; len++)
        assert_int_equal(pm_http_head_length(text, len, len - 1), 0);
}

static void a_bare_line_feed_ends_the_wait_for_more(void **state)
{
    static const char *const rows[] = {"GET / HTTP/1.1\nHost: h\n\n", "\n", "GET / HTTP/1.1\r\nHost: h\n"};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len = strlen(rows[i]), n = pm_http_head_length(rows[i], len, 0);
        assert_in_range(n, 1, len);
        struct pm_http_head head;
        char *memory;
        assert_int_equal(parse(rows[i], n, &head, &memory), 400);
        free(memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_line_is_method_path_version_and_nothing_else),
        cmocka_unit_test(header_lines_are_strict),
        cmocka_unit_test(host_stands_exactly_once_and_is_an_authority),
        cmocka_unit_test(no_head_leaves_in_doubt_where_its_body_ends),
        cmocka_unit_test(the_parts_of_a_head_are_found),
        cmocka_unit_test(connections_stay_as_the_version_and_the_client_say),
        cmocka_unit_test(limits_are_held),
        cmocka_unit_test(every_cut_of_a_head_is_survived),
        cmocka_unit_test(the_end_of_a_head_is_found_wherever_the_bytes_are_split),
        cmocka_unit_test(a_bare_line_feed_ends_the_wait_for_more),
    };
    return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
