"""What a key may use up: requests and tokens a minute, and money a month."""

import os
import signal
import threading
import time
from calendar import monthrange
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Crowd, auto_route, wait_until
from keys import (COMPILER, Clock, Keys, after, bearer, digest, figure, fresh, listed,
                  own_header)
from script import ScriptedCloud
from speak import CHAT, COMPLETIONS, MESSAGES, PATHS, PROTOCOLS, RESPONSES, ask, error_of
from waits import Later

ENV = {"CLOUD_KEY": "sk-cloud-key"}
CLIENTS = 64
WORKERS = 2
# an answer of the stand-in cloud counts 11 + 14 tokens; at these prices it costs 25
TOKENS = 25
PRICES = {"PRICE_IN": 1000000, "PRICE_OUT": 1000000}
CLOCK = Path(__file__).resolve().parent / "clock.c"
SERVED = {CHAT: "openai", COMPLETIONS: "openai", RESPONSES: "openai", MESSAGES: "anthropic"}


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path)


@pytest.fixture
def clock(tmp_path):
    if not COMPILER:
        pytest.skip("no C compiler for the clock that is moved")
    return Clock(tmp_path, CLOCK)


@pytest.fixture
def setup(make_gateway, make_cloud, keys):
    """One cloud behind a gateway of two workers; the clock may be the test's own."""
    def make(protocol=CHAT, clock=None, cloud=None, route=None, models=None, **section):
        cloud = cloud or make_cloud(SERVED[protocol])
        gw = make_gateway({"cloud": cloud.section(**section), **(models or {})},
                          {**keys.gateway(), "20-auto.conf": auto_route(route or "cloud")},
                          workers=WORKERS, env={**ENV, **(clock.env if clock else {})})
        return gw, cloud
    return make


def send(gw, key, protocol=CHAT, model="cloud", stream=False, **more):
    return gw.post(PATHS[protocol], ask(protocol, "Hello", model, stream, **more),
                   own_header(protocol, key))


def crowd(gw, key, rounds, clients=CLIENTS, **how):
    """So many clients, each with so many requests, all at once. The replies."""
    start = threading.Barrier(clients)

    def run(_):
        start.wait()
        return [send(gw, key, **how) for _ in range(rounds)]

    with ThreadPoolExecutor(clients) as pool:
        return [reply for part in pool.map(run, range(clients)) for reply in part]


def left(gw, key, what):
    """What the next answer says is left, of tokens or requests."""
    return int(send(gw, key).header(f"x-ratelimit-remaining-{what}"))


def check_refused(protocol, reply, budget=False):
    assert reply.status == 429 and error_of(protocol, reply), reply
    assert reply.header("content-type").startswith("application/json")
    error = reply.json["error"]
    if not budget:
        assert int(reply.header("retry-after")) >= 1, reply.headers
        wanted = "rate_limit_error" if protocol == MESSAGES else None
        assert wanted is None or error["type"] == wanted, reply
    else:
        assert reply.header("x-should-retry") == "false", reply.headers
        # of Anthropic's own types the nearest; OpenAI's clients look at the code
        wanted = "rate_limit_error" if protocol == MESSAGES else "insufficient_quota"
        assert wanted in (error["type"], error.get("code")), reply


# --- requests per minute ---


def test_never_more_requests_than_allowed(setup, keys, measured):
    key = keys.add("one", RPM=20)
    gw, cloud = setup()
    replies = crowd(gw, key, 4)
    good = [r for r in replies if r.status == 200]
    for reply in replies:
        if reply.status != 200:
            check_refused(CHAT, reply)
    # a request is counted when it comes, so that none is in flight uncounted
    assert len(good) == len(cloud.posts()) == 20
    remaining = sorted(int(r.header("x-ratelimit-remaining-requests")) for r in good)
    assert remaining == list(range(20)), remaining
    measured(f"RPM=20: {len(good)} of {len(replies)} by {CLIENTS} clients, {WORKERS} workers")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_refused_as_the_protocol_refuses(setup, keys, protocol, stream):
    key = keys.add("one", RPM=1)
    gw, _ = setup(protocol)
    assert send(gw, key, protocol, stream=stream).status == 200
    check_refused(protocol, send(gw, key, protocol, stream=stream))


def test_headers_of_requests(setup, keys):
    key, free = keys.add("one", RPM=3), keys.add("free")
    gw, _ = setup()
    for n in (2, 1, 0):
        reply = send(gw, key)
        assert reply.header("x-ratelimit-limit-requests") == "3", reply.headers
        assert reply.header("x-ratelimit-remaining-requests") == str(n), reply.headers
        assert reply.header("x-ratelimit-limit-tokens") is None
    refused = send(gw, key)
    assert refused.status == 429
    assert refused.header("x-ratelimit-remaining-requests") == "0", refused.headers
    assert 1 <= int(refused.header("retry-after")) <= 61
    assert send(gw, free).header("x-ratelimit-limit-requests") is None


def test_the_window_slides(setup, keys, clock):
    """Three at 0 s, 20 s and 40 s: each makes room 60 s later, and Retry-After says when."""
    key = keys.add("one", RPM=3)
    gw, _ = setup(clock=clock)
    for _ in range(3):
        assert send(gw, key).status == 200
        clock.advance(20.5)
    # it is 61.5 s now: the first is out of the window, the others are in it
    assert send(gw, key).status == 200
    refused = send(gw, key)
    check_refused(CHAT, refused)
    wait = int(refused.header("retry-after"))
    assert 17 <= wait <= 21, wait
    clock.advance(wait - 4)
    assert send(gw, key).status == 429, "before its time"
    clock.advance(4)
    assert send(gw, key).status == 200, "at its time"
    clock.advance(61)
    assert [send(gw, key).status for _ in range(4)] == [200, 200, 200, 429]


def test_refused_requests_do_not_count(setup, keys, clock):
    """Who knocks all the time gets in as soon as there is room."""
    key = keys.add("one", RPM=2)
    gw, _ = setup(clock=clock)
    assert [send(gw, key).status for _ in range(2)] == [200, 200]
    for _ in range(11):
        clock.advance(5)
        assert send(gw, key).status == 429
    clock.advance(6)
    assert send(gw, key).status == 200


def test_keys_count_for_themselves(setup, keys):
    one, two = keys.add("one", RPM=2), keys.add("two", RPM=2)
    gw, _ = setup()
    assert [send(gw, one).status for _ in range(3)] == [200, 200, 429]
    assert [send(gw, two).status for _ in range(3)] == [200, 200, 429]


def test_a_new_limit_counts_what_was(setup, keys):
    key = keys.add("one", RPM=2)
    gw, _ = setup()
    assert [send(gw, key).status for _ in range(3)] == [200, 200, 429]
    after(gw, keys.add, "one", RPM=4)
    assert [send(gw, key).status for _ in range(3)] == [200, 200, 429]


def test_the_limits_of_a_cloud_do_not_pass_for_the_keys(setup, keys, tmp_path):
    """A cloud tells its own numbers in the same headers: the caller gets the key's, once."""
    key = keys.add("one", RPM=5, TPM=5000)
    with ScriptedCloud(tmp_path, CHAT) as cloud:
        cloud.lenient = True
        cloud.say(text="Hello there.", headers={
            f"x-ratelimit-{what}-{kind}": 99999
            for what in ("limit", "remaining") for kind in ("requests", "tokens")})
        gw, _ = setup(cloud=cloud)
        reply = send(gw, key, stream=True)
    assert reply.status == 200, reply
    given = [(k.lower(), v) for k, v in reply.headers if k.lower().startswith("x-ratelimit-")]
    assert len(given) == len(dict(given)), given
    assert dict(given)["x-ratelimit-limit-requests"] == "5"
    assert dict(given)["x-ratelimit-remaining-requests"] == "4"
    assert dict(given)["x-ratelimit-limit-tokens"] == "5000"


# --- tokens per minute ---


@pytest.mark.parametrize("protocol,stream", [
    (CHAT, False), (CHAT, True), (COMPLETIONS, False), (RESPONSES, False), (RESPONSES, True),
    (MESSAGES, False), (MESSAGES, True)])
def test_tokens_are_what_the_answerer_counted(setup, keys, protocol, stream):
    """Also of a stream whose caller did not ask for usage."""
    key = keys.add("one", TPM=3 * TOKENS)
    gw, _ = setup(protocol)
    for n in range(3):
        reply = send(gw, key, protocol, stream=stream)
        assert reply.status == 200, (n, reply)
        assert reply.header("x-ratelimit-limit-tokens") == str(3 * TOKENS)
        assert reply.header("x-ratelimit-remaining-tokens") == str((3 - n) * TOKENS), n
    check_refused(protocol, send(gw, key, protocol, stream=stream))


def test_tokens_slide_out_of_the_window(setup, keys, clock):
    key = keys.add("one", TPM=2 * TOKENS)
    gw, _ = setup(clock=clock)
    assert send(gw, key).status == 200
    clock.advance(30)
    assert send(gw, key).status == 200
    refused = send(gw, key)
    check_refused(CHAT, refused)
    wait = int(refused.header("retry-after"))
    assert 26 <= wait <= 31, wait
    clock.advance(wait)
    assert send(gw, key).status == 200
    assert send(gw, key).status == 429
    clock.advance(61)
    assert send(gw, key).header("x-ratelimit-remaining-tokens") == str(2 * TOKENS)


def test_more_tokens_only_by_what_was_in_flight(setup, keys, measured):
    key = keys.add("one", TPM=10 * TOKENS)
    gw, cloud = setup()
    replies = crowd(gw, key, 4)
    good = [r for r in replies if r.status == 200]
    assert 10 <= len(good) <= 10 + CLIENTS, len(good)
    assert len(good) == len(cloud.posts())
    assert send(gw, key).status == 429
    assert figure(listed(gw, keys)["one"], "token") in (None, len(good) * TOKENS)
    measured(f"TPM for 10 answers: {len(good)} of {len(replies)} by {CLIENTS} clients")


def test_tokens_of_all_that_was_in_flight_are_charged(setup, keys):
    """Answers that are held back while the limit is reached still count when they end."""
    key = keys.add("one", TPM=1000)
    gw, cloud = setup()
    cloud.fail("stall_mid", n=99)
    waiting = [Later(send, gw, key) for _ in range(16)]
    cloud.wait_posts(16)
    cloud.heal()
    for one in waiting:
        one.result()
    now = left(gw, key, "tokens")
    cut = [one for one in waiting if one.result().status != 200]
    assert now == 1000 - TOKENS * (16 - len(cut)), (now, len(cut))


def test_a_client_that_leaves_is_no_way_around(setup, keys):
    """What was counted before it left is charged, or at least nothing breaks for the next."""
    key = keys.add("one", TPM=100 * TOKENS, RPM=50)
    gw, cloud = setup()
    cloud.fail("stall_mid", n=3)
    exchange = gw.open("POST", PATHS[CHAT], ask(CHAT, "Hello", "cloud", True), bearer(key))
    next(exchange.events())
    exchange.reset()
    wait_until(lambda: cloud.left == 1, 10, "the cloud to be left")
    cloud.heal()
    assert left(gw, key, "requests") == 48
    assert left(gw, key, "tokens") <= 99 * TOKENS


# --- budgets ---


def spent(gw, keys, name="one"):
    return figure(listed(gw, keys)[name], "spent")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_budget_ends(setup, keys, protocol):
    key = keys.add("one", BUDGET=60)
    gw, cloud = setup(protocol, **PRICES)
    for _ in range(3):
        assert send(gw, key, protocol).status == 200
    for stream in (False, True):
        check_refused(protocol, send(gw, key, protocol, stream=stream), budget=True)
    assert len(cloud.posts()) == 3
    assert spent(gw, keys) == 75


def test_prices_are_those_of_the_target_that_answered(setup, keys, make_cloud):
    """A failed attempt at the dear one costs nothing."""
    key = keys.add("one", BUDGET=1000)
    dear = make_cloud("openai")
    gw, _ = setup(models={"dear": dear.section(STRENGTH=1, PRICE_IN=1000000, PRICE_OUT=1000000)},
                  route="dear,cloud", PRICE_IN=10, PRICE_OUT=100, STRENGTH=0.1)
    dear.fail("status", status=503)
    for stream in (False, True):
        reply = send(gw, key, model="auto", stream=stream)
        assert reply.status == 200 and reply.header("x-pointsman-target") == "cloud", reply
    wanted = 2 * (11 * 10 + 14 * 100) / 1e6
    assert abs(spent(gw, keys) - wanted) < 1e-9, spent(gw, keys)
    dear.heal()
    assert send(gw, key, model="dear").status in (200, 503)


def test_what_has_no_price_costs_nothing(setup, keys):
    key = keys.add("one", BUDGET=0.01)
    gw, _ = setup()
    assert [send(gw, key).status for _ in range(5)] == [200] * 5
    assert spent(gw, keys) == 0


def test_small_sums_add_up(setup, keys):
    key = keys.add("one", BUDGET=0.001)
    gw, _ = setup(PRICE_IN=3, PRICE_OUT=15)
    each = (11 * 3 + 14 * 15) / 1e6
    good = sum(r.status == 200 for r in [send(gw, key) for _ in range(8)])
    assert good == 5, (good, each)
    assert abs(spent(gw, keys) - 5 * each) < 1e-9, spent(gw, keys)


def to_the_end_of_the_month(now):
    """Seconds from then until a calendar month ends, UTC."""
    at = time.gmtime(now)
    days = monthrange(at.tm_year, at.tm_mon)[1] - at.tm_mday + 1
    return days * 86400 - at.tm_hour * 3600 - at.tm_min * 60 - at.tm_sec


def test_a_budget_begins_anew_with_the_month(setup, keys, clock, monkeypatch):
    """The calendar's month in UTC, not 30 days from the first request."""
    if to_the_end_of_the_month(clock.now()) < 60:
        clock.advance(60)
    clock.advance(to_the_end_of_the_month(clock.now()) - 30)
    # a certificate made today would be too old by then
    for name, value in clock.env.items():
        monkeypatch.setenv(name, value)
    key = keys.add("one", BUDGET=20)
    gw, _ = setup(clock=clock, **PRICES)
    assert [send(gw, key).status for _ in range(2)] == [200, 429]
    clock.advance(10)
    assert send(gw, key).status == 429, "before midnight"
    clock.advance(25)
    assert [send(gw, key).status for _ in range(2)] == [200, 429]
    assert spent(gw, keys) == 25


def test_a_budget_by_a_crowd(setup, keys):
    key = keys.add("one", BUDGET=10 * 25)
    gw, cloud = setup(**PRICES)
    good = [r for r in crowd(gw, key, 3) if r.status == 200]
    assert 10 <= len(good) <= 10 + CLIENTS
    assert spent(gw, keys) == 25 * len(cloud.posts()) == 25 * len(good)
    check_refused(CHAT, send(gw, key), budget=True)


# --- what survives ---


def used(gw, key):
    """Three requests of five."""
    assert [send(gw, key).status for _ in range(3)] == [200] * 3


def check_rest(gw, keys, key):
    assert [send(gw, key).status for _ in range(3)] == [200, 200, 429]
    assert spent(gw, keys) == 125


@pytest.mark.parametrize("how", ["stop", "kill", "worker", "all at once"])
def test_counters_survive(setup, keys, how):
    key = keys.add("one", RPM=5, TPM=5000, BUDGET=1000)
    gw, _ = setup(**PRICES)
    used(gw, key)
    if how == "stop":
        gw.restart()
    elif how == "kill":
        gw.kill_manager()
        gw.start()
    elif how == "all at once":
        workers = gw.worker_pids()
        gw.kill_manager()
        for pid in workers:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has seen that the manager is gone
        gw.start()
    else:
        for pid in gw.worker_pids():
            gw.kill_worker(pid)
            wait_until(lambda pid=pid: pid not in gw.worker_pids()
                       and len(gw.worker_pids()) == WORKERS, 10, "a new worker")
    check_rest(gw, keys, key)


@pytest.mark.parametrize("text", [b"", b"x", b"\xff" * 100, b"\0" * 70000, b"\xff" * 70000],
                         ids=["empty", "short", "foreign", "zeros", "ones"])
def test_a_broken_file_of_counters_is_no_end(setup, keys, text):
    """Begun anew, or as far as it can be read: nothing crashes, and limits hold from then on."""
    key = keys.add("one", RPM=5)
    gw, _ = setup()
    used(gw, key)
    gw.stop()
    path = gw.state / "limits"
    assert path.is_file() and path.stat().st_mode & 0o077 == 0
    path.write_bytes(text)
    gw.start()
    statuses = [send(gw, key).status for _ in range(6)]
    assert statuses == sorted(statuses) and statuses[-1] == 429, statuses


def test_workers_that_die_while_they_count(setup, keys):
    """None takes the counters with it, and none leaves them locked."""
    key = keys.add("one", RPM=100000, TPM=100000000, BUDGET=1000000000)
    gw, cloud = setup(**PRICES)
    with Crowd(16, lambda n: send(gw, key)) as busy:
        for _ in range(6):
            want = busy.count() + 40
            wait_until(lambda want=want: busy.count() >= want, 20, "answers")
            pid = gw.kill_worker()
            wait_until(lambda pid=pid: pid not in gw.worker_pids()
                       and len(gw.worker_pids()) == WORKERS, 10, "a new worker")
    good = sum(r.status == 200 for _, r in busy.replies)
    assert not [r for _, r in busy.replies if r.status not in (200, None, 502, 503)]
    total = spent(gw, keys)
    assert 25 * good <= total <= 25 * len(cloud.posts()), (good, total, len(cloud.posts()))
    assert 100000 - left(gw, key, "requests") >= good


def test_more_keys_than_anybody_expected(setup, keys):
    """Nobody's month begins anew because many others came by."""
    key = keys.add("one", BUDGET=20)
    others = [fresh() for _ in range(1200)]
    keys.sections.update({f"k{n}": {"HASH": digest(other), "RPM": 1}
                          for n, other in enumerate(others)})
    keys.add("last", RPM=5)
    gw, _ = setup(**PRICES)
    assert [send(gw, key).status for _ in range(2)] == [200, 429]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda other: send(gw, other).status, others)) == {200}
    check_refused(CHAT, send(gw, key), budget=True)
    assert send(gw, others[-1]).status == 429
    assert (gw.state / "limits").stat().st_size < 64 << 20
