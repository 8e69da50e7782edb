/* Two requests that ask for the same, written the same. */
#include <stdlib.h>
#include <string.h>

#include "core/api/request.h"
#include "core/base/alloc.h"

/* As text, not as a tree: a tree would take two numbers for one where they differ only in their last digits. */
enum { DEPTH_MAX = 16, FIRST_ITEMS = 32 };

static void canonical(const char *text, size_t len, unsigned depth, struct pm_buf *out);

static size_t key_length(const struct pm_json_value *member)
{
    size_t n = 1;
    while (n < member->len && member->text[n] != '"')
        n += member->text[n] == '\\' ? 2 : 1;
    return n + 1;
}

/* Of the request itself: what only says how to tell the answer, or for whom. */
static bool is_idle(const struct pm_json_value *member)
{
    static const char *const idle[] = {"\"stream\"", "\"stream_options\"", "\"user\"", "\"metadata\""};
    for (size_t i = 0; i < sizeof(idle) / sizeof(*idle); i++)
        if (strlen(idle[i]) == key_length(member) && memcmp(idle[i], member->text, strlen(idle[i])) == 0)
            return true;
    return false;
}

static struct pm_json_value *items_of(const char *text, size_t len, size_t *n)
{
    size_t room = FIRST_ITEMS;
    struct pm_json_value *items = NULL;
    for (;; room *= 8) {
        items = pm_realloc(items, room, sizeof(*items));
        *n = pm_json_elements(text, len, items, room);
        if (*n < room)
            return items;
    }
}

static void list(const char *text, size_t len, unsigned depth, struct pm_buf *out)
{
    bool is_object = *text == '{', is_top = !depth, first = true;
    size_t n;
    struct pm_json_value *items = items_of(text, len, &n);
    if (is_object)
        qsort(items, n, sizeof(*items), pm_json_value_order);
    pm_buf_addn(out, text, 1);
    for (size_t i = 0; i < n; i++) {
        size_t key = is_object ? key_length(&items[i]) : 0;
        if (is_top && is_object && is_idle(&items[i]))
            continue;
        if (!first)
            pm_buf_add(out, ",");
        first = false;
        pm_buf_addn(out, items[i].text, key);
        const char *value = items[i].text + key, *end = items[i].text + items[i].len;
        while (key && value < end && (*value == ':' || strchr(" \t\r\n", *value)))
            value++;
        if (key)
            pm_buf_add(out, ":");
        canonical(value, (size_t)(end - value), depth + 1, out);
    }
    pm_buf_add(out, is_object ? "}" : "]");
    free(items);
}

/* One letter has several escapes. A string with a NUL in it stays as it is: a C string would end there. */
static bool unescaped(const char *text, size_t len, struct pm_buf *out)
{
    cJSON *string = *text == '"' && memchr(text, '\\', len) && !memmem(text, len, "\\u0000", 6)
                        ? cJSON_ParseWithLength(text, len)
                        : NULL;
    bool done = cJSON_IsString(string);
    if (done)
        pm_json_quote(out, string->valuestring, strlen(string->valuestring));
    cJSON_Delete(string);
    return done;
}

/* What is nested deeper than requests are stays as it is: each level is read once more. */
static void canonical(const char *text, size_t len, unsigned depth, struct pm_buf *out)
{
    if (len && unescaped(text, len, out))
        return;
    if (len && depth < DEPTH_MAX && (*text == '{' || *text == '['))
        list(text, len, depth, out);
    else
        pm_buf_addn(out, text, len);
}

void pm_api_canonical(const struct pm_api_request *r, struct pm_buf *out)
{
    size_t blank = strspn(r->body, " \t\r\n");
    list(r->body + blank, r->len - blank, 0, out);
}

bool pm_api_is_deterministic(const struct pm_api_request *r)
{
    double temperature = pm_json_num(r->root, "temperature", -1), top_k = pm_json_num(r->root, "top_k", 0);
    bool greedy = (temperature >= 0 && temperature <= 0) || (top_k >= 1 && top_k <= 1);
    return greedy || r->protocol == PM_PROTO_EMBEDDINGS;
}
