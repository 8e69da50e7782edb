/* Labelled rows, one JSON object a line: what `pointsman train` and `pointsman eval` read.
 *
 *   {"prompt": ..., "label": ...}                      what it asks for, any set of names
 *   {"prompt": ..., "weak": 0..1, "strong": 0..1}      how well a weak and a strong model did
 *   {"prompt": ..., "scores": {MODEL: 0..1, ...}}      how well each of several models did
 *   {"turns": [[MESSAGE, ...], ...], "tools": [...]}   a request that carries tools
 *
 * Further members of a row name its group: `source`, `task`, `subject`, `set`, `split`.
 */
#ifndef PM_LEARN_ROWS_H
#define PM_LEARN_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/json.h"
#include "core/base/text.h"

struct pm_row {
    char *prompt;   /* the user's words; of a row with tools, the first ones */
    char *body;     /* of a row with tools: a whole request body, else NULL */
    bool has_tools; /* that it can call */
    char *label;    /* NULL for none */
    char *source;   /* what `source` says, else `set`, else the file's name without its ending */
    char *topic;    /* `task`, else `subject`, else NULL */
    char *split;    /* NULL for none */
    bool has_pair;  /* weak and strong */
    double weak, strong;
    double *scores; /* by index of the set's models, NaN where not known; NULL for none */
    bool own;       /* of the traffic that the weights are for: counts more than what others wrote */
};

struct pm_rows {
    struct pm_row *items;
    size_t n;
    struct pm_strv models; /* that any row has a score of */
};

/* Adds the rows of a file. The error is FILE:LINE: what is wrong and what is expected. */
int pm_rows_read(struct pm_rows *rows, const char *path, struct pm_error *err) PM_MUST;
void pm_rows_release(struct pm_rows *rows);

/* The chat request that stands for the row, as JSON; the caller frees. */
char *pm_row_body(const struct pm_row *row, const char *model);

#endif
