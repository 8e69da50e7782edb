"""What is said of an answer afterwards reaches the policies that judged its request, whichever worker answered."""

import pytest
from harness import profile, wait_until

LEFT, RIGHT = "demo-chat", "demo-coder"


@pytest.fixture(scope="module")
def gw(make_module_gateway):
    route = {"route": {"MODELS": "auto", "POLICIES": "learned", "TARGETS": f"{LEFT},{RIGHT}", "STICK": 0,
                       "WEIGHT_LEAVING": 0, "WEIGHT_WAITING": 0}}
    gw = make_module_gateway({name: profile(name, PRELOAD="yes", STRENGTH="0.5", GOOD_AT="general")
                              for name in (LEFT, RIGHT)},
                             {"20-auto.conf": route}, manager={"RAM": 1000}, workers=2)
    for name in (LEFT, RIGHT):
        assert gw.chat("hi", model=name, max_tokens=1).status == 200
    return gw


def say(gw, **words):
    return gw.post("/v1/feedback", words)


def judged(gw):
    lines = [line for line in gw.get("/metrics").text.splitlines()
             if line.startswith("pointsman_policy_judged_answers_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_what_is_said_of_answers_moves_the_next_decisions(gw):
    """Both targets are alike until one of them has done badly again and again."""
    text = "Write a short story about a lighthouse keeper and her cat."
    before = judged(gw)
    for n in range(30):
        reply = gw.chat(f"{text} ({n})", max_tokens=1)
        assert reply.status == 200
        target = reply.header("x-pointsman-target")
        answer = say(gw, request=reply.header("x-pointsman-request"), label="bad" if target == LEFT else "good")
        assert answer.status in (200, 202), answer.body
    wait_until(lambda: judged(gw) >= before + 30, 10, "all that was said is heard")
    trace = gw.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": text}]}).json
    prefer = trace["policies"][0]["verdict"]["prefer"]
    assert trace["target"] == RIGHT
    assert prefer[RIGHT] > 0 > prefer[LEFT]


def test_what_was_learnt_outlives_the_workers(gw):
    text = {"model": "auto", "messages": [{"role": "user", "content": "Write a poem about the harbour."}]}
    learnt = gw.post("/v1/route", text).json["policies"][0]["verdict"].get("prefer")
    gw.write_route("30-other.conf", {"route": {"MODELS": "other", "TARGETS": LEFT, "POLICIES": "capability"}})
    wait_until(lambda: gw.post("/v1/route", {**text, "model": "other"}).status == 200, 10, "new workers")
    assert gw.post("/v1/route", text).json["policies"][0]["verdict"].get("prefer") == learnt


@pytest.mark.parametrize("words, part", [
    ({}, "request"),
    ({"request": "x", "score": 1}, "request"),
    ({"request": "req_0000000000000000"}, "score"),
    ({"request": "req_0000000000000000", "score": 2}, "score"),
    ({"request": "req_0000000000000000", "score": "1"}, "score"),
    ({"request": "req_0000000000000000", "label": "so so"}, "label"),
])
def test_what_cannot_be_understood_is_told(gw, words, part):
    reply = say(gw, **words)
    assert reply.status == 400
    assert f"`{part}`" in reply.json["error"]["message"]


def test_a_request_that_nobody_knows_is_passed_on(gw):
    reply = say(gw, request="req_0000000000000000", score=0.5)
    assert reply.status == 202
    assert reply.json["status"] == "passed on"


def test_another_method_is_refused(gw):
    assert gw.get("/v1/feedback").status == 405
