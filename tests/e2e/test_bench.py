"""`pointsman bench` with a real server: speed, sweep, compare, report, and what is left."""

import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from harness import alive, auto_route, binary, marked_pids, profile
from keys import Keys
from wire import wait_until

SMALL = ("--prompt", "32", "--generate", "8", "--repeats", "2")
HOSTILE = 'a|b <&"\'> \u00e9 \x1b[31m \x01'


@pytest.fixture(scope="module")
def gw(make_module_gateway):
    return make_module_gateway({"demo-chat": profile("demo-chat"),
                                "demo-coder": profile("demo-coder")},
                               {"20-auto.conf": auto_route("demo-chat,demo-coder")},
                               manager={"RAM": 2000})


@pytest.fixture
def fresh(gw):
    """The same gateway without what other tests have measured."""
    for file in gw.state.glob("bench.db*"):
        file.unlink()
    return gw


@pytest.fixture
def short():
    """A folder for what is temporary whose name is not too long to be used."""
    with tempfile.TemporaryDirectory(prefix="pm-") as folder:
        yield Path(folder)


def bench(gw, *args, check=0, env=None, timeout=60):
    """`bench` with its words first, so that flags of a sweep are seen."""
    argv = [str(binary()), "bench", *args, "--state", str(gw.state)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, env={**gw.env, **(env or {})}, cwd=gw.dir)
    assert check is None or done.returncode == check, (args, done)
    return done


def start(gw, *args, tmp=None):
    env = {**gw.env, "TMPDIR": str(tmp)} if tmp else gw.env
    return subprocess.Popen([str(binary()), "bench", *args, "--state", str(gw.state)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.PIPE, env=env, cwd=gw.dir, start_new_session=True)


def database(gw):
    return sqlite3.connect(gw.state / "bench.db", timeout=10)


def count(gw):
    if not (gw.state / "bench.db").exists():
        return 0
    try:
        return database(gw).execute("SELECT count(*) FROM cells").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def cell(name="demo-chat", middle=100.0, **more):
    def spread(value):
        return {"median": value, "low": value * 0.99, "high": value * 1.01}
    return {"kind": "speed", "profile": name, "variant": "", "build": "b11111-test",
            "model": "m.gguf", "fill": 0, "prompt": 32, "generate": 8, "repeats": 2,
            "prompt_tps": spread(middle), "output_tps": spread(middle),
            "first_ms": spread(1000 / middle), **more}


def plant(gw, run, *cells, at=None):
    bench(gw, "report", check=None)
    with database(gw) as db:
        at = at or int(time.time() * 1000)
        db.execute("INSERT INTO runs VALUES(?, ?, 'planted', 1)", (run, at))
        for n, one in enumerate(cells):
            db.execute("INSERT INTO cells VALUES(?, ?, ?, ?)", (run, f"c{n}", at, json.dumps(one)))


# --- speed ---

def test_speed_cells_are_complete_and_sane(fresh):
    done = bench(fresh, "speed", "demo-chat", "--fills", "0,512", *SMALL, "--json")
    cells = json.loads(done.stdout)
    assert [one["fill"] for one in cells] == [0, 512]
    for one in cells:
        assert (one["kind"], one["profile"], one["variant"]) == ("speed", "demo-chat", "")
        assert (one["prompt"], one["generate"], one["repeats"]) == (32, 8, 2)
        assert one["build"] and one["model"].endswith("demo-chat.gguf")
        for key in ("prompt_tps", "output_tps", "first_ms"):
            assert 0 < one[key]["low"] <= one[key]["median"] <= one[key]["high"], one
    assert "1 of 2" in done.stderr and "2 of 2" in done.stderr


def test_a_fill_stands_in_the_context(gw, make_cloud):
    """What the server is asked: the fill alone first, then behind it, from the cache."""
    ids = [100 + n % 50 for n in range(256)]
    body = {"model": "demo-chat", "n_predict": 0, "cache_prompt": True, "id_slot": 0}
    assert gw.post("/completion", {**body, "prompt": ids}).status == 200
    asked = gw.post("/completion", {**body, "prompt": [*ids, *range(200, 232)], "n_predict": 1})
    timings = asked.json["timings"]
    assert (timings["cache_n"], timings["prompt_n"]) == (256, 32), timings


def test_the_fill_of_a_run_is_kept_in_the_slot(fresh):
    bench(fresh, "speed", "demo-chat", "--fills", "256", *SMALL)
    slots = fresh.get("/upstream/demo-chat/slots").json
    held = max(slot.get("n_prompt_tokens", 0) for slot in slots)
    assert 256 < held <= 256 + 32 + 8, slots


def test_all_profiles_are_measured_where_none_is_named(fresh):
    done = bench(fresh, "speed", *SMALL, "--json")
    assert {one["profile"] for one in json.loads(done.stdout)} == {"demo-chat", "demo-coder"}


def test_a_killed_run_goes_on_and_fresh_begins_anew(fresh):
    plan = ("speed", "demo-chat", "--fills", "0,32,64,96", "--prompt", "32", "--generate", "32",
            "--repeats", "1")
    first = start(fresh, *plan)
    wait_until(lambda: count(fresh) >= 1, 20, "the first cell")
    first.kill()
    first.communicate()
    before = database(fresh).execute("SELECT cell, at FROM cells ORDER BY at").fetchall()
    assert 1 <= len(before) < 4
    done = bench(fresh, *plan, "--json")
    assert "goes on" in done.stderr
    assert done.stderr.count("measured before") == len(before), done.stderr
    cells = {one["cell"]: one for one in json.loads(done.stdout)}
    assert len(cells) == 4 and {one["run"] for one in cells.values()} == {1}
    assert all(cells[name]["at"] == at for name, at in before)
    # what is done does not go on, and neither does what is to be fresh
    again = start(fresh, *plan)
    wait_until(lambda: count(fresh) >= 5, 20, "a cell of the next run")
    again.kill()
    again.communicate()
    done = bench(fresh, *plan, "--fresh")
    assert "run 3" in done.stderr and "goes on" not in done.stderr
    assert "measured before" not in done.stderr


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupting_a_sweep_leaves_nobody(fresh, short, sig):
    before = set(marked_pids(fresh.mark, fresh.dir))
    running = start(fresh, "sweep", "demo-chat", "--ubatch-size=64,128,256,512", "--generate",
                    "512", "--repeats", "50", "--models", str(fresh.models_file), tmp=short)
    before.add(running.pid)
    wait_until(lambda: len(left_of(fresh, short, before)) >= 3, 20, "its gateway and a server")
    # as a terminal does it: the whole group hears of Ctrl-C, but a kill is for one
    (os.killpg if sig == signal.SIGINT else os.kill)(running.pid, sig)
    running.communicate(timeout=20)
    wait_until(lambda: not left_of(fresh, short, before), 8, f"nobody left after {sig!r}")
    if sig != signal.SIGKILL:
        assert not list(short.iterdir()), "its folder is gone"


def left_of(gw, folder, before):
    """The processes of a sweep's own gateway."""
    return [pid for pid in set(marked_pids(gw.mark, folder)) - before if alive(pid)]


def test_what_cannot_be_measured_is_told(fresh):
    done = bench(fresh, "speed", "nope", check=1)
    assert "nope" in done.stderr
    done = bench(fresh, "speed", "demo-chat", "--fills", "9000", check=1)
    assert "context" in done.stderr


def test_the_others_go_on_when_a_profile_does_not_load(make_gateway, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(64))
    gw = make_gateway({"broken": profile("broken", MODEL=broken),
                       "demo-chat": profile("demo-chat")}, manager={"RAM": 2000})
    done = bench(gw, "speed", "broken", "demo-chat", *SMALL, "--json", check=None)
    assert "broken" in done.stderr and done.returncode == 1
    assert [one["profile"] for one in json.loads(done.stdout)] == ["demo-chat"]


@pytest.mark.parametrize("words", [
    [], ["nope"], ["speed", "--prompt", "0"], ["speed", "--repeats", "x"], ["sweep", "demo-chat"],
    ["compare", "1"], ["report", "1", "2"], ["code"], ["speed", "--fills", "x"],
    ["speed", "--fills", "0,x"], ["speed", "--fills", "-1"], ["speed", "--fills", ""],
    ["code", "demo-chat", "--temperature", "warm"], ["sweep", "demo-chat", "CTX_SIZE"],
    ["sweep", "demo-chat", "CTX_SIZE=1", "--measure", "beauty"], ["speed", "--wrong"]])
def test_wrong_usage_is_told(gw, words):
    done = bench(gw, *words, check=2)
    assert "pointsman" in done.stderr and not done.stdout


def test_it_needs_an_admin_key_where_there_are_keys(make_gateway, tmp_path):
    keys = Keys(tmp_path)
    admin, plain = keys.add("admin", ADMIN="yes"), keys.add("plain")
    gw = make_gateway({"demo-chat": profile("demo-chat")}, keys.gateway())
    for key in ((), ("--key", plain)):
        done = bench(gw, "speed", "demo-chat", *SMALL, *key, check=1)
        assert "key" in done.stderr, done.stderr
    bench(gw, "speed", "demo-chat", *SMALL, "--key", admin)


# --- sweep ---

def sweep(gw, tmp, *words, check=0):
    before = set(marked_pids(gw.mark, gw.dir))
    done = bench(gw, "sweep", "demo-chat", *words, *SMALL, "--models", str(gw.models_file),
                 "--json", check=check, env={"TMPDIR": str(tmp)})
    assert not left_of(gw, tmp, before)
    return done


def test_a_sweep_over_a_key_and_a_flag(fresh, short):
    done = sweep(fresh, short, "KV_CACHE_TYPE_K=f16,bf16", "--ubatch-size=64")
    assert [one["variant"] for one in json.loads(done.stdout)] == [
        f"KV_CACHE_TYPE_K={kv} --ubatch-size=64" for kv in ("f16", "bf16")]
    assert not list(short.iterdir()), "its folder is gone"


def test_a_sweep_goes_on_when_the_server_refuses_a_value(fresh, short):
    done = sweep(fresh, short, "--cache-type-k=q99,f16", check=None)
    assert [one["variant"] for one in json.loads(done.stdout)] == ["--cache-type-k=f16"]
    assert "--cache-type-k=q99" in done.stderr


def test_a_sweep_goes_on_when_the_configuration_refuses_a_value(fresh, short):
    done = sweep(fresh, short, "CTX_SIZE=many,4096", check=None)
    assert [one["variant"] for one in json.loads(done.stdout)] == ["CTX_SIZE=4096"]
    assert "CTX_SIZE=many" in done.stderr


def test_a_sweep_that_measured_nothing_fails(fresh, short):
    sweep(fresh, short, "--cache-type-k=q98,q99", check=1)


def test_a_flag_of_a_sweep_may_follow_any_option(fresh, short):
    done = subprocess.run([str(binary()), "bench", "--state", str(fresh.state), "sweep",
                           "demo-chat", "--ubatch-size=64", *SMALL, "--models",
                           str(fresh.models_file)], capture_output=True, text=True, timeout=60,
                          env={**fresh.env, "TMPDIR": str(short)}, cwd=fresh.dir, check=False)
    assert done.returncode == 0, done.stderr


# --- looking back ---

def test_compare_the_same_and_what_is_worse(fresh):
    plant(fresh, 1, cell())
    plant(fresh, 2, cell())
    plant(fresh, 3, cell(middle=80.0))
    same = bench(fresh, "compare", "1", "2")
    assert "WORSE" not in same.stdout and "Nothing is worse" in same.stdout
    worse = bench(fresh, "compare", "1", "3", check=1)
    assert worse.stdout.count("| WORSE |") == 3
    better = bench(fresh, "compare", "3", "1")
    assert better.stdout.count("| better |") == 3
    rows = json.loads(bench(fresh, "compare", "1", "3", "--json", check=1).stdout)
    assert [(row["verdict"], round(row["ratio"], 2)) for row in rows] == [
        ("WORSE", 0.8), ("WORSE", 0.8), ("WORSE", 1.25)]


def test_what_is_within_the_spread_is_no_news(fresh):
    plant(fresh, 1, cell())
    wide = cell(middle=90.0)
    for key in ("prompt_tps", "output_tps", "first_ms"):
        wide[key].update(low=wide[key]["median"] * 0.5, high=wide[key]["median"] * 2)
    plant(fresh, 2, wide)
    assert "WORSE" not in bench(fresh, "compare", "1", "2").stdout


def test_compare_builds_and_dates(fresh):
    day = 24 * 3600 * 1000
    now = int(time.time() * 1000)
    plant(fresh, 1, cell(), at=now - 2 * day)
    plant(fresh, 2, cell(middle=50.0, build="b22222-test"), at=now)
    dates = [time.strftime("%Y-%m-%d", time.localtime((now - n * day) / 1000)) for n in (2, 0)]
    assert "WORSE" in bench(fresh, "compare", *dates, check=1).stdout
    assert "WORSE" in bench(fresh, "compare", "b11111", "b22222", check=1).stdout


def test_a_number_is_a_run_and_no_part_of_a_build(fresh):
    plant(fresh, 111, cell(middle=100.0, build="b5"))
    plant(fresh, 112, cell(middle=50.0, build="b11111"))
    plant(fresh, 113, cell(middle=100.0, build="b5"))
    assert "WORSE" not in bench(fresh, "compare", "111", "113").stdout


def test_nothing_in_common_is_no_success(fresh):
    plant(fresh, 1, cell("demo-chat"))
    plant(fresh, 2, cell("demo-coder"))
    for more in ((), ("--json",)):
        assert bench(fresh, "compare", "1", "2", *more, check=1)
    assert "nothing was measured" in bench(fresh, "compare", "1", "99", check=1).stderr


def test_a_report_stands_hostile_names(fresh, tmp_path):
    plant(fresh, 1, cell(HOSTILE, variant="EXTRA=a|b\n<script>"),
          {"kind": "code", "profile": HOSTILE, "variant": "", "build": "", "tasks": 3,
           "base": 0.5, "plus": 0.25, "temperature": 0.0})
    chart = tmp_path / "chart.svg"
    done = bench(fresh, "report", "--svg", str(chart))
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) == 6, "two tables with a head, a rule and a row each"
    bars = [line.replace("\\|", "").count("|") for line in table]
    assert len(set(bars[:3])) == 1 and len(set(bars[3:])) == 1, done.stdout
    assert "\x1b" not in done.stdout and "\x01" not in done.stdout
    tree = ElementTree.fromstring(chart.read_bytes())
    assert tree.tag.endswith("svg")
    assert "<&" in "".join(tree.itertext())


def test_an_empty_report_says_what_to_do(fresh):
    assert "bench speed" in bench(fresh, "report", check=1).stderr


def test_a_chart_that_cannot_be_written_is_told(fresh):
    plant(fresh, 1, cell())
    missing = Path(tempfile.gettempdir()) / "pm-no-such-folder" / "chart.svg"
    assert str(missing) in bench(fresh, "report", "--svg", str(missing), check=1).stderr


@pytest.mark.parametrize("words,told", [
    (("temperature=0.6,1",), "--measure code"),
    (("temperature=warm", "--measure", "code"), "a number from 0 to 10"),
], ids=["speed does not depend on it", "no number"])
def test_a_temperature_is_of_requests(fresh, words, told):
    done = bench(fresh, "sweep", "demo-chat", *words, check=1)
    assert told in done.stderr
