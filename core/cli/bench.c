/* `pointsman bench`: how fast and how good profiles are, through the gateway; kept, so that builds and dates can be
 * compared. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/cli/bench_priv.h"
#include "core/cli/cli.h"
#include "core/cli/options.h"

static const char usage[] =
    "bench speed [PROFILE...] [--fills 0,4096] [--prompt 512] [--generate 128] [--repeats 3]\n"
    "       bench sweep PROFILE KEY=V1,V2 [--flag=V1,V2 ...] [--measure speed|code]\n"
    "       bench code MODEL... [--data FILE] [--temperature T] [--limit N] [--python PROGRAM]\n"
    "       bench compare A B          (runs, builds or dates)\n"
    "       bench report [A] [--svg FILE]\n"
    "       all: [--state DIR] [--url URL] [--key KEY] [--fresh] [--json]";

/* --- asking --- */

struct asking {
    struct pm_bench *b;
    struct pm_bench_reply *reply;
    uint64_t began_us;
};

static void on_head(void *arg, struct pm_transfer *t, int status)
{
    struct asking *a = arg;
    (void)t;
    a->reply->status = status;
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct asking *a = arg;
    if (a->reply->first_ms <= 0)
        a->reply->first_ms = (double)(pm_clock_us() - a->began_us) / 1e3;
    if (pm_buf_append(&a->reply->body, data, len) < 0)
        a->reply->status = 0;
    return true;
}

static void on_done(void *arg, const struct pm_transfer_result *result)
{
    struct asking *a = arg;
    a->reply->total_ms = (double)(pm_clock_us() - a->began_us) / 1e3;
    if (result->end != PM_TRANSFER_OK) {
        a->reply->status = 0;
        pm_buf_clear(&a->reply->body);
        pm_buf_add(&a->reply->body, result->text);
    }
    pm_loop_stop(a->b->loop);
}

/* What was begun is put away: a gateway of its own, folders. */
static void interrupted(evutil_socket_t signo, short what, void *arg)
{
    struct pm_bench *b = arg;
    (void)signo;
    (void)what;
    b->interrupted = true;
    pm_loop_stop(b->loop);
}

void pm_bench_ask(struct pm_bench *b, const char *path, const char *body, struct pm_bench_reply *reply)
{
    static const struct pm_transfer_events events = {.head = on_head, .data = on_data, .done = on_done};
    struct asking a = {.b = b, .reply = reply, .began_us = pm_clock_us()};
    struct pm_strv headers = {0};
    char *url = pm_asprintf("%s%s", b->url, path);
    char *key = b->key ? pm_asprintf("Authorization: Bearer %s", b->key) : NULL;
    *reply = (struct pm_bench_reply){0};
    pm_buf_init(&reply->body, 64 << 20);
    pm_strv_add(&headers, "Content-Type: application/json", strlen("Content-Type: application/json"));
    if (key)
        pm_strv_add(&headers, key, strlen(key));
    struct pm_transfer_spec spec = {.method = body ? "POST" : "GET",
                                    .url = url,
                                    .headers = &headers,
                                    .body = body,
                                    .len = body ? strlen(body) : 0,
                                    .connect_ms = 5000};
    if (b->interrupted) {
        pm_buf_add(&reply->body, "interrupted");
    } else {
        struct pm_transfer *transfer = pm_transfer_start(b->up, &spec, &events, &a);
        pm_loop_run(b->loop);
        if (b->interrupted)
            pm_transfer_cancel(transfer);
    }
    pm_strv_release(&headers);
    free(key);
    free(url);
}

void pm_bench_add_server(struct pm_bench *b, const char *profile, cJSON *cell)
{
    char *path = pm_asprintf("/upstream/%s/props", profile);
    struct pm_bench_reply reply;
    pm_bench_ask(b, path, NULL, &reply);
    cJSON *props = reply.status == 200 ? cJSON_Parse(reply.body.data) : NULL;
    const char *build = pm_json_str(props, "build_info"), *model = pm_json_str(props, "model_path");
    cJSON_AddStringToObject(cell, "build", build ? build : "");
    cJSON_AddStringToObject(cell, "model", model ? model : "");
    cJSON_Delete(props);
    pm_buf_release(&reply.body);
    free(path);
}

void pm_bench_remove(const char *dir)
{
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", "--", dir, (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* --- runs --- */

int pm_bench_begin(struct pm_bench *b, const char *plan, size_t total, struct pm_error *err)
{
    bool resumed = false;
    b->run = pm_results_begin(b->results, plan, b->fresh, &resumed, err);
    b->done = 0;
    b->total = total;
    if (!b->run)
        return PM_EIO;
    fprintf(stderr, "run %lld%s\n", b->run, resumed ? " goes on (--fresh begins anew)" : "");
    return PM_OK;
}

static double median(const cJSON *cell, const char *key)
{
    return pm_json_num(pm_json_get(cell, key), "median", 0);
}

static void tell(const struct pm_bench *b, const cJSON *cell)
{
    const char *variant = pm_json_str(cell, "variant");
    fprintf(stderr, "%zu of %zu  %s%s%s", b->done, b->total, pm_json_str(cell, "profile"), *variant ? " " : "",
            variant);
    if (strcmp(pm_json_str(cell, "kind"), "speed") == 0)
        fprintf(stderr, "  %.0f in the context: reads %.1f/s, writes %.1f/s, first token after %.1f ms\n",
                pm_json_num(cell, "fill", 0), median(cell, "prompt_tps"), median(cell, "output_tps"),
                median(cell, "first_ms"));
    else
        fprintf(stderr, "  %.0f tasks: HumanEval %.1f %%, HumanEval+ %.1f %%\n", pm_json_num(cell, "tasks", 0),
                100 * pm_json_num(cell, "base", 0), 100 * pm_json_num(cell, "plus", 0));
}

int pm_bench_keep(struct pm_bench *b, const char *name, cJSON *cell, struct pm_error *err)
{
    b->done++;
    if (!cell) {
        fprintf(stderr, "%zu of %zu  %s: measured before\n", b->done, b->total, name);
        return PM_OK;
    }
    int rc = pm_results_add(b->results, b->run, name, cell, err);
    if (rc == PM_OK)
        tell(b, cell);
    cJSON_Delete(cell);
    return rc;
}

/* --- the subcommands --- */

struct asked {
    const char *models, *fills, *prompt, *generate, *repeats, *svg, *measure, *limit;
    struct pm_bench_code code;
};

/* All profiles that are not for benchmarks only, where none is named. */
static int profiles_of(struct pm_bench *b, char **argv, int n, struct pm_strv *out, struct pm_error *err)
{
    const cJSON *item;
    for (int i = 0; i < n; i++)
        pm_strv_add(out, argv[i], strlen(argv[i]));
    if (n)
        return PM_OK;
    cJSON *reply = pm_cli_ask(b->state, pm_cli_question("models", NULL), err);
    if (!reply)
        return PM_EIO;
    cJSON_ArrayForEach (item, pm_json_get(reply, "models"))
        if (strcmp(pm_json_str(item, "kind"), "local") == 0 && !pm_json_true(item, "bench"))
            pm_strv_add(out, pm_json_str(item, "id"), strlen(pm_json_str(item, "id")));
    cJSON_Delete(reply);
    return out->n ? PM_OK : pm_error_set(err, PM_EINVAL, "models.conf has no local profile");
}

static int find_gateway(struct pm_bench *b, struct pm_error *err)
{
    if (b->url)
        return PM_OK;
    cJSON *reply = pm_cli_ask(b->state, pm_cli_question("status", NULL), err);
    if (!reply)
        return PM_EIO;
    const cJSON *first = cJSON_GetArrayItem(pm_json_get(pm_json_get(reply, "status"), "listen"), 0);
    b->url = b->own_url = pm_asprintf("http://%s", cJSON_IsString(first) ? first->valuestring : "127.0.0.1:8484");
    cJSON_Delete(reply);
    return PM_OK;
}

static int run_speed(struct pm_bench *b, const struct asked *ask, char **argv, int n, struct pm_error *err)
{
    struct pm_strv profiles = {0};
    int rc = find_gateway(b, err);
    if (rc == PM_OK)
        rc = profiles_of(b, argv, n, &profiles, err);
    char *plan = pm_asprintf("speed %s %s %s %s", ask->fills, ask->prompt, ask->generate, ask->repeats);
    for (size_t i = 0; i < profiles.n; i++) {
        char *more = pm_asprintf("%s %s", plan, profiles.items[i]);
        free(plan);
        plan = more;
    }
    if (rc == PM_OK)
        rc = pm_bench_begin(b, plan, profiles.n * b->fills.n, err);
    size_t good = 0;
    for (size_t i = 0; i < profiles.n && rc == PM_OK; i++) {
        struct pm_error why = {0};
        if (pm_bench_speed(b, profiles.items[i], profiles.items[i], "", &why) == PM_OK)
            good++;
        else if (b->interrupted)
            rc = pm_error_set(err, PM_EIO, "interrupted: the same command goes on from there");
        else
            fprintf(stderr, "%s cannot be measured: %s\n", profiles.items[i], why.msg);
    }
    if (rc == PM_OK && good < profiles.n)
        rc = pm_error_set(err, PM_EIO, "%zu of %zu profiles could be measured", good, profiles.n);
    free(plan);
    pm_strv_release(&profiles);
    return rc == PM_OK ? pm_results_finish(b->results, b->run, err) : rc;
}

static int run_code(struct pm_bench *b, const struct asked *ask, char **argv, int n, struct pm_error *err)
{
    int rc = find_gateway(b, err);
    if (rc == PM_OK)
        rc = pm_bench_code_ready(&ask->code, err);
    char *plan =
        pm_asprintf("code %s %s %lld", ask->code.data ? ask->code.data : "", ask->code.temperature, ask->code.limit);
    for (int i = 0; i < n; i++) {
        char *more = pm_asprintf("%s %s", plan, argv[i]);
        free(plan);
        plan = more;
    }
    if (rc == PM_OK)
        rc = pm_bench_begin(b, plan, (size_t)n, err);
    for (int i = 0; i < n && rc == PM_OK; i++)
        rc = pm_bench_code(b, &ask->code, argv[i], argv[i], "", err);
    free(plan);
    return rc == PM_OK ? pm_results_finish(b->results, b->run, err) : rc;
}

static int run_sweep(struct pm_bench *b, const struct asked *ask, char **argv, int n, struct pm_error *err)
{
    bool code = strcmp(ask->measure, "code") == 0;
    int rc = pm_bench_sweep(b, code ? &ask->code : NULL, ask->models, argv[0], argv + 1, n - 1, err);
    return rc == PM_OK ? pm_results_finish(b->results, b->run, err) : rc;
}

/* What this run has measured. */
static void print_run(struct pm_bench *b)
{
    struct pm_error err = {0};
    cJSON *all = pm_results_all(b->results, &err);
    char number[32];
    snprintf(number, sizeof(number), "%lld", b->run);
    if (all && b->json) {
        for (int i = cJSON_GetArraySize(all) - 1; i >= 0; i--)
            if ((long long)pm_json_num(cJSON_GetArrayItem(all, i), "run", 0) != b->run)
                cJSON_DeleteItemFromArray(all, i);
        pm_cli_print_json(all);
    } else if (all && pm_bench_report(all, number, NULL, &err) < 0) {
        pm_cli_failed(&err);
    }
    cJSON_Delete(all);
}

static int look_back(struct pm_bench *b, const struct asked *ask, const char *what, char **argv, int n,
                     struct pm_error *err)
{
    cJSON *all = pm_results_all(b->results, err);
    int rc;
    if (!all)
        return pm_cli_failed(err);
    if (strcmp(what, "compare") == 0) {
        rc = pm_bench_compare(all, argv[0], argv[1], b->json);
    } else if (b->json) {
        pm_cli_print_json(all);
        rc = 0;
    } else {
        rc = pm_bench_report(all, n ? argv[0] : NULL, ask->svg, err) < 0 ? pm_cli_failed(err) : 0;
    }
    cJSON_Delete(all);
    return rc;
}

static const struct {
    const char *name;
    int least, most; /* words after it */
    int (*run)(struct pm_bench *b, const struct asked *ask, char **argv, int n, struct pm_error *err);
} subcommands[] = {{"speed", 0, 64, run_speed},
                   {"sweep", 2, 64, run_sweep},
                   {"code", 1, 64, run_code},
                   {"compare", 2, 2, NULL},
                   {"report", 0, 1, NULL}};

static int run(struct pm_bench *b, const struct asked *ask, char **argv, int words)
{
    struct pm_error err = {0};
    size_t i = 0;
    while (i < 5 && strcmp(subcommands[i].name, argv[0]) != 0)
        i++;
    if (i == 5 || words - 1 < subcommands[i].least || words - 1 > subcommands[i].most) {
        fprintf(stderr, "usage: pointsman %s\n", usage);
        return 2;
    }
    char *path = pm_asprintf("%s/bench.db", b->state);
    b->results = pm_results_open(path, &err);
    free(path);
    if (!b->results)
        return pm_cli_failed(&err);
    if (!subcommands[i].run)
        return look_back(b, ask, argv[0], argv + 1, words - 1, &err);
    b->loop = pm_loop_new();
    b->up = pm_upstream_new(b->loop);
    pm_loop_on_signal(b->loop, SIGINT, interrupted, b);
    pm_loop_on_signal(b->loop, SIGTERM, interrupted, b);
    int rc = subcommands[i].run(b, ask, argv + 1, words - 1, &err);
    pm_loop_settle(b->loop);
    pm_upstream_free(b->up);
    pm_loop_free(b->loop);
    if (b->run)
        print_run(b);
    return rc < 0 ? pm_cli_failed(&err) : 0;
}

/* What looks like an option and is none of ours is a setting of `sweep`: --flag=V1,V2. They go behind the words. */
static int split_settings(const struct pm_cli_option *options, int argc, char **argv, char **settings, int most)
{
    int n = 0;
    for (int i = 0; i < argc; i++) {
        size_t len = strcspn(argv[i], "=");
        bool flag = argv[i][0] == '-' && argv[i][len] && len > 1;
        for (const struct pm_cli_option *o = options; o->name && flag; o++)
            flag = strlen(o->name) != len || strncmp(o->name, argv[i], len) != 0;
        if (flag && n < most)
            settings[n++] = argv[i];
        else
            argv[i - n] = argv[i];
    }
    return n;
}

static bool are_numbers(const struct pm_strv *v)
{
    long long n;
    bool good = v->n > 0;
    for (size_t i = 0; i < v->n && good; i++)
        good = pm_int_parse(v->items[i], 0, 10000000, &n) == PM_OK;
    return good;
}

int pm_cmd_bench(int argc, char **argv)
{
    struct pm_bench b = {.state = pm_cli_places()->state};
    struct asked ask = {.models = pm_cli_places()->models,
                        .fills = "0",
                        .prompt = "512",
                        .generate = "128",
                        .repeats = "3",
                        .measure = "speed",
                        .limit = "0",
                        .code = {.python = "python3", .temperature = "0"}};
    const struct pm_cli_option options[] = {
        {"--fills", &ask.fills, NULL, "tokens that stand in the context before, with commas between (0)"},
        {"--prompt", &ask.prompt, NULL, "tokens to read (512)"},
        {"--generate", &ask.generate, NULL, "tokens to write (128)"},
        {"--repeats", &ask.repeats, NULL, "of each, after one that warms up (3)"},
        {"--measure", &ask.measure, NULL, "what sweep measures: speed or code"},
        {"--data", &ask.code.data, NULL, "HumanEval+ tasks, one JSON object a line (else evalplus fetches them)"},
        {"--temperature", &ask.code.temperature, NULL, "of code's answers (0)"},
        {"--limit", &ask.limit, NULL, "only the first N tasks"},
        {"--python", &ask.code.python, NULL, "a python with the package evalplus (python3)"},
        {"--svg", &ask.svg, NULL, "a chart of the report into this file"},
        {"--models", &ask.models, NULL, "where sweep finds the profile"},
        {"--url", &b.url, NULL, "the gateway's address"},
        {"--key", &b.key, NULL, "an admin key, where it asks for one"},
        {"--fresh", NULL, &b.fresh, "do not go on with a run that was broken off"},
        {"--json", NULL, &b.json, "one document for programs"},
        {"--state", &b.state, NULL, "the state folder of the running gateway; results are kept there"},
        {0}};
    char *settings[32], *all[64];
    int n = split_settings(options, argc, argv, settings, 32), words,
        rc = pm_cli_parse(usage, options, argc - n, argv, &words);
    if (rc >= 0)
        return rc;
    pm_strv_split(&b.fills, ask.fills);
    if (!words || words + n > 64 || !are_numbers(&b.fills) || pm_int_parse(ask.prompt, 1, 1000000, &b.prompt) < 0 ||
        pm_int_parse(ask.generate, 1, 100000, &b.generate) < 0 || pm_int_parse(ask.repeats, 1, 100, &b.repeats) < 0 ||
        pm_int_parse(ask.limit, 0, 100000, &ask.code.limit) < 0 ||
        (strcmp(ask.measure, "speed") != 0 && strcmp(ask.measure, "code") != 0)) {
        fprintf(stderr, "usage: pointsman %s\n", usage);
        pm_strv_release(&b.fills);
        return 2;
    }
    double ignored;
    bool fine = pm_real_parse(ask.code.temperature, 0, 10, &ignored) == PM_OK;
    /* What stands behind the profile of `sweep` sets something. */
    for (int i = 2; i < words && strcmp(argv[0], "sweep") == 0; i++)
        fine &= strchr(argv[i], '=') != NULL;
    if (!fine) {
        fprintf(stderr, "usage: pointsman %s\n", usage);
        pm_strv_release(&b.fills);
        return 2;
    }
    memcpy(all, argv, (size_t)words * sizeof(*all));
    memcpy(all + words, settings, (size_t)n * sizeof(*all));
    rc = run(&b, &ask, all, words + n);
    pm_results_free(b.results);
    pm_strv_release(&b.fills);
    free(b.own_url);
    return rc;
}
