#!/usr/bin/env python3
"""Does the benchmark's load generator tell the truth? Compares it with wrk on the same mock.

Both send the same small request for about the same time, in turn; the best requests per second of
each must agree within a factor (the best, because other work on the machine only ever makes them
worse), and with one connection the best p50 latency too. With many, the median depends on the order
in which a client serves its connections; there the rate and the mean latency must explain each
other. The factor is wide because wrk is a different client, but it would show a wrong unit, a
request counted twice or a latency that leaves out the answer. Before that the mock is told to wait
a known time, and the latencies and stream delays must show it.

Exit status: 0 they agree (or wrk is not installed: only the known wait is checked), 1 they do not.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # nothing is left in the source tree

import bench
import rig as rigs

FACTOR = 1.6
ROUNDS = 5
UNITS = {"us": 1.0, "ms": 1000.0, "s": 1e6}
SCRIPT = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open(os.getenv("BENCH_BODY"), "rb")
wrk.body = file:read("*a")
file:close()
"""


def run_load(options, mode, port, body, *more):
    run = subprocess.run(
        [options.load, mode, "--port", str(port), "--body", body, *map(str, more)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


def run_wrk(wrk, port, script, body, connections):
    """(requests per second, p50 in us)"""
    text = subprocess.run(
        [
            wrk,
            "-t1",
            "-c%d" % connections,
            "-d1s",
            "--latency",
            "-s",
            script,
            "http://127.0.0.1:%d/v1/chat/completions" % port,
        ],
        env=dict(rigs.environment(), BENCH_BODY=body),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise rigs.Failure("wrk met errors:\n" + text)
    p50 = re.search(r"50%\s+([\d.]+)(us|ms|s)", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    return float(rate.group(1)), float(p50.group(1)) * UNITS[p50.group(2)]


def compare_with_wrk(options, rig, wrk):
    body = rig.body_file("small.json", rigs.small_body())
    script = rig.body_file("post.lua", SCRIPT.encode())
    agreed = True
    for connections in (1, 16, 64):
        ours, theirs = [], []
        for _ in range(ROUNDS):
            theirs.append(run_wrk(wrk, rig.mock_port, script, body, connections))
            result = run_load(
                options,
                "requests",
                rig.mock_port,
                body,
                "--connections",
                connections,
                "--requests",
                int(theirs[-1][0]),
            )
            ours.append((result["rps"], result["latency_us"]["p50"]))
            agreed = check_own_arithmetic(result, connections) and agreed
        agreed = compare(connections, "requests/s", max, ours, theirs, 0) and agreed
        if connections == 1:
            agreed = compare(connections, "p50 us", min, ours, theirs, 1) and agreed
    return agreed


def compare(connections, what, best, ours, theirs, at):
    a = best(x[at] for x in ours)
    b = best(x[at] for x in theirs)
    good = 1 / FACTOR <= a / b <= FACTOR
    print(
        "%2d connections, %-10s load %9.1f   wrk %9.1f   ratio %.2f  %s"
        % (connections, what, a, b, a / b, "ok" if good else "DIFFERENT")
    )
    return good


def check_own_arithmetic(result, connections):
    """In a closed loop the requests under way are the rate times the mean latency: all connections.
    A little is lost between an answer and the next request, and when the last requests run out."""
    under_way = result["rps"] * result["latency_us"]["mean"] / 1e6
    good = 0.7 * connections <= under_way <= 1.02 * connections
    if not good:
        print("%d connections, but %.1f requests under way  WRONG" % (connections, under_way))
    return good


def check_known_wait(options, rig):
    """The mock answers after 20 ms; its streams send 5 events, 20 ms apart."""
    slow = rig.body_file("slow.json", rigs.encode({"model": "mock-slow-20", "messages": []}))
    result = run_load(
        options, "requests", rig.mock_port, slow, "--connections", 4, "--requests", 100
    )
    p50 = result["latency_us"]["p50"]
    good = 20_000 <= p50 <= 30_000 and result["latency_us"]["min"] >= 20_000
    print("an answer after 20 ms: p50 %.1f ms  %s" % (p50 / 1000, "ok" if good else "WRONG"))
    stream = rig.body_file("stream.json", rigs.stream_body(5, 20))
    result = run_load(
        options, "streams", rig.mock_port, stream, "--streams", 10, "--expect-events", 5
    )
    delay = result["delay_us"]
    wall_good = 0.078 <= result["wall_s"] <= 0.4
    delay_good = delay["count"] == 50 and 0 < delay["p50"] < 20_000
    print(
        "10 streams of 5 events, 20 ms apart: %.0f ms, %d events, delay p50 %.0f us  %s"
        % (
            1000 * result["wall_s"],
            delay["count"],
            delay["p50"],
            "ok" if wall_good and delay_good else "WRONG",
        )
    )
    return good and wall_good and delay_good


def main(argv):
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--mock", default=os.path.join(bench.BUILD, "tests/bench/mock"))
    p.add_argument("--load", default=os.path.join(bench.BUILD, "tests/bench/load"))
    p.add_argument("--nice", type=int, default=0, metavar="N")
    options = p.parse_args(argv)
    os.nice(options.nice)
    rigs.raise_file_limit()
    other = bench.OtherWork()
    with tempfile.TemporaryDirectory(prefix="pointsman-bench-") as folder:
        rig = rigs.Rig(options, folder)
        try:
            agreed = check_known_wait(options, rig)
            wrk = rigs.find_program("wrk")
            if wrk:
                agreed = compare_with_wrk(options, rig, wrk) and agreed
            else:
                print("wrk is not installed: not compared")
        finally:
            rig.close()
    if not agreed and other.share() > 0.1:
        print("note: the machine is busy with other work (%.0f %%)" % (100 * other.share()))
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
