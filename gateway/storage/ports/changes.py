"""What changes while we run: by nouns such as `registry`, `rules` and `prices`, each with a revision that grows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol


class Changes(Protocol):
    """The revisions of what processes keep copies of.

    Whoever changes a noun makes its revision grow and announces it, in the transaction of the change: a reader that
    sees a revision sees all that led to it.
    """

    async def revisions(self) -> Mapping[str, int]:
        """The revision of every noun that was ever changed."""
        ...

    def listen(self) -> AsyncGenerator[str]:
        """Yield the noun of each change soon after it; the first thing yielded is `""`: from then on none is missed.

        A hint only, which may come twice or, when a connection breaks unseen, not at all: `revisions` is the truth.
        Raises StorageUnavailable when the store is away or goes away.
        """
        ...
