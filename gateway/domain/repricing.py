"""Pricing a period anew: attempts are charged by the prices that are known now for the moments when they were made.

The ledger is never changed: what an attempt costs after all is a correction beside it, and the last one holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from gateway.domain.inference import Attempt, Status
from gateway.domain.prices import PriceBook, cost_of_attempt


class Place(NamedTuple):
    """Where an attempt stands in the ledger; places compare in its order."""

    accepted_at: datetime
    request_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Costed:
    """An attempt and what it costs as far as is known: what the ledger says, or its last correction."""

    place: Place
    attempt: Attempt
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the ledger: its attempts of the models that are looked for, and where it ends; None: so does all."""

    attempts: tuple[Costed, ...]
    end: Place | None


@dataclass(frozen=True, slots=True)
class Correction:
    """What an attempt costs after all, and what was held before; None: nobody knows."""

    place: Place
    model: str
    old_usd: Decimal | None
    new_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of the attempts that were looked at: how many changed, and how many have an unknown cost.

    The sums are of what is known, before and after.
    """

    looked_at: int = 0
    changed: int = 0
    unknown: int = 0
    old_usd: Decimal = Decimal(0)
    new_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Repricing:
    """A period that is priced anew, by the prices that were known at `asked_at`; `models` None is every model.

    `until` is no longer in it; both bound when requests were accepted. `place` is the last attempt that was looked at.
    A dry run counts and corrects nothing.
    """

    id: str
    since: datetime
    until: datetime
    models: tuple[str, ...] | None
    dry_run: bool
    reason: str
    actor: str
    asked_at: datetime
    status: Status = Status.IN_PROGRESS
    finished_at: datetime | None = None
    failure: str | None = None
    place: Place | None = None
    tally: Tally = field(default_factory=Tally)

    @property
    def progress(self) -> float:
        """How much of the period has been looked at, from 0 to 1."""
        if self.status is Status.COMPLETED:
            return 1.0
        if self.place is None:
            return 0.0
        return min(1.0, max(0.0, (self.place.accepted_at - self.since) / (self.until - self.since)))


def recost(book: PriceBook, attempts: Iterable[Costed]) -> tuple[tuple[Correction, ...], Tally]:
    """Charge attempts anew; those of models that the book says nothing of stay as they are."""
    corrections: list[Correction] = []
    looked_at = unknown = 0
    old_sum = new_sum = Decimal(0)
    for costed in attempts:
        attempt, old = costed.attempt, costed.cost_usd
        said = book.says(attempt.model, attempt.started_at)
        new = old if said is None else cost_of_attempt(said if said.known else None, attempt)
        looked_at += 1
        unknown += new is None
        old_sum += old or 0
        new_sum += new or 0
        if new != old:
            corrections.append(Correction(costed.place, attempt.model, old, new))
    return tuple(corrections), Tally(looked_at, len(corrections), unknown, old_sum, new_sum)
