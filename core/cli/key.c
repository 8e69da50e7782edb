/* `pointsman key`: who may use what. */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/secret.h"
#include "core/base/text.h"
#include "core/cli/cli.h"
#include "core/cli/options.h"
#include "core/cli/talk.h"
#include "core/conf/bundle.h"
#include "core/conf/ini.h"
#include "core/store/limits.h"

/* The gateway must be able to read what root has written for it: it belongs to whom the folder belongs. */
static int write_keys(const char *path, const struct pm_buf *text, struct pm_error *err)
{
    struct stat st;
    int rc = pm_file_write(path, text->data, text->len, err);
    const char *slash = strrchr(path, '/');
    if (rc < 0 || geteuid() != 0 || !slash)
        return rc;
    char *folder = pm_strndup(path, slash > path ? (size_t)(slash - path) : 1);
    if (stat(folder, &st) == 0 && st.st_uid != 0 && chown(path, st.st_uid, st.st_gid) < 0)
        rc = pm_error_errno(err, "%s: cannot be given to the owner of its folder", path);
    free(folder);
    return rc;
}

static const char usage[] = "key add NAME | list | revoke NAME [options]";

struct asked {
    const char *state, *keys;
    const char *targets, *rpm, *tpm, *budget, *priority;
    bool local_only, admin, json;
};

static bool name_is_fine(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-@", *p))
            return false;
    return isalnum((unsigned char)*name) && strlen(name) < 64;
}

/* The file that is meant: the one that was named, the running gateway's, else the state folder's. The caller frees. */
static char *keys_path(const struct asked *a)
{
    struct pm_error none = {0};
    if (a->keys)
        return pm_strdup(a->keys);
    cJSON *reply = pm_cli_ask(a->state, pm_cli_question("keys", NULL), &none);
    const char *path = pm_json_str(reply, "path");
    char *found = path ? pm_strdup(path) : pm_asprintf("%s/keys.conf", a->state);
    cJSON_Delete(reply);
    return found;
}

/* The keys file as it is; an empty one when there is none. NULL with `err`. */
static struct pm_bundle *open_keys(const struct asked *a, struct pm_error *err)
{
    char *path = keys_path(a);
    struct pm_bundle *b = pm_bundle_read("/dev/null", NULL, NULL, path, err);
    free(path);
    return b;
}

/* Two commands at once wait for each other: a lock on the file's folder, which ends with this process. */
static int lock_folder(const struct asked *a)
{
    char *path = keys_path(a), *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = 0;
    int fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        flock(fd, LOCK_EX);
    free(path);
    return fd;
}

/* A running gateway takes the change up by itself when it sees the file change; asked, it does so at once. */
static void tell_manager(const struct asked *a)
{
    struct pm_error err = {0};
    cJSON_Delete(pm_cli_ask(a->state, pm_cli_question("reload", NULL), &err));
}

static bool has_section(const struct pm_bundle *b, const char *name)
{
    struct pm_ini ini = {0};
    struct pm_diags diags = {0};
    bool found = false;
    pm_ini_parse(&ini, b->clients.path, b->clients.text ? b->clients.text : "", &diags);
    for (size_t i = 0; i < ini.n; i++)
        found |= strcmp(ini.sections[i].name, name) == 0;
    pm_ini_release(&ini);
    pm_diags_release(&diags);
    return found;
}

/* --- add --- */

static int check_values(const struct asked *a, struct pm_error *err)
{
    for (const char *p = a->targets ? a->targets : ""; *p; p++)
        if (iscntrl((unsigned char)*p))
            return pm_error_set(err, PM_EINVAL, "--targets: ids separated by commas are expected");
    static const char *const classes[] = {"high", "normal", "low"};
    long long n;
    double budget;
    if (a->rpm && pm_int_parse(a->rpm, 1, 1000000000, &n) < 0)
        return pm_error_set(err, PM_EINVAL, "--rpm %s: a whole number from 1 on is expected", a->rpm);
    if (a->tpm && pm_int_parse(a->tpm, 1, 1000000000000, &n) < 0)
        return pm_error_set(err, PM_EINVAL, "--tpm %s: a whole number from 1 on is expected", a->tpm);
    if (a->budget && pm_real_parse(a->budget, 0, 1e12, &budget) < 0)
        return pm_error_set(err, PM_EINVAL, "--budget %s: an amount is expected", a->budget);
    for (size_t i = 0; a->priority && i < 3; i++)
        if (strcmp(a->priority, classes[i]) == 0)
            return PM_OK;
    if (a->priority)
        return pm_error_set(err, PM_EINVAL, "--priority %s: high, normal or low is expected", a->priority);
    return PM_OK;
}

/* A key for a target that there is not would make the whole file unusable. */
static int check_targets(const struct asked *a, struct pm_error *err)
{
    struct pm_error none = {0};
    struct pm_strv wanted = {0};
    int rc = PM_OK;
    cJSON *reply = a->targets ? pm_cli_ask(a->state, pm_cli_question("keys", NULL), &none) : NULL;
    const cJSON *known = pm_json_get(reply, "targets"), *item;
    pm_strv_split(&wanted, a->targets ? a->targets : "");
    for (size_t i = 0; i < wanted.n && known && rc == PM_OK; i++) {
        bool found = false;
        cJSON_ArrayForEach (item, known)
            found |= strcmp(item->valuestring, wanted.items[i]) == 0;
        if (!found)
            rc = pm_error_set(err, PM_ENOTFOUND, "--targets: there is no target %.80s: see `pointsman models`",
                              wanted.items[i]);
    }
    pm_strv_release(&wanted);
    cJSON_Delete(reply);
    return rc;
}

static void add_line(struct pm_buf *out, const char *key, const char *value)
{
    if (value)
        pm_buf_addf(out, "%s=%s\n", key, value);
}

static void add_section(struct pm_buf *out, const char *name, const char *key, const struct asked *a)
{
    char hash[PM_SHA256_HEX], created[32];
    time_t now = (time_t)pm_clock_wall_s();
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm);
    pm_sha256_hex(key, strlen(key), hash);
    if (out->len && out->data[out->len - 1] != '\n')
        pm_buf_add(out, "\n");
    pm_buf_addf(out, "%s[%s]\nHASH=sha256:%s\nCREATED=%s\n", out->len ? "\n" : "", name, hash, created);
    add_line(out, "TARGETS", a->targets);
    add_line(out, "RPM", a->rpm);
    add_line(out, "TPM", a->tpm);
    add_line(out, "BUDGET", a->budget);
    add_line(out, "PRIORITY", a->priority);
    add_line(out, "LOCAL_ONLY", a->local_only ? "yes" : NULL);
    add_line(out, "ADMIN", a->admin ? "yes" : NULL);
}

static void print_key(const char *name, const char *key, bool json)
{
    if (!json) {
        printf("%s\n", key);
        fprintf(stderr, "This is the key of %s. It is not kept here and cannot be shown again.\n", name);
        return;
    }
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "name", name);
    cJSON_AddStringToObject(root, "key", key);
    pm_cli_print_json(root);
    cJSON_Delete(root);
}

/* A key in a folder that no gateway looks into would open nothing. */
static int check_folder(const struct asked *a, struct pm_error *err)
{
    if (a->keys || access(a->state, F_OK) == 0)
        return PM_OK;
    return pm_error_set(err, PM_ENOTFOUND,
                        "%s: there is no such state folder: start `pointsman serve` first, or say --state DIR",
                        a->state);
}

/* A door that is closed in another house keeps nobody out. */
static void say_who_takes_it(const struct asked *a)
{
    struct pm_error err = {0};
    int fd = a->keys ? -1 : pm_cli_connect(a->state, &err);
    if (fd >= 0)
        close(fd);
    else if (!a->keys)
        fprintf(stderr, "pointsman: no gateway runs with %s: one that is started with it will ask for this key\n",
                a->state);
}

static int add_key(const struct asked *a, const char *name, struct pm_error *err)
{
    int rc = name_is_fine(name) ? check_values(a, err)
                                : pm_error_set(err, PM_EINVAL, "%.80s: a name has letters, digits and . _ - @", name);
    if (rc == PM_OK && (rc = check_folder(a, err)) == PM_OK)
        rc = check_targets(a, err);
    struct pm_bundle *b = rc == PM_OK ? open_keys(a, err) : NULL;
    if (!b)
        return PM_EINVAL;
    struct pm_buf text;
    pm_buf_init(&text, PM_BUF_OWN_LIMIT);
    char *secret = pm_secret_new(), *key = pm_asprintf("pm-%s", secret);
    if (has_section(b, name)) {
        rc = pm_error_set(err, PM_EINVAL, "there is a key %s already: revoke it first, or take another name", name);
    } else {
        pm_buf_add(&text, b->clients.text ? b->clients.text : "");
        add_section(&text, name, key, a);
        rc = write_keys(b->clients.path, &text, err);
    }
    if (rc == PM_OK) {
        tell_manager(a);
        print_key(name, key, a->json);
        say_who_takes_it(a);
    }
    free(secret);
    free(key);
    pm_buf_release(&text);
    pm_bundle_free(b);
    return rc;
}

/* --- revoke --- */

/* The text without the section's lines; what stands around it stays. */
static void without_section(const char *text, const char *name, struct pm_buf *out)
{
    bool inside = false;
    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\n"), n = strlen(name);
        const char *word = line + strspn(line, " \t");
        if (*word == '[')
            inside = strncmp(word + 1, name, n) == 0 && word[1 + n] == ']';
        if (!inside)
            pm_buf_addn(out, line, len + (line[len] == '\n'));
        line += len + (line[len] == '\n');
    }
}

static int revoke_key(const struct asked *a, const char *name, struct pm_error *err)
{
    struct pm_bundle *b = open_keys(a, err);
    struct pm_buf text;
    if (!b)
        return PM_EINVAL;
    pm_buf_init(&text, PM_BUF_OWN_LIMIT);
    int rc;
    if (!has_section(b, name)) {
        rc = pm_error_set(err, PM_ENOTFOUND, "there is no key %.80s: see `pointsman key list`", name);
    } else {
        without_section(b->clients.text, name, &text);
        rc = write_keys(b->clients.path, &text, err);
    }
    if (rc == PM_OK)
        tell_manager(a);
    pm_buf_release(&text);
    pm_bundle_free(b);
    return rc;
}

/* --- list --- */

static void add_value(cJSON *item, const struct pm_ini_section *s, const char *key, const char *name)
{
    const char *value = pm_ini_get(s, key);
    double n;
    if (!value)
        return;
    if (pm_real_parse(value, 0, 1e15, &n) == PM_OK)
        cJSON_AddNumberToObject(item, name, n);
    else
        cJSON_AddStringToObject(item, name, value);
}

static cJSON *describe(const struct pm_ini_section *s, struct pm_limits *limits)
{
    cJSON *item = cJSON_CreateObject();
    struct pm_limit_use use = {0};
    const char *hash = pm_ini_get(s, "HASH");
    cJSON_AddStringToObject(item, "name", s->name);
    add_value(item, s, "CREATED", "created");
    add_value(item, s, "TARGETS", "targets");
    add_value(item, s, "RPM", "rpm");
    add_value(item, s, "TPM", "tpm");
    add_value(item, s, "BUDGET", "budget");
    add_value(item, s, "PRIORITY", "priority");
    add_value(item, s, "LOCAL_ONLY", "local_only");
    add_value(item, s, "ADMIN", "admin");
    if (limits && hash && strlen(hash) > 7 + 32)
        pm_limits_look(limits, hash + 7, pm_clock_wall_s(), &use);
    cJSON_AddNumberToObject(item, "requests_this_minute", (double)use.requests);
    cJSON_AddNumberToObject(item, "tokens_this_minute", (double)use.tokens);
    cJSON_AddNumberToObject(item, "spent_this_month", use.spent);
    return item;
}

static void print_table(const cJSON *list)
{
    const cJSON *item;
    printf("%-20s %-20s %-10s %-10s %-10s %s\n", "NAME", "CREATED", "REQUESTS", "TOKENS", "SPENT", "LIMITS");
    cJSON_ArrayForEach (item, list) {
        const char *created = pm_json_str(item, "created");
        printf("%-20s %-20s %-10.0f %-10.0f %-10.4g", pm_json_str(item, "name"), created ? created : "-",
               pm_json_num(item, "requests_this_minute", 0), pm_json_num(item, "tokens_this_minute", 0),
               pm_json_num(item, "spent_this_month", 0));
        static const char *const limits[] = {"rpm", "tpm", "budget", "targets", "priority", "local_only", "admin"};
        for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
            const cJSON *value = pm_json_get(item, limits[i]);
            if (cJSON_IsNumber(value))
                printf(" %s=%g", limits[i], value->valuedouble);
            else if (cJSON_IsString(value))
                printf(" %s=%s", limits[i], value->valuestring);
        }
        putchar('\n');
    }
}

static int list_keys(const struct asked *a, struct pm_error *err)
{
    struct pm_bundle *b = open_keys(a, err);
    if (!b)
        return PM_EINVAL;
    char *path = pm_asprintf("%s/limits", a->state);
    struct pm_error unused = {0};
    struct pm_limits *limits = access(path, F_OK) == 0 ? pm_limits_open(AT_FDCWD, path, &unused) : NULL;
    struct pm_ini ini = {0};
    struct pm_diags diags = {0};
    cJSON *all = cJSON_CreateArray();
    pm_ini_parse(&ini, b->clients.path, b->clients.text ? b->clients.text : "", &diags);
    for (size_t i = 0; i < ini.n; i++)
        cJSON_AddItemToArray(all, describe(&ini.sections[i], limits));
    if (a->json)
        pm_cli_print_json(all);
    else
        print_table(all);
    cJSON_Delete(all);
    pm_ini_release(&ini);
    pm_diags_release(&diags);
    pm_limits_free(limits);
    pm_bundle_free(b);
    free(path);
    return PM_OK;
}

int pm_cmd_key(int argc, char **argv)
{
    struct asked a = {.state = pm_cli_places()->state};
    const struct pm_cli_option options[] = {
        {"--targets", &a.targets, NULL, "add: may use these targets only (a,b)"},
        {"--rpm", &a.rpm, NULL, "add: requests a minute"},
        {"--tpm", &a.tpm, NULL, "add: tokens a minute"},
        {"--budget", &a.budget, NULL, "add: money a month, in the currency of PRICE_IN and PRICE_OUT"},
        {"--priority", &a.priority, NULL, "add: high, normal or low"},
        {"--local-only", NULL, &a.local_only, "add: nothing of it leaves this machine"},
        {"--admin", NULL, &a.admin, "add: may load and unload, and see logs and metrics"},
        {"--json", NULL, &a.json, "one document for programs"},
        {"--state", &a.state, NULL, "state folder"},
        {"--keys", &a.keys, NULL, "keys file (the running gateway's, else STATE/keys.conf)"},
        {0}};
    struct pm_error err = {0};
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0)
        return rc;
    int lock = words == 2 ? lock_folder(&a) : -1;
    if (words == 2 && strcmp(argv[0], "add") == 0)
        rc = add_key(&a, argv[1], &err);
    else if (words == 2 && strcmp(argv[0], "revoke") == 0)
        rc = revoke_key(&a, argv[1], &err);
    else if (words == 1 && strcmp(argv[0], "list") == 0)
        rc = list_keys(&a, &err);
    else
        rc = 2;
    if (lock >= 0)
        close(lock);
    if (rc == 2) {
        fprintf(stderr, "usage: pointsman %s (see --help)\n", usage);
        return 2;
    }
    return rc < 0 ? pm_cli_failed(&err) : 0;
}
