/* What `pointsman top` knows: the last events, and the log lines that came. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/cli/top_priv.h"

void pm_top_init(struct pm_top *t)
{
    *t = (struct pm_top){0};
    t->down_why = pm_strdup("connecting");
}

void pm_top_release(struct pm_top *t)
{
    cJSON_Delete(t->status);
    cJSON_Delete(t->live);
    for (size_t i = 0; i < PM_TOP_LINES; i++) {
        free(t->lines[i].profile);
        free(t->lines[i].text);
    }
    free(t->source);
    free(t->down_why);
}

void pm_top_say(struct pm_top *t, bool bad, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->message, sizeof(t->message), fmt, ap);
    va_end(ap);
    t->message_bad = bad;
    t->said_ms = pm_clock_ms();
}

static void add_line(struct pm_top *t, const char *profile, size_t profile_len, const char *text, size_t len)
{
    size_t i = t->n_lines++ % PM_TOP_LINES;
    free(t->lines[i].profile);
    free(t->lines[i].text);
    t->lines[i].profile = pm_strndup(profile, profile_len);
    t->lines[i].text = pm_strndup(text, len);
    /* Who has scrolled up keeps what he reads in sight. */
    if (t->scroll && pm_top_shows(t, t->n_lines < PM_TOP_LINES ? t->n_lines - 1 : PM_TOP_LINES - 1))
        t->scroll++;
}

static void done(struct pm_top *t, const cJSON *r)
{
    const char *target = pm_json_str(r, "target"), *model = pm_json_str(r, "model"),
               *outcome = pm_json_str(r, "outcome");
    t->last_done_bad = outcome && (strcmp(outcome, "error") == 0 || strcmp(outcome, "refused") == 0);
    t->finished++;
    t->failed += t->last_done_bad;
    snprintf(t->last_done, sizeof(t->last_done), "%s -> %s: %s, %.1f s", model ? model : "-", target ? target : "-",
             outcome ? outcome : "?", pm_json_num(r, "total_us", 0) / 1e6);
}

static void keep(cJSON **place, cJSON *event)
{
    cJSON_Delete(*place);
    *place = event;
}

void pm_top_event(struct pm_top *t, enum pm_watch kind, const char *text)
{
    const char *tab, *end;
    if (kind == PM_WATCH_LOGS) {
        for (; (tab = strchr(text, '\t')) != NULL && (end = strchr(tab, '\n')) != NULL; text = end + 1)
            add_line(t, text, (size_t)(tab - text), tab + 1, (size_t)(end - tab - 1));
        return;
    }
    cJSON *event = cJSON_Parse(text);
    const char *type = pm_json_str(event, "type");
    if (type && strcmp(type, "status") == 0) {
        keep(&t->status, event);
        return;
    }
    if (type && strcmp(type, "live") == 0) {
        keep(&t->live, event);
        return;
    }
    if (type && strcmp(type, "request") == 0)
        done(t, pm_json_get(event, "request"));
    if (type && strcmp(type, "notice") == 0) {
        const char *to = pm_json_str(event, "to"), *why = pm_json_str(event, "why"),
                   *id = pm_json_str(event, "profile");
        pm_top_say(t, strcmp(to, "failed") == 0, "%s: %s%s%s", id, to, *why ? ", " : "", why);
    }
    cJSON_Delete(event);
}

int pm_top_profiles(const struct pm_top *t, bool bench)
{
    const cJSON *p;
    int n = 0;
    cJSON_ArrayForEach (p, pm_json_get(t->status, "profiles"))
        n += pm_json_true(p, "bench") == bench;
    return n;
}

const cJSON *pm_top_profile(const struct pm_top *t, bool bench, int i)
{
    const cJSON *p;
    cJSON_ArrayForEach (p, pm_json_get(t->status, "profiles"))
        if (pm_json_true(p, "bench") == bench && i-- == 0)
            return p;
    return NULL;
}

bool pm_top_shows(const struct pm_top *t, size_t i)
{
    size_t kept = t->n_lines < PM_TOP_LINES ? t->n_lines : PM_TOP_LINES;
    if (i >= kept)
        return false;
    size_t at = (t->n_lines - kept + i) % PM_TOP_LINES;
    if (t->source && strcmp(t->lines[at].profile, t->source) != 0)
        return false;
    return !*t->filter || strcasestr(t->lines[at].text, t->filter) || strcasestr(t->lines[at].profile, t->filter);
}

void pm_top_next_source(struct pm_top *t)
{
    const cJSON *p;
    bool take = !t->source;
    char *next = NULL;
    cJSON_ArrayForEach (p, pm_json_get(t->status, "profiles")) {
        const char *id = pm_json_str(p, "id");
        bool has_lines = false;
        for (size_t i = 0; i < PM_TOP_LINES && !has_lines; i++)
            has_lines = t->lines[i].profile && strcmp(t->lines[i].profile, id) == 0;
        if (take && has_lines) {
            next = pm_strdup(id);
            break;
        }
        take |= t->source && strcmp(id, t->source) == 0;
    }
    free(t->source);
    t->source = next;
    t->scroll = 0;
}
