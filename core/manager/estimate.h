/* What a llama-server will take, from the head of its model file and its options, before it has ever run; and where a
 * model's layers can be placed (place.c). Pure: the file has been read already (gguf.h).
 *
 * The formulas for weights, KV, recurrent state and output were compared with the log of llama-server b11669 for ten
 * architectures (tests/e2e/test_memory.py); that for the compute buffer is an upper estimate.
 */
#ifndef PM_MANAGER_ESTIMATE_H
#define PM_MANAGER_ESTIMATE_H

#include "core/base/buf.h"
#include "core/manager/gguf.h"
#include "core/manager/ledger.h"

struct pm_estimate_options {
    long long context;       /* tokens in all slots, 0: what the model was trained for */
    long long slots;         /* 0: llama-server's own choice, four that share the context */
    long long ubatch;        /* 0: 512 */
    const char *kv_k, *kv_v; /* types of the cache, NULL: f16 */
    bool full_window;        /* --swa-full */
    bool no_flash;           /* --flash-attn off */
};

struct pm_estimate {
    long long context;               /* tokens, as the server will round it */
    uint64_t kv[PM_GGUF_LAYERS_MAX]; /* of each layer: its KV or its recurrent state, bytes */
    uint64_t kv_total, compute, output;
};

/* False, with the name in `err`, when a cache type is not known. */
bool pm_estimate(const struct pm_gguf *g, const struct pm_estimate_options *o, struct pm_estimate *out,
                 struct pm_error *err);

/* The options that a profile's keys and EXTRA_ARGS stand for. Strings are borrowed from `words`. */
void pm_estimate_options_of(const struct pm_target *t, struct pm_strv *words, struct pm_estimate_options *out);

/* --- placement --- */

struct pm_place {
    long long total, usable, used; /* MiB; a margin is left of the total */
    int first, last;               /* whole layers, -1 for none */
};

struct pm_placement {
    struct pm_place device[PM_DEVICES_MAX];
    size_t n_devices;
    long long host;     /* MiB of the machine's own memory */
    int first_on_gpu;   /* layers before it are on the CPU altogether */
    int experts_on_cpu; /* from this layer on, the experts are; -1 for none */
    bool fits;          /* all of it is on the devices */
};

/* Places the layers on devices of these sizes (MiB), in order, `margin` MiB of each left free. */
void pm_place(const struct pm_gguf *g, const struct pm_estimate *e, const long long *devices, size_t n,
              long long margin, struct pm_placement *out);

/* The largest context, up to what the model was trained for, with which all of it fits; 0 when none does. */
long long pm_place_context(const struct pm_gguf *g, const struct pm_estimate_options *o, const long long *devices,
                           size_t n, long long margin);

/* The numbers of a range as a regex: 0 to 12 is `[0-9]|1[0-2]`. */
void pm_range_regex(int first, int last, struct pm_buf *out);

/* The value of --override-tensor that does the same by hand; empty where nothing needs it. */
void pm_place_override(const struct pm_placement *p, const char *backend, struct pm_buf *out);

#endif
