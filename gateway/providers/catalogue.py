"""The providers there are, one line each. Nothing else knows an adapter by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.providers.compatible.client import Compatible
from gateway.providers.ports import Provider
from gateway.providers.scripted.client import Scripted
from gateway.settings import Providers


def _openai(settings: Providers) -> Provider:
    # The SDK takes 0.6 s to import: a gateway to local models only need not wait for it.
    from gateway.providers.openai.client import OpenAI  # noqa: PLC0415

    return OpenAI(settings)


PROVIDERS: Final[Mapping[str, Callable[[Providers], Provider]]] = {
    "compatible": Compatible,
    "openai": _openai,
    "scripted": Scripted,
}


class UnknownProvider(Exception):
    """A model names a provider that does not exist."""


def open_provider(name: str, settings: Providers) -> Provider:
    """A provider ready to be called, with connections of its own. UnknownProvider names those that there are."""
    try:
        return PROVIDERS[name](settings)
    except KeyError:
        raise UnknownProvider(
            f"there is no provider {name!r}; there are {', '.join(sorted(PROVIDERS))}"
        ) from None
