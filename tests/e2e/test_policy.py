"""Policies and configuration that change under a running gateway."""

import os
import time

import policies
import pytest
from harness import Crowd, auto_route, profile, wait_until

pytestmark = pytest.mark.skipif(bool(policies.missing()), reason=policies.missing() or "-")

STEER = {"route": {"MODELS": "auto", "POLICIES": "capability,steer",
                   "TARGETS": "demo-chat,demo-coder"}}
CODE = 'INTENT="code"'
GENERAL = 'INTENT="general"'


@pytest.fixture
def gw(make_gateway):
    """A gateway with a plugin folder of its own; the route does without the new policy."""
    gw = make_gateway({"demo-chat": profile("demo-chat", PRELOAD="yes"),
                       "demo-coder": profile("demo-coder", PRELOAD="yes")},
                      {"20-auto.conf": auto_route("demo-chat,demo-coder")},
                      manager={"RAM": 1000}, own_plugins=True, workers=2)
    for name in ("demo-chat", "demo-coder"):
        assert gw.chat("hi", model=name).status == 200
    return gw


@pytest.fixture
def steered(gw):
    """The same with the policy in use, steering to demo-chat."""
    policies.compile_policy("steer.c", gw.plugins / "steer.so", GENERAL)
    gw.write_route("20-auto.conf", STEER)
    wait_target(gw, "demo-chat", "steer")
    return gw


def target_of(gw):
    reply = gw.chat("hi", max_tokens=1)
    assert reply.status == 200, reply
    return reply.header("x-pointsman-target")


def wait_target(gw, target, policy=None, timeout=10):
    """Both workers must be of the new kind: several answers in a row say so."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}

    def reached():
        for _ in range(6):
            value = gw.post("/v1/route", body).json
            names = [p["name"] for p in value["policies"]]
            if value["target"] != target or (policy and policy not in names):
                return False
        return True
    wait_until(reached, timeout, f"every request to go to {target}", step=0.02)


def settled(gw):
    """No worker is starting or draining any more."""
    status = gw.status()
    return status if {w["state"] for w in status["workers"]} == {"ready"} else None


def config_error(gw, *words, timeout=10):
    """Waits for an error that names all the words, and returns it."""
    def found():
        error = gw.status()["config_error"]
        return error if error and all(word in error for word in words) else None
    return wait_until(found, timeout, f"config_error with {words}", step=0.05)


def load_on(gw):
    return Crowd(4, lambda n: gw.chat(f"hi {n}", max_tokens=3))


def test_a_dropped_policy_is_used_and_no_request_is_lost(gw, measured):
    before = gw.status()["generation"]
    with load_on(gw) as crowd:
        wait_until(lambda: crowd.count() > 20, 30, "some answers")
        policies.compile_policy("steer.c", gw.plugins / "steer.so", CODE)
        gw.write_route("20-auto.conf", STEER)
        wait_target(gw, "demo-coder", "steer")
        done = crowd.count()
        wait_until(lambda: crowd.count() > done + 20, 30, "more answers")
    assert not crowd.bad(), crowd.bad()[:3]
    assert wait_until(lambda: settled(gw), 10, "workers to settle")["generation"] > before
    assert gw.status()["config_error"] is None
    assert [p["loads"] for p in gw.status()["profiles"]] == [1, 1]


def test_a_replaced_policy_is_used_and_no_request_is_lost(steered, measured):
    gw = steered
    fresh = policies.compile_policy("steer.c", gw.dir / "steer2.so", CODE)
    with load_on(gw) as crowd:
        wait_until(lambda: crowd.count() > 20, 30, "some answers")
        began = time.monotonic()
        os.replace(fresh, gw.plugins / "steer.so")
        wait_until(lambda: target_of(gw) == "demo-coder", 10, "the new policy")
        took = time.monotonic() - began
        wait_target(gw, "demo-coder")
    assert not crowd.bad(), crowd.bad()[:3]
    measured(f"a replaced policy was first used after {took * 1000:.0f} ms under load")
    assert took < 5


def test_overwriting_a_policy_in_place_crashes_nobody(steered):
    """cp onto the file, as careless people do, not a rename."""
    gw = steered
    fresh = policies.compile_policy("steer.c", gw.dir / "steer2.so", CODE).read_bytes()
    workers = gw.worker_pids()
    with load_on(gw) as crowd:
        wait_until(lambda: crowd.count() > 10, 30, "some answers")
        with (gw.plugins / "steer.so").open("r+b") as f:
            f.truncate(0)
            f.write(fresh)
        wait_target(gw, "demo-coder")
    assert not crowd.bad(), crowd.bad()[:3]
    wait_until(lambda: settled(gw), 10, "workers to settle")
    assert not set(workers) & set(gw.worker_pids())


BROKEN = {"no ELF": None, "wrong ABI": "WRONG_ABI", "no symbol": "NO_SYMBOL",
          "fails in start": "FAIL_IN_START", "crashes in start": "CRASH_IN_START"}
WORDS = {"wrong ABI": ("ABI",), "no symbol": ("pmp_policy",),
         "fails in start": ("compiled to fail",), "crashes in start": ("signal",)}


@pytest.mark.parametrize("how", sorted(BROKEN))
def test_a_broken_policy_leaves_the_running_workers(steered, how):
    gw = steered
    wait_until(lambda: settled(gw), 10, "workers to settle")
    workers = sorted(gw.worker_pids())
    with load_on(gw) as crowd:
        wait_until(lambda: crowd.count() > 10, 30, "some answers")
        if BROKEN[how]:
            policies.compile_policy("steer.c", gw.plugins / "steer.so", BROKEN[how])
        else:
            part = gw.plugins / "steer.part"
            part.write_text("this is no shared object\n")
            os.replace(part, gw.plugins / "steer.so")
        error = config_error(gw, "steer.so", *WORDS.get(how, ()))
    assert not crowd.bad(), crowd.bad()[:3]
    assert sorted(gw.worker_pids()) == workers, error
    assert target_of(gw) == "demo-chat"
    # and the mended one is taken
    policies.compile_policy("steer.c", gw.plugins / "steer.so", CODE)
    wait_target(gw, "demo-coder")
    wait_until(lambda: gw.status()["config_error"] is None, 10, "no error any more")


def test_a_broken_policy_that_no_route_uses_hurts_nobody(gw):
    (gw.plugins / "other.so").write_text("this is no shared object\n")
    gw.write_route("30-more.conf", {"route": {"MODELS": "more", "TARGETS": "demo-chat",
                                              "POLICIES": "capability"}})
    wait_until(lambda: gw.chat("hi", model="more").status == 200, 10, "the new route")


def test_a_typo_in_a_route_keeps_serving(gw):
    before = gw.worker_pids()
    gw.write_route("20-auto.conf", "[route]\nMODELS=auto\nTARGETTS=demo-chat\n")
    error = config_error(gw, "20-auto.conf:3", "TARGETTS", "TARGETS")
    for _ in range(4):
        assert gw.chat("hi").status == 200, error
    assert gw.chat("debug this code").header("x-pointsman-target") == "demo-coder"
    gw.write_route("20-auto.conf", auto_route("demo-coder"))
    wait_target(gw, "demo-coder")
    assert gw.status()["config_error"] is None
    assert not set(before) & set(gw.worker_pids())


def test_a_typo_in_models_keeps_serving(gw):
    good = gw.models_file.read_text()
    gw.write_models(good.replace("CTX_SIZE=8192", "CTX_SIZE=many", 1))
    line = 1 + good.splitlines().index("CTX_SIZE=8192")
    config_error(gw, f"models.conf:{line}", "CTX_SIZE")
    assert gw.chat("hi").status == 200
    gw.write_models(good)
    wait_until(lambda: gw.status()["config_error"] is None, 10, "no error any more")
    assert [p["loads"] for p in gw.status()["profiles"]] == [1, 1]


def test_one_bad_route_does_not_take_down_another(gw):
    gw.write_route("10-bad.conf", "[route]\nMODELS=bad\nTARGETS=nobody\n")
    error = config_error(gw, "10-bad.conf:3", "nobody")
    assert gw.chat("hi").status == 200, error
    assert gw.chat("hi", model="bad").status == 404


def test_a_new_profile_is_there_without_a_reload(gw):
    pid = gw.profile("demo-chat")["pid"]
    gw.write_models({name: profile(name.replace("2", "")) for name in
                     ("demo-chat", "demo-coder", "demo-coder2")}, {"RAM": 1000})
    wait_until(lambda: gw.chat("hi", model="demo-coder2").status == 200, 10, "demo-coder2")
    assert gw.profile("demo-chat")["pid"] == pid
    assert gw.profile("demo-chat")["loads"] == 1


def test_streams_outlive_a_change_of_configuration(gw):
    body = {"model": "demo-chat", "stream": True, "max_tokens": 2000, "ignore_eos": True,
            "messages": [{"role": "user", "content": "hi"}]}
    with gw.open("POST", "/v1/chat/completions", body) as exchange:
        events = exchange.events()
        next(events)
        old = gw.worker_pids()
        gw.write_route("30-more.conf", {"route": {"MODELS": "more",
                                                  "TARGETS": "demo-chat"}})
        wait_until(lambda: set(gw.worker_pids()) - set(old), 10, "new workers")
        rest = list(events)
        assert exchange.complete and rest[-1].done
    assert len(rest) > 1900


def test_check_command_tells_the_same(gw):
    assert gw.cli("check", "--models", str(gw.models_file), "--routes", str(gw.routes_dir),
                  "--plugins", str(gw.plugins)).returncode == 0
    gw.write_route("20-auto.conf", "[route]\nMODELS=auto\nTARGETTS=demo-chat\n")
    done = gw.cli("check", "--models", str(gw.models_file), "--routes", str(gw.routes_dir),
                  "--plugins", str(gw.plugins), check=1)
    assert "20-auto.conf:3" in done.stdout + done.stderr


def test_plugin_commands(gw, tmp_path):
    listed = gw.cli("plugin", "list", "--plugins", str(gw.plugins)).stdout
    assert "regex" in listed and "complexity" in listed
    good = policies.compile_policy("steer.c", tmp_path / "steer.so")
    assert gw.cli("plugin", "check", str(good)).returncode == 0
    bad = policies.compile_policy("steer.c", tmp_path / "bad.so", "CRASH_IN_START")
    done = gw.cli("plugin", "check", str(bad), check=1)
    assert "Segmentation fault" in done.stdout + done.stderr
    assert "bad.so" in done.stdout + done.stderr
