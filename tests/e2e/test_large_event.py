"""A single event may be larger than anything that is held back: nothing of it is lost."""

import http.server
import json
import threading

import pytest
from harness import auto_route

TEXT = "0123456789abcdef" * 40000  # 640 KB
EVENTS = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": "first"}}]},
          {"choices": [{"index": 0, "delta": {"role": "assistant", "content": TEXT}}]},
          {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]


class Cloud(http.server.BaseHTTPRequestHandler):
    events = EVENTS

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for event in self.events:
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *args):
        pass


@pytest.mark.parametrize("events", [EVENTS, EVENTS[1:]], ids=["after the first", "as the first"])
def test_a_large_event_passes_whole(make_gateway, events):
    handler = type("Handler", (Cloud,), {"events": events})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        gw = make_gateway({"cloud": {"CLOUD": "openai", "MODEL": "m",
                                     "BASE_URL": f"http://127.0.0.1:{server.server_port}/v1"}},
                          {"20-auto.conf": auto_route("cloud")})
        reply = gw.chat("hi", stream=True)
        server.shutdown()
    assert reply.status == 200, reply
    assert [event.json for event in reply.events[:-1]] == events
    assert reply.events[-1].done
