"""Telling callers of their finished jobs: each try is made here, and has its row in the ledger of deliveries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from time import perf_counter
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from gateway import telemetry
from gateway.delivery.event import event_of
from gateway.delivery.ports import Channel, Notice
from gateway.domain.delivery import (
    TRIES,
    Delivery,
    DeliveryOutcome,
    Destination,
    event_id,
    pause_after,
)
from gateway.domain.errors import BusUnavailable, GatewayError, JobNotFound, StorageUnavailable
from gateway.domain.inference import Failure, Status
from gateway.storage.ports import JSON, Claims, Deliveries, Jobs

_AT_ONCE: Final = 50
"""So many first tries run at once where jobs end; the rest go to the workers' hands for deliveries."""
_AGAIN: Final = 1.0  # seconds between two tries at a database that is away
_PATIENCE: Final = 20.0
"""Seconds for which what was delivered waits for its row; then it is delivered again, lest nobody know of it."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Of which job of whose is told, by which channel, and where.

    `run` names the round of tries in the ledger, of which `tried` were made and the next comes after `wait`; empty, the
    round is the workflow's own. `by_hand` when somebody asked for it.
    """

    job_id: str
    channel: str
    destination: Destination
    caller: str
    traceparent: str = ""
    by_hand: bool = False
    run: str = ""
    tried: int = 0
    wait: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a try, if one was made: whether another one is to be made, and how soon; the code of a failure."""

    tried: bool = True
    again: bool = False
    wait: timedelta = timedelta(0)
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long is waited between two tries: the first time, and at most; where results are linked to."""

    first: timedelta
    longest: timedelta
    public_url: str = ""


class DeliveryActivities:
    """Brings events by the channels that this installation has. The engine tries again; here is told how soon."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        jobs: Jobs,
        claims: Claims,
        deliveries: Deliveries,
        pauses: Pauses,
    ) -> None:
        """`channels` by the name that a job's `deliver` uses."""
        self._channels = channels
        self._jobs = jobs
        self._claims = claims
        self._deliveries = deliveries
        self._pauses = pauses
        self._at_once = 0

    @activity.defn(name="tell")
    async def tell(self, wanted: Deliver) -> Told:
        """Make the first try where the job has ended: most are delivered by it, and need no workflow of their own.

        Not made where so many are under way that receivers who hang would hold up what jobs need.
        """
        if self._at_once >= _AT_ONCE:
            return Told(tried=False, again=True)
        self._at_once += 1
        try:
            return await self._try(wanted, 1)
        finally:
            self._at_once -= 1

    @activity.defn(name="deliver")
    async def deliver(self, wanted: Deliver) -> None:
        """Make one try. Fails with the code of what went wrong, to be tried again unless that would not help."""
        told = await self._try(wanted, wanted.tried + activity.info().attempt)
        if told.code:
            raise ApplicationError(
                told.message,
                type=told.code,
                non_retryable=not told.again,
                next_retry_delay=told.wait if told.again else None,
                category=ApplicationErrorCategory.BENIGN,  # no failure of ours, and it has its line in the log
            )

    async def _try(self, wanted: Deliver, number: int) -> Told:
        began, at = perf_counter(), datetime.now(UTC)
        try:
            if number > 1:
                await self._close_gap(wanted, number - 1, at)
            status = await self._brought(wanted, at)
        except GatewayError as error:
            return await self._failed(wanted, number, at, began, error)
        row = self._row(wanted, number, at, began, DeliveryOutcome.DELIVERED, status=status)
        telemetry.DELIVERIES.labels(wanted.channel, row.outcome.value).inc()
        await _patiently(lambda: self._deliveries.note(row))
        return Told()

    async def _brought(self, wanted: Deliver, at: datetime) -> int | None:
        channel = self._channels.get(wanted.channel)
        if channel is None:
            raise BusUnavailable(f"This gateway has no delivery channel {wanted.channel} any more.")
        job = await self._jobs.get(wanted.job_id)
        if job is None:
            raise JobNotFound("The job is no longer kept.")
        kept = await self._claims.kept(job.id) if job.status is Status.COMPLETED else None
        # What is no JSON is linked to: an event has no place for it.
        result = None if kept is None else kept.body if kept.media_type == JSON else b""
        event = event_of(job, result, self._pauses.public_url)
        traceparent = wanted.traceparent or _traceparent(job.trace_id, job.id)
        return await channel.deliver(Notice(event, wanted.destination, wanted.caller, at, traceparent))

    async def _failed(
        self, wanted: Deliver, number: int, at: datetime, began: float, error: GatewayError
    ) -> Told:
        """What a failure leads to, once the ledger has its row."""
        pauses, again = self._pauses, error.retryable and number < TRIES
        pause = pause_after(
            number,
            random.random(),  # noqa: S311  no secret
            pauses.first,
            pauses.longest,
            error.retry_after,
        )
        outcome = DeliveryOutcome.FAILED if again else DeliveryOutcome.GIVEN_UP
        row = self._row(
            wanted,
            number,
            at,
            began,
            outcome,
            status=error.status,
            failure=Failure.of(error),
            next_at=datetime.now(UTC) + pause if again else None,
        )
        telemetry.DELIVERIES.labels(wanted.channel, outcome.value).inc()
        telemetry.log.warning(
            "delivery_failed",
            request_id=wanted.job_id,
            channel=wanted.channel,
            number=number,
            outcome=outcome.value,
            code=error.code,
            status=error.status,
            detail=error.detail,
        )
        try:
            await self._deliveries.note(row)
        except StorageUnavailable:
            telemetry.log.warning("delivery_not_noted", request_id=wanted.job_id, number=number)
        return Told(again=again, wait=pause, code=error.code, message=error.message)

    async def _close_gap(self, wanted: Deliver, number: int, at: datetime) -> None:
        """A row for a try that its process did not live to tell of."""
        run = _run(wanted)
        kept = await self._deliveries.of(wanted.job_id)
        if any(d.channel == wanted.channel and d.run == run and d.number == number for d in kept):
            return
        lost = self._row(wanted, number, at, perf_counter(), DeliveryOutcome.INTERRUPTED)
        await self._deliveries.note(lost)

    @staticmethod
    def _row(
        wanted: Deliver,
        number: int,
        at: datetime,
        began: float,
        outcome: DeliveryOutcome,
        *,
        status: int | None = None,
        failure: Failure | None = None,
        next_at: datetime | None = None,
    ) -> Delivery:
        return Delivery(
            job_id=wanted.job_id,
            channel=wanted.channel,
            run=_run(wanted),
            number=number,
            at=at,
            target=wanted.destination.target,
            outcome=outcome,
            took_ms=round((perf_counter() - began) * 1000, 1),
            by_hand=wanted.by_hand,
            status=status,
            code=None if failure is None else failure.code,
            message=None if failure is None else failure.message,
            next_at=next_at,
        )


def _run(wanted: Deliver) -> str:
    return wanted.run or activity.info().workflow_run_id or ""


def _traceparent(trace_id: str, job_id: str) -> str:
    """The trace that the job began in, where nobody said it: its span is one that the job alone has."""
    return f"00-{trace_id}-{sha256(event_id(job_id).encode()).hexdigest()[:16]}-01" if trace_id else ""


async def _patiently(what: Callable[[], Awaitable[None]]) -> None:
    """Wait out a database that is away, for a while."""
    ends = perf_counter() + _PATIENCE
    while True:
        try:
            return await what()
        except StorageUnavailable:
            if perf_counter() >= ends:
                raise
            await asyncio.sleep(_AGAIN)
