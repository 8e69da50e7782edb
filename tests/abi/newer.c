/* A policy of a newer header of the same major version: its structure has grown, and so has what it asks for. */
#include "pointsman.h"

struct newer_host {
    struct pmp_host host;
    void (*later)(void);
};

static int start(const struct pmp_host *host, const void *conf, void **state)
{
    const struct newer_host *newer = (const struct newer_host *)host;
    (void)conf;
    *state = NULL;
    if (host->size >= sizeof(*newer)) {
        newer->later();
        return -1;
    }
    return 0;
}

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    (void)state;
    (void)req;
    (void)v;
    return 0;
}

struct newer_policy {
    struct pmp_policy policy;
    void (*later)(void);
    const char *texts[8];
};

PMP_EXPORT extern const struct newer_policy pmp_policy_newer __asm__("pmp_policy");
const struct newer_policy pmp_policy_newer = {
    .policy = {.abi = PMP_ABI + 1,
               .size = sizeof(struct newer_policy),
               .name = "newer",
               .summary = "has a newer structure",
               .start = start,
               .judge = judge},
    .texts = {"beyond", "the", "host"},
};
