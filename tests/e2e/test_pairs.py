"""Each protocol of a caller with each protocol of an upstream: nine pairs, streamed and whole.

The upstreams are strict stand-ins: what the real API would refuse fails the test, and what the
caller receives is held against the rules of its own protocol.
"""

import json
import shutil
import tempfile

import pytest
import strict
import strict_stream
from script import PIXEL, SCHEMA, Script, Stage, ask, data_url, tool

PROTOCOLS = ("chat", "responses", "messages")
PAIRS = [(caller, upstream) for caller in PROTOCOLS for upstream in PROTOCOLS]
TRANSLATED = [pair for pair in PAIRS if pair[0] != pair[1]]
SPARE = 90
HELLO = [("user", "Hello, wörld \U0001f600")]
TEXT = "Grüße — “quoted” \\ back\\slash, a\ttab,\na line, 日本語, \U0001f600\U0001f680 and an end."
THOUGHT = "First I wonder: “why?” … then\nI know — \U0001f914."
ARGS_ONE = r'{"path": "/tmp/\u00e9\u4e2d \"q\" \\ x\ud83d\ude00", "depth": 3}'
ARGS_TWO = '{"path":"ünïcode/☃","depth":-1}'
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def pairs(which=None):
    return pytest.mark.parametrize("caller,upstream", which or PAIRS,
                                   ids=["-to-".join(pair) for pair in which or PAIRS])


@pytest.fixture(scope="module")
def stage(make_module_gateway):
    folders = [tempfile.mkdtemp(prefix="pm-cloud-") for _ in PROTOCOLS]
    stage = Stage(folders)
    route = {"route": {"MODELS": "any-of-them", "POLICIES": "capability",
                       "TARGETS": "to-responses,to-messages"}}
    stage.gateway = make_module_gateway(stage.sections(SPARE), {"10-any.conf": route},
                                        env={"CLOUD_KEY": "sk-cloud-key"})
    yield stage
    stage.close()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def answer_of(caller, reply, stream, usage=True):
    assert reply.status == 200, reply
    assert reply.complete, reply
    if stream:
        assert reply.header("content-type").startswith("text/event-stream"), reply.headers
        return strict_stream.read_stream(caller, reply.events, usage)
    assert reply.header("content-type").startswith("application/json"), reply.headers
    return strict_stream.read_whole(caller, reply.json)


def seen_by(stage, caller, upstream, stream):
    """The body that the upstream got, once, with nothing wrong in it."""
    cloud = stage.clouds[upstream]
    assert not cloud.complaints, cloud.complaints
    assert len(cloud.posts()) == 1, [r.body for r in cloud.posts()]
    body = cloud.posts()[0].json
    if caller != upstream:
        assert body["stream"] is True
        if upstream == "chat":
            assert body["stream_options"] == {"include_usage": True}
    return body


def talk(stage, pair, script, turns=None, stream=False, target="", **more):
    """Asks and is answered. Returns the answer, the upstream's request, and the reply."""
    caller, upstream = pair
    stage.clouds[upstream].say(script)
    body = ask(caller, turns or HELLO, f"to-{upstream}{target}", stream, **more)
    reply = stage.post(caller, body)
    answer = answer_of(caller, reply, stream)
    return answer, seen_by(stage, caller, upstream, stream), reply


def dropped(reply):
    return [word.strip() for word in (reply.header("x-pointsman-dropped") or "").split(",")
            if word.strip()]


# what is said

@BOTH
@pairs()
def test_text(stage, caller, upstream, stream):
    answer, body, reply = talk(stage, (caller, upstream), Script(text=TEXT), stream=stream)
    assert answer.text == TEXT
    assert answer.order == ["text"]
    assert answer.stop == "stop"
    assert answer.model == "cloud-named-itself-2026"
    assert body["model"] == f"to-{upstream}"
    assert strict.read(upstream, body).turns == strict.read(
        caller, ask(caller, HELLO, "any")).turns
    assert dropped(reply) == []


@BOTH
@pairs()
def test_reasoning_comes_before_text(stage, caller, upstream, stream):
    script = Script(reasoning=THOUGHT, text=TEXT)
    answer, _, _ = talk(stage, (caller, upstream), script, stream=stream)
    assert answer.thinking == THOUGHT
    assert answer.text == TEXT
    assert answer.order == ["reasoning", "text"]
    if caller == "messages":
        signed = strict.sign(THOUGHT) if upstream == "messages" else ""
        assert answer.signatures == [signed]


@BOTH
@pairs([(caller, "responses") for caller in PROTOCOLS])
def test_summary_of_reasoning(stage, caller, upstream, stream):
    script = Script(reasoning=THOUGHT, summary=True, text=TEXT)
    answer, _, _ = talk(stage, (caller, upstream), script, stream=stream)
    assert answer.thinking == THOUGHT
    assert answer.order == ["reasoning", "text"]


def check_calls(answer, wanted):
    assert [call.name for call in answer.calls] == [name for name, _ in wanted]
    for call, (_, said) in zip(answer.calls, wanted):
        assert json.loads(call.arguments) == json.loads(said)
    ids = [call.id for call in answer.calls]
    assert len(set(ids)) == len(ids)


@BOTH
@pairs()
def test_one_tool_call(stage, caller, upstream, stream):
    wanted = [("look_up", ARGS_ONE)]
    answer, body, _ = talk(stage, (caller, upstream), Script(calls=wanted), stream=stream,
                           tools=["look_up"])
    check_calls(answer, wanted)
    assert answer.order == ["call"]
    assert answer.stop == "tool"
    assert strict.read(upstream, body).tools == {"look_up": SCHEMA}
    if stream and caller != "messages":
        assert answer.calls[0].arguments == ARGS_ONE


@BOTH
@pairs()
def test_parallel_tool_calls_after_text(stage, caller, upstream, stream):
    wanted = [("look_up", ARGS_ONE), ("write-down", ARGS_TWO), ("look_up", "{}")]
    script = Script(reasoning=THOUGHT, text=TEXT, calls=wanted)
    answer, body, _ = talk(stage, (caller, upstream), script, stream=stream,
                           tools=["look_up", "write-down"])
    check_calls(answer, wanted)
    assert answer.text == TEXT and answer.thinking == THOUGHT
    assert answer.order == ["reasoning", "text", "call", "call", "call"]
    assert answer.stop == "tool"
    assert list(strict.read(upstream, body).tools) == ["look_up", "write-down"]


@pairs(TRANSLATED)
@pytest.mark.parametrize("step", [1, 2, 10000])
def test_pieces_of_any_size(stage, caller, upstream, step):
    wanted = [("look_up", ARGS_ONE), ("look_up", ARGS_TWO)]
    script = Script(reasoning=THOUGHT, text=TEXT, calls=wanted, step=step)
    answer, _, _ = talk(stage, (caller, upstream), script, stream=True, tools=["look_up"])
    check_calls(answer, wanted)
    assert (answer.text, answer.thinking) == (TEXT, THOUGHT)


@BOTH
@pairs()
def test_an_upstream_that_answers_whole_all_the_same(stage, caller, upstream, stream):
    if caller == upstream and stream:
        pytest.skip("passed on as it comes")
    wanted = [("look_up", ARGS_ONE), ("look_up", ARGS_TWO)]
    script = Script(reasoning=THOUGHT, text=TEXT, calls=wanted, whole=True, cached=7)
    answer, _, _ = talk(stage, (caller, upstream), script, stream=stream, tools=["look_up"])
    check_calls(answer, wanted)
    assert (answer.text, answer.thinking, answer.cached) == (TEXT, THOUGHT, 7)


@BOTH
@pairs()
def test_an_empty_answer(stage, caller, upstream, stream):
    answer, _, _ = talk(stage, (caller, upstream), Script(output=0), stream=stream)
    assert answer.text == "" and not answer.calls
    assert answer.stop == "stop"


@pairs([(caller, "chat") for caller in ("responses", "messages")])
def test_a_chat_without_done_is_complete(stage, caller, upstream):
    script = Script(text=TEXT, terminator=False)
    answer, _, _ = talk(stage, (caller, upstream), script, stream=True)
    assert answer.text == TEXT


@pairs([("chat", upstream) for upstream in PROTOCOLS])
def test_usage_only_for_those_who_asked(stage, caller, upstream):
    stage.clouds[upstream].say(text=TEXT)
    body = ask("chat", HELLO, f"to-{upstream}", True)
    body.pop("stream_options")
    answer = answer_of("chat", stage.post("chat", body), True, usage=False)
    assert answer.text == TEXT


# history

HISTORY = [("user", "Look at both."), ("assistant", "I do."),
           ("call", "call_one", "look_up", {"path": "/é\"\\", "depth": 1}),
           ("call", "call_two", "look_up", {"path": "/b", "depth": 2}),
           ("result", "call_one", "one is\nhere"), ("result", "call_two", "two is there"),
           ("user", "And now?")]


@pairs()
def test_second_turn(stage, caller, upstream):
    _, body, reply = talk(stage, (caller, upstream), Script(text=TEXT), HISTORY,
                          tools=["look_up"], system="Be brief.")
    sent = strict.read(caller, ask(caller, HISTORY, "any", system="Be brief."))
    got = strict.read(upstream, body)
    assert got.turns == sent.turns
    assert got.system == sent.system == "Bebrief."
    assert dropped(reply) == []


@pairs()
def test_results_in_another_order(stage, caller, upstream):
    """Every protocol gets them in the order of the calls, behind their call."""
    turns = [*HISTORY[:4], HISTORY[5], HISTORY[4], HISTORY[6]]
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), turns, tools=["look_up"])
    results = strict.read(upstream, body).said("result")
    if caller != upstream:
        assert [call for call, _ in results] == ["call_one", "call_two"]
    assert sorted(results) == [("call_one", "oneishere"), ("call_two", "twoisthere")]


@pairs()
def test_a_turn_of_calls_only(stage, caller, upstream):
    turns = [HISTORY[0], *HISTORY[2:6]]
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), turns, tools=["look_up"])
    assert strict.read(upstream, body).turns == strict.read(
        caller, ask(caller, turns, "any")).turns
    if upstream == "chat":
        assert body["messages"][1]["content"] is None


@pairs(TRANSLATED)
def test_results_that_are_missing_or_nobodys(stage, caller, upstream):
    turns = [*HISTORY[:5], ("user", "Go on."), ("result", "call_gone", "of no call"),
             ("user", "Now.")]
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), turns, tools=["look_up"])
    asked = strict.read(upstream, body)
    results = dict(asked.said("result"))
    assert results["call_one"] == "oneishere"
    assert "noresultwasrecorded" in results["call_two"].lower()
    assert "call_gone" not in results
    assert "ofnocall" in "".join(asked.said("user"))


@pairs(TRANSLATED)
def test_ids_of_other_makers(stage, caller, upstream):
    """Ids as servers make them up: with other characters, long, and the same in each turn."""
    first, second = "functions.look_up:0", "call_" + "7" * 50
    if caller == "messages":
        first, second = "toolu_" + "x" * 58, "toolu_" + "y" * 58
    turns = [HISTORY[0], ("call", first, "look_up", {}), ("result", first, "one"),
             ("call", second, "look_up", {}), ("result", second, "two"), HISTORY[6]]
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), turns, tools=["look_up"])
    asked = strict.read(upstream, body)
    assert [text for _, text in asked.said("result")] == ["one", "two"]
    assert [call[0] for call in asked.said("call")] == [
        call for call, _ in asked.said("result")]


@pairs([pair for pair in TRANSLATED if pair[0] != "messages"])
def test_ids_that_begin_anew_each_turn(stage, caller, upstream):
    turns = [HISTORY[0], ("call", "call_0", "look_up", {}), ("result", "call_0", "one"),
             ("call", "call_0", "look_up", {}), ("result", "call_0", "two"), HISTORY[6]]
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), turns, tools=["look_up"])
    assert [turn[-1] for turn in strict.read(upstream, body).turns if turn[0] == "result"] == [
        "one", "two"]


@pairs(TRANSLATED)
@pytest.mark.parametrize("blank", ["", "\n\n"])
def test_an_assistant_that_said_nothing(stage, caller, upstream, blank):
    """Some servers put a blank text beside their calls; not every API takes it back."""
    turns = [HISTORY[0], ("assistant", blank), *HISTORY[2:]]
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), turns, tools=["look_up"])
    assert strict.read(upstream, body).said("call") == strict.read(
        caller, ask(caller, turns, "any")).said("call")


@pairs([(caller, "messages") for caller in ("chat", "responses")])
def test_nobody_spoke_but_the_system(stage, caller, upstream):
    """Either refused here, or sent in a form that the upstream takes."""
    cloud = stage.clouds[upstream]
    cloud.say(text=TEXT)
    alone = {"chat": {"messages": [{"role": "system", "content": "Say something."}]},
             "responses": {"instructions": "Say something.", "input": ""}}[caller]
    reply = stage.post(caller, ask(caller, HELLO, f"to-{upstream}", **alone))
    assert not cloud.complaints, cloud.complaints
    assert reply.status in (200, 400), reply


@pairs([("messages", upstream) for upstream in PROTOCOLS])
def test_a_result_that_is_an_error(stage, caller, upstream):
    turns = [HISTORY[0], HISTORY[2], ("result", "call_one", "no such file", {"error": True})]
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), turns, tools=["look_up"])
    said = dict(strict.read(upstream, body).said("result"))["call_one"]
    if upstream == "messages":
        assert body["messages"][2]["content"][0]["is_error"] is True
    else:
        assert said == "Error:nosuchfile"


@pairs([(caller, upstream) for caller, upstream in PAIRS if caller != "chat"])
def test_an_image_in_a_result(stage, caller, upstream):
    turns = [HISTORY[0], *HISTORY[2:4], ("result", "call_one", "a picture", {"image": PIXEL}),
             HISTORY[5], HISTORY[6]]
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), turns, tools=["look_up"])
    asked = strict.read(upstream, body)
    assert asked.said("image") == [data_url(PIXEL)]
    assert dict(asked.said("result"))["call_one"].startswith("apicture")
    if upstream == "chat":
        roles = [message["role"] for message in body["messages"]]
        assert roles[:4] == ["user", "assistant", "tool", "tool"]
        at = [turn[0] for turn in asked.turns].index("image")
        assert "call_one" in asked.turns[at - 1][1]


@pairs()
def test_images(stage, caller, upstream):
    turns = [("user", "Before"), ("image", PIXEL), ("user", "after.")]
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), turns)
    assert strict.read(upstream, body).turns == [
        ("user", "Before"), ("image", data_url(PIXEL)), ("user", "after.")]


URL = "https://example.org/cat.png"
BY_URL = {
    "chat": {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": URL}}, {"type": "text", "text": "?"}]}]},
    "responses": {"input": [{"role": "user", "content": [
        {"type": "input_image", "image_url": URL}, {"type": "input_text", "text": "?"}]}]},
    "messages": {"messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "url", "url": URL}},
        {"type": "text", "text": "?"}]}]}}


@pairs()
def test_images_by_url(stage, caller, upstream):
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), **BY_URL[caller])
    assert strict.read(upstream, body).turns == [("image", URL), ("user", "?")]


PDF = "JVBERi0xLjQKJUVPRgo="
DOCUMENT = {
    "chat": {"messages": [{"role": "user", "content": [
        {"type": "file", "file": {"filename": "a.pdf",
                                  "file_data": "data:application/pdf;base64," + PDF}},
        {"type": "text", "text": "?"}]}]},
    "responses": {"input": [{"role": "user", "content": [
        {"type": "input_file", "filename": "a.pdf",
         "file_data": "data:application/pdf;base64," + PDF},
        {"type": "input_text", "text": "?"}]}]},
    "messages": {"messages": [{"role": "user", "content": [
        {"type": "document", "title": "a.pdf", "source": {
            "type": "base64", "media_type": "application/pdf", "data": PDF}},
        {"type": "text", "text": "?"}]}]}}


@pairs()
def test_documents(stage, caller, upstream):
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), **DOCUMENT[caller])
    assert strict.read(upstream, body).turns == [
        ("document", "data:application/pdf;base64," + PDF), ("user", "?")]


# the system's words

SYSTEMS = {
    "chat": {"messages": [
        {"role": "system", "content": [{"type": "text", "text": "One."},
                                       {"type": "text", "text": "Two."}]},
        {"role": "developer", "content": "Three."}, {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Yes?"}, {"role": "system", "content": "Four."},
        {"role": "user", "content": "Go."}]},
    "responses": {"instructions": "One.", "input": [
        {"role": "developer", "content": "Two."},
        {"role": "system", "content": [{"type": "input_text", "text": "Three."}]},
        {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes?"},
        {"role": "developer", "content": "Four."}, {"role": "user", "content": "Go."}]},
    "messages": {"system": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
                 "messages": [{"role": "user", "content": "Hello"},
                              {"role": "system", "content": "Three."},
                              {"role": "assistant", "content": "Yes?"},
                              {"role": "user", "content": "Go."},
                              {"role": "system", "content": [{"type": "text",
                                                              "text": "Four."}]}]}}


@pairs(TRANSLATED)
def test_system_forms(stage, caller, upstream):
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), **SYSTEMS[caller])
    asked = strict.read(upstream, body)
    assert asked.system == "One.Two.Three.Four."
    assert asked.turns == [("user", "Hello"), ("assistant", "Yes?"), ("user", "Go.")]
    joined = "One.\n\nTwo.\n\nThree.\n\nFour."
    if upstream == "chat":
        assert body["messages"][0]["content"] == joined
        assert body["messages"][0]["role"] == "system"
        assert [m["role"] for m in body["messages"][1:]] == ["user", "assistant", "user"]
    elif upstream == "responses":
        assert body["instructions"] == joined


@pairs([("messages", upstream) for upstream in PROTOCOLS])
def test_the_nonce_block_is_for_its_maker_alone(stage, caller, upstream):
    nonce = "x-anthropic-billing-header: cc_version=2.1.329.0a8; cc_entrypoint=cli;"
    system = [{"type": "text", "text": nonce}, {"type": "text", "text": "Be brief."}]
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), system=system)
    assert ("x-anthropic-billing" in json.dumps(body)) == (upstream == "messages")
    assert strict.read(upstream, body).system == "Bebrief."


# limits, stops, sampling

LIMITS = {"chat": "max_completion_tokens", "responses": "max_output_tokens",
          "messages": "max_tokens"}


@pairs()
def test_limits_and_sampling(stage, caller, upstream):
    more = {LIMITS[caller]: 777, "temperature": 0.5, "top_p": 0.75}
    _, body, reply = talk(stage, (caller, upstream), Script(text=TEXT), **more)
    assert strict.read(upstream, body).limit == 777
    assert body["temperature"] == 0.5
    if caller != upstream == "messages":
        # its newer models take one of the two
        assert "top_p" not in body and dropped(reply) == ["top_p"]
        return
    assert body["top_p"] == 0.75
    assert dropped(reply) == []


@pairs([(caller, "messages") for caller in ("chat", "responses")])
def test_top_p_alone(stage, caller, upstream):
    _, body, reply = talk(stage, (caller, upstream), Script(text=TEXT), top_p=0.75)
    assert body["top_p"] == 0.75
    assert dropped(reply) == []


@pairs([("chat", upstream) for upstream in PROTOCOLS])
def test_the_old_name_of_the_limit(stage, caller, upstream):
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), max_tokens=555)
    assert strict.read(upstream, body).limit == 555


@pairs([(caller, "messages") for caller in ("chat", "responses")])
def test_a_limit_where_one_is_needed(stage, caller, upstream):
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT))
    assert body["max_tokens"] == 32000


@pairs([(caller, "messages") for caller in ("chat", "responses")])
def test_temperature_is_clamped(stage, caller, upstream):
    _, body, reply = talk(stage, (caller, upstream), Script(text=TEXT), temperature=1.5)
    assert body["temperature"] == 1
    assert dropped(reply) == ["temperature"]


@pairs([pair for pair in PAIRS if "responses" not in pair])
def test_stop_sequences(stage, caller, upstream):
    more = ({"stop": ["END", "\n\nHuman:"]} if caller == "chat" else
            {"stop_sequences": ["END", "\n\nHuman:"]})
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), **more)
    assert strict.read(upstream, body).stops == ["END", "\n\nHuman:"]


def test_a_single_stop(stage):
    _, body, _ = talk(stage, ("chat", "messages"), Script(text=TEXT), stop="END")
    assert body["stop_sequences"] == ["END"]


CHOICES = {"chat": {"auto": "auto", "none": "none", "required": "required",
                    "b_tool": {"type": "function", "function": {"name": "b_tool"}}},
           "responses": {"auto": "auto", "none": "none", "required": "required",
                         "b_tool": {"type": "function", "name": "b_tool"}},
           "messages": {"auto": {"type": "auto"}, "none": {"type": "none"},
                        "required": {"type": "any"},
                        "b_tool": {"type": "tool", "name": "b_tool"}}}


@pairs(TRANSLATED)
@pytest.mark.parametrize("choice", ["auto", "none", "required", "b_tool"])
def test_tool_choice(stage, caller, upstream, choice):
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), tools=["a_tool", "b_tool"],
                      tool_choice=CHOICES[caller][choice])
    assert strict.read(upstream, body).choice in (
        (choice, None) if choice == "auto" else (choice,))


def parallel_of(upstream, body):
    if upstream == "messages":
        return not body["tool_choice"]["disable_parallel_tool_use"]
    return body["parallel_tool_calls"]


@pairs(TRANSLATED)
def test_one_call_at_a_time(stage, caller, upstream):
    more = ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
            if caller == "messages" else {"parallel_tool_calls": False})
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), tools=["a_tool"], **more)
    assert parallel_of(upstream, body) is False


def format_of(protocol, schema, strictly=True):
    if protocol == "messages":
        return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    inner = {"name": "answer", "schema": schema, "strict": strictly}
    if protocol == "chat":
        return {"response_format": {"type": "json_schema", "json_schema": inner}}
    return {"text": {"format": {"type": "json_schema", **inner}}}


def schema_of(protocol, body):
    if protocol == "messages":
        return body["output_config"]["format"]["schema"]
    if protocol == "chat":
        return body["response_format"]["json_schema"]["schema"]
    return body["text"]["format"]["schema"]


@pairs()
def test_structured_output(stage, caller, upstream):
    _, body, _ = talk(stage, (caller, upstream), Script(text='{"path":"/","depth":1}'),
                      **format_of(caller, SCHEMA))
    assert schema_of(upstream, body) == SCHEMA


@pairs([pair for pair in TRANSLATED if pair[0] != "messages"])
def test_structured_output_that_is_not_strict(stage, caller, upstream):
    """What a loose schema becomes must still be one that the upstream takes."""
    loose = {"type": "object", "properties": {"a": {"type": "object", "properties": {}}}}
    _, body, _ = talk(stage, (caller, upstream), Script(text="{}"),
                      **format_of(caller, loose, False))
    assert schema_of(upstream, body)["type"] == "object"


@pytest.mark.parametrize("schema", [None, {}, {"properties": {}}],
                         ids=["none", "empty", "untyped"])
@pairs([(caller, "messages") for caller in ("chat", "responses")])
def test_tools_without_parameters(stage, caller, upstream, schema):
    tools = [tool(caller, "nothing")]
    inner = tools[0].get("function") or tools[0]
    inner["parameters"] = schema
    if schema is None:
        inner.pop("parameters")
    stage.clouds[upstream].say(Script(calls=[("nothing", "{}")]))
    body = ask(caller, HELLO, f"to-{upstream}", tools=["x"])
    body["tools"] = tools
    answer = answer_of(caller, stage.post(caller, body), False)
    assert [call.name for call in answer.calls] == ["nothing"]
    assert seen_by(stage, caller, upstream, False)["tools"][0]["input_schema"][
        "type"] == "object"
