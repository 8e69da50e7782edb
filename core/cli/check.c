/* `pointsman check`: everything that can be wrong with a configuration, before it is used. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/alloc.h"
#include "core/cli/cli.h"
#include "core/cli/options.h"
#include "core/cli/sandbox.h"
#include "core/conf/conf.h"

struct checked {
    const struct pm_bundle *bundle;
    const struct pm_conf *conf;
};

/* In a child: loads all policies and starts them for every route. */
static int start_policies(struct pm_policies *ps, void *arg, struct pm_buf *out)
{
    const struct checked *c = arg;
    struct pm_error err = {0};
    int faults = 0;
    for (size_t i = 0; i < c->bundle->n_plugins; i++) {
        if (pm_policies_load(ps, c->bundle->plugins[i].path, c->bundle->plugins[i].fd, &err) < 0) {
            pm_buf_addf(out, "%s\n", err.msg);
            faults++;
        }
    }
    for (size_t i = 0; i < c->conf->n_routes; i++) {
        const char *culprit;
        if (pm_policies_bind(ps, &c->conf->routes[i], &culprit, &err) < 0) {
            pm_buf_addf(out, "%s\n", err.msg);
            faults++;
        }
    }
    return faults;
}

static void print_all(const struct pm_strv *list, const char *kind)
{
    for (size_t i = 0; i < list->n; i++)
        fprintf(stderr, "%s%s\n", list->items[i], kind);
}

static size_t check_servers(const struct pm_conf *conf)
{
    size_t faults = 0;
    for (size_t i = 0; i < conf->n_targets; i++) {
        const struct pm_target *t = &conf->targets[i];
        char *path = t->kind == PM_TARGET_LOCAL ? pm_conf_server_path(t) : NULL;
        if (t->kind == PM_TARGET_LOCAL && !path) {
            fprintf(stderr, "%s:%d: [%s] there is no %s: install llama.cpp, or set LLAMA_SERVER=/path\n", t->file,
                    t->line, t->id, t->server ? t->server : "llama-server on PATH");
            faults++;
        }
        free(path);
    }
    return faults;
}

int pm_check_files(const char *models, const char *routes, const char *plugins, const char *keys)
{
    struct pm_error err = {0};
    struct pm_diags diags = {0};
    struct pm_bundle *bundle = pm_bundle_read(models, routes, plugins, keys, &err);
    if (!bundle) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    struct pm_conf *conf = pm_conf_parse(bundle, &diags);
    print_all(&diags.errors, "");
    print_all(&diags.warnings, "");
    print_all(&diags.notes, " (only a note)");
    size_t faults = diags.errors.n + diags.warnings.n;
    if (conf) {
        struct checked checked = {.bundle = bundle, .conf = conf};
        struct pm_buf out;
        pm_buf_init(&out, 1 << 20);
        faults += check_servers(conf);
        if (pm_cli_in_child(start_policies, &checked, &out) != 0) {
            fprintf(stderr, "%s%s", out.data, out.len && out.data[out.len - 1] == '\n' ? "" : "\n");
            faults++;
        }
        pm_buf_release(&out);
        if (!faults)
            printf("%s: %zu models, %zu routes, %zu policies: nothing wrong\n", models, conf->n_targets,
                   conf->n_routes, bundle->n_plugins);
    }
    pm_conf_free(conf);
    pm_bundle_free(bundle);
    pm_diags_release(&diags);
    return faults ? 1 : 0;
}

int pm_cmd_check(int argc, char **argv)
{
    static const char usage[] = "check [--models FILE] [--routes DIR] [--plugins DIR] [--keys FILE] [--state DIR]";
    const char *models = pm_cli_places()->models, *routes = pm_cli_places()->routes;
    const char *plugins = pm_cli_places()->plugins, *keys = NULL, *state = pm_cli_places()->state;
    const struct pm_cli_option options[] = {
        {"--models", &models, NULL, "models.conf"},          {"--routes", &routes, NULL, "folder of routes"},
        {"--plugins", &plugins, NULL, "folder of policies"}, {"--keys", &keys, NULL, "keys file (STATE/keys.conf)"},
        {"--state", &state, NULL, "state folder"},           {0}};
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc < 0 && words) {
        fprintf(stderr, "usage: pointsman %s\n", usage);
        return 2;
    }
    if (rc >= 0)
        return rc;
    char *own = pm_asprintf("%s/keys.conf", state);
    rc = pm_check_files(models, routes, plugins, keys ? keys : own);
    free(own);
    return rc;
}
