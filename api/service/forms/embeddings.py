"""Embeddings: the fields that the gateway itself reads."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from api.service.ask import Own, Read
from api.service.traits import measured
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Traits
from gateway.providers.ports import Body


class _Embeddings(msgspec.Struct):
    model: str
    input: str | list[str | int | list[int]]
    metadata: dict[str, str] | None = None
    gateway: Own | None = None


_decode = msgspec.json.Decoder(_Embeddings).decode


def read(raw: bytes) -> Read:
    """Read what is to be embedded: a text, texts, tokens, or rows of tokens."""
    asked = _decode(raw)
    if not asked.input:
        raise InvalidRequest("`input` must not be empty.", param="input")

    def traits(body: Body, size: int, metadata: Mapping[str, str]) -> Traits:
        return measured(("input",), body, size, metadata)

    return Read(
        model=asked.model,
        stream=False,
        wants_usage=True,
        metadata=asked.metadata or {},
        own=asked.gateway or Own(),
        traits=traits,
    )
