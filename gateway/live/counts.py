"""What happened to one model, or on behalf of one caller, in some span of time: counts that add up with others.

Measurements lie in sketches (`gateway/domain/sketch.py`), so that percentiles over many spans and replicas are those of
all measurements together, never averages of averages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final, TypeVar

import msgspec
from typing_extensions import override

from gateway.domain.health import Live, Use, Window
from gateway.domain.sketch import percentiles

K = TypeVar("K")
Counted = tuple[int, int, Decimal]
"""Requests, tokens and spend of a caller."""

NOTHING: Final = Decimal(0)
_SHARES: Final = (0.5, 0.95, 0.99)


class ModelCounts(msgspec.Struct, array_like=True, gc=False):
    """What happened to one model. Latencies are milliseconds, speeds output tokens a second, both as sketches."""

    requests: int = 0
    errors: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    latency: dict[int, int] = msgspec.field(default_factory=dict[int, int])
    first_token: dict[int, int] = msgspec.field(default_factory=dict[int, int])
    speed: dict[int, int] = msgspec.field(default_factory=dict[int, int])
    tokens: int = 0
    cost_usd: Decimal = NOTHING

    def add(self, other: ModelCounts, sign: int = 1) -> None:
        """Add other counts to these, or with `sign` -1 take them away again."""
        self.requests += sign * other.requests
        self.tokens += sign * other.tokens
        if other.cost_usd:
            self.cost_usd += sign * other.cost_usd
        if other.errors:
            _merge(self.errors, other.errors, sign)
        _merge(self.latency, other.latency, sign)
        if other.first_token:
            _merge(self.first_token, other.first_token, sign)
        if other.speed:
            _merge(self.speed, other.speed, sign)

    @property
    def empty(self) -> bool:
        """Whether nothing is counted."""
        return not self.requests

    def copied(self) -> ModelCounts:
        """The same counts, which stay as they are when these go on."""
        return ModelCounts(
            self.requests,
            self.errors.copy(),
            self.latency.copy(),
            self.first_token.copy(),
            self.speed.copy(),
            self.tokens,
            self.cost_usd,
        )

    def live(self) -> Live:
        """As decisions see it."""
        p50, p95, p99 = percentiles(self.latency, _SHARES)
        first_p50, first_p95 = percentiles(self.first_token, _SHARES[:2])
        return Live(
            requests=self.requests,
            errors=dict(self.errors),
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            first_token_p50_ms=first_p50,
            first_token_p95_ms=first_p95,
            tokens_per_second=percentiles(self.speed, _SHARES[:1])[0],
            tokens=self.tokens,
            cost_usd=self.cost_usd,
        )


class CallerCounts(msgspec.Struct, array_like=True, gc=False):
    """What happened on behalf of one caller."""

    requests: int = 0
    tokens: int = 0
    cost_usd: Decimal = NOTHING

    def add(self, other: CallerCounts, sign: int = 1) -> None:
        """Add other counts to these, or with `sign` -1 take them away again."""
        self.requests += sign * other.requests
        self.tokens += sign * other.tokens
        if other.cost_usd:
            self.cost_usd += sign * other.cost_usd

    @property
    def empty(self) -> bool:
        """Whether nothing is counted: tokens and spend of a request may come in a later span than the request."""
        return not (self.requests or self.tokens or self.cost_usd)

    def values(self) -> Counted:
        """What is counted, as it stays: these counts go on changing."""
        return self.requests, self.tokens, self.cost_usd


class Lives(Mapping[Window, Live]):
    """The windows of one model as decisions see them.

    Their percentiles are the dear part, and most are never looked at: they are made at once for windows that are being
    `asked` for, by any model, and for others when they are first looked at.
    """

    __slots__ = ("_asked", "_counts", "_made")

    def __init__(self, sums: Mapping[Window, ModelCounts], asked: set[Window]) -> None:
        """What is looked at is added to `asked`."""
        self._asked = asked
        self._made = {window: counts.live() for window, counts in sums.items() if window in asked}
        self._counts = {window: counts.copied() for window, counts in sums.items() if window not in asked}

    @override
    def __getitem__(self, window: Window) -> Live:
        live = self._made.get(window)
        if live is None:
            live = self._made[window] = self._counts.pop(window).live()
            self._asked.add(window)
        return live

    @override
    def __iter__(self) -> Iterator[Window]:
        return iter([window for window in Window if window in self])

    @override
    def __contains__(self, window: object) -> bool:
        return window in self._made or window in self._counts

    @override
    def __len__(self) -> int:
        return len(self._made) + len(self._counts)


class Uses(Mapping[str, Mapping[Window, Use]]):
    """What callers used as decisions see it: made of the counts when it is looked at, since most never are."""

    def __init__(self, counted: Mapping[str, Mapping[Window, Counted]]) -> None:
        """`counted` by caller id must stay as it is."""
        self._counted = counted

    @override
    def __getitem__(self, caller: str) -> Mapping[Window, Use]:
        return {window: Use(*counted) for window, counted in self._counted[caller].items()}

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._counted)

    @override
    def __len__(self) -> int:
        return len(self._counted)


def _merge(into: dict[K, int], other: dict[K, int], sign: int) -> None:
    for key, count in other.items():
        left = into.get(key, 0) + sign * count
        if left:
            into[key] = left
        else:
            into.pop(key, None)
