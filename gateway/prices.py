"""The prices as a process holds them, and where the prices of models come from of which nobody has said one.

A model that is registered with a price gets it as a row of the table; one without is looked up among the published
prices. A row is only ever added, and never in place of what somebody said.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.domain.prices import DatedPrice, Price, PriceBook
from gateway.domain.registry import Model, Registry
from gateway.ids import new_id
from gateway.published import Published, Unpublished, published
from gateway.storage.ports import Prices

ACTOR: Final = "gateway"
ENTRY: Final = "the model's entry in the registry"
"""The source of prices that came with a model, from a seed or an imported file."""
_ALWAYS: Final = datetime.min.replace(tzinfo=UTC)
_AGAIN: Final = 5.0
"""Seconds between two tries while the store is away."""

Lookup = Callable[[Model], Published | Unpublished]
Rows = Mapping[str, Sequence[DatedPrice]]
"""The rows of each model, oldest first."""


class PriceTable:
    """The prices in force in this process; `reload` is for the feed."""

    def __init__(self, prices: Prices, charge: Callable[[PriceBook], None]) -> None:
        """`charge` puts a book in force."""
        self._prices = prices
        self._charge = charge
        self._rows: Rows = {}

    async def reload(self) -> None:
        """Put the store's prices in force. Raises StorageUnavailable; then the last ones stay."""
        rows = await self._prices.load()
        self._rows = by_model(rows)
        self._charge(PriceBook.of(rows))

    @property
    def rows(self) -> Rows:
        """The rows of each model, oldest first."""
        return self._rows

    def says(self, model: str, moment: datetime) -> DatedPrice | None:
        """The row that holds for a model at a moment, even if it says that the price is not known."""
        return in_force(self._rows.get(model, ()), moment)


def by_model(rows: Iterable[DatedPrice]) -> Rows:
    """The rows of each model, oldest first as they come."""
    found: dict[str, list[DatedPrice]] = defaultdict(list)
    for row in rows:
        found[row.model].append(row)
    return dict(found)


def in_force(rows: Iterable[DatedPrice], moment: datetime) -> DatedPrice | None:
    """Which of one model's rows, oldest first, holds at a moment."""
    found: DatedPrice | None = None
    for row in rows:
        begins = row.price.since or _ALWAYS
        if begins <= moment and (found is None or begins >= (found.price.since or _ALWAYS)):
            found = row
    return found


# ---- where prices come from --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Seed:
    """What shall be said of a model's price: `rows` to add after its row `last`, and why."""

    model: str
    rows: tuple[DatedPrice, ...]
    last: str | None
    why: str


def upstream_of(model: Model) -> str:
    """What a published price is looked up for."""
    return f"{model.upstream_model} at {model.base_url or model.provider}"


def needs_lookup(model: Model, rows: Sequence[DatedPrice]) -> bool:
    """Whether the published prices have to be asked what a model costs, given its rows, oldest first."""
    if model.price is not None:
        return False
    return not rows or rows[-1].upstream not in (None, upstream_of(model))


def seed_of(model: Model, rows: Sequence[DatedPrice], now: datetime, lookup: Lookup) -> Seed | None:
    """What shall be added to a model's rows (oldest first); None when they say all there is to say.

    `lookup` is asked only where it matters, and may take a while.
    """
    if model.price is not None:
        return _from_entry(model, model.price, rows, now)
    last = rows[-1] if rows else None
    if not needs_lookup(model, rows):
        return None
    upstream, found = upstream_of(model), lookup(model)
    if last is None:
        if isinstance(found, Unpublished):
            return None
        prices, why = found.prices, "has no price yet"
    else:
        # The name stands for another model now: what was looked up for the last one is no longer true of it.
        why = f"was {last.upstream}, and is {upstream} now"
        prices = (Price(since=now),)
        if isinstance(found, Published):
            prices = tuple(replace(price, since=max(price.since or now, now)) for price in _left(found, now))
    source = found.source if isinstance(found, Published) else found.why
    made = tuple(_row(model.name, price, source, upstream) for price in prices)
    return Seed(model.name, made, None if last is None else last.id, why)


def _from_entry(model: Model, price: Price, rows: Sequence[DatedPrice], now: datetime) -> Seed | None:
    if not rows:
        return Seed(model.name, (_row(model.name, price, ENTRY),), None, "comes with a price")
    said = [row for row in rows if row.source == ENTRY]
    if said and replace(said[-1].price, since=None) == replace(price, since=None):
        return None
    # Whoever changed the entry did it after all that the rows say.
    changed = _row(model.name, replace(price, since=price.since or now), ENTRY)
    return Seed(model.name, (changed,), rows[-1].id, "has another price in its entry")


def _left(found: Published, now: datetime) -> tuple[Price, ...]:
    """The price in force and those to come."""
    in_force_now = found.at(now)
    to_come = [price for price in found.prices if price.since is not None and price.since > now]
    return (in_force_now, *to_come) if in_force_now is not None else tuple(to_come)


def _row(model: str, price: Price, source: str, upstream: str | None = None) -> DatedPrice:
    return DatedPrice(new_id(), model, price, source, ACTOR, datetime.now(UTC), upstream)


class PriceKeeper:
    """Sees to it that models have prices: looks at the registry whenever it or the prices have changed."""

    def __init__(
        self,
        registry: Callable[[], Registry],
        table: PriceTable,
        prices: Prices,
        lookup: Lookup = published,
    ) -> None:
        """`lookup` is asked in a thread."""
        self._registry = registry
        self._table = table
        self._prices = prices
        self._lookup = lookup
        self._wake = asyncio.Event()
        self._seen: dict[str, tuple[Model, str | None]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="keep prices")

    def wake(self) -> None:
        """Look again soon."""
        self._wake.set()

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> int:
        """Give models prices that have none and should; returns how many got one. Raises StorageUnavailable."""
        done = 0
        for model in self._registry().models.values():
            rows = self._table.rows.get(model.name, ())
            state = (model, rows[-1].id if rows else None)
            if self._seen.get(model.name) == state:
                continue
            now = datetime.now(UTC)
            if needs_lookup(model, rows):
                seed = await asyncio.to_thread(seed_of, model, rows, now, self._lookup)
            else:
                seed = seed_of(model, rows, now, self._lookup)
            if seed is not None and await self._prices.plant(model.name, seed.rows, last=seed.last):
                done += 1
                telemetry.log.info(
                    "price_seeded", model=model.name, why=seed.why, source=seed.rows[-1].source
                )
            self._seen[model.name] = state
        return done

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.look()
            except StorageUnavailable:
                await asyncio.sleep(_AGAIN)
                self._wake.set()
            except Exception as error:  # noqa: BLE001  a model whose price cannot be read must not end this for all
                telemetry.log.error("prices_not_kept", exc_info=error)
