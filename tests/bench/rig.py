"""What the benchmark runs: request bodies, the mock, the proxies, and their processes' figures.

Everything listens on loopback, on ports that the kernel chose, and ends with this process.
"""

import contextlib
import http.client
import json
import os
import queue
import random
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
START_DEADLINE_S = 15
STOP_DEADLINE_S = 10


class Failure(Exception):
    """The benchmark cannot go on, or a request was not answered as it should be."""


# ---- request bodies ----


def small_body():
    """A chat request of about 300 bytes."""
    return encode(
        {
            "model": "auto",
            "messages": [
                {
                    "role": "system",
                    "content": "You are a helpful assistant. Answer in one sentence.",
                },
                {
                    "role": "user",
                    "content": "What should a visitor of Lisbon see on a rainy afternoon in "
                    "November, when two hours are left before the train?",
                },
            ],
            "max_tokens": 128,
            "temperature": 0.7,
        }
    )


def stream_body(events, gap_ms):
    """A streamed chat request; what the mock shall do comes along in it."""
    return encode(
        {
            "model": "auto",
            "stream": True,
            "mock_events": events,
            "mock_gap_ms": gap_ms,
            "messages": [{"role": "user", "content": "Tell me a story of a lighthouse keeper."}],
        }
    )


def agent_body(size=300_000):
    """A coding agent's request late in its work: system prompt, 12 tools, a long history."""
    rng = random.Random(7)
    head = {
        "model": "auto",
        "max_tokens": 8192,
        "temperature": 0.2,
        "tool_choice": "auto",
        "tools": [agent_tool(rng, name) for name in AGENT_TOOLS],
    }
    messages = [
        {"role": "system", "content": "You are a careful coding agent.\n" + prose(rng, 9000)},
        {
            "role": "user",
            "content": "The retry test fails on slow machines. Find out why and mend it.",
        },
    ]
    length = len(encode(dict(head, messages=messages)))
    while length < size - 500:
        turn = agent_turn(rng, len(messages), min(6000, size - length - 450))
        messages += turn
        length += sum(len(encode(m)) + 1 for m in turn)
    return encode(dict(head, messages=messages))


AGENT_TOOLS = [
    "read_file",
    "write_file",
    "edit_file",
    "list_folder",
    "find_files",
    "grep",
    "run_command",
    "run_tests",
    "git_diff",
    "git_log",
    "ask_user",
    "finish",
]
WORDS = (
    "the value of each entry is kept until its owner asks again and then it goes back to where the "
    "reader first saw it while a second caller may wait for the same entry without any lock"
).split()
CODE = (
    'static int entry_find(struct table *t, const char *name)\n{\n'
    '\tfor (size_t i = 0; i < t->count; i++) {\n'
    '\t\tif (strcmp(t->entry[i].name, name) == 0)\n\t\t\treturn (int)i; /* "first" wins */\n\t}\n'
    '\treturn -1;\n}\n\n'
)


def encode(document):
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def prose(rng, size):
    text = []
    length = 0
    while length < size:
        sentence = " ".join(rng.choice(WORDS) for _ in range(14)).capitalize() + ".\n"
        text.append(sentence)
        length += len(sentence)
    return "".join(text)


def agent_tool(rng, name):
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": prose(rng, 500),
            "parameters": {
                "type": "object",
                "properties": {
                    "path": {
                        "type": "string",
                        "description": "Absolute path of the file or folder",
                    },
                    "text": {"type": "string", "description": prose(rng, 100)},
                    "limit": {"type": "integer", "minimum": 1, "maximum": 2000},
                },
                "required": ["path"],
            },
        },
    }


def agent_turn(rng, number, size):
    """A tool call, and its result of about `size` bytes when encoded."""
    call = "call_%08x" % rng.getrandbits(32)
    arguments = json.dumps({"path": "/src/table_%d.c" % number, "limit": 400})
    text = []
    length = 0
    while length < size:
        part = CODE if rng.random() < 0.7 else prose(rng, 300)
        text.append(part)
        length += len(encode(part)) - 2
    return [
        {
            "role": "assistant",
            "content": prose(rng, 120),
            "tool_calls": [
                {
                    "id": call,
                    "type": "function",
                    "function": {"name": rng.choice(AGENT_TOOLS), "arguments": arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": call, "content": "".join(text)[: max(size, 1)]},
    ]


# ---- figures of a process tree ----


def children_of(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task), encoding="ascii") as f:
                found += [int(p) for p in f.read().split()]
    return found


def tree(pid):
    pids = [pid]
    for parent in pids:
        pids += children_of(parent)
    return pids


def process_cpu_ns(pid):
    """User and system time; in the scheduler's nanoseconds, if it tells them."""
    with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    ticks_ns = (int(fields[11]) + int(fields[12])) * TICK_NS
    exact_ns = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/schedstat" % (pid, task), encoding="ascii") as f:
                exact_ns += int(f.read().split()[0])
    return max(ticks_ns, exact_ns)


def process_memory(pid):
    """(PSS, RSS) in KiB."""
    values = {}
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
        for line in f:
            name, _, rest = line.partition(":")
            if name in ("Pss", "Rss"):
                values[name] = int(rest.split()[0])
    return values["Pss"], values["Rss"]


# ---- processes ----


class Process:
    """A child whose standard output is read line by line, with deadlines."""

    def __init__(self, argv, log, **popen):
        self.argv = argv
        self.log_path = log
        with open(log, "ab") as log_file:
            self.popen = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                text=True,
                env=environment(),
                start_new_session=True,
                **popen,
            )
        self.pid = self.popen.pid
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.popen.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def wait_line(self, prefix, deadline_s=START_DEADLINE_S):
        """The rest of the first line that starts with `prefix`."""
        end = time.monotonic() + deadline_s
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise Failure("%s did not say %r%s" % (self.argv[0], prefix, self.log_tail()))
            if line.startswith(prefix):
                return line[len(prefix) :].strip()

    def log_tail(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            tail = f.readlines()[-8:]
        return "; the end of its log:\n" + "".join(tail) if tail else ""

    def cpu_ns(self):
        return {pid: process_cpu_ns(pid) for pid in tree(self.pid)}

    def memory(self):
        """(PSS, RSS) of the tree in KiB."""
        parts = [process_memory(pid) for pid in tree(self.pid)]
        return sum(p[0] for p in parts), sum(p[1] for p in parts)

    def stop(self, deadline_s=STOP_DEADLINE_S):
        members = tree(self.pid) if self.popen.poll() is None else []
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            for pid in members:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self.popen.wait()
        self.popen.stdin.close()
        self.reader.join(deadline_s)
        self.popen.stdout.close()


def environment():
    """No proxy of the surroundings may come between; the key is any."""
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    env["BENCH_KEY"] = "sk-bench"
    return env


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Rig:
    """Starts what is measured in a folder of its own, and cleans up."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.started = []
        self.count = 0
        self.mock = None
        self.restart_mock()

    def restart_mock(self):
        """A new mock, on a new port, where this process may run."""
        if self.mock:
            self.stop(self.mock)
        self.mock = self._process([self.options.mock, "--until-eof"], "mock")
        self.mock_port = port_of(self.mock.wait_line("mock: listening on "))

    def path(self, name):
        return os.path.join(self.folder, name)

    def body_file(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)
        return self.path(name)

    def _process(self, argv, name, **popen):
        process = Process(argv, self.path(name + ".log"), **popen)
        self.started.append(process)
        return process

    def stop(self, process):
        self.started.remove(process)
        process.stop()

    def close(self):
        while self.started:
            self.started.pop().stop()

    def served(self):
        """How many requests the mock was asked so far."""
        return json.loads(ask(self.mock_port, "GET", "/v1/mock/served")[1])["served"]

    def start_haproxy(self, wrapper=()):
        """The socket is opened here and handed over: no one can take the port in between."""
        conf = self.path("haproxy.cfg")
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(4096)
            port = listener.getsockname()[1]
            with open(conf, "w", encoding="ascii") as f:
                f.write(HAPROXY % {"fd": listener.fileno(), "mock": self.mock_port})
            process = self._process(
                [*wrapper, self.options.haproxy, "-q", "-db", "-f", conf],
                "haproxy",
                pass_fds=[listener.fileno()],
            )
        return process, port

    def start_pointsman(self, wrapper=(), deadline_s=START_DEADLINE_S):
        self.count += 1
        home = self.path("pointsman-%d" % self.count)
        os.makedirs(os.path.join(home, "routes.d"))
        for name, text in POINTSMAN.items():
            with open(os.path.join(home, name), "w", encoding="ascii") as f:
                f.write(text % {"mock": self.mock_port})
        process = self._process(
            [
                *wrapper,
                self.options.pointsman,
                "serve",
                "--models",
                os.path.join(home, "models.conf"),
                "--routes",
                os.path.join(home, "routes.d"),
                "--plugins",
                self.options.plugins,
                "--listen",
                "127.0.0.1:0",
                "--state",
                os.path.join(home, "state"),
                "--workers",
                "1",
            ],
            "pointsman",
        )
        return process, port_of(process.wait_line("pointsman: listening on ", deadline_s))


# Without http-no-delay HAProxy holds a stream's chunks back for up to 200 ms to fill packets.
HAPROXY = """\
global
    nbthread 1
    maxconn 4000
    ulimit-n 8200
defaults
    mode http
    option http-keep-alive
    option http-no-delay
    http-reuse always
    timeout connect 5s
    timeout client 120s
    timeout server 120s
    timeout http-keep-alive 120s
frontend in
    bind fd@%(fd)d
    default_backend out
backend out
    server mock 127.0.0.1:%(mock)d
"""

POINTSMAN = {
    "models.conf": """\
[mock]
CLOUD=openai
BASE_URL=http://127.0.0.1:%(mock)d/v1
API_KEY_ENV=BENCH_KEY
MODEL=mock
CTX_SIZE=1000000
GOOD_AT=general,code,planner
STRENGTH=0.8
CAPS=tools,vision,reasoning
""",
    "routes.d/20-auto.conf": """\
[route]
MODELS=auto
POLICIES=capability,regex,complexity
TARGETS=mock
FALLBACK=mock

[policy regex]
code=\\b(code|debug|function|refactor|stack ?trace)\\b
planner=\\b(plan|roadmap|architecture)\\b

[policy complexity]
LOW=0.4
HIGH=0.7
""",
}


def port_of(url):
    return int(url.rsplit(":", 1)[1])


def ask(port, method, path, body=None):
    """(headers, body) of one answer that must be a 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_DEADLINE_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        reply = connection.getresponse()
        data = reply.read()
    except OSError as e:
        raise Failure("no answer on port %d: %s" % (port, e)) from e
    finally:
        connection.close()
    if reply.status != 200:
        raise Failure(
            "port %d answered %d: %s" % (port, reply.status, data[:300].decode(errors="replace"))
        )
    return {k.lower(): v for k, v in reply.getheaders()}, data


def find_program(name):
    """Debian keeps servers in /usr/sbin, which is not on everyone's PATH."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
