/* A table in a file that all processes of a machine map, and that outlives them. What is changed is changed under a
 * lock of the file, which ends with the process that holds it.
 */
#ifndef PM_STORE_MAPPED_H
#define PM_STORE_MAPPED_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

struct pm_mapped {
    int fd;
    void *head; /* of the mapping */
    void *at;   /* `size` bytes for the owner, 64-byte aligned */
    size_t size;
};

/* Which table it is: in the place of a file of another name, format or size comes a new one. */
struct pm_mapped_kind {
    char name[8];
    uint32_t format;
    uint32_t size;
};

/* Opens `path`, relative to the folder `dir` (AT_FDCWD for none); makes it, all zero, where it is missing or of
 * another kind. `err` names the path. */
int pm_mapped_open(int dir, const char *path, const struct pm_mapped_kind *kind, struct pm_mapped *out,
                   struct pm_error *err) PM_MUST;
void pm_mapped_close(struct pm_mapped *m);

/* Not to be nested. */
void pm_mapped_lock(struct pm_mapped *m);
void pm_mapped_unlock(struct pm_mapped *m);

#endif
