"""Files that callers hand over, and batches of requests with their lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gateway.domain.batches import Batch, BatchStatus, File
from gateway.domain.inference import Failure
from gateway.storage.ports.page import Page


class FileFilter(StrEnum):
    """In which order files stand."""

    NEWEST = "desc"
    OLDEST = "asc"


class FileStore(StrEnum):
    """Where contents are: beside what is known of their files, whatever that store is, or in storage that speaks S3."""

    POSTGRES = "postgres"
    S3 = "s3"


class Files(Protocol):
    """What is known of files. Everything is a caller's own: of another's nothing is told and nothing changed.

    A file is kept with the store that contents were written to when it was made.
    """

    async def create(self, file: File) -> bool:
        """Keep a file whose content is there; False if it is kept already. Raises ValueError for an id that is none."""
        ...

    async def get(self, caller: str, file_id: str) -> File | None:
        """One file."""
        ...

    async def find(
        self, caller: str, *, purpose: str | None, order: FileFilter, limit: int, after: str | None = None
    ) -> Page[File]:
        """Files by when they came. Raises InvalidRequest when `after` is no file's id."""
        ...

    async def delete(self, caller: str, file_id: str) -> bool:
        """Forget a file; False if there is none."""
        ...

    async def expired(self, now: datetime, limit: int) -> Sequence[File]:
        """Some of the files whose time is over."""
        ...

    async def store_of(self, file_id: str) -> FileStore | None:
        """Where a file's content is; None if there is no such file."""
        ...

    async def known(self, file_ids: Sequence[str]) -> frozenset[str]:
        """Those of them that are files, of any caller's."""
        ...


class Contents(Protocol):
    """The content of files in parts that are numbered from 0. It is sealed before it comes here."""

    async def put(self, file_id: str, number: int, data: bytes) -> None:
        """Keep a part; the same number again replaces it."""
        ...

    async def get(self, file_id: str, number: int) -> bytes | None:
        """Read a part back; None beyond the last."""
        ...

    async def delete(self, file_id: str) -> None:
        """Forget all parts of a file."""
        ...

    async def strays(self, before: datetime, limit: int) -> Sequence[str]:
        """Some contents that were begun before a moment and belong to no file."""
        ...


class LineState(StrEnum):
    """Where a line of a batch stands."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A line of a batch: where in the input file it is, in bytes, and which request it has become.

    `failure` says why a line came to no request, where none was begun.
    """

    number: int
    custom_id: str
    at: int
    size: int
    request_id: str
    state: LineState = LineState.WAITING
    failure: Failure | None = None


class Batches(Protocol):
    """Batches and their lines; their store is that of the jobs, which lines become."""

    async def create(self, batch: Batch, terms: bytes) -> Batch:
        """Keep a batch with the terms of its requests, sealed; or return the one that is kept under its id."""
        ...

    async def get(self, batch_id: str, caller: str | None = None) -> Batch | None:
        """One batch, of this caller if one is said."""
        ...

    async def terms(self, batch_id: str) -> bytes | None:
        """The terms of its requests."""
        ...

    async def find(self, caller: str, *, limit: int, after: str | None = None) -> Page[Batch]:
        """A caller's batches, newest first. Raises InvalidRequest when `after` is no batch's id."""
        ...

    async def move(self, batch: Batch, expected: Sequence[BatchStatus]) -> bool:
        """Write what is said of a batch, if it is in one of these states; its counts are those of its lines."""
        ...

    async def add(self, batch_id: str, lines: Sequence[BatchLine]) -> None:
        """Keep lines; those that are kept stay as they are."""
        ...

    async def lines(
        self, batch_id: str, *, after: int, limit: int, state: LineState | None = None
    ) -> Sequence[BatchLine]:
        """Lines by their numbers, from after one on."""
        ...

    async def mark(
        self, batch_id: str, number: int, state: LineState, failure: Failure | None = None
    ) -> None:
        """Say where a line stands, and count it if it has ended."""
        ...

    async def collect(self, batch_id: str) -> Mapping[LineState, int]:
        """Mark the lines that run and whose jobs have ended; how many lines stand where afterwards."""
        ...

    async def expire(self, before: datetime) -> int:
        """Delete some batches that ended before a moment; returns how many."""
        ...
