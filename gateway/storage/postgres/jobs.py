"""Jobs and the claims on their model calls in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import uuid4

import msgspec
from psycopg.types.json import Jsonb

from gateway.domain.errors import Interrupted
from gateway.domain.inference import Attempt
from gateway.domain.jobs import Job
from gateway.ids import parse_id
from gateway.storage.paging import no_such_page, page_of
from gateway.storage.ports import JSON, JobFilter, KeptAnswer, Page
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q
from gateway.storage.postgres.rows import job_of, job_row
from gateway.storage.text import storable, storable_all, storable_json


class PostgresJobs:
    """The port `Jobs`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def accept(self, job: Job) -> Job:
        """Keep a job, or return the one that is kept. Raises ValueError for an id that is not a UUID."""
        if parse_id(job.id) is None:
            raise ValueError(f"a job's id is a UUID, not {job.id!r}")
        row = cast("dict[str, Any]", storable_all(job_row(job)))
        row |= {name: Jsonb(row[name], dumps=msgspec.json.encode) for name in ("deliver", "metadata")}
        kept = await self._database.row(Q.jobs.accept, row)
        if kept is None:
            raise AssertionError("an insert with RETURNING that updates on conflict has a row")
        return job_of(kept)

    async def begin(self, job_id: str, at: datetime) -> None:
        """Mark a queued job as in progress."""
        if uuid := parse_id(job_id):
            await self._database.rows(Q.jobs.begin, {"id": uuid, "at": at})

    async def get(self, job_id: str) -> Job | None:
        """One job."""
        uuid = parse_id(job_id)
        row = None if uuid is None else await self._database.row(Q.jobs.get, {"id": uuid})
        return None if row is None else job_of(row)

    async def get_many(self, job_ids: Collection[str]) -> Sequence[Job]:
        """Those of some jobs that there are."""
        uuids = [uuid for job_id in job_ids if (uuid := parse_id(job_id)) is not None]
        return [job_of(row) for row in await self._database.rows(Q.jobs.get_many, {"ids": uuids})]

    async def delete(self, job_id: str) -> bool:
        """Take a job that has ended out of sight."""
        uuid = parse_id(job_id)
        return uuid is not None and await self._database.row(Q.jobs.delete, {"id": uuid}) is not None

    async def find(self, wanted: JobFilter, *, limit: int, after: str | None = None) -> Page[Job]:
        """Jobs newest first. Raises InvalidRequest when `after` is no job's id."""
        last = None if after is None else await self.get(after)
        if after is not None and last is None:
            raise no_such_page()
        rows = await self._database.rows(
            Q.jobs.find,
            {
                "after": last.id if last else None,
                "after_at": last.created_at if last else None,
                "caller": None if wanted.caller is None else storable(wanted.caller),
                "status": wanted.status,
                "endpoint": wanted.endpoint,
                "model": None if wanted.model is None else storable(wanted.model),
                "since": wanted.since,
                "until": wanted.until,
                "limit": limit + 1,
            },
            prepare=False,
        )
        return page_of([job_of(row) for row in rows], limit, lambda job: job.id)


class PostgresClaims:
    """The port `Claims`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def claim(self, request_id: str, number: int, holder: str) -> Attempt | None:
        """Claim an attempt, or return what came of it. Raises Interrupted when nothing is known to have come of it."""
        token = uuid4()
        row = await self._database.row(
            Q.claims.claim, {"request_id": request_id, "number": number, "token": token, "holder": holder}
        )
        if row is not None and row["attempt"] is not None:
            return msgspec.convert(row["attempt"], Attempt)
        if row is None or row["token"] != token:
            raise Interrupted
        return None

    async def answer(
        self, request_id: str, attempt: Attempt, body: bytes | None, media_type: str = JSON
    ) -> bool:
        """Keep what came of a claimed attempt; False if it was given up meanwhile, or never claimed."""
        params = {
            "request_id": request_id,
            "number": attempt.number,
            "attempt": storable_json(attempt),
            "answer": body,
            "media_type": None if body is None or media_type == JSON else storable(media_type),
        }
        return await self._database.row(Q.claims.answer, params) is not None

    async def give_up(self, request_id: str, number: int) -> Attempt | None:
        """Return the stored attempt, or close the claim."""
        row = await self._database.row(
            Q.claims.give_up, {"request_id": request_id, "number": number, "token": uuid4()}
        )
        return None if row is None or row["attempt"] is None else msgspec.convert(row["attempt"], Attempt)

    async def kept(self, request_id: str) -> KeptAnswer | None:
        """The answer of the attempt that succeeded."""
        uuid = parse_id(request_id)
        row = None if uuid is None else await self._database.row(Q.claims.result, {"request_id": uuid})
        return None if row is None else KeptAnswer(row["answer"], row["media_type"] or JSON)

    async def result(self, request_id: str) -> bytes | None:
        """The same, if it is JSON."""
        found = await self.kept(request_id)
        return None if found is None or found.media_type != JSON else found.body

    async def forget(self, request_id: str) -> None:
        """Delete what is kept of a request."""
        if uuid := parse_id(request_id):
            await self._database.rows(Q.claims.forget, {"request_id": uuid})
