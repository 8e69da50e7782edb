"""Ten thousand requests, and what writes them down is killed again and again: the sums are those of the metrics."""

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import threading
import time

import pytest
from harness import auto_route, build_dir, wait_until
from ledger import (counted, database, expect_equal_sums, kill_recorder, listed, read, recorder, samples, state,
                    summed, total)

MOCK = build_dir() / "tests" / "bench" / "mock"
THREADS = 4
REQUESTS = 10_000
KILLS = 4
# what a kill of the manager may cost: the last second
LOST_S = 1.0
# requests that a recorder does not take are kept for it, up to 32 MiB
KEPT = 32 << 20
MIDDLING = 8600


def body(text):
    return json.dumps({"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": text}]})


@pytest.fixture
def mock():
    """A server that answers at once, whatever it is asked."""
    if not os.access(MOCK, os.X_OK):
        pytest.skip(f"no {MOCK}: make {MOCK.relative_to(build_dir())}")
    with subprocess.Popen([MOCK, "--until-eof"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as proc:
        yield proc.stdout.readline().rsplit("on ", 1)[1].strip()
        proc.stdin.close()


@pytest.fixture
def make(mock, make_gateway):
    """Two workers before a cloud that has a price; what it says goes without TLS."""
    cloud = {"CLOUD": "openai", "BASE_URL": f"{mock}/v1", "API_KEY_ENV": "CLOUD_KEY", "MODEL": "mock",
             "CTX_SIZE": 128000, "PRICE_IN": 2, "PRICE_OUT": 8}

    def of(**gateway):
        return make_gateway({"cloud": cloud}, {"00-gateway.conf": {"gateway": gateway},
                                               "20-auto.conf": auto_route("cloud", policies="capability")},
                            env={"CLOUD_KEY": "sk-mock"}, workers=2)

    return of


@pytest.fixture
def gw(make):
    return make()


class Load:
    """Requests from a few connections, and when each was answered."""

    def __init__(self, gw, requests, text="How are you?"):
        self.body = body(text)
        self.answered = []
        self.failed = []
        self.left = requests
        self._lock = threading.Lock()
        self._gw = gw
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(THREADS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        with self._lock:
            self.left = 0 if exc[0] else self.left
        for thread in self._threads:
            thread.join(120)
        return False

    def count(self):
        with self._lock:
            return len(self.answered)

    def ended(self):
        return not any(thread.is_alive() for thread in self._threads)

    def _take(self):
        with self._lock:
            self.left -= 1
            return self.left >= 0

    def _run(self):
        link = None
        while self._take():
            try:
                if link is None:
                    link = http.client.HTTPConnection(*self._gw.address, timeout=30)
                link.request("POST", "/v1/chat/completions", self.body, {"Content-Type": "application/json"})
                reply = link.getresponse()
                reply.read()
                entry = (reply.getheader("x-pointsman-request"), time.monotonic(), reply.status)
                with self._lock:
                    (self.answered if reply.status == 200 else self.failed).append(entry)
            except (OSError, http.client.HTTPException) as e:
                with self._lock:
                    self.failed.append((None, time.monotonic(), repr(e)))
                link = None
                if self._gw.proc.poll() is not None:
                    return


def check_rows(gw, load):
    """All that was answered is there, once."""
    ids = [row[0] for row in read(gw, "SELECT id FROM requests")]
    assert len(ids) == len(set(ids))
    assert {entry[0] for entry in load.answered} <= set(ids)
    assert read(gw, "PRAGMA integrity_check") == [("ok",)]
    return ids


def test_ten_thousand_requests_and_a_recorder_that_is_killed(gw, measured):
    began = time.monotonic()
    with Load(gw, REQUESTS) as load:
        for n in range(1, KILLS + 1):
            wait_until(lambda n=n: load.count() > n * REQUESTS / (KILLS + 1), 60, "requests")
            kill_recorder(gw)
        wait_until(load.ended, 100, "the end of the requests", step=0.02)
    took = time.monotonic() - began
    assert not load.failed, load.failed[:5]
    wait_until(lambda: total(gw)["requests"] == REQUESTS, 20, "the last records", step=0.1)
    expect_equal_sums(gw)
    check_rows(gw, load)
    cost = total(gw)["cost"]
    assert cost == pytest.approx(total(gw)["prompt"] * 2e-6 + total(gw)["output"] * 8e-6, rel=1e-3)
    assert state(gw)["dropped"] == 0 and state(gw)["waiting_bytes"] == 0
    asked = time.monotonic()
    total(gw)
    measured(f"usage: {REQUESTS} requests, {KILLS} kills of the recorder: none lost, {REQUESTS / took:.0f} requests/s,"
             f" {database(gw).stat().st_size / REQUESTS:.0f} bytes each, sums in"
             f" {1000 * (time.monotonic() - asked):.1f} ms")


def test_a_manager_that_is_killed_under_load(gw, measured):
    with Load(gw, REQUESTS) as load:
        wait_until(lambda: load.count() > REQUESTS / 4, 60, "requests")
        killed = time.monotonic()
        gw.kill_manager()
        wait_until(load.ended, 60, "the end of the requests", step=0.02)
    before = list(load.answered)
    wait_until(lambda: start_again(gw), 15, "a gateway that starts", step=0.1)
    ids = {row["id"] for row in listed(gw)}
    lost = [entry for entry in before if entry[0] not in ids]
    early = [entry for entry in lost if entry[1] < killed - LOST_S]
    assert not early, (len(early), len(before))
    assert read(gw, "PRAGMA integrity_check") == [("ok",)]
    with Load(gw, 500) as more:
        wait_until(more.ended, 60, "the end of the requests", step=0.02)
    assert not more.failed, more.failed[:5]
    wait_until(lambda: total(gw)["requests"] == len(before) - len(lost) + 500, 10, "what came since", step=0.1)
    check_rows(gw, more)
    oldest = max((killed - entry[1] for entry in lost if entry[1] < killed), default=0)
    measured(f"usage: manager killed after {len(before)} answers: {len(lost)} records lost, the oldest of"
             f" {1000 * oldest:.0f} ms before")


def start_again(gw):
    """The workers of the one before may still hold the port for a moment."""
    try:
        return gw.start()
    except AssertionError:
        return None


def test_everything_is_killed_at_once(gw, measured):
    """As when the machine's memory is full: manager, workers and recorder, at one moment."""
    with Load(gw, REQUESTS) as load:
        wait_until(lambda: load.count() > REQUESTS / 5, 60, "requests")
        killed = time.monotonic()
        pids = [gw.manager_pid, recorder(gw), *gw.worker_pids()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        gw.proc.wait()
        wait_until(load.ended, 60, "the end of the requests", step=0.02)
    wait_until(lambda: start_again(gw), 15, "a gateway that starts", step=0.1)
    ids = {row["id"] for row in listed(gw)}
    lost = [killed - at for one, at, _ in load.answered if one not in ids]
    assert not [s for s in lost if s > LOST_S], max(lost)
    assert read(gw, "PRAGMA integrity_check") == [("ok",)]
    measured(f"usage: all killed after {len(load.answered)} answers: {len(lost)} records lost, the oldest of"
             f" {1000 * max(lost, default=0):.0f} ms before")


def test_a_worker_that_is_killed_under_load(gw, measured):
    """Its answers are told to the manager as they end: at most the last of each connection is not."""
    with Load(gw, 2000) as load:
        wait_until(lambda: load.count() > 1000, 60, "requests")
        gw.kill_worker()
        wait_until(load.ended, 60, "the end of the requests", step=0.02)

    def lost():
        return {entry[0] for entry in load.answered} - {row["id"] for row in listed(gw)}

    wait_until(lambda: len(lost()) <= THREADS, 10, "the records", step=0.1)
    # metrics come in from a worker now and then: those of its last moment went with it
    assert samples(gw, "pointsman_http_requests_total")
    assert counted(gw)[0]["200"] <= summed(gw)[0]["200"] + len(lost())
    measured(f"usage: a worker killed after {len(load.answered)} answers: {len(lost())} records lost")


def test_a_backlog_as_large_as_may_be_is_written_at_last(make, measured):
    """A recorder that was away for long is not drowned in what has gathered."""
    gw = make(RECORD="prompts")
    gw.stop()
    for path in gw.state.glob("usage.db*"):
        path.unlink()
    database(gw).write_bytes(os.urandom(8192))
    gw.start()
    with Load(gw, KEPT // MIDDLING, "x" * MIDDLING) as load:
        wait_until(load.ended, 100, "the end of the requests", step=0.02)
    assert not load.failed, load.failed[:5]
    full = state(gw)
    assert full["waiting_bytes"] > KEPT / 2 and not full["recording"], full
    for path in gw.state.glob("usage.db*"):
        path.unlink()
    began = time.monotonic()
    wait_until(lambda: state(gw)["recording"] and state(gw)["waiting_bytes"] == 0, 70, "a recorder that writes",
               step=0.1)
    assert total(gw)["requests"] == len(load.answered) - state(gw)["dropped"]
    measured(f"usage: {full['waiting_bytes'] >> 20} MiB that had gathered were written"
             f" {time.monotonic() - began:.1f} s after the file was moved away, {state(gw)['dropped']} were dropped")


def test_who_asks_a_recorder_that_hangs_is_answered(gw):
    os.kill(wait_until(lambda: recorder(gw), 10, "a recorder"), signal.SIGSTOP)
    began = time.monotonic()
    reply = gw.get("/api/usage")
    assert reply.status in (503, 504) and time.monotonic() - began < 45, reply


def test_a_database_that_somebody_else_holds(gw):
    """A program that keeps it locked for long delays the records, and nothing else."""
    assert gw.chat("hi").status == 200
    wait_until(lambda: total(gw)["requests"] == 1, 10, "a database")
    db = sqlite3.connect(database(gw), isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    ids = {gw.chat("hi").header("x-pointsman-request") for _ in range(10)}
    trouble = wait_until(lambda: state(gw).get("error"), 15, "the lock to be told", step=0.05)
    assert "locked" in trouble, trouble
    ids.add(gw.chat("hi").header("x-pointsman-request"))
    db.execute("COMMIT")
    db.close()
    wait_until(lambda: state(gw)["recording"], 70, "a recorder that writes", step=0.05)
    wait_until(lambda: total(gw)["requests"] == 12, 10, "what came meanwhile", step=0.05)
    assert ids < {row["id"] for row in listed(gw)}
