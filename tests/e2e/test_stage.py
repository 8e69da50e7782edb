"""plugins/stage.c in a real gateway: an agent's progress, and the place that its conversation keeps."""

import itertools
import json

import pytest
from harness import auto_route, profile, wait_until

QUICK, STRONG = "demo-chat", "demo-coder"
numbers = itertools.count()


@pytest.fixture(scope="module")
def gw(make_module_gateway):
    """The quick target is the one for everything, the strong one for what names code."""
    routes = {
        "20-auto.conf": auto_route(f"{QUICK},{STRONG}", policies="capability,regex,stage", WEIGHT_LEAVING=0,
                                   WEIGHT_WAITING=0),
        "30-bare.conf": {"route": {"MODELS": "bare", "POLICIES": "capability,stage",
                                   "TARGETS": f"{QUICK},{STRONG}", "WEIGHT_LEAVING": 0, "WEIGHT_WAITING": 0}},
        "40-mild.conf": {"route": {"MODELS": "mild", "POLICIES": "stage", "TARGETS": f"{QUICK},{STRONG}"},
                         "policy stage": {"ON_CRITICAL": "no", "THRESHOLD": "0.9", "CALM": "0"}},
        "50-stickless.conf": auto_route(f"{QUICK},{STRONG}", policies="capability,regex,stage", MODELS="stickless",
                                        STICK=0, WEIGHT_LEAVING=0, WEIGHT_WAITING=0),
    }
    gw = make_module_gateway({QUICK: profile(QUICK, PRELOAD="yes", STRENGTH="0.4", GOOD_AT="general"),
                              STRONG: profile(STRONG, PRELOAD="yes", STRENGTH="0.9", GOOD_AT="code")},
                             routes, manager={"RAM": 1000}, workers=2)
    for name in (QUICK, STRONG):
        assert gw.chat("hi", model=name, max_tokens=1).status == 200
    return gw


# --- bodies ---


def user(text):
    return {"role": "user", "content": text}


def step(name, args, result, protocol, failed=False, remark=None):
    """A call and its result, as messages of the protocol."""
    n = f"c{next(numbers)}"
    if protocol == "messages":
        block = {"type": "tool_result", "tool_use_id": n, "content": result}
        if failed:
            block["is_error"] = True
        parts = [block] + ([{"type": "text", "text": remark}] if remark else [])
        return [{"role": "assistant", "content": [{"type": "tool_use", "id": n, "name": name, "input": args}]},
                {"role": "user", "content": parts}]
    text = json.dumps(args)
    if protocol == "responses":
        return [{"type": "function_call", "call_id": n, "name": name, "arguments": text},
                {"type": "function_call_output", "call_id": n, "output": result}]
    return [{"role": "assistant", "content": None, "tool_calls": [
                {"id": n, "type": "function", "function": {"name": name, "arguments": text}}]},
            {"role": "tool", "tool_call_id": n, "content": result}]


def edits(n, protocol):
    return [m for i in range(n) for m in step("edit", {"file": f"f{i}.c"}, "done", protocol)]


def runs(result, n, protocol):
    return [m for i in range(n) for m in step("bash", {"command": f"make t{i}"}, result, protocol)]


def reads(n, protocol, same=False):
    return [m for i in range(n) for m in step("read_file", {"file": "a.c" if same else f"f{i}.c"}, "text", protocol)]


def route(gw, messages, protocol="chat", model="bare"):
    body = {"model": model, "input" if protocol == "responses" else "messages": messages}
    headers = {"anthropic-version": "2023-06-01"} if protocol == "messages" else None
    reply = gw.post("/v1/route", body, headers)
    assert reply.status == 200, reply
    return reply.json


def said(trace, name="stage"):
    return next(p for p in trace["policies"] if p["name"] == name)["verdict"]


# --- what it makes of an agent's steps ---


@pytest.mark.parametrize("protocol", ["chat", "messages", "responses"])
@pytest.mark.parametrize("what, target, score, insists", [
    ("edits", QUICK, (0, 0.1), True),
    ("streak", STRONG, (0.5, 1), True),
    ("repeats", STRONG, (0.5, 1), True),
    ("critical", STRONG, (1, 1), True),
    ("reading", QUICK, (0.2, 0.3), False),
    ("mixed", QUICK, (0.01, 0.49), False),
])
def test_the_results_of_tools_choose_the_side(gw, protocol, what, target, score, insists):
    bodies = {
        "edits": edits(4, protocol),
        "streak": runs("3 failed, 1 passed", 3, protocol),
        "repeats": reads(5, protocol, same=True),
        "critical": edits(3, protocol) + runs("Segmentation fault (core dumped)", 1, protocol),
        "reading": reads(5, protocol),
        "mixed": reads(2, protocol) + edits(1, protocol) + runs("1 failed", 1, protocol),
    }
    trace = route(gw, [user(f"work on it: {what}")] + bodies[what], protocol)
    verdict = said(trace)
    assert trace["target"] == target, verdict
    assert score[0] <= verdict["complexity"] <= score[1], verdict
    assert verdict.get("insists", False) == insists, verdict


@pytest.mark.parametrize("messages", [
    [user("hello")],
    [user("hello"), {"role": "assistant", "content": "hi"}, user("and now?")],
    [user("go")] + runs("3 failed", 3, "chat") + [{"role": "assistant", "content": "no"}, user("why?")],
], ids=["one", "two turns", "a new turn after tools"])
def test_without_a_tool_result_at_the_end_it_says_nothing(gw, messages):
    trace = route(gw, messages)
    verdict = said(trace)
    assert verdict["abstained"] and "complexity" not in verdict and "insists" not in verdict
    assert trace["target"] == QUICK


def test_a_crash_that_is_over_is_no_crash(gw):
    trace = route(gw, [user("go")] + runs("Segmentation fault", 1, "chat") + edits(4, "chat"))
    assert trace["target"] == QUICK and said(trace)["complexity"] < 0.5


def test_its_options_are_heeded(gw):
    crash = [user("go")] + runs("Segmentation fault", 1, "chat")
    assert said(route(gw, crash))["insists"]
    mild = said(route(gw, crash, model="mild"))
    assert mild["complexity"] < 0.5 and "insists" not in mild


def test_calm_above_threshold_is_refused(gw, tmp_path):
    (tmp_path / "20-wrong.conf").write_text(f"[route]\nMODELS=wrong\nPOLICIES=stage\nTARGETS={QUICK}\n"
                                            "[policy stage]\nCALM=0.6\nTHRESHOLD=0.5\n")
    done = gw.cli("check", "--models", str(gw.models_file), "--routes", str(tmp_path), "--plugins",
                  str(gw.plugins), check=None)
    assert done.returncode != 0
    assert "CALM must be below THRESHOLD" in done.stdout + done.stderr


# --- the place of a conversation ---

CODE, PROSE = "debug this", "tell me a story"


def ask(gw, messages, model="auto"):
    """A turn that is answered; who did."""
    reply = gw.post("/v1/messages", {"model": model, "max_tokens": 1, "messages": messages},
                    {"anthropic-version": "2023-06-01"})
    assert reply.status == 200, reply
    return reply.header("x-pointsman-target")


def begin(gw, text, target, model="auto"):
    """The first turn of a conversation, of which nobody knows yet; its messages."""
    messages = [user(f"{text} ({next(numbers)})")]
    assert ask(gw, messages, model) == target
    return messages


def staying(gw, messages, target, model="auto"):
    """The answer before is noted when its exchange is over, a moment after its last byte."""
    def reached():
        trace = route(gw, messages, "messages", model)
        return trace if trace.get("stays") and trace["target"] == target else None
    return wait_until(reached, 10, f"the conversation to stay with {target}", step=0.02)


def one_step(remark, result="ok"):
    return step("bash", {"command": "make"}, result, "messages", remark=remark)


@pytest.mark.parametrize("first, remark, target", [(CODE, PROSE, STRONG), (PROSE, CODE, QUICK)])
def test_a_tool_result_goes_where_the_turn_before_went(gw, first, remark, target):
    messages = begin(gw, first, target)
    trace = staying(gw, messages + one_step(remark), target)
    assert "tool" in trace["reason"]
    # a new turn of the user goes where the scores say
    turn = route(gw, messages + [{"role": "assistant", "content": "so"}, user(remark)], "messages", "auto")
    assert turn["target"] != target and not turn.get("stays")


def test_a_turn_that_nobody_knows_stays_nowhere(gw):
    trace = route(gw, [user(f"{CODE} ({next(numbers)})")] + one_step(PROSE), "messages", "auto")
    assert trace["target"] == QUICK and not trace.get("stays")


def test_without_stick_nobody_stays(gw):
    messages = begin(gw, CODE, STRONG, "stickless")
    later = messages + one_step(PROSE)
    staying(gw, later, STRONG)  # the other route sees where it is
    trace = route(gw, later, "messages", "stickless")
    assert trace["target"] == QUICK and not trace.get("stays")


def test_stage_moves_it_when_it_fails(gw):
    messages = begin(gw, PROSE, QUICK)
    staying(gw, messages + one_step(None), QUICK)
    for trouble in (runs("2 failed", 3, "messages"), one_step(None, "Segmentation fault"),
                    reads(5, "messages", same=True)):
        trace = route(gw, messages + trouble, "messages", "auto")
        assert trace["target"] == STRONG and not trace.get("stays"), trace
        assert said(trace)["insists"]


def test_stage_moves_it_back_when_edits_go_well(gw):
    messages = begin(gw, CODE, STRONG)
    working = step("edit", {"file": "x.c"}, "done", "messages", remark=PROSE)
    staying(gw, messages + working, STRONG)
    trace = route(gw, messages + edits(3, "messages") + working, "messages", "auto")
    assert trace["target"] == QUICK and not trace.get("stays"), trace
    assert said(trace)["insists"]


def test_conversations_that_begin_alike_keep_their_own_places(gw):
    first = begin(gw, PROSE, QUICK)
    a = first + [{"role": "assistant", "content": "this"}, user(CODE)]
    b = first + [{"role": "assistant", "content": "that"}, user(PROSE)]
    staying(gw, first + one_step(CODE), QUICK)
    assert ask(gw, a) == STRONG
    assert ask(gw, b) == QUICK
    for remark in (CODE, PROSE):
        staying(gw, a + one_step(remark), STRONG)
        staying(gw, b + one_step(remark), QUICK)


def test_the_place_outlives_a_restart(make_gateway):
    gw = make_gateway({QUICK: profile(QUICK), STRONG: profile(STRONG)},
                      {"20-auto.conf": auto_route(f"{QUICK},{STRONG}", policies="capability,regex",
                                                  WEIGHT_LEAVING=0, WEIGHT_WAITING=0)}, manager={"RAM": 1000})
    messages = begin(gw, CODE, STRONG)
    later = messages + one_step(PROSE)
    staying(gw, later, STRONG)
    gw.restart()
    staying(gw, later, STRONG)
