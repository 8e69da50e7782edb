/* The functions that a policy is given. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/route/policies_priv.h"

static const struct instance *instance_of(const struct pmp_host *host)
{
    return (const struct instance *)(const void *)host;
}

__attribute__((format(printf, 3, 4))) static void host_log(const struct pmp_host *host, enum pmp_log level,
                                                           const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    pm_log(level <= PMP_LOG_ERROR ? (enum pm_log_level)level : PM_LOG_ERROR, "policy %s: %s",
           instance_of(host)->library->policy.name, text);
}

__attribute__((format(printf, 3, 4))) static void host_fail(const struct pmp_host *host, const char *where,
                                                            const char *fmt, ...)
{
    const struct instance *inst = instance_of(host);
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (inst->failure)
        pm_error_set(inst->failure, PM_EINVAL, "%s%s%s", where ? where : "", where ? ": " : "", text);
}

static void *host_alloc(size_t n, size_t size)
{
    return pm_calloc(n, size);
}

static void host_metric(const struct pmp_host *host, const char *name, double add)
{
    const struct instance *inst = instance_of(host);
    if (inst->owner->events.metric)
        inst->owner->events.metric(inst->owner->arg, inst->library->policy.name, name, add);
}

static const char *host_text(const struct pmp_request *req, enum pmp_text which, size_t *len)
{
    const struct pm_api_request *r = req->in->request;
    const char *text = "";
    size_t n = 0;
    bool known_length = false;
    switch (which) {
    case PMP_TEXT_MODEL:
        text = r->model;
        break;
    case PMP_TEXT_PROTOCOL:
        text = pm_protocol_name(r->protocol);
        break;
    case PMP_TEXT_ROUTE:
        text = req->in->route->id;
        break;
    case PMP_TEXT_SYSTEM:
        text = r->system;
        n = r->system_len;
        known_length = true;
        break;
    case PMP_TEXT_LAST_USER:
        text = r->last_user;
        n = r->last_user_len;
        known_length = true;
        break;
    case PMP_TEXT_LAST_TOOL_RESULT:
        text = r->last_tool_result;
        n = r->last_tool_result_len;
        known_length = true;
        break;
    case PMP_TEXT_SCRIPT:
        text = r->language.script ? r->language.script : "";
        break;
    case PMP_TEXT_LANGUAGE:
        text = r->language.language ? r->language.language : "";
        break;
    case PMP_TEXT_REQUEST:
        text = req->in->id ? req->in->id : "";
        break;
    }
    if (len)
        *len = known_length ? n : strlen(text);
    return text;
}

static int64_t step_number(const struct pm_progress *p, enum pmp_number which)
{
    switch (which) {
    case PMP_NUM_STEPS:
        return p->steps;
    case PMP_NUM_STEPS_REFUSED:
        return p->errors[PM_STEP_REFUSED];
    case PMP_NUM_STEPS_PASSING:
        return p->errors[PM_STEP_PASSING];
    case PMP_NUM_STEPS_FAILED:
        return p->errors[PM_STEP_FAILED];
    case PMP_NUM_STEPS_CRITICAL:
        return p->errors[PM_STEP_CRITICAL];
    case PMP_NUM_STEPS_READ:
        return p->kinds[PM_STEP_READ];
    case PMP_NUM_STEPS_EDIT:
        return p->kinds[PM_STEP_EDIT];
    case PMP_NUM_STEPS_RUN:
        return p->kinds[PM_STEP_RUN];
    case PMP_NUM_STEPS_REPEATED:
        return p->repeats;
    case PMP_NUM_ERROR_STREAK:
        return p->streak;
    case PMP_NUM_RECENT_EDITS:
        return p->last_edits;
    case PMP_NUM_RECENT_CRITICAL:
        return p->worst == PM_STEP_CRITICAL;
    default:
        return 0;
    }
}

static int64_t host_number(const struct pmp_request *req, enum pmp_number which)
{
    const struct pm_api_request *r = req->in->request;
    switch (which) {
    case PMP_NUM_MESSAGES:
        return r->messages;
    case PMP_NUM_USER_TURNS:
        return r->user_turns;
    case PMP_NUM_TOOLS:
        return r->tools;
    case PMP_NUM_TOOL_RESULTS:
        return r->tool_results;
    case PMP_NUM_IMAGES:
        return r->images;
    case PMP_NUM_PROMPT_TOKENS:
        return r->prompt_tokens;
    case PMP_NUM_MAX_TOKENS:
        return r->max_tokens;
    case PMP_NUM_STREAM:
        return r->stream;
    case PMP_NUM_JSON_SCHEMA:
        return r->json_schema;
    case PMP_NUM_AUDIO:
        return r->audio;
    case PMP_NUM_TOOL_LOOP:
        return r->tool_loop;
    case PMP_NUM_CODE_FENCES:
        return r->fences;
    case PMP_NUM_SYSTEM_HASH:
        return (int64_t)r->system_hash;
    case PMP_NUM_CONVERSATION:
        return (int64_t)r->conversation;
    default:
        return step_number(&r->progress, which);
    }
}

static const char *host_header(const struct pmp_request *req, const char *name)
{
    return req->in->header ? req->in->header(req->in->header_arg, name) : NULL;
}

static size_t host_targets(const struct pmp_request *req)
{
    return req->in->n_targets;
}

static int host_target(const struct pmp_request *req, size_t i, struct pmp_target *out)
{
    static const char *const nothing[] = {NULL};
    if (i >= req->in->n_targets)
        return -1;
    const struct pm_target_view *view = &req->in->targets[i];
    struct pmp_target t = {
        .size = out->size < sizeof(t) ? out->size : (uint32_t)sizeof(t),
        .id = view->conf->id,
        .is_local = pm_target_is_here(view->conf),
        .strength = view->conf->strength,
        .caps = view->caps,
        .caps_known = view->caps_known,
        .context = view->context,
        .speaks_protocol = view->speaks,
        .good_at = view->conf->good_at.n ? (const char *const *)view->conf->good_at.items : nothing,
        .is_fallback = view->fallback,
    };
    memcpy(out, &t, t.size);
    return 0;
}

static double within(double x, double least, double most)
{
    if (!(x >= least))
        return least;
    return x > most ? most : x;
}

static void host_intent(struct pmp_verdict *pv, const char *name, double confidence)
{
    struct pm_verdict *v = pv->v;
    for (size_t i = 0; i < v->n_intents; i++) {
        if (strcmp(v->intents[i].name, name) == 0) {
            v->intents[i].confidence = within(confidence, 0, 1);
            return;
        }
    }
    if (v->n_intents == PM_INTENTS_MAX)
        return;
    struct pm_intent *intent = &v->intents[v->n_intents++];
    snprintf(intent->name, sizeof(intent->name), "%s", name);
    intent->confidence = within(confidence, 0, 1);
}

static void host_complexity(struct pmp_verdict *pv, double score)
{
    pv->v->has_complexity = true;
    pv->v->complexity = within(score, 0, 1);
}

static void host_prefer(struct pmp_verdict *pv, size_t target, double weight)
{
    if (target < pv->n_targets)
        pv->v->prefer[target] = within(weight, -1, 1);
}

static void host_veto(struct pmp_verdict *pv, size_t target, const char *reason)
{
    if (target < pv->n_targets && !pv->v->veto[target])
        pv->v->veto[target] = pm_strndup(reason, strnlen(reason, 200));
}

static void host_abstain(struct pmp_verdict *pv)
{
    pv->v->abstained = true;
}

__attribute__((format(printf, 2, 3))) static void host_reason(struct pmp_verdict *pv, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(pv->v->reason, sizeof(pv->v->reason), fmt, ap);
    va_end(ap);
}

static void host_insist(struct pmp_verdict *pv)
{
    pv->v->insists = true;
}

static void host_note(struct pmp_verdict *pv, const void *data, size_t len)
{
    pv->v->note_len = len < PM_NOTE_MAX ? len : PM_NOTE_MAX;
    memcpy(pv->v->note, data, pv->v->note_len);
}

static void host_hold(struct pmp_verdict *pv, int logprobs)
{
    pv->v->holds = true;
    pv->v->wants_logprobs = logprobs != 0;
}

static void *host_shared(const struct pmp_host *host, size_t size)
{
    const struct instance *inst = instance_of(host);
    const struct pm_policies *ps = inst->owner;
    if (!inst->failure || !ps->events.shared)
        return NULL;
    return ps->events.shared(ps->arg, inst->library->policy.name, inst->route->id, size);
}

static const char *host_file(const struct pmp_host *host, const char *name)
{
    struct instance *inst = (struct instance *)(void *)(uintptr_t)host;
    const char *beside[] = {inst->route->file, inst->library->path};
    if (!inst->failure || !*name)
        return NULL;
    for (size_t i = 0; i < 3; i++) {
        const char *slash = *name == '/' || i == 2 ? NULL : strrchr(beside[i], '/');
        free(inst->found);
        inst->found = slash ? pm_asprintf("%.*s/%s", (int)(slash - beside[i]), beside[i], name) : pm_strdup(name);
        const struct pm_policies *ps = inst->owner;
        const char *copy = ps->events.file ? ps->events.file(ps->arg, inst->found) : NULL;
        if (copy)
            return copy;
        if ((slash || *name == '/') && access(inst->found, R_OK) == 0)
            return inst->found;
    }
    return NULL;
}

void pm_policy_host_init(struct pmp_host *host)
{
    *host = (struct pmp_host){
        .abi = PMP_ABI,
        .size = sizeof(*host),
        .log = host_log,
        .fail = host_fail,
        .alloc = host_alloc,
        .free = free,
        .metric = host_metric,
        .text = host_text,
        .number = host_number,
        .header = host_header,
        .targets = host_targets,
        .target = host_target,
        .intent = host_intent,
        .complexity = host_complexity,
        .prefer = host_prefer,
        .veto = host_veto,
        .abstain = host_abstain,
        .reason = host_reason,
        .insist = host_insist,
        .note = host_note,
        .hold = host_hold,
        .shared = host_shared,
        .file = host_file,
    };
}
