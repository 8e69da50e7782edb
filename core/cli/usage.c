/* `pointsman usage`: what has been used, by whom and for what. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/cli/cli.h"
#include "core/cli/options.h"
#include "core/cli/talk.h"
#include "core/store/records.h"

static const char usage_line[] = "usage [--by day|hour|route|target|key|model|status|outcome|intent] [--since WHEN] "
                                 "[--until WHEN] [--requests N] [--json | --csv] [--state DIR]";

/* `7d` is seven days ago; a day is its first moment, here. */
static int parse_when(const char *text, double *ms, struct pm_error *err)
{
    struct tm t = {.tm_isdst = -1};
    uint64_t ago;
    if (pm_duration_parse(text, &ago) == PM_OK && strspn(text, "0123456789.") != strlen(text)) {
        *ms = (double)(pm_clock_wall_ms() - ago);
        return PM_OK;
    }
    const char *end = strptime(text, "%Y-%m-%d", &t);
    if (end && *end == ' ')
        end = strptime(end + 1, "%H:%M", &t);
    struct tm asked = t;
    double at = end && !*end ? (double)mktime(&t) : -1;
    /* mktime() makes a 3rd of March of a 31st of February. */
    if (at < 0 || asked.tm_mday != t.tm_mday || asked.tm_mon != t.tm_mon)
        return pm_error_set(err, PM_EINVAL, "%s: a time is 7d (so long ago), 2026-01-31 or \"2026-01-31 18:00\"",
                            text);
    *ms = at * 1000;
    return PM_OK;
}

cJSON *pm_cli_records(const char *state, cJSON *question, struct pm_error *err)
{
    char *path = pm_asprintf("%s/usage.db", state), *text = pm_json_text(question);
    cJSON_AddStringToObject(question, "op", "usage");
    cJSON *reply = pm_cli_ask(state, question, err), *answer = NULL, *again = cJSON_Parse(text);
    if (reply) {
        answer = cJSON_DetachItemFromObject(reply, "usage");
        cJSON_Delete(reply);
    } else if (err->code == PM_ENOTFOUND) {
        /* Nobody runs: the file is there all the same. */
        struct pm_records *r = pm_records_open_to_read(path, err);
        answer = r ? pm_records_ask(r, again, err) : NULL;
        pm_records_free(r);
    }
    cJSON_Delete(again);
    free(text);
    free(path);
    return answer;
}

/* --- for people --- */

/* 1234567 as 1.23M: columns that can be compared at a glance. */
static const char *short_number(double n, char out[16])
{
    static const char units[] = " kMGT";
    int unit = 0;
    while (fabs(n) >= 9999.5 && unit < 4) {
        n /= 1000;
        unit++;
    }
    if (unit)
        snprintf(out, 16, "%.*f%c", n < 99.95 ? 1 : 0, n, units[unit]);
    else
        snprintf(out, 16, "%.0f", n);
    return out;
}

static const char *milliseconds(const cJSON *row, const char *key, char out[16])
{
    double ms = pm_json_num(row, key, -1);
    if (ms < 0)
        snprintf(out, 16, "-");
    else
        snprintf(out, 16, ms < 9999.5 ? "%.0f ms" : "%.1f s", ms < 9999.5 ? ms : ms / 1000);
    return out;
}

/* Clients choose names: nothing of them may move the cursor. */
static const char *harmless(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (; text && text[n] && n + 1 < size; n++) {
        unsigned char here = (unsigned char)text[n], next = (unsigned char)text[n + 1];
        /* C0, DEL, and C1 in UTF-8: some terminals take U+009B for the beginning of a command. */
        bool c1 = here == 0xc2 && next >= 0x80 && next < 0xa0;
        out[n] = (char)(here < ' ' || here == 127 || c1 ? '?' : here);
        if (c1 && n + 2 < size)
            out[++n] = '?';
    }
    out[n] = 0;
    return out;
}

static void print_row(const char *title, const cJSON *row)
{
    char name[256];
    harmless(title, name, sizeof(name));
    char a[7][16];
    double failed = pm_json_num(row, "errors", 0);
    double prompt = pm_json_num(row, "prompt", 0), cached = pm_json_num(row, "cached", 0);
    char part[16] = "-", score[16] = "-", cost[16] = "-";
    if (prompt > 0)
        snprintf(part, sizeof(part), "%.0f%%", 100 * cached / prompt);
    if (pm_json_get(row, "score"))
        snprintf(score, sizeof(score), "%.2f", pm_json_num(row, "score", 0));
    if (pm_json_num(row, "cost", 0) > 0)
        snprintf(cost, sizeof(cost), "%.4f", pm_json_num(row, "cost", 0));
    printf("%-26.60s %8s %6s %6s %8s %7s %8s %10s %9s %9s %6s\n", name,
           short_number(pm_json_num(row, "requests", 0), a[0]), short_number(failed, a[1]),
           short_number(pm_json_num(row, "cancelled", 0), a[2]), short_number(prompt, a[3]), part,
           short_number(pm_json_num(row, "output", 0), a[4]), cost, milliseconds(row, "first_ms", a[5]),
           milliseconds(row, "total_ms", a[6]), score);
}

static void print_sums(const cJSON *answer)
{
    const cJSON *row, *rows = pm_json_get(answer, "rows");
    char title[32];
    snprintf(title, sizeof(title), "%s", pm_json_str(answer, "by"));
    for (char *p = title; *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
    if (!cJSON_GetArraySize(rows)) {
        puts("nothing was recorded in that time");
        return;
    }
    printf("%-26s %8s %6s %6s %8s %7s %8s %10s %9s %9s %6s\n", title, "REQUESTS", "ERRORS", "LEFT", "PROMPT", "CACHED",
           "OUTPUT", "COST", "FIRST", "TOTAL", "SCORE");
    cJSON_ArrayForEach (row, rows) {
        const char *name = pm_json_str(row, "name");
        print_row(name ? name : pm_json_true(row, "others") ? "(all others)" : "(none)", row);
    }
    print_row("all", pm_json_get(answer, "total"));
}

static void print_requests(const cJSON *answer)
{
    const cJSON *r;
    printf("%-19s %-20s %-9s %-12s %-20s %6s %7s %7s %9s  %s\n", "TIME", "REQUEST", "OUTCOME", "ROUTE", "TARGET",
           "STATUS", "PROMPT", "OUTPUT", "TOTAL", "WHY");
    cJSON_ArrayForEach (r, pm_json_get(answer, "requests")) {
        time_t at = (time_t)(pm_json_num(r, "at", 0) / 1000);
        const char *route = pm_json_str(r, "route"), *target = pm_json_str(r, "target"),
                   *why = pm_json_str(r, "reason");
        char when[32], total[16], words[300];
        struct tm t;
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime_r(&at, &t));
        double us = pm_json_num(r, "total_us", 0);
        snprintf(total, sizeof(total), us < 9999500 ? "%.0f ms" : "%.1f s", us < 9999500 ? us / 1e3 : us / 1e6);
        printf("%-19s %-20s %-9s %-12s %-20s %6.0f %7.0f %7.0f %9s  %s\n", when, pm_json_str(r, "id"),
               pm_json_str(r, "outcome"), route ? route : "-", target ? target : "-", pm_json_num(r, "status", 0),
               pm_json_num(r, "prompt", 0), pm_json_num(r, "output", 0), total, harmless(why, words, sizeof(words)));
    }
}

/* --- for spreadsheets (RFC 4180) --- */

static void print_cell(const cJSON *value, bool first)
{
    if (!first)
        putchar(',');
    if (cJSON_IsNumber(value)) {
        printf("%.15g", value->valuedouble);
    } else if (cJSON_IsBool(value)) {
        fputs(cJSON_IsTrue(value) ? "true" : "false", stdout);
    } else if (cJSON_IsString(value)) {
        putchar('"');
        for (const char *p = value->valuestring; *p; p++)
            fputs(*p == '"' ? "\"\"" : (char[]){*p, 0}, stdout);
        putchar('"');
    }
}

static void print_csv(const cJSON *rows, const char *const *columns, size_t n)
{
    const cJSON *row;
    for (size_t i = 0; i < n; i++)
        printf("%s%s", i ? "," : "", columns[i]);
    fputs("\r\n", stdout);
    cJSON_ArrayForEach (row, rows) {
        for (size_t i = 0; i < n; i++)
            print_cell(pm_json_get(row, columns[i]), i == 0);
        fputs("\r\n", stdout);
    }
}

static void print_answer_csv(const cJSON *answer)
{
    static const char *const sums[] = {"name",       "requests", "errors",   "refused",  "cancelled",
                                       "cache_hits", "cloud",    "prompt",   "cached",   "output",
                                       "cost",       "first_ms", "total_ms", "queue_ms", "score"};
    static const char *const record[] = {
        "at",     "id",       "outcome", "status",    "key",      "path",       "model",   "route",   "target",
        "kind",   "attempts", "stream",  "cache_hit", "total_us", "queue_us",   "load_us", "sent_us", "first_us",
        "prompt", "cached",   "output",  "cost",      "intent",   "complexity", "reason",  "score",   "label"};
    if (pm_json_get(answer, "rows"))
        print_csv(pm_json_get(answer, "rows"), sums, sizeof(sums) / sizeof(*sums));
    else
        print_csv(pm_json_get(answer, "requests"), record, sizeof(record) / sizeof(*record));
}

static int ask_question(const char *by, const char *since, const char *until, const char *requests, cJSON *question,
                        struct pm_error *err)
{
    double ms;
    long long n;
    int rc = PM_OK;
    if (requests && pm_int_parse(requests, 1, 1000, &n) < 0)
        return pm_error_set(err, PM_EINVAL, "--requests %s: a number from 1 to 1000", requests);
    if (requests)
        cJSON_AddNumberToObject(question, "list", (double)n);
    else
        cJSON_AddStringToObject(question, "by", by);
    if (pm_records_check_by(by, err) < 0)
        return PM_EINVAL;
    if (since && (rc = parse_when(since, &ms, err)) == PM_OK)
        cJSON_AddNumberToObject(question, "since", ms);
    if (until && rc == PM_OK && (rc = parse_when(until, &ms, err)) == PM_OK)
        cJSON_AddNumberToObject(question, "until", ms);
    return rc;
}

int pm_cmd_usage(int argc, char **argv)
{
    const char *state = pm_cli_places()->state, *by = "day", *since = NULL, *until = NULL, *requests = NULL;
    bool json = false, csv = false;
    const struct pm_cli_option options[] = {
        {"--by", &by, NULL, "what to add up by (day)"},
        {"--since", &since, NULL, "from then on: 7d (so long ago), 2026-01-31 or \"2026-01-31 18:00\""},
        {"--until", &until, NULL, "up to then"},
        {"--requests", &requests, NULL, "the last N requests instead of sums"},
        {"--json", NULL, &json, "one document for programs"},
        {"--csv", NULL, &csv, "rows for spreadsheets"},
        {"--state", &state, NULL, "the state folder of the gateway, which need not run"},
        {0}};
    struct pm_error err = {0};
    int words, rc = pm_cli_parse(usage_line, options, argc, argv, &words);
    if (rc >= 0)
        return rc;
    if (words || (json && csv)) {
        fprintf(stderr, "usage: pointsman %s\n", usage_line);
        return 2;
    }
    cJSON *question = cJSON_CreateObject();
    if (ask_question(by, since, until, requests, question, &err) < 0) {
        cJSON_Delete(question);
        pm_cli_failed(&err);
        return 2;
    }
    cJSON *answer = pm_cli_records(state, question, &err);
    if (!answer)
        return pm_cli_failed(&err);
    if (json)
        pm_cli_print_json(answer);
    else if (csv)
        print_answer_csv(answer);
    else if (requests)
        print_requests(answer);
    else
        print_sums(answer);
    cJSON_Delete(answer);
    return 0;
}
