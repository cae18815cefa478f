"""What became of telling callers of their jobs, and telling them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Protocol

from activities.delivery import Deliver
from api.service.jobs import JobsService
from gateway.domain.delivery import Delivery, delivery_id, event_id
from gateway.domain.errors import InvalidRequest, JobNotFinished
from gateway.domain.identity import Caller
from gateway.domain.jobs import Job
from gateway.storage.ports import Deliveries

WORKFLOW: Final = "Deliver"


class RunsDeliveries(Protocol):
    """The engine, as far as deliveries need it."""

    async def run(
        self, workflow: str, argument: object, *, id_: str, caller: str, anew: bool = False
    ) -> bool:
        """Commit the start; `anew` ends what runs under the id. Raises EngineUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Redelivery:
    """That a job is told of again: by these channels, as the same event."""

    job_id: str
    event_id: str
    channels: tuple[str, ...]


class DeliveriesService:
    """Shows tries, and begins new ones."""

    def __init__(self, jobs: JobsService, deliveries: Deliveries, engine: RunsDeliveries) -> None:
        """`jobs` says whose job is whose."""
        self._jobs = jobs
        self._deliveries = deliveries
        self._engine = engine

    async def of(self, job: Job) -> tuple[Delivery, ...]:
        """The tries to tell of a job that was got before; only the last of a channel says when the next one is."""
        if not job.deliver or not job.status.terminal:
            return ()
        tries = await self._deliveries.of(job.id)
        last = {each.channel: each for each in tries}
        return tuple(each if each is last[each.channel] else replace(each, next_at=None) for each in tries)

    async def redeliver(self, caller: Caller, job_id: str, channel: str | None) -> Redelivery:
        """Tell of a job that has ended once more, now; what is still being tried is begun anew.

        Raises JobNotFound, JobNotFinished, InvalidRequest for a job that is delivered nowhere, EngineUnavailable.
        """
        job = await self._jobs.get(caller, job_id)
        if not job.status.terminal:
            raise JobNotFinished(
                "The job has not ended yet: it is told of when it has.", retry_after=timedelta(seconds=1)
            )
        if channel is not None and channel not in job.deliver:
            known = " or ".join(f"`{each}`" for each in sorted(job.deliver)) or "left out: it has none"
            raise InvalidRequest(f"`channel` must be one of the job's, {known}.", param="channel")
        if not job.deliver:
            raise InvalidRequest(
                "The job was created without `deliver`: ask for it by its id.", param="deliver"
            )
        channels = tuple(sorted(job.deliver)) if channel is None else (channel,)
        for each in channels:
            deliver = Deliver(job.id, each, job.deliver[each], job.caller, by_hand=True)
            id_ = delivery_id(job.id, each)
            await self._engine.run(WORKFLOW, deliver, id_=id_, caller=job.caller, anew=True)
        return Redelivery(job.id, event_id(job.id), channels)
