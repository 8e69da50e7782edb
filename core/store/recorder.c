#include "core/store/recorder.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/base/log.h"
#include "core/channel/channel.h"
#include "core/store/records.h"

/* What is lost when the machine itself goes down is about what came in COMMIT_MS. */
enum { COMMIT_MS = 500, BATCH_MAX = 1000, PRUNE_MS = 10 * 60 * 1000, PRUNE_MORE_MS = 200 };

struct recorder {
    struct pm_loop *loop;
    struct pm_channel *channel;
    struct pm_records *records;
    struct pm_timer commit, prune;
    struct pm_records_limits limits;
    uint32_t last, batch;
    int exit_code;
};

static void give_up(struct recorder *r, const struct pm_error *err)
{
    if (r->exit_code)
        return;
    r->exit_code = 1;
    /* It goes out when the channel is freed. */
    pm_channel_send_text(r->channel, PM_MSG_TROUBLE, 0, err->msg);
    pm_loop_stop(r->loop);
}

static void commit(void *arg)
{
    struct recorder *r = arg;
    struct pm_error err = {0};
    pm_timer_clear(&r->commit);
    if (!r->batch || r->exit_code)
        return;
    if (pm_records_commit(r->records, &err) < 0) {
        give_up(r, &err);
        return;
    }
    r->batch = 0;
    pm_channel_send(r->channel, PM_MSG_RECORDED, 0, &r->last, sizeof(r->last));
}

static void add(struct recorder *r, const struct pm_msg *msg)
{
    struct pm_error err = {0};
    int rc = pm_records_add(r->records, msg->data, msg->len, &err);
    if (rc == PM_EINVAL)
        pm_log(PM_LOG_ERROR, "%s is left out", err.msg);
    else if (rc < 0) {
        give_up(r, &err);
        return;
    }
    r->last = msg->id;
    if (++r->batch == BATCH_MAX)
        commit(r);
    else if (!pm_timer_is_set(&r->commit))
        pm_timer_set(&r->commit, COMMIT_MS);
}

static void prune(void *arg)
{
    struct recorder *r = arg;
    struct pm_error err = {0};
    bool more = false;
    commit(r);
    if (r->exit_code)
        return;
    if (pm_records_prune(r->records, &r->limits, &more, &err) < 0)
        give_up(r, &err);
    else
        pm_timer_set(&r->prune, more ? PRUNE_MORE_MS : PRUNE_MS);
}

static void answer(struct recorder *r, const struct pm_msg *msg)
{
    struct pm_error err = {0};
    cJSON *question = cJSON_ParseWithLength(msg->data, msg->len);
    /* What was answered a moment ago is to be in it. */
    commit(r);
    cJSON *said = pm_records_ask(r->records, question, &err), *reply = cJSON_CreateObject();
    cJSON_AddBoolToObject(reply, "ok", said != NULL);
    if (said)
        cJSON_AddItemToObject(reply, "usage", said);
    else
        cJSON_AddStringToObject(reply, "error", err.msg);
    if (!said && err.code == PM_EIO)
        cJSON_AddTrueToObject(reply, "unable");
    char *text = pm_json_text(reply);
    pm_channel_send_text(r->channel, PM_MSG_REPLY, msg->id, text);
    free(text);
    cJSON_Delete(reply);
    cJSON_Delete(question);
}

static void keep(struct recorder *r, const struct pm_msg *msg)
{
    struct pm_msg_keep wanted;
    if (!pm_msg_struct(msg, &wanted, sizeof(wanted)))
        return;
    r->limits = (struct pm_records_limits){.keep_ms = wanted.keep_ms, .max_mib = (long long)wanted.max_mib};
    pm_timer_set(&r->prune, 0);
}

static void manager_gone(void *arg, const char *why)
{
    struct recorder *r = arg;
    (void)why;
    commit(r);
    pm_loop_stop(r->loop);
}

static void message(void *arg, const struct pm_msg *msg)
{
    struct recorder *r = arg;
    if (r->exit_code)
        return;
    switch (msg->type) {
    case PM_MSG_RECORD:
        add(r, msg);
        break;
    case PM_MSG_CONTROL:
        answer(r, msg);
        break;
    case PM_MSG_KEEP:
        keep(r, msg);
        break;
    case PM_MSG_DRAIN:
        manager_gone(r, "");
        break;
    default:
        pm_log(PM_LOG_WARN, "the manager sent an unknown message %d", (int)msg->type);
    }
}

static void on_terminate(evutil_socket_t signo, short what, void *arg)
{
    (void)signo;
    (void)what;
    manager_gone(arg, "");
}

int pm_recorder_run(int channel_fd, const char *path)
{
    static const struct pm_channel_events events = {.message = message, .closed = manager_gone};
    struct recorder r = {0};
    struct pm_error err = {0};
    signal(SIGPIPE, SIG_IGN);
    /* It may hold what people wrote. */
    umask(077);
    pm_log_init("recorder", PM_LOG_INFO);
    r.loop = pm_loop_new();
    r.channel = pm_channel_new(r.loop, channel_fd, &events, &r);
    pm_timer_init(&r.commit, r.loop, commit, &r);
    pm_timer_init(&r.prune, r.loop, prune, &r);
    pm_loop_on_signal(r.loop, SIGTERM, on_terminate, &r);
    r.records = pm_records_open(path, &err);
    if (r.records && pm_records_try(r.records, &err) < 0) {
        pm_records_free(r.records);
        r.records = NULL;
    }
    if (r.records) {
        /* It can be written; nothing of this channel's is in it yet. */
        pm_channel_send(r.channel, PM_MSG_RECORDED, 0, &r.last, sizeof(r.last));
        pm_loop_run(r.loop);
    } else {
        give_up(&r, &err);
    }
    pm_records_free(r.records);
    pm_timer_release(&r.commit);
    pm_timer_release(&r.prune);
    pm_channel_free(r.channel);
    pm_loop_settle(r.loop);
    pm_loop_free(r.loop);
    return r.exit_code;
}
