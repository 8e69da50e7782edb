/* A policy of an older header, whose structure ended with `judge`. Behind it stands what must not be read. */
#include "pointsman.h"

static int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    (void)state;
    (void)req;
    (void)v;
    return 0;
}

struct old_policy {
    uint32_t abi, size;
    const char *name, *summary;
    const struct pmp_option *options;
    size_t conf_size;
    int (*start)(const struct pmp_host *host, const void *conf, void **state);
    int (*judge)(void *state, const struct pmp_request *req, struct pmp_verdict *v);
};

_Static_assert(sizeof(struct old_policy) == offsetof(struct pmp_policy, outcome), "the layout has changed");

struct padded {
    struct old_policy policy;
    uintptr_t behind[4];
};

PMP_EXPORT extern const struct padded pmp_policy_padded __asm__("pmp_policy");
const struct padded pmp_policy_padded = {
    .policy = {.abi = PMP_ABI_MAJOR << 16,
               .size = sizeof(struct old_policy),
               .name = "old",
               .summary = "has an older structure",
               .judge = judge},
    .behind = {1, 1, 1, 1}, /* as `outcome` and `stop` they would crash */
};
