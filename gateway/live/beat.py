"""The second's beat of the live facts: counts into windows, windows into a new snapshot."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.live.vitals import Vitals

_EVERY = 1.0


class Beat:
    """Keeps the facts of one process up to the second."""

    def __init__(self, vitals: Vitals) -> None:
        """`vitals` counts."""
        self._vitals = vitals
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._beat(), name="live facts")

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            self._vitals.tick()
            for _ in self._vitals.rebuild(as_of=self._vitals.clock.moment()):
                await asyncio.sleep(0)
