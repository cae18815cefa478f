"""`POST /v1/chat/completions`: JSON, a stream of events, or (`Prefer: respond-async`) a job."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from api.auth import authenticate
from api.errors import openai_body
from api.headers import hints_of
from api.rest import http
from api.rest.jobs import send_accepted
from api.service.ask import Ask, read_chat
from api.service.inference import InferenceService, OpenStream
from api.service.jobs import JobsService
from api.service.served import RequestFailed, Served
from gateway import telemetry
from gateway.domain.identity import Caller
from gateway.identity import Identify
from gateway.settings import Api

_SSE: list[http.Header] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_LATE = 5.0  # seconds after the deadline at which a caller who does not read is cut off

OPENAPI: dict[str, Any] = {
    "tags": ["inference"],
    "summary": "Chat with a model",
    "description": (
        "OpenAI's chat completions. `model` is a name, an alias, `auto` or `tags:…`; fields that the gateway does not "
        "know are passed on untouched. `Prefer: respond-async` makes it a job: 202 with its address."
    ),
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model", "messages"],
                    "properties": {
                        "model": {
                            "type": "string",
                            "description": (
                                "A model, an alias, `auto`, or tags such as `tags:location=on-prem,size=small`."
                            ),
                        },
                        "messages": {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "type": "object",
                                "required": ["role"],
                                "properties": {"role": {"type": "string"}, "content": {}},
                            },
                        },
                        "stream": {"type": "boolean"},
                        "stream_options": {
                            "type": "object",
                            "properties": {"include_usage": {"type": "boolean"}},
                        },
                        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                        "gateway": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                "deadline_s": {"type": "number", "exclusiveMinimum": 0},
                                "durability": {"type": "string", "enum": ["overlapped", "start-first"]},
                                "tags": {"type": "object", "additionalProperties": {"type": "string"}},
                                "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                                "select": {
                                    "type": "string",
                                    "description": "Tags that a model must have, beside what `model` says.",
                                },
                                "prefer": {"type": "string", "enum": ["cost", "latency", "quality"]},
                                "exclude": {"type": "array", "items": {"type": "string"}, "maxItems": 64},
                                "max_cost_usd": {
                                    "description": "A bound in USD on all attempts together.",
                                    "anyOf": [{"type": "number"}, {"type": "string"}],
                                },
                            },
                        },
                    },
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "The completion, or a stream of its chunks.",
            "content": {"application/json": {}, "text/event-stream": {}},
        },
        "202": {"description": "Accepted as a job (`Prefer: respond-async`)."},
        "default": {"description": "An error in OpenAI's shape.", "content": {"application/json": {}}},
    },
}


class ChatCompletions:
    """The endpoint, as a plain ASGI application: its body is passed on as the bytes it came in."""

    def __init__(
        self, identity: Identify, inference: InferenceService, jobs: JobsService, settings: Api
    ) -> None:
        """`identity` says who asks, the services do the rest."""
        self._identity = identity
        self._inference = inference
        self._jobs = jobs
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        door: dict[str, Any] = scope["gateway"]
        headers: dict[str, str] = door["headers"]
        caller = await authenticate(self._identity, headers)
        raw = await http.read_body(receive, headers, self._settings.body_limit, self._settings.body_timeout)
        ask = read_chat(raw, hints_of(headers, door["span"], door["request_id"]), door="rest")
        if "respond-async" in http.preferences_of(headers):
            await send_accepted(send, await self._jobs.create(caller, ask), preferred=True)
            return
        with telemetry.IN_FLIGHT.labels(ask.kind.value).track_inprogress():
            if ask.stream:
                await self._stream(caller, ask, receive, send)
            else:
                await self._whole(caller, ask, receive, send)

    async def _whole(self, caller: Caller, ask: Ask, receive: Receive, send: Send) -> None:
        async with http.cancelled_when_gone(receive, http.no_tick, 60.0):
            reply, served = await self._inference.answer(caller, ask)
        await http.send_whole(send, 200, [http.JSON, *http.served_headers(served)], reply.body)

    async def _stream(self, caller: Caller, ask: Ask, receive: Receive, send: Send) -> None:
        sending = _Sending(send, finish=self._inference.finishes)
        every = self._settings.keepalive.total_seconds()
        async with http.cancelled_when_gone(receive, sending.keep_alive, every, sending.spared):
            opened = await self._inference.stream(caller, ask)
            left = (opened.deadline - datetime.now(UTC)).total_seconds()
            try:
                async with asyncio.timeout(max(left, 0) + _LATE):
                    await sending.begin([*_SSE, *http.served_headers(opened.served)])
                    await _pass_on(opened, sending)
            except TimeoutError as e:
                raise http.CallerLeft from e
            finally:
                await opened.close()


async def _pass_on(opened: OpenStream, sending: _Sending) -> None:
    try:
        async with aclosing(opened.events()) as events:
            async for event in events:
                await sending.event(event.data)
    except RequestFailed as e:
        await sending.event(openai_body(e.error))
        await sending.end(b"")
    else:
        await sending.end(_tail(opened.served) + b"data: [DONE]\n\n")


def _tail(served: Served) -> bytes:
    """What is known only now, as a comment that every client skips."""
    told = {
        "request_id": served.request_id,
        "model": served.model,
        "attempts": served.attempts,
        "cost_usd": None if served.cost_usd is None else f"{served.cost_usd:f}",
        "durability": served.durability,
    }
    return b": gateway " + msgspec.json.encode(told) + b"\n\n"


class _Sending:
    """The answer's way to the client, one event at a time, with comments when nothing comes for long."""

    def __init__(self, send: Send, *, finish: bool) -> None:
        self._send = send
        self._finish = finish
        self._begun = False
        self._gone = False

    def spared(self) -> bool:
        """Whether a stream is read on without its caller: what it says is for the log alone."""
        self._gone = self._finish and self._begun
        return self._gone

    async def begin(self, headers: list[http.Header]) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        self._begun = True

    async def event(self, data: bytes) -> None:
        await self._body(b"data: " + data + b"\n\n", more=True)

    async def end(self, data: bytes) -> None:
        self._begun = False
        await self._body(data, more=False)

    async def keep_alive(self) -> None:
        if self._begun:
            await self._body(b": keep-alive\n\n", more=True)

    async def _body(self, data: bytes, *, more: bool) -> None:
        if not self._gone:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
