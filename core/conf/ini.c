#include "core/conf/ini.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

void pm_diag(struct pm_strv *list, const char *file, int line, const char *fmt, ...)
{
    char what[768], whole[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    if (line > 0)
        snprintf(whole, sizeof(whole), "%s:%d: %s", file, line, what);
    else
        snprintf(whole, sizeof(whole), "%s: %s", file, what);
    pm_strv_add(list, whole, strlen(whole));
}

void pm_diags_release(struct pm_diags *diags)
{
    pm_strv_release(&diags->errors);
    pm_strv_release(&diags->warnings);
    pm_strv_release(&diags->notes);
}

static void trim(const char **start, size_t *len)
{
    while (*len && isspace((unsigned char)**start)) {
        (*start)++;
        (*len)--;
    }
    while (*len && isspace((unsigned char)(*start)[*len - 1]))
        (*len)--;
}

static void add_section(struct pm_ini *ini, const char *file, int line, const char *name, size_t len)
{
    ini->sections = pm_realloc(ini->sections, ini->n + 1, sizeof(*ini->sections));
    ini->sections[ini->n++] = (struct pm_ini_section){.name = pm_strndup(name, len), .file = file, .line = line};
}

static void add_entry(struct pm_ini *ini, const char *text, size_t len, int line, struct pm_diags *diags)
{
    struct pm_ini_section *s = &ini->sections[ini->n - 1];
    const char *eq = memchr(text, '=', len);
    if (!eq) {
        pm_diag(&diags->errors, s->file, line, "`%.*s` is neither [section], KEY=VALUE nor # comment",
                ini->is_secret ? 0
                : len > 60     ? 60
                               : (int)len,
                text);
        return;
    }
    const char *key = text, *val = eq + 1;
    size_t key_len = (size_t)(eq - text), val_len = len - key_len - 1;
    trim(&key, &key_len);
    trim(&val, &val_len);
    for (size_t i = 0; i < s->n; i++) {
        if (strlen(s->entries[i].key) == key_len && memcmp(s->entries[i].key, key, key_len) == 0) {
            pm_diag(&diags->errors, s->file, line, "%.*s stands twice in [%s], first in line %d: remove one",
                    ini->is_secret ? 0 : (int)key_len, key, s->name, s->entries[i].line);
            return;
        }
    }
    s->entries = pm_realloc(s->entries, s->n + 1, sizeof(*s->entries));
    s->entries[s->n++] =
        (struct pm_ini_entry){.key = pm_strndup(key, key_len), .value = pm_strndup(val, val_len), .line = line};
}

static void parse_line(struct pm_ini *ini, size_t first, const char *file, int line, const char *text, size_t len,
                       struct pm_diags *diags)
{
    trim(&text, &len);
    if (!len || *text == '#')
        return;
    if (*text == '[') {
        if (text[len - 1] != ']' || len == 2) {
            pm_diag(&diags->errors, file, line, "a section header is [name] on a line of its own");
            return;
        }
        text++;
        len -= 2;
        trim(&text, &len);
        add_section(ini, file, line, text, len);
        return;
    }
    if (ini->n == first)
        pm_diag(&diags->errors, file, line, "a [section] header must come before the first KEY=VALUE");
    else
        add_entry(ini, text, len, line, diags);
}

void pm_ini_parse(struct pm_ini *ini, const char *file, const char *text, struct pm_diags *diags)
{
    size_t first = ini->n;
    int line = 1;
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    while (*text) {
        size_t len = strcspn(text, "\n");
        parse_line(ini, first, file, line, text, len, diags);
        text += len + (text[len] == '\n');
        line++;
    }
}

void pm_ini_release(struct pm_ini *ini)
{
    for (size_t i = 0; i < ini->n; i++) {
        struct pm_ini_section *s = &ini->sections[i];
        for (size_t j = 0; j < s->n; j++) {
            free(s->entries[j].key);
            free(s->entries[j].value);
        }
        free(s->entries);
        free(s->name);
    }
    free(ini->sections);
    *ini = (struct pm_ini){0};
}

const char *pm_ini_get(const struct pm_ini_section *s, const char *key)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->entries[i].key, key) == 0)
            return s->entries[i].value;
    return NULL;
}
