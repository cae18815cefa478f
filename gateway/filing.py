"""The content of callers' files: written and read in parts, sealed before a store sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway import telemetry
from gateway.domain.errors import BodyTooLarge, StorageUnavailable
from gateway.ring import Unreadable
from gateway.seal import Seal
from gateway.storage.ports import Contents, Files

PART: Final = 1024 * 1024
"""Bytes in a part, before it is sealed; only the last has fewer."""
_SWEPT: Final = 100
_EVERY: Final = 3600.0
_AGAIN: Final = 60.0
_UPLOAD: Final = timedelta(days=1)


class Filing:
    """Reads and writes contents. A store that cannot be reached is raised as StorageUnavailable."""

    def __init__(self, files: Files, contents: Contents, seal: Seal) -> None:
        """`contents` may lie elsewhere than what is known of `files`."""
        self._files = files
        self._contents = contents
        self._seal = seal

    async def write(self, file_id: str, pieces: AsyncIterable[bytes], limit: int) -> int:
        """Keep a content as it comes; returns its bytes. Raises BodyTooLarge, and keeps nothing then."""
        number, size, held = 0, 0, bytearray()
        try:
            async for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise BodyTooLarge(f"The file is larger than {limit} bytes.")
                held += piece
                while len(held) >= PART:
                    await self._put(file_id, number, bytes(held[:PART]))
                    del held[:PART]
                    number += 1
            if held or not number:
                await self._put(file_id, number, bytes(held))
        except BaseException:
            # A store that cannot be reached now is swept later; what went wrong first is what is told.
            with suppress(StorageUnavailable):
                await self._contents.delete(file_id)
            raise
        return size

    async def read(self, file_id: str) -> AsyncGenerator[bytes]:
        """A content part by part. Raises Unreadable where its key is no longer in the ring, or a part is missing."""
        number = 0
        while (part := await self._get(file_id, number)) is not None:
            yield part
            number += 1
            if len(part) < PART:
                return
        if not number:
            raise Unreadable("its first part is missing")

    def open(self, file_id: str) -> Reader:
        """A reader of ranges, best in order."""
        return Reader(self, file_id)

    async def delete(self, file_id: str) -> None:
        """Forget a content."""
        await self._contents.delete(file_id)

    async def sweep(self) -> int:
        """Forget files whose time is over, and contents whose upload broke off; returns how many."""
        now = datetime.now(UTC)
        gone = 0
        for file in await self._files.expired(now, _SWEPT):
            await self._contents.delete(file.id)
            gone += await self._files.delete(file.caller, file.id)
        for stray in await self._contents.strays(now - _UPLOAD, _SWEPT):
            await self._contents.delete(stray)
            gone += 1
        return gone

    async def part(self, file_id: str, number: int) -> bytes:
        """One part. Raises Unreadable."""
        part = await self._get(file_id, number)
        if part is None:
            raise Unreadable("a part of it is missing")
        return part

    async def _put(self, file_id: str, number: int, data: bytes) -> None:
        await self._contents.put(file_id, number, self._seal.seal(data))

    async def _get(self, file_id: str, number: int) -> bytes | None:
        sealed = await self._contents.get(file_id, number)
        return None if sealed is None else self._seal.open(sealed)


class Reader:
    """Ranges of one content; the part that was read last is at hand."""

    def __init__(self, filing: Filing, file_id: str) -> None:
        """Nothing is read yet."""
        self._filing = filing
        self._file_id = file_id
        self._number = -1
        self._part = b""

    async def read(self, at: int, size: int) -> bytes:
        """The bytes from `at` on."""
        found = bytearray()
        while size > 0:
            number, offset = divmod(at, PART)
            if number != self._number:
                self._part, self._number = await self._filing.part(self._file_id, number), number
            piece = self._part[offset : offset + size]
            if not piece:
                raise Unreadable("it is shorter than was said")
            found += piece
            at += len(piece)
            size -= len(piece)
        return bytes(found)


async def keep_files(filing: Filing) -> None:
    """Sweep for ever; each worker may do it, since doing it twice changes nothing."""
    while True:
        try:
            while gone := await filing.sweep():
                telemetry.log.info("files_expired", files=gone)
        except StorageUnavailable:
            await asyncio.sleep(_AGAIN)
        else:
            await asyncio.sleep(_EVERY)


async def lines_of(pieces: AsyncIterator[bytes], longest: int) -> AsyncGenerator[tuple[int, bytes]]:
    """The lines of a content and where they begin, blank ones left out. Raises BodyTooLarge beyond `longest` bytes."""
    at, held = 0, b""
    async for piece in pieces:
        lines = (held + piece).split(b"\n")
        held = lines.pop()
        if len(held) > longest or any(len(line) > longest for line in lines):
            raise BodyTooLarge(f"A line is longer than {longest} bytes.")
        for line in lines:
            if line.strip():
                yield at, line
            at += len(line) + 1
    if held.strip():
        yield at, held
