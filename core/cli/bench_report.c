/* What has been measured, side by side: Markdown, a chart, and what has changed between two builds or dates. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/alloc.h"
#include "core/cli/bench_priv.h"

/* A change of the median that is no noise: by so much, and the spreads do not touch. */
static const double CHANGE = 0.03;

static const char *str(const cJSON *cell, const char *key)
{
    const char *text = pm_json_str(cell, key);
    return text ? text : "";
}

static void date_of(const cJSON *cell, char out[16])
{
    time_t at = (time_t)(pm_json_num(cell, "at", 0) / 1000);
    struct tm t;
    strftime(out, 16, "%Y-%m-%d", localtime_r(&at, &t));
}

static bool is_run(const cJSON *cell, const char *word)
{
    char run[32];
    snprintf(run, sizeof(run), "%.0f", pm_json_num(cell, "run", 0));
    return strcmp(word, run) == 0;
}

/* Does a word mean that cell: the number of its run, else its day, or a part of its build? NULL means all. */
static bool is_meant(const cJSON *cells, const cJSON *cell, const char *word)
{
    const cJSON *other;
    char date[16];
    if (!word)
        return true;
    cJSON_ArrayForEach (other, cells)
        if (is_run(other, word))
            return is_run(cell, word);
    date_of(cell, date);
    return strcmp(word, date) == 0 || (strlen(word) > 2 && strstr(str(cell, "build"), word));
}

/* For a cell of a Markdown table. */
static const char *md(const char *text, char out[256])
{
    size_t n = 0;
    for (; *text && n + 3 < 256; text++) {
        if (*text == '|')
            out[n++] = '\\';
        out[n++] = (char)((unsigned char)*text < ' ' ? ' ' : *text);
    }
    out[n] = 0;
    return out;
}

/* What is compared with what: everything but the run, the build and the day. */
static char *key_of(const cJSON *cell)
{
    return pm_asprintf("%s|%s|%s|%.0f|%.0f|%.0f|%.3f", str(cell, "kind"), str(cell, "profile"), str(cell, "variant"),
                       pm_json_num(cell, "fill", 0), pm_json_num(cell, "prompt", 0), pm_json_num(cell, "generate", 0),
                       pm_json_num(cell, "temperature", 0));
}

/* The newest of each key that is meant, in the order of their first measurement. */
static cJSON *newest(const cJSON *cells, const char *word)
{
    cJSON *out = cJSON_CreateObject();
    const cJSON *cell;
    cJSON_ArrayForEach (cell, cells) {
        if (!is_meant(cells, cell, word))
            continue;
        char *key = key_of(cell);
        cJSON *copy = cJSON_Duplicate(cell, true);
        if (cJSON_HasObjectItem(out, key))
            cJSON_ReplaceItemInObjectCaseSensitive(out, key, copy);
        else
            cJSON_AddItemToObject(out, key, copy);
        free(key);
    }
    return out;
}

static double of(const cJSON *cell, const char *key, const char *what)
{
    return pm_json_num(pm_json_get(cell, key), what, 0);
}

/* --- compare --- */

static const struct measure {
    const char *kind, *key, *name;
    bool less_is_better, has_spread;
} measures[] = {{"speed", "prompt_tps", "reads, tokens/s", false, true},
                {"speed", "output_tps", "writes, tokens/s", false, true},
                {"speed", "first_ms", "first token, ms", true, true},
                {"code", "base", "HumanEval", false, false},
                {"code", "plus", "HumanEval+", false, false}};

static double middle(const cJSON *cell, const struct measure *m)
{
    return m->has_spread ? of(cell, m->key, "median") : pm_json_num(cell, m->key, 0);
}

static const char *change(const cJSON *a, const cJSON *b, const struct measure *m)
{
    double x = middle(a, m), y = middle(b, m);
    if (x <= 0 || fabs(y / x - 1) < CHANGE)
        return "";
    bool apart = !m->has_spread ||
                 (y > x ? of(b, m->key, "low") > of(a, m->key, "high") : of(b, m->key, "high") < of(a, m->key, "low"));
    if (!apart)
        return "";
    return (y < x) == m->less_is_better ? "better" : "WORSE";
}

static int compare_cell(const cJSON *a, const cJSON *b, cJSON *rows)
{
    int worse = 0;
    for (size_t i = 0; i < sizeof(measures) / sizeof(*measures); i++) {
        const struct measure *m = &measures[i];
        if (strcmp(str(a, "kind"), m->kind) != 0)
            continue;
        const char *verdict = change(a, b, m);
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "profile", str(a, "profile"));
        cJSON_AddStringToObject(row, "variant", str(a, "variant"));
        cJSON_AddNumberToObject(row, "fill", pm_json_num(a, "fill", 0));
        cJSON_AddStringToObject(row, "measure", m->name);
        cJSON_AddNumberToObject(row, "a", middle(a, m));
        cJSON_AddNumberToObject(row, "b", middle(b, m));
        cJSON_AddNumberToObject(row, "ratio", middle(a, m) > 0 ? middle(b, m) / middle(a, m) : 0);
        cJSON_AddStringToObject(row, "verdict", verdict);
        cJSON_AddItemToArray(rows, row);
        worse += strcmp(verdict, "WORSE") == 0;
    }
    return worse;
}

int pm_bench_compare(const cJSON *cells, const char *a, const char *b, bool json)
{
    cJSON *before = newest(cells, a), *after = newest(cells, b), *rows = cJSON_CreateArray();
    const cJSON *cell, *row;
    char name[256], variant[256];
    int worse = 0, both = 0;
    cJSON_ArrayForEach (cell, before) {
        const cJSON *other = cJSON_GetObjectItemCaseSensitive(after, cell->string);
        both += other != NULL;
        worse += other ? compare_cell(cell, other, rows) : 0;
    }
    if (json) {
        pm_cli_print_json(rows);
    } else if (!both) {
        fprintf(stderr,
                "pointsman: nothing was measured both for %s and for %s: `pointsman bench report` tells what was\n", a,
                b);
    } else {
        printf("| profile | variant | in the context | measure | %s | %s | ratio | "
               "|\n|---|---|---|---|---|---|---|---|\n",
               a, b);
        cJSON_ArrayForEach (row, rows)
            printf("| %s | %s | %.0f | %s | %.2f | %.2f | %.3f | %s |\n", md(str(row, "profile"), name),
                   md(str(row, "variant"), variant), pm_json_num(row, "fill", 0), str(row, "measure"),
                   pm_json_num(row, "a", 0), pm_json_num(row, "b", 0), pm_json_num(row, "ratio", 0),
                   str(row, "verdict"));
        printf("\n%s\n", worse ? "Something is WORSE: by more than 3 %, and the spreads of the repeats do not touch."
                               : "Nothing is worse by more than 3 % with spreads apart.");
    }
    cJSON_Delete(before);
    cJSON_Delete(after);
    cJSON_Delete(rows);
    return worse || !both;
}

/* --- report --- */

static void print_kind(const cJSON *cells, const char *kind)
{
    const cJSON *cell;
    bool any = false, speed = strcmp(kind, "speed") == 0;
    cJSON_ArrayForEach (cell, cells) {
        char date[16], name[256], variant[256];
        if (strcmp(str(cell, "kind"), kind) != 0)
            continue;
        date_of(cell, date);
        if (!any && speed)
            puts("| profile | variant | in the context | reads, tokens/s | writes, tokens/s | first token, ms | build "
                 "| run | day |\n"
                 "|---|---|---|---|---|---|---|---|---|");
        else if (!any)
            puts("| model | variant | tasks | HumanEval | HumanEval+ | temperature | build | run | day |\n"
                 "|---|---|---|---|---|---|---|---|---|");
        any = true;
        printf("| %s | %s | ", md(str(cell, "profile"), name), md(str(cell, "variant"), variant));
        if (speed)
            printf("%.0f | %.1f (%.1f to %.1f) | %.1f (%.1f to %.1f) | %.1f | ", pm_json_num(cell, "fill", 0),
                   of(cell, "prompt_tps", "median"), of(cell, "prompt_tps", "low"), of(cell, "prompt_tps", "high"),
                   of(cell, "output_tps", "median"), of(cell, "output_tps", "low"), of(cell, "output_tps", "high"),
                   of(cell, "first_ms", "median"));
        else
            printf("%.0f | %.1f %% | %.1f %% | %.2f | ", pm_json_num(cell, "tasks", 0),
                   100 * pm_json_num(cell, "base", 0), 100 * pm_json_num(cell, "plus", 0),
                   pm_json_num(cell, "temperature", 0));
        printf("%s | %.0f | %s |\n", str(cell, "build"), pm_json_num(cell, "run", 0), date);
    }
    if (any)
        puts("");
}

static void add_escaped(struct pm_buf *out, const char *text)
{
    for (; *text; text++) {
        const char *entity = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : NULL;
        if (entity)
            pm_buf_add(out, entity);
        else
            pm_buf_addn(out, (unsigned char)*text < ' ' ? " " : text, 1);
    }
}

static double largest(const cJSON *cells, const struct measure *m)
{
    const cJSON *cell;
    double most = 0;
    cJSON_ArrayForEach (cell, cells)
        if (strcmp(str(cell, "kind"), m->kind) == 0 && middle(cell, m) > most)
            most = middle(cell, m);
    return most;
}

/* A bar for each cell and measure, all of a measure in its own scale; the spread as a line. */
static int write_svg(const cJSON *cells, const char *path, struct pm_error *err)
{
    enum { WIDTH = 860, LEFT = 330, ROW = 22, BAR = 14 };
    struct pm_buf out;
    int y = 10;
    pm_buf_init(&out, 8 << 20);
    for (size_t i = 0; i < sizeof(measures) / sizeof(*measures); i++) {
        const struct measure *m = &measures[i];
        const cJSON *cell;
        double most = largest(cells, m), scale = most > 0 ? (WIDTH - LEFT - 90) / most : 0;
        if (most <= 0)
            continue;
        pm_buf_addf(&out, "<text x=\"10\" y=\"%d\" class=\"head\">%s</text>\n", y += 26, m->name);
        cJSON_ArrayForEach (cell, cells) {
            if (strcmp(str(cell, "kind"), m->kind) != 0)
                continue;
            y += ROW;
            pm_buf_addf(&out, "<text x=\"10\" y=\"%d\">", y);
            add_escaped(&out, str(cell, "profile"));
            pm_buf_addf(&out, " ");
            add_escaped(&out, str(cell, "variant"));
            pm_buf_addf(&out, " %.0f</text><rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>",
                        pm_json_num(cell, "fill", 0), LEFT, y - BAR + 2, middle(cell, m) * scale, BAR);
            if (m->has_spread)
                pm_buf_addf(&out, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>",
                            LEFT + of(cell, m->key, "low") * scale, LEFT + of(cell, m->key, "high") * scale,
                            y - BAR / 2 + 2, y - BAR / 2 + 2);
            pm_buf_addf(&out, "<text x=\"%.1f\" y=\"%d\">%.2f</text>\n", LEFT + middle(cell, m) * scale + 6, y,
                        middle(cell, m));
        }
        y += 8;
    }
    char *svg =
        pm_asprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n"
                    "<style>text{font:12px sans-serif;fill:#222}.head{font-weight:bold}rect{fill:#2f8f5b}"
                    "line{stroke:#222;stroke-width:2}</style>\n<rect width=\"100%%\" height=\"100%%\" "
                    "style=\"fill:#fff\"/>\n%s</svg>\n",
                    WIDTH, y + 20, WIDTH, y + 20, out.data);
    int rc = pm_file_write(path, svg, strlen(svg), err);
    free(svg);
    pm_buf_release(&out);
    return rc;
}

int pm_bench_report(const cJSON *cells, const char *which, const char *svg, struct pm_error *err)
{
    cJSON *meant = newest(cells, which);
    int rc = PM_OK;
    if (!meant->child)
        rc = pm_error_set(err, PM_ENOTFOUND, "nothing was measured%s%s yet: `pointsman bench speed`",
                          which ? " for " : "", which ? which : "");
    if (rc == PM_OK) {
        print_kind(meant, "speed");
        print_kind(meant, "code");
    }
    if (rc == PM_OK && svg)
        rc = write_svg(meant, svg, err);
    cJSON_Delete(meant);
    return rc;
}
