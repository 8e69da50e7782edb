/* `pointsman client`: what an agent must be told to use this gateway; writes it into the agent's files when asked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/text.h"
#include "core/cli/cli.h"
#include "core/cli/client_priv.h"
#include "core/cli/options.h"
#include "core/cli/talk.h"
#include "core/conf/conf.h"

static const char usage[] = "client [NAME] [--write [--yes]] [--model NAME] [--key KEY] [--url URL] [--home DIR] "
                            "[--state DIR]";

enum { CONTEXT_ASSUMED = 32768, OUTPUT_MOST = 8192 };

static const struct pm_client_kind *find_kind(const char *name)
{
    const char *names[32], *near;
    for (size_t i = 0; i < pm_client_n_kinds; i++) {
        names[i] = pm_client_kinds[i].name;
        if (strcmp(name, pm_client_kinds[i].name) == 0)
            return &pm_client_kinds[i];
    }
    near = pm_nearest(name, names, pm_client_n_kinds);
    fprintf(stderr, "pointsman: no client %s is known%s%s%s\n", name, near ? ": did you mean " : "", near ? near : "",
            near ? "?" : "");
    return NULL;
}

/* --- what is true of this gateway --- */

/* One that listens everywhere is reached at this machine's own address here. */
static char *url_of(const cJSON *status)
{
    const cJSON *first = cJSON_GetArrayItem(pm_json_get(status, "listen"), 0);
    const char *listen = cJSON_IsString(first) ? first->valuestring : "127.0.0.1:8484", *colon = strrchr(listen, ':');
    bool anywhere = strncmp(listen, "0.0.0.0:", 8) == 0 || strncmp(listen, "[::]:", 5) == 0;
    return anywhere ? pm_asprintf("http://127.0.0.1%s", colon) : pm_asprintf("http://%s", listen);
}

static long long context_of(const cJSON *models, const cJSON *status, const char *id)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, pm_json_get(status, "profiles"))
        if (strcmp(pm_json_str(item, "id"), id) == 0 && pm_json_num(item, "context", 0) > 0)
            return (long long)pm_json_num(item, "context", 0);
    cJSON_ArrayForEach (item, models)
        if (strcmp(pm_json_str(item, "id"), id) == 0)
            return (long long)pm_json_num(item, "context", 0);
    return 0;
}

static bool answers_to(const cJSON *route, const char *model)
{
    const cJSON *pattern;
    cJSON_ArrayForEach (pattern, pm_json_get(route, "models"))
        if (pm_wildcard(pattern->valuestring, model))
            return true;
    return false;
}

/* Of a route: the largest of its targets, since a request goes where it fits. */
static long long context_of_model(const cJSON *reply, const cJSON *status, const char *model)
{
    const cJSON *models = pm_json_get(reply, "models"), *route, *target;
    long long most = context_of(models, status, model);
    cJSON_ArrayForEach (route, pm_json_get(reply, "routes")) {
        if (most || !answers_to(route, model))
            continue;
        cJSON_ArrayForEach (target, pm_json_get(route, "targets")) {
            long long context = context_of(models, status, target->valuestring);
            most = context > most ? context : most;
        }
    }
    return most;
}

/* `auto` where a route answers to it, else the first name that is no pattern, else the first model. */
static const char *usual_model(const cJSON *reply)
{
    const cJSON *route, *name, *first = cJSON_GetArrayItem(pm_json_get(reply, "models"), 0);
    const char *found = NULL;
    cJSON_ArrayForEach (route, pm_json_get(reply, "routes")) {
        if (answers_to(route, "auto"))
            return "auto";
        cJSON_ArrayForEach (name, pm_json_get(route, "models"))
            if (!found && !strchr(name->valuestring, '*'))
                found = name->valuestring;
    }
    return found ? found : first ? pm_json_str(first, "id") : "auto";
}

/* --- telling --- */

static void print_names(const cJSON *reply, const cJSON *status)
{
    const cJSON *route, *name, *model;
    puts("Names that can be asked for, and the tokens that fit:");
    cJSON_ArrayForEach (route, pm_json_get(reply, "routes"))
        cJSON_ArrayForEach (name, pm_json_get(route, "models"))
            printf("  %-28s route %s, %lld\n", name->valuestring, pm_json_str(route, "id"),
                   context_of_model(reply, status, name->valuestring));
    cJSON_ArrayForEach (model, pm_json_get(reply, "models"))
        if (!pm_json_true(model, "bench"))
            printf("  %-28s %s, %lld\n", pm_json_str(model, "id"), pm_json_str(model, "kind"),
                   context_of_model(reply, status, pm_json_str(model, "id")));
}

static void print_kind(const struct pm_client_kind *kind, const struct pm_client_facts *facts)
{
    char *env = pm_client_text(kind->env, facts), *notes = pm_client_text(kind->notes, facts);
    printf("# %s, to ask %s for the model %s\n\n", kind->title, facts->url, facts->model);
    for (char *line = env; *line;) {
        size_t n = strcspn(line, "\n");
        printf("export %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
    for (size_t i = 0; i < PM_CLIENT_FILES && kind->files[i].path; i++) {
        char *text = pm_client_text(kind->files[i].text, facts);
        cJSON *json = kind->files[i].kind == PM_FILE_JSON ? cJSON_Parse(text) : NULL;
        char *printed = json ? cJSON_Print(json) : NULL;
        printf("%s%s ~/%s:\n\n%s\n", i || *env ? "\n" : "", *env && !i ? "# or, for good, in" : "# in",
               kind->files[i].path, printed ? printed : text);
        cJSON_Delete(json);
        free(printed);
        free(text);
    }
    printf("\n%s", notes);
    if (kind->files[0].path)
        printf("`pointsman client %s --write` puts that into the file%s, after asking.\n", kind->name,
               kind->files[1].path ? "s" : "");
    free(env);
    free(notes);
}

/* --- writing --- */

static bool agreed(bool yes)
{
    char line[16] = "";
    if (yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        fputs("pointsman: nobody to ask: say --yes to write without asking\n", stderr);
        return false;
    }
    fputs("Write it? [y/N] ", stdout);
    fflush(stdout);
    return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int write_files(const struct pm_client_kind *kind, const struct pm_client_facts *facts, const char *home,
                       bool yes)
{
    char *paths[PM_CLIENT_FILES] = {0}, *before[PM_CLIENT_FILES] = {0}, *after[PM_CLIENT_FILES] = {0};
    struct pm_error err = {0};
    int rc = PM_OK;
    size_t n = 0;
    /* All of them are looked at before the first is touched. */
    for (; n < PM_CLIENT_FILES && kind->files[n].path && rc == PM_OK; n++) {
        char *text = pm_client_text(kind->files[n].text, facts);
        paths[n] = pm_asprintf("%s/%s", home, kind->files[n].path);
        rc = pm_client_merge(paths[n], &kind->files[n], text, &before[n], &after[n], &err);
        if (rc == PM_OK)
            printf("%s will be %s:\n\n%s\n", paths[n], before[n] ? "changed to" : "made", after[n]);
        free(text);
    }
    bool go = rc == PM_OK && agreed(yes);
    for (size_t i = 0; i < n && go && rc == PM_OK; i++) {
        rc = pm_client_write(paths[i], before[i], after[i], &err);
        if (rc == PM_OK)
            printf("%s written%s\n", paths[i], before[i] ? " (what was there: .before-pointsman)" : "");
    }
    for (size_t i = 0; i < n; i++) {
        free(paths[i]);
        free(before[i]);
        free(after[i]);
    }
    if (rc < 0)
        return pm_cli_failed(&err);
    return go ? 0 : 1;
}

static int list_kinds(void)
{
    for (size_t i = 0; i < pm_client_n_kinds; i++)
        printf("%-14s %s\n", pm_client_kinds[i].name, pm_client_kinds[i].title);
    return 0;
}

struct wanted {
    const char *model, *key, *url, *home, *state;
    bool write, yes;
};

static int tell_or_write(const struct pm_client_kind *kind, const struct wanted *w)
{
    struct pm_error err = {0};
    cJSON *models = pm_cli_ask(w->state, pm_cli_question("models", NULL), &err);
    cJSON *answer = models ? pm_cli_ask(w->state, pm_cli_question("status", NULL), &err) : NULL;
    const cJSON *status = pm_json_get(answer, "status");
    int rc = 1;
    if (!answer) {
        pm_cli_failed(&err);
        goto out;
    }
    struct pm_client_facts facts = {.url = w->url ? pm_strdup(w->url) : url_of(status)};
    size_t n = strlen(facts.url);
    while (n && facts.url[n - 1] == '/')
        facts.url[--n] = 0;
    facts.v1 = pm_asprintf("%s/v1", facts.url);
    facts.model = w->model ? w->model : usual_model(models);
    facts.key = w->key ? w->key : pm_json_true(status, "needs_key") ? "YOUR-KEY" : "any";
    facts.context = context_of_model(models, status, facts.model);
    if (!facts.context)
        facts.context = CONTEXT_ASSUMED;
    facts.output = facts.context / 4 < OUTPUT_MOST ? facts.context / 4 : OUTPUT_MOST;
    if (w->write && strcmp(facts.key, "YOUR-KEY") == 0) {
        fputs("pointsman: this gateway asks for a key: make one (`pointsman key add NAME`) and say --key KEY\n",
              stderr);
    } else if (w->write && !kind->files[0].path) {
        fprintf(stderr,
                "pointsman: %s have no file of their own: set the variables that `pointsman client %s` prints\n",
                kind->title, kind->name);
    } else if (w->write) {
        rc = write_files(kind, &facts, w->home, w->yes);
    } else {
        print_kind(kind, &facts);
        puts("");
        print_names(models, status);
        if (strcmp(facts.key, "YOUR-KEY") == 0)
            puts("\nThis gateway asks for a key: `pointsman key add NAME` makes one.");
        rc = 0;
    }
    free(facts.url);
    free(facts.v1);
out:
    cJSON_Delete(models);
    cJSON_Delete(answer);
    return rc;
}

/* What can stand in JSON, TOML, YAML and a shell's assignment as it is. */
static bool is_plain(const char *text)
{
    for (; text && *text; text++)
        if (*text <= ' ' || *text > '~' || strchr("\"'\\{}`$#;&|<>()*?!", *text))
            return false;
    return true;
}

int pm_cmd_client(int argc, char **argv)
{
    struct wanted w = {.state = pm_cli_places()->state, .home = getenv("HOME")};
    const struct pm_cli_option options[] = {
        {"--write", NULL, &w.write, "put it into the client's own files, after asking"},
        {"--yes", NULL, &w.yes, "without asking"},
        {"--model", &w.model, NULL, "the name to ask for (auto, or a route's or a model's)"},
        {"--key", &w.key, NULL, "the client's key, where the gateway asks for one"},
        {"--url", &w.url, NULL, "the gateway's address as the client sees it"},
        {"--home", &w.home, NULL, "the home folder with the client's files"},
        {"--state", &w.state, NULL, "the state folder of the running gateway"},
        {0}};
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0)
        return rc;
    if (words > 1 || (!words && w.write) || !w.home) {
        fprintf(stderr, "usage: pointsman %s\n", usage);
        return 2;
    }
    if (!words)
        return list_kinds();
    if (!is_plain(w.model) || !is_plain(w.key) || !is_plain(w.url)) {
        fputs("pointsman: a name, a key or an address has no blanks, quotes, braces or backslashes\n", stderr);
        return 2;
    }
    const struct pm_client_kind *kind = find_kind(argv[0]);
    return kind ? tell_or_write(kind, &w) : 2;
}
