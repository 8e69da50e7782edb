"""The official SDKs of both protocols, driven against the gateway by node's own test runner."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import auto_route, build_dir, node, profile

SOURCE = Path(__file__).resolve().parent / "sdk"
EMBED = "--embeddings --pooling mean"


def install(tool):
    """npm ci into the build folder, once for each lock file. Returns the folder."""
    folder = build_dir() / "sdk"
    folder.mkdir(parents=True, exist_ok=True)
    lock = (SOURCE / "package-lock.json").read_bytes()
    stamp = folder / "installed"
    wanted = hashlib.sha256(lock + (SOURCE / "package.json").read_bytes()).hexdigest()
    with (folder / ".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SOURCE / name, folder / name)
            done = subprocess.run(
                [str(tool.parent / "npm"), "ci", "--no-audit", "--no-fund",
                 "--ignore-scripts", "--loglevel=error"],
                cwd=folder, capture_output=True, text=True, timeout=150, check=False)
            if done.returncode:
                pytest.skip(f"npm could not install the SDKs: {done.stderr.strip()[-300:]}")
            stamp.write_text(wanted)
    shutil.copy(SOURCE / "setup.mjs", folder / "setup.mjs")
    shutil.copytree(SOURCE / "test", folder / "test", dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def sdk():
    tool = node()
    if tool is None:
        pytest.skip("no node of version 22 or newer with npm: run tools/node.sh build/node,"
                    " or set NODE")
    return tool, install(tool)


@pytest.fixture(scope="module")
def gw(make_module_gateway):
    # the context that is asked for is shared by the slots of a server
    return make_module_gateway(
        {"demo-chat": profile("demo-chat", CTX_SIZE=16384),
         "embedder": profile("demo-chat", CTX_SIZE=2048, EXTRA_ARGS=EMBED,
                             CAPS="embeddings", GOOD_AT="embeddings")},
        {"20-auto.conf": auto_route("demo-chat")}, manager={"RAM": 1000})


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize("model", ["demo-chat", "auto"])
def test_sdk(gw, sdk, measured, name, model):
    tool, folder = sdk
    env = {"PATH": f"{tool.parent}:{os.environ['PATH']}", "HOME": str(gw.dir),
           "BASE_URL": gw.url, "MODEL": model, "EXPECT": "I am demo-chat",
           "EMBED_MODEL": "embedder", "LISTED": model}
    done = subprocess.run([str(tool), "--test", "--test-reporter=tap", f"test/{name}.test.mjs"],
                          cwd=folder, env=env, capture_output=True, text=True, timeout=170,
                          check=False)
    counts = dict(re.findall(r"^# (pass|fail|skipped) (\d+)$", done.stdout, re.M))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert int(counts["pass"]) > 10 and counts["fail"] == "0", counts
    assert counts["skipped"] == "0", done.stdout[-6000:]
    measured(f"{name} SDK, model {model}: {counts['pass']} passed")
