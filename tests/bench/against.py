#!/usr/bin/python3
"""`pointsman bench speed` beside llama-bench and the bare llama-server, on the same models.

    against.py [--rounds N] [--prompt N] [--generate N] [--models toy,random]

In each round all three measure once, in turn (ABCABC), so that what the machine does meanwhile
meets each of them: llama-bench; a llama-server with the profile's own command line, asked
directly for the same tokens; and `pointsman bench speed`, through the gateway. Threads, batches,
types of the KV cache and flash attention are read off the server's command line and said to
llama-bench. Prints medians and ratios; --check fails where one is off by more than 3 %.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import gguf  # noqa: E402
import harness  # noqa: E402
from wire import free_port, wait_until  # noqa: E402

ALLOWED = 0.03
# what both take, by its name here and there
SAME = {"--threads": "-t", "--batch-size": "-b", "--ubatch-size": "-ub", "--flash-attn": "-fa",
        "--cache-type-k": "-ctk", "--cache-type-v": "-ctv"}
SHORT = {"-t": "--threads", "-b": "--batch-size", "-ub": "--ubatch-size", "-fa": "--flash-attn",
         "-ctk": "--cache-type-k", "-ctv": "--cache-type-v", "-m": "--model", "-c": "--ctx-size"}
FIXED = "--threads {threads} --batch-size 2048 --ubatch-size 512"


def argv_of(gw, name):
    """The command line of a profile's server, as the gateway has it."""
    return gw.cli("models", "--argv", name).stdout.splitlines()


def option(argv, name):
    for n, word in enumerate(argv):
        key, _, value = word.partition("=")
        if SHORT.get(key, key) == name:
            return value or argv[n + 1]
    return None


def llama_bench(argv, prompt, generate):
    """One repeat of it, after its own warm-up. (reads, writes) in tokens a second."""
    program = harness.llama_server().parent / "llama-bench"
    same = [word for long, short in SAME.items() if option(argv, long)
            for word in (short, _flash(long, option(argv, long)))]
    out = subprocess.run([program, "-m", option(argv, "--model"), "-p", str(prompt), "-n",
                          str(generate), "-r", "3", "-o", "json", *same],
                         capture_output=True, text=True, timeout=600, check=True).stdout
    tests = json.loads(out[out.index("["):])
    read = next(t for t in tests if t["n_prompt"] and not t["n_gen"])
    wrote = next(t for t in tests if t["n_gen"] and not t["n_prompt"])
    return statistics.median(read["samples_ts"]), statistics.median(wrote["samples_ts"])


def _flash(name, value):
    return {"on": "1", "off": "0"}.get(value, value) if name == "--flash-attn" else value


class Direct:
    """The same server without the gateway, on a port of its own."""

    def __init__(self, argv):
        self.port = free_port()
        words, skip = [], False
        for word in argv:
            if skip or word in ("--host", "--port"):
                skip = not skip
                continue
            words.append(word)
        self.log = tempfile.TemporaryFile()
        self.proc = subprocess.Popen([*words, "--host", "127.0.0.1", "--port", str(self.port)],
                                     stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until(self._ready, 60, "the direct server", step=0.05)
        models = harness.request(("127.0.0.1", self.port), "GET", "/v1/models").json
        self.vocabulary = models["data"][0]["meta"]["n_vocab"]

    def _ready(self):
        if self.proc.poll() is not None:
            raise AssertionError("the direct server ended")
        try:
            return harness.request(("127.0.0.1", self.port), "GET", "/health").status == 200
        except OSError:
            return False

    def ask(self, count, generate, seed):
        """The same request that `bench speed` makes of an empty context."""
        rng, size = random.Random(seed), self.vocabulary
        ids = [size // 4 + rng.randrange(size // 2 + 1) for _ in range(count)]
        reply = harness.request(("127.0.0.1", self.port), "POST", "/completion", {
            "prompt": ids, "n_predict": generate, "cache_prompt": False, "id_slot": 0,
            "ignore_eos": True, "temperature": 0, "samplers": ["temperature"]}, timeout=600)
        return reply.json["timings"]

    def measure(self, prompt, generate):
        reads, writes = [], []
        for turn in range(4):
            read, wrote = self.ask(prompt, 1, turn), self.ask(1, generate, 100 + turn)
            # the first one warms up
            if turn:
                reads.append(read["prompt_per_second"])
                writes.append(wrote["predicted_per_second"])
        return statistics.median(reads), statistics.median(writes)

    def close(self):
        harness.end_all([self.proc.pid, *harness.children(self.proc.pid)])
        self.proc.wait()
        self.log.close()


def bench_speed(gw, name, prompt, generate):
    done = gw.cli("bench", "speed", name, "--prompt", str(prompt), "--generate", str(generate),
                  "--repeats", "3", "--fresh", "--json", timeout=600)
    cell = json.loads(done.stdout)[0]
    return cell["prompt_tps"]["median"], cell["output_tps"]["median"]


def rounds_of(gw, name, how):
    """Three lists of (reads, writes), in turns."""
    assert gw.chat("hi", name).status == 200
    argv = argv_of(gw, name)
    print(f"{name}: {' '.join(argv[1:])}", flush=True)
    got = {"llama-bench": [], "direct": [], "pointsman": []}
    direct = Direct(argv)
    try:
        for _ in range(how.rounds):
            got["llama-bench"].append(llama_bench(argv, how.prompt, how.generate))
            got["direct"].append(direct.measure(how.prompt, how.generate))
            got["pointsman"].append(bench_speed(gw, name, how.prompt, how.generate))
    finally:
        direct.close()
    return got


def table(name, got):
    """Prints it; returns how far `pointsman` is off the others, at most."""
    worst = 0.0
    print("| model | measure | llama-bench | direct | pointsman | to llama-bench | to direct |")
    print("|---|---|---|---|---|---|---|")
    for at, word in enumerate(("reads, tokens/s", "writes, tokens/s")):
        mid = {who: statistics.median(one[at] for one in many) for who, many in got.items()}
        # of each round by itself, so that a slow minute is in both
        ratios = [statistics.median(p[at] / o[at] for p, o in zip(got["pointsman"], got[who]))
                  for who in ("llama-bench", "direct")]
        worst = max(worst, *(abs(ratio - 1) for ratio in ratios))
        print(f"| {name} | {word} | {mid['llama-bench']:.1f} | {mid['direct']:.1f} | "
              f"{mid['pointsman']:.1f} | {ratios[0]:.3f} | {ratios[1]:.3f} |", flush=True)
    return worst


def arguments():
    out = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    out.add_argument("--rounds", type=int, default=5)
    out.add_argument("--prompt", type=int, default=512)
    out.add_argument("--generate", type=int, default=64)
    out.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    out.add_argument("--models", default="toy,random")
    out.add_argument("--check", action="store_true", help="fail where one is off by more than 3 %%")
    return out.parse_args()


def main():
    how = arguments()
    reason = harness.missing()
    if reason:
        sys.exit(f"against: {reason}")
    # whoever ends this ends what it started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("against: ended"))
    extra = FIXED.format(threads=how.threads)
    common = {"EXTRA_ARGS": extra, "CTX_SIZE": 4096, "SLOTS": 1, "FLASH_ATTN": "off",
              "KV_CACHE_TYPE_K": "f16", "KV_CACHE_TYPE_V": "f16"}
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="pm-") as folder:
        models = {}
        if "toy" in how.models:
            models["demo-chat"] = harness.profile("demo-chat", **common)
        if "random" in how.models:
            file = Path(folder) / "random.gguf"
            gguf.make("llama", file, layers=8, embd=768, heads=12, kv_heads=12, ff=2048,
                      type="Q8_0")
            print(f"random: {file.stat().st_size / 1e6:.0f} MB", flush=True)
            models["random"] = harness.profile("random", MODEL=file, **common)
        gw = harness.Gateway(models, manager={"RAM": 4000})
        try:
            for name in models:
                worst = max(worst, table(name, rounds_of(gw, name, how)))
        finally:
            gw.close()
    print(f"the largest difference: {100 * worst:.1f} %")
    return 1 if how.check and worst > ALLOWED else 0


if __name__ == "__main__":
    sys.exit(main())
