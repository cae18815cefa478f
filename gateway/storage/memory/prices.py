"""The table of prices, repricings and corrections in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from gateway.domain.errors import RepricingUnderWay
from gateway.domain.inference import Attempt, Status
from gateway.domain.prices import DatedPrice
from gateway.domain.repricing import Correction, Costed, Place, Repricing, Stretch, Tally
from gateway.storage.audit import shown_price
from gateway.storage.memory.changes import MemoryChanges
from gateway.storage.memory.registry import MemoryAudit
from gateway.storage.paging import no_such_page, page_of
from gateway.storage.ports import Page

NOUN = "prices"


class Ledger(Protocol):
    """What of the ledger is priced anew."""

    def placed(self) -> list[tuple[Place, Attempt]]:
        """All attempts in the order of their places."""
        ...

    def correct(self, correction: Correction) -> None:
        """Show a correction beside its attempt."""
        ...


class MemoryPrices:
    """The port `Prices`."""

    def __init__(self, changes: MemoryChanges, audit: MemoryAudit) -> None:
        """There are none yet."""
        self._changes = changes
        self._audit = audit
        self._rows: list[DatedPrice] = []

    async def load(self, known_at: datetime | None = None) -> tuple[DatedPrice, ...]:
        """All rows, oldest first, or those that were there at a moment."""
        return tuple(row for row in self._rows if known_at is None or row.created_at <= known_at)

    async def get(self, price_id: str) -> DatedPrice | None:
        """One row."""
        return next((row for row in self._rows if row.id == price_id), None)

    async def find(
        self, *, model: str | None = None, limit: int, after: str | None = None
    ) -> Page[DatedPrice]:
        """Rows newest first. Raises InvalidRequest when `after` is no row's id."""
        rows = list(reversed(self._rows))
        if after is not None:
            places = [place for place, row in enumerate(rows) if row.id == after]
            if not places:
                raise no_such_page()
            rows = rows[places[0] + 1 :]
        found = [row for row in rows if model in (None, row.model)]
        return page_of(found, limit, lambda row: row.id)

    async def add(self, price: DatedPrice) -> DatedPrice:
        """Keep a row."""
        kept = self._add(price)
        self._changes.bump(NOUN)
        return kept

    async def plant(self, model: str, prices: Sequence[DatedPrice], *, last: str | None) -> bool:
        """Keep rows of one model, if its newest one is still `last`."""
        newest = next((row.id for row in reversed(self._rows) if row.model == model), None)
        if newest != last:
            return False
        for price in prices:
            self._add(price)
        self._changes.bump(NOUN)
        return True

    def _add(self, price: DatedPrice) -> DatedPrice:
        kept = replace(price, created_at=datetime.now(UTC))
        self._rows.append(kept)
        self._audit.add(price.actor, NOUN, price.model, "create", None, shown_price(kept))
        return kept


class MemoryRepricings:
    """The port `Repricings`."""

    def __init__(self, ledger: Ledger) -> None:
        """`ledger` is what is priced anew."""
        self._ledger = ledger
        self._repricings: dict[str, Repricing] = {}
        self._corrections: dict[str, dict[Place, Correction]] = {}

    async def begin(self, repricing: Repricing) -> Repricing:
        """Keep one that begins, or return the one that is kept under its id."""
        known = self._repricings.get(repricing.id)
        if known is not None:
            return known
        if not repricing.dry_run and any(
            each.status is Status.IN_PROGRESS and not each.dry_run for each in self._repricings.values()
        ):
            raise RepricingUnderWay
        kept = replace(repricing, asked_at=datetime.now(UTC), status=Status.IN_PROGRESS)
        self._repricings[repricing.id] = kept
        return kept

    async def get(self, repricing_id: str) -> Repricing | None:
        """One of them."""
        return self._repricings.get(repricing_id)

    async def find(self, *, limit: int, after: str | None = None) -> Page[Repricing]:
        """All of them, newest first. Raises InvalidRequest when `after` is none's id."""
        found = list(reversed(self._repricings.values()))
        if after is not None:
            if after not in self._repricings:
                raise no_such_page()
            found = found[[each.id for each in found].index(after) + 1 :]
        return page_of(found, limit, lambda repricing: repricing.id)

    async def stretch(self, repricing: Repricing, limit: int) -> Stretch:
        """The next part of its period after its place."""
        part = [
            (place, attempt)
            for place, attempt in self._ledger.placed()
            if repricing.since <= place.accepted_at < repricing.until
            and (repricing.place is None or place > repricing.place)
        ][:limit]
        found = [
            Costed(place, attempt, self._cost(place, attempt))
            for place, attempt in part
            if repricing.models is None or attempt.model in repricing.models
        ]
        end = part[-1][0] if len(part) == limit else found[-1].place if found else None
        return Stretch(tuple(found), end)

    async def advance(
        self, repricing: Repricing, place: Place, corrections: Sequence[Correction], tally: Tally
    ) -> bool:
        """Move on to `place` and keep what was corrected on the way."""
        known = self._repricings.get(repricing.id)
        if known is None or known.status is not Status.IN_PROGRESS or known.place != repricing.place:
            return False
        had = known.tally
        self._repricings[known.id] = replace(
            known,
            place=place,
            tally=Tally(
                had.looked_at + tally.looked_at,
                had.changed + tally.changed,
                had.unknown + tally.unknown,
                had.old_usd + tally.old_usd,
                had.new_usd + tally.new_usd,
            ),
        )
        if not known.dry_run:
            self._corrections.setdefault(known.id, {}).update({each.place: each for each in corrections})
            for each in corrections:
                self._ledger.correct(each)
        return True

    async def end(self, repricing_id: str, status: Status, failure: str | None = None) -> Repricing | None:
        """End it, unless it has ended."""
        known = self._repricings.get(repricing_id)
        if known is not None and known.status is Status.IN_PROGRESS:
            known = replace(known, status=status, failure=failure, finished_at=datetime.now(UTC))
            self._repricings[repricing_id] = known
        return known

    async def corrections(
        self, repricing_id: str, limit: int, after: Place | None = None
    ) -> tuple[Correction, ...]:
        """What it corrected."""
        found = sorted(self._corrections.get(repricing_id, {}).items())
        return tuple([each for place, each in found if after is None or place > after][:limit])

    def _cost(self, place: Place, attempt: Attempt) -> Decimal | None:
        for repricing_id in sorted(self._corrections, reverse=True):
            if place in self._corrections[repricing_id]:
                return self._corrections[repricing_id][place].new_usd
        return attempt.cost_usd
