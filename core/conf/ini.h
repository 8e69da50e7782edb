/* The dialect of models.conf and routes.d: `[section]`, `KEY=VALUE`, `#` comments on their own line.
 *
 * A value is taken literally to the end of the line, only blanks at its ends are cut: no quotes, no escapes, no
 * continuation, no length limit but the file's.
 */
#ifndef PM_CONF_INI_H
#define PM_CONF_INI_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/text.h"

struct pm_ini_entry {
    char *key, *value;
    int line;
};

struct pm_ini_section {
    char *name;
    const char *file; /* borrowed from the caller of pm_ini_parse */
    int line;
    struct pm_ini_entry *entries;
    size_t n;
};

struct pm_ini {
    struct pm_ini_section *sections;
    size_t n;
    bool is_secret; /* faults do not repeat what stands there */
};

/* What is wrong with a configuration, a sentence each: `file:line: what, and the fix`. */
struct pm_diags {
    struct pm_strv errors;   /* the configuration cannot be used */
    struct pm_strv warnings; /* it can, but something in it will not work */
    struct pm_strv notes;    /* may be as it should: depends on where it is used */
};

void pm_diag(struct pm_strv *list, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void pm_diags_release(struct pm_diags *diags);

/* Adds the sections of `text` to `ini`; faults go to `diags`, the rest is still read. */
void pm_ini_parse(struct pm_ini *ini, const char *file, const char *text, struct pm_diags *diags);
void pm_ini_release(struct pm_ini *ini);

const char *pm_ini_get(const struct pm_ini_section *s, const char *key);

#endif
