"""A model server that hangs is found by its lack of progress; one that is only slow is left alone.

A stopped process still owns its socket and takes connections: nothing but time tells.
"""

import contextlib
import os
import signal
import socket
import time

import pytest
from harness import Exchange, alive, encode, profile, wait_until
from speak import CHAT, MESSAGES, PATHS, PROTOCOLS, RESPONSES, ask, error_of, headers_of, text_of
from waits import (ALL, Later, Stream, check_failed, check_same_response, check_whole, local,
                   open_stream, routes)

IDLE = 4
# what a noisy machine may take on top, a load of a demo model included
SLACK = 3
LONG = {"limit": 7000}
# answers go on until somebody stops them, in each protocol
ENDLESS = {"EXTRA_ARGS": "--ignore-eos"}


@contextlib.contextmanager
def stopped(pid):
    """A process that does nothing at all, for as long as it lives or the test wants."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield time.monotonic()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def start(make, route_keys=None, manager=None, **keys):
    how = {"SLOTS": 1, "TIMEOUT_IDLE": f"{IDLE}s", **keys}
    # a stream that is gone on with would not show where it was cut
    route = {"RESUME": "no", **(route_keys or {})}
    gw = make({"demo-chat": profile("demo-chat", **how)}, routes(**route), manager=manager)
    assert gw.chat("hi", model="demo-chat", max_tokens=2).status == 200
    return gw, gw.profile("demo-chat")["pid"]


def check_replaced(gw, old):
    entry = gw.profile("demo-chat")
    assert entry["pid"] != old and not alive(old), entry
    assert "it hung" in gw.log and "killed" in gw.log


@pytest.mark.parametrize("protocol", ALL)
def test_in_mid_stream(make_gateway, measured, protocol):
    gw, old = start(make_gateway, **ENDLESS)
    got = Stream(protocol, open_stream(gw, protocol, **LONG))
    got.speaks()
    queued = Later(gw.chat, "hi", max_tokens=5)
    wait_until(lambda: gw.profile("demo-chat")["waiting"] == 1, 10, "a waiter")
    with stopped(old) as began:
        got.rest()
        cut = time.monotonic() - began
        reply = queued.result()
        answered = time.monotonic() - began
    check_failed(got, False)
    assert reply.status == 200, reply
    check_replaced(gw, old)
    # the last event may have come a moment before the stop
    assert IDLE - 1.5 < cut < IDLE + SLACK and answered < IDLE + SLACK, (cut, answered)
    measured(f"a server that hangs in a stream ({protocol}, idle deadline {IDLE} s): cut after"
             f" {cut:.2f} s, the one in the queue answered after {answered:.2f} s")


def test_the_response_that_failed_is_the_one_that_was_created(make_gateway):
    gw, old = start(make_gateway, **ENDLESS)
    got = Stream(RESPONSES, open_stream(gw, RESPONSES, **LONG)).speaks()
    with stopped(old):
        check_failed(got.rest(), False)
    check_same_response(got)


def test_status_tells_why(make_gateway):
    gw, old = start(make_gateway, **ENDLESS)
    got = Stream(CHAT, open_stream(gw, CHAT, **LONG))
    got.speaks()
    with stopped(old):
        check_failed(got.rest(), False)
        entry = wait_until(lambda: not alive(old) and gw.profile("demo-chat"), IDLE + SLACK,
                           "the server to be killed")
        entry = gw.wait_profile("demo-chat", "failed", SLACK)
    assert "it hung" in entry["reason"], entry
    assert "it hung" in gw.cli("status").stdout
    reply = gw.chat("hi", max_tokens=5)
    assert reply.status == 200, reply


@pytest.mark.parametrize("protocol", ALL)
@pytest.mark.parametrize("streams", [True, False], ids=["stream", "whole"])
def test_while_idle(make_gateway, measured, protocol, streams):
    """Nothing of an answer had come: the next request notices, and is answered all the same."""
    gw, old = start(make_gateway)
    body = ask(protocol, "hi", "auto", streams, limit=20)
    with stopped(old) as began:
        with gw.open("POST", PATHS[protocol], body, headers_of(protocol)) as exchange:
            if streams:
                got = Stream(protocol, exchange)
                got.pings(3)
                got.speaks(1)
                took = time.monotonic() - began
                check_whole(got.rest(), local(protocol))
            else:
                reply = exchange.read()
                took = time.monotonic() - began
                assert reply.status == 200, reply
                assert text_of(protocol, reply.json).startswith(local(protocol))
    check_replaced(gw, old)
    assert took < IDLE + SLACK, took
    measured(f"a server that hung while idle ({protocol}): answered after {took:.2f} s")


def test_twice_in_a_row(make_gateway):
    """The watch begins anew with each server."""
    gw, old = start(make_gateway)
    for _ in range(2):
        with stopped(old):
            reply = gw.chat("hi", max_tokens=5)
            # one that came back hanging again is given a pause
            assert reply.status == 200, reply
        check_replaced(gw, old)
        old = gw.profile("demo-chat")["pid"]


def test_every_request_of_a_hung_server_ends(make_gateway):
    gw, old = start(make_gateway, SLOTS=3, CTX_SIZE=24576, **ENDLESS)
    got = []
    for protocol in PROTOCOLS:
        got.append(Stream(protocol, open_stream(gw, protocol, **LONG)))
        got[-1].speaks()
    ends = []
    with stopped(old) as began:
        for one in got:
            ends.append(Later(one.rest))
        for end in ends:
            end.result(IDLE + SLACK)
        took = time.monotonic() - began
        for one in got:
            check_failed(one, False)
        assert took < IDLE + SLACK
    reply = gw.chat("hi", max_tokens=5)
    assert reply.status == 200, reply
    entry = gw.profile("demo-chat")
    assert (entry["leases"], entry["waiting"]) == (0, 0), entry


def test_it_goes_on_before_the_deadline(make_gateway):
    """A pause that ends is no harm."""
    gw, pid = start(make_gateway)
    got = Stream(CHAT, open_stream(gw, CHAT, limit=300))
    got.speaks()
    with stopped(pid):
        # it is asked whether it is alive, and goes on before the answer is due
        wait_until(lambda: "is it alive?" in gw.log, IDLE, "the question")
    check_whole(got.rest(), local(CHAT))
    assert gw.profile("demo-chat")["pid"] == pid
    assert "it hung" not in gw.log


def test_a_caller_that_does_not_read_is_no_hang(make_gateway):
    gw, pid = start(make_gateway, TIMEOUT_IDLE="1s", **ENDLESS)
    sock = socket.socket()
    # hardly any room, and large events to fill the rest with
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(gw.address)
    body = ask(CHAT, "hi", "auto", True, 1500, logprobs=True, top_logprobs=20)
    with Exchange(sock, "POST") as exchange:
        sock.sendall(encode("POST", PATHS[CHAT], body))
        got = Stream(CHAT, exchange).speaks(1)
        until = time.monotonic() + 5
        wait_until(lambda: time.monotonic() >= until, 6, "several idle deadlines", 0.1)
        check_whole(got.rest(), local(CHAT))
    assert gw.profile("demo-chat")["pid"] == pid and "it hung" not in gw.log


def test_a_restore_meanwhile_does_not_hide_it(make_gateway):
    """The question whether it is alive, and a conversation that is brought back just then."""
    gw, _ = start(make_gateway, manager={"KV_MAX": 1024}, SLOTS=2, CTX_SIZE=16384,
                  TIMEOUT_IDLE="8s", **ENDLESS)
    talk = [{"role": "user", "content": words("word", 200)}]
    reply = gw.post(PATHS[CHAT], {"model": "auto", "messages": talk, "max_tokens": 20})
    assert reply.status == 200, reply
    talk += [{"role": "assistant", "content": text_of(CHAT, reply.json)},
             {"role": "user", "content": "and?"}]
    gw.cli("unload", "demo-chat")
    gw.wait_profile("demo-chat", "off")
    assert list((gw.state / "kv" / "demo-chat").iterdir()), "nothing was saved"
    got = Stream(CHAT, open_stream(gw, CHAT, "hello", **LONG)).speaks()
    old = gw.profile("demo-chat")["pid"]
    with stopped(old) as began:
        wait_until(lambda: "is it alive?" in gw.log, 8, "the question")
        body = {"model": "auto", "messages": talk, "max_tokens": 5}
        reply = gw.post(PATHS[CHAT], body, timeout=30)
        took = time.monotonic() - began
        assert reply.status == 200 and took < 8 + SLACK, (reply, took)
    check_failed(got.rest(), False)
    check_replaced(gw, old)


def test_a_slow_prompt_is_no_hang(make_gateway, measured):
    """Of a messages prompt nothing is heard until it has been read, however long that takes."""
    gw, pid = start(make_gateway, SLOTS=2, CTX_SIZE=32768, RAM=600, TIMEOUT_IDLE="2s",
                    EXTRA_ARGS="--batch-size 32 --ubatch-size 32 --threads 1 --threads-batch 1")
    # a neighbour's prompt takes its share of every batch
    neighbour = Stream(CHAT, open_stream(gw, CHAT, words("a", 900), limit=5))
    wait_until(lambda: gw.profile("demo-chat")["leases"] == 1, 10, "the first prompt")
    began = time.monotonic()
    got = Stream(MESSAGES, open_stream(gw, MESSAGES, words("b", 900), limit=5))
    got.rest()
    took = time.monotonic() - began
    check_whole(got, "")
    check_whole(neighbour.rest(), "")
    assert took > 2, f"the machine is too fast for this test: {took}"
    assert "is it alive?" in gw.log
    assert "it hung" not in gw.log and gw.profile("demo-chat")["pid"] == pid
    measured(f"a prompt that took {took:.1f} s in silence, idle deadline 2 s: left alone")


def words(start_with, n):
    return " ".join(f"{start_with}{i}" for i in range(n))


# --- TIMEOUT_FIRST_TOKEN ---


@pytest.mark.parametrize("protocol", ALL)
def test_no_first_token_in_time(make_gateway, protocol):
    gw, pid = start(make_gateway, TIMEOUT_FIRST_TOKEN="2s", TIMEOUT_IDLE="60s")
    with stopped(pid) as began:
        reply = gw.post(PATHS[protocol], ask(protocol, "hi"), headers_of(protocol))
        took = time.monotonic() - began
    assert reply.status == 504, reply
    assert "in time" in error_of(protocol, reply)
    assert 1.9 < took < 2.6, took
    # nothing says that the server hangs: only this request was not worth the wait
    assert gw.profile("demo-chat")["pid"] == pid


@pytest.mark.parametrize("on_cut", ["close", "error"])
@pytest.mark.parametrize("protocol", ALL)
def test_no_first_token_after_signs_of_life(make_gateway, protocol, on_cut):
    gw, pid = start(make_gateway, {"ON_CUT": on_cut}, TIMEOUT_FIRST_TOKEN="2s", TIMEOUT_IDLE="60s")
    with stopped(pid) as began:
        got = Stream(protocol, open_stream(gw, protocol))
        got.pings(3)
        got.rest()
        took = time.monotonic() - began
    check_failed(got, on_cut == "error")
    if got.failures:
        assert "in time" in got.failures[0].data
    assert 1.9 < took < 2.6, took


def test_the_fallback_answers_for_a_hung_one(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat", TIMEOUT_FIRST_TOKEN="1s"),
                       "demo-coder": profile("demo-coder")}, routes(fallback="demo-coder"),
                      manager={"RAM": 1000})
    assert gw.chat("hi", max_tokens=2).status == 200
    with stopped(gw.profile("demo-chat")["pid"]):
        got = Stream(CHAT, open_stream(gw, CHAT))
        got.pings(2)
        check_whole(got.rest(), local(CHAT, "demo-coder"))
