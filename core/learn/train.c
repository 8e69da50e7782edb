#include "core/learn/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/learn/fit.h"
#include "core/learn/measure.h"
#include "core/learn/score.h"
#include "core/learn/writer.h"

/* More labels than this are narrow ones: an assistant's commands, not kinds of work. */
enum { BROAD_LABELS = 20, BROAD_BITS = 16, NARROW_BITS = 15, TOPIC_BITS = 14, HEAD_BITS = 18, TABLE_BITS = 14 };

enum { TABLE_BYTES = 4 << 20, NARROW_BYTES = 5 << 20 };

enum { RIDGE_STEPS = 20, LEAST_LABELS = 100, FOLDS = 5 };

/* A head leans on length a little, and its words have to earn their weight. */
static const double SLOPE = 0.05, HEAD_LAMBDA = 400;
static const double TABLE_LAMBDA = 4, TABLE_PRIOR = 10;

/* Rows that stand for "none of these" are few, and count so many times. */
static const double OUTSIDE_WEIGHT = 3;

static const char outside_label[] = "oos";

/* Rows of one purpose, gathered. */
struct task {
    const struct pm_text_tables *tables;
    const struct pm_train_options *options;
    const struct pm_row **rows;
    const char **texts;
    size_t n;
};

static bool has_label(const struct pm_row *row)
{
    return row->label && !row->body;
}

static bool has_pair(const struct pm_row *row)
{
    return row->has_pair;
}

static bool has_scores(const struct pm_row *row)
{
    return row->scores != NULL;
}

static bool has_prompt(const struct pm_row *row)
{
    return row->prompt != NULL;
}

static void gather(struct task *t, const struct pm_rows *rows, bool (*wanted)(const struct pm_row *row))
{
    const struct pm_train_options *o = t->options;
    t->rows = pm_calloc(rows->n + 1, sizeof(*t->rows));
    t->texts = pm_calloc(rows->n + 1, sizeof(*t->texts));
    t->n = 0;
    for (size_t i = 0; i < rows->n; i++) {
        const struct pm_row *row = &rows->items[i];
        if (!wanted(row) || (o->used && !o->used(o->arg, row, i)))
            continue;
        t->rows[t->n] = row;
        t->texts[t->n++] = row->prompt;
    }
}

static void release(struct task *t)
{
    free(t->rows);
    free(t->texts);
}

/* --- classes --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Different names, sorted: the same rows in another order are the same classes. */
static size_t distinct(const char **names, size_t n)
{
    size_t k = 0;
    qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 0; i < n; i++)
        if (!k || strcmp(names[k - 1], names[i]) != 0)
            names[k++] = names[i];
    return k;
}

/* What a classifier is learnt from and into. */
struct classifier {
    char (*names)[PM_NAME];
    unsigned n, bits, *label;
    enum pm_recipe recipe;
    double norm, smooth, *weight;
    float *weights, *bias, sure;
    int outside;
};

static void name_classes(struct classifier *c, const struct task *t, const char *(*name_of)(const struct pm_row *row))
{
    const char **names = pm_calloc(t->n + 1, sizeof(*names));
    for (size_t i = 0; i < t->n; i++)
        names[i] = name_of(t->rows[i]);
    c->n = (unsigned)distinct(names, t->n);
    c->names = pm_calloc(c->n + 1, sizeof(*c->names));
    c->outside = -1;
    for (unsigned k = 0; k < c->n && k < PM_LEARN_CLASSES_MAX; k++) {
        snprintf(c->names[k], PM_NAME, "%s", names[k]);
        if (strcmp(names[k], outside_label) == 0)
            c->outside = (int)k;
    }
    c->label = pm_calloc(t->n + 1, sizeof(*c->label));
    for (size_t i = 0; i < t->n; i++) {
        const char *name = name_of(t->rows[i]);
        const char **found = bsearch(&name, names, c->n, sizeof(*names), by_name);
        c->label[i] = (unsigned)(found - names);
    }
    free(names);
}

/* How many rows have this row's class and source: the rows are few kinds. */
struct cell {
    unsigned label;
    const char *source;
    double n;
};

static size_t cell_of(struct cell *cells, size_t *n, unsigned label, const char *source)
{
    size_t i = 0;
    while (i < *n && (cells[i].label != label || strcmp(cells[i].source, source) != 0))
        i++;
    if (i == *n)
        cells[(*n)++] = (struct cell){label, source, 0};
    return i;
}

/* Sources count by the root of their rows, classes all the same: one large source is not to rule. */
static void weigh_broad(struct classifier *c, const struct task *t)
{
    struct cell *cells = pm_calloc(t->n + 1, sizeof(*cells));
    double *of_class = pm_calloc(c->n + 1, sizeof(*of_class));
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        cells[cell_of(cells, &n, c->label[i], t->rows[i]->source)].n++;
    for (size_t i = 0; i < t->n; i++) {
        c->weight[i] = 1 / sqrt(cells[cell_of(cells, &n, c->label[i], t->rows[i]->source)].n);
        of_class[c->label[i]] += c->weight[i];
    }
    for (size_t i = 0; i < t->n; i++)
        c->weight[i] /= of_class[c->label[i]];
    free(of_class);
    free(cells);
}

static void weigh_narrow(struct classifier *c, const struct task *t)
{
    for (size_t i = 0; i < t->n; i++)
        c->weight[i] = (int)c->label[i] == c->outside ? OUTSIDE_WEIGHT : 1;
}

/* Own rows are few and right: what others taught is moved towards them, not mixed with them. */
static void fit_own(struct classifier *c, const struct task *t, const struct pm_sparse *x, bool all)
{
    struct pm_softmax_spec spec = {.classes = c->n,
                                   .steps = 2000,
                                   .runs = 1,
                                   .rate = 0.07,
                                   .smooth = 0.1,
                                   .pull = 1e-3,
                                   .seed = t->options->seed + 77};
    double *weight = pm_calloc(t->n + 1, sizeof(*weight)), own = 0;
    for (size_t i = 0; i < t->n; i++)
        own += weight[i] = all || t->rows[i]->own;
    if (own > 0)
        pm_fit_softmax(x, c->label, weight, &spec, c->weights, c->bias);
    free(weight);
}

static void fit_classes(struct classifier *c, const struct task *t, const struct pm_sparse *x)
{
    bool broad = c->recipe == PM_RECIPE_BROAD;
    struct pm_softmax_spec spec = {.classes = c->n,
                                   .steps = broad ? 40000 : 300000,
                                   .runs = broad ? 5 : 2,
                                   .rate = 0.1,
                                   .drop = broad ? 0.5 : 0.4,
                                   .smooth = c->smooth,
                                   .seed = t->options->seed};
    double *weight = pm_calloc(t->n + 1, sizeof(*weight)), others = 0;
    for (size_t i = 0; i < t->n; i++)
        others += weight[i] = t->rows[i]->own ? 0 : c->weight[i];
    if (others > 0)
        pm_fit_softmax(x, c->label, weight, &spec, c->weights, c->bias);
    free(weight);
}

/* Begins with what another file has, where that knows all the labels: then these rows refine it. */
static bool take_base(struct classifier *c, const struct pm_weights *base)
{
    struct pm_classes old;
    unsigned to[PM_LEARN_CLASSES_MAX];
    if (!base || !pm_weights_classes(base, "intent", &old))
        return false;
    for (unsigned k = 0; k < c->n; k++) {
        for (to[k] = 0; to[k] < old.n && strcmp(old.names[to[k]], c->names[k]) != 0; to[k]++)
            continue;
        if (to[k] == old.n)
            return false;
    }
    free(c->names);
    c->names = pm_calloc(old.n, sizeof(*c->names));
    memcpy(c->names, old.names, old.n * sizeof(*c->names));
    c->n = old.n;
    c->bits = old.bits;
    c->recipe = (enum pm_recipe)old.recipe;
    c->norm = (double)old.norm;
    c->sure = old.sure;
    c->outside = old.outside;
    c->weights = pm_calloc((size_t)c->n << c->bits, sizeof(float));
    c->bias = pm_calloc(c->n, sizeof(float));
    memcpy(c->bias, old.bias, old.n * sizeof(float));
    for (size_t i = 0; i < (size_t)c->n << c->bits; i++)
        c->weights[i] = old.scale[i % c->n] * (float)old.weights[i];
    return true;
}

static void rename_labels(struct classifier *c, const struct task *t)
{
    for (size_t i = 0; i < t->n; i++)
        for (unsigned k = 0; k < c->n; k++)
            if (strcmp(c->names[k], t->rows[i]->label) == 0)
                c->label[i] = k;
}

static void to_section(const struct classifier *c, struct pm_weights_writer *w, const char *name)
{
    size_t size = (size_t)c->n << c->bits;
    int8_t *small = pm_calloc(size, 1);
    float *scale = pm_calloc(c->n, sizeof(*scale));
    for (unsigned k = 0; k < c->n; k++)
        scale[k] = pm_quantise(c->weights + k, (size_t)1 << c->bits, c->n, small + k);
    struct pm_classes section = {.n = c->n,
                                 .bits = c->bits,
                                 .recipe = (uint32_t)c->recipe,
                                 .outside = c->outside,
                                 .norm = (float)c->norm,
                                 .sure = c->sure,
                                 .names = (const char(*)[PM_NAME])c->names,
                                 .bias = c->bias,
                                 .scale = scale,
                                 .weights = small};
    pm_weights_add_classes(w, name, &section);
    free(small);
    free(scale);
}

static void classifier_release(struct classifier *c)
{
    free(c->names);
    free(c->label);
    free(c->weight);
    free(c->weights);
    free(c->bias);
}

/* Cut names could be taken for one another. */
static int check_name(const char *name, struct pm_error *err)
{
    if (strlen(name) < PM_NAME)
        return PM_OK;
    return pm_error_set(err, PM_EINVAL, "%.60s...: a name of a label, topic or model has less than %d bytes", name,
                        PM_NAME);
}

static int check_classes(const struct classifier *c, const struct task *t,
                         const char *(*name_of)(const struct pm_row *row), struct pm_error *err)
{
    int rc = PM_OK;
    if (c->n > PM_LEARN_CLASSES_MAX)
        return pm_error_set(err, PM_EINVAL, "%u different labels: %d are the most", c->n, PM_LEARN_CLASSES_MAX);
    for (size_t i = 0; i < t->n && rc == PM_OK; i++)
        rc = check_name(name_of(t->rows[i]), err);
    return rc;
}

static int by_float(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Of the rows of the classes themselves so many are to stay above the certainty from which an answer is relied on. */
static const double KEPT = 0.963;

/* Learnt once more without every tenth row, which tells how certain it is of rows that it has not seen. */
static float certainty_to_ask(const struct classifier *c, const struct task *t, const struct pm_sparse *x)
{
    struct classifier trial = *c;
    struct pm_softmax_spec spec = {.classes = c->n,
                                   .steps = 150000,
                                   .runs = 1,
                                   .rate = 0.1,
                                   .drop = 0.4,
                                   .smooth = 0.1,
                                   .seed = t->options->seed};
    size_t size = (size_t)c->n << c->bits, n = 0;
    float *certain = pm_calloc(t->n + 1, sizeof(*certain)), *z = pm_calloc(c->n, sizeof(*z));
    trial.weights = pm_calloc(size, sizeof(float));
    trial.bias = pm_calloc(c->n, sizeof(float));
    trial.weight = pm_calloc(t->n + 1, sizeof(*trial.weight));
    for (size_t i = 0; i < t->n; i++)
        trial.weight[i] = i % 10 == 0 ? 0 : c->weight[i];
    pm_fit_softmax(x, c->label, trial.weight, &spec, trial.weights, trial.bias);
    for (size_t i = 0; i < t->n; i += 10) {
        unsigned best = c->outside == 0;
        float sum = 0;
        if ((int)c->label[i] == c->outside)
            continue;
        memcpy(z, trial.bias, c->n * sizeof(*z));
        for (size_t k = x->start[i]; k < x->start[i + 1]; k++)
            for (unsigned m = 0; m < c->n; m++)
                z[m] += x->value[k] * trial.weights[(size_t)x->column[k] * c->n + m];
        for (unsigned m = 0; m < c->n; m++)
            best = z[m] > z[best] && (int)m != c->outside ? m : best;
        for (unsigned m = 0; m < c->n; m++)
            sum += expf(z[m] - z[best]);
        if (best == c->label[i])
            certain[n++] = -logf(sum) - 0.5F * (z[c->outside] - z[best] - logf(sum));
    }
    qsort(certain, n, sizeof(*certain), by_float);
    float limit = n ? certain[(size_t)((1 - KEPT) * (double)n)] : 0;
    free(trial.weights);
    free(trial.bias);
    free(trial.weight);
    free(certain);
    free(z);
    return limit;
}

static const char *label_of(const struct pm_row *row)
{
    return row->label;
}

static void shape_classes(struct classifier *c)
{
    bool broad = c->n <= BROAD_LABELS;
    c->recipe = broad ? PM_RECIPE_BROAD : PM_RECIPE_NARROW;
    c->bits = broad ? BROAD_BITS : NARROW_BITS;
    while (!broad && (size_t)c->n << c->bits > NARROW_BYTES)
        c->bits--;
    c->norm = broad ? 0.5 : 0.3;
    c->smooth = 0.1;
    c->sure = broad ? 0.5F : 0;
    c->weights = pm_calloc((size_t)c->n << c->bits, sizeof(float));
    c->bias = pm_calloc(c->n, sizeof(float));
}

static int learn_labels(struct task *t, const struct pm_rows *rows, const struct pm_weights *base,
                        struct pm_weights_writer *w, struct pm_train_report *report, struct pm_error *err)
{
    struct classifier c = {0};
    struct pm_sparse x = {0};
    gather(t, rows, has_label);
    name_classes(&c, t, label_of);
    int rc = check_classes(&c, t, label_of, err);
    if (rc == PM_OK && c.n > 1) {
        bool refines = take_base(&c, base);
        if (refines)
            rename_labels(&c, t);
        else
            shape_classes(&c);
        bool broad = c.recipe == PM_RECIPE_BROAD;
        c.weight = pm_calloc(t->n + 1, sizeof(*c.weight));
        pm_sparse_of(t->tables, c.recipe, c.bits, c.norm, broad && !refines ? 2 : 1, t->texts, t->n, &x);
        if (broad)
            weigh_broad(&c, t);
        else
            weigh_narrow(&c, t);
        if (!refines)
            fit_classes(&c, t, &x);
        fit_own(&c, t, &x, refines);
        if (c.outside >= 0 && !refines)
            c.sure = certainty_to_ask(&c, t, &x);
        to_section(&c, w, "intent");
        report->labelled = t->n;
        report->labels = c.n;
    }
    pm_sparse_release(&x);
    classifier_release(&c);
    release(t);
    return rc;
}

/* --- heads --- */

static double length_of(const char *text)
{
    return log1p((double)strlen(text)) - 5;
}

static void quantiles(float *values, size_t n, float *out)
{
    qsort(values, n, sizeof(*values), by_float);
    for (size_t q = 0; q < PM_QUANTILES; q++)
        out[q] = values[(n - 1) * q / (PM_QUANTILES - 1)];
}

/* What is left of the gap when length has explained its part. */
static void fit_head(const struct task *t, const struct pm_sparse *x, const size_t *rows, size_t n, float *w)
{
    double *y = pm_calloc(n + 1, sizeof(*y)), mean = 0;
    for (size_t i = 0; i < n; i++) {
        const struct pm_row *row = t->rows[rows[i]];
        y[i] = row->strong - row->weak - SLOPE * length_of(row->prompt);
        mean += y[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        y[i] -= mean;
    pm_fit_ridge(x, rows, n, y, HEAD_LAMBDA, RIDGE_STEPS, w);
    free(y);
}

static double head_value(const struct task *t, const struct pm_sparse *x, size_t row, const float *w)
{
    double sum = SLOPE * length_of(t->texts[row]);
    for (size_t i = x->start[row]; i < x->start[row + 1]; i++)
        sum += x->value[i] * w[x->column[i]];
    return sum;
}

/* Does it rank rows that it has not seen better than their length does? */
static bool beats_length(const struct task *t, const struct pm_sparse *x, float *w)
{
    double *values = pm_calloc(4 * (t->n + 1), sizeof(*values));
    double *head = values, *length = values + t->n, *weak = length + t->n, *strong = weak + t->n;
    size_t *rows = pm_calloc(t->n + 1, sizeof(*rows));
    struct pm_pair_measure a, b;
    for (size_t f = 0; f < FOLDS; f++) {
        size_t n = 0;
        for (size_t i = 0; i < t->n; i++)
            if (i % FOLDS != f)
                rows[n++] = i;
        fit_head(t, x, rows, n, w);
        for (size_t i = f; i < t->n; i += FOLDS)
            head[i] = head_value(t, x, i, w);
    }
    for (size_t i = 0; i < t->n; i++) {
        length[i] = length_of(t->texts[i]);
        weak[i] = t->rows[i]->weak;
        strong[i] = t->rows[i]->strong;
    }
    pm_measure_pair(head, weak, strong, t->n, t->options->seed, &a);
    pm_measure_pair(length, weak, strong, t->n, t->options->seed, &b);
    free(values);
    free(rows);
    return a.apgr.value > b.apgr.value;
}

static void learn_pair(struct task *t, const struct pm_rows *rows, struct pm_weights_writer *w,
                       struct pm_train_report *report)
{
    struct pm_sparse x = {0};
    gather(t, rows, has_pair);
    if (t->n) {
        char name[2 * PM_NAME + 2];
        float *weights = pm_calloc((size_t)1 << HEAD_BITS, sizeof(float)), *scores = pm_calloc(t->n, sizeof(float));
        float q[PM_QUANTILES];
        int8_t *small = pm_calloc((size_t)1 << HEAD_BITS, 1);
        size_t *all = pm_calloc(t->n, sizeof(*all));
        for (size_t i = 0; i < t->n; i++)
            all[i] = i;
        pm_sparse_of(t->tables, PM_RECIPE_GRAMS, HEAD_BITS, 0, 1, t->texts, t->n, &x);
        struct pm_head head = {.bits = HEAD_BITS, .labels = (uint32_t)t->n, .slope = (float)SLOPE, .quantiles = q};
        head.trusted = t->n >= LEAST_LABELS && beats_length(t, &x, weights);
        fit_head(t, &x, all, t->n, weights);
        for (size_t i = 0; i < t->n; i++)
            scores[i] = (float)head_value(t, &x, i, weights);
        quantiles(scores, t->n, q);
        head.scale = pm_quantise(weights, (size_t)1 << HEAD_BITS, 1, small);
        head.weights = small;
        snprintf(name, sizeof(name), "%.*s %.*s", PM_NAME, t->options->weak, PM_NAME, t->options->strong);
        pm_weights_add_head(w, name, &head);
        report->pairs = t->n;
        report->trusted = head.trusted;
        free(weights);
        free(scores);
        free(small);
        free(all);
    }
    pm_sparse_release(&x);
    release(t);
}

/* --- the table --- */

static const char *topic_of(const struct pm_row *row)
{
    return row->topic ? row->topic : "all";
}

/* Mean qualities by topic, those with few rows drawn towards the model's mean over all. */
static void fill_means(const struct task *t, const unsigned *topic, size_t models, size_t topics, float *mean)
{
    for (size_t m = 0; m < models; m++) {
        double all = 0, n = 0;
        for (size_t i = 0; i < t->n; i++) {
            if (!isnan(t->rows[i]->scores[m])) {
                all += t->rows[i]->scores[m];
                n++;
            }
        }
        for (size_t k = 0; k < topics; k++) {
            double sum = TABLE_PRIOR * (n > 0 ? all / n : 0.5), count = TABLE_PRIOR;
            for (size_t i = 0; i < t->n; i++) {
                if (topic[i] != k || isnan(t->rows[i]->scores[m]))
                    continue;
                sum += t->rows[i]->scores[m];
                count++;
            }
            mean[k * models + m] = (float)(sum / count);
        }
    }
}

/* A head for each topic and model, on what the table leaves unexplained. */
static void fill_heads(const struct task *t, const struct pm_sparse *x, const unsigned *topic, struct pm_table *table,
                       float *scale, int8_t *weights)
{
    size_t models = table->models, *rows = pm_calloc(t->n + 1, sizeof(*rows));
    double *y = pm_calloc(t->n + 1, sizeof(*y));
    float *w = pm_calloc((size_t)1 << table->bits, sizeof(*w));
    int8_t *small = pm_calloc((size_t)1 << table->bits, 1);
    for (size_t k = 0; k < table->topics; k++) {
        for (size_t m = 0; m < models; m++) {
            size_t n = 0;
            for (size_t i = 0; i < t->n; i++) {
                if (topic[i] != k || isnan(t->rows[i]->scores[m]))
                    continue;
                y[n] = t->rows[i]->scores[m] - table->mean[k * models + m];
                rows[n++] = i;
            }
            pm_fit_ridge(x, rows, n, y, TABLE_LAMBDA, RIDGE_STEPS, w);
            scale[k * models + m] = pm_quantise(w, (size_t)1 << table->bits, 1, small);
            for (size_t b = 0; b < (size_t)1 << table->bits; b++)
                weights[((k << table->bits) + b) * models + m] = small[b];
        }
    }
    free(rows);
    free(y);
    free(w);
    free(small);
}

static int learn_table(struct task *t, const struct pm_rows *rows, struct pm_weights_writer *w,
                       struct pm_train_report *report, struct pm_error *err)
{
    struct classifier c = {.recipe = PM_RECIPE_BROAD, .bits = TOPIC_BITS, .norm = 0.5};
    struct pm_sparse x = {0};
    gather(t, rows, has_scores);
    name_classes(&c, t, topic_of);
    int rc = check_classes(&c, t, topic_of, err);
    for (size_t m = 0; m < rows->models.n && rc == PM_OK; m++)
        rc = check_name(rows->models.items[m], err);
    if (rc == PM_OK && t->n) {
        size_t models = rows->models.n, cells = models * c.n;
        char(*names)[PM_NAME] = pm_calloc(models, sizeof(*names));
        float *mean = pm_calloc(cells, sizeof(float)), *scale = pm_calloc(cells, sizeof(float));
        unsigned bits = TABLE_BITS;
        while (cells << bits > TABLE_BYTES && bits > 1)
            bits--;
        int8_t *weights = pm_calloc(cells << bits, 1);
        for (size_t m = 0; m < models; m++)
            snprintf(names[m], PM_NAME, "%s", rows->models.items[m]);
        c.weight = pm_calloc(t->n + 1, sizeof(*c.weight));
        c.weights = pm_calloc((size_t)c.n << c.bits, sizeof(float));
        c.bias = pm_calloc(c.n, sizeof(float));
        for (size_t i = 0; i < t->n; i++)
            c.weight[i] = 1;
        pm_sparse_of(t->tables, c.recipe, c.bits, c.norm, 1, t->texts, t->n, &x);
        if (c.n > 1)
            fit_classes(&c, t, &x);
        to_section(&c, w, "topic");
        pm_sparse_release(&x);
        struct pm_table table = {.topics = c.n,
                                 .models = (uint32_t)models,
                                 .bits = bits,
                                 .names = (const char(*)[PM_NAME])names,
                                 .mean = mean,
                                 .scale = scale,
                                 .weights = weights};
        fill_means(t, c.label, models, c.n, mean);
        pm_sparse_of(t->tables, PM_RECIPE_NARROW, bits, 1, 1, t->texts, t->n, &x);
        fill_heads(t, &x, c.label, &table, scale, weights);
        pm_weights_add_table(w, "topic", &table);
        report->scored = t->n;
        report->models = models;
        report->topics = c.n;
        free(names);
        free(mean);
        free(scale);
        free(weights);
    }
    pm_sparse_release(&x);
    classifier_release(&c);
    release(t);
    return rc;
}

/* --- sizes --- */

static void learn_sizes(struct task *t, const struct pm_rows *rows, struct pm_weights_writer *w)
{
    gather(t, rows, has_prompt);
    struct pm_sizes sizes = {0};
    float *lengths = pm_calloc(t->n + 1, sizeof(*lengths));
    double sum[4] = {0}, squares[4] = {0}, n = 0;
    for (size_t i = 0; i < t->n; i++) {
        struct pm_effort e;
        lengths[i] = (float)log1p((double)strlen(t->texts[i]));
        if (!t->rows[i]->label || strcmp(t->rows[i]->label, "math") != 0)
            continue;
        pm_effort_of(t->tables, t->texts[i], strlen(t->texts[i]), &e);
        double seen[4] = {lengths[i], log1p(e.numbers), log1p(e.relations), log1p(e.sentences)};
        for (unsigned k = 0; k < 4; k++) {
            sum[k] += seen[k];
            squares[k] += seen[k] * seen[k];
        }
        n++;
    }
    for (unsigned k = 0; k < 4 && n > 1; k++) {
        sizes.mean[k] = (float)(sum[k] / n);
        sizes.sd[k] = (float)sqrt(fmax(0, squares[k] / n - sum[k] / n * sum[k] / n));
    }
    if (t->n && n > 1) {
        quantiles(lengths, t->n, sizes.log_bytes);
        pm_weights_add_sizes(w, &sizes);
    }
    free(lengths);
    release(t);
}

int pm_train(const struct pm_rows *rows, const struct pm_train_options *options, const char *out,
             struct pm_train_report *report, struct pm_error *err)
{
    struct pm_text_tables *tables = pm_calloc(1, sizeof(*tables));
    struct pm_weights_writer *w = pm_weights_writer_new();
    struct task t = {.tables = tables, .options = options};
    struct pm_weights *base = NULL;
    char why[300];
    int rc = PM_OK;
    *report = (struct pm_train_report){0};
    pm_text_tables_init(tables);
    if (check_name(options->weak, err) < 0 || check_name(options->strong, err) < 0)
        rc = PM_EINVAL;
    if (rc == PM_OK && options->base && !(base = pm_weights_open(options->base, why, sizeof(why))))
        rc = pm_error_set(err, PM_EINVAL, "%s", why);
    if (base)
        pm_weights_add_all(w, base);
    if (rc == PM_OK)
        rc = learn_labels(&t, rows, base, w, report, err);
    if (rc == PM_OK)
        rc = learn_table(&t, rows, w, report, err);
    if (rc == PM_OK) {
        learn_pair(&t, rows, w, report);
        learn_sizes(&t, rows, w);
    }
    bool nothing = !base && !report->labels && !report->pairs && !report->scored;
    if (rc == PM_OK && nothing) {
        rc = pm_error_set(err, PM_EINVAL,
                          "nothing to learn from: rows with at least two different `label`s, with `weak` "
                          "and `strong`, or with `scores` are expected");
    } else if (rc == PM_OK) {
        rc = pm_weights_write(w, out, &report->bytes, err);
    }
    pm_weights_close(base);
    pm_weights_writer_free(w);
    free(tables);
    return rc;
}
