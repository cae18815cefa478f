"""Buckets and slots in memory: shared by the replicas that are given the same store, gone with the process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.domain.limits import LONGEST, time_for
from gateway.storage.ports import Draw, Drawn, Held, Hold, Unspent


@dataclass(slots=True)
class _Bucket:
    level: float
    at: datetime
    full_at: datetime
    queue_at: datetime | None = None

    def fill(self, rate: float, burst: float, now: datetime) -> None:
        self.level = min(burst, self.level + rate * max(0.0, (now - self.at).total_seconds()))
        self.at = max(self.at, now)
        self.full_at = self.at + time_for(burst - self.level, rate)


class MemoryBuckets:
    """The port `Buckets`."""

    def __init__(self) -> None:
        """All are full."""
        self._buckets: dict[str, _Bucket] = {}

    async def draw(self, draws: Sequence[Draw]) -> Sequence[Drawn]:
        """Take tokens out of several buckets."""
        return [self._draw(draw) for draw in draws]

    async def put_back(self, unspent: Sequence[Unspent]) -> None:
        """Put tokens back."""
        for each in unspent:
            bucket = self._buckets.get(each.key)
            if bucket is not None:
                bucket.level += each.tokens
                bucket.fill(each.rate, each.burst, datetime.now(UTC))

    async def queue(self, key: str, rate: float, burst: float, cost: float) -> timedelta:
        """A place in the line for a bucket."""
        if rate <= 0:
            return LONGEST
        now = datetime.now(UTC)
        bucket = self._buckets.setdefault(key, _Bucket(burst, now, now))
        bucket.fill(rate, burst, now)
        turn = max(now + time_for(min(cost, burst) - bucket.level, rate), bucket.queue_at or now)
        bucket.queue_at = min(turn + time_for(cost, rate), now + LONGEST)
        return turn - now

    def expire(self) -> int:
        """Forget the buckets that are full again."""
        now = datetime.now(UTC)
        full = [
            key
            for key, bucket in self._buckets.items()
            if bucket.full_at < now - timedelta(minutes=1) and (bucket.queue_at or bucket.full_at) < now
        ]
        for key in full:
            del self._buckets[key]
        return len(full)

    def _draw(self, draw: Draw) -> Drawn:
        now = datetime.now(UTC)
        bucket = self._buckets.setdefault(draw.key, _Bucket(draw.burst, now, now))
        bucket.fill(draw.rate, draw.burst, now)
        bucket.level -= draw.owed
        tokens = max(0.0, min(draw.most, bucket.level)) if bucket.level >= draw.least else 0.0
        bucket.level -= tokens
        bucket.fill(draw.rate, draw.burst, now)
        return Drawn(tokens, bucket.level)


class MemorySlots:
    """The port `Slots`."""

    def __init__(self) -> None:
        """All are free."""
        self._held: dict[str, dict[str, tuple[int, datetime]]] = {}

    async def hold(self, holder: str, wanted: Sequence[Hold], expiry: timedelta) -> Sequence[Held]:
        """Hold as many slots as there are."""
        return [self._hold(holder, hold, expiry) for hold in wanted]

    def _hold(self, holder: str, hold: Hold, expiry: timedelta) -> Held:
        now = datetime.now(UTC)
        holders = self._held.setdefault(hold.key, {})
        for name in [name for name, (_, until) in holders.items() if until <= now]:
            del holders[name]
        others = sum(slots for name, (slots, _) in holders.items() if name != holder)
        slots = max(hold.in_use, min(hold.most, hold.limit - others), 0)
        if slots:
            holders[holder] = (slots, now + expiry)
        else:
            holders.pop(holder, None)
        if not holders:
            del self._held[hold.key]
        return Held(slots, others)
