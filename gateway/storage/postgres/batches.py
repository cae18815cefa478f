"""Files and batches in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from gateway.domain.batches import Batch, BatchStatus, Counts, File, LineProblem
from gateway.domain.inference import Failure
from gateway.ids import parse_id
from gateway.storage.paging import no_such_page, page_of
from gateway.storage.ports.batches import BatchLine, FileFilter, FileStore, LineState
from gateway.storage.ports.page import Page
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q
from gateway.storage.text import storable, storable_all


class PostgresFiles:
    """The port `Files`."""

    def __init__(self, database: Database, store: FileStore = FileStore.POSTGRES) -> None:
        """`database` is the store's; `store` is where contents are written to."""
        self._database = database
        self._store = store

    async def create(self, file: File) -> bool:
        """Keep a file whose content is there."""
        params = {
            "id": _uuid(file.id),
            "caller": storable(file.caller),
            "filename": storable(file.filename),
            "purpose": storable(file.purpose),
            "bytes": file.bytes,
            "created_at": file.created_at,
            "kept_until": file.kept_until,
            "store": self._store,
        }
        return await self._database.row(Q.files.create, params) is not None

    async def get(self, caller: str, file_id: str) -> File | None:
        """One file."""
        uuid = parse_id(file_id)
        if uuid is None:
            return None
        row = await self._database.row(Q.files.get, {"id": uuid, "caller": storable(caller)})
        return None if row is None else _file(row)

    async def find(
        self, caller: str, *, purpose: str | None, order: FileFilter, limit: int, after: str | None = None
    ) -> Page[File]:
        """Files by when they came."""
        last = None if after is None else await self.get(caller, after)
        params = {
            "caller": storable(caller),
            "purpose": None if purpose is None else storable(purpose),
            "limit": limit + 1,
            **_after(after, last),
        }
        query = Q.files.newest if order is FileFilter.NEWEST else Q.files.oldest
        rows = [_file(row) for row in await self._database.rows(query, params)]
        return page_of(rows, limit, lambda file: file.id)

    async def delete(self, caller: str, file_id: str) -> bool:
        """Forget a file."""
        uuid = parse_id(file_id)
        params = {"id": uuid, "caller": storable(caller)}
        return uuid is not None and await self._database.row(Q.files.delete, params) is not None

    async def expired(self, now: datetime, limit: int) -> Sequence[File]:
        """Some of the files whose time is over."""
        return [
            _file(row) for row in await self._database.rows(Q.files.expired, {"now": now, "limit": limit})
        ]

    async def store_of(self, file_id: str) -> FileStore | None:
        """Where a file's content is."""
        row = await self._database.row(Q.files.store_of, {"id": _uuid(file_id)})
        return None if row is None else FileStore(row["store"])

    async def known(self, file_ids: Sequence[str]) -> frozenset[str]:
        """Those of them that are files."""
        ids = [_uuid(file_id) for file_id in file_ids]
        rows = await self._database.rows(Q.files.known, {"ids": ids})
        return frozenset(str(row["id"]) for row in rows)


class PostgresContents:
    """The port `Contents`: a row for each part."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def put(self, file_id: str, number: int, data: bytes) -> None:
        """Keep a part."""
        params = {"file_id": _uuid(file_id), "number": number, "data": data}
        await self._database.rows(Q.files.put_part, params)

    async def get(self, file_id: str, number: int) -> bytes | None:
        """Read a part back."""
        row = await self._database.row(Q.files.get_part, {"file_id": _uuid(file_id), "number": number})
        return None if row is None else row["data"]

    async def delete(self, file_id: str) -> None:
        """Forget all parts of a file."""
        await self._database.rows(Q.files.delete_parts, {"file_id": _uuid(file_id)})

    async def strays(self, before: datetime, limit: int) -> Sequence[str]:
        """Some contents that belong to no file."""
        rows = await self._database.rows(Q.files.strays, {"before": before, "limit": limit})
        return [str(row["file_id"]) for row in rows]


class PostgresBatches:
    """The port `Batches`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def create(self, batch: Batch, terms: bytes) -> Batch:
        """Keep a batch, or return the one that is kept under its id."""
        params = {
            "id": _uuid(batch.id),
            "caller": storable(batch.caller),
            "endpoint": batch.endpoint,
            "input_file": _uuid(batch.input_file),
            "time_window": batch.window,
            "status": batch.status,
            "created_at": batch.created_at,
            "expires_at": batch.expires_at,
            "reached": _reached(batch),
            "metadata": Jsonb(storable_all(batch.metadata)),
            "terms": terms,
        }
        row = await self._database.row(Q.batches.create, params)
        return batch if row is None else _batch(row)

    async def get(self, batch_id: str, caller: str | None = None) -> Batch | None:
        """One batch."""
        row = await self._row(batch_id, caller)
        return None if row is None else _batch(row)

    async def terms(self, batch_id: str) -> bytes | None:
        """The terms of its requests."""
        row = await self._row(batch_id, None)
        return None if row is None else row["terms"]

    async def find(self, caller: str, *, limit: int, after: str | None = None) -> Page[Batch]:
        """A caller's batches, newest first."""
        last = None if after is None else await self.get(after, caller)
        params = {"caller": storable(caller), "limit": limit + 1, **_after(after, last)}
        rows = [_batch(row) for row in await self._database.rows(Q.batches.find, params)]
        return page_of(rows, limit, lambda batch: batch.id)

    async def move(self, batch: Batch, expected: Sequence[BatchStatus]) -> bool:
        """Write what is said of a batch, if it is in one of these states."""
        params = {
            "id": _uuid(batch.id),
            "status": batch.status,
            "reached": _reached(batch),
            "problems": Jsonb(msgspec.to_builtins(batch.problems)),
            "output_file": None if batch.output_file is None else _uuid(batch.output_file),
            "error_file": None if batch.error_file is None else _uuid(batch.error_file),
            "ended_at": batch.reached.get(batch.status) if batch.status.ended else None,
            "total": batch.counts.total,
            "expected": [status.value for status in expected],
        }
        return await self._database.row(Q.batches.move, params) is not None

    async def add(self, batch_id: str, lines: Sequence[BatchLine]) -> None:
        """Keep lines."""
        params = {
            "batch_id": _uuid(batch_id),
            "numbers": [line.number for line in lines],
            "custom_ids": [storable(line.custom_id) for line in lines],
            "ats": [line.at for line in lines],
            "sizes": [line.size for line in lines],
            "request_ids": [_uuid(line.request_id) for line in lines],
        }
        await self._database.rows(Q.batches.add, params)

    async def lines(
        self, batch_id: str, *, after: int, limit: int, state: LineState | None = None
    ) -> Sequence[BatchLine]:
        """Lines by their numbers."""
        params = {"batch_id": _uuid(batch_id), "after": after, "limit": limit, "state": state}
        return [_line(row) for row in await self._database.rows(Q.batches.lines, params)]

    async def mark(
        self, batch_id: str, number: int, state: LineState, failure: Failure | None = None
    ) -> None:
        """Say where a line stands."""
        said = None if failure is None else Jsonb(storable_all(msgspec.to_builtins(failure)))
        params = {"batch_id": _uuid(batch_id), "number": number, "state": state, "failure": said}
        await self._database.rows(Q.batches.mark, params)

    async def collect(self, batch_id: str) -> Mapping[LineState, int]:
        """Mark the lines whose jobs have ended."""
        params = {"batch_id": _uuid(batch_id)}
        await self._database.rows(Q.batches.collect, params)
        rows = await self._database.rows(Q.batches.standing, params)
        return {LineState(row["state"]): row["lines"] for row in rows}

    async def expire(self, before: datetime) -> int:
        """Delete some batches that ended before a moment."""
        return len(await self._database.rows(Q.batches.expire, {"before": before}))

    async def _row(self, batch_id: str, caller: str | None) -> Mapping[str, Any] | None:
        uuid = parse_id(batch_id)
        if uuid is None:
            return None
        params = {"id": uuid, "caller": None if caller is None else storable(caller)}
        return await self._database.row(Q.batches.get, params)


def _uuid(text: str) -> UUID:
    uuid = parse_id(text)
    if uuid is None:
        raise ValueError(f"an id is a UUID, not {text!r}")
    return uuid


def _after(after: str | None, last: File | Batch | None) -> dict[str, object]:
    """The parameters of a page that begins after a row: its own moment, since not every id says when it was made."""
    if after is not None and last is None:
        raise no_such_page()
    return {"after": last.id if last else None, "after_at": last.created_at if last else None}


def _reached(batch: Batch) -> Jsonb:
    return Jsonb({status.value: at.isoformat() for status, at in batch.reached.items()})


def _file(row: Mapping[str, Any]) -> File:
    return File(
        id=str(row["id"]),
        caller=row["caller"],
        filename=row["filename"],
        purpose=row["purpose"],
        bytes=row["bytes"],
        created_at=row["created_at"],
        kept_until=row["kept_until"],
    )


def _batch(row: Mapping[str, Any]) -> Batch:
    return Batch(
        id=str(row["id"]),
        caller=row["caller"],
        endpoint=row["endpoint"],
        input_file=str(row["input_file"]),
        window=row["time_window"],
        status=BatchStatus(row["status"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        counts=Counts(row["total"], row["completed"], row["failed"]),
        reached={BatchStatus(name): datetime.fromisoformat(at) for name, at in row["reached"].items()},
        metadata=row["metadata"],
        output_file=None if row["output_file"] is None else str(row["output_file"]),
        error_file=None if row["error_file"] is None else str(row["error_file"]),
        problems=tuple(LineProblem(**each) for each in row["problems"]),
    )


def _line(row: Mapping[str, Any]) -> BatchLine:
    return BatchLine(
        number=row["number"],
        custom_id=row["custom_id"],
        at=row["at"],
        size=row["size"],
        request_id=str(row["request_id"]),
        state=LineState(row["state"]),
        failure=None if row["failure"] is None else msgspec.convert(row["failure"], Failure),
    )
