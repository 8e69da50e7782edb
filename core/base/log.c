#include "core/base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"

static struct {
    const char *who;
    enum pm_log_level least;
} sink = {"pointsman", PM_LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void pm_log_init(const char *who, enum pm_log_level least)
{
    sink.who = who;
    sink.least = least;
}

int pm_log_level_parse(const char *word, enum pm_log_level *out)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(word, level_names[i]) == 0) {
            *out = (enum pm_log_level)i;
            return PM_OK;
        }
    }
    return PM_EINVAL;
}

static bool needs_quotes(const char *value)
{
    if (!*value)
        return true;
    for (const unsigned char *p = (const unsigned char *)value; *p; p++)
        if (*p <= ' ' || *p == '"' || *p == '=' || *p == '\\' || *p == 0x7f)
            return true;
    return false;
}

void pm_log_field(struct pm_buf *fields, const char *key, const char *value)
{
    pm_buf_addf(fields, " %s=", key);
    if (!needs_quotes(value)) {
        pm_buf_add(fields, value);
        return;
    }
    pm_buf_add(fields, "\"");
    for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
        if (*p == '"' || *p == '\\')
            pm_buf_addf(fields, "\\%c", *p);
        else if (*p == '\n')
            pm_buf_add(fields, "\\n");
        else if (*p < ' ' || *p == 0x7f)
            pm_buf_addf(fields, "\\x%02x", *p);
        else
            pm_buf_addn(fields, (const char *)p, 1);
    }
    pm_buf_add(fields, "\"");
}

void pm_log_fields(enum pm_log_level level, const char *msg, const struct pm_buf *fields)
{
    if (level < sink.least)
        return;
    struct pm_buf line;
    char now[32];
    pm_buf_init(&line, 16384);
    pm_clock_text(now, sizeof(now));
    pm_buf_addf(&line, "time=%s level=%s proc=%s", now, level_names[level], sink.who);
    pm_log_field(&line, "msg", msg);
    if (fields)
        pm_buf_addn(&line, fields->data, fields->len);
    if (line.len == line.limit)
        line.len--;
    pm_buf_addn(&line, "\n", 1);
    /* A log that cannot be written (full disk, closed pipe) must not stop the service. */
    ssize_t ignored = write(STDERR_FILENO, line.data, line.len);
    (void)ignored;
    pm_buf_release(&line);
}

void pm_log(enum pm_log_level level, const char *fmt, ...)
{
    if (level < sink.least)
        return;
    char msg[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    pm_log_fields(level, msg, NULL);
}
