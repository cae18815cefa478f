"""Files and batches in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from gateway.domain.batches import Batch, BatchStatus, File
from gateway.domain.inference import Failure, Status
from gateway.domain.jobs import Job
from gateway.ids import parse_id
from gateway.storage.paging import no_such_page, page_of
from gateway.storage.ports.batches import BatchLine, FileFilter, FileStore, LineState
from gateway.storage.ports.page import Page


class MemoryFiles:
    """The port `Files`."""

    def __init__(self, store: FileStore = FileStore.POSTGRES) -> None:
        """There are none yet; `store` is where contents are written to."""
        self.kept: dict[str, File] = {}
        self._store = store
        self._stores: dict[str, FileStore] = {}

    async def create(self, file: File) -> bool:
        """Keep a file. Raises ValueError for an id that is not a UUID."""
        _check(file.id)
        new = file.id not in self.kept
        self.kept.setdefault(file.id, file)
        self._stores.setdefault(file.id, self._store)
        return new

    async def get(self, caller: str, file_id: str) -> File | None:
        """One file."""
        file = self.kept.get(file_id)
        return file if file is not None and file.caller == caller and _fresh(file) else None

    async def find(
        self, caller: str, *, purpose: str | None, order: FileFilter, limit: int, after: str | None = None
    ) -> Page[File]:
        """Files by when they came."""
        key = _after(after, None if after is None else await self.get(caller, after))
        found = [
            file
            for file in self.kept.values()
            if file.caller == caller and _fresh(file) and purpose in (None, file.purpose)
        ]
        newest = order is FileFilter.NEWEST
        found.sort(key=lambda file: (file.created_at, file.id), reverse=newest)
        if key is not None:
            found = [
                f for f in found if ((f.created_at, f.id) < key) is newest and (f.created_at, f.id) != key
            ]
        return page_of(found, limit, lambda file: file.id)

    async def delete(self, caller: str, file_id: str) -> bool:
        """Forget a file."""
        file = self.kept.get(file_id)
        if file is None or file.caller != caller:
            return False
        del self.kept[file_id], self._stores[file_id]
        return True

    async def expired(self, now: datetime, limit: int) -> Sequence[File]:
        """Some of the files whose time is over."""
        over = [f for f in self.kept.values() if f.kept_until is not None and f.kept_until <= now]
        return over[:limit]

    async def store_of(self, file_id: str) -> FileStore | None:
        """Where a file's content is."""
        return self._stores.get(file_id)

    async def known(self, file_ids: Sequence[str]) -> frozenset[str]:
        """Those of them that are files."""
        return frozenset(self.kept.keys() & set(file_ids))


class MemoryContents:
    """The port `Contents`."""

    def __init__(self, files: MemoryFiles) -> None:
        """`files` are those that contents belong to."""
        self._files = files
        self._parts: dict[str, dict[int, bytes]] = {}
        self._begun: dict[str, datetime] = {}

    async def put(self, file_id: str, number: int, data: bytes) -> None:
        """Keep a part. Raises ValueError for an id that is not a UUID."""
        _check(file_id)
        self._begun.setdefault(file_id, datetime.now(UTC))
        self._parts.setdefault(file_id, {})[number] = data

    async def get(self, file_id: str, number: int) -> bytes | None:
        """Read a part back."""
        return self._parts.get(file_id, {}).get(number)

    async def delete(self, file_id: str) -> None:
        """Forget all parts of a file."""
        self._parts.pop(file_id, None)
        self._begun.pop(file_id, None)

    async def strays(self, before: datetime, limit: int) -> Sequence[str]:
        """Some contents that belong to no file."""
        found = [id_ for id_, at in self._begun.items() if at < before and id_ not in self._files.kept]
        return found[:limit]


class MemoryBatches:
    """The port `Batches`."""

    def __init__(self, job: Callable[[str], Awaitable[Job | None]]) -> None:
        """`job` finds the job that a line has become."""
        self._job = job
        self._batches: dict[str, Batch] = {}
        self._terms: dict[str, bytes] = {}
        self._lines: dict[str, dict[int, BatchLine]] = {}

    async def create(self, batch: Batch, terms: bytes) -> Batch:
        """Keep a batch, or return the one that is kept. Raises ValueError for an id that is not a UUID."""
        _check(batch.id)
        if batch.id not in self._batches:
            self._batches[batch.id], self._terms[batch.id], self._lines[batch.id] = batch, terms, {}
        return self._batches[batch.id]

    async def get(self, batch_id: str, caller: str | None = None) -> Batch | None:
        """One batch."""
        batch = self._batches.get(batch_id)
        return batch if batch is not None and caller in (None, batch.caller) else None

    async def terms(self, batch_id: str) -> bytes | None:
        """The terms of its requests."""
        return self._terms.get(batch_id)

    async def find(self, caller: str, *, limit: int, after: str | None = None) -> Page[Batch]:
        """A caller's batches, newest first."""
        key = _after(after, None if after is None else await self.get(after, caller))
        found = [
            batch
            for batch in self._batches.values()
            if batch.caller == caller and (key is None or (batch.created_at, batch.id) < key)
        ]
        found.sort(key=lambda batch: (batch.created_at, batch.id), reverse=True)
        return page_of(found, limit, lambda batch: batch.id)

    async def move(self, batch: Batch, expected: Sequence[BatchStatus]) -> bool:
        """Write what is said of a batch, if it is in one of these states."""
        kept = self._batches.get(batch.id)
        if kept is None or kept.status not in expected:
            return False
        self._batches[batch.id] = replace(
            kept,
            status=batch.status,
            reached={**kept.reached, **batch.reached},
            problems=batch.problems,
            output_file=batch.output_file,
            error_file=batch.error_file,
            counts=replace(kept.counts, total=max(kept.counts.total, batch.counts.total)),
        )
        return True

    async def add(self, batch_id: str, lines: Sequence[BatchLine]) -> None:
        """Keep lines."""
        kept = self._lines[batch_id]
        for line in lines:
            kept.setdefault(line.number, line)

    async def lines(
        self, batch_id: str, *, after: int, limit: int, state: LineState | None = None
    ) -> Sequence[BatchLine]:
        """Lines by their numbers."""
        kept = self._lines.get(batch_id, {})
        found = [
            line for number, line in sorted(kept.items()) if number > after and state in (None, line.state)
        ]
        return found[:limit]

    async def mark(
        self, batch_id: str, number: int, state: LineState, failure: Failure | None = None
    ) -> None:
        """Say where a line stands."""
        line = self._lines[batch_id].get(number)
        if line is not None and line.state in (LineState.WAITING, LineState.RUNNING):
            self._lines[batch_id][number] = replace(line, state=state, failure=failure)
            self._count(batch_id)

    async def collect(self, batch_id: str) -> Mapping[LineState, int]:
        """Mark the lines whose jobs have ended."""
        for number, line in list(self._lines.get(batch_id, {}).items()):
            job = await self._job(line.request_id) if line.state is LineState.RUNNING else None
            if job is not None and job.status.terminal:
                well = job.status is Status.COMPLETED
                await self.mark(batch_id, number, LineState.COMPLETED if well else LineState.FAILED)
        return Counter(line.state for line in self._lines.get(batch_id, {}).values())

    async def expire(self, before: datetime) -> int:
        """Delete some batches that ended before a moment."""
        old = [
            id_
            for id_, batch in self._batches.items()
            if batch.status.ended and batch.reached.get(batch.status, batch.created_at) < before
        ]
        for id_ in old:
            del self._batches[id_], self._terms[id_], self._lines[id_]
        return len(old)

    def _count(self, batch_id: str) -> None:
        ended = Counter(line.state for line in self._lines[batch_id].values())
        batch = self._batches[batch_id]
        counts = replace(batch.counts, completed=ended[LineState.COMPLETED], failed=ended[LineState.FAILED])
        self._batches[batch_id] = replace(batch, counts=counts)


def _check(id_: str) -> None:
    if parse_id(id_) is None:
        raise ValueError(f"an id is a UUID, not {id_!r}")


def _fresh(file: File) -> bool:
    return file.kept_until is None or file.kept_until > datetime.now(UTC)


def _after(after: str | None, last: File | Batch | None) -> tuple[datetime, str] | None:
    if after is not None and last is None:
        raise no_such_page()
    return None if last is None else (last.created_at, last.id)
