"""What the tests of held answers share: a gateway with a weak and a strong model and scripted clouds, questions to
it, and answers that are held against the rules of their protocol."""

import json
import re
import tempfile

import script
import strict_stream
from harness import Event, profile, sse_events
from speak import CHAT, MESSAGES, PATHS, PROTOCOLS, RESPONSES, headers_of  # noqa: F401
from speak import ask as speak_ask
from waits import is_ping

WEAK, STRONG = "demo-chat", "demo-coder"
CASES = [(protocol, stream) for protocol in PROTOCOLS for stream in (False, True)]
NAMES = [f"{protocol}-{'stream' if stream else 'whole'}" for protocol, stream in CASES]
KEY = {"CLOUD_KEY": "sk-cloud-key"}


def local(name, **keys):
    strength = "0.2" if name == WEAK else "0.8"
    return profile(name, **{"PRELOAD": "yes", "STRENGTH": strength, "GOOD_AT": "general", **keys})


def route(model, targets, policy="reviewer", **keys):
    """A route with the usual weights out of the way; keys in lower case are options of the policy."""
    options = {key.upper(): value for key, value in keys.items() if key.islower()}
    main = {"MODELS": model, "TARGETS": targets, "POLICIES": policy, "WEIGHT_WAITING": 0, "WEIGHT_LEAVING": 0}
    main.update({key: value for key, value in keys.items() if not key.islower()})
    return {"route": main, **({f"policy {policy}": options} if options else {})}


class Clouds:
    """Scripted clouds by name; their complaints are asked for at the end."""

    def __init__(self, **protocols):
        self.folders = {name: tempfile.TemporaryDirectory(prefix="pm-cloud-") for name in protocols}
        self.by_name = {name: script.ScriptedCloud(self.folders[name].name, protocol)
                        for name, protocol in protocols.items()}

    def __getattr__(self, name):
        return self.by_name[name]

    def sections(self, **strengths):
        return {name: cloud.section(GOOD_AT="general", STRENGTH=strengths.get(name, "0.9"))
                for name, cloud in self.by_name.items()}

    def reset(self):
        for cloud in self.by_name.values():
            cloud.heal()
            cloud.say(text="The cloud says yes.")

    def close(self):
        for name, cloud in self.by_name.items():
            cloud.close()
            self.folders[name].cleanup()


def body_of(protocol, text, model, stream, **more):
    if protocol == CHAT and stream and "stream_options" not in more:
        more["stream_options"] = {"include_usage": True}
    return speak_ask(protocol, text, model, stream, **more)


def begin(gw, protocol, text, model, stream, headers=None, **more):
    body = body_of(protocol, text, model, stream, **more)
    return gw.open("POST", PATHS[protocol], body, {**headers_of(protocol), **(headers or {})})


def _counted(value):
    """llama-server's usage of the responses API is short of a detail."""
    usage = (value.get("response") or value).get("usage")
    if usage:
        usage.setdefault("output_tokens_details", {"reasoning_tokens": 0})
        usage.setdefault("input_tokens_details", {"cached_tokens": 0})
    return value


def _events_of(protocol, body):
    """Without signs of life: in a chat they have an id of their own, in the responses API one event may come often."""
    events = sse_events(body)
    if protocol == CHAT:
        return [e for e in events if not is_ping(protocol, e)]
    if protocol == RESPONSES:
        again = [n for n, e in enumerate(events) if e.name == "response.in_progress"][1:]
        events = [Event(e.name, json.dumps(_counted(e.json))) for n, e in enumerate(events) if n not in again]
    return events


def answer_of(protocol, reply, stream, usage=True):
    """A complete answer, held against the rules of its protocol."""
    assert reply.status == 200 and reply.complete, reply
    kind = reply.header("content-type")
    if not stream:
        assert kind.startswith("application/json"), reply.headers
        value = reply.json
        return strict_stream.read_whole(protocol, _counted(value) if protocol == RESPONSES else value)
    assert kind.startswith("text/event-stream"), reply.headers
    return strict_stream.read_stream(protocol, _events_of(protocol, reply.body), usage)


def send(gw, protocol, text, model, stream=False, headers=None, **more):
    """The whole exchange: the reply and what it says."""
    with begin(gw, protocol, text, model, stream, headers, **more) as exchange:
        reply = exchange.read()
    usage = protocol != CHAT or not stream or "stream_options" not in more
    return reply, answer_of(protocol, reply, stream, usage)


def was_opened(protocol, reply):
    """Were there signs of life? Then the head is from before the answer, and its target may be another."""
    events = sse_events(reply.body) if reply.body[:5] in (b"data:", b"event") else []
    pings = sum(is_ping(protocol, e) for e in events)
    return pings > 2 if protocol == RESPONSES else pings > 0


def check_by(protocol, reply, answer, target, attempts=1):
    """The answer is a demo model's, all of it and of nobody else; the headers say so."""
    other = STRONG if target == WEAK else WEAK
    if not was_opened(protocol, reply):
        assert reply.header("x-pointsman-target") == target, reply.headers
        assert reply.header("x-pointsman-attempts") == str(attempts), reply.headers
    assert reply.header("x-pointsman-reason"), reply.headers
    assert answer.text.count(f"I am {target}") == 1 and answer.text.startswith(f"I am {target}"), answer.text
    assert f"I am {other}".encode() not in reply.body, reply.body


def ask_and_check(gw, protocol, text, model, stream, target, attempts=1, **more):
    reply, answer = send(gw, protocol, text, model, stream, **more)
    check_by(protocol, reply, answer, target, attempts)
    return reply, answer


def metric(gw, name, *labels):
    """The sum of a metric's lines that have all these labels."""
    total = 0.0
    for line in gw.get("/metrics").text.splitlines():
        found = re.fullmatch(rf"{name}(\{{[^}}]*\}})? ([0-9.e+-]+)", line)
        if found and all(label in (found[1] or "") for label in labels):
            total += float(found[2])
    return total


def logged(gw, pattern):
    return re.findall(pattern, gw.log)
