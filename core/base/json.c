#include "core/base/json.h"

#include <endian.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/text.h"

struct scan {
    const char *text;
    size_t len, at;
    unsigned depth;
    struct pm_json_spans *spans;
    struct pm_error *err;
};

static int value(struct scan *s);

static int fail(struct scan *s, const char *what)
{
    return pm_error_set(s->err, PM_EINVAL, "%s at byte %zu", what, s->at);
}

static int peek(const struct scan *s)
{
    return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static void blanks(struct scan *s)
{
    while (s->at < s->len &&
           (s->text[s->at] == ' ' || s->text[s->at] == '\n' || s->text[s->at] == '\r' || s->text[s->at] == '\t'))
        s->at++;
}

static bool is_hex(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int escape(struct scan *s)
{
    static const unsigned char known[256] = {
        ['"'] = 1, ['\\'] = 1, ['/'] = 1, ['b'] = 1, ['f'] = 1, ['n'] = 1, ['r'] = 1, ['t'] = 1};
    s->at++;
    int c = peek(s);
    if (c == 'u') {
        for (int i = 0; i < 4; i++) {
            s->at++;
            if (!is_hex(peek(s)))
                return fail(s, "\\u without four hexadecimal digits");
        }
    } else if (c < 0 || !known[c]) {
        return fail(s, "an unknown escape in a string");
    }
    s->at++;
    return PM_OK;
}

/* The high bits of the bytes that are a quote, a backslash or below 0x20. A byte is zero after the exclusive or with
 * what is looked for. A borrow may also mark a byte above a real hit, so only the lowest mark is to be believed. */
static uint64_t special_marks(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101ULL, highs = 0x8080808080808080ULL;
    uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
    uint64_t hit = ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((w - ones * 0x20) & ~w);
    return hit & highs;
}

static int string(struct scan *s)
{
    static const unsigned char special[256] = {[0 ... 31] = 1, ['"'] = 1, ['\\'] = 1};
    s->at++;
    for (;;) {
        uint64_t word, marks = 0;
        while (s->at + 8 <= s->len) {
            memcpy(&word, s->text + s->at, 8);
            marks = special_marks(le64toh(word));
            if (marks)
                break;
            s->at += 8;
        }
        if (marks)
            s->at += (size_t)__builtin_ctzll(marks) / 8;
        else
            while (s->at < s->len && !special[(unsigned char)s->text[s->at]])
                s->at++;
        int c = peek(s);
        if (c < 0)
            return fail(s, "the text ends inside a string");
        if (c == '"') {
            s->at++;
            return PM_OK;
        }
        if (c != '\\')
            return fail(s, "a raw control character in a string");
        int rc = escape(s);
        if (rc < 0)
            return rc;
    }
}

static size_t digits(struct scan *s)
{
    size_t n = 0;
    for (; peek(s) >= '0' && peek(s) <= '9'; n++)
        s->at++;
    return n;
}

static int number(struct scan *s)
{
    if (peek(s) == '-')
        s->at++;
    bool zero = peek(s) == '0';
    size_t n = digits(s);
    if (!n || (zero && n > 1))
        return fail(s, "a malformed number");
    if (peek(s) == '.') {
        s->at++;
        if (!digits(s))
            return fail(s, "a malformed number");
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-')
            s->at++;
        if (!digits(s))
            return fail(s, "a malformed number");
    }
    return PM_OK;
}

static int word(struct scan *s, const char *w)
{
    size_t n = strlen(w);
    if (s->len - s->at < n || memcmp(s->text + s->at, w, n) != 0)
        return fail(s, "an unexpected character");
    s->at += n;
    return PM_OK;
}

static int note_member(struct scan *s, const struct pm_json_member *m)
{
    struct pm_json_spans *spans = s->spans;
    /* One spelling for each key: what is compared and looked up here is what every other reader will see. */
    if (memchr(s->text + m->key, '\\', m->key_len))
        return pm_error_set(s->err, PM_EINVAL, "a key at the top level is spelled with escapes, at byte %zu", m->key);
    for (size_t i = 0; i < spans->n; i++) {
        const struct pm_json_member *o = &spans->members[i];
        if (o->key_len == m->key_len && memcmp(s->text + o->key, s->text + m->key, m->key_len) == 0)
            return pm_error_set(s->err, PM_EINVAL, "the key \"%.*s\" stands twice", (int)m->key_len, s->text + m->key);
    }
    if (spans->n == PM_JSON_MEMBERS)
        return pm_error_set(s->err, PM_EINVAL, "more than %d keys at the top level", PM_JSON_MEMBERS);
    spans->members[spans->n++] = *m;
    return PM_OK;
}

static int member(struct scan *s)
{
    struct pm_json_member m;
    int rc;
    blanks(s);
    if (peek(s) != '"')
        return fail(s, "a key in quotes was expected");
    m.key = s->at + 1;
    if ((rc = string(s)) < 0)
        return rc;
    m.key_len = s->at - 1 - m.key;
    blanks(s);
    if (peek(s) != ':')
        return fail(s, "a colon was expected");
    s->at++;
    blanks(s);
    m.value = s->at;
    if ((rc = value(s)) < 0)
        return rc;
    m.value_len = s->at - m.value;
    return s->depth == 1 && s->spans ? note_member(s, &m) : PM_OK;
}

static int element(struct scan *s)
{
    blanks(s);
    return value(s);
}

static int container(struct scan *s, char close, int (*item)(struct scan *))
{
    if (++s->depth > PM_JSON_DEPTH)
        return pm_error_set(s->err, PM_ETOOBIG, "nested more than %d levels deep at byte %zu", PM_JSON_DEPTH, s->at);
    s->at++;
    blanks(s);
    if (peek(s) == close) {
        s->at++;
        s->depth--;
        return PM_OK;
    }
    for (;;) {
        int rc = item(s);
        if (rc < 0)
            return rc;
        blanks(s);
        int c = peek(s);
        s->at += c >= 0;
        if (c == close)
            break;
        if (c != ',') {
            s->at -= c >= 0;
            return fail(s, c < 0 ? "the text ends too early" : "a comma or the end was expected");
        }
    }
    s->depth--;
    return PM_OK;
}

static int value(struct scan *s)
{
    switch (peek(s)) {
    case '{':
        return container(s, '}', member);
    case '[': {
        /* Only the top object's members are noted, not those of objects inside a top array. */
        struct pm_json_spans *spans = s->spans;
        if (s->depth == 0)
            s->spans = NULL;
        int rc = container(s, ']', element);
        s->spans = spans;
        return rc;
    }
    case '"':
        return string(s);
    case 't':
        return word(s, "true");
    case 'f':
        return word(s, "false");
    case 'n':
        return word(s, "null");
    case -1:
        return fail(s, "the text ends too early");
    default:
        return number(s);
    }
}

int pm_json_scan(const char *text, size_t len, struct pm_json_spans *spans, struct pm_error *err)
{
    struct scan s = {.text = text, .len = len, .spans = spans, .err = err};
    if (spans)
        spans->n = 0;
    long bad = pm_utf8_bad(text, len);
    if (bad >= 0)
        return pm_error_set(err, PM_EINVAL, "not UTF-8 at byte %ld", bad);
    blanks(&s);
    int rc = value(&s);
    if (rc < 0)
        return rc;
    blanks(&s);
    return s.at < len ? fail(&s, "text after the end of the JSON value") : PM_OK;
}

const struct pm_json_member *pm_json_span(const struct pm_json_spans *spans, const char *text, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < spans->n; i++)
        if (spans->members[i].key_len == n && memcmp(text + spans->members[i].key, key, n) == 0)
            return &spans->members[i];
    return NULL;
}

/* Over one element; notes the wanted members when it is an object. */
static int element_members(struct scan *s, const char *const *keys, size_t n, struct pm_json_value *values)
{
    if (peek(s) != '{')
        return value(s);
    s->at++;
    blanks(s);
    if (peek(s) == '}') {
        s->at++;
        return PM_OK;
    }
    for (;;) {
        blanks(s);
        size_t name = s->at + 1;
        if (peek(s) != '"' || string(s) < 0)
            return PM_EINVAL;
        size_t name_len = s->at - 1 - name;
        blanks(s);
        s->at++;
        blanks(s);
        size_t start = s->at;
        if (value(s) < 0)
            return PM_EINVAL;
        for (size_t i = 0; i < n; i++)
            if (!values[i].text && strlen(keys[i]) == name_len && memcmp(s->text + name, keys[i], name_len) == 0)
                values[i] = (struct pm_json_value){.text = s->text + start, .len = s->at - start};
        blanks(s);
        int c = peek(s);
        s->at++;
        if (c != ',')
            return PM_OK;
    }
}

void pm_json_each(const char *text, size_t len, const char *const *keys, size_t n,
                  void (*fn)(void *arg, char first, const struct pm_json_value *values), void *arg)
{
    struct scan s = {.text = text, .len = len};
    blanks(&s);
    if (peek(&s) != '[')
        return;
    s.at++;
    for (;;) {
        struct pm_json_value values[PM_JSON_KEYS] = {{0}};
        blanks(&s);
        if (peek(&s) == ']' || peek(&s) < 0)
            return;
        char first = s.text[s.at];
        if (element_members(&s, keys, n, values) < 0)
            return;
        fn(arg, first, values);
        blanks(&s);
        if (peek(&s) != ',')
            return;
        s.at++;
    }
}

void pm_json_members(const char *text, size_t len, const char *const *keys, size_t n, struct pm_json_value *values)
{
    struct scan s = {.text = text, .len = len};
    blanks(&s);
    if (peek(&s) == '{')
        (void)element_members(&s, keys, n, values);
}

/* Past the value that begins at `at`: at the comma or bracket behind it. */
static size_t value_end(const char *text, size_t len, size_t at)
{
    size_t depth = 0;
    for (bool quoted = false; at < len; at++) {
        char b = text[at];
        if (quoted) {
            if (b == '\\')
                at++;
            else if (b == '"')
                quoted = false;
        } else if (b == '"') {
            quoted = true;
        } else if (b == '{' || b == '[') {
            depth++;
        } else if (depth && (b == '}' || b == ']')) {
            depth--;
        } else if (!depth && (b == ',' || b == ']' || b == '}')) {
            break;
        }
    }
    return at;
}

static bool is_blank(char b)
{
    return b == ' ' || b == '\t' || b == '\r' || b == '\n';
}

size_t pm_json_elements(const char *text, size_t len, struct pm_json_value *out, size_t max)
{
    size_t n = 0, at = 0;
    if (!len || (text[0] != '[' && text[0] != '{'))
        return 0;
    while (n < max && at < len && text[at] != ']' && text[at] != '}') {
        at++;
        while (at < len && is_blank(text[at]))
            at++;
        size_t start = at, end = value_end(text, len, at);
        at = end;
        while (end > start && is_blank(text[end - 1]))
            end--;
        if (end > start)
            out[n++] = (struct pm_json_value){text + start, end - start};
    }
    return n;
}

int pm_json_value_order(const void *a, const void *b)
{
    const struct pm_json_value *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

bool pm_json_is(const struct pm_json_value *v, const char *word)
{
    size_t n = strlen(word);
    return v->text && v->len == n + 2 && v->text[0] == '"' && memcmp(v->text + 1, word, n) == 0;
}

cJSON *pm_json_parse(const char *text, size_t len, struct pm_error *err)
{
    if (pm_json_scan(text, len, NULL, err) < 0)
        return NULL;
    cJSON *root = cJSON_ParseWithLength(text, len);
    if (!root)
        pm_error_set(err, PM_EINVAL, "not JSON that can be read (a lone surrogate in a string?)");
    return root;
}

const cJSON *pm_json_get(const cJSON *object, const char *key)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

const char *pm_json_str(const cJSON *object, const char *key)
{
    const cJSON *item = pm_json_get(object, key);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

double pm_json_num(const cJSON *object, const char *key, double fallback)
{
    const cJSON *item = pm_json_get(object, key);
    return cJSON_IsNumber(item) && isfinite(item->valuedouble) ? item->valuedouble : fallback;
}

bool pm_json_true(const cJSON *object, const char *key)
{
    return cJSON_IsTrue(pm_json_get(object, key));
}

void pm_json_quote(struct pm_buf *out, const char *text, size_t len)
{
    pm_buf_add(out, "\"");
    size_t i = 0;
    while (i < len) {
        long bad = pm_utf8_bad(text + i, len - i);
        size_t end = bad < 0 ? len : i + (size_t)bad;
        for (; i < end; i++) {
            unsigned char c = (unsigned char)text[i];
            if (c == '"' || c == '\\')
                pm_buf_addf(out, "\\%c", c);
            else if (c == '\n')
                pm_buf_add(out, "\\n");
            else if (c < 0x20)
                pm_buf_addf(out, "\\u%04x", c);
            else
                pm_buf_addn(out, text + i, 1);
        }
        if (i < len) {
            pm_buf_add(out, "\xef\xbf\xbd");
            i++;
        }
    }
    pm_buf_add(out, "\"");
}

/* cJSON prints 15 digits where that is nearly the number: schemas and arguments hold some that need more. */
static bool is_inexact(const cJSON *item)
{
    char text[32];
    if (!cJSON_IsNumber(item) || item->valuedouble != item->valuedouble)
        return false;
    snprintf(text, sizeof(text), "%1.15g", item->valuedouble);
    double again = strtod(text, NULL);
    return again < item->valuedouble || again > item->valuedouble || strchr(text, 'e');
}

static bool has_inexact(const cJSON *item)
{
    const cJSON *child;
    if (is_inexact(item))
        return true;
    cJSON_ArrayForEach (child, item)
        if (has_inexact(child))
            return true;
    return false;
}

/* Of numbers: the digits that they need. */
static void make_exact(cJSON *item)
{
    char text[40];
    cJSON *child;
    cJSON_ArrayForEach (child, item)
        make_exact(child);
    if (!is_inexact(item))
        return;
    double n = item->valuedouble;
    bool whole = n > -1e17 && n < 1e17 && n >= (double)(long long)n && n <= (double)(long long)n;
    if (whole)
        snprintf(text, sizeof(text), "%lld", (long long)n);
    else
        snprintf(text, sizeof(text), "%.17g", n);
    cJSON *raw = cJSON_CreateRaw(text);
    item->type = cJSON_Raw | (item->type & cJSON_StringIsConst);
    item->valuestring = raw->valuestring;
    raw->valuestring = NULL;
    cJSON_Delete(raw);
}

char *pm_json_text(const cJSON *item)
{
    cJSON *exact = has_inexact(item) ? cJSON_Duplicate(item, true) : NULL;
    if (exact)
        make_exact(exact);
    char *text = cJSON_PrintUnformatted(exact ? exact : item);
    cJSON_Delete(exact);
    return text ? text : pm_strdup("null");
}
