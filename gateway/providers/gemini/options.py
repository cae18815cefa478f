"""The options of a Gemini model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.providers.gemini.wire import BASE_URL
from gateway.providers.hub.options import Option
from gateway.providers.hub.options import misfits as wrong
from gateway.providers.ports import Misfit

_KNOWN: Final = {
    "safety_settings": Option((list, tuple), "an array of objects with `category` and `threshold`"),
    "generation_config": Option((Mapping,), "an object of `generationConfig`'s fields"),
    "include_thoughts": Option((bool,), "true or false"),
}


def base_url_of(options: Mapping[str, object]) -> str:
    """Google AI's address, where a model says none."""
    del options
    return BASE_URL


def misfits(options: Mapping[str, object]) -> Sequence[Misfit]:
    """What is wrong with a model's options."""
    return wrong(options, _KNOWN)
