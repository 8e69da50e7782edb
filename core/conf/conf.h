/* The configuration: models.conf and routes.d as one immutable structure.
 *
 * Every fault is told as file:line, what is wrong, and what was meant. A models.conf with a fault cannot be used;
 * a route file with a fault is left out and told, the others stand.
 */
#ifndef PM_CONF_CONF_H
#define PM_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/conf/bundle.h"
#include "core/conf/ini.h"

enum { PM_DEVICES_MAX = 16 };

enum pm_target_kind { PM_TARGET_LOCAL, PM_TARGET_OPENAI, PM_TARGET_ANTHROPIC };

enum pm_cap { PM_CAP_TOOLS = 1, PM_CAP_VISION = 2, PM_CAP_REASONING = 4, PM_CAP_EMBEDDINGS = 8, PM_CAP_AUDIO = 16 };

/* A protocol in which a target can be asked. */
enum pm_wire { PM_WIRE_CHAT, PM_WIRE_RESPONSES, PM_WIRE_MESSAGES, PM_WIRES };

/* MiB on each device; n is 0 when not declared. */
struct pm_mib {
    long long v[PM_DEVICES_MAX];
    size_t n;
};

struct pm_target {
    enum pm_target_kind kind;
    size_t index; /* in pm_conf.targets */
    char *id, *name, *description, *speed;
    const char *file;
    int line;
    bool bench; /* `bench-*`: listed apart, never routed to */

    struct pm_strv good_at;
    double strength;              /* 0..1 */
    unsigned caps;                /* enum pm_cap */
    bool caps_given;              /* else read from the server */
    enum pm_wire wires[PM_WIRES]; /* what it speaks, what is preferred first */
    size_t n_wires;
    long long ctx_size;               /* tokens, 0 not known */
    long long max_tokens;             /* clamp, 0 none */
    uint64_t first_token_ms, idle_ms; /* deadlines, 0 the default */

    /* A local profile. */
    char *model, *models_dir, *mmproj, *draft_model, *server;
    char *n_gpu_layers, *fit, *fit_target, *fit_ctx, *split_mode, *tensor_split, *main_gpu, *flash_attn;
    char *kv_k, *kv_v, *extra_args, *driver; /* driver: NULL is process */
    struct pm_strv env;                      /* NAME=value */
    const struct pm_strv *hidden_env;        /* pm_conf's */
    long long slots;                         /* 0: as the server says */
    long long queue;                         /* waiting requests at most */
    uint64_t ttl_ms;                         /* 0: stays */
    bool pin, preload, keep_kv;
    struct pm_mib vram, ram;
    char *on_load, *on_unload; /* command lines, not of a shell */
    uint64_t hook_ms;          /* 0 the default */

    /* DRIVER=docker and DRIVER=remote. */
    char *image, *docker_socket, *network, *args_style;
    struct pm_strv volumes, gpus;
    char *url, *remote_model;

    /* A cloud model; the key also of a remote profile. */
    char *base_url, *api_key_env, *api_key_file, *ca_file;
    double price_in, price_out; /* per million tokens */
};

struct pm_route {
    char *id;
    const char *file;
    int line;
    struct pm_strv models; /* names, `*` for any run of characters */
    struct pm_strv policies;
    size_t *targets; /* indices into pm_conf.targets, in the order given */
    size_t n_targets;
    long fallback; /* index or -1 */
    bool local_only;
    char *priority; /* high, normal, low; NULL is normal */
    char *on_cut;   /* close, error; NULL is close */
    bool resume;    /* a stream that breaks off is gone on with, where that is provably the same answer */
    uint64_t stick_ms;
    uint64_t cache_ms;           /* answers are kept so long, 0 not at all */
    bool cache_sampled;          /* also those that would not be the same each time */
    bool refuse_on_policy_error; /* else a failing policy is passed over */
    uint64_t policy_budget_us;
    double strong_share; /* part of the requests that goes to the strong side, 0..1; below 0: the scores say it */
    double weight_waiting, weight_leaving, weight_price;
    struct pm_ini_section *policy_sections; /* borrowed entries of the route's file */
    size_t n_policy_sections;
};

/* Somebody with a key. */
struct pm_user {
    char *id;
    const char *file;
    int line;
    char *hash;             /* SHA-256 of the key, 64 hexadecimal digits */
    struct pm_strv targets; /* ids; empty: all */
    long long rpm, tpm;     /* requests and tokens in any 60 s, 0 no limit */
    double budget;          /* a month, in the currency of the prices; 0 no limit */
    char *priority;         /* high, normal, low; NULL is normal */
    bool local_only, admin;
    char *created;
};

struct pm_gateway_conf {
    char *listen;
    char *redis; /* redis://HOST[:PORT][/DB] or unix:/path, as it stands there; taken apart: */
    char *redis_host, *redis_path;
    int redis_port, redis_db;
    char *redis_password_env, *redis_prefix;
    char *keys; /* the keys file, NULL: in the state folder */
    long long workers;
    long long max_body;     /* MiB */
    long long cache_max;    /* MiB of kept answers in each worker */
    bool usage;             /* requests are recorded when they are over */
    uint64_t usage_keep_ms; /* for so long, 0 for ever */
    long long usage_max;    /* MiB of them, 0 no limit */
    char *record;           /* no, prompts; NULL is no */
    char *log_level;
    uint64_t keep_alive_ms;
    uint64_t silence_ms, ping_ms; /* a stream that waits says something after the first, then every second */
};

struct pm_manager_conf {
    struct pm_mib devices;
    long long ram; /* MiB, 0: as the machine has */
    uint64_t max_wait_ms, min_residency_ms, drain_ms;
    long long kv_max;    /* MiB of disk for kept KV, 0 keeps none */
    long long readahead; /* MiB of a file to read ahead, 0 none */
    struct pm_strv preload;
};

struct pm_conf {
    struct pm_target *targets; /* profiles and cloud models, in file order */
    size_t n_targets;
    struct pm_route *routes;
    size_t n_routes;
    struct pm_user *clients; /* those with keys */
    size_t n_clients;
    bool needs_key; /* there is a keys file, though it may be empty: then nobody may come in */
    struct pm_gateway_conf gateway;
    struct pm_manager_conf manager;
    struct pm_strv hidden_env; /* variables with keys in them: not for model servers and commands */
    struct pm_ini models_ini, routes_ini, clients_ini; /* what the strings above were read from */
};

/* Reads the bundle, which must outlive the result. NULL when models.conf or [gateway] cannot be used; `diags` has
 * every fault either way. */
struct pm_conf *pm_conf_parse(const struct pm_bundle *bundle, struct pm_diags *diags);
void pm_conf_free(struct pm_conf *conf);

const struct pm_target *pm_conf_target(const struct pm_conf *conf, const char *id);

/* The route that answers to `model`, first match in file order; NULL. */
const struct pm_route *pm_conf_route(const struct pm_conf *conf, const char *model);

/* Where a server is to listen and to keep its slots' state; what is NULL is left out. */
struct pm_argv_place {
    const char *host; /* an address, or the path of a unix socket */
    const char *port;
    const char *slots_dir; /* ends with a slash */
};

/* The command line of a profile's server, word by word. The words are added to `argv`. */
void pm_conf_argv(const struct pm_target *t, const struct pm_argv_place *place, struct pm_strv *argv);

/* The same as variables that llama-server reads (LLAMA_ARG_*), for images that are used so; what has no variable,
 * EXTRA_ARGS above all, stays a word. */
void pm_conf_argv_env(const struct pm_target *t, const struct pm_argv_place *place, struct pm_strv *argv,
                      struct pm_strv *env);

/* The words of llama-fit-params for the same placement. */
void pm_conf_fit_argv(const struct pm_target *t, struct pm_strv *argv);

/* The environment that a server gets beside ours: the profile's own (ENV.NAME=) first, then what the manager counts on
 * and older servers ignore. `tells_memory`: its log is to say what memory it takes. */
void pm_conf_server_env(const struct pm_target *t, bool tells_memory, struct pm_strv *env);

bool pm_target_is_process(const struct pm_target *t);
bool pm_target_is_docker(const struct pm_target *t);
bool pm_target_is_remote(const struct pm_target *t);

/* Does what is sent to it stay on this machine? */
bool pm_target_is_here(const struct pm_target *t);

/* The llama-server to run: LLAMA_SERVER of the profile, else of the environment, else the one on PATH. The caller
 * frees; NULL when there is none. */
char *pm_conf_server_path(const struct pm_target *t);

/* Splits as a shell would at blanks, with quotes that group. PM_EINVAL for an open quote. */
int pm_conf_split_words(const char *text, struct pm_strv *words) PM_MUST;

/* "local", "openai" or "anthropic". */
const char *pm_target_kind_name(enum pm_target_kind kind);

/* Names of capabilities, for conf and for people. */
const char *pm_cap_name(enum pm_cap cap);

#endif
