"""A decision as it is kept: whole as long as it is short, cut to what matters when it is long, and read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import msgspec

from gateway.decisions import LONGEST, read, tell
from gateway.domain.limits import Then, Throttle
from gateway.domain.rules import IDLE, Decision, Hedge, Refused, Shadow, Step, Terms

FULL = Decision(
    ranked=("a", "b"),
    passed_over={"c": "too slow"},
    rules_version="7",
    rule="cheap first",
    steps=(Step("slow models rest", "2 of 3 left", {"c": "too slow"}, {"a": "3 s"}),),
    scores={"a": 0.25, "b": 0.75},
    roll=0.125,
    refused=Refused("refused_by_rule", "no", "rule"),
    throttles=(Throttle("k", 1.5, 2.0, Then.QUEUE, "r", 3.0),),
    terms=Terms("start-first", 3, timedelta(seconds=5), Decimal("0.10"), tags={"a": "1"}),
    hedge=Hedge(timedelta(milliseconds=1500), 2, Decimal("0.05")),
    shadow=Shadow("d", 0.02),
    registry_version="12",
)


def test_a_decision_is_read_as_it_was_told():
    assert read(tell(FULL)) == FULL


def test_a_long_decision_keeps_its_best_models_and_says_what_it_left_out():
    names = tuple(f"model-{number}" for number in range(1000))
    long = Decision(
        ranked=names,
        passed_over={f"{name}-x": "why " * 100 for name in names},
        steps=tuple(Step(f"rule {n}", "x" * 500, {f"{name}-x": "why" for name in names}) for n in range(50)),
        scores=dict.fromkeys(names, 0.5),
    )
    told = tell(long)
    assert len(told.encode()) <= LONGEST
    kept = read(told)
    assert kept is not None
    assert kept.ranked == names[: len(kept.ranked)] != ()
    assert set(kept.scores) == set(kept.ranked)
    assert kept.steps[-1].effect == f"{1000 - len(kept.ranked)} more models were ranked behind these"
    assert kept.steps[0].effect.endswith(f"(and {1000 - len(kept.steps[0].removed)} more)")


def test_what_cannot_be_read_is_nothing():
    assert read("") is None
    assert read('{"ranked": 3}') is None
    assert read("nonsense") is None


def test_rules_that_did_the_same_to_nobody_share_the_words_and_are_read_in_their_places():
    removing = Step("e", "keeps 1 of 2", {"m": "is slow"})
    steps = [
        Step("a", IDLE),
        Step("b", "keeps all 2"),
        Step("c", IDLE),
        removing,
        Step("d", IDLE),
        Step("a", IDLE),
    ]
    decision = Decision(("m",), steps=(*steps, Step("b", "keeps all 2")))
    told = tell(decision)
    assert read(told) == decision
    assert (told.count(IDLE), told.count("keeps all 2")) == (
        2,
        2,
    )  # once more for each rule that stands twice


def test_what_the_version_before_kept_is_read_and_what_is_kept_now_it_reads():
    whole = msgspec.json.encode(FULL).decode()
    assert read(whole) == FULL
    brief = replace(FULL, steps=(Step("idle", IDLE), *FULL.steps, Step("keeps", "keeps all 2")))
    assert msgspec.json.decode(tell(brief), type=Decision) == FULL


def test_what_is_empty_is_not_kept():
    assert tell(Decision(("m",))) == '{"ranked":["m"],"steps":[],"roll":0.0}'
