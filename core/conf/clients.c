#include "core/conf/clients.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/secret.h"
#include "core/conf/keys.h"

#define AT(field) offsetof(struct pm_user, field)

static const struct pm_key client_keys[] = {
    {"HASH", PM_KEY_STRING, AT(hash), 0, 0, 0, NULL},
    {"TARGETS", PM_KEY_LIST, AT(targets), 0, 0, 0, NULL},
    {"RPM", PM_KEY_INT, AT(rpm), 1, 1e9, 0, NULL},
    {"TPM", PM_KEY_INT, AT(tpm), 1, 1e12, 0, NULL},
    {"BUDGET", PM_KEY_REAL, AT(budget), 0, 1e12, 0, NULL},
    {"PRIORITY", PM_KEY_WORD, AT(priority), 0, 0, 0, "high normal low"},
    {"LOCAL_ONLY", PM_KEY_BOOL, AT(local_only), 0, 0, 0, NULL},
    {"ADMIN", PM_KEY_BOOL, AT(admin), 0, 0, 0, NULL},
    {"CREATED", PM_KEY_STRING, AT(created), 0, 0, 0, NULL},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { KEY_NAME_MAX = 16 };

static const char scheme[] = "sha256:";

static bool is_hash(const char *text)
{
    size_t n = sizeof(scheme) - 1;
    return text && strncmp(text, scheme, n) == 0 && strlen(text + n) == PM_SHA256_HEX - 1 &&
           strspn(text + n, "0123456789abcdef") == PM_SHA256_HEX - 1;
}

static void check_targets(const struct pm_conf *conf, const struct pm_user *c, struct pm_diags *diags)
{
    const char **ids = pm_calloc(conf->n_targets + 1, sizeof(*ids));
    for (size_t i = 0; i < conf->n_targets; i++)
        ids[i] = conf->targets[i].id;
    for (size_t i = 0; i < c->targets.n; i++) {
        const char *id = c->targets.items[i], *near = pm_nearest(id, ids, conf->n_targets);
        if (!pm_conf_target(conf, id))
            pm_diag(&diags->errors, c->file, c->line, "[%s] TARGETS: unknown target %s%s%s%s", c->id, id,
                    near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
    }
    free(ids);
}

static void add_client(struct pm_conf *conf, const struct pm_ini_section *s, struct pm_diags *diags)
{
    conf->clients = pm_realloc(conf->clients, conf->n_clients + 1, sizeof(*conf->clients));
    struct pm_user *c = &conf->clients[conf->n_clients++];
    *c = (struct pm_user){.id = pm_strdup(s->name), .file = s->file, .line = s->line};
    for (size_t i = 0; i < s->n; i++) {
        unsigned scope;
        if (pm_key_set(client_keys, COUNT(client_keys), c, s->file, &s->entries[i], &scope, &diags->errors))
            continue;
        /* What is long may be a key that slipped in: it is not repeated. */
        if (strlen(s->entries[i].key) > KEY_NAME_MAX)
            pm_diag(&diags->errors, s->file, s->entries[i].line,
                    "this is no key of the keys file: HASH, TARGETS, RPM, TPM, BUDGET, PRIORITY, LOCAL_ONLY, ADMIN, "
                    "CREATED are");
        else
            pm_key_unknown(client_keys, COUNT(client_keys), s->file, &s->entries[i], &diags->errors);
    }
    if (!is_hash(c->hash))
        pm_diag(&diags->errors, s->file, s->line,
                "[%s] HASH=sha256: and 64 digits is expected: `pointsman key add` makes such a section", s->name);
    else
        memmove(c->hash, c->hash + sizeof(scheme) - 1, PM_SHA256_HEX);
    for (size_t i = 0; i + 1 < conf->n_clients; i++)
        if (strcmp(conf->clients[i].id, c->id) == 0)
            pm_diag(&diags->errors, s->file, s->line, "[%s] stands twice, first in line %d: rename one", s->name,
                    conf->clients[i].line);
    check_targets(conf, c, diags);
}

void pm_conf_read_clients(struct pm_conf *conf, struct pm_diags *diags)
{
    for (size_t i = 0; i < conf->clients_ini.n; i++)
        add_client(conf, &conf->clients_ini.sections[i], diags);
}

void pm_user_release(struct pm_user *c)
{
    free(c->id);
    pm_key_release(client_keys, COUNT(client_keys), c);
}
