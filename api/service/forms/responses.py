"""Responses: the fields that the gateway itself reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from api.service.ask import Own, Read
from api.service.traits import measure_items
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Traits
from gateway.providers.ports import Body


class _Conversation(msgspec.Struct):
    id: str


class _Responses(msgspec.Struct):
    model: str
    input: str | list[msgspec.Raw] | None = None
    instructions: str | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: str | _Conversation | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    gateway: Own | None = None


_decode = msgspec.json.Decoder(_Responses).decode


def read(raw: bytes) -> Read:
    """Read a request for a response."""
    asked = _decode(raw)
    goes_on = asked.previous_response_id is not None or asked.conversation is not None
    if not asked.input and not goes_on:
        raise InvalidRequest("`input` must be a text or at least one item.", param="input")
    if asked.previous_response_id is not None and asked.conversation is not None:
        raise InvalidRequest(
            "`previous_response_id` and `conversation` exclude each other.", param="previous_response_id"
        )
    if asked.background and asked.store is False:
        raise InvalidRequest("`background` needs the response to be kept: leave `store` out.", param="store")
    stream = bool(asked.stream)

    def traits(body: Body, size: int, metadata: Mapping[str, str]) -> Traits:
        return measured(asked.input, body, size, metadata, stream=stream)

    return Read(
        model=asked.model,
        stream=stream,
        wants_usage=True,
        metadata=asked.metadata or {},
        own=asked.gateway or Own(),
        traits=traits,
    )


def measured(
    said: str | Sequence[msgspec.Raw] | None,
    body: Body,
    size: int,
    metadata: Mapping[str, str],
    *,
    stream: bool,
) -> Traits:
    """The traits of a request whose input is this, what came before it included."""
    items = () if said is None or isinstance(said, str) else said
    return measure_items(items, body, size, metadata, stream=stream)
