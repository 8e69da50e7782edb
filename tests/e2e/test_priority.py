"""Who waits for a model, how long at most, and in what order they are served."""

import os
import re
import signal
import time

import pytest
from harness import Crowd, profile, wait_until
from speak import CHAT, MESSAGES, PATHS, PROTOCOLS, ask, error_of, headers_of, text_of
from waits import Gate, Later, Stream, check_failed, check_whole, local, open_stream, routes

RANKS = ("high", "normal", "low")
ENDED = re.compile(r"msg=request id=(\S+)")


def one_slot(make, manager=None, more=None, how=None, route=None, warm=True, **keys):
    models = {"demo-chat": profile("demo-chat", SLOTS=1, **keys), **(more or {})}
    gw = make(models, {**routes("60s", "60s", **(how or {})), **(route or {})}, manager=manager)
    if warm:
        gw.cli("switch", "demo-chat", "--wait")
    return gw


def hold(gw):
    """Holds the slot until it is reset: a long answer that nobody reads."""
    exchange = open_stream(gw, CHAT, model="demo-chat", limit=7000, ignore_eos=True)
    next(exchange.events())
    return exchange


def wait_waiting(gw, n):
    wait_until(lambda: gw.profile("demo-chat")["waiting"] == n, 10, f"{n} waiters")


# --- the length of the queue ---


def refused(gw, protocol=CHAT, streams=False):
    began = time.monotonic()
    reply = gw.post(PATHS[protocol], ask(protocol, "hi", "demo-chat", streams),
                    headers_of(protocol))
    assert time.monotonic() - began < 1
    assert reply.status == 429, reply
    assert "QUEUE" in error_of(protocol, reply)
    return int(reply.header("retry-after"))


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_full_queue(make_gateway, protocol, streams):
    gw = one_slot(make_gateway, QUEUE=2)
    with hold(gw) as holder:
        queued = []
        for n in (1, 2):
            queued.append(Later(gw.chat, "hi", model="demo-chat", max_tokens=2))
            wait_waiting(gw, n)
        assert refused(gw, protocol, streams) >= 1
        holder.reset()
        assert [one.result().status for one in queued] == [200, 200]


def test_no_queue_at_all(make_gateway):
    gw = one_slot(make_gateway, QUEUE=0)
    with hold(gw) as holder:
        assert refused(gw) >= 1
        holder.reset()
    wait_until(lambda: gw.profile("demo-chat")["leases"] == 0, 5, "the slot to be free")
    assert gw.chat("hi", model="demo-chat", max_tokens=2).status == 200


def test_no_queue_does_not_mean_no_load(make_gateway):
    """QUEUE counts those who wait for others, not the one that a load is for."""
    gw = one_slot(make_gateway, QUEUE=0, warm=False)
    reply = gw.chat("hi", model="demo-chat", max_tokens=2)
    assert reply.status == 200, reply


def test_retry_after_is_measured(make_gateway):
    """Not a guess: requests of a moment say 1, one that took its time says more."""
    gw = one_slot(make_gateway, QUEUE=0)
    for _ in range(8):
        assert gw.chat("hi", model="demo-chat", max_tokens=1).status == 200
    with hold(gw) as holder:
        assert refused(gw) == 1
        holder.reset()
    wait_until(lambda: gw.profile("demo-chat")["leases"] == 0, 5, "the slot to be free")
    pid = gw.profile("demo-chat")["pid"]
    got = Stream(CHAT, open_stream(gw, CHAT, model="demo-chat", limit=20))
    got.speaks(1)
    os.kill(pid, signal.SIGSTOP)
    try:
        # seven seconds of a request, three tenths of which count at once
        until = time.monotonic() + 7
        wait_until(lambda: time.monotonic() >= until, 8, "time to pass", 0.1)
    finally:
        os.kill(pid, signal.SIGCONT)
    check_whole(got.rest(), "")
    with hold(gw) as holder:
        assert 3 <= refused(gw) <= 5
        holder.reset()


def test_a_full_queue_tries_the_other_targets(make_gateway):
    gw = one_slot(make_gateway, QUEUE=0, manager={"RAM": 1000},
                  more={"demo-coder": profile("demo-coder")}, how={"fallback": "demo-coder"})
    with hold(gw) as holder:
        reply = gw.chat("hi")
        assert reply.status == 200, reply
        assert text_of(CHAT, reply.json).startswith("I am demo-coder")
        holder.reset()


# --- MAX_WAIT ---


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_max_wait_for_a_slot(make_gateway, measured, protocol):
    gw = one_slot(make_gateway, manager={"MAX_WAIT": "1500ms"})
    with hold(gw) as holder:
        began = time.monotonic()
        reply = gw.post(PATHS[protocol], ask(protocol, "hi", "demo-chat"), headers_of(protocol))
        took = time.monotonic() - began
        holder.reset()
    assert reply.status == 429, reply
    assert "MAX_WAIT" in error_of(protocol, reply)
    assert int(reply.header("retry-after")) >= 1
    assert 1.49 <= took < 1.65, took
    measured(f"MAX_WAIT=1500ms ({protocol}): refused after {took * 1000:.0f} ms")


def test_max_wait_for_a_load(make_gateway, tmp_path):
    gate = Gate(tmp_path)
    gw = one_slot(make_gateway, manager={"MAX_WAIT": "1500ms"}, warm=False,
                  LLAMA_SERVER=gate.server)
    began = time.monotonic()
    reply = gw.chat("hi", model="demo-chat")
    took = time.monotonic() - began
    assert reply.status == 429 and int(reply.header("retry-after")) >= 1, reply
    assert 1.49 <= took < 1.65, took
    # the load goes on, and is of use to the next one
    gate.say("go")
    assert gw.chat("hi", model="demo-chat", max_tokens=2).status == 200
    assert gw.profile("demo-chat")["loads"] == 1


def test_each_waiter_has_its_own_bound(make_gateway):
    """The one that came later is not refused with the first, nor the first with the later."""
    gw = one_slot(make_gateway, manager={"MAX_WAIT": "2s"})

    def timed():
        began = time.monotonic()
        return gw.chat("hi", model="demo-chat"), time.monotonic() - began

    with hold(gw) as holder:
        waiters = []
        for n in range(4):
            waiters.append(Later(timed))
            wait_waiting(gw, n + 1)
        results = [one.result() for one in waiters]
        holder.reset()
    assert [reply.status for reply, _ in results] == [429] * 4
    assert all(1.99 <= took < 2.15 for _, took in results), [took for _, took in results]


def test_max_wait_tries_the_other_targets(make_gateway):
    gw = one_slot(make_gateway, manager={"MAX_WAIT": "1s", "RAM": 1000},
                  more={"demo-coder": profile("demo-coder")}, how={"fallback": "demo-coder"})
    assert gw.chat("hi", model="demo-coder", max_tokens=2).status == 200
    with hold(gw) as holder:
        began = time.monotonic()
        reply = gw.chat("hi", max_tokens=5)
        took = time.monotonic() - began
        holder.reset()
    assert reply.status == 200 and reply.header("x-pointsman-target") == "demo-coder", reply
    assert took >= 0.99


@pytest.mark.parametrize("protocol", [CHAT, MESSAGES])
def test_max_wait_after_signs_of_life(make_gateway, protocol):
    gw = make_gateway({"demo-chat": profile("demo-chat", SLOTS=1)}, routes(ON_CUT="error"),
                      manager={"MAX_WAIT": "1s"})
    # a first load on a busy machine may well take longer than that
    gw.cli("switch", "demo-chat", "--wait")
    with hold(gw) as holder:
        got = Stream(protocol, open_stream(gw, protocol))
        got.pings(2)
        check_failed(got.rest(), True)
        assert "MAX_WAIT" in got.failures[0].data
        holder.reset()


# --- who goes first ---


class Order:
    """Requests that wait for the slot one after the other, and the order of their ends.

    They end within a millisecond of each other: the gateway's own log tells which came first.
    """

    def __init__(self, gw):
        self.gw = gw
        self.calls = []

    def add(self, name, headers=None, model="demo-chat"):
        call = Later(self.gw.chat, "hi", model=model, headers=headers, max_tokens=2)
        self.calls.append((name, call))
        wait_waiting(self.gw, len(self.calls))

    def result(self):
        names = {}
        for name, call in self.calls:
            reply = call.result()
            assert reply.status == 200, reply
            names[reply.header("x-pointsman-request")] = name

        def in_order():
            return [names[one] for one in ENDED.findall(self.gw.log) if one in names]

        # the last line of the log is on its way when the last reply is there
        wait_until(lambda: len(in_order()) == len(names), 5, "all of them in the log")
        return in_order()


def priority(rank):
    return {"x-pointsman-priority": rank}


def test_the_header_decides(make_gateway):
    gw = one_slot(make_gateway)
    order = Order(gw)
    with hold(gw) as holder:
        for n in range(2):
            for rank in reversed(RANKS):
                order.add(f"{rank} {n}", priority(rank))
        order.add("nothing said")
        order.add("nonsense", priority("urgent!"))
        order.add("HIGH", priority("HIGH"))
        holder.reset()
    assert order.result() == ["high 0", "high 1", "HIGH", "normal 0", "normal 1", "nothing said",
                              "nonsense", "low 0", "low 1"]


def test_the_route_decides_unless_the_header_does(make_gateway):
    more = {f"3{n}-{rank}.conf": {"route": {"MODELS": rank, "TARGETS": "demo-chat",
                                            "PRIORITY": rank}}
            for n, rank in enumerate(RANKS)}
    gw = one_slot(make_gateway, route=more)
    order = Order(gw)
    with hold(gw) as holder:
        for rank in reversed(RANKS):
            order.add(f"route {rank}", model=rank)
        order.add("header high", priority("high"), model="low")
        order.add("header low", priority("low"), model="high")
        holder.reset()
    assert order.result() == ["route high", "header high", "route normal", "route low",
                              "header low"]


def test_nobody_starves(make_gateway, measured):
    """A stream of normal requests that never ends, and one of low priority in it."""
    gw = one_slot(make_gateway, manager={"MAX_WAIT": "6s"})

    def send(_):
        return gw.chat("hi", model="demo-chat", max_tokens=5)

    # so many that somebody else waits at any time
    with Crowd(8, send) as crowd:
        wait_until(lambda: crowd.count() > 16, 30, "a stream of requests")
        done = crowd.count()
        began = time.monotonic()
        reply = gw.chat("hi", model="demo-chat", headers=priority("low"), max_tokens=5)
        took = time.monotonic() - began
        overtaken = crowd.count() - done
    assert reply.status == 200, reply
    assert not crowd.bad(), crowd.bad()[:3]
    # half of the bound makes it urgent; before that the others go first
    assert took < 6 and overtaken > 16, (took, overtaken)
    measured(f"low priority under a stream of normal ones, MAX_WAIT=6s: served after"
             f" {took:.1f} s and {overtaken} others")


def test_a_pause_of_the_load_keeps_the_order(make_gateway, tmp_path):
    gate = Gate(tmp_path)
    gw = one_slot(make_gateway, warm=False, LLAMA_SERVER=gate.server)
    order = Order(gw)
    for rank in reversed(RANKS):
        order.add(rank, priority(rank))
    gate.say("go")
    assert order.result() == list(RANKS)


def test_a_streaming_one_of_high_priority(make_gateway):
    gw = one_slot(make_gateway)
    order = Order(gw)
    with hold(gw) as holder:
        order.add("normal")
        urgent = Stream(CHAT, open_stream(gw, CHAT, headers=priority("high"), limit=20))
        wait_waiting(gw, 2)
        holder.reset()
        check_whole(urgent.rest(), local(CHAT))
        assert order.result() == ["normal"]
