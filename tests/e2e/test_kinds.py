"""An unchanged `openai` SDK asks for the kinds beside chat; what the real local model can do is asked of it."""

from __future__ import annotations

import base64
import json
import subprocess
from decimal import Decimal
from hashlib import sha256
from math import sqrt
from pathlib import Path

from openai import OpenAI

from gateway.providers.scripted.media import png, wav
from tests.e2e.person import Person
from tests.e2e.stack import Stack

EMBEDDER = "smollm2-135m-embeddings"


def likeness(a: list[float], b: list[float]) -> float:
    """The cosine of two vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True)) / sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def test_the_real_model_makes_vectors_that_mean_something(openai: OpenAI, admin: Person):
    texts = ["The cat sat on the mat.", "A dog sat on the rug.", "Quarterly revenue rose by 4%."]
    answer = openai.embeddings.with_raw_response.create(model=EMBEDDER, input=texts)
    made = answer.parse()
    cat, dog, money = (item.embedding for item in made.data)
    assert likeness(cat, dog) > likeness(cat, money)
    row = admin.request(answer.headers["x-request-id"])
    assert (row["kind"], row["served_model"]) == ("embedding", EMBEDDER)
    assert row["usage"]["input_tokens"] == made.usage.prompt_tokens > 0
    assert Decimal(row["cost_usd"]) == 0


def test_the_sdks_own_base64_is_the_same_vector_as_floats(openai: OpenAI):
    # The SDK asks for base64 by itself and unpacks it, unless floats are asked for.
    packed = openai.embeddings.create(model=EMBEDDER, input="hello").data[0].embedding
    floats = (
        openai.embeddings.create(model=EMBEDDER, input="hello", encoding_format="float").data[0].embedding
    )
    assert likeness(packed, floats) > 0.9999


def test_the_real_chat_model_completes_a_plain_prompt(openai: OpenAI, admin: Person):
    answer = openai.completions.with_raw_response.create(
        model="assistant", prompt="Once upon a time", max_tokens=8, temperature=0
    )
    made = answer.parse()
    assert made.choices[0].text
    assert made.usage is not None
    row = admin.request(answer.headers["x-request-id"])
    assert (row["kind"], row["endpoint"]) == ("completion", "/v1/completions")
    assert row["usage"]["output_tokens"] == made.usage.completion_tokens


def test_the_real_model_streams_a_completion(openai: OpenAI):
    chunks = list(
        openai.completions.create(
            model="assistant",
            prompt="One, two, three,",
            max_tokens=8,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert chunks[-1].usage is not None


def test_moderations_need_no_model_named(openai: OpenAI):
    judged = openai.moderations.create(input=["be well", "do harm"])
    assert [result.flagged for result in judged.results] == [False, True]


# ---- images and sounds, of scripted models -------------------------------------------------------------------------
def test_images_are_made_and_edited(openai: OpenAI, admin: Person):
    made = openai.images.with_raw_response.generate(model="painter", prompt="a red apple", n=2)
    images = made.parse().data or []
    assert [base64.b64decode(image.b64_json or "")[:4] for image in images] == [b"\x89PNG"] * 2
    row = admin.request(made.headers["x-request-id"])
    assert (row["kind"], row["usage"]["images"]) == ("image", 2)
    edited = openai.images.edit(
        model="painter", prompt="greener", image=[("a.png", png("a")), ("b.png", png("b"))]
    )
    assert edited.data
    assert edited.data[0].b64_json
    varied = openai.images.create_variation(  # pyright: ignore[reportDeprecated]
        model="painter", image=("a.png", png("a"))
    )
    assert varied.data


def test_images_stream_as_they_come_to_be(openai: OpenAI):
    stream = openai.images.generate(model="painter", prompt="a red apple", stream=True, partial_images=2)
    types = [event.type for event in stream]
    assert types == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]


def test_speech_streams_to_a_file(openai: OpenAI, tmp_path: Path):
    path = tmp_path / "hello.wav"
    with openai.audio.speech.with_streaming_response.create(
        model="speaker", voice="alloy", input="one two three"
    ) as sound:
        assert sound.headers["content-type"] == "audio/wav"
        sound.stream_to_file(path)
    assert path.read_bytes()[:4] == b"RIFF"


def test_recordings_are_written_down_in_every_format(openai: OpenAI, admin: Person):
    sound = wav(bytes(range(256)) * 100)
    heard = openai.audio.transcriptions.with_raw_response.create(model="listener", file=("talk.wav", sound))
    assert heard.parse().text == f"heard {len(sound)} bytes of talk.wav"
    row = admin.request(heard.headers["x-request-id"])
    assert row["prompt"]["file"] == {
        "filename": "talk.wav",
        "media_type": row["prompt"]["file"]["media_type"],
        "bytes": len(sound),
        "sha256": sha256(sound).hexdigest(),
    }
    assert row["usage"]["audio_seconds"] == 3.0
    long = openai.audio.transcriptions.create(
        model="listener",
        file=("talk.wav", sound),
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert long.duration
    subtitles = openai.audio.transcriptions.create(
        model="listener", file=("talk.wav", sound), response_format="srt"
    )
    assert str(subtitles).startswith("1\n00:00:00,000")
    stream = openai.audio.transcriptions.create(model="listener", file=("talk.wav", sound), stream=True)
    assert [event.type for event in stream][-1] == "transcript.text.done"
    english = openai.audio.translations.create(  # pyright: ignore[reportDeprecated]
        model="listener", file=("talk.wav", sound)
    )
    assert english.text


def test_curl_posts_a_form_and_may_make_it_a_job(stack: Stack, openai: OpenAI, tmp_path: Path):
    path = tmp_path / "talk.wav"
    path.write_bytes(wav(bytes(1000)))
    command = ["curl", "-sS", f"{stack.rest}/v1/audio/transcriptions", "-F", "model=listener"]
    command += ["-H", f"authorization: Bearer {openai.api_key}", "-F", f"file=@{path};type=audio/wav"]
    said = subprocess.run(command, check=True, capture_output=True, timeout=30)
    assert json.loads(said.stdout)["text"] == "heard 1044 bytes of talk.wav"
    made = subprocess.run(
        [*command, "-H", "prefer: respond-async, wait=20"], check=True, capture_output=True, timeout=40
    )
    assert json.loads(made.stdout)["text"] == "heard 1044 bytes of talk.wav", "a worker had the file, too"
