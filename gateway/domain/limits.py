"""Limits of rate: what a throttle allows, and the arithmetic of a token bucket."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Then(StrEnum):
    """What becomes of a request over its limit: a job waits and a caller who waits gets 429, or both are refused."""

    QUEUE = "queue"
    REJECT = "reject"


class Unit(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"


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
    unit: Unit = Unit.REQUESTS

    @property
    def need(self) -> float:
        """How many tokens must be there: no bucket ever holds more than its burst, so a full one lets anything pass."""
        return min(self.cost, self.burst)


LONGEST = timedelta(days=1)
"""No wait is told that is longer: the bucket may have been changed by then."""


def time_for(tokens: float, rate: float) -> timedelta:
    """How long it takes until so many tokens have come."""
    if tokens <= 0:
        return timedelta(0)
    return timedelta(seconds=min(tokens / rate, LONGEST.total_seconds())) if rate > 0 else LONGEST


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
        return time_for(throttle.need - self.level, throttle.rate)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a caller stands with a limit: what it holds at most, what is left of it, and when it is full again."""

    unit: Unit
    limit: float
    remaining: float
    reset: timedelta
