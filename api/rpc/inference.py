"""InferenceService: answers for callers who wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

from api.rpc.answered import chat_chunk, chat_response, served_message
from api.rpc.asked import chat_body
from api.rpc.door import Call
from api.service.forms import read_chat
from api.service.inference import InferenceService
from api.service.opened import OpenStream
from api.service.served import RequestFailed
from gateway import telemetry
from gateway.providers.ports import Event
from gateway.v1 import inference_pb2 as pb

_LATE = timedelta(seconds=5)  # after its deadline, a caller who does not read its stream is cut off


class InferenceServicer:
    """Chat, whole or as it comes."""

    def __init__(self, inference: InferenceService) -> None:
        """`inference` does the work."""
        self._inference = inference
        self._unread: set[asyncio.Task[None]] = set()

    async def chat(self, call: Call, request: pb.ChatRequest) -> pb.ChatResponse:
        """The whole answer."""
        ask = read_chat(chat_body(request), call.hints, door="grpc")
        with telemetry.IN_FLIGHT.labels(ask.kind.value).track_inprogress():
            reply, served = await self._inference.answer(call.caller, ask)
        await call.begin(served)
        return chat_response(reply.body, served)

    async def chat_stream(
        self, call: Call, request: pb.ChatStreamRequest
    ) -> AsyncGenerator[pb.ChatStreamResponse, None]:
        """The chunks, and at last what the gateway has to say."""
        ask = read_chat(chat_body(request.chat, stream=True), call.hints, door="grpc")
        with telemetry.IN_FLIGHT.labels(ask.kind.value).track_inprogress():
            opened = await self._inference.stream(call.caller, ask)
            call.end_by(opened.deadline + _LATE)
            async with aclosing(self._events(opened)) as events:
                async for event in events:
                    # Only now, since a stream that was never asked for an event could not be closed.
                    await call.begin(opened.served)
                    yield pb.ChatStreamResponse(chunk=chat_chunk(event.data))
            await call.begin(opened.served)
            yield pb.ChatStreamResponse(served=served_message(opened.served))

    def _events(self, opened: OpenStream) -> AsyncGenerator[Event, None]:
        return self._to_their_end(opened) if self._inference.finishes else opened.events()

    async def _to_their_end(self, opened: OpenStream) -> AsyncGenerator[Event, None]:
        """The events; when the caller leaves, the rest is read without it."""
        events = opened.events()
        while True:
            coming = asyncio.create_task(_next(events))
            try:
                event = await asyncio.shield(coming)
                if event is None:
                    return
                yield event
            except (asyncio.CancelledError, GeneratorExit):
                rest = asyncio.create_task(_drain(coming, events))
                self._unread.add(rest)
                rest.add_done_callback(self._unread.discard)
                raise


async def _next(events: AsyncGenerator[Event, None]) -> Event | None:
    return await anext(events, None)


async def _drain(coming: asyncio.Task[Event | None], events: AsyncGenerator[Event, None]) -> None:
    try:
        await coming
        async for _ in events:
            pass
    except RequestFailed:
        return  # it is in the ledger, and nobody waits
