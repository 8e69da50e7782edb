/* A route's [policy NAME] section into the policy's own option structure. */
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/route/policies_priv.h"

static char *keep_text(struct instance *inst, char *text)
{
    inst->texts = pm_realloc(inst->texts, inst->n_texts + 1, sizeof(*inst->texts));
    inst->texts[inst->n_texts++] = text;
    return text;
}

static const struct pmp_option *find(const struct pmp_policy *p, const char *key)
{
    for (const struct pmp_option *o = p->options; o && o->name; o++)
        if (o->type != PMP_PAIRS && strcmp(o->name, key) == 0)
            return o;
    return NULL;
}

static int set(struct instance *inst, const struct pmp_option *o, const char *value, const char *where,
               struct pm_error *err)
{
    void *at = (char *)inst->conf + o->offset;
    long long n;
    double x;
    switch (o->type) {
    case PMP_STRING:
        *(const char **)at = keep_text(inst, pm_strdup(value));
        return PM_OK;
    case PMP_INT:
        if (pm_int_parse(value, (long long)o->least, (long long)o->most, &n) < 0)
            return pm_error_set(err, PM_EINVAL, "%s: %s=%s: a whole number from %.12g to %.12g is expected", where,
                                o->name, value, o->least, o->most);
        *(int64_t *)at = n;
        return PM_OK;
    case PMP_REAL:
        if (pm_real_parse(value, o->least, o->most, &x) < 0)
            return pm_error_set(err, PM_EINVAL, "%s: %s=%s: a number from %.12g to %.12g is expected", where, o->name,
                                value, o->least, o->most);
        *(double *)at = x;
        return PM_OK;
    case PMP_BOOL:
        if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
            return pm_error_set(err, PM_EINVAL, "%s: %s=%s: yes or no is expected", where, o->name, value);
        *(int *)at = value[0] == 'y';
        return PM_OK;
    case PMP_PAIRS:
        break;
    }
    return PM_OK;
}

static int unknown(const struct pmp_policy *p, const char *key, const char *where, struct pm_error *err)
{
    const char *known[64];
    size_t n = 0;
    for (const struct pmp_option *o = p->options; o && o->name && n < 64; o++)
        known[n++] = o->name;
    const char *near = pm_nearest(key, known, n);
    return pm_error_set(err, PM_EINVAL, "%s: policy %s has no option %s%s%s%s", where, p->name, key,
                        near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
}

int pm_policy_read_options(struct instance *inst, const struct pm_ini_section *section, struct pm_error *err)
{
    const struct pmp_policy *p = &inst->library->policy;
    const struct pmp_option *pairs_option = NULL;
    struct pmp_pairs pairs = {0};
    inst->conf = pm_calloc(1, p->conf_size);
    for (const struct pmp_option *o = p->options; o && o->name; o++) {
        if (o->type == PMP_PAIRS)
            pairs_option = o;
        else if (o->preset && set(inst, o, o->preset, "preset", err) < 0)
            return PM_EPLUGIN;
    }
    inst->pairs = pm_calloc(section ? section->n : 0, sizeof(*inst->pairs));
    for (size_t i = 0; section && i < section->n; i++) {
        const struct pm_ini_entry *e = &section->entries[i];
        char *where = keep_text(inst, pm_asprintf("%s:%d", section->file, e->line));
        const struct pmp_option *o = find(p, e->key);
        int rc = PM_OK;
        if (o)
            rc = set(inst, o, e->value, where, err);
        else if (pairs_option)
            inst->pairs[pairs.n++] = (struct pmp_pair){.key = keep_text(inst, pm_strdup(e->key)),
                                                       .value = keep_text(inst, pm_strdup(e->value)),
                                                       .where = where};
        else
            rc = unknown(p, e->key, where, err);
        if (rc < 0)
            return rc;
    }
    pairs.items = inst->pairs;
    if (pairs_option)
        *(struct pmp_pairs *)(void *)((char *)inst->conf + pairs_option->offset) = pairs;
    return PM_OK;
}
