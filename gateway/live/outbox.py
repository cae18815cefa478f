"""What this process has counted and not told yet: kept while the database is away, and made coarser when it grows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.live.delta import Delta, encode, no_delta
from gateway.storage.ports import Told

AT_ONCE: Final = 60
"""So many rows go into one statement at most."""
_FINE: Final = 120  # rows that are kept as they are; beyond, those of one minute become one
_OLDEST: Final = 3600.0  # seconds: nobody asks for more
_SIGN_OF_LIFE: Final = 5.0  # seconds between two rows that say nothing
_MINUTE: Final = 60.0


@dataclass(slots=True)
class _Row:
    first: int
    number: int
    at: float
    delta: Delta
    sent: bool = False

    @property
    def minute(self) -> int:
        return int(self.at // _MINUTE)

    def told(self) -> Told:
        return Told(self.first, self.number, datetime.fromtimestamp(self.at, UTC), encode(self.delta))


class Outbox:
    """Rows in the order of their numbers, which grow by one."""

    def __init__(self) -> None:
        """Nothing was counted."""
        self._rows: list[_Row] = []
        self._minutes: deque[_Row] = deque(maxlen=60)
        self._minute: _Row | None = None
        self._number = 0
        self._last_at = 0.0

    def __len__(self) -> int:
        """How many rows wait."""
        return len(self._rows)

    def put(self, delta: Delta, at: float) -> None:
        """Take what was counted up to a moment; what says nothing only now and then, as a sign of life."""
        if delta.empty and at - self._last_at < _SIGN_OF_LIFE:
            return
        self._last_at = at
        self._number += 1
        row = _Row(self._number, self._number, at, delta)
        self._rows.append(row)
        self._add_to_minute(row)
        self._make_room(at)

    def next(self) -> Sequence[Told]:
        """The oldest rows, to be told: until they are acknowledged they stay as they are."""
        rows = self._rows[:AT_ONCE]
        for row in rows:
            row.sent = True
        return [row.told() for row in rows]

    def next_minutes(self, upto: int) -> Sequence[Told]:
        """The minutes that are made of rows up to that number, to be told with them or after them."""
        return [minute.told() for minute in self._minutes if minute.number <= upto]

    def acknowledge(self, upto: int, minutes: Sequence[Told] = ()) -> None:
        """All rows up to that number are kept by the store, and these minutes."""
        self._rows = [row for row in self._rows if row.number > upto]
        for minute in minutes:
            if self._minutes and self._minutes[0].number <= minute.number:
                self._minutes.popleft()

    @property
    def told_up_to(self) -> int:
        """The number of the last row that the store has kept."""
        return self._rows[0].first - 1 if self._rows else self._number

    @property
    def waiting(self) -> Sequence[tuple[float, Delta]]:
        """What was counted, and when, of which the store has not said that it is kept."""
        return [(row.at, row.delta) for row in self._rows]

    def _add_to_minute(self, row: _Row) -> None:
        if self._minute is not None and self._minute.minute != row.minute:
            if not self._minute.delta.empty:
                self._minutes.append(self._minute)
            self._minute = None
        if self._minute is None:
            self._minute = _Row(row.first, row.number, row.at, no_delta())
        self._minute.delta.add_counts(row.delta)
        self._minute.number, self._minute.at = row.number, row.at

    def _make_room(self, now: float) -> None:
        while self._rows and self._rows[0].at < now - _OLDEST:
            del self._rows[0]
        if len(self._rows) <= _FINE:
            return
        # A row that was sent may have been kept although nobody said so: within another one it would count twice.
        for place, (row, after) in enumerate(zip(self._rows, self._rows[1:], strict=False)):
            if not row.sent and not after.sent and row.minute == after.minute:
                row.delta.add(after.delta)
                row.number, row.at = after.number, after.at
                del self._rows[place + 1]
                return
