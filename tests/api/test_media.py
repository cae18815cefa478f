"""Images and sounds over REST: forms, files inside of JSON, binary answers, streams, jobs, and what is kept of it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from hashlib import sha256
from typing import Any

import httpx2
import pytest

from gateway.providers.scripted.media import png, wav
from tests.api.rest import Rest, a_quick_world, bearer, error_of, serving, told
from tests.api.world import KEY

SOUND = wav(bytes(range(256)) * 100)
PICTURE = png("given")
SPEECH: dict[str, Any] = {"model": "speaker", "input": "one two three", "voice": "alloy"}
GENERATION: dict[str, Any] = {"model": "painter", "prompt": "a red apple"}


@pytest.fixture
async def rest() -> AsyncGenerator[Rest]:
    async with serving(a_quick_world()) as rest:
        yield rest


async def form(rest: Rest, path: str, files: Any, headers: Any = None, **fields: Any) -> httpx2.Response:
    return await rest.client.post(path, data=fields, files=files, headers={**bearer(), **(headers or {})})


def recording(name: str = "talk.wav", data: bytes = SOUND) -> dict[str, Any]:
    return {"file": (name, data, "audio/wav")}


def inline(data: bytes = SOUND, name: str = "talk.wav", media_type: str = "audio/wav") -> dict[str, str]:
    return {"filename": name, "media_type": media_type, "data": base64.b64encode(data).decode()}


# ---- recordings --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
async def test_a_recording_is_written_down_and_only_described_in_the_books(rest: Rest, path: str):
    response = await form(rest, path, recording(), model="listener", language="en")
    assert response.status_code == 200, response.text
    assert response.json()["text"] == f"heard {len(SOUND)} bytes of talk.wav"
    record = await rest.settled(response)
    kept = json.loads(record.prompt)
    assert kept["file"] == {
        "filename": "talk.wav",
        "media_type": "audio/wav",
        "bytes": len(SOUND),
        "sha256": sha256(SOUND).hexdigest(),
    }
    assert kept["language"] == "en"
    assert record.settlement.usage.seconds == 3
    assert record.request.endpoint == path
    assert base64.b64encode(SOUND[:300]).decode() not in record.request.body


@pytest.mark.parametrize(
    ("wanted", "kind", "begins"),
    [
        ("text", "text/plain; charset=utf-8", "heard"),
        ("srt", "text/plain; charset=utf-8", "1\n00:00:00,000 -->"),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT"),
    ],
)
async def test_a_text_is_handed_on_as_what_it_is(rest: Rest, wanted: str, kind: str, begins: str):
    response = await form(
        rest, "/v1/audio/transcriptions", recording(), model="listener", response_format=wanted
    )
    assert response.headers["content-type"] == kind
    assert response.text.startswith(begins)
    record = await rest.settled(response)
    assert record.answer == response.text
    usage = record.settlement.usage
    assert (usage.estimated, usage.seconds) == (True, len(SOUND[44:]) / 8000), "its length stands in its head"
    assert usage.output > 0


async def test_words_and_segments_come_with_the_long_form(rest: Rest):
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}
    response = await form(rest, "/v1/audio/transcriptions", recording(), model="listener", **fields)
    assert response.json()["segments"][0]["end"] == 3.0
    sent = rest.world.upstream.last[1]
    assert sent.count(b'name="timestamp_granularities[]"') == 2
    assert SOUND in sent


async def test_a_transcription_streams(rest: Rest):
    response = await form(rest, "/v1/audio/transcriptions", recording(), model="listener", stream="true")
    said = told(response.text)
    assert said.done
    assert [event["type"] for event in said.data][-1] == "transcript.text.done"
    deltas = "".join(event["delta"] for event in said.data[:-1])
    assert deltas.strip() == said.data[-1]["text"]
    assert (await rest.settled(response)).settlement.usage.seconds == 3


async def test_json_may_bring_a_file_inside_of_it(rest: Rest):
    asked = {"model": "listener", "file": inline(), "temperature": 0.5, "include": ["logprobs"]}
    response = await rest.client.post("/v1/audio/transcriptions", json=asked, headers=bearer())
    assert response.json()["text"] == f"heard {len(SOUND)} bytes of talk.wav"
    sent = rest.world.upstream.last[1]
    assert SOUND in sent
    assert b'name="temperature"\r\n\r\n0.5\r\n' in sent
    assert b'name="include[]"\r\n\r\nlogprobs\r\n' in sent


async def test_a_file_goes_along_to_the_next_model_when_the_first_fails(rest: Rest):
    rest.world.upstream.play(b'{"scripted-ok": {"failure": "status:503", "fail_first": 1}}')
    response = await form(rest, "/v1/audio/transcriptions", recording(), model="listener")
    assert response.json()["text"] == f"heard {len(SOUND)} bytes of talk.wav"
    assert response.headers["x-gateway-attempts"] == "2"


async def test_our_own_field_is_read_out_of_a_form_and_never_sent_on(rest: Rest):
    fields = {
        "gateway[tags][team]": "search",
        "gateway[deadline_s]": "7",
        "gateway[exclude][]": ["off"],
        "x_odd[deep]": "kept",
    }
    response = await form(rest, "/v1/audio/transcriptions", recording(), model="listener", **fields)
    record = await rest.settled(response)
    assert record.request.tags == {"team": "search"}
    assert (record.request.deadline - record.request.accepted_at).total_seconds() == 7
    assert record.request.traits.exclude == ("off",)
    sent = rest.world.upstream.last[1]
    assert b"gateway" not in sent
    assert b'name="x_odd[deep]"\r\n\r\nkept\r\n' in sent
    whole = await form(
        rest, "/v1/audio/transcriptions", recording(), model="listener", gateway='{"tags": {"a": "1"}}'
    )
    assert (await rest.settled(whole)).request.tags == {"a": "1"}


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"--x\r\n", "multipart/form-data; boundary=x", "ends before"),
        (b"", "multipart/form-data; boundary=x", "ends before"),
        (b"nonsense", "multipart/form-data; boundary=x", "cannot be read"),
        (b"--x--\r\n", "multipart/form-data", "boundary"),
        (b"--x\r\ncontent-type: a/b\r\n\r\nhi\r\n--x--\r\n", "multipart/form-data; boundary=x", "`name`"),
        (
            b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nlistener\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            "`file` is required",
        ),
    ],
)
async def test_a_form_that_is_none_is_told_so(rest: Rest, content: bytes, kind: str, said: str):
    response = await rest.client.post(
        "/v1/audio/transcriptions", content=content, headers={**bearer(), "content-type": kind}
    )
    assert response.status_code == 400
    assert said in error_of(response)["message"]


async def test_a_form_cut_anywhere_into_pieces_is_the_same_form(rest: Rest):
    request = rest.client.build_request(
        "POST", "/v1/audio/transcriptions", data={"model": "listener"}, files=recording(), headers=bearer()
    )
    body = request.read()

    async def pieces() -> AsyncGenerator[bytes]:
        for i in range(0, len(body), 997):
            yield body[i : i + 997]

    headers = {**bearer(), "content-type": request.headers["content-type"]}
    response = await rest.client.post("/v1/audio/transcriptions", content=pieces(), headers=headers)
    assert response.json()["text"] == f"heard {len(SOUND)} bytes of talk.wav"
    assert SOUND in rest.world.upstream.last[1]


async def test_a_form_that_is_too_large_is_refused_before_it_is_held():
    async with serving(a_quick_world(api={"upload_limit": 10_000})) as rest, rest.raw() as (reader, writer):
        head = (
            "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: gateway\r\nx-api-key: %s\r\n"
            "content-type: multipart/form-data; boundary=x\r\ncontent-length: 10001\r\n\r\n"
        )
        writer.write((head % KEY).encode())  # and not a byte of the form
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")


async def test_a_file_whose_data_is_no_base64_is_told_by_its_field(rest: Rest):
    asked = {"model": "listener", "file": {"filename": "a.wav", "data": "not base64!"}}
    response = await rest.client.post("/v1/audio/transcriptions", json=asked, headers=bearer())
    assert error_of(response)["param"] == "file.data"


# ---- images ------------------------------------------------------------------------------------------------------
async def test_images_are_made_counted_and_not_kept(rest: Rest):
    response = await rest.client.post("/v1/images/generations", json={**GENERATION, "n": 2}, headers=bearer())
    data = [base64.b64decode(each["b64_json"]) for each in response.json()["data"]]
    assert all(each.startswith(b"\x89PNG") for each in data)
    record = await rest.settled(response)
    usage = record.settlement.usage
    assert (usage.images, usage.input, usage.output) == (2, 3, 40)
    assert json.loads(record.answer)["data"][0]["b64_json"] == {
        "base64_bytes": len(response.json()["data"][0]["b64_json"])
    }


async def test_images_without_a_model_named_are_auto(rest: Rest):
    response = await rest.client.post("/v1/images/generations", json={"prompt": "x"}, headers=bearer())
    assert response.headers["x-gateway-model"] == "painter"


async def test_an_image_streams_as_it_comes_to_be(rest: Rest):
    asked = {**GENERATION, "stream": True, "partial_images": 2}
    response = await rest.client.post("/v1/images/generations", json=asked, headers=bearer())
    said = told(response.text)
    assert [event["type"] for event in said.data] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert "event: image_generation.completed\n" in response.text
    assert not said.done, "OpenAI's own streams of images have no such end"
    assert said.comments[-1].startswith("gateway ")
    record = await rest.settled(response)
    assert record.settlement.usage.images == 1
    assert json.loads(record.answer)["last"]["b64_json"]["base64_bytes"] > 0


async def test_an_image_stream_that_breaks_off_says_so(rest: Rest):
    asked = {**GENERATION, "stream": True, "partial_images": 3, "x_script": {"failure": "close-mid-stream"}}
    response = await rest.client.post("/v1/images/generations", json=asked, headers=bearer())
    assert told(response.text).data[-1]["error"]["code"] == "upstream_broken"


async def test_several_images_and_a_mask_are_edited(rest: Rest):
    files = [
        ("image[]", ("a.png", PICTURE, "image/png")),
        ("image[]", ("b.png", png("other"), "image/png")),
        ("mask", ("m.png", png("mask"), "image/png")),
    ]
    response = await form(rest, "/v1/images/edits", files, model="painter", prompt="greener", n="1")
    assert response.status_code == 200, response.text
    record = await rest.settled(response)
    assert record.request.traits.images == 2
    kept = json.loads(record.prompt)
    assert [each["filename"] for each in kept["image[]"]] == ["a.png", "b.png"]
    assert kept["mask"]["bytes"] == len(png("mask"))
    assert response.json()["usage"]["input_tokens_details"]["image_tokens"] == 30


async def test_images_by_address_are_edited_as_json(rest: Rest):
    asked = {"model": "painter", "prompt": "greener", "images": [{"image_url": "https://example.com/a.png"}]}
    response = await rest.client.post("/v1/images/edits", json=asked, headers=bearer())
    assert response.status_code == 200, response.text
    assert json.loads(rest.world.upstream.last[1])["images"] == asked["images"]
    missing = await rest.client.post(
        "/v1/images/edits", json={"model": "painter", "prompt": "x"}, headers=bearer()
    )
    assert error_of(missing)["param"] == "image"


async def test_an_image_is_varied(rest: Rest):
    response = await form(
        rest, "/v1/images/variations", {"image": ("a.png", PICTURE, "image/png")}, model="painter"
    )
    assert response.json()["data"][0]["b64_json"]


# ---- speech ------------------------------------------------------------------------------------------------------
async def test_a_text_is_spoken_and_the_sound_passed_on_as_it_comes(rest: Rest):
    asked = {**SPEECH, "x_script": {"chunk_interval_ms": 150}}
    async with rest.client.stream("POST", "/v1/audio/speech", json=asked, headers=bearer()) as response:
        assert response.headers["content-type"] == "audio/wav"
        assert response.headers["x-gateway-model"] == "speaker"
        pieces = [piece async for piece in response.aiter_raw()]
    assert len(pieces) > 1, "not gathered on the way"
    sound = b"".join(pieces)
    assert sound[:4] == b"RIFF"
    record = await rest.settled(response)
    assert json.loads(record.answer) == {"media_type": "audio/wav", "bytes": len(sound)}
    usage = record.settlement.usage
    assert usage.input > 0
    assert usage.characters == len(SPEECH["input"]), "such models are priced by them"


async def test_speech_may_come_as_events(rest: Rest):
    asked = {**SPEECH, "stream_format": "sse"}
    response = await rest.client.post("/v1/audio/speech", json=asked, headers=bearer())
    said = told(response.text)
    assert base64.b64decode(said.data[0]["audio"]).startswith(b"RIFF")
    assert said.data[-1]["type"] == "speech.audio.done"
    record = await rest.settled(response)
    usage = record.settlement.usage
    assert (usage.output, usage.estimated, usage.characters) == (3, False, len(SPEECH["input"]))
    assert said.data[0]["audio"] not in record.answer


async def test_a_sound_that_breaks_off_is_a_connection_that_breaks_off(rest: Rest):
    asked = {**SPEECH, "x_script": {"failure": "reset-mid-stream", "after": 1}}
    with pytest.raises(httpx2.RemoteProtocolError):
        await rest.client.post("/v1/audio/speech", json=asked, headers=bearer())


@pytest.mark.parametrize("failure", ["html", "empty", "error-reply", "status:503"])
async def test_what_is_no_sound_is_an_error_of_the_upstream(rest: Rest, failure: str):
    asked = {**SPEECH, "x_script": {"failure": failure}}
    response = await rest.client.post("/v1/audio/speech", json=asked, headers=bearer())
    assert response.status_code == 502
    assert error_of(response)["code"] in (
        "upstream_malformed",
        "upstream_unavailable",
        "upstream_broken",
    )


# ---- jobs --------------------------------------------------------------------------------------------------------
async def test_a_jobs_sound_is_fetched_as_sound(rest: Rest):
    made = await rest.client.post(
        "/api/v1/jobs", json={"endpoint": "/v1/audio/speech", "body": SPEECH}, headers=bearer()
    )
    assert made.status_code == 202, made.text
    job = await rest.ended(made.json()["id"])
    assert (job["status"], job["result"]) == ("completed", None)
    response = await rest.get(job["result_url"])
    assert response.headers["content-type"] == "audio/wav"
    assert response.content[:4] == b"RIFF"
    record: Any = await rest.world.store.requests.get(job["id"], with_text=True)
    assert json.loads(record.answer)["media_type"] == "audio/wav"


async def test_a_form_can_be_a_job_and_its_file_is_in_no_log(rest: Rest):
    prefer = {"prefer": "respond-async"}
    made = await form(rest, "/v1/audio/transcriptions", recording(), prefer, model="listener")
    assert made.status_code == 202, made.text
    job = await rest.ended(made.json()["id"])
    assert job["result"]["text"] == f"heard {len(SOUND)} bytes of talk.wav"
    record: Any = await rest.world.store.requests.get(job["id"], with_text=True)
    assert json.loads(record.prompt)["file"]["bytes"] == len(SOUND)
    assert "data" not in json.loads(record.prompt)["file"]


async def test_a_job_brings_its_file_in_its_body(rest: Rest):
    body = {"model": "listener", "file": inline(), "response_format": "srt"}
    asked = {"endpoint": "/v1/audio/transcriptions", "body": body}
    made = await rest.client.post("/api/v1/jobs", json=asked, headers=bearer(KEY))
    job = await rest.ended(made.json()["id"])
    assert job["result"] is None
    assert (await rest.get(job["result_url"])).text.startswith("1\n00:00")


async def test_a_job_cannot_stream_events_of_sound(rest: Rest):
    asked = {"endpoint": "/v1/audio/speech", "body": {**SPEECH, "stream_format": "sse"}}
    response = await rest.client.post("/api/v1/jobs", json=asked, headers=bearer())
    assert error_of(response)["param"] == "stream"
