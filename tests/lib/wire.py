"""A small HTTP/1.1 client on bare sockets, for tests that must see every byte.

http.client hides what these tests are about: whether a chunked body ended properly or was
cut, when the first byte came, and what happens to a client that leaves half way. Standard
library only.
"""

import json
import os
import socket
import struct
import time
from urllib.parse import urlsplit

DEADLINE = 60.0


class Truncated(Exception):
    """The peer closed before the message was complete."""


def free_port():
    """A TCP port of the loopback that nobody listens on right now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(cond, timeout=10.0, what="the condition", step=0.005):
    """Polls cond until it returns something true, and returns that."""
    end = time.monotonic() + timeout
    while True:
        value = cond()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"after {timeout} s still waiting for {what}")
        time.sleep(step)


class Event:
    """One server-sent event."""

    def __init__(self, name, data, comment=None):
        self.name = name
        self.data = data
        self.comment = comment

    @property
    def json(self):
        return json.loads(self.data)

    @property
    def done(self):
        return self.data == "[DONE]"

    def __repr__(self):
        return f"Event({self.name!r}, {self.data!r})"


class SseParser:
    """Bytes in, events out; comments are events with no data, so that tests can count them."""

    def __init__(self):
        self.buf = b""
        self.name = ""
        self.data = []

    def feed(self, chunk):
        self.buf += chunk
        out = []
        while b"\n" in self.buf:
            line, self.buf = self.buf.split(b"\n", 1)
            event = self._line(line.rstrip(b"\r").decode("utf-8"))
            if event:
                out.append(event)
        return out

    def _line(self, line):
        if not line:
            if not self.data:
                self.name = ""
                return None
            event = Event(self.name, "\n".join(self.data))
            self.name, self.data = "", []
            return event
        if line.startswith(":"):
            return Event("", None, line[1:].strip())
        field, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if field == "event":
            self.name = value
        elif field == "data":
            self.data.append(value)
        return None


def sse_events(data):
    """All events of a complete body, comments left out."""
    if isinstance(data, str):
        data = data.encode()
    parser = SseParser()
    return [e for e in parser.feed(data + b"\n\n") if e.comment is None]


class Reply:
    """A complete answer."""

    def __init__(self, status, headers, body, complete):
        self.status = status
        self.headers = headers
        self.body = body
        self.complete = complete

    def header(self, name, default=None):
        return header_of(self.headers, name, default)

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        return sse_events(self.body)

    def __repr__(self):
        return f"Reply({self.status}, {self.text[:400]!r})"


def header_of(headers, name, default=None):
    for key, value in headers:
        if key.lower() == name.lower():
            return value
    return default


class Exchange:
    """One request on a connection of its own, read at the test's pace."""

    def __init__(self, sock, method="GET", timeout=DEADLINE):
        self.sock = sock
        self.method = method
        self.timeout = timeout
        self.buf = b""
        self.status = None
        self.headers = []
        self.complete = False

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _fill(self):
        self.sock.settimeout(self.timeout)
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError as e:
            raise Truncated("connection reset") from e
        if not data:
            raise Truncated("connection closed")
        self.buf += data

    def _line(self):
        while b"\n" not in self.buf:
            self._fill()
        line, self.buf = self.buf.split(b"\n", 1)
        return line.rstrip(b"\r")

    def head(self):
        """Waits for status line and headers; interim 1xx answers are skipped."""
        while self.status is None or self.status // 100 == 1:
            first = self._line().decode("latin-1")
            parts = first.split(" ", 2)
            if not parts[0].startswith("HTTP/1.") or len(parts) < 2:
                raise AssertionError(f"not a status line: {first!r}")
            self.status = int(parts[1])
            self.headers = []
            while True:
                line = self._line()
                if not line:
                    break
                key, _, value = line.decode("latin-1").partition(":")
                self.headers.append((key.strip(), value.strip()))
            if self.status == 101:
                break
        return self

    def header(self, name, default=None):
        return header_of(self.headers, name, default)

    def pieces(self):
        """The body as it comes. Sets complete at its proper end, raises Truncated else."""
        if self.status is None:
            self.head()
        if self.method == "HEAD" or self.status in (101, 204, 304):
            self.complete = True
            return
        if "chunked" in (self.header("transfer-encoding") or "").lower():
            yield from self._chunked()
        elif self.header("content-length") is not None:
            yield from self._counted(int(self.header("content-length")))
        else:
            yield from self._to_eof()

    def _counted(self, left):
        while left:
            if not self.buf:
                self._fill()
            piece, self.buf = self.buf[:left], self.buf[left:]
            left -= len(piece)
            yield piece
        self.complete = True

    def _chunked(self):
        while True:
            size = int(self._line().split(b";")[0], 16)
            if size == 0:
                while self._line():
                    pass
                self.complete = True
                return
            yield from self._counted(size)
            self.complete = False
            if self._line():
                raise AssertionError("chunk longer than its size")

    def _to_eof(self):
        while True:
            if self.buf:
                piece, self.buf = self.buf, b""
                yield piece
            try:
                self._fill()
            except Truncated:
                self.complete = True
                return

    def events(self, comments=False):
        """Server-sent events as they come; Truncated if the stream is cut."""
        parser = SseParser()
        for piece in self.pieces():
            for event in parser.feed(piece):
                if comments or event.comment is None:
                    yield event

    def read(self):
        """The whole answer; a cut one comes back with complete False."""
        body = b""
        try:
            if self.status is None:
                self.head()
        except Truncated:
            return Reply(None, [], b"", False)
        try:
            for piece in self.pieces():
                body += piece
        except Truncated:
            pass
        return Reply(self.status, self.headers, body, self.complete)

    def reset(self):
        """Leaves the rude way: the peer sees a reset, not an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.sock.close()


def connect(address, timeout=DEADLINE):
    """address: (host, port), a http://host:port URL, or the path of a unix socket."""
    if isinstance(address, str) and address.startswith("http"):
        parts = urlsplit(address)
        address = (parts.hostname, parts.port)
    if isinstance(address, tuple):
        return socket.create_connection(address, timeout)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(os.fspath(address))
    return sock


def encode(method, path, body=None, headers=None, host="127.0.0.1"):
    """The bytes of a request. A body that is no bytes or str is sent as JSON."""
    given = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
    names = {key.lower() for key, _ in given}
    if body is not None and not isinstance(body, (bytes, str)):
        body = json.dumps(body, ensure_ascii=False)
    if isinstance(body, str):
        body = body.encode("utf-8")
    if "host" not in names:
        given.insert(0, ("Host", host))
    if body is not None and "content-type" not in names:
        given.append(("Content-Type", "application/json"))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        given.append(("Content-Length", str(len(body))))
    lines = [f"{method} {path} HTTP/1.1"] + [f"{key}: {value}" for key, value in given]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def open_request(address, method, path, body=None, headers=None, timeout=DEADLINE):
    """Sends a request and returns at once; the caller reads, or leaves."""
    sock = connect(address, timeout)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    exchange = Exchange(sock, method, timeout)
    try:
        sock.sendall(encode(method, path, body, headers))
    except (BrokenPipeError, ConnectionResetError):
        # a server may refuse a body while it is still being sent: its answer still counts
        pass
    return exchange


def request(address, method, path, body=None, headers=None, timeout=DEADLINE):
    """Sends a request and reads the whole answer."""
    with open_request(address, method, path, body, headers, timeout) as exchange:
        return exchange.read()


def raw(address, data, timeout=DEADLINE):
    """Sends bytes as they are and reads one answer."""
    sock = connect(address, timeout)
    with Exchange(sock, "GET", timeout) as exchange:
        sock.sendall(data)
        return exchange.read()
