/* What the files of pm_records share. */
#ifndef PM_STORE_RECORDS_PRIV_H
#define PM_STORE_RECORDS_PRIV_H

#include <sqlite3.h>

#include "core/store/records.h"

/* What was said of a request that is not there yet. */
struct pm_early {
    cJSON *said;
};

enum { PM_EARLY_MAX = 64 };

struct pm_records {
    sqlite3 *db;
    sqlite3_stmt *add, *say;
    char *path;
    bool begun; /* a transaction */
    struct pm_early early[PM_EARLY_MAX];
    size_t n_early; /* ever */
};

/* PM_EIO with the database's own words and what to do about them. */
int pm_records_failed(const struct pm_records *r, struct pm_error *err);

#endif
