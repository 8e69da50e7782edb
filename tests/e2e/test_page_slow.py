"""What takes longer to look at of the web page: many switches, a busy day, a hostile answer, all its pictures."""

import contextlib
import subprocess
import sys
import time

import pytest
from browser import PHONE, SOURCE
from harness import Crowd, auto_route, profile, wait_until
from ledger import listed
from test_page import (AWAY, ENV, LIVE, MARKUP, PARTS, ask, browser, gw, labels, open_fully,  # noqa: F401
                       row_of, talking, visit)

SWITCHES = 20


def test_the_pictures(browser, tmp_path):  # noqa: F811
    """All situations come about, in each look, and no page complains."""
    done = subprocess.run([sys.executable, "-B", SOURCE / "shots.py", tmp_path], capture_output=True, text=True,
                          timeout=170)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    names = {path.name.rsplit("-", 1)[0] for path in tmp_path.glob("*.png")}
    assert {"idle", "loading", "three", "switch-waiting", "switch-loading", "failed", "cloud"} <= names
    assert all(path.stat().st_size > 5000 for path in tmp_path.glob("*.png"))


def test_twenty_switches(visit, gw):  # noqa: F811
    """Each is shown within two seconds of its end; nothing is left over."""
    page = visit()
    nodes = None
    for n in range(SWITCHES):
        name, other = ("demo-coder", "demo-chat") if n % 2 == 0 else ("demo-chat", "demo-coder")
        gw.cli("switch", name, "--wait")
        page.until(lambda p: "ready" in row_of(p, name) and "ready" not in row_of(p, other), 2, f"switch {n}")
        if n == 3:
            nodes = page.evaluate("() => document.querySelectorAll('body *:not(#logs *)').length")
    assert page.evaluate("() => document.querySelectorAll('body *:not(#logs *)').length") <= nodes + 5
    assert page.evaluate("() => document.querySelectorAll('#logs span').length") <= 600


def test_a_busy_day(visit, gw):  # noqa: F811
    """Thousands of requests: the list stays short, older ones follow without a gap, an open row can be closed."""
    page = visit(part="requests")
    oldest = ask(gw, max_tokens=2).header("x-pointsman-request")
    page.wait(f"#requests button[aria-label*='{oldest}']")
    page.focus(f"#requests button[aria-label*='{oldest}']")
    page.press("Enter")
    page.wait(".trace")
    for n in range(1500):
        assert gw.chat(f"{n}", model="nobody").status == 404
    page.until(lambda p: p.count(".trace") == 0, 20, "the first row to be forgotten")
    wait_until(lambda: len(listed(gw)) >= 1501, 20, "the records", step=0.1)
    last = listed(gw)[0]["id"]
    page.wait(f"#requests button[aria-label*='{last}']")
    assert page.count("#requests tbody tr") <= 300
    rows = page.count("#requests tbody tr")
    for _ in range(3):
        page.click("#older")
        page.until(lambda p: p.count("#requests tbody tr") > rows, 10, "older ones")
        rows = page.count("#requests tbody tr")
        assert gw.chat("one more", model="nobody").status == 404
        page.until(lambda p: p.count("#requests tbody tr") == rows + 1, 5, "the newest above them")
        rows += 1
    wanted = [r["id"] for r in listed(gw)][:rows]
    assert [w for label, w in zip(labels(page), wanted) if w not in label] == []


def test_a_stream_that_is_slow_to_come_back(visit, make_gateway):  # noqa: F811
    """The manager is away for longer than the page's first tries; it comes back all the same, in one piece."""
    gateway = make_gateway({"demo-chat": profile("demo-chat")}, {"20-auto.conf": auto_route("demo-chat")})
    page = visit(gateway, expect=AWAY)
    for _ in range(3):
        gateway.kill_manager()
        page.until(lambda p: p.attribute("#link", "class") == "down", 5, "that it is away")
        began = time.monotonic()
        page.until(lambda p: sum("REFUSED" in e for e in p.noted()["errors"]) > 2, 20, "some tries in vain")
        wait_until(lambda: gateway.start() if gateway.proc.poll() is not None else gateway, 10, "a manager")
        page.connected(10 + time.monotonic() - began)
    assert page.count("#logs pre") == 1 and page.count("#models table") == 1


def test_a_changed_configuration(visit, make_gateway):  # noqa: F811
    """The page goes over to the new workers, and holds none of the old ones."""
    gateway = make_gateway({"demo-chat": profile("demo-chat")}, {"20-auto.conf": auto_route("demo-chat")})
    page = visit(gateway, part="decide", expect=AWAY)
    for n in range(3):
        gateway.write_route("30-more.conf", {"route": {"MODELS": f"more-{n}", "TARGETS": "demo-chat"}})
        wait_until(lambda: len(gateway.status()["workers"]) == 1 and gateway.status()["generation"] == n + 2, 15,
                   "the old worker to be gone", step=0.1)
        page.connected()
        page.show("now").show("decide")
        page.until(lambda p: f"more-{n}" in p.text("#decide-model"), 5, "the new name")


def test_many_models_with_long_names(visit, make_gateway):  # noqa: F811
    """Two hundred, some with all that a name may have, in two widths."""
    models = {f"model-{n:03}": profile("demo-chat", NAME=f"数字模型 نموذج {n} {'long ' * 20}",
                                       DESCRIPTION=f"{MARKUP} {'word' * 60}") for n in range(200)}
    gateway = make_gateway(models, {"20-auto.conf": auto_route("model-000,model-001")}, manager={"RAM": 300})
    wide, phone = visit(gateway), visit(gateway, **PHONE)
    for page in (wide, phone):
        page.until(lambda p: p.count("#models tbody tr") == 200, 5, "all models")
        inner, room = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert inner <= room, (inner, room)
    began = time.monotonic()
    gateway.cli("switch", "model-199", "--wait")
    wide.until(lambda p: "ready" in row_of(p, "model-199"), 3, "the state of the last one")
    assert time.monotonic() - began < 15
    assert wide.count("#models img") == 0


def test_twice_as_large(visit, gw):  # noqa: F811
    """At 200 % of an ordinary window nothing is cut off."""
    page = visit(viewport={"width": 640, "height": 450}, at=2)
    for part in PARTS:
        open_fully(page, part)
        wide, room = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= room, (part, wide, room)


@pytest.mark.parametrize("how", [{}, PHONE], ids=["wide", "phone"])
def test_axe_in_both_schemes(visit, gw, how):  # noqa: F811
    page = visit(axe=True, **how)
    ask(gw, max_tokens=3)
    for part in PARTS:
        open_fully(page, part)
        for scheme in ("light", "dark"):
            page.emulate({"colorScheme": scheme})
            assert page.serious() == [], (part, scheme)


def test_a_refusal_is_told_once(visit, make_gateway):  # noqa: F811
    """What cannot be done is said, and stays where it is."""
    gateway = make_gateway({"demo-chat": profile("demo-chat", RAM=200), "demo-coder": profile("demo-coder", RAM=200)},
                           {"20-auto.conf": auto_route("demo-chat,demo-coder")},
                           manager={"RAM": 300, "MIN_RESIDENCY": 0})
    gateway.cli("switch", "demo-chat", "--wait")
    gateway.post("/api/pin", {"model": "demo-chat", "on": True})
    page = visit(gateway, expect=("the server responded with a status of",))
    page.until(lambda p: "Unpin" in row_of(p, "demo-chat"), LIVE, "the pin")
    page.evaluate("""() => {
        globalThis.told = 0;
        new MutationObserver((all) => { for (const m of all) for (const n of m.addedNodes)
            if (n.role === 'alert' || n.querySelector?.('[role=alert]')) globalThis.told += 1; })
            .observe(document.getElementById('models'), { childList: true, subtree: true });
    }""")
    page.focus("[data-focus$='demo-coder']")
    page.press("Enter")
    page.says("#now", "pinned")
    with Crowd(1, lambda n: ask(gateway, f"{n}", max_tokens=2)) as crowd:
        page.until(lambda p: crowd.count() > 20, 10, "some requests")
    assert page.evaluate("() => globalThis.told") <= 1


def test_the_logs_follow(visit, gw):  # noqa: F811
    """They stay at their end while another part is shown, and where somebody has scrolled up."""
    at_end = """() => { const pre = document.querySelector('#logs pre');
        return pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 20; }"""
    page = visit(viewport={"width": 1000, "height": 1400})
    for _ in range(3):
        gw.cli("switch", "demo-coder", "--wait")
        gw.cli("switch", "demo-chat", "--wait")
    page.until(lambda p: p.evaluate(at_end), 5, "the end of the logs")
    page.show("usage")
    with contextlib.closing(talking(gw)):
        page.show("now")
    page.until(lambda p: p.evaluate(at_end), 2, "the end again")
    page.evaluate("() => { document.querySelector('#logs pre').scrollTop = 0; }")
    lines = page.text("#logs pre")
    ask(gw, "another one", max_tokens=2)
    page.until(lambda p: p.text("#logs pre") != lines, 5, "more lines")
    assert page.evaluate("() => document.querySelector('#logs pre').scrollTop") == 0


@pytest.mark.parametrize("fault", ["close", "headers", "stall"])
def test_chat_with_a_cloud_that_fails(visit, make_gateway, make_cloud, fault):  # noqa: F811
    """The page says so, or lets one stop; then the next question works."""
    cloud = make_cloud("openai")
    gateway = make_gateway({"cloud": cloud.section()}, {"20-auto.conf": auto_route("cloud")}, env=ENV)
    page = visit(gateway, part="chat", expect=("status of", "ERR_"))
    cloud.fail(fault)
    page.fill("#chat-text", "hello")
    page.press("Control+Enter")
    if fault == "stall":
        cloud.wait_posts(1)
        page.click("#chat-stop")
        page.says("#chat-log", "Stopped")
        wait_until(lambda: cloud.left, 5, "the cloud to be left")
    else:
        page.wait("#chat-log .bad")
    cloud.heal()
    page.fill("#chat-text", "hello again")
    page.press("Control+Enter")
    page.says("#chat-log", cloud.text)
    assert page.value("#chat-text") == "" and page.attribute("#chat-send", "disabled") is None
