"""The store in PostgreSQL: every port over one pool of connections."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from gateway.domain.errors import StorageUnavailable
from gateway.settings import Postgres
from gateway.storage.ports.batches import FileStore
from gateway.storage.postgres.batches import PostgresBatches, PostgresContents, PostgresFiles
from gateway.storage.postgres.blobs import PostgresBlobs
from gateway.storage.postgres.changes import PostgresChanges
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.deliveries import PostgresDeliveries, PostgresWebhookSecrets
from gateway.storage.postgres.idempotency import PostgresIdempotency
from gateway.storage.postgres.jobs import PostgresClaims, PostgresJobs
from gateway.storage.postgres.keys import PostgresKeys
from gateway.storage.postgres.limits import PostgresBuckets, PostgresSlots
from gateway.storage.postgres.live import PostgresLiveFeed
from gateway.storage.postgres.named import Q
from gateway.storage.postgres.prices import PostgresPrices, PostgresRepricings
from gateway.storage.postgres.probes import PostgresProbes
from gateway.storage.postgres.registry import PostgresAudit, PostgresModels
from gateway.storage.postgres.requests import PostgresRequests
from gateway.storage.postgres.responses import PostgresConversations, PostgresResponses
from gateway.storage.postgres.rules import PostgresRules
from gateway.storage.postgres.simulations import PostgresSimulations
from gateway.storage.postgres.streams import PostgresStreamLog
from gateway.storage.postgres.usage import PostgresRollups

MONTHS_AHEAD: Final = 2


class PostgresStore:
    """The port `Store`."""

    def __init__(self, database: Database, files_in: FileStore = FileStore.POSTGRES) -> None:
        """`database` is open already, and closed with the store; contents of files are written to `files_in`."""
        self._database = database
        self.requests = PostgresRequests(database)
        self.jobs = PostgresJobs(database)
        self.claims = PostgresClaims(database)
        self.idempotency = PostgresIdempotency(database)
        self.keys = PostgresKeys(database)
        self.blobs = PostgresBlobs(database)
        self.files = PostgresFiles(database, files_in)
        self.contents = PostgresContents(database)
        self.batches = PostgresBatches(database)
        self.streams = PostgresStreamLog(database)
        self.responses = PostgresResponses(database)
        self.conversations = PostgresConversations(database)
        self.models = PostgresModels(database)
        self.prices = PostgresPrices(database)
        self.repricings = PostgresRepricings(database)
        self.rollups = PostgresRollups(database)
        self.deliveries = PostgresDeliveries(database)
        self.webhook_secrets = PostgresWebhookSecrets(database)
        self.audit = PostgresAudit(database)
        self.rules = PostgresRules(database)
        self.simulations = PostgresSimulations(database)
        self.changes = PostgresChanges(database)
        self.buckets = PostgresBuckets(database)
        self.slots = PostgresSlots(database)
        self.live = PostgresLiveFeed(database)
        self.probes = PostgresProbes(database)

    async def ping(self) -> None:
        """Raise StorageUnavailable unless the database answers and has been migrated."""
        row = await self._database.row(Q.requests.ping)
        if row is None or not row["migrated"]:
            raise StorageUnavailable(detail="the database has not been migrated")

    async def ensure_partitions(self, now: datetime) -> int:
        """Make the ledger's partitions of this month and the next ones; returns how many were missing."""
        row = await self._database.row(
            Q.requests.ensure_partitions, {"now": now, "months_ahead": MONTHS_AHEAD}
        )
        return 0 if row is None else row["made"]

    async def expire(self, before: datetime) -> int:
        """Delete jobs, kept answers and large payloads that ended before then, and what limits no longer need."""
        queries = (
            Q.jobs.expire,
            Q.claims.expire,
            Q.idempotency.expire,
            Q.blobs.expire,
            Q.limits.expire,
            Q.simulations.expire,
            Q.streams.expire,
            Q.batches.expire,
            Q.deliveries.expire,
            Q.webhooks.expire,
        )
        gone = sum([len(await self._database.rows(query, {"before": before})) for query in queries])
        return gone + await self.responses.expire(datetime.now(UTC))

    async def close(self) -> None:
        """Write what waits and close all connections."""
        await self.requests.close()
        await self._database.close()


async def open_store(settings: Postgres, files_in: FileStore = FileStore.POSTGRES) -> PostgresStore:
    """Open the store; a database that is away is looked for in the background, and does not make this fail."""
    database = Database(settings)
    await database.open()
    return PostgresStore(database, files_in)
