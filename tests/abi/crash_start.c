/* A policy that is fine to load and crashes when it is started. */
#include "pointsman.h"

static int start(const struct pmp_host *host, const void *conf, void **state)
{
    volatile int *nowhere = NULL;
    (void)host;
    (void)conf;
    *state = NULL;
    return *nowhere;
}

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    (void)state;
    (void)req;
    (void)v;
    return 0;
}

PMP_EXPORT const struct pmp_policy pmp_policy = {.abi = PMP_ABI,
                                                 .size = sizeof(pmp_policy),
                                                 .name = "crash_start",
                                                 .summary = "crashes",
                                                 .start = start,
                                                 .judge = judge};
