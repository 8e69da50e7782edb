"""What the soak's operator does to the gateway, and the ledger of the blows that excuse."""

import os
import random
import signal
import threading
import time

from harness import alive, marked_pids, profile, wait_until

RAM = 420
STEP = 1024
KILL_SERVER, KILL_WORKER, KILL_MANAGER, STOP_SERVER, REMOVE = (
    "kill a server", "kill a worker", "kill the manager", "stop a server", "remove a profile")
# what is drawn, and how often
WEIGHTS = {"switch": 5, "switch --wait": 4, "unload": 2, "unload ID": 4, "edit CTX_SIZE": 3,
           "edit NAME": 2, "add or remove a profile": 3, "break and mend a file": 2,
           "SIGHUP": 2, KILL_SERVER: 5, KILL_WORKER: 3, KILL_MANAGER: 2}
STOP_WEIGHT = 2
# TIMEOUT_FIRST_TOKEN and then some: by then a silent server has been noticed
NOTICE_S = 40
EXTRA = "extra"
# two servers whose threads spin for each other's cores would be the slowest part of it
THREADS = "--threads 1 --threads-batch 1"


def profiles():
    """Four profiles of which two fit together at most; RAM above is made for them."""
    common = {"TIMEOUT_FIRST_TOKEN": "30s", "TIMEOUT_IDLE": "4s", "EXTRA_ARGS": THREADS}
    return {
        "chat-a": profile("demo-chat", SLOTS=1, CTX_SIZE=6144, **common),
        "chat-b": profile("demo-chat", SLOTS=2, CTX_SIZE=12288, **dict(
            common, EXTRA_ARGS=f"{THREADS} --ignore-eos")),
        "code-a": profile("demo-coder", SLOTS=2, CTX_SIZE=10240, TTL="2s", **common),
        "code-b": profile("demo-coder", SLOTS=1, CTX_SIZE=5120, PIN="yes", RAM=100, **common)}


def extra_profile():
    return profile("demo-chat", SLOTS=1, CTX_SIZE=5120, TIMEOUT_IDLE="4s",
                   EXTRA_ARGS=THREADS)


class Blow:
    def __init__(self, kind, what, pid):
        self.kind = kind
        self.what = what
        self.pid = pid
        self.began = time.monotonic()
        self.ended = None


class Ledger:
    """When what was killed: a failure of a request is excused only by what it met."""

    def __init__(self):
        self.blows = []
        self._lock = threading.Lock()

    def strike(self, kind, what, pid):
        blow = Blow(kind, what, pid)
        with self._lock:
            self.blows.append(blow)
        return blow

    def met(self, began, ended, kinds, what=None):
        """Was there such a blow between the two times? One still under way counts."""
        with self._lock:
            return any(b.kind in kinds and b.began <= ended
                       and (b.ended is None or b.ended >= began)
                       and (what is None or b.what == what) for b in self.blows)

    def wait_end(self, kind, timeout):
        """Waits while a blow of this kind is under way."""
        wait_until(lambda: not self.is_under_way(kind), timeout, f"the end of {kind}", 0.02)

    def is_under_way(self, kind):
        with self._lock:
            return any(b.kind == kind and b.ended is None for b in self.blows)


class Op:
    """One thing that the operator does, with random numbers of its own."""

    def __init__(self, number, rng, with_stop):
        weights = dict(WEIGHTS, **({STOP_SERVER: STOP_WEIGHT} if with_stop else {}))
        self.number = number
        self.name = rng.choices(list(weights), list(weights.values()))[0]
        self.seed = rng.getrandbits(32)

    def __str__(self):
        return f"operation {self.number}: {self.name}"


class Operator:
    """Does operations one after another; each waits until what it did has come true."""

    def __init__(self, gw, sections, workers, ledger, note):
        self.gw = gw
        self.sections = sections
        self.workers = workers
        self.ledger = ledger
        self.note = note
        self.renames = 0
        self.sizes = {}
        self.restarts_ms = []
        self.noticed_s = []
        self.start_retries = 0
        self.do_of = {
            "switch": self.switch, "switch --wait": self.switch_wait, "unload": self.unload,
            "unload ID": self.unload_one, "edit CTX_SIZE": self.edit_size,
            "edit NAME": self.rename, "add or remove a profile": self.add_or_remove,
            "break and mend a file": self.break_and_mend, "SIGHUP": self.hang_up,
            KILL_SERVER: self.kill_server, KILL_WORKER: self.kill_worker,
            KILL_MANAGER: self.kill_manager, STOP_SERVER: self.stop_server}

    def do(self, op):
        """Raises AssertionError with what did not come true."""
        self.do_of[op.name](random.Random(op.seed))

    # orders

    def local_ids(self):
        return [name for name, keys in self.sections.items() if "CLOUD" not in keys]

    def switch(self, rng):
        self.gw.cli("switch", rng.choice(self.local_ids()))

    def switch_wait(self, rng):
        name = rng.choice(self.local_ids())
        began = time.monotonic()
        done = self.gw.cli("switch", name, "--wait", check=None)
        took = time.monotonic() - began
        assert done.returncode == 0, f"switch {name} --wait: {done.stdout}{done.stderr}"
        assert took < 40, f"switch {name} --wait took {took:.1f} s"

    def unload(self, rng):
        self.gw.cli("unload")

    def unload_one(self, rng):
        # what is not loaded cannot be unloaded: both answers are right here
        done = self.gw.cli("unload", rng.choice(self.local_ids()), check=None)
        assert done.returncode in (0, 1), done
        assert done.stdout.strip() or done.stderr.strip(), "unload says nothing"

    # configuration

    def edit(self, change):
        before = self.gw.status()["generation"]
        change()
        self.gw.write_models(self.sections, self.manager)
        self.wait_generation(before)

    def wait_generation(self, before):
        def taken_up():
            status = self.gw.status()
            ready = [w for w in status["workers"] if w["state"] == "ready"
                     and w["generation"] == status["generation"]]
            return status["generation"] > before and len(ready) == self.workers
        wait_until(taken_up, 20, f"a configuration after {before}, run by all workers", 0.05)

    manager = {"RAM": RAM, "MAX_WAIT": "25s"}

    def edit_size(self, rng):
        name = rng.choice(self.local_ids())
        keys = self.sections[name]
        # the first size is the least that the longest prompts need
        base = self.sizes.setdefault(name, keys["CTX_SIZE"])
        sizes = [base + n * STEP for n in range(4) if base + n * STEP != keys["CTX_SIZE"]]

        def change():
            keys["CTX_SIZE"] = rng.choice(sizes)
        self.edit(change)

    def rename(self, rng):
        self.renames += 1
        keys = self.sections[rng.choice(self.local_ids())]
        self.edit(lambda: keys.update(NAME=f"name {self.renames}"))

    def add_or_remove(self, rng):
        if EXTRA not in self.sections:
            self.edit(lambda: self.sections.update({EXTRA: extra_profile()}))
            return
        blow = self.ledger.strike(REMOVE, EXTRA, 0)
        self.edit(lambda: self.sections.pop(EXTRA))
        blow.ended = time.monotonic()

    def break_and_mend(self, rng):
        before = self.gw.status()
        good = self.gw.models_file.read_text()
        bad = rng.choice(("[chat-a]\nNO_SUCH_KEY=1\n", good + "\n[chat-a]\nMODEL=again\n",
                          good.replace("CTX_SIZE=", "CTX_SIZE=many "), "not a line\n" + good,
                          ""))
        self.gw._replace(self.gw.models_file, bad)
        try:
            wait_until(lambda: self.gw.status()["config_error"], 10,
                       f"the fault to be told of {bad[:60]!r}...", 0.02)
            now = self.gw.status()
            assert now["generation"] == before["generation"], "a broken file was taken up"
            assert [p["id"] for p in now["profiles"] if p["id"] != EXTRA] == \
                [p["id"] for p in before["profiles"] if p["id"] != EXTRA], now
        finally:
            self.gw._replace(self.gw.models_file, good)
        wait_until(lambda: not self.gw.status()["config_error"], 10, "the fault to be gone",
                   0.02)

    def hang_up(self, rng):
        before = self.gw.status()["generation"]
        os.kill(self.gw.manager_pid, signal.SIGHUP)
        self.wait_generation(before)

    # blows

    def _pick_server(self, rng):
        running = [(p["id"], p["pid"]) for p in self.gw.status()["profiles"] if p["pid"]]
        if not running:
            return None, 0
        name, pid = rng.choice(running)
        return (name, pid) if pid in marked_pids(self.gw.mark, self.gw.dir) else (None, 0)

    def _gone(self, pid):
        wait_until(lambda: not alive(pid), 5, f"{pid} to be reaped")
        wait_until(lambda: all(p["pid"] != pid for p in self.gw.status()["profiles"]), 5,
                   f"status to know the end of server {pid}", 0.02)

    def kill_server(self, rng):
        name, pid = self._pick_server(rng)
        if not pid:
            self.note("no server to kill")
            return
        blow = self.ledger.strike(KILL_SERVER, name, pid)
        _kill(pid, signal.SIGKILL)
        self._gone(pid)
        blow.ended = time.monotonic()

    def stop_server(self, rng):
        """A stopped process owns its socket and says nothing: only its silence tells."""
        name, pid = self._pick_server(rng)
        # a load may stand still for minutes before it is given up
        if not pid or self.gw.profile(name)["state"] != "ready":
            self.note("no server to stop")
            return
        blow = self.ledger.strike(STOP_SERVER, name, pid)
        _kill(pid, signal.SIGSTOP)
        # an idle one need not be noticed before somebody wants it
        poke = threading.Thread(target=self._poke, args=(name,), daemon=True)
        poke.start()
        try:
            wait_until(lambda: not alive(pid), NOTICE_S, f"the stopped server of {name} to go",
                       0.05)
            self.noticed_s.append(time.monotonic() - blow.began)
            self._gone(pid)
            poke.join(NOTICE_S)
            assert not poke.is_alive(), f"a request to the stopped {name} does not end"
        finally:
            _kill(pid, signal.SIGCONT)
            blow.ended = time.monotonic()

    def _poke(self, name):
        try:
            self.gw.chat("are you there?", model=name, max_tokens=4)
        except OSError:
            # what became of it is not the question
            self.note("a request to a stopped server was not answered")

    def kill_worker(self, rng):
        pid = rng.choice(self.gw.worker_pids(None))
        blow = self.ledger.strike(KILL_WORKER, str(pid), pid)
        _kill(pid, signal.SIGKILL)
        wait_until(lambda: pid not in self.gw.worker_pids(None)
                   and len(self.gw.worker_pids()) >= self.workers, 15,
                   f"a worker in place of {pid}", 0.05)
        blow.ended = time.monotonic()

    def kill_manager(self, rng):
        began = time.monotonic()
        blow = self.ledger.strike(KILL_MANAGER, "manager", self.gw.manager_pid)
        self.gw.kill_manager()
        pause = rng.choice((0, 0, 0.3, 1.0))
        if pause:
            threading.Event().wait(pause)
        end = time.monotonic() + 20
        while True:
            try:
                self.gw.start()
                break
            except AssertionError as e:
                # an old worker may still hold the port while it finishes
                if "already in use" not in str(e) or time.monotonic() > end:
                    raise
                self.start_retries += 1
                threading.Event().wait(0.1)
        blow.ended = time.monotonic()
        self.restarts_ms.append((blow.ended - began - pause) * 1000)


def _kill(pid, signo):
    try:
        os.kill(pid, signo)
    except ProcessLookupError:
        pass
