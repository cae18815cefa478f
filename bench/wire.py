"""The load generator's own HTTP/1.1: one connection, one request at a time, the moments of the answer.

As little as can be, since it shares the machine's cores with what it measures: about 50 µs a request.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast

import httptools

_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Seconds count from the moment at which the request was written."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    first_byte: float
    total: float

    def fault(self, *, stream: bool) -> str | None:
        """What is wrong with it, in two words; None if it is a good answer."""
        if self.status not in {200, 202}:
            return f"http {self.status}"
        if stream and b"data: [DONE]" not in self.body:
            return "broken stream"
        return None if self.body else "empty answer"


class Lost(Exception):
    """The connection ended before the answer did; `silent` if not one byte of it had come."""

    def __init__(self, *, silent: bool) -> None:
        """A silent end on a used connection is the server's idle time-out: such a request may be sent again."""
        super().__init__("connection lost")
        self.silent = silent


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self) -> None:
        """Not connected yet: the loop does that."""
        self.used = False
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._sent_at = 0.0
        self._first_at = 0.0
        self._silent = True

    async def ask(self, request: bytes) -> Answer:
        """Send a whole request and return its answer. Raises Lost."""
        if self._transport is None or not self.open:
            raise Lost(silent=True)
        self._headers, self._parts, self._first_at, self._silent = {}, [], 0.0, True
        self._parser = httptools.HttpResponseParser(self)
        self._waiting = asyncio.get_running_loop().create_future()
        self._sent_at = perf_counter()
        self._transport.write(request)
        answer = await self._waiting
        self.used = True
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    # ---- asyncio.Protocol ----
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit it
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self.open = False
        self._fail()

    def data_received(self, data: bytes) -> None:
        """Parse; a whole answer is handed over from `on_message_complete`."""
        self._silent = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()
            self._fail()

    # ---- httptools' parser ----
    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        """Keep a part, and the moment of the first."""
        if not self._parts:
            self._first_at = perf_counter()
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """Hand the answer over."""
        ended_at = perf_counter()
        waiting, self._waiting = self._waiting, None
        if not self._parser.should_keep_alive():
            self.close()
            self.open = False
        if waiting is None or waiting.done():
            return
        waiting.set_result(
            Answer(
                self._parser.get_status_code(),
                self._headers,
                b"".join(self._parts),
                (self._first_at or ended_at) - self._sent_at,
                ended_at - self._sent_at,
            )
        )

    def _fail(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(Lost(silent=self._silent))


class Caller:
    """One caller: a connection that is made anew when it is gone."""

    def __init__(self, host: str, port: int) -> None:
        """Connects at the first request."""
        self._host = host
        self._port = port
        self._connection: Connection | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send a request and return its answer. Raises Lost, OSError, TimeoutError."""
        async with asyncio.timeout(_PATIENCE):
            connection = await self._connected()
            try:
                return await connection.ask(request)
            except Lost as lost:
                if not (connection.used and lost.silent):
                    raise
            return await (await self._connected()).ask(request)

    async def _connected(self) -> Connection:
        if self._connection is None or not self._connection.open:
            loop = asyncio.get_running_loop()
            _, self._connection = await loop.create_connection(Connection, self._host, self._port)
        return self._connection

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
