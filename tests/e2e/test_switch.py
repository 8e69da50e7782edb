"""Two profiles that do not fit together, switched by intent, by command and over HTTP."""

import json
import subprocess

import pytest
from harness import Crowd, alive, auto_route, binary, profile, wait_until
from speak import CHAT, error_of, text_of

CODE = "Please refactor this function, the code has a bug to debug"
TALK = "How was your day?"


@pytest.fixture
def gw(make_gateway):
    return make_gateway({"demo-chat": profile("demo-chat"),
                         "demo-coder": profile("demo-coder")},
                        {"20-auto.conf": auto_route("demo-chat,demo-coder")},
                        manager={"RAM": 300, "MIN_RESIDENCY": 0})


def loaded(gw):
    return [p["id"] for p in gw.status()["profiles"]
            if p["state"] in ("ready", "loading", "draining")]


def test_switch_by_intent(gw):
    for turn in range(3):
        reply = gw.chat(f"{CODE} {turn}")
        assert reply.status == 200, reply
        assert text_of(CHAT, reply.json).startswith("I am demo-coder")
        assert reply.header("x-pointsman-target") == "demo-coder"
        assert "code" in reply.header("x-pointsman-reason")
        assert loaded(gw) == ["demo-coder"]

        reply = gw.chat(f"{TALK} {turn}")
        assert reply.status == 200, reply
        assert text_of(CHAT, reply.json).startswith("I am demo-chat")
        assert loaded(gw) == ["demo-chat"]
    entry = gw.profile("demo-coder")
    assert entry["loads"] == 3
    assert entry["load_ms"] > 0


def test_only_one_process_at_a_time(gw):
    """The old server is really gone before the new one is started."""
    assert gw.chat(TALK).status == 200
    old = gw.profile("demo-chat")["pid"]
    assert gw.chat(CODE).status == 200
    assert not alive(old)
    assert gw.profile("demo-chat")["state"] == "off"


def test_two_agents_on_two_models_both_get_answers(gw):
    def send(number):
        return gw.chat(CODE if number % 2 else TALK)

    with Crowd(4, send) as crowd:
        wait_until(lambda: crowd.count() + len(crowd.errors) >= 24, 90, "24 answers")
    assert not crowd.bad(), crowd.bad()[:3]
    texts = {text_of(CHAT, reply.json)[:15] for _, reply in crowd.replies}
    assert len(texts) == 2


def test_an_id_is_a_model_name(gw):
    for name in ("demo-coder", "demo-chat"):
        reply = gw.chat(TALK, model=name)
        assert text_of(CHAT, reply.json).startswith(f"I am {name}")


def test_switch_and_unload_commands(gw):
    gw.cli("switch", "demo-coder", "--wait")
    assert gw.profile("demo-coder")["state"] == "ready"
    gw.cli("switch", "demo-chat", "--wait")
    assert gw.profile("demo-chat")["state"] == "ready"
    assert gw.profile("demo-coder")["state"] == "off"
    pid = gw.profile("demo-chat")["pid"]
    gw.cli("unload", "demo-chat")
    gw.wait_profile("demo-chat", "off")
    assert not alive(pid)
    gw.cli("switch", "demo-chat")
    gw.wait_profile("demo-chat", "ready")
    gw.cli("unload")
    gw.wait_profile("demo-chat", "off")


def test_switch_to_an_unknown_profile(gw):
    done = gw.cli("switch", "demo-chta", check=1)
    assert "demo-chat" in done.stderr
    gw.cli("switch", check=2)
    gw.cli("switch", "--no-such-flag", "demo-chat", check=2)


def test_status_for_people_and_programs(gw):
    assert gw.chat(TALK).status == 200
    value = gw.status()
    assert value["version"] and value["pid"] == gw.manager_pid
    assert value["listen"] == [f"127.0.0.1:{gw.port}"]
    assert value["config_error"] is None
    assert [w["state"] for w in value["workers"]] == ["ready"]
    for key in ("id", "state", "pid", "socket", "leases", "waiting", "loads", "load_ms",
                "reason"):
        assert all(key in p for p in value["profiles"]), key
    text = gw.cli("status").stdout
    assert "demo-chat" in text and "ready" in text


def test_models_command(gw):
    text = gw.cli("models").stdout
    assert "demo-chat" in text and "demo-coder" in text
    argv = gw.cli("models", "--argv", "demo-chat").stdout
    assert "--model" in argv and "demo-chat.gguf" in argv and "8192" in argv


def test_route_command(gw):
    value = gw.cli("route", CODE).stdout
    assert "demo-coder" in value


def test_route_endpoint_forwards_nothing(gw):
    body = {"model": "auto", "messages": [{"role": "user", "content": CODE}]}
    reply = gw.post("/v1/route", body)
    assert reply.status == 200, reply
    value = reply.json
    assert value["route"] == "auto"
    assert value["target"] == "demo-coder"
    assert value["intents"]["code"] > 0
    assert 0 <= value["complexity"] <= 1
    assert value["attempts"][0]["target"] == "demo-coder"
    assert {"regex", "complexity"} <= {p["name"] for p in value["policies"]}
    assert loaded(gw) == []
    many = gw.post("/v1/route", [body, body])
    assert [v["target"] for v in many.json] == ["demo-coder", "demo-coder"]


def test_stop_command(gw):
    assert gw.chat(TALK).status == 200
    pid = gw.profile("demo-chat")["pid"]
    gw.cli("stop")
    assert gw.proc.wait(20) == 0
    assert not alive(pid)


def test_stop_keep_leaves_the_models(gw):
    assert gw.chat(TALK).status == 200
    pid = gw.profile("demo-chat")["pid"]
    gw.note_pids()
    gw.cli("stop", "--keep")
    assert gw.proc.wait(20) == 0
    assert alive(pid)
    gw.start()
    assert gw.wait_profile("demo-chat", "ready")["pid"] == pid


def test_sigterm_stops_everything(gw):
    assert gw.chat(TALK).status == 200
    pids = [gw.profile("demo-chat")["pid"], *gw.worker_pids(None)]
    assert gw.stop() == 0
    assert not [pid for pid in pids if alive(pid)]


def test_commands_without_a_gateway(gw, tmp_path):
    done = subprocess.run([str(binary()), "status", "--state", str(tmp_path)],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stderr.strip()


def test_router_mode_shapes(gw):
    def states():
        data = gw.get("/models").json["data"]
        return {entry["id"]: entry["status"]["value"] for entry in data}

    assert states()["demo-chat"] == "unloaded"
    reply = gw.post("/models/load", {"model": "demo-chat"})
    assert reply.status == 200 and reply.json == {"success": True}, reply
    wait_until(lambda: states()["demo-chat"] == "loaded", 20, "demo-chat to be loaded")
    again = gw.post("/models/load", {"model": "demo-chat"})
    assert again.status == 400, again
    reply = gw.post("/models/unload", {"model": "demo-chat"})
    assert reply.status == 200 and reply.json == {"success": True}, reply
    wait_until(lambda: states()["demo-chat"] == "unloaded", 20, "demo-chat to be unloaded")
    assert gw.post("/models/unload", {"model": "demo-chat"}).status == 400
    missing = gw.post("/models/load", {"model": "nobody"})
    assert missing.status == 404, missing
    assert "nobody" in error_of(CHAT, missing)


def test_running_as_llama_swap_says_it(gw):
    assert gw.get("/running").json == {"running": []}
    assert gw.chat(TALK).status == 200
    value = gw.get("/running").json["running"]
    assert [(entry["model"], entry["state"]) for entry in value] == [("demo-chat", "ready")]
    assert gw.get("/unload").status == 200
    gw.wait_profile("demo-chat", "off")


def test_ttl_unloads_an_idle_profile(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat", TTL="1s")},
                      {"20-auto.conf": auto_route("demo-chat")})
    with gw.open("POST", "/v1/chat/completions",
                 {"model": "auto", "stream": True, "max_tokens": 1500, "ignore_eos": True,
                  "messages": [{"role": "user", "content": TALK}]}) as exchange:
        # a busy profile stays, however short its TTL
        assert sum(1 for _ in exchange.events()) > 1000
    entry = gw.profile("demo-chat")
    assert entry["loads"] == 1
    gw.wait_profile("demo-chat", "off", 10)
    assert not alive(entry["pid"])
    assert gw.chat(TALK).status == 200
    assert gw.profile("demo-chat")["loads"] == 2


def test_a_pinned_profile_is_not_evicted(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat", PIN="yes"),
                       "demo-coder": profile("demo-coder")},
                      {"20-auto.conf": auto_route("demo-chat,demo-coder")},
                      manager={"RAM": 300, "MIN_RESIDENCY": 0, "MAX_WAIT": "2s"})
    assert gw.chat(TALK).status == 200
    pid = gw.profile("demo-chat")["pid"]
    reply = gw.chat(CODE, model="demo-coder")
    assert reply.status in (429, 503), reply
    assert int(reply.header("retry-after")) >= 1
    assert gw.profile("demo-chat")["pid"] == pid


def test_profiles_that_fit_stay_together(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat"),
                       "demo-coder": profile("demo-coder")},
                      {"20-auto.conf": auto_route("demo-chat,demo-coder")},
                      manager={"RAM": 500})
    for _ in range(2):
        assert gw.chat(TALK).status == gw.chat(CODE).status == 200
    assert sorted(loaded(gw)) == ["demo-chat", "demo-coder"]
    assert [p["loads"] for p in gw.status()["profiles"]] == [1, 1]


def test_a_full_queue_is_refused_with_retry_after(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat", SLOTS=1, QUEUE=1)},
                      {"20-auto.conf": auto_route("demo-chat")})
    body = {"model": "demo-chat", "stream": True, "max_tokens": 7000, "ignore_eos": True,
            "messages": [{"role": "user", "content": TALK}]}
    with gw.open("POST", "/v1/chat/completions", body) as busy:
        next(busy.events())
        with gw.open("POST", "/v1/chat/completions", body):
            wait_until(lambda: gw.profile("demo-chat")["waiting"] == 1, 10, "a waiter")
            reply = gw.chat(TALK, model="demo-chat")
            assert reply.status == 429, reply
            assert int(reply.header("retry-after")) >= 1
            assert json.loads(reply.body)["error"]["message"]
