"""What holds of every decision, whatever the rules and the facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import decisions
from gateway.domain.health import Breaker, Live, LiveFacts, ModelHealth, Use, Window
from gateway.domain.inference import Kind, Mode
from gateway.domain.prices import Price
from gateway.domain.registry import Capability, Model, ModelLimits, ModelState
from gateway.domain.rules import (
    IDLE,
    Asked,
    Asking,
    Decision,
    Facts,
    Failed,
    GatewayLoad,
    Memory,
    Rule,
    RuleSet,
    Step,
    decide,
    parse,
)
from gateway.rules.cel import compile_cel
from tests.builders import a_model
from tests.unit.domain.rules.scenes import NOW
from tests.unit.rules.texts import rule_sets

pytestmark = pytest.mark.slow

NAMES: tuple[str, ...] = ("a", "b", "c", "gpt-4.1", "org/m:8b", "x")
names_of_models: st.SearchStrategy[str] = st.sampled_from(NAMES)
MANY = settings(max_examples=60)
maybe = st.booleans()
optional = st.none() | st.floats(0, 20_000)
windows = st.dictionaries(
    st.sampled_from(list(Window)),
    st.builds(
        Live,
        requests=st.integers(0, 200),
        errors=st.dictionaries(st.sampled_from(["upstream_timeout", "a"]), st.integers(0, 50)),
        p50_ms=optional,
        p95_ms=optional,
        p99_ms=optional,
        tokens_per_second=optional,
        tokens=st.integers(0, 10**6),
        cost_usd=st.decimals(0, 10, places=2),
    ),
)
healths = st.builds(
    ModelHealth,
    windows=windows,
    in_flight=st.integers(0, 5),
    breaker=st.sampled_from([Breaker.CLOSED, Breaker.CLOSED, Breaker.HALF_OPEN, Breaker.OPEN]),
)


@st.composite
def models(draw: st.DrawFn, name: str) -> Model:
    return a_model(
        name,
        tags=draw(
            st.dictionaries(st.sampled_from(["a", "team", "data"]), st.sampled_from(["a", "b", "on-prem"]))
        ),
        size=draw(st.none() | st.sampled_from(["small", "a"])),
        quality=draw(st.none() | st.floats(0, 1)),
        context_window=draw(st.none() | st.integers(1_000, 100_000)),
        capabilities=draw(st.none() | st.frozensets(st.sampled_from(list(Capability)))),
        kind=draw(st.sampled_from([Kind.CHAT] * 5 + [Kind.RERANK])),
        state=draw(st.sampled_from([ModelState.ENABLED] * 5 + [ModelState.DISABLED])),
        limits=ModelLimits(draw(st.none() | st.integers(1, 4))),
    )


@st.composite
def scenes(draw: st.DrawFn) -> Facts:
    names = draw(st.lists(names_of_models, unique=True, max_size=6))
    asked = Asked(
        draw(st.sampled_from(["a", "b", "auto"])),
        mode=draw(st.sampled_from(list(Mode))),
        tags=draw(st.dictionaries(st.sampled_from(["a", "team"]), st.sampled_from(["a", "b"]))),
        input_tokens=draw(st.integers(0, 50_000)),
        max_output=draw(st.none() | st.integers(1, 5_000)),
        needs=draw(st.frozensets(st.sampled_from([Capability.TOOLS]))),
        conversation=draw(st.sampled_from(["", "talk"])),
        prefer=draw(st.sampled_from(["", "cost", "latency", "quality", "nonsense"])),
        exclude=draw(st.sampled_from([(), ("a",)])),
        max_cost_usd=draw(st.none() | st.just(Decimal("0.01"))),
    )
    live = LiveFacts(
        draw(st.sampled_from([None, NOW, NOW - timedelta(minutes=1)])),
        draw(st.dictionaries(names_of_models, healths)),
        draw(st.just({}) | st.just({"c": {Window.MINUTE: Use(50, 900)}})),
        draw(st.just({}) | st.just({"c": 0.9})),
        serve_all_open=draw(maybe),
    )
    usd = st.decimals(0, 9, places=2)
    prices = draw(st.dictionaries(names_of_models, st.builds(Price, usd, usd)))
    return Facts(
        asked,
        tuple([draw(models(name)) for name in names]),
        NOW + timedelta(hours=draw(st.integers(0, 200))) if draw(maybe) else NOW,
        Asking("c", "Carl", "agent", {"team": "a"}),
        draw(st.sampled_from([(), (Failed("b", "upstream_timeout", retryable=True),)])),
        prices,
        live,
        GatewayLoad(5, 10),
        roll=draw(st.floats(0, 0.999)),
    )


def ruled(tree: dict[str, Any]):
    return parse(tree, compile_=compile_cel)


@given(rule_sets(), scenes(), maybe)
@MANY
def test_the_same_facts_give_the_same_decision(tree, facts, full):
    one = decide(ruled(tree), facts, full=full)
    assert decide(ruled(tree), facts, full=full) == one


@given(rule_sets(), scenes())
@MANY
def test_who_asks_for_all_reasons_gets_the_same_choice(tree, facts):
    rules = ruled(tree)
    brief, full = decide(rules, facts), decide(rules, facts, full=True)
    steps = tuple(replace(step, reasons={}) for step in brief.steps)
    assert replace(full, steps=()) == replace(brief, steps=())
    assert tuple(replace(step, reasons={}) for step in full.steps) == steps


@given(rule_sets(), scenes())
@MANY
def test_every_candidate_is_ranked_once_or_passed_over_and_none_is_invented(tree, facts):
    decision = decide(ruled(tree), facts)
    names = [model.name for model in facts.candidates]
    assert sorted([*decision.ranked, *decision.passed_over]) == sorted(names)
    assert all(decision.passed_over.values())
    assert bool(decision.ranked) is (decision.refused is None)


@given(rule_sets(), scenes())
@MANY
def test_every_rule_leaves_a_step_in_its_order(tree, facts):
    rules = ruled(tree)
    told = [step.rule for step in decide(rules, facts).steps]
    named = [rule.name for rule in rules.rules]
    assert [rule for rule in told if rule in named] == named


@given(rule_sets(), scenes())
@MANY
def test_what_a_step_removed_is_what_was_passed_over(tree, facts):
    decision = decide(ruled(tree), facts)
    removed: dict[str, str] = {}
    for step in decision.steps:
        assert not removed.keys() & step.removed.keys()
        removed |= step.removed
    assert removed.items() <= decision.passed_over.items()
    if decision.refused is None:
        assert removed == decision.passed_over


@given(rule_sets(actions=("keep", "drop", "prefer")), scenes(), st.data())
@MANY
def test_another_model_changes_nothing_between_the_others(tree, facts, data):
    tree = {"rules": tree["rules"]}
    facts = replace(
        facts, asked=replace(facts.asked, prefer=""), live=replace(facts.live, serve_all_open=False)
    )
    if not facts.candidates:
        return
    fewer = data.draw(st.integers(0, len(facts.candidates) - 1))
    without = tuple(model for n, model in enumerate(facts.candidates) if n != fewer)
    gone = facts.candidates[fewer].name
    all_, some = (
        decide(ruled(tree), facts).ranked,
        decide(ruled(tree), replace(facts, candidates=without)).ranked,
    )
    assert tuple(name for name in all_ if name != gone) == some


@given(rule_sets(), scenes(), st.floats(0, 0.999))
@MANY
def test_only_a_split_by_request_and_a_shadow_look_at_the_dice(tree, facts, roll):
    rules = [rule for rule in tree["rules"] if "split" not in rule or "sticky_by" in rule["split"]]
    made = ruled({**tree, "rules": rules})
    one, other = decide(made, facts), decide(made, replace(facts, roll=roll))
    assert replace(one, roll=0.0, shadow=None) == replace(other, roll=0.0, shadow=None)


@given(rule_sets(), scenes())
@MANY
def test_a_refusal_names_no_model_of_its_own_accord(tree, facts):
    names = {model.name: f"secret-{n}" for n, model in enumerate(facts.candidates)}
    hidden = replace(
        facts, candidates=tuple(replace(model, name=names[model.name]) for model in facts.candidates)
    )
    refused = decide(ruled(tree), hidden).refused
    assert refused is None or "secret" not in refused.message


# ---- what is remembered ------------------------------------------------------------------------------------------
@st.composite
def followed(draw: st.DrawFn) -> list[Facts]:
    """Facts that follow each other as those of requests do: much stays, something changes."""
    given_ = [draw(scenes())]
    for _ in range(draw(st.integers(1, 6))):
        last, other = given_[-1], draw(scenes())
        change = draw(
            st.sampled_from(["asked", "caller", "clock", "prices", "live", "in flight", "all", "none"])
        )
        if change == "all":
            given_.append(other)
        elif change == "in flight":
            models = {
                name: replace(health, in_flight=draw(st.integers(0, 5)))
                for name, health in last.live.models.items()
            }
            given_.append(replace(last, live=replace(last.live, models=models)))
        elif change == "caller":
            tags = draw(st.dictionaries(st.sampled_from(["a", "team"]), st.sampled_from(["a", "b"])))
            given_.append(replace(last, caller=Asking("d", "Dora", "person", tags)))
        elif change == "clock":
            given_.append(replace(last, observed_at=other.observed_at, roll=other.roll))
        elif change != "none":
            given_.append(replace(last, **{change: getattr(other, change)}))
        else:
            given_.append(last)
    return given_


@given(rule_sets(), followed(), maybe, maybe)
@MANY
def test_a_memory_changes_nothing_but_the_time_a_decision_takes(tree, given_, full, brief):
    rules = ruled(tree)
    memory = Memory(rules)
    for facts in (*given_, *given_):
        plain = decide(rules, facts, full=full, brief=brief)
        assert decide(rules, facts, full=full, brief=brief, memory=memory) == plain


@given(rule_sets(), scenes())
@MANY
def test_a_brief_decision_is_the_same_but_for_why_rules_did_not_apply(tree, facts):
    rules = ruled(tree)
    whole, brief = decide(rules, facts), decide(rules, facts, brief=True)
    assert replace(whole, steps=()) == replace(brief, steps=())
    for one, other, rule in zip(whole.steps, brief.steps, _rules_of(rules, whole), strict=True):
        if one != other:
            assert other == Step(one.rule, IDLE)
            assert one.effect.startswith(f"{IDLE}: ")
            assert rule is not None
            assert not rule.when.live


def _rules_of(rules: RuleSet, decision: Decision) -> list[Rule | None]:
    named = {rule.name: rule for rule in rules.rules}
    return [named.get(step.rule) for step in decision.steps]


@given(rule_sets(), scenes(), maybe)
@MANY
def test_a_decision_is_read_as_it_was_kept(tree, facts, brief):
    decision = decide(ruled(tree), facts, brief=brief)
    assert decisions.read(decisions.tell(decision)) == decision
