"""The ledger of deliveries and callers' secrets in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from gateway.domain.delivery import Delivery, DeliveryOutcome, SigningSecret
from gateway.domain.errors import WebhookSecretExists, WebhookSecretNotFound
from gateway.ids import parse_id
from gateway.storage.audit import shown_secret
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q
from gateway.storage.postgres.registry import audited
from gateway.storage.postgres.rows import Row
from gateway.storage.text import storable

NOUN: Final = "webhooks"


class PostgresDeliveries:
    """The port `Deliveries`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def note(self, delivery: Delivery) -> None:
        """Keep a try."""
        await self._database.rows(
            Q.deliveries.note,
            {
                "job_id": parse_id(delivery.job_id),
                "channel": delivery.channel,
                "run": delivery.run,
                "number": delivery.number,
                "at": delivery.at,
                "target": storable(delivery.target),
                "outcome": delivery.outcome,
                "took_ms": delivery.took_ms,
                "by_hand": delivery.by_hand,
                "status": delivery.status,
                "code": delivery.code,
                "message": None if delivery.message is None else storable(delivery.message),
                "next_at": delivery.next_at,
            },
        )

    async def of(self, job_id: str) -> tuple[Delivery, ...]:
        """All tries to tell of a job."""
        uuid = parse_id(job_id)
        rows = [] if uuid is None else await self._database.rows(Q.deliveries.of, {"job_id": uuid})
        return tuple(_delivery_of(row) for row in rows)


class PostgresWebhookSecrets:
    """The port `WebhookSecrets`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def valid(self, caller: str, now: datetime) -> tuple[SigningSecret, ...]:
        """Those that sign now."""
        rows = await self._database.rows(Q.webhooks.valid, {"caller": caller, "now": now})
        return tuple(_secret_of(row) for row in rows)

    async def create(self, secret: SigningSecret, *, actor: str) -> None:
        """Keep a caller's first secret."""
        async with self._database.transaction() as work:
            if await work.row(Q.webhooks.create, _columns(secret)) is None:
                raise WebhookSecretExists
            await audited(work, actor, NOUN, secret.caller, "create", None, shown_secret(secret))

    async def rotate(self, secret: SigningSecret, ends_at: datetime, *, actor: str) -> None:
        """Keep a new secret beside the old one, which ends."""
        async with self._database.transaction() as work:
            await work.rows(Q.webhooks.lock, {"caller": secret.caller})
            ended = await work.rows(Q.webhooks.end, {"caller": secret.caller, "ends_at": ends_at})
            before = next((row for row in ended if row["was_newest"]), None)
            if before is None:
                raise WebhookSecretNotFound
            if await work.row(Q.webhooks.create, _columns(secret)) is None:
                raise AssertionError("the newest one has just been ended in this transaction")
            told = shown_secret(_secret_of(before))
            await audited(work, actor, NOUN, secret.caller, "rotate", told, shown_secret(secret))

    async def reseal(self, secret_id: str, secret: bytes, key_id: str) -> None:
        """Keep the same secret encrypted with another key."""
        wanted = {"id": parse_id(secret_id), "secret": secret, "key_id": key_id}
        await self._database.rows(Q.webhooks.reseal, wanted)


def _columns(secret: SigningSecret) -> dict[str, object]:
    return {
        "id": parse_id(secret.id),
        "caller": secret.caller,
        "secret": secret.secret,
        "key_id": secret.key_id,
        "last_four": secret.last_four,
        "created_at": secret.created_at,
    }


def _secret_of(row: Row) -> SigningSecret:
    return SigningSecret(
        id=str(row["id"]),
        caller=row["caller"],
        secret=row["secret"],
        key_id=row["key_id"],
        last_four=row["last_four"],
        created_at=row["created_at"],
        ends_at=row["ends_at"],
    )


def _delivery_of(row: Row) -> Delivery:
    return Delivery(
        job_id=str(row["job_id"]),
        channel=row["channel"],
        run=row["run"],
        number=row["number"],
        at=row["at"],
        target=row["target"],
        outcome=DeliveryOutcome(row["outcome"]),
        took_ms=row["took_ms"],
        by_hand=row["by_hand"],
        status=row["status"],
        code=row["code"],
        message=row["message"],
        next_at=row["next_at"],
    )
