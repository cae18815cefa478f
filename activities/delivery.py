"""Handing finished jobs to their callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from temporalio import activity
from temporalio.exceptions import ApplicationError

from gateway import telemetry
from gateway.delivery.ports import Channel, Notice
from gateway.domain.errors import GatewayError
from gateway.domain.inference import Status


@dataclass(frozen=True, slots=True)
class Deliver:
    """Which job is told of, by which channel, and where."""

    channel: str
    target: str
    job_id: str
    status: Status


class DeliveryActivities:
    """Brings notices by the channels that this installation has."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        """`channels` by the name that a job's `deliver` uses."""
        self._channels = channels

    @activity.defn(name="deliver")
    async def deliver(self, wanted: Deliver) -> None:
        """Bring one notice."""
        channel = self._channels.get(wanted.channel)
        if channel is None:
            raise ApplicationError(f"no channel {wanted.channel}", type="no_channel", non_retryable=True)
        try:
            await channel.deliver(Notice(wanted.job_id, wanted.status, wanted.target))
        except GatewayError as e:
            telemetry.DELIVERIES.labels(wanted.channel, "failed" if e.retryable else "refused").inc()
            raise ApplicationError(e.message, type=e.code, non_retryable=not e.retryable) from e
        telemetry.DELIVERIES.labels(wanted.channel, "delivered").inc()
