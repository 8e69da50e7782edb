"""Policies of other headers, and what is no policy: `pointsman plugin check` judges each.

v1_0.h is the first header, as it was; tests/e2e/test_policy_abi.py runs such policies in a gateway.

Each is compiled against the public header alone. POINTSMAN names the program, CC and CXX the
compilers.
"""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
POINTSMAN = Path(os.environ.get("POINTSMAN", ROOT / "build" / "pointsman"))
CC = shlex.split(os.environ.get("CC", "cc"))
CXX = shlex.split(os.environ.get("CXX", "c++"))
HEADER = ROOT / "plugins" / "pointsman.h"
FIRST = HERE / "v1_0.h"
STRICT = ["-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-O1"]
LIMIT_S = 60

pytestmark = pytest.mark.skipif(
    not POINTSMAN.exists() or not shutil.which(CC[0]), reason="the program or a compiler is missing"
)


def build(tmp_path, source, out, command, header=HEADER):
    """The header lies alone in its folder, so that nothing else of the sources can be included."""
    include = tmp_path / f"include-{header.stem}"
    include.mkdir(exist_ok=True)
    shutil.copy(header, include / "pointsman.h")
    command = [*command, "-I", str(include), "-o", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return out


def compile_policy(tmp_path, source, compiler=CC, flags=(), header=HEADER):
    out = tmp_path / f"{Path(source).stem}-{header.stem}.so"
    return build(tmp_path, source, out, [*compiler, *STRICT, *flags], header)


def run_program(tmp_path, source, *args, header=HEADER):
    """What a program says that is compiled against a header."""
    program = build(tmp_path, source, tmp_path / f"{Path(source).stem}-{header.stem}",
                    [*CC, "-Wall", "-Wextra", "-Werror", "-O1"], header)
    return subprocess.run([str(program), *map(str, args)], capture_output=True, text=True, timeout=LIMIT_S)


def minor():
    """Of the header of today."""
    return int(re.search(r"#define PMP_ABI_MINOR +(\d+)u", HEADER.read_text()).group(1))


def check(path):
    command = [str(POINTSMAN), "plugin", "check", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.mark.parametrize(
    "name, words",
    [("old", ["older structure", "ABI 1.0"]), ("newer", ["newer structure", "ABI 1.2"])],
)
def test_policies_of_other_minor_versions_are_taken(tmp_path, name, words):
    done = check(compile_policy(tmp_path, HERE / f"{name}.c"))
    assert done.returncode == 0, done.stderr
    assert "nothing wrong" in done.stdout
    for word in [name, *words]:
        assert word in done.stdout


@pytest.mark.parametrize(
    "name, words",
    [
        ("wrong_major", ["ABI 2", "ABI 1", "rebuild"]),
        ("tiny", ["pmp_policy.size", "16", "sizeof(struct pmp_policy)"]),
        ("no_symbol", ["no symbol pmp_policy"]),
        ("crash_start", ["ended the process", "egmentation"]),
    ],
)
def test_a_policy_that_cannot_be_used_is_told_why_with_its_file(tmp_path, name, words):
    path = compile_policy(tmp_path, HERE / f"{name}.c")
    done = check(path)
    assert done.returncode == 1, done.stdout
    assert "nothing wrong" not in done.stdout
    for word in [str(path), *words]:
        assert word in done.stderr


def test_what_is_no_shared_object_is_told_with_its_file(tmp_path):
    path = tmp_path / "text.so"
    path.write_text("this is not a shared object\n")
    done = check(path)
    assert done.returncode == 1
    assert str(path) in done.stderr and "cannot be loaded" in done.stderr
    assert "/proc/self/fd" not in done.stderr


def test_a_missing_file_is_told(tmp_path):
    path = tmp_path / "none.so"
    done = check(path)
    assert done.returncode == 1
    assert str(path) in done.stderr


def test_a_library_with_an_unresolved_symbol_is_told(tmp_path):
    source = tmp_path / "unresolved.c"
    source.write_text(
        '#include "pointsman.h"\n'
        "int nowhere_to_be_found(void);\n"
        "PMP_EXPORT int call(void) { return nowhere_to_be_found(); }\n"
    )
    done = check(compile_policy(tmp_path, source))
    assert done.returncode == 1
    assert "nowhere_to_be_found" in done.stderr


def test_a_policy_may_not_use_symbols_of_the_program(tmp_path):
    source = tmp_path / "inside.c"
    source.write_text(
        '#include "pointsman.h"\n'
        "void pm_log(int, const char *);\n"
        'PMP_EXPORT void f(void) { pm_log(0, ""); }\n'
    )
    done = check(compile_policy(tmp_path, source))
    assert done.returncode == 1
    assert "pm_log" in done.stderr


@pytest.mark.skipif(not shutil.which(CXX[0]), reason="no C++ compiler")
def test_a_policy_in_cpp_is_compiled_and_taken(tmp_path):
    done = check(compile_policy(tmp_path, HERE / "plain.cpp", CXX, ["-std=c++17"]))
    assert done.returncode == 0, done.stderr
    assert "is written in C++" in done.stdout
    assert "LEVEL" in done.stdout
    assert "nothing wrong" in done.stdout


@pytest.mark.parametrize("standard", ["c99", "c11", "gnu11", "c17"])
def test_the_header_stands_alone_in_every_standard(tmp_path, standard):
    source = tmp_path / f"alone_{standard}.c"
    source.write_text(
        '#include "pointsman.h"\n'
        "int alone(const struct pmp_host *h);\n"
        "int alone(const struct pmp_host *h) { return PMP_HAS(h, reason); }\n"
    )
    compile_policy(tmp_path, source, flags=[f"-std={standard}", "-pedantic"])


@pytest.mark.skipif(not shutil.which(CXX[0]), reason="no C++ compiler")
@pytest.mark.parametrize("standard", ["c++11", "c++17", "c++20"])
def test_the_header_stands_alone_in_cpp(tmp_path, standard):
    source = tmp_path / "alone.cpp"
    source.write_text(
        '#include "pointsman.h"\n'
        "bool alone(const pmp_host *h) { return PMP_HAS(h, reason); }\n"
    )
    compile_policy(tmp_path, source, CXX, [f"-std={standard}", "-pedantic"])


def test_the_skeleton_is_a_policy_with_nothing_wrong(tmp_path):
    done = check(compile_policy(tmp_path, ROOT / "plugins" / "skeleton" / "skeleton.c"))
    assert done.returncode == 0, done.stderr
    assert "WORD" in done.stdout


def test_what_the_first_header_had_lies_where_it_lay(tmp_path):
    first, now = (run_program(tmp_path, HERE / "layout.c", header=h) for h in (FIRST, HEADER))
    assert first.returncode == 0 and first.stdout.count("\n") > 20
    assert now.stdout == first.stdout


@pytest.mark.parametrize("source", [HERE / "uses.c", HERE / "old.c", ROOT / "plugins" / "complexity.c"],
                         ids=["uses", "old", "complexity"])
def test_policies_of_the_first_header_are_taken(tmp_path, source):
    alone = shutil.copy(source, tmp_path)  # away from the header of today
    done = check(compile_policy(tmp_path, alone, header=FIRST))
    assert done.returncode == 0, done.stderr
    assert "ABI 1.0" in done.stdout and "nothing wrong" in done.stdout


def test_a_policy_that_uses_all_there_is_starts(tmp_path):
    done = check(compile_policy(tmp_path, HERE / "uses.c"))
    assert done.returncode == 0, done.stderr
    assert f"ABI 1.{minor()}" in done.stdout and "nothing wrong" in done.stdout


def test_a_policy_of_today_runs_on_the_first_host(tmp_path):
    """By PMP_HAS alone: what the host lacks would crash."""
    done = run_program(tmp_path, HERE / "cut_host.c", compile_policy(tmp_path, HERE / "uses.c"))
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    assert "the host has nothing of 1.1" in done.stdout
    assert "complexity 0.5" in done.stdout and "status=200" in done.stdout
    assert "note=" not in done.stdout and done.stdout.endswith("done\n")
