/* The head of a model file. What is accepted can be estimated and placed without running out of bounds; what is not
 * has a reason with the file's name in it. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/manager/estimate.h"
#include "tests/fuzz/fuzz.h"

static void use(const struct pm_gguf *g)
{
    static const long long devices[] = {24564, 16303};
    struct pm_estimate *e = pm_calloc(1, sizeof(*e));
    struct pm_estimate_options o = {.context = 4096, .slots = 2};
    struct pm_placement p;
    struct pm_buf line;
    struct pm_error err = {0};
    CHECK(g->layers && g->layers <= PM_GGUF_LAYERS_MAX, "%u layers", g->layers);
    CHECK(pm_estimate(g, &o, e, &err), "no estimate: %s", err.msg);
    pm_place(g, e, devices, 2, 1024, &p);
    for (size_t d = 0; d < p.n_devices; d++)
        CHECK(p.device[d].last < (int)g->layers, "a layer that does not exist");
    pm_buf_init(&line, 1 << 20);
    pm_place_override(&p, "CUDA", &line);
    pm_buf_release(&line);
    free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pm_gguf g;
    struct pm_error err = {0};
    char path[64];
    int fd = memfd_create("model", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        close(fd);
        return 0;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (pm_gguf_read(path, &g, &err) == PM_OK)
        use(&g);
    else
        CHECK(strstr(err.msg, path), "a fault without its file: %s", err.msg);
    close(fd);
    return 0;
}
