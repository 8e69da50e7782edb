/* pointsman.h as ABI 1.0 had it, word for word but for this comment and the guard: never to be changed. The tests
 * compile policies against it that the host of today must run. */
#ifndef PM_TESTS_ABI_V1_0_H
#define PM_TESTS_ABI_V1_0_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PMP_ABI_MAJOR           1u
#define PMP_ABI_MINOR           0u
#define PMP_ABI                 (PMP_ABI_MAJOR << 16 | PMP_ABI_MINOR)
#define PMP_EXPORT              __attribute__((visibility("default")))
#define PMP_HAS(object, member) ((object)->size >= offsetof(__typeof__(*(object)), member) + sizeof((object)->member))

/* Options: what may stand in the route's [policy NAME] section. The host parses them into the policy's own
 * structure, checks them, and prints their help. */
enum pmp_option_type {
    PMP_STRING = 1, /* const char * */
    PMP_INT,        /* int64_t, within least and most */
    PMP_REAL,       /* double, within least and most */
    PMP_BOOL,       /* int */
    PMP_PAIRS       /* struct pmp_pairs: every key of the section that no other option has; at most one of these */
};

struct pmp_pair {
    const char *key, *value;
    const char *where; /* "file:line", for messages */
};

struct pmp_pairs {
    const struct pmp_pair *items;
    size_t n;
};

struct pmp_option {
    enum pmp_option_type type;
    const char *name;   /* as it stands in the file, upper case; "*" for PMP_PAIRS */
    const char *preset; /* used when it is not given; NULL for none (zero) */
    size_t offset;      /* in the policy's structure */
    double least, most; /* of PMP_INT and PMP_REAL */
    const char *doc;    /* one line */
};

struct pmp_request; /* opaque, valid during one judge */
struct pmp_verdict; /* opaque, valid during one judge */

enum pmp_text {
    PMP_TEXT_MODEL = 1, /* what the client asked for */
    PMP_TEXT_PROTOCOL,  /* "chat", "completions", "responses", "embeddings", "messages", ... */
    PMP_TEXT_SYSTEM,    /* all system texts, joined by line feeds */
    PMP_TEXT_LAST_USER, /* the last message of the user that has text */
    PMP_TEXT_ROUTE,     /* the route's id */
    PMP_TEXT_LAST_TOOL_RESULT
};

enum pmp_number {
    PMP_NUM_MESSAGES = 1,
    PMP_NUM_USER_TURNS,
    PMP_NUM_TOOLS,        /* tools that the request offers */
    PMP_NUM_TOOL_RESULTS, /* results of tools in its history */
    PMP_NUM_IMAGES,
    PMP_NUM_PROMPT_TOKENS, /* estimated */
    PMP_NUM_MAX_TOKENS,    /* asked for; 0 when not */
    PMP_NUM_STREAM,        /* 0 or 1 */
    PMP_NUM_JSON_SCHEMA,   /* 1: structured output is asked for */
    PMP_NUM_AUDIO
};

enum { PMP_CAP_TOOLS = 1, PMP_CAP_VISION = 2, PMP_CAP_REASONING = 4, PMP_CAP_EMBEDDINGS = 8, PMP_CAP_AUDIO = 16 };

/* A target of the route. The caller sets `size` before it asks. */
struct pmp_target {
    uint32_t size;
    const char *id;
    int is_local;
    double strength;            /* 0..1 */
    unsigned caps;              /* PMP_CAP_* */
    int caps_known;             /* 0: nobody has said and the server was not asked yet */
    int64_t context;            /* tokens, 0 when not known */
    int speaks_protocol;        /* 1: it can answer the caller's protocol */
    const char *const *good_at; /* ends with NULL */
    int is_fallback;            /* the route's FALLBACK, which is tried after all others */
};

enum pmp_log { PMP_LOG_DEBUG, PMP_LOG_INFO, PMP_LOG_WARN, PMP_LOG_ERROR };

/* What the host offers. Handed to `start`; stays valid until after `stop`. */
struct pmp_host {
    uint32_t abi;
    uint32_t size;

    /* A line in the gateway's log. */
    void (*log)(const struct pmp_host *host, enum pmp_log level, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
    /* Why `start` fails, shown to the user; `where` is "file:line" or NULL. */
    void (*fail)(const struct pmp_host *host, const char *where, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
    /* Zeroed memory; never NULL. */
    void *(*alloc)(size_t n, size_t size);
    void (*free)(void *ptr);
    /* Adds to the counter pointsman_policy_NAME{policy="..."}. */
    void (*metric)(const struct pmp_host *host, const char *name, double add);

    /* The request. Texts are UTF-8, NUL-terminated, valid during the call; "" when there is none. */
    const char *(*text)(const struct pmp_request *req, enum pmp_text which, size_t *len);
    int64_t (*number)(const struct pmp_request *req, enum pmp_number which);
    const char *(*header)(const struct pmp_request *req, const char *name); /* NULL when absent */
    size_t (*targets)(const struct pmp_request *req);
    int (*target)(const struct pmp_request *req, size_t i, struct pmp_target *out); /* 0, or -1: no such target */

    /* The verdict. Numbers are cut to their range, texts are copied. */
    void (*intent)(struct pmp_verdict *v, const char *name, double confidence); /* 0..1 */
    void (*complexity)(struct pmp_verdict *v, double score);                    /* 0..1 */
    void (*prefer)(struct pmp_verdict *v, size_t target, double weight);        /* -1..1 */
    void (*veto)(struct pmp_verdict *v, size_t target, const char *reason);
    void (*abstain)(struct pmp_verdict *v);
    void (*reason)(struct pmp_verdict *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
};

/* What became of a request that the policy judged. */
struct pmp_outcome {
    uint32_t size;
    const char *route, *target;
    int status; /* HTTP status that the client got; 0 when it left */
    int attempts;
    double total_ms, first_byte_ms;
    int64_t prompt_tokens, output_tokens; /* 0 when not known */
};

struct pmp_policy {
    uint32_t abi;
    uint32_t size;
    const char *name, *summary;
    const struct pmp_option *options; /* ends with an empty one; NULL for none */
    size_t conf_size;                 /* of the policy's option structure */

    /* Called once for each route that uses the policy. `conf` is the filled option structure and stays valid until
     * after stop. 0, or -1 after host->fail. `*state` is handed to the others. NULL when there is nothing to do. */
    int (*start)(const struct pmp_host *host, const void *conf, void **state);
    /* 0, or -1 when it cannot judge (the route's ON_POLICY_ERROR decides). Required. */
    int (*judge)(void *state, const struct pmp_request *req, struct pmp_verdict *v);
    void (*outcome)(void *state, const struct pmp_outcome *outcome); /* may be NULL */
    void (*stop)(void *state);                                       /* may be NULL */
};

/* What a policy defines. Declared here so that it has external linkage in C++ too, where a constant would not. */
extern PMP_EXPORT const struct pmp_policy pmp_policy;

#ifdef __cplusplus
}
#endif

#endif
