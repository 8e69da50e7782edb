#include "core/conf/keys.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/alloc.h"
#include "core/conf/conf.h"

static int parse_bool(const char *v, bool *out)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};
    for (int i = 0; i < 4; i++) {
        if (strcasecmp(v, yes[i]) == 0 || strcasecmp(v, no[i]) == 0) {
            *out = strcasecmp(v, yes[i]) == 0;
            return PM_OK;
        }
    }
    return PM_EINVAL;
}

static int parse_mib(const char *v, struct pm_mib *out)
{
    struct pm_strv parts = {0};
    int rc = PM_OK;
    *out = (struct pm_mib){0};
    pm_strv_split(&parts, v);
    if (!parts.n || parts.n > PM_DEVICES_MAX)
        rc = PM_EINVAL;
    for (size_t i = 0; i < parts.n && rc == PM_OK; i++)
        rc = pm_int_parse(parts.items[i], 0, 1LL << 30, &out->v[out->n++]);
    pm_strv_release(&parts);
    return rc;
}

static bool is_one_of(const char *words, const char *v)
{
    size_t n = strlen(v);
    if (strchr(v, ' '))
        return false;
    for (const char *p = words; n && (p = strstr(p, v)); p += n)
        if ((p == words || p[-1] == ' ') && (p[n] == 0 || p[n] == ' '))
            return true;
    return false;
}

static void set_string(char **field, const char *v)
{
    free(*field);
    *field = pm_strdup(v);
}

/* What was expected, or NULL when the value was taken. */
static const char *set_value(const struct pm_key *key, void *at, const char *v)
{
    switch (key->type) {
    case PM_KEY_STRING:
        set_string(at, v);
        return NULL;
    case PM_KEY_WORD:
        if (!is_one_of(key->words, v))
            return "one of these words";
        set_string(at, v);
        return NULL;
    case PM_KEY_INT:
        return pm_int_parse(v, (long long)key->least, (long long)key->most, at) < 0 ? "a whole number" : NULL;
    case PM_KEY_REAL:
        return pm_real_parse(v, key->least, key->most, at) < 0 ? "a number" : NULL;
    case PM_KEY_DURATION:
        return pm_duration_parse(v, at) < 0 ? "a duration such as 500ms, 2s, 30m, 1h" : NULL;
    case PM_KEY_BOOL:
        return parse_bool(v, at) < 0 ? "yes or no" : NULL;
    case PM_KEY_LIST:
        pm_strv_release(at);
        pm_strv_split(at, v);
        return NULL;
    case PM_KEY_MIB:
        return parse_mib(v, at) < 0 ? "MiB, a number for each device, with commas between" : NULL;
    }
    return NULL;
}

bool pm_key_set(const struct pm_key *keys, size_t n, void *object, const char *file, const struct pm_ini_entry *entry,
                unsigned *scope, struct pm_strv *errors)
{
    for (size_t i = 0; i < n; i++) {
        const struct pm_key *key = &keys[i];
        if (strcmp(key->name, entry->key) != 0)
            continue;
        *scope = key->scope;
        const char *expected = set_value(key, (char *)object + key->offset, entry->value);
        if (!expected)
            return true;
        if (key->type == PM_KEY_INT || key->type == PM_KEY_REAL)
            pm_diag(errors, file, entry->line, "%s=%s: %s from %.12g to %.12g is expected", key->name, entry->value,
                    expected, key->least, key->most);
        else
            pm_diag(errors, file, entry->line, "%s=%s: %s is expected%s%s", key->name, entry->value, expected,
                    key->words ? ": " : "", key->words ? key->words : "");
        return true;
    }
    return false;
}

void pm_key_unknown(const struct pm_key *keys, size_t n, const char *file, const struct pm_ini_entry *entry,
                    struct pm_strv *errors)
{
    const char **names = pm_calloc(n, sizeof(*names));
    for (size_t i = 0; i < n; i++)
        names[i] = keys[i].name;
    const char *near = pm_nearest(entry->key, names, n);
    pm_diag(errors, file, entry->line, "unknown key %s%s%s%s", entry->key, near ? ": did you mean " : "",
            near ? near : "", near ? "?" : "");
    free(names);
}

void pm_key_release(const struct pm_key *keys, size_t n, void *object)
{
    for (size_t i = 0; i < n; i++) {
        void *at = (char *)object + keys[i].offset;
        if (keys[i].type == PM_KEY_STRING || keys[i].type == PM_KEY_WORD)
            PM_FREE_AND_NULL(*(char **)at);
        else if (keys[i].type == PM_KEY_LIST)
            pm_strv_release(at);
    }
}
