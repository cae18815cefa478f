"""Sliding windows over time slices: what is added counts until its slice has left the window.

A window of `n` slices ends with the slice of this moment, so it is at most one slice shorter than its name: 10 s and
1 m are made of seconds, 5 m of five seconds, 1 h of minutes. Each window keeps its sum, to which slices are added when
they come and from which they are taken when they leave: nothing is summed up when it is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, Generic, Protocol, Self, TypeVar

import msgspec

from gateway.domain.health import Window


class Adds(Protocol):
    """Counts that add up with others of their kind."""

    def add(self, other: Self, sign: int = 1) -> None:
        """Add other counts to these, or take them away again."""
        ...

    @property
    def empty(self) -> bool:
        """Whether nothing is counted."""
        ...


T = TypeVar("T", bound=Adds)


@dataclass(frozen=True, slots=True)
class _Span:
    """A window as its number of slices."""

    window: Window
    slices: int


_LEVELS: Final = (
    (1, (_Span(Window.TEN_SECONDS, 10), _Span(Window.MINUTE, 60))),
    (5, (_Span(Window.FIVE_MINUTES, 60),)),
    (60, (_Span(Window.HOUR, 60),)),
)
"""The width of slices in seconds, and the windows that are made of them, the longest last."""


_AT_ONCE: Final = 200
_MOMENT: Final = 5.0
"""Seconds by which a clock may go back without anything being forgotten."""


class _Level(Generic[T]):
    """The slices of one width by their numbers. All but the newest are kept packed: they are many, and read once."""

    def __init__(self, width: int, spans: tuple[_Span, ...]) -> None:
        self.width = width
        self.spans = spans
        self.slices: dict[int, dict[str, bytes]] = {}
        self.newest = -1
        self.open: dict[str, T] = {}


class Windows(Generic[T]):
    """The four windows of many keys (models, callers), bounded in memory: those not counted for longest go."""

    def __init__(self, kind: type[T], *, most: int, most_slices: int = 250_000) -> None:
        """At most `most` keys are kept, and at most `most_slices` slices of keys (some 150 bytes each)."""
        self._kind = kind
        self._new: Callable[[], T] = kind
        self._most = most
        self._most_slices = most_slices
        self._pack = msgspec.msgpack.Encoder().encode
        self._unpack = msgspec.msgpack.Decoder(kind).decode
        self._changed: set[str] = set()
        self._keys: OrderedDict[str, None] = OrderedDict()
        self.clear()

    def clear(self) -> None:
        """Forget everything, the time too."""
        self._levels: tuple[_Level[T], ...] = tuple(_Level(width, spans) for width, spans in _LEVELS)
        self._sums: dict[Window, dict[str, T]] = {window: {} for window in Window}
        self._gone: dict[Window, int] = dict.fromkeys(Window, -1)
        self._changed.update(self._keys)
        self._keys.clear()
        self._held = 0
        self._now = 0.0

    def __len__(self) -> int:
        """How many keys are kept."""
        return len(self._keys)

    def add(self, key: str, what: T, at: float) -> None:
        """Count something that happened at a moment (seconds of the epoch); what is too old for all windows is not."""
        at = min(at, self._now) if self._now else at
        counted = False
        for level in self._levels:
            number = int(at // level.width)
            if number <= self._gone[level.spans[-1].window]:
                continue
            counted = True
            self._put(level, number, key, what)
            for span in level.spans:
                if number > self._gone[span.window]:
                    sums = self._sums[span.window]
                    total = sums.get(key)
                    if total is None:
                        total = sums[key] = self._new()
                    total.add(what)
        if counted:
            self._changed.add(key)
            self._keys[key] = None
            self._keys.move_to_end(key)
            while len(self._keys) > self._most or self._held > self._most_slices:
                self._forget(next(iter(self._keys)))

    def advance(self, now: float) -> None:
        """Let the windows end at `now`. A clock that goes back is waited for, or by more than a moment, begun anew."""
        for _ in self.advancing(now):
            pass

    def advancing(self, now: float) -> Iterator[None]:
        """The same, with pauses for others to run: when a minute is over, all that it holds has to be gone through.

        Nothing must be added before the end.
        """
        if now < self._now - _MOMENT:
            self.clear()
        self._now = max(self._now, now)
        for level in self._levels:
            current = int(self._now // level.width)
            if level.newest < current:
                yield from self._close(level, current)
            for span in level.spans:
                yield from self._expire(level, span, current - span.slices)

    def sums(self, key: str) -> dict[Window, T]:
        """What is counted of a key in each window in which there is something."""
        return {window: sums[key] for window, sums in self._sums.items() if key in sums}

    def since(self, key: str, window: Window, moment: float) -> T:
        """What is counted of a key in a window, without what happened before a moment (to a slice)."""
        level, span = next(
            (level, span) for level in self._levels for span in level.spans if span.window is window
        )
        total = self._new()
        first = max(int(moment // level.width) + 1, int(self._now // level.width) - span.slices + 1)
        for number, slice_ in level.slices.items():
            if number >= first and key in slice_:
                total.add(self._unpack(slice_[key]))
        if level.newest >= first and key in level.open:
            total.add(level.open[key])
        return total

    def take_changed(self) -> Collection[str]:
        """The keys whose sums have changed since this was last asked."""
        changed, self._changed = self._changed, set()
        return changed

    def _put(self, level: _Level[T], number: int, key: str, what: T) -> None:
        if number > level.newest:
            for _ in self._close(level, number):
                pass
        if number == level.newest:
            there = level.open.get(key)
            if there is None:
                there = level.open[key] = self._new()
                self._held += 1
            there.add(what)
            return
        slice_ = level.slices.setdefault(number, {})
        late = self._new()
        if key in slice_:
            late = self._unpack(slice_[key])
        else:
            self._held += 1
        late.add(what)
        slice_[key] = self._pack(late)

    def _close(self, level: _Level[T], newest: int) -> Iterator[None]:
        """Pack the newest slice: there is a newer one."""
        packed: dict[str, bytes] = {}
        for number, (key, counts) in enumerate(level.open.items(), 1):
            packed[key] = self._pack(counts)
            if number % _AT_ONCE == 0:
                yield
        if packed:
            level.slices[level.newest] = packed
        level.newest, level.open = newest, {}

    def _expire(self, level: _Level[T], span: _Span, last: int) -> Iterator[None]:
        """Take the slices up to number `last` out of a window; the longest window of its level lets them go."""
        before = self._gone[span.window]
        if last <= before:
            return
        self._gone[span.window] = last
        longest = span is level.spans[-1]
        for number in [number for number in level.slices if before < number <= last]:
            slice_ = level.slices.pop(number) if longest else level.slices[number]
            for place, (key, packed) in enumerate(slice_.items(), 1):
                self._subtract(span.window, key, self._unpack(packed))
                if place % _AT_ONCE == 0:
                    yield
            self._held -= len(slice_) if longest else 0

    def _subtract(self, window: Window, key: str, counts: T) -> None:
        sums = self._sums[window]
        total = sums.get(key)
        if total is None:
            return
        total.add(counts, -1)
        self._changed.add(key)
        if total.empty:
            del sums[key]
            if window is Window.HOUR:
                self._keys.pop(key, None)

    def _forget(self, key: str) -> None:
        del self._keys[key]
        self._changed.add(key)
        for sums in self._sums.values():
            sums.pop(key, None)
        for level in self._levels:
            held = [*level.slices.values(), level.open]
            self._held -= sum(1 for slice_ in held if slice_.pop(key, None) is not None)
