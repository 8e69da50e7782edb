/* A model server that costs next to nothing: the upstream of the benchmark.
 *
 * POST /v1/chat/completions (with or without /v1) answers a small fixed chat completion, or, when
 * the body says "stream":true, a stream of chunks in server-sent events. What it does is told in
 * the body, because a gateway forwards fields that it does not know while it may drop headers:
 *
 *   "mock_events":K         chunks of a stream (default 4)
 *   "mock_gap_ms":N         pause between chunks, or before an answer in one piece (default 0)
 *   "model":"mock-slow-N"   the same as mock_gap_ms
 *
 * Every chunk's content is "t=NANOSECONDS ", the moment of its sending in CLOCK_MONOTONIC, from
 * which the receiver computes how long it was under way. The fields are looked for in the first and
 * last 4 KiB of a body only: searching 300 KB would take longer than the rest of the request.
 *
 * GET /v1/mock/served tells how many completions were asked for; /v1/models and /health answer too.
 *
 * It talks to clients that the benchmark chose, so its HTTP is no more than they need: HTTP/1.1,
 * bodies with Content-Length, keep-alive. Raw reads instead of bufferevents: 300 KB land in place.
 */

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_HEAD (64u << 10)
#define MAX_BODY (64u << 20)
#define KEEP_CAPACITY (1u << 20) /* a larger input buffer is given back after its request */
#define SEARCHED 4096u
#define DEFAULT_EVENTS 4u

/* What the current request asks for. */
struct wish {
    bool stream;
    uint64_t events;
    uint64_t gap_ms;
};

struct conn {
    struct conn *prev, *next;
    struct server *server;
    int fd;
    struct event readable, writable, timer;
    struct evbuffer *out;
    char *in;
    size_t len, capacity;
    size_t scanned;  /* how much of the head was searched for its end */
    size_t head_len; /* 0 until the head is complete */
    size_t body_len; /* of the current request */
    bool answering;  /* a timed answer is under way: the next request waits */
    bool last;       /* the current request is the connection's last */
    bool closing;    /* close when `out` is empty */
    struct wish wish;
    uint64_t sent;   /* chunks of the current stream */
    uint64_t due_ns; /* when the next one goes */
};

struct server {
    struct event_base *base;
    struct conn *conns;
    uint64_t served; /* chat completions asked for */
};

static const char COMPLETION[] =
    "{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion\",\"created\":1700000000,"
    "\"model\":\"mock\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
    "\"content\":\"A short and friendly answer.\"},\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":6,\"total_tokens\":26}}";

static const char MODELS[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\",\"created\":1700000000,"
    "\"owned_by\":\"mock\"}]}";

#define CHUNK_START                                                                                \
    "{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"       \
    "\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":"

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "mock: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void conn_free(struct conn *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        c->server->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    event_del(&c->readable);
    event_del(&c->writable);
    event_del(&c->timer);
    close(c->fd);
    evbuffer_free(c->out);
    free(c->in);
    free(c);
}

/* Sends what the socket takes. False when the connection is gone; the caller frees it. */
static bool conn_flush(struct conn *c)
{
    while (evbuffer_get_length(c->out) > 0) {
        int n = evbuffer_write(c->out, c->fd);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n <= 0) {
            event_add(&c->writable, NULL);
            return true;
        }
    }
    return !c->closing;
}

static void reply(struct conn *c, const char *status, const char *body, size_t len)
{
    evbuffer_add_printf(c->out,
                        "HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        status, len);
    evbuffer_add(c->out, body, len);
}

static void refuse(struct conn *c, const char *status)
{
    static const char text[] = "{\"error\":{\"message\":\"the mock does not take this request\"}}";

    reply(c, status, text, sizeof text - 1);
    c->closing = true;
}

static void add_chunk(struct conn *c, const char *data, int len)
{
    evbuffer_add_printf(c->out, "%x\r\n%.*s\r\n", (unsigned)len, len, data);
}

static void add_event(struct conn *c)
{
    char text[512];
    bool first = c->sent == 0;
    int n =
        snprintf(text, sizeof text,
                 "data: " CHUNK_START "{%s\"content\":\"t=%llu \"},\"finish_reason\":null}]}\n\n",
                 first ? "\"role\":\"assistant\"," : "", (unsigned long long)now_ns());

    add_chunk(c, text, n);
    c->sent++;
}

static void add_stream_end(struct conn *c)
{
    static const char text[] = "data: " CHUNK_START "{},\"finish_reason\":\"stop\"}]}\n\n"
                               "data: [DONE]\n\n";

    add_chunk(c, text, (int)sizeof text - 1);
    evbuffer_add(c->out, "0\r\n\r\n", 5);
}

static void wait_for_due(struct conn *c)
{
    uint64_t now = now_ns();
    uint64_t left_us = c->due_ns > now ? (c->due_ns - now) / 1000 : 0;
    struct timeval tv = {.tv_sec = (time_t)(left_us / 1000000),
                         .tv_usec = (suseconds_t)(left_us % 1000000)};

    evtimer_add(&c->timer, &tv);
}

static void end_answer(struct conn *c)
{
    c->answering = false;
    c->closing = c->last;
}

/* Goes on with the answer as far as it may now; `answering` tells whether something is left. */
static void advance(struct conn *c)
{
    const struct wish *w = &c->wish;

    c->answering = true;
    if (!w->stream) {
        if (now_ns() < c->due_ns) {
            wait_for_due(c);
            return;
        }
        reply(c, "200 OK", COMPLETION, sizeof COMPLETION - 1);
        end_answer(c);
        return;
    }
    while (c->sent < w->events) {
        if (w->gap_ms && now_ns() < c->due_ns) {
            wait_for_due(c);
            return;
        }
        add_event(c);
        /* Due times do not drift, so that streams which started apart stay apart. */
        c->due_ns += w->gap_ms * 1000000u;
    }
    add_stream_end(c);
    end_answer(c);
}

static void start_answer(struct conn *c)
{
    c->sent = 0;
    c->due_ns = now_ns();
    if (c->wish.stream)
        evbuffer_add_printf(c->out,
                            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                            "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
    else
        c->due_ns += c->wish.gap_ms * 1000000u;
    advance(c);
}

/* Finds `key` in the searched parts of the body; the text after it, or NULL. */
static const char *find(const char *body, size_t len, const char *key)
{
    size_t n = strlen(key);
    const char *at = memmem(body, len < SEARCHED ? len : SEARCHED, key, n);

    if (!at && len > SEARCHED) {
        size_t from = len > 2 * SEARCHED ? len - SEARCHED : SEARCHED - n;
        at = memmem(body + from, len - from, key, n);
    }
    return at ? at + n : NULL;
}

static uint64_t find_number(const char *body, size_t len, const char *key, uint64_t otherwise)
{
    const char *at = find(body, len, key);
    const char *end = body + len;
    uint64_t value = 0;

    while (at && at < end && (*at == ' ' || *at == ':'))
        at++;
    if (!at || at == end || *at < '0' || *at > '9')
        return otherwise;
    while (at < end && *at >= '0' && *at <= '9' && value < UINT32_MAX)
        value = value * 10 + (uint64_t)(*at++ - '0');
    return value;
}

static void read_wish(struct wish *w, const char *body, size_t len)
{
    w->stream = find(body, len, "\"stream\":true") || find(body, len, "\"stream\": true");
    w->events = find_number(body, len, "\"mock_events\"", DEFAULT_EVENTS);
    w->gap_ms = find_number(body, len, "\"mock-slow-", 0);
    w->gap_ms = find_number(body, len, "\"mock_gap_ms\"", w->gap_ms);
}

static bool path_is(const struct conn *c, const char *method, const char *path)
{
    size_t m = strlen(method), p = strlen(path);
    const char *at = c->in;

    if (c->head_len < m + p + 6 || memcmp(at, method, m) != 0)
        return false;
    at += m;
    if (memcmp(at, "/v1/", 4) == 0)
        at += 3;
    return memcmp(at, path, p) == 0 && (at[p] == ' ' || at[p] == '?');
}

static void answer(struct conn *c)
{
    const char *body = c->in + c->head_len;

    if (path_is(c, "POST ", "/chat/completions")) {
        c->server->served++;
        read_wish(&c->wish, body, c->body_len);
        start_answer(c);
    } else if (path_is(c, "GET ", "/models")) {
        reply(c, "200 OK", MODELS, sizeof MODELS - 1);
        end_answer(c);
    } else if (path_is(c, "GET ", "/mock/served")) {
        char text[64];
        int n =
            snprintf(text, sizeof text, "{\"served\":%llu}", (unsigned long long)c->server->served);
        reply(c, "200 OK", text, (size_t)n);
        end_answer(c);
    } else if (path_is(c, "GET ", "/health")) {
        reply(c, "200 OK", "{\"status\":\"ok\"}", 15);
        end_answer(c);
    } else {
        refuse(c, "404 Not Found");
    }
}

static bool header_is(const char *line, size_t len, const char *name, const char **value)
{
    size_t n = strlen(name);

    if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
        return false;
    *value = line + n + 1;
    while (**value == ' ')
        (*value)++;
    return true;
}

/* Reads what matters of a complete head. False when the request cannot be taken. */
static bool read_head(struct conn *c)
{
    const char *at = c->in, *end = c->in + c->head_len, *value;
    bool expects = false;

    c->body_len = 0;
    while (at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)(eol - at);
        if (header_is(at, len, "content-length", &value))
            c->body_len = strtoull(value, NULL, 10);
        else if (header_is(at, len, "transfer-encoding", &value))
            return false;
        else if (header_is(at, len, "connection", &value))
            c->last = strncasecmp(value, "close", 5) == 0;
        else if (header_is(at, len, "expect", &value))
            expects = true;
        at = eol + 1;
    }
    if (c->body_len > MAX_BODY)
        return false;
    if (expects && c->len < c->head_len + c->body_len)
        evbuffer_add_printf(c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    return true;
}

/* Drops the answered request from the input. */
static void forget_request(struct conn *c)
{
    size_t used = c->head_len + c->body_len;

    c->len -= used;
    memmove(c->in, c->in + used, c->len);
    c->scanned = c->head_len = c->body_len = 0;
    if (c->capacity > KEEP_CAPACITY && c->len == 0) {
        free(c->in);
        c->in = NULL;
        c->capacity = 0;
    }
}

/* True when a head is complete and taken; else more input is needed, or the connection closes. */
static bool have_head(struct conn *c)
{
    size_t from = c->scanned > 3 ? c->scanned - 3 : 0;
    const char *end;

    if (c->head_len)
        return true;
    if (!c->len)
        return false;
    end = memmem(c->in + from, c->len - from, "\r\n\r\n", 4);
    c->scanned = c->len;
    if (!end) {
        if (c->len > MAX_HEAD)
            refuse(c, "431 Request Header Fields Too Large");
        return false;
    }
    c->head_len = (size_t)(end + 4 - c->in);
    if (!read_head(c)) {
        refuse(c, "400 Bad Request");
        return false;
    }
    return true;
}

/* Answers the requests that are complete, then sends. May free `c`. */
static void conn_serve(struct conn *c)
{
    while (!c->answering && !c->closing && have_head(c) && c->len >= c->head_len + c->body_len) {
        answer(c);
        forget_request(c);
    }
    if (!conn_flush(c))
        conn_free(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    (void)fd;
    (void)what;
    advance(c);
    conn_serve(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    (void)fd;
    (void)what;
    if (!conn_flush(c))
        conn_free(c);
}

static bool make_room(struct conn *c)
{
    size_t need = c->head_len ? c->head_len + c->body_len : c->len + 1;
    size_t capacity = c->capacity ? c->capacity : 4096;
    char *grown;

    if (need <= c->len)
        need = c->len + 1;
    while (capacity < need)
        capacity *= 2;
    if (capacity == c->capacity)
        return true;
    if (capacity > 2 * (size_t)MAX_BODY)
        return false;
    grown = realloc(c->in, capacity);
    if (!grown)
        return false;
    c->in = grown;
    c->capacity = capacity;
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    ssize_t n;

    (void)what;
    if (!make_room(c)) {
        conn_free(c);
        return;
    }
    n = read(fd, c->in + c->len, c->capacity - c->len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_free(c);
        return;
    }
    c->len += (size_t)n;
    conn_serve(c);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
                      int len, void *arg)
{
    struct server *s = arg;
    struct conn *c = calloc(1, sizeof *c);
    int one = 1;

    (void)listener;
    (void)addr;
    (void)len;
    if (!c || !(c->out = evbuffer_new())) {
        free(c);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->server = s;
    c->fd = fd;
    c->next = s->conns;
    if (c->next)
        c->next->prev = c;
    s->conns = c;
    event_assign(&c->readable, s->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->writable, s->base, fd, EV_WRITE, on_writable, c);
    evtimer_assign(&c->timer, s->base, on_timer, c);
    event_add(&c->readable, NULL);
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    (void)listener;
    (void)arg;
    die("accept");
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(arg);
}

/* The harness holds the other end of stdin: when it is gone, so is the need for this process. */
static void on_stdin(evutil_socket_t fd, short what, void *arg)
{
    char waste[256];

    (void)what;
    if (read(fd, waste, sizeof waste) <= 0)
        event_base_loopbreak(arg);
}

static void raise_file_limit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static struct evconnlistener *listen_on(struct server *s, uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof addr;
    struct evconnlistener *l;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    l = evconnlistener_new_bind(s->base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE,
                                4096, (struct sockaddr *)&addr, sizeof addr);
    if (!l || getsockname(evconnlistener_get_fd(l), (struct sockaddr *)&addr, &len) != 0)
        die("listen");
    evconnlistener_set_error_cb(l, on_accept_error);
    printf("mock: listening on http://127.0.0.1:%u\n", ntohs(addr.sin_port));
    fflush(stdout);
    return l;
}

int main(int argc, char **argv)
{
    struct server s = {0};
    struct evconnlistener *listener;
    struct event *term, *intr, *eof = NULL;
    unsigned long port = 0;
    bool until_eof = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--port") == 0 && i + 1 < argc) {
            port = strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--until-eof") == 0) {
            until_eof = true;
        } else {
            fprintf(stderr, "usage: mock [--port N] [--until-eof]\n"
                            "  --until-eof   leave when standard input ends\n");
            return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    s.base = event_base_new();
    if (!s.base)
        die("event_base_new");
    listener = listen_on(&s, (uint16_t)port);
    term = evsignal_new(s.base, SIGTERM, on_signal, s.base);
    intr = evsignal_new(s.base, SIGINT, on_signal, s.base);
    evsignal_add(term, NULL);
    evsignal_add(intr, NULL);
    if (until_eof) {
        eof = event_new(s.base, STDIN_FILENO, EV_READ | EV_PERSIST, on_stdin, s.base);
        /* A file or /dev/null cannot be watched, and has no harness behind it. */
        if (event_add(eof, NULL) != 0)
            fprintf(stderr, "mock: standard input cannot be watched\n");
    }
    event_base_dispatch(s.base);
    while (s.conns)
        conn_free(s.conns);
    if (eof)
        event_free(eof);
    event_free(term);
    event_free(intr);
    evconnlistener_free(listener);
    event_base_free(s.base);
    return 0;
}
