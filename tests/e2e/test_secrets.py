"""Secrets stay where they belong: nothing that the gateway says, writes or shows has one in it.

Planted are a cloud's key (by variable and by file), a client's key, keys that are refused, and
a password of Redis; then everything is used, everything is looked at, and all of it is searched.
"""

import base64
import json
import os
import signal
import socketserver
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from harness import auto_route, children, profile, wait_until
from keys import Keys, bearer, command, digest, fresh
from speak import CHAT, MESSAGES, PATHS, PROTOCOLS, ask, headers_of

CLOUD = "sk-cloud-0e1f2a3b4c5d6e7f-PLANTED"
FILED = "sk-filed-8a9b0c1d2e3f4a5b-PLANTED"
REDIS = "redis-77aa88bb99cc00dd-PLANTED"
MODELS = ("one", "two", "local")


class Secrets:
    """What must not be found, in every way it may be written."""

    def __init__(self):
        self.values = {}

    def plant(self, name, value):
        self.values[name] = value
        return value

    def needles(self):
        for name, value in self.values.items():
            raw = value.encode()
            yield name, raw
            yield f"{name} in base64", base64.b64encode(raw).rstrip(b"=")[:-1]
            yield f"{name} in hexadecimal", raw.hex().encode()
            yield f"{name} in a URL", quote(value, safe="").encode()
            # the greater part of it is the secret as well
            yield f"most of {name}", raw[6:-6]

    def found(self, where, data):
        data = data.encode() if isinstance(data, str) else data
        return [f"{name} in {where}: {_around(data, needle)!r}"
                for name, needle in self.needles() if needle in data]


def _around(data, needle):
    at = data.index(needle)
    return data[max(0, at - 60):at + len(needle) + 20]


class MuteRedis:
    """Somebody who listens where Redis should and refuses all, AUTH in the words of a Redis that
    was told to have no such command: it repeats what it was given."""

    def __init__(self):
        outer = self
        self.heard = b""

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                while data := self.request.recv(4096):
                    outer.heard += data
                    for one in data.split(b"*")[1:]:
                        self.request.sendall(
                            b"-ERR unknown command `AUTH`, with args beginning with: `"
                            + REDIS.encode() + b"`\r\n" if REDIS.encode() in one else
                            b"-NOAUTH Authentication required.\r\n")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def redis():
    mute = MuteRedis()
    yield mute
    mute.close()


@pytest.fixture
def rig(make_gateway, make_cloud, tmp_path):
    """A gateway that writes all it can write, and the secrets that it was given."""
    def make(**gateway):
        secrets, keys = Secrets(), Keys(tmp_path)
        secrets.plant("the cloud's key", CLOUD)
        secrets.plant("the key of a file", FILED)
        secrets.plant("the password", REDIS)
        admin = secrets.plant("the admin's key", keys.add("chief", ADMIN="yes"))
        one, two = make_cloud("openai", key=CLOUD), make_cloud("anthropic", key=FILED)
        path = tmp_path / "filed.key"
        path.touch(mode=0o600)
        path.write_text(FILED + "\n")
        gw = make_gateway(
            {"one": one.section(), "local": profile("demo-chat"),
             "two": two.section(API_KEY_ENV=None, API_KEY_FILE=path)},
            {**keys.gateway(LOG_LEVEL="debug", **gateway),
             "20-auto.conf": auto_route("one,two,local")},
            workers=2, env={"CLOUD_KEY": CLOUD, "REDIS_SECRET": REDIS})
        return gw, secrets, keys, admin, (one, two)
    return make


def plainly(replies, secrets):
    """What is wrong with the heads and bodies of these answers."""
    out = []
    for what, reply in replies:
        head = "\n".join(f"{name}: {value}" for name, value in reply.headers)
        out += secrets.found(f"the headers of {what}", head)
        out += secrets.found(f"the body of {what}", reply.body)
    return out


def use(gw, key, clouds):
    """Good and bad requests of every kind. Returns (what, reply)."""
    out = []
    for protocol in PROTOCOLS:
        for stream in (False, True):
            for model in ("auto", *MODELS):
                out.append((f"{protocol} to {model}", gw.post(
                    PATHS[protocol], ask(protocol, "Hello", model, stream, limit=4),
                    {**headers_of(protocol), **bearer(key)})))
    # faults of a cloud, one of which says the key that it was sent
    for kind, how in (("status", {"status": 401}), ("status", {"status": 500}), ("close", {}),
                      ("cut", {}), ("headers", {})):
        for cloud in clouds:
            cloud.fail(kind, **how)
        for model in ("one", "two"):
            for stream in (False, True):
                out.append((f"{kind} of {model}",
                            gw.post(PATHS[CHAT], ask(CHAT, "Hello", model, stream),
                                    bearer(key))))
    for cloud in clouds:
        cloud.heal()
    for method, path, body in (
            ("GET", "/metrics", None), ("GET", "/api/status", None), ("GET", "/logs", None),
            ("GET", "/v1/models", None), ("GET", "/running", None), ("GET", "/nothing", None),
            ("POST", "/v1/route", ask(CHAT, "Hello")), ("GET", "/props?model=local", None),
            ("GET", "/slots?model=local", None), ("GET", "/upstream/local/props", None),
            ("POST", PATHS[CHAT], "{broken"), ("POST", PATHS[MESSAGES], "[]")):
        out.append((f"{method} {path}", gw.request(method, path, body, bearer(key))))
    return out


def knock(gw, secrets):
    """Requests that are refused, each with a secret in a place where it may be repeated."""
    out = []
    bad = [secrets.plant(f"refused key {n}", fresh()) for n in range(4)]
    out.append(("a refused key", gw.get("/v1/models", bearer(bad[0]))))
    out.append(("a refused x-api-key", gw.get("/v1/models", {"x-api-key": bad[1]})))
    out.append(("a refused scheme", gw.get("/v1/models", {"Authorization": f"Basic {bad[2]}"})))
    out.append(("a refused key of a stream", gw.post(
        PATHS[MESSAGES], ask(MESSAGES, "Hello", "one", True), {"x-api-key": bad[3]})))
    return out


def processes(gw):
    """Every process of this gateway but the model servers' own."""
    pids, new = [], [gw.manager_pid]
    while new:
        pid = new.pop()
        pids.append(pid)
        new += children(pid)
    return pids


def shown_by_processes(gw, secrets):
    out = []
    for pid in processes(gw):
        for name in ("cmdline", "comm", "status"):
            try:
                data = Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
            out += secrets.found(f"/proc/{pid}/{name}", data)
    return out


def in_files(folder, secrets, but=()):
    """The names and contents of all that the gateway has written."""
    out = []
    for path in sorted(Path(folder).rglob("*")):
        out += secrets.found(f"the name {path}", str(path))
        if path.is_file() and path not in but:
            out += secrets.found(f"the file {path}", path.read_bytes())
    return out


def test_nothing_tells_a_secret(rig, redis):
    gw, secrets, keys, admin, clouds = rig(
        REDIS=f"redis://127.0.0.1:{redis.port}/0", REDIS_PASSWORD_ENV="REDIS_SECRET")
    wrong = plainly(use(gw, admin, clouds) + knock(gw, secrets), secrets)
    made = secrets.plant("a key that was added", command(gw, "add", "new", keys=keys))
    for args in (("list",), ("list", "--json")):
        wrong += secrets.found("key list", command(gw, *args, keys=keys))
    for args in (("status", "--json"), ("status",), ("models",), ("logs",),
                 ("models", "--argv", "local")):
        done = gw.cli(*args, check=None)
        wrong += secrets.found(" ".join(args), done.stdout + done.stderr)
    wrong += shown_by_processes(gw, secrets)
    gw.stop()
    wrong += secrets.found("the log", gw.log)
    wrong += in_files(gw.dir, secrets)
    wrong += secrets.found("the keys file", keys.path.read_text())
    assert not wrong, "\n".join(wrong)
    assert digest(made) in keys.path.read_text()
    assert REDIS.encode() in redis.heard, "the password was not used"


def test_a_hash_is_only_in_the_keys_file(rig):
    """A hash is no secret that opens anything, and still nobody's business."""
    gw, secrets, keys, admin, clouds = rig()
    hashes = Secrets()
    hashes.plant("the hash", digest(admin).removeprefix("sha256:"))
    wrong = plainly(use(gw, admin, clouds), hashes)
    wrong += hashes.found("status", gw.cli("status", "--json").stdout)
    wrong += hashes.found("key list", command(gw, "list", "--json", keys=keys))
    wrong += shown_by_processes(gw, hashes)
    gw.stop()
    wrong += hashes.found("the log", gw.log)
    assert not wrong, "\n".join(wrong)


def test_a_fault_in_the_keys_file_does_not_repeat_the_line(rig):
    """A key where its hash belongs is a mistake that people make."""
    gw, secrets, keys, admin, _ = rig()
    lost = secrets.plant("a key in the wrong place", fresh())
    good = keys.path.read_text()
    for text in (f"[two]\nHASH={lost}\n", f"[two]\nKEY={lost}\n", f"[two]\n{lost}\n",
                 f"[two]\nHASH=sha256:{lost}\n", f"[{lost}\n", f"[two]\n{lost}=1\n"):
        before = gw.status()["config_error"]
        keys.write(good + text)
        error = wait_until(lambda: (now := gw.status()["config_error"]) != before and now, 10,
                           f"a word about {text!r}")
        assert not secrets.found("the error", error), (text, error)
        reply = gw.get("/api/status", bearer(admin))
        assert not plainly([("the status", reply)], secrets)
    keys.write(good)
    wait_until(lambda: not gw.status()["config_error"], 10, "the good file to be seen")
    gw.stop()
    assert not secrets.found("the log", gw.log)


def test_a_password_in_the_address_of_redis_is_not_repeated(rig, redis):
    """Whether such an address is taken or refused, its password is told to nobody."""
    try:
        gw, secrets, keys, admin, clouds = rig(
            REDIS=f"redis://:{REDIS}@127.0.0.1:{redis.port}/0")
    except AssertionError as e:
        said = [line for line in str(e).splitlines() if "REDIS" in line or "redis" in line]
        assert said and not any(REDIS in line for line in said), said
        return
    wrong = plainly(use(gw, admin, clouds), secrets)
    wrong += secrets.found("status", gw.cli("status", "--json").stdout)
    wrong += shown_by_processes(gw, secrets)
    gw.stop()
    wrong += secrets.found("the log", gw.log)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("where", ["cmdline", "environ"])
def test_what_the_model_servers_get(rig, where):
    """A local server needs no key of anybody: neither in its words nor in its environment."""
    gw, secrets, _, _, _ = rig(REDIS_PASSWORD_ENV="REDIS_SECRET")
    gw.cli("switch", "local", "--wait")
    data = Path(f"/proc/{gw.profile('local')['pid']}/{where}").read_bytes()
    assert not secrets.found(f"the server's {where}", data)


def test_what_the_model_servers_are_sent(rig):
    gw, secrets, _, admin, _ = rig()
    for path in ("/upstream/local/v1/chat/completions", PATHS[CHAT]):
        reply = gw.post(path, ask(CHAT, "Hello", "local", limit=2), bearer(admin))
        assert reply.status == 200, reply
    assert not secrets.found("the server's log", gw.cli("logs", "local").stdout)


def test_what_a_cloud_gets(rig):
    """Of a client's key and the other cloud's, nothing; the stand-in looks at heads and bodies."""
    gw, secrets, keys, admin, clouds = rig()
    for cloud, others in zip(clouds, ((FILED, admin), (CLOUD, admin))):
        cloud.secrets += [*others, REDIS, digest(admin)]
    for model in ("one", "two"):
        for protocol in PROTOCOLS:
            for given in (bearer(admin), {"x-api-key": admin}):
                gw.post(PATHS[protocol], ask(protocol, "Hello", model),
                        {**headers_of(protocol), **given})
    assert all(cloud.posts() for cloud in clouds)
    for cloud in clouds:
        for seen in cloud.requests:
            text = json.dumps(seen.headers) + seen.body.decode()
            assert admin not in text


def test_a_core_of_a_worker(rig):
    """A worker that dies leaves no core that everybody may read: it is not dumpable, or the
    limit for cores is nought."""
    gw, secrets, keys, admin, clouds = rig()
    pid = gw.worker_pids()[0]
    core = next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines()
                if line.startswith("Max core file size"))
    limited = core.split()[4] == "0"
    # what is not dumpable belongs to root in /proc, and says so
    hidden = not os.access(f"/proc/{pid}/mem", os.R_OK) or os.stat(
        f"/proc/{pid}/environ").st_uid != os.stat(f"/proc/{pid}").st_uid
    os.kill(pid, signal.SIGABRT)
    wait_until(lambda: pid not in gw.worker_pids(), 10, "the worker to be gone")
    left = [p for p in gw.dir.rglob("core*") if p.is_file()]
    assert limited or hidden or not left, left
    assert not [p for p in left if secrets.found("the name", p.name)]
