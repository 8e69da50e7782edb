/* What the files of `pointsman bench` share.
 *
 * A cell is one measurement of one profile (or variant of it) as a JSON object:
 *
 *   kind      "speed" or "code"
 *   profile   what was asked for; `variant` tells the keys that were set otherwise ("" for none)
 *   build     of the server, by its /props; `model` the path of its file
 *   speed:    fill (tokens that stood in the context before), prompt and generate (tokens measured), prompt_tps,
 *             output_tps, first_ms: {"median", "low", "high"} of `repeats`
 *   code:     tasks, base, plus: share of tasks that passed HumanEval's and HumanEval+'s tests; temperature
 */
#ifndef PM_CLI_BENCH_PRIV_H
#define PM_CLI_BENCH_PRIV_H

#include "core/cli/talk.h"
#include "core/store/results.h"
#include "core/upstream/transfer.h"

struct pm_bench {
    const char *state, *url, *key; /* of the gateway that is asked */
    char *own_url;                 /* the same, where nobody said it */
    struct pm_loop *loop;
    struct pm_upstream *up;
    struct pm_results *results;
    long long run;
    size_t done, total; /* cells */
    bool fresh, json;
    bool interrupted;     /* by Ctrl-C: nothing more is begun */
    struct pm_strv fills; /* numbers */
    long long prompt, generate, repeats;
};

/* A reply, or that there was none (status 0, `body` says why). */
struct pm_bench_reply {
    int status;
    struct pm_buf body;
    double first_ms, total_ms; /* until its first bytes, until its end */
};

/* bench.c */
/* Asks the gateway; `body` NULL for GET. The reply's body is to be released. */
void pm_bench_ask(struct pm_bench *b, const char *path, const char *body, struct pm_bench_reply *reply);
/* A cell is measured: kept, counted, told. Takes `cell`. */
int pm_bench_keep(struct pm_bench *b, const char *name, cJSON *cell, struct pm_error *err) PM_MUST;
/* Its build and model file into the cell. */
void pm_bench_add_server(struct pm_bench *b, const char *profile, cJSON *cell);
/* Removes a folder that was made for a measurement, with what is in it. */
void pm_bench_remove(const char *dir);
/* Begins, or goes on with, a run of that plan. */
int pm_bench_begin(struct pm_bench *b, const char *plan, size_t total, struct pm_error *err) PM_MUST;

/* bench_speed.c */
/* All cells of a profile as it is called at the gateway; told and kept as `profile` with its `variant`. */
int pm_bench_speed(struct pm_bench *b, const char *id, const char *profile, const char *variant,
                   struct pm_error *err) PM_MUST;

/* bench_code.c */
struct pm_bench_code {
    const char *data, *python;
    const char *temperature;
    long long limit; /* of tasks, 0 all */
};
int pm_bench_code(struct pm_bench *b, const struct pm_bench_code *how, const char *id, const char *profile,
                  const char *variant, struct pm_error *err) PM_MUST;
/* What is missing before anything can be measured. */
int pm_bench_code_ready(const struct pm_bench_code *how, struct pm_error *err) PM_MUST;

/* bench_sweep.c */
/* The profile with each combination of `settings` (KEY=V1,V2 or --flag=V1,V2), in a gateway of its own. */
int pm_bench_sweep(struct pm_bench *b, const struct pm_bench_code *code, const char *models, const char *profile,
                   char *const *settings, int n, struct pm_error *err) PM_MUST;

/* bench_report.c */
int pm_bench_compare(const cJSON *cells, const char *a, const char *b, bool json);
int pm_bench_report(const cJSON *cells, const char *which, const char *svg, struct pm_error *err) PM_MUST;

#endif
