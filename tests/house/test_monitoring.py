"""Dashboards and alerts ask for metrics and labels that exist; every alert is tested, and says what to do."""

import json
import re

import pytest
import yaml
from prometheus_client import Counter, Histogram

from gateway import telemetry
from tests.house.sources import ROOT

DASHBOARDS = sorted((ROOT / "infra" / "grafana" / "dashboards").glob("*.json"))
ALERTS = yaml.safe_load((ROOT / "infra" / "prometheus" / "alerts.yml").read_text("utf-8"))
CASES = yaml.safe_load((ROOT / "infra" / "prometheus" / "alerts_test.yml").read_text("utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]

# What Prometheus adds, and what a histogram has.
_COMMON = {"job", "instance", "le"}
_METRIC = re.compile(r"\b(?:gateway|process)_[a-z0-9_]+\b(?!\s*=)")
_SELECTED = re.compile(r"\b((?:gateway|process)_[a-z0-9_]+)\{([^}]*)\}")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")


def known():
    """The names under which our metrics are scraped, each with its labels."""
    names = {}
    metrics = [each for each in vars(telemetry).values() if hasattr(each, "_labelnames")]
    for metric in metrics:
        labels = set(metric._labelnames)
        if isinstance(metric, Counter):
            names[f"{metric._name}_total"] = labels
        elif isinstance(metric, Histogram):
            names |= {f"{metric._name}_{part}": labels for part in ("bucket", "sum", "count")}
        else:
            names[metric._name] = labels
    for family in telemetry.METRICS.collect():
        names |= {sample.name: set() for sample in family.samples if sample.name.startswith("process_")}
    return names


KNOWN = known()


def panels(dashboard):
    return [panel for panel in json.loads(dashboard.read_text("utf-8"))["panels"] if panel["type"] != "row"]


def expressions():
    for dashboard in DASHBOARDS:
        for panel in panels(dashboard):
            yield from ((f"{dashboard.name}: {panel['title']}", each["expr"]) for each in panel["targets"])
        for variable in json.loads(dashboard.read_text("utf-8"))["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{dashboard.name}: ${variable['name']}", variable["query"]["query"]
    yield from ((f"alert {rule['alert']}", rule["expr"]) for rule in RULES)


EXPRESSIONS = list(expressions())


def mistakes(expression):
    used = set(_METRIC.findall(expression))
    found = [f"{name} is no metric of ours" for name in sorted(used - set(KNOWN))]
    for name, inside in _SELECTED.findall(expression):
        labels = set(re.findall(r"(\w+)\s*[=!]~?", inside))
        found += [f"{name} has no label {label}" for label in labels - KNOWN.get(name, set()) - _COMMON]
    for grouped in _GROUPED.findall(expression):
        labels = {label.strip() for label in grouped.split(",")} - _COMMON
        found += [
            f"no metric here has the label {label}"
            for label in labels
            if not any(label in KNOWN.get(n, ()) for n in used)
        ]
    return found


def test_there_is_something_to_look_at():
    assert DASHBOARDS
    assert len(RULES) >= 10


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_what_is_asked_for_exists(where, expression):
    assert mistakes(expression) == []


@pytest.mark.parametrize(
    "expression",
    [
        "rate(gateway_reqests_total[5m])",
        'gateway_requests_total{caller="x"}',
        "sum by (caller) (gateway_requests_total)",
    ],
)
def test_what_does_not_exist_is_seen(expression):
    assert mistakes(expression)


# What operators of any gateway look for first.
SHOWN = (
    "requests_total",
    "attempts_total",
    "request_duration_seconds",
    "overhead_seconds",
    "time_to_first_token_seconds",
    "tokens_total",
    "cost_usd_total",
    "in_flight",
    "fallbacks_total",
    "deliveries_total",
    "eager_starts_total",
    "degraded_total",
    "live_age_seconds",
    "breaker_open",
    "usage_lag_seconds",
    "unsettled",
)


@pytest.mark.parametrize("name", SHOWN)
def test_what_operators_look_for_first_is_on_the_dashboard(name):
    assert any(
        f"gateway_{name}" in expression for where, expression in EXPRESSIONS if "gateway.json" in where
    )


def test_panels_have_ids_and_places_of_their_own():
    for dashboard in DASHBOARDS:
        every = json.loads(dashboard.read_text("utf-8"))["panels"]
        assert len({panel["id"] for panel in every}) == len(every)
        cells = [
            (x, y)
            for panel in every
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(set(cells)) == len(cells), "two panels overlap"
        assert max(x for x, _ in cells) < 24


def test_grafana_finds_the_dashboard_and_its_data():
    provisioning = ROOT / "infra" / "grafana" / "provisioning"
    boards = yaml.safe_load((provisioning / "dashboards" / "gateway.yaml").read_text("utf-8"))
    sources = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text("utf-8"))
    assert [each["type"] for each in boards["providers"]] == ["file"]
    (source,) = sources["datasources"]
    for dashboard in DASHBOARDS:
        (variable,) = [
            each
            for each in json.loads(dashboard.read_text("utf-8"))["templating"]["list"]
            if each["type"] == "datasource"
        ]
        assert (variable["query"], variable["current"]["value"]) == (source["type"], source["uid"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule):
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"].endswith(".")
    assert len(rule["annotations"]["runbook"]) > 40


def test_every_alert_fires_in_a_test():
    fired = {
        name
        for case in CASES["tests"]
        for check in case["promql_expr_test"]
        if check["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', check["expr"])
    }
    assert fired == {rule["alert"] for rule in RULES}
