"""The events of streams in PostgreSQL: a row for each batch, and one that says where a log stands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from gateway.ids import parse_id
from gateway.storage.ports.streams import Line, Tail
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q

_lines = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...])


class PostgresStreamLog:
    """The port `StreamLog`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def open(self, request_id: str, writer: str) -> int | None:
        """Begin a log, or take it over. Raises ValueError for an id that is not a UUID."""
        uuid = parse_id(request_id)
        if uuid is None:
            raise ValueError(f"a request's id is a UUID, not {request_id!r}")
        row = await self._database.row(Q.streams.open, {"request_id": uuid, "writer": writer})
        return None if row is None else row["next_seq"]

    async def append(self, request_id: str, writer: str, first: int, lines: Sequence[Line]) -> bool:
        """Add events, if they are what comes next."""
        uuid = parse_id(request_id)
        if uuid is None or not lines:
            return False
        params = {
            "request_id": uuid,
            "writer": writer,
            "first": first,
            "last": first + len(lines) - 1,
            "lines": msgspec.msgpack.encode([(line.name, line.data) for line in lines]),
        }
        row = await self._database.row(Q.streams.append, params)
        return row is not None and row["done"]

    async def reached(self, request_ids: Collection[str]) -> Mapping[str, int]:
        """How far some logs are."""
        uuids = [uuid for each in request_ids if (uuid := parse_id(each)) is not None]
        rows = await self._database.rows(Q.streams.reached, {"request_ids": uuids})
        return {str(row["request_id"]): row["next_seq"] for row in rows}

    async def close(self, request_id: str, writer: str) -> bool:
        """Say that nothing more comes."""
        uuid = parse_id(request_id)
        params = {"request_id": uuid, "writer": writer}
        return uuid is not None and bool(await self._database.rows(Q.streams.close, params))

    async def read(self, request_id: str, after: int = -1, *, batches: int = 64) -> Tail | None:
        """The events after a sequence number."""
        uuid = parse_id(request_id)
        after = max(after, -1)
        if uuid is None:
            return None
        params = {"request_id": uuid, "after": min(after, 2**31 - 1), "batches": batches}
        rows = await self._database.rows(Q.streams.read, params)
        if not rows:
            return None
        found: list[Line] = []
        for row in rows:
            if row["lines"] is not None:
                skipped = max(0, after + 1 - row["first_seq"])
                found.extend(Line(name, data) for name, data in _lines.decode(row["lines"])[skipped:])
        ended = rows[0]["closed"] and after + 1 + len(found) >= rows[0]["next_seq"]
        return Tail(after + 1, tuple(found), ended)

    async def delete(self, request_id: str) -> None:
        """Forget the events of a request."""
        if uuid := parse_id(request_id):
            await self._database.rows(Q.streams.delete, {"request_id": uuid})
