"""Cloud models over real TLS: what they receive, and what happens when they fail."""

import pytest
from harness import Truncated, auto_route, profile, wait_until
from speak import (CHAT, MESSAGES, PATHS, RESPONSES, ask, error_of, headers_of,
                   is_failure_end, is_success_end, streamed_text, text_of)

CLOUD_TEXT = "I am the stand-in cloud"
KEY = {"CLOUD_KEY": "sk-cloud-key"}
SECRETS = {"Authorization": "Bearer sk-client-one", "x-api-key": "sk-client-two",
           "Cookie": "session=sk-client-three"}
CASES = [("openai", CHAT), ("openai", RESPONSES), ("anthropic", MESSAGES)]


@pytest.fixture
def setup(make_gateway, make_cloud):
    """A gateway with one cloud, by default in front of demo-chat; returns both."""
    def make(protocol="openai", targets="cloud", fallback=None, models=None, cloud=None,
             **keys):
        cloud = cloud or make_cloud(protocol, model="cloud-1")
        cloud.secrets += [value.split()[-1].split("=")[-1] for value in SECRETS.values()]
        sections = {"demo-chat": profile("demo-chat", CAPS="tools"),
                    "cloud": cloud.section(**keys), **(models or {})}
        gw = make_gateway(sections, {"20-auto.conf": auto_route(targets, fallback)}, env=KEY)
        return gw, cloud
    return make


def send(gw, protocol, text="Hello", stream=False, headers=None, **more):
    body = ask(protocol, text, stream=stream, **more)
    return gw.post(PATHS[protocol], body, {**headers_of(protocol), **(headers or {})})


def answer_of(protocol, reply, stream):
    if stream:
        return streamed_text(protocol, reply.events)
    return text_of(protocol, reply.json)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind,protocol", CASES)
def test_cloud_answers(setup, kind, protocol, stream):
    gw, cloud = setup(kind)
    reply = send(gw, protocol, stream=stream, headers=SECRETS)
    assert reply.status == 200, reply
    assert reply.complete
    assert answer_of(protocol, reply, stream).startswith(CLOUD_TEXT)
    assert reply.header("x-pointsman-target") == "cloud"
    assert len(cloud.requests) == 1


@pytest.mark.parametrize("kind,protocol", CASES)
def test_body_passes_byte_for_byte(setup, kind, protocol):
    """Only the model's name is exchanged: order, blanks and unknown fields stay."""
    gw, cloud = setup(kind)
    cloud.allow.add("x_new_field")
    field = {CHAT: '"messages" : [ {"content":"h\\u00e9llo \\/ w\\u00f6rld", "role":"user"} ]',
             MESSAGES: '"messages" : [ {"content":"h\\u00e9llo", "role":"user"} ],'
                       '"max_tokens":  77',
             RESPONSES: '"input" :"h\\u00e9llo"'}[protocol]
    sent = ('{\n\t"x_new_field":{"b":1.50,"a":[1e3, 12345678901234567890]}, %s ,\r\n'
            '  "model" :\t"auto"  }\n' % field).encode()
    reply = gw.post(PATHS[protocol], sent, headers_of(protocol))
    assert reply.status == 200, reply
    assert cloud.posts()[0].body.strip() == sent.replace(b'"auto"', b'"cloud-1"').strip()


def test_the_callers_model_name_passes_when_none_is_set(setup, make_cloud):
    gw, cloud = setup(cloud=make_cloud("openai"))
    reply = send(gw, CHAT, model="gpt-9-large")
    assert reply.status == 200, reply
    assert cloud.posts()[0].json["model"] == "gpt-9-large"


def test_stream_passes_byte_for_byte(setup):
    gw, cloud = setup()
    reply = send(gw, CHAT, stream=True)
    # json.dumps of the stand-in puts blanks where no serializer of ours does
    assert b'data: {"id": "chatcmpl-cloud", "created": 1, "model": "cloud-1"' in reply.body
    assert reply.body.endswith(b"data: [DONE]\n\n")


def test_anthropic_headers_are_forwarded(setup):
    gw, cloud = setup("anthropic")
    for version in ("2023-06-01", "2026-10-21"):
        reply = send(gw, MESSAGES, headers={"anthropic-version": version,
                                            "anthropic-beta": "one-2026,two-2026"})
        assert reply.status == 200, reply
        assert cloud.posts()[-1].header("anthropic-version") == version
        assert cloud.posts()[-1].header("anthropic-beta") == "one-2026,two-2026"


def test_count_tokens_at_the_cloud(setup):
    gw, cloud = setup("anthropic")
    reply = gw.post("/v1/messages/count_tokens?beta=true", {
        "model": "auto", "messages": [{"role": "user", "content": "Hello"}]},
        headers_of(MESSAGES))
    assert reply.status == 200, reply
    assert reply.json == {"input_tokens": 11}


def test_hop_by_hop_headers_stay_here(setup):
    gw, cloud = setup()
    reply = send(gw, CHAT, headers={
        "Connection": "keep-alive, x-private", "x-private": "1", "Keep-Alive": "timeout=5",
        "TE": "trailers", "Proxy-Authorization": "Basic c2s=", "X-Pointsman-Route": "other",
        "Accept-Encoding": "gzip, br, zstd"})
    assert reply.status == 200, reply
    assert cloud.posts()[0].header("x-private") is None


@pytest.mark.parametrize("how", ["missing", "broken"])
def test_cloud_takes_over_when_the_model_file_is(setup, tmp_path, how):
    path = tmp_path / "broken.gguf"
    if how == "broken":
        path.write_bytes(b"GGUF" + b"\0" * 4000)
    gw, cloud = setup(targets="broken", fallback="cloud",
                      models={"broken": profile("demo-chat", MODEL=path)})
    for _ in range(2):
        reply = send(gw, CHAT)
        assert reply.status == 200, reply
        assert reply.header("x-pointsman-target") == "cloud"
    entry = gw.profile("broken")
    assert entry["state"] in ("failed", "off")
    assert entry["reason"]


def test_cloud_takes_over_when_the_local_one_is_vetoed(setup):
    gw, cloud = setup(targets="demo-chat", fallback="cloud")
    image = "data:image/png;base64,iVBORw0KGgo="
    body = {"model": "auto", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": image}}]}]}
    reply = gw.post(PATHS[CHAT], body)
    assert reply.status == 200, reply
    assert reply.header("x-pointsman-target") == "cloud"
    trace = gw.post("/v1/route", body).json
    assert [v["target"] for v in trace["vetoes"]] == ["demo-chat"]
    assert "vision" in trace["vetoes"][0]["reason"] or "image" in trace["vetoes"][0]["reason"]
    # a prompt that no local context holds
    reply = send(gw, CHAT, "many words " * 20000)
    assert reply.header("x-pointsman-target") == "cloud"
    assert send(gw, CHAT).header("x-pointsman-target") == "demo-chat"


def test_local_only_never_leaves(make_gateway, make_cloud):
    cloud = make_cloud("openai", model="cloud-1")
    gw = make_gateway(
        {"demo-chat": profile("demo-chat", MODEL="/no/such.gguf"), "cloud": cloud.section()},
        {"20-auto.conf": auto_route("demo-chat,cloud", LOCAL_ONLY="yes")}, env=KEY)
    reply = send(gw, CHAT)
    assert reply.status >= 500, reply
    assert cloud.requests == []


FAULTS = {"500": {"kind": "status", "status": 500}, "503": {"kind": "status", "status": 503},
          "429": {"kind": "status", "status": 429, "retry_after": 30},
          "529": {"kind": "status", "status": 529},
          "close": {"kind": "close"}, "headers": {"kind": "headers"}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("kind,protocol", CASES)
def test_fallback_before_the_first_content(setup, kind, protocol, fault, stream):
    gw, cloud = setup(kind, fallback="demo-chat")
    cloud.fail(**FAULTS[fault])
    reply = send(gw, protocol, stream=stream)
    assert reply.status == 200, reply
    assert reply.complete
    assert answer_of(protocol, reply, stream).startswith("I am demo-chat")
    assert int(reply.header("x-pointsman-attempts")) >= 2
    assert reply.header("x-pointsman-target") == "demo-chat"


@pytest.mark.parametrize("kind,protocol,n", [
    ("openai", CHAT, 1), ("openai", RESPONSES, 2), ("anthropic", MESSAGES, 1)])
def test_lifecycle_events_are_no_content(setup, kind, protocol, n):
    """A stream that broke off after its opening events can still be another target's."""
    gw, cloud = setup(kind, fallback="demo-chat")
    cloud.fail("cut", n=n)
    reply = send(gw, protocol, stream=True)
    assert reply.status == 200 and reply.complete, reply
    assert streamed_text(protocol, reply.events).startswith("I am demo-chat")
    assert "cloud-1" not in reply.text


@pytest.mark.parametrize("fault", ["500", "close"])
def test_one_retry_at_the_same_target(setup, fault):
    gw, cloud = setup()
    cloud.fail(**FAULTS[fault], times=1)
    reply = send(gw, CHAT)
    assert reply.status == 200, reply
    assert text_of(CHAT, reply.json).startswith(CLOUD_TEXT)
    assert reply.header("x-pointsman-attempts") == "2"
    assert len(cloud.posts()) == 2


def test_short_retry_after_is_honoured(setup):
    gw, cloud = setup()
    cloud.fail("status", status=429, retry_after=1, times=1)
    reply = send(gw, CHAT)
    assert reply.status == 200, reply
    assert len(cloud.posts()) == 2


@pytest.mark.parametrize("kind,protocol", CASES)
def test_when_nobody_can_answer(setup, kind, protocol):
    gw, cloud = setup(kind)
    cloud.fail("status", status=503)
    reply = send(gw, protocol)
    assert reply.status in (502, 503, 529), reply
    error_of(protocol, reply)
    assert int(reply.header("retry-after")) >= 1
    cloud.fail("status", status=429, retry_after=17)
    reply = send(gw, protocol)
    assert reply.status in (429, 503), reply
    assert int(reply.header("retry-after")) >= 1


def test_a_refusal_of_the_cloud_is_the_answer(setup, make_cloud):
    """A 400 is the caller's own fault: it is not tried elsewhere."""
    gw, cloud = setup(fallback="demo-chat")
    reply = send(gw, CHAT, no_such_field=1)
    assert reply.status == 400, reply
    assert "no_such_field" in error_of(CHAT, reply)
    assert len(cloud.posts()) == 1
    assert cloud.violations and all("no_such_field" in v for v in cloud.violations)
    cloud.violations.clear()


def read_cut(gw, protocol):
    """The events that came, and whether the body ended as a complete one does."""
    events = []
    body = ask(protocol, "Hello", stream=True)
    with gw.open("POST", PATHS[protocol], body, headers_of(protocol)) as exchange:
        exchange.head()
        assert exchange.status == 200
        try:
            for event in exchange.events():
                events.append(event)
        except Truncated:
            pass
        return events, exchange.complete


@pytest.mark.parametrize("fault", ["cut", "clean_cut"])
@pytest.mark.parametrize("kind,protocol", CASES)
def test_a_cut_after_content_is_no_complete_answer(setup, kind, protocol, fault):
    gw, cloud = setup(kind)
    cloud.fail(fault, n=8)
    events, complete = read_cut(gw, protocol)
    assert streamed_text(protocol, events)
    assert not [e for e in events if is_success_end(protocol, e)], events[-2:]
    if protocol == CHAT:
        assert not complete
        assert not [e for e in events if is_failure_end(protocol, e)]
    else:
        assert is_failure_end(protocol, events[-1]), events[-1]
        assert events[-1].name == ("error" if protocol == MESSAGES else "response.failed")


@pytest.mark.parametrize("kind,protocol", CASES)
def test_a_stream_that_falls_silent_after_content(setup, kind, protocol):
    gw, cloud = setup(kind, TIMEOUT_IDLE="1s")
    cloud.fail("stall_mid", n=8)
    events, complete = read_cut(gw, protocol)
    assert not [e for e in events if is_success_end(protocol, e)]
    assert not complete or is_failure_end(protocol, events[-1])
    wait_until(lambda: cloud.left == 1, 5, "the gateway to leave the cloud")


@pytest.mark.parametrize("kind,protocol", CASES)
def test_half_of_a_plain_body_is_no_answer(setup, kind, protocol):
    gw, cloud = setup(kind)
    cloud.fail("cut")
    reply = send(gw, protocol)
    assert reply.status != 200 or not reply.complete, reply
    if reply.complete:
        assert reply.status in (500, 502, 503, 529)
        error_of(protocol, reply)


@pytest.mark.parametrize("kind,protocol", CASES)
def test_a_silent_cloud_is_left_for_the_next(setup, kind, protocol):
    gw, cloud = setup(kind, fallback="demo-chat", TIMEOUT_FIRST_TOKEN="1s")
    cloud.fail("stall")
    reply = send(gw, protocol)
    assert reply.status == 200, reply
    assert text_of(protocol, reply.json).startswith("I am demo-chat")
    # a silent target is never asked twice
    assert len(cloud.posts()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_the_cloud(setup, stream):
    gw, cloud = setup()
    cloud.fail("stall")
    with gw.open("POST", PATHS[CHAT], ask(CHAT, "Hello", stream=stream)) as exchange:
        cloud.wait_posts(1)
        exchange.reset()
    wait_until(lambda: cloud.left == 1, 1, "the gateway to leave the cloud")


@pytest.mark.parametrize("path,body", [
    ("/v1/embeddings", {"model": "auto", "input": "Hello"}),
    ("/v1/completions", {"model": "auto", "prompt": "Hello"})])
def test_what_no_other_protocol_can_say_is_vetoed(setup, path, body):
    gw, cloud = setup("anthropic")
    reply = gw.post(path, body)
    assert reply.status == 400, reply
    assert "cloud" in error_of(CHAT, reply)
    assert cloud.requests == []


def test_a_certificate_nobody_vouches_for(setup):
    gw, cloud = setup(CA_FILE=None)
    reply = send(gw, CHAT)
    assert reply.status in (502, 503), reply
    assert cloud.requests == []


def test_a_key_that_is_not_there(make_gateway, make_cloud):
    cloud = make_cloud("openai", model="cloud-1")
    env = {"CLOUD_KEY": ""}
    gw = make_gateway({"cloud": cloud.section(), "demo-chat": profile("demo-chat")},
                      {"20-auto.conf": auto_route("cloud", "demo-chat")}, env=env)
    reply = send(gw, CHAT)
    assert reply.status == 200, reply
    assert reply.header("x-pointsman-target") == "demo-chat"
    assert cloud.requests == []


def test_breaker_opens_after_repeated_failure(setup):
    gw, cloud = setup(fallback="demo-chat")
    cloud.fail("status", status=500)
    for _ in range(8):
        assert send(gw, CHAT).header("x-pointsman-target") == "demo-chat"
    asked = len(cloud.posts())
    assert send(gw, CHAT).header("x-pointsman-target") == "demo-chat"
    assert len(cloud.posts()) == asked
