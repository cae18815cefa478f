"""Speech and recordings: the fields that the gateway itself reads."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from api.service.ask import Own, Read
from api.service.forms.fields import Described, truth
from api.service.traits import measured
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Traits
from gateway.providers.ports import Body


class _Speech(msgspec.Struct):
    model: str
    input: str
    stream_format: str | None = None
    metadata: dict[str, str] | None = None
    gateway: Own | None = None


class _Transcription(msgspec.Struct):
    model: str
    file: Described
    stream: bool | str | None = None
    metadata: dict[str, str] | None = None
    gateway: Own | None = None


_speech = msgspec.json.Decoder(_Speech).decode
_transcription = msgspec.json.Decoder(_Transcription).decode


def speech(raw: bytes) -> Read:
    """Read what is to be spoken: the sound is passed on as it comes."""
    asked = _speech(raw)
    if not asked.input:
        raise InvalidRequest("`input` must not be empty.", param="input")

    def traits(body: Body, size: int, metadata: Mapping[str, str]) -> Traits:
        return measured(("input", "instructions"), body, size, metadata)

    return Read(
        model=asked.model,
        stream=True,
        wants_usage=True,
        metadata=asked.metadata or {},
        own=asked.gateway or Own(),
        traits=traits,
        as_it_comes=asked.stream_format != "sse",
    )


def transcription(raw: bytes) -> Read:
    """Read what recording is to be written down; its language, or English for a translation."""
    asked = _transcription(raw)

    def traits(body: Body, size: int, metadata: Mapping[str, str]) -> Traits:
        return measured(("prompt",), body, size + asked.file.bytes, metadata)

    return Read(
        model=asked.model,
        stream=truth(asked.stream, "stream"),
        wants_usage=True,
        metadata=asked.metadata or {},
        own=asked.gateway or Own(),
        traits=traits,
    )
