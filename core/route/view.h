/* What a decision is made of: the request, and each target as it stands now. */
#ifndef PM_ROUTE_VIEW_H
#define PM_ROUTE_VIEW_H

#include "core/api/request.h"
#include "core/conf/conf.h"
#include "core/route/share.h"

struct pm_target_view {
    const struct pm_target *conf;
    unsigned caps; /* enum pm_cap */
    bool caps_known;
    long long context; /* tokens, 0 not known */
    bool speaks;       /* it answers the caller's protocol */
    bool fallback;     /* the route's last resort */
    double wait_s;     /* until a slot is to be had; 0 when ready */
    double output;     /* tokens of its usual answer, as measured; 0 not known */
    double leaving_s;  /* re-processing of this conversation's prompt if it goes there */
    const char *down;  /* why it cannot be used at present, or NULL */
};

struct pm_route_input {
    const struct pm_route *route;
    const struct pm_api_request *request;
    const struct pm_target_view *targets;
    size_t n_targets;
    const char *(*header)(void *arg, const char *name); /* NULL when absent */
    void *header_arg;
    const char *id;         /* of the request, "" in a dry run */
    struct pm_share *share; /* the route's last scores, where it says what part is to be strong; or NULL */
    long place; /* the target that this conversation was answered by last, while STICK holds it there; or -1 */
};

enum { PM_INTENTS_MAX = 16, PM_ROUTE_TARGETS_MAX = 64, PM_NOTE_MAX = 64 };

struct pm_intent {
    char name[48];
    double confidence;
};

/* What one policy said of one request. */
struct pm_verdict {
    const char *policy; /* its name; lives as long as the policies */
    double us;
    bool failed, skipped, abstained, has_complexity;
    struct pm_intent intents[PM_INTENTS_MAX];
    size_t n_intents;
    double complexity;
    double prefer[PM_ROUTE_TARGETS_MAX];
    char *veto[PM_ROUTE_TARGETS_MAX]; /* reason, or NULL */
    bool insists;                     /* it stands against STICK */
    bool holds;                       /* it wants to review the answer, */
    bool wants_logprobs;              /* with the probabilities of its tokens */
    char note[PM_NOTE_MAX];
    size_t note_len;
    char reason[160];
};

#endif
