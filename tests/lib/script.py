"""A scripted cloud: it says one neutral script in whichever of the three protocols it speaks.

A test writes down once what the model reasons, says and calls, how it ends and what it counts;
the stand-in says it streamed or whole, with pieces cut where a careless reader stumbles, and
holds every request against the rules of strict.py before it answers anything.
"""

import json
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import strict
from cloud import Cloud

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses",
         "messages": "/v1/messages"}
STOPS = {"chat": {"stop": "stop", "length": "length", "tool": "tool_calls",
                  "filter": "content_filter", "sequence": "stop"},
         "messages": {"stop": "end_turn", "length": "max_tokens", "tool": "tool_use",
                      "filter": "refusal", "sequence": "stop_sequence",
                      "pause": "pause_turn", "window": "model_context_window_exceeded"}}
REASONS = {"length": "max_output_tokens", "filter": "content_filter"}
STATUS_TYPES = {
    "openai": {400: "invalid_request_error", 401: "invalid_request_error",
               403: "invalid_request_error", 404: "invalid_request_error",
               429: "rate_limit_exceeded", 500: "server_error", 503: "server_error"},
    "anthropic": {400: "invalid_request_error", 401: "authentication_error",
                  403: "permission_error", 404: "not_found_error", 413: "request_too_large",
                  429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}}


@dataclass
class Script:
    """What the cloud says. calls: (name, or which of the request's tools; arguments as text).
    An empty stop is the usual one. break_at: before or after, a dash, and error, failed, cut or
    eof: when a stream breaks off, and how. raw: a stream to send as it is.
    """

    reasoning: str = ""
    summary: bool = False
    text: str = ""
    calls: list = field(default_factory=list)
    stop: str = ""
    sequence: str | None = None
    fresh: int = 100
    cached: int = 0
    written: int = 0
    output: int = 50
    thought: int = 0
    model: str = "cloud-named-itself-2026"
    whole: bool = False
    status: int = 200
    error: str = ""
    headers: dict = field(default_factory=dict)
    break_at: str = ""
    terminator: bool = True
    step: int = 5
    interleaved: bool = False
    raw: bytes = b""

    @property
    def end(self):
        return self.stop or ("tool" if self.calls else "stop")

    def call_id(self, n, prefix):
        return f"{prefix}{n}a1b2c3d4e5"

    def pieces(self, text):
        """Cut every few characters: inside words, escapes and numbers alike."""
        return [text[n:n + self.step] for n in range(0, len(text), self.step)]


class ScriptedCloud(Cloud):
    """A Cloud of one protocol: chat, responses or messages."""

    def __init__(self, folder, protocol, **how):
        kind = "anthropic" if protocol == "messages" else "openai"
        super().__init__(folder, kind, **how)
        self.speaks = protocol
        self.script = Script(text="Nothing was scripted.")
        self.replies = {PATHS[protocol]: self._reply}
        if protocol == "messages":
            self.replies[PATHS[protocol] + "/count_tokens"] = _count
        self.lenient = False
        self.complaints = []

    def section(self, **keys):
        out = super().section(PROTOCOLS=self.speaks)
        out.update(keys)
        return out

    def say(self, script=None, **how):
        """Forgets what it saw, and says this from now on. Returns the script."""
        self.requests.clear()
        self.complaints.clear()
        self.script = script or Script(**how)
        return self.script

    def check_data(self, path, seen, data):
        if self.lenient:
            return []
        found = strict.check(self.speaks, path, seen, data, self.model, self.allow)
        self.complaints.extend(found)
        return found

    def _reply(self, h, body, fault):
        script = self.script
        if script.status != 200:
            return _refuse(h, self.protocol, script)
        names = list(strict.read(self.speaks, body).tools)
        script = replace(script, calls=[(names[name] if isinstance(name, int) else name, said)
                                        for name, said in script.calls])
        if script.raw:
            return _stream(h, [], script)
        if not body.get("stream") or script.whole:
            return h.answer(WHOLE[self.speaks](script, body), fault)
        return _stream(h, STREAM[self.speaks](script, body), script)


def _count(h, body, fault):
    return h.answer({"input_tokens": 11}, fault)


def _refuse(h, kind, script):
    word = STATUS_TYPES[kind].get(script.status, "api_error")
    text = script.error or f"the cloud says {script.status}"
    if kind == "openai":
        value = {"error": {"message": text, "type": word, "param": None, "code": None}}
    else:
        value = {"type": "error", "error": {"type": word, "message": text},
                 "request_id": "req_cloud_1"}
    h._json(script.status, value, script.headers)


def _stream(h, events, script):
    """Sends events in chunks that end anywhere, inside a character of several bytes too."""
    h.send_response(200)
    h.send_header("Content-Type", "text/event-stream; charset=utf-8")
    h.send_header("Transfer-Encoding", "chunked")
    h.send_header("request-id", "req_cloud_1")
    for key, value in script.headers.items():
        h.send_header(key, value)
    h.end_headers()
    out = script.raw
    for name, value in events:
        if value is CUT:
            _send(h, out)
            h._reset()
            return
        data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        out += (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()
    _send(h, out)
    h.wfile.write(b"0\r\n\r\n")


def _send(h, data):
    for n in range(0, len(data), 173):
        h._chunk(data[n:n + 173])


CUT = object()
BROKEN = "the cloud broke in the middle"


# chat

def _chat_usage(script):
    prompt = script.fresh + script.cached
    return {"prompt_tokens": prompt, "completion_tokens": script.output,
            "total_tokens": prompt + script.output,
            "prompt_tokens_details": {"cached_tokens": script.cached},
            "completion_tokens_details": {"reasoning_tokens": script.thought}}


def _chat_whole(script, body):
    message = {"role": "assistant", "content": script.text or None}
    if script.reasoning:
        message["reasoning_content"] = script.reasoning
    if script.calls:
        message["tool_calls"] = [
            {"id": script.call_id(n, "call_"), "type": "function",
             "function": {"name": name, "arguments": arguments}}
            for n, (name, arguments) in enumerate(script.calls)]
    return {"id": "chatcmpl-cloud", "object": "chat.completion", "created": 1,
            "model": script.model, "usage": _chat_usage(script),
            "choices": [{"index": 0, "message": message, "logprobs": None,
                         "finish_reason": STOPS["chat"][script.end]}]}


def _chat_deltas(script):
    yield {"role": "assistant", "content": ""}
    for piece in script.pieces(script.reasoning):
        yield {"reasoning_content": piece}
    for piece in script.pieces(script.text):
        yield {"content": piece}
    queues = []
    for n, (name, arguments) in enumerate(script.calls):
        queue = [{"index": n, "id": script.call_id(n, "call_"), "type": "function",
                  "function": {"name": name, "arguments": ""}}]
        queue += [{"index": n, "function": {"arguments": piece}}
                  for piece in script.pieces(arguments)]
        queues.append(queue)
    if script.interleaved:
        rows = zip_longest(*queues)
        queues = [[call for row in rows for call in row if call]]
    for queue in queues:
        for call in queue:
            yield {"tool_calls": [call]}


def _chat_stream(script, body):
    base = {"id": "chatcmpl-cloud", "object": "chat.completion.chunk", "created": 1,
            "model": script.model, "system_fingerprint": "fp_cloud"}

    def chunk(delta, finish=None):
        return None, {**base, "choices": [{"index": 0, "delta": delta, "logprobs": None,
                                           "finish_reason": finish}]}

    deltas = list(_chat_deltas(script))
    if script.break_at:
        for delta in deltas if script.break_at.startswith("after") else deltas[:1]:
            yield chunk(delta)
        if script.break_at.endswith("cut"):
            yield None, CUT
        if not script.break_at.endswith("eof"):
            yield None, {"error": {"message": BROKEN, "type": "server_error", "code": None}}
        return
    for delta in deltas:
        yield chunk(delta)
    yield chunk({}, STOPS["chat"][script.end])
    if (body.get("stream_options") or {}).get("include_usage"):
        yield None, {**base, "choices": [], "usage": _chat_usage(script)}
    if script.terminator:
        yield None, "[DONE]"


# responses

def _response_items(script):
    """The items of output[] as they are when all is said."""
    out = []
    if script.reasoning:
        item = {"type": "reasoning", "id": "rs_cloud", "summary": []}
        if script.summary:
            item["summary"] = [{"type": "summary_text", "text": script.reasoning}]
        else:
            item["content"] = [{"type": "reasoning_text", "text": script.reasoning}]
        out.append(item)
    if script.text:
        out.append({"type": "message", "id": "msg_cloud", "role": "assistant",
                    "status": "completed", "content": [
                        {"type": "output_text", "text": script.text, "annotations": [],
                         "logprobs": []}]})
    for n, (name, arguments) in enumerate(script.calls):
        out.append({"type": "function_call", "id": f"fc_cloud{n}", "status": "completed",
                    "call_id": script.call_id(n, "call_"), "name": name,
                    "arguments": arguments})
    return out


def _response_whole(script, body):
    total = script.fresh + script.cached
    reason = REASONS.get(script.end)
    return {"id": "resp_cloud", "object": "response", "created_at": 1, "error": None,
            "model": script.model, "output": _response_items(script),
            "status": "incomplete" if reason else "completed",
            "incomplete_details": {"reason": reason} if reason else None,
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
            "usage": {"input_tokens": total, "output_tokens": script.output,
                      "total_tokens": total + script.output,
                      "input_tokens_details": {"cached_tokens": script.cached},
                      "output_tokens_details": {"reasoning_tokens": script.thought}}}


def _item_steps(script, n, item):
    at = {"item_id": item["id"], "output_index": n}
    kind = item["type"]
    empty = {**item, "status": "in_progress"}
    if kind == "function_call":
        yield "response.output_item.added", {"output_index": n,
                                             "item": {**empty, "arguments": ""}}
        for piece in script.pieces(item["arguments"]):
            yield "response.function_call_arguments.delta", {**at, "delta": piece}
        yield "response.function_call_arguments.done", {**at, "name": item["name"],
                                                        "arguments": item["arguments"]}
    else:
        where, part_event, text_event = {
            "message": ("content", "content_part", "output_text"),
            "reasoning": (("summary", "reasoning_summary_part", "reasoning_summary_text")
                          if script.summary else
                          ("content", "content_part", "reasoning_text"))}[kind]
        yield "response.output_item.added", {"output_index": n, "item": {**empty, where: []}}
        part = item[where][0]
        at["summary_index" if where == "summary" else "content_index"] = 0
        yield f"response.{part_event}.added", {**at, "part": {**part, "text": ""}}
        for piece in script.pieces(part["text"]):
            yield f"response.{text_event}.delta", {**at, "delta": piece}
        yield f"response.{text_event}.done", {**at, "text": part["text"]}
        yield f"response.{part_event}.done", {**at, "part": part}
    yield "response.output_item.done", {"output_index": n, "item": item}


def _response_steps(script, body):
    whole = _response_whole(script, body)
    empty = {**whole, "status": "in_progress", "output": [], "usage": None,
             "incomplete_details": None}
    yield "response.created", {"response": empty}
    yield "response.in_progress", {"response": empty}
    if not script.break_at.startswith("before"):
        for n, item in enumerate(whole["output"]):
            yield from _item_steps(script, n, item)
    if script.break_at.endswith("cut"):
        yield None, CUT
    elif script.break_at.endswith("eof"):
        return
    elif script.break_at.endswith("error"):
        yield "error", {"code": "server_error", "message": BROKEN, "param": None}
    elif script.break_at:
        yield "response.failed", {"response": {
            **empty, "status": "failed",
            "error": {"code": "server_error", "message": BROKEN}}}
    else:
        yield "response." + whole["status"], {"response": whole}


def _response_stream(script, body):
    for n, (name, value) in enumerate(_response_steps(script, body)):
        yield name, (value if value is CUT else
                     {"type": name, "sequence_number": n, **value})


# messages

def _message_whole(script, body):
    content = []
    if script.reasoning:
        content.append({"type": "thinking", "thinking": script.reasoning,
                        "signature": strict.sign(script.reasoning)})
    if script.text:
        content.append({"type": "text", "text": script.text})
    for n, (name, arguments) in enumerate(script.calls):
        content.append({"type": "tool_use", "id": script.call_id(n, "toolu_"), "name": name,
                        "input": json.loads(arguments)})
    return {"id": "msg_cloud", "type": "message", "role": "assistant", "model": script.model,
            "content": content, "stop_reason": STOPS["messages"][script.end],
            "stop_sequence": script.sequence,
            "usage": {"input_tokens": script.fresh, "cache_creation_input_tokens": script.written,
                      "cache_read_input_tokens": script.cached,
                      "output_tokens": script.output, "service_tier": "standard"}}


_DELTAS = {"text": ("text", "text_delta", "text"),
           "thinking": ("thinking", "thinking_delta", "thinking"),
           "tool_use": ("input", "input_json_delta", "partial_json")}


def _message_steps(script, body):
    whole = _message_whole(script, body)
    start = {**whole, "content": [], "stop_reason": None, "stop_sequence": None,
             "usage": {**whole["usage"], "output_tokens": 1}}
    yield "message_start", {"message": start}
    yield "ping", {}
    blocks = [] if script.break_at.startswith("before") else whole["content"]
    said = [arguments for _, arguments in script.calls]
    for n, block in enumerate(blocks):
        key, kind, field_name = _DELTAS[block["type"]]
        empty = {**block, key: {} if key == "input" else ""}
        if "signature" in empty:
            empty["signature"] = ""
        yield "content_block_start", {"index": n, "content_block": empty}
        text = said.pop(0) if key == "input" else block[key]
        for piece in script.pieces(text):
            yield "content_block_delta", {"index": n,
                                          "delta": {"type": kind, field_name: piece}}
        if "signature" in block:
            yield "content_block_delta", {"index": n, "delta": {
                "type": "signature_delta", "signature": block["signature"]}}
        yield "content_block_stop", {"index": n}
    if script.break_at:
        if script.break_at.endswith("cut"):
            yield None, CUT
        elif not script.break_at.endswith("eof"):
            yield "error", {"error": {"type": "overloaded_error", "message": BROKEN}}
        return
    usage = {**whole["usage"]}
    usage.pop("service_tier")
    yield "message_delta", {"delta": {"stop_reason": whole["stop_reason"],
                                      "stop_sequence": whole["stop_sequence"]},
                            "usage": usage}
    yield "message_stop", {}


def _message_stream(script, body):
    for name, value in _message_steps(script, body):
        yield name, value if value is CUT else {"type": name, **value}


WHOLE = {"chat": _chat_whole, "responses": _response_whole, "messages": _message_whole}
STREAM = {"chat": _chat_stream, "responses": _response_stream, "messages": _message_stream}


# the other side: what a caller asks

PIXEL = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElF"
         "TkSuQmCC")
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"},
                                           "depth": {"type": "integer"}},
          "required": ["path", "depth"], "additionalProperties": False}


def tool(protocol, name, schema=None, about="It looks."):
    schema = schema or SCHEMA
    if protocol == "messages":
        return {"name": name, "description": about, "input_schema": schema}
    inner = {"name": name, "description": about, "parameters": schema}
    if protocol == "chat":
        return {"type": "function", "function": inner}
    return {"type": "function", **inner, "strict": False}


def ask(protocol, turns, model, stream=False, system=None, tools=(), signed=True, **more):
    """A request in a protocol. turns, in order:

    ("user", text)  ("image", base64)  ("assistant", text)  ("thinking", text)
    ("call", id, name, arguments)  ("result", id, text[, options])
    The options of a result are what the protocol can say of it: error, image.
    """
    body = {"model": model}
    if protocol == "chat":
        body["messages"] = _ask_chat(turns)
        if system:
            body["messages"].insert(0, {"role": "system", "content": system})
        if stream:
            body["stream_options"] = {"include_usage": True}
    elif protocol == "responses":
        body["input"] = _ask_responses(turns)
        body["store"] = False
        if system:
            body["instructions"] = system
    else:
        body["messages"] = _ask_messages(turns, signed)
        body["max_tokens"] = 900
        if system:
            body["system"] = system
    if stream:
        body["stream"] = True
    if tools:
        body["tools"] = [tool(protocol, name) for name in tools]
    body.update(more)
    return body


def data_url(data):
    return f"data:image/png;base64,{data}"


def _ask_chat(turns):
    out = []
    for kind, *what in turns:
        if kind in ("user", "image"):
            if not out or out[-1]["role"] != "user":
                out.append({"role": "user", "content": []})
            part = ({"type": "text", "text": what[0]} if kind == "user" else
                    {"type": "image_url", "image_url": {"url": data_url(what[0])}})
            out[-1]["content"].append(part)
        elif kind == "result":
            out.append({"role": "tool", "tool_call_id": what[0], "content": what[1]})
        else:
            if not out or out[-1]["role"] != "assistant":
                out.append({"role": "assistant", "content": None})
            if kind == "assistant":
                out[-1]["content"] = what[0]
            elif kind == "thinking":
                out[-1]["reasoning_content"] = what[0]
            else:
                out[-1].setdefault("tool_calls", []).append(
                    {"id": what[0], "type": "function",
                     "function": {"name": what[1], "arguments": json.dumps(what[2])}})
    return out


def _ask_responses(turns):
    out = []
    for kind, *what in turns:
        if kind == "user":
            out.append({"role": "user", "content": [{"type": "input_text", "text": what[0]}]})
        elif kind == "image":
            out.append({"role": "user", "content": [
                {"type": "input_image", "image_url": data_url(what[0]), "detail": "auto"}]})
        elif kind == "assistant":
            out.append({"type": "message", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": what[0],
                                     "annotations": []}]})
        elif kind == "thinking":
            out.append({"type": "reasoning", "id": f"rs_{len(out)}", "summary": [],
                        "content": [{"type": "reasoning_text", "text": what[0]}]})
        elif kind == "call":
            out.append({"type": "function_call", "call_id": what[0], "name": what[1],
                        "arguments": json.dumps(what[2])})
        else:
            image = what[2].get("image") if len(what) > 2 else None
            said = [{"type": "input_text", "text": what[1]},
                    {"type": "input_image", "image_url": data_url(image)}] if image else what[1]
            out.append({"type": "function_call_output", "call_id": what[0], "output": said})
    return out


def _ask_messages(turns, signed):
    out = []
    for kind, *what in turns:
        role = "assistant" if kind in ("assistant", "thinking", "call") else "user"
        if not out or out[-1]["role"] != role:
            out.append({"role": role, "content": []})
        if kind in ("user", "assistant"):
            block = {"type": "text", "text": what[0]}
        elif kind == "image":
            block = {"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                                 "data": what[0]}}
        elif kind == "thinking":
            block = {"type": "thinking", "thinking": what[0],
                     "signature": strict.sign(what[0]) if signed else ""}
        elif kind == "call":
            block = {"type": "tool_use", "id": what[0], "name": what[1], "input": what[2]}
        else:
            how = what[2] if len(what) > 2 else {}
            said = [{"type": "text", "text": what[1]}]
            if how.get("image"):
                said.append({"type": "image", "source": {
                    "type": "base64", "media_type": "image/png", "data": how["image"]}})
            block = {"type": "tool_result", "tool_use_id": what[0], "content": said}
            if how.get("error"):
                block["is_error"] = True
        out[-1]["content"].append(block)
    return out


# both sides

class Stage:
    """Three clouds, one for each protocol, behind one gateway that a test made of sections()."""

    def __init__(self, folders):
        self.clouds = {speaks: ScriptedCloud(folder, speaks)
                       for speaks, folder in zip(PATHS, folders)}
        self.gateway = None
        self._used = dict.fromkeys(PATHS, -1)

    def sections(self, spare):
        """A target for each cloud, and spare ones for tests that spoil theirs."""
        out = {}
        for speaks, cloud in self.clouds.items():
            out[f"to-{speaks}"] = cloud.section()
            out[f"to-{speaks}-thinks"] = cloud.section(CAPS="tools,vision,reasoning")
            for n in range(spare):
                out[f"to-{speaks}-{n}"] = cloud.section()
        return out

    def spare(self, speaks):
        """A target that no test has used: what failed before may not count against it."""
        self._used[speaks] += 1
        return f"to-{speaks}-{self._used[speaks]}"

    def post(self, protocol, body, path="", headers=None):
        given = {"anthropic-version": "2023-06-01"} if protocol == "messages" else {}
        return self.gateway.post(PATHS[protocol] + path, body, {**given, **(headers or {})})

    def close(self):
        for cloud in self.clouds.values():
            cloud.close()
