#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"

static void an_unused_buffer_is_an_empty_c_string(void **state)
{
    struct pm_buf b;
    (void)state;
    pm_buf_init(&b, 10);
    assert_non_null(b.data);
    assert_string_equal(b.data, "");
    assert_int_equal(b.len, 0);
    pm_buf_clear(&b);
    pm_buf_consume(&b, 0);
    pm_buf_release(&b);
    assert_string_equal(b.data, "");
}

static void the_limit_is_reached_and_never_passed(void **state)
{
    struct pm_buf b;
    (void)state;
    pm_buf_init(&b, 4);
    assert_int_equal(pm_buf_append(&b, "abc", 3), PM_OK);
    assert_int_equal(pm_buf_append(&b, "de", 2), PM_ETOOBIG);
    assert_string_equal(b.data, "abc");
    assert_int_equal(pm_buf_append(&b, "d", 1), PM_OK);
    assert_string_equal(b.data, "abcd");
    assert_int_equal(pm_buf_append(&b, "", 0), PM_OK);
    assert_int_equal(pm_buf_append(&b, "e", 1), PM_ETOOBIG);
    assert_int_equal(pm_buf_append(&b, "e", SIZE_MAX), PM_ETOOBIG);
    pm_buf_consume(&b, 1);
    assert_int_equal(pm_buf_append(&b, "e", 1), PM_OK);
    assert_string_equal(b.data, "bcde");
    pm_buf_release(&b);
}

static void a_limit_of_zero_holds_nothing(void **state)
{
    struct pm_buf b;
    (void)state;
    pm_buf_init(&b, 0);
    assert_int_equal(pm_buf_append(&b, "", 0), PM_OK);
    assert_int_equal(pm_buf_append(&b, "a", 1), PM_ETOOBIG);
    pm_buf_add(&b, "a");
    assert_string_equal(b.data, "");
    pm_buf_release(&b);
}

static void own_texts_are_cut_short_at_the_limit(void **state)
{
    struct pm_buf b;
    (void)state;
    pm_buf_init(&b, 6);
    pm_buf_add(&b, "abcd");
    pm_buf_addf(&b, "%s-%d", "ef", 12345);
    assert_string_equal(b.data, "abcdef");
    pm_buf_addn(&b, "gh", 2);
    assert_string_equal(b.data, "abcdef");
    pm_buf_release(&b);
}

static void formatting_has_no_length_of_its_own(void **state)
{
    static const size_t widths[] = {0, 1, 254, 255, 256, 257, 5000};
    (void)state;
    for (size_t i = 0; i < COUNT(widths); i++) {
        struct pm_buf b;
        pm_buf_init(&b, PM_BUF_OWN_LIMIT);
        pm_buf_addf(&b, "%*s|", (int)widths[i], "");
        assert_int_equal(b.len, widths[i] + 1);
        assert_int_equal(strlen(b.data), b.len);
        assert_int_equal(b.data[b.len - 1], '|');
        pm_buf_release(&b);
    }
}

static void every_byte_is_kept_while_it_grows(void **state)
{
    struct pm_buf b;
    (void)state;
    pm_buf_init(&b, 100000);
    for (unsigned i = 0; i < 100000; i++) {
        char byte = (char)(i * 7);
        assert_int_equal(pm_buf_append(&b, &byte, 1), PM_OK);
    }
    assert_int_equal(b.len, 100000);
    assert_int_equal(b.data[b.len], 0);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal((unsigned char)b.data[i], (unsigned char)(i * 7));
    pm_buf_release(&b);
}

static void consuming_removes_from_the_front(void **state)
{
    struct pm_buf b;
    (void)state;
    pm_buf_init(&b, 100);
    pm_buf_add(&b, "hello world");
    pm_buf_consume(&b, 6);
    assert_string_equal(b.data, "world");
    pm_buf_consume(&b, 5);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    pm_buf_release(&b);
}

static void taking_hands_the_bytes_over_and_leaves_an_empty_buffer(void **state)
{
    struct pm_buf b;
    (void)state;
    pm_buf_init(&b, 5);
    pm_buf_add(&b, "abc");
    char *text = pm_buf_take(&b);
    assert_string_equal(text, "abc");
    assert_int_equal(b.len, 0);
    pm_buf_add(&b, "defghi");
    assert_string_equal(b.data, "defgh"); /* the limit of birth still holds */
    assert_string_equal(text, "abc");
    free(text);
    pm_buf_release(&b);
}

static void taking_from_an_unused_buffer_gives_an_owned_empty_string(void **state)
{
    struct pm_buf b;
    (void)state;
    pm_buf_init(&b, 5);
    char *text = pm_buf_take(&b);
    assert_string_equal(text, "");
    free(text);
    pm_buf_release(&b);
}

static void clearing_keeps_the_memory_and_reserving_keeps_the_place(void **state)
{
    struct pm_buf b;
    (void)state;
    pm_buf_init(&b, 1000);
    pm_buf_reserve(&b, 1000);
    const char *place = b.data;
    for (int i = 0; i < 1000; i++)
        pm_buf_addn(&b, "x", 1);
    assert_ptr_equal(b.data, place);
    pm_buf_clear(&b);
    assert_string_equal(b.data, "");
    assert_ptr_equal(b.data, place);
    pm_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unused_buffer_is_an_empty_c_string),
        cmocka_unit_test(the_limit_is_reached_and_never_passed),
        cmocka_unit_test(a_limit_of_zero_holds_nothing),
        cmocka_unit_test(own_texts_are_cut_short_at_the_limit),
        cmocka_unit_test(formatting_has_no_length_of_its_own),
        cmocka_unit_test(every_byte_is_kept_while_it_grows),
        cmocka_unit_test(consuming_removes_from_the_front),
        cmocka_unit_test(taking_hands_the_bytes_over_and_leaves_an_empty_buffer),
        cmocka_unit_test(taking_from_an_unused_buffer_gives_an_owned_empty_string),
        cmocka_unit_test(clearing_keeps_the_memory_and_reserving_keeps_the_place),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
