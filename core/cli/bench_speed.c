/* How fast a profile reads and writes, at several fills of its context, through the gateway.
 *
 * As llama-bench does it: prompts of random tokens, reading and writing measured apart. The server's own clock counts
 * (`timings`), ours only the time to the first token. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"
#include "core/cli/bench_priv.h"
#include "core/learn/measure.h"

enum { REPEATS_MAX = 100 };

struct cell {
    long long fill;
    size_t n;
    double prompt_tps[REPEATS_MAX], output_tps[REPEATS_MAX], first_ms[REPEATS_MAX];
};

/* Tokens from the middle of the vocabulary: the first ones are often special. */
static void add_tokens(struct pm_buf *out, long long n, long long vocabulary, uint64_t seed)
{
    for (long long i = 0; i < n; i++)
        pm_buf_addf(out, "%s%lld", i ? "," : "",
                    vocabulary / 4 + (long long)(pm_random(&seed) % (uint64_t)(vocabulary / 2 + 1)));
}

/* `fill` tokens that are the same each time, then `fresh` ones that no cache has. */
static char *body_of(const char *id, long long fill, long long fresh, long long generate, long long vocabulary,
                     uint64_t seed)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    pm_buf_add(&out, "{\"model\":");
    pm_json_quote(&out, id, strlen(id));
    pm_buf_add(&out, ",\"prompt\":[");
    add_tokens(&out, fill, vocabulary, 1);
    pm_buf_add(&out, fill && fresh ? "," : "");
    add_tokens(&out, fresh, vocabulary, seed);
    pm_buf_addf(&out,
                "],\"n_predict\":%lld,\"cache_prompt\":%s,\"id_slot\":0,\"ignore_eos\":true,"
                "\"temperature\":0,\"samplers\":[\"temperature\"]}",
                generate, fill ? "true" : "false");
    return pm_buf_take(&out);
}

static cJSON *ask(struct pm_bench *b, const char *body, double *first_ms, struct pm_error *err)
{
    struct pm_bench_reply reply;
    pm_bench_ask(b, "/completion", body, &reply);
    cJSON *answer = reply.status == 200 ? cJSON_Parse(reply.body.data) : NULL;
    cJSON *timings = cJSON_DetachItemFromObject(answer, "timings");
    cJSON_Delete(answer);
    *first_ms = reply.first_ms;
    if (!timings)
        pm_error_set(err, PM_EPROTO, "the gateway answered %d: %.300s", reply.status, reply.body.data);
    pm_buf_release(&reply.body);
    return timings;
}

static double rate(const cJSON *timings, const char *n, const char *ms)
{
    double time = pm_json_num(timings, ms, 0);
    return time > 0 ? pm_json_num(timings, n, 0) * 1000 / time : 0;
}

static int measure_once(struct pm_bench *b, const char *id, struct cell *c, long long vocabulary, uint64_t seed,
                        bool counts, struct pm_error *err)
{
    double first_ms, ignored;
    cJSON *t;
    char *body;
    if (c->fill) {
        body = body_of(id, c->fill, 0, 0, vocabulary, 0);
        t = ask(b, body, &ignored, err);
        free(body);
        if (!t)
            return PM_EPROTO;
        cJSON_Delete(t);
    }
    body = body_of(id, c->fill, b->prompt, 1, vocabulary, seed);
    t = ask(b, body, &first_ms, err);
    free(body);
    if (!t)
        return PM_EPROTO;
    double prompt_tps = rate(t, "prompt_n", "prompt_ms");
    cJSON_Delete(t);
    body = body_of(id, c->fill, 1, b->generate, vocabulary, seed + 1);
    t = ask(b, body, &ignored, err);
    free(body);
    if (!t)
        return PM_EPROTO;
    double output_tps = rate(t, "predicted_n", "predicted_ms");
    cJSON_Delete(t);
    if (!counts)
        return PM_OK;
    c->prompt_tps[c->n] = prompt_tps;
    c->output_tps[c->n] = output_tps;
    c->first_ms[c->n++] = first_ms;
    return PM_OK;
}

static void add_spread(cJSON *to, const char *key, double *values, size_t n)
{
    cJSON *item = cJSON_AddObjectToObject(to, key);
    qsort(values, n, sizeof(*values), pm_measure_order);
    cJSON_AddNumberToObject(item, "median", n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2);
    cJSON_AddNumberToObject(item, "low", values[0]);
    cJSON_AddNumberToObject(item, "high", values[n - 1]);
}

/* 0 with `err` when the server does not tell. */
static long long vocabulary_of(struct pm_bench *b, const char *id, struct pm_error *err)
{
    char *path = pm_asprintf("/upstream/%s/v1/models", id);
    struct pm_bench_reply reply;
    pm_bench_ask(b, path, NULL, &reply);
    cJSON *root = reply.status == 200 ? cJSON_Parse(reply.body.data) : NULL;
    const cJSON *first = cJSON_GetArrayItem(pm_json_get(root, "data"), 0);
    long long n = (long long)pm_json_num(pm_json_get(first, "meta"), "n_vocab", 0);
    if (reply.status == 200 && n <= 0)
        pm_error_set(err, PM_EPROTO, "the server does not tell its vocabulary");
    else if (n <= 0)
        pm_error_set(err, PM_EPROTO, "the gateway answered %d: %.300s", reply.status, reply.body.data);
    cJSON_Delete(root);
    pm_buf_release(&reply.body);
    free(path);
    return n;
}

static int measure_cell(struct pm_bench *b, const char *id, struct cell *c, long long vocabulary, struct pm_error *err)
{
    /* The first one warms up: kernels are compiled, memory is touched. */
    int rc = measure_once(b, id, c, vocabulary, 7, false, err);
    for (long long i = 0; i < b->repeats && i < REPEATS_MAX && rc == PM_OK; i++)
        rc = measure_once(b, id, c, vocabulary, 1000 + 10 * (uint64_t)i, true, err);
    return rc;
}

int pm_bench_speed(struct pm_bench *b, const char *id, const char *profile, const char *variant, struct pm_error *err)
{
    struct cell *c = pm_calloc(1, sizeof(*c));
    long long vocabulary = 0;
    int rc = PM_OK;
    for (size_t i = 0; i < b->fills.n && rc == PM_OK; i++) {
        char *name = pm_asprintf("speed %s %s fill=%s", profile, variant, b->fills.items[i]);
        *c = (struct cell){0};
        rc = pm_int_parse(b->fills.items[i], 0, 10000000, &c->fill);
        if (rc == PM_OK && !pm_results_has(b->results, b->run, name)) {
            if (!vocabulary && (vocabulary = vocabulary_of(b, id, err)) <= 0)
                rc = PM_EPROTO;
            if (rc == PM_OK)
                rc = measure_cell(b, id, c, vocabulary, err);
        }
        if (rc == PM_OK) {
            cJSON *cell = c->n ? cJSON_CreateObject() : NULL;
            if (cell) {
                cJSON_AddStringToObject(cell, "kind", "speed");
                cJSON_AddStringToObject(cell, "profile", profile);
                cJSON_AddStringToObject(cell, "variant", variant);
                pm_bench_add_server(b, id, cell);
                cJSON_AddNumberToObject(cell, "fill", (double)c->fill);
                cJSON_AddNumberToObject(cell, "prompt", (double)b->prompt);
                cJSON_AddNumberToObject(cell, "generate", (double)b->generate);
                cJSON_AddNumberToObject(cell, "repeats", (double)c->n);
                add_spread(cell, "prompt_tps", c->prompt_tps, c->n);
                add_spread(cell, "output_tps", c->output_tps, c->n);
                add_spread(cell, "first_ms", c->first_ms, c->n);
            }
            rc = pm_bench_keep(b, name, cell, err);
        }
        free(name);
    }
    free(c);
    return rc;
}
