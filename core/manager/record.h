/* Which process a profile's server is: written at start, believed at adoption only when everything agrees. */
#ifndef PM_MANAGER_RECORD_H
#define PM_MANAGER_RECORD_H

#include <sys/types.h>

#include "core/base/text.h"

/* Starts a process of its own session: stdin is the FIFO held open for both ends, stdout and stderr are appended to
 * the log. */
int pm_record_spawn(const struct pm_strv *argv, const struct pm_strv *env, const char *fifo, const char *log,
                    pid_t *pid, struct pm_error *err) PM_MUST;

/* `command` is the fingerprint of what it runs (pm_server_command). */
void pm_record_write(const char *path, pid_t pid, uint64_t command);

/* The recorded process when it still runs with this very command, else 0. One that runs with another is killed; a
 * record without a process is removed. */
pid_t pm_record_alive(const char *path, uint64_t command);

/* Ends the recorded process, if it still runs, and removes the record. */
void pm_record_end(const char *path);

#endif
