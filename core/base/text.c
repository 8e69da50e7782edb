#include "core/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/alloc.h"

void pm_strv_add(struct pm_strv *v, const char *s, size_t len)
{
    v->items = pm_realloc(v->items, v->n + 1, sizeof(*v->items));
    v->items[v->n++] = pm_strndup(s, len);
}

void pm_strv_release(struct pm_strv *v)
{
    for (size_t i = 0; i < v->n; i++)
        free(v->items[i]);
    free(v->items);
    *v = (struct pm_strv){0};
}

bool pm_strv_has(const struct pm_strv *v, const char *s)
{
    for (size_t i = 0; i < v->n; i++)
        if (strcmp(v->items[i], s) == 0)
            return true;
    return false;
}

void pm_strv_split(struct pm_strv *v, const char *list)
{
    while (*list) {
        size_t len = strcspn(list, ",");
        const char *start = list;
        const char *end = list + len;
        while (start < end && isspace((unsigned char)*start))
            start++;
        while (end > start && isspace((unsigned char)end[-1]))
            end--;
        if (end > start)
            pm_strv_add(v, start, (size_t)(end - start));
        list += len + (list[len] == ',');
    }
}

/* Length of the well-formed sequence at `s`, 0 when there is none (RFC 3629, section 4). */
static size_t utf8_sequence(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    size_t n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (left < n)
        return 0;
    unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

long pm_utf8_bad(const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t i = 0;
    while (i < len) {
        uint64_t word;
        /* Most of a prompt is ASCII: eight bytes a step. */
        while (i + 8 <= len) {
            memcpy(&word, p + i, 8);
            if (word & 0x8080808080808080ULL)
                break;
            i += 8;
        }
        if (i >= len)
            break;
        size_t n = utf8_sequence(p + i, len - i);
        if (!n)
            return (long)i;
        i += n;
    }
    return -1;
}

enum { NEAREST_MAX = 48 };

static size_t edit_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    size_t row[NEAREST_MAX + 1];
    if (na > NEAREST_MAX || nb > NEAREST_MAX)
        return NEAREST_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t best = diagonal + !same;
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[nb];
}

const char *pm_nearest(const char *word, const char *const *words, size_t n)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) / 3 + 2;
    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(word, words[i]);
        /* A word that merely begins or ends alike is what was meant as well: `coder` for `qwen-coder`. */
        if (strlen(word) >= 3 && strstr(words[i], word))
            d = d < 2 ? d : 2;
        if (d < best_distance) {
            best_distance = d;
            best = words[i];
        }
    }
    return best;
}

int pm_duration_parse(const char *text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"", 1e3}, {"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 3.6e6}, {"d", 8.64e7}};
    char *end;
    size_t number = strspn(text, "0123456789.");
    if (!isdigit((unsigned char)*text))
        return PM_EINVAL;
    errno = 0;
    double value = strtod(text, &end);
    /* strtod() also reads exponents and hexadecimal digits. */
    if (end != text + number)
        return PM_EINVAL;
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (strcmp(end, units[i].unit) == 0 && !errno && value * units[i].factor < 1e13) {
            *ms = (uint64_t)(value * units[i].factor + 0.5);
            return PM_OK;
        }
    }
    return PM_EINVAL;
}

int pm_int_parse(const char *text, long long least, long long most, long long *out)
{
    char *end;
    if (!isdigit((unsigned char)*text) && !(*text == '-' && isdigit((unsigned char)text[1])))
        return PM_EINVAL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || value < least || value > most)
        return PM_EINVAL;
    *out = value;
    return PM_OK;
}

int pm_real_parse(const char *text, double least, double most, double *out)
{
    char *end;
    if (text[strspn(text, "0123456789.eE+-")] || (!isdigit((unsigned char)*text) && *text != '-' && *text != '.'))
        return PM_EINVAL;
    errno = 0;
    double value = strtod(text, &end);
    if (errno || *end || end == text || !(value >= least && value <= most))
        return PM_EINVAL;
    *out = value;
    return PM_OK;
}

bool pm_wildcard(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

uint64_t pm_hash(const void *data, size_t len, uint64_t seed)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++)
        seed = (seed ^ p[i]) * 1099511628211ULL;
    return seed;
}

/* Multiplication spreads what is low to what is high, the shift brings it back; the odd constant is 2^64 over the
 * golden ratio (Knuth, The Art of Computer Programming 3, 6.4). */
static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
    return h ^ h >> 32;
}

uint64_t pm_hash_long(const void *data, size_t len, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t word, h = mix(seed, len);
    for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        h = mix(h, word);
    }
    word = 0;
    memcpy(&word, p, len);
    return mix(mix(h, word), 0);
}

int pm_file_read(const char *path, size_t limit, char **out, size_t *len, struct pm_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return pm_error_errno(err, "%s: cannot be opened", path);
    size_t cap = 16384, n = 0;
    char *data = pm_calloc(cap + 1, 1);
    int rc = PM_OK;
    for (;;) {
        ssize_t got = read(fd, data + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = pm_error_errno(err, "%s: cannot be read", path);
        if (got <= 0)
            break;
        n += (size_t)got;
        if (n > limit) {
            rc = pm_error_set(err, PM_ETOOBIG, "%s: larger than %zu bytes", path, limit);
            break;
        }
        if (n == cap) {
            cap *= 2;
            data = pm_realloc(data, cap + 1, 1);
        }
    }
    close(fd);
    if (rc < 0) {
        free(data);
        return rc;
    }
    data[n] = 0;
    *out = data;
    *len = n;
    return PM_OK;
}

int pm_file_write(const char *path, const char *data, size_t len, struct pm_error *err)
{
    char *beside = pm_asprintf("%s.new", path);
    int rc = PM_OK;
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        rc = pm_error_errno(err, "%s: cannot be written", beside);
        goto out;
    }
    if (write(fd, data, len) != (ssize_t)len)
        rc = pm_error_errno(err, "%s: cannot be written", beside);
    if (close(fd) < 0 && rc == PM_OK)
        rc = pm_error_errno(err, "%s: cannot be written", beside);
    if (rc == PM_OK && rename(beside, path) < 0)
        rc = pm_error_errno(err, "%s: cannot be renamed", beside);
out:
    free(beside);
    return rc;
}
