/* The recorder: the process that writes down the requests that are over (core/store/recorder.h). What it has been sent
 * is kept here until it is safe, and sent again when the process had to be replaced. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/manager/manager_priv.h"

enum {
    PENDING_MAX = 32 << 20, /* bytes that wait to be safe; what comes then is dropped and counted */
    IN_FLIGHT_MAX = 4096,   /* records that it has been sent and has not written */
    IN_FLIGHT_BYTES = 4 << 20,
    SILENCE_MS = 20 * 1000, /* it has to write or to answer, and does neither */
    AGAIN_FIRST_MS = 200,
    AGAIN_MOST_MS = 60 * 1000,
    END_MS = 3000
};

struct pending {
    struct pending *next;
    uint32_t number;
    size_t len;
    char text[];
};

/* A question that was handed on. */
struct handed {
    struct handed *next;
    struct pm_channel *channel; /* of the asker; NULL when it has gone */
    uint32_t id, its;
    char *text; /* not sent yet: the recorder is being started */
};

struct pm_recording {
    struct pm_manager *m;
    char *path, *trouble;
    bool wanted, ending, trouble_told;
    struct pm_child *child;
    struct pm_channel *channel;
    struct pm_timer again, silence;
    struct pm_msg_keep keep;
    uint64_t again_ms;
    struct pending *first, **last, *unsent;
    size_t bytes, in_flight_bytes;
    uint32_t number, in_flight, question;
    uint64_t dropped;
    struct handed *handed;
};

/* Those that it has been sent; and `all` others. */
static void refuse_handed(struct pm_recording *r, bool all, const char *why)
{
    for (struct handed **at = &r->handed; *at;) {
        struct handed *h = *at;
        if (h->text && !all) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        if (h->channel)
            pm_control_unable(h->channel, h->id, why);
        free(h->text);
        free(h);
    }
}

static void send_handed(struct pm_recording *r)
{
    for (struct handed *h = r->handed; h && r->channel; h = h->next) {
        if (!h->text)
            continue;
        pm_channel_send_text(r->channel, PM_MSG_CONTROL, h->its, h->text);
        PM_FREE_AND_NULL(h->text);
    }
}

/* It owes something: it is given so long from now on. */
static void expect(struct pm_recording *r)
{
    if (!r->channel || (!r->in_flight && !r->handed))
        pm_timer_clear(&r->silence);
    else if (!pm_timer_is_set(&r->silence))
        pm_timer_set(&r->silence, SILENCE_MS);
}

static void send_pending(struct pm_recording *r)
{
    while (r->channel && r->unsent && r->in_flight < IN_FLIGHT_MAX && r->in_flight_bytes < IN_FLIGHT_BYTES) {
        struct pending *p = r->unsent;
        r->unsent = p->next;
        r->in_flight++;
        r->in_flight_bytes += p->len;
        pm_channel_send(r->channel, PM_MSG_RECORD, p->number, p->text, p->len);
    }
    if (r->channel && r->ending && !r->unsent)
        pm_channel_send(r->channel, PM_MSG_DRAIN, 0, NULL, 0);
    expect(r);
}

static void drop_first(struct pm_recording *r)
{
    struct pending *p = r->first;
    r->first = p->next;
    if (!r->first)
        r->last = &r->first;
    if (r->unsent == p)
        r->unsent = p->next;
    r->bytes -= p->len;
    free(p);
}

static void recorded(struct pm_recording *r, const struct pm_msg *msg)
{
    uint32_t upto;
    if (!pm_msg_struct(msg, &upto, sizeof(upto)))
        return;
    while (upto && r->first && r->first != r->unsent && (int32_t)(r->first->number - upto) <= 0) {
        r->in_flight_bytes -= r->first->len;
        drop_first(r);
        r->in_flight--;
    }
    /* That the file could be opened (0) is no proof where something waits: a disk may be full but for a little. */
    if (r->trouble && (upto || !r->first)) {
        pm_log(PM_LOG_INFO, "usage is recorded again");
        PM_FREE_AND_NULL(r->trouble);
    }
    if (upto)
        r->again_ms = 0;
    pm_timer_clear(&r->silence);
    send_pending(r);
}

static void answered(struct pm_recording *r, const struct pm_msg *msg)
{
    struct handed **at = &r->handed;
    while (*at && (*at)->its != msg->id)
        at = &(*at)->next;
    struct handed *h = *at;
    if (!h)
        return;
    *at = h->next;
    if (h->channel)
        pm_channel_send(h->channel, PM_MSG_REPLY, h->id, msg->data, msg->len);
    free(h);
    pm_timer_clear(&r->silence);
    expect(r);
}

static void set_trouble(struct pm_recording *r, const char *why)
{
    if (!r->trouble || strcmp(r->trouble, why) != 0)
        pm_log(PM_LOG_ERROR, "usage is not recorded: %s", why);
    free(r->trouble);
    r->trouble = pm_strdup(why);
    refuse_handed(r, true, why);
    pm_status_publish(r->m, false);
}

/* A disk that hangs, or a process that was stopped: who waits for it is told, and another one tries. */
static void silent(void *recording)
{
    struct pm_recording *r = recording;
    if (!r->child)
        return;
    set_trouble(r, "the recorder has not answered for 20 s: does the disk hang?");
    pm_child_signal(r->child, SIGKILL);
}

static void message(void *arg, const struct pm_msg *msg)
{
    struct pm_recording *r = arg;
    char *why;
    switch (msg->type) {
    case PM_MSG_RECORDED:
        recorded(r, msg);
        break;
    case PM_MSG_REPLY:
        answered(r, msg);
        break;
    case PM_MSG_TROUBLE:
        why = pm_strndup(msg->data, msg->len);
        set_trouble(r, why);
        free(why);
        break;
    default:
        pm_log(PM_LOG_WARN, "the recorder sent an unknown message %d", (int)msg->type);
    }
}

/* Its process ends, or has: child_ended goes on from there. */
static void closed(void *arg, const char *why)
{
    struct pm_recording *r = arg;
    (void)why;
    pm_channel_free(r->channel);
    r->channel = NULL;
    if (r->child)
        pm_child_signal(r->child, SIGTERM);
}

static void child_ended(void *arg, const struct pm_child_end *end)
{
    struct pm_recording *r = arg;
    char how[80];
    if (r->channel)
        pm_channel_read_rest(r->channel);
    pm_channel_free(r->channel);
    r->channel = NULL;
    pm_child_free(r->child);
    r->child = NULL;
    r->unsent = r->first;
    r->in_flight = 0;
    r->in_flight_bytes = 0;
    pm_timer_clear(&r->silence);
    refuse_handed(r, r->trouble || r->ending || !r->wanted,
                  r->trouble ? r->trouble : "the recorder has ended: ask again");
    if (r->ending || !r->wanted) {
        pm_manager_maybe_end(r->m);
        return;
    }
    if (!r->trouble) {
        pm_child_end_text(end, how, sizeof(how));
        pm_log(PM_LOG_ERROR, "the recorder ended: %s", how);
    }
    pm_timer_set(&r->again, r->again_ms);
    r->again_ms = r->again_ms ? r->again_ms * 2 : AGAIN_FIRST_MS;
    if (r->again_ms > AGAIN_MOST_MS)
        r->again_ms = AGAIN_MOST_MS;
}

static void become_recorder(const struct pm_recording *r, int channel)
{
    char number[16], command[] = "_recorder";
    char *argv[] = {(char *)r->m->options->self, command, number, r->path, NULL};
    snprintf(number, sizeof(number), "%d", channel);
    fcntl(channel, F_SETFD, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* Ctrl-C in a terminal is for the manager. */
    setpgid(0, 0);
    execv(argv[0], argv);
    dprintf(2, "pointsman: %s cannot be started: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static void spawn(void *recording)
{
    static const struct pm_channel_events events = {.message = message, .closed = closed};
    struct pm_recording *r = recording;
    struct pm_error err = {0};
    int pair[2];
    if (r->child || !r->wanted || r->ending)
        return;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        set_trouble(r, "no channel to a recorder can be made");
        pm_timer_set(&r->again, AGAIN_MOST_MS);
        return;
    }
    pid_t pid = pm_child_fork();
    if (pid == 0)
        become_recorder(r, pair[1]);
    close(pair[1]);
    r->child = pid > 0 ? pm_child_watch(r->m->loop, pid, child_ended, r, &err) : NULL;
    if (!r->child) {
        close(pair[0]);
        set_trouble(r, "no process can be made");
        pm_timer_set(&r->again, AGAIN_MOST_MS);
        return;
    }
    r->channel = pm_channel_new(r->m->loop, pair[0], &events, r);
    pm_channel_send(r->channel, PM_MSG_KEEP, 0, &r->keep, sizeof(r->keep));
    send_handed(r);
    send_pending(r);
}

void pm_recording_configure(struct pm_manager *m)
{
    const struct pm_gateway_conf *conf = &m->current->conf->gateway;
    struct pm_recording *r = m->recording;
    if (!r) {
        m->recording = r = pm_calloc(1, sizeof(*r));
        r->m = m;
        r->last = &r->first;
        r->path = pm_asprintf("%s/usage.db", m->state_dir);
        pm_timer_init(&r->again, m->loop, spawn, r);
        pm_timer_init(&r->silence, m->loop, silent, r);
    }
    r->wanted = conf->usage;
    r->keep = (struct pm_msg_keep){.keep_ms = conf->usage_keep_ms, .max_mib = (uint64_t)conf->usage_max};
    if (r->channel && r->wanted)
        pm_channel_send(r->channel, PM_MSG_KEEP, 0, &r->keep, sizeof(r->keep));
    if (r->wanted) {
        spawn(r);
    } else {
        closed(r, "");
        refuse_handed(r, true, "usage is not recorded any more (USAGE=no in [gateway])");
        PM_FREE_AND_NULL(r->trouble);
    }
}

void pm_recording_add(struct pm_manager *m, const char *text, size_t len)
{
    struct pm_recording *r = m->recording;
    if (!r || !r->wanted)
        return;
    if (r->bytes + len > PENDING_MAX) {
        r->dropped++;
        pm_metrics_add(m->metrics, "pointsman_usage_dropped_total", "", 1);
        return;
    }
    struct pending *p = pm_calloc(1, sizeof(*p) + len + 1);
    p->number = ++r->number;
    p->len = len;
    memcpy(p->text, text, len);
    *r->last = p;
    r->last = &p->next;
    r->bytes += len;
    if (!r->unsent)
        r->unsent = p;
    send_pending(r);
}

void pm_recording_ask(struct pm_manager *m, struct pm_channel *ch, uint32_t id, const cJSON *question)
{
    struct pm_recording *r = m->recording;
    if (!r || !r->wanted || (!r->channel && r->trouble)) {
        pm_control_unable(ch, id, r && r->wanted ? r->trouble : "usage is not recorded (USAGE=no in [gateway])");
        return;
    }
    struct handed *h = pm_calloc(1, sizeof(*h));
    h->channel = ch;
    h->id = id;
    h->its = ++r->question;
    h->next = r->handed;
    h->text = pm_json_text(question);
    r->handed = h;
    send_handed(r);
    expect(r);
}

void pm_recording_forget(struct pm_manager *m, const struct pm_channel *ch)
{
    for (struct handed *h = m->recording ? m->recording->handed : NULL; h; h = h->next)
        if (h->channel == ch)
            h->channel = NULL;
}

bool pm_recording_is_on(const struct pm_manager *m)
{
    const struct pm_recording *r = m->recording;
    return r && r->wanted && !r->trouble;
}

cJSON *pm_recording_json(const struct pm_manager *m)
{
    const struct pm_recording *r = m->recording;
    cJSON *item = cJSON_CreateObject();
    cJSON_AddBoolToObject(item, "recording", pm_recording_is_on(m));
    if (!r)
        return item;
    if (r->trouble)
        cJSON_AddStringToObject(item, "error", r->trouble);
    cJSON_AddNumberToObject(item, "waiting_bytes", (double)r->bytes);
    cJSON_AddNumberToObject(item, "dropped", (double)r->dropped);
    return item;
}

static void too_late(void *recording)
{
    struct pm_recording *r = recording;
    if (r->child)
        pm_child_signal(r->child, SIGKILL);
}

bool pm_recording_end(struct pm_manager *m)
{
    struct pm_recording *r = m->recording;
    if (!r || !r->child)
        return true;
    if (r->ending)
        return false;
    r->ending = true;
    send_pending(r);
    pm_timer_release(&r->again);
    pm_timer_init(&r->again, m->loop, too_late, r);
    pm_timer_set(&r->again, END_MS);
    return false;
}

void pm_recording_free(struct pm_manager *m)
{
    struct pm_recording *r = m->recording;
    if (!r)
        return;
    pm_timer_release(&r->again);
    pm_timer_release(&r->silence);
    pm_channel_free(r->channel);
    pm_child_free(r->child);
    while (r->first)
        drop_first(r);
    while (r->handed) {
        struct handed *h = r->handed;
        r->handed = h->next;
        free(h->text);
        free(h);
    }
    free(r->path);
    free(r->trouble);
    free(r);
}
