/* Where prompts part with what their server has read before. */
#include "core/api/prefix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/alloc.h"

/* A text of `n` bytes that begins with `start`. */
static char *filled(const char *start, size_t n)
{
    char *text = pm_calloc(n + 1, 1);
    memset(text, 'x', n);
    memcpy(text, start, strlen(start));
    return text;
}

static long long note(struct pm_prefix_memory *m, const char *system, const char *said, uint64_t conversation)
{
    char *body = pm_asprintf(
        "{\"model\":\"m\",\"system\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", system, said);
    long long offset = pm_prefix_note(m, body, strlen(body), conversation);
    free(body);
    return offset;
}

static void a_conversation_that_grows_has_no_break(void **state)
{
    struct pm_prefix_memory *m = pm_prefix_memory_new();
    char *system = filled("You are", 4000), *one = filled("Hello", 3000), *two = filled("Hello", 9000);
    (void)state;
    assert_int_equal(note(m, system, one, 1), -1);
    assert_int_equal(note(m, system, two, 1), -1);
    assert_int_equal(note(m, system, two, 1), -1);
    free(system);
    free(one);
    free(two);
    pm_prefix_memory_free(m);
}

static void a_turn_that_changes_what_was_said_breaks_there(void **state)
{
    struct pm_prefix_memory *m = pm_prefix_memory_new();
    char *system = filled("You are", 1000), *said = filled("Hello", 8000);
    (void)state;
    assert_int_equal(note(m, system, said, 1), -1);
    said[5000] = 'y';
    long long at = note(m, system, said, 1);
    /* The head of the body, the system text, the head of the message: 70 bytes or so before the text. */
    assert_in_range(at, 1000 + 5000 - PM_PREFIX_STEP - 70, 1000 + 5000 + 120);
    free(system);
    free(said);
    pm_prefix_memory_free(m);
}

static void a_system_text_that_differs_late_breaks_for_all(void **state)
{
    struct pm_prefix_memory *m = pm_prefix_memory_new();
    char *system = filled("You are", 4000);
    (void)state;
    assert_int_equal(note(m, system, "Hello", 1), -1);
    system[2000] = 'y';
    long long at = note(m, system, "Good day", 2);
    assert_in_range(at, 2000 - PM_PREFIX_STEP, 2000 + 40);
    free(system);
    pm_prefix_memory_free(m);
}

static void other_words_after_the_same_system_text_are_no_break(void **state)
{
    struct pm_prefix_memory *m = pm_prefix_memory_new();
    char *system = filled("You are", 4000), *one = filled("Hello", 2000), *two = filled("Other", 2000);
    (void)state;
    assert_int_equal(note(m, system, one, 1), -1);
    assert_int_equal(note(m, system, two, 2), -1);
    free(system);
    free(one);
    free(two);
    pm_prefix_memory_free(m);
}

static void another_agent_is_no_break(void **state)
{
    struct pm_prefix_memory *m = pm_prefix_memory_new();
    char *one = filled("You are one", 4000), *two = filled("I, another", 4000);
    (void)state;
    assert_int_equal(note(m, one, "Hello", 1), -1);
    assert_int_equal(note(m, two, "Hello", 2), -1);
    free(one);
    free(two);
    pm_prefix_memory_free(m);
}

static void many_conversations_are_bounded(void **state)
{
    struct pm_prefix_memory *m = pm_prefix_memory_new();
    char *system = filled("You are", 600), *said = filled("Hello", 2 << 20);
    (void)state;
    for (uint64_t i = 1; i < 100; i++)
        assert_int_equal(note(m, system, i % 10 ? "Hello" : said, i), -1);
    free(system);
    free(said);
    pm_prefix_memory_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conversation_that_grows_has_no_break),
        cmocka_unit_test(a_turn_that_changes_what_was_said_breaks_there),
        cmocka_unit_test(a_system_text_that_differs_late_breaks_for_all),
        cmocka_unit_test(other_words_after_the_same_system_text_are_no_break),
        cmocka_unit_test(another_agent_is_no_break),
        cmocka_unit_test(many_conversations_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
