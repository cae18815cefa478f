"""What happened to one model, or on behalf of one caller, in some span of time: counts that add up with others.

Measurements lie in sketches (`gateway/domain/sketch.py`), so that percentiles over many spans and replicas are those of
all measurements together, never averages of averages.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from gateway.domain.health import Live, Use
from gateway.domain.sketch import percentiles

K = TypeVar("K")

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

    def use(self) -> Use:
        """As decisions see it."""
        return Use(self.requests, self.tokens, self.cost_usd)


def _merge(into: dict[K, int], other: dict[K, int], sign: int) -> None:
    for key, count in other.items():
        left = into.get(key, 0) + sign * count
        if left:
            into[key] = left
        else:
            into.pop(key, None)
