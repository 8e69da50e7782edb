/* Subcommands. Each gets the words after its name, prints for people (or one JSON document), and returns the exit
 * code: 0 done, 1 it failed, 2 it was asked wrongly. */
#ifndef PM_CLI_CLI_H
#define PM_CLI_CLI_H

#include "core/base/error.h"

int pm_cmd_serve(int argc, char **argv);
int pm_cmd_status(int argc, char **argv);
int pm_cmd_models(int argc, char **argv);
int pm_cmd_switch(int argc, char **argv);
int pm_cmd_unload(int argc, char **argv);
int pm_cmd_stop(int argc, char **argv);
int pm_cmd_logs(int argc, char **argv);
int pm_cmd_usage(int argc, char **argv);
int pm_cmd_bench(int argc, char **argv);
int pm_cmd_client(int argc, char **argv);
int pm_cmd_top(int argc, char **argv);
int pm_cmd_route(int argc, char **argv);
int pm_cmd_plan(int argc, char **argv);
int pm_cmd_key(int argc, char **argv);
int pm_cmd_train(int argc, char **argv);
int pm_cmd_eval(int argc, char **argv);
int pm_cmd_check(int argc, char **argv);

/* What `check` does, for `serve --config-check` too. */
int pm_check_files(const char *models, const char *routes, const char *plugins, const char *keys);
int pm_cmd_plugin(int argc, char **argv);

#endif
