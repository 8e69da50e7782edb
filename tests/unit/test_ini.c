#include "tests/unit/unit.h"

#include <string.h>

#include "core/conf/ini.h"

static void sections_and_entries_keep_their_order_and_lines(void **state)
{
    static const char text[] = "# a comment\n"
                               "\n"
                               "[one]\n"
                               "A=1\n"
                               "  B = two words  \n"
                               "[ two ]\r\n"
                               "A=3\r\n"
                               "[empty]";
    struct pm_ini ini = {0};
    struct pm_diags diags = {0};
    (void)state;
    pm_ini_parse(&ini, "f.conf", text, &diags);
    assert_int_equal(diags.errors.n, 0);
    assert_int_equal(ini.n, 3);
    assert_string_equal(ini.sections[0].name, "one");
    assert_int_equal(ini.sections[0].line, 3);
    assert_string_equal(ini.sections[0].file, "f.conf");
    assert_int_equal(ini.sections[0].n, 2);
    assert_string_equal(ini.sections[0].entries[1].key, "B");
    assert_string_equal(ini.sections[0].entries[1].value, "two words");
    assert_int_equal(ini.sections[0].entries[1].line, 5);
    assert_string_equal(ini.sections[1].name, "two");
    assert_string_equal(pm_ini_get(&ini.sections[1], "A"), "3");
    assert_null(pm_ini_get(&ini.sections[1], "B"));
    assert_null(pm_ini_get(&ini.sections[1], "a"));
    assert_int_equal(ini.sections[2].n, 0);
    pm_ini_release(&ini);
    pm_diags_release(&diags);
}

static void a_value_is_taken_literally_to_the_end_of_its_line(void **state)
{
    static const struct {
        const char *line, *value;
    } rows[] = {
        {"K=a#b # c", "a#b # c"},
        {"K=a ; b", "a ; b"},
        {"K=a=b==", "a=b=="},
        {"K=\"quoted\"", "\"quoted\""},
        {"K='", "'"},
        {"K=back\\slash\\", "back\\slash\\"},
        {"K=\\bcode\\b|[fx]+(?:a|b)$", "\\bcode\\b|[fx]+(?:a|b)$"},
        {"K=[not a section]", "[not a section]"},
        {"K=%s%n$HOME${X}", "%s%n$HOME${X}"},
        {"K=\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9"},
        {"K=", ""},
        {"K=   ", ""},
        {"K=\ta\tb\t", "a\tb"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_ini ini = {0};
        struct pm_diags diags = {0};
        char text[200] = "[s]\n";
        strcat(text, rows[i].line);
        strcat(text, "\nNEXT=1\n");
        pm_ini_parse(&ini, "f", text, &diags);
        assert_int_equal(diags.errors.n, 0);
        assert_string_equal(pm_ini_get(&ini.sections[0], "K"), rows[i].value);
        assert_string_equal(pm_ini_get(&ini.sections[0], "NEXT"), "1");
        pm_ini_release(&ini);
        pm_diags_release(&diags);
    }
}

static void a_value_has_no_length_limit_of_its_own(void **state)
{
    static char text[200000] = "[s]\nK=";
    struct pm_ini ini = {0};
    struct pm_diags diags = {0};
    (void)state;
    memset(text + 6, 'x', sizeof(text) - 7);
    pm_ini_parse(&ini, "f", text, &diags);
    assert_int_equal(strlen(pm_ini_get(&ini.sections[0], "K")), sizeof(text) - 7);
    pm_ini_release(&ini);
    pm_diags_release(&diags);
}

static void faults_are_told_with_their_line_and_the_rest_is_still_read(void **state)
{
    static const struct {
        const char *text, *start, *word;
    } rows[] = {
        {"K=1\n[s]\nLAST=1", "f.conf:1: ", "[section] header must come before"},
        {"[s]\nrubbish\nLAST=1", "f.conf:2: ", "`rubbish` is neither"},
        {"[s]\n\n[open\nLAST=1", "f.conf:3: ", "[name] on a line of its own"},
        {"[s]\n[\nLAST=1", "f.conf:2: ", "[name] on a line of its own"},
        {"[s]\n[]\nLAST=1", "f.conf:2: ", "[name] on a line of its own"},
        {"[s]\n[x] y\nLAST=1", "f.conf:2: ", "[name] on a line of its own"},
        {"[s]\nA=1\n\nA=2\nLAST=1", "f.conf:4: ", "A stands twice in [s], first in line 2"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_ini ini = {0};
        struct pm_diags diags = {0};
        pm_ini_parse(&ini, "f.conf", rows[i].text, &diags);
        assert_int_equal(diags.errors.n, 1);
        expect(strncmp(diags.errors.items[0], rows[i].start, strlen(rows[i].start)) == 0 &&
                   strstr(diags.errors.items[0], rows[i].word),
               "row %zu: %s\n", i, diags.errors.items[0]);
        assert_string_equal(pm_ini_get(&ini.sections[ini.n - 1], "LAST"), "1");
        pm_ini_release(&ini);
        pm_diags_release(&diags);
    }
}

static void the_first_of_two_equal_keys_stays(void **state)
{
    struct pm_ini ini = {0};
    struct pm_diags diags = {0};
    (void)state;
    pm_ini_parse(&ini, "f", "[s]\nA=1\nA=2\n[t]\nA=3\n", &diags);
    assert_int_equal(diags.errors.n, 1);
    assert_string_equal(pm_ini_get(&ini.sections[0], "A"), "1");
    assert_string_equal(pm_ini_get(&ini.sections[1], "A"), "3");
    pm_ini_release(&ini);
    pm_diags_release(&diags);
}

static void files_are_added_one_after_the_other(void **state)
{
    struct pm_ini ini = {0};
    struct pm_diags diags = {0};
    (void)state;
    pm_ini_parse(&ini, "a", "[s]\nA=1\n", &diags);
    pm_ini_parse(&ini, "b", "B=2\n[s]\nA=3\n", &diags); /* no section of `a` is continued */
    assert_int_equal(ini.n, 2);
    assert_int_equal(diags.errors.n, 1);
    assert_non_null(strstr(diags.errors.items[0], "b:1: "));
    assert_null(pm_ini_get(&ini.sections[0], "B"));
    assert_string_equal(ini.sections[1].file, "b");
    assert_int_equal(ini.sections[1].line, 2);
    pm_ini_release(&ini);
    pm_diags_release(&diags);
}

static void an_empty_file_and_a_byte_order_mark_are_fine(void **state)
{
    static const char *const rows[] = {"", "\n\n", "# only\n  # comments", "\xef\xbb\xbf", "\xef\xbb\xbf[s]\nA=1"};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_ini ini = {0};
        struct pm_diags diags = {0};
        pm_ini_parse(&ini, "f", rows[i], &diags);
        assert_int_equal(diags.errors.n, 0);
        assert_int_equal(ini.n, i == 4);
        pm_ini_release(&ini);
        pm_diags_release(&diags);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_and_entries_keep_their_order_and_lines),
        cmocka_unit_test(a_value_is_taken_literally_to_the_end_of_its_line),
        cmocka_unit_test(a_value_has_no_length_limit_of_its_own),
        cmocka_unit_test(faults_are_told_with_their_line_and_the_rest_is_still_read),
        cmocka_unit_test(the_first_of_two_equal_keys_stays),
        cmocka_unit_test(files_are_added_one_after_the_other),
        cmocka_unit_test(an_empty_file_and_a_byte_order_mark_are_fine),
    };
    return cmocka_run_group_tests_name("ini", tests, NULL, NULL);
}
