"""Active probes in memory."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

_ZERO = Decimal(0)


class MemoryProbes:
    """The port `Probes`."""

    def __init__(self) -> None:
        """None was ever made."""
        self._next_at: dict[str, datetime] = {}
        self._spent: dict[date, Decimal] = {}
        self.said: dict[str, tuple[bool, str | None]] = {}

    async def claim(
        self, models: Sequence[str], holder: str, *, every: timedelta, most: int
    ) -> tuple[str, ...]:
        """Take the turn for those of these models that are due."""
        now = datetime.now(UTC)
        never = datetime.min.replace(tzinfo=UTC)
        due = sorted((self._next_at.get(model, never), model) for model in dict.fromkeys(models))
        taken = tuple(model for at, model in due if at <= now)[:most]
        for model in taken:
            self._next_at[model] = now + every * (0.8 + 0.4 * random.random())  # noqa: S311  no secret
        return taken

    async def spend(self, usd: Decimal, most: Decimal) -> bool:
        """Reserve what a probe may cost."""
        day = datetime.now(UTC).date()
        total = self._spent.get(day, _ZERO) + usd
        if total > most:
            return False
        self._spent[day] = total
        return True

    async def correct(self, usd: Decimal) -> None:
        """Add to what this day's probes have cost."""
        day = datetime.now(UTC).date()
        self._spent[day] = max(_ZERO, self._spent.get(day, _ZERO) + usd)

    async def told(self, model: str, *, ok: bool, code: str | None) -> None:
        """Keep what the last probe of a model said."""
        self.said[model] = ok, code
