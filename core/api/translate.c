#include "core/api/translate.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

bool pm_api_translates(enum pm_protocol p)
{
    return p == PM_PROTO_CHAT || p == PM_PROTO_RESPONSES || p == PM_PROTO_MESSAGES;
}

static int read_canon(struct pm_canon *c, enum pm_protocol p, struct pm_error *err)
{
    return p == PM_PROTO_MESSAGES    ? pm_messages_read(c, err)
           : p == PM_PROTO_RESPONSES ? pm_responses_read(c, err)
                                     : pm_chat_read(c, err);
}

int pm_translate_request(const struct pm_api_request *r, enum pm_protocol to, const struct pm_codec_target *t,
                         struct pm_buf *out, struct pm_canon **request, struct pm_error *err)
{
    struct pm_canon *c = pm_canon_new();
    *request = c;
    c->tree = cJSON_ParseWithLength(r->body, r->len);
    int rc = c->tree ? read_canon(c, r->protocol, err)
                     : pm_error_set(err, PM_EINVAL, "the body has a string with a lone surrogate");
    if (rc < 0)
        return rc;
    pm_canon_order_results(c);
    pm_canon_fix_ids(c);
    pm_canon_name_tools(c);
    cJSON *body = to == PM_PROTO_MESSAGES    ? pm_messages_write(c, t, err)
                  : to == PM_PROTO_RESPONSES ? pm_responses_write(c, t, err)
                                             : pm_chat_write(c, t, err);
    if (!body)
        return PM_EINVAL;
    char *text = pm_json_text(body);
    rc = pm_buf_append(out, text, strlen(text));
    if (rc < 0)
        pm_error_set(err, (enum pm_err)rc, "the translated body passes the limit");
    free(text);
    cJSON_Delete(body);
    return rc;
}

static bool drop_thoughts(cJSON *content)
{
    bool dropped = false;
    for (cJSON *block = cJSON_IsArray(content) ? content->child : NULL, *next; block; block = next) {
        const char *type = pm_json_str(block, "type");
        next = block->next;
        if (!type || (strcmp(type, "thinking") != 0 && strcmp(type, "redacted_thinking") != 0))
            continue;
        cJSON_Delete(cJSON_DetachItemViaPointer(content, block));
        dropped = true;
    }
    return dropped;
}

bool pm_api_without_thoughts(const char *body, size_t len, struct pm_buf *out)
{
    cJSON *root = cJSON_ParseWithLength(body, len), *messages, *next;
    bool dropped = false;
    messages = cJSON_GetObjectItemCaseSensitive(root, "messages");
    for (cJSON *m = messages ? messages->child : NULL; m; m = next) {
        cJSON *content = cJSON_GetObjectItemCaseSensitive(m, "content");
        next = m->next;
        dropped |= drop_thoughts(content);
        if (cJSON_IsArray(content) && !content->child)
            cJSON_Delete(cJSON_DetachItemViaPointer(messages, m));
    }
    if (dropped) {
        /* Thinking would want the thoughts that were just taken out. */
        cJSON_DeleteItemFromObjectCaseSensitive(root, "thinking");
        cJSON_DeleteItemFromObjectCaseSensitive(root, "context_management");
        char *text = pm_json_text(root);
        pm_buf_add(out, text);
        free(text);
    }
    cJSON_Delete(root);
    return dropped;
}
