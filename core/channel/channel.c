#include "core/channel/channel.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/alloc.h"

#define MAGIC 0x504d4348u /* PMCH */

struct header {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t id;
    uint32_t len;
};

struct pm_channel {
    struct pm_loop *loop;
    struct bufferevent *bev;
    const struct pm_channel_events *events;
    void *arg;
    bool closed;
};

static void closed(struct pm_channel *ch, const char *why)
{
    if (ch->closed)
        return;
    ch->closed = true;
    bufferevent_disable(ch->bev, EV_READ | EV_WRITE);
    ch->events->closed(ch->arg, why);
}

static const char *header_fault(const struct header *h)
{
    if (h->magic != MAGIC)
        return "not a message of this program";
    if (h->version != PM_CHANNEL_VERSION)
        return "message of another version: restart what still runs of the older one";
    if (h->len > PM_CHANNEL_MESSAGE_MAX)
        return "message too long";
    return NULL;
}

static void readable(struct bufferevent *bev, void *arg)
{
    struct pm_channel *ch = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    struct header h;
    while (!ch->closed && evbuffer_copyout(in, &h, sizeof(h)) == (ev_ssize_t)sizeof(h)) {
        const char *fault = header_fault(&h);
        if (fault) {
            closed(ch, fault);
            return;
        }
        if (evbuffer_get_length(in) < sizeof(h) + h.len)
            return;
        evbuffer_drain(in, sizeof(h));
        char *data = pm_calloc(h.len + 1, 1);
        evbuffer_remove(in, data, h.len);
        struct pm_msg msg = {.type = (enum pm_msg_type)h.type, .id = h.id, .data = data, .len = h.len};
        ch->events->message(ch->arg, &msg);
        free(data);
    }
}

static void event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        closed(arg, "the other side has gone");
}

struct pm_channel *pm_channel_new(struct pm_loop *loop, int fd, const struct pm_channel_events *events, void *arg)
{
    struct pm_channel *ch = pm_calloc(1, sizeof(*ch));
    evutil_make_socket_nonblocking(fd);
    evutil_make_socket_closeonexec(fd);
    ch->loop = loop;
    ch->events = events;
    ch->arg = arg;
    ch->bev = bufferevent_socket_new(pm_loop_base(loop), fd, BEV_OPT_CLOSE_ON_FREE);
    if (!ch->bev)
        abort();
    bufferevent_setcb(ch->bev, readable, NULL, event, ch);
    bufferevent_enable(ch->bev, EV_READ | EV_WRITE);
    return ch;
}

void pm_channel_read_rest(struct pm_channel *ch)
{
    struct evbuffer *in = bufferevent_get_input(ch->bev);
    if (ch->closed)
        return;
    evbuffer_unfreeze(in, 0);
    while (evbuffer_read(in, bufferevent_getfd(ch->bev), -1) > 0)
        continue;
    evbuffer_freeze(in, 0);
    readable(ch->bev, ch);
}

static void release(void *arg)
{
    struct pm_channel *ch = arg;
    /* What is queued goes out if the socket takes it: a last word (FAILED, REPLY) should not be lost. */
    struct evbuffer *out = bufferevent_get_output(ch->bev);
    evbuffer_unfreeze(out, 1); /* bufferevents keep others from draining their buffers */
    evbuffer_write(out, bufferevent_getfd(ch->bev));
    bufferevent_free(ch->bev);
    free(ch);
}

void pm_channel_free(struct pm_channel *ch)
{
    if (!ch)
        return;
    ch->closed = true;
    bufferevent_setcb(ch->bev, NULL, NULL, NULL, NULL);
    pm_loop_defer(ch->loop, release, ch);
}

void pm_channel_send(struct pm_channel *ch, enum pm_msg_type type, uint32_t id, const void *data, size_t len)
{
    struct header h = {
        .magic = MAGIC, .version = PM_CHANNEL_VERSION, .type = (uint16_t)type, .id = id, .len = (uint32_t)len};
    if (ch->closed)
        return;
    if (len > PM_CHANNEL_MESSAGE_MAX || evbuffer_get_length(bufferevent_get_output(ch->bev)) > PM_CHANNEL_QUEUE_MAX) {
        closed(ch, "the other side does not read");
        return;
    }
    bufferevent_write(ch->bev, &h, sizeof(h));
    if (len)
        bufferevent_write(ch->bev, data, len);
}

void pm_channel_send_text(struct pm_channel *ch, enum pm_msg_type type, uint32_t id, const char *text)
{
    pm_channel_send(ch, type, id, text, strlen(text));
}

size_t pm_channel_queued(const struct pm_channel *ch)
{
    return evbuffer_get_length(bufferevent_get_output(ch->bev));
}

bool pm_msg_struct(const struct pm_msg *msg, void *out, size_t size)
{
    if (msg->len != size)
        return false;
    memcpy(out, msg->data, size);
    return true;
}

static int write_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return PM_EIO;
        p += n;
        len -= (size_t)n;
    }
    return PM_OK;
}

static int read_all(int fd, void *data, size_t len)
{
    char *p = data;
    while (len) {
        ssize_t n = read(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return PM_EIO;
        p += n;
        len -= (size_t)n;
    }
    return PM_OK;
}

int pm_channel_ask(int fd, const char *question, char **answer, struct pm_error *err)
{
    struct header h = {.magic = MAGIC,
                       .version = PM_CHANNEL_VERSION,
                       .type = PM_MSG_CONTROL,
                       .id = 1,
                       .len = (uint32_t)strlen(question)};
    if (write_all(fd, &h, sizeof(h)) < 0 || write_all(fd, question, h.len) < 0)
        return pm_error_set(err, PM_EIO, "the manager does not take the question");
    for (;;) {
        if (read_all(fd, &h, sizeof(h)) < 0)
            return pm_error_set(err, PM_EIO, "the manager went away before it answered");
        const char *fault = header_fault(&h);
        if (fault)
            return pm_error_set(err, PM_EPROTO, "the manager's answer: %s", fault);
        char *data = pm_calloc(h.len + 1, 1);
        if (read_all(fd, data, h.len) < 0) {
            free(data);
            return pm_error_set(err, PM_EIO, "the manager went away while it answered");
        }
        if (h.type == PM_MSG_REPLY) {
            *answer = data;
            return PM_OK;
        }
        free(data);
    }
}
