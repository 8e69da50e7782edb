#include "core/conf/routes.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/conf/keys.h"

/* What the route's keys are read into; targets are names until they are looked up. */
struct raw_route {
    struct pm_route route;
    struct pm_strv targets;
    char *fallback;
    char *on_policy_error;
    uint64_t budget_ms;
};

#define AT(field) offsetof(struct raw_route, field)

static const struct pm_key route_keys[] = {
    {"MODELS", PM_KEY_LIST, AT(route.models), 0, 0, 0, NULL},
    {"POLICIES", PM_KEY_LIST, AT(route.policies), 0, 0, 0, NULL},
    {"TARGETS", PM_KEY_LIST, AT(targets), 0, 0, 0, NULL},
    {"FALLBACK", PM_KEY_STRING, AT(fallback), 0, 0, 0, NULL},
    {"LOCAL_ONLY", PM_KEY_BOOL, AT(route.local_only), 0, 0, 0, NULL},
    {"PRIORITY", PM_KEY_WORD, AT(route.priority), 0, 0, 0, "high normal low"},
    {"ON_CUT", PM_KEY_WORD, AT(route.on_cut), 0, 0, 0, "close error"},
    {"RESUME", PM_KEY_BOOL, AT(route.resume), 0, 0, 0, NULL},
    {"STICK", PM_KEY_DURATION, AT(route.stick_ms), 0, 0, 0, NULL},
    {"CACHE", PM_KEY_DURATION, AT(route.cache_ms), 0, 0, 0, NULL},
    {"CACHE_SAMPLED", PM_KEY_BOOL, AT(route.cache_sampled), 0, 0, 0, NULL},
    {"ON_POLICY_ERROR", PM_KEY_WORD, AT(on_policy_error), 0, 0, 0, "skip refuse"},
    {"POLICY_BUDGET", PM_KEY_DURATION, AT(budget_ms), 0, 0, 0, NULL},
    {"STRONG_SHARE", PM_KEY_REAL, AT(route.strong_share), 0, 1, 0, NULL},
    {"WEIGHT_WAITING", PM_KEY_REAL, AT(route.weight_waiting), 0, 100, 0, NULL},
    {"WEIGHT_LEAVING", PM_KEY_REAL, AT(route.weight_leaving), 0, 100, 0, NULL},
    {"WEIGHT_PRICE", PM_KEY_REAL, AT(route.weight_price), 0, 1000, 0, NULL},
};

static const struct pm_key gateway_keys[] = {
    {"LISTEN", PM_KEY_STRING, offsetof(struct pm_gateway_conf, listen), 0, 0, 0, NULL},
    {"KEYS", PM_KEY_STRING, offsetof(struct pm_gateway_conf, keys), 0, 0, 0, NULL},
    {"REDIS", PM_KEY_STRING, offsetof(struct pm_gateway_conf, redis), 0, 0, 0, NULL},
    {"REDIS_PASSWORD_ENV", PM_KEY_STRING, offsetof(struct pm_gateway_conf, redis_password_env), 0, 0, 0, NULL},
    {"REDIS_PREFIX", PM_KEY_STRING, offsetof(struct pm_gateway_conf, redis_prefix), 0, 0, 0, NULL},
    {"WORKERS", PM_KEY_INT, offsetof(struct pm_gateway_conf, workers), 1, 64, 0, NULL},
    {"MAX_BODY", PM_KEY_INT, offsetof(struct pm_gateway_conf, max_body), 1, 1024, 0, NULL},
    {"CACHE_MAX", PM_KEY_INT, offsetof(struct pm_gateway_conf, cache_max), 0, 1e6, 0, NULL},
    {"KEEP_ALIVE", PM_KEY_DURATION, offsetof(struct pm_gateway_conf, keep_alive_ms), 0, 0, 0, NULL},
    {"SILENCE", PM_KEY_DURATION, offsetof(struct pm_gateway_conf, silence_ms), 0, 0, 0, NULL},
    {"PING", PM_KEY_DURATION, offsetof(struct pm_gateway_conf, ping_ms), 0, 0, 0, NULL},
    {"USAGE", PM_KEY_BOOL, offsetof(struct pm_gateway_conf, usage), 0, 0, 0, NULL},
    {"USAGE_KEEP", PM_KEY_DURATION, offsetof(struct pm_gateway_conf, usage_keep_ms), 0, 0, 0, NULL},
    {"USAGE_MAX", PM_KEY_INT, offsetof(struct pm_gateway_conf, usage_max), 0, 1e6, 0, NULL},
    {"RECORD", PM_KEY_WORD, offsetof(struct pm_gateway_conf, record), 0, 0, 0, "no prompts"},
    {"LOG_LEVEL", PM_KEY_WORD, offsetof(struct pm_gateway_conf, log_level), 0, 0, 0, "debug info warn error"},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const shipped_chain[] = {"capability", "learned", "stage"};

/* `routes.d/20-auto.conf` is the route `auto`. */
static char *route_id(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *p = name;
    while (isdigit((unsigned char)*p))
        p++;
    if (p > name && *p == '-' && p[1] != '.')
        name = p + 1;
    return pm_strndup(name, strlen(name) - strlen(".conf"));
}

static long find_target(const struct pm_conf *conf, const char *id, const char *file, int line, struct pm_diags *diags)
{
    const struct pm_target *t = pm_conf_target(conf, id);
    if (t && !t->bench)
        return (long)t->index;
    if (t) {
        pm_diag(&diags->errors, file, line, "%s is a bench profile: routes never use one", id);
        return -1;
    }
    const char **ids = pm_calloc(conf->n_targets, sizeof(*ids));
    for (size_t i = 0; i < conf->n_targets; i++)
        ids[i] = conf->targets[i].id;
    const char *near = pm_nearest(id, ids, conf->n_targets);
    pm_diag(&diags->errors, file, line, "unknown target %s%s%s%s", id,
            near ? ": did you mean " : ": models.conf has no [", near ? near : id, near ? "?" : "]");
    free(ids);
    return -1;
}

static int line_of(const struct pm_ini_section *s, const char *key)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->entries[i].key, key) == 0)
            return s->entries[i].line;
    return s->line;
}

static void link_targets(const struct pm_conf *conf, struct raw_route *raw, const struct pm_ini_section *s,
                         struct pm_diags *diags)
{
    struct pm_route *r = &raw->route;
    int line = line_of(s, "TARGETS");
    r->targets = pm_calloc(raw->targets.n, sizeof(*r->targets));
    for (size_t i = 0; i < raw->targets.n; i++) {
        long index = find_target(conf, raw->targets.items[i], s->file, line, diags);
        if (index >= 0)
            r->targets[r->n_targets++] = (size_t)index;
    }
    r->fallback = -1;
    if (raw->fallback)
        r->fallback = find_target(conf, raw->fallback, s->file, line_of(s, "FALLBACK"), diags);
    if (r->fallback >= 0 && r->local_only && !pm_target_is_here(&conf->targets[r->fallback]))
        pm_diag(&diags->errors, s->file, line_of(s, "FALLBACK"),
                "FALLBACK=%s is not on this machine, but LOCAL_ONLY=yes lets nothing leave this machine",
                raw->fallback);
    if (!raw->targets.n && !raw->fallback)
        pm_diag(&diags->errors, s->file, s->line, "a route needs TARGETS= (ids of models.conf)");
}

static void read_keys(const struct pm_key *keys, size_t n, void *object, const struct pm_ini_section *s,
                      struct pm_diags *diags)
{
    for (size_t i = 0; i < s->n; i++) {
        unsigned scope;
        if (!pm_key_set(keys, n, object, s->file, &s->entries[i], &scope, &diags->errors))
            pm_key_unknown(keys, n, s->file, &s->entries[i], &diags->errors);
    }
}

static void read_route_section(const struct pm_conf *conf, struct raw_route *raw, const struct pm_ini_section *s,
                               struct pm_diags *diags)
{
    struct pm_route *r = &raw->route;
    r->file = s->file;
    r->line = s->line;
    r->stick_ms = 30 * 60 * 1000;
    r->resume = true;
    r->strong_share = -1;
    r->weight_waiting = 0.35;
    r->weight_leaving = 0.35;
    r->weight_price = 2;
    raw->budget_ms = 20;
    read_keys(route_keys, COUNT(route_keys), raw, s, diags);
    r->policy_budget_us = raw->budget_ms * 1000;
    r->refuse_on_policy_error = raw->on_policy_error && strcmp(raw->on_policy_error, "refuse") == 0;
    if (!pm_ini_get(s, "POLICIES"))
        for (size_t i = 0; i < COUNT(shipped_chain); i++)
            pm_strv_add(&r->policies, shipped_chain[i], strlen(shipped_chain[i]));
    if (!r->models.n)
        pm_strv_add(&r->models, r->id, strlen(r->id));
    link_targets(conf, raw, s, diags);
}

static void check_policy_section(const struct pm_route *r, const struct pm_ini_section *s, struct pm_diags *diags)
{
    const char *name = s->name + strlen("policy ");
    if (pm_strv_has(&r->policies, name))
        return;
    const char *near = pm_nearest(name, (const char *const *)r->policies.items, r->policies.n);
    pm_diag(&diags->errors, s->file, s->line, "[%s]: %s does not stand in POLICIES of this route%s%s%s", s->name, name,
            near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
}

static void raw_route_release(struct raw_route *raw)
{
    pm_strv_release(&raw->targets);
    free(raw->fallback);
    free(raw->on_policy_error);
}

/* Takes REDIS apart. A password in it would stand in a file. */
static bool read_redis(struct pm_gateway_conf *g)
{
    static const char scheme[] = "redis://", socket[] = "unix:";
    const char *text = g->redis;
    long long port = 6379, db = 0;
    if (strncmp(text, socket, sizeof(socket) - 1) == 0) {
        g->redis_path = pm_strdup(text + sizeof(socket) - 1);
        return *g->redis_path == '/';
    }
    if (strncmp(text, scheme, sizeof(scheme) - 1) != 0 || strchr(text, '@'))
        return false;
    text += sizeof(scheme) - 1;
    size_t host = strcspn(text, ":/"), digits = text[host] == ':' ? strcspn(text + host + 1, "/") : 0;
    char *number = pm_strndup(text + host + 1, digits);
    const char *rest = text + host + (text[host] == ':') + digits;
    bool good = host && (text[host] != ':' || pm_int_parse(number, 1, 65535, &port) == PM_OK);
    free(number);
    if (*rest == '/' && rest[1])
        good &= pm_int_parse(rest + 1, 0, 1000, &db) == PM_OK;
    g->redis_host = pm_strndup(text, host);
    g->redis_port = (int)port;
    g->redis_db = (int)db;
    return good;
}

static void check_redis(struct pm_gateway_conf *g, const struct pm_ini_section *s, struct pm_diags *diags)
{
    if (g->redis && !g->redis_host && !g->redis_path && !read_redis(g))
        pm_diag(&diags->errors, s->file, s->line,
                "[gateway] REDIS: redis://HOST[:PORT][/DB] or unix:/path is expected; a password comes from "
                "REDIS_PASSWORD_ENV=NAME");
}

bool pm_conf_read_route(struct pm_conf *conf, const char *path, size_t first, size_t end, struct pm_diags *diags)
{
    size_t faults = diags->errors.n;
    struct raw_route raw = {.route = {.id = route_id(path)}};
    const struct pm_ini_section *route = NULL;
    bool gateway = false;
    for (size_t i = first; i < end; i++) {
        const struct pm_ini_section *s = &conf->routes_ini.sections[i];
        if (strcmp(s->name, "route") == 0 && !route) {
            route = s;
            read_route_section(conf, &raw, s, diags);
        } else if (strcmp(s->name, "gateway") == 0) {
            gateway = true;
            read_keys(gateway_keys, COUNT(gateway_keys), &conf->gateway, s, diags);
            check_redis(&conf->gateway, s, diags);
        } else if (strncmp(s->name, "policy ", 7) != 0) {
            pm_diag(&diags->errors, s->file, s->line,
                    "[%s]: a route file has one [route] and [policy NAME] sections, or [gateway]", s->name);
        }
    }
    for (size_t i = first; i < end && route; i++)
        if (strncmp(conf->routes_ini.sections[i].name, "policy ", 7) == 0)
            check_policy_section(&raw.route, &conf->routes_ini.sections[i], diags);
    if (!route && !gateway)
        pm_diag(&diags->errors, path, 1, "no [route] section in this file");
    raw_route_release(&raw);
    for (size_t i = 0; route && i < conf->n_routes; i++)
        if (strcmp(conf->routes[i].id, raw.route.id) == 0)
            pm_diag(&diags->errors, route->file, route->line, "the route %s exists already (%s): rename this file",
                    raw.route.id, conf->routes[i].file);
    if (diags->errors.n > faults || !route) {
        pm_route_release(&raw.route);
        return diags->errors.n == faults;
    }
    raw.route.policy_sections = &conf->routes_ini.sections[first];
    raw.route.n_policy_sections = end - first;
    conf->routes = pm_realloc(conf->routes, conf->n_routes + 1, sizeof(*conf->routes));
    conf->routes[conf->n_routes++] = raw.route;
    return true;
}

void pm_route_release(struct pm_route *r)
{
    free(r->id);
    pm_strv_release(&r->models);
    pm_strv_release(&r->policies);
    free(r->targets);
}

void pm_gateway_conf_release(struct pm_gateway_conf *g)
{
    free(g->redis_host);
    free(g->redis_path);
    pm_key_release(gateway_keys, COUNT(gateway_keys), g);
}
