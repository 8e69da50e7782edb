#include "core/cli/watch.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/cli/talk.h"

enum { AGAIN_MS = 500 };

struct question {
    struct question *next;
    uint32_t id;
    int tag;
    void (*answered)(void *arg, int tag, const cJSON *reply);
};

struct pm_cli_watch {
    struct pm_loop *loop;
    char *state_dir;
    uint32_t kinds, last_id;
    const struct pm_cli_watch_events *events;
    void *arg;
    struct pm_channel *channel;
    struct pm_timer again;
    struct question *questions;
};

static void answer(struct pm_cli_watch *w, uint32_t id, const cJSON *reply)
{
    struct question **at = &w->questions;
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    struct question *q = *at;
    if (!q)
        return;
    *at = q->next;
    q->answered(w->arg, q->tag, reply);
    free(q);
}

static void message(void *arg, const struct pm_msg *msg)
{
    struct pm_cli_watch *w = arg;
    if (msg->type == PM_MSG_EVENT) {
        w->events->event(w->arg, (enum pm_watch)msg->id, msg->data);
    } else if (msg->type == PM_MSG_REPLY) {
        cJSON *reply = cJSON_ParseWithLength(msg->data, msg->len);
        answer(w, msg->id, reply);
        cJSON_Delete(reply);
    }
}

static void closed(void *arg, const char *why)
{
    struct pm_cli_watch *w = arg;
    pm_channel_free(w->channel);
    w->channel = NULL;
    while (w->questions)
        answer(w, w->questions->id, NULL);
    (void)why;
    w->events->down(w->arg, "the gateway has gone: trying again");
    pm_timer_set(&w->again, AGAIN_MS);
}

static void connect_again(void *arg)
{
    static const struct pm_channel_events events = {.message = message, .closed = closed};
    struct pm_cli_watch *w = arg;
    struct pm_error err = {0};
    int fd = pm_cli_connect(w->state_dir, &err);
    if (fd < 0) {
        w->events->down(w->arg, err.msg);
        pm_timer_set(&w->again, AGAIN_MS);
        return;
    }
    w->channel = pm_channel_new(w->loop, fd, &events, w);
    pm_channel_send(w->channel, PM_MSG_WATCHING, 0, &w->kinds, sizeof(w->kinds));
    w->events->up(w->arg);
}

struct pm_cli_watch *pm_cli_watch_new(struct pm_loop *loop, const char *state_dir, uint32_t kinds,
                                      const struct pm_cli_watch_events *events, void *arg)
{
    struct pm_cli_watch *w = pm_calloc(1, sizeof(*w));
    w->loop = loop;
    w->state_dir = pm_strdup(state_dir);
    w->kinds = kinds;
    w->events = events;
    w->arg = arg;
    pm_timer_init(&w->again, loop, connect_again, w);
    pm_timer_set(&w->again, 0);
    return w;
}

void pm_cli_watch_free(struct pm_cli_watch *w)
{
    if (!w)
        return;
    pm_timer_release(&w->again);
    pm_channel_free(w->channel);
    while (w->questions) {
        struct question *q = w->questions;
        w->questions = q->next;
        free(q);
    }
    free(w->state_dir);
    free(w);
}

bool pm_cli_watch_ask(struct pm_cli_watch *w, cJSON *question, int tag,
                      void (*answered)(void *arg, int tag, const cJSON *reply))
{
    if (!w->channel) {
        cJSON_Delete(question);
        return false;
    }
    struct question *q = pm_calloc(1, sizeof(*q));
    q->id = ++w->last_id;
    q->tag = tag;
    q->answered = answered;
    q->next = w->questions;
    w->questions = q;
    char *text = pm_json_text(question);
    pm_channel_send_text(w->channel, PM_MSG_CONTROL, q->id, text);
    free(text);
    cJSON_Delete(question);
    return true;
}
