"""plugins/escalate.c in a real gateway: its rules, its judge, and what it may spend."""

import itertools
import time

import pytest
from harness import Crowd, wait_until
from held import (CASES, CHAT, KEY, MESSAGES, NAMES, PATHS, PROTOCOLS, RESPONSES, STRONG, WEAK, Clouds, answer_of,
                  ask_and_check, begin, local, metric, route, send)
from script import ask as ask_turns

UP = "The upper cloud knows better."
numbers = itertools.count()


@pytest.fixture(scope="module")
def clouds():
    made = Clouds(weak="chat", weakmsg="messages", up="chat", judge="chat", judgemsg="messages", judgeresp="responses")
    yield made
    made.close()


def rules(model, targets="weak,up", **keys):
    keys.setdefault("budget", 200)
    return route(model, targets, "escalate", **keys)


def named(routes):
    return {f"{20 + n}-{one['route']['MODELS']}.conf": one for n, one in enumerate(routes)}


@pytest.fixture(scope="module")
def gw(make_module_gateway, clouds):
    routes = [rules("rules"), rules("tools", tools="yes"), rules("real", f"{WEAK},{STRONG}"),
              rules("realtools", f"{WEAK},{STRONG}", tools="yes"),
              rules("unsure", f"{WEAK},{STRONG}", min_logprob="0"), rules("alone", "weak"),
              rules("fallback", "weak", FALLBACK="up"), rules("broke", budget=0),
              rules("brokejudge", "weak,up,judge", budget=0, judge="judge"),
              rules("judged", "weak,up,judge", judge="judge"), rules("selfish", "weak,up", judge="up"), rules("by-judgemsg", "weak,up,judgemsg", judge="judgemsg"),
              rules("by-judgeresp", "weak,up,judgeresp", judge="judgeresp"), rules("dry", budget=40)]
    models = {WEAK: local(WEAK), STRONG: local(STRONG), **clouds.sections(weak="0.1", weakmsg="0.1")}
    gw = make_module_gateway(models, {"00-gateway.conf": {"gateway": {"SILENCE": "2s"}}, **named(routes)},
                             manager={"RAM": 1000}, env=KEY)
    for name in (WEAK, STRONG):
        gw.wait_profile(name, "ready", 60)
    return gw


@pytest.fixture(autouse=True)
def fresh(clouds):
    clouds.reset()
    clouds.up.say(text=UP)


def escalated(gw, why):
    return metric(gw, f"pointsman_policy_escalated_{why}_total")


# --- the rules ---

RULES = {
    "good": (None, {"text": "Forty-two."}),
    "empty": ("empty", {"text": ""}),
    "only thoughts": ("empty", {"text": "", "reasoning": "Hm. What could it be?"}),
    "cut": ("cut", {"text": "It begins and", "stop": "length"}),
    "filtered": ("filtered", {"text": "It", "stop": "filter"}),
    "refusal": ("refusal", {"text": "I cannot help with that."}),
}


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
@pytest.mark.parametrize("rule", list(RULES))
def test_a_rule(gw, clouds, protocol, stream, rule):
    why, says = RULES[rule]
    clouds.weak.say(**says)
    # a caller of messages always gives a limit, and the next model would meet it, too
    if rule == "cut" and protocol == MESSAGES:
        why = None
    before = escalated(gw, why or "any")
    reply, answer = send(gw, protocol, f"hi {next(numbers)}", "rules", stream)
    assert reply.header("x-pointsman-target") == ("up" if why else "weak")
    assert answer.text == (UP if why else says["text"])
    assert reply.header("x-pointsman-attempts") == ("2" if why else "1")
    assert "small first" in reply.header("x-pointsman-reason")
    assert not answer.thinking and (not why or not says["text"] or says["text"].encode() not in reply.body)
    if why:
        assert escalated(gw, why) == before + 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol", [CHAT, RESPONSES])
def test_a_cut_at_the_callers_limit_is_his(gw, clouds, protocol, stream):
    clouds.weak.say(text="It begins and", stop="length")
    reply, answer = send(gw, protocol, "hi", "rules", stream, limit=5)
    assert answer.text == "It begins and" and answer.stop == "length"
    assert reply.header("x-pointsman-target") == "weak"


@pytest.mark.parametrize("text, refuses", [
    ("I'm sorry, but no.", True), ("  \n\"I am sorry\"", True), ("I don't know.", True), ("AS AN AI model", True),
    ("Unfortunately, I have to pass.", True), ("Es tut mir leid.", True), ("Je suis désolé.", True),
    ("I can\u2019t help with that.", True), ("I\u2019m sorry, but no.", True), ("I don\u2019t know.", True),
    ("One cannot say.", False), ("Sorry is a word.", False), ("The answer: I don't know is no answer.", False)])
def test_what_a_refusal_is(gw, clouds, text, refuses):
    clouds.weak.say(text=text)
    _, answer = send(gw, CHAT, "hi", "rules")
    assert answer.text == (UP if refuses else text)


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
def test_a_real_model(gw, protocol, stream):
    ask_and_check(gw, protocol, "hi", "real", stream, WEAK)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_improbable(gw, stream):
    """What is asked of the server for the policy is not told to the caller."""
    before = escalated(gw, "improbable")
    for model, target, attempts in (("unsure", STRONG, 2), ("real", WEAK, 1)):
        reply, _ = ask_and_check(gw, CHAT, "hi", model, stream, target, attempts)
        assert b'"logprobs":{' not in reply.body
    assert escalated(gw, "improbable") == before + 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_who_asks_for_probabilities_gets_them(gw, stream):
    with begin(gw, CHAT, "hi", "unsure", stream, logprobs=True) as exchange:
        reply = exchange.read()
    assert reply.status == 200 and b'"logprobs":{' in reply.body
    assert reply.header("x-pointsman-target") == WEAK


@pytest.mark.parametrize("protocol", [MESSAGES, RESPONSES])
def test_where_nobody_tells_probabilities(gw, protocol):
    ask_and_check(gw, protocol, "hi", "unsure", True, WEAK)


# --- tools ---


def with_tools(gw, protocol, model, stream, turns=None):
    body = ask_turns(protocol, turns or [("user", f"hi {next(numbers)}")], model, stream, tools=["look"])
    headers = {"anthropic-version": "2023-06-01"} if protocol == MESSAGES else {}
    reply = gw.post(PATHS[protocol], body, headers)
    return reply, answer_of(protocol, reply, stream)


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
def test_requests_with_tools_are_left_alone(gw, clouds, protocol, stream):
    clouds.weak.say(text="I cannot help with that.")
    before = metric(gw, "pointsman_reviews_total")
    reply, answer = with_tools(gw, protocol, "rules", stream)
    assert answer.text == "I cannot help with that." and reply.header("x-pointsman-target") == "weak"
    assert metric(gw, "pointsman_reviews_total") == before


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
def test_unless_it_is_told_to(gw, clouds, protocol, stream):
    clouds.weak.say(text="I cannot help with that.")
    reply, answer = with_tools(gw, protocol, "tools", stream)
    assert answer.text == UP and reply.header("x-pointsman-target") == "up"
    clouds.weak.say(text="", calls=[(0, '{"path": "a", "depth": 1}')])
    reply, answer = with_tools(gw, protocol, "tools", stream)
    assert [c.name for c in answer.calls] == ["look"] and answer.stop == "tool"
    assert reply.header("x-pointsman-target") == "weak"


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
def test_a_real_model_with_tools(gw, protocol, stream):
    reply, answer = with_tools(gw, protocol, "realtools", stream)
    assert reply.status == 200 and (answer.text or answer.calls)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_result_of_a_tool_is_not_held(gw, clouds, protocol):
    ask = [("user", f"look {next(numbers)}")]
    clouds.weak.say(text="", calls=[(0, '{"path": "a", "depth": 1}')])
    _, answer = with_tools(gw, protocol, "tools", True, ask)
    call = answer.calls[0]
    clouds.weak.say(text="I cannot help with that.")
    before = metric(gw, "pointsman_reviews_total")
    turns = ask + [("call", call.id, call.name, {"path": "a", "depth": 1}), ("result", call.id, "nothing")]
    body = ask_turns(protocol, turns, "tools", True, tools=["look"])
    headers = {"anthropic-version": "2023-06-01"} if protocol == MESSAGES else {}
    wait_until(lambda: gw.post("/v1/route", body, headers).json.get("stays"), 10, "its place", step=0.02)
    reply, answer = with_tools(gw, protocol, "tools", True, turns)
    assert answer.text == "I cannot help with that." and reply.header("x-pointsman-target") == "weak"
    assert metric(gw, "pointsman_reviews_total") == before


# --- who is left ---


def test_one_target_only(gw, clouds):
    clouds.weak.say(text="I cannot help with that.")
    before = metric(gw, "pointsman_reviews_total")
    _, answer = send(gw, CHAT, "hi", "alone", True)
    assert answer.text == "I cannot help with that." and metric(gw, "pointsman_reviews_total") == before


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
def test_the_fallback_answers(gw, clouds, protocol, stream):
    clouds.weak.say(text="I cannot help with that.")
    reply, answer = send(gw, protocol, "hi", "fallback", stream)
    assert answer.text == UP and reply.header("x-pointsman-target") == "up"


# --- the judge ---


@pytest.mark.parametrize("said, target", [
    ("7", "weak"), ("6", "weak"), ("5.9", "up"), ("0", "up"), ("Rating: 8", "weak"), ("7/10", "weak"), ("**3**", "up"),
    ("10", "weak"), ("11", "weak"), ("excellent", "weak"), ("", "weak")])
def test_a_rating(gw, clouds, said, target):
    clouds.weak.say(text="Forty-two.")
    clouds.judge.say(text=said)
    reply, answer = send(gw, CHAT, "What is six by seven?", "judged")
    assert reply.header("x-pointsman-target") == target, answer
    question = clouds.judge.posts()[0].json
    assert "six by seven" in question["messages"][-1]["content"] and "Forty-two." in question["messages"][-1]["content"]
    assert question["temperature"] == 0 and not question.get("stream") and len(clouds.judge.posts()) == 1


@pytest.mark.parametrize("protocol, stream", CASES, ids=NAMES)
@pytest.mark.parametrize("said", ["9", "2"])
def test_a_judged_answer(gw, clouds, protocol, stream, said):
    clouds.weak.say(text="Forty-two.")
    clouds.judge.say(text=said)
    before = escalated(gw, "rated_low")
    reply, answer = send(gw, protocol, "What is six by seven?", "judged", stream)
    assert answer.text == ("Forty-two." if said == "9" else UP)
    assert escalated(gw, "rated_low") == before + (said == "2")
    assert reply.header("x-pointsman-attempts") == ("1" if said == "9" else "2")


@pytest.mark.parametrize("how", [{"kind": "status", "status": 500}, {"kind": "status", "status": 401},
                                 {"kind": "close"}, {"kind": "headers"}, {"kind": "cut"}],
                         ids=["500", "401", "close", "headers", "cut"])
def test_a_judge_that_fails(gw, clouds, how):
    clouds.weak.say(text="Forty-two.")
    clouds.judge.fail(**how)
    before = metric(gw, "pointsman_review_questions_failed_total")
    began = time.monotonic()
    _, answer = send(gw, CHAT, "hi", "judged", True)
    assert answer.text == "Forty-two." and time.monotonic() - began < 5
    assert metric(gw, "pointsman_review_questions_failed_total") == before + 1


def test_a_judge_that_is_silent(gw, clouds):
    """A question has half a minute."""
    clouds.weak.say(text="Forty-two.")
    clouds.judge.fail("stall")
    began = time.monotonic()
    _, answer = send(gw, CHAT, "hi", "judged", True)
    assert answer.text == "Forty-two." and 25 < time.monotonic() - began < 40
    wait_until(lambda: clouds.judge.left, 5, "the question to be taken back")


def test_a_long_text_of_many_bytes(gw, clouds):
    clouds.weak.say(text="\u20ac\U0001f600ä" * 3000, step=3000)
    clouds.judge.say(text="9")
    _, answer = send(gw, CHAT, "ß\u4e2d" * 5000, "judged")
    assert len(answer.text) == 9000
    assert "\ufffd" not in clouds.judge.posts()[0].json["messages"][-1]["content"]


def test_nobody_judges_himself(gw, clouds):
    clouds.weak.fail("status", status=404 + 96)
    _, answer = send(gw, CHAT, "hi", "selfish")
    assert answer.text == UP and len(clouds.up.posts()) == 1


@pytest.mark.xfail(strict=True, reason="questions of policies are asked in chat only")
@pytest.mark.parametrize("name", ["judgemsg", "judgeresp"])
def test_a_judge_of_another_protocol(gw, clouds, name):
    """It cannot be asked; where that is so, the configuration says it, or it is asked all the same."""
    clouds.weak.say(text="Forty-two.")
    clouds.by_name[name].say(text="2")
    _, answer = send(gw, CHAT, "hi", f"by-{name}")
    assert answer.text == UP and clouds.by_name[name].posts()


@pytest.mark.xfail(strict=True, reason="a policy sees targets only when it judges")
def test_a_judge_that_is_no_target_is_refused(gw, tmp_path):
    (tmp_path / "20-wrong.conf").write_text("[route]\nMODELS=wrong\nPOLICIES=escalate\nTARGETS=weak,up\n"
                                            "[policy escalate]\nJUDGE=nobody\n")
    done = gw.cli("check", "--models", str(gw.models_file), "--routes", str(tmp_path), "--plugins",
                  str(gw.plugins), check=None)
    assert done.returncode != 0 and "nobody" in done.stdout + done.stderr


# --- what it may spend ---


@pytest.mark.parametrize("model", ["broke", "brokejudge"])
def test_without_a_budget(gw, clouds, model):
    before = metric(gw, "pointsman_policy_over_budget_answers_total")
    clouds.weak.say(text="I cannot help with that.")
    for _ in range(3):
        reply, answer = send(gw, CHAT, "hi", model)
        assert answer.text == "I cannot help with that." and reply.header("x-pointsman-attempts") == "1"
    assert not clouds.up.posts() and not clouds.judge.posts()
    assert metric(gw, "pointsman_policy_over_budget_answers_total") == before + 3


def test_a_dry_run_saves_nothing(gw, clouds):
    clouds.weak.say(text="I cannot help with that.")
    body = {"model": "dry", "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(50):
        assert gw.post("/v1/route", body).status == 200
    _, answer = send(gw, CHAT, "hi", "dry")
    assert answer.text == "I cannot help with that."


@pytest.mark.parametrize("model, says, rated", [("share", "I cannot help.", None), ("sharejudge", "Forty-two.", "2")])
def test_its_share(make_gateway, clouds, measured, model, says, rated):
    """200 requests, all of which it would turn down, at two workers: 40 of a hundred, and not one more."""
    routes = [rules("share", budget=40), rules("sharejudge", "weak,up,judge", budget=40, judge="judge")]
    gw = make_gateway(clouds.sections(weak="0.1"), named(routes), env=KEY, workers=2)
    clouds.weak.say(text=says)
    clouds.judge.say(text=rated or "9")
    asked = itertools.count()

    def one(_):
        if next(asked) >= 200:
            time.sleep(0.01)  # the others are under way
            return None
        return send(gw, CHAT, "hi", model)[0]

    with Crowd(8, one) as crowd:
        wait_until(lambda: sum(r is not None for _, r in list(crowd.replies)) >= 200 or crowd.errors, 90, "200 answers")
    assert not crowd.errors, crowd.errors[:3]
    extra = len(clouds.up.posts()) + len(clouds.judge.posts())
    measured(f"escalate, {model}: {len(clouds.judge.posts())} questions and {len(clouds.up.posts())} second answers"
             " for 200 requests, 80 may be")
    assert 70 <= extra <= 82
