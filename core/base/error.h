/* What went wrong, in words for the user.
 *
 * Functions that can fail return 0 or a negative enum pm_err; the deepest function that knows the cause
 * writes the sentence: what, where, what to do.
 */
#ifndef PM_BASE_ERROR_H
#define PM_BASE_ERROR_H

#define PM_MUST __attribute__((warn_unused_result))

enum pm_err {
    PM_OK = 0,
    PM_EINVAL = -1,  /* the input is wrong */
    PM_ETOOBIG = -2, /* a limit was reached */
    PM_ENOTFOUND = -3,
    PM_EIO = -4,     /* the system refused */
    PM_EPROTO = -5,  /* the peer broke its protocol */
    PM_EPLUGIN = -6, /* a policy cannot be used */
    PM_EBUSY = -7
};

struct pm_error {
    enum pm_err code;
    char msg[512];
};

/* Fills `err` (NULL is fine) and returns `code`, so that `return pm_error_set(...)` reads well. */
int pm_error_set(struct pm_error *err, enum pm_err code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same, with ": " and the text of errno. */
int pm_error_errno(struct pm_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
