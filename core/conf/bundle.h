/* The sources of one configuration, as they were at one moment: the texts and the policies' files.
 *
 * The manager reads them once; its workers get the very same bytes through inherited descriptors, so that all
 * processes of a generation agree, and a worker that is started later gets the last good configuration even when
 * the files have changed since. Policies are copied into memory files: overwriting one under a running worker
 * cannot crash it.
 */
#ifndef PM_CONF_BUNDLE_H
#define PM_CONF_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

struct pm_bundle_text {
    char *path;
    char *text;
};

struct pm_bundle_plugin {
    char *name; /* file name without .so */
    char *path; /* where it was found, for messages */
    int fd;     /* a sealed memory file */
    uint64_t hash;
    bool broken; /* it failed to load once; no worker is given it again */
};

struct pm_bundle {
    struct pm_bundle_text models;
    struct pm_bundle_text clients; /* the keys file; `text` is NULL when there is none */
    struct pm_bundle_text *routes; /* in name order */
    size_t n_routes;
    struct pm_bundle_plugin *plugins; /* in name order */
    size_t n_plugins;
    struct pm_bundle_plugin *data; /* *.pmw of both folders, what policies have learnt; `name` is the path */
    size_t n_data;
};

/* Reads models.conf, *.conf of the routes folder, *.so of the plugin folder, *.pmw of both, and the keys file: the one
 * that [gateway] names, else `keys` (NULL for none). A folder or a keys file that does not exist is empty. NULL with
 * `err` when models.conf or a keys file that is there cannot be read. */
struct pm_bundle *pm_bundle_read(const char *models, const char *routes_dir, const char *plugins_dir, const char *keys,
                                 struct pm_error *err);
void pm_bundle_free(struct pm_bundle *b);

/* The descriptor of the data file with that path, or -1. */
int pm_bundle_data(const struct pm_bundle *b, const char *path);

/* The same bytes everywhere, leaving out what is broken? */
bool pm_bundle_equal(const struct pm_bundle *a, const struct pm_bundle *b);

/* A memory file that describes the bundle, for a process that inherits it and the plugins' descriptors. Broken
 * plugins are left out. -1 with `err`. */
int pm_bundle_export(const struct pm_bundle *b, struct pm_error *err);

/* The other end. Takes `fd` and the descriptors that it names. */
struct pm_bundle *pm_bundle_import(int fd, struct pm_error *err);

#endif
