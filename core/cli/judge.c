#include "core/cli/judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/alloc.h"

struct pm_judge {
    char dir[64]; /* of the configuration that is made for it */
    struct pm_bundle *bundle;
    struct pm_conf *conf;
    struct pm_policies *policies;
    struct pm_target_view *views;
};

static void add_known(const struct pm_target *t, struct pm_buf *text)
{
    pm_buf_addf(text, "STRENGTH=%.3f\nPRICE_IN=%.6f\nPRICE_OUT=%.6f\nGOOD_AT=", t->strength, t->price_in,
                t->price_out);
    for (size_t i = 0; i < t->good_at.n; i++)
        pm_buf_addf(text, "%s%s", i ? "," : "", t->good_at.items[i]);
    pm_buf_add(text, "\n");
}

static char *models_text(const struct pm_judge_spec *spec)
{
    const struct pm_strv *targets = spec->targets;
    struct pm_buf text;
    pm_buf_init(&text, PM_BUF_OWN_LIMIT);
    for (size_t i = 0; i < targets->n; i++) {
        const struct pm_target *known = spec->like ? pm_conf_target(spec->like, targets->items[i]) : NULL;
        pm_buf_addf(&text, "[%s]\nCLOUD=openai\nBASE_URL=http://127.0.0.1:9/v1\n", targets->items[i]);
        if (known)
            add_known(known, &text);
        else
            pm_buf_addf(&text, "STRENGTH=%.3f\n", targets->n == 2 && !spec->like ? (double)i : 0.5);
    }
    return pm_buf_take(&text);
}

static char *route_text(const struct pm_judge_spec *spec)
{
    struct pm_buf text;
    pm_buf_init(&text, PM_BUF_OWN_LIMIT);
    pm_buf_addf(&text, "[route]\nMODELS=eval\nPOLICY_BUDGET=10s\nPOLICIES=%s\nTARGETS=", spec->policies);
    for (size_t i = 0; i < spec->targets->n; i++)
        pm_buf_addf(&text, "%s%s", i ? "," : "", spec->targets->items[i]);
    pm_buf_addf(&text, "\n%s", spec->options ? spec->options : "");
    return pm_buf_take(&text);
}

static void remove_files(const struct pm_judge *j)
{
    static const char *const names[] = {"routes/eval.conf", "models.conf", "routes", ""};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char *path = pm_asprintf("%s/%s", j->dir, names[i]);
        if (remove(path) < 0 && i == 0)
            fprintf(stderr, "pointsman: %s is left behind\n", path);
        free(path);
    }
}

void pm_judge_temporary(char *out, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(out, size, "%.40s/pointsman-XXXXXX", tmp && strlen(tmp) <= 40 ? tmp : "/tmp");
}

/* Through files, so that everything is read as a gateway reads it. */
static int make_conf(struct pm_judge *j, const struct pm_judge_spec *spec, struct pm_error *err)
{
    pm_judge_temporary(j->dir, sizeof(j->dir));
    if (!mkdtemp(j->dir))
        return pm_error_errno(err, "%s", j->dir);
    char *models = pm_asprintf("%s/models.conf", j->dir), *routes = pm_asprintf("%s/routes", j->dir);
    char *route = pm_asprintf("%s/eval.conf", routes), *text = models_text(spec), *said = route_text(spec);
    struct pm_diags diags = {0};
    int rc = mkdir(routes, 0700) < 0 ? pm_error_errno(err, "%s", routes) : PM_OK;
    if (rc == PM_OK)
        rc = pm_file_write(models, text, strlen(text), err);
    if (rc == PM_OK)
        rc = pm_file_write(route, said, strlen(said), err);
    if (rc == PM_OK) {
        j->bundle = pm_bundle_read(models, routes, spec->plugins, NULL, err);
        j->conf = j->bundle ? pm_conf_parse(j->bundle, &diags) : NULL;
        if (j->bundle && diags.errors.n)
            rc = pm_error_set(err, PM_EINVAL, "%s", diags.errors.items[0]);
        else if (!j->conf)
            rc = PM_EINVAL;
    }
    remove_files(j);
    pm_diags_release(&diags);
    free(models);
    free(routes);
    free(route);
    free(text);
    free(said);
    return rc;
}

static int start_policies(struct pm_judge *j, struct pm_error *err)
{
    const char *culprit;
    const struct pm_route *route = &j->conf->routes[0];
    j->policies = pm_policies_new(NULL, NULL);
    for (size_t i = 0; i < j->bundle->n_plugins; i++) {
        const struct pm_bundle_plugin *p = &j->bundle->plugins[i];
        if (!pm_strv_has(&route->policies, p->name))
            continue;
        int rc = pm_policies_load(j->policies, p->path, p->fd, err);
        if (rc < 0)
            return rc;
    }
    return pm_policies_bind(j->policies, route, &culprit, err);
}

struct pm_judge *pm_judge_new(const struct pm_judge_spec *spec, struct pm_error *err)
{
    struct pm_judge *j = pm_calloc(1, sizeof(*j));
    if (make_conf(j, spec, err) < 0 || start_policies(j, err) < 0) {
        pm_judge_free(j);
        return NULL;
    }
    j->views = pm_calloc(j->conf->n_targets, sizeof(*j->views));
    for (size_t i = 0; i < j->conf->n_targets; i++)
        j->views[i] = (struct pm_target_view){.conf = &j->conf->targets[i], .speaks = true};
    return j;
}

void pm_judge_free(struct pm_judge *j)
{
    if (!j)
        return;
    pm_policies_free(j->policies);
    pm_conf_free(j->conf);
    pm_bundle_free(j->bundle);
    free(j->views);
    free(j);
}

static double us_since(const struct timespec *then)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) * 1e6 + (double)(now.tv_nsec - then->tv_nsec) / 1e3;
}

static void take_decision(const struct pm_decision *d, struct pm_judged *out)
{
    for (size_t i = 0; i < d->n_intents; i++) {
        if (d->intents[i].confidence <= out->confidence)
            continue;
        out->confidence = d->intents[i].confidence;
        snprintf(out->intent, sizeof(out->intent), "%s", d->intents[i].name);
    }
    out->complexity = d->complexity;
    out->has_complexity = d->has_complexity;
    /* Whoever named intents did not rely on them. */
    bool firm = false;
    for (size_t i = 0; i < d->n_verdicts; i++)
        firm |= d->verdicts[i].n_intents && !d->verdicts[i].abstained;
    out->abstained = !firm;
    out->choice = d->n_attempts ? (long)d->attempts[0].target : -1;
}

int pm_judge_body(struct pm_judge *j, const char *body, struct pm_judged *out, struct pm_error *err)
{
    struct pm_api_request request;
    struct pm_decision decision;
    struct timespec then;
    *out = (struct pm_judged){.choice = -1};
    clock_gettime(CLOCK_MONOTONIC, &then);
    int rc = pm_api_read(PM_PROTO_CHAT, body, strlen(body), &request, err);
    out->read_us = us_since(&then);
    if (rc < 0)
        return rc;
    struct pm_route_input in = {.route = &j->conf->routes[0],
                                .request = &request,
                                .targets = j->views,
                                .n_targets = j->conf->n_targets,
                                .id = "",
                                .place = -1};
    clock_gettime(CLOCK_MONOTONIC, &then);
    struct pm_verdict *verdicts = pm_calloc(j->conf->routes[0].policies.n, sizeof(*verdicts));
    size_t n = pm_policies_judge(j->policies, &in, verdicts, j->conf->routes[0].policies.n);
    pm_decide(&in, verdicts, n, &decision);
    out->judge_us = us_since(&then);
    take_decision(&decision, out);
    pm_decision_release(&decision);
    pm_api_request_release(&request);
    return PM_OK;
}
