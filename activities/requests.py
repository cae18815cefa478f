"""The books: jobs begin here, requests end here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from temporalio import activity

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.domain.inference import InferenceRequest, Settlement
from gateway.domain.jobs import Job
from gateway.domain.limits import Throttle
from gateway.exchange import Exchanges
from gateway.limiter import Limiter
from gateway.recorder import Recorder
from gateway.responses import ResponseKeeper
from gateway.storage.ports import Jobs


@dataclass(frozen=True, slots=True)
class Begin:
    """A job that a worker has taken up; `at` None for one whose time has not come."""

    job: Job
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Record:
    """How a request ended. With `request` it is written by any process, without it by the caller's own alone.

    `throttles` are those whose tokens were taken for a job.
    """

    settlement: Settlement
    request: InferenceRequest | None = None
    throttles: tuple[Throttle, ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """Whether the books are written. `before`: how the request had been settled already, which then stays."""

    done: bool
    before: Settlement | None = None


class RequestActivities:
    """Writes what happened into the ledger."""

    def __init__(
        self,
        recorder: Recorder,
        jobs: Jobs,
        exchanges: Exchanges,
        limiter: Limiter,
        responses: ResponseKeeper,
    ) -> None:
        """`exchanges` are this process's; a worker for jobs has none."""
        self._limiter = limiter
        self._responses = responses
        self._recorder = recorder
        self._jobs = jobs
        self._exchanges = exchanges

    @activity.defn(name="begin")
    async def begin(self, begin: Begin) -> None:
        """Show the job as in progress; keep it first if its acceptance was cut off after the workflow's start."""
        await self._jobs.accept(begin.job)
        if begin.at is not None:
            await self._jobs.begin(begin.job.id, begin.at)

    @activity.defn(name="record")
    async def record(self, record: Record) -> Recorded:
        """Settle the request; not done when it must be where the caller's connection is."""
        exchange = self._exchanges.get(record.settlement.request_id)
        request = exchange.request if exchange is not None else record.request
        if request is None:
            before = await self._recorder.settlement(record.settlement.request_id)
            return Recorded(before is not None, before)
        settled = await self._recorder.record(request, record.settlement)
        if settled is record.settlement:
            self._limiter.settle(record.throttles, settled.usage)
        await self._end_response(request, settled)
        return Recorded(done=True, before=None if settled is record.settlement else settled)

    async def _end_response(self, request: InferenceRequest, settled: Settlement) -> None:
        """End what is kept of a response. The books are written: a bug here must not hold up the workflow for ever."""
        try:
            await self._responses.settle(request, settled)
        except StorageUnavailable:
            raise  # it is tried again
        except Exception:  # noqa: BLE001  as above
            telemetry.log.exception("response_not_settled", request_id=settled.request_id)
