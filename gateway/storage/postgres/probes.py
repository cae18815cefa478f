"""Active probes in PostgreSQL: a row for each model and one for each day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q


class PostgresProbes:
    """The port `Probes`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def claim(
        self, models: Sequence[str], holder: str, *, every: timedelta, most: int
    ) -> tuple[str, ...]:
        """Take the turn for those of these models that are due."""
        params = {"models": list(models), "holder": holder, "every": every, "most": most}
        # Once: what was claimed by a statement whose answer was lost comes round with the next turn.
        rows = await self._database.rows(Q.probes.claim, params, again=False)
        return tuple(row["model"] for row in rows)

    async def spend(self, usd: Decimal, most: Decimal) -> bool:
        """Reserve what a probe may cost."""
        return bool(await self._database.rows(Q.probes.spend, {"usd": usd, "most": most}, again=False))

    async def correct(self, usd: Decimal) -> None:
        """Add to what this day's probes have cost."""
        await self._database.rows(Q.probes.correct, {"usd": usd}, again=False)

    async def told(self, model: str, *, ok: bool, code: str | None) -> None:
        """Keep what the last probe of a model said."""
        await self._database.rows(Q.probes.told, {"model": model, "ok": ok, "code": code})
