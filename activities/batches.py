"""Batches: their input is checked, their lines become requests, so many at once, and what came of them is filed.

They run in processes that answer callers, since a line is read and accepted as a request of its own is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import msgspec
from temporalio import activity

from activities.beating import beating
from gateway import telemetry
from gateway.domain.batches import Batch, BatchStatus, Counts, File, LineProblem
from gateway.domain.errors import (
    BatchCancelled,
    BatchExpired,
    BodyTooLarge,
    EngineUnavailable,
    GatewayError,
    JobFinished,
    JobNotFound,
    Overloaded,
    RateLimited,
    ShuttingDown,
    StorageUnavailable,
)
from gateway.domain.inference import Failure
from gateway.filing import Filing, Reader, lines_of
from gateway.ids import derive_id
from gateway.ring import Unreadable
from gateway.storage.ports import Batches, BatchLine, Claims, Files, Jobs, LineState

_BEAT: Final = 3.0
_LOOK_EVERY: Final = 0.2
_TURN: Final = (
    240.0  # seconds in one activity: then the workflow goes on with the next, and its history stays short
)
_GROUP: Final = 500
_BESIDE: Final = 8
_PROBLEMS: Final = 100
_AGAIN: Final = 1.0
_WAITS = (EngineUnavailable, StorageUnavailable, Overloaded, ShuttingDown, RateLimited)
"""What a line waits out: it says nothing about the line."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of batches: lines in all and at once, bytes of a line, how long what came of them is kept."""

    most_lines: int
    at_once: int
    longest_line: int
    kept_for: timedelta


class BeginsLines(Protocol):
    """Who makes a request of a line."""

    async def begin(
        self, terms: bytes, endpoint: str, body: bytes, request_id: str, deadline: datetime
    ) -> None:
        """Accept a line as a job. Raises the GatewayError by which it is refused; safe to do twice."""
        ...

    async def cancel(self, request_id: str) -> None:
        """Ask for the end of a line's job. Raises JobFinished, EngineUnavailable."""
        ...

    def refusal(self, failure: Failure) -> tuple[int, bytes]:
        """The status and body that the door would have answered a failure with."""
        ...


class _Line(msgspec.Struct):
    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


class _Model(msgspec.Struct):
    model: str


_decode = msgspec.json.Decoder(_Line).decode
_model = msgspec.json.Decoder(_Model).decode


@dataclass(frozen=True, slots=True)
class Means:
    """What batches are worked at with."""

    batches: Batches
    files: Files
    filing: Filing
    jobs: Jobs
    claims: Claims
    lines: BeginsLines


class BatchActivities:
    """Works at batches; whatever dies, the next process goes on with what the rows say."""

    def __init__(self, means: Means, settings: Bounds) -> None:
        """Nothing is under way."""
        self._means = means
        self._settings = settings

    @activity.defn(name="check_batch")
    async def check(self, batch_id: str) -> bool:
        """Read the whole input and keep its lines; False if it is no input, which its batch then says."""
        async with beating(_BEAT):
            batch = await self._means.batches.get(batch_id)
            if batch is None or batch.status is not BatchStatus.VALIDATING:
                return batch is not None and not batch.status.ended
            total, problems = await self._read(batch)
            now = datetime.now(UTC)
            if problems:
                status = BatchStatus.FAILED
                told = replace(batch, status=status, problems=tuple(problems), reached={status: now})
            else:
                status = BatchStatus.IN_PROGRESS
                told = replace(batch, status=status, counts=Counts(total), reached={status: now})
            await self._means.batches.move(told, [BatchStatus.VALIDATING])
            return not problems

    @activity.defn(name="run_batch")
    async def run(self, batch_id: str) -> bool:
        """Have lines run for a while; whether all have ended."""
        async with beating(_BEAT):
            batch = await self._means.batches.get(batch_id)
            if batch is None or batch.status.ended or batch.status is BatchStatus.FINALIZING:
                return True
            terms = await self._means.batches.terms(batch_id) or b""
            ends = asyncio.get_running_loop().time() + _TURN
            reader, after = self._means.filing.open(batch.input_file), 0
            while asyncio.get_running_loop().time() < ends:
                standing = await self._means.batches.collect(batch_id)
                running, waiting = standing.get(LineState.RUNNING, 0), standing.get(LineState.WAITING, 0)
                if not running and not waiting:
                    return True
                batch = await self._means.batches.get(batch_id) or batch
                late = datetime.now(UTC) >= batch.expires_at
                if late or batch.status is BatchStatus.CANCELLING:
                    await self._stop(batch_id, BatchExpired() if late else BatchCancelled())
                elif room := min(self._settings.at_once - running, waiting):
                    after = await self._begin(batch, terms, reader, room, after)
                await asyncio.sleep(_LOOK_EVERY)
            return False

    @activity.defn(name="file_batch")
    async def file(self, batch_id: str) -> None:
        """File what came of all lines, and end the batch."""
        async with beating(_BEAT):
            batch = await self._means.batches.get(batch_id)
            if batch is None or batch.status.ended:
                return
            now = datetime.now(UTC)
            ended = (
                BatchStatus.CANCELLED
                if batch.status is BatchStatus.CANCELLING
                else BatchStatus.EXPIRED
                if now >= batch.expires_at and await self._late(batch)
                else BatchStatus.COMPLETED
            )
            if ended is not BatchStatus.CANCELLED:
                told = replace(batch, status=BatchStatus.FINALIZING, reached={BatchStatus.FINALIZING: now})
                await self._means.batches.move(told, [BatchStatus.IN_PROGRESS])
            output = await self._filed(batch, "output", self._answers(batch_id))
            errors = await self._filed(batch, "error", self._failures(batch_id, ended))
            told = replace(
                batch, status=ended, output_file=output, error_file=errors, reached={ended: datetime.now(UTC)}
            )
            await self._means.batches.move(
                told, [BatchStatus.IN_PROGRESS, BatchStatus.FINALIZING, BatchStatus.CANCELLING]
            )
            telemetry.log.info("batch_ended", batch=batch_id, status=ended.value)

    # ---- the input -----------------------------------------------------------------------------------------------
    async def _read(self, batch: Batch) -> tuple[int, list[LineProblem]]:
        problems: list[LineProblem] = []
        seen: set[str] = set()
        group: list[BatchLine] = []
        number = 0
        try:
            async for at, line in lines_of(
                self._means.filing.read(batch.input_file), self._settings.longest_line
            ):
                number += 1
                if number > self._settings.most_lines:
                    most = self._settings.most_lines
                    problems.append(LineProblem("too_many_requests", f"A batch has at most {most} lines."))
                    break
                found = _checked(line, number, batch.endpoint, seen)
                if isinstance(found, LineProblem):
                    problems.append(found)
                    if len(problems) >= _PROBLEMS:
                        break
                    continue
                group.append(BatchLine(number, found, at, len(line), derive_id(batch.id, str(number))))
                if len(group) >= _GROUP:
                    if not problems:
                        await self._means.batches.add(batch.id, group)
                    group = []
                    await asyncio.sleep(0)
        except BodyTooLarge as e:
            problems.append(LineProblem("line_too_long", e.message, number + 1))
        except Unreadable:
            problems.append(LineProblem("file_unreadable", "The input file can no longer be read."))
        if not number and not problems:
            problems.append(LineProblem("empty_file", "The input file has no lines."))
        if group and not problems:
            await self._means.batches.add(batch.id, group)
        return number, problems

    # ---- the lines -----------------------------------------------------------------------------------------------
    async def _begin(self, batch: Batch, terms: bytes, reader: Reader, room: int, after: int) -> int:
        """Begin the next lines that wait; returns the number of the last one."""
        lines = await self._means.batches.lines(batch.id, after=after, limit=room, state=LineState.WAITING)
        for group in (lines[at : at + _BESIDE] for at in range(0, len(lines), _BESIDE)):
            texts = [await self._text(reader, line) for line in group]
            waits = await asyncio.gather(
                *(self._begin_one(batch, terms, *pair) for pair in zip(group, texts, strict=True))
            )
            if (wait := max(waits)) > 0:
                await asyncio.sleep(wait)
                return after  # those of the group that were begun are marked, and not found again
            after = group[-1].number
        return after

    async def _text(self, reader: Reader, line: BatchLine) -> bytes | None:
        try:
            return bytes(_decode(await reader.read(line.at, line.size)).body)
        except (Unreadable, msgspec.MsgspecError):
            return None

    async def _begin_one(self, batch: Batch, terms: bytes, line: BatchLine, text: bytes | None) -> float:
        """Begin one line; the seconds to wait before it is tried again, 0 where it need not be.

        It is marked when it has begun: to begin it again is safe, to wait for what was never begun is not.
        """
        state, failure = LineState.RUNNING, None
        if text is None:
            state, failure = (
                LineState.FAILED,
                Failure("file_unreadable", "The input file can no longer be read."),
            )
        else:
            try:
                await self._means.lines.begin(terms, batch.endpoint, text, line.request_id, batch.expires_at)
            except _WAITS as e:
                return _AGAIN if e.retry_after is None else min(e.retry_after.total_seconds(), _TURN / 4)
            except GatewayError as e:
                state, failure = LineState.FAILED, Failure.of(e)
        await self._means.batches.mark(batch.id, line.number, state, failure)
        return 0.0

    async def _stop(self, batch_id: str, why: GatewayError) -> None:
        """End the lines that run, and begin no more."""
        batches = self._means.batches
        while lines := await batches.lines(batch_id, after=0, limit=_GROUP, state=LineState.WAITING):
            for line in lines:
                await batches.mark(batch_id, line.number, LineState.FAILED, Failure.of(why))
        after = 0
        while lines := await batches.lines(batch_id, after=after, limit=_GROUP, state=LineState.RUNNING):
            for line in lines:
                with suppress(JobFinished, EngineUnavailable):
                    await self._means.lines.cancel(line.request_id)
                after = line.number
        await asyncio.sleep(_AGAIN)

    async def _late(self, batch: Batch) -> bool:
        """Whether lines were left when the batch's time was over."""
        after = 0
        while lines := await self._means.batches.lines(
            batch.id, after=after, limit=_GROUP, state=LineState.FAILED
        ):
            if any(line.failure is not None and line.failure.code == BatchExpired.code for line in lines):
                return True
            for line in lines:
                job = await self._means.jobs.get(line.request_id)
                if job is not None and job.completed_at is not None and job.completed_at >= batch.expires_at:
                    return True
            after = lines[-1].number
        return False

    # ---- what came of them ---------------------------------------------------------------------------------------
    async def _filed(self, batch: Batch, what: str, lines: AsyncGenerator[bytes]) -> str | None:
        """File lines under an id that is the same however often this is done; None if there are none."""
        file_id = derive_id(batch.id, what)
        some = False

        async def noted() -> AsyncGenerator[bytes]:
            nonlocal some
            async for line in lines:
                some = True
                yield line

        size = await self._means.filing.write(file_id, noted(), 2**62)
        if not some:
            await self._means.filing.delete(file_id)
            return None
        now = datetime.now(UTC)
        name = f"batch_{batch.id.replace('-', '')}_{what}.jsonl"
        file = File(file_id, batch.caller, name, "batch_output", size, now, now + self._settings.kept_for)
        await self._means.files.create(file)
        return file_id

    async def _answers(self, batch_id: str) -> AsyncGenerator[bytes]:
        async for line in self._ended(batch_id, LineState.COMPLETED):
            body = await self._means.claims.result(line.request_id)
            if body is None:
                yield _unasked(line, JobNotFound("Its answer is no longer kept."))
            else:
                yield _told(line, 200, body)

    async def _failures(self, batch_id: str, ended: BatchStatus) -> AsyncGenerator[bytes]:
        async for line in self._ended(batch_id, LineState.FAILED):
            failure = line.failure
            if failure is None:
                job = await self._means.jobs.get(line.request_id)
                failure = Failure("internal_error", "It is no longer known.") if job is None else job.failure
            failure = failure or Failure("internal_error", "It failed for no reason that is known.")
            if failure.code in _UNASKED and ended is not BatchStatus.COMPLETED:
                yield _unasked(line, BatchExpired() if ended is BatchStatus.EXPIRED else BatchCancelled())
            else:
                status, body = self._means.lines.refusal(failure)
                yield _told(line, status, body)

    async def _ended(self, batch_id: str, state: LineState) -> AsyncGenerator[BatchLine]:
        after = 0
        while lines := await self._means.batches.lines(batch_id, after=after, limit=_GROUP, state=state):
            for line in lines:
                yield line
            after = lines[-1].number


_UNASKED: Final = frozenset({BatchExpired.code, BatchCancelled.code, "cancelled", "deadline_exceeded"})


def _told(line: BatchLine, status: int, body: bytes) -> bytes:
    answer: dict[str, Any] = {
        "id": f"batch_req_{line.request_id.replace('-', '')}",
        "custom_id": line.custom_id,
        "response": {"status_code": status, "request_id": line.request_id, "body": _json(body)},
        "error": None,
    }
    return msgspec.json.encode(answer) + b"\n"


def _unasked(line: BatchLine, why: GatewayError) -> bytes:
    answer: dict[str, Any] = {
        "id": f"batch_req_{line.request_id.replace('-', '')}",
        "custom_id": line.custom_id,
        "response": None,
        "error": {"code": why.code, "message": why.message},
    }
    return msgspec.json.encode(answer) + b"\n"


def _json(body: bytes) -> object:
    """A body as part of a line; what has line breaks in it is written anew."""
    return msgspec.Raw(body) if b"\n" not in body and b"\r" not in body else msgspec.json.decode(body)


def _checked(line: bytes, number: int, endpoint: str, seen: set[str]) -> str | LineProblem:
    """The line's own id, or what is wrong with it."""
    try:
        asked = _decode(line)
    except msgspec.ValidationError as e:
        return LineProblem("invalid_request", f"{e}.", number)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        return LineProblem("invalid_json_line", f"This line is not valid JSON: {e}.", number)
    if not 0 < len(asked.custom_id) <= 512:
        return LineProblem(
            "invalid_custom_id", "`custom_id` must have 1 to 512 characters.", number, "custom_id"
        )
    if asked.custom_id in seen:
        return LineProblem(
            "duplicate_custom_id", f"`custom_id` {asked.custom_id!r} stands twice.", number, "custom_id"
        )
    seen.add(asked.custom_id)
    if asked.method != "POST":
        return LineProblem("invalid_method", "`method` must be `POST`.", number, "method")
    if asked.url != endpoint:
        return LineProblem("mismatched_url", f"`url` must be `{endpoint}`, as the batch's is.", number, "url")
    try:
        _model(asked.body)
    except msgspec.DecodeError as e:
        return LineProblem("invalid_body", f"`body` is no request: {e}.", number, "body")
    return asked.custom_id
