"""`pointsman top` in a real terminal: its keys, what it shows, and what it stays up through."""

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from harness import alive, auto_route, binary, profile, wait_until
from terminal import Terminal, Top, missing_tmux, same_text
from waits import Gate

HERE = Path(__file__).resolve().parent
COMPILER = shutil.which(os.environ.get("CC", "cc"))
ROUTE = {"20-auto.conf": auto_route("demo-chat,demo-coder")}
ALONE = {"20-auto.conf": auto_route("demo-chat")}
TIGHT = {"RAM": 300, "MIN_RESIDENCY": 0}  # one model at a time
LONG = {"model": "auto", "stream": True, "max_tokens": 4000, "ignore_eos": True,
        "messages": [{"role": "user", "content": "Tell me a long story."}]}
PANELS = ("Pointsman", "MODELS", "MACHINE", "REQUESTS", "LOGS")
# what a llama-server says of its load, where it is asked to
STEPS = """for n in 0.0 0.35 0.64; do
echo "cmd_child_to_router:state:{\\"state\\":\\"loading\\",\\"payload\\":{\\"value\\":$n}}"
done
"""
HOSTILE = r"""printf '\033[2J\033]2;owned\007\033[5;5Hgotcha \377\376 \302\233 \tend of harm\n'
"""

pytestmark = pytest.mark.skipif(bool(missing_tmux()), reason=missing_tmux())


def models(**more):
    return {"demo-chat": profile("demo-chat", DESCRIPTION="Talks and plans", SPEED="fast"),
            "demo-coder": profile("demo-coder", NAME="Coder 30B"),
            "bench-huge": profile("demo-chat", RAM=9000, DESCRIPTION="Fits nowhere"), **more}


@pytest.fixture
def top():
    with contextlib.ExitStack() as stack:
        def make(gw, *size, **how):
            terminal = Top(gw, *size, **how)
            stack.callback(terminal.close)
            return terminal
        yield make


@pytest.fixture(scope="module")
def shared(make_module_gateway):
    return make_module_gateway(models(), ROUTE, manager=TIGHT)


@pytest.fixture
def gw(shared):
    """Nothing is loaded or pinned when a test begins."""
    for entry in shared.status()["profiles"]:
        if entry["pinned"]:
            shared.cli("pin", entry["id"], "--off", check=None)
        if entry["state"] != "off":
            shared.cli("unload", entry["id"])
            shared.wait_profile(entry["id"], "off")
    return shared


def scripted(folder, name, before):
    """A llama-server that does something before it starts."""
    gate = Gate(folder)
    path = folder / name
    lines = gate.server.read_text().split("\n", 1)
    path.write_text(f"{lines[0]}\n{before}{lines[1]}")
    path.chmod(0o755)
    return path, gate


def stand(screen):
    """The number of each panel's first row; they are all there, in their order."""
    rows = [screen.row(word) for word in PANELS]
    assert None not in rows and rows == sorted(rows), f"{rows}\n{screen}"
    return rows


# --- keys ---

def test_the_frame_and_leaving(gw, top):
    t = top(gw)
    screen = t.shows()
    rows = stand(screen)
    assert rows[0] == 0 and "q leave" in screen.lines[23], screen
    assert f"http://127.0.0.1:{gw.port}" in screen.lines[0] and "1 worker" in screen.lines[0]
    assert "bench-huge" not in screen
    assert screen.line("CPU") and screen.line("RAM")
    t.keys("q")
    assert t.wait_end() == 0
    assert gw.get("/health").status == 200


@pytest.mark.parametrize("key", ["C-c", "SIGTERM"])
def test_leaving_without_a_word(gw, top, key):
    t = top(gw)
    t.shows()
    if key == "C-c":
        t.keys(key)
    else:
        os.kill(t.pid, signal.SIGTERM)
    assert t.wait_end() == 0
    assert gw.get("/health").status == 200


def test_choosing_loading_and_unloading(gw, top):
    t = top(gw)
    t.shows()
    assert t.model("demo-chat", "off").startswith(">")
    t.keys("Down")
    t.wait(lambda s: t.model_line(s, "demo-coder").startswith(">"))
    t.keys("Down", "j", "Up", "Up", "k", "j", "Enter")
    t.model("demo-coder", "ready")
    assert gw.profile("demo-coder")["state"] == "ready"
    t.says("demo-coder: ready")
    t.keys("Enter")
    t.says("demo-coder is loaded already")
    t.keys("u")
    t.model("demo-coder", "off")
    assert gw.profile("demo-coder")["state"] == "off"


def test_picker_to_a_switch_with_progress(make_gateway, top, tmp_path):
    server, gate = scripted(tmp_path, "stepping-llama-server", STEPS)
    coder = profile("demo-coder", NAME="Coder 30B", LLAMA_SERVER=server)
    gw = make_gateway(models(**{"demo-coder": coder}), ROUTE, manager=TIGHT)
    gw.cli("switch", "demo-chat", "--wait")
    t = top(gw)
    t.model("demo-chat", "ready")
    t.keys("m")
    screen = t.wait("Which model?")
    chat, coder = screen.line("| demo-chat"), screen.line("| demo-coder")
    for word in ("fast", "8192", "ready", "fits"):
        assert word in chat, screen
    assert "Coder 30B" in coder and "in place of others" in coder, screen
    assert " ms " in coder or " s " in coder, screen
    assert "Talks and plans" in screen
    t.keys("Down")
    t.wait_gone("Talks and plans")
    t.keys("Enter")
    t.wait_gone("Which model?")
    line = t.wait(lambda s: "64%" in t.model_line(s, "demo-coder")).line("64%")
    assert "[" in line and "#" in line and "]" in line, line
    t.model("demo-chat", "off")
    gate.say("go")
    t.model("demo-coder", "ready")
    # the separators, among the lines of both
    t.keys("/").type("---").keys("Enter")
    for name, state in (("demo-coder", "ready"), ("demo-chat", "off")):
        t.wait(lambda s: any(line.startswith(f" {name}") and f"--- {state}" in line
                             for line in s.below("LOGS")), what=f"{name} {state}")


def test_picker_benchmarks_and_escape(gw, top):
    t = top(gw)
    t.shows()
    t.keys("m", "b")
    screen = t.wait("Which benchmark profile?")
    assert "too large" in screen.line("bench-huge") and "Fits nowhere" in screen, screen
    t.keys("b")
    t.wait("Which model?")
    t.keys("Escape")
    t.wait_gone("Which model?")
    assert all(p["state"] == "off" for p in gw.status()["profiles"])
    # what cannot be done is said
    t.keys("m", "b")
    t.wait("Which benchmark profile?")
    t.keys("Enter")
    t.wait_gone("Which benchmark profile?")
    t.wait(lambda s: "9000" in s.lines[-1] or "memory" in s.lines[-1] or "large" in s.lines[-1])


def test_pinning(gw, top):
    t = top(gw)
    t.shows()
    t.keys("Enter")
    t.model("demo-chat", "ready")
    t.keys("p")
    t.model("demo-chat", "ready pinned")
    assert gw.profile("demo-chat")["pinned"]
    t.keys("p")
    t.wait(lambda s: "pinned" not in t.model_line(s, "demo-chat"))
    t.model("demo-chat", "ready")
    assert not gw.profile("demo-chat")["pinned"]


def test_help(gw, top):
    t = top(gw)
    t.shows()
    t.keys("?")
    screen = t.wait("any key closes this")
    for word in ("m ", "u ", "p ", "Tab", "PgUp", "/ ", "q ", "Q "):
        assert any(line.strip("| ").startswith(word) for line in screen.lines), (word, str(screen))
    # after a new size the next key still closes this, and does no more
    t.resize(100, 30)
    t.wait(lambda s: len(s.lines) == 30 and "any key closes this" in s)
    t.keys("q")
    t.wait_gone("any key closes this")
    assert t.runs
    t.shows()


def test_filter(gw, top):
    gw.cli("switch", "demo-chat", "--wait")
    t = top(gw)
    t.wait(lambda s: "model loaded" in s)
    t.keys("/").type("Listeningx")
    t.wait(lambda s: "show lines with: Listeningx_" in s.lines[-1])
    assert not any(line.strip() for line in t.wait("with: Listeningx").below("LOGS")[:-1])
    t.keys("BSpace")
    screen = t.wait(lambda s: "with: Listening " in s.line("LOGS") + " " and "listening on" in s)
    assert len([line for line in screen.below("LOGS")[:-1] if line.strip()]) < 4, screen
    # q is a letter while it is typed
    t.keys("q", "BSpace", "Enter")
    screen = t.wait("m models")
    assert "with: Listening" in screen.line("LOGS") and "model loaded" not in screen
    t.keys("/", "Escape")
    t.wait("model loaded")
    assert t.runs


def test_sources_and_scrolling(gw, top):
    gw.cli("switch", "demo-coder", "--wait")
    t = top(gw)
    t.shows()
    gw.cli("switch", "demo-chat", "--wait")
    # lines of a model that has gone are still there
    screen = t.wait("--- ready", what="the separator of a switch")
    t.keys("Tab")
    t.wait(lambda s: "LOGS  demo-chat" in s)
    t.keys("Tab")
    screen = t.wait(lambda s: "LOGS  demo-coder" in s)
    assert any(line.strip() for line in screen.below("LOGS")[:-1]), screen
    t.keys("Tab")
    t.wait(lambda s: "LOGS  of all servers" in s)
    bottom = t.screen().lines[-2]
    t.keys("PPage", "PPage")
    screen = t.wait("scrolled")
    seen = screen.below("LOGS")[:-1]
    assert bottom not in seen
    # more lines come, and what is read stays
    gw.cli("switch", "demo-coder", "--wait")
    t.says("demo-coder: ready")
    assert t.screen().below("LOGS")[:-1] == seen
    t.keys("Home")
    screen = t.wait(lambda s: s.below("LOGS")[:-1] != seen)
    oldest = screen.below("LOGS")[:-1]
    assert all(line.strip() for line in oldest), f"not a full page of the oldest\n{screen}"
    t.keys("NPage")
    t.wait(lambda s: s.below("LOGS")[:-1] != oldest)
    t.keys("End")
    t.wait(lambda s: "scrolled" not in s and s.lines[-2].startswith(" demo-coder "))


# --- terminals ---

def test_sizes(gw, top):
    t = top(gw)
    t.shows()
    t.resize(200, 50)
    screen = t.wait(lambda s: len(s.lines) == 50 and "q leave" in s.lines[-1])
    assert "MACHINE" in screen.line("MODELS"), screen
    t.resize(20, 5)
    screen = t.wait(lambda s: len(s.lines) == 5)
    t.resize(1, 1)
    t.resize(80, 24)
    screen = t.wait(lambda s: len(s.lines) == 24 and "q leave" in s.lines[-1])
    stand(screen)
    t.keys("q")
    assert t.wait_end() == 0


@pytest.mark.parametrize("env", [{"TERM": "vt100"}, {"TERM": "linux"}, {"TERM": "xterm-256color"},
                                 {"LANG": "C", "LC_ALL": "C"}, {"LC_ALL": "no_SUCH.place"}],
                         ids=lambda env: "-".join(env.values()))
def test_terminals(gw, top, env):
    t = top(gw, env=env)
    stand(t.shows())
    t.keys("Down")
    t.wait(lambda s: t.model_line(s, "demo-coder").startswith(">"))
    t.keys("?")
    t.wait("any key closes this")
    t.keys("x", "q")
    assert t.wait_end() == 0


def colours(text):
    """Numbers of colours among the attributes of a screen."""
    found = set()
    for part in text.split("\x1b[")[1:]:
        found |= {int(word) for word in part.split("m")[0].split(";") if word.isdigit()}
    return {n for n in found if 30 <= n <= 38 or 40 <= n <= 48 or 90 <= n <= 107}


def test_colours_and_none(gw, top):
    gw.cli("switch", "demo-chat", "--wait")
    t = top(gw)
    t.model("demo-chat", "ready")
    assert colours(t.raw())
    for env in ({"NO_COLOR": "1"}, {"TERM": "vt100"}):
        t = top(gw, env=env)
        t.model("demo-chat", "ready")
        raw = t.raw()
        assert not colours(raw), raw
        # parts are told apart without it
        assert "\x1b[" in raw


@pytest.mark.parametrize("term", ["dumb", "no-such-terminal"])
def test_what_cannot_be_drawn_on(gw, top, term):
    """It says so, and how to do without."""
    t = top(gw, env={"TERM": term})
    assert t.wait_end() == 1
    assert "pointsman top --once" in same_text(t.said())


def test_no_terminal(gw):
    done = gw.cli("top", check=1)
    assert "--once" in done.stderr and done.stdout == ""


def test_a_terminal_that_goes_away(gw, top):
    t = top(gw)
    t.shows()
    pid = t.hang_up()
    wait_until(lambda: not alive(pid), 5, "top to end with its terminal", 0.03)
    assert gw.get("/health").status == 200


def test_a_terminal_that_goes_away_without_a_signal(gw):
    """As of a session that is not led by a shell: nobody sends SIGHUP, and reading fails."""
    master, slave = pty.openpty()
    proc = subprocess.Popen([str(binary()), "top", "--state", str(gw.state)],
                            stdin=slave, stdout=slave, stderr=subprocess.DEVNULL,
                            env={**gw.env, "TERM": "vt100"}, start_new_session=True)
    os.close(slave)
    seen = b""
    try:
        while b"LOGS" not in seen:
            seen += os.read(master, 4096)
        os.close(master)
        assert proc.wait(5) == 0
    finally:
        proc.kill()
        proc.wait()


def test_a_stop_and_going_on(gw, top):
    """Ctrl-Z in a shell, and fg."""
    line = f"{binary()} top --state {gw.state}"
    t = Terminal(["/bin/sh", "-m"], env=gw.env, cwd=gw.dir)
    try:
        t.type(line).keys("Enter")
        t.wait("q leave")
        t.keys("C-z")
        t.wait("Stopped")
        t.type("fg").keys("Enter")
        t.wait("q leave")
        t.keys("q")
        t.wait_gone("q leave")
        t.type("echo it returned $?").keys("Enter")
        t.wait("it returned 0")
    finally:
        t.close()


def test_hostile_log_lines(make_gateway, top, tmp_path):
    """What a server writes cannot steer the terminal."""
    server, gate = scripted(tmp_path, "hostile-llama-server", HOSTILE)
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=server)}, ALONE)
    t = top(gw)
    t.shows()
    before = t.tell("#{pane_title}")
    t.keys("Enter")
    screen = t.wait("end of harm")
    stand(screen)
    line = screen.line("end of harm")
    assert "?[2J?]2;owned??[5;5Hgotcha ??" in line, line
    assert t.tell("#{pane_title}") == before
    gate.say("go")
    t.model("demo-chat", "ready")


# --- once ---

def once(state, env):
    return subprocess.run([str(binary()), "top", "--once", "--state", str(state)], env=env,
                          capture_output=True, text=True, timeout=20, check=False)


def test_once(gw):
    gw.cli("switch", "demo-chat", "--wait")
    text = gw.cli("top", "--once").stdout
    for word in (*PANELS, f"http://127.0.0.1:{gw.port}", "demo-chat", "ready", "CPU", "RAM",
                 "model loaded"):
        assert word in text, text
    assert "\x1b" not in text and "q leave" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
    for columns in (40, 120, 300):
        done = once(gw.state, {**gw.env, "COLUMNS": str(columns)})
        assert done.returncode == 0, done
        widths = [len(line) for line in done.stdout.splitlines()]
        assert max(widths) <= columns, widths
        assert columns > 120 or max(widths) == columns, widths


def test_once_in_vain(gw, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = once(empty, gw.env)
    assert done.returncode == 1 and done.stdout == "", done
    assert done.stderr.startswith("pointsman: "), done
    gw.cli("top", "--once", "word", check=2)
    gw.cli("top", "--twice", check=2)


def test_once_while_the_manager_is_stopped(gw):
    """It says after a while that nobody answers, and does not wait for ever."""
    os.kill(gw.manager_pid, signal.SIGSTOP)
    try:
        done = gw.cli("top", "--once", check=1, timeout=10)
        assert "does not answer" in done.stderr, done
    finally:
        os.kill(gw.manager_pid, signal.SIGCONT)


# --- what happens ---

def test_three_requests(make_gateway, top):
    gw = make_gateway({"demo-chat": profile("demo-chat", SLOTS=2)}, ALONE)
    t = top(gw)
    with contextlib.ExitStack() as stack:
        def talk():
            return stack.enter_context(gw.open("POST", "/v1/chat/completions", LONG))
        streams = [talk(), talk()]
        for stream in streams:
            next(stream.events())
        streams.append(talk())
        screen = t.wait(lambda s: "3 under way" in s and "queued, about" in s
                        and s.text.count("tokens") == 2)
        lines = screen.below("REQUESTS")[:3]
        assert all("auto" in line and "demo-chat" in line for line in lines), screen
        assert all(" t/s" in line for line in lines if "answering" in line)
        t.model("demo-chat", "2/2")
        for stream in streams:
            stream.close()
    t.wait(lambda s: "0 under way, 3 done" in s and "cancelled" in s)


def test_a_worker_dies(gw, top):
    t = top(gw)
    t.shows()
    pid = gw.kill_worker()
    wait_until(lambda: pid not in gw.worker_pids() and gw.worker_pids(), 10, "another worker", 0.05)
    t.wait(lambda s: "1 worker" in s.lines[0])
    assert gw.chat("hi", max_tokens=2).status == 200
    t.wait(lambda s: "1 done" in s)


def test_the_manager_dies_and_comes_back(make_gateway, top):
    gw = make_gateway(models(), ROUTE, manager=TIGHT)
    gw.cli("switch", "demo-chat", "--wait")
    t = top(gw)
    t.model("demo-chat", "ready")
    t.wait("model loaded")
    gw.kill_manager()
    t.wait("NOT RUNNING")
    t.keys("Enter", "u")
    t.says("no gateway runs")
    gw.start()
    t.wait_gone("NOT RUNNING")
    # the server went on, and is taken over
    t.model("demo-chat", "ready")
    t.keys("Down", "Enter")
    t.model("demo-coder", "ready")
    # its lines are not shown twice
    t.resize(120, 300)
    screen = t.wait(lambda s: len(s.lines) == 300 and s.lines[-1].strip())
    loaded = [line for line in screen.below("LOGS") if "llama_server: model loaded" in line]
    assert len([line for line in loaded if line.startswith(" demo-chat")]) == 1, str(screen)


def test_before_the_gateway(make_gateway, top):
    """It waits for one that is started later."""
    gw = make_gateway(models(), ROUTE)
    gw.stop()
    t = top(gw)
    t.wait("NOT RUNNING")
    gw.start()
    t.shows()
    t.wait_gone("NOT RUNNING")


def test_stopping_asks_first(make_gateway, top):
    gw = make_gateway(models(), ROUTE)
    gw.cli("switch", "demo-chat", "--wait")
    pid = gw.profile("demo-chat")["pid"]
    t = top(gw)
    t.model("demo-chat", "ready")
    for key in ("n", "Escape", "q"):
        t.keys("Q")
        t.wait("Stop the gateway?")
        t.keys(key)
        t.wait_gone("Stop the gateway?")
    assert gw.proc.poll() is None and t.runs
    t.keys("Q")
    t.wait("Stop the gateway?")
    t.keys("k")
    t.wait("NOT RUNNING")
    assert gw.proc.wait(10) == 0
    assert alive(pid)
    gw.start()
    t.wait_gone("NOT RUNNING")
    t.model("demo-chat", "ready")
    assert gw.profile("demo-chat")["pid"] == pid
    t.keys("Q")
    t.wait("Stop the gateway?")
    t.keys("y")
    t.wait("NOT RUNNING")
    assert gw.proc.wait(10) == 0
    assert not alive(pid)
    t.keys("q")
    assert t.wait_end() == 0


@pytest.mark.skipif(not COMPILER, reason="no C compiler for the stand-in driver")
def test_gpus(make_gateway, top, tmp_path):
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", tmp_path / "libnvidia-ml.so.1",
                    HERE / "nvml.c"], check=True, timeout=60)
    numbers = tmp_path / "devices"
    numbers.write_text("24564 3210 87 291 66\n8192 8192\n")
    gw = make_gateway({"demo-chat": profile("demo-chat")}, ALONE,
                      env={"LD_LIBRARY_PATH": str(tmp_path), "POINTSMAN_TEST_NVML": str(numbers)})
    t = top(gw)
    screen = t.wait("GPU 1")
    for word in ("21 GiB of 24 GiB", "87%", "291W", "66C"):
        assert word in screen.line("GPU 0"), screen
    second = screen.line("GPU 1")
    assert "0 MiB of 8192 MiB" in second and "W" not in second and "%" not in second, screen
    assert "no GPU" not in screen
    t.resize(132, 40)
    t.wait(lambda s: len(s.lines) == 40 and "291W 66C" in s.line("GPU 0"),
           what="all of a GPU's numbers")
    (tmp_path / "devices.new").write_text("24564 24564 3 30 41\n8192 8192\n")
    (tmp_path / "devices.new").replace(numbers)
    t.wait(lambda s: "41C" in s)
    # a driver that is lost
    (tmp_path / "devices.new").write_text("")
    (tmp_path / "devices.new").replace(numbers)
    t.wait_gone("GPU 1")
    stand(t.screen())


def test_a_failed_load_and_the_cloud(make_gateway, make_cloud, top, tmp_path):
    broken = tmp_path / "broken-llama-server"
    broken.write_text("#!/bin/sh\necho 'error loading model: wrong shape' >&2\nexit 1\n")
    broken.chmod(0o755)
    cloud = make_cloud("openai", model="cloud-1")
    damaged = profile("demo-chat", LLAMA_SERVER=broken)
    gw = make_gateway({"damaged": damaged, "cloud": cloud.section()},
                      {"20-auto.conf": auto_route("damaged", "cloud")},
                      env={"CLOUD_KEY": "sk-cloud-key"})
    t = top(gw)
    t.shows()
    assert gw.chat("hi").status == 200
    screen = t.wait(lambda s: "failed" in t.model_line(s, "damaged") and "1 done" in s)
    assert "the load failed" in t.model_line(screen, "damaged"), screen
    last = screen.line("last:")
    assert "-> cloud: ok" in last and "damaged" in last, screen
    assert "0 of them failed" in screen
    assert any("wrong shape" in line for line in screen.below("LOGS")), screen


def test_a_fault_in_the_configuration(make_gateway, top):
    gw = make_gateway(models(), ROUTE)
    t = top(gw)
    t.shows()
    good = gw.models_file.read_text()
    gw.write_models(good + "\n[broken]\nCTX_SIZE=many\n")
    screen = t.wait("configuration not in use")
    stand(screen)
    gw.write_models(good)
    t.wait_gone("configuration not in use")


def test_status_tells_what_is_shown(gw, top):
    """The same names and states as `pointsman status --json`."""
    gw.cli("switch", "demo-coder", "--wait")
    t = top(gw)
    t.model("demo-coder", "ready")
    shown = json.loads(gw.cli("status", "--json").stdout)
    for entry in shown["profiles"]:
        if not entry["bench"]:
            assert entry["state"] in t.model(entry["id"])
