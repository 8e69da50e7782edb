#include "core/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int pm_error_set(struct pm_error *err, enum pm_err code, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    return code;
}

int pm_error_errno(struct pm_error *err, const char *fmt, ...)
{
    int saved = errno;
    if (!err)
        return PM_EIO;
    va_list ap;
    va_start(ap, fmt);
    err->code = PM_EIO;
    int n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(err->msg))
        snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", strerror(saved));
    return PM_EIO;
}
