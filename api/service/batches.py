"""Files and batches: many requests in one file, run within a day, each a request of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, Protocol

import msgspec

from activities.batches import BatchActivities, Bounds, Means
from api.errors import openai_body, row_of
from api.service.ask import Hints, checked
from api.service.forms import FORMS, read
from api.service.jobs import JobsService
from api.service.served import RequestFailed
from gateway.domain.batches import Batch, BatchStatus, File
from gateway.domain.errors import (
    BatchEnded,
    BatchNotFound,
    FileNotFound,
    FileUnreadable,
    IdempotencyMismatch,
    InvalidRequest,
)
from gateway.domain.identity import Caller, Right
from gateway.domain.inference import Failure
from gateway.domain.operations import Operation
from gateway.filing import Filing
from gateway.ids import derive_id, new_id, parse_id
from gateway.ring import Unreadable
from gateway.seal import Seal
from gateway.settings import BatchesSettings, Settings
from gateway.storage.ports import Batches, FileFilter, Files, Page, Store

FILE: Final = "file-"
BATCH: Final = "batch_"
PURPOSES: Final = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")
WINDOW: Final = "24h"
LAST: Final = 5
_LEAST_KEPT, _LONGEST_KEPT = timedelta(hours=1), timedelta(days=30)
_LONGEST_NAME = 512


class RunsBatches(Protocol):
    """The engine, as far as batches need it."""

    async def run(self, workflow: str, argument: object, *, id_: str, caller: str) -> bool:
        """Commit the start of a workflow; False if it was started before. Raises EngineUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that comes: its name, what it is for, and how long it is kept if that is said."""

    filename: str
    purpose: str
    kept_for: timedelta | None = None


class Terms(msgspec.Struct, frozen=True):
    """Under which terms a batch's requests run: who asked, with which rights, and in which trace."""

    caller: Caller
    metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    traceparent: str = ""
    trace_id: str = ""


class FilesService:
    """Callers' files."""

    def __init__(self, files: Files, filing: Filing, settings: BatchesSettings) -> None:
        """`filing` reads and writes what is in them."""
        self._files = files
        self._filing = filing
        self._settings = settings

    async def create(self, caller: Caller, upload: Upload, pieces: AsyncIterable[bytes]) -> File:
        """Keep a file as it comes. Raises InvalidRequest, BodyTooLarge, StorageUnavailable."""
        caller.require(Right.INFER)
        check_upload(upload)
        file_id = new_id()
        size = await self._filing.write(file_id, pieces, self._settings.max_file)
        now = datetime.now(UTC)
        kept_for = upload.kept_for or self._settings.keep_files
        file = File(file_id, caller.id, upload.filename, upload.purpose, size, now, now + kept_for)
        await self._files.create(file)
        return file

    async def get(self, caller: Caller, name: str) -> File:
        """One file. Raises FileNotFound."""
        file_id = id_of(name, FILE)
        file = None if file_id is None else await self._files.get(caller.id, file_id)
        if file is None:
            raise FileNotFound
        return file

    async def content(self, caller: Caller, name: str) -> tuple[File, AsyncGenerator[bytes]]:
        """What is in a file. Raises FileNotFound; while it is read, FileUnreadable."""
        file = await self.get(caller, name)
        return file, self._read(file)

    async def find(
        self, caller: Caller, *, purpose: str | None, order: FileFilter, limit: int, after: str | None
    ) -> Page[File]:
        """The caller's files. Raises InvalidRequest."""
        return await self._files.find(
            caller.id, purpose=purpose, order=order, limit=limit, after=_after(after, FILE)
        )

    async def delete(self, caller: Caller, name: str) -> File:
        """Forget a file. Raises FileNotFound, StorageUnavailable."""
        file = await self.get(caller, name)
        # Its content first: if that cannot be done now, the file is still there to be asked for again.
        await self._filing.delete(file.id)
        await self._files.delete(caller.id, file.id)
        return file

    async def _read(self, file: File) -> AsyncGenerator[bytes]:
        try:
            async for part in self._filing.read(file.id):
                yield part
        except Unreadable as e:
            raise FileUnreadable(detail=str(e)) from e


class BatchesService:
    """Takes batches, tells of them, cancels them."""

    def __init__(
        self,
        *,
        files: FilesService,
        batches: Batches,
        engine: RunsBatches,
        seal: Seal,
        settings: BatchesSettings,
        workflow: Callable[[str], object],
    ) -> None:
        """`workflow` makes the argument of a batch's workflow."""
        self._files = files
        self._batches = batches
        self._engine = engine
        self._seal = seal
        self._settings = settings
        self._workflow = workflow

    async def create(
        self,
        caller: Caller,
        hints: Hints,
        *,
        input_file: str,
        endpoint: str,
        window: str,
        metadata: Mapping[str, str],
    ) -> Batch:
        """Accept a batch; the same Idempotency-Key gives the same one.

        Raises InvalidRequest, FileNotFound, IdempotencyMismatch, EngineUnavailable, StorageUnavailable.
        """
        caller.require(Right.INFER)
        if endpoint not in ENDPOINTS:
            known = ", ".join(f"`{each}`" for each in ENDPOINTS)
            raise InvalidRequest(f"`endpoint` must be one of {known}.", param="endpoint")
        if window != WINDOW:
            raise InvalidRequest(f"`completion_window` must be `{WINDOW}`.", param="completion_window")
        checked(metadata, "metadata")
        try:
            file = await self._files.get(caller, input_file)
        except FileNotFound as e:
            raise FileNotFound(param="input_file_id") from e
        if file.purpose != "batch":
            raise InvalidRequest(
                "`input_file_id` must be a file with the purpose `batch`.", param="input_file_id"
            )
        key, now = hints.idempotency_key, datetime.now(UTC)
        batch_id = new_id() if key is None else derive_id(caller.id, "batch", key)
        batch = Batch(
            id=batch_id,
            caller=caller.id,
            endpoint=endpoint,
            input_file=file.id,
            window=window,
            status=BatchStatus.VALIDATING,
            created_at=now,
            expires_at=now + self._settings.window,
            metadata=metadata,
        )
        terms = Terms(
            caller,
            {"batch_id": BATCH + bare(batch_id)},
            dict(hints.tags),
            hints.traceparent,
            hints.trace_id,
        )
        kept = await self._batches.create(batch, self._seal.seal(msgspec.json.encode(terms)))
        if _asked(kept) != _asked(batch):
            raise IdempotencyMismatch
        # Started again it is the same workflow: one that was kept and not started is so when it is asked for again.
        await self._engine.run("Batch", self._workflow(kept.id), id_=f"batch-{kept.id}", caller=caller.id)
        return kept

    async def get(self, caller: Caller, name: str) -> Batch:
        """One batch. Raises BatchNotFound."""
        batch_id = id_of(name, BATCH)
        batch = None if batch_id is None else await self._batches.get(batch_id, caller.id)
        if batch is None:
            raise BatchNotFound
        return batch

    async def find(self, caller: Caller, *, limit: int, after: str | None) -> Page[Batch]:
        """The caller's batches, newest first. Raises InvalidRequest."""
        return await self._batches.find(caller.id, limit=limit, after=_after(after, BATCH))

    async def cancel(self, caller: Caller, name: str) -> Batch:
        """Ask for a batch's end: what has not begun is not begun, what runs is cancelled. Raises BatchEnded."""
        batch = await self.get(caller, name)
        status = BatchStatus.CANCELLING
        asked = replace(batch, status=status, reached={status: datetime.now(UTC)})
        if not await self._batches.move(asked, [BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS]):
            batch = await self.get(caller, name)
            if batch.status is not BatchStatus.CANCELLING:
                raise BatchEnded
        return await self.get(caller, name)


class Lines:
    """Makes requests of a batch's lines: what `activities.batches` has them begun by."""

    def __init__(self, jobs: JobsService, seal: Seal, most: timedelta) -> None:
        """A line's deadline is that of its batch, and at most `most` away."""
        self._jobs = jobs
        self._seal = seal
        self._most = most

    async def begin(
        self, terms: bytes, endpoint: str, body: bytes, request_id: str, deadline: datetime
    ) -> None:
        """Accept a line as a job. Raises the GatewayError by which it is refused; safe to do twice."""
        try:
            known = msgspec.json.decode(self._seal.open(terms), type=Terms)
        except Unreadable as e:
            raise FileUnreadable(detail=str(e)) from e
        hints = Hints(
            request_id=request_id,
            tags=known.tags,
            traceparent=known.traceparent,
            trace_id=known.trace_id,
        )
        ask = read(Operation(endpoint), body, hints, door="batch")
        if ask.stream:
            raise InvalidRequest("A line of a batch cannot stream: leave `stream` out.", param="stream")
        left = min(deadline - datetime.now(UTC), self._most)
        ask = replace(
            ask,
            deadline=min(left, ask.deadline or left),
            metadata={**ask.metadata, **known.metadata},
            priority=ask.priority or LAST,  # nobody waits for a line as for a job of its own
        )
        try:
            await self._jobs.create(known.caller, ask)
        except RequestFailed as e:
            raise e.error from e

    async def cancel(self, request_id: str) -> None:
        """Ask for the end of a line's job. Raises JobFinished, EngineUnavailable."""
        await self._jobs.end(request_id)

    def refusal(self, failure: Failure) -> tuple[int, bytes]:
        """The status and body that the door would have answered a failure with."""
        error = failure.error()
        return row_of(error).http, openai_body(error)


def work_of(store: Store, jobs: JobsService, seal: Seal, settings: Settings) -> BatchActivities:
    """The work at batches of a process that accepts requests."""
    bounds = settings.batches
    means = Means(
        batches=store.batches,
        files=store.files,
        filing=Filing(store.files, store.contents, seal),
        jobs=store.jobs,
        claims=store.claims,
        lines=Lines(jobs, seal, settings.jobs.max_deadline),
    )
    return BatchActivities(
        means, Bounds(bounds.max_lines, bounds.at_once, bounds.max_line, bounds.keep_files)
    )


ENDPOINTS: Final = tuple(
    operation.value
    for operation in (
        Operation.CHAT,
        Operation.RESPONSES,
        Operation.MESSAGES,
        Operation.COMPLETIONS,
        Operation.EMBEDDINGS,
        Operation.MODERATIONS,
        Operation.RERANK,
    )
    if operation in FORMS
)
"""What the lines of a batch may ask for."""


def check_upload(upload: Upload) -> None:
    """Raise InvalidRequest naming what is wrong with an upload."""
    if upload.purpose not in PURPOSES:
        known = ", ".join(f"`{each}`" for each in PURPOSES)
        raise InvalidRequest(f"`purpose` must be one of {known}.", param="purpose")
    if not 0 < len(upload.filename) <= _LONGEST_NAME:
        raise InvalidRequest(f"The file's name must have 1 to {_LONGEST_NAME} characters.", param="file")
    if upload.kept_for is not None and not _LEAST_KEPT <= upload.kept_for <= _LONGEST_KEPT:
        raise InvalidRequest(
            "`expires_after.seconds` must be from 3600 (an hour) to 2592000 (30 days).",
            param="expires_after",
        )


def bare(id_: str) -> str:
    """An id as it stands behind a prefix."""
    return id_.replace("-", "")


def id_of(name: str, prefix: str) -> str | None:
    """The id that a name such as `file-0192…` stands for; None for what is none."""
    text = name.removeprefix(prefix)
    if not name.startswith(prefix) or len(text) != 32 or not text.isascii():
        return None
    whole = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return None if parse_id(whole) is None else whole


def _after(name: str | None, prefix: str) -> str | None:
    if name is None:
        return None
    id_ = id_of(name, prefix)
    if id_ is None:
        raise InvalidRequest(f"`after` must be the id of a row, such as `{prefix}0192…`.", param="after")
    return id_


def _asked(batch: Batch) -> str:
    """What was asked for, in a digest."""
    said = (batch.endpoint, batch.input_file, batch.window, sorted(batch.metadata.items()))
    return sha256(repr(said).encode()).hexdigest()
