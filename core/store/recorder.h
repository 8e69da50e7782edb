/* The process that writes down the requests that are over: `pointsman _recorder`, started by the manager.
 *
 * Disks may stall, be full or broken, and a file may be damaged: neither a worker nor the manager waits for one. What
 * the recorder has been sent and has not said to be safe is sent again to the next one; so it simply ends when it
 * cannot go on, with the reason.
 */
#ifndef PM_STORE_RECORDER_H
#define PM_STORE_RECORDER_H

/* Runs with the inherited channel until the manager closes it; the database is `path`. Returns the exit code. */
int pm_recorder_run(int channel_fd, const char *path);

#endif
