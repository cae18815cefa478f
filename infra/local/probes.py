"""Questions to servers, each over a connection of its own, whether they are ready."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any


async def http_get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, bytes]:
    """Return status and body of a GET. Raises `OSError` if nobody answers in HTTP."""
    async with _connection(port, host) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        answer = await reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise ConnectionError(f"port {port} does not speak HTTP")
    return int(words[1]), body


async def http_ok(port: int, path: str, host: str = "127.0.0.1") -> bool:
    """Say whether a GET is answered with 200."""
    status, _ = await http_get(port, path, host)
    return status == 200


async def nats_with_jetstream(port: int) -> bool:
    """Say whether a NATS server answers a ping and has JetStream."""
    async with _connection(port) as (reader, writer):
        greeting = await reader.readline()
        writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
        await writer.drain()
        answer = await reader.readline()
    if not greeting.startswith(b"INFO "):
        return False
    info: dict[str, Any] = json.loads(greeting.removeprefix(b"INFO "))
    return bool(info.get("jetstream")) and answer.startswith(b"PONG")


@contextlib.asynccontextmanager
async def _connection(
    port: int, host: str = "127.0.0.1"
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
