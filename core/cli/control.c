/* Subcommands that ask the manager: status, models, switch, unload, stop. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/text.h"
#include "core/channel/channel.h"
#include "core/cli/cli.h"
#include "core/cli/options.h"
#include "core/cli/talk.h"
#include "core/conf/conf.h"

#define STATE_OPTION                                                                                                  \
    {                                                                                                                 \
        "--state", &state, NULL, "the state folder of the running gateway"                                            \
    }
#define JSON_OPTION                                                                                                   \
    {                                                                                                                 \
        "--json", NULL, &json, "one document for programs"                                                            \
    }

static int too_many(const char *usage)
{
    fprintf(stderr, "usage: pointsman %s\n", usage);
    return 2;
}

static void print_status(const cJSON *s)
{
    const cJSON *item, *profiles = pm_json_get(s, "profiles");
    const char *error = pm_json_str(s, "config_error");
    printf("pointsman %s, process %.0f, configuration %.0f\n", pm_json_str(s, "version"), pm_json_num(s, "pid", 0),
           pm_json_num(s, "generation", 0));
    cJSON_ArrayForEach (item, pm_json_get(s, "listen"))
        printf("listening on http://%s\n", item->valuestring);
    cJSON_ArrayForEach (item, pm_json_get(s, "workers"))
        printf("worker %.0f %s (configuration %.0f)\n", pm_json_num(item, "pid", 0), pm_json_str(item, "state"),
               pm_json_num(item, "generation", 0));
    if (error)
        printf("NOT IN USE: the newest configuration has a fault:\n  %s\n", error);
    const char *usage = pm_json_str(pm_json_get(s, "usage"), "error");
    if (usage)
        printf("NOT RECORDED: %s\n", usage);
    if (!cJSON_GetArraySize(profiles))
        return;
    printf("\n%-28s %-9s %8s %6s %8s %6s  %s\n", "PROFILE", "STATE", "PID", "IN USE", "WAITING", "LOADS", "");
    cJSON_ArrayForEach (item, profiles)
        printf("%-28s %-9s %8.0f %6.0f %8.0f %6.0f  %s\n", pm_json_str(item, "id"), pm_json_str(item, "state"),
               pm_json_num(item, "pid", 0), pm_json_num(item, "leases", 0), pm_json_num(item, "waiting", 0),
               pm_json_num(item, "loads", 0), pm_json_str(item, "reason"));
}

int pm_cmd_status(int argc, char **argv)
{
    static const char usage[] = "status [--json] [--state DIR]";
    const char *state = pm_cli_places()->state;
    bool json = false;
    const struct pm_cli_option options[] = {STATE_OPTION, JSON_OPTION, {0}};
    struct pm_error err = {0};
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0 || words)
        return rc >= 0 ? rc : too_many(usage);
    cJSON *answer = pm_cli_ask(state, pm_cli_question("status", NULL), &err);
    if (!answer)
        return pm_cli_failed(&err);
    if (json)
        pm_cli_print_json(pm_json_get(answer, "status"));
    else
        print_status(pm_json_get(answer, "status"));
    cJSON_Delete(answer);
    return 0;
}

/* From the running gateway, or from the files when none runs: the list is of use before the first start. */
static cJSON *models(const char *state, const char *models_file, struct pm_error *err)
{
    cJSON *answer = pm_cli_ask(state, pm_cli_question("models", NULL), err);
    if (answer) {
        cJSON *list = cJSON_DetachItemFromObject(answer, "models");
        cJSON_Delete(answer);
        return list;
    }
    if (err->code != PM_ENOTFOUND)
        return NULL;
    struct pm_diags diags = {0};
    struct pm_bundle *bundle = pm_bundle_read(models_file, NULL, NULL, NULL, err);
    struct pm_conf *conf = bundle ? pm_conf_parse(bundle, &diags) : NULL;
    cJSON *list = conf ? cJSON_CreateArray() : NULL;
    if (bundle && !conf)
        pm_error_set(err, PM_EINVAL, "%s", diags.errors.n ? diags.errors.items[0] : "no configuration");
    for (size_t i = 0; conf && i < conf->n_targets; i++) {
        const struct pm_target *t = &conf->targets[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "id", t->id);
        cJSON_AddStringToObject(item, "kind", pm_target_kind_name(t->kind));
        cJSON_AddStringToObject(item, "name", t->name ? t->name : "");
        cJSON_AddStringToObject(item, "description", t->description ? t->description : "");
        cJSON_AddStringToObject(item, "speed", t->speed ? t->speed : "");
        cJSON_AddNumberToObject(item, "context", (double)t->ctx_size);
        cJSON_AddBoolToObject(item, "bench", t->bench);
        if (t->kind == PM_TARGET_LOCAL) {
            struct pm_strv argv = {0};
            cJSON *words = cJSON_AddArrayToObject(item, "argv");
            pm_conf_argv(t, &(struct pm_argv_place){0}, &argv);
            for (size_t j = 0; j < argv.n; j++)
                cJSON_AddItemToArray(words, cJSON_CreateString(argv.items[j]));
            pm_strv_release(&argv);
        }
        cJSON_AddItemToArray(list, item);
    }
    pm_conf_free(conf);
    pm_bundle_free(bundle);
    pm_diags_release(&diags);
    return list;
}

static int print_argv(const cJSON *list, const char *id)
{
    const cJSON *item, *word;
    cJSON_ArrayForEach (item, list) {
        if (strcmp(pm_json_str(item, "id"), id) != 0)
            continue;
        if (!pm_json_get(item, "argv")) {
            fprintf(stderr, "pointsman: %s is a cloud model: it has no command line\n", id);
            return 1;
        }
        cJSON_ArrayForEach (word, pm_json_get(item, "argv"))
            puts(word->valuestring);
        return 0;
    }
    fprintf(stderr, "pointsman: there is no profile %s: see `pointsman models`\n", id);
    return 1;
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static void print_models(const cJSON *list, bool bench)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, list) {
        const char *state = pm_json_str(item, "state");
        if (pm_json_true(item, "bench") != bench)
            continue;
        printf("%-28s %-9s %-9s %-8s %s%s%s\n", pm_json_str(item, "id"), pm_json_str(item, "kind"), state ? state : "",
               or_empty(pm_json_str(item, "speed")), or_empty(pm_json_str(item, "name")),
               *or_empty(pm_json_str(item, "description")) ? ": " : "", or_empty(pm_json_str(item, "description")));
    }
}

int pm_cmd_models(int argc, char **argv)
{
    static const char usage[] = "models [--argv ID] [--json] [--models FILE] [--state DIR]";
    const char *state = pm_cli_places()->state, *id = NULL, *file = pm_cli_places()->models;
    bool json = false;
    const struct pm_cli_option options[] = {
        STATE_OPTION,
        JSON_OPTION,
        {"--argv", &id, NULL, "print the command line of a profile's server, a word a line"},
        {"--models", &file, NULL, "read this file instead when no gateway runs"},
        {0}};
    struct pm_error err = {0};
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0 || words)
        return rc >= 0 ? rc : too_many(usage);
    cJSON *list = models(state, file, &err);
    if (!list)
        return pm_cli_failed(&err);
    rc = 0;
    if (id) {
        rc = print_argv(list, id);
    } else if (json) {
        pm_cli_print_json(list);
    } else {
        print_models(list, false);
        print_models(list, true);
    }
    cJSON_Delete(list);
    return rc;
}

static int simple(const char *state, cJSON *question, const char *done, const char *what)
{
    struct pm_error err = {0};
    cJSON *answer = pm_cli_ask(state, question, &err);
    if (!answer)
        return pm_cli_failed(&err);
    cJSON_Delete(answer);
    printf("%s%s%s\n", what, *what ? ": " : "", done);
    return 0;
}

int pm_cmd_switch(int argc, char **argv)
{
    static const char usage[] = "switch ID [--wait] [--state DIR]";
    const char *state = pm_cli_places()->state;
    bool wait = false;
    const struct pm_cli_option options[] = {
        STATE_OPTION, {"--wait", NULL, &wait, "until the profile is ready or has failed"}, {0}};
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0 || words != 1)
        return rc >= 0 ? rc : too_many(usage);
    cJSON *question = pm_cli_question("switch", argv[0]);
    cJSON_AddBoolToObject(question, "wait", wait);
    return simple(state, question, wait ? "ready" : "will be loaded", argv[0]);
}

int pm_cmd_unload(int argc, char **argv)
{
    static const char usage[] = "unload [ID] [--state DIR]";
    const char *state = pm_cli_places()->state;
    const struct pm_cli_option options[] = {STATE_OPTION, {0}};
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0 || words > 1)
        return rc >= 0 ? rc : too_many(usage);
    return simple(state, pm_cli_question("unload", words ? argv[0] : NULL), "will be unloaded",
                  words ? argv[0] : "all");
}

/* Its lock is free when the last of it has gone. */
static int wait_for_end(const char *state)
{
    char *path = pm_asprintf("%s/lock", state);
    int fd = open(path, O_RDWR | O_CLOEXEC), rc = fd < 0 || flock(fd, LOCK_EX) == 0 ? 0 : 1;
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

int pm_cmd_stop(int argc, char **argv)
{
    static const char usage[] = "stop [--keep] [--wait] [--state DIR]";
    const char *state = pm_cli_places()->state;
    bool keep = false, wait = false;
    const struct pm_cli_option options[] = {
        STATE_OPTION,
        {"--keep", NULL, &keep, "leave the model servers running for the next start"},
        {"--wait", NULL, &wait, "until it has ended"},
        {0}};
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0 || words)
        return rc >= 0 ? rc : too_many(usage);
    cJSON *question = pm_cli_question("stop", NULL);
    cJSON_AddBoolToObject(question, "keep", keep);
    rc = simple(state, question, "stopping", "");
    return rc == 0 && wait ? wait_for_end(state) : rc;
}
