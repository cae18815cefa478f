"""What the gateway asks of a provider, in its own words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import msgspec

from gateway.domain.inference import Kind, Usage
from gateway.domain.registry import Model

Body = Mapping[str, msgspec.Raw]
"""A JSON object whose values are still the caller's own bytes."""


@dataclass(frozen=True, slots=True)
class CallTimeouts:
    """The bounds of one call: to connect, to the first byte of the answer, to its end."""

    connect: timedelta
    first_byte: timedelta
    total: timedelta


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt's call of one model. `body` is OpenAI's dialect; the provider sets `model` and stream options itself.

    `headers` are ours to the upstream (traceparent, x-request-id); the credential is the provider's own affair.
    """

    kind: Kind
    model: Model
    body: Body
    timeouts: CallTimeouts
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer: `body` is the JSON to hand on as it came; `usage` is None when the upstream did not say."""

    body: bytes
    usage: Usage | None = None
    finish_reason: str | None = None
    provider_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream: `data` is the JSON to hand on as it came (without `data: `), never `[DONE]`.

    `usage_only` marks the closing chunk that carries usage and no choice: it is left out if the caller did not ask.
    `text` is the content in it, for estimates and first-token times; empty where there is none.
    """

    data: bytes
    text: str = ""
    usage: Usage | None = None
    usage_only: bool = False
    finish_reason: str | None = None
    provider_request_id: str | None = None


class Provider(Protocol):
    """A way to call models. It never retries; what goes wrong is raised as an error of `domain.errors`.

    Raises UpstreamUnavailable, UpstreamTimeout, UpstreamRateLimited, UpstreamMalformed, UpstreamBroken, UpstreamAuth,
    UpstreamNotFound, UpstreamRejected, ContextTooLong, ContentFiltered. The upstream's words go into `detail` only.
    """

    async def complete(self, call: Call) -> Reply:
        """Make the call and wait for the whole answer."""
        ...

    def stream(self, call: Call) -> AsyncIterator[Event]:
        """Make the call and yield its events as they come. Closing the iterator closes the upstream connection."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
