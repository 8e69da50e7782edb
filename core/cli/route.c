/* `pointsman route`: what would be decided for a text or a request body, and why. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"
#include "core/cli/cli.h"
#include "core/cli/options.h"
#include "core/cli/talk.h"

static size_t collect(char *data, size_t size, size_t n, void *arg)
{
    return pm_buf_append(arg, data, size * n) == PM_OK ? size * n : 0;
}

static int post(const char *address, const char *key, const char *body, size_t len, struct pm_buf *answer,
                struct pm_error *err)
{
    char *url = pm_asprintf("http://%s/v1/route", address);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    CURL *e = curl_easy_init();
    headers = curl_slist_append(headers, "Expect:");
    char *bearer = key ? pm_asprintf("Authorization: Bearer %s", key) : NULL;
    if (bearer)
        headers = curl_slist_append(headers, bearer);
    free(bearer);
    curl_easy_setopt(e, CURLOPT_URL, url);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, answer);
    CURLcode code = curl_easy_perform(e);
    curl_easy_cleanup(e);
    curl_slist_free_all(headers);
    free(url);
    return code == CURLE_OK ? PM_OK : pm_error_set(err, PM_EIO, "%s: %s", address, curl_easy_strerror(code));
}

static void print_trace(const cJSON *t)
{
    const cJSON *item, *term;
    const char *target = pm_json_str(t, "target");
    printf("route %s -> %s\n", pm_json_str(t, "route"), target ? target : "nothing");
    printf("  %s\n", pm_json_str(t, "reason"));
    cJSON_ArrayForEach (item, pm_json_get(t, "attempts")) {
        printf("  %-24s %7.3f =", pm_json_str(item, "target"), pm_json_num(item, "score", 0));
        cJSON_ArrayForEach (term, pm_json_get(item, "terms"))
            printf(" %s %.3f", term->string, term->valuedouble);
        printf("%s\n", pm_json_true(item, "fallback") ? " (fallback)" : "");
    }
    cJSON_ArrayForEach (item, pm_json_get(t, "vetoes"))
        printf("  %-24s vetoed: %s\n", pm_json_str(item, "target"), pm_json_str(item, "reason"));
    cJSON_ArrayForEach (item, pm_json_get(t, "policies")) {
        char *said = pm_json_text(pm_json_get(item, "verdict"));
        printf("  policy %-17s %5.0f us %s\n", pm_json_str(item, "name"), pm_json_num(item, "us", 0), said);
        free(said);
    }
}

/* The same in sentences, for whoever does not know the formula. */
static void explain(const cJSON *t)
{
    const cJSON *first = cJSON_GetArrayItem(pm_json_get(t, "attempts"), 0), *second = first ? first->next : NULL,
                *term;
    const cJSON *intent, *intents = pm_json_get(t, "intents");
    printf("\nWhy: ");
    cJSON_ArrayForEach (intent, intents)
        printf("%s%s is asked for with confidence %.2f", intent == intents->child ? "" : ", ", intent->string,
               intent->valuedouble);
    if (!intents || !intents->child)
        printf("no policy saw what is asked for");
    if (cJSON_IsNumber(pm_json_get(t, "complexity")))
        printf("; its difficulty is %.2f of 1", pm_json_num(t, "complexity", 0));
    if (cJSON_IsNumber(pm_json_get(t, "limit")))
        printf(" (from %.2f on it goes to the strongest target)", pm_json_num(t, "limit", 0));
    puts(".");
    if (pm_json_true(t, "stays"))
        puts("The result of a tool goes to the model that asked for it, whatever the scores are.");
    if (!first || !second || pm_json_true(t, "stays"))
        return;
    printf("%s is before %s by %.3f:", pm_json_str(first, "target"), pm_json_str(second, "target"),
           pm_json_num(first, "score", 0) - pm_json_num(second, "score", 0));
    cJSON_ArrayForEach (term, pm_json_get(first, "terms")) {
        double by = term->valuedouble - pm_json_num(pm_json_get(second, "terms"), term->string, 0);
        if (by > 0.0005 || by < -0.0005)
            printf(" %s %+.3f", term->string, by);
    }
    puts(". benefit: what it is good at, its strength, preferences; the others are what it costs.");
}

static int print_answer(const struct pm_buf *answer, bool json, bool explains)
{
    cJSON *root = cJSON_ParseWithLength(answer->data, answer->len);
    const char *error = pm_json_str(pm_json_get(root, "error"), "message");
    int rc = 1;
    if (error) {
        fprintf(stderr, "pointsman: %s\n", error);
    } else if (!root) {
        fprintf(stderr, "pointsman: the answer cannot be read\n");
    } else {
        const cJSON *item;
        if (json)
            pm_cli_print_json(root);
        else if (cJSON_IsArray(root))
            cJSON_ArrayForEach (item, root)
                print_trace(item);
        else
            print_trace(root);
        if (explains && !json && !cJSON_IsArray(root))
            explain(root);
        rc = 0;
    }
    cJSON_Delete(root);
    return rc;
}

static char *body_of_text(const char *model, const char *text)
{
    cJSON *body = cJSON_CreateObject();
    if (model)
        cJSON_AddStringToObject(body, "model", model);
    cJSON *message = cJSON_CreateObject();
    cJSON_AddStringToObject(message, "role", "user");
    cJSON_AddStringToObject(message, "content", text);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(body, "messages"), message);
    char *out = pm_json_text(body);
    cJSON_Delete(body);
    return out;
}

int pm_cmd_route(int argc, char **argv)
{
    static const char usage[] =
        "route TEXT | route --body FILE.json  [--model NAME] [--key KEY] [--explain] [--json] [--state "
        "DIR]";
    const char *state = pm_cli_places()->state, *file = NULL, *model = NULL, *key = NULL;
    bool json = false, explains = false;
    const struct pm_cli_option options[] = {{"--body", &file, NULL, "a request body, or an array of them"},
                                            {"--model", &model, NULL, "the model to ask for (the first route's name)"},
                                            {"--key", &key, NULL, "where the gateway asks for one"},
                                            {"--explain", NULL, &explains, "in sentences, too"},
                                            {"--json", NULL, &json, "one document for programs"},
                                            {"--state", &state, NULL, "the state folder of the running gateway"},
                                            {0}};
    struct pm_error err = {0};
    struct pm_buf answer;
    char *body = NULL;
    size_t len = 0;
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0)
        return rc;
    if ((words == 1) == (file != NULL) || words > 1) {
        fprintf(stderr, "usage: pointsman %s\n", usage);
        return 2;
    }
    if (file && pm_file_read(file, 64 << 20, &body, &len, &err) < 0)
        return pm_cli_failed(&err);
    if (!file) {
        body = body_of_text(model, argv[0]);
        len = strlen(body);
    }
    cJSON *status = pm_cli_ask(state, pm_cli_question("status", NULL), &err);
    const cJSON *address = cJSON_GetArrayItem(pm_json_get(pm_json_get(status, "status"), "listen"), 0);
    pm_buf_init(&answer, 64 << 20);
    if (status && post(cJSON_GetStringValue(address), key, body, len, &answer, &err) == PM_OK)
        rc = print_answer(&answer, json, explains);
    else
        rc = pm_cli_failed(&err);
    pm_buf_release(&answer);
    cJSON_Delete(status);
    free(body);
    return rc;
}
