/* The host of another version, played by a program: a policy's `start` and `judge` are run with a struct pmp_host that
 * ends where 1.0's ended. What lies behind would crash whoever calls it. Usage: cut_host FILE.so */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pointsman.h"

__attribute__((format(printf, 3, 4))) static void host_log(const struct pmp_host *host, enum pmp_log level,
                                                           const char *fmt, ...)
{
    va_list ap;
    (void)host;
    (void)level;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    puts("");
}

static const char *host_text(const struct pmp_request *req, enum pmp_text which, size_t *len)
{
    (void)req;
    (void)which;
    if (len)
        *len = 0;
    return "";
}

static void host_complexity(struct pmp_verdict *v, double score)
{
    (void)v;
    printf("complexity %.1f\n", score);
}

__attribute__((format(printf, 2, 3))) static void host_reason(struct pmp_verdict *v, const char *fmt, ...)
{
    (void)v;
    (void)fmt;
}

int main(int argc, char **argv)
{
    struct pmp_host host;
    struct pmp_outcome outcome;
    void *state = NULL;
    memset(&host, 0xa5, sizeof(host));
    host.abi = PMP_ABI_MAJOR << 16;
    host.size = offsetof(struct pmp_host, insist);
    host.log = host_log;
    host.alloc = calloc;
    host.free = free;
    host.text = host_text;
    host.complexity = host_complexity;
    host.reason = host_reason;
    memset(&outcome, 0xa5, sizeof(outcome));
    outcome.size = offsetof(struct pmp_outcome, kind);
    outcome.route = outcome.target = "here";
    outcome.status = 200;
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
    const struct pmp_policy *policy = library ? dlsym(library, "pmp_policy") : NULL;
    if (!policy || policy->start(&host, NULL, &state) != 0 || policy->judge(state, NULL, NULL) != 0)
        return 1;
    policy->outcome(state, &outcome);
    policy->stop(state);
    puts("done");
    return 0;
}
