"""What is written down of requests: each as it was, all of them added up, and never in the way of an answer."""

import csv
import io
import json
import os
import signal
import sqlite3
import stat
import subprocess
import time

import pytest
from harness import Crowd, Gateway, alive, auto_route, binary, profile, wait_until
from keys import Keys, after, bearer
from ledger import (database, expect_equal_sums, files, kill_recorder, listed, query, read, record, recorder, rows,
                    state, summed, total, usage)
from speak import CHAT, PATHS, PROTOCOLS, headers_of
from speak import ask as speak_ask

ENV = {"CLOUD_KEY": "sk-cloud-key"}
PRICES = {"PRICE_IN": 3, "PRICE_OUT": 15}
# what the stand-in cloud says that it has read and written
PROMPT, OUTPUT = 11, 14
COST = (PROMPT * 3 + OUTPUT * 15) / 1e6


@pytest.fixture
def make(make_gateway, make_cloud):
    """A gateway whose route `auto` has one cloud with prices: its answers cost little time."""
    def of(gateway=None, route=None, models=None, routes=None, **how):
        cloud = make_cloud("openai")
        gw = make_gateway({"cloud": cloud.section(**PRICES), **(models or {})},
                          {"00-gateway.conf": {"gateway": gateway or {}},
                           "20-auto.conf": auto_route("cloud", policies="capability,complexity", **(route or {})),
                           **(routes or {})}, env=ENV, **how)
        gw.cloud = cloud
        return gw
    return of


@pytest.fixture
def both_kinds(make):
    return make(models={"demo-chat": profile("demo-chat")})


def ask(gw, text="How was your day?", **more):
    reply = gw.chat(text, **more)
    assert reply.status == 200 and reply.complete, reply
    return reply


def recording(gw):
    """Waits until requests are written down again."""
    return wait_until(lambda: state(gw)["recording"], 15, "a recorder that writes", step=0.05)


def written(gw, n, timeout=10):
    wait_until(lambda: total(gw)["requests"] == n, timeout, f"{n} requests written down", step=0.05)


# --- one request ---

def check_times(entry):
    assert abs(entry["at"] / 1000 - time.time()) < 60
    steps = [0, entry["sent_us"], entry["first_us"], entry["total_us"]]
    assert steps == sorted(steps), entry


def test_requests_to_a_local_model(make_gateway):
    gw = make_gateway({"demo-chat": profile("demo-chat", PRELOAD="yes")}, {"20-auto.conf": auto_route("demo-chat")})
    gw.wait_profile("demo-chat", "ready")
    reply = ask(gw, max_tokens=5)
    entry = record(gw, reply)
    assert (entry["outcome"], entry["status"], entry["path"]) == ("ok", 200, "/chat/completions"), entry
    assert (entry["model"], entry["route"], entry["target"]) == ("auto", "auto", "demo-chat"), entry
    assert (entry["kind"], entry["attempts"], entry["stream"], entry["cache_hit"]) == ("local", 1, False, False)
    spent = reply.json["usage"]
    assert (entry["prompt"], entry["output"]) == (spent["prompt_tokens"], spent["completion_tokens"]), entry
    assert entry["complexity"] < 0.4 and entry["reason"] and "cost" not in entry and "key" not in entry
    assert {p["name"] for p in entry["policies"]} == {"capability", "regex", "complexity"}
    assert [p["target"] for p in entry["plan"]] == ["demo-chat"]
    check_times(entry)
    streamed = ask(gw, "Tell me again how it was.", stream=True, max_tokens=6)
    entry = record(gw, streamed)
    assert (entry["outcome"], entry["stream"], entry["output"]) == ("ok", True, 6), entry
    check_times(entry)
    endless = {"model": "auto", "stream": True, "max_tokens": 4000, "ignore_eos": True,
               "messages": [{"role": "user", "content": "Tell me a long story."}]}
    with gw.open("POST", "/v1/chat/completions", endless) as left:
        seen = left.events()
        for _ in range(3):
            next(seen)
        left.reset()
        entry = record(gw, left)
    assert (entry["outcome"], entry["status"], entry["stream"]) == ("cancelled", 0, True), entry
    check_times(entry)
    assert total(gw)["cancelled"] == 1
    expect_equal_sums(gw)


def test_requests_to_a_cloud_and_from_the_cache(make):
    gw = make(route={"CACHE": "10m"})
    entry = record(gw, ask(gw, temperature=0))
    assert (entry["target"], entry["kind"], entry["outcome"]) == ("cloud", "openai", "ok"), entry
    assert (entry["prompt"], entry["output"]) == (PROMPT, OUTPUT)
    assert entry["cost"] == pytest.approx(COST, rel=1e-4)
    check_times(entry)
    again = record(gw, ask(gw, temperature=0))
    assert (again["outcome"], again["cache_hit"]) == ("cached", True), again
    assert "cost" not in again
    streamed = record(gw, ask(gw, "And the night?", stream=True))
    assert (streamed["outcome"], streamed["stream"]) == ("ok", True)
    sums = total(gw)
    assert (sums["requests"], sums["cache_hits"], sums["errors"]) == (3, 1, 0)
    assert len(gw.cloud.posts()) == 2
    expect_equal_sums(gw)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("model", ["demo-chat", "cloud"])
def test_streams_are_counted_as_whole_answers_are(both_kinds, model, protocol):
    """The same tokens and the same money, whether the caller wants to see a count or not."""
    gw = both_kinds
    entries = []
    for stream in (False, True):
        body = speak_ask(protocol, "Hi there", model, stream, 4)
        reply = gw.post(PATHS[protocol], body, headers_of(protocol))
        assert reply.status == 200 and reply.complete, reply
        entries.append(record(gw, reply))
        if stream and protocol == CHAT:
            assert not any(usage_of(event) for event in reply.events), "nobody asked for it"
    whole, streamed = entries
    assert {key: streamed.get(key) for key in ("prompt", "output", "cost")} == {
        key: whole.get(key) for key in ("prompt", "output", "cost")}, (whole, streamed)
    assert streamed["prompt"] >= streamed.get("cached", 0)


def usage_of(event):
    return None if event.done else event.json.get("usage")


def test_requests_that_came_to_nothing(make):
    gw = make()
    wrong = gw.chat("hi", model="nothing")
    assert wrong.status == 404
    entry = record(gw, wrong)
    assert (entry["outcome"], entry["status"], entry["model"]) == ("refused", 404, "nothing"), entry
    assert "target" not in entry and "first_us" not in entry
    broken = gw.post("/v1/chat/completions", b"{broken")
    assert broken.status == 400
    assert record(gw, broken)["outcome"] == "refused"
    gw.cloud.fail("status", status=500)
    failed = gw.chat("hi")
    assert failed.status >= 500
    entry = record(gw, failed)
    assert (entry["outcome"], entry["status"]) == ("error", failed.status), entry
    assert "cloud" in entry["failures"] and "cost" not in entry
    sums = total(gw)
    assert (sums["requests"], sums["refused"], sums["errors"], sums["cost"]) == (3, 2, 1, 0)
    expect_equal_sums(gw)


def test_a_model_name_as_long_as_a_book(make):
    """What a client says may be long: it is recorded in short, or not at all, and costs nobody else."""
    gw = make()
    for size in (5_000, 100_000, 1_000_000):
        reply = gw.chat("hi", model="n" * size)
        assert reply.status in (404, 400, 413), reply.status
        entry = record(gw, reply)
        assert entry["outcome"] == "refused" and len(json.dumps(entry)) < 20_000, len(json.dumps(entry))
    record(gw, ask(gw))
    expect_equal_sums(gw)


def test_names_of_clients_do_not_reach_the_terminal(make):
    gw = make()
    assert gw.chat("hi", model="red\x1b[31m\r\nnew line \x9b1m").status == 404
    written(gw, 1)
    shown = gw.cli("usage", "--by", "model").stdout + gw.cli("usage", "--requests", "5").stdout
    odd = [c for c in shown if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]
    assert not odd and "\nnew line" not in shown, shown


# --- who may ask ---

def test_only_an_admin_may_ask_and_each_key_has_its_sums(make, tmp_path):
    keys = Keys(tmp_path)
    admin, one, two = keys.add("admin", ADMIN="yes"), keys.add("one"), keys.add("two")
    gw = make(gateway={"KEYS": keys.path})
    replies = {key: ask(gw, headers=bearer(key)) for key in (one, two, admin)}
    ask(gw, headers=bearer(one))
    for path in ("/api/usage", "/api/requests", "/api/requests/req_1", "/api/events", "/logs/stream"):
        assert gw.get(path).status == 401, path
        assert gw.get(path, bearer(one)).status == 403, path
    assert record(gw, replies[two], bearer(admin))["key"] == "two"
    by_key = {r["name"]: r["requests"] for r in usage(gw, "key", bearer(admin))["rows"]}
    assert by_key["one"] == 2 and by_key["two"] == 1 and by_key["admin"] == 1, by_key
    assert len(listed(gw, bearer(admin), key="one")) == 2
    # a key may speak of its own requests, an admin of any
    asked = replies[one].header("x-pointsman-request")
    for key, value in ((two, 0.25), (one, 0.5), (two, 0.75)):
        assert gw.post("/v1/feedback", {"request": asked, "score": value}, bearer(key)).status in (200, 202)
    wait_until(lambda: record(gw, replies[one], bearer(admin)).get("score") == 0.5, 10, "what the owner said")
    assert gw.post("/v1/feedback", {"request": asked, "label": "bad"}, bearer(admin)).status == 200
    wait_until(lambda: record(gw, replies[one], bearer(admin)).get("score") == 0, 10, "what the admin said")
    assert record(gw, replies[one], bearer(admin))["label"] == "bad"
    expect_equal_sums(gw, bearer(admin))


def test_feedback_of_a_request_that_another_worker_answered(make):
    """Said at once: it may be on its way before the record is."""
    gw = make(workers=2)
    many = 150
    for n in range(many):
        reply = ask(gw)
        said = gw.post("/v1/feedback", {"request": reply.header("x-pointsman-request"), "score": n % 2})
        assert said.status in (200, 202)
    written(gw, many)
    wait_until(lambda: all("score" in r for r in listed(gw)), 5, "scores of all", step=0.05)
    assert total(gw)["score"] == 0.5
    assert usage(gw, "target")["rows"][0]["score"] == 0.5


@pytest.mark.parametrize("path, word", [
    ("/api/usage?by=rout", "did you mean route"), ("/api/usage?since=yesterday", "since"),
    ("/api/usage?until=-1", "until"), ("/api/requests?limit=0", "limit"), ("/api/requests?limit=1001", "limit"),
    ("/api/requests?limit=x", "limit"), ("/api/requests?before=x", "before"), ("/api/requests?since=1e3", "since")])
def test_questions_that_cannot_be_understood(shared, path, word):
    reply = shared.get(path)
    assert reply.status == 400 and word in reply.json["error"]["message"], reply


def test_other_methods_are_refused(shared):
    for path in ("/api/usage", "/api/requests", "/api/requests/req_1", "/api/events"):
        assert shared.post(path, {}).status == 405, path


@pytest.fixture(scope="module")
def shared(make_module_gateway):
    """A gateway that has answered nothing: for questions that are wrong whatever there is."""
    return make_module_gateway({"demo-chat": profile("demo-chat")}, {"20-auto.conf": auto_route("demo-chat")})


def test_questions_may_be_narrowed_and_lists_come_in_pages(make):
    gw = make(routes={"30-more.conf": {"route": {"MODELS": "more", "TARGETS": "cloud", "POLICIES": "capability"}}})
    begun = int(time.time() * 1000)
    first = [ask(gw, model="more").header("x-pointsman-request") for _ in range(3)]
    middle = int(time.time() * 1000) + 1
    wait_until(lambda: time.time() * 1000 > middle + 1, 5, "another millisecond", step=0.001)
    last = [ask(gw).header("x-pointsman-request") for _ in range(4)]
    written(gw, 7)
    assert [r["id"] for r in listed(gw)] == (first + last)[::-1]
    assert [r["id"] for r in listed(gw, route="more")] == first[::-1]
    assert [r["id"] for r in listed(gw, since=middle)] == last[::-1]
    assert [r["id"] for r in listed(gw, until=middle)] == first[::-1]
    assert total(gw, since=begun, until=middle)["requests"] == 3
    assert total(gw, route="auto")["requests"] == 4 and total(gw, key="nobody")["requests"] == 0
    by_route = rows(gw, "route")
    assert (by_route["more"]["requests"], by_route["auto"]["requests"]) == (3, 4)
    assert by_route["more"]["cost"] == pytest.approx(3 * COST, rel=1e-4)
    page, seen = gw.get(query("/api/requests", limit=3)).json, []
    while True:
        seen += [r["id"] for r in page["requests"]]
        if page["before"] is None:
            break
        assert len(page["requests"]) == 3
        ask(gw)  # what comes meanwhile does not shift the pages
        page = gw.get(query("/api/requests", limit=3, before=page["before"])).json
    assert seen == (first + last)[::-1]


# --- what is kept ---

def test_nothing_is_recorded_where_that_is_wished(make):
    gw = make(gateway={"USAGE": "no"})
    ask(gw)
    reply = gw.get("/api/usage")
    assert reply.status >= 400 and "USAGE=no" in reply.json["error"]["message"], reply
    assert not state(gw)["recording"] and "error" not in state(gw)
    assert not list(gw.state.glob("usage.db*")) and recorder(gw) is None
    after(gw, gw.write_route, "00-gateway.conf", {"gateway": {"USAGE": "yes"}})
    entry = record(gw, ask(gw))
    assert entry["outcome"] == "ok" and total(gw)["requests"] == 1
    pid = recorder(gw)
    after(gw, gw.write_route, "00-gateway.conf", {"gateway": {"USAGE": "no"}})
    wait_until(lambda: not alive(pid), 10, "the end of the recorder")
    ask(gw)
    after(gw, gw.write_route, "00-gateway.conf", {"gateway": {"USAGE": "yes"}})
    wait_until(lambda: recorder(gw), 10, "a recorder")
    record(gw, ask(gw))
    assert total(gw)["requests"] == 2


@pytest.mark.parametrize("keep", ["no", "prompts", None])
def test_prompts_are_kept_only_where_that_is_wished(make, keep):
    gw = make(gateway={"RECORD": keep})
    text = "Xylographic quokkas juggle marmalade. Grüße ☃"
    entry = record(gw, ask(gw, text))
    gw.stop()
    assert (b"Xylographic" in files(gw)) == (keep == "prompts")
    assert (entry.get("prompt_text") == text) == (keep == "prompts"), entry
    # answers are never kept
    assert gw.cloud.text.encode() not in files(gw)


def test_a_list_of_long_records(make):
    """Prompts take six times their size when they are told; a list may be cut, and goes on where it was."""
    gw = make(gateway={"RECORD": "prompts"})
    text = "\x01" * 16_000
    ids = [ask(gw, f"{n} {text}").header("x-pointsman-request") for n in range(120)]
    written(gw, 120)
    pid = recorder(gw)
    assert [r["id"] for r in listed(gw)] == ids[::-1]
    assert gw.cli("usage", "--requests", "120", "--json").stdout.count('"prompt_text"') > 0
    assert recorder(gw) == pid and "the recorder ended" not in gw.log


def test_more_names_than_an_answer_holds(make):
    gw = make()
    record(gw, ask(gw))
    gw.stop()
    now = int(time.time() * 1000)
    db = sqlite3.connect(database(gw))
    with db:
        db.executemany("INSERT INTO requests(id,at,path,status,outcome,attempts,stream,cache_hit,total_us,model)"
                       " VALUES(?,?,'/chat/completions',404,'refused',0,0,0,1000,?)",
                       ((f"r{n}", now, f"{n}" + "m" * 120) for n in range(60_000)))
    db.close()
    gw.start()
    pid = wait_until(lambda: recorder(gw), 10, "a recorder")
    reply = gw.get("/api/usage?by=model")
    assert reply.status in (200, 400, 413), reply
    assert total(gw)["requests"] == 60_001 and recorder(gw) == pid
    if reply.status == 200:
        assert sum(row["requests"] for row in reply.json["rows"]) == 60_001


def test_the_files_are_for_their_owner_alone(make):
    gw = make()
    record(gw, ask(gw))
    seen = {path.name: stat.S_IMODE(path.stat().st_mode) for path in gw.state.glob("usage.db*")}
    assert "usage.db" in seen and set(seen.values()) == {0o600}, seen


def fill(gw, n, at, padding=0):
    """Rows as if `n` requests had come at that time."""
    db = sqlite3.connect(database(gw), timeout=10)
    with db:
        db.executemany("INSERT INTO requests(id,at,path,status,outcome,attempts,stream,cache_hit,total_us,detail)"
                       " VALUES(?,?,'/chat/completions',200,'ok',1,0,0,1000,?)",
                       ((f"{at}-{i}", at, json.dumps({"failures": "x" * padding})) for i in range(n)))
    db.close()


def test_what_is_old_or_too_much_goes(make):
    gw = make(gateway={"USAGE_KEEP": "30d", "USAGE_MAX": 4})
    record(gw, ask(gw))
    gw.stop()
    day = 86_400_000
    now = int(time.time() * 1000)
    fill(gw, 9000, now - 31 * day, padding=600)
    fill(gw, 5, now - 29 * day)
    full = database(gw).stat().st_size
    assert full > 6 << 20
    gw.start()
    wait_until(lambda: total(gw)["requests"] == 6, 20, "the old ones to go", step=0.1)
    gw.stop()
    assert database(gw).stat().st_size < 1 << 20, (full, database(gw).stat().st_size)
    fill(gw, 9000, now - day, padding=600)
    gw.start()
    wait_until(lambda: total(gw)["requests"] < 9000, 20, "too much to go", step=0.1)
    ids = {r["id"] for r in listed(gw)}
    assert f"{now - 29 * day}-0" not in ids, "the oldest go first"
    ask(gw)
    gw.stop()
    assert database(gw).stat().st_size <= 4 << 20


# --- what breaks ---

def test_a_recorder_that_is_killed_loses_nothing(make):
    gw = make(workers=2)
    with Crowd(3, lambda n: ask(gw, f"question {n}")) as crowd:
        for _ in range(3):
            before = crowd.count()
            wait_until(lambda: crowd.count() > before + 15, 20, "requests")
            kill_recorder(gw)
        before = crowd.count()
        wait_until(lambda: crowd.count() > before + 15, 20, "requests")
    assert not crowd.bad()
    written(gw, crowd.count())
    ids = [r["id"] for r in listed(gw)]
    assert len(ids) == len(set(ids)) == crowd.count()
    assert set(ids) == {reply.header("x-pointsman-request") for _, reply in crowd.replies}
    expect_equal_sums(gw)
    assert state(gw)["recording"] and state(gw)["dropped"] == 0


def test_a_recorder_that_stalls_is_in_nobodys_way(make):
    """As on a disk that does not answer: requests, state and even the end do not wait for it."""
    gw = make(workers=2)
    record(gw, ask(gw))
    pid = recorder(gw)
    os.kill(pid, signal.SIGSTOP)
    slowest = 0
    for _ in range(100):
        began = time.monotonic()
        ask(gw)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 2, slowest
    assert state(gw)["waiting_bytes"] > 0
    with gw.open("GET", "/api/usage") as waiting:
        # who asks and goes away leaves nothing behind
        waiting.reset()
    os.kill(pid, signal.SIGCONT)
    written(gw, 101)
    wait_until(lambda: state(gw)["waiting_bytes"] == 0, 10, "all of it to be safe")
    os.kill(recorder(gw), signal.SIGSTOP)
    ask(gw)
    began = time.monotonic()
    assert gw.stop() == 0
    assert time.monotonic() - began < 8 and not alive(pid)


def check_whole(gw):
    assert read(gw, "PRAGMA integrity_check") == [("ok",)]


def test_a_manager_that_is_killed_loses_a_moment_at_most(make):
    gw = make()
    early = [ask(gw) for _ in range(10)]
    record(gw, early[-1])
    ask(gw)
    gw.kill_manager()
    wait_until(lambda: gw.start() if gw.proc.poll() is not None else gw, 10, "a manager")
    last = record(gw, ask(gw))
    ids = {r["id"] for r in listed(gw)}
    assert {reply.header("x-pointsman-request") for reply in early} <= ids
    assert last["id"] in ids and total(gw)["requests"] in (11, 12)
    check_whole(gw)


def test_the_last_requests_before_the_end_are_written(make):
    gw = make()
    asked = [ask(gw).header("x-pointsman-request") for _ in range(20)]
    gw.stop()
    ids = {row[0] for row in read(gw, "SELECT id FROM requests")}
    assert ids == set(asked)
    check_whole(gw)


def move_away(gw):
    for path in gw.state.glob("usage.db*"):
        path.rename(path.with_name(f"away-{path.name}"))


def test_a_file_that_is_no_database(make):
    gw = make()
    gw.stop()
    for path in gw.state.glob("usage.db*"):
        path.unlink()
    database(gw).write_bytes(os.urandom(8192))
    gw.start()
    assert ask(gw)
    trouble = wait_until(lambda: state(gw).get("error"), 10, "the trouble to be told")
    assert str(database(gw)) in trouble and "move the file away" in trouble, trouble
    assert not state(gw)["recording"]
    reply = gw.get("/api/usage")
    assert reply.status == 503 and "move the file away" in reply.json["error"]["message"], reply
    asked = [ask(gw).header("x-pointsman-request") for _ in range(5)]
    assert "move the file away" in gw.log
    move_away(gw)
    recording(gw)
    # what came in the meantime was kept for it
    wait_until(lambda: len(listed(gw)) == 6, 10, "what was asked meanwhile", step=0.05)
    assert set(asked) < {r["id"] for r in listed(gw)}
    assert "error" not in state(gw)
    check_whole(gw)


def test_recording_goes_on_by_itself_without_a_request(make):
    """A file that was moved away is replaced, and the state says so, even where nobody asks anything."""
    gw = make()
    gw.stop()
    database(gw).write_bytes(os.urandom(8192))
    gw.start()
    wait_until(lambda: state(gw).get("error"), 10, "the trouble to be told")
    move_away(gw)
    recording(gw)
    assert "error" not in state(gw)


def test_a_database_that_is_damaged_meanwhile(make):
    gw = make()
    for _ in range(5):
        ask(gw)
    written(gw, 5)
    gw.stop()
    fill(gw, 4000, int(time.time() * 1000) - 1000, padding=200)
    gw.start()
    written(gw, 4005)
    size = database(gw).stat().st_size
    with database(gw).open("r+b") as file:
        for at in range(4096, size, 4096):
            file.seek(at)
            file.write(b"\xa5" * 4096)
    replies = [ask(gw) for _ in range(10)]
    kill_recorder(gw)
    replies += [ask(gw) for _ in range(10)]
    trouble = wait_until(lambda: state(gw).get("error"), 20, "the trouble to be told", step=0.05)
    assert "move the file away" in trouble, trouble
    assert ask(gw)
    move_away(gw)
    replies.append(ask(gw))
    recording(gw)
    wait_until(lambda: listed(gw), 10, "new records", step=0.05)
    check_whole(gw)


class SmallDisk(Gateway):
    """A gateway whose state is on a disk of its own, of 24 MiB."""

    def command_line(self):
        mount = f'mount -t tmpfs -o size=24m,mode=700 none "{self.state}" && exec "$@"'
        return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", *super().command_line()]

    @property
    def disk(self):
        return f"/proc/{self.proc.pid}/root{self.state}"


@pytest.fixture
def small_disk(make_cloud):
    probe = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
                            "mount -t tmpfs -o size=1m none /mnt"], capture_output=True)
    if probe.returncode:
        pytest.skip("no disk can be mounted here")
    cloud = make_cloud("openai")
    gw = SmallDisk({"cloud": cloud.section(**PRICES)}, {"20-auto.conf": auto_route("cloud")}, env=ENV, start=False)
    yield gw
    gw.close()


def fill_disk(gw):
    """Not one byte is left. Returns the file to remove."""
    filler = f"{gw.disk}/filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return filler


def test_a_full_disk_stops_recording_and_nothing_else(small_disk):
    gw = small_disk
    gw.start()
    record(gw, ask(gw))
    filler = fill_disk(gw)
    asked = 1

    def told():
        nonlocal asked
        for _ in range(20):
            ask(gw)
        asked += 20
        return state(gw).get("error")

    trouble = wait_until(told, 60, "the full disk to be told")
    assert "full" in trouble and "make room" in trouble, trouble
    for _ in range(20):
        ask(gw)
    os.unlink(filler)
    recording(gw)
    written(gw, asked + 20, 30)
    assert state(gw)["dropped"] == 0
    expect_equal_sums(gw)


def test_a_full_disk_does_not_stop_serving_other_conversations(small_disk):
    """What the workers share lies in files, too: no page of them may be missing when it is wanted."""
    gw = small_disk
    gw.start()
    ask(gw)
    fill_disk(gw)
    workers = gw.get("/api/status").json["workers"]
    for n in range(60):
        ask(gw, f"Question {n} of another conversation")
    assert gw.get("/api/status").json["workers"] == workers
    # and one that begins now
    os.kill(workers[0]["pid"], signal.SIGKILL)
    wait_until(lambda: gw.get("/api/status").json["workers"] != workers, 10, "a new worker")
    for n in range(60):
        ask(gw, f"Question {n} of one more conversation")


# --- the command line ---

def rows_of(gw, *args):
    return list(csv.DictReader(io.StringIO(gw.cli("usage", *args, "--csv").stdout, newline="")))


def test_the_command_line(make):
    gw = make()
    reply = ask(gw)
    assert gw.chat("hi", model='odd "name", with\nlines').status == 404
    written(gw, 2)

    def check():
        answer = json.loads(gw.cli("usage", "--by", "target", "--json").stdout)
        assert answer["by"] == "target" and answer["total"]["requests"] == 2
        by_model = rows_of(gw, "--by", "model")
        assert {row["name"] for row in by_model} == {"auto", 'odd "name", with\nlines'}
        assert {row["requests"] for row in by_model} == {"1"}
        found = rows_of(gw, "--requests", "10")
        assert [row["id"] for row in found][1] == reply.header("x-pointsman-request")
        assert float(found[1]["cost"]) == pytest.approx(COST, rel=1e-4)
        assert (found[1]["stream"], found[0]["status"], found[0]["target"]) == ("false", "404", "")
        for since, n in (("1h", 2), ("2001-01-01", 2), ('2001-01-01 18:00', 2), ("2101-01-01", 0)):
            answer = json.loads(gw.cli("usage", "--since", since, "--json").stdout)
            assert answer["total"]["requests"] == n, since
        assert json.loads(gw.cli("usage", "--until", "1h", "--json").stdout)["total"]["requests"] == 0
        shown = gw.cli("usage").stdout
        assert time.strftime("%Y-%m-%d") in shown and shown.startswith("DAY") and "\nall " in shown
        assert "nothing was recorded" in gw.cli("usage", "--since", "2101-01-01").stdout
        assert reply.header("x-pointsman-request") in gw.cli("usage", "--requests", "2").stdout

    check()
    gw.stop()
    check()


def test_the_command_line_where_nothing_was_recorded(make):
    gw = make(gateway={"USAGE": "no"})
    done = gw.cli("usage", check=1)
    assert "USAGE=no" in done.stderr and not done.stdout
    gw.stop()
    done = gw.cli("usage", check=1)
    assert "nothing has been recorded" in done.stderr and str(gw.state) in done.stderr


@pytest.mark.parametrize("args, word", [
    (["--by", "weekday"], "put together by"), (["--since", "soon"], "soon"), (["--until", "2026-13-01"], "2026-13-01"),
    (["--since", "2026-01-31T18:00"], "2026-01-31T18:00"), (["--requests", "0"], "--requests"),
    (["--requests", "many"], "--requests"), (["--requests", "1001"], "--requests"), (["--json", "--csv"], "usage:"),
    (["today"], "usage:"), (["--bye"], "--bye"), (["--since"], "--since"), (["--since", "2026-02-31"], "2026-02-31")])
@pytest.mark.parametrize("runs", [True, False])
def test_what_the_command_line_does_not_understand(shared, tmp_path, args, word, runs):
    where = shared.state if runs else tmp_path
    done = subprocess.run([str(binary()), "usage", "--state", str(where), *args], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 2 and word in done.stderr and not done.stdout, done


def test_reading_while_it_is_written(make):
    """The sums never go back and never show half a request, whoever reads."""
    gw = make(workers=2)
    seen, plain = [], []
    with Crowd(2, lambda n: ask(gw)) as crowd:
        wait_until(lambda: crowd.count() > 5, 20, "requests")
        record(gw, crowd.replies[0][1])
        while crowd.count() < 150 or len(set(seen)) < 5:
            sums = total(gw)
            assert sums["prompt"] == PROMPT * sums["requests"] and sums["output"] == OUTPUT * sums["requests"], sums
            seen.append(sums["requests"])
            plain.append(read(gw, "SELECT count(*), total(prompt) FROM requests")[0])
    assert seen == sorted(seen), seen
    assert plain == sorted(plain) and all(prompt == PROMPT * n for n, prompt in plain), plain
    written(gw, crowd.count())
    assert summed(gw)[0] == {"200": crowd.count()}
