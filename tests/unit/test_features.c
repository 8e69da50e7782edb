/* Features of prompts (core/learn/text.c): the same everywhere, bounded, and never out of bounds. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/learn/measure.h"
#include "core/learn/text.h"

enum { LONG_TEXT = 4100, RANDOM_TEXTS = 100000 };

static struct pm_text_tables tables;
static struct pm_features first, second;
static const enum pm_recipe recipes[] = {PM_RECIPE_BROAD, PM_RECIPE_NARROW, PM_RECIPE_GRAMS};

/* A block that ends where the text ends: a read beyond it is seen by the sanitizer. */
static void features_of(enum pm_recipe recipe, const char *text, size_t len, struct pm_features *out)
{
    char *block = malloc(len ? len : 1);
    assert_non_null(block);
    memcpy(block, text, len);
    pm_features_of(&tables, recipe, block, len, out);
    free(block);
}

static void of_text(enum pm_recipe recipe, const char *text, struct pm_features *out)
{
    features_of(recipe, text, strlen(text), out);
}

static bool has(const struct pm_features *f, uint64_t hash)
{
    for (unsigned i = 0; i < f->n; i++)
        if (f->hash[i] == hash)
            return true;
    return false;
}

static bool is_same(const struct pm_features *a, const struct pm_features *b)
{
    return a->n == b->n && memcmp(a->hash, b->hash, a->n * sizeof(*a->hash)) == 0 &&
           memcmp(a->value, b->value, a->n * sizeof(*a->value)) == 0;
}

static bool is_same_set(const struct pm_features *a, const struct pm_features *b)
{
    for (unsigned i = 0; i < a->n; i++)
        if (!has(b, a->hash[i]))
            return false;
    return a->n == b->n;
}

/* The recipe of words alone has no shapes in it, so that equal words mean equal features. */
static void same_words(const char *a, const char *b, bool are)
{
    of_text(PM_RECIPE_NARROW, a, &first);
    of_text(PM_RECIPE_NARROW, b, &second);
    expect(is_same_set(&first, &second) == are, "`%s` and `%s` are %s the same words\n", a, b, are ? "not" : "");
}

static void sound(const struct pm_features *f, const char *what)
{
    expect(f->n <= PM_FEATURES_MAX, "%s: %u features\n", what, f->n);
    for (unsigned i = 0; i < f->n; i++)
        expect(isfinite(f->value[i]) && f->value[i] > 0, "%s: feature %u counts %g\n", what, i, (double)f->value[i]);
}

static int set_up(void **state)
{
    (void)state;
    pm_text_tables_init(&tables);
    return 0;
}

static void a_text_has_the_same_features_each_time(void **state)
{
    static const char text[] =
        "Write a Python function that adds 12 and 30.\n\nDon't explain; \xc3\xa9t\xc3\xa9 \xe4\xbb\xa3";
    static struct pm_text_tables other;
    (void)state;
    pm_text_tables_init(&other);
    assert_memory_equal(&tables, &other, sizeof(tables));
    for (size_t r = 0; r < COUNT(recipes); r++) {
        of_text(recipes[r], text, &first);
        memset(&second, 0xa5, sizeof(second));
        pm_features_of(&other, recipes[r], text, sizeof(text) - 1, &second);
        assert_true(first.n > 0);
        assert_true(is_same(&first, &second));
        sound(&first, "plain text");
    }
}

static void no_feature_stands_twice(void **state)
{
    static const char text[] = "again and again and again: add 1, add 1, add 1.\nagain\nagain";
    (void)state;
    for (size_t r = 0; r < COUNT(recipes); r++) {
        of_text(recipes[r], text, &first);
        for (unsigned i = 0; i < first.n; i++)
            for (unsigned k = i + 1; k < first.n; k++)
                assert_true(first.hash[i] != first.hash[k]);
    }
}

static void recipes_differ(void **state)
{
    static const char text[] = "Translate the following sentence to French: good morning";
    (void)state;
    of_text(PM_RECIPE_BROAD, text, &first);
    of_text(PM_RECIPE_GRAMS, text, &second);
    assert_false(is_same_set(&first, &second));
    of_text(PM_RECIPE_NARROW, text, &second);
    assert_false(is_same_set(&first, &second));
}

static void nothing_has_no_words(void **state)
{
    static const char *const texts[] = {"", " ", "\n\n\n", "\t \r\n", "\xe2\x80\xa6"};
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        of_text(PM_RECIPE_NARROW, texts[i], &first);
        expect(first.n == 0, "text %zu has %u words\n", i, first.n);
        of_text(PM_RECIPE_BROAD, texts[i], &first);
        sound(&first, "empty");
    }
    of_text(PM_RECIPE_GRAMS, "", &first);
    assert_int_equal(first.n, 0);
}

static void capitals_do_not_make_another_word(void **state)
{
    (void)state;
    same_words("HELLO World", "hello world", true);
    same_words("\xc3\x89T\xc3\x89", "\xc3\xa9t\xc3\xa9", true);               /* Latin: E with acute */
    same_words("\xc5\xbd\xc3\x81K", "\xc5\xbe\xc3\xa1k", true);               /* Z with caron */
    same_words("\xd0\x9f\xd0\xa0\xd0\x98", "\xd0\xbf\xd1\x80\xd0\xb8", true); /* Cyrillic */
    same_words("\xd0\x81", "\xd1\x91", true);                                 /* IO, another block */
    same_words("\xce\xa3\xce\xa9", "\xcf\x83\xcf\x89", true);                 /* Greek */
    same_words("hello", "hallo", false);
    same_words("\xc3\x97", "\xc3\xb7", true); /* times and divided by are no letters */
}

static void apostrophes_join_and_quotes_do_not(void **state)
{
    (void)state;
    same_words("don't", "dont", true);
    same_words("don\xe2\x80\x99t", "don't", true);
    same_words("the dogs' bone", "the dogs bone", true);
    same_words("'quoted' word", "quoted word", true);
    same_words("rock'n'roll", "rocknroll", true);
    same_words("don 't", "dont", false);
    same_words("dont'", "dont", true);
    same_words("x\xe2\x80\x99", "x", true);
    same_words("x'1", "x 1", true);
}

static void numbers_count_by_their_length(void **state)
{
    (void)state;
    same_words("add 12 and 57", "add 34 and 81", true);
    same_words("add 12 and 57", "add 12 and 577", false);
    same_words("123456", "12345678901234567890", true);
    same_words("v2 of it", "v3 of it", false);
    /* as they stand for difficulty */
    of_text(PM_RECIPE_GRAMS, "add 12", &first);
    of_text(PM_RECIPE_GRAMS, "add 34", &second);
    assert_false(is_same_set(&first, &second));
}

static void signs_of_scripts_without_blanks_are_words(void **state)
{
    (void)state;
    same_words("\xe4\xbb\xa3\xe7\xa0\x81", "\xe4\xbb\xa3 \xe7\xa0\x81", true);
    same_words("\xe4\xbb\xa3\xe7\xa0\x81", "\xe7\xa0\x81\xe4\xbb\xa3", false);
    same_words("\xf0\xa0\x80\x80", "\xf0\xa0\x80\x81", false); /* of the second plane */
    same_words("go\xe4\xbb\xa3", "go \xe4\xbb\xa3", true);     /* a sign ends a word of letters */
    /* Hangul has blanks */
    same_words("\xed\x95\x9c\xea\xb5\xad", "\xed\x95\x9c \xea\xb5\xad", false);
}

static void word_lists_speak_for_their_words(void **state)
{
    unsigned shared = 0;
    (void)state;
    of_text(PM_RECIPE_BROAD, "python", &first);
    of_text(PM_RECIPE_BROAD, "javascript", &second);
    for (unsigned i = 0; i < first.n; i++)
        shared += has(&second, first.hash[i]) && first.value[i] > 1.4F;
    assert_int_equal(shared, 3); /* in it, in the first words, first */
    of_text(PM_RECIPE_BROAD, "zebrafish", &second);
    shared = 0;
    for (unsigned i = 0; i < first.n; i++)
        shared += has(&second, first.hash[i]) && first.value[i] > 1.4F;
    assert_int_equal(shared, 0);
}

/* Text of all kinds of characters, 1 to 4 bytes long. */
static size_t mixed_text(char *out, size_t size)
{
    static const char *const parts[] = {"word ",  "\xc3\xa9",         "\xe4\xbb\xa3", "\xf0\x9f\x98\x80",
                                        "don't ", "\xe2\x80\x99s ",   "12.5\n",       "\xd0\x9f\xd1\x80 ",
                                        "```{",   "\xed\x95\x9c\xea", "A) B. "};
    uint64_t random = 3;
    size_t n = 0;
    while (n < size) {
        const char *part = parts[pm_random(&random) % COUNT(parts)];
        size_t len = strlen(part) < size - n ? strlen(part) : size - n;
        memcpy(out + n, part, len);
        n += len;
    }
    return n;
}

static void a_text_may_be_cut_and_broken_anywhere(void **state)
{
    static char text[LONG_TEXT];
    struct pm_effort effort;
    size_t len = mixed_text(text, sizeof(text));
    (void)state;
    for (size_t n = 0; n <= len; n++) {
        features_of(recipes[n % 3], text, n, &first);
        sound(&first, "cut");
        char *block = malloc(n ? n : 1);
        assert_non_null(block);
        memcpy(block, text, n);
        pm_effort_of(&tables, block, n, &effort);
        free(block);
        assert_true(effort.numbers <= n && effort.relations <= n && effort.sentences <= n);
    }
    for (size_t from = 0; from < len; from += 7)
        for (size_t r = 0; r < COUNT(recipes); r++) {
            features_of(recipes[r], text + from, len - from, &first);
            sound(&first, "begun in the middle");
        }
}

static void what_follows_the_limit_does_not_matter(void **state)
{
    static const enum pm_recipe to_the_limit[] = {PM_RECIPE_NARROW, PM_RECIPE_GRAMS};
    static char a[LONG_TEXT], b[LONG_TEXT];
    (void)state;
    memset(a, 'x', sizeof(a));
    for (size_t i = 0; i < sizeof(a); i += 9)
        a[i] = i % 2 ? ' ' : (char)('a' + i % 26);
    memcpy(b, a, sizeof(b));
    memset(b + PM_TEXT_BYTES, '7', sizeof(b) - PM_TEXT_BYTES);
    for (size_t r = 0; r < COUNT(to_the_limit); r++) {
        features_of(to_the_limit[r], a, sizeof(a), &first);
        features_of(to_the_limit[r], b, sizeof(b), &second);
        assert_true(is_same(&first, &second));
    }
    /* a character that the limit would cut stays out as a whole */
    memcpy(a + PM_TEXT_BYTES - 1, "\xe4\xbb\xa3", 3);
    memcpy(b, a, PM_TEXT_BYTES - 1);
    for (size_t r = 0; r < COUNT(to_the_limit); r++) {
        features_of(to_the_limit[r], a, sizeof(a), &first);
        features_of(to_the_limit[r], b, PM_TEXT_BYTES - 1, &second);
        assert_true(is_same(&first, &second));
    }
}

static void broad_classes_look_at_both_ends(void **state)
{
    static char a[LONG_TEXT], b[LONG_TEXT];
    size_t end = sizeof(a) - PM_TEXT_TAIL;
    (void)state;
    for (size_t i = 0; i < sizeof(a); i++)
        a[i] = i % 7 ? (char)('a' + i % 26) : ' ';
    memcpy(b, a, sizeof(b));
    memset(b + PM_TEXT_HEAD, '7', end - PM_TEXT_HEAD);
    features_of(PM_RECIPE_BROAD, a, sizeof(a), &first);
    features_of(PM_RECIPE_BROAD, b, sizeof(b), &second);
    assert_true(is_same(&first, &second));
    memcpy(b, a, sizeof(b));
    memcpy(b + sizeof(b) - 12, " translate ", 11);
    features_of(PM_RECIPE_BROAD, b, sizeof(b), &second);
    assert_false(is_same(&first, &second));
    memcpy(b, a, sizeof(b));
    memcpy(b, " translate ", 11);
    features_of(PM_RECIPE_BROAD, b, sizeof(b), &second);
    assert_false(is_same(&first, &second));
    /* neither end takes a part of a character */
    memcpy(a + PM_TEXT_HEAD - 1, "\xe4\xbb\xa3", 3);
    memcpy(a + end - 1, "\xe4\xbb\xa3", 3);
    features_of(PM_RECIPE_BROAD, a, sizeof(a), &first);
    sound(&first, "with characters at both cuts");
    /* what is short enough is taken whole */
    memcpy(b, a, PM_TEXT_HEAD + PM_TEXT_TAIL);
    b[PM_TEXT_HEAD + 20] = '!';
    features_of(PM_RECIPE_BROAD, a, PM_TEXT_HEAD + PM_TEXT_TAIL, &first);
    features_of(PM_RECIPE_BROAD, b, PM_TEXT_HEAD + PM_TEXT_TAIL, &second);
    assert_false(is_same(&first, &second));
}

static void the_most_features_are_never_exceeded(void **state)
{
    static char text[LONG_TEXT];
    uint64_t random = 11;
    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 40 == 39 ? ' ' : (char)('a' + pm_random(&random) % 26);
    features_of(PM_RECIPE_NARROW, text, sizeof(text), &first);
    assert_int_equal(first.n, PM_FEATURES_MAX); /* more runs of characters than that */
    for (size_t i = 1; i < sizeof(text); i += 2)
        text[i] = ' ';
    features_of(PM_RECIPE_GRAMS, text, sizeof(text), &first);
    assert_true(first.n > 1000 && first.n <= PM_FEATURES_MAX);
}

/* Well-formed text is read character by character; the bytes of a broken one do not hide those that follow. */
static void broken_bytes_do_not_swallow_what_follows(void **state)
{
    static const char *const broken[] = {"caf\xe9 python", "\xf0 python", "\xff\xff python", "\x80\xbf python",
                                         "caf\xe9\npython"};
    (void)state;
    of_text(PM_RECIPE_GRAMS, "python", &first);
    assert_int_equal(first.n, 1);
    for (size_t i = 0; i < COUNT(broken); i++) {
        of_text(PM_RECIPE_GRAMS, broken[i], &second);
        expect(has(&second, first.hash[0]), "broken text %zu has lost a word\n", i);
    }
}

static void any_bytes_are_read(void **state)
{
    /* towards what means something: heads of long characters, apostrophes, marks, digits, blanks */
    static const unsigned char likely[] = "\xf0\xe2\xc3\x80\x99\xbf' \n.?!A)B17xX`{\\$\xff\xed";
    static char text[64];
    struct pm_effort effort;
    uint64_t random = 5;
    (void)state;
    for (unsigned i = 0; i < RANDOM_TEXTS; i++) {
        size_t n = pm_random(&random) % sizeof(text);
        for (size_t k = 0; k < n; k++) {
            uint64_t r = pm_random(&random);
            text[k] = r & 1 ? (char)likely[(r >> 8) % (sizeof(likely) - 1)] : (char)(r >> 16);
        }
        features_of(recipes[i % 3], text, n, &first);
        if (first.n > PM_FEATURES_MAX)
            fail();
        char *block = malloc(n ? n : 1);
        assert_non_null(block);
        memcpy(block, text, n);
        pm_effort_of(&tables, block, n, &effort);
        free(block);
    }
}

static void effort_is_counted(void **state)
{
    static const struct {
        const char *text;
        unsigned numbers, relations, sentences;
        int choices;
    } rows[] = {
        {"", 0, 0, 0, 0},
        {"Hello there", 0, 0, 0, 0},
        {"Ann has 3 apples. Bob has twice as many. How many then?", 1, 2, 3, 0},
        {"Seven and 8 and a dozen.", 3, 0, 1, 0},
        {"It costs 3.5 dollars", 2, 0, 0, 0},
        {"Well... what?! No.", 0, 0, 3, 0},
        {"one TWO Three", 3, 0, 0, 0},
        {"What is it?\nA. one\nB. two", 2, 0, 3, 1},
        {"What is it?\nA) this\nB) that", 0, 0, 1, 1},
        {"What is it?\nA. this", 0, 0, 2, 0},
        {"A. this\nB. that", 0, 0, 2, 0},
        {"x\nA.\nB.", 0, 0, 2, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_effort e;
        pm_effort_of(&tables, rows[i].text, strlen(rows[i].text), &e);
        expect(e.numbers == rows[i].numbers && e.relations == rows[i].relations && e.sentences == rows[i].sentences &&
                   e.has_choices == rows[i].choices,
               "`%s`: %u numbers, %u relations, %u sentences, choices %d\n", rows[i].text, e.numbers, e.relations,
               e.sentences, e.has_choices);
    }
}

static void a_zero_byte_ends_no_sentence(void **state)
{
    static const char text[] = "one\0 two\0 three";
    struct pm_effort e;
    (void)state;
    pm_effort_of(&tables, text, sizeof(text) - 1, &e);
    assert_int_equal(e.numbers, 3);
    assert_int_equal(e.sentences, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_has_the_same_features_each_time),
        cmocka_unit_test(no_feature_stands_twice),
        cmocka_unit_test(recipes_differ),
        cmocka_unit_test(nothing_has_no_words),
        cmocka_unit_test(capitals_do_not_make_another_word),
        cmocka_unit_test(apostrophes_join_and_quotes_do_not),
        cmocka_unit_test(numbers_count_by_their_length),
        cmocka_unit_test(signs_of_scripts_without_blanks_are_words),
        cmocka_unit_test(word_lists_speak_for_their_words),
        cmocka_unit_test(a_text_may_be_cut_and_broken_anywhere),
        cmocka_unit_test(what_follows_the_limit_does_not_matter),
        cmocka_unit_test(broad_classes_look_at_both_ends),
        cmocka_unit_test(the_most_features_are_never_exceeded),
        cmocka_unit_test(broken_bytes_do_not_swallow_what_follows),
        cmocka_unit_test(any_bytes_are_read),
        cmocka_unit_test(effort_is_counted),
        cmocka_unit_test(a_zero_byte_ends_no_sentence),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
