"""One time for all replicas: the database's, kept up between two looks at it by this process's own clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

_JITTER: Final = 0.05  # seconds of difference that a slow answer explains


class SharedClock:
    """Tells the shared time. Until the database was heard it is this process's own."""

    def __init__(self, own: Callable[[], float] = time.time) -> None:
        """`own` gives seconds of the epoch."""
        self._own = own
        self._ahead = 0.0

    def now(self) -> float:
        """The shared time in seconds of the epoch."""
        return self._own() + self._ahead

    def moment(self) -> datetime:
        """The shared time."""
        return datetime.fromtimestamp(self.now(), UTC)

    def learn(self, theirs: datetime, asked: float) -> None:
        """Take over the database's time; `asked` is what `own_now` said when it was asked."""
        heard = self._own()
        ahead = theirs.timestamp() - (asked + heard) / 2
        if abs(ahead - self._ahead) > _JITTER + (heard - asked) / 2:
            self._ahead = ahead

    def own_now(self) -> float:
        """This process's own time in seconds of the epoch."""
        return self._own()

    def as_own(self, theirs: datetime) -> datetime:
        """A moment of the shared time as this process's own clock shows it."""
        return theirs - timedelta(seconds=self._ahead)
