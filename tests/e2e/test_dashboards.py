"""packaging/grafana: what the dashboard and the alerts name is what a gateway tells Prometheus."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import ROOT, auto_route, profile, wait_until

GRAFANA = ROOT / "packaging" / "grafana"
PROMTOOL = shutil.which("promtool")
NAME = re.compile(r"\b(?:gen_ai|pointsman)_\w+")
SELECTOR = re.compile(r"\b((?:gen_ai|pointsman)_\w+)\s*\{([^{}]*)\}")
GROUPED = re.compile(r"\b(?:by|on)\s*\(([^()]*)\)")
LABEL = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"((?:[^"\\]|\\.)*)"')
DEFINED = re.compile(r'^    \{"((?:gen_ai|pointsman)_\w+)", "(\w+)",', re.M)
PARTS = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
# Prometheus gives every series the first two, and a histogram's buckets the third.
OTHERS = {"instance", "job", "le"}
# What this gateway has no cause to count: its labels are those of docs/reference.md.
UNSEEN = {"pointsman_kv_total": {"profile", "what"}, "pointsman_kv_seconds": {"profile", "what"},
          "pointsman_mended_events_total": {"protocol"}, "pointsman_redis_up": set(),
          "pointsman_policy_over_budget_total": {"policy"}, "pointsman_resumes_total": set(),
          "pointsman_reviews_total": {"target", "end"}, "pointsman_usage_dropped_total": set(),
          "pointsman_review_questions_failed_total": set(), "pointsman_feedback_total": set(),
          "pointsman_worker_restarts_total": set(), "pointsman_cost_total": {"target", "route"},
          "pointsman_cached_tokens_total": {"target", "route"},
          "pointsman_prefix_break_bytes": {"target"}, "pointsman_breaker_open": {"target"},
          **{f"pointsman_gpu_{what}": {"gpu"} for what in (
              "memory_bytes", "memory_free_bytes", "power_watts", "temperature_celsius", "use_ratio")}}


def dashboard():
    return json.loads((GRAFANA / "pointsman.json").read_text())


def panel_expressions():
    dash = dashboard()
    for panel in dash["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in dash["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
            yield variable["name"], f"max by ({label}) ({metric})"
    for note in dash["annotations"]["list"]:
        yield note["name"], note["expr"]


def rule_expressions():
    """Read without a YAML library: a rule's expr stands on its line, or folded below it."""
    text = (GRAFANA / "alerts.yml").read_text()
    for rule in re.split(r"^      - alert: ", text, flags=re.M)[1:]:
        expr = re.search(r"^        expr: (?:>-\n)?((?:.*\n)+?)        (?:for|labels):", rule, re.M)
        yield rule.split("\n", 1)[0], " ".join(expr.group(1).split())


EXPRESSIONS = [*panel_expressions(), *rule_expressions()]


def defined():
    """Metric: what stands for it in a scrape."""
    found = DEFINED.findall((ROOT / "core" / "base" / "metrics.c").read_text())
    assert len(found) > 30, "metrics.c does not look as it did"
    return {f"{name}{part}": name for name, kind in found for part in PARTS[kind]}


def scraped(text):
    """Metric: for each of its labels the values seen."""
    out = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels = re.match(r"(\w+)(?:\{(.*)\})? \S+$", line).groups()
        seen = out.setdefault(name, {})
        for label, _, value in LABEL.findall(labels or ""):
            seen.setdefault(label, set()).add(value)
    return out


@pytest.fixture(scope="module")
def scrape(make_module_gateway):
    models = {"demo-chat": profile("demo-chat"), "demo-coder": profile("demo-coder")}
    gone = {"CLOUD": "openai", "BASE_URL": "http://127.0.0.1:9", "MODEL": "far"}
    routes = {"20-auto.conf": auto_route("demo-chat,demo-coder"),
              "30-kept.conf": {"route": {"MODELS": "kept", "POLICIES": "capability", "CACHE": "1h",
                                         "TARGETS": "gone", "FALLBACK": "demo-chat"}}}
    gw = make_module_gateway({**models, "gone": gone}, routes, manager={"RAM": 300, "MIN_RESIDENCY": 0})
    for how in ({"text": "Hello"}, {"text": "debug this function"},
                {"text": "Hello", "model": "kept", "temperature": 0}):
        assert gw.chat(max_tokens=4, **how).status == 200
    assert gw.chat("Hello", model="nobody").status == 404
    body = {"model": "demo-chat", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    gw.open("POST", "/v1/chat/completions", body).close()
    gw.kill_server("demo-chat")

    def all_counted():
        """Workers hand their counts to the manager a little later."""
        found = scraped(gw.get("/metrics").text)
        paths = found.get("pointsman_http_requests_total", {}).get("status", ())
        crashed = "crash" in found["pointsman_switches_total"].get("what", ())
        return found if {"0", "200", "404"} <= set(paths) and crashed else None

    return wait_until(all_counted, 10, "all to be counted", 0.05)


def test_what_is_named_is_defined():
    known = defined()
    wrong = {(where, name) for where, expr in EXPRESSIONS for name in NAME.findall(re.sub(r'"[^"]*"', "", expr))
             if name not in known and name != "gen_ai_response_model" and name != "gen_ai_token_type"}
    assert not wrong


def test_all_that_is_defined_is_shown():
    shown = {name for _, expr in panel_expressions() for name in NAME.findall(expr)}
    missing = set(defined().values()) - {defined().get(name) for name in shown}
    assert not missing, "show it on the dashboard"


def test_names_and_labels_are_scraped(scrape):
    known = defined()
    for where, expr in EXPRESSIONS:
        used = set()
        for name, labels in SELECTOR.findall(expr):
            base = known[name]
            if name not in scrape:
                assert base in UNSEEN, f"{where}: {name} is not in a scrape"
            has = set(scrape[name]) if name in scrape else UNSEEN[base]
            used |= has
            for label, _, _ in LABEL.findall(labels):
                assert label in has | OTHERS, f"{where}: {name} has no label {label}"
        bare = {name for name in NAME.findall(re.sub(r'"[^"]*"', "", expr)) if name in known}
        for name in bare:
            used |= set(scrape[name]) if name in scrape else UNSEEN[known[name]]
        made = set(re.findall(r'label_replace\(.*?, "(\w+)", "\$1"', expr))
        for labels in GROUPED.findall(expr):
            for label in re.findall(r"\w+", labels):
                assert label in used | OTHERS | made, f"{where}: no series has the label {label}"


def test_values_that_are_asked_for_exist(scrape):
    """state="failed" and the like: a value that is written out is one that the gateway writes."""
    sources = [p.read_text() for p in (ROOT / "core").rglob("*.c")]
    words = set(re.findall(r'"([a-z_]+)"', "\n".join(sources)))
    for where, expr in EXPRESSIONS:
        for name, labels in SELECTOR.findall(expr):
            for label, sign, value in LABEL.findall(labels):
                if sign == "=" and not value.startswith("$") and not value.isdigit():
                    known = words | scrape.get(name, {}).get(label, set())
                    assert value in known, f'{where}: {name}{{{label}="{value}"}}'


def test_dashboard_is_whole():
    dash = dashboard()
    panels = dash["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        refs = [target["refId"] for target in panel.get("targets", [])]
        assert len(refs) == len(set(refs))
    names = {variable["name"] for variable in dash["templating"]["list"]} | {"__rate_interval", "__range"}
    for where, expr in panel_expressions():
        assert set(re.findall(r"\$(\w+)", expr)) <= names, where


def test_rules_say_what_to_do():
    text = (GRAFANA / "alerts.yml").read_text()
    rules = re.split(r"^      - alert: ", text, flags=re.M)[1:]
    tests = (GRAFANA / "alerts_test.yml").read_text()
    for rule in rules:
        name = rule.split("\n", 1)[0]
        for key in ("summary:", "description: >-"):
            assert f"          {key}" in rule, f"{name} has no {key}"
        assert re.search(r"severity: (critical|warning)\}", rule), name
        assert f'"{name}"' in tests, f"alerts_test.yml does not see {name} fire"


def test_yaml_is_read():
    yaml = pytest.importorskip("yaml")
    for path in sorted(Path(GRAFANA).glob("*.yml")):
        yaml.safe_load(path.read_text())
    groups = yaml.safe_load((GRAFANA / "alerts.yml").read_text())["groups"]
    read = [(rule["alert"], " ".join(rule["expr"].split())) for group in groups for rule in group["rules"]]
    assert read == list(rule_expressions())


@pytest.mark.skipif(not PROMTOOL, reason="no promtool: it comes with Prometheus")
@pytest.mark.parametrize("what", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")])
def test_promtool(what):
    done = subprocess.run([PROMTOOL, *what], cwd=GRAFANA, capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
