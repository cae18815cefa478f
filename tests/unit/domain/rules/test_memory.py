"""What is remembered of earlier decisions: it changes none, whatever has changed since."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from gateway.domain.health import Breaker, Live, ModelHealth, Use, Window
from gateway.domain.inference import Kind, Mode
from gateway.domain.operations import Operation
from gateway.domain.prices import Price
from gateway.domain.registry import Capability, Model, ModelLimits, ModelState
from gateway.domain.rules import Asked, Asking, Facts, Failed, GatewayLoad, Memory, RuleSet, decide, parse
from gateway.domain.rules.conditions import CONDITIONS
from gateway.domain.rules.conditions.caller import PARTS as OF_CALLERS
from gateway.domain.rules.conditions.request import PARTS as OF_REQUESTS
from gateway.domain.rules.predicates import PREDICATES
from gateway.rules.cel import compile_cel
from tests.builders import a_model
from tests.unit.domain.rules.scenes import NOW, known

DOES = Live(
    requests=100, errors={"upstream_timeout": 1}, p50_ms=300, p95_ms=900, p99_ms=2_000, tokens_per_second=40
)
WINDOWS = dict.fromkeys(Window, DOES)
MODELS = (
    a_model(
        "a",
        tags={"location": "on-prem"},
        size="small",
        quality=0.4,
        context_window=32_000,
        capabilities=frozenset([Capability.TOOLS]),
        limits=ModelLimits(concurrency=10),
    ),
    a_model(
        "b",
        provider="openai",
        tags={"location": "cloud"},
        size="large",
        quality=0.9,
        context_window=8_000,
        operations=frozenset([Operation.CHAT]),
    ),
    a_model("c", limits=ModelLimits(concurrency=10)),
)
FACTS = Facts(
    asked=Asked(
        "assistant",
        mode=Mode.SYNC,
        endpoint="/v1/chat/completions",
        tags={"data": "public"},
        metadata={"run": "1"},
        input_tokens=1_000,
        max_output=100,
        body_bytes=4_000,
    ),
    candidates=MODELS,
    observed_at=NOW,
    caller=Asking("agent-1", "agent-1", "agent", {"team": "search"}),
    prices={name: Price(Decimal(n), Decimal(2 * n)) for n, name in enumerate("abc", 1)},
    live=known(
        {name: ModelHealth(WINDOWS, in_flight=n) for n, name in enumerate("abc", 1)},
        callers={"agent-1": {Window.MINUTE: Use(50, 900, Decimal(1))}},
        budget_used={"agent-1": 0.5},
    ),
    gateway=GatewayLoad(5, 10),
    roll=0.25,
)
Change = Callable[[Facts], Facts]


def asked(**changes: Any) -> Change:
    return lambda facts: replace(facts, asked=replace(facts.asked, **changes))


def caller(**changes: Any) -> Change:
    return lambda facts: replace(facts, caller=replace(facts.caller, **changes))


def model(**changes: Any) -> Change:
    """The first model is another one now, as after a change of the registry."""

    def change(facts: Facts) -> Facts:
        first, *others = facts.candidates
        return replace(facts, candidates=(replace(first, **changes), *others))

    return change


def health(**changes: Any) -> Change:
    """The first model does otherwise, and all else stays the very same."""

    def change(facts: Facts) -> Facts:
        models = {**facts.live.models, "a": replace(facts.live.models["a"], **changes)}
        return replace(facts, live=replace(facts.live, models=models))

    return change


def does(**changes: Any) -> Change:
    return health(windows=dict.fromkeys(Window, replace(DOES, **changes)))


def live(**changes: Any) -> Change:
    return lambda facts: replace(facts, live=replace(facts.live, **changes))


def prices(usd: int) -> Change:
    return lambda facts: replace(facts, prices={**facts.prices, "a": Price(Decimal(usd), Decimal(usd))})


def later(facts: Facts) -> Facts:
    return replace(facts, observed_at=NOW + timedelta(hours=8))


def failed(facts: Facts) -> Facts:
    return replace(facts, failed=(Failed("a", "upstream_timeout", retryable=True),))


def tried(facts: Facts) -> Facts:
    return replace(facts, roll=0.75)


def expr(text: str) -> Mapping[str, Any]:
    return {"keep": {"expr": text}}


def when(what: str, part: str, value: Any) -> Mapping[str, Any]:
    return {"when": {what: {part: value}}, "keep": {"name": "b"}}


PREDICATED: tuple[tuple[Mapping[str, Any], Change], ...] = (
    ({"drop": {"availability": {"breaker": "half_open"}}}, health(breaker=Breaker.HALF_OPEN)),
    ({"keep": {"capability": "tools"}}, model(capabilities=frozenset())),
    ({"keep": {"context_window": {"over": 10_000}}}, model(context_window=9_000)),
    ({"drop": {"error_rate": {"over": "25%"}}}, does(errors={"upstream_timeout": 50})),
    ({"drop": {"error_rate": {"under": "25%"}}}, later),
    (expr('model.size == "small"'), model(size="large")),
    (expr('model.live["1m"].requests < 200.0'), does(requests=500)),
    (expr("model.in_flight < 3"), health(in_flight=9)),
    (expr("model.load < 0.5"), health(in_flight=9)),
    (expr('model.breaker == "closed"'), health(breaker=Breaker.HALF_OPEN)),
    (expr("model.price.input_usd_per_mtok < 3.0"), prices(7)),
    (expr("model.price.request_usd < 0.01"), asked(input_tokens=30_000)),
    (expr("model.context_window > request.input_tokens * 10"), asked(input_tokens=5_000)),
    ({"keep": {"kind": "chat"}}, model(kind=Kind.EMBEDDING)),
    ({"drop": {"latency": {"p95_over": "8s"}}}, does(p95_ms=9_000)),
    ({"drop": {"load": {"over": "50%"}}}, health(in_flight=9)),
    ({"prefer": {"load": {"in_flight_under": 4}}}, health(in_flight=9)),
    ({"keep": {"name": ["a", "b"]}}, model(name="d")),
    ({"keep": {"price": {"output_usd_per_mtok_under": 3}}}, prices(7)),
    ({"keep": {"price": {"request_usd_under": "0.0015"}}}, asked(input_tokens=5_000)),
    ({"keep": {"price": {"request_usd_under": "0.0015"}}}, prices(7)),
    ({"keep": {"provider": "openai"}}, model(provider="openai")),
    ({"keep": {"quality": {"over": 0.3}}}, model(quality=0.1)),
    ({"keep": {"size": "small"}}, model(size="large")),
    ({"drop": {"spend": {"usd_over": 5}}}, does(cost_usd=Decimal(9))),
    ({"keep": {"tagged": {"location": "on-prem"}}}, model(tags={})),
    ({"drop": {"throughput": {"tokens_per_second_over": 50}}}, does(tokens_per_second=90)),
    ({"drop": {"all": [{"size": "small"}, {"load": {"over": "50%"}}]}}, health(in_flight=9)),
    ({"keep": {"any": {"price": {"input_usd_per_mtok_under": 3}, "size": "large"}}}, prices(7)),
    ({"keep": {"not": {"latency": {"p95_over": "8s"}}}}, does(p95_ms=9_000)),
)
CONDITIONED: tuple[tuple[Mapping[str, Any], Change], ...] = (
    (when("request", "model", "assistant"), asked(model="other")),
    (when("request", "endpoint", "/v1/chat/*"), asked(endpoint="/v1/completions")),
    (when("request", "kind", "chat"), asked(kind=Kind.COMPLETION)),
    (when("request", "mode", "sync"), asked(mode=Mode.JOB)),
    (when("request", "door", "rest"), asked(door="grpc")),
    (when("request", "prefer", "cost"), asked(prefer="cost")),
    (when("request", "tags", {"data": "public"}), asked(tags={"data": "secret"})),
    (when("request", "metadata", {"run": "1"}), asked(metadata={"run": "2"})),
    (when("request", "needs", "tools"), asked(needs=frozenset([Capability.TOOLS]))),
    (when("request", "input_tokens", {"over": 2_000}), asked(input_tokens=3_000)),
    (when("request", "max_output", {"over": 2_000}), asked(max_output=3_000)),
    (when("request", "size", {"over": "8KiB"}), asked(body_bytes=9_000)),
    (when("request", "images", {"over": 0}), asked(images=1)),
    (when("caller", "id", "agent-1"), caller(id="agent-2")),
    (when("caller", "name", "agent-1"), caller(name="agent-2")),
    (when("caller", "kind", "agent"), caller(kind="person")),
    (when("caller", "tags", {"team": "search"}), caller(tags={"team": "sales"})),
    (when("caller", "budget_used", {"over": "80%"}), live(budget_used={"agent-1": 0.9})),
    (
        when("caller", "use", {"requests_over": 100}),
        live(callers={"agent-1": {Window.MINUTE: Use(500, 900, Decimal(1))}}),
    ),
    (when("gateway", "load", {"over": "80%"}), lambda facts: replace(facts, gateway=GatewayLoad(9, 10))),
    (when("schedule", "to", "18:00"), later),
    (
        {"when": {"expr": 'request.tags["data"] == "public"'}, "keep": {"name": "b"}},
        asked(tags={"data": "x"}),
    ),
    (
        {
            "when": {"all": [{"request": {"model": "*"}}, {"not": {"caller": {"kind": "person"}}}]},
            "refuse": "no",
        },
        caller(kind="person"),
    ),
    (
        {
            "when": {"any": [{"request": {"tags": "data=x"}}, {"caller": {"tags": "team=x"}}]},
            "keep": {"name": "b"},
        },
        caller(tags={"team": "x"}),
    ),
)
OTHERS: tuple[tuple[Mapping[str, Any], Change], ...] = (
    ({"rank": {"cost": 1}}, prices(7)),
    ({"rank": {"cost": 1, "load": 1}}, asked(input_tokens=9, max_output=9_000)),
    ({"rank": {"latency": 1}}, does(p50_ms=9_000)),
    ({"rank": {"load": 1}}, health(in_flight=9)),
    ({"rank": {"quality": 1, "latency": 1}}, asked(exclude=("b",))),
    ({"rank": {"quality": 1}}, model(quality=1.0)),
    ({"split": {"a": 1, "b": 1}}, tried),
    ({"keep": {"name": "*"}}, asked(exclude=("a",))),
    ({"keep": {"name": "*"}}, failed),
    ({"keep": {"name": "*"}}, asked(kind=Kind.EMBEDDING)),
    ({"keep": {"name": "*"}}, asked(endpoint=Operation.MESSAGES)),
    ({"keep": {"name": "*"}}, model(operations=frozenset())),
    ({"keep": {"name": "*"}}, asked(input_tokens=9_000)),
    ({"keep": {"name": "*"}}, asked(needs=frozenset([Capability.VISION]))),
    ({"keep": {"name": "*"}}, health(breaker=Breaker.OPEN)),
    ({"keep": {"name": "*"}}, health(in_flight=10)),
    ({"keep": {"name": "*"}}, model(state=ModelState.DISABLED)),
)


def ruled(rule: Mapping[str, Any]) -> RuleSet:
    # What stays is sorted out before, so that the rule meets more than one set of candidates.
    first = {"name": "first", "when": {"caller": {"name": "nobody"}}, "drop": {"name": "c"}}
    return parse({"rules": [first, {"name": "rule", **rule}]}, compile_=compile_cel)


def named(case: Any) -> str | None:
    return str(case) if isinstance(case, Mapping) else None


@pytest.mark.parametrize("brief", [False, True])
@pytest.mark.parametrize(("rule", "change"), [*PREDICATED, *CONDITIONED, *OTHERS], ids=named)
def test_what_was_remembered_is_asked_anew_when_what_it_rests_on_has_changed(rule, change, brief):
    rules = ruled(rule)
    before, after = FACTS, change(FACTS)
    one, other = (decide(rules, facts, brief=brief) for facts in (before, after))
    assert (one.ranked, one.refused) != (other.ranked, other.refused)
    memory = Memory(rules)
    for facts in (before, before, after, after, before):
        expected = one if facts is before else other
        assert decide(rules, facts, brief=brief, memory=memory) == expected


def test_every_predicate_and_every_condition_is_among_them():
    words = {word for rule, _ in PREDICATED for action in rule.values() for word in action}
    assert words >= PREDICATES.keys()
    asks: set[str] = set()
    for rule, _ in CONDITIONED:
        for word, part in rule["when"].items():
            asks |= {word, *part} if isinstance(part, Mapping) else {word}
    assert asks >= {*CONDITIONS, *OF_CALLERS, *OF_REQUESTS}


def test_models_of_one_price_that_answer_at_different_lengths_do_not_cost_the_same():
    brief, long = a_model("brief", max_output=10), a_model("long", max_output=1_000)
    given = asked(max_output=None)(replace(FACTS, candidates=(long, brief)))
    given = replace(given, prices=dict.fromkeys(("brief", "long"), Price(Decimal(1), Decimal(1))))
    assert decide(ruled({"rank": {"cost": 1}}), given).ranked == ("brief", "long")


def test_what_is_remembered_is_bounded():
    rules = ruled({"keep": {"name": "*"}})
    memory = Memory(rules)
    many: tuple[Model, ...] = tuple(a_model(f"m{n}") for n in range(500))
    for n in range(100):
        candidates = many[n:]
        decide(rules, replace(FACTS, candidates=candidates), brief=True, memory=memory)
    assert memory.candidates <= 8_000


@pytest.mark.parametrize(("count", "most"), [(1, 512), (500, 100)])
def test_many_kinds_of_requests_are_bounded_too(count, most):
    some = {"when": {"request": {"tags": {"n": "1"}}}, "keep": {"name": "a"}}
    rules = parse({"rules": [{"name": f"rule {n}", **some} for n in range(count)]})
    memory = Memory(rules)
    for n in range(most + 10):
        decide(rules, asked(tags={"n": str(n)})(FACTS), brief=True, memory=memory)
    assert len(memory.plans) == most
