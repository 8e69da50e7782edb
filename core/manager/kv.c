#include "core/manager/kv.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"

/* Below this a prompt is processed sooner than a file is written and read. */
enum { LEAST_TOKENS = 256 };

/* Conversations remembered for a profile; those used longest ago are forgotten first. */
enum { CONVERSATIONS_MAX = 64 };

/* The last token of an answer may or may not be in the slot. */
enum { TOKENS_APART = 2 };

/* As many useless restores in a row say that the model's state cannot be restored. */
enum { USELESS_MAX = 2, USELESS_SHARE = 20 };

/* A slow disk and a long conversation: gigabytes at 100 MB/s. Then the switch goes on without. */
enum { ORDER_LIMIT_MS = 60000 };

enum { FILES_MAX = 4096 };

struct conversation {
    uint64_t id;
    unsigned tokens;   /* in its slot, when last seen; 0 when that is not known */
    unsigned saved;    /* on disk, 0 when there is no file */
    unsigned restored; /* just brought back, not yet verified */
    bool is_resident;  /* the running server has seen it */
    uint64_t used_ms;
};

struct pm_kv {
    struct pm_metrics *metrics;
    char *profile, *folder;
    char *off;
    uint64_t key;
    struct pm_server *server;
    bool is_blind; /* the server was there before us: what its slots hold is not known */
    unsigned slots;
    struct conversation known[CONVERSATIONS_MAX];
    size_t n;
    unsigned useless, useful;
    /* The order under way. */
    unsigned slot;
    uint64_t wanted, began_us;
    void (*done)(void *arg);
    void *arg;
};

struct pm_kv *pm_kv_new(struct pm_metrics *metrics, const char *profile, const char *folder)
{
    struct pm_kv *kv = pm_calloc(1, sizeof(*kv));
    kv->metrics = metrics;
    kv->profile = pm_strdup(profile);
    kv->folder = pm_strdup(folder);
    return kv;
}

void pm_kv_free(struct pm_kv *kv)
{
    if (!kv)
        return;
    free(kv->profile);
    free(kv->folder);
    free(kv->off);
    free(kv);
}

const char *pm_kv_off(const struct pm_kv *kv)
{
    return kv->off;
}

bool pm_kv_is_busy(const struct pm_kv *kv)
{
    return kv->done != NULL;
}

static void count(const struct pm_kv *kv, const char *what)
{
    struct pm_buf labels;
    pm_buf_init(&labels, 512);
    pm_metrics_label(&labels, "profile", kv->profile);
    pm_metrics_label(&labels, "what", what);
    pm_metrics_add(kv->metrics, "pointsman_kv_total", labels.data, 1);
    if (strcmp(what, "saved") == 0 || strcmp(what, "restored") == 0)
        pm_metrics_observe(kv->metrics, "pointsman_kv_seconds", labels.data,
                           (double)(pm_clock_us() - kv->began_us) / 1e6);
    pm_buf_release(&labels);
}

static struct conversation *find(struct pm_kv *kv, uint64_t id)
{
    for (size_t i = 0; i < kv->n; i++)
        if (kv->known[i].id == id)
            return &kv->known[i];
    return NULL;
}

static struct conversation *find_or_add(struct pm_kv *kv, uint64_t id)
{
    struct conversation *c = find(kv, id);
    if (c)
        return c;
    if (kv->n < CONVERSATIONS_MAX) {
        c = &kv->known[kv->n++];
    } else {
        c = &kv->known[0];
        for (size_t i = 1; i < kv->n; i++)
            if (kv->known[i].used_ms < c->used_ms)
                c = &kv->known[i];
    }
    *c = (struct conversation){.id = id};
    return c;
}

/* --- files: KEY-CONVERSATION-TOKENS.bin --- */

static void file_name(const struct pm_kv *kv, uint64_t conversation, unsigned tokens, char *out, size_t size)
{
    snprintf(out, size, "%016llx-%016llx-%u.bin", (unsigned long long)kv->key, (unsigned long long)conversation,
             tokens);
}

static char *path_of(const struct pm_kv *kv, const char *name)
{
    return pm_asprintf("%s%s", kv->folder, name);
}

static void remove_file(struct pm_kv *kv, struct conversation *c)
{
    char name[80];
    file_name(kv, c->id, c->saved, name, sizeof(name));
    char *path = path_of(kv, name);
    unlink(path);
    free(path);
    c->saved = 0;
}

static void forget_all(struct pm_kv *kv)
{
    kv->n = 0;
    kv->useless = kv->useful = 0;
    PM_FREE_AND_NULL(kv->off);
}

/* What is on disk for the present key; files of another key are of no use any more. */
static void read_folder(struct pm_kv *kv)
{
    DIR *d = opendir(kv->folder);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        unsigned long long key, conversation;
        unsigned tokens;
        char end;
        if (e->d_name[0] == '.')
            continue;
        bool fits = sscanf(e->d_name, "%16llx-%16llx-%u.bi%c", &key, &conversation, &tokens, &end) == 4 && end == 'n';
        if (fits && key == kv->key) {
            struct conversation *c = find_or_add(kv, conversation);
            c->saved = tokens;
            continue;
        }
        char *path = path_of(kv, e->d_name);
        unlink(path);
        free(path);
    }
    if (d)
        closedir(d);
}

static uint64_t hash_file(const char *path, uint64_t h)
{
    struct stat st;
    if (!path || stat(path, &st) < 0)
        return h;
    h = pm_hash(path, strlen(path), h);
    h = pm_hash(&st.st_size, sizeof(st.st_size), h);
    return pm_hash(&st.st_mtim, sizeof(st.st_mtim), h);
}

static uint64_t key_of(const struct pm_target *t, uint64_t command)
{
    char *server = pm_target_is_process(t) ? pm_conf_server_path(t) : NULL;
    uint64_t h = pm_hash(&command, sizeof(command), PM_HASH_SEED);
    h = hash_file(t->model, h);
    h = hash_file(t->mmproj, h);
    h = hash_file(t->draft_model, h);
    h = hash_file(server, h);
    free(server);
    return h;
}

void pm_kv_clear(struct pm_kv *kv)
{
    forget_all(kv);
    kv->key = 0;
    read_folder(kv);
    rmdir(kv->folder);
}

void pm_kv_set_slots(struct pm_kv *kv, unsigned slots)
{
    kv->slots = slots ? slots : 1;
}

void pm_kv_server_up(struct pm_kv *kv, struct pm_server *s, const struct pm_target *t, uint64_t command, bool adopted)
{
    uint64_t key = key_of(t, command);
    kv->server = t->keep_kv && !pm_target_is_remote(t) ? s : NULL;
    kv->is_blind = adopted;
    if (!kv->server || key == kv->key)
        return;
    forget_all(kv);
    kv->key = key;
    read_folder(kv);
}

/* The order's end, for good or ill. */
static void finish(struct pm_kv *kv)
{
    void (*done)(void *arg) = kv->done;
    kv->done = NULL;
    kv->wanted = 0;
    if (done)
        done(kv->arg);
}

void pm_kv_server_down(struct pm_kv *kv)
{
    kv->server = NULL;
    kv->done = NULL;
    for (size_t i = 0; i < kv->n; i++) {
        kv->known[i].is_resident = false;
        kv->known[i].tokens = kv->known[i].restored = 0;
    }
}

/* --- what requests tell --- */

static void verify(struct pm_kv *kv, struct conversation *c, unsigned cached)
{
    bool useful = cached >= c->restored / 2, useless = cached < c->restored / USELESS_SHARE;
    c->restored = 0;
    /* In between it is the caller who has changed what was said before. */
    if (!useful && !useless)
        return;
    kv->useful += useful;
    kv->useless = useful ? 0 : kv->useless + 1;
    count(kv, useful ? "useful" : "useless");
    if (kv->useless < USELESS_MAX || kv->useful)
        return;
    kv->off = pm_strdup("restored KV is not used by this model");
    pm_log(PM_LOG_WARN, "profile %s: KV is not kept any more: %s", kv->profile, kv->off);
}

void pm_kv_used(struct pm_kv *kv, uint64_t conversation, unsigned tokens, unsigned cached)
{
    if (!conversation || !kv->server || kv->off)
        return;
    struct conversation *c = find_or_add(kv, conversation);
    if (c->restored && tokens)
        verify(kv, c, cached);
    c->tokens = tokens;
    c->is_resident = true;
    c->used_ms = pm_clock_ms();
}

/* --- restore --- */

/* It may have been trimmed since. */
static bool has_file(const struct pm_kv *kv, const struct conversation *c)
{
    char name[80];
    file_name(kv, c->id, c->saved, name, sizeof(name));
    char *path = path_of(kv, name);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

bool pm_kv_can_restore(const struct pm_kv *kv, uint64_t conversation)
{
    if (!conversation || !kv->server || kv->is_blind || kv->off || kv->done)
        return false;
    for (size_t i = 0; i < kv->n; i++) {
        const struct conversation *c = &kv->known[i];
        if (c->id == conversation)
            return c->saved && !c->is_resident && has_file(kv, c);
    }
    return false;
}

static void restored(void *arg, int status, const char *body, size_t len)
{
    struct pm_kv *kv = arg;
    struct conversation *c = find(kv, kv->wanted);
    cJSON *root = status == 200 ? cJSON_ParseWithLength(body, len) : NULL;
    unsigned n = (unsigned)pm_json_num(root, "n_restored", 0);
    cJSON_Delete(root);
    if (c && n) {
        c->restored = c->tokens = n;
        count(kv, "restored");
        pm_log(PM_LOG_INFO, "profile %s: %u tokens restored in %.1f ms", kv->profile, n,
               (double)(pm_clock_us() - kv->began_us) / 1000);
    } else if (c) {
        count(kv, "failed");
        pm_log(PM_LOG_WARN, "profile %s: a conversation could not be restored (%d): %.*s", kv->profile, status,
               (int)(len > 200 ? 200 : len), body);
        remove_file(kv, c);
    }
    finish(kv);
}

static void restore_into(struct pm_kv *kv, unsigned slot)
{
    char name[80], path[64], body[128];
    struct conversation *c = find(kv, kv->wanted);
    file_name(kv, c->id, c->saved, name, sizeof(name));
    snprintf(path, sizeof(path), "/slots/%u?action=restore", slot);
    snprintf(body, sizeof(body), "{\"filename\":\"%s\"}", name);
    /* Its place in the order of use, for the trimming. */
    char *file = path_of(kv, name);
    utimensat(AT_FDCWD, file, NULL, 0);
    free(file);
    pm_server_ask(kv->server, "POST", path, body, ORDER_LIMIT_MS, restored, kv);
}

/* A slot that nobody works in, preferably one that has never been used. */
static void got_slots(void *arg, int status, const char *body, size_t len)
{
    struct pm_kv *kv = arg;
    cJSON *list = status == 200 ? cJSON_ParseWithLength(body, len) : NULL;
    const cJSON *item;
    int idle = -1, fresh = -1;
    cJSON_ArrayForEach (item, list) {
        int id = (int)pm_json_num(item, "id", -1);
        if (pm_json_true(item, "is_processing"))
            continue;
        if (idle < 0)
            idle = id;
        if (fresh < 0 && !pm_json_get(item, "id_task"))
            fresh = id;
    }
    cJSON_Delete(list);
    if (fresh < 0)
        fresh = idle;
    if (fresh < 0)
        finish(kv);
    else
        restore_into(kv, (unsigned)fresh);
}

void pm_kv_restore(struct pm_kv *kv, uint64_t conversation, void (*done)(void *arg), void *arg)
{
    struct conversation *c = find(kv, conversation);
    kv->done = done;
    kv->arg = arg;
    kv->wanted = conversation;
    kv->began_us = pm_clock_us();
    c->is_resident = true;
    if (kv->slots == 1)
        restore_into(kv, 0);
    else
        pm_server_ask(kv->server, "GET", "/slots", NULL, ORDER_LIMIT_MS, got_slots, kv);
}

/* --- save --- */

bool pm_kv_should_save(const struct pm_kv *kv)
{
    if (!kv->server || kv->off || kv->done)
        return false;
    for (size_t i = 0; i < kv->n; i++) {
        const struct conversation *c = &kv->known[i];
        if (c->is_resident && (!c->tokens || (c->tokens >= LEAST_TOKENS && c->tokens != c->saved)))
            return true;
    }
    return false;
}

static bool has_left(const struct conversation *c, unsigned tokens)
{
    return c->tokens && c->tokens <= tokens + TOKENS_APART && tokens <= c->tokens + TOKENS_APART;
}

/* The conversation that left so many tokens in a slot; else one whose answer broke off, which left nobody knows how
 * many; of several the one used last. */
static struct conversation *whose(struct pm_kv *kv, unsigned tokens)
{
    struct conversation *sure = NULL, *possible = NULL;
    for (size_t i = 0; i < kv->n; i++) {
        struct conversation *c = &kv->known[i];
        if (!c->is_resident)
            continue;
        if (has_left(c, tokens) && (!sure || c->used_ms > sure->used_ms))
            sure = c;
        if ((!c->tokens || kv->slots == 1) && (!possible || c->used_ms > possible->used_ms))
            possible = c;
    }
    return sure && kv->slots > 1 ? sure : possible ? possible : sure;
}

static void keep(struct pm_kv *kv, const char *temporary, unsigned tokens)
{
    char name[80];
    struct conversation *c = tokens >= LEAST_TOKENS ? whose(kv, tokens) : NULL;
    char *from = path_of(kv, temporary);
    if (!c) {
        unlink(from);
        free(from);
        return;
    }
    if (c->saved)
        remove_file(kv, c);
    file_name(kv, c->id, tokens, name, sizeof(name));
    char *to = path_of(kv, name);
    chmod(from, 0600);
    if (rename(from, to) == 0) {
        c->saved = c->tokens = tokens;
        count(kv, "saved");
    } else {
        unlink(from);
    }
    free(from);
    free(to);
}

static void save_slot(struct pm_kv *kv);

static void temporary_name(const struct pm_kv *kv, char *out, size_t size)
{
    snprintf(out, size, "slot-%u.tmp", kv->slot);
}

static void saved(void *arg, int status, const char *body, size_t len)
{
    struct pm_kv *kv = arg;
    char temporary[32];
    cJSON *root = status == 200 ? cJSON_ParseWithLength(body, len) : NULL;
    unsigned tokens = (unsigned)pm_json_num(root, "n_saved", 0);
    cJSON_Delete(root);
    temporary_name(kv, temporary, sizeof(temporary));
    keep(kv, temporary, tokens);
    if (status != 200) {
        count(kv, "failed");
        pm_log(PM_LOG_WARN, "profile %s: slot %u could not be saved (%d): %.*s", kv->profile, kv->slot, status,
               (int)(len > 200 ? 200 : len), body);
        if (status == 501)
            kv->off = pm_strdup("this server cannot save the state of its slots");
        finish(kv);
        return;
    }
    kv->slot++;
    save_slot(kv);
}

static void save_slot(struct pm_kv *kv)
{
    char temporary[32], path[64], body[80];
    if (kv->slot >= kv->slots) {
        pm_log(PM_LOG_INFO, "profile %s: %u slots saved in %.1f ms", kv->profile, kv->slots,
               (double)(pm_clock_us() - kv->began_us) / 1000);
        finish(kv);
        return;
    }
    temporary_name(kv, temporary, sizeof(temporary));
    snprintf(path, sizeof(path), "/slots/%u?action=save", kv->slot);
    snprintf(body, sizeof(body), "{\"filename\":\"%s\"}", temporary);
    pm_server_ask(kv->server, "POST", path, body, ORDER_LIMIT_MS, saved, kv);
}

void pm_kv_save(struct pm_kv *kv, void (*done)(void *arg), void *arg)
{
    kv->done = done;
    kv->arg = arg;
    kv->slot = 0;
    kv->began_us = pm_clock_us();
    save_slot(kv);
}

/* --- space --- */

struct kept_file {
    char *path;
    struct timespec used;
    off_t size;
};

static void list_folder(const char *folder, struct kept_file *files, size_t *n)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    while (d && (e = readdir(d)) && *n < FILES_MAX) {
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        char *path = pm_asprintf("%s/%s", folder, e->d_name);
        if (stat(path, &st) < 0) {
            free(path);
        } else if (S_ISDIR(st.st_mode)) {
            list_folder(path, files, n);
            free(path);
        } else {
            files[(*n)++] = (struct kept_file){.path = path, .used = st.st_mtim, .size = st.st_size};
        }
    }
    if (d)
        closedir(d);
}

static int by_use(const void *a, const void *b)
{
    const struct kept_file *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return x->used.tv_nsec < y->used.tv_nsec ? -1 : x->used.tv_nsec > y->used.tv_nsec;
}

void pm_kv_trim(const char *root, long long limit_mib)
{
    struct kept_file *files = pm_calloc(FILES_MAX, sizeof(*files));
    size_t n = 0;
    long long total = 0, limit = limit_mib << 20;
    list_folder(root, files, &n);
    qsort(files, n, sizeof(*files), by_use);
    for (size_t i = 0; i < n; i++)
        total += files[i].size;
    for (size_t i = 0; i < n; i++) {
        if (total > limit && unlink(files[i].path) == 0) {
            total -= files[i].size;
            pm_log(PM_LOG_INFO, "%s removed: KV_MAX is reached", files[i].path);
        }
        free(files[i].path);
    }
    free(files);
}

void pm_kv_remove_strangers(const char *root, const struct pm_strv *keep)
{
    DIR *d = opendir(root);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        char *folder = pm_asprintf("%s/%s/", root, e->d_name);
        if (!pm_strv_has(keep, folder)) {
            struct pm_kv scratch = {.folder = folder};
            pm_kv_clear(&scratch);
        }
        free(folder);
    }
    if (d)
        closedir(d);
}
