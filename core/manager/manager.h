/* The backend manager: `pointsman serve`. Owns the listening sockets, the workers and the model servers. */
#ifndef PM_MANAGER_MANAGER_H
#define PM_MANAGER_MANAGER_H

#include <stdbool.h>

#include "core/base/error.h"

struct pm_serve_options {
    const char *models, *routes_dir, *plugins_dir, *state_dir;
    const char *listen;   /* NULL: as configured, else 127.0.0.1:8484 */
    int workers;          /* 0: as configured */
    bool listen_anywhere; /* --insecure-listen */
    const char *self;     /* path of this program, to start workers with */
};

/* Runs until it is told to stop. Returns the exit code. */
int pm_manager_run(const struct pm_serve_options *options);

#endif
