/* Writing replies. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/http/server_priv.h"

static void close_later(void *conn)
{
    pm_conn_close(conn);
}

void pm_conn_flush(struct pm_conn *c)
{
    if (c->state == PM_CONN_CLOSED)
        return;
    while (evbuffer_get_length(c->out)) {
        int n = evbuffer_write(c->out, c->fd);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            /* Not here: the owner of the exchange is in the middle of writing. */
            evbuffer_drain(c->out, evbuffer_get_length(c->out));
            event_del(c->writable);
            pm_loop_defer(c->server->loop, close_later, c);
            return;
        }
    }
    size_t left = evbuffer_get_length(c->out);
    if (!left) {
        event_del(c->writable);
        if (c->state == PM_CONN_LINGER) {
            pm_conn_linger(c);
            return;
        }
        if (c->state == PM_CONN_REPLYING)
            pm_timer_clear(&c->timer);
    } else {
        event_add(c->writable, NULL);
        /* The clock runs anew with each write that made progress. */
        if (c->state == PM_CONN_REPLYING || c->state == PM_CONN_LINGER)
            pm_timer_set(&c->timer, c->server->limits.write_ms);
    }
    if (c->x.full && left < c->server->limits.queued / 2) {
        c->x.full = false;
        if (c->x.events && c->x.events->writable)
            c->x.events->writable(c->x.arg);
    }
}

const struct pm_http_head *pm_exchange_head(const struct pm_exchange *x)
{
    return &x->head;
}

struct pm_buf *pm_exchange_body(struct pm_exchange *x)
{
    return &x->body;
}

uint64_t pm_exchange_start_us(const struct pm_exchange *x)
{
    return x->start_us;
}

void pm_exchange_watch(struct pm_exchange *x, const struct pm_exchange_events *events, void *arg)
{
    x->events = events;
    x->arg = arg;
}

void pm_reply_header(struct pm_exchange *x, const char *name, const char *value)
{
    pm_buf_addf(&x->headers, "%s: ", name);
    for (const char *p = value; *p; p++)
        if (((unsigned char)*p >= ' ' && *p != 0x7f) || *p == '\t')
            pm_buf_addn(&x->headers, p, 1);
    pm_buf_add(&x->headers, "\r\n");
}

/* RFC 9110, 5.6.7: always in English, whatever the locale. */
static const char *date(struct pm_http_server *s)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t now = pm_clock_wall_s();
    if (now != s->date_s) {
        struct tm tm;
        time_t t = (time_t)now;
        gmtime_r(&t, &tm);
        s->date_s = now;
        snprintf(s->date, sizeof(s->date), "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * tm.tm_wday,
                 tm.tm_mday % 100, months + 3 * tm.tm_mon, (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min,
                 tm.tm_sec);
    }
    return s->date;
}

static void begin(struct pm_exchange *x, int status, const char *type, bool has_length, size_t len)
{
    struct pm_conn *c = x->conn;
    struct evbuffer *out = c->out;
    x->chunked = !has_length && x->head.minor == 1;
    if (c->server->draining || !x->head.keep_alive || (!has_length && !x->chunked))
        x->close_after = true;
    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, pm_http_status_text(status), date(c->server));
    if (type)
        evbuffer_add_printf(out, "Content-Type: %s\r\n", type);
    evbuffer_add(out, x->headers.data, x->headers.len);
    if (has_length && status != 204)
        evbuffer_add_printf(out, "Content-Length: %zu\r\n", len);
    else if (x->chunked)
        evbuffer_add(out, "Transfer-Encoding: chunked\r\n", 28);
    if (x->close_after)
        evbuffer_add(out, "Connection: close\r\n", 19);
    else if (x->head.minor == 0)
        evbuffer_add(out, "Connection: keep-alive\r\n", 24);
    evbuffer_add(out, "\r\n", 2);
}

static bool has_no_body(const struct pm_exchange *x)
{
    return x->head.method == PM_HTTP_HEAD;
}

/* Ends the exchange unless the flush has found the client gone. */
static void finish(struct pm_exchange *x)
{
    struct pm_conn *c = x->conn;
    /* The reply is complete: its owner must not hear `gone` of a client that leaves while the rest is sent. */
    x->events = NULL;
    pm_conn_flush(c);
    if (c->state == PM_CONN_REPLYING)
        pm_conn_end_exchange(c);
}

void pm_reply(struct pm_exchange *x, int status, const char *type, const char *body, size_t len)
{
    begin(x, status, type, true, len);
    if (!has_no_body(x) && status != 204)
        evbuffer_add(x->conn->out, body, len);
    finish(x);
}

void pm_reply_begin(struct pm_exchange *x, int status, const char *type)
{
    begin(x, status, type, false, 0);
    pm_conn_flush(x->conn);
}

void pm_reply_send(struct pm_exchange *x, const char *data, size_t len)
{
    struct pm_conn *c = x->conn;
    if (!len || has_no_body(x) || c->state != PM_CONN_REPLYING)
        return;
    if (x->chunked)
        evbuffer_add_printf(c->out, "%zx\r\n", len);
    evbuffer_add(c->out, data, len);
    if (x->chunked)
        evbuffer_add(c->out, "\r\n", 2);
    if (evbuffer_get_length(c->out) >= c->server->limits.queued)
        x->full = true;
    pm_conn_flush(c);
}

void pm_reply_end(struct pm_exchange *x)
{
    if (x->chunked && !has_no_body(x))
        evbuffer_add(x->conn->out, "0\r\n\r\n", 5);
    finish(x);
}

void pm_reply_abort(struct pm_exchange *x)
{
    struct pm_conn *c = x->conn;
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    x->events = NULL;
    if (x->chunked) {
        /* A chunked body without its last chunk is incomplete for every reader, and what was sent arrives. */
        x->close_after = true;
        finish(x);
        return;
    }
    evbuffer_write(c->out, c->fd);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    pm_conn_close(c);
}

bool pm_reply_is_full(const struct pm_exchange *x)
{
    return x->full;
}
