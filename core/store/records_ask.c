/* Questions about the requests that are over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"
#include "core/store/records_priv.h"

/* An answer goes through messages of 8 MiB at most. */
enum { LIST_USUAL = 50, LIST_MAX = 1000, LIST_BYTES = 4 << 20, ROW_BYTES = 20, ROWS_MAX = 5000 };

/* What requests can be put together by. */
static const struct {
    const char *name, *expression;
} groups[] = {{"day", "strftime('%Y-%m-%d', at/1000, 'unixepoch', 'localtime')"},
              {"hour", "strftime('%Y-%m-%d %H:00', at/1000, 'unixepoch', 'localtime')"},
              {"route", "route"},
              {"target", "target"},
              {"key", "key"},
              {"model", "model"},
              {"status", "CAST(status AS TEXT)"},
              {"outcome", "outcome"},
              {"intent", "intent"}};

enum { GROUPS = sizeof(groups) / sizeof(*groups) };

/* In the order of the sums' columns, after the name. */
#define SUMS                                                                                                          \
    "count(*), sum(outcome='error'), sum(outcome='refused'), sum(outcome='cancelled'), sum(cache_hit),"               \
    " sum(kind<>'local'), total(prompt), total(cached), total(output), total(cost),"                                  \
    " avg(first_us)/1000, avg(total_us)/1000, avg(queue_us)/1000, avg(score)"

static const char *const sums[] = {"requests", "errors", "refused", "cancelled", "cache_hits", "cloud",    "prompt",
                                   "cached",   "output", "cost",    "first_ms",  "total_ms",   "queue_ms", "score"};

enum { N_SUMS = sizeof(sums) / sizeof(*sums), ADDED_UP = 10 /* the first ones; the rest are means */ };

/* The conditions that a question names, and their values. */
struct filter {
    struct pm_buf where;
    const cJSON *words[8];
    size_t n;
    long long since, until;
};

static int read_filter(const cJSON *question, struct filter *f, struct pm_error *err)
{
    static const char *const words[] = {"route", "target", "key", "model", "outcome"};
    double since = pm_json_num(question, "since", 0), until = pm_json_num(question, "until", 9e15);
    if (!(since >= 0 && since < 9.1e15) || !(until >= 0 && until < 9.1e15))
        return pm_error_set(err, PM_EINVAL, "`since` and `until` are milliseconds since 1970");
    f->since = (long long)since;
    f->until = (long long)until;
    pm_buf_init(&f->where, 1024);
    pm_buf_addf(&f->where, " WHERE at>=%lld AND at<%lld", f->since, f->until);
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        const cJSON *value = pm_json_get(question, words[i]);
        if (!cJSON_IsString(value))
            continue;
        pm_buf_addf(&f->where, " AND %s=?", words[i]);
        f->words[f->n++] = value;
    }
    return PM_OK;
}

static sqlite3_stmt *prepare(struct pm_records *r, const char *sql, const struct filter *f, struct pm_error *err)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(r->db, sql, -1, &s, NULL) != SQLITE_OK) {
        pm_records_failed(r, err);
        return NULL;
    }
    for (size_t i = 0; f && i < f->n; i++)
        sqlite3_bind_text(s, (int)i + 1, f->words[i]->valuestring, -1, SQLITE_TRANSIENT);
    return s;
}

static void add_column(cJSON *to, const char *name, sqlite3_stmt *s, int column)
{
    switch (sqlite3_column_type(s, column)) {
    case SQLITE_NULL:
        break;
    case SQLITE_TEXT:
        cJSON_AddStringToObject(to, name, (const char *)sqlite3_column_text(s, column));
        break;
    default:
        cJSON_AddNumberToObject(to, name, sqlite3_column_double(s, column));
    }
}

static int finish(struct pm_records *r, sqlite3_stmt *s, int code, struct pm_error *err)
{
    int rc = code == SQLITE_DONE ? PM_OK : pm_records_failed(r, err);
    sqlite3_finalize(s);
    return rc;
}

/* The rows of one statement: {"name", sums}, or without a name. Of too many names those with the most requests. */
static int add_sums(struct pm_records *r, const char *name, const struct filter *f, cJSON *rows, struct pm_error *err)
{
    char *sql = name ? pm_asprintf("SELECT * FROM (SELECT %s AS name, " SUMS " FROM requests%s GROUP BY 1 "
                                   "ORDER BY count(*) DESC LIMIT %d) ORDER BY name",
                                   name, f->where.data, ROWS_MAX)
                     : pm_asprintf("SELECT NULL, " SUMS " FROM requests%s", f->where.data);
    sqlite3_stmt *s = prepare(r, sql, f, err);
    int code = SQLITE_DONE;
    free(sql);
    if (!s)
        return PM_EIO;
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        cJSON *row = cJSON_CreateObject();
        if (name && sqlite3_column_type(s, 0) == SQLITE_NULL)
            cJSON_AddNullToObject(row, "name");
        else
            add_column(row, "name", s, 0);
        for (int i = 0; i < N_SUMS; i++)
            add_column(row, sums[i], s, i + 1);
        cJSON_AddItemToArray(rows, row);
    }
    return finish(r, s, code, err);
}

static const char *expression_of(const char *by)
{
    for (size_t i = 0; i < GROUPS; i++)
        if (strcmp(groups[i].name, by) == 0)
            return groups[i].expression;
    return NULL;
}

int pm_records_check_by(const char *by, struct pm_error *err)
{
    const char *names[GROUPS];
    if (expression_of(by))
        return PM_OK;
    for (size_t i = 0; i < GROUPS; i++)
        names[i] = groups[i].name;
    const char *near = pm_nearest(by, names, GROUPS);
    return pm_error_set(
        err, PM_EINVAL,
        "requests cannot be put together by `%.40s`%s%s%s: day, hour, route, target, key, model, status, "
        "outcome, intent",
        by, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

/* Of too many names: what those have that were left out, so that the rows add up to the total. */
static void add_others(const cJSON *total, cJSON *rows)
{
    cJSON *others = cJSON_CreateObject();
    const cJSON *row;
    if (cJSON_GetArraySize(rows) < ROWS_MAX) {
        cJSON_Delete(others);
        return;
    }
    cJSON_AddNullToObject(others, "name");
    cJSON_AddTrueToObject(others, "others");
    for (size_t i = 0; i < ADDED_UP; i++) {
        double left = pm_json_num(total, sums[i], 0);
        cJSON_ArrayForEach (row, rows)
            left -= pm_json_num(row, sums[i], 0);
        cJSON_AddNumberToObject(others, sums[i], left);
    }
    cJSON_AddItemToArray(rows, others);
}

static cJSON *ask_sums(struct pm_records *r, const cJSON *question, const char *by, struct pm_error *err)
{
    const char *expression = expression_of(by);
    struct filter f = {0};
    if (pm_records_check_by(by, err) < 0)
        return NULL;
    if (read_filter(question, &f, err) < 0)
        return NULL;
    cJSON *answer = cJSON_CreateObject(), *total = cJSON_CreateArray();
    cJSON_AddStringToObject(answer, "by", by);
    int rc = add_sums(r, expression, &f, cJSON_AddArrayToObject(answer, "rows"), err);
    if (rc == PM_OK)
        rc = add_sums(r, NULL, &f, total, err);
    if (rc == PM_OK)
        cJSON_AddItemToObject(answer, "total", cJSON_DetachItemFromArray(total, 0));
    if (rc == PM_OK)
        add_others(pm_json_get(answer, "total"), cJSON_GetObjectItem(answer, "rows"));
    cJSON_Delete(total);
    pm_buf_release(&f.where);
    if (rc == PM_OK)
        return answer;
    cJSON_Delete(answer);
    return NULL;
}

/* A row as the record that it was made of. */
static cJSON *record_of(sqlite3_stmt *s)
{
    const char *text = NULL;
    cJSON *record = cJSON_CreateObject(), *item;
    for (int i = 0; i < sqlite3_column_count(s); i++) {
        const char *name = sqlite3_column_name(s, i);
        if (strcmp(name, "detail") == 0)
            text = (const char *)sqlite3_column_text(s, i);
        else if (strcmp(name, "stream") == 0 || strcmp(name, "cache_hit") == 0)
            cJSON_AddBoolToObject(record, name, sqlite3_column_int(s, i));
        else if (strcmp(name, "row") != 0)
            add_column(record, name, s, i);
    }
    cJSON *detail = text ? cJSON_Parse(text) : NULL;
    while (detail && (item = cJSON_DetachItemFromArray(detail, 0)) != NULL)
        cJSON_AddItemToObject(record, item->string, item);
    cJSON_Delete(detail);
    return record;
}

static cJSON *records_of(struct pm_records *r, sqlite3_stmt *s, long long most, struct pm_error *err)
{
    cJSON *answer = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(answer, "requests");
    sqlite3_int64 last = 0;
    long long n = 0;
    int code;
    size_t bytes = 0;
    bool full = false;
    while (!full && (code = sqlite3_step(s)) == SQLITE_ROW) {
        cJSON_AddItemToArray(list, record_of(s));
        last = sqlite3_column_int64(s, 0);
        n++;
        for (int i = 0; i < sqlite3_column_count(s); i++)
            bytes += ROW_BYTES + (size_t)sqlite3_column_bytes(s, i);
        full = bytes > LIST_BYTES;
    }
    code = full ? SQLITE_DONE : code;
    if (full || (most && n == most))
        cJSON_AddNumberToObject(answer, "before", (double)last);
    else
        cJSON_AddNullToObject(answer, "before");
    if (finish(r, s, code, err) == PM_OK)
        return answer;
    cJSON_Delete(answer);
    return NULL;
}

static cJSON *ask_list(struct pm_records *r, const cJSON *question, struct pm_error *err)
{
    struct filter f = {0};
    double n = pm_json_num(question, "list", LIST_USUAL), before = pm_json_num(question, "before", 9e15);
    if (!(n >= 1 && n <= LIST_MAX) || !(before >= 0 && before < 9.1e15)) {
        pm_error_set(err, PM_EINVAL, "a list is of 1 to %d requests, before the row that the last list told",
                     LIST_MAX);
        return NULL;
    }
    if (read_filter(question, &f, err) < 0)
        return NULL;
    char *sql = pm_asprintf("SELECT * FROM requests%s AND row<%lld ORDER BY row DESC LIMIT %lld", f.where.data,
                            (long long)before, (long long)n);
    sqlite3_stmt *s = prepare(r, sql, &f, err);
    free(sql);
    pm_buf_release(&f.where);
    return s ? records_of(r, s, (long long)n, err) : NULL;
}

static cJSON *ask_one(struct pm_records *r, const char *id, struct pm_error *err)
{
    sqlite3_stmt *s = prepare(r, "SELECT * FROM requests WHERE id=?", NULL, err);
    if (!s)
        return NULL;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_TRANSIENT);
    return records_of(r, s, 0, err);
}

cJSON *pm_records_ask(struct pm_records *r, const cJSON *question, struct pm_error *err)
{
    const char *by = pm_json_str(question, "by"), *id = pm_json_str(question, "request");
    if (id)
        return ask_one(r, id, err);
    return by ? ask_sums(r, question, by, err) : ask_list(r, question, err);
}
