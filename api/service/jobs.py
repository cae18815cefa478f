"""Jobs: accepted once their workflow's start is committed, then on their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Protocol

from api.service.accept import Terms, accept, limits_of
from api.service.admission import Admission
from api.service.ask import Ask
from api.service.destinations import Destinations
from api.service.lookout import Look, Lookout
from api.service.served import RequestFailed, Served
from gateway import files
from gateway.domain.errors import (
    IdempotencyMismatch,
    InvalidRequest,
    JobFinished,
    JobNotFinished,
    JobNotFound,
    StorageUnavailable,
)
from gateway.domain.identity import Caller, Right
from gateway.domain.inference import Durability, InferenceRequest, Mode, Status
from gateway.domain.jobs import Job, job_of
from gateway.domain.limits import Then
from gateway.domain.operations import Operation
from gateway.ids import parse_id
from gateway.jobcalls import TOLD
from gateway.providers.ports import Reply
from gateway.router import Router
from gateway.settings import Settings
from gateway.storage.ports import Claims, JobFilter, Jobs, KeptAnswer, Page, StreamLog

_SOON = timedelta(seconds=1)
Begins = Callable[[str], Awaitable[None]]
"""Keeps what has to be there before a job of this id is started; safe to do again."""
Prepares = Callable[[Caller, Ask], Awaitable[tuple[Ask, Begins]]]
"""Puts what a request refers to into it, before it becomes a job."""


class RunsJobs(Protocol):
    """The engine, as far as jobs need it."""

    async def start(self, request: InferenceRequest) -> bool:
        """Commit the start; False if the workflow had been started before. Raises EngineUnavailable."""
        ...

    async def cancel(self, workflow_id: str) -> bool:
        """Ask it to cancel; False if it is not running."""
        ...


@dataclass(frozen=True, slots=True)
class JobsKept:
    """Where jobs are kept: as their callers see them, their answers, and the events of those that stream."""

    jobs: Jobs
    claims: Claims
    streams: StreamLog


@dataclass(frozen=True, slots=True)
class Output:
    """One event of a job's stream, by its number. `name` is the event's own, where its dialect has names.

    One that is `BEGUN_ANEW` says that what came before it is void: another attempt tells its own.
    """

    number: int
    name: str
    data: bytes


class JobsService:
    """Takes jobs, tells of them, cancels and forgets them."""

    def __init__(
        self,
        *,
        router: Router,
        admission: Admission,
        engine: RunsJobs,
        kept: JobsKept,
        settings: Settings,
        storage_up: Callable[[], bool],
        destinations: Destinations,
    ) -> None:
        """`destinations` are checked and sealed before a job is accepted."""
        self._router = router
        self._admission = admission
        self._engine = engine
        self._jobs = kept.jobs
        self._claims = kept.claims
        self._streams = kept.streams
        self._lookout = Lookout(kept.jobs, kept.streams)
        self._settings = settings
        self._storage_up = storage_up
        self._destinations = destinations
        self.prepares: dict[Operation, Prepares] = {}

    async def create(self, caller: Caller, ask: Ask) -> Job:
        """Accept a job; the same Idempotency-Key gives the same job.

        Raises InvalidRequest, IdempotencyMismatch, EngineUnavailable, StorageUnavailable, and RequestFailed as `accept`
        does, and as RateLimited where a throttle of the rules refuses.
        """
        caller.require(Right.INFER)
        prepare = self.prepares.get(ask.operation)
        if ask.stream and prepare is None and not (ask.as_it_comes or ask.operation in TOLD):
            raise InvalidRequest(
                "A job of this kind cannot stream: leave `stream` out, and watch the job.", param="stream"
            )
        begin: Begins | None = None
        if prepare is not None:
            ask, begin = await prepare(caller, ask)
        jobs = self._settings.jobs
        limits = replace(
            limits_of(self._settings.inference.fallback),
            attempts=jobs.attempts,
            backoff_max=jobs.backoff_max,
            retry_interrupted=jobs.interrupted == "retry",
            heartbeat=jobs.heartbeat_timeout,
        )
        key = ask.hints.idempotency_key
        told = "" if ask.deliver is None else ask.deliver.plain()
        fingerprint = sha256(f"{ask.endpoint}\n{told}{ask.said or ask.text}".encode()).hexdigest()
        described = ask.text
        if ask.files:
            # Nobody waits who could hold them: a worker finds them in the request.
            ask = replace(ask, text=files.inlined(ask.body, ask.files))
        terms = Terms(Mode.JOB, Durability.START_FIRST, jobs.deadline, jobs.max_deadline, limits)
        if not self._storage_up():
            raise StorageUnavailable(retry_after=timedelta(seconds=1))
        await self._destinations.check(caller, ask.deliver, datetime.now(UTC))
        job_id = (
            None if key is None else await self._admission.once.bind(caller, key, fingerprint, jobs.retention)
        )
        request, decision = accept(
            caller, ask, self._router, terms, request_id=job_id, fingerprint=fingerprint
        )
        request = replace(request, deliver=self._destinations.of(ask.deliver, request.id))
        # What makes a job wait is taken when it begins; what refuses it refuses it here, where somebody hears it.
        served = Served(
            request.id, request.trace_id, rule=decision.rule, rules_version=decision.rules_version
        )
        taken = await self._admission.take(decision, served, (Then.REJECT,))
        new = False
        try:
            if begin is not None:
                await begin(request.id)
            new = await self._engine.start(request)
        finally:
            if not new:
                self._admission.limiter.give_back(taken)
        try:
            job = await self._jobs.accept(job_of(request))
        except StorageUnavailable:
            if not new:
                raise  # whether it is the same request can only be read there
            # The start is committed, so the job is accepted; its workflow keeps it as soon as the database is back.
            return job_of(request)
        if job.deleted_at is not None:
            raise IdempotencyMismatch("This Idempotency-Key was that of a job which has been deleted.")
        if job.fingerprint != fingerprint:
            raise IdempotencyMismatch
        if new:
            self._admission.shadow(decision, replace(request, body=described), ask.body, ask.files)
        return job

    async def known(self, job_id: str) -> Job | None:
        """One job, whoever asks: for those who know whose it is."""
        return await self._jobs.get(job_id)

    async def get(self, caller: Caller, job_id: str) -> Job:
        """One job of the caller's, or of anyone's with the right `jobs.all`. Raises JobNotFound."""
        job = await self._jobs.get(job_id) if parse_id(job_id) else None
        if job is None or (job.caller != caller.id and not caller.may(Right.JOBS_ALL)):
            raise JobNotFound
        return job

    async def result(self, caller: Caller, job_id: str) -> KeptAnswer:
        """The answer as the model gave it. Raises JobNotFound, JobNotFinished, or RequestFailed as the job."""
        job = await self.get(caller, job_id)
        if not job.status.terminal:
            raise JobNotFinished(retry_after=_SOON)
        if job.failure is not None:
            # The gateway has tried enough: whoever asks for the result again gets the same.
            served = Served(job.id, job.trace_id, attempts=job.attempts, workflow_id=job.id)
            raise RequestFailed(job.failure.error(), served)
        return await self._body(job)

    async def answer(self, job: Job) -> tuple[Reply, Served]:
        """What a job that has ended came to, as if its caller had waited. Raises RequestFailed as the job."""
        served = Served(
            job.id,
            job.trace_id,
            durability=Durability.START_FIRST.value,
            model=job.served_model or "",
            attempts=job.attempts,
            cost_usd=job.cost_usd,
            workflow_id=job.id,
            keyed=True,
        )
        if job.failure is not None:
            raise RequestFailed(job.failure.error(), served)
        kept = await self._body(job)
        return Reply(kept.body, media_type=kept.media_type), served

    async def _body(self, job: Job) -> KeptAnswer:
        kept = await self._claims.kept(job.id)
        if kept is None:
            raise JobNotFound("The job's result is no longer kept.")
        return kept

    async def result_of(self, job: Job) -> KeptAnswer | None:
        """The answer of a job that was got before; None unless it is completed and its answer still kept."""
        return await self._claims.kept(job.id) if job.status is Status.COMPLETED else None

    async def cancel(self, caller: Caller, job_id: str) -> Job:
        """Ask for a job's end. Raises JobNotFound, JobFinished, EngineUnavailable."""
        job = await self.get(caller, job_id)
        if job.status.terminal or not await self._engine.cancel(job.id):
            raise JobFinished
        return await self.get(caller, job_id)

    async def delete(self, caller: Caller, job_id: str) -> None:
        """Forget a job that has ended, its answer and its events; its row in the ledger stays.

        Raises JobNotFound, JobNotFinished.
        """
        job = await self.get(caller, job_id)
        if not job.status.terminal:
            raise JobNotFinished("The job has not ended: cancel it first.", retry_after=_SOON)
        # The job last: what is cut off in between is found, and done again.
        await self._claims.forget(job.id)
        await self._streams.delete(job.id)
        await self._jobs.delete(job.id)

    async def end(self, job_id: str) -> None:
        """Ask for the end of a job that the gateway began itself. Raises JobFinished, EngineUnavailable."""
        if not await self._engine.cancel(job_id):
            raise JobFinished

    async def find(self, caller: Caller, wanted: JobFilter, *, limit: int, after: str | None) -> Page[Job]:
        """The caller's jobs, newest first; everyone's, or whose are asked for, with the right `jobs.all`."""
        if after is not None and parse_id(after) is None:
            raise InvalidRequest("`after` must be the id of a job.", param="after")
        owner = wanted.caller if caller.may(Right.JOBS_ALL) else caller.id
        return await self._jobs.find(replace(wanted, caller=owner), limit=limit, after=after)

    async def events(
        self, caller: Caller, job_id: str, after: int = -1
    ) -> AsyncGenerator[Job | Output, None]:
        """The job with every change, and what its stream told after an event, as it comes; last, the job as it ended.

        Raises JobNotFound before the first.
        """
        seen: Job | None = None
        async with aclosing(self._lookout.changes(await self.get(caller, job_id))) as changes:
            async for look in changes:
                async for output in self._told(look, after):
                    after = output.number
                    yield output
                if look.job != seen:
                    seen = look.job
                    yield seen

    async def _told(self, look: Look, after: int) -> AsyncGenerator[Output, None]:
        """What there is to read after an event."""
        if not look.job.status.terminal and look.reached <= after + 1:
            return
        while (tail := await self._streams.read(look.job.id, after)) is not None and tail.lines:
            for number, line in enumerate(tail.lines, tail.first):
                yield Output(number, line.name, line.data)
            after = tail.last

    async def wait(self, job: Job, wait: timedelta) -> Job:
        """The job once it has ended, or as it stands after a wait; no longer than the settings allow."""
        last = job
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(min(wait, self.max_wait).total_seconds()),
                aclosing(self._lookout.changes(job)) as changes,
            ):
                async for look in changes:
                    last = look.job
        return last

    @property
    def max_wait(self) -> timedelta:
        """How long a caller may wait for a job at most."""
        return self._settings.jobs.max_wait
