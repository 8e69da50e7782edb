/* The screen in memory (core/cli/screen.c): what is drawn stays where it belongs, whatever the text has in it. */
#include "tests/unit/unit.h"

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli/screen.h"

enum { ROWS = 9, COLUMNS = 16 };

static char *printed(const struct pm_screen *s)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    pm_screen_print(s, f);
    fclose(f);
    return text;
}

/* What a text becomes in a row of so many columns. */
static char *drawn(int columns, const char *text)
{
    struct pm_screen s;
    pm_screen_init(&s, 1, columns);
    struct pm_box all = pm_box_of(&s);
    pm_box_text(&all, 0, 0, PM_STYLE_PLAIN, text);
    char *out = printed(&s);
    pm_screen_release(&s);
    return out;
}

static void expect_drawn(int columns, const char *text, const char *wanted)
{
    char *out = drawn(columns, text);
    expect(strcmp(out, wanted) == 0, "`%s` in %d columns is `%s`, not `%s`\n", text, columns, out, wanted);
    free(out);
}

/* The screen without any text, but with a mark in each cell. */
static void fill(struct pm_screen *s)
{
    for (int i = 0; i < s->rows * s->columns; i++)
        s->cells[i] = (struct pm_cell){L'~', PM_STYLE_KEYS};
}

static void expect_untouched(const struct pm_screen *s, const struct pm_box *b, const char *what)
{
    for (int r = 0; r < s->rows; r++)
        for (int c = 0; c < s->columns; c++) {
            bool inside = r >= b->row && r < b->row + b->rows && c >= b->column && c < b->column + b->columns;
            const struct pm_cell *cell = &s->cells[r * s->columns + c];
            expect(inside || (cell->ch == L'~' && cell->style == PM_STYLE_KEYS), "%s: drawn outside, at %d, %d\n",
                   what, r, c);
        }
}

/* Both halves of a wide character, or neither: half of one would shift the rest of the row. */
static void expect_whole(const struct pm_screen *s, const char *what)
{
    for (int r = 0; r < s->rows; r++)
        for (int c = 0; c < s->columns; c++) {
            const struct pm_cell *cell = &s->cells[r * s->columns + c];
            bool wide = cell->ch && wcwidth(cell->ch) == 2;
            bool followed = c + 1 < s->columns && cell[1].ch == 0;
            bool led = c > 0 && cell[-1].ch && wcwidth(cell[-1].ch) == 2;
            expect(wide == followed || (!cell->ch && !followed), "%s: a first half alone at %d, %d\n", what, r, c);
            expect(cell->ch || led, "%s: a second half alone at %d, %d\n", what, r, c);
        }
}

static void texts_end_at_the_edge(void **state)
{
    (void)state;
    expect_drawn(5, "hello", "hello\n");
    expect_drawn(4, "hello", "hell\n");
    expect_drawn(1, "hello", "h\n");
    expect_drawn(9, "two words", "two words\n");
    expect_drawn(9, "", "");
    expect_drawn(0, "hello", "");
}

static void nothing_is_drawn_outside_of_a_box(void **state)
{
    static const char *const texts[] = {"x", "a long text that is longer than all",
                                        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"};
    (void)state;
    for (int row = -3; row < ROWS; row++)
        for (int column = -5; column < COLUMNS; column++)
            for (size_t t = 0; t < COUNT(texts); t++) {
                struct pm_screen s;
                pm_screen_init(&s, ROWS, COLUMNS);
                fill(&s);
                struct pm_box all = pm_box_of(&s), b = pm_box_part(&all, 2, 3, 4, 5);
                pm_box_text(&b, row, column, PM_STYLE_BAD, texts[t]);
                pm_box_format(&b, row, column, PM_STYLE_BAD, "%s", texts[t]);
                pm_box_head(&b, row, PM_STYLE_BAD, texts[t]);
                pm_box_bar(&b, row, column, 1 + column + 5, 0.5, PM_STYLE_BAD);
                expect_untouched(&s, &b, texts[t]);
                pm_box_frame(&b, texts[t]);
                expect_untouched(&s, &b, "a frame");
                pm_screen_release(&s);
            }
}

static void a_part_lies_within_its_whole(void **state)
{
    struct pm_screen s;
    (void)state;
    pm_screen_init(&s, ROWS, COLUMNS);
    struct pm_box all = pm_box_of(&s), b = pm_box_part(&all, 1, 2, 5, 7);
    for (int i = -4; i < 12; i++)
        for (int j = -4; j < 12; j++)
            for (int k = -4; k < 12; k++) {
                struct pm_box p = pm_box_part(&b, i, j, k, j + k);
                assert_true(p.rows >= 0 && p.columns >= 0);
                assert_true(p.row >= b.row && p.row + p.rows <= b.row + b.rows);
                assert_true(p.column >= b.column && p.column + p.columns <= b.column + b.columns);
            }
    pm_screen_release(&s);
}

static void no_control_reaches_a_terminal(void **state)
{
    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        char text[] = {'a', (char)byte, 'b', 0};
        if (byte >= ' ' && byte < 127)
            continue;
        expect_drawn(9, text, byte == '\t' ? "a b\n" : "a?b\n");
    }
    for (int c1 = 0x80; c1 < 0xa0; c1++) {
        char text[] = {'a', (char)0xc2, (char)c1, 'b', 0};
        expect_drawn(9, text, "a?b\n");
    }
    expect_drawn(40, "\x1b[2J\x1b]0;mine\x07 \x1b[31mred", "?[2J?]0;mine? ?[31mred\n");
}

static void what_is_no_utf8_is_a_question_mark(void **state)
{
    (void)state;
    expect_drawn(9, "a\xc3", "a?\n");
    expect_drawn(9, "a\xc3(", "a?(\n");
    expect_drawn(9, "\xe2\x82", "??\n");
    expect_drawn(9, "\xf0\x9f\x98", "???\n");
    expect_drawn(9, "\xed\xa0\x80", "???\n");
    expect_drawn(9, "\xc0\x80", "??\n");
    expect_drawn(9, "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f\n");
}

static void what_has_no_width_is_left_out(void **state)
{
    (void)state;
    expect_drawn(9, "e\xcc\x81t", "et\n");
    expect_drawn(9,
                 "a\xe2\x80\x8b"
                 "b",
                 "ab\n");
    expect_drawn(9,
                 "a\xe2\x80\xae"
                 "b",
                 "ab\n");
}

static void wide_characters_take_two_columns(void **state)
{
    static const char text[] = "\xe6\x97\xa5\xe6\x9c\xac"
                               "!";
    (void)state;
    expect_drawn(5, text, "\xe6\x97\xa5\xe6\x9c\xac!\n");
    expect_drawn(4, text, "\xe6\x97\xa5\xe6\x9c\xac\n");
    expect_drawn(3, text, "\xe6\x97\xa5\n");
    expect_drawn(2, text, "\xe6\x97\xa5\n");
    expect_drawn(1, text, "");
    struct pm_screen s;
    pm_screen_init(&s, 2, 6);
    struct pm_box all = pm_box_of(&s);
    assert_int_equal(pm_box_text(&all, 0, 1, PM_STYLE_GOOD, text), 6);
    assert_true(s.cells[1].ch == 0x65e5 && s.cells[2].ch == 0 && s.cells[2].style == PM_STYLE_GOOD);
    pm_screen_release(&s);
}

static void half_of_a_wide_character_is_never_left(void **state)
{
    static const char text[] =
        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac";
    (void)state;
    for (int columns = 1; columns < COLUMNS; columns++)
        for (int at = -3; at < columns; at++) {
            struct pm_screen s;
            char what[60];
            pm_screen_init(&s, ROWS, COLUMNS);
            struct pm_box all = pm_box_of(&s), b = pm_box_part(&all, 0, 0, ROWS, columns);
            snprintf(what, sizeof(what), "from %d in %d columns", at, columns);
            for (int r = 0; r < ROWS; r++)
                pm_box_text(&b, r, at, PM_STYLE_PLAIN, text);
            expect_whole(&s, what);
            /* What lies over it cuts characters in two. */
            struct pm_box over = pm_box_part(&b, 1, at, 4, 5);
            pm_box_frame(&over, "t");
            snprintf(what, sizeof(what), "a frame at %d over %d columns", at, columns);
            expect_whole(&s, what);
            pm_screen_release(&s);
        }
}

static void parts_of_any_size_can_be_drawn(void **state)
{
    (void)state;
    for (int columns = 0; columns < 30; columns++)
        for (int rows = 0; rows < 5; rows++) {
            struct pm_screen s;
            pm_screen_init(&s, rows, columns);
            struct pm_box all = pm_box_of(&s);
            pm_box_frame(&all, "A title");
            pm_box_head(&all, 0, PM_STYLE_HEAD, "A head");
            for (double share = -1; share < 3; share += 0.25)
                pm_box_bar(&all, rows - 1, 0, columns, share, PM_STYLE_GOOD);
            free(printed(&s));
            pm_screen_release(&s);
        }
}

static void a_bar_shows_its_share(void **state)
{
    static const struct {
        double share;
        const char *bar;
    } rows[] = {{-1, "[..........]"},   {0, "[..........]"}, {0.04, "[..........]"}, {0.5, "[#####.....]"},
                {0.96, "[##########]"}, {1, "[##########]"}, {7, "[##########]"}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_screen s;
        pm_screen_init(&s, 1, 20);
        struct pm_box all = pm_box_of(&s);
        pm_box_bar(&all, 0, 2, 12, rows[i].share, PM_STYLE_GOOD);
        char *out = printed(&s);
        expect(strncmp(out + 2, rows[i].bar, 12) == 0, "%g: `%s`\n", rows[i].share, out);
        free(out);
        pm_screen_release(&s);
    }
}

static void printing_leaves_out_blank_ends(void **state)
{
    struct pm_screen s;
    (void)state;
    pm_screen_init(&s, 5, 10);
    struct pm_box all = pm_box_of(&s);
    char *out = printed(&s);
    assert_string_equal(out, "");
    free(out);
    pm_box_text(&all, 1, 2, PM_STYLE_BAD, "one ");
    pm_box_text(&all, 3, 0, PM_STYLE_BAD, "0123456789");
    out = printed(&s);
    assert_string_equal(out, "\n  one\n\n0123456789\n");
    free(out);
    pm_screen_release(&s);
}

static void long_formats_are_cut(void **state)
{
    struct pm_screen s;
    char text[3000];
    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    pm_screen_init(&s, 1, 2500);
    struct pm_box all = pm_box_of(&s);
    assert_int_equal(pm_box_text(&all, 0, 0, PM_STYLE_PLAIN, text), 2500);
    assert_in_range(pm_box_format(&all, 0, 0, PM_STYLE_PLAIN, "%s", text), 500, 2500);
    pm_screen_release(&s);
}

/* A terminal without UTF-8: what is not ASCII cannot be shown, and must not harm. */
static void without_utf8_bytes_are_question_marks(void **state)
{
    (void)state;
    assert_non_null(setlocale(LC_ALL, "C"));
    expect_drawn(9, "gr\xc3\xbc\x1b\x9b.", "gr????.\n");
    assert_non_null(setlocale(LC_ALL, "C.UTF-8"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_end_at_the_edge),
        cmocka_unit_test(nothing_is_drawn_outside_of_a_box),
        cmocka_unit_test(a_part_lies_within_its_whole),
        cmocka_unit_test(no_control_reaches_a_terminal),
        cmocka_unit_test(what_is_no_utf8_is_a_question_mark),
        cmocka_unit_test(what_has_no_width_is_left_out),
        cmocka_unit_test(wide_characters_take_two_columns),
        cmocka_unit_test(half_of_a_wide_character_is_never_left),
        cmocka_unit_test(parts_of_any_size_can_be_drawn),
        cmocka_unit_test(a_bar_shows_its_share),
        cmocka_unit_test(printing_leaves_out_blank_ends),
        cmocka_unit_test(long_formats_are_cut),
        cmocka_unit_test(without_utf8_bytes_are_question_marks),
    };
    if (!setlocale(LC_ALL, "C.UTF-8"))
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
