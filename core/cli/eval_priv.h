/* What the files of `pointsman eval` share. */
#ifndef PM_CLI_EVAL_PRIV_H
#define PM_CLI_EVAL_PRIV_H

#include "core/cli/judge.h"
#include "core/learn/rows.h"

/* What was asked for. */
struct pm_asked {
    const char *data, *train, *policies, *weights, *leave_out, *plugins, *options, *pair;
    long long folds, own, cap, seed;
    bool by_split, json;
};

enum pm_fate { PM_ROW_LEFT, PM_ROW_JUDGED, PM_ROW_TAUGHT };

/* Rows with what was said of them. */
struct pm_trial {
    struct pm_asked ask;
    struct pm_rows rows;
    struct pm_strv pair;
    size_t n_data;            /* the first ones are judged, the rest only trains */
    bool *in_test, *in_train; /* of the run at hand */
    enum pm_fate *fate;
    struct pm_judged *said;
    char weights[64];
    uint64_t random;
};

/* eval_usage.c */
int pm_eval_usage(const struct pm_asked *ask, const char *state, const char *models, struct pm_error *err) PM_MUST;

/* eval_report.c */
void pm_eval_report(const struct pm_trial *t);

#endif
