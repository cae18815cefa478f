"""Moderations: the fields that the gateway itself reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from api.service.ask import Own, Read
from api.service.traits import measured
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Traits
from gateway.domain.registry import AUTO
from gateway.providers.ports import Body


class _Moderation(msgspec.Struct):
    input: str | list[str | dict[str, Any]]
    model: str = AUTO  # OpenAI does not ask for it
    metadata: dict[str, str] | None = None
    gateway: Own | None = None


_decode = msgspec.json.Decoder(_Moderation).decode


def read(raw: bytes) -> Read:
    """Read what is to be judged: a text, texts, or parts with texts and images."""
    asked = _decode(raw)
    if not asked.input:
        raise InvalidRequest("`input` must not be empty.", param="input")
    parts = [part for part in asked.input if isinstance(part, dict)]
    texts = [str(part.get("text", "")) for part in parts]
    images = sum(1 for part in parts if "image_url" in part)

    def traits(body: Body, size: int, metadata: Mapping[str, str]) -> Traits:
        if not parts:
            return measured(("input",), body, size, metadata)
        # Without the images, whose base64 is no text.
        said = {"input": msgspec.Raw(msgspec.json.encode(texts))}
        return replace(measured(("input",), {**body, **said}, size, metadata), images=images)

    return Read(
        model=asked.model,
        stream=False,
        wants_usage=True,
        metadata=asked.metadata or {},
        own=asked.gateway or Own(),
        traits=traits,
    )
