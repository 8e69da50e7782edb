/* A stand-in for NVIDIA's libnvidia-ml.so.1: each device is a line "TOTAL FREE" (MiB) of the file
 * that POINTSMAN_TEST_NVML names, read anew for every question. */
#include <stdio.h>
#include <stdlib.h>

struct memory {
    unsigned long long total, free, used;
};

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *n);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
int nvmlDeviceGetName(void *device, char *name, unsigned length);
int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory);

enum { DEVICES_MAX = 4, NOT_FOUND = 6 };

static int numbers[DEVICES_MAX];

static unsigned read_all(unsigned long long (*out)[2])
{
    const char *path = getenv("POINTSMAN_TEST_NVML");
    FILE *f = path ? fopen(path, "r") : NULL;
    unsigned n = 0;
    while (f && n < DEVICES_MAX && fscanf(f, "%llu %llu", &out[n][0], &out[n][1]) == 2)
        n++;
    if (f)
        fclose(f);
    return n;
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
    unsigned long long all[DEVICES_MAX][2];
    *n = read_all(all);
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (index >= DEVICES_MAX)
        return NOT_FOUND;
    numbers[index] = (int)index;
    *device = &numbers[index];
    return 0;
}

int nvmlDeviceGetName(void *device, char *name, unsigned length)
{
    snprintf(name, length, "Stand-in %d", *(int *)device);
    return 0;
}

int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory)
{
    unsigned long long all[DEVICES_MAX][2];
    unsigned index = (unsigned)*(int *)device;
    if (index >= read_all(all))
        return NOT_FOUND;
    memory->total = all[index][0] << 20;
    memory->free = all[index][1] << 20;
    memory->used = memory->total - memory->free;
    return 0;
}
