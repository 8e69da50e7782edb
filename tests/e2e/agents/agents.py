"""Runs agents against a gateway, with models of this machine and with clouds of each protocol.

    agents.py FOLDER [AGENT ...]

With a local model an agent passes when it shows the model's answer; with a cloud, when it did an
errand with its own shell over several turns and no strict rule of the cloud's protocol was
broken on the way. UPSTREAMS names the ones to ask, of local, chat, responses and messages; KEEP
a folder for what clouds were asked in runs that failed.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lib"))

import harness  # noqa: E402
import turns  # noqa: E402
from clients import CLIENTS, CONTEXT  # noqa: E402
from errand import Errand  # noqa: E402

LIMIT = 180
LOCAL = "local"
CLOUDS = ("chat", "responses", "messages")


class AgentCloud(turns.PlannedCloud):
    """Strict about what the gateway made; what an agent says in the cloud's own protocol is
    passed on as it is, and is the agent's."""

    caller = ""

    def begin(self, caller, plan):
        self.say()
        self.answered.clear()
        self.violations.clear()
        self.caller = caller
        self.plan = plan

    def check_data(self, path, seen, data):
        if self.caller == self.speaks:
            return []
        return super().check_data(path, seen, data)


class Stage:
    """The gateway and what is behind it."""

    def __init__(self, upstreams):
        self.folders = [tempfile.mkdtemp(prefix="pm-cloud-") for _ in CLOUDS]
        self.clouds = {}
        models = {}
        for speaks, folder in zip(CLOUDS, self.folders):
            if speaks in upstreams:
                self.clouds[speaks] = AgentCloud(folder, speaks, None)
                models[f"to-{speaks}"] = self.clouds[speaks].section(
                    CAPS="tools,vision,reasoning")
        names = ("demo-chat", "demo-coder") if LOCAL in upstreams else ()
        models.update({n: harness.profile(n, CTX_SIZE=CONTEXT) for n in names})
        routes = {"20-auto.conf": harness.auto_route(",".join(names))} if names else {}
        self.gateway = harness.Gateway(models, routes, manager={"RAM": 2000},
                                       env={"CLOUD_KEY": "sk-cloud-key"})

    def close(self):
        self.gateway.close()
        for cloud in self.clouds.values():
            cloud.close()
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


def end_group(agent):
    try:
        os.killpg(agent.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    agent.wait()


def run(name, bin_dir, url, model, task):
    """Runs one agent with a fresh home. Returns (what was wrong, seconds)."""
    home = Path(tempfile.mkdtemp(prefix=f"pm-{name}-"))
    work = home / "work"
    work.mkdir()
    task.begin(work)
    began = time.monotonic()
    try:
        code = run_in(home, name, bin_dir, url, model, task.question)
        took = time.monotonic() - began
        said, errors = ((home / kind).read_text(errors="replace") for kind in ("out", "err"))
        wrong = task.wrong(said)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if code == 0 and not wrong:
        return "", took
    return f"exit {code}; {wrong}\n{said[-1500:]}\n{errors[-1500:]}", took


def run_in(home, name, bin_dir, url, model, question):
    """Runs an agent in a session of its own. Returns its exit status."""
    _, make = CLIENTS[name]
    argv, env = make(url, model, home, question, model.startswith("to-"))
    env = {"PATH": f"{bin_dir}:{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb",
           "NO_COLOR": "1", "LANG": "C.UTF-8", **env}
    # output goes to files: a background child that an agent leaves behind must not keep a pipe
    with (home / "out").open("wb") as out, (home / "err").open("wb") as err:
        agent = subprocess.Popen([str(bin_dir / argv[0]), *argv[1:]], stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=err, env=env, cwd=home / "work",
                                 start_new_session=True)
        try:
            return agent.wait(float(os.environ.get("LIMIT", LIMIT)))
        except subprocess.TimeoutExpired:
            return "none in time"
        finally:
            end_group(agent)
            # some leave a daemon in a session of its own
            harness.end_all(harness.marked_pids(f"HOME={home}", home))


class Greeting:
    """What a local model is asked: the demo models answer every prompt with their name."""

    question = "Say hi. Do not use any tool."

    def begin(self, folder):
        pass

    def wrong(self, output):
        return "" if "I am demo-" in output else "the model's answer was not shown"


def with_cloud(name, bin_dir, url, cloud):
    """An errand with a cloud. Returns (what was wrong, seconds)."""
    task = Errand()
    cloud.begin(CLIENTS[name][0], task.plan)
    wrong, took = run(name, bin_dir, url, f"to-{cloud.speaks}", task)
    if cloud.violations:
        wrong += "\nthe cloud complained:\n" + "\n".join(
            text[:600] for text in cloud.violations[:5])
    if wrong and os.environ.get("KEEP"):
        keep(Path(os.environ["KEEP"]) / f"{name}-to-{cloud.speaks}", cloud)
    return wrong, took


def keep(folder, cloud):
    """Everything that a cloud was asked, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, seen in enumerate(cloud.requests):
        head = "\n".join(f"{key}: {value}" for key, value in seen.headers)
        (folder / f"{n:02}-head.txt").write_text(f"{seen.method} {seen.path}\n{head}\n")
        (folder / f"{n:02}-body.json").write_bytes(seen.body)


def versions():
    package = json.loads((Path(__file__).resolve().parent / "package.json").read_text())
    return {key: value for key, value in package["dependencies"].items()}


def version_of(name):
    for package, version in versions().items():
        if name.split("-")[0] in package.split("/")[-1]:
            return version
    return "?"


def chosen(words, there, what):
    unknown = [word for word in words if word not in there]
    if unknown:
        sys.exit(f"agents: no {what} {unknown[0]}; there are {', '.join(there)}")
    return list(words) or list(there)


def pairs(names, upstreams):
    """What is run: each agent with each upstream; with local models once for each agent, for
    they speak every protocol."""
    for name in names:
        for upstream in upstreams:
            if upstream != LOCAL or "-" not in name:
                yield name, upstream


def ask_one(name, upstream, bin_dir, stage):
    url = os.environ.get("BASE_URL") or stage.gateway.url
    if upstream == LOCAL:
        return run(name, bin_dir, url, os.environ.get("MODEL", "auto"), Greeting())
    return with_cloud(name, bin_dir, url, stage.clouds[upstream])


def main():
    bin_dir = Path(sys.argv[1])
    names = chosen(sys.argv[2:], CLIENTS, "agent")
    # a gateway that runs already has none of the clouds of here
    asked = LOCAL if os.environ.get("BASE_URL") else os.environ.get("UPSTREAMS", "")
    upstreams = chosen(asked.split(), (LOCAL, *CLOUDS), "upstream")
    # whoever ends this ends what it started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("agents: ended"))
    reason = "" if os.environ.get("BASE_URL") else harness.missing()
    if reason:
        sys.exit(f"agents: {reason}")
    stage = None if os.environ.get("BASE_URL") else Stage(upstreams)
    ran = failed = 0
    try:
        for name, upstream in pairs(names, upstreams):
            wrong, took = ask_one(name, upstream, bin_dir, stage)
            ran += 1
            failed += bool(wrong)
            print(f"{'FAILED' if wrong else 'ok    '} {name} {version_of(name)}"
                  f" ({CLIENTS[name][0]}) to {upstream} {took:.1f} s", flush=True)
            if wrong:
                print(wrong, flush=True)
        if failed and stage:
            print(stage.gateway.log_tail(), flush=True)
    finally:
        if stage:
            stage.close()
    print(f"{ran - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
