#include "core/store/redis.h"

#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/adapters/libevent.h>

#include "core/base/alloc.h"

enum { ANSWER_MS = 100, RECONNECT_MS = 1000, CONNECT_MS = 1000 };

struct pm_redis {
    struct pm_loop *loop;
    struct pm_redis_spec spec;
    redisAsyncContext *context;
    bool up, ending, told_down;
    struct pm_timer reconnect, connecting;
};

struct pm_redis_ask {
    struct pm_redis *redis;
    void (*fn)(void *arg, const redisReply *reply);
    void *arg;
    struct pm_timer deadline;
};

/* --- the connection --- */

static void set_up(struct pm_redis *r, bool up, const char *why)
{
    if (r->up == up && (up || r->told_down))
        return;
    r->up = up;
    r->told_down = !up;
    if (!r->ending && r->spec.changed)
        r->spec.changed(r->spec.arg, up, why);
}

static void lost(struct pm_redis *r, const char *why)
{
    r->context = NULL;
    pm_timer_clear(&r->connecting);
    set_up(r, false, why);
    if (!r->ending)
        pm_timer_set(&r->reconnect, RECONNECT_MS);
}

static void disconnected(const redisAsyncContext *context, int status)
{
    struct pm_redis *r = context->data;
    if (r->context == context)
        lost(r, status == REDIS_OK ? "it closed the connection" : context->errstr);
}

/* Nobody is served by a connection that answers late: it is given up, and tried again after a while. */
static void drop(struct pm_redis *r, const char *why)
{
    redisAsyncContext *context = r->context;
    if (!context)
        return;
    lost(r, why);
    redisAsyncFree(context);
}

static void greeted(redisAsyncContext *context, void *reply, void *arg)
{
    struct pm_redis *r = context->data;
    const redisReply *said = reply;
    (void)arg;
    if (r->context != context || !said)
        return;
    if (said->type == REDIS_REPLY_ERROR)
        drop(r, said->str);
    else
        set_up(r, true, "");
    pm_timer_clear(&r->connecting);
}

static void connected(const redisAsyncContext *context, int status)
{
    struct pm_redis *r = context->data;
    if (r->context != context)
        return;
    if (status != REDIS_OK) {
        lost(r, context->errstr);
        return;
    }
    if (r->spec.password)
        redisAsyncCommand(r->context, NULL, NULL, "AUTH %s", r->spec.password);
    if (r->spec.db)
        redisAsyncCommand(r->context, NULL, NULL, "SELECT %d", r->spec.db);
    redisAsyncCommand(r->context, greeted, NULL, "PING");
}

static void not_connected(void *arg)
{
    drop(arg, "no connection in time");
}

static void try_connect(void *arg)
{
    struct pm_redis *r = arg;
    redisAsyncContext *context =
        r->spec.path ? redisAsyncConnectUnix(r->spec.path) : redisAsyncConnect(r->spec.host, r->spec.port);
    if (!context || context->err) {
        lost(r, context ? context->errstr : "no memory");
        if (context)
            redisAsyncFree(context);
        return;
    }
    r->context = context;
    context->data = r;
    redisLibeventAttach(context, pm_loop_base(r->loop));
    pm_timer_set(&r->connecting, CONNECT_MS);
    redisAsyncSetDisconnectCallback(context, disconnected);
    redisAsyncSetConnectCallback(context, connected);
}

struct pm_redis *pm_redis_new(struct pm_loop *loop, const struct pm_redis_spec *spec)
{
    struct pm_redis *r = pm_calloc(1, sizeof(*r));
    r->loop = loop;
    r->spec = *spec;
    pm_timer_init(&r->reconnect, loop, try_connect, r);
    pm_timer_init(&r->connecting, loop, not_connected, r);
    try_connect(r);
    return r;
}

void pm_redis_free(struct pm_redis *r)
{
    if (!r)
        return;
    r->ending = true;
    drop(r, "");
    pm_timer_release(&r->reconnect);
    pm_timer_release(&r->connecting);
    free(r);
}

bool pm_redis_is_up(const struct pm_redis *r)
{
    return r && r->up;
}

/* --- asking --- */

static void finish(struct pm_redis_ask *ask, const redisReply *reply)
{
    void (*fn)(void *arg, const redisReply *reply) = ask->fn;
    ask->fn = NULL;
    pm_timer_clear(&ask->deadline);
    if (fn)
        fn(ask->arg, reply && reply->type != REDIS_REPLY_ERROR ? reply : NULL);
}

static void release(void *arg)
{
    struct pm_redis_ask *ask = arg;
    pm_timer_release(&ask->deadline);
    free(ask);
}

/* hiredis calls this once for every command, with nothing when the connection goes. */
static void answered(redisAsyncContext *context, void *reply, void *arg)
{
    struct pm_redis_ask *ask = arg;
    (void)context;
    finish(ask, reply);
    pm_loop_defer(ask->redis->loop, release, ask);
}

static void too_late(void *arg)
{
    struct pm_redis_ask *ask = arg;
    /* All that wait on this connection hear of it, this one too. */
    drop(ask->redis, "it does not answer in time");
}

struct pm_redis_ask *pm_redis_send(struct pm_redis *r, int argc, const char **argv, const size_t *lengths,
                                   void (*fn)(void *arg, const redisReply *reply), void *arg)
{
    if (!pm_redis_is_up(r))
        return NULL;
    struct pm_redis_ask *ask = pm_calloc(1, sizeof(*ask));
    ask->redis = r;
    ask->fn = fn;
    ask->arg = arg;
    pm_timer_init(&ask->deadline, r->loop, too_late, ask);
    if (redisAsyncCommandArgv(r->context, answered, ask, argc, argv, lengths) != REDIS_OK) {
        release(ask);
        return NULL;
    }
    pm_timer_set(&ask->deadline, ANSWER_MS);
    return ask;
}

void pm_redis_flush(struct pm_redis *r)
{
    if (pm_redis_is_up(r))
        redisAsyncHandleWrite(r->context);
}

void pm_redis_cancel(struct pm_redis_ask *ask)
{
    if (ask)
        ask->fn = NULL;
}
