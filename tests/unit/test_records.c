/* Requests that are over in their database: what goes in, what is asked, what is kept, which files are refused. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/store/records.h"

enum { BIG_ROWS = 9000 };

#define DAY_MS 86400000LL

static char folder[64], path[96];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/pm-records-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/usage.db", folder);
    return 0;
}

static int remove_folder(void **state)
{
    DIR *d = opendir(folder);
    (void)state;
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    return rmdir(folder);
}

static struct pm_records *records(void)
{
    struct pm_error err = {0};
    struct pm_records *r = pm_records_open(path, &err);
    expect(r, "%s\n", err.msg);
    return r;
}

static void add_text(struct pm_records *r, const char *json, int wanted)
{
    struct pm_error err = {0};
    int rc = pm_records_add(r, json, strlen(json), &err);
    expect(rc == wanted, "%s: %d (%s), not %d\n", json, rc, err.msg, wanted);
}

/* One request, its other members as JSON text that begins with a comma. */
static void add(struct pm_records *r, const char *id, long long at, const char *outcome, const char *more)
{
    char json[2048];
    snprintf(json, sizeof(json),
             "{\"id\":\"%s\",\"at\":%lld,\"path\":\"/v1/chat/completions\",\"status\":200,\"outcome\":\"%s\","
             "\"attempts\":1,\"stream\":false,\"cache_hit\":%s,\"total_us\":2000%s}",
             id, at, outcome, strcmp(outcome, "cached") == 0 ? "true" : "false", more);
    add_text(r, json, PM_OK);
}

static void commit(struct pm_records *r)
{
    struct pm_error err = {0};
    expect(pm_records_commit(r, &err) == PM_OK, "%s\n", err.msg);
}

static cJSON *ask_to(struct pm_records *r, const char *question, struct pm_error *err)
{
    cJSON *q = cJSON_Parse(question);
    expect(q, "not JSON: %s\n", question);
    cJSON *answer = pm_records_ask(r, q, err);
    cJSON_Delete(q);
    return answer;
}

static cJSON *ask(struct pm_records *r, const char *question)
{
    struct pm_error err = {0};
    cJSON *answer = ask_to(r, question, &err);
    expect(answer, "%s: %s\n", question, err.msg);
    return answer;
}

static void refused(struct pm_records *r, const char *question, const char *word)
{
    struct pm_error err = {0};
    cJSON *answer = ask_to(r, question, &err);
    expect(!answer && err.code == PM_EINVAL && strstr(err.msg, word), "%s: %s\n", question, err.msg);
}

/* The sums of a question's whole, or of its row of that name ("" is the row without one). */
static double sum_of(struct pm_records *r, const char *question, const char *name, const char *member)
{
    cJSON *answer = ask(r, question);
    const cJSON *row, *found = name ? NULL : pm_json_get(answer, "total");
    cJSON_ArrayForEach (row, pm_json_get(answer, "rows")) {
        const char *its = pm_json_str(row, "name");
        if (name && strcmp(its ? its : "", name) == 0)
            found = row;
    }
    double value = found ? pm_json_num(found, member, NAN) : -1;
    cJSON_Delete(answer);
    return value;
}

/* How many requests a question of a list finds; their ids, with spaces between, into `ids`. */
static long long list(struct pm_records *r, const char *question, struct pm_buf *ids)
{
    cJSON *answer = ask(r, question);
    const cJSON *one, *before = pm_json_get(answer, "before");
    long long next = cJSON_IsNumber(before) ? (long long)before->valuedouble : -1;
    pm_buf_clear(ids);
    cJSON_ArrayForEach (one, pm_json_get(answer, "requests")) {
        pm_buf_add(ids, ids->len ? " " : "");
        pm_buf_add(ids, pm_json_str(one, "id"));
    }
    cJSON_Delete(answer);
    return next;
}

static void expect_list(struct pm_records *r, const char *question, const char *ids)
{
    struct pm_buf got;
    pm_buf_init(&got, 1 << 16);
    list(r, question, &got);
    expect(strcmp(got.data, ids) == 0, "%s: %s, not %s\n", question, got.data, ids);
    pm_buf_release(&got);
}

static void a_request_comes_back_as_it_was(void **state)
{
    struct pm_records *r = records();
    (void)state;
    add_text(r,
             "{\"id\":\"req_1\",\"at\":1700000000123,\"path\":\"/v1/messages\",\"key\":\"one\",\"model\":\"auto\","
             "\"route\":\"auto\",\"target\":\"big\",\"kind\":\"openai\",\"status\":200,\"outcome\":\"ok\","
             "\"attempts\":2,\"stream\":true,\"cache_hit\":false,\"total_us\":5000,\"queue_us\":10,\"load_us\":20,"
             "\"sent_us\":30,\"first_us\":40,\"prompt\":11,\"cached\":5,\"output\":7,\"cost\":0.00125,"
             "\"intent\":\"code\",\"complexity\":0.5,\"reason\":\"regex: "
             "\\\"code\\\"\",\"policies\":[{\"name\":\"regex\"}],"
             "\"prompt_text\":\"h\\u00e4 \\u2603\"}",
             PM_OK);
    commit(r);
    cJSON *answer = ask(r, "{\"request\":\"req_1\"}");
    const cJSON *one = cJSON_GetArrayItem(pm_json_get(answer, "requests"), 0);
    assert_int_equal(cJSON_GetArraySize(pm_json_get(answer, "requests")), 1);
    assert_string_equal(pm_json_str(one, "target"), "big");
    assert_string_equal(pm_json_str(one, "reason"), "regex: \"code\"");
    assert_string_equal(pm_json_str(one, "prompt_text"), "h\xc3\xa4 \xe2\x98\x83");
    assert_true(cJSON_IsTrue(pm_json_get(one, "stream")) && cJSON_IsFalse(pm_json_get(one, "cache_hit")));
    assert_true(pm_json_num(one, "at", 0) == 1700000000123.0 && pm_json_num(one, "cost", 0) == 0.00125);
    assert_int_equal(cJSON_GetArraySize(pm_json_get(one, "policies")), 1);
    assert_null(pm_json_get(one, "row"));
    assert_null(pm_json_get(one, "score"));
    cJSON_Delete(answer);
    expect_list(r, "{\"request\":\"req_2\"}", "");
    expect_list(r, "{\"request\":\"' OR 1=1 --\"}", "");
    pm_records_free(r);
}

static void a_record_that_comes_again_is_passed_over(void **state)
{
    struct pm_records *r = records();
    (void)state;
    add(r, "a", 1000, "ok", ",\"output\":3");
    add(r, "a", 1000, "ok", ",\"output\":3");
    commit(r);
    add(r, "a", 2000, "error", ",\"output\":9");
    add(r, "b", 2000, "ok", "");
    commit(r);
    assert_true(sum_of(r, "{\"by\":\"outcome\"}", NULL, "requests") == 2);
    assert_true(sum_of(r, "{\"by\":\"outcome\"}", NULL, "output") == 3);
    expect_list(r, "{\"list\":10}", "b a");
    pm_records_free(r);
}

static void what_is_not_committed_is_not_kept(void **state)
{
    struct pm_records *r = records();
    (void)state;
    add(r, "a", 1000, "ok", "");
    commit(r);
    commit(r);
    add(r, "b", 1000, "ok", "");
    pm_records_free(r);
    r = records();
    expect_list(r, "{\"list\":10}", "a");
    add(r, "b", 1000, "ok", "");
    commit(r);
    pm_records_free(r);
    r = records();
    expect_list(r, "{\"list\":10}", "b a");
    pm_records_free(r);
}

static double score(struct pm_records *r, const char *id)
{
    char question[64];
    snprintf(question, sizeof(question), "{\"request\":\"%s\"}", id);
    cJSON *answer = ask(r, question);
    double s = pm_json_num(cJSON_GetArrayItem(pm_json_get(answer, "requests"), 0), "score", -1);
    cJSON_Delete(answer);
    return s;
}

static void feedback_is_of_the_own_requests(void **state)
{
    struct pm_records *r = records();
    (void)state;
    add(r, "mine", 1000, "ok", ",\"key\":\"one\"");
    add(r, "open", 1000, "ok", "");
    add_text(r, "{\"id\":\"mine\",\"score\":0.25,\"key\":\"two\",\"admin\":false}", PM_OK);
    assert_true(score(r, "mine") == -1);
    add_text(r, "{\"id\":\"mine\",\"score\":0.25,\"admin\":false}", PM_OK);
    assert_true(score(r, "mine") == -1);
    add_text(r, "{\"id\":\"mine\",\"score\":0.25,\"label\":\"so so\",\"key\":\"one\",\"admin\":false}", PM_OK);
    assert_true(score(r, "mine") == 0.25);
    add_text(r, "{\"id\":\"mine\",\"score\":1,\"key\":\"two\",\"admin\":true}", PM_OK);
    assert_true(score(r, "mine") == 1);
    add_text(r, "{\"id\":\"open\",\"score\":0,\"key\":\"two\",\"admin\":false}", PM_OK);
    assert_true(score(r, "open") == 0);
    add_text(r, "{\"id\":\"nobody\",\"score\":0.5,\"admin\":true}", PM_OK);
    commit(r);
    assert_true(sum_of(r, "{\"by\":\"day\"}", NULL, "requests") == 2);
    assert_true(sum_of(r, "{\"by\":\"day\"}", NULL, "score") == 0.5);
    pm_records_free(r);
}

static void requests_are_put_together(void **state)
{
    static const char *const names[][2] = {{"route", "auto"}, {"target", "big"}, {"key", "one"},    {"model", "m\"1"},
                                           {"status", "200"}, {"outcome", "ok"}, {"intent", "code"}};
    struct pm_records *r = records();
    char question[64];
    (void)state;
    add(r, "a", 1000, "ok",
        ",\"route\":\"auto\",\"target\":\"big\",\"key\":\"one\",\"model\":\"m\\\"1\",\"intent\":\"code\","
        "\"kind\":\"local\",\"prompt\":100,\"cached\":60,\"output\":10,\"first_us\":3000,\"queue_us\":1000");
    add(r, "b", 1000, "ok",
        ",\"route\":\"auto\",\"target\":\"big\",\"key\":\"one\",\"model\":\"m\\\"1\",\"intent\":\"code\","
        "\"kind\":\"anthropic\",\"prompt\":50,\"output\":20,\"cost\":0.5,\"first_us\":1000");
    add_text(r,
             "{\"id\":\"c\",\"at\":1000,\"path\":\"/v1/messages\",\"status\":502,\"outcome\":\"error\",\"attempts\":0,"
             "\"stream\":false,\"cache_hit\":false,\"total_us\":2000}",
             PM_OK);
    commit(r);
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(question, sizeof(question), "{\"by\":\"%s\"}", names[i][0]);
        expect(sum_of(r, question, names[i][1], "requests") == 2, "%s\n", question);
        expect(sum_of(r, question, names[i][1], "prompt") == 150, "%s\n", question);
        expect(sum_of(r, question, NULL, "requests") == 3, "%s\n", question);
        const char *other = i == 4 ? "502" : i == 5 ? "error" : "";
        expect(sum_of(r, question, other, "requests") == 1, "%s: the others\n", question);
    }
    static const struct {
        const char *member;
        double value;
    } totals[] = {{"errors", 1}, {"refused", 0},  {"cancelled", 0}, {"cache_hits", 0},
                  {"cloud", 1},  {"prompt", 150}, {"cached", 60},   {"output", 30},
                  {"cost", 0.5}, {"first_ms", 2}, {"total_ms", 2},  {"queue_ms", 1}};
    for (size_t i = 0; i < COUNT(totals); i++) {
        double got = sum_of(r, "{\"by\":\"hour\"}", NULL, totals[i].member);
        expect(got == totals[i].value, "%s: %g, not %g\n", totals[i].member, got, totals[i].value);
    }
    refused(r, "{\"by\":\"rout\"}", "did you mean route");
    refused(r, "{\"by\":\"at; DROP TABLE requests\"}", "put together by");
    pm_records_free(r);
}

static void days_are_of_the_machine(void **state)
{
    /* 2026-03-29: one hour does not exist there, 2026-10-25: one comes twice. */
    static const struct {
        long long at;
        const char *day, *hour;
    } moments[] = {
        {1774738799999, "2026-03-28", "2026-03-28 23:00"}, {1774738800000, "2026-03-29", "2026-03-29 00:00"},
        {1774746000000, "2026-03-29", "2026-03-29 03:00"}, {1774821599999, "2026-03-29", "2026-03-29 23:00"},
        {1774821600000, "2026-03-30", "2026-03-30 00:00"}, {1792886400000, "2026-10-25", "2026-10-25 02:00"},
        {1792890000000, "2026-10-25", "2026-10-25 02:00"}, {1792969199999, "2026-10-25", "2026-10-25 23:00"},
        {1792969200000, "2026-10-26", "2026-10-26 00:00"}};
    struct pm_records *r = records();
    char id[16], question[96];
    (void)state;
    for (size_t i = 0; i < COUNT(moments); i++) {
        snprintf(id, sizeof(id), "r%zu", i);
        add(r, id, moments[i].at, "ok", "");
    }
    commit(r);
    for (size_t i = 0; i < COUNT(moments); i++) {
        snprintf(question, sizeof(question), "{\"by\":\"day\",\"since\":%lld,\"until\":%lld}", moments[i].at,
                 moments[i].at + 1);
        expect(sum_of(r, question, moments[i].day, "requests") == 1, "%lld is not of %s\n", moments[i].at,
               moments[i].day);
        snprintf(question, sizeof(question), "{\"by\":\"hour\",\"since\":%lld,\"until\":%lld}", moments[i].at,
                 moments[i].at + 1);
        expect(sum_of(r, question, moments[i].hour, "requests") == 1, "%lld is not of %s\n", moments[i].at,
               moments[i].hour);
    }
    assert_true(sum_of(r, "{\"by\":\"day\"}", "2026-03-29", "requests") == 3);
    assert_true(sum_of(r, "{\"by\":\"hour\"}", "2026-10-25 02:00", "requests") == 2);
    pm_records_free(r);
}

static void a_question_may_be_narrowed(void **state)
{
    struct pm_records *r = records();
    (void)state;
    add(r, "a", 1000, "ok", ",\"route\":\"x\",\"target\":\"t\",\"key\":\"k\",\"model\":\"m\"");
    add(r, "b", 2000, "cached", ",\"route\":\"x\",\"target\":\"u\",\"key\":\"k\",\"model\":\"n\"");
    add(r, "c", 3000, "cancelled", ",\"route\":\"y\",\"target\":\"t\",\"model\":\"m\"");
    add(r, "d", 4000, "refused", "");
    commit(r);
    expect_list(r, "{\"list\":9,\"since\":2000}", "d c b");
    expect_list(r, "{\"list\":9,\"until\":2000}", "a");
    expect_list(r, "{\"list\":9,\"since\":2000,\"until\":4000}", "c b");
    expect_list(r, "{\"list\":9,\"route\":\"x\"}", "b a");
    expect_list(r, "{\"list\":9,\"target\":\"t\"}", "c a");
    expect_list(r, "{\"list\":9,\"key\":\"k\",\"model\":\"n\"}", "b");
    expect_list(r, "{\"list\":9,\"outcome\":\"cancelled\"}", "c");
    expect_list(r, "{\"list\":9,\"route\":\"x' OR '1'='1\"}", "");
    assert_true(sum_of(r, "{\"by\":\"day\",\"target\":\"t\"}", NULL, "requests") == 2);
    assert_true(sum_of(r, "{\"by\":\"day\",\"target\":\"t\"}", NULL, "cancelled") == 1);
    assert_true(sum_of(r, "{\"by\":\"day\"}", NULL, "cache_hits") == 1);
    assert_true(sum_of(r, "{\"by\":\"day\"}", NULL, "refused") == 1);
    assert_true(sum_of(r, "{\"by\":\"key\",\"since\":9000}", NULL, "requests") == 0);
    refused(r, "{\"by\":\"day\",\"since\":-1}", "milliseconds");
    refused(r, "{\"by\":\"day\",\"until\":1e300}", "milliseconds");
    refused(r, "{\"list\":0}", "1 to 1000");
    refused(r, "{\"list\":1001}", "1 to 1000");
    refused(r, "{\"list\":5,\"before\":-3}", "1 to 1000");
    pm_records_free(r);
}

static void lists_come_in_pages(void **state)
{
    struct pm_records *r = records();
    struct pm_buf ids;
    char id[16], question[64];
    long long before = -1;
    int pages = 0, seen = 0;
    (void)state;
    for (int i = 0; i < 25; i++) {
        snprintf(id, sizeof(id), "r%02d", i);
        add(r, id, 1000 + i % 3, "ok", "");
    }
    commit(r);
    pm_buf_init(&ids, 1 << 16);
    do {
        if (before < 0)
            snprintf(question, sizeof(question), "{\"list\":10}");
        else
            snprintf(question, sizeof(question), "{\"list\":10,\"before\":%lld}", before);
        before = list(r, question, &ids);
        for (const char *at = ids.data; *at; at += at[3] ? 4 : 3, seen++) {
            snprintf(id, sizeof(id), "r%02d", 24 - seen);
            expect(strncmp(at, id, 3) == 0, "%.3s, not %s\n", at, id);
        }
        /* What comes while somebody turns pages does not shift them. */
        snprintf(id, sizeof(id), "new%d", pages);
        add(r, id, 2000, "ok", "");
    } while (before >= 0 && ++pages < 10);
    assert_int_equal(seen, 25);
    assert_int_equal(pages, 2);
    pm_buf_release(&ids);
    pm_records_free(r);
}

static void what_is_no_record_is_passed_over(void **state)
{
    static const char *const wrong[] = {
        "", "{", "[]", "\"text\"", "7", "null", "{}", "{\"id\":\"x\"}", "{\"id\":\"x\",\"at\":1,\"path\":\"/\"}"};
    struct pm_records *r = records();
    (void)state;
    add(r, "a", 1000, "ok", "");
    for (size_t i = 0; i < COUNT(wrong); i++)
        add_text(r, wrong[i], PM_EINVAL);
    /* Nothing of a record that was left out may be seen in the next one. */
    add(r, "b", 1000, "ok", "");
    commit(r);
    expect_list(r, "{\"list\":9}", "b a");
    cJSON *answer = ask(r, "{\"request\":\"b\"}");
    assert_null(pm_json_get(cJSON_GetArrayItem(pm_json_get(answer, "requests"), 0), "key"));
    cJSON_Delete(answer);
    pm_records_free(r);
}

/* --- keeping it small --- */

static long long file_size(void)
{
    struct stat st;
    return stat(path, &st) == 0 ? (long long)st.st_size : -1;
}

static int prune_all(struct pm_records *r, const struct pm_records_limits *limits)
{
    struct pm_error err = {0};
    bool more = true;
    int rounds = 0;
    for (; more && rounds < 100; rounds++)
        expect(pm_records_prune(r, limits, &more, &err) == PM_OK, "%s\n", err.msg);
    expect(!more, "there is always more to remove\n");
    return rounds;
}

static void what_is_old_goes(void **state)
{
    struct pm_records *r = records();
    long long now = (long long)pm_clock_wall_ms();
    (void)state;
    add(r, "old", now - 3 * DAY_MS, "ok", "");
    add(r, "young", now - DAY_MS, "ok", "");
    add(r, "ahead", now + DAY_MS, "ok", "");
    prune_all(r, &(struct pm_records_limits){0});
    expect_list(r, "{\"list\":9}", "ahead young old");
    prune_all(r, &(struct pm_records_limits){.keep_ms = 2 * DAY_MS});
    expect_list(r, "{\"list\":9}", "ahead young");
    prune_all(r, &(struct pm_records_limits){.keep_ms = 1000});
    expect_list(r, "{\"list\":9}", "ahead");
    pm_records_free(r);
}

static void add_many(struct pm_records *r, long long first_at)
{
    char id[32], more[800];
    snprintf(more, sizeof(more), ",\"failures\":\"%0700d\"", 0);
    for (int i = 0; i < BIG_ROWS; i++) {
        snprintf(id, sizeof(id), "req_%d", i);
        add(r, id, first_at + i, "ok", more);
    }
    commit(r);
}

static void the_file_gets_smaller(void **state)
{
    struct pm_records *r = records();
    (void)state;
    add_many(r, 1000);
    pm_records_free(r);
    long long full = file_size();
    expect(full > 7 << 20, "%lld bytes are too few to remove some\n", full);
    r = records();
    prune_all(r, &(struct pm_records_limits){.max_mib = 4});
    double left = sum_of(r, "{\"by\":\"day\"}", NULL, "requests");
    expect(left > 0 && left < BIG_ROWS, "%g are left\n", left);
    assert_true(score(r, "req_8999") == -1);
    expect_list(r, "{\"list\":1}", "req_8999");
    expect_list(r, "{\"request\":\"req_0\"}", "");
    pm_records_free(r);
    expect(file_size() <= 4 << 20, "the file still has %lld of %lld bytes\n", file_size(), full);
    r = records();
    prune_all(r, &(struct pm_records_limits){.keep_ms = 1000});
    expect_list(r, "{\"list\":1}", "");
    add(r, "again", 1000, "ok", "");
    commit(r);
    pm_records_free(r);
    expect(file_size() < 1 << 20, "an empty file has %lld bytes\n", file_size());
}

/* Each call removes a part only: whoever waits for the recorder does not wait long. */
static void removing_takes_no_long_time(void **state)
{
    struct pm_records *r = records();
    struct pm_error err = {0};
    bool more = false;
    (void)state;
    add_many(r, 1000);
    expect(pm_records_prune(r, &(struct pm_records_limits){.keep_ms = 1000}, &more, &err) == PM_OK, "%s\n", err.msg);
    assert_true(more);
    double left = sum_of(r, "{\"by\":\"day\"}", NULL, "requests");
    expect(left > 0 && left < BIG_ROWS, "%g are left\n", left);
    pm_records_free(r);
}

/* --- files --- */

static void write_file(const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    close(fd);
}

static void cannot_be_opened(const char *word)
{
    struct pm_error err = {0};
    struct pm_records *r = pm_records_open(path, &err);
    expect(!r && strstr(err.msg, path) && strstr(err.msg, word), "%s\n", err.msg);
    err = (struct pm_error){0};
    r = pm_records_open_to_read(path, &err);
    expect(!r && strstr(err.msg, path) && strstr(err.msg, word), "to read: %s\n", err.msg);
}

static void a_file_of_something_else_is_refused(void **state)
{
    char garbage[8192];
    (void)state;
    for (size_t i = 0; i < sizeof(garbage); i++)
        garbage[i] = (char)(i * 7 + 1);
    write_file(garbage, sizeof(garbage));
    cannot_be_opened("move the file away");
    assert_int_equal(file_size(), sizeof(garbage));
    /* The beginning of one of ours, and nothing after it. */
    write_file("SQLite format 3", 16);
    cannot_be_opened("move the file away");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    struct pm_error err = {0};
    assert_null(pm_records_open(path, &err));
    assert_non_null(strstr(err.msg, path));
    rmdir(path);
}

static void statement(const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    expect(sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK, "%s: %s\n", sql, why);
    sqlite3_close(db);
}

static void another_format_is_refused(void **state)
{
    (void)state;
    statement("CREATE TABLE other(a)");
    cannot_be_opened("move it away");
    unlink(path);
    pm_records_free(records());
    statement("PRAGMA user_version=2");
    cannot_be_opened("its format is 2");
    statement("PRAGMA user_version=1");
    pm_records_free(records());
}

static void an_empty_file_is_begun(void **state)
{
    (void)state;
    write_file("", 0);
    struct pm_records *r = records();
    add(r, "a", 1000, "ok", "");
    commit(r);
    pm_records_free(r);
    r = records();
    expect_list(r, "{\"list\":9}", "a");
    pm_records_free(r);
}

static void others_may_read_meanwhile(void **state)
{
    struct pm_error err = {0};
    (void)state;
    assert_null(pm_records_open_to_read(path, &err));
    assert_int_equal(err.code, PM_ENOTFOUND);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(file_size(), -1);
    struct pm_records *r = records();
    add(r, "a", 1000, "ok", "");
    commit(r);
    add(r, "b", 1000, "ok", "");
    struct pm_records *reader = pm_records_open_to_read(path, &err);
    expect(reader, "%s\n", err.msg);
    expect_list(reader, "{\"list\":9}", "a");
    commit(r);
    expect_list(reader, "{\"list\":9}", "b a");
    prune_all(r, &(struct pm_records_limits){.keep_ms = 1000});
    expect_list(reader, "{\"list\":9}", "");
    pm_records_free(r);
    pm_records_free(reader);
    /* Nobody writes: the file alone is enough. */
    reader = pm_records_open_to_read(path, &err);
    expect(reader, "%s\n", err.msg);
    expect_list(reader, "{\"list\":9}", "");
    pm_records_free(reader);
    pm_records_free(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define EACH(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
        EACH(a_request_comes_back_as_it_was),
        EACH(a_record_that_comes_again_is_passed_over),
        EACH(what_is_not_committed_is_not_kept),
        EACH(feedback_is_of_the_own_requests),
        EACH(requests_are_put_together),
        EACH(days_are_of_the_machine),
        EACH(a_question_may_be_narrowed),
        EACH(lists_come_in_pages),
        EACH(what_is_no_record_is_passed_over),
        EACH(what_is_old_goes),
        EACH(the_file_gets_smaller),
        EACH(removing_takes_no_long_time),
        EACH(a_file_of_something_else_is_refused),
        EACH(another_format_is_refused),
        EACH(an_empty_file_is_begun),
        EACH(others_may_read_meanwhile),
    };
    /* A zone with summer time, told in full: no file of the machine has a say. */
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
