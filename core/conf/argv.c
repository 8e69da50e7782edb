/* A profile's section as the command line of its llama-server. */
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/buf.h"
#include "core/conf/conf.h"

int pm_conf_split_words(const char *text, struct pm_strv *words)
{
    while (*text) {
        while (isspace((unsigned char)*text))
            text++;
        if (!*text)
            break;
        struct pm_buf word;
        char quote = 0;
        pm_buf_init(&word, PM_BUF_OWN_LIMIT);
        for (; *text && (quote || !isspace((unsigned char)*text)); text++) {
            if (quote ? *text == quote : (*text == '"' || *text == '\''))
                quote = quote ? 0 : *text;
            else
                pm_buf_addn(&word, text, 1);
        }
        pm_strv_add(words, word.data, word.len);
        pm_buf_release(&word);
        if (quote)
            return PM_EINVAL;
    }
    return PM_OK;
}

static void add(struct pm_strv *argv, const char *word)
{
    pm_strv_add(argv, word, strlen(word));
}

static const char *on_off(const char *value)
{
    if (!value)
        return NULL;
    if (strcmp(value, "1") == 0 || strcasecmp(value, "yes") == 0)
        return "on";
    if (strcmp(value, "0") == 0 || strcasecmp(value, "no") == 0)
        return "off";
    return value;
}

char *pm_conf_server_path(const struct pm_target *t)
{
    const char *name = t->server ? t->server : getenv("LLAMA_SERVER");
    if (!name || !*name)
        name = "llama-server";
    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? pm_strdup(name) : NULL;
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t len = strcspn(path, ":");
        char *whole = pm_asprintf("%.*s/%s", (int)len, path, name);
        if (len && access(whole, X_OK) == 0)
            return whole;
        free(whole);
        path += len + (path[len] == ':');
    }
    return NULL;
}

bool pm_target_is_process(const struct pm_target *t)
{
    return t->kind == PM_TARGET_LOCAL && (!t->driver || strcmp(t->driver, "process") == 0);
}

bool pm_target_is_docker(const struct pm_target *t)
{
    return t->kind == PM_TARGET_LOCAL && t->driver && strcmp(t->driver, "docker") == 0;
}

bool pm_target_is_remote(const struct pm_target *t)
{
    return t->kind == PM_TARGET_LOCAL && t->driver && strcmp(t->driver, "remote") == 0;
}

/* The host of a URL (RFC 3986, 3.2.2), without user, port and brackets. The caller frees; NULL for none. */
static char *host_of(const char *url)
{
    const char *at = url ? strstr(url, "://") : NULL;
    if (!at)
        return NULL;
    at += 3;
    size_t len = strcspn(at, "/?#");
    for (size_t i = len; i-- > 0;) {
        if (at[i] != '@')
            continue;
        at += i + 1;
        len -= i + 1;
        break;
    }
    if (len && *at == '[') {
        size_t end = strcspn(at, "]");
        return end < len && (end + 1 == len || at[end + 1] == ':') ? pm_strndup(at + 1, end - 1) : NULL;
    }
    size_t end = strcspn(at, ":");
    return pm_strndup(at, end < len ? end : len);
}

static bool is_loopback_host(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1)
        return (ntohl(four.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six);
    return strcasecmp(host, "localhost") == 0;
}

bool pm_target_is_here(const struct pm_target *t)
{
    if (t->kind != PM_TARGET_LOCAL)
        return false;
    if (!pm_target_is_remote(t))
        return true;
    char *host = host_of(t->url);
    bool here = host && is_loopback_host(host);
    free(host);
    return here;
}

/* Where each option goes: a word, or with `env` a variable. */
struct options {
    struct pm_strv *argv, *env;
};

static void add_option(const struct options *o, const char *flag, const char *variable, const char *value)
{
    if (!value || !*value)
        return;
    if (o->env) {
        char *pair = pm_asprintf("LLAMA_ARG_%s=%s", variable, value);
        add(o->env, pair);
        free(pair);
        return;
    }
    add(o->argv, flag);
    add(o->argv, value);
}

static void add_number(const struct options *o, const char *flag, const char *variable, long long value)
{
    char text[32];
    if (!value)
        return;
    snprintf(text, sizeof(text), "%lld", value);
    add_option(o, flag, variable, text);
}

static void add_options(const struct pm_target *t, const struct pm_argv_place *place, const struct options *o)
{
    add_option(o, "--host", "HOST", place->host);
    add_option(o, "--port", "PORT", place->port);
    add_option(o, "--alias", "ALIAS", t->id);
    add_option(o, "--model", "MODEL", t->model);
    add_option(o, "--mmproj", "MMPROJ", t->mmproj);
    add_option(o, "--model-draft", "SPEC_DRAFT_MODEL", t->draft_model);
    add_number(o, "--ctx-size", "CTX_SIZE", t->ctx_size);
    add_number(o, "--parallel", "N_PARALLEL", t->slots);
    add_option(o, "--n-gpu-layers", "N_GPU_LAYERS", t->n_gpu_layers ? t->n_gpu_layers : "auto");
    add_option(o, "--fit", "FIT", t->fit ? on_off(t->fit) : "on");
    add_option(o, "--fit-target", "FIT_TARGET", t->fit_target);
    add_option(o, "--fit-ctx", "FIT_CTX", t->fit_ctx);
    add_option(o, "--split-mode", "SPLIT_MODE", t->split_mode);
    add_option(o, "--tensor-split", "TENSOR_SPLIT", t->tensor_split);
    add_option(o, "--main-gpu", "MAIN_GPU", t->main_gpu);
    add_option(o, "--flash-attn", "FLASH_ATTN", on_off(t->flash_attn));
    add_option(o, "--cache-type-k", "CACHE_TYPE_K", t->kv_k);
    add_option(o, "--cache-type-v", "CACHE_TYPE_V", t->kv_v);
    if (t->keep_kv)
        add_option(o, "--slot-save-path", "SLOT_SAVE_PATH", place->slots_dir);
}

static void add_extra(const struct pm_target *t, struct pm_strv *argv)
{
    if (t->extra_args && pm_conf_split_words(t->extra_args, argv) < 0)
        return; /* told by the reader of models.conf, where such a profile is refused */
}

void pm_conf_argv(const struct pm_target *t, const struct pm_argv_place *place, struct pm_strv *argv)
{
    if (pm_target_is_process(t)) {
        char *server = pm_conf_server_path(t);
        add(argv, server ? server : t->server ? t->server : "llama-server");
        free(server);
    }
    add_options(t, place, &(struct options){.argv = argv});
    add_extra(t, argv);
}

void pm_conf_fit_argv(const struct pm_target *t, struct pm_strv *argv)
{
    struct pm_strv whole = {0};
    add_options(t, &(struct pm_argv_place){0}, &(struct options){.argv = &whole});
    for (size_t i = 0; i < whole.n; i++) {
        /* A name to be called by is the server's alone. */
        if (strcmp(whole.items[i], "--alias") == 0)
            i++;
        else
            add(argv, whole.items[i]);
    }
    pm_strv_release(&whole);
    add_extra(t, argv);
    add(argv, "--fit-print");
    add(argv, "on");
}

static void add_default(struct pm_strv *env, const char *pair)
{
    size_t n = strcspn(pair, "=") + 1;
    for (size_t i = 0; i < env->n; i++)
        if (strncmp(env->items[i], pair, n) == 0)
            return;
    add(env, pair);
}

void pm_conf_server_env(const struct pm_target *t, bool tells_memory, struct pm_strv *env)
{
    for (size_t i = 0; i < t->env.n; i++)
        add_default(env, t->env.items[i]);
    /* An empty value takes the place of the inherited one. */
    for (size_t i = 0; t->hidden_env && i < t->hidden_env->n; i++) {
        char *empty = pm_asprintf("%s=", t->hidden_env->items[i]);
        add_default(env, empty);
        free(empty);
    }
    /* The lines with "buffer size" are of this level; all that comes with them costs a load some milliseconds. */
    if (tells_memory)
        add_default(env, "LLAMA_ARG_LOG_VERBOSITY=4");
    /* Its devices then have the numbers that their driver gives them. */
    add_default(env, "CUDA_DEVICE_ORDER=PCI_BUS_ID");
    /* A conversation that is put away in the server's own memory is not in a slot, and only slots can be saved. */
    if (t->keep_kv)
        add_default(env, "LLAMA_ARG_CACHE_IDLE_SLOTS=0");
}

void pm_conf_argv_env(const struct pm_target *t, const struct pm_argv_place *place, struct pm_strv *argv,
                      struct pm_strv *env)
{
    add_options(t, place, &(struct options){.env = env});
    add_extra(t, argv);
}
