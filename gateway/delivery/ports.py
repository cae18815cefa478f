"""What the gateway asks of a delivery channel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.delivery.event import Event
from gateway.domain.delivery import Destination, SigningSecret


@dataclass(frozen=True, slots=True)
class Notice:
    """An event on its way: to whom, of which caller's job, and when this try was begun."""

    event: Event
    destination: Destination
    caller: str
    at: datetime
    traceparent: str = ""


class SigningSecrets(Protocol):
    """Callers' own secrets, as far as signing needs them (the port `storage.ports.WebhookSecrets`)."""

    async def valid(self, caller: str, now: datetime) -> tuple[SigningSecret, ...]:
        """Those that sign now, the newest first."""
        ...

    async def reseal(self, secret_id: str, secret: bytes, key_id: str) -> None:
        """Keep the same secret encrypted with another key."""
        ...


class Channel(Protocol):
    """A way to bring an event to a caller. It never retries; the workflow does."""

    async def deliver(self, notice: Notice) -> int | None:
        """Bring it, and return the receiver's status where it has one.

        Raises a GatewayError, `retryable` if another try may help, with the receiver's `status` and `retry_after`. Safe
        to do twice: receivers know an event by its id.
        """
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...
