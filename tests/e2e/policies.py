"""Compiles the policies of these tests, as a user would compile his own."""

import os
import shutil
import subprocess
from pathlib import Path

from harness import ROOT

HERE = Path(__file__).resolve().parent
HEADER = ROOT / "plugins" / "pointsman.h"


def missing():
    """Why policies cannot be compiled here, or an empty text."""
    if shutil.which(os.environ.get("CC", "cc").split()[0]) is None:
        return "no C compiler"
    return "" if HEADER.is_file() else "no plugins/pointsman.h"


def compile_policy(source, target, *defines):
    """Compiles into a file beside the target and renames, so that no reader sees half."""
    part = Path(target).with_suffix(".part")
    cc = os.environ.get("CC", "cc").split()
    done = subprocess.run([*cc, "-O1", "-fPIC", "-shared", "-fvisibility=hidden",
                           f"-I{HEADER.parent}", *(f"-D{d}" for d in defines),
                           str(HERE / source), "-o", str(part)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    os.replace(part, target)
    return Path(target)
