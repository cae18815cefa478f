"""Active probes of models: whose turn it is, what they cost, and what they said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Protocol


class Probes(Protocol):
    """The turns of all processes: each model is probed by one of them at a time."""

    async def claim(
        self, models: Sequence[str], holder: str, *, every: timedelta, most: int
    ) -> tuple[str, ...]:
        """Take the turn for those of these models that are due, the longest overdue first, at most `most` of them.

        A model that is claimed is due again between 0.8 and 1.2 of `every` later; one that is new, at once.
        """
        ...

    async def spend(self, usd: Decimal, most: Decimal) -> bool:
        """Reserve what a probe may cost of this day's budget (UTC). False if that is too much: nothing is reserved."""
        ...

    async def correct(self, usd: Decimal) -> None:
        """Add to what this day's probes have cost; less than nothing gives back what was reserved and not spent."""
        ...

    async def told(self, model: str, *, ok: bool, code: str | None) -> None:
        """Keep what the last probe of a model said."""
        ...
