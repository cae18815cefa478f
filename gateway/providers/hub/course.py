"""The course of a call whose answer is carried over: read whole, or event by event through a state machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from gateway.domain import errors
from gateway.domain.errors import GatewayError
from gateway.providers.http import Answer
from gateway.providers.ports import Event, Reply
from gateway.providers.wire import DRAIN, NOT_A_STREAM


class Answered(Protocol):
    """One answer on its way back: what its upstream's words are in the caller's dialect."""

    def refused(self, answer: Answer, body: bytes) -> GatewayError:
        """The error for an answer that is no success."""
        ...

    def reply(self, body: bytes) -> Reply:
        """A whole answer. Raises UpstreamMalformed, or what an error in a successful answer stands for."""
        ...


class Speech(Answered, Protocol):
    """The same for an answer that may be a stream."""

    @property
    def done(self) -> bool:
        """Whether all has been said that belongs to an answer: what still comes is not waited for."""
        ...

    def feed(self, name: bytes, data: bytes) -> Sequence[Event]:
        """The events that one event of the upstream's stands for. Raises like `reply`, and UpstreamBroken."""
        ...

    def end(self) -> Sequence[Event]:
        """The events with which a stream ends that has ended well. Raises UpstreamBroken if it has not."""
        ...


Frames = Callable[[Answer, int], AsyncGenerator[tuple[bytes, bytes, bool]]]
"""Cuts a body into events of at most so many bytes: name, data, and whether the body ended before the event did."""


async def complete(answer: Answer, speech: Answered, limit: int) -> Reply:
    """Read a whole answer of at most `limit` bytes. Raises whatever an attempt can fail with."""
    if answer.status != 200:
        raise await _refused(answer, speech)
    return speech.reply(await answer.read(limit))


async def events(answer: Answer, speech: Speech, limit: int, frames: Frames) -> AsyncGenerator[Event]:
    """Yield a streamed answer's events. Raises like `complete`, and UpstreamBroken if it ends before its end."""
    if answer.status != 200:
        raise await _refused(answer, speech)
    if answer.media_type in NOT_A_STREAM:
        # Which says what is wrong with it, if it is not simply a whole answer.
        speech.reply(await answer.read(limit))
        raise errors.UpstreamMalformed(detail="a whole answer where a stream was asked for", status=200)
    async with aclosing(frames(answer, limit)) as sent:
        while True:
            try:
                name, data, cut = await (_soon(sent) if speech.done else anext(sent))
            except StopAsyncIteration:
                break
            for event in _fed(speech, name, data, cut=cut):
                yield event
    for event in speech.end():
        yield event


async def _soon(sent: AsyncGenerator[tuple[bytes, bytes, bool]]) -> tuple[bytes, bytes, bool]:
    """What still comes after the last word, if it comes at once; a server that stays open holds nobody up."""
    try:
        async with asyncio.timeout(DRAIN):
            return await anext(sent)
    except TimeoutError:
        raise StopAsyncIteration from None


def _fed(speech: Speech, name: bytes, data: bytes, *, cut: bool) -> Sequence[Event]:
    try:
        return speech.feed(name, data)
    except errors.UpstreamMalformed as error:
        if not cut:
            raise
        raise errors.UpstreamBroken(
            detail="the stream ended in the middle of an event", status=200
        ) from error


async def _refused(answer: Answer, speech: Answered) -> GatewayError:
    chunks: AsyncIterator[bytes] = answer.chunks()
    return speech.refused(answer, b"".join([chunk async for chunk in chunks]))
