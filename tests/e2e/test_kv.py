"""What the slots of a server hold is kept across switches, and is never taken for another's."""

import os
import re
import shutil
import stat
import time

import pytest
from harness import auto_route, llama_server, model_file, profile, wait_until
from speak import (CHAT, MESSAGES, PATHS, PROTOCOLS, RESPONSES, ask, delta_of, headers_of,
                   text_of)

ROUTE = {"20-auto.conf": auto_route("demo-chat,demo-coder")}
LONG, SHORT = 8000, 1000
NEW_TOKENS = 64
FILE = re.compile(r"^[0-9a-f]{16}-[0-9a-f]{16}-[0-9]+\.bin$")


def both(**keys):
    return {"demo-chat": profile("demo-chat", **{"CTX_SIZE": 16384, **keys}),
            "demo-coder": profile("demo-coder")}


# tokens that the demo models make of one word of `filler`, roughly
TOKENS_PER_WORD = 4.9


def filler(tokens, mark="word"):
    """A text of about so many tokens that is different for every mark."""
    return " ".join(f"{mark}{n:04d}" for n in range(int(tokens / TOKENS_PER_WORD)))


class Turn:
    """One answer. `prompt` are all tokens of the question, `cached` those of them not processed."""

    def __init__(self, prompt, cached, text, first_ms):
        self.prompt = prompt
        self.cached = cached
        self.text = text
        self.first_ms = first_ms

    @property
    def processed(self):
        return self.prompt - self.cached

    def __repr__(self):
        return f"Turn(prompt={self.prompt}, cached={self.cached}, first_ms={self.first_ms:.0f})"


def counts(protocol, value):
    """Tokens of the prompt, and how many of them came from the cache."""
    usage = value["usage"]
    if protocol == CHAT:
        return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]
    if protocol == RESPONSES:
        return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"]
    return usage["input_tokens"] + usage["cache_read_input_tokens"], \
        usage["cache_read_input_tokens"]


def streamed_counts(protocol, events):
    """The same of a stream, whose last word counts."""
    found = None
    for event in events:
        if event.done:
            continue
        value = event.json
        value = value.get("response") or value.get("message") or value
        usage = value.get("usage") or {}
        # a delta of Anthropic's repeats what has changed only
        if usage and (protocol != MESSAGES or "cache_read_input_tokens" in usage):
            found = counts(protocol, value)
    assert found, events[-3:]
    return found


def said_by(role, text, protocol):
    """A message of the history, as the protocol has it."""
    if protocol == RESPONSES and role == "assistant":
        return {"type": "message", "role": role, "id": "msg_1", "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}]}
    return {"role": role, "content": text}


class Talk:
    """What was said so far, and the next turn."""

    def __init__(self, gw, opening, protocol=CHAT, model="demo-chat"):
        self.gw = gw
        self.protocol = protocol
        self.model = model
        self.said = []
        self.opening = opening

    def body(self, text, limit, stream):
        said = self.said + [said_by("user", text, self.protocol)]
        more = {"input": said} if self.protocol == RESPONSES else {"messages": said}
        if stream and self.protocol == CHAT:
            more["stream_options"] = {"include_usage": True}
        return ask(self.protocol, text, model=self.model, stream=stream, limit=limit, **more)

    def begin(self, **how):
        return self.say(self.opening, **how)

    def say(self, text="And what comes next?", limit=16, stream=False):
        body = self.body(text, limit, stream)
        path, headers = PATHS[self.protocol], headers_of(self.protocol)
        began = time.monotonic()
        if stream:
            turn = self._read_stream(path, body, headers, began)
        else:
            reply = self.gw.post(path, body, headers)
            assert reply.status == 200 and reply.complete, reply
            turn = Turn(*counts(self.protocol, reply.json), text_of(self.protocol, reply.json),
                        (time.monotonic() - began) * 1000)
        self.said += [said_by("user", text, self.protocol),
                      said_by("assistant", turn.text, self.protocol)]
        return turn

    def _read_stream(self, path, body, headers, began):
        events, text, first = [], "", None
        with self.gw.open("POST", path, body, headers) as exchange:
            for event in exchange.events():
                piece = delta_of(self.protocol, event)
                if piece and first is None:
                    first = time.monotonic()
                text += piece
                events.append(event)
        assert exchange.status == 200 and exchange.complete and first, events[-2:]
        return Turn(*streamed_counts(self.protocol, events), text, (first - began) * 1000)


@pytest.fixture
def make(make_gateway):
    """Two profiles that do not fit together."""
    def made(manager=None, models=None, **keys):
        return make_gateway(models or both(**keys), ROUTE,
                            manager={"RAM": 300, "MIN_RESIDENCY": 0, **(manager or {})})

    return made


def switch_away(gw):
    assert gw.chat("hi", model="demo-coder", max_tokens=2).status == 200
    assert gw.profile("demo-chat")["state"] == "off"


def files(gw, name="demo-chat"):
    folder = gw.state / "kv" / name
    return sorted(folder.iterdir()) if folder.is_dir() else []


def counted(gw, what, name="demo-chat"):
    """pointsman_kv_total of one kind, 0 while nothing has been counted."""
    for line in gw.get("/metrics").text.splitlines():
        if line.startswith("pointsman_kv_total{") and f'profile="{name}"' in line \
                and f'what="{what}"' in line:
            return int(float(line.split()[-1]))
    return 0


def is_restored(turn, before):
    """Only what is new was processed; `before` is the turn whose tokens were kept."""
    return turn.cached >= before.prompt - NEW_TOKENS and turn.processed <= NEW_TOKENS


# how much it saves

@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_after_a_switch_only_what_is_new_is_processed(make, protocol, stream):
    gw = make()
    talk = Talk(gw, filler(SHORT), protocol)
    first = talk.begin(stream=stream)
    assert first.cached == 0 and first.prompt >= SHORT * 0.9, first
    for _ in range(2):
        switch_away(gw)
        assert len(files(gw)) == 1, gw.log_tail()
        second = talk.say(stream=stream)
        assert is_restored(second, first), (first, second)
        first = second
    assert counted(gw, "saved") == counted(gw, "restored") == counted(gw, "useful") == 2
    assert counted(gw, "failed") == counted(gw, "useless") == 0


@pytest.mark.parametrize("keep", ["yes", "no"])
def test_a_long_conversation(make, measured, keep):
    gw = make(KEEP_KV=keep)
    talk = Talk(gw, filler(LONG))
    first = talk.begin(stream=True)
    assert first.prompt >= LONG and first.cached == 0, first
    switch_away(gw)
    second = talk.say(stream=True)
    measured(f"turn after a switch, {second.prompt} tokens of prompt, KEEP_KV={keep}: first token"
             f" after {second.first_ms:.0f} ms with the load, {second.processed} tokens processed")
    if keep == "yes":
        assert second.cached >= LONG - NEW_TOKENS and second.processed <= NEW_TOKENS, second
    else:
        assert second.cached == 0 and second.processed >= LONG, second
        assert not files(gw)


def test_two_slots_two_conversations(make):
    gw = make(SLOTS=2)
    talks = [Talk(gw, filler(SHORT + 200 * n, mark)) for n, mark in enumerate(("red", "blue"))]
    before = [talk.begin() for talk in talks]
    for _ in range(2):
        switch_away(gw)
        assert len(files(gw)) == 2, gw.log_tail()
        # in the other order: each must find its own
        after = [talk.say() for talk in reversed(talks)][::-1]
        assert all(is_restored(a, b) for a, b in zip(after, before)), (before, after)
        before = after
    assert counted(gw, "useful") == counted(gw, "restored") == 4


def test_two_conversations_of_equal_length(make):
    """Which slot was whose is told by numbers of tokens: equal ones cost time, never an answer."""
    gw = make(SLOTS=2)
    talks = [Talk(gw, filler(SHORT, mark)) for mark in ("lefty", "right")]
    first = [talk.begin() for talk in talks]
    switch_away(gw)
    for talk, before in zip(talks, first):
        turn = talk.say()
        assert turn.text and turn.prompt > before.prompt
    assert gw.profile("demo-chat")["state"] == "ready"


@pytest.mark.parametrize("slots", [None, 1, 2])
def test_a_conversation_from_before_comes_back(make, slots):
    """A file is of use as long as it is there, whoever had the slot meanwhile."""
    gw = make(SLOTS=slots)
    red, blue = (Talk(gw, filler(SHORT, mark)) for mark in ("red", "blue"))
    first = red.begin()
    switch_away(gw)
    blue.begin()
    switch_away(gw)
    assert is_restored(red.say(), first)


def test_short_conversations_are_not_worth_a_file(make):
    gw = make()
    Talk(gw, "hello").begin()
    switch_away(gw)
    assert not files(gw) and counted(gw, "saved") == 0


@pytest.mark.parametrize("how", ["unload", "ttl", "stop", "sigterm", "switch"])
def test_every_kind_of_end_keeps(make, how):
    gw = make(TTL="1s" if how == "ttl" else None)
    talk = Talk(gw, filler(SHORT))
    first = talk.begin()
    if how == "unload":
        gw.cli("unload", "demo-chat")
    elif how == "stop":
        gw.cli("stop")
        assert gw.proc.wait(20) == 0
        gw.start()
    elif how == "sigterm":
        gw.restart()
    elif how == "switch":
        gw.cli("switch", "demo-coder", "--wait")
    gw.wait_profile("demo-chat", "off", 10)
    assert len(files(gw)) == 1, gw.log_tail()
    assert is_restored(talk.say(), first)


@pytest.mark.parametrize("slots", [None, 1, 2])
def test_an_answer_that_was_broken_off(make, slots):
    """Escape is pressed and something else is done: the conversation is still in its slot."""
    gw = make(SLOTS=slots)
    talk = Talk(gw, filler(SHORT))
    first = talk.begin()
    body = talk.body("Tell me everything", 3000, True)
    with gw.open("POST", PATHS[CHAT], {**body, "ignore_eos": True}) as exchange:
        events = exchange.events()
        for _ in range(20):
            next(events)
        exchange.reset()
    wait_until(lambda: gw.profile("demo-chat")["leases"] == 0, 10, "the slot to be free")
    switch_away(gw)
    assert is_restored(talk.say("Something shorter, please"), first)


def test_an_adopted_server_keeps_what_it_holds(make):
    """After the manager's death the file is older than what the slot holds: it must not win."""
    gw = make(SLOTS=1)
    talk = Talk(gw, filler(SHORT))
    talk.begin()
    switch_away(gw)
    grown = talk.say(filler(2 * SHORT, "more"))
    gw.kill_manager()
    gw.start()
    gw.wait_profile("demo-chat", "ready")
    assert is_restored(talk.say(), grown)


# files

def test_files_are_nobody_elses_business(make):
    gw = make()
    Talk(gw, filler(SHORT)).begin()
    switch_away(gw)
    folder = gw.state / "kv"
    for path in (folder, folder / "demo-chat"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    kept = files(gw)
    assert [path for path in kept if FILE.match(path.name)] == kept and len(kept) == 1
    assert stat.S_IMODE(kept[0].stat().st_mode) == 0o600


def test_a_growing_conversation_has_one_file(make):
    gw = make()
    talk = Talk(gw, filler(SHORT))
    talk.begin()
    sizes = []
    for _ in range(3):
        switch_away(gw)
        assert len(files(gw)) == 1
        sizes.append(files(gw)[0].stat().st_size)
        talk.say(filler(300, "more"))
    assert sizes == sorted(set(sizes))


def test_kv_max_removes_what_was_used_longest_ago(make):
    gw = make({"KV_MAX": 8})
    red, blue = (Talk(gw, filler(2 * SHORT, mark)) for mark in ("red", "blue"))
    red.begin()
    switch_away(gw)
    old = files(gw)
    first = blue.begin()
    switch_away(gw)
    assert len(files(gw)) == 2, "the test wants two files that fit"
    assert sum(path.stat().st_size for path in files(gw)) < 8 << 20
    # the one that was saved last but restored first is now the younger one
    red.say()
    blue_files = [path for path in files(gw) if path != old[0]]
    third = Talk(gw, filler(2 * SHORT, "green"))
    third.begin()
    switch_away(gw)
    wait_until(lambda: sum(p.stat().st_size for p in files(gw)) <= 8 << 20, 5, "the trimming")
    assert not blue_files[0].exists(), files(gw)
    turn = blue.say()
    assert turn.cached == 0 and turn.prompt > first.prompt
    # that a file was trimmed is no failure of anything
    assert counted(gw, "failed") == 0, gw.log_tail()


def test_kv_max_of_nothing(make):
    gw = make({"KV_MAX": 0})
    talk = Talk(gw, filler(SHORT))
    talk.begin()
    switch_away(gw)
    assert not files(gw)
    assert talk.say().cached == 0
    assert counted(gw, "saved") == counted(gw, "restored") == 0


@pytest.mark.parametrize("how", ["KV_MAX=0", "KEEP_KV=no"])
def test_switched_off_later(make, how):
    """What was kept before is neither used nor left behind."""
    gw = make()
    talk = Talk(gw, filler(SHORT))
    talk.begin()
    switch_away(gw)
    assert files(gw)
    keep = {"KEEP_KV": "no"} if how == "KEEP_KV=no" else {}
    manager = {"RAM": 300, "MIN_RESIDENCY": 0, **({} if keep else {"KV_MAX": 0})}
    generation = gw.status()["generation"]
    gw.write_models(both(**keep), manager)
    wait_until(lambda: gw.status()["generation"] > generation, 10, "the new configuration")
    assert talk.say().cached == 0
    switch_away(gw)
    assert not files(gw)


# what a file depends on

def own_server(folder):
    script = folder / "own-llama-server"
    script.write_text(f'#!/bin/sh\nexec {llama_server()} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.mark.parametrize("what", ["ctx", "model", "server"])
def test_files_of_another_setting_are_not_restored(make, tmp_path, what):
    model = tmp_path / "own.gguf"
    shutil.copy(model_file("demo-chat"), model)
    server = own_server(tmp_path)
    gw = make(MODEL=model, LLAMA_SERVER=server)
    talk = Talk(gw, filler(SHORT))
    talk.begin()
    switch_away(gw)
    old = files(gw)
    assert len(old) == 1
    if what == "ctx":
        generation = gw.status()["generation"]
        gw.write_models(both(MODEL=model, LLAMA_SERVER=server, CTX_SIZE=12288),
                        {"RAM": 300, "MIN_RESIDENCY": 0})
        wait_until(lambda: gw.status()["generation"] > generation, 10, "the new configuration")
    elif what == "model":
        os.utime(model, (1, 1))
    else:
        os.replace(own_server(tmp_path), server)
        os.utime(server, (1, 1))
    turn = talk.say()
    assert turn.cached == 0, turn
    assert not old[0].exists()
    assert counted(gw, "restored") == counted(gw, "failed") == 0
    switch_away(gw)
    assert len(files(gw)) == 1
    assert is_restored(talk.say(), turn)


@pytest.mark.parametrize("harm", ["cut", "garbage", "empty", "gone"])
def test_a_spoilt_file_costs_nothing_but_time(make, harm):
    gw = make()
    talk = Talk(gw, filler(SHORT))
    first = talk.begin()
    switch_away(gw)
    kept = files(gw)[0]
    if harm == "cut":
        os.truncate(kept, kept.stat().st_size // 2)
    elif harm == "garbage":
        kept.write_bytes(os.urandom(kept.stat().st_size))
    elif harm == "empty":
        os.truncate(kept, 0)
    else:
        kept.unlink()
    turn = talk.say()
    assert turn.cached == 0 and turn.prompt > first.prompt, turn
    assert not kept.exists()
    assert counted(gw, "failed") <= 1 and (counted(gw, "failed") or harm == "gone")
    entry = gw.profile("demo-chat")
    assert entry["state"] == "ready" and entry["loads"] == 2, gw.log_tail()
    switch_away(gw)
    assert is_restored(talk.say(), turn)


def test_swapped_files_never_mix_answers(make):
    """Each file under the other's name: the server compares the tokens, so it is only slow."""
    gw = make(SLOTS=2)
    talks = [Talk(gw, filler(SHORT + 300 * n, mark)) for n, mark in enumerate(("red", "blue"))]
    for talk in talks:
        talk.begin()
    switch_away(gw)
    one, two = files(gw)
    kept = one.read_bytes(), two.read_bytes()
    one.write_bytes(kept[1])
    two.write_bytes(kept[0])
    for talk in talks:
        turn = talk.say()
        assert turn.text.startswith("I am demo-chat"), turn.text


# a model whose state cannot be restored

def test_useless_twice_switches_it_off(make):
    """The caller rewrites all but the opening each time: nothing of what was kept is of use."""
    gw = make()
    for turn in range(3):
        talk = Talk(gw, "hello")
        talk.begin()
        talk.say(filler(SHORT, f"turn{turn}"))
        switch_away(gw)
    assert counted(gw, "useless") == 2, gw.log_tail()
    assert "KV is not kept any more" in gw.log
    saved = counted(gw, "saved")
    last = Talk(gw, filler(SHORT))
    last.begin()
    switch_away(gw)
    assert last.say().cached == 0
    assert counted(gw, "saved") == saved


def test_once_useful_it_stays_on(make):
    gw = make()
    talk = Talk(gw, filler(SHORT))
    talk.begin()
    switch_away(gw)
    talk.say()
    for turn in range(4):
        other = Talk(gw, "hello")
        other.begin()
        other.say(filler(SHORT, f"turn{turn}"))
        switch_away(gw)
    assert counted(gw, "useless") >= 2 and counted(gw, "useful") == 1
    assert "KV is not kept any more" not in gw.log


# in the middle of a restore

def hold_restore(gw):
    """The file becomes a pipe: whoever opens it waits until somebody writes."""
    kept = files(gw)[0]
    kept.unlink()
    os.mkfifo(kept)
    return kept


def wait_for_restore(gw):
    """Ready, and yet nobody is served."""
    def held():
        entry = gw.profile("demo-chat")
        return entry["state"] == "ready" and entry["waiting"] == 1 and not entry["leases"]

    wait_until(held, 10, "the restore to begin")


def let_go(pipe):
    """Whoever waits for a writer gets one, and an end."""
    os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


def test_a_client_that_leaves_during_the_restore(make):
    gw = make(SLOTS=1)
    talk = Talk(gw, filler(SHORT))
    talk.begin()
    switch_away(gw)
    pipe = hold_restore(gw)
    with gw.open("POST", "/v1/chat/completions", talk.body("And then?", 16, False)) as exchange:
        wait_for_restore(gw)
        exchange.reset()
    wait_until(lambda: gw.profile("demo-chat")["waiting"] == 0, 10, "the waiter to be gone")
    let_go(pipe)
    assert gw.chat("hi", model="demo-chat").status == 200
    entry = gw.profile("demo-chat")
    assert entry["leases"] == 0 and entry["loads"] == 2
    assert not pipe.exists()


def test_a_server_that_dies_during_the_restore(make):
    gw = make(SLOTS=1)
    talk = Talk(gw, filler(SHORT))
    talk.begin()
    switch_away(gw)
    pipe = hold_restore(gw)
    with gw.open("POST", "/v1/chat/completions", talk.body("And then?", 16, False)) as exchange:
        wait_for_restore(gw)
        pipe.unlink()
        gw.kill_server("demo-chat")
        reply = exchange.read()
    assert reply.status == 200, reply
    assert gw.profile("demo-chat")["leases"] == 0


def test_an_unload_during_the_restore(make):
    gw = make(SLOTS=1)
    talk = Talk(gw, filler(SHORT))
    talk.begin()
    switch_away(gw)
    pipe = hold_restore(gw)
    with gw.open("POST", "/v1/chat/completions", talk.body("And then?", 16, False)) as exchange:
        wait_for_restore(gw)
        pipe.unlink()
        gw.cli("unload", "demo-chat")
        reply = exchange.read()
    assert reply.status == 200, reply
    assert gw.profile("demo-chat")["leases"] == 0
