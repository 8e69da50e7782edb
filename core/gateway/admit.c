/* Who asks, and what he may use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/secret.h"
#include "core/gateway/call_priv.h"

/* The key that came with a request, or NULL. */
static const char *key_of(const struct pm_http_head *head)
{
    const char *key = pm_http_header(head, "x-api-key"), *bearer = pm_http_header(head, "authorization");
    if (bearer && strncasecmp(bearer, "bearer ", 7) == 0)
        return bearer + 7 + strspn(bearer + 7, " ");
    return key;
}

/* All are compared, each to its end: how long it takes tells nothing of how near a guess was. */
const struct pm_user *pm_user_of(const struct pm_gateway *g, const struct pm_http_head *head)
{
    char hash[PM_SHA256_HEX];
    const char *key = key_of(head);
    const struct pm_user *found = NULL;
    if (!key || !g->conf->needs_key)
        return NULL;
    pm_sha256_hex(key, strlen(key), hash);
    for (size_t i = 0; i < g->conf->n_clients; i++)
        if (pm_secret_same(g->conf->clients[i].hash, hash, PM_SHA256_HEX - 1))
            found = &g->conf->clients[i];
    return found;
}

bool pm_user_may_use(const struct pm_user *client, const struct pm_target *t)
{
    if (!client)
        return true;
    if (client->local_only && !pm_target_is_here(t))
        return false;
    return !client->targets.n || pm_strv_has(&client->targets, t->id);
}

static const char *stranger(struct pm_exchange *x)
{
    return key_of(pm_exchange_head(x))
               ? "the key is not known here: `pointsman key add NAME` on this machine makes one"
               : "a key is needed: `pointsman key add NAME` on this machine makes one";
}

bool pm_admit_head(const struct pm_gateway *g, struct pm_exchange *x, const char **why)
{
    *why = stranger(x);
    return !g->conf->needs_key || pm_user_of(g, pm_exchange_head(x));
}

bool pm_admit(struct pm_gateway *g, struct pm_exchange *x, enum pm_access access)
{
    if (access == PM_ACCESS_ALL || !g->conf->needs_key)
        return true;
    const struct pm_user *user = pm_user_of(g, pm_exchange_head(x));
    if (!user) {
        pm_reply_header(x, "WWW-Authenticate", "Bearer");
        pm_reply_error(g, x, 401, "invalid_api_key", "%s", stranger(x));
        return false;
    }
    if (access == PM_ACCESS_ADMIN && !user->admin) {
        pm_reply_error(g, x, 403, NULL, "the key %s is not for this: ADMIN=yes would allow it", user->id);
        return false;
    }
    return true;
}

/* --- limits --- */

static void remaining_header(struct pm_exchange *x, const char *name, long long limit, long long used)
{
    char header[64], number[32];
    if (!limit)
        return;
    snprintf(header, sizeof(header), "x-ratelimit-limit-%s", name);
    snprintf(number, sizeof(number), "%lld", limit);
    pm_reply_header(x, header, number);
    snprintf(header, sizeof(header), "x-ratelimit-remaining-%s", name);
    snprintf(number, sizeof(number), "%lld", limit > used ? limit - used : 0);
    pm_reply_header(x, header, number);
}

void pm_admit_headers(struct pm_call *c)
{
    if (!c->client)
        return;
    remaining_header(c->x, "requests", c->client->rpm, c->use.requests);
    remaining_header(c->x, "tokens", c->client->tpm, c->use.tokens);
}

static struct pm_limit_rules rules_of(const struct pm_user *client)
{
    return (struct pm_limit_rules){.rpm = client->rpm, .tpm = client->tpm, .budget = client->budget};
}

static bool has_limits(const struct pm_user *client)
{
    return client && (client->rpm || client->tpm || client->budget > 0);
}

static void refuse(struct pm_call *c, enum pm_limit met)
{
    char text[160];
    if (met == PM_LIMIT_BUDGET) {
        snprintf(text, sizeof(text), "the key %.60s has spent this month's budget of %g", c->client->id,
                 c->client->budget);
        pm_reply_header(c->x, "x-should-retry", "false");
        c->fail_retry_after = 3600;
        pm_call_refuse(c, 429, "insufficient_quota", text);
        return;
    }
    snprintf(text, sizeof(text), "the key %.60s may use %lld %s a minute: again in %u s", c->client->id,
             met == PM_LIMIT_REQUESTS ? c->client->rpm : c->client->tpm,
             met == PM_LIMIT_REQUESTS ? "requests" : "tokens", c->use.retry_after_s);
    c->fail_retry_after = (int)c->use.retry_after_s;
    pm_call_refuse(c, 429, "rate_limit_exceeded", text);
}

void pm_admit_decided(struct pm_call *c, enum pm_limit met)
{
    if (met == PM_LIMIT_NONE)
        pm_cached_look(c);
    else
        refuse(c, met);
}

void pm_admit_here(struct pm_call *c)
{
    struct pm_limit_rules rules = rules_of(c->client);
    enum pm_limit met = PM_LIMIT_NONE;
    if (c->g->limits)
        met = pm_limits_take(c->g->limits, c->client->hash, &rules, pm_clock_wall_s(), &c->use);
    pm_admit_decided(c, met);
}

void pm_admit_call(struct pm_call *c)
{
    if (!has_limits(c->client))
        pm_cached_look(c);
    else if (!pm_shared_take(c))
        pm_admit_here(c);
}

bool pm_admit_needs_usage(const struct pm_call *c)
{
    return c->g->conf->gateway.usage || (c->client && (c->client->tpm || c->client->budget > 0));
}

/* What an attempt in vain has used is nobody's to pay. */
void pm_admit_charge(struct pm_call *c)
{
    struct pm_used used = pm_call_used(c);
    long long prompt = used.prompt > 0 ? used.prompt : 0, output = used.output > 0 ? used.output : 0;
    if (c->charged || !c->client || !c->g->limits || !c->target || (!prompt && !output))
        return;
    c->charged = true;
    double cost = pm_call_cost(c->target, prompt, output);
    pm_limits_charge(c->g->limits, c->client->hash, pm_clock_wall_s(), prompt + output, cost);
    pm_shared_charge(c->g, c->client, prompt + output, cost);
}
