"""NATS JetStream: an event is published to a subject, and it is delivered once a stream has acknowledged it."""

from __future__ import annotations

from typing import Any, Final

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, StorageType, StreamConfig

from gateway.delivery.bus import Bus
from gateway.delivery.ports import Notice
from gateway.domain.delivery import covers
from gateway.domain.errors import BusRefused, BusUnavailable
from gateway.settings import DeliverySettings, StreamSettings

_HEADERS: Final = 4096
"""Bytes of the server's largest message that are left to headers and the subject."""


class JetStream:
    """The channel `nats`."""

    def __init__(self, settings: DeliverySettings, bus: Bus) -> None:
        """`bus` is the process's connection, and closed with the process."""
        self._bus = bus
        self._timeout = settings.timeout.total_seconds()
        self._stream = settings.stream

    async def deliver(self, notice: Notice) -> int | None:
        """Publish an event, and wait until it is kept."""
        client = self._bus.client()
        subject = notice.destination.target
        body = notice.event.body(client.max_payload - _HEADERS)
        if len(body) > client.max_payload - _HEADERS:
            raise BusRefused("The event is larger than the largest message of NATS.")
        try:
            try:
                await self._publish(client, subject, body, _headers(notice))
            except (nats.js.errors.NoStreamResponseError, nats.errors.TimeoutError) as error:
                if isinstance(error, nats.errors.TimeoutError) and await self._is_taken(client, subject):
                    raise
                await self._make_stream(client, subject)
                await self._publish(client, subject, body, _headers(notice))
        except nats.js.errors.NoStreamResponseError as error:
            raise BusRefused(f"No stream of NATS takes the subject {subject}.") from error
        except nats.js.errors.ServiceUnavailableError as error:
            raise BusUnavailable(detail=str(error)) from error
        except nats.js.errors.APIError as error:
            raise BusRefused(detail=f"{error.err_code}: {error.description}") from error
        except (nats.errors.BadSubjectError, nats.errors.MaxPayloadError, ValueError, KeyError) as error:
            # Somebody else answered than a stream, or what is sent is none that NATS takes.
            raise BusRefused(detail=f"{type(error).__name__}: {error}") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise BusUnavailable(detail=f"{type(error).__name__}: {error}") from error
        return None

    async def close(self) -> None:
        """The connection is the process's."""

    async def _publish(self, client: Client, subject: str, body: bytes, headers: dict[str, Any]) -> None:
        await client.jetstream(timeout=self._timeout).publish(
            subject, body, timeout=self._timeout, headers=headers
        )

    async def _is_taken(self, client: Client, subject: str) -> bool:
        """Whether a stream takes a subject. Where none does and somebody listens, no answer comes, and no refusal."""
        try:
            await client.jetstream(timeout=self._timeout).find_stream_name_by_subject(subject)
        except nats.js.errors.NotFoundError:
            return False
        return True

    async def _make_stream(self, client: Client, subject: str) -> None:
        """Make the stream that takes a subject, if it is ours to make. Raises BusRefused otherwise."""
        own = self._stream
        if not any(covers(pattern, subject) for pattern in own.subjects):
            raise BusRefused(
                f"No stream of NATS takes the subject {subject}: make one, or add it to delivery.stream.subjects."
            )
        await client.jetstream(timeout=self._timeout).add_stream(_config(own))


def _config(own: StreamSettings) -> StreamConfig:
    return StreamConfig(
        name=own.name,
        description="Finished jobs of the LLM gateway",
        subjects=list(own.subjects),
        max_age=own.max_age.total_seconds(),
        max_bytes=own.max_bytes,
        discard=DiscardPolicy.OLD,
        storage=StorageType.FILE,
        num_replicas=own.replicas,
        duplicate_window=own.duplicate_window.total_seconds(),
    )


def _headers(notice: Notice) -> dict[str, Any]:
    headers = {
        "Nats-Msg-Id": notice.event.id,
        "Content-Type": "application/json",
        "X-Trace-Id": notice.destination.trace_id or notice.event.job.trace_id,
        "traceparent": notice.traceparent,
    }
    return {name: value for name, value in headers.items() if value}
