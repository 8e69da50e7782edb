/* What the files of pm_records share. */
#ifndef PM_STORE_RECORDS_PRIV_H
#define PM_STORE_RECORDS_PRIV_H

#include <sqlite3.h>

#include "core/store/records.h"

struct pm_records {
    sqlite3 *db;
    sqlite3_stmt *add, *say;
    char *path;
    bool begun; /* a transaction */
};

/* PM_EIO with the database's own words and what to do about them. */
int pm_records_failed(const struct pm_records *r, struct pm_error *err);

#endif
