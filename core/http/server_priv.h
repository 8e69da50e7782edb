/* What server.c and reply.c share: the connection and its exchange. */
#ifndef PM_HTTP_SERVER_PRIV_H
#define PM_HTTP_SERVER_PRIV_H

#include <event2/buffer.h>
#include <event2/event.h>

#include "core/http/server.h"

struct evconnlistener;

/*  IDLE -> HEAD -> BODY -> REPLYING -> IDLE ... -> LINGER -> CLOSED
 *    \_______\______\_________\_______________________________^
 */
enum pm_conn_state { PM_CONN_IDLE, PM_CONN_HEAD, PM_CONN_BODY, PM_CONN_REPLYING, PM_CONN_LINGER, PM_CONN_CLOSED };

struct pm_exchange {
    struct pm_conn *conn;
    struct pm_http_head head;
    struct pm_buf body;
    uint64_t start_us;
    const struct pm_exchange_events *events;
    void *arg;
    struct pm_buf headers; /* of the reply, as they will be sent */
    bool close_after, chunked, full;
};

struct pm_conn {
    struct pm_http_server *server;
    struct pm_conn *next, *prev;
    int fd;
    enum pm_conn_state state;
    struct evbuffer *in, *out;
    struct event *readable, *writable, *hangup;
    struct pm_timer timer;
    size_t scanned; /* bytes of `in` known to hold no end of a head */
    struct pm_chunked chunked;
    char *head_text; /* what x.head points into */
    struct pm_exchange x;
    bool skipped_blank; /* the empty line that may come before a request line */
    bool unread;        /* the rest of a refused request will be thrown away */
    size_t lingered;    /* how much of it was */
};

struct pm_http_server {
    struct pm_loop *loop;
    struct pm_http_limits limits;
    const struct pm_http_server_events *events;
    void *arg;
    struct evconnlistener **listeners;
    size_t n_listeners;
    struct pm_conn *conns;
    unsigned n_conns;
    bool draining;
    struct pm_timer accept_again;
    char date[40]; /* of the reply header, made anew each second */
    int64_t date_s;
};

/* Sends what the socket takes now, and the rest when it can. */
void pm_conn_flush(struct pm_conn *c);
void pm_conn_close(struct pm_conn *c);
void pm_conn_end_exchange(struct pm_conn *c);
void pm_conn_linger(struct pm_conn *c);

#endif
