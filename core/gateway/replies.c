/* Replies that are made here. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/gateway/gateway_priv.h"

void pm_new_request_id(struct pm_gateway *g, char *out, size_t size)
{
    /* Unique and not guessable in sequence: a counter through a multiplication that can be undone. */
    uint64_t n = (g->request_base + ++g->requests) * 0x9e3779b97f4a7c15ULL;
    snprintf(out, size, "req_%016llx", (unsigned long long)n);
}

const char *pm_path_rest(const char *path)
{
    for (int i = 0; i < 2 && strncmp(path, "/v1/", 4) == 0; i++)
        path += 3;
    return path;
}

bool pm_path_is_anthropic(const struct pm_http_head *head)
{
    const char *rest = pm_path_rest(head->path);
    if (strcmp(rest, "/messages") == 0 || strncmp(rest, "/messages/", 10) == 0)
        return true;
    return strncmp(rest, "/models", 7) == 0 && pm_http_header(head, "anthropic-version") != NULL;
}

void pm_reply_standard_headers(struct pm_exchange *x, const char *id)
{
    char us[32];
    snprintf(us, sizeof(us), "%llu", (unsigned long long)(pm_clock_us() - pm_exchange_start_us(x)));
    pm_reply_header(x, "x-pointsman-request", id);
    pm_reply_header(x, "x-pointsman-route", "-");
    pm_reply_header(x, "x-pointsman-target", "-");
    pm_reply_header(x, "x-pointsman-reason", "answered by the gateway itself");
    pm_reply_header(x, "x-pointsman-attempts", "0");
    pm_reply_header(x, "x-pointsman-overhead-us", us);
}

void pm_reply_list_header(struct pm_exchange *x, const char *name, const struct pm_strv *items)
{
    struct pm_buf text;
    pm_buf_init(&text, 1024);
    for (size_t i = 0; i < items->n; i++)
        pm_buf_addf(&text, "%s%s", i ? ", " : "", items->items[i]);
    pm_reply_header(x, name, text.data);
    pm_buf_release(&text);
}

static void reply(struct pm_gateway *g, struct pm_exchange *x, int status, const char *type, const char *body,
                  size_t len)
{
    char id[32];
    pm_new_request_id(g, id, sizeof(id));
    pm_reply_standard_headers(x, id);
    pm_record_local(g, x, status);
    pm_reply(x, status, type, body, len);
}

void pm_reply_json(struct pm_gateway *g, struct pm_exchange *x, int status, cJSON *json)
{
    char *text = pm_json_text(json);
    reply(g, x, status, "application/json", text, strlen(text));
    free(text);
    cJSON_Delete(json);
}

void pm_reply_text(struct pm_gateway *g, struct pm_exchange *x, const char *type, const char *text)
{
    reply(g, x, 200, type, text, strlen(text));
}

void pm_reply_error(struct pm_gateway *g, struct pm_exchange *x, int status, const char *code, const char *fmt, ...)
{
    char message[1024], id[32];
    struct pm_buf body;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    pm_new_request_id(g, id, sizeof(id));
    pm_buf_init(&body, 16384);
    pm_api_error_body(pm_path_is_anthropic(pm_exchange_head(x)), status, code, message, id, &body);
    pm_reply_standard_headers(x, id);
    pm_record_local(g, x, status);
    pm_reply(x, status, "application/json", body.data, body.len);
    pm_buf_release(&body);
}
