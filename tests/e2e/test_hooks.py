"""ON_LOAD and ON_UNLOAD: when they run, what they are told, and that they stop nothing."""

import os
import signal
import time

import pytest
from harness import alive, auto_route, llama_server, profile, wait_until

ROUTE = {"20-auto.conf": auto_route("demo-chat")}


class Notes:
    """A file that hooks and servers write a line each into, and the hooks that do so."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "notes"
        self.path.touch()

    @property
    def lines(self):
        return self.path.read_text().splitlines()

    def script(self, name, body):
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    def hook(self, name="hook", extra=""):
        """Writes what it was told and whether a server of its profile is alive."""
        words = 'echo "$POINTSMAN_EVENT $POINTSMAN_PROFILE up=$up args=$*"'
        return self.script(name, f"""pid=$(cat {self.folder}/server-$POINTSMAN_PROFILE 2> /dev/null)
up=no
[ -z "$pid" ] || ! kill -0 "$pid" 2> /dev/null || up=yes
{words} >> {self.path}
{extra}""")

    def server(self):
        """A llama-server that notes its start and its process id."""
        return self.script("noting-llama-server", f"""last=
for word; do [ "$last" != --alias ] || id=$word; last=$word; done
echo "SERVER $id" >> {self.path}
echo $$ > {self.folder}/server-$id
exec {llama_server()} "$@\"""")


@pytest.fixture
def notes(tmp_path):
    return Notes(tmp_path)


def hooked(notes, name="demo-chat", **keys):
    hook = notes.hook()
    return profile(name, **{"LLAMA_SERVER": notes.server(), "ON_LOAD": f"{hook} one 'two three'",
                            "ON_UNLOAD": hook, **keys})


def test_order_and_environment(make_gateway, notes):
    gw = make_gateway({"demo-chat": hooked(notes), "demo-coder": hooked(notes, "demo-coder")},
                      {"20-auto.conf": auto_route("demo-chat,demo-coder")},
                      manager={"RAM": 300, "MIN_RESIDENCY": 0})
    assert gw.chat("hi", model="demo-chat").status == 200
    assert notes.lines == ["ON_LOAD demo-chat up=no args=one two three", "SERVER demo-chat"]
    assert gw.chat("hi", model="demo-coder").status == 200
    # the first server has gone before its hook runs, and that before the next is begun
    assert notes.lines[2:] == ["ON_UNLOAD demo-chat up=no args=",
                               "ON_LOAD demo-coder up=no args=one two three",
                               "SERVER demo-coder"]
    gw.cli("unload", "demo-coder")
    gw.wait_profile("demo-coder", "off")
    assert notes.lines[5:] == ["ON_UNLOAD demo-coder up=no args="]


def test_the_load_waits_for_the_hook(make_gateway, notes):
    gate = notes.folder / "gate"
    os.mkfifo(gate)
    hook = notes.hook("gated", extra=f"cat {gate} > /dev/null")
    gw = make_gateway({"demo-chat": hooked(notes, ON_LOAD=hook, ON_UNLOAD=None)}, ROUTE)
    gw.cli("switch", "demo-chat")
    wait_until(lambda: notes.lines, 10, "the hook to run")
    entry = gw.profile("demo-chat")
    assert entry["state"] == "loading" and not entry["pid"], entry
    assert len(notes.lines) == 1
    with gate.open("w"):
        pass
    gw.wait_profile("demo-chat", "ready")
    assert notes.lines[1:] == ["SERVER demo-chat"]


def test_unloading_while_the_hook_runs(make_gateway, notes):
    """The hook is ended, no server was ever started, and the other hook runs all the same."""
    hook = notes.script("slow-hook", f'echo $$ > {notes.folder}/slow; exec sleep 600')
    gw = make_gateway({"demo-chat": hooked(notes, ON_LOAD=hook)}, ROUTE)
    gw.cli("switch", "demo-chat")
    pid = wait_until(lambda: pid_in(notes.folder / "slow"), 10, "the hook to run")
    gw.cli("unload", "demo-chat")
    gw.wait_profile("demo-chat", "off")
    wait_until(lambda: not alive(pid), 5, "the hook to end")
    assert notes.lines == ["ON_UNLOAD demo-chat up=no args="]


def pid_in(path):
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text.isdigit() else None


@pytest.mark.parametrize("event", ["ON_LOAD", "ON_UNLOAD"])
def test_a_hook_that_takes_too_long(make_gateway, notes, event):
    """It and its children are killed, and what it stood in the way of goes on."""
    hook = notes.script("slow-hook", f"""trap "" TERM
sleep 600 & echo $! > {notes.folder}/child
echo $$ > {notes.folder}/slow
wait""")
    keys = {"ON_LOAD": None, "ON_UNLOAD": None, "HOOK_TIMEOUT": "1s", event: hook}
    gw = make_gateway({"demo-chat": hooked(notes, **keys)}, ROUTE)
    began = time.monotonic()
    assert gw.chat("hi", model="demo-chat").status == 200
    gw.cli("unload", "demo-chat")
    gw.wait_profile("demo-chat", "off")
    assert 1 <= time.monotonic() - began < 10
    pids = [pid_in(notes.folder / name) for name in ("slow", "child")]
    assert all(pids)
    wait_until(lambda: not [pid for pid in pids if alive(pid)], 5, "the hook and its child to end")
    assert f"{event} of profile demo-chat" in gw.log and "HOOK_TIMEOUT" in gw.log


@pytest.mark.parametrize("body, word", [("exit 7", "7"), ("kill -9 $$", "signal")])
@pytest.mark.parametrize("event", ["ON_LOAD", "ON_UNLOAD"])
def test_a_hook_that_fails(make_gateway, notes, event, body, word):
    hook = notes.script("bad-hook", f"echo words of the hook >&2\n{body}")
    keys = {"ON_LOAD": None, "ON_UNLOAD": None, event: hook}
    gw = make_gateway({"demo-chat": hooked(notes, **keys)}, ROUTE)
    assert gw.chat("hi", model="demo-chat").status == 200
    gw.cli("unload", "demo-chat")
    gw.wait_profile("demo-chat", "off")
    told = [line for line in gw.log.splitlines() if f"{event} of profile demo-chat" in line]
    assert len(told) == 1 and word in told[0].lower(), gw.log_tail()
    assert "words of the hook" in gw.log


@pytest.mark.parametrize("command", ["/no/such/program", "no-such-program-anywhere"])
def test_a_hook_that_cannot_be_started(make_gateway, notes, command):
    gw = make_gateway({"demo-chat": hooked(notes, ON_LOAD=command, ON_UNLOAD=command)}, ROUTE)
    assert gw.chat("hi", model="demo-chat").status == 200
    gw.cli("unload", "demo-chat")
    gw.wait_profile("demo-chat", "off")
    assert f"{command} cannot be started" in gw.log


def test_every_end_of_a_server_has_its_hook(make_gateway, notes):
    """A server that died gave back its memory too: whoever set something up for it hears of it."""
    gw = make_gateway({"demo-chat": hooked(notes)}, ROUTE)
    assert gw.chat("hi", model="demo-chat").status == 200
    old = gw.kill_server("demo-chat")
    assert gw.chat("hi", model="demo-chat").status == 200
    assert gw.profile("demo-chat")["pid"] != old
    events = [line.split()[0] for line in notes.lines]
    assert events == ["ON_LOAD", "SERVER", "ON_UNLOAD", "ON_LOAD", "SERVER"], events


@pytest.mark.parametrize("how", ["stop", "sigterm"])
def test_the_last_hook_runs_before_the_end(make_gateway, notes, how):
    slow = notes.hook("slow", extra="sleep 0.3\necho finished >> " + str(notes.path))
    gw = make_gateway({"demo-chat": hooked(notes, ON_UNLOAD=slow)}, ROUTE)
    assert gw.chat("hi", model="demo-chat").status == 200
    if how == "stop":
        gw.cli("stop")
    else:
        gw.proc.send_signal(signal.SIGTERM)
    assert gw.proc.wait(20) == 0
    assert notes.lines[2:] == ["ON_UNLOAD demo-chat up=no args=", "finished"]


def test_hooks_know_no_secrets_of_the_gateways_sockets(make_gateway, notes):
    """Only standard streams are open in a hook: no listening socket, no channel."""
    hook = notes.script("fds", f"ls -l /proc/self/fd > {notes.folder}/fds")
    gw = make_gateway({"demo-chat": hooked(notes, ON_LOAD=hook, ON_UNLOAD=None)}, ROUTE)
    assert gw.chat("hi", model="demo-chat").status == 200
    text = (notes.folder / "fds").read_text()
    assert "socket:" not in text and "lock" not in text, text


def test_an_edited_hook_restarts_nothing(make_gateway, notes):
    gw = make_gateway({"demo-chat": hooked(notes)}, ROUTE)
    assert gw.chat("hi", model="demo-chat").status == 200
    pid, generation = gw.profile("demo-chat")["pid"], gw.status()["generation"]
    gw.write_models({"demo-chat": hooked(notes, ON_UNLOAD=f"{notes.hook()} edited")})
    wait_until(lambda: gw.status()["generation"] > generation, 10, "the new configuration")
    assert gw.chat("hi", model="demo-chat").status == 200
    assert gw.profile("demo-chat")["pid"] == pid
    gw.cli("unload", "demo-chat")
    gw.wait_profile("demo-chat", "off")
    assert notes.lines[-1] == "ON_UNLOAD demo-chat up=no args=edited"
