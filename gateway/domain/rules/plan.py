"""Which rules of a set can apply to a request at all, told by the words of the request and its caller."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple

from gateway.domain.rules.decision import Step
from gateway.domain.rules.facts import Facts
from gateway.domain.rules.rule import Rule
from gateway.domain.rules.scene import Scene

_MOST_PLANS = 512
_MOST_PARTS = 50_000  # of all plans together, about a hundred bytes each


class Part(NamedTuple):
    """One rule that runs (with `asks`, if its condition holds), or the steps of some that do not apply.

    `number` is the first rule's place in the set.
    """

    number: int
    rule: Rule | None
    asks: bool = False
    steps: tuple[Step, ...] = ()


def everything(rules: tuple[Rule, ...]) -> Iterator[Part]:
    """Every rule is asked."""
    return (Part(number, rule, asks=True) for number, rule in enumerate(rules))


class Plans:
    """The plans of one rule set: one for each combination of those words that its conditions ask for."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        """Nobody has asked yet."""
        self.rules = rules
        self.most = min(_MOST_PLANS, max(1, _MOST_PARTS // max(1, len(rules))))
        words: dict[str, Callable[[Facts], Hashable]] = {}
        for rule in rules:
            if rule.when is not None and rule.when.words is not None:
                words.update(rule.when.words)
        self._takes = tuple(words.values())
        self._plans: dict[tuple[Hashable, ...], tuple[Part, ...]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._plans)

    def brief(self, scene: Scene) -> tuple[Part, ...]:
        """Those are asked whose conditions rest on more than words; of the others those run that apply."""
        key = tuple([take(scene.facts) for take in self._takes])
        found = self._plans.get(key)
        if found is None:
            found = _planned(self.rules, scene)
            if len(self._plans) >= self.most:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = found
        return found


def _planned(rules: tuple[Rule, ...], scene: Scene) -> tuple[Part, ...]:
    parts: list[Part] = []
    for number, rule in enumerate(rules):
        when = rule.when
        if when is None or when.words is None:
            parts.append(Part(number, rule, asks=when is not None))
        elif scene.holds(when):
            parts.append(Part(number, rule))
        elif rule.idle is not None:
            before = parts.pop() if parts and parts[-1].rule is None else Part(number, None)
            parts.append(before._replace(steps=(*before.steps, rule.idle)))
    return tuple(parts)
