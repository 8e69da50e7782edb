/* Load generator of the benchmark: sends one request body over and over, and measures.
 *
 *   load requests   C keep-alive connections, each with one request in flight, R requests in all
 *   load streams    S streams at once, each event's delay told by the sending time it carries
 *
 * Prints one JSON object. Exit status: 0 all requests were answered in full, 1 some were not,
 * 2 wrong usage, 3 the time limit was reached. One thread, one loop, and no work between read()
 * and the clock.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <getopt.h>
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

#define LINE_MAX_LEN 8192
#define SAMPLE_LEN 240
#define MAX_ERRORS 1000u /* then the rest of the run would tell nothing new */

enum phase { HEAD, BODY, BODY_TO_EOF, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, COMPLETE };

/* Measured microseconds, kept whole: percentiles are exact. */
struct samples {
    double *us;
    size_t count, capacity;
};

struct client {
    struct load *load;
    int fd; /* -1 when not connected */
    struct event readable, writable;
    uint64_t sent_at;
    size_t written; /* bytes of the request */
    bool in_flight;
    bool measured; /* not a warm-up request */
    bool keep;     /* the server keeps the connection */
    enum phase phase;
    uint64_t left;           /* of the body or the chunk */
    char text[LINE_MAX_LEN]; /* head, or the line of a chunk size */
    size_t text_len;
    char line[LINE_MAX_LEN]; /* event line under way, of a stream */
    size_t line_len;
    uint64_t events;
    bool done_seen; /* data: [DONE] */
    int status;
};

struct load {
    struct event_base *base;
    struct sockaddr_in addr;
    char *request;
    size_t request_len;
    struct client *clients;
    unsigned connections;
    uint64_t total, warmup, issued, finished;
    uint64_t first_ns, last_ns; /* of the measured requests */
    uint64_t errors, reconnects;
    char sample[SAMPLE_LEN]; /* the first error, in words */
    struct samples latency, overhead;
    /* streams */
    bool streams, hold;
    unsigned opened, touched; /* touched: had an event, or failed */
    uint64_t ramp_ms, skip, expect_events, events;
    uint64_t started_ns;
    struct event tick, stdin_event, limit;
    bool stopped, timed_out;
};

static void client_start(struct client *c);

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void samples_add(struct samples *s, double us)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 4096;
        s->us = realloc(s->us, s->capacity * sizeof *s->us);
        if (!s->us)
            die("out of memory");
    }
    s->us[s->count++] = us;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double percentile(const struct samples *s, double p)
{
    size_t at = (size_t)(p * (double)(s->count - 1) + 0.5);

    return s->count ? s->us[at] : 0;
}

static void print_samples(const char *name, struct samples *s)
{
    double sum = 0;

    if (s->count)
        qsort(s->us, s->count, sizeof *s->us, by_value);
    for (size_t i = 0; i < s->count; i++)
        sum += s->us[i];
    printf(",\"%s\":{\"count\":%zu,\"min\":%.1f,\"mean\":%.1f,\"p50\":%.1f,\"p90\":%.1f,"
           "\"p99\":%.1f,\"max\":%.1f}",
           name, s->count, percentile(s, 0), s->count ? sum / (double)s->count : 0,
           percentile(s, 0.5), percentile(s, 0.9), percentile(s, 0.99), percentile(s, 1));
}

/* ---- one request's end ---- */

static void client_close(struct client *c)
{
    if (c->fd < 0)
        return;
    event_del(&c->readable);
    event_del(&c->writable);
    close(c->fd);
    c->fd = -1;
}

static void stop(struct load *l)
{
    l->stopped = true;
    event_base_loopbreak(l->base);
}

static void announce_hold(struct load *l)
{
    if (!l->hold || l->touched < l->connections)
        return;
    printf("{\"held\":%u,\"errors\":%llu}\n", l->connections, (unsigned long long)l->errors);
    fflush(stdout);
    event_add(&l->stdin_event, NULL);
}

static void touch(struct client *c)
{
    c->load->touched++;
    announce_hold(c->load);
}

/* What happens after a request, well or badly ended. */
static void client_next(struct client *c)
{
    struct load *l = c->load;

    c->in_flight = false;
    l->finished++;
    if ((l->finished == l->total && !l->hold) || l->errors >= MAX_ERRORS) {
        stop(l);
        return;
    }
    if (l->streams) {
        client_close(c);
        return;
    }
    if (!c->keep)
        client_close(c);
    if (l->issued < l->total)
        client_start(c);
}

static void client_fail(struct client *c, const char *what, const char *detail, size_t len)
{
    struct load *l = c->load;
    bool untouched = l->streams && c->events == 0;

    if (!l->errors)
        snprintf(l->sample, sizeof l->sample, "%s%s%.*s", what, len ? ": " : "", (int)len, detail);
    l->errors++;
    client_close(c);
    c->keep = true; /* nothing is left to close */
    if (untouched)
        touch(c);
    client_next(c);
}

static void client_succeed(struct client *c, uint64_t at)
{
    struct load *l = c->load;

    if (l->streams && (!c->done_seen || !c->events || c->events < l->expect_events)) {
        client_fail(c, "stream ended early", NULL, 0);
        return;
    }
    if (c->measured && !l->streams)
        samples_add(&l->latency, (double)(at - c->sent_at) / 1000);
    l->last_ns = at;
    client_next(c);
}

/* ---- reading ---- */

static void read_event_line(struct client *c, const char *line, size_t len, uint64_t at)
{
    struct load *l = c->load;
    const char *mark;
    uint64_t sent;

    if (len < 6 || memcmp(line, "data: ", 6) != 0)
        return;
    if (memmem(line, len, "[DONE]", 6)) {
        c->done_seen = true;
        return;
    }
    mark = memmem(line, len, "\"t=", 3);
    if (!mark)
        return;
    sent = strtoull(mark + 3, NULL, 10);
    if (c->events++ == 0)
        touch(c);
    if (c->events > l->skip) {
        samples_add(&l->latency, ((double)at - (double)sent) / 1000);
        l->events++;
    }
}

/* Cuts a stream's payload into lines. A line too long to hold is cut: none of ours is. */
static void read_payload(struct client *c, const char *p, size_t n, uint64_t at)
{
    while (c->load->streams && n > 0) {
        const char *eol = memchr(p, '\n', n);
        size_t part = eol ? (size_t)(eol - p) : n;
        size_t room = sizeof c->line - 1 - c->line_len;
        size_t take = part < room ? part : room;

        memcpy(c->line + c->line_len, p, take);
        c->line_len += take;
        c->line[c->line_len] = '\0';
        if (!eol)
            return;
        read_event_line(c, c->line, c->line_len, at);
        c->line_len = 0;
        p += part + 1;
        n -= part + 1;
    }
}

static bool head_value(const char *head, const char *name, const char **value)
{
    const char *at = strcasestr(head, name);

    if (!at)
        return false;
    *value = at + strlen(name);
    while (**value == ' ')
        (*value)++;
    return true;
}

/* Reads the complete head in `text`, and sets what the body is delimited by. */
static void read_head(struct client *c)
{
    const char *value;

    c->status = c->text_len > 12 ? (int)strtol(c->text + 9, NULL, 10) : 0;
    c->keep =
        !head_value(c->text, "\r\nconnection:", &value) || strncasecmp(value, "close", 5) != 0;
    if (c->measured && head_value(c->text, "\r\nx-pointsman-overhead-us:", &value))
        samples_add(&c->load->overhead, strtod(value, NULL));
    if (head_value(c->text, "\r\ntransfer-encoding:", &value)) {
        c->phase = CHUNK_SIZE;
    } else if (head_value(c->text, "\r\ncontent-length:", &value)) {
        c->left = strtoull(value, NULL, 10);
        c->phase = c->left ? BODY : COMPLETE;
    } else {
        c->keep = false;
        c->phase = BODY_TO_EOF;
    }
    c->text_len = 0;
}

/* Collects text up to a line's end. Returns the bytes used; `complete`: the end was among them. */
static size_t collect(struct client *c, const char *p, size_t n, bool *complete)
{
    const char *eol = memchr(p, '\n', n);
    size_t part = eol ? (size_t)(eol + 1 - p) : n;

    *complete = eol != NULL;
    if (part > sizeof c->text - 1 - c->text_len) {
        c->text_len = 0;
        c->text[0] = '\0';
        return part;
    }
    memcpy(c->text + c->text_len, p, part);
    c->text_len += part;
    c->text[c->text_len] = '\0';
    return part;
}

static size_t read_head_part(struct client *c, const char *p, size_t n)
{
    bool complete;
    size_t used = collect(c, p, n, &complete);

    if (!complete || c->text_len < 4 || memcmp(c->text + c->text_len - 4, "\r\n\r\n", 4) != 0)
        return used;
    if (strncmp(c->text + 9, "100", 3) == 0)
        c->text_len = 0;
    else
        read_head(c);
    return used;
}

static size_t read_line_part(struct client *c, const char *p, size_t n)
{
    bool complete;
    size_t used = collect(c, p, n, &complete);

    if (!complete)
        return used;
    if (c->phase == CHUNK_SIZE) {
        c->left = strtoull(c->text, NULL, 16);
        c->phase = c->left ? CHUNK_DATA : TRAILER;
    } else if (c->phase == CHUNK_END) {
        c->phase = CHUNK_SIZE;
    } else if (c->text_len <= 2) {
        c->phase = COMPLETE;
    }
    c->text_len = 0;
    return used;
}

static size_t read_body_part(struct client *c, const char *p, size_t n, uint64_t at)
{
    size_t part = c->phase != BODY_TO_EOF && n > c->left ? (size_t)c->left : n;

    if (c->status == 200)
        read_payload(c, p, part, at);
    if (c->phase == BODY_TO_EOF)
        return part;
    c->left -= part;
    if (!c->left)
        c->phase = c->phase == BODY ? COMPLETE : CHUNK_END;
    return part;
}

static void client_read(struct client *c, const char *p, size_t n, uint64_t at)
{
    const char *end = p + n;

    while (p < end && c->phase != COMPLETE) {
        size_t left = (size_t)(end - p);
        bool was_head = c->phase == HEAD;

        if (was_head)
            p += read_head_part(c, p, left);
        else if (c->phase == BODY || c->phase == BODY_TO_EOF || c->phase == CHUNK_DATA)
            p += read_body_part(c, p, left, at);
        else
            p += read_line_part(c, p, left);
        if (was_head && c->phase != HEAD && c->status != 200) {
            char what[32];
            snprintf(what, sizeof what, "status %d", c->status);
            client_fail(c, what, p, (size_t)(end - p));
            return;
        }
    }
    if (c->phase == COMPLETE)
        client_succeed(c, at);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    static char buffer[256 << 10];
    struct client *c = arg;
    ssize_t n = read(fd, buffer, sizeof buffer);
    uint64_t at = now_ns();

    (void)what;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && c->in_flight) {
        client_read(c, buffer, (size_t)n, at);
    } else if (n == 0 && c->in_flight && c->phase == BODY_TO_EOF) {
        client_succeed(c, at);
    } else if (c->in_flight) {
        client_fail(c, n == 0 ? "closed before the end" : strerror(errno), NULL, 0);
    } else {
        client_close(c); /* an idle connection was closed: reopened when needed */
    }
}

/* ---- writing ---- */

static void client_write(struct client *c)
{
    const struct load *l = c->load;

    while (c->written < l->request_len) {
        ssize_t n = write(c->fd, l->request + c->written, l->request_len - c->written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
            event_add(&c->writable, NULL);
            return;
        }
        if (n < 0) {
            client_fail(c, "write", strerror(errno), strlen(strerror(errno)));
            return;
        }
        c->written += (size_t)n;
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    client_write(arg);
}

/* The wait for a connection on loopback is shorter than an event for it would be. */
static bool client_connect(struct client *c)
{
    struct load *l = c->load;
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return false;
    if (connect(c->fd, (struct sockaddr *)&l->addr, sizeof l->addr) != 0) {
        close(c->fd);
        c->fd = -1;
        return false;
    }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    event_assign(&c->readable, l->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->writable, l->base, c->fd, EV_WRITE, on_writable, c);
    event_add(&c->readable, NULL);
    return true;
}

static void client_start(struct client *c)
{
    struct load *l = c->load;

    c->measured = l->issued >= l->warmup;
    l->issued++;
    c->in_flight = true;
    c->phase = HEAD;
    c->text_len = c->line_len = c->written = 0;
    c->events = 0;
    c->done_seen = false;
    c->keep = true;
    if (c->fd < 0) {
        if (l->issued > l->connections)
            l->reconnects++;
        if (!client_connect(c)) {
            client_fail(c, "connect", strerror(errno), strlen(strerror(errno)));
            return;
        }
    }
    c->sent_at = now_ns();
    if (c->measured && !l->first_ns)
        l->first_ns = c->sent_at;
    client_write(c);
}

/* ---- opening, holding, ending ---- */

/* Streams open evenly over the ramp, so that their events do not come all at once ever after. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct load *l = arg;
    uint64_t elapsed_ms = (now_ns() - l->started_ns) / 1000000u;
    uint64_t due = l->connections;
    struct timeval tv = {.tv_sec = 0, .tv_usec = 1000};

    (void)fd;
    (void)what;
    if (elapsed_ms < l->ramp_ms)
        due = 1 + elapsed_ms * l->connections / l->ramp_ms;
    while (l->opened < due && l->opened < l->connections)
        client_start(&l->clients[l->opened++]);
    if (l->opened < l->connections)
        evtimer_add(&l->tick, &tv);
}

static void on_stdin(evutil_socket_t fd, short what, void *arg)
{
    struct load *l = arg;
    char waste[256];

    (void)what;
    if (read(fd, waste, sizeof waste) < 0 && errno == EINTR)
        return;
    stop(l);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    struct load *l = arg;

    (void)fd;
    (void)what;
    l->timed_out = true;
    stop(l);
}

static void print_result(struct load *l)
{
    uint64_t measured = l->total - l->warmup;
    double wall = l->last_ns > l->first_ns ? (double)(l->last_ns - l->first_ns) / 1e9 : 0;

    printf("{\"mode\":\"%s\",\"connections\":%u,\"count\":%llu,\"errors\":%llu,\"reconnects\":%llu,"
           "\"timed_out\":%s,\"wall_s\":%.6f,\"rps\":%.1f,\"events\":%llu",
           l->streams ? "streams" : "requests", l->connections, (unsigned long long)measured,
           (unsigned long long)l->errors, (unsigned long long)l->reconnects,
           l->timed_out ? "true" : "false", wall, wall > 0 ? (double)l->latency.count / wall : 0,
           (unsigned long long)l->events);
    print_samples(l->streams ? "delay_us" : "latency_us", &l->latency);
    if (l->overhead.count)
        print_samples("overhead_us", &l->overhead);
    printf(",\"sample\":\"");
    for (const char *p = l->sample; *p; p++) {
        if (*p == '"' || *p == '\\')
            printf("\\%c", *p);
        else
            putchar((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e ? ' ' : *p);
    }
    printf("\"}\n");
}

/* ---- options ---- */

static char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    char *data = NULL;
    size_t capacity = 0;

    *len = 0;
    if (!f)
        die(path);
    while (!feof(f) && !ferror(f)) {
        if (capacity - *len < 65536) {
            capacity = capacity ? 2 * capacity : 1 << 20;
            data = realloc(data, capacity);
            if (!data)
                die("out of memory");
        }
        *len += fread(data + *len, 1, capacity - *len, f);
    }
    if (ferror(f))
        die(path);
    fclose(f);
    return data;
}

static void make_request(struct load *l, const char *path, const char *body_file)
{
    size_t body_len = 0;
    char *body = body_file ? read_file(body_file, &body_len) : NULL;
    char head[1024];
    int n = snprintf(head, sizeof head,
                     "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: bench-load\r\n"
                     "Accept: */*\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                     body ? "POST" : "GET", path, ntohs(l->addr.sin_port), body_len);

    if (n < 0 || (size_t)n >= sizeof head)
        die("path too long");
    l->request_len = (size_t)n + body_len;
    l->request = malloc(l->request_len);
    if (!l->request)
        die("out of memory");
    memcpy(l->request, head, (size_t)n);
    if (body)
        memcpy(l->request + n, body, body_len);
    free(body);
}

static void usage(void)
{
    fputs("usage: load requests --port N [--body FILE] [--connections C] [--requests R]\n"
          "                     [--warmup W]\n"
          "       load streams  --port N --body FILE [--streams S] [--ramp-ms MS] [--skip K]\n"
          "                     [--expect-events K] [--hold]\n"
          "both:  [--path /v1/chat/completions] [--timeout-s 120]\n"
          "  --warmup W   the first W requests are made but not measured (more than --requests)\n"
          "  --skip K     the first K events of every stream are not measured\n"
          "  --hold       print {\"held\":S,...} when every stream had an event, then wait for a\n"
          "               line or the end of standard input before closing them\n",
          stderr);
    exit(2);
}

struct options {
    const char *path, *body;
    unsigned long port, timeout_s;
};

static void read_options(struct load *l, struct options *o, int argc, char **argv)
{
    static const struct option known[] = {
        {"port", 1, 0, 'p'},
        {"body", 1, 0, 'b'},
        {"connections", 1, 0, 'c'},
        {"requests", 1, 0, 'n'},
        {"warmup", 1, 0, 'w'},
        {"streams", 1, 0, 'c'},
        {"ramp-ms", 1, 0, 'r'},
        {"skip", 1, 0, 's'},
        {"expect-events", 1, 0, 'e'},
        {"hold", 0, 0, 'h'},
        {"path", 1, 0, 'P'},
        {"timeout-s", 1, 0, 't'},
        {0, 0, 0, 0},
    };
    int c;

    if (argc < 2 || (strcmp(argv[1], "requests") != 0 && strcmp(argv[1], "streams") != 0))
        usage();
    l->streams = strcmp(argv[1], "streams") == 0;
    while ((c = getopt_long(argc - 1, argv + 1, "", known, NULL)) != -1) {
        unsigned long n = optarg ? strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case 'p': o->port = n; break;
        case 'b': o->body = optarg; break;
        case 'c': l->connections = (unsigned)n; break;
        case 'n': l->total = n; break;
        case 'w': l->warmup = n; break;
        case 'r': l->ramp_ms = n; break;
        case 's': l->skip = n; break;
        case 'e': l->expect_events = n; break;
        case 'h': l->hold = l->streams; break;
        case 'P': o->path = optarg; break;
        case 't': o->timeout_s = n; break;
        default: usage();
        }
    }
    if (!o->port || o->port > 65535 || !l->connections || (l->streams && !o->body))
        usage();
    l->total = l->streams ? l->connections : l->total + l->warmup;
    l->warmup = l->streams ? 0 : l->warmup;
}

static void raise_file_limit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static void run(struct load *l, unsigned long timeout_s)
{
    struct timeval limit = {.tv_sec = (time_t)timeout_s};

    evtimer_assign(&l->tick, l->base, on_tick, l);
    evtimer_assign(&l->limit, l->base, on_limit, l);
    evtimer_add(&l->limit, &limit);
    if (l->hold)
        event_assign(&l->stdin_event, l->base, STDIN_FILENO, EV_READ, on_stdin, l);
    l->started_ns = now_ns();
    if (l->streams) {
        on_tick(-1, 0, l);
    } else {
        for (unsigned i = 0; i < l->connections && l->issued < l->total && !l->stopped; i++)
            client_start(&l->clients[i]);
    }
    if (!l->stopped)
        event_base_dispatch(l->base);
}

int main(int argc, char **argv)
{
    struct load l = {.connections = 1, .total = 1000};
    struct options o = {.path = "/v1/chat/completions", .timeout_s = 120};

    read_options(&l, &o, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    l.addr.sin_family = AF_INET;
    l.addr.sin_port = htons((uint16_t)o.port);
    l.addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    make_request(&l, o.path, o.body);
    l.base = event_base_new();
    l.clients = calloc(l.connections, sizeof *l.clients);
    if (!l.base || !l.clients)
        die("out of memory");
    for (unsigned i = 0; i < l.connections; i++) {
        l.clients[i].load = &l;
        l.clients[i].fd = -1;
    }
    run(&l, o.timeout_s);
    print_result(&l);
    for (unsigned i = 0; i < l.connections; i++)
        client_close(&l.clients[i]);
    free(l.clients);
    free(l.request);
    free(l.latency.us);
    free(l.overhead.us);
    event_base_free(l.base);
    return l.timed_out ? 3 : l.errors ? 1 : 0;
}
