"""The channels of delivery by the names that a job's `deliver` uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.delivery.bus import Bus
from gateway.delivery.jetstream import JetStream
from gateway.delivery.memory import MemoryChannel
from gateway.delivery.ports import Channel, SigningSecrets
from gateway.delivery.seals import Seals
from gateway.delivery.webhook import Webhooks
from gateway.domain.delivery import NATS, WEBHOOK
from gateway.keyrings import DELIVERY, ring_of
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What a process tells of finished jobs with; `bus` is its one connection to NATS, whoever needs it."""

    bus: Bus
    seals: Seals
    channels: Mapping[str, Channel]

    def start(self) -> None:
        """Begin to connect to NATS. Raises ValueError, naming the setting, for a file that cannot be read."""
        self.bus.start()

    async def close(self) -> None:
        """Close all connections."""
        for channel in self.channels.values():
            await channel.close()
        await self.bus.close()


def open_dispatch(settings: Settings, secrets: SigningSecrets, name: str) -> Dispatch:
    """The channels that this installation has: NATS only where it is set. `name` is this process's for NATS."""
    seals = Seals(ring_of(settings, DELIVERY))
    bus = Bus(settings.nats, name)
    channels: dict[str, Channel] = {WEBHOOK: Webhooks(settings.delivery, seals, secrets)}
    if bus.there:
        channels[NATS] = JetStream(settings.delivery, bus)
    return Dispatch(bus, seals, channels)


def open_memory() -> MemoryChannel:
    """A channel for tests."""
    return MemoryChannel()
