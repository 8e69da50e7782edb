/* The control socket, and the same questions when a worker hands them on: {"op": ...} -> {"ok": ...}. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/manager/manager_priv.h"

enum { LOG_LINES_USUAL = 100 };

static void reply(struct pm_channel *ch, uint32_t id, cJSON *answer)
{
    char *text = pm_json_text(answer);
    pm_channel_send_text(ch, PM_MSG_REPLY, id, text);
    free(text);
    cJSON_Delete(answer);
}

static void reply_ok(struct pm_channel *ch, uint32_t id)
{
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddBoolToObject(answer, "ok", true);
    reply(ch, id, answer);
}

void pm_control_refuse(struct pm_channel *ch, uint32_t id, const char *error)
{
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddBoolToObject(answer, "ok", false);
    cJSON_AddStringToObject(answer, "error", error);
    reply(ch, id, answer);
}

void pm_control_unable(struct pm_channel *ch, uint32_t id, const char *why)
{
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddBoolToObject(answer, "ok", false);
    cJSON_AddBoolToObject(answer, "unable", true);
    cJSON_AddStringToObject(answer, "error", why);
    reply(ch, id, answer);
}

static void reply_with(struct pm_channel *ch, uint32_t id, const char *key, cJSON *value)
{
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddBoolToObject(answer, "ok", true);
    cJSON_AddItemToObject(answer, key, value);
    reply(ch, id, answer);
}

/* The keys file that is in use, and the targets that a key can be for. */
static void reply_keys(struct pm_manager *m, struct pm_channel *ch, uint32_t id)
{
    const char *path = m->current ? m->current->bundle->clients.path : m->keys_path;
    cJSON *answer = cJSON_CreateObject(), *targets = cJSON_CreateArray();
    for (size_t i = 0; m->current && i < m->current->conf->n_targets; i++)
        cJSON_AddItemToArray(targets, cJSON_CreateString(m->current->conf->targets[i].id));
    cJSON_AddBoolToObject(answer, "ok", true);
    cJSON_AddStringToObject(answer, "path", path ? path : m->keys_path);
    cJSON_AddItemToObject(answer, "targets", targets);
    reply(ch, id, answer);
}

static void reply_models(struct pm_manager *m, struct pm_channel *ch, uint32_t id)
{
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddBoolToObject(answer, "ok", true);
    cJSON_AddItemToObject(answer, "models", pm_models_json(m));
    cJSON_AddItemToObject(answer, "routes", pm_routes_json(m));
    reply(ch, id, answer);
}

static struct pm_profile *need_profile(struct pm_manager *m, struct pm_channel *ch, uint32_t id, const char *name)
{
    struct pm_profile *p = name ? pm_profile_find(m, name) : NULL;
    if (p && p->conf)
        return p;
    const char *names[256], *near;
    size_t n = 0;
    for (struct pm_profile *o = m->profiles; o && n < 256; o = o->next)
        names[n++] = o->id;
    near = name ? pm_nearest(name, names, n) : NULL;
    char *text = pm_asprintf("there is no profile %s%s%s%s", name ? name : "without a name",
                             near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
    pm_control_refuse(ch, id, text);
    free(text);
    return NULL;
}

static void op_switch(struct pm_manager *m, struct pm_channel *ch, uint32_t id, const cJSON *question)
{
    struct pm_profile *p = need_profile(m, ch, id, pm_json_str(question, "id"));
    if (!p)
        return;
    if (p->state == PM_READY) {
        reply_ok(ch, id);
        return;
    }
    if (pm_json_true(question, "wait")) {
        struct pm_waiting_reply *w = pm_calloc(1, sizeof(*w));
        w->channel = ch;
        w->id = id;
        w->profile = pm_strdup(p->id);
        w->next = m->waiting_replies;
        m->waiting_replies = w;
        pm_profile_want(p);
        return;
    }
    pm_profile_want(p);
    if (p->state == PM_FAILED && !p->wanted)
        pm_control_refuse(ch, id, p->reason);
    else
        reply_ok(ch, id);
}

static void op_unload(struct pm_manager *m, struct pm_channel *ch, uint32_t id, const cJSON *question)
{
    const char *name = pm_json_str(question, "id");
    if (!name) {
        for (struct pm_profile *p = m->profiles; p; p = p->next)
            pm_profile_unload(p, "manual");
        reply_ok(ch, id);
        return;
    }
    struct pm_profile *p = need_profile(m, ch, id, name);
    if (!p)
        return;
    if (p->state == PM_OFF) {
        pm_control_refuse(ch, id, "the profile is not loaded");
        return;
    }
    pm_profile_unload(p, "manual");
    reply_ok(ch, id);
}

static void op_pin(struct pm_manager *m, struct pm_channel *ch, uint32_t id, const cJSON *question)
{
    struct pm_profile *p = need_profile(m, ch, id, pm_json_str(question, "id"));
    if (!p)
        return;
    pm_profile_pin(p, pm_json_true(question, "on"));
    reply_ok(ch, id);
}

/* What a server that has ended left in its file: the reason is there. */
static void log_of_the_dead(const struct pm_profile *p, size_t lines, struct pm_buf *out)
{
    char *text;
    size_t len, start;
    if (pm_file_read(p->paths.log, 64 << 20, &text, &len, NULL) < 0)
        return;
    for (start = len; start > 0; start--)
        if (text[start - 1] == '\n' && start < len && !lines--)
            break;
    pm_buf_add(out, text + start);
    free(text);
}

static void op_logs(struct pm_manager *m, struct pm_channel *ch, uint32_t id, const cJSON *question)
{
    struct pm_buf text;
    size_t lines = (size_t)pm_json_num(question, "lines", LOG_LINES_USUAL);
    const char *name = pm_json_str(question, "id");
    pm_buf_init(&text, 4 << 20);
    if (name && !need_profile(m, ch, id, name))
        return;
    /* Whoever listens from now on has these lines from here. */
    pm_watch_flush_log(m);
    for (struct pm_profile *p = m->profiles; p; p = p->next) {
        if (name && strcmp(p->id, name) != 0)
            continue;
        if (p->server)
            pm_server_log_last(p->server, lines, &text);
        else if (name)
            log_of_the_dead(p, lines, &text);
    }
    reply_with(ch, id, "text", cJSON_CreateString(text.data));
    pm_buf_release(&text);
}

static void op_metrics(struct pm_manager *m, struct pm_channel *ch, uint32_t id)
{
    struct pm_buf text;
    pm_buf_init(&text, PM_BUF_OWN_LIMIT);
    pm_status_metrics(m, &text);
    reply_with(ch, id, "text", cJSON_CreateString(text.data));
    pm_buf_release(&text);
}

void pm_control_message(struct pm_manager *m, struct pm_channel *ch, const struct pm_msg *msg)
{
    cJSON *question = cJSON_ParseWithLength(msg->data, msg->len);
    const char *op = pm_json_str(question, "op");
    if (!op) {
        pm_control_refuse(ch, msg->id, "not a question: {\"op\": ...} is expected");
    } else if (strcmp(op, "status") == 0) {
        reply_with(ch, msg->id, "status", pm_status_json(m));
    } else if (strcmp(op, "models") == 0) {
        if (m->current)
            reply_models(m, ch, msg->id);
        else
            pm_control_refuse(ch, msg->id, "not ready yet");
    } else if (strcmp(op, "switch") == 0) {
        op_switch(m, ch, msg->id, question);
    } else if (strcmp(op, "unload") == 0) {
        op_unload(m, ch, msg->id, question);
    } else if (strcmp(op, "logs") == 0) {
        op_logs(m, ch, msg->id, question);
    } else if (strcmp(op, "metrics") == 0) {
        op_metrics(m, ch, msg->id);
    } else if (strcmp(op, "keys") == 0) {
        reply_keys(m, ch, msg->id);
    } else if (strcmp(op, "usage") == 0) {
        pm_recording_ask(m, ch, msg->id, question);
    } else if (strcmp(op, "pin") == 0) {
        op_pin(m, ch, msg->id, question);
    } else if (strcmp(op, "reload") == 0) {
        pm_manager_reload(m);
        reply_ok(ch, msg->id);
    } else if (strcmp(op, "stop") == 0) {
        reply_ok(ch, msg->id);
        pm_manager_stop(m, pm_json_true(question, "keep"));
    } else {
        pm_control_refuse(ch, msg->id, "unknown operation: is the other side of another version?");
    }
    cJSON_Delete(question);
}

void pm_control_profile_changed(struct pm_profile *p)
{
    if (p->state != PM_READY && p->state != PM_FAILED && p->state != PM_OFF)
        return;
    /* On its way through `off` to the load that was asked for. */
    if (p->state != PM_READY && p->wanted)
        return;
    for (struct pm_waiting_reply **at = &p->m->waiting_replies; *at;) {
        struct pm_waiting_reply *w = *at;
        if (strcmp(w->profile, p->id) != 0) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        if (p->state == PM_READY)
            reply_ok(w->channel, w->id);
        else
            pm_control_refuse(w->channel, w->id, p->reason);
        free(w->profile);
        free(w);
    }
}

void pm_control_forget(struct pm_manager *m, const struct pm_channel *ch)
{
    for (struct pm_waiting_reply **at = &m->waiting_replies; *at;) {
        struct pm_waiting_reply *w = *at;
        if (w->channel != ch) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        free(w->profile);
        free(w);
    }
}

static void client_message(void *arg, const struct pm_msg *msg)
{
    struct pm_client *c = arg;
    uint32_t kinds;
    if (msg->type == PM_MSG_CONTROL)
        pm_control_message(c->m, c->channel, msg);
    else if (msg->type == PM_MSG_WATCHING && pm_msg_struct(msg, &kinds, sizeof(kinds)))
        pm_watch_client(c, kinds);
}

static void client_closed(void *arg, const char *why)
{
    struct pm_client *c = arg;
    struct pm_client **at = &c->m->clients;
    (void)why;
    while (*at && *at != c)
        at = &(*at)->next;
    if (*at)
        *at = c->next;
    pm_control_forget(c->m, c->channel);
    pm_recording_forget(c->m, c->channel);
    pm_watch_gone(c->m);
    pm_channel_free(c->channel);
    pm_loop_defer(c->m->loop, free, c);
}

static void accepted(evutil_socket_t fd, short what, void *arg)
{
    static const struct pm_channel_events events = {.message = client_message, .closed = client_closed};
    struct pm_manager *m = arg;
    (void)what;
    int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (conn < 0)
        return;
    struct pm_client *c = pm_calloc(1, sizeof(*c));
    c->m = m;
    c->channel = pm_channel_new(m->loop, conn, &events, c);
    c->next = m->clients;
    m->clients = c;
}

int pm_control_open(struct pm_manager *m, struct pm_error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char *path = pm_asprintf("%s/control.sock", m->state_dir);
    int rc = PM_OK;
    if (strlen(path) >= sizeof(addr.sun_path)) {
        rc = pm_error_set(err, PM_EINVAL, "%s: the path is too long for a socket: use a shorter --state", path);
        goto out;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    unlink(path);
    m->control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (m->control_fd < 0 || bind(m->control_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        chmod(path, 0600) < 0 || listen(m->control_fd, 64) < 0) {
        rc = pm_error_errno(err, "%s: cannot be opened", path);
        goto out;
    }
    m->control_event = pm_loop_on_readable(m->loop, m->control_fd, accepted, m);
out:
    free(path);
    return rc;
}

void pm_control_close(struct pm_manager *m)
{
    while (m->clients)
        client_closed(m->clients, "");
    if (m->control_event)
        event_free(m->control_event);
    if (m->control_fd >= 0) {
        char *path = pm_asprintf("%s/control.sock", m->state_dir);
        unlink(path);
        close(m->control_fd);
        free(path);
    }
}
