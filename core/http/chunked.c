/* Chunked bodies (RFC 9112, 7.1). Extensions are read over, trailers are dropped, both within limits. */
#include <string.h>

#include "core/http/parse.h"

enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_NAME, TRAILER_VALUE, TRAILER_LF, END };
enum { LINE_MAX_BYTES = 4096, TRAILERS_MAX_BYTES = 65536, SIZE_DIGITS_MAX = 15 };

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int size_byte(struct pm_chunked *c, char byte)
{
    int digit = hex_value(byte);
    if (digit >= 0) {
        if (++c->digits > SIZE_DIGITS_MAX)
            return -413;
        c->left = c->left * 16 + (uint64_t)digit;
        return 0;
    }
    if (!c->digits)
        return -400;
    if (byte == ';')
        c->state = EXTENSION;
    else if (byte == '\r')
        c->state = SIZE_LF;
    else
        return -400;
    return 0;
}

/* Trailers are dropped, but they must be header lines: another reader may take them for such. */
static int trailer_byte(struct pm_chunked *c, char byte)
{
    if (++c->trailers > TRAILERS_MAX_BYTES)
        return -431;
    if (c->state != TRAILER_NAME && byte == '\r') {
        c->state = TRAILER_LF;
        return 0;
    }
    if (c->state == TRAILER_VALUE)
        return pm_http_is_value((unsigned char)byte) ? 0 : -400;
    if (c->state == TRAILER_NAME && byte == ':') {
        c->state = TRAILER_VALUE;
        return 0;
    }
    c->state = TRAILER_NAME;
    c->line++;
    return pm_http_is_token((unsigned char)byte) ? 0 : -400;
}

static int control_byte(struct pm_chunked *c, char byte)
{
    switch (c->state) {
    case SIZE:
        return size_byte(c, byte);
    case EXTENSION:
        if (byte == '\r')
            c->state = SIZE_LF;
        else if (!pm_http_is_value((unsigned char)byte) || ++c->line > LINE_MAX_BYTES)
            return -400;
        return 0;
    case SIZE_LF:
        if (byte != '\n')
            return -400;
        c->state = c->left ? DATA : TRAILER;
        c->line = c->digits = 0;
        return 0;
    case DATA_CR:
        c->state = DATA_LF;
        return byte == '\r' ? 0 : -400;
    case DATA_LF:
        c->state = SIZE;
        return byte == '\n' ? 0 : -400;
    case TRAILER:
    case TRAILER_NAME:
    case TRAILER_VALUE:
        return trailer_byte(c, byte);
    case TRAILER_LF:
        if (byte != '\n')
            return -400;
        c->state = c->line ? TRAILER : END;
        c->line = 0;
        return ++c->trailer_lines > PM_HTTP_HEADERS_MAX ? -400 : 0;
    default:
        return -400;
    }
}

int pm_chunked_feed(struct pm_chunked *c, const char *in, size_t len, size_t *used, struct pm_buf *out)
{
    size_t i = 0;
    int rc = 0;
    while (i < len && rc == 0 && c->state != END) {
        if (c->state != DATA) {
            rc = control_byte(c, in[i++]);
            /* A size that cannot fit is refused at once, not after its bytes have come. */
            if (c->state == DATA && c->left > out->limit - out->len)
                rc = -413;
            continue;
        }
        size_t n = len - i < c->left ? len - i : (size_t)c->left;
        if (pm_buf_append(out, in + i, n) < 0)
            rc = -413;
        i += n;
        c->left -= n;
        if (!c->left)
            c->state = DATA_CR;
    }
    *used = i;
    if (rc < 0)
        return rc;
    return c->state == END;
}
