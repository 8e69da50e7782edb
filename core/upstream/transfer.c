#include "core/upstream/transfer.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/alloc.h"
#include "core/base/buf.h"
#include "core/base/log.h"

enum {
    IDLE_HANDLES_MAX = 64,
    REPLY_HEAD_MAX = 256 << 10,
    KEPT_CONNECTIONS = 256,
    PIECE = 16384,
    UPLOAD_PIECE = 128 << 10
};

struct pm_upstream {
    struct pm_loop *loop;
    CURLM *multi;
    struct pm_timer timer;
    struct pm_transfer *transfers;
    CURL *idle[IDLE_HANDLES_MAX];
    size_t n_idle;
};

struct pm_transfer {
    struct pm_upstream *up;
    struct pm_transfer *next, *prev;
    CURL *easy;
    struct curl_slist *headers;
    const struct pm_transfer_events *events; /* NULL once cancelled */
    void *arg;
    int status;
    struct pm_buf head;
    struct pm_buf value; /* what pm_transfer_header returned last */
    bool paused, finished;
    char error[CURL_ERROR_SIZE];
};

static void collect(struct pm_upstream *up);

/* --- sockets and the timer of the multi handle --- */

struct socket_watch {
    struct pm_upstream *up;
    struct event *event;
};

static void socket_ready(evutil_socket_t fd, short what, void *arg)
{
    struct socket_watch *w = arg;
    struct pm_upstream *up = w->up;
    int running;
    int action = ((what & EV_READ) ? CURL_CSELECT_IN : 0) | ((what & EV_WRITE) ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(up->multi, fd, action, &running);
    collect(up);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct pm_upstream *up = arg;
    struct socket_watch *w = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        /* The descriptor may be closed and reused right after this call. */
        if (w) {
            event_free(w->event);
            free(w);
            curl_multi_assign(up->multi, fd, NULL);
        }
        return 0;
    }
    if (!w) {
        w = pm_calloc(1, sizeof(*w));
        w->up = up;
        curl_multi_assign(up->multi, fd, w);
    } else {
        event_free(w->event);
    }
    short kind = (short)(((what & CURL_POLL_IN) ? EV_READ : 0) | ((what & CURL_POLL_OUT) ? EV_WRITE : 0) | EV_PERSIST);
    w->event = event_new(pm_loop_base(up->loop), fd, kind, socket_ready, w);
    if (!w->event)
        abort();
    event_add(w->event, NULL);
    return 0;
}

/* May be called with 0 from inside libcurl, which must not be entered again: the loop's timer does it later. */
static int on_timer_wish(CURLM *multi, long ms, void *arg)
{
    struct pm_upstream *up = arg;
    (void)multi;
    if (ms < 0)
        pm_timer_clear(&up->timer);
    else
        pm_timer_set(&up->timer, (uint64_t)ms);
    return 0;
}

static void on_timer(void *arg)
{
    struct pm_upstream *up = arg;
    int running;
    curl_multi_socket_action(up->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(up);
}

/* --- one transfer --- */

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct pm_transfer *t = arg;
    size_t len = size * n;
    if (!t->events)
        return 0;
    if (len > 5 && strncmp(line, "HTTP/", 5) == 0) {
        const char *sp = memchr(line, ' ', len);
        t->status = sp ? (int)strtol(sp + 1, NULL, 10) : 0;
        pm_buf_clear(&t->head);
        return len;
    }
    if (len > 2) {
        if (pm_buf_append(&t->head, line, len) < 0)
            return 0;
    } else if (t->status >= 200) {
        t->events->head(t->arg, t, t->status);
    }
    return len;
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    struct pm_transfer *t = arg;
    if (!t->events)
        return 0;
    if (t->paused)
        return CURL_WRITEFUNC_PAUSE;
    if (!t->events->data(t->arg, data, size * n))
        t->paused = true;
    return size * n;
}

static enum pm_transfer_end classify(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return PM_TRANSFER_OK;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_OPERATION_TIMEDOUT: /* only the connection has a limit here */
        return PM_TRANSFER_NO_CONNECTION;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
        return PM_TRANSFER_CUT;
    default:
        return PM_TRANSFER_FAULT;
    }
}

static void put_back(struct pm_upstream *up, CURL *easy)
{
    if (up->n_idle < IDLE_HANDLES_MAX) {
        curl_easy_reset(easy);
        up->idle[up->n_idle++] = easy;
    } else {
        curl_easy_cleanup(easy);
    }
}

static void free_transfer(void *arg)
{
    struct pm_transfer *t = arg;
    struct pm_upstream *up = t->up;
    curl_multi_remove_handle(up->multi, t->easy);
    if (t->prev)
        t->prev->next = t->next;
    else
        up->transfers = t->next;
    if (t->next)
        t->next->prev = t->prev;
    put_back(up, t->easy);
    curl_slist_free_all(t->headers);
    pm_buf_release(&t->head);
    pm_buf_release(&t->value);
    free(t);
}

static void finished(struct pm_transfer *t, CURLcode code)
{
    struct pm_transfer_result result = {.end = classify(code), .text = ""};
    if (code != CURLE_OK)
        result.text = t->error[0] ? t->error : curl_easy_strerror(code);
    result.timed_out = code == CURLE_OPERATION_TIMEDOUT;
    t->finished = true;
    if (t->events)
        t->events->done(t->arg, &result);
    /* A transfer that was cancelled meanwhile is in the hands of the deferred call already. */
    if (t->events) {
        t->events = NULL;
        pm_loop_defer(t->up->loop, free_transfer, t);
    }
}

static void collect(struct pm_upstream *up)
{
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(up->multi, &left))) {
        char *private;
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode code = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
        finished((struct pm_transfer *)(void *)private, code);
    }
}

static void set_options(struct pm_transfer *t, const struct pm_transfer_spec *spec)
{
    CURL *e = t->easy;
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_URL, spec->url);
    curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, spec->unix_socket);
    /* A llama-server that is asked to end waits for kept connections; a unix socket is opened anew in no time. */
    curl_easy_setopt(e, CURLOPT_FORBID_REUSE, spec->unix_socket ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    /* An unset proxy would be taken from the environment, for loopback addresses too. */
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)spec->connect_ms);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)PIECE);
    /* One write for what fits; only a body above it makes libcurl allocate that much. */
    curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_PIECE);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    if (spec->ca_file)
        curl_easy_setopt(e, CURLOPT_CAINFO, spec->ca_file);
    if (spec->body) {
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->len);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, spec->body);
        t->headers = curl_slist_append(t->headers, "Expect:");
    } else if (strcmp(spec->method, "GET") != 0) {
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, spec->method);
    }
    for (size_t i = 0; spec->headers && i < spec->headers->n; i++)
        t->headers = curl_slist_append(t->headers, spec->headers->items[i]);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
}

static void add_transfer(void *arg)
{
    struct pm_transfer *t = arg;
    int running;
    curl_multi_add_handle(t->up->multi, t->easy);
    /* libcurl asks for a timer of 0 ms to begin: this is that, a turn of the loop earlier. */
    curl_multi_socket_action(t->up->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(t->up);
}

struct pm_transfer *pm_transfer_start(struct pm_upstream *up, const struct pm_transfer_spec *spec,
                                      const struct pm_transfer_events *events, void *arg)
{
    struct pm_transfer *t = pm_calloc(1, sizeof(*t));
    t->up = up;
    t->events = events;
    t->arg = arg;
    pm_buf_init(&t->head, REPLY_HEAD_MAX);
    pm_buf_init(&t->value, REPLY_HEAD_MAX);
    t->easy = up->n_idle ? up->idle[--up->n_idle] : curl_easy_init();
    if (!t->easy)
        abort();
    set_options(t, spec);
    t->next = up->transfers;
    if (t->next)
        t->next->prev = t;
    up->transfers = t;
    /* Not now: this may be inside a callback of libcurl, which must not be entered again. */
    pm_loop_defer(up->loop, add_transfer, t);
    return t;
}

bool pm_transfer_has_sent(const struct pm_transfer *t, size_t len)
{
    curl_off_t sent = 0;
    return curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent) == CURLE_OK && (size_t)sent >= len;
}

void pm_transfer_resume(struct pm_transfer *t)
{
    if (!t->paused || !t->events || t->finished)
        return;
    t->paused = false;
    curl_easy_pause(t->easy, CURLPAUSE_CONT);
}

void pm_transfer_cancel(struct pm_transfer *t)
{
    if (!t->events)
        return;
    t->events = NULL;
    pm_loop_defer(t->up->loop, free_transfer, t);
}

const char *pm_transfer_header(struct pm_transfer *t, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = t->head.data; *line;) {
        size_t len = strcspn(line, "\r\n");
        if (len > n && line[n] == ':' && strncasecmp(line, name, n) == 0) {
            const char *value = line + n + 1;
            value += strspn(value, " \t");
            pm_buf_clear(&t->value);
            pm_buf_addn(&t->value, value, (size_t)(line + len - value));
            return t->value.data;
        }
        line += len;
        line += strspn(line, "\r\n");
    }
    return NULL;
}

const char *pm_transfer_headers(const struct pm_transfer *t)
{
    return t->head.data;
}

struct pm_upstream *pm_upstream_new(struct pm_loop *loop)
{
    struct pm_upstream *up = pm_calloc(1, sizeof(*up));
    curl_global_init(CURL_GLOBAL_DEFAULT);
    up->loop = loop;
    up->multi = curl_multi_init();
    if (!up->multi)
        abort();
    pm_timer_init(&up->timer, loop, on_timer, up);
    curl_multi_setopt(up->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(up->multi, CURLMOPT_SOCKETDATA, up);
    curl_multi_setopt(up->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
    curl_multi_setopt(up->multi, CURLMOPT_TIMERDATA, up);
    curl_multi_setopt(up->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    return up;
}

void pm_upstream_free(struct pm_upstream *up)
{
    if (!up)
        return;
    while (up->transfers)
        free_transfer(up->transfers);
    while (up->n_idle)
        curl_easy_cleanup(up->idle[--up->n_idle]);
    curl_multi_cleanup(up->multi);
    pm_timer_release(&up->timer);
    curl_global_cleanup();
    free(up);
}
