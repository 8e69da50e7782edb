#include "core/store/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD = 64 };

static void set_lock(int fd, short type)
{
    struct flock what = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
    while (fcntl(fd, F_SETLKW, &what) < 0 && errno == EINTR)
        continue;
}

void pm_mapped_lock(struct pm_mapped *m)
{
    set_lock(m->fd, F_WRLCK);
}

void pm_mapped_unlock(struct pm_mapped *m)
{
    set_lock(m->fd, F_UNLCK);
}

/* The descriptor is locked: two processes may find the file missing at once. */
static bool prepare(int fd, const struct pm_mapped_kind *kind)
{
    struct pm_mapped_kind old = {{0}, 0, 0};
    struct stat st;
    if (pread(fd, &old, sizeof(old), 0) == sizeof(old) && memcmp(&old, kind, sizeof(old)) == 0 &&
        fstat(fd, &st) == 0 && st.st_size == (off_t)HEAD + kind->size)
        return true;
    return ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)HEAD + kind->size) == 0 &&
           pwrite(fd, kind, sizeof(*kind), 0) == sizeof(*kind);
}

int pm_mapped_open(int dir, const char *path, const struct pm_mapped_kind *kind, struct pm_mapped *out,
                   struct pm_error *err)
{
    *out = (struct pm_mapped){.fd = openat(dir, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), .size = kind->size};
    if (out->fd < 0)
        return pm_error_errno(err, "%s", path);
    set_lock(out->fd, F_WRLCK);
    bool good = prepare(out->fd, kind);
    set_lock(out->fd, F_UNLCK);
    if (good) {
        out->head = mmap(NULL, HEAD + out->size, PROT_READ | PROT_WRITE, MAP_SHARED, out->fd, 0);
        good = out->head != MAP_FAILED;
    }
    if (!good) {
        pm_error_errno(err, "%s", path);
        close(out->fd);
        *out = (struct pm_mapped){.fd = -1};
        return PM_EIO;
    }
    out->at = (char *)out->head + HEAD;
    return PM_OK;
}

void pm_mapped_close(struct pm_mapped *m)
{
    if (!m->at)
        return;
    munmap(m->head, HEAD + m->size);
    close(m->fd);
    *m = (struct pm_mapped){.fd = -1};
}
