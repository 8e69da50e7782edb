/* Counters and histograms by name and labels, and their Prometheus text (exposition format 0.0.4).
 *
 * Workers count and hand increments on as lines of text; the manager adds them up, so that the sums survive a
 * worker's death. The table of names, kinds and help texts is in metrics.c.
 */
#ifndef PM_BASE_METRICS_H
#define PM_BASE_METRICS_H

#include <stdbool.h>

#include "core/base/buf.h"

struct pm_metrics;

struct pm_metrics *pm_metrics_new(void);
void pm_metrics_free(struct pm_metrics *m);

/* Adds to a counter. `labels` is `a="b",c="d"` or "". New series beyond a cap are dropped. */
void pm_metrics_add(struct pm_metrics *m, const char *name, const char *labels, double value);

/* Sets a gauge. */
void pm_metrics_set(struct pm_metrics *m, const char *name, const char *labels, double value);

/* Counts an observation into a histogram's buckets, sum and count. */
void pm_metrics_observe(struct pm_metrics *m, const char *name, const char *labels, double value);

/* Appends `label="value"` with the value escaped, a comma before it when `labels` is not empty. */
void pm_metrics_label(struct pm_buf *labels, const char *label, const char *value);

/* Moves all counts out as lines `name{labels} value` (a histogram's buckets behind its sum), leaving zeros; false when
 * there were none. */
bool pm_metrics_drain(struct pm_metrics *m, struct pm_buf *out);

/* Adds what pm_metrics_drain wrote. Malformed lines are passed over. */
void pm_metrics_merge(struct pm_metrics *m, const char *lines);

/* A gauge is in it only if it was set since the last text. */
void pm_metrics_text(struct pm_metrics *m, struct pm_buf *out);

#endif
