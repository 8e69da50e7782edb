/* A screen of characters, drawn in memory: to a terminal by ncurses, or as plain text. What is drawn outside of it is
 * left out; characters that could move a cursor or ring a bell become `?`. */
#ifndef PM_CLI_SCREEN_H
#define PM_CLI_SCREEN_H

#include <stddef.h>
#include <stdio.h>
#include <wchar.h>

enum pm_style {
    PM_STYLE_PLAIN,
    PM_STYLE_DIM,
    PM_STYLE_STRONG,
    PM_STYLE_GOOD,
    PM_STYLE_BUSY,
    PM_STYLE_BAD,
    PM_STYLE_HEAD, /* a line that begins a part */
    PM_STYLE_KEYS, /* what can be pressed */
    PM_STYLE_CHOSEN,
    PM_STYLES
};

struct pm_cell {
    wchar_t ch; /* 0: the second half of a wide one */
    enum pm_style style;
};

struct pm_screen {
    int rows, columns;
    struct pm_cell *cells; /* row after row */
};

/* All blank. */
void pm_screen_init(struct pm_screen *s, int rows, int columns);
void pm_screen_release(struct pm_screen *s);

/* A part of a screen, in which places count from its own corner. */
struct pm_box {
    struct pm_screen *screen;
    int row, column, rows, columns;
};

struct pm_box pm_box_of(struct pm_screen *s);
struct pm_box pm_box_part(const struct pm_box *b, int row, int column, int rows, int columns);

/* Draws a text (UTF-8, or what the locale has) up to the box's edge; the column after it. */
int pm_box_text(const struct pm_box *b, int row, int column, enum pm_style style, const char *text);
/* The same in so many columns. */
void pm_box_cell(const struct pm_box *b, int row, int column, int columns, enum pm_style style, const char *text);
int pm_box_format(const struct pm_box *b, int row, int column, enum pm_style style, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* The whole row in that style, with a text at its beginning. */
void pm_box_head(const struct pm_box *b, int row, enum pm_style style, const char *text);

/* `share` of `columns` as a bar. */
void pm_box_bar(const struct pm_box *b, int row, int column, int columns, double share, enum pm_style style);

/* Blanks all of it, with a frame; for what lies over the rest. */
void pm_box_frame(const struct pm_box *b, const char *title);

/* As text: rows without the blanks at their ends, without the empty rows at the end. */
void pm_screen_print(const struct pm_screen *s, FILE *to);

#endif
