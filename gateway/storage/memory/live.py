"""Live facts in memory: for the replicas of one process, which is to say for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.storage.ports import Heard, News, Told

_RECENT = timedelta(minutes=6)
_KEPT = timedelta(minutes=7)
_ALL = timedelta(minutes=61)
_OLD = timedelta(minutes=62)


@dataclass(frozen=True, slots=True)
class _Kept:
    heard: Heard
    written_at: datetime


class MemoryLiveFeed:
    """The port `LiveFeed`."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Nothing was told."""
        self._clock = clock
        self._deltas: dict[tuple[str, int], _Kept] = {}
        self._minutes: dict[tuple[str, int], Heard] = {}

    async def exchange(
        self,
        replica: str,
        told: Sequence[Told],
        minutes: Sequence[Told],
        *,
        heard: Mapping[str, int],
        since: datetime | None,
    ) -> News:
        """Keep what a replica tells, and return what the others have told."""
        now = self._clock()
        for each in told:
            self._deltas.setdefault((replica, each.number), _Kept(Heard(replica, each), now))
        for each in minutes:
            self._minutes.setdefault((replica, each.number), Heard(replica, each))
        return News(
            now,
            tuple(
                kept.heard
                for (name, number), kept in sorted(self._deltas.items())
                if since is not None
                and kept.written_at > since
                and name != replica
                and number > heard.get(name, 0)
            ),
        )

    async def history(self) -> News:
        """All that was told in the last hour."""
        now = self._clock()
        minutes = [each for each in self._minutes.values() if now - _ALL < each.told.at <= now - _RECENT]
        seconds = [
            kept.heard
            for kept in self._deltas.values()
            if kept.heard.told.at > now - _ALL
            and not (kept.heard.told.at <= now - _RECENT and _stand_for(minutes, kept.heard))
        ]
        return News(
            now,
            tuple(
                sorted([*minutes, *seconds], key=lambda each: (each.told.at, each.replica, each.told.number))
            ),
        )

    async def tidy(self) -> int:
        """Forget what nobody will ask for any more."""
        now = self._clock()
        minutes = [each for each in self._minutes.values() if each.told.at < now - _KEPT]
        old = [
            key
            for key, kept in self._deltas.items()
            if kept.heard.told.at < now - _OLD
            or (kept.heard.told.at < now - _KEPT and _stand_for(minutes, kept.heard))
        ]
        old_minutes = [key for key, each in self._minutes.items() if each.told.at < now - _OLD]
        for key in old:
            del self._deltas[key]
        for key in old_minutes:
            del self._minutes[key]
        return len(old) + len(old_minutes)


def _stand_for(minutes: Sequence[Heard], delta: Heard) -> bool:
    return any(
        each.replica == delta.replica and each.told.first <= delta.told.number <= each.told.number
        for each in minutes
    )
