#include "core/learn/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/learn/text.h"
#include "core/learn/weights_priv.h"

const char pm_file_magic[8] = {'P', 'M', 'W', 'E', 'I', 'G', 'H', 'T'};

struct pm_weights {
    const unsigned char *data;
    size_t size;
    const struct pm_file_entry *entries;
    uint32_t n;
};

uint64_t pm_weights_checksum(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint64_t a = 1, b = 0, word;
    for (; n >= sizeof(word); p += sizeof(word), n -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        a += word;
        b += a;
    }
    for (; n; n--) {
        a += *p++;
        b += a;
    }
    return a ^ (b << 32 | b >> 32);
}

/* --- contents --- */

/* Arrays one after the other, each at a multiple of 8; nothing is read beyond the end. */
struct cursor {
    const unsigned char *at;
    size_t left;
    bool bad;
};

static const void *take(struct cursor *c, size_t n, size_t size)
{
    size_t len = n * size, padded = (len + 7) & ~(size_t)7;
    if (c->bad || (size && n > c->left / size) || padded > c->left) {
        c->bad = true;
        return NULL;
    }
    const void *p = c->at;
    c->at += padded;
    c->left -= padded;
    return p;
}

static bool names_end(const char (*names)[PM_NAME], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!memchr(names[i], 0, PM_NAME))
            return false;
    return true;
}

static bool read_classes(struct cursor c, struct pm_classes *out)
{
    const struct pm_file_fixed *head = take(&c, 1, sizeof(*head));
    if (!head || head->g != PM_TEXT_VERSION || !head->a || head->a > PM_LEARN_CLASSES_MAX || head->b < 1 ||
        head->b > 20 || head->c < 1 || head->c > 3 || (int32_t)head->d < -1 || (int32_t)head->d >= (int32_t)head->a)
        return false;
    *out = (struct pm_classes){.n = head->a,
                               .bits = head->b,
                               .recipe = head->c,
                               .outside = (int32_t)head->d,
                               .norm = head->e,
                               .sure = head->f};
    out->names = take(&c, out->n, PM_NAME);
    out->bias = take(&c, out->n, sizeof(float));
    out->scale = take(&c, out->n, sizeof(float));
    out->weights = take(&c, (size_t)out->n << out->bits, 1);
    return !c.bad && names_end(out->names, out->n);
}

static bool read_head(struct cursor c, struct pm_head *out)
{
    const struct pm_file_fixed *head = take(&c, 1, sizeof(*head));
    if (!head || head->g != PM_TEXT_VERSION || head->a < 1 || head->a > 22)
        return false;
    *out =
        (struct pm_head){.bits = head->a, .labels = head->b, .trusted = head->c, .slope = head->e, .scale = head->f};
    out->quantiles = take(&c, PM_QUANTILES, sizeof(float));
    out->weights = take(&c, (size_t)1 << out->bits, 1);
    return !c.bad;
}

static bool read_table(struct cursor c, struct pm_table *out)
{
    const struct pm_file_fixed *head = take(&c, 1, sizeof(*head));
    if (!head || head->g != PM_TEXT_VERSION || !head->a || head->a > PM_LEARN_CLASSES_MAX || !head->b ||
        head->b > PM_LEARN_CLASSES_MAX || head->c > 20)
        return false;
    *out = (struct pm_table){.topics = head->a, .models = head->b, .bits = head->c};
    size_t cells = (size_t)out->topics * out->models;
    out->names = take(&c, out->models, PM_NAME);
    out->mean = take(&c, cells, sizeof(float));
    out->scale = take(&c, cells, sizeof(float));
    if (out->bits)
        out->weights = take(&c, cells << out->bits, 1);
    return !c.bad && names_end(out->names, out->models);
}

static struct cursor content(const struct pm_weights *w, const struct pm_file_entry *e)
{
    return (struct cursor){.at = w->data + e->at, .left = (size_t)e->len};
}

static bool is_good(const struct pm_weights *w, const struct pm_file_entry *e)
{
    union {
        struct pm_classes classes;
        struct pm_head head;
        struct pm_table table;
    } any;
    switch (e->kind) {
    case PM_SECTION_CLASSES:
        return read_classes(content(w, e), &any.classes);
    case PM_SECTION_HEAD:
        return read_head(content(w, e), &any.head);
    case PM_SECTION_TABLE:
        return read_table(content(w, e), &any.table);
    case PM_SECTION_SIZES:
        return e->len >= sizeof(struct pm_sizes);
    default:
        return true; /* of a later version: left alone */
    }
}

/* --- the file --- */

static const char *check(struct pm_weights *w)
{
    const struct pm_file_head *head = (const struct pm_file_head *)(const void *)w->data;
    if (w->size < sizeof(*head) || memcmp(head->magic, pm_file_magic, sizeof(pm_file_magic)) != 0)
        return "not a file of weights: make one with `pointsman train`";
    if (head->format != PM_WEIGHTS_FORMAT)
        return "weights of another version: train them anew with this one";
    if (head->size != w->size)
        return "cut short or grown: make it again";
    if (head->sum != pm_weights_checksum(w->data + sizeof(*head), w->size - sizeof(*head)))
        return "damaged (its checksum is wrong): make it again";
    if (head->sections > PM_FILE_SECTIONS || sizeof(*head) + head->sections * sizeof(struct pm_file_entry) > w->size)
        return "damaged: more sections than it can hold";
    w->entries = (const struct pm_file_entry *)(const void *)(w->data + sizeof(*head));
    w->n = head->sections;
    uint64_t end = sizeof(*head) + w->n * sizeof(struct pm_file_entry);
    for (uint32_t i = 0; i < w->n; i++) {
        const struct pm_file_entry *e = &w->entries[i];
        if (e->at < end || !memchr(e->name, 0, PM_FILE_TITLE) || e->at % PM_FILE_ALIGN || e->at > w->size ||
            e->len > w->size - e->at || !is_good(w, e))
            return "damaged: a section does not fit";
        end = e->at + e->len;
    }
    return NULL;
}

static bool read_all(int fd, char *to, size_t len)
{
    while (len) {
        ssize_t n = read(fd, to, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        len -= (size_t)n;
    }
    return true;
}

struct pm_weights *pm_weights_open(const char *path, char *why, size_t size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        snprintf(why, size, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        snprintf(why, size, "%s: not a file", path);
        close(fd);
        return NULL;
    }
    if (st.st_size == 0) {
        snprintf(why, size, "%s: an empty file: make one with `pointsman train`", path);
        close(fd);
        return NULL;
    }
    if (st.st_size > PM_WEIGHTS_MAX) {
        snprintf(why, size, "%s: %lld bytes: a file of weights has at most %d", path, (long long)st.st_size,
                 PM_WEIGHTS_MAX);
        close(fd);
        return NULL;
    }
    /* A copy: a mapped file that somebody cuts short under us would end this process. */
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool whole = at != MAP_FAILED && read_all(fd, at, (size_t)st.st_size);
    close(fd);
    if (!whole) {
        snprintf(why, size, "%s: cannot be read", path);
        if (at != MAP_FAILED)
            munmap(at, (size_t)st.st_size);
        return NULL;
    }
    mprotect(at, (size_t)st.st_size, PROT_READ);
    struct pm_weights *w = pm_calloc(1, sizeof(*w));
    w->data = at;
    w->size = (size_t)st.st_size;
    const char *wrong = check(w);
    if (wrong) {
        snprintf(why, size, "%s: %s", path, wrong);
        pm_weights_close(w);
        return NULL;
    }
    return w;
}

void pm_weights_close(struct pm_weights *w)
{
    if (!w)
        return;
    munmap((void *)(uintptr_t)w->data, w->size);
    free(w);
}

static const struct pm_file_entry *find(const struct pm_weights *w, enum pm_section_kind kind, const char *name)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (w->entries[i].kind == (uint32_t)kind && (!name || strcmp(w->entries[i].name, name) == 0))
            return &w->entries[i];
    return NULL;
}

bool pm_weights_classes(const struct pm_weights *w, const char *name, struct pm_classes *out)
{
    const struct pm_file_entry *e = find(w, PM_SECTION_CLASSES, name);
    return e && read_classes(content(w, e), out);
}

bool pm_weights_head(const struct pm_weights *w, const char *name, struct pm_head *out)
{
    const struct pm_file_entry *e = find(w, PM_SECTION_HEAD, name);
    return e && read_head(content(w, e), out);
}

bool pm_weights_table(const struct pm_weights *w, const char *name, struct pm_table *out)
{
    const struct pm_file_entry *e = find(w, PM_SECTION_TABLE, name);
    return e && read_table(content(w, e), out);
}

const struct pm_sizes *pm_weights_sizes(const struct pm_weights *w)
{
    const struct pm_file_entry *e = find(w, PM_SECTION_SIZES, NULL);
    return e ? (const struct pm_sizes *)(const void *)(w->data + e->at) : NULL;
}

bool pm_weights_section(const struct pm_weights *w, size_t i, enum pm_section_kind *kind, const char **name,
                        const void **data, size_t *len)
{
    if (i >= w->n)
        return false;
    *kind = (enum pm_section_kind)w->entries[i].kind;
    *name = w->entries[i].name;
    *data = w->data + w->entries[i].at;
    *len = (size_t)w->entries[i].len;
    return true;
}
