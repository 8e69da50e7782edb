/* Files of weights. What is accepted can be scored with for any prompt; what is not has a reason with the file's name
 * in it. The header is made right first, since no fuzzer finds a checksum: damage is the checksum's affair, the rest
 * is what must hold where somebody meant it. The last byte chooses: odd leaves the header as it came. */
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/learn/score.h"
#include "core/learn/weights_priv.h"
#include "tests/fuzz/fuzz.h"

static const char prompt[] =
    "Write a Python function that adds 12 and 30, then don't explain.\n\xe4\xbb\xa3\xe7\xa0\x81?";

static struct pm_text_tables tables;

static void use_classes(const struct pm_weights *w, const char *name)
{
    static struct pm_features f;
    float p[PM_LEARN_CLASSES_MAX];
    struct pm_classes c;
    unsigned best;
    CHECK(pm_weights_classes(w, name, &c), "a section that was there is gone");
    CHECK(c.n && c.n <= PM_LEARN_CLASSES_MAX, "%u classes", c.n);
    pm_features_of(&tables, (enum pm_recipe)c.recipe, prompt, sizeof(prompt) - 1, &f);
    pm_classes_score(&c, &f, p, &best);
    CHECK(best < c.n, "class %u of %u", best, c.n);
    CHECK((int32_t)best != c.outside || c.n == 1, "the outside class is the best");
    for (uint32_t k = 0; k < c.n; k++)
        CHECK(strlen(c.names[k]) < PM_NAME, "a name without an end");
}

static void use_table(const struct pm_weights *w, const char *name, const struct pm_features *f)
{
    float p[PM_LEARN_CLASSES_MAX];
    double quality[PM_LEARN_CLASSES_MAX] = {0};
    struct pm_table t;
    CHECK(pm_weights_table(w, name, &t), "a section that was there is gone");
    CHECK(t.topics <= PM_LEARN_CLASSES_MAX && t.models <= PM_LEARN_CLASSES_MAX, "%u topics, %u models", t.topics,
          t.models);
    for (size_t i = 0; i < PM_LEARN_CLASSES_MAX; i++)
        p[i] = i % 3 ? 0.5F : 0;
    pm_table_score(&t, p, f, quality);
}

static void use(const struct pm_weights *w)
{
    static struct pm_features f;
    struct pm_effort effort;
    struct pm_head head;
    enum pm_section_kind kind;
    const char *name;
    const void *data;
    size_t len;
    pm_features_of(&tables, PM_RECIPE_GRAMS, prompt, sizeof(prompt) - 1, &f);
    pm_effort_of(&tables, prompt, sizeof(prompt) - 1, &effort);
    for (size_t i = 0; pm_weights_section(w, i, &kind, &name, &data, &len); i++) {
        CHECK(strlen(name) < PM_FILE_TITLE && i < PM_FILE_SECTIONS, "section %zu", i);
        if (kind == PM_SECTION_CLASSES)
            use_classes(w, name);
        if (kind == PM_SECTION_HEAD && pm_weights_head(w, name, &head))
            pm_quantile(head.quantiles, pm_head_score(&head, &f, sizeof(prompt)));
        if (kind == PM_SECTION_TABLE)
            use_table(w, name, &f);
    }
    if (pm_weights_sizes(w))
        pm_size_score(pm_weights_sizes(w), &effort, sizeof(prompt), 0.9);
}

static void make_right(uint8_t *data, size_t size)
{
    struct pm_file_head head;
    memcpy(&head, data, sizeof(head));
    memcpy(head.magic, pm_file_magic, sizeof(head.magic));
    head.format = PM_WEIGHTS_FORMAT;
    head.size = size;
    head.sum = pm_weights_checksum(data + sizeof(head), size - sizeof(head));
    memcpy(data, &head, sizeof(head));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    char path[64], why[300] = "";
    uint8_t *copy = (uint8_t *)fuzz_copy(data, size, 0);
    if (!started)
        pm_text_tables_init(&tables);
    started = true;
    if (size >= sizeof(struct pm_file_head) && !(data[size - 1] & 1))
        make_right(copy, size);
    int fd = memfd_create("weights", MFD_CLOEXEC);
    bool written = fd >= 0 && write(fd, copy, size) == (ssize_t)size;
    free(copy);
    if (written) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        struct pm_weights *w = pm_weights_open(path, why, sizeof(why));
        if (w)
            use(w);
        else
            CHECK(strstr(why, path), "a fault without its file: %s", why);
        pm_weights_close(w);
    }
    if (fd >= 0)
        close(fd);
    return 0;
}
