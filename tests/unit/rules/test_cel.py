"""Expressions: what they see, what they may cost, and what becomes of them where something is not known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.health import Live, ModelHealth, Use, Window
from gateway.domain.registry import Capability, ModelLimits
from gateway.domain.rules import Asked, Asking, GatewayLoad, decide, parse
from gateway.domain.rules.reading import Unfit
from gateway.domain.rules.scene import Scene
from gateway.rules.cel import NAMES, compile_cel
from tests.builders import a_model
from tests.unit.domain.rules.scenes import facts, known

MODEL = a_model(
    "m",
    tags={"location": "cloud"},
    size="large",
    quality=0.5,
    context_window=8_000,
    max_output=1_000,
    capabilities=frozenset([Capability.TOOLS]),
    limits=ModelLimits(concurrency=4),
)
LIVE = known(
    {"m": ModelHealth({Window.MINUTE: Live(100, {"internal_error": 25}, p95_ms=1_500)}, in_flight=1)},
    callers={"c": {Window.HOUR: Use(requests=7, tokens=900)}},
    budget_used={"c": 0.5},
)
GIVEN = replace(
    facts(
        MODEL,
        asked=Asked("auto", tags={"team": "research"}, input_tokens=500, needs=frozenset([Capability.TOOLS])),
        caller=Asking("c", "Carl", "person", {"tier": "gold"}),
        gateway=GatewayLoad(10, 40),
        prices={"m": MODEL.price},
    ),
    live=LIVE,
)
# One true claim for each variable.
CLAIMS = {
    "now": 'now.getDayOfWeek("Europe/Bratislava") == 3 && now > timestamp("2026-06-30T00:00:00Z")',
    "request.model": 'request.model == "auto"',
    "request.kind": 'request.kind == "chat"',
    "request.mode": 'request.mode in ["sync", "stream"]',
    "request.door": 'request.door.startsWith("re")',
    "request.endpoint": 'request.endpoint == ""',
    "request.tags": 'request.tags.exists(name, name == "team") && request.tags["team"] == "research"',
    "request.metadata": "size(request.metadata) == 0",
    "request.input_tokens": "request.input_tokens / 100 == 5",
    "request.max_output": "request.input_tokens == 500 || request.max_output > 1",
    "request.body_bytes": "request.body_bytes == 0",
    "request.images": "request.images < 1",
    "request.needs": '"tools" in request.needs',
    "request.prefer": 'request.prefer == ""',
    "request.conversation": 'request.conversation == ""',
    "caller.id": 'caller.id == "c"',
    "caller.name": 'caller.name.matches("^C.*l$")',
    "caller.kind": 'caller.kind == "person"',
    "caller.tags": 'caller.tags.tier == "gold"',
    "caller.budget_used": "caller.budget_used == 0.5",
    "caller.use": 'caller.use["1h"].requests == 7.0 && caller.use["1m"].tokens == 0.0',
    "gateway.in_flight": "gateway.in_flight == 10",
    "gateway.load": "gateway.load == 0.25",
    "model.name": 'model.name == "m"',
    "model.provider": 'model.provider == "scripted"',
    "model.kind": 'model.kind == "chat"',
    "model.size": 'model.size == "large"',
    "model.tags": 'model.tags["size"] == "large" && !("gpu" in model.tags)',
    "model.quality": "model.quality >= 0.5",
    "model.capabilities": 'model.capabilities == ["tools"]',
    "model.context_window": "model.context_window == 8000",
    "model.max_output": "model.max_output == 1000",
    "model.price.input_usd_per_mtok": "model.price.input_usd_per_mtok == 1.0",
    "model.price.output_usd_per_mtok": "model.price.output_usd_per_mtok == 2.0",
    "model.price.request_usd": "model.price.request_usd == 0.0025",
    "model.live": 'model.live["1m"].error_rate == 0.25 && model.live["1m"].failed == 25.0',
    "model.in_flight": "model.in_flight == 1",
    "model.load": "model.load == 0.25",
    "model.breaker": 'model.breaker == "closed"',
}


def ask(text, given=GIVEN, *, about_model=True):
    rules = parse({})
    return compile_cel(text, about_model).ask(Scene(given, rules.max_age), 0 if about_model else None)


@pytest.mark.parametrize("name", NAMES)
def test_an_expression_sees_every_variable(name):
    assert name in CLAIMS[name]
    assert ask(CLAIMS[name]) == (True, "")
    assert ask(f"!({CLAIMS[name]})") == (False, "")


def test_what_is_asked_of_the_request_needs_no_model():
    for name in NAMES:
        if not name.startswith("model"):
            assert ask(CLAIMS[name], about_model=False) == (True, "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("request.max_output > 1", "request.max_output is not known"),
        ('request.tags["x"] == "y"', 'there is no "x"'),
        ('model.live["5m"].p95_ms > 1.0', 'there is no "p95_ms"'),
        ("1 / (request.images) == 1", "divide by zero"),
        ("request.input_tokens * 9223372036854775807 > 1", "integer overflow"),
        ('timestamp(request.model) > timestamp("2026-01-01T00:00:00Z")', "String to Timestamp"),
        ('request.model.matches("(")', "missing"),
    ],
)
def test_what_cannot_be_worked_out_is_unknown_and_says_why(text, problem):
    answer, said = ask(text)
    assert answer is None
    assert problem in said
    assert "INVALID_ARGUMENT" not in said


def test_what_a_caller_sends_cannot_break_an_expression():
    odd = replace(GIVEN, asked=Asked("\ud800", tags={"\ud800": "\x00é\udfff"}, max_output=10**30))
    assert ask('request.model == "?" && size(request.tags) == 1', odd) == (True, "")
    assert ask("request.max_output > 1", odd) == (None, "int too big to convert")
    assert ask("request.images == 0", odd) == (True, "")


def test_an_unknown_that_does_not_matter_is_left_alone():
    assert ask("request.images == 0 || request.max_output > 1")[0] is True
    assert ask("request.images == 1 && request.max_output > 1")[0] is False


def test_old_facts_are_unknown_and_said_to_be_old():
    old = replace(GIVEN, live=replace(LIVE, as_of=GIVEN.observed_at.replace(hour=11)))
    answer, said = ask('model.live["1m"].p95_ms > 1.0', old)
    assert answer is None
    assert "3600s old" in said


def test_an_expression_that_asks_for_what_happens_is_live():
    assert compile_cel('model.live["1m"].p95_ms > 1.0', True).live
    assert compile_cel("now.getHours() > 8", False).live
    assert not compile_cel("model.quality > 0.5", True).live


def test_a_loop_over_a_long_list_is_bounded():
    numbers = ",".join("1" for _ in range(900))
    answer, said = ask(f"[{numbers}].all(x, x == 1)")
    assert (answer, said) in {(True, ""), (None, "Iteration budget exceeded")}


@pytest.mark.parametrize(
    "text",
    [
        "request.tags.all(a, request.needs.exists(b, a == b))",
        "request.tags.map(a, request.needs.filter(b, true)).size() > 0",
        "request.tags.all(a, (request.needs.all(b, true)))",
        '// a comment with a "\nrequest.tags.all(a, request.needs.all(b, true))',
        "'''\n'''== '' || request.tags.all(a, request.needs.all(b, true))",
    ],
)
def test_a_loop_inside_a_loop_is_refused(text):
    with pytest.raises(Unfit, match="inside each other"):
        compile_cel(text, False)


def test_loops_side_by_side_and_in_texts_are_none_inside_another():
    assert ask('request.tags.all(k, k != ".all(") || request.needs.all(n, n != ")")')[0] is True


def test_expressions_decide():
    rules = parse(
        {
            "rules": [
                {
                    "name": "research goes to the large",
                    "when": {"expr": 'request.input_tokens > 100 && request.tags["team"] == "research"'},
                    "keep": {"expr": 'model.tags["size"] == "large" && model.live["1m"].p95_ms < 5000.0'},
                }
            ]
        },
        compile_=compile_cel,
    )
    decision = decide(rules, replace(GIVEN, candidates=(a_model("small", size="small"), MODEL)))
    assert decision.ranked == ("m",)
    assert decision.passed_over == {"small": "the expression is false"}


def test_an_expression_is_asked_of_what_is_left_alone():
    rules = parse(
        {
            "rules": [
                {"name": "one", "keep": {"name": "m"}},
                {"name": "two", "keep": {"expr": "model.quality > 0.1"}, "on_unknown": "drop"},
            ]
        },
        compile_=compile_cel,
    )
    decision = decide(rules, replace(GIVEN, candidates=(a_model("other"), MODEL)))
    assert decision.passed_over == {"other": "is other, not m"}
    assert decision.steps[-1].effect == "keeps all 1"
