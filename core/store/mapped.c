#include "core/store/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"

enum { HEAD = 64, TRIES = 10 };

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

static bool write_head(int fd, const struct pm_mapped_kind *kind)
{
    return ftruncate(fd, (off_t)HEAD + kind->size) == 0 && pwrite(fd, kind, sizeof(*kind), 0) == sizeof(*kind);
}

static bool is_of_kind(int fd, off_t size, const struct pm_mapped_kind *kind)
{
    struct pm_mapped_kind old = {{0}, 0, 0};
    return size == (off_t)HEAD + kind->size && pread(fd, &old, sizeof(old), 0) == sizeof(old) &&
           memcmp(&old, kind, sizeof(old)) == 0;
}

/* A new file in the place of the old one, which others may have mapped and go on with. */
static bool replace(int dir, const char *path, const struct pm_mapped_kind *kind)
{
    char fresh[300];
    snprintf(fresh, sizeof(fresh), "%.250s.%ld", path, (long)getpid());
    int fd = openat(dir, fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write_head(fd, kind) && renameat(dir, fresh, dir, path) == 0;
    if (fd >= 0)
        close(fd);
    if (!good)
        unlinkat(dir, fresh, 0);
    return good;
}

enum found { FOUND_GOOD, FOUND_AGAIN, FOUND_BAD };

/* The descriptor is locked: two processes may find the same at once, and the second one finds what the first has made.
 */
static enum found look(int dir, const char *path, int fd, const struct pm_mapped_kind *kind)
{
    struct stat here, there;
    if (fstat(fd, &here) < 0)
        return FOUND_BAD;
    if (fstatat(dir, path, &there, 0) < 0 || here.st_ino != there.st_ino)
        return FOUND_AGAIN;
    if (is_of_kind(fd, here.st_size, kind))
        return FOUND_GOOD;
    if (here.st_size == 0)
        return write_head(fd, kind) ? FOUND_GOOD : FOUND_BAD;
    return replace(dir, path, kind) ? FOUND_AGAIN : FOUND_BAD;
}

/* On a full disk the first touch of a page that has no place there would end the process (SIGBUS): the place is taken
 * at once. Where there is none, this process goes on with memory of its own. */
static int make_room(struct pm_mapped *m, const char *path)
{
    int full = posix_fallocate(m->fd, 0, (off_t)HEAD + (off_t)m->size);
    if (full != ENOSPC && full != EDQUOT && full != EFBIG)
        return PM_OK;
    int fd = memfd_create(path, MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)HEAD + (off_t)m->size) < 0) {
        if (fd >= 0)
            close(fd);
        errno = full;
        return PM_EIO;
    }
    pm_log(PM_LOG_WARN, "%s: the disk is full: kept in memory by this process alone, until it ends", path);
    close(m->fd);
    m->fd = fd;
    return PM_OK;
}

int pm_mapped_open(int dir, const char *path, const struct pm_mapped_kind *kind, struct pm_mapped *out,
                   struct pm_error *err)
{
    enum found found = FOUND_AGAIN;
    for (unsigned tries = 0; found == FOUND_AGAIN && tries < TRIES; tries++) {
        *out = (struct pm_mapped){.fd = openat(dir, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), .size = kind->size};
        if (out->fd < 0)
            return pm_error_errno(err, "%s", path);
        set_lock(out->fd, F_WRLCK);
        found = look(dir, path, out->fd, kind);
        set_lock(out->fd, F_UNLCK);
        if (found == FOUND_AGAIN)
            close(out->fd);
    }
    if (found == FOUND_BAD && errno == ENOSPC)
        found = FOUND_GOOD;
    if (found == FOUND_GOOD && make_room(out, path) == PM_OK) {
        out->head = mmap(NULL, HEAD + out->size, PROT_READ | PROT_WRITE, MAP_SHARED, out->fd, 0);
        out->at = out->head != MAP_FAILED ? (char *)out->head + HEAD : NULL;
    }
    if (out->at)
        return PM_OK;
    pm_error_errno(err, "%s", path);
    if (found != FOUND_AGAIN)
        close(out->fd);
    *out = (struct pm_mapped){.fd = -1};
    return PM_EIO;
}

void pm_mapped_close(struct pm_mapped *m)
{
    if (!m->at)
        return;
    munmap(m->head, HEAD + m->size);
    close(m->fd);
    *m = (struct pm_mapped){.fd = -1};
}
