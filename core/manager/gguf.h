/* The head of a GGUF file: what the memory of a model depends on. Reads metadata and tensor descriptions only,
 * bounded, and believes no number of the file without checking it (format: ggml's docs/gguf.md, versions 2 and 3). */
#ifndef PM_MANAGER_GGUF_H
#define PM_MANAGER_GGUF_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"

enum { PM_GGUF_LAYERS_MAX = 512 };

struct pm_gguf_layer {
    uint64_t bytes;   /* of its tensors, experts among them */
    uint64_t experts; /* of the experts' tensors alone */
    uint32_t kv_heads;
    bool is_recurrent; /* has a state of fixed size in place of KV */
    bool has_window;   /* attends to a sliding window only */
};

struct pm_gguf {
    char arch[64];
    uint32_t layers, embedding, heads, feed_forward, vocabulary, context;
    uint32_t experts, experts_used, expert_feed_forward, leading_dense;
    uint32_t key_length, value_length; /* of one head */
    uint32_t key_length_mla, rope_dimensions;
    bool is_mla; /* K holds V as well */
    uint32_t window;
    uint32_t conv_kernel, inner_size, state_size, group_count; /* of recurrent layers */
    uint32_t unused_layers;                                    /* at the end: for drafting, without KV */
    uint64_t input_bytes;                                      /* token embeddings */
    uint64_t output_bytes; /* the output matrix and its norm; 0 where the embeddings are used for it */
    uint64_t total_bytes;
    struct pm_gguf_layer layer[PM_GGUF_LAYERS_MAX];
};

/* Reads the file, with all its parts when it is split. The error names what is wrong with it. */
int pm_gguf_read(const char *path, struct pm_gguf *out, struct pm_error *err) PM_MUST;

#endif
