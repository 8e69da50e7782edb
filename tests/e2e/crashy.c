/* A policy for the tests: harmless, until a request holds the magic word, which crashes the
 * process that runs it. */
#include <string.h>

#include "pointsman.h"

static const struct pmp_host *host;

static int start(const struct pmp_host *h, const void *conf, void **state)
{
    (void)conf;
    (void)state;
    host = h;
    return 0;
}

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    volatile int *nowhere = NULL;
    (void)state;
    if (strstr(host->text(req, PMP_TEXT_LAST_USER, NULL), "xyzzy-crash"))
        *nowhere = 1;
    host->intent(v, "general", 0.5);
    return 0;
}

PMP_EXPORT const struct pmp_policy pmp_policy = {
    .abi = PMP_ABI,
    .size = sizeof(struct pmp_policy),
    .name = "crashy",
    .summary = "crashes on a magic word",
    .start = start,
    .judge = judge,
};
