"""What the gateway asks of a provider, in its own words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import msgspec

from gateway.domain.inference import Kind, Usage
from gateway.domain.operations import Operation
from gateway.domain.registry import Model

Body = Mapping[str, msgspec.Raw]
"""A JSON object whose values are still the caller's own bytes."""


@dataclass(frozen=True, slots=True)
class CallTimeouts:
    """The bounds of one call: to connect, to the first byte of the answer, to its end."""

    connect: timedelta
    first_byte: timedelta
    total: timedelta


JSON = "application/json"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a form: in which field, under which name, as what. Its bytes are never logged."""

    field: str
    filename: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt's call of one model. `body` is in the dialect of `operation`; the provider sets `model` itself.

    `headers` are ours to the upstream (traceparent, x-request-id); the credential is the provider's own affair.
    `files` came with a form, whose other fields are the body. `strict` refuses (NotCarried) what would be dropped.
    `dialect_headers` are the caller's own that belong to its dialect, and go to an upstream of the same dialect alone.
    `carried` says that the body is a translation of ours, and has in it what chat itself knows no word for.
    """

    kind: Kind
    model: Model
    body: Body
    timeouts: CallTimeouts
    headers: Mapping[str, str] = field(default_factory=dict)
    operation: Operation = Operation.CHAT
    files: tuple[Attachment, ...] = ()
    strict: bool = False
    dialect_headers: Mapping[str, str] = field(default_factory=dict)
    carried: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer: `body` is to be handed on as it came; `usage` is None when the upstream did not say.

    `media_type` is what the body is: JSON, or sound. `dropped` names fields that could not be carried over. `text` is
    what was generated, where the upstream did not say its usage: for an estimate. `estimated` says that the answer is a
    guess of the gateway's, which no upstream was asked for.
    """

    body: bytes
    usage: Usage | None = None
    finish_reason: str | None = None
    provider_request_id: str | None = None
    media_type: str = JSON
    dropped: tuple[str, ...] = ()
    text: str = ""
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream: `data` is the JSON to hand on as it came (without `data: `), never `[DONE]`.

    `name` is the event's own (`event: `), where the dialect has names. A stream that is no event stream says so by the
    `media_type` of all its events: then `data` are bytes as they came. `dropped`, of the first, names fields that could
    not be carried over.

    `usage_only` marks the closing chunk that carries usage and no choice: it is left out if the caller did not ask.
    `text` is the content in it, for estimates and first-token times; empty where there is none.
    """

    data: bytes
    text: str = ""
    usage: Usage | None = None
    usage_only: bool = False
    finish_reason: str | None = None
    provider_request_id: str | None = None
    name: str = ""
    media_type: str = EVENT_STREAM
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Misfit:
    """A model's option that its provider cannot take: which, what was expected there, and what was got."""

    option: str
    expected: str
    got: object
    nearest: str | None = None


def _fits(options: Mapping[str, object]) -> Sequence[Misfit]:
    del options
    return ()


@dataclass(frozen=True, slots=True)
class Manual:
    """What the registry must know of a provider to take a model for it, without opening it.

    `base_url` says where its API is if a model does not say, by the model's options; empty if nobody knows. `misfits`
    says what is wrong with those options.
    """

    base_url: Callable[[Mapping[str, object]], str] = lambda _: ""
    misfits: Callable[[Mapping[str, object]], Sequence[Misfit]] = _fits
    needs_address: bool = True


class Provider(Protocol):
    """A way to call models. It never retries; what goes wrong is raised as an error of `domain.errors`.

    It is called with operations that it speaks, and answers in their dialects, whatever its upstream's own is.

    Raises UpstreamUnavailable, UpstreamTimeout, UpstreamRateLimited, UpstreamMalformed, UpstreamBroken, UpstreamAuth,
    UpstreamNotFound, UpstreamRejected, ContextTooLong, ContentFiltered. The upstream's words go into `detail` only.
    """

    def speaks(self, operation: Operation, model: Model) -> bool:
        """Whether it takes this operation for the model; chat, which others can be carried over, included."""
        ...

    async def complete(self, call: Call) -> Reply:
        """Make the call and wait for the whole answer."""
        ...

    def stream(self, call: Call) -> AsyncIterator[Event]:
        """Make the call and yield its events as they come. Closing the iterator closes the upstream connection."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
