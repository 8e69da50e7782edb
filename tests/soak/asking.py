"""One request of the soak: what is asked, what came back, and whether that is an answer.

Nothing here knows what the soak did to the gateway meanwhile: the verdict says what the client
saw, and soak.py decides whether one of its own blows excuses it.
"""

import json
import socket
import time

import speak
from cloud import TEXT as CLOUD_TEXT
from speak import CHAT, COMPLETIONS, MESSAGES, PATHS, RESPONSES
from wire import Truncated, open_request, sse_events

PROTOCOLS = (CHAT, COMPLETIONS, MESSAGES, RESPONSES)
TALK = ("hello there", "how was your day?", "tell me something about trains",
        "what is a pointsman?", "which of you is answering?")
CODE = ("please debug this function", "refactor this code, it has a bug",
        "write a function that adds two numbers", "the code of this function is slow")
# about 4.8 tokens each
LONG_WORDS = (150, 600)
ANSWER, REFUSAL, CUT, TOLD, NO_CONNECTION, CANCELLED, WRONG = (
    "answer", "refusal", "cut", "told in the stream", "no connection", "cancelled", "wrong")
# a stream that was kept alive while it waited, and then had no answer
WAITED = "refused after signs of life"
AT_ONCE, QUEUE, STREAM = "cancel at once", "cancel while waiting", "cancel in the answer"
REFUSALS = (429, 502, 503, 504, 529)
STOPPED = ("stop", "end_turn")
# "I am demo-chat", "I am demo-code", "I am the stand-": enough to tell them apart
NAME_LENGTH = 14


class Ask:
    """A request, drawn from a generator of random numbers."""

    def __init__(self, number, rng, models):
        self.number = number
        self.protocol = rng.choice(PROTOCOLS)
        self.stream = rng.random() < 0.6
        self.model = rng.choices(list(models), list(models.values()))[0]
        kind = rng.random()
        self.limit = rng.randint(4, 300)
        self.is_long = kind < 0.15
        if self.is_long:
            words = rng.randint(*LONG_WORDS)
            self.text = f"{number} " + " ".join(f"word{n}" for n in range(words))
        else:
            self.text = f"{rng.choice(CODE if kind < 0.5 else TALK)} {number}"
            if rng.random() < 0.1:
                self.limit = 1500
        self.cancel = rng.choice((AT_ONCE, QUEUE, STREAM)) if rng.random() < 0.2 else None
        self.patience = rng.uniform(0.001, 0.6)
        self.pieces = rng.randint(1, 60)
        self.rude = rng.random() < 0.5

    @property
    def name(self):
        return self.cancel or f"{self.protocol} {'stream' if self.stream else 'whole'}"

    def body(self):
        return speak.ask(self.protocol, self.text, self.model, self.stream, self.limit)

    def __str__(self):
        return (f"request {self.number}: {self.protocol} {'stream' if self.stream else 'whole'}"
                f" model={self.model} {len(self.text)} bytes limit={self.limit}"
                f"{' ' + self.cancel if self.cancel else ''}")


class Seen:
    """What a client saw of one request."""

    def __init__(self, ask):
        self.ask = ask
        self.began = time.monotonic()
        self.clock = time.time()
        self.ended = None
        self.kind = None
        self.status = None
        self.text = ""
        self.target = None
        self.id = None
        self.body = b""
        self.retry_after = None

    def end(self, kind, text=""):
        self.kind, self.text, self.ended = kind, text, time.monotonic()
        return self

    @property
    def took(self):
        return self.ended - self.began


class _Left(Exception):
    """The client has left, as it was told to."""


def perform(address, ask, bound, texts):
    """Sends the request, reads what comes within `bound` seconds. texts: of each target."""
    seen = Seen(ask)
    end = seen.began + bound
    try:
        exchange = open_request(address, "POST", PATHS[ask.protocol], ask.body(),
                                speak.headers_of(ask.protocol), bound)
    except socket.timeout:
        return seen.end(WRONG, f"no connection within {bound:.0f} s")
    except OSError as e:
        return seen.end(NO_CONNECTION, str(e))
    with exchange:
        try:
            _read(exchange, ask, seen, end)
        except _Left:
            return seen.end(CANCELLED)
        except socket.timeout:
            return seen.end(WRONG, f"not ended after {bound:.0f} s, status {seen.status}, "
                                   f"{len(seen.body)} bytes")
        except Truncated as e:
            if ask.stream and seen.status == 200 and only_signs_of_life(ask, seen):
                return seen.end(WAITED, "the connection broke off")
            return seen.end(CUT, f"{e} after status {seen.status} and {len(seen.body)} bytes")
        except (AssertionError, ValueError) as e:
            return seen.end(WRONG, f"no HTTP: {e}")
        except OSError as e:
            return seen.end(CUT, f"{e!r} after status {seen.status}")
    if ask.cancel:
        return seen.end(CANCELLED, "too late")
    try:
        return seen.end(*judge(exchange, ask, seen, texts))
    except (AssertionError, ValueError, KeyError, TypeError, IndexError, AttributeError) as e:
        return seen.end(WRONG, f"malformed: {e!r}")


def _leave(exchange, ask):
    if ask.rude:
        exchange.reset()
    raise _Left


def _read(exchange, ask, seen, end):
    if ask.cancel == AT_ONCE:
        _leave(exchange, ask)
    exchange.timeout = ask.patience if ask.cancel == QUEUE else max(0.01, end - time.monotonic())
    try:
        exchange.head()
    except socket.timeout:
        if ask.cancel == QUEUE:
            _leave(exchange, ask)
        raise
    if ask.cancel == QUEUE:
        _leave(exchange, ask)
    seen.status = exchange.status
    seen.target = exchange.header("x-pointsman-target")
    seen.id = exchange.header("x-pointsman-request")
    seen.retry_after = exchange.header("retry-after")
    count = 0
    for piece in exchange.pieces():
        seen.body += piece
        count += 1
        if ask.cancel == STREAM and count >= ask.pieces:
            _leave(exchange, ask)
        left = end - time.monotonic()
        if left <= 0:
            raise socket.timeout
        exchange.timeout = left


def judge(exchange, ask, seen, texts):
    """(kind, text) of a complete reply to a client that stayed."""
    kind = (exchange.header("content-type") or "").split(";")[0]
    if seen.status != 200:
        return _refusal(exchange, ask, seen)
    if not seen.body:
        return WRONG, "an empty 200"
    for name in ("request", "route", "target", "reason", "attempts", "overhead-us"):
        if exchange.header(f"x-pointsman-{name}") is None:
            return WRONG, f"no header x-pointsman-{name}"
    if ask.stream:
        if kind != "text/event-stream":
            return WRONG, f"a stream of type {kind}"
        events = sse_events(seen.body)
        return judge_stream(ask, seen, events, texts)
    if kind != "application/json":
        return WRONG, f"an answer of type {kind}"
    reply = exchange_reply(seen)
    text = speak.text_of(ask.protocol, reply)
    return _judge_text(ask, seen, text, finish_of(ask.protocol, reply), texts)


def exchange_reply(seen):
    return json.loads(seen.body)


def _refusal(exchange, ask, seen):
    class Shape:
        json = exchange_reply(seen)

    message = speak.error_of(ask.protocol, Shape)
    if seen.status in (429, 503, 529):
        if not (seen.retry_after or "").isdigit() or int(seen.retry_after) < 1:
            return WRONG, f"{seen.status} with Retry-After {seen.retry_after!r}: {message}"
    return REFUSAL, message


def finish_of(protocol, value):
    if protocol in (CHAT, COMPLETIONS):
        return value["choices"][0]["finish_reason"]
    if protocol == MESSAGES:
        return value["stop_reason"]
    # llama-server calls an answer complete whether its limit ended it or not
    return None


def _judge_text(ask, seen, text, finish, texts):
    whole = texts.get(seen.target)
    if whole is None:
        return WRONG, f"answered by the unknown target {seen.target!r}"
    if ask.protocol == COMPLETIONS and whole != CLOUD_TEXT and isinstance(text, str):
        # without the chat template the toy models say anything, nothing included
        return (ANSWER, "") if text or finish in STOPPED else (WRONG, "no text, no end")
    if not isinstance(text, str) or not text:
        return WRONG, f"an answer without a text, finish {finish!r}"
    if ask.is_long:
        # a long prompt makes them stumble, though never over their names
        whole = text[:NAME_LENGTH] if text.startswith(whole[:NAME_LENGTH]) else whole
        finish = None
    if not (text.startswith(whole) or whole.startswith(text)):
        return WRONG, f"the text is not that of {seen.target}: {text[:120]!r}"
    if finish in STOPPED and len(text) < len(whole):
        return WRONG, f"ended by {finish} after {len(text)} of {len(whole)} characters"
    return ANSWER, ""


# streams

def had_to_wait(ask, events):
    """Was its head sent before it was known who would answer?"""
    if ask.protocol == RESPONSES:
        first = events[0].json
        return first.get("response", {}).get("id", "").startswith("resp_req_")
    return is_sign_of_life(ask, events[0])


def judge_stream(ask, seen, events, texts):
    if not events:
        return WRONG, "a stream without events that ends properly"
    for event in events:
        if speak.is_failure_end(ask.protocol, event):
            return _told(ask, event, events)
    checks = {CHAT: _chat, COMPLETIONS: _chat, MESSAGES: _messages, RESPONSES: _responses}
    finish, wrong = checks[ask.protocol](ask, events)
    if wrong:
        return WRONG, f"{wrong}; the last events: {events[-3:]}"
    text = speak.streamed_text(ask.protocol, events)
    if had_to_wait(ask, events):
        # its head names who was asked first
        names = [name for name, known in texts.items()
                 if text and (known.startswith(text) or text.startswith(known[:NAME_LENGTH]))]
        seen.target = names[0] if names else seen.target
    return _judge_text(ask, seen, text, finish, texts)


def is_sign_of_life(ask, event):
    """Says no more than that somebody is there, while the answer has not begun."""
    if event.done:
        return False
    value = event.json
    if ask.protocol in (CHAT, COMPLETIONS):
        return value.get("choices") == [] and not value.get("usage") and "error" not in value
    if ask.protocol == RESPONSES:
        return value["type"] in ("response.created", "response.in_progress")
    return value["type"] == "ping"


def only_signs_of_life(ask, seen):
    events = sse_events(seen.body)
    return bool(events) and all(is_sign_of_life(ask, event) for event in events)


def _told(ask, event, events):
    value = event.json
    error = value.get("error") or value.get("response", {}).get("error") or {}
    message = error.get("message") if isinstance(error, dict) else None
    if not message:
        return WRONG, f"an error in the stream without a message: {event}"
    before = [e for e in events if e is not event]
    if before and all(is_sign_of_life(ask, e) for e in before):
        return WAITED, message
    return TOLD, message


def _chat(ask, events):
    if not events[-1].done:
        return None, "the stream ends properly without [DONE]"
    values = [event.json for event in events[:-1] if not is_sign_of_life(ask, event)]
    finishes = [c["finish_reason"] for v in values for c in v["choices"] if c["finish_reason"]]
    if len(finishes) != 1:
        return None, f"{len(finishes)} finish reasons"
    if len({v["id"] for v in values}) != 1:
        return None, "several ids in one stream"
    if ask.protocol == CHAT and values[0]["choices"][0]["delta"].get("role") != "assistant":
        return None, "the first event has no role"
    return finishes[0], ""


def _messages(ask, events):
    values = [event.json for event in events]
    types = [v["type"] for v in values if v["type"] != "ping"]
    if any(event.name != v["type"] for event, v in zip(events, values)):
        return None, "an event's name is not its type"
    if types[0] != "message_start" or types[-1] != "message_stop":
        return None, f"begins with {types[0]} and ends with {types[-1]}"
    if types.count("message_start") != 1 or types.count("message_stop") != 1:
        return None, "begins or ends twice"
    opened = None
    for value in values:
        kind = value["type"]
        if kind == "content_block_start":
            if opened is not None:
                return None, "a block within a block"
            opened = value["index"]
        elif kind == "content_block_delta" and value["index"] != opened:
            return None, "a delta outside its block"
        elif kind == "content_block_stop":
            if value["index"] != opened:
                return None, "the end of a block that is not open"
            opened = None
    if opened is not None:
        return None, "a block stays open"
    stops = [v["delta"]["stop_reason"] for v in values if v["type"] == "message_delta"]
    if len(stops) != 1:
        return None, f"{len(stops)} message_delta"
    return stops[0], ""


def _responses(ask, events):
    values = [event.json for event in events]
    # while it waits it says again that it is in progress, with the same number
    numbers = [v["sequence_number"] for i, v in enumerate(values)
               if i < 2 or v["type"] != "response.in_progress"]
    if numbers != list(range(len(numbers))):
        return None, f"sequence numbers are not in sequence: {numbers}"
    if len({v["response"]["id"] for v in values if "response" in v}) != 1:
        return None, "several ids in one stream"
    if any(event.name != v["type"] for event, v in zip(events, values)):
        return None, "an event's name is not its type"
    if values[0]["type"] != "response.created":
        return None, f"begins with {values[0]['type']}"
    if values[-1]["type"] not in ("response.completed", "response.incomplete"):
        return None, f"ends with {values[-1]['type']}"
    whole = speak.text_of(RESPONSES, values[-1]["response"])
    if whole != speak.streamed_text(RESPONSES, events):
        return None, "the whole text is not that of the deltas"
    return None, ""
