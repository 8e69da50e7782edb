"""What is in packaging/: completions in real shells, units, examples, what must not drift apart."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from harness import ROOT, auto_route, binary, llama_server, plugin_dir, profile

PACKAGING = ROOT / "packaging"
COMPLETIONS = PACKAGING / "completions"
EXAMPLES = PACKAGING / "examples"
MODELS_FOLDER = "/srv/models"
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
MEDIAN = "Write a Python function that computes the median of a list, with unit tests."
DEBUG = "debug this function:\n```c\nint f(int *p) { return *p++; }\n```"
SUM = "What is the sum of the first 200 odd positive integers? Show the proof by induction."
HELLO = "Write a short poem about the sea."


def run(*command, limit=20, **more):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=limit, stdin=subprocess.DEVNULL, check=False, **more)


def need(program):
    if not shutil.which(program):
        pytest.skip(f"no {program}")


@pytest.fixture(scope="module")
def gw(make_module_gateway):
    cloud = {"CLOUD": "anthropic", "BASE_URL": "http://127.0.0.1:9", "MODEL": "far"}
    return make_module_gateway({"demo-chat": profile("demo-chat"),
                                "demo-coder": profile("demo-coder"), "far-away": cloud},
                               {"20-auto.conf": auto_route("demo-chat,demo-coder,far-away")})


# --- completion ---

ASK = """
source "$1"
COMP_LINE=$2 COMP_POINT=${#2}
_pointsman
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(line):
    """What bash offers for the last word of a line."""
    done = run("bash", "--norc", "-c", ASK, "bash", COMPLETIONS / "pointsman.bash", line)
    assert done.stderr == "", done.stderr
    return [word for word in done.stdout.splitlines() if word]


def test_commands_and_options():
    me = binary()
    assert completed(f"{me} sta") == ["status"]
    assert {"serve", "top", "usage", "client", "bench"} <= set(completed(f"{me} "))
    assert completed(f"{me} stop --k") == ["--keep"]
    assert completed(f"{me} usage --by ro") == ["route"]
    assert completed(f"{me} usage --by=ro") == ["route"]
    assert completed(f"{me} client open") == ["opencode", "openclaw", "openai-sdk"]
    assert completed(f"{me} bench s") == ["speed", "sweep"]
    assert completed(f"{me} eval --policy capability,l") == ["capability,learned"]
    assert completed(f"{me} check --models {ROOT}/models.c") == [f"{ROOT}/models.conf"]
    assert completed(f"{me} nonsense --") == ["--help"]


def test_profiles_of_the_running_gateway(gw):
    me, state = binary(), f"--state {gw.state}"
    assert completed(f"{me} switch {state} demo") == ["demo-chat", "demo-coder"]
    assert completed(f"{me} logs {state} ") == ["demo-chat", "demo-coder"]
    assert completed(f"{me} models --state={gw.state} --argv=demo-co") == ["demo-coder"]
    assert completed(f"{me} key add bob {state} --targets demo-chat,f") == ["demo-chat,far-away"]
    # a second word, where a command takes but one
    assert completed(f"{me} switch {state} demo-chat ") == []


def test_no_gateway_no_noise(tmp_path):
    assert completed(f"{tmp_path}/pointsman switch ") == []
    assert completed(f"pointsman switch --state {tmp_path} 'a") == []


def read_until(fd, mark, limit=10):
    seen, end = b"", time.monotonic() + limit
    while mark not in seen:
        ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
        assert ready, f"no {mark} in {seen.decode(errors='replace')}"
        seen += os.read(fd, 4096)
    return seen.decode(errors="replace")


def test_the_tab_key(gw, tmp_path):
    """An interactive bash, a word that is begun, and Tab."""
    (tmp_path / "pointsman").symlink_to(binary())
    ours, theirs = pty.openpty()
    env = dict(os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}", PS1="READY> ", TERM="dumb",
               HISTFILE="", INPUTRC="/dev/null")
    shell = subprocess.Popen(["bash", "--norc", "--noprofile", "-i"], stdin=theirs, stdout=theirs,
                             stderr=theirs, env=env, start_new_session=True)
    os.close(theirs)
    try:
        read_until(ours, b"READY> ")
        os.write(ours, f"source {COMPLETIONS}/pointsman.bash\n".encode())
        read_until(ours, b"READY> ")
        os.write(ours, f"pointsman mode\t--state {gw.state} --argv=demo-cod\t\n".encode())
        assert "--alias\r\ndemo-coder" in read_until(ours, b"READY> ")
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


def commands():
    words = re.findall(r"^  ([a-z]+) ", run(binary(), "--help").stdout, re.M)
    assert "serve" in words
    return words


def options_of(command):
    """As its --help lists them, one a line."""
    return re.findall(r"^  (--?[a-z][a-z-]*) ", run(binary(), command, "--help").stdout, re.M)


def test_no_command_or_option_is_forgotten():
    zsh = (COMPLETIONS / "_pointsman").read_text()
    fish = (COMPLETIONS / "pointsman.fish").read_text()
    offered = completed(f"{binary()} ")
    for command in commands():
        assert command in offered
        assert re.search(rf"^ +'{command}:", zsh, re.M), f"zsh has no {command}"
        assert re.search(rf"-a {command} ", fish), f"fish has no {command}"
        words = completed(f"{binary()} {command} -")
        for option in options_of(command):
            assert option in words, f"bash has no {command} {option}"
            assert re.search(rf"'{option}[=\[]", zsh), f"zsh has no {option} ({command})"
            assert re.search(rf" {option.lstrip('-')} ", fish), f"fish has no {option} ({command})"


@pytest.mark.parametrize("shell,file", [("bash", "pointsman.bash"), ("zsh", "_pointsman"),
                                        ("fish", "pointsman.fish")])
def test_syntax(shell, file):
    need(shell)
    done = run(shell, "-n", COMPLETIONS / file)
    assert done.returncode == 0 and done.stderr == "", done.stderr


# --- examples ---

# (what is asked for, body's text or content, who shall answer)
ASKED = {
    "one-gpu": [("auto", MEDIAN, "coder"), ("auto", DEBUG, "coder"), ("auto", HELLO, "chat"),
                ("auto", SUM, "thinker"), ("claude-x", "a roadmap and its trade-offs", "thinker")],
    "two-gpus": [("auto", MEDIAN, "coder"), ("gpt-x", HELLO, "chat"), ("auto", SUM, "large"),
                 ("large-please", HELLO, "large")],
    "cpu-gpu-vision": [("auto", MEDIAN, "coder"), ("auto", HELLO, "general"),
                       ("auto", [{"type": "text", "text": "What is this?"}, PICTURE], "vision")],
    "local-cloud": [("private", MEDIAN, "coder"), ("auto", MEDIAN, "coder"),
                    ("auto", HELLO, "chat"),
                    ("auto", [{"type": "text", "text": "What is this?"}, PICTURE], "sonnet"),
                    ("sonnet", HELLO, "sonnet")],
    "agents": [("claude-haiku-4-5", MEDIAN, "quick"), ("gpt-5-mini", HELLO, "quick"),
               ("claude-opus-4-5", HELLO, "architect"), ("claude-sonnet-4-5", MEDIAN, "coder"),
               ("gpt-5-codex", DEBUG, "coder"), ("auto", MEDIAN, "coder")],
}


def example_files(name, folder):
    """An example's files, with models that are there: `check` wants to find them."""
    text = (EXAMPLES / name / "models.conf").read_text()
    assert MODELS_FOLDER in text
    for file in re.findall(r"[\w.-]+\.gguf", text):
        (folder / file).touch()
    routes = {path.name: path.read_text() for path in (EXAMPLES / name / "routes.d").iterdir()}
    return text.replace(MODELS_FOLDER, str(folder)), routes


def test_every_example_is_tried():
    assert sorted(ASKED) == sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", ASKED)
def test_example(name, make_gateway, tmp_path):
    models, routes = example_files(name, tmp_path)
    # files without content cannot be loaded, and a profile that has failed is not asked
    models = re.sub(r"^PRELOAD=.*\n", "", models, flags=re.M)
    gw = make_gateway(models, routes, env={"ANTHROPIC_API_KEY": "none",
                                           "LLAMA_SERVER": str(llama_server())})
    done = gw.cli("check", "--models", str(gw.models_file), "--routes", str(gw.routes_dir),
                  "--plugins", str(plugin_dir()), "--state", str(gw.state))
    assert "nothing wrong" in done.stdout, done.stdout + done.stderr
    for model, content, target in ASKED[name]:
        body = {"model": model, "messages": [{"role": "user", "content": content}]}
        reply = gw.post("/v1/route", body)
        assert reply.status == 200, reply
        assert reply.json["target"] == target, (model, content, reply.json)


@pytest.mark.parametrize("name", ASKED)
def test_example_is_documented(name):
    assert len((EXAMPLES / name / "README.md").read_text().splitlines()) <= 40
    known = set(re.findall(r"`([A-Z][A-Z_]+)`", (ROOT / "docs" / "reference.md").read_text()))
    for path in (EXAMPLES / name).rglob("*.conf"):
        keys = set(re.findall(r"^([A-Z][A-Z_]*)=", path.read_text(), re.M))
        assert keys <= known, f"{path}: {keys - known}"


# --- units ---


@pytest.mark.parametrize("file,scope", [("pointsman.service", "--system"),
                                        ("pointsman-user.service", "--user")])
def test_unit(file, scope, tmp_path):
    need("systemd-analyze")
    unit = tmp_path / file
    # the program is where it was built, not where it will be
    unit.write_text((PACKAGING / file).read_text().replace("/usr/bin/pointsman", str(binary())))
    done = run("systemd-analyze", scope, "--man=no", "verify", unit,
               env=dict(os.environ, XDG_RUNTIME_DIR=str(tmp_path)))
    if "Failed to initialize manager" in done.stderr:
        pytest.skip(f"systemd-analyze cannot run here: {done.stderr.strip()}")
    assert done.returncode == 0 and file not in done.stderr, done.stderr


def test_unit_is_closed_up():
    need("systemd-analyze")
    done = run("systemd-analyze", "security", "--no-pager", "--offline=yes", "--threshold=20",
               PACKAGING / "pointsman.service")
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze does not judge files")
    assert done.returncode == 0, done.stdout[-300:]


# --- what has to say the same in two places ---


def test_package_builds_with_what_the_tree_builds_with():
    control = (PACKAGING / "debian" / "control").read_text()
    text = (ROOT / "tools" / "deps.sh").read_text()
    packages = re.search(r'BUILD_PACKAGES="(.*?)"', text, re.S).group(1).splitlines()
    for line in packages:
        if line.startswith("lib") and line.split()[0] not in ("libc6-dev", "libtool"):
            assert f" {line.split()[0]}" in control, f"Build-Depends has no {line.split()[0]}"
    version = re.search(r"AC_INIT\(\[pointsman\],\[([^]]+)\]", (ROOT / "configure.ac").read_text())
    changelog = (PACKAGING / "debian" / "changelog").read_text()
    assert changelog.startswith(f"pointsman ({version.group(1)}-")


def test_scripts_parse():
    for file in (PACKAGING / "deb.sh", PACKAGING / "debian" / "pointsman.postrm"):
        assert os.access(file, os.X_OK) or file.suffix == ".postrm"
        assert run("bash", "-n", file).returncode == 0


def test_compose():
    text = (PACKAGING / "compose.yaml").read_text()
    # the door is open inside only because it leads to this machine only
    assert '"127.0.0.1:8484:8484"' in text and "--insecure-listen" in text
    assert "/health" in text and "/health" in (PACKAGING / "Dockerfile").read_text()
    yaml = pytest.importorskip("yaml", reason="no module yaml: the structure is not looked at")
    service = yaml.safe_load(text)["services"]["pointsman"]
    devices = service["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert (PACKAGING / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    where = {volume.rsplit(":", 1)[0].rsplit(":", 1)[-1] if volume.endswith(":ro")
             else volume.split(":")[-1] for volume in service["volumes"]}
    assert where == {"/models", "/etc/pointsman", "/var/lib/pointsman"}
    assert json.dumps(service["command"]).count("--insecure-listen") == 1
