/* `pointsman plan`: where a model would go, and what of it fits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/json.h"
#include "core/cli/cli.h"
#include "core/cli/options.h"
#include "core/cli/talk.h"
#include "core/manager/devices.h"
#include "core/manager/estimate.h"

/* What llama-server leaves free on each device (--fit-target). */
enum { MARGIN_MIB = 1024 };

struct plan {
    struct pm_gguf g;
    struct pm_estimate e;
    struct pm_estimate_options o;
    struct pm_placement p;
    long long devices[PM_DEVICES_MAX];
    size_t n;
    long long margin, context_that_fits;
    char backend[16];
};

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static int read_devices(struct plan *plan, const char *list)
{
    struct pm_strv parts = {0};
    int rc = PM_OK;
    if (list) {
        pm_strv_split(&parts, list);
        for (size_t i = 0; i < parts.n && rc == PM_OK; i++)
            rc =
                i < PM_DEVICES_MAX ? pm_int_parse(parts.items[i], 0, 1LL << 30, &plan->devices[plan->n++]) : PM_EINVAL;
        pm_strv_release(&parts);
        return rc;
    }
    struct pm_device seen[PM_DEVICES_MAX];
    struct pm_devices *d = pm_devices_open("/sys");
    plan->n = d ? pm_devices_read(d, seen, PM_DEVICES_MAX) : 0;
    for (size_t i = 0; i < plan->n; i++)
        plan->devices[i] = seen[i].free_mib;
    if (plan->n && strncmp(seen[0].name, "AMD", 3) == 0)
        snprintf(plan->backend, sizeof(plan->backend), "ROCm");
    pm_devices_free(d);
    return PM_OK;
}

static cJSON *as_json(const struct plan *plan, const char *override)
{
    const struct pm_gguf *g = &plan->g;
    uint64_t experts = 0;
    for (uint32_t l = 0; l < g->layers; l++)
        experts += g->layer[l].experts;
    cJSON *root = cJSON_CreateObject(), *model = cJSON_AddObjectToObject(root, "model");
    cJSON_AddStringToObject(model, "arch", g->arch);
    cJSON_AddNumberToObject(model, "layers", g->layers);
    cJSON_AddNumberToObject(model, "trained_context", g->context);
    cJSON_AddNumberToObject(model, "weights_mib", mib(g->total_bytes));
    cJSON_AddNumberToObject(model, "experts_mib", mib(experts));
    cJSON_AddNumberToObject(root, "context", (double)plan->e.context);
    cJSON_AddNumberToObject(root, "kv_mib", mib(plan->e.kv_total));
    cJSON_AddNumberToObject(root, "compute_mib", mib(plan->e.compute));
    cJSON_AddNumberToObject(root, "output_mib", mib(plan->e.output));
    cJSON *list = cJSON_AddArrayToObject(root, "devices");
    for (size_t d = 0; d < plan->p.n_devices; d++) {
        const struct pm_place *place = &plan->p.device[d];
        cJSON *item = cJSON_CreateObject(), *layers = NULL;
        char name[48];
        snprintf(name, sizeof(name), "%s%zu", plan->backend, d);
        cJSON_AddStringToObject(item, "device", name);
        cJSON_AddNumberToObject(item, "total_mib", (double)place->total);
        cJSON_AddNumberToObject(item, "use_mib", (double)place->used);
        layers = cJSON_AddArrayToObject(item, "layers");
        if (place->first >= 0) {
            cJSON_AddItemToArray(layers, cJSON_CreateNumber(place->first));
            cJSON_AddItemToArray(layers, cJSON_CreateNumber(place->last));
        }
        cJSON_AddItemToArray(list, item);
    }
    cJSON_AddNumberToObject(root, "host_mib", (double)plan->p.host);
    cJSON_AddNumberToObject(root, "layers_on_cpu", plan->p.first_on_gpu);
    cJSON_AddNumberToObject(root, "experts_on_cpu_from", plan->p.experts_on_cpu);
    cJSON_AddBoolToObject(root, "fits", plan->p.fits);
    cJSON_AddNumberToObject(root, "context_that_fits", (double)plan->context_that_fits);
    cJSON_AddStringToObject(root, "override_tensor", override);
    return root;
}

static void print_places(const struct plan *plan)
{
    const struct pm_placement *p = &plan->p;
    for (size_t d = 0; d < p->n_devices; d++) {
        const struct pm_place *place = &p->device[d];
        printf("  %s%zu  %lld of %lld MiB", plan->backend, d, place->used, place->total);
        if (place->first >= 0)
            printf(", layers %d to %d", place->first, place->last);
        puts("");
    }
    printf("  host   %lld MiB", p->host);
    if (p->first_on_gpu)
        printf(", layers 0 to %d", p->first_on_gpu - 1);
    if (p->experts_on_cpu >= 0)
        printf(", the experts of layers %d to %u", p->experts_on_cpu, plan->g.layers - 1);
    puts("");
}

static void print(const struct plan *plan, const char *override)
{
    const struct pm_gguf *g = &plan->g;
    printf("%s, %u layers, weights %.0f MiB", g->arch, g->layers, mib(g->total_bytes));
    if (g->experts)
        printf(", %u experts", g->experts);
    printf("\ncontext %lld of %u: KV %.0f MiB, compute about %.0f MiB a device, output %.1f MiB\n", plan->e.context,
           g->context, mib(plan->e.kv_total), mib(plan->e.compute), mib(plan->e.output));
    print_places(plan);
    if (!plan->n) {
        puts("no devices: say which with --devices 24564,16303 (MiB each)");
        return;
    }
    if (plan->p.fits)
        puts("all of it fits");
    else
        printf("not all of it fits; FIT=on (the default) does this by itself\n");
    if (plan->context_that_fits)
        printf("the context with which all of it fits: %lld\n", plan->context_that_fits);
    else
        puts("with no context does all of it fit");
    if (*override)
        printf("by hand:  FIT=off\n          EXTRA_ARGS=-ot %s\n"
               "          (FIT and -ot do not mix: with FIT=on the server would move layers once more)\n",
               override);
    else if (plan->p.first_on_gpu && plan->p.n_devices)
        printf("by hand:  FIT=off\n          N_GPU_LAYERS=%d\n", (int)g->layers - plan->p.first_on_gpu + 1);
}

static int make(struct plan *plan, const char *path, struct pm_error *err)
{
    if (pm_gguf_read(path, &plan->g, err) < 0 || !pm_estimate(&plan->g, &plan->o, &plan->e, err))
        return PM_EINVAL;
    pm_place(&plan->g, &plan->e, plan->devices, plan->n, plan->margin, &plan->p);
    plan->context_that_fits = pm_place_context(&plan->g, &plan->o, plan->devices, plan->n, plan->margin);
    return PM_OK;
}

int pm_cmd_plan(int argc, char **argv)
{
    static const char usage[] = "plan MODEL.gguf [--ctx N] [--kv TYPE] [--slots N] [--devices MIB,MIB]"
                                " [--margin MIB] [--json]\n"
                                "Where the model would go: what fits where, and the context that fits.";
    const char *ctx = NULL, *kv = NULL, *slots = NULL, *devices = NULL, *margin = NULL;
    bool json = false;
    int words;
    struct pm_error err = {0};
    struct pm_cli_option options[] = {{"--ctx", &ctx, NULL, "tokens of context; the model's own without it"},
                                      {"--kv", &kv, NULL, "type of the KV cache: f16, q8_0, q4_0 ..."},
                                      {"--slots", &slots, NULL, "requests at a time"},
                                      {"--devices", &devices, NULL, "MiB of each device; what is free without it"},
                                      {"--margin", &margin, NULL, "MiB to leave free on each device (1024)"},
                                      {"--json", NULL, &json, "one JSON document"},
                                      {0}};
    int rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0)
        return rc;
    struct plan *plan = pm_calloc(1, sizeof(*plan));
    snprintf(plan->backend, sizeof(plan->backend), "CUDA");
    plan->margin = MARGIN_MIB;
    plan->o.kv_k = plan->o.kv_v = kv;
    if (words != 1 || (ctx && pm_int_parse(ctx, 1, 1LL << 30, &plan->o.context) < 0) ||
        (slots && pm_int_parse(slots, 1, 256, &plan->o.slots) < 0) ||
        (margin && pm_int_parse(margin, 0, 1LL << 30, &plan->margin) < 0) || read_devices(plan, devices) < 0) {
        fprintf(stderr, "usage: pointsman %s\n", usage);
        free(plan);
        return 2;
    }
    if (make(plan, argv[0], &err) < 0) {
        free(plan);
        return pm_cli_failed(&err);
    }
    struct pm_buf override;
    pm_buf_init(&override, 65536);
    pm_place_override(&plan->p, plan->backend, &override);
    if (json) {
        cJSON *root = as_json(plan, override.data);
        pm_cli_print_json(root);
        cJSON_Delete(root);
    } else {
        print(plan, override.data);
    }
    pm_buf_release(&override);
    free(plan);
    return 0;
}
