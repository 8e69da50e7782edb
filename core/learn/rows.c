#include "core/learn/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

enum { FILE_MAX = 1 << 30, MODELS_MAX = 64 };

static char *copy(const cJSON *object, const char *key)
{
    const char *text = pm_json_str(object, key);
    return text ? pm_strdup(text) : NULL;
}

static bool is_quality(const cJSON *v)
{
    return cJSON_IsBool(v) || (cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble <= 1);
}

static double quality(const cJSON *v)
{
    return cJSON_IsNumber(v) ? v->valuedouble : cJSON_IsTrue(v) ? 1 : 0;
}

static size_t model_index(struct pm_rows *rows, const char *name)
{
    size_t i = 0;
    while (i < rows->models.n && strcmp(rows->models.items[i], name) != 0)
        i++;
    if (i == rows->models.n && i < MODELS_MAX)
        pm_strv_add(&rows->models, name, strlen(name));
    return i;
}

static const char *read_scores(struct pm_rows *rows, struct pm_row *row, const cJSON *scores)
{
    const cJSON *item;
    if (!cJSON_IsObject(scores))
        return "`scores` must be an object of models and qualities in [0,1]";
    if (!scores->child)
        return "`scores` is empty: at least one model is expected";
    row->scores = pm_calloc(MODELS_MAX, sizeof(*row->scores));
    for (size_t i = 0; i < MODELS_MAX; i++)
        row->scores[i] = NAN;
    cJSON_ArrayForEach (item, scores) {
        size_t i = model_index(rows, item->string);
        if (i == MODELS_MAX)
            return "more than 64 models";
        if (!is_quality(item))
            return "`scores`: a quality is a number in [0,1]";
        row->scores[i] = quality(item);
    }
    return NULL;
}

/* Functions as some data sets have them, in the words of the chat API. */
static cJSON *tools_json(const cJSON *tools)
{
    cJSON *list = cJSON_CreateArray();
    const cJSON *tool;
    cJSON_ArrayForEach (tool, tools) {
        cJSON *copied = cJSON_Duplicate(tool, true);
        if (!pm_json_get(tool, "function")) {
            cJSON *wrapped = cJSON_CreateObject();
            cJSON_AddStringToObject(wrapped, "type", "function");
            cJSON_AddItemToObject(wrapped, "function", copied);
            copied = wrapped;
        }
        cJSON_AddItemToArray(list, copied);
    }
    return list;
}

static const char *read_turns(struct pm_row *row, const cJSON *root)
{
    const cJSON *first = cJSON_GetArrayItem(pm_json_get(root, "turns"), 0), *message;
    if (!cJSON_IsArray(first) || !cJSON_IsArray(pm_json_get(root, "tools")))
        return "`turns` must be an array of arrays of messages, beside an array `tools`";
    cJSON *body = cJSON_CreateObject();
    cJSON_AddItemToObject(body, "messages", cJSON_Duplicate(first, true));
    cJSON_AddItemToObject(body, "tools", tools_json(pm_json_get(root, "tools")));
    cJSON_ArrayForEach (message, first)
        if (!row->prompt && pm_json_str(message, "content"))
            row->prompt = pm_strdup(pm_json_str(message, "content"));
    row->body = pm_json_text(body);
    row->has_tools = cJSON_GetArraySize(pm_json_get(body, "tools")) > 0;
    cJSON_Delete(body);
    return row->prompt ? NULL : "`turns`: no message with a text";
}

/* What is wrong, or NULL. */
static const char *read_row(struct pm_rows *rows, struct pm_row *row, const cJSON *root, const char *file)
{
    const cJSON *weak = pm_json_get(root, "weak"), *strong = pm_json_get(root, "strong");
    row->prompt = copy(root, "prompt");
    row->label = copy(root, "label");
    row->split = copy(root, "split");
    row->topic = copy(root, "task");
    if (!row->topic)
        row->topic = copy(root, "subject");
    row->source = copy(root, "source");
    if (!row->source)
        row->source = copy(root, "set");
    if (!row->source)
        row->source = pm_strndup(file, strcspn(file, "."));
    row->own = pm_json_true(root, "own");
    if (pm_json_get(root, "turns"))
        return read_turns(row, root);
    if (!row->prompt)
        return "`prompt` is missing: a string is expected";
    if (weak || strong) {
        if (!is_quality(weak) || !is_quality(strong))
            return "`weak` and `strong` must both be qualities in [0,1]";
        row->has_pair = true;
        row->weak = quality(weak);
        row->strong = quality(strong);
    }
    return pm_json_get(root, "scores") ? read_scores(rows, row, pm_json_get(root, "scores")) : NULL;
}

static void row_release(struct pm_row *row)
{
    free(row->prompt);
    free(row->body);
    free(row->label);
    free(row->source);
    free(row->topic);
    free(row->split);
    free(row->scores);
}

static struct pm_row *add_row(struct pm_rows *rows)
{
    if ((rows->n & (rows->n - 1)) == 0)
        rows->items = pm_realloc(rows->items, rows->n ? rows->n * 2 : 1, sizeof(*rows->items));
    rows->items[rows->n] = (struct pm_row){0};
    return &rows->items[rows->n++];
}

int pm_rows_read(struct pm_rows *rows, const char *path, struct pm_error *err)
{
    char *text;
    size_t len;
    int rc = pm_file_read(path, FILE_MAX, &text, &len, err);
    if (rc < 0)
        return rc;
    const char *slash = strrchr(path, '/');
    if (strlen(text) != len)
        rc = pm_error_set(err, PM_EINVAL, "%s: a zero byte after %zu bytes: this is no text", path, strlen(text));
    unsigned line = 1;
    for (char *p = text; *p && rc == PM_OK; line++) {
        size_t n = strcspn(p, "\n");
        struct pm_error why = {0};
        if (n > strspn(p, " \t\r")) {
            cJSON *root = pm_json_parse(p, n, &why);
            const char *wrong = root ? read_row(rows, add_row(rows), root, slash ? slash + 1 : path) : why.msg;
            if (wrong)
                rc = pm_error_set(err, PM_EINVAL, "%s:%u: %s", path, line, wrong);
            cJSON_Delete(root);
        }
        p += n + (p[n] == '\n');
    }
    free(text);
    return rc;
}

void pm_rows_release(struct pm_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        row_release(&rows->items[i]);
    free(rows->items);
    pm_strv_release(&rows->models);
    *rows = (struct pm_rows){0};
}

char *pm_row_body(const struct pm_row *row, const char *model)
{
    cJSON *body = row->body ? cJSON_Parse(row->body) : cJSON_CreateObject();
    cJSON_AddStringToObject(body, "model", model);
    if (!row->body) {
        cJSON *message = cJSON_CreateObject();
        cJSON_AddStringToObject(message, "role", "user");
        cJSON_AddStringToObject(message, "content", row->prompt);
        cJSON_AddItemToArray(cJSON_AddArrayToObject(body, "messages"), message);
    }
    char *text = pm_json_text(body);
    cJSON_Delete(body);
    return text;
}
