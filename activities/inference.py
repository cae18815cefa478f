"""Calling models: for a caller who waits in some process, and for jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.beating import beating
from gateway import files, telemetry
from gateway.attempt import Attempts, Try
from gateway.domain.errors import Interrupted, RateLimited, StorageUnavailable
from gateway.domain.inference import Attempt, Choice, Failure, InferenceRequest, Outcome, Settlement
from gateway.domain.operations import Operation
from gateway.domain.registry import Registry
from gateway.exchange import Exchanges
from gateway.jobcalls import JobCalls
from gateway.limiter import OPEN
from gateway.providers.ports import JSON, Attachment, Body
from gateway.recorder import Recorder
from gateway.storage.ports import Claims

T = TypeVar("T")
_AGAIN = 1.0  # seconds between two tries at a database that is away


@dataclass(frozen=True, slots=True)
class Join:
    """An attempt of a request whose caller waits: `number` with this choice, begun or joined where the caller is."""

    request_id: str
    number: int
    choice: Choice


@dataclass(frozen=True, slots=True)
class Joined:
    """What became of it. `settled`: the request had ended before. Neither: the caller's connection is elsewhere.

    `beside` are the attempts that were made beside it, with numbers of their own, because it had not answered.
    """

    attempt: Attempt | None = None
    settled: Settlement | None = None
    overhead_ms: float | None = None
    beside: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class JobAttempt:
    """One attempt of a job."""

    request: InferenceRequest
    number: int
    choice: Choice


@dataclass(frozen=True, slots=True)
class Recover:
    """An attempt of a job whose activity did not report, to be found as kept or given up."""

    request_id: str
    number: int
    choice: Choice
    started_at: datetime
    given_up_at: datetime


class CallerActivities:
    """Attempts for callers who wait: they run in the process that holds the connection."""

    def __init__(self, exchanges: Exchanges, recorder: Recorder) -> None:
        """`exchanges` are this process's."""
        self._exchanges = exchanges
        self._recorder = recorder

    @activity.defn(name="attempt")
    async def join(self, wanted: Join) -> Joined:
        """Begin or join the attempt if the caller is connected to this process."""
        exchange = self._exchanges.get(wanted.request_id)
        if exchange is None:
            with suppress(StorageUnavailable):
                return Joined(settled=await self._recorder.settlement(wanted.request_id))
            return Joined()
        attempt = await exchange.attempt(wanted.number, wanted.choice)
        return Joined(
            attempt,
            overhead_ms=round(exchange.overhead_ms, 3),
            beside=exchange.beside(wanted.number),
        )


class JobActivities:
    """Attempts for jobs: claimed before the call, the answer kept before the activity reports."""

    def __init__(
        self,
        attempts: Attempts,
        claims: Claims,
        registry: Callable[[], Registry],
        holder: str,
        heartbeat: timedelta,
        calls: JobCalls,
    ) -> None:
        """`holder` names this process in claims; `heartbeat` is how often a running call is reported."""
        self._attempts = attempts
        self._claims = claims
        self._registry = registry
        self._holder = holder
        self._heartbeat = heartbeat.total_seconds()
        self._calls = calls

    @activity.defn(name="call_model")
    async def call_model(self, wanted: JobAttempt) -> Attempt:
        """Make the call and keep its answer; an attempt that was answered before is not made again.

        A model that is at a limit is not called: then this fails as `rate_limited`, with the seconds until its turn,
        and nothing is claimed.
        """
        async with beating(self._heartbeat):
            return await self._call(wanted)

    async def _call(self, wanted: JobAttempt) -> Attempt:
        let_in, made = OPEN, None
        try:
            request, number = wanted.request, wanted.number
            body, attached = opened(request)
            asked = Try(request, body, number, wanted.choice, files=attached)
            admitted = await self._attempts.admit(asked, in_line=True)
            if isinstance(admitted, Attempt):
                raise _at_a_limit(admitted)
            let_in = admitted.entry
            stored = await self._patiently(lambda: self._claims.claim(request.id, number, self._holder))
            if stored is not None:
                return stored
            made = await self._calls.make(admitted, f"{self._holder} {number}")
            attempt, reply = made.attempt, made.reply
            if attempt.outcome is Outcome.CANCELLED and not _asked_for():
                attempt = _interrupted(attempt)
            kept = await self._patiently(
                lambda: self._claims.answer(
                    request.id,
                    attempt,
                    None if reply is None else reply.body,
                    JSON if reply is None else reply.media_type,
                )
            )
            if not kept:
                raise Interrupted(detail="the claim was given up before its answer came")
            with suppress(StorageUnavailable):  # whoever settles the job does it then
                await self._calls.tell(admitted, made)
            return attempt
        finally:
            if made is not None:
                made.leave()
            let_in.leave(None)  # where it was not left with the attempt's end

    @activity.defn(name="recover")
    async def recover(self, wanted: Recover) -> Attempt:
        """The attempt as it was kept, or as interrupted: then a late answer of its process is refused."""
        stored = await self._claims.give_up(wanted.request_id, wanted.number)
        if stored is not None:
            return stored
        model = self._registry().models.get(wanted.choice.model)
        telemetry.INTERRUPTED.labels("recovered").inc()
        return Attempt(
            number=wanted.number,
            model=wanted.choice.model,
            provider=model.provider if model else "",
            upstream_model=model.upstream_model if model else "",
            reason=wanted.choice.reason,
            outcome=Outcome.INTERRUPTED,
            started_at=wanted.started_at,
            total_ms=(wanted.given_up_at - wanted.started_at).total_seconds() * 1000,
            failure=Failure.of(Interrupted()),
        )

    async def _patiently(self, what: Callable[[], Awaitable[T]]) -> T:
        """Wait out a database that is away: the call is not made, or is paid already."""
        while True:
            try:
                return await what()
            except StorageUnavailable:
                telemetry.log.warning("claim_waits", again_s=_AGAIN)
                await asyncio.sleep(_AGAIN)


def opened(request: InferenceRequest) -> tuple[Body, tuple[Attachment, ...]]:
    """The body of a job's request, and the files that it brings inside of it."""
    body = msgspec.json.decode(request.body, type=dict[str, msgspec.Raw])
    return files.taken(body) if Operation(request.endpoint).takes_files else (body, ())


def _at_a_limit(attempt: Attempt) -> ApplicationError:
    failure = attempt.failure or Failure.of(RateLimited())
    seconds = (failure.retry_after or timedelta(seconds=1)).total_seconds()
    # It is no failure of ours that anybody has to look at.
    benign = ApplicationErrorCategory.BENIGN
    return ApplicationError(failure.message, seconds, type=failure.code, non_retryable=True, category=benign)


def _asked_for() -> bool:
    """Whether somebody asked for the job's end; the engine also cancels a call that it has given up."""
    why = activity.cancellation_details()
    return why is not None and why.cancel_requested


def _interrupted(attempt: Attempt) -> Attempt:
    """The same attempt, cut off by the worker's shutdown or given up by the engine: what it cost is not known."""
    return Attempt(
        number=attempt.number,
        model=attempt.model,
        provider=attempt.provider,
        upstream_model=attempt.upstream_model,
        reason=attempt.reason,
        outcome=Outcome.INTERRUPTED,
        started_at=attempt.started_at,
        total_ms=attempt.total_ms,
        failure=Failure.of(Interrupted()),
    )
