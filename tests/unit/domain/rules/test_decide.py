"""Which models a request may go to, in which order, and why not the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from gateway.domain.health import Breaker, ModelHealth
from gateway.domain.inference import Kind
from gateway.domain.prices import Price
from gateway.domain.registry import Capability, ModelLimits, ModelState
from gateway.domain.rules import Asked, Failed, RuleSet, decide
from tests.builders import a_model
from tests.unit.domain.rules.scenes import NOW, decided, did, facts, known, rules

LOCAL = {"tags": {"location": "on-prem"}}
KEEP_LOCAL = {"keep": {"tagged": {"location": "on-prem"}}}


# ---- without rules -----------------------------------------------------------------------------------------------
def test_the_candidates_of_a_name_are_ranked_in_its_order():
    assert decide(RuleSet(), facts("b", "a")).ranked == ("b", "a")


def test_a_model_that_just_failed_is_passed_over_and_says_so():
    decision = decide(RuleSet(), facts("a", "b", failed=(Failed("a", "upstream_timeout", retryable=True),)))
    assert decision.model == "b"
    assert decision.passed_over == {"a": "just failed with upstream_timeout"}
    assert decision.rule == "just failed"


def test_nothing_is_decided_when_nothing_is_left():
    decision = decide(RuleSet(), facts())
    assert decision.model is None
    assert decision.refused.code == "no_model_fits"


def test_what_the_caller_prefers_ranks_where_no_rule_does():
    dear, cheap = a_model("dear", price=None), a_model("cheap")
    given = facts(replace(dear, quality=0.9), replace(cheap, quality=0.1), asked=Asked(prefer="quality"))
    assert decide(RuleSet(), given).ranked == ("dear", "cheap")
    decision = decide(RuleSet(), replace(given, candidates=given.candidates[::-1]))
    assert decision.ranked == ("dear", "cheap")
    assert decision.rule == "caller prefers quality"


# ---- what cannot serve -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "asked", "check", "why"),
    [
        ({"kind": Kind.EMBEDDING}, {}, "kind of request", "is for embedding"),
        ({"state": ModelState.DISABLED}, {}, "state of the model", "is disabled"),
        ({"context_window": 1000}, {"input_tokens": 1001}, "context window", "takes 1,000 tokens"),
        ({"context_window": 1000}, {"input_tokens": 900, "max_output": 101}, "context window", "about 1,001"),
        (
            {"capabilities": frozenset([Capability.TOOLS])},
            {"needs": frozenset([Capability.VISION])},
            "capabilities",
            "cannot do vision",
        ),
        ({}, {"exclude": ("x",)}, "excluded by the caller", "was excluded"),
        (
            {},
            {"input_tokens": 1_000_000, "max_cost_usd": Decimal("0.99")},
            "cost limit",
            "$1.0",
        ),
    ],
)
def test_what_cannot_serve_is_taken_out_with_its_reason(changes, asked, check, why):
    well = a_model("well")
    prices = {"x": Price(Decimal(1), Decimal(2))}
    given = facts(a_model("x", **changes), well, asked=Asked("assistant", **asked), prices=prices)
    decision = decide(RuleSet(), given)
    assert decision.ranked == ("well",)
    assert why in decision.passed_over["x"]
    assert [step.rule for step in decision.steps] == ["order of the name", check]


@pytest.mark.parametrize(
    "changes",
    [
        {"context_window": None},
        {"context_window": 1001},
        {"capabilities": None},
        {"capabilities": frozenset([Capability.VISION])},
    ],
)
def test_what_is_not_known_to_be_unable_stays(changes):
    asked = Asked("assistant", input_tokens=1000, max_output=1, needs=frozenset([Capability.VISION]))
    assert decide(RuleSet(), facts(a_model("x", **changes), asked=asked)).ranked == ("x",)


def test_a_draining_model_is_a_candidate_only_for_what_was_accepted_for_it():
    given = facts(a_model("x", state=ModelState.DRAINING))
    assert decide(RuleSet(), given).ranked == ("x",)


@pytest.mark.parametrize(
    ("health", "why"),
    [
        (ModelHealth(breaker=Breaker.OPEN), "breaker open"),
        (ModelHealth(in_flight=8), "8 of 8 in flight"),
    ],
)
def test_a_sick_or_busy_model_rests(health, why):
    sick = a_model("x", limits=ModelLimits(concurrency=8))
    decision = decide(RuleSet(), facts(sick, "well", live={"x": health}))
    assert decision.ranked == ("well",)
    assert why in decision.passed_over["x"]


@pytest.mark.parametrize("health", [ModelHealth(breaker=Breaker.HALF_OPEN), ModelHealth(in_flight=7)])
def test_a_model_that_recovers_or_has_room_is_called(health):
    model = a_model("x", limits=ModelLimits(concurrency=8))
    assert decide(RuleSet(), facts(model, live={"x": health})).ranked == ("x",)


def test_a_breaker_holds_on_stale_facts_and_a_count_of_requests_does_not():
    models = (a_model("open"), a_model("full", limits=ModelLimits(concurrency=1)))
    health = {"open": ModelHealth(breaker=Breaker.OPEN), "full": ModelHealth(in_flight=1)}
    assert decide(RuleSet(), facts(*models, live=None)).ranked == ("open", "full")
    stale = replace(facts(*models), live=known(health, age=60))
    assert decide(RuleSet(), stale).ranked == ("full",)


def test_where_all_breakers_are_open_the_one_tried_soonest_may_be_called_by_setting():
    def rests(seconds):
        return ModelHealth(breaker=Breaker.OPEN, next_probe_at=NOW + timedelta(seconds=seconds))

    models = {"a": rests(9), "b": rests(3)}
    assert decide(RuleSet(), facts("a", "b", live=models)).refused.code == "no_model_available"
    bold = replace(facts("a", "b"), live=known(models, serve_all_open=True))
    assert decide(RuleSet(), bold).ranked == ("b",)
    well = replace(facts("a", "b", "c"), live=known(models, serve_all_open=True))
    assert decide(RuleSet(), well).ranked == ("c",)


# ---- nothing left ------------------------------------------------------------------------------------------------
def test_a_refusal_names_the_rule_that_took_the_last_and_no_model():
    decision = decide(rules({"name": "stays home", **KEEP_LOCAL}), facts("secret-a", "secret-b"))
    assert decision.ranked == ()
    assert decision.refused.code == "no_model_fits"
    assert decision.refused.rule == "stays home"
    assert "`stays home`" in decision.refused.message
    assert "secret" not in decision.refused.message


def test_a_refusal_by_what_may_change_may_be_tried_again():
    sick = {"a": did(errors={"upstream_timeout": 50})}
    decision = decided({"drop": {"error_rate": {"over": "25%"}}}, facts("a", live=sick))
    assert decision.refused.code == "no_model_available"


def test_one_live_reason_is_enough_to_try_again():
    sick = {"a": ModelHealth(breaker=Breaker.OPEN)}
    decision = decided(KEEP_LOCAL, facts(a_model("a", **LOCAL), "b", live=sick))
    assert decision.refused.code == "no_model_available"
    assert decision.refused.rule == "rule 1"


def test_a_rule_that_hangs_on_the_clock_may_let_pass_later():
    rule = {"when": {"schedule": {"days": "mon-fri"}}, **KEEP_LOCAL}
    assert decided(rule, facts("a")).refused.code == "no_model_available"


def test_a_request_too_long_for_all_says_so_in_the_code_that_agents_know():
    given = facts(a_model("a", context_window=10), asked=Asked("assistant", input_tokens=11))
    assert decide(RuleSet(), given).refused.code == "context_length_exceeded"


def test_rules_after_the_last_candidate_say_that_they_were_not_reached():
    decision = decide(rules(KEEP_LOCAL, {"prefer": {"name": "a"}}), facts("a"))
    assert decision.steps[-1].effect == "is not reached: no candidate is left"


# ---- keep, drop, prefer ------------------------------------------------------------------------------------------
def test_keep_takes_the_others_out():
    decision = decided(KEEP_LOCAL, facts("cloud", a_model("home", **LOCAL)))
    assert decision.ranked == ("home",)
    assert decision.passed_over == {"cloud": "is not tagged location=on-prem"}
    assert decision.rule == "rule 1"
    assert decision.steps[-1].effect == "keeps 1 of 2"
    assert decision.steps[-1].removed == decision.passed_over


def test_drop_takes_out_what_it_names():
    decision = decided({"drop": {"tagged": "location=on-prem"}}, facts("cloud", a_model("home", **LOCAL)))
    assert decision.ranked == ("cloud",)
    assert decision.passed_over == {"home": "is tagged location=on-prem"}


def test_prefer_puts_in_front_and_keeps_both_orders():
    models = ("a", a_model("b", **LOCAL), "c", a_model("d", **LOCAL))
    decision = decided({"prefer": {"tagged": {"location": "on-prem"}}}, facts(*models))
    assert decision.ranked == ("b", "d", "a", "c")
    assert decision.rule == "rule 1"
    assert decision.steps[-1].effect == "prefers 2 of 4"


def test_the_later_preference_stands_in_front_of_the_earlier():
    decision = decide(rules({"prefer": {"name": "b"}}, {"prefer": {"name": "c"}}), facts("a", "b", "c"))
    assert decision.ranked == ("c", "b", "a")
    assert decision.rule == "rule 2"


def test_a_model_that_is_preferred_and_then_dropped_is_gone():
    decision = decide(rules({"prefer": {"name": "b"}}, {"drop": {"name": "b"}}), facts("a", "b", "c"))
    assert decision.ranked == ("a", "c")


def test_what_is_unknown_stays_unless_the_rule_says_otherwise():
    rule = {"drop": {"latency": {"p95_over": "8s"}}}
    assert decided(rule, facts("a")).ranked == ("a",)
    assert "unknown for 1" in decided(rule, facts("a")).steps[-1].effect
    dropped = decided({**rule, "on_unknown": "drop"}, facts("a"))
    assert dropped.passed_over == {"a": "has had 0 requests in 5m, too few to say"}


def test_live_facts_are_unknown_when_they_are_old():
    sick = {"a": did(errors={"upstream_timeout": 50})}
    rule = {"name": "sick", "drop": {"error_rate": {"over": "25%"}}}
    assert decide(rules(rule), replace(facts("a", "b"), live=known(sick, age=10))).ranked == ("b",)
    old = decide(rules(rule), replace(facts("a", "b"), live=known(sick, age=11)))
    assert old.ranked == ("a", "b")
    assert "the live facts are 11s old" in old.steps[-1].effect
    patient = rules(rule, facts={"max_age": "1m"})
    assert decide(patient, replace(facts("a", "b"), live=known(sick, age=11))).ranked == ("b",)


def test_a_rule_whose_condition_does_not_hold_says_why():
    decision = decided({"when": {"request": {"tags": {"data": "confidential"}}}, **KEEP_LOCAL}, facts("a"))
    assert decision.ranked == ("a",)
    assert decision.steps[-1].effect == "does not apply: the request's tags lack data=confidential"


def test_a_condition_that_is_unknown_passes_the_rule_over_unless_it_says_otherwise():
    rule = {"when": {"caller": {"budget_used": {"over": "80%"}}}, **KEEP_LOCAL}
    blind = replace(facts("a"), live=known({}, age=0).__class__())
    assert decided(rule, blind).ranked == ("a",)
    assert decided({**rule, "when_unknown": "apply"}, blind).ranked == ()


def test_all_reasons_are_told_to_who_asks_for_them():
    home = a_model("home", **LOCAL)
    assert decide(rules(KEEP_LOCAL), facts(home)).steps[-1].reasons == {}
    told = decide(rules(KEEP_LOCAL), facts(home), full=True).steps[-1].reasons
    assert told == {"home": "is tagged location=on-prem"}


def test_every_candidate_is_ranked_or_passed_over():
    decision = decide(rules(KEEP_LOCAL, {"refuse": "No."}), facts("a", a_model("b", **LOCAL)))
    assert decision.refused.code == "refused_by_rule"
    assert decision.refused.message == "No."
    assert {*decision.ranked, *decision.passed_over} == {"a", "b"}
    assert decision.ranked == ()


def test_what_the_fallback_says_are_the_terms():
    found = decide(rules(fallback={"attempts": 4, "deadline": "2m", "backoff": {"factor": 3}}), facts("a"))
    assert (found.terms.attempts, found.terms.deadline, found.terms.backoff_factor) == (
        4,
        timedelta(minutes=2),
        3,
    )
