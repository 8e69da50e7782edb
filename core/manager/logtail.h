/* A server's log file, followed as it grows.
 *
 * Servers write into a file, not a pipe, so that they live on when the manager dies. The last lines are kept for
 * people and for the cause of a failure; the file is emptied when it grows past a limit.
 */
#ifndef PM_MANAGER_LOGTAIL_H
#define PM_MANAGER_LOGTAIL_H

#include "core/base/buf.h"
#include "core/loop/loop.h"

struct pm_logtail;

/* Follows `path`, which exists, from its start or from its end. fn gets each whole line without its end; what stood
 * there before is only kept, for pm_logtail_last. */
struct pm_logtail *pm_logtail_new(struct pm_loop *loop, const char *path, bool from_end,
                                  void (*fn)(void *arg, const char *line), void *arg);
void pm_logtail_free(struct pm_logtail *tail);

/* Reads what has come since the last event: before a cause of death is looked for. */
void pm_logtail_catch_up(struct pm_logtail *tail);

/* The last `n` lines, oldest first, each with its line feed. */
void pm_logtail_last(const struct pm_logtail *tail, size_t n, struct pm_buf *out);

/* The line that most likely tells why the server ended, or NULL; with `any` the last line when none looks like it. */
const char *pm_logtail_cause(const struct pm_logtail *tail, bool any);

/* Do the last lines say that there was not enough memory (of the machine or of a device)? */
bool pm_logtail_says_oom(const struct pm_logtail *tail);

/* Does the line say so? */
bool pm_log_line_says_oom(const char *line);

#endif
