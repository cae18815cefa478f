"""Anthropic's messages, and the count of their tokens: the fields that the gateway itself reads."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from api.service.ask import Own, Read
from api.service.traits import Message, measure_messages
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Traits
from gateway.providers.ports import Body


class _Messages(msgspec.Struct):
    model: str
    messages: list[Message]
    max_tokens: int | None = None
    stream: bool | None = None
    metadata: dict[str, str | None] | None = None
    gateway: Own | None = None


_decode = msgspec.json.Decoder(_Messages).decode


def read(raw: bytes) -> Read:
    """Read a request of messages. Anthropic wants `max_tokens`, and so whoever speaks its dialect sends it."""
    asked = _decode(raw)
    if asked.max_tokens is None:
        raise InvalidRequest("`max_tokens` is required.", param="max_tokens")
    if asked.max_tokens < 0:
        raise InvalidRequest("`max_tokens` must not be negative.", param="max_tokens")
    return _read(asked, stream=bool(asked.stream))


def read_count(raw: bytes) -> Read:
    """Read a request to count."""
    return _read(_decode(raw), stream=False)


def _read(asked: _Messages, *, stream: bool) -> Read:
    if not asked.messages:
        raise InvalidRequest("`messages` must have at least one message.", param="messages")

    def traits(body: Body, size: int, metadata: Mapping[str, str]) -> Traits:
        return measure_messages(asked.messages, body, size, metadata, stream=stream)

    return Read(
        model=asked.model,
        stream=stream,
        wants_usage=True,
        metadata={name: value for name, value in (asked.metadata or {}).items() if value is not None},
        own=asked.gateway or Own(),
        traits=traits,
    )
