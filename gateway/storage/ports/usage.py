"""Usage, as it is kept: the ledger rolled up, so that a question about a year reads few rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from gateway.domain.usage import Place, Question, UsagePage


class Rollups(Protocol):
    """The ledger rolled up by hours, days and months. Its store is that of the requests."""

    async def roll(self, tags: Sequence[str], *, values: int, most: int) -> int:
        """Roll up what has waited longest, at most so many requests and corrections; returns how many they were.

        Each is counted once, however late it was written, whoever rolls at the same time, and whoever dies in the
        middle. Request tags of these names are told apart, the first `values` values of each on a day: `OTHER_VALUE`
        stands for the rest.
        """
        ...

    async def as_of(self) -> datetime:
        """The moment of the store's clock up to which the ledger is rolled up."""
        ...

    async def find(self, question: Question, *, limit: int, after: Place | None = None) -> UsagePage:
        """Rows in the order of their labels and times: at most `limit`, perhaps fewer although there are more."""
        ...

    async def expire(self, hours_before: datetime, days_before: datetime) -> int:
        """Delete some of what is kept by hours and by days of longer ago; returns how many rows."""
        ...
