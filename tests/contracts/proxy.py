"""A wire between a client and a server that a test can cut, silence and mend."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Wire:
    """Passes bytes on from a port of its own to another one, until it is told otherwise."""

    def __init__(self, host: str, port: int) -> None:
        """`host` and `port` are the server's."""
        self._to = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self.port = 0
        self.connections = 0

    async def mend(self) -> None:
        """Listen, and pass bytes on."""
        self._passing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Refuse connections, and leave those that are there."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def cut(self) -> None:
        """Refuse connections, and break those that are there."""
        self.refuse()
        await self.break_connections()

    async def break_connections(self) -> None:
        """Break the connections that are there, and take new ones."""
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.02)

    def silence(self) -> None:
        """Take connections and bytes, and pass nothing on."""
        self._passing.clear()

    async def close(self) -> None:
        """Cut, and end."""
        await self.cut()
        for task in self._tasks:
            task.cancel()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            their_reader, their_writer = await asyncio.open_connection(*self._to)
        except OSError:
            writer.close()
            return
        self._writers.add(their_writer)
        for source, target in ((reader, their_writer), (their_reader, writer)):
            task = asyncio.create_task(self._pass(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await self._passing.wait()
                target.write(data)
                await target.drain()
        target.close()
        self._writers.discard(target)
