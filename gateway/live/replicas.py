"""The other replicas, as this process has heard of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from gateway.live.delta import Delta, Report, decode
from gateway.storage.ports import News

_SILENT: Final = (
    12.0  # seconds without a sign of life (one comes every five): what it was at has ended with it
)
_FORGOTTEN: Final = 900.0
_OVERLAP: Final = timedelta(seconds=5)
"""What was kept so long ago may only have become visible since it was last asked for."""
_AT_ONCE: Final = 20
_REACH_BACK: Final = timedelta(minutes=6)


@dataclass(slots=True)
class _Replica:
    number: int
    at: float
    in_flight: Mapping[str, int] = field(default_factory=dict)


class Replicas:
    """How far each of them was heard, and what it is at."""

    def __init__(self, own: str) -> None:
        """`own` is the name of this one."""
        self._own = own
        self._known: dict[str, _Replica] = {}
        self._missing: set[str] = set()
        self._read_at: datetime | None = None

    @property
    def heard(self) -> Mapping[str, int]:
        """The number of the last row of each."""
        return {name: replica.number for name, replica in self._known.items()}

    @property
    def since(self) -> datetime | None:
        """From when on rows have to be asked for."""
        if self._read_at is None:
            return None
        return self._read_at - (_REACH_BACK if self._missing else _OVERLAP)

    def take(self, news: News) -> list[Report]:
        """Take what was asked for; returns what had not been heard before.

        Rows come by number. Where one is missing it may have been committed late: then it is looked for once more,
        further back, before those after it are taken.
        """
        looked_for, self._missing = self._missing, set()
        fresh: list[Report] = []
        for row in news.heard:
            known, told = self._known.get(row.replica), row.told
            if row.replica == self._own or row.replica in self._missing:
                continue
            if known is not None and told.first > known.number + 1 and row.replica not in looked_for:
                self._missing.add(row.replica)
            elif known is None or told.number > known.number:
                self._hear(row.replica, told.number, told.at.timestamp(), decode(told.facts), fresh)
        self._read_at = news.now
        return fresh

    def begin(self, history: News) -> Iterator[list[Report]]:
        """Take all that was told in the last hour, some rows at a time, this replica's own too, by number or not."""
        self._missing = set()
        self._read_at = history.now
        for place in range(0, len(history.heard), _AT_ONCE):
            fresh: list[Report] = []
            for row in history.heard[place : place + _AT_ONCE]:
                delta, at = decode(row.told.facts), row.told.at.timestamp()
                known = self._known.get(row.replica)
                if row.replica != self._own and (known is None or row.told.number > known.number):
                    self._hear(row.replica, row.told.number, at, delta, fresh)
                elif delta is not None:
                    fresh.append(Report(row.replica, at, delta))
            yield fresh

    def there(self, now: float) -> tuple[str, ...]:
        """Those that gave a sign of life lately."""
        return tuple(name for name, replica in self._known.items() if replica.at > now - _SILENT)

    def in_flight(self, now: float) -> dict[str, int]:
        """What they are at, by model."""
        total: dict[str, int] = {}
        for replica in self._known.values():
            if replica.at > now - _SILENT:
                for model, count in replica.in_flight.items():
                    total[model] = total.get(model, 0) + count
        return total

    def forget(self, now: float) -> None:
        """Let go of those that have been silent for long."""
        self._known = {name: each for name, each in self._known.items() if each.at > now - _FORGOTTEN}

    def _hear(self, name: str, number: int, at: float, delta: Delta | None, fresh: list[Report]) -> None:
        replica = self._known.setdefault(name, _Replica(number, at))
        replica.number = number
        if delta is None:
            return
        if at >= replica.at:
            replica.at, replica.in_flight = (0.0 if delta.leaving else at), delta.in_flight
        fresh.append(Report(name, at, delta))
