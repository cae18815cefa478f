"""What a decision says: the models in their order, why, and on which terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from gateway.domain.limits import Throttle

IDLE = "does not apply"
"""The effect of a rule whose condition does not hold; why it does not follows, where it is said."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one rule (or one check of our own) did: `effect` in a few words, `removed` the models with the reason."""

    rule: str
    effect: str
    removed: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)  # what it found about models that stayed


@dataclass(frozen=True, slots=True)
class Refused:
    """Refused by a rule, or nothing is left: a code of `domain.errors`, words for the caller, and the rule.

    `retry_after` is when that may be over, where it is known.
    """

    code: str
    message: str
    rule: str = ""
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What rules set for a request; None leaves it to the request or the settings.

    `priority` and `weight` are for jobs that wait for a worker: which goes first, and its caller's share.
    """

    durability: str | None = None
    attempts: int | None = None
    deadline: timedelta | None = None
    cost_limit_usd: Decimal | None = None
    backoff_initial: timedelta | None = None
    backoff_factor: float | None = None
    backoff_max: timedelta | None = None
    log_content: bool | None = None
    priority: int | None = None
    weight: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    past_content_filter: bool | None = None


@dataclass(frozen=True, slots=True)
class Hedge:
    """Call the next model beside a slow one: `after` a fixed time, or after the model's own p95 where it is None."""

    after: timedelta | None = None
    max_extra: int = 1
    max_extra_cost_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Shadow:
    """Send a copy of this request to a model, whose answer nobody waits for.

    A decision has it only for requests that were drawn: who acts on it does not draw again by `share`.
    """

    model: str
    share: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The models to call, best first; for each one passed over, the reason; and one step a rule.

    Every candidate is either ranked or passed over; a refused request ranks none. `rule` is what decided which model is
    first. `throttles` are the limits that the request falls under, `terms`, `hedge` and `shadow` what holds for it.
    """

    ranked: tuple[str, ...]
    passed_over: Mapping[str, str] = field(default_factory=dict)
    rules_version: str = ""
    rule: str = "order of the name"
    steps: tuple[Step, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    roll: float = 0.0
    refused: Refused | None = None
    throttles: tuple[Throttle, ...] = ()
    terms: Terms = field(default_factory=Terms)
    hedge: Hedge | None = None
    shadow: Shadow | None = None
    registry_version: str = ""

    @property
    def model(self) -> str | None:
        """The model to call, or None when nothing is left."""
        return self.ranked[0] if self.ranked else None

    @property
    def lines(self) -> tuple[str, ...]:
        """The decision as a person reads it, one line a step."""
        told = [f"{step.rule}: {step.effect}" for step in self.steps]
        told += [f"{name} passed over: {why}" for name, why in self.passed_over.items()]
        return (*told, f"ranked: {', '.join(self.ranked) or 'none'}")
