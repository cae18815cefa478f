"""Every provider of OpenAI's dialect serves the kinds beside chat, against the scripted upstream."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.domain.operations import Operation
from gateway.providers.catalogue import open_provider
from gateway.providers.ports import Attachment, Call, Provider
from gateway.providers.scripted.media import png, wav
from gateway.settings import Providers
from tests.contracts.upstreams import Served, call, failing, saying, served, sized

NAMES = ("compatible", "openai", "scripted")


@dataclass
class Bench:
    """A provider, and where its calls go."""

    provider: Provider
    base_url: str

    def asked(self, operation: Operation, script: Any = None, base_url: str = "", **fields: Any) -> Call:
        body = msgspec.json.encode(fields)
        made = call(body=body, base_url=base_url or self.base_url, script=script)
        return replace(made, kind=operation.kind, operation=operation)


@pytest.fixture(scope="module")
def upstream() -> Generator[Served]:
    with served() as running:
        yield running


@pytest.fixture(params=NAMES)
async def bench(request: pytest.FixtureRequest, upstream: Served) -> AsyncGenerator[Bench]:
    provider = open_provider(request.param, Providers())
    yield Bench(provider, upstream.base_url)
    await provider.close()


ASKED: dict[Operation, dict[str, Any]] = {
    Operation.COMPLETIONS: {"prompt": "Once upon a time"},
    Operation.EMBEDDINGS: {"input": ["one", "two"]},
    Operation.RERANK: {"query": "a b", "documents": ["b", "c"]},
    Operation.MODERATIONS: {"input": "be well"},
}
USED = {
    Operation.COMPLETIONS: Usage(input=4, output=8),
    Operation.EMBEDDINGS: Usage(input=2),
    Operation.RERANK: Usage(input=4, search_units=1),
    Operation.MODERATIONS: None,
}


@pytest.mark.parametrize("operation", ASKED)
async def test_a_whole_answer_is_handed_on_with_what_was_used(bench: Bench, operation: Operation):
    assert bench.provider.speaks(operation, call().model)
    reply = await bench.provider.complete(bench.asked(operation, **ASKED[operation]))
    assert reply.usage == USED[operation]
    assert re.fullmatch(r"req_\d{12}", reply.provider_request_id or "")
    assert msgspec.json.decode(reply.body)["model"] == "scripted-ok"


async def test_a_streamed_completion_is_handed_on_event_by_event(bench: Bench):
    asked = bench.asked(Operation.COMPLETIONS, prompt="Once upon a time", n=2)
    events = [event async for event in bench.provider.stream(asked)]
    assert "".join(event.text for event in events) == "A café, a € sign, 漢字 and a " * 2
    assert [event.usage for event in events if event.usage] == [Usage(input=4, output=16)]
    assert events[-1].usage_only


async def test_a_whole_answer_that_counts_nothing_gives_its_text_to_be_counted(bench: Bench):
    asked = bench.asked(Operation.COMPLETIONS, {"usage": "none"}, prompt="Once upon a time")
    reply = await bench.provider.complete(asked)
    assert (reply.usage, reply.text) == (None, "A café, a € sign, 漢字 and a ")
    chat = bench.asked(Operation.CHAT, {"usage": "none"}, messages=[])
    assert (await bench.provider.complete(chat)).text == "A café, a € sign, 漢字 and a "


@pytest.mark.parametrize("operation", ASKED)
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ("status:429", errors.UpstreamRateLimited),
        ("status:500", errors.UpstreamUnavailable),
        ("context-too-long", errors.ContextTooLong),
        ("content-filter", errors.ContentFiltered),
        ("broken-json", errors.UpstreamMalformed),
        ("empty", errors.UpstreamMalformed),
        ("cut-json", errors.UpstreamBroken),
        ("error-reply", errors.UpstreamUnavailable),
    ],
)
async def test_failures_are_told_apart_as_those_of_a_chat(
    bench: Bench, operation: Operation, failure: str, error: type[errors.GatewayError]
):
    asked = bench.asked(operation, {"failure": failure}, **ASKED[operation])
    raised, _ = await failing(bench.provider, asked, "json")
    assert type(raised) is error


@pytest.mark.parametrize("name", ["compatible", "openai"])
@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"usage": {"total_tokens": 7}}, Usage(input=7)),
        ({"usage": {"prompt_tokens": 7, "total_tokens": 7}}, Usage(input=7)),
        ({"meta": {"billed_units": {"input_tokens": 7.0, "output_tokens": 0}}}, Usage(input=7)),
        ({"meta": {"billed_units": {"search_units": 1}}}, Usage(search_units=1)),
        (
            {"meta": {"billed_units": {"search_units": 2.0}, "tokens": {"input_tokens": 9}}},
            Usage(input=9, search_units=2),
        ),
        (
            {"usage": {"total_tokens": 7}, "meta": {"billed_units": {"search_units": 1}}},
            Usage(7, search_units=1),
        ),
        ({"meta": {"billed_units": {"search_units": -1}}}, None),
        ({"meta": {"billed_units": {"search_units": 1e300}}}, None),
        ({"meta": "odd"}, None),
        ({}, None),
    ],
)
async def test_what_a_reranker_used_is_found_wherever_it_says_it(name: str, said: Any, usage: Usage | None):
    provider = open_provider(name, Providers())
    answer = msgspec.json.encode({"results": [], **said})
    async with saying(sized(answer)) as server:
        bench = Bench(provider, server.base_url)
        reply = await provider.complete(bench.asked(Operation.RERANK, **ASKED[Operation.RERANK]))
        assert reply.usage == usage
        assert server.requests[0].startswith(b"POST /v1/rerank ")
    await provider.close()


# ---- pictures and sounds -----------------------------------------------------------------------------------------
SOUND = wav(b"\0\xff\r\n" * 4000)
RECORDING = Attachment("file", 'talk "1".wav', "audio/wav", SOUND)


async def test_a_recording_goes_out_as_a_form_and_its_text_comes_back(bench: Bench):
    fields: dict[str, Any] = {
        "language": "en",
        "temperature": 0.5,
        "include[]": ["logprobs"],
        "file": {"filename": "x"},
    }
    asked = replace(bench.asked(Operation.TRANSCRIPTIONS, **fields), files=(RECORDING,))
    reply = await bench.provider.complete(asked)
    said = msgspec.json.decode(reply.body)
    assert said["text"] == f"heard {len(SOUND)} bytes of talk %221%22.wav"
    assert reply.usage == Usage(seconds=2.0)


@pytest.mark.parametrize(
    ("wanted", "kind"), [("text", "text/plain"), ("srt", "text/plain"), ("vtt", "text/vtt")]
)
async def test_what_is_no_json_says_what_it_is(bench: Bench, wanted: str, kind: str):
    asked = replace(bench.asked(Operation.TRANSLATIONS, response_format=wanted), files=(RECORDING,))
    reply = await bench.provider.complete(asked)
    assert reply.media_type == kind
    assert reply.text == reply.body.decode()


async def test_a_transcription_streams_to_its_end(bench: Bench):
    asked = replace(bench.asked(Operation.TRANSCRIPTIONS, stream=True), files=(RECORDING,))
    events = [event async for event in bench.provider.stream(asked)]
    assert "".join(event.text for event in events).startswith("heard")
    assert (events[-1].finish_reason, events[-1].usage) == ("stop", Usage(seconds=2.0))


async def test_images_are_counted_and_stream_with_their_names(bench: Bench):
    asked = bench.asked(Operation.IMAGE_GENERATIONS, prompt="a red apple", n=3)
    assert (await bench.provider.complete(asked)).usage == Usage(input=3, output=60, images=3)
    streamed = bench.asked(Operation.IMAGE_GENERATIONS, prompt="x", stream=True, partial_images=1)
    events = [event async for event in bench.provider.stream(streamed)]
    assert [event.name for event in events] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert [event.usage for event in events] == [None, Usage(input=1, output=20, images=1)]


async def test_edits_go_out_as_a_form_with_files_and_as_json_without(bench: Bench):
    picture = Attachment("image", "a.png", "image/png", png("given"))
    asked = bench.asked(Operation.IMAGE_EDITS, prompt="greener", image={"filename": "a.png"})
    reply = await bench.provider.complete(replace(asked, files=(picture,)))
    assert reply.usage == Usage(input=11, output=20, image_input=10, images=1)
    by_address = bench.asked(Operation.IMAGE_EDITS, prompt="x", images=[{"image_url": "https://e.org/a.png"}])
    assert (await bench.provider.complete(by_address)).usage is not None


async def test_sound_is_handed_on_as_bytes_whole_or_in_pieces(bench: Bench):
    asked = bench.asked(Operation.SPEECH, {"chunk_interval_ms": 20}, input="one two three", voice="a")
    reply = await bench.provider.complete(asked)
    assert (reply.media_type, reply.body[:4]) == ("audio/wav", b"RIFF")
    events = [event async for event in bench.provider.stream(asked)]
    assert {event.media_type for event in events} == {"audio/wav"}
    assert b"".join(event.data for event in events) == reply.body


async def test_speech_as_events_ends_with_its_usage(bench: Bench):
    asked = bench.asked(Operation.SPEECH, input="one two", voice="a", stream_format="sse")
    events = [event async for event in bench.provider.stream(asked)]
    assert events[0].media_type == "text/event-stream"
    assert events[-1].usage == Usage(input=2, output=2)


@pytest.mark.parametrize("operation", [Operation.SPEECH, Operation.TRANSCRIPTIONS, Operation.IMAGE_EDITS])
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ("status:429", errors.UpstreamRateLimited),
        ("content-filter", errors.ContentFiltered),
        ("html", errors.UpstreamMalformed),
        ("error-reply", errors.UpstreamUnavailable),
        ("reset", errors.UpstreamUnavailable),
    ],
)
async def test_media_fail_as_all_else_does(
    bench: Bench, operation: Operation, failure: str, error: type[errors.GatewayError]
):
    files = () if operation is Operation.SPEECH else (RECORDING,)
    asked = replace(bench.asked(operation, {"failure": failure}, input="x", prompt="x"), files=files)
    raised, _ = await failing(bench.provider, asked, "json")
    assert type(raised) is error
