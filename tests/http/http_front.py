"""A gateway for the tests of the HTTP front: no local model, a cloud model that never answers.

With POINTSMAN_FRONT=HOST:PORT the tests talk to a server that already runs; what only its owner can
see (process ids, the log) is then not checked.
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "lib"))

from harness import Gateway, binary  # noqa: E402

# Nobody listens on port 9 of the loopback: an attempt fails at once, nothing leaves the machine.
MODELS = """[nowhere]
CLOUD=openai
BASE_URL=http://127.0.0.1:9/v1
MODEL=*
"""
ROUTES = {
    "00-gateway.conf": {"gateway": {"MAX_BODY": 1}},
    "20-auto.conf": {"route": {"MODELS": "auto", "TARGETS": "nowhere", "FALLBACK": "nowhere"}},
}
SANITIZER = re.compile(r"ERROR: (Address|Leak|Memory|Thread)Sanitizer|runtime error:"
                       r"|SUMMARY: \w+Sanitizer")


class Front:
    """A running gateway as a context manager. `port` is where it listens."""

    def __init__(self, workers=1, env=None):
        self.gateway = None
        self.pids = None
        given = os.environ.get("POINTSMAN_FRONT")
        if given:
            self.port = int(given.rpartition(":")[2])
            return
        if not os.access(binary(), os.X_OK):
            raise RuntimeError(f"no gateway at {binary()}: build it, or set POINTSMAN")
        self.gateway = Gateway(MODELS, ROUTES, workers=workers, env=env, start=False)
        try:
            self.port = self.gateway.start().port
            self.pids = self.worker_pids()
        except BaseException:
            self.gateway.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.gateway:
            self.gateway.close()

    def stop(self):
        """Stops the processes but keeps the log: a leak checker reports at the end."""
        if self.gateway:
            self.gateway.stop()

    def worker_pids(self):
        return sorted(self.gateway.worker_pids(state=None)) if self.gateway else None

    def sanitizer_reports(self):
        if not self.gateway:
            return []
        return [line for line in self.gateway.log.splitlines() if SANITIZER.search(line)]
