"""Percentiles and straight lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the ordered values lie; 0 where there are none."""
    if not ordered:
        return 0.0
    place = (len(ordered) - 1) * share
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@dataclass(frozen=True, slots=True)
class Spread:
    """How measured values lie; the unit is that of the values."""

    count: int
    p50: float
    p95: float
    p99: float
    worst: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Sort and look."""
        ordered = sorted(values)
        p50, p95, p99 = (percentile(ordered, share) for share in (0.50, 0.95, 0.99))
        return cls(len(ordered), p50, p95, p99, ordered[-1] if ordered else 0.0)


@dataclass(frozen=True, slots=True)
class Line:
    """The straight line that lies nearest to some points."""

    start: float
    slope: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> Self:
        """Least squares; flat where the points don't say more."""
        if not points:
            return cls(0.0, 0.0)
        count = len(points)
        x_mean = sum(x for x, _ in points) / count
        y_mean = sum(y for _, y in points) / count
        spread = sum((x - x_mean) ** 2 for x, _ in points)
        slope = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread if spread else 0.0
        return cls(y_mean - slope * x_mean, slope)
