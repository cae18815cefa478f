"""The books: jobs begin here, requests end here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from temporalio import activity

from gateway.domain.inference import InferenceRequest, Settlement
from gateway.domain.jobs import Job
from gateway.exchange import Exchanges
from gateway.recorder import Recorder
from gateway.storage.ports import Jobs


@dataclass(frozen=True, slots=True)
class Begin:
    """A job that a worker has taken up."""

    job: Job
    at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """How a request ended. `here`: write it in this process even if the caller's connection is elsewhere."""

    request: InferenceRequest
    settlement: Settlement
    here: bool = False


class RequestActivities:
    """Writes what happened into the ledger."""

    def __init__(self, recorder: Recorder, jobs: Jobs, exchanges: Exchanges) -> None:
        """`exchanges` are this process's; a worker for jobs has none."""
        self._recorder = recorder
        self._jobs = jobs
        self._exchanges = exchanges

    @activity.defn(name="begin")
    async def begin(self, begin: Begin) -> None:
        """Show the job as in progress; keep it first if its acceptance was cut off after the workflow's start."""
        await self._jobs.accept(begin.job)
        await self._jobs.begin(begin.job.id, begin.at)

    @activity.defn(name="record")
    async def record(self, record: Record) -> Settlement | None:
        """Settle the request; None when it is to be done where the caller's connection is."""
        if not record.here and self._exchanges.get(record.request.id) is None:
            return await self._recorder.settlement(record.request.id)
        return await self._recorder.record(record.request, record.settlement)
