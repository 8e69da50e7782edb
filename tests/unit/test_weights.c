/* Files of weights (core/learn/weights.c, writer.c): what was written is read back, and what is damaged is refused. */
#include "tests/unit/unit.h"

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/text.h"
#include "core/learn/score.h"
#include "core/learn/weights_priv.h"
#include "core/learn/writer.h"

enum { CLASSES = 3, CLASS_BITS = 4, HEAD_BITS = 5, TOPICS = 2, MODELS = 3, TABLE_BITS = 3 };

static char dir[64], path[80];

/* What the small file is made of. */
static char class_names[CLASSES][PM_NAME] = {"code", "math", "oos"}, topic_names[TOPICS][PM_NAME] = {"one", "two"};
static char model_names[MODELS][PM_NAME] = {"a", "b", "c"};
static float class_bias[CLASSES] = {0.5F, -1, 0}, class_scale[CLASSES] = {0.01F, 0.02F, 0.03F};
static int8_t class_weights[CLASSES << CLASS_BITS], head_weights[1 << HEAD_BITS];
static int8_t topic_weights[TOPICS << CLASS_BITS], table_weights[TOPICS * MODELS << TABLE_BITS];
static float quantiles[PM_QUANTILES], table_mean[TOPICS * MODELS], table_scale[TOPICS * MODELS];
static struct pm_sizes sizes;

static void fill(void)
{
    for (size_t i = 0; i < sizeof(class_weights); i++)
        class_weights[i] = (int8_t)(i * 37 % 255 - 127);
    for (size_t i = 0; i < sizeof(head_weights); i++)
        head_weights[i] = (int8_t)(i * 11 % 200 - 100);
    for (size_t i = 0; i < sizeof(table_weights); i++)
        table_weights[i] = (int8_t)(i % 7);
    for (size_t i = 0; i < PM_QUANTILES; i++)
        quantiles[i] = sizes.log_bytes[i] = (float)i / 10;
    for (size_t i = 0; i < (size_t)TOPICS * MODELS; i++) {
        table_mean[i] = (float)i / 8;
        table_scale[i] = 0.5F;
    }
    for (size_t i = 0; i < 4; i++)
        sizes.mean[i] = sizes.sd[i] = 1;
}

static struct pm_classes classes_of(char (*names)[PM_NAME], uint32_t n, const int8_t *weights, int outside)
{
    return (struct pm_classes){.n = n,
                               .bits = CLASS_BITS,
                               .recipe = PM_RECIPE_NARROW,
                               .outside = outside,
                               .norm = 0.5F,
                               .sure = 0.25F,
                               .names = (const char(*)[PM_NAME])names,
                               .bias = class_bias,
                               .scale = class_scale,
                               .weights = weights};
}

static void add_sections(struct pm_weights_writer *w)
{
    struct pm_classes classes = classes_of(class_names, CLASSES, class_weights, 2);
    struct pm_classes topics = classes_of(topic_names, TOPICS, topic_weights, -1);
    struct pm_head head = {.bits = HEAD_BITS,
                           .labels = 7,
                           .slope = 0.05F,
                           .scale = 0.1F,
                           .trusted = 1,
                           .quantiles = quantiles,
                           .weights = head_weights};
    struct pm_table table = {.topics = TOPICS,
                             .models = MODELS,
                             .bits = TABLE_BITS,
                             .names = (const char(*)[PM_NAME])model_names,
                             .mean = table_mean,
                             .scale = table_scale,
                             .weights = table_weights};
    pm_weights_add_classes(w, "intent", &classes);
    pm_weights_add_classes(w, "topic", &topics);
    pm_weights_add_head(w, "small large", &head);
    pm_weights_add_table(w, "topic", &table);
    pm_weights_add_sizes(w, &sizes);
}

static size_t write_file(const struct pm_weights_writer *w)
{
    struct pm_error err = {0};
    size_t len;
    expect(pm_weights_write(w, path, &len, &err) == PM_OK, "%s\n", err.msg);
    return len;
}

static char *read_file(size_t *len)
{
    struct pm_error err = {0};
    char *data;
    expect(pm_file_read(path, 1 << 24, &data, len, &err) == PM_OK, "%s\n", err.msg);
    return data;
}

/* In place: a rename for each of thousands of files would take a while. */
static void put_file(const char *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void sign(char *data, size_t len)
{
    struct pm_file_head *head = (struct pm_file_head *)(void *)data;
    head->size = len;
    head->sum = pm_weights_checksum(data + sizeof(*head), len - sizeof(*head));
}

/* The whole file as bytes; the caller frees. */
static char *small_file(size_t *len)
{
    struct pm_weights_writer *w = pm_weights_writer_new();
    add_sections(w);
    write_file(w);
    pm_weights_writer_free(w);
    return read_file(len);
}

static struct pm_weights *opened(void)
{
    char why[400] = "";
    struct pm_weights *w = pm_weights_open(path, why, sizeof(why));
    expect(w != NULL, "%s\n", why);
    return w;
}

/* Reads all that a file points to, so that a section that reaches too far is seen; nothing has to make sense. */
static void use(const struct pm_weights *w)
{
    static struct pm_features f = {.n = 2, .hash = {1ULL << 63 | 5, 3}, .value = {1, 1}};
    float p[PM_LEARN_CLASSES_MAX];
    double quality[PM_LEARN_CLASSES_MAX] = {0};
    struct pm_classes c;
    struct pm_head h;
    struct pm_table t;
    unsigned best;
    volatile long sum = 0;
    if (pm_weights_classes(w, NULL, &c)) {
        pm_classes_score(&c, &f, p, &best);
        assert_true(best < c.n);
        for (size_t i = 0; i < (size_t)c.n << c.bits; i++)
            sum += c.weights[i];
    }
    if (pm_weights_head(w, NULL, &h)) {
        pm_quantile(h.quantiles, pm_head_score(&h, &f, 100));
        for (size_t i = 0; i < (size_t)1 << h.bits; i++)
            sum += h.weights[i];
    }
    if (pm_weights_table(w, NULL, &t)) {
        for (size_t i = 0; i < PM_LEARN_CLASSES_MAX; i++)
            p[i] = 1;
        pm_table_score(&t, p, &f, quality);
    }
    if (pm_weights_sizes(w)) {
        struct pm_effort effort = {1, 1, 1, 0};
        pm_size_score(pm_weights_sizes(w), &effort, 100, 1);
    }
}

/* True where the file is refused; then with a sentence that has its name. */
static bool is_refused(void)
{
    char why[400] = "";
    struct pm_weights *w = pm_weights_open(path, why, sizeof(why));
    if (w) {
        use(w);
        pm_weights_close(w);
        return false;
    }
    expect(strncmp(why, path, strlen(path)) == 0 && strlen(why) > strlen(path) + 8, "a fault without its file: %s\n",
           why);
    return true;
}

static int set_up(void **state)
{
    (void)state;
    /* in memory where there is such a folder: thousands of files are written */
    snprintf(dir, sizeof(dir), "%s/pm-weights-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/w.pmw", dir);
    fill();
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void what_was_written_is_read(void **state)
{
    struct pm_classes c;
    struct pm_head h;
    struct pm_table t;
    size_t len;
    (void)state;
    free(small_file(&len));
    struct pm_weights *w = opened();
    assert_true(pm_weights_classes(w, "intent", &c));
    assert_true(c.n == CLASSES && c.bits == CLASS_BITS && c.recipe == PM_RECIPE_NARROW && c.outside == 2);
    assert_true(c.norm == 0.5F && c.sure == 0.25F);
    assert_memory_equal(c.names, class_names, sizeof(class_names));
    assert_memory_equal(c.bias, class_bias, sizeof(class_bias));
    assert_memory_equal(c.scale, class_scale, sizeof(class_scale));
    assert_memory_equal(c.weights, class_weights, sizeof(class_weights));
    assert_true(pm_weights_classes(w, "topic", &c) && c.n == TOPICS && c.outside == -1);
    assert_true(pm_weights_head(w, "small large", &h));
    assert_true(h.bits == HEAD_BITS && h.labels == 7 && h.trusted == 1 && h.slope == 0.05F && h.scale == 0.1F);
    assert_memory_equal(h.quantiles, quantiles, sizeof(quantiles));
    assert_memory_equal(h.weights, head_weights, sizeof(head_weights));
    assert_true(pm_weights_table(w, NULL, &t));
    assert_true(t.topics == TOPICS && t.models == MODELS && t.bits == TABLE_BITS);
    assert_memory_equal(t.names, model_names, sizeof(model_names));
    assert_memory_equal(t.mean, table_mean, sizeof(table_mean));
    assert_memory_equal(t.scale, table_scale, sizeof(table_scale));
    assert_memory_equal(t.weights, table_weights, sizeof(table_weights));
    assert_memory_equal(pm_weights_sizes(w), &sizes, sizeof(sizes));
    assert_false(pm_weights_classes(w, "other", &c));
    assert_false(pm_weights_head(w, "large small", &h));
    assert_false(pm_weights_table(w, "intent", &t));
    pm_weights_close(w);
    pm_weights_close(NULL);
}

static void sections_are_told_in_their_order(void **state)
{
    static const struct {
        enum pm_section_kind kind;
        const char *name;
    } rows[] = {{PM_SECTION_CLASSES, "intent"},
                {PM_SECTION_CLASSES, "topic"},
                {PM_SECTION_HEAD, "small large"},
                {PM_SECTION_TABLE, "topic"},
                {PM_SECTION_SIZES, "sizes"}};
    enum pm_section_kind kind;
    const char *name;
    const void *data;
    size_t len, i = 0;
    (void)state;
    free(small_file(&len));
    struct pm_weights *w = opened();
    for (; pm_weights_section(w, i, &kind, &name, &data, &len); i++) {
        assert_true(i < COUNT(rows) && kind == rows[i].kind && len > 0);
        assert_string_equal(name, rows[i].name);
        assert_int_equal((uintptr_t)data % 8, 0);
    }
    assert_int_equal(i, COUNT(rows));
    pm_weights_close(w);
}

static void the_same_content_is_the_same_file(void **state)
{
    size_t first_len, second_len, len;
    (void)state;
    char *first = small_file(&first_len), *second = small_file(&second_len);
    assert_int_equal(first_len, second_len);
    assert_memory_equal(first, second, first_len);
    free(second);
    struct pm_weights *from = opened();
    struct pm_weights_writer *w = pm_weights_writer_new();
    pm_weights_add_all(w, from);
    pm_weights_close(from);
    len = write_file(w);
    pm_weights_writer_free(w);
    second = read_file(&second_len);
    assert_int_equal(len, first_len);
    assert_int_equal(second_len, first_len);
    assert_memory_equal(first, second, first_len);
    free(first);
    free(second);
}

static void a_section_of_the_same_name_is_replaced(void **state)
{
    struct pm_head head = {.bits = HEAD_BITS, .labels = 99, .quantiles = quantiles, .weights = head_weights}, read;
    struct pm_weights_writer *w = pm_weights_writer_new();
    enum pm_section_kind kind;
    const char *name;
    const void *data;
    size_t len;
    (void)state;
    add_sections(w);
    pm_weights_add_head(w, "small large", &head);
    write_file(w);
    pm_weights_writer_free(w);
    struct pm_weights *opened_file = opened();
    assert_true(pm_weights_head(opened_file, "small large", &read) && read.labels == 99);
    assert_false(pm_weights_section(opened_file, 5, &kind, &name, &data, &len));
    pm_weights_close(opened_file);
}

static void no_sections_are_weights_too(void **state)
{
    struct pm_weights_writer *writer = pm_weights_writer_new();
    struct pm_classes c;
    (void)state;
    write_file(writer);
    pm_weights_writer_free(writer);
    struct pm_weights *w = opened();
    assert_false(pm_weights_classes(w, NULL, &c));
    assert_null(pm_weights_sizes(w));
    pm_weights_close(w);
}

static void a_section_of_a_later_version_is_left_alone(void **state)
{
    size_t len;
    char *data = small_file(&len);
    struct pm_file_entry *entries = (struct pm_file_entry *)(void *)(data + sizeof(struct pm_file_head));
    struct pm_head h;
    (void)state;
    entries[0].kind = 77;
    sign(data, len);
    put_file(data, len);
    struct pm_weights *w = opened();
    assert_true(pm_weights_head(w, "small large", &h));
    pm_weights_close(w);
    free(data);
}

static void a_changed_byte_is_found(void **state)
{
    size_t len;
    char *data = small_file(&len);
    (void)state;
    for (size_t i = 0; i < len; i++) {
        char was = data[i];
        data[i] = (char)(was ^ (1 << i % 8));
        put_file(data, len);
        expect(is_refused(), "a bit changed at byte %zu of %zu is not found\n", i, len);
        data[i] = (char)~was;
        put_file(data, len);
        expect(is_refused(), "byte %zu of %zu turned round is not found\n", i, len);
        data[i] = was;
    }
    put_file(data, len);
    assert_false(is_refused());
    free(data);
}

/* What somebody meant: the checksum is right, the content is what it is. */
static void a_changed_byte_with_the_right_checksum_does_no_harm(void **state)
{
    static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0xff};
    size_t len, contents = sizeof(struct pm_file_head) + 5 * sizeof(struct pm_file_entry) + 64 + 512;
    char *data = small_file(&len);
    (void)state;
    for (size_t i = sizeof(struct pm_file_head); i < len; i += i < contents ? 1 : 3) {
        char was = data[i];
        for (size_t k = 0; k < COUNT(values); k++) {
            data[i] = (char)values[k];
            sign(data, len);
            put_file(data, len);
            is_refused();
        }
        data[i] = was;
    }
    free(data);
}

static void a_cut_file_is_refused(void **state)
{
    size_t len;
    char *data = small_file(&len);
    (void)state;
    for (size_t n = 0; n < len; n++) {
        put_file(data, n);
        expect(is_refused(), "%zu of %zu bytes are taken\n", n, len);
        if (n < sizeof(struct pm_file_head))
            continue;
        /* the same with a header that tells the truth */
        char *part = malloc(n);
        assert_non_null(part);
        memcpy(part, data, n);
        sign(part, n);
        put_file(part, n);
        free(part);
        expect(is_refused(), "%zu of %zu bytes are taken with the right checksum\n", n, len);
    }
    free(data);
}

static void a_longer_file_is_refused(void **state)
{
    size_t len;
    char *data = small_file(&len), *longer = malloc(len + 1);
    (void)state;
    assert_non_null(longer);
    memcpy(longer, data, len);
    longer[len] = 0;
    put_file(longer, len + 1);
    assert_true(is_refused());
    free(longer);
    free(data);
}

enum lie {
    AT_ODD,
    AT_BEYOND,
    AT_WRAPS,
    LEN_BEYOND,
    LEN_SHORT,
    LEN_NONE,
    LEN_WRAPS,
    OVER_NEXT,
    OVER_ITSELF,
    OVER_HEADER,
    NAME_ENDLESS,
    TOO_MANY,
    FORMAT
};

static void tell_lie(char *data, size_t len, enum lie lie)
{
    struct pm_file_head *head = (struct pm_file_head *)(void *)data;
    struct pm_file_entry *e = (struct pm_file_entry *)(void *)(data + sizeof(*head));
    switch (lie) {
    case AT_ODD:
        e[2].at += 8;
        break;
    case AT_BEYOND:
        e[2].at = (len + 64) & ~(uint64_t)63;
        break;
    case AT_WRAPS:
        e[2].at = UINT64_MAX - 63;
        break;
    case LEN_BEYOND:
        e[4].len = len;
        break;
    case LEN_SHORT:
        e[2].len -= 8;
        break;
    case LEN_NONE:
        e[3].len = 0;
        break;
    case LEN_WRAPS:
        e[0].len = UINT64_MAX;
        break;
    case OVER_NEXT:
        e[0].len = e[2].at + 64 - e[0].at;
        break;
    case OVER_ITSELF:
        e[1].at = e[0].at;
        e[1].len = e[0].len;
        break;
    case OVER_HEADER:
        e[0].at = 0;
        e[0].kind = 77;
        break;
    case NAME_ENDLESS:
        memset(e[3].name, 'x', sizeof(e[3].name));
        break;
    case TOO_MANY:
        head->sections = UINT32_MAX;
        break;
    case FORMAT:
        head->format++;
        break;
    }
}

static bool is_lie_refused(enum lie lie)
{
    size_t len;
    char *data = small_file(&len);
    tell_lie(data, len, lie);
    sign(data, len);
    put_file(data, len);
    free(data);
    return is_refused();
}

static void lies_about_places_are_refused(void **state)
{
    static const struct {
        const char *what;
        enum lie lie;
    } rows[] = {
        {"a section at an odd place", AT_ODD},
        {"a section beyond the end", AT_BEYOND},
        {"a place that wraps", AT_WRAPS},
        {"a length beyond the end", LEN_BEYOND},
        {"a length that is too short", LEN_SHORT},
        {"no length", LEN_NONE},
        {"a length that wraps", LEN_WRAPS},
        {"a name without an end", NAME_ENDLESS},
        {"more sections than a file has", TOO_MANY},
        {"another format", FORMAT},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect(is_lie_refused(rows[i].lie), "%s is taken\n", rows[i].what);
}

static void sections_over_one_another_are_refused(void **state)
{
    (void)state;
    bool next = is_lie_refused(OVER_NEXT), itself = is_lie_refused(OVER_ITSELF), header = is_lie_refused(OVER_HEADER);
    expect(next && itself && header, "refused over the next one: %d, at one place: %d, over the header: %d\n", next,
           itself, header);
}

static void lies_about_sizes_are_refused(void **state)
{
    static const struct {
        const char *what;
        unsigned section, number; /* of the eight that a content begins with */
        uint32_t value;
    } rows[] = {
        {"no classes", 0, 0, 0},
        {"more classes", 0, 0, CLASSES + 60},
        {"classes without end", 0, 0, 257},
        {"no buckets", 0, 1, 0},
        {"more buckets", 0, 1, CLASS_BITS + 5},
        {"buckets without end", 0, 1, 63},
        {"no recipe", 0, 2, 0},
        {"an unknown recipe", 0, 2, 4},
        {"outside beyond", 0, 3, CLASSES},
        {"outside below", 0, 3, (uint32_t)-2},
        {"a head without buckets", 2, 0, 0},
        {"a head of more", 2, 0, 12},
        {"a head without end", 2, 0, 255},
        {"no topics", 3, 0, 0},
        {"more topics", 3, 0, 200},
        {"topics without end", 3, 0, UINT32_MAX},
        {"no models", 3, 1, 0},
        {"more models", 3, 1, 256},
        {"models without end", 3, 1, UINT32_MAX},
        {"more buckets of a table", 3, 2, 20},
        {"endless ones", 3, 2, 64},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len;
        char *data = small_file(&len);
        struct pm_file_entry *e = (struct pm_file_entry *)(void *)(data + sizeof(struct pm_file_head));
        memcpy(data + e[rows[i].section].at + rows[i].number * 4, &rows[i].value, 4);
        sign(data, len);
        put_file(data, len);
        bool refused = is_refused();
        free(data);
        expect(refused, "%s: taken\n", rows[i].what);
    }
}

static void endless_names_are_refused(void **state)
{
    static const unsigned sections[] = {0, 3};
    (void)state;
    for (size_t i = 0; i < COUNT(sections); i++) {
        size_t len;
        char *data = small_file(&len);
        struct pm_file_entry *e = (struct pm_file_entry *)(void *)(data + sizeof(struct pm_file_head));
        memset(data + e[sections[i]].at + sizeof(struct pm_file_fixed) + PM_NAME, 'y', PM_NAME);
        sign(data, len);
        put_file(data, len);
        bool refused = is_refused();
        free(data);
        assert_true(refused);
    }
}

static void numbers_that_are_none_do_no_harm(void **state)
{
    size_t len;
    char *data = small_file(&len);
    struct pm_file_entry *e = (struct pm_file_entry *)(void *)(data + sizeof(struct pm_file_head));
    (void)state;
    for (unsigned bad = 0; bad < 3; bad++) {
        float value = bad == 0 ? NAN : bad == 1 ? INFINITY : -INFINITY;
        for (unsigned s = 0; s < 5; s++) {
            /* kinds and counts stay, all floats become that number; a class's names stay too */
            size_t from = s == 4 ? 0 : 16, to = s == 4 ? sizeof(struct pm_sizes) : 24;
            for (size_t at = from; at + 4 <= to; at += 4)
                memcpy(data + e[s].at + at, &value, 4);
        }
        size_t bias = e[0].at + sizeof(struct pm_file_fixed) + CLASSES * PM_NAME;
        for (size_t at = bias; at < bias + 24; at += 4)
            memcpy(data + at, &value, 4);
        sign(data, len);
        put_file(data, len);
        is_refused();
    }
    free(data);
}

static void too_much_is_refused_by_both(void **state)
{
    struct pm_weights_writer *w = pm_weights_writer_new();
    struct pm_error err = {0};
    struct pm_head head = {.bits = 22, .quantiles = quantiles, .weights = calloc(1 << 22, 1)};
    size_t len;
    (void)state;
    free(small_file(&len));
    assert_non_null(head.weights);
    pm_weights_add_head(w, "a b", &head);
    pm_weights_add_head(w, "a c", &head);
    assert_int_equal(pm_weights_write(w, path, &len, &err), PM_ETOOBIG);
    expect(strstr(err.msg, path) != NULL, "%s\n", err.msg);
    pm_weights_writer_free(w);
    free((void *)(uintptr_t)head.weights);
    /* the file that was there is still whole */
    assert_false(is_refused());
    assert_int_equal(truncate(path, PM_WEIGHTS_MAX + 1), 0);
    assert_true(is_refused());
}

static void what_is_no_file_is_told(void **state)
{
    static const char *const paths[] = {"", "/", "/dev/null", "/nonexistent/w.pmw"};
    char why[400];
    (void)state;
    for (size_t i = 0; i < COUNT(paths); i++) {
        why[0] = 0;
        assert_null(pm_weights_open(paths[i], why, sizeof(why)));
        expect(strlen(why) > strlen(paths[i]) + 5, "`%s` gives `%s`\n", paths[i], why);
    }
    /* too small a place for the sentence is no fault */
    assert_null(pm_weights_open("/nonexistent/w.pmw", why, 4));
    assert_int_equal(strlen(why), 3);
    put_file("", 0);
    assert_true(is_refused());
    put_file("GGUF is something else altogether, and longer than a header", 59);
    assert_true(is_refused());
}

static volatile sig_atomic_t waited;

static void note_wait(int sig)
{
    (void)sig;
    waited = 1;
}

static void a_pipe_is_refused_at_once(void **state)
{
    char pipe[96], why[400];
    struct sigaction action = {.sa_handler = note_wait}; /* without SA_RESTART: it ends an open() that waits */
    (void)state;
    snprintf(pipe, sizeof(pipe), "%s/pipe", dir);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    alarm(2);
    assert_null(pm_weights_open(pipe, why, sizeof(why)));
    alarm(0);
    assert_int_equal(unlink(pipe), 0);
    expect(!waited, "it waits for somebody to write into the pipe\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(sections_are_told_in_their_order),
        cmocka_unit_test(the_same_content_is_the_same_file),
        cmocka_unit_test(a_section_of_the_same_name_is_replaced),
        cmocka_unit_test(no_sections_are_weights_too),
        cmocka_unit_test(a_section_of_a_later_version_is_left_alone),
        cmocka_unit_test(a_changed_byte_is_found),
        cmocka_unit_test(a_changed_byte_with_the_right_checksum_does_no_harm),
        cmocka_unit_test(a_cut_file_is_refused),
        cmocka_unit_test(a_longer_file_is_refused),
        cmocka_unit_test(lies_about_places_are_refused),
        cmocka_unit_test(sections_over_one_another_are_refused),
        cmocka_unit_test(lies_about_sizes_are_refused),
        cmocka_unit_test(endless_names_are_refused),
        cmocka_unit_test(numbers_that_are_none_do_no_harm),
        cmocka_unit_test(too_much_is_refused_by_both),
        cmocka_unit_test(what_is_no_file_is_told),
        cmocka_unit_test(a_pipe_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
