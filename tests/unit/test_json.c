#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"

#define TEXT(s) s, sizeof(s) - 1

static void what_rfc_8259_allows_is_taken(void **state)
{
    static const struct {
        const char *text;
        size_t len;
    } rows[] = {
        {TEXT("{}")},
        {TEXT("[]")},
        {TEXT(" \t\r\n{ \t\r\n} \t\r\n")},
        {TEXT("null")},
        {TEXT("true")},
        {TEXT("false")},
        {TEXT("\"\"")},
        {TEXT("0")},
        {TEXT("-0")},
        {TEXT("-1.5e+10")},
        {TEXT("1E5")},
        {TEXT("0.0")},
        {TEXT("10")},
        {TEXT("1e-7")},
        {TEXT("123456789012345678901234567890")},
        {TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"")},
        {TEXT("\"\\uD83D\\uDE00\"")},
        {TEXT("\"\xf0\x9f\x98\x80\"")},
        {TEXT("\"\x7f\"")},
        {TEXT("\"\xe2\x80\xa8\"")},
        {TEXT("[1,[2,[3]],{\"a\":{\"b\":[]}}]")},
        {TEXT("{\"\":0}")},
        {TEXT("{\"a\":[{\"x\":1,\"x\":2}]}")},
        {TEXT("[{\"a\":1},{\"a\":1}]")},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_error err = {0};
        struct pm_json_spans spans;
        int rc = pm_json_scan(rows[i].text, rows[i].len, &spans, &err);
        expect(rc == PM_OK, "%s: %s\n", rows[i].text, err.msg);
    }
}

struct text {
    const char *text;
    size_t len;
};

static void refused(const struct text *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pm_error err = {0};
        int rc = pm_json_scan(rows[i].text, rows[i].len, NULL, &err);
        expect(rc == PM_EINVAL, "row %zu, %s: %d\n", i, rows[i].text, rc);
        expect(err.msg[0], "row %zu, %s: no reason\n", i, rows[i].text);
    }
}

static void what_rfc_8259_forbids_is_refused(void **state)
{
    static const struct text rows[] = {
        {TEXT("")},         {TEXT(" ")},          {TEXT("{")},         {TEXT("}")},
        {TEXT("[")},        {TEXT("[1,]")},       {TEXT("[,1]")},      {TEXT("[1 2]")},
        {TEXT("[1,,2]")},   {TEXT("[1}")},        {TEXT("{]")},        {TEXT("{\"a\"}")},
        {TEXT("{\"a\":}")}, {TEXT("{\"a\":1,}")}, {TEXT("{,}")},       {TEXT("{a:1}")},
        {TEXT("{'a':1}")},  {TEXT("{1:1}")},      {TEXT("{\"a\" 1}")}, {TEXT("{\"a\":1 \"b\":2}")},
        {TEXT("{}{}")},     {TEXT("{} x")},       {TEXT("1 2")},       {TEXT("// c\n1")},
        {TEXT("/* c */1")}, {TEXT("nul")},        {TEXT("True")},      {TEXT("nulll")},
        {TEXT("NaN")},      {TEXT("Infinity")},   {TEXT("-Infinity")}, {TEXT("undefined")},
        {TEXT("01")},       {TEXT("-01")},        {TEXT("00")},        {TEXT("+1")},
    };
    (void)state;
    refused(rows, COUNT(rows));
}

static void the_rest_of_what_it_forbids_is_refused(void **state)
{
    static const struct text rows[] = {
        {TEXT("-")},
        {TEXT(".5")},
        {TEXT("1.")},
        {TEXT("1.e5")},
        {TEXT("1e")},
        {TEXT("1e+")},
        {TEXT("0x10")},
        {TEXT("1_000")},
        {TEXT("--1")},
        {TEXT("\"")},
        {TEXT("\"a")},
        {TEXT("\"\\\"")},
        {TEXT("\"\\x41\"")},
        {TEXT("\"\\'\"")},
        {TEXT("\"\\\"a")},
        {TEXT("\"\\u12\"")},
        {TEXT("\"\\u12g4\"")},
        {TEXT("\"\\u\"")},
        {TEXT("\"\\U0041\"")},
        {TEXT("\"a\nb\"")},
        {TEXT("\"a\tb\"")},
        {TEXT("\"a\0b\"")},
        {TEXT("\"\\\0\"")},
        {TEXT("\"a\x1f\"")},
        {TEXT("{}\0")},
        {TEXT("\0{}")},
        {TEXT("[1\0]")},
        {TEXT("\v1")},
        {TEXT("\xef\xbb\xbf{}")},
        {TEXT("\xc2\xa0{}")},
        {TEXT("\"\xff\"")},
        {TEXT("\"\xc0\xaf\"")},
        {TEXT("\"\xed\xa0\x80\"")},
        {TEXT("\"\xe2\x82\"")},
        {TEXT("'a'")},
        {TEXT("\"\\")},
    };
    (void)state;
    refused(rows, COUNT(rows));
}

static void no_beginning_of_a_document_is_a_document(void **state)
{
    static const char text[] = " {\"a\":[1.5e3,\"x\\u00e9\xc3\xa9\",null,true],\"b\":{\"c\":-0}}";
    (void)state;
    for (size_t len = 0; len < sizeof(text) - 1; len++)
        expect(pm_json_scan(text, len, NULL, NULL) == PM_EINVAL, "the first %zu bytes pass\n", len);
    assert_int_equal(pm_json_scan(text, sizeof(text) - 1, NULL, NULL), PM_OK);
}

static void errors_name_the_byte(void **state)
{
    static const struct {
        const char *text, *word;
    } rows[] = {
        {"{\"a\":1,}", "byte 7"}, {"[1 2]", "byte 3"},   {"{} x", "byte 3"},
        {"\"ab\xff\"", "byte 3"}, {"{\"a\":", "byte 5"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_error err = {0};
        assert_int_equal(pm_json_scan(rows[i].text, strlen(rows[i].text), NULL, &err), PM_EINVAL);
        expect(strstr(err.msg, rows[i].word), "%s: %s\n", rows[i].text, err.msg);
    }
}

static void nest(char *text, size_t levels, const char *open, const char *close)
{
    *text = 0;
    for (size_t i = 0; i < levels; i++)
        strcat(text, open);
    strcat(text, "1");
    for (size_t i = 0; i < levels; i++)
        strcat(text, close);
}

static void nesting_is_bounded(void **state)
{
    static const char *const kinds[][2] = {{"[", "]"}, {"{\"a\":", "}"}, {"[{\"a\":", "}]"}};
    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        char text[8 * PM_JSON_DEPTH];
        size_t levels = i == 2 ? PM_JSON_DEPTH / 2 : PM_JSON_DEPTH;
        nest(text, levels, kinds[i][0], kinds[i][1]);
        assert_int_equal(pm_json_scan(text, strlen(text), NULL, NULL), PM_OK);
        nest(text, levels + 1, kinds[i][0], kinds[i][1]);
        assert_int_equal(pm_json_scan(text, strlen(text), NULL, NULL), PM_ETOOBIG);
    }
}

static void a_flood_of_brackets_ends_at_the_bound(void **state)
{
    size_t len = 4 << 20;
    char *text = malloc(len);
    (void)state;
    assert_non_null(text);
    memset(text, '[', len);
    assert_int_equal(pm_json_scan(text, len, NULL, NULL), PM_ETOOBIG);
    free(text);
}

static void depth_is_counted_down_again(void **state)
{
    char text[8 * PM_JSON_DEPTH] = "[";
    (void)state;
    for (int i = 0; i < 2 * PM_JSON_DEPTH; i++)
        strcat(text, i ? ",[]" : "[]");
    strcat(text, "]");
    assert_int_equal(pm_json_scan(text, strlen(text), NULL, NULL), PM_OK);
}

static void a_key_that_stands_twice_at_the_top_is_refused(void **state)
{
    static const char *const rows[] = {
        "{\"model\":\"a\",\"model\":\"b\"}",
        "{\"model\":\"a\",\"x\":{},\"model\":\"a\"}",
        /* The same key for every reader that decodes it. */
        "{\"model\":\"a\",\"\\u006dodel\":\"b\"}",
        "{\"\\u006dodel\":\"a\",\"model\":\"b\"}",
        "{\"\\u006Dodel\":\"a\",\"\\u006dodel\":\"b\"}",
        "{\"a\\/b\":1,\"a/b\":2}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_error err = {0};
        struct pm_json_spans spans;
        int rc = pm_json_scan(rows[i], strlen(rows[i]), &spans, &err);
        expect(rc == PM_EINVAL, "%s passes\n", rows[i]);
    }
}

static void spans_tell_where_the_top_members_stand(void **state)
{
    static const char text[] = " {\"model\" : \"a\" ,\"n\":[1, {\"model\":2}],\n\"\":null,\"o\":{\"p\":1} } ";
    static const struct {
        const char *key, *value;
    } rows[] = {{"model", "\"a\""}, {"n", "[1, {\"model\":2}]"}, {"", "null"}, {"o", "{\"p\":1}"}};
    struct pm_json_spans spans;
    (void)state;
    assert_int_equal(pm_json_scan(text, sizeof(text) - 1, &spans, NULL), PM_OK);
    assert_int_equal(spans.n, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct pm_json_member *m = pm_json_span(&spans, text, rows[i].key);
        assert_ptr_equal(m, &spans.members[i]);
        assert_int_equal(text[m->key - 1], '"');
        assert_int_equal(m->key_len, strlen(rows[i].key));
        assert_memory_equal(text + m->key, rows[i].key, m->key_len);
        assert_int_equal(m->value_len, strlen(rows[i].value));
        assert_memory_equal(text + m->value, rows[i].value, m->value_len);
    }
    assert_null(pm_json_span(&spans, text, "p"));
    assert_null(pm_json_span(&spans, text, "mode"));
}

static void only_an_object_at_the_top_has_members(void **state)
{
    static const char *const rows[] = {"[{\"a\":1,\"b\":2}]", "\"a\"", "1", "{}"};
    struct pm_json_spans spans;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        spans.n = 99;
        assert_int_equal(pm_json_scan(rows[i], strlen(rows[i]), &spans, NULL), PM_OK);
        assert_int_equal(spans.n, 0);
    }
}

static void the_number_of_top_members_is_bounded(void **state)
{
    (void)state;
    for (int n = PM_JSON_MEMBERS; n <= PM_JSON_MEMBERS + 1; n++) {
        struct pm_buf b;
        struct pm_json_spans spans;
        pm_buf_init(&b, PM_BUF_OWN_LIMIT);
        for (int i = 0; i < n; i++)
            pm_buf_addf(&b, "%s\"k%d\":%d", i ? "," : "{", i, i);
        pm_buf_add(&b, "}");
        int rc = pm_json_scan(b.data, b.len, &spans, NULL);
        if (n == PM_JSON_MEMBERS)
            assert_int_equal(rc, PM_OK);
        else
            assert_true(rc < 0);
        pm_buf_release(&b);
    }
}

static void quoting_makes_a_string_that_reads_back(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *quoted;
    } rows[] = {
        {TEXT(""), "\"\""},
        {TEXT("plain"), "\"plain\""},
        {TEXT("a\"b\\c"), "\"a\\\"b\\\\c\""},
        {TEXT("a\nb\x01"), "\"a\\nb\\u0001\""},
        {TEXT("a\0b"), "\"a\\u0000b\""},
        {TEXT("\xc3\xa9\xf0\x9f\x98\x80"), "\"\xc3\xa9\xf0\x9f\x98\x80\""},
        {TEXT("a\xff"
              "b\xc3"),
         "\"a\xef\xbf\xbd"
         "b\xef\xbf\xbd\""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_buf b;
        pm_buf_init(&b, PM_BUF_OWN_LIMIT);
        pm_json_quote(&b, rows[i].text, rows[i].len);
        assert_string_equal(b.data, rows[i].quoted);
        assert_int_equal(pm_json_scan(b.data, b.len, NULL, NULL), PM_OK);
        pm_buf_release(&b);
    }
}

static void every_byte_can_be_quoted(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        struct pm_buf b;
        pm_buf_init(&b, PM_BUF_OWN_LIMIT);
        pm_json_quote(&b, &byte, 1);
        expect(pm_json_scan(b.data, b.len, NULL, NULL) == PM_OK, "byte %d gives %s\n", c, b.data);
        pm_buf_release(&b);
    }
}

struct seen {
    int n;
    char text[200];
};

static void note(void *arg, char first, const struct pm_json_value *v)
{
    struct seen *s = arg;
    size_t at = strlen(s->text);
    s->n++;
    snprintf(s->text + at, sizeof(s->text) - at, "%c(%.*s)(%.*s) ", first, (int)v[0].len, v[0].text ? v[0].text : "",
             (int)v[1].len, v[1].text ? v[1].text : "");
}

static void elements_are_told_one_by_one_with_the_values_asked_for(void **state)
{
    static const char text[] = "[ {\"role\":\"user\",\"x\":{\"role\":1},\"content\":[ {\"content\":2} ]}, 7 ,"
                               "\"a]\",{ } ,{\"content\":null}]";
    static const char *const keys[] = {"role", "content"};
    struct seen seen = {0};
    (void)state;
    pm_json_each(text, sizeof(text) - 1, keys, 2, note, &seen);
    assert_int_equal(seen.n, 5);
    assert_string_equal(seen.text, "{(\"user\")([ {\"content\":2} ]) 7()() \"()() {()() {()(null) ");
}

static void what_is_no_array_has_no_elements(void **state)
{
    static const char *const rows[] = {"{}", "[]", "[ ]", "null", "\"[1]\"", ""};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct seen seen = {0};
        pm_json_each(rows[i], strlen(rows[i]), NULL, 0, note, &seen);
        assert_int_equal(seen.n, 0);
    }
}

static void elements_have_the_texts_that_they_stand_in(void **state)
{
    static const struct {
        const char *text, *elements;
        size_t max, n;
    } rows[] = {
        {"[]", "", 8, 0},
        {"[ \t\r\n]", "", 8, 0},
        {"[1]", "1|", 8, 1},
        {"[ 1 ,\"a\", null ]", "1|\"a\"|null|", 8, 3},
        {"[{\"a\":[1,2]},[3,{\"b\":4}] , true]", "{\"a\":[1,2]}|[3,{\"b\":4}]|true|", 8, 3},
        {"[\"],[\",\"}\",\"\\\"]\",\"\\\\\",5]", "\"],[\"|\"}\"|\"\\\"]\"|\"\\\\\"|5|", 8, 5},
        {"[1,2,3]", "1|2|", 2, 2},
        {"[1,2,3]", "", 0, 0},
        {"{\"a\":[1] , \"b\":{\"c\":2}}", "\"a\":[1]|\"b\":{\"c\":2}|", 8, 2},
        {"\"[1]\"", "", 8, 0},
        {"", "", 8, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_json_value values[8];
        struct pm_buf all;
        pm_buf_init(&all, PM_BUF_OWN_LIMIT);
        size_t n = pm_json_elements(rows[i].text, strlen(rows[i].text), values, rows[i].max);
        expect(n == rows[i].n, "%s: %zu elements\n", rows[i].text, n);
        for (size_t k = 0; k < n; k++)
            pm_buf_addf(&all, "%.*s|", (int)values[k].len, values[k].text);
        expect(strcmp(all.data, rows[i].elements) == 0, "%s: %s\n", rows[i].text, all.data);
        pm_buf_release(&all);
    }
}

/* What stands behind the array is not looked at. */
static void elements_end_with_their_array(void **state)
{
    static const char text[] = "[1,2],3]";
    struct pm_json_value values[4];
    (void)state;
    assert_int_equal(pm_json_elements(text, 5, values, 4), 2);
    assert_int_equal(pm_json_elements(text, sizeof(text) - 1, values, 4), 2);
    assert_int_equal(values[1].len, 1);
    assert_ptr_equal(values[1].text, text + 3);
}

static void numbers_keep_the_digits_that_they_need(void **state)
{
    static const struct {
        const char *text, *again;
    } rows[] = {
        {"[0,-1,1.5,0.1]", "[0,-1,1.5,0.1]"},
        {"12345678901234567", "12345678901234568"},
        {"9007199254740993", "9007199254740992"},
        {"9007199254740991", "9007199254740991"},
        {"-9007199254740991", "-9007199254740991"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"1000000000000000", "1000000000000000"},
        {"10000000000000000", "10000000000000000"},
        {"2147483648", "2147483648"},
        {"1e2", "100"},
        {"{\"a\":[{\"n\":1234567890123456}]}", "{\"a\":[{\"n\":1234567890123456}]}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        cJSON *root = pm_json_parse(rows[i].text, strlen(rows[i].text), NULL);
        char *before = cJSON_PrintUnformatted(root), *text = pm_json_text(root), *after = cJSON_PrintUnformatted(root);
        expect(strcmp(text, rows[i].again) == 0, "%s is printed as %s\n", rows[i].text, text);
        assert_string_equal(before, after); /* the document stays as it was */
        assert_int_equal(pm_json_scan(text, strlen(text), NULL, NULL), PM_OK);
        cJSON_free(before);
        cJSON_free(after);
        free(text);
        cJSON_Delete(root);
    }
}

/* Read again, they are the same numbers. */
static void numbers_are_the_same_when_read_again(void **state)
{
    static const double numbers[] = {1e21, 1e-7, 5e-324, 1.7976931348623157e308, 0.1, 1.0 / 3, -2.5e-9, 123456789.125};
    (void)state;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        cJSON *list = cJSON_CreateArray();
        cJSON_AddItemToArray(list, cJSON_CreateNumber(numbers[i]));
        char *text = pm_json_text(list);
        cJSON *again = pm_json_parse(text, strlen(text), NULL);
        double n = again ? again->child->valuedouble : 0;
        expect(memcmp(&n, &numbers[i], sizeof(n)) == 0, "%.17g is printed as %s\n", numbers[i], text);
        cJSON_Delete(again);
        cJSON_Delete(list);
        free(text);
    }
}

static void members_that_are_missing_or_of_another_kind_are_forgiven(void **state)
{
    static const char text[] = "{\"s\":\"x\",\"n\":2.5,\"t\":true,\"f\":false,\"z\":null}";
    cJSON *root = pm_json_parse(text, sizeof(text) - 1, NULL);
    (void)state;
    assert_non_null(root);
    assert_string_equal(pm_json_str(root, "s"), "x");
    assert_null(pm_json_str(root, "n"));
    assert_null(pm_json_str(root, "S"));
    assert_null(pm_json_str(NULL, "s"));
    assert_true(pm_json_num(root, "n", 7) == 2.5);
    assert_true(pm_json_num(root, "s", 7) == 7);
    assert_true(pm_json_true(root, "t"));
    assert_false(pm_json_true(root, "f"));
    assert_false(pm_json_true(root, "n"));
    assert_null(pm_json_get(pm_json_get(root, "s"), "deeper"));
    char *again = pm_json_text(root);
    assert_string_equal(again, text);
    free(again);
    cJSON_Delete(root);
}

static void parsing_is_as_strict_as_scanning(void **state)
{
    struct pm_error err = {0};
    (void)state;
    assert_null(pm_json_parse(TEXT("{} x"), &err));
    assert_non_null(strstr(err.msg, "byte 3"));
    assert_null(pm_json_parse(TEXT("\"\\ud800\""), &err));
    assert_non_null(strstr(err.msg, "surrogate"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_rfc_8259_allows_is_taken),
        cmocka_unit_test(what_rfc_8259_forbids_is_refused),
        cmocka_unit_test(the_rest_of_what_it_forbids_is_refused),
        cmocka_unit_test(no_beginning_of_a_document_is_a_document),
        cmocka_unit_test(errors_name_the_byte),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(a_flood_of_brackets_ends_at_the_bound),
        cmocka_unit_test(depth_is_counted_down_again),
        cmocka_unit_test(a_key_that_stands_twice_at_the_top_is_refused),
        cmocka_unit_test(spans_tell_where_the_top_members_stand),
        cmocka_unit_test(only_an_object_at_the_top_has_members),
        cmocka_unit_test(the_number_of_top_members_is_bounded),
        cmocka_unit_test(quoting_makes_a_string_that_reads_back),
        cmocka_unit_test(every_byte_can_be_quoted),
        cmocka_unit_test(elements_are_told_one_by_one_with_the_values_asked_for),
        cmocka_unit_test(what_is_no_array_has_no_elements),
        cmocka_unit_test(elements_have_the_texts_that_they_stand_in),
        cmocka_unit_test(elements_end_with_their_array),
        cmocka_unit_test(numbers_keep_the_digits_that_they_need),
        cmocka_unit_test(numbers_are_the_same_when_read_again),
        cmocka_unit_test(members_that_are_missing_or_of_another_kind_are_forgiven),
        cmocka_unit_test(parsing_is_as_strict_as_scanning),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
