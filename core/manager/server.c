#include "core/manager/server.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/manager/driver.h"
#include "core/manager/record.h"
#include "core/upstream/fetch.h"

/* A load is polled from here, doubling, unless the server prints its state. */
enum { POLL_FIRST_MS = 5, POLL_MOST_MS = 250, ASK_LIMIT_MS = 5000 };

static const struct pm_driver *driver_of(const struct pm_target *t)
{
    return pm_target_is_docker(t)   ? &pm_docker_driver
           : pm_target_is_remote(t) ? &pm_remote_driver
                                    : &pm_process_driver;
}

/* A request to the server itself. */
static struct pm_fetch *fetch(struct pm_server *s, const char *method, const char *path, const char *body,
                              uint64_t limit_ms, void (*fn)(void *arg, int status, const char *body, size_t len))
{
    static char json_type[] = "Content-Type: application/json";
    char *items[1] = {json_type};
    struct pm_strv headers = {.items = items, .n = 1};
    bool is_socket = strncmp(s->address, "unix:", 5) == 0;
    char *url = pm_asprintf("%s%s", is_socket ? "http://localhost" : s->address, path);
    struct pm_transfer_spec spec = {.method = method,
                                    .url = url,
                                    .unix_socket = is_socket ? s->address + 5 : NULL,
                                    .ca_file = s->ca_file,
                                    .headers = body ? &headers : NULL,
                                    .body = body,
                                    .len = body ? strlen(body) : 0,
                                    .connect_ms = limit_ms};
    struct pm_fetch *f = pm_fetch_start(s->spec.up, s->spec.loop, &spec, limit_ms, fn, s);
    free(url);
    return f;
}

static void answered(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    s->question = NULL;
    s->answered(s->asker, status, body, len);
}

void pm_server_ask(struct pm_server *s, const char *method, const char *path, const char *body, uint64_t limit_ms,
                   void (*fn)(void *arg, int status, const char *body, size_t len), void *arg)
{
    pm_fetch_cancel(s->question);
    s->answered = fn;
    s->asker = arg;
    s->question = fetch(s, method, path, body, limit_ms, answered);
}

static void probed(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    s->probe = NULL;
    s->probed(s->prober, status, body, len);
}

void pm_server_probe(struct pm_server *s, const char *path, uint64_t limit_ms,
                     void (*fn)(void *arg, int status, const char *body, size_t len), void *arg)
{
    pm_fetch_cancel(s->probe);
    s->probed = fn;
    s->prober = arg;
    s->probe = fetch(s, "GET", path, NULL, limit_ms, probed);
}

static void got_props(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    struct pm_server_props props = {0};
    s->health = NULL;
    cJSON *root = status == 200 ? cJSON_ParseWithLength(body, len) : NULL;
    if (!root)
        return;
    props.context = (long long)pm_json_num(pm_json_get(root, "default_generation_settings"), "n_ctx", 0);
    props.slots = (long long)pm_json_num(root, "total_slots", 0);
    props.vision = pm_json_true(pm_json_get(root, "modalities"), "vision");
    props.audio = pm_json_true(pm_json_get(root, "modalities"), "audio");
    cJSON_Delete(root);
    s->spec.events->props(s->spec.arg, &props);
}

void pm_driver_is_ready(struct pm_server *s)
{
    if (s->ready || s->stopping)
        return;
    s->ready = true;
    pm_timer_clear(&s->poll);
    pm_fetch_cancel(s->health);
    s->health = NULL;
    s->spec.events->ready(s->spec.arg);
    if (!s->stopping)
        s->health = fetch(s, "GET", "/props", NULL, ASK_LIMIT_MS, got_props);
}

static void got_health(void *arg, int status, const char *body, size_t len)
{
    struct pm_server *s = arg;
    (void)body;
    (void)len;
    s->health = NULL;
    /* Servers of other makes know no /health, and one that asks for a key is up as well. */
    bool other_make = s->driver == &pm_remote_driver && status >= 400 && status < 500;
    if (status == 200 || other_make)
        pm_driver_is_ready(s);
    else if (!s->says_state && !s->stopping)
        pm_timer_set(&s->poll, s->poll_ms);
}

static void poll_health(void *arg)
{
    struct pm_server *s = arg;
    s->poll_ms = s->poll_ms * 2 < POLL_MOST_MS ? s->poll_ms * 2 : POLL_MOST_MS;
    if (s->says_state || s->ready)
        return;
    pm_fetch_cancel(s->health);
    s->health = fetch(s, "GET", "/health", NULL, ASK_LIMIT_MS, got_health);
}

void pm_driver_poll_health(struct pm_server *s, uint64_t after_ms)
{
    pm_timer_set(&s->poll, after_ms);
}

/* With LLAMA_SERVER_ROUTER_PORT set, a llama-server prints its state (llama.cpp, tools/server, server_child). */
static void log_line(void *arg, const char *line)
{
    static const char prefix[] = "cmd_child_to_router:state:";
    struct pm_server *s = arg;
    s->last_line_ms = pm_clock_ms();
    s->spec.events->line(s->spec.arg, line);
    const char *at = strstr(line, prefix);
    if (!at)
        return;
    s->says_state = true;
    cJSON *root = cJSON_Parse(at + sizeof(prefix) - 1);
    const char *state = pm_json_str(root, "state");
    if (state && strcmp(state, "loading") == 0)
        s->spec.events->progress(s->spec.arg, pm_json_num(pm_json_get(root, "payload"), "value", 0));
    if (state && strcmp(state, "ready") == 0)
        pm_driver_is_ready(s);
    cJSON_Delete(root);
}

void pm_driver_follow_log(struct pm_server *s, bool from_end)
{
    s->tail = pm_logtail_new(s->spec.loop, s->paths.log, from_end, log_line, s);
}

static void hush(struct pm_server *s)
{
    pm_fetch_cancel(s->health);
    pm_fetch_cancel(s->question);
    pm_fetch_cancel(s->probe);
    s->health = s->question = s->probe = NULL;
    pm_timer_clear(&s->poll);
}

void pm_driver_ended(struct pm_server *s, const struct pm_child_end *end, const char *text)
{
    char how[80] = "", why[512];
    if (s->tail)
        pm_logtail_catch_up(s->tail);
    hush(s);
    bool by_us = s->stopping || s->killed_for;
    bool oom = !by_us && s->tail && pm_logtail_says_oom(s->tail);
    const char *cause = by_us || !s->tail ? NULL : pm_logtail_cause(s->tail, end && end->known && !end->signo);
    if (end)
        pm_child_end_text(end, how, sizeof(how));
    if (s->killed_for)
        snprintf(why, sizeof(why), "%s", s->killed_for);
    else
        snprintf(why, sizeof(why), "%s%s%.400s", text ? text : how, cause ? ": " : "", cause ? cause : "");
    s->spec.events->ended(s->spec.arg, &(struct pm_server_end){.out_of_memory = oom, .why = why});
}

void pm_driver_absent(struct pm_server *s)
{
    hush(s);
    s->spec.events->ended(s->spec.arg, &(struct pm_server_end){.absent = true, .why = "off"});
}

static struct pm_server *new_server(const struct pm_server_spec *spec)
{
    struct pm_server *s = pm_calloc(1, sizeof(*s));
    const struct pm_server_paths *p = spec->paths;
    s->driver = driver_of(spec->conf);
    s->spec = *spec;
    s->paths = (struct pm_server_paths){.socket = pm_strdup(p->socket),
                                        .fifo = pm_strdup(p->fifo),
                                        .log = pm_strdup(p->log),
                                        .record = pm_strdup(p->record),
                                        .kv = pm_strdup(p->kv),
                                        .state_dir = pm_strdup(p->state_dir)};
    s->command = pm_server_command(spec->conf, p);
    s->ca_file = pm_strdup(spec->conf->ca_file);
    s->docker_socket = pm_strdup(spec->conf->docker_socket);
    s->poll_ms = POLL_FIRST_MS;
    s->last_line_ms = pm_clock_ms();
    pm_timer_init(&s->poll, spec->loop, poll_health, s);
    return s;
}

struct pm_server *pm_server_start(const struct pm_server_spec *spec, struct pm_error *err)
{
    struct pm_server *s = new_server(spec);
    int rc = s->driver->start(s, err);
    s->spec.conf = NULL;
    if (rc == PM_OK)
        return s;
    pm_server_free(s);
    return NULL;
}

struct pm_server *pm_server_adopt(const struct pm_server_spec *spec)
{
    struct pm_server *s = new_server(spec);
    bool found = s->driver->adopt(s);
    s->spec.conf = NULL;
    if (found)
        return s;
    pm_server_free(s);
    return NULL;
}

uint64_t pm_server_command(const struct pm_target *t, const struct pm_server_paths *paths)
{
    const char *const own[] = {
        pm_target_is_process(t) ? NULL : t->driver, t->image, t->url, t->network, t->args_style, t->docker_socket};
    struct pm_argv_place place = {.host = paths->socket, .slots_dir = paths->kv};
    struct pm_strv words = {0};
    uint64_t h = PM_HASH_SEED;
    pm_conf_argv(t, &place, &words);
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
        if (own[i])
            pm_strv_add(&words, own[i], strlen(own[i]));
    const struct pm_strv *lists[] = {&words, &t->env, &t->volumes, &t->gpus};
    for (size_t l = 0; l < sizeof(lists) / sizeof(*lists); l++)
        for (size_t i = 0; i < lists[l]->n; i++)
            h = pm_hash(lists[l]->items[i], strlen(lists[l]->items[i]) + 1, h);
    pm_strv_release(&words);
    return h;
}

void pm_server_stop(struct pm_server *s)
{
    if (s->stopping)
        return;
    s->stopping = true;
    pm_timer_clear(&s->poll);
    s->driver->stop(s);
}

void pm_server_kill(struct pm_server *s, const char *why)
{
    if (!s->killed_for)
        s->killed_for = pm_strdup(why);
    pm_timer_clear(&s->poll);
    s->driver->kill(s);
}

void pm_server_leave(struct pm_server *s)
{
    s->driver->leave(s);
}

static void release(void *arg)
{
    struct pm_server *s = arg;
    if (s->own)
        s->driver->release(s);
    pm_logtail_free(s->tail);
    pm_timer_release(&s->poll);
    pm_server_paths_release(&s->paths);
    free(s->ca_file);
    free(s->docker_socket);
    free(s->killed_for);
    free(s);
}

void pm_server_free(struct pm_server *s)
{
    if (!s)
        return;
    hush(s);
    s->driver->leave(s);
    pm_loop_defer(s->spec.loop, release, s);
}

const char *pm_server_driver(const struct pm_server *s)
{
    return s->driver->name;
}

const char *pm_server_address(const struct pm_server *s)
{
    return s->address;
}

pid_t pm_server_pid(const struct pm_server *s)
{
    return s->pid;
}

const char *pm_server_container(const struct pm_server *s)
{
    return s->container;
}

uint64_t pm_server_last_line_ms(const struct pm_server *s)
{
    return s->last_line_ms;
}

void pm_server_log_last(const struct pm_server *s, size_t lines, struct pm_buf *out)
{
    if (s->tail)
        pm_logtail_last(s->tail, lines, out);
}

void pm_server_paths_init(struct pm_server_paths *p, const char *state_dir, const char *id)
{
    struct pm_buf name;
    pm_buf_init(&name, PM_BUF_OWN_LIMIT);
    for (const char *c = id; *c; c++) {
        if (isalnum((unsigned char)*c) || strchr("._-", *c))
            pm_buf_addn(&name, c, 1);
        else
            pm_buf_addf(&name, "%%%02x", (unsigned char)*c);
    }
    p->socket = pm_asprintf("%s/run/%s.sock", state_dir, name.data);
    p->fifo = pm_asprintf("%s/run/%s.in", state_dir, name.data);
    p->log = pm_asprintf("%s/log/%s.log", state_dir, name.data);
    p->record = pm_asprintf("%s/run/%s.json", state_dir, name.data);
    p->kv = pm_asprintf("%s/kv/%s/", state_dir, name.data);
    p->state_dir = pm_strdup(state_dir);
    pm_buf_release(&name);
}

void pm_server_paths_release(struct pm_server_paths *p)
{
    free(p->socket);
    free(p->fifo);
    free(p->log);
    free(p->record);
    free(p->kv);
    free(p->state_dir);
    *p = (struct pm_server_paths){0};
}

static bool is_owned(const char *state_dir, const char *record, const struct pm_strv *ids)
{
    bool owned = false;
    for (size_t i = 0; i < ids->n && !owned; i++) {
        struct pm_server_paths p;
        pm_server_paths_init(&p, state_dir, ids->items[i]);
        owned = strcmp(p.record, record) == 0;
        pm_server_paths_release(&p);
    }
    return owned;
}

void pm_server_reap_strangers(const struct pm_server_spec *any, const char *state_dir, const struct pm_strv *ids)
{
    char *dir = pm_asprintf("%s/run", state_dir);
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        size_t n = strlen(e->d_name);
        if (n < 6 || strcmp(e->d_name + n - 5, ".json") != 0)
            continue;
        char *path = pm_asprintf("%s/%s", dir, e->d_name);
        if (!is_owned(state_dir, path, ids))
            pm_record_end(path);
        free(path);
    }
    if (d)
        closedir(d);
    free(dir);
    if (any)
        pm_docker_reap(any, state_dir, ids);
}
