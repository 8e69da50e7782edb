/* Accepting, reading and ending; what is written is in reply.c. */
#include "core/http/server.h"

#include <errno.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/http/server_priv.h"

enum { READ_PIECE = 65536, LINGER_MS = 3000, ACCEPT_PAUSE_MS = 100, RESERVED_MAX = 1 << 20 };

static void process_input(struct pm_conn *c);

static void free_conn(void *arg)
{
    struct pm_conn *c = arg;
    event_free(c->readable);
    event_free(c->writable);
    event_free(c->hangup);
    pm_timer_release(&c->timer);
    evbuffer_free(c->in);
    evbuffer_free(c->out);
    close(c->fd);
    free(c->head_text);
    pm_buf_release(&c->x.body);
    pm_buf_release(&c->x.headers);
    free(c);
}

void pm_conn_close(struct pm_conn *c)
{
    struct pm_http_server *s = c->server;
    if (c->state == PM_CONN_CLOSED)
        return;
    bool busy = c->state == PM_CONN_REPLYING;
    c->state = PM_CONN_CLOSED;
    event_del(c->readable);
    event_del(c->writable);
    event_del(c->hangup);
    pm_timer_clear(&c->timer);
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->n_conns--;
    pm_loop_defer(s->loop, free_conn, c);
    if (busy && c->x.events && c->x.events->gone)
        c->x.events->gone(c->x.arg);
    if (s->draining && !s->n_conns)
        s->events->drained(s->arg);
}

/* The head has been read wrongly or too much of something has come: one reply, then close. */
static void refuse(struct pm_conn *c, int status, const char *why)
{
    c->state = PM_CONN_REPLYING;
    c->unread = true;
    c->x.close_after = true;
    c->server->events->refused(c->server->arg, &c->x, status, why);
}

static void start_reading_body(struct pm_conn *c)
{
    const struct pm_http_head *h = &c->x.head;
    c->state = PM_CONN_BODY;
    c->chunked = (struct pm_chunked){0};
    if (h->has_length && h->length > c->server->limits.body) {
        refuse(c, 413, "the request body is larger than the limit");
        return;
    }
    /* What is announced may never come: room for more than this is made as it does. */
    pm_buf_reserve(&c->x.body, h->length < RESERVED_MAX ? (size_t)h->length : RESERVED_MAX);
    if (h->expect_continue && (h->chunked || h->length) && !evbuffer_get_length(c->in)) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        evbuffer_add(c->out, go_on, sizeof(go_on) - 1);
        pm_conn_flush(c);
    }
}

static void read_head(struct pm_conn *c)
{
    /* RFC 9112, 2.2: an empty line before the request line is forgiven. */
    char crlf[2];
    size_t have = evbuffer_get_length(c->in);
    if (!c->skipped_blank && evbuffer_copyout(c->in, crlf, 2) >= 1 && crlf[0] == '\r') {
        if (have < 2)
            return;
        c->skipped_blank = true;
        if (crlf[1] == '\n') {
            evbuffer_drain(c->in, 2);
            have -= 2;
        }
    }
    if (!have)
        return;
    if (!c->x.start_us)
        c->x.start_us = pm_clock_us();
    size_t most = have < c->server->limits.head ? have : c->server->limits.head;
    /* The head is mostly in one piece: what follows it need not be moved. */
    struct evbuffer_iovec piece;
    if (evbuffer_peek(c->in, -1, NULL, &piece, 1) > 0 && piece.iov_len < most &&
        !pm_http_head_length(piece.iov_base, piece.iov_len, 0))
        piece = (struct evbuffer_iovec){.iov_base = evbuffer_pullup(c->in, (ev_ssize_t)most), .iov_len = most};
    const char *text = piece.iov_base;
    most = piece.iov_len < most ? piece.iov_len : most;
    size_t len = pm_http_head_length(text, most, c->scanned);
    c->scanned = most;
    if (!len) {
        /* A head has one deadline, however slowly its bytes drip; a body must only make progress. */
        if (c->state == PM_CONN_IDLE)
            pm_timer_set(&c->timer, c->server->limits.read_ms);
        c->state = PM_CONN_HEAD;
        c->x.head = (struct pm_http_head){.path = "", .query = ""};
        if (most == c->server->limits.head)
            refuse(c, 431, "the request's headers are larger than the limit");
        return;
    }
    c->scanned = 0;
    free(c->head_text);
    c->head_text = pm_calloc(len + 1, 1);
    evbuffer_remove(c->in, c->head_text, len);
    const char *why = "";
    int status = pm_http_parse_head(c->head_text, len, &c->x.head, &why);
    bool body = c->x.head.chunked || c->x.head.length;
    if (!status && body && c->server->events->head)
        status = c->server->events->head(c->server->arg, &c->x, &why);
    if (status)
        refuse(c, status, why);
    else
        start_reading_body(c);
}

/* True when the body is whole. */
static bool read_body(struct pm_conn *c)
{
    const struct pm_http_head *h = &c->x.head;
    while (h->chunked) {
        struct evbuffer_iovec piece;
        size_t used;
        if (evbuffer_peek(c->in, -1, NULL, &piece, 1) < 1 || !piece.iov_len)
            return false;
        int rc = pm_chunked_feed(&c->chunked, piece.iov_base, piece.iov_len, &used, &c->x.body);
        evbuffer_drain(c->in, used);
        if (rc < 0) {
            refuse(c, -rc, rc == -413 ? "the request body is larger than the limit" : "a malformed chunked body");
            return false;
        }
        if (rc == 1)
            return true;
    }
    while (c->x.body.len < h->length) {
        struct evbuffer_iovec piece;
        if (evbuffer_peek(c->in, -1, NULL, &piece, 1) < 1 || !piece.iov_len)
            return false;
        size_t want = (size_t)h->length - c->x.body.len;
        size_t n = piece.iov_len < want ? piece.iov_len : want;
        if (pm_buf_append(&c->x.body, piece.iov_base, n) < 0) {
            refuse(c, 413, "the request body is larger than the limit");
            return false;
        }
        evbuffer_drain(c->in, n);
    }
    return true;
}

static void process_input(struct pm_conn *c)
{
    if (c->state == PM_CONN_IDLE || c->state == PM_CONN_HEAD)
        read_head(c);
    if (c->state == PM_CONN_BODY && read_body(c)) {
        c->state = PM_CONN_REPLYING;
        pm_timer_clear(&c->timer);
        c->server->events->request(c->server->arg, &c->x);
    }
    if (c->state == PM_CONN_BODY)
        pm_timer_set(&c->timer, c->server->limits.read_ms);
}

/* What follows the request under way is held up to one piece; beyond, only a hang-up is watched. */
static void hold_input(struct pm_conn *c)
{
    if (c->state == PM_CONN_REPLYING && evbuffer_get_length(c->in) >= READ_PIECE) {
        event_del(c->readable);
        event_add(c->hangup, NULL);
    }
}

static void discard_input(struct pm_conn *c)
{
    size_t n = evbuffer_get_length(c->in);
    c->lingered += n;
    evbuffer_drain(c->in, n);
    if (c->lingered > 2 * c->server->limits.body)
        pm_conn_close(c);
}

/* evbuffer_read() takes 4 KiB a call, too little for agents' bodies. */
static ssize_t read_piece(struct evbuffer *in, int fd)
{
    struct evbuffer_iovec space;
    if (evbuffer_reserve_space(in, READ_PIECE, &space, 1) < 1)
        abort();
    ssize_t n = read(fd, space.iov_base, space.iov_len);
    if (n > 0) {
        space.iov_len = (size_t)n;
        evbuffer_commit_space(in, &space, 1);
    }
    return n;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct pm_conn *c = arg;
    (void)what;
    ssize_t n = read_piece(c->in, fd);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        pm_conn_close(c);
        return;
    }
    if (c->state == PM_CONN_LINGER || c->unread)
        discard_input(c);
    else if (c->state != PM_CONN_REPLYING)
        process_input(c);
    if (c->state != PM_CONN_CLOSED)
        hold_input(c);
}

static void on_hangup(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    pm_conn_close(arg);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct pm_conn *c = arg;
    (void)fd;
    (void)what;
    pm_conn_flush(c);
}

static void on_timer(void *arg)
{
    struct pm_conn *c = arg;
    if (c->state == PM_CONN_HEAD || c->state == PM_CONN_BODY)
        refuse(c, 408, "the request did not arrive in time");
    else
        pm_conn_close(c);
}

/* Run on the loop's top, not inside the reply that ended: a pipeline of requests must not recurse. */
static void next_exchange(void *arg)
{
    struct pm_conn *c = arg;
    if (c->state != PM_CONN_IDLE)
        return;
    event_del(c->hangup);
    event_add(c->readable, NULL);
    process_input(c);
}

void pm_conn_end_exchange(struct pm_conn *c)
{
    struct pm_http_server *s = c->server;
    pm_buf_release(&c->x.body);
    pm_buf_release(&c->x.headers);
    PM_FREE_AND_NULL(c->head_text);
    bool close_now = c->x.close_after;
    c->x = (struct pm_exchange){.conn = c};
    pm_buf_init(&c->x.body, s->limits.body);
    pm_buf_init(&c->x.headers, PM_BUF_OWN_LIMIT);
    c->skipped_blank = false;
    if (close_now) {
        c->state = PM_CONN_LINGER;
        pm_timer_set(&c->timer, LINGER_MS);
        if (!evbuffer_get_length(c->out))
            pm_conn_linger(c);
        return;
    }
    c->state = PM_CONN_IDLE;
    pm_timer_set(&c->timer, s->limits.keep_alive_ms);
    if (evbuffer_get_length(c->in) || !event_pending(c->readable, EV_READ, NULL))
        pm_loop_defer(s->loop, next_exchange, c);
}

/* Everything is sent: say so, and let the client read it before the socket goes (RFC 9112, 9.6). */
void pm_conn_linger(struct pm_conn *c)
{
    shutdown(c->fd, SHUT_WR);
    event_del(c->hangup);
    event_add(c->readable, NULL);
    discard_input(c);
}

static void accepted(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg)
{
    struct pm_http_server *s = arg;
    int one = 1;
    (void)listener;
    (void)addr;
    (void)len;
    if (s->n_conns >= s->limits.connections) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct pm_conn *c = pm_calloc(1, sizeof(*c));
    c->server = s;
    c->fd = fd;
    c->state = PM_CONN_IDLE;
    c->x.conn = c;
    pm_buf_init(&c->x.body, s->limits.body);
    pm_buf_init(&c->x.headers, PM_BUF_OWN_LIMIT);
    c->in = evbuffer_new();
    c->out = evbuffer_new();
    c->readable = event_new(pm_loop_base(s->loop), fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(pm_loop_base(s->loop), fd, EV_WRITE | EV_PERSIST, on_writable, c);
    c->hangup = event_new(pm_loop_base(s->loop), fd, EV_CLOSED | EV_PERSIST, on_hangup, c);
    if (!c->in || !c->out || !c->readable || !c->writable || !c->hangup)
        abort();
    pm_timer_init(&c->timer, s->loop, on_timer, c);
    pm_timer_set(&c->timer, s->limits.keep_alive_ms);
    event_add(c->readable, NULL);
    c->next = s->conns;
    if (c->next)
        c->next->prev = c;
    s->conns = c;
    s->n_conns++;
}

static void accept_again(void *arg)
{
    struct pm_http_server *s = arg;
    for (size_t i = 0; i < s->n_listeners; i++)
        evconnlistener_enable(s->listeners[i]);
}

/* Out of descriptors, say: the socket stays readable, so without a pause this would be all that is done. */
static void accept_failed(struct evconnlistener *listener, void *arg)
{
    struct pm_http_server *s = arg;
    pm_log(PM_LOG_WARN, "a connection cannot be accepted: %s", strerror(errno));
    evconnlistener_disable(listener);
    pm_timer_set(&s->accept_again, ACCEPT_PAUSE_MS);
}

struct pm_http_server *pm_http_server_new(struct pm_loop *loop, const struct pm_http_limits *limits,
                                          const struct pm_http_server_events *events, void *arg)
{
    struct pm_http_server *s = pm_calloc(1, sizeof(*s));
    s->loop = loop;
    s->limits = *limits;
    s->events = events;
    s->arg = arg;
    pm_timer_init(&s->accept_again, loop, accept_again, s);
    return s;
}

void pm_http_server_listen(struct pm_http_server *s, int fd)
{
    evutil_make_socket_nonblocking(fd);
    s->listeners = pm_realloc(s->listeners, s->n_listeners + 1, sizeof(*s->listeners));
    /* The socket listens already (the manager opened it): backlog 0 tells libevent so. */
    struct evconnlistener *l = evconnlistener_new(pm_loop_base(s->loop), accepted, s, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!l)
        abort();
    evconnlistener_set_error_cb(l, accept_failed);
    s->listeners[s->n_listeners++] = l;
}

static void stop_listening(struct pm_http_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        evconnlistener_free(s->listeners[i]);
    s->n_listeners = 0;
}

void pm_http_server_free(struct pm_http_server *s)
{
    if (!s)
        return;
    stop_listening(s);
    s->draining = false;
    while (s->conns)
        pm_conn_close(s->conns);
    free(s->listeners);
    pm_timer_release(&s->accept_again);
    pm_loop_defer(s->loop, free, s);
}

void pm_http_server_drain(struct pm_http_server *s, bool now)
{
    stop_listening(s);
    s->draining = true;
    if (!s->n_conns) {
        s->events->drained(s->arg);
        return;
    }
    for (struct pm_conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (now && c->state == PM_CONN_IDLE)
            pm_conn_close(c);
    }
}
