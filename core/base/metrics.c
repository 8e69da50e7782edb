#include "core/base/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"

enum { SERIES_MAX = 4096, TABLE_START = 64 };

/* A counter, a gauge, or (with buckets) a histogram, of which `value` is the sum. */
struct series {
    char *key; /* name{labels} */
    double value;
    bool current; /* a gauge: set since the last text */
    const struct definition *histogram;
    double *buckets; /* n_buckets + 1: the last is for what passes all bounds; not yet added up */
};

struct pm_metrics {
    struct series *table; /* open addressing, size a power of two */
    size_t size, used;
};

/* Histograms: OpenTelemetry's advice for durations in seconds and for tokens (semconv, gen-ai metrics). */
static const double seconds_buckets[] = {0.01, 0.02,  0.04,  0.08,  0.16,  0.32,   0.64,   1.28,  2.56,
                                         5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36};
static const double token_buckets[] = {1,     4,     16,     64,      256,     1024,     4096,
                                       16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864};
static const double micro_buckets[] = {1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 1e-1, 1};

static const double ratio_buckets[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct definition {
    const char *name, *type, *help;
    const double *buckets;
    size_t n_buckets;
} definitions[] = {
    {"gen_ai_client_token_usage", "histogram", "Tokens of requests and answers", token_buckets, COUNT(token_buckets)},
    {"gen_ai_server_request_duration_seconds", "histogram", "Time from a request's first byte to its answer's last",
     seconds_buckets, COUNT(seconds_buckets)},
    {"gen_ai_server_time_to_first_token_seconds", "histogram",
     "Time from a request's first byte to its answer's first content", seconds_buckets, COUNT(seconds_buckets)},
    {"pointsman_attempt_failures_total", "counter", "Attempts that failed before any content", NULL, 0},
    {"pointsman_breaker_open", "gauge", "Workers that leave a cloud model alone since it failed too often", NULL, 0},
    {"pointsman_build_info", "gauge", "1, with the version", NULL, 0},
    {"pointsman_cached_tokens_total", "counter", "Tokens of prompts that came from a cache of the target", NULL, 0},
    {"pointsman_cost_total", "counter", "Cost of answers, in the currency of the prices", NULL, 0},
    {"pointsman_cancelled_total", "counter", "Requests whose client left before the answer was complete", NULL, 0},
    {"pointsman_cache_total", "counter", "Requests whose answer may be kept, by whether it was", NULL, 0},
    {"pointsman_config_error", "gauge", "1 while the newest configuration could not be used", NULL, 0},
    {"pointsman_config_generation", "gauge", "Number of the configuration in use", NULL, 0},
    {"pointsman_feedback_total", "counter", "Answers that somebody has said something of", NULL, 0},
    {"pointsman_gpu_memory_bytes", "gauge", "Memory of a device", NULL, 0},
    {"pointsman_gpu_memory_free_bytes", "gauge", "Memory of a device that is free", NULL, 0},
    {"pointsman_gpu_power_watts", "gauge", "Power that a device draws", NULL, 0},
    {"pointsman_gpu_temperature_celsius", "gauge", "How hot a device is", NULL, 0},
    {"pointsman_gpu_use_ratio", "gauge", "Part of the time in which a device worked", NULL, 0},
    {"pointsman_http_requests_total", "counter", "Requests by endpoint and status", NULL, 0},
    {"pointsman_mended_events_total", "counter", "Events of streams that broke their protocol and were mended", NULL,
     0},
    {"pointsman_overhead_seconds", "histogram", "Time spent in the gateway itself", micro_buckets,
     COUNT(micro_buckets)},
    {"pointsman_policy_over_budget_total", "counter", "Calls of policies that took longer than they may", NULL, 0},
    {"pointsman_policy_seconds", "histogram", "Time of a policy for one request", micro_buckets, COUNT(micro_buckets)},
    {"pointsman_prefix_break_bytes", "histogram",
     "Where in a request its prompt broke with what the server had read before", token_buckets, COUNT(token_buckets)},
    {"pointsman_prefix_reuse_ratio", "histogram", "Part of a prompt that its server had in its cache", ratio_buckets,
     COUNT(ratio_buckets)},
    {"pointsman_profile_drain_seconds", "histogram", "Time in which a profile finished its requests before it went",
     seconds_buckets, COUNT(seconds_buckets)},
    {"pointsman_profile_leases", "gauge", "Slots in use", NULL, 0},
    {"pointsman_profile_load_seconds", "histogram", "Time from start to ready of a profile's server", seconds_buckets,
     COUNT(seconds_buckets)},
    {"pointsman_profile_spawn_seconds", "histogram", "Time from starting a server to its first line", seconds_buckets,
     COUNT(seconds_buckets)},
    {"pointsman_profile_state", "gauge", "1 for the state that a profile is in", NULL, 0},
    {"pointsman_profile_stop_seconds", "histogram", "Time from asking a server to end to its end", seconds_buckets,
     COUNT(seconds_buckets)},
    {"pointsman_profile_waiting", "gauge", "Requests that wait for a slot", NULL, 0},
    {"pointsman_kv_total", "counter", "Conversations' KV saved and restored, by profile and what came of it", NULL, 0},
    {"pointsman_kv_seconds", "histogram", "Time of saving or restoring a conversation's KV", seconds_buckets,
     COUNT(seconds_buckets)},
    {"pointsman_memory_wait_seconds", "histogram", "Time until the memory for a load was free", seconds_buckets,
     COUNT(seconds_buckets)},
    {"pointsman_queue_wait_seconds", "histogram", "Time from asking for a slot to having it", seconds_buckets,
     COUNT(seconds_buckets)},
    {"pointsman_redis_up", "gauge", "Workers that are connected to Redis", NULL, 0},
    {"pointsman_resumes_total", "counter", "Streams that broke off after content and were asked for again", NULL, 0},
    {"pointsman_review_questions_failed_total", "counter", "Questions of policies to models that failed", NULL, 0},
    {"pointsman_reviews_total", "counter", "Answers that a policy looked at before the caller, by what came of it",
     NULL, 0},
    {"pointsman_switches_total", "counter", "Loads and unloads of profiles, by cause", NULL, 0},
    {"pointsman_usage_dropped_total", "counter", "Records of requests that could not be kept", NULL, 0},
    {"pointsman_usage_recording", "gauge", "1 while requests are recorded", NULL, 0},
    {"pointsman_worker_restarts_total", "counter", "Workers that died and were replaced", NULL, 0},
};

static const struct definition *definition_of(const char *name, size_t len)
{
    for (size_t i = 0; i < COUNT(definitions); i++)
        if (strlen(definitions[i].name) == len && memcmp(definitions[i].name, name, len) == 0)
            return &definitions[i];
    return NULL;
}

struct pm_metrics *pm_metrics_new(void)
{
    struct pm_metrics *m = pm_calloc(1, sizeof(*m));
    m->size = TABLE_START;
    m->table = pm_calloc(m->size, sizeof(*m->table));
    return m;
}

void pm_metrics_free(struct pm_metrics *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->size; i++) {
        free(m->table[i].key);
        free(m->table[i].buckets);
    }
    free(m->table);
    free(m);
}

static struct series *slot(struct series *table, size_t size, const char *key)
{
    size_t i = pm_hash(key, strlen(key), PM_HASH_SEED) & (size - 1);
    while (table[i].key && strcmp(table[i].key, key) != 0)
        i = (i + 1) & (size - 1);
    return &table[i];
}

static void grow(struct pm_metrics *m)
{
    size_t size = m->size * 2;
    struct series *table = pm_calloc(size, sizeof(*table));
    for (size_t i = 0; i < m->size; i++)
        if (m->table[i].key)
            *slot(table, size, m->table[i].key) = m->table[i];
    free(m->table);
    m->table = table;
    m->size = size;
}

static struct series *find(struct pm_metrics *m, const char *key)
{
    struct series *s = slot(m->table, m->size, key);
    if (s->key)
        return s;
    if (m->used == SERIES_MAX)
        return NULL;
    if (m->used * 2 >= m->size) {
        grow(m);
        s = slot(m->table, m->size, key);
    }
    m->used++;
    s->key = pm_strdup(key);
    const struct definition *d = definition_of(key, strcspn(key, "{"));
    if (d && d->n_buckets) {
        s->histogram = d;
        s->buckets = pm_calloc(d->n_buckets + 1, sizeof(*s->buckets));
    }
    return s;
}

static struct series *find_labelled(struct pm_metrics *m, const char *name, const char *labels)
{
    char key[512];
    size_t n = strlen(name), k = strlen(labels);
    if (n + k + 3 > sizeof(key))
        return NULL;
    memcpy(key, name, n);
    if (k) {
        key[n++] = '{';
        memcpy(key + n, labels, k);
        n += k;
        key[n++] = '}';
    }
    key[n] = 0;
    return find(m, key);
}

void pm_metrics_add(struct pm_metrics *m, const char *name, const char *labels, double value)
{
    struct series *s = find_labelled(m, name, labels);
    if (s)
        s->value += value;
}

void pm_metrics_set(struct pm_metrics *m, const char *name, const char *labels, double value)
{
    struct series *s = find_labelled(m, name, labels);
    if (s) {
        s->value = value;
        s->current = true;
    }
}

void pm_metrics_observe(struct pm_metrics *m, const char *name, const char *labels, double value)
{
    struct series *s = find_labelled(m, name, labels);
    size_t i = 0;
    if (!s || !s->buckets)
        return;
    while (i < s->histogram->n_buckets && value > s->histogram->buckets[i])
        i++;
    s->buckets[i]++;
    s->value += value;
}

void pm_metrics_label(struct pm_buf *labels, const char *label, const char *value)
{
    pm_buf_addf(labels, "%s%s=\"", labels->len ? "," : "", label);
    for (const char *p = value; *p; p++) {
        if (*p == '"' || *p == '\\')
            pm_buf_addf(labels, "\\%c", *p);
        else if (*p == '\n')
            pm_buf_add(labels, "\\n");
        else
            pm_buf_addn(labels, p, 1);
    }
    pm_buf_add(labels, "\"");
}

/* Moves one series out: `key value`, and for a histogram its buckets behind it. */
static void drain(struct series *s, struct pm_buf *out)
{
    bool any = s->value != 0;
    for (size_t i = 0; s->buckets && i <= s->histogram->n_buckets; i++)
        any |= s->buckets[i] != 0;
    if (!any)
        return;
    pm_buf_addf(out, "%s %.17g", s->key, s->value);
    s->value = 0;
    for (size_t i = 0; s->buckets && i <= s->histogram->n_buckets; i++) {
        pm_buf_addf(out, " %.17g", s->buckets[i]);
        s->buckets[i] = 0;
    }
    pm_buf_add(out, "\n");
}

bool pm_metrics_drain(struct pm_metrics *m, struct pm_buf *out)
{
    size_t before = out->len;
    for (size_t i = 0; i < m->size; i++)
        if (m->table[i].key)
            drain(&m->table[i], out);
    return out->len > before;
}

/* The end of the key at the start of a line: behind its labels, in which blanks may stand. */
static size_t key_length(const char *line, size_t len)
{
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '\\' && quoted)
            i++;
        else if (line[i] == '"')
            quoted = !quoted;
        else if (line[i] == ' ' && !quoted)
            return i;
    }
    return 0;
}

/* name, or name{labels} */
static bool is_series_key(const char *key)
{
    size_t name = strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_:"), n = strlen(key);
    return name && (name == n || (key[name] == '{' && key[n - 1] == '}' && n > name + 2));
}

static void merge_line(struct pm_metrics *m, const char *line, size_t len)
{
    char key[512], *at;
    size_t n = key_length(line, len);
    if (!n || n >= sizeof(key))
        return;
    memcpy(key, line, n);
    key[n] = 0;
    double value = strtod(line + n, &at);
    struct series *s = at > line + n + 1 && is_series_key(key) ? find(m, key) : NULL;
    if (!s)
        return;
    s->value += value;
    for (size_t i = 0; s->buckets && i <= s->histogram->n_buckets && at < line + len; i++)
        s->buckets[i] += strtod(at, &at);
}

void pm_metrics_merge(struct pm_metrics *m, const char *lines)
{
    while (*lines) {
        size_t len = strcspn(lines, "\n");
        merge_line(m, lines, len);
        lines += len + (lines[len] == '\n');
    }
}

/* By metric, then by series. */
static int by_key(const void *a, const void *b)
{
    const char *x = ((const struct series *)a)->key, *y = ((const struct series *)b)->key;
    size_t nx = strcspn(x, "{"), ny = strcspn(y, "{");
    int c = memcmp(x, y, nx < ny ? nx : ny);
    if (c || nx != ny)
        return c ? c : nx < ny ? -1 : 1;
    return strcmp(x, y);
}

static void histogram_text(const struct series *s, struct pm_buf *out)
{
    const struct definition *d = s->histogram;
    size_t n = strlen(d->name), k = strlen(s->key + n);
    /* Without the braces. */
    const char *labels = k ? s->key + n + 1 : "";
    int len = k ? (int)k - 2 : 0;
    double total = 0;
    for (size_t i = 0; i <= d->n_buckets; i++) {
        char le[32] = "+Inf";
        if (i < d->n_buckets)
            snprintf(le, sizeof(le), "%.12g", d->buckets[i]);
        total += s->buckets[i];
        pm_buf_addf(out, "%s_bucket{%.*s%sle=\"%s\"} %.17g\n", d->name, len, labels, len ? "," : "", le, total);
    }
    pm_buf_addf(out, "%s_sum%s %.17g\n%s_count%s %.17g\n", d->name, s->key + n, s->value, d->name, s->key + n, total);
}

static bool is_gauge(const struct series *s)
{
    const struct definition *d = definition_of(s->key, strcspn(s->key, "{"));
    return d && strcmp(d->type, "gauge") == 0;
}

void pm_metrics_text(struct pm_metrics *m, struct pm_buf *out)
{
    struct series *all = pm_calloc(m->used, sizeof(*all));
    size_t n = 0;
    for (size_t i = 0; i < m->size; i++) {
        struct series *s = &m->table[i];
        /* What is not there any more has no value: the state that a profile was in when it was taken out, say. */
        if (s->key && (s->current || !is_gauge(s)))
            all[n++] = *s;
        s->current = false;
    }
    qsort(all, n, sizeof(*all), by_key);
    for (size_t i = 0; i < n; i++) {
        size_t len = strcspn(all[i].key, "{");
        const struct definition *d = definition_of(all[i].key, len);
        if (!i || strcspn(all[i - 1].key, "{") != len || memcmp(all[i].key, all[i - 1].key, len) != 0)
            pm_buf_addf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)len, all[i].key, d ? d->help : "Of a policy",
                        (int)len, all[i].key, d ? d->type : "counter");
        if (all[i].buckets)
            histogram_text(&all[i], out);
        else
            pm_buf_addf(out, "%s %.17g\n", all[i].key, all[i].value);
    }
    free(all);
}
