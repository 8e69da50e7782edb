"""A stand-in cloud on real TLS: strict about what it gets, faulty when a test says so.

It speaks the OpenAI side (chat, completions, embeddings, responses) or the Anthropic side
(messages, count_tokens), keeps every request it saw, and keeps a list of everything that a
careful cloud would have refused. Certificates are made by openssl when a test starts.
"""

import json
import socket
import ssl
import struct
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cloud_rules as rules
from wire import wait_until

TEXT = "I am the stand-in cloud and I answer what no local model could."


def make_certificate(folder):
    """An authority and a certificate of 127.0.0.1 signed by it. Returns (ca, cert, key)."""
    folder = Path(folder)

    def openssl(*args):
        done = subprocess.run(["openssl", *args], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"openssl {args[0]}: {done.stderr}")

    (folder / "leaf.ext").write_text(
        "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=Stand-in authority")
    openssl("req", *curve, "-keyout", "leaf.key", "-out", "leaf.csr",
            "-subj", "/CN=127.0.0.1")
    openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", "leaf.pem", "-days", "2", "-extfile", "leaf.ext")
    return folder / "ca.pem", folder / "leaf.pem", folder / "leaf.key"


class Seen:
    """A request as it arrived."""

    def __init__(self, method, path, headers, body):
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def header(self, name, default=None):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return default


class Fault:
    """What goes wrong, and how often. Kinds:

    status    answer with a status (and retry_after)
    close     reset before a byte of the answer
    headers   reset after status 200 and its headers
    cut       reset after n events of a stream (or half of a plain body)
    clean_cut as cut, but the body ends properly, as a proxy that gave up does
    stall     no byte of an answer until the test releases it or the client leaves
    stall_mid n events, then silence
    """

    def __init__(self, kind, status=500, retry_after=None, n=3, times=None):
        self.kind = kind
        self.status = status
        self.retry_after = retry_after
        self.n = n
        self.times = times


class Cloud:
    """The server. Use as a context manager, or close() it."""

    def __init__(self, folder, protocol="openai", key="sk-cloud-key", model=None, text=TEXT):
        self.protocol = protocol
        self.key = key
        self.model = model
        self.text = text
        self.replies = _REPLIES.get(protocol, {})
        self.allow = set()
        self.secrets = []
        self.requests = []
        self.violations = []
        self.left = 0
        self.release = threading.Event()
        self._fault = None
        self._lock = threading.Lock()
        self.ca_file, cert, private = make_certificate(folder)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self.tls.load_cert_chain(cert, private)
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.cloud = self
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever,
                                        kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(5)

    @property
    def root(self):
        return f"https://127.0.0.1:{self.port}"

    @property
    def base_url(self):
        return self.root + ("/v1" if self.protocol == "openai" else "")

    def section(self, **keys):
        """This cloud as a section of models.conf; its key is in the variable CLOUD_KEY."""
        out = {"CLOUD": self.protocol, "BASE_URL": self.base_url, "API_KEY_ENV": "CLOUD_KEY",
               "CA_FILE": self.ca_file, "MODEL": self.model or "*", "CTX_SIZE": 128000,
               "CAPS": "tools,vision"}
        out.update(keys)
        return out

    def fail(self, kind, **how):
        with self._lock:
            self._fault = Fault(kind, **how)
            self.release.clear()

    def heal(self):
        with self._lock:
            self._fault = None
        self.release.set()

    def take_fault(self):
        with self._lock:
            fault = self._fault
            if fault and fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._fault = None
            return fault

    def check_data(self, path, seen, data):
        """What is wrong with a body that arrived at a path which this cloud serves."""
        if self.protocol == "openai":
            return rules.check_openai(path[len("/v1"):], data, self.model, self.allow)
        return rules.check_anthropic(path, seen.headers, data, self.model, self.allow)

    def note(self, seen, wrong):
        with self._lock:
            self.requests.append(seen)
            self.violations.extend(f"{seen.method} {seen.path}: {text}" for text in wrong)

    def note_left(self):
        with self._lock:
            self.left += 1

    def posts(self, end=""):
        return [r for r in self.requests if r.method == "POST" and r.path.endswith(end)]

    def wait_posts(self, n, timeout=10.0):
        return wait_until(lambda: len(self.posts()) >= n and self.posts(), timeout,
                          f"{n} requests at the cloud")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A client that leaves is part of the tests, not news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def setup(self):
        # the handshake belongs to this connection's thread: a silent client must not stop
        # the others
        self.request.settimeout(self.timeout)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = self.server.cloud.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def log_message(self, *args):
        pass

    @property
    def cloud(self):
        return self.server.cloud

    # in

    def do_GET(self):
        seen = Seen("GET", self.path, list(self.headers.items()), b"")
        wrong = self._check_common(seen)
        self.cloud.note(seen, wrong)
        if wrong:
            return self._error(400, "; ".join(wrong))
        if self.path.split("?")[0] != "/v1/models":
            return self._error(404, "unknown path")
        model = self.cloud.model or "cloud-1"
        return self._json(200, {"object": "list", "data": [
            {"id": model, "object": "model", "type": "model", "created": 1,
             "owned_by": "cloud", "display_name": model,
             "created_at": "2026-01-01T00:00:00Z"}]})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        seen = Seen("POST", self.path, list(self.headers.items()), body)
        wrong = self._check_common(seen) + rules.check_body_headers(seen.headers, len(body))
        path = self.path.split("?")[0]
        try:
            data = rules.strict_json(body)
            if not isinstance(data, dict):
                raise ValueError("not an object")
        except ValueError as e:
            data, wrong = None, wrong + [f"the body is no JSON: {e}"]
        reply = self.cloud.replies.get(path)
        if reply and data is not None:
            wrong += self.cloud.check_data(path, seen, data)
        self.cloud.note(seen, wrong if reply else wrong + ["unknown path"])
        fault = self.cloud.take_fault()
        if fault and self._fail_early(fault, bool(data and data.get("stream"))):
            return
        if not reply:
            self._error(404, "unknown path")
        elif wrong:
            self._error(400, "; ".join(wrong))
        else:
            reply(self, data, fault)

    def _check_common(self, seen):
        cloud = self.cloud
        # Anthropic's later version takes its key as OpenAI does; the first one, by x-api-key
        version = seen.header("anthropic-version", rules.FIRST_VERSION)
        bearer = cloud.protocol == "openai" or version != rules.FIRST_VERSION
        auth = (("authorization", f"Bearer {cloud.key}") if bearer
                else ("x-api-key", cloud.key))
        return rules.check_headers(seen.headers, host=f"127.0.0.1:{cloud.port}", auth=auth,
                                   secrets=cloud.secrets, body=seen.body)

    # faults

    def _fail_early(self, fault, streaming):
        if fault.kind == "status":
            extra = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            self._error(fault.status, f"the cloud is told to say {fault.status}", extra)
            return True
        if fault.kind == "close":
            self._reset()
            return True
        if fault.kind == "headers":
            if streaming:
                self._start_stream()
            else:
                self._start_plain(1000)
            self._reset()
            return True
        if fault.kind == "stall":
            self._stall()
            self._reset()
            return True
        return False

    def _reset(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   struct.pack("ii", 1, 0))
        self.connection.close()

    def _stall(self):
        """Says nothing until released; counts it when the client leaves first."""
        self.connection.settimeout(0.02)
        while not self.cloud.release.is_set():
            try:
                if self.connection.recv(1) == b"":
                    self.cloud.note_left()
                    return
            except (TimeoutError, ssl.SSLWantReadError):
                continue
            except OSError:
                self.cloud.note_left()
                return

    # out

    def _json(self, status, value, extra=None):
        data = json.dumps(value).encode()
        self.send_response(status)
        for key, text in (extra or {}).items():
            self.send_header(key, str(text))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("request-id", "req_cloud_1")
        self.end_headers()
        self.wfile.write(data)

    def _error(self, status, text, extra=None):
        if self.cloud.protocol == "openai":
            kind = {429: "rate_limit_error", 400: "invalid_request_error"}.get(
                status, "server_error")
            value = {"error": {"message": text, "type": kind, "param": None, "code": None}}
        else:
            kind = {429: "rate_limit_error", 400: "invalid_request_error",
                    404: "not_found_error", 529: "overloaded_error"}.get(status, "api_error")
            value = {"type": "error", "error": {"type": kind, "message": text},
                     "request_id": "req_cloud_1"}
        self._json(status, value, extra)

    def _start_plain(self, length):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _start_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def answer(self, value, fault):
        """A plain answer, cut in half if so told."""
        if fault and fault.kind in ("cut", "stall_mid"):
            data = json.dumps(value).encode()
            self._start_plain(len(data))
            self.wfile.write(data[:len(data) // 2])
            if fault.kind == "stall_mid":
                self._stall()
            return self._reset()
        return self._json(200, value)

    def stream(self, events, fault):
        """events: (name, value) pairs, or (None, "[DONE]")."""
        self._start_stream()
        for n, (name, value) in enumerate(events):
            if fault and fault.kind in ("cut", "clean_cut", "stall_mid") and n == fault.n:
                if fault.kind == "stall_mid":
                    self._stall()
                if fault.kind == "clean_cut":
                    break
                return self._reset()
            data = value if isinstance(value, str) else json.dumps(value)
            head = f"event: {name}\n" if name else ""
            self._chunk(f"{head}data: {data}\n\n".encode())
        self.wfile.write(b"0\r\n\r\n")
        return None


def _pieces(text):
    words = text.split(" ")
    return [word + (" " if n < len(words) - 1 else "") for n, word in enumerate(words)]


def _usage(openai):
    if openai:
        return {"prompt_tokens": 11, "completion_tokens": 14, "total_tokens": 25}
    return {"input_tokens": 11, "output_tokens": 14}


def _chat(h, body, fault):
    base = {"id": "chatcmpl-cloud", "created": 1, "model": body["model"]}
    if not body.get("stream"):
        message = {"role": "assistant", "content": h.cloud.text}
        return h.answer({**base, "object": "chat.completion", "usage": _usage(True),
                         "choices": [{"index": 0, "message": message,
                                      "finish_reason": "stop"}]}, fault)

    def chunk(delta, finish=None):
        return None, {**base, "object": "chat.completion.chunk", "choices": [
            {"index": 0, "delta": delta, "finish_reason": finish}]}

    events = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"content": piece}) for piece in _pieces(h.cloud.text)]
    events.append(chunk({}, "stop"))
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append((None, {**base, "object": "chat.completion.chunk", "choices": [],
                              "usage": _usage(True)}))
    return h.stream(events + [(None, "[DONE]")], fault)


def _completion(h, body, fault):
    base = {"id": "cmpl-cloud", "object": "text_completion", "created": 1,
            "model": body["model"]}
    if not body.get("stream"):
        return h.answer({**base, "usage": _usage(True), "choices": [
            {"index": 0, "text": h.cloud.text, "finish_reason": "stop"}]}, fault)
    events = [(None, {**base, "choices": [{"index": 0, "text": piece,
                                           "finish_reason": None}]})
              for piece in _pieces(h.cloud.text)]
    events.append((None, {**base, "choices": [{"index": 0, "text": "",
                                               "finish_reason": "stop"}]}))
    return h.stream(events + [(None, "[DONE]")], fault)


def _embedding(h, body, fault):
    many = body["input"] if isinstance(body["input"], list) else [body["input"]]
    return h.answer({"object": "list", "model": body["model"],
                     "data": [{"object": "embedding", "index": n, "embedding": [0.5, -0.5]}
                              for n in range(len(many))],
                     "usage": {"prompt_tokens": 3, "total_tokens": 3}}, fault)


def _response(h, body, fault):
    part = {"type": "output_text", "text": h.cloud.text, "annotations": []}
    item = {"id": "msg_cloud", "type": "message", "role": "assistant",
            "status": "completed", "content": [part]}
    empty = {"id": "resp_cloud", "object": "response", "created_at": 1,
             "model": body["model"], "status": "in_progress", "output": []}
    whole = {**empty, "status": "completed", "output": [item], "usage": {
        "input_tokens": 11, "output_tokens": 14, "total_tokens": 25,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0}}}
    if not body.get("stream"):
        return h.answer(whole, fault)
    at = {"item_id": "msg_cloud", "output_index": 0, "content_index": 0}
    steps = [("response.created", {"response": empty}),
             ("response.in_progress", {"response": empty}),
             ("response.output_item.added", {"output_index": 0, "item": {
                 **item, "status": "in_progress", "content": []}}),
             ("response.content_part.added", {**at, "part": {**part, "text": ""}})]
    steps += [("response.output_text.delta", {**at, "delta": piece})
              for piece in _pieces(h.cloud.text)]
    steps += [("response.output_text.done", {**at, "text": h.cloud.text}),
              ("response.content_part.done", {**at, "part": part}),
              ("response.output_item.done", {"output_index": 0, "item": item}),
              ("response.completed", {"response": whole})]
    events = [(name, {"type": name, "sequence_number": n, **value})
              for n, (name, value) in enumerate(steps)]
    return h.stream(events, fault)


def _message(h, body, fault):
    whole = {"id": "msg_cloud", "type": "message", "role": "assistant",
             "model": body["model"], "content": [{"type": "text", "text": h.cloud.text}],
             "stop_reason": "end_turn", "stop_sequence": None, "usage": _usage(False)}
    if not body.get("stream"):
        return h.answer(whole, fault)
    start = {**whole, "content": [], "stop_reason": None,
             "usage": {"input_tokens": 11, "output_tokens": 1}}
    steps = [("message_start", {"message": start}),
             ("content_block_start", {"index": 0,
                                      "content_block": {"type": "text", "text": ""}}),
             ("ping", {})]
    steps += [("content_block_delta", {"index": 0, "delta": {"type": "text_delta",
                                                             "text": piece}})
              for piece in _pieces(h.cloud.text)]
    steps += [("content_block_stop", {"index": 0}),
              ("message_delta", {"delta": {"stop_reason": "end_turn", "stop_sequence": None},
                                 "usage": {"output_tokens": 14}}),
              ("message_stop", {})]
    return h.stream([(name, {"type": name, **value}) for name, value in steps], fault)


def _count(h, body, fault):
    return h.answer({"input_tokens": 11}, fault)


_REPLIES = {
    "openai": {"/v1/chat/completions": _chat, "/v1/completions": _completion,
               "/v1/embeddings": _embedding, "/v1/responses": _response},
    "anthropic": {"/v1/messages": _message, "/v1/messages/count_tokens": _count}}
