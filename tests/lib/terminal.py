"""A terminal for tests: a program in a tmux of its own, keys for it, and what its screen shows.

Each terminal has its own tmux server with its own socket, so that it can meet no other and ends
with its test. Standard library and tmux only.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from harness import alive, binary, children, end_all
from wire import wait_until

LIMIT = 8.0
# what would reach the program from the one who runs the tests
FOREIGN = ("TMUX", "TMUX_PANE", "COLUMNS", "LINES", "NO_COLOR", "LANG", "LANGUAGE")
# tmux does not always learn how a program ended
KEEPER = 'trap : INT TERM; "$@"; echo $? > "$0"'
SETTINGS = """set -g status off
set -g remain-on-exit on
set -g default-terminal screen-256color
set -g history-limit 100
set -s escape-time 0
set -s exit-empty off
"""


def tmux():
    return shutil.which("tmux")


def missing_tmux():
    """Why there can be no terminal here, or an empty text."""
    return "" if tmux() else "no tmux: install it for the tests of the terminal"


def same_text(line):
    """With single blanks only, for comparing what stands in columns."""
    return " ".join(line.split())


class Screen:
    """What a terminal showed at one moment."""

    def __init__(self, text):
        self.text = text
        self.lines = text.split("\n")

    def __contains__(self, part):
        return part in self.text

    def line(self, part):
        """The first line with that text; an empty one where there is none."""
        return next((line for line in self.lines if part in line), "")

    def row(self, part):
        return next((n for n, line in enumerate(self.lines) if part in line), None)

    def below(self, head):
        """The lines below the one that begins with that word."""
        at = next((n for n, line in enumerate(self.lines) if line.lstrip().startswith(head)), None)
        return [] if at is None else self.lines[at + 1:]

    def __str__(self):
        return "\n".join(f"|{line}" for line in self.lines)


class Terminal:
    """A program on a screen of so many columns and rows."""

    def __init__(self, argv, columns=80, rows=24, env=None, cwd=None):
        self.name = f"pm-{uuid.uuid4().hex[:8]}"
        self.folder = Path(tempfile.mkdtemp(prefix="pm-tmux-"))
        settings = self.folder / "tmux.conf"
        settings.write_text(SETTINGS)
        self.env = {k: v for k, v in (env or os.environ).items()
                    if k not in FOREIGN and not k.startswith("LC_")}
        self.env.update(LC_ALL="C.UTF-8", TMUX_TMPDIR=str(self.folder), SHELL="/bin/sh")
        self.server = None
        self.status = self.folder / "status"
        words = ["/bin/sh", "-c", KEEPER, str(self.status), *(str(word) for word in argv)]
        try:
            self.ask("-f", str(settings), "new-session", "-d", "-s", "t", "-x", str(columns),
                     "-y", str(rows), "-c", str(cwd or self.folder), *words)
            self.server = int(self.tell("#{pid}"))
        except BaseException:
            self.close()
            raise

    def ask(self, *words, check=True):
        done = subprocess.run([tmux(), "-u", "-L", self.name, *words], env=self.env, timeout=LIMIT,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace")
        if check and done.returncode:
            raise AssertionError(f"tmux {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def tell(self, what):
        return self.ask("display-message", "-p", "-t", "t", what).strip()

    # the program

    @property
    def pid(self):
        return wait_until(lambda: children(int(self.tell("#{pane_pid}"))), 5, "the program")[0]

    @property
    def runs(self):
        return not self.status.exists()

    def wait_end(self, timeout=LIMIT):
        """Its exit status; 128 and more where a signal ended it."""
        def ended():
            return self.status.exists() and self.status.read_text().strip()
        return int(wait_until(ended, timeout, "the program in the terminal to end", 0.03))

    # keys and screen

    def keys(self, *names):
        """Keys by tmux's names: m, Enter, Up, PageUp, C-c ..."""
        self.ask("send-keys", "-t", "t", *names)
        return self

    def type(self, text):
        self.ask("send-keys", "-t", "t", "-l", "--", text)
        return self

    def resize(self, columns, rows):
        self.ask("resize-window", "-t", "t", "-x", str(columns), "-y", str(rows))
        return self

    def screen(self):
        return Screen(self.ask("capture-pane", "-p", "-t", "t").removesuffix("\n"))

    def said(self):
        """All that a program has written that draws nothing; long lines in one piece."""
        return self.ask("capture-pane", "-p", "-J", "-S", "-", "-t", "t")

    def raw(self):
        """With the escapes of colours and attributes, as tmux understood them."""
        return self.ask("capture-pane", "-p", "-e", "-t", "t")

    def wait(self, wanted, timeout=LIMIT, what=None):
        """The first screen with that text, or of which wanted(screen) is true."""
        holds = wanted if callable(wanted) else lambda screen: wanted in screen
        end = time.monotonic() + timeout
        while True:
            screen = self.screen()
            if holds(screen):
                return screen
            if time.monotonic() > end:
                raise AssertionError(f"{timeout} s without {what or wanted} here:\n{screen}")
            time.sleep(0.03)

    def wait_gone(self, part, timeout=LIMIT):
        return self.wait(lambda screen: part not in screen, timeout, f"an end of {part!r}")

    # the end

    def hang_up(self):
        """The terminal goes away, as a connection that breaks; its program is not asked."""
        pid = self.pid
        os.kill(self.server, signal.SIGKILL)
        return pid

    def close(self):
        pids = []
        if self.server and alive(self.server):
            pane = int(self.tell("#{pane_pid}"))
            pids = [pane, *children(pane)]
        self.ask("kill-server", check=False)
        if self.server:
            end_all([pid for pid in [self.server, *pids] if alive(pid)])
        shutil.rmtree(self.folder, ignore_errors=True)


class Top(Terminal):
    """`pointsman top` of a gateway."""

    def __init__(self, gw, columns=80, rows=24, env=None, prefix=()):
        setting = [f"{key}={value}" for key, value in (env or {}).items()]
        super().__init__([*prefix, "env", *setting, binary(), "top", "--state", gw.state],
                         columns, rows, gw.env, gw.dir)

    def shows(self):
        """The frame is complete: there is a status, and what is under way."""
        return self.wait(lambda s: "MODELS" in s and "http://127.0.0.1:" in s)

    def model(self, name, state=None, timeout=LIMIT):
        """That model's line in the list, once it has that state."""
        def holds(screen):
            line = self.model_line(screen, name)
            return line and (not state or state in line)
        return self.model_line(self.wait(holds, timeout, f"{name}: {state}"), name)

    @staticmethod
    def model_line(screen, name):
        for line in screen.below("MODELS"):
            if line[:1] in (" ", ">") and line[1:].split(" ")[0] == name[:22]:
                return line
        return ""

    def says(self, text, timeout=LIMIT):
        """A message in the control bar."""
        return self.wait(lambda s: text in s.lines[-1], timeout, f"the message {text!r}")
