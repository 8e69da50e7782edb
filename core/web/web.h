/* The page for people, as it is in the program: files of core/web, byte for byte. */
#ifndef PM_WEB_WEB_H
#define PM_WEB_WEB_H

#include <stddef.h>

struct pm_web_file {
    const char *name; /* "page.js" */
    const char *type; /* for Content-Type */
    const char *data;
    size_t len;
    const char *etag; /* of its content, with its quotes (RFC 9110, 8.8.3) */
};

/* The file of that name, or NULL. */
const struct pm_web_file *pm_web_file(const char *name);

#endif
