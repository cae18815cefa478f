"""Live facts as they go from each process to all others, packed: a store does not look into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Told:
    """What a replica counted up to `at` since it last told: its rows `first` to `number` in one."""

    first: int
    number: int
    at: datetime
    facts: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """What some replica told."""

    replica: str
    told: Told


@dataclass(frozen=True, slots=True)
class News:
    """What the others told, oldest first for each, as it was known at `now`: the store's time, which all share."""

    now: datetime
    heard: tuple[Heard, ...]


class LiveFeed(Protocol):
    """Where processes tell each other what they count, about once a second."""

    async def exchange(
        self,
        replica: str,
        told: Sequence[Told],
        minutes: Sequence[Told],
        *,
        heard: Mapping[str, int],
        since: datetime | None,
    ) -> News:
        """Keep what a replica tells, by the second and by the minute, and return what the others have told.

        That is what was kept after `since` and has a number above the last one `heard` of its replica; nothing when
        `since` is None. Safe to do twice: a number that is kept stays as it is.
        """
        ...

    async def history(self) -> News:
        """All that was told in the last hour, by this replica too: each row once, by the minute where that does."""
        ...

    async def tidy(self) -> int:
        """Delete what nobody will ask for any more; safe to do at any time, anywhere. Returns how many rows went."""
        ...
