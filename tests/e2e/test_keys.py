"""Client keys: who may come in, what a key may use, and how keys come and go."""

import json
import re
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import auto_route, binary, free_port, ini, profile, request, wait_until
from keys import SHAPE, Keys, after, bearer, command, digest, fresh, listed, own_header
from speak import CHAT, MESSAGES, PATHS, PROTOCOLS, ask, error_of, headers_of
from waits import Later, Stream, open_stream

ENV = {"CLOUD_KEY": "sk-cloud-key"}
OPEN = [("GET", "/health"), ("GET", "/"), ("GET", "/web/page.js"), ("HEAD", "/"), ("HEAD", "/api/hello"), ("GET", "/api/hello")]
ADMIN_ONLY = [("POST", "/models/load", {"model": "local"}),
              ("POST", "/models/unload", {"model": "local"}),
              ("POST", "/unload", {}), ("GET", "/unload", None),
              ("GET", "/upstream/local/health", None),
              ("POST", "/upstream/local/v1/chat/completions", {"model": "local"}),
              ("GET", "/logs", None), ("GET", "/slots?model=local", None),
              ("GET", "/metrics", None), ("GET", "/api/usage", None),
              ("GET", "/api/requests", None), ("GET", "/api/requests/req_0", None),
              ("POST", "/api/pin", {"model": "local"})]
# without an end: whoever may come in is not asked here
STREAMS = [("GET", "/logs/stream", None), ("GET", "/api/events", None)]
CLOSED = [("GET", "/v1/models", None), ("GET", "/v1/models/alpha", None),
          ("POST", "/v1/route", {"model": "alpha"}), ("GET", "/running", None),
          ("GET", "/models/sse", None), ("GET", "/api/status", None),
          ("GET", "/props?model=local", None), ("POST", "/tokenize", {"model": "local"}),
          ("POST", "/v1/messages/count_tokens", {"model": "alpha"}),
          ("POST", "/v1/embeddings", {"model": "alpha", "input": "a"}),
          ("POST", "/infill", {"model": "local"}), ("GET", "/nothing/here", None),
          ("GET", "/v1/v1/models", None), ("OPTIONS", "/v1/models", None),
          ("GET", "/v1/responses", None)] + ADMIN_ONLY + STREAMS


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path)


@pytest.fixture
def setup(make_gateway, make_cloud, keys):
    """Two cloud models behind one cloud, a local one, and the routes auto and only-beta."""
    def make(cloud=None, **how):
        cloud = cloud or make_cloud("openai")
        section = dict(cloud.section())
        models = {"alpha": {**section, "STRENGTH": "0.3"},
                  "beta": {**section, "STRENGTH": "0.9", "GOOD_AT": "general,code"},
                  "local": profile("demo-chat", SLOTS=1)}
        routes = {**keys.gateway(), "20-auto.conf": auto_route("alpha,beta", "beta"),
                  "30-only.conf": {"route": {"MODELS": "only-beta", "TARGETS": "beta"}}}
        return make_gateway(models, routes, env=ENV, **how), cloud
    return make


def ids(gw, key):
    reply = gw.get("/v1/models", bearer(key))
    assert reply.status == 200, reply
    return {entry["id"] for entry in reply.json["data"]}


def chat(gw, key, model, text="Hello", **more):
    return gw.chat(text, model, bearer(key), **more)


# --- who comes in ---


def test_without_a_key_every_path_is_closed(setup, keys):
    keys.add("one", ADMIN="yes")
    gw, cloud = setup()
    for wrong in ({}, bearer(fresh()), {"x-api-key": fresh()}):
        for method, path, body in CLOSED:
            reply = gw.request(method, path, body, wrong)
            assert reply.status == 401, (method, path, wrong, reply)
            assert reply.complete
    assert not cloud.requests
    assert gw.profile("local")["state"] == "off"


def test_what_stays_open(setup, keys):
    keys.add("one")
    gw, _ = setup()
    for method, path in OPEN:
        assert gw.request(method, path).status == 200, (method, path)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_refused_as_the_protocol_refuses(setup, keys, protocol, stream):
    keys.add("one")
    gw, cloud = setup()
    for given in ({}, own_header(protocol, fresh())):
        reply = gw.post(PATHS[protocol], ask(protocol, "Hello", stream=stream),
                        {**headers_of(protocol), **given})
        assert reply.status == 401 and error_of(protocol, reply), reply
        assert reply.header("content-type").startswith("application/json")
        error = reply.json["error"]
        if protocol == MESSAGES:
            assert error["type"] == "authentication_error"
        else:
            assert error["code"] == "invalid_api_key"
    assert not cloud.requests


def test_both_headers_carry_a_key(setup, keys):
    key = keys.add("one")
    gw, cloud = setup()
    for given in (bearer(key), {"x-api-key": key}, {"authorization": f"bearer {key}"},
                  {"X-API-KEY": key}, {"AUTHORIZATION": f"Bearer {key}"}):
        assert gw.chat("Hello", "alpha", given).status == 200, given
    # what the cloud got is the gateway's own key, which the stand-in holds against it
    assert len(cloud.posts()) == 5 and not cloud.violations


def test_what_only_looks_like_the_key(setup, keys):
    key = keys.add("one")
    other = key[:-1] + ("A" if key[-1] != "A" else "B")
    gw, _ = setup()
    near = [key[:-1], key + "x", other, key.swapcase(), key.replace("pm-", ""), "pm-",
            digest(key), digest(key).removeprefix("sha256:"), "one", "*", "null", "a" * 6000]
    for text in near:
        for given in (bearer(text), {"x-api-key": text}):
            assert gw.get("/v1/models", given).status == 401, given
    for text in ("Bearer", "Bearer ", f"Basic {key}", f"Bearer{key}", f"{key}", ""):
        assert gw.get("/v1/models", {"Authorization": text}).status == 401, text


def test_a_key_in_the_query_or_body_is_none(setup, keys):
    key = keys.add("one")
    gw, _ = setup()
    assert gw.get(f"/v1/models?key={key}&api_key={key}").status == 401
    assert gw.chat("Hello", "alpha", api_key=key).status == 401


def test_a_stranger_need_not_send_a_body(setup, keys):
    """Nothing is read for somebody who may not come in: the answer is there before the body."""
    keys.add("one")
    gw, _ = setup()
    with gw.open("POST", "/v1/chat/completions", headers={
            "Content-Type": "application/json", "Content-Length": "20000000"},
            timeout=5) as exchange:
        exchange.head()
        assert exchange.status == 401


def test_keys_on_one_connection_do_not_mix(setup, keys):
    """Each request of a kept connection is looked at, not the connection."""
    key = keys.add("one")
    gw, _ = setup()
    head = "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with gw.open("GET", "/v1/models", headers=bearer(key)) as exchange:
        assert exchange.read().status == 200
        exchange.status, exchange.headers = None, []
        exchange.sock.sendall(f"{head}\r\n".encode())
        assert exchange.read().status == 401


def test_without_keys_all_is_open(setup, keys):
    assert not keys.path.exists()
    gw, _ = setup()
    assert gw.chat("Hello", "alpha").status == 200
    assert gw.chat("Hello", "alpha", bearer("sk-anything")).status == 200
    assert gw.get("/metrics").status == 200


def test_an_empty_file_lets_nobody_in(setup, keys):
    keys.write("")
    gw, _ = setup()
    assert gw.chat("Hello", "alpha").status == 401
    assert gw.get("/health").status == 200


# --- what a key may use ---


def test_only_its_targets(setup, keys):
    key = keys.add("one", TARGETS="alpha")
    everything = keys.add("all")
    gw, cloud = setup()
    assert chat(gw, key, "alpha").status == 200
    for model in ("beta", "local", "only-beta"):
        for protocol in PROTOCOLS:
            reply = gw.post(PATHS[protocol], ask(protocol, "Hello", model),
                            {**headers_of(protocol), **own_header(protocol, key)})
            assert reply.status == 403 and error_of(protocol, reply), reply
            if protocol == MESSAGES:
                assert reply.json["error"]["type"] == "permission_error"
    assert len(cloud.posts()) == 1
    assert chat(gw, everything, "beta").status == 200
    assert gw.profile("local")["state"] == "off"


def test_decisions_see_only_its_targets(setup, keys):
    key = keys.add("one", TARGETS="alpha")
    gw, cloud = setup()
    hard = "Why does this algorithm deadlock? " * 30
    for _ in range(4):
        reply = chat(gw, key, "auto", hard)
        assert reply.status == 200 and reply.header("x-pointsman-target") == "alpha", reply
    body = ask(CHAT, hard)
    plan = gw.post("/v1/route", body, bearer(key)).json
    assert [one["target"] for one in plan["attempts"]] == ["alpha"], plan
    assert "beta" not in json.dumps(plan), plan
    # when its own target fails, what it may not use does not take over
    cloud.fail("status", status=500)
    before = len(cloud.posts())
    reply = chat(gw, key, "auto", hard)
    assert reply.status >= 500, reply
    assert len(cloud.posts()) - before <= 2, "alpha twice, beta never"


def test_the_list_of_models_is_the_keys_own(setup, keys):
    one = keys.add("one", TARGETS="alpha")
    local = keys.add("local", TARGETS="local")
    everything = keys.add("all")
    gw, _ = setup()
    whole = ids(gw, everything)
    assert {"alpha", "beta", "local", "auto", "only-beta"} <= whole
    assert ids(gw, one) == whole - {"beta", "local", "only-beta"}
    assert ids(gw, local) & {"alpha", "beta", "local", "auto", "only-beta"} == {"local"}
    for name, status in (("alpha", 200), ("auto", 200), ("beta", 403), ("only-beta", 403)):
        got = gw.get(f"/v1/models/{name}", bearer(one)).status
        assert got == status or (status == 403 and got == 404), (name, got)
    theirs = gw.get("/v1/models", {"x-api-key": one, "anthropic-version": "2023-06-01"})
    assert "beta" not in theirs.text, theirs


def test_other_paths_of_a_target_it_may_not_use(setup, keys):
    key = keys.add("one", TARGETS="alpha")
    gw, _ = setup()
    for method, path, body in (
            ("GET", "/props?model=local", None),
            ("POST", "/tokenize", {"model": "local", "content": "a"}),
            ("POST", "/v1/messages/count_tokens", ask(MESSAGES, "Hello", "local")),
            ("POST", "/v1/embeddings", {"model": "beta", "input": "a"}),
            ("POST", "/v1/completions", {"model": "beta", "prompt": "a"}),
            ("POST", "/infill", {"model": "local", "input_prefix": "a", "input_suffix": "b"})):
        reply = gw.request(method, path, body, bearer(key))
        assert reply.status == 403, (path, reply)
    assert gw.profile("local")["state"] == "off"


def test_what_needs_admin(setup, keys):
    key, chief = keys.add("one"), keys.add("chief", ADMIN="yes")
    gw, _ = setup()
    for method, path, body in ADMIN_ONLY + STREAMS:
        reply = gw.request(method, path, body, bearer(key))
        assert reply.status == 403, (method, path, reply)
    assert gw.profile("local")["state"] == "off"
    for method, path, body in ADMIN_ONLY:
        reply = gw.request(method, path, body, bearer(chief))
        assert reply.status not in (401, 403), (method, path, reply)


@pytest.mark.parametrize("path", [
    "/v1/metrics", "/v1/v1/metrics", "/metrics/", "//metrics", "/%6detrics", "/Metrics",
    "/metrics?x=1", "/v1/logs", "/logs/", "/x/../metrics", "/v1/upstream/local/health",
    "/health/../metrics", "/api/hello/../../metrics", "/health?/metrics", "/health/",
    "/v1//metrics", "/./metrics", "http://127.0.0.1/metrics"])
def test_no_other_way_of_writing_a_path_opens_it(setup, keys, path):
    key = keys.add("one")
    gw, _ = setup()
    for given in ({}, bearer(key)):
        reply = gw.get(path, given)
        assert "pointsman_" not in reply.text, (given, reply)
        if reply.status == 200:
            assert reply.json == {"status": "ok"}, (given, reply)


def test_local_only(make_gateway, make_cloud, keys):
    key = keys.add("one", LOCAL_ONLY="yes")
    cloud = make_cloud("openai")
    gw = make_gateway({"local": profile("demo-chat"), "cloud": cloud.section()},
                      {**keys.gateway(), "20-auto.conf": auto_route("cloud,local", "cloud")},
                      env=ENV)
    reply = chat(gw, key, "auto", "Prove this theorem. " * 40, max_tokens=5)
    assert reply.status == 200 and reply.header("x-pointsman-target") == "local", reply
    assert chat(gw, key, "cloud").status in (400, 403)
    gw.write_models({"local": profile("demo-chat", MODEL="/nothing/here.gguf"),
                     "cloud": cloud.section()})
    wait_until(lambda: chat(gw, key, "auto", max_tokens=5).status >= 400, 15, "a broken model")
    assert not cloud.requests


def test_priority_is_the_keys_and_the_header_only_lowers_it(setup, keys):
    """One slot, held; four wait for it. They are served by class, whatever they claim."""
    low, high = keys.add("low", PRIORITY="low"), keys.add("high", PRIORITY="high")
    plain = keys.add("plain")
    gw, _ = setup()
    gw.cli("switch", "local", "--wait")
    claims = [(low, "high"), (plain, "high"), (high, "low"), (high, None)]

    def wait_for_it(key, claim):
        given = {**bearer(key), **({"x-pointsman-priority": claim} if claim else {})}
        reply = gw.chat("hi", "local", given, max_tokens=1)
        assert reply.status == 200, reply
        return reply.header("x-pointsman-request")

    holder = open_stream(gw, CHAT, model="local", limit=7000, ignore_eos=True,
                         headers=bearer(plain))
    Stream(CHAT, holder).speaks(1)
    waiting = []
    for n, (key, claim) in enumerate(claims):
        waiting.append(Later(wait_for_it, key, claim))
        wait_until(lambda n=n: gw.profile("local")["waiting"] == n + 1, 10, "a waiter")
    holder.reset()
    mine = [one.result() for one in waiting]

    def logged():
        ended = [mine.index(one) for one in re.findall(r"msg=request id=(\S+)", gw.log)
                 if one in mine]
        return ended if len(ended) == len(mine) else None

    # by the log: answers that follow each other at once reach their clients in any order
    served = wait_until(logged, 5, "a line for each")
    assert served[:2] == [3, 1], served
    assert set(served[2:]) == {0, 2}, served


# --- the commands ---


def run(*args, check=0, **how):
    done = subprocess.run([str(binary()), "key", *map(str, args)], capture_output=True,
                          text=True, timeout=30, stdin=subprocess.DEVNULL, **how)
    if check is not None:
        assert done.returncode == check, (args, done)
    return done


@pytest.fixture(params=["state", "keys"])
def place(request, tmp_path):
    """A keys file by its folder or by its name: (words of the command, path)."""
    if request.param == "keys":
        return ["--keys", tmp_path / "my.conf"], tmp_path / "my.conf"
    state = tmp_path / "st"
    state.mkdir(mode=0o700)
    return ["--state", state], state / "keys.conf"


def test_add_without_a_gateway(place):
    where, path = place
    done = run("add", "laptop", *where)
    key = done.stdout.strip()
    assert SHAPE.fullmatch(key) and done.stdout == f"{key}\n", done
    assert key not in done.stderr
    text = path.read_text()
    assert "[laptop]" in text and f"HASH={digest(key)}" in text and "CREATED=" in text
    assert key not in text and key[3:] not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    more = run("add", "desk", *where, "--json", "--targets", "a,b", "--rpm", "7", "--tpm", "800",
               "--budget", "1.5", "--priority", "low", "--local-only", "--admin")
    value = json.loads(more.stdout)
    assert set(value) == {"name", "key"} and value["name"] == "desk"
    assert SHAPE.fullmatch(value["key"]) and value["key"] != key
    section = path.read_text().split("[desk]")[1]
    for line in (f"HASH={digest(value['key'])}", "TARGETS=a,b", "RPM=7", "TPM=800",
                 "BUDGET=1.5", "PRIORITY=low", "LOCAL_ONLY=yes", "ADMIN=yes"):
        assert f"\n{line}\n" in section + "\n", (line, section)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_list_never_tells_a_key_or_hash(place):
    where, path = place
    key = run("add", "laptop", *where, "--rpm", "7", "--budget", "2").stdout.strip()
    run("add", "desk", *where)
    for args in ((), ("--json",)):
        shown = run("list", *where, *args)
        text = shown.stdout + shown.stderr
        assert "laptop" in text and "desk" in text and "7" in text
        assert key[3:] not in text and digest(key)[7:] not in text and "sha256" not in text
    told = json.loads(run("list", *where, "--json").stdout)
    told = told if isinstance(told, list) else told["keys"]
    assert {one["name"] for one in told} == {"laptop", "desk"}
    assert all("created" in one for one in told), told


def test_revoke(place):
    where, path = place
    run("add", "laptop", *where)
    text = path.read_text()
    path.write_text("# a note that stays\n" + text)
    other = run("add", "desk", *where).stdout.strip()
    run("revoke", "laptop", *where)
    left = path.read_text()
    assert "laptop" not in left and "[desk]" in left and digest(other) in left
    assert left.startswith("# a note that stays\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    gone = run("revoke", "laptop", *where, check=None)
    assert gone.returncode == 1 and "laptop" in gone.stderr, gone


@pytest.mark.parametrize("args", [
    ["add"], ["add", "bad name"], ["add", "a]b"], ["add", ""], ["add", "a\nb"],
    ["add", "ok", "--rpm", "-1"], ["add", "ok", "--rpm", "many"], ["add", "ok", "--tpm", "1x"],
    ["add", "ok", "--budget", "nan"], ["add", "ok", "--budget", "-3"],
    ["add", "ok", "--priority", "urgent"], ["add", "ok", "--targets", "a\nADMIN=yes"],
    ["add", "laptop"], ["revoke"], ["remove", "laptop"], []])
def test_what_the_command_refuses(place, args):
    where, path = place
    run("add", "laptop", *where)
    before = path.read_text()
    done = run(*args, *where, check=None)
    assert done.returncode in (1, 2) and done.stderr and not done.stdout, done
    assert path.read_text() == before


def test_many_commands_at_once_lose_none(place):
    where, path = place
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: run("add", f"k{n}", *where).stdout.strip(), range(16)))
    text = path.read_text()
    assert len(set(made)) == 16
    assert all(f"HASH={digest(key)}" in text for key in made), text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not [p for p in path.parent.iterdir()
                if p.name.startswith(path.name) and p != path and p.stat().st_size > 4096]


def test_add_and_revoke_under_a_gateway(make_gateway, make_cloud):
    """The file is where it is when nobody says: in the state folder."""
    cloud = make_cloud("openai")
    gw = make_gateway({"alpha": cloud.section()}, {"20-auto.conf": auto_route("alpha")}, env=ENV,
                      workers=2)
    assert gw.chat("Hello", "alpha").status == 200
    made = []
    after(gw, lambda: made.append(command(gw, "add", "one")))
    key = made[0]
    assert SHAPE.fullmatch(key)
    assert gw.chat("Hello", "alpha").status == 401
    assert chat(gw, key, "alpha").status == 200
    path = gw.state / "keys.conf"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and key not in path.read_text()
    after(gw, lambda: made.append(command(gw, "add", "two")))
    after(gw, command, gw, "revoke", "one")
    assert chat(gw, key, "alpha").status == 401
    assert chat(gw, made[1], "alpha").status == 200
    assert set(listed(gw)) == {"two"}


def test_the_command_finds_the_file_of_the_configuration(setup, keys):
    """With KEYS= in [gateway] a running gateway's file is meant, not the default."""
    keys.add("one")
    gw, _ = setup()
    made = []
    after(gw, lambda: made.append(command(gw, "add", "two")))
    assert chat(gw, made[0], "alpha").status == 200
    assert "[two]" in keys.path.read_text()
    assert not (gw.state / "keys.conf").exists()


# --- a change of the file ---


def test_an_edit_is_picked_up(setup, keys):
    one = keys.add("one", TARGETS="alpha")
    gw, _ = setup(workers=2)
    assert chat(gw, one, "beta").status == 403
    after(gw, keys.add, "one", TARGETS="alpha,beta")
    assert chat(gw, one, "beta").status == 200
    two = fresh()
    after(gw, keys.add, "two", two)
    assert chat(gw, two, "alpha").status == 200
    after(gw, keys.remove, "one")
    assert chat(gw, one, "alpha").status == 401


@pytest.mark.parametrize("line", [
    "RPMM=3", "RPM=-1", "RPM=x", "PRIORITY=urgent", "HASH=sha256:12", "HASH=md5:00",
    "ADMIN=perhaps", "BUDGET=-1"])
def test_a_typo_keeps_the_last_good_keys(setup, keys, line):
    one = keys.add("one", TARGETS="alpha")
    two = fresh()
    gw, _ = setup()
    good = keys.path.read_text()
    keys.write(f"{good}\n[two]\nHASH={digest(two)}\n{line}\n")
    error = wait_until(lambda: gw.status()["config_error"], 10, "a word about the typo")
    wrong = keys.path.read_text().splitlines().index(line) + 1
    assert f"{keys.path.name}:{wrong}:" in error, error
    assert digest(two)[7:] not in error and digest(one)[7:] not in error
    assert chat(gw, one, "alpha").status == 200
    assert chat(gw, one, "beta").status == 403
    assert chat(gw, two, "alpha").status == 401
    after(gw, keys.write, f"{good}\n[two]\nHASH={digest(two)}\n")
    assert gw.status()["config_error"] is None
    assert chat(gw, two, "alpha").status == 200


@pytest.mark.parametrize("text", [
    "[one]\nHASH=sha256:12\n", "[one]\nADMIN=yes\n", "HASH=sha256:00\n", "[one\n",
    "[one]\nHASH={hash}\nRPMM=3\n", "[one]\nHASH={hash}\n[two]\nHASH={hash}\n"])
def test_a_typo_at_the_first_start_opens_nothing(setup, keys, text):
    """There is no last good configuration yet: better no gateway than an open one."""
    keys.write(text.replace("{hash}", digest(fresh())))
    try:
        gw, cloud = setup()
    except AssertionError as e:
        assert "keys.conf:" in str(e)
        return
    assert gw.chat("Hello", "alpha").status in (401, 503)
    assert not cloud.requests


def test_a_configuration_error_elsewhere_does_not_open_it(setup, keys):
    one = keys.add("one")
    gw, _ = setup()
    gw.write_route("20-auto.conf", {"route": {"TARGETS": "nobody"}})
    wait_until(lambda: gw.status()["config_error"], 10, "a word about the fault")
    assert gw.chat("Hello", "alpha").status == 401
    assert chat(gw, one, "alpha").status == 200


def test_a_crashed_worker_comes_back_with_the_keys(setup, keys):
    one = keys.add("one", TARGETS="alpha")
    gw, _ = setup()
    pid = gw.kill_worker()
    wait_until(lambda: gw.worker_pids() and pid not in gw.worker_pids(), 10, "a new worker")
    assert gw.chat("Hello", "alpha").status == 401
    assert chat(gw, one, "alpha").status == 200
    assert chat(gw, one, "beta").status == 403


@pytest.mark.parametrize("how", ["removed", "moved", "two steps"])
def test_a_file_that_is_away_for_a_moment_opens_nothing(setup, keys, how):
    """Some editors move a file away, or empty it, before they write it."""
    one = keys.add("one")
    gw, _ = setup()
    text = keys.path.read_text()
    if how == "moved":
        keys.path.rename(keys.path.with_name("keys.conf~"))
    elif how == "removed":
        keys.path.unlink()
    else:
        keys.path.write_text("")
    # long enough for the change to be taken up, if it is
    until = time.monotonic() + 1
    seen = set()
    wait_until(lambda: seen.add(gw.chat("Hello", "alpha").status) or time.monotonic() > until, 5)
    assert seen == {401}, seen
    keys.write(text)
    wait_until(lambda: chat(gw, one, "alpha").status == 200 and not gw.status()["config_error"],
               10, "the file to be in use again")


# --- where it may listen ---


def serve_anywhere(gw, port):
    line = gw.command_line()
    line[line.index("--listen") + 1] = f"0.0.0.0:{port}"
    return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, env=gw.env, cwd=gw.dir)


def test_with_keys_it_may_listen_where_others_can_reach(setup, keys):
    key = keys.add("one")
    gw, _ = setup()
    gw.stop()
    port = free_port()
    proc = serve_anywhere(gw, port)
    gw.noted.add(proc.pid)

    def asked():
        try:
            return request(("127.0.0.1", port), "GET", "/v1/models", None, bearer(key), 5)
        except OSError:
            assert proc.poll() is None, proc.stderr.read()
            return None

    def stranger():
        return request(("127.0.0.1", port), "GET", "/v1/models", timeout=5).status

    try:
        assert wait_until(asked, 20, "it to listen").status == 200
        assert stranger() == 401
        # what may listen there because of its keys is not open without them
        keys.remove("one")
        until = time.monotonic() + 1
        seen = set()
        wait_until(lambda: seen.add(stranger()) or time.monotonic() > until, 5)
        assert seen == {401}, seen
    finally:
        proc.terminate()
        proc.communicate(timeout=20)


def test_without_keys_it_may_not(setup, keys):
    gw, _ = setup()
    gw.stop()
    proc = serve_anywhere(gw, free_port())
    try:
        _, said = proc.communicate(timeout=20)
    finally:
        proc.kill()
    assert proc.returncode == 1 and "loopback" in said, said
    assert not keys.path.exists()
