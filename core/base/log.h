/* The log: one line an event on stderr, in logfmt (key=value, quoted where needed), one write each.
 *
 * The sink is one of the two globals of the program (the other is the signal flag in core/loop).
 */
#ifndef PM_BASE_LOG_H
#define PM_BASE_LOG_H

#include "core/base/buf.h"

enum pm_log_level { PM_LOG_DEBUG, PM_LOG_INFO, PM_LOG_WARN, PM_LOG_ERROR };

/* Who writes (`manager`, `worker`), and the least level that is written. `who` must outlive the process. */
void pm_log_init(const char *who, enum pm_log_level least);

/* `debug`, `info`, `warn` or `error`; PM_EINVAL for any other word. */
int pm_log_level_parse(const char *word, enum pm_log_level *out) PM_MUST;

void pm_log(enum pm_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A line of fields that were put together with pm_log_field. */
void pm_log_fields(enum pm_log_level level, const char *msg, const struct pm_buf *fields);

/* Appends ` key=value`, the value quoted and escaped where needed: what a client sends cannot forge a line. */
void pm_log_field(struct pm_buf *fields, const char *key, const char *value);

#endif
