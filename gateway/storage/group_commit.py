"""Many writers, few transactions: whatever waits when a transaction ends goes together into the next one.

Nobody waits for company: a single entry is written at once. The batches grow by themselves under load, when writing
takes longer than the next entry takes to come.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Generic, TypeVar

from gateway.domain.errors import StorageUnavailable

E = TypeVar("E")
R = TypeVar("R")


class GroupCommit(Generic[E, R]):
    """Gathers entries into batches and writes each batch in one transaction."""

    def __init__(
        self,
        write: Callable[[Sequence[E]], Awaitable[Sequence[R]]],
        *,
        largest: int = 200,
        most_waiting: int = 10_000,
        committers: int = 2,
    ) -> None:
        """`write` writes a batch, all or nothing, and returns a result for each entry; it must be safe to do again."""
        self._write = write
        self._largest = largest
        self._most_waiting = most_waiting
        self._most_committers = committers
        self._waiting: deque[tuple[E, asyncio.Future[R]]] = deque()
        self._committers: set[asyncio.Task[None]] = set()
        self._closed = False

    async def add(self, entry: E) -> R:
        """Write an entry and return its result. Raises what `write` raises, and StorageUnavailable when too many wait.

        Cancelling this waiting does not take the entry back: it may be under way.
        """
        if self._closed:
            raise StorageUnavailable(detail="the store is closed")
        if len(self._waiting) >= self._most_waiting:
            raise StorageUnavailable(
                detail=f"{self._most_waiting} entries wait to be written", retry_after=timedelta(seconds=1)
            )
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if len(self._committers) < self._most_committers:
            self._committers.add(asyncio.create_task(self._commit(), name="group commit"))
        return await future

    async def close(self) -> None:
        """Take no more entries, and write those that wait."""
        self._closed = True
        while self._committers:
            await asyncio.wait(self._committers)

    async def _commit(self) -> None:
        batch: Sequence[tuple[E, asyncio.Future[R]]] = ()
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]
                await self._settle(batch)
        finally:
            # Struck off in the same breath as nothing was found waiting: an entry that comes a moment later, while this
            # task is not quite done, must start another.
            task = asyncio.current_task()
            if task is not None:
                self._committers.discard(task)
            # Only a cancelled committer leaves waiters behind; they must not wait for ever.
            for _, future in batch:
                _fail(future, StorageUnavailable(detail="the store was closed in the middle of a write"))

    async def _settle(self, batch: Sequence[tuple[E, asyncio.Future[R]]]) -> None:
        try:
            results = await self._write([entry for entry, _ in batch])
        except StorageUnavailable as error:
            for _, future in batch:
                # One error object for each waiter: raised in many tasks, a shared one would collect all their frames.
                _fail(
                    future,
                    StorageUnavailable(error.message, detail=error.detail, retry_after=error.retry_after),
                )
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for it are told
            if len(batch) == 1:
                _fail(batch[0][1], error)
                return
            # Something in one entry is wrong: written one by one, it fails alone.
            for each in batch:
                await self._settle([each])
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)


def _fail(future: asyncio.Future[R], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
