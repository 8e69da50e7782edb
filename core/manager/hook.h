/* A command of the user's that is run at a turning point, with a limit on its time. */
#ifndef PM_MANAGER_HOOK_H
#define PM_MANAGER_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/text.h"
#include "core/loop/loop.h"

struct pm_hook;

enum { PM_HOOK_LIMIT_MS = 10000 };

/* Runs `command`, split into words as EXTRA_ARGS are, with POINTSMAN_PROFILE and POINTSMAN_EVENT in its environment,
 * without the variables that are `hidden`, and with nothing to read; what it writes goes to our own stderr. It and its
 * children are killed at the limit. `done` is called once, later; it is told in the log how it went. */
struct pm_hook *pm_hook_run(struct pm_loop *loop, const char *command, const char *profile, const char *event,
                            const struct pm_strv *hidden, uint64_t limit_ms, void (*done)(void *arg), void *arg);

/* Kills it if it still runs; `done` is not called. NULL is fine. */
void pm_hook_cancel(struct pm_hook *h);

#endif
