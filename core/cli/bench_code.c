/* How good a model's programs are: HumanEval's tasks through the gateway, judged by the package evalplus.
 *
 * The programs are foreign code, so they run where they can do no harm: shut in by bubblewrap (bwrap(1)), with nothing
 * of the machine but what python needs, no network, no processes but theirs, nothing writable but a folder that goes
 * away, no rights, and limits on time, memory, processes and files. Root becomes nobody first. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/cli/bench_priv.h"
#include "core/cli/judge.h"

enum { DATA_MAX = 256 << 20, CPU_S = 3600, MEMORY_MIB = 8192, FILE_MIB = 1024 };
enum { NOBODY = 65534, PROCESSES_NOBODY = 256, PROCESSES_USER = 4096 };

/* --- the package --- */

static int run_python(const char *python, const char *code, const char *argument)
{
    pid_t pid = fork();
    int status = -1;
    if (pid == 0) {
        execlp(python, python, "-c", code, argument, (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool on_path(const char *program)
{
    const char *path = getenv("PATH");
    bool found = false;
    while (path && *path && !found) {
        size_t n = strcspn(path, ":");
        char *file = pm_asprintf("%.*s/%s", (int)n, path, program);
        found = access(file, X_OK) == 0;
        free(file);
        path += n + (path[n] == ':');
    }
    return found;
}

int pm_bench_code_ready(const struct pm_bench_code *how, struct pm_error *err)
{
    if (how->data && access(how->data, R_OK) < 0)
        return pm_error_errno(err, "%s", how->data);
    if (!on_path("bwrap"))
        return pm_error_set(err, PM_ENOTFOUND,
                            "bwrap is missing, which shuts in what models write: install bubblewrap");
    if (run_python(how->python, "import evalplus.evaluate", "") != 0)
        return pm_error_set(
            err, PM_ENOTFOUND,
            "%s cannot import evalplus: install it (`pip install evalplus`), or name a python that has it "
            "(--python)",
            how->python);
    return PM_OK;
}

/* The tasks: a file, or what the package fetches. The caller frees the path. */
static char *tasks_path(struct pm_bench *b, const struct pm_bench_code *how, struct pm_error *err)
{
    static const char fetch[] = "import json, sys\n"
                                "from evalplus.data import get_human_eval_plus\n"
                                "with open(sys.argv[1], 'w') as f:\n"
                                "    for task in get_human_eval_plus().values():\n"
                                "        f.write(json.dumps(task) + '\\n')\n";
    if (how->data)
        return realpath(how->data, NULL);
    char *path = pm_asprintf("%s/humanevalplus.jsonl", b->state);
    if (access(path, R_OK) == 0 || run_python(how->python, fetch, path) == 0)
        return path;
    unlink(path);
    pm_error_set(err, PM_EIO, "evalplus cannot fetch its tasks: give them with --data FILE");
    free(path);
    return NULL;
}

/* --- the answers --- */

/* The program in an answer: its last fenced block, or all of it. */
static char *program_of(const char *answer)
{
    const char *best = NULL, *at = answer;
    size_t len = strlen(answer);
    while ((at = strstr(at, "```")) != NULL) {
        const char *start = strchr(at + 3, '\n'), *end = start ? strstr(start, "```") : NULL;
        if (!end)
            break;
        best = start + 1;
        len = (size_t)(end - start - 1);
        at = end + 3;
    }
    return pm_strndup(best ? best : answer, len);
}

static char *question_of(const char *id, const char *prompt, const char *temperature)
{
    cJSON *body = cJSON_CreateObject(), *message = cJSON_CreateObject();
    char *text = pm_asprintf("Complete this Python function. Answer with one code block that holds the whole function "
                             "and what it imports.\n\n```python\n%s\n```\n",
                             prompt);
    cJSON_AddStringToObject(body, "model", id);
    cJSON_AddStringToObject(message, "role", "user");
    cJSON_AddStringToObject(message, "content", text);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(body, "messages"), message);
    cJSON_AddRawToObject(body, "temperature", temperature);
    cJSON_AddNumberToObject(body, "max_tokens", 2048);
    free(text);
    text = pm_json_text(body);
    cJSON_Delete(body);
    return text;
}

static int answer_task(struct pm_bench *b, const struct pm_bench_code *how, const char *id, const cJSON *task,
                       FILE *to, struct pm_error *err)
{
    struct pm_bench_reply reply;
    const char *prompt = pm_json_str(task, "prompt"), *name = pm_json_str(task, "task_id");
    if (!prompt || !name)
        return pm_error_set(err, PM_EINVAL, "a task needs `task_id` and `prompt`");
    char *body = question_of(id, prompt, how->temperature);
    pm_bench_ask(b, "/v1/chat/completions", body, &reply);
    free(body);
    cJSON *root = reply.status == 200 ? cJSON_Parse(reply.body.data) : NULL;
    const cJSON *choice = cJSON_GetArrayItem(pm_json_get(root, "choices"), 0);
    const char *answer = pm_json_str(pm_json_get(choice, "message"), "content");
    int rc = PM_OK;
    if (reply.status != 200) {
        rc = pm_error_set(err, PM_EPROTO, "%s: the gateway answered %d: %.200s", name, reply.status, reply.body.data);
    } else {
        char *program = program_of(answer ? answer : "");
        cJSON *sample = cJSON_CreateObject();
        cJSON_AddStringToObject(sample, "task_id", name);
        cJSON_AddStringToObject(sample, "solution", program);
        char *line = pm_json_text(sample);
        fprintf(to, "%s\n", line);
        free(line);
        free(program);
        cJSON_Delete(sample);
    }
    cJSON_Delete(root);
    pm_buf_release(&reply.body);
    return rc;
}

/* Of the tasks the first `limit`, into `dir`, with an answer each. How many; negative with `err`. */
static long long answer_all(struct pm_bench *b, const struct pm_bench_code *how, const char *id, const char *tasks,
                            const char *dir, struct pm_error *err)
{
    char *text, *samples = pm_asprintf("%s/samples.jsonl", dir), *few = pm_asprintf("%s/tasks.jsonl", dir);
    size_t len;
    long long n = 0;
    int rc = pm_file_read(tasks, DATA_MAX, &text, &len, err);
    FILE *to = rc == PM_OK ? fopen(samples, "we") : NULL, *kept = to ? fopen(few, "we") : NULL;
    if (rc == PM_OK && !kept)
        rc = pm_error_errno(err, "%s", dir);
    for (char *line = text; rc == PM_OK && *line && (!how->limit || n < how->limit);) {
        size_t size = strcspn(line, "\n");
        cJSON *task = size ? pm_json_parse(line, size, err) : NULL;
        if (size && !task)
            rc = PM_EINVAL;
        if (task)
            rc = answer_task(b, how, id, task, to, err);
        if (task && rc == PM_OK) {
            fprintf(kept, "%.*s\n", (int)size, line);
            n++;
            fprintf(stderr, "\r%s: %lld answers", id, n);
        }
        cJSON_Delete(task);
        line += size + (line[size] == '\n');
    }
    fputs("\r", stderr);
    if (to && fclose(to) != 0 && rc == PM_OK)
        rc = pm_error_errno(err, "%s", samples);
    if (kept)
        fclose(kept);
    if (rc == PM_OK || to)
        free(text);
    free(samples);
    free(few);
    return rc == PM_OK ? n : rc;
}

/* --- judging --- */

/* What python and the package consist of, a folder a line, into a file of `dir`. */
static int find_python(const struct pm_bench_code *how, const char *dir, struct pm_strv *folders, struct pm_error *err)
{
    static const char ask[] = "import evalplus, os, sys\n"
                              "home = os.path.dirname(os.path.dirname(evalplus.__file__))\n"
                              "with open(sys.argv[1], 'w') as f:\n"
                              "    f.write('\\n'.join([sys.executable, sys.prefix, sys.base_prefix, home]))\n";
    char *path = pm_asprintf("%s/python", dir), *text;
    size_t len;
    int rc = run_python(how->python, ask, path) == 0
                 ? pm_file_read(path, 65536, &text, &len, err)
                 : pm_error_set(err, PM_EIO, "%s does not tell where it is", how->python);
    free(path);
    if (rc < 0)
        return rc;
    for (char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        pm_strv_add(folders, line, n);
        line += n + (line[n] == '\n');
    }
    free(text);
    return folders->n == 4 ? PM_OK : pm_error_set(err, PM_EIO, "%s does not tell where it is", how->python);
}

static void add_words(struct pm_strv *argv, const char *const *words)
{
    for (; *words; words++)
        pm_strv_add(argv, *words, strlen(*words));
}

static void jail_argv(const struct pm_strv *python, const char *dir, struct pm_strv *argv)
{
    static const char *const system[] = {
        "/usr", "/bin", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/alternatives", NULL};
    add_words(argv,
              (const char *const[]){"bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop",
                                    "ALL", "--clearenv", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", NULL});
    for (size_t i = 0; system[i]; i++)
        add_words(argv, (const char *const[]){"--ro-bind-try", system[i], system[i], NULL});
    for (size_t i = 1; i < python->n; i++)
        add_words(argv, (const char *const[]){"--ro-bind", python->items[i], python->items[i], NULL});
    add_words(argv, (const char *const[]){"--bind", dir, "/judged", "--chdir", "/judged", "--setenv", "HOME",
                                          "/judged", "--setenv", "TMPDIR", "/tmp", "--setenv", "PATH", "/usr/bin:/bin",
                                          "--setenv", "HUMANEVAL_OVERRIDE_PATH", "/judged/tasks.jsonl", NULL});
    add_words(argv, (const char *const[]){python->items[0], "-m", "evalplus.evaluate", "--dataset", "humaneval",
                                          "--samples", "samples.jsonl", "--i_just_wanna_run", NULL});
}

static void limit(int what, rlim_t value)
{
    struct rlimit most = {value, value};
    if (setrlimit(what, &most) < 0)
        _exit(126);
}

/* In the child. */
static void become_judge(const struct pm_strv *argv, const char *dir, pid_t parent)
{
    char **words = pm_calloc(argv->n + 1, sizeof(*words));
    bool root = geteuid() == 0;
    int log = -1, none = open("/dev/null", O_RDONLY);
    for (size_t i = 0; i < argv->n; i++)
        words[i] = argv->items[i];
    if (chdir(dir) < 0 || (log = open("judge.log", O_WRONLY | O_CREAT | O_TRUNC, 0600)) < 0)
        _exit(126);
    if (root && (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
        _exit(126);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(126);
    /* Counted for all processes of the user: an ordinary one has others. */
    limit(RLIMIT_NPROC, root ? PROCESSES_NOBODY : PROCESSES_USER);
    limit(RLIMIT_CPU, CPU_S);
    limit(RLIMIT_AS, (rlim_t)MEMORY_MIB << 20);
    limit(RLIMIT_FSIZE, (rlim_t)FILE_MIB << 20);
    limit(RLIMIT_CORE, 0);
    if (dup2(none, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        _exit(126);
    execvp(words[0], words);
    _exit(127);
}

/* Root's files are not for nobody: they become his. */
static int hand_over(const char *dir, struct pm_error *err)
{
    static const char *const names[] = {"", "/samples.jsonl", "/tasks.jsonl"};
    int rc = PM_OK;
    for (size_t i = 0; i < 3 && geteuid() == 0 && rc == PM_OK; i++) {
        char *path = pm_asprintf("%s%s", dir, names[i]);
        if (chown(path, NOBODY, NOBODY) < 0)
            rc = pm_error_errno(err, "%s", path);
        free(path);
    }
    return rc;
}

static int judge(const struct pm_bench_code *how, const char *dir, struct pm_error *err)
{
    struct pm_strv python = {0}, argv = {0};
    int status = 0, rc = find_python(how, dir, &python, err);
    if (rc == PM_OK)
        rc = hand_over(dir, err);
    if (rc == PM_OK) {
        pid_t parent = getpid(), pid;
        jail_argv(&python, dir, &argv);
        pid = fork();
        if (pid == 0)
            become_judge(&argv, dir, parent);
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
        int code = pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        if (code != 0)
            rc = pm_error_set(err, PM_EIO, "evalplus, shut in by bwrap, ended with %d: %s/judge.log has the reason%s",
                              code, dir,
                              geteuid() == 0 ? " (it ran as nobody, who must be able to read that python)" : "");
    }
    pm_strv_release(&python);
    pm_strv_release(&argv);
    return rc;
}

/* Share of the tasks whose first answer passed. */
static double passed(const cJSON *results, const char *key, long long tasks)
{
    const cJSON *task;
    double n = 0;
    cJSON_ArrayForEach (task, pm_json_get(results, "eval")) {
        const char *status = pm_json_str(cJSON_GetArrayItem(task, 0), key);
        n += status && strcmp(status, "pass") == 0;
    }
    return tasks ? n / (double)tasks : 0;
}

static cJSON *read_results(const char *dir, struct pm_error *err)
{
    static const char *const names[] = {"samples_eval_results.json", "samples.eval_results.json",
                                        "samples-eval_results.json"};
    for (size_t i = 0; i < 3; i++) {
        char *path = pm_asprintf("%s/%s", dir, names[i]), *text;
        size_t len;
        bool there = access(path, R_OK) == 0;
        int rc = there ? pm_file_read(path, DATA_MAX, &text, &len, err) : PM_ENOTFOUND;
        free(path);
        if (rc == PM_OK) {
            cJSON *root = cJSON_Parse(text);
            free(text);
            return root;
        }
    }
    pm_error_set(err, PM_EPROTO, "evalplus has left no results in %s", dir);
    return NULL;
}

static int measure(struct pm_bench *b, const struct pm_bench_code *how, const char *id, const char *dir, cJSON *cell,
                   struct pm_error *err)
{
    char *tasks = tasks_path(b, how, err);
    long long n = tasks ? answer_all(b, how, id, tasks, dir, err) : PM_EIO;
    int rc = n < 0 ? (int)n : n == 0 ? pm_error_set(err, PM_EINVAL, "%s: no tasks", tasks) : judge(how, dir, err);
    cJSON *results = rc == PM_OK ? read_results(dir, err) : NULL;
    free(tasks);
    if (!results)
        return rc == PM_OK ? PM_EPROTO : rc;
    cJSON_AddNumberToObject(cell, "tasks", (double)n);
    cJSON_AddNumberToObject(cell, "base", passed(results, "base_status", n));
    cJSON_AddNumberToObject(cell, "plus", passed(results, "plus_status", n));
    cJSON_Delete(results);
    return PM_OK;
}

int pm_bench_code(struct pm_bench *b, const struct pm_bench_code *how, const char *id, const char *profile,
                  const char *variant, struct pm_error *err)
{
    char dir[64],
        *name = pm_asprintf("code %s %s temperature=%s limit=%lld", profile, variant, how->temperature, how->limit);
    cJSON *cell = NULL;
    int rc = PM_OK;
    if (!pm_results_has(b->results, b->run, name)) {
        pm_judge_temporary(dir, sizeof(dir));
        cell = cJSON_CreateObject();
        cJSON_AddStringToObject(cell, "kind", "code");
        cJSON_AddStringToObject(cell, "profile", profile);
        cJSON_AddStringToObject(cell, "variant", variant);
        cJSON_AddNumberToObject(cell, "temperature", strtod(how->temperature, NULL));
        pm_bench_add_server(b, id, cell);
        rc = mkdtemp(dir) ? measure(b, how, id, dir, cell, err) : pm_error_errno(err, "%s", dir);
        if (rc == PM_OK)
            pm_bench_remove(dir);
    }
    if (rc == PM_OK)
        rc = pm_bench_keep(b, name, cell, err);
    else
        cJSON_Delete(cell);
    free(name);
    return rc;
}
