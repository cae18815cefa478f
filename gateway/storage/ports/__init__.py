"""What the gateway asks of a store. Every method raises StorageUnavailable when the store cannot be reached."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol

from gateway.domain.identity import Budget, Caller, Key, Right
from gateway.domain.inference import Attempt, InferenceRequest, Settlement, Status
from gateway.domain.jobs import Job
from gateway.domain.rules import Decision
from gateway.storage.ports.batches import (
    Batches,
    BatchLine,
    Contents,
    FileFilter,
    Files,
    FileStore,
    LineState,
)
from gateway.storage.ports.changes import Changes
from gateway.storage.ports.deliveries import Deliveries, WebhookSecrets
from gateway.storage.ports.idempotency import Idempotency, KeyClaim, KeyHeld, KeyState
from gateway.storage.ports.limits import Buckets, Draw, Drawn, Held, Hold, Slots, Unspent
from gateway.storage.ports.live import Heard, LiveFeed, News, Told
from gateway.storage.ports.page import Page
from gateway.storage.ports.prices import Prices, Repricings
from gateway.storage.ports.probes import Probes
from gateway.storage.ports.registry import (
    Audit,
    Change,
    Inventory,
    ModelFilter,
    Models,
    Registered,
    Save,
)
from gateway.storage.ports.responses import (
    Conversation,
    Conversations,
    History,
    Item,
    KeptResponse,
    Paged,
    Responses,
)
from gateway.storage.ports.rules import Rules, RuleVersion
from gateway.storage.ports.simulations import Simulations
from gateway.storage.ports.streams import Line, StreamLog, Tail
from gateway.storage.ports.usage import Rollups

__all__ = [
    "JSON",
    "Audit",
    "BatchLine",
    "Batches",
    "Blobs",
    "Buckets",
    "Change",
    "Changes",
    "Claims",
    "Contents",
    "Conversation",
    "Conversations",
    "Deliveries",
    "Draw",
    "Drawn",
    "Entry",
    "FileFilter",
    "FileStore",
    "Files",
    "Heard",
    "Held",
    "History",
    "Hold",
    "Idempotency",
    "Inventory",
    "Item",
    "JobFilter",
    "Jobs",
    "KeptAnswer",
    "KeptResponse",
    "KeyClaim",
    "KeyHeld",
    "KeyState",
    "Keys",
    "Line",
    "LineState",
    "LiveFeed",
    "ModelFilter",
    "Models",
    "News",
    "Page",
    "Paged",
    "Prices",
    "Probes",
    "Record",
    "Registered",
    "Repricings",
    "RequestFilter",
    "Requests",
    "Responses",
    "Rollups",
    "RuleVersion",
    "Rules",
    "Save",
    "Simulations",
    "Slots",
    "Span",
    "Store",
    "StreamLog",
    "Tail",
    "Told",
    "Unspent",
    "WebhookSecrets",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger is told once, when a request has ended. The texts are None where content is not logged."""

    request: InferenceRequest
    settlement: Settlement
    prompt: str | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A request as the ledger shows it: the same as was entered, the texts only from `get(with_text=True)`.

    `request.body` is always empty here: the text that was sent is `prompt`. `decisions` come only from `get`: the
    door's and the last few that followed it; `request.decision` and `settlement.decisions` are empty. `corrected_usd`
    holds, by the attempts' numbers, what those cost after all that were corrected since; None where nobody knows.
    """

    request: InferenceRequest
    settlement: Settlement
    prompt: str | None = None
    answer: str | None = None
    corrected_usd: Mapping[int, Decimal | None] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()

    @property
    def cost_corrected_usd(self) -> Decimal | None:
        """What all attempts cost together after all; None as soon as one of them is not known."""
        costs = [
            self.corrected_usd.get(attempt.number, attempt.cost_usd) for attempt in self.settlement.attempts
        ]
        known = [cost for cost in costs if cost is not None]
        return sum(known, Decimal(0)) if len(known) == len(costs) else None


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests are looked for; None leaves a field open. `since` and `until` bound when they were accepted."""

    since: datetime
    until: datetime
    caller: str | None = None
    model: str | None = None
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """The requests of one caller that were accepted from `since` on and before `until`."""

    caller: str
    since: datetime
    until: datetime


class Requests(Protocol):
    """The ledger and the prompt log: append-only, one row a request, one row an attempt, texts apart."""

    async def settle(self, entry: Entry) -> bool:
        """Write the request, its attempts and its texts, and end its job if it is one; all or nothing.

        Safe to do twice: a request that is settled stays as it was, and False is returned. It is filed under the
        moment that its id says, if the id is a UUIDv7. Raises ValueError for an id that is not a UUID.
        """
        ...

    async def settlement(self, request_id: str) -> Settlement | None:
        """How a request ended, or None while it has not been settled."""
        ...

    async def get(self, request_id: str, *, with_text: bool = False) -> Record | None:
        """One request with its attempts."""
        ...

    async def find(self, wanted: RequestFilter, *, limit: int, after: str | None = None) -> Page[Record]:
        """Requests newest first, with their attempts, without texts.

        `wanted.model` may be what was asked for or what served. Raises InvalidRequest when `after` is no request's id.
        """
        ...

    async def spent(self, spans: Sequence[Span]) -> Sequence[Decimal]:
        """What each span has cost in USD, corrections counted; costs that are not known add nothing."""
        ...


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are looked for; None leaves a field open. `since` and `until` bound when they were created.

    `model` may be what was asked for or what served.
    """

    caller: str | None = None
    status: Status | None = None
    endpoint: str | None = None
    model: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Jobs(Protocol):
    """The jobs as their callers see them."""

    async def accept(self, job: Job) -> Job:
        """Keep a job, or return the one that is kept already under its id. Raises ValueError unless that is a UUID."""
        ...

    async def begin(self, job_id: str, at: datetime) -> None:
        """Mark a queued job as in progress; a job in any other state stays as it is."""
        ...

    async def get(self, job_id: str) -> Job | None:
        """One job."""
        ...

    async def get_many(self, job_ids: Collection[str]) -> Sequence[Job]:
        """Those of some jobs that there are, in any order."""
        ...

    async def delete(self, job_id: str) -> bool:
        """Take a job that has ended out of sight; False if there is none, or it has not ended.

        `accept` still returns it.
        """
        ...

    async def find(self, wanted: JobFilter, *, limit: int, after: str | None = None) -> Page[Job]:
        """Jobs newest first. Raises InvalidRequest when `after` is no job's id."""
        ...


JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer that was kept for a job, and what it is."""

    body: bytes
    media_type: str = JSON


class Claims(Protocol):
    """What keeps a job's model call from being paid twice: a claim before the call, the answer after it."""

    async def claim(self, request_id: str, number: int, holder: str) -> Attempt | None:
        """Claim attempt `number` before its call; returns the stored attempt if it had been answered already.

        Raises Interrupted when the claim is there without an answer: its holder died, or still runs elsewhere.
        """
        ...

    async def answer(
        self, request_id: str, attempt: Attempt, body: bytes | None, media_type: str = JSON
    ) -> bool:
        """Keep what came of a claimed attempt (`body` only for an answer, and what that is).

        False if it was given up meanwhile, or never claimed; the first of two answers stays.
        """
        ...

    async def give_up(self, request_id: str, number: int) -> Attempt | None:
        """Return the stored attempt if there is one; else close the claim, so that a late answer is refused.

        Closed before it was made, a claim can no longer be made: `claim` raises Interrupted.
        """
        ...

    async def kept(self, request_id: str) -> KeptAnswer | None:
        """The answer of the attempt that succeeded."""
        ...

    async def result(self, request_id: str) -> bytes | None:
        """The same, if it is JSON."""
        ...

    async def forget(self, request_id: str) -> None:
        """Delete what is kept of a request that has ended."""
        ...


class Keys(Protocol):
    """Callers and their API keys."""

    async def caller(self, digest: bytes, now: datetime) -> Caller | None:
        """The caller whose valid (not expired, not revoked) key has this SHA-256."""
        ...

    async def add_caller(self, caller: Caller) -> Caller:
        """Keep a caller; one of the same name is returned as it is kept."""
        ...

    async def set_tags(self, caller: str, tags: Mapping[str, str]) -> bool:
        """Give the caller of that name these tags instead of its own; False if there is none."""
        ...

    async def set_rights(self, caller: str, rights: Collection[Right]) -> bool:
        """Give the caller of that name these rights instead of its own; False if there is none."""
        ...

    async def set_budget(self, caller: str, budget: Budget | None) -> bool:
        """Give the caller of that name this budget instead of its own; False if there is none."""
        ...

    async def set_subjects(self, caller: str, subjects: Collection[str]) -> bool:
        """Give the caller of that name these patterns of subjects instead of its own; False if there is none."""
        ...

    async def add_key(self, key: Key) -> None:
        """Keep a key for a caller that exists."""
        ...

    async def revoke_key(self, key_id: str, at: datetime) -> bool:
        """Revoke a key; False when there is no such valid key."""
        ...

    async def keys(self) -> tuple[tuple[Caller, Key], ...]:
        """All keys with their callers, oldest first."""
        ...


class Blobs(Protocol):
    """Large payloads of Temporal, by reference (claim check). Content is encrypted before it comes here."""

    async def put(self, key: str, data: bytes) -> None:
        """Keep `data`; the same key again is the same data."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Read it back."""
        ...


class Store(Protocol):
    """A store that is open: the ports it serves, its health, and its end."""

    @property
    def requests(self) -> Requests:
        """The ledger; its store is that of the jobs, which it ends."""
        ...

    @property
    def jobs(self) -> Jobs:
        """The jobs."""
        ...

    @property
    def claims(self) -> Claims:
        """The claims on model calls."""
        ...

    @property
    def idempotency(self) -> Idempotency:
        """What came of requests by their Idempotency-Keys."""
        ...

    @property
    def files(self) -> Files:
        """What is known of callers' files."""
        ...

    @property
    def contents(self) -> Contents:
        """Their content, sealed."""
        ...

    @property
    def batches(self) -> Batches:
        """Batches; their store is that of the jobs."""
        ...

    @property
    def keys(self) -> Keys:
        """Callers and keys."""
        ...

    @property
    def blobs(self) -> Blobs:
        """Payloads by reference."""
        ...

    @property
    def streams(self) -> StreamLog:
        """The events of streams; their store is that of the claims."""
        ...

    @property
    def responses(self) -> Responses:
        """Responses; their store is that of the claims."""
        ...

    @property
    def conversations(self) -> Conversations:
        """Conversations; their store is that of the responses."""
        ...

    @property
    def prices(self) -> Prices:
        """What models cost; its store is that of the models."""
        ...

    @property
    def repricings(self) -> Repricings:
        """Periods that are priced anew; its store is that of the ledger."""
        ...

    @property
    def rollups(self) -> Rollups:
        """Usage; its store is that of the ledger."""
        ...

    @property
    def models(self) -> Models:
        """The models and their aliases."""
        ...

    @property
    def rules(self) -> Rules:
        """The versions of the rules."""
        ...

    @property
    def simulations(self) -> Simulations:
        """Rules that are tried on logged requests; its store is that of the ledger."""
        ...

    @property
    def deliveries(self) -> Deliveries:
        """What became of telling callers of their jobs; its store is that of the jobs."""
        ...

    @property
    def webhook_secrets(self) -> WebhookSecrets:
        """What webhooks are signed with; its store is that of the callers."""
        ...

    @property
    def audit(self) -> Audit:
        """Who changed what."""
        ...

    @property
    def changes(self) -> Changes:
        """The revisions of what processes keep copies of."""
        ...

    @property
    def buckets(self) -> Buckets:
        """Token buckets of all replicas."""
        ...

    @property
    def slots(self) -> Slots:
        """Numbers of things at once over all replicas."""
        ...

    @property
    def live(self) -> LiveFeed:
        """Where processes tell each other what they count."""
        ...

    @property
    def probes(self) -> Probes:
        """Whose turn it is to probe a model."""
        ...

    async def ping(self) -> None:
        """Raise StorageUnavailable unless the store answers and has been migrated."""
        ...

    async def ensure_partitions(self, now: datetime) -> int:
        """Make room for the ledger of this month and the next ones: a daily chore, safe to do at any time, anywhere.

        Returns how many partitions were missing. Rows find a place without it too, only a worse one.
        """
        ...

    async def expire(self, before: datetime) -> int:
        """Delete jobs, kept answers and large payloads that ended before then; the ledger stays. Returns how many.

        What has a retention of its own goes when that has passed.
        """
        ...

    async def close(self) -> None:
        """Finish what is under way and close all connections."""
        ...
