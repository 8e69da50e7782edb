"""Held answers and what is kept of them: money, the cache, what policies hear, large answers, and who judges."""

import time

import policies
import pytest
from harness import wait_until
from held import (CASES, CHAT, KEY, NAMES, PATHS, STRONG, WEAK, Clouds, answer_of, begin, local, logged,
                  metric, route, send)
from keys import Keys, bearer, figure, listed
from test_remote import FarServer, far

pytestmark = pytest.mark.skipif(bool(policies.missing()), reason=policies.missing() or "-")
ONE = {"PRICE_IN": 1000000, "PRICE_OUT": 1000000}
SAID, UP = "The weak cloud said this.", "The upper cloud knows."


@pytest.fixture
def clouds():
    made = Clouds(weak="chat", weakresp="responses", up="chat", judge="chat")
    made.reset()
    made.weak.say(text=SAID, fresh=100, output=50)
    made.weakresp.say(text=SAID, fresh=100, output=50)
    made.up.say(text=UP, fresh=11, output=14)
    yield made
    made.close()


@pytest.fixture
def make(make_gateway):
    """A gateway with the policy reviewer, whose routes are written when the policy is there."""
    def made(models, routes, files=None, **how):
        gw = make_gateway(models, {"00-gateway.conf": {"gateway": {"SILENCE": "5s"}}, **(files or {})},
                          own_plugins=True, manager={"RAM": 1400}, env=KEY, **how)
        policies.compile_policy("reviewer.c", gw.plugins / "reviewer.so")
        for n, one in enumerate(routes):
            gw.write_route(f"{20 + n}-{one['route']['MODELS']}.conf", one)

        def settled():
            status = gw.status()
            assert not status["config_error"], status["config_error"]
            return all(w["state"] == "ready" and w["generation"] == status["generation"]
                       for w in status["workers"])
        wait_until(lambda: len(models_of(gw)) >= len(routes), 20, "the routes", step=0.05)
        wait_until(settled, 20, "the workers", step=0.05)
        return gw

    def models_of(gw):
        key = next(iter(made.key), None)
        listing = gw.get("/v1/models", headers=bearer(key) if key else None)
        names = {one["id"] for one in listing.json.get("data", [])} if listing.status == 200 else set()
        return names & {"auto"}

    made.key = []
    return made


# --- money ---


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
def test_the_caller_pays_for_what_he_got(make, clouds, tmp_path, protocol, stream):
    keys = Keys(tmp_path)
    make.key.append(keys.add("all"))
    asked = {word: keys.add(f"key{n}", TPM=100000, BUDGET=5000) for n, word in
             enumerate(["[accept]", "[reject]", "[ask judge]"])}
    failing = keys.add("failing", TPM=100000, BUDGET=5000)
    models = {name: {**section, **ONE} for name, section in clouds.sections(weak="0.1").items()}
    gw = make(models, [route("auto", "weak,up,judge")], keys.gateway(SILENCE="5s"))
    for word, key in asked.items():
        reply, answer = send(gw, protocol, word, "auto", stream, headers=bearer(key))
        assert answer.text == (UP if word == "[reject]" else SAID)
    for name in ("up", "judge"):
        clouds.by_name[name].fail("status", status=503)
    _, answer = send(gw, protocol, "[reject]", "auto", stream, headers=bearer(failing))
    assert answer.text == SAID

    def spent():
        found = listed(gw, keys)
        return [figure(found[name], "spent") for name in ("key0", "key1", "key2", "failing")]
    # what the judge used is nobody's to pay
    wait_until(lambda: spent() == [150, 25, 150, 150], 5, f"the right sums, not {spent()}", step=0.05)


def test_probabilities_do_not_hide_usage(make, clouds, tmp_path):
    keys = Keys(tmp_path)
    key = keys.add("one", TPM=100000)
    make.key.append(key)
    gw = make({WEAK: local(WEAK), **clouds.sections()}, [route("auto", f"{WEAK},up")], keys.gateway(SILENCE="5s"))
    _, answer = send(gw, CHAT, "[accept][logprobs]", "auto", True, headers=bearer(key))
    sum_of = answer.fresh + answer.cached + answer.output

    def left():
        return send(gw, CHAT, "[reject]", "auto", headers=bearer(key))[0].header("x-ratelimit-remaining-tokens")
    assert left() == str(100000 - sum_of)


# --- the cache ---


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
@pytest.mark.parametrize("usage", [True, False], ids=["usage", "no usage"])
@pytest.mark.parametrize("weak", ["weak", "weakresp", WEAK])
def test_the_delivered_answer_is_kept(make, clouds, protocol, stream, usage, weak):
    if not usage and (protocol != CHAT or not stream):
        pytest.skip("always told")
    more = {} if usage else {"stream_options": {"include_usage": False}}
    gw = make({WEAK: local(WEAK), **clouds.sections(weak="0.1", weakresp="0.1")},
              [route("auto", f"{weak},up", CACHE="10m")])
    first, answer = send(gw, protocol, "[reject]", "auto", stream, temperature=0, **more)
    assert answer.text == UP and first.header("x-pointsman-cache") == "miss"
    for again in (True, False):
        reply, answer = send(gw, protocol, "[reject]", "auto", again, temperature=0)
        assert reply.header("x-pointsman-cache") == "hit" and reply.header("x-pointsman-target") == "up"
        assert answer.text == UP and b"weak" not in reply.body and WEAK.encode() not in reply.body
        assert (answer.fresh + answer.cached, answer.output) == (11, 14)
    asked = len(clouds.up.posts())
    send(gw, protocol, "[accept]", "auto", stream, temperature=0, **more)
    reply, answer = send(gw, protocol, "[accept]", "auto", stream, temperature=0, **more)
    assert reply.header("x-pointsman-cache") == "hit" and reply.header("x-pointsman-target") == weak
    assert answer.text.startswith(SAID if weak != WEAK else f"I am {WEAK}") and len(clouds.up.posts()) == asked


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_goes_out_after_all_is_kept_as_it_went(make, clouds, stream):
    gw = make(clouds.sections(weak="0.1"), [route("auto", "weak,up", CACHE="10m")])
    clouds.up.fail("headers")
    _, answer = send(gw, CHAT, "[reject]", "auto", stream, temperature=0)
    assert answer.text == SAID
    reply, answer = send(gw, CHAT, "[reject]", "auto", stream, temperature=0)
    if reply.header("x-pointsman-cache") == "hit":
        assert reply.header("x-pointsman-target") == "weak" and answer.text == SAID


# --- what policies hear ---


@pytest.mark.parametrize("word, told", [
    ("[accept]", ["kind=2 target=weak status=200 score=1", "kind=0 target=weak status=200 score=-1"]),
    ("[reject]", ["kind=2 target=weak status=200 score=0", "kind=0 target=up status=200 score=-1"]),
    ("[ask judge]", ["kind=2 target=weak status=200 score=1", "kind=0 target=weak status=200 score=-1"]),
    ("[forever judge]", ["kind=2 target=weak status=200 score=1", "kind=0 target=weak status=200 score=-1"])])
def test_what_a_policy_hears(make, clouds, word, told):
    gw = make(clouds.sections(weak="0.1"), [route("auto", "weak,up,judge")])
    send(gw, CHAT, word, "auto", True)
    got = wait_until(lambda: len(logged(gw, "outcome kind=0")) == 1 and logged(gw, r"outcome (.*?) note=<a note>"), 5,
                     "what the policy heard")
    assert got == told
    assert metric(gw, "pointsman_policy_seen_total", 'policy="reviewer"') == len(logged(gw, "review round="))
    end = "rejected" if word == "[reject]" else "accepted"
    assert metric(gw, "pointsman_reviews_total", 'target="weak"', f'end="{end}"') == 1


def test_a_rejected_answer_is_no_failure_of_its_target(make, clouds):
    """It answers two requests of three, each time well enough for a breaker, and stays in use."""
    gw = make(clouds.sections(weak="0.1"), [route("auto", "weak,up")])
    for n in range(18):
        if n % 3 == 0:
            clouds.weak.fail("status", status=500, times=1)
        _, answer = send(gw, CHAT, "[reject]", "auto")
        assert answer.text == UP
    trace = gw.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}).json
    assert trace["target"] == "weak", trace


# --- large answers ---


def large(cloud, size):
    """One that says so much, in large pieces."""
    piece = "x" * (64 << 10)
    base = {"id": "chatcmpl-large", "created": 1, "model": "large"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}

    def reply(h, body, fault):
        n = size // len(piece)
        if not body.get("stream"):
            message = {"role": "assistant", "content": piece * n}
            return h.answer({**base, "object": "chat.completion", "usage": usage,
                             "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}, None)

        def chunk(delta, finish=None, **more):
            choices = [] if more else [{"index": 0, "delta": delta, "finish_reason": finish}]
            return None, {**base, "object": "chat.completion.chunk", "choices": choices, **more}
        events = [chunk({"role": "assistant", "content": ""})] + [chunk({"content": piece})] * n
        return h.stream(events + [chunk({}, "stop"), chunk({}, usage=usage), (None, "[DONE]")], None)

    cloud.replies[PATHS[CHAT]] = reply


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("size, held", [(15 << 20, True), (20 << 20, False)], ids=["15 MiB", "20 MiB"])
def test_a_large_answer(make, clouds, size, held, stream):
    large(clouds.weak, size)
    gw = make(clouds.sections(weak="0.1"), [route("auto", "weak,up")])
    reply, answer = send(gw, CHAT, "[reject]", "auto", stream)
    if held:
        assert answer.text == UP and reply.header("x-pointsman-attempts") == "2"
    else:
        assert len(answer.text) == size and reply.header("x-pointsman-target") == "weak"
    assert metric(gw, "pointsman_reviews_total") == held
    assert send(gw, CHAT, "[reject]", "auto", not stream)[1].text


# --- who judges ---


@pytest.mark.parametrize("suffix", ["", "/v1"])
def test_a_judge_at_a_url(make, clouds, suffix):
    """A base that ends with the version is forgiven, for questions as for answers."""
    server = FarServer("demo-coder")
    try:
        gw = make({**clouds.sections(weak="0.1"), "far": far(server.url + suffix, GOOD_AT="general", STRENGTH="0.9")},
                  [route("auto", "weak,far")])
        assert send(gw, CHAT, "[reject]", "auto")[1].text.startswith("I am demo-coder")
        assert send(gw, CHAT, "[ask far]", "auto")[1].text == SAID
        assert logged(gw, r"review round=1 .* said=<(.*?)>")[0] not in ("", "nothing")
    finally:
        server.close()


def test_a_local_judge(make, clouds):
    gw = make({STRONG: local(STRONG), **clouds.sections(weak="0.1")}, [route("auto", f"weak,{STRONG}")])
    for _ in range(3):
        assert send(gw, CHAT, f"[ask {STRONG}]", "auto", True)[1].text == SAID
    said = logged(gw, r"review round=1 .* said=<(.*?)>")
    assert len(said) == 3 and all(one.startswith("I am") for one in said)


def test_a_judge_that_does_not_start(make, clouds):
    gw = make({STRONG: local(STRONG, PRELOAD="no", LLAMA_SERVER="/bin/false"), **clouds.sections(weak="0.1")},
              [route("auto", f"weak,{STRONG}")])
    began = time.monotonic()
    assert send(gw, CHAT, f"[ask {STRONG}]", "auto", True)[1].text == SAID
    assert time.monotonic() - began < 25


def test_a_judge_whose_manager_has_gone(make, clouds, tmp_path):
    """It waits for its server to start, and nobody is there any more who could tell that it has."""
    idle = tmp_path / "idle"
    idle.write_text("#!/bin/sh\nexec sleep 100\n")
    idle.chmod(0o755)
    gw = make({STRONG: local(STRONG, PRELOAD="no", LLAMA_SERVER=idle), **clouds.sections(weak="0.1")},
              [route("auto", f"weak,{STRONG}")])
    with begin(gw, CHAT, f"[ask {STRONG}]", "auto", False) as exchange:
        wait_until(lambda: logged(gw, "review round=0"), 10, "the review")
        wait_until(lambda: gw.profile(STRONG)["state"] != "unloaded", 10, "the judge to be started", step=0.02)
        gw.kill_manager()
        began = time.monotonic()
        reply = exchange.read()
        assert reply.status == 200 and answer_of(CHAT, reply, False).text == SAID
    assert time.monotonic() - began < 10


@pytest.mark.xfail(strict=False, reason="a question to a judge is no stream: llama-server notices late")
def test_leaving_a_local_judge_that_has_neighbours(make, clouds, tmp_path):
    """A server that is busy finds out late by itself that a whole answer is not wanted any more."""
    path = tmp_path / "server.log"
    strong = local(STRONG, SLOTS=2, CTX_SIZE=65536, RAM=600,
                   EXTRA_ARGS=f"--batch-size 32 --ubatch-size 32 --ignore-eos --log-file {path}")
    gw = make({STRONG: strong, **clouds.sections(weak="0.1")}, [route("auto", f"weak,{STRONG}")])
    gw.wait_profile(STRONG, "ready", 60)
    with begin(gw, CHAT, "hi", STRONG, True, limit=30000) as neighbour:
        next(neighbour.events())
        with begin(gw, CHAT, f"[long {STRONG}]", "auto", False) as exchange:
            wait_until(lambda: path.read_text(errors="replace").count("processing task") >= 2, 20,
                       "the judge to begin")
            exchange.reset()
            wait_until(lambda: "stop processing" in path.read_text(errors="replace"), 1, "the slot")
