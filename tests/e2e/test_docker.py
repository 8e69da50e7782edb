"""Profiles that run in containers, on a real engine: podman's Engine API on a private socket.

The engine and its image last for the module; the gateways and their containers for a test.
"""

import re
import socket

import pytest
from engine import IMAGE, Engine, EngineUnusable, Refuser, engine_missing, own_network
from harness import Gateway, alive, auto_route, model_file, models_dir, profile, wait_until
from speak import CHAT, error_of, text_of

pytestmark = pytest.mark.skipif(bool(engine_missing()), reason=engine_missing() or "-")

CODE = "Please refactor this function, the code has a bug to debug"
TALK = "How was your day?"
ROUTE = {"20-auto.conf": auto_route("demo-chat")}
ROUTE_BOTH = {"20-auto.conf": auto_route("demo-chat,demo-coder")}
STREAM = {"model": "demo-chat", "stream": True, "max_tokens": 1500, "ignore_eos": True,
          "messages": [{"role": "user", "content": TALK}]}


@pytest.fixture(scope="module")
def engine():
    try:
        running = Engine().__enter__()
    except EngineUnusable as e:
        pytest.skip(str(e))
    yield running
    running.close()


@pytest.fixture(autouse=True)
def nothing_stays(engine):
    """Set up before, and so torn down after, the gateways of a test."""
    yield
    for entry in engine.containers():
        engine.remove(entry["Id"])


@pytest.fixture
def make(engine, make_gateway):
    """A gateway whose engine is ours unless a profile names another."""
    def made(models, routes=None, **how):
        return make_gateway(with_engine(engine, models), routes or ROUTE, **how)

    return made


def with_engine(engine, models):
    return {"*": {"DOCKER_SOCKET": engine.socket}, **models}


def container(name="demo-chat", **keys):
    return profile(name, **{"DRIVER": "docker", "IMAGE": IMAGE, "NETWORK": "host",
                            "GPUS": "none", **keys})


def answered(gw, name="demo-chat"):
    reply = gw.chat(TALK, model=name, max_tokens=20)
    assert reply.status == 200, reply
    assert text_of(CHAT, reply.json).startswith(f"I am {name}"), reply
    return gw.profile(name)


def refused(gw, name="demo-chat"):
    """The message of a refusal, which clients may try again after a while."""
    reply = gw.chat(TALK, model=name)
    assert reply.status in (500, 502, 503), reply
    assert int(reply.header("retry-after", "1")) >= 1
    return error_of(CHAT, reply)


def mine(engine, gw):
    return engine.containers(f"pointsman.state={gw.state}")


def only_one(engine, gw):
    found = mine(engine, gw)
    assert len(found) == 1, found
    return found[0]


def kill_manager_and_wait(gw):
    workers = gw.worker_pids(None)
    gw.kill_manager()
    wait_until(lambda: not [pid for pid in workers if alive(pid)], 20, "workers to leave")


def option(words, name):
    return words[words.index(name) + 1]


def binds(inspected):
    """host folder -> (folder in the container, may it be written)"""
    return {m["Source"]: (m["Destination"], m["RW"]) for m in inspected["Mounts"]}


# start


def test_a_request_starts_the_container(engine, make):
    gw = make({"demo-chat": container()})
    assert not mine(engine, gw)
    entry = answered(gw)
    assert (entry["state"], entry["driver"], entry["loads"]) == ("ready", "docker", 1)
    listed = only_one(engine, gw)
    assert listed["Id"] == entry["container"]
    assert listed["Names"][0].startswith("/pointsman-demo-chat-")
    assert listed["State"] == "running"
    assert listed["Labels"]["pointsman.profile"] == "demo-chat"
    assert listed["Labels"]["pointsman.state"] == str(gw.state)
    assert re.fullmatch(r"[0-9a-f]{16}", listed["Labels"]["pointsman.command"])
    again = answered(gw)
    assert (again["container"], again["loads"]) == (entry["container"], 1)


def test_what_the_container_is_given(engine, make):
    gw = make({"demo-chat": container(CTX_SIZE=4096, SLOTS=1, EXTRA_ARGS="--temp 0.5",
                                      **{"ENV.COLOUR": "sky blue"})})
    entry = answered(gw)
    inspected = engine.inspect(entry["container"])
    assert inspected["HostConfig"]["NetworkMode"] == "host"
    assert inspected["Config"]["Tty"] is False
    words, env = inspected["Config"]["Cmd"], inspected["Config"]["Env"]
    assert option(words, "--model") == str(model_file("demo-chat"))
    assert option(words, "--ctx-size") == "4096"
    assert words[-2:] == ["--temp", "0.5"]
    assert "COLOUR=sky blue" in env
    always = ("LLAMA_ARG_LOG_VERBOSITY=", "LLAMA_ARG_CACHE_IDLE_SLOTS=")
    assert not [pair for pair in env
                if pair.startswith("LLAMA_ARG_") and not pair.startswith(always)]
    # no key VOLUMES: the model's folder, where it is, and nothing may be changed in it
    assert binds(inspected)[str(models_dir())] == (str(models_dir()), False)
    assert (entry["slots"], entry["context"]) == (1, 4096)


def test_arguments_as_variables(engine, make):
    gw = make({"demo-chat": container(ARGS="env", CTX_SIZE=4096, SLOTS=1,
                                      EXTRA_ARGS="--temp 0.5", **{"ENV.COLOUR": "sky blue"})})
    entry = answered(gw)
    config = engine.inspect(entry["container"])["Config"]
    assert f"LLAMA_ARG_MODEL={model_file('demo-chat')}" in config["Env"]
    assert "LLAMA_ARG_CTX_SIZE=4096" in config["Env"]
    assert "COLOUR=sky blue" in config["Env"]
    # what has no variable stays a word
    assert "--model" not in config["Cmd"] and config["Cmd"][-2:] == ["--temp", "0.5"]
    # the server took them
    assert (entry["slots"], entry["context"]) == (1, 4096)


def test_volumes(engine, make, tmp_path):
    gw = make({"demo-chat": container(
        VOLUMES=f"{models_dir()}:/in/models:ro,{tmp_path}:/in/work")})
    inspected = engine.inspect(answered(gw)["container"])
    found = binds(inspected)
    assert found[str(models_dir())] == ("/in/models", False)
    assert found[str(tmp_path)] == ("/in/work", True)
    assert option(inspected["Config"]["Cmd"], "--model") == "/in/models/demo-chat.gguf"


def test_a_folder_of_volumes_that_is_not_there(engine, make, tmp_path):
    """An engine would make it, as root: a typing error must not write into the machine."""
    absent = tmp_path / "absent"
    gw = make({"demo-chat": container(
        VOLUMES=f"{models_dir()}:/in/models:ro,{absent}:/in/work")})
    assert str(absent) in refused(gw)
    assert not absent.exists()
    assert not mine(engine, gw)


@pytest.mark.parametrize("gpus, wanted", [
    ("none", None),
    ("all", {"Count": -1}),
    ("0,1", {"DeviceIDs": ["0", "1"]}),
])
def test_gpus(make, tmp_path, gpus, wanted):
    with Refuser(tmp_path / "engine.sock") as engine:
        gw = make({"demo-chat": container(DOCKER_SOCKET=engine.path, GPUS=gpus,
                                          IMAGE="example/none:1")})
        assert "example/none:1" in refused(gw)
        asked = engine.created[0]["HostConfig"].get("DeviceRequests")
    if not wanted:
        assert not asked
        return
    assert len(asked) == 1 and asked[0]["Capabilities"] == [["gpu"]]
    # engines refuse a request that names both
    assert {key: asked[0][key] for key in ("Count", "DeviceIDs") if asked[0].get(key)} == wanted


def test_its_log(make):
    gw = make({"demo-chat": container()})
    answered(gw)

    def logged():
        return "listening on" in gw.cli("logs", "demo-chat").stdout

    # engines hand on what is logged in their own time
    wait_until(logged, 10, "the log", step=0.05)
    text = gw.cli("logs", "demo-chat").stdout
    assert not re.search(r"[\x00-\x08]", text), "heads of the engine's frames are in the log"


def test_bridge_network(make_gateway):
    """In a network of our own, as the engine changes address rules for this."""
    try:
        with own_network(), Engine() as engine:
            gw = Gateway(with_engine(engine, {"demo-chat": container(NETWORK="bridge")}), ROUTE)
            try:
                inspected = engine.inspect(answered(gw)["container"])
                assert inspected["HostConfig"]["NetworkMode"] == "bridge"
                ports = inspected["NetworkSettings"]["Ports"] or {}
                hosts = {entry["HostIp"] for found in ports.values() for entry in found or []}
                assert hosts <= {"127.0.0.1"}, "others may reach the model's server"
                assert gw.stop() == 0
                assert not mine(engine, gw)
            finally:
                gw.close()
    except (OSError, EngineUnusable) as e:
        pytest.skip(f"no network of our own here: {e}")


# switch and replace


def test_a_switch_removes_the_container(engine, make):
    gw = make({"demo-chat": container(), "demo-coder": profile("demo-coder")}, ROUTE_BOTH,
              manager={"RAM": 300, "MIN_RESIDENCY": 0})
    seen = set()
    for turn in range(2):
        reply = gw.chat(f"{TALK} {turn}")
        assert reply.status == 200 and reply.header("x-pointsman-target") == "demo-chat", reply
        seen.add(only_one(engine, gw)["Id"])
        assert gw.profile("demo-coder")["state"] == "off"
        reply = gw.chat(f"{CODE} {turn}")
        assert reply.status == 200 and reply.header("x-pointsman-target") == "demo-coder", reply
        assert text_of(CHAT, reply.json).startswith("I am demo-coder")
        assert not mine(engine, gw)
        assert gw.profile("demo-chat")["state"] == "off"
        assert gw.profile("demo-coder")["driver"] == "process"
    assert len(seen) == 2
    assert gw.profile("demo-chat")["loads"] == 2


def test_unload_removes_the_container(engine, make):
    gw = make({"demo-chat": container()})
    answered(gw)
    gw.cli("unload", "demo-chat")
    entry = gw.wait_profile("demo-chat", "off")
    assert not entry["container"]
    assert not mine(engine, gw)


def test_an_edited_profile_is_drained_and_replaced(engine, make):
    gw = make({"demo-chat": container(CTX_SIZE=8192)})
    old = answered(gw)["container"]
    generation = gw.status()["generation"]
    with gw.open("POST", "/v1/chat/completions", STREAM) as exchange:
        events = exchange.events()
        next(events)
        gw.write_models(with_engine(engine, {"demo-chat": container(CTX_SIZE=4096)}))
        wait_until(lambda: gw.status()["generation"] > generation, 10, "the edit to be read")
        assert engine.inspect(old)["State"]["Running"]
        count = 1 + sum(1 for _ in events)
    assert exchange.complete and count > 1400, count
    entry = answered(gw)
    assert entry["container"] != old
    assert engine.inspect(old) is None
    assert option(engine.inspect(entry["container"])["Config"]["Cmd"], "--ctx-size") == "4096"
    assert only_one(engine, gw)["Id"] == entry["container"]


def test_a_profile_that_is_taken_out_loses_its_container(engine, make):
    gw = make({"demo-chat": container(), "demo-coder": profile("demo-coder")}, ROUTE_BOTH)
    answered(gw)
    gw.write_route("20-auto.conf", auto_route("demo-coder"))
    gw.write_models(with_engine(engine, {"demo-coder": profile("demo-coder")}))
    wait_until(lambda: not mine(engine, gw), 10, "the container to be removed", step=0.05)
    answered(gw, "demo-coder")


# the manager's end


def test_killed_manager_next_start_adopts(engine, make):
    gw = make({"demo-chat": container()})
    old = answered(gw)["container"]
    before = engine.inspect(old)["State"]
    kill_manager_and_wait(gw)
    assert engine.inspect(old)["State"]["Running"]
    gw.start()
    entry = gw.wait_profile("demo-chat", "ready")
    assert (entry["container"], entry["loads"], entry["driver"]) == (old, 0, "docker")
    entry = answered(gw)
    assert (entry["container"], entry["loads"]) == (old, 0)
    after = engine.inspect(old)["State"]
    assert (after["Pid"], after["StartedAt"]) == (before["Pid"], before["StartedAt"])
    # an adopted one can be stopped like any other
    assert gw.stop() == 0
    assert not mine(engine, gw)


def test_a_container_that_no_longer_matches_is_not_adopted(engine, make):
    gw = make({"demo-chat": container()})
    old = answered(gw)["container"]
    kill_manager_and_wait(gw)
    gw.write_models(with_engine(engine, {"demo-chat": container(CTX_SIZE=4096)}))
    gw.start()
    wait_until(lambda: engine.inspect(old) is None, 10, "the stranger to be reaped", step=0.05)
    assert answered(gw)["container"] != old
    only_one(engine, gw)


def test_a_container_of_no_profile_is_reaped_at_start(engine, make):
    gw = make({"demo-chat": container(), "demo-coder": profile("demo-coder")}, ROUTE_BOTH)
    answered(gw)
    kill_manager_and_wait(gw)
    gw.write_route("20-auto.conf", auto_route("demo-coder"))
    gw.write_models(with_engine(engine, {"demo-coder": container("demo-coder")}))
    gw.start()
    wait_until(lambda: not mine(engine, gw), 10, "the container to be removed", step=0.05)
    answered(gw, "demo-coder")
    assert only_one(engine, gw)["Labels"]["pointsman.profile"] == "demo-coder"


def test_stop_removes_the_container(engine, make):
    gw = make({"demo-chat": container()})
    answered(gw)
    gw.cli("stop")
    assert gw.proc.wait(20) == 0
    assert not mine(engine, gw)


def test_stop_keep_leaves_it_and_the_next_start_adopts_it(engine, make):
    gw = make({"demo-chat": container()})
    old = answered(gw)["container"]
    gw.cli("stop", "--keep")
    assert gw.proc.wait(20) == 0
    assert engine.inspect(old)["State"]["Running"]
    gw.start()
    entry = gw.wait_profile("demo-chat", "ready")
    assert (entry["container"], entry["loads"]) == (old, 0)
    assert answered(gw)["container"] == old


# harm


def test_killed_container_next_request_is_answered(engine, make):
    gw = make({"demo-chat": container()})
    old = answered(gw)["container"]
    engine.kill(old)
    wait_until(lambda: "137" in gw.profile("demo-chat")["reason"], 10, "the reason", step=0.02)
    entry = answered(gw)
    assert entry["container"] != old
    assert engine.inspect(old) is None
    assert only_one(engine, gw)["Id"] == entry["container"]


def test_killed_container_in_the_same_moment(engine, make):
    """The manager may not have heard of it when the next request comes."""
    gw = make({"demo-chat": container()})
    for _ in range(3):
        engine.kill(answered(gw)["container"])
        answered(gw)


def test_removed_container_next_request_is_answered(engine, make):
    gw = make({"demo-chat": container()})
    old = answered(gw)["container"]
    engine.remove(old)
    assert answered(gw)["container"] != old


def test_a_server_that_dies_at_once(engine, make):
    gw = make({"demo-chat": container(EXTRA_ARGS="--no-such-argument")})
    refused(gw)
    entry = gw.profile("demo-chat")
    assert "exit code 1" in entry["reason"], entry
    # its last words came before the container went
    assert "no-such-argument" in gw.cli("logs", "demo-chat").stdout
    wait_until(lambda: not mine(engine, gw), 10, "the dead container to go", step=0.05)


def test_a_missing_image(engine, make):
    name = "localhost/pointsman-none:test"
    gw = make({"demo-chat": container(IMAGE=name)})
    message = refused(gw)
    assert name in message
    assert re.search(r"\bpull\b", message), message
    assert name in gw.profile("demo-chat")["reason"]
    assert not mine(engine, gw)
    # corrected, it works without a restart
    gw.write_models(with_engine(engine, {"demo-chat": container()}))
    wait_until(lambda: gw.chat(TALK).status == 200, 20, "an answer", step=0.1)


@pytest.mark.parametrize("left", [False, True], ids=["no socket", "nobody listens"])
def test_a_gone_engine(make, tmp_path, left):
    path = tmp_path / "engine.sock"
    if left:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    gw = make({"demo-chat": container(DOCKER_SOCKET=path), "demo-coder": profile("demo-coder")},
              ROUTE_BOTH)
    assert str(path) in refused(gw)
    assert str(path) in gw.profile("demo-chat")["reason"]
    # it is that profile's trouble alone
    answered(gw, "demo-coder")


def test_the_engine_is_restarted(engine, make):
    """Containers outlive the engine's service: no model is loaded again for that."""
    gw = make({"demo-chat": container()})
    old = answered(gw)["container"]
    engine.stop_service()
    try:
        assert answered(gw)["container"] == old
    finally:
        engine.start_service()
    entry = answered(gw)
    assert (entry["container"], entry["loads"], entry["state"]) == (old, 1, "ready")
    # the manager watches it again
    engine.kill(old)
    wait_until(lambda: gw.profile("demo-chat")["container"] != old, 20, "the end to be noticed",
               step=0.05)
    answered(gw)
    assert gw.stop() == 0
    assert not mine(engine, gw)


def fnv1a(text):
    """64 bits, as the container's name has them of the state folder."""
    value = 14695981039346656037
    for byte in text.encode():
        value = (value ^ byte) * 1099511628211 % 2**64
    return value


def test_a_half_made_container_is_in_the_way(engine, make):
    """A manager that died between create and start left the name taken."""
    gw = make({"demo-chat": container()})
    name = f"pointsman-demo-chat-{fnv1a(str(gw.state)) & 0xffffffff:08x}"
    reply = engine.api("POST", f"/containers/create?name={name}", {
        "Image": IMAGE, "Labels": {"pointsman.profile": "demo-chat",
                                   "pointsman.state": str(gw.state),
                                   "pointsman.command": "0123456789abcdef"}})
    assert reply.status == 201, reply
    assert answered(gw)["container"] != reply.json["Id"]
    only_one(engine, gw)


def test_another_gateways_container_is_let_be(engine, make):
    """Two gateways on one engine with a profile of the same name."""
    one = make({"demo-chat": container()})
    old = answered(one)["container"]
    other = make({"demo-chat": container()})
    other.chat(TALK)
    assert engine.inspect(old)["State"]["Running"]
    assert other.stop() == 0
    assert answered(one)["container"] == old
