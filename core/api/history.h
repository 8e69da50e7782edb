/* What an agent has done so far, read from the messages that it sends along: the calls of tools and their results.
 * Nothing is copied; only the last steps are looked at, and of a long result its two ends.
 */
#ifndef PM_API_HISTORY_H
#define PM_API_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/json.h"

/* How a step ended, the worst last. */
enum pm_step_error {
    PM_STEP_FINE,
    PM_STEP_REFUSED,  /* the tool could not do it: no such file, wrong arguments, denied */
    PM_STEP_PASSING,  /* time-outs, rate limits, the network */
    PM_STEP_FAILED,   /* what it ran failed: tests, a compiler, an exception */
    PM_STEP_CRITICAL, /* a crash, no memory, no disk */
    PM_STEP_ERRORS
};

enum pm_step_kind { PM_STEP_OTHER, PM_STEP_READ, PM_STEP_EDIT, PM_STEP_RUN, PM_STEP_KINDS };

enum { PM_STEPS_MAX = 16 };

/* A call and its result. */
struct pm_step {
    struct pm_json_value id, name, args, result; /* as they stand in the body; text NULL for none */
    bool has_result, flagged;                    /* flagged: the protocol itself says that it failed */
};

/* The last steps, a ring. Zero-initialised is empty. */
struct pm_history {
    struct pm_step steps[PM_STEPS_MAX];
    unsigned calls;
};

/* What the last steps come to. */
struct pm_progress {
    unsigned steps; /* with a result, at most PM_STEPS_MAX */
    unsigned errors[PM_STEP_ERRORS], kinds[PM_STEP_KINDS];
    unsigned repeats;         /* calls that were made before, word for word */
    unsigned streak;          /* failed steps at the end, one after the other */
    unsigned last_edits;      /* edits that went well among the last six */
    enum pm_step_error worst; /* of the last three */
};

void pm_history_call(struct pm_history *h, const struct pm_json_value *id, const struct pm_json_value *name,
                     const struct pm_json_value *args);

/* The result of the call with that id, else of the first one that has none yet. */
void pm_history_result(struct pm_history *h, const struct pm_json_value *id, const struct pm_json_value *result,
                       bool flagged);

void pm_history_progress(const struct pm_history *h, struct pm_progress *out);

#endif
