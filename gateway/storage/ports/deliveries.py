"""What became of telling callers of their finished jobs, and the secrets that webhooks are signed with."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from gateway.domain.delivery import Delivery, SigningSecret


class Deliveries(Protocol):
    """The ledger of deliveries: a row for each try. Its rows go with their jobs."""

    async def note(self, delivery: Delivery) -> None:
        """Keep a try; of two with one job, channel, run and number the first stays."""
        ...

    async def of(self, job_id: str) -> tuple[Delivery, ...]:
        """All tries to tell of a job, the first one first."""
        ...


class WebhookSecrets(Protocol):
    """The secrets of callers, encrypted. Changes are audited in their transaction, and the audit holds no secret."""

    async def valid(self, caller: str, now: datetime) -> tuple[SigningSecret, ...]:
        """Those that sign now: the newest first, then those that were rotated out and have not ended."""
        ...

    async def create(self, secret: SigningSecret, *, actor: str) -> None:
        """Keep a caller's first secret. Raises WebhookSecretExists if it has one."""
        ...

    async def rotate(self, secret: SigningSecret, ends_at: datetime, *, actor: str) -> None:
        """Keep a new secret; those that sign now end at `ends_at`, or when they would anyway.

        Raises WebhookSecretNotFound if there is none to be rotated out.
        """
        ...

    async def reseal(self, secret_id: str, secret: bytes, key_id: str) -> None:
        """Keep the same secret encrypted with another key."""
        ...
