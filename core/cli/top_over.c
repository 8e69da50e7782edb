/* What lies over the frame of `pointsman top`: the model picker, the help, the question before stopping. */
#include <string.h>

#include "core/cli/top_priv.h"

static struct pm_box centre(const struct pm_box *all, int rows, int columns)
{
    rows = rows > all->rows - 2 ? all->rows - 2 : rows;
    columns = columns > all->columns - 2 ? all->columns - 2 : columns;
    return pm_box_part(all, (all->rows - rows) / 2, (all->columns - columns) / 2, rows, columns);
}

/* What is left beside the other columns. */
static int name_columns(const struct pm_box *b)
{
    int left = b->columns - 68;
    return left < 8 ? 8 : left;
}

static void draw_choice(const struct pm_box *b, int row, const cJSON *p, bool chosen)
{
    const char *id = pm_top_str(p, "id"), *name = pm_top_str(p, "name"), *state = pm_top_str(p, "state");
    char load[24];
    enum pm_style style = chosen ? PM_STYLE_CHOSEN : PM_STYLE_PLAIN;
    struct pm_box line = pm_box_part(b, row, 1, 1, b->columns - 2);
    pm_top_seconds(pm_json_num(p, "expected_load_ms", 0) / 1000, load);
    pm_box_head(&line, 0, style, "");
    int wide = name_columns(b);
    pm_box_cell(&line, 0, 1, 18, style, id);
    pm_box_cell(&line, 0, 20, wide, style, strcmp(name, id) != 0 ? name : "");
    pm_box_cell(&line, 0, 21 + wide, 8, style, pm_top_str(p, "speed"));
    pm_box_format(&line, 0, 30 + wide, style, "%7.0f  %-8.8s %s", pm_json_num(p, "context", 0),
                  strcmp(state, "off") == 0 ? load : state, pm_top_str(p, "fit"));
}

static void draw_picker(const struct pm_top *t, const struct pm_box *all)
{
    int n = pm_top_profiles(t, t->picks_bench), other = pm_top_profiles(t, !t->picks_bench), first = 0;
    struct pm_box b = centre(all, n + 7 < 10 ? 10 : n + 7, 96);
    int rows = b.rows - 6;
    pm_box_frame(&b, t->picks_bench ? "Which benchmark profile?" : "Which model?");
    struct pm_box line = pm_box_part(&b, 1, 2, 1, b.columns - 3);
    pm_box_format(&line, 0, 0, PM_STYLE_DIM, "%-18s %-*s %-8s %7s  %-8s %s", "id", name_columns(&b), "name", "speed",
                  "context", "loads in", "memory");
    if (t->picked >= rows)
        first = t->picked - rows + 1;
    for (int i = 0; i < rows && first + i < n; i++)
        draw_choice(&b, 2 + i, pm_top_profile(t, t->picks_bench, first + i), first + i == t->picked);
    if (!n)
        pm_box_text(&b, 2, 2, PM_STYLE_DIM, "none");
    const cJSON *p = pm_top_profile(t, t->picks_bench, t->picked);
    line = pm_box_part(&b, b.rows - 3, 2, 2, b.columns - 4);
    pm_box_text(&line, 0, 0, PM_STYLE_PLAIN, pm_top_str(p, "description"));
    if (strcmp(pm_top_str(p, "state"), "failed") == 0) {
        pm_box_head(&line, 0, PM_STYLE_PLAIN, "");
        pm_box_text(&line, 0, 0, PM_STYLE_BAD, pm_top_str(p, "reason"));
    }
    pm_box_format(&line, 1, 0, PM_STYLE_DIM, "Enter loads it   %s   Esc leaves things as they are",
                  !other           ? ""
                  : t->picks_bench ? "b other models"
                                   : "b benchmark profiles");
}

static void draw_help(const struct pm_box *all)
{
    static const char *const lines[] = {"m          pick a model to load: what must go makes room for it",
                                        "up, down   choose a model in the list;  Enter  loads it",
                                        "u          unload the chosen model, when its requests are done",
                                        "p          pin the chosen model: it never has to make room; again: unpin",
                                        "Tab        logs of all servers, or of one after the other",
                                        "PgUp, PgDn, Home, End   scroll the logs",
                                        "/          show only lines with a word",
                                        "q          leave: the gateway and its models go on",
                                        "Q          stop the gateway (asks first)",
                                        "",
                                        "MODELS     slots in use of all; how many wait, and for how long about",
                                        "REQUESTS   since, route, model, phase, tokens so far and their rate",
                                        "Phases: deciding, waiting (for its model), loading, queued (for a slot),",
                                        "        prompt (being read), answering, reviewing"};
    enum { LINES = sizeof(lines) / sizeof(*lines) };
    struct pm_box b = centre(all, LINES + 4, 78);
    pm_box_frame(&b, "Keys");
    for (int i = 0; i < LINES; i++)
        pm_box_text(&b, 1 + i, 2, PM_STYLE_PLAIN, lines[i]);
    pm_box_text(&b, b.rows - 2, 2, PM_STYLE_DIM, "any key closes this");
}

static void draw_stop(const struct pm_box *all)
{
    struct pm_box b = centre(all, 7, 66);
    pm_box_frame(&b, "Stop the gateway?");
    pm_box_text(&b, 2, 2, PM_STYLE_PLAIN, "Requests under way are finished, then all models are unloaded.");
    pm_box_text(&b, 4, 2, PM_STYLE_STRONG, "y stops it    k stops it, the models stay loaded    n goes on");
}

void pm_top_draw_over(const struct pm_top *t, const struct pm_box *all)
{
    switch (t->over) {
    case PM_TOP_PICKER:
        draw_picker(t, all);
        break;
    case PM_TOP_HELP:
        draw_help(all);
        break;
    case PM_TOP_STOP:
        draw_stop(all);
        break;
    case PM_TOP_NOTHING:
        break;
    }
}
