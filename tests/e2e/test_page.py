"""The web page in a browser: what it shows is so, it works by keyboard, and nothing leaves the machine."""

import contextlib
import json

import pytest
from browser import PHONE, Browser, Unusable
from harness import alive, auto_route, profile, wait_until
from keys import Keys, after
from ledger import database, listed, record, state, usage

PARTS = ("now", "requests", "decide", "usage", "chat")
ENV = {"CLOUD_KEY": "sk-cloud-key"}
PRICES = {"PRICE_IN": 3, "PRICE_OUT": 15}
LONG = {"stream": True, "max_tokens": 8000, "ignore_eos": True}
LIVE = 2  # seconds until what happened is shown
MARKUP = '<img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def browser():
    try:
        one = Browser()
    except Unusable as why:
        pytest.skip(str(why))
    yield one
    one.close()


@pytest.fixture(scope="module")
def gw(make_module_gateway):
    """One for all tests that leave it as it was."""
    gateway = make_module_gateway(
        {"demo-chat": profile("demo-chat", SLOTS=2), "demo-coder": profile("demo-coder", DESCRIPTION=MARKUP),
         "endless": profile("demo-chat", RAM=50, EXTRA_ARGS="--ignore-eos")},
        {"20-auto.conf": auto_route("demo-chat,demo-coder")}, manager={"RAM": 300, "MIN_RESIDENCY": 0})
    gateway.cli("switch", "demo-chat", "--wait")
    return gateway


@pytest.fixture
def visit(browser, gw, make_cloud, make_gateway):
    """Pages of a gateway, connected; at the end none has complained, nor asked elsewhere. The makers are named so
    that pages are looked at before what they show is ended."""
    mine = []

    def open_(gateway=gw, part=None, expect=(), **how):
        page = browser.open(gateway.url, **how)
        mine.append((page, gateway.url, expect))
        page.connected()
        return page.show(part) if part else page

    yield open_
    faults = []
    for page, url, expect in mine:
        faults += [f for f in page.faults(url) if not any(text in f for text in expect)]
        page.close()
    assert not faults, faults


# what the browser writes to the console when the gateway is away
AWAY = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE",
        "ERR_SOCKET_NOT_CONNECTED", "status of 503")


def ask(gateway, text="How was your day?", **more):
    reply = gateway.chat(text, **more)
    assert reply.status == 200 and reply.complete, reply
    return reply


def talking(gateway, text="Tell me a long story.", **more):
    exchange = gateway.open("POST", "/v1/chat/completions", {
        "model": "auto", "messages": [{"role": "user", "content": text}], **LONG, **more})
    next(exchange.events())
    return exchange


def row_of(page, name):
    return next(text for text in page.texts("#models tbody tr") if text.startswith(name))


def labels(page):
    """What the buttons of the rows of requests are called."""
    return page.evaluate(
        "() => [...document.querySelectorAll('#requests tbody button')].map((b) => b.getAttribute('aria-label'))")


# --- its files ---

def test_its_files(gw):
    page = gw.get("/")
    assert page.status == 200 and page.header("content-type").startswith("text/html")
    policy = dict(part.strip().split(" ", 1) for part in page.header("content-security-policy").split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'" == policy["connect-src"], policy
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'", policy
    assert page.header("x-content-type-options") == "nosniff" and "no-store" not in page.header("cache-control")
    head = gw.request("HEAD", "/")
    assert head.status == 200 and not head.body
    assert head.header("content-length") == str(len(page.body)) and head.header("etag") == page.header("etag")
    for path in ("/", "/web/page.js", "/web/page.css"):
        whole = gw.get(path)
        same = gw.get(path, {"If-None-Match": whole.header("etag")})
        assert (whole.status, same.status, same.body) == (200, 304, b""), path
        assert same.header("etag") == whole.header("etag")
        assert gw.get(path, {"If-None-Match": '"other"'}).status == 200
    for path in ("/web/nothing.js", "/web/", "/web/../models.conf", "/web/page.js/x", "/web/%2e%2e/page.js"):
        assert gw.get(path).status == 404, path
    assert gw.post("/", b"").status == 405


def test_no_script_but_its_own(visit):
    page = visit(expect=("Content Security Policy", "status of 404"))
    page.evaluate("""() => {
        const inline = document.createElement('script');
        inline.textContent = 'document.documentElement.dataset.ran = "inline"';
        const handler = document.createElement('div');
        handler.innerHTML = '<img src="web/none" onerror="document.documentElement.dataset.ran = 1">';
        const data = document.createElement('script');
        data.src = 'data:text/javascript,document.documentElement.dataset.ran="data"';
        document.body.append(inline, handler, data);
    }""")
    page.until(lambda p: sum("Content Security Policy" in e for e in p.noted()["errors"]) >= 3, 5, "the refusals")
    assert page.attribute("html", "data-ran") is None


def test_markup_is_text(visit, gw):
    """Names, reasons and errors of others are shown as they are written."""
    page = visit(part="requests")
    assert MARKUP in page.evaluate("() => document.getElementById('models').textContent")
    assert gw.chat("hi", model=f"m{MARKUP}").status == 404
    page.says("#requests tbody", MARKUP)
    page.show("decide").fill("#decide-prompt", MARKUP)
    page.click("#decide button.main")
    page.says("#decision", "would be picked")
    page.show("chat").fill("#chat-text", MARKUP)
    page.press("Tab")
    page.click("#chat-send")
    page.says("#chat-log", "tokens")
    assert MARKUP in page.text("#chat-log")
    assert page.count("img:not(header img)") == 0


# --- what it shows is so ---

def test_it_is_alive(visit, gw):
    page = visit()
    other = visit(part="requests")
    with contextlib.closing(talking(gw)):
        page.says("#live", "answering", LIVE)
        page.until(lambda p: "1 of 2" in row_of(p, "demo-chat"), LIVE, "the slot in use")
        before = page.text("#live")
        page.until(lambda p: p.text("#live") != before, LIVE, "more tokens")
    page.says("#live", "No request", LIVE)
    other.until(lambda p: p.count("#requests tbody tr"), LIVE, "the row of it")
    rows = other.count("#requests tbody tr")
    ask(gw, max_tokens=4)
    other.until(lambda p: p.count("#requests tbody tr") == rows + 1, LIVE, "a new row")
    first = other.texts("#requests tbody tr")[0]
    assert "demo-chat" in first and "answered" in first, first


def test_a_row_opens_to_its_trace(visit, gw):
    page = visit(part="requests")
    entry = record(gw, ask(gw, "Is this function code with a bug?", model="demo-chat", max_tokens=3))
    routed = record(gw, ask(gw, max_tokens=3))
    for made in (entry, routed):
        button = f"#requests button[aria-label*='{made['id']}']"
        page.wait(button)
        page.focus(button)
        page.press("Enter")
        page.wait(".trace")
        text = page.text(".trace")
        assert made["id"] in text and made["path"] in text, text
        for part in made.get("plan", []):
            assert part["target"] in text
        for policy in made.get("policies", []):
            assert policy["name"] in text
        page.press("Space")
        page.wait(".trace", "detached")
        assert page.attribute(button, "aria-expanded") == "false"


def test_older_ones_by_paging(visit, gw):
    for n in range(110 - len(listed(gw))):
        assert gw.chat(f"{n}", model="nobody").status == 404
    wait_until(lambda: len(listed(gw)) >= 110, 10, "the records", step=0.05)
    page = visit(part="requests")
    page.until(lambda p: p.count("#requests tbody tr") == 50, 5, "the first page")
    page.click("#older")
    page.until(lambda p: p.count("#requests tbody tr") == 100, 5, "the next one")
    wanted = [r["id"] for r in listed(gw)][:100]
    assert [w for label, w in zip(labels(page), wanted) if w not in label] == []
    page.click("#older")
    page.wait("#older", "hidden")
    assert page.count("#requests tbody tr") == len(listed(gw))


def test_it_decides_what_the_route_says(visit, gw):
    page = visit(part="decide")
    prompt = "Please refactor this function, the code has a bug to debug"
    page.fill("#decide-prompt", prompt)
    page.focus("#decide button.main")
    page.press("Enter")
    page.says("#decision", "would be picked")
    said = gw.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": prompt}]}).json
    text = page.text("#decision")
    assert text.startswith(f"{said['target']} would be picked by route {said['route']}: {said['reason']}"), text
    order = [row.split()[0] for row in page.texts("#decision table tbody tr")]
    assert order == [a["target"] for a in said["attempts"]]
    for policy in said["policies"]:
        assert policy["name"] in text
    page.fill("#decide-prompt", "How was your day?")
    page.press("Tab")
    page.click("#decide button.main")
    page.says("#decision", "demo-chat would be picked")


def test_usage_is_what_was_recorded(visit, gw):
    ask(gw, max_tokens=5)
    wait_until(lambda: len(listed(gw)) >= 1, 10, "a record", step=0.05)
    page = visit(part="usage")
    total = usage(gw, "target")["total"]
    wait_until(lambda: usage(gw, "target")["total"] == total, 5)
    page.show("now").show("usage").wait("#usage .tile")
    page.until(lambda p: p.texts("#usage .tile b")[0] == str(total["requests"]), 5, "the number of requests")
    shown = page.texts("#usage .tile b")
    assert shown[1:4] == [str(total[key]) for key in ("errors", "prompt", "output")], (shown, total)
    for by in ("target", "outcome"):
        page.select("#usage-by", by)
        page.says("#usage h3 >> nth=-1", f"By {by}")
        rows = {r["name"] or "none": r for r in usage(gw, by)["rows"]}
        for line in page.texts("#usage-out table tbody tr"):
            name, requests, failed, prompt, _, output = line.split("\t")[:6]
            assert [requests, failed, prompt, output] == [
                str(rows[name][key]) for key in ("requests", "errors", "prompt", "output")], line
        assert len(rows) == page.count("#usage-out table tbody tr")
    page.select("#usage-span", "0")
    page.says("#usage-out", "Requests by hour")
    assert page.count("#usage-out svg rect") >= 2


@pytest.mark.parametrize("kept", ["no", "prompts"])
def test_prompts_are_shown_only_where_they_are_kept(visit, make_gateway, make_cloud, kept):
    cloud = make_cloud("openai")
    gateway = make_gateway({"cloud": cloud.section(**PRICES)}, {
        "00-gateway.conf": {"gateway": {"RECORD": kept}}, "20-auto.conf": auto_route("cloud")}, env=ENV)
    record(gateway, ask(gateway, "the red herring"))
    page = visit(gateway, part="requests")
    page.click("#requests tbody button")
    page.wait(".trace")
    assert ("red herring" in page.text("#requests")) == (kept == "prompts")


# --- what it does ---

def focus_on(page, name, most=40):
    """Goes on with Tab until what has this name has the focus."""
    for _ in range(most):
        if page.focused()["name"] == name:
            return
        page.press("Tab")
    raise AssertionError(f"Tab does not come to {name}: {page.focused()}")


def test_by_keyboard(visit, gw):
    """Load, pin, unpin and unload; the focus stays on the model while its table is made anew."""
    page = visit()
    page.focus("[data-focus$='demo-coder']")
    assert page.focused()["outline"] != "none"
    for key, ready in (("Enter", lambda: gw.profile("demo-coder")["state"] == "ready"),
                       ("Space", lambda: gw.profile("demo-coder")["state"] == "off")):
        page.press(key)
        wait_until(ready, 20, "what was pressed", step=0.05)
        page.until(lambda p: ("ready" in row_of(p, "demo-coder")) == (key == "Enter"), LIVE, "the new state")
        page.until(lambda p: p.focused()["name"].startswith("Unload" if key == "Enter" else "Load"), LIVE, "the focus")
    page.press("Tab")
    for word, pinned in (("Pin", True), ("Unpin", False)):
        assert page.focused()["name"].startswith(word)
        page.press("Enter")
        wait_until(lambda: gw.profile("demo-coder")["pinned"] == pinned, 5, word)
        page.until(lambda p: ("Unpin" in row_of(p, "demo-coder")) == pinned, LIVE, "the new button")
        page.until(lambda p: p.focused()["tag"] == "button", LIVE, "the focus")
    gw.cli("switch", "demo-chat", "--wait")


def test_a_key_pressed_while_the_table_is_made_anew(visit, gw):
    page = visit()
    page.focus("[data-focus$='demo-coder'] >> nth=-1")
    assert page.focused()["name"].startswith("Pin")
    page.down("Space")
    with contextlib.closing(talking(gw)):
        page.says("#live", "answering", LIVE)
        page.up("Space")
        wait_until(lambda: gw.profile("demo-coder")["pinned"], 5, "the pin")
        page.until(lambda p: "Unpin" in row_of(p, "demo-coder"), LIVE, "the new table")
    gw.post("/api/pin", {"model": "demo-coder", "on": False})


def test_from_link_to_link(visit):
    """The parts by Tab and Enter; the skip link leads to the part that is shown."""
    page = visit()
    for part in PARTS[1:]:
        page.focus("nav a[href='#now']")
        focus_on(page, part.capitalize())
        page.press("Enter")
        page.wait(f"#{part}")
        assert page.attribute("nav a[aria-current]", "href") == f"#{part}"
    page.focus(".skip")
    page.press("Enter")
    page.until(lambda p: p.focused()["id"] == "main", 2, "the content to have the focus")
    page.wait("#chat")


def test_chat_streams_and_is_stopped(visit, gw):
    page = visit(part="chat")
    page.fill("#chat-text", "How was your day?")
    page.press("Control+Enter")
    page.says("#chat-log", "I am demo-chat")
    page.says("#chat-log", "first token after")
    assert "demo-chat ·" in page.text("#chat-log .says:not(.me) h3")
    assert page.focused()["id"] == "chat-text"
    page.select("#chat-model", "endless")
    page.fill("#chat-text", "Go on")
    page.press("Control+Enter")
    page.says("#chat-log", "endless ·")
    assert gw.profile("endless")["leases"] == 1
    page.click("#chat-stop")
    page.says("#chat-log", "Stopped")
    wait_until(lambda: gw.profile("endless")["leases"] == 0, 5, "the slot to be free", step=0.01)
    wait_until(lambda: listed(gw)[0]["outcome"] == "cancelled", 5, "the record of it", step=0.05)
    page.click("#chat button:text-is('New conversation')")
    assert page.count("#chat-log .says") == 0
    page.select("#chat-model", "demo-chat")
    page.fill("#chat-text", "And now?")
    page.press("Control+Enter")
    page.says("#chat-log", "first token after")


def test_an_answer_that_breaks_off_is_no_answer(visit, make_gateway, make_cloud):
    cloud = make_cloud("openai")
    gateway = make_gateway({"cloud": cloud.section(**PRICES)}, {"20-auto.conf": auto_route("cloud")}, env=ENV)
    page = visit(gateway, part="chat", expect=("ERR_",))
    cloud.fail("cut", n=4)
    page.fill("#chat-text", "hello")
    page.press("Control+Enter")
    page.wait("#chat-log .bad")
    assert page.text("#chat-log .bad").strip()
    cloud.heal()
    page.fill("#chat-text", "hello again")
    page.press("Control+Enter")
    page.says("#chat-log", "first token after")
    asked = json.loads(cloud.posts()[-1].body)["messages"]
    assert [m["content"] for m in asked] == ["hello again"], asked


# --- who may see it ---

def test_the_key(browser, make_gateway, tmp_path):
    keys = Keys(tmp_path)
    admin, guest = keys.add("admin", ADMIN="yes"), keys.add("guest")
    gateway = make_gateway({"demo-chat": profile("demo-chat")},
                           {**keys.gateway(), "20-auto.conf": auto_route("demo-chat")})
    page = browser.open(gateway.url)
    page.wait("#login")
    assert page.text("#login-error") == "" and not page.evaluate("() => !document.getElementById('now').hidden")
    assert page.focused()["id"] in ("key", "")
    for key, words in ((guest, "admin"), ("pm-wrong", "key"), ("schlüssel-₤", "key")):
        page.fill("#key", key)
        page.press("Enter")
        page.until(lambda p: words in p.text("#login-error").lower(), 5, f"the refusal of {key}")
        assert key not in page.text("body") and page.value("#key") == ""
        assert "locked" in page.text("#link")
    page.fill("#key", admin)
    page.press("Enter")
    page.connected()
    page.wait("#login", "hidden")
    page.says("#models", "demo-chat")
    page.reload()
    page.connected()
    kept = page.evaluate("() => [localStorage.length, document.cookie, location.href]")
    assert kept[:2] == [0, ""] and admin not in kept[2]
    after(gateway, keys.remove, "admin")
    page.wait("#login")
    assert page.evaluate("() => document.getElementById('now').hidden")
    assert [f for f in page.faults(gateway.url) if "status of" not in f] == []
    page.close()


# --- when things go wrong ---

def test_it_comes_back(visit, make_gateway):
    """A killed worker, and a killed manager: what is shown is true again, without a hand."""
    gateway = make_gateway({"demo-chat": profile("demo-chat")}, {"20-auto.conf": auto_route("demo-chat")})
    page = visit(gateway, part="requests", expect=AWAY)
    page.wait("#no-requests")
    killed = gateway.kill_worker()
    wait_until(lambda: not alive(killed) and gateway.worker_pids() not in ([], [killed]), 10, "another worker")
    seen = ask(gateway, max_tokens=2).header("x-pointsman-request")
    page.connected()
    page.wait(f"#requests button[aria-label*='{seen}']")
    gateway.kill_manager()
    page.until(lambda p: p.attribute("#link", "class") == "down", 5, "that it is away")
    wait_until(lambda: gateway.start() if gateway.proc.poll() is not None else gateway, 10, "a manager")
    missed = ask(gateway, max_tokens=2).header("x-pointsman-request")
    page.connected(15)
    page.wait(f"#requests button[aria-label*='{missed}']")
    page.show("now").until(lambda p: "ready" in row_of(p, "demo-chat"), 5, "the model's state")


def test_trouble_is_told(visit, make_gateway, make_cloud):
    cloud = make_cloud("openai")
    gateway = make_gateway({"cloud": cloud.section(**PRICES)}, {"20-auto.conf": auto_route("cloud")}, env=ENV)
    gateway.stop()
    for path in gateway.state.glob("usage.db*"):
        path.unlink()
    database(gateway).write_bytes(b"no database " * 700)
    gateway.start()
    ask(gateway)
    wait_until(lambda: state(gateway).get("error"), 10, "the trouble")
    page = visit(gateway, expect=("the server responded with a status of",))
    page.says("#alerts", "move the file away")
    gateway.write_route("20-auto.conf", {"route": {"MODELS": "auto", "TARGETS": "nobody"}})
    page.says("#alerts", "nobody", 5)
    assert "The newest configuration is not in use" in page.text("#alerts")
    page.show("usage").says("#usage-out", "move the file away")
    page.show("requests").says("#requests-error", "move the file away")
    database(gateway).unlink()
    gateway.write_route("20-auto.conf", auto_route("cloud"))
    ask(gateway)
    page.until(lambda p: p.text("#alerts").strip() == "", 15, "no more trouble")


# --- for everybody ---

def open_fully(page, part):
    """A part with all that it can show."""
    page.show(part)
    if part == "requests":
        page.click("#requests tbody button")
        page.wait(".trace")
    if part == "decide":
        page.click("#decide button:text-is('A plan')")
        page.says("#decision", "would be picked")
    if part == "usage":
        page.wait("#usage .tile")


def test_axe_and_width(visit, gw):
    """No serious finding; on a phone nothing lies beyond the edge. test_page_slow.py looks at the dark scheme, too."""
    ask(gw, max_tokens=3)
    page, phone = visit(axe=True), visit(**PHONE)
    for part in PARTS:
        open_fully(page, part)
        open_fully(phone, part)
        assert page.serious() == [], part
        wide, room = phone.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= room, f"{part} is {wide} px wide where there are {room}"
