"""One raw client connection, and a strict reader of the replies that come back on it.

Python's own http.client mends what it reads; here every byte the server writes is judged, because a
reply that is framed wrongly is as bad as a request that is. This folder must stay without an
__init__.py: with one it would hide the standard library's package of the same name.
"""

import re
import select
import socket
import struct
import time

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d) ([\t -~\x80-\xff]*)\r\n")
HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*\r\n")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(;[^\r\n]*)?\r\n")
HEAD_MAX = 256 * 1024
MASK = 0xffffffff


class Malformed(Exception):
    """The server wrote something that is not an HTTP/1.1 reply."""


class Silent(Exception):
    """Nothing came within the deadline."""


class Cut(Exception):
    """The connection ended inside a reply."""


class Reply:
    def __init__(self, status, headers, minor):
        self.status = status
        self.headers = headers
        self.minor = minor
        self.body = b""

    def header(self, name):
        """The value of a header, several joined as one list, None when absent."""
        found = [v for n, v in self.headers if n == name.lower()]
        return ", ".join(found) if found else None

    def closes(self):
        words = (self.header("connection") or "").lower().replace(" ", "").split(",")
        return "close" in words or (self.minor == 0 and "keep-alive" not in words)

    def __repr__(self):
        return "<%d %s %r>" % (self.status, self.header("connection") or "", self.body[:200])


class Wire:
    """A client's connection. Every wait has a deadline; `patience` is the default, in seconds."""

    def __init__(self, port, patience=10.0):
        self.patience = patience
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.inbox = bytearray()
        self.ended = False
        self.send_failed = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Leaves with a RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def fin(self):
        """Half close: we send nothing more and go on reading."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.send_failed = True

    def send(self, data, deadline=None):
        """Sends all of it, reading meanwhile: a server that answers early must not block us.
        Returns False when the server closed before it took everything, which is its right.
        """
        end = time.monotonic() + (deadline or self.patience)
        view = memoryview(data)
        while view and not self.send_failed:
            left = end - time.monotonic()
            if left <= 0:
                raise Silent("the server stopped reading with %d bytes to go" % len(view))
            readers = [] if self.ended else [self.sock]
            can_read, can_write, _ = select.select(readers, [self.sock], [], left)
            if can_read:
                self._take()
            if can_write:
                try:
                    view = view[self.sock.send(view):]
                except BlockingIOError:
                    pass
                except OSError:
                    self.send_failed = True
        return not self.send_failed

    def send_bytewise(self, data):
        """A byte at a time; the next goes when the server has read the last, so that each is a read
        of its own.
        """
        for i in range(len(data)):
            if not self.send(data[i:i + 1]):
                return False
            self.wait_taken()
        return True

    def wait_taken(self, deadline=None):
        """Until the server's process has read all that we sent: its receive queue is empty."""
        end = time.monotonic() + (deadline or self.patience)
        try:
            mine, theirs = self.sock.getsockname()[1], self.sock.getpeername()[1]
        except OSError:
            return
        while unread(theirs, mine):
            if time.monotonic() > end:
                raise Silent("the server does not read")
            select.select([], [], [], 0.0002)

    def _take(self):
        try:
            data = self.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.inbox += data
        else:
            self.ended = True

    def _more(self, end, inside):
        """Waits for more bytes until the monotonic time `end`."""
        if self.ended:
            raise Cut("connection ended inside %s: %r" % (inside, bytes(self.inbox[:200])))
        left = end - time.monotonic()
        if left <= 0 or not select.select([self.sock], [], [], left)[0]:
            raise Silent("no %s in time, %d bytes so far" % (inside, len(self.inbox)))
        self._take()

    def quiet(self, seconds):
        """True if nothing, not even an end, comes for that long."""
        if self.inbox or self.ended:
            return False
        if select.select([self.sock], [], [], seconds)[0]:
            self._take()
        return not self.inbox and not self.ended

    def at_end(self, deadline=None):
        """Waits for the server's close. False if it sends something; raises Silent if neither."""
        end = time.monotonic() + (deadline or self.patience)
        while not self.ended and not self.inbox:
            self._more(end, "close")
        return not self.inbox

    def read_reply(self, head=False, deadline=None):
        """The next reply, or None when the server closes instead. `head`: it answers a HEAD."""
        end = time.monotonic() + (deadline or self.patience)
        while not self.inbox:
            if self.ended:
                return None
            try:
                self._more(end, "reply")
            except Cut:
                return None
        while b"\r\n\r\n" not in self.inbox:
            if len(self.inbox) > HEAD_MAX:
                raise Malformed("a reply's head without an end")
            if not b"HTTP/1.".startswith(bytes(self.inbox[:7])):
                raise Malformed("not a reply: %r" % bytes(self.inbox[:200]))
            self._more(end, "a reply's head")
        cut = self.inbox.index(b"\r\n\r\n") + 4
        reply = parse_head(bytes(self.inbox[:cut]))
        del self.inbox[:cut]
        if not head and reply.status >= 200 and reply.status not in (204, 304):
            self._read_body(reply, end)
        return reply

    def _read_body(self, reply, end):
        length, coding = reply.header("content-length"), reply.header("transfer-encoding")
        if coding is not None:
            reply.body = self._read_chunks(end)
        elif length is not None:
            want = int(length)
            while len(self.inbox) < want:
                self._more(end, "a reply's body")
            reply.body = bytes(self.inbox[:want])
            del self.inbox[:want]
        else:
            if not reply.closes():
                raise Malformed("a reply without length that keeps the connection: %r" % reply)
            while not self.ended:
                self._more(end, "a reply's body")
            reply.body = bytes(self.inbox)
            self.inbox.clear()

    def _read_chunks(self, end):
        body = bytearray()
        while True:
            while b"\r\n" not in self.inbox:
                self._more(end, "a chunk's size")
            line = CHUNK_LINE.match(self.inbox)
            if not line:
                raise Malformed("chunk size: %r" % bytes(self.inbox[:60]))
            size = int(line.group(1), 16)
            need = line.end() + size + 2
            while len(self.inbox) < need:
                self._more(end, "a chunk")
            chunk = bytes(self.inbox[line.end():need])
            del self.inbox[:need]
            if not chunk.endswith(b"\r\n"):
                raise Malformed("a chunk longer than it says, or a trailer: %r" % chunk[-60:])
            if size == 0:
                return bytes(body)
            body += chunk[:-2]


def unread(port, peer_port):
    """How many bytes the loopback socket at `port`, connected to `peer_port`, has not yet given to
    its process. Asks the kernel for that one socket (sock_diag(7)): /proc/net/tcp can be long.
    """
    here = socket.inet_aton("127.0.0.1") + bytes(12)
    ident = struct.pack(">HH", port, peer_port) + here + here + struct.pack("=III", 0, MASK, MASK)
    ask = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, MASK) + ident
    head = struct.pack("=IHHII", 16 + len(ask), 20, 1, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as kernel:
        kernel.settimeout(5)
        kernel.send(head + ask)
        answer = kernel.recv(8192)
    if struct.unpack_from("=H", answer, 4)[0] != 20:
        return 0  # no such socket (any more)
    return struct.unpack_from("=I", answer, 16 + 4 + len(ident) + 4)[0]


def parse_head(head):
    """A reply's head, status line to empty line, judged strictly."""
    first = STATUS_LINE.match(head)
    if not first:
        raise Malformed("status line: %r" % head[:200])
    headers, at = [], first.end()
    while head[at:] != b"\r\n":
        line = HEADER_LINE.match(head, at)
        if not line:
            raise Malformed("header line: %r" % head[at:at + 200])
        headers.append((line.group(1).decode().lower(), line.group(2).decode("latin-1")))
        at = line.end()
    reply = Reply(int(first.group(2)), headers, int(first.group(1)))
    lengths = [v for n, v in headers if n == "content-length"]
    coding = reply.header("transfer-encoding")
    if len(lengths) > 1 or (lengths and not lengths[0].isdigit()):
        raise Malformed("content-length %r" % lengths)
    if coding is not None and (coding != "chunked" or lengths):
        raise Malformed("transfer-encoding %r with content-length %r" % (coding, lengths))
    if reply.status < 200 and (lengths or coding):
        raise Malformed("an interim reply with a body length")
    return reply
