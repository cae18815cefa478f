"""Pricing a period anew, step by step: each step is a part of the ledger, and its books are written with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Final

from temporalio import activity

from gateway.domain.errors import RepricingUnderWay
from gateway.domain.inference import Status
from gateway.domain.prices import PriceBook
from gateway.domain.repricing import Repricing, recost
from gateway.storage.ports import Prices, Repricings

_ATTEMPTS: Final = (
    500  # looked at, and charged, at once: the event loop is busy with them for some milliseconds
)
_WHILE: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Reprice:
    """Which period is priced anew, and on whose word; `models` None is every model."""

    id: str
    since: datetime
    until: datetime
    models: tuple[str, ...] | None
    dry_run: bool
    reason: str
    actor: str

    def begun(self) -> Repricing:
        """The repricing that this begins."""
        return Repricing(
            self.id,
            self.since,
            self.until,
            self.models,
            dry_run=self.dry_run,
            reason=self.reason,
            actor=self.actor,
            asked_at=datetime.now(UTC),  # the store says it by its own clock
        )


@dataclass(frozen=True, slots=True)
class Step:
    """The next part of a repricing; `attempts` are charged at once, for about `lasting`."""

    id: str
    attempts: int = _ATTEMPTS
    lasting: timedelta = _WHILE


@dataclass(frozen=True, slots=True)
class End:
    """How a repricing ends."""

    id: str
    status: Status
    failure: str | None = None


class PriceActivities:
    """Charges the ledger's attempts anew, and keeps what comes of it."""

    def __init__(self, prices: Prices, repricings: Repricings) -> None:
        """The store's ports."""
        self._prices = prices
        self._repricings = repricings

    @activity.defn(name="begin_repricing")
    async def begin(self, reprice: Reprice) -> bool:
        """Keep it, if its acceptance has not; False if it must not run beside another one."""
        try:
            await self._repricings.begin(reprice.begun())
        except RepricingUnderWay:
            return False
        return True

    @activity.defn(name="reprice")
    async def step(self, step: Step) -> bool:
        """Go on where it stands, for a while; True when nothing is left of it. Safe to do again, and beside itself."""
        repricing = await self._repricings.get(step.id)
        if repricing is None:
            return True
        book = PriceBook.of(await self._prices.load(repricing.asked_at))
        until = monotonic() + step.lasting.total_seconds()
        while repricing is not None and repricing.status is Status.IN_PROGRESS:
            stretch = await self._repricings.stretch(repricing, step.attempts)
            if stretch.end is None:
                return True
            charged = recost(book, stretch.attempts)
            if await self._repricings.advance(repricing, stretch.end, *charged):
                repricing = replace(repricing, place=stretch.end)
            else:
                repricing = await self._repricings.get(step.id)
            activity.heartbeat()
            if monotonic() >= until:
                return False
        return True

    @activity.defn(name="end_repricing")
    async def end(self, end: End) -> None:
        """Write down how it ended."""
        await self._repricings.end(end.id, end.status, end.failure)
