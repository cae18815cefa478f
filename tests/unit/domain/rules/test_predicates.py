"""What each predicate says of a candidate: yes, no or unknown, and why."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.domain.health import Breaker, Live, ModelHealth, Window
from gateway.domain.inference import Kind
from gateway.domain.prices import Price, Tier
from gateway.domain.registry import Capability, ModelLimits
from gateway.domain.rules import Asked, parse
from gateway.domain.rules.actions.narrow import Narrow
from gateway.domain.rules.predicates import PREDICATES
from gateway.domain.rules.predicates.price import estimate
from gateway.domain.rules.scene import Scene
from gateway.rules.cel import compile_cel
from tests.builders import a_model
from tests.unit.domain.rules.scenes import facts, known

MODEL = a_model(
    "gpt-4.1-mini",
    provider="openai",
    tags={"location": "cloud", "team": "search"},
    size="small",
    quality=0.7,
    context_window=32_000,
    capabilities=frozenset([Capability.TOOLS, Capability.VISION]),
    limits=ModelLimits(concurrency=10),
)
BARE = a_model("bare")
PRICES = {"gpt-4.1-mini": Price(Decimal("0.40"), Decimal("1.60"))}
HEALTH = ModelHealth(
    {
        Window.MINUTE: Live(
            requests=100,
            errors={"upstream_timeout": 30, "upstream_rate_limited": 10},
            p50_ms=900,
            p95_ms=8_500,
            p99_ms=None,
            first_token_p50_ms=250,
            tokens_per_second=35.5,
            tokens=60_000,
            cost_usd=Decimal("1.25"),
        ),
        Window.TEN_SECONDS: Live(requests=3, errors={"upstream_timeout": 3}, p95_ms=9_000),
    },
    in_flight=8,
    breaker=Breaker.HALF_OPEN,
    probe_ok=False,
)


def asked(predicate, model=MODEL, health=HEALTH, **changes):
    """A predicate's answer about one model, with its reason."""
    rules = parse({"rules": [{"name": "x", "keep": predicate}]}, compile_=compile_cel)
    action = rules.rules[0].action
    assert isinstance(action, Narrow)
    given = facts(model, asked=Asked("assistant", input_tokens=10_000, max_output=1_000), prices=PRICES)
    scene = Scene(replace(given, **{"live": known({model.name: health}), **changes}), rules.max_age)
    return action.predicate.judge(scene).about(0), action.predicate.why(scene, 0)


SAYS = [
    # ---- tags
    ({"tagged": {"location": "cloud"}}, True, "is tagged location=cloud"),
    ({"tagged": {"location": "on-prem"}}, False, "is not tagged location=on-prem"),
    ({"tagged": {"location": ["on-prem", "cloud"]}}, True, "is tagged location=on-prem|cloud"),
    ({"tagged": {"team": True}}, True, "is tagged team"),
    ({"tagged": {"gpu": True}}, False, "is not tagged gpu"),
    ({"tagged": {"preview": False}}, True, "is tagged !preview"),
    ({"tagged": {"team": False}}, False, "is tagged team"),
    ({"tagged": {"size": "small"}}, True, "is tagged size=small"),
    ({"tagged": "location=cloud,size=small|medium,!preview"}, True, "is tagged location=cloud"),
    ({"tagged": "location=cloud,!team=search"}, False, "is tagged team=search"),
    # ---- what it is
    ({"name": "gpt-4.1-mini"}, True, "is gpt-4.1-mini"),
    ({"name": "gpt-*"}, True, "is gpt-4.1-mini"),
    ({"name": ["claude-*", "*-mini"]}, True, "is gpt-4.1-mini"),
    ({"name": "gpt-*-nano"}, False, "is gpt-4.1-mini, not gpt-*-nano"),
    ({"provider": "openai"}, True, "is served by openai"),
    ({"provider": ["anthropic", "compatible"]}, False, "is served by openai, not anthropic or compatible"),
    ({"kind": "chat"}, True, "is a chat model"),
    ({"kind": ["embedding", "rerank"]}, False, "is a chat model, not embedding or rerank"),
    ({"size": "small"}, True, "is small"),
    ({"size": ["medium", "large"]}, False, "is small, not medium or large"),
    ({"quality": {"over": 0.6}}, True, "has quality 0.7, over 0.6"),
    ({"quality": {"over": "70%"}}, False, "has quality 0.7, not over 0.7"),
    ({"quality": {"over": 0.5, "under": 0.8}}, True, "over 0.5 and has quality 0.7, under 0.8"),
    ({"capability": "tools"}, True, "can do tools"),
    ({"capability": ["tools", "vision"]}, True, "can do tools and vision"),
    ({"capability": ["tools", "audio"]}, False, "cannot do audio"),
    ({"context_window": {"over": "31k"}}, True, "has a context window of 32,000 tokens, over 31000"),
    ({"context_window": {"under": "32k"}}, False, "not under 32000"),
    # ---- what it costs
    ({"price": {"input_usd_per_mtok_under": 0.5}}, True, "costs $0.40 a million input tokens, under 0.50"),
    (
        {"price": {"output_usd_per_mtok_over": 1.6}},
        False,
        "costs $1.60 a million output tokens, not over 1.60",
    ),
    ({"price": {"request_usd_under": 0.0056}}, False, "would cost about $0.005600, not under 0.0056"),
    ({"price": {"request_usd_under": 0.0057}}, True, "under 0.0057"),
    # ---- what it does
    ({"latency": {"p95_over": "8s", "window": "1m"}}, True, "takes 8500ms (p95 in 1m), over 8s"),
    ({"latency": {"p50_under": "500ms", "window": "1m"}}, False, "takes 900ms (p50 in 1m), not under 500ms"),
    ({"latency": {"p99_over": "8s", "window": "1m"}}, None, "has not been measured in 1m"),
    ({"latency": {"p95_over": "8s"}}, None, "has had 0 requests in 5m, too few to say"),
    ({"latency": {"p95_over": "8s", "window": "10s"}}, None, "has had 3 requests in 10s, too few to say"),
    ({"latency": {"p95_over": "8s", "window": "10s", "min_requests": 3}}, True, "takes 9000ms"),
    ({"latency": {"first_token_p50_over": "200ms", "window": "1m"}}, True, "first token p50"),
    ({"error_rate": {"over": "25%"}}, True, "fails 40% of calls in 1m, over 25%"),
    ({"error_rate": {"over": "40%"}}, False, "fails 40% of calls in 1m, not over 40%"),
    (
        {"error_rate": {"over": "25%", "min_requests": 101}},
        None,
        "has had 100 requests in 1m, too few to say",
    ),
    (
        {"error_rate": {"over": "5%", "code": "upstream_rate_limited"}},
        True,
        "10% of calls in 1m with upstream_r",
    ),
    ({"error_rate": {"over": "5%", "code": ["upstream_auth"]}}, False, "fails 0% of calls"),
    ({"throughput": {"tokens_per_second_under": 40}}, True, "answers 35.5 tokens/s in 1m, under 40"),
    ({"throughput": {"requests_over": "90/m"}}, True, "has 1.67 requests/s in 1m, over 90/m"),
    ({"throughput": {"requests_over": "2/s"}}, False, "not over 2/s"),
    ({"throughput": {"tokens_over": "900/s"}}, True, "has 1000 tokens/s in 1m, over 900/s"),
    ({"load": {"over": "75%"}}, True, "is loaded 80%, over 75%"),
    ({"load": {"in_flight_over": 8}}, False, "answers 8 requests, not over 8"),
    ({"spend": {"usd_over": 1, "window": "1m"}}, True, "has cost $1.25 in 1m, over 1.00"),
    ({"spend": {"usd_over": 1}}, False, "has cost $0.00 in 1h, not over 1.00"),
    ({"availability": {"breaker": "half_open"}}, True, "has its breaker half-open"),
    ({"availability": {"breaker": ["open", "closed"]}}, False, "has its breaker half-open"),
    ({"availability": {"probe": "failed"}}, True, "fails its probe"),
    ({"availability": {"probe": "ok", "breaker": "half_open"}}, False, "half-open and fails its probe"),
    # ---- anything else
    ({"expr": 'model.tags["size"] != "small"'}, False, "the expression is false"),
    ({"expr": 'model.live["1m"].p95_ms > 8000.0'}, True, "the expression is true"),
    ({"expr": 'model.live["5m"].p95_ms > 8000.0'}, None, 'the expression is unknown: there is no "p95_ms"'),
    # ---- composed
    ({"all": [{"size": "small"}, {"provider": "openai"}]}, True, "is small and is served by openai"),
    ({"any": [{"size": "large"}, {"provider": "openai"}]}, True, "is served by openai"),
    (
        {"any": {"size": "large", "kind": "rerank"}},
        False,
        "is small, not large and is a chat model, not rerank",
    ),
    ({"not": {"size": "small"}}, False, "is small"),
    ({"size": "small", "provider": "anthropic"}, False, "is served by openai, not anthropic"),
    # Where one part is unknown, the other may still settle it.
    ({"all": [{"latency": {"p99_over": "8s"}}, {"size": "large"}]}, False, "is small, not large"),
    ({"all": [{"latency": {"p99_over": "8s"}}, {"size": "small"}]}, None, "too few to say"),
    ({"any": [{"latency": {"p99_over": "8s"}}, {"size": "small"}]}, True, "is small"),
    ({"any": [{"latency": {"p99_over": "8s"}}, {"size": "large"}]}, None, "too few to say"),
    ({"not": {"latency": {"p99_over": "8s"}}}, None, "too few to say"),
    ({"latency": {"p95_over": "8s", "p99_over": "9s", "window": "1m"}}, None, "has not been measured"),
    ({"latency": {"p95_under": "8s", "p99_over": "9s", "window": "1m"}}, False, "not under 8s"),
]


@pytest.mark.parametrize(("predicate", "answer", "why"), SAYS, ids=[str(each[0]) for each in SAYS])
def test_a_predicate_answers_with_its_reason(predicate, answer, why):
    found, reason = asked(predicate)
    assert found is answer
    assert why in reason


@pytest.mark.parametrize("kind", list(PREDICATES))
def test_every_kind_of_predicate_is_tried_here(kind):
    assert any(kind in predicate for predicate, _, _ in SAYS)


@pytest.mark.parametrize(
    ("predicate", "why"),
    [
        ({"size": "small"}, "says no size"),
        ({"quality": {"over": 0.1}}, "has no quality score"),
        ({"capability": "tools"}, "says nothing of its capabilities"),
        ({"context_window": {"over": 1}}, "says no context window"),
        ({"price": {"input_usd_per_mtok_under": 1}}, "has no known price"),
        ({"price": {"request_usd_under": 1}}, "has no known price"),
        ({"load": {"over": "1%"}}, "has no concurrency limit"),
        ({"availability": {"probe": "ok"}}, "has not been probed"),
        ({"expr": "model.quality > 0.5"}, "model.quality is not known"),
    ],
)
def test_what_nobody_said_of_a_model_is_unknown(predicate, why):
    found, reason = asked(predicate, BARE, ModelHealth())
    assert found is None
    assert why in reason


@pytest.mark.parametrize(
    "predicate",
    [
        {"latency": {"p95_over": "8s", "window": "1m"}},
        {"error_rate": {"over": "25%"}},
        {"throughput": {"requests_over": "1/h"}},
        {"load": {"over": "1%"}},
        {"load": {"in_flight_over": 1}},
        {"spend": {"usd_over": 1}},
        {"expr": 'model.live["1m"].p95_ms > 1.0'},
        {"expr": "model.in_flight > 1"},
    ],
)
def test_live_facts_that_are_old_or_not_there_are_unknown(predicate):
    old = asked(predicate, live=known({MODEL.name: HEALTH}, age=60))
    assert old[0] is None
    assert "60s old" in old[1]
    none = asked(predicate, live=known({}).__class__())
    assert none[0] is None
    assert "no live facts are there yet" in none[1]


def test_a_model_of_which_nothing_is_heard_does_nothing():
    assert asked({"load": {"in_flight_over": 0}}, live=known({}))[0] is False
    assert asked({"throughput": {"requests_under": "1/s"}}, live=known({}))[0] is True
    assert asked({"availability": {"breaker": "closed"}}, live=known({}))[0] is True


def test_an_estimate_by_plain_prices_is_what_the_price_itself_says():
    request = Asked(input_tokens=1_234, max_output=567)
    for price in (Price(Decimal("0.15"), Decimal("0.6")), Price(Decimal(3), Decimal(15), Decimal("0.3"))):
        plain = estimate(price, request, MODEL)
        tiered = estimate(replace(price, tiers=(Tier(10**9, Decimal(9)),)), request, MODEL)
        assert plain == tiered
    by_request = Price(request_usd=Decimal("0.01"))
    assert estimate(by_request, request, MODEL) == Decimal("0.01")


def test_an_answer_without_a_bound_is_estimated_at_the_usual_length():
    price = Price(Decimal(0), Decimal(1_000_000))
    assert estimate(price, Asked(), BARE) == 1_024
    assert estimate(price, Asked(), a_model(max_output=100)) == 100
    assert estimate(price, Asked(max_output=5), BARE) == 5


def test_a_predicate_about_another_kind_sees_it():
    assert asked({"kind": "embedding"}, replace(BARE, kind=Kind.EMBEDDING))[0] is True


def test_many_stars_take_no_time():
    name = "a" * 128
    assert asked({"name": "*a" * 60 + "*b"}, replace(BARE, name=name))[0] is False
    assert asked({"name": "a*a"}, replace(BARE, name="a"))[0] is False
    assert asked({"name": "a*b*c"}, replace(BARE, name="axxbxxc"))[0] is True
