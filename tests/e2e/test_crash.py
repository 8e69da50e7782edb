"""Every process of the gateway is killed in turn; the others go on."""

import os
import signal
import time

import policies
import pytest
from harness import (Crowd, Truncated, alive, auto_route, llama_server, process_state,
                     profile, wait_until)
from speak import CHAT, is_success_end, streamed_text, text_of

LONG = {"model": "demo-chat", "stream": True, "max_tokens": 4000, "ignore_eos": True,
        "messages": [{"role": "user", "content": "hi"}]}
ROUTE = {"20-auto.conf": auto_route("demo-chat,demo-coder")}
ROUTE_ONE = {"20-auto.conf": auto_route("demo-chat")}
SMALL_BATCH = "--batch-size 64 --ubatch-size 64"


def both():
    return {"demo-chat": profile("demo-chat"), "demo-coder": profile("demo-coder")}


def loads(gw):
    return {p["id"]: (p["pid"], p["loads"]) for p in gw.status()["profiles"]}


def test_killed_worker_is_replaced_and_the_model_stays(make_gateway, measured):
    gw = make_gateway(both(), ROUTE, workers=2, manager={"RAM": 1000})
    assert gw.chat("hi").status == 200
    before = loads(gw)
    with Crowd(4, lambda n: gw.chat(f"hi {n}", max_tokens=3)) as crowd:
        wait_until(lambda: crowd.count() > 10, 30, "some answers")
        took = []
        for _ in range(3):
            victim = gw.worker_pids()[0]
            failed = len(crowd.bad())
            began = time.monotonic()
            gw.kill_worker(victim)
            wait_until(lambda: len([p for p in gw.worker_pids() if p != victim]) == 2, 5,
                       "a fresh worker")
            took.append(time.monotonic() - began)
            done = crowd.count()
            wait_until(lambda: crowd.count() > done + 10, 30, "more answers")
            # at most what the victim had in its hands: one request of each sender
            assert len(crowd.bad()) - failed <= 4, crowd.bad()[:5]
    assert loads(gw) == before
    measured("a killed worker was replaced after "
             + ", ".join(f"{t * 1000:.0f} ms" for t in took))
    assert sorted(took)[1] < 1, took


def test_the_only_worker_is_killed(make_gateway):
    gw = make_gateway(both(), ROUTE, workers=1, manager={"RAM": 1000})
    assert gw.chat("hi").status == 200
    before = loads(gw)
    victim = gw.kill_worker()
    # the listening socket is the manager's: a client that comes now waits, it is not refused
    assert gw.chat("hi").status == 200
    assert victim not in gw.worker_pids()
    assert loads(gw) == before


def test_slots_of_a_killed_worker_are_free_again(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat", SLOTS=1)}, ROUTE_ONE)
    with gw.open("POST", "/v1/chat/completions", LONG) as exchange:
        events = exchange.events()
        next(events)
        assert gw.profile("demo-chat")["leases"] == 1
        gw.kill_worker()
        with pytest.raises(Truncated):
            list(events)
    reply = gw.chat("hi", model="demo-chat")
    assert reply.status == 200, reply
    assert gw.profile("demo-chat")["leases"] == 0


@pytest.fixture
def slow_server(tmp_path):
    """A llama-server that takes a second to start, so that a load can be caught half way."""
    script = tmp_path / "slow-llama-server"
    script.write_text(f'#!/bin/sh\nsleep 1\nexec {llama_server()} "$@"\n')
    script.chmod(0o755)
    return script


def test_worker_killed_while_a_model_loads(make_gateway, slow_server):
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=slow_server)},
                      ROUTE_ONE)
    with gw.open("POST", "/v1/chat/completions", LONG):
        pid = gw.wait_profile("demo-chat", "loading")["pid"]
        gw.kill_worker()
        reply = gw.chat("hi", model="demo-chat")
    assert reply.status == 200, reply
    entry = gw.profile("demo-chat")
    assert (entry["pid"], entry["loads"]) == (pid, 1)


def kill_manager_and_wait(gw):
    workers = gw.worker_pids(None)
    gw.kill_manager()
    wait_until(lambda: not [pid for pid in workers if alive(pid)], 20, "workers to leave")


def test_killed_manager_next_start_adopts(make_gateway, measured):
    gw = make_gateway(both(), ROUTE, manager={"RAM": 1000})
    for name in ("demo-chat", "demo-coder"):
        assert gw.chat("hi", model=name).status == 200
    before = loads(gw)
    kill_manager_and_wait(gw)
    assert all(alive(pid) for pid, _ in before.values())
    began = time.monotonic()
    gw.start()
    reply = gw.chat("hi", model="demo-coder")
    measured(f"after a killed manager: first answer of an adopted model"
             f" {(time.monotonic() - began) * 1000:.0f} ms after the new start")
    assert reply.status == 200, reply
    assert text_of(CHAT, reply.json).startswith("I am demo-coder")
    after = loads(gw)
    assert {k: pid for k, (pid, _) in after.items()} == \
        {k: pid for k, (pid, _) in before.items()}
    assert all(after[k][1] <= before[k][1] for k in after)
    # an adopted server can be stopped like any other
    gw.cli("unload", "demo-chat")
    gw.wait_profile("demo-chat", "off")
    assert not alive(before["demo-chat"][0])
    assert gw.stop() == 0
    assert not alive(before["demo-coder"][0])


def test_streams_outlive_the_manager(make_gateway):
    gw = make_gateway(both(), ROUTE)
    with gw.open("POST", "/v1/chat/completions", LONG) as exchange:
        events = exchange.events()
        next(events)
        gw.kill_manager()
        rest = list(events)
    assert exchange.complete and rest[-1].done
    assert len(rest) > 3900


def test_a_server_that_no_longer_matches_is_not_adopted(make_gateway):
    gw = make_gateway(both(), ROUTE, manager={"RAM": 1000})
    assert gw.chat("hi", model="demo-chat").status == 200
    assert gw.chat("hi", model="demo-coder").status == 200
    old = loads(gw)
    kill_manager_and_wait(gw)
    gw.write_models({"demo-chat": profile("demo-chat", CTX_SIZE=4096),
                     "demo-coder": profile("demo-coder")}, {"RAM": 1000})
    gw.start()
    wait_until(lambda: not alive(old["demo-chat"][0]), 10, "the stranger to be reaped")
    assert gw.chat("hi", model="demo-chat").status == 200
    assert loads(gw)["demo-coder"][0] == old["demo-coder"][0]


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_server_next_request_is_answered(make_gateway, workers):
    gw = make_gateway(both(), ROUTE, workers=workers)
    assert gw.chat("hi").status == 200
    for _ in range(2):
        old = gw.kill_server("demo-chat")
        reply = gw.chat("hi")
        assert reply.status == 200, reply
        assert text_of(CHAT, reply.json).startswith("I am demo-chat")
        assert gw.profile("demo-chat")["pid"] != old
        assert process_state(old) in ("", "X"), "the dead server was not reaped"


def test_killed_server_before_the_first_byte_is_replayed(make_gateway):
    """Nothing had been sent: the client must not notice."""
    gw = make_gateway({"demo-chat": profile("demo-chat", SLOTS=1, EXTRA_ARGS=SMALL_BATCH)},
                      ROUTE_ONE)
    assert gw.chat("hi").status == 200
    prompt = " ".join(f"word{n}" for n in range(1500))
    with gw.open("POST", "/v1/chat/completions",
                 {"model": "demo-chat", "messages": [{"role": "user", "content": prompt}]}
                 ) as exchange:
        wait_until(lambda: gw.profile("demo-chat")["leases"] == 1, 10, "a lease")
        gw.kill_server("demo-chat")
        reply = exchange.read()
    assert reply.status == 200, reply
    assert text_of(CHAT, reply.json).startswith("I am demo-chat")


def test_killed_server_in_mid_stream_is_no_complete_answer(make_gateway):
    gw = make_gateway(both(), ROUTE)
    with gw.open("POST", "/v1/chat/completions", LONG) as exchange:
        events = []
        stream = exchange.events()
        for _ in range(10):
            events.append(next(stream))
        gw.kill_server("demo-chat")
        try:
            events += list(stream)
        except Truncated:
            pass
    ended = exchange.complete and any(is_success_end(CHAT, e) for e in events)
    if ended:
        # resumed: only allowed when it is the very same answer, in its full length
        assert streamed_text(CHAT, events).startswith("I am demo-chat, a toy model")
        assert len(events) > 3900
    assert gw.chat("hi").status == 200


def test_a_server_that_hangs_is_noticed(make_gateway):
    """A stopped process still owns its socket: only the lack of progress tells."""
    gw = make_gateway({"demo-chat": profile("demo-chat", TIMEOUT_FIRST_TOKEN="2s",
                                            TIMEOUT_IDLE="2s")}, ROUTE_ONE)
    assert gw.chat("hi").status == 200
    old = gw.profile("demo-chat")["pid"]
    os.kill(old, signal.SIGSTOP)
    began = time.monotonic()
    gw.chat("hi")
    assert time.monotonic() - began < 60
    wait_until(lambda: gw.chat("hi").status == 200, 60, "an answer of a new server", 0.2)
    assert gw.profile("demo-chat")["pid"] != old
    assert not alive(old)


def test_a_server_that_dies_at_once_every_time(make_gateway, tmp_path):
    script = tmp_path / "bad-llama-server"
    script.write_text("#!/bin/sh\necho 'error: out of everything' >&2\nexit 3\n")
    script.chmod(0o755)
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=script)}, ROUTE_ONE)
    reply = gw.chat("hi", model="demo-chat")
    assert reply.status in (500, 502, 503), reply
    assert int(reply.header("retry-after", "1")) >= 1
    entry = gw.profile("demo-chat")
    assert "3" in entry["reason"], entry
    assert "out of everything" in gw.cli("logs", "demo-chat").stdout


@pytest.mark.skipif(bool(policies.missing()), reason=policies.missing() or "-")
def test_a_policy_that_crashes_costs_one_worker(make_gateway):
    gw = make_gateway(both(), {"20-auto.conf": auto_route("demo-chat,demo-coder")},
                      workers=2, manager={"RAM": 1000}, own_plugins=True)
    policies.compile_policy("crashy.c", gw.plugins / "crashy.so")
    gw.write_route("10-crashy.conf", {"route": {
        "MODELS": "crashy", "POLICIES": "capability,crashy", "TARGETS": "demo-chat"}})
    wait_until(lambda: gw.chat("hi", model="crashy").status == 200, 10, "the new route")
    wait_until(lambda: {w["state"] for w in gw.status()["workers"]} == {"ready"}, 10,
               "workers to settle")
    before = loads(gw)
    for _ in range(2):
        old = gw.worker_pids()
        assert len(old) == 2
        reply = gw.chat("xyzzy-crash", model="crashy")
        assert reply.status is None, reply
        assert gw.chat("hi").status == 200
        assert gw.chat("hi", model="crashy").status == 200
        wait_until(lambda: len(gw.worker_pids()) == 2, 10, "two workers again")
        assert len(set(gw.worker_pids()) & set(old)) == 1
    assert loads(gw) == before
    assert "signal" in gw.log or "SEGV" in gw.log
