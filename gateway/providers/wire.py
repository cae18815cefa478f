"""One operation on an upstream's wire: what is sent, and how its answers are read; the loop that is alike for all.

An operation's wire knows its dialect's JSON; who sends it and to which address is the provider's affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from gateway.domain import errors
from gateway.domain.errors import GatewayError
from gateway.domain.secret import Secret
from gateway.providers.http import (
    Answer,
    Judge,
    Waits,
    complaint_of,
    judged,
    refusal,
    said,
)
from gateway.providers.ports import EVENT_STREAM, JSON, Call, Event, Reply
from gateway.providers.sse import EventStream, EventTooLong

DONE: Final = b"[DONE]"
LAST: Final = frozenset({b"message_stop"})
"""Names of events after which nothing comes, in dialects that have no `[DONE]`."""
DRAIN: Final = 0.1
NOT_A_STREAM: Final = frozenset({"text/html", JSON, "application/xhtml+xml"})


@dataclass(frozen=True, slots=True)
class Reading:
    """How one call's answer is read: the provider's view of complaints, what to mask, and how long it may be.

    `statuses` and `waits` are those of `refusal`. `notes` are a wire's own, for what one event of a stream has to know
    of those before it.
    """

    limit: int
    judge: Judge | None = None
    secret: Secret | None = None
    statuses: Mapping[int, type[GatewayError]] | None = None
    waits: Waits | None = None
    notes: dict[str, msgspec.Raw] = field(default_factory=dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request's body for the upstream: bytes, or pieces that are sent one after the other as they are."""

    content: bytes | tuple[bytes, ...]
    media_type: str = JSON

    @property
    def joined(self) -> bytes:
        """All of it at once."""
        return self.content if isinstance(self.content, bytes) else b"".join(self.content)


class Wire(Protocol):
    """How one operation is sent and its answers are read. What it reads it hands on byte for byte."""

    @property
    def binary(self) -> bool:
        """Whether a stream may also come as bytes that are no events: sound, above all."""
        ...

    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        """The caller's body for the upstream: another `model`, streamed or not; all else as it came."""
        ...

    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str) -> Reply:
        """A whole answer. Raises UpstreamMalformed, or what an error in a successful answer stands for."""
        ...

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """One event of a stream. Raises UpstreamMalformed, or UpstreamBroken for an error object."""
        ...


async def complete(answer: Answer, wire: Wire, reading: Reading) -> Reply:
    """Read a whole answer. Raises whatever an attempt can fail with once the upstream has answered."""
    if answer.status != 200:
        raise await refused(answer, reading)
    return wire.reply(await answer.read(reading.limit), reading, answer.request_id, answer.media_type)


async def events(answer: Answer, wire: Wire, reading: Reading) -> AsyncGenerator[Event]:
    """Yield a streamed answer's events. Raises like `complete`, and UpstreamBroken if it ends before its end.

    A stream is complete with `[DONE]`, or where its server sends none, with a finish reason and an orderly end of the
    body.
    """
    if answer.status != 200:
        raise await refused(answer, reading)
    if answer.media_type in NOT_A_STREAM:
        body = await answer.read(reading.limit)
        # Which says what is wrong with it, if it is not simply a whole answer.
        wire.reply(body, reading, answer.request_id, answer.media_type)
        raise errors.UpstreamMalformed(detail="a whole answer where a stream was asked for", status=200)
    if wire.binary and answer.media_type != EVENT_STREAM:
        async with aclosing(answer.chunks()) as chunks:
            async for chunk in chunks:
                yield Event(chunk, provider_request_id=answer.request_id, media_type=answer.media_type)
        return
    finished = False
    async with aclosing(sent_events(answer, reading.limit)) as sent:
        async for name, data, cut in sent:
            if data.startswith(DONE):
                return
            event = _event(wire, (name, data), reading, answer.request_id, cut=cut)
            finished = finished or event.finish_reason is not None
            yield event
            if name in LAST and finished:
                return
    if not finished:
        raise errors.UpstreamBroken(detail="the stream ended without a finish reason or [DONE]", status=200)


def _event(
    wire: Wire, sent: tuple[bytes, bytes], reading: Reading, request_id: str | None, *, cut: bool
) -> Event:
    try:
        return wire.event(*sent, reading, request_id)
    except errors.UpstreamMalformed as error:
        if not cut:
            raise
        raise errors.UpstreamBroken(
            detail="the stream ended in the middle of an event", status=200
        ) from error


async def sent_events(answer: Answer, limit: int) -> AsyncGenerator[tuple[bytes, bytes, bool]]:
    """The events of a body: their names, their data, and whether the body ended before the event did."""
    stream = EventStream(limit)
    async with aclosing(answer.chunks()) as chunks:
        try:
            async for chunk in chunks:
                for name, data in stream.feed(chunk):
                    if not data:
                        continue  # how some servers keep a connection alive
                    if data.startswith(DONE) or name in LAST:
                        await _drain(chunks)
                    yield name, data, False
        except EventTooLong as error:
            detail = f"an event is longer than {limit} bytes"
            raise errors.UpstreamMalformed(detail=detail, status=200) from error
    for name, data in stream.close():
        if data:
            yield name, data, True


async def refused(answer: Answer, reading: Reading) -> GatewayError:
    """The error for an answer that is no success."""
    body = b"".join([chunk async for chunk in answer.chunks()])
    return refusal(
        answer.status,
        answer.headers,
        body,
        reading.judge,
        reading.secret,
        statuses=reading.statuses,
        waits=reading.waits,
    )


def complained(body: bytes, reading: Reading, otherwise: type[GatewayError]) -> GatewayError:
    """The error for a complaint that came with status 200; a status inside of it counts as long as no stream runs."""
    complaint = complaint_of(msgspec.json.decode(body))
    if otherwise is errors.UpstreamUnavailable and len(complaint.code) == 3 and complaint.code.isdigit():
        status = int(complaint.code)
        if 400 <= status <= 599:
            return refusal(status, {}, body, reading.judge, reading.secret, statuses=reading.statuses)
    kind = judged(complaint, reading.judge) or otherwise
    return kind(detail=said(body, reading.secret), status=200)


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read what is left after `[DONE]`, which is nothing, so that the connection can be used again."""
    try:
        async with asyncio.timeout(DRAIN):
            async for _ in chunks:
                pass
    except (TimeoutError, GatewayError):
        return
