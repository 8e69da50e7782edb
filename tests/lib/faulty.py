"""A provider that misbehaves by script, and a caller's strict eye on what arrives in the end.

A Provider serves one model per script on plain HTTP of the loopback, in OpenAI's or
Anthropic's manner. Each request takes the next step of its model's script, the last step
stays. Every request is kept with its time; whatever a careful provider would have refused is
kept as a complaint. Standard library only.
"""

import json
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cloud_rules as rules
from cloud import Seen
from wire import wait_until

KEY = "sk-faulty-key"
ENV = {"FAULTY_KEY": KEY}
TOKENS = [f"wagon-{n} " for n in range(60)]
OVERFLOW = "context_length_exceeded"
POLICY = "content_policy_violation"


# --- what a model says ---

def joined(text):
    """Halves of a letter that came in two escapes are one letter, as in JavaScript."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@dataclass
class Answer:
    """Parts in order: ("reasoning", tokens), ("text", tokens), ("tool", id, name, pieces),
    ("summary", tokens): responses only, reasoning as its summary; ("other",): what only its
    own protocol knows, a sealed thought or a search."""
    parts: list = field(default_factory=lambda: [("text", TOKENS)])
    prompt: int = 11
    output: int = 60
    raw_utf8: bool = False

    @property
    def finish(self):
        return "tool_calls" if any(p[0] == "tool" for p in self.parts) else "stop"

    def of(self, kind):
        return joined("".join("".join(p[1]) for p in self.parts if p[0] == kind))

    @property
    def text(self):
        return self.of("text")

    @property
    def tools(self):
        return [(p[1], p[2], "".join(p[3])) for p in self.parts if p[0] == "tool"]

    def encode(self, value):
        return json.dumps(value, ensure_ascii=not self.raw_utf8)


def saying(*tokens, **how):
    return Answer([("text", list(tokens))], **how)


@dataclass
class Fault:
    """What one request meets. Kinds:

    ok       the answer
    status   a refusal with status, code, retry_after (after `seconds`)
    reset    a reset before a byte of the answer
    silent   not a byte until the gateway leaves
    late     headers and opening events, then the first token only after `seconds`, with a
             comment now and then as some providers send while they think
    cut      closed in mid-body after `after` tokens (or before the first event of the tag
             or name `before`), with `inside` in the middle of the next event, behind these
             bytes
    torn     as cut, but by a reset, which may take what was sent just before with it
    clean    as cut, but the body ends properly, as behind a proxy that gave up
    stall    as cut, but then silence instead of an end
    broken   one more event after `after` tokens, whose data is no JSON
    no_done  everything but the protocol's mark of the end
    """
    kind: str = "ok"
    status: int = 500
    code: str = None
    retry_after: object = None
    seconds: float = 0
    after: int = 40
    before: str = None
    inside: bytes = None
    answer: Answer = None


OK = Fault()


class Event:
    """One rendered event. tag: open, token, close, finish, usage or done."""

    def __init__(self, tag, value, name=None):
        self.tag = tag
        self.value = value
        self.name = name

    def bytes(self, answer):
        data = self.value if isinstance(self.value, str) else answer.encode(self.value)
        head = f"event: {self.name}\n" if self.name else ""
        return f"{head}data: {data}\n\n".encode()


# --- the protocols, rendered ---

def chat_usage(a):
    return {"prompt_tokens": a.prompt, "completion_tokens": a.output,
            "total_tokens": a.prompt + a.output}


def chat_whole(a, model):
    message = {"role": "assistant", "content": a.text or None}
    if a.of("reasoning"):
        message["reasoning_content"] = a.of("reasoning")
    if a.tools:
        message["tool_calls"] = [
            {"id": i, "type": "function", "function": {"name": n, "arguments": args}}
            for i, n, args in a.tools]
    return {"id": f"chatcmpl-{model}", "object": "chat.completion", "created": 1,
            "model": model, "usage": chat_usage(a),
            "choices": [{"index": 0, "message": message, "finish_reason": a.finish}]}


def chat_stream(a, model, body):
    base = {"id": f"chatcmpl-{model}", "object": "chat.completion.chunk", "created": 1,
            "model": model}

    def chunk(tag, delta, finish=None):
        return Event(tag, {**base, "choices": [
            {"index": 0, "delta": delta, "finish_reason": finish}]})

    out = [chunk("open", {"role": "assistant", "content": ""})]
    calls = 0
    for part in a.parts:
        if part[0] == "tool":
            out.append(chunk("open", {"tool_calls": [
                {"index": calls, "id": part[1], "type": "function",
                 "function": {"name": part[2], "arguments": ""}}]}))
            out += [chunk("token", {"tool_calls": [
                {"index": calls, "function": {"arguments": piece}}]}) for piece in part[3]]
            calls += 1
        else:
            key = "content" if part[0] == "text" else "reasoning_content"
            out += [chunk("token", {key: token}) for token in part[1]]
    out.append(chunk("finish", {}, a.finish))
    if (body.get("stream_options") or {}).get("include_usage"):
        out.append(Event("usage", {**base, "choices": [], "usage": chat_usage(a)}))
    return out + [Event("done", "[DONE]")]


def response_items(a, model):
    items = []
    for n, part in enumerate(a.parts):
        if part[0] == "text":
            items.append({"id": f"msg_{model}_{n}", "type": "message", "role": "assistant",
                          "status": "completed", "content": [
                              {"type": "output_text", "text": "".join(part[1]),
                               "annotations": []}]})
        elif part[0] in ("reasoning", "summary"):
            said = [{"type": "reasoning_text", "text": "".join(part[1])}] if part[1] else []
            summary = part[0] == "summary"
            for one in said if summary else []:
                one["type"] = "summary_text"
            items.append({"id": f"rs_{model}_{n}", "type": "reasoning",
                          "summary": said if summary else [],
                          "content": [] if summary else said})
        elif part[0] == "other":
            items.append({"id": f"ws_{model}_{n}", "type": "web_search_call",
                          "status": "completed",
                          "action": {"type": "search", "query": "trains"}})
        else:
            items.append({"id": f"fc_{model}_{n}", "type": "function_call",
                          "status": "completed", "call_id": part[1], "name": part[2],
                          "arguments": "".join(part[3])})
    return items


def response_whole(a, model):
    return {"id": f"resp_{model}", "object": "response", "created_at": 1, "model": model,
            "status": "completed", "output": response_items(a, model),
            "usage": {"input_tokens": a.prompt, "output_tokens": a.output,
                      "total_tokens": a.prompt + a.output,
                      "input_tokens_details": {"cached_tokens": 0},
                      "output_tokens_details": {"reasoning_tokens": 0}}}


def response_part(n, item, part):
    """The events of one output item."""
    at = {"item_id": item["id"], "output_index": n}
    inner = {**at, "content_index": 0}
    status = {"status": "in_progress"} if "status" in item else {}
    empty = {**item, **status}
    if part[0] == "other" or not part[1]:
        # an empty item of reasoning is what a model sends that keeps its thoughts to itself
        yield "open", "response.output_item.added", {"output_index": n, "item": empty}
    elif part[0] == "summary":
        inner = {**at, "summary_index": 0}
        yield "open", "response.output_item.added", {
            "output_index": n, "item": {**empty, "summary": []}}
        yield "open", "response.reasoning_summary_part.added", {
            **inner, "part": {"type": "summary_text", "text": ""}}
        for token in part[1]:
            yield "token", "response.reasoning_summary_text.delta", {**inner, "delta": token}
        yield "close", "response.reasoning_summary_text.done", {
            **inner, "text": "".join(part[1])}
        yield "close", "response.reasoning_summary_part.done", {
            **inner, "part": item["summary"][0]}
    elif part[0] == "tool":
        yield "open", "response.output_item.added", {
            "output_index": n, "item": {**empty, "arguments": ""}}
        for piece in part[3]:
            yield "token", "response.function_call_arguments.delta", {**at, "delta": piece}
        yield "close", "response.function_call_arguments.done", {
            **at, "name": item["name"], "arguments": item["arguments"]}
    else:
        content = item["content"][0]
        word = "output_text" if part[0] == "text" else "reasoning_text"
        yield "open", "response.output_item.added", {
            "output_index": n, "item": {**empty, "content": []}}
        yield "open", "response.content_part.added", {**inner,
                                                      "part": {**content, "text": ""}}
        for token in part[1]:
            yield "token", f"response.{word}.delta", {**inner, "delta": token}
        yield "close", f"response.{word}.done", {**inner, "text": content["text"]}
        yield "close", "response.content_part.done", {**inner, "part": content}
    yield "close", "response.output_item.done", {"output_index": n, "item": item}


def response_stream(a, model, body):
    whole = response_whole(a, model)
    empty = {**whole, "status": "in_progress", "output": [], "usage": None}
    steps = [("open", "response.created", {"response": empty}),
             ("open", "response.in_progress", {"response": empty})]
    for n, (item, part) in enumerate(zip(whole["output"], a.parts)):
        steps += response_part(n, item, part)
    steps.append(("done", "response.completed", {"response": whole}))
    return [Event(tag, {"type": name, "sequence_number": n, **value}, name)
            for n, (tag, name, value) in enumerate(steps)]


def message_whole(a, model):
    blocks = []
    for part in a.parts:
        if part[0] == "text":
            blocks.append({"type": "text", "text": "".join(part[1])})
        elif part[0] == "reasoning":
            blocks.append({"type": "thinking", "thinking": "".join(part[1]),
                           "signature": "c2lnbmVk"})
        elif part[0] == "other":
            blocks.append({"type": "redacted_thinking", "data": "c2VhbGVk"})
        else:
            blocks.append({"type": "tool_use", "id": part[1], "name": part[2],
                           "input": json.loads("".join(part[3]))})
    return {"id": f"msg_{model}", "type": "message", "role": "assistant", "model": model,
            "content": blocks, "stop_sequence": None,
            "stop_reason": "tool_use" if a.tools else "end_turn",
            "usage": {"input_tokens": a.prompt, "output_tokens": a.output}}


def message_part(n, part):
    """The events of one block."""
    kinds = {"text": ({"type": "text", "text": ""}, "text_delta", "text"),
             "reasoning": ({"type": "thinking", "thinking": "", "signature": ""},
                           "thinking_delta", "thinking")}
    if part[0] == "tool":
        block = {"type": "tool_use", "id": part[1], "name": part[2], "input": {}}
        kind, key, tokens = "input_json_delta", "partial_json", part[3]
    elif part[0] == "other":
        block = {"type": "redacted_thinking", "data": "c2VhbGVk"}
        kind, key, tokens = None, None, []
    else:
        (block, kind, key), tokens = kinds[part[0]], part[1]
    yield "open", "content_block_start", {"index": n, "content_block": block}
    for token in tokens:
        yield "token", "content_block_delta", {"index": n, "delta": {"type": kind, key: token}}
    if part[0] == "reasoning":
        yield "close", "content_block_delta", {
            "index": n, "delta": {"type": "signature_delta", "signature": "c2lnbmVk"}}
    yield "close", "content_block_stop", {"index": n}


def message_stream(a, model, body):
    whole = message_whole(a, model)
    steps = [("open", "message_start", {"message": {
        **whole, "content": [], "stop_reason": None,
        "usage": {"input_tokens": a.prompt, "output_tokens": 1}}})]
    for n, part in enumerate(a.parts):
        steps += message_part(n, part)
    steps += [("finish", "message_delta", {
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
        "usage": {"output_tokens": a.output}}), ("done", "message_stop", {})]
    return [Event(tag, {"type": name, **value}, name) for tag, name, value in steps]


SPEAKS = {"openai": {"/v1/chat/completions": (chat_whole, chat_stream),
                     "/v1/responses": (response_whole, response_stream)},
          "anthropic": {"/v1/messages": (message_whole, message_stream)}}


# --- the provider ---

class Provider:
    """The server. plan() gives a model its script; section() is its place in models.conf."""

    def __init__(self):
        self.requests = []
        self.complaints = []
        self.closing = threading.Event()
        self._models = {}
        self._lock = threading.Lock()
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.provider = self
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever,
                                        kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(5)

    def plan(self, model, *steps, answer=None, kind="openai"):
        """From now on this model does so, request for request."""
        with self._lock:
            self._models[model] = {"kind": kind, "steps": list(steps) or [OK],
                                   "answer": answer or Answer()}

    def heal(self, model):
        with self._lock:
            self._models[model]["steps"] = [OK]

    def section(self, model, **keys):
        kind = self._models[model]["kind"]
        base = f"http://127.0.0.1:{self.port}" + ("/v1" if kind == "openai" else "")
        out = {"CLOUD": kind, "BASE_URL": base, "MODEL": model, "CTX_SIZE": 128000,
               "API_KEY_ENV": "FAULTY_KEY", "CAPS": "tools,vision,reasoning"}
        out.update(keys)
        return out

    def take(self, model):
        """The model's kind, its next step and its answer; None for a model nobody planned."""
        with self._lock:
            entry = self._models.get(model)
            if not entry:
                return None
            step = entry["steps"].pop(0) if len(entry["steps"]) > 1 else entry["steps"][0]
            return entry["kind"], step, step.answer or entry["answer"]

    def kind_of(self, model):
        with self._lock:
            return self._models.get(model, {}).get("kind")

    def note(self, seen, wrong):
        with self._lock:
            self.requests.append(seen)
            self.complaints += [f"{seen.model}: {seen.path}: {text}" for text in wrong]

    def of(self, model):
        """The requests for a model so far."""
        with self._lock:
            return [r for r in self.requests if r.model == model]

    def wait(self, model, n, timeout=10.0):
        return wait_until(lambda: len(self.of(model)) >= n and self.of(model), timeout,
                          f"{n} requests for {model}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A gateway that leaves is part of the tests, not news."""


def _prefill(data):
    turns = data.get("messages") or data.get("input")
    last = turns[-1] if isinstance(turns, list) and turns else None
    return isinstance(last, dict) and last.get("role") == "assistant"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    @property
    def provider(self):
        return self.server.provider

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        seen = Seen("POST", self.path, list(self.headers.items()), body)
        seen.at = time.monotonic()
        seen.left = threading.Event()
        seen.done = threading.Event()
        seen.model = None
        try:
            data = rules.strict_json(body)
            seen.model = data.get("model")
            wrong = self._check(seen, data)
        except ValueError as e:
            data, wrong = {}, [f"the body is no JSON: {e}"]
        self.provider.note(seen, wrong)
        taken = None if wrong else self.provider.take(seen.model)
        try:
            if not taken:
                self._refuse(400, "; ".join(wrong) or "no such model", "invalid_request")
            else:
                self._act(seen, data, *taken)
        except OSError:
            seen.left.set()
            self.close_connection = True
        seen.done.set()

    def _check(self, seen, data):
        kind = self.provider.kind_of(seen.model)
        path = self.path.split("?")[0]
        if path not in SPEAKS.get(kind, {}):
            return [f"{seen.model!r} is not served on {path}"]
        auth = (("authorization", f"Bearer {KEY}") if kind == "openai" else ("x-api-key", KEY))
        wrong = rules.check_headers(seen.headers, host=f"127.0.0.1:{self.provider.port}",
                                    auth=auth, secrets=[], body=seen.body)
        wrong += rules.check_body_headers(seen.headers, len(seen.body))
        if kind == "openai":
            wrong += rules.check_openai(path[len("/v1"):], data, None, set())
        else:
            wrong += rules.check_anthropic(path, seen.headers, data, None, set())
        if _prefill(data):
            wrong.append("this model does not support assistant message prefill")
        return wrong

    def _act(self, seen, data, kind, step, answer):
        whole, stream = SPEAKS[kind][self.path.split("?")[0]]
        if step.kind == "status":
            self._hold(seen, step.seconds)
            extra = {} if step.retry_after is None else {"Retry-After": step.retry_after}
            self._refuse(step.status, f"told to say {step.status}", step.code, extra)
        elif step.kind == "reset":
            self._reset()
        elif step.kind == "silent" or (step.kind == "late" and not data.get("stream")):
            if not self._hold(seen, step.seconds or 120):
                self._whole(whole(answer, seen.model), answer)
        elif data.get("stream"):
            self._stream(seen, step, answer, stream(answer, seen.model, data))
        elif step.kind in ("cut", "torn", "clean", "stall"):
            self._half(seen, step, answer.encode(whole(answer, seen.model)).encode())
        else:
            self._whole(whole(answer, seen.model), answer)

    # out

    def _hold(self, seen, seconds, comments=False):
        """Says nothing (of meaning) for a while; true when the gateway left meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.provider.closing.is_set():
            if select.select([self.connection], [], [], 0.05)[0]:
                try:
                    left = self.connection.recv(1, socket.MSG_PEEK) == b""
                except OSError:
                    left = True
                if left:
                    seen.left.set()
                    self.close_connection = True
                    return True
            elif comments and int((end - time.monotonic()) * 20) % 10 == 0:
                self._chunk(b": thinking\n\n")
        return self.provider.closing.is_set()

    def _reset(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   struct.pack("ii", 1, 0))
        self.connection.close()

    def _refuse(self, status, message, code=None, extra=None):
        if SPEAKS["anthropic"].get(self.path.split("?")[0]):
            kind = {400: "invalid_request_error", 429: "rate_limit_error",
                    529: "overloaded_error"}.get(status, "api_error")
            if code == OVERFLOW:
                message = "prompt is too long: 9000 tokens > 8000 maximum"
            value = {"type": "error", "error": {"type": kind, "message": message},
                     "request_id": "req_faulty"}
        else:
            kind = {400: "invalid_request_error", 429: "rate_limit_error"}.get(
                status, "server_error")
            value = {"error": {"message": message, "type": kind, "param": None,
                               "code": code}}
        self._send(status, json.dumps(value).encode(), extra)

    def _whole(self, value, answer):
        self._send(200, answer.encode(value).encode())

    def _send(self, status, data, extra=None):
        self._head(status, "application/json", {"Content-Length": len(data), **(extra or {})})
        self.wfile.write(data)

    def _head(self, status, kind, extra):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for key, text in extra.items():
            self.send_header(key, str(text))
        self.end_headers()

    def _half(self, seen, step, data):
        self._head(200, "application/json", {"Content-Length": len(data)})
        self.wfile.write(data[:len(data) // 2])
        self.wfile.flush()
        self._leave(seen, step)

    def _leave(self, seen, step):
        if step.kind == "stall" and self._hold(seen, 120):
            return
        if step.kind == "torn":
            self._reset()
        self.close_connection = True

    def _chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _stream(self, seen, step, answer, events):
        self._head(200, "text/event-stream", {"Transfer-Encoding": "chunked"})
        tokens = 0
        for event in events:
            data = event.bytes(answer)
            here = (step.before in (event.tag, event.name) if step.before
                    else tokens >= step.after)
            if step.kind in ("cut", "torn", "clean", "stall") and here:
                return self._break_off(seen, step, data)
            if step.kind == "broken" and tokens == step.after and event.tag == "token":
                self._chunk(data[:len(data) // 2] + b"\n\n")
            if step.kind == "late" and event.tag == "token" and not tokens:
                if self._hold(seen, step.seconds, comments=True):
                    return None
            if step.kind == "no_done" and event.tag == "done":
                break
            tokens += event.tag == "token"
            self._chunk(data)
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _break_off(self, seen, step, data):
        if step.inside:
            self._chunk(data[:data.index(step.inside) + len(step.inside)])
        if step.kind == "clean":
            self.wfile.write(b"0\r\n\r\n")
        else:
            self._leave(seen, step)


# --- what the caller got ---

class Told:
    """A stream as a strict client understands it; `wrong` is what it would stumble over."""

    def __init__(self, protocol, events):
        self.protocol = protocol
        self.text = self.reasoning = ""
        self.tools = {}
        self.usage = {}
        self.model = self.id = self.finish = None
        self.ends = self.pings = 0
        self.failed = False
        self.wrong = []
        self._open = None
        self._items = []
        self._done = set()
        for n, event in enumerate(events):
            if self.ends:
                self.wrong.append(f"event {n} comes behind the end: {event.data[:80]}")
            try:
                value = None if event.done else event.json
            except ValueError:
                self.wrong.append(f"event {n} is no JSON: {event.data[:80]}")
                continue
            {"chat": self._chat, "messages": self._message,
             "responses": self._response}[protocol](n, event, value)
        self.text = joined(self.text)

    @property
    def complete(self):
        return self.ends == 1 and not self.failed

    def _same(self, n, what):
        if self.id not in (None, what):
            self.wrong.append(f"event {n} is of {what}, the stream is {self.id}")
        self.id = self.id or what

    def _chat(self, n, event, value):
        if event.done:
            self.ends += 1
            if not self.finish:
                self.wrong.append("[DONE] without a finish_reason")
            return
        if "error" in value:
            self.failed = True
            return
        self._same(n, value["id"])
        self.model = value["model"]
        self.usage = value.get("usage") or self.usage
        self.pings += not value["choices"] and not value.get("usage")
        for choice in value["choices"]:
            delta = choice["delta"]
            if self.finish and (delta.get("content") or delta.get("tool_calls")):
                self.wrong.append(f"event {n} has content behind finish_reason")
            if delta.get("role") and (self.text or self.reasoning or self.tools):
                self.wrong.append(f"event {n} names the role in mid-stream")
            self.text += delta.get("content") or ""
            self.reasoning += delta.get("reasoning_content") or ""
            for call in delta.get("tool_calls") or []:
                self._call(n, call)
            if choice.get("finish_reason"):
                if self.finish:
                    self.wrong.append("a second finish_reason")
                self.finish = choice["finish_reason"]

    def _call(self, n, call):
        at = call["index"]
        if at not in self.tools:
            if at != len(self.tools) or not call.get("id"):
                self.wrong.append(f"event {n} begins call {at} out of turn")
            self.tools[at] = [call.get("id"), call["function"].get("name"), ""]
        elif call.get("id") not in (None, self.tools[at][0]):
            self.wrong.append(f"event {n}: call {at} has two ids")
        self.tools[at][2] += call["function"].get("arguments") or ""

    def _message(self, n, event, value):
        kind = value["type"]
        if event.name != kind:
            self.wrong.append(f"event {n} is named {event.name}, its type is {kind}")
        if kind == "message_start":
            if n:
                self.wrong.append("a second message_start")
            self.id, self.model = value["message"]["id"], value["message"]["model"]
            self.usage.update(value["message"]["usage"])
        elif self.id is None and kind not in ("ping", "error"):
            self.wrong.append(f"{kind} before message_start")
        elif kind == "content_block_start":
            self._block_start(n, value)
        elif kind == "content_block_delta":
            self._block_delta(n, value)
        elif kind == "content_block_stop":
            if self._open is None or value["index"] != len(self._items) - 1:
                self.wrong.append(f"event {n} closes block {value['index']}, not open")
            self._open = None
        elif kind == "message_delta":
            if self._open is not None or self.finish:
                self.wrong.append(f"event {n}: message_delta out of turn")
            self.finish = value["delta"]["stop_reason"]
            self.usage.update(value["usage"])
        elif kind == "message_stop":
            self.ends += 1
        elif kind == "error":
            self.failed = True
        elif kind == "ping":
            self.pings += 1
        else:
            self.wrong.append(f"event {n} is {kind}")

    def _block_start(self, n, value):
        if self._open is not None or value["index"] != len(self._items):
            self.wrong.append(f"event {n} opens block {value['index']} out of turn")
        block = value["content_block"]
        self._open = block["type"]
        self._items.append(block)
        if block["type"] == "tool_use":
            self.tools[value["index"]] = [block["id"], block["name"], ""]

    def _block_delta(self, n, value):
        kind, delta = value["delta"]["type"], value["delta"]
        fits = {"text_delta": "text", "thinking_delta": "thinking",
                "signature_delta": "thinking", "input_json_delta": "tool_use"}
        if fits[kind] != self._open or value["index"] != len(self._items) - 1:
            self.wrong.append(f"event {n}: {kind} in a block of {self._open}")
        self.text += delta.get("text", "")
        self.reasoning += delta.get("thinking", "")
        if kind == "input_json_delta" and value["index"] in self.tools:
            self.tools[value["index"]][2] += delta["partial_json"]

    def _response(self, n, event, value):
        kind = value["type"]
        if value.get("sequence_number") != n:
            self.wrong.append(f"event {n} has number {value.get('sequence_number')}")
        if event.name != kind:
            self.wrong.append(f"event {n} is named {event.name}, its type is {kind}")
        if "response" in value:
            self._same(n, value["response"]["id"])
            self.model = value["response"].get("model")
        if n < 2 and kind != ("response.created", "response.in_progress")[n]:
            self.wrong.append(f"event {n} is {kind}")
        if kind == "response.output_item.added":
            if value["output_index"] != len(self._items):
                self.wrong.append(f"event {n} adds item {value['output_index']}")
            self._items.append([value["item"], "", False, None])
        elif kind in ("response.completed", "response.incomplete"):
            self.ends += 1
            self.finish = kind
            self.usage = value["response"]["usage"]
            self._whole(value["response"]["output"])
        elif kind in ("response.failed", "error"):
            self.failed = True
        elif n > 1:
            self._item_event(n, kind, value)

    def _item_event(self, n, kind, value):
        at = value["output_index"]
        if at >= len(self._items) or self._items[at][2]:
            self.wrong.append(f"event {n} is of item {at}, which is not open")
            return
        item = self._items[at]
        name = value["item"]["id"] if "item" in value else value["item_id"]
        if name != item[0]["id"]:
            self.wrong.append(f"event {n} is of item {name}, that one is {item[0]['id']}")
        if kind.endswith(".done"):
            if (kind, at) in self._done:
                self.wrong.append(f"event {n}: a second {kind} of item {at}")
            self._done.add((kind, at))
        if kind.endswith(".delta"):
            if item[3] not in (None, kind):
                self.wrong.append(f"event {n} is {kind}, the item grew by {item[3]}")
            item[1] += value["delta"]
            item[3] = kind
            self.text += value["delta"] if kind == "response.output_text.delta" else ""
            if "reasoning" in kind:
                self.reasoning += value["delta"]
        elif kind.endswith("text.done") and value["text"] != joined(item[1]):
            self.wrong.append(f"event {n} says another text than its deltas")
        elif kind.endswith("arguments.done") and value["arguments"] != item[1]:
            self.wrong.append(f"event {n} says other arguments than its deltas")
        elif kind == "response.output_item.done":
            item[2] = True
            if item[0]["type"] == "function_call":
                self.tools[at] = [item[0]["call_id"], item[0]["name"], item[1]]

    def _whole(self, output):
        if [i["id"] for i in output] != [item[0]["id"] for item in self._items]:
            self.wrong.append("the whole output has other items than the stream")
        if any(not item[2] for item in self._items):
            self.wrong.append("an item was never done")
        said = ["".join(part["text"] for part in (i.get("summary") or i.get("content") or []))
                or i.get("arguments", "") for i in output]
        if said != [joined(item[1]) for item in self._items]:
            self.wrong.append("the whole output says something else than the stream")

    def calls(self):
        return [tuple(self.tools[at]) for at in sorted(self.tools)]
