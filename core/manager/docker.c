/* A model server in a container, through the Docker Engine API on its unix socket (podman speaks it too).
 *
 *   create -> start -> inspect -> { wait, logs, health } ... stop -> wait returns -> inspect -> delete -> ended
 *
 * The server listens on a unix socket in a folder that both sides see, so that no port and no network is needed.
 * Labels say whose a container is: the next manager finds it. Its log is copied into the profile's log file.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/manager/driver.h"
#include "core/upstream/fetch.h"

enum { POLL_FIRST_MS = 20, ASK_LIMIT_MS = 30000, STOP_GRACE_S = 2, FRAME_HEAD = 8 };

/* A container lives as long as it lives: the answer to `wait` has no limit of ours. */
static const uint64_t FOR_EVER_MS = 1000ULL * 3600 * 24 * 3650;

/* How often, and how many times, an engine that has gone silent is asked again: containers live on without it. */
enum { ENGINE_AGAIN_MS = 1000, ENGINE_TRIES = 60, LAST_WORDS_MS = 1000 };

struct docker {
    char *engine; /* path of its socket */
    char *create; /* body of the request */
    char *folder; /* with the server's socket */
    char *failure;
    struct pm_fetch *step, *wait, *order;
    struct pm_transfer *logs;
    struct pm_buf frame; /* of the log, not yet complete */
    int log_fd;
    int exit_code;
    struct pm_timer again, last_words;
    unsigned silences; /* of the engine, in a row */
    bool tried_again, adopting, wants_gpus;
};

typedef void answer_fn(void *arg, int status, const char *body, size_t len);

static struct pm_fetch *call(struct pm_server *s, const char *method, const char *path, const char *body,
                             uint64_t limit_ms, answer_fn *fn)
{
    static char json_type[] = "Content-Type: application/json";
    char *items[1] = {json_type};
    struct pm_strv headers = {.items = items, .n = 1};
    struct docker *d = s->own;
    char *url = pm_asprintf("http://localhost%s", path);
    struct pm_transfer_spec spec = {.method = method,
                                    .url = url,
                                    .unix_socket = d->engine,
                                    .headers = body ? &headers : NULL,
                                    .body = body,
                                    .len = body ? strlen(body) : 0,
                                    .connect_ms = ASK_LIMIT_MS};
    struct pm_fetch *f = pm_fetch_start(s->spec.up, s->spec.loop, &spec, limit_ms, fn, s);
    free(url);
    return f;
}

/* One request about our container. */
static struct pm_fetch *call_about(struct pm_server *s, const char *method, const char *before, const char *after,
                                   uint64_t limit_ms, answer_fn *fn)
{
    char *path = pm_asprintf("%s%s%s", before, s->container, after);
    struct pm_fetch *f = call(s, method, path, strcmp(method, "POST") == 0 ? "" : NULL, limit_ms, fn);
    free(path);
    return f;
}

static void remove_it(struct pm_server *s, answer_fn *fn)
{
    struct docker *d = s->own;
    d->step = call_about(s, "DELETE", "/containers/", "?force=true&v=true", ASK_LIMIT_MS, fn);
}

static void ask_about_it(struct pm_server *s, answer_fn *fn)
{
    struct docker *d = s->own;
    d->step = call_about(s, "GET", "/containers/", "/json", ASK_LIMIT_MS, fn);
}

static void end(struct pm_server *s, const char *text)
{
    struct docker *d = s->own;
    pm_fetch_cancel(d->wait);
    pm_fetch_cancel(d->step);
    d->wait = d->step = NULL;
    pm_timer_clear(&d->again);
    pm_timer_clear(&d->last_words);
    unlink(s->address + strlen("unix:"));
    rmdir(d->folder);
    if (d->adopting)
        pm_driver_absent(s);
    else
        pm_driver_ended(s, NULL, text);
}

/* What the engine says is wrong, in one line. The caller frees. */
static char *refusal_text(const struct pm_server *s, const char *doing, int status, const char *body, size_t len)
{
    const struct docker *d = s->own;
    if (!status)
        return pm_asprintf("the container engine does not answer on %s: is it running? (DOCKER_SOCKET)", d->engine);
    cJSON *root = cJSON_ParseWithLength(body, len);
    const char *message = pm_json_str(root, "message");
    char *text = pm_asprintf("the container engine refused to %s (%d): %.300s", doing, status,
                             message ? message : "it gives no reason");
    cJSON_Delete(root);
    return text;
}

static void end_with_answer(struct pm_server *s, const char *doing, int status, const char *body, size_t len)
{
    char *text = refusal_text(s, doing, status, body, len);
    end(s, text);
    free(text);
}

/* --- log --- */

/* Each piece of the log has a head {stream, 0, 0, 0, big-endian length} (Engine API, "Attach to a container"). */
static void demultiplex(struct docker *d)
{
    while (d->frame.len >= FRAME_HEAD) {
        uint32_t size;
        memcpy(&size, d->frame.data + 4, sizeof(size));
        size = ntohl(size);
        if (d->frame.len - FRAME_HEAD < size)
            return;
        ssize_t ignored = write(d->log_fd, d->frame.data + FRAME_HEAD, size);
        (void)ignored;
        pm_buf_consume(&d->frame, FRAME_HEAD + size);
    }
}

static void log_head(void *arg, struct pm_transfer *t, int status)
{
    (void)arg;
    (void)t;
    (void)status;
}

static bool log_data(void *arg, const char *bytes, size_t len)
{
    struct docker *d = ((struct pm_server *)arg)->own;
    pm_buf_addn(&d->frame, bytes, len);
    demultiplex(d);
    return true;
}

static void delete_it(void *arg);

static void log_done(void *arg, const struct pm_transfer_result *result)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    (void)result;
    d->logs = NULL;
    if (pm_timer_is_set(&d->last_words))
        delete_it(s);
}

static void follow_log(struct pm_server *s)
{
    static const struct pm_transfer_events events = {.head = log_head, .data = log_data, .done = log_done};
    struct docker *d = s->own;
    char *url = pm_asprintf("http://localhost/containers/%s/logs?follow=1&stdout=1&stderr=1&tail=%s", s->container,
                            d->adopting ? "0" : "all");
    struct pm_transfer_spec spec = {.method = "GET", .url = url, .unix_socket = d->engine, .connect_ms = ASK_LIMIT_MS};
    d->log_fd = open(s->paths.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (d->adopting ? 0 : O_TRUNC), 0600);
    pm_driver_follow_log(s, d->adopting);
    d->logs = pm_transfer_start(s->spec.up, &spec, &events, s);
    free(url);
}

/* --- the end --- */

static void deleted(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    char text[80];
    (void)status;
    (void)body;
    (void)len;
    d->step = NULL;
    snprintf(text, sizeof(text), "exit code %d", d->exit_code);
    end(s, text);
}

static void delete_it(void *arg)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    pm_timer_clear(&d->last_words);
    remove_it(s, deleted);
}

static void inspected_dead(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    cJSON *root = status == 200 ? cJSON_ParseWithLength(body, len) : NULL;
    const cJSON *state = pm_json_get(root, "State");
    if (pm_json_true(state, "OOMKilled") && d->log_fd >= 0)
        dprintf(d->log_fd, "error: out of memory: the kernel killed the container\n");
    d->exit_code = (int)pm_json_num(state, "ExitCode", d->exit_code);
    cJSON_Delete(root);
    d->step = NULL;
    /* The last words may still be on their way, and are lost with the container. */
    if (d->logs && !s->stopping) {
        pm_timer_set(&d->last_words, LAST_WORDS_MS);
    } else {
        delete_it(s);
    }
}

static void inspected_again(void *arg, int status, const char *body, size_t len);

static void ask_again(void *arg)
{
    struct pm_server *s = arg;
    ask_about_it(s, inspected_again);
}

static void has_ended(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    d->wait = NULL;
    if (status != 200) {
        /* The engine went away in the middle of its answer: that says nothing of the container. */
        pm_timer_set(&d->again, ENGINE_AGAIN_MS);
        return;
    }
    cJSON *root = cJSON_ParseWithLength(body, len);
    d->exit_code = (int)pm_json_num(root, "StatusCode", 0);
    cJSON_Delete(root);
    ask_about_it(s, inspected_dead);
}

static void wait_for_end(struct pm_server *s)
{
    struct docker *d = s->own;
    d->wait = call_about(s, "POST", "/containers/", "/wait?condition=not-running", FOR_EVER_MS, has_ended);
}

static void inspected_again(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    d->step = NULL;
    if (status == 200) {
        d->silences = 0;
        wait_for_end(s);
    } else if (status == 404 || strstr(body, "no such container") || ++d->silences >= ENGINE_TRIES) {
        end_with_answer(s, "describe the container", status, body, len);
    } else {
        pm_timer_set(&d->again, ENGINE_AGAIN_MS);
    }
}

/* --- start --- */

static void docker_stop(struct pm_server *s);

static void inspected(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    d->step = NULL;
    cJSON *root = status == 200 ? cJSON_ParseWithLength(body, len) : NULL;
    if (!root) {
        end_with_answer(s, "describe the container", status, body, len);
        return;
    }
    /* podman takes the request of GPUs and forgets it. */
    if (d->wants_gpus && !cJSON_GetArraySize(pm_json_get(pm_json_get(root, "HostConfig"), "DeviceRequests")))
        pm_log(PM_LOG_WARN, "container %.12s: the engine has left out the GPUs", s->container);
    s->pid = (pid_t)pm_json_num(pm_json_get(root, "State"), "Pid", 0);
    cJSON_Delete(root);
    follow_log(s);
    d->adopting = false;
    wait_for_end(s);
    pm_driver_poll_health(s, POLL_FIRST_MS);
    if (s->stopping)
        docker_stop(s);
}

static void inspect(struct pm_server *s)
{
    ask_about_it(s, inspected);
}

static void start_failed_and_deleted(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    (void)status;
    (void)body;
    (void)len;
    d->step = NULL;
    end(s, d->failure ? d->failure : "stopped");
}

static void started(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    d->step = NULL;
    if (status == 204 || status == 304) {
        inspect(s);
        return;
    }
    d->failure = refusal_text(s, "start the container", status, body, len);
    remove_it(s, start_failed_and_deleted);
}

static void create(struct pm_server *s);

static void rival_deleted(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    (void)status;
    (void)body;
    (void)len;
    d->step = NULL;
    create(s);
}

static void created(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    d->step = NULL;
    bool is_taken = status == 409 || (status == 500 && strstr(body, "already in use"));
    if (is_taken && !d->tried_again) {
        /* One of ours from before, of another command or half dead: it makes room. */
        d->tried_again = true;
        remove_it(s, rival_deleted);
        return;
    }
    cJSON *root = cJSON_ParseWithLength(body, len);
    const char *id = pm_json_str(root, "Id");
    if (status == 404) {
        const char *image = pm_json_str(root, "message");
        char *text = pm_asprintf("%.300s: pull the image first, or correct IMAGE=", image ? image : "no such image");
        end(s, text);
        free(text);
    } else if (status != 201 || !id) {
        end_with_answer(s, "create the container", status, body, len);
    } else {
        snprintf(s->container, sizeof(s->container), "%s", id);
        /* Whoever asked for it may have left meanwhile. */
        if (s->stopping)
            remove_it(s, start_failed_and_deleted);
        else
            d->step = call_about(s, "POST", "/containers/", "/start", ASK_LIMIT_MS, started);
    }
    cJSON_Delete(root);
}

/* pointsman-<the name of the profile's files>-<the state folder's hash>: two gateways may share an engine and have
 * profiles of the same name. */
static void container_name(const struct pm_server *s, char *out, size_t size)
{
    const char *slash = strrchr(s->paths.log, '/');
    uint32_t state = (uint32_t)pm_hash(s->paths.state_dir, strlen(s->paths.state_dir), PM_HASH_SEED);
    snprintf(out, size, "pointsman-%.*s-%08x", (int)(strlen(slash + 1) - strlen(".log")), slash + 1, state);
    for (char *c = out; *c; c++)
        if (*c == '%')
            *c = '_';
}

static void create(struct pm_server *s)
{
    struct docker *d = s->own;
    char name[160];
    container_name(s, name, sizeof(name));
    snprintf(s->container, sizeof(s->container), "%.79s", name);
    char *path = pm_asprintf("/containers/create?name=%s", name);
    d->step = call(s, "POST", path, d->create, ASK_LIMIT_MS, created);
    free(path);
}

/* --- what is created --- */

static void add_strings(cJSON *object, const char *key, const struct pm_strv *list)
{
    cJSON *array = cJSON_AddArrayToObject(object, key);
    for (size_t i = 0; i < list->n; i++)
        cJSON_AddItemToArray(array, cJSON_CreateString(list->items[i]));
}

/* A path of this machine as the container sees it through VOLUMES. The caller frees. */
static char *inside(const struct pm_target *t, const char *path)
{
    for (size_t i = 0; path && i < t->volumes.n; i++) {
        const char *volume = t->volumes.items[i], *colon = strchr(volume, ':');
        size_t n = colon ? (size_t)(colon - volume) : 0;
        if (!n || strncmp(path, volume, n) != 0 || (path[n] != '/' && path[n]))
            continue;
        return pm_asprintf("%.*s%s", (int)strcspn(colon + 1, ":"), colon + 1, path + n);
    }
    return pm_strdup(path);
}

static void add_folder(struct pm_strv *binds, const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!slash || slash == path)
        return;
    char *bind = pm_asprintf("%.*s:%.*s:ro", (int)(slash - path), path, (int)(slash - path), path);
    if (!pm_strv_has(binds, bind))
        pm_strv_add(binds, bind, strlen(bind));
    free(bind);
}

static void add_binds(struct pm_server *s, cJSON *host)
{
    const struct pm_target *t = s->spec.conf;
    struct pm_strv binds = {0};
    for (size_t i = 0; i < t->volumes.n; i++)
        pm_strv_add(&binds, t->volumes.items[i], strlen(t->volumes.items[i]));
    if (!t->volumes.n) {
        add_folder(&binds, t->model);
        add_folder(&binds, t->mmproj);
        add_folder(&binds, t->draft_model);
    }
    /* An engine makes a missing folder itself, as root: ours are made before. */
    const char *own[] = {((struct docker *)s->own)->folder, t->keep_kv ? s->paths.kv : NULL};
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
        if (!own[i])
            continue;
        char *bind = pm_asprintf("%s:%s", own[i], own[i]);
        mkdir(own[i], 0700);
        pm_strv_add(&binds, bind, strlen(bind));
        free(bind);
    }
    add_strings(host, "Binds", &binds);
    pm_strv_release(&binds);
}

/* As `docker run --gpus` has it. */
static void add_gpus(struct docker *d, const struct pm_target *t, cJSON *host)
{
    bool all = t->gpus.n ? pm_strv_has(&t->gpus, "all") : access("/dev/nvidiactl", F_OK) == 0;
    if (pm_strv_has(&t->gpus, "none") || (!all && !t->gpus.n))
        return;
    d->wants_gpus = true;
    cJSON *requests = cJSON_AddArrayToObject(host, "DeviceRequests"), *request = cJSON_CreateObject();
    cJSON_AddItemToArray(requests, request);
    cJSON_AddStringToObject(request, "Driver", "nvidia");
    if (all)
        cJSON_AddNumberToObject(request, "Count", -1);
    else
        add_strings(request, "DeviceIDs", &t->gpus);
    cJSON *outer = cJSON_AddArrayToObject(request, "Capabilities"), *inner = cJSON_CreateArray();
    cJSON_AddItemToArray(outer, inner);
    cJSON_AddItemToArray(inner, cJSON_CreateString("gpu"));
}

/* Within the manager's own limits, and those of any engine: its defaults can be above what this machine allows. */
static void add_limits(cJSON *host)
{
    static const struct {
        const char *name;
        __rlimit_resource_t which;
        rlim_t most;
    } limits[] = {{"nofile", RLIMIT_NOFILE, 65536}, {"nproc", RLIMIT_NPROC, 16384}};
    cJSON *list = cJSON_AddArrayToObject(host, "Ulimits");
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        struct rlimit own;
        if (getrlimit(limits[i].which, &own) < 0)
            continue;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "Name", limits[i].name);
        rlim_t limit = own.rlim_cur < limits[i].most ? own.rlim_cur : limits[i].most;
        cJSON_AddNumberToObject(item, "Soft", (double)limit);
        cJSON_AddNumberToObject(item, "Hard", (double)limit);
        cJSON_AddItemToArray(list, item);
    }
}

static void add_labels(const struct pm_server *s, cJSON *root)
{
    char command[20];
    cJSON *labels = cJSON_AddObjectToObject(root, "Labels");
    snprintf(command, sizeof(command), "%016llx", (unsigned long long)s->command);
    cJSON_AddStringToObject(labels, "pointsman.profile", s->spec.conf->id);
    cJSON_AddStringToObject(labels, "pointsman.state", s->paths.state_dir);
    cJSON_AddStringToObject(labels, "pointsman.command", command);
}

static char *create_body(struct pm_server *s)
{
    struct docker *d = s->own;
    struct pm_target t = *s->spec.conf;
    struct pm_strv words = {0}, env = {0};
    struct pm_argv_place place = {.host = s->address + strlen("unix:"), .slots_dir = s->paths.kv};
    t.model = inside(&t, t.model);
    t.mmproj = inside(&t, t.mmproj);
    t.draft_model = inside(&t, t.draft_model);
    if (t.args_style && strcmp(t.args_style, "env") == 0)
        pm_conf_argv_env(&t, &place, &words, &env);
    else
        pm_conf_argv(&t, &place, &words);
    free(t.model);
    free(t.mmproj);
    free(t.draft_model);
    pm_conf_server_env(&t, s->spec.tells_memory, &env);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "Image", t.image);
    add_strings(root, "Cmd", &words);
    add_strings(root, "Env", &env);
    add_labels(s, root);
    /* Else the socket would be root's, and only root could connect. */
    if (geteuid() != 0) {
        char user[32];
        snprintf(user, sizeof(user), "%u:%u", geteuid(), getegid());
        cJSON_AddStringToObject(root, "User", user);
    }
    cJSON *host = cJSON_AddObjectToObject(root, "HostConfig");
    add_binds(s, host);
    add_gpus(d, &t, host);
    add_limits(host);
    cJSON_AddStringToObject(host, "NetworkMode", t.network ? t.network : "none");
    char *text = pm_json_text(root);
    cJSON_Delete(root);
    pm_strv_release(&words);
    pm_strv_release(&env);
    return text;
}

/* --- the driver --- */

/* DOCKER_SOCKET, else what DOCKER_HOST says, else Docker's own. The caller frees. */
static char *engine_path(const char *configured)
{
    const char *host = getenv("DOCKER_HOST");
    if (!configured && host && strncmp(host, "unix://", 7) == 0)
        configured = host + 7;
    return pm_strdup(configured ? configured : "/var/run/docker.sock");
}

static struct docker *new_docker(struct pm_server *s)
{
    struct docker *d = s->own = pm_calloc(1, sizeof(*d));
    d->engine = engine_path(s->docker_socket);
    d->log_fd = -1;
    pm_buf_init(&d->frame, 16 << 20);
    d->folder = pm_asprintf("%.*s.d", (int)(strlen(s->paths.socket) - strlen(".sock")), s->paths.socket);
    snprintf(s->address, sizeof(s->address), "unix:%s/s.sock", d->folder);
    pm_timer_init(&d->again, s->spec.loop, ask_again, s);
    pm_timer_init(&d->last_words, s->spec.loop, delete_it, s);
    return d;
}

/* An engine makes a folder that is missing, as root. */
static int check_volumes(const struct pm_target *t, struct pm_error *err)
{
    for (size_t i = 0; i < t->volumes.n; i++) {
        char *folder = pm_strndup(t->volumes.items[i], strcspn(t->volumes.items[i], ":"));
        struct stat st;
        int rc = stat(folder, &st) < 0 ? pm_error_errno(err, "VOLUMES: %s", folder) : PM_OK;
        free(folder);
        if (rc < 0)
            return rc;
    }
    return PM_OK;
}

static int docker_start(struct pm_server *s, struct pm_error *err)
{
    struct docker *d = new_docker(s);
    if (access(d->engine, F_OK) < 0)
        return pm_error_set(err, PM_ENOTFOUND,
                            "there is no container engine at %s: start docker (or `podman system service`), or set "
                            "DOCKER_SOCKET=",
                            d->engine);
    /* What an earlier server left there makes the bind of this one fail. */
    unlink(s->address + strlen("unix:"));
    if (check_volumes(s->spec.conf, err) < 0)
        return PM_EINVAL;
    d->create = create_body(s);
    create(s);
    return PM_OK;
}

static void stranger_deleted(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    (void)status;
    (void)body;
    (void)len;
    d->step = NULL;
    end(s, NULL);
}

static void found(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    char command[20];
    d->step = NULL;
    cJSON *list = status == 200 ? cJSON_ParseWithLength(body, len) : NULL;
    const cJSON *one = cJSON_GetArrayItem(list, 0);
    const char *id = pm_json_str(one, "Id"), *state = pm_json_str(one, "State");
    const char *label = pm_json_str(pm_json_get(one, "Labels"), "pointsman.command");
    snprintf(command, sizeof(command), "%016llx", (unsigned long long)s->command);
    if (id)
        snprintf(s->container, sizeof(s->container), "%s", id);
    if (!id)
        end(s, NULL);
    else if (state && strcmp(state, "running") == 0 && label && strcmp(label, command) == 0)
        inspect(s);
    else
        remove_it(s, stranger_deleted);
    cJSON_Delete(list);
}

/* The path of a list of containers with that label and state folder. The caller frees. */
static char *list_path(const char *state_dir, const char *profile)
{
    struct pm_buf filters, path;
    pm_buf_init(&filters, 4096);
    pm_buf_init(&path, 16384);
    pm_buf_addf(&filters, "{\"label\":[\"pointsman.state=%s\"", state_dir);
    if (profile)
        pm_buf_addf(&filters, ",\"pointsman.profile=%s\"", profile);
    pm_buf_add(&filters, "]}");
    pm_buf_add(&path, "/containers/json?all=true&filters=");
    for (const char *c = filters.data; *c; c++)
        pm_buf_addf(&path, strchr("{}[]\":,=% ", *c) ? "%%%02X" : "%c", (unsigned char)*c);
    pm_buf_release(&filters);
    return pm_buf_take(&path);
}

static bool docker_adopt(struct pm_server *s)
{
    struct docker *d = new_docker(s);
    d->adopting = true;
    if (access(d->engine, F_OK) < 0)
        return false;
    char *path = list_path(s->paths.state_dir, s->spec.conf->id);
    d->step = call(s, "GET", path, NULL, ASK_LIMIT_MS, found);
    free(path);
    return true;
}

static void ordered(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct docker *d = s->own;
    d->order = NULL;
    if (status >= 400 && status != 404 && status != 409 && !strstr(body, "running"))
        pm_log(PM_LOG_WARN, "container %.12s: the engine answered %d: %.*s", s->container, status, (int)len, body);
}

static void docker_stop(struct pm_server *s)
{
    struct docker *d = s->own;
    char after[32];
    pm_fetch_cancel(d->order);
    /* The first process of a container gets no signal that it has no handler for, and there is none while it loads. */
    if (s->ready)
        snprintf(after, sizeof(after), "/stop?t=%d", STOP_GRACE_S);
    else
        snprintf(after, sizeof(after), "/kill");
    d->order = call_about(s, "POST", "/containers/", after, ASK_LIMIT_MS, ordered);
}

static void docker_kill(struct pm_server *s)
{
    struct docker *d = s->own;
    pm_fetch_cancel(d->order);
    d->order = call_about(s, "POST", "/containers/", "/kill", ASK_LIMIT_MS, ordered);
}

static void docker_leave(struct pm_server *s)
{
    struct docker *d = s->own;
    if (!d)
        return;
    pm_fetch_cancel(d->step);
    pm_fetch_cancel(d->wait);
    pm_fetch_cancel(d->order);
    d->step = d->wait = d->order = NULL;
    pm_timer_clear(&d->again);
    pm_timer_clear(&d->last_words);
    if (d->logs)
        pm_transfer_cancel(d->logs);
    d->logs = NULL;
}

static void docker_release(struct pm_server *s)
{
    struct docker *d = s->own;
    if (d->log_fd >= 0)
        close(d->log_fd);
    pm_buf_release(&d->frame);
    pm_timer_release(&d->again);
    pm_timer_release(&d->last_words);
    free(d->engine);
    free(d->folder);
    free(d->create);
    free(d->failure);
    free(d);
}

const struct pm_driver pm_docker_driver = {.name = "docker",
                                           .start = docker_start,
                                           .adopt = docker_adopt,
                                           .stop = docker_stop,
                                           .kill = docker_kill,
                                           .leave = docker_leave,
                                           .release = docker_release};

/* --- strangers --- */

struct reaper {
    struct pm_loop *loop;
    struct pm_upstream *up;
    char *engine;
    struct pm_strv ids;
};

static void reaped(void *arg, int status, const char *body, size_t len)
{
    (void)arg;
    (void)body;
    (void)len;
    if (status != 204 && status != 404)
        pm_log(PM_LOG_WARN, "a container of a profile that is gone could not be removed (%d)", status);
}

static void listed(void *arg, int status, const char *body, size_t len)
{
    struct reaper *r = arg;
    const cJSON *one;
    cJSON *list = status == 200 ? cJSON_ParseWithLength(body, len) : NULL;
    cJSON_ArrayForEach (one, list) {
        const char *id = pm_json_str(one, "Id");
        const char *profile = pm_json_str(pm_json_get(one, "Labels"), "pointsman.profile");
        if (!id || !profile || pm_strv_has(&r->ids, profile))
            continue;
        pm_log(PM_LOG_INFO, "container %.12s belongs to no profile any more: removed", id);
        char *url = pm_asprintf("http://localhost/containers/%s?force=true&v=true", id);
        struct pm_transfer_spec spec = {
            .method = "DELETE", .url = url, .unix_socket = r->engine, .connect_ms = ASK_LIMIT_MS};
        pm_fetch_start(r->up, r->loop, &spec, ASK_LIMIT_MS, reaped, NULL);
        free(url);
    }
    cJSON_Delete(list);
    pm_strv_release(&r->ids);
    free(r->engine);
    free(r);
}

void pm_docker_reap(const struct pm_server_spec *any, const char *state_dir, const struct pm_strv *ids)
{
    char *engine = engine_path(any->conf->docker_socket);
    if (access(engine, F_OK) < 0) {
        free(engine);
        return;
    }
    struct reaper *r = pm_calloc(1, sizeof(*r));
    char *path = list_path(state_dir, NULL), *url = pm_asprintf("http://localhost%s", path);
    r->loop = any->loop;
    r->up = any->up;
    r->engine = engine;
    for (size_t i = 0; i < ids->n; i++)
        pm_strv_add(&r->ids, ids->items[i], strlen(ids->items[i]));
    struct pm_transfer_spec spec = {.method = "GET", .url = url, .unix_socket = engine, .connect_ms = ASK_LIMIT_MS};
    pm_fetch_start(r->up, r->loop, &spec, ASK_LIMIT_MS, listed, r);
    free(path);
    free(url);
}
