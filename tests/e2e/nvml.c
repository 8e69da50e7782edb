/* A stand-in for NVIDIA's libnvidia-ml.so.1: each device is a line "TOTAL FREE" (MiB) of the file
 * that POINTSMAN_TEST_NVML names, read anew for every question; "USE POWER TEMPERATURE" (per cent,
 * watts, degrees) may follow, and are not known otherwise. */
#include <stdio.h>
#include <stdlib.h>

struct memory {
    unsigned long long total, free, used;
};

struct utilization {
    unsigned gpu, memory;
};

struct numbers {
    unsigned long long total, free;
    unsigned use, power, temperature;
    int known; /* of these five */
};

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *n);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
int nvmlDeviceGetName(void *device, char *name, unsigned length);
int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory);
int nvmlDeviceGetUtilizationRates(void *device, struct utilization *utilization);
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts);
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius);

enum { DEVICES_MAX = 16, NOT_SUPPORTED = 3, NOT_FOUND = 6 };

static int handles[DEVICES_MAX];

static unsigned read_all(struct numbers *out)
{
    const char *path = getenv("POINTSMAN_TEST_NVML");
    FILE *f = path ? fopen(path, "r") : NULL;
    char line[200];
    unsigned n = 0;
    while (f && n < DEVICES_MAX && fgets(line, sizeof(line), f)) {
        struct numbers *o = &out[n];
        o->known = sscanf(line, "%llu %llu %u %u %u", &o->total, &o->free, &o->use, &o->power, &o->temperature);
        n += o->known >= 2;
    }
    if (f)
        fclose(f);
    return n;
}

/* That device's numbers, of which so many must be known. */
static int look(const void *device, int known, struct numbers *out)
{
    struct numbers all[DEVICES_MAX];
    unsigned index = (unsigned)*(const int *)device;
    if (index >= read_all(all))
        return NOT_FOUND;
    *out = all[index];
    return out->known >= known ? 0 : NOT_SUPPORTED;
}

int nvmlInit_v2(void)
{
    return 0;
}

int nvmlShutdown(void)
{
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *n)
{
    struct numbers all[DEVICES_MAX];
    *n = read_all(all);
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (index >= DEVICES_MAX)
        return NOT_FOUND;
    handles[index] = (int)index;
    *device = &handles[index];
    return 0;
}

int nvmlDeviceGetName(void *device, char *name, unsigned length)
{
    snprintf(name, length, "Stand-in %d", *(int *)device);
    return 0;
}

int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory)
{
    struct numbers now;
    int rc = look(device, 2, &now);
    if (rc)
        return rc;
    memory->total = now.total << 20;
    memory->free = now.free << 20;
    memory->used = memory->total - memory->free;
    return 0;
}

int nvmlDeviceGetUtilizationRates(void *device, struct utilization *utilization)
{
    struct numbers now;
    int rc = look(device, 3, &now);
    if (rc == 0)
        *utilization = (struct utilization){.gpu = now.use};
    return rc;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts)
{
    struct numbers now;
    int rc = look(device, 4, &now);
    if (rc == 0)
        *milliwatts = now.power * 1000;
    return rc;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius)
{
    struct numbers now;
    int rc = look(device, 5, &now);
    if (rc == 0)
        *celsius = sensor == 0 ? now.temperature : 0;
    return rc;
}
