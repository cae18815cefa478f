"""A work queue of NATS JetStream: letters are pulled from it, each is handed to whoever reads it, and told of.

A letter is acknowledged once it was dealt with, whether taken or refused; one that is not is brought again, to any
process. So whoever reads it must be safe to ask twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from gateway import telemetry
from gateway.delivery.bus import Bus
from gateway.domain.errors import BusUnavailable
from gateway.settings import NatsRequests

_AGAIN: Final = 1.0  # seconds between two tries to pull
_WAIT: Final = 5.0  # seconds that one pull waits for a letter
_CALL: Final = 5.0  # seconds that the server has to answer
_HANDS: Final = 20.0  # seconds that whoever reads a letter has
_ACK: Final = 30.0  # seconds after which a letter that nobody acknowledged is brought again
_LAST: Final = 5.0  # seconds that letters in hand have when the process ends
_TOLD_EVERY: Final = timedelta(minutes=1)
# Copies are known by us, for much longer. The server's own window is over all callers: two of them may number alike.
_WINDOW: Final = 0.1


@dataclass(frozen=True, slots=True)
class Letter:
    """One message. `headers` have lower-case names; `id` is its sender's, or else its place in the stream.

    `tries` counts how often it was brought, this time included.
    """

    subject: str
    headers: Mapping[str, str]
    body: bytes
    id: str
    sent_at: datetime
    tries: int


@dataclass(frozen=True, slots=True)
class Taken:
    """It was dealt with."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """It is to be brought again later."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never be taken; its sender is told at `subject`, if it named one that may be told."""

    subject: str | None
    body: bytes = b""
    headers: Mapping[str, str] | None = None


Verdict = Taken | PutOff | Refused
Read = Callable[[Letter], Awaitable[Verdict]]


class Inbox:
    """Pulls from the queue for as long as the process lives, a bounded number of letters at once."""

    def __init__(self, bus: Bus, settings: NatsRequests, read: Read) -> None:
        """`bus` is the process's connection; `read` raises nothing."""
        self._bus = bus
        self._settings = settings
        self._read = read
        self._pulling: asyncio.Task[None] | None = None
        self._hands: set[asyncio.Task[None]] = set()
        self._told_at: datetime | None = None

    def start(self) -> None:
        """Begin, if this installation has NATS and takes requests from it."""
        if self._bus.there and self._settings.enabled:
            self._pulling = asyncio.create_task(self._pull_always(), name="pull requests from nats")

    async def close(self) -> None:
        """Pull no more, and let what is in hand come to its end."""
        if self._pulling is not None:
            self._pulling.cancel()
            with suppress(asyncio.CancelledError):
                await self._pulling
        if self._hands:
            await asyncio.wait(self._hands, timeout=_LAST)
        for task in self._hands:
            task.cancel()  # it is brought again, to another process

    async def _pull_always(self) -> None:
        while True:
            while not self._bus.up:  # noqa: ASYNC110  which the bus itself has told of
                await asyncio.sleep(_AGAIN)
            try:
                await self._pull(self._bus.client())
            except (BusUnavailable, nats.errors.Error, TimeoutError, OSError, ValueError) as error:
                self._say("nats_requests_not_pulled", error)
            await asyncio.sleep(_AGAIN)

    async def _pull(self, client: Client) -> None:
        """Pull until something goes wrong."""
        js = client.jetstream(timeout=_CALL)
        await self._make(js)
        queue = await js.pull_subscribe_bind(durable=self._settings.consumer, stream=self._settings.stream)
        telemetry.log.info("nats_requests_pulled", stream=self._settings.stream)
        try:
            while True:
                while len(self._hands) >= self._settings.concurrency:
                    await asyncio.wait(self._hands, return_when=asyncio.FIRST_COMPLETED)
                free = self._settings.concurrency - len(self._hands)
                try:
                    messages = await queue.fetch(free, timeout=_WAIT)
                except nats.errors.TimeoutError:
                    if not client.is_connected:
                        raise
                    continue
                for message in messages:
                    task = asyncio.create_task(self._handle(client, message))
                    self._hands.add(task)
                    task.add_done_callback(self._hands.discard)
        finally:
            # The server then brings nothing more here that nobody would take.
            with suppress(Exception):
                async with asyncio.timeout(1):
                    await queue.unsubscribe()
                    await client.flush(timeout=1)  # until the server knows: what it sends before waits

    async def _make(self, js: Any) -> None:
        """Make the stream and the consumer where they are missing; those that are there stay as they are."""
        own = self._settings
        try:
            await js.stream_info(own.stream)
        except nats.js.errors.NotFoundError:
            await js.add_stream(_stream(own))
        try:
            await js.consumer_info(own.stream, own.consumer)
        except nats.js.errors.NotFoundError:
            await js.add_consumer(own.stream, _consumer(own))

    async def _handle(self, client: Client, message: Msg) -> None:
        verdict: Verdict
        try:
            async with asyncio.timeout(_HANDS):
                verdict = await self._read(_letter(message))
        except TimeoutError:
            verdict = PutOff(timedelta(seconds=_AGAIN))
        outcome = "accepted"
        try:
            if isinstance(verdict, PutOff):
                outcome = "put_off"
                await message.nak(delay=verdict.after.total_seconds())
            else:
                if isinstance(verdict, Refused):
                    outcome = "refused"
                    await self._tell(client, verdict)
                await message.ack()
        except (nats.errors.Error, OSError) as error:
            outcome = "lost"  # until it is brought again
            self._say("nats_request_not_acknowledged", error)
        telemetry.LETTERS.labels(outcome).inc()

    async def _tell(self, client: Client, refused: Refused) -> None:
        """Tell a sender of a refusal. A stream that takes its subject keeps it; whoever listens now hears it, too."""
        if refused.subject is not None:
            # Not by JetStream's publish: where somebody listens and no stream is, its acknowledgement never comes.
            await client.publish(refused.subject, refused.body, headers=dict(refused.headers or {}))
            await client.flush(timeout=int(_CALL))

    def _say(self, event: str, error: Exception) -> None:
        """Say what goes wrong, but not every second while NATS is away."""
        now = datetime.now(UTC)
        if self._told_at is None or now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            telemetry.log.warning(event, why=type(error).__name__, detail=str(error))


def _letter(message: Msg) -> Letter:
    place = message.metadata
    headers = {name.lower(): value for name, value in (message.headers or {}).items()}
    stamp = place.timestamp.astimezone(UTC)
    # A stream that was made anew counts from 1 again.
    own = f"{place.stream}-{place.sequence.stream}-{stamp.isoformat()}"
    return Letter(
        subject=message.subject,
        headers=headers,
        body=message.data,
        id=headers.get("nats-msg-id") or own,
        sent_at=stamp,
        tries=place.num_delivered or 1,
    )


def _stream(own: NatsRequests) -> StreamConfig:
    return StreamConfig(
        name=own.stream,
        description="Requests to the LLM gateway",
        subjects=[f"{own.subject}.*"],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        # A full queue refuses its publishers, who hear of it, rather than lose the oldest.
        discard=DiscardPolicy.NEW,
        max_age=own.max_age.total_seconds(),
        max_bytes=own.max_bytes,
        num_replicas=own.replicas,
        duplicate_window=_WINDOW,
    )


def _consumer(own: NatsRequests) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=own.consumer,
        description="The API processes of the LLM gateway",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=_ACK,
        max_deliver=-1,
        max_ack_pending=1024,
        filter_subject=f"{own.subject}.*",
    )
