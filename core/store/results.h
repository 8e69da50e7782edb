/* What `pointsman bench` has measured: STATE/bench.db, one row a cell. A cell is JSON, as core/cli/bench_priv.h says.
 */
#ifndef PM_STORE_RESULTS_H
#define PM_STORE_RESULTS_H

#include "core/base/json.h"

struct pm_results;

/* Made where there is none. NULL with `err`. */
struct pm_results *pm_results_open(const char *path, struct pm_error *err);
void pm_results_free(struct pm_results *r);

/* A new run, or, unless `fresh`, the last one of the same plan that was not finished within a day: its cells need not
 * be measured again. Its number, or 0 with `err`. */
long long pm_results_begin(struct pm_results *r, const char *plan, bool fresh, bool *resumed, struct pm_error *err);
int pm_results_add(struct pm_results *r, long long run, const char *cell, const cJSON *what,
                   struct pm_error *err) PM_MUST;
bool pm_results_has(struct pm_results *r, long long run, const char *cell);
int pm_results_finish(struct pm_results *r, long long run, struct pm_error *err) PM_MUST;

/* All cells, the oldest first, each with `run`, `at` (ms since 1970) and `cell`; the caller deletes the array. */
cJSON *pm_results_all(struct pm_results *r, struct pm_error *err);

#endif
