"""Sixteen ways in which a provider breaks, each with a healthy fallback behind it.

The caller gets the complete answer, the next request is answered too, and the provider is
treated with manners: not hammered, not asked twice where that only doubles the wait. What
waits for minutes is in test_faults_slow.py.
"""

import re
import time

import pytest
from faulty import ENV, OK, OVERFLOW, POLICY, Answer, Fault, Provider, Told
from harness import Truncated, auto_route
from speak import CHAT, MESSAGES, PATHS, RESPONSES, ask, headers_of, text_of

KIND = {CHAT: "openai", RESPONSES: "openai", MESSAGES: "anthropic"}
WHOLE = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
ALL = pytest.mark.parametrize("protocol", [CHAT, RESPONSES, MESSAGES])
ANSWER = Answer()
SECOND = Answer(prompt=21, output=77)


@pytest.fixture
def provider():
    with Provider() as one:
        yield one
        assert not one.complaints, one.complaints


class Pair:
    """A gateway before a faulty primary and a healthy fallback, and one caller."""

    def __init__(self, gw, provider, protocol):
        self.gw = gw
        self.provider = provider
        self.protocol = protocol

    def ask(self, stream=False, text="Hello"):
        """The reply, its events read as a strict client does, and the seconds it took."""
        began = time.monotonic()
        reply = self.gw.post(PATHS[self.protocol], ask(self.protocol, text, stream=stream),
                             headers_of(self.protocol))
        reply.seconds = time.monotonic() - began
        if stream and reply.status == 200:
            reply.told = Told(self.protocol, reply.events)
        return reply

    def asked(self, model="primary"):
        return len(self.provider.of(model))

    def complete(self, reply, stream):
        """The whole answer arrived, in good order."""
        assert reply.status == 200 and reply.complete, reply
        if stream:
            assert reply.told.complete, reply.text[-300:]
            assert not reply.told.wrong, reply.told.wrong
            assert reply.told.text == ANSWER.text
        else:
            assert text_of(self.protocol, reply.json) == ANSWER.text
        return reply

    def fine(self, stream=False):
        return self.complete(self.ask(stream), stream)


@pytest.fixture
def pair(make_gateway, provider):
    def make(*steps, protocol=CHAT, fallback=None, second=None, **keys):
        kind = KIND[protocol]
        provider.plan("primary", *steps, kind=kind)
        provider.plan("fallback", OK, answer=second, kind=kind)
        sections = {"primary": provider.section("primary", **keys),
                    "fallback": provider.section("fallback", **(fallback or {}))}
        gw = make_gateway(sections, {"20-auto.conf": auto_route("primary,fallback")}, env=ENV)
        return Pair(gw, provider, protocol)
    return make


def recovered(pair, stream):
    """The provider is well again: the next caller notices nothing of what was."""
    pair.provider.heal("primary")
    pair.fine(stream)


def counted(gw, pattern):
    """The sum of the metrics whose name has that in it."""
    total = 0.0
    for line in gw.get("/metrics").text.splitlines():
        name, _, value = line.rpartition(" ")
        if not line.startswith("#") and re.search(pattern, name.split("{")[0]):
            total += float(value)
    return total


@WHOLE
def test_01_one_429_with_a_short_pause(pair, stream):
    p = pair(Fault("status", status=429, retry_after=2), OK)
    p.fine(stream)
    assert p.asked() <= 2
    times = [seen.at for seen in p.provider.of("primary")]
    assert all(b - a >= 2 for a, b in zip(times, times[1:])), "Retry-After was not honoured"
    recovered(p, stream)


@WHOLE
def test_02_429_for_ever(pair, stream):
    p = pair(Fault("status", status=429, retry_after=30))
    reply = p.fine(stream)
    assert reply.seconds < 5
    assert p.asked() == 1
    recovered(p, stream)


@WHOLE
def test_03_one_500(pair, stream):
    p = pair(Fault("status", status=500), OK)
    reply = p.fine(stream)
    assert (p.asked(), p.asked("fallback")) == (2, 0)
    assert reply.header("x-pointsman-target") == "primary"
    assert reply.header("x-pointsman-attempts") == "2"
    recovered(p, stream)


@WHOLE
def test_04_503_for_ever(pair, stream):
    p = pair(Fault("status", status=503))
    reply = p.fine(stream)
    assert reply.header("x-pointsman-target") == "fallback"
    assert (p.asked(), p.asked("fallback")) == (2, 1)
    recovered(p, stream)


@WHOLE
def test_05_a_reset_before_the_headers(pair, stream):
    p = pair(Fault("reset"))
    reply = p.fine(stream)
    assert reply.header("x-pointsman-target") == "fallback"
    assert p.asked() <= 2
    recovered(p, stream)


@WHOLE
def test_06_silence(pair, stream):
    p = pair(Fault("silent"), TIMEOUT_FIRST_TOKEN="2s")
    reply = p.fine(stream)
    assert 1.9 < reply.seconds < 4, "the first deadline decides"
    assert (p.asked(), p.asked("fallback")) == (1, 1)
    assert p.provider.of("primary")[0].left.wait(1), "the silent provider was not left"
    recovered(p, stream)


@WHOLE
def test_07_the_first_token_after_20_seconds(pair, stream):
    p = pair(Fault("late", seconds=20), TIMEOUT_FIRST_TOKEN="3s")
    reply = p.fine(stream)
    assert 2.9 < reply.seconds < 6
    assert (p.asked(), p.asked("fallback")) == (1, 1)
    assert p.provider.of("primary")[0].left.wait(1), "the slow provider was not left"
    recovered(p, stream)


@WHOLE
@ALL
@pytest.mark.parametrize("how", ["cut", "torn", "clean"])
def test_08_cut_after_40_of_60_tokens(pair, protocol, how, stream):
    if how == "clean" and not stream:
        pytest.skip("a whole body has a length: it cannot end early in good order")
    p = pair(Fault(how, after=40), protocol=protocol)
    p.fine(stream)
    assert p.asked() <= 2
    recovered(p, stream)


@WHOLE
@ALL
def test_09_stalled_after_20_tokens(pair, protocol, stream):
    p = pair(Fault("stall", after=20), protocol=protocol,
             TIMEOUT_IDLE="2s" if protocol == CHAT else "1s", TIMEOUT_FIRST_TOKEN="2s")
    reply = p.fine(stream)
    assert reply.seconds < 5
    assert (p.asked(), p.asked("fallback")) == (1, 1)
    assert p.provider.of("primary")[0].left.wait(1), "the stalled provider was not left"
    recovered(p, stream)


@ALL
@pytest.mark.parametrize("after", [0, 30])
def test_10_a_malformed_event_in_mid_stream(pair, protocol, after):
    p = pair(Fault("broken", after=after), protocol=protocol)
    before = counted(p.gw, "mended")
    p.fine(stream=True)
    assert (p.asked(), p.asked("fallback")) == (1, 0)
    assert counted(p.gw, "mended") == before + 1
    recovered(p, True)


@ALL
def test_11_no_mark_of_the_end(pair, protocol):
    """The caller gets its mark, by whatever honest way: after finish_reason or message_delta
    the answer is known to be whole, a response may be asked for again."""
    p = pair(Fault("no_done"), protocol=protocol)
    p.fine(stream=True)
    if protocol != RESPONSES:
        assert (p.asked(), p.asked("fallback")) == (1, 0)
    recovered(p, True)


@WHOLE
@ALL
def test_12_the_prompt_is_too_long_for_it(pair, protocol, stream):
    p = pair(Fault("status", status=400, code=OVERFLOW), protocol=protocol, CTX_SIZE=8000)
    reply = p.fine(stream)
    assert reply.header("x-pointsman-target") == "fallback"
    assert (p.asked(), p.asked("fallback")) == (1, 1)
    recovered(p, stream)


@WHOLE
def test_12_no_target_holds_it(pair, stream):
    """A context that is no larger is not asked."""
    p = pair(Fault("status", status=400, code=OVERFLOW), CTX_SIZE=8000,
             fallback={"CTX_SIZE": 8000})
    reply = p.ask(stream)
    assert reply.status == 400, reply
    assert reply.json["error"]["code"] == OVERFLOW
    assert (p.asked(), p.asked("fallback")) == (1, 0)
    recovered(p, stream)


@WHOLE
@ALL
def test_13_a_refusal_of_the_content(pair, protocol, stream):
    p = pair(Fault("status", status=400, code=POLICY), protocol=protocol)
    reply = p.ask(stream)
    assert reply.status == 400, reply
    assert reply.json["error"]["message"] == "told to say 400"
    if protocol != MESSAGES:
        assert reply.json["error"]["code"] == POLICY
    assert (p.asked(), p.asked("fallback")) == (1, 0)
    recovered(p, stream)


@ALL
def test_14_the_fallback_takes_no_prefill(pair, protocol):
    """What was said so far is not handed on as the assistant's turn: the stand-in refuses
    that, and the request is the original one, whoever answers it."""
    p = pair(Fault("cut", after=40), protocol=protocol)
    p.fine(stream=True)
    turns = "input" if protocol == RESPONSES else "messages"
    asked = [seen.json[turns] for seen in p.provider.of("fallback")]
    assert asked == [ask(protocol, "Hello")[turns]]
    recovered(p, True)


@WHOLE
@ALL
def test_16_who_answered_is_told(pair, protocol, stream):
    p = pair(Fault("status", status=503), protocol=protocol, second=SECOND)
    reply = p.fine(stream)
    assert reply.header("x-pointsman-target") == "fallback"
    value = {"model": reply.told.model, "usage": reply.told.usage} if stream else reply.json
    assert value["model"] == "fallback"
    chat = protocol == CHAT
    if stream and chat:
        # this caller has not asked for usage, and gets no chunk that it does not know
        assert value["usage"] == {}
    else:
        assert value["usage"]["prompt_tokens" if chat else "input_tokens"] == 21
        assert value["usage"]["completion_tokens" if chat else "output_tokens"] == 77
    recovered(p, stream)


def test_16_usage_of_a_stream_that_asked(pair):
    p = pair(Fault("status", status=503), second=SECOND)
    reply = p.gw.post(PATHS[CHAT], ask(CHAT, "Hello", stream=True,
                                       stream_options={"include_usage": True}))
    told = Told(CHAT, reply.events)
    assert told.complete and not told.wrong, told.wrong
    assert (told.model, told.usage["completion_tokens"]) == ("fallback", 77)
    recovered(p, True)


@ALL
def test_a_cut_that_nobody_can_mend(pair, protocol):
    """The other model says something else: the caller is never told that it is complete."""
    p = pair(Fault("cut", after=40), protocol=protocol,
             second=Answer([("text", ["Something ", "else."])]))
    events = []
    with p.gw.open("POST", PATHS[protocol], ask(protocol, "Hello", stream=True),
                   headers_of(protocol)) as exchange:
        try:
            events.extend(exchange.events())
        except Truncated:
            pass
        told = Told(protocol, events)
        assert told.text == "".join(ANSWER.parts[0][1][:40])
        assert not told.ends and told.finish is None
        assert told.failed == (protocol != CHAT)
        assert exchange.complete == (protocol != CHAT)
