/* Options of subcommands, and where things are when nobody says. */
#ifndef PM_CLI_OPTIONS_H
#define PM_CLI_OPTIONS_H

#include <stdbool.h>

/* One option. `value` gets its word, or `flag` becomes true when it takes none. */
struct pm_cli_option {
    const char *name; /* "--state" */
    const char **value;
    bool *flag;
    const char *help;
};

/* Takes the options out of argv. What is left is counted in `*words` and stands at the front of argv. -1: go on; else
 * the exit code (--help was asked for, or a word is unknown: the usage has been printed). The last option has no
 * name. */
int pm_cli_parse(const char *usage, const struct pm_cli_option *options, int argc, char **argv, int *words);

/* Where configuration, policies and state are. All live until the end of the process. */
struct pm_cli_places {
    const char *models, *routes, *plugins, *state, *skeleton, *self;
};

/* A source tree's own files when the program runs from its build folder, else the installed ones. */
const struct pm_cli_places *pm_cli_places(void);

#endif
