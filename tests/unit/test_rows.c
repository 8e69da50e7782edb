/* Labelled rows (core/learn/rows.c): what each line means, and where a fault is. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/learn/rows.h"

static char dir[] = "/tmp/pm-rows-XXXXXX", path[64];

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/talk.v2.jsonl", dir);
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void put(const char *text, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void read_text(struct pm_rows *rows, const char *text)
{
    struct pm_error err = {0};
    put(text, strlen(text));
    expect(pm_rows_read(rows, path, &err) == PM_OK, "`%s`: %s\n", text, err.msg);
}

static void each_kind_of_row_is_read(void **state)
{
    struct pm_rows rows = {0};
    (void)state;
    read_text(&rows,
              "{\"prompt\": \"a\", \"label\": \"code\", \"source\": \"s\", \"split\": \"train\", \"own\": true}\n"
              "\n   \t\r\n"
              "{\"prompt\": \"b\", \"weak\": 0, \"strong\": 1, \"set\": \"gsm\", \"subject\": \"algebra\"}\r\n"
              "{\"prompt\": \"c\", \"weak\": false, \"strong\": true}\n"
              "{\"prompt\": \"d\", \"task\": \"qa\", \"subject\": \"no\", \"scores\": {\"m\": 0.5, \"n\": true}}\n"
              "{\"prompt\": \"e\", \"scores\": {\"n\": 0}}");
    assert_int_equal(rows.n, 5);
    const struct pm_row *r = rows.items;
    assert_string_equal(r[0].label, "code");
    assert_string_equal(r[0].source, "s");
    assert_string_equal(r[0].split, "train");
    assert_true(r[0].own && !r[0].has_pair && !r[0].scores && !r[0].topic && !r[0].has_tools);
    assert_true(r[1].has_pair && r[1].weak == 0 && r[1].strong == 1 && !r[1].own);
    assert_string_equal(r[1].source, "gsm");
    assert_string_equal(r[1].topic, "algebra");
    assert_true(r[2].has_pair && r[2].weak == 0 && r[2].strong == 1);
    assert_string_equal(r[2].source, "talk");
    assert_string_equal(r[3].topic, "qa");
    assert_int_equal(rows.models.n, 2);
    assert_string_equal(rows.models.items[0], "m");
    assert_true(r[3].scores[0] == 0.5 && r[3].scores[1] == 1);
    assert_true(isnan(r[4].scores[0]) && r[4].scores[1] == 0);
    pm_rows_release(&rows);
    assert_int_equal(rows.n, 0);
}

static void files_add_up(void **state)
{
    struct pm_rows rows = {0};
    (void)state;
    read_text(&rows, "{\"prompt\": \"a\", \"scores\": {\"m\": 1}}\n");
    read_text(&rows, "{\"prompt\": \"b\", \"scores\": {\"k\": 1, \"m\": 0}}\n");
    assert_int_equal(rows.n, 2);
    assert_int_equal(rows.models.n, 2);
    assert_true(rows.items[1].scores[0] == 0 && rows.items[1].scores[1] == 1 && isnan(rows.items[0].scores[1]));
    pm_rows_release(&rows);
}

static void nothing_is_no_rows(void **state)
{
    struct pm_rows rows = {0};
    (void)state;
    read_text(&rows, "");
    read_text(&rows, "\n\n  \n");
    assert_int_equal(rows.n, 0);
    pm_rows_release(&rows);
}

static void a_row_with_tools_is_a_request(void **state)
{
    struct pm_rows rows = {0};
    (void)state;
    read_text(
        &rows,
        "{\"turns\": [[{\"role\": \"system\", \"content\": \"be brief\"}, {\"role\": \"user\", \"content\": \"hi\"}],"
        " []], \"tools\": [{\"name\": \"f\"}, {\"type\": \"function\", \"function\": {\"name\": \"g\"}}]}\n"
        "{\"turns\": [[{\"role\": \"user\", \"content\": \"hi\"}]], \"tools\": []}");
    assert_true(rows.items[0].has_tools && !rows.items[1].has_tools);
    char *body = pm_row_body(&rows.items[0], "eval");
    cJSON *root = cJSON_Parse(body);
    assert_non_null(root);
    assert_string_equal(pm_json_str(root, "model"), "eval");
    assert_int_equal(cJSON_GetArraySize(pm_json_get(root, "messages")), 2);
    const cJSON *tools = pm_json_get(root, "tools");
    assert_int_equal(cJSON_GetArraySize(tools), 2);
    for (int i = 0; i < 2; i++) {
        const cJSON *tool = cJSON_GetArrayItem(tools, i);
        assert_string_equal(pm_json_str(tool, "type"), "function");
        assert_string_equal(pm_json_str(pm_json_get(tool, "function"), "name"), i ? "g" : "f");
    }
    cJSON_Delete(root);
    free(body);
    pm_rows_release(&rows);
}

static void a_prompt_is_a_request(void **state)
{
    struct pm_rows rows = {0};
    (void)state;
    read_text(&rows, "{\"prompt\": \"say \\\"hi\\\"\\n\\u00e9\"}");
    char *body = pm_row_body(&rows.items[0], "m");
    cJSON *root = cJSON_Parse(body), *message = cJSON_GetArrayItem(pm_json_get(root, "messages"), 0);
    assert_string_equal(pm_json_str(message, "role"), "user");
    assert_string_equal(pm_json_str(message, "content"), "say \"hi\"\n\xc3\xa9");
    cJSON_Delete(root);
    free(body);
    pm_rows_release(&rows);
}

static void every_fault_has_its_place(void **state)
{
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"nonsense", ""},
        {"{\"prompt\": \"a\"", ""},
        {"{\"prompt\": \"a\"} {\"prompt\": \"b\"}", ""},
        {"{\"prompt\": \"a\", \"weak\": NaN, \"strong\": 1}", ""},
        {"[]", "prompt"},
        {"{}", "prompt"},
        {"{\"label\": \"code\"}", "prompt"},
        {"{\"prompt\": 5}", "prompt"},
        {"{\"prompt\": null}", "prompt"},
        {"{\"prompt\": \"a\", \"weak\": 1}", "strong"},
        {"{\"prompt\": \"a\", \"strong\": 1}", "weak"},
        {"{\"prompt\": \"a\", \"weak\": -0.1, \"strong\": 1}", "[0,1]"},
        {"{\"prompt\": \"a\", \"weak\": 0, \"strong\": 1.01}", "[0,1]"},
        {"{\"prompt\": \"a\", \"weak\": 0, \"strong\": 1e999}", "[0,1]"},
        {"{\"prompt\": \"a\", \"weak\": \"0\", \"strong\": 1}", "[0,1]"},
        {"{\"prompt\": \"a\", \"scores\": [1]}", "object"},
        {"{\"prompt\": \"a\", \"scores\": {\"m\": 2}}", "[0,1]"},
        {"{\"prompt\": \"a\", \"scores\": {\"m\": null}}", "[0,1]"},
        {"{\"turns\": [], \"tools\": []}", "turns"},
        {"{\"turns\": [[]], \"tools\": []}", "turns"},
        {"{\"turns\": [[{\"role\": \"user\", \"content\": \"a\"}]]}", "tools"},
        {"{\"turns\": {\"a\": 1}, \"tools\": []}", "turns"},
        {"{\"turns\": [[{\"role\": \"user\"}]], \"tools\": []}", "turns"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_rows read = {0};
        struct pm_error err = {0};
        char text[400], place[80];
        snprintf(text, sizeof(text), "{\"prompt\": \"fine\"}\n\n%s\n{\"prompt\": \"behind\"}\n", rows[i].line);
        snprintf(place, sizeof(place), "%s:3: ", path);
        put(text, strlen(text));
        int rc = pm_rows_read(&read, path, &err);
        pm_rows_release(&read);
        expect(rc == PM_EINVAL, "`%s` is taken\n", rows[i].line);
        expect(strncmp(err.msg, place, strlen(place)) == 0 && strlen(err.msg) > strlen(place) + 5,
               "`%s`: without its place: %s\n", rows[i].line, err.msg);
        expect(strstr(err.msg, rows[i].says) != NULL, "`%s`: nothing of %s: %s\n", rows[i].line, rows[i].says,
               err.msg);
    }
}

static void more_models_than_there_is_room_for_are_told(void **state)
{
    struct pm_rows rows = {0};
    struct pm_error err = {0};
    char text[2000] = "{\"prompt\": \"a\", \"scores\": {";
    (void)state;
    for (unsigned i = 0; i < 65; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\"m%u\": 1", i ? "," : "", i);
    strcat(text, "}}");
    put(text, strlen(text));
    assert_int_equal(pm_rows_read(&rows, path, &err), PM_EINVAL);
    expect(strstr(err.msg, ":1: ") && strstr(err.msg, "64"), "%s\n", err.msg);
    pm_rows_release(&rows);
}

static void a_file_that_cannot_be_read_is_told(void **state)
{
    struct pm_rows rows = {0};
    struct pm_error err = {0};
    (void)state;
    assert_true(pm_rows_read(&rows, "/nonexistent.jsonl", &err) < 0);
    expect(strstr(err.msg, "/nonexistent.jsonl") != NULL, "%s\n", err.msg);
    assert_true(pm_rows_read(&rows, dir, &err) < 0);
    expect(strstr(err.msg, dir) != NULL, "%s\n", err.msg);
    assert_int_equal(rows.n, 0);
    pm_rows_release(&rows);
}

/* A file that a crash has filled up with zeros must not be half of its rows without a word. */
static void a_zero_byte_does_not_end_the_file_unseen(void **state)
{
    static const char text[] = "{\"prompt\": \"a\"}\n\0\0\0\n{\"prompt\": \"b\"}\n";
    struct pm_rows rows = {0};
    struct pm_error err = {0};
    (void)state;
    put(text, sizeof(text) - 1);
    int rc = pm_rows_read(&rows, path, &err);
    size_t n = rows.n;
    pm_rows_release(&rows);
    expect(rc < 0 || n == 2, "%zu of 2 rows are read, without a fault\n", n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_row_is_read),
        cmocka_unit_test(files_add_up),
        cmocka_unit_test(nothing_is_no_rows),
        cmocka_unit_test(a_row_with_tools_is_a_request),
        cmocka_unit_test(a_prompt_is_a_request),
        cmocka_unit_test(every_fault_has_its_place),
        cmocka_unit_test(more_models_than_there_is_room_for_are_told),
        cmocka_unit_test(a_file_that_cannot_be_read_is_told),
        cmocka_unit_test(a_zero_byte_does_not_end_the_file_unseen),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
