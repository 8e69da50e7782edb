#include "core/api/voice.h"

#include <stdlib.h>
#include <string.h>

/* --- signs of life --- */

static void add_response_event(struct pm_buf *out, const char *type, unsigned sequence,
                               const struct pm_api_identity *who, const char *status)
{
    pm_buf_addf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%u,\"response\":{\"id\":", type, type,
                sequence);
    pm_json_quote(out, who->response_id, strlen(who->response_id));
    pm_buf_addf(out, ",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\",\"model\":", who->created,
                status);
    pm_json_quote(out, who->model, strlen(who->model));
    pm_buf_add(out, ",\"output\":[],\"incomplete_details\":null,\"usage\":null,\"error\":");
}

static void add_chunk(struct pm_buf *out, const char *object, const struct pm_api_identity *who)
{
    pm_buf_add(out, "data: {\"id\":");
    pm_json_quote(out, who->response_id, strlen(who->response_id));
    pm_buf_addf(out, ",\"object\":\"%s\",\"created\":%lld,\"model\":", object, who->created);
    pm_json_quote(out, who->model, strlen(who->model));
    pm_buf_add(out, ",\"choices\":[]}\n\n");
}

char *pm_api_ping_event(enum pm_protocol p, const struct pm_api_identity *who, unsigned n)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    switch (p) {
    case PM_PROTO_CHAT:
        add_chunk(&out, "chat.completion.chunk", who);
        break;
    case PM_PROTO_COMPLETIONS:
        add_chunk(&out, "text_completion", who);
        break;
    case PM_PROTO_RESPONSES:
        /* The answerer's own numbers go on from 2: it says these two as well, and they are taken out. */
        if (!n) {
            add_response_event(&out, "response.created", 0, who, "in_progress");
            pm_buf_add(&out, "null}}\n\n");
        }
        add_response_event(&out, "response.in_progress", 1, who, "in_progress");
        pm_buf_add(&out, "null}}\n\n");
        break;
    case PM_PROTO_MESSAGES:
        pm_buf_add(&out, "event: ping\ndata: {\"type\": \"ping\"}\n\n");
        break;
    default:
        return NULL;
    }
    return pm_buf_take(&out);
}

/* --- ends --- */

char *pm_api_cut_event(enum pm_protocol p, const struct pm_api_identity *who, const char *message)
{
    struct pm_buf out;
    if (p != PM_PROTO_MESSAGES && p != PM_PROTO_RESPONSES)
        return NULL;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    if (p == PM_PROTO_MESSAGES) {
        pm_buf_add(&out, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":");
        pm_json_quote(&out, message, strlen(message));
        pm_buf_add(&out, "}}\n\n");
    } else {
        add_response_event(&out, "response.failed", who->sequence, who, "failed");
        pm_buf_add(&out, "{\"code\":\"server_error\",\"message\":");
        pm_json_quote(&out, message, strlen(message));
        pm_buf_add(&out, "}}}\n\n");
    }
    return pm_buf_take(&out);
}

char *pm_api_error_chunk(const char *message)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    pm_buf_add(&out, "data: {\"error\":{\"message\":");
    pm_json_quote(&out, message, strlen(message));
    pm_buf_add(&out, ",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n");
    return pm_buf_take(&out);
}

/* --- one identity --- */

/* The first place of `what` within [at, end), or NULL. */
static const char *find(const char *at, const char *end, const char *what)
{
    return at < end ? memmem(at, (size_t)(end - at), what, strlen(what)) : NULL;
}

/* Past blanks. */
static const char *skip(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

/* Is the first `"type"` of the event that of an opening? */
static bool is_opening(const char *at, const char *end)
{
    static const char *const types[] = {"\"response.created\"", "\"response.in_progress\""};
    const char *type = find(at, end, "\"type\":");
    if (!type)
        return false;
    type = skip(type + strlen("\"type\":"), end);
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if ((size_t)(end - type) > strlen(types[i]) && strncmp(type, types[i], strlen(types[i])) == 0)
            return true;
    return false;
}

/* Behind the blank line that ends the event at `at`. */
static const char *event_end(const char *at, const char *end)
{
    const char *lf = find(at, end, "\n\n"), *crlf = find(at, end, "\r\n\r\n");
    if (crlf && (!lf || crlf < lf))
        return crlf + 4;
    return lf ? lf + 2 : end;
}

void pm_api_drop_openings(struct pm_buf *events)
{
    struct pm_buf kept;
    pm_buf_init(&kept, events->limit);
    for (const char *at = events->data, *end = at + events->len; at < end;) {
        const char *next = event_end(at, end);
        if (!is_opening(at, next))
            pm_buf_addn(&kept, at, (size_t)(next - at));
        at = next;
    }
    pm_buf_release(events);
    *events = kept;
}

bool pm_api_response_id(const char *data, size_t len, char *out, size_t size)
{
    struct pm_error err;
    cJSON *root = find(data, data + len, "\"response\"") ? pm_json_parse(data, len, &err) : NULL;
    const char *id = pm_json_str(pm_json_get(root, "response"), "id");
    bool ok = id && *id && strlen(id) < size;
    if (ok)
        memcpy(out, id, strlen(id) + 1);
    cJSON_Delete(root);
    return ok;
}

void pm_api_rename_response(struct pm_buf *events, size_t from, const char *old, const char *fresh)
{
    struct pm_buf out, quoted;
    pm_buf_init(&quoted, 4096);
    pm_json_quote(&quoted, old, strlen(old));
    if (!find(events->data + from, events->data + events->len, quoted.data)) {
        pm_buf_release(&quoted);
        return;
    }
    pm_buf_init(&out, events->limit);
    pm_buf_addn(&out, events->data, from);
    for (const char *at = events->data + from, *end = events->data + events->len; at < end;) {
        const char *hit = find(at, end, quoted.data);
        pm_buf_addn(&out, at, (size_t)((hit ? hit : end) - at));
        if (!hit)
            break;
        pm_json_quote(&out, fresh, strlen(fresh));
        at = hit + quoted.len;
    }
    pm_buf_release(&quoted);
    pm_buf_release(events);
    *events = out;
}
