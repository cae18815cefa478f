"""OpenAI's embeddings: what is asked, read for providers of other wires, and answers written.

Shapes: platform.openai.com/docs/api-reference/embeddings/create.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from gateway.domain.errors import InvalidRequest, NotCarried
from gateway.domain.inference import Usage
from gateway.providers.hub.asked import Asked, wrong


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts to embed, how long vectors shall be (None: as the model likes), and whether they are wanted packed."""

    texts: tuple[str, ...]
    dimensions: int | None
    packed: bool


def texts_of(asked: Asked) -> Texts:
    """What is asked for. Raises InvalidRequest, and NotCarried for tokens, which are another model's."""
    value = asked.take("input")
    form = asked.text("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise wrong("encoding_format", "`float` or `base64`")
    dimensions = asked.count("dimensions")
    if isinstance(value, str):
        return Texts((value,), dimensions, form == "base64")
    if not isinstance(value, list) or not value:
        raise wrong("input", "a string, or an array of strings")
    texts = cast("list[object]", value)
    for n, each in enumerate(texts):
        if isinstance(each, int | list):
            raise NotCarried("Tokens cannot be carried over to this model: send texts.", param="input")
        if not isinstance(each, str):
            raise InvalidRequest(f"`input[{n}]` must be a string.", param=f"input[{n}]")
    return Texts(tuple(cast("list[str]", texts)), dimensions, form == "base64")


def answer(vectors: Sequence[Sequence[float]], model: str, usage: Usage | None, *, packed: bool) -> bytes:
    """The answer. Its usage is zero where the upstream says none: clients want the field."""
    data: list[dict[str, Any]] = [
        {"object": "embedding", "index": n, "embedding": _packed(vector) if packed else vector}
        for n, vector in enumerate(vectors)
    ]
    tokens = 0 if usage is None else usage.input
    told = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": told})


def _packed(vector: Sequence[float]) -> str:
    """As OpenAI packs them: 32-bit floats, the little end first, in base64."""
    floats = array("f", vector)
    return base64.b64encode(floats.tobytes()).decode()
