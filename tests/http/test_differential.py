"""Node's HTTP server as a second opinion on where one request ends and the next begins.

Both get the same bytes: sound requests, a spoiled one, and a canary, all on one connection. What
our parser accepts node must accept too, and both must see the same requests: as many of them, with
the same tag in the body or the path, before the canary. Where we are stricter all is well.
"""

import base64
import json
import os
import random
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from http_front import Front
from http_requests import Request, agent_request, chunk, dump, headers_for
from http_spoil import spoil
from http_wire import Cut, Malformed, Silent, Wire

COUNT = int(os.environ.get("POINTSMAN_DIFFERENTIAL_COUNT", "3000"))
SEED = int(os.environ.get("POINTSMAN_DIFFERENTIAL_SEED", "1"))
# How long the gateway may say nothing before we take it to wait for more bytes. A disagreement is
# looked at again with the second, so that a busy machine is not taken for a wrong parser.
WAIT, WAIT_AGAIN = 0.25, 2.0
TAG = re.compile(r"tag-\d+-\d+")
# Where node refuses what RFC 9110 and 9112 allow or what leaves no doubt about the framing. We may
# accept these, if we then see exactly the requests that were made.
NODE_STRICTER = [
    # RFC 9110 5.5: a tab is white space before a value
    re.compile(rb"\r\nContent-Length:[ ]*\t[ \t]*\d+[ \t]*\r\n"),
    # RFC 9110 6.5.1: a trailer that talks of framing is dropped with the others
    re.compile(rb"\r\n0+[^\r\n]*\r\n(?:[^\r\n]+\r\n)*(?:Content-Length|Transfer-Encoding):"),
    # what a chunk extension may be made of
    re.compile(rb"\r\n[0-9A-Fa-f]+;[^\r\n]*\r\n"),
]
# Line ends too many between two requests: node skips them all, we forgive an empty line or two.
BLANKS_BETWEEN = re.compile(rb"(?:\r\n\r\n|\})[\r\n]+GET /canary/")


class Seen:
    """How a server took a stream: the tag of each request before the canary (None: not shown), and
    the end: canary, closed, waiting, or malformed (a reply that is not HTTP).
    """

    def __init__(self):
        self.tags, self.end = [], None
        self.failed = False

    def add(self, text):
        found = TAG.search(text)
        self.tags.append(found.group(0) if found else None)

    def __repr__(self):
        return "%s %s" % (self.end, self.tags)


def canary(number):
    return b"GET /canary/%d HTTP/1.1\r\nHost: canary\r\n\r\n" % number


def ask_front(port, stream, number, wait):
    """Sends the stream and reads what comes, until the canary is answered or nothing more comes."""
    seen = Seen()
    with Wire(port) as wire:
        wire.send(stream)
        try:
            while seen.end is None:
                reply = next_reply(wire, wait)
                if reply is None:
                    seen.end = "closed"
                elif reply.status >= 200:
                    note(seen, reply, number)
        except Silent:
            seen.end = "waiting"
        except (Malformed, Cut) as err:
            seen.end = "malformed: %s" % err
    return seen


def next_reply(wire, wait):
    """Silence counts from when all has been read."""
    try:
        return wire.read_reply(deadline=wait)
    except Silent:
        wire.wait_taken()
        return wire.read_reply(deadline=wait)


def note(seen, reply, number):
    """Enters a reply of ours: it names the unknown path or model that the request asked for."""
    text = reply.body.decode("latin-1")
    if reply.status == 404 and re.search(r"/canary/%d(?!\d)" % number, text):
        seen.end = "canary"
    elif reply.closes() and reply.status >= 400 and not TAG.search(text):
        seen.end = "closed"
    else:
        seen.failed = seen.failed or reply.status >= 500 and reply.status not in (501, 505)
        seen.add(text)


def ask_node(made):
    """What node makes of each stream, from one run of second_opinion.js."""
    script = Path(__file__).with_name("second_opinion.js")
    lines = b"".join(base64.b64encode(stream) + b"\n" for _, stream, _, _ in made)
    done = subprocess.run([shutil.which("node"), str(script)], input=lines, capture_output=True,
                          timeout=120, check=True)
    out = []
    for (number, _, _, _), line in zip(made, done.stdout.splitlines()):
        report, seen = json.loads(line), Seen()
        seen.end = {"error": "closed", "more": "waiting", "done": "waiting"}[report["end"]]
        for request in report["requests"]:
            if request["url"] == "/canary/%d" % number:
                seen.end = "canary"
                break
            seen.add(request["url"] + " " + request["body"])
        out.append(seen)
    assert len(out) == len(made), done.stderr.decode()
    return out


def judge(ours, node, spoiled):
    """What is wrong with how we took it, or None. `spoiled`: index of the spoiled request."""
    if ours.end.startswith("malformed"):
        return "our reply is malformed"
    if ours.failed:
        return "a request made us fail"
    if len(ours.tags) > len(node.tags):
        return "we took more requests than node"
    for mine, theirs in zip(ours.tags, node.tags):
        if mine is not None and mine != theirs:
            return "we and node read different requests"
    same = len(ours.tags) == len(node.tags)
    if ours.end == "canary" and not (node.end == "canary" and same):
        return "we accepted what node took otherwise"
    if ours.end == "waiting" and node.end == "canary":
        return "we wait where node saw an end"
    if ours.end == "closed" and node.end == "canary" and same and spoiled < len(ours.tags):
        return "we accepted the request and then refused the canary"
    return None


def excused(one, ours):
    """One of the differences that are node's alone."""
    _, stream, spoiled, _ = one
    if ours.end == "closed" and len(ours.tags) == spoiled + 1 and BLANKS_BETWEEN.search(stream):
        return not ours.failed
    intact = ours.end == "canary" and len(ours.tags) == spoiled + 1 and not ours.failed
    return intact and any(known.search(stream) for known in NODE_STRICTER)


def sound(rng, tag):
    """A sound request whose answer, from us, names the tag."""
    roll = rng.random()
    if roll < 0.3:
        return Request(b"GET", b"/" + tag, headers_for(rng))
    if roll < 0.6:
        made = agent_request(rng, tag.decode())
        while made.method == b"GET":
            made = agent_request(rng, tag.decode())
        return made
    body = dump({"model": tag.decode(), "messages": [{"role": "user", "content": "hi"}]})
    chunks = [chunk(body[:9]), chunk(body[9:])] if roll < 0.8 else None
    return Request(b"POST", b"/v1/chat/completions", headers_for(rng), body, chunks)


def streams():
    """(number, bytes, index of the spoiled request, what was done to it), always the same ones."""
    for number in range(COUNT):
        rng = random.Random(SEED * 1000003 + number)
        before = rng.choice((0, 0, 0, 1, 2))
        parts = [sound(rng, b"tag-%d-%d" % (number, i)).raw() for i in range(before)]
        last = sound(rng, b"tag-%d-%d" % (number, before))
        if number % 10 == 0:
            raw, names = last.raw(), ["sound"]
        else:
            raw, names = spoil(rng, last)
        # A reply to HEAD has no body, and after CONNECT there is no HTTP: neither can be compared.
        if not raw.startswith((b"HEAD ", b"CONNECT ")):
            yield number, b"".join(parts) + raw + canary(number), before, names


@pytest.mark.skipif(not shutil.which("node"), reason="no node here to compare with")
def test_agrees_with_node():
    """Every stream, judged; all disagreements are shown, not only the first."""
    made = list(streams())
    opinions = ask_node(made)
    began, report, ends = time.monotonic(), [], {}
    with Front() as front:
        def ask(one, wait=WAIT):
            return ask_front(front.port, one[1], one[0], wait)

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(ask, made))
        for one, ours, node in zip(made, answers, opinions):
            pair = (ours.end.split(":")[0], node.end)
            ends[pair] = ends.get(pair, 0) + 1
            if judge(ours, node, one[2]) is None or excused(one, ours):
                continue
            ours = ask(one, WAIT_AGAIN)
            verdict = judge(ours, node, one[2])
            if verdict and not excused(one, ours):
                what = "%s (stream %d, %s)" % (verdict, one[0], "+".join(one[3]))
                report.append("%s\n  ours %r\n  node %r\n  %r" % (what, ours, node, one[1][:1500]))
        seconds = time.monotonic() - began
        print("%d streams in %.1f s; (ours, node): %s" % (len(made), seconds, ends))
        assert not report, "%d disagreements\n%s" % (len(report), "\n".join(report[:40]))
        # It means something only if many streams got as far as the canary on both sides.
        assert ends.get(("canary", "canary"), 0) > len(made) / 10
        assert front.worker_pids() == front.pids
        assert front.sanitizer_reports() == []
