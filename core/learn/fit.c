#include "core/learn/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/learn/measure.h"

/* --- rows --- */

struct pair {
    uint32_t column;
    float value;
};

static int by_column(const void *a, const void *b)
{
    uint32_t x = ((const struct pair *)a)->column, y = ((const struct pair *)b)->column;
    return (x > y) - (x < y);
}

/* Features that fall into one bucket add up. */
static size_t to_pairs(const struct pm_features *f, unsigned bits, struct pair *out)
{
    size_t n = 0;
    for (unsigned i = 0; i < f->n; i++)
        out[i] = (struct pair){(uint32_t)(f->hash[i] >> (64 - bits)), f->value[i]};
    qsort(out, f->n, sizeof(*out), by_column);
    for (unsigned i = 0; i < f->n; i++) {
        if (n && out[n - 1].column == out[i].column)
            out[n - 1].value += out[i].value;
        else
            out[n++] = out[i];
    }
    return n;
}

static void keep_common(struct pm_sparse *x, unsigned least_rows)
{
    uint32_t *rows = pm_calloc((size_t)1 << x->bits, sizeof(*rows));
    size_t to = 0, from = 0;
    for (size_t i = 0; i < x->start[x->n]; i++)
        rows[x->column[i]]++;
    for (size_t r = 0; r < x->n; r++) {
        size_t end = x->start[r + 1];
        for (; from < end; from++) {
            if (rows[x->column[from]] < least_rows)
                continue;
            x->column[to] = x->column[from];
            x->value[to++] = x->value[from];
        }
        x->start[r + 1] = to;
    }
    free(rows);
}

static void divide(struct pm_sparse *x, double norm)
{
    for (size_t r = 0; r < x->n; r++) {
        double sum = 0;
        for (size_t i = x->start[r]; i < x->start[r + 1]; i++)
            sum += (double)x->value[i] * x->value[i];
        double by = sum > 0 ? pow(sqrt(sum), norm) : 1;
        for (size_t i = x->start[r]; i < x->start[r + 1]; i++)
            x->value[i] = (float)(x->value[i] / by);
    }
}

void pm_sparse_of(const struct pm_text_tables *t, enum pm_recipe recipe, unsigned bits, double norm,
                  unsigned least_rows, const char *const *texts, size_t n, struct pm_sparse *out)
{
    struct pm_features *f = pm_calloc(1, sizeof(*f));
    struct pair *pairs = pm_calloc(PM_FEATURES_MAX, sizeof(*pairs));
    size_t room = 1 << 16, used = 0;
    *out = (struct pm_sparse){.n = n, .bits = bits};
    out->start = pm_calloc(n + 1, sizeof(*out->start));
    out->column = pm_calloc(room, sizeof(*out->column));
    out->value = pm_calloc(room, sizeof(*out->value));
    for (size_t r = 0; r < n; r++) {
        pm_features_of(t, recipe, texts[r], strlen(texts[r]), f);
        size_t k = to_pairs(f, bits, pairs);
        if (used + k > room) {
            room = 2 * room + k;
            out->column = pm_realloc(out->column, room, sizeof(*out->column));
            out->value = pm_realloc(out->value, room, sizeof(*out->value));
        }
        for (size_t i = 0; i < k; i++, used++) {
            out->column[used] = pairs[i].column;
            out->value[used] = pairs[i].value;
        }
        out->start[r + 1] = used;
    }
    if (least_rows > 1)
        keep_common(out, least_rows);
    if (norm > 0)
        divide(out, norm);
    free(pairs);
    free(f);
}

void pm_sparse_release(struct pm_sparse *x)
{
    free(x->start);
    free(x->column);
    free(x->value);
    *x = (struct pm_sparse){0};
}

/* --- softmax --- */

static double uniform(uint64_t *random)
{
    return (double)(pm_random(random) >> 11) * 0x1p-53;
}

static size_t draw(const double *upto, size_t n, double at)
{
    size_t low = 0, high = n - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (upto[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The state of one run. */
struct run {
    const struct pm_sparse *x;
    const struct pm_softmax_spec *spec;
    float *w, *b, *gw, *gb; /* weights, bias, and the sums of their squared gradients */
    const float *before;
    uint32_t *column; /* of the features that this step has kept */
    float *value, *z;
    size_t n;
    uint64_t random;
};

static void keep_features(struct run *r, size_t row)
{
    const struct pm_sparse *x = r->x;
    float scale = (float)(1 / (1 - r->spec->drop));
    r->n = 0;
    for (size_t i = x->start[row]; i < x->start[row + 1]; i++) {
        if (r->spec->drop > 0 && uniform(&r->random) < r->spec->drop)
            continue;
        r->column[r->n] = x->column[i];
        r->value[r->n++] = x->value[i] * scale;
    }
}

/* Probabilities less what they should have been. */
static void gradient(struct run *r, unsigned label)
{
    unsigned k = r->spec->classes;
    float smooth = (float)r->spec->smooth, most, sum = 0;
    memcpy(r->z, r->b, k * sizeof(float));
    for (size_t i = 0; i < r->n; i++) {
        const float *w = r->w + (size_t)r->column[i] * k;
        for (unsigned c = 0; c < k; c++)
            r->z[c] += r->value[i] * w[c];
    }
    most = r->z[0];
    for (unsigned c = 1; c < k; c++)
        most = r->z[c] > most ? r->z[c] : most;
    for (unsigned c = 0; c < k; c++)
        sum += r->z[c] = expf(r->z[c] - most);
    for (unsigned c = 0; c < k; c++)
        r->z[c] = r->z[c] / sum - smooth / (float)k - (c == label ? 1 - smooth : 0);
}

static void step(struct run *r, float rate)
{
    unsigned k = r->spec->classes;
    float pull = (float)r->spec->pull;
    for (unsigned c = 0; c < k; c++) {
        r->gb[c] += r->z[c] * r->z[c];
        r->b[c] -= rate * r->z[c] / sqrtf(r->gb[c]);
    }
    for (size_t i = 0; i < r->n; i++) {
        size_t at = (size_t)r->column[i] * k;
        for (unsigned c = 0; c < k; c++) {
            float g = r->z[c] * r->value[i] + pull * (r->w[at + c] - r->before[at + c]);
            r->gw[at + c] += g * g;
            r->w[at + c] -= rate * g / sqrtf(r->gw[at + c]);
        }
    }
}

static void one_run(struct run *r, const unsigned *label, const double *upto)
{
    const struct pm_softmax_spec *spec = r->spec;
    for (unsigned s = 0; s < spec->steps; s++) {
        size_t row = draw(upto, r->x->n, uniform(&r->random));
        keep_features(r, row);
        gradient(r, label[row]);
        step(r, (float)(spec->rate * (1.05 - (double)s / spec->steps)));
    }
}

void pm_fit_softmax(const struct pm_sparse *x, const unsigned *label, const double *weight,
                    const struct pm_softmax_spec *spec, float *weights, float *bias)
{
    size_t k = spec->classes, size = k << x->bits;
    struct run r = {.x = x, .spec = spec};
    double *upto = pm_calloc(x->n + 1, sizeof(*upto)), total = 0;
    float *before = pm_calloc(size, sizeof(float)), *before_bias = pm_calloc(k, sizeof(float));
    r.w = pm_calloc(size, sizeof(float));
    r.gw = pm_calloc(size, sizeof(float));
    r.b = pm_calloc(k, sizeof(float));
    r.gb = pm_calloc(k, sizeof(float));
    r.z = pm_calloc(k, sizeof(float));
    r.column = pm_calloc(PM_FEATURES_MAX, sizeof(*r.column));
    r.value = pm_calloc(PM_FEATURES_MAX, sizeof(*r.value));
    r.before = before;
    memcpy(before, weights, size * sizeof(float));
    memcpy(before_bias, bias, k * sizeof(float));
    for (size_t i = 0; i < x->n; i++)
        total += weight[i];
    for (size_t i = 0; i < x->n; i++)
        upto[i] = (i ? upto[i - 1] : 0) + weight[i] / total;
    memset(weights, 0, size * sizeof(float));
    memset(bias, 0, k * sizeof(float));
    for (unsigned run = 0; run < spec->runs && x->n; run++) {
        memcpy(r.w, before, size * sizeof(float));
        memcpy(r.b, before_bias, k * sizeof(float));
        for (size_t i = 0; i < size; i++)
            r.gw[i] = 1e-8F;
        for (size_t c = 0; c < k; c++)
            r.gb[c] = 1e-8F;
        r.random = spec->seed * 1000 + run;
        one_run(&r, label, upto);
        for (size_t i = 0; i < size; i++)
            weights[i] += r.w[i] / (float)spec->runs;
        for (size_t c = 0; c < k; c++)
            bias[c] += r.b[c] / (float)spec->runs;
    }
    free(r.w);
    free(r.gw);
    free(r.b);
    free(r.gb);
    free(r.z);
    free(r.column);
    free(r.value);
    free(before);
    free(before_bias);
    free(upto);
}

/* --- ridge --- */

/* out = (X X' + lambda) a, through columns. */
static void multiply(const struct pm_sparse *x, const size_t *rows, size_t n, double lambda, const double *a,
                     double *columns, double *out)
{
    memset(columns, 0, sizeof(*columns) << x->bits);
    for (size_t r = 0; r < n; r++)
        for (size_t i = x->start[rows[r]]; i < x->start[rows[r] + 1]; i++)
            columns[x->column[i]] += a[r] * x->value[i];
    for (size_t r = 0; r < n; r++) {
        double sum = lambda * a[r];
        for (size_t i = x->start[rows[r]]; i < x->start[rows[r] + 1]; i++)
            sum += columns[x->column[i]] * x->value[i];
        out[r] = sum;
    }
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

void pm_fit_ridge(const struct pm_sparse *x, const size_t *rows, size_t n, const double *y, double lambda,
                  unsigned iterations, float *w)
{
    double *columns = pm_calloc((size_t)1 << x->bits, sizeof(*columns)), *a = pm_calloc(n + 1, sizeof(*a));
    double *rest = pm_calloc(n + 1, sizeof(*rest)), *way = pm_calloc(n + 1, sizeof(*way));
    double *moved = pm_calloc(n + 1, sizeof(*moved));
    memcpy(rest, y, n * sizeof(*y));
    memcpy(way, y, n * sizeof(*y));
    double size = dot(rest, rest, n);
    for (unsigned k = 0; k < iterations && size > 1e-12; k++) {
        multiply(x, rows, n, lambda, way, columns, moved);
        double far = size / dot(way, moved, n);
        for (size_t i = 0; i < n; i++) {
            a[i] += far * way[i];
            rest[i] -= far * moved[i];
        }
        double left = dot(rest, rest, n);
        for (size_t i = 0; i < n; i++)
            way[i] = rest[i] + left / size * way[i];
        size = left;
    }
    memset(columns, 0, sizeof(*columns) << x->bits);
    for (size_t r = 0; r < n; r++)
        for (size_t i = x->start[rows[r]]; i < x->start[rows[r] + 1]; i++)
            columns[x->column[i]] += a[r] * x->value[i];
    for (size_t i = 0; i < (size_t)1 << x->bits; i++)
        w[i] = (float)columns[i];
    free(columns);
    free(a);
    free(rest);
    free(way);
    free(moved);
}

float pm_quantise(const float *w, size_t n, size_t stride, int8_t *out)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = fabsf(w[i * stride]) > most ? fabsf(w[i * stride]) : most;
    float scale = most > 0 ? most / 127 : 1;
    for (size_t i = 0; i < n; i++)
        out[i * stride] = (int8_t)lrintf(w[i * stride] / scale);
    return scale;
}
