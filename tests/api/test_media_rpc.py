"""Images and sounds over gRPC: the twins of the forms, with files as bytes, recordings in pieces; jobs of each kind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from gateway.providers.scripted.media import png, wav
from gateway.v1 import (
    audio_pb2,
    completions_pb2,
    embeddings_pb2,
    images_pb2,
    jobs_pb2,
    moderations_pb2,
    rerank_pb2,
)
from tests.api import rpc
from tests.api.mistakes import Doors, both
from tests.api.rest import a_quick_world, bearer

SOUND = wav(bytes(range(256)) * 100)
PICTURE = images_pb2.Upload(filename="a.png", media_type="image/png", data=png("given"))


@pytest.fixture
async def doors() -> AsyncGenerator[Doors]:
    async with both(a_quick_world()) as doors:
        yield doors


def options(**fields: Any) -> audio_pb2.TranscriptionOptions:
    given: dict[str, Any] = {"model": "listener", "filename": "talk.wav", "media_type": "audio/wav", **fields}
    return audio_pb2.TranscriptionOptions(**given)


async def pieces(kind: Any, **fields: Any) -> AsyncIterator[Any]:
    yield kind(options=options(**fields))
    for i in range(0, len(SOUND), 1000):
        yield kind(audio=SOUND[i : i + 1000])


# ---- recordings --------------------------------------------------------------------------------------------------
async def test_a_recording_in_pieces_is_the_recording_of_a_form(doors: Doors):
    answer = await doors.chat.Transcribe(
        pieces(audio_pb2.TranscribeRequest, response_format="verbose_json", timestamp_granularities=["word"]),
        metadata=rpc.bearer(),
    )
    heard = answer.transcription
    by_form = await doors.rest.client.post(
        "/v1/audio/transcriptions",
        data={"model": "listener", "response_format": "verbose_json"},
        files={"file": ("talk.wav", SOUND, "audio/wav")},
        headers=bearer(),
    )
    said = by_form.json()
    assert heard.text == said["text"] == f"heard {len(SOUND)} bytes of talk.wav"
    assert (heard.duration, heard.language) == (said["duration"], said["language"])
    assert [segment.text for segment in heard.segments] == [each["text"] for each in said["segments"]]
    assert [word.word for word in heard.words] == [each["word"] for each in said["words"]]
    assert heard.usage.seconds == said["usage"]["seconds"]
    assert answer.served.model == "listener"
    await doors.settled()
    record: Any = await doors.world.store.requests.get(answer.served.request_id, with_text=True)
    assert record.settlement.usage.seconds == 3
    assert len(record.prompt) < 500, "described, not kept"


async def test_subtitles_are_text(doors: Doors):
    answer = await doors.chat.Transcribe(
        pieces(audio_pb2.TranscribeRequest, response_format="srt"), metadata=rpc.bearer()
    )
    assert answer.transcription.text.startswith("1\n00:00:00,000")


async def test_a_translation_takes_the_same(doors: Doors):
    answer = await doors.chat.Translate(pieces(audio_pb2.TranslateRequest), metadata=rpc.bearer())
    assert answer.transcription.text.startswith("heard")
    await doors.settled()
    record = await doors.world.store.requests.get(answer.served.request_id)
    assert record.request.endpoint == "/v1/audio/translations"


async def test_the_text_streams_while_the_recording_has_come(doors: Doors):
    call = doors.chat.TranscribeStream(pieces(audio_pb2.TranscribeStreamRequest), metadata=rpc.bearer())
    events = [event async for event in call]
    deltas = "".join(event.transcript.delta for event in events)
    assert deltas.strip() == events[-2].transcript.text == f"heard {len(SOUND)} bytes of talk.wav"
    assert events[-1].served.model == "listener"


async def test_pieces_before_their_options_are_refused(doors: Doors):
    async def wrong() -> AsyncIterator[audio_pb2.TranscribeRequest]:
        yield audio_pb2.TranscribeRequest(audio=b"x")

    async def nothing() -> AsyncIterator[audio_pb2.TranscribeRequest]:
        return
        yield

    for given in (wrong(), nothing()):
        call = doors.chat.Transcribe(given, metadata=rpc.bearer())
        code, details = await rpc.failure_of(call)
        assert (code.name, details[rpc.ErrorInfo].metadata["param"]) == ("INVALID_ARGUMENT", "options")


async def test_a_recording_that_is_too_large_is_refused():
    async with both(a_quick_world(api={"upload_limit": 10_000})) as doors:
        call = doors.chat.Transcribe(pieces(audio_pb2.TranscribeRequest), metadata=rpc.bearer())
        assert await rpc.code_of(call) == ("RESOURCE_EXHAUSTED", "body_too_large")


# ---- speech ------------------------------------------------------------------------------------------------------
async def test_a_sound_comes_in_pieces_after_what_it_is(doors: Doors):
    asked = audio_pb2.SpeechRequest(model="speaker", input="one two three", voice="alloy")
    events = [event async for event in doors.chat.Speech(asked, metadata=rpc.bearer())]
    assert events[0].media_type == "audio/wav"
    assert events[-1].served.model == "speaker"
    by_rest = await doors.rest.client.post(
        "/v1/audio/speech",
        json={"model": "speaker", "input": "one two three", "voice": "alloy"},
        headers=bearer(),
    )
    assert b"".join(event.audio for event in events) == by_rest.content


# ---- images ------------------------------------------------------------------------------------------------------
async def test_images_come_as_bytes(doors: Doors):
    asked = images_pb2.GenerateImagesRequest(model="painter", prompt="a red apple", n=2)
    answer = await doors.chat.GenerateImages(asked, metadata=rpc.bearer())
    assert all(image.data.startswith(b"\x89PNG") for image in answer.images.data)
    assert answer.images.usage.output_tokens == 40
    by_address = await doors.chat.GenerateImages(
        images_pb2.GenerateImagesRequest(model="painter", prompt="x", response_format="url"),
        metadata=rpc.bearer(),
    )
    assert by_address.images.data[0].url.startswith("http")


async def test_images_stream_as_they_come_to_be(doors: Doors):
    asked = images_pb2.GenerateImagesStreamRequest(
        generate=images_pb2.GenerateImagesRequest(model="painter", prompt="a red apple"), partial_images=2
    )
    events = [event async for event in doors.chat.GenerateImagesStream(asked, metadata=rpc.bearer())]
    assert [event.image.partial_image_index for event in events[:2]] == [0, 1]
    assert events[2].image.data.startswith(b"\x89PNG")
    assert events[2].image.usage.output_tokens == 20
    assert b"stream_options" not in doors.world.upstream.last[1]
    assert events[-1].served.model == "painter"


async def test_images_are_edited_and_varied_from_bytes(doors: Doors):
    edit = images_pb2.EditImagesRequest(
        model="painter", prompt="greener", image=[PICTURE, PICTURE], mask=PICTURE
    )
    answer = await doors.chat.EditImages(edit, metadata=rpc.bearer())
    assert answer.images.usage.input_tokens_details.image_tokens == 30
    assert doors.world.upstream.last[1].count(b'name="image[]"; filename="a.png"') == 2
    streamed = images_pb2.EditImagesStreamRequest(edit=edit)
    events = [event async for event in doors.chat.EditImagesStream(streamed, metadata=rpc.bearer())]
    assert events[0].image.type == "image_edit.completed"
    vary = images_pb2.VaryImagesRequest(model="painter", image=PICTURE)
    varied = await doors.chat.VaryImages(vary, metadata=rpc.bearer())
    assert varied.images.data[0].data
    call = doors.chat.VaryImages(images_pb2.VaryImagesRequest(model="painter"), metadata=rpc.bearer())
    assert (await rpc.code_of(call))[1] == "invalid_request"


# ---- jobs --------------------------------------------------------------------------------------------------------
JOBS: dict[str, tuple[Any, str]] = {
    "complete": (completions_pb2.CompleteRequest(model="good", prompt=["Once"]), "complete"),
    "embed": (embeddings_pb2.EmbedRequest(model="vectors", input=["one"]), "embed"),
    "rerank": (rerank_pb2.RerankRequest(model="ranker", query="a", documents=["a"]), "rerank"),
    "moderate": (moderations_pb2.ModerateRequest(model="judge", input=["be well"]), "moderate"),
    "generate_images": (images_pb2.GenerateImagesRequest(model="painter", prompt="x"), "images"),
    "edit_images": (
        images_pb2.EditImagesRequest(model="painter", prompt="x", image=[PICTURE]),
        "images",
    ),
    "vary_images": (images_pb2.VaryImagesRequest(model="painter", image=PICTURE), "images"),
    "speech": (audio_pb2.SpeechRequest(model="speaker", input="one two", voice="alloy"), "speech"),
    "transcribe": (audio_pb2.Recording(options=options(), audio=SOUND), "transcription"),
    "translate": (audio_pb2.Recording(options=options(response_format="text"), audio=SOUND), "transcription"),
}


@pytest.mark.parametrize("kind", sorted(JOBS))
async def test_a_job_of_every_kind_has_a_result_of_its_kind(doors: Doors, kind: str):
    asked, field = JOBS[kind]
    made = await doors.jobs.Create(jobs_pb2.JobsServiceCreateRequest(**{kind: asked}), metadata=rpc.bearer())
    shown = await doors.rest.ended(made.job.id)
    assert shown["status"] == "completed"
    wanted = jobs_pb2.JobsServiceGetResultRequest(id=made.job.id)
    result = await doors.jobs.GetResult(wanted, metadata=rpc.bearer())
    job = (await doors.jobs.Get(jobs_pb2.JobsServiceGetRequest(id=made.job.id), metadata=rpc.bearer())).job
    assert result.WhichOneof("result") == job.WhichOneof("result") == field
    assert getattr(result, field) == getattr(job, field)
    if field == "speech":
        assert (result.speech.media_type, result.speech.data[:4]) == ("audio/wav", b"RIFF")
    if field == "transcription":
        assert result.transcription.text.strip() == f"heard {len(SOUND)} bytes of talk.wav"
