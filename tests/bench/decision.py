#!/usr/bin/env python3
"""What a decision costs: reading a body, and judging and deciding by the bundled policies.

    tests/bench/decision.py [--pointsman FILE] [--plugins DIR] [--repeat N]

Prompts of 1 KB and an agent's body of 300 KB, judged in one process by `pointsman eval`; the best of N runs
counts, since others share the machine.
"""
import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHAINS = ["learned", "capability,learned,stage", "capability,regex,complexity,learned,stage,escalate"]
ROWS = 2000


def prompts():
    """Texts of about 1 KB, put together of the prompts that the weights are learnt from."""
    dice, texts = random.Random(1), []
    for file in sorted((ROOT / "weights" / "prompts").glob("*.jsonl")):
        texts += [json.loads(line)["prompt"] for line in file.open(encoding="utf-8")]
    for _ in range(ROWS):
        text = ""
        while len(text.encode()) < 1024:
            text += dice.choice(texts) + "\n"
        yield text.encode()[:1024].decode(errors="ignore")


def agent_body(size):
    """An agent's request: long results of tools, and the calls between them."""
    turns, dice = [{"role": "system", "content": "You are a coding agent. " * 200},
                   {"role": "user", "content": "Fix the failing test of the parser, please."}], random.Random(2)
    words = "static int value = parse(text, len); return check(value) ? 0 : -1; /* why */ \n".split()
    number = 0
    while len(json.dumps(turns)) < size:
        number += 1
        call = {"id": f"c{number}", "type": "function",
                "function": {"name": "bash", "arguments": json.dumps({"command": f"cat src/{number}.c"})}}
        turns.append({"role": "assistant", "content": None, "tool_calls": [call]})
        text = " ".join(dice.choice(words) for _ in range(800))
        turns.append({"role": "tool", "tool_call_id": f"c{number}", "content": text})
    tools = [{"name": f"tool{i}", "description": "does it " * 40, "parameters": {"type": "object"}}
             for i in range(20)]
    return {"turns": [turns], "tools": tools}


def measure(args, file, chain):
    best = None
    for _ in range(args.repeat):
        done = subprocess.run([args.pointsman, "eval", "--data", file, "--policy", chain, "--plugins", args.plugins,
                               "--json"], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        time = json.loads(done.stdout)["time"]
        if best is None or time["judge_and_decide"]["p99_us"] < best["judge_and_decide"]["p99_us"]:
            best = time
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pointsman", default=str(ROOT / "build" / "pointsman"))
    parser.add_argument("--plugins", default=str(ROOT / "build" / "plugins"))
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.jsonl", Path(folder) / "large.jsonl"
        small.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in prompts()), encoding="utf-8")
        large.write_text((json.dumps(agent_body(300 << 10)) + "\n") * 200, encoding="utf-8")
        print(f"{'body':8} {'policies':50} {'read p50':>9} {'p99':>8} {'judge p50':>10} {'p99':>8}   us")
        for name, file in (("1 KB", small), ("300 KB", large)):
            for chain in CHAINS:
                time = measure(args, str(file), chain)
                read, judge = time["read"], time["judge_and_decide"]
                print(f"{name:8} {chain:50} {read['p50_us']:9} {read['p99_us']:8} "
                      f"{judge['p50_us']:10} {judge['p99_us']:8}")


if __name__ == "__main__":
    main()
