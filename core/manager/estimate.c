#include "core/manager/estimate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* llama-server's own numbers (tools/server, common/arg.cpp; src/llama-kv-cache.cpp). */
enum { CELLS_PAD = 256, UBATCH = 512, AUTO_SLOTS = 4 };

static uint64_t pad(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

/* Bytes of `n` values of a cache type; 0 for a type that is not known. */
static uint64_t row_bytes(const char *type, uint64_t n)
{
    static const struct {
        const char *name;
        unsigned block, bytes;
    } types[] = {{"f16", 1, 2},    {"bf16", 1, 2},   {"f32", 1, 4},    {"q8_0", 32, 34},  {"q4_0", 32, 18},
                 {"q4_1", 32, 20}, {"q5_0", 32, 22}, {"q5_1", 32, 24}, {"iq4_nl", 32, 18}};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (strcmp(types[i].name, type) == 0)
            return (n + types[i].block - 1) / types[i].block * types[i].bytes;
    return 0;
}

struct cells {
    uint64_t full, window, streams;
    long long slots, ubatch;
};

static struct cells cells_of(const struct pm_gguf *g, const struct pm_estimate_options *o)
{
    bool unified = o->slots <= 0;
    long long context = o->context ? o->context : g->context;
    struct cells c = {.slots = unified ? AUTO_SLOTS : o->slots, .ubatch = o->ubatch ? o->ubatch : UBATCH};
    if (c.ubatch > context)
        c.ubatch = context;
    c.streams = unified ? 1 : (uint64_t)c.slots;
    c.full = unified ? pad((uint64_t)context, CELLS_PAD)
                     : pad(pad((uint64_t)context, CELLS_PAD) / (uint64_t)c.slots, CELLS_PAD);
    uint64_t seen = (uint64_t)g->window * (unified ? (uint64_t)c.slots : 1) + (uint64_t)c.ubatch;
    c.window = pad(seen < c.full ? seen : c.full, CELLS_PAD);
    if (o->full_window || !g->window)
        c.window = c.full;
    return c;
}

static uint64_t recurrent_bytes(const struct pm_gguf *g, const struct cells *c)
{
    uint64_t conv = g->conv_kernel ? g->conv_kernel - 1 : 0;
    uint64_t r = 4 * conv * (g->inner_size + 2ULL * g->group_count * g->state_size);
    return (r + 4ULL * g->state_size * g->inner_size) * (uint64_t)c->slots;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What a token of a batch needs at the widest place of a layer, in numbers of four bytes. */
static void widths(const struct pm_gguf *g, uint64_t *attention, uint64_t *others)
{
    uint64_t q = (uint64_t)g->heads * g->key_length, kv = 0;
    bool is_hybrid = g->conv_kernel > 0;
    for (uint32_t l = 0; l < g->layers; l++)
        kv = larger(kv, (uint64_t)g->layer[l].kv_heads * g->key_length);
    *attention = (is_hybrid ? 4 : 2) * q + 2 * kv;
    if (g->is_mla)
        *attention =
            g->heads * ((uint64_t)g->key_length + g->value_length + g->key_length_mla + g->rope_dimensions) + 2 * kv;
    uint64_t dense = g->experts && !g->leading_dense ? 0 : 3ULL * g->feed_forward;
    uint64_t experts = g->experts_used * (g->embedding + 3ULL * g->expert_feed_forward);
    uint64_t recurrent = is_hybrid ? 8ULL * g->inner_size + 8ULL * g->group_count * g->state_size : 0;
    *others = larger(dense, larger(experts, recurrent));
}

/* Masks for each cell and token of a batch, the activations of the widest layer, without flash attention the scores. A
 * few percent above what was measured, since it is needed as a bound. */
static uint64_t compute_bytes(const struct pm_gguf *g, const struct pm_estimate_options *o, const struct cells *c)
{
    uint64_t batch = (uint64_t)c->ubatch, attention, others, bytes;
    uint64_t cells = c->full + (g->window && c->window != c->full ? c->window : 0);
    uint64_t states = 8 * (uint64_t)c->slots * g->state_size * g->inner_size;
    widths(g, &attention, &others);
    if (o->no_flash)
        bytes = 4 * batch * cells + larger(4 * batch * (5ULL * g->embedding + others),
                                           4 * batch * (c->full * g->heads + 5ULL * g->embedding + attention));
    else
        bytes = 2 * batch * cells + 4 * batch * (5ULL * g->embedding + larger(others, attention));
    return bytes + bytes / 50 + states;
}

bool pm_estimate(const struct pm_gguf *g, const struct pm_estimate_options *o, struct pm_estimate *out,
                 struct pm_error *err)
{
    const char *k = o->kv_k ? o->kv_k : "f16", *v = o->kv_v ? o->kv_v : "f16";
    struct cells c = cells_of(g, o);
    *out = (struct pm_estimate){.context = (long long)(c.full * c.streams)};
    if (!row_bytes(k, 32) || !row_bytes(v, 32)) {
        pm_error_set(err, PM_EINVAL,
                     "%s is no type of a KV cache: f16, bf16, f32, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl",
                     row_bytes(k, 32) ? v : k);
        return false;
    }
    for (uint32_t l = 0; l + g->unused_layers < g->layers; l++) {
        const struct pm_gguf_layer *layer = &g->layer[l];
        uint64_t cells = c.streams * (layer->has_window ? c.window : c.full);
        uint64_t heads = layer->kv_heads;
        if (layer->is_recurrent)
            out->kv[l] = recurrent_bytes(g, &c);
        else
            out->kv[l] = cells * (row_bytes(k, heads * g->key_length) +
                                  (g->is_mla ? 0 : row_bytes(v, heads * g->value_length)));
        out->kv_total += out->kv[l];
    }
    out->compute = compute_bytes(g, o, &c);
    out->output = 4ULL * g->vocabulary * (uint64_t)c.slots;
    return true;
}

static const char *value_of(const struct pm_strv *words, const char *flag, const char *short_flag)
{
    for (size_t i = 0; i + 1 < words->n; i++)
        if (strcmp(words->items[i], flag) == 0 || strcmp(words->items[i], short_flag) == 0)
            return words->items[i + 1];
    return NULL;
}

static long long number_of(const struct pm_strv *words, const char *flag, const char *short_flag, long long fallback)
{
    const char *value = value_of(words, flag, short_flag);
    return value ? strtoll(value, NULL, 10) : fallback;
}

void pm_estimate_options_of(const struct pm_target *t, struct pm_strv *words, struct pm_estimate_options *out)
{
    const char *flash;
    if (t->extra_args && pm_conf_split_words(t->extra_args, words) < 0)
        pm_strv_release(words);
    flash = value_of(words, "--flash-attn", "-fa");
    flash = flash ? flash : t->flash_attn;
    *out = (struct pm_estimate_options){
        .context = number_of(words, "--ctx-size", "-c", t->ctx_size),
        .slots = number_of(words, "--parallel", "-np", t->slots),
        .ubatch = number_of(words, "--ubatch-size", "-ub", 0),
        .full_window = pm_strv_has(words, "--swa-full"),
        .no_flash = flash && (strcmp(flash, "off") == 0 || strcmp(flash, "0") == 0 || strcmp(flash, "no") == 0)};
    out->kv_k = value_of(words, "--cache-type-k", "-ctk");
    out->kv_v = value_of(words, "--cache-type-v", "-ctv");
    out->kv_k = out->kv_k ? out->kv_k : t->kv_k;
    out->kv_v = out->kv_v ? out->kv_v : t->kv_v;
}
