"""Completions of plain prompts: the fields that the gateway itself reads."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from api.service.ask import Own, Read
from api.service.traits import measured
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Traits
from gateway.domain.registry import Capability
from gateway.providers.ports import Body


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Completion(msgspec.Struct):
    model: str
    prompt: str | list[str | int | list[int]]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    logprobs: int | bool | None = None
    metadata: dict[str, str] | None = None
    gateway: Own | None = None


_decode = msgspec.json.Decoder(_Completion).decode


def read(raw: bytes) -> Read:
    """Read what is to be completed: a text, texts, tokens, or rows of tokens."""
    asked = _decode(raw)
    if asked.prompt == []:
        raise InvalidRequest("`prompt` must not be an empty list.", param="prompt")
    stream = bool(asked.stream)
    needs = [Capability.LOGPROBS.value] if asked.logprobs else []
    if stream:
        needs.append(Capability.STREAMING.value)

    def traits(body: Body, size: int, metadata: Mapping[str, str]) -> Traits:
        return measured(
            ("prompt", "suffix"), body, size, metadata, max_output="max_tokens", needs=tuple(needs)
        )

    return Read(
        model=asked.model,
        stream=stream,
        wants_usage=bool(asked.stream_options and asked.stream_options.include_usage),
        metadata=asked.metadata or {},
        own=asked.gateway or Own(),
        traits=traits,
    )
