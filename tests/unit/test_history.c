#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/history.h"
#include "core/base/buf.h"

static struct pm_json_value value(const char *text)
{
    return (struct pm_json_value){text, text ? strlen(text) : 0};
}

static void call(struct pm_history *h, const char *id, const char *name, const char *args)
{
    struct pm_json_value v[] = {value(id), value(name), value(args)};
    pm_history_call(h, &v[0], &v[1], &v[2]);
}

static void result(struct pm_history *h, const char *id, const char *text, bool flagged)
{
    struct pm_json_value v[] = {value(id), value(text)};
    pm_history_result(h, &v[0], &v[1], flagged);
}

static struct pm_progress progress(const struct pm_history *h)
{
    struct pm_progress p;
    pm_history_progress(h, &p);
    return p;
}

/* A whole step, paired by order. */
static void step(struct pm_history *h, const char *name, const char *args, const char *text)
{
    call(h, NULL, name, args);
    result(h, NULL, text, false);
}

static struct pm_progress one_step(const char *name, const char *args, const char *text, bool flagged)
{
    struct pm_history h = {0};
    call(&h, "\"1\"", name, args);
    result(&h, "\"1\"", text, flagged);
    return progress(&h);
}

static unsigned which(const unsigned *counts, unsigned n)
{
    unsigned at = n;
    for (unsigned i = 0; i < n; i++)
        if (counts[i])
            at = i;
    return at;
}

/* --- pairing --- */

static void nothing_has_been_done_at_first(void **state)
{
    struct pm_history h = {0};
    struct pm_progress p = progress(&h), none = {0};
    (void)state;
    assert_memory_equal(&p, &none, sizeof(p));
}

static void a_call_without_a_result_is_no_step_yet(void **state)
{
    struct pm_history h = {0};
    (void)state;
    call(&h, "\"1\"", "\"Edit\"", "{}");
    assert_int_equal(progress(&h).steps, 0);
    result(&h, "\"1\"", "\"ok\"", false);
    assert_int_equal(progress(&h).steps, 1);
}

static void results_find_their_calls_by_id_in_any_order(void **state)
{
    struct pm_history h = {0};
    (void)state;
    call(&h, "\"1\"", "\"Read\"", "{}");
    call(&h, "\"2\"", "\"Edit\"", "{}");
    call(&h, "\"3\"", "\"Bash\"", "{\"command\":\"make\"}");
    result(&h, "\"3\"", "\"2 failed\"", false);
    result(&h, "\"1\"", "\"text\"", false);
    result(&h, "\"2\"", "\"error: no\"", false);
    assert_string_equal(h.steps[0].result.text, "\"text\"");
    assert_string_equal(h.steps[1].result.text, "\"error: no\"");
    assert_string_equal(h.steps[2].result.text, "\"2 failed\"");
    struct pm_progress p = progress(&h);
    assert_int_equal(p.steps, 3);
    assert_int_equal(p.streak, 2);
    assert_int_equal(p.last_edits, 0);
}

static void without_ids_the_first_open_call_gets_the_result(void **state)
{
    struct pm_history h = {0};
    (void)state;
    call(&h, NULL, "\"a\"", "1");
    call(&h, NULL, "\"b\"", "2");
    result(&h, NULL, "\"one\"", false);
    result(&h, NULL, "\"two\"", false);
    assert_string_equal(h.steps[0].result.text, "\"one\"");
    assert_string_equal(h.steps[1].result.text, "\"two\"");
    assert_int_equal(h.calls, 2);
}

static void one_side_without_an_id_goes_by_order_too(void **state)
{
    struct pm_history h = {0};
    (void)state;
    call(&h, "\"1\"", "\"a\"", "1");
    result(&h, NULL, "\"one\"", false);
    call(&h, NULL, "\"b\"", "2");
    result(&h, "\"9\"", "\"two\"", false);
    assert_string_equal(h.steps[0].result.text, "\"one\"");
    assert_string_equal(h.steps[1].result.text, "\"two\"");
    assert_int_equal(h.calls, 2);
}

static void an_id_that_no_call_had_is_a_step_of_its_own(void **state)
{
    struct pm_history h = {0};
    (void)state;
    call(&h, "\"1\"", "\"Edit\"", "{}");
    result(&h, "\"2\"", "\"Segmentation fault\"", false);
    result(&h, "\"1\"", "\"ok\"", false);
    struct pm_progress p = progress(&h);
    assert_int_equal(p.steps, 2);
    assert_int_equal(p.errors[PM_STEP_CRITICAL], 1);
    assert_int_equal(p.kinds[PM_STEP_OTHER], 1);
    assert_int_equal(p.kinds[PM_STEP_EDIT], 1);
    assert_string_equal(h.steps[0].result.text, "\"ok\"");
}

static void an_id_used_again_pairs_with_the_call_that_is_open(void **state)
{
    struct pm_history h = {0};
    (void)state;
    call(&h, "\"1\"", "\"a\"", "1");
    result(&h, "\"1\"", "\"one\"", false);
    call(&h, "\"1\"", "\"a\"", "2");
    result(&h, "\"1\"", "\"two\"", false);
    assert_string_equal(h.steps[0].result.text, "\"one\"");
    assert_string_equal(h.steps[1].result.text, "\"two\"");
}

static void only_the_last_steps_count(void **state)
{
    struct pm_history h = {0};
    (void)state;
    for (int i = 0; i < 5; i++)
        step(&h, "\"Bash\"", "{\"command\":\"make\"}", "\"3 failed\"");
    for (int i = 0; i < PM_STEPS_MAX; i++)
        step(&h, "\"Edit\"", "{}", "\"ok\"");
    struct pm_progress p = progress(&h);
    assert_int_equal(p.steps, PM_STEPS_MAX);
    assert_int_equal(p.kinds[PM_STEP_EDIT], PM_STEPS_MAX);
    assert_int_equal(p.errors[PM_STEP_FAILED], 0);
    assert_int_equal(p.repeats, PM_STEPS_MAX - 1);
    assert_int_equal(p.last_edits, 6);
}

static void more_open_calls_than_there_is_room_for_do_no_harm(void **state)
{
    enum { MANY = PM_STEPS_MAX * 3 };
    struct pm_history h = {0};
    char ids[MANY][16];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(ids[i], sizeof(ids[i]), "\"%d\"", i);
        call(&h, ids[i], "\"Edit\"", ids[i]);
    }
    for (int i = 0; i < MANY; i++)
        result(&h, ids[i], "\"ok\"", false);
    assert_true(progress(&h).steps <= PM_STEPS_MAX);
}

/* --- kinds --- */

static const struct {
    const char *name, *args;
    enum pm_step_kind kind;
} kinds[] = {
    /* by the tool's name, as agents call them */
    {"\"Read\"", "{}", PM_STEP_READ},
    {"\"read_file\"", "{}", PM_STEP_READ},
    {"\"Grep\"", "{}", PM_STEP_READ},
    {"\"Glob\"", "{}", PM_STEP_READ},
    {"\"list_directory\"", "{}", PM_STEP_READ},
    {"\"WebFetch\"", "{}", PM_STEP_READ},
    {"\"web_search\"", "{}", PM_STEP_READ},
    {"\"Edit\"", "{}", PM_STEP_EDIT},
    {"\"MultiEdit\"", "{}", PM_STEP_EDIT},
    {"\"NotebookEdit\"", "{}", PM_STEP_EDIT},
    {"\"Write\"", "{}", PM_STEP_EDIT},
    {"\"write_file\"", "{}", PM_STEP_EDIT},
    {"\"apply_patch\"", "{}", PM_STEP_EDIT},
    {"\"str_replace_editor\"", "{}", PM_STEP_EDIT},
    {"\"replace\"", "{}", PM_STEP_EDIT},
    {"\"Bash\"", "{}", PM_STEP_RUN},
    {"\"exec_command\"", NULL, PM_STEP_RUN},
    {"\"run_shell_command\"", NULL, PM_STEP_RUN},
    {"\"ask_user\"", "{}", PM_STEP_OTHER},
    {"\"ls\"", "{}", PM_STEP_READ},
    /* its name says `write`, what it writes to is no file */
    {"\"TodoWrite\"", "{}", PM_STEP_OTHER},
    {"\"CronCreate\"", "{}", PM_STEP_OTHER},
    {"\"create_goal\"", "{}", PM_STEP_OTHER},
    {"\"write_stdin\"", "{}", PM_STEP_RUN},
    {"\"Task\"", "{}", PM_STEP_OTHER},
    {"\"update_plan\"", "{}", PM_STEP_OTHER},
    {NULL, "{}", PM_STEP_OTHER},
    /* a shell tells by its command */
    {"\"Bash\"", "{\"command\":\"cat core/main.c\"}", PM_STEP_READ},
    {"\"Bash\"", "{\"command\":\"ls -l\"}", PM_STEP_READ},
    {"\"shell\"", "{\"command\":[\"bash\",\"-lc\",\"rg -n foo src\"]}", PM_STEP_READ},
    {"\"exec_command\"", "\"{\\\"cmd\\\":\\\"sed -n 1,40p a.c\\\"}\"", PM_STEP_READ},
    {"\"exec_command\"", "\"{\\\"cmd\\\":\\\"cat a.c\\\"}\"", PM_STEP_READ},
    {"\"Bash\"", "{\"command\":\"git diff HEAD~1\"}", PM_STEP_READ},
    {"\"Bash\"", "{\"command\":\"git log --oneline\"}", PM_STEP_READ},
    {"\"Bash\"", "{\"command\":\"git status\"}", PM_STEP_READ},
    {"\"Bash\"", "{\"command\":\"find . -name '*.c'\"}", PM_STEP_READ},
    {"\"Bash\"", "{\"command\":\"sed -i s/a/b/ a.c\"}", PM_STEP_EDIT},
    {"\"Bash\"", "{\"command\":\"cat > a.c <<'EOF'\\nint main;\\nEOF\"}", PM_STEP_EDIT},
    {"\"shell\"", "\"{\\\"command\\\":[\\\"apply_patch\\\",\\\"*** Begin Patch\\\"]}\"", PM_STEP_EDIT},
    {"\"Bash\"", "{\"command\":\"git apply fix.patch\"}", PM_STEP_EDIT},
    {"\"Bash\"", "{\"command\":\"make -j2\"}", PM_STEP_RUN},
    {"\"Bash\"", "{\"command\":\"npm run build\"}", PM_STEP_RUN},
    {"\"Bash\"", "{\"command\":\"python3 -m pytest -q\"}", PM_STEP_RUN},
    {"\"Bash\"", "{\"command\":\"cargo check\"}", PM_STEP_RUN},
    {"\"Bash\"", "{\"command\":\"./pointsman serve\"}", PM_STEP_RUN},
    {"\"Bash\"", "{\"command\":\"make 2>&1 | tail -5\"}", PM_STEP_RUN},
    {"\"Bash\"", "{\"command\":\"make 2>&1 | tee build.log\"}", PM_STEP_RUN},
    /* what is read may be called as what is run */
    {"\"Bash\"", "{\"command\":\"cat Makefile\"}", PM_STEP_READ},
    {"\"Bash\"", "{\"command\":\"cat tests/test_a.py\"}", PM_STEP_READ},
    {"\"Bash\"", "{\"command\":\"ls build\"}", PM_STEP_READ},
    {"\"Bash\"", "{\"command\":\"grep -rn python src\"}", PM_STEP_READ},
    {"\"shell\"", "{\"command\":[\"cat\",\"a.c\"]}", PM_STEP_READ},
    {"\"shell\"", "{\"command\":[\"ls\",\"-la\"]}", PM_STEP_READ},
};

static void a_step_is_of_the_kind_that_its_tool_and_command_say(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct pm_progress p = one_step(kinds[i].name, kinds[i].args, "\"ok\"", false);
        unsigned got = which(p.kinds, PM_STEP_KINDS);
        if (got == kinds[i].kind)
            continue;
        print_error("%s %s is of kind %u, not %u\n", kinds[i].name ? kinds[i].name : "(none)",
                    kinds[i].args ? kinds[i].args : "", got, kinds[i].kind);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

/* --- errors --- */

static const struct {
    const char *text;
    bool flagged;
    enum pm_step_error error;
} errors[] = {
    {"\"ok\"", false, PM_STEP_FINE},
    {"\"\"", false, PM_STEP_FINE},
    {NULL, false, PM_STEP_FINE},
    {NULL, true, PM_STEP_REFUSED},
    {"\"The user does not want this\"", true, PM_STEP_REFUSED},
    {"\"<tool_use_error>String to replace not found</tool_use_error>\"", true, PM_STEP_REFUSED},
    {"\"cat: a.c: No such file or directory\"", false, PM_STEP_REFUSED},
    {"\"bash: foo: command not found\"", false, PM_STEP_REFUSED},
    {"\"mkdir: Permission denied\"", false, PM_STEP_REFUSED},
    {"\"File has not been read yet\"", true, PM_STEP_REFUSED},
    {"\"Command timed out after 120 s\"", false, PM_STEP_PASSING},
    {"\"429: rate limit reached\"", false, PM_STEP_PASSING},
    {"\"connect: Connection refused\"", false, PM_STEP_PASSING},
    {"\"a.c:3:5: error: expected ';'\"", false, PM_STEP_FAILED},
    {"\"3 failed, 12 passed in 0.5s\"", false, PM_STEP_FAILED},
    {"\"10 failed, 2 passed\"", false, PM_STEP_FAILED},
    {"\"Traceback (most recent call last):\\n  File\"", false, PM_STEP_FAILED},
    {"\"thread 'main' panicked at src/main.rs:2\"", false, PM_STEP_FAILED},
    {"\"src/a.ts(1,2): error TS2304: Cannot find name\"", false, PM_STEP_FAILED},
    {"\"error[E0382]: borrow of moved value\"", false, PM_STEP_FAILED},
    {"\"undefined reference to `f'\"", false, PM_STEP_FAILED},
    {"\"npm ERR! code ELIFECYCLE\"", false, PM_STEP_FAILED},
    {"\"Segmentation fault (core dumped)\"", false, PM_STEP_CRITICAL},
    {"\"write: No space left on device\"", false, PM_STEP_CRITICAL},
    {"\"Out of memory: killed\"", false, PM_STEP_CRITICAL},
    {"\"free(): double free detected\"", false, PM_STEP_CRITICAL},
    {"\"a.c:1: error: x\\nSegmentation fault\"", false, PM_STEP_CRITICAL},
    {"\"error: x\\nno such file\"", false, PM_STEP_FAILED},
    /* what is said not to be there */
    {"\"0 failed, 12 passed\"", false, PM_STEP_FINE},
    {"\"12 passed, 0 failed\"", false, PM_STEP_FINE},
    {"\"test result: ok. 4 passed; 0 failed; 0 ignored\"", false, PM_STEP_FINE},
    {"\"Tests run: 4, Failures: 0\"", false, PM_STEP_FINE},
    {"\"no failures\"", false, PM_STEP_FINE},
    {"\"no error: all is well\"", false, PM_STEP_FINE},
    {"\"no errors, 0 failures\"", false, PM_STEP_FINE},
    {"\"0 failed, but 2 failed later\"", false, PM_STEP_FAILED},
    {"\"done\\nno failures\"", false, PM_STEP_FINE},
    {"\"failures=0\"", false, PM_STEP_FINE},
    /* as other runners tell it */
    {"\"--- FAIL: TestA (0.00s)\\nFAIL\\tpkg 0.01s\"", false, PM_STEP_FAILED},
    {"\"  3 passing\\n  1 failing\"", false, PM_STEP_FAILED},
    {"\"FAILED tests/test_a.py::test_x\"", false, PM_STEP_FAILED},
    {"\"make: *** [Makefile:3: all] Error 1\"", false, PM_STEP_FAILED},
    /* exit codes */
    {"\"Exit code 1\"", false, PM_STEP_FAILED},
    {"\"Exit code: 0\"", false, PM_STEP_FINE},
    {"\"Process exited with code 0\\nOutput:\\n3 failed before, now none\"", false, PM_STEP_FINE},
    {"\"Process exited with code 2\\nOutput:\\n\"", false, PM_STEP_FAILED},
    {"\"Exit Code: 127\\nOutput: foo: command not found\"", false, PM_STEP_REFUSED},
    {"\"exit status 1\"", false, PM_STEP_FAILED},
    {"\"{\\\"output\\\":\\\"fine\\\",\\\"metadata\\\":{\\\"exit_code\\\":0}}\"", false, PM_STEP_FINE},
    {"\"{\\\"output\\\":\\\"\\\",\\\"metadata\\\":{\\\"exit_code\\\":1}}\"", false, PM_STEP_FAILED},
    {"\"Exit code 10\"", false, PM_STEP_FAILED},
    {"\"Exit code 0\\nSegmentation fault\"", false, PM_STEP_CRITICAL},
    {"\"Exit code 1\"", true, PM_STEP_FAILED},
    {"\"Output: (empty)\\nError: (none)\\nExit Code: 0\\nSignal: (none)\"", false, PM_STEP_FINE},
};

static void a_step_ended_as_its_result_says(void **state)
{
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(errors); i++) {
        const char *text = errors[i].text ? errors[i].text : "(none)";
        struct pm_progress p = one_step("\"Bash\"", "{\"command\":\"make\"}", errors[i].text, errors[i].flagged);
        unsigned got = which(p.errors, PM_STEP_ERRORS);
        if (got == errors[i].error) {
            expect(p.worst == errors[i].error, "%s: the worst is %d\n", text, p.worst);
            expect(p.streak == (errors[i].error != PM_STEP_FINE), "%s: streak %u\n", text, p.streak);
            continue;
        }
        print_error("%s ended as %u, not %u\n", text, got, errors[i].error);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

/* A text with words in the middle of so many bytes on either side. */
static char *surrounded(size_t before, const char *words, size_t after)
{
    struct pm_buf b;
    pm_buf_init(&b, PM_BUF_OWN_LIMIT);
    pm_buf_add(&b, "\"");
    for (size_t i = 0; i < before; i++)
        pm_buf_add(&b, i % 60 == 59 ? " " : "x");
    pm_buf_add(&b, words);
    for (size_t i = 0; i < after; i++)
        pm_buf_add(&b, i % 60 == 59 ? " " : "x");
    pm_buf_add(&b, "\"");
    return pm_buf_take(&b);
}

static void of_a_long_result_both_ends_are_read(void **state)
{
    static const struct {
        size_t before, after;
        enum pm_step_error error;
    } rows[] = {{0, 100000, PM_STEP_FAILED}, {100000, 0, PM_STEP_FAILED}, {100000, 100000, PM_STEP_FINE}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = surrounded(rows[i].before, " 3 failed ", rows[i].after);
        struct pm_progress p = one_step("\"Bash\"", "{\"command\":\"make\"}", text, false);
        expect(p.errors[rows[i].error] == 1, "row %zu\n", i);
        free(text);
    }
}

static void a_file_that_talks_about_errors_is_no_error(void **state)
{
    static const char *const about[] = {"error: the caller is told, Traceback (most recent call last)",
                                        "Segmentation fault, core dumped, out of memory", "exit code 1", "3 failed"};
    static const char *const readers[][2] = {{"\"Read\"", "{\"file_path\":\"a\"}"},
                                             {"\"Bash\"", "{\"command\":\"cat docs/errors.md\"}"},
                                             {"\"grep\"", "{\"pattern\":\"error\"}"}};
    (void)state;
    for (size_t i = 0; i < COUNT(about); i++) {
        for (size_t k = 0; k < COUNT(readers); k++) {
            char *text = surrounded(0, about[i], 2000);
            struct pm_progress p = one_step(readers[k][0], readers[k][1], text, false);
            expect(p.errors[PM_STEP_FINE] == 1, "%s read with %s %s\n", about[i], readers[k][0], readers[k][1]);
            free(text);
        }
    }
}

/* Some tools show the lines that they have changed, or the names that they have found. */
static void what_an_edit_or_a_search_shows_is_no_error(void **state)
{
    static const char *const rows[][2] = {
        {"\"Edit\"", "\"The file a.js has been updated:\\n 12 throw new TypeError('x')\""},
        {"\"Edit\"", "\"The file a.c has been updated:\\n 3 log(\\\"error: %s\\\", e);\""},
        {"\"Write\"", "\"File created: timeout.c\""},
        {"\"Read\"", "\"1\\tset(timeout, 30)\""},
        {"\"Read\"", "\"1\\tdie(\\\"error: too long\\\");\""},
        {"\"Grep\"", "\"a.c:12: abort(); // Segmentation fault\""},
        {"\"Glob\"", "\"tests/timeout.c\""},
    };
    unsigned wrong = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_progress p = one_step(rows[i][0], "{}", rows[i][1], false);
        if (p.errors[PM_STEP_FINE])
            continue;
        print_error("%s %s ended as %d\n", rows[i][0], rows[i][1], p.worst);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void a_file_that_is_not_there_is_one(void **state)
{
    (void)state;
    struct pm_progress p = one_step("\"Read\"", "{}", "\"File does not exist.\"", false);
    assert_int_equal(p.errors[PM_STEP_REFUSED], 1);
    char *text = surrounded(0, "No such file or directory. There are: ", 2000);
    p = one_step("\"Read\"", "{}", text, false);
    assert_int_equal(p.errors[PM_STEP_REFUSED], 1);
    p = one_step("\"Read\"", "{}", text, true);
    assert_int_equal(p.errors[PM_STEP_REFUSED], 1);
    free(text);
}

/* --- tendencies --- */

static void the_same_call_again_is_a_repeat(void **state)
{
    struct pm_history h = {0};
    (void)state;
    step(&h, "\"Read\"", "{\"p\":\"a\"}", "\"x\"");
    step(&h, "\"Read\"", "{\"p\":\"b\"}", "\"x\"");
    assert_int_equal(progress(&h).repeats, 0);
    step(&h, "\"Grep\"", "{\"p\":\"a\"}", "\"x\"");
    assert_int_equal(progress(&h).repeats, 0);
    step(&h, "\"Read\"", "{\"p\":\"a\"}", "\"another\"");
    assert_int_equal(progress(&h).repeats, 1);
    step(&h, "\"Read\"", "{\"p\":\"a\"}", "\"x\"");
    assert_int_equal(progress(&h).repeats, 2);
    step(&h, NULL, NULL, "\"x\"");
    step(&h, NULL, NULL, "\"x\"");
    assert_int_equal(progress(&h).repeats, 2);
}

static void a_streak_ends_with_a_success(void **state)
{
    static const char *const results[] = {"\"2 failed\"",  "\"no such file\"", "\"ok\"",
                                          "\"timed out\"", "\"2 failed\"",     "\"core dumped\""};
    static const unsigned streaks[] = {1, 2, 0, 1, 2, 3};
    struct pm_history h = {0};
    (void)state;
    for (size_t i = 0; i < COUNT(results); i++) {
        step(&h, "\"Bash\"", "{\"command\":\"make\"}", results[i]);
        assert_int_equal(progress(&h).streak, streaks[i]);
    }
    assert_int_equal(progress(&h).errors[PM_STEP_FAILED], 2);
    assert_int_equal(progress(&h).errors[PM_STEP_REFUSED], 1);
    assert_int_equal(progress(&h).errors[PM_STEP_PASSING], 1);
    assert_int_equal(progress(&h).errors[PM_STEP_CRITICAL], 1);
    assert_int_equal(progress(&h).errors[PM_STEP_FINE], 1);
}

static void the_worst_is_of_the_last_three(void **state)
{
    struct pm_history h = {0};
    (void)state;
    step(&h, "\"Bash\"", "{\"command\":\"make\"}", "\"core dumped\"");
    step(&h, "\"Bash\"", "{\"command\":\"make\"}", "\"2 failed\"");
    step(&h, "\"Bash\"", "{\"command\":\"make\"}", "\"ok\"");
    assert_int_equal(progress(&h).worst, PM_STEP_CRITICAL);
    step(&h, "\"Bash\"", "{\"command\":\"make\"}", "\"ok\"");
    assert_int_equal(progress(&h).worst, PM_STEP_FAILED);
    step(&h, "\"Bash\"", "{\"command\":\"make\"}", "\"ok\"");
    assert_int_equal(progress(&h).worst, PM_STEP_FINE);
}

static void edits_that_went_well_count_among_the_last_six(void **state)
{
    struct pm_history h = {0};
    (void)state;
    for (int i = 0; i < 4; i++)
        step(&h, "\"Edit\"", "{}", "\"ok\"");
    assert_int_equal(progress(&h).last_edits, 4);
    step(&h, "\"Edit\"", "{}", "\"String to replace not found\"");
    assert_int_equal(progress(&h).last_edits, 4);
    for (int i = 0; i < 3; i++)
        step(&h, "\"Read\"", "{}", "\"ok\"");
    assert_int_equal(progress(&h).last_edits, 2);
    assert_int_equal(progress(&h).kinds[PM_STEP_EDIT], 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_has_been_done_at_first),
        cmocka_unit_test(a_call_without_a_result_is_no_step_yet),
        cmocka_unit_test(results_find_their_calls_by_id_in_any_order),
        cmocka_unit_test(without_ids_the_first_open_call_gets_the_result),
        cmocka_unit_test(one_side_without_an_id_goes_by_order_too),
        cmocka_unit_test(an_id_that_no_call_had_is_a_step_of_its_own),
        cmocka_unit_test(an_id_used_again_pairs_with_the_call_that_is_open),
        cmocka_unit_test(only_the_last_steps_count),
        cmocka_unit_test(more_open_calls_than_there_is_room_for_do_no_harm),
        cmocka_unit_test(a_step_is_of_the_kind_that_its_tool_and_command_say),
        cmocka_unit_test(a_step_ended_as_its_result_says),
        cmocka_unit_test(of_a_long_result_both_ends_are_read),
        cmocka_unit_test(a_file_that_talks_about_errors_is_no_error),
        cmocka_unit_test(what_an_edit_or_a_search_shows_is_no_error),
        cmocka_unit_test(a_file_that_is_not_there_is_one),
        cmocka_unit_test(the_same_call_again_is_a_repeat),
        cmocka_unit_test(a_streak_ends_with_a_success),
        cmocka_unit_test(the_worst_is_of_the_last_three),
        cmocka_unit_test(edits_that_went_well_count_among_the_last_six),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
