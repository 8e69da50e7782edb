#include "core/manager/devices.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/text.h"

enum { CARDS_MAX = 16 };

/* NVML API reference: nvmlInit_v2, nvmlDeviceGetCount_v2, nvmlDeviceGetHandleByIndex_v2, nvmlDeviceGetName,
 * nvmlDeviceGetMemoryInfo, nvmlDeviceGetUtilizationRates, nvmlDeviceGetPowerUsage (milliwatts),
 * nvmlDeviceGetTemperature (sensor 0 is the chip's); a return value of 0 is success. */
struct nvml_memory {
    unsigned long long total, free, used; /* bytes */
};

struct nvml_utilization {
    unsigned gpu, memory; /* per cent of the last period */
};

struct nvml {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *n);
    int (*handle)(unsigned index, void **device);
    int (*name)(void *device, char *name, unsigned length);
    int (*memory)(void *device, struct nvml_memory *memory);
    /* Without these it does as well. */
    int (*utilization)(void *device, struct nvml_utilization *utilization);
    int (*power)(void *device, unsigned *milliwatts);
    int (*temperature)(void *device, int sensor, unsigned *celsius);
    unsigned n;
};

struct pm_devices {
    struct nvml nvml;
    char *cards[CARDS_MAX]; /* sysfs folders of AMD's cards */
    size_t n_cards;
};

/* ISO C has no conversion from an object pointer to a function pointer; POSIX's dlsym has. */
static void find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof(symbol));
}

static void open_nvml(struct nvml *v)
{
    v->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!v->library)
        return;
    find(v->library, "nvmlInit_v2", &v->init);
    find(v->library, "nvmlShutdown", &v->shutdown);
    find(v->library, "nvmlDeviceGetCount_v2", &v->count);
    find(v->library, "nvmlDeviceGetHandleByIndex_v2", &v->handle);
    find(v->library, "nvmlDeviceGetName", &v->name);
    find(v->library, "nvmlDeviceGetMemoryInfo", &v->memory);
    find(v->library, "nvmlDeviceGetUtilizationRates", &v->utilization);
    find(v->library, "nvmlDeviceGetPowerUsage", &v->power);
    find(v->library, "nvmlDeviceGetTemperature", &v->temperature);
    if (v->init && v->shutdown && v->count && v->handle && v->name && v->memory && v->init() == 0) {
        if (v->count(&v->n) == 0 && v->n)
            return;
        v->shutdown();
    }
    pm_log(PM_LOG_WARN, "libnvidia-ml.so.1 is there, but tells of no device");
    dlclose(v->library);
    *v = (struct nvml){0};
}

static long long read_number(const char *folder, const char *file)
{
    char *path = pm_asprintf("%s/%s", folder, file), *text;
    size_t len;
    long long number = -1;
    if (pm_file_read(path, 64, &text, &len, NULL) == PM_OK) {
        number = strtoll(text, NULL, 10);
        free(text);
    }
    free(path);
    return number;
}

static int by_name(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

static void find_cards(struct pm_devices *d, const char *sysfs)
{
    char *drm = pm_asprintf("%s/class/drm", sysfs);
    DIR *dir = opendir(drm);
    struct dirent *e;
    while (dir && (e = readdir(dir)) && d->n_cards < CARDS_MAX) {
        /* card0, but not its outputs (card0-HDMI-A-1). */
        if (strncmp(e->d_name, "card", 4) != 0 || strchr(e->d_name, '-'))
            continue;
        char *folder = pm_asprintf("%s/%s/device", drm, e->d_name);
        if (read_number(folder, "mem_info_vram_total") > 0)
            d->cards[d->n_cards++] = folder;
        else
            free(folder);
    }
    if (dir)
        closedir(dir);
    qsort(d->cards, d->n_cards, sizeof(*d->cards), by_name);
    free(drm);
}

struct pm_devices *pm_devices_open(const char *sysfs)
{
    struct pm_devices *d = pm_calloc(1, sizeof(*d));
    open_nvml(&d->nvml);
    find_cards(d, sysfs);
    if (d->nvml.n || d->n_cards)
        return d;
    pm_devices_free(d);
    return NULL;
}

void pm_devices_free(struct pm_devices *d)
{
    if (!d)
        return;
    if (d->nvml.library) {
        d->nvml.shutdown();
        dlclose(d->nvml.library);
    }
    for (size_t i = 0; i < d->n_cards; i++)
        free(d->cards[i]);
    free(d);
}

static void read_nvml_use(const struct nvml *v, void *handle, struct pm_device *out)
{
    struct nvml_utilization use;
    unsigned number;
    out->use_percent = v->utilization && v->utilization(handle, &use) == 0 ? (int)use.gpu : -1;
    out->power_w = v->power && v->power(handle, &number) == 0 ? (int)(number / 1000) : -1;
    out->temperature_c = v->temperature && v->temperature(handle, 0, &number) == 0 ? (int)number : -1;
}

/* amdgpu's sensors: microwatts and thousandths of a degree (kernel documentation, amdgpu, hwmon interfaces). */
static void read_amd_use(const char *card, struct pm_device *out)
{
    char *path = pm_asprintf("%s/hwmon", card);
    DIR *dir = opendir(path);
    struct dirent *e;
    out->use_percent = (int)read_number(card, "gpu_busy_percent");
    out->power_w = out->temperature_c = -1;
    while (dir && (e = readdir(dir))) {
        if (strncmp(e->d_name, "hwmon", 5) != 0)
            continue;
        char *sensors = pm_asprintf("%s/%s", path, e->d_name);
        long long power = read_number(sensors, "power1_average"), heat = read_number(sensors, "temp1_input");
        out->power_w = power >= 0 ? (int)(power / 1000000) : -1;
        out->temperature_c = heat >= 0 ? (int)(heat / 1000) : -1;
        free(sensors);
    }
    if (dir)
        closedir(dir);
    free(path);
}

size_t pm_devices_read(const struct pm_devices *d, struct pm_device *out, size_t max)
{
    size_t n = 0;
    for (unsigned i = 0; i < d->nvml.n && n < max; i++) {
        struct nvml_memory memory = {0};
        void *handle;
        if (d->nvml.handle(i, &handle) != 0 || d->nvml.memory(handle, &memory) != 0)
            continue;
        out[n] = (struct pm_device){.total_mib = (long long)(memory.total >> 20),
                                    .free_mib = (long long)(memory.free >> 20)};
        if (d->nvml.name(handle, out[n].name, sizeof(out[n].name)) != 0)
            snprintf(out[n].name, sizeof(out[n].name), "NVIDIA %u", i);
        read_nvml_use(&d->nvml, handle, &out[n]);
        n++;
    }
    for (size_t i = 0; i < d->n_cards && n < max; i++) {
        long long total = read_number(d->cards[i], "mem_info_vram_total");
        long long used = read_number(d->cards[i], "mem_info_vram_used");
        if (total <= 0)
            continue;
        long long left = used > 0 ? total - used : total;
        out[n] = (struct pm_device){.total_mib = total >> 20, .free_mib = left > 0 ? left >> 20 : 0};
        snprintf(out[n].name, sizeof(out[n].name), "AMD %zu", i);
        read_amd_use(d->cards[i], &out[n]);
        n++;
    }
    return n;
}

void pm_machine_memory(long long *total_mib, long long *available_mib)
{
    char line[128];
    long long kib;
    FILE *f = fopen("/proc/meminfo", "re");
    *total_mib = *available_mib = 0;
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "MemTotal: %lld kB", &kib) == 1)
            *total_mib = kib / 1024;
        else if (sscanf(line, "MemAvailable: %lld kB", &kib) == 1)
            *available_mib = kib / 1024;
    }
    if (f)
        fclose(f);
}
