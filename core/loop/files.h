/* Watching files and folders change (inotify), with many changes folded into one call. */
#ifndef PM_LOOP_FILES_H
#define PM_LOOP_FILES_H

#include <stdint.h>

#include "core/base/error.h"
#include "core/loop/loop.h"

struct pm_files;

/* Calls fn(arg) when something that was added has changed and then been quiet for `quiet_ms`. */
struct pm_files *pm_files_new(struct pm_loop *loop, uint64_t quiet_ms, void (*fn)(void *arg), void *arg);
void pm_files_free(struct pm_files *files);

/* Watches a folder: what is created, finished writing, renamed or removed in it. */
int pm_files_add_folder(struct pm_files *files, const char *path, struct pm_error *err) PM_MUST;

/* Watches one file of a folder in which much else may change; it need not be there yet. One for each pm_files. */
int pm_files_add_file(struct pm_files *files, const char *path, struct pm_error *err) PM_MUST;

/* Watches one file being written to, each write. */
int pm_files_add_growing(struct pm_files *files, const char *path, struct pm_error *err) PM_MUST;

#endif
