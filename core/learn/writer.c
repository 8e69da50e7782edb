#include "core/learn/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/buf.h"
#include "core/base/text.h"
#include "core/learn/text.h"
#include "core/learn/weights_priv.h"

struct pm_weights_writer {
    struct {
        enum pm_section_kind kind;
        char *name;
        struct pm_buf data;
    } sections[PM_FILE_SECTIONS];
    size_t n;
};

struct pm_weights_writer *pm_weights_writer_new(void)
{
    return pm_calloc(1, sizeof(struct pm_weights_writer));
}

void pm_weights_writer_free(struct pm_weights_writer *w)
{
    for (size_t i = 0; i < w->n; i++) {
        free(w->sections[i].name);
        pm_buf_release(&w->sections[i].data);
    }
    free(w);
}

static struct pm_buf *section(struct pm_weights_writer *w, enum pm_section_kind kind, const char *name)
{
    size_t i = 0;
    while (i < w->n && (w->sections[i].kind != kind || strcmp(w->sections[i].name, name) != 0))
        i++;
    if (i == PM_FILE_SECTIONS)
        i--;
    if (i < w->n) {
        free(w->sections[i].name);
        pm_buf_release(&w->sections[i].data);
    } else {
        w->n++;
    }
    w->sections[i].kind = kind;
    w->sections[i].name = pm_strdup(name);
    pm_buf_init(&w->sections[i].data, 2 * (size_t)PM_WEIGHTS_MAX);
    return &w->sections[i].data;
}

static void put(struct pm_buf *out, const void *data, size_t len)
{
    static const char zeros[64] = {0};
    pm_buf_addn(out, data, len);
    pm_buf_addn(out, zeros, (8 - len % 8) % 8);
}

void pm_weights_add_classes(struct pm_weights_writer *w, const char *name, const struct pm_classes *c)
{
    struct pm_buf *out = section(w, PM_SECTION_CLASSES, name);
    struct pm_file_fixed head = {c->n, c->bits, c->recipe, (uint32_t)c->outside, c->norm, c->sure, PM_TEXT_VERSION, 0};
    put(out, &head, sizeof(head));
    put(out, c->names, c->n * sizeof(*c->names));
    put(out, c->bias, c->n * sizeof(float));
    put(out, c->scale, c->n * sizeof(float));
    put(out, c->weights, (size_t)c->n << c->bits);
}

void pm_weights_add_head(struct pm_weights_writer *w, const char *name, const struct pm_head *h)
{
    struct pm_buf *out = section(w, PM_SECTION_HEAD, name);
    struct pm_file_fixed head = {h->bits, h->labels, h->trusted, 0, h->slope, h->scale, PM_TEXT_VERSION, 0};
    put(out, &head, sizeof(head));
    put(out, h->quantiles, PM_QUANTILES * sizeof(float));
    put(out, h->weights, (size_t)1 << h->bits);
}

void pm_weights_add_table(struct pm_weights_writer *w, const char *name, const struct pm_table *t)
{
    struct pm_buf *out = section(w, PM_SECTION_TABLE, name);
    size_t cells = (size_t)t->topics * t->models;
    struct pm_file_fixed head = {t->topics, t->models, t->bits, 0, 0, 0, PM_TEXT_VERSION, 0};
    put(out, &head, sizeof(head));
    put(out, t->names, t->models * sizeof(*t->names));
    put(out, t->mean, cells * sizeof(float));
    put(out, t->scale, cells * sizeof(float));
    if (t->bits)
        put(out, t->weights, cells << t->bits);
}

void pm_weights_add_sizes(struct pm_weights_writer *w, const struct pm_sizes *sizes)
{
    put(section(w, PM_SECTION_SIZES, "sizes"), sizes, sizeof(*sizes));
}

void pm_weights_add_all(struct pm_weights_writer *w, const struct pm_weights *from)
{
    enum pm_section_kind kind;
    const char *name;
    const void *data;
    size_t len;
    for (size_t i = 0; pm_weights_section(from, i, &kind, &name, &data, &len); i++)
        put(section(w, kind, name), data, len);
}

static size_t aligned(size_t at)
{
    return (at + PM_FILE_ALIGN - 1) & ~(size_t)(PM_FILE_ALIGN - 1);
}

/* All but the header. */
static char *lay_out(const struct pm_weights_writer *w, size_t *size)
{
    size_t at = sizeof(struct pm_file_head) + w->n * sizeof(struct pm_file_entry), total = at;
    for (size_t i = 0; i < w->n; i++)
        total = aligned(total) + w->sections[i].data.len;
    char *file = pm_calloc(1, total);
    struct pm_file_entry *entries = (struct pm_file_entry *)(void *)(file + sizeof(struct pm_file_head));
    for (size_t i = 0; i < w->n; i++) {
        at = aligned(at);
        entries[i].kind = (uint32_t)w->sections[i].kind;
        entries[i].at = at;
        entries[i].len = w->sections[i].data.len;
        snprintf(entries[i].name, sizeof(entries[i].name), "%s", w->sections[i].name);
        memcpy(file + at, w->sections[i].data.data, w->sections[i].data.len);
        at += w->sections[i].data.len;
    }
    *size = total;
    return file;
}

int pm_weights_write(const struct pm_weights_writer *w, const char *path, size_t *len, struct pm_error *err)
{
    char *file = lay_out(w, len);
    struct pm_file_head head = {.format = PM_WEIGHTS_FORMAT, .sections = (uint32_t)w->n, .size = *len};
    memcpy(head.magic, pm_file_magic, sizeof(head.magic));
    head.sum = pm_weights_checksum(file + sizeof(head), *len - sizeof(head));
    memcpy(file, &head, sizeof(head));
    int rc = *len > PM_WEIGHTS_MAX ? pm_error_set(err, PM_ETOOBIG, "%s: %zu bytes of weights, %d are allowed", path,
                                                  *len, PM_WEIGHTS_MAX)
                                   : pm_file_write(path, file, *len, err);
    free(file);
    return rc;
}
