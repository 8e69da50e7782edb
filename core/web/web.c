#include "core/web/web.h"

#include <string.h>

/* Made by tools/embed.sh. */
#include "core/web/page.inc"

const struct pm_web_file *pm_web_file(const char *name)
{
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
        if (strcmp(files[i].name, name) == 0)
            return &files[i];
    return NULL;
}
