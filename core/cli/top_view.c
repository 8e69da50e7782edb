/* The frame of `pointsman top`: models, machine, requests, logs, keys. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/cli/top_priv.h"

/* Wide: the models' part has room for its columns beside the machine's. */
enum { WIDE = 128, MACHINE_COLUMNS = 54, LOG_ROWS_LEAST = 4, MESSAGE_MS = 6000 };

const char *pm_top_seconds(double s, char out[24])
{
    if (s < 0.9995)
        snprintf(out, 24, "%.0f ms", s * 1000);
    else if (s < 100)
        snprintf(out, 24, "%.1f s", s);
    else
        snprintf(out, 24, "%.0f min", s / 60);
    return out;
}

enum pm_style pm_top_state_style(const char *state)
{
    if (strcmp(state, "ready") == 0)
        return PM_STYLE_GOOD;
    if (strcmp(state, "failed") == 0)
        return PM_STYLE_BAD;
    return strcmp(state, "off") == 0 ? PM_STYLE_DIM : PM_STYLE_BUSY;
}

static void draw_title(const struct pm_top *t, const struct pm_box *b)
{
    char text[300], clock[16];
    time_t now = time(NULL);
    struct tm tm;
    size_t ready = 0;
    const cJSON *w;
    strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
    cJSON_ArrayForEach (w, pm_json_get(t->status, "workers"))
        ready += strcmp(pm_top_str(w, "state"), "ready") == 0;
    const cJSON *listen = cJSON_GetArrayItem(pm_json_get(t->status, "listen"), 0);
    if (t->up)
        snprintf(text, sizeof(text), "Pointsman %s  http://%s  %zu worker%s  configuration %.0f",
                 pm_top_str(t->status, "version"), cJSON_IsString(listen) ? listen->valuestring : "", ready,
                 ready == 1 ? "" : "s", pm_json_num(t->status, "generation", 0));
    else
        snprintf(text, sizeof(text), "Pointsman  NOT RUNNING  %s (all below is old)", t->down_why);
    pm_box_head(b, 0, t->up ? PM_STYLE_CHOSEN : PM_STYLE_BAD, text);
    pm_box_format(b, 0, b->columns - 10, t->up ? PM_STYLE_CHOSEN : PM_STYLE_BAD, " %s", clock);
}

static int alerts_of(const struct pm_top *t)
{
    return (pm_json_str(t->status, "config_error") != NULL) +
           (pm_json_str(pm_json_get(t->status, "usage"), "error") != NULL);
}

/* Faults that somebody should mend. */
static void draw_alerts(const struct pm_top *t, const struct pm_box *b)
{
    const char *config = pm_json_str(t->status, "config_error");
    const char *usage = pm_json_str(pm_json_get(t->status, "usage"), "error");
    int row = 0;
    if (config)
        pm_box_format(b, row++, 1, PM_STYLE_BAD, "configuration not in use: %s", config);
    if (usage)
        pm_box_format(b, row++, 1, PM_STYLE_BAD, "usage is not recorded: %s", usage);
}

static void draw_model(const struct pm_top *t, const struct pm_box *b, int row, const cJSON *p, bool chosen)
{
    const char *state = pm_top_str(p, "state");
    char wait[24];
    double progress = pm_json_num(p, "progress", 0), waiting = pm_json_num(p, "waiting", 0);
    enum pm_style style = chosen ? PM_STYLE_STRONG : PM_STYLE_PLAIN;
    (void)t;
    pm_box_text(b, row, 0, style, chosen ? ">" : " ");
    pm_box_cell(b, row, 1, 22, style, pm_top_str(p, "id"));
    if (strcmp(state, "loading") == 0 && progress > 0) {
        pm_box_bar(b, row, 24, 9, progress, PM_STYLE_BUSY);
        pm_box_format(b, row, 34, PM_STYLE_BUSY, "%3.0f%%", progress * 100);
    } else {
        pm_box_format(b, row, 24, pm_top_state_style(state), "%s%s", state,
                      pm_json_true(p, "pinned") ? " pinned" : "");
    }
    if (strcmp(state, "failed") == 0) {
        pm_box_text(b, row, 40, PM_STYLE_BAD, pm_top_str(p, "reason"));
        return;
    }
    if (strcmp(state, "ready") == 0 || strcmp(state, "draining") == 0)
        pm_box_format(b, row, 40, PM_STYLE_PLAIN, "%2.0f/%-3.0f", pm_json_num(p, "leases", 0),
                      pm_json_num(p, "slots", 0));
    if (waiting > 0)
        pm_box_format(b, row, 48, PM_STYLE_BUSY, "%.0f for ~%s", waiting,
                      pm_top_seconds(pm_json_num(p, "wait_s", 0), wait));
    else if (strcmp(state, "loading") == 0)
        pm_box_format(b, row, 48, PM_STYLE_BUSY, "~%s in all",
                      pm_top_seconds(pm_json_num(p, "expected_load_ms", 0) / 1000, wait));
    if (pm_json_num(p, "output_tps", 0) > 0)
        pm_box_format(b, row, 62, PM_STYLE_PLAIN, "%6.0f t/s", pm_json_num(p, "output_tps", 0));
}

/* Those that are in use come first in the eye: the rest only where there is room. */
static int draw_models(const struct pm_top *t, const struct pm_box *b)
{
    int n = pm_top_profiles(t, false), first = 0, rows = b->rows - 1;
    pm_box_head(b, 0, PM_STYLE_HEAD, "MODELS                 STATE           SLOTS   WAITING       SPEED");
    if (!n)
        pm_box_text(b, 1, 1, PM_STYLE_DIM, t->status ? "models.conf has no local model" : "");
    if (t->chosen >= rows)
        first = t->chosen - rows + 1;
    for (int i = 0; i < rows && first + i < n; i++)
        draw_model(t, b, 1 + i, pm_top_profile(t, false, first + i), first + i == t->chosen);
    if (n > rows && rows > 0)
        pm_box_format(b, 0, b->columns - 12, PM_STYLE_HEAD, "%d of %d", t->chosen + 1, n);
    return n + 1;
}

static const char *memory(double mib, char out[24])
{
    snprintf(out, 24, mib < 10240 ? "%.0f MiB" : "%.0f GiB", mib < 10240 ? mib : mib / 1024);
    return out;
}

static void draw_meter(const struct pm_box *b, int row, const char *label, double used, double total, const char *more)
{
    char a[24], c[24];
    pm_box_format(b, row, 1, PM_STYLE_PLAIN, "%-6.6s", label);
    pm_box_bar(b, row, 8, 14, total > 0 ? used / total : 0, used > 0.95 * total ? PM_STYLE_BUSY : PM_STYLE_GOOD);
    int at = pm_box_format(b, row, 23, PM_STYLE_PLAIN, "%s of %s", memory(used, a), memory(total, c));
    pm_box_text(b, row, at + 1, PM_STYLE_DIM, more);
}

static void draw_gpu(const struct pm_box *b, int row, int i, const cJSON *g)
{
    char label[16], more[80] = "";
    size_t n = 0;
    double total = pm_json_num(g, "total_mib", 0);
    static const char *const units[][2] = {{"use_percent", "%"}, {"power_w", "W"}, {"temperature_c", "C"}};
    for (size_t u = 0; u < 3; u++)
        if (pm_json_get(g, units[u][0]) && n < sizeof(more))
            n += (size_t)snprintf(more + n, sizeof(more) - n, "%.0f%s ", pm_json_num(g, units[u][0], 0), units[u][1]);
    snprintf(label, sizeof(label), "GPU %d", i);
    draw_meter(b, row, label, total - pm_json_num(g, "free_mib", 0), total, more);
}

static int n_gpus(const struct pm_top *t)
{
    return cJSON_GetArraySize(pm_json_get(t->status, "gpus"));
}

/* With CPU and RAM. */
static int machine_rows(const struct pm_top *t)
{
    return 3 + n_gpus(t) + (pm_json_num(pm_json_get(t->status, "machine"), "swap_mib", 0) > 0);
}

static void draw_machine(const struct pm_top *t, const struct pm_box *b)
{
    const cJSON *m = pm_json_get(t->status, "machine"), *g;
    double ram = pm_json_num(m, "ram_mib", 0), swap = pm_json_num(m, "swap_mib", 0);
    int row = 1, i = 0, n = n_gpus(t), room = b->rows - machine_rows(t) + n;
    pm_box_head(b, 0, PM_STYLE_HEAD, "MACHINE");
    if (n > room)
        pm_box_format(b, 0, 10, PM_STYLE_HEAD, "%d of %d GPUs", room > 0 ? room : 0, n);
    cJSON_ArrayForEach (g, pm_json_get(t->status, "gpus"))
        if (i < room)
            draw_gpu(b, row++, i++, g);
    pm_box_text(b, row, 1, PM_STYLE_PLAIN, "CPU");
    pm_box_bar(b, row, 8, 14, pm_json_num(m, "cpu", 0), PM_STYLE_GOOD);
    pm_box_format(b, row++, 23, PM_STYLE_PLAIN, "%.0f%% of %.0f, load %.1f%s", pm_json_num(m, "cpu", 0) * 100,
                  pm_json_num(m, "cores", 0), pm_json_num(m, "load1", 0), n ? "" : "; no GPU");
    draw_meter(b, row++, "RAM", ram - pm_json_num(m, "ram_available_mib", 0), ram, "");
    if (swap > 0)
        draw_meter(b, row, "swap", swap - pm_json_num(m, "swap_free_mib", 0), swap, "");
}

static void draw_request(const struct pm_box *b, int row, const cJSON *r)
{
    char since[24], wait[40] = "", text[24];
    const char *phase = pm_top_str(r, "phase"), *route = pm_json_str(r, "route");
    bool answers = strcmp(phase, "answering") == 0;
    pm_top_seconds(pm_json_num(r, "elapsed_us", 0) / 1e6, since);
    if (pm_json_get(r, "wait_s"))
        snprintf(wait, sizeof(wait), ", about %s", pm_top_seconds(pm_json_num(r, "wait_s", 0), text));
    pm_box_format(b, row, 1, PM_STYLE_PLAIN, "%8s  %-12.12s %-20.20s", since, route ? route : "-",
                  pm_top_str(r, "target"));
    int at = pm_box_format(b, row, 46, answers ? PM_STYLE_GOOD : PM_STYLE_BUSY, "%s%s", phase, wait);
    if (pm_json_get(r, "output"))
        at = pm_box_format(b, row, 57, PM_STYLE_PLAIN, "%4.0f tokens %5.0f t/s", pm_json_num(r, "output", 0),
                           pm_json_num(r, "tps", 0));
    pm_box_format(b, row, at < 81 ? 82 : at + 1, PM_STYLE_DIM, "%s", pm_top_str(r, "reason"));
}

static int live_rows(const struct pm_top *t)
{
    int n = cJSON_GetArraySize(pm_json_get(t->live, "requests"));
    return 1 + (n ? n : 1);
}

static void draw_requests(const struct pm_top *t, const struct pm_box *b)
{
    const cJSON *r, *list = pm_json_get(t->live, "requests");
    int n = cJSON_GetArraySize(list), row = 1;
    char head[80];
    snprintf(head, sizeof(head), "REQUESTS  %d under way, %llu done, %llu of them failed", n,
             (unsigned long long)t->finished, (unsigned long long)t->failed);
    pm_box_head(b, 0, PM_STYLE_HEAD, head);
    if (!n && *t->last_done)
        pm_box_format(b, 1, 1, t->last_done_bad ? PM_STYLE_BAD : PM_STYLE_DIM, "last: %s", t->last_done);
    else if (!n)
        pm_box_text(b, 1, 1, PM_STYLE_DIM, "none");
    cJSON_ArrayForEach (r, list) {
        if (row == b->rows - 1 && n > b->rows - 1) {
            pm_box_format(b, row, 1, PM_STYLE_DIM, "and %d more", n - row + 1);
            break;
        }
        draw_request(b, row++, r);
    }
}

static enum pm_style line_style(const char *text)
{
    if (strncmp(text, "--- ", 4) == 0)
        return PM_STYLE_STRONG;
    return strstr(text, " E ") || strcasestr(text, "error") ? PM_STYLE_BAD : PM_STYLE_PLAIN;
}

static void draw_logs(const struct pm_top *t, const struct pm_box *b)
{
    size_t kept = t->n_lines < PM_TOP_LINES ? t->n_lines : PM_TOP_LINES;
    char head[200];
    int row = b->rows - 1, skip = t->scroll;
    snprintf(head, sizeof(head), "LOGS  %s%s%s%s", t->source ? t->source : "of all servers",
             *t->filter ? ", with: " : "", t->filter, t->scroll ? "  (scrolled: End goes on)" : "");
    pm_box_head(b, 0, PM_STYLE_HEAD, head);
    for (size_t i = kept; i > 0 && row > 0; i--) {
        if (!pm_top_shows(t, i - 1) || skip-- > 0)
            continue;
        size_t at = (t->n_lines - kept + i - 1) % PM_TOP_LINES;
        int column = 1;
        if (!t->source)
            column = pm_box_format(b, row, 1, PM_STYLE_DIM, "%-14.14s ", t->lines[at].profile);
        pm_box_text(b, row--, column, line_style(t->lines[at].text), t->lines[at].text);
    }
}

static void draw_keys(const struct pm_top *t, const struct pm_box *b)
{
    int row = b->rows - 1;
    pm_box_head(b, row, PM_STYLE_KEYS, "");
    if (t->types_filter)
        pm_box_format(b, row, 1, PM_STYLE_KEYS, "show lines with: %s_   (Enter keeps it, Esc shows all)", t->filter);
    else if (*t->message && pm_clock_ms() - t->said_ms < MESSAGE_MS)
        pm_box_text(b, row, 1, t->message_bad ? PM_STYLE_BAD : PM_STYLE_KEYS, t->message);
    else
        pm_box_text(b, row, 1, PM_STYLE_KEYS,
                    "m models Enter load u unload p pin Tab logs / filter ? help q leave Q stop");
}

/* Rows of each part. */
struct layout {
    bool wide;
    int alerts, models, machine, live, logs;
};

static int at_most(int n, int most)
{
    return n < most ? n : most;
}

/* Models get up to a third of the height, requests another; what is left shows logs. */
static struct layout lay_out(const struct pm_top *t, int rows, int columns)
{
    struct layout l = {.wide = columns >= WIDE, .alerts = alerts_of(t)};
    int left = rows - 2 - l.alerts, models = pm_top_profiles(t, false) + 1, third = left / 3 > 3 ? left / 3 : 3;
    l.models = at_most(models < 2 ? 2 : models, third);
    l.machine = machine_rows(t);
    if (l.wide) {
        l.machine = at_most(l.machine, left / 2 > l.models ? left / 2 : l.models);
        l.models = l.machine = l.models > l.machine ? l.models : l.machine;
        left -= l.models;
    } else {
        int room = left - l.models - 2 - LOG_ROWS_LEAST, least = l.machine - n_gpus(t);
        l.machine = at_most(l.machine, room > least ? room : least);
        left -= l.models + l.machine;
    }
    l.live = at_most(live_rows(t), left - LOG_ROWS_LEAST);
    l.live = l.live < 2 ? 2 : l.live;
    l.logs = left - l.live;
    return l;
}

int pm_top_log_rows(const struct pm_top *t, int rows, int columns)
{
    return lay_out(t, rows, columns).logs - 1;
}

void pm_top_draw(const struct pm_top *t, struct pm_screen *s)
{
    struct pm_box all = pm_box_of(s), part;
    struct layout l = lay_out(t, s->rows, s->columns);
    int row = 1;
    draw_title(t, &all);
    part = pm_box_part(&all, row, 0, l.alerts, s->columns);
    draw_alerts(t, &part);
    row += l.alerts;
    int beside = l.wide ? MACHINE_COLUMNS : 0;
    part = pm_box_part(&all, row, 0, l.models, l.wide ? s->columns - beside - 1 : s->columns);
    draw_models(t, &part);
    row += l.wide ? 0 : l.models;
    part = pm_box_part(&all, row, l.wide ? s->columns - beside : 0, l.machine, s->columns);
    draw_machine(t, &part);
    row += l.machine;
    part = pm_box_part(&all, row, 0, l.live, s->columns);
    draw_requests(t, &part);
    part = pm_box_part(&all, row + l.live, 0, l.logs, s->columns);
    draw_logs(t, &part);
    draw_keys(t, &all);
    pm_top_draw_over(t, &all);
}
