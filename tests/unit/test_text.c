#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/text.h"

static void utf8_is_judged_as_rfc_3629_has_it(void **state)
{
    static const struct {
        const char *what, *text;
        size_t len;
        long bad;
    } rows[] = {
        {"nothing", "", 0, -1},
        {"ASCII", "plain", 5, -1},
        {"NUL is a character", "a\0b", 3, -1},
        {"least of two bytes", "\xc2\x80", 2, -1},
        {"most of two bytes", "\xdf\xbf", 2, -1},
        {"least of three bytes", "\xe0\xa0\x80", 3, -1},
        {"before the surrogates", "\xed\x9f\xbf", 3, -1},
        {"behind the surrogates", "\xee\x80\x80", 3, -1},
        {"most of three bytes", "\xef\xbf\xbf", 3, -1},
        {"least of four bytes", "\xf0\x90\x80\x80", 4, -1},
        {"last code point", "\xf4\x8f\xbf\xbf", 4, -1},
        {"a byte order mark", "\xef\xbb\xbf!", 4, -1},
        {"overlong slash in two", "a\xc0\xaf", 3, 1},
        {"overlong in two, last", "\xc1\xbf", 2, 0},
        {"overlong slash in three", "\xe0\x80\xaf", 3, 0},
        {"overlong in three, last", "\xe0\x9f\xbf", 3, 0},
        {"overlong slash in four", "\xf0\x80\x80\xaf", 4, 0},
        {"overlong in four, last", "\xf0\x8f\xbf\xbf", 4, 0},
        {"first high surrogate", "\xed\xa0\x80", 3, 0},
        {"last low surrogate", "\xed\xbf\xbf", 3, 0},
        {"behind the last code point", "\xf4\x90\x80\x80", 4, 0},
        {"five bytes", "\xf8\x88\x80\x80\x80", 5, 0},
        {"0xfe", "ab\xfe", 3, 2},
        {"0xff", "\xff", 1, 0},
        {"a lone continuation", "abc\x80", 4, 3},
        {"cut after one of two", "abcdefgh\xc3", 9, 8},
        {"cut after two of three", "\xe2\x82", 2, 0},
        {"cut after three of four", "x\xf0\x9f\x98", 4, 1},
        {"ASCII in a sequence", "\xe2\x28\xa1", 3, 0},
        {"lead byte in a sequence", "\xe2\x82\xc3\xa9", 4, 0},
        {"bad third byte of four", "\xf0\x9f\x28\x80", 4, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        long bad = pm_utf8_bad(rows[i].text, rows[i].len);
        expect(bad == rows[i].bad, "%s: %ld instead of %ld\n", rows[i].what, bad, rows[i].bad);
    }
}

static void a_bad_byte_is_found_at_every_place_of_a_long_text(void **state)
{
    char text[40];
    (void)state;
    for (size_t at = 0; at < sizeof(text); at++) {
        memset(text, 'a', sizeof(text));
        text[at] = (char)0x80;
        assert_int_equal(pm_utf8_bad(text, sizeof(text)), at);
        assert_int_equal(pm_utf8_bad(text, at), -1);
    }
}

static void durations_have_units_and_nothing_behind_them(void **state)
{
    static const struct {
        const char *text;
        long long ms; /* -1: refused */
    } rows[] = {
        {"0", 0},       {"2", 2000},   {"500ms", 500}, {"2s", 2000}, {"30m", 1800000}, {"1h", 3600000},
        {"1.5s", 1500}, {"0.5ms", 1},  {"", -1},       {"s", -1},    {"-1s", -1},      {"+1s", -1},
        {" 1s", -1},    {"1s ", -1},   {"1 s", -1},    {"1S", -1},   {"1min", -1},     {"1s2", -1},
        {"1e99h", -1},  {"0x10s", -1}, {"inf", -1},    {"nan", -1},  {"1,5s", -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t ms = 77;
        int rc = pm_duration_parse(rows[i].text, &ms);
        long long got = rc == PM_OK ? (long long)ms : -1;
        expect(got == rows[i].ms, "`%s`: %lld instead of %lld\n", rows[i].text, got, rows[i].ms);
        expect(rc == PM_OK || ms == 77, "`%s` was refused but written\n", rows[i].text);
    }
}

static void whole_numbers_are_digits_within_their_limits(void **state)
{
    static const struct {
        const char *text;
        long long least, most;
        int rc;
        long long value;
    } rows[] = {
        {"0", 0, 9, PM_OK, 0},
        {"9", 0, 9, PM_OK, 9},
        {"10", 0, 9, PM_EINVAL, 0},
        {"-3", -5, 5, PM_OK, -3},
        {"-6", -5, 5, PM_EINVAL, 0},
        {"", 0, 9, PM_EINVAL, 0},
        {"-", -5, 5, PM_EINVAL, 0},
        {"+1", 0, 9, PM_EINVAL, 0},
        {" 1", 0, 9, PM_EINVAL, 0},
        {"1 ", 0, 9, PM_EINVAL, 0},
        {"1.0", 0, 9, PM_EINVAL, 0},
        {"0x1", 0, 9, PM_EINVAL, 0},
        {"1k", 0, 9, PM_EINVAL, 0},
        {"9223372036854775807", 0, INT64_MAX, PM_OK, INT64_MAX},
        {"9223372036854775808", 0, INT64_MAX, PM_EINVAL, 0},
        {"99999999999999999999999", INT64_MIN, INT64_MAX, PM_EINVAL, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        long long value = 77;
        int rc = pm_int_parse(rows[i].text, rows[i].least, rows[i].most, &value);
        expect(rc == rows[i].rc, "`%s`: %d instead of %d\n", rows[i].text, rc, rows[i].rc);
        assert_int_equal(value, rc == PM_OK ? rows[i].value : 77);
    }
}

static void decimal_numbers_are_within_their_limits_and_finite(void **state)
{
    static const struct {
        const char *text;
        int rc;
        double value;
    } rows[] = {
        {"0", PM_OK, 0},        {"1", PM_OK, 1},         {"0.25", PM_OK, 0.25},  {".5", PM_OK, 0.5},
        {"-0.5", PM_OK, -0.5},  {"1.1", PM_EINVAL, 0},   {"-1.1", PM_EINVAL, 0}, {"", PM_EINVAL, 0},
        {"-", PM_EINVAL, 0},    {".", PM_EINVAL, 0},     {"nan", PM_EINVAL, 0},  {"-nan", PM_EINVAL, 0},
        {"-inf", PM_EINVAL, 0}, {"1e999", PM_EINVAL, 0}, {"0,5", PM_EINVAL, 0},  {"0.5x", PM_EINVAL, 0},
        {"0.5 ", PM_EINVAL, 0}, {" 0.5", PM_EINVAL, 0},  {"0x1", PM_EINVAL, 0},  {"0x.8p0", PM_EINVAL, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        double value = 77;
        int rc = pm_real_parse(rows[i].text, -1, 1, &value);
        expect(rc == rows[i].rc, "`%s`: %d instead of %d\n", rows[i].text, rc, rows[i].rc);
        assert_true(value == (rc == PM_OK ? rows[i].value : 77));
    }
}

static void a_star_stands_for_any_run_of_characters(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "anything", true},
        {"gpt-*", "gpt-4o", true},
        {"gpt-*", "gpt-", true},
        {"gpt-*", "gpt", false},
        {"*-mini", "o4-mini", true},
        {"*-mini", "o4-mini-x", false},
        {"a*b*c", "abc", true},
        {"a*b*c", "aXbYc", true},
        {"a*b*c", "acb", false},
        {"a*bc", "abbcbc", true},
        {"**", "x", true},
        {"a**b", "ab", true},
        {"auto", "auto", true},
        {"auto", "Auto", false},
        {"auto", "automatic", false},
        {"a?c", "abc", false},
        {"a[b]c", "abc", false},
        {"*aab", "aaaaaab", true},
        {"a\\*", "ab", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect(pm_wildcard(rows[i].pattern, rows[i].text) == rows[i].matches, "%s against %s\n", rows[i].pattern,
               rows[i].text);
}

static void the_nearest_word_is_what_was_meant_or_none(void **state)
{
    static const char *const words[] = {"MODEL", "CTX_SIZE", "FLASH_ATTN", "qwen-coder", "PIN"};
    static const struct {
        const char *word, *near;
    } rows[] = {
        {"MODLE", "MODEL"},     {"model", "MODEL"}, {"CTXSIZE", "CTX_SIZE"},   {"FLASH_ATTENTION", "FLASH_ATTN"},
        {"qwen", "qwen-coder"}, {"PINN", "PIN"},    {"COMPLETELY_ELSE", NULL}, {"xyzzyx", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *near = pm_nearest(rows[i].word, words, COUNT(words));
        expect(near == rows[i].near || (near && rows[i].near && strcmp(near, rows[i].near) == 0),
               "%s: %s instead of %s\n", rows[i].word, near ? near : "none", rows[i].near ? rows[i].near : "none");
    }
    assert_null(pm_nearest("MODEL", NULL, 0));
}

static void a_word_of_any_length_is_compared_without_harm(void **state)
{
    char word[5000];
    const char *const words[] = {word, "MODEL"};
    (void)state;
    memset(word, 'a', sizeof(word) - 1);
    word[sizeof(word) - 1] = 0;
    (void)pm_nearest(word, words, COUNT(words));
    assert_string_equal(pm_nearest("MODLE", words, COUNT(words)), "MODEL");
}

static void a_list_is_split_at_commas_without_blanks_and_gaps(void **state)
{
    static const struct {
        const char *list, *items[4];
        size_t n;
    } rows[] = {
        {"", {NULL}, 0},
        {" , ,", {NULL}, 0},
        {"a", {"a"}, 1},
        {" a , b ,, c d ", {"a", "b", "c d"}, 3},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_strv v = {0};
        pm_strv_split(&v, rows[i].list);
        assert_int_equal(v.n, rows[i].n);
        for (size_t k = 0; k < v.n; k++)
            assert_string_equal(v.items[k], rows[i].items[k]);
        pm_strv_release(&v);
        assert_int_equal(v.n, 0);
    }
}

static void a_list_owns_its_strings(void **state)
{
    struct pm_strv v = {0};
    char word[] = "abcdef";
    (void)state;
    assert_false(pm_strv_has(&v, ""));
    pm_strv_add(&v, word, 3);
    word[0] = 'x';
    assert_true(pm_strv_has(&v, "abc"));
    assert_false(pm_strv_has(&v, "ab"));
    assert_false(pm_strv_has(&v, "ABC"));
    pm_strv_release(&v);
}

static void the_hash_is_fnv_1a_and_can_be_continued(void **state)
{
    (void)state;
    assert_true(pm_hash("", 0, PM_HASH_SEED) == 0xcbf29ce484222325ULL);
    assert_true(pm_hash("a", 1, PM_HASH_SEED) == 0xaf63dc4c8601ec8cULL);
    assert_true(pm_hash("foobar", 6, PM_HASH_SEED) == 0x85944171f73967e8ULL);
    assert_true(pm_hash("bar", 3, pm_hash("foo", 3, PM_HASH_SEED)) == 0x85944171f73967e8ULL);
}

static void a_file_is_replaced_whole_private_and_read_back(void **state)
{
    char dir[] = "/tmp/pm-unit-XXXXXX", path[64], *data;
    struct pm_error err = {0};
    struct stat st;
    size_t len;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/file", dir);
    assert_int_equal(pm_file_read(path, 100, &data, &len, &err), PM_EIO);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(pm_file_write(path, "first", 5, &err), PM_OK);
    assert_int_equal(pm_file_write(path, "a\0b", 3, &err), PM_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(pm_file_read(path, 3, &data, &len, &err), PM_OK);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "a\0b", 4);
    free(data);
    assert_int_equal(pm_file_read(path, 2, &data, &len, &err), PM_ETOOBIG);
    unlink(path);
    assert_int_equal(rmdir(dir), 0); /* nothing was left beside it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_judged_as_rfc_3629_has_it),
        cmocka_unit_test(a_bad_byte_is_found_at_every_place_of_a_long_text),
        cmocka_unit_test(durations_have_units_and_nothing_behind_them),
        cmocka_unit_test(whole_numbers_are_digits_within_their_limits),
        cmocka_unit_test(decimal_numbers_are_within_their_limits_and_finite),
        cmocka_unit_test(a_star_stands_for_any_run_of_characters),
        cmocka_unit_test(the_nearest_word_is_what_was_meant_or_none),
        cmocka_unit_test(a_word_of_any_length_is_compared_without_harm),
        cmocka_unit_test(a_list_is_split_at_commas_without_blanks_and_gaps),
        cmocka_unit_test(a_list_owns_its_strings),
        cmocka_unit_test(the_hash_is_fnv_1a_and_can_be_continued),
        cmocka_unit_test(a_file_is_replaced_whole_private_and_read_back),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
