#include "core/manager/measure.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/json.h"
#include "core/base/log.h"

/* Commands remembered; those measured first are forgotten first. */
enum { COMMANDS_MAX = 512, FILE_MAX_BYTES = 1 << 20 };

/* "CUDA0", "Vulkan1", "ROCm0", "SYCL0": a name with a number at its end; all else is the machine's own memory ("CPU",
 * "CPU_Mapped", "CUDA_Host", "BLAS"). */
int pm_measure_device(const char *name, size_t len)
{
    size_t digits = 0;
    while (digits < len && isdigit((unsigned char)name[len - 1 - digits]))
        digits++;
    if (!digits || digits == len || strncmp(name, "CPU", 3) == 0)
        return -1;
    int d = (int)strtol(name + len - digits, NULL, 10);
    return d < PM_DEVICES_MAX ? d : -1;
}

/* `load_tensors:   CPU_Mapped model buffer size =     1.76 MiB`: the word before the kind of buffer names where. */
void pm_measure_line(struct pm_measure *m, const char *line)
{
    static const char *const kinds[] = {" model buffer size =", " KV buffer size =", " compute buffer size =",
                                        " output buffer size =", " RS buffer size ="};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        const char *at = strstr(line, kinds[i]);
        if (!at)
            continue;
        const char *end = at, *name;
        while (end > line && end[-1] == ' ')
            end--;
        for (name = end; name > line && name[-1] != ' '; name--)
            ;
        double mib = strtod(at + strlen(kinds[i]), NULL);
        /* Weights that were repacked for a device keep its number: CUDA0_Split. */
        const char *suffix = memchr(name, '_', (size_t)(end - name));
        int d = pm_measure_device(name, suffix ? (size_t)(suffix - name) : (size_t)(end - name));
        if (d >= 0)
            m->device[d] += mib;
        else
            m->ram += mib;
        m->lines++;
        return;
    }
}

bool pm_measure_need(const struct pm_measure *m, struct pm_need *out)
{
    *out = (struct pm_need){0};
    if (!m->lines)
        return false;
    out->ram = (long long)ceil(m->ram) + PM_OWN_RAM_MIB;
    for (size_t d = 0; d < PM_DEVICES_MAX; d++)
        if (m->device[d] > 0)
            out->device[d] = (long long)ceil(m->device[d]) + PM_OWN_DEVICE_MIB;
    return true;
}

struct entry {
    uint64_t command;
    struct pm_need need;
};

struct pm_measured {
    char *path;
    struct entry *entries;
    size_t n;
};

static void set(struct pm_measured *all, uint64_t command, const struct pm_need *need)
{
    for (size_t i = 0; i < all->n; i++) {
        if (all->entries[i].command != command)
            continue;
        all->entries[i].need = *need;
        return;
    }
    if (all->n == COMMANDS_MAX)
        memmove(all->entries, all->entries + 1, --all->n * sizeof(*all->entries));
    all->entries[all->n++] = (struct entry){.command = command, .need = *need};
}

/* A file can be spoilt: -1 for what cannot be. */
static long long mib_of(const cJSON *item)
{
    double v = cJSON_IsNumber(item) ? item->valuedouble : -1;
    return v >= 0 && v < (double)(1LL << 40) ? (long long)v : -1;
}

static bool read_need(const cJSON *item, struct pm_need *out)
{
    int n = cJSON_GetArraySize(item);
    *out = (struct pm_need){.ram = n ? mib_of(cJSON_GetArrayItem(item, 0)) : -1};
    bool ok = out->ram >= 0;
    for (int i = 1; i < n && i <= PM_DEVICES_MAX && ok; i++) {
        out->device[i - 1] = mib_of(cJSON_GetArrayItem(item, i));
        ok = out->device[i - 1] >= 0;
    }
    return ok;
}

/* {"<command>": [ram, device 0, device 1, ...], ...} */
static void read_file(struct pm_measured *all)
{
    char *text;
    size_t len;
    if (pm_file_read(all->path, FILE_MAX_BYTES, &text, &len, NULL) < 0)
        return;
    cJSON *root = cJSON_ParseWithLength(text, len);
    const cJSON *item;
    free(text);
    cJSON_ArrayForEach (item, root) {
        struct pm_need need;
        if (!item->string || !read_need(item, &need))
            continue;
        set(all, strtoull(item->string, NULL, 16), &need);
    }
    cJSON_Delete(root);
}

static void write_file(const struct pm_measured *all)
{
    struct pm_error err = {0};
    cJSON *root = cJSON_CreateObject();
    for (size_t i = 0; i < all->n; i++) {
        char key[20];
        const struct pm_need *need = &all->entries[i].need;
        size_t last = PM_DEVICES_MAX;
        /* An estimate is asked for again: a measurement is to take its place. */
        if (need->estimated)
            continue;
        snprintf(key, sizeof(key), "%016llx", (unsigned long long)all->entries[i].command);
        cJSON *list = cJSON_AddArrayToObject(root, key);
        cJSON_AddItemToArray(list, cJSON_CreateNumber((double)need->ram));
        while (last && !need->device[last - 1])
            last--;
        for (size_t d = 0; d < last; d++)
            cJSON_AddItemToArray(list, cJSON_CreateNumber((double)need->device[d]));
    }
    char *text = pm_json_text(root);
    if (pm_file_write(all->path, text, strlen(text), &err) < 0)
        pm_log(PM_LOG_WARN, "%s", err.msg);
    free(text);
    cJSON_Delete(root);
}

struct pm_measured *pm_measured_new(const char *path)
{
    struct pm_measured *all = pm_calloc(1, sizeof(*all));
    all->path = pm_strdup(path);
    all->entries = pm_calloc(COMMANDS_MAX, sizeof(*all->entries));
    read_file(all);
    return all;
}

void pm_measured_free(struct pm_measured *all)
{
    if (!all)
        return;
    free(all->path);
    free(all->entries);
    free(all);
}

const struct pm_need *pm_measured_get(const struct pm_measured *all, uint64_t command)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->entries[i].command == command)
            return &all->entries[i].need;
    return NULL;
}

bool pm_measured_is_sure(const struct pm_measured *all, uint64_t command)
{
    const struct pm_need *need = pm_measured_get(all, command);
    return need && !need->estimated;
}

void pm_measured_put(struct pm_measured *all, uint64_t command, const struct pm_need *need)
{
    const struct pm_need *before = pm_measured_get(all, command);
    if (before && memcmp(before, need, sizeof(*need)) == 0)
        return;
    set(all, command, need);
    write_file(all);
}
