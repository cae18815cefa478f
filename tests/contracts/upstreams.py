"""What providers are tested against: the scripted upstream on real sockets, and a server that says any bytes at all."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Protocol

import msgspec

from gateway.domain.errors import GatewayError
from gateway.domain.inference import Kind
from gateway.domain.registry import Model
from gateway.providers.ports import Call, CallTimeouts, Event, Provider
from gateway.providers.scripted.upstream import Upstream

ROOT = Path(__file__).parents[2]
TIMEOUTS = CallTimeouts(timedelta(seconds=2), timedelta(seconds=5), timedelta(seconds=10))


def call(
    model: str = "scripted-ok",
    *,
    base_url: str = "http://upstream.invalid/v1",
    script: Mapping[str, object] | None = None,
    body: bytes = b'{"messages":[{"role":"user","content":"Hi"}]}',
    credential: str | None = None,
    timeouts: CallTimeouts = TIMEOUTS,
    headers: Mapping[str, str] | None = None,
    model_headers: Mapping[str, str] | None = None,
) -> Call:
    """A call that works, but for what is changed."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if script is not None:
        fields["x_script"] = msgspec.Raw(msgspec.json.encode(script))
    known = Model(
        name="m",
        provider="p",
        base_url=base_url,
        upstream_model=model,
        credential=credential,
        headers=model_headers or {},
    )
    return Call(Kind.CHAT, known, fields, timeouts, headers or {})


def within(**seconds: float) -> CallTimeouts:
    """Time-outs of which some are changed, in seconds."""
    usual = {"connect": 2.0, "first_byte": 5.0, "total": 10.0}
    return CallTimeouts(**{name: timedelta(seconds=value) for name, value in (usual | seconds).items()})


class Seen(Protocol):
    """What an upstream has seen."""

    def stats(self) -> dict[str, Any]: ...
    def calls(self, request_id: str) -> int: ...
    def last(self) -> tuple[dict[str, str], bytes]: ...


@dataclass
class Inside:
    """The upstream inside of the scripted provider."""

    upstream: Upstream

    def stats(self) -> dict[str, Any]:
        return self.upstream.stats()

    def calls(self, request_id: str) -> int:
        return self.upstream.ids[request_id]

    def last(self) -> tuple[dict[str, str], bytes]:
        return self.upstream.last


@dataclass
class Served:
    """The scripted upstream as a process of its own."""

    base_url: str

    def stats(self) -> dict[str, Any]:
        return self._ask("/stats")

    def calls(self, request_id: str) -> int:
        return self._ask(f"/calls/{request_id}")["calls"]

    def last(self) -> tuple[dict[str, str], bytes]:
        answer = self._ask("/last")
        return answer["headers"], answer["body"].encode()

    def _ask(self, path: str) -> Any:
        asking = HTTPConnection(self.base_url.removesuffix("/v1").removeprefix("http://"), timeout=5)
        with contextlib.closing(asking):
            asking.request("GET", path)
            return msgspec.json.decode(asking.getresponse().read())


@contextmanager
def served(*arguments: str) -> Generator[Served]:
    """Start the scripted upstream on a free port, and stop it."""
    command = [sys.executable, "-m", "gateway.providers.scripted", "--port", "0", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Served(process.stdout.readline().removeprefix("listening on ").strip())
        finally:
            process.terminate()


@dataclass
class Bytes:
    """A server that reads requests and says what it was told to say, one piece for each write."""

    base_url: str = ""
    requests: list[bytes] = field(default_factory=list[bytes])
    connections: int = 0


@asynccontextmanager
async def saying(*pieces: bytes, close: bool = True, pause: float = 0.0) -> AsyncGenerator[Bytes]:
    """Serve the same bytes to each request; `close` ends the connection after them."""
    server, writers = Bytes(), set[asyncio.StreamWriter]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = re.findall(rb"(?i)content-length: *(\d+)", head)
                length = int(lengths[0]) if lengths else 0
                server.requests.append(head + await reader.readexactly(length))
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause)
                if close:
                    break
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    server.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listening.close()
        for writer in writers:
            writer.close()


async def failing(provider: Provider, asked: Call, how: str) -> tuple[GatewayError, list[Event]]:
    """The error that a call ends with, read whole or as a stream, and the events that came before it."""
    seen: list[Event] = []
    try:
        if how == "json":
            await provider.complete(asked)
        else:
            async for event in provider.stream(asked):
                seen.append(event)  # noqa: PERF401 - what came before the error counts
    except GatewayError as error:
        return error, seen
    raise AssertionError("the call did not fail")


def head(status: str = "200 OK", kind: str = "application/json", **headers: str) -> bytes:
    """The head of an answer."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def sized(body: bytes, status: str = "200 OK", kind: str = "application/json", **headers: str) -> bytes:
    """A whole answer with its length."""
    return head(status, kind, content_length=str(len(body)), **headers) + body
