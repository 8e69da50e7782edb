/* POST /v1/feedback: somebody says how good an answer was. The policies that judged the request hear it, with what
 * they noted then. Another worker may have answered: what is not known here goes round through the manager. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/gateway/call_priv.h"

enum { RATED_MAX = 2048, NOTES_MAX = 4, LABEL_MAX = 64 };

/* A request that was answered, as far as feedback needs it. */
struct pm_rated {
    char id[32];
    const struct pm_route *route;
    const struct pm_target *target;
    const struct pm_user *client;
    int status, attempts;
    long long prompt_tokens, output_tokens;
    double total_ms;
    size_t n;
    struct {
        const char *policy;
        size_t len;
        char data[PM_NOTE_MAX];
    } notes[NOTES_MAX];
};

void pm_feedback_note(struct pm_call *c, int status, double total_ms)
{
    struct pm_gateway *g = c->g;
    if (!c->decision || !c->target || status < 200 || status > 299)
        return;
    if (!g->rated)
        g->rated = pm_calloc(RATED_MAX, sizeof(*g->rated));
    struct pm_rated *r = &g->rated[g->n_rated++ % RATED_MAX];
    *r = (struct pm_rated){.route = c->input.route,
                           .target = c->target,
                           .client = c->client,
                           .status = status,
                           .attempts = (int)c->attempts,
                           .prompt_tokens = c->usage.prompt > 0 ? c->usage.prompt : 0,
                           .output_tokens = c->usage.output > 0 ? c->usage.output : 0,
                           .total_ms = total_ms};
    snprintf(r->id, sizeof(r->id), "%s", c->id);
    for (size_t i = 0; i < c->decision->n_verdicts && r->n < NOTES_MAX; i++) {
        const struct pm_verdict *v = &c->decision->verdicts[i];
        if (!v->note_len)
            continue;
        r->notes[r->n].policy = v->policy;
        r->notes[r->n].len = v->note_len;
        memcpy(r->notes[r->n++].data, v->note, v->note_len);
    }
}

static void tell(struct pm_gateway *g, const struct pm_rated *r, double score)
{
    struct pm_verdict *verdicts = pm_calloc(NOTES_MAX, sizeof(*verdicts));
    struct pm_outcome outcome = {.kind = PM_OUTCOME_FEEDBACK,
                                 .target = r->target->id,
                                 .status = r->status,
                                 .attempts = r->attempts,
                                 .total_ms = r->total_ms,
                                 .prompt_tokens = r->prompt_tokens,
                                 .output_tokens = r->output_tokens,
                                 .score = score};
    for (size_t i = 0; i < r->n; i++) {
        verdicts[i].policy = r->notes[i].policy;
        verdicts[i].note_len = r->notes[i].len;
        memcpy(verdicts[i].note, r->notes[i].data, r->notes[i].len);
    }
    pm_policies_outcome(g->policies, r->route, verdicts, r->n, &outcome);
    pm_metrics_add(g->metrics, "pointsman_feedback_total", "", 1);
    free(verdicts);
}

/* A key may speak of its own requests. */
static bool take(struct pm_gateway *g, const char *id, const struct pm_user *client, double score)
{
    size_t n = g->n_rated < RATED_MAX ? g->n_rated : RATED_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct pm_rated *r = &g->rated[i];
        if (strcmp(r->id, id) != 0 || (r->client && r->client != client && !(client && client->admin)))
            continue;
        tell(g, r, score);
        return true;
    }
    return false;
}

/* What is wrong with it, or NULL. */
static const char *read_feedback(const cJSON *root, const char **id, double *score)
{
    const cJSON *said = pm_json_get(root, "score");
    const char *label = pm_json_str(root, "label");
    *id = pm_json_str(root, "request");
    if (!*id || strncmp(*id, "req_", 4) != 0 || strlen(*id) > 31)
        return "`request` must be the id that x-pointsman-request told, req_...";
    if (said && (!cJSON_IsNumber(said) || !(said->valuedouble >= 0 && said->valuedouble <= 1)))
        return "`score` must be a number from 0 (useless) to 1 (right)";
    if (label && strlen(label) > LABEL_MAX)
        return "`label` is too long: at most 64 bytes";
    if (!said && !label)
        return "`score` (0 to 1) or `label` (\"good\" or \"bad\") is missing";
    if (!said && strcmp(label, "good") != 0 && strcmp(label, "bad") != 0)
        return "`label` must be \"good\" or \"bad\"";
    *score = said ? said->valuedouble : strcmp(label, "good") == 0;
    return NULL;
}

static void send_round(struct pm_gateway *g, const char *id, const struct pm_user *client, double score)
{
    char text[256];
    if (!g->channel)
        return;
    snprintf(text, sizeof(text), "%s %.4f %.64s", id, score, client ? client->hash : "-");
    pm_channel_send_text(g->channel, PM_MSG_FEEDBACK, 0, text);
}

void pm_answer_feedback(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    const struct pm_buf *body = pm_exchange_body(x);
    const struct pm_user *client = pm_user_of(g, pm_exchange_head(x));
    struct pm_error err = {0};
    const char *id;
    double score;
    (void)rest;
    cJSON *root = pm_json_parse(body->data, body->len, &err), *answer;
    const char *wrong = root ? read_feedback(root, &id, &score) : NULL;
    if (!root || wrong) {
        pm_reply_error(g, x, 400, NULL, "%s%s", wrong ? wrong : "the body is not valid JSON: ", wrong ? "" : err.msg);
        cJSON_Delete(root);
        return;
    }
    bool here = take(g, id, client, score);
    pm_journal_said(g, id, score, pm_json_str(root, "label"), client);
    if (!here)
        send_round(g, id, client, score);
    answer = cJSON_CreateObject();
    cJSON_AddStringToObject(answer, "request", id);
    cJSON_AddStringToObject(answer, "status", here ? "taken" : "passed on");
    pm_reply_json(g, x, here ? 200 : 202, answer);
    cJSON_Delete(root);
}

void pm_feedback_message(struct pm_gateway *g, const struct pm_msg *msg)
{
    char id[32], hash[65];
    double score;
    const struct pm_user *client = NULL;
    if (sscanf(msg->data, "%31s %lf %64s", id, &score, hash) != 3)
        return;
    for (size_t i = 0; i < g->conf->n_clients; i++)
        if (strcmp(g->conf->clients[i].hash, hash) == 0)
            client = &g->conf->clients[i];
    (void)take(g, id, client, score);
}
