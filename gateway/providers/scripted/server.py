"""The scripted provider as a real HTTP upstream: OpenAI's API on real sockets, broken where the script says so.

Light enough to be a benchmark's upstream (one asyncio protocol over httptools, answers built once), and exact about
the bytes and the moment at which a connection ends. It tells what it has seen:

- `GET /stats`: calls (in all and per model), calls in flight, those whose client left (`cancelled`), open connections
- `GET /calls/{request_id}`: how many paid calls came with that `x-request-id`
- `GET /last`: headers and body of the last call, as they came · `POST /reset`: forget all of it

and takes `POST /scripts`: `{"MODEL": SCRIPT}`, what models do from now on (null: what their names say again).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from functools import lru_cache
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import httptools
import msgspec

from gateway.providers.scripted.dialect import ID, JSON
from gateway.providers.scripted.plan import End, Plan
from gateway.providers.scripted.upstream import Upstream

_KNOWN = frozenset(HTTPStatus)


@lru_cache(1024)
def _head(plan: Plan) -> bytes:
    phrase = HTTPStatus(plan.status).phrase if plan.status in _KNOWN else "Scripted"
    lines = [f"HTTP/1.1 {plan.status} {phrase}".encode()]
    lines.append(b"content-type: " + plan.kind)
    lines.append(
        b"transfer-encoding: chunked" if plan.length is None else b"content-length: %d" % plan.length
    )
    lines.extend(name + b": " + value for name, value in plan.headers)
    return b"\r\n".join(lines) + b"\r\n\r\n"


@lru_cache(256)
def _instant(plan: Plan) -> bytes:
    parts = [step for step in plan.steps if isinstance(step, bytes)]
    if plan.length is None:
        parts = [*(b"%x\r\n%b\r\n" % (len(part), part) for part in parts), b"0\r\n\r\n"]
    return _head(plan) + b"".join(parts)


_Request = tuple[bytes, bytes, dict[bytes, bytes], bytes]
"""Method, target, headers and body."""


class Connection(asyncio.Protocol):
    """One client's connection. Requests on it are answered one after the other, also when they come in one packet."""

    def __init__(self, upstream: Upstream) -> None:
        """Not connected yet."""
        self._upstream = upstream
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._waiting: deque[tuple[_Request, bool]] = deque()
        self._playing: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # ---- asyncio.Protocol ----
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit it
        self._upstream.connections += 1
        self._upstream.accepted += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what was being answered: the client is gone."""
        self._transport = None
        self._upstream.connections -= 1
        self._writable.set()
        self._waiting.clear()
        if self._playing is not None:
            self._playing.cancel()

    def pause_writing(self) -> None:
        """Wait: the client reads more slowly than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on writing."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Parse; whole requests are answered from `on_message_complete`."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.write(
                    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                )
                self._transport.close()

    # ---- httptools' parser ----
    def on_message_begin(self) -> None:
        """Start a request."""
        self._url, self._headers, self._body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        """Take (a part of) the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Let a careful client go on with its body."""
        if self._transport is not None and self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer, or wait until the answer before this one is out."""
        keep = bool(self._parser.should_keep_alive())
        request = (self._parser.get_method(), self._url, self._headers, b"".join(self._body))
        if self._playing is None:
            self._answer(*request, keep=keep)
        else:
            self._waiting.append((request, keep))

    # ---- answers ----
    def _answer(
        self, method: bytes, url: bytes, headers: dict[bytes, bytes], body: bytes, *, keep: bool
    ) -> None:
        transport, upstream = self._transport, self._upstream
        if transport is None:
            return
        call = method == b"POST" and upstream.serves(url)
        plan = upstream.plan(headers, body, url=url) if call else self._told(method, url, body)
        number = b"%012d" % upstream.numbered
        if plan.instant:
            transport.write(_instant(plan).replace(ID, number))
            upstream.completed += call
            if not keep:
                transport.close()
            return
        self._playing = asyncio.get_running_loop().create_task(self._play(plan, number, keep=keep))

    async def _play(self, plan: Plan, number: bytes, *, keep: bool) -> None:
        well = False
        try:
            with self._upstream.flight():
                well = await self._steps(plan, number)
        except asyncio.CancelledError:
            return
        finally:
            self._upstream.completed += well
            self._playing = None
        if well and not keep and self._transport is not None:
            self._transport.close()
        while well and self._waiting and self._playing is None:
            request, keep = self._waiting.popleft()
            self._answer(*request, keep=keep)

    async def _steps(self, plan: Plan, number: bytes) -> bool:
        """Play the plan to its end; whether the answer is complete."""
        loop = asyncio.get_running_loop()
        moment = loop.time() + plan.latency
        if plan.latency:
            await asyncio.sleep(plan.latency)
        if plan.status:
            self._write(_head(plan).replace(ID, number))
        for step in plan.steps:
            if isinstance(step, bytes):
                part = step.replace(ID, number)
                self._write(part if plan.length is not None else b"%x\r\n%b\r\n" % (len(part), part))
                if not self._writable.is_set():
                    await self._writable.wait()
                    moment = loop.time()
            elif not isinstance(step, End):
                # Against the plan's own clock, so that many small waits do not add up to more than was asked.
                moment += step
                await asyncio.sleep(moment - loop.time())
            else:
                await self._end(step)
                return False
        if plan.length is None:
            self._write(b"0\r\n\r\n")
        return True

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def _end(self, how: End) -> None:
        transport = self._transport
        if how is End.HANG:
            await asyncio.get_running_loop().create_future()
        elif transport is not None and how is End.CLOSE:
            self._playing = None  # our own doing: not a client that left
            transport.close()
        elif transport is not None:
            self._playing = None
            sock = transport.get_extra_info("socket")
            if sock is not None and sock.family != socket.AF_UNIX:
                # Zero seconds of linger turn the close into a reset.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()

    def _told(self, method: bytes, url: bytes, body: bytes) -> Plan:
        """What the server tells about itself."""
        upstream, path = self._upstream, unquote(url.split(b"?", 1)[0].decode("latin-1"))
        match method, path:
            case b"GET", "/health":
                return _json({"status": "ok"})
            case b"GET", "/stats":
                return _json(upstream.stats())
            case b"GET", "/last":
                headers, last = upstream.last
                return _json({"headers": headers, "body": last.decode("utf-8", "replace")})
            case b"POST", "/reset":
                upstream.reset()
                return _json({})
            case b"POST", "/scripts":
                return self._directed(body)
            case b"GET", "/v1/models":
                names = sorted(upstream.models) or ["scripted-ok"]
                models = [
                    {"id": name, "object": "model", "created": 0, "owned_by": "scripted"} for name in names
                ]
                return _json({"object": "list", "data": models})
            case b"GET", _ if path.startswith("/calls/"):
                return _json({"calls": upstream.ids[path.removeprefix("/calls/")]})
            case _:
                return upstream.refused(
                    404, f"Unknown request URL: {path}", "invalid_request_error", "unknown_url"
                )

    def _directed(self, scripts: bytes) -> Plan:
        """Let models play what is said."""
        try:
            self._upstream.play(scripts)
        except msgspec.DecodeError as error:
            return self._upstream.refused(
                400, f"Could not read the scripts: {error}", "invalid_request_error", None
            )
        return _json({})


def _json(value: object) -> Plan:
    body = msgspec.json.encode(value)
    return Plan(200, (body,), len(body), JSON)


async def serve(
    upstream: Upstream, host: str = "127.0.0.1", port: int = 0, uds: str | None = None
) -> asyncio.Server:
    """Start serving; port 0 takes a free one, which the server's socket then tells."""
    loop = asyncio.get_running_loop()
    if uds is not None:
        return await loop.create_unix_server(lambda: Connection(upstream), uds, backlog=2048)
    return await loop.create_server(lambda: Connection(upstream), host, port, backlog=2048)
