/* The HTTP front: connections, one exchange at a time on each, in order.
 *
 * The whole request is read (within limits) before the owner hears of it; the reply is sent whole or as a
 * stream. Reading goes on while a reply is under way, so that a client that leaves is noticed at once.
 */
#ifndef PM_HTTP_SERVER_H
#define PM_HTTP_SERVER_H

#include "core/http/parse.h"
#include "core/loop/loop.h"

struct pm_http_server;
struct pm_exchange; /* one request and its reply */

struct pm_http_limits {
    size_t head;            /* bytes of a request's head */
    size_t body;            /* bytes of a request's body */
    size_t queued;          /* bytes of a reply that wait for a slow reader before its producer is paused */
    uint64_t keep_alive_ms; /* an idle connection stays this long */
    uint64_t read_ms;       /* a request that has begun must make progress within this */
    uint64_t write_ms;      /* so must a client that reads a reply */
    unsigned connections;   /* at most; more are closed at once */
};

struct pm_http_server_events {
    /* A whole request. The owner replies now or later, exactly once. */
    void (*request)(void *arg, struct pm_exchange *x);
    /* A head whose body is still to come: 0 to read it, else the status to refuse it with. May be NULL. */
    int (*head)(void *arg, struct pm_exchange *x, const char **why);
    /* A request that cannot be read: the owner writes a reply with this status; the connection closes after it.
     * The head may lack anything but is never NULL. */
    void (*refused)(void *arg, struct pm_exchange *x, int status, const char *why);
    /* After pm_http_server_drain: the last connection has gone. */
    void (*drained)(void *arg);
};

struct pm_exchange_events {
    /* The client has left before its reply was complete; the exchange must not be used any more. */
    void (*gone)(void *arg);
    /* The queue of a streamed reply is below its limit again. */
    void (*writable)(void *arg);
};

struct pm_http_server *pm_http_server_new(struct pm_loop *loop, const struct pm_http_limits *limits,
                                          const struct pm_http_server_events *events, void *arg);
void pm_http_server_free(struct pm_http_server *s);

/* Accepts on a listening socket, which stays the caller's. */
void pm_http_server_listen(struct pm_http_server *s, int fd);

/* Stops accepting; replies under way are finished. Idle connections are closed at once when `now`, else each is
 * served once more or closed when its keep-alive time has passed, so that no request is lost. */
void pm_http_server_drain(struct pm_http_server *s, bool now);

/* The request. All is valid until the reply is complete or the client has gone. */
const struct pm_http_head *pm_exchange_head(const struct pm_exchange *x);
struct pm_buf *pm_exchange_body(struct pm_exchange *x);
uint64_t pm_exchange_start_us(const struct pm_exchange *x); /* when its first byte was seen */

/* Who hears of the client's leaving from now on. */
void pm_exchange_watch(struct pm_exchange *x, const struct pm_exchange_events *events, void *arg);

/* Adds a reply header, before the reply is begun. What cannot stand in a header value is left out of it. */
void pm_reply_header(struct pm_exchange *x, const char *name, const char *value);

/* A whole reply; the exchange is over. */
void pm_reply(struct pm_exchange *x, int status, const char *type, const char *body, size_t len);

/* A streamed reply: head, any number of pieces, end. Over after pm_reply_end or pm_reply_abort. */
void pm_reply_begin(struct pm_exchange *x, int status, const char *type);
void pm_reply_send(struct pm_exchange *x, const char *data, size_t len);
void pm_reply_end(struct pm_exchange *x);

/* Ends in a way that no client takes for a complete reply: the last chunk is missing, or the connection is reset. */
void pm_reply_abort(struct pm_exchange *x);

/* Should the producer wait for `writable`? */
bool pm_reply_is_full(const struct pm_exchange *x);

#endif
