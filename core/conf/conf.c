#include "core/conf/conf.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/conf/clients.h"
#include "core/conf/routes.h"
#include "core/conf/targets.h"

static bool has_gateway_section(const struct pm_conf *conf, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        if (strcmp(conf->routes_ini.sections[i].name, "gateway") == 0)
            return true;
    return false;
}

/* False when [gateway] has a fault: that is of all routes. */
static bool read_routes(struct pm_conf *conf, const struct pm_bundle *bundle, struct pm_diags *diags)
{
    bool usable = true;
    size_t *ends = pm_calloc(bundle->n_routes, sizeof(*ends));
    bool *good = pm_calloc(bundle->n_routes, sizeof(*good));
    /* All files are read before the first is used: sections move while the array grows. */
    for (size_t i = 0; i < bundle->n_routes; i++) {
        size_t faults = diags->errors.n;
        pm_ini_parse(&conf->routes_ini, bundle->routes[i].path, bundle->routes[i].text, diags);
        ends[i] = conf->routes_ini.n;
        good[i] = diags->errors.n == faults;
    }
    for (size_t i = 0; i < bundle->n_routes; i++) {
        size_t first = i ? ends[i - 1] : 0;
        if (good[i])
            good[i] = pm_conf_read_route(conf, bundle->routes[i].path, first, ends[i], diags);
        usable &= good[i] || !has_gateway_section(conf, first, ends[i]);
    }
    free(ends);
    free(good);
    return usable;
}

static void hide(struct pm_conf *conf, const char *name)
{
    if (name && !pm_strv_has(&conf->hidden_env, name))
        pm_strv_add(&conf->hidden_env, name, strlen(name));
}

/* What follows from several settings together. */
static void settle(struct pm_conf *conf, const char *models_path, struct pm_diags *diags)
{
    for (size_t i = 0; i < conf->n_targets; i++)
        conf->targets[i].keep_kv &= conf->manager.kv_max > 0;
    for (size_t i = 0; i < conf->manager.preload.n; i++) {
        const struct pm_target *t = pm_conf_target(conf, conf->manager.preload.items[i]);
        if (!t || t->kind != PM_TARGET_LOCAL)
            pm_diag(&diags->errors, models_path, 1, "[manager] PRELOAD=%s: there is no such profile",
                    conf->manager.preload.items[i]);
    }
}

struct pm_conf *pm_conf_parse(const struct pm_bundle *bundle, struct pm_diags *diags)
{
    struct pm_conf *conf = pm_calloc(1, sizeof(*conf));
    conf->gateway.workers = 1;
    conf->gateway.max_body = 32;
    conf->gateway.cache_max = 64;
    conf->gateway.usage = true;
    conf->gateway.usage_keep_ms = 90ULL * 24 * 3600 * 1000;
    conf->gateway.usage_max = 512;
    conf->gateway.keep_alive_ms = 75 * 1000;
    conf->gateway.silence_ms = 5 * 1000;
    conf->gateway.ping_ms = 10 * 1000;
    conf->manager.max_wait_ms = 10 * 60 * 1000;
    conf->manager.drain_ms = 10 * 60 * 1000;
    conf->manager.kv_max = 8192;
    conf->manager.readahead = 16384;
    pm_ini_parse(&conf->models_ini, bundle->models.path, bundle->models.text, diags);
    pm_conf_read_targets(conf, bundle->models.path, diags);
    settle(conf, bundle->models.path, diags);
    bool usable = diags->errors.n == 0;
    usable &= read_routes(conf, bundle, diags);
    hide(conf, conf->gateway.redis_password_env);
    for (size_t i = 0; i < conf->n_targets; i++)
        hide(conf, conf->targets[i].api_key_env);
    for (size_t i = 0; i < conf->n_targets; i++)
        conf->targets[i].hidden_env = &conf->hidden_env;
    size_t faults = diags->errors.n;
    conf->clients_ini.is_secret = true;
    conf->needs_key = bundle->clients.text != NULL;
    if (bundle->clients.text)
        pm_ini_parse(&conf->clients_ini, bundle->clients.path, bundle->clients.text, diags);
    pm_conf_read_clients(conf, diags);
    usable &= diags->errors.n == faults;
    if (!usable) {
        pm_conf_free(conf);
        return NULL;
    }
    return conf;
}

void pm_conf_free(struct pm_conf *conf)
{
    if (!conf)
        return;
    for (size_t i = 0; i < conf->n_targets; i++)
        pm_target_release(&conf->targets[i]);
    for (size_t i = 0; i < conf->n_routes; i++)
        pm_route_release(&conf->routes[i]);
    for (size_t i = 0; i < conf->n_clients; i++)
        pm_user_release(&conf->clients[i]);
    free(conf->targets);
    free(conf->routes);
    free(conf->clients);
    pm_ini_release(&conf->clients_ini);
    pm_strv_release(&conf->hidden_env);
    pm_gateway_conf_release(&conf->gateway);
    pm_strv_release(&conf->manager.preload);
    pm_ini_release(&conf->models_ini);
    pm_ini_release(&conf->routes_ini);
    free(conf);
}

const char *pm_target_kind_name(enum pm_target_kind kind)
{
    static const char *const names[] = {"local", "openai", "anthropic"};
    return names[kind];
}

const struct pm_target *pm_conf_target(const struct pm_conf *conf, const char *id)
{
    for (size_t i = 0; i < conf->n_targets; i++)
        if (strcmp(conf->targets[i].id, id) == 0)
            return &conf->targets[i];
    return NULL;
}

const struct pm_route *pm_conf_route(const struct pm_conf *conf, const char *model)
{
    for (size_t i = 0; i < conf->n_routes; i++)
        for (size_t j = 0; j < conf->routes[i].models.n; j++)
            if (pm_wildcard(conf->routes[i].models.items[j], model))
                return &conf->routes[i];
    return NULL;
}
