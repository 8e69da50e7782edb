#include "core/manager/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/alloc.h"

/* Generous bounds on what a file may claim. */
enum { KEYS_MAX = 1 << 16, TENSORS_MAX = 1 << 18, PARTS_MAX = 1000, DIMS_MAX = 8 };

enum type { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64, TYPES };

static const unsigned type_size[TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct reader {
    FILE *f;
    uint64_t at, size;
    struct pm_error *err;
    const char *path;
};

struct tensor {
    uint64_t offset;
    int layer; /* -1 for none */
    bool is_expert, is_input, is_output;
};

/* What is read on the way and settled at the end. */
struct scan {
    struct pm_gguf *g;
    uint32_t parts, alignment, pattern, full_interval;
    bool pattern_given;
};

static int bad(const struct reader *r, const char *what)
{
    return pm_error_set(r->err, PM_EINVAL, "%s: not a GGUF file that can be used: %s (byte %llu)", r->path, what,
                        (unsigned long long)r->at);
}

static int take(struct reader *r, void *out, size_t n)
{
    if (n > r->size - r->at || fread(out, 1, n, r->f) != n)
        return bad(r, "it ends too early");
    r->at += n;
    return PM_OK;
}

static int skip(struct reader *r, uint64_t n)
{
    if (n > r->size - r->at)
        return bad(r, "a length goes beyond its end");
    /* Short ones are in the stream's buffer already, where seeking would throw them away. */
    if (n < 4096) {
        char scratch[4096];
        return take(r, scratch, n);
    }
    if (fseeko(r->f, (off_t)n, SEEK_CUR) < 0)
        return bad(r, "it cannot be read");
    r->at += n;
    return PM_OK;
}

static int take_u32(struct reader *r, uint32_t *out)
{
    return take(r, out, sizeof(*out));
}

static int take_u64(struct reader *r, uint64_t *out)
{
    return take(r, out, sizeof(*out));
}

/* A text into `out`, cut to its size. */
static int take_text(struct reader *r, char *out, size_t size)
{
    uint64_t len;
    if (take_u64(r, &len) < 0)
        return PM_EINVAL;
    size_t n = len < size - 1 ? (size_t)len : size - 1;
    if (take(r, out, n) < 0)
        return PM_EINVAL;
    out[n] = 0;
    return skip(r, len - n);
}

static int take_number(struct reader *r, enum type type, double *out)
{
    unsigned char raw[8] = {0};
    int64_t value = 0;
    if (take(r, raw, type_size[type]) < 0)
        return PM_EINVAL;
    switch (type) {
    case F32: {
        float f;
        memcpy(&f, raw, sizeof(f));
        *out = (double)f;
        return PM_OK;
    }
    case F64:
        memcpy(out, raw, sizeof(*out));
        return PM_OK;
    default:
        memcpy(&value, raw, sizeof(value));
        *out = (double)value;
        return PM_OK;
    }
}

static uint32_t as_u32(double v)
{
    return v > 0 && v < 4294967295.0 ? (uint32_t)v : 0;
}

/* One number of the metadata, by its name without the architecture before it. */
static void set_number(struct scan *s, const char *key, double v)
{
    struct pm_gguf *g = s->g;
    const struct {
        const char *key;
        uint32_t *at;
    } known[] = {{"block_count", &g->layers},
                 {"context_length", &g->context},
                 {"embedding_length", &g->embedding},
                 {"feed_forward_length", &g->feed_forward},
                 {"expert_count", &g->experts},
                 {"attention.head_count", &g->heads},
                 {"attention.key_length", &g->key_length},
                 {"attention.value_length", &g->value_length},
                 {"attention.key_length_mla", &g->key_length_mla},
                 {"rope.dimension_count", &g->rope_dimensions},
                 {"expert_used_count", &g->experts_used},
                 {"expert_feed_forward_length", &g->expert_feed_forward},
                 {"leading_dense_block_count", &g->leading_dense},
                 {"attention.sliding_window", &g->window},
                 {"attention.sliding_window_pattern", &s->pattern},
                 {"full_attention_interval", &s->full_interval},
                 {"ssm.conv_kernel", &g->conv_kernel},
                 {"ssm.inner_size", &g->inner_size},
                 {"ssm.state_size", &g->state_size},
                 {"ssm.group_count", &g->group_count},
                 {"nextn_predict_layers", &g->unused_layers},
                 {"count", &s->parts},
                 {"alignment", &s->alignment}};
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (strcmp(known[i].key, key) == 0)
            *known[i].at = as_u32(v);
    if (strcmp(key, "attention.head_count_kv") == 0)
        for (size_t l = 0; l < PM_GGUF_LAYERS_MAX; l++)
            g->layer[l].kv_heads = as_u32(v);
}

/* One element of an array that has one for each layer. */
static void set_element(struct scan *s, const char *key, uint64_t i, double v)
{
    if (i >= PM_GGUF_LAYERS_MAX)
        return;
    if (strcmp(key, "attention.head_count_kv") == 0)
        s->g->layer[i].kv_heads = as_u32(v);
    if (strcmp(key, "attention.head_count") == 0 && as_u32(v) > s->g->heads)
        s->g->heads = as_u32(v);
    if (strcmp(key, "feed_forward_length") == 0 && as_u32(v) > s->g->feed_forward)
        s->g->feed_forward = as_u32(v);
    if (strcmp(key, "attention.sliding_window_pattern") == 0) {
        s->pattern_given = true;
        s->g->layer[i].has_window = v > 0;
    }
}

static int take_array(struct reader *r, struct scan *s, const char *key)
{
    uint32_t type;
    uint64_t n;
    if (take_u32(r, &type) < 0 || take_u64(r, &n) < 0)
        return PM_EINVAL;
    if (type >= TYPES || type == ARRAY)
        return bad(r, "an array of a type that is not known");
    /* Each element takes room: this bounds the loops below by the file's size. */
    if (n > (r->size - r->at) / (type == STRING ? 8 : type_size[type]))
        return bad(r, "an array longer than the file");
    if (strcmp(key, "ggml.tokens") == 0)
        s->g->vocabulary = as_u32((double)n);
    if (type != STRING && n > 2 * PM_GGUF_LAYERS_MAX)
        return skip(r, n * type_size[type]);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t len;
        double v;
        if (type == STRING) {
            if (take_u64(r, &len) < 0 || skip(r, len) < 0)
                return PM_EINVAL;
            continue;
        }
        if (take_number(r, (enum type)type, &v) < 0)
            return PM_EINVAL;
        set_element(s, key, i, v);
    }
    return PM_OK;
}

static int take_pair(struct reader *r, struct scan *s)
{
    char key[256], text[64];
    uint32_t type;
    if (take_text(r, key, sizeof(key)) < 0 || take_u32(r, &type) < 0)
        return PM_EINVAL;
    /* "llama.block_count", "tokenizer.ggml.tokens", "general.alignment": what comes after the first dot decides. */
    const char *dot = strchr(key, '.'), *name = dot ? dot + 1 : key;
    double v;
    switch (type) {
    case STRING:
        if (take_text(r, text, sizeof(text)) < 0)
            return PM_EINVAL;
        if (strcmp(key, "general.architecture") == 0)
            snprintf(s->g->arch, sizeof(s->g->arch), "%s", text);
        return PM_OK;
    case ARRAY:
        return take_array(r, s, name);
    default:
        if (type >= TYPES)
            return bad(r, "a value of a type that is not known");
        if (take_number(r, (enum type)type, &v) < 0)
            return PM_EINVAL;
        set_number(s, name, v);
        return PM_OK;
    }
}

static void classify(struct pm_gguf *g, const char *name, struct tensor *t)
{
    int layer, n = 0;
    t->layer = -1;
    t->is_input = strncmp(name, "token_embd.", 11) == 0 || strncmp(name, "per_layer_token_embd.", 21) == 0;
    t->is_output = strncmp(name, "output.", 7) == 0;
    if (sscanf(name, "blk.%d.%n", &layer, &n) != 1 || layer < 0 || layer >= PM_GGUF_LAYERS_MAX || !n)
        return;
    t->layer = layer;
    t->is_expert = strstr(name + n, "_exps.") != NULL;
    if (strncmp(name + n, "ssm_conv1d.", 11) == 0)
        g->layer[layer].is_recurrent = true;
}

static int take_tensor(struct reader *r, struct scan *s, struct tensor *t)
{
    char name[256];
    uint32_t dims, type;
    uint64_t extent;
    *t = (struct tensor){0};
    if (take_text(r, name, sizeof(name)) < 0 || take_u32(r, &dims) < 0)
        return PM_EINVAL;
    if (!dims || dims > DIMS_MAX)
        return bad(r, "a tensor with an impossible number of dimensions");
    for (uint32_t i = 0; i < dims; i++)
        if (take_u64(r, &extent) < 0)
            return PM_EINVAL;
    if (take_u32(r, &type) < 0 || take_u64(r, &t->offset) < 0)
        return PM_EINVAL;
    classify(s->g, name, t);
    return PM_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* A tensor reaches to the next one: so types that are younger than this program need no table. */
static int add_sizes(struct reader *r, const struct scan *s, struct tensor *tensors, size_t n)
{
    uint64_t align = s->alignment ? s->alignment : 32, start = (r->at + align - 1) / align * align;
    uint64_t data = r->size > start ? r->size - start : 0;
    qsort(tensors, n, sizeof(*tensors), by_offset);
    for (size_t i = 0; i < n; i++) {
        const struct tensor *t = &tensors[i];
        uint64_t end = i + 1 < n ? tensors[i + 1].offset : data;
        if (t->offset > data || end > data || end < t->offset)
            return bad(r, "a tensor lies beyond its end: was the file copied completely?");
        uint64_t bytes = end - t->offset;
        s->g->total_bytes += bytes;
        if (t->layer >= 0) {
            s->g->layer[t->layer].bytes += bytes;
            s->g->layer[t->layer].experts += t->is_expert ? bytes : 0;
        } else if (t->is_output) {
            s->g->output_bytes += bytes;
        } else if (t->is_input) {
            s->g->input_bytes += bytes;
        }
    }
    return PM_OK;
}

static int read_part(struct reader *r, struct scan *s)
{
    char magic[4];
    uint32_t version;
    uint64_t n_tensors, n_keys;
    if (take(r, magic, sizeof(magic)) < 0 || take_u32(r, &version) < 0)
        return PM_EINVAL;
    if (memcmp(magic, "GGUF", 4) != 0)
        return bad(r, "it does not begin with GGUF");
    if (version != 2 && version != 3)
        return bad(r, version == 1 ? "version 1 is too old: convert it anew" : "its version is not known");
    if (take_u64(r, &n_tensors) < 0 || take_u64(r, &n_keys) < 0)
        return PM_EINVAL;
    if (n_tensors > TENSORS_MAX || n_keys > KEYS_MAX)
        return bad(r, "an impossible number of tensors or keys");
    for (uint64_t i = 0; i < n_keys; i++)
        if (take_pair(r, s) < 0)
            return PM_EINVAL;
    struct tensor *tensors = pm_calloc(n_tensors + 1, sizeof(*tensors));
    int rc = PM_OK;
    for (uint64_t i = 0; i < n_tensors && rc == PM_OK; i++)
        rc = take_tensor(r, s, &tensors[i]);
    if (rc == PM_OK)
        rc = add_sizes(r, s, tensors, n_tensors);
    free(tensors);
    return rc;
}

static int read_file(const char *path, struct scan *s, struct pm_error *err)
{
    struct reader r = {.f = fopen(path, "rbe"), .err = err, .path = path};
    struct stat st;
    if (!r.f)
        return pm_error_errno(err, "%s: cannot be read", path);
    if (fstat(fileno(r.f), &st) < 0 || !S_ISREG(st.st_mode)) {
        fclose(r.f);
        return pm_error_set(err, PM_EINVAL, "%s: is no file", path);
    }
    r.size = (uint64_t)st.st_size;
    int rc = read_part(&r, s);
    fclose(r.f);
    return rc;
}

/* name-00001-of-00003.gguf: the path of part `i`, from 1; NULL when the first is not named so. The caller frees. */
static char *part_path(const char *first, unsigned i, unsigned parts)
{
    static const char pattern[] = "-00001-of-";
    const char *at = strstr(first, pattern);
    for (const char *next = at; next; next = strstr(next + 1, pattern))
        at = next;
    return at ? pm_asprintf("%.*s-%05u-of-%05u.gguf", (int)(at - first), first, i, parts) : NULL;
}

/* Of so many layers one attends to everything, where the file does not say; 0 where the window is not used. */
static uint32_t window_period(const char *arch)
{
    static const struct {
        const char *arch;
        uint32_t period;
    } known[] = {{"gemma3", 6},  {"gemma3n", 5}, {"gemma2", 2}, {"gpt-oss", 2},
                 {"cohere2", 4}, {"llama4", 4},  {"exaone4", 4}};
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (strcmp(known[i].arch, arch) == 0)
            return known[i].period;
    return 0;
}

/* What files leave out, and what is built into the architectures (llama.cpp, src/llama-model.cpp). */
static void settle(struct scan *s)
{
    struct pm_gguf *g = s->g;
    uint32_t head = g->heads ? g->embedding / g->heads : 0;
    if (!g->key_length)
        g->key_length = head;
    if (!g->value_length)
        g->value_length = head;
    g->is_mla = g->key_length_mla > 0;
    if (g->unused_layers >= g->layers)
        g->unused_layers = 0;
    uint32_t period = s->pattern ? s->pattern : window_period(g->arch);
    for (uint32_t l = 0; l < g->layers; l++) {
        if (!g->layer[l].kv_heads && !s->pattern_given && !g->layer[l].is_recurrent && !g->conv_kernel)
            g->layer[l].kv_heads = g->heads;
        if (g->is_mla)
            g->layer[l].kv_heads = 1;
        if (!s->pattern_given)
            g->layer[l].has_window = g->window && period && l % period < period - 1;
        if (s->full_interval && (l + 1) % s->full_interval)
            g->layer[l].is_recurrent = true;
    }
}

int pm_gguf_read(const char *path, struct pm_gguf *out, struct pm_error *err)
{
    struct scan s = {.g = out};
    *out = (struct pm_gguf){0};
    if (read_file(path, &s, err) < 0)
        return PM_EINVAL;
    unsigned parts = s.parts;
    if (parts > PARTS_MAX)
        return pm_error_set(err, PM_EINVAL, "%s: it says that it has %u parts", path, parts);
    for (unsigned i = 2; i <= parts; i++) {
        char *part = part_path(path, i, parts);
        int rc = part ? read_file(part, &s, err)
                      : pm_error_set(err, PM_EINVAL, "%s: give the first of its %u parts", path, parts);
        free(part);
        if (rc < 0)
            return rc;
    }
    if (!*out->arch || !out->layers || out->layers > PM_GGUF_LAYERS_MAX)
        return pm_error_set(err, PM_EINVAL, "%s: it has no model in it (architecture, block_count)", path);
    settle(&s);
    return PM_OK;
}
