"""Settings → World: everything a process has open, built in order and closed in reverse."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.attempt import Attempts
from gateway.delivery.catalogue import Dispatch, open_dispatch
from gateway.domain.health import LiveFacts
from gateway.domain.rules import GatewayLoad
from gateway.exchange import Exchanges
from gateway.feed import Feed
from gateway.identity import Identify, KeyIdentity
from gateway.keyrings import ANSWERS, CREDENTIALS, payload_ring_of, ring_of
from gateway.limiter import Concurrency, Gate, Limiter
from gateway.live.beat import Beat, live_of
from gateway.live.prober import Means, Prober
from gateway.live.vitals import Vitals
from gateway.net.guard import Guard
from gateway.prices import PriceKeeper, PriceTable
from gateway.providers.catalogue import MANUALS, OpenProviders
from gateway.providers.credentials import Credentials
from gateway.providers.discovery import Discovery
from gateway.providers.ports import CallTimeouts
from gateway.recorder import Recorder
from gateway.registry.checks import Checks
from gateway.registry.desk import Desk
from gateway.registry.editor import Editor
from gateway.registry.live import LiveRegistry
from gateway.registry.seed import load_seed
from gateway.responses import ResponseKeeper
from gateway.router import Router
from gateway.rulebook import Rulebook
from gateway.rules.texts import RuleTexts
from gateway.seal import Seal
from gateway.settings import Settings
from gateway.storage.catalogue import open_store
from gateway.storage.ports import Store
from gateway.storage.watch import StorageWatch
from gateway.temporal.engine import Engine

_PATIENCE: Final = 2.0
"""Seconds that a process waits at its start for its copies of what is in the database; then it goes on without."""


@dataclass(frozen=True, slots=True)
class World:
    """What a process works with."""

    settings: Settings
    origin: str
    store: Store
    storage: StorageWatch
    feed: Feed
    registry: LiveRegistry
    desk: Desk
    prices: PriceTable
    keeper: PriceKeeper
    rulebook: Rulebook
    texts: RuleTexts
    providers: OpenProviders
    attempts: Attempts
    exchanges: Exchanges
    recorder: Recorder
    identity: Identify
    engine: Engine
    vitals: Vitals
    beat: Beat
    router: Router
    limiter: Limiter
    gate: Gate
    seal: Seal
    dispatch: Dispatch
    responses: ResponseKeeper

    def live(self) -> LiveFacts:
        """What is known of models and callers at this moment, over all replicas."""
        return self.vitals.facts()


@asynccontextmanager
async def open_world(settings: Settings) -> AsyncGenerator[World]:  # noqa: PLR0915  one part after another
    """Open everything; neither a database nor an engine that is away keeps a process from starting.

    Raises SettingsError for a seed that is wrong and ValueError for keys that are.
    """
    credentials = Credentials(settings.credentials, ring_of(settings, CREDENTIALS))
    checks = _checks(settings, credentials)
    seed = load_seed(settings.registry.seed, checks)
    store = await open_store(settings)
    storage = StorageWatch(store)
    feed = Feed(store.changes)
    providers = OpenProviders(settings.providers, credentials)
    registry = LiveRegistry(store.models, seed, providers.prepare, credentials, providers.operations)
    desk = _desk(settings, store, feed, credentials, checks, providers)
    prices = PriceTable(store.prices, registry.charge)
    keeper = PriceKeeper(registry, prices, store.prices)
    feed.follow("registry", _then(registry.reload, keeper.wake))
    feed.follow("prices", _then(prices.reload, keeper.wake))
    texts = RuleTexts()
    rulebook = Rulebook(store.rules, texts, settings.rules.seed)
    feed.follow("rules", rulebook.reload)
    # A process is never the one it was before a restart: the connections it held are gone.
    origin = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    exchanges = Exchanges(origin, most_unsettled=settings.inference.max_unsettled)
    beat = live_of(origin, store, settings.health)
    vitals = beat.vitals
    concurrency = Concurrency(store.slots, origin, settings.limits)
    limiter = Limiter(store.buckets, settings.limits, lambda: concurrency.replicas)
    gate = Gate(limiter, concurrency)
    attempts = Attempts(registry, providers, _timeouts(settings), vitals, gate)
    recorder = Recorder(
        store.requests,
        store.claims,
        exchanges,
        log_content=settings.inference.log_content,
        content_limit=settings.inference.log_content_limit,
    )
    identity = KeyIdentity(
        store.keys,
        cache=settings.identity.cache,
        max_stale=settings.identity.max_stale,
        known=beat.budgets.know,
    )
    router = Router(
        registry,
        rulebook,
        vitals.facts,
        lambda: GatewayLoad(len(exchanges), settings.api.max_in_flight),
    )
    engine = Engine(settings.temporal, store.blobs, max_starts=settings.inference.max_overlapped_starts)
    prober = Prober(
        vitals,
        Means(registry, providers, desk.discovery, credentials, store.probes),
        settings.health.probes,
    )
    dispatch = open_dispatch(settings, store.webhook_secrets, f"llm-gateway {origin}")
    for part in (dispatch, storage, feed, beat, concurrency, limiter, prober):
        part.start()
    seal = Seal(payload_ring_of(settings, ANSWERS))
    try:
        await _wait_for_copies(feed)
        yield World(
            settings,
            origin,
            store,
            storage,
            feed,
            registry,
            desk,
            prices,
            keeper,
            rulebook,
            texts,
            providers,
            attempts,
            exchanges,
            recorder,
            identity,
            engine,
            vitals,
            beat,
            router,
            limiter,
            gate,
            seal,
            dispatch,
            ResponseKeeper(store.responses, store.streams, store.claims, seal, settings.responses),
        )
    finally:
        await prober.close()
        await engine.close()
        await dispatch.close()
        await providers.close()
        await desk.discovery.close()
        await feed.close()
        await keeper.close()
        await texts.close()
        # After all attempts have ended and before the store: what they counted is told to the other replicas.
        await beat.close()
        await limiter.close()
        await concurrency.close()
        await storage.close()
        await store.close()


def _then(reload: Callable[[], Awaitable[None]], after: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def both() -> None:
        await reload()
        after()

    return both


async def _wait_for_copies(feed: Feed) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await feed.complete()


def _checks(settings: Settings, credentials: Credentials) -> Checks:
    private = settings.providers.allow_private_networks
    return Checks(MANUALS, credentials.why_not, allow_private=private)


def _desk(
    settings: Settings,
    store: Store,
    feed: Feed,
    credentials: Credentials,
    checks: Checks,
    providers: OpenProviders,
) -> Desk:
    guard = Guard(allow_private=settings.providers.allow_private_networks)
    editor = Editor(store.models, checks, credentials, guard, partial(feed.catch_up, "registry"))
    discovery = Discovery(settings.providers)
    return Desk(credentials, checks, guard, editor, discovery, providers.operations)


def _timeouts(settings: Settings) -> CallTimeouts:
    own = settings.providers
    return CallTimeouts(own.connect_timeout, own.first_byte_timeout, own.total_timeout)
