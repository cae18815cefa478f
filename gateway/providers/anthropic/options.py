"""The options of a model of this provider: what not every model, or server of its dialect, takes alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from gateway.domain.registry import Model
from gateway.providers.dialects.messages.outward import USUAL_MOST, Terms
from gateway.providers.ports import Misfit

BASE_URL: Final = "https://api.anthropic.com"
_WORDS: Final[Mapping[str, tuple[object, ...]]] = {
    "thinking": ("effort", "budget"),
    "sampling": (True, False),
    "auth": ("x-api-key", "bearer"),
}


def terms_of(model: Model, *, samples: bool) -> Terms:
    """What a model takes. `samples` says whether the version of the API that is asked knows `temperature` at all."""
    return Terms(
        most=model.max_output or USUAL_MOST,
        budgets=model.options.get("thinking") == "budget",
        samples=samples and model.options.get("sampling") is not False,
    )


def is_bearer(model: Model) -> bool:
    """Whether the server takes the credential as a bearer token, which Anthropic's own and most others need not."""
    return model.options.get("auth") == "bearer"


def misfits(options: Mapping[str, object]) -> tuple[Misfit, ...]:
    """All that is wrong with the options of a model."""
    return tuple(_misfits(options))


def _misfits(options: Mapping[str, object]) -> Iterator[Misfit]:
    for name, value in options.items():
        if name not in _WORDS:
            nearest = next(iter(get_close_matches(name, list(_WORDS), 1)), None)
            yield Misfit(name, f"one of {', '.join(_WORDS)}", name, nearest)
        elif not any(value == word and type(value) is type(word) for word in _WORDS[name]):
            told = ("true", "false") if name == "sampling" else map(str, _WORDS[name])
            yield Misfit(name, " or ".join(told), value)
