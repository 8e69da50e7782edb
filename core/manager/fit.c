/* What llama.cpp itself says that a profile will take: `llama-fit-params --fit-print on`, where that program stands
 * beside the llama-server. It knows its own buffers best; it is asked once for each command line, while nothing waits
 * for it, and what the server's log tells later takes the place of its answer. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/manager/manager_priv.h"

enum { LIMIT_MS = 30000, OUTPUT_MAX = 1 << 20 };

struct pm_fit {
    struct pm_manager *m;
    struct pm_child *child;
    struct pm_timer limit;
    char *profile, *output;
    uint64_t command;
};

/* llama-fit-params in the folder of the llama-server; NULL where there is none. The caller frees. */
static char *program_for(const struct pm_target *t)
{
    char *server = pm_conf_server_path(t);
    const char *slash = server ? strrchr(server, '/') : NULL;
    char *path = slash ? pm_asprintf("%.*s/llama-fit-params", (int)(slash - server), server) : NULL;
    if (path && access(path, X_OK) < 0)
        PM_FREE_AND_NULL(path);
    free(server);
    return path;
}

/* DEVICE model context compute, MiB each; the machine's own memory is `host`. */
static bool read_line(const char *line, struct pm_need *need)
{
    char name[64];
    long long model, context, compute;
    if (sscanf(line, "%63s %lld %lld %lld", name, &model, &context, &compute) != 4 || model < 0 || context < 0 ||
        compute < 0)
        return false;
    int d = pm_measure_device(name, strlen(name));
    if (d >= 0)
        need->device[d] += model + context + compute;
    else
        need->ram += model + context + compute;
    return true;
}

static void use_output(const struct pm_fit *f)
{
    struct pm_profile *p = pm_profile_find(f->m, f->profile);
    struct pm_need need = {.ram = PM_OWN_RAM_MIB, .estimated = true};
    char *text, *rest, *line;
    size_t len, lines = 0;
    if (pm_file_read(f->output, OUTPUT_MAX, &text, &len, NULL) < 0)
        return;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        lines += read_line(line, &need);
    free(text);
    /* It may have run meanwhile: what was measured then is better. */
    if (!lines || pm_measured_get(f->m->measured, f->command))
        return;
    pm_measured_put(f->m->measured, f->command, &need);
    if (p && p->conf)
        pm_memory_need(p);
}

static void release(void *arg)
{
    struct pm_fit *f = arg;
    pm_timer_release(&f->limit);
    unlink(f->output);
    free(f->profile);
    free(f->output);
    free(f);
}

static void ended(void *arg, const struct pm_child_end *end)
{
    struct pm_fit *f = arg;
    struct pm_manager *m = f->m;
    if (end->known && !end->signo && !end->code)
        use_output(f);
    else
        pm_log(PM_LOG_INFO, "profile %s: llama-fit-params does not tell what it needs: estimated instead", f->profile);
    m->fit = NULL;
    pm_timer_clear(&f->limit);
    pm_child_free(f->child);
    pm_loop_defer(m->loop, release, f);
    pm_fit_look(m);
}

static void too_long(void *arg)
{
    struct pm_fit *f = arg;
    pm_child_signal(f->child, SIGKILL);
}

static void run(const struct pm_target *t, const char *program, const char *output)
{
    struct pm_strv argv = {0}, env = {0};
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    pm_strv_add(&argv, program, strlen(program));
    pm_conf_fit_argv(t, &argv);
    pm_conf_server_env(t, false, &env);
    for (size_t i = 0; i < env.n; i++)
        putenv(env.items[i]);
    char **words = pm_calloc(argv.n + 1, sizeof(*words));
    memcpy(words, argv.items, argv.n * sizeof(*words));
    dup2(in, 0);
    dup2(out, 1);
    dup2(in, 2);
    execv(program, words);
    _exit(127);
}

static void begin(struct pm_manager *m, struct pm_profile *p, const char *program)
{
    struct pm_error err = {0};
    char *output = pm_asprintf("%s/run/fit.out", m->state_dir);
    pid_t pid = pm_child_fork();
    if (pid == 0)
        run(p->conf, program, output);
    if (pid < 0) {
        free(output);
        return;
    }
    struct pm_fit *f = pm_calloc(1, sizeof(*f));
    f->m = m;
    f->profile = pm_strdup(p->id);
    f->output = output;
    f->command = p->conf_command;
    pm_timer_init(&f->limit, m->loop, too_long, f);
    f->child = pm_child_watch(m->loop, pid, ended, f, &err);
    if (!f->child) {
        release(f);
        return;
    }
    pm_timer_set(&f->limit, LIMIT_MS);
    m->fit = f;
}

void pm_fit_look(struct pm_manager *m)
{
    for (struct pm_profile *p = m->profiles; p && !m->fit && !m->stopping; p = p->next) {
        if (!p->conf || !pm_target_is_process(p->conf) || p->conf->vram.n || p->conf->ram.n || p->server)
            continue;
        if (p->conf_command == p->fit_asked || pm_measured_get(m->measured, p->conf_command))
            continue;
        p->fit_asked = p->conf_command;
        char *program = program_for(p->conf);
        if (program)
            begin(m, p, program);
        free(program);
    }
}

void pm_fit_stop(struct pm_manager *m)
{
    if (!m->fit)
        return;
    pm_child_signal(m->fit->child, SIGKILL);
    pm_child_free(m->fit->child);
    pm_timer_clear(&m->fit->limit);
    pm_loop_defer(m->loop, release, m->fit);
    m->fit = NULL;
}
