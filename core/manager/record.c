#include "core/manager/record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/loop/child.h"

extern char **environ;

static char **with_environment(const struct pm_strv *env)
{
    size_t n = 0;
    while (environ[n])
        n++;
    char **all = pm_calloc(n + env->n + 2, sizeof(*all));
    size_t at = 0;
    /* First wins in getenv(): the profile's own before the inherited. Any value of this one asks for state lines. */
    static char state_lines[] = "LLAMA_SERVER_ROUTER_PORT=1";
    all[at++] = state_lines;
    for (size_t i = 0; i < env->n; i++)
        all[at++] = env->items[i];
    for (size_t i = 0; i < n; i++) {
        size_t len = strcspn(environ[i], "=") + 1;
        bool replaced = false;
        for (size_t j = 0; j < at && j <= env->n; j++)
            replaced |= strncmp(all[j], environ[i], len) == 0;
        if (!replaced)
            all[at++] = environ[i];
    }
    return all;
}

int pm_record_spawn(const struct pm_strv *argv, const struct pm_strv *env, const char *fifo, const char *log,
                    pid_t *pid, struct pm_error *err)
{
    int in = open(fifo, O_RDWR | O_CLOEXEC);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    char **words = pm_calloc(argv->n + 1, sizeof(*words));
    char **all_env = with_environment(env);
    int rc = PM_OK;
    memcpy(words, argv->items, argv->n * sizeof(*words));
    if (in < 0 || out < 0) {
        rc = pm_error_errno(err, "%s: cannot be opened", in < 0 ? fifo : log);
        goto out;
    }
    *pid = pm_child_fork();
    if (*pid < 0)
        rc = pm_error_errno(err, "no process can be made");
    if (*pid == 0) {
        /* What it writes, the KV of conversations above all, is nobody else's business. */
        umask(077);
        setsid();
        dup2(in, 0);
        dup2(out, 1);
        dup2(out, 2);
        execve(words[0], words, all_env);
        dprintf(2, "error: %s cannot be started: %s (set LLAMA_SERVER in models.conf)\n", words[0], strerror(errno));
        _exit(127);
    }
out:
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    free(words);
    free(all_env);
    return rc;
}

void pm_record_write(const char *path, pid_t pid, uint64_t command)
{
    struct pm_error err = {0};
    char *text = pm_asprintf("{\"pid\":%d,\"start\":\"%llu\",\"command\":\"%016llx\"}\n", (int)pid,
                             pm_child_start_time(pid), (unsigned long long)command);
    if (pm_file_write(path, text, strlen(text), &err) < 0)
        pm_log(PM_LOG_WARN, "%s: this server cannot be adopted after a restart", err.msg);
    free(text);
}

/* The recorded process if it is alive; `*command` gets the fingerprint. */
static pid_t read_record(const char *path, uint64_t *command)
{
    char *text;
    size_t len;
    if (pm_file_read(path, 65536, &text, &len, NULL) < 0)
        return 0;
    cJSON *root = cJSON_ParseWithLength(text, len);
    free(text);
    pid_t pid = (pid_t)pm_json_num(root, "pid", 0);
    const char *start = pm_json_str(root, "start"), *print = pm_json_str(root, "command");
    unsigned long long began = start ? strtoull(start, NULL, 10) : 0;
    *command = print ? strtoull(print, NULL, 16) : 0;
    cJSON_Delete(root);
    return pid > 0 && began && pm_child_start_time(pid) == began ? pid : 0;
}

pid_t pm_record_alive(const char *path, uint64_t command)
{
    uint64_t runs;
    pid_t pid = read_record(path, &runs);
    if (pid && runs == command)
        return pid;
    if (pid) {
        pm_log(PM_LOG_INFO, "server %d runs with another command line: stopped", (int)pid);
        kill(pid, SIGKILL);
    }
    unlink(path);
    return 0;
}

void pm_record_end(const char *path)
{
    uint64_t command;
    pid_t pid = read_record(path, &command);
    if (pid) {
        pm_log(PM_LOG_INFO, "server %d belongs to no profile any more: stopped", (int)pid);
        kill(pid, SIGKILL);
    }
    unlink(path);
    /* STATE/run/NAME.json has a socket and a pipe beside it. */
    static const char *const others[] = {"sock", "in"};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        char *other = pm_asprintf("%.*s%s", (int)(strlen(path) - strlen("json")), path, others[i]);
        unlink(other);
        free(other);
    }
}
