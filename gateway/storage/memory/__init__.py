"""Every port in memory, for tests and for trying things out: the same answers as a database, gone with the process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from gateway import decisions
from gateway.domain.errors import Interrupted
from gateway.domain.identity import Budget, Caller, Key, Right
from gateway.domain.inference import Attempt, InferenceRequest, Mode, Settlement, Status
from gateway.domain.jobs import Job, job_of
from gateway.domain.repricing import Correction, Place
from gateway.ids import moment_in, parse_id
from gateway.storage.memory.batches import MemoryBatches, MemoryContents, MemoryFiles
from gateway.storage.memory.changes import MemoryChanges
from gateway.storage.memory.deliveries import MemoryDeliveries, MemoryWebhookSecrets
from gateway.storage.memory.idempotency import MemoryIdempotency
from gateway.storage.memory.limits import MemoryBuckets, MemorySlots
from gateway.storage.memory.live import MemoryLiveFeed
from gateway.storage.memory.prices import MemoryPrices, MemoryRepricings
from gateway.storage.memory.probes import MemoryProbes
from gateway.storage.memory.registry import MemoryAudit, MemoryModels
from gateway.storage.memory.responses import MemoryConversations, MemoryResponses
from gateway.storage.memory.rules import MemoryRules
from gateway.storage.memory.simulations import MemorySimulations
from gateway.storage.memory.streams import MemoryStreamLog
from gateway.storage.memory.usage import MemoryRollups
from gateway.storage.paging import filed_at, no_such_page, page_of
from gateway.storage.ports import (
    JSON,
    Contents,
    Entry,
    FileStore,
    JobFilter,
    KeptAnswer,
    Page,
    Record,
    RequestFilter,
    Span,
)
from gateway.storage.text import storable

_ZERO = Decimal(0)


class MemoryJobs:
    """The port `Jobs`."""

    def __init__(self) -> None:
        """There are none yet."""
        self._jobs: dict[str, Job] = {}

    async def accept(self, job: Job) -> Job:
        """Keep a job, or return the one that is kept. Raises ValueError for an id that is not a UUID."""
        if parse_id(job.id) is None:
            raise ValueError(f"a job's id is a UUID, not {job.id!r}")
        return self._jobs.setdefault(job.id, job)

    async def begin(self, job_id: str, at: datetime) -> None:
        """Mark a queued job as in progress."""
        job = self._jobs.get(job_id)
        if job is not None and job.status is Status.QUEUED:
            self._jobs[job_id] = replace(job, status=Status.IN_PROGRESS, started_at=at)

    async def get(self, job_id: str) -> Job | None:
        """One job."""
        job = self._jobs.get(job_id)
        return None if job is None or job.deleted_at else job

    async def get_many(self, job_ids: Collection[str]) -> Sequence[Job]:
        """Those of some jobs that there are."""
        return [job for job_id in job_ids if (job := await self.get(job_id)) is not None]

    async def delete(self, job_id: str) -> bool:
        """Take a job that has ended out of sight."""
        job = await self.get(job_id)
        if job is None or not job.status.terminal:
            return False
        self._jobs[job_id] = replace(job, deleted_at=datetime.now(UTC), deliver={}, metadata={})
        return True

    async def find(self, wanted: JobFilter, *, limit: int, after: str | None = None) -> Page[Job]:
        """Jobs newest first. Raises InvalidRequest when `after` is no job's id."""
        if after is not None and await self.get(after) is None:
            raise no_such_page()
        last = None if after is None else (self._jobs[after].created_at, after)
        found = sorted(
            (
                job
                for job in self._jobs.values()
                if (last is None or (job.created_at, job.id) < last) and _is_wanted_job(job, wanted)
            ),
            key=lambda job: (job.created_at, job.id),
            reverse=True,
        )
        return page_of(found, limit, lambda job: job.id)

    def expire(self, before: datetime) -> frozenset[str]:
        """Forget the jobs that ended before then; returns their ids."""
        old = {id_ for id_, job in self._jobs.items() if job.completed_at and job.completed_at < before}
        for id_ in old:
            del self._jobs[id_]
        return frozenset(old)

    def end(self, request: InferenceRequest, settlement: Settlement) -> None:
        """End a request's job as the request ended; one that was never accepted is kept, ended."""
        job = self._jobs.get(request.id, job_of(request))
        if not job.status.terminal:
            served = settlement.served
            self._jobs[request.id] = replace(
                job,
                status=settlement.status,
                completed_at=settlement.finished_at,
                served_model=served.model if served else None,
                attempts=len(settlement.attempts),
                usage=settlement.usage,
                cost_usd=settlement.cost_usd,
                failure=settlement.failure,
            )


class MemoryRequests:
    """The port `Requests`."""

    def __init__(self, jobs: MemoryJobs) -> None:
        """`jobs` are ended with their requests."""
        self._jobs = jobs
        self._records: dict[str, Record] = {}

    async def settle(self, entry: Entry) -> bool:
        """Write an entry, unless its request is settled. Raises ValueError for what a database would refuse."""
        request, settlement = entry.request, entry.settlement
        if parse_id(request.id) is None:
            raise ValueError(f"a request's id is a UUID, not {request.id!r}")
        if not settlement.status.terminal:
            raise ValueError(f"a settled request has ended: it is not {settlement.status.value}")
        if len({attempt.number for attempt in settlement.attempts}) < len(settlement.attempts):
            raise ValueError("two attempts have one number")
        if request.id in self._records:
            return False
        self._records[request.id] = Record(
            replace(
                request,
                body="",
                accepted_at=filed_at(request),
                decision="",
                deliver={channel: there.shown() for channel, there in request.deliver.items()},
                estimates={},
                log_content=None,
            ),
            replace(
                settlement,
                attempts=tuple(sorted(settlement.attempts, key=lambda attempt: attempt.number)),
                decisions=(),
            ),
            prompt=None if entry.prompt is None else storable(entry.prompt),
            answer=None if entry.answer is None else storable(entry.answer),
            decisions=decisions.of_texts((request.decision, *settlement.decisions)),
        )
        if request.mode is Mode.JOB:
            self._jobs.end(request, settlement)
        return True

    def records(self) -> Mapping[str, Record]:
        """All records by their ids, in the order in which they were entered."""
        return self._records

    def placed(self) -> list[tuple[Place, Attempt]]:
        """All attempts in the order of their places."""
        return sorted(
            (
                (Place(record.request.accepted_at, record.request.id, attempt.number), attempt)
                for record in self._records.values()
                for attempt in record.settlement.attempts
            ),
            key=lambda placed: placed[0],
        )

    def correct(self, correction: Correction) -> None:
        """Show a correction beside its attempt."""
        _, request_id, number = correction.place
        record = self._records[request_id]
        corrected = {**record.corrected_usd, number: correction.new_usd}
        self._records[request_id] = replace(record, corrected_usd=corrected)

    async def spent(self, spans: Sequence[Span]) -> Sequence[Decimal]:
        """What each span has cost in USD."""
        return [
            sum(
                (
                    cost
                    for record in self._records.values()
                    if _lies_in(record, span)
                    for cost in _costs(record)
                ),
                _ZERO,
            )
            for span in spans
        ]

    async def settlement(self, request_id: str) -> Settlement | None:
        """How a request ended."""
        record = self._records.get(request_id)
        return None if record is None else record.settlement

    async def get(self, request_id: str, *, with_text: bool = False) -> Record | None:
        """One request with its attempts."""
        record = self._records.get(request_id)
        return record if record is None or with_text else replace(record, prompt=None, answer=None)

    async def find(self, wanted: RequestFilter, *, limit: int, after: str | None = None) -> Page[Record]:
        """Requests newest first. Raises InvalidRequest when `after` is no request's id."""
        last = None
        if after is not None:
            known = self._records.get(after)
            last = (known.request.accepted_at if known else _moment_of(after), after)
        found = sorted(
            (
                replace(record, prompt=None, answer=None, decisions=())
                for record in self._records.values()
                if (last is None or (record.request.accepted_at, record.request.id) < last)
                and _is_wanted(record, wanted)
            ),
            key=lambda record: (record.request.accepted_at, record.request.id),
            reverse=True,
        )
        return page_of(found, limit, lambda record: record.request.id)


def _lies_in(record: Record, span: Span) -> bool:
    request = record.request
    return request.caller == span.caller and span.since <= request.accepted_at < span.until


def _costs(record: Record) -> Iterator[Decimal]:
    for attempt in record.settlement.attempts:
        cost = record.corrected_usd.get(attempt.number, attempt.cost_usd)
        if cost is not None:
            yield cost


def _moment_of(after: str) -> datetime:
    uuid = parse_id(after)
    moment = None if uuid is None else moment_in(uuid)
    if moment is None:
        raise no_such_page()
    return moment


def _is_wanted_job(job: Job, wanted: JobFilter) -> bool:
    return (
        job.deleted_at is None
        and wanted.caller in (None, job.caller)
        and wanted.status in (None, job.status)
        and wanted.endpoint in (None, job.endpoint)
        and wanted.model in (None, job.model, job.served_model)
        and (wanted.since is None or job.created_at >= wanted.since)
        and (wanted.until is None or job.created_at < wanted.until)
    )


def _is_wanted(record: Record, wanted: RequestFilter) -> bool:
    served = record.settlement.served
    return (
        wanted.since <= record.request.accepted_at < wanted.until
        and wanted.caller in (None, record.request.caller)
        and wanted.model in (None, record.request.model, served.model if served else None)
        and wanted.status in (None, record.settlement.status)
    )


@dataclass(slots=True)
class _Claim:
    attempt: Attempt | None = None
    body: bytes | None = None
    given_up: bool = False
    media_type: str = JSON


class MemoryClaims:
    """The port `Claims`."""

    def __init__(self) -> None:
        """There are none yet."""
        self._claims: dict[tuple[str, int], _Claim] = {}

    async def claim(self, request_id: str, number: int, holder: str) -> Attempt | None:
        """Claim an attempt, or return what came of it. Raises Interrupted when nothing is known to have come of it."""
        known = self._claims.get((request_id, number))
        if known is None:
            self._claims[request_id, number] = _Claim()
            return None
        if known.attempt is None:
            raise Interrupted
        return known.attempt

    async def answer(
        self, request_id: str, attempt: Attempt, body: bytes | None, media_type: str = JSON
    ) -> bool:
        """Keep what came of a claimed attempt; False if it was given up meanwhile, or never claimed."""
        known = self._claims.get((request_id, attempt.number))
        if known is None or known.given_up:
            return False
        if known.attempt is None:
            known.attempt, known.body, known.media_type = attempt, body, media_type
        return True

    async def give_up(self, request_id: str, number: int) -> Attempt | None:
        """Return the stored attempt, or close the claim."""
        known = self._claims.setdefault((request_id, number), _Claim())
        known.given_up = known.attempt is None
        return known.attempt

    def expire(self, requests: Collection[str]) -> int:
        """Forget the claims of some requests; returns how many they were."""
        old = [key for key in self._claims if key[0] in requests]
        for key in old:
            del self._claims[key]
        return len(old)

    async def kept(self, request_id: str) -> KeptAnswer | None:
        """The answer of the attempt that succeeded."""
        answers = {
            number: KeptAnswer(claim.body, claim.media_type)
            for (request, number), claim in self._claims.items()
            if request == request_id and claim.body is not None
        }
        return answers[max(answers)] if answers else None

    async def result(self, request_id: str) -> bytes | None:
        """The same, if it is JSON."""
        found = await self.kept(request_id)
        return None if found is None or found.media_type != JSON else found.body

    async def forget(self, request_id: str) -> None:
        """Delete what is kept of a request."""
        self.expire({request_id})


class MemoryKeys:
    """The port `Keys`."""

    def __init__(self) -> None:
        """There are none yet."""
        self._callers: dict[str, Caller] = {}
        self._keys: dict[str, Key] = {}

    async def caller(self, digest: bytes, now: datetime) -> Caller | None:
        """The caller whose valid key has this SHA-256."""
        for key in self._keys.values():
            if key.digest == digest and _is_valid(key, now):
                return replace(self._callers[key.caller_id], key_id=key.id)
        return None

    async def add_caller(self, caller: Caller) -> Caller:
        """Keep a caller, or return the one of that name."""
        for known in self._callers.values():
            if known.name == caller.name:
                return known
        return self._callers.setdefault(caller.id, replace(caller, key_id=""))

    async def set_tags(self, caller: str, tags: Mapping[str, str]) -> bool:
        """Give the caller of that name these tags instead of its own."""
        return self._change(caller, lambda known: replace(known, tags=dict(tags)))

    async def set_rights(self, caller: str, rights: Collection[Right]) -> bool:
        """Give the caller of that name these rights instead of its own."""
        return self._change(caller, lambda known: replace(known, rights=frozenset(rights)))

    async def set_budget(self, caller: str, budget: Budget | None) -> bool:
        """Give the caller of that name this budget instead of its own."""
        return self._change(caller, lambda known: replace(known, budget=budget))

    async def set_subjects(self, caller: str, subjects: Collection[str]) -> bool:
        """Give the caller of that name these patterns of subjects instead of its own."""
        return self._change(caller, lambda known: replace(known, subjects=tuple(sorted(subjects))))

    def _change(self, name: str, change: Callable[[Caller], Caller]) -> bool:
        known = next((each for each in self._callers.values() if each.name == name), None)
        if known is not None:
            self._callers[known.id] = change(known)
        return known is not None

    async def add_key(self, key: Key) -> None:
        """Keep a key for a caller that exists. Raises ValueError if it does not, or if the digest is none or known."""
        if key.id in self._keys:
            return
        if key.caller_id not in self._callers:
            raise ValueError(f"there is no caller {key.caller_id}")
        if len(key.digest) != 32 or any(known.digest == key.digest for known in self._keys.values()):
            raise ValueError("the digest is no SHA-256, or another key's")
        self._keys[key.id] = key

    async def revoke_key(self, key_id: str, at: datetime) -> bool:
        """Revoke a key that is valid."""
        key = self._keys.get(key_id)
        if key is None or not _is_valid(key, at):
            return False
        self._keys[key_id] = replace(key, revoked_at=at)
        return True

    async def keys(self) -> tuple[tuple[Caller, Key], ...]:
        """All keys with their callers, oldest first."""
        oldest_first = sorted(self._keys.values(), key=lambda key: (key.created_at, key.id))
        return tuple((replace(self._callers[key.caller_id], key_id=key.id), key) for key in oldest_first)


def _is_valid(key: Key, now: datetime) -> bool:
    return (key.expires_at is None or key.expires_at > now) and (
        key.revoked_at is None or key.revoked_at > now
    )


class MemoryBlobs:
    """The port `Blobs`."""

    def __init__(self) -> None:
        """There are none yet."""
        self._blobs: dict[str, bytes] = {}

    async def put(self, key: str, data: bytes) -> None:
        """Keep a payload."""
        self._blobs.setdefault(key, data)

    async def get(self, key: str) -> bytes | None:
        """Read a payload back."""
        return self._blobs.get(key)


class MemoryStore:
    """The port `Store`."""

    def __init__(self, files_in: FileStore = FileStore.POSTGRES) -> None:
        """It is empty; contents of files are written to `files_in`, which is here unless said otherwise."""
        self.jobs = MemoryJobs()
        self.requests = MemoryRequests(self.jobs)
        self.claims = MemoryClaims()
        self.idempotency = MemoryIdempotency()
        self.keys = MemoryKeys()
        self.files = MemoryFiles(files_in)
        self.contents: Contents = MemoryContents(self.files)
        self.batches = MemoryBatches(self.jobs.get)
        self.blobs = MemoryBlobs()
        self.streams = MemoryStreamLog()
        self.responses = MemoryResponses()
        self.conversations = MemoryConversations(self.responses.shelf)
        self.changes = MemoryChanges()
        self.audit = MemoryAudit()
        self.deliveries = MemoryDeliveries()
        self.webhook_secrets = MemoryWebhookSecrets(self.audit)
        self.models = MemoryModels(self.changes, self.audit)
        self.prices = MemoryPrices(self.changes, self.audit)
        self.repricings = MemoryRepricings(self.requests)
        self.rules = MemoryRules(self.changes, self.audit)
        self.simulations = MemorySimulations(self.requests)
        self.buckets = MemoryBuckets()
        self.slots = MemorySlots()
        self.live = MemoryLiveFeed()
        self.probes = MemoryProbes()
        self.rollups = MemoryRollups(self.requests)

    async def ping(self) -> None:
        """Memory always answers."""

    async def ensure_partitions(self, now: datetime) -> int:
        """Memory has none."""
        return 0

    async def expire(self, before: datetime) -> int:
        """Forget jobs that ended before then, and their answers; and buckets that are full again."""
        jobs = self.jobs.expire(before)
        gone = len(jobs) + self.claims.expire(jobs) + self.deliveries.forget(jobs)
        gone += self.buckets.expire() + self.idempotency.expire()
        gone += self.simulations.expire(before) + self.streams.expire(before)
        gone += await self.batches.expire(before)
        return gone + await self.responses.expire(datetime.now(UTC))

    async def close(self) -> None:
        """There is nothing to close."""
