"""Requests through the gateway to a local model, in each protocol, whole and streamed."""

import json

import pytest
from harness import auto_route, free_port, profile, raw
from speak import (CHAT, COMPLETIONS, MESSAGES, PATHS, PROTOCOLS, RESPONSES, VERSION, ask,
                   error_of, headers_of, is_success_end, streamed_text, text_of)

HEADERS = ("request", "route", "target", "reason", "attempts", "overhead-us")
MAX_BODY = 1 << 20


@pytest.fixture(scope="module")
def gw(make_module_gateway):
    cloud = {"CLOUD": "openai", "BASE_URL": f"https://127.0.0.1:{free_port()}/v1",
             "API_KEY_ENV": "CLOUD_KEY", "MODEL": "*", "CTX_SIZE": 128000}
    return make_module_gateway(
        {"demo-chat": profile("demo-chat"), "demo-coder": profile("demo-coder"),
         "cloud": cloud},
        {"00-gateway.conf": {"gateway": {"MAX_BODY": MAX_BODY >> 20}},
         "20-auto.conf": auto_route("demo-chat,demo-coder,cloud")},
        manager={"RAM": 1000}, env={"CLOUD_KEY": "sk-cloud-key"})


def check_headers(reply):
    for name in HEADERS:
        assert reply.header(f"x-pointsman-{name}") is not None, (name, reply.headers)
    assert int(reply.header("x-pointsman-overhead-us")) >= 0
    assert int(reply.header("x-pointsman-attempts")) >= 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_whole_answer(gw, protocol):
    reply = gw.post(PATHS[protocol], ask(protocol, "Hello, who are you?"),
                    headers_of(protocol))
    assert reply.status == 200, reply
    assert reply.complete
    assert reply.header("content-type").startswith("application/json")
    assert text_of(protocol, reply.json).startswith("I am demo-chat")
    assert reply.header("x-pointsman-target") == "demo-chat"
    # the route's id is its file's name without the number
    assert reply.header("x-pointsman-route") == "auto"
    assert reply.header("x-pointsman-attempts") == "1"
    check_headers(reply)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_streamed_answer(gw, protocol):
    body = ask(protocol, "Hello, who are you?", stream=True)
    with gw.open("POST", PATHS[protocol], body, headers_of(protocol)) as exchange:
        exchange.head()
        assert exchange.status == 200
        assert exchange.header("content-type").startswith("text/event-stream")
        check_headers(exchange)
        events = list(exchange.events())
        assert exchange.complete
    assert streamed_text(protocol, events).startswith("I am demo-chat")
    ends = [n for n, event in enumerate(events) if is_success_end(protocol, event)]
    assert ends, events[-3:]
    if protocol == CHAT:
        assert events[-1].done
    else:
        assert ends == [len(events) - 1]
        assert all(event.name == event.json["type"] for event in events)


def test_responses_events_are_numbered(gw):
    reply = gw.post(PATHS[RESPONSES], ask(RESPONSES, "Hello", stream=True))
    numbers = [event.json.get("sequence_number") for event in reply.events]
    assert numbers == list(range(len(numbers)))


def test_stream_comes_piece_by_piece(gw):
    body = ask(CHAT, "Hello, who are you?", stream=True, limit=400, ignore_eos=True)
    with gw.open("POST", PATHS[CHAT], body) as exchange:
        pieces = list(exchange.pieces())
    assert len(pieces) > 20


@pytest.mark.parametrize("stream", [False, True])
def test_completions(gw, stream):
    # a completion has no chat template: the prompt brings the demo models' own marks
    body = ask(COMPLETIONS, "<|user|>Hello<|end|><|assistant|>", model="demo-chat",
               stream=stream, limit=90)
    reply = gw.post("/v1/completions", body)
    assert reply.status == 200, reply
    if stream:
        assert reply.events[-1].done
        text = streamed_text(COMPLETIONS, reply.events)
    else:
        text = text_of(COMPLETIONS, reply.json)
    assert text.startswith("I am demo-chat")


def test_count_tokens(gw):
    few = gw.post("/v1/messages/count_tokens", {"model": "auto", "messages": [
        {"role": "user", "content": "Hello"}]}, VERSION)
    many = gw.post("/v1/messages/count_tokens", {"model": "auto", "tools": [], "messages": [
        {"role": "user", "content": "Hello " * 200}]}, VERSION)
    assert few.status == many.status == 200, (few, many)
    assert 0 < few.json["input_tokens"] < many.json["input_tokens"]
    check_headers(few)


@pytest.mark.parametrize("path,body,key", [
    ("/tokenize", {"content": "hello"}, "tokens"),
    ("/detokenize", {"tokens": [20, 30]}, "content"),
    ("/completion", {"prompt": "hi", "n_predict": 4}, "content"),
    ("/apply-template", {"messages": [{"role": "user", "content": "hi"}]}, "prompt")])
def test_native_paths(gw, path, body, key):
    reply = gw.post(path, {"model": "demo-chat", **body})
    assert reply.status == 200, reply
    assert key in reply.json
    assert reply.header("x-pointsman-target") == "demo-chat"


def test_native_error_comes_through(gw):
    """The demo models have no infill tokens: the server's own 501 must arrive."""
    reply = gw.post("/infill", {"model": "demo-chat", "input_prefix": "a",
                                "input_suffix": "b"})
    assert reply.status == 501, reply
    assert "nfill" in error_of(CHAT, reply)


@pytest.mark.parametrize("name", ["demo-chat", "demo-coder"])
def test_props_of_a_model(gw, name):
    assert gw.chat("hi", model=name).status == 200
    reply = gw.get(f"/props?model={name}")
    assert reply.status == 200, reply
    assert f"{name}.gguf" in reply.json["model_path"]


def context_of(entry):
    meta = entry.get("meta") or {}
    for value in (entry.get("context_length"), entry.get("context_window"),
                  entry.get("max_model_len"), meta.get("n_ctx")):
        if value:
            return value
    return None


def test_models_list(gw):
    reply = gw.get("/v1/models?limit=1000")
    assert reply.status == 200, reply
    value = reply.json
    assert value["object"] == "list"
    entries = {entry["id"]: entry for entry in value["data"]}
    assert {"demo-chat", "demo-coder", "cloud", "auto"} <= set(entries)
    for entry in entries.values():
        assert entry["object"] == "model" and entry["type"] == "model", entry
        assert isinstance(entry["created"], int), entry
        assert "capabilities" in entry, entry
        assert entry["display_name"] and entry["created_at"] and entry["owned_by"], entry
    assert context_of(entries["demo-chat"]) == 8192
    assert context_of(entries["cloud"]) == 128000
    assert value["has_more"] is False
    assert {value["first_id"], value["last_id"]} <= set(entries)


def test_one_model(gw):
    assert gw.get("/v1/models/demo-coder").json["id"] == "demo-coder"
    assert gw.get("/v1/models/demo%2Dcoder").json["id"] == "demo-coder"
    missing = gw.get("/v1/models/org%2Fno-such")
    assert missing.status == 404
    assert "org/no-such" in error_of(CHAT, missing)


@pytest.mark.parametrize("prefix", ["/v1", "", "/v1/v1"])
@pytest.mark.parametrize("protocol", [CHAT, MESSAGES, RESPONSES, COMPLETIONS])
def test_prefixes(gw, prefix, protocol):
    path = prefix + PATHS[protocol][len("/v1"):] + "?beta=true"
    reply = gw.post(path, ask(protocol, "hi", model="demo-chat", limit=4),
                    headers_of(protocol))
    assert reply.status == 200, reply
    assert gw.get(f"{prefix}/models").status == 200


@pytest.mark.parametrize("path", ["/", "/api/hello"])
def test_head_probes(gw, path):
    reply = gw.request("HEAD", path)
    assert reply.status == 200, reply
    assert reply.body == b""


def test_health(gw):
    assert gw.get("/health").status == 200
    assert gw.get("/v1/health").status == 200


def test_websocket_is_refused_with_426(gw):
    reply = gw.request("GET", "/v1/responses", headers={
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    assert reply.status == 426, reply
    check_headers(reply)


def test_unknown_path(gw):
    reply = gw.post("/v1/no/such/path", {"model": "auto"})
    assert reply.status == 404
    error_of(CHAT, reply)
    check_headers(reply)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_wrong_method(gw, path):
    reply = gw.get(path)
    assert reply.status == 405
    assert "POST" in reply.header("allow")
    error_of(MESSAGES if path.endswith("messages") else CHAT, reply)
    check_headers(reply)


BAD = {
    "no JSON": b'{"model": ',
    "not an object": b"[1, 2]",
    "nothing": b"",
    "two values": b'{"model":"auto","messages":[{"role":"user","content":"a"}]} {}',
    "messages is a text": b'{"model":"auto","messages":"hello"}',
    "messages has numbers": b'{"model":"auto","messages":[1]}',
    "no messages": b'{"model":"auto"}',
    "empty messages": b'{"model":"auto","messages":[]}',
    "model is a number": b'{"model":5,"messages":[{"role":"user","content":"a"}]}',
    "stream is a text":
        b'{"model":"auto","stream":"yes","messages":[{"role":"user","content":"a"}]}',
    "invalid UTF-8":
        b'{"model":"auto","messages":[{"role":"user","content":"\xff\xfe"}]}',
    "too deep": b'{"model":"auto","messages":' + b"[" * 5000 + b"]" * 5000 + b"}"}


@pytest.mark.parametrize("what", sorted(BAD))
@pytest.mark.parametrize("protocol", [CHAT, MESSAGES])
def test_bad_bodies(gw, protocol, what):
    before = gw.worker_pids()
    reply = gw.post(PATHS[protocol], BAD[what], headers_of(protocol))
    assert reply.status == 400, reply
    assert error_of(protocol, reply)
    if protocol == MESSAGES:
        assert reply.json["error"]["type"] == "invalid_request_error"
    check_headers(reply)
    assert gw.worker_pids() == before


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_unknown_model_names_the_nearest(gw, protocol):
    reply = gw.post(PATHS[protocol], ask(protocol, "hi", model="demo-chta"),
                    headers_of(protocol))
    assert reply.status == 404, reply
    message = error_of(protocol, reply)
    assert "demo-chta" in message and "demo-chat" in message
    check_headers(reply)


@pytest.mark.parametrize("protocol", [CHAT, MESSAGES])
def test_too_large(gw, protocol):
    body = ask(protocol, "x" * (MAX_BODY + 1000))
    reply = gw.post(PATHS[protocol], body, headers_of(protocol))
    assert reply.status == 413, reply
    error_of(protocol, reply)
    if protocol == MESSAGES:
        assert reply.json["error"]["type"] == "request_too_large"


def test_too_large_is_refused_before_it_is_sent(gw):
    """The length alone is enough: nobody has to send a gigabyte to hear no."""
    reply = raw(gw.address, b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
                b"Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n")
    assert reply.status == 413, reply


def test_context_overflow_in_the_words_of_each_protocol(gw):
    long = "word and word " * 6000
    chat = gw.post(PATHS[CHAT], ask(CHAT, long, model="demo-chat"))
    assert chat.status == 400, chat
    assert "context" in error_of(CHAT, chat)
    message = gw.post(PATHS[MESSAGES], ask(MESSAGES, long, model="demo-chat"), VERSION)
    assert message.status == 400, message
    assert "prompt is too long" in error_of(MESSAGES, message)
    assert message.json["error"]["type"] == "invalid_request_error"


def test_unknown_fields_and_the_developer_role_are_taken(gw):
    body = {"model": "gpt-6.1-sol", "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Who are you?"}]}],
        "store": False, "client_metadata": {"a": 1}, "prompt_cache_key": "k"}
    reply = gw.post(PATHS[CHAT], body, {"x-api-key": "sk-any"})
    assert reply.status == 200, reply
    assert text_of(CHAT, reply.json).startswith("I am demo-chat")


def test_keep_alive_and_pipelined_order(gw):
    body = json.dumps(ask(CHAT, "hi", model="demo-chat", limit=2)).encode()
    one = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json"
           b"\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    with gw.open("GET", "/v1/models") as exchange:
        assert exchange.read().status == 200
        exchange.sock.sendall(one + b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        for want in ("choices", "status"):
            exchange.status, exchange.complete = None, False
            reply = exchange.read()
            assert reply.status == 200 and want in reply.text, reply


def test_request_ids_differ(gw):
    ids = {gw.get("/v1/models").header("x-pointsman-request") for _ in range(5)}
    assert len(ids) == 5
