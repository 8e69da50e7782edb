#!/usr/bin/env python3
"""What Pointsman costs, against the same upstream asked directly and through HAProxy, in one run.

Four figures have goals: processor time per request as a multiple of HAProxy's, the latency added
to a small request and to a coding agent's 300 KB, and the memory of an idle stream. The latencies
are medians over interleaved rounds, so that a machine which is busy for a while does not favour
one of the three.

Exit status: 0 measured (a missed goal is printed, not failed), 1 a request failed, 2 wrong usage.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # nothing is left in the source tree

import rig as rigs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")
GOALS = [  # key, words, limit, unit
    ("cpu_ratio", "processor time <= 4 x HAProxy", 4.0, "x"),
    ("small_added_p50_us", "added p50, small request <= 150 us", 150.0, "us"),
    ("agent_added_p50_us", "added p50, 300 KB request <= 2 ms", 2000.0, "us"),
    ("stream_kib", "memory per idle stream <= 40 KB", 40.0, "KiB"),
]


class Sizes:
    """How much is measured."""

    def __init__(self, quick):
        self.cpu_rounds = 3 if quick else 5
        self.cpu_requests = 5000 if quick else 20000
        self.cpu_connections = 64
        self.small_rounds = 5 if quick else 15
        self.small_requests = 500 if quick else 2000
        self.agent_rounds = 5 if quick else 11
        self.agent_requests = 50 if quick else 200
        self.stream_rounds = 1 if quick else 3
        self.streams = 1000
        self.events = 12 if quick else 25
        self.gap_ms = 200
        self.big_streams = 100
        self.callgrind_requests = (100, 600)


class Bench:
    def __init__(self, options, rig, sizes):
        self.options = options
        self.rig = rig
        self.sizes = sizes
        self.figures = {}
        self.bodies = {
            "small": rig.body_file("small.json", rigs.small_body()),
            "agent": rig.body_file("agent.json", rigs.agent_body()),
        }

    # ---- targets ----

    def proxies(self):
        return [
            name
            for name, wanted in (
                ("haproxy", self.options.haproxy),
                ("pointsman", self.options.pointsman),
            )
            if wanted
        ]

    def start(self, name, **how):
        process, port = getattr(self.rig, "start_" + name)(**how)
        try:
            headers, _ = rigs.ask(port, "POST", "/v1/chat/completions", rigs.small_body())
        except rigs.Failure as e:
            raise rigs.Failure("%s: %s%s" % (name, e, process.log_tail())) from e
        if name == "pointsman":
            for header, value in (("x-pointsman-route", "auto"), ("x-pointsman-target", "mock")):
                if headers.get(header) != value:
                    raise rigs.Failure(
                        "pointsman: %s is %r, not %r: the route is not what is measured"
                        % (header, headers.get(header), value)
                    )
        return process, port

    def start_all(self):
        running = {name: self.start(name) for name in self.proxies()}
        processes = {name: process for name, (process, _) in running.items()}
        ports = {"direct": self.rig.mock_port}
        ports.update((name, port) for name, (_, port) in running.items())
        return processes, ports

    def stop_all(self, processes):
        for process in processes.values():
            self.rig.stop(process)

    # ---- one run of the load generator ----

    def command(self, mode, port, body, **more):
        argv = [self.options.load, mode, "--port", str(port), "--body", body]
        for key, value in more.items():
            argv += ["--" + key.replace("_", "-")] + ([] if value is True else [str(value)])
        return argv

    def result(self, name, text):
        result = json.loads(text.strip().splitlines()[-1])
        if result["errors"] or result["timed_out"]:
            raise rigs.Failure(
                "%s: %d of %d requests failed%s: %s"
                % (
                    name,
                    result["errors"],
                    result["count"],
                    ", time limit reached" if result["timed_out"] else "",
                    result["sample"],
                )
            )
        return result

    def load(self, name, mode, port, body, **more):
        before = self.rig.served()
        run = subprocess.run(
            self.command(mode, port, body, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if run.returncode == 2:
            raise rigs.Failure("the load generator could not run")
        result = self.result(name, run.stdout)
        asked = self.rig.served() - before
        expected = result["count"] + more.get("warmup", 0)
        if asked != expected:
            raise rigs.Failure(
                "%s: %d requests became %d at the upstream" % (name, expected, asked)
            )
        return result

    # ---- (1) processor time ----

    def measure_cpu(self):
        s = self.sizes
        processes, ports = self.start_all()
        rows = {name: [] for name in ports}
        rates = {name: [] for name in ports}
        for number in range(s.cpu_rounds + 1):
            for name, port in rotated(ports, number):
                before = processes[name].cpu_ns() if name in processes else {}
                result = self.load(
                    name,
                    "requests",
                    port,
                    self.bodies["small"],
                    connections=s.cpu_connections,
                    requests=s.cpu_requests,
                )
                after = processes[name].cpu_ns() if name in processes else {}
                if set(before) != set(after):
                    raise rigs.Failure("%s: its processes changed during a run" % name)
                if number == 0:
                    continue  # warm-up
                rows[name].append(sum(after[p] - before[p] for p in after) / s.cpu_requests / 1000)
                rates[name].append(result["rps"])
        self.stop_all(processes)
        self.figures["cpu"] = {
            name: {
                "us_per_request": median(rows[name]),
                "rounds_us": rows[name],
                "requests_per_s": median(rates[name]),
            }
            for name in ports
        }
        if len(processes) == 2:
            self.figures["cpu_ratio"] = median(rows["pointsman"]) / median(rows["haproxy"])

    # ---- (2), (3) added latency ----

    @contextlib.contextmanager
    def pinned(self):
        """With --pin, what is started meanwhile shares one processor: with one request in flight
        only one process works at a time, and waking an idle processor is not what is measured."""
        allowed = os.sched_getaffinity(0)
        if self.options.pin:
            os.sched_setaffinity(0, {min(allowed)})
        try:
            yield
        finally:
            os.sched_setaffinity(0, allowed)

    def measure_latency(self, kind, rounds, requests):
        with self.pinned():
            self.rig.restart_mock()
            self.measure_latency_here(kind, rounds, requests)
        if self.options.pin:
            self.rig.restart_mock()

    def measure_latency_here(self, kind, rounds, requests):
        processes, ports = self.start_all()
        rows = {name: [] for name in ports}
        for number in range(rounds):
            for name, port in rotated(ports, number):
                result = self.load(
                    name,
                    "requests",
                    port,
                    self.bodies[kind],
                    connections=1,
                    requests=requests,
                    warmup=max(10, requests // 20),
                )
                rows[name].append(result)
        self.stop_all(processes)
        table = {}
        for name, results in rows.items():
            table[name] = {p: median([r["latency_us"][p] for r in results]) for p in ("p50", "p99")}
            table[name]["rounds"] = [r["latency_us"] for r in results]
            for p in ("p50", "p99"):
                table[name]["added_" + p] = median(
                    [
                        r["latency_us"][p] - d["latency_us"][p]
                        for r, d in zip(results, rows["direct"])
                    ]
                )
            reported = [r["overhead_us"]["p50"] for r in results if "overhead_us" in r]
            if reported:
                table[name]["reported_p50"] = median(reported)
        self.figures[kind] = table
        if "pointsman" in table:
            self.figures[kind + "_added_p50_us"] = table["pointsman"]["added_p50"]

    # ---- (4) streams ----

    def hold(self, name, process, port, body, streams):
        """KiB: (PSS before, PSS with `streams` idle streams open, RSS before, RSS with them)."""
        before = process.memory()
        holder = rigs.Process(
            self.command("streams", port, body, streams=streams, ramp_ms=500, hold=True),
            self.rig.path("load.log"),
        )
        self.rig.started.append(holder)
        held = json.loads("{" + holder.wait_line("{", 60))
        during = process.memory()
        holder.popen.stdin.write("\n")
        holder.popen.stdin.flush()
        result = self.result(name, "{" + holder.wait_line("{", 60))
        self.rig.stop(holder)
        if held["errors"] or result["events"] < streams:
            raise rigs.Failure("%s: %d of %d streams failed" % (name, held["errors"], streams))
        return before[0], during[0], before[1], during[1]

    def measure_stream_memory(self):
        s = self.sizes
        table = {}
        big = json.loads(rigs.agent_body())
        idle = {"stream": True, "mock_events": 2, "mock_gap_ms": 600_000}
        bodies = {
            "small": (s.streams, self.rig.body_file("idle.json", rigs.stream_body(2, 600_000))),
            "agent": (
                s.big_streams,
                self.rig.body_file("idle-agent.json", rigs.encode({**idle, **big})),
            ),
        }
        warm = self.rig.body_file("warm.json", rigs.stream_body(2, 0))
        for name in self.proxies():
            for kind, (streams, body) in bodies.items():
                # A new process each time: what an earlier run left free would hide the growth.
                process, port = self.start(name)
                self.load(name, "streams", port, warm, streams=4)
                pss0, pss1, rss0, rss1 = self.hold(name, process, port, body, streams)
                rigs.ask(port, "POST", "/v1/chat/completions", rigs.small_body())
                self.rig.stop(process)
                table.setdefault(name, {})[kind] = {
                    "streams": streams,
                    "kib_per_stream": (pss1 - pss0) / streams,
                    "pss_before_kib": pss0,
                    "pss_kib": pss1,
                    "rss_before_kib": rss0,
                    "rss_kib": rss1,
                }
        self.figures["stream_memory"] = table
        if "pointsman" in table:
            self.figures["stream_kib"] = table["pointsman"]["small"]["kib_per_stream"]

    def measure_stream_gap(self):
        s = self.sizes
        body = self.rig.body_file("stream.json", rigs.stream_body(s.events, s.gap_ms))
        processes, ports = self.start_all()
        rows = {name: [] for name in ports}
        for number in range(s.stream_rounds):
            for name, port in rotated(ports, number):
                # Streams open within one gap; the first two events of each are the opening.
                rows[name].append(
                    self.load(
                        name,
                        "streams",
                        port,
                        body,
                        streams=s.streams,
                        skip=2,
                        ramp_ms=s.gap_ms,
                        expect_events=s.events,
                    )["delay_us"]
                )
        self.stop_all(processes)
        table = {}
        for name, results in rows.items():
            table[name] = {p: median([r[p] for r in results]) for p in ("p50", "p99")}
            for p in ("p50", "p99"):
                table[name]["added_" + p] = median(
                    [r[p] - d[p] for r, d in zip(results, rows["direct"])]
                )
            table[name]["rounds"] = results
        self.figures["stream_gap"] = table

    # ---- instructions ----

    def measure_instructions(self):
        """Instructions per request in user space: the same on a busy machine and an idle one."""
        few, many = self.sizes.callgrind_requests
        table = {}
        for name in self.proxies():
            totals = [self.instructions(name, requests) for requests in (few, many)]
            table[name] = (totals[1] - totals[0]) / (many - few)
        self.figures["instructions"] = table

    def instructions(self, name, requests):
        folder = tempfile.mkdtemp(prefix="callgrind-", dir=self.rig.folder)
        wrapper = [
            "valgrind",
            "-q",
            "--tool=callgrind",
            "--trace-children=yes",
            "--callgrind-out-file=" + os.path.join(folder, "out.%p"),
        ]
        how = {"wrapper": wrapper}
        if name == "pointsman":
            how["deadline_s"] = 90
        process, port = self.start(name, **how)
        self.load(name, "requests", port, self.bodies["small"], connections=4, requests=requests)
        self.rig.stop(process)
        total = 0
        for entry in os.listdir(folder):
            with open(os.path.join(folder, entry), encoding="utf-8", errors="replace") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("totals:"))
        if not total:
            raise rigs.Failure("callgrind counted nothing for " + name)
        return total

    def run(self):
        only, s = self.options.only, self.sizes
        if only in (None, "small"):
            step("processor time per request, %d connections" % s.cpu_connections)
            self.measure_cpu()
            step("latency of a small request")
            self.measure_latency("small", s.small_rounds, s.small_requests)
        if only in (None, "agent"):
            step("latency of a 300 KB request")
            self.measure_latency("agent", s.agent_rounds, s.agent_requests)
        if only in (None, "streams"):
            step("memory of idle streams")
            self.measure_stream_memory()
            step("delay of stream events, %d streams" % s.streams)
            self.measure_stream_gap()
        if self.options.callgrind:
            step("instructions per request")
            self.measure_instructions()


def median(values):
    return statistics.median(values)


def rotated(mapping, number):
    """The items, a different one first in every round."""
    items = list(mapping.items())
    start = number % len(items)
    return items[start:] + items[:start]


def step(text):
    print("measuring: " + text, file=sys.stderr, flush=True)


# ---- other work on the machine ----


class OtherWork:
    """The share of the processors that was spent on neither this benchmark nor idling."""

    def __init__(self):
        self.at_start = self._now()

    @staticmethod
    def _now():
        with open("/proc/stat", encoding="ascii") as f:
            fields = [int(x) for x in f.readline().split()[1:9]]
        own = os.times()
        return (
            sum(fields),
            fields[3] + fields[4],
            (own[0] + own[1] + own[2] + own[3]) * 1e9 / rigs.TICK_NS,
        )

    def share(self):
        """To be asked when every child has been waited for."""
        total, idle, own = (b - a for a, b in zip(self.at_start, self._now()))
        return max(0.0, (total - idle - own) / total) if total else 0.0


# ---- report ----


def print_cpu(figures):
    print("\nprocessor time per request, user + system (64 connections, small request)")
    for name, row in figures["cpu"].items():
        if name == "direct":
            print("  %-10s %10s      %8.0f requests/s" % (name, "", row["requests_per_s"]))
        else:
            print(
                "  %-10s %7.1f us      %8.0f requests/s"
                % (name, row["us_per_request"], row["requests_per_s"])
            )


def print_latency(figures, kind, words):
    print("\nlatency of %s, 1 connection, in us" % words)
    print("  %-10s %9s %9s %11s %11s" % ("", "p50", "p99", "added p50", "added p99"))
    for name, row in figures[kind].items():
        reported = "   (says itself: %.0f)" % row["reported_p50"] if "reported_p50" in row else ""
        print(
            "  %-10s %9.0f %9.0f %11.0f %11.0f%s"
            % (name, row["p50"], row["p99"], row["added_p50"], row["added_p99"], reported)
        )


def print_streams(figures, sizes):
    print("\nmemory per idle stream, in KiB (growth of the process tree's PSS)")
    for name, kinds in figures["stream_memory"].items():
        print(
            "  %-10s %s"
            % (
                name,
                ",  ".join(
                    "%d with a %s request: %.1f"
                    % (
                        row["streams"],
                        "small" if kind == "small" else "300 KB",
                        row["kib_per_stream"],
                    )
                    for kind, row in kinds.items()
                ),
            )
        )
    print(
        "\ndelay of an event, %d streams, one event each %d ms, in us"
        % (sizes.streams, sizes.gap_ms)
    )
    print("  %-10s %9s %9s %11s %11s" % ("", "p50", "p99", "added p50", "added p99"))
    for name, row in figures["stream_gap"].items():
        print(
            "  %-10s %9.0f %9.0f %11.0f %11.0f"
            % (name, row["p50"], row["p99"], row["added_p50"], row["added_p99"])
        )


def report(figures, sizes):
    if "cpu" in figures:
        print_cpu(figures)
    if "small" in figures:
        print_latency(figures, "small", "a small request")
    if "agent" in figures:
        print_latency(figures, "agent", "a 300 KB request")
    if "stream_memory" in figures:
        print_streams(figures, sizes)
    if "instructions" in figures:
        print("\ninstructions per request in user space")
        for name, count in figures["instructions"].items():
            print("  %-10s %9.0f" % (name, count))
    print()
    for key, words, limit, unit in GOALS:
        if key in figures:
            value = figures[key]
            print(
                "goal: %s: measured %.2f %s  (%s)"
                % (words, value, unit, "met" if value <= limit else "missed")
            )
    if figures["other_work"] > 0.1:
        print(
            "note: other work took %.0f %% of this machine's processors meanwhile"
            % (100 * figures["other_work"])
        )


# ---- command line ----


def read_options(argv):
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument(
        "--pointsman", default=os.environ.get("POINTSMAN", os.path.join(BUILD, "pointsman"))
    )
    p.add_argument(
        "--plugins", default=os.environ.get("POINTSMAN_PLUGINS", os.path.join(BUILD, "plugins"))
    )
    p.add_argument(
        "--mock", default=os.environ.get("BENCH_MOCK", os.path.join(BUILD, "tests/bench/mock"))
    )
    p.add_argument(
        "--load", default=os.environ.get("BENCH_LOAD", os.path.join(BUILD, "tests/bench/load"))
    )
    p.add_argument(
        "--haproxy", default=rigs.find_program("haproxy"), help="found on PATH by default"
    )
    p.add_argument("--without-pointsman", action="store_true", help="direct and HAProxy only")
    p.add_argument("--only", choices=["small", "agent", "streams"])
    p.add_argument("--quick", action="store_true", help="fewer rounds: a look, not a measurement")
    p.add_argument(
        "--callgrind", action="store_true", help="also count instructions (needs valgrind)"
    )
    p.add_argument(
        "--nice",
        type=int,
        default=0,
        metavar="N",
        help="priority of all that is measured; -15 (as root) holds its own on a busy machine",
    )
    p.add_argument(
        "--pin", action="store_true", help="latencies with one connection on one processor"
    )
    p.add_argument("--json", metavar="FILE", help="write the raw figures")
    p.add_argument(
        "--keep", action="store_true", help="keep the folder with configurations and logs"
    )
    options = p.parse_args(argv)
    if options.without_pointsman:
        options.pointsman = None
    for name in ("mock", "load", "pointsman"):
        path = getattr(options, name)
        if path and not os.access(path, os.X_OK):
            p.error("%s: no such program (see --%s)" % (path, name))
    if options.pointsman:
        options.pointsman = os.path.abspath(options.pointsman)
        options.plugins = os.path.abspath(options.plugins)
    if not options.haproxy:
        print("HAProxy is not installed: skipped, and with it the ratio of processor time")
    if options.callgrind and not rigs.find_program("valgrind"):
        print("valgrind is not installed: instructions are not counted")
        options.callgrind = False
    return options


def measure(options, folder):
    sizes = Sizes(options.quick)
    other = OtherWork()
    rig = rigs.Rig(options, folder)
    try:
        bench = Bench(options, rig, sizes)
        bench.run()
    finally:
        rig.close()
    bench.figures["other_work"] = other.share()
    bench.figures["machine"] = {
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": options.quick,
    }
    report(bench.figures, sizes)
    if options.json:
        with open(options.json, "w", encoding="ascii") as f:
            json.dump(bench.figures, f, indent=1)
            f.write("\n")


def main(argv):
    options = read_options(argv)
    limit = rigs.raise_file_limit()
    if options.nice:
        os.nice(options.nice)
    if limit < 8300:
        print("bench: at most %d files may be open here, 8300 are needed" % limit, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="pointsman-bench-") as folder:
        try:
            measure(options, folder)
        except rigs.Failure as e:
            print("bench: " + str(e), file=sys.stderr)
            return 1
        finally:
            if options.keep:
                kept = tempfile.mkdtemp(prefix="pointsman-bench-kept-")
                os.rename(folder, os.path.join(kept, "run"))
                os.mkdir(folder)
                print("kept in " + os.path.join(kept, "run"), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
