"""What is wrong with a rule text, where, in which rule, and what would be right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.domain.rules.reading import Key, Mistake
from gateway.settings import Place, Problem


@dataclass(frozen=True, slots=True)
class RuleProblem(Problem):
    """One thing that is wrong, in which rule; none for what stands outside of the rules."""

    rule: str = ""

    def __str__(self) -> str:
        """`rules.conf:12: rule "slow models rest": latency.p95_over needs a duration such as 8s; got 8`."""
        named = f'rule "{self.rule}"' if self.rule else ""
        said = ": ".join(part for part in (str(self.place), named, self.text) if part)
        return f"{said}. Did you mean {self.nearest}?" if self.nearest else said


def placed(mistakes: Iterable[Mistake], place: Callable[[Key], Place]) -> list[RuleProblem]:
    """Mistakes with their places."""
    return [
        RuleProblem(place(each.key), ".".join(each.key), each.text, each.nearest, each.rule)
        for each in mistakes
    ]
