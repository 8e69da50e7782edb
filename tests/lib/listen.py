"""Somebody who listens to what a gateway tells as it happens, and waits for a word of it."""

import json
import os
import signal
import subprocess
import threading
import time

from harness import binary, header_of
from wire import SseParser, Truncated, open_request

TYPES = {"status", "live", "request", "notice", "log"}


class Heard:
    """What came so far, from a thread of its own; a test waits for what it wants of it."""

    def __init__(self):
        self.all = []
        self.ended = None
        self._news = threading.Condition()

    def start(self, run):
        threading.Thread(target=self._run, args=(run,), daemon=True).start()

    def _run(self, run):
        how = "it ended"
        try:
            run()
        except (Truncated, OSError, ValueError) as e:
            how = repr(e)
        with self._news:
            self.ended = how
            self._news.notify_all()

    def add(self, more):
        with self._news:
            self.all += more
            self._news.notify_all()

    def wait(self, wanted, what="what is wanted", timeout=20.0, since=0):
        """The first, from number `since` on, of which wanted(it) is true."""
        end = time.monotonic() + timeout
        with self._news:
            while True:
                for one in self.all[since:]:
                    if wanted(one):
                        return one
                since = max(since, len(self.all))
                left = end - time.monotonic()
                if left <= 0 or self.ended:
                    raise AssertionError(f"{what} was not told ({self.ended or 'in time'}), last of {len(self.all)}:"
                                         f" {[str(one)[:300] for one in self.all[-3:]]}")
                self._news.wait(left)

    def wait_end(self, timeout=15.0):
        end = time.monotonic() + timeout
        with self._news:
            while not self.ended:
                assert self._news.wait(end - time.monotonic()) or self.ended, "it goes on"
        return self.ended

    def mark(self):
        with self._news:
            return len(self.all)


class Listener(Heard):
    """One connection to /api/events. Every event must be JSON of a known type."""

    def __init__(self, gw, path="/api/events", headers=None):
        super().__init__()
        self.exchange = open_request(gw.address, "GET", path, headers=headers)
        self.exchange.head()
        assert self.exchange.status == 200, self.exchange.read()
        assert header_of(self.exchange.headers, "content-type") == "text/event-stream"
        self.start(self._read)

    def _read(self):
        parser = SseParser()
        for piece in self.exchange.pieces():
            values = [json.loads(e.data) for e in parser.feed(piece) if e.data is not None]
            odd = [v for v in values if v.get("type") not in TYPES]
            if odd:
                raise ValueError(f"an event of no known type: {odd[0]}")
            self.add(values)

    def of(self, kind):
        return [e for e in self.all if e["type"] == kind]

    def wait_type(self, kind, wanted=lambda event: True, what=None, **how):
        return self.wait(lambda e: e["type"] == kind and wanted(e), what or f"a {kind}", **how)

    def wait_live(self, wanted, what="a request under way", **how):
        """The first request under way of which wanted(it) is true."""
        event = self.wait_type("live", lambda e: any(map(wanted, e["requests"])), what, **how)
        return next(filter(wanted, event["requests"]))

    def close(self):
        self.exchange.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Lines(Heard):
    """Lines of text as they come: of /logs/stream, or of a command."""

    def __init__(self, pieces):
        super().__init__()
        self.rest = b""
        self.start(lambda: [self._feed(piece) for piece in pieces])

    def _feed(self, piece):
        *whole, self.rest = (self.rest + piece).split(b"\n")
        self.add([line.decode("utf-8", "replace") for line in whole])


class Command:
    """A command that goes on until it is told to end; its output in lines."""

    def __init__(self, gw, *args):
        self.proc = subprocess.Popen([str(binary()), *args, "--state", str(gw.state)], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=gw.env, cwd=gw.dir)
        self.out = Lines(iter(lambda: os.read(self.proc.stdout.fileno(), 65536), b""))
        self.err = Lines(iter(lambda: os.read(self.proc.stderr.fileno(), 65536), b""))

    def end(self, how=signal.SIGINT):
        """Returns the exit status."""
        if self.proc.poll() is None:
            self.proc.send_signal(how)
        return self.proc.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        self.out.wait_end()
        self.err.wait_end()
        self.proc.stdout.close()
        self.proc.stderr.close()
