#include "core/cli/screen.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#include "core/base/alloc.h"

void pm_screen_init(struct pm_screen *s, int rows, int columns)
{
    *s = (struct pm_screen){.rows = rows, .columns = columns};
    s->cells = pm_calloc((size_t)rows * (size_t)columns + 1, sizeof(*s->cells));
    for (int i = 0; i < rows * columns; i++)
        s->cells[i].ch = L' ';
}

void pm_screen_release(struct pm_screen *s)
{
    free(s->cells);
    *s = (struct pm_screen){0};
}

struct pm_box pm_box_of(struct pm_screen *s)
{
    return (struct pm_box){.screen = s, .rows = s->rows, .columns = s->columns};
}

static int within(int n, int most)
{
    return n < 0 ? 0 : n > most ? most : n;
}

struct pm_box pm_box_part(const struct pm_box *b, int row, int column, int rows, int columns)
{
    row = within(row, b->rows);
    column = within(column, b->columns);
    return (struct pm_box){.screen = b->screen,
                           .row = b->row + row,
                           .column = b->column + column,
                           .rows = within(rows, b->rows - row),
                           .columns = within(columns, b->columns - column)};
}

static void put(const struct pm_box *b, int row, int column, wchar_t ch, enum pm_style style)
{
    if (row < 0 || row >= b->rows || column < 0 || column >= b->columns)
        return;
    int x = b->column + column;
    struct pm_cell *cell = &b->screen->cells[(b->row + row) * b->screen->columns + x];
    /* Of a wide character of which one half is drawn over, the other half goes too. */
    if (ch && !cell->ch && x > 0)
        cell[-1].ch = L' ';
    if (x + 1 < b->screen->columns && !cell[1].ch)
        cell[1].ch = L' ';
    *cell = (struct pm_cell){ch, style};
}

int pm_box_text(const struct pm_box *b, int row, int column, enum pm_style style, const char *text)
{
    mbstate_t state = {0};
    size_t left = strlen(text);
    while (left && column < b->columns) {
        wchar_t ch = L'?';
        size_t n = mbrtowc(&ch, text, left, &state);
        if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
            ch = L'?';
            n = 1;
            state = (mbstate_t){0};
        }
        text += n;
        left -= n;
        int width = ch == L'\t' ? 1 : wcwidth(ch);
        if (width == 0)
            continue;
        if (width < 0)
            ch = L'?';
        /* Half of a wide one cannot be shown. */
        bool cut = width == 2 && (column < 0 || column + 1 >= b->columns);
        put(b, row, column++, ch == L'\t' || cut ? L' ' : ch, style);
        if (width == 2)
            put(b, row, column++, cut ? L' ' : 0, style);
    }
    return column;
}

void pm_box_cell(const struct pm_box *b, int row, int column, int columns, enum pm_style style, const char *text)
{
    struct pm_box cell = pm_box_part(b, row, column, 1, columns);
    pm_box_text(&cell, 0, 0, style, text);
}

int pm_box_format(const struct pm_box *b, int row, int column, enum pm_style style, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return pm_box_text(b, row, column, style, text);
}

void pm_box_head(const struct pm_box *b, int row, enum pm_style style, const char *text)
{
    for (int i = 0; i < b->columns; i++)
        put(b, row, i, L' ', style);
    pm_box_text(b, row, 1, style, text);
}

void pm_box_bar(const struct pm_box *b, int row, int column, int columns, double share, enum pm_style style)
{
    int full = (int)((share < 0 ? 0 : share > 1 ? 1 : share) * (columns - 2) + 0.5);
    put(b, row, column, L'[', PM_STYLE_DIM);
    for (int i = 0; i < columns - 2; i++)
        put(b, row, column + 1 + i, i < full ? L'#' : L'.', i < full ? style : PM_STYLE_DIM);
    put(b, row, column + columns - 1, L']', PM_STYLE_DIM);
}

void pm_box_frame(const struct pm_box *b, const char *title)
{
    for (int r = 0; r < b->rows; r++)
        for (int c = 0; c < b->columns; c++) {
            bool level = r == 0 || r == b->rows - 1, upright = c == 0 || c == b->columns - 1;
            put(b, r, c, level && upright ? L'+' : level ? L'-' : upright ? L'|' : L' ', PM_STYLE_PLAIN);
        }
    pm_box_format(b, 0, 2, PM_STYLE_STRONG, " %s ", title);
}

void pm_screen_print(const struct pm_screen *s, FILE *to)
{
    int last = s->rows;
    const struct pm_cell *row;
    while (last > 0) {
        int c = 0;
        for (row = &s->cells[(last - 1) * s->columns]; c < s->columns && row[c].ch == L' '; c++)
            continue;
        if (c < s->columns)
            break;
        last--;
    }
    for (int r = 0; r < last; r++) {
        int end = s->columns;
        row = &s->cells[r * s->columns];
        while (end > 0 && row[end - 1].ch == L' ')
            end--;
        for (int c = 0; c < end; c++) {
            char bytes[MB_LEN_MAX + 1];
            mbstate_t state = {0};
            size_t n = row[c].ch ? wcrtomb(bytes, row[c].ch, &state) : 0;
            if (n != (size_t)-1)
                fwrite(bytes, 1, n, to);
        }
        fputc('\n', to);
    }
}
