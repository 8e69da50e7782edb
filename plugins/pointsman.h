/* Pointsman routing policies: the one header a policy includes. Nothing is linked.
 *
 * A policy is a shared object that exports one constant structure:
 *
 *     PMP_EXPORT const struct pmp_policy pmp_policy = {
 *         .abi = PMP_ABI, .size = sizeof(struct pmp_policy), .name = "mine", .summary = "what it does", ...
 *     };
 *
 * For each request that its route takes, `judge` reads the request through the host's functions and gives its
 * verdict through them: intents with confidence, a complexity score, preferences and vetoes of targets. A policy
 * runs on the gateway's event loop: it must not block, and has a time budget for each call (POLICY_BUDGET of the
 * route). A policy that crashes takes its worker process down, and nothing else.
 *
 * Compatibility: the major half of `abi` must be the host's. Structures only grow at their end; each side reads
 * min(the other's size, its own), so an older policy runs on a newer host and the other way round. A function of
 * struct pmp_host that an older host lacks lies beyond its `size`: test with PMP_HAS.
 */
#ifndef POINTSMAN_H
#define POINTSMAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PMP_ABI_MAJOR           1u
#define PMP_ABI_MINOR           1u
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
    PMP_TEXT_LAST_TOOL_RESULT,
    /* since 1.1 */
    PMP_TEXT_SCRIPT,   /* of the user's last words, as ISO 15924 names it: "Latn", "Hani"; a guess */
    PMP_TEXT_LANGUAGE, /* the same as ISO 639-1 names it: "en"; a guess */
    PMP_TEXT_REQUEST   /* the request's id, as x-pointsman-request tells it; "" in a dry run */
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
    PMP_NUM_AUDIO,
    /* since 1.1 */
    PMP_NUM_TOOL_LOOP,    /* 1: it ends with the result of a tool, not with words of its user */
    PMP_NUM_CODE_FENCES,  /* blocks of code in the user's last words */
    PMP_NUM_SYSTEM_HASH,  /* a fingerprint of the system text */
    PMP_NUM_CONVERSATION, /* the same for all turns of a conversation */
    /* The last steps of an agent (a call of a tool and its result), PMP_STEPS_MAX of them at most. */
    PMP_NUM_STEPS,
    PMP_NUM_STEPS_REFUSED,  /* the tool could not do it: no such file, wrong arguments */
    PMP_NUM_STEPS_PASSING,  /* time-outs, limits, the network */
    PMP_NUM_STEPS_FAILED,   /* what it ran failed: tests, a compiler, an exception */
    PMP_NUM_STEPS_CRITICAL, /* a crash, no memory, no disk */
    PMP_NUM_STEPS_READ,
    PMP_NUM_STEPS_EDIT,
    PMP_NUM_STEPS_RUN,
    PMP_NUM_STEPS_REPEATED, /* the same call with the same arguments as before */
    PMP_NUM_ERROR_STREAK,   /* failed steps at the end, one after the other */
    PMP_NUM_RECENT_EDITS,   /* edits that went well among the last six steps */
    PMP_NUM_RECENT_CRITICAL /* 1: one of the last three steps was critical */
};

enum { PMP_STEPS_MAX = 16 };

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

    /* since 1.1: test with PMP_HAS */

    /* This verdict stands against STICK: a conversation may leave its target in the middle of an agent's work. */
    void (*insist)(struct pmp_verdict *v);
    /* Up to PMP_NOTE_MAX bytes that come back with the request's outcome. */
    void (*note)(struct pmp_verdict *v, const void *data, size_t len);
    /* The answer of the first target is held back until `review` has seen it, where there is another one to go to.
     * `logprobs`: where its server can, it is asked for the probabilities of its tokens. */
    void (*hold)(struct pmp_verdict *v, int logprobs);
    /* Memory that all workers share and that outlives them, all zero at first; changes of `size` empty it. Change it
     * with atomic operations. NULL when there is none. One for each policy and route; only in `start`. */
    void *(*shared)(const struct pmp_host *host, size_t size);
    /* The path of a file: as it stands when absolute, else beside the route's file, else beside the policy. NULL when
     * there is none. Valid until the next call; only in `start`. */
    const char *(*file)(const struct pmp_host *host, const char *name);
};

enum { PMP_NOTE_MAX = 64 };

enum pmp_outcome_kind {
    PMP_OUTCOME_ANSWERED, /* the request is over */
    PMP_OUTCOME_FEEDBACK, /* somebody has said how good the answer was */
    PMP_OUTCOME_REVIEWED  /* a policy's review has */
};

/* What became of a request that the policy judged. */
struct pmp_outcome {
    uint32_t size;
    const char *route, *target;
    int status; /* HTTP status that the client got; 0 when it left */
    int attempts;
    double total_ms, first_byte_ms;
    int64_t prompt_tokens, output_tokens; /* 0 when not known */
    /* since 1.1 */
    enum pmp_outcome_kind kind;
    double score;     /* 0..1, of feedback and reviews; -1 when nobody has judged */
    const char *note; /* what the policy noted when it judged, NULL for nothing */
    size_t note_len;
};

/* An answer that is held back, and what a review makes of it. since 1.1 */
struct pmp_answer {
    uint32_t size;
    const char *target;
    const char *text; /* what was said to the user, without thoughts */
    size_t text_len;
    const char *finish; /* "stop", "length", "tool_calls", "content_filter", ... */
    unsigned tool_calls;
    int has_logprobs;
    double mean_logprob, least_logprob; /* of the answer's tokens, natural logarithms; where has_logprobs */
    int64_t output_tokens;
    unsigned round;   /* 0, then one more after each question */
    const char *said; /* what the target of the question answered; NULL in round 0 and when it could not */
    size_t said_len;
};

enum pmp_review {
    PMP_ACCEPT, /* it goes to the caller */
    PMP_REJECT, /* the next attempt answers instead; where there is none, this one does */
    PMP_ASK     /* first a question to another model; `review` is called again with what it said */
};

struct pmp_question {
    uint32_t size;
    const char *target; /* id of a target of the route */
    const char *system, *text;
    int64_t max_tokens;
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

    /* since 1.1: what to do with an answer that `hold` has held back. `question` is filled for PMP_ASK; its texts are
     * copied. Must not block. May be NULL. */
    enum pmp_review (*review)(void *state, const struct pmp_request *req, const struct pmp_answer *answer,
                              struct pmp_question *question);
};

/* What a policy defines. Declared here so that it has external linkage in C++ too, where a constant would not. */
extern PMP_EXPORT const struct pmp_policy pmp_policy;

#ifdef __cplusplus
}
#endif

#endif
