"""Runs agents against a gateway and says of each whether it showed the model's answer."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lib"))

import harness  # noqa: E402

CONTEXT = 65536
LIMIT = 300
KEY = "sk-test-local"
QUESTION = "Say hi. Do not use any tool."


def claude(url, model, home):
    env = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY,
           "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1",
           "DISABLE_TELEMETRY": "1", "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
           "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(CONTEXT)}
    return ["claude", "-p", QUESTION, "--model", model], env


def qwen(url, model, home):
    env = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": KEY, "OPENAI_MODEL": model}
    return ["qwen", "-p", QUESTION, "--auth-type", "openai"], env


def pi(url, model, home):
    conf = {"providers": {"gw": {
        "baseUrl": f"{url}/v1", "api": "openai-completions", "apiKey": KEY,
        "models": [{"id": model, "name": model, "reasoning": False, "input": ["text"],
                    "contextWindow": CONTEXT, "maxTokens": 1000,
                    "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}}]}}}
    folder = home / ".pi" / "agent"
    folder.mkdir(parents=True)
    (folder / "models.json").write_text(json.dumps(conf))
    env = {"PI_OFFLINE": "1", "PI_SKIP_VERSION_CHECK": "1"}
    return ["pi", "-p", QUESTION, "--provider", "gw", "--model", model], env


def codex(url, model, home):
    folder = home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(
        f'model = "{model}"\nmodel_provider = "gw"\nmodel_context_window = {CONTEXT}\n'
        f'[model_providers.gw]\nname = "gw"\nbase_url = "{url}/v1"\nenv_key = "GW_KEY"\n'
        'wire_api = "responses"\n')
    return ["codex", "exec", "--skip-git-repo-check", QUESTION], {"GW_KEY": KEY}


AGENTS = {"claude": claude, "qwen": qwen, "pi": pi, "codex": codex}


def run(name, bin_dir, url, model):
    """Runs one agent in a session of its own. Returns (passed, seconds, output)."""
    home = Path(tempfile.mkdtemp(prefix=f"pm-{name}-"))
    work = home / "work"
    work.mkdir()
    argv, env = AGENTS[name](url, model, home)
    env.update(PATH=f"{bin_dir}:{os.environ['PATH']}", HOME=str(home), TERM="dumb",
               NO_COLOR="1")
    began = time.monotonic()
    # output goes to files: a background child that an agent leaves behind must not keep a pipe
    with (home / "out").open("wb") as out, (home / "err").open("wb") as err:
        agent = subprocess.Popen([str(bin_dir / argv[0]), *argv[1:]], stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=err, env=env, cwd=work,
                                 start_new_session=True)
        try:
            code = agent.wait(LIMIT)
        except subprocess.TimeoutExpired:
            code = f"none in {LIMIT} s"
        try:
            os.killpg(agent.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        agent.wait()
    took = time.monotonic() - began
    text = (home / "out").read_text(errors="replace")
    said = "I am demo-" in text
    detail = "" if said and code == 0 else (
        f"exit {code}\n{text[-1500:]}\n{(home / 'err').read_text(errors='replace')[-1500:]}")
    shutil.rmtree(home, ignore_errors=True)
    return said and code == 0, took, detail


def versions():
    package = json.loads((Path(__file__).resolve().parent / "package.json").read_text())
    return {key: value for key, value in package["dependencies"].items()}


def version_of(name):
    for package, version in versions().items():
        if name in package.split("/")[-1]:
            return version
    return "?"


def gateway():
    reason = harness.missing()
    if reason:
        sys.exit(f"agents: {reason}")
    names = ("demo-chat", "demo-coder")
    return harness.Gateway({n: harness.profile(n, CTX_SIZE=CONTEXT) for n in names},
                           {"20-auto.conf": harness.auto_route(",".join(names))},
                           manager={"RAM": 2000})


def main():
    bin_dir = Path(sys.argv[1])
    names = sys.argv[2:] or list(AGENTS)
    unknown = [name for name in names if name not in AGENTS]
    if unknown:
        sys.exit(f"agents: no agent {unknown[0]}; there are {', '.join(AGENTS)}")
    mine = None if os.environ.get("BASE_URL") else gateway()
    url = os.environ.get("BASE_URL") or mine.url
    model = os.environ.get("MODEL", "auto")
    failed = 0
    try:
        for name in names:
            passed, took, detail = run(name, bin_dir, url, model)
            failed += not passed
            print(f"{'ok    ' if passed else 'FAILED'} {name} {version_of(name)}"
                  f" {took:.1f} s", flush=True)
            if detail:
                print(detail, flush=True)
        if failed and mine:
            print(mine.log_tail(), flush=True)
    finally:
        if mine:
            mine.close()
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
