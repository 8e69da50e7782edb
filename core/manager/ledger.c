#include "core/manager/ledger.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Share of the machine's memory that profiles may take when [manager] RAM does not say. */
static const double RAM_SHARE = 0.9;

/* Without VRAM= or RAM=: the files, a tenth more for their tensors' padding, and a compute buffer. */
static const double FILE_FACTOR = 1.1;
enum { COMPUTE_MIB = 256 };

static long long machine_ram_mib(void)
{
    char line[128];
    long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "MemTotal: %lld kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return (long long)((double)(kib / 1024) * RAM_SHARE);
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

void pm_need_of(const struct pm_target *t, const struct pm_capacity *cap, struct pm_need *out)
{
    *out = (struct pm_need){0};
    if (t->vram.n || t->ram.n) {
        memcpy(out->device, t->vram.v, sizeof(out->device));
        out->ram = t->ram.n ? t->ram.v[0] : 0;
        return;
    }
    long long files = file_mib(t->model) + file_mib(t->mmproj) + file_mib(t->draft_model);
    out->estimated = true;
    spread((long long)((double)files * FILE_FACTOR) + COMPUTE_MIB, cap, out);
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
