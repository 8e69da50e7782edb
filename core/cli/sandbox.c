#include "core/cli/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/text.h"

enum { CHILD_LIMIT_S = 20 };

/* The first byte of each message says what it is. */
static void send_text(int fd, char kind, const char *text, size_t len)
{
    ssize_t ignored = write(fd, &kind, 1);
    ignored = write(fd, text, len);
    ignored = write(fd, "", 1);
    (void)ignored;
}

static void stage(void *arg, const char *file)
{
    send_text(*(int *)arg, 'S', file, strlen(file));
}

static void child(int fd, int (*fn)(struct pm_policies *ps, void *arg, struct pm_buf *out), void *arg)
{
    static const struct pm_policies_events events = {.stage = stage};
    struct pm_buf out;
    pm_buf_init(&out, 1 << 20);
    /* A start that never returns is told like a crash. */
    alarm(CHILD_LIMIT_S);
    struct pm_policies *ps = pm_policies_new(&events, &fd);
    int rc = fn(ps, arg, &out);
    pm_policies_free(ps);
    send_text(fd, rc ? 'E' : 'O', out.data, out.len);
    _exit(0);
}

static void read_all(int fd, struct pm_buf *in)
{
    char piece[4096];
    ssize_t n;
    while ((n = read(fd, piece, sizeof(piece))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            pm_buf_addn(in, piece, (size_t)n);
}

int pm_cli_in_child(int (*fn)(struct pm_policies *ps, void *arg, struct pm_buf *out), void *arg, struct pm_buf *out)
{
    int pipe_fd[2], status = 0, rc = -1;
    struct pm_buf in;
    const char *where = "";
    if (pipe(pipe_fd) < 0)
        return -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(pipe_fd[0]);
        child(pipe_fd[1], fn, arg);
    }
    close(pipe_fd[1]);
    pm_buf_init(&in, 2 << 20);
    read_all(pipe_fd[0], &in);
    close(pipe_fd[0]);
    waitpid(pid, &status, 0);
    bool told = false;
    for (size_t at = 0; at < in.len; at += strlen(in.data + at) + 1) {
        char kind = in.data[at];
        const char *text = in.data + at + 1;
        if (kind == 'S') {
            where = text;
        } else {
            pm_buf_add(out, text);
            told = true;
            rc = kind == 'O' ? 0 : -1;
        }
    }
    if (!told)
        pm_buf_addf(out, "%s: running it ended the process: %s", where,
                    WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it exited");
    pm_buf_release(&in);
    return rc;
}
