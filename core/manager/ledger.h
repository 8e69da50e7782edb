/* Memory: what a profile needs, what there is, what fits together. Pure but for reading file sizes and /proc. */
#ifndef PM_MANAGER_LEDGER_H
#define PM_MANAGER_LEDGER_H

#include "core/conf/conf.h"

/* Beside its buffers a server takes this of the machine's memory for itself, and on each device for its context and
 * kernels. */
enum { PM_OWN_RAM_MIB = 64, PM_OWN_DEVICE_MIB = 300 };

/* MiB on each device, and of the machine's own memory. */
struct pm_need {
    long long device[PM_DEVICES_MAX];
    long long ram;
    bool estimated;
};

struct pm_capacity {
    long long device[PM_DEVICES_MAX];
    size_t n_devices; /* 0: there may be one, but nobody has said how large it is */
    bool has_unknown_device;
    long long ram;
};

/* From [manager] DEVICES and RAM, else from the machine. */
void pm_capacity_read(const struct pm_manager_conf *conf, struct pm_capacity *out);

/* VRAM= and RAM= of the profile, else an estimate from its model file's head, else from the size of its files. */
void pm_need_of(const struct pm_target *t, const struct pm_capacity *cap, struct pm_need *out);

/* "168595 MiB (weights 4567, KV 162528 for 1300224 tokens, compute 1500)": what a profile takes by its file's head,
 * for people; empty when that cannot be read. */
void pm_need_text(const struct pm_target *t, char *out, size_t size);

/* Do all of them fit at once? A device of unknown size holds one profile. */
bool pm_fits(const struct pm_capacity *cap, const struct pm_need *const *needs, size_t n);

/* "needs 9000 MiB on device 0, which has 8192": why it never fits, alone. Empty when it does. */
void pm_need_explain(const struct pm_capacity *cap, const struct pm_need *need, char *out, size_t size);

#endif
