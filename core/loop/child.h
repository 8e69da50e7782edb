/* Watching a process end, by pidfd, so that it works for adopted processes that are not our children. */
#ifndef PM_LOOP_CHILD_H
#define PM_LOOP_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/base/error.h"
#include "core/loop/loop.h"

struct pm_child;

/* As fork(2), with the handlers of signals as they were when the process began in the child: one that came before it
 * calls execve would else run ours, and wake the parent through the descriptors that both share. */
pid_t pm_child_fork(void);

/* How a process ended. An adopted process's status is not to be had: `known` is false. */
struct pm_child_end {
    bool known;
    int code; /* exit code, when signo is 0 */
    int signo;
};

/* Calls fn once when `pid` has ended; a child of ours is reaped before. NULL with `err` when there is no such
 * process. */
struct pm_child *pm_child_watch(struct pm_loop *loop, pid_t pid, void (*fn)(void *arg, const struct pm_child_end *end),
                                void *arg, struct pm_error *err);

/* Stops watching; the process goes on. NULL is fine; may be called from fn. */
void pm_child_free(struct pm_child *child);

/* Sends a signal to that very process, never to another that got its number. */
void pm_child_signal(struct pm_child *child, int signo);

/* Start time of a process in clock ticks since boot (proc_pid_stat(5), field 22), which with the pid names it
 * for ever; 0 when there is none or it is a zombie. */
unsigned long long pm_child_start_time(pid_t pid);

/* "exit code 1", "killed by signal 9 (Killed)", "ended". */
const char *pm_child_end_text(const struct pm_child_end *end, char *out, size_t size);

#endif
