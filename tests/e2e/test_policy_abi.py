"""Policies of the first header, of today's and of a later one, side by side in a real gateway.

tests/abi judges them one by one; here they are started, judge, and hear what became of it.
"""

import os
import re
import shutil
import subprocess

import policies
import pytest
from harness import ROOT, profile, wait_until

ABI = ROOT / "tests" / "abi"
pytestmark = pytest.mark.skipif(bool(policies.missing()), reason=policies.missing() or "-")


def build(folder, source, name, header, *defines):
    """Compiles and renames, so that no reader sees half."""
    include = folder / f"include-{name}"
    include.mkdir(exist_ok=True)
    shutil.copy(header, include / "pointsman.h")
    part = folder / f"{name}.part"
    cc = os.environ.get("CC", "cc").split()
    done = subprocess.run([*cc, "-O1", "-fPIC", "-shared", "-fvisibility=hidden", f'-DNAME="{name}"', *defines,
                           f"-I{include}", str(ABI / source), "-o", str(part)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    os.replace(part, folder / "plugins" / f"{name}.so")


@pytest.fixture
def gw(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat", PRELOAD="yes")},
                      {"20-auto.conf": {"route": {"MODELS": "auto", "TARGETS": "demo-chat",
                                                  "POLICIES": "capability"}}},
                      own_plugins=True, workers=2)
    assert gw.chat("hi", max_tokens=1).status == 200
    return gw


def use(gw, names):
    """The route asks these policies, in both workers."""
    gw.write_route("20-auto.conf", {"route": {"MODELS": "auto", "TARGETS": "demo-chat",
                                              "POLICIES": ",".join(names)}})

    def reached():
        status = gw.status()
        assert not status["config_error"], status["config_error"]
        seen = [[p["name"] for p in verdicts(gw)] for _ in range(4)]
        return seen == [list(names)] * 4 and {w["state"] for w in status["workers"]} == {"ready"}
    wait_until(reached, 20, f"the policies {names}", step=0.05)


def verdicts(gw):
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
    return gw.post("/v1/route", body).json["policies"]


def lines(gw, name, words):
    return [line for line in gw.log.splitlines() if f"{name}: " in line and words in line]


def wait_line(gw, name, words):
    return wait_until(lambda: lines(gw, name, words), 10, f"{name} to say {words}", step=0.02)[0]


def test_policies_of_three_headers_judge_one_request(gw):
    build(gw.dir, "uses.c", "first", ABI / "v1_0.h")
    build(gw.dir, "uses.c", "uses", policies.HEADER)
    build(gw.dir, "newer.c", "newer", policies.HEADER)
    use(gw, ["first", "uses", "newer"])
    first, uses, newer = (p["verdict"] for p in verdicts(gw))
    assert first["complexity"] == 0.5 and "insists" not in first and "failed" not in first
    assert uses["complexity"] == 0.5 and uses["insists"] and "failed" not in uses
    assert "failed" not in newer
    reply = gw.chat("hi", max_tokens=1)
    assert reply.status == 200
    wait_line(gw, "first", "outcome status=200 target=demo-chat")
    wait_line(gw, "uses", "outcome status=200 target=demo-chat")
    assert not lines(gw, "first", "note=")


def test_each_outcome_carries_its_own_note_back(gw):
    build(gw.dir, "uses.c", "uses", policies.HEADER)
    build(gw.dir, "uses.c", "other", policies.HEADER)
    use(gw, ["uses", "other"])
    ids = []
    for _ in range(6):
        reply = gw.chat("hi", max_tokens=1)
        assert reply.status == 200
        ids.append(reply.header("x-pointsman-request"))
    assert len(set(ids)) == 6 and all(ids)
    for name in ("uses", "other"):
        for one in ids:
            line = wait_line(gw, name, f"note={one} ")
            assert "kind=0 score=-1.0" in line


def test_a_dry_run_has_no_id_and_no_outcome(gw):
    build(gw.dir, "uses.c", "uses", policies.HEADER)
    use(gw, ["uses"])
    before = len(lines(gw, "uses", "outcome"))
    for _ in range(5):
        assert "failed" not in verdicts(gw)[0]["verdict"]
    reply = gw.chat("hi", max_tokens=1)
    wait_line(gw, "uses", f"note={reply.header('x-pointsman-request')} ")
    assert len(lines(gw, "uses", "outcome")) == before + 1


def test_memory_is_shared_by_workers_and_outlives_them(gw):
    build(gw.dir, "uses.c", "uses", policies.HEADER)
    use(gw, ["uses"])

    def starts():
        return [int(re.search(r"starts=(\d+)", line).group(1)) for line in lines(gw, "uses", "starts=")]
    begun = starts()
    assert len(begun) >= 2 and sorted(begun) == list(range(1, len(begun) + 1)), begun
    gw.restart()
    wait_until(lambda: len(starts()) >= len(begun) + 2, 10, "both workers to start again", step=0.02)
    again = starts()
    assert sorted(again) == list(range(1, len(again) + 1)), again


def test_a_file_is_found_beside_the_route_before_the_policy(gw):
    build(gw.dir, "uses.c", "uses", policies.HEADER)
    (gw.plugins / "uses.txt").write_text("beside the policy\n")
    use(gw, ["uses"])
    assert wait_line(gw, "uses", "file=").count(str(gw.plugins / "uses.txt"))
    (gw.routes_dir / "uses.txt").write_text("beside the route\n")
    gw.restart()
    wait_line(gw, "uses", f"file={gw.routes_dir / 'uses.txt'}")


def test_a_policy_of_other_memory_that_cannot_start_hurts_nobody(gw):
    """Those that answer meanwhile still have the memory of the former one."""
    build(gw.dir, "uses.c", "uses", policies.HEADER)
    use(gw, ["uses"])
    workers = sorted(gw.worker_pids())
    build(gw.dir, "uses.c", "uses", policies.HEADER, "-DMEMORY=64", "-DREFUSE")
    wait_until(lambda: gw.status()["config_error"], 10, "the policy to be refused", step=0.02)
    for _ in range(4):
        assert "failed" not in verdicts(gw)[0]["verdict"]
    assert sorted(gw.worker_pids()) == workers
