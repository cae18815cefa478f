"""A set of rules, as it is in force: one immutable version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from gateway.domain.rules.conditions import Condition
from gateway.domain.rules.course import Action
from gateway.domain.rules.decision import IDLE, Hedge, Shadow, Step, Terms

MAX_AGE = timedelta(seconds=10)
"""Live facts older than this count as unknown, unless the rules say otherwise."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done (`action`) when something holds (`when`; always without one).

    Where it is unknown whether it holds, the rule is passed over, or with `unknown_applies` it is not.
    """

    name: str
    action: Action
    when: Condition | None = None
    unknown_applies: bool = False
    live: bool = False
    idle: Step | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """`idle` is the step of a brief decision where the rule does not apply because of the request alone."""
        waits = self.when is None or self.when.live
        object.__setattr__(self, "idle", None if waits else Step(self.name, IDLE))


@dataclass(frozen=True, slots=True)
class RuleSet:
    """One version of the rules. Without any, models are called in the order of the name that was asked for.

    `said` is the whole set as plain values, in the one canonical way: reading it again gives the same set.
    """

    version: str = "none"
    rules: tuple[Rule, ...] = ()
    terms: Terms = field(default_factory=Terms)
    hedge: Hedge | None = None
    hedge_when: Condition | None = None
    shadow: Shadow | None = None
    shadow_when: Condition | None = None
    max_age: timedelta = MAX_AGE
    said: Mapping[str, Any] = field(default_factory=dict)
