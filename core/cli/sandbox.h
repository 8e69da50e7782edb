/* Running a policy's code in a child process, so that its crash can be told instead of suffered. */
#ifndef PM_CLI_SANDBOX_H
#define PM_CLI_SANDBOX_H

#include "core/base/buf.h"
#include "core/route/policies.h"

/* Calls fn in a child with an empty set of policies and a buffer; what fn wrote there is in `out` afterwards. 0 when
 * fn returned 0; else -1, with `out` holding what fn wrote, or how the child died and in which file. */
int pm_cli_in_child(int (*fn)(struct pm_policies *ps, void *arg, struct pm_buf *out), void *arg, struct pm_buf *out);

#endif
