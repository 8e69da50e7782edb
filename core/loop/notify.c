#include "core/loop/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/text.h"

int pm_notify_open(uint64_t *alive_ms)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET"), *every = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    size_t n = path ? strlen(path) : 0;
    long long us = 0, whose = getpid();
    int fd = -1;
    if (n > 1 && n < sizeof(addr.sun_path) && (path[0] == '/' || path[0] == '@')) {
        memcpy(addr.sun_path, path, n);
        if (path[0] == '@')
            addr.sun_path[0] = 0;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 &&
            connect(fd, (const struct sockaddr *)&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0) {
            close(fd);
            fd = -1;
        }
    }
    if (!every || pm_int_parse(every, 1, (long long)1e15, &us) < 0 ||
        (pid && (pm_int_parse(pid, 1, (long long)1e9, &whose) < 0 || whose != getpid())))
        us = 0;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    /* Twice as often as is asked for, as its manual advises. */
    *alive_ms = fd >= 0 ? (uint64_t)us / 2000 : 0;
    return fd;
}

void pm_notify(int fd, const char *state)
{
    /* Nobody to tell of a failure: the service manager sees silence. */
    if (fd >= 0 && send(fd, state, strlen(state), MSG_NOSIGNAL) < 0)
        return;
}
