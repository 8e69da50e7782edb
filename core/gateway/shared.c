/* What several gateways share through Redis: what keys have used, which clouds are left alone, where conversations
 * are, kept answers. Without it each of them goes by what it knows itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/gateway/call_priv.h"
#include "core/store/redis.h"

/* A larger answer would hold up what others ask on the same connection. */
enum { ARGS_MAX = 64, SHARED_BYTES_MAX = 1 << 20 };

/* KEYS: requests and tokens by second, money of the month. ARGV: rpm, tpm, budget. The clock is the server's, so that
 * all gateways go by one. Answers {which limit, requests, tokens, spent, seconds to wait}. */
static const char take_script[] =
    "local now = tonumber(redis.call('TIME')[1])\n"
    "local function sum(key)\n"
    "  local s, all = 0, redis.call('HGETALL', key)\n"
    "  local seconds = {}\n"
    "  for i = 1, #all, 2 do\n"
    "    local second = tonumber(all[i])\n"
    "    if second < now - 60 then redis.call('HDEL', key, all[i])\n"
    "    else s = s + tonumber(all[i + 1]); seconds[#seconds + 1] = {second, tonumber(all[i + 1])} end\n"
    "  end\n"
    "  table.sort(seconds, function(a, b) return a[1] < b[1] end)\n"
    "  return s, seconds\n"
    "end\n"
    "local function wait(used, seconds, limit)\n"
    "  for _, one in ipairs(seconds) do\n"
    "    used = used - one[2]\n"
    "    if used < limit then return one[1] + 61 - now end\n"
    "  end\n"
    "  return 60\n"
    "end\n"
    "local rpm, tpm, budget = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])\n"
    "local requests, rs = sum(KEYS[1])\n"
    "local tokens, ts = sum(KEYS[2])\n"
    "local spent = redis.call('GET', KEYS[3]) or '0'\n"
    "if budget > 0 and tonumber(spent) >= budget then return {3, requests, tokens, spent, 0} end\n"
    "if rpm > 0 and requests >= rpm then return {1, requests, tokens, spent, wait(requests, rs, rpm)} end\n"
    "if tpm > 0 and tokens >= tpm then return {2, requests, tokens, spent, wait(tokens, ts, tpm)} end\n"
    "redis.call('HINCRBY', KEYS[1], now, 1)\n"
    "redis.call('EXPIRE', KEYS[1], 120)\n"
    "return {0, requests + 1, tokens, spent, 0}\n";

/* KEYS: tokens by second, money of the month. ARGV: tokens, cost. */
static const char charge_script[] = "local now = tonumber(redis.call('TIME')[1])\n"
                                    "redis.call('HINCRBY', KEYS[1], now, ARGV[1])\n"
                                    "redis.call('EXPIRE', KEYS[1], 120)\n"
                                    "redis.call('INCRBYFLOAT', KEYS[2], ARGV[2])\n"
                                    "redis.call('EXPIRE', KEYS[2], 3000000)\n"
                                    "return 1\n";

/* The words of one command, made as they are added. */
struct words {
    char *items[ARGS_MAX];
    const char *argv[ARGS_MAX];
    size_t lengths[ARGS_MAX];
    int n;
};

static void add(struct words *w, char *text, size_t len)
{
    w->items[w->n] = text;
    w->argv[w->n] = text;
    w->lengths[w->n++] = len;
}

static void add_text(struct words *w, const char *text)
{
    add(w, pm_strdup(text), strlen(text));
}

static void add_key(struct words *w, const struct pm_gateway *g, const char *kind, const char *name)
{
    const char *prefix = g->conf->gateway.redis_prefix;
    char *key = pm_asprintf("%s%s:%s", prefix ? prefix : "pointsman:", kind, name);
    add(w, key, strlen(key));
}

static void add_number(struct words *w, double n)
{
    char text[40];
    snprintf(text, sizeof(text), "%.17g", n);
    add_text(w, text);
}

static struct pm_redis_ask *ask(struct pm_gateway *g, struct words *w, void (*fn)(void *arg, const redisReply *reply),
                                void *arg)
{
    struct pm_redis_ask *sent = pm_redis_send(g->redis, w->n, w->argv, w->lengths, fn, arg);
    for (int i = 0; i < w->n; i++)
        free(w->items[i]);
    return sent;
}

/* The key's name in Redis: enough of its fingerprint to be the only one. */
static void user_name(const struct pm_user *user, char out[80])
{
    snprintf(out, 80, "%.32s", user->hash);
}

static void month_name(const struct pm_user *user, char out[80])
{
    snprintf(out, 80, "%.32s:%u", user->hash, pm_limits_month(pm_clock_wall_s()));
}

/* --- limits --- */

static long long number_at(const redisReply *reply, size_t i)
{
    return i < reply->elements && reply->element[i]->type == REDIS_REPLY_INTEGER ? reply->element[i]->integer : 0;
}

static void taken(void *arg, const redisReply *reply)
{
    struct pm_call *c = arg;
    c->ask = NULL;
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 5) {
        pm_admit_here(c);
        return;
    }
    /* Counted here as well, for the time when Redis is away. */
    static const struct pm_limit_rules none = {0};
    struct pm_limit_use here;
    if (c->g->limits)
        pm_limits_take(c->g->limits, c->client->hash, &none, pm_clock_wall_s(), &here);
    c->use = (struct pm_limit_use){.requests = number_at(reply, 1),
                                   .tokens = number_at(reply, 2),
                                   .spent = strtod(reply->element[3]->str ? reply->element[3]->str : "0", NULL),
                                   .retry_after_s = (unsigned)number_at(reply, 4)};
    pm_admit_decided(c, (enum pm_limit)number_at(reply, 0));
}

bool pm_shared_take(struct pm_call *c)
{
    struct words w = {0};
    char name[80];
    if (!pm_redis_is_up(c->g->redis))
        return false;
    add_text(&w, "EVAL");
    add_text(&w, take_script);
    add_text(&w, "3");
    user_name(c->client, name);
    add_key(&w, c->g, "requests", name);
    add_key(&w, c->g, "tokens", name);
    month_name(c->client, name);
    add_key(&w, c->g, "spent", name);
    add_number(&w, (double)c->client->rpm);
    add_number(&w, (double)c->client->tpm);
    add_number(&w, c->client->budget);
    c->ask = ask(c->g, &w, taken, c);
    return c->ask != NULL;
}

void pm_shared_charge(struct pm_gateway *g, const struct pm_user *user, long long tokens, double cost)
{
    struct words w = {0};
    char name[80];
    if (!pm_redis_is_up(g->redis))
        return;
    add_text(&w, "EVAL");
    add_text(&w, charge_script);
    add_text(&w, "2");
    user_name(user, name);
    add_key(&w, g, "tokens", name);
    month_name(user, name);
    add_key(&w, g, "spent", name);
    add_number(&w, (double)tokens);
    add_number(&w, cost);
    ask(g, &w, NULL, NULL);
    /* Before the caller hears the end, and asks another gateway. */
    pm_redis_flush(g->redis);
}

/* What must not leave this machine does not go to another one's memory either. */
static bool stays_here(const struct pm_call *c)
{
    const char *private = c->x ? pm_http_header(pm_exchange_head(c->x), "x-pointsman-private") : NULL;
    return private || (c->input.route && c->input.route->local_only) || (c->client && c->client->local_only);
}

static void set(struct pm_gateway *g, struct words *w, uint64_t ms)
{
    add_text(w, "PX");
    add_number(w, (double)(ms ? ms : 1));
    ask(g, w, NULL, NULL);
}

/* --- breakers --- */

/* Milliseconds since 1970: what gateways have in common. */
static double wall_ms(void)
{
    return (double)pm_clock_wall_s() * 1000;
}

void pm_shared_breaker(struct pm_gateway *g, const struct pm_target *t)
{
    struct pm_target_state *s = &g->states[t->index];
    uint64_t wait = pm_breaker_wait_ms(&s->breaker, pm_clock_ms());
    struct words w = {0};
    if (!pm_redis_is_up(g->redis) || (s->shared_open == s->breaker.open && !s->breaker.open))
        return;
    s->shared_open = s->breaker.open;
    s->told_open = false;
    add_text(&w, s->breaker.open ? "SET" : "DEL");
    add_key(&w, g, "breaker", t->id);
    if (s->breaker.open) {
        add_number(&w, wall_ms() + (double)wait);
        set(g, &w, wait);
    } else {
        ask(g, &w, NULL, NULL);
    }
    pm_redis_flush(g->redis);
}

/* What another gateway has found of a cloud: until when it is left alone, or nothing. */
static void breaker_told(struct pm_target_state *s, const redisReply *value)
{
    bool open = value->type == REDIS_REPLY_STRING;
    double wait = open ? strtod(value->str, NULL) - wall_ms() : 0;
    if (open && !s->breaker.open && wait > 0) {
        pm_breaker_open(&s->breaker, pm_clock_ms(), (uint64_t)wait);
        s->shared_open = s->told_open = true;
    } else if (!open && s->told_open && s->breaker.open) {
        /* Whoever opened it has found it well again, or its time is over: then this one may try, too. */
        pm_breaker_success(&s->breaker);
        s->shared_open = s->told_open = false;
    }
}

/* --- kept answers, and where conversations are --- */

static void conversation_name(uint64_t conversation, char out[80])
{
    snprintf(out, 80, "%016llx", (unsigned long long)conversation);
}

/* "target\nseconds since 1970\nbody" */
static void take_kept(struct pm_call *c, const redisReply *value)
{
    const char *line = value->str, *end = line + value->len;
    const char *at = memchr(line, '\n', value->len), *body = at ? memchr(at + 1, '\n', (size_t)(end - at - 1)) : NULL;
    if (!body)
        return;
    char *target = pm_strndup(line, (size_t)(at - line));
    int64_t age_s = pm_clock_wall_s() - strtoll(at + 1, NULL, 10);
    uint64_t age_ms = age_s > 0 ? (uint64_t)age_s * 1000 : 0, now = pm_clock_ms();
    struct pm_cached what = {
        .body = body + 1, .len = (size_t)(end - body - 1), .target = target, .at_ms = now > age_ms ? now - age_ms : 0};
    pm_cache_put(c->g->cache, c->cache_key, &what, c->input.route->cache_ms);
    free(target);
}

static void looked(void *arg, const redisReply *reply)
{
    struct pm_call *c = arg;
    c->ask = NULL;
    bool whole = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2;
    const redisReply *kept = whole ? reply->element[0] : NULL, *place = whole ? reply->element[1] : NULL;
    if (kept && kept->type == REDIS_REPLY_STRING && *c->cache_key)
        take_kept(c, kept);
    const struct pm_target *t =
        place && place->type == REDIS_REPLY_STRING ? pm_conf_target(c->g->conf, place->str) : NULL;
    if (t && !c->session.target) {
        c->session.target = pm_session_target(t->id);
        c->session.at_ms = pm_clock_wall_ms();
    }
    for (size_t i = 0, at = 2; whole && i < c->g->conf->n_targets && at < reply->elements; i++)
        if (c->g->conf->targets[i].kind != PM_TARGET_LOCAL)
            breaker_told(&c->g->states[i], reply->element[at++]);
    pm_cached_look_here(c);
}

bool pm_shared_look(struct pm_call *c)
{
    struct words w = {0};
    char name[80];
    if (!pm_redis_is_up(c->g->redis) || !c->has_api || stays_here(c))
        return false;
    add_text(&w, "MGET");
    add_key(&w, c->g, "cache", c->cache_key);
    conversation_name(c->api.conversation, name);
    add_key(&w, c->g, "stick", name);
    for (size_t i = 0; i < c->g->conf->n_targets && w.n < ARGS_MAX; i++)
        if (c->g->conf->targets[i].kind != PM_TARGET_LOCAL)
            add_key(&w, c->g, "breaker", c->g->conf->targets[i].id);
    c->ask = ask(c->g, &w, looked, c);
    return c->ask != NULL;
}

void pm_shared_keep(struct pm_call *c, const struct pm_cached *what)
{
    struct words w = {0};
    struct pm_buf value;
    if (!pm_redis_is_up(c->g->redis) || stays_here(c) || what->len > SHARED_BYTES_MAX)
        return;
    pm_buf_init(&value, PM_BUF_OWN_LIMIT);
    pm_buf_addf(&value, "%s\n%lld\n", what->target, (long long)pm_clock_wall_s());
    pm_buf_addn(&value, what->body, what->len);
    add_text(&w, "SET");
    add_key(&w, c->g, "cache", c->cache_key);
    size_t len = value.len;
    add(&w, pm_buf_take(&value), len);
    set(c->g, &w, c->input.route->cache_ms);
    pm_redis_flush(c->g->redis);
}

void pm_shared_place(struct pm_call *c)
{
    struct words w = {0};
    char name[80];
    if (!pm_redis_is_up(c->g->redis) || !c->input.route->stick_ms || stays_here(c))
        return;
    conversation_name(c->api.conversation, name);
    add_text(&w, "SET");
    add_key(&w, c->g, "stick", name);
    add_text(&w, c->target->id);
    set(c->g, &w, c->input.route->stick_ms);
    pm_redis_flush(c->g->redis);
}

/* --- start and end --- */

static void changed(void *arg, bool up, const char *why)
{
    struct pm_gateway *g = arg;
    uint32_t shared = up;
    if (g->channel)
        pm_channel_send(g->channel, PM_MSG_SHARED, 0, &shared, sizeof(shared));
    if (up)
        pm_log(PM_LOG_INFO, "Redis is there: limits, breakers, conversations and kept answers are shared");
    else
        pm_log(PM_LOG_WARN, "Redis is away (%s): this gateway goes by its own counts until it is back", why);
}

void pm_shared_start(struct pm_gateway *g)
{
    const char *password = g->conf->gateway.redis_password_env ? getenv(g->conf->gateway.redis_password_env) : NULL;
    const struct pm_gateway_conf *conf = &g->conf->gateway;
    struct pm_redis_spec spec = {.path = conf->redis_path,
                                 .host = conf->redis_host,
                                 .port = conf->redis_port,
                                 .db = conf->redis_db,
                                 .password = password,
                                 .changed = changed,
                                 .arg = g};
    if (!g->conf->gateway.redis)
        return;
    g->redis = pm_redis_new(g->loop, &spec);
}

void pm_shared_end(struct pm_gateway *g)
{
    pm_redis_free(g->redis);
    g->redis = NULL;
}
