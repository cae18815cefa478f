"""Token buckets that all replicas share, asked in memory.

Each process draws tokens from the shared bucket ahead of need, as many as it uses in about a second, so that a request
nearly always finds one here. What was drawn is gone from the shared bucket: so over all replicas never more is granted
than `rate * t + burst`, whoever dies with tokens in hand. What is not needed goes back when its lease expires.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Final

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.domain.inference import Usage
from gateway.domain.limits import Standing, Throttle, Unit, time_for
from gateway.limiter.flights import Flights
from gateway.limiter.lease import Lease
from gateway.settings import LimitSettings
from gateway.storage.ports import Buckets, Unspent

_ROUNDS: Final = 3  # draws that one request waits for at most: others may have taken what a draw brought
_LOOK_EVERY: Final = 0.5  # seconds between two looks at a store that is away
_AT_ONCE: Final = 500  # buckets in one statement
_FEWEST: Final = 64  # keys to remember at least: those of one request must not drive out each other
_MOMENT: Final = timedelta(milliseconds=10)
_AHEAD, _NEEDED, _OWED = "ahead", "needed", "owed"


@dataclass(frozen=True, slots=True)
class Taken:
    """The tokens of these throttles were taken."""

    throttles: tuple[Throttle, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing was taken: `throttle` has too few tokens, and has them after this time if nobody else comes."""

    after: timedelta
    throttle: Throttle


_NOTHING: Final = Taken()


class Limiter:
    """Takes tokens for requests."""

    def __init__(self, buckets: Buckets, settings: LimitSettings, replicas: Callable[[], int]) -> None:
        """`replicas` tells how many processes share the buckets: for each one's share when the store is away."""
        self._buckets = buckets
        self._ahead = settings.lease.total_seconds()
        self._expiry = settings.lease_expiry.total_seconds()
        self._patience = settings.patience.total_seconds()
        self._most = max(settings.max_keys, _FEWEST)
        self._replicas = replicas
        self._leases: OrderedDict[str, Lease] = OrderedDict()  # used longest ago first
        self._holding: OrderedDict[str, Lease] = OrderedDict()  # drawn longest ago first
        self._unspent: dict[str, tuple[Lease, float]] = {}
        self._flights = Flights(self._draw)
        self._away = False
        self._tasks: list[asyncio.Task[None]] = []
        self._clock = monotonic

    def start(self) -> None:
        """Begin to give back what is not needed."""
        self._tasks.append(asyncio.create_task(self._sweep(), name="leases"))

    async def close(self) -> None:
        """Give everything back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._flights.close()
        self._expire(float("inf"))
        with suppress(StorageUnavailable):
            await self._give_back()

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._leases)

    async def take(self, throttles: Sequence[Throttle]) -> Taken | Wait:
        """Take the tokens of all throttles, or none. Nearly always decided in memory, never later than `patience`."""
        if not throttles:
            return _NOTHING
        waited = 0
        while True:
            now = self._clock()
            lacking = [t for t in throttles if not self._lease(t, now).has(t.need, now)]
            if not lacking:
                return self._spend(throttles, now)
            if self._away:
                return self._by_share(throttles, lacking, now)
            dry = [t for t in lacking if self._leases[t.key].is_dry(t.need, now)]
            if dry or waited >= _ROUNDS:
                return self._wait(dry or lacking, now)
            waited += 1
            try:
                await self._fill(lacking)
            except (StorageUnavailable, TimeoutError):
                self._lost()

    def give_back(self, taken: Taken) -> None:
        """Put taken tokens back: what they were taken for does not happen."""
        for throttle in taken.throttles:
            self.correct(throttle, throttle.cost)

    def settle(self, throttles: Sequence[Throttle], usage: Usage | None) -> None:
        """Correct what was estimated of a request's tokens; where its usage is not known, the estimate stands."""
        if usage is not None:
            for throttle in throttles:
                if throttle.unit is Unit.TOKENS:
                    self.correct(throttle, throttle.cost - usage.input - usage.output)

    def correct(self, throttle: Throttle, tokens: float) -> None:
        """Put tokens back into a bucket, or take more out of it: the cost was estimated."""
        now = self._clock()
        lease = self._lease(throttle, now)
        if tokens > 0 and now >= lease.expires:
            self._put(throttle.key, lease, tokens)
        else:
            lease.tokens += tokens
            self._hold(throttle.key, lease)

    async def queue(self, wait: Wait) -> timedelta:
        """A place in line behind everybody who was told to wait: when to come again for the tokens."""
        throttle = wait.throttle
        try:
            turn = await self._buckets.queue(throttle.key, throttle.rate, throttle.burst, throttle.cost)
        except StorageUnavailable:
            return wait.after
        return max(turn, wait.after)

    def standings(self, throttles: Sequence[Throttle]) -> tuple[Standing, ...]:
        """How a caller stands with these throttles, as far as it is known here."""
        now = self._clock()
        return tuple(self._standing(throttle, now) for throttle in throttles)

    # ---- in memory -----------------------------------------------------------------------------------------------
    def _lease(self, throttle: Throttle, now: float) -> Lease:
        lease = self._leases.get(throttle.key)
        if lease is None:
            lease = self._leases[throttle.key] = Lease(throttle.rate, throttle.burst)
            if len(self._leases) > self._most:
                self._forget(*self._leases.popitem(last=False))
            return lease
        self._leases.move_to_end(throttle.key)
        lease.follow(throttle)
        if lease.tokens > 0 and now >= lease.expires:
            self._put(throttle.key, lease, lease.tokens)
            lease.tokens = 0.0
        return lease

    def _spend(self, throttles: Sequence[Throttle], now: float) -> Taken:
        for throttle in throttles:
            lease = self._leases[throttle.key]
            lease.spend(throttle.cost, now)
            if lease.owes or lease.runs_low(now, self._ahead, self._replicas()):
                self._join(throttle.key, _AHEAD)
        return Taken(tuple(throttles))

    def _wait(self, dry: Sequence[Throttle], now: float) -> Wait:
        waits = [Wait(self._leases[t.key].wait(t.need, now), t) for t in dry]
        longest = max(waits, key=lambda wait: wait.after)
        # Tokens that are there and went to somebody else just now: come again in a moment.
        return longest if longest.after > _MOMENT else Wait(_MOMENT, longest.throttle)

    def _standing(self, throttle: Throttle, now: float) -> Standing:
        lease = self._leases.get(throttle.key)
        left = throttle.burst if lease is None else max(0.0, lease.left(now))
        return Standing(throttle.unit, throttle.burst, left, time_for(throttle.burst - left, throttle.rate))

    def _by_share(
        self, throttles: Sequence[Throttle], lacking: Sequence[Throttle], now: float
    ) -> Taken | Wait:
        telemetry.LIMITS_LOCAL.inc()
        replicas = self._replicas()
        missing = [(self._leases[t.key].own_share(t.need, now, replicas), t) for t in lacking]
        waits = [
            Wait(time_for(tokens, throttle.rate / replicas), throttle)
            for tokens, throttle in missing
            if tokens > 0
        ]
        if waits:
            return max(waits, key=lambda wait: wait.after)
        for throttle in throttles:
            lease = self._leases[throttle.key]
            if throttle in lacking:
                lease.spend_share(throttle.cost)
            else:
                lease.spend(throttle.cost, now)
        return Taken(tuple(throttles))

    # ---- to and from the store -----------------------------------------------------------------------------------
    async def _fill(self, lacking: Sequence[Throttle]) -> None:
        """Draw for some throttles. Raises StorageUnavailable, and TimeoutError after the patience."""
        landings: list[asyncio.Future[None]] = []
        for throttle in lacking:
            lease = self._leases[throttle.key]
            lease.needed += throttle.need
            lease.least = min(lease.least, throttle.need - max(lease.tokens, 0.0))
            landings.append(self._join(throttle.key, _NEEDED))
        _, late = await asyncio.wait(landings, timeout=self._patience)
        if late:
            raise TimeoutError
        for landed in landings:
            landed.result()

    def _join(self, key: str, why: str) -> asyncio.Future[None]:
        if not self._flights.carries(key):
            telemetry.LIMIT_DRAWS.labels(why).inc()
        return self._flights.join(key)

    async def _draw(self, keys: Sequence[str]) -> None:
        sent, replicas = self._clock(), self._replicas()
        leases = [(key, self._leases[key]) for key in keys if key in self._leases]
        draws = [lease.draw(key, sent, self._ahead, replicas) for key, lease in leases]
        try:
            drawn = await self._buckets.draw(draws)
            now = self._clock()
            for (key, lease), draw, got in zip(leases, draws, drawn, strict=True):
                lease.told(draw, got, now=now, expires=sent + self._expiry)
                self._hold(key, lease)
        finally:
            for _, lease in leases:
                lease.asked()

    def _hold(self, key: str, lease: Lease) -> None:
        if lease.tokens:
            self._holding[key] = lease
            self._holding.move_to_end(key)

    def _put(self, key: str, lease: Lease, tokens: float) -> None:
        _, before = self._unspent.get(key, (lease, 0.0))
        self._unspent[key] = (lease, before + tokens)

    def _forget(self, key: str, lease: Lease) -> None:
        self._holding.pop(key, None)
        self._put(key, lease, lease.tokens - lease.share_spent)

    def _expire(self, now: float) -> list[str]:
        """Take back what was drawn too long ago; returns the keys that owe the store something."""
        owing: list[str] = []
        while self._holding:
            key, lease = next(iter(self._holding.items()))
            if now < lease.expires:
                break
            del self._holding[key]
            if lease.tokens > 0:
                self._put(key, lease, lease.tokens)
                lease.tokens = 0.0
            elif lease.owes:
                owing.append(key)
        return owing

    async def _give_back(self) -> None:
        while self._unspent:
            some = list(self._unspent)[:_AT_ONCE]
            unspent = [(key, *self._unspent.pop(key)) for key in some]  # lost on the way, it counts as spent
            await self._buckets.put_back(
                [Unspent(key, lease.rate, lease.burst, tokens) for key, lease, tokens in unspent]
            )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._expiry / 4)
            for key in self._expire(self._clock()):
                self._join(key, _OWED)
            with suppress(StorageUnavailable):
                await self._give_back()

    def _lost(self) -> None:
        if self._away:
            return
        self._away = True
        telemetry.log.warning("limits_local", replicas=self._replicas())
        self._tasks.append(asyncio.create_task(self._look(), name="look for buckets"))

    async def _look(self) -> None:
        while self._away:
            await asyncio.sleep(_LOOK_EVERY)
            with suppress(StorageUnavailable):
                await self._buckets.draw([])
                self._away = False
                telemetry.log.warning("limits_shared")
        for key in [key for key, lease in self._leases.items() if lease.share_spent]:
            self._join(key, _OWED)  # what was spent meanwhile is told
        self._tasks = [task for task in self._tasks if task is not asyncio.current_task()]
