"""`schedule { days = mon-fri, from = "08:00", to = "18:00", zone = "Europe/Bratislava" }`: what the clock says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.domain.rules.reading import Kind, Reader
from gateway.domain.rules.scene import Answer, Scene

KIND = "schedule"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")
_MIDNIGHT = 24 * 60


@dataclass(frozen=True, slots=True)
class Schedule:
    """Holds on some days from a minute of the day on until before another, by the wall clock of a zone.

    With `start` after `end` the span goes over midnight, and belongs to the day on which it began.
    """

    days: tuple[int, ...]
    start: int
    end: int
    zone: str
    clock: ZoneInfo = field(compare=False, repr=False)

    @property
    def live(self) -> bool:
        """Time goes on."""
        return True

    @property
    def words(self) -> None:
        """The clock alone."""
        return

    def holds(self, scene: Scene) -> Answer:
        """Whether the wall clock is in the span."""
        now = self._now(scene)
        minute, day = now.hour * 60 + now.minute, now.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or (
            (now - timedelta(days=1)).weekday() in self.days and minute < self.end
        )

    def why(self, scene: Scene) -> str:
        """What the wall clock says."""
        now = self._now(scene)
        return f"it is {_DAYS[now.weekday()]} {now:%H:%M} in {self.zone}"

    def _now(self, scene: Scene) -> datetime:
        # The wall clock alone: in the hour that summer time repeats, both passes count.
        moment: datetime = scene.keep(
            f"clock {self.zone}",
            lambda scene: scene.facts.observed_at.astimezone(self.clock).replace(tzinfo=None),
        )
        return moment


def read(reader: Reader) -> list[Schedule]:
    """Days (every day), `from` (midnight), `to` (midnight) and `zone` (UTC)."""
    mine = reader.child(KIND)
    days = mine.several("days", _SOME_DAYS) if "days" in mine else (tuple(range(7)),)
    start = mine.value("from", _CLOCK, 0)
    end = mine.value("to", _CLOCK, _MIDNIGHT)
    zone = mine.value("zone", _ZONE, ZoneInfo("UTC"))
    mine.finish("days", "from", "to", "zone")
    mine.nonempty("days = mon-fri")
    if start == end:
        mine.wrong("to", f"needs another time than from; got {_shown_time(end)}")
    if start == _MIDNIGHT:
        mine.wrong("from", "needs a time before 24:00 such as 00:00; got 24:00")
    told = sorted({day for some in days for day in some})
    return [Schedule(tuple(told), start, end, zone.key, zone)]


def _read_days(raw: Any) -> tuple[int, ...]:
    """`mon`, or `mon-fri`; a range may go over the weekend: `fri-mon`."""
    first, dash, last = str(raw).lower().replace(" ", "").partition("-")
    if first not in _DAYS or (dash and last not in _DAYS):
        raise ValueError("no day")
    start = _DAYS.index(first)
    length = (_DAYS.index(last) - start) % 7 + 1 if dash else 1
    return tuple((start + step) % 7 for step in range(length))


def _shown_days(days: tuple[int, ...]) -> str:
    return _DAYS[days[0]] if len(days) == 1 else f"{_DAYS[days[0]]}-{_DAYS[days[-1]]}"


def _read_time(raw: Any) -> int:
    match = _TIME.fullmatch(raw.strip()) if isinstance(raw, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match else -1
    if not 0 <= minutes <= _MIDNIGHT:
        raise ValueError("no time")
    return minutes


def _shown_time(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _read_zone(raw: Any) -> ZoneInfo:
    try:
        return ZoneInfo(raw if isinstance(raw, str) else "")
    except (OSError, LookupError):
        raise ValueError("no zone") from None


_SOME_DAYS = Kind("a day such as mon or a range such as mon-fri", _read_days, _shown_days, _DAYS)
_CLOCK = Kind('a time in quotes such as "08:00"', _read_time, _shown_time)
_ZONE = Kind('a time zone such as "Europe/Bratislava" or "UTC"', _read_zone, lambda zone: zone.key)
