"""One time for all replicas: the database's, kept up between two looks at it by a clock of our own that never jumps."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

JUMP: Final = 5.0
"""Seconds of difference after which what was counted by the old time has to be put in order anew."""
_JITTER: Final = 0.05  # seconds of difference that are not worth a change


class SharedClock:
    """Tells the shared time. Until the database was heard it is this machine's own."""

    def __init__(self, own: Callable[[], float] | None = None) -> None:
        """`own` gives seconds that begin anywhere near the epoch and only grow."""
        began = time.time() - time.monotonic()
        self._own = own or (lambda: began + time.monotonic())
        self._ahead = 0.0

    def now(self) -> float:
        """The shared time in seconds of the epoch."""
        return self._own() + self._ahead

    def moment(self) -> datetime:
        """The shared time."""
        return datetime.fromtimestamp(self.now(), UTC)

    def learn(self, theirs: datetime, asked: float) -> bool:
        """Take over the database's time, as it was between `asked` (a shared time) and now.

        Returns whether that is so far from what was thought that slices of time no longer mean the same.
        """
        heard = self.now()
        ahead = theirs.timestamp() - (asked + heard) / 2
        if abs(ahead) > _JITTER + (heard - asked) / 2:
            self._ahead += ahead
        return abs(ahead) > JUMP
