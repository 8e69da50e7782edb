/* A policy for the tests that steers every request by one intent. What goes wrong is chosen when
 * it is compiled: INTENT, WRONG_ABI, NO_SYMBOL, CRASH_IN_START, FAIL_IN_START. */
#include <stddef.h>

#include "pointsman.h"

#ifndef INTENT
#define INTENT "general"
#endif
#ifdef WRONG_ABI
#define ABI ((PMP_ABI_MAJOR + 41u) << 16)
#else
#define ABI PMP_ABI
#endif
#ifdef NO_SYMBOL
#define SYMBOL pmp_policy_under_another_name
#else
#define SYMBOL pmp_policy
#endif

static const struct pmp_host *host;

static int start(const struct pmp_host *h, const void *conf, void **state)
{
    (void)conf;
    (void)state;
    host = h;
#ifdef CRASH_IN_START
    volatile int *nowhere = NULL;
    *nowhere = 1;
#endif
#ifdef FAIL_IN_START
    h->fail(h, NULL, "it was compiled to fail");
    return -1;
#endif
    return 0;
}

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    (void)state;
    (void)req;
    host->intent(v, INTENT, 1.0);
    host->reason(v, "steered to " INTENT);
    return 0;
}

PMP_EXPORT const struct pmp_policy SYMBOL = {
    .abi = ABI,
    .size = sizeof(struct pmp_policy),
    .name = "steer",
    .summary = "one intent for everything",
    .start = start,
    .judge = judge,
};
