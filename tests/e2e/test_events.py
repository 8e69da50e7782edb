"""What is told as it happens: GET /api/events, GET /logs/stream and `pointsman logs -f`."""

import contextlib
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from harness import alive, auto_route, profile, wait_until
from ledger import record
from listen import Command, Lines, Listener
from wire import connect, encode
from waits import Gate, Later

ENV = {"CLOUD_KEY": "sk-cloud-key"}
STORY = {"model": "auto", "stream": True, "max_tokens": 4000,
         "messages": [{"role": "user", "content": "Tell me a long story."}]}
LONG = {**STORY, "ignore_eos": True}
ROUTE = {"20-auto.conf": auto_route("demo-chat,demo-coder")}
# what a listener who does not read may cost a worker
SLOW_MIB = 24


def both(**keys):
    return {"demo-chat": profile("demo-chat", **keys), "demo-coder": profile("demo-coder")}


def talking(gw, **more):
    """A stream that goes on until it is closed, whose first token is there."""
    exchange = gw.open("POST", "/v1/chat/completions", {**LONG, **more})
    next(exchange.events())
    return exchange


def by_id(exchange):
    return exchange.header("x-pointsman-request")


# --- what is told ---

def test_the_life_of_a_request(make_gateway, tmp_path):
    gate = Gate(tmp_path)
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=gate.server, SLOTS=1)},
                      {"20-auto.conf": auto_route("demo-chat")})
    with Listener(gw) as seen, contextlib.ExitStack() as stack:
        status = seen.wait_type("status")
        assert status["profiles"][0]["id"] == "demo-chat" and status["usage"]["recording"]
        assert {"cpu", "load1", "cores", "ram_mib", "ram_available_mib"} <= set(status["machine"])
        first = Later(talking, gw)
        loading = seen.wait_live(lambda r: r["phase"] == "loading", "a request that waits for a load")
        assert (loading["route"], loading["target"], loading["model"]) == ("auto", "demo-chat", "auto")
        assert loading["elapsed_us"] >= loading["queue_us"] >= 0 and "first_us" not in loading
        seen.wait_type("status", lambda e: e["profiles"][0]["state"] == "loading", "the load")
        gate.say("go")
        stream = stack.enter_context(first.result())
        answering = seen.wait_live(lambda r: r["phase"] == "answering" and r.get("tps"), "an answer under way")
        assert answering["id"] == loading["id"] == by_id(stream)
        assert answering["first_us"] <= answering["elapsed_us"] and answering["output"] > 0
        more = seen.wait_live(lambda r: r.get("output", 0) > answering["output"], "more of it")
        assert more["elapsed_us"] > answering["elapsed_us"]
        # its only slot is taken: the next one waits, and is told how long about
        second = Later(gw.chat, "And then?", max_tokens=2)
        queued = seen.wait_live(lambda r: r["phase"] == "queued", "a request that waits for a slot")
        assert queued["wait_s"] >= 0 and queued["queue_us"] > 0 and queued["id"] != loading["id"]
        mark = seen.mark()
        stream.close()
        left = seen.wait_type("request", lambda e: e["request"]["id"] == loading["id"], since=mark)["request"]
        assert left["outcome"] == "cancelled" and left["load_us"] > 0
        reply = second.result()
        done = seen.wait_type("request", lambda e: e["request"]["id"] == queued["id"], since=mark)["request"]
        assert done["outcome"] == "ok" and done["output"] == 2 and done["queue_us"] > 0
        # what is told is what is written
        stored = record(gw, reply)
        assert {key: stored[key] for key in done} == done
        seen.wait_type("live", lambda e: e["requests"] == [], "that nothing is under way", since=mark)


def test_a_switch_is_noticed(make_gateway):
    gw = make_gateway(both(), ROUTE, manager={"RAM": 300})
    assert gw.chat("hi", model="demo-chat", max_tokens=1).status == 200
    with Listener(gw) as seen:
        seen.wait_type("status", lambda e: e["profiles"][0]["state"] == "ready")
        began = time.time() * 1000
        gw.cli("switch", "demo-coder")
        seen.wait_type("notice", lambda e: (e["profile"], e["to"]) == ("demo-coder", "ready"))
        notices = seen.of("notice")
        told = [(e["profile"], e["from"], e["to"]) for e in notices]
        assert told.index(("demo-coder", "loading", "ready")) > told.index(("demo-chat", "stopping", "off")), told
        for name in ("demo-chat", "demo-coder"):
            chain = [(a, b) for who, a, b in told if who == name]
            assert all(chain[i][1] == chain[i + 1][0] for i in range(len(chain) - 1)), chain
        assert all(began - 1000 < e["at"] < time.time() * 1000 + 1000 for e in notices)
        assert all(isinstance(e["why"], str) for e in notices)


def test_a_stream_is_one_before_it_begins(make_gateway, tmp_path):
    gate = Gate(tmp_path)
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=gate.server)},
                      {"20-auto.conf": auto_route("demo-chat")})
    with Listener(gw) as seen:
        with gw.open("POST", "/v1/chat/completions", LONG):
            loading = seen.wait_live(lambda r: r["phase"] == "loading", "a request that waits for a load")
            gone = loading["id"]
        left = seen.wait_type("request", lambda e: e["request"]["id"] == gone)["request"]
        assert left["outcome"] == "cancelled"
        assert (loading["stream"], left["stream"]) == (True, True)


def cloud_gateway(make_gateway, cloud, gateway=None, **how):
    return make_gateway({"cloud": cloud.section()},
                        {"00-gateway.conf": {"gateway": gateway or {}}, "20-auto.conf": auto_route("cloud")},
                        env=ENV, **how)


def test_the_prompt_is_a_phase(make_gateway, make_cloud):
    """From the request's being sent to the first byte of its answer."""
    cloud = make_cloud("openai")
    gw = cloud_gateway(make_gateway, cloud)
    cloud.fail("stall")
    with Listener(gw) as seen, gw.open("POST", "/v1/chat/completions", STORY):
        cloud.wait_posts(1)
        mark = seen.mark()
        reading = seen.wait_live(lambda r: r["phase"] == "prompt", since=mark)
        assert "first_us" not in reading and reading["elapsed_us"] > reading["sent_us"] > 0
        assert reading["attempts"] == 1 and reading["target"] == "cloud"
    cloud.heal()


def open_many(gw, n, stack):
    return [stack.enter_context(Listener(gw)) for _ in range(n)]


def test_every_listener_hears_of_every_worker(make_gateway, make_cloud):
    """Two workers: connections fall on either, so that of eight listeners and requests each has some."""
    cloud = make_cloud("openai")
    gw = cloud_gateway(make_gateway, cloud, workers=2)
    with contextlib.ExitStack() as stack:
        listeners = open_many(gw, 8, stack)
        for one in listeners:
            one.wait_type("live")
        ids = {gw.chat(f"question {n}").header("x-pointsman-request") for n in range(12)}
        for one in listeners:
            for wanted in ids:
                one.wait_type("request", lambda e, wanted=wanted: e["request"]["id"] == wanted)
            heard = [e["request"]["id"] for e in one.of("request")]
            assert len(heard) == len(set(heard)), "a request was told twice"
        # requests under way, too: whichever worker has them
        cloud.fail("stall")
        waiting = [stack.enter_context(gw.open("POST", "/v1/chat/completions", STORY)) for _ in range(6)]
        for one in listeners:
            one.wait_type("live", lambda e: len(e["requests"]) == 6, "six requests under way")
        for exchange in waiting:
            exchange.close()
        cloud.heal()
        for one in listeners:
            mark = one.mark()
            one.wait_type("live", lambda e: e["requests"] == [], "none under way", since=max(0, mark - 1))


def test_a_second_listener_is_told_all_at_once(make_gateway):
    gw = make_gateway(both(), ROUTE, manager={"RAM": 300})
    with Listener(gw) as first:
        first.wait_type("live")
        for _ in range(3):
            with Listener(gw) as second:
                began = time.monotonic()
                second.wait_type("status")
                second.wait_type("live")
                assert time.monotonic() - began < 0.3


# --- how it ends ---

def test_a_worker_that_dies_ends_its_streams(make_gateway, make_cloud):
    gw = cloud_gateway(make_gateway, make_cloud("openai"), workers=2)
    with contextlib.ExitStack() as stack:
        listeners = open_many(gw, 8, stack)
        for one in listeners:
            one.wait_type("live")
        workers = gw.worker_pids()
        gw.kill_worker(workers[0])
        wait_until(lambda: any(one.ended for one in listeners), 10, "the end of a stream")
        wait_until(lambda: len(gw.worker_pids()) == 2 and workers[0] not in gw.worker_pids(), 10, "another worker")
        left = [one for one in listeners if not one.ended]
        marks = [one.mark() for one in left]
        again = open_many(gw, 8, stack)
        wanted = gw.chat("hi").header("x-pointsman-request")
        for one, mark in [*zip(left, marks), *((one, 0) for one in again)]:
            one.wait_type("request", lambda e: e["request"]["id"] == wanted, since=mark)


def test_a_manager_that_dies_ends_them_all(make_gateway, make_cloud):
    gw = cloud_gateway(make_gateway, make_cloud("openai"))
    with Listener(gw) as one, gw.open("GET", "/logs/stream") as lines:
        lines.head()
        one.wait_type("live")
        gw.kill_manager()
        one.wait_end()
        Lines(lines.pieces()).wait_end()
    gw.start()
    with Listener(gw) as one:
        one.wait_type("status")


def test_a_new_configuration_ends_them(make_gateway, make_cloud):
    """A worker that is to leave is not held by a listener."""
    gw = cloud_gateway(make_gateway, make_cloud("openai"))
    before = gw.worker_pids()
    with Listener(gw) as one:
        one.wait_type("status")
        gw.write_route("30-more.conf", {"route": {"MODELS": "more", "TARGETS": "cloud", "POLICIES": "capability"}})
        one.wait_end()
        assert one.exchange.complete, "it ended in the middle"
    wait_until(lambda: not any(alive(pid) for pid in before), 10, "the end of the worker")


def resident(pid):
    """MiB of a process's own memory."""
    found = re.search(r"^RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found[1]) / 1024


def is_held(gw, sock):
    """Is the gateway's end of this connection open? Sockets that nobody holds have no inode."""
    theirs, ours = f":{gw.port:04X}", f":{sock.getsockname()[1]:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(theirs) and words[2].endswith(ours):
            return words[9] != "0"
    return False


def test_a_listener_who_does_not_read_is_left_behind(make_gateway, make_cloud):
    gw = cloud_gateway(make_gateway, make_cloud("openai"), {"RECORD": "prompts"})
    worker = gw.worker_pids()[0]
    manager = resident(gw.manager_pid)
    text = "What has been said so far. " * 600
    with connect(gw.address) as deaf, Listener(gw) as attentive:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(encode("GET", "/api/events"))
        attentive.wait_type("live")
        before = resident(worker)
        sent = [gw.chat(f"{n} {text}").header("x-pointsman-request") for n in range(600)]
        attentive.wait_type("request", lambda e: e["request"]["id"] == sent[-1])
        heard = [e["request"]["id"] for e in attentive.of("request")]
        assert heard == sent
        assert resident(worker) - before < SLOW_MIB, (before, resident(worker))
        assert resident(gw.manager_pid) - manager < SLOW_MIB
        # its connection is closed, whatever of it still lies in the pipes
        assert is_held(gw, attentive.exchange.sock)
        wait_until(lambda: not is_held(gw, deaf), 20, "the end of who does not read", step=0.05)


def wakeups(pids, seconds):
    """How often these processes have woken up within that time."""
    def count():
        return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(),
                                 re.M)[1]) for pid in pids)

    before = count()
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, seconds + 5, "the end of the measure", step=0.1)
    return count() - before


def quietest(pids):
    """Their wakeups in the quietest of some seconds: what they do for other reasons is left out."""
    return min(wakeups(pids, 1) for _ in range(3))


def test_nothing_is_made_up_for_nobody(make_gateway, make_cloud):
    """A stream under way, and nobody listens: neither worker nor manager wakes up for the sake of events."""
    cloud = make_cloud("openai")
    gw = cloud_gateway(make_gateway, cloud)
    cloud.fail("stall")
    with gw.open("POST", "/v1/chat/completions", STORY):
        cloud.wait_posts(1)
        pids = [gw.manager_pid, *gw.worker_pids()]
        before = quietest(pids)
        with Listener(gw) as one:
            one.wait_live(lambda r: r["phase"] == "prompt")
            during = quietest(pids)
            assert len(one.of("live")) >= 4
        after = quietest(pids)
    cloud.heal()
    # twice a second the state, more often what is under way
    assert during >= before + 4 and after <= before + 1, (before, during, after)


# --- logs ---

def test_lines_of_the_servers_as_events(make_gateway):
    gw = make_gateway(both(), ROUTE, manager={"RAM": 300})
    with Listener(gw, "/api/events?logs=yes") as seen, Listener(gw) as other:
        seen.wait_type("status")
        assert gw.chat("hi", model="demo-chat", max_tokens=1).status == 200
        seen.wait_type("log", lambda e: any(who == "demo-chat" and "listening" in line for who, line in e["lines"]))
        gw.cli("switch", "demo-coder")
        seen.wait_type("log", lambda e: any(who == "demo-coder" and "--- ready" in line for who, line in e["lines"]))
        assert {who for e in seen.of("log") for who, _ in e["lines"]} == {"demo-chat", "demo-coder"}
        assert not other.of("log")


def own_lines(gw, name):
    """The lines of a server's log file."""
    return Path(gw.profile(name)["log"]).read_text(errors="replace").splitlines()


def test_logs_go_on_across_a_switch(make_gateway):
    gw = make_gateway(both(), ROUTE, manager={"RAM": 300})
    assert gw.chat("hi", model="demo-chat", max_tokens=1).status == 200
    with gw.open("GET", "/logs/stream") as every, gw.open("GET", "/logs/stream?id=demo-coder") as one:
        assert every.head().status == 200 and every.header("content-type").startswith("text/plain")
        one.head()
        all_lines, coder = Lines(every.pieces()), Lines(one.pieces())
        # what was there before comes first: the last lines
        last = [line for line in own_lines(gw, "demo-chat") if line][-1]
        all_lines.wait(lambda line: line == last, "the last line before")
        gw.cli("switch", "demo-coder")
        for lines in (all_lines, coder):
            lines.wait(lambda line: "demo-coder.gguf" in line, "the load")
            lines.wait(lambda line: line.startswith("--- ready"), "that it is ready")
        assert not [line for line in coder.all if "demo-chat.gguf" in line]
        gw.cli("switch", "demo-chat")
        mark = all_lines.mark()
        all_lines.wait(lambda line: line.startswith("--- ready"), "that the first is back", since=mark)
        coder.wait(lambda line: line.startswith("--- off"), "that it is off")


def test_no_line_is_told_twice_or_left_out(make_gateway, tmp_path):
    """Listeners that come while a server talks: each has every line once."""
    server = tmp_path / "talking-server"
    server.write_text('#!/bin/sh\nn=0\nwhile [ $n -lt 400 ]; do n=$((n+1)); echo "line $n." >&2; sleep 0.01; done\n'
                      'exit 3\n')
    server.chmod(0o755)
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=server)},
                      {"20-auto.conf": auto_route("demo-chat")})
    with contextlib.ExitStack() as stack:
        keeper = Lines(stack.enter_context(gw.open("GET", "/logs/stream")).pieces())
        gw.cli("switch", "demo-chat")
        keeper.wait(lambda line: line == "line 50.", "fifty lines")
        late = [Lines(stack.enter_context(gw.open("GET", "/logs/stream")).pieces())]
        keeper.wait(lambda line: line == "line 150.", "more lines")
        late.append(Lines(stack.enter_context(gw.open("GET", "/logs/stream")).pieces()))
        cli = stack.enter_context(Command(gw, "logs", "demo-chat", "-f"))
        for lines in (keeper, *late, cli.out):
            lines.wait(lambda line: line == "line 400.", "the last line")
            numbers = [int(found[1]) for line in lines.all if (found := re.fullmatch(r"line (\d+)\.", line))]
            assert numbers == list(range(numbers[0], 401)), [
                (a, b) for a, b in zip(numbers, numbers[1:]) if b != a + 1][:5]


def test_lines_that_come_too_fast_are_counted(make_gateway, tmp_path):
    """A server in a frenzy costs bounded memory, and whoever reads is told how much is missing."""
    server = tmp_path / "frantic-server"
    server.write_text('#!/bin/sh\nseq -f "line %.0f of too many lines to be told" 1 20000 >&2\nexit 3\n')
    server.chmod(0o755)
    gw = make_gateway({"demo-chat": profile("demo-chat", LLAMA_SERVER=server)},
                      {"20-auto.conf": auto_route("demo-chat")})
    with gw.open("GET", "/logs/stream") as every, gw.open("GET", "/logs/stream?id=demo-chat") as one:
        every.head(), one.head()
        streams = Lines(every.pieces()), Lines(one.pieces())
        gw.cli("switch", "demo-chat", check=None)
        for lines in streams:
            lines.wait(lambda line: "left out" in line, "that lines were left out")
            told = wait_until(lambda lines=lines: accounted(lines.all), 10, "every line, told or counted")
            assert told < 10_000, "nothing was left out"


def accounted(lines):
    """How many lines of the first start were told, once told and left out are all there were."""
    told = [line for line in lines if re.fullmatch(r"line \d+ of too many.*", line)]
    missing = sum(int(re.search(r"\((\d+) lines", line)[1]) for line in lines if "left out" in line)
    return len(told) if len(told) + missing >= 20_000 else None


def test_logs_of_a_profile_that_there_is_not(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat")}, {"20-auto.conf": auto_route("demo-chat")})
    reply = gw.get("/logs/stream?id=nobody")
    assert reply.status in (400, 404) and "nobody" in reply.json["error"]["message"], reply
    done = gw.cli("logs", "nobody", "-f", check=1)
    assert "nobody" in done.stderr and not done.stdout


def test_the_command_follows_across_a_restart(make_gateway):
    gw = make_gateway(both(), ROUTE, manager={"RAM": 300})
    assert gw.chat("hi", model="demo-chat", max_tokens=1).status == 200
    with Command(gw, "logs", "-f") as every, Command(gw, "logs", "demo-coder", "-f") as one:
        last = [line for line in own_lines(gw, "demo-chat") if line][-1]
        every.out.wait(lambda line: line.startswith("demo-chat ") and line.endswith(last), "the last line before")
        gw.cli("switch", "demo-coder")
        every.out.wait(lambda line: line.startswith("demo-coder ") and "--- ready" in line, "that it is ready")
        one.out.wait(lambda line: line.startswith("--- ready"), "that it is ready")
        gw.kill_manager()
        for command in (every, one):
            command.err.wait(lambda line: "waiting for it" in line, "that it waits")
        gw.start()
        for command in (every, one):
            command.err.wait(lambda line: "it is there again" in line, "that it is back")
        marks = every.out.mark(), one.out.mark()
        assert gw.chat("hi", model="demo-chat", max_tokens=1).status == 200
        gw.cli("switch", "demo-coder")
        every.out.wait(lambda line: line.startswith("demo-coder ") and "--- ready" in line, since=marks[0])
        one.out.wait(lambda line: line.startswith("--- ready"), since=marks[1])
        assert not [line for line in one.out.all if "demo-chat.gguf" in line]
        assert [every.end(), one.end(signal.SIGTERM)] == [0, 0]
        assert sum("waiting for it" in line for line in every.err.all) == 1
    with Command(gw, "logs", "-f") as piped:
        piped.out.wait(lambda line: line, "a line")
        os.kill(gw.manager_pid, 0)
        assert piped.end() == 0


def test_the_command_without_a_gateway(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat")}, {"20-auto.conf": auto_route("demo-chat")})
    gw.stop()
    done = gw.cli("logs", "-f", check=None, timeout=20)
    assert done.returncode == 1 and done.stderr and not done.stdout
    assert gw.cli("logs", "-f", "a", "b", check=2).stderr.startswith("usage:")


@pytest.mark.parametrize("words", ["logs=no", "logs=1", "other=yes"])
def test_other_words_change_nothing(make_gateway, words):
    gw = make_gateway({"demo-chat": profile("demo-chat")}, {"20-auto.conf": auto_route("demo-chat")})
    with Listener(gw, f"/api/events?{words}") as seen:
        seen.wait_type("live")
        gw.cli("switch", "demo-chat")
        seen.wait_type("notice", lambda e: e["to"] == "ready")
        assert not seen.of("log")
