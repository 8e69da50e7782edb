/* HTTP/1.1 requests, strictly (RFC 9112, RFC 9110). Pure: bytes in, structure or status out.
 *
 * Less is accepted than the RFCs allow, where leniency has let two parsers read one stream in two ways: CRLF
 * only, no folded headers, Content-Length once and in digits, Transfer-Encoding exactly `chunked` and never with
 * Content-Length, exactly one Host, origin-form targets.
 */
#ifndef PM_HTTP_PARSE_H
#define PM_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"

enum { PM_HTTP_HEADERS_MAX = 100, PM_HTTP_TARGET_MAX = 8192 };

enum pm_http_method {
    PM_HTTP_GET,
    PM_HTTP_HEAD,
    PM_HTTP_POST,
    PM_HTTP_PUT,
    PM_HTTP_DELETE,
    PM_HTTP_OPTIONS,
    PM_HTTP_PATCH
};

/* Name and value are NUL-terminated, inside the text that was parsed. */
struct pm_http_header {
    const char *name;
    const char *value;
};

struct pm_http_head {
    enum pm_http_method method;
    int minor;         /* of HTTP/1.x */
    const char *path;  /* without the query, as sent (not percent-decoded) */
    const char *query; /* after the `?`, or "" */
    struct pm_http_header headers[PM_HTTP_HEADERS_MAX];
    size_t n_headers;
    bool has_length, chunked, keep_alive, says_close, expect_continue;
    uint64_t length;
};

/* Length of the head at the start of `text`, its empty line included; 0 when it has not ended yet. `from` is
 * where an earlier look at a shorter text stopped. */
size_t pm_http_head_length(const char *text, size_t len, size_t from);

/* Parses a whole head and cuts `text` into strings, which `head` points into. 0, or the status to refuse with and
 * `why` set. */
int pm_http_parse_head(char *text, size_t len, struct pm_http_head *head, const char **why);

/* The first header of that name (any case), or NULL. */
const char *pm_http_header(const struct pm_http_head *head, const char *name);

/* May the byte stand in a header's name (RFC 9110, 5.6.2: tchar), in its value (5.5: visible, blank or obs-text)? */
bool pm_http_is_token(unsigned char c);
bool pm_http_is_value(unsigned char c);

const char *pm_http_method_name(enum pm_http_method method);
const char *pm_http_status_text(int status);

/* Decoder of a chunked body. Zero-initialised is the start. */
struct pm_chunked {
    int state;
    uint64_t left;
    unsigned digits;
    size_t line; /* bytes of the current size or trailer line */
    unsigned trailer_lines;
    size_t trailers; /* bytes of all trailer lines */
};

/* Decodes from `in` into `out`, up to the end of the body. 1 at the end, 0 when more is needed, else the negative
 * of the status to refuse with. `*used` bytes of `in` were consumed. */
int pm_chunked_feed(struct pm_chunked *c, const char *in, size_t len, size_t *used, struct pm_buf *out);

#endif
