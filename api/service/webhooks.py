"""The secrets that a caller's webhooks are signed with: made here, shown once, and rotated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.delivery.seals import Seals, new_secret
from gateway.domain.delivery import SigningSecret
from gateway.domain.errors import InvalidRequest
from gateway.domain.identity import Caller, Right
from gateway.domain.secret import Secret
from gateway.storage.ports import WebhookSecrets

KEEP: Final = timedelta(days=1)
LONGEST_KEEP: Final = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Made:
    """A secret that was made just now: its text is shown this once."""

    kept: SigningSecret
    secret: Secret


class WebhooksService:
    """Makes and rotates a caller's own secrets, with the right `infer`: they belong to its jobs."""

    def __init__(self, secrets: WebhookSecrets, seals: Seals) -> None:
        """`seals` encrypt what is kept."""
        self._secrets = secrets
        self._seals = seals

    async def get(self, caller: Caller) -> Sequence[SigningSecret]:
        """Those that sign now, the newest first."""
        caller.require(Right.INFER)
        return await self._secrets.valid(caller.id, datetime.now(UTC))

    async def create(self, caller: Caller, *, actor: str | None = None) -> Made:
        """Make the first secret; `actor` is who does it for the caller.

        Raises WebhookSecretExists, and InvalidRequest without a key to encrypt it with.
        """
        caller.require(Right.INFER)
        made = self._made(caller.id)
        await self._secrets.create(made.kept, actor=actor or caller.id)
        return made

    async def rotate(self, caller: Caller, keep_s: float | None, *, actor: str | None = None) -> Made:
        """Make another one, which the old one signs beside for as many seconds as `keep_s` says.

        Raises WebhookSecretNotFound, and InvalidRequest as `create` does and for one that is too long.
        """
        caller.require(Right.INFER)
        if keep_s is not None and not 0 <= keep_s <= LONGEST_KEEP.total_seconds():
            raise InvalidRequest(f"`keep` must be from nothing to {LONGEST_KEEP.days} days.", param="keep")
        keep = KEEP if keep_s is None else timedelta(seconds=keep_s)
        made = self._made(caller.id)
        await self._secrets.rotate(made.kept, made.kept.created_at + keep, actor=actor or caller.id)
        return made

    def _made(self, caller: str) -> Made:
        if not self._seals.can_seal:
            raise InvalidRequest(
                "This gateway has no key to encrypt secrets with: let an administrator set temporal.encryption."
            )
        secret = new_secret()
        return Made(self._seals.seal_secret(secret, caller, datetime.now(UTC)), secret)
