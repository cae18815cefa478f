"""Limits of rate: what a throttle allows, and the arithmetic of a token bucket."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Then(StrEnum):
    """What becomes of a request over its limit: a job waits and a caller who waits gets 429, or both are refused."""

    QUEUE = "queue"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Throttle:
    """A limit that a request falls under: `key` names its bucket over all replicas, `rate` is tokens a second.

    `cost` is how many tokens this request takes: 1 for a limit of requests, the estimated tokens for one of tokens.
    """

    key: str
    rate: float
    burst: float
    then: Then = Then.REJECT
    rule: str = ""
    cost: float = 1.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket as it was at `at`: it holds `level` tokens, gains `rate` a second, and never more than `burst`."""

    level: float
    at: datetime

    def filled(self, throttle: Throttle, now: datetime) -> Bucket:
        """The bucket at `now`; a clock that went back adds nothing."""
        gained = max(0.0, (now - self.at).total_seconds()) * throttle.rate
        return Bucket(min(throttle.burst, self.level + gained), max(self.at, now))

    def wait(self, throttle: Throttle) -> timedelta:
        """How long until the request's tokens are there; nothing if they are."""
        missing = min(throttle.cost, throttle.burst) - self.level
        return timedelta(seconds=max(0.0, missing / throttle.rate)) if throttle.rate > 0 else timedelta.max
