"""What an inference request is, what became of its attempts, and how it is settled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from gateway.domain.delivery import Destination
from gateway.domain.errors import BY_CODE, Cancelled, DeadlineExceeded, GatewayError, HedgeLost, ModelNotFound


class Kind(StrEnum):
    """What is asked of a model."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    RERANK = "rerank"
    IMAGE = "image"
    SPEECH = "speech"
    TRANSCRIPTION = "transcription"
    MODERATION = "moderation"


class Mode(StrEnum):
    """How the caller takes the answer."""

    SYNC = "sync"
    STREAM = "stream"
    JOB = "job"


class Durability(StrEnum):
    """When the workflow's start is committed: beside the model call, before it, or (engine down) never."""

    OVERLAPPED = "overlapped"
    START_FIRST = "start-first"
    DEGRADED = "degraded"


class Status(StrEnum):
    """Where a request stands; a job's states are the same words."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (Status.QUEUED, Status.IN_PROGRESS)


class Outcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    BROKEN = "broken"  # failed after the first byte had reached the caller
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # our process died in the middle; paid or not is unknown
    ABANDONED = "abandoned"  # the same, of a caller's connection: nothing was called again


PRIORITY = 3
"""Of jobs that say none: in the middle."""
PRIORITIES = range(1, 6)
"""From the first to the last."""
SHADOW_CALLER = "shadow:"
"""Before the id of the caller whose request was copied for a model on trial."""
KEPT_DECISIONS = 5
"""So many of a request's later decisions are kept: a job that waits for a day makes a hundred."""
LEAST_TIME = timedelta(milliseconds=100)
"""Less than this before its deadline, a request's time is up: clocks differ by that, and no model answers in it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one attempt used, in tokens counted OpenAI's way.

    `input` includes `cached`, `cache_write` (in it `cache_write_1h`, for an hour), `audio_input` and `image_input`;
    `output` includes `reasoning`, `audio_output` and `image_output`. `images` counts images made, `seconds` of audio,
    `characters` of a text that was to be spoken, `search_units` as a reranker bills them.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    estimated: bool = False
    cache_write: int = 0
    audio_input: int = 0
    audio_output: int = 0
    images: int = 0
    seconds: float = 0.0
    cache_write_1h: int = 0
    image_input: int = 0
    image_output: int = 0
    characters: int = 0
    search_units: int = 0

    def plus(self, other: Usage) -> Usage:
        """Both together: estimated as soon as one of them is."""
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
            self.estimated or other.estimated,
            self.cache_write + other.cache_write,
            self.audio_input + other.audio_input,
            self.audio_output + other.audio_output,
            self.images + other.images,
            self.seconds + other.seconds,
            self.cache_write_1h + other.cache_write_1h,
            self.image_input + other.image_input,
            self.image_output + other.image_output,
            self.characters + other.characters,
            self.search_units + other.search_units,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt or a request failed: a code of `domain.errors`, safe words, and what only operators see.

    `retryable` means by anybody, the same model too; `elsewhere` that another model may serve it, and this one never.
    """

    code: str
    message: str
    retryable: bool = False
    param: str | None = None
    status: int | None = None
    detail: str | None = None
    retry_after: timedelta | None = None
    elsewhere: bool = False

    @staticmethod
    def of(error: GatewayError) -> Failure:
        """The value of an error, to be kept or sent."""
        return Failure(
            code=error.code,
            message=error.message,
            retryable=error.retryable,
            param=error.param,
            status=error.status,
            detail=error.detail,
            retry_after=error.retry_after,
            elsewhere=error.elsewhere,
        )

    def error(self) -> GatewayError:
        """The error this was, to be raised again."""
        kind = BY_CODE.get(self.code, GatewayError)
        return kind(
            self.message,
            param=self.param,
            detail=self.detail,
            retry_after=self.retry_after,
            status=self.status,
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one model: its own row in the ledger, whatever became of it.

    Times are milliseconds from `started_at`; `cost_usd` is None where the price or the usage is not known.
    """

    number: int
    model: str
    provider: str
    upstream_model: str
    reason: str
    outcome: Outcome
    started_at: datetime
    total_ms: float
    first_token_ms: float | None = None
    failure: Failure | None = None
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    finish_reason: str | None = None
    provider_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which model is tried next, why, and after how long a wait; `rule` put it first, where that was decided anew."""

    model: str
    reason: str
    wait: timedelta = timedelta(0)
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one request's attempts, fixed when it was accepted. `cost_usd` bounds all of them together.

    `past_content_filter` lets another model be asked after one whose provider refused the request by its policy.
    """

    attempts: int = 3
    backoff_initial: timedelta = timedelta(milliseconds=200)
    backoff_factor: float = 2.0
    backoff_max: timedelta = timedelta(seconds=5)
    retry_interrupted: bool = False
    heartbeat: timedelta = timedelta(seconds=12)
    cost_usd: Decimal | None = None
    past_content_filter: bool = False


@dataclass(frozen=True, slots=True)
class Traits:
    """What rules may know of a request and its caller, measured once when it was accepted: never its text.

    `input_tokens` is an estimate, `needs` what a model must be able to (words of `registry.Capability`, sorted),
    `conversation` a digest that is the same for all requests of one conversation. `select`, `prefer`, `exclude` and
    `max_cost_usd` are the caller's wishes. `caller_models` are the names it may use; None means every one. `roll` is
    the request's dice, thrown once: a fallback is decided with the same.
    """

    input_tokens: int = 0
    max_output: int | None = None
    body_bytes: int = 0
    needs: tuple[str, ...] = ()
    images: int = 0
    conversation: str = ""
    select: str = ""
    prefer: str = ""
    exclude: tuple[str, ...] = ()
    max_cost_usd: Decimal | None = None
    caller_name: str = ""
    caller_kind: str = "agent"
    caller_tags: Mapping[str, str] = field(default_factory=dict)
    caller_models: tuple[str, ...] | None = None
    roll: float = 0.0


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """An accepted request: the input of its workflow, and all that its ledger row says of the asking side.

    `id` is a UUIDv7, the workflow's id too. `endpoint` is the operation (`domain.operations`), and so the dialect of
    `body`: the caller's JSON, less our own field; files that came with a form are told of in it, and kept elsewhere.
    `origin` names the process that holds the caller's connection (empty for a job). `candidates` are the best of
    those that the door's decision left; `decision` is that decision as it is kept (`gateway/decisions.py`).
    `log_content` None leaves it to the settings. `strict` refuses a model to which some field cannot be carried over.
    `deliver` says, by channel, who is told of its end.
    `dialect_headers` are the caller's that belong to its dialect: an upstream that speaks the same one gets them.
    `priority` (1 goes first, 5 last) and `weight` (its caller's share beside others) are for jobs that wait for a
    worker; before `not_before` a job does not begin.
    """

    id: str
    kind: Kind
    mode: Mode
    endpoint: str
    door: str
    caller: str
    model: str
    body: str
    accepted_at: datetime
    deadline: datetime
    durability: Durability
    origin: str = ""
    candidates: tuple[str, ...] = ()
    rules_version: str = ""
    limits: Limits = field(default_factory=Limits)
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    deliver: Mapping[str, Destination] = field(default_factory=dict)
    trace_id: str = ""
    traceparent: str = ""
    tracestate: str = ""
    client_request_id: str | None = None
    fingerprint: str = ""
    registry_version: str = ""
    traits: Traits = field(default_factory=Traits)
    decision: str = ""
    estimates: Mapping[str, Decimal] = field(default_factory=dict)
    log_content: bool | None = None
    strict: bool = False
    dialect_headers: Mapping[str, str] = field(default_factory=dict)
    priority: int = PRIORITY
    weight: float | None = None
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a request ended: written once to the ledger, in one transaction, and the workflow's result.

    `decision` says in lines what was tried and why nothing more was; `decisions` are those that were made after the
    door's, as they are kept: the last few.
    """

    request_id: str
    status: Status
    finished_at: datetime
    attempts: tuple[Attempt, ...] = ()
    failure: Failure | None = None
    queue_ms: float = 0.0
    overhead_ms: float | None = None
    decision: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()

    @property
    def served(self) -> Attempt | None:
        """The attempt whose answer the caller got, if one did."""
        last = telling(self.attempts)
        return last if last is not None and last.outcome is Outcome.SUCCEEDED else None

    @property
    def usage(self) -> Usage | None:
        """The tokens of all attempts together; None when none is known."""
        return usage_of(self.attempts)

    @property
    def cost_usd(self) -> Decimal | None:
        """What all attempts cost together; None as soon as one of them is not known."""
        costs = [a.cost_usd for a in self.attempts]
        known = [c for c in costs if c is not None]
        return sum(known, Decimal(0)) if len(known) == len(costs) else None


def told(request: InferenceRequest, stop: str) -> tuple[str, ...]:
    """What was to be tried and why nothing more is, a line each, for whoever looks a request up."""
    return (f"{request.model} goes to {', '.join(request.candidates) or 'nothing'}", stop)


def usage_of(attempts: Iterable[Attempt]) -> Usage | None:
    """The tokens of attempts together; None when none is known."""
    total: Usage | None = None
    for attempt in attempts:
        if attempt.usage is not None:
            total = attempt.usage if total is None else total.plus(attempt.usage)
    return total


_LAST = (Outcome.SUCCEEDED, Outcome.BROKEN, Outcome.CANCELLED, Outcome.ABANDONED)


def telling(attempts: Sequence[Attempt]) -> Attempt | None:
    """The attempt that says how a request stands: the one after which nothing is tried, else the last.

    Attempts may have been made beside each other; those that another one won against say nothing.
    """
    left = [a for a in attempts if a.failure is None or a.failure.code != HedgeLost.code]
    return next((a for a in left if a.outcome in _LAST), left[-1] if left else None)


def in_order(attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Attempts by their numbers."""
    return tuple(sorted(attempts, key=lambda attempt: attempt.number))


def settle(
    request: InferenceRequest,
    attempts: tuple[Attempt, ...],
    now: datetime,
    *,
    overhead_ms: float | None = None,
    decision: tuple[str, ...] = (),
    decisions: tuple[str, ...] = (),
    refused: Failure | None = None,
    cancelled: bool = False,
) -> Settlement:
    """How a request ends when nothing more is tried after these attempts; `cancelled` between two of them.

    `refused` is why no model was left, where none was.
    """
    last = telling(attempts)
    failure: Failure | None = None if last is None else last.failure
    if last is not None and last.outcome is Outcome.SUCCEEDED:
        status = Status.COMPLETED
    elif cancelled or (last is not None and last.outcome is Outcome.CANCELLED):
        status, failure = Status.CANCELLED, Failure.of(Cancelled())
    elif last is not None and last.outcome is Outcome.ABANDONED:
        status = Status.FAILED
    elif now >= request.deadline - LEAST_TIME:
        status = Status.EXPIRED if request.mode is Mode.JOB else Status.FAILED
        failure = Failure.of(DeadlineExceeded())
    else:
        status = Status.FAILED
        failure = failure or refused or Failure.of(ModelNotFound())
    ready = request.accepted_at if request.not_before is None else request.not_before
    queued = (attempts[0].started_at - ready) if attempts else timedelta(0)
    return Settlement(
        request_id=request.id,
        status=status,
        finished_at=now,
        attempts=attempts,
        failure=failure,
        queue_ms=max(0.0, queued.total_seconds() * 1000),
        overhead_ms=overhead_ms,
        decision=decision,
        decisions=decisions[-KEPT_DECISIONS:],
    )
