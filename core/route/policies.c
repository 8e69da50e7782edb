#include "core/route/policies.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/route/policies_priv.h"

/* A policy that is over its budget this often is not asked any more. A strike is forgiven for as many good calls. */
enum { STRIKES_MAX = 20, FORGIVE_AFTER = 100 };

struct pm_policies *pm_policies_new(const struct pm_policies_events *events, void *arg)
{
    struct pm_policies *ps = pm_calloc(1, sizeof(*ps));
    if (events)
        ps->events = *events;
    ps->arg = arg;
    ps->last = &ps->instances;
    return ps;
}

static void free_instance(struct instance *inst)
{
    if (inst->started && inst->library->policy.stop)
        inst->library->policy.stop(inst->state);
    for (size_t i = 0; i < inst->n_texts; i++)
        free(inst->texts[i]);
    free(inst->texts);
    free(inst->pairs);
    free(inst->found);
    free(inst->conf);
    free(inst);
}

void pm_policies_free(struct pm_policies *ps)
{
    if (!ps)
        return;
    while (ps->instances) {
        struct instance *inst = ps->instances;
        ps->instances = inst->next;
        free_instance(inst);
    }
    while (ps->libraries) {
        struct library *lib = ps->libraries;
        ps->libraries = lib->next;
        free(lib->path);
        free(lib);
    }
    free(ps);
}

static int check(const struct pmp_policy *seen, const char *path, struct pmp_policy *out, struct pm_error *err)
{
    if (seen->abi >> 16 != PMP_ABI_MAJOR)
        return pm_error_set(err, PM_EPLUGIN,
                            "%s: built for policy ABI %u, this is ABI %u: rebuild it with this version's pointsman.h",
                            path, seen->abi >> 16, PMP_ABI_MAJOR);
    if (seen->size < offsetof(struct pmp_policy, judge) + sizeof(seen->judge) || seen->size > 65536)
        return pm_error_set(err, PM_EPLUGIN, "%s: pmp_policy.size is %u: set it to sizeof(struct pmp_policy)", path,
                            seen->size);
    *out = (struct pmp_policy){0};
    memcpy(out, seen, seen->size < sizeof(*out) ? seen->size : sizeof(*out));
    if (!out->name || !*out->name)
        return pm_error_set(err, PM_EPLUGIN, "%s: pmp_policy.name is empty", path);
    if (!out->judge)
        return pm_error_set(err, PM_EPLUGIN, "%s: pmp_policy.judge is missing", path);
    return PM_OK;
}

/* dlerror() names the descriptor's path, which tells nobody anything. */
static const char *load_error(const char *own_path)
{
    const char *text = dlerror();
    if (!text)
        return "unknown error";
    size_t n = strlen(own_path);
    if (strncmp(text, own_path, n) == 0 && text[n] == ':')
        return text + n + 1 + (text[n + 1] == ' ');
    return text;
}

int pm_policies_load(struct pm_policies *ps, const char *path, int fd, struct pm_error *err)
{
    char own_path[64];
    struct pmp_policy policy;
    snprintf(own_path, sizeof(own_path), "/proc/self/fd/%d", fd);
    if (ps->events.stage)
        ps->events.stage(ps->arg, path);
    void *handle = dlopen(own_path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return pm_error_set(err, PM_EPLUGIN,
                            "%s: cannot be loaded: %s (not a shared object for this machine, or a "
                            "library that it needs is missing: see `ldd %s`)",
                            path, load_error(own_path), path);
    const struct pmp_policy *seen = dlsym(handle, "pmp_policy");
    if (!seen)
        return pm_error_set(err, PM_EPLUGIN, "%s: exports no symbol pmp_policy: see plugins/skeleton", path);
    int rc = check(seen, path, &policy, err);
    if (rc < 0)
        return rc;
    for (const struct library *l = ps->libraries; l; l = l->next)
        if (strcmp(l->policy.name, policy.name) == 0)
            return pm_error_set(err, PM_EPLUGIN, "%s: a policy called %s is loaded already, from %s", path,
                                policy.name, l->path);
    struct library *lib = pm_calloc(1, sizeof(*lib));
    lib->path = pm_strdup(path);
    lib->policy = policy;
    lib->next = ps->libraries;
    ps->libraries = lib;
    return PM_OK;
}

static const struct library *find_library(const struct pm_policies *ps, const char *name)
{
    for (const struct library *l = ps->libraries; l; l = l->next)
        if (strcmp(l->policy.name, name) == 0)
            return l;
    return NULL;
}

static int no_such_policy(const struct pm_policies *ps, const struct pm_route *route, const char *name,
                          struct pm_error *err)
{
    const char *names[64];
    size_t n = 0;
    for (const struct library *l = ps->libraries; l && n < 64; l = l->next)
        names[n++] = l->policy.name;
    const char *near = pm_nearest(name, names, n);
    return pm_error_set(err, PM_EINVAL, "%s:%d: POLICIES: there is no policy %s in the plugin folder%s%s%s",
                        route->file, route->line, name, near ? ": did you mean " : "", near ? near : "",
                        near ? "?" : "");
}

static const struct pm_ini_section *section_of(const struct pm_route *route, const char *name)
{
    for (size_t i = 0; i < route->n_policy_sections; i++) {
        const struct pm_ini_section *s = &route->policy_sections[i];
        if (strncmp(s->name, "policy ", 7) == 0 && strcmp(s->name + 7, name) == 0)
            return s;
    }
    return NULL;
}

/* Where the option stands that a message begins with, else its section, else the route. */
static int line_of(const struct pm_route *route, const struct pm_ini_section *s, const char *message)
{
    size_t n = strspn(message, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    for (size_t i = 0; s && i < s->n; i++)
        if (strlen(s->entries[i].key) == n && strncmp(s->entries[i].key, message, n) == 0)
            return s->entries[i].line;
    return s ? s->line : route->line;
}

static int start(struct pm_policies *ps, const struct pm_route *route, const struct library *lib, struct pm_error *err)
{
    struct instance *inst = pm_calloc(1, sizeof(*inst));
    struct pm_error why = {0};
    pm_policy_host_init(&inst->host);
    inst->owner = ps;
    inst->library = lib;
    inst->route = route;
    int rc = pm_policy_read_options(inst, section_of(route, lib->policy.name), err);
    if (rc < 0)
        goto fail;
    if (ps->events.stage)
        ps->events.stage(ps->arg, lib->path);
    inst->failure = &why;
    if (lib->policy.start && lib->policy.start(&inst->host, inst->conf, &inst->state) != 0) {
        const struct pm_ini_section *s = section_of(route, lib->policy.name);
        bool told = why.msg[0] && strncmp(why.msg, route->file, strlen(route->file)) != 0;
        /* What it says is about its options: the line where they stand, or might. */
        rc = !why.msg[0] ? pm_error_set(err, PM_EPLUGIN, "start failed and gave no reason")
             : told      ? pm_error_set(err, PM_EINVAL, "%s:%d: policy %s (%s): %.300s", route->file,
                                        line_of(route, s, why.msg), lib->policy.name, lib->path, why.msg)
                         : pm_error_set(err, PM_EINVAL, "%s", why.msg);
        goto fail;
    }
    inst->failure = NULL;
    inst->started = true;
    *ps->last = inst;
    ps->last = &inst->next;
    return PM_OK;
fail:
    free_instance(inst);
    return rc;
}

int pm_policies_bind(struct pm_policies *ps, const struct pm_route *route, const char **culprit, struct pm_error *err)
{
    *culprit = NULL;
    for (size_t i = 0; i < route->policies.n; i++) {
        const struct library *lib = find_library(ps, route->policies.items[i]);
        if (!lib)
            return no_such_policy(ps, route, route->policies.items[i], err);
        struct pm_error why = {0};
        int rc = start(ps, route, lib, &why);
        if (rc < 0) {
            /* A message that begins with file:line tells the route's author enough. */
            if (strncmp(why.msg, route->file, strlen(route->file)) == 0)
                return pm_error_set(err, PM_EINVAL, "%s", why.msg);
            *culprit = lib->path;
            return pm_error_set(err, PM_EPLUGIN, "%s: policy %s cannot start for route %s: %s", lib->path,
                                lib->policy.name, route->id, why.msg);
        }
    }
    return PM_OK;
}

static void count_time(struct instance *inst, double us)
{
    if (us <= (double)inst->route->policy_budget_us) {
        if (inst->strikes && ++inst->good >= FORGIVE_AFTER) {
            inst->strikes--;
            inst->good = 0;
        }
        return;
    }
    inst->good = 0;
    inst->strikes++;
    inst->host.metric(&inst->host, "over_budget_total", 1);
    if (inst->strikes == 1 || inst->strikes == STRIKES_MAX)
        pm_log(PM_LOG_WARN, "policy %s took %.0f us in route %s, its budget is %llu us%s", inst->library->policy.name,
               us, inst->route->id, (unsigned long long)inst->route->policy_budget_us,
               inst->strikes == STRIKES_MAX ? ": too often, it is not asked any more" : "");
}

static void judge(struct instance *inst, const struct pm_route_input *in, struct pm_verdict *v)
{
    struct pmp_request req = {.in = in};
    struct pmp_verdict pv = {.v = v, .n_targets = in->n_targets};
    *v = (struct pm_verdict){.policy = inst->library->policy.name};
    if (inst->strikes >= STRIKES_MAX) {
        v->skipped = true;
        snprintf(v->reason, sizeof(v->reason), "skipped: over its time budget too often");
        return;
    }
    uint64_t before = pm_clock_us();
    v->failed = inst->library->policy.judge(inst->state, &req, &pv) != 0;
    v->us = (double)(pm_clock_us() - before);
    v->holds &= inst->library->policy.review != NULL;
    count_time(inst, v->us);
}

size_t pm_policies_judge(struct pm_policies *ps, const struct pm_route_input *in, struct pm_verdict *verdicts,
                         size_t most)
{
    size_t n = 0;
    for (struct instance *inst = ps->instances; inst && n < most; inst = inst->next)
        if (inst->route == in->route)
            judge(inst, in, &verdicts[n++]);
    return n;
}

void pm_verdict_release(struct pm_verdict *v)
{
    for (size_t i = 0; i < PM_ROUTE_TARGETS_MAX; i++)
        free(v->veto[i]);
}

static const struct pm_verdict *verdict_of(const char *policy, const struct pm_verdict *verdicts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(verdicts[i].policy, policy) == 0)
            return &verdicts[i];
    return NULL;
}

void pm_policies_outcome(struct pm_policies *ps, const struct pm_route *route, const struct pm_verdict *verdicts,
                         size_t n, const struct pm_outcome *o)
{
    struct pmp_outcome out = {.size = sizeof(out),
                              .route = route->id,
                              .target = o->target ? o->target : "",
                              .status = o->status,
                              .attempts = o->attempts,
                              .total_ms = o->total_ms,
                              .first_byte_ms = o->first_byte_ms,
                              .prompt_tokens = o->prompt_tokens,
                              .output_tokens = o->output_tokens,
                              .kind = (enum pmp_outcome_kind)o->kind,
                              .score = o->score};
    for (struct instance *inst = ps->instances; inst; inst = inst->next) {
        if (inst->route != route || !inst->library->policy.outcome)
            continue;
        const struct pm_verdict *v = verdict_of(inst->library->policy.name, verdicts, n);
        out.note = v && v->note_len ? v->note : NULL;
        out.note_len = v ? v->note_len : 0;
        /* A policy of 1.0 does not know that there are others. */
        if (o->kind == PM_OUTCOME_ANSWERED || (inst->library->policy.abi & 0xffff) >= 1)
            inst->library->policy.outcome(inst->state, &out);
    }
}

enum pm_review_end pm_policies_review(struct pm_policies *ps, const struct pm_route_input *in, const char *policy,
                                      const struct pm_review *r, struct pm_review_question *question)
{
    struct pmp_request req = {.in = in};
    struct pmp_question asked = {.size = sizeof(asked)};
    struct pmp_answer answer = {.size = sizeof(answer),
                                .target = r->target,
                                .text = r->text,
                                .text_len = r->text_len,
                                .finish = r->finish,
                                .tool_calls = r->tool_calls,
                                .has_logprobs = r->has_logprobs,
                                .mean_logprob = r->mean_logprob,
                                .least_logprob = r->least_logprob,
                                .output_tokens = r->output_tokens,
                                .round = r->round,
                                .said = r->said,
                                .said_len = r->said_len};
    struct instance *inst = ps->instances;
    while (inst && (inst->route != in->route || strcmp(inst->library->policy.name, policy) != 0))
        inst = inst->next;
    if (!inst || !inst->library->policy.review)
        return PM_REVIEW_ACCEPT;
    uint64_t before = pm_clock_us();
    enum pmp_review end = inst->library->policy.review(inst->state, &req, &answer, &asked);
    count_time(inst, (double)(pm_clock_us() - before));
    if (end == PMP_REJECT)
        return PM_REVIEW_REJECT;
    if (end != PMP_ASK || !asked.target || !asked.text)
        return PM_REVIEW_ACCEPT;
    *question = (struct pm_review_question){.target = pm_strdup(asked.target),
                                            .system = asked.system ? pm_strdup(asked.system) : NULL,
                                            .text = pm_strdup(asked.text),
                                            .max_tokens = asked.max_tokens};
    return PM_REVIEW_ASK;
}

static const struct library *nth(const struct pm_policies *ps, size_t i)
{
    const struct library *l = ps->libraries;
    while (l && i--)
        l = l->next;
    return l;
}

bool pm_policies_info(const struct pm_policies *ps, size_t i, struct pm_policy_info *out)
{
    const struct library *l = nth(ps, i);
    if (!l)
        return false;
    *out = (struct pm_policy_info){.name = l->policy.name,
                                   .summary = l->policy.summary ? l->policy.summary : "",
                                   .path = l->path,
                                   .abi = l->policy.abi};
    return true;
}

void pm_policies_options_text(const struct pm_policies *ps, size_t i, struct pm_buf *out)
{
    static const char *const types[] = {"", "text", "number", "number", "yes/no", "KEY=VALUE ..."};
    const struct library *l = nth(ps, i);
    for (const struct pmp_option *o = l ? l->policy.options : NULL; o && o->name; o++)
        pm_buf_addf(out, "    %-16s %-14s %s%s%s%s\n", o->name, types[o->type <= PMP_PAIRS ? o->type : 0],
                    o->doc ? o->doc : "", o->preset ? " (" : "", o->preset ? o->preset : "", o->preset ? ")" : "");
}
