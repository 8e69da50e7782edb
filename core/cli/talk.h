/* Talking to a running manager. */
#ifndef PM_CLI_TALK_H
#define PM_CLI_TALK_H

#include "core/base/json.h"

/* Asks the manager of `state_dir`; takes the question. The answer (the caller deletes it) or NULL with `err`: nobody
 * runs there, or it said no. */
cJSON *pm_cli_ask(const char *state_dir, cJSON *question, struct pm_error *err);

/* A descriptor connected to the manager of `state_dir`, or -1. */
int pm_cli_connect(const char *state_dir, struct pm_error *err);

/* Asks the records of that gateway (pm_records_ask; takes the question): its recorder when it runs, else the file. The
 * caller deletes the answer. */
cJSON *pm_cli_records(const char *state, cJSON *question, struct pm_error *err);

/* {"op": op}, and "id" unless it is NULL. */
cJSON *pm_cli_question(const char *op, const char *id);

/* Prints the error and returns 1. */
int pm_cli_failed(const struct pm_error *err);

/* Prints one document, indented, with a line feed. */
void pm_cli_print_json(const cJSON *json);

#endif
