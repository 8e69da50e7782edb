/* GET /api/usage and /api/requests: what the recorder has written down, as it answers (core/store/records.h). */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/gateway/gateway_priv.h"

static void answered(struct pm_gateway *g, struct pm_exchange *x, const cJSON *reply)
{
    const char *id = strstr(pm_exchange_head(x)->path, "/requests/");
    const cJSON *list = pm_json_get(pm_json_get(reply, "usage"), "requests");
    if (id && !cJSON_GetArraySize(list)) {
        pm_reply_error(g, x, 404, NULL, "there is no record of %.100s", id + strlen("/requests/"));
        return;
    }
    pm_reply_json(g, x, 200, cJSON_Duplicate(pm_json_get(reply, "usage"), true));
}

static const char *const words[] = {"by", "route", "target", "key", "model", "outcome"};
static const char *const numbers[] = {"since", "until", "before"};

/* Takes what the address says over into the question; false when the request was refused. */
static bool add_query(struct pm_gateway *g, struct pm_exchange *x, cJSON *question)
{
    const struct pm_http_head *head = pm_exchange_head(x);
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        char *value = pm_query_value(head, words[i]);
        if (value)
            cJSON_AddStringToObject(question, words[i], value);
        free(value);
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        char *value = pm_query_value(head, numbers[i]);
        long long number;
        bool good = !value || pm_int_parse(value, 0, (long long)9e15, &number) == PM_OK;
        if (value && good)
            cJSON_AddNumberToObject(question, numbers[i], (double)number);
        free(value);
        if (good)
            continue;
        pm_reply_error(g, x, 400, NULL, "`%s` must be a number%s", numbers[i],
                       i < 2 ? ": milliseconds since 1970" : ", as the last list told it");
        return false;
    }
    return true;
}

static void ask(struct pm_gateway *g, struct pm_exchange *x, cJSON *question)
{
    cJSON_AddStringToObject(question, "op", "usage");
    if (add_query(g, x, question))
        pm_ask_manager(g, x, question, answered);
    else
        cJSON_Delete(question);
}

void pm_answer_usage(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    cJSON *question = cJSON_CreateObject();
    char *by = pm_query_value(pm_exchange_head(x), "by");
    (void)rest;
    if (!by)
        cJSON_AddStringToObject(question, "by", "day");
    free(by);
    ask(g, x, question);
}

void pm_answer_requests(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    cJSON *question = cJSON_CreateObject();
    char *limit = pm_query_value(pm_exchange_head(x), "limit");
    long long n = 50;
    if (*rest)
        cJSON_AddStringToObject(question, "request", rest);
    if (limit && pm_int_parse(limit, 1, 1000, &n) < 0) {
        pm_reply_error(g, x, 400, NULL, "`limit` must be a number from 1 to 1000");
        cJSON_Delete(question);
    } else {
        cJSON_AddNumberToObject(question, "list", (double)n);
        ask(g, x, question);
    }
    free(limit);
}
