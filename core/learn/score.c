#include "core/learn/score.h"

#include <math.h>
#include <string.h>

static size_t bucket(uint64_t hash, uint32_t bits)
{
    return (size_t)(hash >> (64 - bits));
}

static double size_of(const struct pm_features *f)
{
    double sum = 0;
    for (unsigned i = 0; i < f->n; i++)
        sum += (double)f->value[i] * f->value[i];
    return sqrt(sum);
}

static void softmax(float *p, unsigned n)
{
    float most = p[0], sum = 0;
    for (unsigned c = 1; c < n; c++)
        most = p[c] > most ? p[c] : most;
    for (unsigned c = 0; c < n; c++)
        sum += p[c] = expf(p[c] - most);
    for (unsigned c = 0; c < n; c++)
        p[c] /= sum;
}

double pm_classes_score(const struct pm_classes *c, const struct pm_features *f, float *p, unsigned *best)
{
    double size = size_of(f);
    float by = size > 0 ? (float)pow(size, -c->norm) : 1;
    unsigned n = c->n;
    memset(p, 0, c->n * sizeof(*p));
    for (unsigned i = 0; i < f->n; i++) {
        const int8_t *w = c->weights + bucket(f->hash[i], c->bits) * n;
        float value = f->value[i];
        for (unsigned k = 0; k < n; k++)
            p[k] += value * (float)w[k];
    }
    for (unsigned k = 0; k < n; k++)
        p[k] = c->bias[k] + c->scale[k] * by * p[k];
    softmax(p, c->n);
    *best = c->outside == 0 && c->n > 1;
    for (unsigned k = 0; k < c->n; k++)
        if (p[k] > p[*best] && (int32_t)k != c->outside)
            *best = k;
    if (c->outside < 0)
        return p[*best];
    return log(p[*best] + 1e-30) - 0.5 * log(p[c->outside] + 1e-30);
}

double pm_head_score(const struct pm_head *h, const struct pm_features *f, size_t bytes)
{
    long sum = 0;
    for (unsigned i = 0; i < f->n; i++)
        sum += h->weights[bucket(f->hash[i], h->bits)];
    return h->slope * (log1p((double)bytes) - 5) + h->scale * (double)sum;
}

double pm_quantile(const float *q, double value)
{
    static const double tail = 0.005;
    size_t low = 0, high = PM_QUANTILES - 1;
    double range = q[high] - q[0] > 1e-9 ? q[high] - q[0] : 1e-9;
    /* Beyond what was seen there is still an order. */
    if (value <= q[0])
        return tail / (1 + (q[0] - value) / range);
    if (value >= q[high])
        return 1 - tail / (1 + (value - q[high]) / range);
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (q[middle] <= value)
            low = middle;
        else
            high = middle;
    }
    double step = q[high] - q[low], part = step > 0 ? (value - q[low]) / step : 0.5;
    return tail + (1 - 2 * tail) * ((double)low + part) / (PM_QUANTILES - 1);
}

void pm_table_score(const struct pm_table *t, const float *p, const struct pm_features *f, double *quality)
{
    double size = size_of(f), by = size > 0 ? 1 / size : 1;
    for (uint32_t topic = 0; topic < t->topics; topic++) {
        const float *mean = t->mean + (size_t)topic * t->models, *scale = t->scale + (size_t)topic * t->models;
        float heads[PM_LEARN_CLASSES_MAX] = {0};
        /* What is hardly believed does not change the order. */
        if (p[topic] < 0.01F)
            continue;
        for (unsigned i = 0; i < f->n && t->bits; i++) {
            size_t row = ((size_t)topic << t->bits) + bucket(f->hash[i], t->bits);
            const int8_t *w = t->weights + row * t->models;
            for (uint32_t m = 0; m < t->models; m++)
                heads[m] += f->value[i] * (float)w[m];
        }
        for (uint32_t m = 0; m < t->models; m++)
            quality[m] += p[topic] * (mean[m] + scale[m] * heads[m] * by);
    }
}

double pm_size_score(const struct pm_sizes *s, const struct pm_effort *e, size_t bytes, double math)
{
    double length = log1p((double)bytes), z = 0;
    double seen[4] = {length, log1p(e->numbers), log1p(e->relations), log1p(e->sentences)};
    for (unsigned i = 0; i < 4; i++)
        z += (seen[i] - s->mean[i]) / (s->sd[i] > 0 ? s->sd[i] : 1) / 4;
    /* As much spread as the lengths of such prompts have, so that the others keep their places among them. */
    if (math > 0.5 && !e->has_choices)
        length = s->mean[0] + s->sd[0] * z * 1.3;
    return pm_quantile(s->log_bytes, length);
}
