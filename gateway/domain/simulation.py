"""Trying rules on traffic that was logged: what is asked, what the ledger knows of it, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from gateway.domain.inference import SHADOW_CALLER, Attempt, InferenceRequest, Outcome, Status

LONGEST: Final = timedelta(days=92)
"""The longest period that one simulation looks at."""
MOST: Final = 1_000_000
"""The most requests that it decides again."""
USUAL: Final = 100_000
"""As many unless it is said."""

_MILLISECOND: Final = timedelta(milliseconds=1)


class Place(NamedTuple):
    """Where a request stands in the ledger; places compare in its order."""

    accepted_at: datetime
    request_id: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """The newest requests of a period: how many they are, and the oldest of them; None where there is none."""

    total: int = 0
    first: Place | None = None


@dataclass(frozen=True, slots=True)
class Logged:
    """A request as the ledger has it, as far as it can be decided again, and its attempts in order: no texts.

    Of failures only what rules may know is there. Costs are those that hold, corrections counted.
    """

    request: InferenceRequest
    attempts: tuple[Attempt, ...] = ()

    @property
    def place(self) -> Place:
        """Where it stands in the ledger."""
        return Place(self.request.accepted_at, self.request.id)

    @property
    def is_copy(self) -> bool:
        """Whether it was sent for a model on trial, beside the request of a caller."""
        return self.request.caller.startswith(SHADOW_CALLER)

    @property
    def first_model(self) -> str:
        """The model that was called first; empty when none was."""
        return self.attempts[0].model if self.attempts else ""

    @property
    def answer(self) -> Attempt | None:
        """The attempt that answered; None when none did."""
        return next((each for each in reversed(self.attempts) if each.outcome is Outcome.SUCCEEDED), None)

    @property
    def cost_usd(self) -> Decimal | None:
        """What all attempts cost together; None as soon as one of them is not known."""
        total = Decimal(0)
        for attempt in self.attempts:
            if attempt.cost_usd is None:
                return None
            total += attempt.cost_usd
        return total

    @property
    def took_ms(self) -> float | None:
        """From the first call to the end of the answer; None for what was not answered."""
        answer = self.answer
        if answer is None:
            return None
        return (answer.started_at - self.attempts[0].started_at) / _MILLISECOND + answer.total_ms


@dataclass(frozen=True, slots=True)
class Move:
    """Requests that would go from one model to another: an empty `target` is a refusal, an empty `source` was one.

    The costs are over those whose cost is known both ways, and `cost_unknown` counts the others.
    """

    source: str
    target: str
    requests: int
    cost_usd: Decimal
    estimated_cost_usd: Decimal
    cost_unknown: int


@dataclass(frozen=True, slots=True)
class Example:
    """A request that would be decided otherwise: by which rule of the draft, and why."""

    request_id: str
    source: str
    target: str
    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a simulation found. Costs and medians compare like with like: requests of which both sides are known.

    `moved` would be called at another model first, `refused` at none; `cost_unknown` and `latency_unknown` count those
    that costs and medians leave out. The largest moves are listed, and `moves_left` kinds of them are not.
    """

    requests: int = 0
    moved: int = 0
    refused: int = 0
    cost_usd: Decimal = Decimal(0)
    estimated_cost_usd: Decimal = Decimal(0)
    cost_unknown: int = 0
    p50_ms: float | None = None
    estimated_p50_ms: float | None = None
    latency_unknown: int = 0
    moves: tuple[Move, ...] = ()
    moves_left: int = 0
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Simulation:
    """A rule text that is tried on the newest `most` requests of a period; `until` is no longer in it.

    `version` is the text's number if it was published, `actor` the caller who asked. `done` of about `total` requests
    are decided; one whose worker died begins anew, and `done` with it.
    """

    id: str
    text: str
    version: int | None
    digest: str
    since: datetime
    until: datetime
    most: int
    actor: str
    created_at: datetime
    status: Status = Status.QUEUED
    completed_at: datetime | None = None
    done: int = 0
    total: int | None = None
    error: str | None = None
    report: Report | None = None
