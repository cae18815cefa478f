"""The ledger of deliveries and callers' secrets in memory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from gateway.domain.delivery import Delivery, SigningSecret
from gateway.domain.errors import WebhookSecretExists, WebhookSecretNotFound
from gateway.storage.audit import shown_secret
from gateway.storage.memory.registry import MemoryAudit
from gateway.storage.text import storable

NOUN = "webhooks"


class MemoryDeliveries:
    """The port `Deliveries`."""

    def __init__(self) -> None:
        """Nothing was tried yet."""
        self._tries: dict[tuple[str, str, str, int], Delivery] = {}

    async def note(self, delivery: Delivery) -> None:
        """Keep a try."""
        key = (delivery.job_id, delivery.channel, delivery.run, delivery.number)
        message = None if delivery.message is None else storable(delivery.message)
        self._tries.setdefault(key, replace(delivery, message=message))

    async def of(self, job_id: str) -> tuple[Delivery, ...]:
        """All tries to tell of a job."""
        found = (each for each in self._tries.values() if each.job_id == job_id)
        return tuple(sorted(found, key=lambda each: (each.at, each.channel, each.number)))

    def forget(self, jobs: Collection[str]) -> int:
        """Forget the tries of some jobs; returns how many they were."""
        old = [key for key in self._tries if key[0] in jobs]
        for key in old:
            del self._tries[key]
        return len(old)


class MemoryWebhookSecrets:
    """The port `WebhookSecrets`."""

    def __init__(self, audit: MemoryAudit) -> None:
        """There are none yet."""
        self._audit = audit
        self._secrets: dict[str, SigningSecret] = {}

    async def valid(self, caller: str, now: datetime) -> tuple[SigningSecret, ...]:
        """Those that sign now."""
        found = (s for s in self._secrets.values() if s.caller == caller)
        living = (s for s in found if s.ends_at is None or s.ends_at > now)
        return tuple(sorted(living, key=lambda s: (s.ends_at is None, s.created_at, s.id), reverse=True))

    async def create(self, secret: SigningSecret, *, actor: str) -> None:
        """Keep a caller's first secret."""
        if self._newest(secret.caller) is not None:
            raise WebhookSecretExists
        self._secrets[secret.id] = secret
        self._audit.add(actor, NOUN, secret.caller, "create", None, shown_secret(secret))

    async def rotate(self, secret: SigningSecret, ends_at: datetime, *, actor: str) -> None:
        """Keep a new secret beside the old one, which ends."""
        before = self._newest(secret.caller)
        if before is None:
            raise WebhookSecretNotFound
        for old in [s for s in self._secrets.values() if s.caller == secret.caller]:
            ends = ends_at if old.ends_at is None else min(old.ends_at, ends_at)
            self._secrets[old.id] = replace(old, ends_at=ends)
        self._secrets[secret.id] = secret
        ended = shown_secret(self._secrets[before.id])
        self._audit.add(actor, NOUN, secret.caller, "rotate", ended, shown_secret(secret))

    async def reseal(self, secret_id: str, secret: bytes, key_id: str) -> None:
        """Keep the same secret encrypted with another key."""
        known = self._secrets.get(secret_id)
        if known is not None:
            self._secrets[secret_id] = replace(known, secret=secret, key_id=key_id)

    def _newest(self, caller: str) -> SigningSecret | None:
        return next((s for s in self._secrets.values() if s.caller == caller and s.ends_at is None), None)
