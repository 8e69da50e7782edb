"""Requests as agents send them, and ways to spoil them. The caller's Random decides everything."""

import json
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

USER = [{"role": "user", "content": "Why does this function return null?"}]
TOOL = {"type": "function", "function": {"name": "read_file", "description": "Reads a file",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}}
CALLS = [
    {"role": "system", "content": "You are a coding agent."},
    {"role": "user", "content": [{"type": "text", "text": "Fix the test \u2014 it fails."}]},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function",
         "function": {"name": "read_file", "arguments": "{\"path\":\"a.c\"}"}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "int main(void)\n{\n\treturn 0;\n}\n"},
]
BODIES = [
    ("/v1/chat/completions", {"messages": USER}),
    ("/v1/chat/completions", {"messages": CALLS, "tools": [TOOL], "tool_choice": "auto",
                              "stream": True, "stream_options": {"include_usage": True}}),
    ("/v1/chat/completions", {"messages": USER, "max_completion_tokens": 64, "temperature": 0.2,
                              "response_format": {"type": "json_object"}, "store": False}),
    ("/v1/completions", {"prompt": "def f(x):", "max_tokens": 16, "stop": ["\n\n"]}),
    ("/v1/responses", {"input": "say hi", "max_output_tokens": 16}),
    ("/v1/responses", {"stream": True, "store": False, "instructions": "Be brief.", "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"}],
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"]}),
    ("/v1/embeddings", {"input": ["one", "two"], "encoding_format": "float"}),
    ("/v1/messages?beta=true", {"max_tokens": 32, "messages": USER, "stream": True, "system": [
        {"type": "text", "text": "You are terse.", "cache_control": {"type": "ephemeral"}}]}),
    ("/v1/messages", {"max_tokens": 32, "messages": [
        {"role": "user", "content": [{"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "tool_use", "id": "t1", "name": "ls", "input": {"path": "."}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "a b", "is_error": False}]}]}),
    ("/v1/messages/count_tokens?beta=true", {"messages": USER, "tools": []}),
    ("/v1/route", {"messages": USER}),
    ("/v1/rerank", {"query": "a", "documents": ["b", "c"]}),
    ("/tokenize", {"content": "hello", "add_special": True}),
    ("/v1/v1/messages", {"max_tokens": 1, "messages": USER}),
    ("/chat/completions", {"messages": USER}),
]
GETS = ["/health", "/v1/models", "/models", "/v1/models/no%2Fbody", "/running", "/metrics",
        "/api/status", "/v1/models?limit=1000", "/nothing/here", "/props?model=nobody"]
HEADERS = [
    [("Accept", "application/json"), ("Content-Type", "application/json"),
     ("Authorization", "Bearer sk-test-local"), ("User-Agent", "OpenAI/JS 7.55.0")],
    [("accept", "*/*"), ("content-type", "application/json"), ("x-api-key", "sk-test-local"),
     ("anthropic-version", "2023-06-01"), ("anthropic-beta", "context-management-2025-06-27"),
     ("accept-encoding", "gzip, deflate, br, zstd"), ("connection", "keep-alive")],
    [("Content-Type", "application/json; charset=utf-8"), ("Sec-Fetch-Mode", "cors"),
     ("Accept-Language", "*"), ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad-01")],
]
ODD_VALUES = [None, True, False, 0, -1, 1e308, 1e-9, 2 ** 53 + 1, 10 ** 40, "", "\0", "\ud800",
              "\u202e", "a" * 3000, [], {}, [[]], [None], {"": {}}, {"role": "user"}, "auto", [{}]]
RAW_JSON = [b"", b"null", b"[]", b"{}", b"\xef\xbb\xbf{}", b"{\"model\":", b"[" * 5000,
            b"{\"a\":" * 2000, b"\"", b"{\"model\":\"m\",\"model\":\"n\"}", b"\xff\xfe", b"NaN",
            b"{\"model\":1e9999}",
            b"{\"model\":\"\\ud800\"}", b"{\"model\":\"a\0b\"}", b"[1,2", b"{}{}", b"{'model':'m'}",
            b"{\"model\":\"m\",}", b"-", b"\"\\u12\"", b"tru", b"  ", b"[\"m\",{\"model\":\"m\"}]"]
INSERTS = [b"\r", b"\n", b"\r\n", b"\0", b" ", b":", b"\t", b";", b"\xff", b"\r\n\r\n",
           b"0\r\n\r\n", b"GET / HTTP/1.1\r\n", b"%00"]


class Request:
    """A request in parts, so that a mutation can spoil one. `chunks` None: Content-Length."""

    def __init__(self, method, target, headers, body=b"", chunks=None):
        self.method, self.target, self.version = method, target, b"HTTP/1.1"
        self.headers = list(headers)
        self.body = body
        self.chunks = chunks
        self.lines = None

    def head_lines(self):
        """The header lines, without their ends; computed once, so that mutations can edit them."""
        if self.lines is None:
            self.lines = [n + b": " + v for n, v in self.headers]
            if self.chunks is not None:
                self.lines.append(b"Transfer-Encoding: chunked")
            elif self.body or self.method in (b"POST", b"PUT", b"PATCH"):
                self.lines.append(b"Content-Length: %d" % len(self.body))
        return self.lines

    def raw(self):
        line = self.method + b" " + self.target + b" " + self.version
        head = b"\r\n".join([line] + self.head_lines()) + b"\r\n\r\n"
        return head + (self.body if self.chunks is None else self.chunked())

    def chunked(self):
        return b"".join(self.chunks) + b"0\r\n\r\n"


def chunk(data, extension=b""):
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


def split_chunks(rng, body):
    """The body as chunks of random sizes."""
    out, at = [], 0
    while at < len(body):
        size = rng.choice((1, 7, 64, 1000, 20000))
        extension = rng.choice((b"", b"", b"", b";a", b";n=v", b";q=\"x y\""))
        out.append(chunk(body[at:at + size], extension))
        at += size
    return out


def dump(value):
    """JSON as bytes; lone surrogates go as escapes, what nests too deep as brackets."""
    try:
        return json.dumps(value, ensure_ascii=True).encode()
    except RecursionError:
        return b"[" * 3000 + b"]" * 3000


def headers_for(rng, host=b"127.0.0.1:8080"):
    pairs = [(n.encode(), v.encode()) for n, v in rng.choice(HEADERS)]
    pairs.insert(rng.randrange(len(pairs) + 1), (b"Host", host))
    return pairs


def agent_request(rng, model, recorded=()):
    """One request of an agent for `model`: at times a recorded one, when there are any."""
    if recorded and rng.random() < 0.3:
        method, target, headers, body = rng.choice(recorded)
        if isinstance(body, dict):
            body = dict(body, model=model)
        raw = b"" if body is None else dump(body)
        return Request(method, target, headers, raw)
    if rng.random() < 0.2:
        return Request(b"GET", rng.choice(GETS).encode(), headers_for(rng))
    target, body = rng.choice(BODIES)
    raw = dump(dict(body, model=model))
    chunks = split_chunks(rng, raw) if rng.random() < 0.3 else None
    return Request(b"POST", target.encode(), headers_for(rng), raw, chunks)


def recordings():
    """(method, target, headers, body) of recorded agents' requests; empty when there are none."""
    beside = ROOT.parent / "shared" / "client-recordings"
    folder = Path(os.environ.get("POINTSMAN_RECORDINGS") or beside)
    out = []
    for path in sorted(folder.glob("*/*.json")):
        seen = json.loads(path.read_text("utf-8"))
        if seen["method"] == "HEAD" or "url" not in seen:
            continue
        framing = ("content-length", "transfer-encoding")
        headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in seen["headers"]
                   if n.lower() not in framing]
        body = seen.get("body")
        out.append((seen["method"].encode(), seen["url"].encode(), headers, body))
    return out


def spoil_json(rng, value, depth=0):
    """A copy of a JSON value with one or more things in it replaced, dropped, doubled or nested."""
    roll = rng.random()
    if roll < 0.08 and depth:
        return rng.choice(ODD_VALUES)
    if isinstance(value, dict) and value:
        out = dict(value)
        key = rng.choice(list(out))
        if roll < 0.2:
            del out[key]
        elif roll < 0.3:
            out[rng.choice(("", "\0", "model", "messages", "stream", "x" * 200))] = out[key]
        else:
            out[key] = spoil_json(rng, out[key], depth + 1)
        return out
    if isinstance(value, list) and value:
        out = list(value)
        at = rng.randrange(len(out))
        if roll < 0.2:
            del out[at]
        elif roll < 0.3:
            out *= rng.choice((2, 50))
        elif roll < 0.4:
            rng.shuffle(out)
        else:
            out[at] = spoil_json(rng, out[at], depth + 1)
        return out
    if roll < 0.3:
        nested = rng.choice(ODD_VALUES)
        for _ in range(rng.choice((1, 30, 1200 if depth < 2 else 30))):
            nested = [nested] if rng.random() < 0.5 else {"a": nested}
        return nested if depth < 8 else value
    return rng.choice(ODD_VALUES)


def spoil_bytes(rng, raw, times=1):
    """Flips, drops, doubles, inserts or moves bytes, more often in the first kilobyte."""
    data = bytearray(raw)
    for _ in range(times):
        if not data:
            break
        reach = len(data) if rng.random() < 0.3 else min(len(data), 1024)
        at = rng.randrange(reach)
        roll = rng.randrange(6)
        if roll == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif roll == 1:
            del data[at:at + rng.choice((1, 1, 2, 16))]
        elif roll == 2:
            data[at:at] = rng.choice(INSERTS)
        elif roll == 3:
            data[at:at] = data[at:at + rng.choice((1, 8, 64))]
        elif roll == 4:
            data[at] = rng.randrange(256)
        else:
            end = min(len(data), at + rng.choice((2, 20, 200)))
            piece = data[at:end]
            del data[at:end]
            to = rng.randrange(len(data) + 1)
            data[to:to] = piece
    return bytes(data)
