/* Memory of the graphics devices, read from the drivers: NVIDIA's through NVML (libnvidia-ml.so.1, opened when it is
 * there), AMD's from sysfs (amdgpu, mem_info_vram_total and mem_info_vram_used). */
#ifndef PM_MANAGER_DEVICES_H
#define PM_MANAGER_DEVICES_H

#include <stddef.h>

struct pm_devices;

struct pm_device {
    char name[64];
    long long total_mib, free_mib;
    int use_percent, power_w, temperature_c; /* -1: not told */
};

/* NULL when no device was found that tells its memory. `sysfs` is "/sys" but for tests. */
struct pm_devices *pm_devices_open(const char *sysfs);
void pm_devices_free(struct pm_devices *d);

/* Reads them now, in the drivers' order; at most `max`. Returns how many there are. */
size_t pm_devices_read(const struct pm_devices *d, struct pm_device *out, size_t max);

/* MemTotal and MemAvailable of /proc/meminfo, MiB; 0 where it cannot be read. */
void pm_machine_memory(long long *total_mib, long long *available_mib);

#endif
