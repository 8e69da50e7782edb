"""Client keys of a gateway: a keys file that a test writes, and requests that carry a key."""

import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from pathlib import Path

from harness import binary, ini, wait_until
from speak import MESSAGES, VERSION

SHAPE = re.compile(r"pm-[A-Za-z0-9_-]{43}")
COMPILER = shutil.which(os.environ.get("CC", "cc"))


def fresh():
    """A key as the gateway makes them: 32 random bytes in base64url."""
    return "pm-" + secrets.token_urlsafe(32)


def digest(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def own_header(protocol, key):
    """The key as the SDK of a protocol sends it."""
    return {"x-api-key": key, **VERSION} if protocol == MESSAGES else bearer(key)


class Keys:
    """A keys file. What it holds is written at once; a gateway that runs follows."""

    def __init__(self, folder):
        self.path = Path(folder) / "keys.conf"
        self.sections = {}
        self.values = {}

    def add(self, name, key=None, **limits):
        """A key with these limits; the same name again changes it. Returns the key."""
        self.values[name] = key or self.values.get(name) or fresh()
        self.sections[name] = {"HASH": digest(self.values[name]),
                               "CREATED": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                               **limits}
        self.write(ini(self.sections))
        return self.values[name]

    def remove(self, name):
        del self.sections[name]
        self.write(ini(self.sections))

    def write(self, text):
        new = self.path.with_name(".keys.new")
        new.touch(mode=0o600)
        new.write_text(text)
        os.replace(new, self.path)

    def gateway(self, **more):
        """A route file that tells the gateway of this file."""
        return {"00-gateway.conf": {"gateway": {"KEYS": self.path, **more}}}


def after(gw, change, *args, **how):
    """Makes a change of the configuration and waits until only new workers serve."""
    before = gw.status()["generation"]
    change(*args, **how)

    def settled():
        status = gw.status()
        return status["generation"] > before and all(
            w["state"] == "ready" and w["generation"] == status["generation"]
            for w in status["workers"])

    wait_until(settled, 15, "the workers of the new configuration", step=0.02)


def command(gw, *args, keys=None):
    """`pointsman key ...` beside this gateway; what it printed."""
    where = ["--state", str(gw.state)] + (["--keys", str(keys.path)] if keys else [])
    done = subprocess.run([str(binary()), "key", *args, *where],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
                          env=gw.env, cwd=gw.dir)
    assert done.returncode == 0, (args, done)
    return done.stdout.strip()


def listed(gw, keys=None):
    """What `key list --json` says, by name."""
    value = json.loads(command(gw, "list", "--json", keys=keys))
    return {one["name"]: one for one in (value if isinstance(value, list) else value["keys"])}


def figure(entry, word):
    """The number of `key list --json` whose name has this word in it, at whatever depth."""
    for name, value in entry.items():
        if isinstance(value, dict):
            found = figure(value, word)
            if found is not None:
                return found
        elif word in name.lower() and isinstance(value, (int, float)):
            return value
    return None


class Clock:
    """The time of a gateway: all its processes see the machine's time and what is added here."""

    def __init__(self, folder, source):
        folder = Path(folder)
        self.path = folder / "clock"
        self.library = folder / "clock.so"
        self.path.write_bytes(bytes(8))
        subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", self.library, source, "-ldl"],
                       check=True, timeout=60)
        self.ahead = 0.0

    def advance(self, seconds):
        """Never back. One write of eight bytes, so that nobody reads half of it."""
        self.ahead += seconds
        with self.path.open("r+b", buffering=0) as file:
            file.write(int(self.ahead * 1e9).to_bytes(8, "little"))

    def now(self):
        return time.time() + self.ahead

    @property
    def env(self):
        # a build with sanitizers wants to be the first library, and is not
        options = [os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"]
        return {"LD_PRELOAD": str(self.library), "POINTSMAN_TEST_CLOCK": str(self.path),
                "ASAN_OPTIONS": ":".join(filter(None, options))}
