"""Large payloads of Temporal in PostgreSQL."""

from __future__ import annotations

from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q


class PostgresBlobs:
    """The port `Blobs`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def put(self, key: str, data: bytes) -> None:
        """Keep a payload."""
        await self._database.rows(Q.blobs.put, {"key": key, "data": data})

    async def get(self, key: str) -> bytes | None:
        """Read a payload back."""
        row = await self._database.row(Q.blobs.get, {"key": key})
        return None if row is None else row["data"]
