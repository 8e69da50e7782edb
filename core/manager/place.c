/* Where a model's layers go: on the devices in order, the experts of the last layers in the machine's memory first
 * when there is too little room, then whole layers, the first ones, as llama-server does. */
#include <stdio.h>
#include <string.h>

#include "core/manager/estimate.h"

static const uint64_t MIB = 1 << 20;

static long long mib(uint64_t bytes)
{
    return (long long)((bytes + MIB - 1) / MIB);
}

struct job {
    const struct pm_gguf *g;
    const struct pm_estimate *e;
    const long long *devices;
    size_t n;
    long long margin;
};

static uint64_t dense_bytes(const struct job *j, uint32_t l)
{
    return j->g->layer[l].bytes - j->g->layer[l].experts + j->e->kv[l];
}

/* Room for layers on a device: each has a compute buffer, and the last one the output matrix. */
static long long usable(const struct job *j, size_t d)
{
    uint64_t fixed = j->e->compute;
    if (d + 1 == j->n)
        fixed += (j->g->output_bytes ? j->g->output_bytes : j->g->input_bytes) + j->e->output;
    return j->devices[d] - j->margin - mib(fixed);
}

/* Puts layers from `first` on, whole up to `whole_end`, the rest without their experts. The rest goes to the last
 * device. False when it does not fit. */
static bool try_place(const struct job *j, uint32_t first, uint32_t whole_end, struct pm_placement *out)
{
    uint32_t layers = j->g->layers, l = first;
    for (size_t d = 0; d < j->n; d++) {
        struct pm_place *place = &out->device[d];
        uint64_t sum = 0;
        long long room = usable(j, d);
        *place = (struct pm_place){.total = j->devices[d], .usable = room, .first = -1, .last = -1};
        /* What comes after the whole layers must find its place on the last device as well. */
        if (d + 1 == j->n)
            for (uint32_t r = whole_end > l ? whole_end : l; r < layers; r++)
                sum += dense_bytes(j, r);
        for (; l < whole_end && mib(sum + j->g->layer[l].bytes + j->e->kv[l]) <= room; l++) {
            sum += j->g->layer[l].bytes + j->e->kv[l];
            place->first = place->first < 0 ? (int)l : place->first;
            place->last = (int)l;
        }
        place->used = mib(sum) + (j->devices[d] - j->margin - room);
        if (mib(sum) > room)
            return false;
    }
    return l >= whole_end;
}

static void settle(const struct job *j, uint32_t first, uint32_t whole_end, struct pm_placement *out)
{
    uint64_t host = j->g->output_bytes ? j->g->input_bytes : 0;
    for (uint32_t l = 0; l < first; l++)
        host += j->g->layer[l].bytes + j->e->kv[l];
    for (uint32_t l = whole_end > first ? whole_end : first; l < j->g->layers; l++)
        host += j->g->layer[l].experts;
    out->n_devices = j->n;
    out->first_on_gpu = (int)first;
    out->experts_on_cpu = whole_end < j->g->layers ? (int)whole_end : -1;
    out->host = mib(host);
    out->fits = !first && whole_end >= j->g->layers;
}

void pm_place(const struct pm_gguf *g, const struct pm_estimate *e, const long long *devices, size_t n,
              long long margin, struct pm_placement *out)
{
    struct job j = {.g = g, .e = e, .devices = devices, .n = n, .margin = margin};
    bool has_experts = false;
    *out = (struct pm_placement){0};
    for (uint32_t l = 0; l < g->layers; l++)
        has_experts |= g->layer[l].experts > 0;
    if (n && try_place(&j, 0, g->layers, out)) {
        settle(&j, 0, g->layers, out);
        return;
    }
    for (uint32_t whole = g->layers; n && has_experts && whole-- > 0;) {
        if (try_place(&j, 0, whole, out)) {
            settle(&j, 0, whole, out);
            return;
        }
    }
    for (uint32_t first = 1; n && first < g->layers; first++) {
        uint32_t whole = has_experts ? first : g->layers;
        if (try_place(&j, first, whole, out)) {
            settle(&j, first, whole, out);
            return;
        }
    }
    *out = (struct pm_placement){0};
    j.n = 0;
    settle(&j, g->layers, g->layers, out);
    out->host = mib(g->total_bytes + e->kv_total + e->compute + e->output);
}

long long pm_place_context(const struct pm_gguf *g, const struct pm_estimate_options *o, const long long *devices,
                           size_t n, long long margin)
{
    enum { STEP = 256 };
    long long low = 0, high = (long long)g->context / STEP;
    while (low < high) {
        long long middle = (low + high + 1) / 2;
        struct pm_estimate_options wish = *o;
        struct pm_estimate e;
        struct pm_placement p;
        wish.context = middle * STEP;
        bool ok = pm_estimate(g, &wish, &e, NULL);
        if (ok)
            pm_place(g, &e, devices, n, margin, &p);
        if (ok && p.fits)
            low = middle;
        else
            high = middle - 1;
    }
    return low * STEP;
}

/* --- by hand --- */

static void digit_class(int from, int to, struct pm_buf *out)
{
    if (from == to)
        pm_buf_addf(out, "%d", from);
    else
        pm_buf_addf(out, "[%d-%d]", from, to);
}

void pm_range_regex(int first, int last, struct pm_buf *out)
{
    bool any = false;
    /* Ten by ten: within one, the last digit is a class. */
    for (int at = first; at <= last;) {
        int end = at / 10 * 10 + 9 < last ? at / 10 * 10 + 9 : last;
        pm_buf_add(out, any ? "|" : "");
        if (at >= 10)
            pm_buf_addf(out, "%d", at / 10);
        digit_class(at % 10, end % 10, out);
        any = true;
        at = end + 1;
    }
}

void pm_place_override(const struct pm_placement *p, const char *backend, struct pm_buf *out)
{
    if (p->fits || p->experts_on_cpu < 0)
        return;
    for (size_t d = 0; d < p->n_devices; d++) {
        if (p->device[d].first < 0)
            continue;
        pm_buf_add(out, "blk\\.(");
        pm_range_regex(p->device[d].first, p->device[d].last, out);
        pm_buf_addf(out, ")\\.=%s%zu,", backend, d);
    }
    pm_buf_add(out, "exps=CPU");
}
