"""A real Redis (or Valkey) for a test: in a folder of its own, on loopback, gone with the test."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from wire import free_port, wait_until

PROGRAM = (os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
           or shutil.which("valkey-server"))


class RedisError(Exception):
    """An error that the server answered."""


class RedisServer:
    """redis-server on a unix socket and a loopback port, with a password if one is given."""

    def __init__(self, password=None, start=True):
        self.dir = Path(tempfile.mkdtemp(prefix="pm-redis-"))
        self.socket = self.dir / "r.sock"
        self.port = free_port()
        self.password = password
        self.proc = None
        if start:
            self.start()

    def start(self):
        conf = [f"port {self.port}", "bind 127.0.0.1", f"unixsocket {self.socket}",
                "unixsocketperm 600", 'save ""', "appendonly no", f"dir {self.dir}",
                f"logfile {self.dir}/log", "daemonize no"]
        conf += [f"requirepass {self.password}"] if self.password else []
        # by its input: a password has no place among the words of a command
        self.proc = subprocess.Popen([PROGRAM, "-"], stdin=subprocess.PIPE,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.proc.stdin.write("\n".join(conf).encode() + b"\n")
        self.proc.stdin.close()
        wait_until(self._answers, 20, "redis to answer", step=0.02)
        return self

    def _answers(self):
        assert self.proc.poll() is None, (self.dir / "log").read_text()
        try:
            return self("PING") == b"PONG"
        except OSError:
            return False

    def freeze(self):
        self.proc.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.proc.send_signal(signal.SIGCONT)

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def close(self):
        if self.proc and self.proc.poll() is None:
            self.kill()  # a frozen one as well
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def __call__(self, *words, db=0):
        """Sends one command on a connection of its own; the answer, a list for an array."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(self.socket))
            with sock.makefile("rwb") as file:
                if self.password:
                    self._send(file, "AUTH", self.password)
                if db:
                    self._send(file, "SELECT", db)
                return self._send(file, *words)

    def _send(self, file, *words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        file.write(b"*%d\r\n" % len(parts) +
                   b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        file.flush()
        return self._answer(file)

    def _answer(self, file):
        line = file.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else file.read(size + 2)[:-2]
        if kind == b"*":
            return [self._answer(file) for _ in range(int(rest))]
        return rest

    def keys(self, db=0):
        return sorted(self("KEYS", "*", db=db))

    def dump(self, db=0):
        """All that it holds, as it keeps it."""
        reading = {b"string": ("GET",), b"hash": ("HGETALL",), b"list": ("LRANGE", 0, -1),
                   b"set": ("SMEMBERS",), b"zset": ("ZRANGE", 0, -1, "WITHSCORES")}
        out = {}
        for key in self.keys(db):
            kind = self("TYPE", key, db=db)
            if kind in reading:
                word, *more = reading[kind]
                out[key] = self(word, key, *more, db=db)
        return out
