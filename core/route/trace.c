/* A decision as people and programs read it. */
#include <math.h>
#include <string.h>

#include "core/route/decide.h"

/* Four digits say all there is to say about a score. */
static void add_number(cJSON *object, const char *key, double x)
{
    cJSON_AddNumberToObject(object, key, round(x * 1e4) / 1e4);
}

static cJSON *intents_json(const struct pm_intent *intents, size_t n)
{
    cJSON *object = cJSON_CreateObject();
    for (size_t i = 0; i < n; i++)
        add_number(object, intents[i].name, intents[i].confidence);
    return object;
}

static cJSON *attempt_json(const struct pm_decision *d, const struct pm_candidate *c)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "target", d->in->targets[c->target].conf->id);
    add_number(item, "score", c->score);
    cJSON *terms = cJSON_AddObjectToObject(item, "terms");
    add_number(terms, "benefit", c->benefit);
    add_number(terms, "waiting", c->waiting > 0 ? -c->waiting : 0);
    add_number(terms, "leaving", c->leaving > 0 ? -c->leaving : 0);
    add_number(terms, "price", c->price > 0 ? -c->price : 0);
    if (d->in->targets[c->target].fallback)
        cJSON_AddBoolToObject(item, "fallback", true);
    return item;
}

static cJSON *verdict_json(const struct pm_decision *d, const struct pm_verdict *v)
{
    cJSON *said = cJSON_CreateObject();
    if (v->n_intents)
        cJSON_AddItemToObject(said, "intents", intents_json(v->intents, v->n_intents));
    if (v->has_complexity)
        add_number(said, "complexity", v->complexity);
    static const struct {
        const char *key;
        size_t at;
    } flags[] = {{"abstained", offsetof(struct pm_verdict, abstained)},
                 {"failed", offsetof(struct pm_verdict, failed)},
                 {"skipped", offsetof(struct pm_verdict, skipped)},
                 {"insists", offsetof(struct pm_verdict, insists)},
                 {"holds", offsetof(struct pm_verdict, holds)}};
    for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
        if (*(const bool *)((const char *)v + flags[i].at))
            cJSON_AddBoolToObject(said, flags[i].key, true);
    if (v->reason[0])
        cJSON_AddStringToObject(said, "reason", v->reason);
    cJSON *prefer = cJSON_CreateObject(), *veto = cJSON_CreateObject();
    for (size_t t = 0; t < d->in->n_targets; t++) {
        if (v->prefer[t] != 0)
            add_number(prefer, d->in->targets[t].conf->id, v->prefer[t]);
        if (v->veto[t])
            cJSON_AddStringToObject(veto, d->in->targets[t].conf->id, v->veto[t]);
    }
    if (prefer->child)
        cJSON_AddItemToObject(said, "prefer", prefer);
    else
        cJSON_Delete(prefer);
    if (veto->child)
        cJSON_AddItemToObject(said, "veto", veto);
    else
        cJSON_Delete(veto);
    return said;
}

cJSON *pm_decision_json(const struct pm_decision *d)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "route", d->in->route->id);
    if (d->n_attempts)
        cJSON_AddStringToObject(root, "target", d->in->targets[d->attempts[0].target].conf->id);
    else
        cJSON_AddNullToObject(root, "target");
    cJSON_AddStringToObject(root, "reason", d->reason);
    cJSON_AddItemToObject(root, "intents", intents_json(d->intents, d->n_intents));
    if (d->has_complexity)
        add_number(root, "complexity", d->complexity);
    else
        cJSON_AddNullToObject(root, "complexity");
    if (d->limit >= 0)
        add_number(root, "limit", d->limit);
    cJSON_AddBoolToObject(root, "abstained", d->abstained);
    if (d->stays)
        cJSON_AddBoolToObject(root, "stays", true);
    cJSON *attempts = cJSON_AddArrayToObject(root, "attempts");
    for (size_t i = 0; i < d->n_attempts; i++)
        cJSON_AddItemToArray(attempts, attempt_json(d, &d->attempts[i]));
    cJSON *vetoes = cJSON_AddArrayToObject(root, "vetoes");
    for (size_t t = 0; t < d->in->n_targets; t++) {
        if (!d->vetoes[t])
            continue;
        cJSON *veto = cJSON_CreateObject();
        cJSON_AddStringToObject(veto, "target", d->in->targets[t].conf->id);
        cJSON_AddStringToObject(veto, "reason", d->vetoes[t]);
        cJSON_AddItemToArray(vetoes, veto);
    }
    cJSON *policies = cJSON_AddArrayToObject(root, "policies");
    for (size_t i = 0; i < d->n_verdicts; i++) {
        cJSON *p = cJSON_CreateObject();
        cJSON_AddStringToObject(p, "name", d->verdicts[i].policy);
        add_number(p, "us", d->verdicts[i].us);
        cJSON_AddItemToObject(p, "verdict", verdict_json(d, &d->verdicts[i]));
        cJSON_AddItemToArray(policies, p);
    }
    return root;
}

void pm_decision_vetoes_text(const struct pm_decision *d, struct pm_buf *out)
{
    bool first = true;
    if (d->refused)
        pm_buf_add(out, d->reason);
    for (size_t t = 0; t < d->in->n_targets && !d->refused; t++)
        if (d->vetoes[t]) {
            pm_buf_addf(out, "%s%s: %s", first ? "" : "; ", d->in->targets[t].conf->id, d->vetoes[t]);
            first = false;
        }
}
