"""Buckets and slots of all replicas in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from gateway.domain.limits import LONGEST
from gateway.storage.ports import Draw, Drawn, Held, Hold, Unspent
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q
from gateway.storage.text import storable


class PostgresBuckets:
    """The port `Buckets`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def draw(self, draws: Sequence[Draw]) -> Sequence[Drawn]:
        """Take tokens out of several buckets."""
        order = sorted(range(len(draws)), key=lambda i: draws[i].key)
        asked = [draws[i] for i in order]
        rows = await self._database.rows(
            Q.limits.draw,
            {
                "keys": [storable(draw.key) for draw in asked],
                "rates": [draw.rate for draw in asked],
                "bursts": [draw.burst for draw in asked],
                "leasts": [draw.least for draw in asked],
                "mosts": [draw.most for draw in asked],
                "owed": [draw.owed for draw in asked],
            },
        )
        drawn = {i: Drawn(row["tokens"], row["level"]) for i, row in zip(order, rows, strict=True)}
        return [drawn[i] for i in range(len(draws))]

    async def put_back(self, unspent: Sequence[Unspent]) -> None:
        """Put tokens back, once."""
        params = {
            "keys": [storable(each.key) for each in unspent],
            "rates": [each.rate for each in unspent],
            "bursts": [each.burst for each in unspent],
            "tokens": [each.tokens for each in unspent],
        }
        await self._database.rows(Q.limits.put_back, params, again=False)

    async def queue(self, key: str, rate: float, burst: float, cost: float) -> timedelta:
        """A place in the line for a bucket."""
        if rate <= 0:
            return LONGEST
        params = {"key": storable(key), "rate": float(rate), "burst": float(burst), "cost": float(cost)}
        row = await self._database.row(Q.limits.queue, params)
        if row is None:
            raise AssertionError("an insert with RETURNING that updates on conflict has a row")
        return timedelta(seconds=max(0.0, row["seconds"]))


class PostgresSlots:
    """The port `Slots`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def hold(self, holder: str, wanted: Sequence[Hold], expiry: timedelta) -> Sequence[Held]:
        """Hold as many slots as there are."""
        order = sorted(range(len(wanted)), key=lambda i: wanted[i].key)
        asked = [wanted[i] for i in order]
        rows = await self._database.rows(
            Q.limits.hold,
            {
                "holder": holder,
                "keys": [storable(hold.key) for hold in asked],
                "limits": [hold.limit for hold in asked],
                "in_use": [hold.in_use for hold in asked],
                "mosts": [hold.most for hold in asked],
                "expiry": expiry,
            },
        )
        held = {i: Held(row["held"], row["others"]) for i, row in zip(order, rows, strict=True)}
        return [held[i] for i in range(len(wanted))]
