"""What a local server can have in its cache stays the same text, and it is told where it does not."""

import json
import re

import pytest
from harness import auto_route, profile
from wire import wait_until

NONCE = "x-anthropic-billing-header: cc_version=2.1.329.%s; cc_entrypoint=cli;"
SYSTEM = "You are a careful agent that changes trains. " * 60
TOOLS = [{"name": name, "description": f"What {name} is for. " * 12,
          "input_schema": {"type": "object", "properties": {}}}
         for name in ("write", "read", "list")]


@pytest.fixture
def gw(make_gateway):
    return make_gateway({"demo-chat": profile("demo-chat", SLOTS=1)},
                        {"20-auto.conf": auto_route("demo-chat")})


def ask(gw, text, nonce="0a8", tools=TOOLS, system=SYSTEM):
    body = {"model": "auto", "max_tokens": 4, "temperature": 0, "tools": tools,
            "system": [{"type": "text", "text": NONCE % nonce}, {"type": "text", "text": system}],
            "messages": [{"role": "user", "content": text}]}
    reply = gw.post("/v1/messages", body, {"anthropic-version": "2023-06-01"})
    assert reply.status == 200, reply
    return reply.json["usage"]


def breaks(gw, asked=2):
    """Of the last of so many requests, as the log has it."""
    def lines():
        return [line for line in gw.log.splitlines() if "path=/messages" in line]
    wait_until(lambda: len(lines()) == asked, 5, "the request's line in the log")
    found = re.search(r" prefix_break=(\d+)", lines()[-1])
    return int(found.group(1)) if found else None


def test_the_nonce_of_a_session_costs_nothing(gw):
    first = ask(gw, "Say hello.")
    again = ask(gw, "Say something else.", nonce="f6c")
    whole = first["input_tokens"] + first.get("cache_read_input_tokens", 0)
    assert again["cache_read_input_tokens"] > whole * 0.8, (first, again)
    assert breaks(gw) is None


def test_the_order_of_tools_costs_nothing(gw):
    ask(gw, "Say hello.")
    again = ask(gw, "Say hello once more.", tools=list(reversed(TOOLS)))
    assert again["cache_read_input_tokens"] > again["input_tokens"], again
    assert breaks(gw) is None


def test_where_it_broke_is_told(gw):
    ask(gw, "Say hello.")
    at = len(SYSTEM) // 2
    ask(gw, "Say hello.", system=SYSTEM[:at] + "At 12:03 " + SYSTEM[at:])
    where = breaks(gw)
    assert where is not None
    # in the body as it was sent: the tools stand before the system text there
    tools = len(json.dumps(TOOLS))
    assert where > at * 0.5 and where < tools + at + 600, where
    text = gw.get("/metrics").text
    assert re.search(r'^pointsman_prefix_break_bytes_count\{target="demo-chat"\} [1-9]', text, re.M)
    assert re.search(r'^pointsman_prefix_reuse_ratio_count\{target="demo-chat"\} [1-9]', text, re.M)
