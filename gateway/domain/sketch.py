"""A sketch of many measurements from which percentiles are read, and which adds up with others of its kind.

It is the log-bucket sketch of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch",
VLDB 2019) with one fixed accuracy, so that any two sketches merge, in a process or in SQL: bucket `i` holds the values
in (GAMMA^(i-1), GAMMA^i], and a percentile is off by at most 2 % of its value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, log

ACCURACY = 0.02
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
LEAST = 0.001  # smaller values (and 0) count as this one: milliseconds below it say nothing
_LOG_GAMMA = log(GAMMA)
_MIDDLE = 2 / (1 + GAMMA)  # the value in a bucket that is off least to both of its ends


def bucket_of(value: float) -> int:
    """The number of the bucket that a value falls in. Values are positive; their unit is the caller's (ours: ms)."""
    return ceil(log(max(value, LEAST)) / _LOG_GAMMA)


def value_of(bucket: int) -> float:
    """The value that stands for a bucket."""
    return GAMMA**bucket * _MIDDLE


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The value below which `share` (0 to 1) of the counted measurements lie; None when there are none."""
    return percentiles(counts, (share,))[0]


def percentiles(counts: Mapping[int, int], shares: Sequence[float]) -> list[float | None]:
    """Several percentiles in one pass; `shares` rise. The same values as `percentile` gives."""
    last = sum(counts.values()) - 1
    found: list[float | None] = []
    if last < 0:
        return [None] * len(shares)
    seen, bucket = 0, 0
    left = iter(sorted(counts.items()))
    for share in shares:
        rank = share * last
        while seen <= rank:
            bucket, count = next(left)
            seen += count
        found.append(value_of(bucket))
    return found


def merged(sketches: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Several sketches as one."""
    total: dict[int, int] = {}
    for counts in sketches:
        for bucket, count in counts.items():
            total[bucket] = total.get(bucket, 0) + count
    return total
