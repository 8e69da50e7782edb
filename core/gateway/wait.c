/* The time while nothing comes: what is told to the caller meanwhile, and when it has been too long. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/gateway/call_priv.h"

/* Silence in a stream that has begun. */
static const uint64_t IDLE_LOCAL_MS = 300 * 1000, IDLE_CLOUD_MS = 120 * 1000;

/* Until the first byte. A local prompt may be long and its processing slow; a cloud that is silent is broken. */
static const uint64_t FIRST_LOCAL_MS = 30 * 60 * 1000, FIRST_CLOUD_MS = 60 * 1000, WHOLE_CLOUD_MS = 600 * 1000;

/* Where the speed of prompts is known: so many times what the whole prompt takes, and a while on top. */
enum { FIRST_FACTOR = 4, FIRST_LEAST_MS = 60 * 1000 };

/* More often than that is a flood. */
enum { PING_LEAST_MS = 100 };

/* --- what the caller hears --- */

static void open_stream(struct pm_call *c)
{
    c->opened = true;
    pm_answer_headers(c);
    pm_reply_header(c->x, "Cache-Control", "no-cache");
    pm_reply_begin(c->x, 200, "text/event-stream");
}

static void ping(void *call)
{
    struct pm_call *c = call;
    if (c->committed || !c->x)
        return;
    if (!c->opened)
        open_stream(c);
    struct pm_api_identity who = pm_answer_identity(c);
    char *event = pm_api_ping_event(c->api.protocol, &who, c->pings++);
    if (!pm_reply_is_full(c->x))
        pm_reply_send(c->x, event, strlen(event));
    free(event);
    pm_timer_set(&c->ping, c->g->conf->gateway.ping_ms > PING_LEAST_MS ? c->g->conf->gateway.ping_ms : PING_LEAST_MS);
}

void pm_wait_init(struct pm_call *c)
{
    pm_timer_init(&c->ping, c->g->loop, ping, c);
    pm_timer_init(&c->deadline, c->g->loop, pm_wait_look, c);
}

void pm_wait_begin(struct pm_call *c)
{
    if (c->has_api && c->api.stream && pm_protocol_streams(c->api.protocol) && c->g->conf->gateway.silence_ms)
        pm_timer_set(&c->ping, c->g->conf->gateway.silence_ms);
}

/* In the middle of an answer the responses API has nothing to say that clients would not take for a new one. */
void pm_wait_resume(struct pm_call *c)
{
    if (c->api.protocol != PM_PROTO_RESPONSES && c->g->conf->gateway.silence_ms)
        pm_timer_set(&c->ping, c->g->conf->gateway.ping_ms);
}

/* --- when it has been too long --- */

static uint64_t idle_ms(const struct pm_call *c)
{
    if (c->target->idle_ms)
        return c->target->idle_ms;
    return c->target->kind == PM_TARGET_LOCAL ? IDLE_LOCAL_MS : IDLE_CLOUD_MS;
}

static uint64_t first_ms(const struct pm_call *c)
{
    double tps = c->g->states[c->target->index].prompt_tps;
    if (c->target->first_token_ms)
        return c->target->first_token_ms;
    if (c->target->kind != PM_TARGET_LOCAL)
        return c->api.stream ? FIRST_CLOUD_MS : WHOLE_CLOUD_MS;
    if (tps <= 0 || !c->has_api)
        return FIRST_LOCAL_MS;
    return FIRST_LEAST_MS + (uint64_t)(FIRST_FACTOR * 1000.0 * (double)c->api.prompt_tokens / tps);
}

static uint64_t deadline_at(const struct pm_call *c)
{
    uint64_t first = c->sent_us / 1000 + first_ms(c), idle = c->heard_ms + idle_ms(c);
    if (!c->heard_ms)
        return first;
    if (c->committed || c->said_content)
        return idle;
    /* Reports of progress are signs of life: the answer may take as long as its prompt is, unless somebody has said
     * how long. */
    return idle > first && !c->target->first_token_ms ? idle : first;
}

/* Half of the idle deadline has passed in silence: it is time to see whether the server is alive at all, so that one
 * that hangs is found within the deadline and what it had not begun to answer goes to the next one. */
static uint64_t suspect_at(const struct pm_call *c)
{
    uint64_t heard = c->heard_ms ? c->heard_ms : c->sent_us / 1000;
    return c->granted && !c->suspected ? heard + idle_ms(c) / 2 : UINT64_MAX;
}

static void suspect(struct pm_call *c)
{
    struct pm_msg_stall stall = {.silent_ms = (uint32_t)(idle_ms(c) / 2), .limit_ms = (uint32_t)(idle_ms(c) / 4)};
    c->suspected = true;
    if (c->g->channel)
        pm_channel_send(c->g->channel, PM_MSG_STALL, c->lease, &stall, sizeof(stall));
}

void pm_wait_look(void *call)
{
    struct pm_call *c = call;
    uint64_t now = pm_clock_ms();
    /* It is the caller who does not read. */
    if (c->committed && c->x && pm_reply_is_full(c->x))
        pm_wait_heard(c);
    if (now >= deadline_at(c)) {
        pm_answer_deadline(c);
        return;
    }
    if (now >= suspect_at(c))
        suspect(c);
    /* What is heard does not move the timer: so it looks at least as often as silence may last. */
    uint64_t next = deadline_at(c), other = suspect_at(c);
    if (other < next)
        next = other;
    if (now + idle_ms(c) < next)
        next = now + idle_ms(c);
    pm_timer_set(&c->deadline, next - now);
}

void pm_wait_sent(struct pm_call *c)
{
    c->heard_ms = 0;
    c->suspected = false;
    pm_wait_look(c);
}

/* The timer stays where it is: it looks when it fires. */
void pm_wait_heard(struct pm_call *c)
{
    c->heard_ms = pm_clock_ms();
    c->suspected = false;
}
