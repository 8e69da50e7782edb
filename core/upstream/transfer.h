/* HTTP requests to model servers: libcurl's multi interface on the loop.
 *
 * One transfer is one request and its reply, streamed to its owner, who can pause and cancel it. Connections are kept
 * and reused. Nothing is retried here but what libcurl does itself on a kept connection that turns out dead.
 */
#ifndef PM_UPSTREAM_TRANSFER_H
#define PM_UPSTREAM_TRANSFER_H

#include "core/base/text.h"
#include "core/loop/loop.h"

struct pm_upstream;
struct pm_transfer;

struct pm_transfer_spec {
    const char *method; /* GET, POST or DELETE */
    const char *url;
    const char *unix_socket;       /* the url's host is then only a name */
    const char *ca_file;           /* NULL: the system's */
    const struct pm_strv *headers; /* whole lines */
    const char *body;              /* borrowed until `done`; NULL for none */
    size_t len;
    uint64_t connect_ms; /* TCP, unix and TLS together */
};

enum pm_transfer_end {
    PM_TRANSFER_OK,
    PM_TRANSFER_NO_CONNECTION, /* refused, unreachable, no such name, TLS refused: nothing was sent */
    PM_TRANSFER_CUT,           /* the connection broke before the reply was complete */
    PM_TRANSFER_FAULT          /* anything else */
};

struct pm_transfer_result {
    enum pm_transfer_end end;
    const char *text; /* for people; "" when OK */
    bool timed_out;   /* while connecting */
};

struct pm_transfer_events {
    /* Status and headers are there; look at them with pm_transfer_header. */
    void (*head)(void *arg, struct pm_transfer *t, int status);
    /* Body bytes. False: enough for now, until pm_transfer_resume. */
    bool (*data)(void *arg, const char *data, size_t len);
    /* The end; the transfer frees itself after this call. */
    void (*done)(void *arg, const struct pm_transfer_result *result);
};

struct pm_upstream *pm_upstream_new(struct pm_loop *loop);
void pm_upstream_free(struct pm_upstream *up);

/* Starts on the next turn. The texts of `spec` are copied, its body is not. */
struct pm_transfer *pm_transfer_start(struct pm_upstream *up, const struct pm_transfer_spec *spec,
                                      const struct pm_transfer_events *events, void *arg);

/* Has the whole request body, of `len` bytes, gone out? Its owner may then free it. */
bool pm_transfer_has_sent(const struct pm_transfer *t, size_t len);

void pm_transfer_resume(struct pm_transfer *t);

/* Ends it; its connection is closed, so that the server stops working for it. No event is called any more. May be
 * called from an event. */
void pm_transfer_cancel(struct pm_transfer *t);

/* Value of a reply header (any case) or NULL; the text is valid until the next call for this transfer. */
const char *pm_transfer_header(struct pm_transfer *t, const char *name);

/* All reply header lines, each ended by CR LF. */
const char *pm_transfer_headers(const struct pm_transfer *t);

#endif
