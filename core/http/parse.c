#include "core/http/parse.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *const method_names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
enum { METHODS = sizeof(method_names) / sizeof(*method_names) };

bool pm_http_is_token(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool pm_http_is_value(unsigned char c)
{
    return (c >= ' ' && c != 0x7f) || c == '\t';
}

size_t pm_http_head_length(const char *text, size_t len, size_t from)
{
    from = from > 3 ? from - 3 : 0;
    const char *end = memmem(text + from, len - from, "\r\n\r\n", 4);
    if (end)
        return (size_t)(end - text) + 4;
    /* A bare line feed will be refused: do not wait for an end that may never come. */
    for (const char *p = text + from; (p = memchr(p, '\n', len - (size_t)(p - text))); p++)
        if (p == text || p[-1] != '\r')
            return (size_t)(p - text) + 1;
    return 0;
}

static int refuse(const char **why, int status, const char *text)
{
    *why = text;
    return status;
}

static int parse_method(const char *word, size_t len, struct pm_http_head *head, const char **why)
{
    for (int i = 0; i < METHODS; i++) {
        if (strlen(method_names[i]) == len && memcmp(word, method_names[i], len) == 0) {
            head->method = (enum pm_http_method)i;
            return 0;
        }
    }
    for (size_t i = 0; i < len; i++)
        if (!pm_http_is_token((unsigned char)word[i]))
            return refuse(why, 400, "the method is not a token");
    return refuse(why, len ? 501 : 400, "the method is not known here");
}

static int parse_target(char *target, size_t len, struct pm_http_head *head, const char **why)
{
    if (len > PM_HTTP_TARGET_MAX)
        return refuse(why, 414, "the request target is too long");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)target[i] <= ' ' || (unsigned char)target[i] >= 0x7f)
            return refuse(why, 400, "a character in the request target must be percent-encoded");
    if (!len || *target != '/')
        return refuse(why, 400, "the request target must begin with /");
    target[len] = 0;
    char *query = strchr(target, '?');
    head->path = target;
    head->query = query ? query + 1 : target + len;
    if (query)
        *query = 0;
    return 0;
}

static int parse_version(const char *v, size_t len, struct pm_http_head *head, const char **why)
{
    if (len != 8 || memcmp(v, "HTTP/", 5) != 0 || v[6] != '.' || v[5] < '0' || v[5] > '9' || v[7] < '0' || v[7] > '9')
        return refuse(why, 400, "the request line does not end in HTTP/1.1");
    if (v[5] != '1' || v[7] > '1')
        return refuse(why, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    head->minor = v[7] - '0';
    return 0;
}

static int parse_request_line(char *line, size_t len, struct pm_http_head *head, const char **why)
{
    char *sp1 = memchr(line, ' ', len);
    char *sp2 = sp1 ? memchr(sp1 + 1, ' ', len - (size_t)(sp1 + 1 - line)) : NULL;
    if (!sp2)
        return refuse(why, 400, "a request line is `METHOD /path HTTP/1.1`");
    int status = parse_method(line, (size_t)(sp1 - line), head, why);
    if (status)
        return status;
    /* The version before the target, which is cut up: a later fault must still find its path. */
    if ((status = parse_version(sp2 + 1, len - (size_t)(sp2 + 1 - line), head, why)))
        return status;
    return parse_target(sp1 + 1, (size_t)(sp2 - sp1 - 1), head, why);
}

static int parse_header_line(char *line, size_t len, struct pm_http_head *head, const char **why)
{
    if (head->n_headers == PM_HTTP_HEADERS_MAX)
        return refuse(why, 431, "too many headers");
    if (*line == ' ' || *line == '\t')
        return refuse(why, 400, "a folded header line");
    size_t name = 0;
    while (name < len && pm_http_is_token((unsigned char)line[name]))
        name++;
    if (!name || name == len || line[name] != ':')
        return refuse(why, 400, "a header line is `name: value`, without a blank before the colon");
    char *value = line + name + 1;
    char *end = line + len;
    for (const char *p = value; p < end; p++)
        if (!pm_http_is_value((unsigned char)*p))
            return refuse(why, 400, "a control character in a header");
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    line[name] = 0;
    *end = 0;
    head->headers[head->n_headers++] = (struct pm_http_header){.name = line, .value = value};
    return 0;
}

static int parse_length(const char *value, struct pm_http_head *head, const char **why)
{
    if (head->has_length)
        return refuse(why, 400, "Content-Length stands twice");
    head->has_length = true;
    if (!*value)
        return refuse(why, 400, "Content-Length is not a number");
    for (const char *p = value; *p; p++) {
        if (*p < '0' || *p > '9')
            return refuse(why, 400, "Content-Length is not a number");
        if (head->length > (UINT64_MAX - 9) / 10)
            return refuse(why, 413, "the body is too large");
        head->length = head->length * 10 + (uint64_t)(*p - '0');
    }
    return 0;
}

static bool has_token(const char *list, const char *token)
{
    size_t n = strlen(token);
    while (*list) {
        list += strspn(list, ", \t");
        size_t len = strcspn(list, ", \t");
        if (len == n && strncasecmp(list, token, n) == 0)
            return true;
        list += len;
    }
    return false;
}

/* RFC 3986, 3.2.2 and 3.2.3, without user information; empty where the target has no authority. */
static bool is_host(const char *value)
{
    const char *p = value;
    if (*p == '[') {
        p += 1 + strspn(p + 1, "0123456789abcdefABCDEF:.");
        if (*p++ != ']')
            return false;
    } else {
        while (*p && (isalnum((unsigned char)*p) || strchr("-._~%!$&'()*+;=", *p)))
            p++;
    }
    if (*p == ':')
        p += 1 + strspn(p + 1, "0123456789");
    return !*p;
}

/* The headers that decide where this request ends and the next one begins. */
static int apply_header(const struct pm_http_header *h, struct pm_http_head *head, unsigned *hosts, const char **why)
{
    if (strcasecmp(h->name, "content-length") == 0)
        return parse_length(h->value, head, why);
    if (strcasecmp(h->name, "transfer-encoding") == 0) {
        if (head->chunked || strcasecmp(h->value, "chunked") != 0)
            return refuse(why, 501, "the only transfer coding known here is `chunked`, once");
        if (head->minor == 0)
            return refuse(why, 400, "Transfer-Encoding in HTTP/1.0");
        head->chunked = true;
    } else if (strcasecmp(h->name, "host") == 0) {
        if (++*hosts > 1)
            return refuse(why, 400, "Host stands twice");
        if (!is_host(h->value))
            return refuse(why, 400, "Host is not a name or an address with an optional port");
    } else if (strcasecmp(h->name, "connection") == 0) {
        /* Once said, `close` holds, whatever another Connection line says. */
        if (has_token(h->value, "close"))
            head->says_close = true;
        else if (head->minor == 0 && has_token(h->value, "keep-alive"))
            head->keep_alive = true;
    } else if (strcasecmp(h->name, "expect") == 0) {
        if (strcasecmp(h->value, "100-continue") != 0)
            return refuse(why, 417, "the only expectation known here is 100-continue");
        head->expect_continue = head->minor == 1;
    }
    return 0;
}

int pm_http_parse_head(char *text, size_t len, struct pm_http_head *head, const char **why)
{
    unsigned hosts = 0;
    int status = 0;
    bool first = true;
    *head = (struct pm_http_head){.path = "", .query = ""};
    for (size_t at = 0; at < len && !status;) {
        char *line = text + at;
        char *lf = memchr(line, '\n', len - at);
        if (!lf || lf == line || lf[-1] != '\r')
            return refuse(why, 400, "a line that does not end in CR LF");
        size_t line_len = (size_t)(lf - 1 - line);
        at += line_len + 2;
        if (first)
            status = parse_request_line(line, line_len, head, why);
        else if (!line_len)
            break;
        else
            status = parse_header_line(line, line_len, head, why);
        if (first)
            head->keep_alive = head->minor == 1;
        first = false;
    }
    for (size_t i = 0; i < head->n_headers && !status; i++)
        status = apply_header(&head->headers[i], head, &hosts, why);
    if (status)
        return status;
    head->keep_alive &= !head->says_close;
    if (head->minor == 1 && !hosts)
        return refuse(why, 400, "no Host header");
    if (head->chunked && head->has_length)
        return refuse(why, 400, "Content-Length and Transfer-Encoding together");
    return 0;
}

const char *pm_http_header(const struct pm_http_head *head, const char *name)
{
    for (size_t i = 0; i < head->n_headers; i++)
        if (strcasecmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    return NULL;
}

const char *pm_http_method_name(enum pm_http_method method)
{
    return method_names[method];
}

const char *pm_http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {{200, "OK"},
                 {202, "Accepted"},
                 {204, "No Content"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {408, "Request Timeout"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {415, "Unsupported Media Type"},
                 {417, "Expectation Failed"},
                 {422, "Unprocessable Content"},
                 {426, "Upgrade Required"},
                 {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {502, "Bad Gateway"},
                 {503, "Service Unavailable"},
                 {504, "Gateway Timeout"},
                 {505, "HTTP Version Not Supported"},
                 {529, "Overloaded"}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}
