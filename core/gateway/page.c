/* The page for people at /, with what it may do said in its headers. The files hold no secret: whoever gets them needs
 * a key for all that they show. */
#include <string.h>

#include "core/gateway/gateway_priv.h"
#include "core/web/web.h"

static void send_file(struct pm_gateway *g, struct pm_exchange *x, const struct pm_web_file *file)
{
    const char *known = pm_http_header(pm_exchange_head(x), "if-none-match");
    bool same = known && strstr(known, file->etag);
    char id[32];
    pm_new_request_id(g, id, sizeof(id));
    pm_reply_standard_headers(x, id);
    /* Nothing from elsewhere, no inline code, in nobody's frame. */
    pm_reply_header(x, "Content-Security-Policy",
                    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
                    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    pm_reply_header(x, "X-Content-Type-Options", "nosniff");
    pm_reply_header(x, "Referrer-Policy", "no-referrer");
    pm_reply_header(x, "Cross-Origin-Opener-Policy", "same-origin");
    pm_reply_header(x, "Cache-Control", "no-cache");
    pm_reply_header(x, "ETag", file->etag);
    pm_record_local(g, x, same ? 304 : 200);
    pm_reply(x, same ? 304 : 200, file->type, file->data, same ? 0 : file->len);
}

void pm_answer_page(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    (void)rest;
    send_file(g, x, pm_web_file("index.html"));
}

void pm_answer_page_file(struct pm_gateway *g, struct pm_exchange *x, const char *rest)
{
    const struct pm_web_file *file = pm_web_file(rest);
    if (file)
        send_file(g, x, file);
    else
        pm_reply_error(g, x, 404, NULL, "the page has no file %.100s", rest);
}
