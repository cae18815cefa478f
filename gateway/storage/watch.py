"""Whether the database answers: looked at every second, so that no request has to find out by waiting."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable

_EVERY = 1.0


class Pings(Protocol):
    """A store, as far as its health goes."""

    async def ping(self) -> None:
        """Raise StorageUnavailable unless it answers."""
        ...


class StorageWatch:
    """Keeps looking whether the store is there."""

    def __init__(self, store: Pings) -> None:
        """Until the first look it counts as away."""
        self._store = store
        self._up = False
        self._task: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether it answered last time."""
        return self._up

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look(), name="storage watch")

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _look(self) -> None:
        while True:
            try:
                await self._store.ping()
                self._seen(up=True)
            except StorageUnavailable:
                self._seen(up=False)
            await asyncio.sleep(_EVERY)

    def _seen(self, *, up: bool) -> None:
        if up != self._up:
            telemetry.log.warning("storage_up" if up else "storage_down")
        self._up = up
