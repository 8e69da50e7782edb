/* Putting the gateway into a client's own files without harm to what its owner wrote there. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/cli/client_priv.h"

enum { CLIENT_FILE_MAX = 4 << 20 };

static const char mark_begin[] = "# >>> pointsman >>> (pointsman client writes these lines)";
static const char mark_end[] = "# <<< pointsman <<<";

char *pm_client_text(const char *text, const struct pm_client_facts *facts)
{
    char context[24], output[24];
    snprintf(context, sizeof(context), "%lld", facts->context);
    snprintf(output, sizeof(output), "%lld", facts->output);
    const char *const names[] = {"{url}", "{v1}", "{key}", "{model}", "{context}", "{output}"};
    const char *const values[] = {facts->url, facts->v1, facts->key, facts->model, context, output};
    enum { NAMES = sizeof(names) / sizeof(*names) };
    struct pm_buf out;
    pm_buf_init(&out, 65536);
    while (*text) {
        size_t i = 0;
        while (i < NAMES && strncmp(text, names[i], strlen(names[i])) != 0)
            i++;
        if (i < NAMES)
            pm_buf_add(&out, values[i]);
        else
            pm_buf_addn(&out, text, 1);
        text += i < NAMES ? strlen(names[i]) : 1;
    }
    return pm_buf_take(&out);
}

/* --- JSON --- */

static void merge(cJSON *into, const cJSON *from)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, from) {
        cJSON *old = cJSON_GetObjectItemCaseSensitive(into, item->string);
        if (cJSON_IsObject(old) && cJSON_IsObject(item))
            merge(old, item);
        else if (old)
            cJSON_ReplaceItemInObjectCaseSensitive(into, item->string, cJSON_Duplicate(item, true));
        else
            cJSON_AddItemToObject(into, item->string, cJSON_Duplicate(item, true));
    }
}

/* cJSON keeps numbers as doubles: larger whole ones would come out as others. */
static bool has_large_number(const cJSON *item)
{
    for (; item; item = item->next)
        if ((cJSON_IsNumber(item) && fabs(item->valuedouble) > 9e15) || has_large_number(item->child))
            return true;
    return false;
}

static int merge_json(const char *path, const char *before, const char *text, char **after, struct pm_error *err)
{
    struct pm_error why = {0};
    cJSON *ours = cJSON_Parse(text);
    cJSON *root = before && before[strspn(before, " \t\r\n")] ? pm_json_parse(before, strlen(before), &why)
                                                              : cJSON_CreateObject();
    int rc = PM_OK;
    if (cJSON_IsObject(root) && has_large_number(root->child)) {
        rc = pm_error_set(err, PM_EINVAL, "%s: it has a number that would be changed: please add this by hand", path);
    } else if (!cJSON_IsObject(root)) {
        rc = pm_error_set(err, PM_EINVAL, "%s: no plain JSON (%s): comments would be lost, so please add this by hand",
                          path, root ? "not an object" : why.msg);
    } else {
        merge(root, ours);
        char *printed = cJSON_Print(root);
        *after = pm_asprintf("%s\n", printed);
        free(printed);
    }
    cJSON_Delete(root);
    cJSON_Delete(ours);
    return rc;
}

/* --- lines between marks --- */

/* What a line sets: a table's head, or a key up to its `=` or `:`, without blanks and quotes. Empty for others. */
static void name_of(const char *line, char *out, size_t size)
{
    size_t n = 0;
    bool table = false;
    for (; *line && *line != '\n' && n + 1 < size; line++) {
        if (strchr(" \t\"'\r", *line))
            continue;
        table |= n == 0 && *line == '[';
        if (*line == '#' || (!table && (*line == '=' || *line == ':')))
            break;
        out[n++] = *line;
        if (table && *line == ']')
            break;
    }
    out[n] = 0;
}

static bool is_set_elsewhere(const char *text, const char *name)
{
    char other[256];
    while (text && *text) {
        name_of(text, other, sizeof(other));
        if (strcmp(other, name) == 0)
            return true;
        text = strchr(text, '\n');
        text += text != NULL;
    }
    return false;
}

static int check_lines(const char *path, const char *rest, const char *text, struct pm_error *err)
{
    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\n");
        char name[256];
        name_of(line, name, sizeof(name));
        /* Keys within a table of ours are in that table. */
        bool in_table = line[0] != '[' && text[0] == '[';
        if (*name && !in_table && is_set_elsewhere(rest, name))
            return pm_error_set(err, PM_EINVAL, "%s sets `%s` already: please change it there by hand", path, name);
        line += len + (line[len] == '\n');
    }
    return PM_OK;
}

static int merge_block(const char *path, const char *before, const char *text, char **after, struct pm_error *err)
{
    const char *begin = before ? strstr(before, mark_begin) : NULL, *end = begin ? strstr(begin, mark_end) : NULL;
    struct pm_buf rest;
    if (begin && !end)
        return pm_error_set(err, PM_EINVAL, "%s: the block that begins with `%s` has no end", path, mark_begin);
    pm_buf_init(&rest, CLIENT_FILE_MAX);
    pm_buf_addn(&rest, before ? before : "", begin ? (size_t)(begin - before) : before ? strlen(before) : 0);
    if (end)
        pm_buf_add(&rest, end + strlen(mark_end) + (end[strlen(mark_end)] == '\n'));
    int rc = check_lines(path, rest.data, text, err);
    if (rc == PM_OK)
        *after = pm_asprintf("%s%s%s\n%s%s\n", rest.data, rest.len && rest.data[rest.len - 1] != '\n' ? "\n" : "",
                             mark_begin, text, mark_end);
    pm_buf_release(&rest);
    return rc;
}

int pm_client_merge(const char *path, const struct pm_client_file *file, const char *text, char **before, char **after,
                    struct pm_error *err)
{
    size_t len = 0;
    struct stat st;
    *before = *after = NULL;
    if (access(path, F_OK) < 0 && lstat(path, &st) == 0)
        return pm_error_set(err, PM_EINVAL, "%s is a link that leads nowhere: please make the file that it names",
                            path);
    if (access(path, F_OK) == 0) {
        int rc = pm_file_read(path, CLIENT_FILE_MAX, before, &len, err);
        if (rc < 0)
            return rc;
        if (strlen(*before) != len)
            return pm_error_set(err, PM_EINVAL, "%s: a zero byte in it: this is no text", path);
    }
    if (file->kind == PM_FILE_JSON)
        return merge_json(path, *before, text, after, err);
    if (file->kind == PM_FILE_BLOCK)
        return merge_block(path, *before, text, after, err);
    if (file->kind == PM_FILE_WHOLE && *before && strcmp(*before, text) != 0)
        return pm_error_set(err, PM_EINVAL, "%s is there already: please add this to it by hand", path);
    *after = pm_strdup(text);
    return PM_OK;
}

/* --- writing --- */

static int make_folders(const char *path, struct pm_error *err)
{
    char *part = pm_strdup(path);
    int rc = PM_OK;
    for (char *p = part + 1; *p && rc == PM_OK; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            rc = pm_error_errno(err, "%s", part);
        *p = '/';
    }
    free(part);
    return rc;
}

int pm_client_write(const char *path, const char *before, const char *after, struct pm_error *err)
{
    char *kept = pm_asprintf("%s.before-pointsman", path), *real = before ? realpath(path, NULL) : NULL;
    int rc = make_folders(path, err);
    if (rc == PM_OK && before && access(kept, F_OK) < 0)
        rc = pm_file_write(kept, before, strlen(before), err);
    /* Into what a link leads to: dotfiles are often kept elsewhere. */
    if (rc == PM_OK)
        rc = pm_file_write(real ? real : path, after, strlen(after), err);
    free(kept);
    free(real);
    return rc;
}
