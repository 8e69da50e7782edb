/* Chunked bodies (RFC 9112, 7.1). Extensions are read over, trailers are dropped, both within limits. */
#include <string.h>

#include "core/http/parse.h"

enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LF, END };
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

static int control_byte(struct pm_chunked *c, char byte)
{
    switch (c->state) {
    case SIZE:
        return size_byte(c, byte);
    case EXTENSION:
        if (byte == '\r')
            c->state = SIZE_LF;
        else if (((unsigned char)byte < ' ' && byte != '\t') || ++c->line > LINE_MAX_BYTES)
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
        if (byte == '\r')
            c->state = TRAILER_LF;
        else if (((unsigned char)byte < ' ' && byte != '\t') || ++c->trailers > TRAILERS_MAX_BYTES)
            return -400;
        else
            c->line++;
        return 0;
    case TRAILER_LF:
        if (byte != '\n')
            return -400;
        c->state = c->line ? TRAILER : END;
        c->line = 0;
        return 0;
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
