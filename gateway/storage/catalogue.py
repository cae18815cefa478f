"""The storage backends by name; each port is served by the one that `storage.<port>` names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Final

from gateway.settings import FilesSettings, Settings, Storage
from gateway.storage.changes import ChangesByNoun
from gateway.storage.contents import ContentsByStore
from gateway.storage.memory import MemoryStore
from gateway.storage.ports import (
    Audit,
    Batches,
    Blobs,
    Buckets,
    Changes,
    Claims,
    Contents,
    Conversations,
    Deliveries,
    Files,
    FileStore,
    Idempotency,
    Jobs,
    Keys,
    LiveFeed,
    Models,
    Prices,
    Probes,
    Repricings,
    Requests,
    Responses,
    Rollups,
    Rules,
    Simulations,
    Slots,
    Store,
    StreamLog,
    WebhookSecrets,
)
from gateway.storage.postgres.store import open_store as open_postgres
from gateway.storage.s3.bucket import Bucket
from gateway.storage.s3.contents import S3Contents


async def _postgres(settings: Settings) -> Store:
    if not settings.postgres.url:
        raise ValueError(
            "postgres.url: expected postgresql://…, got nothing, and a port of storage is on postgres"
        )
    return await open_postgres(settings.postgres, FileStore(settings.batches.files.store))


async def _memory(settings: Settings) -> Store:
    return MemoryStore(FileStore(settings.batches.files.store))


BACKENDS: Final[Mapping[str, Callable[[Settings], Awaitable[Store]]]] = {
    "memory": _memory,
    "postgres": _postgres,
}


@dataclass(frozen=True, slots=True)
class PortByPort:
    """A store whose ports come from several backends."""

    requests: Requests
    jobs: Jobs
    claims: Claims
    idempotency: Idempotency
    keys: Keys
    blobs: Blobs
    files: Files
    contents: Contents
    batches: Batches
    streams: StreamLog
    responses: Responses
    conversations: Conversations
    models: Models
    prices: Prices
    repricings: Repricings
    rollups: Rollups
    deliveries: Deliveries
    webhook_secrets: WebhookSecrets
    audit: Audit
    rules: Rules
    simulations: Simulations
    changes: Changes
    buckets: Buckets
    slots: Slots
    live: LiveFeed
    probes: Probes
    backends: tuple[Store, ...]

    async def ping(self) -> None:
        """Raise StorageUnavailable unless every backend answers."""
        for backend in self.backends:
            await backend.ping()

    async def ensure_partitions(self, now: datetime) -> int:
        """Make room in every backend."""
        return sum([await backend.ensure_partitions(now) for backend in self.backends])

    async def expire(self, before: datetime) -> int:
        """Delete what ended before then in every backend."""
        return sum([await backend.expire(before) for backend in self.backends])

    async def close(self) -> None:
        """Close every backend."""
        for backend in reversed(self.backends):
            await backend.close()


async def open_store(settings: Settings) -> Store:
    """Open the backends that the settings name. Raises ValueError, naming the key, for names that do not do.

    Neither a database nor S3 that is away makes this fail; S3 that answers and refuses does. Payloads by reference lie
    where the claims do, and so does what is kept by Idempotency-Key.
    """
    chosen = settings.storage
    for port, name in chosen.model_dump().items():
        if name not in BACKENDS:
            raise ValueError(
                f"storage.{port}: expected one of {', '.join(sorted(BACKENDS))}, got {name}{_nearest(name)}"
            )
    if chosen.jobs != chosen.requests:
        # A job ends in the transaction that settles its request: there is none over two backends.
        raise ValueError(
            f"storage.jobs: expected {chosen.requests}, as storage.requests is, got {chosen.jobs}"
        )
    names = dict.fromkeys(
        (chosen.requests, chosen.claims, chosen.keys, chosen.models, chosen.limits, chosen.live)
    )
    opened = {name: await BACKENDS[name](settings) for name in names}
    files = settings.batches.files
    named = files.store == FileStore.S3 or files.s3.bucket
    if len(opened) == 1 and not named:
        return opened[chosen.requests]
    contents = opened[chosen.requests].contents
    if named:
        try:
            contents = await _with_s3(files, opened[chosen.requests])
        except BaseException:
            for backend in opened.values():
                await backend.close()
            raise
    return PortByPort(
        requests=opened[chosen.requests].requests,
        jobs=opened[chosen.jobs].jobs,
        claims=opened[chosen.claims].claims,
        idempotency=opened[chosen.claims].idempotency,
        keys=opened[chosen.keys].keys,
        blobs=opened[chosen.claims].blobs,
        files=opened[chosen.requests].files,
        contents=contents,
        batches=opened[chosen.requests].batches,
        streams=opened[chosen.claims].streams,
        responses=opened[chosen.claims].responses,
        conversations=opened[chosen.claims].conversations,
        models=opened[chosen.models].models,
        prices=opened[chosen.models].prices,
        repricings=opened[chosen.requests].repricings,
        rollups=opened[chosen.requests].rollups,
        deliveries=opened[chosen.jobs].deliveries,
        webhook_secrets=opened[chosen.keys].webhook_secrets,
        audit=opened[chosen.models].audit,
        rules=opened[chosen.models].rules,
        simulations=opened[chosen.requests].simulations,
        changes=_changes(opened, chosen),
        buckets=opened[chosen.limits].buckets,
        slots=opened[chosen.limits].slots,
        live=opened[chosen.live].live,
        probes=opened[chosen.live].probes,
        backends=tuple(opened.values()),
    )


def _changes(opened: Mapping[str, Store], chosen: Storage) -> Changes:
    rest = opened[chosen.requests].changes
    if len(opened) == 1:
        return rest
    return ChangesByNoun(dict.fromkeys(("registry", "prices", "rules"), opened[chosen.models].changes), rest)


async def _with_s3(settings: FilesSettings, beside: Store) -> Contents:
    bucket = Bucket(settings.s3)
    await bucket.check()
    stores = {FileStore.POSTGRES: beside.contents, FileStore.S3: S3Contents(bucket, beside.files)}
    return ContentsByStore(stores, FileStore(settings.store), beside.files)


def _nearest(name: str) -> str:
    near = get_close_matches(name, BACKENDS, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
