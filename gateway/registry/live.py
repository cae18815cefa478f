"""The registry in force: one immutable state in memory, put in place of the last one when the store's has changed.

Requests under way are not disturbed: an attempt keeps the model that it began with, and connections to upstreams stay
open as long as they are used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Final

import msgspec

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.domain.operations import Operation
from gateway.domain.prices import PriceBook
from gateway.domain.registry import Model, Registry
from gateway.providers.credentials import Credentials
from gateway.registry.entries import Entries
from gateway.storage.ports import Inventory, Models

_RETRY_AFTER: Final = timedelta(seconds=2)

Prepare = Callable[[Collection[str]], Awaitable[None]]
"""Makes providers ready to be called, by their names, before the first request needs them."""

Offers = Callable[[Model], frozenset[Operation] | None]
"""What can be asked of a model; None where nobody knows."""


def _unknown(model: Model) -> frozenset[Operation] | None:
    del model
    return None


class LiveRegistry:
    """Gives the registry in force, when it is called; `reload` is for the feed."""

    def __init__(
        self,
        models: Models,
        seed: Entries,
        prepare: Prepare,
        credentials: Credentials,
        operations: Offers = _unknown,
    ) -> None:
        """`seed` is what a store that was never written is given, once; `credentials` are told which ones it keeps."""
        self._operations = operations
        self._models = models
        self._seed = seed
        self._prepare = prepare
        self._credentials = credentials
        self._prices = PriceBook()
        self._now: Registry | None = None

    def __call__(self) -> Registry:
        """The state in force. Raises StorageUnavailable as long as there was none yet."""
        if self._now is None:
            raise StorageUnavailable(detail="the registry was never loaded", retry_after=_RETRY_AFTER)
        return self._now

    @property
    def version(self) -> str:
        """The version in force; empty before there is one."""
        return "" if self._now is None else self._now.version

    async def reload(self) -> None:
        """Put the store's state in force. Raises StorageUnavailable; then the last state stays."""
        inventory = await self._models.load()
        if inventory.revision == 0:
            if await self._models.plant(tuple(self._seed.models.values()), self._seed.aliases):
                telemetry.log.info("registry_seeded", models=len(self._seed.models))
            inventory = await self._models.load()
        await self._prepare({model.provider for model in inventory.models})
        self._credentials.keep(inventory.sealed)
        self._now = registry_of(inventory, self._prices, self._operations)
        for sealed in self._credentials.renewed():
            if await self._models.reseal(sealed):
                telemetry.log.info("credential_renewed", credential=sealed.id, key_id=sealed.key_id)

    def charge(self, prices: PriceBook) -> None:
        """Put other prices in force."""
        self._prices = prices
        if self._now is not None:
            self._now = replace(self._now, prices=prices)


def registry_of(inventory: Inventory, prices: PriceBook, operations: Offers = _unknown) -> Registry:
    """The registry of what the store holds: its version is the store's revision, and a digest of the content."""
    models = {model.name: replace(model, operations=operations(model)) for model in inventory.models}
    # Sets have no order of their own: written in order, the digest is the same on every replica.
    content = msgspec.json.encode((inventory.models, inventory.aliases), order="deterministic")
    digest = sha256(content).hexdigest()[:8]
    return Registry(models, inventory.aliases, f"{inventory.revision}-{digest}", prices)
