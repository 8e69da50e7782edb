/* `pointsman train`: weights for the policy `learned` from labelled rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"
#include "core/cli/cli.h"
#include "core/cli/options.h"
#include "core/cli/talk.h"
#include "core/learn/train.h"

static const char usage[] = "train --data FILE.jsonl[,FILE...] --out FILE.pmw [--base FILE.pmw] [--pair WEAK,STRONG]\n"
                            "       [--seed N] [--json]";

static void print_report(const struct pm_train_report *r, const char *out, bool json)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "file", out);
    cJSON_AddNumberToObject(root, "bytes", (double)r->bytes);
    cJSON_AddNumberToObject(root, "labelled_rows", (double)r->labelled);
    cJSON_AddNumberToObject(root, "labels", (double)r->labels);
    cJSON_AddNumberToObject(root, "pair_rows", (double)r->pairs);
    cJSON_AddBoolToObject(root, "pair_trusted", r->trusted);
    cJSON_AddNumberToObject(root, "scored_rows", (double)r->scored);
    cJSON_AddNumberToObject(root, "models", (double)r->models);
    cJSON_AddNumberToObject(root, "topics", (double)r->topics);
    if (json) {
        pm_cli_print_json(root);
    } else {
        printf("%s: %zu bytes\n", out, r->bytes);
        if (r->labels)
            printf("  %zu labels from %zu rows\n", r->labels, r->labelled);
        if (r->pairs)
            printf("  a weak and a strong target from %zu rows: %s\n", r->pairs,
                   r->trusted ? "it beats prompt length" : "it does not beat prompt length, which is used instead");
        if (r->scored)
            printf("  %zu models and %zu topics from %zu rows\n", r->models, r->topics, r->scored);
    }
    cJSON_Delete(root);
}

int pm_cmd_train(int argc, char **argv)
{
    const char *data = NULL, *out = NULL, *base = NULL, *pair = "weak,strong", *seed_text = "1";
    bool json = false;
    const struct pm_cli_option options[] = {
        {"--data", &data, NULL, "labelled rows, one JSON object a line; several files with commas between"},
        {"--out", &out, NULL, "the file to write"},
        {"--base", &base, NULL, "weights to begin with: the rows refine them"},
        {"--pair", &pair, NULL, "the targets that `weak` and `strong` in the rows stand for (weak,strong)"},
        {"--seed", &seed_text, NULL, "of all that is random: the same gives the same file (1)"},
        {"--json", NULL, &json, "one document for programs"},
        {0}};
    struct pm_error err = {0};
    struct pm_rows rows = {0};
    struct pm_strv files = {0}, names = {0};
    struct pm_train_report report;
    long long seed;
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0)
        return rc;
    pm_strv_split(&names, pair);
    if (words || !data || !out || names.n != 2 || pm_int_parse(seed_text, 0, 1LL << 40, &seed) < 0) {
        fprintf(stderr, "usage: pointsman %s\n", usage);
        pm_strv_release(&names);
        return 2;
    }
    pm_strv_split(&files, data);
    rc = PM_OK;
    for (size_t i = 0; i < files.n && rc == PM_OK; i++)
        rc = pm_rows_read(&rows, files.items[i], &err);
    struct pm_train_options train = {
        .seed = (uint64_t)seed, .weak = names.items[0], .strong = names.items[1], .base = base};
    if (rc == PM_OK)
        rc = pm_train(&rows, &train, out, &report, &err);
    if (rc == PM_OK)
        print_report(&report, out, json);
    pm_rows_release(&rows);
    pm_strv_release(&files);
    pm_strv_release(&names);
    return rc == PM_OK ? 0 : pm_cli_failed(&err);
}
