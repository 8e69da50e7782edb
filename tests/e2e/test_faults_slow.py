"""A provider that is down for a minute: how often it is asked, and how soon it is used again.

The breaker's times are fixed, so these tests take as long as they do.
"""

import threading
import time

import pytest
from faulty import ENV, OK, Answer, Fault, Provider
from harness import auto_route
from speak import CHAT, PATHS, ask, text_of

DOWN_S = 60
EVERY_S = 4
REQUESTS = 20
BACK_S = 30
DOWN = Fault("status", status=503)


@pytest.fixture
def provider():
    with Provider() as one:
        yield one
        assert not one.complaints, one.complaints


@pytest.fixture
def gw(make_gateway, provider):
    provider.plan("primary", DOWN)
    provider.plan("fallback", OK)
    return make_gateway({"primary": provider.section("primary"),
                         "fallback": provider.section("fallback")},
                        {"20-auto.conf": auto_route("primary,fallback")}, env=ENV)


def send(gw):
    """Who answered; the answer is complete, whoever it was."""
    reply = gw.post(PATHS[CHAT], ask(CHAT, "Hello"))
    assert reply.status == 200 and reply.complete, reply
    assert text_of(CHAT, reply.json) == Answer().text
    return reply.header("x-pointsman-target")


def pause_until(moment):
    # the pace of the callers is the test's subject, there is no condition to wait for
    threading.Event().wait(max(0.0, moment - time.monotonic()))


def test_15_down_for_a_minute(gw, provider, measured):
    began = time.monotonic()
    back = None
    n = 0
    # one caller every 4 s: the 20 of the task, and as many more as its limit leaves room for
    while n < REQUESTS or (back is None and n * EVERY_S <= DOWN_S + BACK_S):
        pause_until(began + n * EVERY_S)
        if time.monotonic() - began >= DOWN_S:
            provider.heal("primary")
        target = send(gw)
        if target == "primary" and back is None:
            back = time.monotonic() - began
        # once it is back it stays
        assert back is None or target == "primary"
        n += 1
    asked = [seen.at - began for seen in provider.of("primary")]
    in_vain = [at for at in asked if at < DOWN_S]
    measured(f"down for {DOWN_S} s, {n} requests: {len(in_vain)} attempts in vain at"
             f" {', '.join(f'{at:.0f}' for at in in_vain)} s; used again"
             f" {(back or 0) - DOWN_S:.0f} s after its recovery")
    # 5 open the breaker; then a probe, which nobody repeats, each 10 s, 20 s, 40 s later
    assert len(in_vain) <= 8, in_vain
    assert back is not None and back - DOWN_S <= BACK_S, back


def test_15_one_probe_at_a_time(gw, provider):
    for _ in range(3):
        assert send(gw) == "fallback"
    asked = len(provider.of("primary"))
    assert asked == 5
    opened = time.monotonic()
    assert send(gw) == "fallback"
    assert len(provider.of("primary")) == asked
    # the probe takes a second to fail; the others do not wait for it, nor join it
    provider.plan("primary", Fault("status", status=503, seconds=1))
    pause_until(opened + 10.5)
    took = []

    def one():
        start = time.monotonic()
        assert send(gw) == "fallback"
        took.append(time.monotonic() - start)

    crowd = [threading.Thread(target=one) for _ in range(6)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(20)
    assert len(provider.of("primary")) == asked + 1
    assert len(took) == 6 and sorted(took)[4] < 0.8, took
