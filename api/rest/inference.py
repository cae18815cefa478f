"""The inference endpoints: JSON, a stream of events, or (`Prefer: respond-async`) a job, in the dialect of each."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from starlette.types import Receive, Scope, Send

from api.auth import authenticate
from api.headers import hints_of
from api.rest import http
from api.rest.dialects import Dialect
from api.rest.jobs import send_accepted, waited
from api.rest.multipart import boundary_of, read_form
from api.service.ask import Ask, Incoming
from api.service.forms import read
from api.service.inference import InferenceService
from api.service.jobs import JobsService
from api.service.opened import OpenStream
from api.service.responses.service import ResponsesService
from api.service.served import RequestFailed, Served
from gateway import telemetry
from gateway.domain.identity import Caller
from gateway.domain.operations import Operation
from gateway.identity import Identify
from gateway.providers.ports import EVENT_STREAM, Reply
from gateway.settings import Api

_SSE: list[http.Header] = [(b"content-type", b"text/event-stream; charset=utf-8")]
_UNSTORED: list[http.Header] = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
_LATE = 5.0  # seconds after the deadline at which a caller who does not read is cut off


class Answers(Protocol):
    """What answers: the service of inference, or one that keeps state round it."""

    def finishing(self, ask: Ask) -> bool:
        """Whether a stream is read to its end when its caller has left."""
        ...

    async def answer(self, caller: Caller, ask: Ask) -> tuple[Reply, Served]:
        """The whole answer."""
        ...

    async def stream(self, caller: Caller, ask: Ask) -> OpenStream:
        """The answer as it comes."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What every endpoint works with: `identity` says who asks, the services do the rest."""

    identity: Identify
    inference: InferenceService
    jobs: JobsService
    responses: ResponsesService
    settings: Api


class Endpoint:
    """One operation, as a plain ASGI application: its body is passed on as the bytes it came in."""

    def __init__(self, operation: Operation, dialect: Dialect, means: Means) -> None:
        """`dialect` frames its streams and errors."""
        self._operation = operation
        self._dialect = dialect
        self._identity = means.identity
        self._inference: Answers = means.responses if operation is Operation.RESPONSES else means.inference
        self._jobs = means.jobs
        self._settings = means.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        door: dict[str, Any] = scope["gateway"]
        headers: dict[str, str] = door["headers"]
        caller = await authenticate(self._identity, headers)
        incoming = await self._incoming(receive, headers)
        hints = hints_of(headers, door["span"], door["request_id"])
        ask = read(self._operation, incoming, hints, door="rest")
        preferred = http.preferences_of(headers)
        if "respond-async" in preferred or "wait" in preferred:
            await self._as_job(caller, ask, scope, receive, send)
            return
        with telemetry.IN_FLIGHT.labels(ask.kind.value).track_inprogress():
            if ask.stream:
                await self._stream(caller, ask, scope, receive, send)
            else:
                await self._whole(caller, ask, scope, receive, send)

    async def _as_job(self, caller: Caller, ask: Ask, scope: Scope, receive: Receive, send: Send) -> None:
        """A job, durable from its start: answered at once where it ends while its caller waits, else 202."""
        headers: dict[str, str] = scope["gateway"]["headers"]
        job = await self._jobs.create(caller, ask)
        applied = ["respond-async"] if "respond-async" in http.preferences_of(headers) else []
        wait = http.wait_of(headers)
        if wait is not None:
            applied.append(waited(wait, self._jobs))
            async with http.cancelled_when_gone(receive, http.no_tick, 60.0):
                job = await self._jobs.wait(job, wait)
            if job.status.terminal:
                reply, served = await self._jobs.answer(job)
                http.known_as(scope, served)
                told = [*http.served_headers(served), (b"preference-applied", applied[-1].encode())]
                kind = (b"content-type", http.content_type(reply.media_type).encode())
                await http.send_whole(send, 200, [kind, *told], reply.body)
                return
        await send_accepted(send, job, ", ".join(applied))

    async def _incoming(self, receive: Receive, headers: dict[str, str]) -> Incoming:
        api = self._settings
        if self._operation.takes_files and (boundary := boundary_of(headers)) is not None:
            return await read_form(receive, headers, boundary, api.upload_limit, api.upload_timeout)
        return Incoming(await http.read_body(receive, headers, api.body_limit, api.body_timeout))

    async def _whole(self, caller: Caller, ask: Ask, scope: Scope, receive: Receive, send: Send) -> None:
        async with http.cancelled_when_gone(receive, http.no_tick, 60.0):
            reply, served = await self._inference.answer(caller, ask)
        http.known_as(scope, served)
        kind = (b"content-type", http.content_type(reply.media_type).encode())
        await http.send_whole(send, 200, [kind, *http.served_headers(served)], reply.body)

    async def _stream(self, caller: Caller, ask: Ask, scope: Scope, receive: Receive, send: Send) -> None:
        sending = _Sending(send, self._dialect, finish=self._inference.finishing(ask))
        every = self._settings.keepalive.total_seconds()
        async with http.cancelled_when_gone(receive, sending.keep_alive, every, sending.spared):
            opened = await self._inference.stream(caller, ask)
            http.known_as(scope, opened.served)
            left = (opened.deadline - datetime.now(UTC)).total_seconds()
            try:
                async with asyncio.timeout(max(left, 0) + _LATE):
                    await sending.begin(opened.media_type, http.served_headers(opened.served))
                    await self._pass_on(opened, sending)
            except TimeoutError as e:
                raise http.CallerLeft from e
            finally:
                await opened.close()

    async def _pass_on(self, opened: OpenStream, sending: _Sending) -> None:
        framed = opened.media_type == EVENT_STREAM
        try:
            async with aclosing(opened.events()) as events:
                async for event in events:
                    await sending.body(self._dialect.event(event) if framed else event.data)
        except RequestFailed as e:
            if not framed:
                raise  # there is no place for an error in it: the connection is broken off
            await sending.end(self._dialect.failed(e.error, opened.served))
        else:
            await sending.end(self._dialect.end(opened.served) if framed else b"")


class _Sending:
    """The answer's way to the client, one event at a time, with a sign of life when nothing comes for long."""

    def __init__(self, send: Send, dialect: Dialect, *, finish: bool) -> None:
        self._send = send
        self._dialect = dialect
        self._finish = finish
        self._begun = False
        self._framed = False
        self._gone = False

    def spared(self) -> bool:
        """Whether a stream is read on without its caller: what it says is for the log alone."""
        self._gone = self._finish and self._begun
        return self._gone

    async def begin(self, media_type: str, headers: list[http.Header]) -> None:
        self._framed = media_type == EVENT_STREAM
        kind = [(b"content-type", media_type.encode())] if not self._framed else _SSE
        await self._send(
            {"type": "http.response.start", "status": 200, "headers": [*kind, *_UNSTORED, *headers]}
        )
        self._begun = True

    async def end(self, data: bytes) -> None:
        self._begun = False
        await self._body(data, more=False)

    async def keep_alive(self) -> None:
        if self._begun and self._framed:
            await self._body(self._dialect.alive, more=True)

    async def body(self, data: bytes) -> None:
        await self._body(data, more=True)

    async def _body(self, data: bytes, *, more: bool) -> None:
        if not self._gone:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
