"""The nine pairs of protocols, further: counts, ends, failures, refusals, and real requests."""

import json
from pathlib import Path

import pytest
import strict
import strict_stream
from harness import profile
from script import BROKEN, PATHS, SCHEMA, Script, ask
from test_pairs import (BOTH, HELLO, HISTORY, PAIRS, PROTOCOLS, TEXT, THOUGHT, TRANSLATED,
                        answer_of, dropped, pairs, seen_by, stage, talk)  # noqa: F401

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "client-recordings"


@BOTH
@pairs()
def test_headers_of_the_upstream_are_kept(stage, caller, upstream, stream):
    headers = {"x-ratelimit-remaining-tokens": "5", "anthropic-ratelimit-tokens-limit": "9"}
    _, _, reply = talk(stage, (caller, upstream), Script(text=TEXT, headers=headers),
                       stream=stream)
    if stream or caller != upstream:
        assert reply.header("request-id") == "req_cloud_1"
        assert reply.header("x-ratelimit-remaining-tokens") == "5"
        assert reply.header("anthropic-ratelimit-tokens-limit") == "9"
    assert reply.header("x-pointsman-target") == f"to-{upstream}"


# counts and ends

@BOTH
@pytest.mark.parametrize("cached", [0, 900])
@pairs()
def test_usage(stage, caller, upstream, cached, stream):
    script = Script(text=TEXT, fresh=123, cached=cached, output=77)
    answer, _, _ = talk(stage, (caller, upstream), script, stream=stream)
    assert (answer.fresh, answer.cached, answer.output) == (123, cached, 77)


@BOTH
@pairs([(caller, "messages") for caller in PROTOCOLS])
def test_what_was_put_into_the_cache_was_read(stage, caller, upstream, stream):
    script = Script(text=TEXT, fresh=3, cached=40, written=500, output=7)
    answer, _, _ = talk(stage, (caller, upstream), script, stream=stream)
    assert (answer.fresh, answer.cached, answer.output) == (503, 40, 7)


@BOTH
@pairs([pair for pair in PAIRS if "messages" not in pair])
def test_reasoning_tokens(stage, caller, upstream, stream):
    script = Script(reasoning=THOUGHT, text=TEXT, output=77, thought=33)
    answer, _, _ = talk(stage, (caller, upstream), script, stream=stream)
    assert answer.thought == 33


@BOTH
@pytest.mark.parametrize("stop", ["length", "filter"])
@pairs()
def test_stop_reasons(stage, caller, upstream, stop, stream):
    answer, _, _ = talk(stage, (caller, upstream), Script(text=TEXT, stop=stop), stream=stream)
    assert answer.stop == stop
    assert answer.text == TEXT


@BOTH
@pairs(TRANSLATED)
def test_a_limit_within_a_call(stage, caller, upstream, stream):
    """A call that was cut short must not look like one that is complete."""
    if upstream == "messages" and not stream:
        pytest.skip("the stand-in cannot put half of a JSON object into a whole message")
    script = Script(text=TEXT, calls=[("look_up", '{"path":"/a","depth":1}')], stop="length")
    answer, _, _ = talk(stage, (caller, upstream), script, stream=stream, tools=["look_up"])
    assert answer.stop == "length"


@BOTH
@pytest.mark.parametrize("stop,wanted", [("sequence", "sequence"), ("pause", "stop"),
                                         ("window", "length")])
@pairs([(caller, "messages") for caller in ("chat", "responses")])
def test_stop_reasons_of_one_protocol(stage, caller, upstream, stop, wanted, stream):
    script = Script(text=TEXT, stop=stop, sequence="END" if stop == "sequence" else None)
    answer, _, _ = talk(stage, (caller, upstream), script, stream=stream)
    assert answer.stop == ("stop" if wanted == "sequence" else wanted)


@BOTH
@pairs([pair for pair in TRANSLATED if pair[1] == "chat"])
def test_calls_that_end_with_stop(stage, caller, upstream, stream):
    script = Script(calls=[("look_up", "{}")], stop="stop")
    answer, _, _ = talk(stage, (caller, upstream), script, stream=stream, tools=["look_up"])
    assert answer.stop == "tool"


# how much to think

def effort_of(protocol, body):
    if protocol == "chat":
        return body.get("reasoning_effort")
    if protocol == "responses":
        return (body.get("reasoning") or {}).get("effort")
    return (body.get("thinking") or {}).get("budget_tokens")


@pytest.mark.parametrize("said,budget", [("minimal", 1024), ("low", 1024), ("medium", 2048),
                                         ("high", 4096), ("xhigh", 4096)])
@pairs([pair for pair in TRANSLATED if pair[0] != "messages"])
def test_effort(stage, caller, upstream, said, budget):
    more = {"reasoning_effort": said} if caller == "chat" else {"reasoning": {"effort": said}}
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), **more)
    if upstream == "messages":
        assert body["thinking"]["type"] == "enabled"
        assert body["thinking"]["budget_tokens"] == budget
    else:
        assert effort_of(upstream, body) in (said, "high" if said == "xhigh" else said)


@pytest.mark.parametrize("thinking,config,wanted", [
    ({"type": "enabled", "budget_tokens": 1024}, None, "low"),
    ({"type": "enabled", "budget_tokens": 2048}, None, "medium"),
    ({"type": "enabled", "budget_tokens": 4096}, None, "high"),
    ({"type": "adaptive"}, None, "medium"), ({"type": "adaptive"}, {"effort": "high"}, "high"),
    ({"type": "adaptive", "display": "omitted"}, {"effort": "low"}, "low")])
@pairs([("messages", upstream) for upstream in ("chat", "responses")])
def test_effort_of_a_budget(stage, caller, upstream, thinking, config, wanted):
    more = {"thinking": thinking, "max_tokens": 9000}
    if config:
        more["output_config"] = config
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), **more)
    assert effort_of(upstream, body) == wanted


@pairs(TRANSLATED)
def test_no_thinking(stage, caller, upstream):
    more = {"chat": {"reasoning_effort": "none"}, "responses": {"reasoning": {"effort": "none"}},
            "messages": {"thinking": {"type": "disabled"}}}[caller]
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), **more)
    if upstream == "messages":
        assert body.get("thinking", {"type": "disabled"}) == {"type": "disabled"}
    else:
        assert effort_of(upstream, body) in (None, "none")


HARD = {"chat": {"reasoning_effort": "high"}, "responses": {"reasoning": {"effort": "high"}}}


@pytest.mark.parametrize("how", ["limit", "sampling", "forced", "calls"])
@pairs([(caller, "messages") for caller in ("chat", "responses")])
def test_thinking_that_would_be_refused(stage, caller, upstream, how):
    """The limit is raised; where thinking cannot be, it is left out and named."""
    limit = "max_completion_tokens" if caller == "chat" else "max_output_tokens"
    named = ({"type": "function", "function": {"name": "look_up"}} if caller == "chat" else
             {"type": "function", "name": "look_up"})
    more, turns = dict(HARD[caller]), HELLO
    more.update({"limit": {limit: 100}, "sampling": {"temperature": 0.3, "top_p": 0.5},
                 "forced": {"tool_choice": named}, "calls": {}}[how])
    if how == "calls":
        turns = HISTORY[:-1]
    _, body, reply = talk(stage, (caller, upstream), Script(text=TEXT), turns,
                          tools=["look_up"], **more)
    if how == "limit":
        assert body["max_tokens"] > body["thinking"]["budget_tokens"]
    elif how == "sampling":
        assert dropped(reply)
    else:
        assert "thinking" not in body
        assert dropped(reply), reply.headers


# history of reasoning

THOUGHTFUL = [("user", "Look."), ("thinking", THOUGHT), ("assistant", "I looked."),
              ("user", "And?")]


@pytest.mark.parametrize("thinks", [False, True])
@pairs([(caller, "chat") for caller in ("responses", "messages")])
def test_thoughts_go_to_those_who_want_them(stage, caller, upstream, thinks):
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), THOUGHTFUL,
                      target="-thinks" if thinks else "")
    said = strict.read(upstream, body).said("thinking")
    assert said == (["".join(THOUGHT.split())] if thinks else [])


@pairs([(caller, "messages") for caller in ("chat", "responses")])
def test_no_signature_is_made_up(stage, caller, upstream):
    _, body, _ = talk(stage, (caller, upstream), Script(text=TEXT), THOUGHTFUL)
    asked = strict.read(upstream, body)
    assert asked.said("thinking") == []
    assert asked.said("assistant") == ["Ilooked."]


def test_a_refused_signature_is_asked_again_without(stage):
    """The thinking of another cloud, or of ours: one more try, with none of it."""
    cloud = stage.clouds["messages"]
    cloud.say(text=TEXT)
    turns = [("user", "Look."), ("thinking", THOUGHT), ("assistant", "I look."), *HISTORY[2:]]
    thinking = {"type": "enabled", "budget_tokens": 2048}
    body = ask("messages", turns, "to-messages", tools=["look_up"], signed=False,
               max_tokens=5000, thinking=thinking)
    answer = answer_of("messages", stage.post("messages", body), False)
    assert answer.text == TEXT
    assert len(cloud.posts()) == 2
    again = cloud.posts()[1].json
    assert strict.check("messages", PATHS["messages"], cloud.posts()[1], again) == []
    assert strict.read("messages", again).said("thinking") == []
    assert strict.read("messages", again).said("result") == strict.read(
        "messages", body).said("result")
    cloud.violations.clear()


# names of tools

@BOTH
@pairs([(caller, upstream) for caller, upstream in TRANSLATED])
@pytest.mark.parametrize("name", ["files.read", "mcp/server:do it", "x" * 90, "größe"])
def test_names_that_are_no_names(stage, caller, upstream, name, stream):
    """Two that are alike up to the end, and one that is in order already."""
    names = [name, name + "2", "plain"]
    turns = [HISTORY[0], ("call", "call_one", name, {}), ("result", "call_one", "done")]
    script = Script(calls=[(1, "{}"), (0, "{}"), (2, "{}")])
    answer, body, _ = talk(stage, (caller, upstream), script, turns, stream, tools=names)
    assert [call.name for call in answer.calls] == [name + "2", name, "plain"]
    asked = strict.read(upstream, body)
    assert asked.said("call")[0][1] == list(asked.tools)[0]
    assert list(asked.tools)[2] == "plain"


CODEX_TOOLS = [
    {"type": "namespace", "name": "team", "description": "Others.", "tools": [
        {"type": "function", "name": "spawn", "description": "", "strict": False,
         "parameters": SCHEMA},
        {"type": "function", "name": "close", "description": "", "strict": False,
         "parameters": SCHEMA}]},
    {"type": "custom", "name": "apply_patch", "description": "Free text.",
     "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}},
    {"type": "web_search", "external_web_access": False},
    {"type": "function", "name": "spawn", "description": "", "strict": False,
     "parameters": SCHEMA}]
CODEX_INPUT = [
    {"role": "user", "content": "Go."},
    {"type": "function_call", "call_id": "c1", "namespace": "team", "name": "spawn",
     "arguments": '{"path":"/","depth":1}'},
    {"type": "function_call_output", "call_id": "c1", "output": "spawned"},
    {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** \"p\""},
    {"type": "custom_tool_call_output", "call_id": "c2", "output": "patched"}]


@BOTH
@pairs([("responses", upstream) for upstream in ("chat", "messages")])
def test_tools_of_codex(stage, caller, upstream, stream):
    patch = "*** Begin\n+é \"quoted\" \\ \U0001f600\n"
    script = Script(calls=[("team__close", '{"path":"/","depth":2}'),
                           ("apply_patch", json.dumps({"input": patch})), ("spawn", "{}")])
    stage.clouds[upstream].say(script)
    sent = ask(caller, HELLO, f"to-{upstream}", stream)
    reply = stage.post(caller, {**sent, "tools": CODEX_TOOLS, "input": CODEX_INPUT})
    answer = answer_of(caller, reply, stream)
    body = seen_by(stage, caller, upstream, stream)
    said = [(call.kind, call.namespace, call.name) for call in answer.calls]
    assert said == [("function", "team", "close"), ("custom", None, "apply_patch"),
                    ("function", None, "spawn")]
    assert answer.calls[1].arguments == patch
    asked = strict.read(upstream, body)
    assert list(asked.tools) == ["team__spawn", "team__close", "apply_patch", "spawn"]
    assert asked.tools["apply_patch"]["properties"]["input"]["type"] == "string"
    assert asked.said("call") == [("c1", "team__spawn", {"path": "/", "depth": 1}),
                                  ("c2", "apply_patch", {"input": "*** \"p\""})]
    assert "tools.web_search" in dropped(reply)


# what is left out

LEFT_OUT = [
    ("chat", "messages", {"seed": 7}, "seed"),
    ("chat", "responses", {"seed": 7}, "seed"),
    ("chat", "messages", {"presence_penalty": 0.5}, "presence_penalty"),
    ("chat", "responses", {"frequency_penalty": 0.5}, "frequency_penalty"),
    ("chat", "messages", {"logit_bias": {"5": 1}}, "logit_bias"),
    ("chat", "messages", {"x_unknown": {"a": 1}}, "x_unknown"),
    ("responses", "messages", {"x_unknown": 1}, "x_unknown"),
    ("chat", "messages", {"metadata": {"a": "b"}}, "metadata"),
    ("messages", "chat", {"top_k": 5}, "top_k"),
    ("messages", "responses", {"top_k": 5}, "top_k"),
    ("messages", "chat", {"x_unknown": [1]}, "x_unknown"),
    ("messages", "chat", {"system": [{"type": "text", "text": "Hi.", "cache_control": {
        "type": "ephemeral"}}]}, "cache_control"),
    ("messages", "responses", {"context_management": {"edits": []}}, "context_management")]


@pytest.mark.parametrize("caller,upstream,more,name", LEFT_OUT,
                         ids=[f"{c}-to-{u}-{name}" for c, u, _, name in LEFT_OUT])
def test_what_is_left_out_is_named(stage, caller, upstream, more, name):
    _, body, reply = talk(stage, (caller, upstream), Script(text=TEXT), **more)
    assert name in dropped(reply), reply.headers
    assert name not in body


def test_no_choice_without_tools(stage):
    """Where no tool is left, nothing that speaks of tools may be."""
    for upstream in ("chat", "messages"):
        _, body, reply = talk(stage, ("responses", upstream), Script(text=TEXT),
                              tool_choice="auto", parallel_tool_calls=False,
                              **{"include": ["reasoning.encrypted_content"]})
        assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)
        stage.clouds[upstream].say(text=TEXT)
        sent = ask("responses", HELLO, f"to-{upstream}", tool_choice="auto")
        reply = stage.post("responses", {**sent, "tools": [{"type": "web_search"}]})
        answer_of("responses", reply, False)
        body = seen_by(stage, "responses", upstream, False)
        assert not {"tools", "tool_choice"} & set(body)
        assert "tools.web_search" in dropped(reply)


@pairs(TRANSLATED)
def test_the_end_user(stage, caller, upstream):
    """An opaque id of the end user has a place in each protocol."""
    more = {"metadata": {"user_id": "u-17"}} if caller == "messages" else {"user": "u-17"}
    _, body, reply = talk(stage, (caller, upstream), Script(text=TEXT), **more)
    assert (body["metadata"] == {"user_id": "u-17"} if upstream == "messages" else
            body["user"] == "u-17")
    assert dropped(reply) == []


# what is refused

def user(protocol, part):
    key = "input" if protocol == "responses" else "messages"
    return {key: [{"role": "user", "content": [part]}]}


REFUSED = [
    ("chat", {"n": 2}, "n", PROTOCOLS),
    ("chat", {"logprobs": True}, "logprobs", PROTOCOLS),
    ("chat", {"functions": [{"name": "f", "parameters": SCHEMA}]}, "functions", PROTOCOLS),
    ("chat", {"stop": ["END"]}, "stop", ["responses"]),
    ("chat", user("chat", {"type": "hologram", "hologram": "x"}), "messages[0].content[0]",
     PROTOCOLS),
    ("chat", user("chat", {"type": "file", "file": {"file_id": "file-1"}}),
     "messages[0].content[0]", PROTOCOLS),
    ("chat", user("chat", {"type": "input_audio", "input_audio": {
        "data": "UklGRg==", "format": "wav"}}), "messages[0].content[0]", PROTOCOLS),
    ("responses", {"previous_response_id": "resp_1"}, "previous_response_id", PROTOCOLS),
    ("responses", {"conversation": "conv_1"}, "conversation", PROTOCOLS),
    ("responses", {"background": True}, "background", PROTOCOLS),
    ("responses", {"input": [{"type": "hologram", "id": "h"}]}, "input[0]", PROTOCOLS),
    ("responses", user("responses", {"type": "hologram"}), "input[0].content[0]", PROTOCOLS),
    ("responses", user("responses", {"type": "input_image", "file_id": "file-1"}),
     "input[0].content[0]", PROTOCOLS),
    ("responses", user("responses", {"type": "input_file", "file_id": "file-1"}),
     "input[0].content[0]", PROTOCOLS),
    ("responses", user("responses", {"type": "input_file",
                                     "file_url": "https://example.org/a.pdf"}),
     "input[0].content[0]", ["chat"]),
    ("messages", {"stop_sequences": ["END"]}, "stop_sequences", ["responses"]),
    ("messages", user("messages", {"type": "hologram"}), "messages[0].content[0]", PROTOCOLS),
    ("messages", user("messages", {"type": "image", "source": {
        "type": "file", "file_id": "file_1"}}), "messages[0].content[0]", PROTOCOLS),
    ("messages", user("messages", {"type": "document", "source": {
        "type": "url", "url": "https://example.org/a.pdf"}}), "messages[0].content[0]",
     ["chat"])]
REFUSALS = [(caller, upstream, more, path) for caller, more, path, to in REFUSED
            for upstream in to if upstream != caller]


@BOTH
@pytest.mark.parametrize("caller,upstream,more,path", REFUSALS, ids=[
    f"{c}-to-{u}-{n}" for n, (c, u, _, _) in enumerate(REFUSALS)])
def test_what_would_change_the_meaning_is_refused(stage, caller, upstream, more, path, stream):
    cloud = stage.clouds[upstream]
    cloud.say(text=TEXT)
    reply = stage.post(caller, ask(caller, HELLO, f"to-{upstream}", stream, **more))
    assert reply.status == 400, reply
    assert path in strict_stream.read_error(caller, 400, reply.json), reply
    assert cloud.posts() == []


def test_a_target_that_cannot_is_passed_over(stage):
    """What one protocol cannot say another may: the next target of the route is asked."""
    for cloud in stage.clouds.values():
        cloud.say(text=TEXT)
    body = ask("chat", HELLO, "any-of-them", stop=["END"])
    reply = stage.post("chat", body)
    assert answer_of("chat", reply, False).text == TEXT
    assert reply.header("x-pointsman-target") == "to-messages"
    assert stage.clouds["responses"].posts() == []


def test_count_tokens_where_nobody_counts(stage):
    body = ask("messages", HELLO, "to-chat")
    body.pop("max_tokens")
    reply = stage.post("messages", body, "/count_tokens")
    assert reply.status == 404, reply
    strict_stream.read_error("messages", 404, reply.json)
    reply = stage.post("messages", {**body, "model": "to-messages"}, "/count_tokens")
    assert reply.json == {"input_tokens": 11}


# dialects of upstreams

def sse(*events, end="\n"):
    out = ""
    for event in events:
        name, value = event if isinstance(event, tuple) else ("", event)
        data = value if isinstance(value, str) else json.dumps(value)
        out += f"event: {name}{end}" if name else ""
        out += f"data: {data}{end}{end}"
    return out.encode()


def chunk(delta, finish=None, **more):
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
ODD_CHAT = (
    b": a comment\r\n\r\nid: 7\r\nretry: 10\r\n"
    + sse({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
           "choices": []},
          chunk({"role": "assistant", "content": None}),
          chunk({"role": "assistant", "reasoning": "Hm.", "content": ""}), end="\r\n")
    + b"data: {this is no JSON}\n\n"
    + sse(chunk({"content": "So", "tool_calls": None}), chunk({"content": "."}))
    + b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m",\n'
    + b'data: "choices":[{"index":0,"delta":{"content":" Yes"},"finish_reason":null}]}\n\n'
    + sse(chunk({"tool_calls": [{"id": "a1", "type": "function", "function": {
        "name": "look_up", "arguments": '{"path":"/"}'}}]}),
          chunk({"content": None}, "stop", usage=USAGE)))
ODD_MESSAGES = sse(
    ("message_start", {"type": "message_start", "message": {
        "id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 2, "output_tokens": 1}}}),
    ("news", {"type": "news", "of": "tomorrow"}),
    ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {
        "type": "redacted_thinking", "data": "xyz"}}),
    ("content_block_stop", {"type": "content_block_stop", "index": 0}),
    ("content_block_start", {"type": "content_block_start", "index": 1, "content_block": {
        "type": "thinking", "thinking": "Hm.", "signature": "c2ln"}}),
    ("content_block_stop", {"type": "content_block_stop", "index": 1}),
    ("content_block_start", {"type": "content_block_start", "index": 2, "content_block": {
        "type": "text", "text": "So."}}),
    ("content_block_delta", {"type": "content_block_delta", "index": 2, "delta": {
        "type": "text_delta", "text": " Yes"}}),
    ("content_block_delta", {"type": "content_block_delta", "index": 2, "delta": {
        "type": "citations_delta", "citation": {}}}),
    ("content_block_stop", {"type": "content_block_stop", "index": 2}),
    ("content_block_start", {"type": "content_block_start", "index": 3, "content_block": {
        "type": "tool_use", "id": "a1", "name": "look_up", "input": {"path": "/"}}}),
    ("content_block_stop", {"type": "content_block_stop", "index": 3}),
    ("message_delta", {"type": "message_delta", "usage": {"output_tokens": 3,
                                                          "input_tokens": 12},
                       "delta": {"stop_reason": "tool_use", "stop_sequence": None}}),
    ("message_stop", {"type": "message_stop"}))
WHOLE = {"id": "r1", "object": "response", "created_at": 1, "model": "m", "status": "completed",
         "output": [
             {"type": "reasoning", "id": "rs1", "summary": [
                 {"type": "summary_text", "text": "Hm."}], "encrypted_content": "xyz"},
             {"type": "web_search_call", "id": "ws1", "status": "completed"},
             {"type": "message", "id": "m1", "role": "assistant", "status": "completed",
              "content": [{"type": "output_text", "text": "So.", "annotations": []},
                          {"type": "refusal", "refusal": " Yes"}]},
             {"type": "function_call", "id": "f1", "call_id": "a1", "name": "look_up",
              "status": "completed", "arguments": '{"path":"/"}'}],
         "usage": {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15}}
ODD_RESPONSES = sse(
    ("response.created", {"type": "response.created", "sequence_number": 0,
                          "response": {**WHOLE, "output": [], "status": "in_progress"}}),
    ("response.news", {"type": "response.news", "sequence_number": 1}),
    *[(f"response.output_item.{when}", {"type": f"response.output_item.{when}",
                                        "sequence_number": 2, "output_index": n, "item": item})
      for n, item in enumerate(WHOLE["output"]) for when in ("added", "done")],
    ("response.completed", {"type": "response.completed", "sequence_number": 9,
                            "response": WHOLE}))
ODD = {"chat": ODD_CHAT, "messages": ODD_MESSAGES, "responses": ODD_RESPONSES}


@BOTH
@pairs(TRANSLATED)
def test_odd_dialects(stage, caller, upstream, stream):
    """What servers that are not the original one send, and what newer ones may."""
    answer, _, _ = talk(stage, (caller, upstream), Script(raw=ODD[upstream]), stream=stream,
                        tools=["look_up"])
    assert answer.thinking == "Hm."
    assert answer.text == "So. Yes"
    assert [json.loads(call.arguments) for call in answer.calls] == [{"path": "/"}]
    assert answer.stop == "tool"
    assert (answer.fresh, answer.output, answer.model) == (12, 3, "m")


@BOTH
@pairs([(caller, "chat") for caller in ("responses", "messages")])
def test_interleaved_calls(stage, caller, upstream, stream):
    """The others know one open call at a time."""
    said = ['{"path":"/a","depth":1}', '{"path":"/bbbbbbbbbbbbb","depth":22}', "{}"]
    script = Script(calls=[("look_up", one) for one in said], interleaved=True)
    answer, _, _ = talk(stage, (caller, upstream), script, stream=stream, tools=["look_up"])
    assert [json.loads(call.arguments) for call in answer.calls] == [
        json.loads(one) for one in said]


# failures

KEPT = {"x-request-id": "req-of-the-cloud", "x-ratelimit-remaining-requests": "12"}
OVERLOADED = (503, 529)


@BOTH
@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 529])
@pairs()
def test_errors_of_the_upstream(stage, caller, upstream, status, stream):
    """The answer is that of the same protocol's pair, in the caller's shape."""
    cloud = stage.clouds[upstream]
    if status == 529 and upstream != "messages":
        status = 503
    headers = dict(KEPT, **({"retry-after": "17"} if status in (429, 503, 529) else {}))
    cloud.say(status=status, error="the cloud has its reasons", headers=headers)
    target = stage.spare(upstream)
    reply = stage.post(caller, ask(caller, HELLO, target, stream))
    assert reply.complete
    message = strict_stream.read_error(caller, reply.status, reply.json)
    if status in (400, 404, 413):
        assert reply.status == status, reply
        assert "the cloud has its reasons" in message
        assert reply.header("x-request-id") == "req-of-the-cloud"
        assert reply.header("x-ratelimit-remaining-requests") == "12"
        assert len(cloud.posts()) == 1
    elif status == 429:
        assert reply.status == 429, reply
        assert int(reply.header("retry-after")) >= 1
    elif status in OVERLOADED:
        assert reply.status == (529 if caller == "messages" else 503), reply
        assert int(reply.header("retry-after")) >= 1
    else:
        assert reply.status in (500, 502), reply
    cloud.complaints.clear()


@BOTH
@pytest.mark.parametrize("way", ["error", "failed", "cut", "eof"])
@pairs()
def test_a_break_before_content(stage, caller, upstream, way, stream):
    """Nothing was said yet: the answer is an error with a status, in the caller's shape."""
    if caller == upstream and not stream:
        pytest.skip("a whole answer of the same protocol breaks in no stream")
    stage.clouds[upstream].say(break_at=f"before-{way}", text=TEXT)
    reply = stage.post(caller, ask(caller, HELLO, stage.spare(upstream), stream))
    assert reply.complete
    assert reply.status >= 500, reply
    strict_stream.read_error(caller, reply.status, reply.json)


@BOTH
@pytest.mark.parametrize("way", ["error", "failed", "cut", "eof"])
@pairs()
def test_a_break_after_content(stage, caller, upstream, way, stream):
    if caller == upstream and not stream:
        pytest.skip("a whole answer of the same protocol breaks in no stream")
    stage.clouds[upstream].say(break_at=f"after-{way}", text=TEXT)
    reply = stage.post(caller, ask(caller, HELLO, stage.spare(upstream), stream))
    if not stream:
        assert reply.complete and reply.status >= 500, reply
        strict_stream.read_error(caller, reply.status, reply.json)
        return
    assert reply.status == 200, reply
    answer = strict_stream.read_failed(caller, reply.events)
    # a reset may overtake the last bytes
    assert answer.text == TEXT or (way == "cut" and TEXT.startswith(answer.text))
    if caller == "chat":
        assert answer.error or not reply.complete
    else:
        assert answer.error, reply
        assert answer.error.get("message")
    if way in ("error", "failed") and answer.error:
        assert BROKEN in answer.error["message"] or caller != upstream


# a real server

@pytest.fixture(scope="module")
def local(make_module_gateway):
    """A llama-server for each protocol that it speaks, as if it were the only one."""
    sections = {f"only-{speaks}": profile("demo-chat", PROTOCOLS=speaks)
                for speaks in PROTOCOLS}
    sections["demo-chat"] = profile("demo-chat")
    return make_module_gateway(sections)


@BOTH
@pairs(TRANSLATED)
def test_a_real_server(local, caller, upstream, stream):
    body = ask(caller, [("user", "Hello there."), ("assistant", "Yes?"), ("user", "Who?")],
               f"only-{upstream}", stream, system="Be brief.", tools=["look_up"])
    headers = {"anthropic-version": "2023-06-01"} if caller == "messages" else {}
    reply = local.post(PATHS[caller], body, headers)
    answer = answer_of(caller, reply, stream)
    assert answer.text.startswith("I am demo-chat"), answer
    assert answer.stop in ("stop", "length")
    assert answer.fresh + answer.cached > 10 and answer.output > 1, answer


def test_the_nonce_block_does_not_reach_a_local_server(local):
    """The same prompt with and without it is the same number of tokens."""
    system = [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.329.0a8;"},
              {"type": "text", "text": "Be brief."}]
    counts = []
    for said in (system, system[1:]):
        body = ask("messages", HELLO, "demo-chat", system=said, max_tokens=4)
        reply = local.post(PATHS["messages"], body, {"anthropic-version": "2023-06-01"})
        assert reply.status == 200, reply
        usage = reply.json["usage"]
        counts.append(usage["input_tokens"] + usage.get("cache_read_input_tokens", 0))
    assert counts[0] == counts[1], counts


# what real clients send

def recordings():
    if not RECORDINGS.is_dir():
        return []
    out = []
    for file in sorted(RECORDINGS.glob("*/*.json")):
        seen = json.loads(file.read_text())
        path = seen["url"].split("?")[0]
        caller = next((name for name in PROTOCOLS if PATHS[name] == path), None)
        if caller and isinstance(seen["body"], dict):
            out.append((f"{file.parent.name}/{file.stem}", caller, seen["body"]))
    return out


REAL = recordings()


def differing(one, other, where):
    """Where two trees differ, and how; what the other has beyond the first does not count."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one:
            yield from differing(one[key], other.get(key), f"{where}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for n, pair in enumerate(zip(one, other)):
            yield from differing(*pair, f"{where}[{n}]")
    elif one != other:
        yield f"{where}: {one!r}, {other!r}"


def test_recordings_are_there():
    if not REAL:
        pytest.skip(f"no recordings of clients at {RECORDINGS}")


@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("caller,sent", [one[1:] for one in REAL], ids=[one[0] for one in REAL])
def test_real_requests(stage, caller, sent, upstream):
    cloud = stage.clouds[upstream]
    cloud.say(reasoning=THOUGHT, text=TEXT, calls=[(0, '{"a":1}')] if sent.get("tools") else [])
    if not sent.get("input", "x"):
        pytest.skip("a warm-up without words, which other protocols cannot say")
    model = f"to-{upstream}-thinks"
    cloud.lenient = caller == upstream
    try:
        reply = stage.post(caller, {**sent, "model": model})
    finally:
        cloud.lenient = False
    asked_usage = bool((sent.get("stream_options") or {}).get("include_usage"))
    answer = answer_of(caller, reply, bool(sent.get("stream")),
                       asked_usage or caller != "chat")
    assert (answer.text, answer.thinking) == (TEXT, THOUGHT)
    body = seen_by(stage, caller, upstream, False)
    want, got = strict.read(caller, sent), strict.read(upstream, body)
    if caller == upstream:
        # what a stream cost is told only where it is asked for, and it is recorded (USAGE)
        asked = {"stream_options": {"include_usage": True}}
        added = asked if caller == "chat" and sent.get("stream") and not asked_usage else {}
        assert body == {**sent, **added, "model": model}
        return
    assert list(got.tools) == list(want.tools)
    for name, schema in want.tools.items():
        if schema is not None:
            assert list(differing(schema, got.tools[name], name)) == []
    assert got.system == want.system
    if "thinking" in dropped(reply) and upstream != "chat":
        want.turns = [turn for turn in want.turns if turn[0] != "thinking"]
    assert got.turns == want.turns
    least = 16 if upstream == "responses" and want.limit else 0
    assert got.limit in (want.limit, max(want.limit or 32000, least))
