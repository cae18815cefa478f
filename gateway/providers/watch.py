"""One timer for the many waits of a stream: `asyncio.timeout` makes one for each, which costs more than the wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Watch:
    """Bounds waits that come one after the other, in whatever tasks; `stop` it when no more come.

    The timer is not moved with each wait: when it rings too early, it is set anew for the wait of that moment.
    """

    __slots__ = ("_due", "_ends", "_loop", "_rang", "_task", "_timer")

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._ends = 0.0
        self._task: asyncio.Task[object] | None = None
        self._rang = False

    async def wait(self, thing: Awaitable[T], ends: float) -> T:
        """Await `thing`, until `ends` on the loop's clock; then cancel it and raise TimeoutError."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a wait needs a task")
        before = task.cancelling()
        self._ends, self._task, self._rang = ends, task, False
        if self._timer is None or ends < self._due:
            self._set()
        try:
            return await thing
        except asyncio.CancelledError:
            # Somebody else may have cancelled the task too: then that counts, and not the time.
            if self._rang and task.uncancel() <= before:
                raise TimeoutError from None
            raise
        finally:
            self._task = None

    def stop(self) -> None:
        """Take the timer down."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self) -> None:
        self.stop()
        self._due = self._ends
        self._timer = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            return
        if self._loop.time() < self._ends:
            self._set()
        else:
            self._rang = True
            self._task.cancel()
