"""A stream that broke off is gone on with by the next target, or it ends as a failure.

The next target gets the original request and says everything again; what the caller has
already is swallowed, the rest comes in the same stream. Only the same words count as the
same answer: anything else, and a tool call that was under way, ends the stream so that
nobody takes it for complete.
"""

import os
import signal
import threading

import pytest
from faulty import ENV, OK, TOKENS, Answer, Fault, Provider, Told, saying
from harness import Truncated, auto_route, profile
from speak import CHAT, MESSAGES, PATHS, RESPONSES, ask, headers_of

KIND = {CHAT: "openai", RESPONSES: "openai", MESSAGES: "anthropic"}
OTHER = {"openai": "anthropic", "anthropic": "openai"}
ALL = pytest.mark.parametrize("protocol", [CHAT, RESPONSES, MESSAGES])
TEXT = "".join(TOKENS)
SENTENCE = "Überall gehen die Züge – even the naïve 🚂🚃 one – on the right track."


@pytest.fixture
def provider():
    with Provider() as one:
        yield one
        assert not one.complaints, one.complaints


def stream(gw, protocol, text="Hello", **more):
    """What the caller of a stream understood, and whether its body ended in good order."""
    events = []
    body = ask(protocol, text, stream=True, **more)
    with gw.open("POST", PATHS[protocol], body, headers_of(protocol)) as exchange:
        assert exchange.head().status == 200, exchange.read()
        try:
            for event in exchange.events():
                events.append(event)
        except Truncated:
            pass
        told = Told(protocol, events)
        told.whole_body = exchange.complete
    return told


@pytest.fixture
def line(make_gateway, provider):
    """A gateway whose route `auto` has these targets, each (steps, answer[, kind])."""
    def make(protocol, *targets, route=None, gateway=None, **keys):
        sections = {}
        for n, (step, answer, *kind) in enumerate(targets):
            name = f"t{n}"
            provider.plan(name, *(step if isinstance(step, list) else [step]), answer=answer,
                          kind=kind[0] if kind else KIND[protocol])
            sections[name] = provider.section(name, **keys)
        return make_gateway(sections, {
            "00-gateway.conf": {"gateway": gateway or {}},
            "20-auto.conf": auto_route(",".join(sections), **(route or {}))}, env=ENV)
    return make


def resumed(told, text=TEXT):
    assert told.complete and told.whole_body, (told.text[-80:], told.wrong)
    assert not told.wrong, told.wrong
    assert told.text == text
    return told


def ended(protocol, told, text=None):
    """The stream ends as one that broke off does, with what came before and no more."""
    assert not told.ends and told.finish is None
    assert not told.wrong, told.wrong
    assert told.failed == (protocol != CHAT)
    assert told.whole_body == (protocol != CHAT)
    assert text is None or told.text == text


def split(text, *sizes):
    """The text in pieces of these sizes, over and over."""
    out, at, n = [], 0, 0
    while at < len(text):
        size = sizes[n % len(sizes)]
        out.append(text[at:at + size])
        at, n = at + size, n + 1
    return out


# --- the same words ---

@ALL
@pytest.mark.parametrize("after", [1, 7, 59, 60])
def test_the_same_tokens(line, provider, protocol, after):
    gw = line(protocol, (Fault("cut", after=after), None), (OK, None))
    told = resumed(stream(gw, protocol))
    assert told.id.endswith("_t0" if protocol != CHAT else "-t0")
    assert len(provider.of("t1")) == 1


@ALL
@pytest.mark.parametrize("sizes", [(1,), (2, 5), (7, 3), (1000,)], ids=str)
def test_other_boundaries_of_tokens(line, protocol, sizes):
    """Cut inside a word, and the fallback's tokens begin and end elsewhere."""
    one = saying(*split(SENTENCE, 4, 3))
    gw = line(protocol, ([Fault("cut", after=n) for n in (1, 4, 9)] + [OK], one),
              (OK, saying(*split(SENTENCE, *sizes))))
    for _ in range(3):
        resumed(stream(gw, protocol), SENTENCE)


@ALL
@pytest.mark.parametrize("inside,raw", [(b"\\u", False), (b"\\u00", False),
                                        (b"\\ud83d", False), (b"\\ud83d\\u", False),
                                        (b"\xc3", True), (b"\xf0\x9f", True)])
def test_cut_inside_an_escape(line, protocol, inside, raw):
    """Half an event is no event; and an escape is the same text as the letter itself."""
    words = ["The train ", "goes ", "über 🚂🚃 ", "the ", "bridge."]
    one, two = saying(*words, raw_utf8=raw), saying(*words, raw_utf8=not raw)
    gw = line(protocol, (Fault("cut", after=2, inside=inside), one), (OK, two))
    resumed(stream(gw, protocol), "".join(words))


HALVES = ["Get ", "on the ", "\ud83d", "\ude82", " now."]


@ALL
def test_halves_of_a_letter_are_no_fault(line, provider, protocol):
    """A provider may put the two halves of an escaped letter into two events."""
    gw = line(protocol, (OK, saying(*HALVES)), (OK, saying("Something else.")))
    resumed(stream(gw, protocol), "Get on the 🚂 now.")
    assert provider.of("t1") == []


@ALL
def test_cut_between_the_halves_of_a_letter(line, protocol):
    """The caller has half a letter: it gets the other half, or the truth, but no two trains."""
    gw = line(protocol, (Fault("cut", after=3), saying(*HALVES)),
              (OK, saying("Get ", "on the 🚂 ", "now.", raw_utf8=True)))
    told = stream(gw, protocol)
    if told.complete:
        resumed(told, "Get on the 🚂 now.")
    else:
        ended(protocol, told)


@ALL
def test_the_rest_is_the_one_who_goes_on(line, protocol):
    """Only what was sent must be the same: nobody knows what the first would have said."""
    two = saying(*TOKENS[:40], "and ", "then ", "it ", "stops.")
    gw = line(protocol, (Fault("cut", after=40), None), (OK, two))
    resumed(stream(gw, protocol), "".join(TOKENS[:40]) + "and then it stops.")


CLOSINGS = [(CHAT, "finish"), (MESSAGES, "content_block_stop"), (MESSAGES, "message_delta"),
            (RESPONSES, "response.output_text.done"),
            (RESPONSES, "response.content_part.done"),
            (RESPONSES, "response.output_item.done"), (RESPONSES, "response.completed")]


@pytest.mark.parametrize("protocol,before", CLOSINGS)
def test_cut_between_the_last_word_and_the_end(line, protocol, before):
    gw = line(protocol, (Fault("cut", before=before), None), (OK, None))
    resumed(stream(gw, protocol))


@ALL
@pytest.mark.parametrize("after", [4, 10, 14])
def test_reasoning_then_text(line, protocol, after):
    """Cut while it reasons, between the two, and in the text."""
    thought = split("First I look which way the points are set. ", 5)[:10]
    one = Answer([("reasoning", thought), ("text", TOKENS[:10])])
    two = Answer([("reasoning", split("".join(thought), 7, 2)),
                  ("text", split("".join(TOKENS[:10]), 6))])
    gw = line(protocol, (Fault("cut", after=min(after, len(thought) + 5)), one), (OK, two))
    told = resumed(stream(gw, protocol), "".join(TOKENS[:10]))
    assert told.reasoning == "".join(thought)


@ALL
def test_several_parts(line, protocol):
    """Text, a second text part behind it where the protocol has such, cut in the second."""
    if protocol == CHAT:
        pytest.skip("chat has one text")
    parts = [("text", TOKENS[:10]), ("text", TOKENS[10:20])]
    gw = line(protocol, (Fault("cut", after=15), Answer(parts)), (OK, Answer(parts)))
    told = resumed(stream(gw, protocol), "".join(TOKENS[:20]))
    assert told.complete


@ALL
def test_usage_is_that_of_the_whole_answer(line, protocol):
    more = {"stream_options": {"include_usage": True}} if protocol == CHAT else {}
    gw = line(protocol, (Fault("cut", after=30), Answer(prompt=11, output=60)),
              (OK, Answer(prompt=11, output=77)))
    told = resumed(stream(gw, protocol, **more))
    assert told.usage["prompt_tokens" if protocol == CHAT else "input_tokens"] == 11
    assert told.usage["completion_tokens" if protocol == CHAT else "output_tokens"] == 77


@ALL
def test_a_large_request_is_still_there(line, provider, protocol):
    """What was sent long ago can be sent again, byte for byte, but for the model's name."""
    gw = line(protocol, (Fault("cut", after=40), None), (OK, None))
    resumed(stream(gw, protocol, "rail " * 60000))
    first, second = provider.of("t0")[0], provider.of("t1")[0]
    assert second.body == first.body.replace(b'"t0"', b'"t1"')
    assert len(second.body) > 300000


def test_a_large_answer(line):
    words = [f"{n:05d} " + "x" * 1000 + " " for n in range(200)]
    gw = line(CHAT, (Fault("cut", after=150), saying(*words)),
              (OK, saying(*split("".join(words), 777))))
    resumed(stream(gw, CHAT), "".join(words))


@ALL
def test_many_at_a_time(line, protocol):
    gw = line(protocol, (Fault("cut", after=30), None), (OK, None))
    told = []
    # fewer than what opens the breaker: all of them meet the fault
    crowd = [threading.Thread(target=lambda: told.append(stream(gw, protocol)))
             for _ in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(20)
    assert len(told) == 4
    for one in told:
        resumed(one)


# --- other words ---

@ALL
@pytest.mark.parametrize("at", [0, 20, 39])
def test_other_words_before_the_cut(line, provider, protocol, at):
    words = TOKENS[:at] + ["waggon "] + TOKENS[at + 1:]
    gw = line(protocol, (Fault("cut", after=40), None), (OK, saying(*words)))
    ended(protocol, stream(gw, protocol), "".join(TOKENS[:40]))
    # it is left at the first other word, not listened to till its end
    assert provider.wait("t1", 1, timeout=1)[0].done.wait(2)


@ALL
@pytest.mark.parametrize("n", [0, 1, 39])
def test_a_shorter_answer_differs(line, protocol, n):
    gw = line(protocol, (Fault("cut", after=40), None), (OK, saying(*TOKENS[:n] or [""])))
    ended(protocol, stream(gw, protocol), "".join(TOKENS[:40]))


@ALL
def test_an_answer_that_ends_at_the_cut(line, protocol):
    """The same words and then its end: the whole answer is there."""
    gw = line(protocol, (Fault("cut", after=40), None), (OK, saying(*TOKENS[:40])))
    resumed(stream(gw, protocol), "".join(TOKENS[:40]))


@ALL
def test_other_reasoning_differs(line, protocol):
    one = Answer([("reasoning", ["Left ", "or ", "right? "]), ("text", TOKENS[:9])])
    two = Answer([("reasoning", ["Right ", "or ", "left? "]), ("text", TOKENS[:9])])
    gw = line(protocol, (Fault("cut", after=6), one), (OK, two))
    ended(protocol, stream(gw, protocol), "".join(TOKENS[:3]))


@ALL
def test_text_where_reasoning_was(line, protocol):
    """The same letters as another kind of content are not the same answer."""
    words = TOKENS[:10]
    gw = line(protocol, (Fault("cut", after=6), Answer([("reasoning", words)])),
              (OK, Answer([("text", words)])))
    told = stream(gw, protocol)
    ended(protocol, told, "")
    assert told.reasoning == "".join(words[:6])


def test_the_route_wants_the_reason_to_be_seen(line):
    gw = line(CHAT, (Fault("cut", after=40), None), (OK, saying("Something else.")),
              route={"ON_CUT": "error"})
    told = stream(gw, CHAT)
    assert told.failed and not told.ends and told.finish is None
    assert told.text == "".join(TOKENS[:40])


SPECIAL = [(RESPONSES, ("other",)), (MESSAGES, ("other",)), (RESPONSES, ("reasoning", [])),
           (RESPONSES, ("summary", ["Left, "]))]


@pytest.mark.parametrize("protocol,part", SPECIAL, ids=["search", "sealed", "silent", "summary"])
@pytest.mark.parametrize("after", [0, 1, 5])
def test_what_only_one_protocol_knows(line, protocol, part, after):
    """A sealed thought, a search, thoughts that are not told: whoever cannot compare them
    must not lose count of them."""
    answer = Answer([part, ("text", TOKENS[:10])])
    gw = line(protocol, (Fault("cut", after=after), answer), (OK, answer))
    told = stream(gw, protocol)
    if told.complete:
        resumed(told, "".join(TOKENS[:10]))
    else:
        ended(protocol, told)


def test_cut_in_a_summary(line):
    """A summary is gone on with as a summary."""
    answer = Answer([("summary", ["Left, ", "not ", "right. "]), ("text", TOKENS[:10])])
    gw = line(RESPONSES, (Fault("cut", after=2), answer), (OK, answer))
    told = stream(gw, RESPONSES)
    if told.complete:
        assert resumed(told, "".join(TOKENS[:10])).reasoning == "Left, not right. "
    else:
        ended(RESPONSES, told, "")


@pytest.mark.parametrize("field", [{"n": 2}, {"logprobs": True}], ids=["n", "logprobs"])
def test_what_is_not_compared_is_not_gone_on_with(line, field):
    """Of several choices, or with probabilities, the text is only a part of the answer."""
    gw = line(CHAT, (Fault("cut", after=40), None), (OK, None))
    ended(CHAT, stream(gw, CHAT, **field), "".join(TOKENS[:40]))


# --- tool calls ---

ARGS = ['{"to', 'wn":"', "Bas", 'el"}']


def calling(call_id="call_1", name="timetable", args=None):
    return Answer([("text", TOKENS[:3]), ("tool", call_id, name, args or ARGS)])


@ALL
@pytest.mark.parametrize("after", [4, 6])
def test_cut_in_a_tool_call(line, provider, protocol, after):
    """Half a call is never gone on with, not even by the same words."""
    gw = line(protocol, (Fault("cut", after=after), calling()), (OK, calling()))
    told = stream(gw, protocol)
    ended(protocol, told, "".join(TOKENS[:3]))
    assert provider.of("t1") == []
    assert all(args != "".join(ARGS) for _, _, args in told.calls())


@ALL
def test_cut_in_the_text_before_a_tool_call(line, protocol):
    gw = line(protocol, (Fault("cut", after=2), calling("call_1")),
              (OK, calling("call_2")))
    told = resumed(stream(gw, protocol), "".join(TOKENS[:3]))
    assert told.calls() == [("call_2", "timetable", "".join(ARGS))]


@ALL
@pytest.mark.parametrize("how", [{}, {"args": ['{"town":"Bern"}']}, {"name": "departures"}],
                         ids=["same", "args", "name"])
def test_cut_after_a_complete_tool_call(line, protocol, how):
    """Complete or failed, but one call, the one that was told, and once."""
    before = {CHAT: "finish", MESSAGES: "message_delta", RESPONSES: "response.completed"}
    gw = line(protocol, (Fault("cut", before=before[protocol]), calling("call_1")),
              (OK, calling("call_2", **how)))
    told = stream(gw, protocol)
    assert not told.wrong, told.wrong
    assert told.calls() == [("call_1", "timetable", "".join(ARGS))]
    if told.complete:
        assert not how
        resumed(told, "".join(TOKENS[:3]))
    else:
        ended(protocol, told, "".join(TOKENS[:3]))


# --- once more ---

@ALL
@pytest.mark.parametrize("first,second", [(20, 40), (40, 20), (40, 40), (20, 0)])
def test_a_second_cut(line, provider, protocol, first, second):
    """The one that goes on breaks off too: behind, before and at the first one's end."""
    gw = line(protocol, (Fault("cut", after=first), None), (Fault("cut", after=second), None),
              (OK, None))
    resumed(stream(gw, protocol))
    assert len(provider.of("t2")) == 1


@ALL
def test_the_last_one_is_cut_too(line, protocol):
    gw = line(protocol, (Fault("cut", after=20), None), (Fault("cut", after=40), None))
    told = stream(gw, protocol)
    ended(protocol, told)
    assert TEXT.startswith(told.text) and len(told.text) >= len("".join(TOKENS[:20]))


@ALL
@pytest.mark.parametrize("fault", [Fault("status", status=503), Fault("reset")],
                         ids=["503", "reset"])
def test_the_next_one_refuses(line, protocol, fault):
    """No answer at all is no other answer: the one behind it is asked."""
    gw = line(protocol, (Fault("cut", after=20), None), (fault, None), (OK, None))
    resumed(stream(gw, protocol))


@ALL
def test_another_one_may_say_the_same(line, provider, protocol):
    """The second says something else, the third would have known: the stream may end or go
    on, it may not mix them up."""
    gw = line(protocol, (Fault("cut", after=20), None), (OK, saying("Something else.")),
              (OK, None))
    told = stream(gw, protocol)
    if told.complete:
        resumed(told)
    else:
        ended(protocol, told, "".join(TOKENS[:20]))


@ALL
def test_silence_while_it_is_gone_on_with(line, protocol):
    gw = line(protocol, (Fault("cut", after=20), None), (Fault("stall", after=10), None),
              (OK, None), TIMEOUT_IDLE="500ms", TIMEOUT_FIRST_TOKEN="500ms")
    resumed(stream(gw, protocol))


@ALL
def test_signs_of_life_while_it_is_gone_on_with(line, protocol):
    """To say it all again takes long: clients give up on a stream that is silent. The
    responses API has nothing to say in mid-stream, and nothing unknown is said there."""
    gw = line(protocol, (Fault("cut", after=20), None), (Fault("late", seconds=1.5), None),
              (OK, None), gateway={"SILENCE": "200ms", "PING": "200ms"})
    told = resumed(stream(gw, protocol))
    assert told.pings >= (2 if protocol != RESPONSES else 0)


@ALL
@pytest.mark.parametrize("after", [0, 10, 40])
def test_the_caller_leaves_meanwhile(line, provider, protocol, after):
    """Before the second one's first word, while its words are swallowed, and behind that."""
    gw = line(protocol, (Fault("cut", after=20), None), (Fault("stall", after=after), None))
    body = ask(protocol, "Hello", stream=True)
    with gw.open("POST", PATHS[protocol], body, headers_of(protocol)) as exchange:
        seen = 0
        for event in exchange.events():
            seen += '"wagon-' in event.data
            if seen >= max(20, after):
                break
        second = provider.wait("t1", 1, timeout=3)[0]
        assert not second.left.is_set()
        exchange.reset()
    assert second.left.wait(0.5), "the second one was not left"


# --- other protocols, other places ---

@ALL
@pytest.mark.parametrize("after", [1, 40, 60])
def test_gone_on_with_in_another_protocol(line, protocol, after):
    gw = line(protocol, (Fault("cut", after=after), None),
              (OK, None, OTHER[KIND[protocol]]))
    resumed(stream(gw, protocol))


@ALL
def test_other_words_in_another_protocol(line, protocol):
    gw = line(protocol, (Fault("cut", after=40), None),
              (OK, saying("Something else."), OTHER[KIND[protocol]]))
    ended(protocol, stream(gw, protocol), "".join(TOKENS[:40]))


@ALL
def test_a_translated_stream_is_gone_on_with(line, protocol):
    """The first one is the stranger, the second speaks the caller's protocol."""
    gw = line(protocol, (Fault("cut", after=40), None, OTHER[KIND[protocol]]), (OK, None))
    resumed(stream(gw, protocol))


@ALL
def test_a_killed_server_goes_on_after_its_restart(make_gateway, protocol):
    gw = make_gateway({"demo-chat": profile("demo-chat", EXTRA_ARGS="--ignore-eos")},
                      {"20-auto.conf": auto_route("demo-chat")})
    more = {"temperature": 0, "limit": 1000}
    whole = stream(gw, protocol, **more)
    assert whole.complete
    events, told_at_kill = [], 0
    pid = gw.profile("demo-chat")["pid"]
    body = ask(protocol, "Hello", stream=True, **more)
    with gw.open("POST", PATHS[protocol], body, headers_of(protocol)) as exchange:
        try:
            for event in exchange.events():
                events.append(event)
                if len(events) == 10:
                    os.kill(pid, signal.SIGKILL)
                    told_at_kill = len(Told(protocol, events).text)
        except Truncated:
            pass
        told = Told(protocol, events)
        told.whole_body = exchange.complete
    assert 0 < told_at_kill < len(whole.text) / 4
    resumed(told, whole.text)
    assert gw.profile("demo-chat")["pid"] not in (0, None, pid)
