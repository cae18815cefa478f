"""How many of something go on at once over all replicas: slots that each process holds, and says again or loses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from time import monotonic
from typing import Final

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.limiter.flights import Flights
from gateway.settings import LimitSettings
from gateway.storage.ports import Held, Hold, Slots

_REPLICAS: Final = "replicas"  # held once by each process: so they are counted
_MANY: Final = 1_000_000  # as good as no limit
_DENIED_FOR: Final = 0.05  # seconds for which nobody asks again after none was free
_TICKS: Final = 5  # how often what is held is said again before it would expire


@dataclass(slots=True)
class _Limited:
    """One number of slots, as this process knows it."""

    limit: int
    in_use: int = 0
    waiting: int = 0
    held: int = 0
    others: int = 0
    expires: float = 0.0
    denied_until: float = 0.0

    def free(self, now: float) -> bool:
        return self.in_use < min(self.held, self.limit) and now < self.expires

    def spare(self, replicas: int) -> int:
        """How many slots to hold beyond those needed now: few enough that all others find some too."""
        left = self.limit - self.others - self.in_use - self.waiting
        return max(0, min(1 + ceil(self.in_use / 4), left // (2 * replicas) if replicas > 1 else left))


class Concurrency:
    """Gives slots to calls."""

    def __init__(self, slots: Slots, holder: str, settings: LimitSettings) -> None:
        """`holder` names this process among all replicas."""
        self._slots = slots
        self._holder = holder
        self._expiry = settings.slot_expiry
        self._patience = settings.patience.total_seconds()
        self._limited: dict[str, _Limited] = {}
        self._flights = Flights(self._say)
        self._away = False
        self._ticking: asyncio.Task[None] | None = None
        self._clock = monotonic
        self.replicas = 1

    def start(self) -> None:
        """Begin to say what is held."""
        self._ticking = asyncio.create_task(self._tick(), name="slots")

    async def close(self) -> None:
        """Give everything back: what still goes on counts no more."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        await self._flights.close()
        held = [Hold(key, each.limit, 0, 0) for key, each in self._limited.items() if each.held]
        with suppress(StorageUnavailable):
            await self._slots.hold(self._holder, [*held, Hold(_REPLICAS, 1, 0, 0)], self._expiry)

    def in_use(self, key: str) -> int:
        """How many slots calls of this process are in."""
        limited = self._limited.get(key)
        return 0 if limited is None else limited.in_use

    async def enter(self, key: str, limit: int) -> bool:
        """Take a slot, if one is free over all replicas. Decided in memory where this process holds a free one."""
        limited = self._limited.setdefault(key, _Limited(limit))
        limited.limit = min(limit, _MANY)
        if limited.free(self._clock()):
            limited.in_use += 1
            return True
        if self._clock() < limited.denied_until:
            return False
        return await self._ask(key, limited)

    def leave(self, key: str) -> None:
        """Give a slot back."""
        limited = self._limited.get(key)
        if limited is None or not limited.in_use:
            raise ValueError(f"no slot of {key} is in use")
        limited.in_use -= 1
        limited.denied_until = 0.0
        if limited.held - limited.in_use > limited.spare(self.replicas) == 0:
            self._flights.join(key)  # few are left for the others: now, not with the next tick

    async def _ask(self, key: str, limited: _Limited) -> bool:
        limited.waiting += 1
        try:
            for _ in range(2):  # the first may have been on its way before we waited
                under_way = self._flights.carries(key)
                if self._away or not await self._landed(self._flights.join(key)):
                    return self._by_share(limited)
                if limited.free(self._clock()):
                    limited.in_use += 1
                    return True
                if not under_way:
                    break
        finally:
            limited.waiting -= 1
        limited.denied_until = self._clock() + _DENIED_FOR
        return False

    async def _landed(self, landing: asyncio.Future[None]) -> bool:
        done, _ = await asyncio.wait({landing}, timeout=self._patience)
        if done and isinstance(landing.exception(), StorageUnavailable):
            self._away = True
        return bool(done) and landing.exception() is None

    def _by_share(self, limited: _Limited) -> bool:
        telemetry.LIMITS_LOCAL.inc()
        held = limited.held if self._clock() < limited.expires else 0
        if limited.in_use >= max(1, held, limited.limit // self.replicas):
            return False
        limited.in_use += 1
        return True

    async def _say(self, keys: Sequence[str]) -> None:
        sent = self._clock()
        wanted: list[Hold] = []
        for key in keys:
            limited = self._limited.get(key)
            if limited is None:
                wanted.append(Hold(key, _MANY, 1, 1) if key == _REPLICAS else Hold(key, 0, 0, 0))
            else:
                most = limited.in_use + limited.waiting + limited.spare(self.replicas)
                wanted.append(Hold(key, limited.limit, limited.in_use, most))
        told = await self._slots.hold(self._holder, wanted, self._expiry)
        for key, held in zip(keys, told, strict=True):
            self._note(key, held, sent + self._expiry.total_seconds())

    def _note(self, key: str, held: Held, expires: float) -> None:
        if key == _REPLICAS:
            self.replicas = 1 + held.others
            return
        limited = self._limited.get(key)
        if limited is not None:
            limited.held, limited.others, limited.expires = held.slots, held.others, expires

    async def _tick(self) -> None:
        while True:
            idle = [k for k, each in self._limited.items() if not (each.in_use or each.waiting or each.held)]
            for key in idle:
                del self._limited[key]
            landings = {self._flights.join(key) for key in (_REPLICAS, *self._limited)}
            await asyncio.wait(landings, timeout=self._expiry.total_seconds() / _TICKS)
            away = any(each.done() and each.exception() is not None for each in landings)
            if away != self._away:
                telemetry.log.warning("slots_local" if away else "slots_shared", replicas=self.replicas)
            self._away = away
            await asyncio.sleep(self._expiry.total_seconds() / _TICKS)
