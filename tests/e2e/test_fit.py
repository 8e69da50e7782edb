"""What llama.cpp's own estimator says is used until the server has told better.

Debian's package has no llama-fit-params, so a stand-in prints what the real one documents:
a line for each device with the MiB of model, context and compute.
"""

import os

from harness import llama_server, profile
from wire import wait_until

LINES = """\
load: some words of the loader
CUDA0 7401 814 517
CUDA1 100 20 3
host 250 0 60
"""


def beside(folder, script):
    """A llama-server with an estimator in its folder."""
    folder.mkdir()
    server, tool = folder / "llama-server", folder / "llama-fit-params"
    server.write_text(f'#!/bin/sh\nexec {llama_server()} "$@"\n')
    tool.write_text(script)
    for path in (server, tool):
        os.chmod(path, 0o755)
    return server


def need(gw):
    return gw.profile("demo-chat")["need_mib"]


def test_its_word_is_taken(make_gateway, tmp_path):
    asked = tmp_path / "asked"
    server = beside(tmp_path / "a", f'#!/bin/sh\necho "$@" > {asked}\ncat <<END\n{LINES}END\n')
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=server, RAM=None,
                                            CTX_SIZE=4096, EXTRA_ARGS="-ub 256")},
                      manager={"DEVICES": "24000,24000"})
    wait_until(lambda: need(gw)["devices"] == [8732, 123], 10, "the estimate to be used")
    assert need(gw)["ram"] == 310 + 64
    words = asked.read_text().split()
    assert words[-2:] == ["--fit-print", "on"] and "--alias" not in words
    assert ["--ctx-size", "4096"] == words[words.index("--ctx-size"):][:2]
    assert "-ub" in words and "--host" not in words


def test_what_runs_tells_better(make_gateway, tmp_path):
    server = beside(tmp_path / "a", f"#!/bin/sh\ncat <<END\n{LINES}END\n")
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=server, RAM=None)},
                      manager={"DEVICES": "24000,24000"})
    wait_until(lambda: need(gw)["devices"] == [8732, 123], 10, "the estimate to be used")
    assert gw.chat("hi", model="demo-chat").status == 200
    wait_until(lambda: need(gw)["devices"] == [0, 0], 10, "the log's word")
    assert 0 < need(gw)["ram"] < 374


def test_one_that_fails_changes_nothing(make_gateway, tmp_path):
    server = beside(tmp_path / "a", "#!/bin/sh\necho CUDA0 1 2 3\nexit 1\n")
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=server, RAM=None)},
                      manager={"DEVICES": "24000"})
    wait_until(lambda: "llama-fit-params does not tell" in gw.log, 10, "its failure in the log")
    assert need(gw)["devices"][0] > 100
    assert gw.chat("hi", model="demo-chat").status == 200
