#include "core/store/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/store/records_priv.h"

enum { FORMAT = 1, BUSY_MS = 2000, PRUNE_ROWS = 4000, PRUNE_PAGES = 4000 };

/* Times are microseconds from the request's first byte; NULL is "it did not come to that". */
static const char schema[] =
    "PRAGMA auto_vacuum=INCREMENTAL;"
    "BEGIN;"
    "CREATE TABLE requests("
    " row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, key TEXT, path TEXT NOT NULL,"
    " model TEXT, route TEXT, target TEXT, kind TEXT, status INTEGER NOT NULL, outcome TEXT NOT NULL,"
    " attempts INTEGER NOT NULL, stream INTEGER NOT NULL, cache_hit INTEGER NOT NULL,"
    " total_us INTEGER NOT NULL, queue_us INTEGER, load_us INTEGER, sent_us INTEGER, first_us INTEGER,"
    " prompt INTEGER, cached INTEGER, output INTEGER, cost REAL, intent TEXT, complexity REAL, reason TEXT,"
    " score REAL, label TEXT, detail TEXT);"
    "CREATE INDEX requests_at ON requests(at);"
    "PRAGMA user_version=1;"
    "COMMIT;";

/* In the order of the statement's parameters; a detail is whatever else a record has. */
static const struct {
    const char *name;
    enum { TEXT, WHOLE, REAL, FLAG } type;
    bool needed;
} columns[] = {
    {"id", TEXT, true},        {"at", WHOLE, true},        {"key", TEXT, false},       {"path", TEXT, true},
    {"model", TEXT, false},    {"route", TEXT, false},     {"target", TEXT, false},    {"kind", TEXT, false},
    {"status", WHOLE, true},   {"outcome", TEXT, true},    {"attempts", WHOLE, true},  {"stream", FLAG, true},
    {"cache_hit", FLAG, true}, {"total_us", WHOLE, true},  {"queue_us", WHOLE, false}, {"load_us", WHOLE, false},
    {"sent_us", WHOLE, false}, {"first_us", WHOLE, false}, {"prompt", WHOLE, false},   {"cached", WHOLE, false},
    {"output", WHOLE, false},  {"cost", REAL, false},      {"intent", TEXT, false},    {"complexity", REAL, false},
    {"reason", TEXT, false}};

enum { COLUMNS = sizeof(columns) / sizeof(*columns) };

int pm_records_failed(const struct pm_records *r, struct pm_error *err)
{
    int code = sqlite3_errcode(r->db) & 0xff;
    const char *advice = code == SQLITE_FULL ? ": make room on that disk"
                         : code == SQLITE_CORRUPT || code == SQLITE_NOTADB
                             ? ": move the file away, and a new one is begun"
                             : "";
    return pm_error_set(err, PM_EIO, "%s: %s%s", r->path, sqlite3_errmsg(r->db), advice);
}

static int run(struct pm_records *r, const char *sql, struct pm_error *err)
{
    return sqlite3_exec(r->db, sql, NULL, NULL, NULL) == SQLITE_OK ? PM_OK : pm_records_failed(r, err);
}

static int number_of(struct pm_records *r, const char *sql, long long *out, struct pm_error *err)
{
    sqlite3_stmt *s = NULL;
    int rc = PM_OK;
    if (sqlite3_prepare_v2(r->db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
        rc = pm_records_failed(r, err);
    else
        *out = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return rc;
}

static int check_format(struct pm_records *r, bool write, struct pm_error *err)
{
    long long format = 0, tables = 0;
    int rc = number_of(r, "PRAGMA user_version", &format, err);
    if (rc == PM_OK)
        rc = number_of(r, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (rc < 0)
        return rc;
    if (format == 0 && tables == 0 && write)
        return run(r, schema, err);
    if (format != FORMAT)
        return pm_error_set(err, PM_EINVAL,
                            "%s: not a usage database of this version (its format is %lld, not %d): %s", r->path,
                            format, FORMAT, "move it away, and a new one is begun");
    return PM_OK;
}

static int prepare(struct pm_records *r, struct pm_error *err)
{
    struct pm_buf sql;
    pm_buf_init(&sql, 4096);
    pm_buf_add(&sql, "INSERT OR IGNORE INTO requests(");
    for (size_t i = 0; i < COLUMNS; i++)
        pm_buf_addf(&sql, "%s,", columns[i].name);
    pm_buf_add(&sql, "detail) VALUES(");
    for (size_t i = 0; i < COLUMNS; i++)
        pm_buf_add(&sql, "?,");
    pm_buf_add(&sql, "?)");
    static const char say[] = "UPDATE requests SET score=?2, label=?3 WHERE id=?1 AND (key IS NULL OR key=?4 OR ?5)";
    int rc = PM_OK;
    if (sqlite3_prepare_v2(r->db, sql.data, -1, &r->add, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(r->db, say, -1, &r->say, NULL) != SQLITE_OK)
        rc = pm_records_failed(r, err);
    pm_buf_release(&sql);
    return rc;
}

static struct pm_records *open_database(const char *path, int flags, struct pm_error *err)
{
    struct pm_records *r = pm_calloc(1, sizeof(*r));
    bool write = flags & SQLITE_OPEN_READWRITE;
    r->path = pm_strdup(path);
    int rc = PM_OK, code = sqlite3_open_v2(path, &r->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_CANTOPEN && !write)
        rc = pm_error_set(err, PM_ENOTFOUND, "%s: nothing has been recorded there", path);
    else if (code != SQLITE_OK)
        rc = pm_records_failed(r, err);
    if (rc == PM_OK) {
        sqlite3_busy_timeout(r->db, BUSY_MS);
        rc = check_format(r, write, err);
    }
    /* A commit is on the disk when it returns: they are few, and nobody waits for them. */
    if (rc == PM_OK && write)
        rc = run(r, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;", err);
    if (rc == PM_OK && write)
        rc = prepare(r, err);
    if (rc == PM_OK)
        return r;
    pm_records_free(r);
    return NULL;
}

struct pm_records *pm_records_open(const char *path, struct pm_error *err)
{
    return open_database(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err);
}

struct pm_records *pm_records_open_to_read(const char *path, struct pm_error *err)
{
    return open_database(path, SQLITE_OPEN_READONLY, err);
}

void pm_records_free(struct pm_records *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < PM_EARLY_MAX; i++)
        cJSON_Delete(r->early[i].said);
    sqlite3_finalize(r->add);
    sqlite3_finalize(r->say);
    sqlite3_close(r->db);
    free(r->path);
    free(r);
}

int pm_records_try(struct pm_records *r, struct pm_error *err)
{
    int rc = run(r, "BEGIN IMMEDIATE; PRAGMA user_version=1; COMMIT;", err);
    if (rc < 0)
        sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* --- adding --- */

static int bind(sqlite3_stmt *s, int at, const cJSON *value, int type)
{
    if (type == TEXT && cJSON_IsString(value))
        return sqlite3_bind_text(s, at, value->valuestring, -1, SQLITE_TRANSIENT);
    if (type == WHOLE && cJSON_IsNumber(value))
        return sqlite3_bind_int64(s, at, (sqlite3_int64)value->valuedouble);
    if (type == REAL && cJSON_IsNumber(value))
        return sqlite3_bind_double(s, at, value->valuedouble);
    if (type == FLAG)
        return sqlite3_bind_int(s, at, cJSON_IsTrue(value));
    return sqlite3_bind_null(s, at);
}

static int step(struct pm_records *r, sqlite3_stmt *s, struct pm_error *err)
{
    int rc = sqlite3_step(s) == SQLITE_DONE ? PM_OK : pm_records_failed(r, err);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return rc;
}

static int begin(struct pm_records *r, struct pm_error *err)
{
    int rc = r->begun ? PM_OK : run(r, "BEGIN IMMEDIATE", err);
    r->begun |= rc == PM_OK;
    return rc;
}

/* Another worker may tell of feedback before the one that answered tells of the request. */
static void keep_early(struct pm_records *r, const cJSON *said)
{
    struct pm_early *early = &r->early[r->n_early++ % PM_EARLY_MAX];
    cJSON_Delete(early->said);
    early->said = cJSON_Duplicate(said, true);
}

static int add_said(struct pm_records *r, const cJSON *said, struct pm_error *err)
{
    if (!pm_json_str(said, "id"))
        return pm_error_set(err, PM_EINVAL, "feedback without `id`");
    bind(r->say, 1, pm_json_get(said, "id"), TEXT);
    bind(r->say, 2, pm_json_get(said, "score"), REAL);
    bind(r->say, 3, pm_json_get(said, "label"), TEXT);
    bind(r->say, 4, pm_json_get(said, "key"), TEXT);
    bind(r->say, 5, pm_json_get(said, "admin"), FLAG);
    int rc = step(r, r->say, err);
    if (rc == PM_OK && sqlite3_changes(r->db) == 0)
        keep_early(r, said);
    return rc;
}

static int add_early(struct pm_records *r, const char *id, struct pm_error *err)
{
    for (size_t i = 0; i < PM_EARLY_MAX; i++) {
        cJSON *said = r->early[i].said;
        if (!said || strcmp(pm_json_str(said, "id"), id) != 0)
            continue;
        r->early[i].said = NULL;
        int rc = add_said(r, said, err);
        cJSON_Delete(said);
        return rc;
    }
    return PM_OK;
}

/* Moves the columns out of `record`; what is left is its detail. */
static int add_request(struct pm_records *r, cJSON *record, struct pm_error *err)
{
    char *id = pm_strdup(pm_json_str(record, "id"));
    for (size_t i = 0; i < COLUMNS; i++) {
        cJSON *value = cJSON_DetachItemFromObjectCaseSensitive(record, columns[i].name);
        if (!value && columns[i].needed) {
            sqlite3_clear_bindings(r->add);
            free(id);
            return pm_error_set(err, PM_EINVAL, "a record without `%s`", columns[i].name);
        }
        bind(r->add, (int)i + 1, value, columns[i].type);
        cJSON_Delete(value);
    }
    char *detail = record->child ? pm_json_text(record) : NULL;
    if (detail)
        sqlite3_bind_text(r->add, COLUMNS + 1, detail, -1, SQLITE_TRANSIENT);
    free(detail);
    int rc = step(r, r->add, err);
    if (rc == PM_OK && r->n_early)
        rc = add_early(r, id, err);
    free(id);
    return rc;
}

int pm_records_add(struct pm_records *r, const char *json, size_t len, struct pm_error *err)
{
    cJSON *record = cJSON_ParseWithLength(json, len);
    int rc;
    if (!cJSON_IsObject(record))
        rc = pm_error_set(err, PM_EINVAL, "a record that is no JSON object");
    else if ((rc = begin(r, err)) == PM_OK)
        rc = pm_json_get(record, "score") ? add_said(r, record, err) : add_request(r, record, err);
    cJSON_Delete(record);
    return rc;
}

int pm_records_commit(struct pm_records *r, struct pm_error *err)
{
    if (!r->begun)
        return PM_OK;
    int rc = run(r, "COMMIT", err);
    if (rc < 0)
        sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
    r->begun = false;
    return rc;
}

/* --- keeping it small --- */

static int remove_rows(struct pm_records *r, const char *where, bool *more, struct pm_error *err)
{
    char *sql =
        pm_asprintf("DELETE FROM requests WHERE row IN (SELECT row FROM requests %s LIMIT %d)", where, PRUNE_ROWS);
    int rc = run(r, sql, err);
    *more |= rc == PM_OK && sqlite3_changes(r->db) == PRUNE_ROWS;
    free(sql);
    return rc;
}

static int size_in_use(struct pm_records *r, long long *bytes, struct pm_error *err)
{
    long long pages, unused, size;
    int rc = number_of(r, "PRAGMA page_count", &pages, err);
    if (rc == PM_OK)
        rc = number_of(r, "PRAGMA freelist_count", &unused, err);
    if (rc == PM_OK)
        rc = number_of(r, "PRAGMA page_size", &size, err);
    if (rc == PM_OK)
        *bytes = (pages - unused) * size;
    return rc;
}

int pm_records_prune(struct pm_records *r, const struct pm_records_limits *limits, bool *more, struct pm_error *err)
{
    long long bytes = 0;
    int rc = begin(r, err);
    *more = false;
    if (rc == PM_OK && limits->keep_ms) {
        char *where = pm_asprintf("WHERE at < %lld", (long long)pm_clock_wall_ms() - (long long)limits->keep_ms);
        rc = remove_rows(r, where, more, err);
        free(where);
    }
    if (rc == PM_OK && limits->max_mib && (rc = size_in_use(r, &bytes, err)) == PM_OK &&
        bytes > limits->max_mib << 20) {
        rc = remove_rows(r, "ORDER BY at", more, err);
        *more = rc == PM_OK;
    }
    if (rc == PM_OK)
        rc = pm_records_commit(r, err);
    if (rc < 0)
        return rc;
    char *vacuum = pm_asprintf("PRAGMA incremental_vacuum(%d)", PRUNE_PAGES);
    rc = run(r, vacuum, err);
    free(vacuum);
    return rc;
}
