"""What must be true of a gateway that has come to rest, and of what it leaves behind."""

import collections
import json
import os
import re
from pathlib import Path

from harness import alive, marked_pids, wait_until
from wire import request

BUSY = ("loading", "draining", "stopping")
SANITIZER = re.compile(r"runtime error|AddressSanitizer|LeakSanitizer|SUMMARY: \w*Sanitizer")
FD_MARGIN = 12
RSS_MIB = {"manager": 48, "worker": 96}
# shadow memory and the quarantine of freed memory
RSS_SANITIZED_MIB = {"manager": 900, "worker": 900}


def fds(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def rss_mib(pid):
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    return int(found.group(1)) / 1024 if found else 0.0


def is_sanitized(pid):
    try:
        return "libasan" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def resources(gw):
    """{who: (open files, MiB)} of the manager and its worst worker."""
    workers = gw.worker_pids(None)
    return {"manager": (fds(gw.manager_pid), rss_mib(gw.manager_pid)),
            "worker": (max(map(fds, workers), default=0), max(map(rss_mib, workers), default=0))}


def is_at_rest(status, workers):
    calm = all(not p["leases"] and not p["waiting"] and p["state"] not in BUSY
               for p in status["profiles"])
    return calm and [w["state"] for w in status["workers"]] == ["ready"] * workers


def invariants(status, ram):
    """What no status may ever show."""
    wrong = []
    resident = [p for p in status["profiles"] if p["state"] not in ("off", "failed")]
    taken = sum(p["need_mib"]["ram"] for p in resident)
    if taken > ram:
        wrong.append(f"{taken} MiB of {ram} are taken: "
                     + ", ".join(f"{p['id']} {p['state']}" for p in resident))
    for p in status["profiles"]:
        if p["leases"] > p["slots"]:
            wrong.append(f"{p['id']} has {p['leases']} leases of {p['slots']} slots")
        if p["leases"] and p["state"] not in ("ready", "draining", "stopping"):
            wrong.append(f"{p['id']} has {p['leases']} leases and is {p['state']}")
    pids = [p["pid"] for p in status["profiles"] if p["pid"]]
    if len(set(pids)) != len(pids):
        wrong.append(f"profiles share a process: {pids}")
    return wrong


def _processes(gw):
    """Complaints about the processes that run, against what status says."""
    status = gw.status()
    ours = {gw.manager_pid} | {w["pid"] for w in status["workers"]}
    told = {p["pid"]: p["id"] for p in status["profiles"] if p["state"] == "ready"}
    rest = {pid for pid in marked_pids(gw.mark, gw.dir) if alive(pid)} - ours
    wrong = [f"process {pid} belongs to nobody: {_command(pid)}" for pid in rest - set(told)]
    wrong += [f"{told[pid]} is ready as process {pid}, which is not there"
              for pid in set(told) - rest]
    wrong += [f"{p['id']} is {p['state']} with process {p['pid']}" for p in status["profiles"]
              if p["pid"] and p["state"] != "ready"]
    wrong += [f"process {pid} is not {name}'s server: {_command(pid)}"
              for pid, name in told.items() if pid in rest and f"--alias {name} " not in
              _command(pid) + " "]
    return wrong


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return "(gone)"


def _slots(gw):
    """Complaints about slots that a model server still works in."""
    wrong = []
    for p in gw.status()["profiles"]:
        if p["state"] != "ready":
            continue
        try:
            slots = json.loads(request(p["socket"], "GET", "/slots", timeout=5).body)
        except (OSError, ValueError) as e:
            # TTL may have taken it meanwhile: the next look tells
            wrong.append(f"{p['id']}: its slots cannot be read: {e!r}")
            continue
        busy = [slot["id"] for slot in slots if slot["is_processing"]]
        if busy:
            wrong.append(f"{p['id']}: slots {busy} are busy without a request")
    return wrong


def _eventually(look, timeout):
    """The complaints that are left when the time is over."""
    last = []

    def good():
        last[:] = look()
        return not last
    try:
        wait_until(good, timeout, "no complaints", 0.1)
    except AssertionError:
        pass
    return list(last)


def at_rest(gw, workers, warm):
    """Complaints about a gateway that nobody asks anything any more."""
    def calm():
        status = gw.status()
        if is_at_rest(status, workers):
            return []
        return [f"not at rest: {json.dumps(status['workers'])} " + ", ".join(
            f"{p['id']} {p['state']} leases={p['leases']} waiting={p['waiting']}"
            for p in status["profiles"])]

    wrong = _eventually(calm, 40)
    wrong += _eventually(lambda: _slots(gw), 10)
    wrong += _eventually(lambda: _processes(gw), 10)
    limits = RSS_SANITIZED_MIB if is_sanitized(gw.manager_pid) else RSS_MIB
    for who, (files, mib) in resources(gw).items():
        if files > warm[who][0] + FD_MARGIN:
            wrong.append(f"{who}: {files} open files, {warm[who][0]} after the warm-up")
        if mib > limits[who]:
            wrong.append(f"{who}: {mib:.0f} MiB, limit {limits[who]}")
    return wrong


def after_stop(gw):
    """Stops it, and complains about what is left."""
    gw.note_pids()
    gw.cli("stop")
    wrong = []
    try:
        status = gw.proc.wait(40)
        if status:
            wrong.append(f"serve ended with {status}")
    except Exception as e:  # whatever keeps it from ending is the finding
        wrong.append(f"serve does not end: {e!r}")
    wrong += _eventually(lambda: [f"after stop: process {pid}: {_command(pid)}" for pid in
                                  marked_pids(gw.mark, gw.dir) if alive(pid)], 5)
    wrong += [f"after stop: {path.relative_to(gw.state)} is left"
              for path in [*sorted((gw.state / "run").iterdir()), gw.state / "control.sock"]
              if path.exists() or path.is_symlink()]
    return wrong


# an adopted server is no child: how it ended is not known
OF_A_BLOW = re.compile(r"signal 9|the server died: ended|the server died: it hung")


def log_complaints(log, killed_workers, killed_servers):
    """What the log must not say: deaths that nobody caused, and a sanitizer's words.

    killed_workers: their pids; killed_servers: the ids of their profiles."""
    wrong = []
    failed = collections.Counter()
    lines = log.splitlines()
    for line in lines:
        died = re.search(r"worker (\d+) died", line)
        if died and int(died.group(1)) not in killed_workers:
            wrong.append(f"a worker died by itself: {line}")
        name = re.search(r"profile=(\S+) from=\S+ to=failed", line)
        if name and not OF_A_BLOW.search(line):
            wrong.append(f"a profile failed by itself: {line}")
        elif name:
            failed[name.group(1)] += 1
    for name, count in failed.items():
        if count > killed_servers.count(name):
            wrong.append(f"{name}: {killed_servers.count(name)} servers were killed by the soak,"
                         f" the log tells of {count}")
    for n, line in enumerate(lines):
        if SANITIZER.search(line):
            wrong.append("sanitizer: " + "\n      ".join(lines[n:n + 25]))
            break
    return wrong
