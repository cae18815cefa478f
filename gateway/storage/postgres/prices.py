"""The table of prices, repricings and corrections in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from gateway.domain.errors import RepricingUnderWay
from gateway.domain.inference import Status
from gateway.domain.prices import PARTS, DatedPrice, Price, Tier
from gateway.domain.repricing import Correction, Costed, Place, Repricing, Stretch, Tally
from gateway.ids import parse_id
from gateway.storage.audit import shown_price
from gateway.storage.paging import no_such_page, page_of
from gateway.storage.ports import Page
from gateway.storage.postgres.database import Database, Transaction
from gateway.storage.postgres.named import Q
from gateway.storage.postgres.registry import audited, bumped
from gateway.storage.postgres.rows import Row, attempt_of
from gateway.storage.text import storable, storable_json

NOUN: Final = "prices"


class PostgresPrices:
    """The port `Prices`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def load(self, known_at: datetime | None = None) -> tuple[DatedPrice, ...]:
        """All rows, oldest first, or those that were there at a moment."""
        rows = await self._database.rows(Q.prices.load, {"known_at": known_at})
        return tuple(price_of(row) for row in rows)

    async def get(self, price_id: str) -> DatedPrice | None:
        """One row."""
        uuid = parse_id(price_id)
        row = None if uuid is None else await self._database.row(Q.prices.get, {"id": uuid})
        return None if row is None else price_of(row)

    async def find(
        self, *, model: str | None = None, limit: int, after: str | None = None
    ) -> Page[DatedPrice]:
        """Rows newest first. Raises InvalidRequest when `after` is no row's id."""
        last = None if after is None else await self.get(after)
        if after is not None and last is None:
            raise no_such_page()
        rows = await self._database.rows(
            Q.prices.find,
            {
                "model": None if model is None else storable(model),
                "after": last.id if last else None,
                "after_at": last.created_at if last else None,
                "limit": limit + 1,
            },
            prepare=False,
        )
        return page_of([price_of(row) for row in rows], limit, lambda price: price.id)

    async def add(self, price: DatedPrice) -> DatedPrice:
        """Keep a row."""
        async with self._database.transaction() as work:
            await work.rows(Q.prices.lock)
            kept = await _add(work, price)
            await bumped(work, NOUN)
        return kept

    async def plant(self, model: str, prices: Sequence[DatedPrice], *, last: str | None) -> bool:
        """Keep rows of one model, if its newest one is still `last`."""
        async with self._database.transaction() as work:
            await work.rows(Q.prices.lock)
            newest = await work.row(Q.prices.last, {"model": storable(model)})
            if (None if newest is None else str(newest["id"])) != last:
                return False
            for price in prices:
                await _add(work, price)
            await bumped(work, NOUN)
        return True


async def _add(work: Transaction, price: DatedPrice) -> DatedPrice:
    row = await work.row(Q.prices.add, _price_row(price))
    if row is None:
        raise AssertionError("an insert with RETURNING has a row")
    kept = price_of(row)
    await audited(work, price.actor, NOUN, price.model, "create", None, shown_price(kept))
    return kept


class PostgresRepricings:
    """The port `Repricings`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def begin(self, repricing: Repricing) -> Repricing:
        """Keep one that begins, or return the one that is kept under its id."""
        async with self._database.transaction() as work:
            # What is being added to the prices is there before this is asked, or is not known to it.
            await work.rows(Q.prices.lock)
            row = await work.row(
                Q.repricings.begin,
                {
                    "id": UUID(repricing.id),
                    "since": repricing.since,
                    "until": repricing.until,
                    "models": None
                    if repricing.models is None
                    else [storable(name) for name in repricing.models],
                    "dry_run": repricing.dry_run,
                    "reason": storable(repricing.reason),
                    "actor": repricing.actor,
                },
            )
        if row is None:
            raise RepricingUnderWay
        return _repricing_of(row)

    async def get(self, repricing_id: str) -> Repricing | None:
        """One of them."""
        uuid = parse_id(repricing_id)
        row = None if uuid is None else await self._database.row(Q.repricings.get, {"id": uuid})
        return None if row is None else _repricing_of(row)

    async def find(self, *, limit: int, after: str | None = None) -> Page[Repricing]:
        """All of them, newest first. Raises InvalidRequest when `after` is none's id."""
        last = None if after is None else await self.get(after)
        if after is not None and last is None:
            raise no_such_page()
        rows = await self._database.rows(
            Q.repricings.find,
            {
                "after": last.id if last else None,
                "after_at": last.asked_at if last else None,
                "limit": limit + 1,
            },
            prepare=False,
        )
        return page_of([_repricing_of(row) for row in rows], limit, lambda repricing: repricing.id)

    async def stretch(self, repricing: Repricing, limit: int) -> Stretch:
        """The next part of its period after its place."""
        place = repricing.place
        bounds: dict[str, object] = {
            "from": repricing.since if place is None else place.accepted_at,
            "until": repricing.until,
            "request": None if place is None else UUID(place.request_id),
            "number": None if place is None else place.number,
        }
        ends = await self._database.rows(Q.repricings.stretch, {**bounds, "limit": limit}, prepare=False)
        last = _place_of(ends[0]) if ends else None
        rows = await self._database.rows(
            Q.repricings.attempts,
            {
                **bounds,
                "last": None if last is None else last.accepted_at,
                "last_request": None if last is None else UUID(last.request_id),
                "last_number": None if last is None else last.number,
                "models": None if repricing.models is None else list(repricing.models),
            },
            prepare=False,
        )
        found = tuple(Costed(_place_of(row), attempt_of(row), row["effective_usd"]) for row in rows)
        return Stretch(found, last or (found[-1].place if found else None))

    async def advance(
        self, repricing: Repricing, place: Place, corrections: Sequence[Correction], tally: Tally
    ) -> bool:
        """Move on to `place` and keep what was corrected on the way, all or nothing."""
        was = repricing.place
        async with self._database.transaction() as work:
            moved = await work.row(
                Q.repricings.advance,
                {
                    "id": UUID(repricing.id),
                    "at_accepted": place.accepted_at,
                    "at_request": UUID(place.request_id),
                    "at_number": place.number,
                    "was_accepted": None if was is None else was.accepted_at,
                    "was_request": None if was is None else UUID(was.request_id),
                    "was_number": None if was is None else was.number,
                    "looked_at": tally.looked_at,
                    "changed": tally.changed,
                    "unknown": tally.unknown,
                    "old_usd": tally.old_usd,
                    "new_usd": tally.new_usd,
                },
            )
            if moved is None:
                return False
            if corrections and not repricing.dry_run:
                told = [
                    {
                        **each.place._asdict(),
                        "model": each.model,
                        "old_usd": each.old_usd,
                        "new_usd": each.new_usd,
                    }
                    for each in corrections
                ]
                await work.rows(
                    Q.repricings.correct, {"id": UUID(repricing.id), "corrections": storable_json(told)}
                )
        return True

    async def end(self, repricing_id: str, status: Status, failure: str | None = None) -> Repricing | None:
        """End it, unless it has ended."""
        uuid = parse_id(repricing_id)
        if uuid is None:
            return None
        await self._database.rows(
            Q.repricings.end, {"id": uuid, "status": status.value, "failure": failure and storable(failure)}
        )
        return await self.get(repricing_id)

    async def corrections(
        self, repricing_id: str, limit: int, after: Place | None = None
    ) -> tuple[Correction, ...]:
        """What it corrected."""
        rows = await self._database.rows(
            Q.repricings.corrections,
            {
                "id": parse_id(repricing_id),
                "accepted": None if after is None else after.accepted_at,
                "request": None if after is None else UUID(after.request_id),
                "number": None if after is None else after.number,
                "limit": limit,
            },
            prepare=False,
        )
        return tuple(Correction(_place_of(row), row["model"], row["old_usd"], row["new_usd"]) for row in rows)


def _price_row(dated: DatedPrice) -> dict[str, object]:
    price = dated.price
    row: dict[str, object] = {part: getattr(price, part) for part in PARTS}
    return row | {
        "id": UUID(dated.id),
        "model": storable(dated.model),
        "since": price.since,
        "tiers": storable_json(price.tiers),
        "source": storable(dated.source),
        "actor": dated.actor,
        "upstream": None if dated.upstream is None else storable(dated.upstream),
    }


def price_of(row: Row) -> DatedPrice:
    """The price of a row."""
    parts: dict[str, Any] = {part: row[part] for part in PARTS}
    tiers = msgspec.convert(row["tiers"], tuple[Tier, ...])
    return DatedPrice(
        id=str(row["id"]),
        model=row["model"],
        price=Price(**parts, since=row["since"], tiers=tiers),
        source=row["source"],
        actor=row["actor"],
        created_at=row["created_at"],
        upstream=row["upstream"],
    )


def _place_of(row: Row) -> Place:
    return Place(row["accepted_at"], str(row["request_id"]), row["number"])


def _repricing_of(row: Row) -> Repricing:
    at = row["at_accepted"]
    return Repricing(
        id=str(row["id"]),
        since=row["since"],
        until=row["until"],
        models=None if row["models"] is None else tuple(row["models"]),
        dry_run=row["dry_run"],
        reason=row["reason"],
        actor=row["actor"],
        asked_at=row["asked_at"],
        status=Status(row["status"]),
        finished_at=row["finished_at"],
        failure=row["failure"],
        place=None if at is None else Place(at, str(row["at_request"]), row["at_number"]),
        tally=Tally(row["looked_at"], row["changed"], row["unknown"], row["old_usd"], row["new_usd"]),
    )
