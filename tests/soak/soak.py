#!/usr/bin/env python3
"""A soak of the backend manager: random requests, orders, edits and blows at one real gateway.

    soak.py [--operations 1000] [--seed N] [--workers 2] [--clients 8] [--minutes 15]

The choices come from the seed alone; how they interleave does not. Needs POINTSMAN and a real
llama-server, as the end-to-end tests do. Exits 0 if nothing was wrong, 1 else, 2 if it cannot
run. Standard library only.
"""

import argparse
import collections
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import asking  # noqa: E402
import blows  # noqa: E402
import harness  # noqa: E402
import settled  # noqa: E402
from cloud import Cloud  # noqa: E402

BOUND = 60.0
# how far the clients may run ahead of the operator, in operations
AHEAD = 60
# for so long after a blow a target may be refused: a load, or the pause after a failure
AFTERMATH = 60.0
CLIENT_SHARE = 0.85
MOST_TEXT = 1200
MODELS = {"auto": 9, "chat-a": 3, "chat-b": 3, "code-a": 3, "code-b": 2, blows.EXTRA: 1}


class Findings:
    """What was wrong, with the log of that moment."""

    def __init__(self, gw):
        self.gw = gw
        self.wrong = []
        self.notes = collections.Counter()
        self.began = time.monotonic()
        self._lock = threading.Lock()

    def add(self, text, words=None):
        at = time.monotonic() - self.began
        log = self.gw.log.splitlines()
        text = text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "..."
        near = [line for line in log if words and words in line][-12:] or log[-12:]
        with self._lock:
            self.wrong.append((at, text, near))
        print(f"WRONG at {at:.1f} s: {text}", file=sys.stderr, flush=True)

    def note(self, text):
        with self._lock:
            self.notes[text] += 1


class Plan:
    """The operations in their order. Clients take theirs; the operator follows behind."""

    def __init__(self, operations, seed, with_stop):
        rng = random.Random(seed)
        self.items = []
        for number in range(operations):
            if rng.random() < CLIENT_SHARE:
                self.items.append(asking.Ask(number, rng, MODELS))
            else:
                self.items.append(blows.Op(number, rng, with_stop))
        self.asks = collections.deque(i for i in self.items if isinstance(i, asking.Ask))
        self.ops = collections.deque(i for i in self.items if isinstance(i, blows.Op))
        self.reached = 0
        self.stopped = False
        self.changed = threading.Condition()

    def next_ask(self):
        """The next request, or None; waits while the operator is too far behind."""
        with self.changed:
            while not self.stopped:
                if not self.asks:
                    return None
                if not self.ops or self.asks[0].number < self.ops[0].number + AHEAD:
                    ask = self.asks.popleft()
                    self.reached = ask.number
                    self.changed.notify_all()
                    return ask
                self.changed.wait(0.5)
            return None

    def next_op(self):
        """The next operation, once the requests before it have been sent."""
        with self.changed:
            while not self.stopped:
                if not self.ops:
                    return None
                if not self.asks or self.reached > self.ops[0].number:
                    return self.ops[0]
                self.changed.wait(0.5)
            return None

    def op_done(self):
        with self.changed:
            self.ops.popleft()
            self.changed.notify_all()

    def stop(self):
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


class Soak:
    def __init__(self, options, gw, cloud, sections):
        self.options = options
        self.gw = gw
        self.cloud = cloud
        self.texts = {name: harness.model_file(Path(keys["MODEL"]).stem).with_suffix(".txt")
                      .read_text().strip() for name, keys in blows.profiles().items()}
        self.texts[blows.EXTRA] = self.texts["chat-a"]
        self.texts["cloud"] = cloud.text
        self.ledger = blows.Ledger()
        self.found = Findings(gw)
        self.plan = Plan(options.operations, options.seed, options.with_stop)
        self.operator = blows.Operator(gw, sections, options.workers, self.ledger,
                                       self.found.note)
        self.seen = []
        self.done = collections.Counter()
        self.outcomes = collections.Counter()
        self.refusals = collections.Counter()
        self.peak = {}
        self.over = threading.Event()
        self.ended_early = False

    # threads

    def client(self):
        while True:
            ask = self.plan.next_ask()
            if ask is None:
                return
            seen = asking.perform(self.gw.address, ask, BOUND, self.texts)
            self.judge(ask, seen)
            if seen.kind == asking.NO_CONNECTION and not self.ended_early:
                # not all requests of the plan shall meet the same closed door
                self.ledger.wait_end(blows.KILL_MANAGER, BOUND)

    def operate(self):
        while True:
            op = self.plan.next_op()
            if op is None:
                return
            try:
                self.operator.do(op)
            except (AssertionError, OSError, ValueError) as e:
                self.found.add(f"{op}: {e}")
            except Exception as e:  # a fault of the soak itself must not pass as a success
                self.found.add(f"{op}: {e!r}")
            self.done[op.name] += 1
            self.plan.op_done()

    def watch(self):
        """Looks at the gateway while it works: what no moment may show, and the peaks."""
        while not self.over.wait(1.0):
            began = time.monotonic()
            if self.has_ended():
                return
            try:
                status = self.gw.status()
                now = settled.resources(self.gw)
            except (AssertionError, ValueError, OSError) as e:
                if not self.ledger.met(began, time.monotonic(), (blows.KILL_MANAGER,)):
                    self.found.add(f"status cannot be had: {e}")
                continue
            for text in settled.invariants(status, blows.RAM):
                self.found.add(f"status: {text}")
            for who, (files, mib) in now.items():
                most = self.peak.get(who, (0, 0.0))
                self.peak[who] = (max(files, most[0]), max(mib, most[1]))

    def has_ended(self):
        """Has serve ended, or set out to, though nobody told it to? Then so does the soak."""
        under_way = self.ledger.is_under_way(blows.KILL_MANAGER)
        ended = self.gw.proc.poll() is not None and not under_way
        if not ended and "proc=manager msg=stopping" not in self.gw.log:
            return False
        self.ended_early = True
        self.found.add("serve stops by itself" if not ended else
                       f"serve ended by itself with {self.gw.proc.returncode}",
                       "proc=manager")
        self.plan.stop()
        return True

    # verdicts

    def judge(self, ask, seen):
        wrong = self.complaint(ask, seen)
        if self.ended_early and seen.kind == asking.NO_CONNECTION:
            wrong = ""
        self.done[ask.name] += 1
        self.seen.append(seen)
        if wrong:
            self.outcomes["wrong"] += 1
            when = time.strftime("%H:%M:%S", time.gmtime(seen.clock))
            self.found.add(f"{ask}: {wrong} (sent {when}, took {seen.took:.2f} s, target "
                           f"{seen.target}, {seen.id})", seen.id)
            return
        name = seen.kind
        if ask.cancel and seen.kind != asking.REFUSAL:
            name = asking.CANCELLED
        elif seen.kind in (asking.CUT, asking.TOLD, asking.NO_CONNECTION):
            name += (f" {'in' if seen.status else 'before'} the answer: "
                     + " or ".join(sorted(self.causes(seen))))
        if seen.kind == asking.REFUSAL:
            name = f"refusal {seen.status}"
            self.refusals[f"{seen.status} {seen.text[:110]}"] += 1
        self.outcomes[name] += 1

    def complaint(self, ask, seen):
        """Why this is wrong, or an empty text."""
        if seen.kind == asking.WRONG:
            return seen.text
        if seen.kind == asking.REFUSAL:
            return self._refusal(ask, seen)
        if ask.cancel or seen.kind in (asking.ANSWER, asking.CANCELLED, asking.WAITED):
            return ""
        if self.causes(seen):
            return ""
        return f"{seen.kind}, and nothing that it met was killed: {seen.text}"

    def causes(self, seen):
        """The blows that may end a request as this one ended."""
        met = self._met(seen)
        kinds = []
        # a worker without its manager finishes the answers that it has begun
        if seen.status is None:
            kinds.append(blows.KILL_MANAGER)
        if seen.kind != asking.NO_CONNECTION:
            kinds.append(blows.KILL_WORKER)
        out = {kind for kind in kinds if met(kind)}
        if seen.status == 200:
            out |= {kind for kind in (blows.KILL_SERVER, blows.STOP_SERVER)
                    if met(kind, seen.target)}
        return out

    def _met(self, seen, before=0.0):
        def met(kind, what=None):
            return self.ledger.met(seen.began - before, seen.ended, (kind,), what)
        return met

    def _refusal(self, ask, seen):
        if seen.status == 404 and ask.model == blows.EXTRA:
            return ""
        if seen.status not in asking.REFUSALS:
            return f"refused with {seen.status}: {seen.text}"
        met = self._met(seen, AFTERMATH)
        removed = ask.model == blows.EXTRA and met(blows.REMOVE)
        if seen.status == 429:
            # with so few clients no queue is ever full
            return f"waited in vain for what is no more: {seen.text}" if removed else ""
        if not removed and not any(met(kind) for kind in (
                blows.KILL_SERVER, blows.KILL_MANAGER, blows.STOP_SERVER)):
            return f"refused with {seen.status} though nothing was killed: {seen.text}"
        return ""

    # the run

    def warm_up(self):
        for name in blows.profiles():
            reply = self.gw.chat("hi", model=name, max_tokens=20)
            if reply.status != 200:
                self.found.add(f"warm-up: {name}: {reply}")
        return settled.resources(self.gw)

    def run(self):
        warm = self.warm_up()
        threads = [threading.Thread(target=self.client, daemon=True)
                   for _ in range(self.options.clients)]
        threads.append(threading.Thread(target=self.operate, daemon=True))
        watcher = threading.Thread(target=self.watch, daemon=True)
        for thread in [*threads, watcher]:
            thread.start()
        end = self.found.began + self.options.minutes * 60 - 90
        for thread in threads:
            thread.join(max(1.0, end - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            self.found.note("the time was over before the operations were")
            self.plan.stop()
        for thread in threads:
            thread.join(BOUND + 5)
            if thread.is_alive():
                self.found.add(f"a thread of the soak does not end: {thread.name}")
        self.over.set()
        watcher.join(20)
        self.finish(warm)

    def finish(self, warm):
        if self.gw.proc.poll() is None and not self.ended_early:
            for text in settled.at_rest(self.gw, self.options.workers, warm):
                self.found.add(f"at rest: {text}")
            rest = settled.resources(self.gw)
            for text in settled.after_stop(self.gw):
                self.found.add(text)
        else:
            rest = {}
        workers = [b.pid for b in self.ledger.blows if b.kind == blows.KILL_WORKER]
        servers = [b.what for b in self.ledger.blows
                   if b.kind in (blows.KILL_SERVER, blows.STOP_SERVER)]
        for text in settled.log_complaints(self.gw.log, workers, servers):
            self.found.add(text)
        for text in self.cloud.violations:
            self.found.add(f"the cloud was asked wrongly: {text}")
        self.warm, self.rest = warm, rest

    # the report

    def report(self):
        def table(title, counter):
            print(f"\n{title}")
            for name, count in sorted(counter.items()):
                print(f"  {count:6}  {name}")

        table("operations", self.done)
        table("outcomes of requests", self.outcomes)
        if self.refusals:
            table("refusals", self.refusals)
        if self.found.notes:
            table("notes", self.found.notes)
        times = sorted(s.took for s in self.seen if s.kind in (asking.ANSWER, asking.REFUSAL))
        if times:
            worst = max((s for s in self.seen if s.kind != asking.CANCELLED),
                        key=lambda s: s.took)
            print(f"\nrequests: p50 {times[len(times) // 2] * 1000:.0f} ms, p99 "
                  f"{times[len(times) * 99 // 100] * 1000:.0f} ms; longest {worst.took:.1f} s"
                  f" ({worst.ask}: {worst.kind})")
        if self.operator.restarts_ms:
            print(f"a new manager listened after {max(self.operator.restarts_ms):.0f} ms at most"
                  f" ({self.operator.start_retries} starts found the port still taken)")
        if self.operator.noticed_s:
            print("stopped servers were gone after "
                  + ", ".join(f"{took:.1f}" for took in self.operator.noticed_s) + " s")
        for who in self.warm:
            at = [f"{name} {r[who][0]} files {r[who][1]:.0f} MiB" for name, r in
                  (("warm", self.warm), ("peak", self.peak), ("at rest", self.rest)) if who in r]
            print(f"{who}: " + ", ".join(at))
        print(f"took {time.monotonic() - self.found.began:.0f} s, seed {self.options.seed}")
        wrong = self.found.wrong
        for at, text, near in wrong:
            print(f"\nWRONG at {at:.1f} s: {text}")
            for line in near:
                print(f"    | {line[:400]}")
        print(f"\nsoak: {sum(self.done.values())} operations, {len(wrong)} wrong")
        return 1 if wrong else 0


def options_of(argv):
    parser = argparse.ArgumentParser(description="A soak of the backend manager.")
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=15, help="15 at most")
    parser.add_argument("--with-stop", action="store_true",
                        help="stop servers as well: a hung one must be found by its silence")
    parser.add_argument("--keep-log", metavar="FILE", help="copy the gateway's log there")
    options = parser.parse_args(argv)
    options.minutes = min(15.0, max(2.0, options.minutes))
    return options


def main():
    options = options_of(sys.argv[1:])
    reason = harness.missing()
    if reason:
        print(f"soak: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"soak: {options.operations} operations, seed {options.seed}, {options.workers} workers",
          flush=True)
    folder = tempfile.mkdtemp(prefix="pm-soak-")
    with Cloud(folder) as cloud:
        sections = {**blows.profiles(), "cloud": cloud.section()}
        gw = harness.Gateway(
            sections, {"20-auto.conf": harness.auto_route("chat-a,chat-b,code-a,code-b", "cloud")},
            workers=options.workers, manager=blows.Operator.manager,
            env={"CLOUD_KEY": cloud.key, "UBSAN_OPTIONS": "print_stacktrace=1"}, start=False)
        try:
            gw.start()
            soak = Soak(options, gw, cloud, sections)
            soak.run()
            return soak.report()
        finally:
            if options.keep_log:
                shutil.copyfile(gw.dir / "stderr.log", options.keep_log)
            gw.close()
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
