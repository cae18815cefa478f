"""Chat completions: the fields that the gateway itself reads."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from api.service.ask import Own, Read
from api.service.traits import Message, measure
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Traits
from gateway.providers.ports import Body


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Chat(msgspec.Struct):
    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    metadata: dict[str, str] | None = None
    gateway: Own | None = None


_decode = msgspec.json.Decoder(_Chat).decode


def read(raw: bytes) -> Read:
    """Read a chat request."""
    chat = _decode(raw)
    if not chat.messages:
        raise InvalidRequest("`messages` must have at least one message.", param="messages")
    stream = bool(chat.stream)

    def traits(body: Body, size: int, metadata: Mapping[str, str]) -> Traits:
        return measure(chat.messages, body, size, metadata, stream=stream)

    return Read(
        model=chat.model,
        stream=stream,
        wants_usage=bool(chat.stream_options and chat.stream_options.include_usage),
        metadata=chat.metadata or {},
        own=chat.gateway or Own(),
        traits=traits,
    )
