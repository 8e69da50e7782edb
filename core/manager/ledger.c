#include "core/manager/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/manager/devices.h"
#include "core/manager/estimate.h"

/* Share of the machine's memory that profiles may take when [manager] RAM does not say. */
static const double RAM_SHARE = 0.9;

/* Where a model's head cannot be read: the files, a tenth more for their tensors' padding, and a compute buffer. */
static const double FILE_FACTOR = 1.1;
enum { COMPUTE_MIB = 256 };

static long long machine_ram_mib(void)
{
    long long total, available;
    pm_machine_memory(&total, &available);
    return (long long)((double)total * RAM_SHARE);
}

void pm_capacity_read(const struct pm_manager_conf *conf, struct pm_capacity *out)
{
    *out = (struct pm_capacity){.n_devices = conf->devices.n, .ram = conf->ram ? conf->ram : machine_ram_mib()};
    memcpy(out->device, conf->devices.v, sizeof(out->device));
    out->has_unknown_device = !out->n_devices && (access("/dev/nvidia0", F_OK) == 0 || access("/dev/kfd", F_OK) == 0);
}

static long long file_mib(const char *path)
{
    struct stat st;
    return path && stat(path, &st) == 0 ? (long long)(st.st_size >> 20) : 0;
}

static void spread(long long mib, const struct pm_capacity *cap, struct pm_need *out)
{
    long long total = 0;
    for (size_t d = 0; d < cap->n_devices; d++)
        total += cap->device[d];
    for (size_t d = 0; d < cap->n_devices && total; d++)
        out->device[d] = mib * cap->device[d] / total;
    if (!cap->n_devices && cap->has_unknown_device)
        out->device[0] = mib;
    else if (!total)
        out->ram = mib;
}

static long long mib_of(uint64_t bytes)
{
    return (long long)(bytes >> 20) + 1;
}

/* N_GPU_LAYERS=0 and --device none keep a model off the devices. */
static bool is_on_cpu(const struct pm_target *t)
{
    return t->n_gpu_layers && strcmp(t->n_gpu_layers, "0") == 0;
}

static void from_head(const struct pm_target *t, const struct pm_gguf *g, const struct pm_estimate *e,
                      const struct pm_capacity *cap, struct pm_need *out)
{
    struct pm_placement p;
    long long extra = file_mib(t->mmproj) + file_mib(t->draft_model);
    if (!cap->n_devices || is_on_cpu(t)) {
        long long all = mib_of(g->total_bytes + e->kv_total + e->compute + e->output) + extra;
        if (cap->has_unknown_device && !is_on_cpu(t))
            out->device[0] = all + PM_OWN_DEVICE_MIB;
        else
            out->ram = all + PM_OWN_RAM_MIB;
        return;
    }
    pm_place(g, e, cap->device, cap->n_devices, PM_OWN_DEVICE_MIB, &p);
    for (size_t d = 0; d < p.n_devices; d++)
        if (p.device[d].used)
            out->device[d] = p.device[d].used + PM_OWN_DEVICE_MIB;
    if (p.n_devices)
        out->device[p.n_devices - 1] += extra;
    out->ram = p.host + PM_OWN_RAM_MIB;
}

static bool read_head(const struct pm_target *t, struct pm_gguf *g, struct pm_estimate *e)
{
    struct pm_estimate_options o;
    struct pm_strv words = {0};
    struct pm_error err = {0};
    pm_estimate_options_of(t, &words, &o);
    bool ok = t->model && pm_gguf_read(t->model, g, &err) == PM_OK && pm_estimate(g, &o, e, &err);
    pm_strv_release(&words);
    return ok;
}

void pm_need_text(const struct pm_target *t, char *out, size_t size)
{
    struct pm_gguf *g = pm_calloc(1, sizeof(*g));
    struct pm_estimate *e = pm_calloc(1, sizeof(*e));
    out[0] = 0;
    if (read_head(t, g, e))
        snprintf(out, size, "%lld MiB (weights %lld, KV %lld for %lld tokens, compute %lld)",
                 mib_of(g->total_bytes + e->kv_total + e->compute), mib_of(g->total_bytes), mib_of(e->kv_total),
                 e->context, mib_of(e->compute));
    free(g);
    free(e);
}

void pm_need_of(const struct pm_target *t, const struct pm_capacity *cap, struct pm_need *out)
{
    *out = (struct pm_need){0};
    if (t->vram.n || t->ram.n) {
        memcpy(out->device, t->vram.v, sizeof(out->device));
        out->ram = t->ram.n ? t->ram.v[0] : 0;
        return;
    }
    struct pm_gguf *g = pm_calloc(1, sizeof(*g));
    struct pm_estimate *e = pm_calloc(1, sizeof(*e));
    out->estimated = true;
    if (read_head(t, g, e)) {
        from_head(t, g, e, cap, out);
    } else {
        long long files = file_mib(t->model) + file_mib(t->mmproj) + file_mib(t->draft_model);
        spread((long long)((double)files * FILE_FACTOR) + COMPUTE_MIB, cap, out);
    }
    free(g);
    free(e);
}

bool pm_fits(const struct pm_capacity *cap, const struct pm_need *const *needs, size_t n)
{
    long long ram = 0;
    for (size_t i = 0; i < n; i++)
        ram += needs[i]->ram;
    if (ram > cap->ram)
        return false;
    for (size_t d = 0; d < PM_DEVICES_MAX; d++) {
        long long sum = 0;
        size_t users = 0;
        for (size_t i = 0; i < n; i++) {
            sum += needs[i]->device[d];
            users += needs[i]->device[d] > 0;
        }
        if (cap->n_devices ? sum > cap->device[d] : users > 1)
            return false;
    }
    return true;
}

void pm_need_explain(const struct pm_capacity *cap, const struct pm_need *need, char *out, size_t size)
{
    out[0] = 0;
    if (need->ram > cap->ram) {
        snprintf(out, size, "it needs %lld MiB of memory, and there are %lld", need->ram, cap->ram);
        return;
    }
    for (size_t d = 0; cap->n_devices && d < PM_DEVICES_MAX; d++) {
        if (need->device[d] > cap->device[d]) {
            snprintf(out, size, "it needs %lld MiB on device %zu, which has %lld", need->device[d], d, cap->device[d]);
            return;
        }
    }
}
