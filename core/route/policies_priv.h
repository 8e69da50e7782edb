#ifndef PM_ROUTE_POLICIES_PRIV_H
#define PM_ROUTE_POLICIES_PRIV_H

#include "core/route/policies.h"
#include "plugins/pointsman.h"

struct library {
    char *path;
    struct pmp_policy policy; /* a copy: what the object's structure is too short for is zero */
    struct library *next;
};

struct instance {
    struct pmp_host host; /* first: the policy's pointer to it is a pointer to the instance */
    struct pm_policies *owner;
    const struct library *library;
    const struct pm_route *route;
    void *conf;
    struct pmp_pair *pairs; /* with the texts that conf points into */
    char **texts;
    size_t n_texts;
    void *state;
    bool started;
    struct pm_error *failure; /* where host->fail writes, during start */
    char *found;              /* what host->file found last */
    unsigned strikes;         /* calls over budget, forgiven slowly */
    unsigned good;
    struct instance *next;
};

struct pm_policies {
    struct pm_policies_events events;
    void *arg;
    struct library *libraries;
    struct instance *instances, **last;
};

/* What the opaque types of the public header are. */
struct pmp_request {
    const struct pm_route_input *in;
};

struct pmp_verdict {
    struct pm_verdict *v;
    size_t n_targets;
};

/* The table of functions, with the instance's own parts filled in. */
void pm_policy_host_init(struct pmp_host *host);

/* Fills the instance's option structure from the route's section. */
int pm_policy_read_options(struct instance *inst, const struct pm_ini_section *section, struct pm_error *err) PM_MUST;

#endif
