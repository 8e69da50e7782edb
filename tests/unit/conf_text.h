/* Reading configurations from texts in memory. */
#ifndef PM_TESTS_UNIT_CONF_TEXT_H
#define PM_TESTS_UNIT_CONF_TEXT_H

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/conf/conf.h"

#define MODELS "[chat]\nMODEL=/m.gguf\n[coder]\nMODEL=/c.gguf\n[cloud]\nCLOUD=openai\n[bench-x]\nMODEL=/b.gguf\n"

/* A configuration from texts, with what it was read from. */
struct read {
    struct pm_bundle bundle;
    struct pm_bundle_text routes[4];
    struct pm_diags diags;
    struct pm_conf *conf;
};

static void add_route(struct read *r, const char *path, const char *text)
{
    r->routes[r->bundle.n_routes++] = (struct pm_bundle_text){pm_strdup(path), pm_strdup(text)};
}

static void read_all(struct read *r, const char *models)
{
    r->bundle.models = (struct pm_bundle_text){pm_strdup("/etc/models.conf"), pm_strdup(models)};
    r->bundle.routes = r->routes;
    r->conf = pm_conf_parse(&r->bundle, &r->diags);
}

static void release(struct read *r)
{
    pm_conf_free(r->conf);
    pm_diags_release(&r->diags);
    free(r->bundle.models.path);
    free(r->bundle.models.text);
    for (size_t i = 0; i < r->bundle.n_routes; i++) {
        free(r->routes[i].path);
        free(r->routes[i].text);
    }
    *r = (struct read){0};
}

/* Is there an error that begins with `start` and holds each of the words (with `|` between)? */
static bool told(const struct pm_strv *list, const char *start, const char *words)
{
    for (size_t i = 0; i < list->n; i++) {
        char *copy = pm_strdup(words), *save = NULL;
        bool all = strncmp(list->items[i], start, strlen(start)) == 0;
        for (char *word = strtok_r(copy, "|", &save); word; word = strtok_r(NULL, "|", &save))
            all &= strstr(list->items[i], word) != NULL;
        free(copy);
        if (all)
            return true;
    }
    return false;
}

static void print_errors(const struct read *r)
{
    for (size_t i = 0; i < r->diags.errors.n; i++)
        print_error("  told: %s\n", r->diags.errors.items[i]);
}

#endif
