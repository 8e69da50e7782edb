#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/manager/gguf.h"

/* A file that is put together piece by piece. */
enum { U32 = 4, BOOL = 7, STRING = 8, ARRAY = 9, U64 = 10 };

struct file {
    unsigned char data[1 << 16];
    size_t len;
};

static void raw(struct file *f, const void *data, size_t n)
{
    assert_true(f->len + n <= sizeof(f->data));
    memcpy(f->data + f->len, data, n);
    f->len += n;
}

static void u32(struct file *f, uint32_t v)
{
    raw(f, &v, sizeof(v));
}

static void u64(struct file *f, uint64_t v)
{
    raw(f, &v, sizeof(v));
}

static void text(struct file *f, const char *s)
{
    u64(f, strlen(s));
    raw(f, s, strlen(s));
}

static void head(struct file *f, uint32_t version, uint64_t tensors, uint64_t keys)
{
    f->len = 0;
    raw(f, "GGUF", 4);
    u32(f, version);
    u64(f, tensors);
    u64(f, keys);
}

static void number(struct file *f, const char *key, uint32_t v)
{
    text(f, key);
    u32(f, U32);
    u32(f, v);
}

static void word(struct file *f, const char *key, const char *v)
{
    text(f, key);
    u32(f, STRING);
    text(f, v);
}

static void numbers(struct file *f, const char *key, const uint32_t *v, size_t n)
{
    text(f, key);
    u32(f, ARRAY);
    u32(f, U32);
    u64(f, n);
    for (size_t i = 0; i < n; i++)
        u32(f, v[i]);
}

static void tensor(struct file *f, const char *name, uint64_t elements, uint64_t offset)
{
    text(f, name);
    u32(f, 1);
    u64(f, elements);
    u32(f, 0);
    u64(f, offset);
}

static void data(struct file *f, size_t n)
{
    static const unsigned char zeros[4096];
    while (f->len % 32)
        raw(f, "", 1);
    raw(f, zeros, n);
}

static char path[64];

static int fresh(void **state)
{
    (void)state;
    strcpy(path, "/tmp/pm-gguf-XXXXXX");
    int fd = mkstemp(path);
    close(fd);
    return fd < 0;
}

static int clean(void **state)
{
    (void)state;
    return unlink(path);
}

static int read_bytes(const struct file *f, size_t len, struct pm_gguf *g, struct pm_error *err)
{
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(f->data, 1, len, out), len);
    fclose(out);
    *err = (struct pm_error){0};
    return pm_gguf_read(path, g, err);
}

/* Two layers, the second with experts; 32 bytes of embeddings, 64 and 96 of layers, 32 of output. */
static void small_model(struct file *f)
{
    head(f, 3, 5, 9);
    word(f, "general.architecture", "llama");
    number(f, "llama.block_count", 2);
    number(f, "llama.embedding_length", 64);
    number(f, "llama.attention.head_count", 4);
    number(f, "llama.attention.head_count_kv", 2);
    number(f, "llama.feed_forward_length", 256);
    number(f, "llama.context_length", 4096);
    number(f, "llama.expert_used_count", 3);
    text(f, "tokenizer.ggml.tokens");
    u32(f, ARRAY);
    u32(f, STRING);
    u64(f, 3);
    text(f, "a");
    text(f, "");
    text(f, "bcd");
    tensor(f, "token_embd.weight", 8, 0);
    tensor(f, "blk.0.attn_q.weight", 16, 32);
    tensor(f, "blk.1.attn_q.weight", 8, 96);
    tensor(f, "blk.1.ffn_up_exps.weight", 16, 128);
    tensor(f, "output.weight", 8, 192);
    data(f, 224);
}

static void what_memory_depends_on_is_read(void **state)
{
    struct pm_gguf *g = pm_calloc(1, sizeof(*g));
    static struct file f;
    struct pm_error err;
    (void)state;
    small_model(&f);
    int rc = read_bytes(&f, f.len, g, &err);
    expect(rc == PM_OK, "%s\n", err.msg);
    assert_string_equal(g->arch, "llama");
    assert_int_equal(g->layers, 2);
    assert_int_equal(g->embedding, 64);
    assert_int_equal(g->heads, 4);
    assert_int_equal(g->context, 4096);
    assert_int_equal(g->vocabulary, 3);
    assert_int_equal(g->experts_used, 3);
    assert_int_equal(g->key_length, 16);
    assert_int_equal(g->value_length, 16);
    assert_int_equal(g->layer[0].kv_heads, 2);
    assert_int_equal(g->layer[0].bytes, 64);
    assert_int_equal(g->layer[0].experts, 0);
    assert_int_equal(g->layer[1].bytes, 96);
    assert_int_equal(g->layer[1].experts, 64);
    assert_int_equal(g->input_bytes, 32);
    assert_int_equal(g->output_bytes, 32);
    assert_int_equal(g->total_bytes, 224);
    free(g);
}

static void numbers_of_each_layer(void **state)
{
    static const uint32_t heads[] = {0, 8, 0, 4}, windows[] = {1, 1, 0, 1};
    struct pm_gguf *g = pm_calloc(1, sizeof(*g));
    static struct file f;
    struct pm_error err;
    (void)state;
    head(&f, 2, 2, 7);
    word(&f, "general.architecture", "any-new-one");
    number(&f, "any-new-one.block_count", 4);
    number(&f, "any-new-one.attention.head_count", 8);
    number(&f, "any-new-one.attention.key_length", 128);
    number(&f, "any-new-one.attention.sliding_window", 1024);
    numbers(&f, "any-new-one.attention.head_count_kv", heads, 4);
    numbers(&f, "any-new-one.attention.sliding_window_pattern", windows, 4);
    tensor(&f, "blk.2.ssm_conv1d.weight", 8, 0);
    tensor(&f, "token_embd.weight", 8, 32);
    data(&f, 64);
    int rc = read_bytes(&f, f.len, g, &err);
    expect(rc == PM_OK, "%s\n", err.msg);
    for (size_t l = 0; l < 4; l++) {
        expect(g->layer[l].kv_heads == heads[l], "layer %zu: %u heads\n", l, g->layer[l].kv_heads);
        expect(g->layer[l].has_window == (windows[l] == 1), "layer %zu: window\n", l);
    }
    assert_true(g->layer[2].is_recurrent);
    assert_false(g->layer[1].is_recurrent);
    assert_int_equal(g->key_length, 128);
    assert_int_equal(g->window, 1024);
    assert_int_equal(g->output_bytes, 0);
    free(g);
}

static void a_file_cut_anywhere_is_told(void **state)
{
    struct pm_gguf *g = pm_calloc(1, sizeof(*g));
    static struct file f;
    struct pm_error err;
    (void)state;
    small_model(&f);
    /* The last tensor may be of any size, so that the end of the file is its end; all before it must be there. */
    for (size_t len = 0; len < f.len - 32; len++) {
        expect(read_bytes(&f, len, g, &err) < 0, "%zu of %zu bytes were taken\n", len, f.len);
        expect(strstr(err.msg, path), "no name in: %s\n", err.msg);
    }
    free(g);
}

/* Whatever stands there, it is an answer in time and within bounds, which a sanitizer sees. */
static void every_byte_may_be_wrong(void **state)
{
    static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0xff};
    struct pm_gguf *g = pm_calloc(1, sizeof(*g));
    static struct file f;
    struct pm_error err;
    (void)state;
    small_model(&f);
    size_t end = f.len - 224;
    for (size_t at = 0; at < end; at++) {
        unsigned char before = f.data[at];
        for (size_t v = 0; v < COUNT(values); v++) {
            f.data[at] = values[v];
            if (read_bytes(&f, f.len, g, &err) == PM_OK)
                expect(g->layers && g->layers <= PM_GGUF_LAYERS_MAX && g->total_bytes <= f.len, "byte %zu\n", at);
            else
                expect(*err.msg, "byte %zu: no reason\n", at);
        }
        f.data[at] = before;
    }
    free(g);
}

static void reasons_name_the_fault(void **state)
{
    struct pm_gguf *g = pm_calloc(1, sizeof(*g));
    static struct file f;
    struct pm_error err;
    (void)state;
    head(&f, 1, 0, 0);
    assert_true(read_bytes(&f, f.len, g, &err) < 0);
    assert_non_null(strstr(err.msg, "version"));
    head(&f, 3, UINT64_MAX, 0);
    assert_true(read_bytes(&f, f.len, g, &err) < 0);
    head(&f, 3, 0, UINT64_MAX);
    assert_true(read_bytes(&f, f.len, g, &err) < 0);
    head(&f, 3, 0, 0);
    assert_true(read_bytes(&f, f.len, g, &err) < 0);
    assert_non_null(strstr(err.msg, "no model"));
    small_model(&f);
    memcpy(f.data, "<htm", 4);
    assert_true(read_bytes(&f, f.len, g, &err) < 0);
    assert_non_null(strstr(err.msg, "GGUF"));
    assert_true(pm_gguf_read("/nonexistent.gguf", g, &err) < 0);
    assert_non_null(strstr(err.msg, "/nonexistent.gguf"));
    assert_true(pm_gguf_read("/tmp", g, &err) < 0);
    free(g);
}

static void write_part(const char *name, const struct file *f)
{
    FILE *out = fopen(name, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(f->data, 1, f->len, out), f->len);
    fclose(out);
}

static void parts_are_added_up(void **state)
{
    struct pm_gguf *g = pm_calloc(1, sizeof(*g));
    static struct file f;
    struct pm_error err = {0};
    char folder[] = "/tmp/pm-gguf-parts-XXXXXX", first[80], second[80];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(first, sizeof(first), "%s/m-00001-of-00002.gguf", folder);
    snprintf(second, sizeof(second), "%s/m-00002-of-00002.gguf", folder);
    head(&f, 3, 1, 4);
    word(&f, "general.architecture", "llama");
    number(&f, "llama.block_count", 2);
    number(&f, "split.count", 2);
    number(&f, "split.no", 0);
    tensor(&f, "blk.0.attn_q.weight", 8, 0);
    data(&f, 32);
    write_part(first, &f);
    assert_true(pm_gguf_read(first, g, &err) < 0);
    head(&f, 3, 1, 2);
    number(&f, "split.count", 2);
    number(&f, "split.no", 1);
    tensor(&f, "blk.1.attn_q.weight", 16, 0);
    data(&f, 64);
    write_part(second, &f);
    int rc = pm_gguf_read(first, g, &err);
    expect(rc == PM_OK, "%s\n", err.msg);
    assert_int_equal(g->layer[0].bytes, 32);
    assert_int_equal(g->layer[1].bytes, 64);
    assert_int_equal(g->total_bytes, 96);
    unlink(first);
    unlink(second);
    rmdir(folder);
    free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_memory_depends_on_is_read, fresh, clean),
        cmocka_unit_test_setup_teardown(numbers_of_each_layer, fresh, clean),
        cmocka_unit_test_setup_teardown(a_file_cut_anywhere_is_told, fresh, clean),
        cmocka_unit_test_setup_teardown(every_byte_may_be_wrong, fresh, clean),
        cmocka_unit_test_setup_teardown(reasons_name_the_fault, fresh, clean),
        cmocka_unit_test(parts_are_added_up),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
