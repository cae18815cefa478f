"""The providers there are, one line each. Nothing else knows an adapter by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from typing_extensions import override

from gateway.domain.errors import UpstreamNotFound
from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.anthropic import options as anthropics
from gateway.providers.bedrock import options as bedrock
from gateway.providers.compatible import options
from gateway.providers.compatible.client import Compatible
from gateway.providers.credentials import Credentials
from gateway.providers.gemini import options as gemini
from gateway.providers.gemini.client import Gemini
from gateway.providers.huggingface import options as tasks
from gateway.providers.huggingface.client import HuggingFace
from gateway.providers.offered import operations_of
from gateway.providers.ports import Manual, Provider
from gateway.providers.scripted.client import Scripted
from gateway.settings import Providers

Opens = Callable[[Providers, Credentials | None], Provider]
"""Opens a provider with the credentials of the process; without them it has some of its own."""


def _openai(settings: Providers, credentials: Credentials | None) -> Provider:
    # The SDK takes 0.6 s to import: a gateway to local models only need not wait for it.
    from gateway.providers.openai.client import OpenAI  # noqa: PLC0415

    return OpenAI(settings, credentials)


def _anthropic(settings: Providers, credentials: Credentials | None) -> Provider:
    # As slow to import.
    from gateway.providers.anthropic.client import Anthropic  # noqa: PLC0415

    return Anthropic(settings, credentials)


def _bedrock(settings: Providers, credentials: Credentials | None) -> Provider:
    # Its signer takes 0.2 s to import.
    from gateway.providers.bedrock.client import Bedrock  # noqa: PLC0415

    return Bedrock(settings, credentials)


PROVIDERS: Final[Mapping[str, Opens]] = {
    "anthropic": _anthropic,
    "bedrock": _bedrock,
    "compatible": Compatible,
    "gemini": Gemini,
    "huggingface": HuggingFace,
    "openai": _openai,
    "scripted": Scripted,
}


_OPENAI: Final = "https://api.openai.com/v1"

MANUALS: Final[Mapping[str, Manual]] = {
    **dict.fromkeys(PROVIDERS, Manual()),
    "anthropic": Manual(lambda _: anthropics.BASE_URL, anthropics.misfits),
    "bedrock": Manual(bedrock.base_url_of, bedrock.misfits),
    "compatible": Manual(options.base_url_of, options.misfits),
    "gemini": Manual(gemini.base_url_of, gemini.misfits),
    "huggingface": Manual(tasks.base_url_of, tasks.misfits),
    "openai": Manual(lambda _: _OPENAI),
    "scripted": Manual(needs_address=False),
}
"""What the registry must know of each: most need a line only where a model can leave something out, or has options."""


class OpenProviders(Mapping[str, Provider]):
    """The providers of a process by name: each is opened when a model first needs it, and all are closed together."""

    def __init__(self, settings: Providers, credentials: Credentials | None = None) -> None:
        """None is open yet. All share these credentials."""
        self._settings = settings
        self._credentials = credentials or Credentials()
        self._open: dict[str, Provider] = {}

    async def prepare(self, names: Collection[str]) -> None:
        """Open those of these that there are, so that no request has to wait for it."""
        for name in sorted(set(names) & PROVIDERS.keys() - self._open.keys()):
            # In a thread, for what it imports.
            opened = await asyncio.to_thread(open_provider, name, self._settings, self._credentials)
            if self._open.setdefault(name, opened) is not opened:
                await opened.close()  # a request was faster

    def operations(self, model: Model) -> frozenset[Operation] | None:
        """What can be asked of a model whose provider is open; None where that is not."""
        provider = self._open.get(model.provider)
        return None if provider is None else operations_of(model, provider)

    async def close(self) -> None:
        """Close all connections."""
        while self._open:
            await self._open.popitem()[1].close()

    @override
    def __getitem__(self, name: str) -> Provider:
        """Raises UpstreamNotFound for a name that this version does not know: a newer one may have registered it."""
        if name not in self._open:
            if name not in PROVIDERS:
                raise UpstreamNotFound(detail=f"there is no provider {name!r} in this version")
            self._open[name] = open_provider(name, self._settings, self._credentials)
        return self._open[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(PROVIDERS)

    @override
    def __len__(self) -> int:
        return len(PROVIDERS)


class UnknownProvider(Exception):
    """A model names a provider that does not exist."""


def open_provider(name: str, settings: Providers, credentials: Credentials | None = None) -> Provider:
    """A provider ready to be called, with connections of its own. UnknownProvider names those that there are."""
    try:
        return PROVIDERS[name](settings, credentials)
    except KeyError:
        raise UnknownProvider(
            f"there is no provider {name!r}; there are {', '.join(sorted(PROVIDERS))}"
        ) from None
