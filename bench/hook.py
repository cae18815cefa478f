"""A receiver of webhooks in this process: it takes everything at once, and counts events by their ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from time import perf_counter

SECRET = "whsec_" + "YSBiZW5jaCB0aGF0IHRlbGxzIGV2ZXJ5Ym9keQ=="
_TAKEN = b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"


class Hook:
    """What has arrived; an event that came twice counts once."""

    def __init__(self) -> None:
        """Nothing has."""
        self.url = ""
        self._arrived: set[str] = set()

    def __len__(self) -> int:
        """How many events have."""
        return len(self._arrived)

    async def until(self, count: int, ends: float) -> None:
        """Wait for so many, or for a moment of `perf_counter`."""
        while len(self._arrived) < count and perf_counter() < ends:  # noqa: ASYNC110  there may be none to wake us
            await asyncio.sleep(0.02)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        # Cancelled when all is over: a callback of the streams would say so, once for each connection.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
                headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
                await reader.readexactly(int(headers.get("content-length", "0")))
                self._arrived.add(headers.get("webhook-id", ""))
                writer.write(_TAKEN)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def listening() -> AsyncGenerator[Hook]:
    """A receiver on a free port of this machine."""
    hook = Hook()
    server = await asyncio.start_server(hook.serve, "127.0.0.1", 0)
    hook.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield hook
    finally:
        server.close()
