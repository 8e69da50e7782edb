"""`pointsman top` stays up through twenty switches, a worker's death and a manager's restart."""

import os
import signal

import pytest
from harness import auto_route, profile, wait_until
from terminal import Top, missing_tmux

ROUTE = {"20-auto.conf": auto_route("demo-chat,demo-coder")}
NAMES = ("demo-chat", "demo-coder")
SWITCHES = 20

pytestmark = pytest.mark.skipif(bool(missing_tmux()), reason=missing_tmux())


def memory_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


@pytest.fixture
def setup(make_gateway):
    gw = make_gateway({name: profile(name) for name in NAMES}, ROUTE,
                      manager={"RAM": 300, "MIN_RESIDENCY": 0})
    tops = []

    def make(*size):
        tops.append(Top(gw, *size))
        return tops[-1]

    yield gw, make
    for top in tops:
        top.close()


def test_twenty_switches_and_what_else_can_happen(setup, measured):
    gw, make = setup
    t = make(160, 50)
    t.shows()
    pid = t.pid
    for n in range(SWITCHES):
        name = NAMES[n % 2]
        t.keys("Down" if n % 2 else "Up", "Enter")
        t.model(name, "ready")
        t.model(NAMES[1 - n % 2], "off")
        if n == 5:
            dead = gw.kill_worker()
            wait_until(lambda: gw.worker_pids() not in ([], [dead]), 10, "another worker", 0.05)
        if n == 10:
            gw.kill_manager()
            t.wait("NOT RUNNING")
            gw.start()
            t.wait_gone("NOT RUNNING")
            t.model(name, "ready")
        if n == 15:
            gw.cli("reload", check=None)
            os.kill(pid, signal.SIGWINCH)
        if n == 2:
            early = memory_kib(pid)
    assert t.pid == pid and t.runs
    late = memory_kib(pid)
    measured(f"top after {SWITCHES} switches: {late} KiB, {early} KiB after three")
    # the lines of all the switches are there: as many separators as there were loads
    t.keys("/").type("--- ready").keys("Enter")
    screen = t.wait(lambda s: "m models" in s.lines[-1] and "with: --- ready" in s)
    ready = [line for line in screen.below("LOGS")[:-1] if "--- ready" in line]
    assert SWITCHES <= len(ready) <= SWITCHES + 1, screen
    assert late < early + 4096
    t.keys("q")
    assert t.wait_end() == 0


def test_many_sizes_while_it_works(setup):
    gw, make = setup
    t = make()
    t.shows()
    gw.cli("switch", "demo-chat", "--wait")
    sizes = [(1, 1), (300, 100), (5, 50), (200, 2), (127, 24), (128, 24), (40, 10), (80, 24)]
    for columns, rows in sizes * 4:
        t.resize(columns, rows)
        t.keys("m", "Escape", "?", "x")
    t.wait(lambda s: len(s.lines) == 24 and "q leave" in s.lines[-1])
    assert t.runs
    t.model("demo-chat", "ready")
