"""A job's call of a model: whole, or as a stream whose events are told in its log while it runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from gateway.attempt import Attempts, Stream, Try
from gateway.domain.errors import GatewayError, StorageUnavailable
from gateway.domain.inference import Attempt, Outcome
from gateway.domain.operations import Operation
from gateway.providers.dialects.bridges import assemble
from gateway.providers.dialects.responses.own import own_of
from gateway.providers.dialects.responses.wire import ENDS
from gateway.providers.ports import Body, Event, Reply
from gateway.responses import ResponseKeeper
from gateway.scribe import Scribe
from gateway.storage.ports import StreamLog

TOLD: Final = frozenset({Operation.CHAT, Operation.MESSAGES, Operation.COMPLETIONS})
"""The operations whose jobs may stream: their events are told while they run, and joined into one answer."""
BEGUN_ANEW: Final = "gateway.begun_anew"
"""The name of the event that voids what was told before it."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a call came to; `scribe` waits for the answer to be kept before it tells the end of the stream."""

    attempt: Attempt
    reply: Reply | None
    scribe: Scribe | None = None
    last: Event | None = None

    def leave(self) -> None:
        """Leave the log to whoever tells the end."""
        if self.scribe is not None:
            self.scribe.leave()


class JobCalls:
    """Makes the calls of jobs."""

    def __init__(self, attempts: Attempts, streams: StreamLog, keeper: ResponseKeeper) -> None:
        """`keeper` keeps responses, before their ends are told."""
        self._attempts = attempts
        self._streams = streams
        self._keeper = keeper

    async def make(self, wanted: Try, writer: str) -> Made:
        """Call the model. `writer` names this call in the log.

        Once a stream has said something, it cannot be begun anew: a later attempt is made without telling its events,
        and only how it ends is told.
        """
        if _tells(wanted):
            return await self._told(wanted, writer)
        if not _streams(wanted):
            return Made(*await self._attempts.complete(wanted))
        told = own_of(wanted.body, wanted.request.id).told
        first = await self._streams.open(wanted.request.id, writer)
        if first != told:
            return Made(*await self._attempts.complete(wanted))
        opened = await self._attempts.stream(wanted)
        if isinstance(opened, Attempt):
            return Made(opened, None)
        scribe = Scribe(self._streams, wanted.request.id, writer, told)
        last: Event | None = None
        # What went wrong, and that somebody cancelled it, the attempt tells.
        with suppress(GatewayError, asyncio.CancelledError):
            async for event in opened.events():
                if event.name in ENDS:
                    last = event
                else:
                    scribe.add(event.name, event.data)
        await opened.close()
        attempt = await opened.attempt
        if attempt.outcome is Outcome.BROKEN:
            attempt = replace(
                attempt, outcome=Outcome.FAILED
            )  # nobody's answer was cut off: it may be tried again
        if attempt.outcome is not Outcome.SUCCEEDED or last is None:
            scribe.leave()
            return Made(attempt, None)
        return Made(attempt, _reply(opened, last), scribe, last)

    async def tell(self, wanted: Try, made: Made) -> None:
        """Once the answer of a call is kept, keep the response that it is and tell the end of its stream.

        Raises StorageUnavailable: whoever settles the job does it then.
        """
        if made.scribe is None or made.reply is None:
            return
        if made.last is None:
            await made.scribe.close()
            return
        request = wanted.request
        await self._keeper.end(request.caller, request.id, msgspec.json.decode(made.reply.body))
        made.scribe.add(made.last.name, self._keeper.shown(made.last.data))
        await made.scribe.close()

    async def _told(self, wanted: Try, writer: str) -> Made:
        """A stream whose events are told as they come; its answer is what they stand for together.

        An attempt that comes after another one says first that what was told before is void. Without a database nothing
        is told, and the call is made.
        """
        first = None
        with suppress(StorageUnavailable):
            first = await self._streams.open(wanted.request.id, writer)
        opened = await self._attempts.stream(wanted)
        if isinstance(opened, Attempt):
            return Made(opened, None)
        scribe = None if first is None else Scribe(self._streams, wanted.request.id, writer, first)
        if scribe is not None and first:
            scribe.add(BEGUN_ANEW, msgspec.json.encode({"attempt": wanted.number}))
        asked = _asks_for_usage(wanted.body)
        chunks: list[bytes] = []
        with suppress(GatewayError, asyncio.CancelledError):
            async for event in opened.events():
                chunks.append(event.data)
                if scribe is not None and (asked or not event.usage_only):
                    scribe.add(event.name, event.data)
        await opened.close()
        attempt = await opened.attempt
        if attempt.outcome is Outcome.BROKEN:
            attempt = replace(attempt, outcome=Outcome.FAILED)  # nobody's answer was cut off
        if attempt.outcome is not Outcome.SUCCEEDED:
            if scribe is not None:
                await scribe.hand_over()
            return Made(attempt, None)
        answer = assemble(Operation(wanted.request.endpoint), chunks)
        return Made(attempt, Reply(answer, dropped=opened.dropped), scribe)


def _tells(wanted: Try) -> bool:
    return Operation(wanted.request.endpoint) in TOLD and _is(wanted.body, "stream")


def _asks_for_usage(body: Body) -> bool:
    options = bytes(body.get("stream_options", msgspec.Raw(b"null")))
    try:
        said = msgspec.json.decode(options, type=dict[str, object] | None)
    except msgspec.DecodeError:
        return False
    return said is not None and said.get("include_usage") is True


def _streams(wanted: Try) -> bool:
    return wanted.request.endpoint == Operation.RESPONSES.value and _is(wanted.body, "stream")


def _is(body: Body, name: str) -> bool:
    return name in body and bytes(body[name]) == b"true"


def _reply(opened: Stream, last: Event) -> Reply:
    whole = msgspec.json.decode(last.data, type=dict[str, msgspec.Raw])
    return Reply(bytes(whole["response"]), dropped=opened.dropped)
