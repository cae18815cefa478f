"""Live facts in PostgreSQL: a small table that every process writes and reads about once a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from psycopg.rows import DictRow

from gateway.storage.ports import Heard, News, Told
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q


class PostgresLiveFeed:
    """The port `LiveFeed`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def exchange(
        self,
        replica: str,
        told: Sequence[Told],
        minutes: Sequence[Told],
        *,
        heard: Mapping[str, int],
        since: datetime | None,
    ) -> News:
        """Keep what a replica tells, and return what the others have told."""
        rows = await self._database.rows(
            Q.live.exchange,
            {
                "replica": replica,
                "firsts": [each.first for each in told],
                "numbers": [each.number for each in told],
                "ats": [each.at for each in told],
                "facts": [each.facts for each in told],
                "minute_firsts": [each.first for each in minutes],
                "minute_numbers": [each.number for each in minutes],
                "minute_ats": [each.at for each in minutes],
                "minute_facts": [each.facts for each in minutes],
                "others": list(heard),
                "heard": list(heard.values()),
                "since": since,
            },
        )
        return _news(rows)

    async def history(self) -> News:
        """All that was told in the last hour."""
        return _news(await self._database.rows(Q.live.history))

    async def tidy(self) -> int:
        """Delete what nobody will ask for any more."""
        row = await self._database.row(Q.live.tidy)
        return 0 if row is None else row["gone"]


def _news(rows: Sequence[DictRow]) -> News:
    return News(
        rows[0]["now"],
        tuple(
            Heard(row["replica"], Told(row["first"], row["number"], row["at"], row["facts"]))
            for row in rows
            if row["replica"] is not None
        ),
    )
