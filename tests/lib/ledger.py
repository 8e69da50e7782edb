"""What the tests of usage share: questions to a gateway about its requests, the database beside it, its recorder."""

import os
import re
import signal
import sqlite3
from pathlib import Path
from urllib.parse import urlencode

from harness import children, wait_until


def query(path, **words):
    words = {key: value for key, value in words.items() if value is not None}
    return f"{path}?{urlencode(words)}" if words else path


def usage(gw, by="day", headers=None, **words):
    """The answer of /api/usage."""
    reply = gw.get(query("/api/usage", by=by, **words), headers)
    assert reply.status == 200, reply
    return reply.json


def rows(gw, by, **words):
    """The rows of /api/usage by their names."""
    return {row["name"]: row for row in usage(gw, by, **words)["rows"]}


def total(gw, **words):
    return usage(gw, **words)["total"]


def listed(gw, headers=None, **words):
    """All requests, newest first, however many pages that takes."""
    out, before = [], None
    while True:
        reply = gw.get(query("/api/requests", limit=1000, before=before, **words), headers)
        assert reply.status == 200, reply
        out += reply.json["requests"]
        before = reply.json["before"]
        if before is None:
            return out


def record(gw, reply, headers=None):
    """The record of an answered request, as soon as there is one."""
    path = f"/api/requests/{reply.header('x-pointsman-request')}"

    def found():
        answer = gw.get(path, headers)
        return answer.json["requests"] if answer.status == 200 else None

    return wait_until(found, 10, "the record", step=0.02)[0]


def state(gw):
    """What /api/status says of the recording."""
    return gw.get("/api/status").json["usage"]


def recorder(gw):
    """The process id of the recorder, or None."""
    for pid in children(gw.manager_pid):
        try:
            if b"_recorder" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        except OSError:
            continue
    return None


def kill_recorder(gw):
    pid = wait_until(lambda: recorder(gw), 10, "a recorder", step=0.02)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: recorder(gw) not in (None, pid), 10, "another recorder", step=0.02)


def database(gw):
    return gw.state / "usage.db"


def read(gw, sql, *values):
    """Rows of the database, read as any other program may while the gateway runs."""
    db = sqlite3.connect(f"file:{database(gw)}?mode=ro", uri=True, timeout=10)
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


def files(gw):
    """The bytes of the database and of what lies beside it."""
    return b"".join(path.read_bytes() for path in sorted(gw.state.glob("usage.db*")))


SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")


def samples(gw, name, headers=None):
    """The samples of one metric: (its labels as a dict, value)."""
    out = []
    for line in gw.get("/metrics", headers).text.splitlines():
        found = SAMPLE.fullmatch(line)
        if found and found[1] == name:
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or ""))
            out.append((labels, float(found[3])))
    return out


def counted(gw, headers=None):
    """What the metrics know of the requests that have records: how many by status, and tokens by target and type."""
    statuses, tokens = {}, {}
    for labels, value in samples(gw, "pointsman_http_requests_total", headers):
        if labels["path"] != "other":
            statuses[labels["status"]] = statuses.get(labels["status"], 0) + value
    for labels, value in samples(gw, "gen_ai_client_token_usage_sum", headers):
        key = (labels["gen_ai_response_model"], labels["gen_ai_token_type"])
        tokens[key] = tokens.get(key, 0) + value
    return statuses, {key: value for key, value in tokens.items() if value}


def summed(gw, headers=None):
    """The same as the database has it."""
    statuses = {r["name"]: r["requests"] for r in usage(gw, "status", headers)["rows"]}
    tokens = {}
    for row in usage(gw, "target", headers)["rows"]:
        tokens[(row["name"], "input")] = row["prompt"]
        tokens[(row["name"], "output")] = row["output"]
    return statuses, {key: value for key, value in tokens.items() if value}


def expect_equal_sums(gw, headers=None, timeout=10):
    """The database and the metrics tell the same, as soon as both have heard of everything."""
    try:
        wait_until(lambda: summed(gw, headers) == counted(gw, headers), timeout, "equal sums", step=0.1)
    except AssertionError:
        pass
    assert summed(gw, headers) == counted(gw, headers)
