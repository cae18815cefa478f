"""What limits over all replicas ask of a store: token buckets, and numbers of things at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Draw:
    """What a replica asks of a shared bucket: up to `most` tokens, but none at all where fewer than `least` are there.

    `owed` is what it has spent beyond what it had drawn; that is taken off first, and may leave the bucket below zero.
    """

    key: str
    rate: float
    burst: float
    least: float = 0.0
    most: float = 0.0
    owed: float = 0.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """What it got, and what the bucket holds after that."""

    tokens: float
    level: float


@dataclass(frozen=True, slots=True)
class Unspent:
    """Tokens that were drawn and are not needed after all."""

    key: str
    rate: float
    burst: float
    tokens: float


class Buckets(Protocol):
    """Token buckets that all replicas share, filled by the store's clock. One that nobody knows yet is full."""

    async def draw(self, draws: Sequence[Draw]) -> Sequence[Drawn]:
        """Take tokens out of several buckets, each by itself; no key stands twice. Done twice, it takes them twice."""
        ...

    async def put_back(self, unspent: Sequence[Unspent]) -> None:
        """Put tokens back, never above a bucket's burst. Not done twice: what gets lost on the way is spent."""
        ...

    async def queue(self, key: str, rate: float, burst: float, cost: float) -> timedelta:
        """A place in the line for a bucket: when `cost` tokens are there for this one, after those for all before it.

        Nothing is taken: whoever is in line comes again then, and takes its tokens like everybody.
        """
        ...


@dataclass(frozen=True, slots=True)
class Hold:
    """Slots that a replica wants of a shared number: those `in_use` in any case, up to `most` if they are free."""

    key: str
    limit: int
    in_use: int
    most: int


@dataclass(frozen=True, slots=True)
class Held:
    """How many slots it holds now, and how many the other replicas do."""

    slots: int
    others: int


class Slots(Protocol):
    """How many of something may go on at once over all replicas: what a replica holds it says again, or it expires."""

    async def hold(self, holder: str, wanted: Sequence[Hold], expiry: timedelta) -> Sequence[Held]:
        """Hold as many slots as there are, until `expiry` from now; no key stands twice. Safe to do again."""
        ...
