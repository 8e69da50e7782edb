#include "core/conf/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/conf/ini.h"

enum { CONF_FILE_MAX = 4 << 20, PLUGIN_FILE_MAX = 64 << 20 };

static int visible_with_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return name[0] != '.' && n > m && strcmp(name + n - m, suffix) == 0;
}

static int is_conf(const struct dirent *e)
{
    return visible_with_suffix(e->d_name, ".conf");
}

static int is_plugin(const struct dirent *e)
{
    return visible_with_suffix(e->d_name, ".so");
}

static int is_data(const struct dirent *e)
{
    return visible_with_suffix(e->d_name, ".pmw");
}

static int memory_file(const char *name, const char *data, size_t len, struct pm_error *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return pm_error_errno(err, "%s: no memory file can be made", name);
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, data + at, len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close(fd);
            return pm_error_errno(err, "%s: cannot be copied to memory", name);
        }
        at += (size_t)n;
    }
    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
    return fd;
}

static bool copy_file(const char *path, const char *name, struct pm_bundle_plugin *out)
{
    char *data;
    size_t len;
    struct pm_error err = {0};
    /* A file that is being copied in right now may be unreadable or half there; a later change event brings the
     * whole. */
    if (pm_file_read(path, PLUGIN_FILE_MAX, &data, &len, &err) < 0)
        return false;
    *out =
        (struct pm_bundle_plugin){.fd = memory_file(name, data, len, &err), .hash = pm_hash(data, len, PM_HASH_SEED)};
    free(data);
    return out->fd >= 0;
}

static void add_plugin(struct pm_bundle *b, const char *path, const char *file)
{
    struct pm_bundle_plugin p;
    if (!copy_file(path, file, &p))
        return;
    p.name = pm_strndup(file, strlen(file) - strlen(".so"));
    p.path = pm_strdup(path);
    b->plugins = pm_realloc(b->plugins, b->n_plugins + 1, sizeof(*b->plugins));
    b->plugins[b->n_plugins++] = p;
}

static void add_data(struct pm_bundle *b, const char *path, const char *file)
{
    struct pm_bundle_plugin p;
    if (!copy_file(path, file, &p))
        return;
    p.name = pm_strdup(path);
    p.path = pm_strdup(path);
    b->data = pm_realloc(b->data, b->n_data + 1, sizeof(*b->data));
    b->data[b->n_data++] = p;
}

static void add_route(struct pm_bundle *b, const char *path, const char *file)
{
    (void)file;
    struct pm_bundle_text t = {.path = pm_strdup(path)};
    size_t len;
    if (pm_file_read(path, CONF_FILE_MAX, &t.text, &len, NULL) < 0) {
        free(t.path);
        return;
    }
    b->routes = pm_realloc(b->routes, b->n_routes + 1, sizeof(*b->routes));
    b->routes[b->n_routes++] = t;
}

static void read_folder(struct pm_bundle *b, const char *dir, int (*filter)(const struct dirent *),
                        void (*add)(struct pm_bundle *b, const char *path, const char *file))
{
    struct dirent **names = NULL;
    int n = dir ? scandir(dir, &names, filter, alphasort) : 0;
    for (int i = 0; i < n; i++) {
        char *path = pm_asprintf("%s/%s", dir, names[i]->d_name);
        add(b, path, names[i]->d_name);
        free(path);
        free(names[i]);
    }
    free(names);
}

/* [gateway] KEYS of the routes folder, else `fallback`; the caller frees. */
static char *keys_path(const struct pm_bundle *b, const char *fallback)
{
    struct pm_ini ini = {0};
    struct pm_diags told = {0};
    for (size_t i = 0; i < b->n_routes; i++)
        pm_ini_parse(&ini, b->routes[i].path, b->routes[i].text, &told);
    for (size_t i = 0; i < ini.n; i++) {
        const char *path = strcmp(ini.sections[i].name, "gateway") == 0 ? pm_ini_get(&ini.sections[i], "KEYS") : NULL;
        if (path && *path)
            fallback = path;
    }
    char *found = pm_strdup(fallback);
    pm_ini_release(&ini);
    pm_diags_release(&told);
    return found;
}

static int read_clients(struct pm_bundle *b, const char *keys, struct pm_error *err)
{
    size_t len;
    b->clients.path = keys_path(b, keys);
    if (!b->clients.path || access(b->clients.path, F_OK) != 0)
        return PM_OK;
    return pm_file_read(b->clients.path, CONF_FILE_MAX, &b->clients.text, &len, err);
}

struct pm_bundle *pm_bundle_read(const char *models, const char *routes_dir, const char *plugins_dir, const char *keys,
                                 struct pm_error *err)
{
    struct pm_bundle *b = pm_calloc(1, sizeof(*b));
    size_t len;
    b->models.path = pm_strdup(models);
    if (pm_file_read(models, CONF_FILE_MAX, &b->models.text, &len, err) < 0) {
        pm_bundle_free(b);
        return NULL;
    }
    read_folder(b, routes_dir, is_conf, add_route);
    read_folder(b, plugins_dir, is_plugin, add_plugin);
    read_folder(b, routes_dir, is_data, add_data);
    read_folder(b, plugins_dir, is_data, add_data);
    if (read_clients(b, keys, err) < 0) {
        pm_bundle_free(b);
        return NULL;
    }
    return b;
}

static void free_files(struct pm_bundle_plugin *files, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(files[i].name);
        free(files[i].path);
        close(files[i].fd);
    }
    free(files);
}

void pm_bundle_free(struct pm_bundle *b)
{
    if (!b)
        return;
    free(b->models.path);
    free(b->models.text);
    free(b->clients.path);
    free(b->clients.text);
    for (size_t i = 0; i < b->n_routes; i++) {
        free(b->routes[i].path);
        free(b->routes[i].text);
    }
    free_files(b->plugins, b->n_plugins);
    free_files(b->data, b->n_data);
    free(b->routes);
    free(b);
}

/* The next plugin that is in use, from `i` on. */
static size_t next_plugin(const struct pm_bundle *b, size_t i)
{
    while (i < b->n_plugins && b->plugins[i].broken)
        i++;
    return i;
}

int pm_bundle_data(const struct pm_bundle *b, const char *path)
{
    for (size_t i = 0; i < b->n_data; i++)
        if (strcmp(b->data[i].path, path) == 0)
            return b->data[i].fd;
    return -1;
}

static bool same_data(const struct pm_bundle *a, const struct pm_bundle *b)
{
    if (a->n_data != b->n_data)
        return false;
    for (size_t i = 0; i < a->n_data; i++)
        if (strcmp(a->data[i].path, b->data[i].path) != 0 || a->data[i].hash != b->data[i].hash)
            return false;
    return true;
}

bool pm_bundle_equal(const struct pm_bundle *a, const struct pm_bundle *b)
{
    /* An empty keys file is not the same as none: it lets nobody in. */
    const char *ours = a->clients.text, *theirs = b->clients.text;
    if (strcmp(a->models.text, b->models.text) != 0 || a->n_routes != b->n_routes || !ours != !theirs ||
        (ours && strcmp(ours, theirs) != 0))
        return false;
    for (size_t i = 0; i < a->n_routes; i++)
        if (strcmp(a->routes[i].path, b->routes[i].path) != 0 || strcmp(a->routes[i].text, b->routes[i].text) != 0)
            return false;
    size_t i = next_plugin(a, 0), j = next_plugin(b, 0);
    for (; i < a->n_plugins && j < b->n_plugins; i = next_plugin(a, i + 1), j = next_plugin(b, j + 1))
        if (strcmp(a->plugins[i].name, b->plugins[j].name) != 0 || a->plugins[i].hash != b->plugins[j].hash)
            return false;
    return i >= a->n_plugins && j >= b->n_plugins && same_data(a, b);
}

static cJSON *text_json(const struct pm_bundle_text *t)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "path", t->path);
    cJSON_AddStringToObject(item, "text", t->text);
    return item;
}

static void add_files(cJSON *list, const struct pm_bundle_plugin *files, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (files[i].broken)
            continue;
        cJSON *p = cJSON_CreateObject();
        cJSON_AddStringToObject(p, "name", files[i].name);
        cJSON_AddStringToObject(p, "path", files[i].path);
        cJSON_AddNumberToObject(p, "fd", files[i].fd);
        cJSON_AddItemToArray(list, p);
    }
}

int pm_bundle_export(const struct pm_bundle *b, struct pm_error *err)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddItemToObject(root, "models", text_json(&b->models));
    if (b->clients.text)
        cJSON_AddItemToObject(root, "clients", text_json(&b->clients));
    cJSON *routes = cJSON_AddArrayToObject(root, "routes");
    for (size_t i = 0; i < b->n_routes; i++)
        cJSON_AddItemToArray(routes, text_json(&b->routes[i]));
    add_files(cJSON_AddArrayToObject(root, "plugins"), b->plugins, b->n_plugins);
    add_files(cJSON_AddArrayToObject(root, "data"), b->data, b->n_data);
    char *text = pm_json_text(root);
    int fd = memory_file("configuration", text, strlen(text), err);
    free(text);
    cJSON_Delete(root);
    return fd;
}

static void import_text(const cJSON *item, struct pm_bundle_text *t)
{
    const char *path = pm_json_str(item, "path"), *text = pm_json_str(item, "text");
    t->path = pm_strdup(path ? path : "");
    t->text = pm_strdup(text ? text : "");
}

static struct pm_bundle_plugin *import_files(const cJSON *list, size_t *n)
{
    struct pm_bundle_plugin *files = pm_calloc((size_t)cJSON_GetArraySize(list), sizeof(*files));
    const cJSON *item;
    *n = 0;
    cJSON_ArrayForEach (item, list) {
        const char *name = pm_json_str(item, "name"), *path = pm_json_str(item, "path");
        files[(*n)++] = (struct pm_bundle_plugin){.name = pm_strdup(name ? name : ""),
                                                  .path = pm_strdup(path ? path : ""),
                                                  .fd = (int)pm_json_num(item, "fd", -1)};
    }
    return files;
}

struct pm_bundle *pm_bundle_import(int fd, struct pm_error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        pm_error_errno(err, "the configuration's descriptor");
        return NULL;
    }
    char *text = pm_calloc((size_t)st.st_size + 1, 1);
    ssize_t got = pread(fd, text, (size_t)st.st_size, 0);
    close(fd);
    cJSON *root = got == st.st_size ? cJSON_Parse(text) : NULL;
    free(text);
    if (!root) {
        pm_error_set(err, PM_EPROTO, "the configuration that was handed over cannot be read");
        return NULL;
    }
    struct pm_bundle *b = pm_calloc(1, sizeof(*b));
    import_text(pm_json_get(root, "models"), &b->models);
    if (pm_json_get(root, "clients"))
        import_text(pm_json_get(root, "clients"), &b->clients);
    const cJSON *routes = pm_json_get(root, "routes"), *item;
    b->routes = pm_calloc((size_t)cJSON_GetArraySize(routes), sizeof(*b->routes));
    cJSON_ArrayForEach (item, routes)
        import_text(item, &b->routes[b->n_routes++]);
    b->plugins = import_files(pm_json_get(root, "plugins"), &b->n_plugins);
    b->data = import_files(pm_json_get(root, "data"), &b->n_data);
    cJSON_Delete(root);
    return b;
}
