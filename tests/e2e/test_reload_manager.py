"""An edited models.conf: what changed is drained and started anew, all else stays as it runs."""

import shutil
import threading
import time

import pytest
from harness import alive, auto_route, llama_server, model_file, profile, wait_until
from speak import CHAT, error_of, text_of

ROUTE = {"20-auto.conf": auto_route("demo-chat,demo-coder")}
CHAT_ONLY = {"20-auto.conf": auto_route("demo-chat")}
ROOM = {"RAM": 1000, "DRAIN": "60s"}
LONG = {"model": "demo-chat", "stream": True, "max_tokens": 3000, "ignore_eos": True,
        "messages": [{"role": "user", "content": "hi"}]}


def both(**keys):
    return {"demo-chat": profile("demo-chat", **keys), "demo-coder": profile("demo-coder")}


def loaded(make_gateway, **keys):
    gw = make_gateway(both(**keys), ROUTE, manager=ROOM)
    for name in ("demo-chat", "demo-coder"):
        assert gw.chat("hi", model=name, max_tokens=2).status == 200
    return gw


def pids(gw):
    return {p["id"]: p["pid"] for p in gw.status()["profiles"]}


def edit(gw, models, manager=None):
    generation = gw.status()["generation"]
    gw.write_models(models, manager or ROOM)
    wait_until(lambda: gw.status()["generation"] > generation, 10, "the new configuration")
    assert gw.status()["config_error"] is None


@pytest.mark.parametrize("keys", [{"CTX_SIZE": 4096}, {"SLOTS": 2},
                                  {"EXTRA_ARGS": "--batch-size 64"}, {"KV_CACHE_TYPE_K": "f32"},
                                  {"ENV.POINTSMAN_TEST_ANY": "1"}, {"KEEP_KV": "no"}],
                         ids=lambda keys: next(iter(keys)))
def test_what_its_server_was_started_with(make_gateway, keys):
    gw = loaded(make_gateway)
    before = pids(gw)
    edit(gw, both(**keys))
    wait_until(lambda: not alive(before["demo-chat"]), 10, "the old server to end")
    assert gw.chat("hi", model="demo-chat").status == 200
    after = pids(gw)
    assert after["demo-chat"] != before["demo-chat"]
    assert after["demo-coder"] == before["demo-coder"] and alive(after["demo-coder"])


@pytest.mark.parametrize("keys", [{"NAME": "Another name"}, {"DESCRIPTION": "words"},
                                  {"STRENGTH": "0.9"}, {"GOOD_AT": "planner"}, {"TTL": "10m"},
                                  {"QUEUE": 3}, {"PIN": "yes"}, {"RAM": 300}, {"MAX_TOKENS": 99},
                                  {"TIMEOUT_IDLE": "90s"}, {"CAPS": "tools"},
                                  {"ON_UNLOAD": "true"}],
                         ids=lambda keys: next(iter(keys)))
def test_what_its_server_knows_nothing_of(make_gateway, keys):
    gw = loaded(make_gateway)
    before = pids(gw)
    edit(gw, both(**keys))
    for name in before:
        assert gw.chat("hi", model=name, max_tokens=2).status == 200
    assert pids(gw) == before
    assert {p["id"]: p["loads"] for p in gw.status()["profiles"]} == dict.fromkeys(before, 1)


def test_its_running_stream_finishes(make_gateway):
    gw = loaded(make_gateway)
    before = pids(gw)
    with gw.open("POST", "/v1/chat/completions", LONG) as exchange:
        events = exchange.events()
        next(events)
        edit(gw, both(CTX_SIZE=4096))
        wait_until(lambda: gw.profile("demo-chat")["state"] == "draining", 5, "the draining")
        # the other one works on meanwhile
        assert gw.chat("hi", model="demo-coder").status == 200
        assert alive(before["demo-chat"])
        rest = list(events)
    assert exchange.complete and rest[-1].done and len(rest) > 2900
    assert gw.chat("hi", model="demo-chat").status == 200
    after = pids(gw)
    assert after["demo-chat"] != before["demo-chat"]
    assert after["demo-coder"] == before["demo-coder"]
    assert gw.profile("demo-chat")["context"] == 4096


def test_who_waits_is_served_by_the_new_one(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat", SLOTS=1)}, CHAT_ONLY, manager=ROOM)
    with gw.open("POST", "/v1/chat/completions", LONG) as busy:
        next(busy.events())
        with gw.open("POST", "/v1/chat/completions",
                     {**LONG, "stream": False, "max_tokens": 5}) as waiter:
            wait_until(lambda: gw.profile("demo-chat")["waiting"] == 1, 10, "a waiter")
            edit(gw, {"demo-chat": profile("demo-chat", SLOTS=1, CTX_SIZE=4096)})
            busy.reset()
            reply = waiter.read()
    assert reply.status == 200, reply
    assert gw.profile("demo-chat")["context"] == 4096


def test_edited_while_it_loads(make_gateway, tmp_path):
    """The first load is of no use any more; whoever waits gets the second."""
    slow = tmp_path / "slow-llama-server"
    slow.write_text(f'#!/bin/sh\nsleep 1\nexec {llama_server()} "$@"\n')
    slow.chmod(0o755)
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=slow)}, CHAT_ONLY)
    with gw.open("POST", "/v1/chat/completions", {**LONG, "stream": False, "max_tokens": 5}
                 ) as waiter:
        gw.wait_profile("demo-chat", "loading")
        edit(gw, {"demo-chat": profile("demo-chat", LLAMA_SERVER=slow, CTX_SIZE=4096)})
        reply = waiter.read()
    assert reply.status == 200, reply
    wait_until(lambda: gw.chat("hi", model="demo-chat").status == 200
               and gw.profile("demo-chat")["context"] == 4096, 15, "the edited one", 0.2)


def test_a_removed_profile_ends(make_gateway):
    gw = loaded(make_gateway)
    before = pids(gw)
    gw.write_route("20-auto.conf", auto_route("demo-coder"))
    edit(gw, {"demo-coder": profile("demo-coder")})
    wait_until(lambda: not alive(before["demo-chat"]), 10, "its server to end")
    wait_until(lambda: list(pids(gw)) == ["demo-coder"], 10, "it to be gone from the status")
    assert pids(gw) == {"demo-coder": before["demo-coder"]}
    reply = gw.chat("hi", model="demo-chat")
    assert reply.status == 404, reply
    assert gw.chat("hi", model="demo-coder").status == 200


def test_a_removed_profiles_waiters_are_told_at_once(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat", SLOTS=1),
                       "demo-coder": profile("demo-coder")}, ROUTE, manager=ROOM)
    with gw.open("POST", "/v1/chat/completions", LONG) as busy:
        events = busy.events()
        next(events)
        with gw.open("POST", "/v1/chat/completions", {**LONG, "stream": False}) as waiter:
            wait_until(lambda: gw.profile("demo-chat")["waiting"] == 1, 10, "a waiter")
            gw.write_route("20-auto.conf", auto_route("demo-coder"))
            began = time.monotonic()
            edit(gw, {"demo-coder": profile("demo-coder")})
            reply = waiter.read()
            took = time.monotonic() - began
        # what runs still finishes
        rest = list(events)
    assert reply.status in (404, 503), reply
    assert "removed" in error_of(CHAT, reply) or "demo-chat" in error_of(CHAT, reply)
    assert took < 3, took
    assert busy.complete and rest[-1].done


def test_removed_while_it_loads(make_gateway, tmp_path):
    slow = tmp_path / "slow-llama-server"
    slow.write_text(f'#!/bin/sh\nsleep 2\nexec {llama_server()} "$@"\n')
    slow.chmod(0o755)
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=slow),
                       "demo-coder": profile("demo-coder")}, ROUTE, manager=ROOM)
    with gw.open("POST", "/v1/chat/completions", LONG) as waiter:
        pid = gw.wait_profile("demo-chat", "loading")["pid"]
        gw.write_route("20-auto.conf", auto_route("demo-coder"))
        began = time.monotonic()
        edit(gw, {"demo-coder": profile("demo-coder")})
        reply = waiter.read()
        assert time.monotonic() - began < 1.8 and reply.status != 200, reply
    wait_until(lambda: not alive(pid), 10, "its server to end")
    wait_until(lambda: list(pids(gw)) == ["demo-coder"], 10, "it to be gone from the status")


def test_removed_and_back_again(make_gateway):
    gw = loaded(make_gateway)
    old = pids(gw)["demo-chat"]
    gw.write_route("20-auto.conf", auto_route("demo-coder"))
    edit(gw, {"demo-coder": profile("demo-coder")})
    edit(gw, both())
    reply = gw.chat("hi", model="demo-chat")
    assert reply.status == 200 and text_of(CHAT, reply.json).startswith("I am demo-chat"), reply
    assert pids(gw)["demo-chat"] == old or not alive(old)


def test_another_id_for_the_same_file(make_gateway):
    gw = loaded(make_gateway)
    old = pids(gw)["demo-chat"]
    gw.write_route("20-auto.conf", auto_route("renamed,demo-coder"))
    edit(gw, {"renamed": profile("demo-chat"), "demo-coder": profile("demo-coder")})
    reply = gw.chat("hi", model="renamed")
    assert reply.status == 200, reply
    wait_until(lambda: not alive(old), 10, "the old server to end")


def test_a_fault_in_the_file_restarts_nothing(make_gateway):
    gw = loaded(make_gateway)
    before = pids(gw)
    gw.write_models({"demo-chat": profile("demo-chat", CTX_SIZE="many"),
                     "demo-coder": profile("demo-coder", CTX_SIZE=4096)}, ROOM)
    wait_until(lambda: gw.status()["config_error"], 10, "the fault to be told")
    assert gw.chat("hi", model="demo-chat").status == 200
    assert pids(gw) == before


def test_a_new_file_under_the_same_name(make_gateway, tmp_path):
    """A model file that is replaced is used from the next load on; SIGHUP restarts nothing."""
    own = tmp_path / "own.gguf"
    shutil.copy(model_file("demo-chat"), own)
    gw = make_gateway({"demo-chat": profile("demo-chat", MODEL=own)}, CHAT_ONLY)
    assert text_of(CHAT, gw.chat("hi").json).startswith("I am demo-chat")
    fresh = tmp_path / "fresh.gguf"
    shutil.copy(model_file("demo-coder"), fresh)
    fresh.replace(own)
    gw.cli("unload", "demo-chat")
    gw.wait_profile("demo-chat", "off")
    assert text_of(CHAT, gw.chat("hi").json).startswith("I am demo-coder")


def test_many_edits_under_load(make_gateway):
    """Every answer is a whole one, whatever is edited meanwhile."""
    gw = loaded(make_gateway)
    bad, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            reply = gw.chat("hi", model="demo-chat", max_tokens=10)
            if reply.status != 200 or not reply.complete:
                bad.append(reply)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for ctx in (4096, 8192, 4096, 8192):
        edit(gw, both(CTX_SIZE=ctx))
        wait_until(lambda: gw.profile("demo-chat")["context"] == ctx
                   and gw.profile("demo-chat")["state"] == "ready", 20, "the new server")
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not bad, bad[:3]
