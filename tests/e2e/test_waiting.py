"""What a caller hears while its answer is not there yet, and what becomes of it then."""

import os
import re
import signal
import subprocess

import pytest
from harness import profile, wait_until
from speak import CHAT, COMPLETIONS, MESSAGES, PATHS, RESPONSES, ask, error_of, headers_of, text_of
from test_sdk import sdk  # noqa: F401
from waits import (ALL, Gate, Later, Stream, check_failed, check_head, check_opening,
                   check_same_response, check_whole, is_ping, is_silent, local, open_stream, routes)

CLOUD_TEXT = "I am the stand-in cloud"
SMALL_BATCH = "--batch-size 32 --ubatch-size 32"
KEY = {"CLOUD_KEY": "sk-cloud-key"}


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path)


def gated(make, gate, more=None, manager=None, env=None, **keys):
    models = {"demo-chat": profile("demo-chat", LLAMA_SERVER=gate.server, SLOTS=1)}
    models.update(more or {})
    return make(models, routes(**keys), manager=manager, env=env)


def warm(gw):
    assert gw.chat("hi", model="demo-chat", max_tokens=2).status == 200
    return gw


def busy(gw):
    """Holds the only slot: a long answer that nobody reads."""
    exchange = open_stream(gw, CHAT, model="demo-chat", limit=7000, ignore_eos=True)
    next(exchange.events())
    return exchange


def stream(gw, protocol, *args, **how):
    return Stream(protocol, open_stream(gw, protocol, *args, **how))


# --- signs of life, and then the answer ---


@pytest.mark.parametrize("protocol", ALL)
def test_a_load_that_takes_its_time(make_gateway, gate, protocol):
    gw = gated(make_gateway, gate)
    got = stream(gw, protocol)
    opening = got.pings(4)
    check_head(got.exchange, "demo-chat")
    check_opening(protocol, opening)
    gate.say("go")
    check_whole(got.rest(), local(got.protocol))


@pytest.mark.parametrize("protocol", ALL)
def test_a_full_slot(make_gateway, protocol):
    gw = warm(make_gateway({"demo-chat": profile("demo-chat", SLOTS=1)}, routes()))
    with busy(gw) as holder:
        got = stream(gw, protocol)
        check_opening(protocol, got.pings(3))
        check_head(got.exchange, "demo-chat")
        holder.reset()
    check_whole(got.rest(), local(got.protocol))


class Reluctant(str):
    """The text of a cloud that says nothing before it is told to."""

    def __new__(cls, text, told):
        self = super().__new__(cls, text)
        self.told = told
        return self

    def split(self, *args):
        assert self.told.wait(60)
        return str.split(self, *args)


def with_cloud(make_gateway, make_cloud, protocol, **keys):
    cloud = make_cloud("anthropic" if protocol == MESSAGES else "openai")
    gw = make_gateway({"cloud-1": cloud.section()}, routes(targets="cloud-1", **keys), env=KEY)
    return gw, cloud


@pytest.mark.parametrize("protocol", ALL)
def test_a_silent_cloud(make_gateway, make_cloud, protocol):
    gw, cloud = with_cloud(make_gateway, make_cloud, protocol)
    cloud.text = Reluctant(cloud.text, cloud.release)
    got = stream(gw, protocol)
    check_opening(protocol, got.pings(3))
    check_head(got.exchange, "cloud-1")
    cloud.release.set()
    check_whole(got.rest(), CLOUD_TEXT)
    assert len(cloud.posts()) == 1


@pytest.mark.parametrize("protocol", ALL)
def test_a_cloud_that_breaks_off_before_it_said_anything(make_gateway, make_cloud, protocol):
    """The openings of the first try are not told twice."""
    gw, cloud = with_cloud(make_gateway, make_cloud, protocol)
    # everything before the first word of the answer
    cloud.fail("stall_mid", n={CHAT: 1, COMPLETIONS: 0, RESPONSES: 4, MESSAGES: 3}[protocol])
    got = stream(gw, protocol)
    check_opening(protocol, got.pings(3))
    cloud.heal()
    check_whole(got.rest(), CLOUD_TEXT)
    assert len(cloud.posts()) == 2


def words(n):
    return " ".join(f"word{i}" for i in range(n))


@pytest.mark.parametrize("protocol", ALL)
def test_a_long_prompt(make_gateway, protocol):
    gw = warm(make_gateway({"demo-chat": profile("demo-chat", SLOTS=1, CTX_SIZE=16384,
                                                 EXTRA_ARGS=SMALL_BATCH)}, routes()))
    pid = gw.profile("demo-chat")["pid"]
    got = stream(gw, protocol, words(120), limit=300)
    wait_until(lambda: gw.profile("demo-chat")["leases"] == 1, 10, "the prompt to be sent")
    # on a fast machine the prompt would be read too soon
    os.kill(pid, signal.SIGSTOP)
    try:
        check_opening(protocol, got.pings(3))
    finally:
        os.kill(pid, signal.SIGCONT)
    check_whole(got.rest(), local(got.protocol))
    assert gw.profile("demo-chat")["pid"] == pid


def test_one_answer_has_one_id(make_gateway, gate):
    """Clients look an answer up by the id that came first."""
    gw = gated(make_gateway, gate)
    got = stream(gw, RESPONSES)
    got.pings(3)
    gate.say("go")
    check_whole(got.rest(), local(RESPONSES))
    check_same_response(got)


def test_an_answer_of_the_cloud_has_one_id(make_gateway, make_cloud):
    gw, cloud = with_cloud(make_gateway, make_cloud, RESPONSES)
    cloud.text = Reluctant(cloud.text, cloud.release)
    got = stream(gw, RESPONSES)
    got.pings(3)
    cloud.release.set()
    check_whole(got.rest(), CLOUD_TEXT)
    check_same_response(got)


def test_waiting_is_not_the_gateways_own_time(make_gateway, gate):
    gw = gated(make_gateway, gate)
    got = stream(gw, CHAT)
    got.pings(1)
    assert int(got.exchange.header("x-pointsman-overhead-us")) < 100000, got.exchange.headers
    gate.say("go")
    check_whole(got.rest(), local(got.protocol))


# --- nothing where nothing belongs ---


@pytest.mark.parametrize("protocol", ALL)
def test_a_whole_answer_is_preceded_by_nothing(make_gateway, gate, protocol):
    gw = gated(make_gateway, gate)
    body = ask(protocol, "hi")
    with gw.open("POST", PATHS[protocol], body, headers_of(protocol)) as exchange:
        wait_until(lambda: gw.profile("demo-chat")["waiting"] == 1, 10, "a waiter")
        # the pings of a streaming caller are the clock
        witness = stream(gw, CHAT)
        witness.pings(4)
        assert is_silent(exchange)
        gate.say("go")
        reply = exchange.read()
    assert reply.status == 200 and reply.complete, reply
    assert reply.header("content-type").startswith("application/json")
    assert text_of(protocol, reply.json).startswith(local(protocol))
    check_whole(witness.rest(), local(CHAT))


@pytest.mark.parametrize("protocol", ALL)
def test_a_fast_answer_is_preceded_by_nothing(make_gateway, protocol):
    gw = warm(make_gateway({"demo-chat": profile("demo-chat")}, routes("5s", "200ms")))
    got = stream(gw, protocol).rest()
    check_head(got.exchange, "demo-chat")
    check_whole(got, local(got.protocol))
    expected = 2 if protocol == RESPONSES else 0
    assert sum(is_ping(protocol, e) for e in got.events) == expected, got.events[:4]


def test_no_silence_is_too_long_if_so_told(make_gateway, gate):
    gw = gated(make_gateway, gate, more={"demo-coder": profile("demo-coder")},
               manager={"RAM": 1000}, silence="0")
    with open_stream(gw, CHAT) as exchange:
        gw.wait_profile("demo-chat", "loading")
        assert is_silent(exchange)
        gate.say("go")
        got = Stream(CHAT, exchange).rest()
    check_whole(got, local(got.protocol))
    assert not any(is_ping(CHAT, e) for e in got.events)


@pytest.mark.parametrize("protocol", ALL)
def test_a_fast_failure_keeps_its_status(make_gateway, gate, protocol):
    gw = gated(make_gateway, gate, silence="5s")

    def failed(reply, *statuses):
        assert reply.status in statuses and reply.complete, reply
        assert reply.header("content-type").startswith("application/json"), reply.headers
        assert error_of(protocol, reply)
        return reply

    failed(open_stream(gw, protocol, model="nobody").read(), 404)
    with open_stream(gw, protocol) as exchange:
        gate.say("fail")
        reply = failed(exchange.read(), 503)
    assert int(reply.header("retry-after")) >= 1


# --- failures after an early head ---


@pytest.mark.parametrize("on_cut", [None, "close", "error"])
@pytest.mark.parametrize("protocol", ALL)
def test_a_load_that_fails_late(make_gateway, gate, protocol, on_cut):
    gw = gated(make_gateway, gate, ON_CUT=on_cut)
    got = stream(gw, protocol)
    opening = len(got.pings(3))
    gate.say("fail")
    got.rest()
    check_failed(got, on_cut == "error")
    assert all(is_ping(protocol, e) for e in got.events[:opening])
    if got.failures:
        assert "told to fail" in got.failures[0].data, got.failures
    assert gw.profile("demo-chat")["waiting"] == 0


def test_the_response_that_failed_is_the_one_that_was_created(make_gateway, gate):
    gw = gated(make_gateway, gate)
    got = stream(gw, RESPONSES)
    got.pings(3)
    gate.say("fail")
    check_same_response(got.rest())


@pytest.mark.parametrize("protocol", ALL)
def test_a_refusal_that_comes_late(make_gateway, gate, protocol):
    """The prompt is longer than the context: known only when the server is up."""
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=gate.server, SLOTS=1,
                                            CTX_SIZE=512)}, routes(ON_CUT="error"))
    # short enough for the guess of the gateway, in characters that are a token each
    got = stream(gw, protocol, "\u4e2d\u6587" * 300, limit=20)
    got.pings(2)
    gate.say("go")
    check_failed(got.rest(), True)


@pytest.mark.parametrize("protocol", ALL)
@pytest.mark.parametrize("where", ["another model", "cloud"])
def test_the_fallback_answers_in_the_same_stream(make_gateway, make_cloud, gate, protocol, where):
    if where == "cloud":
        cloud = make_cloud("anthropic" if protocol == MESSAGES else "openai")
        other, begins = cloud.section(), CLOUD_TEXT
    else:
        other, begins = profile("demo-coder"), local(protocol, "demo-coder")
    gw = gated(make_gateway, gate, more={"other": other}, fallback="other",
               manager={"RAM": 1000}, env=KEY)
    got = stream(gw, protocol)
    check_opening(protocol, got.pings(3))
    check_head(got.exchange, "demo-chat")
    gate.say("fail")
    check_whole(got.rest(), begins)
    assert gw.profile("demo-chat")["waiting"] == 0


# --- callers that leave ---


@pytest.mark.parametrize("protocol", ALL)
def test_leaving_while_it_loads(make_gateway, gate, protocol):
    gw = gated(make_gateway, gate, more={"demo-coder": profile("demo-coder")},
               manager={"RAM": 300})
    got = stream(gw, protocol, model="demo-chat")
    got.pings(2)
    assert gw.profile("demo-chat")["waiting"] == 1
    got.exchange.reset()
    wait_until(lambda: gw.profile("demo-chat")["waiting"] == 0, 2, "the waiter to be gone")
    # nobody opens the gate: the load has to go for the one that is waited for now
    reply = gw.chat("hi", model="demo-coder")
    assert reply.status == 200, reply
    entry = gw.profile("demo-chat")
    assert (entry["state"], entry["leases"], entry["waiting"]) == ("off", 0, 0), entry


@pytest.mark.parametrize("protocol", ALL)
def test_leaving_the_queue_and_the_prompt(make_gateway, protocol):
    gw = warm(make_gateway({"demo-chat": profile("demo-chat", SLOTS=1, CTX_SIZE=16384,
                                                 EXTRA_ARGS=SMALL_BATCH)}, routes()))
    with busy(gw) as holder:
        got = stream(gw, protocol)
        got.pings(2)
        got.exchange.reset()
        wait_until(lambda: gw.profile("demo-chat")["waiting"] == 0, 2, "the waiter to be gone")
        assert gw.profile("demo-chat")["leases"] == 1
        holder.reset()
    pid = gw.profile("demo-chat")["pid"]
    got = stream(gw, protocol, words(1500), limit=300)
    wait_until(lambda: gw.profile("demo-chat")["leases"] == 1, 10, "the prompt to be sent")
    os.kill(pid, signal.SIGSTOP)
    try:
        got.pings(2)
        got.exchange.reset()
        wait_until(lambda: gw.profile("demo-chat")["leases"] == 0, 2, "the lease to be over")
    finally:
        os.kill(pid, signal.SIGCONT)
    reply = gw.chat("hi", model="demo-chat", max_tokens=2)
    assert reply.status == 200, reply


@pytest.mark.parametrize("protocol", ALL)
def test_leaving_a_silent_cloud(make_gateway, make_cloud, protocol):
    gw, cloud = with_cloud(make_gateway, make_cloud, protocol)
    cloud.fail("stall")
    got = stream(gw, protocol)
    got.pings(2)
    got.exchange.reset()
    wait_until(lambda: cloud.left == 1, 5, "the cloud to be left")


@pytest.mark.parametrize("protocol", ALL)
@pytest.mark.parametrize("streams", [True, False], ids=["stream", "whole"])
def test_the_gateway_stops_meanwhile(make_gateway, gate, protocol, streams):
    """Nobody will be served any more: who waits is told, in the way that is still open."""
    gw = gated(make_gateway, gate, manager={"DRAIN": "3s"})
    body = ask(protocol, "hi", "auto", streams)
    with gw.open("POST", PATHS[protocol], body, headers_of(protocol)) as exchange:
        gw.wait_profile("demo-chat", "loading")
        if streams:
            got = Stream(protocol, exchange)
            got.pings(2)
        assert gw.stop(10) == 0
        if streams:
            check_failed(got.rest(), False)
        else:
            reply = exchange.read()
            assert reply.status == 503 and int(reply.header("retry-after")) >= 1, reply


# --- the SDKs ---


@pytest.mark.parametrize("word", ["go", "fail"])
def test_the_sdks_take_it(make_gateway, gate, sdk, measured, word):  # noqa: F811
    tool, folder = sdk
    gw = gated(make_gateway, gate)
    env = {"PATH": f"{tool.parent}:{os.environ['PATH']}", "HOME": str(gw.dir),
           "BASE_URL": gw.url, "MODEL": "auto", "EXPECT": "I am demo-chat",
           "FAILS": "1" if word == "fail" else ""}
    command = [str(tool), "--test", "--test-reporter=tap", "test/waiting.test.mjs"]
    run = Later(subprocess.run, command, cwd=folder, env=env, capture_output=True, text=True,
                timeout=120, check=False)
    asked = int(re.search(r"const asked = (\d+);",
                          (folder / "test" / "waiting.test.mjs").read_text())[1])
    wait_until(lambda: run.done or gw.profile("demo-chat")["waiting"] == asked, 60,
               "every SDK call to wait", 0.05)
    witness = stream(gw, CHAT)
    witness.pings(3)
    gate.say(word)
    witness.rest()
    done = run.result(150)
    counts = dict(re.findall(r"^# (pass|fail|skipped) (\d+)$", done.stdout, re.M))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert (int(counts["pass"]), counts["fail"]) == (asked, "0"), done.stdout[-3000:]
    measured(f"SDKs, {asked} streams that wait for a load ({word}): {counts['pass']} passed")
