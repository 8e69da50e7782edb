#!/usr/bin/env python3
"""What a switch costs beyond the model server itself.

Bare: exec of llama-server until it says that it is ready, on the same command line. Switch: `switch` of the manager
between two profiles that do not fit together, from the question on the control socket to the answer: stop the old one,
start the new one, ready. The difference of the medians is the gateway's own part, with the old server's end in it.
"""

import argparse
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import Gateway, profile  # noqa: E402

HEADER = struct.Struct("=IHHII")
MAGIC, VERSION, CONTROL, REPLY = 0x504D4348, 2, 64, 65
READY = b'"state":"ready"'


def bare_ms(argv, folder):
    """From exec to the state line that says ready, and from being told to end to the end."""
    log, fifo = os.path.join(folder, "bare.log"), os.path.join(folder, "bare.in")
    sock = os.path.join(folder, "bare.sock")
    for path in (log, fifo, sock):
        if os.path.exists(path):
            os.unlink(path)
    os.mkfifo(fifo)
    stdin = os.open(fifo, os.O_RDWR)
    words = list(argv)
    words[words.index("--host") + 1] = sock
    env = dict(os.environ, LLAMA_SERVER_ROUTER_PORT="1")
    with open(log, "ab") as out, open(log, "rb") as seen:
        start = time.monotonic()
        server = subprocess.Popen(words, stdin=stdin, stdout=out, stderr=out, env=env)
        text = b""
        while READY not in text:
            if server.poll() is not None or time.monotonic() - start > 30:
                raise SystemExit("the bare server did not come up:\n" + text.decode("utf-8", "replace"))
            text += seen.read()
            time.sleep(0.0005)
        took = (time.monotonic() - start) * 1000
    start = time.monotonic()
    os.write(stdin, b"cmd_router_to_child:exit\n")
    server.terminate()
    server.wait(20)
    ended = (time.monotonic() - start) * 1000
    os.close(stdin)
    return took, ended


def ask(control, question):
    """One question on the control socket; it is answered when it is done."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(control)
        text = json.dumps(question).encode()
        s.sendall(HEADER.pack(MAGIC, VERSION, CONTROL, 1, len(text)) + text)
        with s.makefile("rb") as stream:
            while True:
                _, _, kind, _, length = HEADER.unpack(stream.read(HEADER.size))
                body = json.loads(stream.read(length))
                if kind == REPLY:
                    return body


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=50)
    options.add_argument("--json", help="write the raw figures to this file")
    options = options.parse_args()
    gateway = Gateway({"demo-chat": profile("demo-chat"), "demo-coder": profile("demo-coder")},
                      {}, manager={"RAM": 300, "MIN_RESIDENCY": 0})
    bare, stop, switch = [], [], []
    try:
        control = os.path.join(gateway.state, "control.sock")
        argv = gateway.cli("models", "--argv", "demo-chat").stdout.split("\n")
        argv = [word for word in argv if word]
        with tempfile.TemporaryDirectory(prefix="pm-switch-") as folder:
            ask(control, {"op": "switch", "id": "demo-coder", "wait": True})
            for number in range(options.rounds):
                took, ended = bare_ms(argv, folder)
                bare.append(took)
                stop.append(ended)
                start = time.monotonic()
                answer = ask(control, {"op": "switch", "wait": True,
                                       "id": ("demo-chat", "demo-coder")[number % 2]})
                switch.append((time.monotonic() - start) * 1000)
                if not answer.get("ok"):
                    raise SystemExit("a switch failed: %s" % answer)
    finally:
        gateway.close()
    added = statistics.median(switch) - statistics.median(bare)
    print("bare llama-server, exec to ready: median %.1f ms of %d" % (statistics.median(bare), len(bare)))
    print("bare llama-server, told to end until it is gone: median %.1f ms" % statistics.median(stop))
    print("switch, question to answer:       median %.1f ms of %d" % (statistics.median(switch), len(switch)))
    print("goal: a switch adds <= 15 ms: measured %.1f ms  (%s)" % (added, "met" if added <= 15 else "missed"))
    if options.json:
        with open(options.json, "w", encoding="ascii") as out:
            json.dump({"bare_ms": bare, "switch_ms": switch, "added_ms": added}, out)


if __name__ == "__main__":
    main()
