"""Ways to spoil a request's framing: a function each that edits a Request or returns raw bytes."""

from http_requests import chunk, spoil_bytes

LENGTHS = [b"+%d", b"-%d", b" %d", b"%d ", b"\t%d\t", b"0%d", b"000000000000000000000%d", b"0x%x",
           b"%d,%d", b"%d, %d", b"%d.0", b"%de0", b"%d;a", b"\x0b%d", b"%d\x0b", b"%d\0",
           b"\"%d\"", b"%d %d", b"", b"%d\r", b"1844674407370955%d", b"42949672%d", b"%d\xa0",
           b"\xef\xbc\x95"]
CODINGS = [b"chunked", b"Chunked", b"CHUNKED", b" chunked ", b"\tchunked", b"xchunked",
           b"chunkedx", b"x", b"chunked, chunked", b"gzip, chunked", b"chunked, gzip", b"identity",
           b"identity, chunked", b"", b"chunked;q=1", b"\"chunked\"", b",chunked", b"chunked,",
           b"chun ked", b"\x0bchunked", b"chunked\0", b"chunked\x0b", b"c\xebhunked", b"chunked\r",
           b"trailers"]
NAMES = [b"Content-Length ", b"Content-Length\t", b" Content-Length", b"Content_Length",
         b"Content-Length\0", b"content-length", b"CONTENT-LENGTH", b"Content-Lengt\xe8",
         b"Content-Length:", b"X\r\nContent-Length", b"Transfer-Encoding", b"Transfer-Encoding ",
         b"X", b"", b"Content-Length\x0b", b"X\nContent-Length"]
SIZES = [b"0x%x", b"+%x", b"-%x", b" %x", b"%x ", b"%x\t", b"0%x", b"00000000000000000%x", b"%x;",
         b"%x;a", b"%x;a=b", b"%x ;a=b", b"%x; a = b", b"%x;a=\"b\\\"c\"", b"%x;a\nb", b"%x;a\rb",
         b"%x\r", b"%xg", b"", b"1000000000000000%x", b"10000000%x", b"%x,%x", b"%x\0", b"%x;\0",
         b"%x;\xff", b"%x %x", b"%x\x0b"]
LINE_ENDS = [b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b"\r\n\r\n", b"\r\n ", b"\r\n\t", b" \r\n",
             b"\0\r\n", b"\x0b\r\n", b"\r\n\0"]
TRAILERS = [b"", b"X: y\r\n", b"X: y\r\nZ: w\r\n", b"X : y\r\n", b"Content-Length: 9\r\n",
            b"nothing\r\n", b"Transfer-Encoding: chunked\r\n", b" X: y\r\n", b"X: y\n",
            b"X: y\r\n z\r\n", b": v\r\n", b"X:\0\r\n", b"Host: evil\r\n", b"X: y\r", b"\n",
            b"\xff: a\r\n"]
LINES = [b"%s %s HTTP/1.0", b"%s %s HTTP/1.2", b"%s  %s HTTP/1.1", b"%s %s  HTTP/1.1", b"%s %s",
         b" %s %s HTTP/1.1", b"%s\t%s HTTP/1.1", b"%s %s HTTP/1.1 ", b"%s %s http/1.1",
         b"%s %s HTTP/2.0", b"%s %s HTTP/1.1\r", b"%s %s HTTP/1.1\0", b"%s http://t%s HTTP/1.1",
         b"%s %s#x HTTP/1.1", b"%s %s\xe9 HTTP/1.1", b"%s:%s HTTP/1.1", b"%s %s HTTP/1.10",
         b"%s %s HTTP/11", b"%s %s?a b HTTP/1.1", b"%s %s HTTP/1.1\nX: y", b"%s\0 %s HTTP/1.1",
         b"\r\n%s %s HTTP/1.1", b"\n%s %s HTTP/1.1", b"\r\n\r\n%s %s HTTP/1.1",
         b"\r%s %s HTTP/1.1"]
HOSTS = [b"", b"a", b"a:80", b"a b", b"a/b", b"a, b", b"[::1]", b"u@a", b"a\x7f", b"a\tb", b"\xe9",
         b"a?b", b"a#b"]
EXTRA = [b"X:y", b"X:", b"X: \t", b"X: a\tb", b"X: a\0b", b"X: a\rb", b"X: a\nb", b"X: a\x7fb",
         b"X: \xff", b"X a: y", b"nothing", b": v", b"X\xff: y", b" folded", b"X: y\r\n\tz",
         b"Connection: close", b"Connection: keep-alive", b"Connection: upgrade",
         b"Expect: 100-continue", b"Expect: x", b"Host: b", b"TE: trailers", b"Trailer: X",
         b"X(y): z", b"X: " + b"a" * 20000, b"Keep-Alive: timeout=5"]


def fill(pattern, number):
    """A pattern with its one or more placeholders filled."""
    count = pattern.count(b"%d") + pattern.count(b"%x")
    return pattern % ((number,) * count) if count else pattern


def framing_line(request, name):
    for at, line in enumerate(request.head_lines()):
        if line.lower().startswith(name):
            return at
    return None


def length_value(rng, request):
    at = framing_line(request, b"content-length")
    value = fill(rng.choice(LENGTHS), len(request.body))
    if at is None:
        request.lines.append(b"Content-Length: " + value)
    else:
        request.lines[at] = b"Content-Length: " + value


def length_wrong(rng, request):
    at = framing_line(request, b"content-length")
    if at is not None:
        size = max(0, len(request.body) + rng.choice((-7, -2, -1, 1, 2, 30)))
        request.lines[at] = b"Content-Length: %d" % size


def length_second(rng, request):
    size = rng.choice((len(request.body), 0, 5, len(request.body) + 1))
    at = rng.randrange(len(request.head_lines()) + 1)
    request.lines.insert(at, b"Content-Length: %d" % size)


def framing_name(rng, request):
    at = framing_line(request, b"content-length")
    if at is not None:
        request.lines[at] = rng.choice(NAMES) + b": %d" % len(request.body)


def coding_value(rng, request):
    to_chunks(request)
    at = framing_line(request, b"transfer-encoding")
    request.lines[at] = b"Transfer-Encoding: " + rng.choice(CODINGS)


def coding_name(rng, request):
    to_chunks(request)
    at = framing_line(request, b"transfer-encoding")
    name = rng.choice((b"Transfer-Encoding ", b"Transfer_Encoding", b" Transfer-Encoding",
                       b"transfer-encoding", b"X: y\nTransfer-Encoding", b"Transfer-Encoding\0",
                       b"Transfer-Encoding\x0b", b"X: y\rTransfer-Encoding",
                       b"Transfer\r\n -Encoding"))
    request.lines[at] = name + b": chunked"


def coding_second(rng, request):
    at = rng.randrange(len(request.head_lines()) + 1)
    request.lines.insert(at, b"Transfer-Encoding: " + rng.choice(CODINGS))


def to_chunks(request):
    """Makes a chunked request of one with a length."""
    if request.chunks is None:
        at = framing_line(request, b"content-length")
        request.chunks = [chunk(request.body)] if request.body else []
        if at is not None:
            del request.lines[at]
    if framing_line(request, b"transfer-encoding") is None:
        request.lines.append(b"Transfer-Encoding: chunked")


def chunk_size(rng, request):
    to_chunks(request)
    data = request.body or b"hello"
    request.chunks = [fill(rng.choice(SIZES), len(data)) + b"\r\n" + data + b"\r\n"]


def chunk_end(rng, request):
    to_chunks(request)
    data = request.body or b"hello"
    first, second = rng.choice(((b"\r\n", 0), (0, b"\r\n")))
    request.chunks = [b"%x" % len(data) + (first or rng.choice(LINE_ENDS)) + data
                      + (second or rng.choice(LINE_ENDS))]


def last_chunk(rng, request):
    to_chunks(request)
    last = rng.choice((b"0", b"00", b"0;a=b", b"", b"0 ", b"-0", b"+0", b"0x0", b"0\r", b"0;\n"))
    end = rng.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""))
    tail = last + end + rng.choice(TRAILERS) + rng.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b""))
    request.chunked = lambda: b"".join(request.chunks) + tail


def line_end(rng, request):
    """Another line end than CRLF after one of the head's lines."""
    raw = request.raw()
    head_end = raw.index(b"\r\n\r\n") + 4
    ends = [i for i in range(head_end) if raw[i:i + 2] == b"\r\n"]
    at = rng.choice(ends)
    return raw[:at] + rng.choice(LINE_ENDS) + raw[at + 2:]


def first_line(rng, request):
    raw = request.raw()
    rest = raw[raw.index(b"\r\n"):]
    return rng.choice(LINES) % (request.method, request.target) + rest


def method_word(rng, request):
    request.method = rng.choice((b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"get", b"BREW", b"G\0T",
                                 b"", b"GET,POST", b"PRI", b"TRACE", b"PROPFIND"))


def host_line(rng, request):
    at = framing_line(request, b"host")
    if at is None:
        return
    if rng.random() < 0.2:
        del request.lines[at]
    else:
        request.lines[at] = b"Host: " + rng.choice(HOSTS)


def extra_line(rng, request):
    at = rng.randrange(len(request.head_lines()) + 1)
    request.lines.insert(at, rng.choice(EXTRA))


def any_bytes(rng, request):
    return spoil_bytes(rng, request.raw(), rng.choice((1, 1, 1, 2, 5)))


def head_bytes(rng, request):
    raw = request.raw()
    end = raw.index(b"\r\n\r\n") + 4
    return spoil_bytes(rng, raw[:end]) + raw[end:]


KINDS = [length_value, length_wrong, length_second, framing_name, coding_value, coding_name,
         coding_second, chunk_size, chunk_end, last_chunk, line_end, first_line, method_word,
         host_line, extra_line, any_bytes, head_bytes]


def spoil(rng, request):
    """Spoils a request in one way, at times in two; returns its bytes and the names of the ways."""
    names = []
    for kind in rng.sample(KINDS, 2 if rng.random() < 0.25 else 1):
        names.append(kind.__name__)
        raw = kind(rng, request)
        if raw is not None:
            return raw, names
    return request.raw(), names
