#include "core/store/results.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"

struct pm_results {
    sqlite3 *db;
    char *path;
};

enum { RESUME_MS = 24 * 3600 * 1000, BUSY_MS = 5000 };

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS runs(run INTEGER PRIMARY KEY, at INTEGER NOT NULL, plan TEXT NOT NULL,"
    " done INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS cells(run INTEGER NOT NULL, cell TEXT NOT NULL, at INTEGER NOT NULL, what TEXT NOT "
    "NULL,"
    " PRIMARY KEY(run, cell));";

static int failed(const struct pm_results *r, struct pm_error *err)
{
    return pm_error_set(err, PM_EIO, "%s: %s", r->path, sqlite3_errmsg(r->db));
}

struct pm_results *pm_results_open(const char *path, struct pm_error *err)
{
    struct pm_results *r = pm_calloc(1, sizeof(*r));
    r->path = pm_strdup(path);
    if (sqlite3_open(path, &r->db) == SQLITE_OK && sqlite3_busy_timeout(r->db, BUSY_MS) == SQLITE_OK &&
        sqlite3_exec(r->db, schema, NULL, NULL, NULL) == SQLITE_OK)
        return r;
    failed(r, err);
    pm_results_free(r);
    return NULL;
}

void pm_results_free(struct pm_results *r)
{
    if (!r)
        return;
    sqlite3_close(r->db);
    free(r->path);
    free(r);
}

/* NULL with `err`; `text` parameters in their order, NULL after the last. */
static sqlite3_stmt *prepare(struct pm_results *r, const char *sql, long long number, const char *a, const char *b,
                             struct pm_error *err)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(r->db, sql, -1, &s, NULL) != SQLITE_OK) {
        failed(r, err);
        return NULL;
    }
    if (strstr(sql, "?1"))
        sqlite3_bind_int64(s, 1, number);
    if (strstr(sql, "?2"))
        sqlite3_bind_text(s, 2, a, -1, SQLITE_TRANSIENT);
    if (strstr(sql, "?3"))
        sqlite3_bind_text(s, 3, b, -1, SQLITE_TRANSIENT);
    if (strstr(sql, "?4"))
        sqlite3_bind_int64(s, 4, (sqlite3_int64)pm_clock_wall_ms());
    return s;
}

static int run(struct pm_results *r, sqlite3_stmt *s, struct pm_error *err)
{
    int rc = s && sqlite3_step(s) == SQLITE_DONE ? PM_OK : PM_EIO;
    if (s && rc < 0)
        failed(r, err);
    sqlite3_finalize(s);
    return rc;
}

long long pm_results_begin(struct pm_results *r, const char *plan, bool fresh, bool *resumed, struct pm_error *err)
{
    long long found = 0;
    *resumed = false;
    sqlite3_stmt *s = prepare(r, "SELECT run FROM runs WHERE done=0 AND at>?1 AND plan=?2 ORDER BY run DESC LIMIT 1",
                              (long long)pm_clock_wall_ms() - RESUME_MS, plan, NULL, err);
    if (s && !fresh && sqlite3_step(s) == SQLITE_ROW)
        found = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    *resumed = found > 0;
    if (found || !s)
        return found;
    s = prepare(r, "INSERT INTO runs(at, plan, done) VALUES(?4, ?2, 0)", 0, plan, NULL, err);
    return run(r, s, err) == PM_OK ? sqlite3_last_insert_rowid(r->db) : 0;
}

int pm_results_add(struct pm_results *r, long long number, const char *cell, const cJSON *what, struct pm_error *err)
{
    char *text = pm_json_text(what);
    int rc = run(r,
                 prepare(r, "INSERT OR REPLACE INTO cells(run, cell, what, at) VALUES(?1, ?2, ?3, ?4)", number, cell,
                         text, err),
                 err);
    free(text);
    return rc;
}

bool pm_results_has(struct pm_results *r, long long number, const char *cell)
{
    sqlite3_stmt *s = prepare(r, "SELECT 1 FROM cells WHERE run=?1 AND cell=?2", number, cell, NULL, NULL);
    bool there = s && sqlite3_step(s) == SQLITE_ROW;
    sqlite3_finalize(s);
    return there;
}

int pm_results_finish(struct pm_results *r, long long number, struct pm_error *err)
{
    return run(r, prepare(r, "UPDATE runs SET done=1 WHERE run=?1", number, NULL, NULL, err), err);
}

cJSON *pm_results_all(struct pm_results *r, struct pm_error *err)
{
    cJSON *list = cJSON_CreateArray();
    sqlite3_stmt *s = prepare(r, "SELECT run, cell, at, what FROM cells ORDER BY at", 0, NULL, NULL, err);
    int code = SQLITE_DONE;
    while (s && (code = sqlite3_step(s)) == SQLITE_ROW) {
        cJSON *cell = cJSON_Parse((const char *)sqlite3_column_text(s, 3));
        if (!cell)
            continue;
        cJSON_AddNumberToObject(cell, "run", (double)sqlite3_column_int64(s, 0));
        cJSON_AddStringToObject(cell, "cell", (const char *)sqlite3_column_text(s, 1));
        cJSON_AddNumberToObject(cell, "at", (double)sqlite3_column_int64(s, 2));
        cJSON_AddItemToArray(list, cell);
    }
    bool good = s && code == SQLITE_DONE;
    if (s && !good)
        failed(r, err);
    sqlite3_finalize(s);
    if (good)
        return list;
    cJSON_Delete(list);
    return NULL;
}
