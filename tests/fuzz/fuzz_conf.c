/* Configuration files: the input once as models.conf, once as a route beside a good models.conf. Unusable means that a
 * fault is told, with its file; a bad route never takes the models down, only a bad [gateway] does. */
#include "core/conf/conf.h"
#include "tests/fuzz/fuzz.h"

static char good_models[] = "[*]\nCTX_SIZE=4096\n[small]\nMODEL=a.gguf\nGOOD_AT=general\n[big]\nMODEL=b.gguf\n"
                            "GOOD_AT=code\nSTRENGTH=0.9\n[away]\nCLOUD=openai\nMODEL=*\n[manager]\nRAM=300\n";

static void check_diags(const struct pm_strv *list)
{
    for (size_t i = 0; i < list->n; i++)
        CHECK(strncmp(list->items[i], "models.conf:", 12) == 0 || strncmp(list->items[i], "routes.d/", 9) == 0,
              "a fault without its place: %s", list->items[i]);
}

static void check_target(const struct pm_conf *conf, size_t i)
{
    const struct pm_target *t = &conf->targets[i];
    struct pm_strv argv = {0};
    CHECK(t->index == i && t->id && *t->id && t->line > 0, "a target without a place");
    CHECK(pm_conf_target(conf, t->id) == t, "two targets are called %s", t->id);
    CHECK(t->strength >= 0 && t->strength <= 1 && t->queue >= 0 && t->slots >= 0, "a value beyond its limits");
    CHECK(t->vram.n <= PM_DEVICES_MAX && t->ram.n <= PM_DEVICES_MAX, "more devices than there is room for");
    if (t->kind == PM_TARGET_LOCAL) {
        pm_conf_argv(t, &(struct pm_argv_place){.host = "a.sock"}, &argv);
        CHECK(pm_target_is_remote(t) || (argv.n > 4 && t->model), "a profile without a command line");
        for (size_t w = 0; w < argv.n; w++)
            CHECK(argv.items[w], "a word is missing");
    }
    pm_strv_release(&argv);
}

static void check_route(const struct pm_conf *conf, const struct pm_route *r)
{
    CHECK(r->id && *r->id && r->line >= 0, "a route without a name");
    for (size_t i = 0; i < r->n_targets; i++)
        CHECK(r->targets[i] < conf->n_targets, "a target that does not exist");
    CHECK(r->fallback >= -1 && r->fallback < (long)conf->n_targets, "a fallback that does not exist");
    for (size_t i = 0; i < r->models.n; i++)
        pm_conf_route(conf, r->models.items[i]);
}

static void parse(char *models, char *route)
{
    struct pm_bundle_text routes[] = {{(char[]){"routes.d/20-auto.conf"}, route}};
    struct pm_bundle bundle = {
        .models = {(char[]){"models.conf"}, models}, .routes = routes, .n_routes = route != NULL};
    struct pm_diags diags = {0};
    struct pm_conf *conf = pm_conf_parse(&bundle, &diags);
    CHECK(conf || diags.errors.n, "unusable without a word");
    CHECK(conf || models != good_models || strstr(route, "gateway"), "a route's fault takes the models down: %s",
          diags.errors.items[0]);
    check_diags(&diags.errors);
    check_diags(&diags.warnings);
    check_diags(&diags.notes);
    for (size_t i = 0; conf && i < conf->n_targets; i++)
        check_target(conf, i);
    for (size_t i = 0; conf && i < conf->n_routes; i++)
        check_route(conf, &conf->routes[i]);
    pm_conf_free(conf);
    pm_diags_release(&diags);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_copy(data, size, 1);
    parse(text, NULL);
    parse(good_models, text);
    free(text);
    return 0;
}
