"""A profile that runs out of memory: one clear error with numbers, and no loop of loads."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import auto_route, llama_server, profile, wait_until
from speak import CHAT, PATHS, PROTOCOLS, ask, error_of, headers_of, text_of

CODE = "Please refactor this function, the code has a bug to debug"
# beside the address space that is left, its KV of more than 4 GiB is refused
TOO_LONG = 4000000
LIMIT_KIB = 3000000
ROUTE = {"20-auto.conf": auto_route("demo-chat,demo-coder")}


class Small:
    """A llama-server in too little memory, and how often it was started."""

    def __init__(self, folder, only_beside=None):
        self.count = folder / "starts"
        self.script = folder / "small-llama-server"
        limit = f"ulimit -v {LIMIT_KIB}\n"
        if only_beside:
            limit = ('for word; do case $word in */run/*.sock) run=${word%/*};; esac; done\n'
                     f'[ ! -S "$run/{only_beside}.sock" ] || {limit}')
        self.script.write_text(f'#!/bin/sh\necho x >> {self.count}\n{limit}'
                               f'exec {llama_server()} "$@"\n')
        self.script.chmod(0o755)

    @property
    def starts(self):
        return len(self.count.read_text()) // 2 if self.count.exists() else 0


@pytest.fixture
def small(tmp_path):
    return Small(tmp_path)


def big(small, **keys):
    return profile("demo-chat", **{"LLAMA_SERVER": small.script, "CTX_SIZE": TOO_LONG, **keys})


def two(small, **keys):
    return {"demo-chat": big(small, **keys), "demo-coder": profile("demo-coder")}


def assert_says_it(text):
    """What it needs, what there is, what can be changed, and the server's own word on it."""
    assert "out of memory" in text, text
    needs = re.search(r"needs about (\d+) MiB", text)
    assert needs and int(needs[1]) > 4000 and "KV" in text and "700 MiB" in text, text
    assert "CTX_SIZE" in text and "KV_CACHE_TYPE" in text, text
    assert "allocate" in text or "insufficient" in text, text


def test_three_requests_one_load(make_gateway, small):
    gw = make_gateway({"demo-chat": big(small)}, {"20-auto.conf": auto_route("demo-chat")},
                      manager={"RAM": 700})
    for turn in range(3):
        began = time.monotonic()
        reply = gw.chat("hi", model="demo-chat")
        took = time.monotonic() - began
        assert reply.status == 503, reply
        assert_says_it(error_of(CHAT, reply))
        assert int(reply.header("retry-after")) >= 1
        assert turn == 0 or took < 1, took
    assert small.starts == 1
    entry = gw.profile("demo-chat")
    assert entry["state"] == "failed" and entry["loads"] == 1
    assert_says_it(entry["reason"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_hears_the_reason(make_gateway, small, protocol):
    gw = make_gateway({"demo-chat": big(small)}, {"20-auto.conf": auto_route("demo-chat")},
                      manager={"RAM": 700})
    reply = gw.post(PATHS[protocol], ask(protocol, "hi", model="demo-chat"),
                    headers_of(protocol))
    assert reply.status in (503, 529), reply
    assert_says_it(error_of(protocol, reply))


def test_many_at_once_one_load(make_gateway, small):
    gw = make_gateway({"demo-chat": big(small)}, {"20-auto.conf": auto_route("demo-chat")},
                      manager={"RAM": 700}, workers=2)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda n: gw.chat(f"hi {n}", model="demo-chat"), range(16)))
    assert {reply.status for reply in replies} == {503}
    assert all("out of memory" in reply.text for reply in replies)
    assert small.starts <= 2


def test_the_next_target_answers(make_gateway, small):
    gw = make_gateway(two(small), {"20-auto.conf": auto_route("demo-chat", "demo-coder")},
                      manager={"RAM": 700})
    for _ in range(3):
        reply = gw.chat("How was your day?")
        assert reply.status == 200, reply
        assert reply.header("x-pointsman-target") == "demo-coder"
    assert small.starts <= 2
    assert_says_it(gw.profile("demo-chat")["reason"])
    assert gw.profile("demo-coder")["loads"] <= 2


def test_beside_another_it_is_tried_once_more_alone(make_gateway, small):
    gw = make_gateway(two(small), ROUTE, manager={"RAM": 700, "MIN_RESIDENCY": 0})
    assert gw.chat(CODE).status == 200
    replies = [gw.chat("hi", model="demo-chat") for _ in range(3)]
    assert [reply.status for reply in replies] == [503] * 3, replies
    assert_says_it(error_of(CHAT, replies[0]))
    assert small.starts == 2
    assert "tried again without them" in gw.log
    # what had to go for the second try is there again for whoever asks
    reply = gw.chat(CODE)
    assert reply.status == 200 and text_of(CHAT, reply.json).startswith("I am demo-coder")
    assert gw.chat("hi", model="demo-chat").status == 503
    assert gw.profile("demo-coder")["state"] == "ready" and small.starts == 2


def test_alone_there_is_room(make_gateway, tmp_path):
    """What was thought to fit together does not: from now on one at a time, without failures."""
    small = Small(tmp_path, only_beside="demo-coder")
    # small enough for a machine, and too much for what the script leaves it
    gw = make_gateway(two(small, CTX_SIZE=300000, EXTRA_ARGS="--ubatch-size 2048"), ROUTE,
                      manager={"RAM": 700, "MIN_RESIDENCY": 0})
    small.script.write_text(small.script.read_text().replace(str(LIMIT_KIB), "600000"))
    for _ in range(2):
        assert gw.chat(CODE).status == 200
        reply = gw.chat("hi", model="demo-chat")
        assert reply.status == 200, reply
        assert gw.profile("demo-coder")["state"] == "off"
    assert small.starts == 3, "once beside the other, then alone, then after a switch"


def test_a_pinned_neighbour_stays(make_gateway, small):
    """Only what may go goes for the second try; the reason is told with its numbers."""
    models = two(small)
    models["demo-coder"]["PIN"] = "yes"
    models["third"] = profile("demo-coder", RAM=100)
    gw = make_gateway(models, ROUTE, manager={"RAM": 700, "MIN_RESIDENCY": 0})
    assert gw.chat(CODE, model="demo-coder").status == 200
    assert gw.chat(CODE, model="third").status == 200
    pid = gw.profile("demo-coder")["pid"]
    reply = gw.chat("hi", model="demo-chat")
    assert reply.status == 503, reply
    assert_says_it(error_of(CHAT, reply))
    assert gw.profile("demo-coder")["pid"] == pid
    assert small.starts <= 2


@pytest.mark.parametrize("changed", ["CTX_SIZE", "LLAMA_SERVER"])
def test_an_edited_profile_gets_a_new_chance_at_once(make_gateway, small, changed):
    gw = make_gateway(two(small), ROUTE, manager={"RAM": 700})
    assert gw.chat("hi", model="demo-chat").status == 503
    generation = gw.status()["generation"]
    keys = {"CTX_SIZE": 4096} if changed == "CTX_SIZE" else {"LLAMA_SERVER": llama_server(),
                                                             "CTX_SIZE": 8192}
    gw.write_models(two(small, **keys), {"RAM": 700})
    wait_until(lambda: gw.status()["generation"] > generation, 10, "the new configuration")
    reply = gw.chat("hi", model="demo-chat")
    assert reply.status == 200, reply
    assert gw.profile("demo-chat")["state"] == "ready"


def test_an_edit_of_its_name_is_no_new_chance(make_gateway, small):
    gw = make_gateway(two(small), ROUTE, manager={"RAM": 700})
    assert gw.chat("hi", model="demo-chat").status == 503
    starts, generation = small.starts, gw.status()["generation"]
    gw.write_models(two(small, NAME="Another name"), {"RAM": 700})
    wait_until(lambda: gw.status()["generation"] > generation, 10, "the new configuration")
    assert gw.chat("hi", model="demo-chat").status == 503
    assert small.starts == starts


def test_by_hand(make_gateway, small):
    gw = make_gateway(two(small), ROUTE, manager={"RAM": 700})
    for turn in (1, 2):
        done = gw.cli("switch", "demo-chat", "--wait", check=1)
        assert_says_it(done.stderr)
        assert small.starts == turn, "by hand it is tried every time"
    assert gw.chat(CODE).status == 200
    done = gw.cli("switch", "demo-chat", "--wait", check=1)
    assert_says_it(done.stderr)
    assert small.starts == 4 and gw.chat(CODE).status == 200


def test_another_failure_is_forgotten_after_its_pause(make_gateway, tmp_path):
    """Nothing else happens at the gateway meanwhile that could remind it."""
    script = tmp_path / "first-time-bad"
    been = tmp_path / "been-here"
    script.write_text(f'#!/bin/sh\n[ -e {been} ] || {{ touch {been}; exit 3; }}\n'
                      f'exec {llama_server()} "$@"\n')
    script.chmod(0o755)
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=script)},
                      {"20-auto.conf": auto_route("demo-chat")})
    assert gw.chat("hi", model="demo-chat").status == 503
    wait_until(lambda: gw.chat("hi", model="demo-chat").status == 200, 10, "the second load", 0.3)
