/* A chain of policies without a gateway: what they say of a request body, and what is decided. Targets are made up,
 * all ready; of two the second is the stronger, more are equal, unless a configuration tells what they are.
 */
#ifndef PM_CLI_JUDGE_H
#define PM_CLI_JUDGE_H

#include "core/base/text.h"
#include "core/route/decide.h"

struct pm_judge;

struct pm_judge_spec {
    const char *plugins;  /* folder */
    const char *policies; /* separated by commas */
    const struct pm_strv *targets;
    const char *options;        /* sections [policy NAME] as they stand in a route's file; NULL for none */
    const struct pm_conf *like; /* its targets of the same ids tell what they are good at; NULL for none */
};

struct pm_judged {
    char intent[48]; /* the surest, "" for none */
    double confidence;
    double complexity; /* 0 when nobody gave one */
    bool has_complexity, abstained;
    long choice;              /* index of the target tried first, or -1 */
    double read_us, judge_us; /* what reading the body took, and judging and deciding */
};

/* NULL with `err`. */
struct pm_judge *pm_judge_new(const struct pm_judge_spec *spec, struct pm_error *err);
void pm_judge_free(struct pm_judge *j);

int pm_judge_body(struct pm_judge *j, const char *body, struct pm_judged *out, struct pm_error *err) PM_MUST;

/* A name for mkstemp or mkdtemp; 64 bytes hold it. */
void pm_judge_temporary(char *out, size_t size);

#endif
