#include "core/manager/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void read_processors(struct pm_machine *m)
{
    unsigned long long t[8] = {0}, all = 0;
    FILE *f = fopen("/proc/stat", "re");
    int n = f ? fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3], &t[4], &t[5],
                       &t[6], &t[7])
              : 0;
    if (f)
        fclose(f);
    if (n < 5)
        return;
    for (int i = 0; i < 8; i++)
        all += t[i];
    /* user nice system idle iowait irq softirq steal */
    unsigned long long busy = all - t[3] - t[4], passed = all - m->all;
    m->cpu = m->all && passed ? (double)(busy - m->busy) / (double)passed : m->all ? m->cpu : -1;
    m->busy = busy;
    m->all = all;
}

static void read_memory(struct pm_machine *m)
{
    static const char *const names[] = {"MemTotal:", "MemAvailable:", "SwapTotal:", "SwapFree:"};
    long long *const into[] = {&m->ram_mib, &m->ram_available_mib, &m->swap_mib, &m->swap_free_mib}, kib;
    char line[128], word[64];
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%63s %lld", word, &kib) != 2)
            continue;
        for (size_t i = 0; i < 4; i++)
            if (strcmp(word, names[i]) == 0)
                *into[i] = kib / 1024;
    }
    if (f)
        fclose(f);
}

void pm_machine_read(struct pm_machine *m)
{
    double load[1] = {0};
    read_processors(m);
    read_memory(m);
    m->load1 = getloadavg(load, 1) == 1 ? load[0] : 0;
    m->cores = sysconf(_SC_NPROCESSORS_ONLN);
}
