"""Clouds that hold a conversation of several turns: what they say depends on what they are asked.

A ScriptedCloud says one script to whoever asks next. Clients that run by themselves need a plan
instead, which finds the script in the request, for several requests may be under way at once.
"""

import copy
import json
import threading
from dataclasses import dataclass

import strict
from script import PATHS, Script, ScriptedCloud

THOUGHT = "Two places, I see: “one” … then\nthe other \U0001f914."
SAID = "I look at both — “now”, \U0001f680."
ODD = (r'{"path": "/tmp/\u00e9\u4e2d \"q\" \\ x\ud83d\ude00", "depth": 3}',
       '{"path":"ünïcode/☃","depth":-1}')
COUNTS = {"fresh": 100, "cached": 7, "output": 50, "thought": 9}
NO_THREADS = {"type": "error", "request_id": "req_cloud_1", "error": {
    "type": "invalid_request_error", "message": "thread: not supported with this model",
    "details": {"error_code": "thread_unsupported_request", "unsupported": ["model"]}}}


@dataclass
class Turn(Script):
    """A Script of a conversation. The ids of its calls are its own: there are agents that leave
    out a call whose id they have seen in an earlier turn."""

    turn: int = 0

    def call_id(self, n, prefix):
        return f"{prefix}{self.turn}{n}a1b2c3d4e5"


class PlannedCloud(ScriptedCloud):
    """plan(asked, body) says which Script answers a request."""

    def __init__(self, folder, protocol, plan, **how):
        super().__init__(folder, protocol, **how)
        self.plan = plan
        self.answered = []
        self._noting = threading.Lock()

    def check_data(self, path, seen, data):
        # a client that asks for a thread must learn that there are none, and not just a 400
        rest = {key: value for key, value in data.items() if key != "thread"}
        return super().check_data(path, seen, rest)

    def _reply(self, h, body, fault):
        if body.get("thread") is not None:
            h._json(400, NO_THREADS)
            return None
        asked = strict.read(self.speaks, body)
        # a view of its own for each request: the one script of all belongs to other tests
        view = copy.copy(self)
        view.script = self.plan(asked, body)
        with self._noting:
            self.answered.append((asked, body, view.script))
        return ScriptedCloud._reply(view, h, body, fault)


def heard(asked):
    """What reached the cloud, as a text for the caller to look at."""
    return json.dumps({
        "system": asked.system, "tools": list(asked.tools), "choice": asked.choice,
        "calls": [list(call[1:]) for call in asked.said("call")],
        "results": [text for _, text in asked.said("result")],
        "matched": [call[0] for call in asked.said("call")]
        == [call for call, _ in asked.said("result")],
        "images": len(asked.said("image")), "thought": asked.said("thinking")},
        ensure_ascii=False)


def two_calls(asked, body):
    """A plan of two turns: two calls of a tool at once, then an answer that tells what the
    cloud heard. A user says `Plan: 429` for an error status, `Plan: length` for how it ends."""
    said = "".join(asked.said("user"))
    plan = said.partition("Plan:")[2].partition(".")[0]
    if plan.isdigit():
        # a second at least: a client that is told 0 asks again at once
        headers = {"retry-after": "7"} if plan == "429" else {}
        return Script(status=int(plan), headers=headers)
    if plan in ("length", "filter"):
        return Script(text="Half of", stop=plan, **COUNTS)
    if asked.said("result"):
        return Script(reasoning="I know.", text=heard(asked), step=7, **COUNTS)
    return Script(reasoning=THOUGHT, text=SAID, step=3, interleaved=True,
                  calls=[("look_up", arguments) for arguments in ODD], **COUNTS)


def clouds(folders, plan):
    """A cloud for each protocol."""
    return {speaks: PlannedCloud(folder, speaks, plan)
            for speaks, folder in zip(PATHS, folders)}
