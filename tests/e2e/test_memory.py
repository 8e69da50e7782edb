"""`pointsman plan` against what a real server allocates."""

import json
import re
import subprocess

import gguf
import pytest
from harness import binary, free_port, llama_server

LINE = r"{} buffer size =\s*([\d.]+) MiB"
CASES = [("llama", 4096, 1, "f16"), ("qwen2", 8192, 2, "f16"), ("qwen3", 8192, 1, "q8_0"),
         ("qwen3moe", 16384, 4, "f16"), ("gemma3", 8192, 1, "f16"), ("gpt-oss", 8192, 2, "f16"),
         ("mamba", 4096, 2, "f16"), ("qwen35", 8192, 1, "f16"), ("qwen35moe", 8192, 2, "q8_0"),
         ("deepseek2", 8192, 1, "f16")]


def has_plan():
    try:
        done = subprocess.run([str(binary()), "plan", "--help"], capture_output=True,
                              timeout=20, check=False)
    except OSError:
        return False
    return done.returncode == 0


pytestmark = pytest.mark.skipif(not has_plan(), reason="this pointsman has no plan command")


def plan(path, *args, check=(0, 1)):
    done = subprocess.run([str(binary()), "plan", str(path), "--json", *map(str, args)],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode in check, done.stderr
    return json.loads(done.stdout) if done.returncode in (0, 1) and done.stdout else done


def allocated(path, ctx, slots, kv):
    """MiB of each kind of buffer, from the log of a server that is stopped once it listens."""
    argv = [str(llama_server()), "-m", str(path), "-c", str(ctx), "-np", str(slots), "-ctk", kv,
            "-ctv", kv, "-lv", "4", "--fit", "off", "--no-repack", "--no-warmup",
            "--host", "127.0.0.1", "--port", str(free_port())]
    proc = subprocess.Popen(["timeout", "60", *argv], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace")
    log = ""
    try:
        for line in proc.stdout:
            log += line
            if "listening on" in line:
                break
    finally:
        proc.terminate()
        proc.stdout.read()
        proc.wait(20)
    assert "listening on" in log, log[-2000:]
    return {name: sum(map(float, re.findall(LINE.format(name), log)))
            for name in ("model", "KV", "RS", "compute", "output")}


def near(got, want):
    return abs(got - want) <= max(1, 0.03 * want)


@pytest.mark.parametrize("kind,ctx,slots,kv", CASES, ids=[case[0] for case in CASES])
def test_plan_agrees_with_a_server(tmp_path, kind, ctx, slots, kv):
    path = gguf.make(kind, tmp_path / "model.gguf")
    real = allocated(path, ctx, slots, kv)
    value = plan(path, "--ctx", ctx, "--slots", slots, "--kv", kv)
    assert value["model"]["arch"] == kind
    assert near(value["model"]["weights_mib"], real["model"]), (value, real)
    assert near(value["kv_mib"], real["KV"] + real["RS"]), (value, real)
    assert value["compute_mib"] >= 0.9 * real["compute"] - 1, (value, real)


def test_a_big_model_on_two_devices(tmp_path):
    path = gguf.make("qwen3-30b-a3b", tmp_path / "big.gguf")
    value = plan(path, "--ctx", 32768, "--slots", 1, "--devices", "24564,16303")
    assert value["model"]["layers"] == 48
    assert near(value["kv_mib"], 3072) and near(value["model"]["weights_mib"], 16573)
    assert value["fits"] is True
    assert all(entry["use_mib"] <= entry["total_mib"] for entry in value["devices"])


@pytest.mark.parametrize("kind", [name for name in gguf.kinds() if name.startswith("broken-")])
def test_broken_files_are_refused_or_read(tmp_path, kind):
    """Neither a crash nor a hang: an ordinary exit status, whatever the file says."""
    path = gguf.make(kind, tmp_path / "bad.gguf")
    done = subprocess.run([str(binary()), "plan", str(path), "--json"], capture_output=True,
                          text=True, timeout=10, check=False)
    assert done.returncode in (0, 1, 2), (done.returncode, done.stderr)
    assert done.returncode == 0 or done.stdout or done.stderr.strip()
