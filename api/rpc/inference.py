"""InferenceService: answers for callers who wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.message import Message

from api.rpc.answered import chat_chunk, chat_response
from api.rpc.asked import chat_body
from api.rpc.door import Call
from api.rpc.kinds.audio import recording, speech_body, transcript_event, transcription_message
from api.rpc.kinds.completions import complete_body, complete_response
from api.rpc.kinds.embeddings import embed_body, embed_response
from api.rpc.kinds.images import (
    edit_body,
    edit_stream_body,
    generate_body,
    generate_stream_body,
    image_event,
    images_message,
    vary_body,
)
from api.rpc.kinds.moderations import moderate_body, moderate_response
from api.rpc.kinds.rerank import rerank_body, rerank_response
from api.rpc.reading import served_message
from api.service.ask import Incoming
from api.service.forms import read
from api.service.inference import InferenceService
from api.service.opened import OpenStream
from api.service.served import RequestFailed, Served
from gateway import telemetry
from gateway.domain.operations import Operation
from gateway.providers.ports import Event, Reply
from gateway.v1 import audio_pb2 as audio
from gateway.v1 import completions_pb2 as completions
from gateway.v1 import embeddings_pb2 as embeddings
from gateway.v1 import images_pb2 as images
from gateway.v1 import inference_pb2 as pb
from gateway.v1 import moderations_pb2 as moderations
from gateway.v1 import rerank_pb2 as rerank

_LATE = timedelta(seconds=5)  # after its deadline, a caller who does not read its stream is cut off


class InferenceServicer:
    """Every kind of inference, whole or as it comes."""

    def __init__(self, inference: InferenceService, upload_limit: int) -> None:
        """`inference` does the work; recordings have at most `upload_limit` bytes."""
        self._inference = inference
        self._upload_limit = upload_limit
        self._unread: set[asyncio.Task[None]] = set()

    async def chat(self, call: Call, request: pb.ChatRequest) -> pb.ChatResponse:
        """The whole answer."""
        return chat_response(*await self._whole(call, Operation.CHAT, chat_body(request)))

    async def chat_stream(
        self, call: Call, request: pb.ChatStreamRequest
    ) -> AsyncGenerator[pb.ChatStreamResponse, None]:
        """The chunks, and at last what the gateway has to say."""
        async with self._streamed(call, Operation.CHAT, chat_body(request.chat, stream=True)) as stream:
            async for event in stream.events:
                yield pb.ChatStreamResponse(chunk=chat_chunk(event.data))
            yield pb.ChatStreamResponse(served=served_message(stream.served))

    async def complete(
        self, call: Call, request: completions.CompleteRequest
    ) -> completions.CompleteResponse:
        """The whole answer."""
        body = complete_body(request)
        return complete_response(*await self._whole(call, Operation.COMPLETIONS, body))

    async def complete_stream(
        self, call: Call, request: completions.CompleteStreamRequest
    ) -> AsyncGenerator[completions.CompleteStreamResponse, None]:
        """The chunks, and at last what the gateway has to say."""
        body = complete_body(request.complete, stream=True)
        async with self._streamed(call, Operation.COMPLETIONS, body) as stream:
            async for event in stream.events:
                yield completions.CompleteStreamResponse(chunk=complete_response(event.data))
            yield completions.CompleteStreamResponse(served=served_message(stream.served))

    async def embed(self, call: Call, request: embeddings.EmbedRequest) -> embeddings.EmbedResponse:
        """Texts as vectors."""
        return embed_response(*await self._whole(call, Operation.EMBEDDINGS, embed_body(request)))

    async def rerank(self, call: Call, request: rerank.RerankRequest) -> rerank.RerankResponse:
        """Documents in the order in which they answer a query."""
        return rerank_response(*await self._whole(call, Operation.RERANK, rerank_body(request)))

    async def moderate(
        self, call: Call, request: moderations.ModerateRequest
    ) -> moderations.ModerateResponse:
        """Whether texts and images are harmful."""
        return moderate_response(*await self._whole(call, Operation.MODERATIONS, moderate_body(request)))

    async def generate_images(
        self, call: Call, request: images.GenerateImagesRequest
    ) -> images.GenerateImagesResponse:
        """Images from a text."""
        body, served = await self._whole(call, Operation.IMAGE_GENERATIONS, generate_body(request))
        return images.GenerateImagesResponse(images=images_message(body), served=served_message(served))

    async def generate_images_stream(
        self, call: Call, request: images.GenerateImagesStreamRequest
    ) -> AsyncGenerator[images.GenerateImagesStreamResponse, None]:
        """The same as they come to be."""
        body = generate_stream_body(request)
        async with self._streamed(call, Operation.IMAGE_GENERATIONS, body) as stream:
            async for event in stream.events:
                yield images.GenerateImagesStreamResponse(image=image_event(event.data))
            yield images.GenerateImagesStreamResponse(served=served_message(stream.served))

    async def edit_images(self, call: Call, request: images.EditImagesRequest) -> images.EditImagesResponse:
        """Images from images and a text."""
        body, served = await self._whole(call, Operation.IMAGE_EDITS, edit_body(request))
        return images.EditImagesResponse(images=images_message(body), served=served_message(served))

    async def edit_images_stream(
        self, call: Call, request: images.EditImagesStreamRequest
    ) -> AsyncGenerator[images.EditImagesStreamResponse, None]:
        """The same as they come to be."""
        async with self._streamed(call, Operation.IMAGE_EDITS, edit_stream_body(request)) as stream:
            async for event in stream.events:
                yield images.EditImagesStreamResponse(image=image_event(event.data))
            yield images.EditImagesStreamResponse(served=served_message(stream.served))

    async def vary_images(self, call: Call, request: images.VaryImagesRequest) -> images.VaryImagesResponse:
        """Images like one."""
        body, served = await self._whole(call, Operation.IMAGE_VARIATIONS, vary_body(request))
        return images.VaryImagesResponse(images=images_message(body), served=served_message(served))

    async def speech(
        self, call: Call, request: audio.SpeechRequest
    ) -> AsyncGenerator[audio.SpeechResponse, None]:
        """What the sound is, the sound, and at last what the gateway has to say."""
        async with self._streamed(call, Operation.SPEECH, speech_body(request)) as stream:
            told = False
            async for event in stream.events:
                if not told:
                    yield audio.SpeechResponse(media_type=stream.media_type)
                told = True
                yield audio.SpeechResponse(audio=event.data)
            yield audio.SpeechResponse(served=served_message(stream.served))

    async def transcribe(
        self, call: Call, requests: AsyncIterator[audio.TranscribeRequest]
    ) -> audio.TranscribeResponse:
        """A recording as text."""
        heard, served = await self._heard(call, Operation.TRANSCRIPTIONS, requests)
        return audio.TranscribeResponse(transcription=heard, served=served_message(served))

    async def transcribe_stream(
        self, call: Call, requests: AsyncIterator[audio.TranscribeStreamRequest]
    ) -> AsyncGenerator[audio.TranscribeStreamResponse, None]:
        """The same as the text comes."""
        asked = await recording(requests, self._upload_limit, stream=True)
        async with self._streamed(call, Operation.TRANSCRIPTIONS, asked) as stream:
            async for event in stream.events:
                yield audio.TranscribeStreamResponse(transcript=transcript_event(event.data))
            yield audio.TranscribeStreamResponse(served=served_message(stream.served))

    async def translate(
        self, call: Call, requests: AsyncIterator[audio.TranslateRequest]
    ) -> audio.TranslateResponse:
        """A recording as text in English."""
        heard, served = await self._heard(call, Operation.TRANSLATIONS, requests)
        return audio.TranslateResponse(transcription=heard, served=served_message(served))

    async def _heard(
        self, call: Call, operation: Operation, requests: AsyncIterator[Message]
    ) -> tuple[audio.Transcription, Served]:
        asked = await recording(requests, self._upload_limit)
        reply, served = await self._answered(call, operation, asked)
        return transcription_message(reply.body, reply.media_type), served

    async def _whole(self, call: Call, operation: Operation, asked: bytes | Incoming) -> tuple[bytes, Served]:
        reply, served = await self._answered(call, operation, asked)
        return reply.body, served

    async def _answered(
        self, call: Call, operation: Operation, asked: bytes | Incoming
    ) -> tuple[Reply, Served]:
        ask = read(operation, asked, call.hints, door="grpc")
        with telemetry.IN_FLIGHT.labels(ask.kind.value).track_inprogress():
            reply, served = await self._inference.answer(call.caller, ask)
        await call.begin(served)
        return reply, served

    @asynccontextmanager
    async def _streamed(
        self, call: Call, operation: Operation, asked: bytes | Incoming
    ) -> AsyncGenerator[_Streamed, None]:
        """A stream that has begun: its initial metadata goes out with its first event."""
        ask = read(operation, asked, call.hints, door="grpc")
        with telemetry.IN_FLIGHT.labels(ask.kind.value).track_inprogress():
            opened = await self._inference.stream(call.caller, ask)
            call.end_by(opened.deadline + _LATE)
            async with aclosing(self._events(opened)) as events:
                yield _Streamed(_announced(call, opened, events), opened.served, opened.media_type)
                await call.begin(opened.served)

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


@dataclass(frozen=True, slots=True)
class _Streamed:
    """A stream that has begun. `served` is complete when its events have ended."""

    events: AsyncIterator[Event]
    served: Served
    media_type: str


async def _announced(
    call: Call, opened: OpenStream, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Event, None]:
    async for event in events:
        # Only now, since a stream that was never asked for an event could not be closed.
        await call.begin(opened.served)
        yield event
    await call.begin(opened.served)


async def _next(events: AsyncGenerator[Event, None]) -> Event | None:
    return await anext(events, None)


async def _drain(coming: asyncio.Task[Event | None], events: AsyncGenerator[Event, None]) -> None:
    try:
        await coming
        async for _ in events:
            pass
    except RequestFailed:
        return  # it is in the ledger, and nobody waits
