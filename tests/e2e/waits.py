"""What the tests of waiting share: a load that takes as long as the test wants, a stream's
opening while nothing comes yet, and whether the whole of a stream is well formed."""

import errno
import os
import select
import threading

from harness import Truncated, auto_route, llama_server, wait_until
from speak import (CHAT, COMPLETIONS, MESSAGES, PATHS, RESPONSES, ask, delta_of, headers_of,
                   is_failure_end, is_success_end, streamed_text)

ALL = (CHAT, COMPLETIONS, RESPONSES, MESSAGES)
OBJECT = {CHAT: "chat.completion.chunk", COMPLETIONS: "text_completion"}


class Gate:
    """A llama-server whose start waits for a word of the test: one word for each start."""

    def __init__(self, folder):
        self.fifo = folder / "gate"
        self.server = folder / "gated-llama-server"
        os.mkfifo(self.fifo)
        self.server.write_text(
            f'#!/bin/sh\nread -r word < "{self.fifo}" || exit 4\n'
            f'[ "$word" = go ] || {{ echo "error: told to fail" >&2; exit 3; }}\n'
            f'exec "{llama_server()}" "$@"\n')
        self.server.chmod(0o755)

    def say(self, word):
        def opened():
            try:
                return os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as e:
                if e.errno != errno.ENXIO:
                    raise
                return None

        fd = wait_until(opened, 20, "a server at the gate")
        os.write(fd, f"{word}\n".encode())
        os.close(fd)


def routes(silence="300ms", ping="200ms", targets="demo-chat", **keys):
    return {"00-gateway.conf": {"gateway": {"SILENCE": silence, "PING": ping}},
            "20-auto.conf": auto_route(targets, **keys)}


def open_stream(gw, protocol, text="hi", model="auto", limit=None, headers=None, **more):
    body = ask(protocol, text, model, True, limit, **more)
    return gw.open("POST", PATHS[protocol], body, {**headers_of(protocol), **(headers or {})})


def is_ping(protocol, event):
    """Does this event say no more than that somebody is there?"""
    if event.done:
        return False
    value = event.json
    if protocol in OBJECT:
        return value.get("choices") == [] and "usage" not in value and "error" not in value
    if protocol == RESPONSES:
        return value["type"] in ("response.created", "response.in_progress")
    return value["type"] == "ping"


class Stream:
    """One stream, its events kept."""

    def __init__(self, protocol, exchange):
        self.protocol = protocol
        self.exchange = exchange
        self.events = []
        self.truncated = False
        self._more = exchange.events()

    def pings(self, n):
        """Reads n signs of life; anything else fails the test."""
        for _ in range(n):
            event = next(self._more)
            self.events.append(event)
            assert is_ping(self.protocol, event), event
        return self.events[-n:]

    def speaks(self, n=5):
        """Reads until the answer itself has begun; signs of life before it do not count."""
        while n:
            event = next(self._more)
            self.events.append(event)
            n -= bool(delta_of(self.protocol, event))
        return self

    def rest(self):
        try:
            self.events.extend(self._more)
        except Truncated:
            self.truncated = True
        return self

    @property
    def text(self):
        return streamed_text(self.protocol, self.events)

    @property
    def succeeded(self):
        return (self.exchange.complete and
                any(is_success_end(self.protocol, e) for e in self.events))

    @property
    def failures(self):
        return [e for e in self.events if is_failure_end(self.protocol, e)]


def check_head(exchange, target=None):
    """The head of a stream, early or not."""
    assert exchange.status == 200
    assert exchange.header("content-type").startswith("text/event-stream")
    for name in ("request", "route", "target", "reason", "attempts", "overhead-us"):
        assert exchange.header(f"x-pointsman-{name}"), (name, exchange.headers)
    if target:
        assert exchange.header("x-pointsman-target") == target
    names = [key.lower() for key, _ in exchange.headers]
    assert len(names) == len(set(names)), names


def check_opening(protocol, events, model="auto"):
    """What is said before there is an answer."""
    if protocol in OBJECT:
        for event in events:
            value = event.json
            assert not event.name and value["object"] == OBJECT[protocol], event
            assert value["id"] and value["created"] > 1e9 and value["model"] == model, event
    elif protocol == RESPONSES:
        kinds = [event.name for event in events]
        assert kinds == ["response.created"] + ["response.in_progress"] * (len(events) - 1)
        assert [e.json["sequence_number"] for e in events] == [0] + [1] * (len(events) - 1)
        for event in events:
            value = event.json
            assert value["type"] == event.name, event
            response = value["response"]
            assert response["status"] == "in_progress" and response["output"] == [], event
            assert response["object"] == "response" and response["model"] == model, event
    else:
        assert all(event.name == "ping" for event in events), events


def local(protocol, name="demo-chat"):
    """What the answer of a demo model begins with. Without a chat template it rambles."""
    return "" if protocol == COMPLETIONS else f"I am {name}"


def check_whole(stream, begins):
    """A complete stream, from its head to its end mark."""
    events, protocol = stream.events, stream.protocol
    assert not stream.truncated and stream.exchange.complete, events[-3:]
    assert stream.exchange.buf == b"", "something follows the end of the body"
    assert stream.text and stream.text.startswith(begins), stream.text[:200]
    assert not stream.failures, stream.failures
    if protocol in OBJECT:
        _check_chunks(protocol, events)
    elif protocol == RESPONSES:
        _check_responses(events)
    else:
        _check_messages(events)


def _check_chunks(protocol, events):
    assert events[-1].done and not any(e.done for e in events[:-1])
    values = [e.json for e in events[:-1]]
    assert all(v["object"] == OBJECT[protocol] for v in values)
    choices = [v["choices"][0] for v in values if v["choices"]]
    assert [c for c in choices if c.get("finish_reason")] == choices[-1:]
    if protocol == CHAT:
        assert [c["delta"].get("role") for c in choices if c["delta"].get("role")] == ["assistant"]
        assert choices[0]["delta"].get("role") == "assistant"


def _check_responses(events):
    kinds = [e.name for e in events]
    assert kinds == [e.json["type"] for e in events]
    assert kinds.count("response.created") == 1 and kinds[0] == "response.created", kinds
    assert kinds[1] == "response.in_progress", kinds
    first = next(n for n, kind in enumerate(kinds) if kind not in kinds[:2])
    assert "response.in_progress" not in kinds[first:], kinds
    assert kinds[-1] == "response.completed" and kinds.count(kinds[-1]) == 1
    numbers = [e.json["sequence_number"] for e in events]
    assert numbers[:2] == [0, 1] and numbers == sorted(numbers), numbers
    after = numbers[first:]
    assert after == list(range(2, 2 + len(after))), numbers


def _check_messages(events):
    kinds = [e.name for e in events if e.name != "ping"]
    assert kinds.count("message_start") == 1 and kinds[0] == "message_start", kinds
    assert kinds[-2:] == ["message_delta", "message_stop"], kinds
    open_block = None
    for event in events:
        if event.name == "content_block_start":
            assert open_block is None, event
            open_block = event.json["index"]
        elif event.name == "content_block_delta":
            assert event.json["index"] == open_block, event
        elif event.name == "content_block_stop":
            assert event.json["index"] == open_block, event
            open_block = None
    assert open_block is None


def check_failed(stream, in_band):
    """The end of a stream that no client may take for a complete answer."""
    assert not stream.succeeded, stream.events[-3:]
    if stream.protocol in OBJECT:
        # an abnormal close in any case, and a word before it where the route asks for one
        assert stream.truncated and not stream.exchange.complete
        assert len(stream.failures) == (1 if in_band else 0), stream.events[-3:]
        if in_band:
            error = stream.failures[0].json["error"]
            assert error["message"] and error["type"] == "server_error", error
        return
    assert stream.exchange.complete and not stream.truncated
    assert len(stream.failures) == 1 and stream.failures[0] is stream.events[-1]
    last = stream.events[-1]
    if stream.protocol == RESPONSES:
        assert last.name == "response.failed"
        assert last.json["response"]["error"]["message"], last
    else:
        assert last.name == "error" and last.json["error"]["message"], last


def check_same_response(stream):
    """One id from created to the end, and numbers that never fall, as an SDK's accumulator wants."""
    values = [e.json for e in stream.events]
    ids = {v["response"].get("id") for v in values if "response" in v}
    assert len(ids) == 1 and None not in ids, ids
    numbers = [v.get("sequence_number") for v in values]
    assert None not in numbers and numbers == sorted(numbers), numbers


def is_silent(exchange):
    """Not one byte has come on this connection."""
    return not select.select([exchange.sock], [], [], 0)[0]


class Later:
    """A call in a thread of its own; its result is asked for later."""

    def __init__(self, call, *args, **how):
        self.value = self.error = None

        def run():
            try:
                self.value = call(*args, **how)
            except BaseException as e:  # it is raised again where the result is asked for
                self.error = e

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    @property
    def done(self):
        return not self._thread.is_alive()

    def result(self, timeout=90):
        self._thread.join(timeout)
        assert self.done, f"no result within {timeout} s"
        if self.error:
            raise self.error
        return self.value
