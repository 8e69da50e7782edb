"""GET /models/sse: what becomes of the models, as it happens, in the router mode's shape."""

import json

from harness import auto_route, profile
from waits import Gate


def following(gw):
    stream = gw.open("GET", "/models/sse")
    stream.head()
    assert stream.status == 200 and stream.header("content-type") == "text/event-stream"
    return stream, (json.loads(event.data) for event in stream.events())


def until(events, model, status):
    """What is told of that model, up to that status."""
    seen = []
    for event in events:
        assert set(event) == {"model", "event", "data"} and event["event"] == "model_status"
        if event["model"] == model:
            seen.append(event["data"])
            if event["data"]["status"] == status:
                return seen
    raise AssertionError(f"the stream ended before {model} was {status}: {seen}")


def test_a_load_is_told_as_it_goes(make_gateway, tmp_path):
    gate = Gate(tmp_path)
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=gate.server),
                       "demo-coder": profile("demo-coder")},
                      {"20-auto.conf": auto_route("demo-chat,demo-coder")}, manager={"RAM": 300})
    stream, events = following(gw)
    with stream:
        assert until(events, "demo-chat", "unloaded")[-1]["state"] == "off"
        gw.cli("switch", "demo-chat")
        loading = until(events, "demo-chat", "loading")[-1]
        assert loading["progress"]["stages"] == ["text_model"]
        assert 0 <= loading["progress"]["value"] <= 1
        gate.say("go")
        until(events, "demo-chat", "loaded")
        gw.cli("switch", "demo-coder")
        until(events, "demo-chat", "unloaded")
        until(events, "demo-coder", "loaded")


def test_a_failure_has_its_reason(make_gateway, tmp_path):
    gate = Gate(tmp_path)
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=gate.server)})
    stream, events = following(gw)
    with stream:
        gw.cli("switch", "demo-chat")
        until(events, "demo-chat", "loading")
        gate.say("fail")
        failed = until(events, "demo-chat", "unloaded")[-1]
        assert failed["failed"] and "told to fail" in failed["reason"]


def test_a_new_configuration_ends_it(make_gateway):
    """A worker that is to leave must not be held by a listener."""
    gw = make_gateway({"demo-chat": profile("demo-chat")})
    old = gw.worker_pids()
    stream, events = following(gw)
    with stream:
        next(events)
        gw.write_models({"demo-chat": profile("demo-chat", NAME="Another name")})
        assert all(event["model"] == "demo-chat" for event in events)
    assert gw.worker_pids() != old


def test_a_listener_that_leaves_is_forgotten(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat")})
    for _ in range(20):
        stream, events = following(gw)
        with stream:
            next(events)
    assert gw.chat("hi", model="demo-chat").status == 200
    assert gw.stop() == 0
