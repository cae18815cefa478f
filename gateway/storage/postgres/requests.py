"""The ledger and the prompt log in PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from gateway.domain.inference import Mode, Settlement
from gateway.ids import moment_in, parse_id
from gateway.storage.group_commit import GroupCommit
from gateway.storage.paging import filed_at, no_such_page, page_of
from gateway.storage.ports import Entry, Page, Record, RequestFilter, Span
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q
from gateway.storage.postgres.rows import (
    Row,
    attempt_row,
    decisions_told,
    record_of,
    request_row,
    settlement_of,
)
from gateway.storage.text import storable, storable_json

_EVER: Final = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))


class PostgresRequests:
    """The port `Requests`. Entries are written by group commit."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database
        self._commits = GroupCommit(self._write)

    async def settle(self, entry: Entry) -> bool:
        """Write an entry, unless its request is settled. Raises ValueError for an id that is not a UUID."""
        if parse_id(entry.request.id) is None:
            raise ValueError(f"a request's id is a UUID, not {entry.request.id!r}")
        return await self._commits.add(entry)

    async def settlement(self, request_id: str) -> Settlement | None:
        """How a request ended."""
        row = await self._row(request_id)
        return None if row is None else settlement_of(row, (await self._attempts([row]))[row["id"]])

    async def get(self, request_id: str, *, with_text: bool = False) -> Record | None:
        """One request with its attempts."""
        row = await self._row(request_id)
        if row is None:
            return None
        body = await self._database.row(
            Q.requests.body_of,
            {"accepted_at": row["accepted_at"], "id": row["id"], "with_text": with_text},
        )
        return record_of(row, (await self._attempts([row]))[row["id"]], body)

    async def find(self, wanted: RequestFilter, *, limit: int, after: str | None = None) -> Page[Record]:
        """Requests newest first. Raises InvalidRequest when `after` is no request's id."""
        uuid, moment = await self._cursor(after)
        # Said as a bound too, since partitions are left out by bounds only, not by comparing two columns at once.
        until = wanted.until if moment is None else min(wanted.until, moment + timedelta(microseconds=1))
        rows = await self._database.rows(
            Q.requests.find,
            {
                "since": wanted.since,
                "until": until,
                "after": uuid,
                "after_at": moment,
                "caller": None if wanted.caller is None else storable(wanted.caller),
                "model": None if wanted.model is None else storable(wanted.model),
                "status": wanted.status,
                "limit": limit + 1,
            },
            prepare=False,
        )
        attempts = await self._attempts(rows[:limit])
        page = page_of(rows, limit, lambda row: str(row["id"]))
        return Page(tuple(record_of(row, attempts[row["id"]]) for row in page.rows), page.next_after)

    async def spent(self, spans: Sequence[Span]) -> Sequence[Decimal]:
        """What each span has cost in USD."""
        rows = await self._database.rows(
            Q.requests.spent,
            {
                "callers": [span.caller for span in spans],
                "sinces": [span.since for span in spans],
                "untils": [span.until for span in spans],
            },
            prepare=False,
        )
        return [row["usd"] for row in rows]

    async def close(self) -> None:
        """Write what waits."""
        await self._commits.close()

    async def _write(self, entries: Sequence[Entry]) -> Sequence[bool]:
        # In the order of their ids, so that two replicas with the same requests in hand do not wait for each other in
        # a circle; and once, should the same request be in hand twice.
        first = {entry.request.id: number for number, entry in reversed(list(enumerate(entries)))}
        once = [entries[number] for _, number in sorted(first.items())]
        filed = [(entry, filed_at(entry.request)) for entry in once]
        bodies = [
            (entry, told)
            for entry in once
            if (told := decisions_told(entry)) or entry.prompt is not None or entry.answer is not None
        ]
        params = {
            "requests": storable_json([request_row(entry, at) for entry, at in filed]),
            "attempts": storable_json(
                [
                    attempt_row(e.request.id, at, attempt)
                    for e, at in filed
                    for attempt in e.settlement.attempts
                ]
            ),
            "ids": [entry.request.id for entry, _ in bodies],
            "prompts": [None if entry.prompt is None else storable(entry.prompt) for entry, _ in bodies],
            "answers": [None if entry.answer is None else storable(entry.answer) for entry, _ in bodies],
            "decisions": [told for _, told in bodies],
        }
        jobs = {entry.request.id: (entry, at) for entry, at in filed if entry.request.mode is Mode.JOB}
        if not jobs:
            rows = await self._database.rows(Q.requests.settle, params)
        else:
            async with self._database.transaction() as work:
                rows = await work.rows(Q.requests.settle, params)
                ended = [jobs[id_] for row in rows if (id_ := str(row["id"])) in jobs]
                await work.rows(
                    Q.requests.end_jobs,
                    {"requests": storable_json([request_row(entry, at) for entry, at in ended])},
                )
        new = {first[str(row["id"])] for row in rows}
        return [number in new for number in range(len(entries))]

    async def _row(self, request_id: str) -> Row | None:
        uuid = parse_id(request_id)
        if uuid is None:
            return None
        moment = moment_in(uuid)
        earliest, latest = _EVER if moment is None else (moment, moment)
        return await self._database.row(Q.requests.get, {"id": uuid, "earliest": earliest, "latest": latest})

    async def _cursor(self, after: str | None) -> tuple[UUID | None, datetime | None]:
        if after is None:
            return None, None
        uuid = parse_id(after)
        moment = None if uuid is None else moment_in(uuid)
        if moment is None:
            row = await self._row(after)
            if row is None:
                raise no_such_page()
            moment = row["accepted_at"]
        return uuid, moment

    async def _attempts(self, requests: Sequence[Row]) -> dict[UUID, list[dict[str, Any]]]:
        found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
        if requests:
            moments = [row["accepted_at"] for row in requests]
            for row in await self._database.rows(
                Q.requests.attempts_of,
                {"earliest": min(moments), "latest": max(moments), "ids": [row["id"] for row in requests]},
            ):
                found[row["request_id"]].append(row)
        return found
