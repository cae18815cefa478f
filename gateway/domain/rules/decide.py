"""`decide(rules, facts)`: which candidates are left, in which order, and why the others are not."""

from __future__ import annotations

from gateway.domain.rules.decision import Decision, Step
from gateway.domain.rules.facts import Facts
from gateway.domain.rules.rule import RuleSet


def decide(rules: RuleSet, facts: Facts) -> Decision:
    """Rank the candidates of the name in their order, those that just failed left out."""
    failed = {f.model: f"just failed with {f.code}" for f in facts.failed}
    names = tuple(model.name for model in facts.candidates)
    ranked = tuple(name for name in names if name not in failed)
    passed_over = {name: failed[name] for name in names if name in failed}
    step = Step("order of the name", f"{facts.asked.model} admits {', '.join(names) or 'nothing'}")
    return Decision(ranked, passed_over, rules.version, steps=(step,), roll=facts.roll)
