"""`pointsman client`: what it prints is valid, what it writes harms nothing that stood there."""

import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import time

import pytest
from harness import (auto_route, binary, build_dir, end_all, marked_pids, node, profile)
from keys import Keys

try:
    import tomllib
except ImportError:
    tomllib = None
try:
    import yaml
except ImportError:
    yaml = None

NAMES = ("claude-code", "codex", "aider", "continue", "opencode", "openclaw", "qwen-code",
         "openai-sdk", "anthropic-sdk")
FILES = {"claude-code": [".claude/settings.json"], "codex": [".codex/pointsman.config.toml"],
         "aider": [".aider.conf.yml", ".aider.model.metadata.json"],
         "continue": [".continue/config.yaml"], "opencode": [".config/opencode/opencode.json"],
         "openclaw": [".openclaw/openclaw.json"],
         "qwen-code": [".qwen/.env", ".qwen/settings.json"]}
PAIRS = [(name, file) for name, files in FILES.items() for file in files]
MERGED = [pair for pair in PAIRS if pair[0] not in ("continue", "codex")]
KEPT = ".before-pointsman"


@pytest.fixture(scope="module")
def gw(make_module_gateway):
    return make_module_gateway({"demo-chat": profile("demo-chat"),
                                "demo-coder": profile("demo-coder", CTX_SIZE=4096)},
                               {"20-auto.conf": auto_route("demo-chat,demo-coder")})


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def client(gw, *args, check=0):
    argv = [str(binary()), "client", *args, "--state", str(gw.state)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=30, env=gw.env, cwd=gw.dir)
    assert check is None or done.returncode == check, done
    return done


def write(gw, name, home, *more, check=0):
    return client(gw, name, "--write", "--yes", "--home", str(home), *more, check=check)


def parsed(path):
    """A file of a client as that client reads it."""
    text = path.read_text()
    if path.suffix == ".json":
        return json.loads(text)
    if path.suffix == ".toml":
        return tomllib.loads(text) if tomllib else pytest.skip("no tomllib")
    if path.suffix in (".yml", ".yaml"):
        return yaml.safe_load(text) if yaml else pytest.skip("no PyYAML")
    return dict(line.split("=", 1) for line in text.splitlines() if line and line[0] != "#")


def everything(folder):
    """All that stands in a folder, as it is."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
            for path in sorted(folder.rglob("*"))}


def values(tree):
    if isinstance(tree, dict):
        return [v for key, one in tree.items() for v in (key, *values(one))]
    if isinstance(tree, list):
        return [v for one in tree for v in values(one)]
    return [tree]


# --- what is printed ---

def test_it_lists_what_it_knows(gw):
    listed = [line.split()[0] for line in client(gw).stdout.splitlines()]
    assert tuple(listed) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_is_printed_is_true_and_valid(gw, name):
    said = client(gw, name).stdout
    assert f"http://127.0.0.1:{gw.port}" in said
    assert re.search(r"^  auto +route auto, 8192$", said, re.M), said
    assert re.search(r"^  demo-coder +local, 4096$", said, re.M), said
    for line in said.splitlines():
        if line.startswith("export "):
            assert re.fullmatch(r"export [A-Z_]+=[^\s'\"$`]+", line), line
    assert ("--write" in said) == (name in FILES)
    for file in FILES.get(name, []):
        snippet = said.split(f"in ~/{file}:\n\n")[1].split("\n\n# ")[0].split("\n\nStart")[0]
        snippet = snippet.split("\n\nThe editor")[0]
        assert "{model}" not in snippet and "{url}" not in snippet
        if file.endswith(".json"):
            assert json.loads(snippet)
        if file.endswith(".toml") and tomllib:
            assert tomllib.loads(snippet)["model_provider"] == "pointsman"
        if file.endswith((".yml", ".yaml")) and yaml:
            assert yaml.safe_load(snippet)


def test_url_and_model_are_taken(gw, home):
    write(gw, "opencode", home, "--url", "https://gw.example/", "--model", "demo-coder")
    conf = parsed(home / FILES["opencode"][0])
    ours = conf["provider"]["pointsman"]
    assert conf["model"] == "pointsman/demo-coder"
    assert ours["options"]["baseURL"] == "https://gw.example/v1"
    assert ours["models"]["demo-coder"]["limit"]["context"] == 4096


@pytest.mark.parametrize("name", ("opencode", "openclaw"))
def test_an_answer_leaves_room_for_the_question(gw, home, name):
    write(gw, name, home, "--model", "demo-coder")
    text = (home / FILES[name][0]).read_text()
    most = max(int(n) for n in re.findall(r'"(?:output|maxTokens)":\s*(\d+)', text))
    assert 0 < most < 4096, "of a context of 4096"


def test_a_name_that_is_near(gw):
    assert "did you mean codex?" in client(gw, "codx", check=2).stderr


@pytest.mark.parametrize("words", [["codex", "aider"], ["--write"], ["codex", "--wrong"]])
def test_wrong_usage(gw, words):
    client(gw, *words, check=2)


def test_no_gateway_is_told(tmp_path):
    done = subprocess.run([str(binary()), "client", "codex", "--state", str(tmp_path)],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and "pointsman" in done.stderr


# --- what is written ---

@pytest.mark.parametrize("name", FILES)
def test_written_files_are_valid_and_repeat_to_the_same(gw, home, name):
    write(gw, name, home)
    first = everything(home)
    for file in FILES[name]:
        flat = [str(value) for value in values(parsed(home / file))]
        assert flat and not any("{" in value for value in flat), flat
        assert stat.S_IMODE((home / file).stat().st_mode) == 0o600
    assert f"127.0.0.1:{gw.port}" in (home / FILES[name][0]).read_text()
    write(gw, name, home)
    again = {file: data for file, data in everything(home).items() if KEPT not in file}
    assert again == first


FOREIGN = {
    ".json": '{"theme": "dark", "env": {"MINE": "1"}, "model": "other", "list": [1, {"a": null}],'
             ' "provider": {"other": {"x": true}}, "security": {"folder": 1}}\n',
    ".toml": 'model = "mine"\n\n[model_providers.mine]\nname = "m" # said\n\n[tui]\nx = 1',
    ".yml": "# mine\ndark-mode: true\nread: [a, b]\n",
    ".env": "MINE=1\nOTHER='two words'\n"}


@pytest.mark.parametrize("name,file", MERGED)
def test_foreign_settings_stay(gw, home, name, file):
    path = home / file
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix or path.name
    path.write_text(FOREIGN[suffix])
    mine = parsed(path)
    write(gw, name, home)
    now = parsed(path)
    for key, value in mine.items():
        if isinstance(value, dict):
            assert all(now[key][inner] == value[inner] for inner in value), (now, mine)
        elif not (key == "model" and suffix == ".json"):
            assert now[key] == value
    assert (path.parent / (path.name + KEPT)).read_text() == FOREIGN[suffix]
    if suffix != ".json":
        assert path.read_text().startswith(FOREIGN[suffix])
    # the second time what is kept is still the owner's own, and another model replaces ours
    write(gw, name, home, "--model", "demo-coder")
    assert (path.parent / (path.name + KEPT)).read_text() == FOREIGN[suffix]
    assert "pointsman/auto" not in path.read_text()
    if suffix != ".json":
        assert path.read_text().count(">>> pointsman >>>") == 1


def test_the_profile_of_codex_is_a_file_of_its_own(gw, home):
    """What its owner has set for Codex itself is not touched."""
    own = home / ".codex/config.toml"
    own.parent.mkdir()
    own.write_text(FOREIGN[".toml"])
    write(gw, "codex", home)
    assert own.read_text() == FOREIGN[".toml"]
    conf = parsed(home / FILES["codex"][0])
    assert conf["model_providers"]["pointsman"]["base_url"] == f"http://127.0.0.1:{gw.port}/v1"
    assert (conf["model"], conf["model_context_window"]) == ("auto", 8192)
    write(gw, "codex", home, "--model", "demo-coder")
    assert parsed(home / FILES["codex"][0])["model"] == "demo-coder"


@pytest.mark.parametrize("text", ["12345678901234567890", "9007199254740993", "1e400"])
def test_numbers_that_would_change_are_refused(gw, home, text):
    path = home / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text(f'{{"number": {text}}}')
    done = write(gw, "claude-code", home, check=None)
    kept = json.loads(path.read_text())["number"] == json.loads(text)
    assert kept and re.search(rf"\b{text}\b", path.read_text()), (done, path.read_text())


REFUSED = [
    ("claude-code", ".claude/settings.json", '{\n  // mine\n  "env": {}\n}\n'),
    ("claude-code", ".claude/settings.json", '{"env": {},}'),
    ("claude-code", ".claude/settings.json", "[1]"),
    ("opencode", ".config/opencode/opencode.json", "no json"),
    ("aider", ".aider.conf.yml", "model: mine\n"),
    ("aider", ".aider.conf.yml", "dark-mode: true\nopenai-api-base : x\n"),
    ("aider", ".aider.model.metadata.json", "// mine\n{}"),
    ("qwen-code", ".qwen/.env", "OPENAI_BASE_URL=x\n"),
    ("qwen-code", ".qwen/settings.json", "// mine\n{}"),
    ("continue", ".continue/config.yaml", "name: mine\n")]


@pytest.mark.parametrize("name,file,text", REFUSED)
def test_what_it_cannot_merge_is_left_alone(gw, home, name, file, text):
    path = home / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    before = everything(home)
    done = write(gw, name, home, check=1)
    assert str(path) in done.stderr and "by hand" in done.stderr or "no end" in done.stderr
    assert everything(home) == before, "nothing is touched, of two files neither"


@pytest.mark.parametrize("given", ['a"b', "a\\b", "a: b #c", "a\nb"])
@pytest.mark.parametrize("name,file", PAIRS)
def test_odd_names_are_quoted_or_refused(gw, home, name, file, given):
    done = write(gw, name, home, "--model", given, check=None)
    if done.returncode:
        assert done.stderr and not everything(home)
    elif (home / file).name == ".env":
        assert "\n" not in given and parsed(home / file)["OPENAI_MODEL"].strip("'\"") == given
    elif file != ".qwen/settings.json":
        assert any(given in str(value) for value in values(parsed(home / file)))


@pytest.mark.parametrize("dangling", (False, True))
def test_a_link_stays_a_link(gw, home, tmp_path, dangling):
    real = tmp_path / "dotfiles.json"
    if not dangling:
        real.write_text('{"theme": "dark"}')
    link = home / ".claude/settings.json"
    link.parent.mkdir()
    link.symlink_to(real)
    done = write(gw, "claude-code", home, check=None)
    assert link.is_symlink(), done
    if done.returncode == 0:
        assert "ANTHROPIC_BASE_URL" in parsed(real)["env"]


def test_where_nothing_can_be_written_nothing_is(gw, home):
    """A file in the folder's place: read-only would not stop the superuser."""
    (home / ".qwen").write_text("in the way")
    before = everything(home)
    done = write(gw, "qwen-code", home, check=1)
    assert ".qwen" in done.stderr and everything(home) == before
    (home / ".aider.model.metadata.json").mkdir()
    before = everything(home)
    write(gw, "aider", home, check=1)
    assert everything(home) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(gw, home):
    home.chmod(0o500)
    done = write(gw, "codex", home, check=1)
    home.chmod(0o700)
    assert ".codex" in done.stderr and not everything(home)


def test_sdks_have_no_file(gw, home):
    for name in ("openai-sdk", "anthropic-sdk"):
        assert "no file" in write(gw, name, home, check=1).stderr
    assert not everything(home)


def test_keys(make_gateway, home, tmp_path):
    keys = Keys(tmp_path)
    key = keys.add("mine")
    gw = make_gateway({"demo-chat": profile("demo-chat")}, keys.gateway())
    said = client(gw, "claude-code").stdout
    assert "ANTHROPIC_AUTH_TOKEN=YOUR-KEY" in said and "pointsman key add" in said
    assert "--key" in write(gw, "claude-code", home, check=1).stderr
    assert not everything(home)
    write(gw, "claude-code", home, "--key", key)
    assert parsed(home / FILES["claude-code"][0])["env"]["ANTHROPIC_AUTH_TOKEN"] == key


# --- asking ---

def test_nobody_to_ask(gw, home):
    done = client(gw, "codex", "--write", "--home", str(home), check=1)
    assert "--yes" in done.stderr and not everything(home)


@pytest.mark.parametrize("answer,written", [("y", True), ("n", False), ("", False),
                                            ("\x04", False)])
def test_a_terminal_is_asked(gw, home, answer, written):
    outer, inner = pty.openpty()
    argv = [str(binary()), "client", "codex", "--write", "--home", str(home), "--state",
            str(gw.state)]
    running = subprocess.Popen(argv, stdin=inner, stdout=inner, stderr=inner, env=gw.env)
    os.close(inner)
    said = read_until(outer, b"[y/N]")
    assert b"model_providers.pointsman" in said, "it is shown before it is asked"
    assert not everything(home)
    os.write(outer, answer.encode() + (b"" if answer == "\x04" else b"\n"))
    assert running.wait(10) == (0 if written else 1)
    os.close(outer)
    assert bool(everything(home)) == written


def read_until(fd, mark, limit=10.0):
    said, end = b"", time.monotonic() + limit
    while mark not in said and time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            said += os.read(fd, 65536)
    return said


# --- the agents themselves ---

AGENTS = {
    "claude-code": (["claude", "-p", "Say hi. Do not use any tool."], {}),
    "codex": (["codex", "exec", "--profile", "pointsman", "--skip-git-repo-check", "--sandbox",
               "danger-full-access", "Say hi."], {"POINTSMAN_API_KEY": "any"}),
    "opencode": (["opencode", "run", "Say hi."], {}),
    "qwen-code": (["qwen", "-p", "Say hi."], {})}


def run_agent(argv, env, home, work, limit=120):
    """What it said and how it ended; nothing of it is left."""
    with (work / "out").open("wb") as out, (work / "err").open("wb") as err:
        agent = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env,
                                 cwd=work, start_new_session=True)
        try:
            code = agent.wait(limit)
        except subprocess.TimeoutExpired:
            code = "none in time"
        finally:
            try:
                os.killpg(agent.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            agent.wait()
            end_all(marked_pids(f"HOME={home}", home))
    return code, (work / "out").read_text(errors="replace"), (work / "err").read_text(
        errors="replace")


@pytest.mark.skipif(not os.environ.get("POINTSMAN_SLOW"), reason="slow: set POINTSMAN_SLOW")
@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_lives_on_what_was_written(make_gateway, home, tmp_path, name):
    """Nothing but the written files, and of the environment what the command printed."""
    argv, more = AGENTS[name]
    folder = build_dir() / "agents" / "node_modules" / ".bin"
    if not (folder / argv[0]).exists() or not node():
        pytest.skip(f"{argv[0]} is not installed: tests/e2e/agents/run.sh does it")
    big = {"CTX_SIZE": 65536}
    gw = make_gateway({n: profile(n, **big) for n in ("demo-chat", "demo-coder")},
                      {"20-auto.conf": auto_route("demo-chat,demo-coder")}, manager={"RAM": 2000})
    write(gw, name, home)
    for key, value in more.items():
        assert f"export {key}={value}" in client(gw, name).stdout
    work = tmp_path / "work"
    work.mkdir()
    env = {"PATH": f"{folder}:{node().parent}:{os.environ['PATH']}", "HOME": str(home),
           "TERM": "dumb", "NO_COLOR": "1", "LANG": "C.UTF-8", **more}
    code, said, errors = run_agent([str(folder / argv[0]), *argv[1:]], env, home, work)
    assert code == 0 and "I am demo-" in said, (code, said[-1500:], errors[-1500:])
