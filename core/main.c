/* The subcommands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"
#include "core/cli/cli.h"
#include "core/gateway/gateway.h"
#include "core/store/recorder.h"

static int cmd_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("pointsman " PACKAGE_VERSION);
    return 0;
}

/* Started by the manager, with descriptors that it made. */
static int cmd_worker(int argc, char **argv)
{
    long long fd[4];
    for (int i = 0; i < 4; i++) {
        if (argc != 4 || pm_int_parse(argv[i], 3, 1 << 20, &fd[i]) < 0) {
            fputs("pointsman: _worker is started by `pointsman serve` only\n", stderr);
            return 2;
        }
    }
    return pm_gateway_run((int)fd[0], (int)fd[1], (int)fd[2], (int)fd[3]);
}

/* Started by the manager, too. */
static int cmd_recorder(int argc, char **argv)
{
    long long fd;
    if (argc != 2 || pm_int_parse(argv[0], 3, 1 << 20, &fd) < 0) {
        fputs("pointsman: _recorder is started by `pointsman serve` only\n", stderr);
        return 2;
    }
    return pm_recorder_run((int)fd, argv[1]);
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"serve", pm_cmd_serve, "run the gateway"},
    {"status", pm_cmd_status, "what runs, and how it is"},
    {"top", pm_cmd_top, "what happens, in the terminal, with keys to steer it"},
    {"models", pm_cmd_models, "profiles and cloud models; the command line of a profile"},
    {"switch", pm_cmd_switch, "load a profile"},
    {"unload", pm_cmd_unload, "unload a profile, or all"},
    {"route", pm_cmd_route, "what would be decided for a request, and why"},
    {"logs", pm_cmd_logs, "the last lines of the model servers"},
    {"usage", pm_cmd_usage, "what was used: requests, tokens, cost"},
    {"client", pm_cmd_client, "set up an agent: Claude Code, Codex, aider, ..."},
    {"plan", pm_cmd_plan, "where a model would go on this machine's devices"},
    {"bench", pm_cmd_bench, "how fast and how good profiles are"},
    {"check", pm_cmd_check, "what is wrong with the configuration"},
    {"key", pm_cmd_key, "keys: who may use what"},
    {"plugin", pm_cmd_plugin, "make, check and list policies"},
    {"train", pm_cmd_train, "weights for the policy learned, from labelled rows"},
    {"eval", pm_cmd_eval, "how good policies are on labelled rows"},
    {"stop", pm_cmd_stop, "stop the running gateway"},
    {"version", cmd_version, "print the version"},
    {"_worker", cmd_worker, NULL},
    {"_recorder", cmd_recorder, NULL},
};

enum { COMMANDS = sizeof(commands) / sizeof(*commands) };

static int usage(FILE *to)
{
    fputs("usage: pointsman COMMAND [options]\n\n", to);
    for (size_t i = 0; i < COMMANDS; i++)
        if (commands[i].help)
            fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fputs("\n`pointsman COMMAND --help` tells more.\n", to);
    return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout);
    if (strcmp(argv[1], "--version") == 0)
        return cmd_version(0, NULL);
    const char *names[COMMANDS];
    for (size_t i = 0; i < COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    }
    const char *near = pm_nearest(argv[1], names, COMMANDS);
    fprintf(stderr, "pointsman: unknown command %s%s%s%s\n", argv[1], near ? ": did you mean " : "", near ? near : "",
            near ? "?" : "");
    return usage(stderr);
}
