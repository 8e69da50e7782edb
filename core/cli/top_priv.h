/* What the files of `pointsman top` share: what is known of the gateway, and what the person at the keys looks at. */
#ifndef PM_CLI_TOP_PRIV_H
#define PM_CLI_TOP_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/json.h"
#include "core/cli/screen.h"
#include "core/cli/watch.h"

enum { PM_TOP_LINES = 4000, PM_TOP_FILTER = 60 };

/* What lies over the rest. */
enum pm_top_over { PM_TOP_NOTHING, PM_TOP_PICKER, PM_TOP_HELP, PM_TOP_STOP };

struct pm_top {
    /* Of the gateway. */
    cJSON *status, *live; /* the last events, NULL before the first */
    bool up;
    char *down_why;
    uint64_t finished, failed; /* requests since this began */
    char last_done[160];       /* the last request, for people */
    bool last_done_bad;
    struct {
        char *profile, *text;
    } lines[PM_TOP_LINES]; /* of logs, a ring */
    size_t n_lines;        /* ever */

    /* Of the one who looks. */
    int chosen;       /* profile in the list */
    int picked;       /* in the picker */
    bool picks_bench; /* the picker shows bench-* profiles */
    int scroll;       /* log lines from the end */
    char *source;     /* the profile whose lines are shown, NULL all */
    char filter[PM_TOP_FILTER];
    bool types_filter;
    enum pm_top_over over;
    char message[300]; /* what came of the last key */
    bool message_bad;
    uint64_t said_ms;
};

/* top_state.c */
void pm_top_init(struct pm_top *t);
void pm_top_release(struct pm_top *t);
void pm_top_event(struct pm_top *t, enum pm_watch kind, const char *text);
void pm_top_say(struct pm_top *t, bool bad, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Profiles of a kind, in their order: how many; the i-th, NULL when there are fewer. */
int pm_top_profiles(const struct pm_top *t, bool bench);
const cJSON *pm_top_profile(const struct pm_top *t, bool bench, int i);
/* Is the ring's line `i` (from the oldest kept on) to be shown? */
bool pm_top_shows(const struct pm_top *t, size_t i);
/* Goes to the next source of log lines. */
void pm_top_next_source(struct pm_top *t);

/* top_view.c */
void pm_top_draw(const struct pm_top *t, struct pm_screen *s);

/* top_over.c */
void pm_top_draw_over(const struct pm_top *t, const struct pm_box *all);

/* Log lines that fit a terminal of that size. */
int pm_top_log_rows(const struct pm_top *t, int rows, int columns);
/* Scrolls the log, so far as there are lines. */
void pm_top_scroll(struct pm_top *t, int by, int log_rows);

/* A text member, empty where it is not there: a manager of another version may leave some out. */
const char *pm_top_str(const cJSON *object, const char *key);
/* "12 s", "340 ms". */
const char *pm_top_seconds(double s, char out[24]);
enum pm_style pm_top_state_style(const char *state);

#endif
