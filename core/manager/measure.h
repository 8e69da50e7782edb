/* What a server's log tells of the memory that it has taken, and a file of that for the next time. */
#ifndef PM_MANAGER_MEASURE_H
#define PM_MANAGER_MEASURE_H

#include "core/manager/ledger.h"

/* Sums of the log's "buffer size" lines, MiB. */
struct pm_measure {
    double device[PM_DEVICES_MAX];
    double ram;
    unsigned lines;
};

/* Takes a line of the log into account. */
void pm_measure_line(struct pm_measure *m, const char *line);

/* The number of the device that a buffer's name begins with, -1 for the machine's own memory. */
int pm_measure_device(const char *name, size_t len);

/* As a need, with what a server takes beside its buffers. False when the log said nothing. */
bool pm_measure_need(const struct pm_measure *m, struct pm_need *out);

/* Needs by command, as measured when it last ran. */
struct pm_measured;

struct pm_measured *pm_measured_new(const char *path);
void pm_measured_free(struct pm_measured *all);
const struct pm_need *pm_measured_get(const struct pm_measured *all, uint64_t command);

/* Was it measured, not estimated by llama-fit-params? */
bool pm_measured_is_sure(const struct pm_measured *all, uint64_t command);

/* Remembers, on disk too. */
void pm_measured_put(struct pm_measured *all, uint64_t command, const struct pm_need *need);

#endif
