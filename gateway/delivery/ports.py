"""What the gateway asks of a delivery channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.domain.inference import Status


@dataclass(frozen=True, slots=True)
class Notice:
    """That a job has ended: what a channel brings to `target` (an address in the channel's own terms)."""

    job_id: str
    status: Status
    target: str


class Channel(Protocol):
    """A way to bring a notice to a caller. It never retries; the workflow does."""

    async def deliver(self, notice: Notice) -> None:
        """Bring it. Raises a GatewayError, `retryable` if another try may help; safe to do twice."""
        ...
