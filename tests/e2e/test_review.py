"""Answers that a policy holds back: who gets what, when, and what becomes of it. What the policy does stands in the
request: see reviewer.c."""

import re
import threading
import time

import policies
import pytest
from harness import wait_until
from held import (CASES, CHAT, KEY, NAMES, PATHS, PROTOCOLS, STRONG, WEAK, Clouds, answer_of,
                  ask_and_check, begin, body_of, local, logged, metric, route, send, was_opened)
from script import ask as ask_turns
from speak import is_success_end, streamed_text
from waits import Stream, check_head

pytestmark = pytest.mark.skipif(bool(policies.missing()), reason=policies.missing() or "-")
GATEWAY = {"gateway": {"SILENCE": "300ms", "PING": "100ms"}}
SPARES = 24
SAID = "The weak cloud said this."


class Rig:
    """A gateway with demo models, clouds and the policy reviewer."""

    def __init__(self, make, routes, *defines, models=None, clouds=None, gateway=None, workers=1):
        self.clouds = clouds
        self.used = 0
        sections = clouds.sections(weak="0.1", weakresp="0.1") if clouds else {}
        if clouds and "up" in clouds.by_name:
            sections.update({f"spare{n}": clouds.up.section(GOOD_AT="general") for n in range(SPARES)})
        self.gw = make({**(models or {WEAK: local(WEAK), STRONG: local(STRONG)}), **sections},
                       {"00-gateway.conf": gateway or GATEWAY}, manager={"RAM": 1400}, own_plugins=True, env=KEY,
                       workers=workers)
        policies.compile_policy("reviewer.c", self.gw.plugins / "reviewer.so", *defines)
        for n, (model, targets) in enumerate(routes.items()):
            self.gw.write_route(f"{20 + n}-{model}.conf", route(model, targets))
        self.wait_for(list(routes)[-1])

    def wait_for(self, model):
        def known():
            trace = self.gw.post("/v1/route", body_of(CHAT, "hi", model, False))
            return trace.status == 200 and trace.json["policies"]
        wait_until(known, 20, f"the route {model}", step=0.05)
        wait_until(lambda: {w["state"] for w in self.gw.status()["workers"]} == {"ready"}, 20, "the workers")

    def spare(self):
        """A number of a route whose second target has not failed yet."""
        self.used += 1
        return self.used - 1


@pytest.fixture(scope="module")
def rig(make_module_gateway):
    clouds = Clouds(judge="chat", weak="chat", weakresp="responses", up="chat")
    routes = {"both": f"{WEAK},{STRONG}", "judged": f"{WEAK},{STRONG},judge", "alone": WEAK,
              "clouds": "weak,up,judge", "cloudsr": "weakresp,up", "upward": f"{WEAK},up"}
    routes.update({f"down{n}": f"{WEAK},spare{n}" for n in range(SPARES)})
    routes.update({f"rdown{n}": f"weakresp,spare{n}" for n in range(SPARES)})
    made = Rig(make_module_gateway, routes, clouds=clouds)
    for name in (WEAK, STRONG):
        made.gw.wait_profile(name, "ready", 60)
    yield made
    clouds.close()


@pytest.fixture(autouse=True)
def fresh(request):
    if "rig" in request.fixturenames:
        request.getfixturevalue("rig").clouds.reset()


def later(seconds, call):
    timer = threading.Timer(seconds, call)
    timer.start()
    return timer


# --- taken, turned down ---


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
@pytest.mark.parametrize("word", ["[accept]", "[accept][logprobs]"])
def test_an_accepted_answer(rig, protocol, stream, word):
    reply, answer = ask_and_check(rig.gw, protocol, f"hi {word}", "both", stream, WEAK)
    assert answer.stop == "stop" and answer.output > 10
    assert b"logprob\"" not in reply.body and b"top_logprobs\":[{" not in reply.body


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
@pytest.mark.parametrize("word", ["[reject]", "[reject][logprobs]"])
def test_a_rejected_answer(rig, protocol, stream, word):
    reply, _ = ask_and_check(rig.gw, protocol, f"hi {word}", "both", stream, STRONG, 2)
    assert "held for review" in reply.header("x-pointsman-reason")


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
def test_a_rejected_answer_of_another_protocol(rig, protocol, stream):
    rig.clouds.weakresp.say(text=SAID, reasoning="Thoughts of the first.")
    rig.clouds.up.say(text="The upper cloud knows.")
    reply, answer = send(rig.gw, protocol, "hi [reject]", "cloudsr", stream)
    assert answer.text == "The upper cloud knows." and not answer.thinking
    assert SAID.encode() not in reply.body and b"Thoughts" not in reply.body
    assert was_opened(protocol, reply) or reply.header("x-pointsman-attempts") == "2"


def test_a_stream_without_usage_stays_without(rig):
    for word, by in (("[accept]", WEAK), ("[reject]", STRONG), ("[accept][logprobs]", WEAK)):
        ask_and_check(rig.gw, CHAT, word, "both", True, by, 1 if by == WEAK else 2,
                      stream_options={"include_usage": False})


def test_one_target_only_is_not_held(rig):
    before = metric(rig.gw, "pointsman_reviews_total")
    ask_and_check(rig.gw, CHAT, "[reject]", "alone", True, WEAK)
    assert metric(rig.gw, "pointsman_reviews_total") == before


def test_the_last_target_is_not_held(rig):
    """Where the weak one cannot answer, nobody comes after the strong one: holding it back gains nothing."""
    rig.clouds.weakresp.fail("status", status=500)
    before = metric(rig.gw, "pointsman_reviews_total")
    rig.clouds.up.say(text="The last of them.")
    _, answer = send(rig.gw, CHAT, "[reject]", f"rdown{rig.spare()}", True)
    assert answer.text == "The last of them."
    assert metric(rig.gw, "pointsman_reviews_total") == before


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_two_choices_are_both_there(rig, stream):
    with begin(rig.gw, CHAT, "[accept][logprobs]", "both", stream, n=2) as exchange:
        reply = exchange.read()
    assert reply.status == 200 and reply.complete
    if not stream:
        assert [c["index"] for c in reply.json["choices"]] == [0, 1]
        return
    texts = {0: "", 1: ""}
    for event in reply.events:
        for choice in [] if event.done else event.json["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
    assert all(text.startswith(f"I am {WEAK}") for text in texts.values()), texts


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tools_and_probabilities(rig, stream):
    """llama-server refuses to tell probabilities in a stream of a request with tools."""
    body = ask_turns(CHAT, [("user", "hi [accept][logprobs]")], "both", stream, tools=["look"])
    reply = rig.gw.post(PATHS[CHAT], body)
    assert reply.status == 200, reply
    assert answer_of(CHAT, reply, stream).text.startswith(f"I am {WEAK}")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_probabilities_for_who_asks(rig, stream):
    with begin(rig.gw, CHAT, "[accept][logprobs]", "both", stream, logprobs=True, top_logprobs=1) as exchange:
        reply = exchange.read()
    assert reply.status == 200 and reply.complete and b"\"top_logprobs\":[{" in reply.body


# --- before the decision ---


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("model", ["judged", "clouds"])
def test_only_signs_of_life_before_the_decision(rig, protocol, model):
    rig.clouds.weak.say(text=SAID)
    rig.clouds.judge.fail("stall")
    with begin(rig.gw, protocol, "[ask judge]", model, True) as exchange:
        stream = Stream(protocol, exchange)
        rig.clouds.judge.wait_posts(1)
        stream.pings(4)
        check_head(exchange)
        rig.clouds.judge.heal()
        stream.rest()
    assert exchange.complete and not stream.truncated
    said = streamed_text(protocol, stream.events)
    assert said.startswith(f"I am {WEAK}" if model == "judged" else SAID)
    assert is_success_end(protocol, stream.events[-1])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("model", ["judged", "clouds"])
def test_an_opened_stream_is_well_formed(rig, protocol, model):
    for verdict, text in (("yes", None), ("down", None)):
        rig.clouds.weak.say(text=SAID)
        rig.clouds.up.say(text="The upper cloud knows.")
        rig.clouds.judge.say(text=verdict)
        late_judge(rig.clouds.judge, 0.8)
        reply, answer = send(rig.gw, protocol, "[ask judge]", model, True)
        want = {"judged": (f"I am {WEAK}", f"I am {STRONG}"), "clouds": (SAID, "The upper cloud knows.")}[model]
        assert answer.text.startswith(want[verdict == "down"]), answer.text
        assert want[verdict != "down"].encode() not in reply.body


def late_judge(cloud, seconds):
    """It answers after a while, and well."""
    path = PATHS[cloud.speaks]

    def slow(h, body, fault):
        time.sleep(seconds)  # it is the time itself that is wanted
        cloud.replies[path] = cloud._reply
        return cloud._reply(h, body, fault)

    cloud.replies[path] = slow


def test_a_whole_answer_to_a_stream_that_was_opened(rig):
    """The cloud did not stream, although asked to; while a judge is asked the caller's stream was opened."""
    rig.clouds.weak.say(text=SAID, whole=True)
    rig.clouds.judge.say(text="yes")
    late_judge(rig.clouds.judge, 0.8)
    with begin(rig.gw, CHAT, "[ask judge]", "clouds", True) as exchange:
        reply = exchange.read()
    assert b"HTTP/1.1" not in reply.body + exchange.buf, "a second head in the middle of the body"
    assert answer_of(CHAT, reply, True).text in (SAID, "The cloud says yes.")


def test_the_slot_is_free_while_a_judge_is_asked(rig):
    rig.clouds.judge.fail("stall")
    with begin(rig.gw, CHAT, "[ask judge]", "judged", False) as exchange:
        rig.clouds.judge.wait_posts(1)
        began = time.monotonic()
        _, answer = send(rig.gw, CHAT, "hi", WEAK)
        assert answer.text and time.monotonic() - began < 10
        rig.clouds.judge.heal()
        assert exchange.read().status == 200


# --- callers that leave ---


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
def test_leaving_while_a_cloud_judges(rig, protocol, stream):
    rig.clouds.judge.fail("stall")
    left = rig.clouds.judge.left
    with begin(rig.gw, protocol, "[ask judge]", "judged", stream) as exchange:
        rig.clouds.judge.wait_posts(1)
        exchange.reset()
        wait_until(lambda: rig.clouds.judge.left > left, 1, "the question to be taken back")


@pytest.fixture(scope="module")
def endless(make_module_gateway, tmp_path_factory):
    """Models that talk until they are stopped; their logs are watched, see test_cancel.py."""
    folder = tmp_path_factory.mktemp("endless")
    args = "--batch-size 32 --ubatch-size 32 --ignore-eos --log-file"
    models = {name: local(name, SLOTS=1, CTX_SIZE=32768, RAM=600, EXTRA_ARGS=f"{args} {folder}/{name}.log")
              for name in (WEAK, STRONG)}
    made = Rig(make_module_gateway, {"both": f"{WEAK},{STRONG}"}, models=models)
    for name in models:
        made.gw.wait_profile(name, "ready", 60)
    made.folder = folder
    return made


class ServerLog:
    """What a server has logged since now."""

    def __init__(self, path):
        self.path = path
        self.at = path.stat().st_size

    def has(self, pattern):
        with self.path.open("rb") as file:
            file.seek(self.at)
            return re.search(pattern, file.read().decode("utf-8", "replace"))


@pytest.mark.parametrize("name, limit, word", [(WEAK, 30000, "[accept]"), (STRONG, 5, f"[long {STRONG}]")],
                         ids=["it is written", "it is judged"])
@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
def test_leaving_frees_the_slot(endless, protocol, stream, name, limit, word):
    log = ServerLog(endless.folder / f"{name}.log")
    with begin(endless.gw, protocol, word, "both", stream, limit=limit) as exchange:
        begun = wait_until(lambda: log.has(r"task \d+ \| processing task") and time.monotonic(), 30, "it to begin")
        wait_until(lambda: time.monotonic() > begun + 0.2, 1, "some tokens")
        assert not log.has("stop processing")
        exchange.reset()
        # for a whole answer to a question a server finds out by itself: see test_cancel.py
        bound = 1 if name == WEAK else 3
        wait_until(lambda: log.has("stop processing"), bound, "the slot to be free", 0.002)


# --- nobody else can ---


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
@pytest.mark.parametrize("how", ["refuses", "begins"])
def test_the_held_answer_goes_out_after_all(rig, protocol, stream, how):
    if how == "refuses":
        rig.clouds.up.fail("status", status=503)
    else:
        rig.clouds.up.fail("headers")
    reply, answer = send(rig.gw, protocol, "[reject]", f"down{rig.spare()}", stream)
    assert answer.text.startswith(f"I am {WEAK}") and answer.stop == "stop" and answer.output > 10
    assert was_opened(protocol, reply) or reply.header("x-pointsman-target") == WEAK
    assert metric(rig.gw, "pointsman_reviews_total", f'target="{WEAK}"', 'end="rejected"') >= 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("route_of", ["down", "rdown"])
def test_it_goes_out_after_a_long_silence(rig, protocol, route_of):
    """The stream was opened for the second target, and is the first one's in the end: of one id, and in order."""
    rig.clouds.weakresp.say(text=SAID)
    rig.clouds.up.fail("stall")
    timer = later(0.9, rig.clouds.up.release.set)
    _, answer = send(rig.gw, protocol, "[reject]", f"{route_of}{rig.spare()}", True)
    timer.join()
    assert answer.text.startswith(f"I am {WEAK}" if route_of == "down" else SAID)


def test_the_next_target_is_down(make_gateway):
    models = {WEAK: local(WEAK), STRONG: local(STRONG, LLAMA_SERVER="/bin/false", PRELOAD="no")}
    rig = Rig(make_gateway, {"both": f"{WEAK},{STRONG}"}, models=models)
    for protocol, stream in CASES:
        reply, answer = send(rig.gw, protocol, "[reject]", "both", stream)
        assert answer.text.startswith(f"I am {WEAK}"), (protocol, stream)
        assert reply.header("x-pointsman-target") in (WEAK, STRONG)


# --- policies that misbehave ---


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
def test_asking_for_ever_is_bounded(rig, protocol, stream):
    rig.clouds.judge.say(text="perhaps")
    before = metric(rig.gw, "pointsman_reviews_total")
    ask_and_check(rig.gw, protocol, "[forever judge]", "judged", stream, WEAK)
    assert 1 <= len(rig.clouds.judge.posts()) <= 5
    assert metric(rig.gw, "pointsman_reviews_total") == before + 1, "an answer that was reviewed is counted"


@pytest.mark.parametrize("target", ["nobody", WEAK, "up"])
def test_asking_whoever(rig, target):
    """A target that is none, the same one, one of another route."""
    for word in ("ask", "forever"):
        ask_and_check(rig.gw, CHAT, f"[{word} {target}]", "judged", False, WEAK)
    assert not rig.clouds.up.posts()


def test_a_judge_for_whom_the_request_is_too_private(rig):
    ask_and_check(rig.gw, CHAT, "[ask judge]", "judged", False, WEAK, headers={"x-pointsman-private": "1"})
    assert not rig.clouds.judge.posts()


def test_a_crash_takes_its_worker_only(make_gateway):
    rig = Rig(make_gateway, {"both": f"{WEAK},{STRONG}"}, workers=2)
    servers = {rig.gw.profile(name)["pid"] for name in (WEAK, STRONG) if rig.gw.wait_profile(name, "ready", 60)}
    workers = set(rig.gw.worker_pids())
    with begin(rig.gw, CHAT, "[crash]", "both", True) as exchange:
        reply = exchange.read()
    assert not reply.complete or b"I am" not in reply.body
    wait_until(lambda: len(set(rig.gw.worker_pids())) == 2 and set(rig.gw.worker_pids()) != workers, 20,
               "a new worker", step=0.02)
    assert len(set(rig.gw.worker_pids()) & workers) == 1
    assert {rig.gw.profile(name)["pid"] for name in (WEAK, STRONG)} == servers
    ask_and_check(rig.gw, CHAT, "[reject]", "both", True, STRONG, 2)


def test_too_slow_too_often(make_gateway):
    rig = Rig(make_gateway, {"both": f"{WEAK},{STRONG}"})
    rig.gw.wait_profile(WEAK, "ready", 60)
    for _ in range(60):
        ask_and_check(rig.gw, CHAT, "[slow]", "both", False, WEAK, limit=40)
        if logged(rig.gw, "too often, it is not asked any more"):
            break
    assert metric(rig.gw, "pointsman_policy_over_budget_total", 'policy="reviewer"') > 1
    assert logged(rig.gw, "too often, it is not asked any more")
    before = metric(rig.gw, "pointsman_reviews_total")
    _, answer = send(rig.gw, CHAT, "[reject]", "both", True)
    assert answer.text and metric(rig.gw, "pointsman_reviews_total") == before


def test_holding_without_a_review_holds_nothing(make_gateway):
    rig = Rig(make_gateway, {"both": f"{WEAK},{STRONG}"}, "NO_REVIEW")
    for protocol, stream in CASES:
        ask_and_check(rig.gw, protocol, "[reject]", "both", stream, WEAK)
    assert metric(rig.gw, "pointsman_reviews_total") == 0
