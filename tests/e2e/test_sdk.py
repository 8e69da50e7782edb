"""The official SDKs of both protocols, driven against the gateway by node's own test runner."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import npm
import pytest
import turns
from harness import auto_route, node, profile

SOURCE = Path(__file__).resolve().parent / "sdk"
EMBED = "--embeddings --pooling mean"
PROTOCOLS = ("chat", "responses", "messages")
SPARE = 24


def install(tool):
    try:
        folder = npm.install(tool, SOURCE, "sdk", "the SDKs")
    except npm.Unusable as why:
        pytest.skip(str(why))
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


def run_tests(sdk, gateway, name, **more):
    """Runs one file of tests. Returns how many passed; none may fail or be skipped."""
    tool, folder = sdk
    env = {"PATH": f"{tool.parent}:{os.environ['PATH']}", "HOME": str(gateway.dir),
           "BASE_URL": gateway.url, **more}
    done = subprocess.run([str(tool), "--test", "--test-reporter=tap", f"test/{name}.test.mjs"],
                          cwd=folder, env=env, capture_output=True, text=True, timeout=170,
                          check=False)
    counts = dict(re.findall(r"^# (pass|fail|skipped) (\d+)$", done.stdout, re.M))
    assert done.returncode == 0, _failures(done.stdout) + done.stderr[-2000:]
    assert int(counts["pass"]) > 10 and counts["fail"] == "0", counts
    assert counts["skipped"] == "0", done.stdout[-6000:]
    return int(counts["pass"])


def _failures(tap):
    """The tests that failed, each with what is said of it."""
    said = re.findall(r"^not ok \d.*?^  \.\.\.$", tap, re.M | re.S)
    return "\n".join(one[:1500] for one in said)[:9000] or tap[-6000:]


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize("model", ["demo-chat", "auto"])
def test_sdk(gw, sdk, measured, name, model):
    passed = run_tests(sdk, gw, name, MODEL=model, EXPECT="I am demo-chat",
                       EMBED_MODEL="embedder", LISTED=model)
    measured(f"{name} SDK, model {model}: {passed} passed")


@pytest.fixture(scope="module")
def planned(make_module_gateway):
    """A cloud of each protocol that asks for two calls at once, behind one gateway."""
    folders = [tempfile.mkdtemp(prefix="pm-cloud-") for _ in PROTOCOLS]
    clouds = turns.clouds(folders, turns.two_calls)
    sections = {}
    for speaks, cloud in clouds.items():
        for end in ("", *(f"-{n}" for n in range(SPARE))):
            sections[f"to-{speaks}{end}"] = cloud.section(CAPS="tools,vision,reasoning")
    yield clouds, make_module_gateway(sections, env={"CLOUD_KEY": "sk-cloud-key"})
    for cloud, folder in zip(clouds.values(), folders):
        cloud.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("upstream", PROTOCOLS)
def test_sdk_pairs(planned, sdk, measured, upstream):
    """Both SDKs, all three protocols of callers, with tools over several turns."""
    clouds, gateway = planned
    passed = run_tests(sdk, gateway, "pairs", UPSTREAM=upstream, SPARE=str(SPARE))
    assert not clouds[upstream].complaints, clouds[upstream].complaints
    assert not clouds[upstream].violations, clouds[upstream].violations
    measured(f"SDKs with a cloud of {upstream}: {passed} passed")
