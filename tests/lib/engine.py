"""A container engine for tests: podman's Engine API on a socket, in a folder of its own.

Storage, state, network settings and locks are all below that folder, so the machine's own
images and containers are neither seen nor touched, and its end is the end of everything in it.
Standard library, podman and runc only.
"""

import contextlib
import ctypes
import functools
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from urllib.parse import quote

from harness import end_all, llama_server
from wire import request, wait_until

IMAGE = "localhost/pointsman-llama:test"
API = "/v1.41"
COMMAND_LIMIT = 120
CLONE_NEWNET = 0x40000000

# What a machine's own settings could change; what is not named here is podman's default.
SETTINGS = """\
[containers]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
image_copy_tmp_dir = "{folder}/tmp"
[network]
network_config_dir = "{folder}/net"
"""

# The default network, with its leases below our folder as well.
NETWORK = {"cniVersion": "0.4.0", "name": "podman", "plugins": [
    {"type": "bridge", "bridge": "pm-test0", "isGateway": True, "ipMasq": True,
     "ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}],
              "ranges": [[{"subnet": "10.211.0.0/24", "gateway": "10.211.0.1"}]]}},
    {"type": "portmap", "capabilities": {"portMappings": True}}]}


class EngineUnusable(Exception):
    """Installed, but it cannot run a container here."""


def image_root():
    """The folder that a fetched llama-server lives in, with its own C library, or None."""
    server = llama_server()
    root = server.parent / "root" if server else None
    return root if root and (root / "usr" / "bin" / "llama-server").is_file() else None


@functools.cache
def engine_missing():
    """Why no container engine can be tested here, or an empty text. Starts no container."""
    absent = [name for name in ("podman", "runc") if not _program(name)]
    if absent:
        return (f"no container engine: {' and '.join(absent)} not installed"
                " (Debian's podman and runc)")
    if image_root() is None:
        return "no image for containers: it is made of what tools/llama-server.sh fetches"
    folder = _new_folder()
    try:
        _write_settings(folder)
        done = _podman(folder, "info", "--format", "{{.Host.OCIRuntime.Name}}")
    finally:
        _remove_folder(folder)
    if done.returncode != 0:
        return f"podman cannot run here: {_last_line(done.stderr)}"
    return ""


def _program(name):
    # runc is an administrator's program: it may not be on a user's PATH
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it says nothing"


def _new_folder():
    # podman keeps unix sockets below this folder, and their paths are short
    return Path(tempfile.mkdtemp(prefix="pm-engine-"))


def _processes(folder):
    """What podman leaves in the background: monitors, and without root a keeper of names."""
    needle = f"{folder}/".encode()
    pids = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and needle in ((entry / "cmdline").read_bytes()
                                                   + (entry / "environ").read_bytes()):
                pids.append(int(entry.name))
    return pids


def _remove_folder(folder):
    end_all(_processes(folder))
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in sorted(mounts, reverse=True):
        if path.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", path], check=False)
    # the top of an image may be write-protected, which stops all but root
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o700)
    shutil.rmtree(folder)


def _write_settings(folder):
    for name in ("tmp", "net"):
        (folder / name).mkdir()
    (folder / "containers.conf").write_text(SETTINGS.format(folder=folder))
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/root"\n')
    (folder / "net" / "podman.conflist").write_text(json.dumps(_network(folder)))


def _network(folder):
    plugins = [dict(plugin) for plugin in NETWORK["plugins"]]
    plugins[0]["ipam"] = dict(plugins[0]["ipam"], dataDir=str(folder / "leases"))
    return dict(NETWORK, plugins=plugins)


def _command(folder, *args):
    return [_program("podman"), "--root", str(folder / "root"), "--runroot", str(folder / "run"),
            "--tmpdir", str(folder / "lib"), "--volumepath", str(folder / "volumes"),
            "--storage-driver", "vfs", "--runtime", _program("runc"),
            "--cgroup-manager", "cgroupfs", "--events-backend", "file", *args]


def _environment(folder):
    env = {key: value for key, value in os.environ.items()
           if key not in ("CONTAINER_HOST", "DOCKER_HOST", "XDG_CONFIG_HOME",
                          "XDG_DATA_HOME", "XDG_CACHE_HOME")}
    env.update(HOME=str(folder), TMPDIR=str(folder / "tmp"), XDG_RUNTIME_DIR=str(folder / "tmp"),
               CONTAINERS_CONF=str(folder / "containers.conf"),
               CONTAINERS_STORAGE_CONF=str(folder / "storage.conf"))
    return env


def _podman(folder, *args):
    return subprocess.run(_command(folder, *args), env=_environment(folder), text=True,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=COMMAND_LIMIT, check=False)


def write_image(root, out):
    """The server with all that it loads, as a file system: its loader finds the rest."""
    def anonymous(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    def special(tar, name, kind, **more):
        entry = tarfile.TarInfo(name)
        entry.type = kind
        for key, value in more.items():
            setattr(entry, key, value)
        tar.addfile(entry)

    with tarfile.open(out, "w") as tar:
        for name in ("usr/lib", "usr/lib64", "usr/bin/llama-server"):
            if (root / name).exists():
                tar.add(root / name, name, filter=anonymous)
        for name in ("bin", "lib", "lib64"):
            special(tar, name, tarfile.SYMTYPE, linkname=f"usr/{name}")
        special(tar, "etc", tarfile.DIRTYPE, mode=0o755)
        special(tar, "run", tarfile.DIRTYPE, mode=0o755)
        special(tar, "tmp", tarfile.DIRTYPE, mode=0o1777)


@contextlib.contextmanager
def own_network():
    """The caller's thread, and all that it starts meanwhile, in a network of its own with only
    a loopback, so that bridges and address rules are nobody else's. OSError when that is not
    allowed."""
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result):
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        check(libc.unshare(CLONE_NEWNET))
        try:
            subprocess.run([_program("ip") or "ip", "link", "set", "lo", "up"], check=True)
            yield
        finally:
            check(libc.setns(before, CLONE_NEWNET))
    finally:
        os.close(before)


class Engine:
    """`with Engine() as engine:` an Engine API at engine.socket that has the image IMAGE."""

    def __init__(self):
        self.dir = None
        self.service = None

    def __enter__(self):
        self.dir = _new_folder()
        try:
            _write_settings(self.dir)
            self._import_image()
            self.start_service()
            self._probe()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()
        return False

    @property
    def socket(self):
        return self.dir / "engine.sock"

    # life

    def _import_image(self):
        archive = self.dir / "image.tar"
        write_image(image_root(), archive)
        done = _podman(self.dir, "import", "--change", 'ENTRYPOINT ["/usr/bin/llama-server"]',
                       str(archive), IMAGE)
        archive.unlink()
        if done.returncode != 0:
            raise EngineUnusable(f"podman import: {_last_line(done.stderr)}")

    def _probe(self):
        """Runs one container, since many machines let podman do all but that."""
        limits = [{"Name": "nofile", "Soft": 1024, "Hard": 1024},
                  {"Name": "nproc", "Soft": 4096, "Hard": 4096}]
        reply = self.api("POST", "/containers/create?name=probe", {
            "Image": IMAGE, "Cmd": ["--version"],
            "HostConfig": {"NetworkMode": "host", "Ulimits": limits}})
        if reply.status == 201:
            reply = self.api("POST", "/containers/probe/start")
        if reply.status == 204:
            reply = self.api("POST", "/containers/probe/wait")
        if reply.status != 200 or reply.json["StatusCode"] != 0:
            raise EngineUnusable(f"podman cannot run a container here: {reply.text.strip()}")
        self.remove("probe")

    def start_service(self):
        with (self.dir / "service.log").open("ab") as log:
            self.service = subprocess.Popen(
                _command(self.dir, "system", "service", "--time=0", f"unix://{self.socket}"),
                env=_environment(self.dir), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        wait_until(self._answers, 30, "the engine's service", step=0.02)

    def _answers(self):
        if self.service.poll() is not None:
            raise EngineUnusable(f"podman system service: {_last_line(self.log)}")
        try:
            return request(str(self.socket), "GET", "/_ping").status == 200
        except OSError:
            return False

    def stop_service(self):
        """The service goes, its socket file stays; containers go on."""
        if self.service and self.service.poll() is None:
            self.service.send_signal(signal.SIGKILL)
            self.service.wait()

    def close(self):
        self.stop_service()
        # not through the service: whatever state it was left in, nothing may stay
        _podman(self.dir, "rm", "--all", "--force", "--time", "0")
        _remove_folder(self.dir)

    # what it says

    @property
    def log(self):
        return (self.dir / "service.log").read_text(errors="replace")

    def api(self, method, path, body=None):
        """A request of the Engine API; the path without the version."""
        return request(str(self.socket), method, API + path, body)

    def containers(self, label=None):
        """The containers with this label (`name` or `name=value`), in any state, oldest first."""
        filters = quote(json.dumps({"label": [label]} if label else {}))

        def listed():
            # podman fails while one of them is being removed
            reply = self.api("GET", f"/containers/json?all=1&filters={filters}")
            return reply if reply.status == 200 else None

        reply = wait_until(listed, 5, "a list of containers")
        return sorted(reply.json, key=lambda entry: entry["Created"])

    def inspect(self, container):
        """All about a container, or None."""
        reply = self.api("GET", f"/containers/{container}/json")
        if reply.status == 200:
            return reply.json
        # one that is being removed is no 404 for podman, but says the same
        assert reply.status == 404 or "no such container" in reply.text, reply
        return None

    # harm

    def kill(self, container, sig="SIGKILL"):
        reply = self.api("POST", f"/containers/{container}/kill?signal={sig}")
        assert reply.status == 204, reply

    def remove(self, container):
        reply = self.api("DELETE", f"/containers/{container}?force=1")
        assert reply.status in (204, 404), reply


class Refuser:
    """A stand-in engine that has no images, and keeps what it was asked to create.

    For what the real one drops: podman leaves wishes for GPUs out and says nothing. Its words
    are Docker's.
    """

    def __init__(self, path):
        self.path = path
        self.created = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            do_GET = do_POST = do_DELETE = lambda handler: self._answer(handler)

            def address_string(self):
                return "unix"

            def log_message(self, *_):
                pass

        self.server = ThreadingUnixStreamServer(str(path), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()
        return False

    def _answer(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        status, value = 404, {"message": "page not found"}
        if "/containers/create" in handler.path:
            wish = json.loads(body)
            self.created.append(wish)
            value = {"message": f"No such image: {wish['Image']}"}
        elif "/images/" in handler.path:
            value = {"message": "No such image"}
        elif "/containers/json" in handler.path:
            status, value = 200, []
        elif handler.path.split("?")[0].endswith(("/_ping", "/version")):
            status, value = 200, {"ApiVersion": "1.47", "MinAPIVersion": "1.24"}
        data = json.dumps(value).encode()
        handler.send_response(status)
        handler.send_header("Api-Version", "1.47")
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
