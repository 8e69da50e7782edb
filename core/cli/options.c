#include "core/cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/text.h"

static void print_usage(FILE *to, const char *usage, const struct pm_cli_option *options)
{
    fprintf(to, "usage: pointsman %s\n", usage);
    for (const struct pm_cli_option *o = options; o->name; o++)
        fprintf(to, "  %-18s %s\n", o->name, o->help);
}

static const struct pm_cli_option *find(const struct pm_cli_option *options, const char *word, size_t len)
{
    for (const struct pm_cli_option *o = options; o->name; o++)
        if (strlen(o->name) == len && memcmp(o->name, word, len) == 0)
            return o;
    return NULL;
}

static int wrong(const char *usage, const struct pm_cli_option *options, const char *word, const char *what)
{
    fprintf(stderr, "pointsman: %s %s\n", what, word);
    print_usage(stderr, usage, options);
    return 2;
}

int pm_cli_parse(const char *usage, const struct pm_cli_option *options, int argc, char **argv, int *words)
{
    bool only_words = false;
    *words = 0;
    for (int i = 0; i < argc; i++) {
        if (only_words || argv[i][0] != '-' || !argv[i][1]) {
            argv[(*words)++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_usage(stdout, usage, options);
            return 0;
        }
        const struct pm_cli_option *o = find(options, argv[i], strcspn(argv[i], "="));
        const char *inline_value = strchr(argv[i], '=');
        if (!o || (o->flag && inline_value))
            return wrong(usage, options, argv[i], "unknown option");
        if (o->flag)
            *o->flag = true;
        else if (inline_value)
            *o->value = inline_value + 1;
        else if (i + 1 < argc)
            *o->value = argv[++i];
        else
            return wrong(usage, options, argv[i], "a value is missing after");
    }
    return -1;
}

static char *self_path(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = 0;
    return pm_strdup(path);
}

static char *own_state(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state == '/')
        return pm_asprintf("%s/pointsman", state);
    if (home && *home == '/')
        return pm_asprintf("%s/.local/state/pointsman", home);
    return pm_asprintf("/tmp/pointsman-%d", (int)getuid());
}

static bool runs_with(const char *state)
{
    char *socket = pm_asprintf("%s/control.sock", state);
    bool runs = access(socket, R_OK | W_OK) == 0;
    free(socket);
    return runs;
}

/* One's own gateway's, else that of `make run` beside a program in its build folder, else the machine's
 * (packaging/pointsman.service): the first where one runs that may be asked. */
static const char *default_state(const char *build)
{
    static const char machine[] = "/var/lib/pointsman";
    char *own = own_state(), *beside = build ? pm_asprintf("%s/state", build) : NULL;
    if (!runs_with(own) && beside && runs_with(beside)) {
        free(own);
        return beside;
    }
    free(beside);
    if (runs_with(own) || !runs_with(machine))
        return own;
    free(own);
    return machine;
}

const struct pm_cli_places *pm_cli_places(void)
{
    static struct pm_cli_places places;
    if (places.self)
        return &places;
    char *self = self_path();
    char *slash = strrchr(self, '/');
    char *dir = pm_strndup(self, slash ? (size_t)(slash - self) : 0);
    char *tree = pm_asprintf("%s/..", dir);
    char *mark = pm_asprintf("%s/plugins/pointsman.h", tree), *built = pm_asprintf("%s/plugins/regex.so", dir);
    if (access(mark, R_OK) == 0 && access(built, R_OK) == 0) {
        places.models = pm_asprintf("%s/models.conf", tree);
        places.routes = pm_asprintf("%s/routes.d", tree);
        places.plugins = pm_asprintf("%s/plugins", dir);
        places.skeleton = pm_asprintf("%s/plugins/skeleton/skeleton.c", tree);
        places.state = default_state(dir);
    } else {
        places.models = SYSCONF_DIR "/models.conf";
        places.routes = SYSCONF_DIR "/routes.d";
        places.plugins = PLUGIN_DIR;
        places.skeleton = DATA_DIR "/skeleton.c";
        places.state = default_state(NULL);
    }
    places.self = self;
    free(dir);
    free(tree);
    free(mark);
    free(built);
    return &places;
}
