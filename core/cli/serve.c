/* `pointsman serve`. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/alloc.h"
#include "core/base/text.h"
#include "core/cli/cli.h"
#include "core/cli/options.h"
#include "core/manager/manager.h"

int pm_cmd_serve(int argc, char **argv)
{
    static const char usage[] = "serve [options]";
    const struct pm_cli_places *places = pm_cli_places();
    const char *workers = NULL;
    bool check = false;
    struct pm_serve_options o = {.models = places->models,
                                 .routes_dir = places->routes,
                                 .plugins_dir = places->plugins,
                                 .state_dir = places->state,
                                 .self = places->self};
    const struct pm_cli_option options[] = {
        {"--models", &o.models, NULL, "models.conf"},
        {"--routes", &o.routes_dir, NULL, "folder of routes"},
        {"--plugins", &o.plugins_dir, NULL, "folder of policies"},
        {"--listen", &o.listen, NULL, "HOST:PORT (127.0.0.1:8484)"},
        {"--state", &o.state_dir, NULL, "state folder: control socket, logs, what runs"},
        {"--workers", &workers, NULL, "worker processes (1)"},
        {"--insecure-listen", NULL, &o.listen_anywhere, "allow an address that others can reach"},
        {"--config-check", NULL, &check, "as `pointsman check`, then end"},
        {0}};
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0)
        return rc;
    long long n = 0;
    if (words || (workers && pm_int_parse(workers, 1, 64, &n) < 0)) {
        fprintf(stderr, "usage: pointsman %s (see --help)\n", usage);
        return 2;
    }
    o.workers = (int)n;
    if (check) {
        char *keys = pm_asprintf("%s/keys.conf", o.state_dir);
        rc = pm_check_files(o.models, o.routes_dir, o.plugins_dir, keys);
        free(keys);
        return rc;
    }
    return pm_manager_run(&o);
}
