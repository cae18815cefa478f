"""HTTP/1.1 on the event loop's own transports with httptools' parser, and a pool of such connections.

A call through httpx2's transport took 1.4 ms of CPU, most of it in the many layers below; here it takes 0.3. It is an
httpx2 transport all the same, so the SDKs use it too, and its errors are httpx2's.
"""

from __future__ import annotations

import asyncio
import re
import select
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Final, cast

import httptools
import httpx2
from typing_extensions import override

from gateway.net.guard import Found, LookUp, by_the_system

_Origin = tuple[bytes, str, int, str]
_LONGEST_HEAD: Final = 256 * 1024
_BUFFERED: Final = 256 * 1024  # bytes of a body that wait to be read before the upstream has to
_NEXT_ADDRESS: Final = 0.25  # seconds that one address of a host has before the next is tried too (RFC 8305)
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")


class Http1(httpx2.AsyncBaseTransport):
    """Connections by origin, used again while they live; at the limit a request waits for one."""

    def __init__(self, tls: ssl.SSLContext, limits: httpx2.Limits, look_up: LookUp = by_the_system) -> None:
        """Open nothing yet. `tls` must speak no more than HTTP/1.1; `look_up` says by which addresses."""
        self._tls = tls
        self._look_up = look_up
        self._most = limits.max_connections or 1_000_000
        self._most_idle = (
            1_000_000 if limits.max_keepalive_connections is None else limits.max_keepalive_connections
        )
        self._expiry = limits.keepalive_expiry or float("inf")
        self._idle: dict[_Origin, list[_Connection]] = {}
        self._idle_count = 0
        self._open: set[_Connection] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return its answer once the head is there. Raises what httpx2's own transport raises."""
        head = _head(request)
        try:
            content: Sequence[bytes] = (request.content,)
        except httpx2.RequestNotRead:
            # Not joined: a file of many megabytes goes out as the bytes that it came in.
            content = [piece async for piece in cast("httpx2.AsyncByteStream", request.stream)]
        connection = await self._taken(request)
        try:
            status, headers = await connection.ask(head, content)
        except BaseException:
            self._give_back(connection)
            raise
        body = _Body(self, connection)
        return httpx2.Response(status, headers=headers, stream=body, extensions={"http_version": b"HTTP/1.1"})

    @override
    async def aclose(self) -> None:
        """Close all connections, those in use too."""
        for connection in tuple(self._open):
            connection.close()
        self._open.clear()
        self._idle.clear()
        self._idle_count = 0

    # ---- the pool ------------------------------------------------------------------------------------------------
    async def _taken(self, request: httpx2.Request) -> _Connection:
        origin = _origin(request)
        timeouts = request.extensions.get("timeout", {})
        try:
            async with asyncio.timeout(timeouts.get("pool")):
                while True:
                    connection = self._alive(origin)
                    if connection is not None:
                        return connection
                    if self._has_room():
                        break
                    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting.append(turn)
                    try:
                        await turn
                    finally:
                        if turn in self._waiting:
                            self._waiting.remove(turn)
                        elif turn.cancelled():
                            self._wake()
        except TimeoutError as e:
            raise httpx2.PoolTimeout("no connection was free in time", request=request) from e
        return await self._opened(origin, timeouts.get("connect"), request)

    async def _opened(self, origin: _Origin, patience: float | None, request: httpx2.Request) -> _Connection:
        self._opening += 1
        try:
            async with asyncio.timeout(patience):
                connection = await _connect(origin, self._tls, self._look_up)
        except TimeoutError as e:
            self._wake()
            raise httpx2.ConnectTimeout("no connection came about in time", request=request) from e
        except OSError as e:
            self._wake()
            raise httpx2.ConnectError(str(e), request=request) from e
        except BaseException:
            self._wake()
            raise
        finally:
            self._opening -= 1
        self._open.add(connection)
        return connection

    def _alive(self, origin: _Origin) -> _Connection | None:
        """The connection to the origin that was used last and lives."""
        idle = self._idle.get(origin)
        now = asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()
            self._idle_count -= 1
            if now - connection.idle_since < self._expiry and connection.quiet():
                return connection
            self._drop(connection)
        return None

    def _has_room(self) -> bool:
        if len(self._open) + self._opening < self._most:
            return True
        for idle in self._idle.values():  # another origin's, which nobody uses
            if idle:
                self._idle_count -= 1
                self._drop(idle.pop(0))
                return True
        return False

    def _give_back(self, connection: _Connection) -> None:
        if connection not in self._open:
            return
        if connection.can_be_used_again and self._idle_count < self._most_idle:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.setdefault(connection.origin, []).append(connection)
            self._idle_count += 1
        else:
            self._drop(connection)
        self._wake()

    def _drop(self, connection: _Connection) -> None:
        connection.close()
        self._open.discard(connection)

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def give_back(self, connection: _Connection) -> None:
        """The answer on this connection has been read, or will not be."""
        self._give_back(connection)


class _Body(httpx2.AsyncByteStream):
    """An answer's body; closing it gives the connection back, or closes it if there is more to come."""

    def __init__(self, pool: Http1, connection: _Connection) -> None:
        self._pool = pool
        self._connection: _Connection | None = connection

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._connection is not None and (chunk := await self._connection.read()):
            yield chunk

    @override
    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(connection)


# ---- one connection ----------------------------------------------------------------------------------------------
class _Connection(asyncio.Protocol):
    """One request after the other, and their answers."""

    def __init__(self, origin: _Origin) -> None:
        self.origin = origin
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._asked = False
        self._told: asyncio.Future[tuple[int, list[tuple[bytes, bytes]]]] | None = None
        self._more: asyncio.Future[None] | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._in_head = True
        self._sized = False
        self._parts: list[bytes] = []
        self._held = 0
        self._paused = False
        self._complete = False
        self._keeps_alive = False
        self._error: Exception | None = None

    @property
    def can_be_used_again(self) -> bool:
        """Whether the last answer is whole, and both sides keep the connection."""
        return self._complete and self._keeps_alive and not self._closed

    def quiet(self) -> bool:
        """Whether it lives and nothing has come on it: an end that the loop has not seen yet counts as come."""
        if self._closed or self._transport is None:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    async def ask(self, head: bytes, content: Sequence[bytes]) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Send a request; the status and headers of its answer."""
        if self._transport is None:
            raise httpx2.ConnectError("the connection is not made")
        self._asked, self._complete, self._sized = True, False, False
        self._begin_head()
        self._take()  # the last answer may have been left unread
        self._told = asyncio.get_running_loop().create_future()
        # Not waited for: the body is in memory already, and an upstream may answer before it has taken all of it.
        if len(content) == 1 and len(content[0]) < 65536:
            self._transport.write(head + content[0])
        else:
            self._transport.writelines((head, *content))
        return await self._told

    async def read(self) -> bytes:
        """What has come of the body; empty at its end."""
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self._complete:
                return b""
            self._more = asyncio.get_running_loop().create_future()
            try:
                await self._more
            finally:
                self._more = None
        return self._take()

    def close(self) -> None:
        """Close it at once: what it has not sent yet nobody waits for."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def _closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    # ---- what the loop tells -------------------------------------------------------------------------------------
    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        if not self._asked or self._complete:
            self._excess()
            return
        if self._in_head:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._excess()
        except httptools.HttpParserError as e:
            self._fail(httpx2.RemoteProtocolError(f"no HTTP/1.1: {e}"))
        if self._in_head and self._head_size > _LONGEST_HEAD:
            self._fail(httpx2.RemoteProtocolError(f"the answer's head is longer than {_LONGEST_HEAD} bytes"))

    @override
    def eof_received(self) -> None:
        self._ended(None)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)

    def _ended(self, exc: Exception | None) -> None:
        if not self._asked or self._complete or self._error is not None:
            return
        if self._in_head:
            said = str(exc) if exc is not None else "the server hung up without an answer"
            self._fail(httpx2.ReadError(said) if exc is not None else httpx2.RemoteProtocolError(said))
        elif exc is None and not self._sized:
            self._keeps_alive = False  # a body without a length ends with its connection
            self._end_body()
        else:
            self._fail(httpx2.ReadError(str(exc)) if exc is not None else _cut_short())

    # ---- what the parser tells -----------------------------------------------------------------------------------
    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, of the head or after a body in chunks."""
        if not self._in_head:
            return
        self._headers.append((name, value))
        self._sized = self._sized or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        """The head is there."""
        if self._complete:
            return
        status = self._parser.get_status_code()
        if status == 101:
            self._fail(httpx2.RemoteProtocolError("the server changes the protocol, which was not asked for"))
            return
        if status < 200:
            return
        self._in_head = False
        self._keeps_alive = self._parser.should_keep_alive()
        if self._told is not None and not self._told.done():
            self._told.set_result((status, self._headers))

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._complete:
            return
        self._parts.append(data)
        self._held += len(data)
        if self._held > _BUFFERED and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_begin(self) -> None:
        """An answer begins."""
        if self._complete:
            self._excess()

    def on_message_complete(self) -> None:
        """An answer has ended; one of 100 to 199 was not the answer."""
        if self._complete:
            return
        if self._in_head:
            self._begin_head()
        else:
            self._end_body()

    def _excess(self) -> None:
        """Nobody asked for what has come: it would be taken for the answer to the next request."""
        self._keeps_alive = False
        self.close()

    def _take(self) -> bytes:
        chunk = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    def _begin_head(self) -> None:
        self._headers, self._head_size, self._in_head, self._sized = [], 0, True, False

    def _end_body(self) -> None:
        self._complete = True
        self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._complete:
            self._excess()
            return
        self._error = self._error or error
        self._keeps_alive = False
        if self._told is not None and not self._told.done():
            self._told.set_exception(self._error)
        self._wake()
        self.close()


def _cut_short() -> Exception:
    return httpx2.RemoteProtocolError("the server hung up in the middle of its answer")


# ---- connecting --------------------------------------------------------------------------------------------------
def _origin(request: httpx2.Request) -> _Origin:
    url = request.url
    host = url.raw_host.decode("ascii")
    port = url.port or (443 if url.raw_scheme == b"https" else 80)
    name: str = request.extensions.get("sni_hostname") or host
    return url.raw_scheme, host, port, name


def _head(request: httpx2.Request) -> bytes:
    """The request's first lines. Raises LocalProtocolError for what would break out of them."""
    url = request.url
    if url.raw_scheme not in (b"http", b"https"):
        raise httpx2.UnsupportedProtocol(f"neither http nor https: {url.scheme}", request=request)
    raw = request.headers.raw
    if not _TARGET.fullmatch(url.raw_path):
        raise httpx2.LocalProtocolError("the address is no target of a request", request=request)
    lines = [b"%s %s HTTP/1.1\r\n" % (request.method.encode("ascii"), url.raw_path)]
    for name, value in raw:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise httpx2.LocalProtocolError("a header holds what no header may hold", request=request)
        if name.lower() == b"transfer-encoding":
            raise httpx2.LocalProtocolError("a body of unknown length is not sent", request=request)
        lines.append(b"%s: %s\r\n" % (name, value))
    lines.append(b"\r\n")
    return b"".join(lines)


async def _connect(origin: _Origin, tls: ssl.SSLContext, look_up: LookUp) -> _Connection:
    scheme, host, port, name = origin
    reached = await _reached(host, await look_up(host, port))
    try:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(origin),
            sock=reached,
            ssl=tls if scheme == b"https" else None,
            server_hostname=name if scheme == b"https" else None,
        )
    except BaseException:
        reached.close()
        raise
    return connection


async def _reached(host: str, addresses: Sequence[Found]) -> socket.socket:
    """A socket to the first of a host's addresses that answers; each next one is tried a little later (RFC 8305)."""
    found = list(addresses)
    trying: set[asyncio.Task[socket.socket]] = set()
    failed: OSError = OSError(f"{host} has no address")
    try:
        while found or trying:
            if found:
                family, kind, proto, _, address = found.pop(0)
                trying.add(asyncio.create_task(_to(family, kind, proto, address)))
            done, trying = await asyncio.wait(
                trying, timeout=_NEXT_ADDRESS if found else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                error = attempt.exception()
                if error is None:
                    for other in done - {attempt}:
                        if other.exception() is None:
                            other.result().close()
                    return attempt.result()
                if not isinstance(error, OSError):
                    raise error
                failed = error
        raise failed
    finally:
        for attempt in trying:
            attempt.cancel()
        for attempt in trying:
            with suppress(asyncio.CancelledError, OSError):
                (await attempt).close()


async def _to(family: int, kind: int, proto: int, address: object) -> socket.socket:
    made = socket.socket(family, kind, proto)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(made, cast("tuple[str, int]", address))
    except BaseException:
        made.close()
        raise
    return made
