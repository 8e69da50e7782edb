/* The frame of `pointsman top` (core/cli/top_*.c) from canned events: every situation, at every size. */
#include "tests/unit/unit.h"

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/buf.h"
#include "core/cli/top_priv.h"

static const char IDLE[] =
    "{\"type\":\"status\",\"version\":\"0.1.0\",\"pid\":7,\"listen\":[\"127.0.0.1:8080\"],\"generation\":3,"
    "\"config_error\":null,\"gpus\":[{\"name\":\"One\",\"total_mib\":24564,\"free_mib\":3210,\"use_percent\":87,"
    "\"power_w\":291,\"temperature_c\":66}],\"workers\":[{\"pid\":8,\"state\":\"ready\",\"generation\":3}],"
    "\"machine\":{\"cpu\":0.5,\"load1\":1.25,\"cores\":8,\"ram_mib\":64000,\"ram_available_mib\":32000,"
    "\"swap_mib\":8000,\"swap_free_mib\":6000},\"profiles\":["
    "{\"id\":\"chat\",\"name\":\"Chat "
    "8B\",\"description\":\"Talks\",\"speed\":\"fast\",\"state\":\"ready\",\"slots\":4,"
    "\"leases\":2,\"waiting\":3,\"wait_s\":12.5,\"output_tps\":88.4,\"context\":8192,\"reason\":\"\",\"progress\":1,"
    "\"expected_load_ms\":1500,\"pinned\":true,\"bench\":false,\"fit\":\"fits\"},"
    "{\"id\":\"coder\",\"name\":\"Coder "
    "30B\",\"state\":\"loading\",\"slots\":4,\"leases\":0,\"waiting\":0,\"progress\":0.64,"
    "\"context\":32768,\"reason\":\"\",\"expected_load_ms\":42000,\"pinned\":false,\"bench\":false,"
    "\"fit\":\"in place of others\"},"
    "{\"id\":\"damaged\",\"name\":\"damaged\",\"state\":\"failed\",\"slots\":1,\"leases\":0,\"waiting\":0,"
    "\"progress\":0,"
    "\"context\":4096,\"reason\":\"exit code 1: wrong shape\",\"expected_load_ms\":500,\"bench\":false,\"fit\":\"too "
    "large\"},"
    "{\"id\":\"bench-chat\",\"state\":\"off\",\"slots\":1,\"leases\":0,\"waiting\":0,\"context\":4096,\"reason\":\"\","
    "\"expected_load_ms\":500,\"bench\":true,\"fit\":\"fits\"}]}";

static const char LIVE[] =
    "{\"type\":\"live\",\"requests\":["
    "{\"id\":\"1\",\"route\":\"auto\",\"target\":\"chat\",\"phase\":\"answering\",\"elapsed_us\":2500000,\"output\":"
    "120,"
    "\"tps\":61.5,\"reason\":\"complexity 0.1\"},"
    "{\"id\":\"2\",\"route\":\"auto\",\"target\":\"chat\",\"phase\":\"queued\",\"elapsed_us\":1500000,\"wait_s\":7.5},"
    "{\"id\":\"3\",\"route\":null,\"target\":\"coder\",\"phase\":\"loading\",\"elapsed_us\":350000,\"wait_s\":21}]}";

static const char DONE[] = "{\"type\":\"request\",\"request\":{\"id\":\"9\",\"model\":\"auto\",\"target\":\"chat\","
                           "\"outcome\":\"ok\",\"total_us\":1234567}}";

static const char LOGS[] = "chat\tfirst line\nchat\tan error is here\ncoder\t--- loading ---\ncoder\tmore\n";

static void tell(struct pm_top *t, const char *event)
{
    pm_top_event(t, PM_WATCH_EVENTS, event);
}

static void log_line(struct pm_top *t, const char *profile, const char *text)
{
    char *event = pm_asprintf("%s\t%s\n", profile, text);
    pm_top_event(t, PM_WATCH_LOGS, event);
    free(event);
}

static void begin(struct pm_top *t)
{
    pm_top_init(t);
    t->up = true;
    tell(t, IDLE);
    tell(t, LIVE);
    tell(t, DONE);
    pm_top_event(t, PM_WATCH_LOGS, LOGS);
}

/* The frame as text. */
static char *frame(const struct pm_top *t, int rows, int columns)
{
    struct pm_screen s;
    char *text = NULL;
    size_t len;
    pm_screen_init(&s, rows, columns);
    pm_top_draw(t, &s);
    FILE *f = open_memstream(&text, &len);
    pm_screen_print(&s, f);
    fclose(f);
    pm_screen_release(&s);
    return text;
}

static void expect_has(const struct pm_top *t, int rows, int columns, const char *const *words, size_t n)
{
    char *text = frame(t, rows, columns);
    for (size_t i = 0; i < n; i++)
        expect(strstr(text, words[i]) != NULL, "no `%s` in\n%s\n", words[i], text);
    free(text);
}

#define HAS(t, rows, columns, ...)                                                                                    \
    expect_has(t, rows, columns, (const char *const[]){__VA_ARGS__}, COUNT(((const char *const[]){__VA_ARGS__})))

static void expect_lacks(const struct pm_top *t, const char *word)
{
    char *text = frame(t, 24, 80);
    expect(strstr(text, word) == NULL, "`%s` is in\n%s\n", word, text);
    free(text);
}

/* --- situations --- */

static void nothing_known(struct pm_top *t)
{
    pm_top_init(t);
}

static void connected_only(struct pm_top *t)
{
    pm_top_init(t);
    t->up = true;
}

static void gone(struct pm_top *t)
{
    begin(t);
    t->up = false;
    cJSON_Delete(t->live);
    t->live = NULL;
}

static void with_alerts(struct pm_top *t)
{
    begin(t);
    tell(t, "{\"type\":\"status\",\"config_error\":\"models.conf:3: CTX_SIZE wants a "
            "number\",\"usage\":{\"error\":\"disk full\"}}");
}

static void with_picker(struct pm_top *t)
{
    begin(t);
    t->over = PM_TOP_PICKER;
    t->picked = 2;
}

static void with_bench_picker(struct pm_top *t)
{
    with_picker(t);
    t->picks_bench = true;
    t->picked = 0;
}

static void with_help(struct pm_top *t)
{
    begin(t);
    t->over = PM_TOP_HELP;
}

static void with_question(struct pm_top *t)
{
    begin(t);
    t->over = PM_TOP_STOP;
}

static void with_message(struct pm_top *t)
{
    begin(t);
    pm_top_say(t, true, "%s", "something went wrong, and it takes more than one line of a small terminal to tell it");
}

static void with_filter(struct pm_top *t)
{
    begin(t);
    strcpy(t->filter, "error");
    t->types_filter = true;
    t->scroll = 1;
}

static void empty_picker(struct pm_top *t)
{
    pm_top_init(t);
    t->up = true;
    tell(t, "{\"type\":\"status\",\"profiles\":[]}");
    t->over = PM_TOP_PICKER;
}

/* More of everything than there is room for. */
static void crowded(struct pm_top *t)
{
    struct pm_buf text;
    char wide[400];
    pm_top_init(t);
    t->up = true;
    memset(wide, 'w', sizeof(wide) - 1);
    wide[sizeof(wide) - 1] = 0;
    pm_buf_init(&text, 1 << 20);
    pm_buf_addf(&text, "{\"type\":\"status\",\"version\":\"%s\",\"listen\":[\"%s\"],\"config_error\":\"%s\",", wide,
                wide, wide);
    pm_buf_add(
        &text,
        "\"machine\":{\"cpu\":9,\"cores\":999999,\"load1\":12345.6,\"ram_mib\":99999999,\"swap_mib\":5},\"gpus\":[");
    for (int i = 0; i < 16; i++)
        pm_buf_addf(
            &text, "%s{\"total_mib\":98304,\"free_mib\":%d,\"use_percent\":100,\"power_w\":1000,\"temperature_c\":99}",
            i ? "," : "", i * 7000);
    pm_buf_add(&text, "],\"profiles\":[");
    for (int i = 0; i < 200; i++)
        pm_buf_addf(&text,
                    "%s{\"id\":\"m%03d-%.*s\",\"name\":\"%s\",\"state\":\"%s\",\"reason\":\"%s\",\"waiting\":%d,"
                    "\"fit\":\"%s\"}",
                    i ? "," : "", i, i, wide, wide, i % 3 ? "failed" : "ready", wide, i * 1000, wide);
    pm_buf_add(&text, "]}");
    tell(t, text.data);
    pm_buf_clear(&text);
    pm_buf_add(&text, "{\"type\":\"live\",\"requests\":[");
    for (int i = 0; i < 300; i++)
        pm_buf_addf(&text,
                    "%s{\"route\":\"%s\",\"target\":\"%s\",\"phase\":\"%s\",\"elapsed_us\":9e15,\"reason\":\"%s\"}",
                    i ? "," : "", wide, wide, wide, wide);
    pm_buf_add(&text, "]}");
    tell(t, text.data);
    pm_buf_release(&text);
    for (int i = 0; i < 300; i++)
        log_line(t, wide, wide);
    t->chosen = 150;
    t->picked = 199;
}

static void crowded_picker(struct pm_top *t)
{
    crowded(t);
    t->over = PM_TOP_PICKER;
}

/* Names and logs of the whole world, and of somebody who means harm. */
static void foreign(struct pm_top *t)
{
    begin(t);
    tell(t, "{\"type\":\"status\",\"profiles\":[{\"id\":"
            "\"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac\",\"name\":"
            "\"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\",\"state\":\"ready\","
            "\"description\":\"\xf0\x9f\x98\x80\"}]}");
    for (int i = 0; i < 40; i++)
        log_line(t, "\xe6\x97\xa5\xe6\x9c\xac",
                 i % 2 ? "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \x1b[2J\x1b[H\xff\xfe\x07"
                       : "\xf0\x9f\x98\x80\xe2\x80\xae!");
    t->over = PM_TOP_PICKER;
}

/* Members that are not there, or are something else: of an older manager, or a newer one. */
static const char *const odd_events[] = {
    "",
    "nonsense",
    "[]",
    "null",
    "{}",
    "{\"type\":5}",
    "{\"type\":\"new\"}",
    "{\"type\":\"status\"}",
    "{\"type\":\"live\"}",
    "{\"type\":\"request\"}",
    "{\"type\":\"notice\"}",
    "{\"type\":\"notice\",\"profile\":\"chat\"}",
    "{\"type\":\"notice\",\"to\":\"off\"}",
    "{\"type\":\"notice\",\"profile\":\"chat\",\"to\":\"failed\"}",
    "{\"type\":\"request\",\"request\":{}}",
    "{\"type\":\"request\",\"request\":5}",
    "{\"type\":\"status\",\"profiles\":5,\"gpus\":\"none\",\"workers\":{},\"machine\":[],\"listen\":[5]}",
    "{\"type\":\"status\",\"profiles\":[{}],\"gpus\":[{}],\"workers\":[{}],\"machine\":{},\"listen\":[]}",
    "{\"type\":\"status\",\"profiles\":[5,null,\"x\"],\"gpus\":[null],\"workers\":[7],\"listen\":[null]}",
    "{\"type\":\"status\",\"profiles\":[{\"id\":5,\"state\":null,\"name\":{},\"fit\":1}]}",
    "{\"type\":\"status\",\"profiles\":[{\"id\":\"a\"},{\"id\":\"b\",\"name\":\"B\"},{\"state\":\"ready\"}]}",
    "{\"type\":\"status\",\"profiles\":[{\"id\":\"a\",\"state\":\"new\",\"slots\":-5,\"progress\":7e300,\"waiting\":"
    "1e300}]}",
    "{\"type\":\"status\",\"gpus\":[{\"total_mib\":1e300,\"free_mib\":-1e300,\"use_percent\":1e300,\"power_w\":1e300,"
    "\"temperature_c\":-1e300}]}",
    "{\"type\":\"status\",\"machine\":{\"cpu\":1e300,\"load1\":1e300,\"cores\":1e300,\"ram_mib\":-5,\"swap_mib\":"
    "1e300}}",
    "{\"type\":\"live\",\"requests\":5}",
    "{\"type\":\"live\",\"requests\":[{},5,null,{\"phase\":7,\"tps\":\"x\",\"output\":1e300,\"wait_s\":null}]}",
};

static void odd(struct pm_top *t)
{
    pm_top_init(t);
    t->up = true;
    for (size_t i = 0; i < COUNT(odd_events); i++)
        tell(t, odd_events[i]);
}

static const struct {
    const char *name;
    void (*make)(struct pm_top *t);
} situations[] = {
    {"nothing known", nothing_known},
    {"connected only", connected_only},
    {"all there", begin},
    {"gone", gone},
    {"alerts", with_alerts},
    {"the picker", with_picker},
    {"the picker of benchmarks", with_bench_picker},
    {"an empty picker", empty_picker},
    {"the help", with_help},
    {"the question", with_question},
    {"a message", with_message},
    {"the filter", with_filter},
    {"crowded", crowded},
    {"a crowded picker", crowded_picker},
    {"foreign", foreign},
    {"odd events", odd},
};

/* --- tests --- */

static void expect_whole(const struct pm_screen *s, const char *what)
{
    for (int i = 0; i < s->rows * s->columns; i++) {
        bool wide = s->cells[i].ch && wcwidth(s->cells[i].ch) == 2, last = i % s->columns == s->columns - 1;
        bool led = i % s->columns && s->cells[i - 1].ch && wcwidth(s->cells[i - 1].ch) == 2;
        expect(!wide || (!last && s->cells[i + 1].ch == 0), "%s, %dx%d: half a character at %d\n", what, s->columns,
               s->rows, i);
        expect(s->cells[i].ch || led, "%s, %dx%d: half a character at %d\n", what, s->columns, s->rows, i);
        expect(!s->cells[i].ch || wcwidth(s->cells[i].ch) > 0, "%s: a control character\n", what);
        expect(s->cells[i].style < PM_STYLES, "%s: no style\n", what);
    }
}

static void every_situation_at_every_size(void **state)
{
    static const int sizes[] = {0,  1,  2,  3,  4,  5,   7,   10,  15,  20,  24,  39,
                                40, 60, 79, 80, 81, 100, 111, 112, 113, 132, 200, 300};
    (void)state;
    for (size_t i = 0; i < COUNT(situations); i++) {
        struct pm_top t;
        situations[i].make(&t);
        for (size_t r = 0; r < COUNT(sizes) && sizes[r] <= 100; r++)
            for (size_t c = 0; c < COUNT(sizes); c++) {
                struct pm_screen s;
                pm_screen_init(&s, sizes[r], sizes[c]);
                pm_top_draw(&t, &s);
                expect_whole(&s, situations[i].name);
                pm_screen_release(&s);
            }
        pm_top_release(&t);
    }
}

static void odd_events_one_by_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(odd_events); i++)
        for (int over = PM_TOP_NOTHING; over <= PM_TOP_STOP; over++) {
            struct pm_top t;
            begin(&t);
            tell(&t, odd_events[i]);
            t.over = (enum pm_top_over)over;
            free(frame(&t, 24, 80));
            free(frame(&t, 40, 132));
            pm_top_next_source(&t);
            pm_top_next_source(&t);
            pm_top_release(&t);
        }
}

static void all_parts_are_there_at_80x24(void **state)
{
    struct pm_top t;
    (void)state;
    begin(&t);
    HAS(&t, 24, 80, "Pointsman 0.1.0", "127.0.0.1:8080", "MODELS", "chat", "ready pinned", "2/4", "88 t/s", "64%",
        "wrong shape", "MACHINE", "GPU 0", "87%", "291", "66", "CPU", "50% of 8", "RAM", "swap",
        "REQUESTS  3 under way, 1 done", "answering", "120 tokens", "queued, about 7.5 s", "loading", "LOGS", "more",
        "m models", "q leave");
    HAS(&t, 40, 132, "MODELS", "MACHINE", "87%", "291", "66", "REQUESTS", "complexity 0.1", "LOGS", "first line",
        "an error");
    expect_lacks(&t, "bench-chat");
    pm_top_release(&t);
}

/* Where the machine's part stands beside the models, both have all their columns. */
static void no_column_is_cut_in_a_wide_terminal(void **state)
{
    struct pm_top t;
    (void)state;
    begin(&t);
    for (int columns = 80; columns <= 160; columns++)
        HAS(&t, 40, columns, "88 t/s", "87%", "291W", "66C");
    pm_top_release(&t);
}

static void the_parts_stay_when_there_is_much_to_show(void **state)
{
    struct pm_top t;
    (void)state;
    crowded(&t);
    HAS(&t, 24, 80, "MODELS", "151 of 200", "m150", "MACHINE", "CPU", "REQUESTS  300 under way", "LOGS", "m models");
    HAS(&t, 40, 132, "MODELS", "151 of 200", "m150", "MACHINE", "CPU", "REQUESTS  300 under way", "LOGS", "m models");
    pm_top_release(&t);
}

static void pickers_have_their_profiles(void **state)
{
    struct pm_top t;
    (void)state;
    with_picker(&t);
    HAS(&t, 24, 80, "Which model?", "Chat 8B", "fast", "8192", "fits", "in place of others", "too large", "42.0 s",
        "wrong shape", "b benchmark profiles");
    t.picked = 0;
    HAS(&t, 24, 80, "Talks");
    pm_top_release(&t);
    with_bench_picker(&t);
    HAS(&t, 24, 80, "Which benchmark profile?", "bench-chat", "b other models");
    pm_top_release(&t);
    crowded_picker(&t);
    HAS(&t, 24, 80, "m199");
    pm_top_release(&t);
    empty_picker(&t);
    HAS(&t, 24, 80, "Which model?", "none");
    pm_top_release(&t);
}

static void who_is_gone_is_told(void **state)
{
    struct pm_top t;
    (void)state;
    gone(&t);
    HAS(&t, 24, 80, "NOT RUNNING", "MODELS", "REQUESTS", "more");
    pm_top_release(&t);
    with_alerts(&t);
    HAS(&t, 24, 80, "configuration not in use: models.conf:3", "usage is not recorded: disk full", "LOGS");
    pm_top_release(&t);
}

static void requests_are_counted(void **state)
{
    static const char *const ends[] = {"ok", "error", "refused", "cancelled", "cached"};
    struct pm_top t;
    (void)state;
    pm_top_init(&t);
    t.up = true;
    for (size_t i = 0; i < COUNT(ends); i++) {
        char text[200];
        snprintf(text, sizeof(text), "{\"type\":\"request\",\"request\":{\"model\":\"m%zu\",\"outcome\":\"%s\"}}", i,
                 ends[i]);
        tell(&t, text);
    }
    assert_int_equal(t.finished, 5);
    assert_int_equal(t.failed, 2);
    HAS(&t, 24, 80, "REQUESTS  0 under way, 5 done, 2 of them failed", "m4", "cached");
    pm_top_release(&t);
}

/* A request that is over is not under way any more, though the list of those comes a moment later. */
static void what_is_done_is_not_under_way(void **state)
{
    struct pm_top t;
    (void)state;
    begin(&t);
    HAS(&t, 24, 80, "3 under way, 1 done", "queued");
    tell(&t, "{\"type\":\"request\",\"request\":{\"id\":\"2\",\"outcome\":\"cancelled\"}}");
    HAS(&t, 24, 80, "2 under way, 2 done");
    expect_lacks(&t, "queued");
    pm_top_release(&t);
}

static void a_fallback_is_told(void **state)
{
    struct pm_top t;
    (void)state;
    pm_top_init(&t);
    tell(&t, "{\"type\":\"request\",\"request\":{\"model\":\"auto\",\"target\":\"cloud\",\"outcome\":\"ok\","
             "\"total_us\":39829,\"plan\":[{\"target\":\"damaged\"},{\"target\":\"cloud\"}],\"vetoes\":{}}}");
    HAS(&t, 24, 80, "last: auto -> cloud: ok, 40 ms", "damaged");
    tell(&t, "{\"type\":\"request\",\"request\":{\"model\":\"auto\",\"target\":\"cloud\",\"outcome\":\"ok\","
             "\"plan\":[{\"target\":\"cloud\"}],\"vetoes\":{\"damaged\":\"the load failed\"}}}");
    HAS(&t, 24, 80, "last: auto -> cloud: ok", "damaged: the load failed");
    pm_top_release(&t);
}

static void a_filter_shows_lines_with_a_word(void **state)
{
    struct pm_top t;
    (void)state;
    begin(&t);
    strcpy(t.filter, "ERROR");
    HAS(&t, 24, 80, "with: ERROR", "an error is here");
    expect_lacks(&t, "first line");
    strcpy(t.filter, "coder");
    HAS(&t, 24, 80, "--- loading ---", "more");
    expect_lacks(&t, "an error");
    strcpy(t.filter, "nowhere");
    expect_lacks(&t, "more");
    pm_top_release(&t);
}

static void sources_go_round(void **state)
{
    struct pm_top t;
    (void)state;
    begin(&t);
    assert_null(t.source);
    pm_top_next_source(&t);
    assert_string_equal(t.source, "chat");
    HAS(&t, 24, 80, "LOGS  chat", "first line");
    expect_lacks(&t, "--- loading ---");
    pm_top_next_source(&t);
    assert_string_equal(t.source, "coder");
    expect_lacks(&t, "first line");
    /* The damaged one has said nothing, and is passed over. */
    pm_top_next_source(&t);
    assert_null(t.source);
    /* A profile that is no more, with lines that are still there. */
    pm_top_next_source(&t);
    tell(&t, "{\"type\":\"status\",\"profiles\":[{\"id\":\"coder\",\"state\":\"off\"}]}");
    pm_top_next_source(&t);
    assert_null(t.source);
    pm_top_release(&t);
}

/* The line in the log's last row. */
static char *last_line(const struct pm_top *t)
{
    char *text = frame(t, 24, 80), *end = strrchr(text, '\n');
    *end = 0;
    end = strrchr(text, '\n');
    *end = 0;
    char *line = pm_strdup(strrchr(text, '\n') + 1);
    free(text);
    return line;
}

static void expect_last(const struct pm_top *t, const char *wanted)
{
    char *line = last_line(t);
    expect(strstr(line, wanted) != NULL, "the last line is `%s`, not `%s`\n", line, wanted);
    free(line);
}

static void numbered(struct pm_top *t, int from, int to)
{
    char text[32];
    for (int i = from; i < to; i++) {
        snprintf(text, sizeof(text), "line %d.", i);
        log_line(t, i % 2 ? "coder" : "chat", text);
    }
}

static void scrolled_lines_keep_their_place(void **state)
{
    struct pm_top t;
    (void)state;
    begin(&t);
    numbered(&t, 0, 100);
    expect_last(&t, "line 99.");
    t.scroll = 10;
    expect_last(&t, "line 89.");
    numbered(&t, 100, 150);
    expect_last(&t, "line 89.");
    HAS(&t, 24, 80, "scrolled");
    /* Lines that are not shown do not move those that are. */
    pm_top_next_source(&t);
    t.scroll = 5;
    expect_last(&t, "line 138.");
    numbered(&t, 150, 170);
    expect_last(&t, "line 138.");
    t.scroll = 0;
    expect_last(&t, "line 168.");
    pm_top_release(&t);
}

static void the_ring_keeps_the_newest(void **state)
{
    struct pm_top t;
    (void)state;
    begin(&t);
    numbered(&t, 0, 3 * PM_TOP_LINES + 17);
    assert_int_equal(t.n_lines, 3 * PM_TOP_LINES + 17 + 4);
    assert_true(pm_top_shows(&t, 0) && pm_top_shows(&t, PM_TOP_LINES - 1));
    assert_false(pm_top_shows(&t, PM_TOP_LINES));
    expect_last(&t, "line 12016.");
    t.scroll = PM_TOP_LINES - 1;
    expect_last(&t, "line 8017.");
    pm_top_release(&t);
}

/* Who reads the oldest lines while they fall out of the ring sees the oldest that are left, not an empty part. */
static void scrolled_past_what_is_kept(void **state)
{
    struct pm_top t;
    (void)state;
    begin(&t);
    numbered(&t, 0, PM_TOP_LINES);
    t.scroll = PM_TOP_LINES - 20;
    numbered(&t, PM_TOP_LINES, PM_TOP_LINES + 500);
    assert_in_range(t.scroll, 0, PM_TOP_LINES - 1);
    char *line = last_line(&t);
    expect(strstr(line, "line ") != NULL, "the last line is `%s`\n", line);
    free(line);
    pm_top_release(&t);
}

static void logs_are_taken_as_they_come(void **state)
{
    static const char *const odd_logs[] = {"",     "\n",    "no tab",  "no tab\n",   "a\tno end",
                                           "\t\n", "a\t\n", "a\tb\nc", "\n\n\t\t\n", "a\tb\tc\n"};
    struct pm_top t;
    (void)state;
    begin(&t);
    for (size_t i = 0; i < COUNT(odd_logs); i++)
        pm_top_event(&t, PM_WATCH_LOGS, odd_logs[i]);
    log_line(&t, "chat", "the last one");
    expect_last(&t, "the last one");
    pm_top_release(&t);
}

static void seconds_are_for_people(void **state)
{
    static const struct {
        double s;
        const char *text;
    } rows[] = {{0, "0 ms"},       {0.0004, "0 ms"}, {0.34, "340 ms"}, {0.9994, "999 ms"}, {0.9996, "1.0 s"},
                {12.34, "12.3 s"}, {99.9, "99.9 s"}, {150, "2 min"},   {7200, "120 min"}};
    char out[24];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect(strcmp(pm_top_seconds(rows[i].s, out), rows[i].text) == 0, "%g: `%s`\n", rows[i].s, out);
    pm_top_seconds(1e300, out);
    assert_in_range(strlen(out), 1, 23);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_situation_at_every_size),
        cmocka_unit_test(odd_events_one_by_one),
        cmocka_unit_test(all_parts_are_there_at_80x24),
        cmocka_unit_test(no_column_is_cut_in_a_wide_terminal),
        cmocka_unit_test(the_parts_stay_when_there_is_much_to_show),
        cmocka_unit_test(pickers_have_their_profiles),
        cmocka_unit_test(who_is_gone_is_told),
        cmocka_unit_test(requests_are_counted),
        cmocka_unit_test(what_is_done_is_not_under_way),
        cmocka_unit_test(a_fallback_is_told),
        cmocka_unit_test(a_filter_shows_lines_with_a_word),
        cmocka_unit_test(sources_go_round),
        cmocka_unit_test(scrolled_lines_keep_their_place),
        cmocka_unit_test(the_ring_keeps_the_newest),
        cmocka_unit_test(scrolled_past_what_is_kept),
        cmocka_unit_test(logs_are_taken_as_they_come),
        cmocka_unit_test(seconds_are_for_people),
    };
    if (!setlocale(LC_ALL, "C.UTF-8"))
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
