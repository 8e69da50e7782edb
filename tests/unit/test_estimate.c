#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/manager/estimate.h"

static const uint64_t MIB = 1 << 20;

/* Dimensions of models that many have, and the MiB that llama-server allocated for them. */
static struct pm_gguf *dense(void)
{
    struct pm_gguf *g = pm_calloc(1, sizeof(*g));
    strcpy(g->arch, "llama");
    g->layers = 32;
    g->embedding = 4096;
    g->heads = 32;
    g->feed_forward = 14336;
    g->vocabulary = 128256;
    g->context = 131072;
    g->key_length = g->value_length = 128;
    for (uint32_t l = 0; l < g->layers; l++)
        g->layer[l] = (struct pm_gguf_layer){.bytes = 130 * MIB, .kv_heads = 8};
    g->input_bytes = g->output_bytes = 300 * MIB;
    g->total_bytes = 32 * 130 * MIB + 600 * MIB;
    return g;
}

static struct pm_gguf *experts(void)
{
    struct pm_gguf *g = dense();
    g->layers = 48;
    g->embedding = 2048;
    g->experts = 128;
    g->experts_used = 8;
    g->expert_feed_forward = 768;
    g->feed_forward = 6144;
    g->total_bytes = 48 * 340 * MIB + 600 * MIB;
    for (uint32_t l = 0; l < g->layers; l++)
        g->layer[l] = (struct pm_gguf_layer){.bytes = 340 * MIB, .experts = 320 * MIB, .kv_heads = 4};
    return g;
}

static struct pm_estimate *estimate(const struct pm_gguf *g, struct pm_estimate_options o)
{
    struct pm_estimate *e = pm_calloc(1, sizeof(*e));
    struct pm_error err = {0};
    bool ok = pm_estimate(g, &o, e, &err);
    expect(ok, "%s\n", err.msg);
    return e;
}

static uint64_t kv_mib(const struct pm_gguf *g, struct pm_estimate_options o)
{
    struct pm_estimate *e = estimate(g, o);
    uint64_t sum = 0, total = e->kv_total;
    for (uint32_t l = 0; l < g->layers; l++)
        sum += e->kv[l];
    free(e);
    assert_int_equal(sum, total);
    return total / MIB;
}

static void kv_is_exact(void **state)
{
    struct pm_gguf *g = dense(), *m = experts();
    (void)state;
    assert_int_equal(kv_mib(g, (struct pm_estimate_options){.context = 32768, .slots = 1}), 4096);
    assert_int_equal(kv_mib(g, (struct pm_estimate_options){.context = 32768, .slots = 4}), 4096);
    assert_int_equal(kv_mib(g, (struct pm_estimate_options){.context = 32768}), 4096);
    assert_int_equal(kv_mib(g, (struct pm_estimate_options){.slots = 1}), 16384);
    assert_int_equal(kv_mib(m, (struct pm_estimate_options){.context = 32768, .slots = 1}), 3072);
    struct pm_estimate_options q = {.context = 32768, .slots = 1, .kv_k = "q8_0", .kv_v = "q8_0"};
    assert_int_equal(kv_mib(g, q), 4096 * 34 / 64);
    q.kv_v = "f16";
    assert_int_equal(kv_mib(g, q), 2048 * 34 / 64 + 2048);
    q.kv_k = q.kv_v = "q4_0";
    assert_int_equal(kv_mib(g, q), 4096 * 18 / 64);
    free(g);
    free(m);
}

static void contexts_are_rounded_as_the_server_does(void **state)
{
    static const struct {
        long long context, slots, cells;
    } rows[] = {{100, 4, 1024}, {4096, 1, 4096}, {4097, 1, 4352}, {8192, 3, 8448}, {5000, 0, 5120}};
    struct pm_gguf *g = dense();
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_estimate *e =
            estimate(g, (struct pm_estimate_options){.context = rows[i].context, .slots = rows[i].slots});
        expect(e->context == rows[i].cells, "row %zu: %lld\n", i, e->context);
        free(e);
    }
    free(g);
}

static void windows_hold_less(void **state)
{
    struct pm_gguf *g = dense();
    (void)state;
    g->window = 1024;
    for (uint32_t l = 0; l < g->layers; l++)
        g->layer[l].has_window = l % 2 == 0;
    /* A window of 1024 and a batch of 512 on half of the layers, 4 KiB a cell and layer. */
    struct pm_estimate_options o = {.context = 32768, .slots = 1};
    assert_int_equal(kv_mib(g, o), 2048 + 16 * 1536 * 4 / 1024);
    /* Where the slots share the cells, each has its window in them. */
    o.slots = 0;
    assert_int_equal(kv_mib(g, o), 2048 + 16 * 4608 * 4 / 1024);
    o.full_window = true;
    assert_int_equal(kv_mib(g, o), 4096);
    free(g);
}

static void recurrent_layers_hold_a_state_for_each_slot(void **state)
{
    struct pm_gguf *g = dense();
    (void)state;
    g->conv_kernel = 4;
    g->inner_size = 4096;
    g->state_size = 128;
    g->group_count = 16;
    for (uint32_t l = 0; l < g->layers; l++)
        g->layer[l].is_recurrent = true;
    uint64_t one = 4 * 3 * (4096 + 2 * 16 * 128) + 4 * 128 * 4096;
    for (long long slots = 1; slots <= 3; slots++) {
        struct pm_estimate *e = estimate(g, (struct pm_estimate_options){.context = 8192, .slots = slots});
        assert_int_equal(e->kv_total, 32 * one * (uint64_t)slots);
        free(e);
    }
    free(g);
}

/* Real buffers in MiB: never much less, and not twice as much. */
static void compute_buffers_are_covered(void **state)
{
    struct pm_gguf *g = dense(), *m = experts();
    const struct {
        const struct pm_gguf *g;
        struct pm_estimate_options o;
        uint64_t real;
    } rows[] = {{g, {.context = 32768, .slots = 1}, 156},
                {g, {.context = 32768, .slots = 1, .ubatch = 2048}, 624},
                {g, {.context = 32768, .slots = 1, .no_flash = true}, 2164},
                {m, {.context = 32768, .slots = 1}, 120}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_estimate *e = estimate(rows[i].g, rows[i].o);
        uint64_t got = e->compute / MIB;
        expect(got * 100 >= rows[i].real * 98 && got <= 2 * rows[i].real, "row %zu: %llu of %llu\n", i,
               (unsigned long long)got, (unsigned long long)rows[i].real);
        free(e);
    }
    free(g);
    free(m);
}

static void an_unknown_type_is_named(void **state)
{
    struct pm_gguf *g = dense();
    struct pm_estimate *e = pm_calloc(1, sizeof(*e));
    struct pm_error err = {0};
    struct pm_estimate_options o = {.context = 4096, .slots = 1, .kv_v = "q3_9"};
    (void)state;
    assert_false(pm_estimate(g, &o, e, &err));
    assert_non_null(strstr(err.msg, "q3_9"));
    free(g);
    free(e);
}

static void options_come_from_keys_and_extra_args(void **state)
{
    char extra[] = "--ctx-size 9000 -ub 64 -ctk q4_0 --flash-attn off --swa-full", k[] = "q8_0", v[] = "q5_1";
    struct pm_target t = {.ctx_size = 4096, .slots = 2, .kv_k = k, .kv_v = v};
    struct pm_estimate_options o;
    struct pm_strv words = {0};
    (void)state;
    pm_estimate_options_of(&t, &words, &o);
    assert_int_equal(o.context, 4096);
    assert_int_equal(o.slots, 2);
    assert_string_equal(o.kv_k, "q8_0");
    assert_false(o.no_flash);
    t.extra_args = extra;
    pm_estimate_options_of(&t, &words, &o);
    assert_int_equal(o.context, 9000);
    assert_int_equal(o.slots, 2);
    assert_int_equal(o.ubatch, 64);
    assert_string_equal(o.kv_k, "q4_0");
    assert_string_equal(o.kv_v, "q5_1");
    assert_true(o.no_flash && o.full_window);
    pm_strv_release(&words);
}

/* --- placement --- */

static void place(const struct pm_gguf *g, long long context, const long long *devices, size_t n,
                  struct pm_placement *out)
{
    struct pm_estimate *e = estimate(g, (struct pm_estimate_options){.context = context, .slots = 1});
    pm_place(g, e, devices, n, 300, out);
    free(e);
    for (size_t d = 0; d < out->n_devices; d++)
        expect(out->device[d].used <= devices[d], "device %zu: %lld of %lld\n", d, out->device[d].used, devices[d]);
}

static void what_fits_is_placed_in_order(void **state)
{
    struct pm_gguf *g = dense();
    struct pm_placement p;
    (void)state;
    place(g, 8192, (const long long[]){24000}, 1, &p);
    assert_true(p.fits);
    assert_int_equal(p.device[0].first, 0);
    assert_int_equal(p.device[0].last, 31);
    place(g, 8192, (const long long[]){4000, 4000}, 2, &p);
    assert_true(p.fits);
    assert_int_equal(p.device[0].first, 0);
    assert_int_equal(p.device[1].first, p.device[0].last + 1);
    assert_int_equal(p.device[1].last, 31);
    free(g);
}

static void experts_leave_before_layers_do(void **state)
{
    struct pm_gguf *g = experts();
    struct pm_placement p;
    (void)state;
    place(g, 8192, (const long long[]){12000}, 1, &p);
    assert_false(p.fits);
    assert_int_equal(p.first_on_gpu, 0);
    assert_in_range(p.experts_on_cpu, 1, 47);
    assert_int_equal(p.device[0].last, p.experts_on_cpu - 1);
    /* The experts that left are in the machine's memory. */
    assert_true(p.host >= 320LL * (48 - p.experts_on_cpu));
    free(g);
}

static void too_small_a_device_takes_what_it_can(void **state)
{
    struct pm_gguf *g = dense();
    struct pm_placement p;
    (void)state;
    place(g, 8192, (const long long[]){3000}, 1, &p);
    assert_false(p.fits);
    assert_int_equal(p.experts_on_cpu, -1);
    assert_in_range(p.first_on_gpu, 1, 31);
    place(g, 8192, (const long long[]){100}, 1, &p);
    assert_false(p.fits);
    assert_int_equal(p.first_on_gpu, 32);
    assert_true(p.host > 32 * 130);
    place(g, 8192, NULL, 0, &p);
    assert_false(p.fits);
    free(g);
}

static void the_largest_context_that_fits(void **state)
{
    struct pm_gguf *g = dense();
    struct pm_placement p;
    struct pm_estimate_options o = {.slots = 1};
    const long long sizes[] = {8000};
    (void)state;
    long long most = pm_place_context(g, &o, sizes, 1, 300);
    assert_true(most > 0 && most < g->context && most % 256 == 0);
    place(g, most, sizes, 1, &p);
    assert_true(p.fits);
    place(g, most + 256, sizes, 1, &p);
    assert_false(p.fits);
    assert_int_equal(pm_place_context(g, &o, (const long long[]){100}, 1, 300), 0);
    assert_int_equal(pm_place_context(g, &o, (const long long[]){99999}, 1, 300), g->context);
    free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kv_is_exact),
        cmocka_unit_test(contexts_are_rounded_as_the_server_does),
        cmocka_unit_test(windows_hold_less),
        cmocka_unit_test(recurrent_layers_hold_a_state_for_each_slot),
        cmocka_unit_test(compute_buffers_are_covered),
        cmocka_unit_test(an_unknown_type_is_named),
        cmocka_unit_test(options_come_from_keys_and_extra_args),
        cmocka_unit_test(what_fits_is_placed_in_order),
        cmocka_unit_test(experts_leave_before_layers_do),
        cmocka_unit_test(too_small_a_device_takes_what_it_can),
        cmocka_unit_test(the_largest_context_that_fits),
    };
    return cmocka_run_group_tests_name("estimate", tests, NULL, NULL);
}
