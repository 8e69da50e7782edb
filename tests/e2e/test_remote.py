"""DRIVER=remote: a server that somebody else looks after, at a URL."""

import subprocess
import time

import pytest
from harness import (Truncated, alive, auto_route, binary, end_all, free_port, llama_server,
                     model_file, profile, wait_until)
from speak import (CHAT, PATHS, PROTOCOLS, RESPONSES, ask, error_of, headers_of,
                   is_failure_end, streamed_text, text_of)
from wire import request

ROUTE = {"20-auto.conf": auto_route("far,demo-coder")}
ONLY_FAR = {"20-auto.conf": auto_route("far")}
KEY = {"FAR_KEY": "sk-cloud-key"}


class FarServer:
    """A llama-server on TCP that knows nothing of any gateway."""

    def __init__(self, model="demo-chat", port=None):
        self.port = port or free_port()
        self.proc = subprocess.Popen(
            [str(llama_server()), "--model", str(model_file(model)), "--ctx-size", "8192",
             "--host", "127.0.0.1", "--port", str(self.port)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._is_up, 20, "the far server to listen")

    def _is_up(self):
        assert self.proc.poll() is None, "the far server has ended"
        try:
            return request(("127.0.0.1", self.port), "GET", "/health", timeout=5).status == 200
        except OSError:
            return False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def close(self):
        end_all([self.proc.pid])
        self.proc.wait(10)


@pytest.fixture
def far_server():
    mine = []

    def make(**how):
        mine.append(FarServer(**how))
        return mine[-1]

    yield make
    for server in mine:
        server.close()


def far(url, **keys):
    return {"DRIVER": "remote", "URL": url, "CTX_SIZE": 8192, **keys}


def send(gw, protocol=CHAT, model="far", stream=False, headers=None, **more):
    body = ask(protocol, "How was your day?", model=model, stream=stream, **more)
    return gw.post(PATHS[protocol], body, {**headers_of(protocol), **(headers or {})})


def answer_of(protocol, reply, stream):
    assert reply.status == 200 and reply.complete, reply
    return streamed_text(protocol, reply.events) if stream else text_of(protocol, reply.json)


# what can be at the other end

def test_a_plain_server(make_gateway, far_server):
    server = far_server()
    gw = make_gateway({"far": far(server.url)}, ONLY_FAR)
    for protocol in PROTOCOLS:
        for stream in (False, True):
            reply = send(gw, protocol, stream=stream)
            assert answer_of(protocol, reply, stream).startswith("I am demo-chat")
            assert reply.header("x-pointsman-target") == "far"
    entry = gw.profile("far")
    assert (entry["state"], entry["driver"], entry["pid"]) == ("ready", "remote", 0), entry
    assert entry["address"] == server.url and entry["loads"] == 1
    assert entry["need_mib"]["ram"] == 0
    assert not [name for name in (gw.state / "run").iterdir() if name.suffix == ".sock"]


@pytest.mark.parametrize("end", ["/", "/v1", "/v1/"])
def test_other_spellings_of_the_url(make_gateway, far_server, end):
    gw = make_gateway({"far": far(far_server().url + end)}, ONLY_FAR)
    for protocol in PROTOCOLS:
        assert answer_of(protocol, send(gw, protocol), False).startswith("I am demo-chat")


@pytest.mark.parametrize("stream", [False, True])
def test_another_gateway_and_its_name_for_the_model(make_gateway, stream):
    there = make_gateway({"demo-chat": profile("demo-chat"), "demo-coder": profile("demo-coder")},
                         {"20-auto.conf": auto_route("demo-chat")})
    gw = make_gateway({"far": far(there.url, REMOTE_MODEL="demo-coder")}, ONLY_FAR)
    for protocol in PROTOCOLS:
        reply = send(gw, protocol, stream=stream)
        assert answer_of(protocol, reply, stream).startswith("I am demo-coder")
        assert reply.header("x-pointsman-target") == "far"
    assert there.profile("demo-coder")["state"] == "ready"
    assert there.profile("demo-chat")["state"] == "off"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("protocol", [CHAT, RESPONSES])
def test_over_tls_with_a_key(make_gateway, make_cloud, protocol, stream):
    cloud = make_cloud("openai", model="their-name")
    cloud.secrets.append("sk-client-one")
    cloud.allow |= {"return_progress", "timings_per_token", "stream_options"}
    gw = make_gateway({"far": far(cloud.root, REMOTE_MODEL="their-name", CA_FILE=cloud.ca_file,
                                  API_KEY_ENV="FAR_KEY")}, ONLY_FAR, env=KEY)
    reply = send(gw, protocol, stream=stream, headers={"Authorization": "Bearer sk-client-one",
                                                       "x-api-key": "sk-client-one"})
    assert answer_of(protocol, reply, stream).startswith("I am the stand-in cloud")
    seen = cloud.posts()[-1]
    assert seen.json["model"] == "their-name"
    # looks whether it is alive know no key, and this cloud knows no such path
    cloud.violations[:] = [text for text in cloud.violations if not text.startswith("GET ")]


def test_a_certificate_of_somebody_else(make_gateway, make_cloud):
    cloud = make_cloud("openai")
    gw = make_gateway({"far": far(cloud.root), "demo-coder": profile("demo-coder")}, ROUTE,
                      env=KEY)
    reply = send(gw)
    assert reply.status in (502, 503), reply
    assert cloud.root in error_of(CHAT, reply)
    assert cloud.requests == []
    cloud.violations.clear()


# when it is not there

def test_unreachable_is_told_with_its_url(make_gateway):
    url = f"http://127.0.0.1:{free_port()}"
    gw = make_gateway({"far": far(url)}, ONLY_FAR)
    began = time.monotonic()
    reply = send(gw)
    assert time.monotonic() - began < 10
    assert reply.status in (502, 503), reply
    assert url in error_of(CHAT, reply)
    entry = gw.profile("far")
    assert entry["state"] == "failed" and url in entry["reason"], entry
    done = gw.cli("switch", "far", "--wait", check=1)
    assert url in done.stderr


def test_unreachable_the_next_target_answers(make_gateway):
    gw = make_gateway({"far": far(f"http://127.0.0.1:{free_port()}"),
                       "demo-coder": profile("demo-coder")}, ROUTE)
    for turn in range(2):
        began = time.monotonic()
        reply = send(gw, model="auto")
        assert answer_of(CHAT, reply, False).startswith("I am demo-coder")
        assert reply.header("x-pointsman-target") == "demo-coder"
    # known to be down: nobody waits for it again
    assert time.monotonic() - began < 1.5


def test_it_dies_in_its_life(make_gateway, far_server, measured):
    server = far_server()
    gw = make_gateway({"far": far(server.url), "demo-coder": profile("demo-coder")}, ROUTE)
    assert answer_of(CHAT, send(gw), False).startswith("I am demo-chat")
    server.close()
    # whoever comes before it is noticed is answered by another
    reply = send(gw, model="auto")
    assert answer_of(CHAT, reply, False).startswith("I am demo-coder")
    began = time.monotonic()
    entry = gw.wait_profile("far", "failed", 30)
    measured(f"a dead remote server was given up after {time.monotonic() - began:.1f} s")
    assert server.url in entry["reason"], entry
    again = far_server(port=server.port)
    wait_until(lambda: send(gw).status == 200, 20, "the one that came back", 0.2)
    assert gw.profile("far")["state"] == "ready" and alive(again.proc.pid)


def test_it_dies_in_mid_stream(make_gateway, far_server):
    server = far_server()
    gw = make_gateway({"far": far(server.url)}, ONLY_FAR)
    body = ask(CHAT, "hi", model="far", stream=True, limit=4000, ignore_eos=True)
    with gw.open("POST", PATHS[CHAT], body) as exchange:
        events = exchange.events()
        next(events)
        server.proc.kill()
        last = None
        try:
            for last in events:
                pass
        except Truncated:
            pass
    assert not exchange.complete or is_failure_end(CHAT, last), last


# it is not ours

@pytest.mark.parametrize("how", ["unload", "stop", "removed"])
def test_it_outlives_us(make_gateway, far_server, how):
    server = far_server()
    gw = make_gateway({"far": far(server.url), "demo-coder": profile("demo-coder")}, ROUTE)
    assert send(gw).status == 200
    if how == "unload":
        gw.cli("unload", "far")
        gw.wait_profile("far", "off")
    elif how == "stop":
        assert gw.stop() == 0
    else:
        gw.write_route("20-auto.conf", auto_route("demo-coder"))
        gw.write_models({"demo-coder": profile("demo-coder")})
        wait_until(lambda: "far" not in [p["id"] for p in gw.status()["profiles"]], 10,
                   "the profile to go")
    assert request(("127.0.0.1", server.port), "GET", "/health").status == 200
    if how == "unload":
        assert send(gw).status == 200


def test_it_takes_no_memory_of_ours(make_gateway, far_server):
    gw = make_gateway({"far": far(far_server().url), "demo-coder": profile("demo-coder")}, ROUTE,
                      manager={"RAM": 200})
    assert send(gw).status == 200 and send(gw, model="demo-coder").status == 200
    assert [p["state"] for p in gw.status()["profiles"]] == ["ready", "ready"]


# what must stay on this machine

def decide(gw):
    reply = gw.post("/v1/route", {"model": "auto",
                                  "messages": [{"role": "user", "content": "How was your day?"}]})
    return reply.json.get("target") if reply.status == 200 else None


@pytest.mark.parametrize("url", [
    "http://192.0.2.1:9", "https://192.0.2.1", "http://localhost.example.invalid:9",
    "http://127.0.0.1.example.invalid", "http://127.example.invalid", "http://localhosts:9",
    "http://127.0.0.1@192.0.2.1:9", "http://localhost:secret@192.0.2.1:9",
    "http://[::1].example.invalid"])
def test_local_only_refuses_other_machines(make_gateway, url):
    """Decided without asking anybody: these addresses are nobody's."""
    gw = make_gateway({"far": far(url), "demo-coder": profile("demo-coder")},
                      {"20-auto.conf": auto_route("far,demo-coder", LOCAL_ONLY="yes")})
    assert decide(gw) != "far"
    assert gw.profile("far")["state"] == "off"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9",
                                 "http://LOCALHOST:9", "http://127.1.2.3", "https://localhost/v1"])
def test_local_only_allows_this_machine(make_gateway, url):
    gw = make_gateway({"far": far(url), "demo-coder": profile("demo-coder")},
                      {"20-auto.conf": auto_route("far,demo-coder", LOCAL_ONLY="yes")})
    assert decide(gw) == "far"


def test_local_only_is_answered_by_what_is_here(make_gateway):
    gw = make_gateway({"far": far("http://192.0.2.1:9"), "demo-coder": profile("demo-coder")},
                      {"20-auto.conf": auto_route("far,demo-coder", LOCAL_ONLY="yes")})
    reply = send(gw, model="auto")
    assert answer_of(CHAT, reply, False).startswith("I am demo-coder")
    assert gw.profile("far")["state"] == "off" and gw.profile("far")["loads"] == 0


@pytest.mark.parametrize("keys, word", [({}, "URL"), ({"URL": "far:8080"}, "URL"),
                                        ({"URL": "ftp://far"}, "URL")])
def test_faults_of_its_section(tmp_path, keys, word):
    models = tmp_path / "models.conf"
    models.write_text("[far]\nDRIVER=remote\n" + "".join(f"{k}={v}\n" for k, v in keys.items()))
    (tmp_path / "routes.d").mkdir()
    done = subprocess.run([str(binary()), "check", "--models", str(models), "--routes",
                           str(tmp_path / "routes.d")], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert word in done.stdout + done.stderr
