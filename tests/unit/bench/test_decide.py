import pytest

from bench.decide import Shape, facts, measure, rules
from gateway.domain.rules import decide

pytestmark = pytest.mark.slow


def test_decisions_are_timed_with_each_set_of_rules():
    report = measure(Shape(models=10, rules=12, rounds=3))
    assert {fact for fact, taken in report.facts.items() if taken > 0} == {
        "decide.all_apply.p50_ms",
        "decide.as_usual.p50_ms",
        "decide.1000_models.p50_ms",
        "decide.an_alias_of_3_models.p50_ms",
        "decide.no_rules.p50_ms",
    }


def test_what_is_timed_decides_something():
    busy, idle = (decide(rules(50, idle=idle), facts(100)) for idle in (False, True))
    assert not [step for step in busy.steps if step.effect.startswith("does not apply")]
    assert len([step for step in idle.steps if step.effect.startswith("does not apply")]) == 23
    assert len(busy.ranked) > 90
    assert busy.scores
    assert busy.throttles
