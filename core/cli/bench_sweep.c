/* `pointsman bench sweep`: one profile with other keys, each combination measured in a gateway that is started for it
 * and stopped after it. What the running gateway has loaded must leave room: the servers' memory is the same. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/cli/bench_priv.h"
#include "core/cli/judge.h"
#include "core/cli/options.h"
#include "core/conf/conf.h"

enum { SETTINGS_MAX = 16, VARIANTS_MAX = 256 };

struct setting {
    char *key; /* a key of models.conf, or a flag of llama-server */
    struct pm_strv values;
};

struct sweep {
    struct setting settings[SETTINGS_MAX];
    size_t n, variants;
    bool refused[VARIANTS_MAX]; /* by models.conf's own rules */
    char dir[64];
    pid_t pid;
    FILE *said; /* by the gateway that was started */
};

/* Of the requests, not of the server. */
static bool is_temperature(const struct setting *one)
{
    return strcmp(one->key, "temperature") == 0;
}

static int read_settings(struct sweep *s, char *const *texts, int n, struct pm_error *err)
{
    s->variants = 1;
    for (int i = 0; i < n; i++) {
        const char *equals = strchr(texts[i], '=');
        if (!equals || equals == texts[i] || s->n == SETTINGS_MAX)
            return pm_error_set(err, PM_EINVAL, "%s: KEY=V1,V2 or --flag=V1,V2 is expected", texts[i]);
        struct setting *one = &s->settings[s->n++];
        one->key = pm_strndup(texts[i], (size_t)(equals - texts[i]));
        pm_strv_split(&one->values, equals + 1);
        s->variants *= one->values.n;
        if (!one->values.n || s->variants > VARIANTS_MAX)
            return pm_error_set(err, PM_EINVAL, "%s: %s", texts[i],
                                one->values.n ? "that makes more than 256 variants" : "no value");
    }
    return PM_OK;
}

/* The value that a variant has of a setting: variants count through all of them, the last setting fastest. */
static const char *value_of(const struct sweep *s, size_t variant, size_t setting)
{
    for (size_t i = s->n - 1; i > setting; i--)
        variant /= s->settings[i].values.n;
    return s->settings[setting].values.items[variant % s->settings[setting].values.n];
}

static char *name_of(const struct sweep *s, size_t variant)
{
    struct pm_buf name;
    pm_buf_init(&name, 4096);
    for (size_t i = 0; i < s->n; i++)
        pm_buf_addf(&name, "%s%s=%s", i ? " " : "", s->settings[i].key, value_of(s, variant, i));
    return pm_buf_take(&name);
}

/* --- its configuration --- */

static void add_section(struct pm_buf *out, const struct pm_ini_section *from, const char *name, const struct sweep *s,
                        size_t variant)
{
    const char *extra = pm_ini_get(from, "EXTRA_ARGS");
    struct pm_buf flags;
    pm_buf_init(&flags, 65536);
    pm_buf_addf(out, "[%s]\n", name);
    for (size_t i = 0; s && i < s->n; i++) {
        if (is_temperature(&s->settings[i]))
            continue;
        if (s->settings[i].key[0] == '-')
            pm_buf_addf(&flags, " %s %s", s->settings[i].key, value_of(s, variant, i));
        else
            pm_buf_addf(out, "%s=%s\n", s->settings[i].key, value_of(s, variant, i));
    }
    for (size_t e = 0; e < from->n; e++) {
        bool is_set = s && strcmp(from->entries[e].key, "EXTRA_ARGS") == 0;
        for (size_t i = 0; s && i < s->n; i++)
            is_set |= strcmp(from->entries[e].key, s->settings[i].key) == 0;
        if (!is_set)
            pm_buf_addf(out, "%s=%s\n", from->entries[e].key, from->entries[e].value);
    }
    if (s && (extra || flags.len))
        pm_buf_addf(out, "EXTRA_ARGS=%s%s\n", extra ? extra : "", flags.data);
    pm_buf_release(&flags);
}

/* Would a gateway take it? Told where it would not; the other variants go on. */
static bool is_refused(const struct sweep *s, const struct pm_buf *conf, size_t variant)
{
    struct pm_diags diags = {0};
    struct pm_error err = {0};
    char *path = pm_asprintf("%s/models.conf", s->dir), *name = name_of(s, variant);
    struct pm_bundle *bundle = pm_file_write(path, conf->data, conf->len, &err) == PM_OK
                                   ? pm_bundle_read(path, NULL, NULL, NULL, &err)
                                   : NULL;
    struct pm_conf *parsed = bundle ? pm_conf_parse(bundle, &diags) : NULL;
    bool refused = !parsed || diags.errors.n;
    if (refused)
        fprintf(stderr, "%s cannot be measured: %s\n", name, diags.errors.n ? diags.errors.items[0] : err.msg);
    pm_conf_free(parsed);
    pm_bundle_free(bundle);
    pm_diags_release(&diags);
    free(path);
    free(name);
    return refused;
}

static int write_conf(struct sweep *s, const char *models, const char *profile, struct pm_error *err)
{
    struct pm_diags diags = {0};
    struct pm_ini ini = {0};
    struct pm_buf out;
    const struct pm_ini_section *wanted = NULL;
    char *text = NULL, *path = NULL;
    size_t len;
    int rc = pm_file_read(models, 16 << 20, &text, &len, err);
    pm_buf_init(&out, 16 << 20);
    if (rc < 0)
        goto out;
    pm_ini_parse(&ini, models, text, &diags);
    for (size_t i = 0; i < ini.n; i++) {
        if (strcmp(ini.sections[i].name, "*") == 0 || strcmp(ini.sections[i].name, "manager") == 0)
            add_section(&out, &ini.sections[i], ini.sections[i].name, NULL, 0);
        if (strcmp(ini.sections[i].name, profile) == 0)
            wanted = &ini.sections[i];
    }
    if (!wanted || pm_ini_get(wanted, "CLOUD")) {
        rc = pm_error_set(err, PM_EINVAL, "%s: %s %s", models,
                          wanted ? "a cloud model cannot be swept:" : "there is no", profile);
        goto out;
    }
    for (size_t v = 0; v < s->variants; v++) {
        char name[32];
        snprintf(name, sizeof(name), "bench-%zu", v + 1);
        size_t before = out.len;
        add_section(&out, wanted, name, s, v);
        s->refused[v] = is_refused(s, &out, v);
        if (s->refused[v])
            pm_buf_cut(&out, before);
    }
    /* Relative paths in it are relative to where that file is. */
    path = pm_asprintf("%s/models.conf", s->dir);
    rc = pm_file_write(path, out.data, out.len, err);
out:
    pm_ini_release(&ini);
    pm_diags_release(&diags);
    pm_buf_release(&out);
    free(path);
    free(text);
    return rc;
}

/* --- its gateway --- */

static int did_not_start(const char *log, struct pm_error *err)
{
    char *text = NULL;
    size_t len = 0;
    if (pm_file_read(log, 1 << 20, &text, &len, NULL) < 0)
        len = 0;
    pm_error_set(err, PM_EINVAL, "the gateway for the variants did not start: %s",
                 len > 300 ? text + len - 300
                 : len     ? text
                           : "it said nothing");
    free(text);
    return PM_EINVAL;
}

static int start_gateway(struct sweep *s, const char *models, char **url, struct pm_error *err)
{
    const struct pm_cli_places *places = pm_cli_places();
    char *conf = pm_asprintf("%s/models.conf", s->dir), *routes = pm_asprintf("%s/routes", s->dir);
    char *state = pm_asprintf("%s/state", s->dir), *log = pm_asprintf("%s/log", s->dir), line[512] = "";
    char *folder = pm_strdup(models), *slash = strrchr(folder, '/');
    int pipes[2], rc = PM_OK;
    pid_t parent = getpid();
    mkdir(routes, 0700);
    if (pipe2(pipes, O_CLOEXEC) < 0 || (s->pid = fork()) < 0) {
        rc = pm_error_errno(err, "no gateway can be started");
        goto out;
    }
    if (s->pid == 0) {
        int to = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (slash)
            *slash = 0;
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
            _exit(127);
        if (dup2(pipes[1], 1) < 0 || to < 0 || dup2(to, 2) < 0 || (slash && chdir(folder) < 0))
            _exit(127);
        execl(places->self, places->self, "serve", "--models", conf, "--routes", routes, "--plugins", places->plugins,
              "--state", state, "--listen", "127.0.0.1:0", (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    s->said = fdopen(pipes[0], "r");
    while (s->said && fgets(line, sizeof(line), s->said) && !strstr(line, "http://"))
        continue;
    char *at = strstr(line, "http://");
    if (at)
        *url = pm_strndup(at, strcspn(at, " \r\n"));
    else
        rc = did_not_start(log, err);
out:
    free(folder);
    free(conf);
    free(routes);
    free(state);
    free(log);
    return rc;
}

static void stop_gateway(struct sweep *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGTERM);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    if (s->said)
        fclose(s->said);
    s->pid = 0;
    s->said = NULL;
}

static int unload(struct pm_bench *b, const char *id)
{
    struct pm_bench_reply reply;
    char *body = pm_asprintf("{\"model\":\"%s\"}", id);
    pm_bench_ask(b, "/models/unload", body, &reply);
    int status = reply.status;
    pm_buf_release(&reply.body);
    free(body);
    return status;
}

static int measure(struct pm_bench *b, const struct pm_bench_code *code, const struct sweep *s, const char *profile,
                   struct pm_error *err)
{
    int rc = PM_OK;
    size_t good = 0;
    for (size_t v = 0; v < s->variants && rc == PM_OK; v++) {
        char id[32], *variant = name_of(s, v);
        snprintf(id, sizeof(id), "bench-%zu", v + 1);
        struct pm_error why = {0};
        if (s->refused[v]) {
            free(variant);
            continue;
        }
        struct pm_bench_code how = code ? *code : (struct pm_bench_code){0};
        for (size_t i = 0; i < s->n; i++)
            if (is_temperature(&s->settings[i]))
                how.temperature = value_of(s, v, i);
        int got =
            code ? pm_bench_code(b, &how, id, profile, variant, &why) : pm_bench_speed(b, id, profile, variant, &why);
        /* A value that the server does not know is a result, too; the others go on. */
        if (got < 0)
            fprintf(stderr, "%s %s cannot be measured: %s\n", profile, variant, why.msg);
        good += got == PM_OK;
        if (b->interrupted)
            rc = pm_error_set(err, PM_EIO, "interrupted: the same command goes on from there");
        unload(b, id);
        free(variant);
    }
    return good ? rc : pm_error_set(err, PM_EINVAL, "none of the variants could be measured");
}

static int check_temperatures(const struct setting *one, bool code, struct pm_error *err)
{
    double ignored;
    if (!code)
        return pm_error_set(err, PM_EINVAL, "temperature changes what is answered, not how fast: --measure code");
    for (size_t i = 0; i < one->values.n; i++)
        if (pm_real_parse(one->values.items[i], 0, 10, &ignored) < 0)
            return pm_error_set(err, PM_EINVAL, "temperature=%s: a number from 0 to 10", one->values.items[i]);
    return PM_OK;
}

int pm_bench_sweep(struct pm_bench *b, const struct pm_bench_code *code, const char *models, const char *profile,
                   char *const *settings, int n, struct pm_error *err)
{
    struct sweep s = {0};
    struct pm_buf plan;
    const char *said = b->url;
    char *real = realpath(models, NULL), *url = NULL;
    pm_buf_init(&plan, 65536);
    pm_buf_addf(&plan, "sweep %s %s %lld %lld %lld", code ? "code" : "speed", profile, b->prompt, b->generate,
                b->repeats);
    for (int i = 0; i < n; i++)
        pm_buf_addf(&plan, " %s", settings[i]);
    for (size_t i = 0; i < b->fills.n; i++)
        pm_buf_addf(&plan, " %s", b->fills.items[i]);
    int rc = read_settings(&s, settings, n, err);
    for (size_t i = 0; i < s.n && rc == PM_OK; i++)
        rc = is_temperature(&s.settings[i]) ? check_temperatures(&s.settings[i], code != NULL, err) : PM_OK;
    if (rc == PM_OK && code)
        rc = pm_bench_code_ready(code, err);
    pm_judge_temporary(s.dir, sizeof(s.dir));
    if (rc == PM_OK && !mkdtemp(s.dir))
        rc = pm_error_errno(err, "%s", s.dir);
    if (rc == PM_OK)
        rc = write_conf(&s, models, profile, err);
    if (rc == PM_OK)
        rc = start_gateway(&s, real ? real : models, &url, err);
    if (rc == PM_OK) {
        b->url = url;
        rc = pm_bench_begin(b, plan.data, s.variants * (code ? 1 : b->fills.n), err);
    }
    if (rc == PM_OK)
        rc = measure(b, code, &s, profile, err);
    stop_gateway(&s);
    b->url = said;
    if (strstr(s.dir, "XXXXXX") == NULL && *s.dir)
        pm_bench_remove(s.dir);
    for (size_t i = 0; i < s.n; i++) {
        free(s.settings[i].key);
        pm_strv_release(&s.settings[i].values);
    }
    pm_buf_release(&plan);
    free(real);
    free(url);
    return rc;
}
