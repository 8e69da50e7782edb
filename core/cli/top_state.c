/* What `pointsman top` knows: the last events, and the log lines that came. */
#include <stdarg.h>
#include <stdio.h>
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

const char *pm_top_str(const cJSON *object, const char *key)
{
    const char *text = pm_json_str(object, key);
    return text ? text : "";
}

/* Those under way are told anew only with the next tick: until then it would be in both places. */
static void no_longer_under_way(struct pm_top *t, const char *id)
{
    cJSON *r, *list = cJSON_GetObjectItemCaseSensitive(t->live, "requests");
    cJSON_ArrayForEach (r, list)
        if (id && strcmp(pm_top_str(r, "id"), id) == 0) {
            cJSON_Delete(cJSON_DetachItemViaPointer(list, r));
            return;
        }
}

/* Why it was not the one that came first: what failed on the way, or was ruled out. */
static void instead_of(const cJSON *r, char *out, size_t max)
{
    const char *first = pm_top_str(cJSON_GetArrayItem(pm_json_get(r, "plan"), 0), "target");
    const cJSON *vetoes = pm_json_get(r, "vetoes"), *veto = vetoes ? vetoes->child : NULL;
    *out = 0;
    if (*first && strcmp(first, pm_top_str(r, "target")) != 0)
        snprintf(out, max, "; %s did not answer", first);
    else if (cJSON_IsString(veto) && veto->string)
        snprintf(out, max, "; not %s: %s", veto->string, veto->valuestring);
}

static void done(struct pm_top *t, const cJSON *r)
{
    const char *target = pm_json_str(r, "target"), *model = pm_json_str(r, "model"),
               *outcome = pm_json_str(r, "outcome");
    char took[24], instead[120];
    no_longer_under_way(t, pm_json_str(r, "id"));
    instead_of(r, instead, sizeof(instead));
    t->last_done_bad = outcome && (strcmp(outcome, "error") == 0 || strcmp(outcome, "refused") == 0);
    t->finished++;
    t->failed += t->last_done_bad;
    snprintf(t->last_done, sizeof(t->last_done), "%s -> %s: %s, %s%s", model ? model : "-", target ? target : "-",
             outcome ? outcome : "?", pm_top_seconds(pm_json_num(r, "total_us", 0) / 1e6, took), instead);
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
        if (t->scroll)
            pm_top_scroll(t, 0, 1);
        return;
    }
    for (const char *feed; (feed = strchr(text, '\n')) != NULL; text = feed + 1) {
        char *line = pm_strndup(text, (size_t)(feed - text));
        pm_top_event(t, kind, line);
        free(line);
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
        const char *to = pm_top_str(event, "to"), *why = pm_top_str(event, "why"), *id = pm_top_str(event, "profile");
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

void pm_top_scroll(struct pm_top *t, int by, int log_rows)
{
    size_t kept = t->n_lines < PM_TOP_LINES ? t->n_lines : PM_TOP_LINES;
    int most = -(log_rows > 1 ? log_rows : 1);
    for (size_t i = 0; i < kept; i++)
        most += pm_top_shows(t, i);
    most = most > 0 ? most : 0;
    t->scroll += by;
    t->scroll = t->scroll < 0 ? 0 : t->scroll > most ? most : t->scroll;
}

void pm_top_next_source(struct pm_top *t)
{
    const cJSON *p;
    bool take = !t->source;
    char *next = NULL;
    cJSON_ArrayForEach (p, pm_json_get(t->status, "profiles")) {
        const char *id = pm_top_str(p, "id");
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
