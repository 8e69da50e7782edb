#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/store/mapped.h"
#include "core/store/sessions.h"

enum { LIMIT_S = 30 };

static char folder[64];
static int dir;

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/pm-sessions-XXXXXX");
    dir = mkdtemp(folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    return dir < 0 ? -1 : 0;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"sessions", "table"};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        unlinkat(dir, names[i], 0);
    close(dir);
    return rmdir(folder);
}

static struct pm_sessions *sessions(void)
{
    struct pm_error err = {0};
    struct pm_sessions *s = pm_sessions_open(dir, "sessions", &err);
    expect(s, "%s\n", err.msg);
    return s;
}

/* Turn n of a conversation: the fingerprints of its `n` last beginnings, newest first. */
struct turn {
    uint64_t chain[4];
    struct pm_session_key key;
};

static struct turn *turn(struct turn *t, uint64_t opening, unsigned n, const uint64_t *chain)
{
    memcpy(t->chain, chain, n * sizeof(*chain));
    t->key = (struct pm_session_key){.chain = t->chain, .n = n, .opening = opening};
    return t;
}

#define TURN(opening, ...)                                                                                            \
    &turn(&(struct turn){{0}, {0}}, opening, COUNT(((uint64_t[]){__VA_ARGS__})), (uint64_t[]){__VA_ARGS__})->key

static struct pm_session find(struct pm_sessions *s, const struct pm_session_key *key, bool claim)
{
    struct pm_session out;
    memset(&out, 0xee, sizeof(out));
    pm_sessions_find(s, key, claim, &out);
    return out;
}

/* A turn that is asked and answered; returns its conversation. */
static uint64_t answer(struct pm_sessions *s, const struct pm_session_key *key, uint64_t target)
{
    uint64_t conversation = find(s, key, true).conversation;
    pm_sessions_note(s, key, conversation, target, 1000 + target);
    return conversation;
}

static void a_conversation_keeps_its_name_and_its_place(void **state)
{
    struct pm_sessions *s = sessions();
    (void)state;
    struct pm_session got = find(s, TURN(1, 1), true);
    assert_true(got.conversation == 1 && !got.target && !got.seen);
    pm_sessions_note(s, TURN(1, 1), got.conversation, 77, 5000);
    got = find(s, TURN(1, 11, 1), true);
    assert_true(got.conversation == 1 && got.target == 77 && got.at_ms == 5000 && !got.seen);
    pm_sessions_note(s, TURN(1, 11, 1), got.conversation, 88, 6000);
    got = find(s, TURN(1, 111, 11, 1), true);
    assert_true(got.conversation == 1 && got.target == 88 && got.at_ms == 6000);
    pm_sessions_free(s);
}

static void a_look_changes_nothing(void **state)
{
    struct pm_sessions *s = sessions();
    (void)state;
    assert_false(find(s, TURN(1, 1), false).seen);
    assert_false(find(s, TURN(1, 1), false).seen);
    answer(s, TURN(1, 1), 77);
    assert_true(find(s, TURN(1, 11, 1), false).conversation == 1);
    assert_true(find(s, TURN(1, 12, 1), true).conversation == 1);
    pm_sessions_free(s);
}

static void without_a_table_the_opening_says_it(void **state)
{
    (void)state;
    struct pm_session got = find(NULL, TURN(9, 99, 9), true);
    assert_true(got.conversation == 9 && !got.target && !got.at_ms && !got.seen);
    pm_sessions_note(NULL, TURN(9, 99, 9), 9, 1, 1);
    pm_sessions_drop(NULL, TURN(9, 99, 9));
    pm_sessions_free(NULL);
}

static void conversations_that_begin_alike_part(void **state)
{
    struct pm_sessions *s = sessions();
    (void)state;
    answer(s, TURN(1, 1), 77);
    answer(s, TURN(1, 1), 77);
    uint64_t first = answer(s, TURN(1, 11, 1), 70), second = answer(s, TURN(1, 12, 1), 80);
    assert_true(first != second && first && second);
    /* from now on neither goes where the other was */
    for (uint64_t i = 1; i < 20; i++) {
        struct pm_session a = find(s, TURN(1, 110 + i, i > 1 ? 109 + i : 11, 1), true);
        struct pm_session b = find(s, TURN(1, 220 + i, i > 1 ? 219 + i : 12, 1), true);
        assert_true(a.conversation == first && a.target == 70);
        assert_true(b.conversation == second && b.target == 80);
        pm_sessions_note(s, TURN(1, 110 + i, 1), first, 70, i);
        pm_sessions_note(s, TURN(1, 220 + i, 1), second, 80, i);
    }
    pm_sessions_free(s);
}

static void a_turn_that_is_going_on_is_taken_already(void **state)
{
    struct pm_sessions *s = sessions();
    (void)state;
    answer(s, TURN(1, 1), 77);
    uint64_t first = find(s, TURN(1, 11, 1), true).conversation, second = find(s, TURN(1, 12, 1), true).conversation;
    assert_true(first == 1 && second != first);
    pm_sessions_free(s);
}

static void a_retry_is_the_same_turn(void **state)
{
    struct pm_sessions *s = sessions();
    (void)state;
    answer(s, TURN(1, 1), 77);
    uint64_t first = answer(s, TURN(1, 11, 1), 78);
    struct pm_session again = find(s, TURN(1, 11, 1), true);
    assert_true(again.seen && again.conversation == first && again.target == 78);
    assert_true(answer(s, TURN(1, 111, 11, 1), 79) == first);
    pm_sessions_free(s);
}

static void what_is_dropped_leaves_its_place_to_another(void **state)
{
    struct pm_sessions *s = sessions();
    (void)state;
    answer(s, TURN(1, 1), 77);
    assert_true(find(s, TURN(1, 11, 1), true).conversation == 1);
    pm_sessions_drop(s, TURN(1, 11, 1));
    struct pm_session got = find(s, TURN(1, 12, 1), true);
    assert_true(got.conversation == 1 && got.target == 77 && !got.seen);
    pm_sessions_drop(s, TURN(5, 5));
    pm_sessions_free(s);
}

/* A client that asks again what was answered and then leaves must not lose what is known of the first answer. */
static void a_dropped_retry_does_not_undo_the_answer(void **state)
{
    struct pm_sessions *s = sessions();
    (void)state;
    uint64_t first = answer(s, TURN(1, 1), 77);
    assert_true(find(s, TURN(1, 1), true).seen);
    pm_sessions_drop(s, TURN(1, 1));
    struct pm_session got = find(s, TURN(1, 11, 1), true);
    assert_true(got.conversation == first);
    assert_true(got.target == 77);
    pm_sessions_free(s);
}

static void the_longest_known_beginning_counts(void **state)
{
    struct pm_sessions *s = sessions();
    (void)state;
    answer(s, TURN(1, 1), 70);
    answer(s, TURN(1, 11, 1), 71);
    /* two answers at once, such as a harness that puts in one of its own */
    assert_true(find(s, TURN(1, 114, 113, 11, 1), true).target == 71);
    /* the opening is tried last, where the chain is too short to reach it */
    struct pm_session got = find(s, TURN(1, 999, 998), false);
    assert_true(got.target == 70);
    pm_sessions_free(s);
}

static void the_table_outlives_its_process(void **state)
{
    struct pm_sessions *s = sessions();
    (void)state;
    answer(s, TURN(1, 1), 77);
    pm_sessions_free(s);
    s = sessions();
    assert_true(find(s, TURN(1, 11, 1), true).target == 77);
    pm_sessions_free(s);
}

static uint64_t spread(uint64_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15ULL;
}

static void with_too_many_the_oldest_go_and_the_newest_stay(void **state)
{
    enum { MANY = 100000, RECENT = 4000 };
    struct pm_sessions *s = sessions();
    unsigned kept = 0, old = 0;
    (void)state;
    for (uint64_t i = 0; i < MANY; i++)
        answer(s, TURN(spread(i), spread(i)), 1 + i);
    for (uint64_t i = 0; i < MANY; i++) {
        struct pm_session got = find(s, TURN(spread(i), spread(i)), false);
        assert_true(!got.seen || got.target == 1 + i);
        kept += got.seen && i >= MANY - RECENT;
        old += got.seen && i < MANY / 2;
    }
    expect(kept == RECENT, "%u of the last %d are known\n", kept, RECENT);
    assert_int_equal(old, 0);
    pm_sessions_free(s);
}

static void a_conversation_that_goes_on_is_not_evicted(void **state)
{
    struct pm_sessions *s = sessions();
    uint64_t before = 1;
    (void)state;
    uint64_t mine = answer(s, TURN(1, 1), 42);
    for (uint64_t i = 0; i < 20000; i++) {
        answer(s, TURN(spread(i), spread(i)), 1);
        if (i % 1000)
            continue;
        uint64_t now = spread(i) ^ 0x5555;
        assert_true(answer(s, TURN(1, now, before), 42) == mine);
        before = now;
    }
    pm_sessions_free(s);
}

/* Runs fn in a process of its own; its exit status, or 128 and the signal. */
static pid_t begin(int (*fn)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        /* cmocka's handlers would go on with the tests in here */
        for (int i = 0; i < 2; i++)
            signal(i ? SIGSEGV : SIGBUS, SIG_DFL);
        alarm(LIMIT_S);
        _exit(fn());
    }
    return pid;
}

static int ended(pid_t pid)
{
    int status = 0;
    assert_true(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int other_process(void)
{
    struct pm_error err = {0};
    struct pm_sessions *s = pm_sessions_open(dir, "sessions", &err);
    struct pm_session got;
    pm_sessions_find(s, TURN(1, 11, 1), true, &got);
    if (!s || got.conversation != 1 || got.target != 77)
        return 1;
    pm_sessions_note(s, TURN(1, 11, 1), got.conversation, 78, 2);
    pm_sessions_free(s);
    return 0;
}

static void processes_see_what_the_others_know(void **state)
{
    struct pm_sessions *s = sessions();
    (void)state;
    answer(s, TURN(1, 1), 77);
    assert_int_equal(ended(begin(other_process)), 0);
    struct pm_session got = find(s, TURN(1, 111, 11, 1), true);
    assert_true(got.conversation == 1 && got.target == 78);
    pm_sessions_free(s);
}

static int many_notes(void)
{
    struct pm_error err = {0};
    struct pm_sessions *s = pm_sessions_open(dir, "sessions", &err);
    for (uint64_t i = 0; s && i < 5000; i++) {
        struct pm_session got;
        const struct pm_session_key *key = TURN(spread(i % 50), spread(i), spread(i % 50));
        pm_sessions_find(s, key, true, &got);
        if (!got.conversation)
            return 2;
        pm_sessions_note(s, key, got.conversation, got.conversation + 1, 1);
    }
    pm_sessions_free(s);
    return s ? 0 : 1;
}

static void two_at_once_leave_a_whole_table(void **state)
{
    struct pm_sessions *s = sessions();
    (void)state;
    pid_t a = begin(many_notes), b = begin(many_notes);
    assert_int_equal(ended(a), 0);
    assert_int_equal(ended(b), 0);
    for (uint64_t i = 4000; i < 5000; i++) {
        struct pm_session got = find(s, TURN(spread(i % 50), spread(i)), false);
        assert_true(got.seen && got.target == got.conversation + 1);
    }
    pm_sessions_free(s);
}

static void the_name_of_a_target_is_never_zero(void **state)
{
    (void)state;
    assert_true(pm_session_target("demo") && pm_session_target(""));
    assert_true(pm_session_target("demo") == pm_session_target("demo"));
    assert_true(pm_session_target("demo") != pm_session_target("demo2"));
}

/* --- the file below --- */

static const struct pm_mapped_kind kind = {.name = "pmtest", .format = 1, .size = 8192};

static struct pm_mapped map(const struct pm_mapped_kind *k)
{
    struct pm_mapped m;
    struct pm_error err = {0};
    int rc = pm_mapped_open(dir, "table", k, &m, &err);
    expect(rc == PM_OK, "%s\n", err.msg);
    assert_int_equal(m.size, k->size);
    assert_int_equal((uintptr_t)m.at % 64, 0);
    return m;
}

static bool is_zero(const struct pm_mapped *m)
{
    const char *p = m->at;
    for (size_t i = 0; i < m->size; i++)
        if (p[i])
            return false;
    return true;
}

static void a_file_is_made_all_zero_and_private(void **state)
{
    struct stat st;
    (void)state;
    struct pm_mapped m = map(&kind);
    assert_true(is_zero(&m));
    assert_int_equal(fstatat(dir, "table", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    memset(m.at, 'x', m.size);
    pm_mapped_close(&m);
    m = map(&kind);
    assert_int_equal(((char *)m.at)[m.size - 1], 'x');
    pm_mapped_lock(&m);
    pm_mapped_unlock(&m);
    pm_mapped_close(&m);
    pm_mapped_close(&m);
}

static void a_file_of_another_kind_is_emptied(void **state)
{
    static const struct pm_mapped_kind others[] = {
        {.name = "other", .format = 1, .size = 8192},  {.name = "pmtest", .format = 2, .size = 8192},
        {.name = "pmtest", .format = 1, .size = 4096}, {.name = "pmtest", .format = 1, .size = 16384},
        {.name = "pmtest", .format = 1, .size = 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(others); i++) {
        struct pm_mapped m = map(&kind);
        memset(m.at, 'x', m.size);
        pm_mapped_close(&m);
        m = map(&others[i]);
        expect(is_zero(&m), "row %zu\n", i);
        pm_mapped_close(&m);
    }
}

static void what_is_no_table_is_made_one(void **state)
{
    static const char *const contents[] = {"", "x", "pmtest", "{\"this\": \"is something else, and longer\"}"};
    (void)state;
    for (size_t i = 0; i < COUNT(contents); i++) {
        int fd = openat(dir, "table", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(write(fd, contents[i], strlen(contents[i])) == (ssize_t)strlen(contents[i]));
        close(fd);
        struct pm_mapped m = map(&kind);
        expect(is_zero(&m), "%s\n", contents[i]);
        memset(m.at, 'x', m.size);
        pm_mapped_close(&m);
    }
    /* cut off by a full disk or a copy that was not finished */
    struct pm_mapped m = map(&kind);
    pm_mapped_close(&m);
    int fd = openat(dir, "table", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 100), 0);
    close(fd);
    m = map(&kind);
    assert_true(is_zero(&m));
    pm_mapped_close(&m);
}

static void what_cannot_be_opened_is_told_with_its_path(void **state)
{
    struct pm_mapped m;
    struct pm_error err = {0};
    (void)state;
    assert_true(pm_mapped_open(dir, "nowhere/table", &kind, &m, &err) < 0);
    assert_non_null(strstr(err.msg, "nowhere/table"));
    pm_mapped_close(&m);
    err = (struct pm_error){0};
    assert_null(pm_sessions_open(dir, "nowhere/sessions", &err));
    assert_non_null(strstr(err.msg, "nowhere/sessions"));
}

enum { ROUNDS = 20000 };

static int count_up(void)
{
    struct pm_mapped m;
    struct pm_error err = {0};
    if (pm_mapped_open(dir, "table", &kind, &m, &err) < 0)
        return 1;
    volatile long *n = m.at;
    for (int i = 0; i < ROUNDS; i++) {
        pm_mapped_lock(&m);
        *n = *n + 1;
        pm_mapped_unlock(&m);
    }
    pm_mapped_close(&m);
    return 0;
}

static void a_lock_keeps_the_others_out(void **state)
{
    (void)state;
    pid_t a = begin(count_up), b = begin(count_up);
    assert_int_equal(ended(a), 0);
    assert_int_equal(ended(b), 0);
    struct pm_mapped m = map(&kind);
    assert_int_equal(*(long *)m.at, 2 * ROUNDS);
    pm_mapped_close(&m);
}

static int die_with_the_lock(void)
{
    struct pm_mapped m = map(&kind);
    pm_mapped_lock(&m);
    return 0;
}

static void a_lock_ends_with_its_process(void **state)
{
    (void)state;
    assert_int_equal(ended(begin(die_with_the_lock)), 0);
    assert_int_equal(ended(begin(count_up)), 0);
}

static int pipes[2];

/* Has the table mapped, waits until somebody has opened it as a smaller one, and uses it. */
static int use_what_was_mapped_before(void)
{
    char byte;
    struct pm_mapped m = map(&kind);
    if (write(pipes[1], "m", 1) != 1 || read(pipes[1], &byte, 1) != 1)
        return 1;
    ((volatile char *)m.at)[m.size - 1] = 1;
    return 0;
}

/* A worker that is draining still has the table of the former configuration. */
static void who_has_the_former_table_is_not_hurt(void **state)
{
    static const struct pm_mapped_kind smaller = {.name = "pmtest", .format = 1, .size = 1024};
    char byte;
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pipes), 0);
    pid_t pid = begin(use_what_was_mapped_before);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    struct pm_mapped m = map(&smaller);
    assert_int_equal(write(pipes[0], "g", 1), 1);
    assert_int_equal(ended(pid), 0);
    assert_true(is_zero(&m));
    pm_mapped_close(&m);
    close(pipes[0]);
    close(pipes[1]);
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(a_conversation_keeps_its_name_and_its_place),
        IN_A_FOLDER(a_look_changes_nothing),
        cmocka_unit_test(without_a_table_the_opening_says_it),
        IN_A_FOLDER(conversations_that_begin_alike_part),
        IN_A_FOLDER(a_turn_that_is_going_on_is_taken_already),
        IN_A_FOLDER(a_retry_is_the_same_turn),
        IN_A_FOLDER(what_is_dropped_leaves_its_place_to_another),
        IN_A_FOLDER(a_dropped_retry_does_not_undo_the_answer),
        IN_A_FOLDER(the_longest_known_beginning_counts),
        IN_A_FOLDER(the_table_outlives_its_process),
        IN_A_FOLDER(with_too_many_the_oldest_go_and_the_newest_stay),
        IN_A_FOLDER(a_conversation_that_goes_on_is_not_evicted),
        IN_A_FOLDER(processes_see_what_the_others_know),
        IN_A_FOLDER(two_at_once_leave_a_whole_table),
        cmocka_unit_test(the_name_of_a_target_is_never_zero),
        IN_A_FOLDER(a_file_is_made_all_zero_and_private),
        IN_A_FOLDER(a_file_of_another_kind_is_emptied),
        IN_A_FOLDER(what_is_no_table_is_made_one),
        IN_A_FOLDER(what_cannot_be_opened_is_told_with_its_path),
        IN_A_FOLDER(a_lock_keeps_the_others_out),
        IN_A_FOLDER(a_lock_ends_with_its_process),
        IN_A_FOLDER(who_has_the_former_table_is_not_hurt),
    };
    return cmocka_run_group_tests_name("sessions", tests, NULL, NULL);
}
