#!/usr/bin/python3
"""Pictures of the web page in its situations, in light, dark and on a phone, for people to look at.

    shots.py FOLDER [SITUATION ...]

A gateway with the demo models, a stand-in cloud and a browser are started and ended. POINTSMAN,
POINTSMAN_BUILD and POINTSMAN_PLUGINS name a build, as for the tests.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "lib"))

from browser import DARK, PHONE, Browser  # noqa: E402
from cloud import Cloud  # noqa: E402
from harness import Gateway, auto_route, llama_server, missing, profile, wait_until  # noqa: E402

LOOKS = {"light": {}, "dark": DARK, "phone": {**PHONE, "at": 2}}
LONG = {"stream": True, "max_tokens": 4000, "ignore_eos": True}
CODE = "Please refactor this function, the code has a bug to debug"
TALK = "How was your day?"
# what a llama-server says of its load, where it is asked to
STEPS = r"""#!/bin/sh
say() { echo "cmd_child_to_router:state:{\"state\":\"loading\",\"payload\":{\"value\":$1}}"; }
say 0.0; say 0.35; say 0.64
read -r word < "%s"
exec "%s" "$@"
"""
BROKEN = """#!/bin/sh
echo "llama_model_load: error loading model: tensor 'blk.0.attn_q.weight' has wrong shape" >&2
exit 1
"""


class Slow:
    """A llama-server that stays at 64 % of its load until it is let go."""

    def __init__(self, folder):
        self.fifo = Path(folder) / "go"
        os.mkfifo(self.fifo)
        self.server = script(folder, "slow-llama-server", STEPS % (self.fifo, llama_server()))

    def go(self):
        def opened():
            with contextlib.suppress(OSError):
                return os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK)
            return None
        fd = wait_until(opened, 20, "a server that waits")
        os.write(fd, b"go\n")
        os.close(fd)


def script(folder, name, text):
    path = Path(folder) / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def devices(folder):
    """A stand-in driver of one GPU, where there is a compiler for it. Returns the environment."""
    if not shutil.which("cc"):
        return {}
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", f"{folder}/libnvidia-ml.so.1", TESTS / "e2e" / "nvml.c"],
                   check=True, timeout=60)
    Path(folder, "devices").write_text("24564 3210\n")
    return {"LD_LIBRARY_PATH": str(folder), "POINTSMAN_TEST_NVML": f"{folder}/devices"}


class Talks:
    """What is said to the gateway of a stage."""

    def talk(self, text, **more):
        """An answer that goes on until the stage is taken down or the exchange closed."""
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **LONG, **more}
        exchange = self.gw.open("POST", "/v1/chat/completions", body)
        self.stack.callback(exchange.close)
        return exchange

    def three(self):
        """Two answers under way and a third call that waits. Returns the exchanges."""
        streams = [self.talk(f"Tell me a long story {n}") for n in range(2)]
        for stream in streams:
            next(stream.events())
        return [*streams, self.talk("And another one")]


class Stage(Talks):
    """The gateway, the browser's three looks at it, and the folder of the pictures."""

    def __init__(self, folder, stack):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.work = tempfile.mkdtemp(prefix="pm-shots-")
        stack.callback(shutil.rmtree, self.work, ignore_errors=True)
        self.slow = Slow(self.work)
        self.cloud = stack.enter_context(Cloud(self.work))
        self.browser = Browser()
        stack.callback(self.browser.close)
        self.gw = self.gateway()
        stack.callback(self.gw.close)
        self.stack = stack
        self.looks = {name: self.browser.open(self.gw.url, **how) for name, how in LOOKS.items()}
        for page in self.looks.values():
            page.connected()

    def gateway(self):
        models = {
            "demo-chat": profile("demo-chat", NAME="Chat 8B", DESCRIPTION="Talks, plans, answers questions", SLOTS=2),
            "demo-coder": profile("demo-coder", NAME="Coder 30B", DESCRIPTION="Writes and mends programs", SLOTS=2),
            "large": profile("demo-coder", NAME="Large 70B", DESCRIPTION="Takes long to load", RAM=250,
                             GOOD_AT="math", LLAMA_SERVER=self.slow.server),
            "damaged": profile("demo-chat", DESCRIPTION="A file that does not load", GOOD_AT="legal",
                               LLAMA_SERVER=script(self.work, "broken-llama-server", BROKEN)),
            "far-away": self.cloud.section(NAME="A model in the cloud", PRICE_IN=3, PRICE_OUT=15)}
        routes = {"20-auto.conf": auto_route("demo-chat,demo-coder", "far-away"),
                  "30-brave.conf": {"route": {"MODELS": "brave", "TARGETS": "damaged", "FALLBACK": "far-away"}}}
        return Gateway(models, routes, env={"CLOUD_KEY": self.cloud.key, **devices(self.work)},
                       manager={"RAM": 300, "MIN_RESIDENCY": 0})

    def each(self, *parts):
        for look, page in self.looks.items():
            if parts:
                page.show(*parts)
            yield look, page

    def shoot(self, name, ready):
        """A picture in each look, as soon as ready(page) holds there."""
        for look, page in self.looks.items():
            page.until(ready, 20, name)
            page.shot(str(self.folder / f"{name}-{look}.png"))
        print(name, flush=True)


def idle(s):
    s.shoot("idle", lambda p: "not loaded" in p.text("#models"))


def loading(s):
    s.gw.cli("switch", "large")
    s.shoot("loading", lambda p: "64 %" in p.text("#models"))
    s.slow.go()
    s.gw.wait_profile("large", "ready")


def under_way(s):
    s.gw.cli("switch", "demo-chat", "--wait")
    streams = s.three()
    s.shoot("three", lambda p: "3 under way" in p.text("#live") and "free slot" in p.text("#live"))
    for stream in streams:
        stream.close()


def switch(s):
    """Somebody still talks with one model while another one is asked for."""
    s.gw.cli("switch", "demo-chat", "--wait")
    old = s.talk("Tell me a long story")
    next(old.events())
    new = s.talk("What is 12 times 12?", model="large")
    s.shoot("switch-waiting", lambda p: "finishing" in p.text("#models"))
    old.close()
    s.shoot("switch-loading", lambda p: "64 %" in p.text("#models"))
    s.slow.go()
    next(new.events())
    new.close()


def failed(s):
    s.gw.cli("switch", "damaged")
    s.gw.wait_profile("damaged", "failed")
    s.shoot("failed", lambda p: "failed" in p.text("#models"))


def cloud(s):
    """The only local model of a route does not load: the cloud answers."""
    assert s.gw.chat("Is this contract valid?", model="brave").status == 200
    for _, page in s.each("requests"):
        page.says("#requests table", "far-away")
        page.click("#requests tbody button")
    s.shoot("cloud", lambda p: p.count(".trace"))
    s.shoot("requests", lambda p: p.count(".trace"))


def parts(s):
    for n in range(4):
        s.gw.chat(f"{CODE} {n}" if n % 2 else f"{TALK} {n}", max_tokens=20)
    assert s.gw.chat("hi", model="no-such-model").status == 404
    for _, page in s.each("decide"):
        page.click("#decide button:text-is('A bug')")
    s.shoot("decide", lambda p: "would be picked" in p.text("#decision"))
    for _, page in s.each("usage"):
        page.wait("#usage .tile")
    s.shoot("usage", lambda p: p.count("#usage svg"))
    for _, page in s.each("chat"):
        page.fill("#chat-text", TALK)
        page.click("#chat-send")
    s.shoot("chat", lambda p: "tokens" in p.text("#chat-log") and not p.attribute("#chat-stop", "disabled") is None)
    for _, page in s.each("now"):
        pass


SITUATIONS = {"idle": idle, "loading": loading, "three": under_way, "switch": switch, "failed": failed,
              "cloud": cloud, "parts": parts}


def main(argv):
    wanted = argv[2:] or list(SITUATIONS)
    if len(argv) < 2 or set(wanted) - set(SITUATIONS):
        print(f"usage: shots.py FOLDER [{' '.join(SITUATIONS)}]", file=sys.stderr)
        return 2
    if missing():
        print(f"shots.py: {missing()}", file=sys.stderr)
        return 1
    with contextlib.ExitStack() as stack:
        stage = Stage(argv[1], stack)
        for name in wanted:
            SITUATIONS[name](stage)
        faults = [fault for page in stage.looks.values() for fault in page.faults(stage.gw.url)]
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
