/* Tables of keys: type, limits and place of each, from which reading and error texts come. */
#ifndef PM_CONF_KEYS_H
#define PM_CONF_KEYS_H

#include "core/conf/ini.h"

enum pm_key_type {
    PM_KEY_STRING,
    PM_KEY_INT,      /* long long */
    PM_KEY_REAL,     /* double */
    PM_KEY_DURATION, /* uint64_t ms */
    PM_KEY_BOOL,     /* yes no true false on off 1 0 */
    PM_KEY_LIST,     /* struct pm_strv */
    PM_KEY_MIB,      /* struct pm_mib: comma separated */
    PM_KEY_WORD      /* string, one of `words` */
};

struct pm_key {
    const char *name;
    enum pm_key_type type;
    size_t offset;
    double least, most;
    unsigned scope;    /* bits that the caller defines */
    const char *words; /* of PM_KEY_WORD: "a b c" */
};

/* Sets the field that `entry` names in `object`. Faults go to `errors`. False when the table has no such key. */
bool pm_key_set(const struct pm_key *keys, size_t n, void *object, const char *file, const struct pm_ini_entry *entry,
                unsigned *scope, struct pm_strv *errors);

/* Tells an unknown key with the nearest known one. */
void pm_key_unknown(const struct pm_key *keys, size_t n, const char *file, const struct pm_ini_entry *entry,
                    struct pm_strv *errors);

/* Frees what pm_key_set allocated in `object`. */
void pm_key_release(const struct pm_key *keys, size_t n, void *object);

#endif
