#!/usr/bin/python3
"""What listeners cost: a gateway with many readers of GET /api/events, idle and while streams run.

Prints the share of a core that workers and manager take, and the time between the tokens of a stream, with and
without listeners. Everything listens on loopback and ends with this process. Needs the mock of this folder
(make tests/bench/mock) and a built gateway; see --help.
"""

import argparse
import http.client
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from harness import Gateway, auto_route, build_dir, wait_until  # noqa: E402
from wire import Truncated, open_request  # noqa: E402

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
GAP_MS = 20


class Crowd:
    """Listeners whose bytes are read and thrown away, in one thread."""

    def __init__(self, gw, n):
        self.bytes = 0
        self.closed = 0
        self._stop = os.pipe()
        self._select = selectors.DefaultSelector()
        self._select.register(self._stop[0], selectors.EVENT_READ)
        self._exchanges = [open_request(gw.address, "GET", "/api/events") for _ in range(n)]
        for exchange in self._exchanges:
            exchange.head()
            self._select.register(exchange.sock, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            for key, _ in self._select.select():
                if key.fd == self._stop[0]:
                    return
                data = key.fileobj.recv(1 << 18)
                self.bytes += len(data)
                if not data:
                    self.closed += 1
                    self._select.unregister(key.fileobj)

    def close(self):
        os.write(self._stop[1], b"x")
        self._thread.join(10)
        for exchange in self._exchanges:
            exchange.close()
        self._select.close()
        for fd in self._stop:
            os.close(fd)


class Stream(threading.Thread):
    """A streamed answer; how long after its own time each of its events came."""

    def __init__(self, gw, seconds):
        super().__init__(daemon=True)
        self.gw = gw
        self.late_ms = []
        self.error = None
        events = int(seconds * 1000 / GAP_MS)
        self.body = {"model": "auto", "stream": True, "mock_events": events, "mock_gap_ms": GAP_MS,
                     "messages": [{"role": "user", "content": "Tell me a story of a lighthouse keeper."}]}

    def run(self):
        last = None
        try:
            with open_request(self.gw.address, "POST", "/v1/chat/completions", self.body) as exchange:
                for event in exchange.events():
                    now = time.monotonic()
                    if last is not None and not event.done:
                        self.late_ms.append((now - last) * 1000 - GAP_MS)
                    last = now
        except (OSError, Truncated) as e:
            self.error = repr(e)


def cpu_s(pid):
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) * TICK_S


def at(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else float("nan")


class Requests:
    """Short requests, one after the other, for a while."""

    BODY = {"model": "auto", "messages": [{"role": "user", "content": "How are you?"}]}

    def __init__(self, gw):
        self.count = 0
        self._link = http.client.HTTPConnection(*gw.address, timeout=30)

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._link.request("POST", "/v1/chat/completions", json.dumps(self.BODY),
                               {"Content-Type": "application/json"})
            self._link.getresponse().read()
            self.count += 1
        self._link.close()


def measure_requests(gw, listeners, seconds):
    """What a request costs the workers, with so many who hear of it."""
    crowd = Crowd(gw, listeners)
    requests = Requests(gw)
    before, began = sum(map(cpu_s, gw.worker_pids())), time.monotonic()
    requests.run(seconds)
    took = time.monotonic() - began
    spent = sum(map(cpu_s, gw.worker_pids())) - before
    crowd.close()
    return {"listeners": listeners, "requests_s": requests.count / took, "us_each": 1e6 * spent / requests.count,
            "closed": crowd.closed}


def measure(gw, listeners, streams, seconds):
    """One row: shares of a core, and the lateness of tokens."""
    crowd = Crowd(gw, listeners)
    running = [Stream(gw, seconds + 1) for _ in range(streams)]
    for stream in running:
        stream.start()
    # the first events are the dearest, and not what is asked here
    threading.Event().wait(1.0)
    workers = gw.worker_pids()
    pids = {"workers": workers, "manager": [gw.manager_pid]}
    heard, began = crowd.bytes, time.monotonic()
    before = {name: sum(map(cpu_s, those)) for name, those in pids.items()}
    threading.Event().wait(seconds)
    took = time.monotonic() - began
    share = {name: 100 * (sum(map(cpu_s, those)) - before[name]) / took for name, those in pids.items()}
    heard = crowd.bytes - heard
    for stream in running:
        stream.join(seconds + 20)
    late = [ms for stream in running for ms in stream.late_ms]
    row = {"listeners": listeners, "streams": streams, "workers_percent": share["workers"],
           "manager_percent": share["manager"], "kib_per_listener_s": heard / 1024 / took / max(1, listeners),
           "closed": crowd.closed, "tokens": len(late), "late_p50_ms": at(late, 0.5), "late_p99_ms": at(late, 0.99),
           "late_max_ms": max(late, default=float("nan")), "errors": [s.error for s in running if s.error]}
    crowd.close()
    return row


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--listeners", type=int, default=100)
    args.add_argument("--streams", type=int, default=3)
    args.add_argument("--seconds", type=float, default=10)
    args.add_argument("--workers", type=int, default=1)
    args.add_argument("--mock", default=str(build_dir() / "tests" / "bench" / "mock"))
    args.add_argument("--json", action="store_true")
    options = args.parse_args()
    if not os.access(options.mock, os.X_OK):
        sys.exit(f"no {options.mock}: make tests/bench/mock, or set POINTSMAN_BUILD")
    with subprocess.Popen([options.mock, "--until-eof"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as mock:
        url = mock.stdout.readline().rsplit("on ", 1)[1].strip()
        cloud = {"CLOUD": "openai", "BASE_URL": f"{url}/v1", "API_KEY_ENV": "CLOUD_KEY", "MODEL": "mock",
                 "CTX_SIZE": 128000}
        gw = Gateway({"cloud": cloud}, {"20-auto.conf": auto_route("cloud", policies="capability")},
                     env={"CLOUD_KEY": "sk-mock"}, workers=options.workers)
        try:
            run(gw, options)
        finally:
            gw.close()
            mock.stdin.close()


def run(gw, options):
    wait_until(lambda: len(gw.worker_pids()) == options.workers, 10, "the workers")
    plan = [(0, 0), (options.listeners, 0), (0, options.streams), (options.listeners, options.streams)]
    rows = [measure(gw, listeners, streams, options.seconds) for listeners, streams in plan]
    told = [measure_requests(gw, n, options.seconds / 2) for n in (0, 1, 10, options.listeners)]
    if options.json:
        print(json.dumps({"streams": rows, "requests": told}))
        return
    print(f"{'LISTENERS':>9} {'STREAMS':>8} {'WORKERS':>9} {'MANAGER':>9} {'KIB/S EACH':>11} {'TOKENS':>7}"
          f" {'LATE P50':>9} {'P99':>9} {'MAX':>9}")
    for row in rows:
        print(f"{row['listeners']:>9} {row['streams']:>8} {row['workers_percent']:>8.2f}% "
              f"{row['manager_percent']:>8.2f}% {row['kib_per_listener_s']:>11.2f} {row['tokens']:>7}"
              f" {row['late_p50_ms']:>6.2f} ms {row['late_p99_ms']:>6.2f} ms {row['late_max_ms']:>6.2f} ms"
              + (f"  closed {row['closed']}" if row["closed"] else "") + "".join(f"  {e}" for e in row["errors"]))
    print(f"\n{'LISTENERS':>9} {'REQUESTS/S':>11} {'WORKERS EACH':>13}")
    for row in told:
        print(f"{row['listeners']:>9} {row['requests_s']:>11.0f} {row['us_each']:>10.0f} us"
              + (f"  closed {row['closed']}" if row["closed"] else ""))


if __name__ == "__main__":
    main()
