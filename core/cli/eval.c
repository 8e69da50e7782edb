/* `pointsman eval`: how good policies are on rows whose outcome is known. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/cli/cli.h"
#include "core/cli/eval_priv.h"
#include "core/cli/options.h"
#include "core/cli/talk.h"
#include "core/learn/measure.h"
#include "core/learn/train.h"

static const char usage[] =
    "eval --data FILE.jsonl [--policy NAME,...] [--weights FILE | --folds K | --leave-out source | --by-split]\n"
    "       [--train FILE.jsonl] [--own N] [--cap N] [--pair WEAK,STRONG] [--seed N] [--options FILE] [--json] "
    "[--plugins DIR]\n"
    "       eval --from-usage [--policy NAME,...] [--weights FILE] [--options FILE] [--seed N] [--state DIR] [--json]";

static const char default_chain[] = "capability,learned,stage";

static bool is_used(const void *arg, const struct pm_row *row, size_t i)
{
    const struct pm_trial *t = arg;
    (void)row;
    return t->in_train[i];
}

static void target_names(const struct pm_trial *t, struct pm_strv *names)
{
    for (size_t i = 0; i < t->rows.models.n; i++)
        pm_strv_add(names, t->rows.models.items[i], strlen(t->rows.models.items[i]));
    if (!names->n)
        pm_strv_split(names, t->ask.pair);
}

static int judge_rows(struct pm_trial *t, const char *weights, struct pm_error *err)
{
    struct pm_strv targets = {0};
    struct pm_buf options;
    target_names(t, &targets);
    pm_buf_init(&options, 65536);
    if (t->ask.options) {
        char *text;
        size_t len;
        int bad = pm_file_read(t->ask.options, 32768, &text, &len, err);
        if (bad < 0) {
            pm_strv_release(&targets);
            return bad;
        }
        pm_buf_addn(&options, text, len);
        pm_buf_add(&options, "\n");
        free(text);
    }
    char *real = weights ? realpath(weights, NULL) : NULL;
    if (weights && strstr(t->ask.policies, "learned"))
        pm_buf_addf(&options, "[policy learned]\nWEIGHTS=%s\n", real ? real : weights);
    free(real);
    struct pm_judge_spec spec = {
        .plugins = t->ask.plugins, .policies = t->ask.policies, .targets = &targets, .options = options.data};
    struct pm_judge *j = pm_judge_new(&spec, err);
    int rc = j ? PM_OK : PM_EINVAL;
    for (size_t i = 0; i < t->n_data && rc == PM_OK; i++) {
        if (!t->in_test[i])
            continue;
        char *body = pm_row_body(&t->rows.items[i], "eval");
        rc = pm_judge_body(j, body, &t->said[i], err);
        t->fate[i] = PM_ROW_JUDGED;
        free(body);
    }
    pm_judge_free(j);
    pm_buf_release(&options);
    pm_strv_release(&targets);
    return rc;
}

static int train_and_judge(struct pm_trial *t, struct pm_error *err)
{
    struct pm_train_options options = {.seed = (uint64_t)t->ask.seed,
                                       .weak = t->pair.items[0],
                                       .strong = t->pair.items[1],
                                       .used = is_used,
                                       .arg = t};
    struct pm_train_report report;
    int rc = pm_train(&t->rows, &options, t->weights, &report, err);
    if (rc == PM_OK)
        rc = judge_rows(t, t->weights, err);
    unlink(t->weights);
    return rc;
}

/* --- which rows train, and which are judged --- */

/* Of each source at most `cap` rows are judged, at random: each of those left is as likely to be among those wanted.
 */
static void keep_few(struct pm_trial *t)
{
    for (size_t s = 0; s < t->n_data && t->ask.cap; s++) {
        const char *source = t->rows.items[s].source;
        size_t left = 0, wanted = (size_t)t->ask.cap;
        bool first = true;
        for (size_t i = 0; i < s && first; i++)
            first = strcmp(t->rows.items[i].source, source) != 0;
        for (size_t i = s; i < t->n_data && first; i++)
            left += t->in_test[i] && strcmp(t->rows.items[i].source, source) == 0;
        for (size_t i = s; i < t->n_data && first && left; i++) {
            if (!t->in_test[i] || strcmp(t->rows.items[i].source, source) != 0)
                continue;
            if (pm_random(&t->random) % left < wanted)
                wanted--;
            else
                t->in_test[i] = false;
            left--;
        }
    }
}

/* Of the rows to be judged, `own` at random train instead. */
static void give_own(struct pm_trial *t)
{
    size_t left = (size_t)t->ask.own, n = 0;
    for (size_t i = 0; i < t->n_data; i++)
        n += t->in_test[i];
    for (size_t i = 0; i < t->n_data && left && n; i++) {
        if (!t->in_test[i])
            continue;
        if (pm_random(&t->random) % n < left) {
            t->in_test[i] = false;
            t->in_train[i] = true;
            t->rows.items[i].own = true;
            left--;
        }
        n--;
    }
}

static void give_own_back(struct pm_trial *t)
{
    for (size_t i = 0; i < t->n_data; i++)
        t->rows.items[i].own = false;
}

static void only_training_rows(struct pm_trial *t)
{
    for (size_t i = 0; i < t->rows.n; i++) {
        t->in_train[i] = i >= t->n_data;
        t->in_test[i] = false;
    }
}

static int by_folds(struct pm_trial *t, struct pm_error *err)
{
    size_t k = (size_t)t->ask.folds, *fold = pm_calloc(t->n_data + 1, sizeof(*fold));
    int rc = PM_OK;
    for (size_t i = 0; i < t->n_data; i++)
        fold[i] = i % k;
    for (size_t i = t->n_data; i > 1; i--) {
        size_t other = pm_random(&t->random) % i, kept = fold[i - 1];
        fold[i - 1] = fold[other];
        fold[other] = kept;
    }
    for (size_t f = 0; f < k && rc == PM_OK; f++) {
        only_training_rows(t);
        for (size_t i = 0; i < t->n_data; i++) {
            t->in_test[i] = fold[i] == f;
            t->in_train[i] = fold[i] != f;
        }
        rc = train_and_judge(t, err);
    }
    free(fold);
    return rc;
}

static int by_source(struct pm_trial *t, struct pm_error *err)
{
    int rc = PM_OK;
    for (size_t s = 0; s < t->n_data && rc == PM_OK; s++) {
        const char *source = t->rows.items[s].source;
        if (t->fate[s] != PM_ROW_LEFT)
            continue;
        only_training_rows(t);
        for (size_t i = 0; i < t->n_data; i++) {
            bool out = strcmp(t->rows.items[i].source, source) == 0;
            t->in_test[i] = out;
            t->in_train[i] = !out;
        }
        keep_few(t);
        give_own(t);
        rc = train_and_judge(t, err);
        give_own_back(t);
        for (size_t i = 0; i < t->n_data; i++)
            if (strcmp(t->rows.items[i].source, source) == 0 && t->fate[i] == PM_ROW_LEFT)
                t->fate[i] = PM_ROW_TAUGHT;
    }
    return rc;
}

static int by_split(struct pm_trial *t, struct pm_error *err)
{
    only_training_rows(t);
    for (size_t i = 0; i < t->n_data; i++) {
        const char *split = t->rows.items[i].split;
        if (!split)
            return pm_error_set(err, PM_EINVAL, "--by-split: row %zu has no `split`", i + 1);
        t->in_train[i] = strstr(split, "train") != NULL;
        t->in_test[i] = !t->in_train[i];
    }
    return train_and_judge(t, err);
}

static int once(struct pm_trial *t, struct pm_error *err)
{
    only_training_rows(t);
    for (size_t i = 0; i < t->n_data; i++)
        t->in_test[i] = true;
    keep_few(t);
    give_own(t);
    if (t->rows.n > t->n_data || t->ask.own)
        return train_and_judge(t, err);
    return judge_rows(t, t->ask.weights, err);
}

/* --- the command --- */

static int read_rows(struct pm_trial *t, struct pm_error *err)
{
    struct pm_strv data = {0}, train = {0};
    int rc = PM_OK;
    pm_strv_split(&data, t->ask.data);
    pm_strv_split(&train, t->ask.train ? t->ask.train : "");
    for (size_t i = 0; i < data.n && rc == PM_OK; i++)
        rc = pm_rows_read(&t->rows, data.items[i], err);
    t->n_data = t->rows.n;
    for (size_t i = 0; i < train.n && rc == PM_OK; i++)
        rc = pm_rows_read(&t->rows, train.items[i], err);
    if (rc == PM_OK && !t->n_data)
        rc = pm_error_set(err, PM_EINVAL, "%s: no rows", t->ask.data);
    pm_strv_release(&data);
    pm_strv_release(&train);
    t->fate = pm_calloc(t->rows.n + 1, sizeof(*t->fate));
    t->in_test = pm_calloc(t->rows.n + 1, sizeof(*t->in_test));
    t->in_train = pm_calloc(t->rows.n + 1, sizeof(*t->in_train));
    t->said = pm_calloc(t->rows.n + 1, sizeof(*t->said));
    return rc;
}

static int run(struct pm_trial *t, struct pm_error *err)
{
    pm_judge_temporary(t->weights, sizeof(t->weights));
    int fd = mkstemp(t->weights);
    if (fd < 0)
        return pm_error_errno(err, "%s", t->weights);
    close(fd);
    int rc = t->ask.folds       ? by_folds(t, err)
             : t->ask.leave_out ? by_source(t, err)
             : t->ask.by_split  ? by_split(t, err)
                                : once(t, err);
    unlink(t->weights);
    return rc;
}

static bool read_numbers(struct pm_asked *a, const char *folds, const char *own, const char *cap, const char *seed)
{
    return pm_int_parse(folds, 0, 1000, &a->folds) == PM_OK && pm_int_parse(own, 0, 1000000, &a->own) == PM_OK &&
           pm_int_parse(cap, 0, 1000000, &a->cap) == PM_OK && pm_int_parse(seed, 0, 1LL << 40, &a->seed) == PM_OK;
}

int pm_cmd_eval(int argc, char **argv)
{
    struct pm_trial t = {
        .ask = {.policies = default_chain, .pair = "weak,strong", .plugins = pm_cli_places()->plugins}};
    const char *state = pm_cli_places()->state, *models = pm_cli_places()->models;
    bool from_usage = false;
    const char *folds = "0", *own = "0", *cap = "0", *seed = "1";
    const struct pm_cli_option options[] = {
        {"--data", &t.ask.data, NULL,
         "rows whose outcome is known, one JSON object a line; files with commas between"},
        {"--policy", &t.ask.policies, NULL, "the chain to judge with (the shipped one)"},
        {"--weights", &t.ask.weights, NULL, "weights for the policy learned (the shipped ones)"},
        {"--options", &t.ask.options, NULL, "a file with [policy NAME] sections, as a route has them"},
        {"--train", &t.ask.train, NULL, "rows to learn from first"},
        {"--folds", &folds, NULL, "learn from all parts but one, judge that one, and so on"},
        {"--leave-out", &t.ask.leave_out, NULL, "`source`: learn from all sources but one, judge that one, and so on"},
        {"--by-split", NULL, &t.ask.by_split, "learn from rows whose `split` has `train` in it, judge the others"},
        {"--pair", &t.ask.pair, NULL, "the targets that `weak` and `strong` in the rows stand for (weak,strong)"},
        {"--own", &own, NULL, "so many of the rows to be judged are learnt from instead"},
        {"--cap", &cap, NULL, "judge at most so many rows of a source"},
        {"--seed", &seed, NULL, "of all that is random (1)"},
        {"--from-usage", NULL, &from_usage, "on the requests that the gateway has recorded (RECORD=prompts)"},
        {"--state", &state, NULL, "the state folder with them"},
        {"--models", &models, NULL, "what the targets are good at"},
        {"--json", NULL, &t.ask.json, "one document for programs"},
        {"--plugins", &t.ask.plugins, NULL, "the folder with the policies"},
        {0}};
    struct pm_error err = {0};
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0)
        return rc;
    pm_strv_split(&t.pair, t.ask.pair);
    if (words || !t.ask.data != from_usage || t.pair.n != 2 || !read_numbers(&t.ask, folds, own, cap, seed) ||
        (t.ask.folds == 1) || (t.ask.leave_out && strcmp(t.ask.leave_out, "source") != 0)) {
        fprintf(stderr, "usage: pointsman %s\n", usage);
        pm_strv_release(&t.pair);
        return 2;
    }
    t.random = (uint64_t)t.ask.seed;
    if (from_usage) {
        rc = pm_eval_usage(&t.ask, state, models, &err);
        pm_strv_release(&t.pair);
        return rc == PM_OK ? 0 : pm_cli_failed(&err);
    }
    rc = read_rows(&t, &err);
    if (rc == PM_OK)
        rc = run(&t, &err);
    if (rc == PM_OK)
        pm_eval_report(&t);
    pm_rows_release(&t.rows);
    pm_strv_release(&t.pair);
    free(t.in_test);
    free(t.in_train);
    free(t.fate);
    free(t.said);
    return rc == PM_OK ? 0 : pm_cli_failed(&err);
}
