"""What a test needs from npm: the packages that a lock file pins, in a folder of the build."""

import fcntl
import hashlib
import shutil
import subprocess

from harness import build_dir


class Unusable(Exception):
    """What a test needs cannot be had on this machine."""


def install(tool, source, name, what):
    """npm ci into a folder of the build, once for each lock file.

    tool: node's path, npm beside it; source: the folder of the lock file. Returns the folder.
    """
    folder = build_dir() / name
    folder.mkdir(parents=True, exist_ok=True)
    packages = ("package.json", "package-lock.json")
    wanted = hashlib.sha256(b"".join((source / file).read_bytes() for file in reversed(packages))).hexdigest()
    stamp = folder / "installed"
    with (folder / ".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            for file in packages:
                shutil.copy(source / file, folder / file)
            done = subprocess.run([str(tool.parent / "npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts",
                                   "--loglevel=error"], cwd=folder, capture_output=True, text=True, timeout=150)
            if done.returncode:
                raise Unusable(f"npm could not install {what}: {done.stderr.strip()[-300:]}")
            stamp.write_text(wanted)
    return folder
