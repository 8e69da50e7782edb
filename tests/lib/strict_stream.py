"""What a caller may expect of an answer, streamed or whole, in each of the three protocols.

read_stream() and read_whole() hold an answer against the rules of its protocol and return what
it said in words that do not depend on the protocol, so that a test can compare answers that
came by different ways. Whatever breaks a rule is an AssertionError that names the event.
"""

import json
from dataclasses import dataclass, field

CHAT_STOPS = {"stop": "stop", "length": "length", "tool_calls": "tool",
              "content_filter": "filter"}
MESSAGE_STOPS = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool",
                 "refusal": "filter", "stop_sequence": "sequence"}
INCOMPLETE = {"max_output_tokens": "length", "content_filter": "filter"}
ERROR_TYPES = {400: {"invalid_request_error"}, 401: {"authentication_error"},
               403: {"permission_error"}, 404: {"not_found_error"},
               413: {"request_too_large"}, 429: {"rate_limit_error"},
               500: {"api_error"}, 502: {"api_error"}, 504: {"api_error", "timeout_error"},
               503: {"overloaded_error"}, 529: {"overloaded_error"}}


@dataclass
class Call:
    """A tool call as the caller got it; kind is 'function' or 'custom'."""

    id: str
    name: str
    arguments: str
    kind: str = "function"
    namespace: str | None = None


@dataclass
class Answer:
    """What an answer said. fresh: tokens of the prompt that came from no cache."""

    id: str = ""
    model: str = ""
    reasoning: str = ""
    summary: str = ""
    text: str = ""
    calls: list = field(default_factory=list)
    order: list = field(default_factory=list)
    signatures: list = field(default_factory=list)
    stop: str = ""
    sequence: str | None = None
    fresh: int | None = None
    cached: int | None = None
    output: int | None = None
    thought: int | None = None
    error: dict | None = None

    @property
    def thinking(self):
        return self.reasoning or self.summary

    def came(self, kind):
        if not self.order or self.order[-1] != kind or kind == "call":
            self.order.append(kind)


def need(cond, *what):
    if not cond:
        raise AssertionError(" ".join(str(w) for w in what))


def _keys(value, allowed, what):
    need(isinstance(value, dict), what, "is no object:", value)
    need(set(value) <= set(allowed), what, "has unknown", set(value) - set(allowed))


def _count(value, what):
    need(isinstance(value, int) and not isinstance(value, bool) and value >= 0,
         what, "is no count:", value)
    return value


# usage

def _chat_usage(answer, usage):
    need(isinstance(usage, dict), "usage is", usage)
    prompt = _count(usage.get("prompt_tokens"), "prompt_tokens")
    answer.output = _count(usage.get("completion_tokens"), "completion_tokens")
    need(usage.get("total_tokens") == prompt + answer.output, "total_tokens is no sum:", usage)
    details = usage.get("prompt_tokens_details") or {}
    answer.cached = _count(details.get("cached_tokens") or 0, "cached_tokens")
    answer.fresh = prompt - answer.cached
    need(answer.fresh >= 0, "more cached than there is:", usage)
    answer.thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")


def _response_usage(answer, usage):
    need(isinstance(usage, dict), "usage is", usage)
    total = _count(usage.get("input_tokens"), "input_tokens")
    answer.output = _count(usage.get("output_tokens"), "output_tokens")
    need(usage.get("total_tokens") == total + answer.output, "total_tokens is no sum:", usage)
    answer.cached = _count(usage["input_tokens_details"]["cached_tokens"], "cached_tokens")
    answer.thought = _count(usage["output_tokens_details"]["reasoning_tokens"], "reasoning")
    answer.fresh = total - answer.cached
    need(answer.fresh >= 0, "more cached than there is:", usage)


def _message_usage(answer, usage):
    need(isinstance(usage, dict), "usage is", usage)
    if "input_tokens" in usage:
        written = usage.get("cache_creation_input_tokens") or 0
        answer.fresh = _count(usage["input_tokens"], "input_tokens") + written
    if "cache_read_input_tokens" in usage:
        answer.cached = _count(usage["cache_read_input_tokens"] or 0, "cache_read")
    answer.output = _count(usage.get("output_tokens"), "output_tokens")


# chat

def _chat_whole(value):
    need(value.get("object") == "chat.completion", "object is", value.get("object"))
    need(isinstance(value.get("created"), int), "created is", value.get("created"))
    answer = Answer(id=value["id"], model=value["model"])
    need(len(value["choices"]) == 1, "choices:", value["choices"])
    choice = value["choices"][0]
    need(choice["index"] == 0, "index is", choice["index"])
    message = choice["message"]
    need(message.get("role") == "assistant", "role is", message.get("role"))
    need("content" in message, "content is missing (null where there is none)")
    if message.get("reasoning_content"):
        answer.reasoning = message["reasoning_content"]
        answer.came("reasoning")
    if message["content"]:
        answer.text = message["content"]
        answer.came("text")
    for call in message.get("tool_calls") or []:
        need(call["type"] == "function", "tool call:", call)
        need(isinstance(call["function"]["arguments"], str), "arguments:", call)
        answer.calls.append(Call(call["id"], call["function"]["name"],
                                 call["function"]["arguments"]))
        answer.came("call")
    need("tool_calls" not in message or message["tool_calls"], "tool_calls is empty")
    answer.stop = CHAT_STOPS[choice["finish_reason"]]
    _chat_usage(answer, value["usage"])
    return answer


class _Chat:
    def __init__(self, usage):
        self.answer = Answer()
        self.usage = usage
        self.role = 0
        self.finished = False
        self.counted = False
        self.done = False

    def event(self, event):
        need(not self.done, "something after [DONE]:", event)
        need(not self.answer.error, "something after the error:", event)
        need(not event.name, "a chat event has a name:", event)
        if event.done:
            need(self.finished, "[DONE] without finish_reason")
            self.done = True
            return
        value = event.json
        if "error" in value:
            self.answer.error = value["error"]
            return
        need(value.get("object") == "chat.completion.chunk", "object:", event)
        need(isinstance(value.get("created"), int), "created:", event)
        self.answer.id = self.answer.id or value["id"]
        need(value["id"] == self.answer.id and value["id"], "id changed:", event)
        if value["choices"]:
            self.answer.model = self.answer.model or value["model"]
            need(value["model"] == self.answer.model, "model changed:", event)
            need(len(value["choices"]) == 1, "choices:", event)
            self.choice(value["choices"][0], event)
            need(value.get("usage") is None, "usage beside choices:", event)
        elif value.get("usage") is not None:
            need(self.usage, "usage that was not asked for:", event)
            need(self.finished and not self.counted, "usage at the wrong place:", event)
            self.counted = True
            _chat_usage(self.answer, value["usage"])

    def choice(self, choice, event):
        need(not self.finished, "a choice after finish_reason:", event)
        need(choice["index"] == 0, "index:", event)
        delta = choice["delta"]
        _keys(delta, {"role", "content", "reasoning_content", "tool_calls", "refusal"}, "delta")
        if "role" in delta:
            self.role += 1
            need(delta["role"] == "assistant" and self.role == 1, "role again:", event)
        need(self.role == 1, "the first chunk has no role:", event)
        if delta.get("reasoning_content"):
            self.answer.reasoning += delta["reasoning_content"]
            self.answer.came("reasoning")
        if delta.get("content"):
            self.answer.text += delta["content"]
            self.answer.came("text")
        for call in delta.get("tool_calls") or []:
            self.call(call, event)
        if choice.get("finish_reason") is not None:
            self.finished = True
            self.answer.stop = CHAT_STOPS[choice["finish_reason"]]

    def call(self, call, event):
        _keys(call, {"index", "id", "type", "function"}, "tool call")
        calls = self.answer.calls
        need(call["index"] in (len(calls) - 1, len(calls)), "index of a tool call:", event)
        if call["index"] == len(calls):
            need(call.get("id") and call.get("type") == "function", "a call's start:", event)
            need(call["function"].get("name"), "a call without a name:", event)
            calls.append(Call(call["id"], call["function"]["name"], ""))
            self.answer.came("call")
        else:
            need("id" not in call and "name" not in call["function"], "id again:", event)
        calls[-1].arguments += call["function"].get("arguments", "")

    def end(self):
        need(self.finished and self.done, "the stream has no end")
        need(self.counted == self.usage, "usage asked and given:", self.usage, self.counted)
        return self.answer


# responses

_PART = {"output_text": ("text", "response.output_text"),
         "reasoning_text": ("text", "response.reasoning_text"),
         "refusal": ("refusal", "response.refusal"),
         "summary_text": ("text", "response.reasoning_summary_text")}
_ARGUMENTS = {"function_call": ("arguments", "response.function_call_arguments"),
              "custom_tool_call": ("input", "response.custom_tool_call_input")}


def _item_says(answer, item):
    """Adds a finished item of output[] to the answer."""
    need(item.get("id") or item["type"] == "reasoning", "an item without id:", item)
    if item["type"] == "message":
        need(item["role"] == "assistant", "role:", item)
        need(item["status"] in ("completed", "incomplete"), "status:", item)
        for part in item["content"]:
            need(part["type"] in ("output_text", "refusal"), "part:", part)
            if part["type"] == "output_text":
                need(isinstance(part.get("annotations"), list), "annotations:", part)
            answer.text += part.get("text", part.get("refusal", ""))
        answer.came("text")
    elif item["type"] == "reasoning":
        need(isinstance(item.get("summary"), list), "summary:", item)
        for part in item["summary"]:
            need(part["type"] == "summary_text", "summary part:", part)
            answer.summary += part["text"]
        for part in item.get("content") or []:
            need(part["type"] == "reasoning_text", "reasoning part:", part)
            answer.reasoning += part["text"]
        answer.came("reasoning")
    elif item["type"] in _ARGUMENTS:
        need(item["call_id"] and item["name"], "a call without id or name:", item)
        need(item["status"] in ("completed", "incomplete"), "status:", item)
        answer.calls.append(Call(item["call_id"], item["name"],
                                 item[_ARGUMENTS[item["type"]][0]],
                                 "custom" if item["type"] == "custom_tool_call" else "function",
                                 item.get("namespace")))
        answer.came("call")
    else:
        need(False, "item of type", item["type"])


def _response_whole(value, ended=True):
    need(value.get("object") == "response", "object:", value.get("object"))
    need(isinstance(value.get("created_at"), (int, float)), "created_at is missing")
    answer = Answer(id=value["id"], model=value["model"])
    for item in value["output"]:
        _item_says(answer, item)
    ids = [item["id"] for item in value["output"] if item.get("id")]
    need(len(ids) == len(set(ids)), "ids twice:", ids)
    if not ended:
        return answer
    if value["status"] == "incomplete":
        answer.stop = INCOMPLETE[value["incomplete_details"]["reason"]]
    else:
        need(value["status"] == "completed", "status:", value["status"])
        need(value.get("incomplete_details") is None, "incomplete_details:", value)
        answer.stop = "tool" if answer.calls else "stop"
    need(value.get("error") is None, "error:", value.get("error"))
    _response_usage(answer, value["usage"])
    return answer


class _Responses:
    def __init__(self):
        self.next = 0
        self.id = None
        self.items = []
        self.item = None
        self.part = None
        self.said = ""
        self.said_done = False
        self.began = 0
        self.last = None

    def event(self, event):
        need(not event.done, "[DONE] does not belong here")
        value = event.json
        kind = value["type"]
        need(event.name == kind, "name and type differ:", event)
        need(self.last is None, "something after the end:", event)
        need(value.get("sequence_number") == self.next, "sequence_number, wanted", self.next,
             ":", event)
        self.next += 1
        if "response" in value:
            self.id = self.id or value["response"]["id"]
            need(value["response"]["id"] == self.id, "id changed:", event)
        if kind in ("response.created", "response.in_progress"):
            need(self.began == 0 if kind == "response.created" else self.began >= 1,
                 "order:", event)
            need(not self.items and not self.item, "late:", event)
            need(value["response"]["status"] == "in_progress", "status:", event)
            need(value["response"]["output"] == [], "output:", event)
            self.began += 1
            return
        if kind in ("response.completed", "response.incomplete", "response.failed", "error"):
            self.last = value
            return
        need(self.began >= 2, "before response.created and in_progress:", event)
        self.middle(kind, value, event)

    def middle(self, kind, value, event):
        at = len(self.items)
        need(value.get("output_index") == at, "output_index, wanted", at, ":", event)
        if kind == "response.output_item.added":
            need(self.item is None, "two open items:", event)
            self.item = dict(value["item"])
            need(self.item.get("status") in (None, "in_progress"), "status:", event)
            self.parts, self.summaries, self.said, self.said_done = [], [], "", False
            return
        need(self.item is not None, "no open item:", event)
        if kind == "response.output_item.done":
            self.item_done(value["item"], event)
            return
        need(value.get("item_id") == self.item["id"], "item_id:", event)
        if self.item["type"] in _ARGUMENTS:
            self.arguments(kind, value, event)
        else:
            self.parts_event(kind, value, event)

    def arguments(self, kind, value, event):
        key, prefix = _ARGUMENTS[self.item["type"]]
        need(not self.said_done, "after done:", event)
        if kind == prefix + ".delta":
            self.said += value["delta"]
        else:
            need(kind == prefix + ".done", "event of a call:", event)
            need(value[key] == self.said, "done differs from its deltas:", event, self.said)
            self.said_done = True

    def parts_event(self, kind, value, event):
        summary = "summary" in kind
        index, done = ("summary_index", self.summaries) if summary else ("content_index",
                                                                          self.parts)
        need(value.get(index) == len(done), index, ":", event)
        if kind in ("response.content_part.added", "response.reasoning_summary_part.added"):
            need(self.part is None, "two open parts:", event)
            self.part = dict(value["part"])
            need(self.part[_PART[self.part["type"]][0]] == "", "a part begins full:", event)
            self.said, self.said_done = "", False
            return
        need(self.part is not None, "no open part:", event)
        key, prefix = _PART[self.part["type"]]
        if kind == prefix + ".delta":
            need(not self.said_done, "after done:", event)
            self.said += value["delta"]
        elif kind == prefix + ".done":
            need(not self.said_done, "done twice:", event)
            need(value[key] == self.said, "done differs from its deltas:", event, self.said)
            self.said_done = True
        else:
            need(kind in ("response.content_part.done", "response.reasoning_summary_part.done"),
                 "unknown event:", event)
            need(self.said_done, "part done before its text:", event)
            need(value["part"][key] == self.said, "part differs:", event)
            done.append(value["part"])
            self.part = None

    def item_done(self, item, event):
        need(item.get("id") == self.item.get("id") and item["type"] == self.item["type"],
             "another item is done:", event)
        need(self.part is None, "an open part:", event)
        if item["type"] in _ARGUMENTS:
            need(item[_ARGUMENTS[item["type"]][0]] == self.said and self.said_done,
                 "arguments differ:", event, self.said)
            need(item["call_id"] == self.item["call_id"], "call_id:", event)
            need(item["name"] == self.item["name"], "name:", event)
        else:
            need((item.get("content") or []) == self.parts, "content differs:", event)
        if item["type"] == "reasoning":
            need(item["summary"] == self.summaries, "summary differs:", event)
        self.items.append(item)
        self.item = None

    def end(self):
        need(self.last is not None, "the stream has no end")
        kind = self.last["type"]
        need(kind in ("response.completed", "response.incomplete"), "it failed:", self.last)
        need(self.item is None, "an open item at the end")
        need(self.last["response"]["output"] == self.items, "output[] is not what was streamed:",
             self.last["response"]["output"], self.items)
        need(kind == "response." + self.last["response"]["status"], "status:", self.last)
        return _response_whole(self.last["response"])

    def failed(self):
        answer = Answer(id=self.id)
        for item in self.items:
            _item_says(answer, item)
        answer.text += self.said if self.item and self.item["type"] == "message" else ""
        if self.last is not None and self.last["type"] == "response.failed":
            need(self.last["response"]["status"] == "failed", "status:", self.last)
            answer.error = self.last["response"]["error"]
        elif self.last is not None and self.last["type"] == "error":
            answer.error = self.last
        return answer


# messages

_BLOCK = {"text": ("text", "text_delta", "text"),
          "thinking": ("thinking", "thinking_delta", "thinking"),
          "tool_use": ("input", "input_json_delta", "partial_json")}


def _block_says(answer, block):
    kind = block["type"]
    if kind == "text":
        _keys(block, {"type", "text", "citations"}, "text block")
        answer.text += block["text"]
        answer.came("text")
    elif kind == "thinking":
        _keys(block, {"type", "thinking", "signature"}, "thinking block")
        need(isinstance(block.get("signature"), str), "signature:", block)
        answer.reasoning += block["thinking"]
        answer.signatures.append(block["signature"])
        answer.came("reasoning")
    else:
        need(kind == "tool_use", "block:", block)
        _keys(block, {"type", "id", "name", "input", "caller"}, "tool_use block")
        need(isinstance(block["input"], dict), "input is no object:", block)
        answer.calls.append(Call(block["id"], block["name"], json.dumps(block["input"])))
        answer.came("call")


def _message_whole(value):
    need(value.get("type") == "message" and value["role"] == "assistant", "message:", value)
    answer = Answer(id=value["id"], model=value["model"])
    need(answer.id, "id is missing")
    for block in value["content"]:
        _block_says(answer, block)
    answer.stop = MESSAGE_STOPS[value["stop_reason"]]
    answer.sequence = value["stop_sequence"]
    need("input_tokens" in value["usage"], "usage:", value["usage"])
    _message_usage(answer, value["usage"])
    answer.cached = answer.cached or 0
    return answer


class _Messages:
    def __init__(self):
        self.answer = Answer()
        self.started = False
        self.at = 0
        self.block = None
        self.said = ""
        self.closed = False
        self.over = False

    def event(self, event):
        need(not event.done, "[DONE] does not belong here")
        need(not self.over and not self.answer.error, "something after the end:", event)
        value = event.json
        kind = value["type"]
        need(event.name == kind, "name and type differ:", event)
        if kind == "ping":
            return
        if kind == "error":
            self.answer.error = value["error"]
            return
        need(kind in ("message_start", "content_block_start", "content_block_delta",
                      "content_block_stop", "message_delta", "message_stop"), "event:", event)
        need(self.started != (kind == "message_start"), "message_start:", event)
        if self.closed:
            need(kind == "message_stop", "after message_delta:", event)
        getattr(self, kind)(value, event)

    def message_start(self, value, event):
        message = value["message"]
        need(message["type"] == "message" and message["role"] == "assistant", "start:", event)
        need(message["content"] == [] and message["stop_reason"] is None, "start:", event)
        need(message["id"] and message["model"], "start:", event)
        need(message["usage"]["input_tokens"] > 0, "input_tokens of the start:", event)
        self.answer.id, self.answer.model = message["id"], message["model"]
        _message_usage(self.answer, message["usage"])
        self.started = True

    def content_block_start(self, value, event):
        need(self.block is None, "two open blocks:", event)
        need(value["index"] == self.at, "index, wanted", self.at, ":", event)
        self.block, self.said = dict(value["content_block"]), ""
        key = _BLOCK[self.block["type"]][0]
        need(not self.block[key], "a block begins full:", event)
        if self.block["type"] == "thinking":
            need(self.block.get("signature", "") == "", "signature at the start:", event)
            self.block["signature"] = ""

    def content_block_delta(self, value, event):
        need(self.block is not None and value["index"] == self.at, "delta:", event)
        delta = value["delta"]
        if delta["type"] == "signature_delta":
            need(self.block["type"] == "thinking" and delta["signature"], "signature:", event)
            need(not self.block["signature"], "a second signature:", event)
            self.block["signature"] = delta["signature"]
            return
        _, kind, key = _BLOCK[self.block["type"]]
        need(delta["type"] == kind, "delta of another type:", event)
        need(not self.block.get("signature"), "after its signature:", event)
        self.said += delta[key]

    def content_block_stop(self, value, event):
        need(self.block is not None and value["index"] == self.at, "stop:", event)
        key = _BLOCK[self.block["type"]][0]
        text = self.said
        self.block[key] = json.loads(text or "{}") if key == "input" else text
        _block_says(self.answer, self.block)
        if key == "input":
            self.answer.calls[-1].arguments = text
        self.block = None
        self.at += 1

    def message_delta(self, value, event):
        need(self.block is None, "an open block:", event)
        self.answer.stop = MESSAGE_STOPS[value["delta"]["stop_reason"]]
        self.answer.sequence = value["delta"]["stop_sequence"]
        _message_usage(self.answer, value["usage"])
        self.closed = True

    def message_stop(self, value, event):
        need(self.closed, "message_stop without message_delta")
        self.over = True

    def end(self):
        need(not self.answer.error, "it failed:", self.answer.error)
        need(self.over, "the stream has no end")
        self.answer.cached = self.answer.cached or 0
        return self.answer


def _reader(protocol, usage):
    if protocol == "chat":
        return _Chat(usage)
    return _Responses() if protocol == "responses" else _Messages()


def read_stream(protocol, events, usage=True):
    """A complete stream. usage: did the caller of a chat ask for it?"""
    reader = _reader(protocol, usage)
    for event in events:
        reader.event(event)
    return reader.end()


def read_failed(protocol, events):
    """A stream that broke off: what came is well-formed, and nothing calls it complete."""
    reader = _reader(protocol, False)
    for event in events:
        reader.event(event)
    if protocol == "responses":
        need(reader.last is None or reader.last["type"] in ("response.failed", "error"),
             "a broken answer ends as complete:", reader.last)
        return reader.failed()
    need(not (reader.finished or reader.done if protocol == "chat" else
              reader.closed or reader.over), "a broken answer ends as complete")
    if protocol == "messages" and reader.block and reader.block["type"] == "text":
        reader.answer.text += reader.said
    return reader.answer


def read_whole(protocol, value):
    return {"chat": _chat_whole, "responses": _response_whole,
            "messages": _message_whole}[protocol](value)


def read_error(protocol, status, value):
    """An error's body: its shape, and a type that belongs to the status. Returns the message."""
    error = value["error"]
    need(isinstance(error["message"], str) and error["message"], "no message:", value)
    if protocol == "messages":
        need(value["type"] == "error", "type:", value)
        need(error["type"] in ERROR_TYPES.get(status, {"invalid_request_error"}),
             "type of", status, ":", value)
    else:
        need("type" in error and "code" in error, "shape:", value)
        need(isinstance(error["type"], str), "type:", value)
        need(value.get("type") != "error", "the shape of another protocol:", value)
    return error["message"]
