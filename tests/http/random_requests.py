"""Random and spoiled requests against a running gateway, for a build with sanitizers above all.

What must hold, whatever is sent: everything is answered or the connection closed within a deadline;
every byte that comes back is HTTP; a connection that stays open stays in step, which canaries with
paths of their own show; the workers are the same at the end, and no sanitizer has spoken.

    python3 tests/http/random_requests.py --count 10000 --seed 7

POINTSMAN names the binary, POINTSMAN_RECORDINGS a folder of recorded agents' requests.
"""

import argparse
import json
import random
import re
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from http_front import Front
from http_requests import RAW_JSON, Request, agent_request, dump, headers_for, recordings
from http_requests import spoil_bytes, spoil_json
from http_spoil import spoil
from http_wire import Cut, Malformed, Silent, Wire

CANARY = re.compile(rb"/canary/(\d+)")
# A spoiled request may be one that the gateway waits to see the end of. After this long without a
# byte we end our side, and from then on it has to close.
WAIT = 0.3


class Wrong(Exception):
    """The gateway did what it must not do."""


class Client:
    """One connection: what was sent, for the report, and what came."""

    def __init__(self, port, rng, number, recorded, deadline):
        self.wire = Wire(port, patience=deadline)
        self.rng = rng
        self.number = number * 1000
        self.recorded = recorded
        self.sent = bytearray()
        self.statuses = Counter()

    def send(self, data):
        self.sent += data
        return self.wire.send(data)

    def canary(self):
        """Bytes of a request whose answer names it, and its number."""
        self.number += 1
        return b"GET /canary/%d HTTP/1.1\r\nHost: canary\r\n\r\n" % self.number, self.number

    def model(self):
        """Mostly a name that nothing serves; at times a route, whose only target is not there."""
        return "auto" if self.rng.random() < 0.1 else "nobody-%d" % self.number

    def request(self):
        return agent_request(self.rng, self.model(), self.recorded)

    def reply(self, deadline=None):
        """The next reply that is no interim one, None at the end."""
        while True:
            reply = self.wire.read_reply(deadline=deadline)
            if reply is None or reply.status >= 200:
                break
        if reply is not None:
            self.statuses[reply.status] += 1
            if not 200 <= reply.status < 600:
                raise Wrong("status %d" % reply.status)
        return reply

    def expect_canary(self, number):
        reply = self.reply()
        found = reply and CANARY.search(reply.body)
        if not found or reply.status != 404 or int(found.group(1)) != number:
            raise Wrong("canary %d: %r" % (number, reply))
        if reply.closes():
            raise Wrong("canary %d: closed for no reason" % number)

    def drain(self, canaries):
        """Reads to the end of a stream whose framing is in doubt. Canaries that are answered are so
        in order and once. If the gateway waits for more, we end our side, and it must close.
        """
        waiting, ended = list(canaries), False
        while True:
            try:
                reply = self.reply(None if ended else WAIT)
            except Silent:
                if ended:
                    raise
                self.wire.wait_taken()
                self.wire.fin()
                ended = True
                continue
            if reply is None:
                return
            found = CANARY.search(reply.body) if reply.status == 404 else None
            if found:
                number = int(found.group(1))
                if number not in waiting:
                    raise Wrong("canary %d out of order or answered again" % number)
                del waiting[:waiting.index(number) + 1]
            if reply.closes():
                if not self.wire.at_end():
                    raise Wrong("more after a reply that said close")
                return


def sound(client):
    """Sound requests, each followed by a canary, on one connection."""
    for _ in range(client.rng.choice((1, 3, 6))):
        bait, number = client.canary()
        client.send(client.request().raw() + bait)
        reply = client.reply()
        if reply is None or reply.closes():
            raise Wrong("a sound request ended the connection: %r" % reply)
        client.expect_canary(number)


def json_body(client):
    """A sound request around JSON that is not what the endpoint expects."""
    for _ in range(3):
        rng = client.rng
        made = client.request()
        while made.method != b"POST":
            made = client.request()
        if rng.random() < 0.3:
            body = rng.choice(RAW_JSON)
        elif rng.random() < 0.3:
            body = spoil_bytes(rng, made.body, rng.choice((1, 3)))
        else:
            body = spoiled_document(rng, client.model())
        again = Request(b"POST", made.target, headers_for(rng), body)
        bait, number = client.canary()
        client.send(again.raw() + bait)
        reply = client.reply()
        if reply is None or reply.closes():
            raise Wrong("a request with an odd body ended the connection: %r" % reply)
        client.expect_canary(number)


def spoiled_document(rng, model):
    made = agent_request(rng, model)
    while made.method != b"POST":
        made = agent_request(rng, model)
    value = json.loads(made.body)
    for _ in range(rng.choice((1, 1, 2, 5))):
        value = spoil_json(rng, value)
    return dump(value)


def framing(client):
    """A request with its framing spoiled, and a canary that may or may not be seen."""
    bait, number = client.canary()
    raw, _ = spoil(client.rng, client.request())
    if not raw.startswith(b"HEAD "):
        client.send(raw + bait)
        client.drain([number])


def any_bytes(client):
    """Bytes flipped, dropped and moved anywhere in a request."""
    bait, number = client.canary()
    raw = spoil_bytes(client.rng, client.request().raw(), client.rng.choice((1, 4, 30)))
    if not raw.startswith(b"HEAD "):
        client.send(raw + bait)
        client.drain([number])


def noise(client):
    """No HTTP at all."""
    client.send(client.rng.randbytes(client.rng.choice((1, 40, 4000))) + b"\r\n\r\n")
    client.drain([])


def pipelined(client):
    """Several sound requests and canaries in one write; the answers come in order."""
    batch, numbers = bytearray(), []
    for _ in range(client.rng.choice((2, 5, 20))):
        bait, number = client.canary()
        batch += client.request().raw() + bait
        numbers.append(number)
    client.send(bytes(batch))
    for number in numbers:
        if client.reply() is None:
            raise Wrong("pipelined requests were dropped before canary %d" % number)
        client.expect_canary(number)


def slow(client):
    """A sound request in small pieces, each read before the next is sent."""
    raw, at = client.request().raw(), 0
    bait, number = client.canary()
    step = max(1, len(raw) // 25)
    while at < len(raw):
        size = client.rng.randint(1, 2 * step)
        client.send(raw[at:at + size])
        client.wire.wait_taken()
        at += size
    client.send(bait)
    if client.reply() is None:
        raise Wrong("a slow request was not answered")
    client.expect_canary(number)


def truncated(client):
    """A request that breaks off; we end our side, the gateway closes."""
    raw = client.request().raw()
    client.send(raw[:client.rng.randrange(len(raw))])
    client.wire.fin()
    client.drain([])


def half_closed(client):
    """A whole request, then the end of our side: answered or not, but closed."""
    client.send(client.request().raw())
    client.wire.fin()
    client.drain([])


def reset(client):
    """Gone with a reset, in the middle of a request or behind one, the answer unread."""
    raw = client.request().raw()
    cut = len(raw) if client.rng.random() < 0.5 else client.rng.randrange(len(raw))
    client.send(raw[:cut])
    client.wire.reset()


def gone(client):
    """Gone with a FIN right behind some requests, the answers unread."""
    client.send(b"".join(client.request().raw() for _ in range(client.rng.choice((1, 8)))))


def watcher(client):
    """Looks at a stream of events for a moment and leaves; others look at it while it goes on."""
    target = client.rng.choice((b"/api/events", b"/models/sse", b"/logs/stream"))
    client.send(b"GET " + target + b" HTTP/1.1\r\nHost: t\r\n\r\n")
    try:
        client.wire.read_reply(deadline=WAIT)
    except Silent:
        pass


# (kind, weight, requests it counts for)
KINDS = [(sound, 4, 3), (json_body, 8, 3), (framing, 20, 1), (any_bytes, 12, 1), (noise, 2, 1),
         (pipelined, 3, 8), (slow, 2, 1), (truncated, 4, 1), (half_closed, 3, 1), (reset, 3, 1),
         (gone, 2, 2), (watcher, 1, 1)]


def plan(count, seed):
    """(number, kind) of the clients that make about `count` requests, always the same ones."""
    rng, out, made = random.Random(seed), [], 0
    kinds, weights = [k[0] for k in KINDS], [k[1] for k in KINDS]
    worth = {k[0]: k[2] for k in KINDS}
    while made < count:
        kind = rng.choices(kinds, weights)[0]
        out.append((len(out) + 1, kind))
        made += worth[kind]
    return out


def run(front, count, seed, threads=4, deadline=20.0, say=lambda text: None):
    """Plays about `count` requests. Returns the list of what was wrong; empty is good."""
    recorded, wrong = recordings(), []
    statuses, lock = Counter(), threading.Lock()

    def one(item):
        number, kind = item
        rng = random.Random(seed * 1000003 + number)
        client = None
        try:
            client = Client(front.port, rng, number, recorded, deadline)
            with client.wire:
                kind(client)
        except (Wrong, Silent, Malformed, Cut, OSError) as err:
            sent = bytes(client.sent[:3000]) if client else b""
            what = "%s %d: %s: %s" % (kind.__name__, number, type(err).__name__, err)
            with lock:
                wrong.append("%s\n  sent %r" % (what, sent))
        if client:
            with lock:
                statuses.update(client.statuses)

    began, clients = time.monotonic(), plan(count, seed)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, clients))
    say("%d connections, about %d requests in %.1f s, %s recordings; statuses %s" % (
        len(clients), count, time.monotonic() - began, len(recorded) or "no",
        dict(sorted(statuses.items()))))
    pids = front.worker_pids()
    if pids != front.pids:
        wrong.append("the workers were %s and are %s" % (front.pids, pids))
    front.stop()
    wrong.extend("sanitizer: " + line for line in front.sanitizer_reports())
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--deadline", type=float, default=20.0, help="seconds, for one answer")
    given = parser.parse_args()
    with Front(workers=given.workers) as front:
        wrong = run(front, given.count, given.seed, given.threads, given.deadline, print)
    for text in wrong[:20]:
        print(text)
    print("%d wrong" % len(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
