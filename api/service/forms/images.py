"""Images: the fields that the gateway itself reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from api.service.ask import Own, Read
from api.service.forms.fields import Described, truth
from api.service.traits import measured
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Traits
from gateway.domain.registry import AUTO, Capability
from gateway.providers.ports import Body

Files = Described | list[Described]


class _Generation(msgspec.Struct):
    prompt: str
    model: str = AUTO  # OpenAI does not ask for it
    stream: bool | str | None = None
    metadata: dict[str, str] | None = None
    gateway: Own | None = None


class _Edit(msgspec.Struct):
    prompt: str
    model: str = AUTO
    image: Files | None = None
    more: Files | None = msgspec.field(name="image[]", default=None)
    images: list[msgspec.Raw] | None = None  # by address or file id, in JSON
    stream: bool | str | None = None
    metadata: dict[str, str] | None = None
    gateway: Own | None = None


class _Variation(msgspec.Struct):
    image: Files
    model: str = AUTO
    metadata: dict[str, str] | None = None
    gateway: Own | None = None


_generation = msgspec.json.Decoder(_Generation).decode
_edit = msgspec.json.Decoder(_Edit).decode
_variation = msgspec.json.Decoder(_Variation).decode


def generation(raw: bytes) -> Read:
    """Read what is to be drawn."""
    asked = _generation(raw)
    if not asked.prompt:
        raise InvalidRequest("`prompt` must not be empty.", param="prompt")
    return _read(asked.model, asked.metadata, asked.gateway, 0, stream=truth(asked.stream, "stream"))


def edit(raw: bytes) -> Read:
    """Read how images are to be changed."""
    asked = _edit(raw)
    images = sum(
        len(each) if isinstance(each, list) else each is not None for each in (asked.image, asked.more)
    )
    images += len(asked.images or ())
    if not images:
        raise InvalidRequest("`image` is required.", param="image")
    return _read(asked.model, asked.metadata, asked.gateway, images, stream=truth(asked.stream, "stream"))


def variation(raw: bytes) -> Read:
    """Read of what image others are to be made."""
    asked = _variation(raw)
    return _read(asked.model, asked.metadata, asked.gateway, 1, stream=False)


def _read(model: str, said: dict[str, str] | None, own: Own | None, images: int, *, stream: bool) -> Read:
    def traits(body: Body, size: int, metadata: Mapping[str, str]) -> Traits:
        needs = (Capability.STREAMING.value,) if stream else ()
        return replace(measured(("prompt",), body, size, metadata, needs=needs), images=images)

    return Read(
        model=model, stream=stream, wants_usage=True, metadata=said or {}, own=own or Own(), traits=traits
    )
