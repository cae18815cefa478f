"""What changes while we run, in PostgreSQL: a table of versions, and LISTEN."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q


class PostgresChanges:
    """The port `Changes`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def revisions(self) -> Mapping[str, int]:
        """The version of every noun that was ever changed."""
        rows = await self._database.rows(Q.changes.revisions)
        return {row["noun"]: row["version"] for row in rows}

    def listen(self) -> AsyncGenerator[str]:
        """Yield `""` once listening, and then each noun that changes."""
        return self._database.notifications(Q.changes.listen)
