/* Requests that are over: one row each in a SQLite database, and questions about them.
 *
 * One process writes (core/store/recorder.h); others may read the file at the same time (WAL). What is in a record is
 * said in docs/reference.md, "Records": one JSON object a request, as the workers make it.
 */
#ifndef PM_STORE_RECORDS_H
#define PM_STORE_RECORDS_H

#include <stdint.h>

#include "core/base/json.h"

struct pm_records;

/* What is kept; 0 is no limit. */
struct pm_records_limits {
    uint64_t keep_ms;
    long long max_mib;
};

/* Opens the database to write in, and makes it where there is none. NULL: it cannot be written, is no database of
 * ours, or is damaged; the error names the file and what to do. */
struct pm_records *pm_records_open(const char *path, struct pm_error *err);

/* Opens it to read only. PM_ENOTFOUND when there is none. */
struct pm_records *pm_records_open_to_read(const char *path, struct pm_error *err);
void pm_records_free(struct pm_records *r);

/* Can it be written to? Writes something that changes nothing. */
int pm_records_try(struct pm_records *r, struct pm_error *err) PM_MUST;

/* Adds a record, or, of one that is there, what has been said of it since ({"id", "score", "label"}). It is not safe
 * before pm_records_commit. A record that came already is passed over, so that what may have been lost can be sent
 * again. PM_EINVAL: it is no record, and was passed over; PM_EIO: the database failed. */
int pm_records_add(struct pm_records *r, const char *json, size_t len, struct pm_error *err) PM_MUST;
int pm_records_commit(struct pm_records *r, struct pm_error *err) PM_MUST;

/* Removes what is older than the limits allow; at most a few thousand rows, so that it takes no long time. `more`:
 * there is more to remove. */
int pm_records_prune(struct pm_records *r, const struct pm_records_limits *limits, bool *more,
                     struct pm_error *err) PM_MUST;

/* Can sums be made by that? Else the error says by what. */
int pm_records_check_by(const char *by, struct pm_error *err) PM_MUST;

/* Answers a question; the caller deletes the answer. NULL with `err` when it cannot be understood.
 *
 *   {"by": "day|hour|route|target|key|model|status|outcome|intent", "since": ms, "until": ms}
 *       -> {"by", "rows": [{"name", sums}...], "total": {sums}}; the 5,000 names with the most requests
 *   {"list": n, "before": row, "since": ms, "until": ms, "route"|"target"|"key"|"outcome": word}
 *       -> {"requests": [record...], "before": row or null}: the newest first
 *   {"request": id} -> {"requests": [record]}
 *
 * Times are milliseconds since 1970; days and hours are the machine's local time. */
cJSON *pm_records_ask(struct pm_records *r, const cJSON *question, struct pm_error *err);

#endif
