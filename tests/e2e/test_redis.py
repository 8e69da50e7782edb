"""Several gateways on one Redis: what they share, and what happens when it is not there."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import Crowd, auto_route, wait_until
from keys import Keys, after, bearer, fresh
from redis_server import PROGRAM, RedisServer
from script import PATHS, ScriptedCloud, ask
from speak import text_of

ENV = {"CLOUD_KEY": "sk-cloud-key"}
PASSWORD = "a-password-of-redis"
CLIENTS = 64
TURNS = [("user", "What is in the folder?")]
PRICES = {"PRICE_IN": 1000000, "PRICE_OUT": 1000000}

pytestmark = pytest.mark.skipif(
    not PROGRAM, reason="no redis-server or valkey-server: install one, or set REDIS_SERVER")


@pytest.fixture
def make_redis():
    mine = []

    def make(**how):
        mine.append(RedisServer(**how))
        return mine[-1]

    yield make
    for one in mine:
        one.close()


@pytest.fixture
def redis(make_redis):
    return make_redis()


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path)


@pytest.fixture
def clouds(tmp_path):
    mine = []

    def make(**said):
        folder = tmp_path / f"cloud{len(mine)}"
        folder.mkdir()
        cloud = ScriptedCloud(folder, "chat")
        cloud.lenient = True
        cloud.say(**{"text": "There are two files.", "fresh": 11, "output": 14, **said})
        mine.append(cloud)
        return cloud

    yield make
    for cloud in mine:
        cloud.close()


@pytest.fixture
def pair(make_gateway, clouds, keys, redis):
    """Two gateways with one Redis, one keys file and one cloud, each with its own folders."""
    def make(n=2, cloud=None, url=None, route=None, gateway=None, env=None, workers=1,
             models=None, **section):
        cloud = cloud or clouds()
        made = [make_gateway(
            {"cloud": cloud.section(**section), **(models or {})},
            {**keys.gateway(REDIS=url or redis.url, **(gateway or {})),
             "20-auto.conf": auto_route(policies="capability",
                                        **{"targets": "cloud", **(route or {})})},
            workers=workers, env={**ENV, **(env or {})}) for _ in range(n)]
        return (*made, cloud)
    return make


def send(gw, key=None, model="auto", turns=None, **more):
    return gw.post(PATHS["chat"], ask("chat", turns or TURNS, model, **more),
                   bearer(key) if key else {})


def up(gw, key=None):
    """What pointsman_redis_up says."""
    text = gw.get("/metrics", bearer(key) if key else {}).text
    found = re.findall(r"^pointsman_redis_up(?:\{[^}]*\})? (\S+)$", text, re.M)
    return [float(one) for one in found]


def wait_up(gw, value, key=None, timeout=10):
    """value 1: somebody has it; 0: it is said that nobody has."""
    wait_until(lambda: (now := up(gw, key)) and all(bool(n) == bool(value) for n in now), timeout,
               f"pointsman_redis_up {value}", step=0.05)


def told(gw, level=None):
    """Lines of the log that speak of Redis."""
    return [line for line in gw.log.splitlines() if "redis" in line.lower()
            and " msg=request " not in line and (not level or f" level={level} " in line)]


# --- what is shared ---


def test_requests_are_counted_together(pair, keys):
    key = keys.add("one", RPM=6)
    one, two, _ = pair()
    statuses = [send(gw, key).status for gw in (one, two) * 3]
    assert statuses == [200] * 6
    assert [send(gw, key).status for gw in (one, two)] == [429, 429]


def test_what_is_left_is_told_of_all(pair, keys):
    key = keys.add("one", RPM=9, TPM=1000)
    one, two, _ = pair()
    assert send(one, key).status == 200
    reply = send(two, key)
    assert reply.header("x-ratelimit-remaining-requests") == "7", reply.headers
    assert reply.header("x-ratelimit-remaining-tokens") == "975", reply.headers


def test_never_more_than_allowed_by_a_crowd(pair, keys, measured):
    key = keys.add("one", RPM=20)
    one, two, cloud = pair(workers=2)
    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = list(pool.map(lambda n: send((one, two)[n % 2], key), range(CLIENTS * 3)))
    good = sum(r.status == 200 for r in replies)
    assert {r.status for r in replies} == {200, 429}
    measured(f"RPM=20 over Redis: {good} of {len(replies)}, 2 gateways of 2 workers")
    assert good == len(cloud.posts()) == 20


def test_tokens_and_budgets_are_counted_together(pair, keys):
    tokens, money = keys.add("tokens", TPM=75), keys.add("money", BUDGET=75)
    one, two, _ = pair(**PRICES)
    for key in (tokens, money):
        assert [send(gw, key).status for gw in (one, two, one)] == [200] * 3
        assert [send(gw, key).status for gw in (one, two)] == [429, 429], key


def test_counters_outlive_the_gateways(pair, keys):
    key = keys.add("one", RPM=3, BUDGET=1000)
    one, two, _ = pair()
    assert send(one, key).status == 200
    one.restart()
    two.kill_manager()
    two.start()
    assert [send(gw, key).status for gw in (one, two, one)] == [200, 200, 429]


def test_an_answer_is_kept_for_all(pair, keys):
    one, two, cloud = pair(route={"CACHE": "10m"}, workers=2)
    first = send(one, temperature=0)
    assert first.header("x-pointsman-cache") == "miss", first.headers
    for gw in (two, one, two, one):
        reply = send(gw, temperature=0)
        assert reply.header("x-pointsman-cache") == "hit", reply.headers
        assert reply.body == first.body
        assert int(reply.header("age")) >= 0 and reply.header("x-pointsman-attempts") == "0"
    assert send(two, temperature=0, stream=True).header("x-pointsman-cache") == "hit"
    assert len(cloud.posts()) == 1


def test_a_kept_answer_ends_for_all(pair):
    one, two, _ = pair(route={"CACHE": "2s"})
    began = time.monotonic()
    assert send(one, temperature=0).header("x-pointsman-cache") == "miss"
    assert send(two, temperature=0).header("x-pointsman-cache") == "hit"
    wait_until(lambda: send(two, temperature=0).header("x-pointsman-cache") == "miss", 6,
               "the answer to be too old", step=0.1)
    assert time.monotonic() - began >= 1.5


def test_a_kept_answer_is_for_those_who_may(pair, keys):
    all_of_it, less = keys.add("all"), keys.add("less", TARGETS="cloud")
    one, two, cloud = pair(route={"CACHE": "10m", "targets": "cloud,other"},
                           models={"other": {"CLOUD": "openai", "BASE_URL": "http://127.0.0.1:9"}})
    assert send(one, all_of_it, temperature=0).header("x-pointsman-cache") == "miss"
    assert send(two, less, temperature=0).header("x-pointsman-cache") == "miss"
    assert send(two, all_of_it, temperature=0).header("x-pointsman-cache") == "hit"
    assert send(two, fresh(), temperature=0).status == 401


def test_a_kept_answer_is_of_those_models(pair, clouds, keys, redis, make_gateway):
    """A route of the same name that means another model, here or after an edit, is another."""
    one, cloud = pair(n=1, route={"CACHE": "10m"})
    assert send(one, temperature=0).header("x-pointsman-cache") == "miss"
    other = clouds(text="Another model.")
    two, _ = pair(n=1, cloud=other, route={"CACHE": "10m"})
    assert text_of("chat", send(two, temperature=0).json) == "Another model."
    after(one, one.write_models, {"cloud": cloud.section(MODEL="another")})
    assert send(one, temperature=0).header("x-pointsman-cache") == "miss"


def test_of_a_key_for_this_machine_nothing_is_shared(make_gateway, keys, redis, clouds):
    """Redis may be on another machine: what must not leave this one is not kept there."""
    here = clouds(text="The secret plan is here.")
    remote = {"DRIVER": "remote", "URL": here.root, "API_KEY_ENV": "CLOUD_KEY",
              "CA_FILE": here.ca_file, "CTX_SIZE": 100000, "CAPS": "tools"}
    key, open_key = keys.add("one", LOCAL_ONLY="yes"), keys.add("two")
    gw = make_gateway({"here": remote}, {
        **keys.gateway(REDIS=redis.url),
        "20-auto.conf": auto_route("here", policies="capability", CACHE="10m"),
        "30-local.conf": {"route": {"MODELS": "local", "TARGETS": "here", "CACHE": "10m",
                                    "LOCAL_ONLY": "yes", "POLICIES": "capability"}}}, env=ENV)
    private = {**bearer(open_key), "x-pointsman-private": "1"}
    for reply in (send(gw, key, temperature=0), send(gw, open_key, "local", temperature=0),
                  gw.post(PATHS["chat"], ask("chat", TURNS, "auto", temperature=0), private)):
        assert reply.status == 200, reply
    assert b"secret plan" not in repr(redis.dump()).encode()


def test_a_breaker_is_open_for_all(pair, measured):
    one, two, cloud = pair()
    cloud.say(status=500)
    for _ in range(5):
        assert send(one).status >= 500
    opened = len(cloud.posts())
    assert send(one).status == 503 and len(cloud.posts()) == opened

    def silent():
        before = len(cloud.posts())
        return send(two).status == 503 and len(cloud.posts()) == before

    wait_until(silent, 5, "the other to leave it alone", step=0.5)
    assert len(cloud.posts()) - opened < 5, "by what it was told, not by its own failures"
    measured(f"a breaker: the other gateway failed {len(cloud.posts()) - opened} times")
    # and closed for all, once one of them has tried
    cloud.say(text="Well again.")
    wait_until(lambda: send(one).status == 200, 25, "the breaker to be tried", step=0.2)
    wait_until(lambda: send(two).status == 200, 5, "the other to follow", step=0.1)


def test_a_conversation_stays_where_it_was(pair, clouds, make_gateway, keys, redis):
    """Each gateway prefers another of two equal models, unless the conversation has one."""
    servers = {"left": clouds(), "right": clouds()}
    remote = {name: {"DRIVER": "remote", "URL": cloud.root, "API_KEY_ENV": "CLOUD_KEY",
                     "CA_FILE": cloud.ca_file, "CTX_SIZE": 100000, "GOOD_AT": "general",
                     "CAPS": "tools", "REMOTE_MODEL": name}
              for name, cloud in servers.items()}
    one, two = (make_gateway(remote, {
        "00-gateway.conf": {"gateway": {"REDIS": redis.url}},
        "20-auto.conf": auto_route(order, policies="capability")}, env=ENV)
        for order in ("left,right", "right,left"))
    for gw in (one, two):
        for name in servers:
            assert send(gw, model=name, turns=[("user", "Wake up.")]).status == 200

    def goes(gw, turns):
        reply = send(gw, turns=turns)
        assert reply.status == 200, reply
        return reply.header("x-pointsman-target")

    story = [("user", "This is a long story of a folder. " * 400)]
    more = story + [("assistant", "There are two files."), ("user", "Which?")]
    assert goes(two, [("user", "Another story altogether. " * 400)]) == "right"
    assert goes(one, story) == "left"
    assert goes(two, more) == "left"


# --- how it is reached ---


@pytest.mark.parametrize("how", ["tcp", "unix", "unix and password", "tcp and password"])
def test_ways_to_reach_it(pair, keys, make_redis, how):
    key = keys.add("one", RPM=2, ADMIN="yes")
    redis = make_redis(password=PASSWORD if "password" in how else None)
    given = {"REDIS_PASSWORD_ENV": "REDIS_SECRET"} if "password" in how else {}
    url = f"unix:{redis.socket}" if "unix" in how else redis.url
    one, two, _ = pair(url=url, gateway=given, env={"REDIS_SECRET": PASSWORD})
    assert [send(gw, key).status for gw in (one, two, one)] == [200, 200, 429]
    wait_up(one, 1, key)
    assert redis.keys()


def test_another_database_and_prefix(pair, keys, redis):
    key = keys.add("one", RPM=1)
    one, _ = pair(n=1, url=f"redis://127.0.0.1:{redis.port}/3")
    two, _ = pair(n=1, gateway={"REDIS_PREFIX": "theirs:"})
    three, _ = pair(n=1)
    # nobody counts for anybody else
    assert [send(gw, key).status for gw in (one, two, three)] == [200] * 3
    assert [send(gw, key).status for gw in (one, two, three)] == [429] * 3
    assert redis.keys(3) and all(k.startswith(b"pointsman:") for k in redis.keys(3))
    here = redis.keys()
    assert any(k.startswith(b"theirs:") for k in here)
    assert all(k.startswith((b"theirs:", b"pointsman:")) for k in here), here


@pytest.mark.parametrize("url", ["http://127.0.0.1/0", "redis://", "127.0.0.1:6379", "unix:",
                                 "redis://127.0.0.1:99999/0", "redis://127.0.0.1:6379/x"])
def test_an_address_that_is_none_is_told(pair, url):
    with pytest.raises(AssertionError, match=r"00-gateway\.conf:\d+"):
        pair(n=1, url=url)


def test_it_holds_no_secret_and_nothing_for_ever(pair, keys, redis):
    key = keys.add("one", RPM=9, TPM=9000, BUDGET=9000)
    one, two, cloud = pair(route={"CACHE": "10m"}, **PRICES)
    for gw in (one, two):
        assert send(gw, key).status == 200
        assert send(gw, key, temperature=0).status == 200
    cloud.say(status=500)
    for _ in range(6):
        send(one, key)
    held = repr(redis.dump()).encode()
    assert held != b"{}"
    for secret in (key, key[6:-6], ENV["CLOUD_KEY"]):
        assert secret.encode() not in held
    for name in redis.keys():
        # the longest is a month's budget
        assert 0 < redis("TTL", name) <= 63 * 86400, (name, redis("TTL", name))


# --- when it is not there ---


def test_it_may_come_later(pair, keys, make_redis):
    key = keys.add("one", RPM=1000, ADMIN="yes")
    redis = make_redis(start=False)
    one, _ = pair(n=1, url=redis.url, route={"CACHE": "10m"})
    for n in range(10):
        reply = send(one, key, temperature=0, seed=n)
        assert reply.status == 200, reply
    assert send(one, key, temperature=0, seed=3).header("x-pointsman-cache") == "hit"
    wait_up(one, 0, key)
    assert len(told(one, "warn")) == 1, told(one)
    redis.start()
    wait_up(one, 1, key)
    assert len(told(one, "warn")) == 1, told(one)
    assert len(told(one)) == 2, told(one)
    assert send(one, key, temperature=0, seed=99).status == 200
    wait_until(redis.keys, 5, "something in it")


@pytest.mark.parametrize("how", ["freeze", "kill"])
def test_no_request_fails_when_it_goes(pair, keys, redis, how, measured):
    key = keys.add("one", RPM=100000, TPM=10000000, BUDGET=100000000, ADMIN="yes")
    one, two, _ = pair(route={"CACHE": "10m"}, workers=2, **PRICES)
    longest = []

    def one_request(n):
        began = time.monotonic()
        reply = send((one, two)[n % 2], key, temperature=0, seed=time.monotonic_ns() % 50)
        longest.append(time.monotonic() - began)
        return reply

    for gw in (one, two):
        wait_up(gw, 1, key)
    with Crowd(8, one_request) as busy:
        wait_until(lambda: busy.count() >= 100, 20, "traffic")
        if how == "freeze":
            redis.freeze()
        else:
            redis.kill()
        at = len(longest)
        for gw in (one, two):
            wait_up(gw, 0, key)
        after = len(longest)
        wait_until(lambda: busy.count() >= after + 300, 20, "traffic without it")
        gone = sorted(longest[at:])
        if how == "freeze":
            redis.thaw()
        else:
            redis.start()
        for gw in (one, two):
            wait_up(gw, 1, key)
        again = busy.count()
        wait_until(lambda: busy.count() >= again + 100, 20, "traffic with it")
    assert not busy.bad(), busy.bad()[:3]
    # a request waits for Redis 100 ms at most, and not each of them
    assert gone[len(gone) // 2] < 0.1, gone[len(gone) // 2]
    assert gone[-1] < 1.5, gone[-1]
    for gw in (one, two):
        assert 1 <= len(told(gw, "warn")) <= 2, told(gw)
        assert len(told(gw)) <= 4 + 2, told(gw)
    measured(f"{how}: median {gone[len(gone) // 2] * 1000:.0f} ms, longest "
             f"{gone[-1] * 1000:.0f} ms while Redis was gone")


@pytest.mark.parametrize("how", ["freeze", "kill"])
def test_limits_hold_without_it(pair, keys, redis, how):
    key = keys.add("one", RPM=5, ADMIN="yes")
    one, _ = pair(n=1)
    assert [send(one, key).status for _ in range(2)] == [200, 200]
    if how == "freeze":
        redis.freeze()
    else:
        redis.kill()
    statuses = [send(one, key).status for _ in range(8)]
    assert set(statuses) == {200, 429} and statuses == sorted(statuses), statuses
    assert 3 <= statuses.count(200) <= 5, statuses


def test_a_wrong_password_is_as_none_at_all(pair, keys, make_redis):
    key = keys.add("one", RPM=100, ADMIN="yes")
    redis = make_redis(password=PASSWORD)
    one, _ = pair(n=1, url=redis.url, gateway={"REDIS_PASSWORD_ENV": "REDIS_SECRET"},
                  env={"REDIS_SECRET": "another-password"})
    assert [send(one, key).status for _ in range(5)] == [200] * 5
    wait_up(one, 0, key)
    assert len(told(one, "warn")) == 1, told(one)
    assert "another-password" not in one.log


def test_what_others_wrote_there_does_no_harm(pair, keys, redis):
    """Values of the wrong kind, and answers that are none: counted here, asked anew."""
    key = keys.add("one", RPM=50, TPM=50000, BUDGET=50000)
    one, two, _ = pair(route={"CACHE": "10m"}, **PRICES)
    assert send(one, key, temperature=0).status == 200
    names = redis.keys()
    assert names
    unknown = f"nobody\n{int(time.time())}\n{{}}"
    poisons = [("SET", "not a number"), ("SET", unknown), ("SET", "\n\n"), ("SET", ""),
               ("SET", b"\0\xff{"), ("RPUSH", "x"), ("SET", "-99999999999999999999"),
               ("SET", "{}"), ("SET", "nan"), ("HSET", "x", "y")]
    for poison in poisons:
        for name in names:
            redis("DEL", name)
            redis(poison[0], name, *poison[1:])
        for gw in (one, two):
            reply = send(gw, key, temperature=0, seed=None)
            assert reply.status == 200, (poison, reply)
            assert text_of("chat", reply.json) == "There are two files.", (poison, reply)
        assert one.worker_pids() and two.worker_pids()
    assert "died" not in one.log + two.log


def test_it_may_be_emptied(pair, keys, redis):
    key = keys.add("one", RPM=50, TPM=50000, BUDGET=50000)
    one, two, _ = pair(route={"CACHE": "10m"})
    for _ in range(3):
        assert {send(gw, key, temperature=0).status for gw in (one, two)} == {200}
        redis("FLUSHALL")
        redis("SCRIPT", "FLUSH")
    # a connection that is closed is opened anew, without a word and without a failure
    redis("CLIENT", "KILL", "TYPE", "normal")
    assert {send(gw, key).status for gw in (one, two)} == {200}


def test_the_metric_outlives_workers(pair, redis):
    """It says whether Redis is there, also when workers have died or were replaced."""
    one, _ = pair(n=1, workers=2)
    wait_up(one, 1)
    for _ in range(3):
        pid = one.kill_worker()
        wait_until(lambda pid=pid: pid not in one.worker_pids()
                   and len(one.worker_pids()) == 2, 10, "a new worker")
    after(one, one.write_route, "40-more.conf", {"route": {"MODELS": "more",
                                                           "TARGETS": "cloud"}})
    wait_up(one, 1)
    assert max(up(one)) <= 2, up(one)
    redis.kill()
    wait_up(one, 0)


def test_without_redis_there_is_no_metric_of_it(make_gateway, clouds):
    gw = make_gateway({"cloud": clouds().section()}, {"20-auto.conf": auto_route("cloud")},
                      env=ENV)
    assert up(gw) in ([], [0.0]) and not told(gw)
