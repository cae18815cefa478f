"""The scripted provider in process: plans are played behind httpx2's transport, so all but the socket is as ever.

A model's `options` are its script; without any, its upstream name spells it. The body's `x_script` goes before both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

import httpx2
from typing_extensions import override

from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.compatible.wire import headers, judge
from gateway.providers.credentials import Credentials
from gateway.providers.endpoints import WIRES
from gateway.providers.http import Answer, Deadlines, address, post
from gateway.providers.ports import Call, Event, Reply
from gateway.providers.scripted.dialect import ID
from gateway.providers.scripted.plan import End, Plan
from gateway.providers.scripted.script import Script, script_of
from gateway.providers.scripted.upstream import Upstream
from gateway.providers.wire import Reading, complete, events
from gateway.settings import Providers

_BASE = "http://scripted/v1"
_CARRIED = frozenset({Operation.RESPONSES, Operation.MESSAGES, Operation.COUNT_TOKENS})


class Scripted:
    """Answers by script. `upstream` has counted the calls, as the HTTP server's `/stats` does."""

    def __init__(self, settings: Providers, credentials: Credentials | None = None) -> None:
        """Remember nothing yet. `credentials` are those of all providers of the process."""
        self.upstream = Upstream()
        self._player = Player(self.upstream)
        self._limit = settings.max_answer
        self._credentials = credentials or Credentials()

    def speaks(self, operation: Operation, model: Model) -> bool:
        """Whatever a compatible server has, but for the dialects that are carried over chat."""
        del model
        return operation in WIRES and operation not in _CARRIED

    async def complete(self, call: Call) -> Reply:
        """Play the script and give the whole answer."""
        answer, reading = await self._ask(call, stream=False)
        async with answer:
            return await complete(answer, WIRES[call.operation], reading)

    async def stream(self, call: Call) -> AsyncGenerator[Event]:
        """Play the script and yield its events as they come."""
        answer, reading = await self._ask(call, stream=True)
        async with answer, aclosing(events(answer, WIRES[call.operation], reading)) as found:
            async for event in found:
                yield event

    async def close(self) -> None:
        """Do nothing: no connection was made."""

    async def _ask(self, call: Call, *, stream: bool) -> tuple[Answer, Reading]:
        deadlines = Deadlines.of(call.timeouts)
        secret = self._credentials.secret_of(call.model)
        sent = WIRES[call.operation].outgoing(call, stream=stream)
        url = address(_BASE, call.operation.path)
        script = {"script": script_of(call.model.options)} if call.model.options else None
        headed = headers(call, secret, sent.media_type)
        answer = await post(self._player, url, headed, sent.content, deadlines, script)
        return answer, Reading(self._limit, judge, secret)


class Player(httpx2.AsyncBaseTransport):
    """A transport without a network: what the server would do to a socket happens to the response."""

    def __init__(self, upstream: Upstream) -> None:
        """`upstream` plans the answers and counts the calls."""
        self._upstream = upstream

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer, or fail as the plan says."""
        script = cast("Script | None", request.extensions.get("script"))
        sent = {name.lower(): value for name, value in request.headers.raw}
        plan = self._upstream.plan(sent, await request.aread(), script, request.url.raw_path)
        number = b"%012d" % self._upstream.numbered
        with self._upstream.flight():
            await asyncio.sleep(plan.latency)
            for end in plan.steps if plan.status == 0 else ():
                if end is End.HANG:
                    await asyncio.get_running_loop().create_future()
                raise httpx2.ReadError("scripted") if end is End.RESET else httpx2.ConnectError("scripted")
        head = [(name, value.replace(ID, number)) for name, value in plan.headers]
        stream = Played(self._upstream, plan, number)
        return httpx2.Response(plan.status, headers=[(b"content-type", plan.kind), *head], stream=stream)


class Played(httpx2.AsyncByteStream):
    """The body of a planned answer. Closing it before its end counts as a client that left."""

    def __init__(self, upstream: Upstream, plan: Plan, number: bytes) -> None:
        """Begin when it is read."""
        self._upstream = upstream
        self._plan = plan
        self._number = number
        self._ended = False
        upstream.in_flight += 1

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        moment = loop.time()
        for step in self._plan.steps:
            if isinstance(step, bytes):
                yield step.replace(ID, self._number)
            elif not isinstance(step, End):
                moment += step
                await asyncio.sleep(moment - loop.time())
            elif step is End.HANG:
                await loop.create_future()
            else:
                self._end()
                raise (
                    httpx2.RemoteProtocolError("scripted end")
                    if step is End.CLOSE
                    else httpx2.ReadError("reset")
                )
        self._upstream.completed += 1
        self._end()

    @override
    async def aclose(self) -> None:
        self._upstream.cancelled += not self._ended
        self._end()

    def _end(self) -> None:
        self._upstream.in_flight -= not self._ended
        self._ended = True
