/* One small request, one whole answer: for asking a model server about itself. */
#ifndef PM_UPSTREAM_FETCH_H
#define PM_UPSTREAM_FETCH_H

#include "core/upstream/transfer.h"

struct pm_fetch;

/* Asks; calls fn once with the status (0 when there was no answer within `limit_ms`) and the body (at most 1 MiB).
 * The texts of `spec` are copied, its body too. */
struct pm_fetch *pm_fetch_start(struct pm_upstream *up, struct pm_loop *loop, const struct pm_transfer_spec *spec,
                                uint64_t limit_ms, void (*fn)(void *arg, int status, const char *body, size_t len),
                                void *arg);

/* fn is not called any more. NULL is fine. */
void pm_fetch_cancel(struct pm_fetch *f);

#endif
