"""Writes the events of a stream into its log while it runs, in batches: whoever streams never waits for it.

A log that cannot keep up, or that somebody else has taken over, is given up: the stream goes on without it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.storage.ports import Line, StreamLog

EVERY: Final = 0.2
"""Seconds that an event waits for others to be written with it."""
BATCH: Final = 64
"""So many events are written without waiting for others."""
_BATCH_BYTES: Final = 256 * 1024
_MOST_WAITING: Final = 4 * 1024 * 1024
"""Bytes that wait for a database that is away or slow, before the log is given up."""
_AGAIN: Final = 1.0
_LOOKS: Final = 60
"""So many times in a row a database that is away is looked for."""
_PATIENCE: Final = 2.0
"""Seconds that the end of a stream waits for its log."""


class Scribe:
    """Writes one stream's log."""

    def __init__(
        self, log: StreamLog, request_id: str, writer: str, first: int = 0, *, every: float = EVERY
    ) -> None:
        """`first` is the number of the first event that it is told, `every` the seconds that one waits for others."""
        self._log = log
        self._request_id = request_id
        self._writer = writer
        self._next = first
        self._every = every
        self._waiting: list[Line] = []
        self._size = 0
        self._due = asyncio.Event()
        self._ended = False
        self._lost = False
        self._task = asyncio.create_task(self._write(), name=f"stream log {request_id}")

    def add(self, name: str, data: bytes) -> None:
        """Note an event."""
        if self._lost:
            return
        self._waiting.append(Line(name, data))
        self._size += len(data)
        if len(self._waiting) >= BATCH or self._size >= _BATCH_BYTES:
            self._due.set()
        if self._size > _MOST_WAITING:
            self._lose("too much waits to be written")

    async def close(self) -> None:
        """Write the rest and close the log."""
        self._ended = True
        self._due.set()
        await asyncio.wait([self._task], timeout=_PATIENCE)

    def leave(self) -> None:
        """Write what is there, and leave the log open for whoever ends it."""
        self._lost = True
        self._due.set()

    async def hand_over(self) -> None:
        """The same, and wait until it is written: the next one goes on after it."""
        self.leave()
        await asyncio.wait([self._task], timeout=_PATIENCE)

    def _lose(self, why: str) -> None:
        self._lost = True
        self._waiting, self._size = [], 0
        self._due.set()
        telemetry.log.warning("stream_log_lost", request_id=self._request_id, why=why)

    async def _write(self) -> None:
        opened, away = False, 0
        while not (self._lost and not self._waiting):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._due.wait()
            self._due.clear()
            try:
                if not opened:
                    opened = await self._open()
                if opened:
                    await self._flush()
                if self._ended and not self._waiting and not self._lost:
                    await self._log.close(self._request_id, self._writer)
                    return
                away = 0
            except StorageUnavailable:
                away += 1
                if away > _LOOKS:
                    self._lose("the database stays away")
                    return
                await asyncio.sleep(_AGAIN)

    async def _open(self) -> bool:
        next_seq = await self._log.open(self._request_id, self._writer)
        if next_seq != self._next:
            self._lose("it is not where this stream begins")
        return next_seq == self._next

    async def _flush(self) -> None:
        while self._waiting:
            batch = self._waiting[:BATCH]
            if not await self._log.append(self._request_id, self._writer, self._next, batch):
                self._lose("another writer took it over")
                return
            self._next += len(batch)
            del self._waiting[: len(batch)]
            self._size -= sum(len(line.data) for line in batch)
