/* JSON: whatever the scan accepts, cJSON reads, and both see the same members; whatever is quoted reads back. */
#include "core/base/json.h"
#include "core/base/text.h"
#include "tests/fuzz/fuzz.h"

/* A half of a surrogate pair may be named in a string, by RFC 8259; cJSON does not read such strings. */
static int names_a_surrogate(const char *text, size_t len)
{
    for (size_t i = 0; i + 3 < len; i++)
        if (text[i] == '\\' && text[i + 1] == 'u' && (text[i + 2] | 0x20) == 'd' &&
            strchr("89abcdefABCDEF", text[i + 3]))
            return 1;
    return 0;
}

static void check_member(const char *text, const struct pm_json_member *m, const cJSON *item)
{
    CHECK(text[m->key - 1] == '"' && text[m->key + m->key_len] == '"', "a key is not between quotes");
    CHECK(m->value > m->key + m->key_len && m->value_len, "a value is not after its key");
    char *value = fuzz_copy(text + m->value, m->value_len, 0);
    CHECK(pm_json_scan(value, m->value_len, NULL, NULL) == PM_OK, "a member's value is no JSON value by itself");
    if (!memchr(text + m->key, '\\', m->key_len))
        CHECK(strlen(item->string) == m->key_len && memcmp(item->string, text + m->key, m->key_len) == 0,
              "cJSON sees the key %s", item->string);
    cJSON *alone = cJSON_ParseWithLength(value, m->value_len);
    CHECK(alone, "a member's value cannot be parsed by itself");
    char *inside = pm_json_text(item), *outside = pm_json_text(alone);
    CHECK(strcmp(inside, outside) == 0, "the value of %s is another one by itself: %s", item->string, outside);
    free(inside);
    free(outside);
    cJSON_Delete(alone);
    free(value);
}

static void count_element(void *arg, char first, const struct pm_json_value *values)
{
    (void)values;
    CHECK(strchr("{[\"tfn-0123456789", first), "an element begins with %c", first);
    ++*(int *)arg;
}

static void check_array(const char *text, size_t len, const cJSON *array)
{
    static const char *const keys[] = {"role", "content", "type", "output"};
    int n = 0;
    pm_json_each(text, len, keys, 4, count_element, &n);
    CHECK(n == cJSON_GetArraySize(array), "%d elements, cJSON sees %d", n, cJSON_GetArraySize(array));
}

static void check_accepted(const char *text, size_t len, const struct pm_json_spans *spans)
{
    cJSON *root = cJSON_ParseWithLength(text, len);
    if (!root) {
        CHECK(names_a_surrogate(text, len), "accepted, but cJSON cannot read it");
        return;
    }
    if (cJSON_IsObject(root)) {
        const cJSON *item = root->child;
        CHECK(cJSON_GetArraySize(root) == (int)spans->n, "%zu members, cJSON sees %d", spans->n,
              cJSON_GetArraySize(root));
        for (size_t i = 0; i < spans->n; i++, item = item->next)
            check_member(text, &spans->members[i], item);
    } else {
        CHECK(spans->n == 0, "members, but no object");
        if (cJSON_IsArray(root))
            check_array(text, len, root);
    }
    char *printed = pm_json_text(root);
    CHECK(pm_json_scan(printed, strlen(printed), NULL, NULL) == PM_OK, "printed again, it is refused: %s", printed);
    free(printed);
    cJSON_Delete(root);
}

static void check_quote(const char *text, size_t len)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    pm_json_quote(&out, text, len);
    CHECK(pm_json_scan(out.data, out.len, NULL, NULL) == PM_OK, "a quoted text is refused: %s", out.data);
    if (pm_utf8_bad(text, len) < 0 && !memchr(text, 0, len)) {
        cJSON *item = cJSON_ParseWithLength(out.data, out.len);
        CHECK(cJSON_IsString(item), "a quoted text is no string");
        CHECK(strlen(item->valuestring) == len && memcmp(item->valuestring, text, len) == 0,
              "quoted, the text changes");
        cJSON_Delete(item);
    }
    pm_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    static struct pm_json_spans spans;
    struct pm_error err = {0};
    if (pm_json_scan(text, size, &spans, &err) == PM_OK)
        check_accepted(text, size, &spans);
    else
        CHECK(err.code < 0 && *err.msg, "refused without a word");
    check_quote(text, size);
    return 0;
}
