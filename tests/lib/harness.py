"""A real gateway for a test: its files, its processes, its answers, and its end.

Nothing that a test starts may outlive it: every process of a gateway carries a mark in its
environment, and the teardown ends whatever still carries it, orphans included. Standard
library only.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path

from wire import (DEADLINE, Event, Exchange, Reply, SseParser, Truncated,  # noqa: F401
                  connect, encode, free_port, header_of, open_request, raw, request,
                  sse_events, wait_until)

ROOT = Path(__file__).resolve().parents[2]
MARK = "POINTSMAN_TEST_RUN"
START_DEADLINE = 30.0


def _from_env(name, fallback):
    value = os.environ.get(name)
    return Path(value).resolve() if value else fallback


def binary():
    return _from_env("POINTSMAN", ROOT / "build" / "pointsman")


def build_dir():
    return _from_env("POINTSMAN_BUILD", ROOT / "build")


def plugin_dir():
    return _from_env("POINTSMAN_PLUGINS", ROOT / "build" / "plugins")


def models_dir():
    return _from_env("POINTSMAN_MODELS", ROOT / "models")


def llama_server():
    """The path of a llama-server, or None: the named one, one on PATH, or the fetched one."""
    named = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
    found = Path(named) if named else build_dir() / "llama" / "llama-server"
    return found.resolve() if os.access(found, os.X_OK) else None


def node():
    """The path of a node that the SDKs run on, or None."""
    found = [os.environ.get("NODE"), build_dir() / "node" / "node" / "bin" / "node",
             shutil.which("node")]
    for path in found:
        if path and os.access(path, os.X_OK) and (Path(path).parent / "npm").exists():
            major = subprocess.run([path, "-p", "process.versions.node.split('.')[0]"],
                                   capture_output=True, text=True, timeout=30, check=False)
            if major.stdout.strip().isdigit() and int(major.stdout) >= 22:
                return Path(path)
    return None


def missing():
    """Why the end-to-end tests cannot run here, or an empty text."""
    if not os.access(binary(), os.X_OK):
        return f"no gateway at {binary()}: build it, or set POINTSMAN"
    if llama_server() is None:
        return "no llama-server: run tools/llama-server.sh build/llama, or set LLAMA_SERVER"
    for name in ("demo-chat", "demo-coder"):
        if not (models_dir() / f"{name}.gguf").is_file():
            return f"no {name}.gguf in {models_dir()}: set POINTSMAN_MODELS"
    return ""


def model_file(name):
    return models_dir() / f"{name}.gguf"


def profile(name, **keys):
    """A profile for one of the demo models, with what the tests want by default."""
    out = {"NAME": name, "MODEL": model_file(name), "CTX_SIZE": 8192, "RAM": 200,
           "GOOD_AT": "code" if name == "demo-coder" else "general,planner",
           "STRENGTH": "0.7" if name == "demo-coder" else "0.4"}
    out.update(keys)
    return out


def auto_route(targets, fallback=None, policies="capability,regex,complexity", **keys):
    """The route `auto`: words of programming mean the intent `code`."""
    route = {"MODELS": "auto,gpt-*,claude-*", "POLICIES": policies, "TARGETS": targets,
             "FALLBACK": fallback}
    route.update(keys)
    out = {"route": route}
    if "regex" in policies:
        out["policy regex"] = {"code": r"\b(code|debug|function|refactor)\b"}
    if "complexity" in policies:
        out["policy complexity"] = {"LOW": "0.4", "HIGH": "0.7"}
    return out


def ini(sections):
    """Sections as the configuration dialect wants them; a text is taken as it is."""
    if isinstance(sections, str):
        return sections
    out = []
    for name, keys in sections.items():
        out.append(f"[{name}]")
        out.extend(f"{key}={value}" for key, value in keys.items() if value is not None)
        out.append("")
    return "\n".join(out)


def marked_pids(mark, folder=None):
    """Processes of one gateway: its mark, or its folder with a random name, is in their
    environment or arguments (the manager may clean the environment of what it starts)."""
    pids = []
    needles = [mark.encode()] + ([f"{folder}/".encode()] if folder else [])
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            seen = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if any(needle in seen for needle in needles):
            pids.append(int(entry.name))
    return pids


def process_state(pid):
    """The state letter of /proc/PID/stat, or an empty text when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[0]


def alive(pid):
    """A zombie is not alive, whatever kill(pid, 0) says."""
    return process_state(pid) not in ("", "Z", "X")


def children(pid):
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def end_all(pids, grace=3.0):
    """Ends processes by id: politely, then not."""
    for sig, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        for pid in pids:
            try:
                os.kill(pid, sig)
            except OSError:
                pass
        end = time.monotonic() + wait
        while any(alive(pid) for pid in pids) and time.monotonic() < end:
            time.sleep(0.01)
        pids = [pid for pid in pids if alive(pid)]
        if not pids:
            return


class CommandFailed(AssertionError):
    """A subcommand ended with another exit status than the test wanted."""


class Gateway:
    """`pointsman serve` in a folder of its own, and what a test asks of it."""

    def __init__(self, models, routes=None, *, workers=1, manager=None, own_plugins=False,
                 env=None, args=(), start=True):
        # a unix socket's path has 107 bytes, so the folder's name must be short
        self.dir = Path(tempfile.mkdtemp(prefix="pm-"))
        self.mark = f"{self.dir.name}-{uuid.uuid4().hex[:12]}"
        self.state = self.dir / "s"
        self.state.mkdir(mode=0o700)
        self.models_file = self.dir / "models.conf"
        self.routes_dir = self.dir / "routes.d"
        self.routes_dir.mkdir()
        self.plugins = self._plugins(own_plugins)
        self.workers = workers
        self.extra = list(args)
        self.env = dict(os.environ, **{MARK: self.mark}, **(env or {}))
        self.proc = None
        self.port = None
        self.noted = set()
        self._lines = []
        self._log = (self.dir / "stderr.log").open("ab")
        self.write_models(models, manager)
        for name, sections in (routes or {}).items():
            self.write_route(name, sections)
        if start:
            self.start()

    def _plugins(self, own):
        if not own:
            return plugin_dir()
        mine = self.dir / "plugins"
        mine.mkdir()
        for file in sorted([*plugin_dir().glob("*.so"), *plugin_dir().glob("*.pmw")]):
            shutil.copy2(file, mine / file.name)
        return mine

    # files

    def write_models(self, models, manager=None):
        if not isinstance(models, str):
            whole = {"*": {"LLAMA_SERVER": llama_server()}}
            whole["*"].update(models.get("*", {}))
            whole.update({k: v for k, v in models.items() if k != "*"})
            if manager:
                whole["manager"] = manager
            models = ini(whole)
        self._replace(self.models_file, models)

    def write_route(self, name, sections):
        self._replace(self.routes_dir / name, ini(sections))

    @staticmethod
    def _replace(path, text):
        # as an editor saves: a new file renamed over the old one
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text)
        os.replace(fresh, path)

    # life

    def command_line(self):
        port = self.port or 0
        return [str(binary()), "serve", "--models", str(self.models_file),
                "--routes", str(self.routes_dir), "--plugins", str(self.plugins),
                "--listen", f"127.0.0.1:{port}", "--state", str(self.state),
                "--workers", str(self.workers), *self.extra]

    def start(self, timeout=START_DEADLINE):
        self._lines = []
        listening = threading.Event()
        self.proc = subprocess.Popen(self.command_line(), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=self._log,
                                     env=self.env, cwd=self.dir, start_new_session=True)
        self.noted.add(self.proc.pid)

        def follow(stream):
            for line in stream:
                text = line.decode("utf-8", "replace").rstrip()
                self._lines.append(text)
                if "listening on http" in text:
                    listening.set()

        threading.Thread(target=follow, args=(self.proc.stdout,), daemon=True).start()
        end = time.monotonic() + timeout
        while not listening.wait(0.02):
            if self.proc.poll() is not None:
                raise AssertionError(f"serve ended with {self.proc.returncode} before it"
                                     f" listened:\n{self.log_tail()}")
            if time.monotonic() > end:
                raise AssertionError(f"serve did not listen in {timeout} s:\n"
                                     f"{self.log_tail()}")
        line = next(text for text in self._lines if "listening on http" in text)
        self.port = int(line.rsplit(":", 1)[1].split()[0].strip("/"))
        return self

    def restart(self):
        """Stops everything and starts again on the same port and state."""
        self.stop()
        return self.start()

    def stop(self, timeout=20.0):
        """SIGTERM and wait; returns the exit status, None if it had to be killed."""
        self.note_pids()
        if self.proc is None or self.proc.poll() is not None:
            return self.proc.returncode if self.proc else None
        self.proc.send_signal(signal.SIGTERM)
        try:
            return self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            return None

    def close(self):
        """The end of it, whatever state the test left it in."""
        self.stop(10.0)
        mine = set(marked_pids(self.mark, self.dir))
        mine |= {pid for pid in self.noted if self._still_mine(pid)}
        end_all(sorted(mine))
        self._log.close()
        if self.proc and self.proc.stdout:
            self.proc.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _still_mine(self, pid):
        """A pid may have been given to a stranger since it was noted."""
        try:
            seen = Path(f"/proc/{pid}/environ").read_bytes()
            seen += Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return self.mark.encode() in seen or str(self.dir).encode() in seen

    def note_pids(self):
        self.noted.update(marked_pids(self.mark, self.dir))

    # what it says

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def manager_pid(self):
        return self.proc.pid

    @property
    def log(self):
        return (self.dir / "stderr.log").read_text(errors="replace")

    def log_tail(self, lines=60):
        text = "\n".join(self.log.splitlines()[-lines:])
        out = "\n".join(self._lines[-10:])
        return f"--- stdout\n{out}\n--- stderr of {self.dir}\n{text}"

    def cli(self, *args, check=0, timeout=60.0, stdin=None):
        """Runs a subcommand against this gateway. check=None accepts any exit status."""
        # what works on files alone has no gateway to talk to
        state = [] if args[0] in ("check", "plugin") else ["--state", str(self.state)]
        done = subprocess.run([str(binary()), args[0], *state, *args[1:]],
                              input=stdin, stdin=None if stdin else subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout,
                              env=self.env, cwd=self.dir)
        if check is not None and done.returncode != check:
            raise CommandFailed(f"pointsman {' '.join(args)}: exit {done.returncode}, "
                                f"wanted {check}\n{done.stdout}\n{done.stderr}")
        return done

    def status(self):
        return json.loads(self.cli("status", "--json").stdout)

    def profile(self, name):
        for entry in self.status()["profiles"]:
            if entry["id"] == name:
                if entry.get("pid"):
                    self.noted.add(entry["pid"])
                return entry
        raise AssertionError(f"status has no profile {name}")

    def wait_profile(self, name, state, timeout=20.0):
        def reached():
            entry = self.profile(name)
            return entry if entry["state"] == state else None
        return wait_until(reached, timeout, f"{name} to be {state}", step=0.02)

    def worker_pids(self, state="ready"):
        return [w["pid"] for w in self.status()["workers"]
                if state is None or w["state"] == state]

    def socket_of(self, name):
        return self.profile(name)["socket"]

    # requests

    def open(self, method, path, body=None, headers=None, timeout=DEADLINE):
        return open_request(self.address, method, path, body, headers, timeout)

    def request(self, method, path, body=None, headers=None, timeout=DEADLINE):
        return request(self.address, method, path, body, headers, timeout)

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    def post(self, path, body, headers=None, timeout=DEADLINE):
        return self.request("POST", path, body, headers, timeout)

    def chat(self, text, model="auto", headers=None, **more):
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return self.post("/v1/chat/completions", body, headers)

    # harm

    def kill_manager(self):
        self.note_pids()
        os.kill(self.proc.pid, signal.SIGKILL)
        self.proc.wait()

    def kill_worker(self, pid=None):
        pid = pid or self.worker_pids()[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_server(self, name):
        pid = self.profile(name)["pid"]
        os.kill(pid, signal.SIGKILL)
        return pid


class Crowd:
    """Requests from several threads until told to stop; what came back is kept."""

    def __init__(self, threads, send):
        self.send = send
        self.replies = []
        self.errors = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True)
                         for n in range(threads)]

    def _run(self, number):
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                reply = self.send(number)
            except Exception as e:  # a test wants every way of failing, not the first kind
                with self._lock:
                    self.errors.append((began, repr(e)))
                continue
            with self._lock:
                self.replies.append((began, reply))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        for thread in self._threads:
            thread.join(DEADLINE)
        return False

    def count(self):
        with self._lock:
            return len(self.replies)

    def bad(self):
        """Every answer that was not a complete 200."""
        with self._lock:
            wrong = [(t, r) for t, r in self.replies if r.status != 200 or not r.complete]
            return wrong + list(self.errors)
