"""Memory of graphics devices as the driver tells it: strangers, and what comes back late."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from harness import auto_route, llama_server, profile, wait_until
from speak import CHAT, error_of, text_of

HERE = Path(__file__).resolve().parent
ROUTE = {"20-auto.conf": auto_route("demo-chat,demo-coder")}
COMPILER = shutil.which(os.environ.get("CC", "cc"))

pytestmark = pytest.mark.skipif(not COMPILER, reason="no C compiler for the stand-in driver")


class Devices:
    """A driver whose numbers are in a file."""

    def __init__(self, folder):
        self.path = folder / "devices"
        self.folder = folder
        subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", folder / "libnvidia-ml.so.1",
                        HERE / "nvml.c"], check=True, timeout=60)

    def set(self, *devices):
        """(total, free) of each, MiB. Never half written."""
        fresh = self.folder / "devices.new"
        fresh.write_text("".join(f"{total} {free}\n" for total, free in devices))
        fresh.replace(self.path)

    @property
    def env(self):
        return {"LD_LIBRARY_PATH": str(self.folder), "POINTSMAN_TEST_NVML": str(self.path)}


@pytest.fixture
def devices(tmp_path):
    return Devices(tmp_path)


@pytest.fixture
def make(make_gateway, devices, tmp_path):
    """Profiles that want so much of device 0; their servers do not see the driver."""
    def made(models=None, manager=None, **vram):
        server = tmp_path / "plain-llama-server"
        server.write_text(f'#!/bin/sh\nunset LD_LIBRARY_PATH\nexec {llama_server()} "$@"\n')
        server.chmod(0o755)
        models = models or {name.replace("_", "-"): wants(name.replace("_", "-"), mib)
                            for name, mib in vram.items()}
        models["*"] = {"LLAMA_SERVER": server}
        route = {"20-auto.conf": auto_route(",".join(name for name in models if name != "*"))}
        return make_gateway(models, route, env=devices.env,
                            manager={"MIN_RESIDENCY": 0, "RAM": 4000, **(manager or {})})

    return made


def wants(name, mib, **keys):
    return profile(name, **{"RAM": 50, "VRAM": mib, **keys})


def has(gw, *mib):
    """Wait until the status tells these sizes: it looks once a second."""
    wait_until(lambda: gw.status()["memory_mib"]["devices"] == list(mib), 5, f"devices {mib}", 0.05)


def waited(gw, name):
    """Seconds that loads of the profile have waited for memory, and how many there were."""
    found = {}
    for line in gw.get("/metrics").text.splitlines():
        for part in ("sum", "count"):
            if line.startswith(f'pointsman_memory_wait_seconds_{part}{{profile="{name}"'):
                found[part] = float(line.split()[-1])
    return found.get("sum", 0), found.get("count", 0)


def test_status_tells_them(make, devices):
    devices.set((24000, 24000), (8000, 8000))
    gw = make(demo_chat=6000)
    has(gw, 24000, 8000)
    assert gw.chat("hi").status == 200
    assert gw.profile("demo-chat")["need_mib"]["devices"] == [6000, 0]


def test_what_is_declared_wins(make, devices):
    devices.set((24000, 100))
    gw = make(demo_chat=6000, manager={"DEVICES": 7000})
    assert gw.status()["memory_mib"]["devices"] == [7000]
    assert gw.chat("hi").status == 200


def test_strangers_are_left_out(make, devices):
    devices.set((10000, 4000))
    gw = make(demo_chat=3000, demo_coder=6000)
    has(gw, 4000)
    assert gw.chat("hi", model="demo-chat").status == 200
    reply = gw.chat("hi", model="demo-coder")
    assert reply.status in (429, 503), reply
    text = error_of(CHAT, reply)
    assert "6000" in text and "4000" in text, text
    # the game is over
    devices.set((10000, 7000))
    has(gw, 10000)
    wait_until(lambda: gw.chat("hi", model="demo-coder").status == 200, 15, "an answer", 0.3)


def test_our_own_are_no_strangers(make, devices):
    devices.set((10000, 10000))
    gw = make(demo_chat=4000, demo_coder=4000)
    assert gw.chat("hi", model="demo-chat").status == 200
    devices.set((10000, 6000))
    time.sleep(1.2)  # one look of the manager, which has no event to wait for
    has(gw, 10000)
    assert gw.chat("hi", model="demo-coder").status == 200
    assert [p["state"] for p in gw.status()["profiles"]] == ["ready", "ready"]


def test_memory_that_comes_back_late(make, devices, measured):
    devices.set((10000, 10000))
    gw = make(demo_chat=6000, demo_coder=6000)
    assert gw.chat("hi", model="demo-chat").status == 200
    devices.set((10000, 4000))
    with gw.open("POST", "/v1/chat/completions",
                 {"model": "demo-coder", "max_tokens": 5,
                  "messages": [{"role": "user", "content": "hi"}]}) as exchange:
        wait_until(lambda: gw.profile("demo-coder")["state"] == "loading", 10, "the load")
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            entry = gw.profile("demo-coder")
            assert entry["state"] == "loading" and not entry["pid"], entry
            time.sleep(0.1)  # what is looked for is that nothing happens
        devices.set((10000, 10000))
        freed = time.monotonic()
        reply = exchange.read()
        took = time.monotonic() - freed
    assert reply.status == 200 and text_of(CHAT, reply.json).startswith("I am"), reply
    seconds, count = waited(gw, "demo-coder")
    measured(f"device memory was free again after {seconds:.2f} s:"
             f" answer {took * 1000:.0f} ms later")
    assert count == 1 and 1.4 <= seconds < 4
    assert took < 3


def test_memory_that_never_comes_back(make, devices):
    """Then it is somebody else's: the server itself finds out, after five seconds."""
    devices.set((10000, 10000))
    gw = make(demo_chat=6000, demo_coder=6000)
    assert gw.chat("hi", model="demo-chat").status == 200
    devices.set((10000, 4000))
    began = time.monotonic()
    reply = gw.chat("hi", model="demo-coder")
    assert 4.5 < time.monotonic() - began < 9
    assert reply.status == 200, reply


def test_just_after_an_unload_memory_is_only_late(make, devices):
    """The next look at the device takes what is not back yet for a stranger's; it is not."""
    devices.set((10000, 10000))
    gw = make(demo_chat=6000, demo_coder=6000)
    assert gw.chat("hi", model="demo-chat").status == 200
    devices.set((10000, 4000))
    gw.cli("unload", "demo-chat")
    gw.wait_profile("demo-chat", "off")
    time.sleep(1.2)  # one look of the manager, which has no event to wait for
    with gw.open("POST", "/v1/chat/completions",
                 {"model": "demo-coder", "messages": [{"role": "user", "content": "hi"}]}
                 ) as exchange:
        wait_until(lambda: gw.profile("demo-coder")["state"] != "off", 5, "the request to arrive")
        devices.set((10000, 10000))
        reply = exchange.read()
    assert reply.status == 200, reply


def test_a_slow_unload_hook_and_late_memory(make, devices):
    devices.set((10000, 10000))
    gw = make({"demo-chat": wants("demo-chat", 6000, ON_UNLOAD="sleep 1.5"),
               "demo-coder": wants("demo-coder", 6000)})
    assert gw.chat("hi", model="demo-chat").status == 200
    devices.set((10000, 4000))
    with gw.open("POST", "/v1/chat/completions",
                 {"model": "demo-coder", "messages": [{"role": "user", "content": "hi"}]}
                 ) as exchange:
        wait_until(lambda: gw.profile("demo-chat")["state"] in ("off", "failed"), 10, "the hook")
        wait_until(lambda: gw.profile("demo-coder")["state"] != "off", 5, "the load")
        devices.set((10000, 10000))
        reply = exchange.read()
    assert reply.status == 200, reply


def test_what_a_load_takes_is_not_a_strangers(make, devices, tmp_path):
    """Two that fit together stay together, also when the second is asked for at once."""
    slow = tmp_path / "slow-llama-server"
    slow.write_text(f'#!/bin/sh\nunset LD_LIBRARY_PATH\nsleep 2.5\nexec {llama_server()} "$@"\n')
    slow.chmod(0o755)
    devices.set((10000, 10000))
    gw = make({"demo-chat": wants("demo-chat", 5000, LLAMA_SERVER=slow),
               "demo-coder": wants("demo-coder", 5000)})
    gw.cli("switch", "demo-chat")
    gw.wait_profile("demo-chat", "loading")
    devices.set((10000, 5000))
    reply = gw.chat("hi", model="demo-coder")
    assert reply.status == 200, reply
    assert {p["id"]: p["state"] for p in gw.status()["profiles"]} == \
        {"demo-chat": "ready", "demo-coder": "ready"}, gw.log_tail()


@pytest.mark.parametrize("numbers", [[], [(0, 0)], [(8000, 9000)]])
def test_odd_drivers(make, devices, numbers):
    devices.set(*numbers)
    gw = make({"demo-chat": profile("demo-chat", RAM=50)})
    assert gw.chat("hi").status == 200
    assert gw.status()["memory_mib"]["ram"] == 4000


def test_a_device_that_is_lost(make, devices):
    """A driver that stops answering is no reason to stop serving what runs."""
    devices.set((10000, 10000), (10000, 10000))
    gw = make(demo_chat=4000)
    assert gw.chat("hi").status == 200
    pid = gw.profile("demo-chat")["pid"]
    devices.set()
    time.sleep(1.2)  # one look of the manager, which has no event to wait for
    assert gw.chat("hi").status == 200
    assert gw.profile("demo-chat")["pid"] == pid


@pytest.mark.parametrize("extra", [None, "-lv 4"])
def test_what_a_server_took_is_known_the_next_time(make_gateway, extra):
    """Estimated before it ever ran, measured afterwards, also by the next start."""
    models = {"demo-chat": profile("demo-chat", RAM=None, EXTRA_ARGS=extra)}
    gw = make_gateway(models, {"20-auto.conf": auto_route("demo-chat")})
    guess = gw.profile("demo-chat")["need_mib"]
    assert guess["estimated"] and guess["ram"] > 0
    assert gw.chat("hi").status == 200
    known = gw.profile("demo-chat")["need_mib"]
    assert not known["estimated"], gw.cli("logs", "demo-chat").stdout[-2000:]
    assert 0.5 * guess["ram"] <= known["ram"] <= 2 * guess["ram"], (guess, known)
    gw.restart()
    assert gw.profile("demo-chat")["need_mib"] == known
