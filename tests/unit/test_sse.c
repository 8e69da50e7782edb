#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/http/sse.h"

/* Events as `name:data|`, and their raw bytes one after the other. */
struct seen {
    struct pm_buf events, raw;
    int n;
};

static void note(void *arg, const struct pm_sse_event *event)
{
    struct seen *s = arg;
    s->n++;
    pm_buf_addf(&s->events, "%s:%s|", event->name, event->data);
    pm_buf_addn(&s->raw, event->raw, event->raw_len);
    assert_int_equal(strlen(event->data), event->data_len);
}

static void begin(struct seen *s)
{
    *s = (struct seen){0};
    pm_buf_init(&s->events, PM_BUF_OWN_LIMIT);
    pm_buf_init(&s->raw, PM_BUF_OWN_LIMIT);
}

static void end(struct seen *s)
{
    pm_buf_release(&s->events);
    pm_buf_release(&s->raw);
}

static void feed(struct pm_sse_reader *r, const char *text, size_t from, size_t to, struct seen *s)
{
    assert_int_equal(pm_sse_feed(r, text + from, to - from, note, s), PM_OK);
}

static void fields_are_read_as_the_standard_says(void **state)
{
    static const struct {
        const char *text, *events;
    } rows[] = {
        {"data: a\n\n", ":a|"},
        {"data:a\n\n", ":a|"},
        {"data:  a\n\n", ": a|"},
        {"data: a \n\n", ":a |"},
        {"data\n\n", ":|"},
        {"data:\n\n", ":|"},
        {"event: x\ndata: a\n\n", "x:a|"},
        {"data: a\nevent: x\n\n", "x:a|"},
        {"event: x\nevent: y\ndata: a\n\n", "y:a|"},
        {"data: a\ndata: b\n\n", ":a\nb|"},
        {"data: a\ndata:\ndata: b\n\n", ":a\n\nb|"},
        {"data: a\ndata\n\n", ":a\n|"},
        {"data:\ndata: b\n\n", ":\nb|"},
        {"data\ndata\n\n", ":\n|"},
        {": comment\n\n", ":|"},
        {": comment\ndata: a\n\n", ":a|"},
        {"data: a\n: comment\ndata: b\n\n", ":a\nb|"},
        {"id: 7\nretry: 10\ndata: a\n\n", ":a|"},
        {"unknown: 7\ndata: a\n\n", ":a|"},
        {"database: no\ndata: a\n\n", ":a|"},
        {" data: no\ndata: a\n\n", ":a|"},
        {"Data: no\ndata: a\n\n", ":a|"},
        {"data : no\ndata: a\n\n", ":a|"},
        {"data: a: b: c\n\n", ":a: b: c|"},
        {"data: {\"x\":\"\\n\\n\"}\n\n", ":{\"x\":\"\\n\\n\"}|"},
        {"event: a\ndata: 1\n\nevent: b\ndata: 2\n\n", "a:1|b:2|"},
        {"event: a\ndata: 1\n\ndata: 2\n\n", "a:1|:2|"},
        {"data: [DONE]\n\n", ":[DONE]|"},
        {"data: not whole\n", ""},
        {"data: not whole", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_sse_reader r;
        struct seen s;
        begin(&s);
        pm_sse_reader_init(&r);
        feed(&r, rows[i].text, 0, strlen(rows[i].text), &s);
        expect(strcmp(s.events.data, rows[i].events) == 0, "row %zu: %s instead of %s\n", i, s.events.data,
               rows[i].events);
        pm_sse_reader_release(&r);
        end(&s);
    }
}

static const char lf[] = ": hello\n\nevent: one\ndata: 1\ndata: \xc3\xa9\n\nid: 3\ndata: 2\n\n"
                         "data: {\"a\":\n\nevent:two\ndata: 3\n\n";
static const char expected[] = ":|one:1\n\xc3\xa9|:2|:{\"a\":|two:3|";

/* The same events with another line end. What follows shows that a last CR was no half of a CR LF. */
static char *with_line_end(const char *ending)
{
    struct pm_buf b;
    pm_buf_init(&b, PM_BUF_OWN_LIMIT);
    for (const char *p = lf; *p; p++)
        pm_buf_addn(&b, *p == '\n' ? ending : p, *p == '\n' ? strlen(ending) : 1);
    return pm_buf_take(&b);
}

static const char *const endings[] = {"\n", "\r\n", "\r"};

static void events_are_the_same_with_every_line_end_at_every_two_splits(void **state)
{
    (void)state;
    for (size_t e = 0; e < COUNT(endings); e++) {
        char *text = with_line_end(endings[e]);
        size_t len = strlen(text);
        for (size_t a = 0; a <= len; a++) {
            for (size_t b = a; b <= len; b += 3) {
                struct pm_sse_reader r;
                struct seen s;
                begin(&s);
                pm_sse_reader_init(&r);
                feed(&r, text, 0, a, &s);
                feed(&r, text, a, b, &s);
                feed(&r, text, b, len, &s);
                feed(&r, ":", 0, 1, &s);
                expect(strcmp(s.events.data, expected) == 0, "ending %zu split at %zu, %zu: %s\n", e, a, b,
                       s.events.data);
                assert_int_equal(s.raw.len, len);
                assert_memory_equal(s.raw.data, text, len);
                pm_sse_reader_release(&r);
                end(&s);
            }
        }
        free(text);
    }
}

static void events_are_the_same_byte_by_byte_and_no_byte_is_lost(void **state)
{
    (void)state;
    for (size_t e = 0; e < COUNT(endings); e++) {
        char *text = with_line_end(endings[e]);
        struct pm_sse_reader r;
        struct seen s;
        begin(&s);
        pm_sse_reader_init(&r);
        for (size_t i = 0; i < strlen(text); i++)
            feed(&r, text, i, i + 1, &s);
        feed(&r, ":", 0, 1, &s);
        assert_string_equal(s.events.data, expected);
        assert_string_equal(s.raw.data, text);
        pm_sse_reader_release(&r);
        end(&s);
        free(text);
    }
}

static void line_ends_may_be_mixed(void **state)
{
    static const char text[] = "data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\r:";
    struct pm_sse_reader r;
    struct seen s;
    (void)state;
    begin(&s);
    pm_sse_reader_init(&r);
    feed(&r, text, 0, sizeof(text) - 1, &s);
    assert_string_equal(s.events.data, ":a\nb\nc|:d|");
    pm_sse_reader_release(&r);
    end(&s);
}

static void an_event_is_told_as_soon_as_its_empty_line_is_there(void **state)
{
    static const char text[] = "data: a\n\ndata: b\r\n\r\n";
    struct pm_sse_reader r;
    struct seen s;
    (void)state;
    begin(&s);
    pm_sse_reader_init(&r);
    feed(&r, text, 0, 8, &s);
    assert_int_equal(s.n, 0);
    feed(&r, text, 8, 9, &s);
    assert_int_equal(s.n, 1);
    feed(&r, text, 9, sizeof(text) - 1, &s);
    assert_int_equal(s.n, 2);
    pm_sse_reader_release(&r);
    end(&s);
}

static void many_events_in_one_piece_come_in_order(void **state)
{
    struct pm_buf text;
    struct pm_sse_reader r;
    struct seen s;
    (void)state;
    begin(&s);
    pm_buf_init(&text, PM_BUF_OWN_LIMIT);
    for (int i = 0; i < 10000; i++)
        pm_buf_addf(&text, "event: e%d\ndata: %d\n\n", i, i);
    pm_sse_reader_init(&r);
    feed(&r, text.data, 0, text.len, &s);
    assert_int_equal(s.n, 10000);
    assert_string_equal(s.raw.data, text.data);
    assert_non_null(strstr(s.events.data, "e9998:9998|e9999:9999|"));
    pm_sse_reader_release(&r);
    pm_buf_release(&text);
    end(&s);
}

static void an_endless_event_is_refused(void **state)
{
    static char piece[1 << 20];
    struct pm_sse_reader r;
    struct seen s;
    int rc = PM_OK;
    (void)state;
    begin(&s);
    memset(piece, 'x', sizeof(piece));
    pm_sse_reader_init(&r);
    size_t sent = 0;
    for (; rc == PM_OK && sent < 4 * (size_t)PM_SSE_EVENT_MAX; sent += sizeof(piece))
        rc = pm_sse_feed(&r, piece, sizeof(piece), note, &s);
    assert_int_equal(rc, PM_ETOOBIG);
    assert_true(sent >= PM_SSE_EVENT_MAX);
    assert_int_equal(s.n, 0);
    pm_sse_reader_release(&r);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_read_as_the_standard_says),
        cmocka_unit_test(events_are_the_same_with_every_line_end_at_every_two_splits),
        cmocka_unit_test(events_are_the_same_byte_by_byte_and_no_byte_is_lost),
        cmocka_unit_test(line_ends_may_be_mixed),
        cmocka_unit_test(an_event_is_told_as_soon_as_its_empty_line_is_there),
        cmocka_unit_test(many_events_in_one_piece_come_in_order),
        cmocka_unit_test(an_endless_event_is_refused),
    };
    return cmocka_run_group_tests_name("sse", tests, NULL, NULL);
}
