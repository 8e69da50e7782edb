/* One connection to a Redis or Valkey on the loop, for what several gateways share. It comes back by itself; what is
 * asked while it is away, or is not answered in time, is answered with nothing.
 */
#ifndef PM_STORE_REDIS_H
#define PM_STORE_REDIS_H

#include <hiredis/hiredis.h>

#include "core/loop/loop.h"

struct pm_redis;
struct pm_redis_ask;

struct pm_redis_spec {
    const char *path; /* of a unix socket, or NULL */
    const char *host; /* else; an address, since a name is looked up while all else waits */
    int port, db;
    const char *password; /* NULL for none. This and all texts are borrowed */
    /* It has come, or gone; `why` is for people. */
    void (*changed)(void *arg, bool up, const char *why);
    void *arg;
};

struct pm_redis *pm_redis_new(struct pm_loop *loop, const struct pm_redis_spec *spec);
void pm_redis_free(struct pm_redis *r);

bool pm_redis_is_up(const struct pm_redis *r);

/* Sends a command of `argc` words. fn(arg, reply) is called exactly once, not before this returns, unless the ask is
 * cancelled: the reply is valid during the call, and NULL when there is none. NULL is returned, and fn never called,
 * when it is not up. `fn` may be NULL. */
struct pm_redis_ask *pm_redis_send(struct pm_redis *r, int argc, const char **argv, const size_t *lengths,
                                   void (*fn)(void *arg, const redisReply *reply), void *arg);

/* What was sent is on its way when this returns, where the connection takes it. */
void pm_redis_flush(struct pm_redis *r);

/* fn will not be called any more. */
void pm_redis_cancel(struct pm_redis_ask *ask);

#endif
