"""A caller of the REST door: the application that `api/app.py` builds, served as a process of ours serves it."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import uvicorn

from api.app import build_app
from api.serve import _config
from gateway.domain.rules import parse
from gateway.settings import Api, BatchesSettings, Fallback, Health, Inference, Settings, Temporal
from gateway.storage.memory import MemoryStore
from tests.api.world import KEY, World, a_world, registry
from tests.waits import until

HELLO = [{"role": "user", "content": "Hello"}]
QUICK_FALLBACK = Fallback(backoff_initial=timedelta(milliseconds=5), backoff_max=timedelta(milliseconds=20))


def a_quick_world(
    *,
    api: Mapping[str, Any] | None = None,
    temporal: Temporal | None = None,
    health: Health | None = None,
    rules: Mapping[str, Any] | None = None,
    claudes_at: str | None = None,
    batches: BatchesSettings | None = None,
    store: MemoryStore | None = None,
    **inference: Any,
) -> World:
    """A world whose settings differ in these, and whose retries come soon; `rules` as their text says them."""
    given: dict[str, Any] = {"deadline": timedelta(seconds=20), "fallback": QUICK_FALLBACK, **inference}
    settings = Settings(
        inference=Inference(**given),
        api=Api(grpc_port=0, **(api or {})),
        temporal=temporal or Temporal(),
        health=health or Health(),
        batches=batches or BatchesSettings(),
    )
    return a_world(settings, None if rules is None else parse(rules), claudes_at=claudes_at, store=store)


async def left(asking: asyncio.Task[httpx2.Response]) -> None:
    """The caller goes away before it has its answer."""
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


def app_of(world: World) -> Any:
    """The application over a world of doubles."""
    opened: Any = SimpleNamespace(
        settings=world.settings,
        origin="here",
        identity=world.identity,
        registry=registry(),
        store=world.store,
        rulebook=SimpleNamespace(version="7"),
        beat=SimpleNamespace(age=timedelta(seconds=1.04)),
        dispatch=SimpleNamespace(bus=SimpleNamespace(state="none")),
    )
    return build_app(opened, world.services, lambda: {"storage": True, "serving": world.ready})


def bearer(key: str = KEY, **more: str) -> dict[str, str]:
    """Headers of a caller."""
    return {"authorization": f"Bearer {key}"} | {
        name.replace("_", "-"): value for name, value in more.items()
    }


def body(model: str = "good", **fields: Any) -> dict[str, Any]:
    """A chat request that works."""
    return {"model": model, "messages": HELLO, **fields}


def script(**fields: Any) -> dict[str, Any]:
    """A chat request that says itself what the scripted model does."""
    return body(x_script=fields)


@dataclass(slots=True)
class Rest:
    """The door, and a client in front of it."""

    world: World
    port: int
    client: httpx2.AsyncClient

    async def chat(self, asked: Any = None, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        """Post a chat request: an object, or bytes as they are."""
        content = asked if isinstance(asked, bytes) else json.dumps(asked or body()).encode()
        return await self.client.post(
            "/v1/chat/completions", content=content, headers=bearer() if headers is None else headers
        )

    def streaming(self, asked: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Post a request for a stream, to be read as it comes."""
        return self.client.stream(
            "POST",
            "/v1/chat/completions",
            json={**(asked or body()), "stream": True},
            headers=headers or bearer(),
        )

    async def get(self, path: str, key: str = KEY, **params: Any) -> httpx2.Response:
        """Get a path as a caller."""
        return await self.client.get(path, params=params, headers=bearer(key))

    async def post(self, path: str, asked: Any = None, key: str = KEY, **headers: str) -> httpx2.Response:
        """Post JSON to a path as a caller."""
        return await self.client.post(path, json=asked, headers=bearer(key, **headers))

    async def job(self, asked: Any = None, key: str = KEY, **headers: str) -> httpx2.Response:
        """Hand over a chat request as a job."""
        given = {"endpoint": "/v1/chat/completions", "body": asked or body()}
        return await self.post("/api/v1/jobs", given, key, **headers)

    async def ended(self, job_id: str, key: str = KEY) -> dict[str, Any]:
        """The job, once it has ended."""
        async with asyncio.timeout(30):
            while True:
                job: dict[str, Any] = (await self.get(f"/api/v1/jobs/{job_id}", key)).json()
                if job["status"] not in ("queued", "in_progress"):
                    return job
                await asyncio.sleep(0.01)

    async def settled(self, response: httpx2.Response) -> Any:
        """The ledger's record of a request, with its texts, once it is there."""
        await until(lambda: not len(self.world.exchanges))
        record = await self.world.store.requests.get(response.headers["x-request-id"], with_text=True)
        assert record is not None
        return record

    @asynccontextmanager
    async def raw(
        self, receive_buffer: int | None = None
    ) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A bare connection, for what no client would do."""
        connection = socket.socket()
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=receive_buffer or 65_536)
        try:
            yield reader, writer
        finally:
            writer.close()


@dataclass(slots=True)
class Told:
    """What a stream of events told: its data in order, its comments, and whether it ended with [DONE]."""

    data: list[Any] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    done: bool = False


def told(text: str) -> Told:
    """Read a whole stream."""
    said = Told()
    for line in text.splitlines():
        if line.startswith(":"):
            said.comments.append(line.removeprefix(":").strip())
        elif line == "data: [DONE]":
            said.done = True
        elif line.startswith("data: "):
            said.data.append(json.loads(line.removeprefix("data: ")))
    return said


def error_of(response: httpx2.Response) -> dict[str, Any]:
    """The error that a response tells, in whichever shape."""
    said = response.json()
    return said.get("error", said)


def request_bytes(content: bytes, **headers: str) -> bytes:
    """A chat request as it goes over the wire."""
    given = {"host": "gateway", "content-length": str(len(content)), **bearer(**headers)}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + content


@asynccontextmanager
async def serving(world: World) -> AsyncGenerator[Rest]:
    """The REST door of a world on a free port."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = _config(app_of(world), world.settings)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # Without the server's own loop, which only looks ten times a second, a test ends at once.
    await server.startup([listening])
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=15) as client:
            yield Rest(world, port, client)
    finally:
        await world.engine.close()
        for listener in server.servers:
            listener.close()
        with suppress(AssertionError):
            await until(lambda: not server.server_state.connections)
        if server.server_state.connections:
            await server.shutdown([listening])
        listening.close()
