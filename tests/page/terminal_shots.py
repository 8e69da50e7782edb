#!/usr/bin/python3
"""`pointsman top` in its situations, as text, for people to look at.

    terminal_shots.py FOLDER [SITUATION ...]

A gateway with the demo models, a stand-in cloud and two terminals (80x24 and 132x40) are started
and ended. POINTSMAN, POINTSMAN_BUILD and POINTSMAN_PLUGINS name a build, as for the tests.
"""

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "lib"))

from cloud import Cloud  # noqa: E402
from harness import Gateway, auto_route, missing, profile  # noqa: E402
from shots import BROKEN, Slow, Talks, devices, script  # noqa: E402
from terminal import Top, missing_tmux  # noqa: E402

SIZES = ((80, 24), (132, 40))


class Stage(Talks):
    """The gateway, the terminals that show it, and the folder of what they showed."""

    def __init__(self, folder, stack):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        work = tempfile.mkdtemp(prefix="pm-shots-")
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        self.stack = stack
        self.slow = Slow(work)
        self.cloud = stack.enter_context(Cloud(work))
        self.gw = self.gateway(work)
        stack.callback(self.gw.close)
        self.tops = [Top(self.gw, *size) for size in SIZES]
        for top in self.tops:
            stack.callback(top.close)
            top.shows()

    def gateway(self, work):
        broken = script(work, "broken-llama-server", BROKEN)
        models = {
            "demo-chat": profile("demo-chat", NAME="Chat 8B", SLOTS=2, SPEED="fast",
                                 DESCRIPTION="Talks, plans, answers questions"),
            "demo-coder": profile("demo-coder", NAME="Coder 30B", SLOTS=2, SPEED="medium",
                                  DESCRIPTION="Writes and mends programs"),
            "large": profile("demo-coder", NAME="Large 70B", RAM=250, GOOD_AT="math", SPEED="slow",
                             DESCRIPTION="Takes long to load", LLAMA_SERVER=self.slow.server),
            "damaged": profile("demo-chat", GOOD_AT="legal", LLAMA_SERVER=broken,
                               DESCRIPTION="A file that does not load"),
            "bench-chat": profile("demo-chat", DESCRIPTION="For measuring alone", GOOD_AT="bench"),
            "cloud": self.cloud.section(NAME="Cloud", PRICE_IN=3, PRICE_OUT=15)}
        brave = {"route": {"MODELS": "brave", "TARGETS": "damaged", "FALLBACK": "cloud"}}
        routes = {"20-auto.conf": auto_route("demo-chat,demo-coder", FALLBACK="cloud"),
                  "30-brave.conf": brave}
        gpu = devices(work)
        if gpu:
            Path(gpu["POINTSMAN_TEST_NVML"]).write_text("24564 3210 87 291 66\n")
        return Gateway(models, routes, env={"CLOUD_KEY": self.cloud.key, **gpu},
                       manager={"RAM": 300, "MIN_RESIDENCY": 0})

    def shoot(self, name, ready):
        """What each terminal shows, as soon as ready(screen) holds there."""
        for top, (columns, rows) in zip(self.tops, SIZES):
            screen = top.wait(ready, what=name)
            path = self.folder / f"{name}-{columns}x{rows}.txt"
            path.write_text("\n".join(screen.lines) + "\n")
        print(name, flush=True)

    def keys(self, *keys):
        for top in self.tops:
            top.keys(*keys)


def idle(s):
    s.shoot("idle", lambda t: "MODELS" in t and "none" in t)


def over(s):
    """What lies over the frame."""
    for key, name, word in (("m", "picker", "Which model?"), ("?", "help", "any key closes"),
                            ("Q", "stop", "Stop the gateway?")):
        s.keys(key)
        s.shoot(name, lambda t, word=word: word in t)
        s.keys("Escape")
        for top in s.tops:
            top.wait_gone(word)


def loading(s):
    """Chosen in the picker of the first terminal."""
    s.tops[0].keys("m", "Down", "Down", "Enter")
    s.shoot("loading", lambda t: "64%" in t)
    s.slow.go()
    s.gw.wait_profile("large", "ready")


def three(s):
    s.gw.cli("switch", "demo-chat", "--wait")
    streams = s.three()
    s.shoot("three", lambda t: "3 under way" in t and "queued" in t and t.text.count("t/s") > 1)
    for stream in streams:
        stream.close()


def switch(s):
    """Somebody still talks with one model while another one is asked for."""
    s.gw.cli("switch", "demo-chat", "--wait")
    old = s.talk("Tell me a long story")
    next(old.events())
    new = s.talk("What is 12 times 12?", model="large")
    s.shoot("switch-draining", lambda t: "draining" in t)
    old.close()
    s.shoot("switch-loading", lambda t: "64%" in t)
    s.slow.go()
    next(new.events())
    s.shoot("switch-done", lambda t: "ready" in Top.model_line(t, "large"))
    new.close()


def failed(s):
    s.gw.cli("switch", "damaged")
    s.gw.wait_profile("damaged", "failed")
    s.shoot("failed", lambda t: "failed" in Top.model_line(t, "damaged"))


def cloud(s):
    """The only local model of a route does not load: the cloud answers."""
    assert s.gw.chat("Is this contract valid?", model="brave").status == 200
    s.shoot("cloud", lambda t: "last: brave" in t)


def down(s):
    s.gw.kill_manager()
    s.shoot("down", lambda t: "NOT RUNNING" in t)
    s.gw.close()


SITUATIONS = {"idle": idle, "over": over, "loading": loading, "three": three, "switch": switch,
              "failed": failed, "cloud": cloud, "down": down}


def main(argv):
    wanted = argv[2:] or list(SITUATIONS)
    if len(argv) < 2 or set(wanted) - set(SITUATIONS):
        print(f"usage: terminal_shots.py FOLDER [{' '.join(SITUATIONS)}]", file=sys.stderr)
        return 2
    if missing() or missing_tmux():
        print(f"terminal_shots.py: {missing() or missing_tmux()}", file=sys.stderr)
        return 1
    with contextlib.ExitStack() as stack:
        stage = Stage(argv[1], stack)
        # in their order: nothing follows the end of the gateway
        for name in SITUATIONS:
            if name in wanted:
                SITUATIONS[name](stage)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
