/* `pointsman eval --from-usage`: policies judged on one's own requests, as far as the log knows.
 *
 * A log tells how good an answer was only of the target that gave it. What another chain would be worth is estimated
 * from the requests on which it picks the same target, each weighted by how unlikely that pick was in the log
 * (self-normalised inverse propensity scoring: Swaminathan and Joachims 2015, "The Self-Normalized Estimator for
 * Counterfactual Learning"). Where the log has no chance in it (EXPLORE=0 of the policy learned), that says nothing of
 * the requests on which both differ, and this is told. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/cli/eval_priv.h"
#include "core/cli/options.h"
#include "core/cli/talk.h"
#include "core/learn/measure.h"

enum { PAGE = 1000, ROWS_MAX = 20000, SAMPLES = 1000, TARGETS_MAX = 64 };

struct logged {
    char *prompt;
    size_t target, choice; /* index of the targets */
    double score;          /* of the feedback, NaN for none */
    double propensity;     /* of that target in the log */
    double cost, ms;
};

struct log {
    struct logged *items;
    size_t n, without_prompt, explored;
    struct pm_strv targets;
};

static size_t target_index(struct log *l, const char *id)
{
    size_t i = 0;
    while (i < l->targets.n && strcmp(l->targets.items[i], id) != 0)
        i++;
    if (i == l->targets.n && i < TARGETS_MAX)
        pm_strv_add(&l->targets, id, strlen(id));
    return i;
}

/* As the policy learned notes it for a request that it gave to chance; 0 for others. */
static double explored(const cJSON *record)
{
    const cJSON *policy;
    double p = 0;
    cJSON_ArrayForEach (policy, pm_json_get(record, "policies")) {
        const char *reason = pm_json_str(policy, "reason");
        const char *at = reason ? strstr(reason, "explored (propensity ") : NULL;
        if (at && sscanf(at, "explored (propensity %lf)", &p) != 1)
            p = 0;
    }
    return p;
}

static void add(struct log *l, const cJSON *record)
{
    const char *prompt = pm_json_str(record, "prompt_text"), *target = pm_json_str(record, "target");
    const char *outcome = pm_json_str(record, "outcome");
    if (!target || !outcome || strcmp(outcome, "ok") != 0 || !pm_json_get(record, "plan"))
        return;
    size_t index = target_index(l, target);
    if (!prompt || index == TARGETS_MAX) {
        l->without_prompt++;
        return;
    }
    if ((l->n & (l->n - 1)) == 0)
        l->items = pm_realloc(l->items, l->n ? l->n * 2 : 1, sizeof(*l->items));
    l->items[l->n++] = (struct logged){.prompt = pm_strdup(prompt),
                                       .target = index,
                                       .score = pm_json_num(record, "score", NAN),
                                       .propensity = explored(record),
                                       .cost = pm_json_num(record, "cost", 0),
                                       .ms = pm_json_num(record, "total_us", 0) / 1e3};
    l->explored += l->items[l->n - 1].propensity > 0;
}

static int read_log(struct log *l, const char *state, struct pm_error *err)
{
    double before = 9e15;
    while (l->n < ROWS_MAX && before > 0) {
        const cJSON *record;
        cJSON *question = cJSON_CreateObject();
        cJSON_AddNumberToObject(question, "list", PAGE);
        cJSON_AddNumberToObject(question, "before", before);
        cJSON *answer = pm_cli_records(state, question, err);
        if (!answer)
            return PM_EIO;
        cJSON_ArrayForEach (record, pm_json_get(answer, "requests"))
            if (l->n < ROWS_MAX)
                add(l, record);
        before = pm_json_num(answer, "before", 0);
        cJSON_Delete(answer);
    }
    /* What was not given to chance was as likely as chance left it. */
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i].propensity <= 0)
            l->items[i].propensity = 1 - (double)l->explored / (double)l->n;
    if (l->n)
        return PM_OK;
    return pm_error_set(err, PM_EINVAL, "%s",
                        l->without_prompt
                            ? "no recorded request has its prompt: RECORD=prompts in [gateway] keeps them from then on"
                            : "no request that a policy judged has been recorded yet");
}

static int judge_all(struct log *l, const struct pm_asked *ask, const struct pm_conf *conf, struct pm_error *err)
{
    struct pm_buf options;
    char *text = NULL;
    size_t len;
    int rc = ask->options ? pm_file_read(ask->options, 32768, &text, &len, err) : PM_OK;
    pm_buf_init(&options, 65536);
    if (text)
        pm_buf_add(&options, text);
    if (ask->weights)
        pm_buf_addf(&options, "\n[policy learned]\nWEIGHTS=%s\n", ask->weights);
    struct pm_judge_spec spec = {.plugins = ask->plugins,
                                 .policies = ask->policies,
                                 .targets = &l->targets,
                                 .options = options.data,
                                 .like = conf};
    struct pm_judge *j = rc == PM_OK ? pm_judge_new(&spec, err) : NULL;
    rc = j ? PM_OK : PM_EINVAL;
    for (size_t i = 0; i < l->n && rc == PM_OK; i++) {
        struct pm_row row = {.prompt = l->items[i].prompt};
        struct pm_judged said;
        char *body = pm_row_body(&row, "eval");
        rc = pm_judge_body(j, body, &said, err);
        l->items[i].choice = said.choice >= 0 ? (size_t)said.choice : TARGETS_MAX;
        free(body);
    }
    pm_judge_free(j);
    pm_buf_release(&options);
    free(text);
    return rc;
}

/* --- the report --- */

/* Mean feedback of what the log did (`picks` NULL) or the chain would do, of the rows that `order` names; NaN:
 * unknown.
 */
static double value(const struct log *l, const size_t *order, size_t n, bool of_chain)
{
    double sum = 0, weight = 0;
    for (size_t i = 0; i < n; i++) {
        const struct logged *r = &l->items[order[i]];
        if (isnan(r->score) || (of_chain && r->choice != r->target))
            continue;
        double w = of_chain ? 1 / r->propensity : 1;
        sum += w * r->score;
        weight += w;
    }
    return weight > 0 ? sum / weight : NAN;
}

static void interval(const struct log *l, bool of_chain, uint64_t seed, double out[3])
{
    size_t *order = pm_calloc(l->n, sizeof(*order)), got = 0;
    double *samples = pm_calloc(SAMPLES, sizeof(*samples));
    for (size_t i = 0; i < l->n; i++)
        order[i] = i;
    out[0] = value(l, order, l->n, of_chain);
    for (size_t s = 0; s < SAMPLES; s++) {
        for (size_t i = 0; i < l->n; i++)
            order[i] = pm_random(&seed) % l->n;
        double v = value(l, order, l->n, of_chain);
        if (!isnan(v))
            samples[got++] = v;
    }
    qsort(samples, got, sizeof(*samples), pm_measure_order);
    out[1] = got ? samples[(size_t)((double)got * 0.025)] : NAN;
    out[2] = got ? samples[(size_t)((double)(got - 1) * 0.975)] : NAN;
    free(order);
    free(samples);
}

static void add_value(cJSON *to, const char *key, const double v[3])
{
    cJSON *item = cJSON_AddObjectToObject(to, key);
    if (isnan(v[0]))
        return;
    cJSON_AddNumberToObject(item, "mean", v[0]);
    cJSON_AddNumberToObject(item, "low", v[1]);
    cJSON_AddNumberToObject(item, "high", v[2]);
}

static cJSON *target_json(const struct log *l, size_t t)
{
    cJSON *item = cJSON_CreateObject();
    double logged = 0, picked = 0, both = 0, cost = 0, ms = 0, score = 0, scored = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct logged *r = &l->items[i];
        picked += r->choice == t;
        both += r->choice == t && r->target == t;
        if (r->target != t)
            continue;
        logged++;
        cost += r->cost;
        ms += r->ms;
        scored += !isnan(r->score);
        score += isnan(r->score) ? 0 : r->score;
    }
    cJSON_AddStringToObject(item, "target", l->targets.items[t]);
    cJSON_AddNumberToObject(item, "logged", logged);
    cJSON_AddNumberToObject(item, "would_be_picked", picked);
    cJSON_AddNumberToObject(item, "both", both);
    if (scored > 0)
        cJSON_AddNumberToObject(item, "feedback", score / scored);
    cJSON_AddNumberToObject(item, "mean_cost", logged > 0 ? cost / logged : 0);
    cJSON_AddNumberToObject(item, "mean_ms", logged > 0 ? ms / logged : 0);
    return item;
}

static cJSON *report_json(const struct log *l, const struct pm_asked *ask)
{
    cJSON *root = cJSON_CreateObject();
    double agree = 0, scored = 0, cost = 0, would_cost = 0, v[3];
    cJSON *list = cJSON_AddArrayToObject(root, "targets"), *t;
    for (size_t i = 0; i < l->targets.n; i++)
        cJSON_AddItemToArray(list, target_json(l, i));
    for (size_t i = 0; i < l->n; i++) {
        agree += l->items[i].choice == l->items[i].target;
        scored += !isnan(l->items[i].score);
        cost += l->items[i].cost;
    }
    cJSON_ArrayForEach (t, list)
        would_cost += pm_json_num(t, "would_be_picked", 0) * pm_json_num(t, "mean_cost", 0);
    cJSON_AddStringToObject(root, "policies", ask->policies);
    cJSON_AddNumberToObject(root, "requests", (double)l->n);
    cJSON_AddNumberToObject(root, "without_prompt", (double)l->without_prompt);
    cJSON_AddNumberToObject(root, "explored", (double)l->explored);
    cJSON_AddNumberToObject(root, "with_feedback", scored);
    cJSON_AddNumberToObject(root, "agreement", agree / (double)l->n);
    cJSON_AddNumberToObject(root, "cost", cost);
    cJSON_AddNumberToObject(root, "would_cost", would_cost);
    interval(l, false, (uint64_t)ask->seed, v);
    add_value(root, "logged_value", v);
    interval(l, true, (uint64_t)ask->seed, v);
    add_value(root, "value", v);
    return root;
}

static void print_value(const cJSON *root, const char *key, const char *title)
{
    const cJSON *v = pm_json_get(root, key);
    if (pm_json_get(v, "mean"))
        printf("%-34s %.3f [%.3f, %.3f]\n", title, pm_json_num(v, "mean", 0), pm_json_num(v, "low", 0),
               pm_json_num(v, "high", 0));
    else
        printf("%-34s not known: no feedback on such requests (POST /v1/feedback)\n", title);
}

static void print_report(const cJSON *root)
{
    const cJSON *t;
    printf("%.0f requests with their prompts, %.0f with feedback, %.0f given to chance\n",
           pm_json_num(root, "requests", 0), pm_json_num(root, "with_feedback", 0), pm_json_num(root, "explored", 0));
    printf("%s picks the same target for %.1f %% of them\n\n", pm_json_str(root, "policies"),
           100 * pm_json_num(root, "agreement", 0));
    printf("%-28s %8s %10s %8s %10s %10s %9s\n", "TARGET", "LOGGED", "PICKED NOW", "BOTH", "FEEDBACK", "COST EACH",
           "MEAN MS");
    cJSON_ArrayForEach (t, pm_json_get(root, "targets")) {
        char feedback[16] = "-";
        if (pm_json_get(t, "feedback"))
            snprintf(feedback, sizeof(feedback), "%.3f", pm_json_num(t, "feedback", 0));
        printf("%-28s %8.0f %10.0f %8.0f %10s %10.5f %9.0f\n", pm_json_str(t, "target"), pm_json_num(t, "logged", 0),
               pm_json_num(t, "would_be_picked", 0), pm_json_num(t, "both", 0), feedback,
               pm_json_num(t, "mean_cost", 0), pm_json_num(t, "mean_ms", 0));
    }
    puts("");
    print_value(root, "logged_value", "mean feedback in the log");
    print_value(root, "value", "of these policies, estimated");
    printf("%-34s %.4f, in the log %.4f\n", "cost at each target's mean", pm_json_num(root, "would_cost", 0),
           pm_json_num(root, "cost", 0));
    if (pm_json_num(root, "explored", 0) < 1)
        puts(
            "\nNo request was given to chance, so the estimate knows only those on which both agree. EXPLORE=0.02 in\n"
            "[policy learned] lets two in a hundred be.");
}

int pm_eval_usage(const struct pm_asked *ask, const char *state, const char *models, struct pm_error *err)
{
    struct log l = {0};
    struct pm_diags diags = {0};
    struct pm_error ignored = {0};
    /* What the targets are good at, where models.conf still knows them. */
    struct pm_bundle *bundle = pm_bundle_read(models, NULL, NULL, NULL, &ignored);
    struct pm_conf *conf = bundle ? pm_conf_parse(bundle, &diags) : NULL;
    int rc = read_log(&l, state, err);
    if (rc == PM_OK)
        rc = judge_all(&l, ask, conf, err);
    if (rc == PM_OK) {
        cJSON *report = report_json(&l, ask);
        if (ask->json)
            pm_cli_print_json(report);
        else
            print_report(report);
        cJSON_Delete(report);
    }
    for (size_t i = 0; i < l.n; i++)
        free(l.items[i].prompt);
    free(l.items);
    pm_strv_release(&l.targets);
    pm_conf_free(conf);
    pm_bundle_free(bundle);
    pm_diags_release(&diags);
    return rc;
}
