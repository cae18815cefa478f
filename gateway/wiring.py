"""Settings → World: everything a process has open, built in order and closed in reverse."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.attempt import Attempts
from gateway.domain.health import LiveFacts
from gateway.domain.registry import Registry
from gateway.domain.rules import GatewayLoad, RuleSet
from gateway.exchange import Exchanges
from gateway.feed import Feed
from gateway.identity import Identify, KeyIdentity
from gateway.live.beat import Beat
from gateway.live.vitals import Vitals
from gateway.providers.catalogue import PROVIDERS, open_provider
from gateway.providers.ports import CallTimeouts, Provider
from gateway.recorder import Recorder
from gateway.registry import load_seed
from gateway.router import Router
from gateway.settings import Settings
from gateway.storage.catalogue import open_store
from gateway.storage.ports import Store
from gateway.storage.watch import StorageWatch
from gateway.temporal.engine import Engine

_NO_RULES = RuleSet()


@dataclass(frozen=True, slots=True)
class World:
    """What a process works with."""

    settings: Settings
    origin: str
    store: Store
    storage: StorageWatch
    feed: Feed
    models: Registry
    providers: Mapping[str, Provider]
    attempts: Attempts
    exchanges: Exchanges
    recorder: Recorder
    identity: Identify
    engine: Engine
    vitals: Vitals
    router: Router

    def live(self) -> LiveFacts:
        """What is known of models and callers at this moment, over all replicas."""
        return self.vitals.facts()

    def registry(self) -> Registry:
        """The state of the registry in force."""
        return self.models


@asynccontextmanager
async def open_world(settings: Settings) -> AsyncGenerator[World]:
    """Open everything; neither a database nor an engine that is away keeps a process from starting.

    Raises SettingsError for a seed that is wrong and ValueError for keys that are.
    """
    models = load_seed(settings.registry.seed, frozenset(PROVIDERS))
    used = {model.provider for model in models.models.values()}
    store = await open_store(settings)
    storage = StorageWatch(store)
    feed = Feed(store.changes)
    providers = {name: open_provider(name, settings.providers) for name in sorted(used)}
    # A process is never the one it was before a restart: the connections it held are gone.
    origin = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    exchanges = Exchanges(origin, most_unsettled=settings.inference.max_unsettled)
    vitals = Vitals(origin)
    beat = Beat(vitals)
    attempts = Attempts(lambda: models, providers, _timeouts(settings), vitals)
    recorder = Recorder(
        store.requests,
        store.claims,
        exchanges,
        log_content=settings.inference.log_content,
        content_limit=settings.inference.log_content_limit,
    )
    identity = KeyIdentity(store.keys, cache=settings.identity.cache, max_stale=settings.identity.max_stale)
    router = Router(
        lambda: models,
        lambda: _NO_RULES,
        vitals.facts,
        lambda: GatewayLoad(len(exchanges), settings.api.max_in_flight),
    )
    engine = Engine(settings.temporal, store.blobs, max_starts=settings.inference.max_overlapped_starts)
    storage.start()
    feed.start()
    beat.start()
    try:
        yield World(
            settings,
            origin,
            store,
            storage,
            feed,
            models,
            providers,
            attempts,
            exchanges,
            recorder,
            identity,
            engine,
            vitals,
            router,
        )
    finally:
        await engine.close()
        for provider in providers.values():
            await provider.close()
        await feed.close()
        # After all attempts have ended and before the store: what they counted is told to the other replicas.
        await beat.close()
        await storage.close()
        await store.close()


def _timeouts(settings: Settings) -> CallTimeouts:
    own = settings.providers
    return CallTimeouts(own.connect_timeout, own.first_byte_timeout, own.total_timeout)
