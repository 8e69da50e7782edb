"""Answers that are kept: which requests are the same, for whom, how long, and in what shape."""

import json
import re
import threading
import time
from pathlib import Path

import pytest
from harness import auto_route, wait_until
from keys import COMPILER, Clock, Keys, bearer, figure, listed
from script import PATHS, ScriptedCloud, ask
from speak import streamed_text
from strict_stream import read_stream, read_whole
from waits import is_ping

ENV = {"CLOUD_KEY": "sk-cloud-key"}
CLOCK = Path(__file__).resolve().parent / "clock.c"
PROTOCOLS = ("chat", "responses", "messages")
VERSION = {"anthropic-version": "2023-06-01"}
TURNS = [("user", "What is in the folder?")]


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path)


@pytest.fixture
def clock(tmp_path):
    if not COMPILER:
        pytest.skip("no C compiler for the clock that is moved")
    return Clock(tmp_path, CLOCK)


@pytest.fixture
def clouds(tmp_path):
    mine = []

    def make(protocol="chat"):
        folder = tmp_path / f"cloud{len(mine)}"
        folder.mkdir()
        cloud = ScriptedCloud(folder, protocol)
        cloud.lenient = True
        mine.append(cloud)
        return cloud

    yield make
    for cloud in mine:
        cloud.close()


class Rig:
    """A gateway whose route `auto` keeps answers of one cloud, and what the cloud was asked."""

    def __init__(self, gw, cloud):
        self.gw = gw
        self.cloud = cloud

    def ask(self, protocol="chat", headers=None, model="auto", turns=None, **more):
        more.setdefault("temperature", 0)
        more = {name: value for name, value in more.items() if value is not None}
        return self.post(protocol, ask(protocol, turns or TURNS, model, **more), headers)

    def post(self, protocol, body, headers=None):
        given = VERSION if protocol == "messages" else {}
        return self.gw.post(PATHS[protocol], body, {**given, **(headers or {})})

    @property
    def asked(self):
        return len(self.cloud.posts())


@pytest.fixture
def rig(make_gateway, clouds):
    def make(protocol="chat", route=None, gateway=None, clock=None, workers=1, models=None,
             routes=None, **section):
        cloud = clouds(protocol)
        cloud.say(text="There are two files.")
        gw = make_gateway({"cloud": cloud.section(**section), **(models or {})}, {
            "00-gateway.conf": {"gateway": gateway or {"WORKERS": 1}},
            "20-auto.conf": auto_route("cloud", policies="capability",
                                       **{"CACHE": "10m", **(route or {})}),
            **(routes or {})}, workers=workers, env={**ENV, **(clock.env if clock else {})})
        return Rig(gw, cloud)
    return make


def state(reply):
    assert reply.status == 200 and reply.complete, reply
    return reply.header("x-pointsman-cache")


def check_hit(reply, target="cloud"):
    assert state(reply) == "hit", reply.headers
    assert int(reply.header("age")) >= 0
    assert reply.header("x-pointsman-target") == target
    assert reply.header("x-pointsman-attempts") == "0"
    assert reply.header("x-pointsman-request") and reply.header("x-pointsman-route") == "auto"
    names = [name.lower() for name, _ in reply.headers]
    assert len(names) == len(set(names)), names


def said(protocol, reply, stream):
    if stream:
        assert reply.header("content-type").startswith("text/event-stream")
        return read_stream(protocol, reply.events)
    assert reply.header("content-type").startswith("application/json")
    return read_whole(protocol, reply.json)


def same(one, two):
    """Two answers that say the same, counts included."""
    for name in ("model", "thinking", "text", "stop", "fresh", "cached", "output"):
        assert getattr(one, name) == getattr(two, name), (name, one, two)
    assert ([(c.id, c.name, json.loads(c.arguments)) for c in one.calls] ==
            [(c.id, c.name, json.loads(c.arguments)) for c in two.calls])


# --- which requests ---


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_second_time_nobody_is_asked(rig, protocol):
    it = rig(protocol)
    first = it.ask(protocol)
    assert state(first) == "miss" and first.header("age") is None
    assert first.header("x-pointsman-attempts") == "1"
    second = it.ask(protocol)
    check_hit(second)
    assert second.body == first.body
    assert first.header("x-pointsman-request") != second.header("x-pointsman-request")
    assert it.asked == 1


@pytest.mark.parametrize("how,kept", [
    ({"temperature": None}, False), ({"temperature": 0.7}, False), ({"temperature": 1}, False),
    ({"temperature": 0.0}, True), ({"temperature": None, "top_k": 1}, True),
    ({"temperature": 0.7, "top_k": 1}, True), ({"temperature": None, "top_k": 2}, False),
    ({"temperature": "0"}, False), ({"temperature": False}, False),
    ({"temperature": 1e-9}, False)], ids=str)
def test_only_what_is_not_sampled(rig, how, kept):
    it = rig()
    states = [it.ask(**how).header("x-pointsman-cache") for _ in range(2)]
    assert states == (["miss", "hit"] if kept else [None, None])


def test_sampled_where_the_route_says_so(rig):
    it = rig(route={"CACHE_SAMPLED": "yes"})
    assert state(it.ask(temperature=None)) == "miss"
    assert state(it.ask(temperature=None)) == "hit"
    assert state(it.ask(temperature=0.7)) == "miss"


def test_not_where_the_route_does_not(rig):
    it = rig(route={"CACHE": None})
    for _ in range(2):
        assert state(it.ask()) is None
    # nor for a target that is asked for by its id, which no route serves
    it = rig()
    for _ in range(2):
        assert state(it.ask(model="cloud")) is None


def test_off(rig):
    it = rig(gateway={"CACHE_MAX": 0})
    assert [state(it.ask()) for _ in range(2)].count("hit") == 0
    assert it.asked == 2


BASE = ('{"model":"auto","messages":[{"role":"user","content":"Hello"}],"temperature":0,'
        '"max_tokens":9}')


@pytest.mark.parametrize("body", [
    '{"temperature":0,"max_tokens":9,"messages":[{"content":"Hello","role":"user"}],'
    '"model":"auto"}',
    '\n{ "model" : "auto",\t"messages":[ {"role":"user","content":"Hello"} ],'
    '"temperature":0,\r\n"max_tokens":9 } ',
    BASE[:-1] + ',"user":"somebody"}', BASE[:-1] + ',"metadata":{"a":"1"}}',
    BASE[:-1] + ',"stream":false}', BASE[:-1] + ',"stream":true}',
    BASE[:-1] + ',"stream":true,"stream_options":{"include_usage":true}}',
    BASE.replace("Hello", "\\u0048ello")],
    ids=["order", "blanks", "user", "metadata", "no stream", "stream", "options", "escape"])
def test_what_does_not_matter(rig, body):
    it = rig()
    assert state(it.post("chat", BASE)) == "miss"
    check_hit(it.post("chat", body))
    assert it.asked == 1


TOOLS = ('"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object",'
         '"properties":{"%s":{"type":"string"}}}}}]')
TOOL = BASE[:-1] + "," + TOOLS + "}"


@pytest.mark.parametrize("one,two", [
    (BASE, BASE.replace("Hello", "hello")),
    (BASE, BASE.replace("Hello", "Hello ")),
    (BASE, BASE.replace('"max_tokens":9', '"max_tokens":10')),
    (BASE, BASE.replace('"auto"', '"gpt-5"')),
    (BASE, BASE[:-1] + ',"x_new":1}'),
    (BASE, BASE[:-1] + ',"stop":null}'),
    (BASE[:-1] + ',"seed":9007199254740993}', BASE[:-1] + ',"seed":9007199254740992}'),
    (BASE[:-1] + ',"seed":12345678901234567890}', BASE[:-1] + ',"seed":12345678901234567891}'),
    (BASE[:-1] + ',"top_p":0.1}', BASE[:-1] + ',"top_p":0.10000000000000001e1}'),
    (BASE.replace("Hello", "a\\u0000b"), BASE.replace("Hello", "a\\u0000c")),
    (BASE.replace("Hello", "a"), BASE.replace("Hello", "a\\u0000")),
    (BASE.replace("Hello", '","x":"'), BASE.replace("Hello", '\\",\\"x\\":\\"')),
    (TOOL % "user", TOOL % "metadata"), (TOOL % "stream", TOOL % "stream_options"),
    (BASE[:-1] + ',"stop":["a","b"]}', BASE[:-1] + ',"stop":["b","a"]}'),
    (BASE[:-1] + ',"stop":["a","b"]}', BASE[:-1] + ',"stop":["a,b"]}'),
    (BASE[:-1] + ',"seed":1}', BASE[:-1] + ',"seed":"1"}'),
    (BASE[:-1] + ',"logprobs":true}', BASE[:-1] + ',"logprobs":1}'),
    (BASE.replace('"user","content"', '"user","name":"a","content"'),
     BASE.replace('"user","content"', '"user","user":"a","content"')),
    (BASE.replace("Hello", "\\ud83d\\ude00"), BASE.replace("Hello", "\\ud83d\\ude01")),
    (BASE[:-1] + ',"seed":1,"seed":2}', BASE[:-1] + ',"seed":2,"seed":1}')],
    ids=["case", "blank", "limit", "model", "unknown field", "null", "large number",
         "larger number", "exponent", "NUL", "NUL at the end", "quotes", "members of a schema",
         "more members", "order", "joined", "kind of value", "true and 1", "inner members",
         "characters", "twice"])
def test_what_matters(rig, one, two):
    it = rig()
    first = it.post("chat", one)
    if first.status != 200:
        assert first.status == 400, first
        one = BASE
        assert state(it.post("chat", one)) == "miss"
    reply = it.post("chat", two)
    if reply.status == 200:
        assert state(reply) == "miss"
        check_hit(it.post("chat", two))
    check_hit(it.post("chat", one))


@pytest.mark.parametrize("inner", ['"' + "x" * 12000000 + '"', "[" + "1," * 2000000 + "1]"],
                         ids=["text", "list"])
def test_a_deep_request_does_not_hold_up_the_others(rig, measured, inner):
    """To see whether it was asked before takes no longer than to read it."""
    it = rig(CTX_SIZE=100000000, routes={"30-other.conf": {
        "route": {"MODELS": "other", "TARGETS": "cloud", "POLICIES": "capability"}}})
    took = {}
    for model in ("other", "auto"):
        body = (f'{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}],'
                '"temperature":0,"x_deep":' + '{"a":' * 100 + inner + "}" * 100 + "}")
        began = time.monotonic()
        assert it.post("chat", body).status == 200
        took[model] = time.monotonic() - began
    measured(f"a request of {len(body) >> 20} MiB, 100 deep: {took['other']:.2f} s, "
             f"{took['auto']:.2f} s where answers are kept")
    assert took["auto"] < took["other"] + 0.7, took


def test_a_protocol_is_another_request(rig):
    """The same words in another protocol: an answer of its own, in its own shape."""
    it = rig()
    for protocol in PROTOCOLS:
        reply = it.ask(protocol)
        assert state(reply) == "miss", protocol
        said(protocol, reply, False)
    for protocol in PROTOCOLS:
        check_hit(it.ask(protocol))
    assert it.asked == 3


def test_a_route_is_another_request(rig):
    it = rig(routes={"30-other.conf": {"route": {"MODELS": "other", "TARGETS": "cloud",
                                                 "CACHE": "10m", "POLICIES": "capability"}}})
    assert state(it.ask()) == "miss"
    assert state(it.ask(model="other")) == "miss"


def test_a_conversation_is_its_whole(rig):
    it = rig()
    turns = TURNS + [("assistant", "Two files."), ("user", "Which?")]
    assert state(it.ask(turns=turns)) == "miss"
    assert state(it.ask(turns=TURNS + [("assistant", "Three."), ("user", "Which?")])) == "miss"
    check_hit(it.ask(turns=turns))


# --- what is kept ---


@pytest.mark.parametrize("first,second", [(False, True), (True, False), (True, True)],
                         ids=["whole-stream", "stream-whole", "stream-stream"])
@pytest.mark.parametrize("what", ["text", "calls", "reasoning", "length"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_in_the_shape_that_is_asked_for(rig, protocol, what, first, second):
    it = rig(protocol, CAPS="tools,vision,reasoning")
    it.cloud.say(**{
        "text": {"text": "Zwei Dateien: \u00e4 \u20ac \U0001f600 \"quoted\" \\ and\nlines."},
        "calls": {"text": "I look.", "calls": [("look", '{"path":"/","depth":1}'),
                                               ("look", '{"path":"\u00e4","depth":2}')]},
        "reasoning": {"reasoning": "It asks for files.", "text": "Two."},
        "length": {"text": "Two fi", "stop": "length"}}[what])
    tools = {"tools": ["look"]} if what == "calls" else {}
    miss = it.ask(protocol, stream=first, **tools)
    assert state(miss) == "miss"
    hit = it.ask(protocol, stream=second, **tools)
    check_hit(hit)
    same(said(protocol, miss, first), said(protocol, hit, second))
    assert it.asked == 1


@pytest.mark.parametrize("speaks", PROTOCOLS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_translated_answers_are_kept_as_the_caller_got_them(rig, protocol, speaks):
    it = rig(speaks)
    miss, hit = it.ask(protocol), it.ask(protocol, stream=True)
    assert state(miss) == "miss"
    check_hit(hit)
    same(said(protocol, miss, False), said(protocol, hit, True))


def test_usage_only_for_who_asked(rig):
    """A chat's stream tells its usage to who wants it, also if it was not made for him."""
    it = rig()
    body = ask("chat", TURNS, "auto", True, temperature=0)
    plain = {name: value for name, value in body.items() if name != "stream_options"}
    assert state(it.post("chat", plain)) == "miss"
    with_usage, without = it.post("chat", body), it.post("chat", plain)
    check_hit(with_usage)
    check_hit(without)
    assert read_stream("chat", with_usage.events).output == 50
    assert read_stream("chat", without.events, usage=False).output is None
    assert it.asked == 1


@pytest.mark.parametrize("first,second", [(False, False), (False, True), (True, False),
                                          (True, True)])
def test_completions(make_gateway, make_cloud, first, second):
    cloud = make_cloud("openai")
    gw = make_gateway({"cloud": cloud.section()}, {"20-auto.conf": auto_route(
        "cloud", policies="capability", CACHE="10m")}, env=ENV)
    body = {"model": "auto", "prompt": "Hello", "temperature": 0, "max_tokens": 30}
    replies = [gw.post("/v1/completions", {**body, "stream": stream})
               for stream in (first, second, second)]
    for reply, stream in zip(replies, (first, second, second)):
        assert reply.status == 200 and reply.complete, reply
        if not stream:
            assert reply.json["choices"][0]["text"] == cloud.text
            continue
        assert reply.events[-1].done
        chunks = [event.json for event in reply.events[:-1]]
        assert {chunk["object"] for chunk in chunks} == {"text_completion"}, chunks[0]
        choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
        assert "".join(choice["text"] for choice in choices) == cloud.text
        assert choices[-1]["finish_reason"] == "stop"
    assert state(replies[0]) in ("miss", None)
    if state(replies[0]) == "miss":
        assert state(replies[2]) == "hit", "the last asks as the one before it"
    assert gw.log.count("died") == 0


def test_a_stream_with_signs_of_life_is_kept_without_them(rig):
    """It took its time, and the caller was told so: that is no part of the answer."""
    for protocol in PROTOCOLS:
        it = rig(protocol, gateway={"SILENCE": "50ms", "PING": "50ms"})
        gate = threading.Event()

        def slow(h, body, fault, it=it, gate=gate):
            gate.wait(20)
            return ScriptedCloud._reply(it.cloud, h, body, fault)

        it.cloud.replies[PATHS[protocol]] = slow
        given = VERSION if protocol == "messages" else {}
        body = ask(protocol, TURNS, "auto", True, temperature=0)
        with it.gw.open("POST", PATHS[protocol], body, given) as exchange:
            events = exchange.events()
            first = [next(events) for _ in range(3)]
            assert all(is_ping(protocol, event) for event in first), first
            gate.set()
            assert streamed_text(protocol, events) == "There are two files."
        for stream in (False, True):
            reply = it.ask(protocol, stream=stream)
            check_hit(reply)
            assert said(protocol, reply, stream).text == "There are two files."


def test_a_hit_is_no_word_about_the_target(rig):
    """Who fails all the time is left alone, also while kept answers of his are given out."""
    it = rig()
    assert state(it.ask(seed=0)) == "miss"
    it.cloud.say(status=500)
    for n in range(1, 12):
        assert it.ask(seed=n).status >= 500
        check_hit(it.ask(seed=0))
    assert it.asked <= 10, it.asked
    assert it.ask(seed=99).status == 503


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_errors_are_not_kept(rig, status):
    it = rig()
    it.cloud.say(status=status)
    assert it.ask().status >= 400
    it.cloud.say(text="Better.")
    reply = it.ask()
    assert state(reply) == "miss", reply


@pytest.mark.parametrize("how", ["after-cut", "after-eof", "after-error"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_broke_off_is_not_kept(rig, protocol, how):
    it = rig(protocol, route={"RESUME": "no"})
    it.cloud.say(text="Half of an answer", break_at=how)
    it.ask(protocol, stream=True)
    it.cloud.say(text="The whole answer.")
    reply = it.ask(protocol)
    assert state(reply) == "miss"
    assert said(protocol, reply, False).text == "The whole answer."


def test_a_whole_answer_that_was_cut_is_not_kept(rig):
    it = rig()
    it.cloud.fail("cut", times=4)
    it.ask()
    it.cloud.heal()
    assert state(it.ask()) == "miss"


def test_what_its_caller_left_is_not_kept_in_part(rig):
    it = rig()
    it.cloud.say(text="word " * 20000, step=200)
    body = ask("chat", TURNS, "auto", True, temperature=0)
    exchange = it.gw.open("POST", PATHS["chat"], body)
    next(exchange.events())
    exchange.reset()
    wait_until(lambda: it.gw.status() and "status=0" in it.gw.log or "status=200" in it.gw.log,
               10, "the request to end")
    again = it.ask()
    assert len(said("chat", again, False).text) == 100000


# --- how long, how much ---


def test_until_it_is_too_old(rig, clock):
    it = rig(clock=clock)
    assert state(it.ask()) == "miss"
    clock.advance(540)
    reply = it.ask()
    check_hit(reply)
    assert 540 <= int(reply.header("age")) <= 545
    clock.advance(59)
    # a hit does not make it younger
    assert state(it.ask()) == "hit"
    clock.advance(2)
    assert state(it.ask()) == "miss"
    reply = it.ask()
    check_hit(reply)
    assert int(reply.header("age")) < 5


def sized(it, n, kib):
    it.cloud.say(text="x" * (kib << 10))
    return state(it.ask(seed=n))


def test_the_longest_unused_go_first(rig):
    it = rig(gateway={"CACHE_MAX": 1})
    assert sized(it, 1, 90) == "miss"
    for n in range(2, 16):
        assert sized(it, n, 90) == "miss", n
        assert sized(it, 1, 90) == "hit", f"it was used a moment ago, before {n}"
    assert sized(it, 15, 90) == "hit"
    assert sized(it, 8, 90) == "hit", "eight of 90 KiB fit into one MiB"
    assert sized(it, 2, 90) == "miss", "fifteen do not"


def test_one_that_is_too_large_drives_nobody_out(rig):
    it = rig(gateway={"CACHE_MAX": 1})
    assert sized(it, 1, 100) == "miss"
    assert [sized(it, 2, 3000) for _ in range(2)] == ["miss", "miss"]
    assert sized(it, 1, 100) == "hit"


def test_many_small_ones_stay_within_bounds(rig):
    """What an entry takes beside its answer counts as well."""
    it = rig(gateway={"CACHE_MAX": 1})
    pid = it.gw.worker_pids()[0]

    def resident():
        text = Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1])

    for n in range(50):
        it.ask(seed=n)
    before = resident()
    long = "y" * 20000
    for n in range(400):
        assert state(it.ask(turns=[("user", f"{n} {long}")])) == "miss"
    assert resident() - before < 8 << 10, (before, resident())


# --- whose ---


def test_only_for_keys_that_may_use_the_same(make_gateway, clouds, keys):
    one, two = keys.add("one"), keys.add("two")
    less, here = keys.add("less", TARGETS="cloud"), keys.add("here", TARGETS="other")
    cloud = clouds()
    cloud.say(text="Kept.")
    gw = make_gateway({"cloud": cloud.section(), "other": cloud.section()},
                      {**keys.gateway(), "20-auto.conf": auto_route(
                          "cloud,other", policies="capability", CACHE="10m")}, env=ENV)
    it = Rig(gw, cloud)
    assert state(it.ask(headers=bearer(one))) == "miss"
    assert state(it.ask(headers=bearer(two))) == "hit"
    assert state(it.ask(headers=bearer(here))) == "miss", "it may not use who answered"
    assert state(it.ask(headers=bearer(less))) == "miss"
    assert state(it.ask(headers=bearer(less))) == "hit"
    assert it.gw.post(PATHS["chat"], ask("chat", TURNS, "auto", temperature=0)).status == 401


def test_hits_cost_a_request_and_no_money(make_gateway, clouds, keys):
    key = keys.add("one", RPM=4, TPM=1000, BUDGET=500)
    cloud = clouds()
    cloud.say(text="Dear.", fresh=11, output=14)
    gw = make_gateway({"cloud": cloud.section(PRICE_IN=1000000, PRICE_OUT=1000000)},
                      {**keys.gateway(), "20-auto.conf": auto_route(
                          "cloud", policies="capability", CACHE="10m")}, env=ENV)
    it = Rig(gw, cloud)
    replies = [it.ask(headers=bearer(key), stream=n == 2) for n in range(5)]
    assert [r.status for r in replies] == [200] * 4 + [429]
    assert [state(r) for r in replies[:4]] == ["miss", "hit", "hit", "hit"]
    assert [r.header("x-ratelimit-remaining-requests") for r in replies[:4]] == list("3210")
    assert replies[3].header("x-ratelimit-remaining-tokens") == str(1000 - 25)
    assert figure(listed(gw, keys)["one"], "spent") == 25


def test_an_edit_does_not_serve_what_was(rig):
    """A route that means another model now does not answer with the old one's words."""
    it = rig()
    assert state(it.ask()) == "miss"
    before = it.gw.status()["generation"]
    it.cloud.say(text="Of the new one.")
    it.gw.write_models({"cloud": it.cloud.section(MODEL="another-model")})
    wait_until(lambda: it.gw.status()["generation"] > before, 10, "the new configuration")
    pids = it.gw.worker_pids
    wait_until(lambda: pids(None) == pids("ready"), 10, "the new worker alone")
    assert said("chat", it.ask(), False).text == "Of the new one."


# --- what is told ---


def counted(gw):
    text = gw.get("/metrics").text
    return {result: sum(float(n) for n in re.findall(
        rf'^pointsman_cache_total{{[^}}]*result="{result}"[^}}]*}} (\S+)$', text, re.M))
        for result in ("hit", "miss")}


def test_the_metric(rig):
    it = rig()
    for _ in range(3):
        it.ask()
    it.ask(temperature=1)
    wait_until(lambda: counted(it.gw) == {"hit": 2, "miss": 1}, 5,
               "two hits and a miss", step=0.05)


def test_each_worker_keeps_its_own(rig):
    """Memory of each: never wrong, and a hit as soon as each has seen it."""
    it = rig(workers=2)
    states = [state(it.ask()) for _ in range(40)]
    assert set(states) == {"miss", "hit"} and states.count("miss") <= 2
    assert it.asked == states.count("miss")
