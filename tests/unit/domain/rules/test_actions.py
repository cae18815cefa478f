"""What each action makes of the candidates, beside keeping, dropping and preferring them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from gateway.domain.errors import BY_CODE
from gateway.domain.health import ModelHealth
from gateway.domain.limits import Then
from gateway.domain.prices import Price
from gateway.domain.registry import ModelLimits
from gateway.domain.rules import Asked, Asking, Hedge, Shadow, Terms, decide
from tests.builders import a_model
from tests.unit.domain.rules.scenes import decided, did, facts, rules

PRICES = {
    "dear": Price(Decimal(3), Decimal(15)),
    "fair": Price(Decimal(1), Decimal(4)),
    "cheap": Price(Decimal(0), Decimal(0)),
}
REQUEST = Asked("assistant", input_tokens=1_000, max_output=1_000)


# ---- rank --------------------------------------------------------------------------------------------------------
def test_a_ranking_by_cost_calls_the_cheapest_first():
    given = facts("dear", "fair", "cheap", asked=REQUEST, prices=PRICES)
    decision = decided({"name": "thrift", "rank": {"cost": 1}}, given)
    assert decision.ranked == ("cheap", "fair", "dear")
    assert decision.scores == {"dear": 0.0, "fair": pytest.approx(0.722222), "cheap": 1.0}
    assert decision.rule == "thrift"
    assert decision.steps[-1].effect == "ranks 3 by cost 1"
    assert decision.steps[-1].reasons["fair"] == "cost 0.72"


def test_weights_are_shares_of_their_sum():
    given = facts(
        a_model("good", quality=1.0),
        a_model("cheap", quality=0.0),
        asked=REQUEST,
        prices={**PRICES, "good": PRICES["dear"]},
    )
    for factor in (1, 10):
        decision = decided({"rank": {"cost": 1 * factor, "quality": 3 * factor}}, given)
        assert decision.scores == {"good": 0.75, "cheap": 0.25}


def test_what_is_unknown_is_ranked_in_the_middle_and_said():
    given = facts("dear", "free-of-price", "cheap", asked=REQUEST, prices=PRICES)
    decision = decided({"rank": {"cost": 1}}, given)
    assert decision.ranked == ("cheap", "free-of-price", "dear")
    assert "unknown and so in the middle: cost of 1" in decision.steps[-1].effect
    assert decision.steps[-1].reasons["free-of-price"] == "cost unknown, 0.50"


@pytest.mark.parametrize(
    ("weight", "better", "worse"),
    [
        ("latency", did("5m", p50_ms=100), did("5m", p50_ms=900)),
        ("first_token", did("5m", first_token_p50_ms=10), did("5m", first_token_p50_ms=90)),
        ("speed", did("5m", tokens_per_second=90), did("5m", tokens_per_second=10)),
        ("errors", did("5m"), did("5m", errors={"upstream_timeout": 50})),
        ("load", ModelHealth(in_flight=1), ModelHealth(in_flight=9)),
    ],
)
def test_live_measures_rank(weight, better, worse):
    limits = ModelLimits(concurrency=10)
    given = facts(
        a_model("worse", limits=limits),
        a_model("better", limits=limits),
        live={"worse": worse, "better": better},
    )
    assert decided({"rank": {weight: 1}}, given).ranked == ("better", "worse")


def test_equal_scores_stand_as_the_caller_prefers_and_then_in_the_order_of_the_name():
    one, other = a_model("one", quality=0.2), a_model("other", quality=0.9)
    rule = {"rank": {"cost": 1}}
    assert decided(rule, facts(one, other)).ranked == ("one", "other")
    assert decided(rule, facts(one, other, asked=Asked(prefer="quality"))).ranked == ("other", "one")


def test_the_ranking_stands_behind_what_is_preferred_wherever_it_is_written():
    given = facts("dear", "fair", "cheap", asked=REQUEST, prices=PRICES)
    rank, prefer = {"rank": {"cost": 1}}, {"prefer": {"name": ["dear", "fair"]}}
    for order in ((rank, prefer), (prefer, rank)):
        assert decide(rules(*order), given).ranked == ("fair", "dear", "cheap")


def test_the_last_ranking_that_applies_counts():
    given = facts(
        a_model("good", quality=1.0),
        a_model("cheap", quality=0.0),
        asked=REQUEST,
        prices={**PRICES, "good": PRICES["dear"]},
    )
    usual, batch = {"name": "usual", "rank": {"quality": 1}}, {"name": "batch", "rank": {"cost": 1}}
    both = decide(rules(usual, {**batch, "when": {"request": {"model": "assistant"}}}), given)
    assert both.ranked == ("cheap", "good")
    assert [step.effect for step in both.steps if step.rule == "usual"] == [
        "ranks nothing: batch comes later"
    ]
    one = decide(rules(usual, {**batch, "when": {"request": {"model": "other"}}}), given)
    assert one.ranked == ("good", "cheap")


def test_a_ranking_is_of_what_is_left():
    given = facts("dear", "fair", "cheap", asked=REQUEST, prices=PRICES)
    decision = decide(rules({"drop": {"name": "cheap"}}, {"rank": {"cost": 1}}), given)
    assert decision.scores == {"dear": 0.0, "fair": 1.0}


# ---- split -------------------------------------------------------------------------------------------------------
SPLIT = {"name": "canary", "split": {"new": 5, "old": 95, "sticky_by": "caller"}}


def shares(rule, given, of):
    return Counter(decided(rule, of(given, n)).model for n in range(4_000))


def by_caller(given, n):
    return replace(given, caller=Asking(f"caller-{n}"))


def by_roll(given, n):
    return replace(given, roll=n / 4_000)


@pytest.mark.parametrize(("sticky", "of"), [("caller", by_caller), ("request", by_roll)])
def test_a_split_gives_each_its_share(sticky, of):
    found = shares({"split": {"new": 5, "old": 95, "sticky_by": sticky}}, facts("old", "new"), of)
    # 200 expected of 4,000: within four standard deviations.
    assert abs(found["new"] - 200) < 4 * (4_000 * 0.05 * 0.95) ** 0.5
    assert found["new"] + found["old"] == 4_000


def test_a_split_sticks_to_the_caller_whatever_the_dice_say():
    for n in range(50):
        given = by_caller(facts("old", "new"), n)
        assert len({decided(SPLIT, replace(given, roll=roll / 10)).model for roll in range(10)}) == 1


def test_a_conversation_keeps_its_model_and_one_that_is_not_known_keeps_its_callers():
    rule = {"split": {"a": 1, "b": 1, "sticky_by": "conversation"}}
    given = facts("a", "b", caller=Asking("c-1"))
    talks = [replace(given, asked=Asked(conversation=f"talk-{n}")) for n in range(40)]
    assert {decided(rule, talk).model for talk in talks} == {"a", "b"}
    for talk in talks:
        assert len({decided(rule, replace(talk, caller=Asking(f"c-{n}"))).model for n in range(5)}) == 1
    assert "by caller, the conversation being unknown" in decided(rule, given).steps[-1].effect


def test_a_change_of_shares_moves_only_those_who_must():
    wider = {**SPLIT, "split": {"new": 20, "old": 80, "sticky_by": "caller"}}
    given = facts("old", "new")
    for n in range(400):
        if decided(SPLIT, by_caller(given, n)).model == "new":
            assert decided(wider, by_caller(given, n)).model == "new"


def test_a_model_that_is_away_leaves_the_others_their_callers():
    rule = {"split": {"a": 1, "b": 1, "c": 1, "sticky_by": "caller"}}
    for n in range(100):
        before = decided(rule, by_caller(facts("a", "b", "c"), n)).model
        after = decided(rule, by_caller(facts("a", "b"), n)).model
        assert before in (after, "c")


def test_a_split_moves_to_the_front_and_takes_out_only_what_has_no_share():
    decision = decided({"split": {"b": 1, "c": 0}}, facts("a", "b", "c"))
    assert decision.ranked == ("b", "a")
    assert decision.passed_over == {"c": "has share 0 in the split"}
    assert decision.rule == "rule 1"
    assert decision.steps[-1].effect == "chooses b (1 of 1) by request"


def test_a_split_of_models_that_are_not_there_does_nothing():
    decision = decided({"split": {"x": 1}}, facts("a", "b"))
    assert decision.ranked == ("a", "b")
    assert decision.steps[-1].effect == "splits nothing: none of its models is left"


# ---- throttle ----------------------------------------------------------------------------------------------------
def limit_of(throttle, **changes):
    given = facts("a", "b", caller=Asking("agent-1"), asked=REQUEST)
    [found] = decided({"name": "slow", "throttle": throttle}, replace(given, **changes)).throttles
    return found


def test_a_limit_has_a_bucket_for_each_caller():
    found = limit_of({"rate": "10/s", "burst": 20, "per": "caller", "then": "queue"})
    assert (found.key, found.rate, found.burst, found.then, found.rule, found.cost) == (
        "rules/slow/caller/agent-1",
        10,
        20,
        Then.QUEUE,
        "slow",
        1,
    )


@pytest.mark.parametrize(("per", "key"), [("gateway", "rules/slow/gateway"), ("model", "rules/slow/model/a")])
def test_a_limit_may_be_for_all_or_for_the_model_that_is_called(per, key):
    assert limit_of({"rate": "10/s", "per": per}).key == key


def test_a_limit_of_tokens_costs_what_the_request_may_use():
    found = limit_of({"tokens": "60k/m"})
    assert (found.rate, found.burst, found.cost, found.then) == (1_000, 60_000, 2_000, Then.REJECT)


def test_a_burst_is_what_the_rate_says_by_itself():
    assert limit_of({"rate": "600/m"}).burst == 600
    assert limit_of({"rate": "0.5/s"}).burst == 1


def test_the_model_of_a_limit_is_the_one_that_is_first_in_the_end():
    given = facts("a", "b", "c")
    made = rules({"throttle": {"rate": "1/s", "per": "model"}}, {"prefer": {"name": "c"}})
    assert [each.key for each in decide(made, given).throttles] == ["rules/rule 1/model/c"]


# ---- refuse, set -------------------------------------------------------------------------------------------------
def test_a_refusal_has_the_rules_own_words_and_no_throttle():
    decision = decide(
        rules({"throttle": {"rate": "1/s"}}, {"name": "no", "refuse": "Not today."}, {"keep": {"name": "x"}}),
        facts("a"),
    )
    assert (decision.refused.code, decision.refused.message, decision.refused.rule) == (
        "refused_by_rule",
        "Not today.",
        "no",
    )
    assert decision.throttles == ()
    assert decision.rule == "no"
    assert decision.steps[-1].effect == "is not reached: refused"
    assert not BY_CODE[decision.refused.code].retryable


def test_a_message_may_stand_in_an_object():
    assert decided({"refuse": {"message": "No."}}, facts("a")).refused.message == "No."


def test_terms_are_set_one_over_the_other():
    found = decide(
        rules(
            {"set": {"attempts": 2, "tags": {"a": "1", "b": "1"}}},
            {"set": {"durability": "start-first", "log_content": False, "tags": {"b": "2"}}},
            {"set": {"attempts": 5}, "when": {"request": {"model": "other"}}},
            fallback={"attempts": 4, "cost_limit_usd": "1.00", "backoff": {"initial": "200ms", "max": "10s"}},
        ),
        facts("a"),
    )
    assert found.terms == Terms(
        "start-first",
        2,
        None,
        Decimal("1.00"),
        timedelta(milliseconds=200),
        None,
        timedelta(seconds=10),
        log_content=False,
        tags={"a": "1", "b": "2"},
    )
    assert found.steps[-2].effect == "sets durability, log content, tag b"


def test_a_rule_says_who_goes_first_and_with_which_share():
    found = decide(
        rules({"set": {"priority": 5, "weight": 0.5}}, {"set": {"priority": 1}}),
        facts("a"),
    )
    assert (found.terms.priority, found.terms.weight) == (1, 0.5)


@pytest.mark.parametrize("wrong", [{"priority": 0}, {"priority": 6}, {"weight": 0}, {"weight": 1001}])
def test_a_priority_or_a_weight_that_there_is_not_is_refused(wrong):
    with pytest.raises(Exception, match=next(iter(wrong))):
        rules({"set": wrong})


def test_the_cost_limit_of_a_rule_takes_out_what_is_too_dear():
    given = facts("dear", "fair", "unpriced", asked=REQUEST, prices=PRICES)
    decision = decided({"set": {"cost_limit_usd": "0.01"}}, given)
    assert decision.ranked == ("fair", "unpriced")
    assert decision.passed_over == {"dear": "would cost about $0.018000, more than $0.01"}
    assert decision.rule == "cost limit"


def test_when_everything_is_too_dear_the_limit_is_named():
    given = facts("dear", asked=replace(REQUEST, max_cost_usd=Decimal("0.001")), prices=PRICES)
    refused = decide(rules(), given).refused
    assert refused.code == "no_model_fits"
    assert refused.rule == "cost limit"


# ---- hedge and shadow --------------------------------------------------------------------------------------------
def test_a_hedge_is_part_of_the_decision():
    made = rules(hedge={"after": "p95", "max_extra_cost_usd": "0.05"})
    assert decide(made, facts("a")).hedge == Hedge(None, 1, Decimal("0.05"))
    assert decide(rules(hedge={"after": "2s", "max_extra": 2}), facts("a")).hedge == Hedge(
        timedelta(seconds=2), 2
    )
    assert decide(rules(), facts("a")).hedge is None


def test_a_shadow_is_drawn_for_its_share_of_requests():
    made = rules(shadow={"model": "next", "share": "2%"})
    given = facts("a")
    drawn = [decide(made, by_roll(given, n)).shadow for n in range(4_000)]
    count = len([each for each in drawn if each == Shadow("next", 0.02)])
    assert abs(count - 80) < 4 * (4_000 * 0.02 * 0.98) ** 0.5
    assert decide(rules(shadow={"model": "next", "share": "100%"}), given).shadow == Shadow("next", 1.0)


def test_hedge_and_shadow_hang_on_their_own_conditions():
    jobs = {"request": {"mode": "job"}}
    made = rules(hedge={"after": "p95", "when": jobs}, shadow={"model": "n", "share": "100%", "when": jobs})
    decision = decide(made, facts("a"))
    assert (decision.hedge, decision.shadow) == (None, None)


def test_a_decision_of_a_retry_is_made_without_what_failed_and_sticks_to_the_rest():
    given = facts("old", "new", live={"old": did()})
    chosen = decided(SPLIT, given).ranked[0]
    other = {"old": "new", "new": "old"}[chosen]
    assert decided(SPLIT, replace(given, asked=Asked("assistant", exclude=(chosen,)))).model == other
