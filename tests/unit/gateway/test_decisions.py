"""A decision as it is kept: whole as long as it is short, cut to what matters when it is long, and read again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from gateway.decisions import LONGEST, read, tell
from gateway.domain.limits import Then, Throttle
from gateway.domain.rules import Decision, Hedge, Refused, Shadow, Step, Terms

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
