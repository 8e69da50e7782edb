/* A profile's section as the command line of its llama-server. */
#include <ctype.h>
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

static void add_flag(struct pm_strv *argv, const char *flag, const char *value)
{
    if (!value || !*value)
        return;
    add(argv, flag);
    add(argv, value);
}

static void add_number(struct pm_strv *argv, const char *flag, long long value)
{
    char text[32];
    if (!value)
        return;
    snprintf(text, sizeof(text), "%lld", value);
    add_flag(argv, flag, text);
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

void pm_conf_argv(const struct pm_target *t, const char *socket, struct pm_strv *argv)
{
    char *server = pm_conf_server_path(t);
    add(argv, server ? server : t->server ? t->server : "llama-server");
    free(server);
    add_flag(argv, "--host", socket);
    add_flag(argv, "--alias", t->id);
    add_flag(argv, "--model", t->model);
    add_flag(argv, "--mmproj", t->mmproj);
    add_flag(argv, "--model-draft", t->draft_model);
    add_number(argv, "--ctx-size", t->ctx_size);
    add_number(argv, "--parallel", t->slots);
    add_flag(argv, "--n-gpu-layers", t->n_gpu_layers ? t->n_gpu_layers : "auto");
    add_flag(argv, "--fit", t->fit ? on_off(t->fit) : "on");
    add_flag(argv, "--fit-target", t->fit_target);
    add_flag(argv, "--fit-ctx", t->fit_ctx);
    add_flag(argv, "--split-mode", t->split_mode);
    add_flag(argv, "--tensor-split", t->tensor_split);
    add_flag(argv, "--main-gpu", t->main_gpu);
    add_flag(argv, "--flash-attn", on_off(t->flash_attn));
    add_flag(argv, "--cache-type-k", t->kv_k);
    add_flag(argv, "--cache-type-v", t->kv_v);
    if (t->extra_args && pm_conf_split_words(t->extra_args, argv) < 0)
        return; /* told by the reader of models.conf, where such a profile is refused */
}
