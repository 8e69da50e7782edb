/* What the files of `pointsman client` share. */
#ifndef PM_CLI_CLIENT_PRIV_H
#define PM_CLI_CLIENT_PRIV_H

#include "core/base/buf.h"
#include "core/base/error.h"

/* How a file takes what is ours. */
enum pm_client_file_kind {
    PM_FILE_JSON,  /* members are put into the document, at their places */
    PM_FILE_BLOCK, /* lines between two marks at its end; what they set may not be set elsewhere in it */
    PM_FILE_WHOLE, /* only where there is none yet */
    PM_FILE_OWN    /* has our name: written anew */
};

/* In texts {url}, {v1}, {key}, {model}, {context} and {output} are put in. */
struct pm_client_file {
    const char *path; /* under the home folder */
    enum pm_client_file_kind kind;
    const char *text;
};

enum { PM_CLIENT_FILES = 2 };

struct pm_client_kind {
    const char *name, *title;
    const char *env;   /* NAME=value lines that do without files, "" for none */
    const char *notes; /* how it is started, and what to know; for people */
    struct pm_client_file files[PM_CLIENT_FILES];
};

extern const struct pm_client_kind pm_client_kinds[];
extern const size_t pm_client_n_kinds;

/* What is put into the texts. */
struct pm_client_facts {
    char *url, *v1;
    const char *key, *model;
    long long context, output; /* tokens; of an answer */
};

/* Puts the facts into a text. */
char *pm_client_text(const char *text, const struct pm_client_facts *facts);

/* The file as it would be with ours in it, into `*after`; `*before` is what it is, NULL where there is none. Both are
 * to be freed. The error says why it is better done by hand. */
int pm_client_merge(const char *path, const struct pm_client_file *file, const char *text, char **before, char **after,
                    struct pm_error *err) PM_MUST;

/* Writes it, with the folders on its way, and keeps what was there beside it (.before-pointsman), once. */
int pm_client_write(const char *path, const char *before, const char *after, struct pm_error *err) PM_MUST;

#endif
