"""Reads a .case file and plays it on one connection. The notation is described in cases/README."""

import json
import re

from http_wire import Wire

ESCAPE = re.compile(rb"\\(?:([rnt0\\])|x([0-9a-fA-F]{2})|\{(\d+)\*([^}]+)\})")
PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
REPLY = re.compile(r"(\d{3}(?:\|\d{3})*)(\?)?( head)?(?: x(\d+))?$")
DEEDS = ("close", "open", "either", "quiet", "fin", "bytewise")
# How long "nothing comes" must last. A wait for a thing that must not happen cannot end earlier.
QUIET = 0.15
CANARY = b"GET /canary/%d HTTP/1.1\r\nHost: canary\r\n\r\n"


class CaseError(Exception):
    """The case file itself is wrong."""


def unescape(text):
    """Case notation to bytes."""
    def one(match):
        letter, code, count, what = match.groups()
        if letter:
            return PLAIN[letter]
        if code:
            return bytes([int(code, 16)])
        return unescape(what.decode()) * int(count)
    raw = text.encode("ascii")
    left = ESCAPE.sub(b"", raw)
    if b"\\" in left:
        raise CaseError("unknown escape in %r" % text)
    return ESCAPE.sub(one, raw)


class Step:
    """One thing to do or to see. kind: send, reply, or one of DEEDS."""

    def __init__(self, kind, line):
        self.kind = kind
        self.line = line
        self.data = b""
        self.statuses = ()
        self.optional = self.head = False
        self.times = 1
        self.checks = []


def parse_reply(step, text):
    found = REPLY.match(text)
    if not found:
        raise CaseError("line %d: not an expected reply: %s" % (step.line, text))
    step.statuses = tuple(int(s) for s in found.group(1).split("|"))
    step.optional, step.head = bool(found.group(2)), bool(found.group(3))
    step.times = int(found.group(4) or 1)


def parse_check(step, number, text):
    if step is None or step.kind != "reply":
        raise CaseError("line %d: a check needs a reply before it" % number)
    word, _, rest = text.partition(" ")
    if word not in ("header", "no-header", "body", "empty"):
        raise CaseError("line %d: unknown check: %s" % (number, word))
    step.checks.append((word, rest))


def parse_case(text):
    """Returns (steps, comment lines)."""
    steps, why = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            if line:
                why.append(line[1:].strip())
            continue
        if line != line.rstrip() or line[1:2] != " ":
            raise CaseError("line %d: blank at the end (write \\x20) or no mark" % number)
        mark, rest = line[0], line[2:]
        last = steps[-1] if steps else None
        if mark == ">" and last and last.kind == "send":
            last.data += unescape(rest)
        elif mark == ">":
            steps.append(Step("send", number))
            steps[-1].data = unescape(rest)
        elif mark == "<":
            steps.append(Step("reply", number))
            parse_reply(steps[-1], rest)
        elif mark == "+":
            parse_check(last, number, rest)
        elif mark == "!" and rest in DEEDS:
            steps.append(Step(rest, number))
        else:
            raise CaseError("line %d: not understood: %s" % (number, line))
    if not why:
        raise CaseError("a case says in a comment what it is for")
    if not steps or steps[-1].kind not in ("close", "open", "either"):
        raise CaseError("a case ends with '! close', '! open' or '! either'")
    return steps, why


class Player:
    """Plays one case. `number` makes this case's canary path its own."""

    def __init__(self, port, number):
        self.wire = Wire(port)
        self.number = number
        self.bytewise = False
        self.half_closed = False
        self.last = None

    def play(self, steps):
        with self.wire:
            for step in steps:
                try:
                    getattr(self, "do_" + step.kind)(step)
                except Exception as err:
                    what = "%s: %s" % (type(err).__name__, err)
                    where = "line %d (%s)" % (step.line, step.kind)
                    raise AssertionError("%s: %s" % (where, what)) from err

    def do_send(self, step):
        if self.bytewise:
            self.wire.send_bytewise(step.data)
        else:
            self.wire.send(step.data)

    def do_bytewise(self, _):
        self.bytewise = True

    def do_fin(self, _):
        self.half_closed = True
        self.wire.fin()

    def do_quiet(self, _):
        assert self.wire.quiet(QUIET), "something came: %r" % bytes(self.wire.inbox[:300])

    def do_reply(self, step):
        for _ in range(step.times):
            if step.optional and self._absent(step):
                return
            reply = self.wire.read_reply(head=step.head)
            assert reply is not None, "closed instead of %s" % (step.statuses,)
            assert reply.status in step.statuses, "%r instead of %s" % (reply, step.statuses)
            check_reply(reply, step)
            if reply.status >= 200:
                self.last = reply

    def _absent(self, step):
        """An optional reply is absent when the end is next, or a reply with another status."""
        if self.wire.quiet(QUIET) or (not self.wire.inbox and self.wire.ended):
            return True
        line = bytes(self.wire.inbox[:12])
        return len(line) == 12 and line[9:].isdigit() and int(line[9:]) not in step.statuses

    def do_close(self, _):
        assert self.wire.at_end(), "more came: %r" % bytes(self.wire.inbox[:300])
        if self.last is not None and not self.half_closed:
            assert self.last.closes(), "closed without saying so: %r" % self.last.headers

    def do_either(self, step):
        if self.last.closes():
            self.do_close(step)
        else:
            self.do_open(step)

    def do_open(self, _):
        """Open means: the next request is answered, as the next reply, and read as what it is."""
        assert self.last is None or not self.last.closes(), "said close: %r" % self.last.headers
        self.bytewise = False
        self.wire.send(CANARY % self.number)
        reply = self.wire.read_reply()
        assert reply is not None, "closed"
        assert reply.status == 404 and b"/canary/%d" % self.number in reply.body, repr(reply)


def check_reply(reply, step):
    """The case's own checks, and what holds for every error reply: JSON that says what is wrong."""
    for word, rest in step.checks:
        if word == "header":
            name, _, value = rest.partition(": ")
            got = reply.header(name)
            good = got is not None and value.lower() in got.lower()
            assert good, "header %s: %r" % (name, got)
        elif word == "no-header":
            assert reply.header(rest) is None, "header %s: %r" % (rest, reply.header(rest))
        elif word == "body":
            assert unescape(rest) in reply.body, "body %r" % reply.body[:300]
        else:
            assert reply.body == b"", "body %r" % reply.body[:300]
    if reply.status >= 400 and not step.head:
        kind = reply.header("content-type") or ""
        assert kind.startswith("application/json"), "an error of type %r" % kind
        error = json.loads(reply.body)["error"]
        assert isinstance(error["message"], str) and error["message"], "error %r" % error
