#include "core/route/decide.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

/* Share of the benefit that comes from GOOD_AT; the rest is STRENGTH against complexity. */
static const double MATCH_SHARE = 0.5;

/* How well a target that is good at `general` matches what any is good at. */
static const double GENERAL_CONFIDENCE = 0.5;

/* A wait of this many seconds costs half of what an endless one would. */
static const double WAIT_HALF_S = 30;

/* Tokens of an answer, for its price, where none was measured. */
static const double USUAL_OUTPUT_TOKENS = 500;

static void merge_intents(struct pm_decision *d, const struct pm_verdict *v)
{
    for (size_t i = 0; i < v->n_intents; i++) {
        size_t j = 0;
        while (j < d->n_intents && strcmp(d->intents[j].name, v->intents[i].name) != 0)
            j++;
        if (j == d->n_intents) {
            if (d->n_intents == PM_INTENTS_MAX)
                continue;
            d->intents[d->n_intents++] = v->intents[i];
        } else if (d->intents[j].confidence < v->intents[i].confidence) {
            d->intents[j].confidence = v->intents[i].confidence;
        }
    }
}

static void merge_verdicts(struct pm_decision *d)
{
    size_t len = 0;
    d->abstained = d->n_verdicts > 0;
    for (size_t i = 0; i < d->n_verdicts; i++) {
        const struct pm_verdict *v = &d->verdicts[i];
        if (v->failed || v->skipped) {
            d->refused |= d->in->route->refuse_on_policy_error;
            continue;
        }
        merge_intents(d, v);
        if (v->has_complexity) {
            d->complexity = v->complexity;
            d->has_complexity = true;
        }
        if (!v->abstained && (v->has_complexity || v->n_intents))
            d->abstained = false;
        if (v->reason[0] && len < sizeof(d->reason))
            len += (size_t)snprintf(d->reason + len, sizeof(d->reason) - len, "%s%s", len ? ", " : "", v->reason);
    }
}

/* The host's own vetoes hold on every route, whatever its policies say. */
static void set_vetoes(struct pm_decision *d)
{
    bool is_private = d->in->header && d->in->header(d->in->header_arg, "x-pointsman-private");
    for (size_t t = 0; t < d->in->n_targets; t++) {
        const struct pm_target_view *view = &d->in->targets[t];
        const char *why = NULL;
        if (!view->speaks)
            why = "it does not speak the caller's protocol";
        else if (d->in->route->local_only && !pm_target_is_here(view->conf))
            why = "LOCAL_ONLY: nothing may leave this machine";
        else if (is_private && !pm_target_is_here(view->conf))
            why = "x-pointsman-private: this request may not leave this machine";
        for (size_t i = 0; i < d->n_verdicts && !why; i++)
            if (!d->verdicts[i].failed)
                why = d->verdicts[i].veto[t];
        if (!why)
            why = view->down;
        d->vetoes[t] = pm_strdup(why);
    }
}

/* How sure it is that the request is of a kind that the target is good at. */
static double match(const struct pm_decision *d, const struct pm_target *t)
{
    double best = 0, most = 0;
    bool general = pm_strv_has(&t->good_at, "general");
    for (size_t i = 0; i < d->n_intents; i++) {
        most = d->intents[i].confidence > most ? d->intents[i].confidence : most;
        if (pm_strv_has(&t->good_at, d->intents[i].name) && d->intents[i].confidence > best)
            best = d->intents[i].confidence;
    }
    /* Good at everything is half as good as good at just that. */
    double half = GENERAL_CONFIDENCE * (most > 0.01 ? most : 1);
    return general && half > best ? half : best;
}

static void set_demand(struct pm_decision *d)
{
    d->demand = d->complexity;
    d->limit = -1;
    if (!d->in->share || !d->has_complexity)
        return;
    double most = 0;
    for (size_t t = 0; t < d->in->n_targets; t++)
        if (!d->vetoes[t] && d->in->targets[t].conf->strength > most)
            most = d->in->targets[t].conf->strength;
    d->limit = pm_share_limit(d->in->share, d->in->route->strong_share);
    d->demand = d->complexity >= d->limit ? most : 0;
}

static double benefit(const struct pm_decision *d, size_t t)
{
    const struct pm_target *conf = d->in->targets[t].conf;
    double lack = d->demand - conf->strength;
    double b = MATCH_SHARE * match(d, conf) + (1 - MATCH_SHARE) * (1 - (lack > 0 ? lack : 0));
    for (size_t i = 0; i < d->n_verdicts; i++)
        if (!d->verdicts[i].failed)
            b += d->verdicts[i].prefer[t];
    return b;
}

static double time_cost(double weight, double seconds)
{
    return weight * seconds / (seconds + WAIT_HALF_S);
}

static double price(const struct pm_decision *d, size_t t)
{
    const struct pm_target *conf = d->in->targets[t].conf;
    const struct pm_api_request *r = d->in->request;
    double out = d->in->targets[t].output > 0 ? d->in->targets[t].output : USUAL_OUTPUT_TOKENS;
    if (r->max_tokens && (double)r->max_tokens < out)
        out = (double)r->max_tokens;
    double money = (conf->price_in * (double)r->prompt_tokens + conf->price_out * out) / 1e6;
    double cost = d->in->route->weight_price * money;
    return cost < 1 ? cost : 1;
}

static void add_candidate(struct pm_decision *d, size_t t)
{
    const struct pm_target_view *view = &d->in->targets[t];
    struct pm_candidate c = {.target = t,
                             .benefit = benefit(d, t),
                             .waiting = time_cost(d->in->route->weight_waiting, view->wait_s),
                             .leaving = time_cost(d->in->route->weight_leaving, view->leaving_s),
                             .price = price(d, t)};
    c.score = c.benefit - c.waiting - c.price - c.leaving;
    /* Stable insertion: what ties stays in the order of TARGETS, and the fallback is always behind the others. */
    size_t i = d->n_attempts++;
    while (i > 0 && !view->fallback &&
           (d->attempts[i - 1].score < c.score || d->in->targets[d->attempts[i - 1].target].fallback)) {
        d->attempts[i] = d->attempts[i - 1];
        i--;
    }
    d->attempts[i] = c;
}

static bool insists(const struct pm_decision *d)
{
    for (size_t i = 0; i < d->n_verdicts; i++)
        if (d->verdicts[i].insists && !d->verdicts[i].failed)
            return true;
    return false;
}

/* The result of a tool is no new question: the model that asked for it goes on, unless it cannot or a policy insists.
 */
static void stay(struct pm_decision *d)
{
    size_t i = 0;
    if (d->in->place < 0 || !d->in->request->tool_loop || insists(d))
        return;
    while (i < d->n_attempts && d->attempts[i].target != (size_t)d->in->place)
        i++;
    if (i == d->n_attempts)
        return;
    struct pm_candidate c = d->attempts[i];
    memmove(d->attempts + 1, d->attempts, i * sizeof(*d->attempts));
    d->attempts[0] = c;
    d->stays = true;
}

void pm_decide(const struct pm_route_input *in, struct pm_verdict *verdicts, size_t n, struct pm_decision *out)
{
    *out = (struct pm_decision){.in = in, .verdicts = verdicts, .n_verdicts = n};
    merge_verdicts(out);
    set_vetoes(out);
    set_demand(out);
    for (size_t t = 0; t < in->n_targets && !out->refused; t++)
        if (!out->vetoes[t])
            add_candidate(out, t);
    stay(out);
    if (out->stays)
        snprintf(out->reason, sizeof(out->reason), "the result of a tool goes to the model that asked for it");
    if (!out->reason[0])
        snprintf(out->reason, sizeof(out->reason), "%s",
                 n == 0           ? "named by the caller"
                 : out->refused   ? "a policy failed and the route says ON_POLICY_ERROR=refuse"
                 : out->abstained ? "no policy saw a reason: order of TARGETS"
                                  : "best score");
}

void pm_decision_release(struct pm_decision *d)
{
    for (size_t i = 0; i < d->n_verdicts; i++)
        pm_verdict_release(&d->verdicts[i]);
    free(d->verdicts);
    for (size_t t = 0; t < PM_ROUTE_TARGETS_MAX; t++)
        free(d->vetoes[t]);
    *d = (struct pm_decision){0};
}
