"""`pointsman bench code`: right and wrong programs are told apart, and hostile ones are contained.

The judge is the package evalplus, fetched once into build/evalplus; without it the tests skip.
A hostile program answers rightly only where what it tried was refused.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path

import pytest
from cloud import Cloud
from harness import Gateway, alive, binary, build_dir, marked_pids
from wire import wait_until

PACKAGES = ("evalplus==0.3.1", "appdirs==1.4.4", "wget==3.2", "tempdir==0.7.1",
            "multipledispatch==1.0.0", "fire==0.7.1", "termcolor==3.3.0", "tqdm==4.70.1",
            "numpy==2.4.6", "psutil==7.2.2", "rich==15.0.0", "markdown-it-py==4.3.0",
            "mdurl==0.1.2", "pygments==2.21.0", "tree_sitter==0.26.1",
            "tree_sitter_python==0.25.0")
# evalplus imports it for tasks that are not ours, and it is large
NO_DATASETS = "def load_dataset(*_, **__):\n    raise RuntimeError('tasks come from files')\n"
# evalplus looks every 20 s whether a task hangs, and ends only when it has looked
IMPATIENT = ("import time\n_sleep = time.sleep\n"
             "time.sleep = lambda s: _sleep(0.2 if s == 20 else s)\n")
NOBODY = 65534
# the machine's own: one of a home folder is nothing that root's judge, who is nobody, may read
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


def task(number, name, body, base, plus):
    return {"task_id": f"HumanEval/{number}", "entry_point": name, "atol": 0, "test": "",
            "contract": "", "prompt": f'def {name}(n):\n    """{name} of n."""\n',
            "canonical_solution": f"    {body}\n", "base_input": base, "plus_input": plus}


TASKS = [task(0, "twice", "return 2 * n", [[1], [2]], [[3], [-5]]),
         task(1, "square", "return n * n", [[1], [2]], [[-3]]),
         task(2, "parity", "return n % 2", [[1], [4]], [[7]])]
RIGHT = "def twice(n):\n    return n + n\n"
PLANS = {
    "right": {"twice": RIGHT, "square": "def square(n): return n ** 2",
              "parity": "```python\nnot this\n```\nbut\n```\ndef parity(n): return n % 2\n```"},
    "mixed": {"twice": "```\ndef twice(n): return abs(2 * n)\n```", "square": "I cannot.",
              "parity": "def parity(n): return n & 1"},
    "loop": {"twice": "def twice(n):\n    while True:\n        pass"}}


def hostile(tried):
    """A program that is right only when what it tried was refused."""
    lines = "\n".join(f"    {line}" for line in tried.splitlines())
    return ("import ctypes, io, mmap, os, posix, socket, time\ndef tried():\n" + lines
            + "\nrefused = False\ntry:\n    tried()\nexcept BaseException:\n    refused = True\n"
            "def twice(n):\n    return 2 * n if refused else None\n")


def into(path):
    """Whether the file appears is seen from outside: a folder of its own may have the same name."""
    return hostile(f"with io.open({str(path)!r}, 'w') as file:\n    file.write('x')\nraise OSError")


REMOUNT = """libc = ctypes.CDLL(None, use_errno=True)
for flags in (0x1020, 0x20):
    libc.mount(b'/', b'/', None, flags, None)
with io.open({path!r}, 'w') as file:
    file.write('x')
raise OSError"""
NEW_WORLD = """libc = ctypes.CDLL(None, use_errno=True)
uid = posix.getuid()
libc.unshare(0x10020000)
libc.mount(b'/', b'/', None, 0x1020, None)
with io.open({path!r}, 'w') as file:
    file.write('x')
raise OSError"""
FORKS = """for _ in range(600):
    if posix.fork() == 0:
        time.sleep(5)
        posix._exit(0)"""
LINGER = """if posix.fork() == 0:
    posix.setsid()
    time.sleep(300)
raise OSError"""


class Outside:
    """What a hostile program would like to reach."""

    def __init__(self, folder):
        self.mark = f"pm-probe-{uuid.uuid4().hex[:8]}"
        self.reached = []
        self.open = socket.create_server(("127.0.0.1", 0))
        self.local = socket.socket(socket.AF_UNIX)
        self.local.bind(str(folder / "socket"))
        (folder / "socket").chmod(0o777)
        self.local.listen()
        for name, sock in (("tcp", self.open), ("unix", self.local)):
            threading.Thread(target=self._accept, args=(name, sock), daemon=True).start()
        self.files = {name: Path(where) / self.mark for name, where in (
            ("home", Path.home()), ("tmp", "/tmp"), ("vartmp", "/var/tmp"), ("shm", "/dev/shm"),
            ("remount", "/var/tmp"), ("world", "/var/tmp"))}

    def _accept(self, name, sock):
        while True:
            try:
                sock.accept()[0].close()
            except OSError:
                return
            self.reached.append(name)

    def programs(self):
        port, path = self.open.getsockname()[1], self.local.getsockname()
        out = {f"write-{name}": into(file) for name, file in self.files.items()
               if name not in ("remount", "world")}
        out.update({
            "write-remount": hostile(REMOUNT.format(path=str(self.files["remount"]))),
            "write-world": hostile(NEW_WORLD.format(path=str(self.files["world"]))),
            "tcp": hostile(f"socket.create_connection(('127.0.0.1', {port}), 2)"),
            "unix": hostile(f"socket.socket(socket.AF_UNIX).connect({path!r})"),
            "sysctl": hostile("posix.open('/proc/sys/kernel/core_pattern', posix.O_WRONLY)"),
            "kill": hostile(f"posix.kill({os.getpid()}, 0)"),
            "environ": hostile(f"io.open('/proc/{os.getpid()}/environ').read()"),
            "memory": hostile("mmap.mmap(-1, 9 << 30)"),
            "forks": hostile(FORKS),
            "linger": hostile(LINGER)})
        return out

    def close(self):
        self.open.close()
        self.local.close()
        for file in self.files.values():
            file.unlink(missing_ok=True)


class Author(Cloud):
    """A cloud that answers each model's plan to each task."""

    plans = PLANS

    def check_data(self, path, seen, data):
        text = data["messages"][-1]["content"]
        plan = self.plans[data["model"]]
        self.text = next((plan[name] for name in plan if f"def {name}(" in text), "pass")
        return []


@pytest.fixture(scope="module")
def python():
    """A python with evalplus."""
    folder = build_dir() / "evalplus"
    program = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        steps = [[PYTHON, "-m", "venv", "--copies", folder],
                 [program, "-m", "pip", "install", "-q", "--no-deps", *PACKAGES]]
        for step in steps:
            try:
                ran = subprocess.run(step, capture_output=True, text=True, timeout=150)
            except (OSError, subprocess.TimeoutExpired) as e:
                pytest.skip(f"evalplus cannot be installed: {e}")
            if ran.returncode:
                pytest.skip(f"evalplus cannot be installed: {ran.stderr[-300:]}")
        packages = next(folder.glob("lib/python3*/site-packages"))
        (packages / "datasets.py").write_text(NO_DATASETS)
        (packages / "impatient.py").write_text(IMPATIENT)
        (packages / "impatient.pth").write_text("import impatient\n")
        done.touch()
    ready = subprocess.run([program, "-c", "import evalplus.evaluate"], capture_output=True,
                           text=True, timeout=60, check=False)
    if ready.returncode:
        pytest.skip(f"evalplus cannot be imported: {ready.stderr[-300:]}")
    return program


@pytest.fixture(scope="module")
def stage():
    """A gateway, the cloud behind it, a folder for what is temporary, and what is outside."""
    folder = Path(tempfile.mkdtemp(prefix="pm-"))
    folder.chmod(0o755)
    outside = Outside(folder)
    plans = dict(PLANS, **{name: {"twice": text} for name, text in outside.programs().items()})
    (folder / "tasks.jsonl").write_text("".join(json.dumps(one) + "\n" for one in TASKS))
    (folder / "cert").mkdir()
    with Author(folder / "cert") as cloud:
        cloud.plans = plans
        gw = Gateway({name: cloud.section(MODEL=name) for name in plans},
                     env={"CLOUD_KEY": "sk-cloud-key"})
        try:
            yield gw, folder, outside
        finally:
            gw.close()
            outside.close()
            shutil.rmtree(folder, ignore_errors=True)


def code(stage, python, *words, check=0, user=None):
    """Runs it; its cells by model."""
    gw, folder, _ = stage
    place = Path(tempfile.mkdtemp(prefix="u-", dir=folder))
    state = place / "state"
    state.mkdir(mode=0o700)
    # root's judge is nobody, who has to find the way to what he judges
    place.chmod(0o755)
    how = {}
    if user is not None:
        for path in (place, state):
            os.chown(path, user, user)
        how = {"user": user, "group": user, "extra_groups": []}
    argv = [str(binary()), "bench", "code", *words, "--data", str(folder / "tasks.jsonl"),
            "--python", str(python), "--url", gw.url, "--state", str(state), "--json"]
    env = dict(gw.env, TMPDIR=str(place), **({"HOME": str(place)} if user is not None else {}))
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=150, env=env, cwd=place, **how)
    assert check is None or done.returncode == check, done
    wait_until(lambda: not [p for p in marked_pids(str(place), place) if alive(p)], 10,
               "nothing of it to run")
    assert not list(place.glob("pointsman-*")) or check != 0, "its folder is gone"
    cells = json.loads(done.stdout) if done.returncode == 0 else []
    return {one["profile"]: one for one in cells}, done


def test_right_and_wrong_programs(stage, python):
    cells, done = code(stage, python, "right", "mixed")
    shares = {name: (one["tasks"], round(one["base"], 2), round(one["plus"], 2))
              for name, one in cells.items()}
    assert shares == {"right": (3, 1.0, 1.0), "mixed": (3, 0.67, 0.33)}, done


def test_a_limit_takes_the_first_tasks(stage, python):
    cells, _ = code(stage, python, "mixed", "--limit", "1")
    assert (cells["mixed"]["tasks"], cells["mixed"]["base"], cells["mixed"]["plus"]) == (1, 1, 0)


def test_a_program_without_end_is_ended(stage, python):
    cells, _ = code(stage, python, "loop", "--limit", "1")
    assert cells["loop"]["base"] == 0


def test_what_is_missing_is_told(stage, python):
    _, done = code(stage, "/bin/false", "right", check=1)
    assert "evalplus" in done.stderr
    _, done = code(stage, python, "no-such-model", "--limit", "1", check=1)
    assert "no-such-model" in done.stderr or "404" in done.stderr


def _contained(stage, python, user):
    outside = stage[2]
    # an ordinary user's own processes count, too, so his limit is far above what is tried
    as_root = os.geteuid() == 0 and user is None
    names = [name for name in outside.programs() if as_root or name != "forks"]
    # which of them were refused, and what was seen of them from outside
    cells, done = code(stage, python, *names, "--limit", "1", user=user)
    got_through = [name for name in names if cells[name]["base"] != 1]
    written = [str(file) for file in outside.files.values() if file.exists()]
    assert not (got_through or written or outside.reached), (got_through, written,
                                                             outside.reached, done.stderr[-800:])


def test_hostile_programs_are_contained(stage, python):
    _contained(stage, python, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else, too")
def test_hostile_programs_of_an_ordinary_user_are_contained(stage, python):
    for argv in ([python, "-c", "import evalplus.evaluate"], [binary(), "--version"]):
        try:
            subprocess.run(argv, user=NOBODY, group=NOBODY, extra_groups=[], check=True, cwd="/",
                           capture_output=True, timeout=60)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip(f"an ordinary user cannot run {argv[0]}")
    stage[2].reached.clear()
    _contained(stage, python, NOBODY)
