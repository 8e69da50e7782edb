#!/usr/bin/env python3
"""Clients that go to and fro between two models that do not fit together, in real time.

A load of the toy models takes next to nothing, so llama-server is started by a script that waits for as long
as a load is to take. Each client asks for the next answer when it has the last one. The same is run three
times: with the settings as they are, with MIN_RESIDENCY=1ms, which is close to serving in the order of
asking, and with a long MIN_RESIDENCY, which is close to batching without a bound. The figures stand beside
the least that is possible: each client changes the model with every request, so in one stay of a model it
gets one answer at most; as many loads as that makes, and all the answers one after the other, with what a
load and an answer took in the same run.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Gateway, llama_server, profile  # noqa: E402

MODELS = ("demo-chat", "demo-coder")
GOAL = 1.3
RULES = (("pointsman", None), ("fifo-like", "1ms"), ("batching-like", "1h"))
SAMPLE = re.compile(r"^(pointsman_[a-z_]+)(?:\{([^}]*)\})? ([0-9.e+-]+)$", re.M)


def slow_server(folder, load_ms):
    """llama-server, so many milliseconds later."""
    path = os.path.join(folder, "slow-llama-server")
    with open(path, "w", encoding="ascii") as out:
        out.write('#!/bin/sh\nsleep %.3f\nexec "%s" "$@"\n' % (load_ms / 1000, llama_server()))
    os.chmod(path, 0o755)
    return path


def ask(gateway, model, number, tokens):
    """One short answer; returns how long it took in seconds."""
    start = time.monotonic()
    reply = gateway.chat("Say something short, number %d." % number, model=model, max_tokens=tokens)
    if reply.status != 200:
        raise RuntimeError("%d for %s: %s" % (reply.status, model, reply.body[:300]))
    return time.monotonic() - start


class Client(threading.Thread):
    """Half of the clients begin with the one model, half with the other."""

    def __init__(self, gateway, number, options):
        super().__init__(daemon=True)
        self.gateway, self.number, self.options = gateway, number, options
        self.took, self.errors = [], []

    def run(self):
        for turn in range(self.options.requests // self.options.clients):
            try:
                self.took.append(ask(self.gateway, MODELS[(turn + self.number) % 2], turn, self.options.tokens))
            except Exception as error:  # pylint: disable=broad-except
                self.errors.append(str(error))


class Counters:
    """What the gateway has counted since this was made."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.before = self._read()

    def _read(self):
        samples = SAMPLE.findall(self.gateway.get("/metrics").text)
        names = ("pointsman_profile_load_seconds", "pointsman_queue_wait_seconds")
        out = {"switches": sum(float(n) for name, labels, n in samples
                               if name == "pointsman_switches_total" and 'what="load"' in labels)}
        for name in names:
            for part in ("_sum", "_count"):
                out[name + part] = sum(float(n) for found, _, n in samples if found == name + part)
        return out

    def since(self):
        now = self._read()
        return {name: now[name] - self.before[name] for name in now}


def mean_of(counted, name):
    return counted[name + "_sum"] / max(1, counted[name + "_count"])


def run_one(options, server, residency):
    settings = {"RAM": 300, "MAX_WAIT": "%ds" % options.max_wait}
    if residency:
        settings["MIN_RESIDENCY"] = residency
    models = {"*": {"LLAMA_SERVER": server}}
    # a server that spins on every core would measure the machine's other work
    models.update({name: profile(name, SLOTS=options.slots, EXTRA_ARGS="--threads 1") for name in MODELS})
    gateway = Gateway(models, {}, manager=settings)
    try:
        # once each: what the manager knows of a profile it has learned from its first load
        for model in MODELS:
            ask(gateway, model, 0, options.tokens)
        counters = Counters(gateway)
        clients = [Client(gateway, n, options) for n in range(options.clients)]
        start = time.monotonic()
        for client in clients:
            client.start()
        for client in clients:
            client.join(options.deadline)
            if client.is_alive():
                raise SystemExit("no end within %d s" % options.deadline)
        makespan = time.monotonic() - start
        counted = counters.since()
        took = [t for client in clients for t in client.took]
        load, mean_wait = (mean_of(counted, "pointsman_" + name)
                           for name in ("profile_load_seconds", "queue_wait_seconds"))
        answer = statistics.mean(took) - mean_wait
        return {"switches": counted["switches"], "makespan": makespan, "mean": mean_wait,
                "worst": max(took) - answer, "load": load, "answer": answer,
                "least": least_possible(options, load, answer),
                "errors": [e for client in clients for e in client.errors]}
    finally:
        gateway.close()


def least_possible(options, load, answer):
    """One model is resident when it begins, so the first stay may need no load."""
    turns = options.requests // options.clients
    stays = turns + (1 if options.clients > 1 else 0)
    return (stays - 1) * load + turns * options.clients * answer / options.slots


def table(results):
    yield "%-14s %8s %9s %8s %8s %7s %7s %7s %9s %6s" % (
        "rule", "switches", "makespan", "mean", "worst", "failed", "load", "answer", "possible", "ratio")
    for name, r in results.items():
        yield "%-14s %8d %8.1fs %7.2fs %7.2fs %7d %5.0fms %5.0fms %8.1fs %6.2f" % (
            name, r["switches"], r["makespan"], r["mean"], r["worst"], len(r["errors"]), r["load"] * 1000,
            r["answer"] * 1000, r["least"], r["makespan"] / r["least"])
        yield from ("  " + error for error in r["errors"][:3])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--clients", type=int, default=4)
    options.add_argument("--requests", type=int, default=200, help="of all clients together")
    options.add_argument("--load-ms", type=float, default=300, help="added to each load")
    options.add_argument("--tokens", type=int, default=12)
    options.add_argument("--slots", type=int, default=1)
    options.add_argument("--max-wait", type=int, default=60, help="MAX_WAIT, in seconds")
    options.add_argument("--deadline", type=int, default=300, help="seconds for one run")
    options.add_argument("--json", help="write the raw figures to this file")
    options.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    options = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="pm-thrash-") as folder:
        server = slow_server(folder, options.load_ms)
        results = {name: run_one(options, server, residency) for name, residency in RULES}
    print("%d clients, %d requests, %d slot(s), MAX_WAIT %d s"
          % (options.clients, options.requests, options.slots, options.max_wait))
    print("\n".join(table(results)))
    ours = results["pointsman"]
    met = ours["makespan"] <= GOAL * ours["least"] and ours["worst"] <= options.max_wait and not ours["errors"]
    print("goal: makespan <= %.1f of the least possible, nobody waits longer than %d s: %s"
          % (GOAL, options.max_wait, "met" if met else "missed"))
    if options.json:
        with open(options.json, "w", encoding="ascii") as out:
            json.dump(results, out, indent=1)
    return 1 if options.check and not met else 0


if __name__ == "__main__":
    sys.exit(main())
