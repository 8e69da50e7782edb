#include "core/conf/targets.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/conf/keys.h"

enum { LOCAL = 1, CLOUD = 2, BOTH = 3 };

#define AT(field) offsetof(struct pm_target, field)

/* CAPS, PROTOCOLS and CLOUD are not here: they set flags, see below. */
static const struct pm_key target_keys[] = {
    {"NAME", PM_KEY_STRING, AT(name), 0, 0, BOTH, NULL},
    {"DESCRIPTION", PM_KEY_STRING, AT(description), 0, 0, BOTH, NULL},
    {"SPEED", PM_KEY_STRING, AT(speed), 0, 0, BOTH, NULL},
    {"MODEL", PM_KEY_STRING, AT(model), 0, 0, BOTH, NULL},
    {"CTX_SIZE", PM_KEY_INT, AT(ctx_size), 0, 1e8, BOTH, NULL},
    {"GOOD_AT", PM_KEY_LIST, AT(good_at), 0, 0, BOTH, NULL},
    {"STRENGTH", PM_KEY_REAL, AT(strength), 0, 1, BOTH, NULL},
    {"MAX_TOKENS", PM_KEY_INT, AT(max_tokens), 1, 1e8, BOTH, NULL},
    {"TIMEOUT_FIRST_TOKEN", PM_KEY_DURATION, AT(first_token_ms), 0, 0, BOTH, NULL},
    {"TIMEOUT_IDLE", PM_KEY_DURATION, AT(idle_ms), 0, 0, BOTH, NULL},
    {"MODELS_DIR", PM_KEY_STRING, AT(models_dir), 0, 0, LOCAL, NULL},
    {"LLAMA_SERVER", PM_KEY_STRING, AT(server), 0, 0, LOCAL, NULL},
    {"DRIVER", PM_KEY_WORD, AT(driver), 0, 0, LOCAL, "process docker remote"},
    {"IMAGE", PM_KEY_STRING, AT(image), 0, 0, LOCAL, NULL},
    {"DOCKER_SOCKET", PM_KEY_STRING, AT(docker_socket), 0, 0, LOCAL, NULL},
    {"VOLUMES", PM_KEY_LIST, AT(volumes), 0, 0, LOCAL, NULL},
    {"GPUS", PM_KEY_LIST, AT(gpus), 0, 0, LOCAL, NULL},
    {"NETWORK", PM_KEY_WORD, AT(network), 0, 0, LOCAL, "none host bridge"},
    {"ARGS", PM_KEY_WORD, AT(args_style), 0, 0, LOCAL, "argv env"},
    {"URL", PM_KEY_STRING, AT(url), 0, 0, LOCAL, NULL},
    {"REMOTE_MODEL", PM_KEY_STRING, AT(remote_model), 0, 0, LOCAL, NULL},
    {"KEEP_KV", PM_KEY_BOOL, AT(keep_kv), 0, 0, LOCAL, NULL},
    {"ON_LOAD", PM_KEY_STRING, AT(on_load), 0, 0, LOCAL, NULL},
    {"ON_UNLOAD", PM_KEY_STRING, AT(on_unload), 0, 0, LOCAL, NULL},
    {"HOOK_TIMEOUT", PM_KEY_DURATION, AT(hook_ms), 0, 0, LOCAL, NULL},
    {"N_GPU_LAYERS", PM_KEY_STRING, AT(n_gpu_layers), 0, 0, LOCAL, NULL},
    {"FIT", PM_KEY_WORD, AT(fit), 0, 0, LOCAL, "on off 1 0 yes no"},
    {"FIT_TARGET", PM_KEY_STRING, AT(fit_target), 0, 0, LOCAL, NULL},
    {"FIT_CTX", PM_KEY_STRING, AT(fit_ctx), 0, 0, LOCAL, NULL},
    {"SPLIT_MODE", PM_KEY_WORD, AT(split_mode), 0, 0, LOCAL, "none layer row tensor"},
    {"TENSOR_SPLIT", PM_KEY_STRING, AT(tensor_split), 0, 0, LOCAL, NULL},
    {"MAIN_GPU", PM_KEY_STRING, AT(main_gpu), 0, 0, LOCAL, NULL},
    {"FLASH_ATTN", PM_KEY_WORD, AT(flash_attn), 0, 0, LOCAL, "on off auto 1 0 yes no"},
    {"KV_CACHE_TYPE_K", PM_KEY_STRING, AT(kv_k), 0, 0, LOCAL, NULL},
    {"KV_CACHE_TYPE_V", PM_KEY_STRING, AT(kv_v), 0, 0, LOCAL, NULL},
    {"EXTRA_ARGS", PM_KEY_STRING, AT(extra_args), 0, 0, LOCAL, NULL},
    {"SLOTS", PM_KEY_INT, AT(slots), 1, 256, LOCAL, NULL},
    {"QUEUE", PM_KEY_INT, AT(queue), 0, 100000, LOCAL, NULL},
    {"TTL", PM_KEY_DURATION, AT(ttl_ms), 0, 0, LOCAL, NULL},
    {"PIN", PM_KEY_BOOL, AT(pin), 0, 0, LOCAL, NULL},
    {"PRELOAD", PM_KEY_BOOL, AT(preload), 0, 0, LOCAL, NULL},
    {"VRAM", PM_KEY_MIB, AT(vram), 0, 0, LOCAL, NULL},
    {"RAM", PM_KEY_MIB, AT(ram), 0, 0, LOCAL, NULL},
    {"DRAFT_MODEL", PM_KEY_STRING, AT(draft_model), 0, 0, LOCAL, NULL},
    {"MMPROJ", PM_KEY_STRING, AT(mmproj), 0, 0, LOCAL, NULL},
    {"BASE_URL", PM_KEY_STRING, AT(base_url), 0, 0, CLOUD, NULL},
    {"API_KEY_ENV", PM_KEY_STRING, AT(api_key_env), 0, 0, BOTH, NULL},
    {"API_KEY_FILE", PM_KEY_STRING, AT(api_key_file), 0, 0, BOTH, NULL},
    {"CA_FILE", PM_KEY_STRING, AT(ca_file), 0, 0, BOTH, NULL},
    {"PRICE_IN", PM_KEY_REAL, AT(price_in), 0, 1e6, CLOUD, NULL},
    {"PRICE_OUT", PM_KEY_REAL, AT(price_out), 0, 1e6, CLOUD, NULL},
};

/* Known to the reader as well, for the sake of the nearest name. */
static const struct pm_key special_keys[] = {
    {"CAPS", PM_KEY_LIST, 0, 0, 0, BOTH, NULL},
    {"PROTOCOLS", PM_KEY_LIST, 0, 0, 0, BOTH, NULL},
    {"CLOUD", PM_KEY_WORD, 0, 0, 0, BOTH, "openai anthropic"},
};

static const struct pm_key manager_keys[] = {
    {"DEVICES", PM_KEY_MIB, offsetof(struct pm_manager_conf, devices), 0, 0, 0, NULL},
    {"RAM", PM_KEY_INT, offsetof(struct pm_manager_conf, ram), 1, 1e9, 0, NULL},
    {"MAX_WAIT", PM_KEY_DURATION, offsetof(struct pm_manager_conf, max_wait_ms), 0, 0, 0, NULL},
    {"MIN_RESIDENCY", PM_KEY_DURATION, offsetof(struct pm_manager_conf, min_residency_ms), 0, 0, 0, NULL},
    {"DRAIN", PM_KEY_DURATION, offsetof(struct pm_manager_conf, drain_ms), 0, 0, 0, NULL},
    {"KV_MAX", PM_KEY_INT, offsetof(struct pm_manager_conf, kv_max), 0, 1e9, 0, NULL},
    {"READAHEAD", PM_KEY_INT, offsetof(struct pm_manager_conf, readahead), 0, 1e9, 0, NULL},
    {"PRELOAD", PM_KEY_LIST, offsetof(struct pm_manager_conf, preload), 0, 0, 0, NULL},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
    const char *name;
    enum pm_cap cap;
} cap_names[] = {{"tools", PM_CAP_TOOLS},
                 {"vision", PM_CAP_VISION},
                 {"reasoning", PM_CAP_REASONING},
                 {"embeddings", PM_CAP_EMBEDDINGS},
                 {"audio", PM_CAP_AUDIO}};

const char *pm_cap_name(enum pm_cap cap)
{
    for (size_t i = 0; i < COUNT(cap_names); i++)
        if (cap_names[i].cap == cap)
            return cap_names[i].name;
    return "?";
}

static void set_caps(struct pm_target *t, const char *file, const struct pm_ini_entry *e, struct pm_diags *diags)
{
    struct pm_strv words = {0};
    pm_strv_split(&words, e->value);
    t->caps = 0;
    t->caps_given = true;
    for (size_t i = 0; i < words.n; i++) {
        size_t j = 0;
        while (j < COUNT(cap_names) && strcmp(cap_names[j].name, words.items[i]) != 0)
            j++;
        if (j < COUNT(cap_names))
            t->caps |= cap_names[j].cap;
        else
            pm_diag(&diags->errors, file, e->line, "CAPS=%s: known are tools, vision, reasoning, embeddings, audio",
                    words.items[i]);
    }
    pm_strv_release(&words);
}

static const char *const wire_names[] = {
    [PM_WIRE_CHAT] = "chat", [PM_WIRE_RESPONSES] = "responses", [PM_WIRE_MESSAGES] = "messages"};

static void set_wires(struct pm_target *t, const char *file, const struct pm_ini_entry *e, struct pm_diags *diags)
{
    struct pm_strv words = {0};
    pm_strv_split(&words, e->value);
    t->n_wires = 0;
    for (size_t i = 0; i < words.n; i++) {
        size_t w = 0, known = 0;
        while (w < PM_WIRES && strcmp(wire_names[w], words.items[i]) != 0)
            w++;
        while (known < t->n_wires && t->wires[known] != (enum pm_wire)w)
            known++;
        if (w == PM_WIRES)
            pm_diag(&diags->errors, file, e->line, "PROTOCOLS=%s: known are chat, responses, messages",
                    words.items[i]);
        else if (known == t->n_wires)
            t->wires[t->n_wires++] = (enum pm_wire)w;
    }
    pm_strv_release(&words);
}

static void default_wires(struct pm_target *t)
{
    if (t->n_wires)
        return;
    if (t->kind != PM_TARGET_ANTHROPIC) {
        t->wires[t->n_wires++] = PM_WIRE_CHAT;
        t->wires[t->n_wires++] = PM_WIRE_RESPONSES;
    }
    if (t->kind != PM_TARGET_OPENAI)
        t->wires[t->n_wires++] = PM_WIRE_MESSAGES;
}

static void set_env(struct pm_target *t, const struct pm_ini_entry *e)
{
    const char *name = e->key + strlen("ENV.");
    size_t n = strlen(name);
    char *pair = pm_asprintf("%s=%s", name, e->value);
    for (size_t i = 0; i < t->env.n; i++) {
        if (strncmp(t->env.items[i], name, n) == 0 && t->env.items[i][n] == '=') {
            free(t->env.items[i]);
            t->env.items[i] = pair;
            return;
        }
    }
    pm_strv_add(&t->env, pair, strlen(pair));
    free(pair);
}

static void unknown_key(const char *file, const struct pm_ini_entry *e, struct pm_diags *diags)
{
    struct pm_key all[COUNT(target_keys) + COUNT(special_keys)];
    memcpy(all, target_keys, sizeof(target_keys));
    memcpy(all + COUNT(target_keys), special_keys, sizeof(special_keys));
    pm_key_unknown(all, COUNT(all), file, e, &diags->errors);
}

/* `own`: the section itself, where a key that means nothing for its kind is a fault; in [*] it may stand. */
static void apply_section(struct pm_target *t, const struct pm_ini_section *s, bool own, struct pm_diags *diags)
{
    unsigned kind = t->kind == PM_TARGET_LOCAL ? LOCAL : CLOUD;
    for (size_t i = 0; i < s->n; i++) {
        const struct pm_ini_entry *e = &s->entries[i];
        unsigned scope = BOTH;
        if (strcmp(e->key, "CAPS") == 0)
            set_caps(t, s->file, e, diags);
        else if (strcmp(e->key, "PROTOCOLS") == 0)
            set_wires(t, s->file, e, diags);
        else if (strcmp(e->key, "CLOUD") == 0)
            continue;
        else if (strncmp(e->key, "ENV.", 4) == 0 && e->key[4])
            set_env(t, e);
        else if (!pm_key_set(target_keys, COUNT(target_keys), t, s->file, e, &scope, &diags->errors) && own)
            unknown_key(s->file, e, diags);
        if (own && !(scope & kind))
            pm_diag(&diags->errors, s->file, e->line, "%s means nothing for a %s: remove it", e->key,
                    kind == LOCAL ? "local profile" : "cloud model");
    }
}

static bool id_is_fine(const char *id)
{
    for (const char *p = id; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-:@/+", *p))
            return false;
    return strlen(id) < 100 && isalnum((unsigned char)*id) && !strstr(id, "..");
}

static void resolve(char **path, const char *dir)
{
    if (!*path || !**path || **path == '/' || !dir)
        return;
    char *whole = pm_asprintf("%s/%s", dir, *path);
    free(*path);
    *path = whole;
}

static void check_file(const struct pm_target *t, const char *key, const char *path, struct pm_diags *diags)
{
    struct stat st;
    if (path && stat(path, &st) < 0)
        pm_diag(&diags->warnings, t->file, t->line, "[%s] %s: %s does not exist", t->id, key, path);
}

static void check_key_file(const struct pm_target *t, struct pm_diags *diags)
{
    struct stat st;
    if (t->api_key_file && stat(t->api_key_file, &st) == 0 && (st.st_mode & 077))
        pm_diag(&diags->errors, t->file, t->line, "[%s] API_KEY_FILE: others can read it: chmod 600 %s", t->id,
                t->api_key_file);
    check_file(t, "API_KEY_FILE", t->api_key_file, diags);
    if (t->api_key_env && !getenv(t->api_key_env))
        pm_diag(&diags->notes, t->file, t->line, "[%s] API_KEY_ENV: the variable %s is not set", t->id,
                t->api_key_env);
}

static bool is_http_url(const char *url)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

static void strip_slashes(char *url)
{
    size_t n = strlen(url);
    while (n && url[n - 1] == '/')
        url[--n] = 0;
}

/* A server that somebody else looks after. */
static void check_remote(struct pm_target *t, struct pm_diags *diags)
{
    if (!t->url || !is_http_url(t->url))
        pm_diag(&diags->errors, t->file, t->line,
                "[%s] DRIVER=remote wants URL=http://host:port, where an OpenAI-compatible server listens", t->id);
    else
        strip_slashes(t->url);
    check_key_file(t, diags);
}

static void check_docker(const struct pm_target *t, struct pm_diags *diags)
{
    if (!t->image)
        pm_diag(&diags->errors, t->file, t->line, "[%s] DRIVER=docker wants IMAGE=name", t->id);
    for (size_t i = 0; i < t->volumes.n; i++)
        if (*t->volumes.items[i] != '/' || !strstr(t->volumes.items[i], ":/"))
            pm_diag(&diags->errors, t->file, t->line,
                    "[%s] VOLUMES=%s: /folder/here:/folder/there is expected, or the same with :ro", t->id,
                    t->volumes.items[i]);
    for (size_t i = 0; i < t->gpus.n; i++)
        if (strcmp(t->gpus.items[i], "all") != 0 && strcmp(t->gpus.items[i], "none") != 0 &&
            strspn(t->gpus.items[i], "0123456789") != strlen(t->gpus.items[i]))
            pm_diag(&diags->errors, t->file, t->line, "[%s] GPUS=%s: all, none, or numbers such as 0,1", t->id,
                    t->gpus.items[i]);
}

static void check_hook(const struct pm_target *t, const char *key, const char *command, struct pm_diags *diags)
{
    struct pm_strv words = {0};
    if (command && pm_conf_split_words(command, &words) < 0)
        pm_diag(&diags->errors, t->file, t->line, "[%s] %s: a quote is not closed", t->id, key);
    pm_strv_release(&words);
}

static void check_local(struct pm_target *t, const char *conf_dir, struct pm_diags *diags)
{
    check_hook(t, "ON_LOAD", t->on_load, diags);
    check_hook(t, "ON_UNLOAD", t->on_unload, diags);
    if (pm_target_is_remote(t)) {
        check_remote(t, diags);
        return;
    }
    if (pm_target_is_docker(t))
        check_docker(t, diags);
    resolve(&t->models_dir, conf_dir);
    const char *dir = t->models_dir ? t->models_dir : conf_dir;
    resolve(&t->model, dir);
    resolve(&t->mmproj, dir);
    resolve(&t->draft_model, dir);
    if (t->server && strchr(t->server, '/'))
        resolve(&t->server, conf_dir);
    if (!t->model)
        pm_diag(&diags->errors, t->file, t->line, "[%s] has no MODEL=file.gguf (and no CLOUD=)", t->id);
    check_file(t, "MODEL", t->model, diags);
    check_file(t, "MMPROJ", t->mmproj, diags);
    check_file(t, "DRAFT_MODEL", t->draft_model, diags);
    struct pm_strv words = {0};
    if (t->extra_args && pm_conf_split_words(t->extra_args, &words) < 0)
        pm_diag(&diags->errors, t->file, t->line, "[%s] EXTRA_ARGS: a quote is not closed", t->id);
    for (size_t i = 0; i < words.n; i++)
        if (strcmp(words.items[i], "--host") == 0 || strcmp(words.items[i], "--port") == 0)
            pm_diag(&diags->errors, t->file, t->line, "[%s] EXTRA_ARGS: %s is set by the manager: remove it", t->id,
                    words.items[i]);
    pm_strv_release(&words);
}

static void check_cloud(struct pm_target *t, struct pm_diags *diags)
{
    if (t->model && strcmp(t->model, "*") == 0)
        PM_FREE_AND_NULL(t->model);
    if (!t->base_url)
        t->base_url =
            pm_strdup(t->kind == PM_TARGET_OPENAI ? "https://api.openai.com/v1" : "https://api.anthropic.com");
    if (!is_http_url(t->base_url))
        pm_diag(&diags->errors, t->file, t->line, "[%s] BASE_URL=%s: it must begin with http:// or https://", t->id,
                t->base_url);
    strip_slashes(t->base_url);
    check_file(t, "CA_FILE", t->ca_file, diags);
    check_key_file(t, diags);
}

static void set_kind(struct pm_target *t, const struct pm_ini_section *s, struct pm_diags *diags)
{
    const char *cloud = pm_ini_get(s, "CLOUD");
    if (!cloud)
        return;
    if (strcmp(cloud, "openai") == 0)
        t->kind = PM_TARGET_OPENAI;
    else if (strcmp(cloud, "anthropic") == 0)
        t->kind = PM_TARGET_ANTHROPIC;
    else
        pm_diag(&diags->errors, s->file, s->line, "[%s] CLOUD=%s: openai or anthropic is expected", s->name, cloud);
}

static void add_target(struct pm_conf *conf, const struct pm_ini_section *s, const struct pm_ini_section *defaults,
                       const char *conf_dir, struct pm_diags *diags)
{
    const struct pm_target *twin = pm_conf_target(conf, s->name);
    if (twin) {
        pm_diag(&diags->errors, s->file, s->line, "[%s] stands twice, first in line %d: rename one", s->name,
                twin->line);
        return;
    }
    if (!id_is_fine(s->name)) {
        pm_diag(&diags->errors, s->file, s->line, "[%s]: an id has letters, digits and . _ - : @ / + only", s->name);
        return;
    }
    conf->targets = pm_realloc(conf->targets, conf->n_targets + 1, sizeof(*conf->targets));
    struct pm_target *t = &conf->targets[conf->n_targets];
    *t = (struct pm_target){.index = conf->n_targets++,
                            .id = pm_strdup(s->name),
                            .file = s->file,
                            .line = s->line,
                            .strength = 0.5,
                            .queue = 64,
                            .keep_kv = true,
                            .bench = strncmp(s->name, "bench-", 6) == 0};
    set_kind(t, s, diags);
    if (defaults) {
        /* Its faults have been told once, by check_defaults. */
        struct pm_diags told = {0};
        apply_section(t, defaults, false, &told);
        pm_diags_release(&told);
    }
    apply_section(t, s, true, diags);
    default_wires(t);
    if (t->kind == PM_TARGET_LOCAL)
        check_local(t, conf_dir, diags);
    else
        check_cloud(t, diags);
}

static void read_manager(struct pm_conf *conf, const struct pm_ini_section *s, struct pm_diags *diags)
{
    for (size_t i = 0; i < s->n; i++) {
        unsigned scope;
        if (!pm_key_set(manager_keys, COUNT(manager_keys), &conf->manager, s->file, &s->entries[i], &scope,
                        &diags->errors))
            pm_key_unknown(manager_keys, COUNT(manager_keys), s->file, &s->entries[i], &diags->errors);
    }
}

/* Keys of [*] are faults once, not once for every section that inherits them. */
static void check_defaults(const struct pm_ini_section *s, struct pm_diags *diags)
{
    struct pm_target scratch = {0};
    for (size_t i = 0; i < s->n; i++) {
        const struct pm_ini_entry *e = &s->entries[i];
        unsigned scope;
        bool known = pm_key_set(target_keys, COUNT(target_keys), &scratch, s->file, e, &scope, &diags->errors);
        if (strcmp(e->key, "CAPS") == 0)
            set_caps(&scratch, s->file, e, diags);
        else if (strcmp(e->key, "PROTOCOLS") == 0)
            set_wires(&scratch, s->file, e, diags);
        else if (strcmp(e->key, "CLOUD") == 0)
            pm_diag(&diags->errors, s->file, e->line, "CLOUD cannot stand in [*]: give each cloud model its own");
        else if (!known && strncmp(e->key, "ENV.", 4) != 0)
            unknown_key(s->file, e, diags);
    }
    pm_target_release(&scratch);
}

void pm_conf_read_targets(struct pm_conf *conf, const char *models_path, struct pm_diags *diags)
{
    const struct pm_ini_section *defaults = NULL;
    const char *slash = strrchr(models_path, '/');
    char *conf_dir = slash ? pm_strndup(models_path, (size_t)(slash - models_path)) : pm_strdup(".");
    for (size_t i = 0; i < conf->models_ini.n; i++) {
        if (strcmp(conf->models_ini.sections[i].name, "*") == 0) {
            defaults = &conf->models_ini.sections[i];
            check_defaults(defaults, diags);
        }
    }
    for (size_t i = 0; i < conf->models_ini.n; i++) {
        const struct pm_ini_section *s = &conf->models_ini.sections[i];
        if (strcmp(s->name, "manager") == 0)
            read_manager(conf, s, diags);
        else if (strcmp(s->name, "*") != 0)
            add_target(conf, s, defaults, conf_dir, diags);
    }
    free(conf_dir);
}

void pm_target_release(struct pm_target *t)
{
    pm_key_release(target_keys, COUNT(target_keys), t);
    pm_strv_release(&t->env);
    free(t->id);
}
