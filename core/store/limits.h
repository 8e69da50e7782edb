/* How much each key has used: requests and tokens of the last minute, money of this month. Shared by all workers of a
 * machine (mapped.h).
 */
#ifndef PM_STORE_LIMITS_H
#define PM_STORE_LIMITS_H

#include <stdint.h>

#include "core/base/error.h"

struct pm_limits;

struct pm_limit_rules {
    long long rpm, tpm; /* in any 60 s, 0 no limit */
    double budget;      /* in a calendar month, UTC, 0 no limit */
};

enum pm_limit { PM_LIMIT_NONE, PM_LIMIT_REQUESTS, PM_LIMIT_TOKENS, PM_LIMIT_BUDGET };

struct pm_limit_use {
    long long requests, tokens; /* of the last 60 s, this request counted when it was let through */
    double spent;
    unsigned retry_after_s; /* until the limit that was met lets one through */
};

/* Opens the file, relative to the folder `dir` (AT_FDCWD for none); makes it when it is missing or of another format.
 * NULL with `err`. */
struct pm_limits *pm_limits_open(int dir, const char *path, struct pm_error *err);
void pm_limits_free(struct pm_limits *l);

/* One more request of the key with that fingerprint (hexadecimal, 64 digits): counted unless a limit is met. `now_s`
 * is the wall clock. */
enum pm_limit pm_limits_take(struct pm_limits *l, const char *hash, const struct pm_limit_rules *rules, int64_t now_s,
                             struct pm_limit_use *use);

/* What a request has used, once that is known. */
void pm_limits_charge(struct pm_limits *l, const char *hash, int64_t now_s, long long tokens, double cost);

/* Counts nothing. */
void pm_limits_look(struct pm_limits *l, const char *hash, int64_t now_s, struct pm_limit_use *use);

/* Number of the month of a time, and what a month's use is called elsewhere. */
unsigned pm_limits_month(int64_t now_s);

#endif
