/* What `pointsman eval` prints: figures with their intervals, and beside them what length, chance and hindsight do. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/cli/eval_priv.h"
#include "core/cli/talk.h"
#include "core/learn/measure.h"

static void add_figure(cJSON *object, const char *name, const struct pm_figure *f)
{
    cJSON *array = cJSON_AddArrayToObject(object, name);
    cJSON_AddItemToArray(array, cJSON_CreateNumber(round(f->value * 1e4) / 1e4));
    cJSON_AddItemToArray(array, cJSON_CreateNumber(round(f->low * 1e4) / 1e4));
    cJSON_AddItemToArray(array, cJSON_CreateNumber(round(f->high * 1e4) / 1e4));
}

static bool counts(const struct pm_trial *t, size_t i)
{
    return t->fate[i] == PM_ROW_JUDGED;
}

static size_t class_of(struct pm_strv *classes, const char *name, bool add)
{
    size_t i = 0;
    while (i < classes->n && strcmp(classes->items[i], name) != 0)
        i++;
    if (i == classes->n && add)
        pm_strv_add(classes, name, strlen(name));
    return i;
}

/* What stands in no list of intents: to be left alone, not to be guessed. */
static bool is_outside(const char *label)
{
    return strcmp(label, "oos") == 0;
}

static void report_outside(const struct pm_trial *t, cJSON *out)
{
    double inside = 0, right = 0, outside = 0, refused = 0;
    for (size_t i = 0; i < t->n_data; i++) {
        const struct pm_row *row = &t->rows.items[i];
        const struct pm_judged *said = &t->said[i];
        if (!row->label || !counts(t, i))
            continue;
        bool none = said->abstained || !said->intent[0];
        if (is_outside(row->label)) {
            outside++;
            refused += none;
        } else {
            inside++;
            right += !none && strcmp(said->intent, row->label) == 0;
        }
    }
    if (outside == 0)
        return;
    cJSON *o = cJSON_AddObjectToObject(out, "out_of_scope");
    cJSON_AddNumberToObject(o, "in_scope_rows", inside);
    cJSON_AddNumberToObject(o, "in_scope_accuracy_with_abstention", inside > 0 ? right / inside : 0);
    cJSON_AddNumberToObject(o, "out_of_scope_rows", outside);
    cJSON_AddNumberToObject(o, "out_of_scope_recall", refused / outside);
}

static void report_intents(const struct pm_trial *t, cJSON *out)
{
    struct pm_strv classes = {0};
    size_t *truth = pm_calloc(t->n_data + 1, sizeof(*truth)), *said = pm_calloc(t->n_data + 1, sizeof(*said)), n = 0;
    double *confidence = pm_calloc(t->n_data + 1, sizeof(*confidence));
    for (size_t i = 0; i < t->n_data; i++)
        if (t->rows.items[i].label && counts(t, i) && !is_outside(t->rows.items[i].label))
            class_of(&classes, t->rows.items[i].label, true);
    for (size_t i = 0; i < t->n_data; i++) {
        const struct pm_row *row = &t->rows.items[i];
        if (!row->label || !counts(t, i) || is_outside(row->label))
            continue;
        truth[n] = class_of(&classes, row->label, false);
        said[n] = class_of(&classes, t->said[i].intent, false);
        confidence[n++] = t->said[i].confidence;
    }
    if (n) {
        struct pm_class_measure m;
        cJSON *o = cJSON_AddObjectToObject(out, "intents");
        pm_measure_classes(truth, said, confidence, n, classes.n, (uint64_t)t->ask.seed, &m);
        cJSON_AddNumberToObject(o, "rows", (double)n);
        cJSON_AddNumberToObject(o, "classes", (double)classes.n);
        add_figure(o, "macro_f1", &m.macro_f1);
        add_figure(o, "accuracy", &m.accuracy);
        for (size_t k = 0; k < 5; k++) {
            char name[40];
            snprintf(name, sizeof(name), "accuracy_at_%d_percent", pm_coverages[k]);
            cJSON_AddNumberToObject(o, name, round(m.at_coverage[k] * 1e4) / 1e4);
        }
    }
    report_outside(t, out);
    free(confidence);
    free(truth);
    free(said);
    pm_strv_release(&classes);
}

static void add_pair(const struct pm_trial *t, cJSON *out, const char *name, const double *score, const double *weak,
                     const double *strong, size_t n)
{
    struct pm_pair_measure m;
    cJSON *o = cJSON_AddObjectToObject(out, name);
    pm_measure_pair(score, weak, strong, n, (uint64_t)t->ask.seed, &m);
    add_figure(o, "apgr", &m.apgr);
    add_figure(o, "cpt50", &m.cpt50);
    add_figure(o, "cpt80", &m.cpt80);
}

static void report_pair(const struct pm_trial *t, cJSON *out)
{
    double *columns = pm_calloc(6 * (t->n_data + 1), sizeof(*columns));
    double *weak = columns, *strong = weak + t->n_data, *score = strong + t->n_data, *length = score + t->n_data;
    double *oracle = length + t->n_data, *random = oracle + t->n_data;
    uint64_t dice = (uint64_t)t->ask.seed;
    size_t n = 0;
    for (size_t i = 0; i < t->n_data; i++) {
        const struct pm_row *row = &t->rows.items[i];
        if (!row->has_pair || !counts(t, i))
            continue;
        weak[n] = row->weak;
        strong[n] = row->strong;
        score[n] = t->said[i].complexity;
        length[n] = (double)strlen(row->prompt);
        oracle[n] = row->strong - row->weak;
        random[n++] = (double)(pm_random(&dice) >> 11);
    }
    if (n) {
        cJSON *o = cJSON_AddObjectToObject(out, "pair");
        cJSON_AddNumberToObject(o, "rows", (double)n);
        add_pair(t, o, "policies", score, weak, strong, n);
        add_pair(t, o, "length", length, weak, strong, n);
        add_pair(t, o, "random", random, weak, strong, n);
        add_pair(t, o, "oracle", oracle, weak, strong, n);
    }
    free(columns);
}

static void report_choice(const struct pm_trial *t, cJSON *out)
{
    size_t models = t->rows.models.n, n = 0, *chosen = pm_calloc(t->n_data + 1, sizeof(*chosen));
    double *quality = pm_calloc((t->n_data + 1) * (models + 1), sizeof(*quality));
    for (size_t i = 0; i < t->n_data; i++) {
        const struct pm_row *row = &t->rows.items[i];
        bool whole = row->scores && counts(t, i) && t->said[i].choice >= 0;
        for (size_t m = 0; whole && m < models; m++)
            whole = !isnan(row->scores[m]);
        if (!whole)
            continue;
        memcpy(quality + n * models, row->scores, models * sizeof(*quality));
        chosen[n++] = (size_t)t->said[i].choice;
    }
    if (n) {
        struct pm_choice_measure m;
        cJSON *o = cJSON_AddObjectToObject(out, "choice");
        pm_measure_choice(chosen, quality, n, models, (uint64_t)t->ask.seed, &m);
        cJSON_AddNumberToObject(o, "rows", (double)n);
        cJSON_AddNumberToObject(o, "models", (double)models);
        cJSON_AddStringToObject(o, "best_single", t->rows.models.items[m.best]);
        cJSON_AddNumberToObject(o, "best_single_quality", m.best_single);
        cJSON_AddNumberToObject(o, "oracle_quality", m.oracle);
        add_figure(o, "quality", &m.value);
        add_figure(o, "gain_over_best_single", &m.gain);
        add_figure(o, "share_of_oracle_gap", &m.gap_closed);
    }
    free(quality);
    free(chosen);
}

static void report_tools(const struct pm_trial *t, cJSON *out)
{
    double n = 0, agentic = 0;
    for (size_t i = 0; i < t->n_data; i++) {
        if (!t->rows.items[i].has_tools || !counts(t, i))
            continue;
        n++;
        agentic += strcmp(t->said[i].intent, "agent") == 0;
    }
    if (n == 0)
        return;
    cJSON *o = cJSON_AddObjectToObject(out, "tools");
    cJSON_AddNumberToObject(o, "rows", n);
    cJSON_AddNumberToObject(o, "agentic", agentic / n);
}

static void add_times(cJSON *out, const char *name, double *us, size_t n)
{
    cJSON *o = cJSON_AddObjectToObject(out, name);
    qsort(us, n, sizeof(*us), pm_measure_order);
    cJSON_AddNumberToObject(o, "p50_us", round(us[n / 2] * 10) / 10);
    cJSON_AddNumberToObject(o, "p99_us", round(us[n * 99 / 100] * 10) / 10);
}

static void report_times(const struct pm_trial *t, cJSON *out)
{
    double *read = pm_calloc(t->n_data + 1, sizeof(*read)), *judge = pm_calloc(t->n_data + 1, sizeof(*judge));
    size_t n = 0;
    for (size_t i = 0; i < t->n_data; i++) {
        if (!counts(t, i))
            continue;
        read[n] = t->said[i].read_us;
        judge[n++] = t->said[i].judge_us;
    }
    if (n) {
        cJSON *o = cJSON_AddObjectToObject(out, "time");
        add_times(o, "read", read, n);
        add_times(o, "judge_and_decide", judge, n);
    }
    free(read);
    free(judge);
}

static void print_value(const cJSON *v)
{
    if (cJSON_IsString(v))
        printf("%s\n", v->valuestring);
    else if (cJSON_IsArray(v))
        printf("%.4f  [%.4f, %.4f]\n", v->child->valuedouble, v->child->next->valuedouble,
               v->child->next->next->valuedouble);
    else
        printf("%.6g\n", v->valuedouble);
}

static void print_report(const cJSON *object, int depth)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, object) {
        printf("%*s%-*s ", depth * 2, "", 36 - depth * 2, item->string);
        if (cJSON_IsObject(item)) {
            putchar('\n');
            print_report(item, depth + 1);
        } else {
            print_value(item);
        }
    }
}

void pm_eval_report(const struct pm_trial *t)
{
    cJSON *out = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "data", t->ask.data);
    cJSON_AddStringToObject(out, "policies", t->ask.policies);
    report_intents(t, out);
    report_pair(t, out);
    report_choice(t, out);
    report_tools(t, out);
    report_times(t, out);
    if (t->ask.json)
        pm_cli_print_json(out);
    else
        print_report(out, 0);
    cJSON_Delete(out);
}
